//! Requests and answers on one connection: reading, routing, and what follows an answer.

use super::admin;
use super::connection::{ConnectionKey, Kind, State};
use super::core::Core;
use super::net::{self, Transfer};
use super::router::Route;
use super::v1;
use super::web::Web;
use crate::limits::{LINGER_MS, OVERLOAD_MS, READ_BYTES_PER_TURN_MAX, REQUESTS_PER_TURN_MAX};
use crate::metrics::{Board, Node};
use crate::protocol::{Command, Problem, ReplyToken, Request};
use crate::time::{Instant, Now};
use crate::wire::http::{self, HttpError, HttpRequest, Phase, Progress, ReplyTo, Version};
use crate::wire::v1::problem;

impl Core {
    /// Does what can be done on a connection: reads, parses, answers, writes. It stops when there is nothing to read, when an answer is owed
    /// or not yet taken by the socket, and at its share of a turn.
    pub(super) fn go_on(&mut self, now: Now, key: ConnectionKey) {
        debug_assert_eq!(self.busy, None, "one connection at a time");
        self.busy = Some(key);
        self.requests_left = REQUESTS_PER_TURN_MAX;
        self.exchange(now, key);
        self.busy = None;
        if self.draining {
            self.end_if_idle(now, key);
        }
    }

    fn exchange(&mut self, now: Now, key: ConnectionKey) {
        let mut budget = READ_BYTES_PER_TURN_MAX;
        loop {
            let Some(connection) = self.connection(key) else { return };
            match connection.state {
                State::Asked => break,
                State::Leaving(ticket) => return self.line_up(now, ticket),
                // P-31: half-closed counts as closed, also when the end came together with the request.
                State::Data(_) if connection.peer_finished => return self.close(now, key),
                State::Data(_) => break,
                State::Web(_) => return self.exchange_messages(now, key),
                State::Closing => return self.farewell(now, key),
                State::Reading => {}
            }
            // Who does not take its answers is not asked what else it wants.
            if !connection.unsent.is_empty() && !self.write_out(now, key) {
                return;
            }
            let out_of_requests = self.requests_left == 0;
            let Some(connection) = self.connection(key) else { return };
            if connection.upload().is_some() {
                if out_of_requests {
                    self.go_on_later(key);
                    break;
                }
                if self.go_on_uploading(now, key) {
                    self.requests_left = self.requests_left.saturating_sub(1);
                    continue;
                }
            }
            let Some(connection) = self.connection(key) else { return };
            let is_unread = connection.has_unread();
            if !is_unread && !connection.readable {
                break;
            } else if out_of_requests {
                self.go_on_later(key);
                break;
            } else if is_unread {
                let unread = connection.take_unread();
                self.parse(now, key, &unread);
            } else if budget == 0 {
                self.go_on_later(key);
                break;
            } else {
                budget = budget.saturating_sub(self.read(now, key));
            }
            if !self.settled(now, key) {
                return;
            }
        }
        self.settled(now, key);
    }

    /// Writes out what the step has left. Says whether the connection may go on: one whose client does not take its answers may not.
    fn settled(&mut self, now: Now, key: ConnectionKey) -> bool {
        match self.connection(key) {
            None => false,
            Some(connection) => {
                let data = matches!(connection.state, State::Data(_) | State::Web(_));
                connection.unsent.is_empty() || self.write_out(now, key) || data
            }
        }
    }

    /// Reads once and parses what came. Says how many bytes came.
    fn read(&mut self, now: Now, key: ConnectionKey) -> usize {
        let mut buffer = self.take_buffer();
        let Some(connection) = self.connection(key) else { return 0 };
        let came = match net::receive(&connection.socket, &mut buffer) {
            Transfer::Bytes(bytes) => {
                // A short read has emptied the socket, unless the peer's end is still to be read.
                connection.readable = bytes == buffer.len() || connection.peer_finished;
                self.parse(now, key, &buffer[..bytes]);
                bytes
            }
            Transfer::Blocked => {
                connection.readable = false;
                0
            }
            Transfer::Closed => {
                connection.readable = false;
                connection.peer_finished = true;
                self.end_of_input(now, key);
                0
            }
        };
        self.return_buffer(buffer);
        came
    }

    /// The peer sends no more: what it has asked is still answered.
    fn end_of_input(&mut self, now: Now, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else { return };
        if connection.state == State::Reading && connection.reader.phase() == Phase::Body {
            // It may still read, and what came of lines that are published it should know.
            self.refuse(now, key, &HttpError::BODY_CUT);
        } else if connection.unsent.is_empty() {
            self.close(now, key);
        } else {
            connection.state = State::Closing;
            self.set_deadline(key, now.instant + LINGER_MS);
        }
    }

    fn parse(&mut self, now: Now, key: ConnectionKey, mut input: &[u8]) {
        while !input.is_empty() {
            let out_of_requests = self.requests_left == 0;
            let Some(connection) = self.connection(key) else { return };
            if connection.state != State::Reading || out_of_requests || connection.is_owed_much() {
                // One request at a time: the next one waits here until this one is answered, or until the next turn.
                connection.keep_unread(input);
                return;
            }
            let before = connection.reader.phase();
            match connection.reader.push_streaming(input, v1::streams) {
                Err(error) => return self.refuse(now, key, &error),
                Ok((taken, progress)) => {
                    input = &input[taken..];
                    let after = connection.reader.phase();
                    if progress == Progress::SendContinue {
                        connection.unsent.extend_from_slice(http::CONTINUE);
                    }
                    match progress {
                        Progress::Complete(request) if v1::streams(&request.head) => {
                            self.end_pieces(now, key, &request);
                            // Its lines are published, and it is answered, before what comes behind it.
                            if let Some(connection) = self.connection(key)
                                && connection.upload().is_some()
                            {
                                connection.keep_unread(input);
                            }
                            return;
                        }
                        Progress::Complete(request) => {
                            self.requests_left = self.requests_left.saturating_sub(1);
                            self.request(now, key, *request);
                        }
                        _ if after != before => self.await_phase(now, key, after),
                        _ => {}
                    }
                    if after == Phase::Body {
                        self.take_piece(now, key);
                    }
                }
            }
        }
    }

    /// Gives a connection that is no longer blocked the time that it has in its state.
    pub(super) fn set_patience(&mut self, now: Now, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else { return };
        match connection.state {
            State::Reading => {
                let phase = connection.reader.phase();
                self.await_phase(now, key, phase);
            }
            State::Closing => self.set_deadline(key, now.instant + LINGER_MS),
            State::Asked | State::Data(_) => self.set_deadline(key, Instant::NEVER),
            State::Web(_) => self.listens_again(now, key),
            State::Leaving(_) => self.set_deadline(key, now.instant + OVERLOAD_MS),
        }
    }

    fn await_phase(&mut self, now: Now, key: ConnectionKey, phase: Phase) {
        let patience = self.parts.patience;
        let wait_ms = match phase {
            Phase::Idle => patience.idle_ms,
            Phase::Head => patience.head_ms,
            Phase::Body => patience.body_ms,
        };
        self.set_deadline(key, now.instant + wait_ms);
    }

    /// A whole request has arrived.
    fn request(&mut self, now: Now, key: ConnectionKey, mut request: HttpRequest) {
        self.hub.counters_mut().requests += 1;
        // P-32: the answer says that it is the last one.
        request.head.keep_alive &= !self.draining;
        let route = self.route(now, key, &request);
        self.serial = self.serial.wrapping_add(1);
        let (serial, core) = (self.serial, self.parts.number);
        let Some(connection) = self.connection(key) else { return };
        connection.reply = ReplyTo::from(&request.head);
        connection.serial = serial;
        connection.state = State::Asked;
        let (command, agent, path) = match route {
            Route::Answer { bytes, keep_alive, refused } => {
                connection.reply.keep_alive &= keep_alive;
                connection.unsent.extend_from_slice(&bytes);
                self.hub.counters_mut().requests_refused += u64::from(refused);
                self.hub.counters_mut().denied += u64::from(bytes.starts_with(b"HTTP/1.1 401 "));
                return self.answered(now, key);
            }
            Route::Command { command, agent, path } => (command, agent, path),
            Route::Upgrade { command, agent, path, upgrade } => {
                connection.web = Web::about_to_be(upgrade);
                (command, agent, path)
            }
        };
        connection.set_origin(request.head.origin.as_deref().map(Box::from));
        let chunked = request.head.version == Version::Http11;
        let draw = match self.draw(&command) {
            Ok(draw) => draw,
            Err(error) => {
                tracing::error!(%error, "the kernel gives no random bits");
                let error = HttpError::new(503, "The server cannot make a session at the moment.");
                return self.refuse(now, key, &error);
            }
        };
        let token = ReplyToken { core, connection: key.slot, serial };
        self.ask_after_letters(now, Request { token, command, path, chunked, agent, draw });
    }

    fn route(&mut self, now: Now, key: ConnectionKey, request: &HttpRequest) -> Route {
        let date = self.date(now);
        if self.connection(key).is_some_and(|connection| connection.kind == Kind::Admin) {
            self.publish_figures();
            let boards = &self.parts.boards;
            let node = || Node {
                driver: self.parts.driver.name(),
                cores: boards.iter().map(Board::read).collect(),
                sources: self.parts.sources.read(),
            };
            return admin::route(request, &date, self.draining, node);
        }
        self.parts.routes.route(request, &date)
    }

    /// P-34: the random bits for the names of a session that may begin.
    fn draw(&mut self, command: &Command) -> Result<[u128; 2], getrandom::Error> {
        match command {
            Command::Join { .. } | Command::JoinListen { .. } | Command::Open(_) => {
                Ok([self.entropy.draw()?, self.entropy.draw()?])
            }
            _ => Ok([0; 2]),
        }
    }

    /// The answer of a request is complete in `unsent`: the connection goes on with the next request, or ends.
    pub(super) fn answered(&mut self, now: Now, key: ConnectionKey) {
        let draining = self.draining;
        let Some(connection) = self.connection(key) else { return };
        if connection.reply.keep_alive && !draining {
            connection.state = State::Reading;
            let idle_ms = self.parts.patience.idle_ms;
            self.set_deadline(key, now.instant + idle_ms);
        } else {
            connection.state = State::Closing;
            connection.web = Web::default();
            self.set_deadline(key, now.instant + LINGER_MS);
        }
    }

    /// Answers a request that cannot be read, and closes: where it ends is not known.
    pub(super) fn refuse(&mut self, now: Now, key: ConnectionKey, error: &HttpError) {
        if error.status == 408 {
            self.hub.counters_mut().connections_timed_out += 1;
        }
        if self.cut_upload_off(now, key, told(error)) {
            return;
        }
        self.hub.counters_mut().requests_refused += 1;
        let date = self.date(now);
        let Some(connection) = self.connection(key) else { return };
        let error = connection.reader.blame(*error);
        let _ = if error.to_v1 {
            problem(&mut connection.unsent, ReplyTo::from(&error), &told(&error), &date, &[])
        } else {
            http::write_error(&mut connection.unsent, &error, &date)
        };
        connection.state = State::Closing;
        connection.take_unread();
        self.set_deadline(key, now.instant + LINGER_MS);
    }

    /// The last answer is on its way. Then writing ends, and what the peer still sends is read and dropped until it closes too: closing over
    /// unread bytes would be a reset, and the peer might never see the answer.
    fn farewell(&mut self, now: Now, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else { return };
        connection.take_unread();
        if !connection.unsent.is_empty() && !self.write_out(now, key) {
            return;
        }
        let mut buffer = self.take_buffer();
        let Some(connection) = self.connection(key) else { return };
        if !connection.shut {
            connection.shut = true;
            net::shutdown_write(&connection.socket);
        }
        let mut budget = 4;
        let closed = loop {
            match net::receive(&connection.socket, &mut buffer) {
                Transfer::Closed => break true,
                Transfer::Blocked => break false,
                Transfer::Bytes(_) if budget == 0 => break false,
                Transfer::Bytes(_) => budget -= 1,
            }
        };
        self.return_buffer(buffer);
        if closed {
            self.close(now, key);
        } else if budget == 0 {
            self.go_on_later(key);
        }
    }
}

/// A request that cannot be read, in the words of the modern doors.
fn told(error: &HttpError) -> Problem {
    let field = match error.status {
        408 | 413 => Some("body"),
        400 if *error.reason == *HttpError::BODY_CUT.reason => Some("body"),
        431 => Some("headers"),
        _ => None,
    };
    let limit = (error.limit > 0).then_some(u64::from(error.limit));
    Problem { field, limit, ..Problem::new(error.status, error.reason) }
}
