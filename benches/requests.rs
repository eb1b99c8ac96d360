//! What stands below HTTP, read: requests of the Pushlet door, bodies of `/v1/publish`, frames and messages of WebSockets.
//! `cargo bench --bench requests` (`-- --quick` for a first look).
#![allow(missing_docs, reason = "the macros of criterion make public items")]

#[path = "support/messages.rs"]
mod messages;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use messages::{BODIES, ITEM, MESSAGE, QUERY};
use pushletd::wire::pushlet::{self, Incoming};
use pushletd::wire::v1::{self, Body, Query};
use pushletd::wire::ws::{self, Bounds, Inbound, Opcode, Role};

const BOUNDS: Bounds = Bounds { frame: 1 << 20, message: 1 << 20 };

fn pushlet_door(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pushlet");
    let of = |post, query, body| Incoming {
        post,
        path: "/pushlet.srv",
        query,
        body,
        user_agent: Some("curl/8.5.0"),
        force_pull_agents: &[],
    };
    let requests = [("query", of(false, QUERY, &[]))].into_iter();
    for (name, incoming) in requests.chain(BODIES.map(|(name, body)| (name, of(true, &[], body)))) {
        group.throughput(Throughput::Bytes((incoming.query.len() + incoming.body.len()) as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| pushlet::read(black_box(&incoming)).expect("a good request"));
        });
    }
    group.finish();
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("v1 publish");
    let query = Query::default();
    for items in [1_usize, 64] {
        let list = [b"[".to_vec(), vec![ITEM; items].join(&b','), b"]".to_vec()].concat();
        let lines = vec![ITEM; items].join(&b'\n');
        group.throughput(Throughput::Elements(items as u64));
        for (name, kind, body) in [("list", Body::Json, list), ("lines", Body::Lines, lines)] {
            group.bench_function(BenchmarkId::new(name, items), |bencher| {
                bencher.iter(|| v1::read(kind, &query, None, black_box(&body)).expect("a good body"));
            });
        }
    }
    group.finish();
}

/// A frame of a client, compressed if the message is.
fn frame(payload: &[u8], compressed: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::write_masked(Opcode::Text, payload, [0x12, 0x34, 0x56, 0x78], &mut frame);
    if compressed {
        // RSV1 (RFC 7692 section 6).
        frame[0] |= 0x40;
    }
    frame
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ws");
    group.throughput(Throughput::Elements(1));
    let mut deflated = Vec::new();
    ws::Deflater::new().deflate(MESSAGE.as_bytes(), &mut deflated);
    deflated.truncate(deflated.len() - ws::TAIL.len());
    let plain = frame(MESSAGE.as_bytes(), false);
    let deflated = frame(&deflated, true);
    for (name, bytes, piece) in [
        ("frame whole", &plain, usize::MAX),
        ("frame byte by byte", &plain, 1),
        ("frame deflated", &deflated, usize::MAX),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| take(black_box(bytes), piece)));
    }
    group.bench_function("message", |bencher| {
        bencher.iter(|| {
            let text = black_box(MESSAGE);
            let places = v1::requests(text).expect("a good message");
            places
                .into_iter()
                .map(|place| v1::request(&text[place]))
                .inspect(|read| assert!(read.wanted.is_ok()))
                .count()
        });
    });
    group.finish();
}

/// Takes a frame that comes in pieces; bytes of a head that is not complete come again with what follows them.
fn take(bytes: &[u8], piece: usize) -> bool {
    let mut inbound = Inbound::new(Role::Server, true);
    let (mut start, mut end) = (0, 0);
    while end < bytes.len() {
        end = bytes.len().min(end.saturating_add(piece));
        let (taken, incoming) = inbound.push(&bytes[start..end], BOUNDS).expect("a good frame");
        start += taken;
        if black_box(incoming).is_some() {
            return true;
        }
    }
    unreachable!("a message is complete with its last byte");
}

criterion_group!(benches, pushlet_door, publish, messages);
criterion_main!(benches);
