//! Why a session ends: one public table for server, clients and docs.

/// Why a session ended. The number and the word are stable; docs/protocol.md has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The client asked for it (rule P-27).
    Leave,
    /// No request and no write on the data channel for `--session-timeout` (rule P-28).
    LeaseExpired,
    /// A pull or poll client with events waiting did not come back (rule P-29).
    NotAlive,
    /// A stream client read more slowly than its subjects publish and the policy is `disconnect` (rule P-30).
    QueueFull,
    /// The data connection closed and no new one came within the grace time (rule P-31).
    Disconnected,
    /// The server shuts down (rule P-32).
    Shutdown,
}

/// What a client should do about the end of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAction {
    /// Nothing: it wanted this.
    Nothing,
    /// Join again at once and expect to have missed events.
    Rejoin,
    /// Join again after a random delay of some seconds: everybody else is doing the same.
    RejoinLater,
}

impl ClientAction {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Rejoin => "rejoin",
            Self::RejoinLater => "rejoin-later",
        }
    }
}

impl EndReason {
    /// Every reason, in the order of the numbers.
    pub const ALL: [Self; 6] =
        [Self::Leave, Self::LeaseExpired, Self::NotAlive, Self::QueueFull, Self::Disconnected, Self::Shutdown];

    /// Its stable number, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Leave => 1,
            Self::LeaseExpired => 2,
            Self::NotAlive => 3,
            Self::QueueFull => 4,
            Self::Disconnected => 5,
            Self::Shutdown => 6,
        }
    }

    /// The code of the Close frame that a WebSocket ends with for it (RFC 6455 section 7.4: those from 4000 are an application's own). A server
    /// that is shut down mostly comes again, which has a registered code.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Shutdown => 1012,
            _ => 4000 + self.number() as u16,
        }
    }

    /// Its stable word, for counters and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::LeaseExpired => "lease-expired",
            Self::NotAlive => "not-alive",
            Self::QueueFull => "queue-full",
            Self::Disconnected => "disconnected",
            Self::Shutdown => "shutdown",
        }
    }

    /// What the `abort` event tells a person.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Leave => "the session has left",
            Self::LeaseExpired => "the session was not used and has expired",
            Self::NotAlive => "the client gave no sign of life in time",
            Self::QueueFull => "the client reads too slowly and its queue is full",
            Self::Disconnected => "the data connection was closed and not opened again",
            Self::Shutdown => "the server is shutting down",
        }
    }

    /// What the client should do.
    #[must_use]
    pub const fn client_action(self) -> ClientAction {
        match self {
            Self::Leave => ClientAction::Nothing,
            Self::LeaseExpired | Self::NotAlive | Self::QueueFull | Self::Disconnected => ClientAction::Rejoin,
            Self::Shutdown => ClientAction::RejoinLater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_without_repeats() {
        for (at, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.number()), at + 1);
            assert_eq!(EndReason::ALL.iter().filter(|other| other.word() == reason.word()).count(), 1);
        }
    }
}
