//! `/v1/ws` over real sockets: the handshake, and what is said.

use serde_json::{Value, json};

use crate::modern::{Stream, problem_of, publish_well};
use crate::support::cores::{connection_on, core_of};
use crate::support::http::{Connection, get, post};
use crate::support::look::{metric, wait_metric};
use crate::support::pushlet::SOON;
use crate::support::server::{Server, on_both_drivers_at_once};
use crate::support::websocket::{Got, KEY, WebSocket, deflated, frame, handshake, text};

const MESSAGE_MAX: usize = 256 * 1024;

fn head_of(lines: &str) -> Vec<u8> {
    format!("GET /v1/ws?subject=/a HTTP/1.1\r\nHost: localhost\r\n{}\r\n", lines.replace('\n', "\r\n")).into_bytes()
}

/// What is no good handshake gets a problem document that names the field, and the connection goes on.
#[test]
fn a_bad_handshake_is_refused() {
    let upgrade = "Upgrade: websocket\nConnection: Upgrade\n";
    let version = "Sec-WebSocket-Version: 13\n";
    let key = format!("Sec-WebSocket-Key: {KEY}\n");
    let whole = format!("{upgrade}{version}{key}");
    let old = String::from_utf8(handshake("", "")).expect("ASCII").replace("HTTP/1.1", "HTTP/1.0");
    let table: Vec<(Vec<u8>, u16, Value)> = vec![
        (get("/v1/ws"), 426, json!("Upgrade")),
        (head_of(&format!("Connection: Upgrade\n{version}{key}")), 426, json!("Upgrade")),
        (head_of(&format!("Upgrade: websocket\n{version}{key}")), 426, json!("Upgrade")),
        (head_of(&format!("Upgrade: h2c\nConnection: Upgrade\n{version}{key}")), 426, json!("Upgrade")),
        (head_of(&format!("{upgrade}{key}")), 426, json!("Sec-WebSocket-Version")),
        (head_of(&format!("{upgrade}Sec-WebSocket-Version: 8\n{key}")), 426, json!("Sec-WebSocket-Version")),
        (head_of(&format!("{upgrade}{version}")), 400, json!("Sec-WebSocket-Key")),
        (head_of(&format!("{upgrade}{version}Sec-WebSocket-Key: short\n")), 400, json!("Sec-WebSocket-Key")),
        (head_of(&format!("{whole}Sec-WebSocket-Protocol: chat, v2\n")), 400, json!("Sec-WebSocket-Protocol")),
        (head_of(&format!("{whole}Sec-WebSocket-Extensions: ;;\n")), 400, json!("Sec-WebSocket-Extensions")),
        (head_of(&format!("{whole}Origin: http://evil.example\n")), 403, json!("Origin")),
        (head_of(&format!("{whole}Authorization: Bearer unknown-secret-of-nobody\n")), 401, json!("Authorization")),
        (handshake("key=unknown-secret-of-nobody", ""), 401, json!("Authorization")),
        (handshake("subject=/a,/staff/x", ""), 401, json!("Authorization")),
        (handshake("subject=/a*", ""), 400, json!("subject")),
        (handshake("subject=", ""), 400, json!("subject")),
        (handshake("subject=/a&queue=0", ""), 400, json!("queue")),
        (handshake("heartbeat=maybe", ""), 400, json!("heartbeat")),
        (post("/v1/ws", "text/plain", b"x"), 405, Value::Null),
        (b"HEAD /v1/ws HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 405, Value::Null),
        (get("/v1/ws/"), 404, Value::Null),
        (old.into_bytes(), 426, Value::Null),
    ];
    on_both_drivers_at_once(|driver| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "the-secret-of-staff\n").expect("the secret is written");
        let config = format!(
            "[[key]]\nname = \"staff\"\nfile = {:?}\n[[access]]\nsubject = \"/staff/**\"\npublish = \"anyone\"\nsubscribe = [\"staff\"]\n",
            file.path()
        );
        let server = Server::start_with_admin(driver, &[], &config);
        for (request, status, field) in &table {
            let shown = String::from_utf8_lossy(request).into_owned();
            let mut connection = Connection::open(server.addr());
            connection.request(request);
            let answer = connection.wait_answer(SOON);
            assert_eq!(answer.head.status, *status, "{shown}{}", answer.text());
            if !request.starts_with(b"HEAD") {
                assert_eq!(problem_of(&answer, *status)["field"], *field, "{shown}");
            }
            let told = |name: &str| answer.head.get(name).map(str::to_ascii_lowercase);
            match status {
                426 => {
                    assert_eq!(told("upgrade").as_deref(), Some("websocket"), "{shown}");
                    assert!(told("connection").is_some_and(|tokens| tokens.contains("upgrade")), "{shown}");
                    assert_eq!(told("sec-websocket-version").as_deref(), Some("13"), "{shown}");
                }
                405 => assert_eq!(answer.head.get("allow"), Some("GET, OPTIONS")),
                _ => {}
            }
            if !shown.contains("HTTP/1.0") {
                drop(WebSocket::open_on(connection, "", ""));
            }
        }
        // P-7: by the header or, where that cannot be set, in the query; the session keeps it.
        let mut staff = WebSocket::open(server.addr(), "subject=/staff/x&key=the-secret-of-staff");
        assert_eq!(staff.ask(json!({"type": "subscribe", "subject": "/staff/y"}))["type"], "ack");
        let mut other = WebSocket::open(server.addr(), "");
        let nack = other.ask(json!({"type": "subscribe", "subject": ["/a", "/staff/y"]}));
        assert_eq!((&nack["status"], &nack["field"]), (&json!(401), &json!("Authorization")));
        drop((staff, other));
        wait_metric(&server, "sessions", 0, SOON);
        wait_metric(&server, "subscriptions", 0, SOON);
    });
}

/// Requests and answers, and everybody's events, on one core and on three; beside a client of another door.
#[test]
fn a_conversation() {
    on_both_drivers_at_once(|driver| {
        for cores in ["1", "3"] {
            let server = Server::start_with_admin(driver, &["--cores", cores], "");
            let mut one = WebSocket::open_on(
                Connection::open(server.addr()),
                "",
                "Sec-WebSocket-Protocol: chat, pushlet.v1.json\r\n",
            );
            assert_eq!(one.head().get("sec-websocket-protocol"), Some("pushlet.v1.json"));
            assert_eq!(one.first()["message_max"], MESSAGE_MAX);
            let address = one.first()["address"].clone();
            let mut other = WebSocket::open(server.addr(), "subject=/s/*");
            assert_eq!(other.head().get("sec-websocket-protocol"), None);
            let mut stream = Stream::open(server.addr(), "subject=/s/*");
            assert_eq!(one.ask(json!({"type": "subscribe", "subject": ["/s/1", "/s/2"]}))["type"], "ack");
            for number in 0..30 {
                let told = one.ask(json!({"type": "publish", "subject": format!("/s/{}", number % 3), "data": number}));
                assert_eq!((&told["type"], &told["accepted"], &told["refused"]), (&json!("ack"), &json!(1), &json!(0)));
            }
            assert_eq!(other.wait_data(30), (0..30).map(Value::from).collect::<Vec<_>>());
            assert_eq!(stream.wait_data(30), (0..30).map(Value::from).collect::<Vec<_>>());
            let own: Vec<i32> = (0..30).filter(|number| number % 3 != 0).collect();
            assert_eq!(one.wait_data(20), own.into_iter().map(Value::from).collect::<Vec<_>>());
            assert!(other.events().iter().chain(&one.events()).all(|event| event["from"] == address));

            let pong = one.ask(json!({"type": "ping"}));
            assert!(pong["type"] == "pong" && pong["time"].as_u64().is_some_and(|time| time > 1_600_000_000));
            assert_eq!(one.ask(json!({"type": "unsubscribe", "subject": "/s/1,/s/2"}))["type"], "ack");
            let nack = one.ask(json!({"type": "unsubscribe", "subject": "/s/1"}));
            assert_eq!((&nack["status"], &nack["field"]), (&json!(404), &json!("subject")));
            // To one session only, by its address.
            let to = json!({"type": "publish", "subject": "/x", "data": "you", "to": address});
            assert_eq!(other.ask(to)["accepted"], 1);
            assert_eq!(one.wait_data(21).pop(), Some(json!("you")));
            // What is nonsense is said to be, and the connection stays.
            for (message, status) in [("nope", 400), ("[]", 400), ("7", 400), ("{\"type\":\"dance\"}", 400)] {
                let before = one.objects().count();
                one.send(&text(message));
                one.wait(SOON, |got| got.iter().filter(|got| matches!(got, Got::Object(_))).count() > before);
                let nack = one.objects().last().expect("a nack");
                assert_eq!((&nack["type"], &nack["status"], nack.get("id")), (&json!("nack"), &json!(status), None));
            }
            assert_eq!(metric(&server, "sessions"), 3);
            assert_eq!(metric(&server, "subscriptions"), 2);
        }
    });
}

/// How a client breaks the rules, and with which code it is closed. Its session ends with that, and nobody else notices.
#[test]
fn broken_rules_close_with_their_codes() {
    let long = "x".repeat(MESSAGE_MAX + 1);
    let half = "x".repeat(MESSAGE_MAX / 2 + 1);
    let two = [frame(0x01, half.as_bytes()), frame(0x80, half.as_bytes())].concat();
    let mut unmasked = vec![0x81, 2];
    unmasked.extend_from_slice(b"{}");
    let head_only = [0x81, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 2, 3, 4];
    let table: Vec<(Vec<u8>, u16)> = vec![
        (unmasked, 1002),
        (frame(0xc1, b"{}"), 1002),
        (frame(0xa1, b"{}"), 1002),
        (frame(0x83, b"{}"), 1002),
        (frame(0x80, b"{}"), 1002),
        (frame(0x09, b""), 1002),
        (frame(0x89, &[0; 126]), 1002),
        (frame(0x88, b"x"), 1002),
        (frame(0x88, &999_u16.to_be_bytes()), 1002),
        (frame(0x82, b"{}"), 1003),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x01, b"ab\xc0"), 1007),
        (frame(0x81, b"\xe2\x82"), 1007),
        (text(&long), 1009),
        (two, 1009),
        // Said with the head, before anything has come.
        (head_only.to_vec(), 1009),
    ];
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let mut witness = WebSocket::open(server.addr(), "subject=/w");
        for (bytes, code) in &table {
            let mut socket = WebSocket::open(server.addr(), "subject=/a");
            // What came before is still answered.
            let id = socket.request(json!({"type": "ping"}));
            let _ = socket.connection.try_send(bytes);
            let reason = socket.wait_close(*code);
            assert!(reason.len() > 5, "{code} without a reason");
            assert!(socket.objects().any(|object| object["id"] == id), "{code}");
        }
        wait_metric(&server, "sessions", 1, SOON);
        assert_eq!(metric(&server, "requests_refused_total"), table.len() as u64);
        assert_eq!(witness.ask(json!({"type": "ping"}))["type"], "pong");
        // Exactly as much as may be.
        let blanks = MESSAGE_MAX - r#"{"type":"ping","id":"x"}"#.len();
        witness.send(&text(&format!("{{\"type\":\"ping\",{}\"id\":\"x\"}}", " ".repeat(blanks))));
        witness.wait(SOON, |got| matches!(got.last(), Some(Got::Object(object)) if object["id"] == "x"));
    });
}

/// Messages come in any pieces: at every byte, byte by byte, in frames between which a ping stands, and all at once with the handshake.
#[test]
fn messages_come_in_any_pieces() {
    let ping = |payload: &[u8]| frame(0x89, payload);
    let long = format!("{{\"type\":\"ping\",\"id\":\"{}\"}}{}", "i".repeat(60), " ".repeat(200));
    let message = [
        text(r#"{"type":"ping","id":1}"#),
        frame(0x01, br#"{"type":"#),
        ping(b"between"),
        frame(0x00, b""),
        frame(0x80, "\"ping\",\"id\":\"\u{4e2d}\"}".as_bytes()),
        text(&long),
        frame(0x8a, b"unasked"),
        text(r#"[{"type":"ping","id":2},{"type":"ping","id":3}]"#),
    ]
    .concat();
    let ids = [json!(1), json!("\u{4e2d}"), json!("i".repeat(60)), json!(2), json!(3)];
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let mut socket = WebSocket::open(server.addr(), "");
        let mut rounds = 0;
        let mut check = |socket: &mut WebSocket| {
            rounds += 1;
            let pongs = |got: &[Got]| {
                got.iter().filter(|got| matches!(got, Got::Object(object) if object["type"] == "pong")).count()
            };
            socket.wait(SOON, |got| pongs(got) == rounds * ids.len());
            let told: Vec<Value> = socket.objects().map(|object| object["id"].clone()).collect();
            assert_eq!(told[told.len() - ids.len()..], ids);
            let between = socket.got().iter().filter(|got| **got == Got::Pong(b"between".to_vec())).count();
            assert_eq!(between, rounds);
        };
        for cut in 0..message.len() {
            // The answer to what is in front of it says that the first piece was read by itself.
            let mark = cut.to_string().into_bytes();
            socket.send(&[&ping(&mark)[..], &message[..cut]].concat());
            socket.wait(SOON, |got| got.contains(&Got::Pong(mark.clone())));
            socket.send(&message[cut..]);
            check(&mut socket);
        }
        for byte in &message {
            socket.send(&[*byte]);
        }
        check(&mut socket);
        let mut connection = Connection::open(server.addr());
        connection.begin(false);
        connection.send(&[&get("/")[..], &handshake("", ""), &message].concat());
        assert_eq!(connection.wait_answer(SOON).head.status, 200);
        connection.begin(false);
        let mut socket = WebSocket::begun(connection);
        socket.wait(SOON, |got| got.len() == 1 + ids.len() + 1);
    });
}

/// RFC 7692: only for who offers it and where it is switched on; both sides compress, and either kind of message is understood.
#[test]
fn messages_may_be_compressed() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    on_both_drivers_at_once(|driver| {
        let off = Server::start(driver, &[], "");
        let socket = WebSocket::open_on(Connection::open(off.addr()), "", offer);
        assert_eq!(socket.head().get("sec-websocket-extensions"), None);
        let server = Server::start(driver, &["--cores", "2"], "[http]\nws_deflate = true\n");
        let mut plain = WebSocket::open(server.addr(), "subject=/a");
        let mut socket = WebSocket::open_on(Connection::open(server.addr()), "subject=/a", offer);
        let agreed = socket.head().get("sec-websocket-extensions").expect("it was offered");
        assert_eq!(agreed, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        socket.send(&deflated(r#"{"type":"ping","id":"deflated"}"#));
        socket.wait(SOON, |got| matches!(got.last(), Some(Got::Object(object)) if object["id"] == "deflated"));
        for number in 0..20 {
            let data = json!([number, "long ".repeat(number * 50)]);
            socket.send(&deflated(&json!({"type": "publish", "subject": "/a", "data": data}).to_string()));
        }
        assert_eq!(socket.wait_data(20), plain.wait_data(20));
        assert!((10..20).contains(&socket.inflated), "{} came compressed", socket.inflated);
        // A bomb is cut off before it is more than a message may be.
        socket.send(&deflated(&format!("{{\"type\":\"ping\",{}\"id\":1}}", " ".repeat(3 << 20))));
        socket.wait_close(1009);
        assert_eq!(plain.ask(json!({"type": "ping"}))["type"], "pong");
    });
}

/// Subscriptions of a running session are changed by requests that arrive at any core.
#[test]
fn another_core_may_be_asked() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--cores", "2"], "");
        for home in [0, 1] {
            let mut socket = WebSocket::open_on(connection_on(&server, home, 2), "", "");
            let mut stream = Stream::open_on(connection_on(&server, home, 2), "subject=/b");
            assert_eq!((core_of(&socket.id(), 2), core_of(&stream.id(), 2)), (home, home));
            let mut other = connection_on(&server, 1 - home, 2);
            let mut ask = |verb: &str, id: &str, query: &str| {
                other.ask(&post(&format!("/v1/{verb}?session={id}&{query}"), "text/plain", b""), SOON)
            };
            for id in [socket.id(), stream.id()] {
                let answer = ask("subscribe", &id, "subject=/a,/c&queue=9");
                assert_eq!((answer.head.status, answer.body.len()), (204, 0), "{}", answer.text());
                assert_eq!(ask("unsubscribe", &id, "subject=/c").head.status, 204);
                assert_eq!(problem_of(&ask("unsubscribe", &id, "subject=/c"), 404)["field"], "subject");
                assert_eq!(problem_of(&ask("subscribe", &id, "subject=/a,/*/**/x"), 400)["field"], "subject");
            }
            publish_well(server.addr(), &json!([{"subject": "/c", "data": 1}, {"subject": "/a", "data": 2}]));
            assert_eq!(socket.wait_data(1), [2]);
            assert_eq!(stream.wait_data(1), [2]);
            let ended = socket.id();
            drop(socket);
            wait_metric(&server, "sessions_ended_total{reason=\"disconnected\"}", u64::from(home) * 2 + 1, SOON);
            assert_eq!(problem_of(&ask("subscribe", &ended, "subject=/a"), 404)["field"], "session");
            drop(stream);
            wait_metric(&server, "sessions", 0, SOON);
        }
        assert!(metric(&server, "forwarded_total") >= 8);
    });
}
