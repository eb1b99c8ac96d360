//! The one model of an event under all doors.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;

use super::fields::Fields;
use super::id::{Address, SessionId};
use crate::limits::EVENT_NAME_BYTES_MAX;
use crate::topic::Subject;

/// Something that was published: immutable and shared, on its way from one publisher to every session that is interested.
#[derive(Clone, Debug)]
pub struct Event {
    /// What it is about.
    pub subject: Subject,
    /// What it is called, where its publisher named it: clients of the modern doors can tell events apart by it.
    pub name: Option<EventName>,
    /// What it says.
    pub payload: Payload,
    /// Where it comes from.
    pub origin: Origin,
    /// Where it stands in its stream; `None` while its subject has no history.
    pub position: Option<Position>,
    /// The wall clock when it was accepted, in seconds since 1970.
    pub accepted_at: u64,
}

impl Event {
    /// Bytes of its subject, of its name and of what it says.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |name| name.as_str().len());
        self.subject.as_bytes().len() + name + self.payload.bytes()
    }
}

/// The name of an event, the `event` field of Server-Sent Events: 1 to [`EVENT_NAME_BYTES_MAX`] bytes without control characters. Shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(Arc<str>);

/// Why a text names no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventNameError {
    /// Nothing is named, or too much: its length in bytes.
    Length(usize),
    /// It holds a control character, which could end its line.
    Control,
    /// The server or browsers use it for something else.
    Taken,
}

impl fmt::Display for EventNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(bytes) => {
                write!(f, "event name of {bytes} bytes, 1 to {EVENT_NAME_BYTES_MAX} are allowed")
            }
            Self::Control => f.write_str("event name with a control character"),
            Self::Taken => {
                write!(f, "event name that is used for something else; these are: {}", TAKEN_NAMES.join(", "))
            }
        }
    }
}

impl std::error::Error for EventNameError {}

/// Names that publishers cannot use: what the server says of itself, and what browsers say.
const TAKEN_NAMES: [&str; 7] = ["session", "reset", "heartbeat", "end", "open", "error", "message"];

impl EventName {
    /// Takes `text` as a name.
    ///
    /// # Errors
    ///
    /// [`EventNameError`] if it is none.
    pub fn new(text: &str) -> Result<Self, EventNameError> {
        if text.is_empty() || text.len() > EVENT_NAME_BYTES_MAX {
            return Err(EventNameError::Length(text.len()));
        }
        // Whatever some reader takes for the end of a line.
        if text.chars().any(|letter| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')) {
            return Err(EventNameError::Control);
        }
        if TAKEN_NAMES.contains(&text) { Err(EventNameError::Taken) } else { Ok(Self(Arc::from(text))) }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// For whom an event is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Every session with a subscription to its subject (rule P-19).
    #[default]
    Subscribers,
    /// The one session of this address or, for old programs, of this id (rule P-23).
    One(Box<str>),
    /// Every session that has listened, whatever it is subscribed to. No client can publish to everyone.
    Everyone,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Names and values, as Pushlet publishers send them. Reserved names are not among them, `p_time` may be (rule P-21).
    Fields(Fields),
    /// One JSON text, valid UTF-8 JSON.
    Json(Arc<str>),
    /// Bytes and what they are.
    Bytes {
        /// The media type the publisher named.
        content_type: Box<str>,
        /// The bytes.
        bytes: Arc<[u8]>,
    },
}

impl Payload {
    /// Bytes of its publisher that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Fields(fields) => fields.bytes(),
            Self::Json(text) => text.len(),
            Self::Bytes { content_type, bytes } => content_type.len() + bytes.len(),
        }
    }

    /// The payload as names and values, for the doors that know nothing else: a JSON text is the field `data`, bytes are the fields
    /// `content_type` and `data` (base64).
    #[must_use]
    pub fn to_fields(&self) -> Fields {
        match self {
            Self::Fields(fields) => fields.clone(),
            Self::Json(text) => [("data", &**text)].into_iter().collect(),
            Self::Bytes { content_type, bytes } => {
                let data = base64::engine::general_purpose::STANDARD.encode(bytes);
                [("content_type", &**content_type), ("data", data.as_str())].into_iter().collect()
            }
        }
    }
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The session that published it; `None` for events made by the server and for publishers without a session.
    pub publisher: Option<(SessionId, Address)>,
    /// The node that accepted it, where nodes are joined: an event from another node is never relayed again (invariant A10).
    pub node: Option<u32>,
}

/// Where an event stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which stream.
    pub stream: u32,
    /// Which life of the stream: offsets of different epochs do not compare.
    pub epoch: u32,
    /// The event's number, from 1.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_no_line_and_are_nobody_elses() {
        for good in ["a", "price.update", "\u{4e2d}\u{6587}", "message2", &"n".repeat(EVENT_NAME_BYTES_MAX)] {
            assert_eq!(EventName::new(good).expect("a name").as_str(), good);
        }
        for (bad, error) in [
            ("", EventNameError::Length(0)),
            (&*"n".repeat(EVENT_NAME_BYTES_MAX + 1), EventNameError::Length(EVENT_NAME_BYTES_MAX + 1)),
            ("a\nb", EventNameError::Control),
            ("a\r", EventNameError::Control),
            ("\0", EventNameError::Control),
            ("a\u{85}b", EventNameError::Control),
            ("a\u{2028}b", EventNameError::Control),
            ("session", EventNameError::Taken),
            ("error", EventNameError::Taken),
        ] {
            assert_eq!(EventName::new(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn every_payload_can_be_told_as_fields() {
        let json = Payload::Json(Arc::from(r#"{"a":1}"#));
        assert_eq!(json.to_fields().get("data"), Some(r#"{"a":1}"#));
        let bytes = Payload::Bytes { content_type: Box::from("image/png"), bytes: Arc::from([0_u8, 255].as_slice()) };
        assert_eq!(bytes.to_fields().iter().collect::<Vec<_>>(), [("content_type", "image/png"), ("data", "AP8=")]);
    }
}
