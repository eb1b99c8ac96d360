//! Ports against a reference model: two plain queues for each pair of cores, a clock for each core, and a set of sleepers.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::{BOUNDS, Maker, Message, Port, ports};

#[derive(Clone, Copy, Debug)]
enum Step {
    SendAll(usize),
    TrySend(usize, usize),
    Send(usize, usize),
    Flush,
    Receive,
    TakeWakes,
    PrepareSleep,
}

fn steps() -> impl Strategy<Value = (usize, Step)> {
    let weight = || prop_oneof![4 => 0..30_usize, 2 => 30..101_usize, 1 => Just(500_usize)];
    let step = prop_oneof![
        2 => weight().prop_map(Step::SendAll),
        3 => (0..4_usize, weight()).prop_map(|(to, weight)| Step::TrySend(to, weight)),
        3 => (0..4_usize, weight()).prop_map(|(to, weight)| Step::Send(to, weight)),
        1 => Just(Step::Flush),
        6 => Just(Step::Receive),
        2 => Just(Step::TakeWakes),
        2 => Just(Step::PrepareSleep),
    ];
    (0..4_usize, step)
}

/// Numbers, weights and stamps in flight from one core to another, and those that wait for room.
#[derive(Clone, Default)]
struct Pair {
    lane: VecDeque<(u64, usize, u64)>,
    overflow: VecDeque<(u64, usize, u64)>,
}

impl Pair {
    fn bytes(&self) -> usize {
        self.lane.iter().map(|(_, weight, _)| weight).sum()
    }

    fn fits(&self, weight: usize) -> bool {
        let room = self.lane.len() < BOUNDS.messages_max && self.bytes() + weight <= BOUNDS.bytes_max;
        self.lane.is_empty() || room
    }

    fn has_room(&self, weight: usize) -> bool {
        self.overflow.is_empty() && self.fits(weight)
    }

    fn flush(&mut self) {
        while self.overflow.front().is_some_and(|(_, weight, _)| self.fits(*weight)) {
            self.lane.extend(self.overflow.pop_front());
        }
    }

    fn half_empty(&self) -> bool {
        self.lane.len() <= BOUNDS.messages_max / 2 && self.bytes() <= BOUNDS.bytes_max / 2
    }
}

struct Model {
    ports: Vec<Port<Message>>,
    maker: Maker,
    pairs: Vec<Vec<Pair>>,
    clock: Vec<u64>,
    asleep: BTreeSet<usize>,
}

impl Model {
    fn new(cores: usize) -> Self {
        Self {
            ports: ports(u16::try_from(cores).unwrap(), BOUNDS),
            maker: Maker::default(),
            pairs: vec![vec![Pair::default(); cores]; cores],
            clock: vec![0; cores],
            asleep: BTreeSet::new(),
        }
    }

    fn others(&self, core: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.ports.len()).filter(move |other| *other != core)
    }

    fn step(&mut self, core: usize, step: Step) {
        if self.asleep.remove(&core) {
            self.ports[core].wake_up();
        }
        match step {
            Step::SendAll(weight) => self.send_all(core, weight),
            Step::TrySend(to, weight) | Step::Send(to, weight) => {
                let to = to % self.ports.len();
                if to != core {
                    self.send(core, to, weight, matches!(step, Step::Send(..)));
                }
            }
            Step::Flush => {
                self.pairs[core].iter_mut().for_each(Pair::flush);
                let waiting: usize = self.pairs[core].iter().map(|pair| pair.overflow.len()).sum();
                assert_eq!(self.ports[core].flush(), waiting > 0);
            }
            Step::Receive => self.receive(core),
            Step::TakeWakes => self.take_wakes(core),
            Step::PrepareSleep => self.prepare_sleep(core),
        }
        self.check(core);
    }

    fn send_all(&mut self, core: usize, weight: usize) {
        let room = self.others(core).all(|other| self.pairs[core][other].has_room(weight));
        let mut made = Vec::new();
        let sent = self.ports[core].send_all(weight, || {
            let message = self.maker.make(weight);
            made.push(message.number);
            message
        });
        assert_eq!((sent, made.len()), (room, if room { self.ports.len() - 1 } else { 0 }));
        self.clock[core] += u64::from(room);
        for (other, number) in self.others(core).zip(made) {
            self.pairs[core][other].lane.push_back((number, weight, self.clock[core]));
        }
    }

    fn send(&mut self, core: usize, to: usize, weight: usize, keep: bool) {
        let message = self.maker.make(weight);
        let (number, name) = (message.number, u16::try_from(to).unwrap());
        let stamp = self.clock[core] + 1;
        let pair = &mut self.pairs[core][to];
        let room = pair.has_room(weight);
        if keep {
            self.ports[core].send(name, message);
            if room { &mut pair.lane } else { &mut pair.overflow }.push_back((number, weight, stamp));
            self.clock[core] = stamp;
            return;
        }
        assert_eq!(self.ports[core].has_room(name, weight), room);
        match self.ports[core].try_send(name, message) {
            Ok(()) => {
                pair.lane.push_back((number, weight, stamp));
                self.clock[core] = stamp;
            }
            Err(refused) => assert_eq!(refused.number, number),
        }
        assert_eq!(self.pairs[core][to].lane.back().is_some_and(|(last, ..)| *last == number), room);
    }

    fn receive(&mut self, core: usize) {
        let heads = self.others(core).filter_map(|from| Some((self.pairs[from][core].lane.front()?.2, from)));
        let first = heads.min();
        let expected = first.and_then(|(_, from)| Some((from, self.pairs[from][core].lane.pop_front()?.0)));
        let received = self.ports[core].receive().map(|(from, message)| (usize::from(from), message.number));
        assert_eq!(received, expected);
        self.clock[core] = self.clock[core].max(first.map_or(0, |(stamp, _)| stamp));
    }

    fn take_wakes(&mut self, core: usize) {
        let mut named = Vec::new();
        self.ports[core].take_wakes(|other| named.push(usize::from(other)));
        for other in named {
            assert!(self.asleep.remove(&other), "core {other} was awake, or named twice");
            let message = !self.pairs[core][other].lane.is_empty();
            let room = self.pairs[other][core].half_empty();
            assert!(message || room, "core {other} was woken for nothing");
            self.ports[other].wake_up();
        }
        for sleeper in &self.asleep {
            assert!(self.pairs[core][*sleeper].lane.is_empty(), "core {sleeper} sleeps on a message");
            let kept = &self.pairs[*sleeper][core];
            let goes = kept.overflow.front().is_some_and(|(_, weight, _)| kept.fits(*weight));
            assert!(!goes || !kept.half_empty(), "core {sleeper} sleeps on what it keeps");
        }
    }

    fn prepare_sleep(&mut self, core: usize) {
        if self.ports[core].prepare_sleep() {
            for other in self.others(core) {
                assert!(self.pairs[other][core].lane.is_empty(), "a message from {other} has arrived");
                let kept = &self.pairs[core][other];
                assert!(kept.overflow.front().is_none_or(|(_, weight, _)| !kept.fits(*weight)), "{other} has room");
            }
            self.asleep.insert(core);
            return;
        }
        // Every reason for another turn ends with it: the wake-ups are taken, the messages received, the kept sent, the refused told.
        self.take_wakes(core);
        while self.others(core).any(|other| !self.pairs[other][core].lane.is_empty()) {
            self.receive(core);
        }
        self.step(core, Step::Flush);
        self.take_wakes(core);
        let told = self.ports[core].prepare_sleep() || self.ports[core].prepare_sleep();
        assert!(told, "core {core} spins");
        self.asleep.insert(core);
    }

    fn check(&self, core: usize) {
        let port = &self.ports[core];
        let depth = |other: usize| self.pairs[other][core].lane.len();
        assert_eq!(port.inbox_depth(), self.others(core).map(depth).sum::<usize>());
        for other in self.others(core) {
            assert_eq!(port.inbox_depth_from(u16::try_from(other).unwrap()), depth(other));
        }
        assert_eq!(port.waiting(), self.pairs[core].iter().map(|pair| pair.overflow.len()).sum::<usize>());
        let alive: usize = self.pairs.iter().flatten().map(|pair| pair.lane.len() + pair.overflow.len()).sum();
        assert_eq!(self.maker.alive(), alive, "a message is somewhere else, or nowhere");
    }
}

proptest! {
    #[test]
    fn ports_do_what_the_model_does(
        cores in 1..=4_usize,
        steps in proptest::collection::vec(steps(), 1..200),
    ) {
        let mut model = Model::new(cores);
        for (core, step) in steps {
            model.step(core % cores, step);
        }
    }
}
