//! The ways in which the floor sends.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::SendFlags;

use super::ring::Ring;

/// How the floor sends the same bytes to many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// One `send` for each connection.
    #[default]
    Send,
    /// Many sends handed to the kernel at once, by io_uring.
    Uring,
}

impl Way {
    /// All of them, the usual one first.
    pub(crate) const ALL: [Self; 2] = [Self::Send, Self::Uring];

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Uring => "uring",
        }
    }

    /// The way of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    /// What a side is called that sends so.
    pub(crate) fn title(self) -> String {
        format!("floor {}", self.name())
    }
}

/// What sends.
pub(crate) enum Sending {
    Send,
    Uring(Box<Ring>),
}

impl Sending {
    /// # Errors
    ///
    /// There is no io_uring here.
    pub(crate) fn new(way: Way, batch: u32) -> io::Result<Self> {
        match way {
            Way::Send => Ok(Self::Send),
            Way::Uring => Ring::new(batch).map(Box::new).map(Self::Uring),
        }
    }

    /// Sends the bytes to all of these peers, which read. Returns the places of those that did not take all of it: they have left the
    /// measurement.
    pub(crate) fn send_all(&mut self, sockets: &[BorrowedFd<'_>], bytes: &[u8]) -> Vec<usize> {
        match self {
            Self::Send => (0..sockets.len()).filter(|place| !send(sockets[*place], bytes)).collect(),
            Self::Uring(ring) => ring.send(sockets, bytes),
        }
    }
}

/// Sends all of it to a peer that reads. Says whether it took all.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> bool {
    matches!(rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL), Ok(sent) if sent == bytes.len())
}
