//! What the hub wants done to connections, done.

use super::connection::{Carried, ConnectionKey, State};
use super::core::Core;
use super::web::Web;
use crate::broker::{Answer, Effect, Home, Output};
use crate::limits::POST_LINES_PAUSE_MS;
use crate::protocol::ReplyToken;
use crate::time::{Instant, Now};
use crate::wire::http::{self, Body, ReplyTo, ResponseHead};
use crate::wire::{pushlet, v1};

impl Core {
    /// Applies what the hub wants done (invariant A6: after its step), and wakes the cores that it has sent something to.
    pub(super) fn apply_effects(&mut self, now: Now) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Do { core, output } => self.apply(now, core, output),
                Effect::Arrive { from, arrival } => self.arrive(now, from, *arrival),
                Effect::Arrived { ticket, taken } => self.arrived(now, ticket, taken),
            }
        }
        self.ring_bells();
    }

    /// Applies an output of the broker of core `core`.
    fn apply(&mut self, now: Now, core: u16, output: Output) {
        match output {
            Output::Answer { token, answer } => self.answer(now, token, answer),
            Output::Open { token, session, framing, lead } => {
                let home = Home { core, session };
                let date = self.date(now);
                let Some((key, connection)) = self.asking(token) else {
                    return self.hub.handle_disconnect(now, home, token);
                };
                if let Some(upgrade) = connection.web.open() {
                    return self.open_web(now, key, home, &upgrade, &lead);
                }
                connection.state = State::Data(home);
                let (reply, origin) = (connection.reply, connection.take_origin());
                let unsent = std::mem::take(&mut connection.unsent);
                let mut head = self.answer_buffer(unsent);
                let sent = self.events_head(&mut head, reply, &date, framing, origin.as_deref(), Body::Stream);
                head.extend_from_slice(&lead);
                if let Some(connection) = self.connection(key) {
                    connection.unsent = head;
                    connection.reply.keep_alive = sent.keep_alive;
                }
                self.set_deadline(key, Instant::NEVER);
                self.put(now, key);
            }
            Output::Carries { token, session, events } => {
                let home = Home { core, session };
                let Some((_, connection)) = self.asking(token) else {
                    return self.hub.handle_undelivered(home, events);
                };
                connection.carries(Carried { home, events, ahead: true });
            }
            Output::Finish { token, tail } => {
                let Some((key, connection)) = self.asking(token) else { return };
                connection.unsent.extend_from_slice(&tail);
                connection.carries_now();
                self.answered(now, key);
                self.put(now, key);
            }
            Output::Summon { token, request } => self.depart(now, core, token, *request),
            Output::Relay { .. } => debug_assert!(false, "the hub sends events on itself"),
        }
    }

    /// Bytes were put on a connection. The one that is being worked on is written out when it has done its share; another one at once.
    pub(super) fn put(&mut self, now: Now, key: ConnectionKey) {
        if self.busy != Some(key) {
            self.write_out(now, key);
            self.go_on_later(key);
        }
    }

    pub(super) fn answer(&mut self, now: Now, token: ReplyToken, answer: Answer) {
        let date = self.date(now);
        let Some((key, connection)) = self.asking(token) else { return };
        if let State::Web(_) = connection.state {
            return self.answer_message(now, key, answer);
        }
        connection.web = Web::default();
        if let Some(upload) = connection.upload() {
            // Some lines of many: the connection goes on with the others, and its answer comes at their end.
            match answer {
                Answer::Posted(posted) => upload.absorb(&posted),
                Answer::Problem(problem) => upload.give_up(*problem),
                Answer::Events { .. } | Answer::Error { .. } | Answer::Done => {
                    debug_assert!(false, "lines are answered otherwise")
                }
            }
            connection.state = State::Reading;
            self.set_deadline(key, now.instant + POST_LINES_PAUSE_MS);
            if self.busy != Some(key) {
                self.go_on_later(key);
            }
            return;
        }
        connection.carries_now();
        let (reply, origin) = (connection.reply, connection.take_origin());
        let unsent = std::mem::take(&mut connection.unsent);
        let mut out = self.answer_buffer(unsent);
        let sent = match answer {
            Answer::Events { framing, body } => {
                let length = Body::Length(body.len() as u64);
                let sent = self.events_head(&mut out, reply, &date, framing, origin.as_deref(), length);
                out.extend_from_slice(&body);
                sent
            }
            Answer::Problem(problem) => {
                self.hub.counters_mut().requests_refused += 1;
                let extra = self.parts.routes.cross_origin_fields(origin.as_deref());
                v1::problem(&mut out, reply, &problem, &date, &extra)
            }
            Answer::Done => {
                let head = ResponseHead::new(&mut out, reply, 204, &date).header("Cache-Control", "no-store");
                self.parts.routes.cross_origin(head, origin.as_deref()).finish(Body::Length(0))
            }
            Answer::Posted(posted) => {
                let text = v1::posted_text(&posted, None, None);
                self.hub.counters_mut().requests_refused += u64::from(text.status >= 400);
                let extra = self.parts.routes.cross_origin_fields(origin.as_deref());
                v1::write_posted(&mut out, reply, &text, posted.replayed, &date, &extra)
            }
            Answer::Error { status: 503, reason, retry_after_s } => {
                self.hub.counters_mut().requests_refused += 1;
                write_unavailable(&mut out, reply, &date, &reason, retry_after_s.unwrap_or(1))
            }
            Answer::Error { status, reason, .. } => {
                self.hub.counters_mut().requests_refused += 1;
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
    fn events_head(
        &self,
        out: &mut Vec<u8>,
        reply: ReplyTo,
        date: &str,
        framing: crate::protocol::Framing,
        origin: Option<&str>,
        body: Body,
    ) -> http::Sent {
        let head = if framing.is_modern() {
            v1::answer_head(framing, out, reply, date)
        } else {
            pushlet::answer_head(framing, out, reply, date)
        };
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
