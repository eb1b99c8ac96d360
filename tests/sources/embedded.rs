//! Sources of a program that embeds the server, here and in `examples/ticker.rs`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use pushletd::config::{Inputs, load};
use pushletd::protocol::Format;
use pushletd::{Message, Publisher, PullSource, PushSource, Server, SourceError};

use crate::LATER;
use crate::support::look::admin_get;
use crate::support::pushlet::{SOON, Session};
use crate::support::server::wait_for;

struct Faulty(u32);

impl PullSource for Faulty {
    fn subject(&self) -> &str {
        "/faulty"
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(10)
    }

    fn pull(&mut self) -> Result<Vec<Message>, SourceError> {
        self.0 += 1;
        match self.0 {
            1 => panic!("the first pull panics"),
            2 => Err(SourceError::new("the second one fails")),
            _ => Ok(vec![Message::new("/faulty/x")?.field("pull", self.0)?]),
        }
    }
}

#[derive(Default)]
struct Calls {
    active: AtomicU32,
    passive: AtomicU32,
    stopped: AtomicU32,
    publisher: Mutex<Option<Publisher>>,
}

struct Pushed(Arc<Calls>);

impl PushSource for Pushed {
    fn subject(&self) -> &str {
        "/pushed"
    }

    fn activate(&mut self, publisher: Publisher) {
        *self.0.publisher.lock().expect("nobody panics") = Some(publisher);
        self.0.active.fetch_add(1, Ordering::SeqCst);
    }

    fn passivate(&mut self) {
        self.0.passive.fetch_add(1, Ordering::SeqCst);
    }

    fn stop(&mut self) {
        self.0.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

/// P-35: a pull source that panics and fails is asked again; a push source is active while somebody listens and stopped with the server.
#[test]
fn a_program_adds_sources() {
    let flags = [("listen", "127.0.0.1:0"), ("admin", "127.0.0.1:0"), ("demo", "off"), ("drain-time", "1s")];
    let flags = flags.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let config = load(&Inputs { flags: flags.into(), ..Inputs::default() }).expect("good");
    let server = Server::start(&config).expect("it starts");
    let calls = Arc::new(Calls::default());
    server.add_pull_source(Faulty(0)).expect("a source");
    server.add_push_source(Pushed(Arc::clone(&calls))).expect("a source");
    let session = Session::join(server.address(), Format::Json);
    let mut channel = session.listen("stream", Some("/faulty"));
    let events = channel.wait_for(LATER, |events| events.iter().any(|event| event.kind() == "data"));
    let first = events.iter().find(|event| event.kind() == "data").expect("a data event");
    assert_eq!(first.field("pull"), "3");
    let page = admin_get(server.admin_address().expect("an admin port"), "/metrics").text();
    assert!(page.contains("pushletd_source_failures_total{source=\"program/pull-1\"} 2\n"), "{page}");
    assert!(page.contains("pushletd_source_active{source=\"program/push-2\"} 0\n"), "{page}");

    assert_eq!(calls.active.load(Ordering::SeqCst), 0);
    session.subscribe("/pushed", None);
    assert!(wait_for(SOON, || calls.active.load(Ordering::SeqCst) == 1));
    let publisher = calls.publisher.lock().expect("nobody panics").clone().expect("it was activated");
    publisher.multicast(Message::new("/pushed").expect("a subject")).expect("published");
    channel.wait_for(SOON, |events| events.iter().any(|event| event.get("p_subject") == Some("/pushed")));
    let page = admin_get(server.admin_address().expect("an admin port"), "/metrics").text();
    assert!(page.contains("pushletd_source_events_total{source=\"program/push-2\"} 1\n"), "{page}");
    session.leave();
    assert!(wait_for(LATER, || calls.passive.load(Ordering::SeqCst) == 1));
    assert_eq!(calls.stopped.load(Ordering::SeqCst), 0);
    server.stop().expect("it stops");
    let ends = [&calls.active, &calls.passive, &calls.stopped].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(ends, [1, 1, 1]);
}

/// A push source whose every method panics, and says before that that it was called.
struct Wild(mpsc::Sender<&'static str>);

impl Wild {
    fn say(&self, what: &'static str) -> ! {
        let _ = self.0.send(what);
        panic!("{what} panics");
    }
}

impl PushSource for Wild {
    fn subject(&self) -> &str {
        "/wild"
    }

    fn activate(&mut self, _: Publisher) {
        self.say("activate")
    }

    fn passivate(&mut self) {
        self.say("passivate")
    }

    fn stop(&mut self) {
        self.say("stop")
    }
}

/// P-35: whatever panics, nobody is activated twice in a row, and everybody is stopped once, at the end.
#[test]
fn a_push_source_that_panics_is_passivated_and_stopped() {
    let flags = [("listen", "127.0.0.1:0"), ("admin", "off"), ("demo", "off"), ("drain-time", "1s")];
    let flags = flags.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let config = load(&Inputs { flags: flags.into(), ..Inputs::default() }).expect("good");
    let server = Server::start(&config).expect("it starts");
    let (tell, calls) = mpsc::channel();
    server.add_push_source(Wild(tell)).expect("a source");
    let session = Session::join(server.address(), Format::Json);
    let _channel = session.listen("stream", Some("/wild"));
    for due in ["activate", "passivate", "activate", "passivate"] {
        assert_eq!(calls.recv_timeout(LATER), Ok(due));
    }
    server.stop().expect("it stops");
    let mut last: Vec<&str> = calls.iter().collect();
    assert_eq!(last.pop(), Some("stop"));
    assert!(!last.contains(&"stop"), "{last:?}");
    for pair in last.chunks(2) {
        assert_eq!(pair, ["activate", "passivate"]);
    }
}

/// The example, built by whoever runs the tests or else by us.
fn ticker() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_pushletd")).with_file_name("examples").join("ticker");
    if !path.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let built =
            cargo.args(["build", "--locked", "--example", "ticker"]).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(built.is_ok_and(|status| status.success()), "the example is not built");
    }
    path
}

struct Example {
    child: Child,
    lines: mpsc::Receiver<String>,
    asked: u64,
}

impl Example {
    /// The next line that it prints.
    fn line(&self) -> String {
        self.lines.recv_timeout(LATER).expect("the example says something")
    }

    /// How often it was asked for prices, as far as it has said so.
    fn asked(&mut self) -> u64 {
        while let Ok(line) = self.lines.try_recv() {
            self.asked = line.trim().strip_prefix("asked ").and_then(|count| count.parse().ok()).expect("a count");
        }
        self.asked
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// P-35: the example publishes while a client listens, and is asked for nothing before and after.
#[test]
fn the_ticker_sleeps_while_nobody_listens() {
    let mut command = Command::new(ticker());
    let mut child = command.arg("127.0.0.1:0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let output = child.stdout.take().expect("a pipe");
    let (tell, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    let mut example = Example { child, lines, asked: 0 };
    let said = example.line();
    let address = said.strip_prefix("listening on http://").and_then(|rest| rest.trim_end_matches('/').parse().ok());
    let address: std::net::SocketAddr = address.unwrap_or_else(|| panic!("an address in {said:?}"));

    // Somebody who listens to something else does not wake it.
    let idle = Session::join(address, Format::Json);
    let mut other = idle.listen("stream", Some("/other"));
    other.wait_count(1);
    idle.publish("/other", &[("n", "1")]);
    other.wait_data(1);
    assert_eq!(example.asked(), 0);

    let session = Session::join(address, Format::Json);
    let mut channel = session.listen("stream", Some("/ticker"));
    let events = channel.wait_data(9);
    for event in events {
        assert_eq!(event.field("p_subject"), format!("/ticker/{}", event.field("name")));
        assert!(event.field("price").parse::<f64>().is_ok_and(|price| price >= 1.0), "{event:?}");
    }
    assert!(wait_for(SOON, || example.asked() >= 3));
    session.leave();
    // It hears of it within a tick or two. Then the count stands still while a second passes by what somebody else hears of the server.
    let mut before = example.asked();
    let mut still = std::time::Instant::now();
    let slept = wait_for(LATER, || {
        let now = example.asked();
        if now != before {
            (before, still) = (now, std::time::Instant::now());
        }
        still.elapsed() > Duration::from_secs(1)
    });
    assert!(slept, "it is asked for prices that nobody hears");
    drop(example.child.stdin.take());
    let ended =
        wait_for(LATER, || example.child.try_wait().is_ok_and(|status| status.is_some_and(|status| status.success())));
    assert!(ended, "the example does not end with its input");
}
