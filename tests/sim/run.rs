//! One run, from the first client to the last look at the empty tables.

use super::oracle::Outcome;
use super::world::{Happening, World};

/// Longer than anything that a draining core waits for, in seconds.
const DRAIN_S: u32 = 60;

impl World {
    /// The whole run. It panics where something is wrong.
    pub(crate) fn run_all(&mut self) {
        self.run(self.plan.duration_ms);
        self.come_to_rest();
        self.check_rest();
        self.end();
    }

    /// Everybody gets what is theirs.
    fn come_to_rest(&mut self) {
        self.note(format_args!("everybody calms down"));
        self.calm_down();
        self.read_all();
        self.refresh_all(|_, _| true);
        // What waits for room is let in or refused within five seconds, what is not taken is reset within ten.
        self.run(12_000);
        self.refresh_all(|_, _| true);
        self.run(4_000);
    }

    /// A last event for each session tells it what it misses.
    fn check_rest(&mut self) {
        let teller = self.add_client();
        self.run(1_000);
        let publisher = *self.sessions_of(teller).first().expect("one more session finds room");
        let line = self.open_modern(teller);
        let told: Vec<(usize, usize)> = self
            .listening()
            .into_iter()
            .map(|session| (session, self.publish_to(line, publisher, Some(session))))
            .collect();
        for _ in 0..2 {
            self.run(3_500);
            let missing = told.iter().filter(|(session, number)| !self.oracle.has_heard(*session, *number));
            let missing: Vec<usize> = missing.map(|(session, _)| *session).collect();
            self.refresh_all(|_, session| missing.contains(&session));
        }
        self.run(3_500);
        self.note_cuts();
        let alive = self.listening();
        for (session, number) in told.into_iter().filter(|(session, _)| alive.contains(session)) {
            assert!(self.oracle.has_heard(session, number), "session {session} lives and does not hear its last event");
            self.oracle.check_complete(session);
            self.kernel.count("session complete");
        }
    }

    /// P-32: everything ends, and nothing is left.
    fn end(&mut self) {
        self.stir_up();
        for core in 0..self.plan.cores {
            let at = self.kernel.rng.u64(500_000..3_500_000);
            self.after(at, Happening::Drain(core));
        }
        self.run(4_000);
        (self.wild, self.rough) = (false, false);
        let mut waited = 0;
        while !self.cores.iter().all(super::core::Core::is_drained) {
            assert!(waited < DRAIN_S, "the cores do not come to an end");
            waited += 1;
            self.run(1_000);
        }
        self.close_all();
        // A connection that nobody has accepted yet may come to a core that pauses.
        self.run(10_000);
        for core in &self.cores {
            core.check_empty();
        }
        for socket in 0..self.lines.len() {
            assert!(self.kernel.is_closed_by_server(socket), "socket {socket} is still open");
        }
        assert!(self.kernel.doors_are_empty(), "a descriptor is on its way to nobody");
        self.oracle.check_order();
        self.check_counters();
    }

    /// What the cores have counted is what has come to pass.
    fn check_counters(&mut self) {
        let sum = |of: fn(&pushletd::metrics::Counters) -> u64| -> u64 {
            self.cores.iter().map(|core| of(core.hub.broker().counters())).sum()
        };
        let count = |wanted: fn(&Outcome) -> bool| {
            self.oracle.published.iter().filter(|published| wanted(&published.outcome)).count() as u64
        };
        let acked = count(|outcome| matches!(outcome, Outcome::Acked(_)));
        let open = count(|outcome| *outcome == Outcome::Open);
        let published = sum(|counters| counters.published);
        assert!(
            (acked..=acked + open).contains(&published),
            "{published} were accepted; {acked} acked, {open} unknown"
        );
        let heard = self.oracle.heard_count() as u64;
        let delivered = sum(|counters| counters.delivered);
        assert!(heard <= delivered, "{heard} events were heard, {delivered} were delivered");
        let (joins, ended) = (sum(|counters| counters.joins), sum(|counters| counters.ended.iter().sum()));
        assert_eq!(joins, ended, "sessions that began, and that ended");
        let relayed = sum(|counters| counters.relayed);
        let lanes = u64::from(self.plan.cores) - 1;
        assert!(relayed <= published * lanes, "{relayed} relayed of {published} to {lanes} other cores");
        let (forwarded, overloaded) = (sum(|counters| counters.forwarded), sum(|counters| counters.overloaded));
        self.kernel.count_many("event relayed", relayed);
        self.kernel.count_many("request forwarded", forwarded);
        self.kernel.count_many("overloaded", overloaded);
        self.kernel.count_many("event lost", sum(|counters| counters.lost));
    }
}
