//! One direction between two cores: a producer, a queue with a bound in messages and in bytes, a consumer.
//!
//! Each side keeps its own count of what went through and publishes it for the other on a cache line of its own, so neither writes where
//! the other writes. What is in flight is the difference.

use std::cell::Cell;
use std::collections::VecDeque;

use super::sync::{Arc, ArrayQueue, AtomicBool, AtomicU64, Ordering};

/// What a message weighs in its lane, in bytes.
pub trait Weigh {
    /// Bytes that the message keeps alive. It must be the same when the message is received as when it was sent, for the consumer
    /// subtracts what the producer added.
    fn weight(&self) -> usize;
}

/// Bounds of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneBounds {
    /// Most messages in flight, at least one. The slots are allocated at start.
    pub messages_max: usize,
    /// Most bytes in flight. A message that is larger passes alone, through an empty lane.
    pub bytes_max: usize,
}

/// A value on cache lines of its own: two of 64 bytes, because the hardware fetches them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Padded<V>(pub(super) V);

/// When a message was sent, on a clock that runs with the messages: what was sent because of something else has a later stamp.
pub(super) type Stamp = u64;

/// Messages and bytes that went past one end of a lane since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    messages: u64,
    bytes: u64,
}

struct SharedCount {
    messages: AtomicU64,
    bytes: AtomicU64,
}

struct Lane<T> {
    queue: ArrayQueue<(Stamp, T)>,
    bounds: LaneBounds,
    /// Written by the producer, before the message is in the queue: never less than what the consumer may take. Only the consumer's
    /// decision whether the lane is half empty reads it.
    pushed_bytes: Padded<AtomicU64>,
    /// Written by the consumer, after the message is out of the queue: a producer that sees room by it finds a free slot.
    taken: Padded<SharedCount>,
    /// Set by a producer that goes to sleep and waits for room, cleared by whoever answers it. See `port.rs`.
    wanted: Padded<AtomicBool>,
}

/// Makes a lane.
///
/// # Panics
///
/// If it could not hold a message.
pub(super) fn lane<T: Weigh>(bounds: LaneBounds) -> (Sender<T>, Receiver<T>) {
    assert!(bounds.messages_max > 0, "a lane holds at least one message");
    let lane = Arc::new(Lane {
        queue: ArrayQueue::new(bounds.messages_max),
        bounds,
        pushed_bytes: Padded(AtomicU64::new(0)),
        taken: Padded(SharedCount { messages: AtomicU64::new(0), bytes: AtomicU64::new(0) }),
        wanted: Padded(AtomicBool::new(false)),
    });
    let sender = Sender {
        lane: Arc::clone(&lane),
        pushed: Count::default(),
        taken_seen: Cell::default(),
        overflow: VecDeque::new(),
        refused: Cell::new(None),
        asked: false,
        news: false,
    };
    (sender, Receiver { lane, head: None, taken: Count::default(), popped: false })
}

/// The producer's end.
pub(super) struct Sender<T> {
    lane: Arc<Lane<T>>,
    /// Invariant: at least what the consumer has taken, and at most `messages_max` messages more.
    pushed: Count,
    /// What the consumer had taken when this was last read. Stale is safe: it can only have taken more. Reading it anew costs a cache
    /// miss, so that is left until the old value says that there is no room.
    taken_seen: Cell<Count>,
    /// Messages that could not be refused, oldest first.
    ///
    /// Invariant: while it is not empty, nothing is pushed but its front.
    overflow: VecDeque<(Stamp, T)>,
    /// The smallest weight that was refused and whose owner has not been sent into another turn yet.
    refused: Cell<Option<usize>>,
    /// Whether `wanted` may be set by this end.
    asked: bool,
    /// Whether anything was pushed since the last look at the consumer's `armed`.
    pub(super) news: bool,
}

impl<T: Weigh> Sender<T> {
    /// Whether a message of this weight may go now. A refusal is remembered for [`Sender::room_again`].
    pub(super) fn has_room(&self, weight: usize) -> bool {
        let room = self.overflow.is_empty() && self.fits(weight);
        if !room {
            self.refused.set(Some(self.refused.get().map_or(weight, |smallest| smallest.min(weight))));
        }
        room
    }

    /// Whether the lane has room, whatever waits.
    fn fits(&self, weight: usize) -> bool {
        self.fits_after(self.taken_seen.get(), weight) || {
            let taken = &self.lane.taken.0;
            // Messages first: the bytes are then those of these messages or more, and never of any that was not pushed.
            let messages = taken.messages.load(Ordering::Acquire);
            let bytes = taken.bytes.load(Ordering::Acquire);
            self.taken_seen.set(Count { messages, bytes });
            self.fits_after(self.taken_seen.get(), weight)
        }
    }

    fn fits_after(&self, taken: Count, weight: usize) -> bool {
        let LaneBounds { messages_max, bytes_max } = self.lane.bounds;
        let messages = self.pushed.messages - taken.messages;
        // What went through may come around to zero; what is in flight cannot.
        let bytes = self.pushed.bytes.wrapping_sub(taken.bytes);
        messages == 0 || messages < messages_max as u64 && bytes.saturating_add(weight as u64) <= bytes_max as u64
    }

    /// Puts a message into the lane, which has room and in front of which nothing waits.
    pub(super) fn push(&mut self, stamp: Stamp, message: T) {
        self.pushed.messages += 1;
        self.pushed.bytes = self.pushed.bytes.wrapping_add(message.weight() as u64);
        self.lane.pushed_bytes.0.store(self.pushed.bytes, Ordering::Relaxed);
        let pushed = self.lane.queue.push((stamp, message)).is_ok();
        assert!(pushed, "the lane had room, and nobody else sends on it");
        self.news = true;
    }

    /// Whether the consumer may sleep on something that was pushed. It does not if the lane is empty: then it ran after the last push, and
    /// looks again before it sleeps.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news) && !self.lane.queue.is_empty()
    }

    /// Sends, or keeps the message until [`Sender::flush`].
    pub(super) fn push_or_keep(&mut self, stamp: Stamp, message: T) {
        if self.overflow.is_empty() && self.fits(message.weight()) {
            self.push(stamp, message);
        } else {
            self.overflow.push_back((stamp, message));
        }
    }

    /// Sends what waits as far as there is room.
    pub(super) fn flush(&mut self) {
        while self.overflow.front().is_some_and(|(_, first)| self.fits(first.weight())) {
            let (stamp, first) = self.overflow.pop_front().expect("it has a front");
            self.push(stamp, first);
        }
    }

    /// Messages that wait for room.
    pub(super) fn waiting(&self) -> usize {
        self.overflow.len()
    }

    /// Announces that this end waits for room, if it does.
    pub(super) fn ask_for_room(&mut self) {
        if !self.overflow.is_empty() || self.refused.get().is_some() {
            self.asked = true;
            self.lane.wanted.0.store(true, Ordering::SeqCst);
        }
    }

    /// Takes the announcement back.
    pub(super) fn stop_asking(&mut self) {
        if std::mem::take(&mut self.asked) {
            // If the consumer still sees the old value, its core makes one needless wake-up.
            self.lane.wanted.0.store(false, Ordering::Relaxed);
        }
    }

    /// Whether something that waits, or somebody who was refused, can go now. Says so once for the refused: they try again, and are
    /// refused again if it was not for them.
    pub(super) fn room_again(&self) -> bool {
        if let Some((_, first)) = self.overflow.front() {
            return self.fits(first.weight());
        }
        let again = self.refused.get().is_some_and(|weight| self.fits(weight));
        if again {
            self.refused.set(None);
        }
        again
    }
}

/// The consumer's end.
pub(super) struct Receiver<T> {
    lane: Arc<Lane<T>>,
    /// The oldest message, out of the queue and not taken yet. For the producer it is still in the lane.
    head: Option<(Stamp, T)>,
    taken: Count,
    /// Whether anything was taken since the last look at `wanted`.
    pub(super) popped: bool,
}

impl<T: Weigh> Receiver<T> {
    /// Looks for the oldest message, unless it is known. Says whether it was found now.
    pub(super) fn look(&mut self) -> bool {
        if self.head.is_none() && !self.lane.queue.is_empty() {
            self.head = self.lane.queue.pop();
            return self.head.is_some();
        }
        false
    }

    /// The stamp of the oldest message that is known.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        self.head.as_ref().map(|(stamp, _)| *stamp)
    }

    /// The oldest message, if it is known.
    pub(super) fn head(&self) -> Option<&T> {
        self.head.as_ref().map(|(_, message)| message)
    }

    /// Takes the oldest message that is known.
    pub(super) fn take(&mut self) -> Option<T> {
        let (_, message) = self.head.take()?;
        self.taken.messages += 1;
        self.taken.bytes = self.taken.bytes.wrapping_add(message.weight() as u64);
        let taken = &self.lane.taken.0;
        taken.bytes.store(self.taken.bytes, Ordering::Release);
        taken.messages.store(self.taken.messages, Ordering::Release);
        self.popped = true;
        Some(message)
    }

    /// Messages in the lane.
    pub(super) fn depth(&self) -> usize {
        self.lane.queue.len() + usize::from(self.head.is_some())
    }

    /// Whether there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none() && self.lane.queue.is_empty()
    }

    /// Whether the producer asked for room and there is enough now to be worth waking it: half of the lane. The question counts as
    /// answered then.
    pub(super) fn answer_wanted(&mut self) -> bool {
        if !std::mem::take(&mut self.popped) {
            return false;
        }
        let wanted = &self.lane.wanted.0;
        // A swap, not a store: what it reads may be newer than what the load saw, and then the producer's `armed` must be seen as well.
        wanted.load(Ordering::SeqCst) && self.half_empty() && wanted.swap(false, Ordering::SeqCst)
    }

    fn half_empty(&self) -> bool {
        let LaneBounds { messages_max, bytes_max } = self.lane.bounds;
        let messages = self.depth();
        let bytes = self.lane.pushed_bytes.0.load(Ordering::Relaxed).wrapping_sub(self.taken.bytes);
        messages <= messages_max / 2 && bytes <= bytes_max as u64 / 2
    }
}
