//! What lies between words and cores: subscriptions, deadlines, lanes.

use std::hint::black_box;

use pushletd::limits::TICK_MS;
use pushletd::mesh::{LaneBounds, Weigh, intake, ports};
use pushletd::session::SessionKey;
use pushletd::time::{Instant, Wheel};
use pushletd::topic::Trie;

use crate::rooms::{SUBJECT, prefixes};
use crate::{HotPath, Step};

const SUBSCRIPTIONS: u32 = 100_000;
const DEADLINES: u32 = 2_000;
const BOUNDS: LaneBounds = LaneBounds { messages_max: 64, bytes_max: 1 << 20 };

pub(crate) fn paths() -> Vec<HotPath> {
    vec![
        HotPath::new("trie-miss-100000", 1, 200, |_| trie_match(SUBJECT, 0)),
        HotPath::new("trie-hit-100000", 1, 200, |_| trie_match(b"/room/0500000/chat/today", 1)),
        HotPath::new("trie-insert-remove-100000", 1, 200, |_| trie_change()),
        HotPath::new("wheel-schedule-expire", u64::from(DEADLINES), 5, |_| deadlines()),
        HotPath::new("wheel-quiet-tick", 512, 2, |_| quiet_ticks()),
        HotPath::new("lane-push-pop", 1, 200, |_| lane(false)),
        HotPath::new("lane-push-wake-pop", 1, 200, |_| lane(true)),
        HotPath::new("intake-push-wake-pop", 1, 200, |_| inbox()),
    ]
}

fn subscriptions() -> Trie<u32> {
    let mut trie = Trie::new();
    for (value, prefix) in (0..).zip(prefixes(SUBSCRIPTIONS)) {
        trie.insert(prefix.as_bytes(), value);
    }
    trie
}

fn trie_match(subject: &'static [u8], expected: u32) -> Step {
    let trie = subscriptions();
    Box::new(move || {
        let mut found = 0;
        trie.for_each_match(black_box(subject), |value| {
            black_box(value);
            found += 1;
        });
        assert_eq!(found, expected);
    })
}

fn trie_change() -> Step {
    let mut trie = subscriptions();
    Box::new(move || {
        let id = trie.insert(black_box(SUBJECT), 7);
        assert_eq!(trie.remove(id), 7);
    })
}

/// Deadlines of 20 s to come, in an order that has nothing to do with time, filed and handed out tick by tick.
fn deadlines() -> Step {
    const SPREAD_MS: u64 = 20_000;
    let (mut wheel, mut fired, mut now) = (Wheel::new(Instant::ZERO), Vec::new(), Instant::ZERO);
    Box::new(move || {
        for slot in 0..DEADLINES {
            let at = now + (1 + u64::from(slot) * 7_919 % SPREAD_MS);
            wheel.schedule(black_box(at), SessionKey { slot, generation: 1 });
        }
        for _ in 0..SPREAD_MS / TICK_MS {
            now = now + TICK_MS;
            wheel.expire(now, &mut fired);
        }
        assert_eq!(fired.len(), DEADLINES as usize);
        fired.clear();
    })
}

/// A turn of the wheel in which nothing is due, with deadlines in every bucket.
fn quiet_ticks() -> Step {
    let (mut wheel, mut fired, mut now) = (Wheel::new(Instant::ZERO), Vec::new(), Instant::ZERO);
    for slot in 0..DEADLINES {
        wheel.schedule(Instant::from_ms((1 << 50) + u64::from(slot) * TICK_MS), SessionKey { slot, generation: 1 });
    }
    Box::new(move || {
        for _ in 0..512 {
            now = now + TICK_MS;
            wheel.expire(now, &mut fired);
            black_box(wheel.next_deadline());
        }
        assert!(fired.is_empty());
    })
}

/// As large as what the server sends: a pointer and a word.
struct Message(u64, u64);

impl Weigh for Message {
    fn weight(&self) -> usize {
        256
    }
}

/// A message from core to core. If the receiver `sleeps`, both sides of the wake-up protocol go with it.
fn lane(sleeps: bool) -> Step {
    let mut both = ports(2, BOUNDS).into_iter();
    let (mut sender, mut receiver) = (both.next().expect("two"), both.next().expect("two"));
    Box::new(move || {
        if sleeps {
            assert!(receiver.prepare_sleep());
        }
        sender.send(1, black_box(Message(1, 2)));
        let mut woken = 0;
        sender.take_wakes(|_| woken += 1);
        assert_eq!(woken, u32::from(sleeps));
        receiver.wake_up();
        let (_, Message(first, second)) = receiver.receive().expect("it was sent");
        black_box((first, second));
    })
}

/// A message of a thread that is no core, to one that sleeps.
fn inbox() -> Step {
    let (inlet, mut core) = intake(BOUNDS);
    Box::new(move || {
        assert!(core.prepare_sleep());
        assert!(inlet.push(black_box(Message(1, 2))).unwrap_or(false), "the bell is to be rung");
        core.wake_up();
        let Message(first, second) = core.take().expect("it was pushed");
        black_box((first, second));
    })
}
