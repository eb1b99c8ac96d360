//! Sources that are programs: run every so often, or for as long as somebody listens.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::SourceError;
use super::job::{Job, Pull};
use super::process::{self, RunEnd};
use super::seat::Seat;
use crate::config::Program;
use crate::limits::{SOURCE_GRACE_MS, SOURCE_RUN_MS, SOURCE_WELL_MS};

/// A program that is run again and again, and whose lines are events.
pub(super) struct Repeated {
    pub(super) program: Program,
    pub(super) every: Duration,
}

impl Pull for Repeated {
    fn every(&self) -> Duration {
        self.every
    }

    fn pull(&mut self, seat: &mut Seat) -> Result<(), SourceError> {
        let until = Instant::now() + Duration::from_millis(SOURCE_RUN_MS);
        match process::run(&self.program, seat, &mut || Instant::now() >= until) {
            Err(error) => Err(cannot_start(&self.program, &error)),
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
            let mut left_at: Option<Instant> = None;
            let mut nobody_listens = || {
                let since = if interest.is_listened_to() { None } else { Some(left_at.unwrap_or_else(Instant::now)) };
                left_at = since;
                since.is_some_and(|since| since.elapsed() >= Duration::from_millis(SOURCE_GRACE_MS))
            };
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
