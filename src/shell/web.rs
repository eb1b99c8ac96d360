//! WebSockets: requests come in and are answered, between the events that go out.
//!
//! A WebSocket is a data answer that never ends, on which its client goes on asking. Events are written by the flusher, from the session's outbox.
//! What answers a request is put on the connection; if an event is out in part, its rest goes in front. One request is carried out at a time, and
//! a client that does not take its answers is not read.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::connection::{Carried, ConnectionKey, State};
use super::core::Core;
use super::net::{self, Transfer};
use crate::broker::{Answer, Home};
use crate::limits::{LINGER_MS, READ_BYTES_PER_TURN_MAX};
use crate::protocol::{Agent, ClaimedId, Command, Post, Problem, ReplyToken, Request};
use crate::time::{Instant, Now};
use crate::wire::v1::{self, RequestId, Wanted, WsRequest};
use crate::wire::ws::{self, Bounds, Closing, Inbound, Incoming, Opcode, Role, Upgrade};

/// RFC 6455 section 7.4.1: data of a kind that is not taken.
const UNSUPPORTED_DATA: u16 = 1003;

/// To change so many subscriptions is as much work as to serve a request.
const SUBSCRIPTIONS_PER_REQUEST: usize = 8;
/// To read so many bytes of JSON is, too.
const BYTES_PER_REQUEST: usize = 2048;
/// RFC 6455 section 7.4.1: what is done is against the rules of this server.
const POLICY_VIOLATION: u16 = 1008;

/// What a connection is as a WebSocket. One that is idle holds nothing.
#[derive(Debug, Default)]
pub(super) struct Web {
    /// What its handshake agreed on, until it is answered.
    upgrade: Option<Box<Upgrade>>,
    /// What it is in the middle of.
    work: Option<Box<Work>>,
    /// Its client compresses messages (RFC 7692).
    deflate: bool,
    /// It has been asked for a sign of life.
    is_pinged: bool,
    /// What is unread is the beginning of a frame's head.
    is_cut: bool,
}

/// What a WebSocket is in the middle of.
#[derive(Debug, Default)]
struct Work {
    /// A message that has not come whole.
    inbound: Option<Inbound>,
    /// When that must have come whole.
    whole_by: Option<Instant>,
    /// A message that has come whole, and where its requests stand that have not been carried out.
    message: String,
    requests: VecDeque<Range<usize>>,
    /// The one that is with the broker.
    asked: Option<Option<RequestId>>,
}

impl Work {
    fn is_over(&self) -> bool {
        self.inbound.is_none() && self.requests.is_empty() && self.asked.is_none()
    }
}

impl Web {
    /// A connection whose next answer may make it a WebSocket.
    pub(super) fn about_to_be(upgrade: Box<Upgrade>) -> Self {
        Self { upgrade: Some(upgrade), ..Self::default() }
    }

    /// What its handshake agreed on: from now on it is one.
    pub(super) fn open(&mut self) -> Option<Box<Upgrade>> {
        let upgrade = self.upgrade.take()?;
        self.deflate = upgrade.deflate;
        Some(upgrade)
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// When the message that has begun must have come whole.
    fn whole_by(&self) -> Option<Instant> {
        self.work.as_ref().and_then(|work| work.whole_by)
    }

    fn is_asking(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.asked.is_some())
    }

    fn has_requests(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.requests.is_empty())
    }

    /// Gives back what is not needed while it is idle.
    fn rest(&mut self) {
        self.work.take_if(|work| work.is_over());
    }
}

impl Core {
    /// Does what can be done on a WebSocket: reads, carries out requests, answers, writes.
    pub(super) fn exchange_messages(&mut self, now: Now, key: ConnectionKey) {
        let mut budget = READ_BYTES_PER_TURN_MAX;
        loop {
            let Some(connection) = self.connection(key) else { return };
            if !matches!(connection.state, State::Web(_)) {
                // It has ended; what is left is to take leave.
                return self.go_on_later(key);
            }
            // Who does not take its answers is not asked what else it wants.
            if !connection.unsent.is_empty() && !self.write_out(now, key) {
                return;
            }
            let out_of_requests = self.requests_left == 0;
            let Some(connection) = self.connection(key) else { return };
            if connection.web.is_asking() {
                return;
            }
            let has_requests = connection.web.has_requests();
            let has_unread = connection.has_unread() && !connection.web.is_cut;
            if !has_requests && !has_unread && !connection.readable {
                connection.web.rest();
                return;
            }
            if out_of_requests || (budget == 0 && !has_requests && !has_unread) {
                return self.go_on_later(key);
            }
            if has_requests {
                self.carry_out_all(now, key);
            } else if has_unread {
                let unread = connection.take_unread();
                self.take_frames(now, key, &unread);
            } else {
                budget = budget.saturating_sub(self.read_frames(now, key));
            }
        }
    }

    /// Reads once and takes what came. Says how many bytes came.
    fn read_frames(&mut self, now: Now, key: ConnectionKey) -> usize {
        let mut buffer = self.take_buffer();
        let Some(connection) = self.connection(key) else { return 0 };
        let came = match net::receive(&connection.socket, &mut buffer) {
            Transfer::Bytes(bytes) => {
                connection.readable = bytes == buffer.len() || connection.peer_finished;
                connection.web.is_cut = false;
                let cut = connection.take_unread();
                self.saw_sign_of_life(now, key);
                if cut.is_empty() {
                    self.take_frames(now, key, &buffer[..bytes]);
                } else {
                    self.take_frames(now, key, &[&cut, &buffer[..bytes]].concat());
                }
                bytes
            }
            Transfer::Blocked => {
                connection.readable = false;
                0
            }
            Transfer::Closed => {
                // RFC 6455 section 7.1.7: the end of the connection without a Close frame.
                self.close(now, key);
                0
            }
        };
        self.return_buffer(buffer);
        came
    }

    /// Takes frames and does what they want, as long as the connection may ask; the rest waits in `unread`.
    fn take_frames(&mut self, now: Now, key: ConnectionKey, mut input: &[u8]) {
        let (max, body_ms) = (self.parts.routes.ws_message_max as usize, self.parts.patience.body_ms);
        while !input.is_empty() && self.may_ask(key) {
            let Some(connection) = self.connection(key) else { return };
            connection.web.is_cut = false;
            let deflate = connection.web.deflate;
            let work = connection.web.work();
            let inbound = work.inbound.get_or_insert_with(|| Inbound::new(Role::Server, deflate));
            let taken = inbound.push(input, Bounds { frame: max, message: max });
            if inbound.is_idle() {
                (work.inbound, work.whole_by) = (None, None);
            } else {
                work.whole_by.get_or_insert(now.instant + body_ms);
            }
            match taken {
                Err(fault) => {
                    self.hub.counters_mut().requests_refused += 1;
                    return self.close_web(now, key, Some((fault.code, fault.reason)));
                }
                Ok((0, None)) => {
                    connection.web.is_cut = true;
                    break;
                }
                Ok((taken, incoming)) => {
                    input = &input[taken..];
                    if let Some(incoming) = incoming {
                        self.take_message(now, key, incoming);
                        self.carry_out_all(now, key);
                    }
                }
            }
        }
        if let Some(connection) = self.connection(key)
            && matches!(connection.state, State::Web(_))
        {
            connection.keep_unread(input);
            connection.web.rest();
            if connection.web.whole_by().is_some() {
                self.await_sign_of_life(now, key);
            }
        }
    }

    /// Whether a WebSocket may ask for more in this turn: one request at a time, so many a turn, and who asks for much gets no more than it takes.
    fn may_ask(&mut self, key: ConnectionKey) -> bool {
        let out_of_requests = self.requests_left == 0;
        self.connection(key).is_some_and(|connection| {
            let is_idle = !connection.web.is_asking() && !connection.web.has_requests();
            matches!(connection.state, State::Web(_)) && is_idle && !out_of_requests && !connection.is_owed_much()
        })
    }

    /// Carries out what messages that have come ask for, as far as the connection may go on.
    fn carry_out_all(&mut self, now: Now, key: ConnectionKey) {
        while self.requests_left > 0 {
            let Some(connection) = self.connection(key) else { return };
            if !connection.web.has_requests() || connection.web.is_asking() || connection.is_owed_much() {
                return;
            }
            self.carry_out(now, key);
        }
    }

    fn take_message(&mut self, now: Now, key: ConnectionKey, incoming: Incoming) {
        match incoming {
            // RFC 6455 section 5.5.3: unasked, or an answer to a ping: the bytes were the sign of life.
            Incoming::Pong(_) => self.requests_left = self.requests_left.saturating_sub(1),
            Incoming::Ping(payload) => {
                self.requests_left = self.requests_left.saturating_sub(1);
                let mut frame = Vec::with_capacity(payload.len() + 2);
                ws::write(Opcode::Pong, &payload, &mut frame);
                self.interject(now, key, &frame);
            }
            Incoming::Text(text) => {
                // A compressed message may be much larger than what was read.
                self.charge(text.len() / BYTES_PER_REQUEST);
                self.take_text(now, key, text);
            }
            Incoming::Binary(_) => {
                self.hub.counters_mut().requests_refused += 1;
                let reason = "messages are JSON text, not binary";
                self.close_web(now, key, Some((UNSUPPORTED_DATA, reason)));
            }
            Incoming::Close(closing) => self.answer_close(now, key, closing.as_ref()),
        }
    }

    /// Keeps the requests of a message, to be carried out one by one.
    fn take_text(&mut self, now: Now, key: ConnectionKey, text: String) {
        match v1::requests(&text) {
            Ok(requests) => {
                if let Some(connection) = self.connection(key) {
                    let work = connection.web.work();
                    (work.message, work.requests) = (text, requests.into());
                }
            }
            Err(problem) => {
                self.hub.counters_mut().requests += 1;
                self.requests_left = self.requests_left.saturating_sub(1);
                self.nack(now, key, None, &problem);
            }
        }
    }

    /// Carries out the next request.
    fn carry_out(&mut self, now: Now, key: ConnectionKey) {
        self.requests_left = self.requests_left.saturating_sub(1);
        self.hub.counters_mut().requests += 1;
        let core = self.parts.number;
        let Some(connection) = self.connection(key) else { return };
        let (State::Web(home), serial) = (connection.state, connection.serial) else { return };
        let work = connection.web.work();
        let Some(place) = work.requests.pop_front() else { return };
        let WsRequest { id, wanted } = v1::request(work.message.get(place).unwrap_or_default());
        if work.requests.is_empty() {
            work.message = String::new();
        }
        let Some((session, identity)) = self.hub.broker().identify(home.session) else { return };
        let claimed = ClaimedId::WellFormed(session);
        let command = match wanted {
            Err(problem) => return self.nack(now, key, id.as_ref(), &problem),
            Ok(Wanted::Ping) => {
                let pong = v1::pong(id.as_ref(), now.unix_s);
                return self.say(now, key, &pong);
            }
            Ok(Wanted::Subscribe(wanted)) => {
                self.charge(wanted.len() / SUBSCRIPTIONS_PER_REQUEST);
                Command::Add { id: claimed, wanted }
            }
            Ok(Wanted::Unsubscribe(lists)) => {
                self.charge(lists.len() / SUBSCRIPTIONS_PER_REQUEST);
                Command::Remove { id: claimed, lists }
            }
            Ok(Wanted::Publish(publication)) => {
                let mut items = vec![Ok(publication)];
                self.parts.routes.keep_secrets(&mut items);
                Command::Post(Box::new(Post { items, list: false, key: None, publisher: Some(session) }))
            }
        };
        if let Some(connection) = self.connection(key) {
            connection.web.work().asked = Some(id);
        }
        let token = ReplyToken { core, connection: key.slot, serial };
        let agent = Agent { identity, ..Agent::default() };
        let path = Arc::from("/v1/ws");
        self.ask_after_letters(now, Request { token, command, path, chunked: true, agent, draw: [0; 2] });
    }

    /// Something is as much work as so many further requests.
    fn charge(&mut self, requests: usize) {
        self.requests_left = self.requests_left.saturating_sub(u32::try_from(requests).unwrap_or(u32::MAX));
    }

    /// The answer of the request that is with the broker.
    pub(super) fn answer_message(&mut self, now: Now, key: ConnectionKey, answer: Answer) {
        let Some(connection) = self.connection(key) else { return };
        let Some(id) = connection.web.work().asked.take() else {
            return debug_assert!(false, "an answer that no message waits for");
        };
        match answer {
            Answer::Done => {
                if let Some(id) = id {
                    self.say(now, key, &v1::ack(&id));
                }
            }
            Answer::Posted(posted) => {
                self.hub.counters_mut().requests_refused += u64::from(posted.accepted() == 0);
                if let Some(text) = v1::posted(id.as_ref(), &posted) {
                    self.say(now, key, &text);
                }
            }
            Answer::Problem(problem) => self.nack(now, key, id.as_ref(), &problem),
            Answer::Error { status, reason, retry_after_s } => {
                let problem = Problem { retry_after_s, ..Problem::new(status, reason) };
                self.nack(now, key, id.as_ref(), &problem);
            }
            Answer::Events { .. } => debug_assert!(false, "a message is answered by a message"),
        }
        if self.busy != Some(key) {
            self.go_on_later(key);
        }
    }

    fn nack(&mut self, now: Now, key: ConnectionKey, id: Option<&RequestId>, problem: &Problem) {
        self.hub.counters_mut().requests_refused += 1;
        self.say(now, key, &v1::nack(id, problem));
    }

    /// Sends a message.
    fn say(&mut self, now: Now, key: ConnectionKey, text: &[u8]) {
        let mut frame = Vec::with_capacity(text.len() + 4);
        ws::write(Opcode::Text, text, &mut frame);
        self.interject(now, key, &frame);
    }

    /// Puts frames on the connection, between two events. Not if its session has ended: that is all that is still to be said, and the shell
    /// hears of it with one of the next outputs. Says whether it did.
    fn interject(&mut self, now: Now, key: ConnectionKey, frames: &[u8]) -> bool {
        let core = self.parts.number;
        let Some(connection) = self.connection(key) else { return false };
        let State::Web(home) = connection.state else { return false };
        let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
        let Some((rest, missed)) = self.hub.handle_interjection(home, token) else { return false };
        let Some(connection) = self.connection(key) else { return false };
        connection.unsent.extend_from_slice(&rest);
        connection.unsent.extend_from_slice(frames);
        if missed > 0 {
            connection.carries(Carried { home, events: missed, ahead: false });
        }
        self.put(now, key);
        true
    }

    /// RFC 6455 section 5.5.1: the client closes, and is answered in kind. Its session ends with that.
    fn answer_close(&mut self, now: Now, key: ConnectionKey, closing: Option<&Closing>) {
        self.close_web(now, key, ws::answer_code(closing).map(|code| (code, "")));
    }

    /// Ends a WebSocket with a Close frame, and its session.
    fn close_web(&mut self, now: Now, key: ConnectionKey, why: Option<(u16, &str)>) {
        let mut frame = Vec::with_capacity(128);
        match why {
            Some((code, reason)) => ws::close(code, reason, &mut frame),
            None => ws::write(Opcode::Close, &[], &mut frame),
        }
        if !self.interject(now, key, &frame) {
            return;
        }
        let core = self.parts.number;
        let Some(connection) = self.connection(key) else { return };
        let State::Web(home) = connection.state else { return };
        let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
        connection.state = State::Closing;
        connection.take_unread();
        connection.web = Web::default();
        self.set_deadline(key, now.instant + LINGER_MS);
        self.hub.handle_disconnect(now, home, token);
        self.apply_effects(now);
        self.go_on_later(key);
    }

    /// It was not read for a while, so nothing could come.
    pub(super) fn listens_again(&mut self, now: Now, key: ConnectionKey) {
        let body_ms = self.parts.patience.body_ms;
        let work = self.connection(key).and_then(|connection| connection.web.work.as_mut());
        if let Some(at) = work.and_then(|work| work.whole_by.as_mut()) {
            *at = now.instant + body_ms;
        }
        self.await_sign_of_life(now, key);
    }

    /// Its client lives.
    pub(super) fn saw_sign_of_life(&mut self, now: Now, key: ConnectionKey) {
        if let Some(connection) = self.connection(key) {
            connection.web.is_pinged = false;
            self.await_sign_of_life(now, key);
        }
    }

    /// From now on it may be silent for so long.
    pub(super) fn await_sign_of_life(&mut self, now: Now, key: ConnectionKey) {
        let silent = now.instant + self.parts.patience.silence_ms;
        let whole_by = self.connection(key).and_then(|connection| connection.web.whole_by());
        self.set_deadline(key, whole_by.map_or(silent, |at| at.min(silent)));
    }

    /// Nothing has come for long: the client is asked for a sign of life (RFC 6455 section 5.5.2), and if it gives none it is gone.
    pub(super) fn web_is_silent(&mut self, now: Now, key: ConnectionKey, home: Home) {
        let core = self.parts.number;
        let Some(connection) = self.connection(key) else { return };
        if connection.readable || connection.web.is_asking() || connection.web.has_requests() {
            // It has been heard, only not listened to: what it asked before comes first.
            return self.listens_again(now, key);
        }
        if connection.web.whole_by().is_some_and(|at| at <= now.instant) {
            self.hub.counters_mut().connections_timed_out += 1;
            let reason = "a message must be complete within the time that a request has";
            return self.close_web(now, key, Some((POLICY_VIOLATION, reason)));
        }
        if std::mem::replace(&mut connection.web.is_pinged, true) {
            self.hub.counters_mut().connections_timed_out += 1;
            let Some(connection) = self.connection(key) else { return };
            let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
            self.hub.handle_silence(now, home, token);
            return self.apply_effects(now);
        }
        let pong_ms = self.parts.patience.pong_ms;
        self.set_deadline(key, now.instant + pong_ms);
        let mut ping = Vec::new();
        ws::write(Opcode::Ping, &[], &mut ping);
        self.interject(now, key, &ping);
    }

    /// The head that makes a connection a WebSocket, and what comes first on it (RFC 6455 section 4.2.2).
    pub(super) fn open_web(&mut self, now: Now, key: ConnectionKey, home: Home, upgrade: &Upgrade, lead: &[u8]) {
        let date = self.date(now);
        let Some(connection) = self.connection(key) else { return };
        let origin = connection.take_origin();
        let mut out = std::mem::take(&mut connection.unsent);
        let extra = self.parts.routes.cross_origin_fields(origin.as_deref());
        ws::switching_protocols(upgrade, &date, &extra, &mut out);
        out.extend_from_slice(lead);
        if let Some(connection) = self.connection(key) {
            connection.state = State::Web(home);
            // Nothing else can follow on it.
            connection.reply.keep_alive = false;
            connection.unsent = out;
        }
        self.await_sign_of_life(now, key);
        self.put(now, key);
    }
}
