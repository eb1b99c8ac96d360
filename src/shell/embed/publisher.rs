//! The handle by which any thread publishes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::message::check_bytes;
use super::{FieldProblem, Hall, Interest, Message, Published};
use crate::limits::WATCHED_SUBJECTS_MAX;
use crate::metrics::{Board, Figures};
use crate::protocol::Audience;
use crate::shell::wiring;
use crate::topic::{Subject, SubjectError};

/// Why something was not published, or not watched. Nobody has got it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The subject is none.
    Subject(SubjectError),
    /// A field cannot be, or the text is not JSON.
    Field(FieldProblem),
    /// The message is larger than the largest request of a client.
    TooLarge {
        /// Its size, in bytes.
        bytes: usize,
        /// What is allowed, in bytes.
        bytes_max: usize,
    },
    /// [`WATCHED_SUBJECTS_MAX`] subjects are watched. One that was dropped counts until the cores have heard of it, for 0.1 s or so.
    TooManyWatched,
    /// Events come in more quickly than the server can deliver them. Trying again later makes sense.
    Overloaded,
    /// The server has stopped.
    Stopped,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(error) => error.fmt(f),
            Self::Field(problem) => problem.fmt(f),
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "message of {bytes} bytes, at most {bytes_max} are allowed")
            }
            Self::TooManyWatched => {
                write!(f, "too many watched subjects, at most {WATCHED_SUBJECTS_MAX} are allowed at one time")
            }
            Self::Overloaded => {
                f.write_str("overloaded: the server cannot take the event at the moment; nobody got it")
            }
            Self::Stopped => f.write_str("the server has stopped"),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Subject(error) => Some(error),
            Self::Field(problem) => Some(problem),
            Self::TooLarge { .. } | Self::TooManyWatched | Self::Overloaded | Self::Stopped => None,
        }
    }
}

/// Is told what came of a call.
type Count = dyn Fn(&Result<(), PublishError>) + Send + Sync;

/// Publishes into a running server from any thread, without a session and without waiting.
///
/// What is `Ok` has been handed to a core, which gives it to every core and every session whom it concerns; should the cores stay full for
/// 5 s, it is dropped and counted as overloaded, as a client's publish is refused. A clone is the same handle: the events of one handle keep
/// the order in which they were published. Handles that were asked for one by one are spread over the cores; between them no order is kept.
#[derive(Clone)]
pub struct Publisher {
    hall: Arc<Hall>,
    core: u16,
    /// Who counts what comes of its calls, if anybody does.
    count: Option<Arc<Count>>,
}

impl Publisher {
    pub(in crate::shell) fn new(hall: &Arc<Hall>) -> Self {
        let number = hall.handles.fetch_add(1, Ordering::Relaxed) % hall.inlets.len().max(1);
        Self { hall: Arc::clone(hall), core: u16::try_from(number).unwrap_or(0), count: None }
    }

    /// The same handle; `count` is told what comes of each of its calls.
    pub(in crate::shell) fn counted(self, count: Arc<Count>) -> Self {
        Self { count: Some(count), ..self }
    }

    /// P-19: to every session with a subscription to the subject.
    ///
    /// # Errors
    ///
    /// [`PublishError::Overloaded`] and [`PublishError::Stopped`]; nobody has got it then.
    pub fn multicast(&self, message: Message) -> Result<(), PublishError> {
        self.publish(message, Audience::Subscribers)
    }

    /// P-23: to one session, by its address (`p_from` of an event of it, or of its join-ack) or by its id. If there is no such session, or it
    /// has never listened, the event is counted and dropped, which is no error.
    ///
    /// # Errors
    ///
    /// As [`Publisher::multicast`], and [`PublishError::TooLarge`] if there is no room for the address beside the message.
    pub fn unicast(&self, to: &str, message: Message) -> Result<(), PublishError> {
        check_bytes(message.bytes().saturating_add(to.len()))?;
        self.publish(message, Audience::One(Box::from(to)))
    }

    /// To every session that has listened, whatever it is subscribed to. The copies carry neither `p_sid` nor `p_label`.
    ///
    /// # Errors
    ///
    /// As [`Publisher::multicast`].
    pub fn broadcast(&self, message: Message) -> Result<(), PublishError> {
        self.publish(message, Audience::Everyone)
    }

    fn publish(&self, message: Message, audience: Audience) -> Result<(), PublishError> {
        let outcome = self.hand_in(message, audience);
        if let Some(count) = &self.count {
            count(&outcome);
        }
        outcome
    }

    fn hand_in(&self, message: Message, audience: Audience) -> Result<(), PublishError> {
        if self.hall.is_closed() {
            return Err(PublishError::Stopped);
        }
        let inlet = self.hall.inlets.get(usize::from(self.core)).ok_or(PublishError::Stopped)?;
        match inlet.push(Published { event: message.into_event(), audience }) {
            Err(_) => Err(PublishError::Overloaded),
            Ok(sleeps) => {
                if sleeps {
                    wiring::ring(self.hall.wiring.bell(self.core));
                }
                Ok(())
            }
        }
    }

    /// P-35: asks whether anybody listens to `subject`, from now on and until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`PublishError::Subject`], [`PublishError::TooManyWatched`] and [`PublishError::Stopped`].
    pub fn watch(&self, subject: &str) -> Result<Interest, PublishError> {
        Interest::new(&self.hall, Subject::new(subject).map_err(PublishError::Subject)?)
    }

    /// What each core has and has counted, as of its last turn.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        self.hall.boards.iter().map(Board::read).collect()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("core", &self.core).finish_non_exhaustive()
    }
}
