//! The room without interleavings; those are tried by `tests/shuttle.rs`.

use std::sync::Arc;

use super::*;

mod handover;
mod intake;
mod model;
mod threads;

/// A message with a number, a weight, and something to see that it was dropped by.
#[derive(Debug)]
struct Message {
    number: u64,
    weight: usize,
    _alive: Arc<()>,
}

impl Weigh for Message {
    fn weight(&self) -> usize {
        self.weight
    }
}

/// Makes messages, and counts those that live.
#[derive(Default)]
struct Maker {
    next: u64,
    alive: Arc<()>,
}

impl Maker {
    fn make(&mut self, weight: usize) -> Message {
        self.next += 1;
        Message { number: self.next, weight, _alive: Arc::clone(&self.alive) }
    }

    fn alive(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }
}

const BOUNDS: LaneBounds = LaneBounds { messages_max: 4, bytes_max: 100 };

const NOBODY: [u16; 0] = [];

fn two() -> (Port<Message>, Port<Message>) {
    let mut both = ports(2, BOUNDS).into_iter();
    (both.next().unwrap(), both.next().unwrap())
}

fn wakes(port: &mut Port<Message>) -> Vec<u16> {
    let mut named = Vec::new();
    port.take_wakes(|core| named.push(core));
    named
}

fn numbers(port: &mut Port<Message>) -> Vec<u64> {
    std::iter::from_fn(|| port.receive()).map(|(_, message)| message.number).collect()
}

#[test]
fn ports_may_go_to_their_threads() {
    fn check<T: Send>() {}
    check::<Port<Message>>();
}

#[test]
fn one_core_has_nobody_to_wait_for() {
    let mut port = ports::<Message>(1, BOUNDS).pop().unwrap();
    assert_eq!((port.core(), port.cores()), (0, 1));
    assert!(port.has_room_for_all(usize::MAX));
    assert!(port.send_all(7, || unreachable!("there is nobody to make it for")));
    assert!(!port.flush() && port.receive().is_none() && port.inbox_depth() == 0 && port.waiting() == 0);
    assert!(port.prepare_sleep());
    port.wake_up();
    assert_eq!(wakes(&mut port), NOBODY);
}

#[test]
fn bytes_bound_a_lane_and_a_large_message_passes_alone() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    assert!(a.try_send(1, maker.make(60)).is_ok());
    assert!(a.has_room(1, 40) && !a.has_room(1, 41));
    assert_eq!(a.try_send(1, maker.make(41)).unwrap_err().number, 2);
    assert!(a.try_send(1, maker.make(40)).is_ok());
    assert!(!a.has_room(1, 1) && a.has_room(1, 0));
    assert_eq!(numbers(&mut b), [1, 3]);
    assert!(a.try_send(1, maker.make(usize::MAX)).is_ok(), "an empty lane takes any message");
    assert!(!a.has_room(1, 0));
    assert_eq!(numbers(&mut b), [4]);
    assert!(a.has_room(1, 100));
}

#[test]
fn messages_bound_a_lane() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    for _ in 0..BOUNDS.messages_max {
        assert!(a.try_send(1, maker.make(0)).is_ok());
    }
    assert!(a.try_send(1, maker.make(0)).is_err());
    assert_eq!((b.inbox_depth(), b.inbox_depth_from(0), b.inbox_depth_from(1)), (4, 4, 0));
    assert_eq!(b.receive().map(|(from, message)| (from, message.number)), Some((0, 1)));
    assert!(a.try_send(1, maker.make(0)).is_ok());
}

#[test]
fn what_cannot_be_refused_waits_in_front_of_what_comes_later() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    for weight in [90, 20, 5] {
        a.send(1, maker.make(weight));
    }
    assert_eq!(a.waiting(), 2, "the light one stays behind the heavy one");
    assert!(!a.has_room(1, 0) && !a.has_room_for_all(0), "something older waits");
    assert!(a.try_send(1, maker.make(0)).is_err());
    assert!(a.flush(), "nothing was taken, so nothing moves");
    assert_eq!(numbers(&mut b), [1]);
    assert!(!a.has_room(1, 0), "it still waits");
    assert!(!a.flush());
    assert_eq!((a.waiting(), b.inbox_depth()), (0, 2));
    assert_eq!(numbers(&mut b), [2, 3]);
}

#[test]
fn a_message_for_all_goes_to_none_if_one_has_no_room() {
    let mut all: Vec<Port<Message>> = ports(3, BOUNDS);
    let mut maker = Maker::default();
    assert!(all[0].try_send(2, maker.make(100)).is_ok());
    assert!(!all[0].send_all(1, || unreachable!("nothing is made for nobody")));
    assert_eq!(all[1].inbox_depth(), 0);
    assert_eq!(numbers(&mut all[2]), [1]);
    assert!(all[0].send_all(1, || maker.make(1)));
    assert_eq!((numbers(&mut all[1]), numbers(&mut all[2])), (vec![2], vec![3]));
}

#[test]
fn every_sender_has_its_turn() {
    let mut all: Vec<Port<Message>> = ports(4, BOUNDS);
    let mut maker = Maker::default();
    for from in [1, 1, 1, 3, 3, 2] {
        all[from].send(0, maker.make(1));
    }
    let received: Vec<(u16, u64)> =
        std::iter::from_fn(|| all[0].receive()).map(|(from, message)| (from, message.number)).collect();
    assert_eq!(received, [(1, 1), (2, 6), (3, 4), (1, 2), (3, 5), (1, 3)]);
}

#[test]
fn a_sleeper_is_named_once() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    a.send(1, maker.make(1));
    assert_eq!(wakes(&mut a), NOBODY, "it was awake");
    assert!(!b.prepare_sleep(), "a message has arrived");
    assert_eq!(numbers(&mut b), [1]);
    assert!(b.prepare_sleep());
    a.send(1, maker.make(1));
    a.send(1, maker.make(1));
    assert_eq!(wakes(&mut a), [1]);
    a.send(1, maker.make(1));
    assert_eq!(wakes(&mut a), NOBODY, "it is being woken");
    b.wake_up();
    assert_eq!(numbers(&mut b), [2, 3, 4]);
    assert!(b.prepare_sleep());
    b.wake_up();
    a.send(1, maker.make(1));
    assert_eq!(wakes(&mut a), NOBODY, "something else has woken it");
}

#[test]
fn nobody_sleeps_on_the_wake_ups_of_others() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    assert!(b.prepare_sleep());
    a.send(1, maker.make(1));
    assert!(!a.prepare_sleep() && !a.prepare_sleep(), "b must be woken first");
    // Something else wakes b, and it sleeps again before a has named it.
    b.wake_up();
    assert_eq!(numbers(&mut b), [1]);
    assert!(b.prepare_sleep());
    a.send(1, maker.make(1));
    assert_eq!(wakes(&mut a), [1], "once");
    assert!(a.prepare_sleep());
}

#[test]
fn a_sleeper_that_was_refused_learns_of_room_at_half() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    for _ in 0..4 {
        a.send(1, maker.make(10));
    }
    assert!(!a.has_room(1, 10));
    wakes(&mut a);
    assert!(a.prepare_sleep());
    b.receive().unwrap();
    assert_eq!(wakes(&mut b), NOBODY, "three of four: not worth a wake-up");
    b.receive().unwrap();
    assert_eq!(wakes(&mut b), [0]);
    b.receive().unwrap();
    assert_eq!(wakes(&mut b), NOBODY, "told before");
    a.wake_up();
    assert!(!a.prepare_sleep(), "whoever was refused has another turn");
    assert!(a.prepare_sleep(), "one");
    b.receive().unwrap();
    assert_eq!(wakes(&mut b), NOBODY, "nobody waits for room any more");
}

#[test]
fn half_of_the_bytes_count_too() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    for weight in [30, 60, 10] {
        a.send(1, maker.make(weight));
    }
    a.send(1, maker.make(20));
    wakes(&mut a);
    assert!(a.prepare_sleep());
    b.receive().unwrap();
    assert_eq!(wakes(&mut b), NOBODY, "70 of 100 bytes are left");
    b.receive().unwrap();
    assert_eq!(wakes(&mut b), [0]);
    a.wake_up();
    assert!(!a.prepare_sleep(), "what it keeps has room");
    assert!(!a.flush());
    assert_eq!(numbers(&mut b), [3, 4]);
}

#[test]
fn room_that_came_before_the_sleep_prevents_it() {
    let (mut a, mut b) = two();
    let mut maker = Maker::default();
    a.send(1, maker.make(100));
    assert!(!a.has_room(1, 50) && !a.has_room(1, 100));
    assert_eq!(numbers(&mut b), [1]);
    assert_eq!(wakes(&mut b), NOBODY, "a is awake");
    wakes(&mut a);
    assert!(!a.prepare_sleep());
    assert!(a.prepare_sleep());
}

#[test]
fn everything_is_dropped_with_its_ports() {
    let mut maker = Maker::default();
    let mut all: Vec<Port<Message>> = ports(3, BOUNDS);
    for _ in 0..6 {
        all[0].send(1, maker.make(30));
        assert!(all[2].send_all(1, || maker.make(1)) || all[2].inbox_depth() == 0);
    }
    all[1].receive().unwrap();
    assert!(all[0].waiting() > 0 && all[1].inbox_depth() > 0);
    assert!(maker.alive() > 6);
    all.swap_remove(1);
    drop(all);
    assert_eq!(maker.alive(), 0);
}
