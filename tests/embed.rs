//! pushletd inside a program: this test is the program. Servers run on threads of this process, and clients come over real sockets.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use pushletd::config::{self, Config, Inputs};
use pushletd::limits::{BODY_BYTES_MAX, FIELDS_MAX, WATCHED_SUBJECTS_MAX};
use pushletd::metrics::Counters;
use pushletd::protocol::Format;
use pushletd::{FieldProblem, Message, PublishError, Publisher, Server};

mod support;

use support::pushlet::{Channel, Event, SOON, Session};
use support::server::{Driver, on_both_drivers, wait_for};

/// Held by every test, and by the one that counts the descriptors of the process alone.
static PROCESS: RwLock<()> = RwLock::new(());

fn config(driver: Driver, more: &[(&str, &str)]) -> Config {
    let flags = [("listen", "127.0.0.1:0"), ("admin", "off"), ("io-driver", driver.name())];
    let flags = flags.iter().chain(more).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    config::load(&Inputs { flags, ..Inputs::default() }).expect("a good configuration")
}

/// Runs `body` beside a server of one core and beside one of two, on each driver.
fn beside_servers(body: impl Fn(&Server)) {
    let _beside_others = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    on_both_drivers(|driver| {
        for cores in ["1", "2"] {
            let server = Server::start(&config(driver, &[("cores", cores)])).expect("it starts");
            body(&server);
            server.stop().expect("no core has failed");
        }
    });
}

/// A session with an open stream, and the stream.
fn listener(server: &Server, subject: Option<&str>) -> (Session, Channel) {
    let session = Session::join(server.address(), Format::Json);
    let mut stream = session.listen("stream", subject);
    stream.wait_count(1);
    (session, stream)
}

fn message(subject: &str, fields: &[(&str, &str)]) -> Message {
    let fields = fields.iter();
    fields.fold(Message::new(subject).expect("a subject"), |message, (name, value)| {
        message.field(name, value).expect("a field")
    })
}

/// Publishes so many numbered events, each again until it is taken.
fn count_up(publisher: &Publisher, name: &str, count: u32) {
    for number in 0..count {
        let number = number.to_string();
        let taken = wait_for(SOON, || {
            match publisher.multicast(message("/count/up", &[("name", name), ("number", &number)])) {
                Ok(()) => true,
                Err(PublishError::Overloaded) => false,
                Err(error) => panic!("{error}"),
            }
        });
        assert!(taken, "nothing is taken any more");
    }
}

fn numbers_of<'a>(events: &'a [Event], name: &str) -> Vec<&'a str> {
    let of_name = events.iter().filter(|event| event.field("name") == name);
    of_name.map(|event| event.field("number")).collect()
}

/// P-19, A8: events of two threads come to every subscriber, each thread's in order, whether they share a handle or not. P-21: with the
/// server's `p_time`, and with no sender.
#[test]
fn events_of_two_threads_arrive_in_order() {
    const COUNT: u32 = 400;
    beside_servers(|server| {
        let mut streams: Vec<_> = (0..4).map(|_| listener(server, Some("/count")).1).collect();
        let shared = server.publisher();
        let expected: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
        for handles in [[shared.clone(), shared.clone()], [server.publisher(), server.publisher()]] {
            let before = streams[0].data().len();
            thread::scope(|scope| {
                for (handle, name) in handles.iter().zip(["a", "b"]) {
                    scope.spawn(move || count_up(handle, name, COUNT));
                }
            });
            for stream in &mut streams {
                let events = stream.wait_data(before + 2 * COUNT as usize);
                let events = &events[before..];
                assert_eq!(numbers_of(events, "a"), expected);
                assert_eq!(numbers_of(events, "b"), expected);
                let first = &events[0];
                assert!(first.get("p_from").is_none() && first.get("p_id").is_none(), "{first:?}");
                assert!(first.field("p_time").parse::<u64>().is_ok_and(|time| time > 1_600_000_000), "{first:?}");
                assert!(first.get("p_sid").is_some(), "{first:?}");
            }
        }
        let published: u64 = server.publisher().figures().iter().map(|core| core.counters.published).sum();
        assert!(published <= 4 * u64::from(COUNT), "{published} events were counted");
    });
}

/// P-23: to one session, by address or by id, from a handle of any core; a name that nobody has is counted and is no error.
#[test]
fn one_session_alone_can_be_meant() {
    beside_servers(|server| {
        let handles = [server.publisher(), server.publisher()];
        let mut peers: Vec<_> = (0..4).map(|_| listener(server, Some("/all"))).collect();
        for (at, (session, _)) in peers.iter().enumerate() {
            for (handle, to) in handles.iter().zip([&session.address, &session.id]) {
                handle.unicast(to, message("/you", &[("at", &at.to_string())])).expect("there is room");
            }
        }
        for (at, (_, stream)) in peers.iter_mut().enumerate() {
            let events = stream.wait_data(2);
            assert!(events.iter().all(|event| event.field("at") == at.to_string()), "{events:?}");
            assert!(events.iter().all(|event| event.get("p_sid").is_none()), "{events:?}");
        }
        handles[0].unicast("nobody", message("/you", &[])).expect("no error");
        let dropped = || handles[0].figures().iter().map(|core| core.counters.unicast_dropped).sum::<u64>();
        assert!(wait_for(SOON, || dropped() == 1), "{} were dropped", dropped());
        // What comes last proves that nothing else came.
        handles[1].multicast(message("/all", &[])).expect("there is room");
        peers.iter_mut().for_each(|(_, stream)| assert_eq!(stream.wait_data(3).len(), 3));
    });
}

/// Everyone who has listened gets a broadcast, whatever they are subscribed to; who has only joined does not.
#[test]
fn everyone_gets_a_broadcast() {
    beside_servers(|server| {
        let mut streams = [listener(server, None).1, listener(server, Some("/x")).1, listener(server, Some("$")).1];
        let silent = Session::join(server.address(), Format::Json);
        server.publisher().broadcast(message("$news", &[("text", "all")])).expect("there is room");
        for stream in &mut streams {
            let events = stream.wait_data(1);
            assert_eq!((events[0].field("text"), events[0].field("p_subject")), ("all", "$news"));
            assert!(events[0].get("p_sid").is_none() && events[0].get("p_from").is_none(), "{events:?}");
        }
        let mut late = silent.listen("stream", Some("/late"));
        late.wait_count(1);
        server.publisher().multicast(message("/late", &[])).expect("there is room");
        assert_eq!(late.wait_data(1)[0].field("p_subject"), "/late");
    });
}

/// Subjects that begin with `$` are for the server and its program: clients may listen, and not speak.
#[test]
fn clients_do_not_publish_to_the_servers_subjects() {
    beside_servers(|server| {
        let (session, mut stream) = listener(server, Some("$pushletd"));
        let answer = session.control("publish", &[("p_subject", "$pushletd/figures"), ("a", "b")]);
        assert_eq!(answer.kind(), "nack");
        assert_eq!(answer.field("p_reason"), "subjects that begin with $ are the server's own");
        server.publisher().multicast(message("$pushletd/figures", &[("a", "c")])).expect("there is room");
        assert_eq!(stream.wait_data(1)[0].field("a"), "c");
    });
}

/// P-35: nobody listens, somebody does, nobody does any more; on whichever core.
#[test]
fn interest_comes_and_goes_with_the_subscribers() {
    beside_servers(|server| {
        let interest = server.publisher().watch("/news/today").expect("there is room");
        assert!(!interest.is_listened_to());
        // P-25: who has joined and subscribed does not listen yet.
        let session = Session::join(server.address(), Format::Json);
        session.subscribe("/news", None);
        assert!(!interest.wait(true, Duration::from_millis(250)));

        let waiting = thread::spawn(move || (interest.wait(true, SOON), interest));
        let stream = session.listen("stream", None);
        let (listened, interest) = waiting.join().expect("no panic");
        assert!(listened && interest.is_listened_to());
        // Another one comes, the first one goes. What is asked for later is looked at later: the core of the second has looked.
        let (second, _stream) = listener(server, Some("/news,/other"));
        assert!(server.publisher().watch("/other").expect("there is room").wait(true, SOON));
        session.leave();
        drop(stream);
        assert!(!interest.wait(false, Duration::from_millis(250)) && interest.is_listened_to());
        second.leave();
        assert!(interest.wait(false, SOON) && !interest.is_listened_to());

        // A wait can be ended by others, before and after it began.
        let waker = interest.waker();
        waker.wake();
        assert!(!interest.wait(true, Duration::MAX));
        let waiting = thread::spawn(move || interest.wait(true, Duration::MAX));
        waker.wake();
        assert!(!waiting.join().expect("no panic"));
    });
}

/// P-35: watched subjects are bounded, and one that is dropped makes room for another.
#[test]
fn watched_subjects_are_bounded() {
    beside_servers(|server| {
        let publisher = server.publisher();
        let mut watched: Vec<_> =
            (0..WATCHED_SUBJECTS_MAX).map(|at| publisher.watch(&format!("/{at}")).expect("there is room")).collect();
        assert_eq!(publisher.watch("/more").err(), Some(PublishError::TooManyWatched));
        drop(watched.pop());
        assert!(wait_for(SOON, || publisher.watch("/more").map(|more| watched.push(more)).is_ok()));
        assert!(matches!(publisher.watch(""), Err(PublishError::Subject(_))));
    });
}

/// Who publishes more than the server can deliver is told at once and never waits; what was taken is delivered in order.
#[test]
fn too_many_events_are_refused() {
    beside_servers(|server| {
        let (_, mut stream) = listener(server, Some("/end"));
        // Each event is so much work for a core that a publisher is quicker.
        for _ in 0..120 {
            Session::join(server.address(), Format::Json).listen("poll", Some("/flood")).wait_end(SOON);
        }
        let publisher = server.publisher();
        let deadline = Instant::now() + SOON;
        let mut taken = 0_u64;
        loop {
            assert!(Instant::now() < deadline, "{taken} events were taken");
            match publisher.multicast(message("/flood", &[])) {
                Ok(()) => taken += 1,
                Err(PublishError::Overloaded) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let sum = |of: fn(&Counters) -> u64| publisher.figures().iter().map(|core| of(&core.counters)).sum::<u64>();
        assert!(wait_for(SOON, || sum(|counters| counters.overloaded) > 0), "a refusal is counted");
        assert!(wait_for(SOON, || publisher.multicast(message("/end", &[])).is_ok()), "there is room again");
        assert_eq!(stream.wait_data(1).len(), 1);
        assert!(wait_for(SOON, || sum(|counters| counters.published) == taken + 1), "{taken} and one were taken");
    });
}

/// P-21 and the bounds of clients hold for programs too, and every error says what is wrong.
#[test]
fn messages_have_the_bounds_of_clients() {
    let told = |outcome: Result<Message, PublishError>| outcome.expect_err("it cannot be").to_string();
    assert_eq!(told(Message::new("")), "empty subject");
    let plain = || Message::new("/s").expect("a subject");
    for name in ["p_event", "p_id", "p_sid", "p_seq", "p_from", "p_label", "p_lost", "p_subject"] {
        assert_eq!(told(plain().field(name, 1)), format!("the field {name} is the server's own"));
    }
    assert_eq!(told(plain().field("", 1)), "a field without a name");
    assert_eq!(
        told(plain().field("a", "x".repeat(BODY_BYTES_MAX))),
        format!("message of {} bytes, at most {BODY_BYTES_MAX} are allowed", BODY_BYTES_MAX + 3)
    );
    let full = (0..FIELDS_MAX).try_fold(plain(), |message, at| message.field(&format!("f{at}"), at)).expect("they fit");
    assert_eq!(full.field("one", "more").err(), Some(PublishError::Field(FieldProblem::TooMany)));
    assert!(told(Message::json("/s", "{1}")).starts_with("the text is not JSON: "));
    assert_eq!(told(Message::json("/s", "[1]").expect("JSON").field("a", 1)), "a message of JSON text has no fields");
    assert!(plain().field("p_time", 7).is_ok());
}

/// What is not text comes as text; P-2: the first of a name counts; P-21: the program's own `p_time` stays.
#[test]
fn fields_and_json_come_as_they_are() {
    beside_servers(|server| {
        let (_, mut stream) = listener(server, Some("/s"));
        let publisher = server.publisher();
        let fields = [("a", "1"), ("a", "2"), ("p_time", "7"), ("\u{4e2d}", "\"<&\n")];
        publisher.multicast(message("/s", &fields)).expect("there is room");
        publisher.multicast(Message::json("/s", r#"{"deep":[1,{}]}"#).expect("JSON")).expect("there is room");
        let events = stream.wait_data(2);
        assert_eq!((events[0].field("a"), events[0].field("p_time")), ("1", "7"));
        assert_eq!(events[0].field("\u{4e2d}"), "\"<&\n");
        assert_eq!(events[1].field("data"), r#"{"deep":[1,{}]}"#);
    });
}

/// P-32: what was published comes before the end, everybody is told of it, and from then on every handle says so. The address is free again.
#[test]
fn a_stopped_server_has_told_everybody() {
    let _beside_others = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    on_both_drivers(|driver| {
        let mut address = String::from("127.0.0.1:0");
        for cores in ["1", "2", "1"] {
            let config = config(driver, &[("cores", cores), ("listen", &address)]);
            let server = Server::start(&config).expect("it starts, on the same port again");
            address = server.address().to_string();
            let publisher = server.publisher();
            let interest = publisher.watch("/s").expect("there is room");
            let streams: Vec<_> = (0..3).map(|_| listener(&server, Some("/s")).1).collect();
            assert!(interest.wait(true, SOON));
            for number in 0..50 {
                publisher.multicast(message("/s", &[("number", &number.to_string())])).expect("there is room");
            }
            let waiting = thread::spawn(move || (interest.wait(false, SOON), interest.is_listened_to()));
            thread::scope(|scope| {
                for mut stream in streams {
                    scope.spawn(move || {
                        let events = stream.wait_end(SOON);
                        let (last, before) = events.split_last().expect("events");
                        assert_eq!(last.kind(), "abort", "{events:?}");
                        assert_eq!(before.iter().filter(|event| event.kind() == "data").count(), 50, "{cores} cores");
                    });
                }
                // A client that has been told closes its connection; the server waits for that.
                assert_eq!(server.stop().expect("no core has failed").connections_cut, 0);
            });
            assert_eq!(waiting.join().expect("no panic"), (true, false));
            assert_eq!(publisher.multicast(message("/s", &[])), Err(PublishError::Stopped));
            assert_eq!(publisher.unicast("nobody", message("/s", &[])), Err(PublishError::Stopped));
            assert_eq!(publisher.broadcast(message("/s", &[])), Err(PublishError::Stopped));
            assert_eq!(publisher.watch("/s").err(), Some(PublishError::Stopped));
        }
    });
}

/// A start that fails leaves nothing behind, and a server that runs beside another one does not know of it.
#[test]
fn two_servers_run_in_one_process() {
    beside_servers(|server| {
        let taken = config(Driver::Epoll, &[("listen", &server.address().to_string()), ("cores", "2")]);
        let error = Server::start(&taken).expect_err("the address is taken");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
        let other =
            Server::start(&config(Driver::Epoll, &[("cores", "2"), ("admin", "127.0.0.1:0")])).expect("it starts");
        assert!(other.admin_address().is_some() && server.admin_address().is_none());
        let (mut here, mut there) = (listener(server, Some("/s")).1, listener(&other, Some("/s")).1);
        server.publisher().multicast(message("/s", &[("at", "here")])).expect("there is room");
        other.publisher().multicast(message("/s", &[("at", "there")])).expect("there is room");
        assert_eq!(here.wait_data(1)[0].field("at"), "here");
        assert_eq!(there.wait_data(1)[0].field("at"), "there");
        // Dropping is stopping.
        thread::scope(|scope| {
            scope.spawn(move || assert_eq!(there.wait_end(SOON).last().expect("events").kind(), "abort"));
            drop(other);
        });
    });
}

/// The descriptors of this process.
fn descriptors() -> BTreeSet<String> {
    let listed = std::fs::read_dir("/proc/self/fd").expect("there is a /proc");
    listed.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect()
}

/// The program goes on: threads and descriptors are given back, also those of clients that were cut off and of the admin port.
#[test]
fn a_stopped_server_leaves_nothing_behind() {
    let _alone = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    on_both_drivers(|driver| {
        // What the first server makes for the whole process is not counted.
        let run = || {
            let settings = [("cores", "2"), ("admin", "127.0.0.1:0"), ("drain-time", "0s")];
            let server = Server::start(&config(driver, &settings)).expect("it starts");
            let stream = listener(&server, Some("/s")).1;
            let handle = server.publisher();
            server.stop().expect("no core has failed");
            drop((stream, handle));
        };
        run();
        let before = descriptors();
        (0..3).for_each(|_| run());
        // The ring is taken down behind the scenes.
        assert!(wait_for(SOON, || descriptors().len() <= before.len()), "{before:?}\n{:?}", descriptors());
        let threads = || std::fs::read_dir("/proc/self/task").expect("there is a /proc").filter_map(Result::ok);
        let name = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        assert!(wait_for(SOON, || threads().all(|entry| !name(entry).starts_with("core "))));
    });
}

/// Ends the example if a test fails.
struct Hello(Child);

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The example, which `cargo test` builds beside the tests.
fn hello() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let target = test.parent().and_then(std::path::Path::parent).expect("it lies in target/PROFILE/deps");
    let path = target.join("examples/hello");
    assert!(path.exists(), "{} is missing: cargo build --example hello", path.display());
    path
}

/// The example says hello while anyone listens, and ends when its input does.
#[test]
fn the_example_says_hello() {
    let mut command = Command::new(hello());
    command.arg("127.0.0.1:0").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut hello = Hello(command.spawn().expect("the example starts"));
    let mut line = String::new();
    let stdout = hello.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix('/'));
    let address: SocketAddr = address.and_then(|text| text.parse().ok()).expect("an address");
    let mut stream = Session::join(address, Format::Json).listen("stream", Some("/hello"));
    let events = stream.wait_data(2);
    assert_eq!((events[0].field("text"), events[0].field("count")), ("hello", "1"));
    assert_eq!(events[1].field("count"), "2");
    hello.0.stdin.take().expect("a pipe").write_all(b"\n").expect("it reads");
    assert_eq!(stream.wait_end(SOON).last().expect("events").kind(), "abort");
    drop(stream);
    assert!(wait_for(SOON, || hello.0.try_wait().is_ok_and(|ended| ended.is_some_and(|status| status.success()))));
}

/// The page shows the example, word for word.
#[test]
fn the_page_shows_the_example() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect(path);
    let page = read("docs/embedding.md");
    let shown = page.split_once("```rust\n").and_then(|(_, rest)| rest.split_once("```")).expect("a block of Rust").0;
    assert_eq!(shown, read("examples/hello.rs"));
}
