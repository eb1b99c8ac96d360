//! Peers over WebSockets: the handshake, the frames, and who answers what. What a server speaks within has a room of its own.

use super::super::door::{Decoder, Item, Listen, Post, Publish};
use super::super::frames::{Frames, answer, mask};
use super::faye::Faye;
use super::nats::Nats;
use super::socket_io::SocketIo;
use super::{Content, answered, append, faye, markers, nats, ready, socket_io};
use crate::shell::client::target::Target;
use crate::wire::ws::{Opcode, accept_key, write_masked};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest head of an answer that is read, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What is spoken over the WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every message is an event.
    Nchan,
    /// `ready`, then every message is an event; who publishes sends subject and event, and hears `ok`.
    Uws,
    /// Engine.IO 4 and Socket.IO 5.
    SocketIo,
    /// Bayeux 1.0.
    Faye,
    /// The NATS client protocol.
    Nats,
}

/// A server with WebSockets.
#[derive(Debug)]
pub(super) struct SocketPeer {
    kind: Kind,
    /// What is asked for, up to the subject if that stands there.
    path: String,
    /// Behind the path: version, host, and the handshake.
    fields: String,
    /// What the answer to the handshake must say.
    accept: String,
    content: Content,
}

impl SocketPeer {
    /// This server, for events with `payload_bytes` of padding. One `nonce` does for all connections of the run: what it guards against is a cache
    /// in between (RFC 6455 section 1.3), and there is none.
    pub(super) fn new(target: &Target, kind: Kind, payload_bytes: usize, nonce: [u8; 16]) -> Self {
        let (key, host) = (STANDARD.encode(nonce), target.host_header());
        let door = match kind {
            Kind::Nchan => "ws/",
            Kind::Uws => "ws",
            Kind::SocketIo => "socket.io/?EIO=4&transport=websocket",
            Kind::Faye => "faye",
            Kind::Nats => "",
        };
        Self {
            kind,
            path: target.door(door),
            fields: format!(
                " HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n"
            ),
            accept: accept_key(&key),
            content: match kind {
                Kind::SocketIo => Content::quoted(payload_bytes),
                _ => Content::plain(payload_bytes),
            },
        }
    }

    fn reader(&self, subject: Option<&str>, posts: bool) -> Decoder {
        let talk = match self.kind {
            Kind::Nchan => Talk::Events,
            Kind::Uws => Talk::Uws,
            Kind::SocketIo => Talk::SocketIo(SocketIo::new(subject)),
            Kind::Faye => Talk::Faye(Faye::new(subject)),
            Kind::Nats => Talk::Nats(Nats::new(subject)),
        };
        let opening = Box::new(Opening { accept: self.accept.clone(), input: Vec::new() });
        let socket = Socket { phase: Phase::Opening(opening), posts, talk };
        Decoder::PeerSocket(SocketDecoder { frames: Frames::default(), socket })
    }
}

impl Listen for SocketPeer {
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>) {
        let query = if self.kind == Kind::Uws { "?subject=" } else { "" };
        let named = matches!(self.kind, Kind::Nchan | Kind::Uws);
        let subject = subject.filter(|_| named).unwrap_or_default();
        append(&["GET ", &self.path, query, subject, &self.fields], out);
    }

    fn decoder(&self, subject: Option<&str>) -> Decoder {
        self.reader(subject, false)
    }
}

impl Post for SocketPeer {
    fn join(&self, out: &mut Vec<u8>) {
        append(&["GET ", &self.path, &self.fields], out);
    }

    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>) {
        let mut message = Vec::with_capacity(256 + self.content.len());
        let mut opcode = Opcode::Text;
        match self.kind {
            Kind::SocketIo => socket_io::publish(publish, &self.content, &mut message),
            Kind::Faye => faye::publish(publish, &self.content, &mut message),
            Kind::Nats => {
                opcode = Opcode::Binary;
                nats::publish(publish, &self.content, &mut message);
            }
            Kind::Uws | Kind::Nchan => {
                append(&[publish.subject, "\n"], &mut message);
                self.content.write(publish.marker, &mut message);
            }
        }
        write_masked(opcode, &message, mask(publish.marker.sequence), out);
    }

    fn decoder(&self) -> Decoder {
        self.reader(None, true)
    }
}

/// The answer to the handshake, as far as it has come.
#[derive(Debug)]
struct Opening {
    accept: String,
    input: Vec<u8>,
}

/// What the answer to the handshake comes to.
enum Opened {
    /// More is needed.
    Not,
    /// There is a WebSocket; so many bytes were its answer.
    Yes(usize),
    /// There is none: status, when to come again in seconds.
    Refused(u16, Option<u64>),
    /// It is no answer to a handshake.
    Broken,
}

impl Opening {
    fn judge(&self) -> Opened {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&self.input) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.input.len() <= HEAD_BYTES_MAX => return Opened::Not,
            _ => return Opened::Broken,
        };
        let field = |name: &str| {
            let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok()
        };
        match response.code.unwrap_or_default() {
            101 if field("sec-websocket-accept") == Some(&*self.accept) => Opened::Yes(length),
            101 => Opened::Broken,
            status => Opened::Refused(status, field("retry-after").and_then(|value| value.parse().ok())),
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// The handshake is under way.
    Opening(Box<Opening>),
    /// There is a WebSocket.
    Open,
    /// Who asked is subscribed, or may publish.
    Ready,
    /// The server's Close frame has come.
    Closed,
    /// Nothing more is read.
    Broken,
}

/// What is spoken within, and how far that has come.
#[derive(Debug)]
enum Talk {
    Events,
    Uws,
    SocketIo(SocketIo),
    Faye(Faye),
    Nats(Nats),
}

/// How far a message brought a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing changed.
    On,
    /// It is ready now, and the items say so.
    Ready,
    /// It is refused, and the items say so; nothing more is read.
    Over,
    /// This is not of the protocol; what it is.
    Broken(&'static str),
}

/// Reads one WebSocket.
#[derive(Debug)]
pub(in super::super) struct SocketDecoder {
    frames: Frames,
    socket: Socket,
}

#[derive(Debug)]
struct Socket {
    phase: Phase,
    /// It is a publisher's.
    posts: bool,
    talk: Talk,
}

/// A message of a client as a frame, to be sent at once.
pub(super) fn say(opcode: Opcode, message: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
    sink(Item::Reply(&answer(opcode, message)));
}

impl SocketDecoder {
    /// Takes in what came, in whatever pieces.
    pub(in super::super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { frames, socket } = self;
        let Phase::Opening(opening) = &mut socket.phase else { return read(frames, socket, bytes, sink) };
        opening.input.extend_from_slice(bytes);
        match opening.judge() {
            Opened::Not => {}
            Opened::Yes(length) => {
                let rest = opening.input.split_off(length);
                socket.phase = Phase::Open;
                sink(Item::Answer { status: 101, retry_after_s: None, close: false });
                socket.begin(sink);
                read(frames, socket, &rest, sink);
            }
            Opened::Refused(status, retry_after_s) => {
                socket.phase = Phase::Broken;
                sink(Item::Answer { status, retry_after_s, close: true });
                sink(Item::Done);
            }
            Opened::Broken => socket.break_off("no handshake of a WebSocket", sink),
        }
    }

    /// The connection has ended. Says whether it was closed before.
    pub(in super::super) const fn finish(&self) -> bool {
        matches!(self.socket.phase, Phase::Closed)
    }
}

fn read(frames: &mut Frames, socket: &mut Socket, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
    if socket.is_read() {
        frames.feed(bytes, |frame| {
            socket.frame(frame, sink);
            socket.is_read()
        });
    }
}

impl Socket {
    const fn is_read(&self) -> bool {
        !matches!(self.phase, Phase::Closed | Phase::Broken)
    }

    /// There is a WebSocket: what has no greeting is ready, and what the client begins is begun.
    fn begin(&mut self, sink: &mut dyn FnMut(Item<'_>)) {
        match &self.talk {
            Talk::Events => {
                self.phase = Phase::Ready;
                ready("", self.posts, sink);
            }
            Talk::Faye(_) => say(Opcode::Text, faye::HANDSHAKE.as_bytes(), sink),
            Talk::Uws | Talk::SocketIo(_) | Talk::Nats(_) => {}
        }
    }

    fn frame(&mut self, frame: Result<(u8, &[u8]), &'static str>, sink: &mut dyn FnMut(Item<'_>)) {
        match frame {
            Ok((0x81 | 0x82, payload)) => self.message(payload, sink),
            // What NATS says is a stream of bytes: where messages of the WebSocket end means nothing.
            Ok((0x00 | 0x01 | 0x02 | 0x80, payload)) if matches!(self.talk, Talk::Nats(_)) => {
                self.message(payload, sink)
            }
            Ok((0x88, payload)) => self.close(payload, sink),
            Ok((0x89, payload)) => say(Opcode::Pong, payload, sink),
            Ok((0x8A, _)) => {}
            Ok(_) => self.break_off("a frame of a kind that was not asked for", sink),
            Err(why) => self.break_off(why, sink),
        }
    }

    fn message(&mut self, payload: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let is_ready = matches!(self.phase, Phase::Ready);
        let posts = self.posts;
        let step = match &mut self.talk {
            Talk::Uws if !is_ready => greeted(payload, posts, sink),
            Talk::Uws if posts => {
                answered(payload == b"ok", sink);
                Step::On
            }
            Talk::Events | Talk::Uws => {
                markers(payload, sink);
                Step::On
            }
            Talk::SocketIo(talk) => talk.message(payload, is_ready, posts, sink),
            Talk::Faye(talk) => talk.message(payload, is_ready, posts, sink),
            Talk::Nats(talk) => talk.bytes(payload, is_ready, posts, sink),
        };
        match step {
            Step::On => {}
            Step::Ready => self.phase = Phase::Ready,
            Step::Over => self.phase = Phase::Broken,
            Step::Broken(why) => self.break_off(why, sink),
        }
    }

    fn break_off(&mut self, why: &'static str, sink: &mut dyn FnMut(Item<'_>)) {
        self.phase = Phase::Broken;
        sink(Item::Broken(why));
    }

    /// The server goes; it is answered with the same code (RFC 6455 section 5.5.1).
    fn close(&mut self, payload: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        say(Opcode::Close, &payload[..payload.len().min(2)], sink);
        let was_ready = matches!(self.phase, Phase::Ready);
        self.phase = Phase::Closed;
        if !was_ready {
            return sink(Item::Broken("a WebSocket that is closed before it was ready"));
        }
        // Of a publisher nobody knows what became of what has no answer: the end of the connection tells that.
        if !self.posts {
            sink(Item::Aborted);
            sink(Item::Done);
        }
    }
}

/// The first message of our own little protocol.
fn greeted(payload: &[u8], posts: bool, sink: &mut dyn FnMut(Item<'_>)) -> Step {
    if payload != b"ready" {
        return Step::Broken("a WebSocket that does not begin with the text `ready`");
    }
    ready("", posts, sink);
    Step::Ready
}
