//! From threads that are no cores to one core: a queue with a bound in messages and in bytes, many producers, one consumer.
//!
//! Nobody waits here. A producer that finds no room is refused at once; the consumer takes what it wants when it wants.
//!
//! # Why no wake-up is lost
//!
//! The scheme of `port.rs`, with a flag of its own. Each side first writes, then fences, then reads what the other side writes:
//!
//! ```text
//! core (prepare_sleep)         producer (push)
//! armed = true                 queue.push(..)
//! fence(SeqCst)                fence(SeqCst)
//! look: queue                  look: armed, and take it down
//! ```
//!
//! The two fences are in one total order. If the core's is first, the producer sees `armed` and is told to ring; if the producer's is first,
//! the core sees the message and does not sleep. Of several producers one takes `armed` down, and that one rings.
//!
//! * Between the push and the bell the producer may be stopped for any length of time. The message is then in the queue, and its core sleeps
//!   at most until the producer goes on or something else wakes it (a tick, for one). Nothing behind it overtakes it.
//! * Who finds `armed` down need not ring: another producer has taken it down and rings, or the core has, because it is awake. An awake core
//!   looks at the queue again behind its fence before it sleeps.
//! * A core that does not *want* to take anything at the moment may sleep without `prepare_sleep`: then it stays disarmed, and nobody rings.
//!   It is the core's duty to look again when what it waits for has come.

use super::lane::{LaneBounds, Padded, Weigh};
use super::sync::{Arc, ArrayQueue, AtomicBool, AtomicU64, Ordering, fence};

struct Shared<T> {
    queue: ArrayQueue<T>,
    bytes_max: u64,
    /// Weight of what is in the queue, and for a moment of what is about to be or was refused: never less than what is in it.
    bytes: Padded<AtomicU64>,
    armed: Padded<AtomicBool>,
    /// How often a producer was refused.
    refused: AtomicU64,
}

/// Makes a way to a core.
///
/// # Panics
///
/// If it could not hold a message.
#[must_use]
pub fn intake<T: Weigh>(bounds: LaneBounds) -> (Inlet<T>, Intake<T>) {
    assert!(bounds.messages_max > 0, "an intake holds at least one message");
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(bounds.messages_max),
        bytes_max: bounds.bytes_max as u64,
        bytes: Padded(AtomicU64::new(0)),
        armed: Padded(AtomicBool::new(false)),
        refused: AtomicU64::new(0),
    });
    (Inlet { shared: Arc::clone(&shared) }, Intake { shared, refused_before: 0 })
}

/// The producers' end. What one thread pushes is taken in that order.
pub struct Inlet<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Weigh> Inlet<T> {
    /// Hands a message in. `true` if the core sleeps and its bell must be rung now, by the caller and nobody else.
    ///
    /// # Errors
    ///
    /// Gives the message back if there is no room. One that is heavier than the bound passes alone.
    pub fn push(&self, message: T) -> Result<bool, T> {
        let shared = &*self.shared;
        let weight = message.weight() as u64;
        let before = shared.bytes.0.fetch_add(weight, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(weight) <= shared.bytes_max;
        let refused = if fits { shared.queue.push(message).err() } else { Some(message) };
        if let Some(message) = refused {
            shared.bytes.0.fetch_sub(weight, Ordering::Relaxed);
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(message);
        }
        fence(Ordering::SeqCst);
        let armed = &shared.armed.0;
        Ok(armed.load(Ordering::SeqCst) && armed.swap(false, Ordering::SeqCst))
    }
}

/// The core's end.
pub struct Intake<T> {
    shared: Arc<Shared<T>>,
    refused_before: u64,
}

impl<T: Weigh> Intake<T> {
    /// Takes the oldest message.
    pub fn take(&mut self) -> Option<T> {
        let message = self.shared.queue.pop()?;
        self.shared.bytes.0.fetch_sub(message.weight() as u64, Ordering::Relaxed);
        Some(message)
    }

    /// Whether there is nothing to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// How often a producer was refused since the last call.
    pub fn take_refused(&mut self) -> u64 {
        let refused = self.shared.refused.load(Ordering::Relaxed);
        refused.wrapping_sub(std::mem::replace(&mut self.refused_before, refused))
    }

    /// Announces that the core is about to wait in the kernel. False if it must not, because there is something to take: then it takes
    /// another turn.
    #[must_use]
    pub fn prepare_sleep(&mut self) -> bool {
        self.shared.armed.0.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let asleep = self.is_empty();
        if !asleep {
            self.wake_up();
        }
        asleep
    }

    /// The core runs again: nobody needs to wake it.
    pub fn wake_up(&mut self) {
        // Whoever still sees the old value rings once in vain.
        self.shared.armed.0.store(false, Ordering::Relaxed);
    }
}
