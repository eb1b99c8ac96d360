//! How long to wait before the next attempt.

use std::time::Duration;

use super::trouble::Trouble;
use crate::client;
use crate::limits::CLIENT_BACKOFF_MAX_MS;

/// The pauses of [`client::Backoff`], and what the server asks for.
#[derive(Debug)]
pub(super) struct Backoff(client::Backoff);

impl Backoff {
    /// See there.
    pub(super) fn new(seed: u64) -> Self {
        Self(client::Backoff::new(seed))
    }

    /// All is well again.
    pub(super) const fn reset(&mut self) {
        self.0.reset();
    }

    /// The pause after one more failure.
    pub(super) fn pause(&mut self, trouble: &Trouble) -> Duration {
        let jitter = self.0.pause();
        match trouble {
            Trouble::Refused { retry_after_s: Some(seconds), .. } => {
                Duration::from_secs(*seconds).min(Duration::from_millis(3 * CLIENT_BACKOFF_MAX_MS)) + jitter
            }
            _ => jitter,
        }
    }

    /// A random time of at most `most_ms` milliseconds.
    pub(super) fn up_to(&mut self, most_ms: u64) -> Duration {
        self.0.up_to(most_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_may_ask_for_more() {
        let busy = |seconds| Trouble::Refused { status: 503, text: String::new(), retry_after_s: Some(seconds) };
        assert!(Backoff::new(1).pause(&busy(7)) >= Duration::from_secs(7));
        assert!(Backoff::new(1).pause(&busy(u64::MAX)) <= Duration::from_secs(61));
        assert!(Backoff::new(1).pause(&Trouble::Link(String::new())) <= Duration::from_millis(500));
    }
}
