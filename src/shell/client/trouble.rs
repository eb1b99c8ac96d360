//! Why something did not work, and whose fault it is: that decides whether to try again.

use std::fmt;

/// Why a request had no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The person at the keyboard, or the reader of our output, has had enough.
    Stopped,
    /// No connection, or one that broke, or silence: try again later.
    Link(String),
    /// The server answered with an HTTP error.
    Refused {
        /// The status code.
        status: u16,
        /// The status line's words and what the body says.
        text: String,
        /// Seconds that the server asks us to stay away.
        retry_after_s: Option<u64>,
    },
    /// The server answered with a `nack`: this is its reason.
    Nack(String),
    /// The server ended the session with an `abort`: this is its reason.
    Aborted(String),
    /// The answer is none that a Pushlet server gives.
    Nonsense(String),
}

impl Trouble {
    /// The server does not know our session (any more): join again (rule P-8).
    pub(super) fn is_unknown_session(&self) -> bool {
        matches!(self, Self::Refused { status: 400, text, .. } if text.contains("Invalid or expired id"))
    }

    /// The server says that it has too much to do or is out of order, which may pass.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Refused { status: 408 | 425 | 429 | 500..=599, .. })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Link(what) => f.write_str(what),
            Self::Refused { status, text, .. } => write!(f, "the server answered {status} {text}"),
            Self::Nack(reason) => write!(f, "the server refused: {reason}"),
            Self::Aborted(reason) => write!(f, "the server ended the session: {reason}"),
            Self::Nonsense(what) => write!(f, "this does not look like a Pushlet server: {what}"),
        }
    }
}
