//! Whether one subscriber got what it should: some bytes for each of its lanes, and the gaps while there are any.
//!
//! A subscriber must get every event that was sent after it was ready and that the server accepted; and from the first event of a lane on
//! that arrives, every later one. It may get events that were under way when it became ready.

use super::lanes::{Arrival, Fate, Lane};

/// Gaps that are kept before those that are none any more are looked for.
const GAPS_BEFORE_SWEEP: usize = 64;

/// Where a subscriber is in one lane.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// The number that is expected next.
    next: u32,
    /// Nothing has arrived in this lane: earlier numbers than `next` may still come first.
    fresh: bool,
}

/// Numbers of one lane that were passed over, first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    lane: u32,
    first: u32,
    last: u32,
}

/// What an arriving event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// A later one of its lane has come before it.
    OutOfOrder,
    /// It has come before.
    Repeated,
    /// Its publish was refused. `first`: nobody had counted it yet.
    Refused {
        /// Nobody had counted it yet.
        first: bool,
    },
    /// It is not for this subscriber, or was never sent.
    Foreign,
}

/// The account of one subscriber. Lanes are named by their place among the subscriber's own.
#[derive(Debug)]
pub(super) struct Account {
    positions: Box<[Position]>,
    gaps: Vec<Gap>,
    sweep_at: usize,
    told: u64,
    /// In each lane, the last number that is still expected. Empty while there is no end.
    until: Box<[u32]>,
}

impl Account {
    /// An account that begins now: what these lanes send from now on is expected.
    pub(super) fn begin<'a>(lanes: impl Iterator<Item = &'a Lane>) -> Self {
        let position = |lane: &Lane| Position { next: lane.sent().saturating_add(1), fresh: true };
        Self {
            positions: lanes.map(position).collect(),
            gaps: Vec::new(),
            sweep_at: GAPS_BEFORE_SWEEP,
            told: 0,
            until: Box::default(),
        }
    }

    /// The subscriber wants to go: what is accepted from now on is not expected any more. It may come.
    pub(super) fn stop<'a>(&mut self, lane: impl Fn(usize) -> &'a Lane) {
        self.until = (0..self.positions.len()).map(|place| lane(place).accepted()).collect();
    }

    /// The server says that it has dropped so many.
    pub(super) fn tell(&mut self, count: u64) {
        self.told = self.told.saturating_add(count);
    }

    /// How many events the server said it has dropped.
    pub(super) const fn told(&self) -> u64 {
        self.told
    }

    /// An event has arrived in the lane at `place`, which is `lane`.
    pub(super) fn arrive(&mut self, place: usize, sequence: u32, lane: &Lane) -> Verdict {
        let Some(position) = self.positions.get_mut(place) else { return Verdict::Foreign };
        let arrival = lane.arrive(sequence);
        if arrival == Arrival::NeverSent {
            return Verdict::Foreign;
        }
        let expected = position.next;
        let behind = sequence < expected && !position.fresh;
        if !behind {
            *position = Position { next: sequence.saturating_add(1), fresh: false };
            if sequence > expected {
                self.skip(place, expected, sequence - 1, lane);
            }
        }
        if let Arrival::Refused { first } = arrival {
            return Verdict::Refused { first };
        }
        match behind {
            false => Verdict::Good,
            true if !self.fill(place, sequence) => Verdict::Repeated,
            true if arrival == Arrival::Doubtful => Verdict::Good,
            true => Verdict::OutOfOrder,
        }
    }

    /// Numbers were passed over. Those that were refused are no gap.
    fn skip(&mut self, place: usize, first: u32, last: u32, lane: &Lane) {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        for sequence in (first..=last).filter(|sequence| lane.fate(*sequence) != Fate::Refused) {
            match self.gaps.last_mut() {
                Some(gap) if gap.lane == place && gap.last.checked_add(1) == Some(sequence) => gap.last = sequence,
                _ => self.gaps.push(Gap { lane: place, first: sequence, last: sequence }),
            }
        }
    }

    /// Takes a number out of the gaps. Says whether it was in one.
    fn fill(&mut self, place: usize, sequence: u32) -> bool {
        let found = self
            .gaps
            .iter()
            .position(|gap| usize::try_from(gap.lane) == Ok(place) && (gap.first..=gap.last).contains(&sequence));
        let Some(at) = found else { return false };
        let gap = self.gaps.remove(at);
        let left = Gap { last: sequence - 1, ..gap };
        let right = Gap { first: sequence.saturating_add(1), ..gap };
        self.gaps.splice(at..at, [left, right].into_iter().filter(|gap| gap.first <= gap.last));
        true
    }

    /// Forgets gaps whose events turn out to have been refused, if there are many. `lanes` are the subscriber's, in order.
    pub(super) fn sweep<'a>(&mut self, lane: impl Fn(usize) -> &'a Lane) {
        if self.gaps.len() < self.sweep_at {
            return;
        }
        let gaps = std::mem::take(&mut self.gaps);
        for gap in gaps {
            let place = gap.lane as usize;
            self.skip(place, gap.first, gap.last, lane(place));
        }
        self.sweep_at = (self.gaps.len() * 2).max(GAPS_BEFORE_SWEEP);
    }

    /// Events that were accepted, should have arrived and have not: how many were passed over, and how many are behind the last one that came.
    /// Those may still be under way.
    pub(super) fn missing<'a>(&self, lane: impl Fn(usize) -> &'a Lane) -> (u64, u64) {
        let accepted = |place: usize, first: u32, last: u32| {
            let lane = lane(place);
            let count = (first..=last).filter(|sequence| lane.fate(*sequence) == Fate::Accepted).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        let gaps: u64 = self.gaps.iter().map(|gap| accepted(gap.lane as usize, gap.first, gap.last)).sum();
        let tails = self.positions.iter().enumerate().map(|(place, at)| {
            let last = lane(place).accepted().min(self.until.get(place).copied().unwrap_or(u32::MAX));
            accepted(place, at.next, last)
        });
        (gaps, tails.sum())
    }

    /// Events that have not come, whatever became of them.
    pub(super) fn outstanding<'a>(&self, lane: impl Fn(usize) -> &'a Lane) -> u64 {
        let gaps: u64 = self.gaps.iter().map(|gap| u64::from(gap.last - gap.first) + 1).sum();
        let behind =
            |(place, at): (usize, &Position)| (u64::from(lane(place).sent()) + 1).saturating_sub(at.next.into());
        gaps + self.positions.iter().enumerate().map(behind).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane with events of which each is accepted (`a`), refused (`r`), unknown (`u`) or not answered (`.`).
    fn lane(fates: &str) -> Lane {
        let lane = Lane::default();
        for fate in fates.chars() {
            let sequence = lane.begin().expect("a number");
            match fate {
                'a' => lane.accept(sequence),
                'r' => assert!(!lane.refuse(sequence)),
                'u' => lane.give_up(sequence),
                _ => {}
            }
        }
        lane
    }

    fn all_missing(account: &Account, lane: &Lane) -> u64 {
        let (passed, behind) = account.missing(|_| lane);
        passed + behind
    }

    /// What is said to each arrival: good, late, twice, refused, foreign; and how many are missing at the end.
    fn run(fates: &str, arrivals: &[u32]) -> (String, u64) {
        let empty = Lane::default();
        let mut account = Account::begin([&empty].into_iter());
        let lane = lane(fates);
        let said = arrivals.iter().map(|sequence| match account.arrive(0, *sequence, &lane) {
            Verdict::Good => 'g',
            Verdict::OutOfOrder => 'l',
            Verdict::Repeated => 't',
            Verdict::Refused { .. } => 'r',
            Verdict::Foreign => 'f',
        });
        (said.collect(), all_missing(&account, &lane))
    }

    #[test]
    fn every_fault_has_its_name() {
        for (fates, arrivals, said, missing) in [
            ("aaa", &[1, 2, 3][..], "ggg", 0),
            ("aaa", &[1, 3], "gg", 1),
            ("aaa", &[2, 3], "gg", 1),
            ("aaa", &[1], "g", 2),
            ("aaa", &[], "", 3),
            ("aaa", &[1, 2, 2, 3], "ggtg", 0),
            ("aaa", &[1, 3, 2], "ggl", 0),
            ("aaa", &[3, 1, 2, 1], "gllt", 0),
            ("aaaaa", &[5, 3, 3], "glt", 3),
            ("ara", &[1, 3], "gg", 0),
            ("ara", &[1, 2, 3], "grg", 0),
            ("ara", &[1, 3, 2], "ggr", 0),
            ("aua", &[1, 3], "gg", 0),
            ("aua", &[1, 2, 3], "ggg", 0),
            ("aua", &[1, 3, 2, 2], "gggt", 0),
            ("a.a", &[1, 3], "gg", 0),
            ("aa", &[1, 2, 3], "ggf", 0),
        ] {
            assert_eq!(run(fates, arrivals), (said.to_owned(), missing), "{fates} {arrivals:?}");
        }
    }

    #[test]
    fn what_was_under_way_may_come_and_then_everything_must() {
        let lane = lane("aaaa");
        let mut account = Account::begin([&lane].into_iter());
        assert_eq!(account.missing(|_| &lane), (0, 0));
        assert_eq!(account.arrive(0, 2, &lane), Verdict::Good);
        assert_eq!(account.missing(|_| &lane), (0, 2));
        assert_eq!(account.arrive(0, 4, &lane), Verdict::Good);
        assert_eq!(account.missing(|_| &lane), (1, 0));
        assert_eq!(account.arrive(1, 1, &lane), Verdict::Foreign);
    }

    #[test]
    fn who_wants_to_go_waits_for_what_was_accepted_before() {
        let lane = lane("aa");
        let mut account = Account::begin([&Lane::default()].into_iter());
        account.stop(|_| &lane);
        lane.begin().into_iter().for_each(|sequence| lane.accept(sequence));
        assert_eq!(account.missing(|_| &lane), (0, 2));
        assert_eq!(account.outstanding(|_| &lane), 3);
        assert_eq!((account.arrive(0, 1, &lane), account.arrive(0, 3, &lane)), (Verdict::Good, Verdict::Good));
        assert_eq!(account.missing(|_| &lane), (1, 0), "number 2 was passed over");
        assert_eq!(account.arrive(0, 2, &lane), Verdict::OutOfOrder);
        assert_eq!((account.missing(|_| &lane), account.outstanding(|_| &lane)), ((0, 0), 0));
    }

    #[test]
    fn gaps_that_were_refused_after_all_are_swept() {
        let lane = lane(&"a.".repeat(100));
        let mut account = Account::begin([&Lane::default()].into_iter());
        for sequence in (1..200).step_by(2) {
            assert_eq!(account.arrive(0, sequence, &lane), Verdict::Good);
            account.sweep(|_| &lane);
        }
        assert!(account.gaps.len() > 90);
        (2..=200).step_by(2).for_each(|sequence| assert!(!lane.refuse(sequence)));
        account.sweep_at = 1;
        account.sweep(|_| &lane);
        assert_eq!(account.gaps, []);
    }
}
