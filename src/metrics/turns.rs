//! How long turns take.

/// Upper bounds of the classes of turns but the last, in microseconds, each included in its class. A turn that nobody notices is in the first
/// ones; one in the last made every client of its core wait.
pub const TURN_BOUNDS_US: [u64; 10] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000];

/// How many classes of turns there are; the last one has no upper bound.
pub(super) const TURN_CLASSES: usize = TURN_BOUNDS_US.len() + 1;

/// How long the turns of one core took, since its start: a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnTimes {
    /// How many turns were in each class.
    pub(super) counts: [u64; TURN_CLASSES],
    /// How long they took together, in microseconds.
    pub(super) sum_us: u64,
}

impl TurnTimes {
    /// Counts one turn that took so many microseconds. A tick counts as a turn: so the number of turns rises on every core that lives, also
    /// on one without work.
    pub fn record(&mut self, micros: u64) {
        let class = TURN_BOUNDS_US.iter().position(|bound| micros <= *bound).unwrap_or(TURN_BOUNDS_US.len());
        self.counts[class] = self.counts[class].saturating_add(1);
        self.sum_us = self.sum_us.saturating_add(micros);
    }

    /// How many turns were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How long they took together, in microseconds.
    #[must_use]
    pub const fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_class() {
        for (class, bound) in TURN_BOUNDS_US.into_iter().enumerate() {
            let mut turns = TurnTimes::default();
            turns.record(bound);
            turns.record(bound + 1);
            let mut due = [0; TURN_CLASSES];
            due[class] += 1;
            due[class + 1] += 1;
            assert_eq!((turns.counts, turns.count(), turns.sum_us()), (due, 2, 2 * bound + 1), "{bound} us");
        }
    }

    #[test]
    fn extremes_have_a_class_and_do_not_overflow() {
        let mut turns = TurnTimes::default();
        turns.record(0);
        turns.record(u64::MAX);
        turns.record(u64::MAX);
        assert_eq!((turns.counts[0], turns.counts[TURN_CLASSES - 1]), (1, 2));
        assert_eq!((turns.count(), turns.sum_us()), (3, u64::MAX));
    }

    #[test]
    fn the_bounds_rise() {
        assert!(TURN_BOUNDS_US.is_sorted_by(|low, high| low < high));
    }
}
