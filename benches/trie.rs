//! Subscriptions: one publish among many that do not match it, and the coming and going of one among them. Beside the trie its rivals: a linear
//! scan, and a hash map that is asked for every prefix of the subject. `cargo bench --bench trie` (`-- --quick` for a first look).
#![allow(missing_docs, reason = "the macros of criterion make public items")]

#[path = "support/rooms.rs"]
mod rooms;
#[path = "support/spread.rs"]
mod spread;

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use pushletd::topic::{EntryId, Syntax, Trie, Want};
use rooms::{SUBJECT, prefixes};
use spread::spread;

/// So many subscriptions come, or go, between two looks at the clock: beside one that is there, it is one to 64 others.
const BATCH: u64 = 64;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Looks for one subject after the other, and begins again behind the last.
fn each(group: &mut Group<'_>, id: BenchmarkId, subjects: &[Vec<u8>], mut look: impl FnMut(&[u8])) {
    group.bench_function(id, |b| {
        let mut next = subjects.iter().cycle();
        b.iter(|| next.next().into_iter().for_each(|subject| look(black_box(subject))));
    });
}

/// Of one subject again and again, whose path is in the nearest cache, and of many in turn.
fn matching(c: &mut Criterion) {
    let mut group = c.benchmark_group("match");
    for count in [1, 1_000, 1_000_000] {
        let mut trie = Trie::new();
        let mut map: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        let mut list = Vec::new();
        for (value, prefix) in (0..).zip(prefixes(count)) {
            trie.insert(prefix.as_bytes(), value);
            map.entry(prefix.clone().into_bytes()).or_default().push(value);
            list.push((prefix.into_bytes(), value));
        }
        for (subjects, wanted) in [("one_subject", vec![SUBJECT.to_vec()]), ("spread", spread(count))] {
            let name = |what| BenchmarkId::new(format!("{what}/{subjects}"), count);
            each(&mut group, name("trie"), &wanted, |subject| {
                trie.for_each_match(subject, |value| {
                    black_box(value);
                });
            });
            each(&mut group, name("scan"), &wanted, |subject| {
                list.iter().filter(|(prefix, _)| subject.starts_with(prefix)).for_each(|(_, value)| {
                    black_box(value);
                });
            });
            each(&mut group, name("hash_map"), &wanted, |subject| {
                for len in (1..=subject.len()).rev() {
                    map.get(&subject[..len]).into_iter().flatten().for_each(|value| {
                        black_box(value);
                    });
                }
            });
        }
    }
    group.finish();
}

/// The same publish where as many patterns match up to a point: exact subjects, `*` before and behind the room, and `**` beside it.
fn patterns(c: &mut Criterion) {
    let mut group = c.benchmark_group("patterns");
    for count in [1, 1_000, 1_000_000] {
        let mut trie = Trie::new();
        for (value, prefix) in (0..).zip(prefixes(count)) {
            let text = match value % 4 {
                0 => format!("{prefix}/today"),
                1 => format!("{prefix}/*"),
                2 => prefix.replacen("/room", "/*", 1),
                _ => format!("{prefix}/**"),
            };
            trie.insert_want(Want { syntax: Syntax::Pattern, text: &text }, value);
        }
        group.bench_function(BenchmarkId::new("trie", count), |b| {
            b.iter(|| {
                trie.for_each_match(black_box(SUBJECT), |value| {
                    black_box(value);
                })
            });
        });
        // Prefixes beside one pattern that has nothing to do with them.
        let mut trie = Trie::new();
        prefixes(count).zip(0..).for_each(|(prefix, value)| {
            trie.insert(prefix.as_bytes(), value);
        });
        trie.insert_want(Want { syntax: Syntax::Pattern, text: "/other/*" }, 0);
        group.bench_function(BenchmarkId::new("prefixes_beside_one", count), |b| {
            b.iter(|| {
                trie.for_each_match(black_box(SUBJECT), |value| {
                    black_box(value);
                })
            });
        });
    }
    group.finish();
}

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan_out");
    for count in [1, 1_000, 100_000_u64] {
        let mut trie = Trie::new();
        for value in 0..count {
            trie.insert(b"/room/0500000", value);
        }
        group.bench_function(BenchmarkId::new("trie", count), |b| {
            b.iter(|| {
                let mut sum = 0_u64;
                trie.for_each_match(black_box(SUBJECT), |value| sum = sum.wrapping_add(value));
                sum
            });
        });
    }
    group.finish();
}

/// What holds subscriptions.
trait Store {
    /// Names a subscription to be taken out.
    type Id;
    fn add(&mut self, prefix: &[u8], value: u32) -> Self::Id;
    fn remove(&mut self, prefix: &[u8], value: u32, id: Self::Id);
    /// Takes the newest one out, by whatever is quickest: the clock does not run.
    fn take_back(&mut self, prefix: &[u8], value: u32, id: Self::Id) {
        self.remove(prefix, value, id);
    }
}

impl Store for Trie<u32> {
    type Id = EntryId;
    fn add(&mut self, prefix: &[u8], value: u32) -> EntryId {
        self.insert(prefix, value)
    }
    fn remove(&mut self, _: &[u8], value: u32, id: EntryId) {
        assert_eq!(Self::remove(self, id), value);
    }
}

/// What a linear scan goes through.
impl Store for Vec<(Vec<u8>, u32)> {
    type Id = ();
    fn add(&mut self, prefix: &[u8], value: u32) {
        self.push((prefix.to_vec(), value));
    }
    fn remove(&mut self, prefix: &[u8], value: u32, (): ()) {
        let at = self.iter().position(|(known, held)| *held == value && known == prefix).expect("it was added");
        self.swap_remove(at);
    }
    fn take_back(&mut self, _: &[u8], _: u32, (): ()) {
        self.pop();
    }
}

impl Store for HashMap<Vec<u8>, Vec<u32>> {
    type Id = ();
    fn add(&mut self, prefix: &[u8], value: u32) {
        self.entry(prefix.to_vec()).or_default().push(value);
    }
    fn remove(&mut self, prefix: &[u8], value: u32, (): ()) {
        let values = self.get_mut(prefix).expect("it was added");
        let at = values.iter().position(|held| *held == value).expect("it was added");
        values.swap_remove(at);
        if values.is_empty() {
            HashMap::remove(self, prefix);
        }
    }
}

/// Lets so many subscriptions come and go, in batches: how long they took to come, or else to go.
fn come_and_go<S: Store>(store: &mut S, wanted: &[(Vec<u8>, u32)], count: u64, coming: bool) -> Duration {
    let mut took = Duration::ZERO;
    let mut left = count;
    let mut ids = Vec::with_capacity(wanted.len());
    while left > 0 {
        let batch = &wanted[..wanted.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        left -= batch.len() as u64;
        let begin = Instant::now();
        ids.extend(batch.iter().map(|(prefix, value)| store.add(black_box(prefix), *value)));
        if coming {
            took += begin.elapsed();
            // The newest first.
            for ((prefix, value), id) in batch.iter().zip(ids.drain(..)).rev() {
                store.take_back(prefix, *value, id);
            }
        } else {
            let begin = Instant::now();
            for ((prefix, value), id) in batch.iter().zip(ids.drain(..)) {
                store.remove(black_box(prefix), *value, id);
            }
            took += begin.elapsed();
        }
    }
    took
}

fn changing(c: &mut Criterion) {
    for count in [1, 1_000, 1_000_000] {
        // Rooms among those that are there, and other things in them: paths part within a label.
        let wanted: Vec<_> = prefixes(BATCH as u32)
            .zip(2_000_000..)
            .map(|(room, value)| (room.replace("/chat", "/news/today").into_bytes(), value))
            .collect();
        let there = || prefixes(count).zip(0_u32..);
        let mut trie = Trie::new();
        for (prefix, value) in there() {
            trie.insert(prefix.as_bytes(), value);
        }
        measure(c, count, "trie", &mut trie, &wanted);
        drop(trie);
        let mut list: Vec<_> = there().map(|(prefix, value)| (prefix.into_bytes(), value)).collect();
        measure(c, count, "scan", &mut list, &wanted);
        drop(list);
        let mut map: HashMap<_, _> = there().map(|(prefix, value)| (prefix.into_bytes(), vec![value])).collect();
        measure(c, count, "hash_map", &mut map, &wanted);
    }
}

fn measure<S: Store>(c: &mut Criterion, count: u32, name: &str, store: &mut S, wanted: &[(Vec<u8>, u32)]) {
    for (what, coming) in [("insert", true), ("remove", false)] {
        let mut group = c.benchmark_group(what);
        group.bench_function(BenchmarkId::new(name, count), |b| {
            b.iter_custom(|subscriptions| come_and_go(store, wanted, subscriptions, coming));
        });
        group.finish();
    }
}

fn crowd(c: &mut Criterion) {
    let mut group = c.benchmark_group("insert_then_remove");
    for count in [1_000, 100_000_u32] {
        group.bench_function(BenchmarkId::new("all_of_one_crowd", count), |b| {
            b.iter_batched_ref(
                || (Trie::new(), Vec::with_capacity(count as usize)),
                |(trie, ids)| {
                    ids.extend((0..count).map(|value| trie.insert(SUBJECT, value)));
                    ids.drain(..).map(|id| u64::from(trie.remove(id))).sum::<u64>()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, matching, patterns, fan_out, changing, crowd);
criterion_main!(benches);
