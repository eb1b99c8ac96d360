//! The room `mesh` under a scheduler that tries many interleavings: no wake-up is lost, neither for a message nor for room nor for what
//! threads hand in that are no cores; a message goes to all or to none; each sender's messages stay in order; a connection that moves ends in
//! one place.
//!
//! A lost wake-up shows as a deadlock, for a sleeping core waits here without a time limit. A failure prints its schedule, which
//! `shuttle::replay` runs again; `SHUTTLE_RANDOM_SEED` tries others than the fixed ones.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::VecDeque;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::{Config, Runner, thread};

#[path = "shuttle/handover.rs"]
mod handover;
#[path = "shuttle/mesh.rs"]
mod mesh;

/// The room's bounds, so small that they are met.
mod limits {
    /// Hand-overs of one core under way.
    pub(crate) const HANDOVERS_MAX: usize = 2;
}

use mesh::{Intake, LaneBounds, Port, Weigh, intake, ports};

const SEED: u64 = 0x9d5f_2b1c_77aa_4e03;
/// Places at which one interleaving of the PCT scheduler departs from strict priorities: wake-ups are lost by two or three.
const PCT_DEPTH: usize = 3;

/// Runs `scenario` under so many interleavings of each scheduler.
fn explore(iterations: usize, scenario: fn()) {
    fn run(scheduler: impl Scheduler + 'static, scenario: fn()) {
        let mut config = Config::new();
        // It warns of every weaker ordering; what that means is said at `mesh::sync`.
        config.silence_warnings = true;
        config.stack_size = 128 * 1024;
        Runner::new(scheduler, config).run(scenario);
    }
    run(RandomScheduler::new_from_seed(SEED, iterations), scenario);
    run(PctScheduler::new_from_seed(SEED, PCT_DEPTH, iterations), scenario);
}

/// What the kernel does for sleeping cores: a write is kept until it is read.
#[derive(Clone)]
struct Wakes(Arc<Vec<(Mutex<bool>, Condvar)>>);

impl Wakes {
    fn new(cores: u16) -> Self {
        Self(Arc::new((0..cores).map(|_| (Mutex::new(false), Condvar::new())).collect()))
    }

    fn write(&self, core: u16) {
        let (written, readable) = &self.0[usize::from(core)];
        *written.lock().unwrap() = true;
        readable.notify_one();
    }

    fn wait(&self, core: u16) {
        let (written, readable) = &self.0[usize::from(core)];
        let mut written = written.lock().unwrap();
        while !*written {
            written = readable.wait(written).unwrap();
        }
        *written = false;
    }

    /// The end of a turn: wakes the others, and sleeps if there is nothing to do.
    fn end_turn<T: Weigh>(&self, port: &mut Port<T>) {
        port.take_wakes(|core| self.write(core));
        if port.prepare_sleep() {
            self.wait(port.core());
        }
        port.wake_up();
    }
}

struct Message {
    number: u64,
    weight: usize,
}

impl Weigh for Message {
    fn weight(&self) -> usize {
        self.weight
    }
}

const BYTES_MAX: usize = 10;

/// Lighter and heavier messages: two fill a lane of two by their number (4 and 3) or by their bytes (6 and 4), and one passes only alone.
fn message(number: u64) -> Message {
    let weights = [4, 3, 1, 12, 6];
    Message { number, weight: weights[usize::try_from(number).unwrap() % weights.len()] }
}

/// How a core sends in a scenario.
#[derive(Clone, Copy)]
enum Sending {
    /// Tries, and tries again in each turn.
    Try,
    /// Leaves what has no room to the port.
    Keep,
    /// To all others at once.
    All,
    Nothing,
}

/// One core: sends `count` messages to each other core and receives `expected` in all, as many from each of those who send.
struct Core {
    port: Port<Message>,
    wakes: Wakes,
    sending: Sending,
    to_send: Vec<VecDeque<Message>>,
    next_from: Vec<u64>,
    expected: u64,
}

impl Core {
    fn new(port: Port<Message>, wakes: Wakes, sending: Sending, count: u64, expected: u64) -> Self {
        let cores = usize::from(port.cores());
        let count = if matches!(sending, Sending::Nothing) { 0 } else { count };
        let mut to_send: Vec<VecDeque<Message>> = (0..cores).map(|_| (0..count).map(message).collect()).collect();
        to_send[usize::from(port.core())].clear();
        Self { port, wakes, sending, to_send, next_from: vec![0; cores], expected }
    }

    fn send(&mut self) {
        if matches!(self.sending, Sending::All) {
            let lists = &mut self.to_send;
            while let Some((number, weight)) = lists.iter().find_map(|list| list.front().map(|m| (m.number, m.weight)))
            {
                let mut made = 0;
                let sent = self.port.send_all(weight, || {
                    made += 1;
                    message(number)
                });
                assert_eq!(made, if sent { self.port.cores() - 1 } else { 0 }, "all or nothing");
                if !sent {
                    return;
                }
                for list in lists.iter_mut() {
                    list.pop_front();
                }
            }
        }
        for (to, list) in (0..).zip(&mut self.to_send) {
            while let Some(first) = list.pop_front() {
                if matches!(self.sending, Sending::Keep) {
                    self.port.send(to, first);
                } else if let Err(refused) = self.port.try_send(to, first) {
                    list.push_front(refused);
                    break;
                }
            }
        }
    }

    fn run(mut self) -> Port<Message> {
        loop {
            self.send();
            while let Some((from, received)) = self.port.receive() {
                let next = &mut self.next_from[usize::from(from)];
                assert_eq!(received.number, *next, "in order from core {from}, nothing twice, nothing lost");
                *next += 1;
                self.expected -= 1;
            }
            let waits = self.port.flush();
            if self.expected == 0 && !waits && self.to_send.iter().all(VecDeque::is_empty) {
                // Others may wait for this last message, or for the room that it left.
                self.port.take_wakes(|core| self.wakes.write(core));
                return self.port;
            }
            self.wakes.end_turn(&mut self.port);
        }
    }
}

/// Each lane is empty, and its account says so: one byte and all the others but one fit, and not one more.
fn check_accounts(ports: &mut [Port<Message>]) {
    let cores = u16::try_from(ports.len()).unwrap();
    assert!(ports.iter().all(|port| port.inbox_depth() == 0 && port.waiting() == 0));
    for port in ports {
        let core = port.core();
        for to in (0..cores).filter(|to| *to != core) {
            assert!(port.try_send(to, Message { number: 0, weight: 1 }).is_ok());
            assert!(port.has_room(to, BYTES_MAX - 1) && !port.has_room(to, BYTES_MAX));
        }
    }
}

/// So many cores as there are `sending`, each with `count` messages for each other core.
fn exchange(sending: &[Sending], count: u64, messages_max: usize) {
    let cores = u16::try_from(sending.len()).unwrap();
    let wakes = Wakes::new(cores);
    let threads: Vec<_> = ports(cores, LaneBounds { messages_max, bytes_max: BYTES_MAX })
        .into_iter()
        .zip(sending)
        .map(|(port, how)| {
            let talking =
                |(at, how): &(usize, &Sending)| *at != usize::from(port.core()) && !matches!(how, Sending::Nothing);
            let senders = sending.iter().enumerate().filter(talking).count() as u64;
            let core = Core::new(port, wakes.clone(), *how, count, senders * count);
            thread::spawn(move || core.run())
        })
        .collect();
    let mut ports: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    check_accounts(&mut ports);
}

#[test]
fn a_sleeper_learns_of_every_message() {
    // Room for all that is sent: nobody waits for room, so only messages wake.
    explore(8000, || exchange(&[Sending::Try, Sending::Nothing], 2, 4));
}

#[test]
fn a_sleeper_learns_of_room() {
    // The receiver sends nothing, so only room wakes the sender.
    explore(8000, || exchange(&[Sending::Try, Sending::Nothing], 6, 2));
}

#[test]
fn a_sleeper_learns_of_room_for_what_it_keeps() {
    explore(8000, || exchange(&[Sending::Keep, Sending::Nothing], 6, 2));
}

#[test]
fn a_message_for_all_reaches_all_or_none() {
    explore(1500, || exchange(&[Sending::All, Sending::Nothing, Sending::Nothing], 5, 2));
}

#[test]
fn two_cores_talk_through_full_lanes() {
    explore(1500, || exchange(&[Sending::Keep, Sending::Try], 5, 2));
}

#[test]
fn three_cores_talk_through_full_lanes() {
    explore(800, || exchange(&[Sending::All, Sending::Keep, Sending::Try], 4, 2));
}

/// A8: what one client publishes through two cores, one behind the other's ack, a third core receives in that order.
#[test]
fn what_follows_an_ack_is_received_behind_it() {
    fn scenario() {
        let mut all = ports::<Message>(3, LaneBounds { messages_max: 4, bytes_max: 100 });
        let (mut last, mut first, mut second) = (all.pop().unwrap(), all.pop().unwrap(), all.pop().unwrap());
        let one = thread::spawn(move || {
            // The event, and then the ack to the core that has the connection.
            first.send(2, Message { number: 1, weight: 1 });
            first.send(0, Message { number: 0, weight: 1 });
        });
        let two = thread::spawn(move || {
            while second.receive().is_none() {
                thread::yield_now();
            }
            second.send(2, Message { number: 2, weight: 1 });
        });
        let mut received = Vec::new();
        while received.len() < 2 {
            match last.receive() {
                Some((_, message)) => received.push(message.number),
                None => thread::yield_now(),
            }
        }
        one.join().unwrap();
        two.join().unwrap();
        assert_eq!(received, [1, 2], "the effect before its cause");
    }
    explore(1000, scenario);
}

/// Threads that are no cores hand in so many messages each, again where there is no room; a core that sleeps without a time limit takes all of
/// them, each thread's in order.
fn hand_in(threads: u64, count: u64, messages_max: usize) {
    let wakes = Wakes::new(1);
    let (inlet, mut core): (_, Intake<Message>) = intake(LaneBounds { messages_max, bytes_max: 100 });
    let inlet = Arc::new(inlet);
    let producers: Vec<_> = (0..threads)
        .map(|thread| {
            let (inlet, wakes) = (Arc::clone(&inlet), wakes.clone());
            thread::spawn(move || {
                for number in 0..count {
                    let number = thread * count + number;
                    let mut refused = Some(Message { number, weight: 1 });
                    while let Some(message) = refused.take() {
                        match inlet.push(message) {
                            Ok(rings) => rings.then(|| wakes.write(0)),
                            Err(message) => {
                                refused = Some(message);
                                thread::yield_now();
                                None
                            }
                        };
                    }
                }
            })
        })
        .collect();
    let mut next: Vec<u64> = (0..threads).map(|thread| thread * count).collect();
    let mut left = threads * count;
    while left > 0 {
        core.wake_up();
        // As in a turn: a share, and then the look before the sleep.
        for message in (0..2).map_while(|_| core.take()) {
            let from = usize::try_from(message.number / count).unwrap();
            assert_eq!(message.number, next[from], "in order from thread {from}, nothing twice, nothing lost");
            next[from] += 1;
            left -= 1;
        }
        if left > 0 && core.prepare_sleep() {
            wakes.wait(0);
        }
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    assert!(core.is_empty());
}

#[test]
fn a_sleeper_learns_of_what_is_handed_in() {
    explore(4000, || hand_in(1, 3, 4));
    explore(4000, || hand_in(2, 2, 4));
}

#[test]
fn what_finds_no_room_is_handed_in_again() {
    explore(1500, || hand_in(2, 3, 1));
}
