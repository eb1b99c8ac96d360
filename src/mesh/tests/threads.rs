//! Ports between real threads: the real queue and the real atomics, of which `tests/shuttle.rs` knows neither.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::{LaneBounds, Port, Weigh, ports};

const COUNT: u64 = 5_000;
/// A core that keeps what has no room sends nothing more while it keeps so many.
const KEPT_MAX: usize = 10;
/// No core is asleep for so long unless its wake-up was lost, however slow the machine is.
const LOST: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Number(u64);

impl Weigh for Number {
    fn weight(&self) -> usize {
        1 + usize::try_from(self.0 % 3).unwrap()
    }
}

/// In place of an eventfd for each core: a channel of one, where a second wake-up changes nothing.
struct Bell {
    ring: Vec<SyncSender<()>>,
    own: Receiver<()>,
}

/// Sends every other core the numbers below [`COUNT`] and receives theirs: odd cores keep what has no room, even cores try again.
fn talk(mut port: Port<Number>, bell: &Bell) {
    let others: Vec<u16> = (0..port.cores()).filter(|core| *core != port.core()).collect();
    let keeps = port.core() % 2 == 1;
    let mut sent = vec![0; usize::from(port.cores())];
    let mut received = sent.clone();
    loop {
        for to in &others {
            let next = &mut sent[usize::from(*to)];
            while *next < COUNT && (!keeps || port.waiting() < KEPT_MAX) {
                if keeps {
                    port.send(*to, Number(*next));
                } else if port.try_send(*to, Number(*next)).is_err() {
                    break;
                }
                *next += 1;
            }
        }
        while let Some((from, Number(number))) = port.receive() {
            let next = &mut received[usize::from(from)];
            assert_eq!(number, *next, "in order, none twice, none lost");
            *next += 1;
        }
        let waits = port.flush();
        port.take_wakes(|core| {
            // Full: it has a wake-up already. Gone: it has all it needs.
            let _ = bell.ring[usize::from(core)].try_send(());
        });
        let done = |counts: &[u64]| others.iter().all(|other| counts[usize::from(*other)] == COUNT);
        if done(&sent) && done(&received) && !waits {
            return;
        }
        let may_go_on = keeps && !done(&sent) && port.waiting() < KEPT_MAX;
        if !may_go_on && port.prepare_sleep() {
            bell.own.recv_timeout(LOST).expect("a wake-up was lost");
        }
        port.wake_up();
    }
}

#[test]
fn threads_talk_through_full_lanes() {
    let cores = 3;
    let (ring, own): (Vec<_>, Vec<_>) = (0..cores).map(|_| sync_channel(1)).unzip();
    std::thread::scope(|scope| {
        for (port, own) in ports(cores, LaneBounds { messages_max: 4, bytes_max: 7 }).into_iter().zip(own) {
            let bell = Bell { ring: ring.clone(), own };
            scope.spawn(move || talk(port, &bell));
        }
    });
}
