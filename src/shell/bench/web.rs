//! WebSockets as the load generator speaks them: to listen, and to publish.
//!
//! The handshake is that of [`crate::client`]. Behind it frames are walked over by their headers, and the marker of an event is found in its
//! raw bytes, as at the other doors: nothing is parsed, copied or checked for UTF-8 that need not be. What the server sends of a message in
//! several frames, compressed or masked is told as broken, for it was not asked for.

use std::sync::Arc;

use super::door::{Decoder, Item, Listen, Post, Publish};
use super::frames::{Frames, answer, mask};
use super::modern::{NOWHERE, Words, end, ready};
use crate::client::{Handshake, Offer};
use crate::shell::client::target::Target;
use crate::wire::ws::{Opcode, write_masked};

/// `/v1/ws`.
#[derive(Debug)]
pub(super) struct WebDoor {
    target: Target,
    /// One for all connections of the run: what it guards against is a cache in between (RFC 6455 section 1.3), and there is none.
    nonce: [u8; 16],
    pad: String,
    words: Arc<Words>,
}

impl WebDoor {
    /// The door of this server, for events with `payload_bytes` of padding.
    pub(super) fn new(target: &Target, payload_bytes: usize, nonce: [u8; 16]) -> Self {
        Self { target: target.clone(), nonce, pad: "x".repeat(payload_bytes), words: Words::new() }
    }

    /// Appends the request of a handshake.
    fn open(&self, query: &str, out: &mut Vec<u8>) -> Option<Handshake> {
        let (host, path) = (self.target.host_header(), self.target.door("v1/ws"));
        let bearer = self.target.key.as_ref().map(|key| key.secret());
        let offer = Offer { host: &host, target: &format!("{path}{query}"), bearer, deflate: false, nonce: self.nonce };
        // Addresses and keys were checked when they were read. Without a handshake every connection is told as broken.
        Handshake::new(&offer, out).ok()
    }

    fn reader(&self, posts: bool) -> Decoder {
        let phase =
            self.open("", &mut Vec::new()).map_or(Phase::Broken, |handshake| Phase::Opening(Box::new(handshake)));
        let web = Web { phase, posts, words: Arc::clone(&self.words) };
        Decoder::Web(WebDecoder { frames: Frames::default(), web })
    }
}

impl Listen for WebDoor {
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>) {
        self.open(&format!("?subject={}", subject.unwrap_or(NOWHERE)), out);
    }

    fn decoder(&self, _: Option<&str>) -> Decoder {
        self.reader(false)
    }
}

impl Post for WebDoor {
    /// A session without subscriptions.
    fn join(&self, out: &mut Vec<u8>) {
        self.open("", out);
    }

    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>) {
        let sequence = publish.marker.sequence;
        let to = publish.to.map_or([""; 2], |to| ["\",\"to\":\"", to]);
        let pad = if self.pad.is_empty() { [""; 2] } else { ["\",\"pad\":\"", &self.pad] };
        let mut digits = itoa::Buffer::new();
        let before = ["{\"type\":\"publish\",\"id\":", digits.format(sequence), ",\"subject\":\"", publish.subject];
        let before = before.into_iter().chain(to).chain(["\",\"data\":{\"m\":\""]);
        let mut message = Vec::with_capacity(160 + self.pad.len());
        before.for_each(|piece| message.extend_from_slice(piece.as_bytes()));
        publish.marker.write(&mut message);
        [pad[0], pad[1], "\"}}"].iter().for_each(|piece| message.extend_from_slice(piece.as_bytes()));
        write_masked(Opcode::Text, &message, mask(sequence), out);
    }

    fn decoder(&self) -> Decoder {
        self.reader(true)
    }
}

#[derive(Debug)]
enum Phase {
    /// The handshake is under way.
    Opening(Box<Handshake>),
    /// There is no session yet.
    Open,
    /// There is one.
    Ready,
    /// The server's Close frame has come.
    Closed,
    /// Nothing more is read.
    Broken,
}

/// Reads one WebSocket.
#[derive(Debug)]
pub(super) struct WebDecoder {
    frames: Frames,
    web: Web,
}

/// What is known of one WebSocket.
#[derive(Debug)]
struct Web {
    phase: Phase,
    /// It is a publisher's.
    posts: bool,
    words: Arc<Words>,
}

impl WebDecoder {
    /// Takes in what came, in whatever pieces.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Phase::Opening(handshake) = &mut self.web.phase else { return self.frames(bytes, sink) };
        match handshake.take(bytes) {
            Ok(None) => {}
            Ok(Some(agreed)) => {
                self.web.phase = Phase::Open;
                sink(Item::Answer { status: 101, retry_after_s: None, close: false });
                self.frames(&agreed.rest, sink);
            }
            Err(refusal) => {
                self.web.phase = Phase::Broken;
                if matches!(refusal.status, 0 | 101) {
                    return sink(Item::Broken("no handshake of a WebSocket"));
                }
                sink(Item::Answer { status: refusal.status, retry_after_s: refusal.retry_after_s, close: true });
                sink(Item::Done);
            }
        }
    }

    /// The connection has ended. Says whether it was closed before.
    pub(super) const fn finish(&self) -> bool {
        matches!(self.web.phase, Phase::Closed)
    }

    fn frames(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { frames, web } = self;
        if web.is_read() {
            frames.feed(bytes, |frame| {
                web.frame(frame, sink);
                web.is_read()
            });
        }
    }
}

impl Web {
    const fn is_read(&self) -> bool {
        !matches!(self.phase, Phase::Closed | Phase::Broken)
    }

    fn frame(&mut self, frame: Result<(u8, &[u8]), &'static str>, sink: &mut dyn FnMut(Item<'_>)) {
        match frame {
            Ok((0x81, payload)) => self.message(payload, sink),
            Ok((0x88, payload)) => self.close(payload, sink),
            Ok((0x89, payload)) => sink(Item::Reply(&answer(Opcode::Pong, payload))),
            Ok((0x8A, _)) => {}
            Ok(_) => self.break_off("a frame of a kind that was not asked for", sink),
            Err(why) => self.break_off(why, sink),
        }
    }

    fn break_off(&mut self, why: &'static str, sink: &mut dyn FnMut(Item<'_>)) {
        self.phase = Phase::Broken;
        sink(Item::Broken(why));
    }

    /// One object, or an array of them. Only those with a type are looked at.
    fn message(&mut self, text: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        if !text.starts_with(b"{\"type\":\"") {
            // The server puts nothing but events into arrays.
            return self.words.scan(text, sink, |_, _, _| {});
        }
        let kind = &text[b"{\"type\":\"".len()..];
        if kind.starts_with(b"ack\"") {
            sink(Item::Accepted);
            sink(Item::Done);
        } else if kind.starts_with(b"nack\"") {
            sink(Item::Refused);
            sink(Item::Done);
        } else if kind.starts_with(b"session\"") {
            match ready(text) {
                Some(item) => {
                    self.phase = Phase::Ready;
                    sink(item);
                }
                None => self.break_off("a session without an id", sink),
            }
        } else if kind.starts_with(b"end\"") {
            end(text, sink);
        }
    }

    /// The server goes; it is answered with the same code (RFC 6455 section 5.5.1). Why was told before.
    fn close(&mut self, payload: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let code = &payload[..payload.len().min(2)];
        sink(Item::Reply(&answer(Opcode::Close, code)));
        let was_ready = matches!(self.phase, Phase::Ready);
        self.phase = Phase::Closed;
        if self.posts {
            // Nobody knows what became of what has no answer: the end of the connection tells that.
            return;
        }
        match code.first_chunk().map(|code| u16::from_be_bytes(*code)) {
            _ if !was_ready => return sink(Item::Broken("a WebSocket that is closed before its session")),
            Some(1000 | 4001) => {}
            _ => sink(Item::Aborted),
        }
        sink(Item::Done);
    }
}
