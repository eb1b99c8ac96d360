//! Outgoing events of one session, between the broker that fans out and the flusher that writes.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use super::channel::Envelope;
use super::gather::Gather;
use super::item::{Frame, Item};
use super::subscriptions::Label;
use crate::limits::EVENTS_TOGETHER_MAX;
use crate::protocol::{Framing, Overflow};
use crate::topic::Subject;

/// A queue that once grew beyond this many slots gives them back when it runs empty; one that carried nothing but a heartbeat gives all
/// back. So a busy session allocates nothing for an event, and an idle one holds nothing.
const KEPT_SLOTS_MAX: usize = EVENTS_TOGETHER_MAX;
/// Queues up to this length are swept whole after each change in debug builds, longer ones now and then: a sweep looks at every event.
#[cfg(debug_assertions)]
const SWEPT_ITEMS_MAX: usize = 8;

/// How much an outbox may hold (rule P-30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Events.
    pub events_max: u32,
    /// Bytes: encoded lengths and [`crate::limits::EVENT_OVERHEAD_BYTES`] for each.
    pub bytes_max: u32,
}

/// What became of a pushed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is queued, and so many older ones were dropped for it.
    Queued {
        /// Dropped events.
        dropped: u64,
        /// How many queued events were looked at for it, at most. None where there was room and nobody had a wish.
        looked_at: usize,
    },
    /// It was dropped itself and nothing else changed: no dropping of others would have made room for it.
    Refused,
    /// It does not fit and the policy is `disconnect`: the outbox is as it was, the session is to be ended.
    Full,
}

/// Events accepted for one session and not yet taken by its socket, oldest first.
///
/// Bounded in events **and** bytes: a slow reader costs memory, not messages. Nothing is dropped in silence: the next event that is
/// delivered says how many are missing (rule P-30).
///
/// Invariant: `bytes` is the sum of the charges of `items`; after a push both bounds that it was given hold.
/// Invariant: `front_sent` is 0 when `items` is empty. Only the first item may be a heartbeat, and it counts against no bound.
/// Invariant: of a run (see [`Frame`]) nothing was sent or dropped, and it tells of nothing that was lost. Before that it is unfolded into its
/// events.
#[derive(Debug, Default)]
pub struct Outbox {
    items: VecDeque<Item>,
    bytes: u32,
    /// Bytes of the first item's encoding that the socket has taken already: that item can no longer be dropped or changed.
    front_sent: u32,
    /// Dropped events that no queued event tells of yet.
    lost: u32,
    /// Whether no two of the droppable events are known to share a subject: conflation then needs to look for one only.
    distinct: bool,
    /// Whether there may be runs.
    runs: bool,
    /// How many more events there are than items, for a run is one item.
    folded: u16,
}

impl Outbox {
    /// An empty outbox; it holds no memory of its own.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: VecDeque::new(), bytes: 0, front_sent: 0, lost: 0, distinct: false, runs: false, folded: 0 }
    }

    /// Reads what the next write will read, and says nothing with it: see [`crate::broker::Broker::warm_up`].
    #[must_use]
    pub fn touch(&self) -> u64 {
        self.items.front().map_or(0, |item| item.lost)
    }

    /// Reads what the next push will read and where it will write, and says nothing with it.
    #[must_use]
    pub fn touch_end(&self) -> u64 {
        self.items.back().map_or(0, |item| item.lost)
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Queued events; a heartbeat is none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len() + usize::from(self.folded) - usize::from(self.has_heartbeat())
    }

    /// Their charge in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Whether more than half of either bound is used.
    #[must_use]
    pub fn is_half_full(&self, bounds: Bounds) -> bool {
        self.len() as u64 * 2 > u64::from(bounds.events_max) || u64::from(self.bytes) * 2 > u64::from(bounds.bytes_max)
    }

    /// So many events come together: their room is made at once, as far as they find any.
    pub fn expect(&mut self, events: usize, bounds: Bounds) {
        let needed = (self.items.len() + events).min(bounds.events_max as usize);
        if needed > self.items.capacity() {
            self.items.reserve_exact(needed.next_power_of_two() - self.items.len());
        }
    }

    /// P-30: queues an event behind the others, or applies `policy` where it does not fit. Before that goes what the wish of its
    /// subscription does not want to wait beside it.
    ///
    /// An event that is larger than the bound by itself is refused under every policy: no reader is quick enough for it, so it says nothing
    /// about this one.
    pub fn push(&mut self, frame: Rc<Frame>, label: Option<Label>, bounds: Bounds, policy: Overflow) -> Pushed {
        debug_assert!(frame.subject().is_some(), "heartbeats have a way of their own");
        let charge = frame.charge();
        let (mut dropped, mut looked_at, mut distinct) = (0, 0, false);
        let mut outdated = Outdated::default();
        if let Some(label) = label.as_ref().filter(|label| label.wish().is_some()) {
            outdated = self.outdated(label, frame.subject());
            looked_at = self.items.len() + usize::from(self.folded) - self.first_droppable();
        }
        let has_room = fits(self.len() - outdated.places.len(), self.bytes - outdated.bytes, charge, bounds);
        if !has_room {
            let hopeless = !fits(0, 0, charge, bounds);
            if policy == Overflow::Disconnect && !hopeless {
                return Pushed::Full;
            }
            let (fixed_events, fixed_bytes) = self.fixed();
            if hopeless || !fits(fixed_events, fixed_bytes, charge, bounds) {
                self.remember_lost(1);
                return Pushed::Refused;
            }
        }
        for at in outdated.places {
            dropped += u64::from(self.drop_at(at));
        }
        if !has_room {
            if policy == Overflow::Conflate {
                looked_at += self.len();
                dropped += self.conflate(frame.subject());
                distinct = true;
            }
            while !fits(self.len(), self.bytes, charge, bounds) && self.drop_at(self.first_droppable()) {
                dropped += 1;
            }
        }
        self.distinct = distinct;
        let lost = u64::from(std::mem::take(&mut self.lost));
        self.bytes += charge;
        self.items.push_back(Item { frame, label, lost });
        debug_assert!(self.bytes <= bounds.bytes_max && self.len() <= bounds.events_max as usize, "out of bounds");
        self.check_invariants();
        Pushed::Queued { dropped, looked_at }
    }

    /// Whether it may be worth having a run for events of this subscription: see [`push_run`](Self::push_run).
    #[must_use]
    pub fn may_take_run(&self, label: Option<&Label>) -> bool {
        self.lost == 0 && label.is_none_or(|label| !label.wish().is_some())
    }

    /// Queues the events of a run, as [`push`](Self::push) would one after the other. Says no and changes nothing if that would be more than to
    /// put them behind the others: where they find no room, have something to tell, or somebody has a wish.
    #[must_use]
    pub fn push_run(&mut self, run: &Rc<Frame>, label: Option<&Label>, bounds: Bounds) -> bool {
        debug_assert!(run.is_run(), "one event");
        let (events, bytes) = (self.len() + run.count(), u64::from(self.bytes) + u64::from(run.charge()));
        let has_room = events <= bounds.events_max as usize && bytes <= u64::from(bounds.bytes_max);
        let folded = u16::try_from(usize::from(self.folded) + run.count() - 1);
        let goes = has_room && self.may_take_run(label);
        let Some(folded) = folded.ok().filter(|_| goes) else { return false };
        (self.runs, self.folded) = (true, folded);
        self.distinct = false;
        self.bytes += run.charge();
        self.items.push_back(Item { frame: Rc::clone(run), label: label.cloned(), lost: 0 });
        self.check_invariants();
        true
    }

    /// Puts the events of all runs in their places.
    fn unfold(&mut self) {
        if !std::mem::take(&mut self.runs) {
            return;
        }
        let mut unfolded = VecDeque::with_capacity(self.items.len() + usize::from(self.folded));
        for item in self.items.drain(..) {
            if item.frame.is_run() {
                unfolded.extend(item.unfolded());
            } else {
                unfolded.push_back(item);
            }
        }
        (self.items, self.folded) = (unfolded, 0);
        self.check_invariants();
    }

    /// Puts the events of a run in its place, if there is one at `at`. What stands in front of it, or behind it, is moved for that.
    fn unfold_at(&mut self, at: usize) {
        if !self.runs || !self.items.get(at).is_some_and(|item| item.frame.is_run()) {
            return;
        }
        self.items.rotate_left(at);
        self.unfold_front(0);
        self.items.rotate_right(at);
    }

    /// Puts the events of the first item, a run, in its place, without the first `gone`, which are no longer there.
    fn unfold_front(&mut self, gone: usize) {
        let Some(run) = self.items.pop_front_if(|front| front.frame.is_run()) else { return };
        self.folded -= run.folded();
        self.items.reserve_exact(run.frame.count() - gone);
        self.bytes -= run.unfolded().take(gone).map(|item| item.charge()).sum::<u32>();
        run.unfolded().skip(gone).rev().for_each(|item| self.items.push_front(item));
    }

    /// P-30: what the wish of this subscription does not want to wait beside one more of its events, of subject `incoming`. Mostly that is
    /// one event, for each that came before was pushed with the same wish.
    ///
    /// An event that was sent in part can not be dropped, so it does not count; if its connection breaks it waits again, and the next push of
    /// its subscription finds it. In a run there is none: that is no way to come for events of a subscription with a wish.
    fn outdated(&self, label: &Label, incoming: Option<&Subject>) -> Outdated {
        let wish = label.wish();
        let mut room = wish.queue.map_or(usize::MAX, |events| usize::from(events.get()) - 1);
        let mut found = Outdated::default();
        // The newest first, so that the oldest go, and so that the places stay what they are while they are dropped in this order.
        for (at, item) in self.items.iter().enumerate().skip(self.first_droppable()).rev() {
            if !item.label.as_ref().is_some_and(|known| known.is(label)) {
                continue;
            }
            if room == 0 || wish.conflate && item.frame.subject() == incoming {
                found.places.push(at);
                found.bytes += item.charge();
            } else {
                room -= 1;
            }
        }
        found
    }

    /// P-14: queues a sign of life, unless something is queued that is one as well.
    pub fn push_heartbeat(&mut self, frame: Rc<Frame>) {
        debug_assert!(frame.subject().is_none(), "an event is no heartbeat");
        if self.items.is_empty() {
            self.items.push_back(Item { frame, label: None, lost: 0 });
        }
    }

    /// Slots of the queue, used or not.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.items.capacity()
    }

    /// What is queued, oldest first; a run of events is one.
    #[cfg(test)]
    pub(crate) const fn items(&self) -> &VecDeque<Item> {
        &self.items
    }

    fn has_heartbeat(&self) -> bool {
        self.items.front().is_some_and(Item::is_heartbeat)
    }

    /// Where the events begin that may still be dropped.
    fn first_droppable(&self) -> usize {
        usize::from(self.front_sent > 0 || self.has_heartbeat())
    }

    /// What can not be dropped: events, and their charge.
    fn fixed(&self) -> (usize, u32) {
        match self.items.front() {
            Some(front) if self.front_sent > 0 && !front.is_heartbeat() => (1, front.charge()),
            _ => (0, 0),
        }
    }

    /// Drops the event at `at` and has the one behind it tell of it. Says whether there was one.
    fn drop_at(&mut self, at: usize) -> bool {
        self.unfold_at(at);
        let Some(item) = self.items.remove(at) else { return false };
        self.bytes -= item.charge();
        let missing = item.lost + 1;
        self.unfold_at(at);
        match self.items.get_mut(at) {
            Some(next) => next.lost += missing,
            None => self.remember_lost(missing),
        }
        true
    }

    /// Keeps the newest event of each subject, `incoming` counted as newest of its own. Says how many went.
    ///
    /// A full queue stays full while its reader is slow, so this runs for each event that comes: the whole queue is gone through only if
    /// events came without it since the last time.
    fn conflate(&mut self, incoming: Option<&Subject>) -> u64 {
        let first = self.first_droppable();
        if self.distinct {
            let older = self.items.iter().skip(first).position(|item| item.frame.subject() == incoming);
            return older.map_or(0, |at| u64::from(self.drop_at(first + at)));
        }
        self.unfold();
        let mut newest: HashSet<&str> = incoming.iter().map(|subject| subject.as_str()).collect();
        let mut keep = vec![true; self.items.len()];
        for (at, item) in self.items.iter().enumerate().skip(first).rev() {
            keep[at] = item.frame.subject().is_none_or(|subject| newest.insert(subject.as_str()));
        }
        drop(newest);
        let (mut at, mut went, mut missing) = (0, 0, 0);
        let bytes = &mut self.bytes;
        self.items.retain_mut(|item| {
            let kept = keep[at];
            at += 1;
            if kept {
                item.lost += std::mem::take(&mut missing);
            } else {
                *bytes -= item.charge();
                missing += item.lost + 1;
                went += 1;
            }
            kept
        });
        self.remember_lost(missing);
        went
    }

    /// Gathers the next write of a stream whose next `p_seq` is `seq`.
    pub fn gather(&self, framing: Framing, envelope: Envelope, seq: u64, gather: &mut Gather) {
        gather.begin(self.front_sent as usize);
        for (item, seq) in self.items.iter().zip(seq..) {
            if !gather.has_room() {
                break;
            }
            match item.frame.run_envelope() {
                None => item.gather(framing, envelope, seq, gather),
                Some(same) if same == envelope => gather.run(&item.frame, self.items.len() == 1),
                // Events of a run have no numbers. Sessions that have runs end with their answer, so it was written for this one.
                Some(_) => {
                    for event in item.unfolded() {
                        if !gather.has_room() {
                            return;
                        }
                        event.gather(framing, envelope, 0, gather);
                    }
                }
            }
        }
    }

    /// Takes out what a write has sent: `whole` events, and `partial` bytes of the next one.
    pub fn advance(&mut self, whole: usize, partial: usize) {
        let (mut idle, mut left) = (whole > 0, whole);
        while left > 0 {
            let Some(front) = self.items.front() else { break };
            let events = front.frame.count();
            if events > left {
                self.unfold_front(left);
                (idle, left) = (false, 0);
                break;
            }
            left -= events;
            if !front.is_heartbeat() {
                idle = false;
                self.folded -= front.folded();
                self.bytes -= front.charge();
            }
            self.items.pop_front();
        }
        debug_assert_eq!(left, 0, "more was sent than queued");
        if partial > 0 {
            self.unfold_at(0);
        }
        self.front_sent = u32::try_from(partial).unwrap_or(u32::MAX);
        if self.items.is_empty() {
            debug_assert_eq!(partial, 0, "bytes of no event");
            self.runs = false;
            if idle || self.items.capacity() > KEPT_SLOTS_MAX {
                self.items = VecDeque::new();
            }
        }
        self.check_invariants();
    }

    /// The rest of an event that was sent in part, removed from the queue; the answer can end orderly behind it. Its `p_seq` is used up:
    /// gives it back if there was one. A heartbeat that was not sent goes with the answer it was meant for.
    pub fn take_remainder(
        &mut self,
        framing: Framing,
        envelope: Envelope,
        seq: u64,
        out: &mut Vec<u8>,
    ) -> Option<Item> {
        let sent = std::mem::take(&mut self.front_sent) as usize;
        if sent == 0 {
            self.drop_heartbeat();
            return None;
        }
        let item = self.items.pop_front()?;
        self.bytes -= item.charge();
        let mut gather = Gather::new();
        gather.begin(sent);
        item.gather(framing, envelope, seq, &mut gather);
        gather.with_slices(|slices| slices.iter().for_each(|slice| out.extend_from_slice(slice)));
        Some(item)
    }

    /// Whether the socket has taken a part of the oldest event.
    #[must_use]
    pub const fn is_sent_in_part(&self) -> bool {
        self.front_sent > 0
    }

    /// P-31: the connection is gone: an event that was sent in part will be sent whole in the next answer, a heartbeat will not.
    pub fn rewind(&mut self) {
        if std::mem::take(&mut self.front_sent) > 0 {
            // It took no part in conflation.
            self.distinct = false;
        }
        self.drop_heartbeat();
    }

    /// So many events before the next one did not reach the client.
    pub fn miss(&mut self, events: u64) {
        let next = self.first_droppable();
        self.unfold_at(next);
        match self.items.get_mut(next) {
            Some(next) => next.lost += events,
            None => self.remember_lost(events),
        }
    }

    /// Takes everything out, oldest first.
    pub fn take_all(&mut self) -> VecDeque<Item> {
        debug_assert!(self.front_sent == 0 && !self.has_heartbeat(), "the answer before has not been ended");
        self.unfold();
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }

    /// So many events are missing that no queued event tells of. Four billion of them are told as four billion.
    fn remember_lost(&mut self, events: u64) {
        self.lost = self.lost.saturating_add(u32::try_from(events).unwrap_or(u32::MAX));
    }

    fn drop_heartbeat(&mut self) {
        if self.has_heartbeat() {
            self.items.pop_front();
        }
    }

    #[cfg(debug_assertions)]
    fn check_invariants(&self) {
        debug_assert!(self.front_sent == 0 || !self.items.is_empty(), "bytes sent of nothing");
        if self.items.len() <= SWEPT_ITEMS_MAX || self.items.len().is_power_of_two() {
            debug_assert_eq!(self.bytes, self.items.iter().map(Item::charge).sum::<u32>(), "charges");
            debug_assert!(!self.items.iter().skip(1).any(Item::is_heartbeat), "a heartbeat behind something");
            let events: usize =
                self.items.iter().filter(|item| !item.is_heartbeat()).map(|item| item.frame.count()).sum();
            debug_assert_eq!(self.len(), events, "events");
            debug_assert!(self.front_sent == 0 || !self.items[0].frame.is_run(), "a run that was sent in part");
            let runs = || self.items.iter().filter(|item| item.frame.is_run());
            debug_assert!(self.runs || runs().count() == 0, "runs that nobody knows of");
            debug_assert!(runs().all(|run| run.lost == 0), "a run that tells of losses");
        }
    }

    #[cfg(not(debug_assertions))]
    const fn check_invariants(&self) {}
}

/// Queued events that their subscription's wish lets go.
#[derive(Debug, Default)]
struct Outdated {
    /// Where they stand, the newest first.
    places: Vec<usize>,
    /// Their charge.
    bytes: u32,
}

fn fits(events: usize, bytes: u32, charge: u32, bounds: Bounds) -> bool {
    events < bounds.events_max as usize && u64::from(bytes) + u64::from(charge) <= u64::from(bounds.bytes_max)
}
