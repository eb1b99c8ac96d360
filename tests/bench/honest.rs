//! Every scenario, transport and format against the real program.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::support::server::{Driver, Server, run_to_end};
use super::{Outcome, RUN_MAX, bench, command};

/// Pull and poll clients come again at once, so that nothing here waits for seconds.
const QUICK: &str = "[pushlet]\npull_refresh_wait_min = \"10ms\"\npull_refresh_wait_max = \"20ms\"\n\
    poll_refresh_wait_min = \"10ms\"\npoll_refresh_wait_max = \"20ms\"\n";

fn server() -> Server {
    Server::start(Driver::IoUring, &[], QUICK)
}

fn assert_exact(outcome: &Outcome, events: u64, deliveries: u64) {
    outcome.assert_good();
    assert_eq!(outcome.count("events_accepted"), events, "{:?}", outcome.figures);
    assert_eq!(outcome.count("deliveries"), deliveries, "{:?}", outcome.figures);
    assert_eq!(outcome.count("deliveries_expected"), deliveries);
    assert_eq!(outcome.count("delivery_count"), deliveries);
}

#[test]
fn fan_out_is_exact_by_every_transport() {
    let server = server();
    for transport in ["stream", "pull", "pushlet-poll", "sse", "poll", "ws"] {
        for publish in ["pushlet", "http", "ws"] {
            let words = format!("fan-out --transport {transport} --publish {publish} --sessions 50 --events 10");
            let outcome = bench(server.addr(), &words);
            assert_exact(&outcome, 10, 500);
            let streams = ["stream", "sse", "ws"].contains(&transport);
            assert_eq!(outcome.count("refresh_cycles") == 0, streams, "{words}: {:?}", outcome.figures);
            assert_eq!(
                (&outcome.figures["transport"], &outcome.figures["publish"]),
                (&transport.into(), &publish.into())
            );
        }
    }
    // The word of version 0.1.0.
    let old = bench(server.addr(), "--mode poll --sessions 5 --events 3");
    assert_exact(&old, 3, 15);
    assert_eq!(old.figures["transport"], "pushlet-poll");
}

#[test]
fn fan_out_is_exact_in_every_format() {
    let server = server();
    for format in ["js", "xml", "xml-strict", "ser", "json"] {
        for mode in ["stream", "pull"] {
            let words = format!("--format {format} --mode {mode} --sessions 20 --events 5 --threads 2");
            assert_exact(&bench(server.addr(), &words), 5, 100);
        }
    }
}

#[test]
fn publishers_and_subjects_are_spread() {
    let server = server();
    // Four publishers with a pipeline on two subjects with 25 sessions each, far more than one event under way.
    let words = "--sessions 50 --publishers 4 --subjects 2 --events 200 --in-flight 32 --pipeline 8 --complete acked --threads 2";
    assert_exact(&bench(server.addr(), words), 200, 5000);
    // More subjects than publishers; nobody is on the last five.
    assert_exact(&bench(server.addr(), "--sessions 5 --publishers 1 --subjects 10 --events 20"), 20, 10);
    // From several local addresses.
    assert_exact(&bench(server.addr(), "--sessions 30 --events 5 --source-addresses 3 --threads 2"), 5, 150);
    // Large events, each in several segments.
    for transport in ["stream", "sse", "poll", "ws"] {
        let words = format!("--transport {transport} --sessions 10 --events 5 --payload 100000");
        assert_exact(&bench(server.addr(), &words), 5, 50);
    }
    // The same pipelines over HTTP and over WebSockets.
    for doors in ["--transport sse --publish http", "--transport ws --publish ws"] {
        let words = format!(
            "{doors} --sessions 50 --publishers 4 --subjects 2 --events 200 --in-flight 32 --pipeline 8 --complete acked --threads 2"
        );
        assert_exact(&bench(server.addr(), &words), 200, 5000);
    }
}

#[test]
fn unicast_reaches_the_one() {
    let server = server();
    for doors in ["stream", "pushlet-poll", "sse", "poll --publish http", "sse --publish http", "ws --publish ws"] {
        let words = format!("unicast --transport {doors} --sessions 50 --events 200 --in-flight 16 --pipeline 4");
        assert_exact(&bench(server.addr(), &words), 200, 200);
    }
}

#[test]
fn churn_comes_and_goes_and_loses_nothing() {
    let server = server();
    for transport in ["stream", "pull", "sse", "poll", "ws"] {
        let words = format!("churn --transport {transport} --sessions 20 --rate 200 --duration 1");
        let outcome = bench(server.addr(), &words);
        outcome.assert_good();
        assert!(outcome.count("sessions_churned") >= 20, "{:?}", outcome.figures);
        assert!(outcome.count("opens_total") >= 40, "{:?}", outcome.figures);
        assert!(outcome.count("deliveries") > 60, "{:?}", outcome.figures);
    }
}

#[test]
fn idle_sessions_are_held() {
    let server = server();
    for transport in ["stream", "sse", "poll", "ws"] {
        let words = format!("idle --transport {transport} --sessions 50 --duration 0.3 --server-pid {}", server.pid());
        let outcome = bench(server.addr(), &words);
        assert_exact(&outcome, 0, 0);
        assert_eq!(outcome.count("sessions_open"), 50);
        assert!(outcome.count("server_descriptors") > 50, "{:?}", outcome.figures);
        assert!(outcome.count("server_resident_bytes") > 1_000_000, "{:?}", outcome.figures);
    }
}

#[test]
fn latency_keeps_to_its_schedule() {
    let server = server();
    let outcome = bench(server.addr(), "latency --sessions 50 --rate 100 --warmup 0.2 --duration 1");
    outcome.assert_good();
    let events = outcome.count("events_accepted");
    assert!((100..=140).contains(&events), "1.2 s at 100 a second: {events}");
    assert_eq!(outcome.count("deliveries"), events * 50);
    let measured = outcome.count("ack_count");
    assert!(measured < events && measured >= 80, "{measured} of {events} are not of the warm-up");
    let (p50, p99, max) =
        (outcome.number("delivery_us_p50"), outcome.number("delivery_us_p99"), outcome.number("delivery_us_max"));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{p50} {p99} {max}");
}

#[test]
fn mixed_does_it_all_at_once() {
    let server = server();
    for doors in ["", "--transport sse --publish http", "--transport ws --publish ws"] {
        let outcome = bench(server.addr(), &format!("mixed --sessions 50 --rate 200 --duration 1 --threads 2 {doors}"));
        outcome.assert_good();
        assert_eq!(outcome.count("sessions_open"), 50);
        assert!(outcome.count("sessions_churned") > 0 && outcome.count("deliveries") > 0, "{:?}", outcome.figures);
    }
}

#[test]
fn a_full_server_is_understood() {
    // One core takes connections in their order, so the publisher's is the first; of two, the other may have filled the server by then.
    let server = Server::start(Driver::IoUring, &["--cores", "1", "--max-connections", "20"], "");
    let outcome = bench(server.addr(), "--sessions 50 --events 5 --retries 1 --no-leave");
    let open = outcome.count("sessions_open");
    assert!((10..=19).contains(&open), "{:?}", outcome.figures);
    assert_eq!(outcome.count("opens_failed"), 50 - open);
    assert!(outcome.count("opens_turned_away") > 0 && outcome.count("opens_retried") > 0, "{:?}", outcome.figures);
    assert_eq!(outcome.count("deliveries"), 5 * open);
    assert_eq!(outcome.count("lost"), 0, "who could not be opened is no loss: {:?}", outcome.figures);
    assert_eq!((outcome.code, &outcome.figures["good"]), (Some(1), &false.into()), "{:?}", outcome.figures);
    assert_eq!(outcome.stderr.matches("first opening that failed: the server answered 503").count(), 1);
    assert!(
        outcome.stderr.contains(&format!("{} of those wanted could not be opened", 50 - open)),
        "{}",
        outcome.stderr
    );
}

fn metrics(server: &Server) -> String {
    let mut connection = super::support::http::Connection::open(server.admin());
    connection.ask(&super::support::http::get("/metrics"), RUN_MAX).text()
}

#[test]
fn sessions_have_left_when_it_is_over() {
    let server = Server::start_with_admin(Driver::IoUring, &[], "");
    bench(server.addr(), "--sessions 50 --events 2").assert_good();
    let gone = super::support::server::wait_for(RUN_MAX, || {
        metrics(&server).lines().any(|line| line == "pushletd_sessions 0")
    });
    assert!(gone, "{}", metrics(&server));
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let outcome = bench(address, "--sessions 3 --events 1 --retries 1");
    assert_eq!(outcome.code, Some(1));
    let said = "not one subscriber could be opened: Connection refused (os error 111)";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

/// Neither waits for retries that cannot help: 100 of them would take minutes.
#[test]
fn a_run_that_has_no_hope_ends_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let begin = Instant::now();
    assert_eq!(bench(free, "--sessions 100 --retries 100").code, Some(1));
    let server = Server::start_with_admin(Driver::IoUring, &[], "");
    let mut elsewhere = std::process::Command::new(env!("CARGO_BIN_EXE_pushletd"));
    elsewhere.args(["bench", &format!("http://{}/", server.admin()), "--sessions", "100", "--retries", "100"]);
    let (status, stdout, stderr) = run_to_end(elsewhere, RUN_MAX);
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("the server answered 404: not a pushletd URL"), "{stderr}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_host_that_is_not_known_is_named() {
    let mut unknown = std::process::Command::new(env!("CARGO_BIN_EXE_pushletd"));
    unknown.args(["bench", "http://nobody.invalid:9/"]);
    let (status, _, stderr) = run_to_end(unknown, RUN_MAX);
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("nobody.invalid"), "{stderr}");
}

/// The account of what there was is printed, what is not known of the server is null, and what was due is told.
#[test]
fn a_server_that_dies_leaves_an_account() {
    let server = Server::start_with_admin(Driver::IoUring, &[], QUICK);
    let pid = server.pid();
    let words = format!("--sessions 20 --rate 100 --duration 50 --server-pid {pid}");
    let begin = Instant::now();
    let address = server.addr();
    let run = std::thread::spawn(move || bench(address, &words));
    // Everyone is open, and some events were published.
    let delivered = || {
        let page = metrics(&server);
        let total = page.lines().find_map(|line| line.strip_prefix("pushletd_delivered_total "));
        total.and_then(|total| total.parse::<f64>().ok()).is_some_and(|total| total >= 1000.0)
    };
    assert!(super::support::server::wait_for(RUN_MAX, delivered), "{}", metrics(&server));
    server.signal(rustix::process::Signal::KILL);
    let outcome = run.join().expect("the run ends");
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the server is gone"), "{}", outcome.stderr);
    assert_eq!(outcome.figures["server_gone"], true);
    assert!(outcome.count("deliveries") > 0 && outcome.count("connections_broken") >= 20, "{:?}", outcome.figures);
    assert!(outcome.figures["server_cpu_seconds"].is_null(), "{:?}", outcome.figures);
    assert!(outcome.count("server_resident_bytes") > 0);
    // It is noticed 1 s after the death: about 100 events were due meanwhile.
    let due = outcome.number("measured_seconds") * 100.0;
    let (sent, unsent) = (outcome.count("events_sent"), outcome.count("events_unsent"));
    assert!(unsent >= 50 && ((sent + unsent) as f64 - due).abs() <= 3.0, "{due} due: {sent} and {unsent}");
}

/// Nothing is opened, and what would do is said.
#[test]
fn too_few_descriptors_are_a_usage_error() {
    let server = server();
    let mut shell = std::process::Command::new("sh");
    let line = format!("ulimit -n 300; exec \"$0\" bench http://{}/ --sessions 500", server.addr());
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_pushletd")]);
    let (status, stdout, stderr) = run_to_end(shell, RUN_MAX);
    assert_eq!((status.code(), stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("`ulimit -n 565`") && stderr.contains("`--threads 3`"), "{stderr}");
}

#[test]
fn a_run_says_what_it_was() {
    let server = server();
    let outcome = bench(server.addr(), "--sessions 4 --subjects 2 --rate 50 --warmup 0.1 --duration 0.3 --pipeline 3");
    outcome.assert_good();
    assert_eq!(outcome.figures["url"], format!("http://{}/", server.addr()));
    assert_eq!(outcome.figures["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(outcome.figures["complete"], "delivered");
    let said = ["subjects", "rate", "pipeline", "in_flight", "warmup", "duration"].map(|name| outcome.number(name));
    assert_eq!(said, [2.0, 50.0, 3.0, 1.0, 0.1, 0.3]);
    let [p50, p99, max] = ["p50", "p99", "max"].map(|name| outcome.number(&format!("send_late_us_{name}")));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max && max <= outcome.number("delivery_us_max"), "{p50} {p99} {max}");
}

#[test]
fn words_without_sense_are_usage_errors() {
    let address = ([127, 0, 0, 1], 9).into();
    for words in
        ["--sessions 0", "--rate x", "nonsense", "idle --events 3", "--unknown", "--transport sse --format xml"]
    {
        let outcome = bench(address, words);
        assert_eq!(outcome.code, Some(2), "{words}: {}", outcome.stderr);
        assert!(!outcome.stderr.is_empty());
    }
}

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bench.md");
    std::fs::read_to_string(path).expect("the page is part of the package")
}

/// The page has a row for every key that is printed, and prints no others.
#[test]
fn every_key_is_documented() {
    let server = server();
    let outcome = bench(server.addr(), &format!("--sessions 2 --events 2 --server-pid {}", server.pid()));
    outcome.assert_good();
    let printed: BTreeSet<String> = outcome.figures.keys().cloned().collect();
    let page = page();
    let section =
        page.split("## What it prints").nth(1).expect("the section").split("\n## ").next().unwrap_or_default();
    let told: BTreeSet<String> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).map(str::to_owned).collect();
    assert_eq!(told, printed);
}

#[test]
fn every_option_is_documented() {
    let mut help = command(([127, 0, 0, 1], 9).into(), "--help");
    help.env("COLUMNS", "200");
    let (_, stdout, _) = run_to_end(help, RUN_MAX);
    let page = page();
    let options: Vec<&str> = stdout
        .lines()
        .filter(|line| line.starts_with(' '))
        .filter_map(|line| line.trim_start().trim_start_matches("-q, ").trim_start_matches("-h, ").strip_prefix("--"))
        .filter_map(|rest| rest.split([' ', '=']).next())
        .filter(|name| *name != "help")
        .collect();
    assert!(options.len() > 20, "{stdout}");
    for option in options {
        assert!(page.contains(&format!("| `--{option}")), "--{option} has no row");
    }
}

/// The table for people has the same figures.
#[test]
fn the_table_is_for_people() {
    let server = server();
    let mut table = std::process::Command::new(env!("CARGO_BIN_EXE_pushletd"));
    table.args(["bench", &server.addr().to_string(), "--sessions", "5", "--events", "4"]);
    let (status, stdout, _) = run_to_end(table, RUN_MAX);
    assert!(status.success());
    let row =
        |title: &str| stdout.lines().find_map(|line| line.trim().strip_prefix(title).map(str::trim)).map(str::to_owned);
    assert_eq!(row("arrived").as_deref(), Some("20"), "{stdout}");
    assert_eq!(row("good").as_deref(), Some("yes"), "{stdout}");
}
