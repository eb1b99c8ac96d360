//! Standard output of `pushletd sub`: events, one a line, and nothing else.

use std::io::{BufWriter, Write};

use super::event::Event;
use super::trouble::Trouble;
use super::watch::Watch;

/// How an event is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// `SUBJECT name=value ...`
    Text,
    /// A JSON object.
    Json,
}

/// Prints events until there are enough.
pub(super) struct Printer<'a> {
    output: Output,
    count: Option<u64>,
    watch: &'a Watch,
    out: BufWriter<&'a mut dyn Write>,
}

impl<'a> Printer<'a> {
    /// A printer onto `out`, for `count` events if not for ever.
    pub(super) fn new(output: Output, count: Option<u64>, watch: &'a Watch, out: &'a mut dyn Write) -> Self {
        Self { output, count, watch, out: BufWriter::new(out) }
    }

    /// Prints one event and counts it.
    ///
    /// # Errors
    ///
    /// [`Trouble::Stopped`] if it was the last one wanted, or if nobody reads any more.
    pub(super) fn print(&mut self, event: &Event) -> Result<(), Trouble> {
        let line = match self.output {
            Output::Text => event.to_line(),
            Output::Json => event.to_json(),
        };
        self.watch.clear();
        // Whoever reads our output may go away at any time; that is an end like any other.
        writeln!(self.out, "{line}").map_err(|_| Trouble::Stopped)?;
        self.watch.count_done();
        if self.count.is_some_and(|count| self.watch.done() >= count) {
            return Err(Trouble::Stopped);
        }
        Ok(())
    }

    /// Counts and says what the event tells of a loss before it (rule P-30).
    pub(super) fn tell_loss(&self, event: &Event) {
        if let Some(lost) = event.get("p_lost").and_then(|lost| lost.parse().ok()) {
            self.watch.count_lost(lost);
            self.watch.say(&format!("{lost} events were lost: this client reads too slowly"));
        }
    }

    /// Whoever reads our output gets what there is before we wait.
    ///
    /// # Errors
    ///
    /// [`Trouble::Stopped`] if nobody reads any more.
    pub(super) fn flush(&mut self) -> Result<(), Trouble> {
        self.out.flush().map_err(|_| Trouble::Stopped)
    }
}
