//! How a server is spoken to. Another protocol, or another server, is one more [`Door`] and one more [`Decoder`].

use std::fmt;

use super::marker::Marker;
use super::pushlet::PushletDecoder;

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

/// A protocol: which bytes ask for what. What comes back is read by its [`Decoder`].
pub(super) trait Door: Send + Sync + fmt::Debug {
    /// Opens a data channel, with a subscription unless `subject` is `None`.
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>);
    /// Goes on with a data channel whose last answer is over.
    fn again(&self, target: &str, out: &mut Vec<u8>);
    /// Opens a session that publishes.
    fn join(&self, out: &mut Vec<u8>);
    /// Publishes. Each is answered in order, by `Accepted` or `Refused` and then `Done`.
    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>);
    /// Ends a session. It is answered as a publish is.
    fn leave(&self, id: &str, out: &mut Vec<u8>);
    /// What reads a new connection.
    fn decoder(&self) -> Decoder;
    /// Whether the data channel is one answer without end: its end is then the end of the subscriber.
    fn streams(&self) -> bool;
}

/// What reads one connection. An enum, because it is asked for every delivery.
#[derive(Debug)]
pub(super) enum Decoder {
    /// The Pushlet protocol.
    Pushlet(PushletDecoder),
}

impl Decoder {
    /// Takes in what came and hands on what is understood. Bytes may come in any pieces.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        match self {
            Self::Pushlet(decoder) => decoder.feed(bytes, sink),
        }
    }

    /// The connection has ended. Says whether no answer was cut by that.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        match self {
            Self::Pushlet(decoder) => decoder.finish(sink),
        }
    }
}
