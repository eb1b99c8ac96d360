//! Figures between the core that counts and whoever prints them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::turns::TURN_CLASSES;
use super::{Counters, Figures, TurnTimes};
use crate::protocol::EndReason;

/// How many numbers the figures of a core are. All of them are `u64`, which `words!` proves.
const WORDS: usize = size_of::<Figures>() / size_of::<u64>();
/// Those that have a field of their own.
const SINGLE_WORDS: usize = WORDS - EndReason::ALL.len() - TURN_CLASSES;

/// Every number of `$figures`, a `&Figures` or a `&mut Figures`, by reference, always in the same order.
///
/// A field that is missing here does not compile: the patterns name all of them, and the array has room for exactly the rest of [`WORDS`].
macro_rules! words {
    ($figures:expr) => {{
        let Figures {
            counters,
            connections,
            sessions,
            listening,
            subscriptions,
            inbox_depth,
            letters_waiting,
            file_table_own,
            turns,
        } = $figures;
        let Counters {
            connections_accepted,
            connections_refused,
            connections_timed_out,
            requests,
            requests_refused,
            joins,
            joins_refused,
            nacks,
            ids_unknown,
            published,
            items_refused,
            denied,
            delivered,
            unicast_dropped,
            lost,
            names_dropped,
            writes,
            bytes_written,
            handovers_out,
            handovers_in,
            handovers_failed,
            forwarded,
            overloaded,
            relayed,
            ended,
        } = counters;
        let TurnTimes { counts, sum_us } = turns;
        let single: [_; SINGLE_WORDS] = [
            connections,
            sessions,
            listening,
            subscriptions,
            inbox_depth,
            letters_waiting,
            file_table_own,
            connections_accepted,
            connections_refused,
            connections_timed_out,
            requests,
            requests_refused,
            joins,
            joins_refused,
            nacks,
            ids_unknown,
            published,
            items_refused,
            denied,
            delivered,
            unicast_dropped,
            lost,
            names_dropped,
            writes,
            bytes_written,
            handovers_out,
            handovers_in,
            handovers_failed,
            forwarded,
            overloaded,
            relayed,
            sum_us,
        ];
        single.into_iter().chain(ended).chain(counts)
    }};
}

/// Where one core shows its figures. Only that core publishes; anyone may read at any time, and nobody waits for anybody. So a core that hangs
/// is seen: its figures stand still.
///
/// What is read may be torn: some figures are of one turn and some of the next, so sums of different figures may be off by what one turn did.
/// Each number alone is one that the core has published, and a counter never goes back.
///
/// It fills cache lines of its own (two at a time, which is what processors fetch): a core that publishes disturbs no other one.
#[derive(Debug)]
#[repr(align(128))]
pub struct Board {
    words: [AtomicU64; WORDS],
}

impl Board {
    /// A board that shows nothing but zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// Shows `figures` in place of those before. For the core alone whose board it is; its cost is that of as many plain stores.
    pub fn publish(&self, figures: &Figures) {
        let mut shown = self.words.iter();
        // Not a zip: this way round the compiler makes plain stores of it, at a quarter of the time.
        words!(figures).for_each(|word| {
            if let Some(shown) = shown.next() {
                shown.store(*word, Relaxed);
            }
        });
    }

    /// What the core has published last, perhaps torn.
    #[must_use]
    pub fn read(&self) -> Figures {
        let mut figures = Figures::default();
        for (word, shown) in words!(&mut figures).zip(&self.words) {
            *word = shown.load(Relaxed);
        }
        figures
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

/// Figures that are zero but for the one with the number `changed`, and how many there are.
#[cfg(test)]
pub(super) fn with_one(changed: usize, value: u64) -> Figures {
    let mut figures = Figures::default();
    for word in words!(&mut figures).skip(changed).take(1) {
        *word = value;
    }
    figures
}

#[cfg(test)]
pub(super) const FIGURES: usize = WORDS;

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct(first: u64) -> Figures {
        let mut figures = Figures::default();
        for (word, value) in words!(&mut figures).zip(first..) {
            *word = value;
        }
        figures
    }

    #[test]
    fn the_words_are_all_of_the_figures() {
        assert_eq!(size_of::<Figures>(), WORDS * size_of::<u64>(), "a figure is not a u64");
        let figures = distinct(1);
        let values: Vec<u64> = words!(&figures).copied().collect();
        assert_eq!(values, (1..=WORDS as u64).collect::<Vec<_>>(), "a figure is named twice");
    }

    #[test]
    fn what_is_published_is_read() {
        let board = Board::new();
        assert_eq!(board.read(), Figures::default());
        for first in [1, 1_000, u64::MAX - WORDS as u64] {
            board.publish(&distinct(first));
            assert_eq!(board.read(), distinct(first));
        }
    }

    /// What the crate promises about torn figures: each counter alone never goes back.
    #[test]
    fn a_reader_beside_the_core_sees_no_counter_go_back() {
        const TURNS: u64 = 20_000;
        let board = Board::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=TURNS).for_each(|turn| board.publish(&distinct(turn))));
            let mut before = board.read();
            while before != distinct(TURNS) {
                let now = board.read();
                assert!(words!(&now).zip(words!(&before)).all(|(now, before)| now >= before), "{before:?}\n{now:?}");
                before = now;
            }
        });
    }

    #[test]
    fn boards_share_no_cache_line() {
        let boards = [Board::new(), Board::new()];
        let [first, second] = boards.each_ref().map(|board| std::ptr::from_ref(board).addr());
        assert_eq!((first % 128, second % 128), (0, 0));
        assert!(second - first >= size_of::<[AtomicU64; WORDS]>());
    }
}
