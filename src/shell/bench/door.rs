//! How a server is spoken to. Another protocol, or another server, is one more [`Listen`] or [`Post`] and one more [`Decoder`].

use std::fmt;

use super::marker::Marker;
use super::modern::{PollDecoder, PollDoor, PublishDecoder, PublishDoor, SseDecoder, SseDoor};
use super::options::{BenchArgs, Posting, Targets};
use super::peer::{self, RedisDecoder, SocketDecoder, StreamDecoder};
use super::pushlet::{PushletDecoder, PushletDoor};
use super::web::{WebDecoder, WebDoor};
use crate::protocol::Mode;
use crate::shell::client::transport::Transport;

/// What was understood of what a server sent.
#[derive(Debug, PartialEq)]
pub(super) enum Item<'a> {
    /// An answer begins: status, when to come again in seconds, whether the connection ends with it.
    Answer {
        /// The status code.
        status: u16,
        /// What `Retry-After` says, in seconds.
        retry_after_s: Option<u64>,
        /// No other request on this connection.
        close: bool,
    },
    /// The session is there: its secret id and its public address.
    Ready {
        /// What authorizes further requests.
        id: &'a str,
        /// What others send to.
        address: &'a str,
    },
    /// An event of ours.
    Event(Marker),
    /// The server says that it has dropped so many events of this session.
    Told(u64),
    /// The server ends the session and says so.
    Aborted,
    /// When this answer is over, come again after so many milliseconds, with this.
    Again {
        /// Milliseconds to wait.
        wait_ms: u64,
        /// Where to.
        target: String,
    },
    /// A publish was accepted.
    Accepted,
    /// A request was refused.
    Refused,
    /// The server refuses who opens, in these words. `Done` follows.
    Denied(&'a [u8]),
    /// The server wants this back at once, such as the answer to a ping.
    Reply(&'a [u8]),
    /// The answer is over.
    Done,
    /// What came is not of this protocol.
    Broken(&'static str),
}

/// One event to be published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publish<'a> {
    /// The publisher's id.
    pub(super) id: &'a str,
    /// What the event is about.
    pub(super) subject: &'a str,
    /// The address of the only receiver, if there is only one.
    pub(super) to: Option<&'a str>,
    /// What marks it.
    pub(super) marker: Marker,
}

/// How events are listened to: which bytes ask for what. What comes back is read by its [`Decoder`].
pub(super) trait Listen: Send + Sync + fmt::Debug {
    /// Opens a data channel, with a subscription unless `subject` is `None`.
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>);
    /// Goes on with a data channel whose last answer is over. A stream has one answer.
    fn again(&self, _target: &str, _out: &mut Vec<u8>) {}
    /// What reads a new connection of a subscriber. Where a subscription follows an answer of the server, it is what asks for `subject`.
    fn decoder(&self, subject: Option<&str>) -> Decoder;
    /// Whether the data channel is one answer without end: its end is then the end of the subscriber.
    fn streams(&self) -> bool {
        true
    }
}

/// How events are published.
pub(super) trait Post: Send + Sync + fmt::Debug {
    /// Makes ready to publish. It is answered by `Ready` and then `Done`.
    fn join(&self, out: &mut Vec<u8>);
    /// Publishes. Each is answered in order, by `Accepted` or `Refused` and then `Done`.
    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>);
    /// What reads a new connection of a publisher.
    fn decoder(&self) -> Decoder;
}

/// The doors of one run.
#[derive(Debug)]
pub(super) struct Doors {
    /// Where subscribers are.
    pub(super) listen: Box<dyn Listen>,
    /// Where publishers are.
    pub(super) post: Box<dyn Post>,
    /// Where sessions are ended; `None` where closing the connection does that.
    leave: Option<PushletDoor>,
}

impl Doors {
    /// The doors of `targets` that are asked for. With `nonce` all WebSockets of the run begin.
    pub(super) fn new(targets: &Targets, args: &BenchArgs, nonce: [u8; 16]) -> Self {
        if let Some((listen, post)) = peer::doors(args.dialect, targets, args.payload_bytes, nonce) {
            return Self { listen, post, leave: None };
        }
        let target = &targets.listen;
        let pushlet = |mode| PushletDoor::new(target, args.format, mode, args.payload_bytes);
        let web = || WebDoor::new(target, args.payload_bytes, nonce);
        Self {
            listen: match args.transport {
                Transport::Pushlet(mode) => Box::new(pushlet(mode)),
                Transport::EventStream => Box::new(SseDoor::new(target)),
                Transport::LongPoll => Box::new(PollDoor::new(target)),
                Transport::WebSocket => Box::new(web()),
            },
            post: match args.posting {
                Posting::Pushlet => Box::new(pushlet(Mode::default())),
                Posting::Http => Box::new(PublishDoor::new(&targets.post, args.payload_bytes)),
                Posting::WebSocket => Box::new(web()),
            },
            leave: Some(pushlet(Mode::default())),
        }
    }

    /// The door by which sessions are ended, at whichever one they began. `None`: closing the connection ends one.
    pub(super) const fn leave(&self) -> Option<&PushletDoor> {
        self.leave.as_ref()
    }
}

/// What reads one connection. An enum, because it is asked for every delivery.
#[derive(Debug)]
pub(super) enum Decoder {
    /// The Pushlet protocol.
    Pushlet(PushletDecoder),
    /// A stream of Server-Sent Events.
    Sse(SseDecoder),
    /// The answers of a long poll.
    Poll(PollDecoder),
    /// The answers to publishes by HTTP.
    Publish(PublishDecoder),
    /// A WebSocket.
    Web(WebDecoder),
    /// A stream of another server.
    PeerStream(StreamDecoder),
    /// A WebSocket of another server.
    PeerSocket(SocketDecoder),
    /// Redis.
    Redis(RedisDecoder),
}

impl Decoder {
    /// Takes in what came and hands on what is understood. Bytes may come in any pieces.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        match self {
            Self::Pushlet(decoder) => decoder.feed(bytes, sink),
            Self::Sse(decoder) => decoder.feed(bytes, sink),
            Self::Poll(decoder) => decoder.feed(bytes, sink),
            Self::Publish(decoder) => decoder.feed(bytes, sink),
            Self::Web(decoder) => decoder.feed(bytes, sink),
            Self::PeerStream(decoder) => decoder.feed(bytes, sink),
            Self::PeerSocket(decoder) => decoder.feed(bytes, sink),
            Self::Redis(decoder) => decoder.feed(bytes, sink),
        }
    }

    /// The connection has ended. Says whether no answer was cut by that.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        match self {
            Self::Pushlet(decoder) => decoder.finish(sink),
            Self::Sse(decoder) => decoder.finish(sink),
            Self::Poll(decoder) => decoder.finish(sink),
            Self::Publish(decoder) => decoder.finish(sink),
            Self::Web(decoder) => decoder.finish(),
            Self::PeerStream(decoder) => decoder.finish(sink),
            Self::PeerSocket(decoder) => decoder.finish(),
            // A connection that ends has no answer that says so.
            Self::Redis(_) => false,
        }
    }
}
