//! Signals, told through a pipe so that they arrive like everything else.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::net::{self, Transfer};

/// The receiving ends: a byte arrives for each signal.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) stop: OwnedFd,
    pub(super) reload: OwnedFd,
    /// What the handlers write to. A signal may come to any thread, so these numbers must mean the same in every file table.
    pub(super) written: Vec<RawFd>,
}

impl Signals {
    /// Begins to catch TERM, INT and HUP.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(super) fn catch() -> io::Result<Self> {
        let (stop, term) = pair()?;
        let int = term.try_clone()?;
        let (reload, hup) = pair()?;
        let written = [&int, &term, &hup].map(AsRawFd::as_raw_fd).to_vec();
        pipe::register(SIGINT, int)?;
        pipe::register(SIGTERM, term)?;
        pipe::register(SIGHUP, hup)?;
        Ok(Self { stop: stop.into(), reload: reload.into(), written })
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
