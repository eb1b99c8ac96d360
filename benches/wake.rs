//! What it takes to wake a sleeping core: `cargo bench --bench wake` (`-- --quick` for a first look).
//!
//! Two threads with a port each send one message to and fro. Who has nothing to receive arms itself and waits in the kernel for its eventfd, and
//! the other one writes there because the port says so: the wake-up of the server, without its turn. A round trip is two messages, two writes and
//! two sleeps. `eventfd alone` is the same without ports: what of it is the kernel's.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pushletd::mesh::{LaneBounds, Port, Weigh, ports};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;

/// As large as what the server sends: a pointer and a word.
struct Message(u64, #[expect(dead_code, reason = "it only has to be carried")] u64);

impl Weigh for Message {
    fn weight(&self) -> usize {
        256
    }
}

const BOUNDS: LaneBounds = LaneBounds { messages_max: 4096, bytes_max: 4 * 1024 * 1024 };

type Bells = Arc<[OwnedFd; 2]>;

fn bells() -> Bells {
    let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("a descriptor");
    Arc::new([bell(), bell()])
}

fn ring(bell: &OwnedFd) {
    rustix::io::write(bell, &1_u64.to_ne_bytes()).expect("an eventfd takes it");
}

/// Sleeps until the bell is rung, as a core does: in a call that waits for readiness, and the count is read behind it.
fn sleep(bell: &OwnedFd) {
    loop {
        match poll(&mut [PollFd::new(bell, PollFlags::IN)], None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
    let mut count = [0; 8];
    rustix::io::read(bell, &mut count).expect("it was rung");
}

/// One end: sends and receives with the protocol of `mesh::port`.
struct End {
    port: Port<Message>,
    other: u16,
    bells: Bells,
}

impl End {
    fn send(&mut self, number: u64) {
        self.port.send(self.other, Message(number, 0));
        let bells = &self.bells;
        self.port.take_wakes(|core| ring(&bells[usize::from(core)]));
    }

    fn receive(&mut self) -> u64 {
        loop {
            if let Some((_, Message(number, _))) = self.port.receive() {
                return number;
            }
            if self.port.prepare_sleep() {
                sleep(&self.bells[usize::from(self.port.core())]);
                self.port.wake_up();
            }
            // Who was told of room has nobody to tell it to, and who received has.
            let bells = &self.bells;
            self.port.take_wakes(|core| ring(&bells[usize::from(core)]));
        }
    }
}

fn with_ports(rounds: u64) -> Duration {
    let bells = bells();
    let mut ends =
        (0_u16..).zip(ports(2, BOUNDS)).map(|(core, port)| End { port, other: 1 - core, bells: Arc::clone(&bells) });
    let (mut here, mut there) = (ends.next().expect("two"), ends.next().expect("two"));
    let echo = thread::spawn(move || {
        for _ in 0..=rounds {
            let number = there.receive();
            there.send(number);
        }
    });
    // The first round is for the thread to begin.
    here.send(0);
    assert_eq!(here.receive(), 0);
    let begin = Instant::now();
    for round in 1..=rounds {
        here.send(round);
        assert_eq!(here.receive(), round);
    }
    let took = begin.elapsed();
    echo.join().expect("it echoes");
    took
}

fn alone(rounds: u64) -> Duration {
    let bells = bells();
    let theirs = Arc::clone(&bells);
    let echo = thread::spawn(move || {
        for _ in 0..=rounds {
            sleep(&theirs[1]);
            ring(&theirs[0]);
        }
    });
    let round = || {
        ring(&bells[1]);
        sleep(&bells[0]);
    };
    round();
    let begin = Instant::now();
    (0..rounds).for_each(|_| round());
    let took = begin.elapsed();
    echo.join().expect("it echoes");
    took
}

fn wakes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wake, round trip");
    group.throughput(Throughput::Elements(2));
    group.bench_function("message to a sleeper", |bencher| bencher.iter_custom(with_ports));
    group.bench_function("eventfd alone", |bencher| bencher.iter_custom(alone));
    group.finish();
}

criterion_group!(benches, wakes);
criterion_main!(benches);
