//! What is counted. Each core counts for itself in plain integers; whoever prints them adds the cores up.

mod print;

pub use print::{Figures, render};

use crate::protocol::EndReason;

/// The counts of one core since its start. Every refusal and every loss has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections refused because the process or the node is full.
    pub connections_refused: u64,
    /// Connections that ran into a deadline: head, body, idle, or an answer not taken.
    pub connections_timed_out: u64,
    /// HTTP requests read whole.
    pub requests: u64,
    /// HTTP requests refused for their form (4xx, 5xx).
    pub requests_refused: u64,
    /// Sessions begun.
    pub joins: u64,
    /// Joins refused because the node is full or shuts down.
    pub joins_refused: u64,
    /// Requests answered with a nack.
    pub nacks: u64,
    /// Requests for a session that does not exist.
    pub ids_unknown: u64,
    /// Events accepted from publishers.
    pub published: u64,
    /// Copies of events queued for sessions.
    pub delivered: u64,
    /// Unicast events whose target is unknown or does not listen (rule P-23).
    pub unicast_dropped: u64,
    /// Queued copies that were not delivered: dropped for a full queue, of which the session was told (rule P-30), or left in the queue of a
    /// session that ended other than by leaving.
    pub lost: u64,
    /// Field names that a format cannot express, left out (rule P-11).
    pub names_dropped: u64,
    /// Writes to data channels.
    pub writes: u64,
    /// Bytes written to data channels.
    pub bytes_written: u64,
    /// Sessions ended, by [`EndReason`].
    pub ended: [u64; EndReason::ALL.len()],
}

impl Counters {
    /// Counts the end of a session.
    pub fn count_end(&mut self, reason: EndReason) {
        self.ended[usize::from(reason.number()) - 1] += 1;
    }
}
