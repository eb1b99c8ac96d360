//! Where a session's events go: nowhere yet, into an open answer, or into the queue until the client comes back.

use std::sync::Arc;

use crate::protocol::ReplyToken;
use crate::time::Instant;
use crate::wire::http;

/// How the bytes of a data answer are put on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// HTTP/1.1: in chunks, and an empty one ends the answer.
    Chunked,
    /// HTTP/1.0: as they are, and the end of the connection ends the answer.
    Bare,
    /// Frames of a WebSocket (RFC 6455 section 5.2); a Close frame ends it.
    Frames,
}

impl Envelope {
    /// The envelope for a client that takes chunks or not.
    #[must_use]
    pub const fn new(chunked: bool) -> Self {
        if chunked { Self::Chunked } else { Self::Bare }
    }

    /// Writes `body` as one piece of the answer; of a WebSocket it is frames already. Nothing for an empty body: an empty chunk would end the answer.
    pub fn wrap(self, body: &[u8], out: &mut Vec<u8>) {
        if body.is_empty() {
            return;
        }
        if self == Self::Chunked {
            http::chunk_head(body.len(), out);
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(body);
        }
    }

    /// Ends the answer.
    pub fn end(self, out: &mut Vec<u8>) {
        if self == Self::Chunked {
            out.extend_from_slice(http::LAST_CHUNK);
        }
    }
}

/// The data channel of a session.
#[derive(Clone, Debug)]
pub enum Channel {
    /// The session has never listened: nothing is queued for it (rule P-25).
    Never,
    /// A stream is open.
    Open {
        /// Its answer.
        token: ReplyToken,
        /// How it is put on the connection.
        envelope: Envelope,
        /// The `p_seq` of the next event, from 1 (rule P-14).
        seq: u64,
        /// P-14: when silence has lasted long enough for a heartbeat.
        heartbeat_at: Instant,
    },
    /// A pull request waits for events (rule P-15).
    Waiting {
        /// Its answer.
        token: ReplyToken,
        /// How it is put on the connection.
        envelope: Envelope,
        /// When it is answered with a heartbeat.
        until: Instant,
        /// The path for `p_url` (rule P-17).
        path: Arc<str>,
    },
    /// The client is expected back; its events are queued.
    Away {
        /// P-29, P-31: when it is given up.
        until: Instant,
        /// Whether an open answer was cut off (P-31), which ends the session at `until` in any case; one whose last answer ended orderly
        /// and that has nothing queued is left to its lease (P-29).
        detached: bool,
    },
}

impl Channel {
    /// The answer that is open, if one is.
    #[must_use]
    pub const fn token(&self) -> Option<ReplyToken> {
        match self {
            Self::Open { token, .. } | Self::Waiting { token, .. } => Some(*token),
            Self::Never | Self::Away { .. } => None,
        }
    }

    /// When something is to be done about it.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        match self {
            Self::Never => Instant::NEVER,
            Self::Open { heartbeat_at: at, .. } | Self::Waiting { until: at, .. } | Self::Away { until: at, .. } => *at,
        }
    }
}
