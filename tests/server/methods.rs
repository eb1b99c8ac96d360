//! Methods, bodies and what else a request may look like (rules P-1 to P-4, P-33).

use pushletd::protocol::Format;

use crate::support::http::{Connection, get, post};
use crate::support::look::{settled_metrics, wait_metric};
use crate::support::pushlet::{PATH, SOON, Session, events_of, target};
use crate::support::server::{Server, on_both_drivers_at_once};

/// P-4: HEAD has the head of an answer and no effect.
#[test]
fn head_changes_nothing() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        let before = settled_metrics(&server);
        let mut connection = Connection::open(server.addr());
        for fields in [
            vec![("p_event", "join")],
            vec![("p_event", "join-listen"), ("p_subject", "/x")],
            vec![("p_event", "listen"), ("p_id", session.id.as_str())],
            vec![("p_event", "leave"), ("p_id", session.id.as_str())],
        ] {
            let request = format!("HEAD {} HTTP/1.1\r\nHost: h\r\n\r\n", target(&fields));
            let answer = connection.ask(request.as_bytes(), SOON);
            assert_eq!((answer.head.status, answer.body.len()), (200, 0));
            assert_eq!(answer.head.get("pragma"), Some("no-cache"));
        }
        let after = settled_metrics(&server);
        for name in
            ["sessions", "sessions_listening", "joins_total", "subscriptions", "sessions_ended_total{reason=\"leave\"}"]
        {
            assert_eq!(before[name], after[name], "{name}");
        }
        assert_eq!(events_of(&connection.ask(&session.request("hb", &[]), SOON))[0].kind(), "hb-ack");
    });
}

/// P-4: what else there is besides GET and POST.
#[test]
fn other_methods_and_other_urls_are_refused_and_the_connection_goes_on() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let mut connection = Connection::open(server.addr());
        for method in ["PUT", "DELETE", "PATCH", "BREW"] {
            let request = format!("{method} {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
            let answer = connection.ask(request.as_bytes(), SOON);
            assert_eq!(answer.head.status, 405, "{method}");
            assert_eq!(answer.head.get("allow"), Some("GET, HEAD, POST, OPTIONS"));
        }
        for path in ["/nothing", "/pushlet.srv/extra", "/Pushlet.srv", "/pushlet.srvx"] {
            assert_eq!(connection.ask(&get(path), SOON).head.status, 404, "{path}");
        }
        for path in ["/pushlet.srv", "/app/pushlet.srv", "/pushlet/pushlet.srv;jsessionid=1"] {
            let answer = connection.ask(&get(&format!("{path}?p_event=join&p_format=json")), SOON);
            assert_eq!(events_of(&answer)[0].kind(), "join-ack", "P-1: {path}");
        }
        let options = format!("OPTIONS {PATH} HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = connection.ask(options.as_bytes(), SOON);
        assert_eq!((answer.head.status, answer.head.get("allow")), (204, Some("GET, HEAD, POST, OPTIONS")));
        assert_eq!(connection.ask(&get("/"), SOON).head.status, 200);
    });
}

/// P-33: only pages of listed origins may use the server; nobody else is told anything.
#[test]
fn cross_origin_pages_are_let_in_by_the_list() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "[http]\nallow_origins = [\"https://app.example\"]\n");
        let mut connection = Connection::open(server.addr());
        let preflight = |origin: &str| {
            format!(
                "OPTIONS {PATH} HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: content-type\r\n\r\n"
            )
        };
        let join = |origin: &str| {
            let target = target(&[("p_event", "join")]);
            format!("GET {target} HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\n\r\n")
        };
        let told = |answer: &crate::support::http::Answer| {
            ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers", "vary"]
                .map(|name| answer.head.get(name).map(str::to_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        let friend = connection.ask(preflight("https://app.example").as_bytes(), SOON);
        assert_eq!(friend.head.status, 204);
        let expected = [some("https://app.example"), some("GET, HEAD, POST"), some("content-type"), some("Origin")];
        assert_eq!(told(&friend), expected);
        let stranger = connection.ask(preflight("https://evil.example").as_bytes(), SOON);
        assert_eq!(told(&stranger), [None, None, None, some("Origin")]);
        let friend = connection.ask(join("https://app.example").as_bytes(), SOON);
        assert_eq!(told(&friend), [some("https://app.example"), None, None, some("Origin")]);
        let stranger = connection.ask(join("https://app.example.evil.example").as_bytes(), SOON);
        assert_eq!(told(&stranger), [None, None, None, some("Origin")]);
    });
}

/// P-3: the body is one event, however it travels.
#[test]
fn bodies_come_counted_and_in_chunks() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        let mut stream = session.listen("stream", Some("/body"));
        stream.wait_count(2);
        let id = &session.id;
        let bodies = [
            format!("p_event=publish&p_id={id}&p_subject=/body&text=f%C3%BCnf"),
            format!("<event p_event=\"publish\" p_id=\"{id}\" p_subject=\"/body\" text=\"fünf\" />"),
            format!("{{\"p_event\":\"publish\",\"p_id\":\"{id}\",\"p_subject\":\"/body\",\"text\":\"f\\u00fcnf\"}}"),
        ];
        let mut connection = Connection::open(server.addr());
        let mut expected = 0;
        for body in &bodies {
            for piece in [1, 2, 7, body.len()] {
                let mut request =
                    format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
                for chunk in body.as_bytes().chunks(piece) {
                    request.extend(format!("{:X}\r\n", chunk.len()).into_bytes());
                    request.extend_from_slice(chunk);
                    request.extend_from_slice(b"\r\n");
                }
                request.extend_from_slice(b"0\r\nX-Trailer: dropped\r\n\r\n");
                let answer = connection.ask(&request, SOON);
                assert_eq!(events_of(&answer)[0].kind(), "publish-ack", "{piece} {body}");
                expected += 1;
            }
            let answer = connection.ask(&post(PATH, "application/x-www-form-urlencoded", body.as_bytes()), SOON);
            assert_eq!(events_of(&answer)[0].kind(), "publish-ack", "{body}");
            expected += 1;
        }
        for event in stream.wait_data(expected) {
            assert_eq!(event.field("text"), "fünf");
        }
        let answer = connection.ask(&post(PATH, "text/plain", b"<event "), SOON);
        assert_eq!(answer.head.status, 400, "{}", answer.text());
    });
}

/// RFC 9110 section 10.1.1: who waits for it is told to go on, and nobody else is.
#[test]
fn a_client_that_expects_continue_gets_it() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        let body = format!("p_event=hb&p_id={}", session.id);
        let head = |length: usize| {
            format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes()
        };
        let mut connection = Connection::open(server.addr());
        for _ in 0..2 {
            assert_eq!(connection.ask(&head(body.len()), SOON).head.status, 100);
            let answer = connection.ask(body.as_bytes(), SOON);
            assert_eq!(events_of(&answer)[0].kind(), "hb-ack");
            let together = connection.ask(&[head(body.len()), body.clone().into_bytes()].concat(), SOON);
            assert_eq!(together.head.status, 200, "the body is there: nothing to wait for");
        }
        let answer = connection.ask(&head(10 << 20), SOON);
        assert_eq!(answer.head.status, 413, "a body that is too long is not asked for");
        connection.wait_closed(SOON);
        wait_metric(&server, "requests_refused_total", 1, SOON);
    });
}

#[test]
fn the_target_may_be_a_whole_url() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let mut connection = Connection::open(server.addr());
        let target = target(&[("p_event", "join"), ("p_format", "json")]);
        for host in ["proxy.example", "other.example:8080"] {
            let request = format!("GET http://{host}{target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(events_of(&connection.ask(request.as_bytes(), SOON))[0].kind(), "join-ack");
        }
    });
}
