//! Bytes that are almost requests, and bytes that are nothing. The seed of a failing connection is in its message.

use std::time::Duration;

use pushletd::protocol::Format;

use crate::slow::Dice;
use crate::support::http::{Connection, get, post};
use crate::support::look::wait_metric;
use crate::support::pushlet::{PATH, SOON, Session, target};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

const CONNECTIONS: u64 = 1500;
const AT_A_TIME: u64 = 50;
const SHORT: &str = "[http]\nhead_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nidle_timeout = \"300ms\"\n";

/// Data requests: their answers stay open.
const DATA_REQUESTS: usize = 3;

/// Valid requests of every kind, data requests first.
fn requests(session: &Session) -> Vec<Vec<u8>> {
    let id = session.id.as_str();
    vec![
        session.request("refresh", &[]),
        session.request("listen", &[("p_subject", "/g"), ("p_mode", "pull")]),
        get(&target(&[("p_event", "join-listen"), ("p_format", "js"), ("p_subject", "/g")])),
        session.request("hb", &[]),
        session.request("publish", &[("p_subject", "/g"), ("text", "äöü <&>")]),
        session.request("subscribe", &[("p_subject", "/g,/h"), ("p_label", "l")]),
        get(&target(&[("p_event", "join"), ("p_format", "ser")])),
        get("/"),
        post(PATH, "text/xml", format!("<event p_event=\"hb\" p_id=\"{id}\" />").as_bytes()),
        post(PATH, "application/json", format!("{{\"p_event\":\"hb\",\"p_id\":\"{id}\"}}").as_bytes()),
        format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            .into_bytes(),
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab".to_vec(),
        b"HEAD http://h/pushlet.srv?p_event=join HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(),
    ]
}

/// The bytes of one connection: some requests, spoilt in some places.
fn spoilt(seed: u64, requests: &[Vec<u8>]) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut bytes: Vec<u8> = (0..=dice.below(4)).flat_map(|_| requests[dice.below(requests.len())].clone()).collect();
    for _ in 0..dice.below(6) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => bytes[at] = dice.below(256) as u8,
            1 => bytes.insert(at, dice.below(256) as u8),
            2 => drop(bytes.drain(at..(at + 1 + dice.below(30)).min(bytes.len()))),
            3 => bytes
                .splice(at..at, [b"\r\n".as_slice(), b"\n", b"\0", b" ", b"%", b"\xff\xfe"][dice.below(6)].to_vec())
                .for_each(drop),
            4 => {
                let copy = bytes[at..(at + dice.below(200)).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.truncate(at + 1),
        }
        if bytes.is_empty() {
            bytes.push(b'x');
        }
    }
    bytes
}

/// Whether this connection leaves the server waiting for more. It asks for no data answer, which would rightly stay open.
const fn stays(seed: u64) -> bool {
    seed.is_multiple_of(8)
}

#[test]
fn no_bytes_harm_the_server() {
    on_both_drivers_at_once(|driver| {
        let mut server = Server::start_with_admin(driver, &[], SHORT);
        let session = Session::join(server.addr(), Format::Json);
        let requests = requests(&session);
        for round in 0..CONNECTIONS / AT_A_TIME {
            let seeds = round * AT_A_TIME..(round + 1) * AT_A_TIME;
            let mut open: Vec<(u64, Connection)> = seeds
                .map(|seed| {
                    let mut connection = Connection::open(server.addr());
                    // It may be refused before everything is out.
                    let _ = connection
                        .try_send(&spoilt(seed, if stays(seed) { &requests[DATA_REQUESTS..] } else { &requests }));
                    // Most say that this is all; some leave the server waiting.
                    if !stays(seed) {
                        let _ = connection.stream().shutdown(std::net::Shutdown::Write);
                    }
                    (seed, connection)
                })
                .collect();
            let closed = wait_for(Duration::from_secs(10), || {
                open.retain_mut(|(_, connection)| {
                    while connection.sip(64 * 1024) > 0 {}
                    !connection.is_closed()
                });
                open.is_empty()
            });
            let left: Vec<u64> = open.iter().map(|(seed, _)| *seed).collect();
            assert!(closed, "not closed: seeds {left:?}");
        }
        assert_eq!(server.wait(Duration::ZERO), None, "it lives");
        let mut connection = Connection::open(server.addr());
        assert_eq!(connection.ask(&get("/"), SOON).head.status, 200);
        drop(connection);
        wait_metric(&server, "connections", 1, SOON);
        assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
    });
}
