//! When to write: at once while the core has time, a little later under load, so that more events travel in one write.
//!
//! Writing is nearly all that a delivery costs, and a write costs the same for one event and for eight. So a core that is busy, and whose
//! sessions get their events closer together than the longest delay, lets them gather. A core with time to spare would only be late, and so
//! would one whose events go each to another session, however many there are: they write at once.

use std::collections::VecDeque;

/// How far the measured load looks back, in microseconds.
const WINDOW_US: u64 = 20_000;
/// Below this share of busy time nothing is delayed, in millionths.
const EASY_LOAD: u64 = 250_000;
/// From this share on the delay is the longest that is allowed, in millionths.
const HEAVY_LOAD: u64 = 500_000;
/// Of so many deliveries one must be close behind another of its session: fewer are not worth the wait.
const WORTHWHILE: u64 = 2;
/// Turns within this part of the longest delay count as one.
const GROUPS: u64 = 8;
/// No turn makes more deliveries: so nothing overflows.
const DELIVERIES_MAX: u64 = 100_000_000;

/// When the next write is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Now.
    Now,
    /// In so many microseconds, at least one.
    In(u64),
}

/// How the deliveries of a core have been spaced since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spacing {
    /// How many there were.
    pub(super) deliveries: u64,
    /// How many of them went to a session that had got another just before.
    pub(super) close: u64,
}

/// Turns that follow each other. The end of the last one counts for all of them.
#[derive(Clone, Copy, Debug)]
struct Turns {
    began_us: u64,
    /// The last of them, so far.
    ended_us: u64,
    /// The number of their first delivery.
    first: u64,
}

/// Decides when a core writes. It is told how long each turn took and how the deliveries are spaced.
#[derive(Debug)]
pub(super) struct Pacer {
    delay_max_us: u64,
    /// Share of the last window that the core was busy, in millionths.
    load: u64,
    /// How many deliveries are made in a second.
    rate: u64,
    /// How many of them are close behind another of the same session.
    close_rate: u64,
    last_us: u64,
    last: Spacing,
    /// The turns of the longest delay, oldest first, some of them as one.
    recent: VecDeque<Turns>,
    /// When there was first something to write that is not written yet.
    since_us: Option<u64>,
    /// Writing has begun and goes on until everything is out.
    is_writing: bool,
}

impl Pacer {
    /// One that delays by at most `delay_max_us`; never if that is 0.
    pub(super) const fn new(delay_max_us: u64) -> Self {
        Self {
            delay_max_us,
            load: 0,
            rate: 0,
            close_rate: 0,
            last_us: 0,
            last: Spacing { deliveries: 0, close: 0 },
            recent: VecDeque::new(),
            since_us: None,
            is_writing: false,
        }
    }

    /// Another bound, from the next write on.
    pub(super) const fn set_delay_max(&mut self, delay_max_us: u64) {
        self.delay_max_us = delay_max_us;
    }

    /// A turn begins, and the delivery that comes next has the number `next`. Gives the number of the first one since whose turn no more than
    /// the longest delay has passed: who has got that or a later one, and gets another, gets it close behind.
    pub(super) fn close_from(&mut self, now_us: u64, next: u64) -> u64 {
        while self.recent.pop_front_if(|turns| now_us.saturating_sub(turns.ended_us) > self.delay_max_us).is_some() {}
        let is_new = |turns: &Turns| now_us.saturating_sub(turns.began_us) >= self.delay_max_us / GROUPS;
        if self.recent.back().is_none_or(is_new) {
            self.recent.push_back(Turns { began_us: now_us, ended_us: now_us, first: next });
        }
        self.recent.front().map_or(next, |turns| turns.first)
    }

    /// A turn has ended.
    pub(super) fn worked(&mut self, began_us: u64, ended_us: u64, spacing: Spacing) {
        let passed = ended_us.saturating_sub(self.last_us).max(1);
        let busy = ended_us.saturating_sub(began_us.max(self.last_us));
        let came = spacing.deliveries.wrapping_sub(self.last.deliveries);
        let close = spacing.close.wrapping_sub(self.last.close);
        (self.last_us, self.last) = (ended_us, spacing);
        if let Some(turns) = self.recent.back_mut() {
            turns.ended_us = ended_us;
        }
        let weight = passed.min(WINDOW_US);
        let mix = |old: u64, new: u64| (old * (WINDOW_US - weight) + new * weight) / WINDOW_US;
        let rate = |count: u64| count.min(DELIVERIES_MAX) * 1_000_000 / passed;
        self.load = mix(self.load, busy * 1_000_000 / passed);
        self.rate = mix(self.rate, rate(came));
        self.close_rate = mix(self.close_rate, rate(close));
    }

    /// Everything is written.
    pub(super) const fn all_written(&mut self) {
        self.since_us = None;
        self.is_writing = false;
    }

    /// There is something to write: when? Pressed, when a queue fills up: now.
    pub(super) fn due(&mut self, now_us: u64, pressed: bool) -> Due {
        let since = *self.since_us.get_or_insert(now_us);
        let due = since + self.delay_us();
        if self.is_writing || pressed || due <= now_us {
            self.is_writing = true;
            return Due::Now;
        }
        Due::In(due - now_us)
    }

    fn delay_us(&self) -> u64 {
        if self.close_rate == 0 || self.close_rate * WORTHWHILE < self.rate {
            return 0;
        }
        self.delay_max_us * self.load.clamp(EASY_LOAD, HEAVY_LOAD).saturating_sub(EASY_LOAD) / (HEAVY_LOAD - EASY_LOAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of `busy_us` every `every_us`, each with so many deliveries, for half a second. Returns the time it ended.
    fn work(pacer: &mut Pacer, every_us: u64, busy_us: u64, [deliveries, close]: [u64; 2]) -> u64 {
        let mut seen = pacer.last;
        let (begin, mut at) = (pacer.last_us, pacer.last_us);
        while at < begin + 500_000 {
            at += every_us;
            seen = Spacing { deliveries: seen.deliveries + deliveries, close: seen.close + close };
            pacer.worked(at - busy_us, at, seen);
        }
        at
    }

    #[test]
    fn an_idle_core_writes_at_once() {
        let mut pacer = Pacer::new(2000);
        assert_eq!(pacer.due(0, false), Due::Now);
        pacer.all_written();
        let now = work(&mut pacer, 1000, 100, [500, 450]);
        assert_eq!(pacer.due(now, false), Due::Now, "a tenth of the time is not load");
    }

    #[test]
    fn a_busy_core_with_many_events_gathers_them() {
        let mut pacer = Pacer::new(2000);
        let now = work(&mut pacer, 1000, 900, [500, 450]);
        assert_eq!(pacer.due(now, false), Due::In(2000));
        assert_eq!(pacer.due(now + 1500, false), Due::In(500), "the first event sets the end");
        assert_eq!(pacer.due(now + 2000, false), Due::Now);
        assert_eq!(pacer.due(now + 2001, false), Due::Now, "and then everything is written");
        pacer.all_written();
        assert!(matches!(pacer.due(now + 3000, false), Due::In(_)));
        assert_eq!(pacer.due(now + 3000, true), Due::Now, "a queue that fills up does not wait");
    }

    #[test]
    fn a_busy_core_with_one_event_at_a_time_has_nothing_to_gather() {
        let mut pacer = Pacer::new(2000);
        let now = work(&mut pacer, 40_000, 39_000, [10_000, 0]);
        assert_eq!(pacer.due(now, false), Due::Now);
    }

    #[test]
    fn many_events_each_to_another_session_are_not_gathered() {
        let mut pacer = Pacer::new(2000);
        let now = work(&mut pacer, 1000, 1000, [60, 2]);
        assert_eq!(pacer.due(now, false), Due::Now);
    }

    /// Turns of some length, each with a delivery, and pauses between them.
    #[test]
    fn what_is_close_is_as_old_as_the_delay_at_most() {
        for (busy, pause) in
            [(30, 0), (70, 30), (400, 900), (2500, 0), (2500, 100), (10_000, 0), (100, 1990), (100, 2010)]
        {
            let mut pacer = Pacer::new(2000);
            let (mut ends, mut now) = (Vec::new(), 0);
            for next in 0..200_u64 {
                now += pause;
                let from = pacer.close_from(now, next);
                let close: Vec<u64> = ends.iter().copied().filter(|end| now - end <= 2000).collect();
                let exact = next - close.len() as u64;
                // The turns of an eighth of the delay are one, and what is of one of them close is all of them.
                let early = exact - from.min(exact);
                assert!(from <= exact && early * (busy + pause) <= 250 + busy + pause, "{from} for {exact} at {now}");
                now += busy;
                ends.push(now);
                pacer.worked(now - busy, now, Spacing::default());
            }
            assert!(pacer.recent.len() <= 2 + GROUPS as usize, "{} groups", pacer.recent.len());
            assert_eq!(pacer.close_from(now + 2001, 200), 200, "after a pause nothing is close");
        }
    }

    #[test]
    fn half_the_load_is_half_the_delay() {
        let mut pacer = Pacer::new(2000);
        let now = work(&mut pacer, 1000, 375, [500, 450]);
        let Due::In(wait) = pacer.due(now, false) else { panic!("no delay") };
        assert!((900..=1100).contains(&wait), "{wait} us");
    }

    #[test]
    fn no_delay_is_none() {
        let mut pacer = Pacer::new(0);
        let now = work(&mut pacer, 1000, 1000, [100_000, 99_000]);
        assert_eq!(pacer.due(now, false), Due::Now);
    }

    #[test]
    fn the_load_is_forgotten_when_it_ends() {
        let mut pacer = Pacer::new(2000);
        work(&mut pacer, 1000, 1000, [100_000, 99_000]);
        let now = work(&mut pacer, 20_000, 20, [0, 0]);
        assert_eq!(pacer.due(now, false), Due::Now);
    }
}
