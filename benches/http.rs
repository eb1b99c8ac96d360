//! Heads of requests, whole and byte by byte: `cargo bench --bench http` (`-- --quick` for a first look).
//!
//! A head that comes whole is the common case; one that comes in pieces must cost no more than in proportion to its bytes, wherever it is cut.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

#[path = "support/heads.rs"]
mod heads;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use heads::{HEADS, HEARTBEAT};
use pushletd::wire::http::{Progress, RequestReader};

/// Pushes a request in pieces of so many bytes; says how long its target is.
fn read(reader: &mut RequestReader, bytes: &[u8], piece: usize) -> usize {
    for piece in bytes.chunks(piece) {
        match reader.push(piece).expect("a good request") {
            (_, Progress::Complete(request)) => return black_box(request).head.path.len(),
            (_, Progress::NeedMore | Progress::SendContinue) => {}
        }
    }
    unreachable!("a request is complete with its last byte");
}

fn parse(criterion: &mut Criterion) {
    for (way, piece) in [("whole", usize::MAX), ("in pieces of 64", 64), ("byte by byte", 1)] {
        let mut group = criterion.benchmark_group(format!("request {way}"));
        for (name, bytes) in HEADS {
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            let mut reader = RequestReader::new();
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| read(&mut reader, black_box(bytes), piece));
            });
        }
        group.finish();
    }
}

/// Many requests in one read, as load generators and proxies send them.
fn pipelined(criterion: &mut Criterion) {
    const REQUESTS: usize = 16;
    let bytes = HEARTBEAT.repeat(REQUESTS);
    let mut group = criterion.benchmark_group("requests in one read");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    let mut reader = RequestReader::new();
    group.bench_function(BenchmarkId::from_parameter(REQUESTS), |bencher| {
        bencher.iter(|| {
            let (mut rest, mut complete) = (black_box(bytes.as_slice()), 0);
            while let Ok((taken, Progress::Complete(request))) = reader.push(rest) {
                black_box(request);
                rest = &rest[taken..];
                complete += 1;
            }
            assert_eq!(complete, REQUESTS);
        });
    });
    group.finish();
}

criterion_group!(benches, parse, pipelined);
criterion_main!(benches);
