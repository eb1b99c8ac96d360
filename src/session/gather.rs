//! One write in the making: small pieces copied together, large ones referenced, and a run that is alone as well.

use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

use super::item::Frame;
use crate::limits::{SLICES_PER_WRITE_MAX, WRITE_BYTES_MAX};
use crate::protocol::ReplyToken;

/// Shared bytes up to this length are copied behind the personal ones: a copy of one page costs less than a slice of its own.
const COPY_BYTES_MAX: usize = 2048;

/// A run that is not alone in its write is copied up to this length: then it is one row of bytes, which the ring takes. To copy more would take
/// longer than a call of its own.
const COPY_RUN_BYTES_MAX: usize = 16 * 1024;

/// What an empty gather may keep for the next write, in bytes and in events.
const KEPT_BYTES_MAX: usize = 8192;
const KEPT_PIECES_MAX: usize = 64;

enum Piece {
    Copied(Range<usize>),
    Shared(Rc<Frame>, Range<usize>),
}

/// The bytes of one write. It is kept by the flusher and used again, so that a write allocates nothing.
#[derive(Default)]
pub struct Gather {
    scratch: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where each event ends, counted from the start of the first one's encoding.
    ends: Vec<usize>,
    /// A run of events that is the whole write.
    run: Option<Rc<Frame>>,
    /// Bytes of the first event that an earlier write has sent.
    skip: usize,
    /// Bytes of all pieces, the skipped ones included.
    total: usize,
    /// The answer that the write belongs to.
    answer: Option<ReplyToken>,
}

impl Gather {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a new write whose first event was sent up to `skip` bytes.
    pub fn begin(&mut self, skip: usize) {
        self.scratch.clear();
        self.pieces.clear();
        self.ends.clear();
        if self.run.is_some() {
            self.run = None;
        }
        self.skip = skip;
        self.total = 0;
        self.answer = None;
    }

    /// Notes the answer that the write belongs to.
    pub const fn address_to(&mut self, answer: ReplyToken) {
        self.answer = Some(answer);
    }

    /// The answer that the write belongs to.
    #[must_use]
    pub const fn answer(&self) -> Option<ReplyToken> {
        self.answer
    }

    /// Whether another event may be added to this write.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pieces.len() + 3 <= SLICES_PER_WRITE_MAX && self.total < WRITE_BYTES_MAX
    }

    /// Adds bytes that `write` appends to the scratch buffer.
    pub(super) fn copied(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.scratch.len();
        write(&mut self.scratch);
        let end = self.scratch.len();
        self.total += end - start;
        match self.pieces.last_mut() {
            Some(Piece::Copied(range)) => range.end = end,
            _ => self.pieces.push(Piece::Copied(start..end)),
        }
    }

    /// Adds the first `len` bytes of `frame`.
    pub(super) fn shared(&mut self, frame: &Rc<Frame>, len: usize) {
        if len <= COPY_BYTES_MAX {
            self.copied(|scratch| scratch.extend_from_slice(&frame.bytes()[..len]));
        } else {
            self.total += len;
            self.pieces.push(Piece::Shared(Rc::clone(frame), 0..len));
        }
    }

    /// Adds a run of events. A write that is nothing but one is not even copied.
    pub(super) fn run(&mut self, run: &Rc<Frame>, alone: bool) {
        let bytes = run.bytes();
        if alone && self.total == 0 && self.skip == 0 {
            self.total = bytes.len();
            self.run = Some(Rc::clone(run));
            return;
        }
        let start = self.total;
        if bytes.len() <= COPY_RUN_BYTES_MAX {
            self.copied(|scratch| scratch.extend_from_slice(bytes));
        } else {
            self.total += bytes.len();
            self.pieces.push(Piece::Shared(Rc::clone(run), 0..bytes.len()));
        }
        self.ends.extend(run.ends().iter().map(|end| start + end));
    }

    /// Where each event ends.
    pub(super) fn ends(&self) -> &[usize] {
        self.run.as_ref().map_or(&self.ends, |run| run.ends())
    }

    /// Marks the end of an event.
    pub(super) fn end_event(&mut self) {
        self.ends.push(self.total);
    }

    /// How many bytes are to be written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.total - self.skip
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes to send, if they stand in one row; they mostly do.
    #[must_use]
    pub fn only_slice(&self) -> Option<&[u8]> {
        if let Some(run) = &self.run {
            return Some(run.bytes());
        }
        match &self.pieces[..] {
            [Piece::Copied(range)] => self.scratch[range.clone()].get(self.skip..),
            _ => None,
        }
    }

    /// Forgets what was gathered, and gives back what a large write has left.
    pub fn clear(&mut self) {
        self.begin(0);
        self.scratch.shrink_to(KEPT_BYTES_MAX);
        self.pieces.shrink_to(KEPT_PIECES_MAX);
        self.ends.shrink_to(KEPT_PIECES_MAX);
    }

    /// Calls `write` with the bytes to send: one slice in the common case, at most [`SLICES_PER_WRITE_MAX`].
    pub fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        if let Some(bytes) = self.only_slice().filter(|bytes| !bytes.is_empty()) {
            return write(&[IoSlice::new(bytes)]);
        }
        let mut skip = self.skip;
        let mut slices: [IoSlice<'_>; SLICES_PER_WRITE_MAX] = std::array::from_fn(|_| IoSlice::new(&[]));
        let mut used = 0;
        for piece in &self.pieces {
            let bytes = match piece {
                Piece::Copied(range) => &self.scratch[range.clone()],
                Piece::Shared(frame, range) => &frame.bytes()[range.clone()],
            };
            let skipped = skip.min(bytes.len());
            skip -= skipped;
            if skipped < bytes.len() {
                slices[used] = IoSlice::new(&bytes[skipped..]);
                used += 1;
            }
        }
        write(&slices[..used])
    }

    /// What `sent` bytes of this write amount to: events sent whole, and bytes sent of the next one.
    #[must_use]
    pub fn progress(&self, sent: usize) -> (usize, usize) {
        debug_assert!(sent <= self.len(), "more was sent than gathered");
        let reached = self.skip + sent;
        let ends = self.ends();
        // Mostly the socket takes everything.
        let whole = if reached == self.total { ends.len() } else { ends.partition_point(|end| *end <= reached) };
        let start = if whole == 0 { 0 } else { ends[whole - 1] };
        (whole, reached - start)
    }
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gather({} events, {} bytes, {} skipped)", self.ends().len(), self.total, self.skip)
    }
}
