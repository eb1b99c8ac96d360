//! Ending: a session of the churn that goes, a subscriber that is over, and all of them when the run is.

use std::io;

use rustix::event::epoll;

use super::{Alarm, LOOK_NS, Member, Role, Slot, WAKE, Worker};
use crate::shell::bench::shared::{Count, Group, Phase};
use crate::shell::bench::subscriber::Stage;
use crate::shell::client::transport::Transport;

/// How long a session of the churn waits for what is missing, and for the end of its answer, in nanoseconds.
const LEAVE_NS: u64 = 5_000_000_000;
/// Requests to leave that may be without an answer.
const LEAVES_AT_ONCE: usize = 64;

impl Worker {
    /// A session of the churn goes on its way out: it waits for what is missing, says that it leaves, or just closes where
    /// that is the end of the session.
    pub(super) fn go(&mut self, key: u32, now: u64) {
        let Role::Subscriber(subscriber) = &mut self.slots[key as usize].role else { return };
        if self.shared.phase() == Phase::Open {
            // Nobody goes before everyone has come.
            return self.set(now + LOOK_NS, key, Alarm::Go);
        }
        if subscriber.stage == Stage::Live {
            subscriber.stop(&self.shared, now);
        }
        let late = now.saturating_sub(subscriber.since_ns) >= LEAVE_NS;
        match subscriber.stage {
            Stage::Waiting if !late && !subscriber.is_served(&self.shared) => self.set(now + LOOK_NS, key, Alarm::Go),
            Stage::Waiting => {
                subscriber.settle(false, &self.shared, self.thread);
                (subscriber.stage, subscriber.since_ns) = (Stage::Leaving, now);
                let ends_with_connection =
                    matches!(self.shared.args.transport, Transport::EventStream | Transport::WebSocket);
                if ends_with_connection || self.doors.leave().is_none() {
                    return self.finish(key, Count::Churned, false);
                }
                self.leaving.push_back(std::mem::take(&mut subscriber.id));
                self.went = self.went.wrapping_add(1);
                // Every second one closes first, as a page does that is closed; the server hears of it a little later.
                if self.went.is_multiple_of(2) || !self.doors.listen.streams() {
                    self.finish(key, Count::Churned, false);
                } else {
                    self.set(now + LEAVE_NS, key, Alarm::Go);
                }
                self.send_leaves();
            }
            Stage::Leaving if late => self.finish(key, Count::Broken, false),
            _ => {}
        }
    }

    /// A subscriber is over. One of the churn comes again.
    pub(super) fn finish(&mut self, key: u32, count: Count, aborted: bool) {
        let Role::Subscriber(mut subscriber) = self.slots.remove(key as usize).role else { return };
        subscriber.settle(aborted, &self.shared, self.thread);
        if subscriber.stage == Stage::Opening || subscriber.unannounced {
            self.opening -= 1;
        }
        self.count(count, 1);
        let number = subscriber.number;
        if self.shared.plan.group(number) == Group::Churn && self.shared.phase() <= Phase::Run {
            self.to_open.push_back(Member::Subscriber { number, attempts: 0 });
        }
    }

    /// Sends requests to leave, as many as may be without an answer.
    pub(super) fn send_leaves(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        if self.leaver.is_none() {
            self.leaver = self.insert(Role::Leaver(0), Vec::new());
        }
        let Some(door) = self.doors.leave() else { return };
        let slot = self.leaver.and_then(|key| self.slots.get_mut(key as usize));
        let Some(Slot { connection: Some(connection), role: Role::Leaver(pending), .. }) = slot else { return };
        while *pending < LEAVES_AT_ONCE {
            let Some(id) = self.leaving.pop_front() else { break };
            door.leave(&id, connection.out());
            *pending += 1;
        }
        connection.flush();
    }

    /// Closes all accounts, and ends the sessions that are left.
    pub(super) fn close(&mut self, ready: &mut Vec<epoll::Event>) -> io::Result<()> {
        for (_, slot) in &mut self.slots {
            match &mut slot.role {
                Role::Subscriber(subscriber) => {
                    subscriber.settle(false, &self.shared, self.thread);
                    if !subscriber.id.is_empty() {
                        subscriber.stage = Stage::Leaving;
                        self.leaving.push_back(std::mem::take(&mut subscriber.id));
                    }
                }
                Role::Publisher(publisher) => {
                    if let Some(id) = publisher.take_id() {
                        self.leaving.push_back(id);
                    }
                }
                Role::Leaver(_) => {}
            }
        }
        if !self.shared.args.leave || self.doors.leave().is_none() {
            return Ok(());
        }
        let deadline = self.shared.now() + LEAVE_NS;
        self.send_leaves();
        while self.leaver.is_some_and(|key| self.is_leaving(key)) && self.shared.now() < deadline {
            self.wait(ready, deadline)?;
            for event in ready.drain(..) {
                let (key, flags) = (event.data.u64() as u32, event.flags);
                // Nobody but the leaver is listened to any more.
                if self.leaver == Some(key) && event.data.u64() != WAKE {
                    self.readiness(event.data.u64(), flags);
                }
            }
        }
        Ok(())
    }

    pub(super) fn is_leaving(&self, key: u32) -> bool {
        match self.slots.get(key as usize).map(|slot| &slot.role) {
            Some(Role::Leaver(pending)) => *pending > 0 || !self.leaving.is_empty(),
            _ => false,
        }
    }
}
