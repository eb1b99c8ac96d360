//! What is published without a session: events to be, read and not yet judged, and what became of them.

use std::fmt;
use std::sync::Arc;

use super::event::{EventName, Payload};
use super::id::{SessionId, Shard};
use super::problem::Problem;
use crate::limits::SHARDS;
use crate::topic::Subject;

/// One payload for one subject or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// What it is about; not empty. Each subject is an event of its own.
    pub subjects: Vec<Subject>,
    /// What the event is called, for clients that tell events apart by a name.
    pub name: Option<EventName>,
    /// What it says.
    pub payload: Payload,
    /// For one session only, by its address or id (rule P-23).
    pub to: Option<Box<str>>,
}

impl Publication {
    /// Bytes of its publisher that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let subjects: usize = self.subjects.iter().map(|subject| subject.as_bytes().len()).sum();
        let name = self.name.as_ref().map_or(0, |name| name.as_str().len());
        subjects + name + self.payload.bytes() + self.to.as_ref().map_or(0, |to| to.len())
    }
}

/// One item of a publish request: a publication, or why it is none.
pub type Item = Result<Publication, Problem>;

/// A publish request of the modern doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// What is to be published, in this order. A bad item stops nobody else's.
    pub items: Vec<Item>,
    /// Whether the client sent a list: then the answer tells of each item.
    pub list: bool,
    /// The same key publishes once within [`IDEMPOTENCY_MS`](crate::limits::IDEMPOTENCY_MS).
    pub key: Option<IdempotencyKey>,
    /// The session that publishes it: its events tell its address. Then there is no `key`, and the session's core decides.
    pub publisher: Option<SessionId>,
}

impl Post {
    /// Bytes of its publisher that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.as_ref().map_or_else(Problem::bytes, Publication::bytes)).sum()
    }
}

/// An `Idempotency-Key`, and what the request that came with it looks like. It holds no secret: who presented which access key is in it as a
/// number.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key as it came, 1 to [`IDEMPOTENCY_KEY_BYTES_MAX`](crate::limits::IDEMPOTENCY_KEY_BYTES_MAX) bytes, behind the number of the access
    /// key: two publishers never share one.
    pub text: Arc<str>,
    /// 64 bits of everything that decides what is published: another request under the same key is an error of its client.
    pub fingerprint: u64,
    /// 64 bits of `text`: which shard decides.
    pub hash: u64,
    /// Whether its publisher presented an access key. All who did not share one part of the memory.
    pub is_known: bool,
}

impl IdempotencyKey {
    /// The shard whose core decides whether this is the first request with the key.
    #[must_use]
    pub const fn shard(&self) -> Shard {
        Shard::new((self.hash % SHARDS as u64) as u16)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({} bytes, shard {})", self.text.len(), self.shard().number())
    }
}

/// What became of one item: how many events it made, or why it made none. Subjects that were refused are told in the first refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemOutcome {
    /// Events that were accepted.
    pub accepted: u32,
    /// Events that were refused: subjects of the item, or the item as a whole.
    pub refused: u32,
    /// The first refusal.
    pub problem: Option<Problem>,
}

/// What became of a publish request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Each item, in order.
    pub outcomes: Vec<ItemOutcome>,
    /// Whether the client sent a list.
    pub list: bool,
    /// An earlier request with the same key published it, and this is what that one was told.
    pub replayed: bool,
}

impl Posted {
    /// Events that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.outcomes.iter().map(|outcome| u64::from(outcome.accepted)).sum()
    }

    /// Events, or whole items, that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.outcomes.iter().map(|outcome| u64::from(outcome.refused)).sum()
    }

    /// What is remembered of it: all outcomes, or only their sums if there are more than so many.
    #[must_use]
    pub fn digest(&self, outcomes_max: usize) -> Self {
        if self.outcomes.len() <= outcomes_max {
            return Self { replayed: true, ..self.clone() };
        }
        let sum = |count: fn(&ItemOutcome) -> u32| self.outcomes.iter().map(count).fold(0, u32::saturating_add);
        let (accepted, refused) = (sum(|outcome| outcome.accepted), sum(|outcome| outcome.refused));
        // Not a list any more: which item is which cannot be told.
        Self { outcomes: vec![ItemOutcome { accepted, refused, problem: None }], list: false, replayed: true }
    }

    /// Memory that it takes, about, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let problems: usize =
            self.outcomes.iter().filter_map(|outcome| outcome.problem.as_ref()).map(Problem::bytes).sum();
        problems + self.outcomes.len() * size_of::<ItemOutcome>()
    }
}
