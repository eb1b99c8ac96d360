//! How long to wait before the next attempt.

use std::time::Duration;

use super::trouble::Trouble;
use crate::limits::{CLIENT_BACKOFF_MAX_MS, CLIENT_BACKOFF_MS};

/// Pauses that double in the mean and are spread at random over their whole length ("full jitter"), so that clients who
/// lost the same server do not come back in step.
#[derive(Debug)]
pub(super) struct Backoff {
    random: fastrand::Rng,
    attempts: u32,
}

impl Backoff {
    /// The first pause is at most [`CLIENT_BACKOFF_MS`].
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), attempts: 0 }
    }

    /// All is well again.
    pub(super) const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The pause after one more failure.
    pub(super) fn pause(&mut self, trouble: &Trouble) -> Duration {
        let most = CLIENT_BACKOFF_MS.saturating_mul(1 << self.attempts.min(16)).min(CLIENT_BACKOFF_MAX_MS);
        self.attempts = self.attempts.saturating_add(1);
        let jitter = Duration::from_millis(self.random.u64(0..=most));
        match trouble {
            Trouble::Refused { retry_after_s: Some(seconds), .. } => {
                Duration::from_secs(*seconds).min(Duration::from_millis(3 * CLIENT_BACKOFF_MAX_MS)) + jitter
            }
            _ => jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        let trouble = Trouble::Link(String::new());
        let mut longest = [Duration::ZERO; 8];
        let mut shortest = [Duration::MAX; 8];
        for seed in 0..400 {
            let mut backoff = Backoff::new(seed);
            for attempt in 0..8 {
                let pause = backoff.pause(&trouble);
                longest[attempt] = longest[attempt].max(pause);
                shortest[attempt] = shortest[attempt].min(pause);
            }
            backoff.reset();
            assert!(backoff.pause(&trouble) <= Duration::from_millis(500));
        }
        for (attempt, most) in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000].into_iter().enumerate() {
            let most = Duration::from_millis(most);
            assert!(longest[attempt] <= most && longest[attempt] > most * 9 / 10, "{attempt}");
            assert!(shortest[attempt] < most / 10, "{attempt}");
        }
    }

    #[test]
    fn the_server_may_ask_for_more() {
        let busy = |seconds| Trouble::Refused { status: 503, text: String::new(), retry_after_s: Some(seconds) };
        assert!(Backoff::new(1).pause(&busy(7)) >= Duration::from_secs(7));
        assert!(Backoff::new(1).pause(&busy(u64::MAX)) <= Duration::from_secs(61));
    }
}
