//! The tools against a server that says what it is told to: the original's bytes, chunk boundaries and unescaped names
//! included.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::publisher::Source;
use super::*;
use crate::protocol::Mode;

mod modern;
mod web;

/// What the server does when it has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

/// One request that will come, and its answer. Steps are used in order among those that fit a request.
struct Step {
    wants: &'static str,
    answer: String,
    then: Then,
}

/// A whole answer in two chunks, as Jetty sends it.
fn ok(wants: &'static str, body: &str) -> Step {
    let mut step = stream(wants, body);
    step.answer.push_str("0\r\n\r\n");
    step
}

/// The beginning of an answer that goes on.
fn stream(wants: &'static str, body: &str) -> Step {
    let (one, two) = body.split_at(body.len() / 2);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml;charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = format!("{head}{:X}\r\n{one}\r\n{:X}\r\n{two}\r\n", one.len(), two.len());
    Step { wants, answer, then: Then::Keep }
}

fn error(wants: &'static str, status: &str, page: &str) -> Step {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nRetry-After: 0\r\n\r\n{page}", page.len());
    Step { wants, answer, then: Then::Keep }
}

fn closing(mut step: Step) -> Step {
    step.then = Then::Close;
    step
}

const EXPIRED: &str = "<html><head><title>Error 400 Invalid or expired id: wezudomyhu</title></head></html>";
const JOIN_ACK: &str =
    r#"<pushlet><event p_time="1" p_format="xml-strict" p_id="wezudomyhu" p_event="join-ack" /></pushlet>"#;
const SUBSCRIBE_ACK: &str =
    r#"<pushlet><event p_sid="vocyk" p_time="1" p_id="wezudomyhu" p_event="subscribe-ack" p_subject="/t" /></pushlet>"#;
const LISTEN_ACK: &str =
    r#"<pushlet><event p_time="1" p_format="xml-strict" p_id="wezudomyhu" p_mode="stream" p_event="listen-ack" />"#;
const REFRESH_ACK: &str = r#"<pushlet><event p_event="refresh-ack" p_time="1" />"#;
const REFRESH: &str =
    r#"<event p_time="1" p_wait="20" p_event="refresh" p_url="/p?p_id=wezudomyhu&amp;p_event=refresh" /></pushlet>"#;
const HEARTBEAT: &str = r#"<event p_event="hb" p_time="1" p_seq="1" />"#;
const LEAVE_ACK: &str = r#"<pushlet><event p_id="wezudomyhu" p_event="leave-ack" p_time="1" /></pushlet>"#;
const PUBLISH_ACK: &str = r#"<pushlet><event p_event="publish-ack" p_time="1" /></pushlet>"#;

fn data(value: &str) -> String {
    let head = r#"<event p_from="bovahovuje" p_time="1""#;
    format!(r#"{head} v="{value}" p_event="data" p_subject="/t" p_seq="2" p_sid="vocyk" p_id="bovahovuje" />"#)
}

fn joined() -> Vec<Step> {
    vec![ok("p_event=join&", JOIN_ACK), ok("p_event=subscribe&", SUBSCRIBE_ACK)]
}

/// The server: its address, and the request lines that came, and the bodies of those that had one.
#[derive(Clone)]
struct Server {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<String>>>,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Server {
    fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let server = Self { steps: Arc::new(Mutex::new(steps)), ..Self::nowhere(addr) };
        let shared = server.clone();
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(connection));
            }
        });
        server
    }

    /// Nobody listens there.
    fn nowhere(addr: SocketAddr) -> Self {
        let (requests, heads, bodies) = Default::default();
        Self { addr, requests, heads, bodies, steps: Arc::default() }
    }

    fn target(&self) -> Target {
        Target::parse(&format!("http://{}/pushlet/pushlet.srv", self.addr)).expect("a URL")
    }

    /// The `p_event` of every request, in order.
    fn events(&self) -> Vec<String> {
        let event = |line: &String| {
            let query = line.split_once("p_event=").map_or("", |(_, rest)| rest);
            query.split(['&', ' ']).next().unwrap_or_default().to_owned()
        };
        self.requests.lock().expect("no thread panics").iter().map(event).collect()
    }

    fn assert_all_used(&self) {
        let steps = self.steps.lock().expect("no thread panics");
        assert_eq!(steps.iter().map(|step| step.wants).collect::<Vec<_>>(), Vec::<&str>::new(), "never asked for");
    }

    fn serve(&self, mut connection: TcpStream) {
        let mut input = Vec::new();
        let mut piece = [0_u8; 4096];
        while let Ok(count @ 1..) = connection.read(&mut piece) {
            input.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&input).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
            if body.len() < length.unwrap_or(0) {
                continue;
            }
            input.clear();
            let line = head.lines().next().unwrap_or_default().to_owned();
            let step = {
                let mut steps = self.steps.lock().expect("no thread panics");
                let at = steps.iter().position(|step| line.contains(step.wants));
                at.map(|at| steps.remove(at))
            };
            self.requests.lock().expect("no thread panics").push(line);
            self.heads.lock().expect("no thread panics").push(head.to_owned());
            if length.is_some() {
                self.bodies.lock().expect("no thread panics").push(body.to_owned());
            }
            let Some(step) = step else { return };
            if connection.write_all(step.answer.as_bytes()).is_err() || step.then == Then::Close {
                return;
            }
        }
    }
}

struct Run {
    lines: Vec<String>,
    outcome: Result<(), Trouble>,
    watch: Watch,
}

fn subscribe(server: &Server, count: u64, change: impl Fn(&mut subscriber::Wanted)) -> Run {
    let mut wanted = subscriber::Wanted {
        target: server.target(),
        subjects: vec!["/t".to_owned()],
        format: Format::XmlStrict,
        mode: Mode::Stream,
        output: Output::Text,
        count: Some(count),
        label: None,
        silence: Duration::from_secs(20),
    };
    change(&mut wanted);
    let watch = Watch::new("received", true);
    let mut out = Vec::new();
    let outcome = subscriber::run(&wanted, &watch, 1, &mut out);
    let lines = String::from_utf8(out).expect("text").lines().map(str::to_owned).collect();
    Run { lines, outcome, watch }
}

#[test]
fn a_stream_of_the_original_is_printed() {
    let body = [
        LISTEN_ACK,
        HEARTBEAT,
        &data("a&quot;b&#092;\n&lt;"),
        r#"<event p_event="data" a b"=="1" />"#,
        &data("\u{4e2d}"),
    ];
    let mut steps = joined();
    steps.extend([stream("p_event=listen&", &body.concat()), ok("p_event=leave&", LEAVE_ACK)]);
    let server = Server::start(steps);
    let run = subscribe(&server, 2, |_| {});
    assert_eq!(run.outcome, Ok(()));
    assert_eq!(run.lines, [r#"/t v="a\"b\\\n<" p_from=bovahovuje"#, "/t v=\u{4e2d} p_from=bovahovuje"]);
    assert_eq!(server.events(), ["join", "subscribe", "listen", "leave"]);
    server.assert_all_used();
}

#[test]
fn a_lost_stream_is_continued_and_a_lost_session_joined_again() {
    let mut steps = joined();
    steps.push(closing(stream("p_event=listen&", &[LISTEN_ACK, &data("1")].concat())));
    let lost = data("2").replace(" p_seq=", " p_lost=\"3\" p_seq=");
    steps.push(closing(stream("p_event=refresh&", &[REFRESH_ACK, HEARTBEAT, &lost].concat())));
    steps.push(error("p_event=refresh&", "400 Bad Request", EXPIRED));
    steps.extend(joined());
    steps.extend([stream("p_event=listen&", &[LISTEN_ACK, &data("3")].concat()), ok("p_event=leave&", LEAVE_ACK)]);
    let server = Server::start(steps);
    let run = subscribe(&server, 3, |wanted| wanted.output = Output::Json);
    assert_eq!((run.outcome, run.watch.done()), (Ok(()), 3));
    let values: Vec<_> =
        run.lines.iter().map(|line| line.split_once("\"v\":").expect("v").1.split(',').next()).collect();
    assert_eq!(values, [Some("\"1\""), Some("\"2\""), Some("\"3\"")]);
    assert!(run.lines[1].contains("\"p_lost\":\"3\"") && !run.lines[1].contains("p_id"), "{}", run.lines[1]);
    let expected = ["join", "subscribe", "listen", "refresh", "refresh", "join", "subscribe", "listen", "leave"];
    assert_eq!(server.events(), expected);
    server.assert_all_used();
}

#[test]
fn pull_cycles_obey_the_wait() {
    let mut steps = joined();
    steps.push(ok("p_event=listen&", &[LISTEN_ACK, REFRESH].concat()));
    steps.push(ok("p_event=refresh&", &[REFRESH_ACK, HEARTBEAT, &REFRESH.replace("\"20\"", "\"400\"")].concat()));
    steps.push(ok("p_event=refresh&", &[REFRESH_ACK, &data("1"), &data("2"), REFRESH].concat()));
    steps.push(ok("p_event=leave&", LEAVE_ACK));
    let server = Server::start(steps);
    let began = Instant::now();
    let run = subscribe(&server, 2, |wanted| (wanted.mode, wanted.label) = (Mode::Pull, Some("l".to_owned())));
    assert!(began.elapsed() >= Duration::from_millis(420));
    assert_eq!((run.outcome, run.lines.len()), (Ok(()), 2));
    assert_eq!(server.events(), ["join", "subscribe", "listen", "refresh", "refresh", "leave"]);
    let requests = server.requests.lock().expect("no thread panics");
    assert!(requests[1].contains("p_subject=%2Ft&p_label=l") && requests[2].contains("p_mode=pull"), "{requests:?}");
}

#[test]
fn an_abort_and_an_overloaded_server_are_tried_again() {
    let mut steps = vec![error("p_event=join&", "503 Service Unavailable", "busy")];
    steps.extend(joined());
    let abort = r#"<event p_event="abort" p_reason="the server is shutting down" p_seq="2" /></pushlet>"#;
    steps.push(ok("p_event=listen&", &[LISTEN_ACK, abort].concat()));
    steps.extend(joined());
    steps.extend([stream("p_event=listen&", &[LISTEN_ACK, &data("1")].concat()), ok("p_event=leave&", LEAVE_ACK)]);
    let server = Server::start(steps);
    let run = subscribe(&server, 1, |_| {});
    assert_eq!((run.outcome, run.lines.len()), (Ok(()), 1));
    server.assert_all_used();
}

/// A dead connection is one on which no heartbeat comes.
#[test]
fn silence_is_a_lost_connection() {
    let mut steps = joined();
    steps.push(stream("p_event=listen&", LISTEN_ACK));
    steps.push(stream("p_event=refresh&", &[REFRESH_ACK, &data("1")].concat()));
    steps.push(ok("p_event=leave&", LEAVE_ACK));
    let server = Server::start(steps);
    let run = subscribe(&server, 1, |wanted| wanted.silence = Duration::from_millis(300));
    assert_eq!((run.outcome, run.lines.len()), (Ok(()), 1));
    server.assert_all_used();
}

#[test]
fn what_cannot_get_better_ends_the_run() {
    let nack =
        r#"<pushlet><event p_reason="no subject provided" p_time="1" p_id="wezudomyhu" p_event="nack" /></pushlet>"#;
    let subscribe_refused =
        vec![ok("p_event=join&", JOIN_ACK), ok("subscribe&", nack), ok("p_event=leave&", LEAVE_ACK)];
    let no_http = Step { wants: "join", answer: "SSH-2.0-OpenSSH\r\n\r\n".to_owned(), then: Then::Close };
    for (steps, said) in [
        (vec![error("join", "404 Not Found", "nothing here")], "the server answered 404 Not Found: nothing here"),
        (subscribe_refused, "the server refused: no subject provided"),
        (vec![ok("join", "<html>hello</html>")], "this does not look like a Pushlet server: it does not answer a join"),
        (vec![no_http], "this does not look like a Pushlet server: the answer is not HTTP"),
    ] {
        let server = Server::start(steps);
        let run = subscribe(&server, 1, |_| {});
        let trouble = run.outcome.expect_err(said).to_string();
        assert!(trouble.starts_with(said), "{trouble}");
        server.assert_all_used();
    }
}

/// A reader that goes away (`pushletd sub ... | head -1`) ends the run in order.
#[test]
fn a_reader_that_goes_away_is_an_end() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut steps = joined();
    steps.extend([stream("p_event=listen&", &[LISTEN_ACK, &data("1")].concat()), ok("p_event=leave&", LEAVE_ACK)]);
    let server = Server::start(steps);
    let args = SubArgs { url: server.target().to_string(), subjects: vec!["/t".to_owned()], ..SubArgs::default() };
    let Ok(Sub::Pushlet(wanted)) = checked_sub(args) else { panic!("a good command line") };
    let watch = Watch::new("received", true);
    assert_eq!(subscriber::run(&wanted, &watch, 1, &mut Gone), Ok(()));
    server.assert_all_used();
}

fn publish(server: &Server, fields: &[(&str, &str)], to: Option<&str>) -> (Result<(), Trouble>, Watch) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (source, to) = (Source::Once(fields), to.map(str::to_owned));
    let wanted = publisher::Wanted { target: server.target(), subject: "/t".to_owned(), source, to };
    let watch = Watch::new("published", true);
    (publisher::run(&wanted, &watch, Box::new(std::io::empty())), watch)
}

#[test]
fn one_event_is_published() {
    let server = Server::start(vec![
        ok("p_event=join&", JOIN_ACK),
        error("p_event=publish&", "400 Bad Request", EXPIRED),
        ok("p_event=join&", JOIN_ACK),
        ok("p_event=publish&", PUBLISH_ACK),
        ok("p_event=leave&", LEAVE_ACK),
    ]);
    let (outcome, watch) = publish(&server, &[("a", "1 &\u{e9}")], Some("bovahovuje"));
    assert_eq!((outcome, watch.done(), watch.refused()), (Ok(()), 1, 0));
    let requests = server.requests.lock().expect("no thread panics");
    let tail = "p_id=wezudomyhu&p_subject=%2Ft&p_to=bovahovuje&a=1+%26%C3%A9 HTTP/1.1";
    assert!(requests[3].ends_with(tail), "{requests:?}");
    server.assert_all_used();
}

#[test]
fn what_was_not_published_is_counted() {
    let nack = r#"<pushlet><event p_reason="no" p_event="nack" /></pushlet>"#;
    let silent = Step { wants: "p_event=publish&", answer: String::new(), then: Then::Close };
    let refusals =
        [ok("publish&", nack), error("publish&", "413 Content Too Large", ""), ok("publish&", JOIN_ACK), silent];
    for refusal in refusals {
        let server = Server::start(vec![ok("p_event=join&", JOIN_ACK), refusal, ok("p_event=leave&", LEAVE_ACK)]);
        let (outcome, watch) = publish(&server, &[], None);
        assert_eq!((outcome, watch.done(), watch.refused()), (Ok(()), 0, 1));
    }
    let server = Server::start(vec![error("p_event=join&", "503 Service Unavailable", "busy")]);
    assert!(publish(&server, &[], None).0.is_err());
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let server = Server::nowhere(nobody);
    let trouble = publish(&server, &[], None).0.expect_err("nobody listens").to_string();
    assert!(trouble.starts_with("cannot connect to 127.0.0.1:"), "{trouble}");
}

#[test]
fn each_line_of_input_is_an_event() {
    let publish = || ok("p_event=publish&", PUBLISH_ACK);
    let nack = ok("p_event=publish&", r#"<pushlet><event p_reason="no" p_event="nack" /></pushlet>"#);
    let leave = ok("p_event=leave&", LEAVE_ACK);
    let server = Server::start(vec![ok("p_event=join&", JOIN_ACK), publish(), nack, publish(), leave]);
    let input = b"a=1 b=\"x y\"\n\nno field\n\xff=1\n{\"c\":2}\nd=\"\\n\"".as_slice();
    let wanted =
        publisher::Wanted { target: server.target(), subject: "/t".to_owned(), source: Source::Lines, to: None };
    let watch = Watch::new("published", true);
    assert_eq!(publisher::run(&wanted, &watch, Box::new(input)), Ok(()));
    assert_eq!((watch.done(), watch.refused()), (2, 3));
    let requests = server.requests.lock().expect("no thread panics");
    for (line, tail) in requests[1..].iter().zip(["&a=1&b=x+y HTTP/1.1", "&c=2 HTTP/1.1", "&d=%0A HTTP/1.1"]) {
        assert!(line.ends_with(tail), "{line}");
    }
    server.assert_all_used();
}

#[test]
fn command_lines_are_checked() {
    let sub = |change: &dyn Fn(&mut SubArgs)| {
        let mut args = SubArgs { url: "h".to_owned(), subjects: vec!["/a".to_owned()], ..SubArgs::default() };
        change(&mut args);
        checked_sub(args)
    };
    let Ok(Sub::Pushlet(wanted)) = sub(&|_| {}) else { panic!("the least that is needed") };
    assert_eq!((wanted.format, wanted.mode, wanted.output), (Format::XmlStrict, Mode::Stream, Output::Text));
    assert!(sub(&|args| args.format = "json".to_owned()).is_ok());
    for (word, change) in [
        ("TLS", (&|args: &mut SubArgs| args.url = "https://h".to_owned()) as &dyn Fn(&mut SubArgs)),
        ("no subject", &|args| args.subjects.clear()),
        ("no subject", &|args| args.subjects = vec![" ".to_owned()]),
        ("format", &|args| args.format = "js".to_owned()),
        ("format", &|args| args.format = "XML".to_owned()),
        ("transport", &|args| args.transport = "push".to_owned()),
        ("output", &|args| args.output = "xml".to_owned()),
        ("count", &|args| args.count = Some(0)),
        ("format of sse", &|args| (args.transport, args.format) = ("sse".to_owned(), "xml".to_owned())),
        ("label", &|args| (args.transport, args.label) = ("poll".to_owned(), Some("l".to_owned()))),
        ("bytes", &|args| (args.transport, args.subjects) = ("sse".to_owned(), vec!["/a".repeat(8192)])),
        ("/nowhere/key", &|args| args.key = Some("/nowhere/key".to_owned())),
    ] {
        let said = sub(change).expect_err(word);
        assert!(said.contains(word), "{said}");
    }
    let publish = |fields: &[&str], subject: &str| {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        checked_pub(PubArgs { url: "h".to_owned(), subject: subject.to_owned(), fields, ..PubArgs::default() })
    };
    let source = |fields: &[&str]| match publish(fields, "/a") {
        Ok(Pub::Pushlet(wanted)) => Ok(wanted.source),
        Ok(Pub::Http(_) | Pub::Web(_)) => panic!("the Pushlet door is the usual one"),
        Err(what) => Err(what),
    };
    assert_eq!(source(&["-"]), Ok(Source::Lines));
    assert_eq!(source(&[]), Ok(Source::Once(Vec::new())));
    assert_eq!(source(&["a=1"]), Ok(Source::Once(vec![("a".to_owned(), "1".to_owned())])));
    assert!(source(&["a=1", "-"]).is_err());
    assert!(source(&["p_id=1"]).is_err());
    assert!(publish(&[], "").is_err());
}
