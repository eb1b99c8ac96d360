//! Waiting for the kernel, and standing back for a moment: the only two things that a core's tasks ask of the runtime's driver.
//!
//! Every read, write and accept of ours is a direct call that never blocks, made when a descriptor is said to be ready. So no operation
//! is ever in flight that could be abandoned with bytes or an accepted connection in it (invariant A7), and both drivers do the same.
//! What a future dropped here takes back is a question, never an answer.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use monoio::net::UnixStream;
use rustix::event::{EventfdFlags, eventfd};

/// Which of its two drivers the runtime runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring.
    IoUring,
    /// epoll, where io_uring is not allowed.
    Epoll,
}

impl Driver {
    /// Its name in settings, figures and the lines at start.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// A descriptor of any kind that can be polled, watched for something to read: a core's epoll descriptor, a listener, an eventfd.
#[derive(Debug)]
pub struct Readiness {
    /// A stream in name only: nothing is ever read from it or written to it through the runtime.
    watched: UnixStream,
}

impl Readiness {
    /// Watches `fd`, which is closed with the watch. It may be a duplicate of the one that is read from.
    ///
    /// # Errors
    ///
    /// What the kernel says if the descriptor cannot be polled, as a regular file (epoll driver only; io_uring finds out later).
    ///
    /// # Panics
    ///
    /// Outside the runtime.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { watched: UnixStream::from_std(StdUnixStream::from(fd))? })
    }

    /// Returns when there is something to read, or the other side is gone. It asks for the level: what has not been read counts again.
    /// The future may be dropped at any time. One task at a time waits for a watch.
    ///
    /// # Errors
    ///
    /// What the kernel says about the descriptor.
    pub async fn readable(&self) -> io::Result<()> {
        // Not relaxed: the epoll driver would otherwise repeat what it heard long ago.
        self.watched.readable(false).await
    }
}

/// A fair yield: before the task goes on, the driver has parked once, so that accepts, reads and timers have had their turn.
///
/// The runtime fires timers only when it parks, and parks only when no task is runnable; a task that merely wakes itself is runnable at
/// once and starves all timers. So a yield has to be an answer of the kernel. Every loop that may become long yields by this and by
/// nothing else. Any number of tasks may yield at the same time.
#[derive(Debug)]
pub struct Fair {
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// io_uring: a poll of an eventfd that is always ready is a real operation, whose completion is seen after the next submission.
    Ring(Readiness),
    /// epoll: a descriptor that is ready is found so without parking. It must become ready after the task has begun to wait.
    Bell(Bell),
}

impl Fair {
    /// A yield for a runtime that runs on `driver`. On the other one it would not be fair, or do nothing.
    ///
    /// # Errors
    ///
    /// What the kernel says if there is no descriptor left.
    ///
    /// # Panics
    ///
    /// Outside the runtime.
    pub fn new(driver: Driver) -> io::Result<Self> {
        let way = match driver {
            Driver::IoUring => Way::Ring(Readiness::new(eventfd(1, EventfdFlags::CLOEXEC)?)?),
            Driver::Epoll => Way::Bell(Bell::new()?),
        };
        Ok(Self { way })
    }

    /// Lets everything else run that can run, timers included, then returns. It costs system calls, 3 us on io_uring and 6 us on epoll
    /// (`cargo bench --bench fair` on two busy cores), so it is asked for once in about a millisecond of work.
    pub async fn yield_now(&self) {
        match &self.way {
            // An error would mean that the kernel answered, which is all that is wanted.
            Way::Ring(always_ready) => drop(always_ready.readable().await),
            Way::Bell(bell) => bell.toll().await,
        }
    }
}

/// An eventfd that its own waiter rings. The driver hears it when it parks next, and only then.
///
/// The driver remembers one waiter per descriptor, so of several yielding tasks the first rings, and the others wait for its answer.
#[derive(Debug)]
struct Bell {
    watched: Readiness,
    /// The same eventfd, to ring and to silence it.
    rope: OwnedFd,
    /// Whether a task has rung and waits for the driver.
    is_ringing: Cell<bool>,
    /// How often the driver has answered.
    answers: Cell<u64>,
    others: RefCell<Vec<Waker>>,
}

impl Bell {
    fn new() -> io::Result<Self> {
        let rope = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            watched: Readiness::new(rope.try_clone()?)?,
            rope,
            is_ringing: Cell::new(false),
            answers: Cell::new(0),
            others: RefCell::default(),
        })
    }

    /// Rings and waits for the answer, or waits for the answer to the one who did.
    async fn toll(&self) {
        let answers = self.answers.get();
        while self.answers.get() == answers {
            if self.is_ringing.get() {
                poll_fn(|cx| self.poll_other(cx, answers)).await;
            } else {
                self.ring().await;
            }
        }
    }

    /// Waits until the ringing is over, answered or abandoned.
    fn poll_other(&self, cx: &Context<'_>, answers: u64) -> Poll<()> {
        if self.answers.get() != answers || !self.is_ringing.get() {
            return Poll::Ready(());
        }
        let mut others = self.others.borrow_mut();
        if !others.iter().any(|waker| waker.will_wake(cx.waker())) {
            others.push(cx.waker().clone());
        }
        Poll::Pending
    }

    async fn ring(&self) {
        let _ringer = Ringer::new(self);
        // Silences what the last one rang. Nothing to silence is no error.
        let _ = rustix::io::read(&self.rope, &mut [0_u8; 8]);
        let mut heard = pin!(self.watched.readable());
        let mut has_rung = false;
        poll_fn(|cx| {
            let polled = heard.as_mut().poll(cx).map(drop);
            if polled.is_pending() && !has_rung {
                has_rung = true;
                // It was silent, so it can be rung; if the kernel should refuse, rather no yield than a wait without end.
                if rustix::io::write(&self.rope, &1_u64.to_ne_bytes()).is_err() {
                    return Poll::Ready(());
                }
            }
            polled
        })
        .await;
        self.answers.set(self.answers.get().wrapping_add(1));
    }
}

/// Ends the ringing, even if the ringing task is dropped while it waits: one of the others then rings anew.
struct Ringer<'a> {
    bell: &'a Bell,
}

impl<'a> Ringer<'a> {
    fn new(bell: &'a Bell) -> Self {
        bell.is_ringing.set(true);
        Self { bell }
    }
}

impl Drop for Ringer<'_> {
    fn drop(&mut self) {
        self.bell.is_ringing.set(false);
        self.bell.others.take().into_iter().for_each(Waker::wake);
    }
}
