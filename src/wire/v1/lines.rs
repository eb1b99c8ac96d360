//! A body of lines, each an item: published as they come, however long the body is.

use super::publish::line;
use crate::limits::{BODY_BYTES_MAX, POST_ERRORS_TOLD_MAX};
use crate::protocol::{Item, ItemOutcome, Posted, Problem};

/// Lines out of a body's bytes, in whatever pieces they come.
///
/// Bounded: it holds one piece and one unfinished line of at most [`BODY_BYTES_MAX`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Bytes of `held` that are read.
    read: usize,
    /// Bytes of `held` behind `read` that hold no line end.
    looked: usize,
    /// Number of the last line.
    number: u64,
    /// The rest of a line that was too long is still to come.
    skipping: bool,
    /// The body is complete: what is left is the last line.
    ended: bool,
}

impl Lines {
    /// Takes in the next piece of the body. Everything that came before should have been taken out.
    pub fn feed(&mut self, piece: &[u8]) {
        self.held.drain(..std::mem::take(&mut self.read));
        self.held.extend_from_slice(piece);
    }

    /// Whether nothing is held of a line that is not complete.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.read == self.held.len() && !self.skipping
    }

    /// The body is complete.
    pub const fn finish(&mut self) {
        self.ended = true;
    }

    /// Whether the body is complete and everything in it has been taken out.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended && self.read == self.held.len()
    }

    /// The next items and the numbers of their lines, from 1, as many as there are but no more than `max`. Empty lines are counted and are no
    /// items.
    pub fn take(&mut self, max: usize) -> (Vec<Item>, Vec<u64>) {
        let (mut items, mut numbers) = (Vec::new(), Vec::new());
        while items.len() < max {
            let Some(item) = self.next_line() else { break };
            if let Some(item) = item {
                items.push(item);
                numbers.push(self.number);
            }
        }
        if self.read == self.held.len() {
            self.held = Vec::new();
            self.read = 0;
        }
        (items, numbers)
    }

    /// The next whole line: an item, or `Some(None)` if it is empty. `None` if there is none yet.
    fn next_line(&mut self) -> Option<Option<Item>> {
        let unread = &self.held[self.read..];
        let end = unread[self.looked..].iter().position(|byte| *byte == b'\n').map(|at| at + self.looked);
        self.looked = 0;
        match end {
            Some(end) => {
                let text = &unread[..end];
                self.read += end + 1;
                if std::mem::take(&mut self.skipping) {
                    // It was counted when it was found too long.
                    return Some(None);
                }
                self.number += 1;
                Some(if text.len() > BODY_BYTES_MAX { Some(Err(too_long())) } else { line(text) })
            }
            None if self.ended && !self.skipping && !unread.is_empty() => {
                self.number += 1;
                let item = if unread.len() > BODY_BYTES_MAX { Some(Err(too_long())) } else { line(unread) };
                self.read = self.held.len();
                Some(item)
            }
            None if unread.len() > BODY_BYTES_MAX || self.skipping => {
                self.read = self.held.len();
                if std::mem::replace(&mut self.skipping, true) {
                    return None;
                }
                self.number += 1;
                Some(Some(Err(too_long())))
            }
            None => {
                self.looked = unread.len();
                None
            }
        }
    }
}

fn too_long() -> Problem {
    let detail = format!("A line may have {BODY_BYTES_MAX} bytes.");
    Problem::field("body", detail).status(413).limit(BODY_BYTES_MAX)
}

/// What became of the lines so far.
#[derive(Debug, Default)]
pub struct Summary {
    posted: Posted,
    /// The lines of the refusals that are told one by one.
    lines: Vec<u64>,
}

impl Summary {
    /// Takes in what became of the lines with these numbers.
    pub fn absorb(&mut self, outcomes: &[ItemOutcome], numbers: &[u64]) {
        for (outcome, number) in outcomes.iter().zip(numbers) {
            if outcome.problem.is_some() && self.lines.len() < POST_ERRORS_TOLD_MAX {
                self.lines.push(*number);
                self.posted.outcomes.insert(self.lines.len() - 1, outcome.clone());
            } else {
                self.count(outcome);
            }
        }
    }

    /// Counts an outcome that is not told of by itself: all of them share the last place.
    fn count(&mut self, outcome: &ItemOutcome) {
        if self.posted.outcomes.len() == self.lines.len() {
            self.posted.outcomes.push(ItemOutcome::default());
        }
        if let Some(rest) = self.posted.outcomes.last_mut() {
            rest.accepted = rest.accepted.saturating_add(outcome.accepted);
            rest.refused = rest.refused.saturating_add(outcome.refused);
        }
    }

    /// What there is to tell, and the numbers of the lines that were refused.
    #[must_use]
    pub fn told(&self) -> (&Posted, &[u64]) {
        (&self.posted, &self.lines)
    }

    /// Whether there was a line at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.posted.outcomes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(number: usize) -> String {
        format!("{{\"subject\":\"/{number}\",\"data\":{number}}}")
    }

    fn subjects(items: &[Item]) -> Vec<String> {
        items
            .iter()
            .map(|item| {
                item.as_ref().map_or_else(|problem| problem.status.to_string(), |it| it.subjects[0].to_string())
            })
            .collect()
    }

    proptest! {
        /// What comes out does not depend on the pieces.
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(1..40_usize, 1..30), last in any::<bool>(), max in 1..5_usize) {
            let mut body = format!("{}\n\n{}\r\n7\n{}", item(1), item(2), item(3));
            if last {
                body.push('\n');
            }
            let (mut lines, mut items, mut numbers) = (Lines::default(), Vec::new(), Vec::new());
            let mut rest = body.as_bytes();
            let mut drain = |lines: &mut Lines| loop {
                let (some, at) = lines.take(max);
                if some.is_empty() {
                    break;
                }
                items.extend(some);
                numbers.extend(at);
            };
            for cut in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                lines.feed(piece);
                drain(&mut lines);
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            lines.finish();
            drain(&mut lines);
            prop_assert!(lines.is_done());
            prop_assert_eq!(subjects(&items), ["/1", "/2", "400", "/3"]);
            prop_assert_eq!(numbers, [1, 3, 4, 5]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_to_its_end() {
        let mut lines = Lines::default();
        let (mut items, mut numbers) = (Vec::new(), Vec::new());
        let long = "x".repeat(100_000);
        for piece in [&long, &long, &long, &long, &format!("y\n{}\n", item(1))] {
            lines.feed(piece.as_bytes());
            let (some, at) = lines.take(10);
            items.extend(some);
            numbers.extend(at);
            assert!(lines.held.len() <= BODY_BYTES_MAX + 100_000);
        }
        assert_eq!((subjects(&items), numbers), (vec!["413".to_owned(), "/1".to_owned()], vec![1, 2]));
    }

    #[test]
    fn the_summary_is_bounded() {
        let mut summary = Summary::default();
        let good = ItemOutcome { accepted: 2, refused: 0, problem: None };
        let bad = ItemOutcome { accepted: 0, refused: 1, problem: Some(Problem::field("data", "No.")) };
        for number in 0..1000 {
            summary.absorb(&[good.clone(), bad.clone()], &[2 * number + 1, 2 * number + 2]);
        }
        let (posted, lines) = summary.told();
        assert_eq!((posted.accepted(), posted.refused()), (2000, 1000));
        assert_eq!((posted.outcomes.len(), lines.len()), (POST_ERRORS_TOLD_MAX + 1, POST_ERRORS_TOLD_MAX));
        assert_eq!(lines[..2], [2, 4]);
    }
}
