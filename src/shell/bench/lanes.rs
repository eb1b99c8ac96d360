//! What became of every published event: one byte each, shared by all threads, so that no subscriber needs a list of its own.
//!
//! A *lane* is one publisher on one subject, or one publisher to one address: within it events are numbered 1, 2, 3 and must arrive in this
//! order. Only its publisher writes numbers and answers; subscribers only say that an event has arrived.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Events in the first block of a lane. Each block is twice as long as the one before.
const FIRST_BLOCK: u32 = 64;
/// Blocks of a lane: together they have room for 2^31 events and more.
const BLOCKS: usize = 26;

/// The server has accepted it.
const ACCEPTED: u8 = 1;
/// The server has refused it.
const REFUSED: u8 = 2;
/// Its connection broke before the answer: nobody knows.
const UNKNOWN: u8 = 4;
/// It has arrived somewhere.
const ARRIVED: u8 = 8;

/// What the publisher knows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No answer yet.
    Open,
    /// The server took it: it must arrive.
    Accepted,
    /// The server refused it: it must not arrive.
    Refused,
    /// The connection broke before the answer: it may arrive.
    Unknown,
}

/// What an arrival means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was published.
    Published,
    /// It was published, and nobody knows whether the server took it.
    Doubtful,
    /// It was refused. `first`: nobody had counted it yet.
    Refused {
        /// Nobody had counted it yet.
        first: bool,
    },
    /// No event has this number.
    NeverSent,
}

type Block = OnceLock<Box<[AtomicU8]>>;

/// The events of one lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    sent: AtomicU32,
    accepted: AtomicU32,
    blocks: OnceLock<Box<[Block; BLOCKS]>>,
}

fn place(sequence: u32) -> Option<(usize, usize)> {
    let number = sequence.checked_sub(1)?.checked_add(FIRST_BLOCK)?;
    let block = number.ilog2() - FIRST_BLOCK.ilog2();
    Some((block as usize, (number - (FIRST_BLOCK << block)) as usize))
}

fn fate(bits: u8) -> Fate {
    match bits & (ACCEPTED | REFUSED | UNKNOWN) {
        0 => Fate::Open,
        ACCEPTED => Fate::Accepted,
        REFUSED => Fate::Refused,
        _ => Fate::Unknown,
    }
}

impl Lane {
    /// The number of the next event. Only the lane's publisher may ask, and it must ask before it sends. `None` when numbers have run out.
    pub(super) fn begin(&self) -> Option<u32> {
        let sequence = self.sent.load(Ordering::Relaxed).checked_add(1)?;
        let (block, _) = place(sequence).filter(|(block, _)| *block < BLOCKS)?;
        let blocks = self.blocks.get_or_init(Box::default);
        blocks[block].get_or_init(|| (0..FIRST_BLOCK << block).map(|_| AtomicU8::new(0)).collect());
        self.sent.store(sequence, Ordering::Release);
        Some(sequence)
    }

    /// How many were sent, or are being sent.
    pub(super) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Acquire)
    }

    /// The last one that the server took.
    pub(super) fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::Acquire)
    }

    fn bits(&self, sequence: u32) -> Option<&AtomicU8> {
        let (block, at) = place(sequence)?;
        self.blocks.get()?.get(block)?.get()?.get(at)
    }

    /// The server took it.
    pub(super) fn accept(&self, sequence: u32) {
        if let Some(bits) = self.bits(sequence) {
            bits.fetch_or(ACCEPTED, Ordering::AcqRel);
        }
        self.accepted.store(sequence, Ordering::Release);
    }

    /// The server refused it. Says whether it has arrived somewhere all the same, which is then counted here and not by [`Self::arrive`].
    pub(super) fn refuse(&self, sequence: u32) -> bool {
        self.bits(sequence).is_some_and(|bits| bits.fetch_or(REFUSED, Ordering::AcqRel) & ARRIVED != 0)
    }

    /// Nobody knows.
    pub(super) fn give_up(&self, sequence: u32) {
        if let Some(bits) = self.bits(sequence) {
            bits.fetch_or(UNKNOWN, Ordering::AcqRel);
        }
    }

    /// It has arrived. After the first arrival of an event this writes nothing.
    pub(super) fn arrive(&self, sequence: u32) -> Arrival {
        let Some(place) = self.bits(sequence).filter(|_| sequence <= self.sent()) else { return Arrival::NeverSent };
        let mut bits = place.load(Ordering::Acquire);
        let mut first = false;
        if bits & ARRIVED == 0 {
            bits = place.fetch_or(ARRIVED, Ordering::AcqRel);
            first = bits & ARRIVED == 0;
        }
        match fate(bits) {
            Fate::Open | Fate::Accepted => Arrival::Published,
            Fate::Unknown => Arrival::Doubtful,
            Fate::Refused => Arrival::Refused { first },
        }
    }

    /// What is known of it.
    pub(super) fn fate(&self, sequence: u32) -> Fate {
        self.bits(sequence).map_or(Fate::Open, |bits| fate(bits.load(Ordering::Acquire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for sequence in 1..10_000 {
            assert_eq!(place(sequence), Some(expected));
            expected.1 += 1;
            if expected.1 == (FIRST_BLOCK as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(0), None);
        assert_eq!(place(u32::MAX), None);
        assert!(place(1 << 31).is_some_and(|(block, _)| block < BLOCKS));
    }

    #[test]
    fn an_event_is_open_until_it_is_answered() {
        let lane = Lane::default();
        assert_eq!(lane.arrive(1), Arrival::NeverSent);
        assert_eq!((lane.begin(), lane.begin()), (Some(1), Some(2)));
        assert_eq!(lane.sent(), 2);
        assert_eq!(lane.fate(1), Fate::Open);
        assert_eq!(lane.arrive(1), Arrival::Published);
        lane.accept(1);
        lane.give_up(2);
        assert_eq!((lane.fate(1), lane.fate(2), lane.accepted()), (Fate::Accepted, Fate::Unknown, 1));
        assert_eq!(
            (lane.arrive(2), lane.arrive(3), lane.arrive(0)),
            (Arrival::Doubtful, Arrival::NeverSent, Arrival::NeverSent)
        );
    }

    #[test]
    fn a_refused_event_that_arrives_is_counted_once() {
        let lane = Lane::default();
        assert_eq!((lane.begin(), lane.begin()), (Some(1), Some(2)));
        assert!(!lane.refuse(1));
        assert_eq!(lane.arrive(1), Arrival::Refused { first: true });
        assert_eq!(lane.arrive(1), Arrival::Refused { first: false });
        assert_eq!(lane.arrive(2), Arrival::Published);
        assert!(lane.refuse(2));
        assert_eq!(lane.arrive(2), Arrival::Refused { first: false });
    }
}
