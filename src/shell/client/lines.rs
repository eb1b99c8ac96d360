//! Standard input, line by line, read by a thread of its own: a signal ends the run while no line comes.

use std::cell::Cell;
use std::io::BufRead;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use super::trouble::Trouble;
use super::watch::Watch;
use crate::limits::{BODY_BYTES_MAX, CLIENT_TICK_MS};

/// So many lines are read ahead of the one that is being published.
const LINES_AHEAD: usize = 1024;

/// The lines of some input.
#[derive(Debug)]
pub(super) struct Lines {
    receiver: Receiver<std::io::Result<Vec<u8>>>,
    number: Cell<u64>,
}

/// The next line without its end, `None` at the end of the input. Of a line that no server takes only so much is kept that it is refused; the
/// rest is read over, however long it is.
fn next_line(input: &mut dyn BufRead) -> Option<std::io::Result<Vec<u8>>> {
    let mut line = Vec::new();
    let mut began = false;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Some(Err(error)),
        };
        if available.is_empty() {
            return began.then_some(Ok(line));
        }
        began = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let piece = &available[..end.unwrap_or(available.len())];
        line.extend_from_slice(&piece[..piece.len().min((BODY_BYTES_MAX + 1).saturating_sub(line.len()))]);
        let read = piece.len() + usize::from(end.is_some());
        input.consume(read);
        if end.is_some() {
            return Some(Ok(line));
        }
    }
}

/// A line, and its number, from 1.
type Numbered = (u64, Vec<u8>);

/// What there is of an input.
#[derive(Debug)]
pub(super) enum Next {
    /// A line.
    Line(Numbered),
    /// Nothing yet.
    NotYet,
    /// Nothing more.
    End,
}

impl Lines {
    /// Begins to read.
    pub(super) fn read(input: Box<dyn BufRead + Send>) -> Self {
        let (sender, receiver) = mpsc::sync_channel(LINES_AHEAD);
        thread::spawn(move || {
            let mut input = input;
            while let Some(line) = next_line(&mut input) {
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

    /// What comes within a time.
    ///
    /// # Errors
    ///
    /// The input cannot be read.
    pub(super) fn within(&self, time: Duration) -> Result<Next, Trouble> {
        match self.receiver.recv_timeout(time) {
            Ok(line) => self.numbered(line).map(Next::Line),
            Err(RecvTimeoutError::Timeout) => Ok(Next::NotYet),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::End),
        }
    }

    fn numbered(&self, line: std::io::Result<Vec<u8>>) -> Result<Numbered, Trouble> {
        let line = line.map_err(|error| Trouble::Link(format!("standard input cannot be read: {error}")))?;
        self.number.set(self.number.get() + 1);
        Ok((self.number.get(), line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line without an end must not take the machine's memory; what is kept of it is too long for any server, so it is refused.
    #[test]
    fn a_line_without_an_end_is_read_over() {
        let long = vec![b'x'; 3 * BODY_BYTES_MAX];
        let mut input = std::io::Cursor::new([b"a\n\n".as_slice(), &long, b"\nlast"].concat());
        let lines: Vec<Vec<u8>> =
            std::iter::from_fn(|| next_line(&mut input)).map(|line| line.expect("it can be read")).collect();
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, BODY_BYTES_MAX + 1, 4]);
        assert!(lines[2].capacity() <= 4 * BODY_BYTES_MAX);
    }
}
