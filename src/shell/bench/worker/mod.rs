//! One thread of the load generator: its own epoll descriptor, its own connections, its own descriptor table.

mod ending;
mod opening;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slab::Slab;

use crate::shell::bench::connection::Connection;
use crate::shell::bench::door::{Doors, Item};
use crate::shell::bench::publisher::{self, Progress, Publisher, When};
use crate::shell::bench::shared::{Count, Group, Phase, Shared};
use crate::shell::bench::subscriber::{self, Context, Stage, Subscriber};
use crate::shell::bench::times::Times;
use crate::shell::net::Transfer;

/// Readiness events taken at once.
const EVENTS_AT_ONCE: usize = 256;
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// The token of what wakes the thread.
const WAKE: u64 = u64::MAX;
/// Longest sleep, in nanoseconds.
const SLEEP_NS: u64 = 1_000_000_000;
/// How often it is looked whether everything has come, in nanoseconds.
const LOOK_NS: u64 = 20_000_000;

/// Somebody to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Subscriber { number: u32, attempts: u32 },
    Publisher { number: u32, attempts: u32, progress: Progress },
}

/// What a time was set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// Open it.
    Open(Member),
    /// The next cycle of pull or poll.
    Again(u32, u32),
    /// Look whether a session of the churn may go.
    Go(u32, u32),
}

#[derive(Debug)]
enum Role {
    Subscriber(Box<Subscriber>),
    Publisher(Box<Publisher>),
    /// Ends sessions. So many requests have no answer.
    Leaver(usize),
}

#[derive(Debug)]
struct Slot {
    /// Tells this user of the slot from the ones before: readiness of a closed socket may still be in hand.
    generation: u32,
    /// `None` between two cycles of which the first one closed the connection.
    connection: Option<Connection>,
    role: Role,
}

/// What a thread has measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// From when an event should have been published to each of its arrivals.
    pub(super) deliveries: Times,
    /// From the same moment to the answer.
    pub(super) answers: Times,
    /// From the same moment to when the event was sent.
    pub(super) sends: Times,
}

impl Measured {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { deliveries: Times::new(), answers: Times::new(), sends: Times::new() }
    }

    /// What another thread has measured, too.
    pub(super) fn add(&mut self, other: &Self) {
        self.deliveries.add(&other.deliveries);
        self.answers.add(&other.answers);
        self.sends.add(&other.sends);
    }
}

/// One thread's work.
#[derive(Debug)]
pub(super) struct Worker {
    thread: usize,
    shared: Arc<Shared>,
    doors: Arc<Doors>,
    epoll: OwnedFd,
    slots: Slab<Slot>,
    generation: u32,
    to_open: VecDeque<Member>,
    opening: usize,
    /// Those that open: until when they must have been answered, slot and generation. Who is open or gone is passed over.
    unanswered: VecDeque<(u64, u32, u32)>,
    next_open_ns: u64,
    alarms: BinaryHeap<Reverse<(u64, Alarm)>>,
    publishers: Vec<u32>,
    leaver: Option<u32>,
    leaving: VecDeque<String>,
    measured: Measured,
    buffer: Vec<u8>,
    delivered: u64,
    connected: u32,
    /// Sessions of the churn that went.
    went: u32,
    looked_ns: u64,
    drain_ns: Option<u64>,
}

const fn token(key: u32, generation: u32) -> u64 {
    (generation as u64) << 32 | key as u64
}

impl Worker {
    /// A thread that has nothing open yet.
    ///
    /// # Errors
    ///
    /// No descriptors are left.
    pub(super) fn new(thread: usize, shared: Arc<Shared>, doors: Arc<Doors>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, shared.waker(thread).as_fd(), EventData::new_u64(WAKE), EventFlags::IN | EventFlags::ET)?;
        let threads = shared.args.threads;
        let mine = |count: u32| (0..count).filter(move |number| *number as usize % threads as usize == thread);
        let publishers = mine(shared.plan.publishers).map(|number| Member::Publisher {
            number,
            attempts: 0,
            progress: Progress::default(),
        });
        let subscribers = mine(shared.plan.sessions()).map(|number| Member::Subscriber { number, attempts: 0 });
        Ok(Self {
            thread,
            to_open: publishers.chain(subscribers).collect(),
            shared: Arc::clone(&shared),
            doors,
            epoll,
            slots: Slab::new(),
            generation: 0,
            opening: 0,
            unanswered: VecDeque::new(),
            next_open_ns: 0,
            alarms: BinaryHeap::new(),
            publishers: Vec::new(),
            leaver: None,
            leaving: VecDeque::new(),
            measured: Measured::new(),
            buffer: vec![0; READ_BYTES],
            delivered: 0,
            connected: 0,
            went: 0,
            looked_ns: 0,
            drain_ns: None,
        })
    }

    fn count(&self, count: Count, more: u64) {
        self.shared.counts[self.thread].add(count, more);
    }

    /// Works until the run is over.
    ///
    /// # Errors
    ///
    /// What the kernel says of the epoll descriptor itself.
    pub(super) fn run(mut self) -> io::Result<Measured> {
        let mut ready = Vec::with_capacity(EVENTS_AT_ONCE);
        loop {
            let phase = self.shared.phase();
            if phase == Phase::Close {
                break;
            }
            let until = self.act(phase);
            self.wait(&mut ready, until)?;
            for event in ready.drain(..) {
                self.readiness(event.data.u64(), event.flags);
            }
            self.settle();
        }
        self.close(&mut ready)?;
        Ok(self.measured)
    }

    /// Does what is due. Says when something will be, in nanoseconds.
    fn act(&mut self, phase: Phase) -> u64 {
        let now = self.shared.now();
        let mut until = now + SLEEP_NS;
        while let Some(Reverse((due, alarm))) = self.alarms.peek().copied() {
            if due > now {
                until = until.min(due);
                break;
            }
            self.alarms.pop();
            self.alarm(alarm, now);
        }
        until = until.min(self.expire_some(now)).min(self.open_some(now)).min(self.publish(now));
        if phase == Phase::Drain {
            until = until.min(now + LOOK_NS);
            self.look(now);
        }
        until
    }

    fn wait(&self, ready: &mut Vec<epoll::Event>, until: u64) -> io::Result<()> {
        let time = until.saturating_sub(self.shared.now());
        let mut timeout = Timespec { tv_sec: (time / 1_000_000_000) as i64, tv_nsec: (time % 1_000_000_000) as i64 };
        if self.shared.args.rate > 0.0 && time > 0 && !self.publishers.is_empty() {
            // epoll counts in milliseconds, which is late for a schedule; poll counts in nanoseconds. An interrupted wait is a short one.
            let _ = poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout));
            timeout = Timespec { tv_sec: 0, tv_nsec: 0 };
        }
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(ready), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the others what has arrived.
    fn settle(&mut self) {
        if self.delivered > 0 {
            self.count(Count::Delivered, self.delivered);
            self.shared.last_ns.fetch_max(self.shared.now(), Ordering::AcqRel);
            self.shared.settle(std::mem::take(&mut self.delivered), self.thread);
        }
    }

    /// Whether everyone has everything, from time to time.
    fn look(&mut self, now: u64) {
        let drain_ns = *self.drain_ns.get_or_insert(now);
        if now.saturating_sub(self.looked_ns) < LOOK_NS {
            return;
        }
        self.looked_ns = now;
        let shared = &self.shared;
        let drained = self.slots.iter().all(|(_, slot)| match &slot.role {
            Role::Subscriber(subscriber) => subscriber.is_served(shared),
            Role::Publisher(publisher) => publisher.is_answered(),
            Role::Leaver(_) => true,
        });
        let patience = u64::try_from(shared.args.drain.as_nanos()).unwrap_or(u64::MAX);
        let quiet_since = shared.last_ns.load(Ordering::Acquire).max(drain_ns);
        if drained || now.saturating_sub(quiet_since) > patience {
            shared.drained[self.thread].store(true, Ordering::Release);
            shared.wake(shared.counts.len());
        }
    }

    // Times that were set.

    fn alarm(&mut self, alarm: Alarm, now: u64) {
        match alarm {
            Alarm::Open(member) => self.to_open.push_back(member),
            Alarm::Again(key, generation) => self.again(key, generation),
            Alarm::Go(key, generation) => {
                let current = self.slots.get(key as usize).is_some_and(|slot| slot.generation == generation);
                if current {
                    self.go(key, now);
                }
            }
        }
    }

    fn set(&mut self, due: u64, key: u32, alarm: fn(u32, u32) -> Alarm) {
        if let Some(slot) = self.slots.get(key as usize) {
            self.alarms.push(Reverse((due, alarm(key, slot.generation))));
        }
    }

    /// The next cycle of a pull or poll subscriber: on its connection, or on a new one.
    fn again(&mut self, key: u32, generation: u32) {
        let slot = self.slots.get_mut(key as usize).filter(|slot| slot.generation == generation);
        let Some(Slot { connection, role: Role::Subscriber(subscriber), .. }) = slot else { return };
        let mut request = Vec::new();
        subscriber.asked = true;
        self.doors.listen.again(&subscriber.target, &mut request);
        let kept = match connection {
            Some(connection) if !subscriber.close => {
                connection.out().extend_from_slice(&request);
                connection.flush()
            }
            _ => false,
        };
        self.count(Count::Cycles, 1);
        if !kept && !self.connect(key, request) {
            self.finish(key, Count::Broken, false);
        }
    }

    // What comes.

    fn readiness(&mut self, token: u64, flags: EventFlags) {
        if token == WAKE {
            let mut count = [0; 8];
            // It is edge-triggered: what is read does not matter.
            let _ = rustix::io::read(self.shared.waker(self.thread), &mut count);
            return;
        }
        let (key, generation) = (token as u32, (token >> 32) as u32);
        let Some(slot) = self.slots.get_mut(key as usize).filter(|slot| slot.generation == generation) else { return };
        let Some(connection) = &mut slot.connection else { return };
        if let Err(error) = connection.connect() {
            self.shared.connect_failed(&error);
            return self.ended(key, false);
        }
        self.shared.connected();
        if flags.contains(EventFlags::OUT) {
            // If nothing can be written there may still be something to read, and then the end.
            connection.flush();
            connection.trim();
        }
        let ends = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if ends || flags.contains(EventFlags::IN) {
            self.read(key, generation, ends);
        }
    }

    fn read(&mut self, key: u32, generation: u32, to_the_end: bool) {
        loop {
            let Some(slot) = self.slots.get_mut(key as usize).filter(|slot| slot.generation == generation) else {
                return;
            };
            let Some(connection) = &mut slot.connection else { return };
            match connection.read(&mut self.buffer) {
                Transfer::Blocked => return,
                Transfer::Closed => {
                    return self.ended(key, true);
                }
                Transfer::Bytes(length) => {
                    self.take(key, length);
                    // A short read has emptied the socket; what comes now is a new edge.
                    if length < READ_BYTES && !to_the_end {
                        return;
                    }
                }
            }
        }
    }

    /// Takes in the first bytes of the buffer.
    fn take(&mut self, key: u32, length: usize) {
        let now = self.shared.now();
        let Slot { connection, role, .. } = &mut self.slots[key as usize];
        let Some(connection) = connection else { return };
        let bytes = &self.buffer[..length];
        match role {
            Role::Subscriber(subscriber) => {
                self.shared.counts[self.thread].add(Count::Received, length as u64);
                let mut context = Context {
                    shared: &self.shared,
                    thread: self.thread,
                    times: &mut self.measured.deliveries,
                    now,
                    streams: self.doors.listen.streams(),
                    delivered: &mut self.delivered,
                };
                connection.take(bytes, &mut |item| subscriber.take(item, &mut context));
                let next = subscriber.next(&context);
                self.subscriber_next(key, next, now);
            }
            Role::Publisher(publisher) => {
                let (shared, times) = (&self.shared, &mut self.measured.answers);
                connection.take(bytes, &mut |item| publisher.take(item, shared, self.thread, now, times));
                let (joined, next) = (publisher.joined, publisher.next());
                self.publisher_next(key, joined, next, now);
            }
            Role::Leaver(pending) => {
                connection.take(bytes, &mut |item| {
                    if item == Item::Done {
                        *pending = pending.saturating_sub(1);
                    }
                });
                self.send_leaves();
            }
        }
    }

    fn subscriber_next(&mut self, key: u32, next: subscriber::Next, now: u64) {
        use subscriber::Next;
        if next == Next::Nothing {
            return;
        }
        let Role::Subscriber(subscriber) = &mut self.slots[key as usize].role else { return };
        match next {
            Next::Nothing => {}
            Next::Ready => {
                self.opening -= 1;
                self.stays(key, now);
            }
            Next::Refused(retry_after_s) => {
                let member = Member::Subscriber { number: subscriber.number, attempts: subscriber.attempts };
                self.slots.remove(key as usize);
                self.retry(member, retry_after_s, now);
            }
            Next::Again(wait_ms) => {
                // The first answer of a pull or poll session makes it ready and is over at once.
                if std::mem::take(&mut subscriber.unannounced) {
                    self.opening -= 1;
                    self.stays(key, now);
                }
                self.set(now + wait_ms.saturating_mul(1_000_000), key, Alarm::Again);
            }
            Next::Satisfied => self.go(key, now),
            Next::Left => self.finish(key, Count::Churned, false),
            Next::Aborted => self.finish(key, Count::Aborted, true),
            Next::Broken => self.finish(key, Count::Broken, false),
        }
    }

    /// A subscriber is ready; one of the churn does not stay for ever.
    fn stays(&mut self, key: u32, now: u64) {
        let Role::Subscriber(subscriber) = &self.slots[key as usize].role else { return };
        if self.shared.plan.group(subscriber.number) == Group::Churn {
            let dwell = u64::try_from(self.shared.args.churn_dwell.as_nanos()).unwrap_or(u64::MAX);
            self.set(now.saturating_add(dwell), key, Alarm::Go);
        }
    }

    fn publisher_next(&mut self, key: u32, was_joined: bool, next: publisher::Next, now: u64) {
        use publisher::Next;
        let Role::Publisher(publisher) = &mut self.slots[key as usize].role else { return };
        if was_joined && std::mem::take(&mut publisher.unannounced) {
            self.opening -= 1;
        }
        match next {
            Next::Nothing => {}
            Next::Refused(retry_after_s) => self.reopen(key, retry_after_s, now),
            Next::Expired | Next::Broken => self.reopen(key, None, now),
            Next::Renew if self.renew(key) => {}
            Next::Renew => self.reopen(key, None, now),
        }
    }

    /// A publisher's connection is of no use any more: it begins anew.
    fn reopen(&mut self, key: u32, retry_after_s: Option<u64>, now: u64) {
        let Role::Publisher(mut publisher) = self.slots.remove(key as usize).role else { return };
        publisher.give_up(&self.shared, self.thread);
        self.publishers.retain(|known| *known != key);
        if publisher.joined {
            self.opening += 1;
        }
        let progress = publisher.progress();
        self.retry(
            Member::Publisher { number: publisher.number, attempts: publisher.attempts, progress },
            retry_after_s,
            now,
        );
    }

    /// The connection has ended, or could not be made.
    fn ended(&mut self, key: u32, was_connected: bool) {
        let now = self.shared.now();
        let slot = &mut self.slots[key as usize];
        let Some(mut connection) = slot.connection.take() else { return };
        match &mut slot.role {
            Role::Subscriber(subscriber) => {
                let mut context = Context {
                    shared: &self.shared,
                    thread: self.thread,
                    times: &mut self.measured.deliveries,
                    now,
                    streams: self.doors.listen.streams(),
                    delivered: &mut self.delivered,
                };
                let orderly = connection.decoder.finish(&mut |item| subscriber.take(item, &mut context));
                let next = match (subscriber.next(&context), subscriber.stage) {
                    (subscriber::Next::Nothing | subscriber::Next::Satisfied | subscriber::Next::Ready, stage) => {
                        match stage {
                            Stage::Opening => {
                                self.shared.opening_cut(was_connected, false);
                                subscriber::Next::Refused(None)
                            }
                            Stage::Leaving => subscriber::Next::Left,
                            // Between two answers a server may close; the next cycle connects again.
                            _ if orderly && was_connected && !subscriber.asked => subscriber::Next::Nothing,
                            _ => subscriber::Next::Broken,
                        }
                    }
                    (next, _) => next,
                };
                self.subscriber_next(key, next, now);
            }
            Role::Publisher(publisher) => {
                if publisher.joined {
                    self.count(Count::Broken, 1);
                } else {
                    self.shared.opening_cut(was_connected, true);
                }
                self.reopen(key, None, now);
            }
            Role::Leaver(_) => {
                self.slots.remove(key as usize);
                self.leaver = None;
            }
        }
    }

    // Publishing.

    /// Every publisher sends what it may. Says when one may send again, in nanoseconds.
    fn publish(&mut self, now: u64) -> u64 {
        if self.publishers.is_empty() || self.shared.phase() != Phase::Run {
            return u64::MAX;
        }
        loop {
            let (mut until, mut awaited) = (u64::MAX, None);
            for at in 0..self.publishers.len() {
                let key = self.publishers[at] as usize;
                let Slot { connection: Some(connection), role: Role::Publisher(publisher), .. } = &mut self.slots[key]
                else {
                    continue;
                };
                let late = &mut self.measured.sends;
                let when = publisher.publish(&*self.doors.post, connection.out(), &self.shared, self.thread, now, late);
                connection.flush();
                match when {
                    When::Event => {}
                    When::At(due) => until = until.min(due),
                    When::Settled(deliveries) => {
                        awaited = Some(awaited.map_or(deliveries, |known: u64| known.min(deliveries)));
                        until = until.min(now + LOOK_NS * 5);
                    }
                }
            }
            let Some(deliveries) = awaited else { return until };
            self.shared.wait_for(deliveries, self.thread);
            if self.shared.settled() < deliveries {
                return until;
            }
        }
    }
}
