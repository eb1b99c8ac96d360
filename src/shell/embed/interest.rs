//! Whether anybody listens to a subject, told from the cores to one waiting thread (rule P-35).
//!
//! Each core looks at every tick and keeps its own answer; the node's answer is how many cores say yes. When the first one does, or the last
//! one does no longer, that core wakes the waiting thread.
//!
//! No wake-up is lost: the waiting thread puts itself into `waiter`, fences and then looks at the answer; a core changes the answer, fences
//! and then looks whether somebody waits. One of the two sees the other.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use super::{Hall, PublishError};
use crate::broker::Broker;
use crate::limits::WATCHED_SUBJECTS_MAX;
use crate::topic::Subject;

/// A subject that is watched.
pub(super) struct Watched {
    subject: Subject,
    /// How many cores have a session that would get an event of it.
    listening: AtomicUsize,
    /// Nobody asks any more: the cores are to let go of it.
    forgotten: AtomicBool,
    /// The cores look no more.
    ended: AtomicBool,
    /// [`Waker::wake`] was called and no wait has ended for it yet.
    woken: AtomicBool,
    /// The thread that waits for a change.
    waiter: ArrayQueue<Thread>,
    /// How many subjects are watched, this one included.
    count: Arc<AtomicUsize>,
}

impl Watched {
    fn is_listened_to(&self) -> bool {
        self.listening.load(Ordering::SeqCst) > 0
    }

    /// A core has another answer than before.
    fn tell(&self, listens: bool) {
        let changed = if listens {
            self.listening.fetch_add(1, Ordering::SeqCst) == 0
        } else {
            self.listening.fetch_sub(1, Ordering::SeqCst) == 1
        };
        if changed {
            self.wake();
        }
    }

    fn wake(&self) {
        fence(Ordering::SeqCst);
        while let Some(waiter) = self.waiter.pop() {
            waiter.unpark();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The subjects that one core watches.
pub(in crate::shell) struct Watches {
    new: Arc<ArrayQueue<Arc<Watched>>>,
    /// Each with this core's answer.
    known: Vec<(Arc<Watched>, bool)>,
}

impl Watches {
    pub(super) fn new(new: Arc<ArrayQueue<Arc<Watched>>>) -> Self {
        Self { new, known: Vec::new() }
    }

    /// P-35: looks who is listened to on this core, and says so where that has changed.
    pub(in crate::shell) fn look(&mut self, broker: &Broker) {
        self.take_new();
        self.known.retain_mut(|(watched, listens)| {
            let wanted = !watched.forgotten.load(Ordering::Relaxed);
            let now = wanted && broker.is_listened_to(&watched.subject);
            if now != *listens {
                *listens = now;
                watched.tell(now);
            }
            wanted
        });
    }

    fn take_new(&mut self) {
        while let Some(watched) = self.new.pop() {
            self.known.push((watched, false));
        }
    }
}

/// The core has ended: nobody listens here, and nobody waits in vain.
impl Drop for Watches {
    fn drop(&mut self) {
        self.take_new();
        for (watched, listens) in self.known.drain(..) {
            watched.ended.store(true, Ordering::SeqCst);
            if listens {
                watched.tell(false);
            }
            watched.wake();
        }
    }
}

/// Whether anybody listens to a subject: what a source of events asks before it does any work (rule P-35).
///
/// Somebody listens if a session has a subscription that matches the subject or one that begins with it, has listened at least once, and is still kept (one whose
/// connection has just broken counts until it is given up, for it would get the event). The server looks ten times a second, so the answer
/// may be 0.1 s old. It belongs to one thread at a time; others may ask for the same subject again.
pub struct Interest {
    watched: Arc<Watched>,
    /// One thread waits, so there is room for one.
    one_thread: PhantomData<Cell<()>>,
}

impl Interest {
    pub(super) fn new(hall: &Hall, subject: Subject) -> Result<Self, PublishError> {
        let count = &hall.watched;
        let room = |watched| (watched < WATCHED_SUBJECTS_MAX).then_some(watched + 1);
        if count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_err() {
            return Err(PublishError::TooManyWatched);
        }
        let watched = Arc::new(Watched {
            subject,
            listening: AtomicUsize::new(0),
            forgotten: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            waiter: ArrayQueue::new(1),
            count: Arc::clone(count),
        });
        let interest = Self { watched, one_thread: PhantomData };
        for list in &hall.lists {
            let listed = list.push(Arc::clone(&interest.watched)).is_ok();
            debug_assert!(listed, "a list has room for all that may be watched");
        }
        // Behind the lists: a core that ends later finds it there.
        if hall.is_closed() { Err(PublishError::Stopped) } else { Ok(interest) }
    }

    /// Whether anybody listens, as of the last look. Before the first look, 0.1 s from now at most, and after the server has stopped, nobody
    /// does.
    #[must_use]
    pub fn is_listened_to(&self) -> bool {
        self.watched.is_listened_to()
    }

    /// Waits until somebody listens (`wanted`) or nobody does (`!wanted`), and says whether that is so. It also ends when `timeout` is over,
    /// when the server stops, and when a [`Waker`] of this interest was used, also if that was before.
    #[must_use]
    pub fn wait(&self, wanted: bool, timeout: Duration) -> bool {
        let watched = &*self.watched;
        let began = Instant::now();
        loop {
            drop(watched.waiter.force_push(thread::current()));
            fence(Ordering::SeqCst);
            let woken = watched.woken.swap(false, Ordering::SeqCst) || watched.ended.load(Ordering::SeqCst);
            let answer = self.is_listened_to() == wanted;
            let left = timeout.saturating_sub(began.elapsed());
            if answer || woken || left.is_zero() {
                drop(watched.waiter.pop());
                return answer;
            }
            thread::park_timeout(left);
        }
    }

    /// What another thread needs to end a [`Interest::wait`].
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker { watched: Arc::clone(&self.watched) }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.watched.forgotten.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.watched.subject.as_str();
        f.debug_struct("Interest")
            .field("subject", &subject)
            .field("is_listened_to", &self.is_listened_to())
            .finish_non_exhaustive()
    }
}

/// Ends the wait of an [`Interest`], from any thread.
#[derive(Clone)]
pub struct Waker {
    watched: Arc<Watched>,
}

impl Waker {
    /// Ends the wait that is under way, or else the next one.
    pub fn wake(&self) {
        self.watched.woken.store(true, Ordering::SeqCst);
        self.watched.wake();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("subject", &self.watched.subject.as_str()).finish_non_exhaustive()
    }
}
