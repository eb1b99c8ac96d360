//! One message between two cores: a burst between threads that never sleep, and both ends with their wake-ups on one thread.
//! `cargo bench --bench mesh` (`-- --quick` for a first look). What it takes to wake a sleeping thread is in `wake`.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::{black_box, spin_loop};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pushletd::mesh::{LaneBounds, Port, Weigh, intake, ports};

/// As large as what the server sends: a pointer and a word.
struct Message(u64, #[expect(dead_code, reason = "it only has to be carried")] u64);

impl Weigh for Message {
    fn weight(&self) -> usize {
        256
    }
}

const BOUNDS: LaneBounds = LaneBounds { messages_max: 4096, bytes_max: 4 * 1024 * 1024 };

fn pair() -> (Port<Message>, Port<Message>) {
    let mut both = ports(2, BOUNDS).into_iter();
    (both.next().expect("two"), both.next().expect("two"))
}

/// Time for a number of messages from this thread to another, from the first sent to the last received.
fn burst(c: &mut Criterion) {
    let mut group = c.benchmark_group("mesh");
    group.throughput(Throughput::Elements(1));
    group.bench_function("burst", |b| {
        b.iter_custom(|count| {
            let (mut sender, mut receiver) = pair();
            let (ready, started) = sync_channel(0);
            let consumer = thread::spawn(move || {
                ready.send(()).expect("the other waits for it");
                for expected in 0..count {
                    let (_, Message(number, _)) = loop {
                        match receiver.receive() {
                            Some(received) => break received,
                            None => spin_loop(),
                        }
                    };
                    assert_eq!(number, expected);
                }
            });
            started.recv().expect("the other sends it");
            let start = Instant::now();
            for number in 0..count {
                while sender.try_send(1, Message(number, 0)).is_err() {
                    spin_loop();
                }
            }
            consumer.join().expect("it checks what it receives");
            start.elapsed()
        });
    });
    group.finish();
}

/// What a message costs where nobody else is: send, look for sleepers, receive.
fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("mesh");
    group.throughput(Throughput::Elements(1));
    let (mut sender, mut receiver) = pair();
    group.bench_function("send_take_wakes_receive", |b| {
        b.iter(|| {
            sender.send(1, Message(1, 0));
            sender.take_wakes(|core| {
                black_box(core);
            });
            black_box(receiver.receive());
        });
    });
    group.bench_function("send_receive", |b| {
        b.iter(|| {
            sender.send(1, Message(1, 0));
            black_box(receiver.receive());
        });
    });
    group.finish();
}

/// The same where the receiver sleeps before each message, without the call that it would sleep in: both halves of the wake-up protocol.
fn sleeper(c: &mut Criterion) {
    let mut group = c.benchmark_group("mesh");
    group.throughput(Throughput::Elements(1));
    let (mut sender, mut receiver) = pair();
    group.bench_function("sleep_send_wake_receive", |b| {
        b.iter(|| {
            assert!(receiver.prepare_sleep(), "nothing has arrived");
            sender.send(1, Message(1, 0));
            let mut woken = 0;
            sender.take_wakes(|_| woken += 1);
            assert_eq!(woken, 1, "it slept");
            receiver.wake_up();
            black_box(receiver.receive());
            receiver.take_wakes(|core| {
                black_box(core);
            });
        });
    });
    group.finish();
}

/// What a thread that is no core hands in: the queue for all of them, awake and asleep.
fn inbox(c: &mut Criterion) {
    let mut group = c.benchmark_group("intake");
    group.throughput(Throughput::Elements(1));
    let (inlet, mut core) = intake(BOUNDS);
    group.bench_function("push_take", |b| {
        b.iter(|| {
            assert!(!inlet.push(Message(1, 0)).unwrap_or(true), "nobody sleeps");
            black_box(core.take());
        });
    });
    group.bench_function("sleep_push_wake_take", |b| {
        b.iter(|| {
            assert!(core.prepare_sleep(), "nothing has arrived");
            assert!(inlet.push(Message(1, 0)).unwrap_or(false), "the bell is to be rung");
            core.wake_up();
            black_box(core.take());
        });
    });
    group.finish();
}

criterion_group!(benches, burst, alone, sleeper, inbox);
criterion_main!(benches);
