//! Prefixes, exact subjects and wildcards in one trie against a linear scan.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;

type Filed = (Syntax, String, u32, EntryId);

/// What the trie must answer, found the slow way.
#[derive(Default)]
struct Scan {
    filed: Vec<Filed>,
}

fn want_of((syntax, text, ..): &Filed) -> Want<'_> {
    Want { syntax: *syntax, text }
}

/// Whether some subject that begins with `prefix` matches, said segment by segment.
fn may_match_below(want: Want<'_>, prefix: &str) -> bool {
    if want.syntax == Syntax::Prefix {
        return want.text.starts_with(prefix);
    }
    if want.text.starts_with('*') && prefix.starts_with('$') {
        return false;
    }
    let parts: Vec<&str> = want.text.split('/').collect();
    let known: Vec<&str> = prefix.split('/').collect();
    for (at, segment) in known.iter().enumerate() {
        // The last segment that is known may go on.
        let is_last = at + 1 == known.len();
        match parts.get(at) {
            None => return false,
            Some(&"**") => return true,
            Some(&"*") if is_last || !segment.is_empty() => {}
            Some(part) if *part != "*" && (part == segment || is_last && part.starts_with(segment)) => {}
            Some(_) => return false,
        }
    }
    true
}

impl Scan {
    /// Heads' lengths and values: longest first, values sorted, because their order is free.
    fn matches(&self, subject: &str) -> Vec<(usize, u32)> {
        let hits = self.filed.iter().filter(|filed| want_of(filed).matches(subject));
        let mut hits: Vec<_> = hits.map(|filed| (want_of(filed).head().len(), filed.2)).collect();
        hits.sort_unstable_by_key(|(len, value)| (std::cmp::Reverse(*len), *value));
        hits
    }

    fn compare(&self, trie: &Trie<u32>, subject: &str) {
        let bytes = subject.as_bytes();
        let wanted = self.matches(subject);
        let mut visited = Vec::new();
        let nodes = trie.for_each_match(bytes, |value| visited.push(value));
        assert!(nodes <= trie.node_count(), "{nodes} of {} nodes", trie.node_count());
        assert_eq!(trie.match_count(bytes).0, wanted.len(), "{subject}");
        let mut collected = Vec::new();
        trie.collect_matches(bytes, |_| 0, &mut collected);
        assert_eq!(collected, visited, "what is collected comes in the order of a visit");
        let head_of = |value: &u32| {
            self.filed.iter().find(|filed| filed.2 == *value).map(|filed| want_of(filed).head().len()).expect("filed")
        };
        assert!(visited.is_sorted_by_key(|value| std::cmp::Reverse(head_of(value))), "{subject}: {visited:?}");
        visited.sort_unstable();
        let mut values: Vec<u32> = wanted.iter().map(|(_, value)| *value).collect();
        values.sort_unstable();
        assert_eq!(visited, values, "{subject}");
        for filed in &self.filed {
            let is = |found| found == filed.2;
            assert_eq!(trie.any_match(bytes, usize::MAX, is), Some(values.contains(&filed.2)), "{filed:?} {subject}");
            let below = may_match_below(want_of(filed), subject);
            assert_eq!(trie.any_below(bytes, usize::MAX, is), Some(below), "{filed:?} below {subject}");
        }
    }
}

/// Few segments, so that paths meet: empty ones, letters that patterns have signs for, beginnings of each other, long ones.
fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "a", "b", "ab", "$", "$a", "中", "丮", "a-segment-longer-than-a-label"])
}

fn subject() -> impl Strategy<Value = String> {
    let segment = prop_oneof![8 => segment(), 1 => prop::sample::select(vec!["*", "**", "a*"])];
    prop::collection::vec(segment, 1..6)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("a subject", |text| !text.is_empty())
}

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![3 => segment(), 2 => Just("*")];
    (prop::collection::vec(part, 0..5), prop::sample::select(vec![None, None, Some("*"), Some("**")]))
        .prop_map(|(parts, last)| parts.into_iter().chain(last).collect::<Vec<_>>().join("/"))
        .prop_filter("a pattern", |text| !text.is_empty())
}

fn filed() -> impl Strategy<Value = (Syntax, String)> {
    prop_oneof![
        3 => pattern().prop_map(|text| (Syntax::Pattern, text)),
        1 => subject().prop_map(|text| (Syntax::Prefix, text)),
        // Prefixes may end anywhere, if only between characters.
        1 => (subject(), any::<prop::sample::Index>()).prop_filter_map("a prefix", |(text, end)| {
            let text = text.get(..=end.index(text.len())).map(str::to_owned)?;
            Some((Syntax::Prefix, text))
        }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Insert((Syntax, String)),
    Remove(prop::sample::Index),
    Match(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => filed().prop_map(Step::Insert),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        2 => subject().prop_map(Step::Match),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 512, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..Config::default() })]

    /// P-19: whatever prefixes, exact subjects and wildcards come and go, the trie finds what a linear scan finds, longest head first.
    /// Every step sweeps the invariants, and taking out the rest leaves one node.
    #[test]
    fn the_trie_finds_what_a_scan_of_patterns_finds(
        steps in prop::collection::vec(step(), 1..60),
        subjects in prop::collection::vec(subject(), 1..5),
    ) {
        let (mut trie, mut scan) = (Trie::new(), Scan::default());
        for (value, step) in (0_u32..).zip(steps) {
            match step {
                Step::Insert((syntax, text)) => {
                    let id = trie.insert_want(Want { syntax, text: &text }, value);
                    scan.filed.push((syntax, text.clone(), value, id));
                    scan.compare(&trie, &text);
                }
                Step::Remove(index) if !scan.filed.is_empty() => {
                    let (.., value, id) = scan.filed.swap_remove(index.index(scan.filed.len()));
                    prop_assert_eq!(trie.remove(id), value);
                }
                Step::Remove(_) => {}
                Step::Match(subject) => scan.compare(&trie, &subject),
            }
            prop_assert_eq!(trie.len(), scan.filed.len());
        }
        for subject in &subjects {
            scan.compare(&trie, subject);
        }
        for (.., value, id) in scan.filed {
            prop_assert_eq!(trie.remove(id), value);
        }
        prop_assert_eq!((trie.node_count(), trie.patterns_live), (1, 0));
    }
}

fn filed_patterns(texts: &[&str]) -> Trie<usize> {
    let mut trie = Trie::new();
    for (value, text) in texts.iter().enumerate() {
        trie.insert_want(Want { syntax: Syntax::Pattern, text }, value);
    }
    trie
}

/// One entry makes one node, signs in the midst of its label; a prefix and an exact subject of one text are two.
#[test]
fn signs_lie_in_labels() {
    assert_eq!(filed_patterns(&["/a/*/b/*/c/**"]).node_count(), 2);
    let mut trie = filed_patterns(&["/a", "/a"]);
    trie.insert(b"/a", 7);
    trie.check_invariants();
    assert_eq!((trie.len(), trie.node_count(), trie.match_count(b"/a").0, trie.match_count(b"/a/b").0), (3, 3, 3, 1));
}

/// P-35: who may look at little says *there may be more* rather than *nobody*.
#[test]
fn bounded_looks_end_in_doubt() {
    let trie = filed_patterns(&["/*/a", "/*/b", "/*/c/*", "/x/y", "**"]);
    let never = |_: usize| false;
    assert_eq!(trie.any_match(b"/x/y", 2, never), Some(false), "the exact one, and the rest");
    assert_eq!(trie.any_match(b"/x/y", 1, never), None);
    assert_eq!(trie.any_below(b"/x/", 1_000, never), Some(false));
    assert_eq!(trie.any_below(b"/x/", 3, never), None);
}

/// The work of a match: no node twice, and none whose way the subject does not match, however many there are.
#[test]
fn a_match_visits_only_ways_that_match() {
    let mut trie = Trie::new();
    for number in 0..10_000_u32 {
        for text in [format!("/room/*/{number}"), format!("/room/{number}/*"), format!("*/{number}/**")] {
            trie.insert_want(Want { syntax: Syntax::Pattern, text: &text }, number);
        }
    }
    let mut found = Vec::new();
    let visited = trie.for_each_match(b"/room/7777/77", |value| found.push(value));
    found.sort_unstable();
    assert_eq!(found, [77, 7777]);
    assert!(visited <= 30, "{visited} nodes");
    // All ways there are match, so all nodes are visited, each once.
    let patterns: Vec<String> = (0..1_u32 << 8)
        .map(|bits| (0..8).map(|at| if bits >> at & 1 == 1 { "*" } else { "a" }).collect::<Vec<_>>().join("/"))
        .collect();
    let trie = filed_patterns(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
    let mut found = Vec::new();
    let visited = trie.for_each_match(b"a/a/a/a/a/a/a/a", |value| found.push(value));
    found.sort_unstable();
    assert_eq!(found, (0..256).collect::<Vec<_>>());
    assert_eq!(visited, trie.node_count());
}

/// The longest subject there may be, as a pattern, with every other sign behind it.
#[test]
fn the_longest_patterns_are_filed() {
    let deep = "a/".repeat(SUBJECT_BYTES_MAX / 2);
    let texts: Vec<String> = (1..=deep.len()).map(|len| deep[..len].to_owned()).collect();
    let mut trie = filed_patterns(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let starred = format!("{}**", "*/".repeat(8));
    trie.insert_want(Want { syntax: Syntax::Pattern, text: &starred }, 1_000);
    let mut found = Vec::new();
    trie.for_each_match(deep.as_bytes(), |value| found.push(value));
    assert_eq!(found, [deep.len() - 1, 1_000]);
}
