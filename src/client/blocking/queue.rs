//! What the thread of a client has for its program.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Told;
use crate::limits::{CLIENT_KEPT_BYTES_MAX, CLIENT_KEPT_EVENTS_MAX};

/// What an item counts besides its text, in bytes.
const ITEM_BYTES: usize = 256;

/// While somebody waits for an answer, which comes behind events, there is room for so many times more of them: whoever takes events and waits
/// for answers in one thread would otherwise wait for himself. What can be in front of an answer is what the kernel holds, some megabytes.
const MORE_EVENTS: usize = 64;
const MORE_BYTES: usize = 4;

/// From one thread to another, bounded in events and in bytes. One event has always room. What else is told has room, too, and does not
/// pile up: of connections that came and went without an event between them, the last is told.
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
    /// So many wait for an answer.
    waiting: usize,
    /// Nothing more comes.
    ended: bool,
    /// Nobody takes anything any more.
    abandoned: bool,
}

fn weight(told: &Told) -> usize {
    ITEM_BYTES + if let Told::Event(event) = told { event.text().len() } else { 0 }
}

impl State {
    fn has_room(&self, weight: usize) -> bool {
        let (events, bytes) = if self.waiting > 0 { (MORE_EVENTS, MORE_BYTES) } else { (1, 1) };
        let fits = self.items.len() < events * CLIENT_KEPT_EVENTS_MAX
            && self.bytes.saturating_add(weight) <= bytes * CLIENT_KEPT_BYTES_MAX;
        self.abandoned || self.items.is_empty() || fits
    }

    /// Forgets connections that came and went since the last event.
    fn forget_connections(&mut self) {
        while let Some(Told::Joined(_) | Told::Reset { .. } | Told::Disconnected { .. }) = self.items.back() {
            self.items.pop_back();
            self.bytes -= ITEM_BYTES;
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something behind the rest; waits for room at most so long, and gives it back then.
    pub(super) fn push(&self, told: Told, patience: Duration) -> Result<(), Box<Told>> {
        let (weight, deadline) = (weight(&told), Instant::now() + patience);
        let mut state = self.lock();
        let is_event = matches!(told, Told::Event(_) | Told::Lost(_));
        while is_event && !state.has_room(weight) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Box::new(told));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if matches!(told, Told::Disconnected { .. }) {
            state.forget_connections();
        }
        if !state.abandoned {
            state.bytes += weight;
            state.items.push_back(told);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Somebody begins to wait for an answer, or has done so.
    pub(super) fn wait_for_answers(&self, begins: bool) {
        let mut state = self.lock();
        state.waiting = if begins { state.waiting + 1 } else { state.waiting.saturating_sub(1) };
        self.changed.notify_all();
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
        assert_eq!(queue.push(Told::Lost(7), Duration::ZERO), Err(Box::new(Told::Lost(7))));
        assert_eq!(queue.take(None), Some(Told::Lost(0)));
        assert_eq!(queue.push(Told::Lost(7), Duration::ZERO), Ok(()));
        let large = |bytes| {
            let text = format!("{{\"subject\":\"/a\",\"data\":\"{}\"}}", "x".repeat(bytes));
            Told::Event(crate::client::Event::read(text).expect("an event"))
        };
        let queue = Queue::default();
        assert_eq!(queue.push(large(2 * CLIENT_KEPT_BYTES_MAX), Duration::ZERO), Ok(()), "one has always room");
        assert_eq!(queue.push(Told::Lost(1), Duration::ZERO), Err(Box::new(Told::Lost(1))));
        queue.abandon();
        assert_eq!(queue.push(Told::Lost(1), Duration::ZERO), Ok(()));
        queue.end();
        assert_eq!(queue.take(None), None);
    }

    /// Whoever only publishes never looks; a connection that comes and goes must not fill the queue, nor wait for him.
    #[test]
    fn connections_do_not_pile_up() {
        let queue = Queue::default();
        let reset = || Told::Reset { reason: String::new() };
        for number in 0..2 * CLIENT_KEPT_EVENTS_MAX {
            let again_in = Duration::from_millis(number as u64);
            for told in [Told::Disconnected { why: String::new(), again_in }, Told::Joined(Default::default()), reset()]
            {
                assert_eq!(queue.push(told, Duration::ZERO), Ok(()));
            }
        }
        assert!(matches!(queue.take(None), Some(Told::Disconnected { again_in, .. }) if again_in.as_millis() == 2047));
        assert_eq!((queue.take(None), queue.take(None)), (Some(Told::Joined(Default::default())), Some(reset())));
        assert_eq!(queue.take(Some(Duration::ZERO)), None);
        assert_eq!(queue.lock().bytes, 0);
    }

    /// Who waits for an answer does not take events meanwhile, and the answer comes behind them.
    #[test]
    fn there_is_more_room_while_somebody_waits() {
        let queue = Queue::default();
        queue.wait_for_answers(true);
        for number in 0..2 * CLIENT_KEPT_EVENTS_MAX {
            assert_eq!(queue.push(Told::Lost(number as u64), Duration::ZERO), Ok(()));
        }
        queue.wait_for_answers(false);
        assert!(queue.push(Told::Lost(7), Duration::ZERO).is_err());
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
