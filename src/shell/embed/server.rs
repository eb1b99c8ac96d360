//! A running server inside a program.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::Publisher;
use crate::config::Config;
use crate::shell::boot::{Host, Node, NodeLimits};
use crate::shell::source::Roster;

/// A server that runs on threads of its own, inside a program.
///
/// It catches no signals, prints nothing and installs no logger: what it has to say goes to `tracing`, and whoever wants it subscribes.
/// Dropping it is stopping it, without hearing how that went.
pub struct Server {
    /// `None` once it was stopped.
    node: Option<Node>,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were cut off because the drain time was over.
    pub connections_cut: usize,
}

impl Server {
    /// Starts a server and returns when all its cores serve. Of `config`, what is for the program (log format, log level) is left aside.
    ///
    /// # Errors
    ///
    /// What would end the program `pushletd` at its start: an address that is taken, too few descriptors, too little memory for the inboxes.
    pub fn start(config: &Config) -> io::Result<Self> {
        let limits = NodeLimits::find(config, Host::Program)?;
        Ok(Self { node: Some(Node::start(config, limits, Host::Program, &[])?) })
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("only `stop` and `drop` take the node out, and they consume the server")
    }

    /// Where it listens. If the configuration asked for port 0, this is the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.node().address()
    }

    /// Where its admin port listens, if it has one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.node().admin_address()
    }

    /// A new handle for publishing. Events of one handle keep their order; for more throughput several handles are spread over the cores.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.node().publisher()
    }

    pub(in crate::shell) fn roster(&self) -> &Roster {
        self.node().roster()
    }

    /// P-32: stops as the program does on TERM. What was published before is delivered, every client is told and has the configured drain time
    /// at most to take its last bytes; then the threads end.
    ///
    /// # Errors
    ///
    /// If a core had ended before by a fault of ours.
    pub fn stop(mut self) -> io::Result<Stopped> {
        match self.node.take() {
            Some(node) => node.drain_and_stop(),
            None => Ok(Stopped { connections_cut: 0 }),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(node) = self.node.take()
            && let Err(error) = node.drain_and_stop()
        {
            tracing::error!(%error, "the server has stopped");
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address()).finish_non_exhaustive()
    }
}
