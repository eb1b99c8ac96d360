//! One client's life: joined, listening, gone; its subscriptions and its outbox.

mod channel;
mod gather;
mod item;
mod outbox;
mod subscriptions;
mod table;

#[cfg(test)]
mod tests;

pub use channel::{Channel, Envelope};
pub use gather::Gather;
pub use item::{Frame, Item};
pub use outbox::{Bounds, Outbox, Pushed};
pub use subscriptions::{Interest, Label, Matched, Sid, SubscribeError, Subscription, Subscriptions};
pub use table::{SessionKey, Sessions};

use core::num::NonZeroU16;

use crate::protocol::{Address, Format, Framing, Identity, Mode, Overflow, SessionId};
use crate::time::Instant;

/// What the server keeps of one client.
#[derive(Debug)]
pub struct Session {
    /// The secret name.
    pub id: SessionId,
    /// The public name.
    pub address: Address,
    /// Whose key its requests have presented.
    pub identity: Identity,
    /// How its events are written (rule P-9).
    pub format: Format,
    /// Whether it speaks the dialect of the old Java parser (rule P-11).
    pub old_java: bool,
    /// How its events travel; `None` before the first listen (rule P-25).
    pub mode: Option<Mode>,
    /// P-30: how many events its client wants to wait for it at most.
    pub events_wanted: Option<NonZeroU16>,
    /// P-30: the policy that its client wants.
    pub overflow_wanted: Option<Overflow>,
    /// Where its events go at this moment.
    pub channel: Channel,
    /// What it wants to hear.
    pub subscriptions: Subscriptions,
    /// What it has not been sent yet.
    pub outbox: Outbox,
    /// P-28: when it ends unless it is used before.
    pub lease_until: Instant,
    /// The earliest deadline that the wheel holds for it. Invariant: not later than any deadline of the session.
    pub wake_at: Instant,
    /// The last delivery that visited it: one copy per session however many subscriptions match (rule P-19).
    pub visited: u64,
    /// Whether its client wants to see heartbeats, not only to get them.
    pub sees_heartbeats: bool,
    /// Whether it stands in the broker's list of sessions to flush.
    pub dirty: bool,
    /// Whether its socket takes nothing at the moment.
    pub blocked: bool,
}

impl Session {
    /// A session that has joined and done nothing else.
    #[must_use]
    pub fn new(id: SessionId, address: Address, format: Format, old_java: bool) -> Self {
        Self {
            id,
            address,
            identity: Identity::NOBODY,
            format,
            old_java,
            mode: None,
            events_wanted: None,
            overflow_wanted: None,
            channel: Channel::Never,
            subscriptions: Subscriptions::new(),
            outbox: Outbox::new(),
            lease_until: Instant::NEVER,
            wake_at: Instant::NEVER,
            visited: 0,
            sees_heartbeats: false,
            dirty: false,
            blocked: false,
        }
    }

    /// Changes where its events go. `listening` counts the sessions with an open data answer.
    pub fn set_channel(&mut self, channel: Channel, listening: &mut usize) {
        *listening += channel.token().is_some() as usize;
        *listening -= self.channel.token().is_some() as usize;
        self.channel = channel;
    }

    /// The byte layout of the answers to its control requests at the Pushlet door.
    #[must_use]
    pub const fn answer_framing(&self) -> Framing {
        match self.format {
            // A control request of the Pushlet door, for a session that came through another.
            Format::V1 | Format::V1Unnamed | Format::Message | Format::MessageDeflate => Framing::JsonArray,
            format => Framing::of(format, self.old_java, false),
        }
    }

    /// The layout that queued events are encoded in. The array and the line framing of JSON share their bytes, so this holds across modes.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        Framing::of(self.format, self.old_java, matches!(self.mode, Some(Mode::Stream)))
    }

    /// P-25: whether events are queued for it.
    #[must_use]
    pub const fn is_listening(&self) -> bool {
        !matches!(self.channel, Channel::Never)
    }

    /// The first moment at which something is to be done about it.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.lease_until.min(self.channel.deadline())
    }
}
