//! How a session of the modern doors begins: it subscribes and listens in one request.

use super::overflow::SubscriptionWish;

/// Which of the modern doors a session came through: it decides how its events travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// One answer of Server-Sent Events that never ends. The session ends with it.
    EventStream,
    /// An answer ends with the first events; the client comes again with the session's id.
    LongPoll,
    /// Messages in both directions (RFC 6455). The session ends with its connection.
    WebSocket {
        /// Whether messages to it may be compressed (RFC 7692).
        deflate: bool,
    },
}

/// What a session is to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// How its events travel.
    pub door: Door,
    /// What it wants to hear; only at a WebSocket it may be nothing yet.
    pub subscriptions: Vec<WantedSubscription>,
    /// Where an earlier stream of the client ended, as it says. There is no history, so it is told that it starts anew.
    pub last_event_id: Option<Box<str>>,
    /// So many bytes of comment come first, for proxies that hold back the beginning of an answer.
    pub pad: u16,
    /// Whether the client wants to see heartbeats: programs in browsers see neither comments nor pings.
    pub heartbeats: bool,
    /// Whether the names of events are to stand in their data only.
    pub names_in_data: bool,
}

/// Subjects that a client of the modern doors wants to hear of, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSubscription {
    /// Exact subjects and patterns with commas between, as they came.
    pub list: Box<str>,
    /// What its client wants for their events.
    pub wish: SubscriptionWish,
}
