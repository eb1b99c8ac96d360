//! From outboxes to sockets: one write for each session that has something to send, many writes by one call of the kernel.

use std::os::fd::OwnedFd;

use slab::Slab;

use super::connection::{Connection, ConnectionKey, State};
use super::core::Core;
use super::net::{self, Transfer};
use super::readiness::Driver;
use super::ring::SendRing;
use crate::broker::Home;
use crate::limits::{WRITES_PER_CALL_MAX, WRITES_PER_TURN_MAX};
use crate::protocol::ReplyToken;
use crate::session::{Gather, SessionKey};
use crate::time::Now;

/// How many sessions are fetched from memory together.
const WARMED_WRITES: usize = 16;
/// Fewer writes than this are made one by one: then the ring costs more than it saves.
const RING_WRITES_MIN: usize = 4;
/// So often in a turn whoever has more to send than one write takes may make another.
const REPEATS_PER_TURN_MAX: u32 = 16;

/// Writes that are made together, each to another session.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Whose they are.
    writes: Vec<(SessionKey, ConnectionKey)>,
    /// What they are, at the same places. There may be more, used and to be used again.
    gathers: Vec<Gather>,
    outcomes: Vec<Option<Transfer>>,
    /// `None` where there is no io_uring.
    ring: Option<SendRing>,
}

impl Batch {
    /// No writes. On the io_uring driver they are made by a ring of their own.
    pub(super) fn new(driver: Driver) -> Self {
        let ring = match driver {
            Driver::IoUring => SendRing::new(WRITES_PER_CALL_MAX as u32)
                .map_err(|error| tracing::info!(%error, "writes are made one by one: there is no second ring"))
                .ok(),
            Driver::Epoll => None,
        };
        Self { ring, ..Self::default() }
    }

    /// Where the next write is gathered.
    fn next(&mut self) -> &mut Gather {
        let place = self.writes.len();
        if place == self.gathers.len() {
            self.gathers.push(Gather::new());
        }
        &mut self.gathers[place]
    }

    /// Makes the writes: as many as can be by one call.
    fn make(&mut self, connections: &Slab<Connection>) {
        let Self { writes, gathers, outcomes, ring } = self;
        outcomes.clear();
        outcomes.resize(writes.len(), None);
        // Nothing was done with the connections since their keys were taken.
        let sockets = writes.iter().map(|(_, key)| &connections[key.slot as usize].socket);
        if let Some(used) = ring.as_mut().filter(|_| writes.len() >= RING_WRITES_MIN) {
            let bytes = gathers.iter().map(|gather| gather.only_slice().unwrap_or_default());
            let sends: Vec<(&OwnedFd, &[u8])> = sockets.clone().zip(bytes).collect();
            if !used.send_all(&sends, outcomes) {
                tracing::warn!("the ring for writes is refused: from now on they are made one by one");
                *ring = None;
            }
        }
        for ((socket, gather), outcome) in sockets.zip(&*gathers).zip(outcomes) {
            outcome.get_or_insert_with(|| gather.with_slices(|slices| net::send_slices(socket, slices)));
        }
    }
}

impl Core {
    /// Writes what sessions have to send, at most [`WRITES_PER_TURN_MAX`] of them. Says whether some are left.
    pub(super) fn flush(&mut self, now: Now) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let mut repeats = 0;
        for write in 0..WRITES_PER_TURN_MAX {
            if write % WARMED_WRITES == 0 {
                self.warm_up();
            }
            let mut next = self.hub.poll_transmit(now, batch.next());
            let is_empty = next.is_none() && !self.hub.broker().has_dirty();
            if is_empty && !batch.writes.is_empty() && repeats < REPEATS_PER_TURN_MAX {
                repeats += 1;
                self.write_batch(now, &mut batch);
                next = self.hub.poll_transmit(now, batch.next());
            }
            let Some((session, token)) = next else { break };
            let gather = batch.next();
            let Some((key, connection)) = self.asking(token) else {
                gather.clear();
                self.hub.handle_disconnect(now, Home { core: self.parts.number, session }, token);
                continue;
            };
            debug_assert!(
                matches!(connection.state, State::Data(home) | State::Web(home) if home.session == session),
                "a token names one answer"
            );
            if !connection.unsent.is_empty() {
                // The answer's first bytes come before its events.
                self.hub.handle_sent(now, session, gather, 0, true);
                gather.clear();
                continue;
            }
            batch.writes.push((session, key));
            if batch.writes.len() == WRITES_PER_CALL_MAX {
                self.write_batch(now, &mut batch);
            }
        }
        self.write_batch(now, &mut batch);
        self.batch = batch;
        self.apply_effects(now);
        self.hub.broker().has_dirty()
    }

    /// Makes the writes of a batch and tells what became of them. It is empty then.
    fn write_batch(&mut self, now: Now, batch: &mut Batch) {
        batch.make(&self.connections);
        let Batch { writes, gathers, outcomes, .. } = batch;
        for (((session, key), gather), outcome) in writes.drain(..).zip(gathers).zip(outcomes) {
            match outcome {
                Some(Transfer::Bytes(sent)) => {
                    let sent = *sent;
                    self.hub.handle_sent(now, session, gather, sent, sent < gather.len());
                }
                Some(Transfer::Blocked) | None => self.hub.handle_sent(now, session, gather, 0, true),
                Some(Transfer::Closed) => self.close(now, key),
            }
            gather.clear();
        }
    }

    fn warm_up(&self) {
        let read = |token: ReplyToken| {
            let connection = self.connections.get(token.connection as usize);
            connection.map_or(0, |connection| u64::from(connection.serial) ^ connection.unsent.len() as u64)
        };
        std::hint::black_box(self.hub.broker().warm_up(WARMED_WRITES, read));
    }
}
