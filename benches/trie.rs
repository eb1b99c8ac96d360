//! One publish among many subscriptions that do not match it: the trie, a linear scan, and a hash map asked for every prefix.
//! `cargo bench --bench trie` (`-- --quick` for a first look).

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use pushletd::topic::{Syntax, Trie, Want};

/// A subject that shares its first 14 bytes with a subscription and matches none.
const SUBJECT: &[u8] = b"/room/0500000/news/today";

fn prefixes(count: u32) -> impl Iterator<Item = String> {
    // Around the room of the subject, so that the paths part as late as they can.
    let first = 500_000 - count / 2;
    (first..first + count).map(|room| format!("/room/{room:07}/chat"))
}

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
        group.bench_function(BenchmarkId::new("trie", count), |b| {
            b.iter(|| {
                trie.for_each_match(black_box(SUBJECT), |value| {
                    black_box(value);
                })
            });
        });
        group.bench_function(BenchmarkId::new("scan", count), |b| {
            b.iter(|| {
                let subject = black_box(SUBJECT);
                list.iter().filter(|(prefix, _)| subject.starts_with(prefix)).for_each(|(_, value)| {
                    black_box(value);
                });
            });
        });
        group.bench_function(BenchmarkId::new("hash_map", count), |b| {
            b.iter(|| {
                let subject = black_box(SUBJECT);
                for len in (1..=subject.len()).rev() {
                    map.get(&subject[..len]).into_iter().flatten().for_each(|value| {
                        black_box(value);
                    });
                }
            });
        });
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

fn changing(c: &mut Criterion) {
    let mut group = c.benchmark_group("insert_then_remove");
    for count in [1, 1_000, 1_000_000] {
        let mut trie = Trie::new();
        for (value, prefix) in (0..).zip(prefixes(count)) {
            trie.insert(prefix.as_bytes(), value);
        }
        group.bench_function(BenchmarkId::new("beside_others", count), |b| {
            b.iter(|| {
                let id = trie.insert(black_box(SUBJECT), 7);
                trie.remove(id)
            });
        });
    }
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

criterion_group!(benches, matching, patterns, fan_out, changing);
criterion_main!(benches);
