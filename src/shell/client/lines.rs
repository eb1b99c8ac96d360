//! Standard input, line by line, read by a thread of its own: a signal ends the run while no line comes.

use std::cell::Cell;
use std::io::BufRead;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use super::trouble::Trouble;
use super::watch::Watch;
use crate::limits::CLIENT_TICK_MS;

/// So many lines are read ahead of the one that is being published.
const LINES_AHEAD: usize = 1024;

/// The lines of some input.
#[derive(Debug)]
pub(super) struct Lines {
    receiver: Receiver<std::io::Result<Vec<u8>>>,
    number: Cell<u64>,
}

/// A line, and its number, from 1.
type Numbered = (u64, Vec<u8>);

impl Lines {
    /// Begins to read.
    pub(super) fn read(input: Box<dyn BufRead + Send>) -> Self {
        let (sender, receiver) = mpsc::sync_channel(LINES_AHEAD);
        thread::spawn(move || {
            for line in input.split(b'\n') {
                let failed = line.is_err();
                if sender.send(line).is_err() || failed {
                    return;
                }
            }
        });
        Self { receiver, number: Cell::new(0) }
    }

    /// Lines that are all there.
    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        let (sender, receiver) = mpsc::sync_channel(LINES_AHEAD);
        text.lines().for_each(|line| sender.send(Ok(line.as_bytes().to_vec())).expect("there is room"));
        Self { receiver, number: Cell::new(0) }
    }

    /// The next line, waited for; `None` at the end.
    ///
    /// # Errors
    ///
    /// The input cannot be read, or the run is to end.
    pub(super) fn next(&self, watch: &Watch) -> Result<Option<Numbered>, Trouble> {
        loop {
            watch.tick()?;
            match self.receiver.recv_timeout(Duration::from_millis(CLIENT_TICK_MS)) {
                Ok(line) => return self.numbered(line).map(Some),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// The next line if it is there; `None` if it is not, or at the end.
    ///
    /// # Errors
    ///
    /// The input cannot be read.
    pub(super) fn next_at_once(&self) -> Result<Option<Numbered>, Trouble> {
        match self.receiver.try_recv() {
            Ok(line) => self.numbered(line).map(Some),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(None),
        }
    }

    fn numbered(&self, line: std::io::Result<Vec<u8>>) -> Result<Numbered, Trouble> {
        let line = line.map_err(|error| Trouble::Link(format!("standard input cannot be read: {error}")))?;
        self.number.set(self.number.get() + 1);
        Ok((self.number.get(), line))
    }
}
