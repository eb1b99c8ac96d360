//! The client on a socket of the standard library: the one part of this room that touches the kernel.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans keep the kernel out of the pure rooms; a client that programs install opens its own sockets here"
)]

#[cfg(test)]
pub(crate) mod fake;
mod link;
mod masks;
mod queue;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use self::link::{About, Asker, Shared};
#[cfg(feature = "server")]
pub(crate) use self::masks::Masks;
use self::worker::Worker;
use super::{Backoff, Closed, Event, Nack, Publication, Refusal, Request, Session, Subscription, Unsent, Url};
use crate::limits::CLIENT_ANSWER_MS;

/// How a client connects, and what it listens to from the beginning.
#[derive(Clone, Default)]
pub struct Options {
    key: Option<String>,
    deflate: bool,
    subscriptions: Vec<Subscription>,
}

impl fmt::Debug for Options {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("subscriptions", &self.subscriptions).finish_non_exhaustive()
    }
}

impl Options {
    /// No key, no subscription, no compression.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Presents a secret (docs/access.md).
    #[must_use]
    pub fn key(mut self, secret: impl Into<String>) -> Self {
        self.key = Some(secret.into());
        self
    }

    /// Subscribes to a subject or pattern at every connection; may be said again. A refusal is told by [`Told::Refused`].
    #[must_use]
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.subscription(Subscription::to(subject))
    }

    /// The same with wishes.
    #[must_use]
    pub fn subscription(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription);
        self
    }

    /// Lets the server compress its messages, if it does that at all (setting `ws_deflate`).
    #[must_use]
    pub const fn deflate(mut self) -> Self {
        self.deflate = true;
        self
    }
}

/// What a client tells its program, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// An event.
    Event(Event),
    /// So many events of this session were lost here: the program reads more slowly than its subjects publish (rule P-30). The next thing told
    /// is the event behind the gap.
    Lost(u64),
    /// Events may be missing here, nobody knows how many: read again what the events are about.
    Reset {
        /// Why.
        reason: String,
    },
    /// There is a session: at the beginning, and after each loss of the connection.
    Joined(Session),
    /// The connection was lost; the client comes again by itself.
    Disconnected {
        /// Why.
        why: String,
        /// When.
        again_in: Duration,
    },
    /// A subscription of the options, or one that held before the connection was lost, is refused and given up.
    Refused {
        /// The subject or pattern.
        subject: String,
        /// Why.
        nack: Nack,
    },
    /// The last of all: there will be no other attempt.
    Closed(Error),
}

/// That a request was carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Of a publish: for how many subjects it was accepted.
    pub accepted: Option<u64>,
}

/// What did not work.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The address is none.
    Url(String),
    /// There is no connection, or it was lost before an answer came.
    Link(String),
    /// The server refuses the connection.
    Refused(Refusal),
    /// The server refuses the request.
    Nack(Nack),
    /// The server has ended the connection.
    Closed(Closed),
    /// Too many requests are unanswered or not sent yet, or there are too many subscriptions.
    Busy,
    /// The request was not sent.
    Unsent(Unsent),
    /// A value cannot be written as JSON.
    Json(String),
    /// No answer came in time. Nobody knows whether the request was carried out.
    NoAnswer,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(what) | Self::Link(what) => f.write_str(what),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Nack(nack) => write!(f, "the server refused: {nack}"),
            Self::Closed(closed) => closed.fmt(f),
            Self::Busy => {
                f.write_str("too many requests are unanswered or not sent yet, or there are too many subscriptions")
            }
            Self::Unsent(unsent) => unsent.fmt(f),
            Self::Json(what) => write!(f, "this cannot be written as JSON: {what}"),
            Self::NoAnswer => f.write_str("the server does not answer"),
        }
    }
}

impl std::error::Error for Error {}

/// An answer that will come. Dropping it is a way not to wait for it.
#[derive(Debug)]
pub struct Pending {
    answer: Receiver<Result<Ack, Error>>,
    shared: Arc<Shared>,
}

impl Pending {
    /// Waits for the answer, for 30 s at most.
    ///
    /// The answer comes behind the events that the server sent before it, so while somebody waits, the client takes in up to 65,536 events or
    /// 64 MiB that the program has not taken yet. A thread that takes an event, waits for an answer and takes the next one falls behind when
    /// more than one event comes in the meantime; with that many behind it no answer comes any more ([`Error::NoAnswer`]), although the request
    /// may be carried out. Such a program drops the pending answer, or waits for it in another thread.
    ///
    /// # Errors
    ///
    /// The server refuses the request, the connection was lost, or nothing comes.
    pub fn wait(self) -> Result<Ack, Error> {
        self.wait_for(Duration::from_millis(CLIENT_ANSWER_MS))
    }

    /// Waits for the answer, so long at most.
    ///
    /// # Errors
    ///
    /// As [`Pending::wait`].
    pub fn wait_for(self, patience: Duration) -> Result<Ack, Error> {
        let queue = &self.shared.queue;
        queue.wait_for_answers(true);
        let answer = self.answer.recv_timeout(patience);
        queue.wait_for_answers(false);
        match answer {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(Error::NoAnswer),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Link("the client has ended".to_owned())),
        }
    }
}

/// What asks for things: for any thread, as many as are needed. It does not keep its client alive.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    fn pair(&self) -> (Asker, Pending) {
        let (sender, answer) = sync_channel(1);
        (sender, Pending { answer, shared: Arc::clone(&self.shared) })
    }

    fn ask(&self, request: &Request<'_>, asker: Asker) -> Result<(), Error> {
        let mut state = self.shared.room()?;
        state.ask(request, About::Other, Some(asker))?;
        self.shared.sent(state);
        Ok(())
    }

    /// Publishes `value` as JSON. Where the server takes requests more slowly than they are made, this waits: 1 MiB of them is held, and after
    /// 10 s without room it is [`Error::Busy`].
    ///
    /// # Errors
    ///
    /// It was not sent; [`Error::Unsent`] among others while the connection is lost. What the server says, the pending answer does.
    pub fn publish(&self, subject: &str, value: &impl Serialize) -> Result<Pending, Error> {
        let publication = Publication::json(subject, value).map_err(|error| Error::Json(error.to_string()))?;
        self.send(&publication)
    }

    /// Publishes an event.
    ///
    /// # Errors
    ///
    /// As [`Handle::publish`].
    pub fn send(&self, publication: &Publication) -> Result<Pending, Error> {
        let (asker, pending) = self.pair();
        self.ask(&Request::Publish(publication), asker)?;
        Ok(pending)
    }

    /// Subscribes; again after each loss of the connection. Without a connection the answer comes when there is one.
    ///
    /// # Errors
    ///
    /// It was neither sent nor kept for later.
    pub fn subscribe(&self, subscription: &Subscription) -> Result<Pending, Error> {
        let (asker, pending) = self.pair();
        let mut state = self.shared.room()?;
        state.subscribe(subscription, asker)?;
        self.shared.sent(state);
        Ok(pending)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    ///
    /// It was not sent.
    pub fn unsubscribe(&self, subject: &str) -> Result<Pending, Error> {
        let (asker, pending) = self.pair();
        let mut state = self.shared.room()?;
        state.unsubscribe(subject, asker)?;
        self.shared.sent(state);
        Ok(pending)
    }

    /// Asks for a sign of life. Its answer comes behind those of all requests before it.
    ///
    /// # Errors
    ///
    /// It was not sent.
    pub fn ping(&self) -> Result<Pending, Error> {
        let (asker, pending) = self.pair();
        self.ask(&Request::Ping, asker)?;
        Ok(pending)
    }
}

/// A client with a thread of its own, which reads, answers pings and connects again; a second one writes. Dropping it ends the session in the
/// background.
///
/// A program that does not take what it is told is waited for: after 1,024 events or 16 MiB the client reads no further, and the server's queue
/// for it fills. What happens then the server's setting `overflow` says. By default it ends the session (close code 4004); the client comes
/// again by itself, and [`Told::Reset`] says that events are missing. With `drop-oldest` or `conflate`, the server's or those of the
/// [`Subscription`], the session goes on, and [`Told::Lost`] says how many.
#[derive(Debug)]
pub struct Client {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects to the server at `url`, such as `ws://127.0.0.1:8080/`, and waits until there is a session.
    ///
    /// # Errors
    ///
    /// There is no server, or it refuses. From the first session on the client comes again by itself.
    pub fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let url = Url::parse(url).map_err(Error::Url)?;
        let random = getrandom::u64().map_err(|error| Error::Link(format!("there is no randomness: {error}")))?;
        let shared = Arc::new(Shared::new(&options.subscriptions));
        let worker = Worker { shared: Arc::clone(&shared), url, options, backoff: Backoff::new(random) };
        let thread = std::thread::Builder::new().name("pushlet-client".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(|error| Error::Link(format!("there is no thread: {error}")))?;
        let client = Self { handle: Handle { shared }, thread: Some(thread) };
        let shared = &client.handle.shared;
        let mut state = shared.lock();
        loop {
            match &state.first {
                Some(Ok(())) => break,
                Some(Err(error)) => return Err(error.clone()),
                None => state = shared.wait(state, Duration::from_millis(CLIENT_ANSWER_MS)),
            }
        }
        drop(state);
        Ok(client)
    }

    /// What asks for things from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// As [`Handle::publish`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn publish(&self, subject: &str, value: &impl Serialize) -> Result<Pending, Error> {
        self.handle.publish(subject, value)
    }

    /// As [`Handle::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send(&self, publication: &Publication) -> Result<Pending, Error> {
        self.handle.send(publication)
    }

    /// Subscribes to a subject or pattern, or to several that are parted by commas. As [`Handle::subscribe`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn subscribe(&self, subject: &str) -> Result<Pending, Error> {
        self.handle.subscribe(&Subscription::to(subject))
    }

    /// As [`Handle::unsubscribe`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn unsubscribe(&self, subject: &str) -> Result<Pending, Error> {
        self.handle.unsubscribe(subject)
    }

    /// As [`Handle::ping`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn ping(&self) -> Result<Pending, Error> {
        self.handle.ping()
    }

    /// The next thing that the client tells, waited for as long as it takes; `None` when nothing more comes.
    #[must_use]
    pub fn wait(&self) -> Option<Told> {
        self.handle.shared.queue.take(None)
    }

    /// The same, waited for so long at most.
    #[must_use]
    pub fn wait_for(&self, patience: Duration) -> Option<Told> {
        self.handle.shared.queue.take(Some(patience))
    }

    /// All that it tells, to the end.
    #[must_use]
    pub const fn events(&self) -> Events<'_> {
        Events(self)
    }

    /// Ends the session and waits until it is over, 2 s at most once there is a connection.
    pub fn close(mut self) {
        self.leave();
        if let Some(thread) = self.thread.take() {
            // Its panic would be a fault of ours, and it is over either way.
            let _ = thread.join();
        }
    }

    fn leave(&self) {
        self.handle.shared.queue.abandon();
        self.handle.shared.stop();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<'a> IntoIterator for &'a Client {
    type Item = Told;
    type IntoIter = Events<'a>;

    fn into_iter(self) -> Events<'a> {
        self.events()
    }
}

/// What a client tells, as it comes.
#[derive(Debug)]
pub struct Events<'a>(&'a Client);

impl Iterator for Events<'_> {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        self.0.wait()
    }
}
