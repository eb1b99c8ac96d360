//! A core that cannot keep up, or stands still: whoever sends to it waits, at most for so long, and nothing is lost or done by halves.

use std::time::{Duration, Instant};

use pushletd::limits::OVERLOAD_MS;
use pushletd::protocol::Format;
use rustix::process::Signal;

use crate::support::cores::{connection_on, connections_on_each, session_on};
use crate::support::http::Connection;
use crate::support::look::{core_threads, descriptors, settled_metric, wait_metric};
use crate::support::pushlet::{Channel, Event, SOON, Session, events_of};
use crate::support::server::{Driver, Held, Server, on_both_drivers_at_once, wait_for};

/// Letters that fit into the inbox between two cores.
const INBOX: usize = 16;
const OVERLOAD: Duration = Duration::from_millis(OVERLOAD_MS);

fn start(driver: Driver) -> Server {
    Server::start_holdable(
        driver,
        &["--cores", "2", "--inbox-size", "16", "--queue-size", "65536", "--drain-time", "1s"],
    )
}

/// The second core stands still until what is returned is dropped.
fn hold(server: &Server) -> Held {
    server.hold(core_threads(server)[1].number)
}

/// A stream on each core.
fn streams(server: &Server, subject: &str) -> Vec<Channel> {
    (0..2)
        .map(|core| {
            let session = session_on(server, core, 2, Format::Json);
            let mut stream = session.data_on(connection_on(server, core, 2), "listen", &[("p_subject", subject)]);
            stream.wait_count(2);
            stream
        })
        .collect()
}

fn publish(session: &Session, subject: &str, number: usize) -> Vec<u8> {
    session.request("publish", &[("p_subject", subject), ("number", &number.to_string())])
}

fn numbers(data: &[Event]) -> Vec<usize> {
    data.iter().filter_map(|event| event.get("number")).map(|number| number.parse().expect("a number")).collect()
}

/// A8: a publisher whose event finds no room at another core waits, and only it; when there is room again everything arrives, in order.
#[test]
fn publishers_wait_for_a_core_that_stands_still() {
    const EVENTS: usize = 60;
    on_both_drivers_at_once(|driver| {
        let server = start(driver);
        let mut streams = streams(&server, "/wait");
        let publisher = session_on(&server, 0, 2, Format::Json);
        let mut connection = connection_on(&server, 0, 2);
        let mut friend = connection_on(&server, 0, 2);
        let held = hold(&server);
        connection.send(&(0..EVENTS).flat_map(|number| publish(&publisher, "/wait", number)).collect::<Vec<u8>>());
        wait_metric(&server, "core_published_total{core=\"0\"}", INBOX as u64, SOON);
        wait_metric(&server, "core_letters_waiting{core=\"0\"}", 1, SOON);
        for _ in 0..INBOX {
            assert_eq!(events_of(&connection.next_answer(SOON))[0].kind(), "publish-ack");
        }
        // The same session on another connection is served, and so is everything that needs no other core.
        assert_eq!(events_of(&friend.ask(&publisher.request("hb", &[]), SOON))[0].kind(), "hb-ack");
        assert_eq!(numbers(&streams[0].wait_data(INBOX)), (0..INBOX).collect::<Vec<_>>());
        connection.begin(false);
        connection.pump();
        assert!(connection.head().is_none(), "an event was taken that one core cannot get");
        drop(held);
        for _ in INBOX..EVENTS {
            assert_eq!(events_of(&connection.next_answer(SOON))[0].kind(), "publish-ack");
        }
        for stream in &mut streams {
            let data = stream.wait_data(EVENTS);
            assert_eq!(numbers(&data), (0..EVENTS).collect::<Vec<_>>());
            assert!(data.iter().all(|event| event.get("p_lost").is_none()));
        }
        assert_eq!(settled_metric(&server, "overloaded_total"), 0);
        wait_metric(&server, "core_letters_waiting{core=\"0\"}", 0, SOON);
    });
}

/// A8: who has waited for too long is told that nobody got the event, and nobody gets it. The server is well as soon as the core is.
#[test]
fn overload_is_told_and_changes_nothing() {
    on_both_drivers_at_once(|driver| {
        let server = start(driver);
        let mut streams = streams(&server, "/over");
        let (here, there) = (session_on(&server, 0, 2, Format::Json), session_on(&server, 1, 2, Format::Json));
        let mut publishers: Vec<Connection> = (0..4).map(|_| connection_on(&server, 0, 2)).collect();
        let (mut stranger, mut mover) = (connection_on(&server, 0, 2), connection_on(&server, 0, 2));
        let mut gone = connection_on(&server, 0, 2);
        let held = hold(&server);
        for number in 0..INBOX {
            let answer = publishers[0].ask(&publish(&here, "/over", number), SOON);
            assert_eq!(events_of(&answer)[0].kind(), "publish-ack");
        }
        let began = Instant::now();
        for (number, publisher) in publishers.iter_mut().enumerate() {
            publisher.request(&publish(&here, "/over", 100 + number));
        }
        // A request for a session over there, and a client that does not wait for its end.
        stranger.request(&there.request("hb", &[]));
        gone.send(&publish(&there, "/over", 200));
        drop(gone);
        mover.request(&there.request("listen", &[]));
        for publisher in &mut publishers {
            let events = events_of(&publisher.wait_answer(OVERLOAD + SOON));
            assert_eq!(events[0].kind(), "nack", "{events:?}");
            assert!(events[0].field("p_reason").starts_with("overloaded"), "{events:?}");
        }
        for refused in [&mut stranger, &mut mover] {
            let answer = refused.wait_answer(OVERLOAD + SOON);
            assert_eq!(answer.head.status, 503, "{}", answer.text());
            assert_eq!(answer.head.get("retry-after"), Some("5"));
            assert!(answer.text().starts_with("overloaded"), "{}", answer.text());
        }
        assert!(began.elapsed() >= OVERLOAD - Duration::from_millis(200), "refused after {:?}", began.elapsed());
        assert!(began.elapsed() < OVERLOAD + Duration::from_secs(3), "refused after {:?}", began.elapsed());
        wait_metric(&server, "overloaded_total", 7, SOON);
        drop(held);
        // The same connections, again.
        for (number, publisher) in publishers.iter_mut().enumerate() {
            let answer = publisher.ask(&publish(&here, "/over", INBOX + number), SOON);
            assert_eq!(events_of(&answer)[0].kind(), "publish-ack");
        }
        let expected: Vec<usize> = (0..INBOX + 4).collect();
        for stream in &mut streams {
            assert_eq!(numbers(&stream.wait_data(expected.len())), expected, "what was refused reached nobody");
        }
        assert_eq!(events_of(&stranger.ask(&there.request("hb", &[]), SOON))[0].kind(), "hb-ack");
        let mut stream = there.data_on(mover, "listen", &[]);
        stream.wait_count(2);
        assert_eq!(settled_metric(&server, "published_total"), expected.len() as u64);
    });
}

/// Whatever is sent to a core that stands still waits for it: moves, forwarded requests, and the news that a client has gone.
#[test]
fn what_waits_for_a_core_is_done_when_it_goes_on() {
    on_both_drivers_at_once(|driver| {
        let server = start(driver);
        let sessions: Vec<Session> = (0..5).map(|_| session_on(&server, 1, 2, Format::Json)).collect();
        let pulling = session_on(&server, 1, 2, Format::Json);
        pulling.listen("pull", Some("/pulled")).wait_end(SOON);
        let mut control = connections_on_each(&server, 2);
        wait_metric(&server, "connections", 3, SOON);
        let before = descriptors(&server);
        let waiting = pulling.data_on(connection_on(&server, 0, 2), "refresh", &[]);
        wait_metric(&server, "sessions_listening", 1, SOON);
        let mut movers: Vec<Connection> = (0..5).map(|_| connection_on(&server, 0, 2)).collect();
        let mut asker = connection_on(&server, 0, 2);
        let held = hold(&server);
        drop(waiting);
        for (session, mover) in sessions.iter().zip(&mut movers) {
            mover.request(&session.request("listen", &[]));
        }
        asker.request(&pulling.request("hb", &[]));
        let mut channels = Vec::new();
        for (number, (session, mover)) in sessions.iter().zip(movers).enumerate() {
            match number {
                0 => drop(mover),
                1 => mover.reset(),
                _ => channels.push((session, mover)),
            }
        }
        assert_eq!(events_of(&control[0].ask(&session_on_first(&server).request("hb", &[]), SOON))[0].kind(), "hb-ack");
        drop(held);
        for (session, connection) in &mut channels {
            let begun =
                connection.wait_until(SOON, |connection| connection.body().windows(4).any(|some| some == b"\"hb\""));
            assert!(begun, "{session:?}: {}", String::from_utf8_lossy(connection.body()));
        }
        assert_eq!(events_of(&asker.wait_answer(SOON))[0].kind(), "hb-ack");
        wait_metric(&server, "sessions_listening", 3, SOON);
        // The pull that went is kept (P-31), and its events are there for it.
        pulling.publish("/pulled", &[("number", "1")]);
        assert_eq!(numbers(&pulling.refresh().wait_end(SOON)), [1]);
        for session in &sessions {
            control[1].ask(&session.request("leave", &[]), SOON);
        }
        drop((channels, asker));
        wait_metric(&server, "sessions_listening", 0, SOON);
        let back = wait_for(SOON, || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
    });
}

fn session_on_first(server: &Server) -> Session {
    // Nobody answers on the core that stands still, so a connection there would be waited for in vain.
    let mut session = None;
    let found = wait_for(SOON, || {
        let mut connection = Connection::open(server.addr());
        let target = crate::support::pushlet::target(&[("p_event", "join"), ("p_format", "json")]);
        connection.request(&crate::support::http::get(&target));
        if connection.wait_until(Duration::from_millis(200), Connection::is_over) {
            let ack = events_of(&connection.wait_answer(SOON)).remove(0);
            let (id, address) = (ack.field("p_id").to_owned(), ack.field("p_from").to_owned());
            session = Some(Session { addr: server.addr(), id, address, format: Format::Json });
        }
        session.is_some()
    });
    assert!(found, "no core answers");
    session.expect("it was found")
}

/// P-32: a core that stands still cannot hold the end.
#[test]
fn a_core_that_stands_still_cannot_hold_the_end() {
    on_both_drivers_at_once(|driver| {
        let mut server = start(driver);
        let mut stream = session_on(&server, 0, 2, Format::Json).data_on(connection_on(&server, 0, 2), "listen", &[]);
        stream.wait_count(2);
        let held = hold(&server);
        let began = Instant::now();
        server.signal(Signal::TERM);
        let events = stream.wait_end(SOON);
        assert_eq!(events.last().map(Event::kind), Some("abort"), "the other core drains");
        server.wait_stderr("stopped", Duration::from_secs(8));
        assert!(began.elapsed() >= Duration::from_millis(900), "the drain time is over after {:?}", began.elapsed());
        // A thread that is held is an entry in the kernel until its holder has let it go.
        drop(held);
        assert!(server.wait(Duration::from_secs(2)).is_some(), "it waits for a core that does not answer");
    });
}

/// A8, P-30: quick publishers, a small inbox and a core with many more subscribers than the other: the publishers are slowed down, everybody
/// gets everything in order, and no queue overflows.
#[test]
fn a_small_inbox_slows_publishers_down_and_loses_nothing() {
    const SUBSCRIBERS: usize = 150;
    const EVENTS: usize = 150;
    on_both_drivers_at_once(|driver| {
        let args = ["--cores", "2", "--inbox-size", "16"];
        let server = Server::start_with_admin(driver, &args, "");
        let mut at = connection_on(&server, 1, 2);
        let mut readers: Vec<Channel> = (0..SUBSCRIBERS)
            .map(|_| {
                let session = crate::support::cores::join_on(server.addr(), &mut at, Format::Json);
                session.listen("stream", Some("/many"))
            })
            .collect();
        wait_metric(&server, "sessions_listening", SUBSCRIBERS as u64, SOON);
        let publishers: Vec<Session> = (0..2).map(|core| session_on(&server, core, 2, Format::Json)).collect();
        std::thread::scope(|scope| {
            for (who, session) in publishers.iter().enumerate() {
                let server = &server;
                scope.spawn(move || {
                    let mut connection = connection_on(server, 0, 2);
                    let bytes = (0..EVENTS).flat_map(|number| publish(session, "/many", who * 1000 + number));
                    connection.send(&bytes.collect::<Vec<u8>>());
                    for _ in 0..EVENTS {
                        let answer = connection.next_answer(Duration::from_secs(30));
                        assert_eq!(events_of(&answer)[0].kind(), "publish-ack");
                    }
                });
            }
            let all = wait_for(Duration::from_secs(40), || {
                let mut missing = 0;
                for reader in &mut readers {
                    reader.connection.pump();
                    assert!(!reader.connection.is_over(), "a reader was cut off");
                    let body = reader.connection.body();
                    missing += usize::from(body.iter().filter(|byte| **byte == b'\n').count() < 2 * EVENTS + 2);
                }
                missing == 0
            });
            assert!(all, "not everything arrives");
        });
        for reader in &mut readers {
            let got = numbers(&reader.data());
            for who in 0..2 {
                let of_one: Vec<usize> = got.iter().copied().filter(|number| number / 1000 == who).collect();
                assert_eq!(of_one, (who * 1000..who * 1000 + EVENTS).collect::<Vec<_>>());
            }
        }
        for name in ["overloaded_total", "lost_total", "sessions_ended_total{reason=\"queue-full\"}"] {
            assert_eq!(settled_metric(&server, name), 0, "{name}");
        }
    });
}
