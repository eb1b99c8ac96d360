//! Data connections that go, are taken over, or are ended by a request (rules P-26, P-27, P-31).

use std::time::Duration;

use pushletd::protocol::Format;

use crate::support::http::Connection;
use crate::support::look::wait_metric;
use crate::support::pushlet::{Channel, Event, SOON, Session};
use crate::support::server::{Driver, Server, on_both_drivers_at_once};

/// What counts as at once on a machine that does other things too. The first heartbeat would come after 20 s.
const AT_ONCE: Duration = Duration::from_secs(3);

fn server(driver: Driver) -> Server {
    Server::start_with_admin(driver, &[], "")
}

fn numbers(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|event| event.kind() == "data").map(|event| event.field("number")).collect()
}

fn seqs(events: &[Event]) -> Vec<&str> {
    events.iter().filter_map(|event| event.get("p_seq")).collect()
}

type Leave = fn(Channel);

/// Ways in which a client goes.
const WAYS: [(&str, Leave); 3] = [
    ("close", |channel| drop(channel)),
    ("reset", |channel| channel.connection.reset()),
    ("half-close", |mut channel| {
        channel.connection.half_close();
        assert!(channel.connection.wait_until(AT_ONCE, Connection::is_closed), "half-closed counts as closed");
    }),
];

/// P-31: the session stays without its connection, and goes on where it was.
#[test]
fn a_stream_that_goes_is_noticed_at_once_and_can_go_on() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        for (way, go) in WAYS {
            let session = Session::join(server.addr(), Format::XmlStrict);
            let publisher = Session::join(server.addr(), Format::Json);
            let mut stream = session.listen("stream", Some("/kept"));
            stream.wait_count(2);
            publisher.publish("/kept", &[("number", "1")]);
            stream.wait_data(1);
            wait_metric(&server, "sessions_listening", 1, SOON);
            go(stream);
            wait_metric(&server, "sessions_listening", 0, AT_ONCE);
            for number in ["2", "3", "4"] {
                publisher.publish("/kept", &[("number", number)]);
            }
            let mut stream = session.refresh();
            publisher.publish("/kept", &[("number", "5")]);
            let data = stream.wait_data(4);
            assert_eq!(numbers(&data), ["2", "3", "4", "5"], "{way}: nothing lost, nothing twice");
            assert!(data.iter().all(|event| event.get("p_lost").is_none()), "{way}: {data:?}");
            let events = stream.events();
            assert_eq!(events[0].kind(), "refresh-ack", "{way}");
            assert_eq!(seqs(&events), ["1", "2", "3", "4", "5"], "{way}: p_seq counts within one answer");
            wait_metric(&server, "sessions_listening", 1, SOON);
            session.leave();
            publisher.leave();
            stream.wait_end(SOON);
            wait_metric(&server, "sessions", 0, SOON);
        }
    });
}

/// P-31: the same for a pull request that waits, and for a listen instead of a refresh.
#[test]
fn a_waiting_pull_that_goes_is_noticed_at_once() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        for (way, go) in WAYS {
            let session = Session::join(server.addr(), Format::Json);
            session.listen("pull", Some("/pulled")).wait_end(SOON);
            let mut waiting = session.refresh();
            waiting.wait_count(0);
            wait_metric(&server, "sessions_listening", 1, SOON);
            go(waiting);
            wait_metric(&server, "sessions_listening", 0, AT_ONCE);
            session.publish("/pulled", &[("number", "1")]);
            session.publish("/pulled", &[("number", "2")]);
            let events = session.refresh().wait_end(SOON);
            assert_eq!(numbers(&events), ["1", "2"], "{way}");
            let events = session.listen("stream", None).wait_count(2);
            assert_eq!(events[0].kind(), "listen-ack", "{way}");
            session.leave();
            wait_metric(&server, "sessions", 0, SOON);
        }
    });
}

/// P-31: a session whose client does not come back ends; before, it is kept.
#[test]
fn a_detached_session_ends_when_its_time_is_over() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "[pushlet]\ndetached_timeout = \"400ms\"\n");
        let session = Session::join(server.addr(), Format::Json);
        let mut stream = session.listen("stream", None);
        stream.wait_count(2);
        drop(stream);
        wait_metric(&server, "sessions_listening", 0, AT_ONCE);
        wait_metric(&server, "sessions", 1, SOON);
        wait_metric(&server, "sessions", 0, SOON);
        wait_metric(&server, "sessions_ended_total{reason=\"disconnected\"}", 1, SOON);
        assert_eq!(session.raw_control("refresh", &[]).head.status, 400);
    });
}

/// P-31: an end that comes together with the request is seen too.
#[test]
fn a_data_request_of_a_client_that_has_closed_already_leaves_nothing_open() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        for turn in 0..20 {
            let session = Session::join(server.addr(), Format::Json);
            let mut connection = Connection::open(server.addr());
            connection.send(&session.request("listen", &[]));
            if turn % 2 == 0 {
                connection.half_close();
                assert!(connection.wait_until(AT_ONCE, Connection::is_closed));
            } else {
                drop(connection);
            }
            // The marker: whatever came before it has been dealt with.
            assert_eq!(session.control("hb", &[]).kind(), "hb-ack");
        }
        wait_metric(&server, "sessions_listening", 0, AT_ONCE);
        wait_metric(&server, "connections", 1, AT_ONCE);
    });
}

/// P-26: the newest data request has the session; the older answer ends orderly.
#[test]
fn the_newest_data_request_wins() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        for format in [Format::XmlStrict, Format::Js, Format::Json] {
            let session = Session::join(server.addr(), format);
            let mut older = session.listen("stream", Some("/won"));
            older.wait_count(2);
            session.publish("/won", &[("number", "1")]);
            older.wait_data(1);
            let mut newer = session.refresh();
            let events = older.wait_end(AT_ONCE);
            assert!(older.connection.is_whole(), "{format:?}: the last chunk is there");
            assert_eq!(numbers(&events), ["1"]);
            assert!(events.iter().all(|event| event.kind() != "refresh" && event.kind() != "abort"), "{events:?}");
            session.publish("/won", &[("number", "2")]);
            assert_eq!(numbers(&newer.wait_data(1)), ["2"]);
            wait_metric(&server, "sessions_listening", 1, SOON);
            session.leave();
            newer.wait_end(AT_ONCE);
            assert!(newer.connection.is_whole());
        }
    });
}

/// P-26: two pull loops of one session do not evict each other for ever: the older one is not told to come back.
#[test]
fn an_evicted_pull_is_not_told_to_refresh() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::XmlStrict);
        session.listen("pull", Some("/pulled")).wait_end(SOON);
        let mut older = session.refresh();
        wait_metric(&server, "sessions_listening", 1, SOON);
        let mut newer = session.refresh();
        let events = older.wait_end(AT_ONCE);
        assert!(older.connection.is_whole());
        assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), ["refresh-ack"]);
        session.publish("/pulled", &[("number", "1")]);
        let events = newer.wait_end(AT_ONCE);
        assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), ["refresh-ack", "data", "refresh"]);
    });
}

/// P-26: a connection whose stream was taken over serves the next request.
#[test]
fn an_evicted_connection_goes_on() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::Json);
        let (mut here, mut there) =
            (session.listen("stream", None), session.data_on(Connection::open(server.addr()), "hb", &[]));
        here.wait_count(2);
        there.wait_end(SOON);
        for _ in 0..10 {
            there = session.data_on(there.connection, "refresh", &[]);
            there.wait_count(2);
            here.wait_end(AT_ONCE);
            assert!(here.connection.is_whole());
            std::mem::swap(&mut here, &mut there);
        }
    });
}

/// P-27: who leaves is let go at once, whatever was waiting for it.
#[test]
fn leaving_ends_a_data_answer_at_once() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        for (mode, format) in [("pull", Format::XmlStrict), ("stream", Format::Js), ("pull", Format::Json)] {
            let session = Session::join(server.addr(), format);
            let mut waiting = session.listen(mode, None);
            if mode == "pull" {
                waiting.wait_end(SOON);
                waiting = session.refresh();
            }
            wait_metric(&server, "sessions_listening", 1, SOON);
            session.leave();
            let events = waiting.wait_end(AT_ONCE);
            assert!(waiting.connection.is_whole(), "{mode}");
            assert!(events.iter().all(|event| event.kind() != "refresh" && event.kind() != "abort"), "{events:?}");
            wait_metric(&server, "sessions", 0, SOON);
        }
    });
}
