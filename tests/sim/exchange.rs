//! Requests, answers and hand-overs on the connections of a simulated core, as in `src/shell`.

use std::sync::Arc;

use pushletd::broker::{Answer, Arrival, Home, Output};
use pushletd::limits::{
    DEPARTURES_PER_TURN_MAX, LINGER_MS, OVERLOAD_MS, READ_BYTES_PER_TURN_MAX, REQUESTS_PER_TURN_MAX,
};
use pushletd::protocol::{Agent, Command, Door, Framing, IdempotencyKey, Post, ReplyToken, Request};
use pushletd::time::{Instant, Now};
use pushletd::wire::http::{
    self, Body, HttpError, HttpRequest, Phase, Progress, ReplyTo, RequestHead, ResponseHead, Version,
};
use pushletd::wire::pushlet::{self, Incoming};
use pushletd::wire::{v1, ws};

use super::core::{Carried, Core, Departure, State};
use super::kernel::{Kernel, Key, Transfer};
use super::web::Web;

/// What an output is called in a trace.
fn name(output: &Output) -> &'static str {
    match output {
        Output::Answer { .. } => "an answer",
        Output::Open { .. } => "the beginning of an answer",
        Output::Carries { .. } => "events",
        Output::Finish { .. } => "the end of an answer",
        Output::Relay { .. } => "an event",
        Output::Summon { .. } => "a summons",
    }
}

fn events_head(out: &mut Vec<u8>, reply: ReplyTo, framing: Framing) -> ResponseHead<'_> {
    if framing.is_modern() {
        return v1::answer_head(framing, out, reply, DATE);
    }
    ResponseHead::new(out, reply, 200, DATE).header("Content-Type", pushlet::content_type(framing)).no_cache()
}

/// What a request asks for. Those for the modern doors are good ones.
fn read(request: &HttpRequest) -> Result<(Command, Agent), pushlet::RequestError> {
    let head = &request.head;
    let query = || v1::Query::read(&head.query).expect("a query");
    let command = match &*head.path {
        "/v1/sse" => {
            let opening = v1::opening(Door::EventStream, &query(), None).expect("what to listen to");
            Command::Open(Box::new(opening))
        }
        "/v1/ws" => {
            let door = Door::WebSocket { deflate: upgrade(head).deflate };
            Command::Open(Box::new(v1::opening(door, &query(), None).expect("what to listen to")))
        }
        "/v1/subscribe" => v1::amendment(&query(), true).expect("what to listen to"),
        "/v1/publish" => {
            let (items, list) = v1::read(v1::Body::Json, &query(), None, &request.body).expect("what to publish");
            let key = head.idempotency_key.as_deref().map(|text| {
                let hash = text.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
                IdempotencyKey { text: Arc::from(text), fingerprint: hash, hash, is_known: false }
            });
            Command::Post(Box::new(Post { items, list, key, publisher: None }))
        }
        path => {
            let incoming = Incoming {
                post: head.method == http::Method::Post,
                path,
                query: &head.query,
                body: &request.body,
                user_agent: head.user_agent.as_deref(),
                force_pull_agents: &[],
            };
            return pushlet::read(&incoming);
        }
    };
    Ok((command, Agent::default()))
}

fn upgrade(head: &RequestHead) -> ws::Upgrade {
    ws::upgrade(head, true).expect("a handshake")
}

pub(super) const DATE: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

impl Core {
    pub(super) fn go_on(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        assert_eq!(self.busy, None, "one connection at a time");
        self.busy = Some(key);
        self.requests_left = REQUESTS_PER_TURN_MAX;
        self.exchange(kernel, now, key);
        self.busy = None;
        if self.draining {
            self.end_if_idle(kernel, now, key);
        }
    }

    fn end_if_idle(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        let between = connection.state == State::Reading && connection.reader.phase() == Phase::Idle;
        if between && connection.unread.is_empty() && connection.unsent.is_empty() && !connection.queued {
            self.close(kernel, now, key);
        }
    }

    fn exchange(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        let mut budget = READ_BYTES_PER_TURN_MAX;
        loop {
            let Some(connection) = self.connection(key) else { return };
            match connection.state {
                State::Asked => break,
                State::Leaving(_) => return self.depart_waiting(kernel, now),
                State::Data(_) if connection.peer_finished => return self.close(kernel, now, key),
                State::Data(_) => break,
                State::Web(_) => return self.exchange_messages(kernel, now, key),
                State::Closing => return self.farewell(kernel, now, key),
                State::Reading => {}
            }
            if !connection.unsent.is_empty() && !self.write_out(kernel, now, key) {
                return;
            }
            let out_of_requests = self.requests_left == 0;
            let Some(connection) = self.connection(key) else { return };
            let is_unread = !connection.unread.is_empty();
            if !is_unread && !connection.readable {
                break;
            } else if out_of_requests {
                self.go_on_later(key);
                break;
            } else if is_unread {
                let unread = std::mem::take(&mut connection.unread);
                self.parse(kernel, now, key, &unread);
            } else if budget == 0 {
                self.go_on_later(key);
                break;
            } else {
                budget = budget.saturating_sub(self.read(kernel, now, key));
            }
            if !self.settled(kernel, now, key) {
                return;
            }
        }
        self.settled(kernel, now, key);
    }

    fn settled(&mut self, kernel: &mut Kernel, now: Now, key: Key) -> bool {
        match self.connection(key) {
            None => false,
            Some(connection) => {
                let data = matches!(connection.state, State::Data(_) | State::Web(_));
                connection.unsent.is_empty() || self.write_out(kernel, now, key) || data
            }
        }
    }

    fn read(&mut self, kernel: &mut Kernel, now: Now, key: Key) -> usize {
        let Some(connection) = self.connection(key) else { return 0 };
        let mut buffer = Vec::new();
        match kernel.receive(connection.socket, &mut buffer, READ_BYTES_PER_TURN_MAX) {
            Transfer::Bytes(bytes) => {
                connection.readable = bytes == READ_BYTES_PER_TURN_MAX || connection.peer_finished;
                self.parse(kernel, now, key, &buffer);
                bytes
            }
            Transfer::Blocked => {
                connection.readable = false;
                0
            }
            Transfer::Closed => {
                (connection.readable, connection.peer_finished) = (false, true);
                if connection.unsent.is_empty() {
                    self.close(kernel, now, key);
                } else {
                    connection.state = State::Closing;
                    self.set_deadline(key, now.instant + LINGER_MS);
                }
                0
            }
        }
    }

    fn parse(&mut self, kernel: &mut Kernel, now: Now, key: Key, mut input: &[u8]) {
        while !input.is_empty() {
            let out_of_requests = self.requests_left == 0;
            let Some(connection) = self.connection(key) else { return };
            if connection.state != State::Reading || out_of_requests {
                connection.unread.extend_from_slice(input);
                return;
            }
            let before = connection.reader.phase();
            match connection.reader.push(input) {
                Err(error) => return self.refuse(kernel, now, key, &error),
                Ok((taken, progress)) => {
                    input = &input[taken..];
                    let after = connection.reader.phase();
                    if let Progress::Complete(request) = progress {
                        self.requests_left = self.requests_left.saturating_sub(1);
                        self.request(kernel, now, key, *request);
                    } else if after != before {
                        self.await_phase(now, key, after);
                    }
                }
            }
        }
    }

    pub(super) fn set_patience(&mut self, now: Now, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        match connection.state {
            State::Reading => {
                let phase = connection.reader.phase();
                self.await_phase(now, key, phase);
            }
            State::Closing => self.set_deadline(key, now.instant + LINGER_MS),
            State::Asked | State::Data(_) => self.set_deadline(key, Instant::NEVER),
            State::Web(_) => self.await_sign_of_life(now, key),
            State::Leaving(_) => self.set_deadline(key, now.instant + OVERLOAD_MS),
        }
    }

    fn await_phase(&mut self, now: Now, key: Key, phase: Phase) {
        let wait_ms = match phase {
            Phase::Idle => self.patience.idle_ms,
            Phase::Head => self.patience.head_ms,
            Phase::Body => self.patience.body_ms,
        };
        self.set_deadline(key, now.instant + wait_ms);
    }

    fn request(&mut self, kernel: &mut Kernel, now: Now, key: Key, request: HttpRequest) {
        let draining = self.draining;
        self.serial = self.serial.wrapping_add(1);
        let (serial, core) = (self.serial, self.number);
        let Some(connection) = self.connection(key) else { return };
        connection.reply = ReplyTo::from(&request.head);
        // P-32: the answer says that it is the last one.
        connection.reply.keep_alive &= !draining;
        connection.serial = serial;
        connection.state = State::Asked;
        connection.request = kernel.sockets[connection.socket].requests;
        kernel.sockets[connection.socket].requests += 1;
        let head = &request.head;
        if *head.path == *"/v1/ws" {
            connection.web = Web::about_to_be(upgrade(head));
        }
        match read(&request) {
            Err(error) => {
                let reply = connection.reply;
                let _ = http::write_text(connection.unsent_mut(kernel), reply, error.status, &error.reason, DATE);
                self.answered(now, key);
            }
            Ok((command, agent)) => {
                let joins = matches!(command, Command::Join { .. } | Command::JoinListen { .. } | Command::Open(_));
                let draw = if joins { [kernel.rng.u128(..), kernel.rng.u128(..)] } else { [0; 2] };
                let token = ReplyToken { core, connection: key.slot, serial };
                let path = Arc::clone(&head.path);
                let chunked = head.version == Version::Http11;
                self.ask(kernel, now, Request { token, command, path, chunked, agent, draw });
            }
        }
    }

    fn answered(&mut self, now: Now, key: Key) {
        let (draining, idle_ms) = (self.draining, self.patience.idle_ms);
        let Some(connection) = self.connection(key) else { return };
        let (state, wait_ms) = if connection.reply.keep_alive && !draining {
            (State::Reading, idle_ms)
        } else {
            (State::Closing, LINGER_MS)
        };
        connection.state = state;
        if state == State::Closing {
            connection.web = Web::default();
        }
        self.set_deadline(key, now.instant + wait_ms);
    }

    pub(super) fn refuse(&mut self, kernel: &mut Kernel, now: Now, key: Key, error: &HttpError) {
        let Some(connection) = self.connection(key) else { return };
        let _ = http::write_error(connection.unsent_mut(kernel), error, DATE);
        connection.state = State::Closing;
        connection.unread = Vec::new();
        self.set_deadline(key, now.instant + LINGER_MS);
    }

    fn farewell(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        connection.unread = Vec::new();
        if !connection.unsent.is_empty() && !self.write_out(kernel, now, key) {
            return;
        }
        let Some(connection) = self.connection(key) else { return };
        if !std::mem::replace(&mut connection.shut, true) {
            kernel.shutdown_write(connection.socket);
        }
        let mut dropped = Vec::new();
        while let Transfer::Bytes(_) = kernel.receive(connection.socket, &mut dropped, READ_BYTES_PER_TURN_MAX) {}
        if kernel.receive(connection.socket, &mut dropped, 1) == Transfer::Closed {
            self.close(kernel, now, key);
        }
    }

    pub(super) fn apply(&mut self, kernel: &mut Kernel, now: Now, core: u16, output: Output) {
        let line = output.token().and_then(|token| self.asking(token)).map(|(_, connection)| connection.socket);
        kernel.note(format_args!("core {}: core {core} has {} for line {line:?}", self.number, name(&output)));
        match output {
            Output::Answer { token, answer } => {
                if token.core != core {
                    kernel.count("answer from another core");
                }
                self.answer(kernel, now, token, answer);
            }
            Output::Open { token, session, framing, lead } => {
                let home = Home { core, session };
                let Some((key, connection)) = self.asking(token) else {
                    return self.hub.handle_disconnect(now, home, token);
                };
                if let Some(upgrade) = connection.web.open() {
                    return self.open_web(kernel, now, key, home, &upgrade, &lead);
                }
                connection.state = State::Data(home);
                let reply = connection.reply;
                let out = connection.unsent_mut(kernel);
                let sent = events_head(out, reply, framing).finish(Body::Stream);
                out.extend_from_slice(&lead);
                connection.reply.keep_alive = sent.keep_alive;
                self.set_deadline(key, Instant::NEVER);
                self.put(kernel, now, key);
            }
            Output::Carries { token, session, events } => {
                let home = Home { core, session };
                let Some((_, connection)) = self.asking(token) else {
                    kernel.count_many("events for a connection that is gone", u64::from(events));
                    return self.hub.handle_undelivered(home, events);
                };
                let request = connection.request;
                connection.carried.push(Carried { home, events, request, ahead: true });
            }
            Output::Finish { token, tail } => {
                let Some((key, connection)) = self.asking(token) else { return };
                connection.unsent_mut(kernel).extend_from_slice(&tail);
                connection.carried.iter_mut().for_each(|carried| carried.ahead = false);
                self.answered(now, key);
                self.put(kernel, now, key);
            }
            Output::Summon { token, request } => self.depart(kernel, now, core, token, *request),
            Output::Relay { .. } => panic!("the hub sends events on itself"),
        }
    }

    pub(super) fn put(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        if self.busy != Some(key) {
            self.write_out(kernel, now, key);
            self.go_on_later(key);
        }
    }

    fn answer(&mut self, kernel: &mut Kernel, now: Now, token: ReplyToken, answer: Answer) {
        let Some((key, connection)) = self.asking(token) else { return };
        if matches!(connection.state, State::Web(_)) {
            return self.answer_message(kernel, now, key, answer);
        }
        connection.web = Web::default();
        let reply = connection.reply;
        connection.carried.iter_mut().for_each(|carried| carried.ahead = false);
        let out = connection.unsent_mut(kernel);
        let sent = match answer {
            Answer::Events { framing, body } => {
                let sent = events_head(out, reply, framing).finish(Body::Length(body.len() as u64));
                out.extend_from_slice(&body);
                sent
            }
            Answer::Error { status, reason, .. } => http::write_text(out, reply, status, &reason, DATE),
            Answer::Problem(problem) => v1::problem(out, reply, &problem, DATE, &[]),
            Answer::Done => ResponseHead::new(out, reply, 204, DATE).finish(Body::Length(0)),
            Answer::Posted(posted) => {
                v1::write_posted(out, reply, &v1::posted_text(&posted, None, None), posted.replayed, DATE, &[])
            }
        };
        connection.reply.keep_alive = sent.keep_alive;
        self.answered(now, key);
        self.put(kernel, now, key);
    }

    fn depart(&mut self, kernel: &mut Kernel, now: Now, to: u16, token: ReplyToken, request: Request) {
        let Some((key, _)) = self.asking(token) else { return };
        let ticket = self.departures.begin(Departure { key, to, request: Some(request) });
        if let Some(connection) = self.connection(key) {
            connection.state = State::Leaving(ticket);
        }
        self.set_deadline(key, now.instant + OVERLOAD_MS);
        self.depart_waiting(kernel, now);
    }

    pub(super) fn depart_waiting(&mut self, kernel: &mut Kernel, now: Now) {
        let waiting = self.departures.waiting().map(|(ticket, _)| ticket);
        let tickets: Vec<u32> = waiting.take(DEPARTURES_PER_TURN_MAX).collect();
        for ticket in tickets {
            if !self.departures.may_send() {
                return;
            }
            self.send_off(kernel, now, ticket);
        }
    }

    fn send_off(&mut self, kernel: &mut Kernel, now: Now, ticket: u32) {
        let Some(&mut Departure { key, to, .. }) = self.departures.get_mut(ticket) else { return };
        let Some(connection) = self.connection(key) else { return };
        if !connection.unsent.is_empty() && !self.write_out(kernel, now, key) {
            return;
        }
        let number = self.number;
        let Some(connection) = self.connections.get_mut(key.slot as usize) else { return };
        if !kernel.send_descriptor(to, number, ticket, connection.socket) {
            return;
        }
        kernel.unwatch(connection.socket);
        let request = self.departures.get_mut(ticket).and_then(|departure| departure.request.take());
        self.departures.sent(ticket);
        let Some(request) = request else { return };
        let arrival = Arrival {
            ticket,
            request,
            reply: connection.reply,
            origin: None,
            unread: std::mem::take(&mut connection.unread),
            peer_finished: connection.peer_finished,
        };
        if !arrival.unread.is_empty() {
            kernel.count("unread bytes handed over");
        }
        self.set_deadline(key, Instant::NEVER);
        kernel.count("connection sent off");
        self.hub.hand_over(to, Box::new(arrival));
    }

    pub(super) fn give_up_departure(&mut self, kernel: &mut Kernel, now: Now, ticket: u32) {
        let Some(&mut Departure { key, .. }) = self.departures.get_mut(ticket) else { return };
        if self.departures.cancel(ticket).is_some() {
            kernel.count("departure given up");
            self.refuse_departure(kernel, now, key);
        }
    }

    pub(super) fn arrived(&mut self, kernel: &mut Kernel, now: Now, ticket: u32, taken: bool) {
        let Some(Departure { key, .. }) = self.departures.answered(ticket) else {
            panic!("an answer to a hand-over that nobody made");
        };
        if taken {
            return self.close(kernel, now, key);
        }
        let Some(connection) = self.connections.get(key.slot as usize) else { return };
        kernel.watch(self.number, connection.socket, key);
        kernel.count("connection came back");
        self.refuse_departure(kernel, now, key);
    }

    fn refuse_departure(&mut self, kernel: &mut Kernel, now: Now, key: Key) {
        let core = self.number;
        let Some(connection) = self.connection(key) else { return };
        connection.state = State::Asked;
        connection.reply.keep_alive = false;
        let token = ReplyToken { core, connection: key.slot, serial: connection.serial };
        let reason = String::from("The core that holds the session cannot take the connection at the moment.");
        self.answer(kernel, now, token, Answer::Error { status: 503, reason, retry_after_s: Some(5) });
    }

    pub(super) fn arrive(&mut self, kernel: &mut Kernel, now: Now, from: u16, arrival: Arrival) {
        let (number, ticket) = (self.number, arrival.ticket);
        let socket = self.arrivals.claim(from, ticket, || kernel.receive_descriptor(number));
        let has_room = self.connections.len() < self.connections_max;
        let key = match socket {
            Some(socket) if has_room => Some(self.take_in(kernel, socket)),
            Some(socket) => {
                kernel.count("no room for an arrival");
                kernel.drop_descriptor(socket);
                None
            }
            None => None,
        };
        self.hub.handle_arrived(from, ticket, key.is_some());
        let Some(key) = key else { return };
        kernel.count("connection taken in");
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        if let Some(connection) = self.connection(key) {
            connection.state = State::Asked;
            connection.serial = serial;
            connection.reply = arrival.reply;
            connection.unread = arrival.unread;
            connection.peer_finished = arrival.peer_finished;
            connection.readable = true;
            connection.request = kernel.sockets[connection.socket].requests - 1;
        }
        let mut request = arrival.request;
        request.token = ReplyToken { core: number, connection: key.slot, serial };
        self.hub.handle_request(now, request);
        self.go_on_later(key);
    }
}
