//! Publishing without a session: a request of one event or of many, carried out event by event.
//!
//! Each event is a publish like any other: it waits for room on all cores, it is all or nothing, and what is refused reached nobody. So a
//! request may take several turns; [`Batch`] is what is left of it, and what became of the rest.

use std::sync::Arc;
use std::vec::IntoIter;

use super::delivery::unicast_shard;
use super::idempotency::Claim;
use super::publish::OWN_SUBJECTS;
use super::{Answer, Asked, Broker, Output};
use crate::auth::Action;
use crate::limits::{POST_EVENTS_PER_STEP_MAX, RETRY_AFTER_S};
use crate::protocol::{
    Audience, EndReason, Event, IdempotencyKey, Identity, Item, ItemOutcome, Origin, Post, Posted, Problem,
    Publication, ReplyToken, SessionId,
};
use crate::time::Now;
use crate::topic::Subject;

/// A publish request under way.
#[derive(Debug)]
pub struct Batch {
    token: ReplyToken,
    identity: Identity,
    origin: Origin,
    key: Option<IdempotencyKey>,
    list: bool,
    items: IntoIter<Item>,
    /// The publication whose subjects are being gone through.
    current: Option<(Publication, IntoIter<Subject>)>,
    outcomes: Vec<ItemOutcome>,
    /// How many events it may still publish before it is somebody else's turn, whatever interrupts it.
    share: u32,
    /// How many events access rules have refused.
    denied: u64,
}

impl Batch {
    /// Whether it may publish another event before others have their turn.
    #[must_use]
    pub const fn has_share(&self) -> bool {
        self.share > 0
    }

    /// Others have had their turn.
    pub const fn renew_share(&mut self) {
        self.share = POST_EVENTS_PER_STEP_MAX;
    }

    /// Whether nothing is left to publish.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.current.is_none() && self.items.as_slice().is_empty()
    }

    /// Bytes of the next event, at most.
    #[must_use]
    pub fn next_bytes(&self) -> usize {
        match &self.current {
            Some((publication, subjects)) => {
                publication.bytes() + subjects.as_slice().first().map_or(0, |subject| subject.as_bytes().len())
            }
            // Items that are none are passed by in one go with the event behind them.
            None => self.items.as_slice().iter().find_map(|item| item.as_ref().ok()).map_or(0, Publication::bytes),
        }
    }

    /// The subject of the next event if that is for its subscribers, and `None` as well where it is not known without going on.
    #[must_use]
    pub fn next_subject(&self) -> Option<&str> {
        let (publication, subjects) = match &self.current {
            Some((publication, subjects)) => (publication, subjects.as_slice()),
            None => {
                let publication = self.items.as_slice().first()?.as_ref().ok()?;
                (publication, publication.subjects.as_slice())
            }
        };
        subjects.first().filter(|_| publication.to.is_none()).map(Subject::as_str)
    }

    /// Refuses everything that is left, for one reason.
    pub fn refuse_rest(&mut self, problem: &Problem) {
        if let Some((_, subjects)) = self.current.take()
            && let Some(outcome) = self.outcomes.last_mut()
        {
            outcome.refused += u32::try_from(subjects.len()).unwrap_or(u32::MAX);
            outcome.problem.get_or_insert_with(|| problem.clone());
        }
        for item in self.items.by_ref() {
            let problem = item.err().unwrap_or_else(|| problem.clone());
            self.outcomes.push(ItemOutcome { accepted: 0, refused: 1, problem: Some(problem) });
        }
    }

    /// The next event to publish. Items that are none are passed by; `None` if nothing is left.
    fn next(&mut self) -> Option<(Publication, Subject)> {
        loop {
            if let Some((publication, mut subjects)) = self.current.take()
                && let Some(subject) = subjects.next()
            {
                let rest = publication.clone();
                if !subjects.as_slice().is_empty() {
                    self.current = Some((publication, subjects));
                }
                return Some((rest, subject));
            }
            match self.items.next()? {
                Ok(mut publication) => {
                    let subjects = std::mem::take(&mut publication.subjects).into_iter();
                    self.outcomes.push(ItemOutcome::default());
                    self.current = Some((publication, subjects));
                }
                Err(problem) => {
                    self.outcomes.push(ItemOutcome { accepted: 0, refused: 1, problem: Some(problem) });
                }
            }
        }
    }

    fn note(&mut self, published: Result<(), Problem>) {
        let Some(outcome) = self.outcomes.last_mut() else { return };
        match published {
            Ok(()) => outcome.accepted += 1,
            Err(problem) => {
                outcome.refused += 1;
                self.denied += u64::from(matches!(problem.status, 401 | 403));
                outcome.problem.get_or_insert(problem);
            }
        }
    }
}

impl Broker {
    /// Begins a publish request. `None` if its key has been seen before: then it is answered.
    pub(super) fn begin_post(&mut self, asked: &Asked, post: Post) -> Option<Batch> {
        let Post { items, list, key, publisher } = post;
        debug_assert!(key.is_none() || publisher.is_none(), "two cores would have to decide");
        if self.shutting_down {
            // P-32: there is nobody left to hear of it.
            let problem = Problem::new(503, EndReason::Shutdown.text()).retry_after(RETRY_AFTER_S);
            self.answer_problem(asked.token, problem);
            return None;
        }
        if let Some(key) = &key {
            let refusal = match self.posted.claim(asked.now.instant, key) {
                Claim::Fresh => None,
                Claim::Done(posted) => {
                    self.answer(asked, Answer::Posted(posted));
                    return None;
                }
                Claim::UnderWay => {
                    let detail = "A request with this key is being carried out at the moment.";
                    Some(Problem::field("Idempotency-Key", detail).status(409).retry_after(1))
                }
                Claim::Another => {
                    let detail = "This key was used for another request: each request has a key of its own.";
                    Some(Problem::field("Idempotency-Key", detail).status(422))
                }
                Claim::Full => {
                    let detail = "The server remembers as many keys as it may. Try again later, or without a key.";
                    let problem = Problem::field("Idempotency-Key", detail).status(429);
                    Some(problem.limit(crate::limits::IDEMPOTENCY_KEYS_MAX).retry_after(60))
                }
            };
            if let Some(problem) = refusal {
                self.answer_problem(asked.token, problem);
                return None;
            }
        }
        let (origin, identity) = match self.publisher(asked, publisher) {
            Ok(found) => found,
            Err(problem) => {
                self.answer_problem(asked.token, problem);
                return None;
            }
        };
        let (outcomes, token) = (Vec::with_capacity(items.len()), asked.token);
        Some(Batch {
            token,
            identity,
            origin,
            key,
            list,
            items: items.into_iter(),
            current: None,
            outcomes,
            share: POST_EVENTS_PER_STEP_MAX,
            denied: 0,
        })
    }

    /// Where the events of a request come from, and whose key it has: of the session that publishes it, if it presents none itself.
    fn publisher(&mut self, asked: &Asked, id: Option<SessionId>) -> Result<(Origin, Identity), Problem> {
        let identity = asked.agent.identity;
        let Some(id) = id else { return Ok((Origin::default(), identity)) };
        let session = self.sessions.by_id(id).and_then(|key| self.sessions.get(key));
        let Some(session) = session else { return Err(self.no_session()) };
        let identity = if identity.is_known() { identity } else { session.identity };
        Ok((Origin { publisher: Some((id, session.address)), ..Origin::default() }, identity))
    }

    /// Publishes the next event of a request. Not while [`Broker::is_delivering`], unless [`Broker::may_join`].
    pub(super) fn post_next(&mut self, now: Now, batch: &mut Batch) {
        batch.share = batch.share.saturating_sub(1);
        let Some((publication, subject)) = batch.next() else { return };
        let published = self.admit_post(now, (batch.identity, batch.origin), publication, subject);
        let published = published.map(|(event, audience)| {
            self.counters.published += 1;
            self.send(now, &event, &audience);
        });
        batch.note(published);
    }

    /// Answers a request of which nothing is left.
    pub(super) fn end_post(&mut self, batch: Batch) {
        debug_assert!(batch.is_done(), "a request was answered before its end");
        let Batch { token, key, list, outcomes, denied, .. } = batch;
        let posted = Posted { outcomes, list, replayed: false };
        self.counters.items_refused += posted.refused();
        self.counters.denied += denied;
        if let Some(key) = &key {
            self.posted.settle(key, &posted);
        }
        self.outputs.push_back(Output::Answer { token, answer: Answer::Posted(Arc::new(posted)) });
    }

    /// The same for a caller that has no other cores to think of.
    pub(super) fn post(&mut self, asked: &Asked, post: Post) {
        let Some(mut batch) = self.begin_post(asked, post) else { return };
        while !batch.is_done() {
            self.post_next(asked.now, &mut batch);
            self.finish_delivery(asked.now);
        }
        self.end_post(batch);
    }

    /// May it be, and for whom is it?
    fn admit_post(
        &self,
        now: Now,
        (identity, origin): (Identity, Origin),
        publication: Publication,
        subject: Subject,
    ) -> Result<(Arc<Event>, Audience), Problem> {
        if subject.as_str().starts_with(OWN_SUBJECTS) {
            let detail = format!("Subjects that begin with {OWN_SUBJECTS} are the server's own.");
            return Err(Problem::field("subject", detail).status(403));
        }
        self.settings.access.may(identity, Action::Publish, subject.as_str()).map_err(|denied| {
            let field = if denied.status == 401 { "Authorization" } else { "subject" };
            Problem::field(field, format!("{denied}.")).status(denied.status)
        })?;
        let Publication { name, payload, to, .. } = publication;
        if to.as_deref().is_some_and(|to| unicast_shard(to).is_none()) {
            let detail = "to is the address of a session, as its own answer and the events that it publishes tell it.";
            return Err(Problem::field("to", detail));
        }
        let accepted_at = now.unix_s;
        let event = Event { subject, name, payload, origin, position: None, accepted_at };
        Ok((Arc::new(event), to.map_or(Audience::Subscribers, Audience::One)))
    }
}
