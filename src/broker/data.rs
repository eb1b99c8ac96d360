//! Data requests: listen and refresh, and how their answers begin and end (rules P-14 to P-18, P-26).

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Answer, Asked, Broker, Output};
use crate::protocol::{Command, Format, Framing, Listen, Mode, ModeName, QueueWish, ReplyToken, Request};
use crate::session::{Channel, Item, Label, Session, SessionKey, SubscribeError};
use crate::time::Now;
use crate::wire::{pushlet, v1};

/// A listen that is to be answered with a nack.
pub(super) struct Nacked(pub(super) String);

impl Broker {
    /// Opens the data channel. The ack is called `listen-ack` or `join-listen-ack`. A nack is left to the caller; nothing has changed then.
    pub(super) fn listen(&mut self, asked: &Asked, key: SessionKey, listen: &Listen, ack: &str) -> Result<(), Nacked> {
        self.check_door(key)?;
        let wish = QueueWish::read(listen.queue.as_deref(), listen.overflow.as_deref())
            .map_err(|error| Nacked(error.to_string()))?;
        if let Some(list) = &listen.subject
            && let Err(denied) = self.may_subscribe(key, list)
        {
            self.counters.denied += 1;
            return Err(Nacked(denied.to_string()));
        }
        let was_at = self.presence_before(key);
        let Some(session) = self.sessions.get_mut(key) else { return Ok(()) };
        let mut label = None;
        if let Some(list) = &listen.subject {
            let text = listen.label.as_deref();
            let added = session.subscriptions.add(key.slot, list, text, self.visit, &mut self.trie).or_else(|error| {
                // Old Java clients listen with their subject again after every lost connection, and the original never minds: where a
                // session is full, the subscription that it has already serves again.
                let known = (error == SubscribeError::TooMany).then(|| session.subscriptions.same(list, text));
                known.flatten().ok_or(error)
            });
            label = Some(added.map_err(|error| Nacked(error.to_string()))?);
        }
        let (mode, shown) = self.effective_mode(asked, &listen.mode);
        self.supersede(key);
        if let Some(session) = self.sessions.get_mut(key) {
            if !session.is_listening() {
                // P-25: an event that is being delivered was published before.
                session.visited = self.visit;
            }
            session.mode = Some(mode);
            session.events_wanted = wish.events_max;
            session.overflow_wanted = wish.overflow;
        }
        let mut lead = Vec::with_capacity(512);
        self.write_listen_ack(asked, key, ack, shown, label.as_ref(), &mut lead);
        if mode == Mode::Stream {
            let greet = matches!(listen.mode, ModeName::Known(_));
            self.open_stream(asked, key, lead, greet);
        } else {
            self.answer_data(asked, key, VecDeque::new(), false, lead);
        }
        self.note_presence(key, &was_at);
        Ok(())
    }

    /// A session that came through a modern door has its data channel there.
    fn check_door(&self, key: SessionKey) -> Result<(), Nacked> {
        match self.sessions.get(key).map(|session| session.format) {
            Some(Format::V1 | Format::V1Unnamed) => {
                Err(Nacked(String::from("the session gets its events at /v1/sse or /v1/poll")))
            }
            Some(Format::Message | Format::MessageDeflate) => {
                Err(Nacked(String::from("the session gets its events at its WebSocket, /v1/ws")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the answer to this request would be a stream.
    pub(super) fn would_stream(&self, request: &Request) -> bool {
        match &request.command {
            Command::Listen { id, listen } => {
                let forced = self.settings.force_pull_all || request.agent.force_pull;
                let stream = matches!(listen.mode, ModeName::Known(Mode::Stream) | ModeName::Unknown(_));
                // A session of a modern door is refused its stream, wherever that is asked for.
                let session = self.claimed(id).and_then(|key| self.sessions.get(key));
                stream && !forced && session.is_some_and(|session| !session.format.is_modern())
            }
            Command::Refresh { id } => {
                let session = self.claimed(id).and_then(|key| self.sessions.get(key));
                session.is_some_and(|session| session.mode == Some(Mode::Stream) && !session.format.is_modern())
            }
            _ => false,
        }
    }

    /// P-18: the mode that is asked for, unless this client is made to pull; and its name for the ack.
    fn effective_mode<'a>(&self, asked: &Asked, wanted: &'a ModeName) -> (Mode, &'a str) {
        if self.settings.force_pull_all || asked.agent.force_pull {
            return (Mode::Pull, Mode::Pull.name());
        }
        match wanted {
            ModeName::Known(mode) => (*mode, mode.name()),
            ModeName::Unknown(name) => (Mode::Stream, name),
        }
    }

    fn write_listen_ack(
        &self,
        asked: &Asked,
        key: SessionKey,
        name: &str,
        mode: &str,
        label: Option<&Label>,
        out: &mut Vec<u8>,
    ) {
        let Some((id, session)) = self.named(key) else { return };
        let address = session.address.to_string();
        let mut text = itoa::Buffer::new();
        let mut fields = vec![("p_event", name), ("p_id", &id), ("p_mode", mode), ("p_format", session.format.name())];
        if name == "join-listen-ack" {
            fields.push(("p_from", &address));
        }
        let sid = label.map(Label::sid);
        if let Some((label, sid)) = label.zip(sid.as_ref()) {
            fields.push(("p_sid", sid.as_str()));
            fields.extend(label.text().map(|text| ("p_label", text)));
        }
        fields.push(("p_time", text.format(asked.now.unix_s)));
        let framing = session.framing();
        pushlet::prologue(framing, out);
        pushlet::event(framing, true, fields.into_iter(), out);
    }

    /// P-15, P-16: continues the data channel.
    pub(super) fn refresh(&mut self, asked: &Asked, key: SessionKey) -> bool {
        if let Err(nacked) = self.check_door(key) {
            return self.refuse(asked, key, &nacked.0);
        }
        let Some(mode) = self.sessions.get(key).and_then(|session| session.mode) else {
            return self.refuse(asked, key, "the session does not listen yet: send listen before refresh");
        };
        self.supersede(key);
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let framing = session.framing();
        let queued = if mode == Mode::Stream { VecDeque::new() } else { session.outbox.take_all() };
        let (mut lead, mut text) = (Vec::with_capacity(512), itoa::Buffer::new());
        pushlet::prologue(framing, &mut lead);
        let ack = [("p_event", "refresh-ack"), ("p_time", text.format(asked.now.unix_s))];
        pushlet::event(framing, true, ack.into_iter(), &mut lead);
        match mode {
            Mode::Stream => self.open_stream(asked, key, lead, true),
            Mode::Pull if queued.is_empty() => {
                self.open_wait(asked, key, framing, &lead, self.settings.pull_wait_ms);
            }
            Mode::Pull | Mode::Poll => self.answer_data(asked, key, queued, true, lead),
        }
        true
    }

    /// P-14: `lead` holds the ack; a heartbeat follows at once, then whatever is queued.
    pub(super) fn open_stream(&mut self, asked: &Asked, key: SessionKey, mut lead: Vec<u8>, greet: bool) {
        let heartbeat_at = asked.now.instant + self.settings.heartbeat_ms;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let framing = session.framing();
        let mut seq = 1;
        if greet {
            let frame = self.heartbeats.get(framing, false, asked.now.unix_s);
            Item { frame, label: None, lost: 0 }.write(framing, false, seq, &mut lead);
            seq += 1;
        }
        let mut bytes = Vec::with_capacity(lead.len() + 16);
        asked.envelope.wrap(&lead, &mut bytes);
        session.set_channel(
            Channel::Open { token: asked.token, envelope: asked.envelope, seq, heartbeat_at },
            &mut self.listening,
        );
        session.blocked = false;
        if !session.outbox.is_empty() {
            Self::mark_dirty(session, key, &mut self.dirty);
        }
        self.outputs.push_back(Output::Open { token: asked.token, session: key, framing, lead: bytes });
    }

    /// P-15: the ack goes out at once, the rest when there are events or the wait is over.
    pub(super) fn open_wait(&mut self, asked: &Asked, key: SessionKey, framing: Framing, lead: &[u8], wait_ms: u64) {
        let until = asked.now.instant + wait_ms;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut bytes = Vec::with_capacity(lead.len() + 16);
        asked.envelope.wrap(lead, &mut bytes);
        let path = Arc::clone(&asked.path);
        session.set_channel(
            Channel::Waiting { token: asked.token, envelope: asked.envelope, until, path },
            &mut self.listening,
        );
        session.blocked = false;
        self.outputs.push_back(Output::Open { token: asked.token, session: key, framing, lead: bytes });
    }

    /// A pull or poll answer that is complete: `body` holds the ack already.
    pub(super) fn answer_data(
        &mut self,
        asked: &Asked,
        key: SessionKey,
        queued: VecDeque<Item>,
        events: bool,
        mut body: Vec<u8>,
    ) {
        let framing = self.sessions.get(key).map_or(Framing::Object, Session::framing);
        if events {
            self.write_events(asked.now, framing, &queued, &mut body);
            self.announce_events(asked.token, key, &queued);
        }
        self.write_refresh(asked.now, key, framing, &asked.path, &mut body);
        self.expect_back(asked.now, key);
        self.answer(asked, Answer::Events { framing, body });
    }

    /// P-15, P-16: the queued events, or one heartbeat; `p_seq` counts from 1 in each answer.
    fn write_events(&mut self, now: Now, framing: Framing, queued: &VecDeque<Item>, out: &mut Vec<u8>) {
        for (item, seq) in queued.iter().zip(1..) {
            // The objects of an array are first or not; elsewhere an ack has been first.
            item.write(framing, framing.is_modern() && seq == 1, seq, out);
        }
        if queued.is_empty() && !framing.is_modern() {
            let frame = self.heartbeats.get(framing, false, now.unix_s);
            Item { frame, label: None, lost: 0 }.write(framing, false, 1, out);
        }
    }

    /// P-30: these events are in no queue any more, and neither is what they tell of.
    fn announce_events<'a>(
        &mut self,
        token: ReplyToken,
        session: SessionKey,
        items: impl IntoIterator<Item = &'a Item>,
    ) {
        let missed: u64 = items.into_iter().map(Item::missed).sum();
        let events = u32::try_from(missed).unwrap_or(u32::MAX);
        if events > 0 {
            self.outputs.push_back(Output::Carries { token, session, events });
        }
    }

    /// P-30: the connection broke over an answer whose events stand in no queue any more. How much of it the client has read is not known;
    /// the next event that it gets counts them all as missing.
    pub fn handle_undelivered(&mut self, key: SessionKey, events: u32) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.outbox.miss(u64::from(events));
            self.counters.lost += u64::from(events);
        }
    }

    /// P-17: where and when the client is to come back, and the end of the answer.
    fn write_refresh(&mut self, now: Now, key: SessionKey, framing: Framing, path: &str, out: &mut Vec<u8>) {
        if framing.is_modern() {
            return v1::poll_end(None, out);
        }
        let Some((id, session)) = self.named(key) else { return };
        let (min, max) = self.settings.refresh_wait_ms(session.mode.unwrap_or_default());
        // One slash only: two would send the page, and its secret, to a host called like the path. Browsers take a backslash for a slash.
        let url = format!("/{}?p_id={id}&p_event=refresh", path.trim_start_matches(['/', '\\']));
        let wait_ms = self.jitter.u32(min..=max.max(min));
        pushlet::refresh(framing, false, &url, wait_ms, now.unix_s, out);
        pushlet::epilogue(framing, out);
    }

    /// P-29: the client has its answer and is expected to come again.
    pub(super) fn expect_back(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let timeout_ms = self.settings.refresh_timeout_ms(session.mode.unwrap_or_default());
        session.set_channel(Channel::Away { until: now.instant + timeout_ms, detached: false }, &mut self.listening);
        self.renew_lease(now, key);
        self.schedule(key);
    }

    /// P-15: a waiting pull answer ends with what is queued, or with a heartbeat.
    pub(super) fn complete_wait(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let framing = session.framing();
        let Channel::Waiting { token, envelope, ref path, .. } = session.channel else { return };
        let (path, queued) = (Arc::clone(path), session.outbox.take_all());
        let mut body = Vec::with_capacity(512);
        self.write_events(now, framing, &queued, &mut body);
        self.announce_events(token, key, &queued);
        self.write_refresh(now, key, framing, &path, &mut body);
        let mut tail = Vec::with_capacity(body.len() + 32);
        envelope.wrap(&body, &mut tail);
        envelope.end(&mut tail);
        self.expect_back(now, key);
        self.outputs.push_back(Output::Finish { token, tail });
    }

    /// P-26: the newest data request wins: the older answer ends orderly, without `refresh`.
    pub(super) fn supersede(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else { return };
        if session.channel.token().is_some() {
            let framing = session.framing();
            self.finish(key, |out| match framing {
                Framing::Object => v1::poll_end(None, out),
                _ => pushlet::epilogue(framing, out),
            });
        }
    }

    /// Something is to be said on an open stream between two events: the rest of an event that was sent in part, to be sent before it, and how many
    /// events a client misses that does not get it. `None` if the stream is not open any more: its end is an output that has not been applied
    /// yet, the rest of that event is in it, and nothing may come before.
    pub fn handle_interjection(&mut self, key: SessionKey, token: ReplyToken) -> Option<(Vec<u8>, u32)> {
        let session = self.sessions.get_mut(key)?;
        let framing = session.framing();
        let Channel::Open { token: open, envelope, seq, .. } = &mut session.channel else { return None };
        if *open != token {
            return None;
        }
        if !session.outbox.is_sent_in_part() {
            return Some(Default::default());
        }
        let mut rest = Vec::new();
        let last = session.outbox.take_remainder(framing, *envelope, *seq, &mut rest);
        *seq += 1;
        let missed = last.map_or(0, |item| item.missed());
        Some((rest, u32::try_from(missed).unwrap_or(u32::MAX)))
    }

    /// Ends the open answer of a session: the rest of an event that was sent in part, then what `write` appends.
    pub(super) fn finish(&mut self, key: SessionKey, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let framing = session.framing();
        let (token, envelope, mut tail) = match session.channel {
            Channel::Open { token, envelope, seq, .. } => {
                let mut tail = Vec::new();
                let last = session.outbox.take_remainder(framing, envelope, seq, &mut tail);
                self.announce_events(token, key, &last);
                (token, envelope, tail)
            }
            Channel::Waiting { token, envelope, .. } => (token, envelope, Vec::new()),
            Channel::Never | Channel::Away { .. } => return,
        };
        let mut body = Vec::new();
        write(&mut body);
        envelope.wrap(&body, &mut tail);
        envelope.end(&mut tail);
        if let Some(session) = self.sessions.get_mut(key) {
            session.blocked = false;
        }
        self.outputs.push_back(Output::Finish { token, tail });
    }
}
