//! One client connection: what has been read of it, what is still to be written, and what it is in the middle of.

use std::os::fd::OwnedFd;

use super::net::{self, Transfer};
use super::upload::Upload;
use super::web::Web;
use crate::broker::Home;
use crate::limits::READ_BYTES_PER_TURN_MAX;
use crate::time::Instant;
use crate::wire::http::{ReplyTo, RequestReader, Version};

/// A buffer that has grown beyond this is not kept for the next answer, in bytes.
const SPARE_BYTES_MAX: usize = 16 * 1024;
/// Room for an answer when no buffer is to spare, in bytes: most fit.
pub(super) const ANSWER_BYTES: usize = 512;

/// Names a connection while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionKey {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// What a connection is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Between requests, or within one that has not arrived whole.
    Reading,
    /// A request is with the broker.
    Asked,
    /// A data answer is open. No task and no buffer belongs to it while it is idle.
    Data(Home),
    /// It is a WebSocket: events go out, requests come in. The same holds for it.
    Web(Home),
    /// Its answer is a stream of another core: it is to go there with this ticket, or is on its way.
    Leaving(u32),
    /// The last answer is being written; then the peer is given time to read it.
    Closing,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client's.
    Client,
    /// It came to the admin port.
    Admin,
    /// It came to a full server and is told so.
    TurnedAway,
}

impl Kind {
    pub(super) const COUNT: usize = 3;
}

/// One client connection.
///
/// It is small, for one that listens is read with every event.
///
/// Invariant: `unsent` holds bytes only while the socket is not writable or a turn is under way.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: OwnedFd,
    pub(super) generation: u32,
    /// The serial of the request that is being answered (see `ReplyToken`).
    pub(super) serial: u32,
    pub(super) state: State,
    pub(super) reader: RequestReader,
    /// What it is as a WebSocket, or is about to become.
    pub(super) web: Web,
    /// Bytes of answers that the socket has not taken.
    pub(super) unsent: Vec<u8>,
    /// How the request that is being answered wants its answer.
    pub(super) reply: ReplyTo,
    aside: Option<Box<Aside>>,
    /// When it is given up; meaning by `state`.
    pub(super) deadline: Instant,
    /// The earliest deadline that the wheel holds for it.
    pub(super) wake_at: Instant,
    /// The socket may hold unread bytes: readiness is told once for each arrival.
    pub(super) readable: bool,
    /// The peer has said that it sends no more.
    pub(super) peer_finished: bool,
    /// Writing has been shut down.
    pub(super) shut: bool,
    /// It stands in the core's list of connections to go on with.
    pub(super) queued: bool,
    /// The socket did not take all of `unsent`: `deadline` is how long it is given.
    pub(super) blocked: bool,
    pub(super) kind: Kind,
}

/// What a connection has now and then, and none that is idle.
///
/// Invariant: one of these is something. `unread` holds bytes only while an answer is owed or being written, or the beginning of a frame's
/// head (14 bytes).
#[derive(Debug, Default)]
struct Aside {
    /// Bytes read and not parsed yet: pipelined requests.
    unread: Vec<u8>,
    /// Events in `unsent` that stand in no queue any more. Several answers may wait in it: one for each pipelined request of a turn.
    carried: Vec<Carried>,
    /// A body of lines that is on its way in.
    upload: Option<Box<Upload>>,
    /// The page that asked, if it may read the answer (CORS).
    origin: Option<Box<str>>,
}

impl Aside {
    fn is_nothing(&self) -> bool {
        self.unread.is_empty() && self.carried.is_empty() && self.upload.is_none() && self.origin.is_none()
    }
}

/// Events that are lost to a session if their answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) home: Home,
    pub(super) events: u32,
    /// The answer is still to come: it is not in `unsent` yet.
    pub(super) ahead: bool,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// All is written.
    All,
    /// The socket takes no more; `progress` if it took something.
    Blocked { progress: bool },
    /// The peer is gone.
    Gone,
}

impl Connection {
    /// Whether it has to take some of its answers before it may ask for more. Who asks for many pages at once gets them as quickly as it takes them,
    /// and no more is held for it than that. Answers with events are bounded by the queues that they come from.
    pub(super) fn is_owed_much(&self) -> bool {
        self.carried().is_empty() && self.unsent.len() > READ_BYTES_PER_TURN_MAX
    }

    /// Changes what is aside, and gives its memory back if nothing is left.
    fn aside<R>(&mut self, change: impl FnOnce(&mut Aside) -> R) -> Option<R> {
        let aside = self.aside.as_mut()?;
        let result = change(aside);
        if aside.is_nothing() {
            self.aside = None;
        }
        Some(result)
    }

    /// Whether bytes wait to be parsed.
    pub(super) fn has_unread(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| !aside.unread.is_empty())
    }

    /// Bytes that cannot be parsed now.
    pub(super) fn keep_unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.aside.get_or_insert_default().unread.extend_from_slice(bytes);
        }
    }

    /// The bytes that wait to be parsed; they wait no more.
    pub(super) fn take_unread(&mut self) -> Vec<u8> {
        self.aside(|aside| std::mem::take(&mut aside.unread)).unwrap_or_default()
    }

    /// The page that asks now, if it may read the answer (CORS).
    pub(super) fn set_origin(&mut self, origin: Option<Box<str>>) {
        match origin {
            Some(_) => self.aside.get_or_insert_default().origin = origin,
            None => drop(self.take_origin()),
        }
    }

    /// The page whose request is answered now.
    pub(super) fn take_origin(&mut self) -> Option<Box<str>> {
        self.aside(|aside| aside.origin.take()).flatten()
    }

    /// A body of lines that is on its way in.
    pub(super) fn upload(&mut self) -> Option<&mut Upload> {
        self.aside.as_mut()?.upload.as_deref_mut()
    }

    pub(super) fn begin_upload(&mut self, upload: Upload) {
        self.aside.get_or_insert_default().upload = Some(Box::new(upload));
    }

    pub(super) fn take_upload(&mut self) -> Option<Box<Upload>> {
        self.aside(|aside| aside.upload.take()).flatten()
    }

    /// Events that stand in no queue any more.
    pub(super) fn carried(&self) -> &[Carried] {
        self.aside.as_ref().map_or(&[], |aside| &aside.carried)
    }

    /// An answer with such events is in `unsent`, or announced.
    pub(super) fn carries(&mut self, carried: Carried) {
        self.aside.get_or_insert_default().carried.push(carried);
    }

    /// The answer that was announced is in `unsent` now.
    pub(super) fn carries_now(&mut self) {
        self.aside(|aside| aside.carried.iter_mut().for_each(|carried| carried.ahead = false));
    }

    /// The kernel has taken all that was in `unsent`.
    pub(super) fn carries_no_more(&mut self) {
        self.aside(|aside| aside.carried.retain(|carried| carried.ahead));
    }

    pub(super) fn new(socket: OwnedFd, generation: u32, kind: Kind) -> Self {
        Self {
            socket,
            generation,
            serial: 0,
            state: State::Reading,
            reader: RequestReader::new(),
            web: Web::default(),
            unsent: Vec::new(),
            reply: ReplyTo { version: Version::Http11, keep_alive: true, to_head: false },
            aside: None,
            deadline: Instant::NEVER,
            wake_at: Instant::NEVER,
            readable: false,
            peer_finished: false,
            shut: false,
            queued: false,
            blocked: false,
            kind,
        }
    }

    /// Writes what is unsent, as far as the socket takes it.
    /// A buffer that is empty then goes to `spare`.
    pub(super) fn flush(&mut self, spare: &mut Vec<u8>) -> Flushed {
        let mut written = 0;
        let outcome = loop {
            if written == self.unsent.len() {
                break Flushed::All;
            }
            match net::send(&self.socket, &self.unsent[written..]) {
                Transfer::Bytes(bytes) => written += bytes,
                Transfer::Blocked => break Flushed::Blocked { progress: written > 0 },
                Transfer::Closed => break Flushed::Gone,
            }
        };
        if written == self.unsent.len() {
            // A buffer is held only while it holds bytes.
            let mut empty = std::mem::take(&mut self.unsent);
            if (spare.capacity() + 1..=SPARE_BYTES_MAX).contains(&empty.capacity()) {
                empty.clear();
                *spare = empty;
            }
        } else {
            self.unsent.drain(..written);
        }
        outcome
    }
}

// A connection is read with every event that it gets; whoever makes it larger finds out here.
const _: () = assert!(size_of::<Connection>() <= 128, "a connection has grown");
