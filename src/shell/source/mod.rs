//! Sources of events: what publishes by itself, and sleeps while nobody listens (rule P-35).
//!
//! Each source has a thread. A [`PullSource`] is asked every so often while somebody listens to its subject; a [`PushSource`] publishes when it
//! likes between `activate` and `passivate`. The built-in ones of `[[source]]` tables and those of a program that embeds the server
//! ([`crate::Server::add_pull_source`]) live the same life: see `job`. What fails is counted, told to the log once, and tried again after a pause.

mod backoff;
mod command;
mod fetch;
mod figures;
mod follow;
mod job;
mod line;
mod pieces;
mod process;
mod roster;
mod seat;
mod server;
mod stdin;
mod stocks;
mod system;
mod trouble;

use std::fmt;
use std::io;
use std::time::Duration;

use super::embed::{Message, PublishError, Publisher};

pub(super) use roster::{Roster, SOURCES_STOP_MAX, SourceBoard};

/// What is asked for events every so often, while somebody listens to its subject (rule P-35).
///
/// It is called on a thread of its own and may block; while it does, the server cannot stop it, and at its end it does not wait for it. A panic
/// is caught, told, counted and followed by a pause, where the program was built to unwind; with `panic = "abort"`, as `pushletd` itself is in
/// release, it ends the process.
pub trait PullSource: Send {
    /// What it is asked for: while nobody listens to this subject, nobody asks. Its events may be about other subjects as well.
    fn subject(&self) -> &str;
    /// From one question to the next. What is outside of [`crate::limits::SOURCE_EVERY_MS_RANGE`] counts as the bound that is nearer.
    fn interval(&self) -> Duration;
    /// What has happened since the last question, perhaps nothing. An event for which the server has no room is dropped and counted.
    ///
    /// # Errors
    ///
    /// What went wrong. It is told and counted, and the next question comes after a pause.
    fn pull(&mut self) -> Result<Vec<Message>, SourceError>;
}

/// What publishes when it likes, while somebody listens to its subject (rule P-35).
///
/// Its methods are called on a thread of its own, one at a time. For panics see [`PullSource`].
pub trait PushSource: Send {
    /// While nobody listens to this subject, the source is passive.
    fn subject(&self) -> &str;
    /// Somebody listens: from now on it may publish. It should return soon, and publish from a thread of its own.
    fn activate(&mut self, publisher: Publisher);
    /// Nobody has listened for [`crate::limits::SOURCE_GRACE_MS`], or the server stops: it should publish no more.
    fn passivate(&mut self);
    /// The server stops; nothing is called after this.
    fn stop(&mut self);
}

/// Why a source has no events, in a sentence for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError(String);

impl SourceError {
    /// An error that says `what`.
    #[must_use]
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SourceError {}

impl From<PublishError> for SourceError {
    fn from(error: PublishError) -> Self {
        Self::new(error)
    }
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        Self::new(error)
    }
}
