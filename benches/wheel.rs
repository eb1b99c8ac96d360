//! Deadlines: filing 20,000, handing them out, and ticks at which nothing is due. `cargo bench --bench wheel` (`-- --quick` for a first look).
//!
//! 20,000 is a core with as many sessions; their heartbeats are spread over 20 s. A quiet tick is what an idle core does ten times a second.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pushletd::limits::TICK_MS;
use pushletd::session::SessionKey;
use pushletd::time::{Instant, Wheel};

const DEADLINES: u32 = 20_000;
const SPREAD_MS: u64 = 20_000;

/// A wheel with all of them, spread evenly in an order that has nothing to do with time.
fn schedule(wheel: &mut Wheel<SessionKey>) {
    for slot in 0..DEADLINES {
        let at = 1 + u64::from(slot) * 7_919 % SPREAD_MS;
        wheel.schedule(Instant::from_ms(black_box(at)), SessionKey { slot, generation: 1 });
    }
}

fn deadlines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(u64::from(DEADLINES)));
    let empty = || (Wheel::new(Instant::ZERO), Vec::<SessionKey>::with_capacity(DEADLINES as usize));
    let full = || {
        let (mut wheel, fired) = empty();
        schedule(&mut wheel);
        (wheel, fired)
    };
    group.bench_function("schedule", |bencher| {
        bencher.iter_batched_ref(empty, |(wheel, _)| schedule(wheel), BatchSize::PerIteration);
    });
    group.bench_function("expire in one step", |bencher| {
        bencher.iter_batched_ref(
            full,
            |(wheel, fired)| wheel.expire(Instant::from_ms(SPREAD_MS), fired),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("expire tick by tick", |bencher| {
        bencher.iter_batched_ref(
            full,
            |(wheel, fired)| {
                for now in (0..=SPREAD_MS).step_by(usize::try_from(TICK_MS).expect("a short time")) {
                    wheel.expire(Instant::from_ms(now), fired);
                }
                assert_eq!(fired.len(), DEADLINES as usize);
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn quiet(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quiet tick");
    let mut wheel = Wheel::new(Instant::ZERO);
    let mut fired = Vec::new();
    let mut now = Instant::ZERO;
    group.bench_function("empty", |bencher| {
        bencher.iter(|| {
            now = now + TICK_MS;
            wheel.expire(now, &mut fired);
            wheel.next_deadline()
        });
    });
    // So far away that no measurement comes there: each bucket is looked at once in a turn of the wheel, and nothing in it is due.
    for slot in 0..DEADLINES {
        wheel.schedule(Instant::from_ms((1 << 50) + u64::from(slot)), SessionKey { slot, generation: 1 });
    }
    group.bench_function("20,000 that are far away", |bencher| {
        bencher.iter(|| {
            now = now + TICK_MS;
            wheel.expire(now, &mut fired);
            wheel.next_deadline()
        });
    });
    assert!(fired.is_empty(), "nothing was due");
    group.finish();
}

criterion_group!(benches, deadlines, quiet);
criterion_main!(benches);
