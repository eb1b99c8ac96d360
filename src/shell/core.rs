//! One core's world: its hub and its connections, and the turns in which they meet.
//!
//! A turn takes readiness from the core's epoll descriptor, reads what has arrived, lets the broker act, applies its outputs and flushes.
//! Nothing in it waits. Who calls it is in [`super::boot`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::epoll::{self, EventData, EventFlags};
use slab::Slab;

use super::clock::Clock;
use super::connection::{ANSWER_BYTES, Carried, Connection, ConnectionKey, Flushed, Kind, State};
use super::embed::{Booth, Published, Watches};
use super::entropy::Entropy;
use super::flusher::Batch;
use super::handover::Departure;
use super::net;
use super::pacer::{Due, Pacer, Spacing};
use super::readiness::Driver;
use super::router::Routes;
use super::source::SourceBoard;
use super::wiring::{self, Wiring};
use super::worker::Tuning;
use crate::broker::Hub;
use crate::limits::{
    EVENTS_PER_TURN_MAX, INTAKE_PER_TURN_MAX, LINGER_MS, READ_BYTES_PER_TURN_MAX, STALE_DEADLINES_MAX,
};
use crate::mesh::{Arrivals, Departures, Intake};
use crate::metrics::{Board, Figures, TurnTimes};
use crate::protocol::{ReplyToken, Request};
use crate::time::{Instant, Now, Wheel};
use crate::wire::http::{self, HttpError, Phase};

/// So long the log says nothing more of the same trouble, in milliseconds.
const QUIET_MS: u64 = 10_000;
/// A core that is to drain takes at most so many turns before for what other cores have sent: whole inboxes of usual size, well below a second.
const TURNS_BEFORE_END: u32 = 64;
/// The core's own bell among the readiness events: no connection has this slot.
const BELL: u64 = u64::MAX;
/// The timer of a delayed flush.
const TIMER: u64 = u64::MAX - 1;

/// How patient the core is with its connections, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) head_ms: u64,
    pub(super) body_ms: u64,
    pub(super) idle_ms: u64,
    /// How long a WebSocket may be silent before it is asked for a sign of life.
    pub(super) silence_ms: u64,
    /// How long it may be silent then, before it is taken for gone.
    pub(super) pong_ms: u64,
}

/// What a core is made of besides its broker.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) number: u16,
    pub(super) clock: Clock,
    pub(super) routes: Routes,
    pub(super) patience: Patience,
    /// Most client connections of this core: its file table has no more room.
    pub(super) connections_max: usize,
    pub(super) node: Arc<NodeCount>,
    pub(super) wiring: Arc<Wiring>,
    /// Where each core's figures stand, for the admin port.
    pub(super) boards: Arc<[Board]>,
    /// What the sources of events count, for the same.
    pub(super) sources: Arc<SourceBoard>,
    pub(super) driver: Driver,
    pub(super) batch_delay_us: u64,
    /// The core has a file table of its own.
    pub(super) own_table: bool,
}

/// The client connections of all cores: the one number that they share. It is touched when one comes and when one goes.
#[derive(Debug)]
pub(super) struct NodeCount {
    pub(super) max: usize,
    pub(super) now: AtomicUsize,
}

impl NodeCount {
    /// Counts one more, if there may be one more.
    pub(super) fn enter(&self) -> bool {
        // Nothing else is guarded by it, so no order is needed.
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        if before >= self.max {
            self.now.fetch_sub(1, Ordering::Relaxed);
        }
        before < self.max
    }

    /// Counts one that moves from core to core, for the moment that both count it.
    pub(super) fn move_in(&self) {
        self.now.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One core's world.
pub(super) struct Core {
    pub(super) parts: Parts,
    pub(super) hub: Hub,
    pub(super) connections: Slab<Connection>,
    pub(super) epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    /// How many connections of each kind there are.
    pub(super) counts: [usize; Kind::COUNT],
    /// Connections that have more to do than their share of a turn.
    unfinished: VecDeque<ConnectionKey>,
    /// Connections that are to go to another core, or are on their way.
    pub(super) departures: Departures<Departure>,
    /// Tickets of those that only wait for room on the way, first come first.
    pub(super) departure_line: VecDeque<u32>,
    pub(super) arrivals: Arrivals<OwnedFd>,
    /// What the program's own threads publish.
    intake: Intake<Published>,
    /// Subjects whose subscribers they ask for.
    watches: Watches,
    pacer: Pacer,
    timer: OwnedFd,
    turns: TurnTimes,
    /// When the log may say again that the core is full, or that publishes are refused.
    pub(super) quiet_until: [Instant; 2],
    overloaded_before: u64,
    /// How many requests the connection that is being worked on may still make in this turn.
    pub(super) requests_left: u32,
    wheel: Wheel<(u32, u32)>,
    expired: Vec<(u32, u32)>,
    buffer: Box<[u8]>,
    /// The buffer of an answer that is written, for the next one.
    spare: Vec<u8>,
    pub(super) batch: Batch,
    pub(super) entropy: Entropy,
    date: (u64, Rc<str>),
    /// The connection that is being worked on: it writes out its own answers.
    pub(super) busy: Option<ConnectionKey>,
    pub(super) generation: u32,
    pub(super) serial: u32,
    pub(super) draining: bool,
    /// Its tasks are to come to an end.
    ended: bool,
}

impl Core {
    /// A core without connections, and a second descriptor of its epoll set to wait on.
    pub(super) fn new(parts: Parts, hub: Hub, booth: Booth) -> io::Result<(Self, OwnedFd)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waiter = epoll.try_clone()?;
        let timer = net::timer()?;
        let once = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, parts.wiring.bell(parts.number), EventData::new_u64(BELL), once)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), once)?;
        let (now, batch) = (parts.clock.now(), Batch::new(parts.driver));
        let core = Self {
            pacer: Pacer::new(parts.batch_delay_us),
            parts,
            hub,
            connections: Slab::new(),
            epoll,
            ready: Vec::with_capacity(EVENTS_PER_TURN_MAX),
            counts: [0; Kind::COUNT],
            unfinished: VecDeque::new(),
            departures: Departures::new(),
            departure_line: VecDeque::new(),
            arrivals: Arrivals::new(),
            intake: booth.intake,
            watches: booth.watches,
            timer,
            turns: TurnTimes::default(),
            quiet_until: [Instant::ZERO; 2],
            overloaded_before: 0,
            requests_left: 0,
            wheel: Wheel::new(now.instant),
            expired: Vec::new(),
            buffer: vec![0; READ_BYTES_PER_TURN_MAX].into_boxed_slice(),
            spare: Vec::new(),
            batch,
            entropy: Entropy::new(),
            date: (0, Rc::from("")),
            busy: None,
            generation: 0,
            serial: 0,
            draining: false,
            ended: false,
        };
        Ok((core, waiter))
    }

    /// What there is and what was counted.
    fn figures(&self) -> Figures {
        let broker = self.hub.broker();
        Figures {
            counters: broker.counters().clone(),
            // Those that are turned away are gone in a moment.
            connections: (self.counts[Kind::Client as usize] + self.counts[Kind::Admin as usize]) as u64,
            sessions: broker.session_count() as u64,
            listening: broker.listening_count() as u64,
            subscriptions: broker.subscription_count() as u64,
            inbox_depth: self.hub.inbox_depth() as u64,
            letters_waiting: self.hub.waiting() as u64,
            file_table_own: u64::from(self.parts.own_table),
            turns: self.turns.clone(),
        }
    }

    /// Puts this core's figures where the admin port reads them.
    pub(super) fn publish_figures(&self) {
        if let Some(board) = self.parts.boards.get(usize::from(self.parts.number)) {
            board.publish(&self.figures());
        }
    }

    /// One turn. Says whether more is to be done at once; timers and accepts should run before. If not, the core may wait in the kernel.
    pub(super) fn turn(&mut self) -> bool {
        let began_us = self.parts.clock.micros();
        self.ready.clear();
        let mut ready = std::mem::take(&mut self.ready);
        let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // The set is our own and the buffer has room: an error can only be EINTR, and the next turn sees the same events.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&zero));
        let now = self.parts.clock.now();
        let full = ready.len() == ready.capacity();
        self.hub.set_time(self.parts.clock.nanos());
        let next = self.hub.broker().next_delivery();
        self.hub.set_close_from(self.pacer.close_from(began_us, next));
        self.hub.begin_turn(now);
        self.take_published(now);
        self.apply_effects(now);
        self.depart_waiting(now);
        for _ in 0..self.unfinished.len() {
            let Some(key) = self.unfinished.pop_front() else { break };
            if let Some(connection) = self.connection(key) {
                connection.queued = false;
                self.go_on(now, key);
            }
        }
        for event in ready.drain(..) {
            let (data, flags) = (event.data.u64(), event.flags);
            match data {
                BELL => wiring::silence(self.parts.wiring.bell(self.parts.number)),
                TIMER => net::silence_timer(&self.timer),
                _ => {
                    self.readiness(now, ConnectionKey { slot: data as u32, generation: (data >> 32) as u32 }, flags);
                }
            }
        }
        self.ready = ready;
        let more = self.flush_when_due(now) || full || !self.unfinished.is_empty() || self.takes_more();
        self.ring_bells();
        let ended_us = self.parts.clock.micros();
        self.turns.record(ended_us.saturating_sub(began_us));
        let (deliveries, close) = self.hub.broker().spacing();
        self.pacer.worked(began_us, ended_us, Spacing { deliveries, close });
        if more {
            return true;
        }
        self.publish_figures();
        // From here on whoever sends to this core rings its bell.
        !self.prepare_sleep()
    }

    /// This core is about to wait in the kernel. `false` if it must not: something has arrived meanwhile.
    fn prepare_sleep(&mut self) -> bool {
        // While publishes wait here, nothing more is taken in, and what ends their wait wakes the core: a letter, room in a lane, or the tick
        // that gives them up. The intake stays disarmed then, and its publishers ring no bell that nobody would answer.
        self.hub.prepare_sleep() && (self.hub.holds_publishes() || self.intake.prepare_sleep())
    }

    /// Takes in what the program's own threads have published, but nothing while publishes wait: then the intake fills, and the publishers
    /// hear of it. One that has to wait itself takes its turn with those of clients.
    fn take_published(&mut self, now: Now) {
        self.intake.wake_up();
        for _ in 0..INTAKE_PER_TURN_MAX {
            if self.hub.holds_publishes() {
                return;
            }
            let Some(Published { event, audience }) = self.intake.take() else { return };
            // It was handed in after whatever its publisher knows of.
            self.hub.set_time(self.parts.clock.nanos());
            self.hub.handle_event(now, event, audience);
        }
    }

    /// Whether there is something published that can be taken in with the next turn.
    fn takes_more(&self) -> bool {
        !self.hub.holds_publishes() && !self.intake.is_empty()
    }

    /// Writes what sessions have to send, or sets the timer for it: under load more events travel in one write if it waits a little.
    /// Says whether there is more to do at once.
    fn flush_when_due(&mut self, now: Now) -> bool {
        if !self.hub.broker().has_dirty() {
            self.pacer.all_written();
            return self.hub.has_work();
        }
        let pressed = self.hub.broker().is_pressed() || self.draining;
        match self.pacer.due(self.parts.clock.micros(), pressed) {
            Due::Now => {
                let is_left = self.flush(now);
                if !is_left {
                    self.pacer.all_written();
                }
                is_left || self.hub.has_work()
            }
            Due::In(wait_us) => {
                net::set_timer(&self.timer, wait_us);
                self.hub.has_work()
            }
        }
    }

    /// A client asks. It may know of things that other cores have done by now: they come first.
    pub(super) fn ask_after_letters(&mut self, now: Now, request: Request) {
        self.hub.set_time(self.parts.clock.nanos());
        self.hub.receive(now);
        self.ask(now, request);
    }

    /// Hands a request to the hub; its answer is applied if it comes at once.
    pub(super) fn ask(&mut self, now: Now, request: Request) {
        self.hub.handle_request(now, request);
        self.apply_effects(now);
    }

    /// Takes new settings.
    pub(super) fn tune(&mut self, tuning: Tuning) {
        self.hub.handle_settings(tuning.settings);
        self.parts.routes = tuning.routes;
        self.parts.patience = tuning.patience;
        self.pacer.set_delay_max(tuning.batch_delay_us);
    }

    /// Wakes the cores that something was sent to.
    pub(super) fn ring_bells(&mut self) {
        let wiring = &self.parts.wiring;
        self.hub.take_wakes(|core| wiring::ring(wiring.bell(core)));
    }

    /// Does what has become due. A turn is to follow: it goes on with what this has begun, and says where the core waits for room.
    pub(super) fn tick(&mut self) {
        let began_us = self.parts.clock.micros();
        let now = self.parts.clock.now();
        self.hub.handle_timeout(now);
        self.apply_effects(now);
        self.watches.look(self.hub.broker());
        self.hub.counters_mut().overloaded += self.intake.take_refused();
        let overloaded = self.hub.broker().counters().overloaded;
        if overloaded > self.overloaded_before && self.may_say(now, 1) {
            self.overloaded_before = overloaded;
            tracing::warn!(
                core = self.parts.number,
                refused = overloaded,
                "publishes are refused as overloaded: another core does not read its inbox (inbox_size bounds it)"
            );
        }
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(now.instant, &mut expired);
        for (slot, generation) in expired.drain(..) {
            self.connection_due(now, ConnectionKey { slot, generation });
        }
        self.expired = expired;
        self.depart_waiting(now);
        self.ring_bells();
        // A core that hangs is seen by its count of turns, so the ticks of an idle one count.
        self.turns.record(self.parts.clock.micros().saturating_sub(began_us));
        self.publish_figures();
    }

    /// Whether the log may say this now: once in ten seconds, however often it happens.
    pub(super) fn may_say(&mut self, now: Now, what: usize) -> bool {
        let until = &mut self.quiet_until[what];
        let may = *until <= now.instant;
        if may {
            *until = now.instant + QUIET_MS;
        }
        may
    }

    /// P-32: ends all sessions with a reason and lets every connection finish what it is in the middle of. What was published before the
    /// cores were told, on whichever of them, is delivered before that.
    pub(super) fn drain(&mut self) {
        for _ in 0..TURNS_BEFORE_END {
            if self.hub.inbox_depth() == 0 && !self.hub.has_work() {
                break;
            }
            self.turn();
        }
        let now = self.parts.clock.now();
        self.draining = true;
        // What is queued for sockets that take it goes out before the end is told.
        self.hub.finish_delivery(now);
        self.apply_effects(now);
        while self.flush(now) {}
        self.hub.handle_shutdown(now);
        self.apply_effects(now);
        let reading: Vec<ConnectionKey> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.state == State::Reading)
            .map(|(slot, connection)| ConnectionKey { slot: slot as u32, generation: connection.generation })
            .collect();
        for key in reading {
            // A request may be on its way: what has arrived is still answered, then the connection ends. Of what has arrived since the last
            // turn nobody has told.
            if let Some(connection) = self.connection(key) {
                connection.readable = true;
            }
            self.go_on(now, key);
        }
    }

    /// Whether nothing waits any more that the program's own threads have published.
    pub(super) fn is_settled(&self) -> bool {
        self.intake.is_empty() && !self.hub.holds_publishes()
    }

    /// Whether nothing more is accepted, on the admin port or on the other.
    pub(super) fn is_closed(&self, admin: bool) -> bool {
        self.ended || (self.draining && !admin)
    }

    /// Ends the core: every connection is closed, and its tasks come to their ends when they look.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.connections.clear();
        wiring::ring(self.parts.wiring.bell(self.parts.number));
    }

    /// Whether the tasks of the core are to end.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether a draining core has no client any more, and owes nothing to another core.
    pub(super) fn is_drained(&self) -> bool {
        self.draining && self.counts[Kind::Client as usize] == 0 && self.hub.waiting() == 0
    }

    /// P-32: a client that is in the middle of nothing is not waited for. The admin port is served to the end.
    pub(super) fn end_if_idle(&mut self, now: Now, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else { return };
        let between = connection.state == State::Reading && connection.reader.phase() == Phase::Idle;
        let nothing_left = !connection.has_unread() && connection.unsent.is_empty() && !connection.queued;
        if between && nothing_left && connection.kind != Kind::Admin {
            self.close(now, key);
        }
    }

    /// The value of the `Date` header.
    pub(super) fn date(&mut self, now: Now) -> Rc<str> {
        if self.date.0 != now.unix_s || self.date.1.is_empty() {
            self.date = (now.unix_s, Rc::from(http::http_date(now.unix_s)));
        }
        Rc::clone(&self.date.1)
    }

    pub(super) fn take_buffer(&mut self) -> Box<[u8]> {
        debug_assert!(!self.buffer.is_empty(), "one reader at a time");
        std::mem::take(&mut self.buffer)
    }

    /// Room for an answer behind `unsent`, which is what its connection has not written.
    pub(super) fn answer_buffer(&mut self, unsent: Vec<u8>) -> Vec<u8> {
        match unsent.capacity() {
            0 if self.spare.capacity() > 0 => std::mem::take(&mut self.spare),
            0 => Vec::with_capacity(ANSWER_BYTES),
            _ => unsent,
        }
    }

    pub(super) fn return_buffer(&mut self, buffer: Box<[u8]>) {
        self.buffer = buffer;
    }

    pub(super) fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.connections.get_mut(key.slot as usize).filter(|connection| connection.generation == key.generation)
    }

    /// The connection that waits for the answer of `token`.
    pub(super) fn asking(&mut self, token: ReplyToken) -> Option<(ConnectionKey, &mut Connection)> {
        let connection = self.connections.get_mut(token.connection as usize)?;
        let key = ConnectionKey { slot: token.connection, generation: connection.generation };
        let waits = connection.serial == token.serial
            && matches!(connection.state, State::Asked | State::Data(_) | State::Web(_));
        waits.then_some((key, connection))
    }

    pub(super) fn set_deadline(&mut self, key: ConnectionKey, deadline: Instant) {
        let Some(connection) = self.connection(key) else { return };
        connection.deadline = deadline;
        if deadline < connection.wake_at {
            connection.wake_at = deadline;
            self.wheel.schedule(deadline, (key.slot, key.generation));
        }
    }

    /// Puts a connection in the list of those to go on with in the next turn.
    pub(super) fn go_on_later(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connection(key).filter(|connection| !connection.queued) {
            connection.queued = true;
            self.unfinished.push_back(key);
        }
    }

    /// What epoll told of a connection.
    fn readiness(&mut self, now: Now, key: ConnectionKey, flags: EventFlags) {
        let Some(connection) = self.connection(key) else { return };
        let finished = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        connection.readable |= flags.contains(EventFlags::IN) || finished;
        connection.peer_finished |= finished;
        if let State::Data(_) = connection.state {
            // P-31: half-closed counts as closed.
            if connection.peer_finished {
                return self.close(now, key);
            }
        }
        if flags.contains(EventFlags::OUT) {
            self.writable(now, key);
        }
        self.go_on(now, key);
    }

    fn writable(&mut self, now: Now, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else { return };
        if matches!(connection.state, State::Web(_)) {
            // It takes what was sent: on a slow line the answer to a ping may be far behind.
            self.saw_sign_of_life(now, key);
        }
        let Some(connection) = self.connection(key) else { return };
        if !connection.unsent.is_empty() && !self.write_out(now, key) {
            return;
        }
        let core = self.parts.number;
        let Some(connection) = self.connection(key) else { return };
        if let State::Data(home) | State::Web(home) = connection.state {
            let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
            self.hub.handle_writable(home, token, true);
        }
    }

    /// Writes what is unsent. Says whether all is out; a connection whose peer is gone is closed.
    pub(super) fn write_out(&mut self, now: Now, key: ConnectionKey) -> bool {
        let Self { connections, spare, .. } = self;
        let found = connections.get_mut(key.slot as usize).filter(|connection| connection.generation == key.generation);
        let Some(connection) = found else { return false };
        match connection.flush(spare) {
            Flushed::All => {
                connection.carries_no_more();
                if std::mem::take(&mut connection.blocked) {
                    self.set_patience(now, key);
                }
                true
            }
            Flushed::Gone => {
                self.close(now, key);
                false
            }
            Flushed::Blocked { progress } => {
                // Only what it takes puts the end off, not what it asks.
                if progress || !connection.blocked {
                    connection.blocked = true;
                    // A session's own queue has its bound.
                    let web = matches!(connection.state, State::Web(_));
                    let wait_ms = if web { self.parts.patience.silence_ms.max(LINGER_MS) } else { LINGER_MS };
                    self.set_deadline(key, now.instant + wait_ms);
                }
                false
            }
        }
    }

    /// A deadline of a connection may have passed.
    fn connection_due(&mut self, now: Now, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else { return };
        if connection.wake_at > now.instant {
            return;
        }
        connection.wake_at = Instant::NEVER;
        let deadline = connection.deadline;
        if deadline > now.instant {
            return self.set_deadline(key, deadline);
        }
        let (blocked, state) = (connection.blocked, connection.state);
        match (state, connection.reader.phase()) {
            (State::Leaving(ticket), _) if !blocked => self.give_up_departure(now, ticket),
            (State::Asked | State::Data(_), _) if !blocked => {}
            (State::Web(home), _) if !blocked => self.web_is_silent(now, key, home),
            (State::Reading, Phase::Head) if !blocked => {
                self.refuse(now, key, &HttpError::HEAD_TOO_SLOW);
                self.go_on(now, key);
            }
            (State::Reading, Phase::Body) if !blocked => {
                self.refuse(now, key, &HttpError::BODY_TOO_SLOW);
                self.go_on(now, key);
            }
            _ => {
                if blocked {
                    net::reset_on_close(&connection.socket);
                }
                if blocked || state == State::Reading {
                    self.hub.counters_mut().connections_timed_out += 1;
                }
                self.close(now, key);
            }
        }
    }

    /// Takes a connection out. A session whose data answer it carried is told.
    pub(super) fn close(&mut self, now: Now, key: ConnectionKey) {
        if self.connection(key).is_none() {
            return;
        }
        let connection = self.connections.remove(key.slot as usize);
        self.counts[connection.kind as usize] -= 1;
        if connection.kind == Kind::Client {
            self.parts.node.leave();
        }
        if self.wheel.len() > 8 * self.connections.len() + STALE_DEADLINES_MAX {
            let connections = &self.connections;
            let lives = |(slot, generation): (u32, u32)| {
                connections.get(slot as usize).is_some_and(|connection| connection.generation == generation)
            };
            self.wheel.retain(lives);
        }
        let is_web = matches!(connection.state, State::Web(_));
        if is_web {
            // Its session ends with it, so it is told before.
            self.tell_undelivered(&connection);
        }
        match connection.state {
            State::Data(home) | State::Web(home) => {
                let token = ReplyToken { core: self.parts.number, connection: key.slot, serial: connection.serial };
                self.hub.handle_disconnect(now, home, token);
            }
            // Nobody has its descriptor yet, or this is the end of a departure.
            State::Leaving(ticket) => drop(self.departures.cancel(ticket)),
            State::Reading | State::Asked | State::Closing => {}
        }
        if !is_web {
            self.tell_undelivered(&connection);
        }
        // Closing the only descriptor takes it out of the epoll set.
        drop(connection);
    }

    fn tell_undelivered(&mut self, connection: &Connection) {
        // What the kernel has taken is out of the list.
        for Carried { home, events, .. } in connection.carried() {
            self.hub.handle_undelivered(*home, *events);
        }
    }
}

/// Watches a socket for everything, told once at each change.
pub(super) fn watch(epoll: &OwnedFd, socket: &OwnedFd, key: ConnectionKey) -> io::Result<()> {
    let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    let data = EventData::new_u64(u64::from(key.generation) << 32 | u64::from(key.slot));
    Ok(epoll::add(epoll, socket, data, interest)?)
}
