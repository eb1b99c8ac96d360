//! What happens when a session's queue is full.

/// P-30: the policy for a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// End the session with a reason.
    Disconnect,
    /// Drop the oldest events.
    DropOldest,
    /// Keep the newest event of each subject, then drop the oldest.
    Conflate,
}
