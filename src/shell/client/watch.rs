//! What the tools keep an eye on while they wait: signals, and the line of progress on standard error.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::trouble::Trouble;
use crate::limits::{CLIENT_LEAVE_MS, CLIENT_TICK_MS};

/// Signals and progress of one run.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    /// The stop is known and the last words are being exchanged.
    leaving: Cell<bool>,
    progress: RefCell<Progress>,
}

/// Counts of one run, and when they were shown last.
#[derive(Debug)]
struct Progress {
    verb: &'static str,
    quiet: bool,
    terminal: bool,
    began: Instant,
    shown_at: Instant,
    shown_done: u64,
    drawn: bool,
    done: u64,
    lost: u64,
    refused: u64,
}

impl Watch {
    /// Begins to count; `verb` is what happens to events ("received"). With `quiet` no progress and no summary is
    /// shown.
    pub(super) fn new(verb: &'static str, quiet: bool) -> Self {
        let now = Instant::now();
        let progress = Progress {
            verb,
            quiet,
            terminal: stderr().is_terminal(),
            began: now,
            shown_at: now,
            shown_done: 0,
            drawn: false,
            done: 0,
            lost: 0,
            refused: 0,
        };
        Self { stop: Arc::new(AtomicBool::new(false)), leaving: Cell::new(false), progress: RefCell::new(progress) }
    }

    /// Lets SIGINT and SIGTERM end the run in order; a second one ends the process at once with code 130.
    pub(super) fn catch_signals(&self) -> std::io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&self.stop))?;
            signal_hook::flag::register(signal, Arc::clone(&self.stop))?;
        }
        Ok(())
    }

    /// From here on a stop no longer interrupts: the session is being left.
    pub(super) fn begin_leaving(&self) {
        self.leaving.set(true);
    }

    /// How long to wait for something that usually may take `ms` milliseconds: less when we are leaving.
    pub(super) fn patience(&self, ms: u64) -> Duration {
        Duration::from_millis(if self.leaving.get() { ms.min(CLIENT_LEAVE_MS) } else { ms })
    }

    /// Called often while something is waited for.
    ///
    /// # Errors
    ///
    /// [`Trouble::Stopped`] if the run is to end.
    pub(super) fn tick(&self) -> Result<(), Trouble> {
        self.progress.borrow_mut().show_if_due();
        if self.stop.load(Ordering::Relaxed) && !self.leaving.get() { Err(Trouble::Stopped) } else { Ok(()) }
    }

    /// Waits, with ticks. The tool has one thread and nothing else to do until then.
    ///
    /// # Errors
    ///
    /// [`Trouble::Stopped`] if the run is to end.
    pub(super) fn sleep(&self, time: Duration) -> Result<(), Trouble> {
        let end = Instant::now() + time;
        loop {
            self.tick()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // A tool in a terminal has one thread and nothing else to do until then; it sleeps in ticks to hear a signal.
            sleep(left.min(Duration::from_millis(CLIENT_TICK_MS)));
        }
    }

    /// One more event went through.
    pub(super) fn count_done(&self) {
        self.progress.borrow_mut().done += 1;
    }

    /// So many events were lost on the server's side.
    pub(super) fn count_lost(&self, events: u64) {
        let mut progress = self.progress.borrow_mut();
        progress.lost = progress.lost.saturating_add(events);
    }

    /// One more event was refused.
    pub(super) fn count_refused(&self) {
        self.progress.borrow_mut().refused += 1;
    }

    /// How many events went through.
    pub(super) fn done(&self) -> u64 {
        self.progress.borrow().done
    }

    /// How many events were refused.
    pub(super) fn refused(&self) -> u64 {
        self.progress.borrow().refused
    }

    /// Says something on standard error, on a line of its own.
    pub(super) fn say(&self, text: &str) {
        self.progress.borrow_mut().clear();
        let _ = writeln!(stderr(), "pushletd: {text}");
    }

    /// Takes the line of progress away, before something else is written to the same terminal.
    pub(super) fn clear(&self) {
        self.progress.borrow_mut().clear();
    }

    /// Shows the counts of the whole run.
    pub(super) fn sum_up(&self) {
        let mut progress = self.progress.borrow_mut();
        progress.clear();
        if !progress.quiet {
            let time = progress.began.elapsed();
            let _ =
                writeln!(stderr(), "pushletd: {} in {:.1} s", progress.line(progress.done, time), time.as_secs_f64());
        }
    }
}

impl Progress {
    fn clear(&mut self) {
        if self.drawn {
            let _ = write!(stderr(), "\r\x1b[K");
            self.drawn = false;
        }
    }

    /// Once a second on a terminal, on one line that is drawn over; every ten seconds elsewhere, a line each.
    fn show_if_due(&mut self) {
        let since = self.shown_at.elapsed();
        if self.quiet || since < Duration::from_secs(if self.terminal { 1 } else { 10 }) {
            return;
        }
        let line = self.line(self.done - self.shown_done, since);
        let _ = if self.terminal { write!(stderr(), "\r\x1b[K{line}") } else { writeln!(stderr(), "pushletd: {line}") };
        self.drawn = self.terminal;
        (self.shown_at, self.shown_done) = (Instant::now(), self.done);
    }

    /// The counts, and the rate of `recent` events in `time`.
    fn line(&self, recent: u64, time: Duration) -> String {
        let mut line = format!("{} {}", self.done, self.verb);
        for (count, word) in [(self.lost, "lost"), (self.refused, "refused")] {
            if count > 0 {
                line.push_str(&format!(", {count} {word}"));
            }
        }
        let seconds = time.as_secs_f64();
        let rate = if seconds > 0.0 { recent as f64 / seconds } else { 0.0 };
        line.push_str(&format!(", {rate:.1}/s"));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_waiting_until_we_are_leaving() {
        let watch = Watch::new("received", true);
        assert_eq!(watch.tick(), Ok(()));
        watch.stop.store(true, Ordering::Relaxed);
        assert_eq!(watch.sleep(Duration::from_secs(60)), Err(Trouble::Stopped));
        watch.begin_leaving();
        assert_eq!(watch.sleep(Duration::ZERO), Ok(()));
        assert_eq!(watch.patience(60_000), Duration::from_millis(CLIENT_LEAVE_MS));
    }

    #[test]
    fn the_line_tells_counts_and_rate() {
        let watch = Watch::new("received", true);
        (0..30).for_each(|_| watch.count_done());
        let line = |watch: &Watch| watch.progress.borrow().line(30, Duration::from_secs(2));
        assert_eq!(line(&watch), "30 received, 15.0/s");
        watch.count_lost(4);
        watch.count_refused();
        assert_eq!(line(&watch), "30 received, 4 lost, 1 refused, 15.0/s");
        assert_eq!((watch.done(), watch.refused()), (30, 1));
    }
}
