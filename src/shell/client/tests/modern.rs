//! The tools at the modern doors, against a server that says what it is told to.

use super::*;
use crate::shell::client::listener;

const SESSION: &str =
    "retry: 1\nevent: session\ndata: {\"session\":\"ID\",\"address\":\"A\",\"heartbeat_ms\":20000}\n\n";

fn sse(wants: &'static str, body: &str) -> Step {
    let mut step = stream(wants, body);
    step.answer = step.answer.replace("text/xml;charset=utf-8", "text/event-stream");
    step
}

fn json(wants: &'static str, status: &str, body: &str) -> Step {
    let kind = if status.starts_with('2') { "json" } else { "problem+json" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/{kind}\r\nContent-Length: {}\r\nRetry-After: 0",
        body.len()
    );
    Step { wants, answer: format!("{head}\r\n\r\n{body}"), then: Then::Keep }
}

fn listen(server: &Server, door: Door, count: u64, change: impl Fn(&mut listener::Wanted)) -> Run {
    let mut wanted = listener::Wanted {
        target: server.target(),
        subjects: vec!["/t/*".to_owned(), "/u".to_owned()],
        door,
        output: Output::Text,
        count: Some(count),
        silence: Duration::from_secs(20),
    };
    change(&mut wanted);
    let watch = Watch::new("received", true);
    let mut out = Vec::new();
    let outcome = listener::run(&wanted, &watch, 1, &mut out);
    let lines = String::from_utf8(out).expect("text").lines().map(str::to_owned).collect();
    Run { lines, outcome, watch }
}

/// Losses are counted, an event that is no JSON is skipped alone, and as JSON an event is printed as it came.
#[test]
fn a_stream_is_printed() {
    let body = [
        SESSION,
        ": hb\n\n",
        "data: {\"subject\":\"/t/1\",\"data\":{\"v\":\"\u{4e2d} x\"},\"time\":1}\n\n",
        "data: {no json\n\n",
        "data: {\"lost\":3,\"subject\":\"/u\",\"event\":\"tick\",\ndata: \"data\":[1,2.0],\"time\":1}\nevent: tick\n\n",
    ];
    for output in [Output::Text, Output::Json] {
        let server = Server::start(vec![sse("GET /pushlet/v1/sse?subject=%2Ft%2F*&subject=%2Fu ", &body.concat())]);
        let run = listen(&server, Door::EventStream, 2, |wanted| wanted.output = output);
        assert_eq!((run.outcome, run.watch.done()), (Ok(()), 2));
        let expected = match output {
            Output::Text => ["/t/1 v=\"\u{4e2d} x\"", "/u event=tick data=[1,2.0] p_lost=3"],
            Output::Json => [
                "{\"subject\":\"/t/1\",\"data\":{\"v\":\"\u{4e2d} x\"},\"time\":1}",
                "{\"lost\":3,\"subject\":\"/u\",\"event\":\"tick\", \"data\":[1,2.0],\"time\":1}",
            ],
        };
        assert_eq!(run.lines, expected);
        server.assert_all_used();
    }
}

/// A stream that breaks or is ended is begun again, behind the last position that was heard of.
#[test]
fn a_lost_stream_is_begun_again() {
    let event = |n: u32| format!("data: {{\"subject\":\"/u\",\"data\":{n}}}\nid: 1-1-{n}\n\n");
    let end = "event: end\ndata: {\"reason\":\"queue-full\",\"text\":\"too slow\"}\n\n";
    let reset = "event: reset\ndata: {\"reason\":\"no-history\",\"last_event_id\":\"1-1-2\"}\n\n";
    let server = Server::start(vec![
        json("v1/sse", "503 Service Unavailable", "{\"detail\":\"full\"}"),
        closing(sse("v1/sse", &[SESSION, &event(1)].concat())),
        sse("v1/sse", &[SESSION, &event(2), end].concat()),
        sse("v1/sse", &[SESSION, reset, &event(3)].concat()),
    ]);
    let run = listen(&server, Door::EventStream, 3, |_| {});
    assert_eq!((run.outcome, run.lines), (Ok(()), vec!["/u data=1".into(), "/u data=2".into(), "/u data=3".into()]));
    let heads = server.heads.lock().expect("no thread panics");
    let last = |head: &String| head.lines().find_map(|line| line.strip_prefix("Last-Event-ID: ").map(str::to_owned));
    assert_eq!(heads.iter().map(last).collect::<Vec<_>>(), [None, None, Some("1-1-1".into()), Some("1-1-2".into())]);
    server.assert_all_used();
}

/// `retry:` says how long clients stay away; a silence that the server has announced is none.
#[test]
fn the_server_says_when_to_come_again_and_how_silent_it_is() {
    let patient = SESSION.replace("retry: 1\n", "retry: 400\n");
    let server = Server::start(vec![
        closing(sse("v1/sse", &patient)),
        sse("v1/sse", &[SESSION, "data: {\"subject\":\"/u\",\"data\":1}\n\n"].concat()),
    ]);
    let began = Instant::now();
    let run = listen(&server, Door::EventStream, 1, |_| {});
    assert_eq!((run.outcome, run.lines.len()), (Ok(()), 1));
    assert!(began.elapsed() >= Duration::from_millis(400));
    let hasty = SESSION.replace("20000", "100");
    let server = Server::start(vec![
        sse("v1/sse", &hasty),
        sse("v1/sse", &[SESSION, "data: {\"subject\":\"/u\",\"data\":1}\n\n"].concat()),
    ]);
    let began = Instant::now();
    let run = listen(&server, Door::EventStream, 1, |wanted| wanted.silence = Duration::from_millis(10));
    assert_eq!((run.outcome, run.lines.len()), (Ok(()), 1));
    assert!(began.elapsed() >= Duration::from_millis(250), "three heartbeats, looked at in ticks");
    server.assert_all_used();
}

#[test]
fn a_long_poll_goes_on_and_begins_anew() {
    let begin = |id: &str| format!("{{\"session\":\"{id}\",\"address\":\"A\",\"events\":[],\"wait_ms\":0}}");
    let server = Server::start(vec![
        json("v1/poll?subject=%2Ft%2F*&subject=%2Fu ", "200 OK", &begin("one")),
        json(
            "v1/poll?session=one ",
            "200 OK",
            "{\"session\":\"one\",\"events\":[{\"subject\":\"/u\",\"data\":1},{\"subject\":\"/u\",\"data\":2}]}",
        ),
        json("v1/poll?session=one ", "503 Busy", "{}"),
        json("v1/poll?session=one ", "404 Not Found", "{\"detail\":\"There is no such session.\"}"),
        json("v1/poll?subject=", "200 OK", &begin("two")),
        json(
            "v1/poll?session=two ",
            "200 OK",
            "{\"events\":[{\"lost\":2,\"subject\":\"/u\",\"data\":3}],\"end\":{\"reason\":\"shutdown\",\"text\":\"\"}}",
        ),
        json("v1/poll?subject=", "200 OK", &begin("three")),
        json("v1/poll?session=three ", "200 OK", "{\"events\":[{\"subject\":\"/u\",\"data\":4}]}"),
        ok("GET /pushlet/pushlet.srv?p_event=leave&p_id=three ", LEAVE_ACK),
    ]);
    let run = listen(&server, Door::LongPoll, 4, |_| {});
    assert_eq!(run.outcome, Ok(()));
    assert_eq!(run.lines, ["/u data=1", "/u data=2", "/u data=3 p_lost=2", "/u data=4"]);
    server.assert_all_used();
}

#[test]
fn what_cannot_get_better_at_a_modern_door_ends_the_run() {
    let problem = "{\"status\":400,\"detail\":\"** stands within.\",\"field\":\"subject\"}";
    for (door, step, said) in [
        (
            Door::EventStream,
            json("v1/sse", "400 Bad Request", problem),
            "the server answered 400 Bad Request: ** stands within. (subject)",
        ),
        (Door::EventStream, json("v1/sse", "404 Not Found", "{}"), "the server answered 404 Not Found"),
        (
            Door::EventStream,
            json("v1/sse", "401 Unauthorized", "{\"detail\":\"A key is needed.\"}"),
            "the server answered 401 Unauthorized: A key",
        ),
        (
            Door::EventStream,
            ok("v1/sse", "<html>hello</html>"),
            "this does not look like a Pushlet server: it answers with text/xml",
        ),
        (Door::LongPoll, json("v1/poll", "404 Not Found", "{}"), "the server answered 404 Not Found"),
        (
            Door::LongPoll,
            json("v1/poll", "200 OK", "<html>"),
            "this does not look like a Pushlet server: its answer is not understood",
        ),
    ] {
        let server = Server::start(vec![step]);
        let trouble = listen(&server, door, 1, |_| {}).outcome.expect_err(said).to_string();
        assert!(trouble.starts_with(said), "{trouble}");
        server.assert_all_used();
    }
}

/// The secret stands in the head of every request, and nowhere else.
#[test]
fn the_key_is_presented_with_every_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    std::fs::write(&path, "# mine\ns3cret\n").expect("a file");
    let key = path.to_str().expect("UTF-8");
    let presented = |server: &Server| {
        let heads = server.heads.lock().expect("no thread panics");
        assert!(heads.iter().all(|head| head.contains("\r\nAuthorization: Bearer s3cret")), "{heads:?}");
        assert!(heads.iter().all(|head| head.matches("s3cret").count() == 1), "{heads:?}");
        assert!(!heads.is_empty());
    };
    let mut steps = joined();
    steps.extend([stream("p_event=listen&", &[LISTEN_ACK, &data("1")].concat()), ok("p_event=leave&", LEAVE_ACK)]);
    let server = Server::start(steps);
    assert_eq!(subscribe(&server, 1, |wanted| wanted.target = keyed(&server, key)).outcome, Ok(()));
    presented(&server);
    let server = Server::start(vec![sse("v1/sse", &[SESSION, "data: {\"subject\":\"/u\",\"data\":1}\n\n"].concat())]);
    assert_eq!(listen(&server, Door::EventStream, 1, |wanted| wanted.target = keyed(&server, key)).outcome, Ok(()));
    presented(&server);
    let server = Server::start(vec![json("v1/publish", "202 Accepted", "{\"accepted\":1,\"refused\":0}")]);
    let (outcome, _) = post(&server, |args| (args.json, args.key) = (Some("1".to_owned()), Some(key.to_owned())), "");
    assert_eq!(outcome, Ok(()));
    presented(&server);
}

fn keyed(server: &Server, key: &str) -> Target {
    target(&server.target().to_string(), Some(key)).expect("a URL and a key")
}

/// Runs `pub` by the modern door, with `input` on standard input before anything is sent.
fn post(server: &Server, change: impl Fn(&mut PubArgs), input: &str) -> (Result<(), Trouble>, Watch) {
    let mut args = PubArgs {
        url: server.target().to_string(),
        subject: "/t".to_owned(),
        transport: "http".to_owned(),
        ..PubArgs::default()
    };
    change(&mut args);
    let wanted = match checked_pub(args) {
        Ok(Pub::Http(wanted)) => wanted,
        other => panic!("{other:?}"),
    };
    let watch = Watch::new("published", true);
    (post::run(&wanted, &watch, 1, || Lines::of(input)), watch)
}

const ACCEPTED: &str = "{\"accepted\":1,\"refused\":0}";

#[test]
fn one_event_is_posted() {
    type Change = fn(&mut PubArgs);
    let cases: [(Change, &str); 3] = [
        (
            |args| args.fields = vec!["b=1 \u{e9}".to_owned(), "a=".to_owned()],
            "{\"subject\":\"/t\",\"data\":{\"b\":\"1 \u{e9}\",\"a\":\"\"}}",
        ),
        (
            |args| {
                (args.json, args.event, args.to) = (Some("[1.0, null]".into()), Some("tick".into()), Some("A".into()))
            },
            "{\"subject\":\"/t\",\"event\":\"tick\",\"to\":\"A\",\"data\":[1.0, null]}",
        ),
        (|args| args.fields = Vec::new(), "{\"subject\":\"/t\",\"data\":{}}"),
    ];
    for (change, body) in cases {
        let server = Server::start(vec![json("POST /pushlet/v1/publish ", "202 Accepted", ACCEPTED)]);
        let (outcome, watch) = post(&server, change, "");
        assert_eq!((outcome, watch.done(), watch.refused()), (Ok(()), 1, 0));
        assert_eq!(*server.bodies.lock().expect("no thread panics"), [body]);
        server.assert_all_used();
    }
}

/// With a key the same request is sent again until it is answered; without one, only when the server says that it did nothing.
#[test]
fn what_is_safe_to_send_again_is() {
    let busy = || json("publish", "503 Busy", "{\"detail\":\"overloaded\"}");
    let silent = || Step { wants: "publish", answer: String::new(), then: Then::Close };
    let under_way = || json("publish", "409 Conflict", "{\"detail\":\"in flight\"}");
    let accepted = || json("publish", "202 Accepted", ACCEPTED);
    let keyed = |args: &mut PubArgs| (args.json, args.idempotency_key) = (Some("1".into()), Some("K".into()));
    let server = Server::start(vec![silent(), busy(), under_way(), accepted()]);
    let (outcome, watch) = post(&server, keyed, "");
    assert_eq!((outcome, watch.done()), (Ok(()), 1));
    let heads = server.heads.lock().expect("no thread panics");
    assert_eq!(heads.iter().filter(|head| head.contains("\r\nIdempotency-Key: K\r\n")).count(), 4);
    let plain = |args: &mut PubArgs| args.json = Some("1".into());
    let server = Server::start(vec![busy(), silent()]);
    assert!(matches!(post(&server, plain, "").0, Err(Trouble::Link(_))));
    server.assert_all_used();
    let server = Server::start(vec![json("publish", "400 Bad Request", "{\"detail\":\"no\"}")]);
    let (outcome, watch) = post(&server, plain, "");
    assert_eq!((outcome, watch.done(), watch.refused()), (Ok(()), 0, 1));
}

/// Each line is one item of a request; what became of it is told by its own number.
#[test]
fn lines_are_posted_together() {
    let results = "{\"results\":[{\"status\":202},{\"status\":400,\"detail\":\"no\"},{\"status\":202}]}";
    let server = Server::start(vec![json("publish", "202 Accepted", results)]);
    let input = "a=1 b=\"x y\"\n\nno field\n{\"c\":2}\n{bad\nd=\n";
    let (outcome, watch) = post(&server, |args| args.fields = vec!["-".to_owned()], input);
    assert_eq!((outcome, watch.done(), watch.refused()), (Ok(()), 2, 3));
    let bodies = server.bodies.lock().expect("no thread panics");
    let body = "[{\"subject\":\"/t\",\"data\":{\"a\":\"1\",\"b\":\"x y\"}},{\"subject\":\"/t\",\"data\":{\"c\":2}},\
        {\"subject\":\"/t\",\"data\":{\"d\":\"\"}}]";
    assert_eq!(*bodies, [body]);
}

/// No request is longer than a server takes; what is refused as a whole is told of each line; a broken connection leaves its lines in doubt.
#[test]
fn many_lines_are_many_requests() {
    let line = format!("\"{}\"", "x".repeat(100_000));
    let input = [line.as_str(); 5].join("\n") + "\n\"" + &"x".repeat(300_000) + "\"\n";
    let two = || json("publish", "202 Accepted", "{\"results\":[{\"status\":202},{\"status\":202}]}");
    let broken = Step { wants: "publish", answer: String::new(), then: Then::Close };
    let server = Server::start(vec![two(), json("publish", "413 Content Too Large", "{}"), broken]);
    let (outcome, watch) = post(&server, |args| args.json = Some("-".to_owned()), &input);
    assert_eq!((outcome, watch.done(), watch.refused()), (Ok(()), 2, 4));
    let bodies = server.bodies.lock().expect("no thread panics");
    assert_eq!(bodies.iter().map(|body| body.matches("\"subject\"").count()).collect::<Vec<_>>(), [2, 2, 1]);
    assert!(bodies.iter().all(|body| body.len() <= crate::limits::BODY_BYTES_MAX));
    server.assert_all_used();
    let many = "1\n".repeat(1500);
    let results = |count: usize| format!("{{\"results\":[{}]}}", vec!["{\"status\":202}"; count].join(","));
    // As many as are read ahead are there at once.
    let most = crate::limits::POST_ITEMS_MAX;
    let server = Server::start(vec![json("publish", "202 Accepted", &results(most))]);
    let (outcome, watch) = post(&server, |args| args.json = Some("-".to_owned()), &many[..2 * most]);
    assert_eq!((outcome, watch.done()), (Ok(()), most as u64));
    server.assert_all_used();
}

#[test]
fn a_door_that_does_not_open_ends_the_run() {
    for (status, said) in [("401 Unauthorized", "401"), ("403 Forbidden", "403"), ("404 Not Found", "404")] {
        let server = Server::start(vec![json("publish", status, "{\"detail\":\"no\"}")]);
        let (outcome, watch) = post(&server, |args| args.fields = vec!["-".to_owned()], "a=1\n");
        assert!(outcome.expect_err(said).to_string().contains(said));
        assert_eq!(watch.done(), 0);
    }
}

#[test]
fn command_lines_of_the_modern_door_are_checked() {
    type Change = fn(&mut PubArgs);
    let cases: [(&str, Change); 9] = [
        ("not both", |args| (args.json, args.fields) = (Some("1".into()), vec!["a=1".into()])),
        ("JSON", |args| args.json = Some("{".into())),
        ("transport", |args| args.transport = "carrier-pigeon".into()),
        ("--event is for", |args| (args.transport, args.event) = ("pushlet".into(), Some("x".into()))),
        ("--event: ", |args| args.event = Some("end".into())),
        ("--idempotency-key", |args| args.idempotency_key = Some("a b".into())),
        ("--idempotency-key is for", |args| (args.transport, args.idempotency_key) = ("ws".into(), Some("a".into()))),
        ("for one event", |args| (args.json, args.idempotency_key) = (Some("-".into()), Some("a".into()))),
        ("there twice", |args| (args.transport, args.fields) = ("http".into(), vec!["a=1".into(), "a=2".into()])),
    ];
    for (word, change) in cases {
        let mut args = PubArgs { url: "h".to_owned(), subject: "/a".to_owned(), ..PubArgs::default() };
        change(&mut args);
        let said = checked_pub(args).expect_err(word);
        assert!(said.contains(word), "{said}");
    }
    let http = PubArgs { url: "h".into(), subject: "/a".into(), json: Some("1".into()), ..PubArgs::default() };
    assert!(matches!(checked_pub(http.clone()), Ok(Pub::Http(_))));
    assert!(matches!(checked_pub(PubArgs { json: None, ..http }), Ok(Pub::Pushlet(_))));
}
