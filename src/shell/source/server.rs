//! Sources of a program that embeds the server.

use std::io;

use super::job::{Asked, Pulling, Pushing};
use super::{PullSource, PushSource};
use crate::shell::embed::Server;

impl Server {
    /// P-35: asks `source` for events while somebody listens to its subject, until the server stops. It is called `program/pull-1` and so on
    /// in the log and in metrics.
    ///
    /// # Errors
    ///
    /// If its subject is none, if the kernel has no thread for it, or if the server stops.
    pub fn add_pull_source(&self, source: impl PullSource + 'static) -> io::Result<()> {
        let subject = source.subject().to_owned();
        self.roster().add("pull", &subject, Box::new(Pulling(Asked(Box::new(source)))))
    }

    /// P-35: lets `source` publish while somebody listens to its subject, until the server stops. It is called `program/push-1` and
    /// so on in the log and in metrics.
    ///
    /// # Errors
    ///
    /// As [`Server::add_pull_source`].
    pub fn add_push_source(&self, source: impl PushSource + 'static) -> io::Result<()> {
        let subject = source.subject().to_owned();
        self.roster().add("push", &subject, Box::new(Pushing::new(Box::new(source))))
    }
}
