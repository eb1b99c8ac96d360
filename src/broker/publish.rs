//! Publishing: admit, sequence, relay to the other cores, deliver on this one (invariant A8; rules P-19 to P-25).
//!
//! A client's publish comes in by [`Broker::handle_request`], an event of the server's own program by [`Broker::handle_event`]. From the
//! third step on there is no difference.

use std::sync::Arc;

use super::delivery::unicast_shard;
use super::{Asked, Broker, Output};
use crate::auth::Action;
use crate::protocol::{Audience, Event, Fields, Origin, Payload, is_reserved};
use crate::session::SessionKey;
use crate::time::Now;
use crate::topic::Subject;

/// What the server's own subjects begin with. Everybody may subscribe to them, no client may publish to them.
pub(super) const OWN_SUBJECTS: char = '$';

impl Broker {
    pub(super) fn publish(
        &mut self,
        asked: &Asked,
        key: SessionKey,
        subject: Option<&str>,
        to: Option<&str>,
        fields: Fields,
    ) -> bool {
        let event = match self.admit(key, subject, fields, asked.now) {
            Ok(event) => Self::sequence(event),
            Err(reason) => return self.refuse(asked, key, &reason),
        };
        self.counters.published += 1;
        // P-30: a publisher with a full queue of its own may be gone behind this step, and still it is answered in its format.
        let framing = self.answer_framing(key);
        self.send(asked.now, &event, &to.map_or(Audience::Subscribers, |to| Audience::One(Box::from(to))));
        self.ack_in(asked, framing, "publish-ack", &[]);
        true
    }

    /// Publishes an event of the server's own program, or of a source: there is no session behind it. Not while
    /// [`Broker::is_delivering`], unless it is for subscribers and [`Broker::may_join`].
    pub fn handle_event(&mut self, now: Now, event: &Arc<Event>, audience: &Audience) {
        self.counters.published += 1;
        self.send(now, event, audience);
    }

    /// Delivers an event that another core has accepted, and counted as published, to the sessions of this one. Not while
    /// [`Broker::is_delivering`], unless [`Broker::may_join`].
    pub fn handle_relayed(&mut self, now: Now, event: &Arc<Event>) {
        self.multicast(now, event);
    }

    /// P-23: the same for an event that is for one session of this core. Not while [`Broker::is_delivering`].
    pub fn handle_unicast(&mut self, now: Now, event: &Arc<Event>, to: &str) {
        self.unicast(now, event, to);
    }

    /// The same for an event that is for everyone. Not while [`Broker::is_delivering`].
    pub fn handle_broadcast(&mut self, now: Now, event: &Arc<Event>) {
        self.broadcast(now, event);
    }

    /// The first step: may it be, and what is it?
    fn admit(&mut self, key: SessionKey, subject: Option<&str>, mut fields: Fields, now: Now) -> Result<Event, String> {
        let subject = Subject::new(subject.ok_or("no subject provided")?).map_err(|error| error.to_string())?;
        if subject.as_str().starts_with(OWN_SUBJECTS) {
            return Err(format!("subjects that begin with {OWN_SUBJECTS} are the server's own"));
        }
        let session = self.sessions.get(key).ok_or("no such session")?;
        let identity = session.identity;
        let publisher = Some((session.id, session.address));
        if let Err(denied) = self.settings.access.may(identity, Action::Publish, subject.as_str()) {
            self.counters.denied += 1;
            return Err(denied.to_string());
        }
        fields.retain(|name| !is_reserved(name));
        Ok(Event {
            subject,
            name: None,
            payload: Payload::Fields(fields),
            origin: Origin { publisher, node: None },
            position: None,
            accepted_at: now.unix_s,
        })
    }

    /// The second step: its place in its stream. Until streams exist, the order in which this core accepts is the order.
    fn sequence(event: Event) -> Arc<Event> {
        Arc::new(event)
    }

    /// The third and the fourth step, for everybody whom it concerns.
    pub(super) fn send(&mut self, now: Now, event: &Arc<Event>, audience: &Audience) {
        match audience {
            Audience::Subscribers => {
                self.relay_to_all(event, audience);
                self.multicast(now, event);
            }
            Audience::Everyone => {
                self.relay_to_all(event, audience);
                self.broadcast(now, event);
            }
            Audience::One(to) => self.send_to_one(now, event, to),
        }
    }

    fn relay_to_all(&mut self, event: &Arc<Event>, audience: &Audience) {
        if self.settings.shards.cores() > 1 {
            self.outputs.push_back(Output::Relay { event: Arc::clone(event), audience: audience.clone() });
        }
    }

    /// P-23: for one session. What it is told there, its own core says; a name that no core can have is nobody's.
    fn send_to_one(&mut self, now: Now, event: &Arc<Event>, to: &str) {
        match unicast_shard(to).map(|shard| self.settings.shards.core_of(shard)) {
            None => self.counters.unicast_dropped += 1,
            Some(core) if core == self.settings.core => self.unicast(now, event, to),
            Some(_) => {
                let audience = Audience::One(Box::from(to));
                self.outputs.push_back(Output::Relay { event: Arc::clone(event), audience });
            }
        }
    }
}
