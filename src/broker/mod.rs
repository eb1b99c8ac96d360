//! One core's brain: composes topics, sessions and formats. One input in, outputs out; it never waits and calls nobody back.
//!
//! Use: one `handle_*`, then [`Broker::poll_output`] until `None`; at the end of a turn [`Broker::poll_transmit`] for every session that
//! has something to send. Time comes in as [`Now`] with each input.

mod answer;
mod control;
mod data;
mod delivery;
mod ending;
mod hub;
mod idempotency;
mod interest;
mod open;
mod post;
mod presence;
mod publish;
mod transmit;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Output};
pub use delivery::unicast_shard;
pub use hub::{Arrival, Effect, Home, Hub, Letter};
pub use post::Batch;
pub use presence::PresenceChange;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use delivery::{Delivery, Spacing};
use idempotency::Memory;
use presence::Presence;

use crate::auth::Access;
use crate::limits::{DELIVERIES_PER_SLICE_MAX, SHARDS};
use crate::metrics::Counters;
use crate::protocol::{
    Agent, Command, Door, Format, Framing, Identity, Mode, Overflow, ReplyToken, Request, SessionId, ShardTable,
};
use crate::session::{Bounds, Channel, Envelope, Frame, Interest, Session, SessionKey, Sessions};
use crate::time::{Instant, Now, Wheel};
use crate::topic::{Pattern, Trie};
use crate::wire::{v1, ws};

/// What a broker is told at its start; the same on every core but for `core`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This core's number.
    pub core: u16,
    /// Which core holds which shard.
    pub shards: ShardTable,
    /// Most sessions on this core; a join beyond gets 503 (invariant A11).
    pub sessions_max: usize,
    /// P-30: bound of a session's queue.
    pub bounds: Bounds,
    /// P-30: the policy for a full queue; `None` for the default of each mode.
    pub overflow: Option<Overflow>,
    /// P-28: lease of a session, in milliseconds.
    pub session_timeout_ms: u64,
    /// P-14: silence on a stream before a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// P-15: longest wait of a pull request, in milliseconds.
    pub pull_wait_ms: u64,
    /// P-29: how long a pull session with queued events is waited for, in milliseconds.
    pub pull_refresh_timeout_ms: u64,
    /// P-29: the same for poll.
    pub poll_refresh_timeout_ms: u64,
    /// P-17: range of `p_wait` for pull, in milliseconds, both ends included.
    pub pull_refresh_wait_ms: (u32, u32),
    /// P-17: the same for poll.
    pub poll_refresh_wait_ms: (u32, u32),
    /// P-31: how long a cut-off stream session is kept, in milliseconds.
    pub detached_timeout_ms: u64,
    /// P-18: nobody streams or polls.
    pub force_pull_all: bool,
    /// Longest message that a WebSocket takes, in bytes; its first message says so.
    pub ws_message_max: u32,
    /// P-22: events tell the publisher's secret id, as the original's did.
    pub expose_session_ids: bool,
    /// Who may publish and subscribe.
    pub access: Arc<Access>,
    /// Whose comings and goings are told below `$presence`.
    pub presence: Arc<[Pattern]>,
}

/// A request without its command.
struct Asked {
    now: Now,
    token: ReplyToken,
    path: Arc<str>,
    envelope: Envelope,
    agent: Agent,
    draw: [u128; 2],
}

impl Asked {
    fn new(now: Now, request: Request) -> (Self, Command) {
        let Request { token, command, path, chunked, agent, draw } = request;
        (Self { now, token, path, envelope: Envelope::new(chunked), agent, draw }, command)
    }
}

/// The sessions, subscriptions and deadlines of one core.
pub struct Broker {
    settings: Settings,
    sessions: Sessions,
    trie: Trie<Interest>,
    wheel: Wheel<SessionKey>,
    /// Sessions that have something to send and a socket that may take it: those of this round, then those of the next.
    dirty: VecDeque<SessionKey>,
    /// How many of them are of this round. Invariant: at most as many as there are.
    round: usize,
    /// How many waiting pull answers were completed since [`Broker::poll_transmit`] said `None`.
    completed: usize,
    outputs: VecDeque<Output>,
    counters: Counters,
    jitter: fastrand::Rng,
    /// Number of the last delivery: marks the sessions it has visited.
    visit: u64,
    spacing: Spacing,
    /// Nodes of the trie that events have visited.
    walked: u64,
    /// The event that is on its way into more outboxes than one step may fill.
    delivery: Option<Box<Delivery>>,
    /// Room for the targets of the next one.
    spare_targets: Vec<Interest>,
    /// How many targets one step of a delivery has: [`DELIVERIES_PER_SLICE_MAX`], fewer in tests.
    slice: usize,
    heartbeats: Heartbeats,
    /// What was published with an idempotency key.
    posted: Memory,
    /// Who comes and goes.
    presence: Presence,
    fired: Vec<SessionKey>,
    /// Made when the first client takes compressed messages.
    deflater: Option<Box<ws::Deflater>>,
    /// Sessions with an open data answer.
    listening: usize,
    /// Whether an outbox is more than half full although its socket is not known to be.
    pressed: bool,
    shutting_down: bool,
}

impl Broker {
    /// A broker without sessions. `seed` is for the spread of `p_wait` and for who is served first; nothing secret depends on it.
    #[must_use]
    pub fn new(settings: Settings, now: Now, seed: u64) -> Self {
        debug_assert!(settings.core < SHARDS, "more cores than shards");
        Self {
            settings,
            sessions: Sessions::new(),
            trie: Trie::new(),
            wheel: Wheel::new(now.instant),
            dirty: VecDeque::new(),
            round: 0,
            completed: 0,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            jitter: fastrand::Rng::with_seed(seed),
            visit: 0,
            spacing: Spacing::default(),
            walked: 0,
            delivery: None,
            spare_targets: Vec::new(),
            slice: DELIVERIES_PER_SLICE_MAX,
            heartbeats: Heartbeats::default(),
            posted: Memory::default(),
            presence: Presence::default(),
            fired: Vec::new(),
            deflater: None,
            listening: 0,
            pressed: false,
            shutting_down: false,
        }
    }

    /// What has been counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The same, for the shell's own counts.
    pub const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Takes new settings while serving: bounds, time-outs and policies hold from the next event on. Core and shards stay.
    pub fn handle_settings(&mut self, settings: Settings) {
        let (core, shards) = (self.settings.core, self.settings.shards.clone());
        let presence = Arc::clone(&self.settings.presence);
        self.settings = Settings { core, shards, ..settings };
        self.change_presence(&presence);
    }

    /// How many sessions live.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many entries the trie has.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.trie.len()
    }

    /// How many sessions have an open data answer.
    #[must_use]
    pub fn listening_count(&self) -> usize {
        debug_assert_eq!(
            self.listening,
            self.sessions.iter().filter(|session| session.channel.token().is_some()).count(),
            "sessions that listen"
        );
        self.listening
    }

    /// How many deadlines are filed: one for each session, and stale ones (see [`STALE_DEADLINES_MAX`](crate::limits::STALE_DEADLINES_MAX)).
    #[must_use]
    pub fn deadline_count(&self) -> usize {
        self.wheel.len()
    }

    /// P-30: the most events, and the most bytes, that any session has queued. It looks at every session: for tests.
    #[must_use]
    pub fn fullest_outbox(&self) -> (usize, u32) {
        let outboxes = || self.sessions.iter().map(|session| &session.outbox);
        let events = outboxes().map(crate::session::Outbox::len).max().unwrap_or(0);
        (events, outboxes().map(crate::session::Outbox::bytes).max().unwrap_or(0))
    }

    /// Makes the steps of a delivery smaller than [`DELIVERIES_PER_SLICE_MAX`], at least one target each: for tests, which have few sessions.
    pub const fn set_slice(&mut self, targets: usize) {
        self.slice = if targets == 0 { 1 } else { targets };
    }

    /// The name of a session, and whose key it has presented.
    #[must_use]
    pub fn identify(&self, key: SessionKey) -> Option<(SessionId, Identity)> {
        self.sessions.get(key).map(|session| (session.id, session.identity))
    }

    /// P-5: acts on one request. Its answer is an output of this step or of a later one.
    pub fn handle_request(&mut self, now: Now, request: Request) {
        if request.token.core != self.settings.core && self.would_stream(&request) {
            // A stream is written by the core of its session: the connection has to come here first (invariant A3).
            let (token, request) = (request.token, Box::new(request));
            return self.outputs.push_back(Output::Summon { token, request });
        }
        let (mut asked, command) = Asked::new(now, request);
        match command {
            Command::Join { format } => self.join(&asked, &format),
            Command::JoinListen { format, listen } => self.join_listen(&asked, &format, &listen),
            Command::Listen { id, listen } => {
                self.with_session(&asked, &id, |broker, key| match broker.listen(&asked, key, &listen, "listen-ack") {
                    Ok(()) => true,
                    Err(nacked) => broker.refuse(&asked, key, &nacked.0),
                });
            }
            Command::Refresh { id } => self.with_session(&asked, &id, |broker, key| broker.refresh(&asked, key)),
            Command::Subscribe { id, subject, label } => self.with_session(&asked, &id, |broker, key| {
                broker.subscribe(&asked, key, subject.as_deref(), label.as_deref())
            }),
            Command::Unsubscribe { id, sid } => {
                self.with_session(&asked, &id, |broker, key| broker.unsubscribe(&asked, key, sid.as_deref()));
            }
            Command::Publish { id, subject, to, fields } => self.with_session(&asked, &id, |broker, key| {
                broker.publish(&asked, key, subject.as_deref(), to.as_deref(), fields)
            }),
            Command::Heartbeat { id } => {
                self.with_session(&asked, &id, |broker, key| broker.ack(&asked, key, "hb-ack", &[]))
            }
            Command::Leave { id } => self.with_session(&asked, &id, |broker, key| broker.leave(&asked, key)),
            Command::Open(opening) => {
                if matches!(opening.door, Door::WebSocket { .. }) {
                    asked.envelope = Envelope::Frames;
                }
                self.open(&asked, &opening);
            }
            Command::Add { id, wanted } => self.add(&asked, &id, &wanted),
            Command::Remove { id, lists } => self.remove(&asked, &id, &lists),
            Command::PollNext { id, wait_ms } => self.poll_next(&asked, &id, wait_ms),
            Command::Post(post) => self.post(&asked, *post),
            Command::Unknown { id, name, format } => self.unknown(&asked, &id, &name, format),
        }
    }

    /// The next effect to apply.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            give_back(&mut self.outputs);
        }
        output
    }

    /// The moment of the earliest deadline, or an earlier one.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next_deadline()
    }

    /// Sees that the wheel knows the session's earliest deadline.
    fn schedule(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let deadline = session.deadline();
        if deadline < session.wake_at {
            session.wake_at = deadline;
            self.wheel.schedule(deadline, key);
        }
    }

    /// P-28: the session was used.
    fn renew_lease(&mut self, now: Now, key: SessionKey) {
        let until = now.instant + self.settings.session_timeout_ms;
        if let Some(session) = self.sessions.get_mut(key) {
            session.lease_until = until;
        }
    }

    fn mark_dirty(session: &mut Session, key: SessionKey, dirty: &mut VecDeque<SessionKey>) {
        if !session.dirty
            && !session.blocked
            && matches!(session.channel, Channel::Open { .. } | Channel::Waiting { .. })
        {
            session.dirty = true;
            dirty.push_back(key);
        }
    }
}

/// The heartbeat of this second in each framing: all streams share its bytes.
#[derive(Debug, Default)]
struct Heartbeats {
    unix_s: u64,
    /// For clients that need not see them, and for those that want to.
    frames: [[Option<Rc<Frame>>; 2]; Framing::COUNT],
}

impl Heartbeats {
    fn get(&mut self, framing: Framing, visible: bool, unix_s: u64) -> Rc<Frame> {
        if self.unix_s != unix_s {
            *self = Self { unix_s, ..Self::default() };
        }
        let frame = self.frames[framing as usize][usize::from(visible)].get_or_insert_with(|| {
            if framing.is_modern() {
                let mut bytes = Vec::new();
                v1::heartbeat(framing, visible, &mut bytes);
                return Rc::new(Frame::new(bytes, 0, None));
            }
            let (mut bytes, mut text) = (Vec::new(), itoa::Buffer::new());
            let fields = [("p_event", "hb"), ("p_time", text.format(unix_s))];
            let info = crate::wire::pushlet::shared_part(framing, fields.into_iter(), &mut bytes);
            Rc::new(Frame::new(bytes, info.fields, None))
        });
        Rc::clone(frame)
    }
}

impl Settings {
    /// P-29: how long a session of this mode is waited for between two data requests, in milliseconds.
    const fn refresh_timeout_ms(&self, mode: Mode) -> u64 {
        match mode {
            Mode::Stream => self.detached_timeout_ms,
            Mode::Pull => self.pull_refresh_timeout_ms,
            Mode::Poll => self.poll_refresh_timeout_ms,
        }
    }

    /// P-17: the range of `p_wait` for this mode.
    const fn refresh_wait_ms(&self, mode: Mode) -> (u32, u32) {
        match mode {
            Mode::Stream | Mode::Pull => self.pull_refresh_wait_ms,
            Mode::Poll => self.poll_refresh_wait_ms,
        }
    }
}

impl Default for Settings {
    /// The documented defaults, for one core.
    fn default() -> Self {
        Self {
            core: 0,
            shards: ShardTable::new(1),
            sessions_max: 1_000_000,
            bounds: Bounds {
                events_max: crate::limits::QUEUE_EVENTS_DEFAULT,
                bytes_max: crate::limits::QUEUE_BYTES_DEFAULT,
            },
            overflow: None,
            session_timeout_ms: 300_000,
            heartbeat_ms: 20_000,
            pull_wait_ms: 20_000,
            pull_refresh_timeout_ms: 45_000,
            poll_refresh_timeout_ms: 60_000,
            pull_refresh_wait_ms: (2_000, 6_000),
            poll_refresh_wait_ms: (6_000, 10_000),
            detached_timeout_ms: crate::limits::DETACHED_MS,
            force_pull_all: false,
            ws_message_max: crate::limits::WS_MESSAGE_BYTES_DEFAULT,
            expose_session_ids: false,
            access: Arc::default(),
            presence: Arc::default(),
        }
    }
}

/// Slots that an emptied list of the broker may keep.
const KEPT_SLOTS_MAX: usize = 1024;

/// Gives back what a burst has left behind in an emptied list.
fn give_back<E>(list: &mut VecDeque<E>) {
    if list.is_empty() && list.capacity() > KEPT_SLOTS_MAX {
        *list = VecDeque::new();
    }
}

/// The answer framing of a stranger.
const fn stranger_framing(format: Format) -> Framing {
    Framing::of(format, false, false)
}
