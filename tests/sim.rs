//! The simulator: one to five cores with real hubs and real lanes between them, an invented kernel, and clients that come, stall, vanish,
//! move, publish (one event, or a batch), pull, hear by Server-Sent Events and return, or do all that on a WebSocket, beside a program that
//! publishes without a session.
//! Bells come late, queues are full, descriptors are dropped, cores pause and clocks jump. One seed is one run; time is virtual.
//! `sim/oracle.rs` says what everybody must hear, and nothing of it comes from the program.
//!
//! ```text
//! cargo test --test sim                                      the seeds of every day
//! PUSHLETD_SIM_SEEDS=1000..2000 cargo test --test sim        a range
//! PUSHLETD_SIM_SEED=123 cargo test --test sim one_seed -- --nocapture
//! ./tests/soak                                               10,000 seeds
//! ```

#[path = "sim/client.rs"]
mod client;
#[path = "sim/core.rs"]
mod core;
#[path = "sim/exchange.rs"]
mod exchange;
#[path = "sim/kernel.rs"]
mod kernel;
#[path = "sim/modern.rs"]
mod modern;
#[path = "sim/oracle.rs"]
mod oracle;
#[path = "sim/plan.rs"]
mod plan;
#[path = "sim/program.rs"]
mod program;
#[path = "sim/reader.rs"]
mod reader;
#[path = "sim/run.rs"]
mod run;
#[path = "sim/socket.rs"]
mod socket;
#[path = "sim/web.rs"]
mod web;
#[path = "sim/world.rs"]
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

/// The seeds of every day.
const SEEDS: Range<u64> = 0..256;
/// Seeds are run on so many threads.
const THREADS: u64 = 2;

type Counts = BTreeMap<&'static str, u64>;

/// What must have happened in the seeds of every day. A change of the generator must not stop testing something in silence.
const SITUATIONS: [&str; 61] = [
    "WebSocket begun",
    "WebSocket closed by its client",
    "WebSocket cut within a message",
    "abort: lease",
    "abort: queue full",
    "abort: shutdown",
    "answer 400",
    "answer 503",
    "answer behind an event that was out in part",
    "answer between two events",
    "answer from another core",
    "answer to a session that has ended",
    "answer with events cut off",
    "batch answered",
    "batch of writes is full",
    "bell",
    "client hung up",
    "client not listened to is not silent",
    "client stalls",
    "clock jump",
    "connection came back",
    "connection reset for taking nothing",
    "connection sent off",
    "connection taken in",
    "connection turned away",
    "data connection cut off",
    "departure given up",
    "descriptor dropped",
    "descriptor socket full",
    "end told to a WebSocket",
    "event heard",
    "event lost",
    "event of a WebSocket published",
    "event of a WebSocket refused",
    "event of a batch published",
    "event of a batch refused",
    "event of the program for everyone",
    "event of the program for one",
    "event of the program for subscribers",
    "event of the program published",
    "event of the program refused",
    "event of the program waits",
    "event relayed",
    "event stream amended",
    "event stream begun",
    "events told to be lost",
    "half-close",
    "letters that waited at a tick",
    "long pause",
    "message answered later",
    "nothing to unsubscribe",
    "ping",
    "publish refused as overloaded",
    "request forwarded",
    "request too slow",
    "session complete",
    "unread bytes handed over",
    "unsubscribed on a WebSocket",
    "write cut short",
    "write cut short among others",
    "writes made together",
];

thread_local! {
    /// What the last run of this thread said when it failed.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Failures are told at the end, in a line each.
fn keep_failures() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |failure| {
            let running = RUNNING.get();
            if running {
                SAID.set(failure.to_string());
            }
            if !running || env("RUST_BACKTRACE").is_some_and(|wanted| wanted != "0") {
                usual(failure);
            }
        }));
    });
}

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Does something that panics where something is wrong.
fn catch<R>(what: impl FnOnce() -> R) -> Result<R, String> {
    RUNNING.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(what));
    RUNNING.set(false);
    outcome.map_err(|_| SAID.take())
}

fn run(seed: u64) -> Result<Counts, String> {
    catch(|| {
        let mut world = World::new(seed, false);
        world.run_all();
        world.counts()
    })
}

/// Runs a seed that has failed once more and tells what led to it.
fn tell(seed: u64) -> ! {
    let mut world = World::new(seed, true);
    let failure = catch(|| world.run_all());
    for line in world.trace() {
        eprintln!("{line}");
    }
    let again = format!("PUSHLETD_SIM_SEED={seed} cargo test --test sim one_seed -- --nocapture");
    match failure {
        Err(said) => panic!("seed {seed} fails behind these steps: {said}\nAgain: {again}"),
        Ok(()) => panic!("seed {seed} failed once and not again: a run depends on more than its seed.\n{again}"),
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn seeds() -> Range<u64> {
    let Some(text) = env("PUSHLETD_SIM_SEEDS") else { return SEEDS };
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or_else(|| panic!("PUSHLETD_SIM_SEEDS={text}: a range is FROM..TO"))
}

/// Runs all of `seeds` on a few threads. Gives the sums of what has happened, and the seeds that failed.
fn run_all(seeds: &Range<u64>, stop_early: bool) -> (Counts, Vec<u64>) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let (mut sums, mut failed) = (Counts::new(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (sums, failed);
            }
            match run(seed) {
                Ok(counts) => counts.into_iter().for_each(|(what, many)| *sums.entry(what).or_insert(0) += many),
                Err(said) => {
                    eprintln!("seed {seed}: {said}");
                    failed.push(seed);
                    if stop_early {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let (mut sums, mut failed) = (Counts::new(), Vec::new());
        for thread in threads {
            let (counts, more) = thread.join().expect("a thread that catches what its runs throw");
            counts.into_iter().for_each(|(what, many)| *sums.entry(what).or_insert(0) += many);
            failed.extend(more);
        }
        failed.sort_unstable();
        (sums, failed)
    })
}

/// A3, A5, A8, P-14 and P-19 to P-32 across cores: nobody hears what is not theirs; who keeps up misses nothing or is told so; the order of
/// a publisher is kept; nothing comes twice; what was refused reached nobody; memory stays within its bounds; a drain leaves nothing.
#[test]
fn every_seed_keeps_the_rules() {
    keep_failures();
    let seeds = seeds();
    let (sums, failed) = run_all(&seeds, seeds == SEEDS);
    if let Some(first) = failed.first() {
        eprintln!("failing seeds: {failed:?}");
        tell(*first);
    }
    for (what, many) in &sums {
        println!("{many:>12} {what}");
    }
    if seeds == SEEDS {
        let never: Vec<&str> =
            SITUATIONS.into_iter().filter(|what| sums.get(what).is_none_or(|many| *many == 0)).collect();
        assert!(never.is_empty(), "these have not come to pass in any run: {never:?}");
    }
}

/// One seed of one's choice, with its last steps if it fails.
#[test]
fn one_seed() {
    keep_failures();
    let seed = env("PUSHLETD_SIM_SEED").map_or(0, |text| text.parse().expect("a seed is a number"));
    match run(seed) {
        Ok(counts) => println!("{counts:#?}"),
        Err(_) => tell(seed),
    }
}
