//! The life of a source on its thread: when it works and when it sleeps.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use super::seat::{Patience, Seat};
use super::{PullSource, PushSource, SourceError};
use crate::limits::{SOURCE_AGAIN_MS, SOURCE_EVERY_MS_RANGE, SOURCE_GRACE_MS, SOURCE_TICK_MS};
use crate::shell::embed::Interest;

/// What the thread of a source does until it is to stop, or until there is nothing more to do.
pub(super) trait Job: Send {
    fn run(&mut self, seat: &mut Seat);
}

/// What is asked every so often, and publishes by itself.
pub(super) trait Pull: Send {
    fn every(&self) -> Duration;
    fn pull(&mut self, seat: &mut Seat, interest: &Interest) -> Result<(), SourceError>;
}

/// Asks a [`Pull`] while somebody listens.
pub(super) struct Pulling<P>(pub(super) P);

impl<P: Pull> Job for Pulling<P> {
    /// P-35: while nobody listens the thread sleeps, and nothing is asked. The first subscriber starts it at once.
    fn run(&mut self, seat: &mut Seat) {
        seat.patience = Patience::Drop;
        let Some(interest) = seat.watch() else { return };
        while seat.sleep(&interest) {
            let began = Instant::now();
            let every = within_range(self.0.every());
            let outcome = self.0.pull(seat, &interest);
            if seat.is_stopping() {
                break;
            }
            let mut due = began + every;
            // Who has lost all listeners and found new ones begins at once, but a failure is waited for.
            let mut not_before = began + every.min(Duration::from_millis(SOURCE_AGAIN_MS));
            match outcome {
                Ok(()) => seat.backoff.reset(),
                Err(error) => {
                    seat.fail(&error.to_string());
                    not_before = not_before.max(Instant::now() + seat.backoff.pause());
                    due = due.max(not_before);
                }
            }
            // Ends early where the last listener goes: then it sleeps.
            if interest.wait(false, due.saturating_duration_since(Instant::now())) {
                seat.set_active(false);
                due = not_before;
            }
            if seat.stop.wait(due) {
                break;
            }
        }
        seat.set_active(false);
    }
}

/// The time from one question to the next, however far a source of a program goes beyond what a configured one may say.
fn within_range(every: Duration) -> Duration {
    let (shortest, longest) = SOURCE_EVERY_MS_RANGE;
    every.clamp(Duration::from_millis(shortest), Duration::from_millis(longest))
}

/// A source of a program that embeds the server, as the built-in ones are.
pub(super) struct Asked(pub(super) Box<dyn PullSource>);

impl Pull for Asked {
    fn every(&self) -> Duration {
        self.0.interval()
    }

    fn pull(&mut self, seat: &mut Seat, _: &Interest) -> Result<(), SourceError> {
        for message in self.0.pull()? {
            if seat.publish(message, None).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A source that publishes by itself between `activate` and `passivate`. Dropping it stops it.
pub(super) struct Pushing {
    source: Box<dyn PushSource>,
    /// `activate` was called and `passivate` was not.
    active: bool,
}

impl Pushing {
    pub(super) fn new(source: Box<dyn PushSource>) -> Self {
        Self { source, active: false }
    }

    /// P-35: active while somebody listens, and a little longer.
    fn work(&mut self, seat: &mut Seat) {
        let Some(interest) = seat.watch() else { return };
        let publisher = seat.counted_publisher();
        while seat.sleep(&interest) {
            // Whoever panics in there may have begun already.
            self.active = true;
            self.source.activate(publisher.clone());
            await_absence(seat, &interest);
            self.active = false;
            self.source.passivate();
        }
        seat.set_active(false);
    }

    /// Passivates it if it is active; a panic of that is told.
    fn calm(&mut self) {
        if std::mem::take(&mut self.active) {
            guarded("passivated", || self.source.passivate());
        }
    }
}

impl Job for Pushing {
    fn run(&mut self, seat: &mut Seat) {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| self.work(seat))) {
            self.calm();
            resume_unwind(cause);
        }
    }
}

/// However its thread ends, what is active is passivated, and all of them are stopped.
impl Drop for Pushing {
    fn drop(&mut self) {
        self.calm();
        guarded("stopped", || self.source.stop());
    }
}

fn guarded(what: &str, call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::warn!("a source has panicked while it was {what}");
    }
}

/// P-35: waits until nobody has listened for the grace, or the source is to stop.
fn await_absence(seat: &Seat, interest: &Interest) {
    let grace = Duration::from_millis(SOURCE_GRACE_MS);
    let mut left_at: Option<Instant> = None;
    while !seat.is_stopping() {
        left_at = if interest.is_listened_to() { None } else { Some(left_at.unwrap_or_else(Instant::now)) };
        match left_at {
            Some(since) if since.elapsed() >= grace => break,
            Some(since) => {
                let _ = interest.wait(true, grace.saturating_sub(since.elapsed()));
            }
            None => {
                let _ = interest.wait(false, Duration::MAX);
            }
        }
        if !seat.is_stopping() && left_at.is_none() && interest.is_listened_to() {
            // Woken for nothing: never in a hurry.
            let _ = seat.stop.wait(Instant::now() + Duration::from_millis(SOURCE_TICK_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_programs_are_kept_within_the_range() {
        let due = [(Duration::ZERO, 10), (Duration::from_millis(11), 11), (Duration::MAX, 86_400_000)];
        for (every, millis) in due {
            assert_eq!(within_range(every), Duration::from_millis(millis));
        }
    }
}
