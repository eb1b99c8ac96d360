//! Times, as a histogram.

use hdrhistogram::Histogram;

/// Longest time that is told apart, in nanoseconds: an hour. Longer ones count as that.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// How long something took, to three digits.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are in order and the digits at most five"))
    }

    /// One more, in nanoseconds.
    pub(super) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// The times of another one, too.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of them is, in microseconds; 0 if there are none.
    pub(super) fn us(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1000.0 }
    }

    /// The longest, in microseconds; 0 if there are none.
    pub(super) fn max_us(&self) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.max() as f64 / 1000.0 }
    }

    /// The mean, in microseconds.
    pub(super) fn mean_us(&self) -> f64 {
        self.0.mean() / 1000.0
    }
}
