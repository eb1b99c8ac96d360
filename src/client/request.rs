//! What a client asks for over a WebSocket, as messages.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// One request.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// More events.
    Subscribe(&'a Subscription),
    /// Fewer: the patterns of earlier subscriptions.
    Unsubscribe(&'a str),
    /// An event for others.
    Publish(&'a Publication),
    /// A sign of life, which is answered by one.
    Ping,
}

/// A subject or pattern, and how its events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The subject or pattern; or several, parted by commas.
    pub subject: String,
    /// At most so many of its events may wait for a client that reads slowly; more, and the oldest are dropped.
    pub queue: Option<u32>,
    /// Of the events of one subject that wait, only the newest is wanted.
    pub conflate: bool,
}

impl Subscription {
    /// One without wishes.
    #[must_use]
    pub fn to(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..Self::default() }
    }
}

/// An event to be published.
#[derive(Clone, Debug)]
pub struct Publication {
    subject: String,
    name: Option<String>,
    to: Option<String>,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Json(Box<RawValue>),
    Bytes { content_type: String, base64: String },
}

impl Publication {
    /// An event whose data is `value` as JSON.
    ///
    /// # Errors
    ///
    /// `value` cannot be written as JSON.
    pub fn json(subject: impl Into<String>, value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let data = Data::Json(to_raw_value(value)?);
        Ok(Self { subject: subject.into(), name: None, to: None, data })
    }

    /// An event whose data is this JSON text.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn json_text(subject: impl Into<String>, text: &str) -> Result<Self, serde_json::Error> {
        let data = Data::Json(serde_json::from_str::<&RawValue>(text)?.to_owned());
        Ok(Self { subject: subject.into(), name: None, to: None, data })
    }

    /// An event whose data is bytes of a media type.
    #[must_use]
    pub fn bytes(subject: impl Into<String>, content_type: impl Into<String>, bytes: &[u8]) -> Self {
        let data = Data::Bytes { content_type: content_type.into(), base64: STANDARD.encode(bytes) };
        Self { subject: subject.into(), name: None, to: None, data }
    }

    /// Gives it a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only for the session with this address (rule P-23).
    #[must_use]
    pub fn to(mut self, address: impl Into<String>) -> Self {
        self.to = Some(address.into());
        self
    }
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// There is no connection, or not yet, or not any more.
    NotOpen,
    /// The server takes no such long message.
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// What the server takes.
        max: usize,
    },
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("there is no connection"),
            Self::TooLong { bytes, max } => write!(f, "a message of {bytes} bytes; the server takes {max}"),
        }
    }
}

impl std::error::Error for Unsent {}

#[derive(Default, Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Request<'_> {
    /// The message that asks for it.
    pub(super) fn write(&self, id: u64) -> Vec<u8> {
        let nothing = Written { id, ..Written::default() };
        let written = match self {
            Self::Subscribe(Subscription { subject, queue, conflate }) => Written {
                kind: "subscribe",
                subject: Some(subject),
                queue: *queue,
                conflate: conflate.then_some(true),
                ..nothing
            },
            Self::Unsubscribe(subject) => Written { kind: "unsubscribe", subject: Some(subject), ..nothing },
            Self::Publish(Publication { subject, name, to, data }) => {
                let (event, to) = (name.as_deref(), to.as_deref());
                let common = Written { kind: "publish", subject: Some(subject), event, to, ..nothing };
                match data {
                    Data::Json(data) => Written { data: Some(data), ..common },
                    Data::Bytes { content_type, base64 } => {
                        Written { content_type: Some(content_type), base64: Some(base64), ..common }
                    }
                }
            }
            Self::Ping => Written { kind: "ping", ..nothing },
        };
        serde_json::to_vec(&written).expect("texts, numbers and JSON are written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: Request<'_>) -> String {
        String::from_utf8(request.write(7)).expect("JSON is UTF-8")
    }

    #[test]
    fn requests_are_what_the_server_reads() {
        let wish = Subscription { queue: Some(5), conflate: true, ..Subscription::to("/a,/b/*") };
        let news = Publication::json("/a", &[1, 2]).expect("JSON").named("tick").to("F");
        let bytes = Publication::bytes("/a", "image/png", &[0, 255]);
        let exact = Publication::json_text("/a", " {\"x\": 1.0} ").expect("JSON");
        for (request, written) in [
            (Request::Subscribe(&Subscription::to("/a")), r#"{"type":"subscribe","id":7,"subject":"/a"}"#),
            (Request::Subscribe(&wish), r#"{"type":"subscribe","id":7,"subject":"/a,/b/*","queue":5,"conflate":true}"#),
            (Request::Unsubscribe("/a\""), r#"{"type":"unsubscribe","id":7,"subject":"/a\""}"#),
            (
                Request::Publish(&news),
                r#"{"type":"publish","id":7,"subject":"/a","event":"tick","to":"F","data":[1,2]}"#,
            ),
            (
                Request::Publish(&bytes),
                r#"{"type":"publish","id":7,"subject":"/a","content_type":"image/png","base64":"AP8="}"#,
            ),
            (Request::Publish(&exact), r#"{"type":"publish","id":7,"subject":"/a","data":{"x": 1.0}}"#),
            (Request::Ping, r#"{"type":"ping","id":7}"#),
        ] {
            assert_eq!(text(request), written);
            let read = crate::wire::v1::request(written);
            assert!(read.wanted.is_ok() && read.id.is_some(), "{written}: {read:?}");
        }
        assert!(Publication::json_text("/a", "{").is_err());
    }
}
