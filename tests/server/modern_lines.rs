//! Bodies of lines over real sockets: published as they come, slowed down and never lost, and answered with what became of them.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::modern::{Stream, json_of, problem_of, publishing};
use crate::support::http::{Connection, get, post};
use crate::support::look::{settled_metrics, wait_metric};
use crate::support::pushlet::SOON;
use crate::support::server::{Server, on_both_drivers_at_once};

const HEAD: &[u8] = b"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

fn line(number: usize) -> String {
    format!("{}\n", json!({"subject": "/s", "data": number}))
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn counted(many: usize) -> Vec<Value> {
    (0..many).map(Value::from).collect()
}

/// Each line is heard when its end has come, however slowly the pieces come and wherever they are cut.
#[test]
fn lines_are_published_as_they_come() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &["--cores", "3"], "");
        let mut stream = Stream::open(server.addr(), "subject=/s");
        let mut sender = Connection::open(server.addr());
        sender.request(HEAD);
        for number in 0..12 {
            let line = line(number);
            let (begin, end) = line.split_at(number * line.len() / 12);
            if !begin.is_empty() {
                let bytes = chunk(begin);
                let (first, second) = bytes.split_at(number % bytes.len());
                sender.send(first);
                sender.send(second);
            }
            sender.send(&chunk(end));
            assert_eq!(stream.wait_data(number + 1), counted(number + 1));
        }
        assert!(sender.head().is_none(), "there is no answer before the end");
        // The last line needs no end, and bad ones stop nobody.
        sender.send(&chunk("\n{\n{\"subject\":\"$x\",\"data\":1}\n{\"subject\":\"/s\",\"data\":12}"));
        sender.send(b"0\r\n\r\n");
        let answer = sender.wait_answer(SOON);
        assert_eq!(answer.head.status, 202, "{}", answer.text());
        let told = json_of(&answer);
        assert_eq!((told["accepted"].as_u64(), told["refused"].as_u64()), (Some(13), Some(2)));
        let errors: Vec<_> = told["errors"].as_array().expect("errors").iter().collect();
        assert_eq!((&errors[0]["line"], &errors[0]["status"]), (&json!(14), &json!(400)), "{told}");
        assert_eq!(
            (&errors[1]["line"], &errors[1]["status"], &errors[1]["field"]),
            (&json!(15), &json!(403), &json!("subject"))
        );
        assert_eq!(stream.wait_data(13), counted(13));
        // The connection goes on.
        assert_eq!(sender.ask(&get("/"), SOON).head.status, 200);
    });
}

/// Back-pressure: a body of 50,000 lines through inboxes of 16 events loses nothing, and others are served meanwhile.
#[test]
fn a_flood_of_lines_is_slowed_down_and_not_lost() {
    const LINES: usize = 50_000;
    on_both_drivers_at_once(|driver| {
        let args = ["--cores", "3", "--inbox-size", "16", "--queue-size", "65536", "--queue-bytes", "256MiB"];
        let server = Server::start_with_admin(driver, &args, "");
        let body: String = (0..LINES).map(line).collect();
        let patience = Duration::from_secs(120);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let mut stream = Stream::open(server.addr(), "subject=/s");
                    scope.spawn(move || {
                        let mark = format!("\"data\":{},", LINES - 1);
                        let whole = |body: &[u8]| {
                            let tail = String::from_utf8_lossy(&body[body.len().saturating_sub(200)..]).into_owned();
                            tail.contains(&mark) && tail.ends_with("\n\n")
                        };
                        assert!(stream.connection.wait_until(patience, |connection| whole(connection.body())));
                        assert_eq!(stream.data(), counted(LINES));
                    })
                })
                .collect();
            let sender = scope.spawn(|| {
                let mut sender = Connection::open(server.addr());
                sender.begin(false);
                sender.send(format!(
                    "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ).as_bytes());
                for piece in body.as_bytes().chunks(16_384) {
                    sender.send(piece);
                }
                let answer = sender.wait_answer(patience);
                assert_eq!((answer.head.status, answer.text().trim()), (202, r#"{"accepted":50000,"refused":0}"#));
            });
            let mut others = Connection::open(server.addr());
            while !sender.is_finished() {
                assert_eq!(
                    others.ask(&publishing(&json!({"subject": "/other", "data": 1})), patience).head.status,
                    202
                );
            }
            sender.join().expect("the sender");
            readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
        });
        let figures = settled_metrics(&server);
        assert_eq!((figures["lost_total"], figures["overloaded_total"]), (0, 0));
    });
}

/// A client that goes away in the middle has published what came before; half a line is none.
#[test]
fn what_came_before_a_cut_is_published() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--cores", "2"], "");
        let mut stream = Stream::open(server.addr(), "subject=/s");
        for (turn, reset) in [(0, true), (1, false)] {
            let mut sender = Connection::open(server.addr());
            sender.request(HEAD);
            let text: String = (0..100).map(|number| line(number + turn * 100)).collect();
            sender.send(&chunk(&format!("{text}{{\"subject\":\"/s\",\"data\":")));
            stream.wait_data((turn + 1) * 100);
            if reset { sender.reset() } else { drop(sender) }
        }
        // What is left is the stream's connection and the one that asks.
        wait_metric(&server, "connections", 2, SOON);
        assert_eq!(stream.data(), counted(200));
        let mut next = Connection::open(server.addr());
        assert_eq!(next.ask(&publishing(&json!({"subject": "/s", "data": 200})), SOON).head.status, 202);
        assert_eq!(stream.wait_data(201), counted(201));
        assert_eq!(server.stderr().matches("panicked").count(), 0);
    });
}

/// A body that cannot be read further is answered with the reason, and with what was published before.
#[test]
fn a_body_that_cannot_be_read_further_is_told_with_counts() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let mut stream = Stream::open(server.addr(), "subject=/s");
        let mut sender = Connection::open(server.addr());
        sender.request(HEAD);
        sender.send(&chunk(&(line(0) + "{\n" + &line(1))));
        stream.wait_data(2);
        sender.send(b"no chunk\r\n");
        let answer = sender.wait_answer(SOON);
        let problem = problem_of(&answer, 400);
        assert_eq!((problem["accepted"].as_u64(), problem["refused"].as_u64()), (Some(2), Some(1)), "{problem}");
        assert_eq!(problem["errors"][0]["line"], 2);
        assert_eq!(answer.head.get("connection"), Some("close"));
        sender.wait_closed(SOON);
        wait_metric(&server, "requests_refused_total", 1, SOON);
    });
}

/// Requests before and behind a body of lines on one connection are answered in their order.
#[test]
fn a_body_of_lines_stands_in_a_pipeline() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &["--cores", "2"], "");
        let mut stream = Stream::open(server.addr(), "subject=/s");
        let mut connection = Connection::open(server.addr());
        let lines =
            |numbers: [usize; 2]| post("/v1/publish", "application/x-ndjson", numbers.map(line).concat().as_bytes());
        let mut chunked = HEAD.to_vec();
        chunked.extend(chunk(&line(4)));
        chunked.extend(chunk(&line(5)));
        chunked.extend_from_slice(b"0\r\n\r\n");
        let one = |number: usize| publishing(&json!({"subject": "/s", "data": number}));
        let whole = [get("/"), lines([0, 1]), one(2), one(3), chunked, get("/nothing"), lines([6, 7]), one(8)].concat();
        connection.begin(false);
        // In pieces that end anywhere.
        whole.chunks(97).for_each(|piece| connection.send(piece));
        let statuses: Vec<(u16, Option<u64>)> = (0..8)
            .map(|_| {
                let answer = connection.next_answer(SOON);
                let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
                (answer.head.status, told.and_then(|told| told["accepted"].as_u64()))
            })
            .collect();
        let due = [
            (200, None),
            (202, Some(2)),
            (202, Some(1)),
            (202, Some(1)),
            (202, Some(2)),
            (404, None),
            (202, Some(2)),
            (202, Some(1)),
        ];
        assert_eq!(statuses, due);
        assert_eq!(stream.wait_data(9), counted(9));
    });
}

/// An HTTP/1.0 client sends its lines with their length, and its connection ends behind the answer. A body without a line publishes nothing.
#[test]
fn old_clients_and_empty_bodies() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let mut stream = Stream::open(server.addr(), "subject=/s");
        let text = line(0) + &line(1);
        let head = |length: usize| {
            format!(
                "POST /v1/publish HTTP/1.0\r\nContent-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n"
            )
        };
        let mut old = Connection::open(server.addr());
        let answer = old.ask(&[head(text.len()).as_bytes(), text.as_bytes()].concat(), SOON);
        assert_eq!((answer.head.status, json_of(&answer)["accepted"].as_u64()), (202, Some(2)));
        old.wait_closed(SOON);
        assert_eq!(stream.wait_data(2), counted(2));
        for body in ["", "\n \r\n\n"] {
            let mut connection = Connection::open(server.addr());
            let answer = connection.ask(&post("/v1/publish", "application/x-ndjson", body.as_bytes()), SOON);
            assert_eq!(problem_of(&answer, 400)["field"], "body", "{body:?}");
            assert_eq!(connection.ask(&get("/"), SOON).head.status, 200, "the connection goes on");
        }
        let all_bad = post("/v1/publish", "application/x-ndjson", b"1\n2\n");
        let problem = problem_of(&Connection::open(server.addr()).ask(&all_bad, SOON), 400);
        assert_eq!((problem["accepted"].as_u64(), problem["errors"].as_array().map(Vec::len)), (Some(0), Some(2)));
    });
}

/// A body of lines may take longer than other bodies: only a pause between two pieces has a bound. `Expect` is answered before it begins.
#[test]
fn a_body_of_lines_may_take_its_time() {
    on_both_drivers_at_once(|driver| {
        let toml = "[http]\nhead_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nidle_timeout = \"5s\"\n";
        let server = Server::start(driver, &["--cores", "2"], toml);
        let mut stream = Stream::open(server.addr(), "subject=/s");
        let mut sender = Connection::open(server.addr());
        let head = String::from_utf8_lossy(HEAD).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
        sender.request(head.as_bytes());
        assert_eq!(sender.wait_answer(SOON).head.status, 100);
        sender.begin(false);
        for number in 0..3 {
            sender.send(&chunk(&line(number)));
            assert!(sender.arrived_within(Duration::from_millis(400)).is_empty() && !sender.is_closed());
            stream.wait_data(number + 1);
        }
        sender.send(b"0\r\n\r\n");
        assert_eq!(json_of(&sender.wait_answer(SOON))["accepted"].as_u64(), Some(3));
    });
}

/// Who may not send lines is told so before the body is read, and the connection ends: what else comes is no request.
#[test]
fn a_body_of_lines_that_is_refused_is_not_read() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        for (field, status) in [
            ("Origin: http://evil.example", 403),
            ("Content-Encoding: gzip", 415),
            ("Idempotency-Key: k", 400),
            ("Accept: text/html", 406),
        ] {
            let mut sender = Connection::open(server.addr());
            let head = String::from_utf8_lossy(HEAD).replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
            sender.request(head.as_bytes());
            // It may close at any moment from the first piece on.
            let _ = sender.try_send(&chunk(&(0..100).map(line).collect::<String>()));
            let answer = sender.wait_answer(SOON);
            let problem = problem_of(&answer, status);
            assert_eq!(problem["field"].as_str(), field.split(':').next(), "{problem}");
            assert_eq!(answer.head.get("connection"), Some("close"));
            sender.wait_closed(SOON);
        }
        assert_eq!(settled_metrics(&server)["published_total"], 0);
    });
}

/// P-32: a body of lines that is not at its end when the server goes is answered with what was published.
#[test]
fn a_drain_is_told_with_counts() {
    on_both_drivers_at_once(|driver| {
        let mut server = Server::start_with_admin(driver, &["--drain-time", "10s", "--cores", "2"], "");
        let mut sender = Connection::open(server.addr());
        sender.request(HEAD);
        sender.send(&chunk(&(0..10).map(line).collect::<String>()));
        wait_metric(&server, "published_total", 10, SOON);
        // Nothing more comes, and still it is told at once.
        server.signal(Signal::TERM);
        let answer = sender.wait_answer(SOON);
        let problem = problem_of(&answer, 503);
        assert_eq!(problem["accepted"].as_u64(), Some(10), "{problem}");
        assert_eq!(answer.head.get("connection"), Some("close"));
        assert!(answer.head.get("retry-after").is_some());
        drop(sender);
        assert!(server.wait(SOON).is_some_and(|status| status.success()), "{}", server.stderr());
    });
}
