//! The languages that the load generator speaks: ours, and those of other servers, so that one generator measures all of them.

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The doors of `pushletd`; [`Transport`](super::Transport) and [`Posting`](super::Posting) say which.
    #[default]
    Pushlet,
    /// Nchan, Server-Sent Events.
    NchanSse,
    /// Nchan, a chunked answer without end.
    NchanStream,
    /// Nchan, WebSockets; published by HTTP.
    NchanWs,
    /// A small protocol over WebSockets, for servers built on a bare WebSocket library.
    Uws,
    /// Socket.IO, Engine.IO 4 over WebSockets.
    SocketIo,
    /// Bayeux over WebSockets.
    Faye,
    /// Pushpin, a chunked answer without end; published by HTTP to its control port.
    Pushpin,
    /// NATS over WebSockets.
    NatsWs,
    /// Redis publish/subscribe.
    Redis,
}

impl Dialect {
    /// All of them, the usual one first.
    pub const ALL: [Self; 10] = [
        Self::Pushlet,
        Self::NchanSse,
        Self::NchanStream,
        Self::NchanWs,
        Self::Uws,
        Self::SocketIo,
        Self::Faye,
        Self::Pushpin,
        Self::NatsWs,
        Self::Redis,
    ];

    /// Its name on the command line and in what is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pushlet => "pushlet",
            Self::NchanSse => "nchan-sse",
            Self::NchanStream => "nchan-stream",
            Self::NchanWs => "nchan-ws",
            Self::Uws => "uws",
            Self::SocketIo => "socket.io",
            Self::Faye => "faye",
            Self::Pushpin => "pushpin",
            Self::NatsWs => "nats-ws",
            Self::Redis => "redis",
        }
    }

    /// The dialect of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Whether it is our own: there are sessions with addresses, and they are ended by a request.
    #[must_use]
    pub const fn is_pushlet(self) -> bool {
        matches!(self, Self::Pushlet)
    }

    /// The subject of a run with this number. Other servers have names of letters, digits and `_`.
    pub(super) fn subject(self, tag: &str, number: u32) -> String {
        match self {
            Self::Pushlet => format!("/bench/{tag}/{number:x}/"),
            _ => format!("bench_{tag}_{number:x}"),
        }
    }

    /// A subject of a run where nothing is published.
    pub(super) fn quiet_subject(self, tag: &str) -> String {
        let first = self.subject(tag, 0);
        if self.is_pushlet() { format!("{first}idle/") } else { format!("{first}_idle") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_dialect() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::from_name(dialect.name()), Some(dialect));
        }
        assert_eq!(Dialect::ALL[0], Dialect::default());
        assert_eq!(Dialect::from_name("nchan"), None);
    }

    #[test]
    fn subjects_of_other_servers_are_names() {
        assert_eq!(Dialect::Pushlet.subject("0a", 31), "/bench/0a/1f/");
        assert_eq!(Dialect::Pushlet.quiet_subject("0a"), "/bench/0a/0/idle/");
        for dialect in Dialect::ALL.into_iter().filter(|dialect| !dialect.is_pushlet()) {
            for name in [dialect.subject("0a", 31), dialect.quiet_subject("0a")] {
                assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
            }
        }
    }
}
