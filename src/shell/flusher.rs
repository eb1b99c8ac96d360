//! From outboxes to sockets: one write for each session that has something to send.

use super::connection::State;
use super::core::Core;
use super::net::{self, Transfer};
use crate::limits::WRITES_PER_TURN_MAX;
use crate::time::Now;

impl Core {
    /// Gives a large publish to its next share of sessions, and writes what sessions have to send, at most [`WRITES_PER_TURN_MAX`] of them. Says whether more is to be done.
    pub(super) fn flush(&mut self, now: Now) -> bool {
        self.broker.deliver_slice(now);
        let mut gather = std::mem::take(&mut self.gather);
        for _ in 0..WRITES_PER_TURN_MAX {
            let Some((session, token)) = self.broker.poll_transmit(now, &mut gather) else { break };
            let Some((key, connection)) = self.asking(token) else {
                self.broker.handle_disconnect(now, session, token);
                continue;
            };
            debug_assert_eq!(connection.state, State::Data(session), "a token names one answer");
            if !connection.unsent.is_empty() {
                // The answer's first bytes come before its events.
                self.broker.handle_sent(now, session, &gather, 0, true);
                continue;
            }
            match gather.with_slices(|slices| net::send_slices(&connection.socket, slices)) {
                Transfer::Bytes(sent) => {
                    self.broker.handle_sent(now, session, &gather, sent, sent < gather.len());
                }
                Transfer::Blocked => self.broker.handle_sent(now, session, &gather, 0, true),
                Transfer::Closed => self.close(now, key),
            }
        }
        self.gather = gather;
        self.apply_outputs(now);
        self.broker.has_dirty() || self.broker.is_delivering()
    }
}
