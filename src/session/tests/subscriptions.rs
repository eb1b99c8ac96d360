//! The subscriptions of some sessions in one trie against a plain list.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::super::{Interest, SubscribeError, Subscriptions};
use crate::limits::{LABEL_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::protocol::SubscriptionWish;
use crate::topic::{PatternError, SubjectError, Syntax, Trie, Want};

const SESSIONS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Add {
        session: u32,
        syntax: Syntax,
        items: Vec<String>,
        label: Option<String>,
    },
    /// Removes the subscription that was made so manieth before, if it is there.
    Remove {
        session: u32,
        back: usize,
    },
    Clear {
        session: u32,
    },
}

/// Words of two letters share most of their beginnings.
fn word() -> impl Strategy<Value = String> {
    "/[ab/]{0,4}"
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["", "a", "b", "*"]);
    (prop::collection::vec(part, 0..3), prop::sample::select(vec![None, Some("a"), Some("*"), Some("**")]))
        .prop_map(|(parts, last)| std::iter::once("").chain(parts).chain(last).collect::<Vec<_>>().join("/"))
        .prop_filter("a pattern", |text| !text.is_empty())
}

fn step() -> impl Strategy<Value = Step> {
    let prefixes = prop::collection::vec(word(), 1..4).prop_map(|items| (Syntax::Prefix, items));
    let patterns = prop::collection::vec(pattern(), 1..4).prop_map(|items| (Syntax::Pattern, items));
    prop_oneof![
        6 => (0..SESSIONS, prop_oneof![prefixes, patterns], prop::option::of("[a-z]{0,3}"))
            .prop_map(|(session, (syntax, items), label)| Step::Add { session, syntax, items, label }),
        4 => (0..SESSIONS, 0..6_usize).prop_map(|(session, back)| Step::Remove { session, back }),
        1 => (0..SESSIONS).prop_map(|session| Step::Clear { session }),
    ]
}

/// One subscription of the model.
#[derive(Clone, Debug)]
struct Plain {
    session: u32,
    sid: String,
    label: Option<String>,
    syntax: Syntax,
    items: Vec<String>,
}

type Known = BTreeSet<(bool, String)>;

impl Plain {
    fn wants(&self) -> impl Iterator<Item = Want<'_>> {
        self.items.iter().map(|text| Want { syntax: self.syntax, text })
    }

    fn known(&self) -> impl Iterator<Item = (bool, String)> {
        self.wants().map(known)
    }
}

fn known(want: Want<'_>) -> (bool, String) {
    (want.syntax == Syntax::Prefix, want.text.to_owned())
}

/// P-19: the session's subscription with the longest head that the subject matches; of several the oldest.
fn expected(list: &[Plain], session: u32, subject: &str) -> Option<(String, Option<String>)> {
    let mut best: Option<(usize, &Plain)> = None;
    for plain in list.iter().filter(|plain| plain.session == session) {
        let longest = plain.wants().filter(|want| want.matches(subject)).map(|want| want.head().len()).max();
        if let Some(len) = longest.filter(|len| best.is_none_or(|(known, _)| *len > known)) {
            best = Some((len, plain));
        }
    }
    best.map(|(_, plain)| (plain.sid.clone(), plain.label.clone()))
}

/// Everything that the living subscriptions of a session ask for.
fn all_of(list: &[Plain], session: u32) -> Known {
    list.iter().filter(|plain| plain.session == session).flat_map(Plain::known).collect()
}

fn check(
    trie: &Trie<Interest>,
    sessions: &[Subscriptions],
    list: &[Plain],
    subject: &str,
) -> Result<(), TestCaseError> {
    let mut first: Vec<Option<(String, Option<String>)>> = vec![None; sessions.len()];
    trie.for_each_match(subject.as_bytes(), |interest| {
        let session = &sessions[interest.session as usize];
        assert!(session.at(interest.place).is_some(), "the trie names a living place");
        let told = session.matched(interest.place, subject, 1).label.expect("it matches");
        first[interest.session as usize]
            .get_or_insert((told.sid().as_str().to_owned(), told.text().map(str::to_owned)));
    });
    for (session, told) in (0..).zip(first) {
        prop_assert_eq!(told, expected(list, session, subject), "session {} and {}", session, subject);
    }
    let mut filed = 0;
    for (session, subscriptions) in (0..).zip(sessions) {
        let wanted = all_of(list, session);
        prop_assert_eq!(subscriptions.wants().count(), wanted.len(), "each thing once");
        filed += wanted.len();
        prop_assert_eq!(subscriptions.wants().map(known).collect::<Known>(), wanted);
    }
    prop_assert_eq!(trie.len(), filed, "one entry for each thing that a session wants");
    Ok(())
}

fn add(sessions: &mut [Subscriptions], trie: &mut Trie<Interest>, step: Step) -> Plain {
    let Step::Add { session, syntax, items, label } = step else { unreachable!("no addition") };
    let subscriptions = &mut sessions[session as usize];
    let (added, label) = match syntax {
        Syntax::Prefix => (subscriptions.add(session, &items.join(", "), label.as_deref(), 0, trie), label),
        Syntax::Pattern => {
            let lists: Vec<&str> = items.iter().map(String::as_str).collect();
            (subscriptions.add_patterns(session, &lists, SubscriptionWish::default(), 0, trie), None)
        }
    };
    let sid = added.expect("few and short").sid().to_owned();
    Plain { session, sid: sid.as_str().to_owned(), label, syntax, items }
}

proptest! {
    #![proptest_config(Config { cases: 192, rng_seed: RngSeed::Fixed(19), failure_persistence: None, ..Config::default() })]

    /// P-19, P-20: which subscription tells its p_sid and p_label, whatever came and went before.
    #[test]
    fn the_trie_knows_what_a_list_knows(
        steps in prop::collection::vec(step(), 1..60),
        subjects in prop::collection::vec("/[ab]{0,2}(/[ab]{0,2}){0,2}", 1..4),
    ) {
        let mut trie = Trie::new();
        let mut sessions: Vec<Subscriptions> = (0..SESSIONS).map(|_| Subscriptions::new()).collect();
        let mut made: Vec<Vec<String>> = vec![Vec::new(); SESSIONS as usize];
        let mut list: Vec<Plain> = Vec::new();
        for step in steps {
            match step {
                Step::Add { session, .. } => {
                    let before = all_of(&list, session);
                    let plain = add(&mut sessions, &mut trie, step);
                    prop_assert!(!made[session as usize].contains(&plain.sid), "an id is used once");
                    made[session as usize].push(plain.sid.clone());
                    let new = sessions[session as usize].get(&plain.sid).expect("just made");
                    let wanted: Known = plain.known().filter(|known| !before.contains(known)).collect();
                    prop_assert_eq!(new.own().map(known).collect::<Known>(), wanted, "what is new to the session");
                    list.push(plain);
                }
                Step::Remove { session, back } => {
                    let Some(sid) = made[session as usize].iter().nth_back(back).cloned() else { continue };
                    let gone = sessions[session as usize].remove(session, &sid, &mut trie);
                    let at = list.iter().position(|plain| plain.session == session && plain.sid == sid);
                    prop_assert_eq!(gone.as_ref().map(|gone| gone.label().sid().as_str().to_owned()), at.map(|_| sid.clone()));
                    if let (Some(at), Some(gone)) = (at, gone) {
                        let plain = list.remove(at);
                        let left = all_of(&list, session);
                        let wanted: Known = plain.known().filter(|known| !left.contains(known)).collect();
                        prop_assert_eq!(gone.own().map(known).collect::<Known>(), wanted, "what nobody wants any more");
                    }
                }
                Step::Clear { session } => {
                    sessions[session as usize].clear(&mut trie);
                    list.retain(|plain| plain.session != session);
                }
            }
            for subject in &subjects {
                check(&trie, &sessions, &list, subject)?;
            }
        }
        for (session, subscriptions) in (0..).zip(&mut sessions) {
            let count = list.iter().filter(|plain| plain.session == session).map(|plain| plain.items.len());
            prop_assert!(subscriptions.prefix_count() <= count.sum());
            subscriptions.clear(&mut trie);
        }
        prop_assert!(trie.is_empty());
    }
}

/// P-19: a refused subscription changes nothing, and the bounds are where they are said to be.
#[test]
fn bounds_are_held_and_refusals_change_nothing() {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    let long = "l".repeat(LABEL_BYTES_MAX + 1);
    let refused = subscriptions.add(0, "/a", Some(&long), 0, &mut trie);
    assert_eq!(refused.err(), Some(SubscribeError::LabelTooLong { bytes: LABEL_BYTES_MAX + 1 }));
    assert_eq!(
        subscriptions.add(0, " , ", None, 0, &mut trie).err(),
        Some(SubscribeError::Subject(SubjectError::Empty))
    );
    let list: Vec<String> = (0..SUBSCRIPTIONS_MAX - 1).map(|number| format!("/{number}")).collect();
    assert!(subscriptions.add(0, &list.join(","), Some(&long[1..]), 0, &mut trie).is_ok());
    assert_eq!(subscriptions.add(0, "/x,/y", None, 0, &mut trie).err(), Some(SubscribeError::TooMany));
    assert_eq!((subscriptions.prefix_count(), trie.len()), (SUBSCRIPTIONS_MAX - 1, SUBSCRIPTIONS_MAX - 1));
    let last = subscriptions.add(0, "/x", None, 0, &mut trie).expect("the last one");
    assert_eq!(last.sid().as_str(), "s2", "the number of a refused one is not used up");
    assert_eq!(subscriptions.add(0, "/x", None, 0, &mut trie).err(), Some(SubscribeError::TooMany));
    assert_eq!(subscriptions.same("/x", None).expect("the same").sid().as_str(), "s2");
    assert!(subscriptions.same("/x", Some("l")).is_none() && subscriptions.same("/y", None).is_none());
}

/// P-34: short ids, also when there have been many.
#[test]
fn ids_count_up() {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    for number in 1..=1_234 {
        let label = subscriptions.add(0, "/a", None, 0, &mut trie).expect("room");
        assert_eq!(label.sid().as_str(), format!("s{number}"));
        assert!(subscriptions.remove(0, label.sid().as_str(), &mut trie).is_some());
        assert!(subscriptions.remove(0, label.sid().as_str(), &mut trie).is_none());
    }
}

/// P-34: an id is never used twice, so the last one is the last one.
#[test]
fn the_last_number_is_the_last() {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    subscriptions.skip_to(u32::MAX - 1);
    assert_eq!(subscriptions.add(0, "/a", None, 0, &mut trie).expect("one is left").sid().as_str(), "s4294967295");
    assert_eq!(subscriptions.add(0, "/a", None, 0, &mut trie).err(), Some(SubscribeError::TooMany));
}

/// P-19: a delivery knows nothing of subscriptions that were made since it began, not even where they took over a place or an entry.
#[test]
fn a_delivery_matches_what_there_was_when_it_began() {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    for list in ["/a", "/,/a/b", "/a"] {
        subscriptions.add(0, list, None, 6, &mut trie).expect("room");
    }
    let sid = |subscriptions: &Subscriptions, place, subject| {
        subscriptions.matched(place, subject, 7).label.map(|label| label.sid().as_str().to_owned())
    };
    assert_eq!(sid(&subscriptions, 0, "/a").as_deref(), Some("s1"), "as the trie named it");
    subscriptions.remove(0, "s1", &mut trie);
    subscriptions.add(0, "/a/b/c", None, 7, &mut trie).expect("room");
    assert_eq!(
        subscriptions.at(0).map(|new| new.label().sid().as_str().to_owned()).as_deref(),
        Some("s4"),
        "the place is used again"
    );
    let others = ["/a", "/a/b/c", "/x", "x"].map(|subject| sid(&subscriptions, 0, subject));
    assert_eq!(others.each_ref().map(Option::as_deref), [Some("s3"), Some("s2"), Some("s2"), None]);
    assert_eq!(sid(&subscriptions, 77, "/a").as_deref(), Some("s3"), "a place that is no more");
    assert_eq!(
        subscriptions.matched(0, "/a/b/c", 8).label.map(|label| label.sid().as_str().to_owned()).as_deref(),
        Some("s4")
    );
    subscriptions.clear(&mut trie);
    assert_eq!(sid(&subscriptions, 0, "/a"), None);
}

/// P-19: of a prefix and a pattern with one head the oldest is told, whichever the trie names; only who has both pays for a look.
#[test]
fn rivals_of_one_head_are_told_by_age() {
    let none = SubscriptionWish::default();
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    subscriptions.add_patterns(0, &["/x/*"], none, 0, &mut trie).expect("room");
    subscriptions.add_patterns(0, &["/a/**", " /a/*/c,"], none, 0, &mut trie).expect("room");
    let found = |subscriptions: &Subscriptions, place, subject| {
        let matched = subscriptions.matched(place, subject, 1);
        (matched.label.map(|label| label.sid().as_str().to_owned()), matched.looked_at)
    };
    assert_eq!(
        found(&subscriptions, 1, "/a/b/c"),
        (Some("s2".to_owned()), 0),
        "within one subscription there are no rivals"
    );
    subscriptions.add(0, "/a/,/q", None, 0, &mut trie).expect("room");
    assert_eq!(found(&subscriptions, 2, "/a/b/c"), (Some("s2".to_owned()), 5));
    assert_eq!(found(&subscriptions, 1, "/a/b/c"), (Some("s2".to_owned()), 5));
    assert_eq!(found(&subscriptions, 0, "/x/y"), (Some("s1".to_owned()), 0), "it has no rival");
    assert_eq!(found(&subscriptions, 2, "/a/"), (Some("s2".to_owned()), 5), "the rest may be an empty segment");
}

/// A list of patterns is refused like one of prefixes, and a session's bound counts both.
#[test]
fn lists_of_patterns_are_bounded_too() {
    let none = SubscriptionWish::default();
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    let mut add = |lists: &[&str]| {
        subscriptions.add_patterns(0, lists, none, 0, &mut trie).map(|label| label.sid().as_str().to_owned())
    };
    assert_eq!(add(&[]), Err(SubscribeError::Pattern(PatternError::Subject(SubjectError::Empty))));
    assert_eq!(add(&["/a", "/b*"]), Err(SubscribeError::Pattern(PatternError::StarInSegment { segment: 2 })));
    let list: Vec<String> = (0..SUBSCRIPTIONS_MAX - 1).map(|number| format!("/{number}/*")).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    assert_eq!(add(&list).as_deref(), Ok("s1"));
    assert_eq!(add(&["/x", "/y"]), Err(SubscribeError::TooMany));
    assert_eq!(subscriptions.add(0, "/x,/y", None, 0, &mut trie).err(), Some(SubscribeError::TooMany));
    assert_eq!(trie.len(), SUBSCRIPTIONS_MAX - 1);
    subscriptions.add(0, "/0/*", None, 0, &mut trie).expect("one more");
    assert_eq!(trie.len(), SUBSCRIPTIONS_MAX, "the same text in the other syntax is another thing");
    assert!(subscriptions.same(&list.join(","), None).is_none(), "prefixes are asked for, and those are patterns");
    subscriptions.clear(&mut trie);
    assert!(trie.is_empty());
}

/// What a match costs most for is bounded in each session.
#[test]
fn a_session_has_few_patterns_of_many_stars() {
    let (mut subscriptions, mut trie) = (Subscriptions::new(), Trie::new());
    let mut add = |subscriptions: &mut Subscriptions, list: &str| {
        subscriptions.add_patterns(0, &[list], SubscriptionWish::default(), 0, &mut trie).map(|_| ())
    };
    let wide = |from: usize, to: usize| (from..to).map(|at| format!("/*/*/*/{at}")).collect::<Vec<_>>().join(",");
    assert_eq!(add(&mut subscriptions, &wide(0, 5)), Ok(()));
    assert_eq!(add(&mut subscriptions, &wide(5, 9)), Err(SubscribeError::TooManyWide));
    assert_eq!(add(&mut subscriptions, &wide(5, 8)), Ok(()));
    assert_eq!(add(&mut subscriptions, "/*/*/a,/**,/b"), Ok(()));
    assert_eq!(add(&mut subscriptions, "/a/*/*/*"), Err(SubscribeError::TooManyWide));
}
