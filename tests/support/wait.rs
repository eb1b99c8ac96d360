//! Waiting for the kernel to say so.

use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits until `descriptor` is ready for what `wanted` says, or has ended or failed, at most to `deadline`.
pub(crate) fn wait_ready(descriptor: &impl AsFd, wanted: PollFlags, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).expect("a wait of a test is short");
    // An interrupted wait is a short one: whoever called looks again.
    let _ = poll(&mut [PollFd::new(descriptor, wanted)], Some(&timeout));
}
