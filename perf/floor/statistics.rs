//! What many values come to.

/// A median, and bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    /// The middle value, or the mean of the two in the middle.
    pub(crate) median: f64,
    /// The lower bound.
    pub(crate) low: f64,
    /// The upper bound.
    pub(crate) high: f64,
}

/// The median, and the bounds between which the true one is in 95 % of all cases or more: order statistics, which assume nothing about how
/// the values are distributed. With fewer than six values the bounds are the extremes, and hold it less often. `None` if there are no values.
pub(crate) fn median_interval(values: &[f64]) -> Option<Interval> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let middle = sorted.get(count / 2)?;
    let median = f64::midpoint(sorted[count.saturating_sub(1) / 2], *middle);
    // The chance that exactly `rank` of the values are below the true median, and the sum of those before it.
    let (mut chance, mut sum, mut rank) = (0.5_f64.powi(i32::try_from(count).ok()?), 0.0, 0);
    while sum + chance <= 0.025 && rank < count / 2 {
        sum += chance;
        chance *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    let low = rank.saturating_sub(1);
    Some(Interval { median, low: sorted[low], high: sorted[count - 1 - low] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranks, counted from 1, that hold the median of so many values.
    fn ranks(count: u32) -> (f64, f64) {
        let values: Vec<f64> = (1..=count).rev().map(f64::from).collect();
        let interval = median_interval(&values).expect("there are values");
        (interval.low, interval.high)
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let median = |values: &[f64]| median_interval(values).map(|interval| interval.median);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    /// The usual table of the sign test at 5 %.
    #[test]
    fn the_bounds_are_those_of_the_table() {
        for (count, low) in
            [(6, 1.0), (8, 1.0), (9, 2.0), (11, 2.0), (12, 3.0), (15, 4.0), (20, 6.0), (25, 8.0), (50, 18.0)]
        {
            assert_eq!(ranks(count), (low, f64::from(count) + 1.0 - low), "{count} values");
        }
        for count in 1..6 {
            assert_eq!(ranks(count), (1.0, f64::from(count)), "{count} values");
        }
    }

    /// Of all ways in which so many values may lie around the true median, the bounds miss it in 5 % at most, and tighter ones in more.
    #[test]
    fn the_bounds_hold_what_they_promise_and_no_tighter_ones_do() {
        for count in 6..=18_u32 {
            let rank = ranks(count).0 as u32;
            let missed = |rank: u32| {
                let ways =
                    (0..1_u32 << count).filter(|below| below.count_ones() < rank || below.count_ones() > count - rank);
                ways.count() as f64 / f64::from(1_u32 << count)
            };
            assert!(missed(rank) <= 0.05, "{count} values: {}", missed(rank));
            assert!(missed(rank + 1) > 0.05, "{count} values: {}", missed(rank + 1));
        }
    }

    #[test]
    fn thousands_of_values_are_no_trouble() {
        let values: Vec<f64> = (0..1001).map(f64::from).collect();
        let interval = median_interval(&values).expect("there are values");
        assert_eq!(interval.median, 500.0);
        assert!(460.0 < interval.low && interval.low < 480.0 && interval.high == 1000.0 - interval.low, "{interval:?}");
    }
}
