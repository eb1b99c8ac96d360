//! `perf/floor`: its parts, whose tests run here, and the program in pairs with the real server. What it measures is not judged, only that it
//! is measured.
#![cfg(feature = "server")]

#[path = "../perf/floor.rs"]
#[allow(dead_code, reason = "the parts are tested one by one; nobody calls main")]
mod floor;
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use serde_json::Value;
use support::server::{Driver, Server, run_to_end};

/// Longest that a run may take.
const RUN_MAX: Duration = Duration::from_secs(60);

/// The program, built of the sources as they are now and in the profile of the tests: `cargo test --test floor` alone builds no example, and
/// one of before may lie there.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_pushletd")).parent().expect("a program lies in a folder");
        let profile = match folder.file_name().and_then(|name| name.to_str()).expect("cargo names it by the profile") {
            "debug" => "dev",
            other => other,
        };
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--locked", "--example", "floor", "--profile", profile]);
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.is_ok_and(|status| status.success()), "the example is not built");
        folder.join("examples").join("floor")
    });
    built.clone()
}

/// Runs it with these words: exit code, standard output, standard error.
fn run(words: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    // So that no help is wrapped.
    command.args(words.split_whitespace()).env("COLUMNS", "400");
    let (status, stdout, stderr) = run_to_end(command, RUN_MAX);
    (status.code(), stdout, stderr)
}

/// A pair that goes well, as JSON; three rounds.
fn pair(words: &str) -> Value {
    let (code, stdout, stderr) = run(&format!("{words} --rounds 3 --json"));
    assert_eq!(code, Some(0), "{words}\n{stdout}\n{stderr}");
    let value: Value = serde_json::from_str(&stdout).expect("one JSON object");
    assert_eq!(value["good"], true, "{value}");
    value
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Every round is told, and the medians lie between their bounds, which with so few rounds are the extremes.
fn assert_measured(value: &Value) {
    let rounds = value["rounds"].as_array().expect("the rounds");
    assert_eq!(rounds.len(), 3, "{value}");
    let of = |path: &str| -> Vec<f64> {
        let mut values: Vec<f64> = rounds.iter().map(|round| number(round.pointer(path).expect(path))).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let figures = [
        (of("/ratio"), &value["ratio"]),
        (of("/one/cpu_us_per_delivery"), &value["one"]["cpu_us_per_delivery"]),
        (of("/other/cpu_us_per_delivery"), &value["other"]["cpu_us_per_delivery"]),
    ];
    for (values, interval) in figures {
        let bounds = ["low", "median", "high"].map(|name| number(&interval[name]));
        assert_eq!(values, bounds, "{value}");
        assert!(values[0] > 0.0, "{value}");
    }
    for round in rounds {
        let [one, other] = ["one", "other"].map(|side| number(&round[side]["cpu_us_per_delivery"]));
        assert!((number(&round["ratio"]) - one / other).abs() < 1e-9, "{round}");
    }
}

#[test]
fn the_server_is_measured_beside_either_floor() {
    let server = Server::start(Driver::IoUring, &[], "");
    for way in ["send", "uring"] {
        let (addr, pid) = (server.addr(), server.pid());
        let value = pair(&format!("--pair http://{addr}/ --server-pid {pid} --sessions 60 --floor {way} --batch 16"));
        assert_measured(&value);
        assert_eq!((&value["one"]["name"], &value["other"]["floor"]), (&"stream".into(), &way.into()));
        assert_eq!(value["one"]["pids"], Value::from(vec![pid]));
        assert_eq!(value["one"]["programs"], Value::from(vec!["pushletd"]));
        // Both send as many bytes, to one that rounding takes.
        let [one, other] = ["one", "other"].map(|side| number(&value[side]["bytes_per_delivery"]));
        assert!((one - other).abs() <= 1.5, "{one} and {other} bytes");
    }
}

/// Two servers, each with its own process number; sessions on several subjects, of which every event reaches a part.
#[test]
fn two_servers_are_measured_beside_each_other() {
    let [one, other] = [(); 2].map(|()| Server::start(Driver::IoUring, &["--cores", "2"], ""));
    let value = pair(&format!(
        "--pair http://{}/ --server-pid {} --transport sse --publish http --sessions 60 --subjects 20 --events 40 \
         --against-url http://{}/ --against-pid {} --against ws --against-name other",
        one.addr(),
        one.pid(),
        other.addr(),
        other.pid()
    ));
    assert_measured(&value);
    assert_eq!((&value["one"]["name"], &value["other"]["name"]), (&"sse".into(), &"other".into()));
    assert_eq!(value["other"]["url"], format!("http://{}/", other.addr()));
    assert_eq!((&value["subjects"], &value["events"]), (&20.into(), &40.into()));
}

/// The floor on both sides, which is how its ways of sending are compared; subjects and several events under way.
#[test]
fn the_floor_is_measured_beside_itself() {
    let words = "--pair floor:uring --bytes 300 --sessions 40 --subjects 4 --events 30 --publishers 2 --in-flight 8";
    let value = pair(words);
    assert_measured(&value);
    assert_eq!((&value["one"]["floor"], &value["other"]["floor"]), (&"uring".into(), &"send".into()));
    for side in ["one", "other"] {
        assert_eq!(value[side]["bytes_per_delivery"], 300.0, "{value}");
    }
    // For people: a line for each round, and the result.
    let (code, stdout, stderr) = run("--pair floor:send --floor uring --sessions 10 --rounds 2");
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(lines.len() == 3 && lines[2].starts_with("median: floor send "), "{stdout}");
}

/// The two fleets have a table of descriptors each, and so 300 connections fit where a table takes 200.
#[test]
fn both_sides_may_have_as_many_sessions_as_a_table_takes() {
    let mut shell = Command::new("sh");
    let line = "ulimit -n 200; exec \"$0\" --pair floor:send --floor uring --sessions 150 --rounds 2";
    shell.arg("-c").arg(line).arg(program());
    let (status, stdout, stderr) = run_to_end(shell, RUN_MAX);
    assert!(status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("median: floor send "), "{stdout}");
}

/// It binds itself, for the tool that starts it may be bound to others.
#[test]
fn the_floor_runs_on_the_processors_that_are_named() {
    let allowed = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let list = allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("the processors").trim();
    let first = list.split([',', '-']).next().expect("there is one");
    let mut floor = Command::new(program())
        .args(["--listen", "127.0.0.1:0", "--floor-cpus", first])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let read = BufReader::new(floor.stdout.take().expect("a pipe")).read_line(&mut line);
    let status = std::fs::read_to_string(format!("/proc/{}/status", floor.id()));
    floor.kill().expect("it runs");
    floor.wait().expect("it is a child of ours");
    assert!(read.is_ok() && line.starts_with("listening on "), "{line}");
    assert!(status.expect("it runs").contains(&format!("Cpus_allowed_list:\t{first}\n")), "{first} of {list}");
    let (code, _, stderr) = run("--pair floor:send --sessions 10 --rounds 1 --floor-cpus 1023");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--floor-cpus [1023]"), "{stderr}");
}

/// Killed, the tool cannot end its floors. They hold its standard error, which comes to an end when the last of them is gone.
#[test]
fn no_floor_outlives_its_pair() {
    let mut pair = Command::new(program())
        .args("--pair floor:send --floor uring --sessions 10 --rounds 1000000".split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::new(pair.stdout.take().expect("a pipe")).read_line(&mut line).expect("it tells of its rounds");
    pair.kill().expect("it runs");
    pair.wait().expect("it is a child of ours");
    let mut stderr = pair.stderr.take().expect("a pipe");
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(stderr.read_to_string(&mut String::new()).is_ok()));
    assert!(line.starts_with("round 1: "), "{line}");
    assert_eq!(ended.recv_timeout(RUN_MAX), Ok(true), "a floor is left");
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let (code, _, stderr) = run("--pair http://127.0.0.1:9/ --server-pid 4294967295");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("stream: process 4294967295 cannot be looked at"), "{stderr}");
    let (code, _, stderr) = run("--pair floor:send --sessions 10 --subjects 3");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no multiple of --subjects"), "{stderr}");
    let (code, stdout, stderr) = run("--pair http://127.0.0.1:9/");
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("--server-pid"), "{stderr}");
}

/// The page has a row for every option, and no others.
#[test]
fn every_option_is_documented() {
    let (code, help, _) = run("--help");
    assert_eq!(code, Some(0));
    let page = include_str!("../docs/bench.md");
    let section = page.split("\n## The floor").nth(1).expect("the section").split("\n## ").next().unwrap_or_default();
    let names = |text: &str, before: &str| -> std::collections::BTreeSet<String> {
        let rest = text.lines().filter_map(|line| line.trim_start().strip_prefix(before).map(str::to_owned));
        rest.map(|rest| rest.split([' ', '`', '[']).next().unwrap_or_default().to_owned()).collect()
    };
    let told = names(section, "| `--");
    let mut known = names(&help, "--");
    known.retain(|name| !["help", "version"].contains(&name.as_str()));
    assert!(known.len() > 20, "{help}");
    assert_eq!(told, known);
}
