//! Sources that are programs: run every so often, or for as long as somebody listens.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::SourceError;
use super::job::{Job, Pull};
use super::process::{self, RunEnd};
use super::seat::Seat;
use crate::config::Program;
use crate::limits::{SOURCE_GRACE_MS, SOURCE_RUN_MS, SOURCE_WELL_MS};
use crate::shell::embed::Interest;

/// Why nobody knows how a program ended.
const UNKNOWN: &str =
    "the program has ended, and its exit status cannot be had: SIGCHLD is ignored, or somebody else waits for it";

/// How long nobody has listened.
#[derive(Default)]
struct Absence {
    since: Option<Instant>,
}

impl Absence {
    /// Whether it is longer than the grace by now.
    fn is_long(&mut self, interest: &Interest) -> bool {
        self.since = if interest.is_listened_to() { None } else { Some(self.since.unwrap_or_else(Instant::now)) };
        self.since.is_some_and(|since| since.elapsed() >= Duration::from_millis(SOURCE_GRACE_MS))
    }
}

/// A program that is run again and again, and whose lines are events.
pub(super) struct Repeated {
    pub(super) program: Program,
    pub(super) every: Duration,
}

impl Pull for Repeated {
    fn every(&self) -> Duration {
        self.every
    }

    /// P-35: what nobody listens to any more is ended, as a program that goes on by itself is.
    fn pull(&mut self, seat: &mut Seat, interest: &Interest) -> Result<(), SourceError> {
        let until = Instant::now() + Duration::from_millis(SOURCE_RUN_MS);
        let mut absence = Absence::default();
        let mut deserted = false;
        let mut over = || {
            deserted = absence.is_long(interest);
            deserted || Instant::now() >= until
        };
        let outcome = process::run(&self.program, seat, &mut over);
        match outcome {
            Err(error) => Err(cannot_start(&self.program, &error)),
            Ok((RunEnd::Ended, _)) if deserted => Ok(()),
            Ok((RunEnd::Unknown, _)) => Err(SourceError::new(UNKNOWN)),
            Ok((RunEnd::Ended, _)) => {
                Err(SourceError::new(format_args!("the program did not end within {SOURCE_RUN_MS} ms and was ended")))
            }
            Ok((RunEnd::Exited(status), last_words)) if !status.success() => Err(told(status, last_words.as_deref())),
            Ok((RunEnd::Exited(_) | RunEnd::Stopped, _)) => Ok(()),
        }
    }
}

/// A program that goes on by itself, and whose lines are events as they come.
pub(super) struct LongRunning {
    pub(super) program: Program,
}

impl Job for LongRunning {
    /// P-35: the program runs only while somebody listens, and a little longer.
    fn run(&mut self, seat: &mut Seat) {
        let Some(interest) = seat.watch() else { return };
        let mut runs: u64 = 0;
        while seat.sleep(&interest) {
            let began = Instant::now();
            let mut absence = Absence::default();
            let mut nobody_listens = || absence.is_long(&interest);
            if runs > 0 {
                seat.count_restart();
            }
            runs += 1;
            match process::run(&self.program, seat, &mut nobody_listens) {
                Ok((RunEnd::Stopped, _)) => break,
                Ok((RunEnd::Ended, _)) => {
                    // Nobody listens: the next start is no restart.
                    runs = 0;
                    continue;
                }
                Ok((RunEnd::Exited(status), last_words)) if !status.success() => {
                    seat.fail(&told(status, last_words.as_deref()).to_string());
                }
                Ok((RunEnd::Unknown, _)) => seat.fail(UNKNOWN),
                Ok((RunEnd::Exited(_), _)) => {
                    seat.troubles.tell("the program has ended (exit status: 0) and is started again")
                }
                Err(error) => seat.fail(&cannot_start(&self.program, &error).to_string()),
            }
            if began.elapsed() >= Duration::from_millis(SOURCE_WELL_MS) {
                seat.backoff.reset();
            }
            if seat.pause() {
                break;
            }
        }
        seat.set_active(false);
    }
}

fn cannot_start(program: &Program, error: &std::io::Error) -> SourceError {
    let name = match program {
        Program::Shell(_) => "sh",
        Program::Direct(parts) => parts.first().map_or("", String::as_str),
    };
    SourceError::new(format_args!("the program {name:?} cannot be started: {error}"))
}

fn told(status: ExitStatus, last_words: Option<&str>) -> SourceError {
    match last_words {
        Some(words) => SourceError::new(format_args!("the program ended with {status}; its last words: {words}")),
        None => SourceError::new(format_args!("the program ended with {status}, and said nothing on standard error")),
    }
}
