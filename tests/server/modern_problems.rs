//! What the modern doors refuse: a problem document that names the field and the bound, never a silent close.

use pushletd::limits::BODY_BYTES_MAX;
use serde_json::{Value, json};

use crate::modern::{json_of, problem_of, publishing};
use crate::support::http::{Connection, get, post};
use crate::support::pushlet::SOON;
use crate::support::server::{Server, on_both_drivers_at_once};

fn raw(head: &str) -> Vec<u8> {
    format!("{}\r\n\r\n", head.replace('\n', "\r\n")).into_bytes()
}

/// Request, status, field, and whether the connection goes on.
fn refusals() -> Vec<(Vec<u8>, u16, Value, bool)> {
    let json_body = |body: &str| post("/v1/publish", "application/json", body.as_bytes());
    let too_long = raw(&format!("POST /v1/publish HTTP/1.1\nHost: h\nContent-Length: {}", BODY_BYTES_MAX + 1));
    let many = format!("[{}1]", "1,".repeat(1024));
    let with = |fields: &str| {
        let body = r#"{"subject":"/a","data":1}"#;
        let head = raw(&format!(
            "POST /v1/publish HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: {}\n{fields}",
            body.len()
        ));
        [head, body.as_bytes().to_vec()].concat()
    };
    vec![
        (get("/v1/"), 404, Value::Null, true),
        (get("/v1/publish"), 405, Value::Null, true),
        (post("/v1/sse?subject=/a", "text/plain", b"x"), 405, Value::Null, true),
        (raw("DELETE /v1/poll HTTP/1.1\nHost: h"), 405, Value::Null, true),
        (get("/v1/sse"), 400, json!("subject"), true),
        (get("/v1/sse?subject=/a*"), 400, json!("subject"), true),
        (get("/v1/sse?subject=/a&queue=0"), 400, json!("queue"), true),
        (get("/v1/sse?subject=/a&conflate=x"), 400, json!("conflate"), true),
        (get("/v1/sse?subject=/a&pad=16385"), 400, json!("pad"), true),
        (get("/v1/poll?session=x&wait=-1"), 400, json!("wait"), true),
        (get("/v1/poll?session=x"), 404, json!("session"), true),
        (raw("GET /v1/sse?subject=/a HTTP/1.1\nHost: h\nAccept: text/html"), 406, json!("Accept"), true),
        (raw("GET /v1/sse?subject=/a HTTP/1.1\nHost: h\nOrigin: http://evil.example"), 403, json!("Origin"), true),
        (with("Origin: http://evil.example"), 403, json!("Origin"), true),
        (raw("POST /v1/publish HTTP/1.1\nHost: h"), 411, json!("Content-Length"), true),
        (too_long, 413, json!("body"), false),
        (json_body(&many), 413, json!("body"), true),
        (post("/v1/publish", "image/png", b"x"), 415, json!("Content-Type"), true),
        (with("Content-Encoding: gzip"), 415, json!("Content-Encoding"), true),
        (with("Idempotency-Key: a b"), 400, json!("Idempotency-Key"), true),
        (with("Authorization: Bearer x\nIdempotency-Key:"), 400, json!("Idempotency-Key"), true),
        (json_body(""), 400, json!("body"), true),
        (json_body("{"), 400, json!("body"), true),
        (json_body("[]"), 400, json!("body"), true),
        (json_body(r#"{"subject":"","data":1}"#), 400, json!("subject"), true),
        (json_body(r#"{"subject":"/a"}"#), 400, json!("data"), true),
        (json_body(r#"{"subject":"/a","data":1,"to":"me"}"#), 400, json!("to"), true),
        (json_body(r#"{"subject":"$server/x","data":1}"#), 403, json!("subject"), true),
        (post("/v1/publish?subject=/a", "application/json", b"nul"), 400, json!("body"), true),
    ]
}

#[test]
fn every_refusal_is_a_problem_document() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &["--cores", "2"], "");
        for (request, status, field, goes_on) in refusals() {
            let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
            let mut connection = Connection::open(server.addr());
            let answer = connection.ask(&request, SOON);
            assert_eq!(answer.head.status, status, "{shown}: {}", answer.text());
            let problem = problem_of(&answer, status);
            assert_eq!(problem.get("field").unwrap_or(&Value::Null), &field, "{shown}: {problem}");
            if status == 405 {
                assert!(answer.head.get("allow").is_some_and(|methods| methods.contains("OPTIONS")), "{shown}");
            }
            if status == 413 {
                assert!(problem["limit"].as_u64().is_some(), "{shown}: {problem}");
            }
            if goes_on {
                let next = connection.ask(&publishing(&json!({"subject": "/a", "data": 1})), SOON);
                assert_eq!(next.head.status, 202, "behind {shown}");
            } else {
                assert_eq!(answer.head.get("connection"), Some("close"), "{shown}");
                connection.wait_closed(SOON);
            }
        }
        assert_eq!(server.stderr().matches("panicked").count(), 0, "{}", server.stderr());
    });
}

/// 408 where a body does not come, in the words of the door that it was meant for.
#[test]
fn a_body_that_does_not_come_is_a_problem() {
    on_both_drivers_at_once(|driver| {
        let toml = "[http]\nhead_timeout = \"300ms\"\nbody_timeout = \"300ms\"\nidle_timeout = \"5s\"\n";
        let server = Server::start(driver, &[], toml);
        let mut slow = Connection::open(server.addr());
        slow.request(&raw("POST /v1/publish HTTP/1.1\nHost: h\nContent-Type: application/json\nContent-Length: 9"));
        let problem = problem_of(&slow.wait_answer(SOON), 408);
        assert_eq!(problem["field"], "body");
        slow.wait_closed(SOON);
    });
}

/// HEAD tells the head and opens no session; OPTIONS tells the methods.
#[test]
fn head_and_options_do_nothing_else() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let mut connection = Connection::open(server.addr());
        for (url, kind) in [("/v1/sse?subject=/a", "text/event-stream"), ("/v1/poll?subject=/a", "application/json")] {
            let answer = connection.ask(&raw(&format!("HEAD {url} HTTP/1.1\nHost: h")), SOON);
            assert_eq!((answer.head.status, answer.head.get("content-type"), answer.body.len()), (200, Some(kind), 0));
        }
        for url in ["/v1/sse", "/v1/poll", "/v1/publish"] {
            let answer = connection.ask(&raw(&format!("OPTIONS {url} HTTP/1.1\nHost: h")), SOON);
            assert_eq!(answer.head.status, 204);
            assert!(answer.head.get("allow").is_some_and(|methods| methods.ends_with("OPTIONS")));
        }
        assert_eq!(crate::support::look::settled_metric(&server, "sessions"), 0);
    });
}

/// An idempotency key publishes once, on whichever core its requests arrive.
#[test]
fn a_key_publishes_once_on_all_cores() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--cores", "3"], "");
        let mut connections = crate::support::cores::connections_on_each(&server, 3);
        let request = |number: u32| {
            let body = json!([{"subject": "/a", "data": number}, 7]).to_string();
            let head = format!(
                "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: once-{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                number / 10,
                body.len()
            );
            [head.into_bytes(), body.into_bytes()].concat()
        };
        for key in 0..6 {
            let mut told = Vec::new();
            for (at, connection) in connections.iter_mut().enumerate() {
                let answer = connection.ask(&request(key * 10), SOON);
                assert_eq!(answer.head.status, 202, "{}", answer.text());
                assert_eq!(answer.head.get("idempotent-replayed"), (at > 0).then_some("true"));
                told.push(json_of(&answer));
                assert_eq!(problem_of(&connection.ask(&request(key * 10 + 1), SOON), 422)["field"], "Idempotency-Key");
            }
            assert_eq!((&told[0], &told[0]), (&told[1], &told[2]));
        }
        assert_eq!(crate::support::look::settled_metric(&server, "published_total"), 6);
    });
}
