//! A publisher: when it may publish, and what became of it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::door::{Item, Post, Publish};
use super::marker::Marker;
use super::options::Completion;
use super::shared::{Count, LaneSet, Phase, Shared};
use super::times::Times;

/// When there is nobody to send to, it is looked again after so long, in nanoseconds.
const NOBODY_NS: u64 = 100_000_000;

/// A publish without an answer.
#[derive(Clone, Copy, Debug)]
struct Pending {
    lane: u32,
    sequence: u32,
    intended_ns: u64,
    deliveries: u64,
}

/// A publish of the closed loop that has not arrived everywhere.
#[derive(Clone, Copy, Debug)]
struct Delivering {
    /// It has when so many deliveries of all are settled.
    settled: u64,
    since_ns: u64,
}

/// What has to be done behind the bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// It could not be opened.
    Refused(Option<u64>),
    /// Its session is gone.
    Expired,
    /// The server ends the connection behind an answer, and nothing is under way: it goes on over a new one.
    Renew,
    /// Nothing that comes can be trusted.
    Broken,
}

/// When a publisher wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// When something comes.
    Event,
    /// At this time, in nanoseconds.
    At(u64),
    /// When so many deliveries are settled.
    Settled(u64),
}

/// One publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    /// Its number.
    pub(super) number: u32,
    /// How often it was tried to open it before.
    pub(super) attempts: u32,
    /// It has a session.
    pub(super) joined: bool,
    /// It has one, and the thread has not been told.
    pub(super) unannounced: bool,
    id: String,
    lanes: LaneSet,
    cursor: u32,
    /// Events of its schedule that were sent.
    turns: u64,
    pending: VecDeque<Pending>,
    delivering: VecDeque<Delivering>,
    share: usize,
    status: u16,
    retry_after_s: Option<u64>,
    /// The connection ends with the answer.
    close: bool,
    accepted: Option<bool>,
    next: Next,
}

/// What a publisher goes on with after its connection broke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Progress {
    cursor: u32,
    turns: u64,
}

impl Publisher {
    /// One that is about to connect.
    pub(super) fn new(number: u32, attempts: u32, progress: Progress, shared: &Shared) -> Self {
        let (all, publishers) = (shared.args.in_flight, shared.plan.publishers.max(1));
        Self {
            number,
            attempts,
            joined: false,
            unannounced: false,
            id: String::new(),
            lanes: shared.plan.lanes_by(number),
            cursor: progress.cursor,
            turns: progress.turns,
            pending: VecDeque::new(),
            delivering: VecDeque::new(),
            share: (all / publishers + u32::from(number < all % publishers)) as usize,
            status: 0,
            retry_after_s: None,
            close: false,
            accepted: None,
            next: Next::Nothing,
        }
    }

    /// What the next connection goes on with.
    pub(super) const fn progress(&self) -> Progress {
        Progress { cursor: self.cursor, turns: self.turns }
    }

    /// Its session, which is then to be ended by somebody else.
    pub(super) fn take_id(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.id)).filter(|id| !id.is_empty())
    }

    /// Whether every publish was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes one thing in.
    pub(super) fn take(&mut self, item: Item<'_>, shared: &Shared, thread: usize, now: u64, times: &mut Times) {
        match item {
            Item::Answer { status, retry_after_s, close } => {
                (self.status, self.retry_after_s, self.close) = (status, retry_after_s, close);
            }
            Item::Ready { id, .. } if !self.joined => {
                id.clone_into(&mut self.id);
                (self.joined, self.unannounced) = (true, true);
                self.attempts = 0;
                self.accepted = None;
                shared.live.fetch_add(1, Ordering::AcqRel);
                shared.counts[thread].add(Count::Joined, 1);
            }
            Item::Accepted => self.accepted = Some(true),
            Item::Refused => self.accepted = Some(false),
            Item::Done if !self.joined => {
                shared.answer_failed(self.status);
                if self.status == 503 {
                    shared.counts[thread].add(Count::TurnedAway, 1);
                }
                self.next = Next::Refused(self.retry_after_s);
            }
            Item::Done => {
                self.answered(shared, thread, now, times);
                if self.close && self.pending.is_empty() && self.next == Next::Nothing {
                    self.next = Next::Renew;
                }
            }
            Item::Broken(why) => {
                shared.counts[thread].add(Count::Garbled, 1);
                if !self.joined {
                    shared.opening_strange(&format!("the answer of the server was not understood: {why}"), true);
                }
                self.next = Next::Broken;
            }
            _ => {}
        }
    }

    fn answered(&mut self, shared: &Shared, thread: usize, now: u64, times: &mut Times) {
        let counts = &shared.counts[thread];
        // The answer to the join is over when nothing is pending.
        let Some(pending) = self.pending.pop_front() else { return };
        let lane = &shared.lanes[pending.lane as usize];
        if self.accepted.take() == Some(true) {
            lane.accept(pending.sequence);
            counts.add(Count::Accepted, 1);
            if pending.intended_ns >= shared.measure_ns.load(Ordering::Relaxed) {
                times.record(now.saturating_sub(pending.intended_ns));
            }
        } else {
            if lane.refuse(pending.sequence) {
                counts.add(Count::RefusedButDelivered, 1);
            }
            counts.add(Count::Refused, 1);
            shared.settle(pending.deliveries, thread);
            // Where publishing needs no session, none can have expired.
            if self.status == 400 && !self.id.is_empty() {
                self.next = Next::Expired;
            }
        }
    }

    /// What has to be done now.
    pub(super) fn next(&mut self) -> Next {
        std::mem::replace(&mut self.next, Next::Nothing)
    }

    /// The connection is gone: nobody knows what became of what was under way.
    pub(super) fn give_up(&mut self, shared: &Shared, thread: usize) {
        if self.joined {
            shared.live.fetch_sub(1, Ordering::AcqRel);
        }
        for pending in self.pending.drain(..) {
            shared.lanes[pending.lane as usize].give_up(pending.sequence);
            shared.counts[thread].add(Count::Unanswered, 1);
            shared.settle(pending.deliveries, thread);
        }
    }

    /// Publishes what may be published now.
    pub(super) fn publish(
        &mut self,
        door: &dyn Post,
        out: &mut Vec<u8>,
        shared: &Shared,
        thread: usize,
        now: u64,
        late: &mut Times,
    ) -> When {
        loop {
            if !self.joined || self.pending.len() >= shared.args.pipeline as usize || shared.phase() != Phase::Run {
                return When::Event;
            }
            let intended = match self.due(shared, thread, now) {
                Ok(intended) => intended,
                Err(when) => return when,
            };
            let Some(lane) = self.lane(shared) else { return When::At(now + NOBODY_NS) };
            if !shared.claim() {
                return When::Event;
            }
            let Some(sequence) = shared.lanes[lane as usize].begin() else { return When::Event };
            self.turns += 1;
            self.send(door, out, shared, thread, Marker { lane, sequence, intended_ns: intended }, now);
            if intended >= shared.measure_ns.load(Ordering::Relaxed) {
                late.record(shared.now().saturating_sub(intended));
            }
        }
    }

    fn send(&mut self, door: &dyn Post, out: &mut Vec<u8>, shared: &Shared, thread: usize, marker: Marker, now: u64) {
        let plan = &shared.plan;
        let (subject, to, deliveries) = match marker.lane.checked_sub(plan.fan_lanes) {
            None => {
                let subject = marker.lane % plan.subjects;
                let ready = shared.ready[subject as usize].load(Ordering::Acquire);
                (shared.subject(subject), None, u64::from(ready))
            }
            Some(target) => (shared.subject(0), shared.targets[target as usize].address.get().map(String::as_str), 1),
        };
        let settled = shared.expect(deliveries);
        door.publish(&Publish { id: &self.id, subject: &subject, to, marker }, out);
        self.pending.push_back(Pending {
            lane: marker.lane,
            sequence: marker.sequence,
            intended_ns: marker.intended_ns,
            deliveries,
        });
        if shared.args.rate == 0.0 && shared.args.completion == Completion::Delivered {
            self.delivering.push_back(Delivering { settled, since_ns: now });
        }
        shared.counts[thread].add(Count::Sent, 1);
    }

    /// When the next event should be published, in nanoseconds, if that is not later than now.
    fn due(&mut self, shared: &Shared, thread: usize, now: u64) -> Result<u64, When> {
        if shared.args.rate > 0.0 {
            let intended = self.scheduled(shared);
            return if intended <= now { Ok(intended) } else { Err(When::At(intended)) };
        }
        while let Some(first) = self.delivering.front() {
            let settled = shared.settled();
            if settled < first.settled {
                let patience = u64::try_from(shared.args.drain.as_nanos()).unwrap_or(u64::MAX);
                if now < first.since_ns.saturating_add(patience) {
                    break;
                }
                // Something is lost; the accounts will tell. The loop goes on.
                shared.settle(first.settled - settled, thread);
            }
            self.delivering.pop_front();
        }
        let under_way = self.delivering.len().max(self.pending.len());
        match self.delivering.front() {
            // The clock may have been read before the run began, and nothing is due before: it would be taken for warming up.
            _ if under_way < self.share => Ok(now.max(shared.run_ns.load(Ordering::Acquire))),
            Some(first) => Err(When::Settled(first.settled)),
            None => Err(When::Event),
        }
    }

    /// When the next event of the schedule is due, in nanoseconds since the beginning.
    fn scheduled(&self, shared: &Shared) -> u64 {
        let publishers = f64::from(shared.plan.publishers);
        let turn = self.turns as f64 * publishers + f64::from(self.number);
        shared.run_ns.load(Ordering::Acquire).saturating_add((turn * 1e9 / shared.args.rate) as u64)
    }

    /// The lane whose turn it is. Targets that are not there, or not any more, are passed over.
    fn lane(&mut self, shared: &Shared) -> Option<u32> {
        for _ in 0..self.lanes.count {
            let lane = self.lanes.lane(self.cursor % self.lanes.count);
            self.cursor = (self.cursor + 1) % self.lanes.count;
            let target = lane.checked_sub(shared.plan.fan_lanes).map(|target| &shared.targets[target as usize]);
            if target.is_none_or(|target| target.address.get().is_some() && !target.gone.load(Ordering::Acquire)) {
                return Some(lane);
            }
        }
        None
    }
}
