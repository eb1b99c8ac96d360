//! Control requests: answered at once, in an answer of their own (rules P-5 to P-8).

use super::{Asked, Broker, stranger_framing};
use crate::auth::{Action, Denied};
use crate::limits::{ECHO_CHARS_MAX, RETRY_AFTER_S, SUBSCRIPTIONS_MAX};
use crate::protocol::{
    Address, ClaimedId, Command, EndReason, Format, FormatName, Framing, Identity, Listen, Request, SessionId,
};
use crate::session::{Session, SessionKey};
use crate::time::Now;
use crate::wire::pushlet::error_text;

impl Broker {
    /// P-8, P-28: does `act` with the session that the request claims, or answers why it cannot. A request that is accepted renews the lease.
    pub(super) fn with_session(
        &mut self,
        asked: &Asked,
        id: &ClaimedId,
        act: impl FnOnce(&mut Self, SessionKey) -> bool,
    ) {
        let Some(key) = self.claimed(id) else {
            if self.shutting_down && matches!(id, ClaimedId::WellFormed(_)) {
                // P-32: it may have been a session until a moment ago; its id is not what is wrong.
                return self.answer_error(asked, 503, String::from(EndReason::Shutdown.text()), Some(RETRY_AFTER_S));
            }
            self.counters.ids_unknown += 1;
            let reason = match id {
                ClaimedId::Missing => String::from("No id specified"),
                ClaimedId::Malformed(text) => error_text("Invalid or expired id: ", text),
                ClaimedId::WellFormed(id) => error_text("Invalid or expired id: ", &id.to_string()),
            };
            return self.answer_error(asked, 400, reason, None);
        };
        self.recognize(asked, key);
        if act(self, key) {
            self.renew_lease(asked.now, key);
            self.schedule(key);
        }
    }

    /// A session is whose key its latest request presents: old clients do so with their join only, newer ones with every request.
    pub(super) fn recognize(&mut self, asked: &Asked, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key)
            && asked.agent.identity.is_known()
        {
            session.identity = asked.agent.identity;
        }
    }

    pub(super) fn claimed(&self, id: &ClaimedId) -> Option<SessionKey> {
        match id {
            ClaimedId::WellFormed(id) => self.sessions.by_id(*id),
            ClaimedId::Missing | ClaimedId::Malformed(_) => None,
        }
    }

    /// P-7, P-9: begins a session, or says why not and leaves none.
    pub(super) fn begin(&mut self, asked: &Asked, format: &FormatName) -> Option<SessionKey> {
        let format = match format {
            FormatName::Known(format) => *format,
            FormatName::Unknown(name) => {
                let known = Format::ALL.map(Format::name).join(", ");
                let reason = format!("unknown format: {}; known formats: {known}", shown(name));
                self.nack(asked, stranger_framing(Format::default()), None, &reason);
                return None;
            }
        };
        match self.take_in(asked, format) {
            Ok(key) => Some(key),
            Err((reason, retry_after_s)) => {
                self.answer_error(asked, 503, String::from(reason), Some(retry_after_s));
                None
            }
        }
    }

    /// A new session, or why there can be none now, and after how many seconds it is worth another try (invariant A11).
    pub(super) fn take_in(&mut self, asked: &Asked, format: Format) -> Result<SessionKey, (&'static str, u32)> {
        if self.shutting_down || self.sessions.len() >= self.settings.sessions_max {
            self.counters.joins_refused += 1;
            let full = "the server has as many sessions as it may have";
            return Err((if self.shutting_down { EndReason::Shutdown.text() } else { full }, RETRY_AFTER_S));
        }
        let shard = self.settings.shards.pick(self.settings.core, (asked.draw[1] >> 64) as u64);
        let (id, address) = (SessionId::new(shard, asked.draw[0]), Address::new(shard, asked.draw[1]));
        let mut session = Session::new(id, address, format, asked.agent.java);
        session.identity = asked.agent.identity;
        let key = self.sessions.insert(session).ok_or(("no name could be made for the session", 1))?;
        self.counters.joins += 1;
        Ok(key)
    }

    pub(super) fn join(&mut self, asked: &Asked, format: &FormatName) {
        let Some(key) = self.begin(asked, format) else { return };
        self.renew_lease(asked.now, key);
        self.schedule(key);
        let Some((id, session)) = self.named(key) else { return };
        let (format, address) = (session.format.name(), session.address.to_string());
        self.ack(asked, key, "join-ack", &[("p_id", &id), ("p_format", format), ("p_from", &address)]);
    }

    pub(super) fn join_listen(&mut self, asked: &Asked, format: &FormatName, listen: &Listen) {
        let Some(key) = self.begin(asked, format) else { return };
        self.renew_lease(asked.now, key);
        if let Err(nacked) = self.listen(asked, key, listen, "join-listen-ack") {
            // P-7: a join that is nacked leaves no session, so the nack names none.
            let framing = self.answer_framing(key);
            self.counters.joins -= 1;
            self.forget(key);
            self.nack(asked, framing, None, &nacked.0);
        } else {
            self.schedule(key);
        }
    }

    /// P-19: adds a subscription.
    pub(super) fn subscribe(
        &mut self,
        asked: &Asked,
        key: SessionKey,
        subject: Option<&str>,
        label: Option<&str>,
    ) -> bool {
        let Some(list) = subject else { return self.refuse(asked, key, "no subject provided") };
        if let Err(denied) = self.may_subscribe(key, list) {
            self.counters.denied += 1;
            return self.refuse(asked, key, &denied.to_string());
        }
        let was_at = self.presence_before(key);
        let Some(session) = self.sessions.get_mut(key) else { return false };
        match session.subscriptions.add(key.slot, list, label, self.visit, &mut self.trie) {
            Err(error) => self.refuse(asked, key, &error.to_string()),
            Ok(added) => {
                let (id, sid) = (session.id.to_string(), added.sid());
                let mut fields = vec![("p_id", id.as_str()), ("p_subject", list), ("p_sid", sid.as_str())];
                fields.extend(added.text().map(|text| ("p_label", text)));
                self.note_presence(key, &was_at);
                self.ack(asked, key, "subscribe-ack", &fields)
            }
        }
    }

    /// Whether the session may hear of each item of a comma list. What a broad one covers besides is settled when events come.
    pub(super) fn may_subscribe(&self, key: SessionKey, list: &str) -> Result<(), Denied> {
        let identity = self.sessions.get(key).map_or(Identity::NOBODY, |session| session.identity);
        let access = &self.settings.access;
        if access.is_open_to_read() {
            return Ok(());
        }
        // A list that is too long, or has too many items, is refused as such.
        let mut items = list.split(',').map(str::trim).filter(|item| !item.is_empty()).take(SUBSCRIPTIONS_MAX + 1);
        items.try_for_each(|item| access.may(identity, Action::Subscribe, item))
    }

    pub(super) fn unsubscribe(&mut self, asked: &Asked, key: SessionKey, sid: Option<&str>) -> bool {
        let was_at = self.presence_before(key);
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let id = session.id.to_string();
        let Some(sid) = sid else {
            session.subscriptions.clear(&mut self.trie);
            self.note_presence(key, &was_at);
            return self.ack(asked, key, "unsubscribe-ack", &[("p_id", &id)]);
        };
        let Some(gone) = session.subscriptions.remove(key.slot, sid, &mut self.trie) else {
            return self.refuse(asked, key, &format!("no subscription for sid={}", shown(sid)));
        };
        let label = gone.label();
        let mut fields = vec![("p_id", id.as_str()), ("p_sid", sid), ("p_subject", gone.list())];
        fields.extend(label.text().map(|text| ("p_label", text)));
        self.note_presence(key, &was_at);
        self.ack(asked, key, "unsubscribe-ack", &fields)
    }

    /// P-27: ends the session; a data answer that waits ends with it.
    pub(super) fn leave(&mut self, asked: &Asked, key: SessionKey) -> bool {
        let Some((id, _)) = self.named(key) else { return false };
        self.ack(asked, key, "leave-ack", &[("p_id", &id)]);
        self.end(asked.now, key, EndReason::Leave);
        false
    }

    /// P-7: a publish that waited in vain. Nobody got the event.
    pub(super) fn refuse_publish(&mut self, now: Now, request: Request, reason: &str) {
        let Command::Publish { id, .. } = &request.command else { return };
        let id = id.clone();
        let asked = Asked::new(now, request).0;
        self.with_session(&asked, &id, |broker, key| broker.refuse(&asked, key, reason));
    }

    /// P-5: a request that nobody knows. The session, if there is one, lives on.
    pub(super) fn unknown(&mut self, asked: &Asked, id: &ClaimedId, name: &str, format: Option<Format>) {
        let reason = format!("unknown event: {}", shown(name));
        match self.claimed(id) {
            Some(key) => {
                self.refuse(asked, key, &reason);
                self.renew_lease(asked.now, key);
            }
            None => self.nack(asked, stranger_framing(format.unwrap_or_default()), None, &reason),
        }
    }

    /// P-6: answers an accepted control request. Always true, so that it can end a handler.
    pub(super) fn ack(&mut self, asked: &Asked, key: SessionKey, name: &str, fields: &[(&str, &str)]) -> bool {
        self.ack_in(asked, self.answer_framing(key), name, fields);
        true
    }

    /// The same where the session may be gone by now.
    pub(super) fn ack_in(&mut self, asked: &Asked, framing: Framing, name: &str, fields: &[(&str, &str)]) {
        let mut text = itoa::Buffer::new();
        let mut all = Vec::with_capacity(fields.len() + 2);
        all.push(("p_event", name));
        all.extend_from_slice(fields);
        all.push(("p_time", text.format(asked.now.unix_s)));
        self.answer_event(asked, framing, &all);
    }

    /// P-7: answers a refused request of a session. Always true: the session was used all the same.
    pub(super) fn refuse(&mut self, asked: &Asked, key: SessionKey, reason: &str) -> bool {
        let framing = self.answer_framing(key);
        let id = self.named(key).map(|(id, _)| id);
        self.nack(asked, framing, id.as_deref(), reason);
        true
    }

    pub(super) fn named(&self, key: SessionKey) -> Option<(String, &Session)> {
        self.sessions.get(key).map(|session| (session.id.to_string(), session))
    }

    pub(super) fn answer_framing(&self, key: SessionKey) -> Framing {
        self.sessions.get(key).map_or(stranger_framing(Format::default()), Session::answer_framing)
    }
}

/// What is repeated of a client's own text: formats escape it, so it is only cut.
fn shown(text: &str) -> &str {
    text.char_indices().nth(ECHO_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}
