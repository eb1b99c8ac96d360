//! The system calls that no safe wrapper has, each with the reason why its use is sound (invariant A12).
#![allow(unsafe_code, reason = "one of the two files of the server that may (A12): what it holds has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::thread::UnshareFlags;

/// Gives the calling thread a file table of its own: a copy, which counts against the limit of open files by itself (invariant A4). To be
/// called at the very beginning of a thread, before it owns a descriptor.
///
/// # Errors
///
/// What the kernel says. Sandboxes may refuse the call (`EPERM`): then the thread goes on with the table of the process.
pub(crate) fn unshare_files() -> io::Result<()> {
    // SAFETY: the danger of the call is a descriptor that is made in one table and used in another. A thread that has just begun owns none.
    // What it is given later either existed before (the bells and hand-over sockets, which are never closed) or comes by SCM_RIGHTS.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }.map_err(io::Error::from)
}

/// Closes what the calling thread's own table has inherited, but for standard streams, `keep` and the numbers in `written`, which signal
/// handlers write to on whichever thread they run. Only behind [`unshare_files`], and at once.
///
/// # Errors
///
/// If `/proc` cannot be read. Nothing is closed then, and the table holds some descriptors more than it needs.
pub(crate) fn close_inherited(keep: &[BorrowedFd<'_>], written: &[RawFd]) -> io::Result<()> {
    let mut inherited: Vec<RawFd> = Vec::new();
    for entry in std::fs::read_dir("/proc/thread-self/fd")? {
        inherited.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    // The directory that was listed is closed by now, and its number names nothing.
    inherited.retain(|fd| std::fs::symlink_metadata(format!("/proc/thread-self/fd/{fd}")).is_ok());
    let kept = |fd: RawFd| fd <= 2 || written.contains(&fd) || keep.iter().any(|known| known.as_raw_fd() == fd);
    for fd in inherited.into_iter().filter(|fd| !kept(*fd)) {
        // SAFETY: the table is this thread's alone, and the thread owns no descriptor yet. Whoever owns this number owns it in another
        // table, where nothing is closed.
        unsafe { rustix::io::close(fd) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, OwnedFd};

    /// A4: what a thread with a table of its own closes is still open everywhere else.
    #[test]
    fn a_table_of_ones_own_is_a_copy() {
        let (kept, closed) = rustix::pipe::pipe().expect("a pipe");
        let (kept, closed): (&'static OwnedFd, &'static OwnedFd) = (Box::leak(kept.into()), Box::leak(closed.into()));
        let looked = std::thread::spawn(move || {
            unshare_files()?;
            close_inherited(&[kept.as_fd()], &[])?;
            let left = std::fs::read_dir("/proc/thread-self/fd")?.count();
            Ok::<_, io::Error>((rustix::io::fcntl_getfd(kept).is_ok(), rustix::io::fcntl_getfd(closed).is_err(), left))
        });
        let (is_kept, is_closed, left) = looked.join().expect("the thread ends").expect("the kernel allows it");
        assert!(is_kept && is_closed, "kept: {is_kept}, closed: {is_closed}");
        // Standard streams, the one that is kept, and the directory that is being listed.
        assert!(left <= 5, "{left} descriptors are left");
        assert!(rustix::io::fcntl_getfd(closed).is_ok(), "it was closed for everybody");
    }
}
