//! The path of an event through one core: encoded once for each framing, pushed to everybody, gathered into writes.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pushletd::broker::{Broker, Settings};
use pushletd::protocol::{
    Agent, Audience, Command, Event, Fields, Format, FormatName, Framing, Listen, Mode, ModeName, Origin, Overflow,
    Payload, ReplyToken, Request,
};
use pushletd::session::{Bounds, Envelope, Frame, Gather, Outbox, Subscriptions};
use pushletd::time::{Instant, Now};
use pushletd::topic::{Subject, Trie};
use pushletd::wire::pushlet;

const SESSIONS: u32 = 1_000;
/// A chat line: 150 bytes or so in every format.
const FIELDS: [(&str, &str); 6] = [
    ("p_event", "data"),
    ("p_subject", "/chat/lobby"),
    ("p_from", "AAZvKX1nq0-cPz3uTqGxwE9g"),
    ("name", "somebody"),
    ("text", "it's quiet in here, isn't it?"),
    ("p_time", "1753000000"),
];
const BOUNDS: Bounds = Bounds { events_max: 65_536, bytes_max: 1 << 28 };

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    for framing in Framing::ALL {
        let mut out = Vec::new();
        group.bench_function(BenchmarkId::from_parameter(format!("{framing:?}")), |bencher| {
            bencher.iter(|| {
                out.clear();
                pushlet::shared_part(framing, black_box(FIELDS).into_iter(), &mut out)
            });
        });
    }
    group.finish();
}

/// A core with that many open streams that have subscribed to the subject of [`event`].
fn broker_with_streams(now: Now, format: Format) -> Broker {
    let settings = Settings { bounds: BOUNDS, ..Settings::default() };
    let mut broker = Broker::new(settings, now, 1);
    for connection in 0..SESSIONS {
        let subject = Some(Box::from("/chat"));
        let listen = Listen { mode: ModeName::Known(Mode::Stream), subject, ..Listen::default() };
        let token = ReplyToken { core: 0, connection, serial: 1 };
        let bits = u128::from(connection) + 1;
        let request = Request {
            token,
            command: Command::JoinListen { format: FormatName::Known(format), listen },
            path: Arc::from("/pushlet.srv"),
            chunked: true,
            agent: Agent::default(),
            draw: [bits, bits],
        };
        broker.handle_request(now, request);
        while broker.poll_output().is_some() {}
    }
    broker
}

fn event() -> Arc<Event> {
    Arc::new(Event {
        name: None,
        subject: Subject::new("/chat/lobby").expect("a subject"),
        payload: Payload::Fields(FIELDS.into_iter().skip(3).collect::<Fields>()),
        origin: Origin::default(),
        position: None,
        accepted_at: 1_753_000_000,
    })
}

/// Sockets that take everything.
fn flush(broker: &mut Broker, now: Now, gather: &mut Gather) -> usize {
    let mut bytes = 0;
    while let Some((session, _)) = broker.poll_transmit(now, gather) {
        let len = gather.with_slices(|slices| black_box(slices).iter().map(|slice| slice.len()).sum());
        broker.handle_sent(now, session, gather, len, false);
        bytes += len;
    }
    bytes
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out to 1,000 streams");
    group.throughput(Throughput::Elements(u64::from(SESSIONS)));
    let now = Now { instant: Instant::ZERO, unix_s: 1_753_000_000 };
    let event = event();
    for format in [Format::Js, Format::Json] {
        let (broker, gather) = (RefCell::new(broker_with_streams(now, format)), RefCell::new(Gather::new()));
        group.bench_function(BenchmarkId::new("push", format.name()), |bencher| {
            bencher.iter_batched(
                || flush(&mut broker.borrow_mut(), now, &mut gather.borrow_mut()),
                |_| broker.borrow_mut().handle_event(now, &event, &Audience::Subscribers),
                BatchSize::PerIteration,
            );
        });
        for events in [1_u64, 4, 16] {
            group.bench_function(BenchmarkId::new(format!("push and flush {events}"), format.name()), |bencher| {
                bencher.iter(|| {
                    let mut broker = broker.borrow_mut();
                    (0..events).for_each(|_| broker.handle_event(now, &event, &Audience::Subscribers));
                    flush(&mut broker, now, &mut gather.borrow_mut())
                });
            });
        }
    }
    group.finish();
}

fn gather(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gather");
    let label = Subscriptions::new().add(0, "/chat", None, 0, &mut Trie::new()).expect("a subscription");
    for (framing, envelope) in [
        (Framing::Js, Envelope::Chunked),
        (Framing::JsonLines, Envelope::Chunked),
        (Framing::JsonLines, Envelope::Bare),
    ] {
        let mut bytes = Vec::new();
        let info = pushlet::shared_part(framing, FIELDS.into_iter(), &mut bytes);
        let frame = Rc::new(Frame::new(bytes, info.fields, Subject::new("/chat/lobby").ok()));
        for events in [1_u64, 4, 16] {
            let mut outbox = Outbox::new();
            for _ in 0..events {
                outbox.push(Rc::clone(&frame), Some(label.clone()), BOUNDS, Overflow::Disconnect);
            }
            let mut gather = Gather::new();
            group.throughput(Throughput::Elements(events));
            group.bench_function(BenchmarkId::new(format!("{framing:?} {envelope:?}"), events), |bencher| {
                bencher.iter(|| {
                    outbox.gather(framing, envelope, black_box(1_000), &mut gather);
                    gather.with_slices(|slices| black_box(slices).len())
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, encode, fan_out, gather);
criterion_main!(benches);
