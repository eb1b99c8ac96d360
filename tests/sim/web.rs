//! WebSockets on a simulated core, as in `src/shell/web.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use pushletd::broker::{Answer, Home};
use pushletd::limits::{LINGER_MS, READ_BYTES_PER_TURN_MAX};
use pushletd::protocol::{Agent, ClaimedId, Command, Post, Problem, ReplyToken, Request};
use pushletd::time::Now;
use pushletd::wire::v1::{self, RequestId, Wanted, WsRequest};
use pushletd::wire::ws::{self, Bounds, Inbound, Incoming, Opcode, Role, Upgrade};

use super::core::{Carried, Core, State};
use super::exchange::DATE;
use super::kernel::{Kernel, Key, Transfer};

/// Longest message.
const MESSAGE_MAX: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Web {
    upgrade: Option<Box<Upgrade>>,
    work: Option<Box<Work>>,
    deflate: bool,
    is_pinged: bool,
    is_cut: bool,
}

#[derive(Default)]
struct Work {
    inbound: Option<Inbound>,
    requests: VecDeque<WsRequest>,
    asked: Option<Option<RequestId>>,
}

impl Web {
    pub(super) fn about_to_be(upgrade: Upgrade) -> Self {
        Self { upgrade: Some(Box::new(upgrade)), ..Self::default() }
    }

    pub(super) fn open(&mut self) -> Option<Box<Upgrade>> {
        let upgrade = self.upgrade.take()?;
        self.deflate = upgrade.deflate;
        Some(upgrade)
    }

    /// Bytes of memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.work.as_ref().and_then(|work| work.inbound.as_ref()).map_or(0, Inbound::held_bytes)
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    fn is_asking(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.asked.is_some())
    }

    fn has_requests(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.requests.is_empty())
    }

    fn rest(&mut self) {
        self.work.take_if(|work| work.inbound.is_none() && work.requests.is_empty() && work.asked.is_none());
    }
}

impl Core {
    pub(super) fn exchange_messages(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        let mut budget = READ_BYTES_PER_TURN_MAX;
        loop {
            let Some(connection) = self.connection(key) else { return };
            if !matches!(connection.state, State::Web(_)) {
                return self.go_on_later(key);
            }
            if !connection.unsent.is_empty() && !self.write_out(kernel, now, key) {
                return;
            }
            let out_of_requests = self.requests_left == 0;
            let Some(connection) = self.connection(key) else { return };
            if connection.web.is_asking() {
                return;
            }
            let has_requests = connection.web.has_requests();
            let has_unread = !connection.unread.is_empty() && !connection.web.is_cut;
            if !has_requests && !has_unread && !connection.readable {
                connection.web.rest();
                return;
            }
            if out_of_requests || (budget == 0 && !has_requests && !has_unread) {
                return self.go_on_later(key);
            }
            if has_requests {
                self.carry_out_all(kernel, now, key);
            } else if has_unread {
                let unread = std::mem::take(&mut connection.unread);
                self.take_frames(kernel, now, key, &unread);
            } else {
                budget = budget.saturating_sub(self.read_frames(kernel, now, key));
            }
        }
    }

    fn read_frames(&mut self, kernel: &mut Kernel, now: Now, key: Key) -> usize {
        let Some(connection) = self.connection(key) else { return 0 };
        let mut buffer = std::mem::take(&mut connection.unread);
        match kernel.receive(connection.socket, &mut buffer, READ_BYTES_PER_TURN_MAX) {
            Transfer::Bytes(bytes) => {
                connection.readable = bytes == READ_BYTES_PER_TURN_MAX || connection.peer_finished;
                connection.web.is_pinged = false;
                self.await_sign_of_life(now, key);
                self.take_frames(kernel, now, key, &buffer);
                bytes
            }
            Transfer::Blocked => {
                (connection.readable, connection.unread) = (false, buffer);
                0
            }
            Transfer::Closed => {
                self.close(kernel, now, key);
                0
            }
        }
    }

    fn take_frames(&mut self, kernel: &mut Kernel, now: Now, key: Key, mut input: &[u8]) {
        while !input.is_empty() && self.may_ask(key) {
            let Some(connection) = self.connection(key) else { return };
            connection.web.is_cut = false;
            let deflate = connection.web.deflate;
            let work = connection.web.work();
            let inbound = work.inbound.get_or_insert_with(|| Inbound::new(Role::Server, deflate));
            let taken = inbound.push(input, Bounds { frame: MESSAGE_MAX, message: MESSAGE_MAX });
            if inbound.is_idle() {
                work.inbound = None;
            }
            match taken.expect("the clients keep the rules") {
                (0, None) => {
                    connection.web.is_cut = true;
                    break;
                }
                (taken, incoming) => {
                    input = &input[taken..];
                    if let Some(incoming) = incoming {
                        self.take_message(kernel, now, key, incoming);
                        self.carry_out_all(kernel, now, key);
                    }
                }
            }
        }
        if let Some(connection) = self.connection(key)
            && matches!(connection.state, State::Web(_))
        {
            connection.unread.extend_from_slice(input);
            connection.web.rest();
        }
    }

    fn may_ask(&mut self, key: Key) -> bool {
        let out_of_requests = self.requests_left == 0;
        self.connection(key).is_some_and(|connection| {
            let is_idle = !connection.web.is_asking() && !connection.web.has_requests();
            matches!(connection.state, State::Web(_)) && is_idle && !out_of_requests && !connection.is_owed_much()
        })
    }

    fn carry_out_all(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        while self.requests_left > 0 {
            let Some(connection) = self.connection(key) else { return };
            if !connection.web.has_requests() || connection.web.is_asking() || connection.is_owed_much() {
                return;
            }
            self.carry_out(kernel, now, key);
        }
    }

    fn take_message(&mut self, kernel: &mut Kernel, now: Now, key: Key, incoming: Incoming) {
        match incoming {
            Incoming::Pong(_) => self.requests_left = self.requests_left.saturating_sub(1),
            Incoming::Ping(payload) => {
                self.requests_left = self.requests_left.saturating_sub(1);
                let mut frame = Vec::new();
                ws::write(Opcode::Pong, &payload, &mut frame);
                self.interject(kernel, now, key, &frame);
            }
            Incoming::Text(text) => {
                let places = v1::requests(&text).expect("the clients send JSON");
                let requests = places.into_iter().map(|at| v1::request(&text[at]));
                if let Some(connection) = self.connection(key) {
                    connection.web.work().requests.extend(requests);
                }
            }
            Incoming::Binary(_) => panic!("the clients send no such thing"),
            Incoming::Close(closing) => {
                let mut frame = Vec::new();
                match ws::answer_code(closing.as_ref()) {
                    Some(code) => ws::close(code, "", &mut frame),
                    None => ws::write(Opcode::Close, &[], &mut frame),
                }
                self.close_web(kernel, now, key, &frame);
            }
        }
    }

    fn carry_out(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        self.requests_left = self.requests_left.saturating_sub(1);
        let core = self.number;
        let Some(connection) = self.connection(key) else { return };
        let (State::Web(home), serial) = (connection.state, connection.serial) else { return };
        let Some(WsRequest { id, wanted }) = connection.web.work().requests.pop_front() else { return };
        let Some((session, identity)) = self.hub.broker().identify(home.session) else {
            panic!("a WebSocket without a session");
        };
        let claimed = ClaimedId::WellFormed(session);
        let command = match wanted {
            Err(problem) => return self.say(kernel, now, key, &v1::nack(id.as_ref(), &problem)),
            Ok(Wanted::Ping) => return self.say(kernel, now, key, &v1::pong(id.as_ref(), now.unix_s)),
            Ok(Wanted::Subscribe(wanted)) => Command::Add { id: claimed, wanted },
            Ok(Wanted::Unsubscribe(lists)) => Command::Remove { id: claimed, lists },
            Ok(Wanted::Publish(publication)) => {
                let items = vec![Ok(publication)];
                Command::Post(Box::new(Post { items, list: false, key: None, publisher: Some(session) }))
            }
        };
        if let Some(connection) = self.connection(key) {
            connection.web.work().asked = Some(id);
        }
        let token = ReplyToken { core, connection: key.slot, serial };
        let agent = Agent { identity, ..Agent::default() };
        let request = Request { token, command, path: Arc::from("/v1/ws"), chunked: true, agent, draw: [0; 2] };
        self.ask(kernel, now, request);
    }

    pub(super) fn answer_message(&mut self, kernel: &mut Kernel, now: Now, key: Key, answer: Answer) {
        let Some(connection) = self.connection(key) else { return };
        let id = connection.web.work().asked.take().expect("an answer that no message waits for");
        let text = match answer {
            Answer::Done => id.as_ref().map(v1::ack),
            Answer::Posted(posted) => v1::posted(id.as_ref(), &posted),
            Answer::Problem(problem) => Some(v1::nack(id.as_ref(), &problem)),
            Answer::Error { status, reason, retry_after_s } => {
                let problem = Problem { retry_after_s, ..Problem::new(status, reason) };
                Some(v1::nack(id.as_ref(), &problem))
            }
            Answer::Events { .. } => panic!("a message is answered by a message"),
        };
        if let Some(text) = text {
            self.say(kernel, now, key, &text);
        }
        if self.busy != Some(key) {
            kernel.count("message answered later");
            self.go_on_later(key);
        }
    }

    fn say(&mut self, kernel: &mut Kernel, now: Now, key: Key, text: &[u8]) {
        let mut frame = Vec::new();
        ws::write(Opcode::Text, text, &mut frame);
        self.interject(kernel, now, key, &frame);
    }

    fn interject(&mut self, kernel: &mut Kernel, now: Now, key: Key, frames: &[u8]) -> bool {
        let core = self.number;
        let Some(connection) = self.connection(key) else { return false };
        let State::Web(home) = connection.state else { return false };
        let request = connection.request;
        let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
        let Some((rest, missed)) = self.hub.handle_interjection(home, token) else {
            kernel.count("answer to a session that has ended");
            return false;
        };
        let Some(connection) = self.connection(key) else { return false };
        let unsent = connection.unsent_mut(kernel);
        unsent.extend_from_slice(&rest);
        unsent.extend_from_slice(frames);
        if missed > 0 {
            kernel.count("answer behind an event that was out in part");
            connection.carried.push(Carried { home, events: missed, request, ahead: false });
        }
        self.put(kernel, now, key);
        true
    }

    fn close_web(&mut self, kernel: &mut Kernel, now: Now, key: Key, frame: &[u8]) {
        if !self.interject(kernel, now, key, frame) {
            return;
        }
        let core = self.number;
        let Some(connection) = self.connection(key) else { return };
        let State::Web(home) = connection.state else { return };
        let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
        connection.state = State::Closing;
        connection.unread = Vec::new();
        connection.web = Web::default();
        self.set_deadline(key, now.instant + LINGER_MS);
        self.hub.handle_disconnect(now, home, token);
        self.apply_effects(kernel, now);
        self.go_on_later(key);
    }

    pub(super) fn await_sign_of_life(&mut self, now: Now, key: Key) {
        let silence_ms = self.patience.silence_ms;
        self.set_deadline(key, now.instant + silence_ms);
    }

    pub(super) fn web_is_silent(&mut self, kernel: &mut Kernel, now: Now, key: Key, home: Home) {
        let core = self.number;
        let Some(connection) = self.connection(key) else { return };
        if connection.readable || connection.web.is_asking() || connection.web.has_requests() {
            kernel.count("client not listened to is not silent");
            return self.await_sign_of_life(now, key);
        }
        if std::mem::replace(&mut connection.web.is_pinged, true) {
            let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
            self.hub.handle_silence(now, home, token);
            return self.apply_effects(kernel, now);
        }
        let pong_ms = self.patience.pong_ms;
        self.set_deadline(key, now.instant + pong_ms);
        let mut ping = Vec::new();
        ws::write(Opcode::Ping, &[], &mut ping);
        self.interject(kernel, now, key, &ping);
    }

    pub(super) fn open_web(
        &mut self,
        kernel: &mut Kernel,
        now: Now,
        key: Key,
        home: Home,
        upgrade: &Upgrade,
        lead: &[u8],
    ) {
        let Some(connection) = self.connection(key) else { return };
        let out = connection.unsent_mut(kernel);
        ws::switching_protocols(upgrade, DATE, &[], out);
        out.extend_from_slice(lead);
        connection.state = State::Web(home);
        connection.reply.keep_alive = false;
        self.await_sign_of_life(now, key);
        self.put(kernel, now, key);
    }
}
