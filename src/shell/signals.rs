//! Signals, told through a pipe so that they arrive like everything else.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::net::{self, Transfer};

/// The receiving ends: a byte arrives for each signal.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) stop: OwnedFd,
    pub(super) reload: OwnedFd,
}

impl Signals {
    /// Begins to catch TERM, INT and HUP.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn catch() -> io::Result<Self> {
        let (stop, term) = pair()?;
        pipe::register(SIGINT, term.try_clone()?)?;
        pipe::register(SIGTERM, term)?;
        let (reload, hup) = pair()?;
        pipe::register(SIGHUP, hup)?;
        Ok(Self { stop: stop.into(), reload: reload.into() })
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

/// How many signals have arrived on one end since it was asked last.
pub(super) fn count(end: &OwnedFd) -> usize {
    let (mut bytes, mut seen) = ([0; 16], 0);
    while let Transfer::Bytes(more) = net::receive(end, &mut bytes) {
        seen += more;
    }
    seen
}
