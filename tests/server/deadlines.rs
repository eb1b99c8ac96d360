//! How long the server waits for a client: for its request, for its next one, and for it to take its answers.

use std::time::{Duration, Instant};

use pushletd::limits::LINGER_MS;
use pushletd::protocol::Format;

use crate::support::http::Connection;
use crate::support::look::{metric, resident_kib, settled_metric, wait_metric};
use crate::support::pushlet::{PATH, SOON, Session};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

const HEAD: Duration = Duration::from_millis(300);
const SHORT: &str = "[http]\nhead_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nidle_timeout = \"600ms\"\n";

#[test]
fn a_client_that_says_nothing_is_closed() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], SHORT);
        let began = Instant::now();
        let mut silent = Connection::open(server.addr());
        let mut blank = Connection::open(server.addr());
        blank.send(b"\r\n");
        silent.wait_closed(SOON);
        assert!(began.elapsed() >= HEAD, "closed after {:?}", began.elapsed());
        blank.wait_closed(SOON);
        wait_metric(&server, "connections_timed_out_total", 2, SOON);
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], SHORT);
        let mut connection = Connection::open(server.addr());
        for _ in 0..3 {
            assert_eq!(connection.ask(&crate::support::http::get("/"), SOON).head.status, 200);
        }
        let began = Instant::now();
        connection.wait_closed(SOON);
        let waited = began.elapsed();
        assert!(waited >= Duration::from_millis(550) && waited < Duration::from_secs(5), "closed after {waited:?}");
        wait_metric(&server, "connections_timed_out_total", 1, SOON);
    });
}

/// Sends `bytes` one at a time, with pauses, until an answer comes. Says how long that took and which status it was.
fn dribble(connection: &mut Connection, bytes: &[u8]) -> (Duration, u16) {
    let began = Instant::now();
    for byte in bytes {
        if connection.try_send(&[*byte]).is_err()
            || connection.wait_until(Duration::from_millis(20), Connection::is_over)
        {
            break;
        }
    }
    let took = began.elapsed();
    (took, connection.wait_answer(SOON).head.status)
}

/// The deadline counts from the first byte: a byte now and then does not put it off.
#[test]
fn a_head_or_a_body_that_dribbles_is_refused_in_time() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], SHORT);
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(400));
        let mut connection = Connection::open(server.addr());
        let (took, status) = dribble(&mut connection, long.as_bytes());
        assert_eq!(status, 408);
        assert!(took >= HEAD && took < Duration::from_secs(4), "refused after {took:?}");
        connection.wait_closed(SOON);

        for framing in ["Content-Length: 400\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n190\r\n"] {
            let mut connection = Connection::open(server.addr());
            connection.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{framing}").as_bytes());
            let (took, status) = dribble(&mut connection, &[b'x'; 400]);
            assert_eq!(status, 408, "{framing}");
            assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(4), "refused after {took:?}");
            connection.wait_closed(SOON);
        }
        wait_metric(&server, "connections_timed_out_total", 3, SOON);
        wait_metric(&server, "requests_refused_total", 3, SOON);
    });
}

/// A second request that dribbles has a deadline of its own, not the patience for idle connections.
#[test]
fn the_next_head_has_its_own_deadline() {
    on_both_drivers_at_once(|driver| {
        let toml = "[http]\nhead_timeout = \"300ms\"\nidle_timeout = \"60s\"\n";
        let server = Server::start(driver, &[], toml);
        let mut connection = Connection::open(server.addr());
        assert_eq!(connection.ask(&crate::support::http::get("/"), SOON).head.status, 200);
        connection.request(b"G");
        assert_eq!(connection.wait_answer(SOON).head.status, 408);
        connection.wait_closed(SOON);
    });
}

/// Neither an answer that is read late nor a stream that is idle has anything to do with these deadlines.
#[test]
fn an_open_stream_outlives_every_deadline_for_requests() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--heartbeat", "200ms"], SHORT);
        let session = Session::join(server.addr(), Format::Json);
        let mut stream = session.listen("stream", None);
        // Ten heartbeats are 1.8 s of silence from the client.
        stream.wait_count(11);
        assert!(!stream.connection.is_over());
        assert_eq!(settled_metric(&server, "connections_timed_out_total"), 0);
    });
}

/// P-30: clients that take nothing hold a bounded part of the server, for a bounded time, and nobody else notices.
#[test]
fn who_takes_no_answers_is_cut_off() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-size", "16"], "");
        let session = Session::join(server.addr(), Format::Json);
        // This one opens a stream and never reads it.
        let stalled = Session::join(server.addr(), Format::Json);
        let mut stream = stalled.data_on(Connection::open_narrow(server.addr()), "listen", &[("p_subject", "/flood")]);
        // The kernel takes 28 KB for it at once and some KB more after a while: a smaller event could end up whole in there.
        let value = "v".repeat(200_000);
        let ended = wait_for(SOON, || {
            session.publish("/flood", &[("value", &value)]);
            metric(&server, "sessions_ended_total{reason=\"queue-full\"}") == 1
        });
        assert!(ended, "the queue of a reader that stopped is never full");

        // And this one asks and asks, and reads no answer.
        let requests = session.request("publish", &[("p_subject", "/nobody")]).repeat(200);
        let mut greedy = Connection::open_narrow(server.addr());
        let mut friend = Connection::open(server.addr());
        let memory_before = resident_kib(&server);
        let (began, mut at, mut memory_max, mut slowest) = (Instant::now(), 0, 0, Duration::ZERO);
        let cut = wait_for(Duration::from_millis(LINGER_MS) + SOON, || {
            // A piece at a time, so that the server sees each of them.
            match greedy.send_some(&requests[at..requests.len().min(at + 16_384)]) {
                Ok(sent) => at = (at + sent) % requests.len(),
                Err(_) => return true,
            }
            memory_max = memory_max.max(resident_kib(&server));
            let asked = Instant::now();
            assert_eq!(friend.ask(&session.request("hb", &[]), SOON).head.status, 200);
            slowest = slowest.max(asked.elapsed());
            false
        });
        assert!(cut, "it may ask for ever without reading");
        assert!(began.elapsed() >= Duration::from_millis(LINGER_MS - 1000), "cut after {:?}", began.elapsed());
        assert!(memory_max < memory_before + 8 * 1024, "{memory_before} KiB became {memory_max} KiB");
        assert!(slowest < Duration::from_secs(3), "another client waited for {slowest:?}");
        wait_metric(&server, "connections_timed_out_total", 2, SOON);
        stream.connection.wait_until(SOON, Connection::is_closed);
        assert!(stream.connection.is_closed() && !stream.connection.is_whole(), "a stream that was cut is not whole");
    });
}
