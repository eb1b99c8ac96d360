//! A simulated core: a real hub, and a shell around it that does what `src/shell` does, with invented sockets.
//!
//! Where the shell changes, this follows. What is left out: the admin port, the pacer's reasons (a flush is put off by chance), CORS.

use std::collections::VecDeque;

use pushletd::broker::{Effect, Home, Hub, Settings};
use pushletd::limits::{
    EVENTS_PER_TURN_MAX, INTAKE_PER_TURN_MAX, LINGER_MS, READ_BYTES_PER_TURN_MAX, STALE_DEADLINES_MAX,
    WRITES_PER_TURN_MAX,
};
use pushletd::mesh::{Arrivals, Departures, Intake, Weigh};
use pushletd::protocol::{Audience, Event, ReplyToken, Request};
use pushletd::session::{Gather, SessionKey};
use pushletd::time::{Instant, Now, Wheel};
use pushletd::wire::http::{HttpError, Phase, ReplyTo, RequestReader, Version};
use slab::Slab;

use super::kernel::{Cut, Flags, Kernel, Key, SocketId, Transfer};
use super::web::Web;

/// A write of a batch: whose it is, by which connection and socket, and what.
type Write = (SessionKey, Key, SocketId, Gather);

/// How patient a core is with its connections, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) head_ms: u64,
    pub(crate) body_ms: u64,
    pub(crate) idle_ms: u64,
    /// How long a WebSocket may be silent before it is asked for a sign of life, and after that.
    pub(crate) silence_ms: u64,
    pub(crate) pong_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Reading,
    Asked,
    Data(Home),
    Web(Home),
    Leaving(u32),
    Closing,
}

/// Events in `unsent` that stand in no queue any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub(super) home: Home,
    pub(super) events: u32,
    pub(super) request: usize,
    /// Their answer is still to come.
    pub(super) ahead: bool,
}

pub(super) struct Connection {
    pub(super) socket: SocketId,
    pub(super) generation: u32,
    pub(super) serial: u32,
    pub(super) state: State,
    pub(super) reader: RequestReader,
    pub(super) web: Web,
    pub(super) unread: Vec<u8>,
    pub(super) unsent: Vec<u8>,
    /// What the socket had taken when `unsent` was empty for the last time.
    pub(super) base: u64,
    pub(super) carried: Vec<Carried>,
    pub(super) reply: ReplyTo,
    deadline: Instant,
    wake_at: Instant,
    pub(super) readable: bool,
    pub(super) peer_finished: bool,
    pub(super) shut: bool,
    pub(super) queued: bool,
    blocked: bool,
    /// Which request of the connection is being answered.
    pub(super) request: usize,
}

impl Connection {
    /// Where an answer is appended.
    pub(super) fn unsent_mut(&mut self, kernel: &Kernel) -> &mut Vec<u8> {
        if self.unsent.is_empty() {
            self.base = kernel.sockets[self.socket].sent;
        }
        &mut self.unsent
    }

    pub(super) fn is_owed_much(&self) -> bool {
        self.carried.is_empty() && self.unsent.len() > READ_BYTES_PER_TURN_MAX
    }
}

/// A connection that is to go to another core.
pub(super) struct Departure {
    pub(super) key: Key,
    pub(super) to: u16,
    pub(super) request: Option<Request>,
}

/// An event of the server's own program on its way to a core.
pub(super) struct Spoken {
    pub(super) number: usize,
    pub(super) event: Event,
    pub(super) audience: Audience,
}

impl Weigh for Spoken {
    fn weight(&self) -> usize {
        self.event.payload.bytes()
    }
}

/// Turns that a core takes before it drains, at most.
const TURNS_BEFORE_END: u32 = 64;

pub(crate) struct Core {
    pub(super) number: u16,
    pub(crate) hub: Hub,
    pub(super) connections: Slab<Connection>,
    unfinished: VecDeque<Key>,
    pub(super) departures: Departures<Departure>,
    pub(super) arrivals: Arrivals<SocketId>,
    intake: Intake<Spoken>,
    /// Those of them that were published at once.
    pub(super) accepted: Vec<usize>,
    pub(super) requests_left: u32,
    wheel: Wheel<(u32, u32)>,
    pub(super) busy: Option<Key>,
    generation: u32,
    pub(super) serial: u32,
    pub(super) draining: bool,
    pub(super) patience: Patience,
    pub(super) connections_max: usize,
    ready: Vec<(Key, Flags)>,
    now: Now,
    /// Most connections that it has had at the same time.
    pub(crate) connections_peak: usize,
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another one.
    Turn,
    /// Another one in so many microseconds, unless something comes before.
    Flush(u64),
    /// Nothing: the core waits.
    Sleep,
}

impl Core {
    pub(crate) fn new(
        number: u16,
        hub: Hub,
        intake: Intake<Spoken>,
        patience: Patience,
        connections_max: usize,
    ) -> Self {
        Self {
            number,
            hub,
            connections: Slab::new(),
            unfinished: VecDeque::new(),
            departures: Departures::new(),
            arrivals: Arrivals::new(),
            intake,
            accepted: Vec::new(),
            requests_left: 0,
            wheel: Wheel::new(Instant::ZERO),
            busy: None,
            generation: 0,
            serial: 0,
            draining: false,
            patience,
            connections_max,
            ready: Vec::new(),
            now: Now::default(),
            connections_peak: 0,
        }
    }

    /// The first part of a turn: what other cores have sent, and what was left over.
    pub(crate) fn begin_turn(&mut self, kernel: &mut Kernel, now: Now) {
        self.now = now;
        self.ready = kernel.harvest(self.number, EVENTS_PER_TURN_MAX);
        self.hub.set_time(kernel.now_us * 1000);
        self.hub.begin_turn(now);
        self.take_spoken(kernel, now);
        self.apply_effects(kernel, now);
        self.depart_waiting(kernel, now);
        for _ in 0..self.unfinished.len() {
            let Some(key) = self.unfinished.pop_front() else { break };
            if let Some(connection) = self.connection(key) {
                connection.queued = false;
                self.go_on(kernel, now, key);
            }
        }
    }

    /// The second part: what the sockets have to say, and the answers to it.
    pub(crate) fn go_on_turn(&mut self, kernel: &mut Kernel) -> Next {
        let now = self.now;
        for (key, flags) in std::mem::take(&mut self.ready) {
            self.readiness(kernel, now, key, flags);
        }
        let pressed = self.hub.broker().is_pressed() || self.draining;
        let next = if self.hub.broker().has_dirty() && !pressed && kernel.rng.u32(..100) < 30 {
            Next::Flush(kernel.rng.u64(100..2_000))
        } else if self.flush(kernel, now) || self.hub.has_work() || self.takes_more() {
            Next::Turn
        } else {
            Next::Sleep
        };
        self.ring_bells(kernel);
        if self.unfinished.is_empty() { next } else { Next::Turn }
    }

    /// The last part, if the second one left nothing to do: whether the core may sleep.
    pub(crate) fn may_sleep(&mut self) -> bool {
        self.hub.prepare_sleep() && (self.hub.holds_publishes() || self.intake.prepare_sleep())
    }

    /// Takes in what the server's own program has published.
    fn take_spoken(&mut self, kernel: &mut Kernel, now: Now) {
        self.intake.wake_up();
        for _ in 0..INTAKE_PER_TURN_MAX {
            if self.hub.holds_publishes() {
                return;
            }
            let Some(Spoken { number, event, audience }) = self.intake.take() else { return };
            self.hub.set_time(kernel.now_us * 1000);
            let before = self.hub.broker().counters().published;
            self.hub.handle_event(now, event, audience);
            if self.hub.broker().counters().published > before {
                self.accepted.push(number);
            } else {
                kernel.count("event of the program waits");
            }
        }
    }

    /// Whether there is an event of the program that can be taken in.
    pub(super) fn takes_more(&self) -> bool {
        !self.hub.holds_publishes() && !self.intake.is_empty()
    }

    /// Does what has become due. A turn is to follow, which says where the core waits for room.
    pub(crate) fn tick(&mut self, kernel: &mut Kernel, now: Now) {
        self.hub.handle_timeout(now);
        self.apply_effects(kernel, now);
        kernel.count_many("event of the program refused", self.intake.take_refused());
        let mut expired = Vec::new();
        self.wheel.expire(now.instant, &mut expired);
        for (slot, generation) in expired {
            self.connection_due(kernel, now, Key { slot, generation });
        }
        self.depart_waiting(kernel, now);
        self.ring_bells(kernel);
    }

    /// P-32: as the shell drains.
    pub(crate) fn drain(&mut self, kernel: &mut Kernel, now: Now) {
        for _ in 0..TURNS_BEFORE_END {
            if self.hub.inbox_depth() == 0 && !self.hub.has_work() {
                break;
            }
            self.begin_turn(kernel, now);
            self.go_on_turn(kernel);
        }
        self.draining = true;
        self.hub.finish_delivery(now);
        self.apply_effects(kernel, now);
        while self.flush(kernel, now) {}
        self.hub.handle_shutdown(now);
        self.apply_effects(kernel, now);
        let reading = self.connections.iter().filter(|(_, connection)| connection.state == State::Reading);
        let reading: Vec<Key> =
            reading.map(|(slot, connection)| Key { slot: slot as u32, generation: connection.generation }).collect();
        for key in reading {
            self.go_on(kernel, now, key);
        }
        self.ring_bells(kernel);
    }

    /// Takes settings with which nobody is given up.
    pub(crate) fn calm_down(&mut self, settings: Settings) {
        self.connections_max = usize::MAX;
        self.hub.handle_settings(settings);
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.draining && self.connections.is_empty() && self.hub.waiting() == 0
    }

    /// The memory of each connection, in bytes.
    pub(crate) fn connection_bytes(&self) -> impl Iterator<Item = usize> {
        self.connections
            .iter()
            .map(|(_, it)| it.unread.len() + it.unsent.len() + it.reader.held_bytes() + it.web.held_bytes())
    }

    /// Whether nothing is left of anybody.
    pub(crate) fn check_empty(&self) {
        let number = self.number;
        let broker = self.hub.broker();
        let counts = (broker.session_count(), broker.subscription_count(), broker.listening_count());
        assert_eq!(counts, (0, 0, 0), "sessions, subscriptions, listeners of core {number} after its drain");
        assert!(!broker.has_dirty() && !broker.is_delivering(), "core {number} has work for nobody");
        assert!(broker.deadline_count() <= STALE_DEADLINES_MAX, "core {number} keeps deadlines of nobody");
        assert_eq!((self.hub.waiting(), self.hub.inbox_depth()), (0, 0), "letters of core {number} after its drain");
        assert!(self.intake.is_empty(), "core {number} has not taken in what the program has published");
        assert!(self.departures.is_empty(), "core {number} waits for an answer to a hand-over");
        assert!(self.arrivals.is_empty(), "core {number} keeps a descriptor that nobody claims");
        assert!(self.connections.is_empty(), "core {number} has connections");
    }

    fn ring_bells(&mut self, kernel: &mut Kernel) {
        self.hub.take_wakes(|core| kernel.bells.push(core));
    }

    /// Accepts a connection, or turns it away.
    pub(crate) fn welcome(&mut self, kernel: &mut Kernel, now: Now, socket: SocketId) {
        if self.draining || self.connections.len() >= self.connections_max {
            kernel.count("connection turned away");
            kernel.drop_descriptor(socket);
            return;
        }
        let key = self.take_in(kernel, socket);
        let head_ms = self.patience.head_ms;
        self.set_deadline(key, now.instant + head_ms);
    }

    pub(super) fn take_in(&mut self, kernel: &mut Kernel, socket: SocketId) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.connections.vacant_entry();
        let key = Key { slot: entry.key() as u32, generation: self.generation };
        entry.insert(Connection {
            socket,
            generation: self.generation,
            serial: 0,
            state: State::Reading,
            reader: RequestReader::new(),
            web: Web::default(),
            unread: Vec::new(),
            unsent: Vec::new(),
            base: 0,
            carried: Vec::new(),
            reply: ReplyTo { version: Version::Http11, keep_alive: true, to_head: false },
            deadline: Instant::NEVER,
            wake_at: Instant::NEVER,
            readable: false,
            peer_finished: false,
            shut: false,
            queued: false,
            blocked: false,
            request: 0,
        });
        kernel.watch(self.number, socket, key);
        self.connections_peak = self.connections_peak.max(self.connections.len());
        key
    }

    pub(super) fn apply_effects(&mut self, kernel: &mut Kernel, now: Now) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Do { core, output } => self.apply(kernel, now, core, output),
                Effect::Arrive { from, arrival } => self.arrive(kernel, now, from, *arrival),
                Effect::Arrived { ticket, taken } => self.arrived(kernel, now, ticket, taken),
            }
        }
        self.ring_bells(kernel);
    }

    /// A client asks. It may know of things that other cores have done by now: they come first.
    pub(super) fn ask(&mut self, kernel: &mut Kernel, now: Now, request: Request) {
        self.hub.set_time(kernel.now_us * 1000);
        self.hub.receive(now);
        self.hub.handle_request(now, request);
        self.apply_effects(kernel, now);
    }

    pub(super) fn connection(&mut self, key: Key) -> Option<&mut Connection> {
        self.connections.get_mut(key.slot as usize).filter(|connection| connection.generation == key.generation)
    }

    pub(super) fn asking(&mut self, token: ReplyToken) -> Option<(Key, &mut Connection)> {
        let connection = self.connections.get_mut(token.connection as usize)?;
        let key = Key { slot: token.connection, generation: connection.generation };
        let waits = connection.serial == token.serial
            && matches!(connection.state, State::Asked | State::Data(_) | State::Web(_));
        waits.then_some((key, connection))
    }

    pub(super) fn set_deadline(&mut self, key: Key, deadline: Instant) {
        let Some(connection) = self.connection(key) else { return };
        connection.deadline = deadline;
        if deadline < connection.wake_at {
            connection.wake_at = deadline;
            self.wheel.schedule(deadline, (key.slot, key.generation));
        }
    }

    pub(super) fn go_on_later(&mut self, key: Key) {
        if let Some(connection) = self.connection(key).filter(|connection| !connection.queued) {
            connection.queued = true;
            self.unfinished.push_back(key);
        }
    }

    fn readiness(&mut self, kernel: &mut Kernel, now: Now, key: Key, flags: Flags) {
        let Some(connection) = self.connection(key) else { return };
        connection.readable |= flags.readable || flags.finished;
        connection.peer_finished |= flags.finished;
        if matches!(connection.state, State::Data(_)) && connection.peer_finished {
            return self.close(kernel, now, key);
        }
        if flags.writable {
            self.writable(kernel, now, key);
        }
        self.go_on(kernel, now, key);
    }

    fn writable(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        if !connection.unsent.is_empty() && !self.write_out(kernel, now, key) {
            return;
        }
        let core = self.number;
        let Some(connection) = self.connection(key) else { return };
        if let State::Data(home) | State::Web(home) = connection.state {
            let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
            self.hub.handle_writable(home, token, true);
        }
    }

    /// Writes what is unsent. Says whether all is out.
    pub(super) fn write_out(&mut self, kernel: &mut Kernel, now: Now, key: Key) -> bool {
        let Some(connection) = self.connection(key) else { return false };
        let mut written = 0;
        while written < connection.unsent.len() {
            match kernel.send(connection.socket, &connection.unsent[written..]) {
                Transfer::Bytes(bytes) => written += bytes,
                Transfer::Blocked => break,
                Transfer::Closed => {
                    self.close(kernel, now, key);
                    return false;
                }
            }
        }
        connection.unsent.drain(..written);
        if connection.unsent.is_empty() {
            connection.carried.retain(|carried| carried.ahead);
            if std::mem::take(&mut connection.blocked) {
                self.set_patience(now, key);
            }
            return true;
        }
        if written > 0 || !connection.blocked {
            connection.blocked = true;
            let web = matches!(connection.state, State::Web(_));
            let wait_ms = if web { self.patience.silence_ms.max(LINGER_MS) } else { LINGER_MS };
            self.set_deadline(key, now.instant + wait_ms);
        }
        false
    }

    fn connection_due(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        if connection.wake_at > now.instant {
            return;
        }
        connection.wake_at = Instant::NEVER;
        let deadline = connection.deadline;
        if deadline > now.instant {
            return self.set_deadline(key, deadline);
        }
        let (blocked, socket) = (connection.blocked, connection.socket);
        match (connection.state, connection.reader.phase()) {
            (State::Leaving(ticket), _) if !blocked => self.give_up_departure(kernel, now, ticket),
            (State::Asked | State::Data(_), _) if !blocked => {}
            (State::Web(home), _) if !blocked => self.web_is_silent(kernel, now, key, home),
            (State::Reading, Phase::Head | Phase::Body) if !blocked => {
                kernel.count("request too slow");
                self.refuse(kernel, now, key, &HttpError::HEAD_TOO_SLOW);
                self.go_on(kernel, now, key);
            }
            _ => {
                if blocked {
                    kernel.count("connection reset for taking nothing");
                    kernel.reset_on_close(socket);
                }
                self.close(kernel, now, key);
            }
        }
    }

    pub(super) fn close(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        if self.connection(key).is_none() {
            return;
        }
        let connection = self.connections.remove(key.slot as usize);
        kernel.note(format_args!(
            "core {} closes line {} ({:?}), {} bytes unsent",
            self.number,
            connection.socket,
            connection.state,
            connection.unsent.len()
        ));
        let is_web = matches!(connection.state, State::Web(_));
        if is_web {
            self.tell_undelivered(kernel, &connection);
        }
        match connection.state {
            State::Data(home) | State::Web(home) => {
                kernel.count(if is_web { "WebSocket cut off" } else { "data connection cut off" });
                let token = ReplyToken { core: self.number, connection: key.slot, serial: connection.serial };
                self.hub.handle_disconnect(now, home, token);
                let lives = self.hub.broker().identify(home.session).is_some();
                assert!(!is_web || !lives, "a session outlives its WebSocket");
            }
            State::Leaving(ticket) => drop(self.departures.cancel(ticket)),
            State::Reading | State::Asked | State::Closing => {}
        }
        if !is_web {
            self.tell_undelivered(kernel, &connection);
        }
        kernel.drop_descriptor(connection.socket);
    }

    fn tell_undelivered(&mut self, kernel: &mut Kernel, connection: &Connection) {
        for Carried { home, events, request, ahead } in connection.carried.iter().copied() {
            if ahead || !connection.unsent.is_empty() {
                kernel.count("answer with events cut off");
                kernel.cuts.push(Cut { socket: connection.socket, request, events, base: connection.base });
                self.hub.handle_undelivered(home, events);
            }
        }
    }

    /// Writes what sessions have to send, in batches. Says whether some are left.
    pub(super) fn flush(&mut self, kernel: &mut Kernel, now: Now) -> bool {
        let mut batch = Vec::new();
        for _ in 0..WRITES_PER_TURN_MAX {
            let mut gather = Gather::new();
            let mut next = self.hub.poll_transmit(now, &mut gather);
            if next.is_none() && !batch.is_empty() {
                self.write_batch(kernel, now, &mut batch);
                next = self.hub.poll_transmit(now, &mut gather);
            }
            let Some((session, token)) = next else { break };
            let Some((key, connection)) = self.asking(token) else {
                self.hub.handle_disconnect(now, Home { core: self.number, session }, token);
                continue;
            };
            let ours = matches!(connection.state, State::Data(home) | State::Web(home) if home.session == session);
            assert!(ours, "a token names one answer");
            if !connection.unsent.is_empty() {
                self.hub.handle_sent(now, session, &gather, 0, true);
                continue;
            }
            batch.push((session, key, connection.socket, gather));
            if batch.len() == kernel.batch_max {
                kernel.count("batch of writes is full");
                self.write_batch(kernel, now, &mut batch);
            }
        }
        self.write_batch(kernel, now, &mut batch);
        self.apply_effects(kernel, now);
        self.hub.broker().has_dirty()
    }

    /// All writes of a batch are made before the first is told.
    fn write_batch(&mut self, kernel: &mut Kernel, now: Now, batch: &mut Vec<Write>) {
        let send = |(session, key, socket, gather): Write| {
            let bytes = gather.with_slices(|slices| {
                let mut bytes = Vec::with_capacity(gather.len());
                slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
                bytes
            });
            (session, key, gather, kernel.send(socket, &bytes))
        };
        let made: Vec<_> = batch.drain(..).map(send).collect();
        let whole = |(_, _, gather, outcome): &(_, _, Gather, Transfer)| matches!(outcome, Transfer::Bytes(sent) if *sent == gather.len());
        if made.len() > 1 {
            kernel.count("writes made together");
            if !made.iter().all(whole) {
                kernel.count("write cut short among others");
            }
        }
        for (session, key, gather, outcome) in made {
            match outcome {
                Transfer::Bytes(sent) => self.hub.handle_sent(now, session, &gather, sent, sent < gather.len()),
                Transfer::Blocked => self.hub.handle_sent(now, session, &gather, 0, true),
                Transfer::Closed => self.close(kernel, now, key),
            }
        }
    }
}
