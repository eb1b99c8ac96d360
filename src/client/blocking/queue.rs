//! What the thread of a client has for its program.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Told;
use crate::limits::{CLIENT_KEPT_BYTES_MAX, CLIENT_KEPT_EVENTS_MAX};

/// What an item counts besides its text, in bytes.
const ITEM_BYTES: usize = 256;

/// From one thread to another, bounded in items and in bytes. One item has always room.
///
/// Invariant: `bytes` is the sum of the weights of `items`.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Told>,
    bytes: usize,
    /// Nothing more comes.
    ended: bool,
    /// Nobody takes anything any more.
    abandoned: bool,
}

fn weight(told: &Told) -> usize {
    ITEM_BYTES + if let Told::Event(event) = told { event.text().len() } else { 0 }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something behind the rest; waits for room at most so long, and gives it back then.
    pub(super) fn push(&self, told: Told, patience: Duration) -> Result<(), Told> {
        let (weight, deadline) = (weight(&told), Instant::now() + patience);
        let mut state = self.lock();
        while !state.abandoned
            && !state.items.is_empty()
            && (state.items.len() >= CLIENT_KEPT_EVENTS_MAX || state.bytes + weight > CLIENT_KEPT_BYTES_MAX)
        {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(told);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if !state.abandoned {
            state.bytes += weight;
            state.items.push_back(told);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// The first item, waited for at most so long (for ever, if it is not said). `None` as well when nothing more comes.
    pub(super) fn take(&self, patience: Option<Duration>) -> Option<Told> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut state = self.lock();
        loop {
            if let Some(told) = state.items.pop_front() {
                state.bytes -= weight(&told);
                self.changed.notify_all();
                return Some(told);
            }
            if state.ended {
                return None;
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Nobody takes anything any more: whatever is pushed is dropped.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        (state.abandoned, state.bytes) = (true, 0);
        state.items.clear();
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_in_items_and_in_bytes() {
        let queue = Queue::default();
        for number in 0..CLIENT_KEPT_EVENTS_MAX {
            assert_eq!(queue.push(Told::Lost(number as u64), Duration::ZERO), Ok(()));
        }
        assert_eq!(queue.push(Told::Lost(7), Duration::ZERO), Err(Told::Lost(7)));
        assert_eq!(queue.take(None), Some(Told::Lost(0)));
        assert_eq!(queue.push(Told::Lost(7), Duration::ZERO), Ok(()));
        let large = |bytes| {
            let text = format!("{{\"subject\":\"/a\",\"data\":\"{}\"}}", "x".repeat(bytes));
            Told::Event(crate::client::Event::read(text).expect("an event"))
        };
        let queue = Queue::default();
        assert_eq!(queue.push(large(2 * CLIENT_KEPT_BYTES_MAX), Duration::ZERO), Ok(()), "one has always room");
        assert_eq!(queue.push(Told::Lost(1), Duration::ZERO), Err(Told::Lost(1)));
        queue.abandon();
        assert_eq!(queue.push(Told::Lost(1), Duration::ZERO), Ok(()));
        queue.end();
        assert_eq!(queue.take(None), None);
    }

    #[test]
    fn who_waits_is_woken() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| [queue.take(None), queue.take(None)]);
            assert_eq!(queue.push(Told::Lost(1), Duration::from_secs(10)), Ok(()));
            queue.end();
            assert_eq!(taken.join().expect("no thread panics"), [Some(Told::Lost(1)), None]);
        });
    }
}
