//! What one session wants to hear, and its entries in the trie.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::rc::Rc;

use smallvec::SmallVec;

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

/// The personal attributes that a subscription gives to its events (rule P-20). It goes with the events into the outbox, so that one that was
/// matched before the subscription went still tells what it matched. Mostly it is a number and nothing else: then no memory is behind it.
#[derive(Clone, Debug)]
pub struct Label {
    number: NonZeroU32,
    wordy: Option<Rc<Wordy>>,
}

/// What few subscriptions have.
#[derive(Debug)]
struct Wordy {
    text: Option<Box<str>>,
    wish: SubscriptionWish,
}

impl Label {
    fn new(number: NonZeroU32, text: Option<&str>, wish: SubscriptionWish) -> Self {
        let is_wordy = text.is_some() || wish.is_some();
        Self { number, wordy: is_wordy.then(|| Rc::new(Wordy { text: text.map(Box::from), wish })) }
    }

    /// The subscription's id, unique within its session (rule P-34).
    #[must_use]
    pub fn sid(&self) -> Sid {
        Sid::new(self.number)
    }

    /// The subscriber's own `p_label`.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.wordy.as_ref()?.text.as_deref()
    }

    /// P-30: what the subscriber asked for this subscription's part of its queue.
    #[must_use]
    pub fn wish(&self) -> SubscriptionWish {
        self.wordy.as_ref().map_or_else(SubscriptionWish::default, |wordy| wordy.wish)
    }

    /// Whether both are of one subscription of one session, and of one time: a subscription that gets another wish gets another label.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let same_words = match (&self.wordy, &other.wordy) {
            (None, None) => true,
            (Some(one), Some(other)) => Rc::ptr_eq(one, other),
            _ => false,
        };
        self.number == other.number && same_words
    }
}

/// The text of a subscription's id: `s` and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sid {
    len: u8,
    text: [u8; 11],
}

impl Sid {
    fn new(number: NonZeroU32) -> Self {
        let mut sid = Self { len: 1, text: [b's'; 11] };
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number.get()).as_bytes();
        sid.text[1..=digits.len()].copy_from_slice(digits);
        sid.len += digits.len() as u8;
        sid
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// One item of a comma list.
#[derive(Clone, Copy, Debug)]
struct Item {
    start: u32,
    end: u32,
    /// The trie's entry, if this subscription is the session's oldest with this item.
    entry: Option<EntryId>,
}

/// The items of a comma list. Most lists have one, which is all of it: that one needs no memory of its own.
#[derive(Debug)]
enum Items {
    Whole(Option<EntryId>),
    Several(Box<[Item]>),
}

impl Items {
    fn new(items: Vec<Item>, list: &str) -> Self {
        match items[..] {
            [Item { start: 0, end, entry }] if end as usize == list.len() => Self::Whole(entry),
            _ => Self::Several(items.into_boxed_slice()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(_) => 1,
            Self::Several(items) => items.len(),
        }
    }

    /// The item at a place that there is, of the list `list`.
    fn at(&self, place: usize, list: &str) -> Item {
        match self {
            // A list is as long as a request at most.
            Self::Whole(entry) => Item { start: 0, end: list.len() as u32, entry: *entry },
            Self::Several(items) => items[place],
        }
    }

    fn entry_mut(&mut self, place: usize) -> &mut Option<EntryId> {
        match self {
            Self::Whole(entry) => entry,
            Self::Several(items) => &mut items[place].entry,
        }
    }
}

/// One subscription: a comma list of prefixes or of patterns under one id.
#[derive(Debug)]
pub struct Subscription {
    // The parts of its label, which would not fit in as closely.
    number: NonZeroU32,
    wordy: Option<Rc<Wordy>>,
    syntax: Syntax,
    /// Whether another item of the session, here or elsewhere, has had the same head as one of these. Then the trie cannot say which of
    /// the two a session was meant by.
    is_rivalled: bool,
    /// The last delivery that had begun when it was made: it takes part in later ones only.
    since: u64,
    list: Box<str>,
    items: Items,
}

impl Subscription {
    /// What its events carry.
    #[must_use]
    pub fn label(&self) -> Label {
        Label { number: self.number, wordy: self.wordy.clone() }
    }

    fn sid(&self) -> Sid {
        Sid::new(self.number)
    }

    fn text(&self) -> Option<&str> {
        self.wordy.as_ref()?.text.as_deref()
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
        self.items().filter(|item| item.entry.is_some()).map(|item| self.want(item))
    }

    fn items(&self) -> impl Iterator<Item = Item> {
        (0..self.items.len()).map(|place| self.items.at(place, &self.list))
    }

    fn want(&self, item: Item) -> Want<'_> {
        Want { syntax: self.syntax, text: &self.list[item.start as usize..item.end as usize] }
    }

    fn wants(&self) -> impl Iterator<Item = Want<'_>> {
        self.items().map(|item| self.want(item))
    }

    /// P-19: the longest head, in bytes, of its items that match.
    fn longest(&self, subject: &str) -> Option<usize> {
        self.wants().filter(|want| want.matches(subject)).map(|want| want.head().len()).max()
    }
}

/// Which subscription an event comes by.
#[derive(Clone, Debug)]
pub struct Matched {
    /// What the event carries. `None` if the session has no subscription to it.
    pub label: Option<Label>,
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
    /// By place; a place stays while its subscription lives, because the trie names it. The first one lies here: most sessions have no other,
    /// and an event that comes by it finds it in memory that it reads anyway.
    places: SmallVec<[Option<Subscription>; 1]>,
    /// Number of the last subscription made.
    last: u32,
}

impl Subscriptions {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: SmallVec::new_const(), last: 0 }
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
        self.all().find(|known| known.sid().as_str() == sid)
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
    pub fn matched(&self, place: u32, subject: &str, delivery: u64) -> Matched {
        match self.at(place) {
            Some(known) if known.since < delivery && !known.is_rivalled => {
                Matched { label: Some(known.label()), looked_at: 0 }
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
    ) -> Result<Label, SubscribeError> {
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
    ) -> Result<Label, SubscribeError> {
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
    ) -> Result<Label, SubscribeError> {
        if self.prefix_count() + order.items.len() > SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany);
        }
        // An id is never used twice: who unsubscribes late must not hit another subscription.
        let number = self.last.checked_add(1).and_then(NonZeroU32::new).ok_or(SubscribeError::TooMany)?;
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
        self.last = number.get();
        let label = Label::new(number, text, wish);
        let items = Items::new(items, list);
        let (wordy, list, is_rivalled) = (label.wordy.clone(), Box::from(list), false);
        let mut new = Subscription { number, wordy, syntax, is_rivalled, since, list, items };
        self.note_rivals(&mut new);
        match self.places.get_mut(place) {
            Some(free) => *free = Some(new),
            None => self.places.push(Some(new)),
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
    pub fn same(&self, list: &str, label: Option<&str>) -> Option<Label> {
        let same =
            |known: &&Subscription| known.syntax == Syntax::Prefix && *known.list == *list && known.text() == label;
        self.all().find(same).map(Subscription::label)
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
            known.wordy = Label::new(known.number, known.text(), wish).wordy;
        }
    }

    /// Removes the subscription called `sid` of the session in slot `session` and returns it.
    pub fn remove(&mut self, session: u32, sid: &str, trie: &mut Trie<Interest>) -> Option<Subscription> {
        let place =
            self.places.iter().position(|slot| slot.as_ref().is_some_and(|known| known.sid().as_str() == sid))?;
        let mut gone = self.places[place].take()?;
        for at in 0..gone.items.len() {
            let item = gone.items.at(at, &gone.list);
            let Some(entry) = item.entry else { continue };
            match self.heir(gone.want(item)) {
                None => {
                    trie.remove(entry);
                }
                Some((place, heir)) => {
                    *heir = Some(entry);
                    *gone.items.entry_mut(at) = None;
                    trie.set(entry, Interest { session, place });
                }
            }
        }
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
        if self.places.len() <= 1 {
            self.places.shrink_to_fit();
        }
        Some(gone)
    }

    /// Where the oldest subscription's item that is the same keeps its entry.
    fn heir(&mut self, want: Want<'_>) -> Option<(u32, &mut Option<EntryId>)> {
        let (place, at) = (0_u32..)
            .zip(&self.places)
            .filter_map(|(place, slot)| {
                let subscription = slot.as_ref()?;
                let at = subscription.wants().position(|known| known == want)?;
                Some((subscription.number, place, at))
            })
            .min()
            .map(|(_, place, at)| (place, at))?;
        self.places[place as usize].as_mut().map(|subscription| (place, subscription.items.entry_mut(at)))
    }

    /// As if so many subscriptions had been made before.
    #[cfg(test)]
    pub(super) const fn skip_to(&mut self, last: u32) {
        self.last = last;
    }

    /// Removes all of them.
    pub fn clear(&mut self, trie: &mut Trie<Interest>) {
        for gone in std::mem::take(&mut self.places).into_iter().flatten() {
            gone.items().filter_map(|item| item.entry).for_each(|entry| {
                trie.remove(entry);
            });
        }
    }
}
