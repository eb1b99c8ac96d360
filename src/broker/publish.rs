//! Publishing: admit, sequence, relay to the other cores, deliver on this one (invariant A8; rules P-19 to P-25).

use std::sync::Arc;

use super::delivery::unicast_shard;
use super::{Asked, Broker, Output};
use crate::protocol::{Event, Fields, Origin, Payload};
use crate::session::SessionKey;
use crate::time::Now;
use crate::topic::Subject;

/// P-21: names that are the server's; a publisher's fields of these names are left out. (`p_subject` is told from the event itself.)
const RESERVED: [&str; 8] = ["p_event", "p_id", "p_sid", "p_seq", "p_from", "p_label", "p_lost", "p_subject"];

impl Broker {
    pub(super) fn publish(
        &mut self,
        asked: &Asked,
        key: SessionKey,
        subject: Option<&str>,
        to: Option<&str>,
        fields: Fields,
    ) -> bool {
        let event = match self.admit(asked, key, subject, fields) {
            Ok(event) => Self::sequence(event),
            Err(reason) => return self.refuse(asked, key, &reason),
        };
        self.counters.published += 1;
        // P-30: a publisher with a full queue of its own may be gone behind this step, and still it is answered in its format.
        let framing = self.answer_framing(key);
        match to {
            None => self.send_to_all(asked.now, &event),
            Some(to) => self.send_to_one(asked.now, &event, to),
        }
        self.ack_in(asked, framing, "publish-ack", &[]);
        true
    }

    /// Publishes an event of the server's own program, or of a source: there is no session behind it. Not while
    /// [`Broker::is_delivering`].
    pub fn handle_event(&mut self, now: Now, event: &Arc<Event>) {
        self.counters.published += 1;
        self.send_to_all(now, event);
    }

    /// Delivers an event that another core has accepted, and counted as published, to the sessions of this one. Not while
    /// [`Broker::is_delivering`].
    pub fn handle_relayed(&mut self, now: Now, event: &Arc<Event>) {
        self.multicast(now, event);
    }

    /// P-23: the same for an event that is for one session of this core. Not while [`Broker::is_delivering`].
    pub fn handle_unicast(&mut self, now: Now, event: &Arc<Event>, to: &str) {
        self.unicast(now, event, to);
    }

    /// The first step: may it be, and what is it?
    fn admit(
        &self,
        asked: &Asked,
        key: SessionKey,
        subject: Option<&str>,
        mut fields: Fields,
    ) -> Result<Event, String> {
        let subject = Subject::new(subject.ok_or("no subject provided")?).map_err(|error| error.to_string())?;
        let session = self.sessions.get(key).ok_or("no such session")?;
        for name in RESERVED {
            fields.take(name);
        }
        Ok(Event {
            subject,
            payload: Payload::Fields(fields),
            origin: Origin { publisher: Some((session.id, session.address)), node: None },
            position: None,
            accepted_at: asked.now.unix_s,
        })
    }

    /// The second step: its place in its stream. Until streams exist, the order in which this core accepts is the order.
    fn sequence(event: Event) -> Arc<Event> {
        Arc::new(event)
    }

    /// The third and the fourth step, for everybody whom it concerns.
    fn send_to_all(&mut self, now: Now, event: &Arc<Event>) {
        if self.settings.shards.cores() > 1 {
            self.outputs.push_back(Output::Relay { event: Arc::clone(event), to: None });
        }
        self.multicast(now, event);
    }

    /// P-23: the same for one session. What it is told there, its own core says; a name that no core can have is nobody's.
    fn send_to_one(&mut self, now: Now, event: &Arc<Event>, to: &str) {
        match unicast_shard(to).map(|shard| self.settings.shards.core_of(shard)) {
            None => self.counters.unicast_dropped += 1,
            Some(core) if core == self.settings.core => self.unicast(now, event, to),
            Some(_) => self.outputs.push_back(Output::Relay { event: Arc::clone(event), to: Some(Box::from(to)) }),
        }
    }
}
