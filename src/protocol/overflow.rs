//! What becomes of a session whose queue is full.

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

#[cfg(test)]
mod tests {
    use super::*;

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
