//! How long a source waits after a failure.

use std::time::Duration;

use crate::limits::{SOURCE_BACKOFF_MAX_MS, SOURCE_BACKOFF_MS};

/// Pauses from [`SOURCE_BACKOFF_MS`] to [`SOURCE_BACKOFF_MAX_MS`] that double from failure to failure. Up to half of one is added at random, so
/// that sources that lost the same server do not come back in step.
#[derive(Debug)]
pub(super) struct Backoff {
    random: fastrand::Rng,
    failures: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), failures: 0 }
    }

    /// All is well again.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure.
    pub(super) fn pause(&mut self) -> Duration {
        // A base of two thirds of the longest leaves room for what is added.
        let base = SOURCE_BACKOFF_MS.saturating_mul(1 << self.failures.min(16)).min(SOURCE_BACKOFF_MAX_MS / 3 * 2);
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(base + self.random.u64(0..=base / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        let due = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000];
        let (mut shortest, mut longest) = ([u128::MAX; 9], [0; 9]);
        for seed in 0..300 {
            let mut backoff = Backoff::new(seed);
            for attempt in 0..due.len() {
                let pause = backoff.pause().as_millis();
                shortest[attempt] = shortest[attempt].min(pause);
                longest[attempt] = longest[attempt].max(pause);
            }
            backoff.reset();
            assert!(backoff.pause().as_millis() <= 750);
        }
        for (attempt, base) in due.into_iter().enumerate() {
            assert!((base..base * 21 / 20).contains(&shortest[attempt]), "{attempt}: {shortest:?}");
            assert!((base * 29 / 20..=base * 3 / 2).contains(&longest[attempt]), "{attempt}: {longest:?}");
        }
        assert_eq!(u128::from(SOURCE_BACKOFF_MAX_MS), 30_000, "the last of them stays within the bound");
    }

    #[test]
    fn failures_without_end_are_counted_without_overflow() {
        let mut backoff = Backoff { failures: u32::MAX - 1, ..Backoff::new(1) };
        for _ in 0..3 {
            assert!(backoff.pause() <= Duration::from_millis(SOURCE_BACKOFF_MAX_MS));
        }
    }
}
