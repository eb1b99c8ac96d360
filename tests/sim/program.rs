//! What the server's own program publishes: without a session, by handles that each lead into one core.

use pushletd::protocol::{Audience, Event, Fields, Origin, Payload};
use pushletd::topic::Subject;

use super::client::subject;
use super::core::Spoken;
use super::oracle::{To, handle};
use super::world::{Happening, World};

impl World {
    /// Every handle begins to be used.
    pub(super) fn begin_to_speak(&mut self) {
        for handle in 0..self.plan.handles {
            let wait = self.kernel.rng.u64(1..1_000_000);
            self.after(wait, Happening::Speak(handle));
        }
    }

    /// A few events by one handle, one behind the other, and more later.
    pub(super) fn speak(&mut self, handle: usize) {
        if !self.wild {
            return;
        }
        let pace_us = self.plan.pace_ms * 1000;
        let wait = self.kernel.rng.u64(pace_us / 10..pace_us);
        self.after(wait, Happening::Speak(handle));
        for _ in 0..self.kernel.rng.usize(1..=4) {
            self.speak_once(handle);
        }
    }

    fn speak_once(&mut self, by: usize) {
        let subject = subject(&mut self.kernel.rng);
        let padding = self.kernel.rng.usize(..200);
        let (to, audience) = self.some_audience();
        let number = self.oracle.publishes(None, handle(by), &subject, to, padding);
        self.note(format_args!("handle {by} publishes {number} to {to:?}"));
        let (text, padding) = (number.to_string(), "x".repeat(padding));
        let fields: Fields = [("n", text.as_str()), ("x", padding.as_str())].into_iter().collect();
        let event = Event {
            name: None,
            subject: Subject::new(&subject).expect("a subject"),
            payload: Payload::Fields(fields),
            origin: Origin::default(),
            position: None,
            accepted_at: 0,
        };
        let core = by % self.inlets.len();
        match self.inlets[core].push(Spoken { number, event, audience }) {
            Err(_) => self.oracle.published(number, false),
            Ok(false) => {}
            Ok(true) => self.kernel.bells.push(core as u16),
        }
    }

    fn some_audience(&mut self) -> (To, Audience) {
        let known = self.oracle.sessions.len();
        match self.kernel.rng.u32(..10) {
            0..2 if known > 0 => {
                self.kernel.count("event of the program for one");
                let to = self.kernel.rng.usize(..known);
                let session = &self.oracle.sessions[to];
                let name = if self.kernel.rng.bool() { &session.address } else { &session.id };
                (To::One(to), Audience::One(Box::from(name.as_str())))
            }
            2..5 => {
                self.kernel.count("event of the program for everyone");
                (To::Everyone, Audience::Everyone)
            }
            _ => {
                self.kernel.count("event of the program for subscribers");
                (To::Subscribers, Audience::Subscribers)
            }
        }
    }

    /// A core has published what it has taken in. Of what waits there nobody is told how it ends.
    pub(super) fn note_accepted(&mut self, core: usize) {
        for number in std::mem::take(&mut self.cores[core].accepted) {
            self.kernel.count("event of the program published");
            self.oracle.published(number, true);
        }
    }
}
