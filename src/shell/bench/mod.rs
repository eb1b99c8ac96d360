//! `pushletd bench`: the load generator. It opens thousands of sessions against a server, publishes, and accounts for every delivery.
//!
//! It runs in a process of its own and speaks to the server over the wire, so that it can measure any server for which there is a `door`:
//! the Pushlet protocol (`pushlet`), Server-Sent Events, long poll and publishing by HTTP (`modern`), WebSockets (`web`), and the dialects of
//! other servers (`peer`).
//! Each thread has an epoll descriptor, connections and a descriptor table of its own; they share atomics only. Events are marked
//! (`marker`), found again in the raw bytes without parsing them, and accounted for (`lanes`, `account`). `docs/bench.md` is
//! for who uses it.

mod account;
mod connection;
mod dialect;
mod door;
mod fleet;
mod frames;
mod http;
mod lanes;
mod marker;
mod modern;
pub(super) mod options;
mod peer;
mod publisher;
mod pushlet;
mod report;
mod run;
mod server;
mod shared;
mod subscriber;
#[cfg(test)]
mod tests;
mod times;
mod watch;
mod web;
mod worker;

use std::process::ExitCode;

pub use self::dialect::Dialect;
pub use self::fleet::{Fleet, Meter, Round, own_file_table};
pub use self::options::{BenchArgs, Completion, Posting, Scenario};
pub use super::client::transport::Transport;

use self::run::Watch as _;
use self::watch::Screen;

/// The command line makes no sense.
const USAGE: u8 = 2;

/// Runs `pushletd bench` to its end.
#[must_use]
pub fn run_bench(args: &BenchArgs) -> ExitCode {
    let mut screen = Screen::new(args.quiet);
    let target = match args.check() {
        Ok(target) => target,
        Err(what) => {
            screen.warn(&what);
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = screen.catch_signals() {
        screen.warn(&format!("signals cannot be caught: {error}"));
    }
    if let Err(what) = raise_descriptor_limit(args, &mut screen) {
        screen.warn(&what);
        return ExitCode::from(USAGE);
    }
    let outcome = run::run(args, &target, &mut screen);
    screen.clear();
    match outcome {
        Ok(outcome) => {
            outcome.warnings().iter().for_each(|what| screen.warn(what));
            if args.json {
                println!("{}", outcome.json());
            } else {
                print!("{}", outcome.table());
            }
            if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            screen.warn(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// As many descriptors as we may have.
///
/// # Errors
///
/// They are not enough; and what would be.
fn raise_descriptor_limit(args: &BenchArgs, screen: &mut Screen) -> Result<(), String> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => enough_descriptors(u64::from(args.sessions + args.publishers), u64::from(args.threads), limit),
        Err(error) => {
            screen.warn(&format!("the limit of open files stays as it is: {error}"));
            Ok(())
        }
    }
}

/// Descriptors of a thread that are no connections of the plan.
const OTHER_DESCRIPTORS: u64 = 64;

/// Whether each of so many threads may have the descriptors of its share; what would do, if not.
fn enough_descriptors(connections: u64, threads: u64, limit: u64) -> Result<(), String> {
    let wanted = connections.div_ceil(threads) + OTHER_DESCRIPTORS;
    if wanted <= limit {
        return Ok(());
    }
    let threads = match limit.saturating_sub(OTHER_DESCRIPTORS) {
        0 => String::new(),
        room => format!(", or `--threads {}`, each with a table of its own", connections.div_ceil(room)),
    };
    Err(format!("a thread needs {wanted} descriptors and may have {limit}: `ulimit -n {wanted}` would do{threads}"))
}
