//! Whether anybody listens to a subject: what sources of events ask before they do any work (rule P-35).

use super::Broker;
use crate::limits::INTEREST_LOOKS_MAX;
use crate::session::Interest;
use crate::topic::Subject;

impl Broker {
    /// P-35: whether a session of this core would get an event of this subject, or of one that begins with it: it has a subscription that
    /// matches, by prefix, exactly or by a wildcard, it has listened (P-25), and it is still kept. It looks at no more than twice
    /// [`INTEREST_LOOKS_MAX`] subscriptions; if none of them is of such a session and there are more, the answer is yes.
    #[must_use]
    pub fn is_listened_to(&self, subject: &Subject) -> bool {
        let listens =
            |interest: Interest| self.sessions.in_slot(interest.session).is_some_and(|session| session.is_listening());
        let exactly = self.trie.any_match(subject.as_bytes(), INTEREST_LOOKS_MAX, listens);
        exactly.unwrap_or(true) || self.trie.any_below(subject.as_bytes(), INTEREST_LOOKS_MAX, listens).unwrap_or(true)
    }
}
