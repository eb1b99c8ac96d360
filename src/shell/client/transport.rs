//! The ways in which events travel from a server to a client, by the names that people type.

use crate::protocol::Mode;

/// A door and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The Pushlet door.
    Pushlet(Mode),
    /// `/v1/sse`.
    EventStream,
    /// `/v1/poll`.
    LongPoll,
    /// `/v1/ws`.
    WebSocket,
}

impl Transport {
    /// All of them, the usual one first.
    pub const ALL: [Self; 6] = [
        Self::Pushlet(Mode::Stream),
        Self::Pushlet(Mode::Pull),
        Self::EventStream,
        Self::LongPoll,
        Self::WebSocket,
        Self::Pushlet(Mode::Poll),
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pushlet(Mode::Stream) => "stream",
            Self::Pushlet(Mode::Pull) => "pull",
            Self::Pushlet(Mode::Poll) => "pushlet-poll",
            Self::EventStream => "sse",
            Self::LongPoll => "poll",
            Self::WebSocket => "ws",
        }
    }

    /// The transport of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }

    /// Whether it is the Pushlet door.
    #[must_use]
    pub const fn is_pushlet(self) -> bool {
        matches!(self, Self::Pushlet(_))
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::Pushlet(Mode::Stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_transport() {
        for transport in Transport::ALL {
            assert_eq!(Transport::from_name(transport.name()), Some(transport));
        }
        assert_eq!(Transport::ALL[0], Transport::default());
        assert_eq!(Transport::from_name("websocket"), None);
    }
}
