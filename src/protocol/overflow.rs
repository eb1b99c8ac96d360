//! What becomes of a session whose queue is full.

use core::fmt;
use core::num::NonZeroU16;

/// P-30: the answer to a full queue. Dropping is never silent: the next event that is delivered says how many were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// End the session with an `abort` that gives the reason. What `auto` means for stream.
    Disconnect,
    /// Make room by dropping the oldest events. What `auto` means for pull and poll.
    DropOldest,
    /// Keep only the newest event of each subject; if that is not enough, drop the oldest.
    Conflate,
}

impl Overflow {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Disconnect, Self::DropOldest, Self::Conflate];

    /// The policy of this name; letter case counts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// Its name in flags, files and figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::DropOldest => "drop-oldest",
            Self::Conflate => "conflate",
        }
    }
}

/// P-30: what a client asks for its own queue in `listen` and `join-listen`, within the server's bounds. The newest listen counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueWish {
    /// `p_queue`: how many events may wait for it. `None`, or more than the server allows, is what the server allows.
    pub events_max: Option<NonZeroU16>,
    /// `p_overflow`: what a full queue means. `None` is the server's own policy.
    pub overflow: Option<Overflow>,
}

/// P-30: what a client of a modern door asks for one subscription's events among those that wait for it. What is dropped for it is told and
/// counted like every drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionWish {
    /// `queue`: how many of its events may wait at most; the oldest goes first. `None` is as many as the session's queue holds.
    pub queue: Option<NonZeroU16>,
    /// `conflate`: of its events with the same subject only the newest waits.
    pub conflate: bool,
}

impl SubscriptionWish {
    /// Whether it asks for anything.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.conflate || self.queue.is_some()
    }
}

/// A wish that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishError {
    /// `p_queue` is no whole number from 1 on.
    Queue,
    /// `p_overflow` is no policy.
    Overflow,
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue => f.write_str("p_queue must be a whole number, at least 1"),
            Self::Overflow => f.write_str("p_overflow must be disconnect, drop-oldest or conflate"),
        }
    }
}

impl core::error::Error for WishError {}

impl QueueWish {
    /// Reads the two fields as they came.
    ///
    /// # Errors
    ///
    /// [`WishError`] if one of them is there and says nothing that can be meant.
    pub fn read(queue: Option<&str>, overflow: Option<&str>) -> Result<Self, WishError> {
        let events_max = queue.map(|text| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // More digits than fit are more events than anybody is allowed.
            let events = if digits { text.parse().unwrap_or(u16::MAX) } else { 0 };
            NonZeroU16::new(events).ok_or(WishError::Queue)
        });
        let overflow = overflow.map(|name| Overflow::from_name(name).ok_or(WishError::Overflow));
        Ok(Self { events_max: events_max.transpose()?, overflow: overflow.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-30: what can be asked for a queue.
    #[test]
    fn wishes_are_read() {
        let wish = |queue, overflow| QueueWish::read(queue, overflow);
        assert_eq!(wish(None, None), Ok(QueueWish::default()));
        let both = QueueWish { events_max: NonZeroU16::new(16), overflow: Some(Overflow::Conflate) };
        assert_eq!(wish(Some("16"), Some("conflate")), Ok(both));
        for much in ["65535", "65536", "99999999999999999999999"] {
            assert_eq!(wish(Some(much), None).map(|wish| wish.events_max), Ok(NonZeroU16::new(u16::MAX)), "{much}");
        }
        for bad in ["", "0", "-1", "+1", "1.5", " 1", "many", "\u{661}"] {
            assert_eq!(wish(Some(bad), None), Err(WishError::Queue), "{bad}");
        }
        for bad in ["", "Conflate", "drop", "auto"] {
            assert_eq!(wish(None, Some(bad)), Err(WishError::Overflow), "{bad}");
        }
    }

    /// P-30: the names of the policies are stable and read back.
    #[test]
    fn names_read_back() {
        assert_eq!(Overflow::ALL.map(Overflow::name), ["disconnect", "drop-oldest", "conflate"]);
        for policy in Overflow::ALL {
            assert_eq!(Overflow::from_name(policy.name()), Some(policy));
        }
        assert_eq!(Overflow::from_name("Disconnect"), None);
    }
}
