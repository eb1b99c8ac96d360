//! Accepting connections, and turning away those that are too many.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::connection::{Connection, ConnectionKey, Kind, State};
use super::core::{Core, watch};
use super::effects::write_unavailable;
use super::net;
use super::readiness::{Fair, Readiness};
use crate::limits::{
    ACCEPT_BACKOFF_MS, ACCEPTS_PER_TURN_MAX, ADMIN_CONNECTIONS_MAX, TURNED_AWAY_LINGER_MS, TURNED_AWAY_MAX,
};
use crate::time::Now;
use crate::wire::http::{self, ReplyTo};

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
        if core.borrow().is_closed(door.admin) {
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

impl Core {
    /// Takes in a connection that was accepted.
    pub(super) fn welcome(&mut self, socket: OwnedFd, admin: bool) {
        let now = self.parts.clock.now();
        self.hub.counters_mut().connections_accepted += 1;
        let (kind, max) = if admin {
            (Kind::Admin, ADMIN_CONNECTIONS_MAX)
        } else {
            (Kind::Client, if self.draining { 0 } else { self.parts.connections_max })
        };
        let is_full = self.counts[kind as usize] >= max || (kind == Kind::Client && !self.parts.node.enter());
        if is_full {
            return self.turn_away(now, socket);
        }
        if let Some(key) = self.take_in(socket, kind) {
            // A connection that says nothing is given as long as one that is slow to say it.
            let head_ms = self.parts.patience.head_ms;
            self.set_deadline(key, now.instant + head_ms);
        }
    }

    /// A client that is taken in has been counted in the node.
    pub(super) fn take_in(&mut self, socket: OwnedFd, kind: Kind) -> Option<ConnectionKey> {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = self.connections.vacant_entry();
        let key = ConnectionKey { slot: entry.key() as u32, generation };
        if let Err(error) = watch(&self.epoll, &socket, key) {
            tracing::warn!(%error, "a connection could not be watched and is closed");
            if kind == Kind::Client {
                self.parts.node.leave();
            }
            return None;
        }
        entry.insert(Connection::new(socket, generation, kind));
        self.counts[kind as usize] += 1;
        Some(key)
    }

    /// The server is full or on its way out: says so and closes. Closing at once would be a reset if the client has sent something by now,
    /// and it might never see why; so a few are given time.
    fn turn_away(&mut self, now: Now, socket: OwnedFd) {
        self.hub.counters_mut().connections_refused += 1;
        let reply = ReplyTo { version: http::Version::Http11, keep_alive: false, to_head: false };
        let reason = if self.draining {
            "The server is shutting down."
        } else {
            "The server has as many connections as it may have."
        };
        if !self.draining && self.may_say(now, 0) {
            let connections = self.counts[Kind::Client as usize];
            tracing::warn!(
                core = self.parts.number,
                connections,
                "the core or the node is full: connections are turned away (max_connections, or the limit of open files)"
            );
        }
        let mut bytes = Vec::with_capacity(256);
        let date = self.date(now);
        let _ = write_unavailable(&mut bytes, reply, &date, reason, 5);
        if self.counts[Kind::TurnedAway as usize] >= TURNED_AWAY_MAX {
            // One attempt: a fresh socket takes this much, and nobody waits for this client.
            net::send(&socket, &bytes);
            return net::shutdown_write(&socket);
        }
        let Some(key) = self.take_in(socket, Kind::TurnedAway) else { return };
        if let Some(connection) = self.connection(key) {
            connection.state = State::Closing;
            connection.unsent = bytes;
        }
        self.set_deadline(key, now.instant + TURNED_AWAY_LINGER_MS);
        self.go_on(now, key);
    }
}
