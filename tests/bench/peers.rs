//! Other dialects: against small servers that speak them, and against servers that do not.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::bench;
use super::support::server::{Driver, Server};

/// Who listens to what; and the number of an event that gets lost.
#[derive(Default)]
struct Hall {
    listeners: Mutex<Vec<(String, TcpStream)>>,
    lost: Option<usize>,
    events: Mutex<usize>,
}

impl Hall {
    /// Answers, and lets the events come right behind that: none before it, and none is missed.
    fn listen(&self, subject: &str, stream: &TcpStream, answer: &str) -> Option<()> {
        let mut stream = stream.try_clone().ok()?;
        let mut listeners = self.listeners.lock().expect("no thread panics");
        stream.write_all(answer.as_bytes()).ok()?;
        listeners.push((subject.to_owned(), stream));
        Some(())
    }

    /// Sends it to all that listen; who is gone is forgotten. Says how many they were.
    fn publish(&self, subject: &str, bytes: &[u8]) -> usize {
        let mut listeners = self.listeners.lock().expect("no thread panics");
        let mut events = self.events.lock().expect("no thread panics");
        *events += 1;
        if Some(*events) == self.lost {
            return 0;
        }
        listeners.retain_mut(|(name, stream)| name != subject || stream.write_all(bytes).is_ok());
        listeners.len()
    }
}

/// Serves each connection with `serve` until it ends.
fn start(hall: Hall, serve: [fn(&Hall, TcpStream) -> Option<()>; 2]) -> [SocketAddr; 2] {
    let hall = Arc::new(hall);
    serve.map(|serve| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let hall = Arc::clone(&hall);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (hall, stream) = (Arc::clone(&hall), stream.expect("a connection"));
                thread::spawn(move || serve(&hall, stream));
            }
        });
        address
    })
}

/// A line without its end; `None`: there is none.
fn line(reader: &mut impl std::io::BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    Some(line.trim_end().to_owned())
}

/// As much of Redis as publish/subscribe needs.
fn redis(hall: &Hall, mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let count: usize = line(&mut reader)?.strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            line(&mut reader)?;
            words.push(line(&mut reader)?);
        }
        let answer = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["PING"] => "+PONG\r\n".to_owned(),
            ["SUBSCRIBE", subject] => {
                let answer = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{subject}\r\n:1\r\n", subject.len());
                hall.listen(subject, &stream, &answer)?;
                continue;
            }
            ["PUBLISH", subject, text] => {
                let (wide, long) = (subject.len(), text.len());
                let push = format!("*3\r\n$7\r\nmessage\r\n${wide}\r\n{subject}\r\n${long}\r\n{text}\r\n");
                format!(":{}\r\n", hall.publish(subject, push.as_bytes()))
            }
            _ => "-ERR unknown command\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn redis_server(lost: Option<usize>) -> SocketAddr {
    start(Hall { lost, ..Hall::default() }, [redis; 2])[0]
}

/// The head of a request: its path, and how long its body is.
fn head(reader: &mut impl std::io::BufRead) -> Option<(String, usize)> {
    let path = line(reader)?.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let field = line(reader)?;
        match field.split_once(": ") {
            None => return Some((path, length)),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            Some(_) => {}
        }
    }
}

/// Where Pushpin is listened to.
fn pushpin(hall: &Hall, stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (path, _) = head(&mut reader)?;
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nready\n\r\n";
    hall.listen(path.strip_prefix("/stream/")?, &stream, answer)?;
    reader.read_to_end(&mut Vec::new()).map(drop).ok()
}

/// Where one publishes: one request a connection.
fn control(hall: &Hall, mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (path, length) = head(&mut reader)?;
    assert_eq!(path, "/publish/");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let item = &body["items"][0];
    let text = item["formats"]["http-stream"]["content"].as_str().expect("text");
    hall.publish(item["channel"].as_str().expect("text"), format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nPublished\n";
    stream.write_all(answer).ok()
}

#[test]
fn another_server_is_measured_as_ours() {
    let address = redis_server(None);
    let pids = format!("{0},{0}", std::process::id());
    for subjects in [1, 50] {
        let words = format!("--dialect redis --sessions 100 --subjects {subjects} --events 50 --server-pid {pids}");
        let outcome = bench(address, &words);
        outcome.assert_good();
        assert_eq!((outcome.count("events_accepted"), outcome.count("deliveries")), (50, 5000 / subjects), "{words}");
        assert_eq!(outcome.figures["dialect"], "redis");
        for door in ["transport", "publish", "format", "publish_url"] {
            assert!(outcome.figures[door].is_null(), "{door}");
        }
        assert!(outcome.count("server_resident_bytes") > 1_000_000, "{:?}", outcome.figures);
    }
    let words = "--dialect redis --sessions 50 --publishers 4 --subjects 2 --events 200 --in-flight 32 --pipeline 8 --complete acked --threads 2";
    let outcome = bench(address, words);
    outcome.assert_good();
    assert_eq!(outcome.count("deliveries"), 5000, "{:?}", outcome.figures);
    let idle = bench(address, "idle --dialect redis --sessions 20 --duration 0.2");
    idle.assert_good();
    assert_eq!(idle.count("sessions_open"), 20);
}

/// Who goes closes the connection.
#[test]
fn a_leave_of_another_dialect_is_a_close() {
    let address = redis_server(None);
    for scenario in ["churn", "mixed --shares fan-out=1,churn=1"] {
        let words = format!("{scenario} --dialect redis --sessions 20 --rate 200 --duration 1");
        let outcome = bench(address, &words);
        outcome.assert_good();
        assert!(outcome.count("sessions_churned") >= 10 && outcome.count("deliveries") > 60, "{:?}", outcome.figures);
    }
}

#[test]
fn a_lost_event_of_another_server_is_found() {
    let outcome = bench(redis_server(Some(7)), "--dialect redis --sessions 3 --events 20 --rate 500 --drain 0.5");
    assert_eq!((outcome.code, outcome.count("lost")), (Some(1), 3), "{:?}", outcome.figures);
    assert_eq!(outcome.count("deliveries"), 57);
}

/// Publishers go to another port, whose server ends the connection behind every answer; that is no fault.
#[test]
fn publishers_come_again_where_a_connection_is_for_one_request() {
    let [listen, post] = start(Hall::default(), [pushpin, control]);
    let words = format!("--dialect pushpin --publish-url http://{post}/ --sessions 20 --publishers 3 --events 60");
    let outcome = bench(listen, &words);
    outcome.assert_good();
    assert_eq!((outcome.count("events_accepted"), outcome.count("deliveries")), (60, 1200), "{:?}", outcome.figures);
    assert_eq!(outcome.count("opens_retried"), 0, "{:?}", outcome.figures);
    assert_eq!(outcome.figures["publish_url"], format!("http://{post}/"));
}

/// Our own server may be published to elsewhere, too, where no session is needed for it.
#[test]
fn events_go_to_the_other_address() {
    let server = Server::start(Driver::IoUring, &[], "");
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let there = format!("--publish http --publish-url http://{}/ --sessions 5 --events 4", server.addr());
    let outcome = bench(server.addr(), &there);
    outcome.assert_good();
    assert_eq!(outcome.count("deliveries"), 20);
    let elsewhere = format!("--publish http --publish-url http://{nobody}/ --sessions 5 --events 4 --retries 1");
    let outcome = bench(server.addr(), &elsewhere);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("not one publisher could be opened: Connection refused"), "{}", outcome.stderr);
}

/// It says so, and soon: nobody waits for retries that cannot help.
#[test]
fn a_server_of_another_dialect_is_told() {
    let server = Server::start(Driver::IoUring, &[], "");
    let begin = Instant::now();
    for dialect in ["nchan-sse", "nchan-stream", "nchan-ws", "uws", "socket.io", "faye", "pushpin", "nats-ws", "redis"]
    {
        let outcome = bench(server.addr(), &format!("--dialect {dialect} --sessions 50 --retries 100"));
        assert_eq!(outcome.code, Some(1), "{dialect}");
        assert!(outcome.stderr.contains("not one subscriber could be opened"), "{dialect}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(&format!("the dialect {dialect}")), "{dialect}: {}", outcome.stderr);
    }
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}

/// It may also just wait for more: then the generator does not.
#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let outcome = bench(address, "--dialect redis --sessions 20 --retries 100");
    assert_eq!(outcome.code, Some(1));
    let said = "the server does not answer for 10 s; is this a server of the dialect redis?";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}
