//! What one session wants to hear, and its entries in the trie.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use crate::limits::{LABEL_BYTES_MAX, NARROW_STARS_MAX, SUBSCRIPTIONS_MAX, WIDE_PATTERNS_MAX};
use crate::protocol::SubscriptionWish;
use crate::topic::{EntryId, PatternError, SubjectError, Syntax, Trie, Want, patterns, prefixes};

/// What the trie files under a prefix or a pattern: which session, and which of its subscriptions tells `p_sid` and `p_label`.
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
    wish: SubscriptionWish,
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

    /// P-30: what the subscriber asked for this subscription's part of its queue.
    #[must_use]
    pub const fn wish(&self) -> SubscriptionWish {
        self.wish
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

/// One item of a comma list.
#[derive(Debug)]
struct Item {
    start: u32,
    end: u32,
    /// The trie's entry, if this subscription is the session's oldest with this item.
    entry: Option<EntryId>,
}

/// One subscription: a comma list of prefixes or of patterns under one id.
#[derive(Debug)]
pub struct Subscription {
    number: u32,
    syntax: Syntax,
    /// Whether another item of the session, here or elsewhere, has had the same head as one of these. Then the trie cannot say which of
    /// the two a session was meant by.
    is_rivalled: bool,
    /// The last delivery that had begun when it was made: it takes part in later ones only.
    since: u64,
    label: Rc<Label>,
    list: Box<str>,
    items: Box<[Item]>,
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

    /// What its items mean.
    #[must_use]
    pub const fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Its items that no older subscription of the session has as well. Directly after it was made these are the ones that are new to the
    /// session; of one that was removed, the ones that the session has no more.
    pub fn own(&self) -> impl Iterator<Item = Want<'_>> {
        self.items.iter().filter(|item| item.entry.is_some()).map(|item| self.want(item))
    }

    fn want(&self, item: &Item) -> Want<'_> {
        Want { syntax: self.syntax, text: &self.list[item.start as usize..item.end as usize] }
    }

    fn wants(&self) -> impl Iterator<Item = Want<'_>> {
        self.items.iter().map(|item| self.want(item))
    }

    /// P-19: the longest head, in bytes, of its items that match.
    fn longest(&self, subject: &str) -> Option<usize> {
        self.wants().filter(|want| want.matches(subject)).map(|want| want.head().len()).max()
    }
}

/// Which subscription an event comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched<'a> {
    /// What the event carries. `None` if the session has no subscription to it.
    pub label: Option<&'a Rc<Label>>,
    /// How many items of comma lists were compared with the subject to find it: none, mostly.
    pub looked_at: usize,
}

/// Why a subscription is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// Its subjects are no subjects.
    Subject(SubjectError),
    /// Its patterns are no patterns.
    Pattern(PatternError),
    /// The label is longer than [`LABEL_BYTES_MAX`] bytes.
    LabelTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The session has [`SUBSCRIPTIONS_MAX`] subscriptions, items of comma lists counted; or it has made 2^32 of them in its life.
    TooMany,
    /// More than [`WIDE_PATTERNS_MAX`] of its patterns would have more than [`NARROW_STARS_MAX`] stars.
    TooManyWide,
}

/// Whether a pattern has so many stars that a session may have few of its kind.
fn is_wide(pattern: &str) -> bool {
    pattern.split('/').filter(|segment| *segment == "*").count() > NARROW_STARS_MAX
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(error) => error.fmt(f),
            Self::Pattern(error) => error.fmt(f),
            Self::LabelTooLong { bytes } => write!(f, "label of {bytes} bytes, at most {LABEL_BYTES_MAX} are allowed"),
            Self::TooManyWide => write!(
                f,
                "too many patterns with more than {NARROW_STARS_MAX} segments *, at most {WIDE_PATTERNS_MAX} are allowed in a session"
            ),
            Self::TooMany => write!(f, "too many subscriptions, at most {SUBSCRIPTIONS_MAX} are allowed in a session"),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// A subscription that is asked for.
struct Order<'a> {
    syntax: Syntax,
    list: &'a str,
    items: Vec<Range<usize>>,
    text: Option<&'a str>,
    wish: SubscriptionWish,
}

/// The subscriptions of one session.
///
/// They may be of both syntaxes. Invariant: for every prefix and every pattern that occurs in them the trie has exactly one entry, and it
/// belongs to the oldest subscription with that (rule P-19: ties go to the oldest). The same text is two things in the two syntaxes.
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

    /// How many prefixes and patterns there are, items of comma lists counted.
    #[must_use]
    pub fn prefix_count(&self) -> usize {
        self.all().map(|subscription| subscription.items.len()).sum()
    }

    /// What the session wants to hear, each thing once. A removal of all of them removes just these.
    pub fn wants(&self) -> impl Iterator<Item = Want<'_>> {
        self.all().flat_map(Subscription::own)
    }

    /// The subscription with this id.
    #[must_use]
    pub fn get(&self, sid: &str) -> Option<&Subscription> {
        self.all().find(|known| known.label.sid() == sid)
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
    ///
    /// Where the heads of two items are the same, a prefix and a pattern, or two patterns, the trie names any of them: the oldest is looked
    /// for among all items of the session.
    #[must_use]
    pub fn matched(&self, place: u32, subject: &str, delivery: u64) -> Matched<'_> {
        match self.at(place) {
            Some(known) if known.since < delivery && !known.is_rivalled => {
                Matched { label: Some(&known.label), looked_at: 0 }
            }
            _ => Matched {
                label: self.longest(subject, delivery).map(Subscription::label),
                looked_at: self.prefix_count(),
            },
        }
    }

    /// P-19: the subscription of before `delivery` with the longest head of what `subject` matches; of several the oldest.
    fn longest(&self, subject: &str, delivery: u64) -> Option<&Subscription> {
        let matching = self.all().filter(|known| known.since < delivery);
        let matching = matching.filter_map(|known| Some((known, known.longest(subject)?)));
        matching.max_by_key(|(known, longest)| (*longest, std::cmp::Reverse(known.number))).map(|(known, _)| known)
    }

    /// P-19: adds a subscription to every prefix of the comma list `list` for the session in slot `session`, and returns what its events
    /// will carry. It takes part in deliveries with a number above `since`.
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
        let order = Order { syntax: Syntax::Prefix, list, items, text: label, wish: SubscriptionWish::default() };
        self.file(session, order, since, trie)
    }

    /// The same for every pattern of the comma lists `lists`, all under one id and with one wish for their queue.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; nothing has changed then.
    pub fn add_patterns(
        &mut self,
        session: u32,
        lists: &[&str],
        wish: SubscriptionWish,
        since: u64,
        trie: &mut Trie<Interest>,
    ) -> Result<Rc<Label>, SubscribeError> {
        let joined;
        let list = match lists {
            [list] => *list,
            lists => {
                joined = lists.join(",");
                &joined
            }
        };
        let items = patterns(list).map_err(SubscribeError::Pattern)?;
        let wide_before = self.wants().filter(|want| want.syntax == Syntax::Pattern && is_wide(want.text)).count();
        if wide_before + items.iter().filter(|at| is_wide(&list[(*at).clone()])).count() > WIDE_PATTERNS_MAX {
            return Err(SubscribeError::TooManyWide);
        }
        let order = Order { syntax: Syntax::Pattern, list, items, text: None, wish };
        self.file(session, order, since, trie)
    }

    fn file(
        &mut self,
        session: u32,
        order: Order<'_>,
        since: u64,
        trie: &mut Trie<Interest>,
    ) -> Result<Rc<Label>, SubscribeError> {
        if self.prefix_count() + order.items.len() > SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany);
        }
        // An id is never used twice: who unsubscribes late must not hit another subscription.
        let number = self.last.checked_add(1).ok_or(SubscribeError::TooMany)?;
        let place = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        let interest = Interest { session, place: place as u32 };
        let Order { syntax, list, items, text, wish } = order;
        let items = items
            .into_iter()
            .map(|at| {
                let want = Want { syntax, text: &list[at.clone()] };
                let known = self.all().any(|other| other.wants().any(|known| known == want));
                let entry = (!known).then(|| trie.insert_want(want, interest));
                Item { start: at.start as u32, end: at.end as u32, entry }
            })
            .collect();
        self.last = number;
        let label = Rc::new(Label { sid: Sid::new(number), text: text.map(Box::from), wish });
        let (list, is_rivalled) = (Box::from(list), false);
        let mut new = Subscription { number, syntax, is_rivalled, since, label: Rc::clone(&label), list, items };
        self.note_rivals(&mut new);
        if place == self.places.len() {
            if place == 0 {
                // Most sessions have one subscription, or few.
                self.places.reserve_exact(1);
            }
            self.places.push(Some(new));
        } else {
            self.places[place] = Some(new);
        }
        Ok(label)
    }

    /// Marks the subscriptions with items of which the trie cannot say which is older: heads that are the same, of different things. Two
    /// prefixes never are. The marks stay when a rival goes: they cost a look, and nothing else.
    fn note_rivals(&mut self, new: &mut Subscription) {
        let rival = |a: Want<'_>, b: Want<'_>| a != b && a.head() == b.head();
        if new.syntax == Syntax::Prefix && self.all().all(|known| known.syntax == Syntax::Prefix) {
            return;
        }
        let mut is_rivalled = false;
        for known in self.places.iter_mut().flatten() {
            if new.wants().any(|a| known.wants().any(|b| rival(a, b))) {
                (known.is_rivalled, is_rivalled) = (true, true);
            }
        }
        new.is_rivalled |= is_rivalled;
    }

    /// What the events of a subscription to prefixes with just this list and label carry, if there is one.
    #[must_use]
    pub fn same(&self, list: &str, label: Option<&str>) -> Option<Rc<Label>> {
        let same = |known: &&Subscription| {
            known.syntax == Syntax::Prefix && *known.list == *list && known.label.text() == label
        };
        self.all().find(same).map(|known| Rc::clone(&known.label))
    }

    /// The subscriptions to patterns that were asked for in just these words. Mostly there is one, but a session may begin with several.
    pub fn asked_for<'a>(&'a self, list: &'a str) -> impl Iterator<Item = &'a Subscription> {
        self.all().filter(move |known| known.syntax == Syntax::Pattern && *known.list == *list)
    }

    /// P-30: gives those another wish, for events that are put into the queue from now on. They keep their names, their age (rule P-19) and
    /// their part in a delivery that is under way.
    pub fn change_wish(&mut self, list: &str, wish: SubscriptionWish) {
        let asked_for = |known: &&mut Subscription| known.syntax == Syntax::Pattern && *known.list == *list;
        for known in self.places.iter_mut().flatten().filter(asked_for) {
            let Label { sid, text, .. } = &*known.label;
            known.label = Rc::new(Label { sid: *sid, text: text.clone(), wish });
        }
    }

    /// Removes the subscription called `sid` of the session in slot `session` and returns it.
    pub fn remove(&mut self, session: u32, sid: &str, trie: &mut Trie<Interest>) -> Option<Subscription> {
        let place = self.places.iter().position(|slot| slot.as_ref().is_some_and(|known| known.label.sid() == sid))?;
        let mut gone = self.places[place].take()?;
        for at in 0..gone.items.len() {
            let Some(entry) = gone.items[at].entry else { continue };
            match self.heir(gone.want(&gone.items[at])) {
                None => {
                    trie.remove(entry);
                }
                Some((place, heir)) => {
                    heir.entry = Some(entry);
                    gone.items[at].entry = None;
                    trie.set(entry, Interest { session, place });
                }
            }
        }
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
        Some(gone)
    }

    /// The oldest subscription's item that is the same.
    fn heir(&mut self, want: Want<'_>) -> Option<(u32, &mut Item)> {
        let (place, at) = (0_u32..)
            .zip(&self.places)
            .filter_map(|(place, slot)| {
                let subscription = slot.as_ref()?;
                let at = subscription.wants().position(|known| known == want)?;
                Some((subscription.number, place, at))
            })
            .min()
            .map(|(_, place, at)| (place, at))?;
        self.places[place as usize].as_mut().map(|subscription| (place, &mut subscription.items[at]))
    }

    /// As if so many subscriptions had been made before.
    #[cfg(test)]
    pub(super) const fn skip_to(&mut self, last: u32) {
        self.last = last;
    }

    /// Removes all of them.
    pub fn clear(&mut self, trie: &mut Trie<Interest>) {
        for entry in self.places.drain(..).flatten().flat_map(|gone| gone.items).filter_map(|item| item.entry) {
            trie.remove(entry);
        }
        self.places = Vec::new();
    }
}
