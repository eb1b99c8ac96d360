//! Requests and answers on one connection: keep-alive, pipelining, pieces, HTTP/1.0.

use std::time::Duration;

use pushletd::protocol::Format;

use crate::support::http::{Connection, get};
use crate::support::pushlet::{Dialect, PATH, SOON, Session, events_of, parse, target};
use crate::support::server::{Driver, Server, on_both_drivers_at_once};

fn server(driver: Driver) -> Server {
    Server::start(driver, &[], "")
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::Json);
        let mut connection = Connection::open(server.addr());
        for turn in 0..50 {
            let answer = connection.ask(&session.request("hb", &[]), SOON);
            assert_eq!(events_of(&answer)[0].kind(), "hb-ack", "{turn}");
            assert_eq!(answer.head.get("connection"), None, "HTTP/1.1 lives on without saying so");
        }
    });
}

#[test]
fn ten_requests_in_one_write_are_answered_in_order() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::Json);
        let subjects: Vec<String> = (0..10).map(|number| format!("/pipelined/{number}")).collect();
        let requests: Vec<u8> =
            subjects.iter().flat_map(|subject| session.request("subscribe", &[("p_subject", subject)])).collect();
        let mut connection = Connection::open(server.addr());
        connection.send(&requests);
        for subject in &subjects {
            let answer = connection.next_answer(SOON);
            assert_eq!(events_of(&answer)[0].field("p_subject"), subject);
        }
    });
}

/// P-27: what is pipelined behind a data request waits for the end of its answer.
#[test]
fn what_follows_a_data_request_is_answered_behind_it() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let (session, other) = (Session::join(server.addr(), Format::Json), Session::join(server.addr(), Format::Json));
        let mut pipelined = session.request("hb", &[]);
        pipelined.extend(session.request("listen", &[("p_subject", "/marker")]));
        pipelined.extend(other.request("hb", &[]));
        pipelined.extend(other.request("subscribe", &[("p_subject", "/last")]));
        let mut connection = Connection::open(server.addr());
        connection.send(&pipelined);
        assert_eq!(events_of(&connection.next_answer(SOON))[0].kind(), "hb-ack");
        connection.begin(false);
        let marker = |connection: &Connection| connection.body().windows(8).any(|some| some == b"marker-1");
        assert!(connection.wait_until(SOON, |connection| connection.body().windows(4).any(|some| some == b"\"hb\"")));
        other.publish("/marker", &[("text", "marker-1")]);
        assert!(connection.wait_until(SOON, marker), "{connection:?}");
        assert!(!connection.is_over(), "the stream goes on");
        session.leave();
        let stream = connection.wait_answer(SOON);
        assert!(connection.is_whole(), "a stream that is left ends with its last chunk");
        let kinds: Vec<String> = events_of_stream(&stream.body);
        assert_eq!(kinds, ["listen-ack", "hb", "data"], "nothing of the later answers is in it");
        assert_eq!(events_of(&connection.next_answer(SOON))[0].kind(), "hb-ack");
        assert_eq!(events_of(&connection.next_answer(SOON))[0].field("p_subject"), "/last");
    });
}

fn events_of_stream(body: &[u8]) -> Vec<String> {
    let events = parse(Format::Json, Dialect::Pushletd, body, false).expect("lines of JSON");
    events.iter().map(|event| event.kind().to_owned()).collect()
}

/// Each request is cut in two at every place. A request on a second connection shows that the server has seen the first part alone.
#[test]
fn requests_come_in_any_pieces() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::Json);
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("p_event", "subscribe"), ("p_id", session.id.as_str()), ("p_subject", "/b")])
            .finish();
        let mut requests = session.request("subscribe", &[("p_subject", "/a")]);
        requests.extend(
            format!(
                "POST {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{:x};e=1\r\n{body}\r\n0\r\nT: t\r\n\r\n",
                body.len()
            )
            .into_bytes(),
        );
        requests.extend(session.request("unsubscribe", &[]));
        let mut marker = Connection::open(server.addr());
        for cut in 1..requests.len() {
            let mut connection = Connection::open(server.addr());
            connection.send(&requests[..cut]);
            assert_eq!(marker.ask(&session.request("hb", &[]), SOON).head.status, 200);
            connection.send(&requests[cut..]);
            let subjects = [0, 1].map(|_| {
                let events = events_of(&connection.next_answer(SOON));
                events[0].field("p_subject").to_owned()
            });
            assert_eq!(subjects, ["/a", "/b"], "cut at {cut}");
            assert_eq!(events_of(&connection.next_answer(SOON))[0].kind(), "unsubscribe-ack", "cut at {cut}");
        }
    });
}

#[test]
fn http_1_0_closes_unless_it_is_asked_to_keep_the_connection() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::Json);
        let hb = target(&[("p_event", "hb"), ("p_id", &session.id)]);
        let mut connection = Connection::open(server.addr());
        let answer = connection.ask(format!("GET {hb} HTTP/1.0\r\n\r\n").as_bytes(), SOON);
        assert_eq!((answer.head.status, answer.head.get("connection")), (200, Some("close")));
        assert!(answer.head.get("content-length").is_some());
        connection.wait_closed(SOON);

        let mut connection = Connection::open(server.addr());
        for _ in 0..3 {
            let request = format!("GET {hb} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
            let answer = connection.ask(request.as_bytes(), SOON);
            assert_eq!((answer.head.status, answer.head.get("connection")), (200, Some("keep-alive")));
        }
    });
}

/// P-14: a client of HTTP/1.0 gets a stream without chunks, which ends with the connection.
#[test]
fn a_stream_over_http_1_0_has_no_chunks_and_ends_with_the_connection() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        for (format, keep) in [(Format::XmlStrict, ""), (Format::Json, "Connection: keep-alive\r\n")] {
            let session = Session::join(server.addr(), format);
            let listen = target(&[("p_event", "listen"), ("p_id", &session.id), ("p_subject", "/old")]);
            let mut connection = Connection::open(server.addr());
            connection.request(format!("GET {listen} HTTP/1.0\r\n{keep}\r\n").as_bytes());
            let head = connection.wait_head(SOON).clone();
            assert_eq!((head.get("transfer-encoding"), head.get("content-length")), (None, None));
            assert_eq!(head.get("connection"), Some("close"));
            for number in ["1", "2", "3"] {
                session.publish("/old", &[("number", number)]);
            }
            session.leave();
            let answer = connection.wait_answer(SOON);
            assert!(connection.is_whole(), "it ends without a reset");
            let events = parse(format, Dialect::Pushletd, &answer.body, false).expect("a whole document");
            let kinds: Vec<&str> = events.iter().map(|event| event.kind()).collect();
            assert_eq!(kinds, ["listen-ack", "hb", "data", "data", "data"]);
            let numbers: Vec<&str> = events[2..].iter().map(|event| event.field("number")).collect();
            assert_eq!(numbers, ["1", "2", "3"]);
        }
    });
}

#[test]
fn a_client_that_wants_to_close_is_closed_behind_the_answer() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let mut connection = Connection::open(server.addr());
        let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let answer = connection.ask(request.as_bytes(), SOON);
        assert_eq!((answer.head.status, answer.head.get("connection")), (200, Some("close")));
        connection.wait_closed(SOON);
    });
}

/// A client that says at once that it sends no more is answered all the same: control answers do not need its other half.
#[test]
fn a_half_closed_client_gets_the_answers_it_asked_for() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::Json);
        let mut connection = Connection::open(server.addr());
        connection.send(&[session.request("hb", &[]), session.request("hb", &[]), get("/")].concat());
        connection.half_close();
        for _ in 0..2 {
            assert_eq!(events_of(&connection.next_answer(SOON))[0].kind(), "hb-ack");
        }
        assert_eq!(connection.next_answer(SOON).head.status, 200);
        connection.wait_closed(SOON);
    });
}

/// A reader that is in no hurry gets every answer of a long pipeline, whatever was blocked on the way.
#[test]
fn a_long_pipeline_is_answered_as_fast_as_it_is_read() {
    const REQUESTS: usize = 3000;
    on_both_drivers_at_once(|driver| {
        let server = server(driver);
        let session = Session::join(server.addr(), Format::Json);
        let requests = session.request("hb", &[]).repeat(REQUESTS);
        let mut connection = Connection::open_narrow(server.addr());
        let (mut sent, mut answered) = (0, 0);
        let done = crate::support::server::wait_for(Duration::from_secs(30), || {
            sent += connection.send_some(&requests[sent..]).expect("the server stays");
            while connection.sip(700) > 0 {
                while connection.is_over() && answered < REQUESTS {
                    assert!(connection.is_whole());
                    assert_eq!(connection.head().expect("a head").status, 200);
                    answered += 1;
                    connection.begin(false);
                }
            }
            answered == REQUESTS
        });
        assert!(done, "{answered} of {REQUESTS} answers, {sent} of {} bytes taken", requests.len());
    });
}
