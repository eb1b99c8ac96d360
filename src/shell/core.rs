//! One core's world: its broker and its connections, and the turns in which they meet.
//!
//! A turn takes readiness from the core's epoll descriptor, reads what has arrived, lets the broker act, applies its outputs and flushes.
//! Nothing in it waits. Who calls it is in [`super::boot`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::event::epoll::{self, EventFlags};
use slab::Slab;

use super::clock::Clock;
use super::connection::{Connection, ConnectionKey, Flushed, Kind, State};
use super::entropy::Entropy;
use super::net;
use super::router::Routes;
use crate::broker::{Answer, Broker, Output};
use crate::limits::{
    DELIVERIES_PER_TURN_MAX, EVENTS_PER_TURN_MAX, LINGER_MS, READ_BYTES_PER_TURN_MAX, STALE_DEADLINES_MAX,
};
use crate::metrics::Figures;
use crate::protocol::{Command, ReplyToken, Request};
use crate::session::Gather;
use crate::time::{Instant, Now, Wheel};
use crate::wire::http::{self, Body, HttpError, Phase, ReplyTo, ResponseHead};

/// How patient the core is with its connections, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) head_ms: u64,
    pub(super) body_ms: u64,
    pub(super) idle_ms: u64,
}

/// What a core is made of besides its broker.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) number: u16,
    pub(super) clock: Clock,
    pub(super) routes: Routes,
    pub(super) patience: Patience,
    pub(super) connections_max: usize,
}

/// One core's world.
pub(super) struct Core {
    pub(super) parts: Parts,
    pub(super) broker: Broker,
    pub(super) connections: Slab<Connection>,
    pub(super) epoll: OwnedFd,
    ready: Vec<epoll::Event>,
    /// How many connections of each kind there are.
    pub(super) counts: [usize; Kind::COUNT],
    /// Connections that have more to do than their share of a turn.
    unfinished: VecDeque<ConnectionKey>,
    /// Publish requests that wait until what was published before them is written.
    held: VecDeque<Request>,
    /// What had been delivered when this turn began.
    delivered_before: u64,
    /// How many requests the connection that is being worked on may still make in this turn.
    pub(super) requests_left: u32,
    wheel: Wheel<(u32, u32)>,
    expired: Vec<(u32, u32)>,
    buffer: Box<[u8]>,
    pub(super) gather: Gather,
    pub(super) entropy: Entropy,
    date: (u64, Rc<str>),
    /// The connection that is being worked on: it writes out its own answers.
    pub(super) busy: Option<ConnectionKey>,
    pub(super) generation: u32,
    pub(super) serial: u32,
    pub(super) draining: bool,
}

impl Core {
    /// A core without connections, and a second descriptor of its epoll set to wait on.
    pub(super) fn new(parts: Parts, broker: Broker) -> io::Result<(Self, OwnedFd)> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waiter = epoll.try_clone()?;
        let now = parts.clock.now();
        let core = Self {
            parts,
            broker,
            connections: Slab::new(),
            epoll,
            ready: Vec::with_capacity(EVENTS_PER_TURN_MAX),
            counts: [0; Kind::COUNT],
            unfinished: VecDeque::new(),
            held: VecDeque::new(),
            delivered_before: 0,
            requests_left: 0,
            wheel: Wheel::new(now.instant),
            expired: Vec::new(),
            buffer: vec![0; READ_BYTES_PER_TURN_MAX].into_boxed_slice(),
            gather: Gather::new(),
            entropy: Entropy::new(),
            date: (0, Rc::from("")),
            busy: None,
            generation: 0,
            serial: 0,
            draining: false,
        };
        Ok((core, waiter))
    }

    /// What there is and what was counted.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            counters: self.broker.counters().clone(),
            connections: self.connections.len() as u64,
            sessions: self.broker.session_count() as u64,
            listening: self.broker.listening_count() as u64,
            subscriptions: self.broker.subscription_count() as u64,
        }
    }

    /// One turn. Says whether more is to be done at once; timers and accepts should run before.
    pub(super) fn turn(&mut self) -> bool {
        self.ready.clear();
        let mut ready = std::mem::take(&mut self.ready);
        let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // The set is our own and the buffer has room: an error can only be EINTR, and the next turn sees the same events.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&zero));
        let now = self.parts.clock.now();
        let full = ready.len() == ready.capacity();
        self.delivered_before = self.broker.counters().delivered;
        self.publish_held(now);
        for _ in 0..self.unfinished.len() {
            let Some(key) = self.unfinished.pop_front() else { break };
            if let Some(connection) = self.connection(key) {
                connection.queued = false;
                self.go_on(now, key);
            }
        }
        for event in ready.drain(..) {
            let (data, flags) = (event.data.u64(), event.flags);
            self.readiness(now, ConnectionKey { slot: data as u32, generation: (data >> 32) as u32 }, flags);
        }
        self.ready = ready;
        let dirty = self.flush(now);
        full || dirty || self.has_unfinished()
    }

    fn has_unfinished(&self) -> bool {
        !self.unfinished.is_empty() || !self.held.is_empty()
    }

    /// Whether publishing has to wait for the flusher. A quick publisher must neither make quick readers look slow (P-30) nor take a whole
    /// turn for itself because it has many readers.
    fn must_write_first(&self) -> bool {
        let delivered = self.broker.counters().delivered.wrapping_sub(self.delivered_before);
        self.broker.is_delivering()
            || self.broker.has_dirty() && (self.broker.is_pressed() || delivered >= DELIVERIES_PER_TURN_MAX)
    }

    /// Hands a request to the broker; its answer is applied if it comes at once. A publish may have to wait, and so may only the connection
    /// that it came on.
    pub(super) fn ask(&mut self, now: Now, request: Request) {
        if matches!(request.command, Command::Publish { .. }) && (!self.held.is_empty() || self.must_write_first()) {
            return self.held.push_back(request);
        }
        self.broker.handle_request(now, request);
        self.apply_outputs(now);
    }

    fn publish_held(&mut self, now: Now) {
        while !self.must_write_first() {
            let Some(request) = self.held.pop_front() else { return };
            self.broker.handle_request(now, request);
            self.apply_outputs(now);
        }
    }

    /// Does what has become due.
    pub(super) fn tick(&mut self) -> bool {
        let now = self.parts.clock.now();
        self.broker.handle_timeout(now);
        self.apply_outputs(now);
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(now.instant, &mut expired);
        for (slot, generation) in expired.drain(..) {
            self.connection_due(now, ConnectionKey { slot, generation });
        }
        self.expired = expired;
        self.flush(now) || self.has_unfinished()
    }

    /// P-32: ends all sessions with a reason and lets every connection finish what it is in the middle of.
    pub(super) fn drain(&mut self) {
        let now = self.parts.clock.now();
        self.draining = true;
        // What is queued for sockets that take it goes out before the end is told.
        while self.flush(now) {}
        self.broker.handle_shutdown(now);
        self.apply_outputs(now);
        let reading: Vec<ConnectionKey> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.state == State::Reading)
            .map(|(slot, connection)| ConnectionKey { slot: slot as u32, generation: connection.generation })
            .collect();
        for key in reading {
            // A request may be on its way: what has arrived is still answered, then the connection ends.
            self.go_on(now, key);
        }
    }

    /// Whether a draining core has no client any more.
    pub(super) const fn is_drained(&self) -> bool {
        self.draining && self.counts[Kind::Client as usize] == 0
    }

    /// P-32: a client that is in the middle of nothing is not waited for. The admin port is served to the end.
    pub(super) fn end_if_idle(&mut self, now: Now, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else { return };
        let between = connection.state == State::Reading && connection.reader.phase() == Phase::Idle;
        let nothing_left = connection.unread.is_empty() && connection.unsent.is_empty() && !connection.queued;
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
        let waits = connection.serial == token.serial && matches!(connection.state, State::Asked | State::Data(_));
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
        if !connection.unsent.is_empty() && !self.write_out(now, key) {
            return;
        }
        let core = self.parts.number;
        let Some(connection) = self.connection(key) else { return };
        if let State::Data(session) = connection.state {
            let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
            self.broker.handle_writable(session, token, true);
        }
    }

    /// Writes what is unsent. Says whether all is out; a connection whose peer is gone is closed.
    pub(super) fn write_out(&mut self, now: Now, key: ConnectionKey) -> bool {
        let Some(connection) = self.connection(key) else { return false };
        match connection.flush() {
            Flushed::All => {
                connection.carried = None;
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
                    self.set_deadline(key, now.instant + LINGER_MS);
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
            (State::Asked | State::Data(_), _) if !blocked => {}
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
                    self.broker.counters_mut().connections_timed_out += 1;
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
        if self.wheel.len() > 8 * self.connections.len() + STALE_DEADLINES_MAX {
            let connections = &self.connections;
            let lives = |(slot, generation): (u32, u32)| {
                connections.get(slot as usize).is_some_and(|connection| connection.generation == generation)
            };
            self.wheel.retain(lives);
        }
        if let State::Data(session) = connection.state {
            let token = ReplyToken { core: self.parts.number, connection: key.slot, serial: connection.serial };
            self.broker.handle_disconnect(now, session, token);
        }
        if let Some((session, events)) = connection.carried.filter(|_| !connection.unsent.is_empty()) {
            self.broker.handle_undelivered(session, events);
        }
        // Closing the only descriptor takes it out of the epoll set.
        drop(connection);
    }

    /// Applies what the broker wants done (invariant A6: after its step).
    pub(super) fn apply_outputs(&mut self, now: Now) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Answer { token, answer } => self.answer(now, token, answer),
                Output::Open { token, session, framing, lead } => {
                    let date = self.date(now);
                    let Some((key, connection)) = self.asking(token) else {
                        self.broker.handle_disconnect(now, session, token);
                        continue;
                    };
                    connection.state = State::Data(session);
                    let (reply, origin) = (connection.reply, connection.origin.take());
                    let mut head = std::mem::take(&mut connection.unsent);
                    let sent = self.pushlet_head(&mut head, reply, &date, framing, origin.as_deref(), Body::Stream);
                    head.extend_from_slice(&lead);
                    if let Some(connection) = self.connection(key) {
                        connection.unsent = head;
                        connection.reply.keep_alive = sent.keep_alive;
                    }
                    self.set_deadline(key, Instant::NEVER);
                    self.put(now, key);
                }
                Output::Carries { token, session, events } => {
                    let Some((_, connection)) = self.asking(token) else {
                        self.broker.handle_undelivered(session, events);
                        continue;
                    };
                    let before =
                        connection.carried.filter(|(same, _)| *same == session).map_or(0, |(_, events)| events);
                    connection.carried = Some((session, before.saturating_add(events)));
                }
                Output::Relay { .. } => debug_assert!(false, "a relay without other cores"),
                Output::Finish { token, tail } => {
                    let Some((key, connection)) = self.asking(token) else { continue };
                    connection.unsent.extend_from_slice(&tail);
                    self.answered(now, key);
                    self.put(now, key);
                }
            }
        }
    }

    /// Bytes were put on a connection. The one that is being worked on is written out when it has done its share; another one at once.
    fn put(&mut self, now: Now, key: ConnectionKey) {
        if self.busy != Some(key) {
            self.write_out(now, key);
            self.go_on_later(key);
        }
    }

    fn answer(&mut self, now: Now, token: ReplyToken, answer: Answer) {
        let date = self.date(now);
        let Some((key, connection)) = self.asking(token) else { return };
        let (reply, origin) = (connection.reply, connection.origin.take());
        let mut out = std::mem::take(&mut connection.unsent);
        let sent = match answer {
            Answer::Events { framing, body } => {
                let length = Body::Length(body.len() as u64);
                let sent = self.pushlet_head(&mut out, reply, &date, framing, origin.as_deref(), length);
                out.extend_from_slice(&body);
                sent
            }
            Answer::Error { status: 503, reason, retry_after_s } => {
                self.broker.counters_mut().requests_refused += 1;
                write_unavailable(&mut out, reply, &date, &reason, retry_after_s.unwrap_or(1))
            }
            Answer::Error { status, reason, .. } => {
                self.broker.counters_mut().requests_refused += 1;
                http::write_text(&mut out, reply, status, &reason, &date)
            }
        };
        if let Some(connection) = self.connection(key) {
            connection.unsent = out;
            connection.reply.keep_alive = sent.keep_alive;
        }
        self.answered(now, key);
        self.put(now, key);
    }

    /// P-33: the head of an answer with events.
    fn pushlet_head(
        &self,
        out: &mut Vec<u8>,
        reply: ReplyTo,
        date: &str,
        framing: crate::protocol::Framing,
        origin: Option<&str>,
        body: Body,
    ) -> http::Sent {
        let content_type = crate::wire::pushlet::content_type(framing);
        let head = ResponseHead::new(out, reply, 200, date).header("Content-Type", content_type).no_cache();
        self.parts.routes.cross_origin(head, origin).finish(body)
    }
}

pub(super) fn write_unavailable(
    out: &mut Vec<u8>,
    reply: ReplyTo,
    date: &str,
    reason: &str,
    retry_after_s: u32,
) -> http::Sent {
    let sent = ResponseHead::new(out, reply, 503, date)
        .header("Content-Type", "text/plain;charset=UTF-8")
        .header("Cache-Control", "no-store")
        .header("Retry-After", itoa::Buffer::new().format(retry_after_s))
        .finish(Body::Length(reason.len() as u64 + 1));
    if sent.content {
        out.extend_from_slice(reason.as_bytes());
        out.push(b'\n');
    }
    sent
}
