//! How a session of the modern doors begins: it subscribes and listens in one request.

use super::overflow::SubscriptionWish;

/// Which of the modern doors a session came through: it decides how its events travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// One answer of Server-Sent Events that never ends. The session ends with it.
    EventStream,
    /// An answer ends with the first events; the client comes again with the session's id.
    LongPoll,
}

/// What a session is to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// How its events travel.
    pub door: Door,
    /// What it wants to hear; not empty.
    pub subscriptions: Vec<WantedSubscription>,
    /// Where an earlier stream of the client ended, as it says. There is no history, so it is told that it starts anew.
    pub last_event_id: Option<Box<str>>,
    /// So many bytes of comment come first, for proxies that hold back the beginning of an answer.
    pub pad: u16,
}

/// Subjects that a client of the modern doors wants to hear of, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSubscription {
    /// Exact subjects and patterns with commas between, as they came.
    pub list: Box<str>,
    /// What its client wants for their events.
    pub wish: SubscriptionWish,
}
