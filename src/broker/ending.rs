//! How sessions end, and everything that happens because time has passed (rules P-27 to P-32).

use super::Broker;
use crate::limits::{SSE_RETRY_MS, STALE_DEADLINES_MAX};
use crate::protocol::{EndReason, Framing, ReplyToken};
use crate::session::{Channel, Item, SessionKey};
use crate::time::Now;
use crate::wire::{pushlet, v1, ws};

impl Broker {
    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now) {
        let mut fired = std::mem::take(&mut self.fired);
        self.wheel.expire(now.instant, &mut fired);
        for key in fired.drain(..) {
            self.wake(now, key);
        }
        fired.shrink_to(super::KEPT_SLOTS_MAX);
        self.fired = fired;
    }

    fn wake(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.wake_at > now.instant {
            // The session has a later entry in the wheel: this one was overtaken.
            return;
        }
        session.wake_at = crate::time::Instant::NEVER;
        let due = session.channel.deadline() <= now.instant;
        let lease_over = session.lease_until <= now.instant;
        let in_use = match session.channel {
            Channel::Open { .. } => !session.blocked,
            Channel::Waiting { .. } => true,
            Channel::Never | Channel::Away { .. } => false,
        };
        if lease_over && in_use {
            // P-28: an answer that is open and takes what is written to it is use, whatever the heartbeat's rhythm.
            self.renew_lease(now, key);
        } else if lease_over {
            return self.end(now, key, EndReason::LeaseExpired);
        }
        if due {
            self.channel_due(now, key);
        }
        self.schedule(key);
    }

    fn channel_due(&mut self, now: Now, key: SessionKey) {
        let heartbeat_ms = self.settings.heartbeat_ms;
        let Some(session) = self.sessions.get_mut(key) else { return };
        match &mut session.channel {
            Channel::Never => {}
            Channel::Open { heartbeat_at, .. } => {
                // P-14: after so much silence. A socket that takes nothing needs no heartbeat on top.
                *heartbeat_at = now.instant + heartbeat_ms;
                if session.outbox.is_empty() && !session.blocked {
                    let visible = session.sees_heartbeats;
                    session.outbox.push_heartbeat(self.heartbeats.get(session.framing(), visible, now.unix_s));
                    Self::mark_dirty(session, key, &mut self.dirty);
                }
            }
            Channel::Waiting { .. } => self.complete_wait(now, key),
            Channel::Away { detached: true, .. } => self.end(now, key, EndReason::Disconnected),
            Channel::Away { until, detached: false } => {
                if session.outbox.is_empty() {
                    // P-29: nothing is missed by waiting on: the lease decides.
                    *until = crate::time::Instant::NEVER;
                } else {
                    self.end(now, key, EndReason::NotAlive);
                }
            }
        }
    }

    /// P-31: the connection of an open data answer is gone. The session waits for its client to come back, whatever its lease says (P-28).
    pub fn handle_disconnect(&mut self, now: Now, key: SessionKey, token: ReplyToken) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.channel.token() != Some(token) {
            return;
        }
        let until = now.instant + self.settings.detached_timeout_ms;
        session.outbox.rewind();
        session.blocked = false;
        session.set_channel(Channel::Away { until, detached: true }, &mut self.listening);
        if session.framing().ends_with_connection() {
            // Its client begins anew when it comes again: nothing could name this session.
            return self.end(now, key, EndReason::Disconnected);
        }
        session.lease_until = session.lease_until.max(until);
        self.schedule(key);
    }

    /// The client of a WebSocket answers no ping: it is gone, whatever its connection says.
    pub fn handle_silence(&mut self, now: Now, key: SessionKey, token: ReplyToken) {
        if self.sessions.get(key).is_some_and(|session| session.channel.token() == Some(token)) {
            self.end(now, key, EndReason::NotAlive);
        }
    }

    /// P-32: ends every session; listening ones are told, behind what was published before. No session begins any more.
    pub fn handle_shutdown(&mut self, now: Now) {
        self.finish_delivery(now);
        self.shutting_down = true;
        for key in self.sessions.keys() {
            self.end(now, key, EndReason::Shutdown);
        }
    }

    /// Ends a session. An open data answer ends orderly, with an `abort` that tells the reason unless the client asked for the end.
    pub(super) fn end(&mut self, now: Now, key: SessionKey, reason: EndReason) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let framing = session.framing();
        let next_seq = match session.channel {
            // P-26, P-30: an event that was sent in part is finished first and uses its number.
            Channel::Open { seq, .. } => Some(seq + u64::from(session.outbox.is_sent_in_part())),
            Channel::Waiting { .. } => Some(1),
            Channel::Never | Channel::Away { .. } => None,
        };
        // Those who are told that the server shuts down should not all come again at the same moment.
        let retry_ms = self.jitter.u32(SSE_RETRY_MS.0..=SSE_RETRY_MS.1);
        if let Some(seq) = next_seq {
            self.finish(key, |out| match framing {
                Framing::EventStream | Framing::UnnamedStream => v1::end_event(reason, out),
                Framing::Object => v1::poll_end(Some(reason), out),
                Framing::Message | Framing::MessageDeflate => {
                    ws::write(ws::Opcode::Text, &v1::end_message(reason, retry_ms), out);
                    ws::close(reason.close_code(), reason.text(), out);
                }
                _ => {
                    if reason != EndReason::Leave {
                        abort_item(framing, now, reason).write(framing, false, seq, out);
                    }
                    pushlet::epilogue(framing, out);
                }
            });
        }
        if reason != EndReason::Leave {
            self.counters.lost += self.sessions.get(key).map_or(0, |session| session.outbox.len() as u64);
        }
        self.counters.count_end(reason);
        self.forget(key);
    }

    /// Removes a session from every table.
    pub(super) fn forget(&mut self, key: SessionKey) {
        let was_at = self.presence_before(key);
        if let Some(mut session) = self.sessions.remove(key) {
            session.subscriptions.clear(&mut self.trie);
            self.listening -= usize::from(session.channel.token().is_some());
        }
        self.note_presence(key, &was_at);
        // Its deadlines are still filed. Clients that come and go must not fill the wheel for the length of a lease.
        if self.wheel.len() > 8 * self.sessions.len() + STALE_DEADLINES_MAX {
            let sessions = &self.sessions;
            self.wheel.retain(|key| sessions.get(key).is_some());
        }
    }
}

fn abort_item(framing: Framing, now: Now, reason: EndReason) -> Item {
    let (mut bytes, mut text) = (Vec::new(), itoa::Buffer::new());
    let fields = [("p_event", "abort"), ("p_reason", reason.text()), ("p_time", text.format(now.unix_s))];
    let info = pushlet::shared_part(framing, fields.into_iter(), &mut bytes);
    Item { frame: std::rc::Rc::new(crate::session::Frame::new(bytes, info.fields, None)), label: None, lost: 0 }
}
