//! WebSockets that say much, read little, or both: nothing is torn, nobody waits for another, and memory is bounded.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::modern::{Stream, publish_well, publishing};
use crate::slow::Dice;
use crate::support::http::Connection;
use crate::support::look::{metric, resident_kib, settled_metric};
use crate::support::pushlet::SOON;
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};
use crate::support::websocket::{Got, WebSocket, frame, text};

fn ids(socket: &WebSocket, kind: &str) -> Vec<u64> {
    socket.objects().filter(|object| object["type"] == kind).filter_map(|object| object["id"].as_u64()).collect()
}

fn pongs(got: &[Got]) -> usize {
    got.iter().filter(|got| matches!(got, Got::Object(object) if object["type"] == "pong")).count()
}

/// Much more than a turn's share at once: all is answered in order, and others are served meanwhile.
#[test]
fn many_requests_at_once_are_answered_in_order() {
    const MANY: u64 = 5_000;
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-size", "4096"], "");
        let mut other = WebSocket::open(server.addr(), "");
        let mut socket = WebSocket::open(server.addr(), "subject=/a");
        let pings: Vec<u8> = (0..MANY).flat_map(|id| text(&format!(r#"{{"type":"ping","id":{id}}}"#))).collect();
        socket.send(&pings);
        assert_eq!(other.ask(json!({"type": "ping"}))["type"], "pong");
        socket.wait(SOON, |got| pongs(got) == MANY as usize);
        assert_eq!(ids(&socket, "pong"), (0..MANY).collect::<Vec<_>>());
        // Pings of the protocol, and messages that are no requests, have no larger share.
        let noise: Vec<u8> = (0..3_000_u32)
            .flat_map(|at| [frame(0x89, &at.to_be_bytes()), text("x"), frame(0x8a, b"")].concat())
            .collect();
        socket.send(&noise);
        let answered = |got: &[Got]| got.iter().filter(|got| matches!(got, Got::Pong(_))).count();
        socket.wait(SOON, |got| answered(got) == 3_000);
        assert_eq!(socket.objects().filter(|object| object["type"] == "nack").count(), 3_000);

        // Arrays of as many requests as there may be. Its own events stand between their acks, in order.
        let item = |id: usize| format!(r#"{{"type":"publish","id":{id},"subject":"/a","data":{id}}}"#);
        for array in 0..3 {
            let items: Vec<String> = (0..1_024).map(|at| item(array * 1_024 + at)).collect();
            socket.send(&text(&format!("[{}]", items.join(","))));
        }
        let all = 3 * 1_024;
        assert_eq!(socket.wait_data(all), (0..all).map(Value::from).collect::<Vec<_>>());
        socket.wait(SOON, |got| {
            got.iter().filter(|got| matches!(got, Got::Object(object) if object["type"] == "ack")).count() == all
        });
        assert_eq!(ids(&socket, "ack"), (0..all as u64).collect::<Vec<_>>());
        // No event comes before it was asked for.
        let mut acks = 0;
        for object in socket.objects() {
            acks += usize::from(object["type"] == "ack");
            if let Some(number) = object["data"].as_u64() {
                assert!((number as usize) < acks + 128, "event {number} behind {acks} acks");
            }
        }
    });
}

/// P-30: a client that publishes and never reads: what is held for it is bounded, others are served, and it is ended.
#[test]
fn who_never_reads_is_bounded_and_ended() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-size", "64"], "");
        let mut other = WebSocket::open(server.addr(), "");
        let mut greedy = WebSocket::open_on(Connection::open_narrow(server.addr()), "subject=/a", "");
        let before = resident_kib(&server);
        // It asks until the server reads no more of it.
        let long = json!({"type": "publish", "id": "i".repeat(64), "subject": "/none", "data": 1}).to_string();
        let requests = text(&long).repeat(500);
        let (mut sent, mut quiet) = (0_usize, Instant::now());
        let deadline = Instant::now() + Duration::from_secs(30);
        while quiet.elapsed() < Duration::from_millis(500) && Instant::now() < deadline {
            let at = sent % requests.len();
            let took = greedy.connection.send_some(&requests[at..]).expect("it is not ended for that");
            if took > 0 {
                (sent, quiet) = (sent + took, Instant::now());
            } else {
                assert_eq!(other.ask(json!({"type": "ping"}))["type"], "pong", "others are served");
            }
        }
        assert!(Instant::now() < deadline, "{sent} bytes of requests and it is still read");
        let grown = resident_kib(&server).saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB for one that reads nothing and has sent {sent} bytes");
        // Then its queue fills with what others publish.
        let value = "v".repeat(1_000);
        let ended = wait_for(Duration::from_secs(20), || {
            publish_well(server.addr(), &json!({"subject": "/a", "data": value}));
            metric(&server, "sessions_ended_total{reason=\"queue-full\"}") == 1
        });
        assert!(ended);
        assert_eq!(other.ask(json!({"type": "ping"}))["type"], "pong");
        // When it reads at last it is told, behind whole answers.
        greedy.wait(SOON, |got| matches!(got.last(), Some(Got::Close(_))));
        assert!(matches!(greedy.closed(), Some(Some((4004, _)))), "{:?}", greedy.closed());
        assert_eq!((&greedy.end()["reason"], &greedy.end()["action"]), (&json!("queue-full"), &json!("rejoin")));
    });
}

/// P-30: answers and events on one narrow connection that is read in sips: every frame is whole, answers come in order, events too, and the
/// next one says how many were lost.
#[test]
fn answers_stand_between_events() {
    on_both_drivers_at_once(|driver| {
        let args = ["--queue-size", "9", "--overflow", "drop-oldest", "--cores", "2"];
        let server = Server::start_with_admin(driver, &args, "");
        let mut socket = WebSocket::open_on(Connection::open_narrow(server.addr()), "subject=/a", "");
        let mut witness = Stream::open(server.addr(), "subject=/a");
        let mut publisher = Connection::open(server.addr());
        let mut dice = Dice::new(7);
        let (mut published, mut asked) = (0_u64, 0_u64);
        let deadline = Instant::now() + Duration::from_secs(20);
        // Until much was lost, and many answers were asked for meanwhile.
        while (metric(&server, "lost_total") < 60 || asked < 300) && Instant::now() < deadline {
            for _ in 0..8 {
                let value = "v".repeat(dice.below(9_000));
                let body = json!({"subject": "/a", "data": {"number": published, "value": value}});
                assert_eq!(publisher.ask(&publishing(&body), SOON).head.status, 202);
                published += 1;
            }
            if asked < 2_000 {
                for _ in 0..dice.below(12) {
                    asked = match dice.below(3) {
                        0 => socket.request(json!({"type": "subscribe", "subject": "/b"})),
                        1 => socket.request(json!({"type": "publish", "subject": "/none", "data": null})),
                        _ => socket.request(json!({"type": "ping"})),
                    };
                }
            }
            for _ in 0..dice.below(20) {
                // Not more than so much: the server's writes are to end anywhere.
                let mut piece = dice.below(3_000) + 1;
                while piece > 0 && socket.connection.sip(piece.min(97)) > 0 {
                    piece = piece.saturating_sub(97);
                }
            }
        }
        let lost_before = metric(&server, "lost_total");
        assert!(lost_before >= 60, "{lost_before} of {published} events were lost");
        socket.wait(Duration::from_secs(20), |got| {
            got.iter().any(|got| matches!(got, Got::Object(object) if object["data"]["number"] == published - 1))
        });
        socket.wait_answer(asked);
        let answers: Vec<u64> = socket.objects().filter_map(|object| object["id"].as_u64()).collect();
        assert_eq!(answers, (1..=asked).collect::<Vec<_>>());
        let (mut next, mut lost) = (0, 0);
        for event in socket.events() {
            let missing = event.get("lost").map_or(0, |lost| lost.as_u64().expect("a number"));
            assert_eq!(event["data"]["number"], next + missing, "lost stands for what is missing before this event");
            next += missing + 1;
            lost += missing;
        }
        assert_eq!(next, published);
        let told: u64 = witness
            .wait(SOON, |events| events.iter().any(|(_, object)| object["data"]["number"] == published - 1))
            .iter()
            .filter_map(|(_, object)| object.get("lost").and_then(Value::as_u64))
            .sum();
        assert_eq!(lost + told, settled_metric(&server, "lost_total"));
        assert_eq!(settled_metric(&server, "sessions_ended_total{reason=\"queue-full\"}"), 0);
    });
}
