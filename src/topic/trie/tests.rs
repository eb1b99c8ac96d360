//! The trie against a linear scan, over alphabets chosen to make paths part and merge.

use proptest::prelude::*;

use super::*;

/// What the trie must answer, found the slow way: a list that is read from one end to the other.
#[derive(Default)]
struct Scan {
    filed: Vec<(Vec<u8>, u32, EntryId)>,
}

impl Scan {
    /// The lengths of matching prefixes and the values filed there: longest first, values sorted, because their order is free.
    fn matches(&self, subject: &[u8]) -> Vec<(usize, u32)> {
        let hits = self.filed.iter().filter(|(prefix, ..)| subject.starts_with(prefix));
        let mut hits: Vec<_> = hits.map(|(prefix, value, _)| (prefix.len(), *value)).collect();
        hits.sort_unstable_by_key(|(len, value)| (std::cmp::Reverse(*len), *value));
        hits
    }

    /// The same from the trie, if it visits in the promised order.
    fn compare(&self, trie: &Trie<u32>, subject: &[u8]) {
        let mut visited = Vec::new();
        let nodes = trie.for_each_match(subject, |value| visited.push(value));
        assert!(nodes <= subject.len() + 1, "{nodes} nodes for {} bytes", subject.len());
        let wanted = self.matches(subject);
        assert_eq!(visited.len(), wanted.len());
        assert_eq!(trie.match_count(subject).0, wanted.len());
        let mut collected = vec![u32::MAX];
        trie.collect_matches(subject, |_| 0, &mut collected);
        assert_eq!(collected[1..], visited, "what is collected comes in the order of a visit");
        let below =
            |value: u32| self.filed.iter().any(|(filed, known, _)| *known == value && filed.starts_with(subject));
        for (_, value, _) in &self.filed {
            assert_eq!(trie.any_below(subject, usize::MAX, |found| found == *value), Some(below(*value)), "{value}");
        }
        let mut at = 0;
        for group in wanted.chunk_by(|a, b| a.0 == b.0) {
            let got = &mut visited[at..at + group.len()];
            got.sort_unstable();
            assert_eq!(
                got,
                group.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
                "prefix of {} bytes",
                group[0].0
            );
            at += group.len();
        }
    }
}

fn found(trie: &Trie<u32>, subject: &str) -> Vec<u32> {
    let mut values = Vec::new();
    trie.for_each_match(subject.as_bytes(), |value| values.push(value));
    values
}

/// P-19: byte prefixes, not segments, longest first.
#[test]
fn a_subscription_matches_every_subject_that_begins_with_it() {
    let mut trie = Trie::new();
    trie.insert(b"/chat", 1);
    trie.insert(b"/", 2);
    trie.insert(b"/chat/room1", 3);
    trie.insert(b"/chess", 4);
    assert_eq!(found(&trie, "/chat/room1"), [3, 1, 2]);
    assert_eq!(found(&trie, "/chat/room12"), [3, 1, 2]);
    assert_eq!(found(&trie, "/chatter"), [1, 2]);
    assert_eq!(found(&trie, "/ch"), [2]);
    assert_eq!(found(&trie, "/chess"), [4, 2]);
    assert!(found(&trie, "x").is_empty());
    assert!(found(&trie, "").is_empty());
}

/// P-35: what is filed below a prefix is found, also where the prefix ends within a label, and no further than one may look.
#[test]
fn what_lies_below_a_prefix_is_found() {
    let mut trie = Trie::new();
    for (value, prefix) in ["/demo/stocks/", "/demo/stocks/ABC", "/demo/chat", "/x"].into_iter().enumerate() {
        trie.insert(prefix.as_bytes(), value);
    }
    let any = |prefix: &str, value| trie.any_below(prefix.as_bytes(), 100, |found| found == value);
    for (prefix, value, is_below) in [
        ("/demo/stocks", 0, true),
        ("/demo/st", 1, true),
        ("/demo/stocks/", 0, true),
        ("/demo/stocks/A", 0, false),
        ("/demo/stocks/A", 1, true),
        ("/demo/stocks/ABC", 1, true),
        ("/demo/stocks/ABCD", 1, false),
        ("/demo/stox", 1, false),
        ("/x", 2, false),
        ("", 3, true),
    ] {
        assert_eq!(any(prefix, value), Some(is_below), "{prefix} {value}");
    }
    assert_eq!(trie.any_below(b"/", 2, |_| false), None, "there is more than one may look at");
}

/// P-19: a prefix that ends within a character is compared byte for byte like any other.
#[test]
fn prefixes_are_bytes_not_characters() {
    let mut trie = Trie::new();
    let (first, second) = ("中".as_bytes(), "丮".as_bytes());
    assert_eq!(first[..2], second[..2], "the two share two of three bytes");
    trie.insert(first, 1);
    trie.insert(second, 2);
    trie.insert(&first[..2], 3);
    assert_eq!(found(&trie, "中文"), [1, 3]);
    assert_eq!(found(&trie, "丮"), [2, 3]);
}

/// P-19: a row may begin anywhere, but the longest prefix stays first.
#[test]
fn each_prefix_is_collected_from_a_place_of_choice() {
    let mut trie = Trie::new();
    for (prefix, values) in [("/long", 0..5), ("/", 5..8), ("/other", 8..9)] {
        for value in values {
            trie.insert(prefix.as_bytes(), value);
        }
    }
    let (mut found, mut rows) = (Vec::new(), Vec::new());
    let first = |len| {
        rows.push(len);
        len + 2
    };
    trie.collect_matches(b"/longer", first, &mut found);
    assert_eq!(found, [2, 3, 4, 0, 1, 7, 5, 6]);
    assert_eq!(rows, [5, 3], "nodes without values are not asked for");
    trie.collect_matches(b"elsewhere", |_| unreachable!("nothing matches"), &mut found);
    assert_eq!((found.len(), trie.match_count(b"elsewhere").0, trie.match_count(b"/lo").0), (8, 0, 3));
}

#[test]
fn churn_leaves_nothing_behind() {
    let mut trie = Trie::new();
    for _ in 0..3 {
        let ids: Vec<_> = (0..2_000_u32).map(|n| trie.insert(format!("/room/{}/{n}", n % 7).as_bytes(), n)).collect();
        trie.check_invariants();
        assert_eq!(trie.len(), 2_000);
        for (n, id) in (0..).zip(ids) {
            assert_eq!(trie.remove(id), n);
        }
        trie.check_invariants();
        assert_eq!((trie.len(), trie.node_count(), trie.slots.len()), (0, 1, 0));
        assert!(trie.memory_bytes() < 1_024, "{} bytes", trie.memory_bytes());
    }
}

/// With one entry that stays, churn uses the same memory over and over.
#[test]
fn churn_beside_a_lasting_entry_is_bounded() {
    let mut trie = Trie::new();
    trie.insert(b"/stays", 0);
    let mut bytes = Vec::new();
    for round in 0..4_u32 {
        let ids: Vec<_> = (0..500).map(|n| trie.insert(format!("/{round}/{n}").as_bytes(), n)).collect();
        for id in ids {
            trie.remove(id);
        }
        trie.check_invariants();
        assert_eq!((trie.len(), trie.node_count()), (1, 2));
        bytes.push(trie.memory_bytes());
    }
    assert_eq!(bytes[0], bytes[3]);
}

#[test]
fn a_crowd_of_100_000_under_one_prefix_comes_and_goes() {
    let mut trie = Trie::new();
    let mut ids: Vec<_> = (0..100_000_u32).map(|n| (n, trie.insert(b"/all", n))).collect();
    trie.check_invariants();
    assert_eq!(trie.node_count(), 2);
    let bytes_full = trie.memory_bytes();
    let mut sum = 0_u64;
    assert_eq!(trie.for_each_match(b"/all/of/them", |n| sum += u64::from(n)), 2);
    assert_eq!(sum, 4_999_950_000);
    // From the middle outwards, so that the last one moves nearly every time.
    let later = ids.split_off(50_000);
    for (n, id) in later.into_iter().take(49_990) {
        trie.set(id, n + 1);
        assert_eq!(trie.remove(id), n + 1);
    }
    trie.check_invariants();
    for (n, id) in ids.drain(..) {
        assert_eq!(trie.remove(id), n);
    }
    trie.check_invariants();
    assert_eq!(trie.len(), 10);
    // The crowd gave back its two rows of four bytes; the slot table waits for the last entry.
    assert!(bytes_full - trie.memory_bytes() >= 99_000 * 8, "{} of {bytes_full} bytes left", trie.memory_bytes());
}

#[test]
fn a_node_may_have_a_child_for_every_letter() {
    let mut trie = Trie::new();
    let ids: Vec<_> = (0..END).rev().map(|byte| trie.insert(&[b'/', byte], u32::from(byte))).collect();
    trie.check_invariants();
    assert_eq!(trie.node_count(), 255);
    for byte in 0..END {
        let mut hits = Vec::new();
        assert_eq!(trie.for_each_match(&[b'/', byte, 0], |value| hits.push(value)), 3);
        assert_eq!(hits, [u32::from(byte)]);
    }
    for (byte, id) in (0..252_u32).rev().zip(ids.into_iter().skip(1)) {
        assert_eq!(trie.remove(id), byte);
    }
    assert_eq!((trie.len(), trie.node_count()), (1, 2));
}

#[test]
fn the_longest_labels_survive_splitting_and_merging() {
    let mut trie = Trie::new();
    let long = vec![b'x'; SUBJECT_BYTES_MAX];
    let whole = trie.insert(&long, 256);
    for len in [1, 21, 22, 23, 24, 128, 255] {
        let part = trie.insert(&long[..len], len as u32);
        assert_eq!(found(&trie, std::str::from_utf8(&long).expect("ASCII")), [256, len as u32]);
        trie.remove(part);
        assert_eq!(trie.node_count(), 2);
    }
    assert_eq!(trie.remove(whole), 256);
}

#[test]
#[should_panic(expected = "an entry id is used once")]
fn an_id_that_was_removed_is_found_out() {
    let mut trie = Trie::new();
    trie.insert(b"/other", 0);
    let id = trie.insert(b"/a", 1);
    trie.remove(id);
    // The same slot, with another generation.
    assert_eq!(trie.insert(b"/b", 2).slot, id.slot);
    trie.set(id, 3);
}

#[test]
#[should_panic(expected = "an entry id is used once")]
fn an_id_of_before_the_trie_was_emptied_is_found_out() {
    let mut trie = Trie::new();
    let id = trie.insert(b"/a", 1);
    trie.remove(id);
    assert_eq!(trie.insert(b"/a", 2).slot, id.slot);
    trie.remove(id);
}

/// Prefixes and subjects out of few letters, with long shared beginnings, and out of characters that share their first bytes.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let few = prop::collection::vec(prop::sample::select(vec![b'a', b'b']), 1..12);
    let shared = (prop::sample::select(vec![1_usize, 20, 22, 23, 60, 200]), prop::collection::vec(0..END, 0..3))
        .prop_map(|(len, tail)| [vec![b'/'; len], tail].concat());
    let wide = prop::collection::vec(prop::sample::select(vec!["中", "丮", "é", "è", "😀", "😁", "/"]), 1..6)
        .prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![4 => few, 2 => shared, 2 => wide]
}

/// What is done to the trie and to the list beside it; a number chooses among the entries there are.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>),
    Remove(prop::sample::Index),
    Set(prop::sample::Index),
    Match(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => text().prop_map(Step::Insert),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => any::<prop::sample::Index>().prop_map(Step::Set),
        2 => text().prop_map(Step::Match),
    ]
}

fn apply(trie: &mut Trie<u32>, scan: &mut Scan, value: u32, step: Step) {
    match step {
        Step::Insert(prefix) => {
            let id = trie.insert(&prefix, value);
            scan.filed.push((prefix.clone(), value, id));
            scan.compare(trie, &prefix);
        }
        Step::Remove(index) if !scan.filed.is_empty() => {
            let (_, value, id) = scan.filed.swap_remove(index.index(scan.filed.len()));
            assert_eq!(trie.remove(id), value);
        }
        Step::Set(index) if !scan.filed.is_empty() => {
            let index = index.index(scan.filed.len());
            scan.filed[index].1 = value;
            trie.set(scan.filed[index].2, value);
        }
        Step::Remove(_) | Step::Set(_) => {}
        Step::Match(subject) => scan.compare(trie, &subject),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// P-19: whatever is inserted, removed and replaced, in whatever order, the trie finds what a linear scan finds, longest first. Every
    /// step sweeps the invariants, and taking out the rest leaves one node.
    #[test]
    fn the_trie_finds_what_a_scan_finds(steps in prop::collection::vec(step(), 1..80)) {
        let (mut trie, mut scan) = (Trie::new(), Scan::default());
        for (value, step) in (0_u32..).zip(steps) {
            apply(&mut trie, &mut scan, value, step);
            prop_assert_eq!(trie.len(), scan.filed.len());
        }
        let mut subjects: Vec<_> = scan.filed.iter().map(|(prefix, ..)| prefix.clone()).collect();
        subjects.push(b"aabb/ab".to_vec());
        for subject in subjects {
            scan.compare(&trie, &subject);
        }
        for (_, value, id) in scan.filed {
            prop_assert_eq!(trie.remove(id), value);
        }
        prop_assert_eq!(trie.node_count(), 1);
    }
}
