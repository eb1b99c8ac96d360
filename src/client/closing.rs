//! How a connection ended, and what its client should do about it.

use std::fmt;

use super::message::End;
use crate::limits::{CLIENT_BACKOFF_MAX_MS, CLIENT_BACKOFF_MS};

/// What a client should do when its connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing: it was wanted.
    Nothing,
    /// Not come again with the same: the program or its configuration is wrong.
    Stop,
    /// Come again, with a back-off, and expect to have missed events.
    Rejoin,
    /// Come again after a random time of 1 to 5 seconds: everybody else is doing the same.
    RejoinLater,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The code of the server's Close frame; `None` if there was none, or none in it.
    pub code: Option<u16>,
    /// Why, for people.
    pub reason: String,
    /// What to do.
    pub advice: Advice,
    /// Come again after about so many milliseconds, jitter included, if the server said so.
    pub retry_ms: Option<u64>,
}

/// The random time after which a client comes again to a server that shuts down, lowest and highest, in milliseconds.
const LATER_MS: (u64, u64) = (1_000, 5_000);

/// What the code of a Close frame asks for (RFC 6455 section 7.4; those from 4000 are the server's own).
#[must_use]
pub const fn advice_for(code: u16) -> Advice {
    match code {
        1000 | 4001 => Advice::Nothing,
        // Wrong bytes, wrong kind, no UTF-8, too large, extension: the same again would end the same. 3000 and 3003 are registered for
        // "unauthorized" and "forbidden".
        1002 | 1003 | 1007 | 1009 | 1010 | 3000 | 3003 | 4100..=4999 => Advice::Stop,
        1012 | 1013 => Advice::RejoinLater,
        _ => Advice::Rejoin,
    }
}

impl Closed {
    /// What the last message of the server, a Close frame, or the lack of both come to. What the message advises is nearer to the case than a code.
    pub(super) fn new(code: Option<u16>, reason: &str, end: Option<&End>) -> Self {
        let by_code = code.map_or(Advice::Rejoin, advice_for);
        let Some(end) = end else {
            return Self { code, reason: reason.to_owned(), advice: by_code, retry_ms: None };
        };
        let said = if end.text.is_empty() { &end.reason } else { &end.text };
        let reason = if said.is_empty() { reason } else { said };
        let retry_ms = end.retry_ms;
        Self { code, reason: reason.to_owned(), advice: end.advice.unwrap_or(by_code), retry_ms }
    }

    /// How long to wait before the next attempt, in milliseconds: a time, and the random one that is added to it. `None`: there should be none. A
    /// back-off comes on top where the server did not say how long.
    #[must_use]
    pub fn pause_ms(&self) -> Option<(u64, u64)> {
        // A server may ask for much, but not for ever.
        let asked = self.retry_ms.map(|ms| ms.min(3 * CLIENT_BACKOFF_MAX_MS));
        match (self.advice, asked) {
            (Advice::Nothing | Advice::Stop, _) => None,
            (_, Some(ms)) => Some((ms, CLIENT_BACKOFF_MS)),
            (Advice::RejoinLater, None) => Some((LATER_MS.0, LATER_MS.1 - LATER_MS.0)),
            (Advice::Rejoin, None) => Some((0, 0)),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.reason.as_str()) {
            (None, "") => f.write_str("the connection has ended"),
            (Some(code), "") => write!(f, "the server closed with {code}"),
            (None, reason) => f.write_str(reason),
            (Some(code), reason) => write!(f, "the server closed with {code}: {reason}"),
        }
    }
}
