//! The one file that may hold `unsafe`: calls for which there is no safe wrapper (invariant A12).
#![allow(unsafe_code, reason = "each block says why it is sound; everywhere else `unsafe` is denied")]

use std::io;

/// Gives the calling thread a descriptor table of its own, a copy of the one it shared. To be called when the thread has just begun and
/// owns no descriptor.
///
/// # Errors
///
/// What the kernel says; in a container the call may be forbidden. The thread then goes on with the shared table.
pub(crate) fn unshare_files() -> io::Result<()> {
    // SAFETY: the thread is at its start and owns no descriptor that another thread expects to find, and what the other threads own stays
    // in their table. Descriptors that it borrows from them are in the copy under the same numbers.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FILES) }?;
    Ok(())
}
