//! What one publish costs among 1, 1,000 and 1,000,000 subscriptions that do not match it, beside a linear scan, of one subject again and again
//! and of 65,536 in turn: `cargo run --release --example trie_cost`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pushletd::topic::Trie;

#[path = "../benches/support/spread.rs"]
mod spread;

const SUBJECT: &[u8] = b"/room/0500000/news/today";
const ENOUGH: Duration = Duration::from_millis(200);

/// Nanoseconds that `work` takes, over as many rounds as fit into a fifth of a second.
fn nanoseconds(mut work: impl FnMut() -> usize) -> f64 {
    let begin = Instant::now();
    let mut rounds = 0_u32;
    while begin.elapsed() < ENOUGH {
        for _ in 0..8 {
            black_box(work());
        }
        rounds += 8;
    }
    begin.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
}

fn main() {
    println!(
        "{:>13} {:>13} {:>9} {:>13} {:>13} {:>9} {:>15}",
        "subscriptions", "nodes visited", "trie ns", "of many", "scan ns", "nodes", "bytes per entry"
    );
    for count in [1_u32, 1_000, 1_000_000] {
        let first = 500_000 - count / 2;
        let prefixes: Vec<_> =
            (first..first + count).map(|room| format!("/room/{room:07}/chat").into_bytes()).collect();
        let mut trie = Trie::new();
        for (value, prefix) in (0_u64..).zip(&prefixes) {
            trie.insert(prefix, value);
        }
        let visited = trie.for_each_match(SUBJECT, |_| unreachable!("nothing matches"));
        let by_trie = nanoseconds(|| {
            trie.for_each_match(black_box(SUBJECT), |value| {
                black_box(value);
            })
        });
        let many = spread::spread(count);
        let mut next = many.iter().cycle();
        let of_many = nanoseconds(|| {
            next.next().map_or(0, |subject| {
                trie.for_each_match(black_box(subject), |value| {
                    black_box(value);
                })
            })
        });
        let by_scan = nanoseconds(|| prefixes.iter().filter(|prefix| black_box(SUBJECT).starts_with(prefix)).count());
        let bytes = trie.memory_bytes() as f64 / f64::from(count);
        println!(
            "{count:>13} {visited:>13} {by_trie:>9.0} {of_many:>13.0} {by_scan:>13.0} {:>9} {bytes:>15.0}",
            trie.node_count()
        );
    }
    let mut trie = Trie::new();
    for value in 0..100_000_u64 {
        trie.insert(b"/all", value);
    }
    println!("100,000 subscriptions to one prefix: {:.0} bytes per entry", trie.memory_bytes() as f64 / 100_000.0);
}
