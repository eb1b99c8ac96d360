//! The load generator against the real program, where every count must be exact, and against a server that lies, where the right count must
//! tell.
#![cfg(feature = "server")]

#[path = "bench/honest.rs"]
mod honest;
#[path = "bench/liar.rs"]
mod liar;
#[path = "bench/lies.rs"]
mod lies;
#[path = "bench/peers.rs"]
mod peers;
mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value};
use support::server::run_to_end;

/// Longest that a run of a test may take.
const RUN_MAX: Duration = Duration::from_secs(60);

/// The end of a run: exit code, and what it printed as JSON.
struct Outcome {
    code: Option<i32>,
    figures: Map<String, Value>,
    stderr: String,
}

impl Outcome {
    /// One figure that is a whole number.
    fn count(&self, name: &str) -> u64 {
        let value = self.figures.get(name).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no count {name} in {:?}\n{}", self.figures, self.stderr))
    }

    /// One figure that is a number.
    fn number(&self, name: &str) -> f64 {
        let value = self.figures.get(name).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("no number {name} in {:?}\n{}", self.figures, self.stderr))
    }

    /// Exit code 0, and nothing went wrong.
    fn assert_good(&self) {
        assert_eq!(self.code, Some(0), "{:?}\n{}", self.figures, self.stderr);
        for fault in [
            "lost",
            "repeated",
            "out_of_order",
            "refused_but_delivered",
            "foreign",
            "connections_broken",
            "opens_failed",
        ] {
            assert_eq!(self.count(fault), 0, "{fault}: {:?}", self.figures);
        }
        assert_eq!(self.figures["good"], true);
    }
}

/// A command that loads `address` with these words.
fn command(address: std::net::SocketAddr, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushletd"));
    command.args(["bench", &format!("http://{address}/"), "--json", "--quiet"]).args(words.split_whitespace());
    command
}

/// Runs it to its end.
fn bench(address: std::net::SocketAddr, words: &str) -> Outcome {
    let (status, stdout, stderr) = run_to_end(command(address, words), RUN_MAX);
    let figures = serde_json::from_str(&stdout).unwrap_or_default();
    Outcome { code: status.code(), figures, stderr }
}
