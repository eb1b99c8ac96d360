//! The life of a source on its thread: when it works and when it sleeps.

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

/// A source that publishes by itself between `activate` and `passivate`.
pub(super) struct Pushing {
    pub(super) source: Box<dyn PushSource>,
}

impl Job for Pushing {
    /// P-35: active while somebody listens, and a little longer.
    fn run(&mut self, seat: &mut Seat) {
        let Some(interest) = seat.watch() else { return };
        while seat.sleep(&interest) {
            self.source.activate(seat.publisher.clone());
            let mut left_at: Option<Instant> = None;
            while !seat.is_stopping() {
                left_at = if interest.is_listened_to() { None } else { Some(left_at.unwrap_or_else(Instant::now)) };
                let grace = Duration::from_millis(SOURCE_GRACE_MS);
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
            self.source.passivate();
        }
        seat.set_active(false);
        self.source.stop();
    }
}
