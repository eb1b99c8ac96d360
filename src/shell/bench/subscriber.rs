//! What a subscriber makes of what it receives.

use std::sync::atomic::Ordering;

use super::account::{Account, Verdict};
use super::door::Item;
use super::lanes::Lane;
use super::marker::Marker;
use super::shared::{Count, Group, LaneSet, Phase, Shared};
use super::times::Times;

/// Where a subscriber is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no session yet.
    Opening,
    /// It listens.
    Live,
    /// It wants to go, when what was published before has come.
    Waiting,
    /// It has said that it goes.
    Leaving,
}

/// What has to be done behind the bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// It is ready.
    Ready,
    /// It could not be opened. After so many seconds it may be tried again.
    Refused(Option<u64>),
    /// The answer is over; another one is asked for after so many milliseconds.
    Again(u64),
    /// It has all that it came for.
    Satisfied,
    /// It is over, as it should be.
    Left,
    /// It is over because the server said so.
    Aborted,
    /// It is over, and should not be.
    Broken,
}

/// One subscriber.
#[derive(Debug)]
pub(super) struct Subscriber {
    /// Its number.
    pub(super) number: u32,
    /// How often it was tried to open it before.
    pub(super) attempts: u32,
    /// Where it is.
    pub(super) stage: Stage,
    /// Its session.
    pub(super) id: String,
    /// Where to go on when an answer is over.
    pub(super) target: String,
    /// A request has no answer yet, or one that is not over.
    pub(super) asked: bool,
    /// The connection ends with the answer.
    pub(super) close: bool,
    /// Since when it waits for what is missing, in nanoseconds.
    pub(super) since_ns: u64,
    lanes: LaneSet,
    account: Option<Account>,
    wait_ms: Option<u64>,
    status: u16,
    retry_after_s: Option<u64>,
    /// What was not understood.
    garbled: Option<&'static str>,
    aborted: bool,
    done: bool,
    /// Events that came, until it has as many as it wants.
    got: u32,
    /// It is ready, and the thread has not been told.
    pub(super) unannounced: bool,
}

/// What a thread counts and measures with.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// What all threads share.
    pub(super) shared: &'a Shared,
    /// The number of the thread.
    pub(super) thread: usize,
    /// The time of deliveries.
    pub(super) times: &'a mut Times,
    /// The present.
    pub(super) now: u64,
    /// Whether the door has answers without end.
    pub(super) streams: bool,
    /// First arrivals since the last look.
    pub(super) delivered: &'a mut u64,
}

impl Context<'_> {
    /// Counts.
    pub(super) fn count(&self, count: Count, more: u64) {
        self.shared.counts[self.thread].add(count, more);
    }
}

impl Subscriber {
    /// One that is about to connect.
    pub(super) fn new(number: u32, attempts: u32, shared: &Shared) -> Self {
        Self {
            number,
            attempts,
            stage: Stage::Opening,
            id: String::new(),
            target: String::new(),
            asked: true,
            close: false,
            since_ns: 0,
            lanes: shared.plan.lanes_of(number),
            account: None,
            wait_ms: None,
            status: 0,
            retry_after_s: None,
            garbled: None,
            aborted: false,
            done: false,
            got: 0,
            unannounced: false,
        }
    }

    /// Takes one thing in.
    pub(super) fn take(&mut self, item: Item<'_>, context: &mut Context<'_>) {
        match item {
            Item::Event(marker) => self.event(marker, context),
            Item::Answer { status, retry_after_s, close } => {
                (self.status, self.retry_after_s, self.close) = (status, retry_after_s, close);
            }
            Item::Ready { id, address } if self.stage == Stage::Opening => self.ready(id, address, context),
            Item::Told(count) => {
                context.count(Count::ToldMissing, count);
                if let Some(account) = &mut self.account {
                    account.tell(count);
                }
            }
            Item::Aborted => self.aborted = true,
            Item::Again { wait_ms, target } => (self.wait_ms, self.target) = (Some(wait_ms), target),
            Item::Done => (self.done, self.asked) = (true, false),
            Item::Broken(why) => self.garbled = self.garbled.or(Some(why)),
            Item::Denied(words) => self.status = context.shared.opening_denied(words),
            Item::Ready { .. } | Item::Accepted | Item::Refused | Item::Reply(_) => {}
        }
    }

    fn ready(&mut self, id: &str, address: &str, context: &mut Context<'_>) {
        let shared = context.shared;
        self.stage = Stage::Live;
        self.unannounced = true;
        id.clone_into(&mut self.id);
        self.account =
            Some(Account::begin((0..self.lanes.count).map(|place| &shared.lanes[self.lanes.lane(place) as usize])));
        match shared.plan.group(self.number) {
            Group::Fan | Group::Churn => {
                shared.ready[(self.number % shared.plan.subjects) as usize].fetch_add(1, Ordering::AcqRel);
            }
            // A target that comes again after a failure keeps its first address; it comes again only before it was ready.
            Group::Unicast => {
                drop(shared.targets[shared.plan.target(self.number) as usize].address.set(address.to_owned()))
            }
            Group::Idle => {}
        }
        shared.live.fetch_add(1, Ordering::AcqRel);
        context.count(Count::Opened, 1);
    }

    fn event(&mut self, marker: Marker, context: &mut Context<'_>) {
        if self.stage == Stage::Leaving {
            // Its account is closed: what was under way when it said that it goes may come or not.
            return;
        }
        let (lanes, shared) = (self.lanes, context.shared);
        let lane = self.lane(shared);
        let place = lanes.place(marker.lane).zip(self.account.as_mut());
        let verdict = place.map_or(Verdict::Foreign, |(place, account)| {
            let verdict = account.arrive(place, marker.sequence, &shared.lanes[marker.lane as usize]);
            account.sweep(lane);
            verdict
        });
        self.got = self.got.saturating_add(1);
        match verdict {
            Verdict::Good => {}
            Verdict::OutOfOrder => context.count(Count::OutOfOrder, 1),
            Verdict::Repeated => return context.count(Count::Repeated, 1),
            Verdict::Refused { first: true } => return context.count(Count::RefusedButDelivered, 1),
            Verdict::Refused { first: false } => return,
            Verdict::Foreign => return context.count(Count::Foreign, 1),
        }
        *context.delivered += 1;
        if marker.intended_ns >= shared.measure_ns.load(Ordering::Relaxed) {
            context.times.record(context.now.saturating_sub(marker.intended_ns));
        }
    }

    fn lane<'a>(&self, shared: &'a Shared) -> impl Fn(usize) -> &'a Lane + use<'a> {
        let lanes = self.lanes;
        move |place| &shared.lanes[lanes.lane(u32::try_from(place).unwrap_or(u32::MAX)) as usize]
    }

    /// Events that should have come and have not: those passed over, and those behind the last one.
    pub(super) fn missing(&self, shared: &Shared) -> (u64, u64) {
        self.account.as_ref().map_or((0, 0), |account| account.missing(self.lane(shared)))
    }

    /// It wants to go, and waits for what has been accepted before.
    pub(super) fn stop(&mut self, shared: &Shared, now: u64) {
        let lane = self.lane(shared);
        if let Some(account) = &mut self.account {
            account.stop(lane);
        }
        (self.stage, self.since_ns) = (Stage::Waiting, now);
    }

    /// Whether it has everything that it can still get.
    pub(super) fn is_served(&self, shared: &Shared) -> bool {
        let (passed, behind) = self.missing(shared);
        let told = self.account.as_ref().map_or(0, Account::told);
        passed.saturating_add(behind) <= told
    }

    /// What has to be done now.
    pub(super) fn next(&mut self, context: &Context<'_>) -> Next {
        let done = std::mem::take(&mut self.done);
        if let Some(why) = self.garbled {
            context.count(Count::Garbled, 1);
            if self.stage != Stage::Opening {
                return Next::Broken;
            }
            context.shared.opening_strange(&format!("the answer of the server was not understood: {why}"), false);
            return Next::Refused(None);
        }
        if self.aborted {
            return Next::Aborted;
        }
        if done {
            return self.answered(context);
        }
        if std::mem::take(&mut self.unannounced) {
            return Next::Ready;
        }
        let wanted = context.shared.args.churn_events;
        let satisfied =
            self.stage == Stage::Live && self.got >= wanted && context.shared.plan.group(self.number) == Group::Churn;
        if satisfied || self.stage == Stage::Waiting { Next::Satisfied } else { Next::Nothing }
    }

    fn answered(&mut self, context: &Context<'_>) -> Next {
        match (self.stage, self.wait_ms.take()) {
            (Stage::Opening, _) => {
                context.shared.answer_failed(self.status);
                if self.status == 503 {
                    context.count(Count::TurnedAway, 1);
                }
                Next::Refused(self.retry_after_s)
            }
            (Stage::Leaving, _) => Next::Left,
            (_, Some(wait_ms)) if !context.streams => Next::Again(wait_ms),
            _ => Next::Broken,
        }
    }

    /// Closes the account: nothing more comes. With `aborted`, what is behind the last event counts apart.
    pub(super) fn settle(&mut self, aborted: bool, shared: &Shared, thread: usize) {
        let (passed, behind) = self.missing(shared);
        let Some(account) = self.account.take() else { return };
        shared.live.fetch_sub(1, Ordering::AcqRel);
        let counts = &shared.counts[thread];
        let (silent, excused) = if aborted { (passed, behind) } else { (passed + behind, 0) };
        counts.add(Count::Lost, silent.saturating_sub(account.told()));
        counts.add(Count::MissedByAbort, excused);
        match shared.plan.group(self.number) {
            Group::Fan | Group::Churn => {
                shared.ready[(self.number % shared.plan.subjects) as usize].fetch_sub(1, Ordering::AcqRel);
            }
            Group::Unicast => {
                shared.targets[shared.plan.target(self.number) as usize].gone.store(true, Ordering::Release);
            }
            Group::Idle => {}
        }
        let outstanding = account.outstanding(self.lane(shared));
        if outstanding > 0 && shared.phase() < Phase::Close {
            shared.settle(outstanding, thread);
        }
    }
}
