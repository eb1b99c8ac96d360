//! Who is there: counts of the sessions that subscribe to a subject, told to whoever listens below `$presence`.
//!
//! Each core notes the comings and goings of its own sessions and tells them at its tick to one core, the subject's, which counts for the whole
//! node and publishes. So a crowd that comes or goes at once is one event for each core, and the counts are in one order.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::Broker;
use crate::protocol::{Event, EventName, Origin, Payload, Shard};
use crate::session::{Session, SessionKey, Sessions};
use crate::time::Now;
use crate::topic::{Pattern, Subject, Syntax};

/// What stands before the subject that an event of presence is about.
const PRESENCE: &str = "$presence";

/// So many sessions more, or fewer, subscribe to a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceChange {
    /// The subject.
    pub subject: Box<str>,
    /// How many more; never 0.
    pub change: i64,
}

impl PresenceChange {
    /// The shard whose core counts.
    #[must_use]
    pub fn shard(&self) -> Shard {
        // FNV-1a: any hash will do that is the same on every core.
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Shard::new((self.subject.bytes().fold(0x811c_9dc5, mix) >> 8 & 0x3ff) as u16)
    }
}

/// The comings and goings that have not been told yet, and the counts of the subjects that are this core's.
#[derive(Debug, Default)]
pub(super) struct Presence {
    changes: BTreeMap<Box<str>, i64>,
    /// The last subject whose change was told: the next ones have their turn before it comes again.
    told: Box<str>,
    counts: BTreeMap<Box<str>, i64>,
}

impl Presence {
    fn note(&mut self, subject: &str, change: i64) {
        match self.changes.get_mut(subject) {
            Some(known) => *known += change,
            None => {
                self.changes.insert(Box::from(subject), change);
            }
        }
    }
}

/// The subjects that a session is present at: those that it subscribes to by name and that are told of, each once and in order.
fn present_at(session: &Session, told: &[Pattern]) -> Vec<Box<str>> {
    // P-25: who has never listened is not there yet.
    if told.is_empty() || !session.is_listening() {
        return Vec::new();
    }
    let named = session.subscriptions.wants().filter(|want| want.syntax == Syntax::Prefix || want.is_exact());
    let mut subjects: Vec<Box<str>> = named
        .filter(|want| told.iter().any(|pattern| pattern.matches(want.text)))
        .map(|want| Box::from(want.text))
        .collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

fn present(sessions: &Sessions, key: SessionKey, told: &[Pattern]) -> Vec<Box<str>> {
    sessions.get(key).map_or_else(Vec::new, |session| present_at(session, told))
}

impl Broker {
    /// Where the session is present, to be compared later by [`Broker::note_presence`].
    pub(super) fn presence_before(&self, key: SessionKey) -> Vec<Box<str>> {
        present(&self.sessions, key, &self.settings.presence)
    }

    /// Notes where the session has come to and where it has gone from since `before`.
    pub(super) fn note_presence(&mut self, key: SessionKey, before: &[Box<str>]) {
        if self.settings.presence.is_empty() && before.is_empty() {
            return;
        }
        let after = self.presence_before(key);
        for gone in before.iter().filter(|subject| after.binary_search(subject).is_err()) {
            self.presence.note(gone, -1);
        }
        for come in after.iter().filter(|subject| before.binary_search(subject).is_err()) {
            self.presence.note(come, 1);
        }
    }

    /// Other subjects are told of from now on: whoever is at one of them comes, whoever is at one that is told of no longer goes.
    pub(super) fn change_presence(&mut self, before: &Arc<[Pattern]>) {
        if **before == *self.settings.presence {
            return;
        }
        for key in self.sessions.keys() {
            let was = present(&self.sessions, key, before);
            self.note_presence(key, &was);
        }
    }

    /// What has changed since the last time, for the cores that count: no more than `max` subjects, the others wait for the next time.
    #[must_use]
    pub fn take_presence_changes(&mut self, max: usize) -> Vec<PresenceChange> {
        let Presence { changes, told, .. } = &mut self.presence;
        // Who has come and gone meanwhile is nobody's news.
        changes.retain(|_, change| *change != 0);
        let (behind, up_to) =
            ((Bound::Excluded(&**told), Bound::Unbounded), (Bound::Unbounded, Bound::Included(&**told)));
        let from_there = changes.range::<str, _>(behind).chain(changes.range::<str, _>(up_to));
        let names: Vec<Box<str>> = from_there.take(max).map(|(subject, _)| subject.clone()).collect();
        if let Some(last) = names.last() {
            told.clone_from(last);
        }
        let taken = names.into_iter().filter_map(|subject| {
            let change = changes.remove(&subject)?;
            Some(PresenceChange { subject, change })
        });
        taken.collect()
    }

    /// A change could not be told.
    pub fn put_presence_change_back(&mut self, told: &PresenceChange) {
        self.presence.note(&told.subject, told.change);
    }

    /// Counts for the whole node. Says what to publish; `None` if the subject's name leaves no room for it.
    pub fn count_presence(&mut self, now: Now, told: &PresenceChange) -> Option<Event> {
        let counts = &mut self.presence.counts;
        let count = counts.get(&told.subject).copied().unwrap_or(0) + told.change;
        debug_assert!(count >= 0, "more have gone than have come");
        if count > 0 {
            counts.insert(told.subject.clone(), count);
        } else {
            counts.remove(&told.subject);
        }
        let subject = Subject::new(&format!("{PRESENCE}{}", told.subject)).ok()?;
        let name = EventName::new(if told.change > 0 { "joined" } else { "left" }).ok();
        let text = serde_json::json!({ "subject": &*told.subject, "count": count.max(0), "change": told.change });
        let payload = Payload::Json(text.to_string().into());
        Some(Event { subject, name, payload, origin: Origin::default(), position: None, accepted_at: now.unix_s })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::time::Instant;

    /// However often the first names change, and although they cannot be told, the last ones have their turn.
    #[test]
    fn every_subject_has_its_turn() {
        let mut broker = Broker::new(Settings::default(), Now { instant: Instant::ZERO, unix_s: 1 }, 1);
        ["a", "b", "c", "d", "e"].into_iter().for_each(|subject| broker.presence.note(subject, 1));
        let mut heard = Vec::new();
        for _ in 0..5 {
            for told in broker.take_presence_changes(2) {
                if *told.subject < *"c" {
                    broker.put_presence_change_back(&told);
                } else {
                    heard.push(told.subject);
                }
            }
        }
        assert_eq!(heard, ["c", "d", "e"].map(Box::from));
        assert_eq!(broker.take_presence_changes(9).len(), 2, "the others still wait");
    }
}
