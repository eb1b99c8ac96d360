//! Accepting connections.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::net;
use super::readiness::{Fair, Readiness};
use crate::limits::{ACCEPT_BACKOFF_MS, ACCEPTS_PER_TURN_MAX};

/// A listening socket of a core.
pub(super) struct Door {
    pub(super) listener: Rc<OwnedFd>,
    pub(super) ready: Readiness,
    /// The admin port.
    pub(super) admin: bool,
}

/// Accepts what comes to `door` until the core drains. It waits for readiness and then accepts directly, so no accept is ever in
/// flight when the task ends.
pub(super) async fn accept_all(core: Rc<RefCell<Core>>, door: Door, fair: Rc<Fair>) {
    let mut full_table_told = false;
    loop {
        if let Err(error) = door.ready.readable().await {
            tracing::error!(%error, "the listener cannot be waited for");
            return;
        }
        if core.borrow().draining && !door.admin {
            return;
        }
        match accept_some(&core, &door) {
            Ok(()) => full_table_told = false,
            Err(error) => {
                // The descriptor table is full. Without a pause this loop would spin: the waiting connection keeps the listener readable.
                if !full_table_told {
                    tracing::warn!(%error, "connections cannot be accepted; trying again");
                    full_table_told = true;
                }
                monoio::time::sleep(Duration::from_millis(ACCEPT_BACKOFF_MS)).await;
            }
        }
        fair.yield_now().await;
    }
}

fn accept_some(core: &RefCell<Core>, door: &Door) -> std::io::Result<()> {
    for _ in 0..ACCEPTS_PER_TURN_MAX {
        match net::accept(&door.listener)? {
            Some(socket) => core.borrow_mut().welcome(socket, door.admin),
            None => break,
        }
    }
    Ok(())
}
