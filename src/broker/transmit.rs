//! From outboxes to sockets: what to write next, and what became of it.

use super::Broker;
use crate::limits::{ROUND_IN_ORDER_MAX, WRITES_PER_TURN_MAX};
use crate::protocol::ReplyToken;
use crate::session::{Channel, Gather, SessionKey};
use crate::time::Now;

impl Broker {
    /// The next session with something to send: gathers one write for it and says on which answer. Waiting pull answers are completed on the
    /// way and come out as outputs, so [`Broker::poll_output`] is due after the last call. `None` can also mean that a turn's share of them
    /// is complete: [`Broker::has_dirty`] tells.
    ///
    /// What became of the write is told by [`Broker::handle_sent`] or [`Broker::handle_disconnect`], before any other input for its session:
    /// until then the broker does not know which of its events are under way. Writes of other sessions may be gathered and told meanwhile.
    ///
    /// It works in rounds: everybody who waits when a round begins is served before anybody who comes later, and a long round begins at a
    /// random place, so that nobody is always last.
    pub fn poll_transmit(&mut self, now: Now, gather: &mut Gather) -> Option<(SessionKey, ReplyToken)> {
        while let Some(key) = self.next_dirty() {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            session.dirty = false;
            match session.channel {
                Channel::Open { token, envelope, seq, .. } if !session.blocked && !session.outbox.is_empty() => {
                    session.outbox.gather(session.framing(), envelope, seq, gather);
                    gather.address_to(token);
                    return Some((key, token));
                }
                Channel::Waiting { .. } if !session.outbox.is_empty() => {
                    self.complete_wait(now, key);
                    self.completed += 1;
                    if self.completed == WRITES_PER_TURN_MAX {
                        self.completed = 0;
                        return None;
                    }
                }
                _ => {}
            }
        }
        self.pressed = false;
        self.completed = 0;
        super::give_back(&mut self.dirty);
        None
    }

    /// Reads what the next `writes` calls of [`Broker::poll_transmit`] will read, and what `connection` reads for their answers. A session
    /// that was idle is in no cache, and one after the other they would be waited for; side by side they are waited for together. The sum
    /// says nothing; it is there so that the reading is not optimized away.
    #[must_use]
    pub fn warm_up(&self, writes: usize, connection: impl Fn(ReplyToken) -> u64) -> u64 {
        let sessions = self.dirty.iter().take(writes).filter_map(|key| self.sessions.get(*key));
        sessions.fold(0, |sum, session| {
            let token = session.channel.token();
            sum ^ session.outbox.touch() ^ session.lease_until.as_ms() ^ token.map_or(0, &connection)
        })
    }

    /// Takes the next session out of the list, and begins a round if the one before is over.
    fn next_dirty(&mut self) -> Option<SessionKey> {
        if self.round == 0 {
            self.round = self.dirty.len();
            if self.round > ROUND_IN_ORDER_MAX {
                self.dirty.rotate_left(self.jitter.usize(..self.round));
            }
        }
        let key = self.dirty.pop_front()?;
        self.round -= 1;
        debug_assert!(self.round <= self.dirty.len(), "a round of more than there are");
        Some(key)
    }

    /// Whether it is high time to flush: somebody's outbox is more than half full, and not because its socket takes nothing. Who goes on to
    /// read publishers then makes a quick reader look slow, and P-30 ends its session. It stays so until everything is flushed.
    #[must_use]
    pub const fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// Whether sessions wait to be flushed.
    #[must_use]
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The socket has taken `sent` bytes of the gathered write; `blocked` if it takes no more at the moment, so that nothing is gathered for
    /// the session before [`Broker::handle_writable`]. A write that belongs to an earlier answer of the session changes nothing.
    pub fn handle_sent(&mut self, now: Now, key: SessionKey, gather: &Gather, sent: usize, blocked: bool) {
        let (heartbeat_ms, lease_ms) = (self.settings.heartbeat_ms, self.settings.session_timeout_ms);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Channel::Open { token, seq, heartbeat_at, .. } = &mut session.channel else { return };
        if gather.answer() != Some(*token) {
            return;
        }
        let (whole, partial) = gather.progress(sent);
        *seq += whole as u64;
        if sent > 0 {
            *heartbeat_at = now.instant + heartbeat_ms;
            session.lease_until = now.instant + lease_ms;
        }
        session.outbox.advance(whole, partial);
        session.blocked = blocked;
        if !session.outbox.is_empty() {
            Self::mark_dirty(session, key, &mut self.dirty);
            // Of several writes under way, the list may have been empty for a moment.
            self.pressed |= session.dirty && session.outbox.is_half_full(self.settings.bounds);
        }
        self.counters.writes += 1;
        self.counters.bytes_written += sent as u64;
        // After a reload the next heartbeat may be due earlier than the wheel knows.
        self.schedule(key);
    }

    /// The socket of an open answer takes bytes again, or does not yet (its answer's first bytes still wait in the connection).
    pub fn handle_writable(&mut self, key: SessionKey, token: ReplyToken, writable: bool) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.channel.token() != Some(token) {
            return;
        }
        session.blocked = !writable;
        if !session.outbox.is_empty() {
            Self::mark_dirty(session, key, &mut self.dirty);
            // What comes next should find room again.
            self.pressed |= writable && session.dirty && session.outbox.is_half_full(self.settings.bounds);
        }
    }
}
