//! `/v1/sse` over real sockets.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::modern::{Stream, json_of, problem_of, publish, publish_well};
use crate::support::http::{Connection, get, post};
use crate::support::look::{metric, wait_metric};
use crate::support::pushlet::{PATH, SOON, control};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

/// Everybody hears everything in order, on one core and on three; the head keeps caches and proxies out of the way; a session goes with its
/// connection at once.
#[test]
fn an_event_stream_brings_what_is_published() {
    on_both_drivers_at_once(|driver| {
        for cores in ["1", "3"] {
            let server = Server::start_with_admin(driver, &["--cores", cores], "");
            let mut streams: Vec<Stream> =
                (0..6).map(|_| Stream::open(server.addr(), "subject=/s/*,/t&pad=2048")).collect();
            let head = streams[0].connection.head().expect("a head").clone();
            assert_eq!(head.get("cache-control"), Some("no-store, no-transform"));
            assert_eq!(head.get("x-accel-buffering"), Some("no"));
            assert_eq!(head.get("content-length"), None);
            assert!(streams[0].connection.body().starts_with(&[b": ".as_slice(), &[b' '; 2048], b"\n"].concat()));
            // One connection, so there is one order.
            let mut publisher = Connection::open(server.addr());
            for number in 0..30 {
                let subject = if number % 3 == 0 { "/t" } else { "/s/x" };
                let body = json!({"subject": subject, "data": number}).to_string();
                let answer = publisher.ask(&post("/v1/publish", "application/json", body.as_bytes()), SOON);
                assert_eq!((answer.head.status, answer.text().trim()), (202, r#"{"accepted":1,"refused":0}"#));
            }
            for stream in &mut streams {
                assert_eq!(stream.wait_data(30), (0..30).map(Value::from).collect::<Vec<_>>());
            }
            wait_metric(&server, "sessions", 6, SOON);
            drop(streams.pop());
            wait_metric(&server, "sessions", 5, SOON);
            // P-31: half-closed counts as closed.
            let mut half = streams.pop().expect("five");
            half.connection.half_close();
            assert!(half.connection.wait_until(SOON, Connection::is_closed) || half.connection.is_closed());
            wait_metric(&server, "sessions", 4, SOON);
            wait_metric(&server, "sessions_ended_total{reason=\"disconnected\"}", 2, SOON);
            // P-27: a session may be ended by its id, wherever that is asked.
            let id = streams[0].id();
            let left = control(server.addr(), &[("p_event", "leave"), ("p_id", &id)]);
            assert!(left.text().contains("leave-ack"), "{}", left.text());
            streams[0].wait_end("leave");
            publish_well(server.addr(), &json!({"subject": "/t", "data": "still here"}));
            for stream in &mut streams[1..] {
                assert_eq!(stream.wait_data(31).last(), Some(&json!("still here")));
            }
        }
    });
}

/// P-30: a reader that stops is ended, told why when it reads again, and delays nobody meanwhile.
#[test]
fn a_stalled_reader_is_ended_and_delays_nobody() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--cores", "2", "--queue-size", "64"], "");
        let mut stalled = Stream::open_on(Connection::open_narrow(server.addr()), "subject=/s");
        let mut quick = Stream::open(server.addr(), "subject=/s");
        let value = "v".repeat(10_000);
        let mut published = 0;
        let ended = wait_for(Duration::from_secs(30), || {
            publish_well(server.addr(), &json!({"subject": "/s", "data": [published, value]}));
            published += 1;
            // Who reads has each event before the next one is published.
            quick.wait_data(published);
            metric(&server, "sessions_ended_total{reason=\"queue-full\"}") == 1
        });
        assert!(ended, "{published} events and no end");
        let numbers: Vec<Value> = quick.data().into_iter().map(|data| data[0].clone()).collect();
        assert_eq!(numbers, (0..published).map(Value::from).collect::<Vec<_>>());
        stalled.wait_end("queue-full");
        let told: Vec<Value> = stalled.data().into_iter().map(|data| data[0].clone()).collect();
        assert_eq!(told, (0..told.len()).map(Value::from).collect::<Vec<_>>(), "what fitted, in order");
        assert!(!told.is_empty() && told.len() < published);
    });
}

/// P-14: silence is broken by comments. An HTTP/1.0 client gets no chunks, and its answer ends with the connection.
#[test]
fn streams_of_old_clients_end_with_the_connection() {
    on_both_drivers_at_once(|driver| {
        let mut server = Server::start_with_admin(driver, &["--heartbeat", "150ms", "--drain-time", "10s"], "");
        let mut connection = Connection::open(server.addr());
        connection.request(b"GET /v1/sse?subject=/s HTTP/1.0\r\n\r\n");
        let mut old = Stream::begun(connection);
        assert_eq!(old.connection.head().expect("a head").get("transfer-encoding"), None);
        let mut new = Stream::open(server.addr(), "subject=/s");
        let beats = |stream: &Stream| String::from_utf8_lossy(stream.connection.body()).matches("\n: hb\n").count();
        for stream in [&mut old, &mut new] {
            let beaten = stream.connection.wait_until(SOON, |connection| {
                String::from_utf8_lossy(connection.body()).matches(": hb\n\n").count() >= 3
            });
            assert!(beaten && beats(stream) >= 3);
        }
        publish_well(server.addr(), &json!({"subject": "/s", "data": 1}));
        server.signal(Signal::TERM);
        for stream in [&mut old, &mut new] {
            stream.wait_end("shutdown");
            assert_eq!(stream.data(), [1]);
            stream.connection.begin(false);
            stream.connection.wait_closed(SOON);
        }
        assert!(server.wait(SOON).is_some_and(|status| status.success()), "{}", server.stderr());
    });
}

/// HUP: other secrets and other rules hold at once, for sessions that are there already as well.
#[test]
fn other_keys_and_rules_are_taken_while_serving() {
    on_both_drivers_at_once(|driver| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("backend.key");
        let write = |text: &str| std::fs::write(&path, text).expect("the secrets are written");
        let config = |publish: &str, subscribe: &str| {
            format!(
                "[[key]]\nname = \"backend\"\nfile = {path:?}\n[[access]]\nsubject = \"/s/**\"\npublish = {publish}\nsubscribe = {subscribe}\n"
            )
        };
        write("the-first-secret-of-all\n");
        let keyed = "[\"backend\"]";
        let server = Server::start_with_admin(driver, &["--cores", "2"], &config(keyed, "\"anyone\""));
        let mut connection = Connection::open(server.addr());
        let mut post_with = |secret: &str, number: u32| {
            let body = json!({"subject": "/s/a", "data": number}).to_string();
            let head = format!(
                "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.ask(head.as_bytes(), SOON)
        };
        let mut open = Stream::open(server.addr(), "subject=**");
        let mut keyed_stream = Stream::open(server.addr(), "subject=/s/*&key=the-first-secret-of-all");
        assert_eq!(post_with("the-first-secret-of-all", 1).head.status, 202);
        let unknown = post_with("nobodys-secret-at-all", 2);
        problem_of(&unknown, 401);
        assert!(unknown.head.get("www-authenticate").is_some_and(|ask| ask.starts_with("Bearer")));
        let bare = publish(server.addr(), &json!({"subject": "/s/a", "data": 3}));
        assert_eq!(problem_of(&bare, 401)["field"], "Authorization");
        // A Pushlet page is told the same.
        let joined = control(server.addr(), &[("p_event", "join"), ("p_format", "json")]);
        let id = json_of(&joined)[0]["p_id"].as_str().expect("a name").to_owned();
        let nack = control(server.addr(), &[("p_event", "publish"), ("p_id", &id), ("p_subject", "/s/a")]);
        assert!(nack.text().contains("needs a key"), "{}", nack.text());
        assert_eq!((open.wait_data(1), keyed_stream.wait_data(1)), (vec![json!(1)], vec![json!(1)]));

        // The old secret and the new one, then only the new one; and who has no key hears nothing any more.
        write("the-first-secret-of-all\nthe-second-secret-of-all\n");
        server.signal(Signal::HUP);
        let taken = wait_for(SOON, || post_with("the-second-secret-of-all", 4).head.status == 202);
        assert!(taken, "{}", server.stderr());
        assert_eq!(post_with("the-first-secret-of-all", 5).head.status, 202);
        keyed_stream.wait_data(3);
        write("the-second-secret-of-all\n");
        server.rewrite_config(&config(keyed, keyed));
        server.signal(Signal::HUP);
        assert!(wait_for(SOON, || post_with("the-first-secret-of-all", 6).head.status == 401), "{}", server.stderr());
        // Both cores have the new rules when neither takes the old secret and neither opens a session without one.
        let closed = wait_for(SOON, || {
            (0..8).all(|_| {
                let mut connection = Connection::open(server.addr());
                connection.request(&get("/v1/sse?subject=/s/a"));
                connection.wait_head(SOON).status == 401
            })
        });
        assert!(closed, "{}", server.stderr());
        let before = open.data().len();
        assert_eq!(post_with("the-second-secret-of-all", 7).head.status, 202);
        publish_well(server.addr(), &json!({"subject": "/else", "data": "last"}));
        open.wait(SOON, |events| events.last().is_some_and(|(_, object)| object["data"] == "last"));
        let heard = open.data();
        assert!(!heard.contains(&json!(7)) && heard.len() > before, "{heard:?}");
        keyed_stream.wait(SOON, |events| events.last().is_some_and(|(_, object)| object["data"] == 7));
        let via_page = Connection::open(server.addr()).ask(
            &get(&format!("{PATH}?p_event=publish&p_id={id}&p_subject=/s/a&p_key=the-second-secret-of-all&x=1")),
            SOON,
        );
        assert!(via_page.text().contains("publish-ack"), "{}", via_page.text());
    });
}
