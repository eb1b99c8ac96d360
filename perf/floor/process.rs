//! The floor's process: where it runs, and that it ends with whoever started it.

use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Binds the process to processors, if there are any, and ends it with its parent, if it has to have one. A parent that is ended by a signal
/// cannot end its floor.
///
/// # Errors
///
/// There is no such processor for us, or the parent has ended already.
pub(crate) fn prepare(cpus: &[u32], parent: Option<u32>) -> io::Result<()> {
    if let Some(parent) = parent {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before the kernel knew.
        let still = getppid().is_some_and(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent));
        if !still {
            return Err(io::Error::other("the process that started the floor has ended"));
        }
    }
    if !cpus.is_empty() {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu as usize));
        let said = |error| io::Error::other(format!("--floor-cpus {cpus:?}: {error}"));
        sched_setaffinity(None, &set).map_err(said)?;
    }
    Ok(())
}
