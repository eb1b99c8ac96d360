//! What one session wants to hear, and its entries in the trie.

use std::fmt;
use std::rc::Rc;

use crate::limits::{LABEL_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::topic::{EntryId, SubjectError, Trie, prefixes};

/// What the trie files under a prefix: which session, and which of its subscriptions tells `p_sid` and `p_label`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The session's slot.
    pub session: u32,
    /// The subscription's place in the session.
    pub place: u32,
}

/// The personal attributes that a subscription gives to its events (rule P-20). Shared with the events in the outbox, so that one that was
/// matched before the subscription went still tells what it matched.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    sid: Sid,
    text: Option<Box<str>>,
}

impl Label {
    /// The subscription's id, unique within its session (rule P-34).
    #[must_use]
    pub fn sid(&self) -> &str {
        self.sid.as_str()
    }

    /// The subscriber's own `p_label`.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

/// The text of a subscription's id: `s` and its number. In place, because every session has one and an allocation is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sid {
    len: u8,
    text: [u8; 11],
}

impl Sid {
    fn new(number: u32) -> Self {
        let mut sid = Self { len: 1, text: [b's'; 11] };
        for digit in itoa::Buffer::new().format(number).bytes() {
            sid.text[usize::from(sid.len)] = digit;
            sid.len += 1;
        }
        sid
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Prefix {
    start: u32,
    end: u32,
    /// The trie's entry, if this subscription is the session's oldest with this prefix.
    entry: Option<EntryId>,
}

/// One subscription: a comma list under one id.
#[derive(Debug)]
pub struct Subscription {
    number: u32,
    /// The last delivery that had begun when it was made: it takes part in later ones only.
    since: u64,
    label: Rc<Label>,
    list: Box<str>,
    prefixes: Box<[Prefix]>,
}

impl Subscription {
    /// What its events carry.
    #[must_use]
    pub const fn label(&self) -> &Rc<Label> {
        &self.label
    }

    /// The comma list, as it came.
    #[must_use]
    pub fn list(&self) -> &str {
        &self.list
    }

    fn prefix_text(&self, prefix: &Prefix) -> &str {
        &self.list[prefix.start as usize..prefix.end as usize]
    }
}

/// Why a subscription is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// Its subjects are no subjects.
    Subject(SubjectError),
    /// The label is longer than [`LABEL_BYTES_MAX`] bytes.
    LabelTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The session has [`SUBSCRIPTIONS_MAX`] subscriptions, items of comma lists counted; or it has made 2^32 of them in its life.
    TooMany,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(error) => error.fmt(f),
            Self::LabelTooLong { bytes } => write!(f, "label of {bytes} bytes, at most {LABEL_BYTES_MAX} are allowed"),
            Self::TooMany => write!(f, "too many subscriptions, at most {SUBSCRIPTIONS_MAX} are allowed in a session"),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// The subscriptions of one session.
///
/// Invariant: for every prefix that occurs in them the trie has exactly one entry, and it belongs to the oldest subscription with that
/// prefix (rule P-19: ties go to the oldest).
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// By place; a place stays while its subscription lives, because the trie names it.
    places: Vec<Option<Subscription>>,
    /// Number of the last subscription made.
    last: u32,
}

impl Subscriptions {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new(), last: 0 }
    }

    fn all(&self) -> impl Iterator<Item = &Subscription> {
        self.places.iter().flatten()
    }

    /// How many prefixes there are, items of comma lists counted.
    #[must_use]
    pub fn prefix_count(&self) -> usize {
        self.all().map(|subscription| subscription.prefixes.len()).sum()
    }

    /// The subscription at a place that the trie named.
    #[must_use]
    pub fn at(&self, place: u32) -> Option<&Subscription> {
        self.places.get(place as usize)?.as_ref()
    }

    /// P-19: what an event of this subject carries that delivery number `delivery` brings, where the trie named `place` when that began.
    /// `None` if the session has no subscription to it any more that it had then.
    ///
    /// Requests are served while a large delivery is under way. So the place may be empty by now, or belong to another subscription, which
    /// is of this session or of a later one in its slot; and what the trie filed under the place may have gone on to an heir.
    #[must_use]
    pub fn matched(&self, place: u32, subject: &str, delivery: u64) -> Option<&Rc<Label>> {
        match self.at(place) {
            Some(known) if known.since < delivery => Some(&known.label),
            _ => self.longest(subject, delivery).map(Subscription::label),
        }
    }

    /// P-19: the subscription of before `delivery` with the longest prefix of `subject`; of several the oldest.
    fn longest(&self, subject: &str, delivery: u64) -> Option<&Subscription> {
        let matching = self.all().filter(|known| known.since < delivery).filter_map(|known| {
            let items = known.prefixes.iter().map(|prefix| known.prefix_text(prefix));
            let longest = items.filter(|item| subject.as_bytes().starts_with(item.as_bytes())).map(str::len).max()?;
            Some((known, longest))
        });
        matching.max_by_key(|(known, longest)| (*longest, std::cmp::Reverse(known.number))).map(|(known, _)| known)
    }

    /// P-19: adds a subscription to every item of `list` for the session in slot `session`, and returns what its events will carry. It takes
    /// part in deliveries with a number above `since`.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; nothing has changed then.
    pub fn add(
        &mut self,
        session: u32,
        list: &str,
        label: Option<&str>,
        since: u64,
        trie: &mut Trie<Interest>,
    ) -> Result<Rc<Label>, SubscribeError> {
        let items = prefixes(list).map_err(SubscribeError::Subject)?;
        if let Some(bytes) = label.map(str::len).filter(|bytes| *bytes > LABEL_BYTES_MAX) {
            return Err(SubscribeError::LabelTooLong { bytes });
        }
        if self.prefix_count() + items.len() > SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany);
        }
        // An id is never used twice: who unsubscribes late must not hit another subscription.
        let number = self.last.checked_add(1).ok_or(SubscribeError::TooMany)?;
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        let interest = Interest { session, place: place as u32 };
        let prefixes = items
            .into_iter()
            .map(|at| {
                let item = &list[at.clone()];
                let known =
                    self.all().any(|other| other.prefixes.iter().any(|prefix| other.prefix_text(prefix) == item));
                let entry = (!known).then(|| trie.insert(item.as_bytes(), interest));
                Prefix { start: at.start as u32, end: at.end as u32, entry }
            })
            .collect();
        self.last = number;
        let label = Rc::new(Label { sid: Sid::new(number), text: label.map(Box::from) });
        let subscription = Subscription { number, since, label: Rc::clone(&label), list: Box::from(list), prefixes };
        if place == self.places.len() {
            if place == 0 {
                // Most sessions have one subscription, or few.
                self.places.reserve_exact(1);
            }
            self.places.push(Some(subscription));
        } else {
            self.places[place] = Some(subscription);
        }
        Ok(label)
    }

    /// What the events of a subscription with just this list and label carry, if there is one.
    #[must_use]
    pub fn same(&self, list: &str, label: Option<&str>) -> Option<Rc<Label>> {
        let same = |known: &&Subscription| *known.list == *list && known.label.text() == label;
        self.all().find(same).map(|known| Rc::clone(&known.label))
    }

    /// Removes the subscription called `sid` of the session in slot `session` and returns it.
    pub fn remove(&mut self, session: u32, sid: &str, trie: &mut Trie<Interest>) -> Option<Subscription> {
        let place = self.places.iter().position(|slot| slot.as_ref().is_some_and(|known| known.label.sid() == sid))?;
        let gone = self.places[place].take()?;
        for prefix in &gone.prefixes {
            let Some(entry) = prefix.entry else { continue };
            match self.heir(gone.prefix_text(prefix)) {
                None => {
                    trie.remove(entry);
                }
                Some((place, heir)) => {
                    heir.entry = Some(entry);
                    trie.set(entry, Interest { session, place });
                }
            }
        }
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
        Some(gone)
    }

    /// The oldest subscription's prefix of this text.
    fn heir(&mut self, text: &str) -> Option<(u32, &mut Prefix)> {
        let (place, at) = (0_u32..)
            .zip(&self.places)
            .filter_map(|(place, slot)| {
                let subscription = slot.as_ref()?;
                let at = subscription.prefixes.iter().position(|prefix| subscription.prefix_text(prefix) == text)?;
                Some((subscription.number, place, at))
            })
            .min()
            .map(|(_, place, at)| (place, at))?;
        self.places[place as usize].as_mut().map(|subscription| (place, &mut subscription.prefixes[at]))
    }

    /// As if so many subscriptions had been made before.
    #[cfg(test)]
    pub(super) const fn skip_to(&mut self, last: u32) {
        self.last = last;
    }

    /// Removes all of them.
    pub fn clear(&mut self, trie: &mut Trie<Interest>) {
        for entry in self.places.drain(..).flatten().flat_map(|gone| gone.prefixes).filter_map(|prefix| prefix.entry) {
            trie.remove(entry);
        }
        self.places = Vec::new();
    }
}
