//! The bucket wheel: one core's deadlines, between the owners who set them and the tick that asks which have passed.
//!
//! It is *lazy*: nothing is ever cancelled or moved. Who changes a deadline remembers the new one, and when the wheel hands back a key
//! its owner compares with the deadline it has now: not yet due means schedule once more, none means ignore. So a deadline that is put
//! off with every request costs the wheel nothing, and an owner needs one entry in it at a time.
//!
//! A deadline lies in the bucket of its tick. One that is further away than a turn of the wheel lies there too: it is looked at once per
//! turn (51.2 s) and stays. Looking costs a comparison in memory that is read anyway, and the far deadlines are spread over the buckets,
//! so there is no moment at which all of them are moved at once.

use super::Instant;
use crate::limits::TICK_MS;

#[cfg(test)]
mod tests;

/// Buckets of the wheel: one turn is 512 ticks, 51.2 s.
const BUCKETS: usize = 512;
/// Bits of one word of the map of occupied buckets.
const WORD_BITS: usize = u64::BITS as usize;
/// Slots that an emptied bucket may keep. A bucket holds at most twice the memory it needs or needed at least, so that after a burst the
/// whole wheel falls back to 512 * 32 slots at most.
const KEEP_SLOTS: usize = 16;

const _: () = assert!(BUCKETS.is_power_of_two() && BUCKETS.is_multiple_of(WORD_BITS));

/// One deadline, rounded up to a tick.
#[derive(Clone, Copy, Debug)]
struct Filed<K> {
    /// Ticks since the start; thirteen years at most.
    tick: u32,
    key: K,
}

/// The deadlines of one core. An empty wheel takes 12 KiB; a deadline 12 bytes with a key of eight.
///
/// Invariant: a filed tick is later than `done`, and lies in bucket `tick % BUCKETS`.
/// Invariant: a bit of `occupied` is set if and only if its bucket holds something.
/// Invariant: `len` counts what lies in the buckets and in `overdue`.
#[derive(Debug)]
pub struct Wheel<K> {
    buckets: Vec<Vec<Filed<K>>>,
    occupied: [u64; BUCKETS / WORD_BITS],
    /// Keys whose deadline had passed when they were scheduled.
    overdue: Vec<K>,
    start: Instant,
    /// The latest instant that `expire` was given.
    now: Instant,
    /// Ticks since `start` whose deadlines have all been handed out.
    done: u64,
    len: usize,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel whose ticks are counted from `start`.
    #[must_use]
    pub fn new(start: Instant) -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
            occupied: [0; BUCKETS / WORD_BITS],
            overdue: Vec::new(),
            start,
            now: start,
            done: 0,
            len: 0,
        }
    }

    /// Files `key` to be handed out when `at` has come, rounded **up** to the next tick: never early (but thirteen years after
    /// the start), at most [`TICK_MS`] late.
    /// A deadline that has already passed is handed out by the next [`Wheel::expire`]. [`Instant::NEVER`] is not filed.
    pub fn schedule(&mut self, at: Instant, key: K) {
        if at == Instant::NEVER {
            return;
        }
        // Thirteen years after the start the counting ends: later deadlines are handed out at once.
        let tick = u32::try_from(at.ms_since(self.start).div_ceil(TICK_MS)).unwrap_or(u32::MAX);
        if at <= self.now || u64::from(tick) <= self.done {
            self.overdue.push(key);
        } else {
            let bucket = bucket_of(u64::from(tick));
            self.buckets[bucket].push(Filed { tick, key });
            self.occupied[bucket / WORD_BITS] |= 1 << (bucket % WORD_BITS);
        }
        self.len += 1;
        self.sweep();
    }

    /// Appends to `fired` every key whose deadline is `now` or earlier, in the order of their ticks (after a pause of more than one turn:
    /// in no particular order), and forgets them.
    ///
    /// However long the pause or the jump of the clock, each bucket is looked at once at most. A clock that steps back fires what is
    /// overdue and nothing else.
    pub fn expire(&mut self, now: Instant, fired: &mut Vec<K>) {
        let fired_before = fired.len();
        fired.extend_from_slice(&self.overdue);
        self.overdue.clear();
        give_back(&mut self.overdue);

        self.now = self.now.max(now);
        let target = self.now.ms_since(self.start) / TICK_MS;
        let steps = target.saturating_sub(self.done).min(BUCKETS as u64);
        for tick in self.done + 1..=self.done + steps {
            self.expire_bucket(bucket_of(tick), target, fired);
        }
        self.done = target;
        self.len -= fired.len() - fired_before;
        self.sweep();
    }

    fn expire_bucket(&mut self, bucket: usize, target: u64, fired: &mut Vec<K>) {
        let bit = 1 << (bucket % WORD_BITS);
        if self.occupied[bucket / WORD_BITS] & bit == 0 {
            return;
        }
        let filed = &mut self.buckets[bucket];
        filed.retain(|entry| {
            let is_due = u64::from(entry.tick) <= target;
            if is_due {
                fired.push(entry.key);
            }
            !is_due
        });
        give_back(filed);
        if filed.is_empty() {
            self.occupied[bucket / WORD_BITS] &= !bit;
        }
    }

    /// Forgets the keys that `keep` does not want: those of owners that are gone, before their deadlines come. It looks at every key, so
    /// call it when most of them are stale.
    pub fn retain(&mut self, mut keep: impl FnMut(K) -> bool) {
        self.overdue.retain(|key| keep(*key));
        give_back(&mut self.overdue);
        self.len = self.overdue.len();
        for (bucket, filed) in self.buckets.iter_mut().enumerate() {
            filed.retain(|entry| keep(entry.key));
            give_back(filed);
            self.len += filed.len();
            if filed.is_empty() {
                self.occupied[bucket / WORD_BITS] &= !(1 << (bucket % WORD_BITS));
            }
        }
        self.sweep();
    }

    /// The earliest instant at which [`Wheel::expire`] may find something, or `None` if the wheel is empty.
    ///
    /// This is a **lower bound**: a deadline further away than one turn counts as if it were in the coming turn. Who sleeps until then
    /// wakes once per turn for nothing at most.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if !self.overdue.is_empty() {
            return Some(self.now);
        }
        let first = bucket_of(self.done + 1);
        let words = self.occupied.len();
        for step in 0..=words {
            let index = (first / WORD_BITS + step) % words;
            let mut word = self.occupied[index];
            // The word that `first` lies in is seen twice: at the beginning from `first` on, at the end below it.
            if step == 0 {
                word &= u64::MAX << (first % WORD_BITS);
            }
            if word != 0 {
                let bucket = index * WORD_BITS + word.trailing_zeros() as usize;
                let distance = (bucket + BUCKETS - first) % BUCKETS;
                let tick = self.done + 1 + distance as u64;
                return Some(self.start + tick.saturating_mul(TICK_MS));
            }
        }
        None
    }

    /// How many keys are filed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sweeps the invariants after a mutation, in the tests of this room only: a sweep reads all buckets.
    fn sweep(&self) {
        // A wheel of many keys is not gone through at each of them: tests of the rooms above have hundreds of thousands.
        #[cfg(test)]
        if self.len < SWEPT_KEYS_MAX || self.len.is_power_of_two() {
            self.check_invariants();
        }
    }
}

/// Up to so many keys the invariants are checked at every step of a test.
#[cfg(test)]
const SWEPT_KEYS_MAX: usize = 1024;

/// The bucket that `tick` is filed in.
fn bucket_of(tick: u64) -> usize {
    // The remainder is smaller than BUCKETS, so nothing is cut off.
    (tick % BUCKETS as u64) as usize
}

/// Gives back what a burst has left behind in `list`.
fn give_back<E>(list: &mut Vec<E>) {
    let wanted = list.len().max(KEEP_SLOTS);
    if list.capacity() > 2 * wanted {
        // Into a new place: shrinking would pin the large one, with a hole behind the few keys that no bucket fits into again.
        let mut kept = Vec::with_capacity(if list.is_empty() { 0 } else { wanted });
        kept.append(list);
        *list = kept;
    }
}
