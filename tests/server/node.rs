//! Several cores are one server: they start together, hear the same signals, and end together.

use std::process::Command;
use std::time::{Duration, Instant};

use pushletd::protocol::Format;
use rustix::process::Signal;

use crate::support::cores::{connection_on, connections_on_each, session_on};
use crate::support::http::{Connection, get};
use crate::support::look::{core_threads, descriptors, metric, settled_metric, wait_metric};
use crate::support::pushlet::{Channel, Event, SOON, Session, events_of};
use crate::support::server::{Driver, Server, on_both_drivers_at_once, run_to_end, wait_for};

const REASON: &str = "the server is shutting down";

/// A stream and a waiting pull on each core, with the connection of each on the core behind it.
fn listening(server: &Server, cores: u16) -> Vec<Channel> {
    let mut all = Vec::new();
    for core in 0..cores {
        let stream = session_on(server, core, cores, Format::Json);
        let mut stream =
            stream.data_on(connection_on(server, (core + 1) % cores, cores), "listen", &[("p_subject", "/n")]);
        stream.wait_count(2);
        all.push(stream);
        let pulling = session_on(server, core, cores, Format::XmlStrict);
        pulling.listen("pull", None).wait_end(SOON);
        all.push(pulling.data_on(connection_on(server, (core + 1) % cores, cores), "refresh", &[]));
    }
    wait_metric(server, "sessions_listening", all.len() as u64, SOON);
    all
}

/// P-32: everybody on every core is told, and the server ends when the last one has it.
#[test]
fn term_drains_every_core() {
    on_both_drivers_at_once(|driver| {
        for cores in [2, 4] {
            let args = ["--cores", &cores.to_string(), "--drain-time", "20s"];
            let mut server = Server::start_with_admin(driver, &args, "");
            let all = listening(&server, cores);
            let mut idle = connections_on_each(&server, cores);
            let began = Instant::now();
            server.signal(Signal::TERM);
            for mut channel in all {
                let events = channel.wait_end(SOON);
                assert!(channel.connection.is_whole(), "{events:?}");
                let last = events.last().expect("events");
                assert_eq!((last.kind(), last.field("p_reason")), ("abort", REASON), "{events:?}");
                channel.connection.wait_closed(SOON);
            }
            for connection in &mut idle {
                connection.wait_closed(SOON);
            }
            let status = server.wait(Duration::from_secs(10)).expect("nothing is left to wait for");
            assert_eq!(status.code(), Some(0), "{}", server.stderr());
            assert!(began.elapsed() < Duration::from_secs(10), "it waited for the drain time: {:?}", began.elapsed());
        }
    });
}

/// P-32: one client of one core that reads nothing keeps that core, and the second signal ends all of them at once.
#[test]
fn a_second_term_ends_every_core_at_once() {
    on_both_drivers_at_once(|driver| {
        let args = ["--cores", "4", "--drain-time", "60s", "--overflow", "drop-oldest", "--queue-size", "4"];
        let mut server = Server::start_with_admin(driver, &args, "");
        let session = session_on(&server, 3, 4, Format::Json);
        let narrow = Connection::open_narrow(server.addr());
        let mut blocked = session.data_on(narrow, "listen", &[("p_subject", "/blocked")]);
        blocked.wait_count(2);
        let value = "v".repeat(8_000);
        let lost = wait_for(SOON, || {
            session.publish("/blocked", &[("value", &value)]);
            metric(&server, "lost_total") > 0
        });
        assert!(lost, "the socket takes everything");
        server.signal(Signal::TERM);
        server.wait_stderr("draining", SOON);
        // The others have drained long ago.
        wait_metric(&server, "connections", 2, SOON);
        assert!(server.wait(Duration::from_millis(300)).is_none(), "it does not wait for its last client");
        server.signal(Signal::TERM);
        let status = server.wait(Duration::from_secs(3)).expect("now means now");
        assert_ne!(status.code(), Some(0), "a client was cut off");
    });
}

fn heartbeats(events: &[Event]) -> usize {
    events.iter().filter(|event| event.kind() == "hb").count()
}

/// HUP: the new settings hold on every core as soon as the log says so.
#[test]
fn hup_reaches_every_core() {
    on_both_drivers_at_once(|driver| {
        let cores = 4;
        let server = Server::start_with_admin(driver, &["--cores", "4"], "heartbeat = \"10m\"\nqueue_size = 100\n");
        let sessions: Vec<Session> = (0..cores).map(|core| session_on(&server, core, cores, Format::Json)).collect();
        for session in &sessions {
            session.listen("poll", Some("/queued")).wait_end(SOON);
        }
        server.rewrite_config("heartbeat = \"100ms\"\nqueue_size = 3\n");
        server.signal(Signal::HUP);
        server.wait_stderr("the configuration was reloaded", SOON);
        for number in 0..10 {
            sessions[0].publish("/queued", &[("number", &number.to_string())]);
        }
        wait_metric(&server, "delivered_total", 40, SOON);
        for session in &sessions {
            let events = session.refresh().wait_end(SOON);
            let numbers: Vec<&str> = events.iter().filter_map(|event| event.get("number")).collect();
            assert_eq!(numbers, ["7", "8", "9"]);
        }
        let mut streams: Vec<Channel> = sessions.iter().map(|session| session.listen("stream", None)).collect();
        for stream in &mut streams {
            stream.wait_for(SOON, |events| heartbeats(events) >= 3);
        }
        // Again, and a bad file in between: each is told once.
        server.rewrite_config("heartbeat = \"soon\"\n");
        server.signal(Signal::HUP);
        server.wait_stderr("nothing has changed", SOON);
        server.rewrite_config("cores = 2\ninbox_size = 99\n");
        server.signal(Signal::HUP);
        let again = wait_for(SOON, || server.stderr().matches("the configuration was reloaded").count() == 2);
        assert!(again, "{}", server.stderr());
        assert!(server.stderr().contains("inbox_size"), "what waits for the next start is told: {}", server.stderr());
    });
}

/// The kernel would let them share the port, and each would get a part of the clients.
#[test]
fn two_servers_never_share_a_port() {
    std::thread::scope(|scope| {
        for (first, second) in [("1", "1"), ("1", "4"), ("2", "2"), ("4", "1"), ("4", "4")] {
            scope.spawn(move || {
                let server = Server::start(Driver::Epoll, &["--cores", first], "");
                let taken = server.addr().to_string();
                let mut command = Command::new(env!("CARGO_BIN_EXE_pushletd"));
                command.args(["--listen", &taken, "--admin", "off", "--cores", second]);
                let (status, stdout, stderr) = run_to_end(command, Duration::from_secs(10));
                assert!(!status.success() && stdout.is_empty(), "{first} cores, then {second}: {stdout}");
                assert!(stderr.contains(&taken) && stderr.contains("another pushletd"), "{first}, {second}: {stderr}");
                for _ in 0..20 {
                    assert_eq!(Connection::open(server.addr()).ask(&get("/"), SOON).head.status, 200);
                }
            });
        }
    });
}

/// A port is free again as soon as its server has ended, however many cores that had.
#[test]
fn a_port_can_be_taken_again_at_once() {
    on_both_drivers_at_once(|driver| {
        let first = Server::start(driver, &["--cores", "4"], "");
        let addr = first.addr();
        Connection::open(addr).ask(&get("/"), SOON);
        drop(first);
        let second = Server::start_at(&addr.to_string(), driver, &["--cores", "2"]);
        assert_eq!(Connection::open(second.addr()).ask(&get("/"), SOON).head.status, 200);
    });
}

/// All cores get the port that the first one was given, on IPv6 as well.
#[test]
fn every_core_listens_on_the_same_port() {
    on_both_drivers_at_once(|driver| {
        for listen in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let bound = std::net::TcpListener::bind(listen);
            if matches!(&bound, Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable) {
                continue;
            }
            drop(bound.expect("a free port"));
            let server = Server::start_at(listen, driver, &["--cores", "4"]);
            let addr = std::net::SocketAddr::new(
                if listen.starts_with('[') { std::net::Ipv6Addr::LOCALHOST.into() } else { server.addr().ip() },
                server.addr().port(),
            );
            assert_ne!(addr.port(), 0);
            let mut seen = std::collections::BTreeSet::new();
            let all = wait_for(SOON, || {
                let mut connection = Connection::open(addr);
                seen.insert(crate::support::cores::core_under(addr, &mut connection, 4));
                seen.len() == 4
            });
            assert!(all, "{listen}: only the cores {seen:?} are reached");
        }
    });
}

/// Where a sandbox allows neither io_uring nor file tables of threads, the server says so and does all the same.
#[test]
fn a_sandbox_changes_nothing_for_clients() {
    for cores in [1_u16, 2, 4] {
        let server = Server::start_in_a_sandbox(&["--cores", &cores.to_string()]);
        let said = server.stdout();
        let start = format!("cores: {cores}, I/O driver: epoll (io_uring cannot be had: ");
        assert!(said.contains(&start), "no {start:?} in {said}");
        assert!(said.contains("descriptors shared by all cores: "), "{said}");
        assert_eq!(server.stderr().matches("ERROR").count(), 0, "{}", server.stderr());
        for core in 0..cores {
            wait_metric(&server, &format!("core_file_table_own{{core=\"{core}\"}}"), 0, SOON);
        }
        let sessions: Vec<Session> = (0..cores).map(|core| session_on(&server, core, cores, Format::Json)).collect();
        wait_metric(&server, "connections", 1, SOON);
        let before = descriptors(&server);
        for turn in 0..5 {
            // Each stream on a connection of the next core, and each publish as well.
            let mut streams: Vec<Channel> = (0..cores)
                .zip(&sessions)
                .map(|(core, session)| {
                    let connection = connection_on(&server, (core + 1) % cores, cores);
                    session.data_on(connection, "listen", &[("p_subject", "/boxed")])
                })
                .collect();
            for stream in &mut streams {
                stream.wait_count(2);
            }
            for (core, session) in (0..cores).zip(&sessions) {
                let mut connection = connection_on(&server, (core + 1) % cores, cores);
                let publish = session.request("publish", &[("p_subject", "/boxed"), ("number", &core.to_string())]);
                assert_eq!(events_of(&connection.ask(&publish, SOON))[0].kind(), "publish-ack");
            }
            for stream in &mut streams {
                assert_eq!(stream.wait_data(usize::from(cores)).len(), usize::from(cores), "turn {turn}");
            }
        }
        if cores > 1 {
            let moves = settled_metric(&server, "handovers_in_total");
            assert_eq!(moves, 5 * u64::from(cores));
            assert_eq!(metric(&server, "handovers_failed_total"), 0);
        }
        let back = wait_for(SOON, || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
    }
}

/// The limit of open files is one for all cores where they share a table.
#[test]
fn a_sandbox_has_one_limit_of_open_files() {
    let server = Server::start_in_a_sandbox(&["--cores", "2"]);
    let wide = Server::start_with_admin(Driver::Epoll, &["--cores", "2"], "");
    let limit = |server: &Server| -> u64 {
        let said = server.stdout();
        let line = said.lines().find_map(|line| line.strip_prefix("limits: ")).expect("a line of limits").to_owned();
        line.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    assert_eq!(limit(&wide), 2 * limit(&server));
}

/// `--pin`: each event loop runs on one of the CPUs that the process may use.
#[test]
fn pinned_cores_stay_on_their_cpus() {
    let allowed = |path: String| -> String {
        let status = std::fs::read_to_string(path).expect("our own child has a status");
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("its CPUs");
        line.trim().to_owned()
    };
    let ours = allowed(String::from("/proc/self/status"));
    for (args, pinned) in [(["--cores", "3", "--pin"].as_slice(), true), (&["--cores", "3"], false)] {
        let server = Server::start(Driver::Epoll, args, "");
        let threads = core_threads(&server);
        assert_eq!(threads.len(), 3);
        let cpus: Vec<String> = threads
            .iter()
            .map(|thread| allowed(format!("/proc/{}/task/{}/status", server.pid(), thread.number)))
            .collect();
        if pinned {
            assert!(cpus.iter().all(|cpu| cpu.parse::<u32>().is_ok()), "one CPU each: {cpus:?}");
            let offered = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let different = cpus.iter().collect::<std::collections::BTreeSet<_>>().len();
            assert_eq!(different, offered.min(3), "spread over what there is: {cpus:?}");
        } else {
            assert!(cpus.iter().all(|cpu| *cpu == ours), "{cpus:?}, not {ours}");
        }
        assert_eq!(allowed(format!("/proc/{}/status", server.pid())), ours, "the main thread stays free");
    }
}
