//! When to write: at once while the core has time, a little later under load, so that more events travel in one write.
//!
//! Writing is nearly all that a delivery costs, and a write costs the same for one event and for eight. So a core that is busy, and to
//! which several events come within the longest delay, lets them gather. A core with time to spare, or with one event at a time, would
//! only be late: it writes at once.

/// How far the measured load looks back, in microseconds.
const WINDOW_US: u64 = 20_000;
/// Below this share of busy time nothing is delayed, in millionths.
const EASY_LOAD: u64 = 250_000;
/// From this share on the delay is the longest that is allowed, in millionths.
const HEAVY_LOAD: u64 = 500_000;
/// One more event within the longest delay, in the unit of `gain`: fewer are not worth the wait.
const ONE_EVENT: u64 = 1_000_000;

/// When the next write is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Now.
    Now,
    /// In so many microseconds, at least one.
    In(u64),
}

/// Decides when a core writes. It is told how long each turn took and how many events have come.
#[derive(Debug)]
pub(super) struct Pacer {
    delay_max_us: u64,
    /// Share of the last window that the core was busy, in millionths.
    load: u64,
    /// Events that come within the longest delay, in millionths.
    gain: u64,
    last_us: u64,
    last_events: u64,
    /// When there was first something to write that is not written yet.
    since_us: Option<u64>,
    /// Writing has begun and goes on until everything is out.
    is_writing: bool,
}

impl Pacer {
    /// One that delays by at most `delay_max_us`; never if that is 0.
    pub(super) const fn new(delay_max_us: u64) -> Self {
        Self { delay_max_us, load: 0, gain: 0, last_us: 0, last_events: 0, since_us: None, is_writing: false }
    }

    /// Another bound, from the next write on.
    pub(super) const fn set_delay_max(&mut self, delay_max_us: u64) {
        self.delay_max_us = delay_max_us;
    }

    /// A turn has ended; `events` is how many events have been queued for sending in all.
    pub(super) fn worked(&mut self, began_us: u64, ended_us: u64, events: u64) {
        let passed = ended_us.saturating_sub(self.last_us).max(1);
        let busy = ended_us.saturating_sub(began_us.max(self.last_us));
        let came = events.wrapping_sub(self.last_events);
        (self.last_us, self.last_events) = (ended_us, events);
        let weight = passed.min(WINDOW_US);
        let mix = |old: u64, new: u64| (old * (WINDOW_US - weight) + new.min(1_000 * ONE_EVENT) * weight) / WINDOW_US;
        self.load = mix(self.load, busy * 1_000_000 / passed);
        self.gain = mix(self.gain, came.saturating_mul(ONE_EVENT).saturating_mul(self.delay_max_us) / passed);
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
        if self.gain < ONE_EVENT {
            return 0;
        }
        self.delay_max_us * self.load.clamp(EASY_LOAD, HEAVY_LOAD).saturating_sub(EASY_LOAD) / (HEAVY_LOAD - EASY_LOAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of `busy_us` every `every_us`, each with `events`, for half a second. Returns the time it ended.
    fn work(pacer: &mut Pacer, every_us: u64, busy_us: u64, events: u64) -> u64 {
        let mut seen = pacer.last_events;
        let (begin, mut at) = (pacer.last_us, pacer.last_us);
        while at < begin + 500_000 {
            at += every_us;
            seen += events;
            pacer.worked(at - busy_us, at, seen);
        }
        at
    }

    #[test]
    fn an_idle_core_writes_at_once() {
        let mut pacer = Pacer::new(2000);
        assert_eq!(pacer.due(0, false), Due::Now);
        pacer.all_written();
        let now = work(&mut pacer, 1000, 100, 5);
        assert_eq!(pacer.due(now, false), Due::Now, "a tenth of the time is not load");
    }

    #[test]
    fn a_busy_core_with_many_events_gathers_them() {
        let mut pacer = Pacer::new(2000);
        let now = work(&mut pacer, 1000, 900, 5);
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
        let now = work(&mut pacer, 40_000, 39_000, 1);
        assert_eq!(pacer.due(now, false), Due::Now);
    }

    #[test]
    fn half_the_load_is_half_the_delay() {
        let mut pacer = Pacer::new(2000);
        let now = work(&mut pacer, 1000, 375, 5);
        let Due::In(wait) = pacer.due(now, false) else { panic!("no delay") };
        assert!((900..=1100).contains(&wait), "{wait} us");
    }

    #[test]
    fn no_delay_is_none() {
        let mut pacer = Pacer::new(0);
        let now = work(&mut pacer, 1000, 1000, 100);
        assert_eq!(pacer.due(now, false), Due::Now);
    }

    #[test]
    fn the_load_is_forgotten_when_it_ends() {
        let mut pacer = Pacer::new(2000);
        work(&mut pacer, 1000, 1000, 100);
        let now = work(&mut pacer, 20_000, 20, 0);
        assert_eq!(pacer.due(now, false), Due::Now);
    }
}
