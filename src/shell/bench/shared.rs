//! What the threads of a run share: the plan, the lanes, counts that each thread writes for itself, and the descriptors that wake them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

use super::lanes::Lane;
use super::options::{BenchArgs, Scenario};
use super::server::Addresses;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// Publishers and subscribers are opened.
    Open,
    /// Events are published.
    Run,
    /// Nothing more is published; what is under way arrives.
    Drain,
    /// Accounts are closed and sessions ended.
    Close,
}

/// What is counted, each by every thread for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Count {
    /// Subscribers that became ready.
    Opened,
    /// Publishers that are ready.
    Joined,
    /// Subscribers or publishers that could not be opened.
    OpenFailed,
    /// Attempts after a failure.
    Retried,
    /// Answers 503 to a subscriber or a publisher that opens.
    TurnedAway,
    /// Sessions that the server ended by `abort`.
    Aborted,
    /// Connections that ended as they should not.
    Broken,
    /// Answers that are not of the protocol.
    Garbled,
    /// Sessions of the churn that came and went.
    Churned,
    /// Further cycles of pull and poll.
    Cycles,
    /// Publishes begun.
    Sent,
    /// Publishes accepted.
    Accepted,
    /// Publishes refused.
    Refused,
    /// Publishes without an answer.
    Unanswered,
    /// First arrivals of an event at a subscriber.
    Delivered,
    /// Bytes received by subscribers.
    Received,
    /// Events that were lost in silence.
    Lost,
    /// Events that the server said it dropped.
    ToldMissing,
    /// Events not delivered to sessions that the server aborted.
    MissedByAbort,
    /// Events that came twice.
    Repeated,
    /// Events that came behind a later one.
    OutOfOrder,
    /// Refused events that arrived.
    RefusedButDelivered,
    /// Events that are not for whom they came to.
    Foreign,
}

/// How many kinds of counts there are.
pub(super) const COUNTS: usize = Count::Foreign as usize + 1;

/// The counts of one thread. Only it writes them; a cache line or more between two of them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts([AtomicU64; COUNTS]);

impl Counts {
    /// Adds to one. Only the thread that owns the counts may.
    pub(super) fn add(&self, count: Count, more: u64) {
        let cell = &self.0[count as usize];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Adds all of them to `sums`.
    pub(super) fn add_to(&self, sums: &mut [u64; COUNTS]) {
        for (sum, cell) in sums.iter_mut().zip(&self.0) {
            *sum += cell.load(Ordering::Relaxed);
        }
    }

    /// One of them.
    pub(super) fn get(&self, count: Count) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }
}

/// What a subscriber is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// It is on a subject that is published to.
    Fan,
    /// It is sent to by its address.
    Unicast,
    /// As fan, and it goes after a while.
    Churn,
    /// It is on a subject of its own kind where nothing is published.
    Idle,
}

/// Who there is, and who publishes what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Subscribers by group: fan, unicast, churn, idle. Their numbers follow each other in this order.
    groups: [u32; 4],
    /// Subjects.
    pub(super) subjects: u32,
    /// Publishers on subjects; the others, up to all, send to addresses.
    pub(super) fan_publishers: u32,
    /// All publishers.
    pub(super) publishers: u32,
    /// Lanes of subjects. Lane `l` is on subject `l % subjects`, by publisher `l % fan_publishers`. Behind them, one for each address.
    pub(super) fan_lanes: u32,
}

impl Plan {
    /// The plan of these words.
    pub(super) fn new(args: &BenchArgs) -> Self {
        let all = args.sessions;
        let groups = match args.scenario {
            Scenario::FanOut | Scenario::Latency => [all, 0, 0, 0],
            Scenario::Unicast => [0, all, 0, 0],
            Scenario::Churn => [0, 0, all, 0],
            Scenario::Idle => [0, 0, 0, all],
            Scenario::Mixed => split(all, args.shares),
        };
        let publishers = args.publishers;
        let fan_publishers = match (groups[0] + groups[2] > 0, groups[1] > 0) {
            (true, true) => publishers - (publishers / 2).min(publishers.saturating_sub(1)),
            (false, true) => 0,
            _ => publishers,
        };
        let subjects = args.subjects;
        let fan_lanes = if fan_publishers == 0 { 0 } else { subjects.max(fan_publishers) };
        Self { groups, subjects, fan_publishers, publishers, fan_lanes }
    }

    /// How many subscribers there are.
    pub(super) fn sessions(&self) -> u32 {
        self.groups.iter().sum()
    }

    /// How many lanes there are.
    pub(super) const fn lanes(&self) -> u32 {
        self.fan_lanes + self.groups[1]
    }

    /// How many are sent to by their address.
    pub(super) const fn targets(&self) -> u32 {
        self.groups[1]
    }

    /// What subscriber `number` is there for.
    pub(super) fn group(&self, number: u32) -> Group {
        let mut end = 0;
        for (count, group) in self.groups.iter().zip([Group::Fan, Group::Unicast, Group::Churn]) {
            end += count;
            if number < end {
                return group;
            }
        }
        Group::Idle
    }

    /// The address that subscriber `number` is, of those that are sent to.
    pub(super) const fn target(&self, number: u32) -> u32 {
        number - self.groups[0]
    }

    /// The lanes that subscriber `number` listens to: the first one, the distance between two, and how many.
    pub(super) fn lanes_of(&self, number: u32) -> LaneSet {
        match self.group(number) {
            Group::Fan | Group::Churn => {
                let first = number % self.subjects;
                let count = if first < self.fan_lanes { (self.fan_lanes - first).div_ceil(self.subjects) } else { 0 };
                LaneSet { first, step: self.subjects, count }
            }
            Group::Unicast => LaneSet { first: self.fan_lanes + self.target(number), step: 1, count: 1 },
            Group::Idle => LaneSet { first: 0, step: 1, count: 0 },
        }
    }

    /// The lanes that publisher `number` sends on.
    pub(super) fn lanes_by(&self, number: u32) -> LaneSet {
        let (base, end, step, at) = if number < self.fan_publishers {
            (0, self.fan_lanes, self.fan_publishers, number)
        } else {
            (self.fan_lanes, self.lanes(), self.publishers - self.fan_publishers, number - self.fan_publishers)
        };
        let first = base + at;
        LaneSet { first, step, count: end.saturating_sub(first).div_ceil(step.max(1)) }
    }
}

/// Lanes at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LaneSet {
    first: u32,
    step: u32,
    /// How many.
    pub(super) count: u32,
}

impl LaneSet {
    /// The lane at `place`.
    pub(super) const fn lane(self, place: u32) -> u32 {
        self.first + place * self.step
    }

    /// The place of a lane, if it is one of these.
    pub(super) fn place(self, lane: u32) -> Option<usize> {
        let distance = lane.checked_sub(self.first)?;
        let place = if self.step == 1 { distance } else { distance / self.step };
        (place < self.count && place * self.step == distance).then_some(place as usize)
    }
}

/// Splits by shares; what is left over goes to the first that has a share.
fn split(all: u32, shares: [u32; 4]) -> [u32; 4] {
    let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum();
    let part = |share: u32| u32::try_from(u64::from(all) * u64::from(share) / sum.max(1)).unwrap_or(all);
    let mut parts = shares.map(part);
    let rest = all - parts.iter().sum::<u32>();
    if let Some(first) = parts.iter_mut().zip(shares).find(|(_, share)| *share > 0) {
        *first.0 += rest;
    }
    parts
}

/// Somebody who is sent to.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// The public address of the session, once it is known.
    pub(super) address: OnceLock<String>,
    /// The session has ended.
    pub(super) gone: AtomicBool,
}

/// So many connections are refused, and none is made: there is no server.
const REFUSALS_AT_FIRST: u64 = 8;

/// No one is waited for.
const NOBODY: u64 = u64::MAX;

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The words.
    pub(super) args: BenchArgs,
    /// What they come to.
    pub(super) plan: Plan,
    /// Where to connect, and from where.
    pub(super) addresses: Addresses,
    /// In the subjects of this run, so that it does not meet another one.
    tag: String,
    /// All times count from here.
    start: Instant,
    phase: AtomicU8,
    /// All lanes.
    pub(super) lanes: Vec<Lane>,
    /// Subscribers on each subject that are ready.
    pub(super) ready: Vec<AtomicU32>,
    /// The addresses to send to.
    pub(super) targets: Vec<Target>,
    /// The counts of each thread.
    pub(super) counts: Vec<Counts>,
    /// When publishing began, in nanoseconds.
    pub(super) run_ns: AtomicU64,
    /// Events intended before this are not measured, in nanoseconds.
    pub(super) measure_ns: AtomicU64,
    /// When the last event arrived, in nanoseconds.
    pub(super) last_ns: AtomicU64,
    /// How many events may be published in all.
    pub(super) budget: AtomicU64,
    claimed: AtomicU64,
    /// Deliveries that the publishes so far should come to.
    expected: AtomicU64,
    /// Deliveries that came, and those that will not.
    settled: AtomicU64,
    /// One for each thread, and the last for whoever drives the run.
    wakes: Vec<OwnedFd>,
    awaited: Vec<AtomicU64>,
    /// Subscribers and publishers that have a session now.
    pub(super) live: AtomicU64,
    /// Why the first opening that failed did.
    pub(super) opening_fault: OnceLock<String>,
    /// A connection was made.
    connected: AtomicBool,
    /// Connections that were refused before one was made.
    refused: AtomicU64,
    /// Subscribers, and publishers, that got no answer that makes sense, while no other one did.
    strange: [AtomicU64; 2],
    /// Why nobody will be opened, however often it is tried.
    pub(super) hopeless: OnceLock<String>,
    /// Threads whose subscribers have everything.
    pub(super) drained: Vec<AtomicBool>,
}

impl Shared {
    /// What a run begins with.
    ///
    /// # Errors
    ///
    /// No descriptors are left.
    pub(super) fn new(args: BenchArgs, addresses: Addresses, tag: String) -> io::Result<Self> {
        let plan = Plan::new(&args);
        let threads = args.threads as usize;
        let wake = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        Ok(Self {
            phase: AtomicU8::new(Phase::Open as u8),
            lanes: (0..plan.lanes()).map(|_| Lane::default()).collect(),
            ready: (0..plan.subjects).map(|_| AtomicU32::new(0)).collect(),
            targets: (0..plan.targets()).map(|_| Target::default()).collect(),
            counts: (0..threads).map(|_| Counts::default()).collect(),
            run_ns: AtomicU64::new(0),
            measure_ns: AtomicU64::new(0),
            last_ns: AtomicU64::new(0),
            budget: AtomicU64::new(0),
            claimed: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            wakes: (0..=threads).map(|_| wake()).collect::<Result<_, _>>()?,
            awaited: (0..=threads).map(|_| AtomicU64::new(NOBODY)).collect(),
            live: AtomicU64::new(0),
            opening_fault: OnceLock::new(),
            connected: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            strange: [const { AtomicU64::new(0) }; 2],
            hopeless: OnceLock::new(),
            drained: (0..threads).map(|_| AtomicBool::new(false)).collect(),
            start: Instant::now(),
            args,
            plan,
            addresses,
            tag,
        })
    }

    /// A connection was made: there is a server.
    pub(super) fn connected(&self) {
        if !self.connected.load(Ordering::Relaxed) {
            self.connected.store(true, Ordering::Release);
        }
    }

    /// A connection could not be made. If the first ones are all refused there is no server.
    pub(super) fn connect_failed(&self, error: &io::Error) {
        self.opening_failed(|| error.to_string());
        if error.kind() == io::ErrorKind::ConnectionRefused && !self.connected.load(Ordering::Acquire) {
            let all = u64::from(self.plan.sessions()) + u64::from(self.plan.publishers);
            let refused = self.refused.fetch_add(1, Ordering::AcqRel).saturating_add(1);
            if refused >= all.min(REFUSALS_AT_FIRST) {
                self.give_up(error.to_string());
            }
        }
    }

    /// Somebody who opens has got another answer than a session.
    pub(super) fn answer_failed(&self, status: u16) {
        let dialect = self.args.dialect;
        let what = match (status, dialect.is_pushlet()) {
            (401 | 403, true) => "its access rules want another key: --key FILE",
            (404 | 405, true) => "not a pushletd URL",
            (200, true) => "no session in it; is this a pushletd URL?",
            (503, _) => "it takes no more sessions now",
            (_, true) => "it opened no session",
            (_, false) => "it does not speak this dialect, or not at this URL",
        };
        let cause = || match dialect.is_pushlet() {
            true => format!("the server answered {status}: {what}"),
            false => format!("the server answered {status} in the dialect {}: {what}", dialect.name()),
        };
        self.opening_failed(cause);
        let never = if dialect.is_pushlet() { matches!(status, 401 | 403 | 404 | 405) } else { status < 500 };
        if never && !matches!(status, 408 | 429) {
            self.give_up(cause());
        }
    }

    /// Somebody who opens has got nothing, or something that is not of the protocol. If the first ones all do there is no such server.
    pub(super) fn opening_strange(&self, why: &str, publishes: bool) {
        let cause = || format!("{why}; is this a server of the dialect {}?", self.args.dialect.name());
        self.opening_failed(cause);
        let (count, all) =
            if publishes { (Count::Joined, self.plan.publishers) } else { (Count::Opened, self.plan.sessions()) };
        if self.sum(count) == 0 {
            let strange = self.strange[usize::from(publishes)].fetch_add(1, Ordering::AcqRel).saturating_add(1);
            if strange >= u64::from(all).min(REFUSALS_AT_FIRST) {
                self.give_up(cause());
            }
        }
    }

    /// The connection of somebody who opens has ended, or could not be made, which was told before.
    pub(super) fn opening_cut(&self, was_connected: bool, publishes: bool) {
        const WHY: &str = "the server ended the connection without an answer";
        if was_connected && !self.args.dialect.is_pushlet() {
            self.opening_strange(WHY, publishes);
        } else {
            self.opening_failed(|| WHY.to_owned());
        }
    }

    /// An opening has failed; the first cause is kept.
    pub(super) fn opening_failed(&self, cause: impl FnOnce() -> String) {
        self.opening_fault.get_or_init(cause);
    }

    fn give_up(&self, cause: String) {
        if self.hopeless.set(cause).is_ok() {
            self.wake(self.counts.len());
        }
    }

    /// Nanoseconds since the run began, on the clock of all threads.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What the run is doing.
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Open,
            1 => Phase::Run,
            2 => Phase::Drain,
            _ => Phase::Close,
        }
    }

    /// Goes on to another phase; every thread hears of it.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        (0..self.wakes.len()).for_each(|thread| self.wake(thread));
    }

    /// Wakes a thread; the last number is whoever drives the run.
    pub(super) fn wake(&self, thread: usize) {
        // A full counter has woken it already.
        let _ = rustix::io::write(&self.wakes[thread], &1_u64.to_ne_bytes());
    }

    /// What wakes a thread.
    pub(super) fn waker(&self, thread: usize) -> &OwnedFd {
        &self.wakes[thread]
    }

    /// The sum of a count over all threads.
    pub(super) fn sum(&self, count: Count) -> u64 {
        self.counts.iter().map(|counts| counts.get(count)).sum()
    }

    /// Whether another event may be published; it is then counted.
    pub(super) fn claim(&self) -> bool {
        let budget = self.budget.load(Ordering::Acquire);
        self.claimed
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |claimed| (claimed < budget).then(|| claimed + 1))
            .is_ok()
    }

    /// How many events were published or are being.
    pub(super) fn claimed(&self) -> u64 {
        self.claimed.load(Ordering::Acquire)
    }

    /// An event is published that should come to so many deliveries. Says how many have to be settled until it is delivered.
    pub(super) fn expect(&self, deliveries: u64) -> u64 {
        self.expected.fetch_add(deliveries, Ordering::AcqRel).saturating_add(deliveries)
    }

    /// Deliveries that came, and those that will not.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::SeqCst)
    }

    /// So many deliveries came, or will not come. Whoever waits for them is woken.
    pub(super) fn settle(&self, deliveries: u64, thread: usize) {
        let settled = self.settled.fetch_add(deliveries, Ordering::SeqCst).saturating_add(deliveries);
        for (number, awaited) in self.awaited.iter().enumerate() {
            let wanted = awaited.load(Ordering::SeqCst);
            // Whoever waits may be asking for more at this moment: then that stays.
            let met = wanted <= settled
                && awaited.compare_exchange(wanted, NOBODY, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            if met && number != thread {
                self.wake(number);
            }
        }
    }

    /// Asks to be woken when so many deliveries are settled. The caller must look at [`Self::settled`] once more behind this.
    pub(super) fn wait_for(&self, deliveries: u64, thread: usize) {
        self.awaited[thread].store(deliveries, Ordering::SeqCst);
    }

    /// The subject of this number.
    pub(super) fn subject(&self, number: u32) -> String {
        self.args.dialect.subject(&self.tag, number)
    }

    /// The subject of a subscriber; `None` for one that is sent to by its address.
    pub(super) fn subject_of(&self, subscriber: u32) -> Option<String> {
        match self.plan.group(subscriber) {
            Group::Fan | Group::Churn => Some(self.subject(subscriber % self.plan.subjects)),
            Group::Unicast => None,
            Group::Idle => Some(self.args.dialect.quiet_subject(&self.tag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Plan {
        Plan::new(&BenchArgs::from_words(words.split(' ')).expect("words"))
    }

    /// Every lane has one publisher, and who listens to it listens to all lanes of its subject and to no others.
    #[test]
    fn every_lane_has_one_publisher() {
        for words in [
            "h --sessions 7",
            "h --sessions 7 --publishers 3",
            "h --sessions 7 --subjects 3",
            "h --sessions 7 --subjects 3 --publishers 2",
            "h --sessions 7 --subjects 2 --publishers 5",
            "h unicast --sessions 9 --publishers 4",
            "h unicast --sessions 2 --publishers 4",
            "h churn --sessions 9 --publishers 4",
            "h mixed --sessions 100 --publishers 5 --subjects 3",
            "h idle --sessions 3",
        ] {
            let plan = plan(words);
            let mut publishers = vec![0; plan.lanes() as usize];
            for publisher in 0..plan.publishers {
                let set = plan.lanes_by(publisher);
                (0..set.count).for_each(|place| publishers[set.lane(place) as usize] += 1);
            }
            assert!(publishers.iter().all(|count| *count == 1), "{words}: {publishers:?}");
            for number in 0..plan.sessions() {
                let set = plan.lanes_of(number);
                let mine: Vec<u32> = (0..plan.lanes()).filter(|lane| set.place(*lane).is_some()).collect();
                let expected: Vec<u32> = match plan.group(number) {
                    Group::Fan | Group::Churn => {
                        (0..plan.fan_lanes).filter(|lane| lane % plan.subjects == number % plan.subjects).collect()
                    }
                    Group::Unicast => vec![plan.fan_lanes + plan.target(number)],
                    Group::Idle => vec![],
                };
                assert_eq!(mine, expected, "{words}: {number}");
                assert_eq!(set.count as usize, mine.len(), "{words}: {number}");
            }
        }
    }

    #[test]
    fn shares_leave_nobody_out() {
        assert_eq!(split(10, [1, 1, 1, 0]), [4, 3, 3, 0]);
        assert_eq!(split(3, [0, 1, 0, 1]), [0, 2, 0, 1]);
        assert_eq!(split(100, [50, 20, 10, 20]), [50, 20, 10, 20]);
    }
}
