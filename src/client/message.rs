//! What a server says over a WebSocket, and what else a conversation tells.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::closing::{Advice, Closed};
use super::event::Event;
use super::handshake::Refusal;

/// One thing that a conversation tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The first of all: the session is there.
    Session(Session),
    /// An event.
    Event(Event),
    /// A request was carried out.
    Ack {
        /// The number that [`super::Conversation::request`] gave it.
        id: u64,
        /// Of a publish: for how many subjects it was accepted.
        accepted: Option<u64>,
    },
    /// A request was refused.
    Nack(Nack),
    /// A request of type `ping` was answered.
    Pong {
        /// Its number.
        id: Option<u64>,
        /// The server's clock, in seconds since 1970.
        time: Option<u64>,
    },
    /// A sign of life that was asked for by `heartbeat=event`.
    Heartbeat,
    /// The stream does not go on where an earlier one ended: events may be missing.
    Reset {
        /// The server's word for why.
        reason: String,
    },
    /// The session is over; [`Incoming::Closed`] follows and has what to do.
    End(End),
    /// A message was not understood and is passed over.
    Skipped(String),
    /// The last of all: there is no WebSocket, this was the answer.
    Refused(Refusal),
    /// The last of all: the connection is over.
    Closed(Closed),
}

/// The session of a connection. It ends with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// Its secret id, by which other requests act for it.
    #[serde(rename = "session")]
    pub id: String,
    /// Its public address, to which others send.
    #[serde(default)]
    pub address: String,
    /// After so much silence the server sends something, in milliseconds.
    #[serde(default)]
    pub heartbeat_ms: Option<u64>,
    /// Longest message that the server takes, in bytes.
    #[serde(default)]
    pub message_max: Option<usize>,
    /// The position of an earlier stream was named, and the server cannot go on there.
    #[serde(default)]
    pub reset: bool,
}

/// Why a request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Nack {
    /// The number of the request; `None` if it could not be read.
    #[serde(skip)]
    pub id: Option<u64>,
    /// What the same request would have got by HTTP.
    pub status: u16,
    /// One sentence.
    pub reason: String,
    /// The member of the request that is at fault.
    pub field: Option<String>,
    /// The bound that it broke.
    pub limit: Option<u64>,
    /// Try again after so many seconds.
    pub retry_after_s: Option<u64>,
}

impl std::fmt::Display for Nack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.reason)?;
        self.field.as_ref().map_or(Ok(()), |field| write!(f, " ({field})"))
    }
}

/// Why a session ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The server's word, as docs/protocol.md lists them.
    pub reason: String,
    /// The same for people.
    pub text: String,
    /// What to do; `None` if the server did not say or said something unknown.
    pub advice: Option<Advice>,
    /// Come again after about so many milliseconds.
    pub retry_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct WrittenEnd<'a> {
    reason: String,
    text: String,
    #[serde(borrow)]
    action: Cow<'a, str>,
    retry_ms: Option<u64>,
}

/// What a message is.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    subject: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    accepted: Option<u64>,
    time: Option<u64>,
}

#[derive(Deserialize)]
struct WrittenReset {
    #[serde(default)]
    reason: String,
}

/// Takes a message apart: one object, or an array of them.
pub(super) fn read(text: String, sink: &mut dyn FnMut(Incoming)) {
    if !text.trim_ascii_start().starts_with('[') {
        return one(text, sink);
    }
    match serde_json::from_str::<Vec<&RawValue>>(&text) {
        Ok(objects) => objects.into_iter().for_each(|object| one(object.get().to_owned(), sink)),
        Err(error) => sink(Incoming::Skipped(error.to_string())),
    }
}

fn one(text: String, sink: &mut dyn FnMut(Incoming)) {
    match object(text) {
        Ok(Some(incoming)) => sink(incoming),
        Ok(None) => {}
        Err(error) => sink(Incoming::Skipped(error.to_string())),
    }
}

/// What an object says; `None` if it is of a kind that is not known here: it is of a later time.
fn object(text: String) -> Result<Option<Incoming>, serde_json::Error> {
    let Kind { kind, subject } = serde_json::from_str(&text)?;
    let Some(kind) = kind else {
        return if subject.is_some() { Event::read(text).map(|event| Some(Incoming::Event(event))) } else { Ok(None) };
    };
    Ok(Some(match &*kind {
        "session" => Incoming::Session(serde_json::from_str(&text)?),
        "ack" => {
            let answer: Answer<'_> = serde_json::from_str(&text)?;
            // An ack of nothing that we asked.
            let Some(id) = answer.number() else { return Ok(None) };
            Incoming::Ack { id, accepted: answer.accepted }
        }
        "nack" => {
            let (answer, nack): (Answer<'_>, Nack) = (serde_json::from_str(&text)?, serde_json::from_str(&text)?);
            Incoming::Nack(Nack { id: answer.number(), ..nack })
        }
        "pong" => {
            let answer: Answer<'_> = serde_json::from_str(&text)?;
            Incoming::Pong { id: answer.number(), time: answer.time }
        }
        "heartbeat" => Incoming::Heartbeat,
        "reset" => Incoming::Reset { reason: serde_json::from_str::<WrittenReset>(&text)?.reason },
        "end" => {
            let WrittenEnd { reason, text, action, retry_ms } = serde_json::from_str(&text)?;
            let advice = match &*action {
                "nothing" => Some(Advice::Nothing),
                "rejoin" => Some(Advice::Rejoin),
                "rejoin-later" => Some(Advice::RejoinLater),
                _ => None,
            };
            Incoming::End(End { reason, text, advice, retry_ms })
        }
        _ => return Ok(None),
    }))
}

impl Answer<'_> {
    /// The id, if it is one of ours: they are numbers.
    fn number(&self) -> Option<u64> {
        self.id?.get().parse().ok()
    }
}
