//! Opening publishers and subscribers: so many at once, so many a second, and again after a failure.

use std::cmp::Reverse;

use super::{Alarm, Member, Role, Slot, Worker, token};
use crate::shell::bench::connection::Connection;
use crate::shell::bench::door::{Decoder, Listen as _};
use crate::shell::bench::publisher::Publisher;
use crate::shell::bench::shared::Count;
use crate::shell::bench::subscriber::{Stage, Subscriber};

/// The first pause before a new attempt, in nanoseconds. It doubles from attempt to attempt.
const BACKOFF_NS: u64 = 100_000_000;
/// Longest pause that a server's `Retry-After` is granted, in seconds.
const RETRY_AFTER_MAX_S: u64 = 5;

/// Who opens must have been answered after so long, in nanoseconds. A server of another protocol may just wait.
const ANSWER_NS: u64 = 10_000_000_000;

impl Worker {
    /// Opens as many as may be. Says when the next one may, in nanoseconds.
    pub(super) fn open_some(&mut self, now: u64) -> u64 {
        let rate = self.shared.args.open_rate / f64::from(self.shared.args.threads);
        let at_once = (self.shared.args.connecting / self.shared.args.threads).max(1) as usize;
        while self.opening < at_once && !self.to_open.is_empty() {
            if rate > 0.0 {
                if self.next_open_ns > now {
                    return self.next_open_ns;
                }
                self.next_open_ns = self.next_open_ns.max(now.saturating_sub(BACKOFF_NS)) + (1e9 / rate) as u64;
            }
            if let Some(member) = self.to_open.pop_front() {
                self.open(member, now);
            }
        }
        u64::MAX
    }

    pub(super) fn open(&mut self, member: Member, now: u64) {
        let (role, first) = match member {
            Member::Subscriber { number, attempts } => {
                let mut first = Vec::new();
                self.doors.listen.subscribe(self.shared.subject_of(number).as_deref(), &mut first);
                (Role::Subscriber(Box::new(Subscriber::new(number, attempts, &self.shared))), first)
            }
            Member::Publisher { number, attempts, progress } => {
                let mut first = Vec::new();
                self.doors.post.join(&mut first);
                (Role::Publisher(Box::new(Publisher::new(number, attempts, progress, &self.shared))), first)
            }
        };
        self.opening += 1;
        let Some(key) = self.insert(role, first) else { return self.retry(member, None, now) };
        self.unanswered.push_back((now.saturating_add(ANSWER_NS), key, self.generation));
        if let Member::Publisher { .. } = member {
            self.publishers.push(key);
        }
    }

    /// A new slot with a connection; `None` if the kernel has none.
    pub(super) fn insert(&mut self, role: Role, first: Vec<u8>) -> Option<u32> {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let key = u32::try_from(entry.key()).ok()?;
        entry.insert(Slot { generation: self.generation, connection: None, role });
        if self.connect(key, first) {
            return Some(key);
        }
        self.slots.remove(key as usize);
        None
    }

    /// Goes on over a new connection, which is read as the old one was: between two answers.
    pub(super) fn renew(&mut self, key: u32) -> bool {
        self.generation = self.generation.wrapping_add(1);
        let Some(slot) = self.slots.get_mut(key as usize) else { return false };
        slot.generation = self.generation;
        let Some(old) = slot.connection.take() else { return false };
        self.connect_with(key, Vec::new(), old.decoder)
    }

    /// Gives a slot a new connection that begins with `first`.
    pub(super) fn connect(&mut self, key: u32, first: Vec<u8>) -> bool {
        let decoder = match &self.slots[key as usize].role {
            Role::Subscriber(subscriber) => {
                self.doors.listen.decoder(self.shared.subject_of(subscriber.number).as_deref())
            }
            Role::Publisher(_) => self.doors.post.decoder(),
            Role::Leaver(_) => match self.doors.leave() {
                Some(door) => door.decoder(None),
                None => return false,
            },
        };
        self.connect_with(key, first, decoder)
    }

    fn connect_with(&mut self, key: u32, first: Vec<u8>, decoder: Decoder) -> bool {
        self.connected = self.connected.wrapping_add(1);
        let threads = u32::try_from(self.shared.counts.len()).unwrap_or(1);
        let turn = self.connected.wrapping_mul(threads).wrapping_add(self.thread as u32) as usize;
        let slot = &mut self.slots[key as usize];
        let publishes = matches!(slot.role, Role::Publisher(_));
        let (server, source) = self.shared.addresses.route(publishes, turn);
        match Connection::open(server, source, &self.epoll, token(key, slot.generation), decoder) {
            Ok(mut connection) => {
                *connection.out() = first;
                slot.connection = Some(connection);
                true
            }
            Err(error) => {
                self.shared.connect_failed(&error);
                false
            }
        }
    }

    /// Gives up who has waited too long for an answer to the first request. Says when to look again, in nanoseconds.
    pub(super) fn expire_some(&mut self, now: u64) -> u64 {
        while let Some((due, key, generation)) = self.unanswered.front().copied() {
            let slot = self.slots.get(key as usize).filter(|slot| slot.generation == generation);
            let member = match slot.map(|slot| &slot.role) {
                Some(Role::Subscriber(subscriber)) if subscriber.stage == Stage::Opening => {
                    Some(Member::Subscriber { number: subscriber.number, attempts: subscriber.attempts })
                }
                Some(Role::Publisher(publisher)) if !publisher.joined => Some(Member::Publisher {
                    number: publisher.number,
                    attempts: publisher.attempts,
                    progress: publisher.progress(),
                }),
                _ => None,
            };
            if let Some(member) = member {
                if now < due {
                    return due;
                }
                let publishes = matches!(member, Member::Publisher { .. });
                let why = format!("the server does not answer for {} s", ANSWER_NS / 1_000_000_000);
                self.shared.opening_strange(&why, publishes);
                self.slots.remove(key as usize);
                self.publishers.retain(|known| *known != key);
                self.retry(member, None, now);
            }
            self.unanswered.pop_front();
        }
        u64::MAX
    }

    /// It could not be opened: later again, or never.
    pub(super) fn retry(&mut self, member: Member, retry_after_s: Option<u64>, now: u64) {
        self.opening -= 1;
        let (attempts, again) = match member {
            Member::Subscriber { number, attempts } => {
                (attempts, Member::Subscriber { number, attempts: attempts + 1 })
            }
            Member::Publisher { number, attempts, progress } => {
                (attempts, Member::Publisher { number, attempts: attempts + 1, progress })
            }
        };
        if attempts >= self.shared.args.retries {
            return self.count(Count::OpenFailed, 1);
        }
        self.count(Count::Retried, 1);
        let asked = retry_after_s.unwrap_or(0).min(RETRY_AFTER_MAX_S) * 1_000_000_000;
        let pause = (BACKOFF_NS << attempts.min(6)).max(asked);
        self.alarms.push(Reverse((now + pause, Alarm::Open(again))));
    }
}
