//! Which publish requests have been seen before, by the key that their client gave them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::limits::{IDEMPOTENCY_BYTES_MAX, IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_MS, IDEMPOTENCY_OUTCOMES_MAX};
use crate::protocol::{IdempotencyKey, Posted};
use crate::time::Instant;

/// Memory of an entry beside its texts, in bytes: both tables.
const ENTRY_BYTES: usize = 192;

/// Most bytes of an answer that is remembered. Of a longer one the counts are.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What an answer is charged for, in bytes: as much as it may be while it is not known.
fn charge_of(posted: Option<&Posted>) -> usize {
    posted.map_or(ANSWER_BYTES_MAX, Posted::bytes)
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nothing: the request is to be carried out, and [`Memory::settle`] told what came of it.
    Fresh,
    /// It was carried out, and this came of it.
    Done(Arc<Posted>),
    /// It is being carried out.
    UnderWay,
    /// The key belongs to another request.
    Another,
    /// There are too many keys.
    Full,
}

#[derive(Debug)]
struct Entry {
    fingerprint: u64,
    until: Instant,
    /// `None` while the request is carried out.
    posted: Option<Arc<Posted>>,
}

/// The keys of one core: bounded in number and bytes, each kept for [`IDEMPOTENCY_MS`] from its first request on.
///
/// Invariant: `line` names the entries in the order of their ends; an entry that went before its time leaves its name there.
/// Invariant: `bytes` is the charge of all entries.
#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: HashMap<Arc<str>, Entry>,
    line: VecDeque<(Instant, Arc<str>)>,
    bytes: usize,
}

impl Memory {
    /// Looks a key up, and takes it in if it is new.
    pub(super) fn claim(&mut self, now: Instant, key: &IdempotencyKey) -> Claim {
        self.forget_old(now);
        match self.entries.get(&key.text) {
            Some(entry) if entry.fingerprint != key.fingerprint => return Claim::Another,
            Some(Entry { posted: Some(posted), .. }) => return Claim::Done(Arc::clone(posted)),
            Some(_) => return Claim::UnderWay,
            None => {}
        }
        // The answer is charged before it is known.
        let charge = ENTRY_BYTES + key.text.len() + ANSWER_BYTES_MAX;
        // Strangers cannot use up what publishers with access keys rely on.
        let part = if key.is_known { 1 } else { 2 };
        // What has gone before its time stands in the line as well.
        let bytes = self.bytes + charge;
        if self.line.len() >= IDEMPOTENCY_KEYS_MAX / part || bytes > IDEMPOTENCY_BYTES_MAX / part {
            return Claim::Full;
        }
        let until = now + IDEMPOTENCY_MS;
        self.entries.insert(Arc::clone(&key.text), Entry { fingerprint: key.fingerprint, until, posted: None });
        self.line.push_back((until, Arc::clone(&key.text)));
        self.bytes += charge;
        Claim::Fresh
    }

    /// What came of a request whose key was fresh. One that published nothing is forgotten: its client may try again.
    pub(super) fn settle(&mut self, key: &IdempotencyKey, posted: &Posted) {
        let Some(entry) = self.entries.get_mut(&key.text) else { return };
        if posted.accepted() == 0 {
            self.remove(&key.text);
            return;
        }
        let mut kept = posted.digest(IDEMPOTENCY_OUTCOMES_MAX);
        if kept.bytes() > ANSWER_BYTES_MAX {
            kept = posted.digest(0);
        }
        let before = charge_of(entry.posted.as_deref());
        self.bytes = self.bytes - before + kept.bytes();
        entry.posted = Some(Arc::new(kept));
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((until, text)) = self.line.pop_front_if(|(until, _)| *until <= now) {
            // The name may belong to a later entry by now.
            if self.entries.get(&text).is_some_and(|entry| entry.until == until) {
                self.remove(&text);
            }
        }
    }

    fn remove(&mut self, text: &Arc<str>) {
        if let Some(gone) = self.entries.remove(text) {
            self.bytes -= ENTRY_BYTES + text.len() + charge_of(gone.posted.as_deref());
        }
        debug_assert!(!self.entries.is_empty() || self.bytes == 0, "bytes of no key");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ItemOutcome;

    fn key(text: &str, fingerprint: u64) -> IdempotencyKey {
        IdempotencyKey { text: Arc::from(text), fingerprint, hash: 7, is_known: true }
    }

    fn posted(accepted: u32) -> Posted {
        let outcome = ItemOutcome { accepted, refused: u32::from(accepted == 0), problem: None };
        Posted { outcomes: vec![outcome], ..Posted::default() }
    }

    #[test]
    fn a_key_publishes_once_within_its_time() {
        let (mut memory, start) = (Memory::default(), Instant::ZERO);
        assert_eq!(memory.claim(start, &key("a", 1)), Claim::Fresh);
        assert_eq!(memory.claim(start, &key("a", 1)), Claim::UnderWay);
        memory.settle(&key("a", 1), &posted(3));
        let Claim::Done(done) = memory.claim(start + (IDEMPOTENCY_MS - 1), &key("a", 1)) else { panic!("not done") };
        assert_eq!((done.accepted(), done.replayed), (3, true));
        assert_eq!(memory.claim(start, &key("a", 2)), Claim::Another);
        assert_eq!(memory.claim(start + IDEMPOTENCY_MS, &key("a", 2)), Claim::Fresh);
    }

    #[test]
    fn what_published_nothing_may_be_tried_again() {
        let mut memory = Memory::default();
        assert_eq!(memory.claim(Instant::ZERO, &key("a", 1)), Claim::Fresh);
        memory.settle(&key("a", 1), &posted(0));
        assert_eq!(memory.claim(Instant::ZERO + 1000, &key("a", 2)), Claim::Fresh);
        memory.settle(&key("a", 2), &posted(1));
        // The first one's time is over, the second one's is not.
        assert!(matches!(memory.claim(Instant::ZERO + IDEMPOTENCY_MS, &key("a", 2)), Claim::Done(_)));
        assert_eq!(memory.claim(Instant::ZERO + (IDEMPOTENCY_MS + 1000), &key("a", 2)), Claim::Fresh);
    }

    /// Requests under way are charged for the answers that they will have.
    #[test]
    fn answers_to_come_are_charged() {
        let (mut memory, mut taken) = (Memory::default(), 0);
        while memory.claim(Instant::ZERO, &key(&format!("key {taken}"), 1)) == Claim::Fresh {
            taken += 1;
        }
        assert!(taken <= IDEMPOTENCY_BYTES_MAX / ANSWER_BYTES_MAX, "{taken} keys under way");
        for at in 0..taken {
            memory.settle(&key(&format!("key {at}"), 1), &posted(1));
            memory.settle(&key(&format!("key {at}"), 1), &posted(1));
        }
        assert!(memory.bytes < IDEMPOTENCY_BYTES_MAX / 16, "{} bytes", memory.bytes);
        assert_eq!(memory.claim(Instant::ZERO + IDEMPOTENCY_MS, &key("last", 1)), Claim::Fresh);
        assert_eq!(memory.entries.len(), 1);
    }

    /// Memory is bounded whatever the answers, and strangers leave half of it to those with access keys.
    #[test]
    fn large_answers_are_remembered_by_their_counts() {
        let problem = crate::protocol::Problem::field("subject", "x".repeat(1000));
        let refused = ItemOutcome { accepted: 0, refused: 1, problem: Some(problem) };
        let good = ItemOutcome { accepted: 1, ..ItemOutcome::default() };
        let large = Posted { outcomes: [vec![good], vec![refused; 1023]].concat(), list: true, replayed: false };
        let (mut memory, mut taken) = (Memory::default(), 0);
        let stranger = |at: usize| IdempotencyKey { is_known: false, ..key(&format!("key {at}"), 1) };
        while memory.claim(Instant::ZERO, &stranger(taken)) == Claim::Fresh {
            memory.settle(&stranger(taken), &large);
            taken += 1;
        }
        assert!(memory.bytes <= IDEMPOTENCY_BYTES_MAX / 2 && taken > 1000, "{taken} keys, {} bytes", memory.bytes);
        let Claim::Done(done) = memory.claim(Instant::ZERO, &stranger(0)) else { panic!("not done") };
        assert_eq!((done.accepted(), done.refused()), (1, 1023));
        assert_eq!(memory.claim(Instant::ZERO, &key("known", 1)), Claim::Fresh);
    }

    #[test]
    fn it_is_bounded_and_empties() {
        let mut memory = Memory::default();
        let mut taken = 0;
        while memory.claim(Instant::ZERO, &key(&format!("key {taken}"), 1)) == Claim::Fresh {
            memory.settle(&key(&format!("key {taken}"), 1), &posted(1));
            taken += 1;
        }
        assert!(taken <= IDEMPOTENCY_KEYS_MAX && memory.bytes <= IDEMPOTENCY_BYTES_MAX, "{taken} keys");
        assert_eq!(memory.claim(Instant::ZERO, &key("one more", 1)), Claim::Full);
        assert_eq!(memory.claim(Instant::ZERO + IDEMPOTENCY_MS, &key("one more", 1)), Claim::Fresh);
        assert_eq!((memory.entries.len(), memory.line.len()), (1, 1));
    }
}
