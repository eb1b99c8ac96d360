//! Signals, and the line of progress on standard error.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::run::Watch;
use super::shared::{Count, Phase, Shared};

/// Progress on a terminal is drawn this often, in nanoseconds; elsewhere a line is written every few seconds.
const DRAW_NS: u64 = 250_000_000;
const LINE_NS: u64 = 3_000_000_000;

/// What the user of the program sees and says while a run goes.
#[derive(Debug)]
pub(super) struct Screen {
    quiet: bool,
    terminal: bool,
    stop: Arc<AtomicBool>,
    shown_ns: u64,
    delivered: u64,
    drawn: bool,
}

impl Screen {
    /// A screen; `quiet` shows warnings only.
    pub(super) fn new(quiet: bool) -> Self {
        let (stop, terminal) = (Arc::new(AtomicBool::new(false)), stderr().is_terminal());
        Self { quiet, terminal, stop, shown_ns: 0, delivered: 0, drawn: false }
    }

    /// Lets SIGINT and SIGTERM end the run in order; a second one ends the process at once with code 130.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn catch_signals(&self) -> std::io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&self.stop))?;
            signal_hook::flag::register(signal, Arc::clone(&self.stop))?;
        }
        Ok(())
    }

    /// Ends the line of progress.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            // Nobody reads progress any more if standard error is gone.
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

impl Watch for Screen {
    fn show(&mut self, shared: &Shared) {
        let now = shared.now();
        let since = now.saturating_sub(self.shown_ns);
        if self.quiet || since < if self.terminal { DRAW_NS } else { LINE_NS } {
            return;
        }
        let phase = match shared.phase() {
            Phase::Open => "opening",
            Phase::Run if now < shared.measure_ns.load(Ordering::Relaxed) => "warming up",
            Phase::Run => "running",
            Phase::Drain => "waiting for what is missing",
            Phase::Close => "closing",
        };
        let delivered = shared.sum(Count::Delivered);
        let rate = (delivered - self.delivered) as f64 * 1e9 / since.max(1) as f64;
        let faults: u64 =
            [Count::Broken, Count::Aborted, Count::Repeated, Count::OutOfOrder, Count::RefusedButDelivered]
                .map(|count| shared.sum(count))
                .iter()
                .sum();
        let line = format!(
            "{phase}: {} open, {} failed, {} published, {} refused, {delivered} delivered ({rate:.0}/s), {faults} faults",
            shared.sum(Count::Opened),
            shared.sum(Count::OpenFailed),
            shared.sum(Count::Accepted),
            shared.sum(Count::Refused),
        );
        (self.shown_ns, self.delivered, self.drawn) = (now, delivered, self.terminal);
        let (before, behind) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // Nobody reads progress any more if standard error is gone.
        let _ = write!(stderr(), "{before}{line}{behind}");
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn warn(&mut self, what: &str) {
        self.clear();
        eprintln!("pushletd bench: {what}");
    }
}
