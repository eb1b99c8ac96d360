//! The subscriptions of some sessions in one trie against a plain list.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::super::{Interest, SubscribeError, Subscriptions};
use crate::limits::{LABEL_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::topic::{SubjectError, Trie};

const SESSIONS: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Add {
        session: u32,
        list: String,
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
    "/[ab]{0,4}"
}

fn step() -> impl Strategy<Value = Step> {
    let list = prop::collection::vec(word(), 1..4).prop_map(|items| items.join(", "));
    prop_oneof![
        6 => (0..SESSIONS, list, prop::option::of("[a-z]{0,3}"))
            .prop_map(|(session, list, label)| Step::Add { session, list, label }),
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
    items: Vec<String>,
}

/// P-19: the session's subscription with the longest item that the subject begins with; of several the oldest.
fn expected(list: &[Plain], session: u32, subject: &str) -> Option<(String, Option<String>)> {
    let mut best: Option<(usize, &Plain)> = None;
    for plain in list.iter().filter(|plain| plain.session == session) {
        let longest = plain.items.iter().filter(|item| subject.starts_with(item.as_str())).map(String::len).max();
        if let Some(len) = longest.filter(|len| best.is_none_or(|(known, _)| *len > known)) {
            best = Some((len, plain));
        }
    }
    best.map(|(_, plain)| (plain.sid.clone(), plain.label.clone()))
}

fn check(
    trie: &Trie<Interest>,
    sessions: &[Subscriptions],
    list: &[Plain],
    subject: &str,
) -> Result<(), TestCaseError> {
    let mut first: Vec<Option<(String, Option<String>)>> = vec![None; sessions.len()];
    trie.for_each_match(subject.as_bytes(), |interest| {
        let found = sessions[interest.session as usize].at(interest.place).expect("the trie names a living place");
        let label = found.label();
        let told = (label.sid().to_owned(), label.text().map(str::to_owned));
        first[interest.session as usize].get_or_insert(told);
    });
    for (session, told) in (0..).zip(first) {
        prop_assert_eq!(told, expected(list, session, subject), "session {} and {}", session, subject);
    }
    let mut prefixes: Vec<(u32, &str)> =
        list.iter().flat_map(|plain| plain.items.iter().map(|item| (plain.session, item.as_str()))).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prop_assert_eq!(trie.len(), prefixes.len(), "one entry for each prefix of a session");
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 192, rng_seed: RngSeed::Fixed(19), failure_persistence: None, ..Config::default() })]

    /// P-19, P-20: which subscription tells its p_sid and p_label, whatever came and went before.
    #[test]
    fn the_trie_knows_what_a_list_knows(
        steps in prop::collection::vec(step(), 1..60),
        subjects in prop::collection::vec(word(), 1..4),
    ) {
        let mut trie = Trie::new();
        let mut sessions: Vec<Subscriptions> = (0..SESSIONS).map(|_| Subscriptions::new()).collect();
        let mut made: Vec<Vec<String>> = vec![Vec::new(); SESSIONS as usize];
        let mut list: Vec<Plain> = Vec::new();
        for step in steps {
            match step {
                Step::Add { session, list: text, label } => {
                    let added = sessions[session as usize].add(session, &text, label.as_deref(), 0, &mut trie);
                    let sid = added.expect("few and short").sid().to_owned();
                    prop_assert!(!made[session as usize].contains(&sid), "an id is used once");
                    made[session as usize].push(sid.clone());
                    let items = text.split(", ").map(str::to_owned).collect();
                    list.push(Plain { session, sid, label, items });
                }
                Step::Remove { session, back } => {
                    let Some(sid) = made[session as usize].iter().nth_back(back).cloned() else { continue };
                    let gone = sessions[session as usize].remove(session, &sid, &mut trie);
                    let known = list.iter().position(|plain| plain.session == session && plain.sid == sid);
                    prop_assert_eq!(gone.map(|gone| gone.label().sid().to_owned()), known.map(|_| sid));
                    if let Some(at) = known {
                        list.remove(at);
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
    assert_eq!(refused, Err(SubscribeError::LabelTooLong { bytes: LABEL_BYTES_MAX + 1 }));
    assert_eq!(subscriptions.add(0, " , ", None, 0, &mut trie), Err(SubscribeError::Subject(SubjectError::Empty)));
    let list: Vec<String> = (0..SUBSCRIPTIONS_MAX - 1).map(|number| format!("/{number}")).collect();
    assert!(subscriptions.add(0, &list.join(","), Some(&long[1..]), 0, &mut trie).is_ok());
    assert_eq!(subscriptions.add(0, "/x,/y", None, 0, &mut trie), Err(SubscribeError::TooMany));
    assert_eq!((subscriptions.prefix_count(), trie.len()), (SUBSCRIPTIONS_MAX - 1, SUBSCRIPTIONS_MAX - 1));
    let last = subscriptions.add(0, "/x", None, 0, &mut trie).expect("the last one");
    assert_eq!(last.sid(), "s2", "the number of a refused one is not used up");
    assert_eq!(subscriptions.add(0, "/x", None, 0, &mut trie), Err(SubscribeError::TooMany));
    assert_eq!(subscriptions.same("/x", None).expect("the same").sid(), "s2");
    assert_eq!((subscriptions.same("/x", Some("l")), subscriptions.same("/y", None)), (None, None));
}

/// P-34: short ids, also when there have been many.
#[test]
fn ids_count_up() {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    for number in 1..=1_234 {
        let label = subscriptions.add(0, "/a", None, 0, &mut trie).expect("room");
        assert_eq!(label.sid(), format!("s{number}"));
        assert!(subscriptions.remove(0, label.sid(), &mut trie).is_some());
        assert!(subscriptions.remove(0, label.sid(), &mut trie).is_none());
    }
}

/// P-34: an id is never used twice, so the last one is the last one.
#[test]
fn the_last_number_is_the_last() {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    subscriptions.skip_to(u32::MAX - 1);
    assert_eq!(subscriptions.add(0, "/a", None, 0, &mut trie).expect("one is left").sid(), "s4294967295");
    assert_eq!(subscriptions.add(0, "/a", None, 0, &mut trie), Err(SubscribeError::TooMany));
}

/// P-19: a delivery knows nothing of subscriptions that were made since it began, not even where they took over a place or an entry.
#[test]
fn a_delivery_matches_what_there_was_when_it_began() {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    for list in ["/a", "/,/a/b", "/a"] {
        subscriptions.add(0, list, None, 6, &mut trie).expect("room");
    }
    let sid = |subscriptions: &Subscriptions, place, subject| {
        subscriptions.matched(place, subject, 7).map(|label| label.sid().to_owned())
    };
    assert_eq!(sid(&subscriptions, 0, "/a").as_deref(), Some("s1"), "as the trie named it");
    subscriptions.remove(0, "s1", &mut trie);
    subscriptions.add(0, "/a/b/c", None, 7, &mut trie).expect("room");
    assert_eq!(subscriptions.at(0).map(|new| new.label().sid()), Some("s4"), "the place is used again");
    let others = ["/a", "/a/b/c", "/x", "x"].map(|subject| sid(&subscriptions, 0, subject));
    assert_eq!(others.each_ref().map(Option::as_deref), [Some("s3"), Some("s2"), Some("s2"), None]);
    assert_eq!(sid(&subscriptions, 77, "/a").as_deref(), Some("s3"), "a place that is no more");
    assert_eq!(subscriptions.matched(0, "/a/b/c", 8).map(|label| label.sid()), Some("s4"));
    subscriptions.clear(&mut trie);
    assert_eq!(sid(&subscriptions, 0, "/a"), None);
}
