//! The words that the rooms speak with each other: commands, events, modes, formats, ids and the reasons why something ends.
//! `wire` makes them from bytes and bytes from them; `broker` acts on them; neither knows the other's business.

mod command;
mod event;
mod fields;
mod format;
mod id;
mod overflow;
mod reason;

pub use command::{Agent, ClaimedId, Command, FormatName, Listen, ModeName, ReplyToken, Request};
pub use event::{Audience, Event, Origin, Payload, Position};
pub use fields::Fields;
pub use format::{Format, Framing, Mode};
pub use id::{Address, SessionId, Shard, ShardTable};
pub use overflow::{Overflow, QueueWish, SubscriptionWish, WishError};
pub use reason::{ClientAction, EndReason};
