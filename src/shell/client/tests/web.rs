//! The tools over a WebSocket, against a server that says what it is told to.

use std::net::TcpListener;

use super::*;
use crate::client::fake::Peer;
use crate::shell::client::listener;
use crate::wire::ws::{Closing, Incoming};

const WENT: Incoming = Incoming::Close(Some(Closing { code: 1000, reason: String::new() }));

fn nack(id: u64, status: u16, reason: &str) -> String {
    format!(r#"{{"type":"nack","id":{id},"status":{status},"reason":"{reason}"}}"#)
}

/// Runs `tool` against a server at the target it is given.
fn against<S: Send, T>(server: impl FnOnce(&TcpListener) -> S + Send, tool: impl FnOnce(Target) -> T) -> (S, T) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/x/v1/ws", listener.local_addr().expect("an address"));
    thread::scope(|scope| {
        let server = scope.spawn(|| server(&listener));
        let outcome = tool(Target::parse(&url).expect("a URL"));
        (server.join().expect("the server is well"), outcome)
    })
}

fn listen(target: Target, count: u64, output: Output) -> Run {
    let subjects = vec!["/t/*".to_owned(), "/u".to_owned()];
    let silence = Duration::from_secs(20);
    let wanted = listener::Wanted { target, subjects, door: Door::WebSocket, output, count: Some(count), silence };
    let watch = Watch::new("received", true);
    let mut out = Vec::new();
    let outcome = listener::run(&wanted, &watch, 1, &mut out);
    let lines = String::from_utf8(out).expect("text").lines().map(str::to_owned).collect();
    Run { lines, outcome, watch }
}

/// Losses are counted, what is not understood is skipped alone, as JSON an event is printed as it came; and the tool takes its leave.
#[test]
fn a_web_socket_is_printed() {
    for (output, lines) in [
        (Output::Text, ["/t/1 v=\"\u{4e2d} x\"", "/u event=tick data=[1,2.0] p_lost=3"]),
        (
            Output::Json,
            [
                "{\"subject\":\"/t/1\",\"data\":{\"v\":\"\u{4e2d} x\"},\"time\":1}",
                r#"{"lost":3,"subject":"/u","event":"tick","data":[1,2.0],"time":1}"#,
            ],
        ),
    ] {
        let server = |listener: &TcpListener| {
            let mut peer = Peer::join(listener);
            peer.say("{\"subject\":\"/t/1\",\"data\":{\"v\":\"\u{4e2d} x\"},\"time\":1}");
            peer.say("{no json");
            peer.say(r#"[{"type":"heartbeat"},{"lost":3,"subject":"/u","event":"tick","data":[1,2.0],"time":1}]"#);
            assert_eq!(peer.hear(), WENT);
            peer.close(1000);
            peer.head
        };
        let (head, run) = against(server, |target| listen(target, 2, output));
        assert!(head.starts_with("GET /x/v1/ws?subject=%2Ft%2F*&subject=%2Fu HTTP/1.1\r\n"), "{head}");
        assert_eq!(
            (run.outcome, run.lines.as_slice(), run.watch.done()),
            (Ok(()), lines.map(str::to_owned).as_slice(), 2)
        );
    }
}

/// A lost connection is made again; an end that makes no sense to repeat ends the run, one that was wanted does so without a fault.
#[test]
fn an_end_is_what_it_says() {
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        peer.say(r#"{"subject":"/u","data":1}"#);
        peer.say(r#"{"type":"end","reason":"queue-full","text":"","action":"rejoin","retry_ms":1}"#);
        peer.close(4004);
        drop(Peer::join(listener));
        let mut peer = Peer::join(listener);
        peer.say(r#"{"subject":"/u","data":2}"#);
        peer.hear()
    };
    let (heard, run) = against(server, |target| listen(target, 2, Output::Text));
    assert_eq!((heard, run.outcome, run.lines.len()), (WENT, Ok(()), 2));
    for (code, said) in [(4001, None), (1003, Some("the server refused: the server closed with 1003"))] {
        let server = |listener: &TcpListener| {
            let mut peer = Peer::join(listener);
            peer.close(code);
            peer.hear()
        };
        let (_, run) = against(server, |target| listen(target, 2, Output::Text));
        assert_eq!(run.outcome.err().map(|trouble| trouble.to_string()).as_deref(), said);
    }
}

#[test]
fn a_web_socket_that_is_refused_is_told() {
    let server = |listener: &TcpListener| {
        let refuse = |answer: &str| {
            Peer::next(listener).stream.write_all(answer.as_bytes()).expect("a connection");
        };
        refuse("HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n");
        let body = r#"{"detail":"You may not.","field":"subject"}"#;
        let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: ";
        refuse(&format!("{head}{}\r\n\r\n{body}", body.len()));
    };
    let ((), run) = against(server, |target| listen(target, 1, Output::Text));
    let said = run.outcome.expect_err("it is refused").to_string();
    assert_eq!(said, "the server answered 403 You may not. (subject)");
    let server = Server::start(vec![ok("v1/ws", "hello")]);
    let target = server.target();
    let said = listen(target, 1, Output::Text).outcome.expect_err("no WebSocket").to_string();
    assert!(said.starts_with("the server answered 200"), "{said}");
}

fn speak(target: Target, change: impl Fn(&mut PubArgs), input: &str) -> (Result<(), Trouble>, Watch) {
    let mut args =
        PubArgs { url: target.to_string(), subject: "/t".to_owned(), transport: "ws".to_owned(), ..PubArgs::default() };
    change(&mut args);
    let wanted = match checked_pub(args) {
        Ok(Pub::Web(wanted)) => wanted,
        other => panic!("{other:?}"),
    };
    let watch = Watch::new("published", true);
    let lines = std::io::Cursor::new(input.to_owned());
    (speaker::run(&wanted, &watch, 1, || Lines::read(Box::new(lines))), watch)
}

#[test]
fn one_event_is_said() {
    type Change = fn(&mut PubArgs);
    let cases: [(Change, &str); 2] = [
        (
            |args| args.fields = vec!["b=1 \u{e9}".to_owned(), "a=".to_owned()],
            "\"subject\":\"/t\",\"data\":{\"b\":\"1 \u{e9}\",\"a\":\"\"}}",
        ),
        (
            |args| {
                (args.json, args.event, args.to) = (Some("[1.0, null]".into()), Some("tick".into()), Some("A".into()))
            },
            "\"subject\":\"/t\",\"event\":\"tick\",\"to\":\"A\",\"data\":[1.0, null]}",
        ),
    ];
    for (change, words) in cases {
        let server = |listener: &TcpListener| {
            let mut peer = Peer::join(listener);
            peer.acks(&["{\"type\":\"publish\",\"id\":1,", words]);
            peer.hear()
        };
        let (heard, (outcome, watch)) = against(server, |target| speak(target, change, ""));
        assert_eq!((heard, outcome, watch.done(), watch.refused()), (WENT, Ok(()), 1, 0));
    }
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        let id = peer.asked(&["publish"]);
        peer.say(&nack(id, 403, "No."));
    };
    let plain = |args: &mut PubArgs| args.json = Some("1".into());
    let (_, (outcome, watch)) = against(server, |target| speak(target, plain, ""));
    assert_eq!((outcome, watch.done(), watch.refused()), (Ok(()), 0, 1));
}

/// All lines are under way before the first is answered; what became of each is told by its own number.
#[test]
fn lines_are_said_together() {
    let input = "a=1 b=\"x y\"\n\nno field\n{\"c\":2}\n{bad\nd=\n";
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        let ids = [r#"{"a":"1","b":"x y"}"#, r#"{"c":2}"#, r#"{"d":""}"#].map(|data| peer.asked(&[data]));
        peer.say(&format!(
            r#"[{{"type":"ack","id":{},"accepted":1,"refused":0}},{}]"#,
            ids[0],
            nack(ids[1], 400, "No.")
        ));
        peer.say(&format!(r#"{{"type":"ack","id":{},"accepted":1,"refused":0}}"#, ids[2]));
        peer.hear()
    };
    let (heard, (outcome, watch)) =
        against(server, |target| speak(target, |args| args.fields = vec!["-".to_owned()], input));
    assert_eq!((heard, outcome, watch.done(), watch.refused()), (WENT, Ok(()), 2, 3));
}

/// A broken connection leaves its lines in doubt; those that were not sent go over the next one, and none is sent twice.
#[test]
fn many_lines_and_a_lost_connection() {
    let input: String = (0..3000).map(|number| format!("{number}\n")).collect();
    let server = |listener: &TcpListener| {
        let mut heard = Vec::new();
        // No more than 1,024 are without an answer, so some are left when this one goes.
        let mut peer = Peer::join(listener);
        for _ in 0..10 {
            let Incoming::Text(text) = peer.hear() else { panic!("no request") };
            heard.push(text);
        }
        drop(peer);
        let mut peer = Peer::join(listener);
        while let Incoming::Text(text) = peer.hear() {
            let request: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            peer.say(&format!(r#"{{"type":"ack","id":{},"accepted":1,"refused":0}}"#, request["id"]));
            heard.push(text);
        }
        heard
    };
    let json = |args: &mut PubArgs| args.json = Some("-".to_owned());
    let (heard, (outcome, watch)) = against(server, |target| speak(target, json, &input));
    assert_eq!((outcome, watch.done() + watch.refused()), (Ok(()), 3000));
    assert_eq!(watch.done(), heard.len() as u64 - 10);
    let data = |text: &String| text.rsplit_once("\"data\":").map(|(_, data)| data.to_owned());
    let mut numbers: Vec<_> = heard.iter().filter_map(data).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), heard.len());
    let too_long = format!("\"{}\"\n1\n", "x".repeat(300_000));
    let server = |listener: &TcpListener| {
        let mut peer = Peer::join(listener);
        peer.acks(&["\"data\":1}"]);
        peer.hear()
    };
    let (heard, (outcome, watch)) = against(server, |target| speak(target, json, &too_long));
    assert_eq!((heard, outcome, watch.done(), watch.refused()), (WENT, Ok(()), 1, 1));
}

#[test]
fn a_door_that_is_closed_ends_the_run() {
    for (status, said) in [("401 Unauthorized", "401"), ("404 Not Found", "404")] {
        let server = Server::start(vec![json_answer(status)]);
        let target = server.target();
        let (outcome, watch) = speak(target, |args| args.fields = vec!["-".to_owned()], "a=1\n");
        assert!(outcome.expect_err(said).to_string().contains(said));
        assert_eq!(watch.done(), 0);
    }
}

fn json_answer(status: &str) -> Step {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    Step { wants: "v1/ws", answer, then: Then::Keep }
}
