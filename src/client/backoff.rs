//! How long to wait before the next attempt.

use std::time::Duration;

use crate::limits::{CLIENT_BACKOFF_MAX_MS, CLIENT_BACKOFF_MS};

/// Pauses that double in the mean and are spread at random over their whole length ("full jitter"), so that clients who lost the same server
/// do not come back in step. The first is at most [`CLIENT_BACKOFF_MS`], none is longer than [`CLIENT_BACKOFF_MAX_MS`].
#[derive(Debug)]
pub struct Backoff {
    random: fastrand::Rng,
    attempts: u32,
}

impl Backoff {
    /// One whose pauses follow from `seed`: it should be another one in every process.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), attempts: 0 }
    }

    /// All is well again: the next pause is a first one.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let most = CLIENT_BACKOFF_MS.saturating_mul(1 << self.attempts.min(16)).min(CLIENT_BACKOFF_MAX_MS);
        self.attempts = self.attempts.saturating_add(1);
        self.up_to(most)
    }

    /// A random time of at most `most_ms` milliseconds.
    pub fn up_to(&mut self, most_ms: u64) -> Duration {
        Duration::from_millis(self.random.u64(0..=most_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [Duration::MAX; 8];
        for seed in 0..400 {
            let mut backoff = Backoff::new(seed);
            for attempt in 0..8 {
                let pause = backoff.pause();
                longest[attempt] = longest[attempt].max(pause);
                shortest[attempt] = shortest[attempt].min(pause);
            }
            backoff.reset();
            assert!(backoff.pause() <= Duration::from_millis(500));
        }
        for (attempt, most) in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000].into_iter().enumerate() {
            let most = Duration::from_millis(most);
            assert!(longest[attempt] <= most && longest[attempt] > most * 9 / 10, "{attempt}");
            assert!(shortest[attempt] < most / 10, "{attempt}");
        }
    }
}
