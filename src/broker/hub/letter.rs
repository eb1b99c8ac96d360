//! What goes from core to core. A letter owns its memory and may be freed anywhere (invariant A4).

use std::sync::Arc;

use super::super::{Output, PresenceChange};
use crate::mesh::Weigh;
use crate::protocol::{Audience, Command, Event, ReplyToken, Request};
use crate::session::SessionKey;
use crate::wire::http::ReplyTo;

/// Memory of a letter beside the bytes of clients in it, in bytes.
const LETTER_BYTES: usize = 128;

/// A message from one core to another. Small, because the lanes hold thousands of empty places for it.
#[derive(Debug)]
pub enum Letter {
    /// Something was published: for everyone on the receiving core who is interested.
    Event(Arc<Event>),
    /// Something was published for one session (P-23), which the receiving core holds if anybody does.
    Unicast(Box<(Arc<Event>, Box<str>)>),
    /// Something was published for everyone.
    Broadcast(Arc<Event>),
    /// Sessions of the sending core have come to a subject that the receiving core counts for, or have gone.
    Presence(Box<PresenceChange>),
    /// A request for a session of the receiving core.
    Request(Box<Request>),
    /// Something to do to a connection of the receiving core.
    Output(Box<Output>),
    /// The connection of an open data answer is gone (P-31).
    Disconnect(Box<(SessionKey, ReplyToken)>),
    /// The connection broke over an answer that held so many events (P-30).
    Undelivered {
        /// Whose.
        session: SessionKey,
        /// How many.
        events: u32,
    },
    /// A connection: its descriptor has been sent to the receiving core before.
    Arrival(Box<Arrival>),
    /// What became of a connection that was handed over.
    Arrived {
        /// Which.
        ticket: u32,
        /// Whether the core has it now; otherwise it still belongs to the one that sent it.
        taken: bool,
    },
}

/// A connection on its way to the core of the session whose stream it is to carry (invariant A3).
#[derive(Debug)]
pub struct Arrival {
    /// Which descriptor belongs to it.
    pub ticket: u32,
    /// The request that it waits for.
    pub request: Request,
    /// How that wants its answer.
    pub reply: ReplyTo,
    /// The page that asked (CORS).
    pub origin: Option<Box<str>>,
    /// What was read behind the request.
    pub unread: Vec<u8>,
    /// The peer sends no more.
    pub peer_finished: bool,
}

impl Letter {
    /// The letter that brings an event to its audience on another core.
    pub(super) fn about(event: Arc<Event>, audience: &Audience) -> Self {
        match audience {
            Audience::Subscribers => Self::Event(event),
            Audience::Everyone => Self::Broadcast(event),
            Audience::One(to) => Self::Unicast(Box::new((event, to.clone()))),
        }
    }
}

impl Weigh for Letter {
    fn weight(&self) -> usize {
        LETTER_BYTES
            + match self {
                Self::Event(event) | Self::Broadcast(event) => event.bytes(),
                Self::Unicast(sealed) => sealed.0.bytes() + sealed.1.len(),
                Self::Request(request) => request_bytes(request),
                Self::Presence(told) => told.subject.len(),
                Self::Output(output) => output.bytes(),
                Self::Arrival(arrival) => request_bytes(&arrival.request) + arrival.unread.len(),
                Self::Disconnect(_) | Self::Undelivered { .. } | Self::Arrived { .. } => 0,
            }
    }
}

fn request_bytes(request: &Request) -> usize {
    request.path.len()
        + match &request.command {
            Command::Publish { subject, to, fields, .. } => {
                let named = [subject, to].into_iter().flatten().map(|text| text.len()).sum::<usize>();
                named + fields.bytes()
            }
            Command::Subscribe { subject, label, .. } => {
                [subject, label].into_iter().flatten().map(|text| text.len()).sum()
            }
            Command::Listen { listen, .. } | Command::JoinListen { listen, .. } => {
                [&listen.subject, &listen.label].into_iter().flatten().map(|text| text.len()).sum()
            }
            Command::Open(opening) => opening.subscriptions.iter().map(|wanted| wanted.list.len()).sum(),
            Command::Post(post) => post.bytes(),
            Command::Add { wanted, .. } => wanted.iter().map(|wanted| wanted.list.len() + LETTER_BYTES / 4).sum(),
            Command::Remove { lists, .. } => lists.iter().map(|list| list.len() + LETTER_BYTES / 4).sum(),
            _ => 0,
        }
}

/// Weight of the letter that an event for this audience becomes.
pub(super) fn event_weight(event: &Event, audience: &Audience) -> usize {
    let to = if let Audience::One(to) = audience { to.len() } else { 0 };
    LETTER_BYTES + event.bytes() + to
}

/// Weight of the letter that an event with so many bytes of its publisher becomes.
pub(super) const fn weight_of(bytes: usize) -> usize {
    LETTER_BYTES + bytes
}

/// Weight of the letter that a publish request becomes, at most: reserved fields are left out of the event.
pub(super) fn publish_weight(request: &Request) -> usize {
    LETTER_BYTES + request_bytes(request)
}
