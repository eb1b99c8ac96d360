//! From outboxes to sockets: one write for each session that has something to send.

use super::connection::State;
use super::core::Core;
use super::net::{self, Transfer};
use crate::broker::Home;
use crate::limits::WRITES_PER_TURN_MAX;
use crate::protocol::ReplyToken;
use crate::time::Now;

/// How many sessions are fetched from memory together.
const WARMED_WRITES: usize = 16;

impl Core {
    /// Writes what sessions have to send, at most [`WRITES_PER_TURN_MAX`] of them. Says whether some are left.
    pub(super) fn flush(&mut self, now: Now) -> bool {
        let mut gather = std::mem::take(&mut self.gather);
        for write in 0..WRITES_PER_TURN_MAX {
            if write % WARMED_WRITES == 0 {
                let connections = &self.connections;
                let read = |token: ReplyToken| {
                    let connection = connections.get(token.connection as usize);
                    connection.map_or(0, |connection| u64::from(connection.serial) ^ connection.unsent.len() as u64)
                };
                std::hint::black_box(self.hub.broker().warm_up(WARMED_WRITES, read));
            }
            let Some((session, token)) = self.hub.poll_transmit(now, &mut gather) else { break };
            let Some((key, connection)) = self.asking(token) else {
                self.hub.handle_disconnect(now, Home { core: self.parts.number, session }, token);
                continue;
            };
            debug_assert!(
                matches!(connection.state, State::Data(home) | State::Web(home) if home.session == session),
                "a token names one answer"
            );
            if !connection.unsent.is_empty() {
                // The answer's first bytes come before its events.
                self.hub.handle_sent(now, session, &gather, 0, true);
                continue;
            }
            match gather.with_slices(|slices| net::send_slices(&connection.socket, slices)) {
                Transfer::Bytes(sent) => {
                    self.hub.handle_sent(now, session, &gather, sent, sent < gather.len());
                }
                Transfer::Blocked => self.hub.handle_sent(now, session, &gather, 0, true),
                Transfer::Closed => self.close(now, key),
            }
        }
        self.gather = gather;
        self.apply_effects(now);
        self.hub.broker().has_dirty()
    }
}
