//! The recordings of the original server are replayed against pushletd, and every difference must stand in a committed
//! table, `tests/recordings/differences.txt`. How to read and change it: `tests/recordings/README.md`.
#![cfg(feature = "server")]

#[path = "recordings/compare.rs"]
mod compare;
#[path = "recordings/differ.rs"]
mod differ;
#[path = "recordings/fake.rs"]
mod fake;
#[path = "recordings/names.rs"]
mod names;
#[path = "recordings/replay.rs"]
mod replay;
#[path = "recordings/selftest.rs"]
mod selftest;
mod support;
#[path = "recordings/table.rs"]
mod table;
#[path = "recordings/transcript.rs"]
mod transcript;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use compare::Comparer;
use replay::{Pace, replay};
use support::server::{Driver, Server};
use table::Difference;
use transcript::{Transcript, all};

/// So many recordings are replayed at the same time: they mostly wait.
const PARALLEL: usize = 12;
/// How long the server may take for what is due. The test fails if it takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How pushletd is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    driver: Driver,
    exposing: bool,
}

/// Both drivers, and once as the original showed its publishers. What hangs on time does not hang on that.
const RUNS: [Run; 3] = [
    Run { driver: Driver::IoUring, exposing: false },
    Run { driver: Driver::Epoll, exposing: false },
    Run { driver: Driver::IoUring, exposing: true },
];

impl Run {
    fn takes(self, transcript: &Transcript) -> bool {
        !(self.exposing && transcript.short_timeouts)
    }

    fn server(self) -> compare::Server {
        if self.exposing { compare::Server::Exposing } else { compare::Server::Pushletd }
    }
}

/// Does `work` for every one of `jobs`, some at a time, and puts what it finds together.
fn in_parallel<J: Send, R: Send>(mut jobs: Vec<J>, work: impl Fn(J) -> R + Sync) -> Vec<R> {
    jobs.reverse();
    let (jobs, results) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let next = jobs.lock().expect("no worker panics").pop();
                    let Some(job) = next else { return };
                    let result = work(job);
                    results.lock().expect("no worker panics").push(result);
                }
            });
        }
    });
    results.into_inner().expect("no worker panics")
}

/// The settings under which a recording was made, as pushletd says them, and how fast it may be replayed.
fn settings(transcript: &Transcript) -> (&'static [&'static str], &'static str, Pace) {
    let pace = |pause_max| Pace { pause_max, patience: PATIENCE };
    if transcript.name == "G-lease-expiry" {
        // The original took one minute, looked once a minute, and was asked again after two.
        return (&["--session-timeout", "5s"], SHORT_WAITS, pace(Duration::from_secs(7)));
    }
    if transcript.short_timeouts {
        return (&["--heartbeat", "2s"], SHORT_WAITS, pace(Duration::MAX));
    }
    (&[], "[pushlet]\n", pace(Duration::ZERO))
}

/// What the files that begin with G were recorded with.
const SHORT_WAITS: &str = r#"[pushlet]
pull_wait = "2s"
pull_refresh_timeout = "4s"
poll_refresh_timeout = "4s"
pull_refresh_wait_min = "100ms"
pull_refresh_wait_max = "400ms"
poll_refresh_wait_min = "100ms"
poll_refresh_wait_max = "400ms"
"#;

/// Replays one recording against a pushletd of its own and says where it differs.
fn differences(run: Run, transcript: &Transcript, expected: &BTreeSet<(usize, String)>) -> BTreeSet<Difference> {
    let (args, toml, pace) = settings(transcript);
    let toml = if run.exposing { format!("{toml}expose_session_ids = true\n") } else { toml.to_owned() };
    let server = Server::start(run.driver, args, &toml);
    let comparer = Comparer::new(transcript, run.server(), pace.pause_max == Duration::MAX);
    let found = replay(comparer, transcript, server.addr(), pace, expected);
    found.into_iter().map(|(exchange, what)| Difference { file: transcript.name.clone(), exchange, what }).collect()
}

/// P-6, P-9, P-14, P-15, P-24, P-25: everything the original was recorded to do, pushletd does, but for what the table
/// names.
#[test]
fn pushletd_answers_as_recorded() {
    let table = table::committed();
    // The slow ones first, so that none of them is the last.
    let mut transcripts = all();
    transcripts.sort_by_key(|transcript| !transcript.short_timeouts);
    let jobs: Vec<_> = transcripts.iter().flat_map(|transcript| RUNS.map(|run| (run, transcript))).collect();
    let jobs = jobs.into_iter().filter(|(run, transcript)| run.takes(transcript)).collect();
    let found = in_parallel(jobs, |(run, transcript)| {
        (run, differences(run, transcript, &table::of_file(&table, &transcript.name)))
    });
    let mut wrong = String::new();
    for run in RUNS {
        let passed_by = |file: &str| transcripts.iter().any(|known| known.name == file && !run.takes(known));
        let due = table.iter().filter(|(row, _)| !passed_by(&row.file));
        let due: BTreeMap<_, _> = due.map(|(row, rule)| (row.clone(), rule.clone())).collect();
        let found = found.iter().filter(|(of, _)| *of == run).flat_map(|(_, rows)| rows.clone()).collect();
        let verdict = table::judge(&due, &found);
        if !verdict.is_empty() {
            wrong.push_str(&format!("{run:?}\n{verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
