//! The wheel against a plain list of deadlines, and the table of its edges.

use proptest::prelude::*;

use super::*;

impl<K: Copy> Wheel<K> {
    pub(super) fn check_invariants(&self) {
        let mut counted = self.overdue.len();
        for (index, bucket) in self.buckets.iter().enumerate() {
            let bit = self.occupied[index / WORD_BITS] >> (index % WORD_BITS) & 1;
            assert_eq!(bit == 1, !bucket.is_empty(), "bucket {index}");
            assert!(
                bucket
                    .iter()
                    .all(|entry| u64::from(entry.tick) > self.done && bucket_of(u64::from(entry.tick)) == index),
                "bucket {index}"
            );
            counted += bucket.len();
        }
        assert_eq!(counted, self.len);
    }
}

fn at(ms: u64) -> Instant {
    Instant::from_ms(ms)
}

fn expired(wheel: &mut Wheel<u32>, ms: u64) -> Vec<u32> {
    let mut fired = Vec::new();
    wheel.expire(at(ms), &mut fired);
    fired
}

#[test]
fn a_deadline_is_rounded_up_to_a_tick_and_never_early() {
    let mut wheel = Wheel::new(at(30));
    wheel.schedule(at(31), 1);
    wheel.schedule(at(130), 2);
    wheel.schedule(at(131), 3);
    assert!(expired(&mut wheel, 129).is_empty());
    assert_eq!(expired(&mut wheel, 130), [1, 2]);
    assert_eq!(wheel.next_deadline(), Some(at(230)));
    assert!(expired(&mut wheel, 229).is_empty());
    assert_eq!(expired(&mut wheel, 230), [3]);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_deadline_in_the_past_fires_at_the_next_expire() {
    let mut wheel = Wheel::new(at(0));
    assert!(expired(&mut wheel, 1_050).is_empty());
    for past in [0, 999, 1_000, 1_049, 1_050] {
        wheel.schedule(at(past), past as u32);
    }
    assert_eq!(wheel.next_deadline(), Some(at(1_050)));
    assert_eq!(wheel.len(), 5);
    // Even if the clock stands still, and even if it steps back.
    assert_eq!(expired(&mut wheel, 900), [0, 999, 1_000, 1_049, 1_050]);
    wheel.schedule(at(1_051), 7);
    assert!(expired(&mut wheel, 1_099).is_empty());
    assert_eq!(expired(&mut wheel, 1_100), [7]);
}

#[test]
fn far_deadlines_wait_their_turns() {
    let turn_ms = BUCKETS as u64 * TICK_MS;
    let mut wheel = Wheel::new(at(0));
    wheel.schedule(at(5 * turn_ms + 700), 5);
    wheel.schedule(at(700), 0);
    wheel.schedule(at(turn_ms + 700), 1);
    assert_eq!(expired(&mut wheel, 700), [0]);
    assert_eq!(wheel.next_deadline(), Some(at(turn_ms + 700)));
    for turn in 1..5 {
        let due = expired(&mut wheel, turn * turn_ms + 700);
        assert_eq!(due, if turn == 1 { vec![1] } else { vec![] });
    }
    assert!(expired(&mut wheel, 5 * turn_ms + 699).is_empty());
    assert_eq!(expired(&mut wheel, 5 * turn_ms + 700), [5]);
}

#[test]
fn a_jump_of_hours_fires_everything_due_and_keeps_the_rest() {
    let hour = 3_600_000;
    let mut wheel = Wheel::new(at(0));
    for minute in 0..180_u32 {
        wheel.schedule(at(u64::from(minute) * 60_000 + 1), minute);
    }
    let mut fired = expired(&mut wheel, 2 * hour);
    fired.sort_unstable();
    assert_eq!(fired, (0..120).collect::<Vec<_>>());
    assert_eq!(wheel.len(), 60);
    assert_eq!(expired(&mut wheel, u64::MAX).len(), 60);
}

#[test]
fn the_end_of_time_neither_overflows_nor_is_filed() {
    let mut wheel = Wheel::new(at(7));
    wheel.schedule(Instant::NEVER, 1);
    assert!(wheel.is_empty());
    wheel.schedule(at(u64::MAX - 1), 2);
    assert!(wheel.next_deadline().is_some_and(|bound| bound < Instant::NEVER));
    assert!(expired(&mut wheel, 7 + (u64::from(u32::MAX) - 1) * TICK_MS).is_empty());
    // In thirteen years the counting ends; what matters is that nothing panics.
    assert_eq!(expired(&mut wheel, u64::MAX - 60_000), [2]);
    wheel.schedule(at(u64::MAX - 1), 3);
    assert_eq!(expired(&mut wheel, u64::MAX), [3]);
    assert!(wheel.is_empty());
}

#[test]
fn a_burst_leaves_no_memory_behind() {
    let mut wheel = Wheel::new(at(0));
    for key in 0..100_000 {
        wheel.buckets[bucket_of(3)].push(Filed { tick: 3, key });
        wheel.overdue.push(key);
    }
    wheel.occupied[0] |= 1 << 3;
    wheel.len = 200_000;
    assert_eq!(expired(&mut wheel, 300).len(), 200_000);
    assert!(wheel.buckets.iter().all(|bucket| bucket.capacity() <= 2 * KEEP_SLOTS));
    assert!(wheel.overdue.capacity() <= 2 * KEEP_SLOTS);
}

/// What is done to the wheel and to the list beside it.
#[derive(Clone, Debug)]
enum Step {
    /// Schedule at this many milliseconds from now; negative is the past.
    Schedule(i64),
    /// Let this many milliseconds pass.
    Pass(u64),
    /// The clock steps back.
    Back(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (-500_i64..2_000).prop_map(Step::Schedule),
        2 => (0_i64..400_000).prop_map(Step::Schedule),
        1 => (51_000_i64..51_400).prop_map(Step::Schedule),
        4 => (0_u64..350).prop_map(Step::Pass),
        2 => (50_000_u64..52_000).prop_map(Step::Pass),
        1 => (0_u64..20_000_000).prop_map(Step::Pass),
        1 => (0_u64..5_000).prop_map(Step::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever is scheduled and however the clock moves: nothing early, nothing later than one tick, nothing twice, nothing lost, in the
    /// order of ticks while the pauses are shorter than a turn, and `next_deadline` is never behind the truth.
    #[test]
    fn the_wheel_does_what_a_list_does(start in 0_u64..1_000, steps in prop::collection::vec(step(), 1..120)) {
        let mut wheel = Wheel::new(at(start));
        let mut list: Vec<(u64, u32)> = Vec::new();
        let mut now = start;
        for (key, step) in (0_u32..).zip(steps) {
            let before = now;
            match step {
                Step::Schedule(offset) => {
                    let when = now.saturating_add_signed(offset);
                    wheel.schedule(at(when), key);
                    // What is not in the past is due at the end of its tick.
                    let late = if when <= wheel.now.as_ms() { 0 } else { start + (when - start).div_ceil(TICK_MS) * TICK_MS };
                    list.push((late, key));
                }
                Step::Pass(ms) => now += ms,
                Step::Back(ms) => now = now.saturating_sub(ms),
            }
            let bound = wheel.next_deadline();
            prop_assert_eq!(bound.is_none(), list.is_empty());
            if matches!(step, Step::Schedule(_)) {
                continue;
            }
            let latest = wheel.now.as_ms().max(now);
            let fired = expired(&mut wheel, now);
            let (mut due, rest): (Vec<_>, Vec<_>) = list.into_iter().partition(|(late, _)| *late <= latest);
            list = rest;
            prop_assert!(due.iter().all(|(late, _)| *late == 0 || bound.is_some_and(|bound| bound.as_ms() <= *late)));
            due.sort_unstable();
            if now.abs_diff(before) < BUCKETS as u64 * TICK_MS {
                // Within one tick, the order of scheduling.
                prop_assert_eq!(fired, due.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
            } else {
                let mut fired = fired;
                fired.sort_unstable();
                let mut due: Vec<_> = due.into_iter().map(|(_, key)| key).collect();
                due.sort_unstable();
                prop_assert_eq!(fired, due);
            }
            prop_assert_eq!(wheel.len(), list.len());
        }
    }
}

#[test]
fn what_is_not_retained_never_fires() {
    let mut wheel = Wheel::new(at(0));
    for key in 0..1000_u32 {
        wheel.schedule(at(u64::from(key) * 137), key);
    }
    wheel.retain(|key| key % 10 == 3);
    assert_eq!(wheel.len(), 100);
    let mut fired = expired(&mut wheel, 1_000_000);
    fired.sort_unstable();
    assert_eq!(fired, (0..100).map(|tenth| tenth * 10 + 3).collect::<Vec<u32>>());
    assert!(wheel.is_empty());
}
