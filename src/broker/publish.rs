//! Publishing: admit, sequence, deliver (invariant A8; rules P-19 to P-25).

use std::rc::Rc;
use std::sync::Arc;

use super::{Asked, Broker, Settings};
use crate::metrics::Counters;
use crate::protocol::{Address, EndReason, Event, Fields, Framing, Mode, Origin, Overflow, Payload, SessionId};
use crate::session::{Channel, Frame, Label, Pushed, Session, SessionKey};
use crate::time::Now;
use crate::topic::Subject;
use crate::wire::pushlet;

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
        self.deliver(asked.now, &event, to);
        self.ack_in(asked, framing, "publish-ack", &[]);
        true
    }

    /// Publishes an event of the server's own program, or of a source: there is no session behind it.
    pub fn handle_event(&mut self, now: Now, event: &Arc<Event>) {
        self.counters.published += 1;
        self.deliver(now, event, None);
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

    /// The third step: into the outbox of everyone whom it concerns on this core.
    fn deliver(&mut self, now: Now, event: &Event, to: Option<&str>) {
        let mut full = Vec::new();
        let mut encoding = Encoding::new(event, &self.settings);
        match to {
            Some(to) => self.unicast(to, &mut encoding, &mut full),
            None => self.multicast(event, &mut encoding, &mut full),
        }
        self.counters.names_dropped += encoding.names_dropped;
        for key in full {
            self.end(now, key, EndReason::QueueFull);
        }
    }

    /// P-19: one copy for each session with a matching subscription, the longest first. P-24: the publisher's own session is one like any
    /// other.
    fn multicast(&mut self, event: &Event, encoding: &mut Encoding<'_>, full: &mut Vec<SessionKey>) {
        self.visit += 1;
        let Self { trie, sessions, settings, dirty, counters, visit, pressed, .. } = self;
        trie.for_each_match(event.subject.as_bytes(), |interest| {
            let Some((key, session)) = sessions.in_slot_mut(interest.session) else { return };
            if session.visited == *visit || !session.is_listening() {
                return;
            }
            session.visited = *visit;
            let label = session.subscriptions.at(interest.place).map(|subscription| Rc::clone(subscription.label()));
            if queue(session, label, encoding, settings, counters) {
                Self::mark_dirty(session, key, dirty);
                *pressed |= session.dirty && session.outbox.is_half_full(settings.bounds);
            } else {
                full.push(key);
            }
        });
    }

    /// P-23: to one session, by its address or, for old programs, by its id.
    fn unicast(&mut self, to: &str, encoding: &mut Encoding<'_>, full: &mut Vec<SessionKey>) {
        let by_address = Address::parse(to).and_then(|address| self.sessions.by_address(address));
        let key = by_address.or_else(|| SessionId::parse(to).and_then(|id| self.sessions.by_id(id)));
        let target = key.and_then(|key| Some((key, self.sessions.get_mut(key)?)));
        let Some((key, session)) = target.filter(|(_, session)| session.is_listening()) else {
            self.counters.unicast_dropped += 1;
            return;
        };
        if queue(session, None, encoding, &self.settings, &mut self.counters) {
            Self::mark_dirty(session, key, &mut self.dirty);
            self.pressed |= session.dirty && session.outbox.is_half_full(self.settings.bounds);
        } else {
            full.push(key);
        }
    }
}

/// P-30: puts the event into the session's outbox. `false` if the session is to be ended for it.
fn queue(
    session: &mut Session,
    label: Option<Rc<Label>>,
    encoding: &mut Encoding<'_>,
    settings: &Settings,
    counters: &mut Counters,
) -> bool {
    let frame = encoding.frame_for(session);
    match session.outbox.push(frame, label, settings.bounds, policy(session, settings)) {
        Pushed::Queued { dropped } => {
            counters.delivered += 1;
            counters.lost += dropped;
            true
        }
        Pushed::Refused => {
            counters.lost += 1;
            true
        }
        Pushed::Full => false,
    }
}

/// P-30: the configured policy, or the default of the session's mode. A session that is not connected cannot be told of an end, and P-31
/// keeps it, so it is never disconnected.
fn policy(session: &Session, settings: &Settings) -> Overflow {
    let by_mode = if session.mode == Some(Mode::Stream) { Overflow::Disconnect } else { Overflow::DropOldest };
    match settings.overflow.unwrap_or(by_mode) {
        Overflow::Disconnect if matches!(session.channel, Channel::Away { .. }) => Overflow::DropOldest,
        policy => policy,
    }
}

/// One event on its way to many sessions: encoded at most once for each framing (invariant A9), and once more for its publisher, whose copy
/// tells its own secret id (rule P-22).
struct Encoding<'a> {
    event: &'a Event,
    fields: Fields,
    expose: bool,
    frames: [Option<Rc<Frame>>; Framing::COUNT],
    names_dropped: u64,
}

impl<'a> Encoding<'a> {
    fn new(event: &'a Event, settings: &Settings) -> Self {
        let mut fields = event.payload.to_fields();
        // P-21: p_time is the server's unless the publisher sent one.
        fields.add_first("p_time", itoa::Buffer::new().format(event.accepted_at));
        Self { event, fields, expose: settings.expose_session_ids, frames: Default::default(), names_dropped: 0 }
    }

    fn frame_for(&mut self, session: &Session) -> Rc<Frame> {
        let framing = session.framing();
        match self.event.origin.publisher {
            Some((id, _)) if id == session.id => {
                let id = id.to_string();
                Rc::new(self.encode(framing, &[("p_from", &id), ("p_id", &id)]))
            }
            publisher => {
                if let Some(frame) = &self.frames[framing as usize] {
                    return Rc::clone(frame);
                }
                let frame = Rc::new(match publisher {
                    None => self.encode(framing, &[]),
                    Some((id, _)) if self.expose => {
                        let id = id.to_string();
                        self.encode(framing, &[("p_from", &id), ("p_id", &id)])
                    }
                    Some((_, address)) => self.encode(framing, &[("p_from", &address.to_string())]),
                });
                self.frames[framing as usize] = Some(Rc::clone(&frame));
                frame
            }
        }
    }

    fn encode(&mut self, framing: Framing, from: &[(&str, &str)]) -> Frame {
        let mut bytes = Vec::with_capacity(256);
        let server = [("p_event", "data"), ("p_subject", self.event.subject.as_str())];
        let fields = server.into_iter().chain(from.iter().copied()).chain(self.fields.iter());
        let info = pushlet::shared_part(framing, fields, &mut bytes);
        self.names_dropped += u64::from(info.dropped);
        Frame::new(bytes, info.fields, Some(self.event.subject.clone()))
    }
}
