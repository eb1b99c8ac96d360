//! One connection to `/v1/ws` from its handshake to its end, without a socket.

use std::collections::VecDeque;

use super::closing::{Advice, Closed};
use super::handshake::{Handshake, Offer};
use super::message::{self, End, Incoming, Session};
use super::request::{Request, Unsent};
use crate::limits::{
    CLIENT_ANSWER_MS, CLIENT_EVENT_BYTES_MAX, CLIENT_LEAVE_MS, HEARTBEAT_MS_DEFAULT, HEARTBEAT_MS_RANGE,
    WS_MESSAGE_BYTES_DEFAULT, WS_PONG_MS, WS_SILENCE_SLACK_MS,
};
use crate::time::Instant;
use crate::wire::ws::{self, Bounds, Inbound, Opcode, Role};

/// How large what a server sends may be.
const BOUNDS: Bounds = Bounds { frame: CLIENT_EVENT_BYTES_MAX, message: CLIENT_EVENT_BYTES_MAX };
/// RFC 6455 section 7.4.1.
const NORMAL: u16 = 1000;
const UNSUPPORTED_DATA: u16 = 1003;

#[derive(Debug)]
enum State {
    /// The handshake waits for its answer.
    Opening(Handshake),
    /// Messages go to and fro.
    Open,
    /// We have said that we go, and wait for the server's Close frame.
    Closing,
    /// Nothing more comes.
    Over,
}

/// One connection.
///
/// Bytes from the server go into [`Conversation::handle`], the clock into [`Conversation::handle_timeout`] at [`Conversation::deadline`]. What it
/// comes to is taken by [`Conversation::poll`] until there is none; what is to be sent because of it (answers to pings, Close frames)
/// by [`Conversation::transmit`]. The last thing that it tells is [`Incoming::Closed`] or [`Incoming::Refused`].
///
/// It holds at most one message of 2 MiB that is not whole, and what one call of `handle` has brought.
#[derive(Debug)]
pub struct Conversation {
    state: State,
    deflate: bool,
    /// What has come of a message that is not whole.
    inbound: Option<Box<Inbound>>,
    /// The beginning of a frame's header, at most 13 bytes.
    rest: Vec<u8>,
    told: VecDeque<Incoming>,
    /// What the server pinged last: an older one need not be answered (RFC 6455 section 5.5.3).
    pong: Option<Vec<u8>>,
    ping: bool,
    close: Option<Vec<u8>>,
    end: Option<End>,
    message_max: usize,
    heartbeat_ms: Option<u64>,
    /// When something came last.
    heard: Instant,
    /// When we asked for a sign of life, or said that we go.
    asked: Option<Instant>,
    requests: u64,
}

impl Conversation {
    /// Begins one: appends the request of its handshake to `out`.
    ///
    /// # Errors
    ///
    /// A part of `offer` would break the head of the request; which one.
    pub fn new(offer: &Offer<'_>, now: Instant, out: &mut Vec<u8>) -> Result<Self, &'static str> {
        Ok(Self {
            state: State::Opening(Handshake::new(offer, out)?),
            deflate: false,
            inbound: None,
            rest: Vec::new(),
            told: VecDeque::new(),
            pong: None,
            ping: false,
            close: None,
            end: None,
            message_max: WS_MESSAGE_BYTES_DEFAULT as usize,
            heartbeat_ms: None,
            heard: now,
            asked: None,
            requests: 0,
        })
    }

    /// Whether requests may be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether it has ended. What it still has to send may be sent.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    // What comes.

    /// Takes in what came.
    pub fn handle(&mut self, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        if !matches!(self.state, State::Closing) {
            (self.heard, self.asked) = (now, None);
        }
        match &mut self.state {
            State::Opening(handshake) => match handshake.take(bytes) {
                Ok(None) => {}
                Ok(Some(agreed)) => {
                    (self.state, self.deflate) = (State::Open, agreed.deflate);
                    self.frames(&agreed.rest);
                }
                Err(refusal) => self.finish(Incoming::Refused(refusal)),
            },
            State::Open | State::Closing => self.frames(bytes),
            State::Over => {}
        }
    }

    /// The connection has ended, or broken for the reason `why`.
    pub fn handle_end(&mut self, why: &str) {
        match &mut self.state {
            State::Opening(handshake) => {
                let refusal = handshake.finish();
                self.finish(Incoming::Refused(refusal));
            }
            State::Open => {
                let closed = Closed::new(None, why, self.end.as_ref());
                self.finish(Incoming::Closed(closed));
            }
            // The server need not answer in words to who is going.
            State::Closing => self.left(),
            State::Over => {}
        }
    }

    fn left(&mut self) {
        let reason = "we have closed the connection".to_owned();
        self.finish(Incoming::Closed(Closed { code: None, reason, advice: Advice::Nothing, retry_ms: None }));
    }

    fn finish(&mut self, last: Incoming) {
        self.state = State::Over;
        (self.inbound, self.rest) = (None, Vec::new());
        self.told.push_back(last);
    }

    fn frames(&mut self, bytes: &[u8]) {
        let joined;
        let mut input = bytes;
        if !self.rest.is_empty() {
            joined = [&std::mem::take(&mut self.rest), bytes].concat();
            input = &joined;
        }
        while !input.is_empty() && !self.is_over() {
            let deflate = self.deflate;
            let inbound = self.inbound.get_or_insert_with(|| Box::new(Inbound::new(Role::Client, deflate)));
            let (taken, incoming) = match inbound.push(input, BOUNDS) {
                Ok(step) => step,
                Err(fault) => {
                    return self.fail(fault.code, fault.reason);
                }
            };
            if inbound.is_idle() {
                self.inbound = None;
            }
            input = input.get(taken..).unwrap_or_default();
            match incoming {
                Some(incoming) => self.take(incoming),
                None => {
                    // Less than a header.
                    self.rest = input.to_vec();
                    return;
                }
            }
        }
    }

    /// The server breaks the protocol: it is told how, and that is the end (RFC 6455 section 7.1.7).
    fn fail(&mut self, code: u16, reason: &str) {
        self.close.get_or_insert_with(|| ws::closing(code, reason));
        let mut closed = Closed::new(None, "", self.end.as_ref());
        closed.reason = format!("the server breaks the protocol: {reason}");
        self.finish(Incoming::Closed(closed));
    }

    fn take(&mut self, incoming: ws::Incoming) {
        match incoming {
            ws::Incoming::Text(text) => {
                let mut told = Vec::new();
                message::read(text, &mut |incoming| told.push(incoming));
                told.into_iter().for_each(|incoming| self.tell(incoming));
            }
            ws::Incoming::Binary(_) => self.fail(UNSUPPORTED_DATA, "A message is not text."),
            ws::Incoming::Ping(payload) => self.pong = Some(payload),
            ws::Incoming::Pong(_) => {}
            ws::Incoming::Close(closing) => {
                if matches!(self.state, State::Closing) {
                    return self.left();
                }
                // RFC 6455 section 5.5.1: answered with the same code.
                self.close =
                    Some(ws::answer_code(closing.as_ref()).map_or_else(Vec::new, |code| ws::closing(code, "")));
                let (code, reason) = closing.map_or((None, String::new()), |it| (Some(it.code), it.reason));
                let closed = Closed::new(code, &reason, self.end.as_ref());
                self.finish(Incoming::Closed(closed));
            }
        }
    }

    fn tell(&mut self, incoming: Incoming) {
        match &incoming {
            Incoming::Session(Session { heartbeat_ms, message_max, .. }) => {
                let (least, most) = HEARTBEAT_MS_RANGE;
                self.heartbeat_ms = Some(heartbeat_ms.unwrap_or(HEARTBEAT_MS_DEFAULT).clamp(least, most));
                self.message_max = message_max.unwrap_or(self.message_max);
            }
            Incoming::End(end) => self.end = Some(end.clone()),
            _ => {}
        }
        self.told.push_back(incoming);
    }

    /// The next thing that it tells.
    pub fn poll(&mut self) -> Option<Incoming> {
        self.told.pop_front()
    }

    // Time.

    /// When [`Conversation::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match (&self.state, self.heartbeat_ms, self.asked) {
            (State::Over, ..) => Instant::NEVER,
            (State::Closing, _, asked) => asked.unwrap_or(self.heard) + CLIENT_LEAVE_MS,
            // The first message belongs to the handshake.
            (State::Opening(_), ..) | (_, None, _) => self.heard + CLIENT_ANSWER_MS,
            (_, Some(_), Some(asked)) => asked + WS_PONG_MS,
            // The server promises something within a heartbeat.
            (_, Some(heartbeat_ms), None) => self.heard + heartbeat_ms + WS_SILENCE_SLACK_MS,
        }
    }

    /// The clock has come so far: a server that is silent for too long is asked for a sign of life once, and then given up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline() {
            return;
        }
        match (&self.state, self.heartbeat_ms, self.asked) {
            (State::Over, ..) => {}
            (State::Closing, ..) => self.left(),
            (State::Open, Some(_), None) => (self.ping, self.asked) = (true, Some(now)),
            (State::Open, ..) => {
                let closed = Closed::new(None, "the server has gone silent", self.end.as_ref());
                self.finish(Incoming::Closed(closed));
            }
            (State::Opening(_), ..) => {
                let detail = "the server does not answer".to_owned();
                self.finish(Incoming::Refused(super::Refusal { detail, ..super::Refusal::default() }));
            }
        }
    }

    // What goes.

    /// Appends the next frame to `out` that has to be sent because of what came or did not come; false if there is none. `mask` is random, and
    /// another one for every frame (RFC 6455 section 5.3).
    pub fn transmit(&mut self, mask: [u8; 4], out: &mut Vec<u8>) -> bool {
        // Behind a Close frame nothing is sent (section 5.5.1), so what belongs before it goes first.
        if let Some(payload) = self.pong.take() {
            ws::write_masked(Opcode::Pong, &payload, mask, out);
        } else if std::mem::take(&mut self.ping) {
            ws::write_masked(Opcode::Ping, &[], mask, out);
        } else if let Some(payload) = self.close.take() {
            ws::write_masked(Opcode::Close, &payload, mask, out);
        } else {
            return false;
        }
        true
    }

    /// Whether [`Conversation::transmit`] has something: for whoever makes masks only then.
    #[must_use]
    pub const fn wants_transmit(&self) -> bool {
        self.pong.is_some() || self.ping || self.close.is_some()
    }

    /// Appends a request to `out` and says its number, by which it is answered.
    ///
    /// # Errors
    ///
    /// See [`Unsent`]; then nothing was appended.
    pub fn request(&mut self, request: &Request<'_>, mask: [u8; 4], out: &mut Vec<u8>) -> Result<u64, Unsent> {
        if !self.is_open() {
            return Err(Unsent::NotOpen);
        }
        let id = self.requests + 1;
        let message = request.write(id);
        if message.len() > self.message_max {
            return Err(Unsent::TooLong { bytes: message.len(), max: self.message_max });
        }
        self.requests = id;
        ws::write_masked(Opcode::Text, &message, mask, out);
        Ok(id)
    }

    /// A sign of life that nobody asked for (RFC 6455 section 5.5.3), for whoever cannot read for a while.
    pub fn live_sign(&mut self) {
        if self.is_open() && self.pong.is_none() {
            self.pong = Some(Vec::new());
        }
    }

    /// Ends it in order: a Close frame is to be sent, and the server's is waited for, for [`CLIENT_LEAVE_MS`].
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Open => {
                self.close = Some(ws::closing(NORMAL, ""));
                (self.state, self.asked) = (State::Closing, Some(now));
            }
            State::Opening(_) => self.left(),
            State::Closing | State::Over => {}
        }
    }
}
