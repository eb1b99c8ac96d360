//! The one model of an event under all doors.

use std::sync::Arc;

use base64::Engine as _;

use super::fields::Fields;
use super::id::{Address, SessionId};
use crate::topic::Subject;

/// Something that was published: immutable and shared, on its way from one publisher to every session that is interested.
#[derive(Clone, Debug)]
pub struct Event {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub payload: Payload,
    /// Where it comes from.
    pub origin: Origin,
    /// Where it stands in its stream; `None` while its subject has no history.
    pub position: Option<Position>,
    /// The wall clock when it was accepted, in seconds since 1970.
    pub accepted_at: u64,
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
            Self::Fields(fields) => fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
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
    fn every_payload_can_be_told_as_fields() {
        let json = Payload::Json(Arc::from(r#"{"a":1}"#));
        assert_eq!(json.to_fields().get("data"), Some(r#"{"a":1}"#));
        let bytes = Payload::Bytes { content_type: Box::from("image/png"), bytes: Arc::from([0_u8, 255].as_slice()) };
        assert_eq!(bytes.to_fields().iter().collect::<Vec<_>>(), [("content_type", "image/png"), ("data", "AP8=")]);
    }
}
