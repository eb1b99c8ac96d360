//! What is counted. Each core counts for itself in plain integers and shows a copy on its [`Board`]; whoever prints adds the cores up. So
//! counting costs nothing, and printing waits for no core.

mod board;
mod print;
mod source;
mod turns;

pub use board::Board;
pub use print::{Node, render};
pub use source::SourceFigures;
pub use turns::{TURN_BOUNDS_US, TurnTimes};

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
    /// Events of publish requests that were refused, one by one or with their request.
    pub items_refused: u64,
    /// Publishes and subscriptions that access rules refused, and requests with a key that nobody knows.
    pub denied: u64,
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
    /// Connections handed over to another core.
    pub handovers_out: u64,
    /// Connections taken over from another core.
    pub handovers_in: u64,
    /// Hand-overs that failed; the client got 503.
    pub handovers_failed: u64,
    /// Requests forwarded to the core of their session.
    pub forwarded: u64,
    /// Publishes refused because another core had no room for them; they reached nobody.
    pub overloaded: u64,
    /// Events taken over from other cores.
    pub relayed: u64,
    /// Sessions ended, by [`EndReason`].
    pub ended: [u64; EndReason::ALL.len()],
}

impl Counters {
    /// Counts the end of a session.
    pub fn count_end(&mut self, reason: EndReason) {
        self.ended[usize::from(reason.number()) - 1] += 1;
    }
}

/// What one core has and has counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What it has counted.
    pub counters: Counters,
    /// Open connections.
    pub connections: u64,
    /// Living sessions.
    pub sessions: u64,
    /// Sessions with an open data answer.
    pub listening: u64,
    /// Subscriptions in the trie.
    pub subscriptions: u64,
    /// Letters from other cores that wait to be read.
    pub inbox_depth: u64,
    /// Letters of this core that wait for room at other cores.
    pub letters_waiting: u64,
    /// 1 if the core has a file table of its own, 0 if it shares the process's.
    pub file_table_own: u64,
    /// How long its turns took.
    pub turns: TurnTimes,
}
