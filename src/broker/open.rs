//! Sessions of the modern doors: how they begin, and how a long poll goes on. What happens to them otherwise is what happens to all sessions.

use super::{Answer, Asked, Broker};
use crate::limits::{
    ECHO_CHARS_MAX, PATTERN_STARS_MAX, RETRY_AFTER_S, SSE_RETRY_MS, SUBJECT_BYTES_MAX, SUBSCRIPTIONS_MAX,
    WIDE_PATTERNS_MAX,
};
use crate::protocol::{ClaimedId, Door, EndReason, Format, Framing, Mode, Opening, Problem, WantedSubscription};
use crate::session::{Label, SessionKey, SubscribeError, Subscription};
use crate::topic::{PatternError, SubjectError};
use crate::wire::{v1, ws};

impl Broker {
    /// Begins a session: it subscribes and listens at once, or there is none.
    pub(super) fn open(&mut self, asked: &Asked, opening: &Opening) {
        let format = match opening.door {
            Door::EventStream if opening.names_in_data => Format::V1Unnamed,
            Door::EventStream | Door::LongPoll => Format::V1,
            Door::WebSocket { deflate: false } => Format::Message,
            Door::WebSocket { deflate: true } => Format::MessageDeflate,
        };
        let key = match self.take_in(asked, format) {
            Ok(key) => key,
            Err((reason, seconds)) => {
                return self.answer_problem(asked.token, Problem::new(503, reason).retry_after(seconds));
            }
        };
        if let Err(problem) = self.subscribe_all(key, opening) {
            self.counters.joins -= 1;
            self.forget(key);
            return self.answer_problem(asked.token, problem);
        }
        self.renew_lease(asked.now, key);
        let visit = self.visit;
        let Some(session) = self.sessions.get_mut(key) else { return };
        // P-25: an event that is being delivered was published before.
        session.visited = visit;
        session.sees_heartbeats = opening.heartbeats;
        let (id, address) = (session.id.to_string(), session.address.to_string());
        let mut lead = Vec::with_capacity(256 + usize::from(opening.pad));
        match opening.door {
            Door::EventStream => {
                session.mode = Some(Mode::Stream);
                let (retry_ms, last) =
                    (self.jitter.u32(SSE_RETRY_MS.0..=SSE_RETRY_MS.1), opening.last_event_id.as_deref());
                let heartbeat_ms = self.settings.heartbeat_ms;
                v1::session_event((&id, &address), heartbeat_ms, retry_ms, opening.pad, last, &mut lead);
                self.open_stream(asked, key, lead, false);
                self.schedule(key);
            }
            Door::WebSocket { .. } => {
                session.mode = Some(Mode::Stream);
                let (heartbeat_ms, message_max) = (self.settings.heartbeat_ms, self.settings.ws_message_max);
                let last = opening.last_event_id.as_deref();
                v1::session_messages((&id, &address), heartbeat_ms, message_max, last, |message| {
                    ws::write(ws::Opcode::Text, message, &mut lead);
                });
                self.open_stream(asked, key, lead, false);
                self.schedule(key);
            }
            Door::LongPoll => {
                session.mode = Some(Mode::Pull);
                v1::session_answer((&id, &address), self.settings.pull_wait_ms, &mut lead);
                self.expect_back(asked.now, key);
                self.answer(asked, Answer::Events { framing: Framing::Object, body: lead });
            }
        }
        self.note_presence(key, &[]);
    }

    fn subscribe_all(&mut self, key: SessionKey, opening: &Opening) -> Result<(), Problem> {
        for wanted in &opening.subscriptions {
            self.check_subscribe(key, &wanted.list)?;
            let Some(session) = self.sessions.get_mut(key) else { break };
            let added =
                session.subscriptions.add_patterns(key.slot, &[&wanted.list], wanted.wish, self.visit, &mut self.trie);
            added.map_err(|error| unsubscribable(&error))?;
        }
        Ok(())
    }

    fn check_subscribe(&self, key: SessionKey, list: &str) -> Result<(), Problem> {
        self.may_subscribe(key, list).map_err(|denied| {
            let field = if denied.status == 401 { "Authorization" } else { "subject" };
            Problem::field(field, format!("{denied}.")).status(denied.status)
        })
    }

    /// Adds subscriptions to a session: all of them, or none. One that it has gets a new wish.
    pub(super) fn add(&mut self, asked: &Asked, id: &ClaimedId, wanted: &[WantedSubscription]) {
        self.amend(asked, id, |broker, key| {
            wanted.iter().try_for_each(|wanted| broker.check_subscribe(key, &wanted.list))?;
            let Self { sessions, trie, visit, .. } = broker;
            let Some(session) = sessions.get_mut(key) else { return Ok(()) };
            let subscriptions = &mut session.subscriptions;
            let mut added: Vec<Label> = Vec::new();
            for WantedSubscription { list, wish } in wanted {
                if subscriptions.asked_for(list).next().is_some() {
                    continue;
                }
                match subscriptions.add_patterns(key.slot, &[list], *wish, *visit, trie) {
                    Ok(label) => added.push(label),
                    Err(error) => {
                        for label in &added {
                            subscriptions.remove(key.slot, label.sid().as_str(), trie);
                        }
                        return Err(unsubscribable(&error));
                    }
                }
            }
            // Nothing can be refused any more. Of several wishes for the same the last one counts.
            for WantedSubscription { list, wish } in wanted {
                if subscriptions.asked_for(list).any(|known| known.label().wish() != *wish) {
                    subscriptions.change_wish(list, *wish);
                }
            }
            Ok(())
        });
    }

    /// Takes subscriptions from a session: all of them, or none.
    pub(super) fn remove(&mut self, asked: &Asked, id: &ClaimedId, lists: &[Box<str>]) {
        self.amend(asked, id, |broker, key| {
            let Self { sessions, trie, .. } = broker;
            let Some(session) = sessions.get_mut(key) else { return Ok(()) };
            let subscriptions = &mut session.subscriptions;
            let mut gone: Vec<Label> = Vec::new();
            for list in lists {
                if list.split(',').all(|item| item.trim().is_empty()) {
                    return Err(Problem::field("subject", "No subject is named."));
                }
                let labels = |list| subscriptions.asked_for(list).map(Subscription::label).collect();
                // As it was asked for, or one by one.
                let mut found: Vec<Label> = labels(list);
                if found.is_empty() {
                    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
                    let items: Vec<Vec<_>> = items.map(labels).collect();
                    if items.iter().all(|labels| !labels.is_empty()) {
                        found = items.concat();
                    }
                }
                if found.is_empty() {
                    let shown: String = list.chars().take(ECHO_CHARS_MAX).collect();
                    let detail = format!("The session has no subscription that was asked for as {shown}.");
                    return Err(Problem::field("subject", detail).status(404));
                }
                gone.extend(found);
            }
            for label in &gone {
                subscriptions.remove(key.slot, label.sid().as_str(), trie);
            }
            Ok(())
        });
    }

    /// Changes what a session of a modern door hears, and answers.
    fn amend(
        &mut self,
        asked: &Asked,
        id: &ClaimedId,
        change: impl FnOnce(&mut Self, SessionKey) -> Result<(), Problem>,
    ) {
        let key = match self.amended(id) {
            Ok(key) => key,
            Err(problem) => return self.answer_problem(asked.token, problem),
        };
        self.recognize(asked, key);
        self.renew_lease(asked.now, key);
        self.schedule(key);
        let was_at = self.presence_before(key);
        let outcome = change(self, key);
        self.note_presence(key, &was_at);
        match outcome {
            Ok(()) => self.answer(asked, Answer::Done),
            Err(problem) => self.answer_problem(asked.token, problem),
        }
    }

    /// The session of a modern door that somebody claims to change.
    fn amended(&mut self, id: &ClaimedId) -> Result<SessionKey, Problem> {
        match self.claimed(id).and_then(|key| self.sessions.get(key).map(|session| (key, session))) {
            Some((key, session)) if session.format.is_modern() => Ok(key),
            Some(_) => {
                let detail =
                    "This session is one of the Pushlet protocol: p_event=subscribe and unsubscribe change it.";
                Err(Problem::field("session", detail))
            }
            None => Err(self.no_session()),
        }
    }

    /// Why a session that is claimed is not there.
    pub(super) fn no_session(&mut self) -> Problem {
        if self.shutting_down {
            return Problem::new(503, EndReason::Shutdown.text()).retry_after(RETRY_AFTER_S);
        }
        self.counters.ids_unknown += 1;
        let detail = "There is no such session: it has ended, or there never was one. Begin a new one with subject.";
        Problem::field("session", detail).status(404)
    }

    /// Continues a long poll (P-15): answers with what is queued, or waits for it.
    pub(super) fn poll_next(&mut self, asked: &Asked, id: &ClaimedId, wait_ms: Option<u32>) {
        let key = match self.polling(id) {
            Ok(key) => key,
            Err(problem) => return self.answer_problem(asked.token, problem),
        };
        self.recognize(asked, key);
        self.supersede(key);
        let Some(session) = self.sessions.get_mut(key) else { return };
        let (id, queued) = (session.id.to_string(), session.outbox.take_all());
        let wait_ms = wait_ms.map_or(self.settings.pull_wait_ms, |ms| u64::from(ms).min(self.settings.pull_wait_ms));
        let mut lead = Vec::with_capacity(64);
        v1::poll_prologue(&id, &mut lead);
        if queued.is_empty() && wait_ms > 0 {
            self.open_wait(asked, key, Framing::Object, &lead, wait_ms);
        } else {
            self.answer_data(asked, key, queued, true, lead);
        }
        self.renew_lease(asked.now, key);
        self.schedule(key);
    }

    /// The session that a long poll claims to go on with.
    fn polling(&mut self, id: &ClaimedId) -> Result<SessionKey, Problem> {
        match self.claimed(id).and_then(|key| self.sessions.get(key).map(|session| (key, session))) {
            Some((key, session)) if session.framing() == Framing::Object => Ok(key),
            Some(_) => {
                let detail = "This session gets its events elsewhere: only one that began at /v1/poll goes on there.";
                Err(Problem::field("session", detail))
            }
            None => Err(self.no_session()),
        }
    }
}

/// Why a subscription is refused, as a problem.
fn unsubscribable(error: &SubscribeError) -> Problem {
    let problem = Problem::field("subject", format!("Nobody can listen to this: {error}."));
    match error {
        SubscribeError::TooMany => problem.limit(SUBSCRIPTIONS_MAX),
        SubscribeError::TooManyWide => problem.limit(WIDE_PATTERNS_MAX),
        SubscribeError::Pattern(PatternError::TooManyStars { .. }) => problem.limit(PATTERN_STARS_MAX),
        SubscribeError::Subject(SubjectError::TooLong { .. })
        | SubscribeError::Pattern(PatternError::Subject(SubjectError::TooLong { .. })) => {
            problem.limit(SUBJECT_BYTES_MAX)
        }
        _ => problem,
    }
}
