//! What a program publishes.

use std::fmt;
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::PublishError;
use crate::limits::{BODY_BYTES_MAX, FIELDS_MAX};
use crate::protocol::{Event, Fields, Origin, Payload, is_reserved};
use crate::topic::Subject;

/// An event that a program makes: a subject, and fields or one JSON text. The same bounds hold as for what clients publish.
#[derive(Clone, Debug)]
pub struct Message {
    subject: Subject,
    payload: Payload,
    /// Bytes of the subject and the payload.
    bytes: usize,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldProblem {
    /// It has no name.
    NoName,
    /// Its name is the server's (rule P-21).
    Reserved {
        /// The name.
        name: String,
    },
    /// There would be more fields than [`FIELDS_MAX`].
    TooMany,
    /// The message is a JSON text, which has no fields.
    NoFields,
    /// The text is not JSON.
    NotJson {
        /// What is wrong with it, and where.
        problem: String,
    },
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName => f.write_str("a field without a name"),
            Self::Reserved { name } => write!(f, "the field {name} is the server's own"),
            Self::TooMany => write!(f, "too many fields, at most {FIELDS_MAX} are allowed"),
            Self::NoFields => f.write_str("a message of JSON text has no fields"),
            Self::NotJson { problem } => write!(f, "the text is not JSON: {problem}"),
        }
    }
}

impl std::error::Error for FieldProblem {}

impl Message {
    /// A message without fields. Subjects that begin with `$` are for the server and its program: clients can subscribe to them and cannot
    /// publish to them.
    ///
    /// # Errors
    ///
    /// [`PublishError::Subject`] if `subject` is empty or too long.
    pub fn new(subject: &str) -> Result<Self, PublishError> {
        Self::with(subject, Payload::Fields(Fields::new()))
    }

    /// A message of one JSON text of any kind. Subscribers get it as the field `data`.
    ///
    /// # Errors
    ///
    /// [`PublishError::Subject`] if `subject` is empty or too long, [`PublishError::Field`] if `text` is not JSON, and
    /// [`PublishError::TooLarge`].
    pub fn json(subject: &str, text: &str) -> Result<Self, PublishError> {
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            return Err(PublishError::Field(FieldProblem::NotJson { problem: error.to_string() }));
        }
        Self::with(subject, Payload::Json(Arc::from(text)))
    }

    fn with(subject: &str, payload: Payload) -> Result<Self, PublishError> {
        let subject = Subject::new(subject).map_err(PublishError::Subject)?;
        let bytes = subject.as_bytes().len() + payload.bytes();
        check_bytes(bytes)?;
        Ok(Self { subject, payload, bytes })
    }

    /// Adds a field. Of several with the same name the first counts (rule P-2). `p_time` is added by the server if it is not given.
    ///
    /// # Errors
    ///
    /// [`PublishError::Field`] if the name is empty or the server's own (rule P-21), if there would be too many fields, or if the message is
    /// a JSON text; [`PublishError::TooLarge`].
    pub fn field(mut self, name: &str, value: impl fmt::Display) -> Result<Self, PublishError> {
        let Payload::Fields(fields) = &mut self.payload else {
            return Err(PublishError::Field(FieldProblem::NoFields));
        };
        if name.is_empty() {
            return Err(PublishError::Field(FieldProblem::NoName));
        }
        if is_reserved(name) {
            return Err(PublishError::Field(FieldProblem::Reserved { name: name.to_owned() }));
        }
        if fields.len() >= FIELDS_MAX {
            return Err(PublishError::Field(FieldProblem::TooMany));
        }
        let value = value.to_string();
        let bytes = self.bytes + name.len() + value.len();
        check_bytes(bytes)?;
        if fields.add_first(name, &value) {
            self.bytes = bytes;
        }
        Ok(self)
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.as_str()
    }

    /// Its bytes, with those of the name of the one session that it is for.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The event of it. When it was accepted the core says.
    pub(super) fn into_event(self) -> Event {
        let Self { subject, payload, .. } = self;
        Event { subject, name: None, payload, origin: Origin::default(), position: None, accepted_at: 0 }
    }
}

/// No message is larger than the largest request of a client.
pub(super) fn check_bytes(bytes: usize) -> Result<(), PublishError> {
    if bytes > BODY_BYTES_MAX { Err(PublishError::TooLarge { bytes, bytes_max: BODY_BYTES_MAX }) } else { Ok(()) }
}
