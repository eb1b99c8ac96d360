//! How WebSockets end: by either side, by silence, by signals; and that nothing is left of them.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::modern::publish_well;
use crate::support::http::{Connection, get};
use crate::support::look::{descriptors, metric, wait_metric};
use crate::support::pushlet::{SOON, control};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};
use crate::support::websocket::{Got, WebSocket, frame, handshake, text};

const DISCONNECTED: &str = "sessions_ended_total{reason=\"disconnected\"}";

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// RFC 6455 section 7.1: who closes is answered in kind; a server that closes says why and waits for the answer; a half-closed connection and
/// one that is reset count as closed (P-31).
#[test]
fn either_side_may_close() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let open = || WebSocket::open(server.addr(), "subject=/a");
        for (sent, answer) in [
            (close(1000, "bye"), Some((1000, String::new()))),
            (close(1001, ""), Some((1001, String::new()))),
            (close(4321, "mine"), Some((4321, String::new()))),
            (frame(0x88, b""), None),
        ] {
            let mut socket = open();
            // What is asked before is answered, what comes behind is not looked at.
            let id = socket.request(json!({"type": "ping"}));
            socket.send(&[&sent[..], &text("nonsense"), &[0xff; 40]].concat());
            socket.wait_end();
            assert_eq!(socket.closed(), Some(&answer));
            assert!(socket.objects().any(|object| object["id"] == id) && socket.objects().count() == 2);
        }
        wait_metric(&server, DISCONNECTED, 4, SOON);

        let mut socket = open();
        let id = socket.id();
        let left = control(server.addr(), &[("p_event", "leave"), ("p_id", &id)]);
        assert!(left.text().contains("leave-ack"), "{}", left.text());
        assert_eq!(socket.wait_close(4001), "the session has left");
        let end = socket.end();
        assert_eq!((&end["reason"], &end["action"]), (&json!("leave"), &json!("nothing")));
        assert!(end["retry_ms"].as_u64().is_some_and(|ms| ms > 0));
        // The other half is open until the client closes, too, and what still comes is read and dropped.
        let _ = socket.connection.try_send(&close(4001, ""));
        drop(socket);

        let mut half = open();
        let id = half.request(json!({"type": "ping"}));
        half.connection.half_close();
        half.wait_end();
        assert!(half.objects().any(|object| object["id"] == id), "it was asked before the end");
        open().connection.reset();
        drop(open());
        // In the middle of a message, and of a handshake.
        let mut cut = open();
        cut.send(&text(&"x".repeat(1_000))[..500]);
        drop(cut);
        Connection::open(server.addr()).send(&handshake("", "")[..60]);
        let mut early = Connection::open(server.addr());
        early.send(&handshake("subject=/a", ""));
        drop(early);
        wait_metric(&server, "sessions", 0, SOON);
        wait_metric(&server, "connections", 1, SOON);
        wait_metric(&server, "subscriptions", 0, SOON);
        wait_metric(&server, "sessions_ended_total{reason=\"leave\"}", 1, SOON);
    });
}

/// Whoever gives no sign of life is asked for one, and then closed; whoever answers stays, also where it is silent otherwise.
#[test]
fn silence_ends_a_websocket() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--heartbeat", "400ms"], "");
        let mut alive = WebSocket::open(server.addr(), "heartbeat=event");
        // So busy that no heartbeat is due, and silent itself: it is asked for a sign of life again and again.
        let mut busy = WebSocket::open(server.addr(), "subject=/busy");
        let mut publisher = WebSocket::open(server.addr(), "");
        let mut dead = WebSocket::open(server.addr(), "subject=/a");
        dead.is_alive = false;
        let mut let_live = || {
            alive.sip(4_096);
            busy.sip(65_536);
            let published = publisher.ask(json!({"type": "publish", "subject": "/busy", "data": 1}));
            assert_eq!(published["accepted"], 1);
        };
        let gone = wait_for(SOON, || {
            let_live();
            metric(&server, "sessions_ended_total{reason=\"not-alive\"}") == 1
        });
        assert!(gone, "a dead client is still there");
        dead.wait_close(4003);
        let end = dead.end();
        assert_eq!((&end["reason"], &end["action"]), (&json!("not-alive"), &json!("rejoin")));
        assert!(dead.got().contains(&Got::Ping(vec![])));
        // Another round, so that the one that answers pings would be gone by now as well.
        let mut other = WebSocket::open(server.addr(), "");
        other.is_alive = false;
        let gone = wait_for(SOON, || {
            let_live();
            metric(&server, "sessions_ended_total{reason=\"not-alive\"}") == 2
        });
        assert!(gone);
        assert_eq!(busy.ask(json!({"type": "ping"}))["type"], "pong");
        let asked = busy.got().iter().filter(|got| **got == Got::Ping(vec![])).count();
        assert!(asked >= 2, "asked {asked} times for a sign of life");
        assert_eq!(alive.ask(json!({"type": "ping"}))["type"], "pong");
        assert!(alive.objects().any(|object| *object == json!({"type": "heartbeat"})));
        assert!(alive.got().contains(&Got::Ping(vec![])));
        assert!(!dead.objects().any(|object| object["type"] == "heartbeat"), "it has not asked to see them");
        // A message that never ends is a sign of life while it comes, and none when it stops.
        let mut slow = WebSocket::open(server.addr(), "");
        slow.is_alive = false;
        slow.send(&text(&" ".repeat(100))[..50]);
        slow.wait_close(4003);
    });
}

/// P-32: everybody is told behind what was published before, with times to come again that differ, and the program ends when they have gone.
#[test]
fn term_tells_every_websocket() {
    on_both_drivers_at_once(|driver| {
        let mut server = Server::start_with_admin(driver, &["--drain-time", "10s", "--cores", "2"], "");
        let mut sockets: Vec<WebSocket> = (0..16).map(|_| WebSocket::open(server.addr(), "subject=/s")).collect();
        assert_eq!(sockets[0].ask(json!({"type": "publish", "subject": "/s", "data": 1}))["accepted"], 1);
        let mut late = Connection::open(server.addr());
        assert_eq!(late.ask(&get("/"), SOON).head.status, 200);
        late.begin(false);
        late.send(&handshake("", "")[..20]);
        server.signal(Signal::TERM);
        let mut times = BTreeSet::new();
        for socket in &mut sockets {
            assert_eq!(socket.wait_close(1012), "the server is shutting down");
            assert_eq!(socket.data(), [1]);
            let end = socket.end();
            assert_eq!((&end["reason"], &end["action"]), (&json!("shutdown"), &json!("rejoin-later")));
            times.insert(end["retry_ms"].as_u64().expect("a time"));
        }
        assert!(times.len() > 8, "they would all come at once: {times:?}");
        late.send(&handshake("", "")[20..]);
        assert_eq!(late.wait_answer(SOON).head.status, 503);
        drop((sockets, late));
        assert_eq!(server.wait(SOON).and_then(|status| status.code()), Some(0), "{}", server.stderr());
    });
}

/// HUP: another bound for messages holds at once, for connections that are there already as well; new ones are told it.
#[test]
fn another_bound_is_taken_while_serving() {
    on_both_drivers_at_once(|driver| {
        let config = |bytes: u32| format!("[http]\nws_message_max = \"{bytes}B\"\n");
        let server = Server::start_with_admin(driver, &[], &config(2_048));
        let mut socket = WebSocket::open(server.addr(), "");
        assert_eq!(socket.first()["message_max"], 2_048);
        let ping = |bytes: usize| text(&format!("{{\"type\":\"ping\",\"id\":\"x\"{}}}", " ".repeat(bytes - 24)));
        WebSocket::open(server.addr(), "").send(&ping(2_048));
        let mut over = WebSocket::open(server.addr(), "");
        over.send(&ping(2_049));
        over.wait_close(1009);
        server.rewrite_config(&config(4_096));
        server.signal(Signal::HUP);
        server.wait_stderr("the configuration was reloaded", SOON);
        let told = wait_for(SOON, || WebSocket::open(server.addr(), "").first()["message_max"] == 4_096);
        assert!(told, "{}", server.stderr());
        socket.send(&ping(4_096));
        socket.wait(SOON, |got| matches!(got.last(), Some(Got::Object(object)) if object["type"] == "pong"));
        socket.send(&ping(4_097));
        socket.wait_close(1009);
    });
}

/// A server that is full says so in HTTP, and has room again when somebody leaves.
#[test]
fn a_full_server_makes_no_websocket() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--max-connections", "3"], "");
        let mut sockets: Vec<WebSocket> = (0..3).map(|_| WebSocket::open(server.addr(), "subject=/a")).collect();
        let mut turned_away = Connection::open(server.addr());
        turned_away.request(&handshake("subject=/a", ""));
        let answer = turned_away.wait_answer(SOON);
        assert_eq!((answer.head.status, answer.head.get("connection")), (503, Some("close")));
        assert!(answer.head.get("retry-after").is_some());
        turned_away.wait_closed(SOON);
        sockets.pop().expect("three").send(&close(1000, ""));
        let room = wait_for(SOON, || {
            let mut connection = Connection::open(server.addr());
            connection.request(&handshake("subject=/a", ""));
            connection.wait_head(SOON).status == 101
        });
        assert!(room);
        publish_well_by(&mut sockets[0]);
        assert_eq!(sockets[1].wait_data(1), [7]);
    });
}

fn publish_well_by(socket: &mut WebSocket) {
    assert_eq!(socket.ask(json!({"type": "publish", "subject": "/a", "data": 7}))["accepted"], 1);
}

/// Coming and going, in every way there is: no session, no connection, no descriptor is left.
#[test]
fn two_thousand_websockets_leave_nothing() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--cores", "2"], "");
        wait_metric(&server, "connections", 1, SOON);
        let before = descriptors(&server);
        for round in 0..20 {
            let mut sockets: Vec<WebSocket> =
                (0..100).map(|_| WebSocket::open(server.addr(), "subject=/churn,/c/*")).collect();
            publish_well(server.addr(), &json!({"subject": "/churn", "data": round}));
            for (at, mut socket) in sockets.drain(..).enumerate() {
                match at % 5 {
                    0 => {
                        assert_eq!(socket.wait_data(1), [round]);
                        socket.send(&close(1000, ""));
                        assert_eq!(socket.wait_close(1000), "");
                    }
                    1 => socket.connection.reset(),
                    2 => socket.connection.half_close(),
                    3 => socket.send(&text("{\"type\":\"ping\"}")[..7]),
                    _ => socket.send(&frame(0x82, b"x")),
                }
            }
        }
        for name in ["sessions", "sessions_listening", "subscriptions"] {
            wait_metric(&server, name, 0, SOON);
        }
        wait_metric(&server, "connections", 1, SOON);
        let back = wait_for(Duration::from_secs(5), || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
        wait_metric(&server, "joins_total", 2_000, SOON);
    });
}

/// A message that has begun must come whole in the time that the body of a request has, whatever signs of life come between its parts: its bytes
/// are held for so long.
#[test]
fn a_message_must_come_whole_in_time() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "[http]\nbody_timeout = \"300ms\"\n");
        let mut idle = WebSocket::open(server.addr(), "subject=/a");
        let mut slow = WebSocket::open(server.addr(), "subject=/a");
        slow.send(&frame(0x01, b"["));
        let cut_off = wait_for(SOON, || {
            let _ = slow.connection.try_send(&frame(0x8a, b""));
            slow.wait_until(Duration::from_millis(20), |_| false);
            slow.closed().is_some()
        });
        assert!(cut_off && slow.wait_close(1008).contains("complete"));
        assert_eq!(idle.ask(json!({"type": "ping"}))["type"], "pong");
    });
}
