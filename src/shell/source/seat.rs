//! What the thread of a source holds: its way into the server, its counts, its voice in the log, and how it is told to stop.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::backoff::Backoff;
use super::line;
use super::pieces::Piece;
use super::trouble::{Troubles, shown};
use crate::config::LineFormat;
use crate::limits::{SOURCE_LINE_BYTES_MAX, SOURCE_RETRY_MS};
use crate::metrics::SourceFigures;
use crate::shell::embed::{Interest, Message, PublishError, Publisher, Waker};
use crate::shell::entropy::Entropy;

/// What one source has counted. Its thread counts, anyone may read.
#[derive(Debug)]
pub(super) struct Counts {
    name: Arc<str>,
    events: AtomicU64,
    failures: AtomicU64,
    restarts: AtomicU64,
    active: AtomicBool,
}

impl Counts {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            events: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            active: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn read(&self) -> SourceFigures {
        SourceFigures {
            name: self.name.to_string(),
            events: self.events.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            active: self.active.load(Ordering::Relaxed),
        }
    }
}

/// How a source is told to stop: a flag, a bell for whoever polls, and a waker for whoever waits for listeners.
#[derive(Debug)]
pub(super) struct Stop {
    stops: AtomicBool,
    /// Whatever runs is to be killed, not asked.
    at_once: AtomicBool,
    /// Readable from the order on, for ever.
    bell: OwnedFd,
    waker: Mutex<Option<Waker>>,
}

impl Stop {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { stops: AtomicBool::new(false), at_once: AtomicBool::new(false), bell, waker: Mutex::new(None) })
    }

    /// Tells the source to stop; `at_once` without patience for its program.
    pub(super) fn order(&self, at_once: bool) {
        self.at_once.fetch_or(at_once, Ordering::SeqCst);
        self.stops.store(true, Ordering::SeqCst);
        // A full counter is readable as well.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake();
        }
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.at_once.load(Ordering::SeqCst)
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.stops.load(Ordering::SeqCst)
    }

    /// What is readable once the source is to stop.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Waits until the order or `until`. Says whether the source is to stop.
    pub(super) fn wait(&self, until: Instant) -> bool {
        while !self.is_ordered() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            wait_ready(&mut [PollFd::new(&self.bell, PollFlags::IN)], left);
        }
        true
    }
}

/// Polls once. An error of it is no reason to stop: whoever called looks at its descriptors anyway.
pub(super) fn wait_ready(watched: &mut [PollFd<'_>], left: Duration) {
    // What is longer than the kernel can count is cut: the caller asks again.
    let left = Timespec::try_from(left.min(Duration::from_secs(86_400))).ok();
    if let Err(error) = poll(watched, left.as_ref())
        && error != rustix::io::Errno::INTR
    {
        tracing::debug!(%error, "a source cannot poll");
    }
}

/// What happens when the cores have no room for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It is dropped and counted as a failure: a newer one comes soon.
    Drop,
    /// It waits, and with it what it comes from: a pipe fills, a file is read later.
    Wait,
}

/// See the page.
pub(super) struct Seat {
    pub(super) subject: String,
    pub(super) format: LineFormat,
    pub(super) patience: Patience,
    pub(super) publisher: Publisher,
    pub(super) stop: Arc<Stop>,
    pub(super) backoff: Backoff,
    pub(super) troubles: Troubles,
    counts: Arc<Counts>,
}

impl Seat {
    pub(super) fn new(
        subject: &str,
        format: LineFormat,
        publisher: Publisher,
        counts: Arc<Counts>,
        stop: Arc<Stop>,
    ) -> Self {
        // Jitter is no secret: without random bits all sources have the same.
        let seed = Entropy::new().draw().map_or(1, |bits| bits as u64);
        Self {
            subject: subject.to_owned(),
            format,
            patience: Patience::Wait,
            publisher,
            stop,
            backoff: Backoff::new(seed),
            troubles: Troubles::new(Arc::clone(counts.name())),
            counts,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.counts.name()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_ordered()
    }

    /// Counts a failure and tells it.
    pub(super) fn fail(&mut self, what: &str) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        self.troubles.tell(what);
    }

    /// The publisher for a source that publishes by itself: what it publishes and what is refused is counted here.
    pub(super) fn counted_publisher(&self) -> Publisher {
        let counts = Arc::clone(&self.counts);
        let count = move |outcome: &Result<(), PublishError>| {
            let _ = match outcome {
                Ok(()) => counts.events.fetch_add(1, Ordering::Relaxed),
                Err(PublishError::Stopped) => return,
                Err(_) => counts.failures.fetch_add(1, Ordering::Relaxed),
            };
        };
        self.publisher.clone().counted(Arc::new(count))
    }

    /// Counts one more start of what ended by itself.
    pub(super) fn count_restart(&self) {
        self.counts.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// P-35: whether the source works or sleeps.
    pub(super) fn set_active(&self, active: bool) {
        if self.counts.active.swap(active, Ordering::Relaxed) != active {
            tracing::debug!(source = self.name(), "{}", if active { "the source works" } else { "the source sleeps" });
        }
    }

    /// Asks who listens to the source's subject; `None` if the source is to stop.
    pub(super) fn watch(&mut self) -> Option<Interest> {
        while !self.is_stopping() {
            match self.publisher.watch(&self.subject) {
                Ok(interest) => {
                    *self.stop.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(interest.waker());
                    return Some(interest);
                }
                Err(error) => self.fail(&format!("nobody can be asked who listens: {error}")),
            }
            self.pause();
        }
        None
    }

    /// P-35: sleeps until somebody listens. Says whether that is so; otherwise the source is to stop.
    pub(super) fn sleep(&self, interest: &Interest) -> bool {
        while !self.is_stopping() {
            if interest.is_listened_to() {
                self.set_active(true);
                return true;
            }
            self.set_active(false);
            if !interest.wait(true, Duration::MAX) {
                // Woken, and nobody there: an order to stop, or a server that has gone and tells us soon.
                let _ = self.stop.wait(Instant::now() + Duration::from_millis(SOURCE_RETRY_MS));
            }
        }
        self.set_active(false);
        false
    }

    /// Waits as long as it is right after a failure. Says whether the source is to stop.
    pub(super) fn pause(&mut self) -> bool {
        let pause = self.backoff.pause();
        self.stop.wait(Instant::now() + pause)
    }

    /// Publishes a message, for one session if it is to. It breaks if the source is to stop.
    pub(super) fn publish(&mut self, message: Message, to: Option<&str>) -> ControlFlow<()> {
        loop {
            if self.is_stopping() {
                return ControlFlow::Break(());
            }
            let outcome = match to {
                Some(to) => self.publisher.unicast(to, message.clone()),
                None => self.publisher.multicast(message.clone()),
            };
            match outcome {
                Ok(()) => {
                    self.counts.events.fetch_add(1, Ordering::Relaxed);
                    return ControlFlow::Continue(());
                }
                Err(PublishError::Overloaded) if self.patience == Patience::Wait => {
                    if self.stop.wait(Instant::now() + Duration::from_millis(SOURCE_RETRY_MS)) {
                        return ControlFlow::Break(());
                    }
                }
                Err(PublishError::Stopped) => return ControlFlow::Break(()),
                Err(error) => {
                    self.fail(&format!("an event was not published: {error}"));
                    return ControlFlow::Continue(());
                }
            }
        }
    }

    /// Publishes what a line says.
    pub(super) fn take(&mut self, letter: line::Letter) -> ControlFlow<()> {
        match letter.into_message(&self.subject) {
            Ok((message, to)) => self.publish(message, to.as_deref()),
            Err(problem) => {
                self.fail(&format!("a line was not published: {problem}"));
                ControlFlow::Continue(())
            }
        }
    }

    /// Takes a line, or the beginning of one that is too long.
    pub(super) fn take_piece(&mut self, piece: Piece<'_>) -> ControlFlow<()> {
        let line = match piece {
            Piece::Line(line) => line,
            Piece::TooLong(_) => {
                self.fail(&format!("a line is longer than {SOURCE_LINE_BYTES_MAX} bytes and was skipped"));
                return ControlFlow::Continue(());
            }
        };
        match line::parse(self.format, line) {
            Ok(Some(letter)) => self.take(letter),
            Ok(None) => ControlFlow::Continue(()),
            Err(problem) => {
                // What is wrong comes first: the same trouble is told once, whatever the line.
                self.fail(&format!("a line cannot be read: {problem}"));
                tracing::debug!(source = self.name(), line = shown(line), "a line that cannot be read");
                ControlFlow::Continue(())
            }
        }
    }
}
