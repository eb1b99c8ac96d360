//! Requests that cannot be read: the client gets to know why, and nobody else notices.

use std::time::Duration;

use pushletd::protocol::Format;

use crate::support::http::Connection;
use crate::support::look::{metric, settled_metric, wait_metric};
use crate::support::pushlet::{PATH, SOON, Session};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

/// Request, status.
fn refusals() -> Vec<(Vec<u8>, u16)> {
    let long = "x".repeat(9000);
    let head = |fields: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes();
    let many: String = (0..100).map(|number| format!("X-{number}: 1\r\n")).collect();
    vec![
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
        (b"get / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\nHost: h\n\n".to_vec(), 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n".to_vec(), 505),
        (b"GET /\r\n\r\n".to_vec(), 505),
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes(), 414),
        (head(&format!("A: {long}\r\nB: {long}\r\n")), 431),
        (head(&many), 431),
        (head("Host: h\r\n"), 400),
        (head("Expect: tea\r\n"), 417),
        (head("Content-Length: 1\r\nContent-Length: 1\r\n"), 400),
        (head("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400),
        (head("Content-Length: +1\r\n"), 400),
        (head("Content-Length: 99999999999999999999999\r\n"), 400),
        (head("Transfer-Encoding: chunked\r\n").into_iter().chain(*b"zz\r\n").collect(), 400),
        (head("Content-Length: 300000\r\n"), 413),
        (b"GET http:// HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 400),
    ]
}

#[test]
fn a_refused_request_is_told_why_and_closed_and_nobody_is_disturbed() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        let mut stream = session.listen("stream", Some("/undisturbed"));
        stream.wait_count(2);
        let refused_before = settled_metric(&server, "requests_refused_total");
        let refusals = refusals();
        for (request, status) in &refusals {
            let shown = String::from_utf8_lossy(&request[..request.len().min(80)]).into_owned();
            let mut connection = Connection::open(server.addr());
            let answer = connection.ask(request, SOON);
            assert_eq!(answer.head.status, *status, "{shown}");
            assert_eq!(answer.head.get("connection"), Some("close"), "{shown}");
            assert!(answer.body.len() > 10, "a reason that a person understands: {shown}");
            connection.wait_closed(SOON);
            let mut next = Connection::open(server.addr());
            assert_eq!(next.ask(&session.request("hb", &[]), SOON).head.status, 200, "behind {shown}");
        }
        wait_metric(&server, "requests_refused_total", refused_before + refusals.len() as u64, SOON);
        session.publish("/undisturbed", &[("text", "still here")]);
        assert_eq!(stream.wait_data(1)[0].field("p_seq"), "2");
        assert_eq!(server.stderr().matches("panicked").count(), 0);
    });
}

/// What was asked before a bad request is answered before it is refused.
#[test]
fn good_requests_before_a_bad_one_are_answered() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        let mut connection = Connection::open(server.addr());
        let bad = b"BAD\x00 / HTTP/1.1\r\n\r\n".to_vec();
        connection
            .send(&[session.request("hb", &[]), session.request("hb", &[]), bad, session.request("hb", &[])].concat());
        let statuses = [0; 3].map(|_| connection.next_answer(SOON).head.status);
        assert_eq!(statuses, [200, 200, 400]);
        connection.wait_closed(SOON);
    });
}

/// The answer must not be lost in a reset because the client was still sending: it can read it during and after its 10 MiB.
#[test]
fn a_client_that_goes_on_sending_can_read_its_refusal() {
    const SENT: usize = 10 << 20;
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        let counted = format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {SENT}\r\n\r\n");
        let chunked = format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{SENT:x}\r\n");
        let piece = vec![b'x'; 64 * 1024];
        for head in [counted, chunked] {
            let mut connection = Connection::open(server.addr());
            connection.request(head.as_bytes());
            let mut sent = 0;
            while sent < SENT {
                connection.try_send(&piece).expect("the server goes on taking the body");
                sent += piece.len();
            }
            let answer = connection.wait_answer(SOON);
            assert!(connection.is_whole());
            assert_eq!((answer.head.status, answer.head.get("connection")), (413, Some("close")));
            connection.wait_closed(SOON);
            drop(connection);
            assert_eq!(Connection::open(server.addr()).ask(&session.request("hb", &[]), SOON).head.status, 200);
        }
        wait_metric(&server, "requests_refused_total", 2, SOON);
        // Nobody is left behind: our own question is the only connection.
        let alone = wait_for(Duration::from_secs(5), || metric(&server, "connections") == 1);
        assert!(alone, "{} connections", metric(&server, "connections"));
    });
}
