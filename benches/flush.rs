//! The path of an event through one core: encoded once for each framing, pushed to everybody, gathered into writes.
//! `cargo bench --bench flush` (`-- --quick` for a first look).
//!
//! `encode` is the bytes that all sessions share. `gather` is the assembly of a write from a queue of 1, 4 and 16 events; layouts that are
//! never streams are written as the body of an answer. `fan-out to 1,000` is everything that a core does for a publish but the kernel.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

#[path = "support/event.rs"]
mod event;
#[path = "support/fleet.rs"]
mod fleet;

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use event::{Encoder, fields};
use fleet::{Fleet, publish};
use pushletd::protocol::{Framing, Overflow};
use pushletd::session::{Bounds, Envelope, Gather, Item, Outbox, Subscriptions};
use pushletd::topic::Trie;

const SESSIONS: u32 = 1_000;
const BOUNDS: Bounds = Bounds { events_max: 65_536, bytes_max: 1 << 28 };

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    for framing in Framing::ALL {
        group.bench_function(BenchmarkId::from_parameter(format!("{framing:?}")), |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.encode(black_box(framing), &mut out)
            });
        });
    }
    group.finish();
}

/// In what a write of this framing is put on its connection.
fn envelopes(framing: Framing) -> &'static [Envelope] {
    match framing {
        Framing::JsonArray | Framing::Object => &[],
        Framing::Message | Framing::MessageDeflate => &[Envelope::Frames],
        Framing::JsonLines => &[Envelope::Chunked, Envelope::Bare],
        _ => &[Envelope::Chunked],
    }
}

fn gather(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gather");
    let label = Subscriptions::new().add(0, "/chat", None, 0, &mut Trie::new()).expect("a subscription");
    let mut encoder = Encoder::new();
    for framing in Framing::ALL {
        let frame = Rc::new(encoder.frame(framing));
        for events in [1_u64, 4, 16] {
            group.throughput(Throughput::Elements(events));
            let mut outbox = Outbox::new();
            for _ in 0..events {
                outbox.push(Rc::clone(&frame), Some(label.clone()), BOUNDS, Overflow::Disconnect);
            }
            let mut gather = Gather::new();
            for envelope in envelopes(framing).iter().copied() {
                group.bench_function(BenchmarkId::new(format!("{framing:?} {envelope:?}"), events), |bencher| {
                    bencher.iter(|| {
                        outbox.gather(framing, envelope, black_box(1_000), &mut gather);
                        gather.with_slices(|slices| black_box(slices).len())
                    });
                });
            }
            if envelopes(framing).is_empty() {
                let item = Item { frame: Rc::clone(&frame), label: Some(label.clone()), lost: 0 };
                let mut body = Vec::new();
                group.bench_function(BenchmarkId::new(format!("{framing:?} body"), events), |bencher| {
                    bencher.iter(|| {
                        body.clear();
                        for seq in 1..=events {
                            black_box(&item).write(framing, seq == 1, seq, &mut body);
                        }
                        body.len()
                    });
                });
            }
        }
    }
    group.finish();
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out to 1,000");
    group.throughput(Throughput::Elements(u64::from(SESSIONS)));
    let said = fields();
    for framing in Framing::ALL {
        let fleet = RefCell::new(Fleet::new(framing, SESSIONS));
        let before = fleet.borrow().delivered();
        fleet.borrow_mut().ask_as_publisher(publish("/chat/lobby", said.clone(), None));
        fleet.borrow_mut().flush();
        assert_eq!(fleet.borrow().delivered() - before, u64::from(SESSIONS), "{framing:?} reaches everybody");
        group.bench_function(BenchmarkId::new("push", format!("{framing:?}")), |bencher| {
            bencher.iter_batched(
                || fleet.borrow_mut().flush(),
                |_| fleet.borrow_mut().ask_as_publisher(publish("/chat/lobby", said.clone(), None)),
                BatchSize::PerIteration,
            );
        });
        for events in [1_u64, 4, 16] {
            group.bench_function(
                BenchmarkId::new(format!("push and flush {events}"), format!("{framing:?}")),
                |bencher| {
                    bencher.iter(|| {
                        let mut fleet = fleet.borrow_mut();
                        (0..events).for_each(|_| fleet.ask_as_publisher(publish("/chat/lobby", said.clone(), None)));
                        fleet.flush()
                    });
                },
            );
        }
    }
    group.finish();
}

fn heartbeats(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("heartbeats of 1,000");
    group.throughput(Throughput::Elements(u64::from(SESSIONS)));
    for framing in [Framing::JsonLines, Framing::EventStream, Framing::Message] {
        let mut fleet = Fleet::new(framing, SESSIONS);
        group.bench_function(BenchmarkId::from_parameter(format!("{framing:?}")), |bencher| {
            bencher.iter(|| fleet.beat());
        });
    }
    group.finish();
}

criterion_group!(benches, encode, gather, fan_out, heartbeats);
criterion_main!(benches);
