//! What a client asks for. `wire` makes commands from bytes and decides nothing; `broker` decides and parses nothing.

use std::sync::Arc;

use super::fields::Fields;
use super::format::{Format, Mode};
use super::id::{SessionId, Shard};
use super::identity::Identity;
use super::opening::{Opening, WantedSubscription};
use super::publication::Post;

/// Names the answer that a request waits for. The broker gives it back with the answer, perhaps in a later step (invariant A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyToken {
    /// The core whose connection waits.
    pub core: u16,
    /// The connection's slot on that core.
    pub connection: u32,
    /// Which request of which life of the slot: an answer to an earlier one is dropped.
    pub serial: u32,
}

/// One request of a client, read and not yet judged.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whom to answer.
    pub token: ReplyToken,
    /// What it asks for.
    pub command: Command,
    /// The path it was sent to, undecoded and without the query; `p_url` repeats it (rule P-17).
    pub path: Arc<str>,
    /// Whether the answer may be sent in chunks (HTTP/1.1); otherwise its end is the end of the connection.
    pub chunked: bool,
    /// What the client's program says of itself.
    pub agent: Agent,
    /// Random bits of the kernel, for the two names of a session that may begin (rule P-34).
    pub draw: [u128; 2],
}

/// What the request told of its client, as far as rules depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Its User-Agent contains `Java/` (rule P-11).
    pub java: bool,
    /// Its User-Agent contains an entry of `force_pull_agents` (rule P-18).
    pub force_pull: bool,
    /// The access key that it presented.
    pub identity: Identity,
}

/// The session that a request claims to act for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimedId {
    /// No `p_id`.
    Missing,
    /// A `p_id` that we never gave to anybody.
    Malformed(Box<str>),
    /// A `p_id` that may exist.
    WellFormed(SessionId),
}

impl ClaimedId {
    /// Judges the form of a `p_id` field.
    #[must_use]
    pub fn from_field(value: Option<&str>) -> Self {
        match value {
            None => Self::Missing,
            Some(text) => SessionId::parse(text).map_or_else(|| Self::Malformed(Box::from(text)), Self::WellFormed),
        }
    }
}

/// The `p_format` of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatName {
    /// A format that exists, or the default.
    Known(Format),
    /// Anything else, also nothing at all (`p_format=`).
    Unknown(Box<str>),
}

/// The `p_mode` of a listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeName {
    /// A mode that exists, or the default.
    Known(Mode),
    /// Anything else: the original streams without a first heartbeat and repeats the name in its ack.
    Unknown(Box<str>),
}

/// What a listen asks for besides its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// How events are to travel.
    pub mode: ModeName,
    /// A comma list to subscribe to at once (rule P-19).
    pub subject: Option<Box<str>>,
    /// The label of that subscription.
    pub label: Option<Box<str>>,
    /// `p_queue`: how many events may wait at most (rule P-30).
    pub queue: Option<Box<str>>,
    /// `p_overflow`: what a full queue means (rule P-30).
    pub overflow: Option<Box<str>>,
}

impl Default for Listen {
    /// What a bare `listen` asks for.
    fn default() -> Self {
        Self { mode: ModeName::Known(Mode::default()), subject: None, label: None, queue: None, overflow: None }
    }
}

/// What a request asks for (rule P-5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Begin a session.
    Join {
        /// How its events are to be written.
        format: FormatName,
    },
    /// Begin a session and listen.
    JoinListen {
        /// How its events are to be written.
        format: FormatName,
        /// What to listen to.
        listen: Listen,
    },
    /// Open the data channel.
    Listen {
        /// The session.
        id: ClaimedId,
        /// What to listen to.
        listen: Listen,
    },
    /// Continue the data channel.
    Refresh {
        /// The session.
        id: ClaimedId,
    },
    /// Add a subscription.
    Subscribe {
        /// The session.
        id: ClaimedId,
        /// The comma list, as it came.
        subject: Option<Box<str>>,
        /// The subscription's label.
        label: Option<Box<str>>,
    },
    /// Remove one subscription, or all.
    Unsubscribe {
        /// The session.
        id: ClaimedId,
        /// The subscription; all if `None`.
        sid: Option<Box<str>>,
    },
    /// Publish an event.
    Publish {
        /// The publishing session.
        id: ClaimedId,
        /// What it is about.
        subject: Option<Box<str>>,
        /// For one session only (rule P-23).
        to: Option<Box<str>>,
        /// Every field that came, reserved names included; the broker takes those out (rule P-21).
        fields: Fields,
    },
    /// Keep the session alive.
    Heartbeat {
        /// The session.
        id: ClaimedId,
    },
    /// End the session.
    Leave {
        /// The session.
        id: ClaimedId,
    },
    /// Begin a session of a modern door: subscribe and listen.
    Open(Box<Opening>),
    /// Continue a long poll.
    PollNext {
        /// The session.
        id: ClaimedId,
        /// How long to wait for events at most, in milliseconds; as long as the server allows if `None`.
        wait_ms: Option<u32>,
    },
    /// Add subscriptions to a session of a modern door: all of them, or none.
    Add {
        /// The session.
        id: ClaimedId,
        /// What it wants to hear, too. What it hears already has a new wish from now on.
        wanted: Vec<WantedSubscription>,
    },
    /// Take subscriptions from a session of a modern door: all of them, or none.
    Remove {
        /// The session.
        id: ClaimedId,
        /// Exact subjects and patterns with commas between, as they came.
        lists: Vec<Box<str>>,
    },
    /// Publish without a session, or through a WebSocket.
    Post(Box<Post>),
    /// Anything else (rule P-5).
    Unknown {
        /// The session, if one is claimed.
        id: ClaimedId,
        /// The `p_event` that came; not empty.
        name: Box<str>,
        /// The `p_format` that came, to answer a stranger in.
        format: Option<Format>,
    },
}

impl Command {
    /// Whether it came through a modern door, so that a refusal is a problem document.
    #[must_use]
    pub const fn is_modern(&self) -> bool {
        matches!(self, Self::Open(_) | Self::PollNext { .. } | Self::Add { .. } | Self::Remove { .. } | Self::Post(_))
    }

    /// The shard of the session that it claims to act for, or of the key that it may publish once with: its core decides. `None` if it begins a
    /// session, or claims none that can exist, or if any core will do.
    #[must_use]
    pub const fn shard(&self) -> Option<Shard> {
        match self {
            Self::Join { .. } | Self::JoinListen { .. } | Self::Open(_) => None,
            Self::Post(post) => match (&post.key, post.publisher) {
                (Some(key), _) => Some(key.shard()),
                (None, Some(session)) => Some(session.shard()),
                (None, None) => None,
            },
            Self::Listen { id, .. }
            | Self::Refresh { id }
            | Self::Subscribe { id, .. }
            | Self::Unsubscribe { id, .. }
            | Self::Publish { id, .. }
            | Self::Heartbeat { id }
            | Self::Leave { id }
            | Self::PollNext { id, .. }
            | Self::Add { id, .. }
            | Self::Remove { id, .. }
            | Self::Unknown { id, .. } => match id {
                ClaimedId::WellFormed(id) => Some(id.shard()),
                ClaimedId::Missing | ClaimedId::Malformed(_) => None,
            },
        }
    }
}
