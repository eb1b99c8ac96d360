//! What the threads of one client share: the connection that there is, and who waits for what.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

use super::masks::Masks;
use super::queue::Queue;
use super::{Ack, Error, Told};
use crate::client::{Conversation, Incoming, Nack, Request, Subscription, Unsent};
use crate::limits::{
    CLIENT_CONNECT_MS, CLIENT_LEAVE_MS, CLIENT_UNANSWERED_MAX, CLIENT_UNSENT_BYTES_MAX, SUBSCRIPTIONS_MAX,
};
use crate::time::Instant;

/// Who waits for an answer.
pub(super) type Asker = SyncSender<Result<Ack, Error>>;

/// What an answer is about.
#[derive(Debug)]
pub(super) enum About {
    /// New subscriptions: they hold once they are acked.
    Subscribe(Vec<Subscription>),
    /// One that held before the connection was lost.
    Again(String),
    /// They hold no longer.
    Unsubscribe(Vec<String>),
    /// Nothing that has to be remembered.
    Other,
}

/// What all handles and the thread share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pub(super) queue: Queue,
    began: Clock,
}

/// The state behind the lock.
#[derive(Debug)]
pub(super) struct State {
    masks: Masks,
    link: Option<Link>,
    /// The subscriptions that hold, or will when there is a connection; and who waits for that.
    wanted: Vec<(Subscription, Option<Asker>)>,
    waiting: BTreeMap<u64, (About, Option<Asker>)>,
    /// What became of the first attempt.
    pub(super) first: Option<Result<(), Error>>,
    /// The program has had enough.
    pub(super) stopping: bool,
    /// There will be no other attempt.
    pub(super) over: bool,
}

/// A connection. What it sends is put into `out` under the lock and written by a thread of its own outside of it: a server that takes
/// nothing before its own messages are taken must not hold up the thread that reads them.
#[derive(Debug)]
struct Link {
    socket: TcpStream,
    conversation: Conversation,
    /// Whole frames in their order.
    out: Vec<u8>,
    /// What was taken out of `out` is not written yet.
    writing: bool,
    /// When something was put into `out` last.
    put: Clock,
    /// Nothing is written any more.
    broken: bool,
    /// When the program had not taken its events last.
    paused: Option<Clock>,
}

/// Patterns of a comma list, each by itself.
fn singly(subscription: &Subscription) -> Vec<Subscription> {
    let parts = subscription.subject.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| Subscription { subject: part.to_owned(), ..subscription.clone() }).collect()
}

impl Shared {
    /// Nothing is connected.
    pub(super) fn new(wanted: &[Subscription]) -> Self {
        let wanted = wanted.iter().flat_map(singly).map(|subscription| (subscription, None)).collect();
        let state = State {
            masks: Masks::new(),
            link: None,
            wanted,
            waiting: BTreeMap::new(),
            first: None,
            stopping: false,
            over: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), queue: Queue::default(), began: Clock::now() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of the conversation.
    pub(super) fn now(&self) -> Instant {
        Instant::from_ms(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Wakes whoever waits for a change.
    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change, at most so long.
    pub(super) fn wait<'a>(&'a self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The program has had enough.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        let now = self.now();
        if let Some(link) = &mut state.link {
            link.conversation.close(now);
        }
        state.flush();
        drop(state);
        self.notify();
    }

    /// Takes in what came, and hands on what the program is to hear of it. Says whether the connection goes on.
    pub(super) fn step(&self, came: &io::Result<usize>, piece: &[u8], now: Instant) -> (bool, Vec<Incoming>) {
        let mut state = self.lock();
        let step = state.step(came, piece, now);
        self.sent(state);
        step
    }

    /// Wakes the thread that writes, if there is something for it that it does not see by itself.
    pub(super) fn sent(&self, state: MutexGuard<'_, State>) {
        let wakes = state.link.as_ref().is_some_and(|link| !link.writing && !link.is_written());
        drop(state);
        if wakes {
            self.notify();
        }
    }

    /// The state, as soon as there is room for a request: for 10 s at most, then it is busy.
    ///
    /// Meanwhile there is more room for events, too: who asks for something does not take them, and the server may take nothing before they are.
    pub(super) fn room(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.lock();
        if state.has_room() {
            return Ok(state);
        }
        self.queue.wait_for_answers(true);
        let end = Clock::now() + Duration::from_millis(CLIENT_CONNECT_MS);
        while !state.has_room() {
            let left = end.saturating_duration_since(Clock::now());
            if left.is_zero() {
                self.queue.wait_for_answers(false);
                return Err(Error::Busy);
            }
            state = self.wait(state, left);
        }
        self.queue.wait_for_answers(false);
        Ok(state)
    }

    /// Writes what there is to be sent, until the connection is gone: the work of its second thread.
    pub(super) fn write(&self, mut socket: &TcpStream) {
        let mut batch = Vec::new();
        while self.next_batch(&mut batch) {
            let mut rest = batch.as_slice();
            while !rest.is_empty() {
                let wrote = socket.write(rest);
                match wrote {
                    Ok(count) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if is_pause(&error) && self.lock().is_paused() => {}
                    Ok(_) | Err(_) => {
                        // Half a frame may be out: the connection is of no use any more.
                        self.lock().broken();
                        self.notify();
                        return;
                    }
                }
            }
        }
    }

    /// Waits for bytes to write. False: there will be none.
    fn next_batch(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        let mut state = self.lock();
        if let Some(link) = &mut state.link {
            link.writing = false;
        }
        loop {
            state.flush();
            let Some(link) = state.link.as_mut().filter(|link| !link.broken) else { return false };
            let is_full = link.out.len() >= CLIENT_UNSENT_BYTES_MAX;
            std::mem::swap(&mut link.out, batch);
            link.writing = !batch.is_empty();
            if is_full || batch.is_empty() {
                // Whoever waits for room, or for the end.
                self.notify();
            }
            if !batch.is_empty() {
                return true;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets what is still to be sent go out, such as the answer to a Close frame, for a short time; then the connection is given up.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        while let Some(link) = state.link.as_ref().filter(|link| !link.is_written()) {
            let patience = Duration::from_millis(CLIENT_LEAVE_MS);
            let left = patience.saturating_sub(link.put.elapsed());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        state.broken();
        drop(state);
        self.notify();
    }
}

impl State {
    /// There is a new connection, whose handshake is to be sent.
    pub(super) fn connected(&mut self, socket: TcpStream, conversation: Conversation, request: Vec<u8>, now: Instant) {
        let (put, out) = (Clock::now(), if self.stopping { Vec::new() } else { request });
        let mut link = Link { socket, conversation, out, writing: false, put, broken: false, paused: None };
        if self.stopping {
            link.conversation.close(now);
        }
        self.link = Some(link);
    }

    /// Whether another request may be put behind what is to be sent.
    fn has_room(&self) -> bool {
        self.stopping || self.over || self.link.as_ref().is_none_or(Link::has_room)
    }

    /// The program does not take its events, so nothing is read: that a server takes nothing then is no fault of its.
    pub(super) fn paused(&mut self) {
        if let Some(link) = &mut self.link {
            link.paused = Some(Clock::now());
        }
    }

    /// Whether it was so a short time ago.
    fn is_paused(&self) -> bool {
        let paused = self.link.as_ref().filter(|link| !link.broken).and_then(|link| link.paused);
        paused.is_some_and(|paused| paused.elapsed() < Duration::from_millis(CLIENT_CONNECT_MS))
    }

    fn broken(&mut self) {
        if let Some(link) = &mut self.link {
            link.broken();
        }
    }

    /// The connection is gone: nobody knows what became of what was under way. Subscriptions are asked for again at the next one.
    ///
    /// In the order in which they were asked for: of a subscribe and an unsubscribe of one subject the later holds.
    pub(super) fn disconnected(&mut self) {
        self.link = None;
        for (_, (about, asker)) in std::mem::take(&mut self.waiting) {
            match about {
                About::Subscribe(subscriptions) => self.want(subscriptions, asker),
                About::Again(subject) => {
                    if let Some((_, place)) = self.wanted.iter_mut().find(|(known, _)| known.subject == subject) {
                        *place = asker;
                    }
                }
                About::Unsubscribe(subjects) => {
                    self.forget(&subjects);
                    // Where there is no session there is no subscription.
                    answer(asker, Ok(Ack::default()));
                }
                About::Other => {
                    let what = "the connection was lost before the answer; nobody knows whether it was carried out";
                    answer(asker, Err(Error::Link(what.to_owned())));
                }
            }
        }
    }

    /// Keeps subscriptions for this connection and those after it. Whoever waits hears when the last of them is acked.
    fn want(&mut self, subscriptions: Vec<Subscription>, mut asker: Option<Asker>) {
        let last = subscriptions.len().saturating_sub(1);
        for (at, subscription) in subscriptions.into_iter().enumerate() {
            self.forget(std::slice::from_ref(&subscription.subject));
            self.wanted.push((subscription, if at == last { asker.take() } else { None }));
        }
    }

    /// There is no further connection: whoever waits for a subscription hears it.
    pub(super) fn give_up(&mut self) {
        for (_, asker) in &mut self.wanted {
            answer(asker.take(), Err(Error::Link("the client has ended".to_owned())));
        }
    }

    fn forget(&mut self, subjects: &[String]) {
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.wanted).into_iter().partition(|(known, _)| subjects.contains(&known.subject));
        self.wanted = kept;
        for (_, asker) in gone {
            answer(asker, Err(Error::Link("another request for the same subject came before the answer".to_owned())));
        }
    }

    /// As [`Shared::step`].
    fn step(&mut self, came: &io::Result<usize>, piece: &[u8], now: Instant) -> (bool, Vec<Incoming>) {
        let Some(Link { conversation, .. }) = &mut self.link else { return (false, Vec::new()) };
        match came {
            Ok(0) => conversation.handle_end("the server closed the connection"),
            Ok(length) => conversation.handle(piece.get(..*length).unwrap_or_default(), now),
            Err(error) if is_pause(error) => {}
            Err(error) => conversation.handle_end(&format!("the connection broke: {error}")),
        }
        conversation.handle_timeout(now);
        let told = std::iter::from_fn(|| conversation.poll()).collect();
        let goes_on = !conversation.is_over();
        self.flush();
        (goes_on, told)
    }

    /// Has sent what the conversation has to say by itself. Whoever calls this wakes the thread that writes.
    fn flush(&mut self) {
        let Some(link) = &mut self.link else { return };
        // Where there is no room, the conversation keeps what it has to say: of pongs the last.
        while link.has_room() && link.conversation.wants_transmit() {
            match self.masks.next() {
                Ok(mask) => link.conversation.transmit(mask, &mut link.out),
                Err(_) => return link.broken(),
            };
            link.put = Clock::now();
        }
    }

    /// A sign of life, for a program that does not take its events.
    pub(super) fn live_sign(&mut self) {
        if let Some(link) = &mut self.link {
            link.conversation.live_sign();
        }
        self.flush();
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, request: &Request<'_>, about: About, asker: Option<Asker>) -> Result<(), Error> {
        if self.over || self.stopping {
            return Err(Error::Link("the client has ended".to_owned()));
        }
        if self.waiting.len() >= CLIENT_UNANSWERED_MAX {
            return Err(Error::Busy);
        }
        let mut asker = asker;
        self.send(request, about, &mut asker)
    }

    /// Sends a request; only if that works it takes `asker`.
    fn send(&mut self, request: &Request<'_>, about: About, asker: &mut Option<Asker>) -> Result<(), Error> {
        let link = self.link.as_mut().ok_or(Error::Unsent(Unsent::NotOpen))?;
        if link.conversation.is_over() && !matches!(about, About::Other) {
            // What is unanswered is settled soon, and this behind it.
            let id = self.waiting.last_key_value().map_or(1, |(id, _)| id.saturating_add(1));
            self.waiting.insert(id, (about, asker.take()));
            return Ok(());
        }
        let mask = self.masks.next().map_err(|error| {
            // The thread that reads finds the end, and tries again later.
            link.broken();
            Error::Link(format!("there is no randomness: {error}"))
        })?;
        let id = link.conversation.request(request, mask, &mut link.out).map_err(Error::Unsent)?;
        self.waiting.insert(id, (about, asker.take()));
        link.put = Clock::now();
        if link.broken {
            link.out.clear();
        }
        Ok(())
    }

    /// Subscribes, now or when there is a connection.
    pub(super) fn subscribe(&mut self, subscription: &Subscription, asker: Asker) -> Result<(), Error> {
        let singles = singly(subscription);
        let about = About::Subscribe(singles.clone());
        match self.ask(&Request::Subscribe(subscription), about, Some(asker.clone())) {
            Err(Error::Unsent(Unsent::NotOpen)) if self.wanted.len() + singles.len() <= SUBSCRIPTIONS_MAX => {
                self.want(singles, Some(asker));
                Ok(())
            }
            Err(Error::Unsent(Unsent::NotOpen)) => Err(Error::Busy),
            asked => asked,
        }
    }

    /// Ends a subscription, now or by not asking for it again.
    pub(super) fn unsubscribe(&mut self, subject: &str, asker: Asker) -> Result<(), Error> {
        let subjects: Vec<String> = singly(&Subscription::to(subject)).into_iter().map(|it| it.subject).collect();
        let about = About::Unsubscribe(subjects.clone());
        match self.ask(&Request::Unsubscribe(subject), about, Some(asker.clone())) {
            Err(Error::Unsent(Unsent::NotOpen)) => {
                self.forget(&subjects);
                answer(Some(asker), Ok(Ack::default()));
                Ok(())
            }
            asked => asked,
        }
    }

    /// Asks for all subscriptions that are wanted: the session is new. Says what the program is to hear: which the server would not take.
    ///
    /// They are as many as one session may have, so they stand outside of the bound of requests that are not answered: what the program has asked
    /// for in the meantime must not cost it its subscriptions.
    pub(super) fn subscribe_again(&mut self) -> Vec<Told> {
        let mut refused = Vec::new();
        for (subscription, mut asker) in std::mem::take(&mut self.wanted) {
            let about = About::Again(subscription.subject.clone());
            match self.send(&Request::Subscribe(&subscription), about, &mut asker) {
                Err(Error::Unsent(Unsent::TooLong { bytes, max })) => {
                    answer(asker, Err(Error::Unsent(Unsent::TooLong { bytes, max })));
                    refused.push(too_long(subscription.subject, max));
                }
                // What is not out is asked for at the next connection, and whoever waits for it waits on.
                Ok(()) | Err(_) => self.wanted.push((subscription, asker)),
            }
        }
        refused
    }

    /// A request was carried out.
    pub(super) fn acked(&mut self, id: u64, ack: Ack) {
        let Some((about, asker)) = self.waiting.remove(&id) else { return };
        match about {
            About::Subscribe(subscriptions) => self.want(subscriptions, None),
            About::Unsubscribe(subjects) => self.forget(&subjects),
            About::Again(_) | About::Other => {}
        }
        answer(asker, Ok(ack));
    }

    /// A request was refused. Says what the program is to hear, besides whoever waits for the answer.
    pub(super) fn nacked(&mut self, nack: Nack) -> Option<Told> {
        let (about, asker) = nack.id.and_then(|id| self.waiting.remove(&id))?;
        let told = match about {
            About::Again(subject) => {
                self.forget(std::slice::from_ref(&subject));
                Some(Told::Refused { subject, nack: nack.clone() })
            }
            // The server does not know it: so be it.
            About::Unsubscribe(subjects) if nack.status == 404 => {
                self.forget(&subjects);
                None
            }
            About::Subscribe(_) | About::Unsubscribe(_) | About::Other => None,
        };
        answer(asker, Err(Error::Nack(nack)));
        told
    }
}

/// A subscription that the server takes no more: its message is longer than `max` bytes, as a server of other settings allows.
fn too_long(subject: String, max: usize) -> Told {
    let reason = "The request is longer than the server takes.".to_owned();
    let (field, limit) = (Some("subject".to_owned()), u64::try_from(max).ok());
    Told::Refused { subject, nack: Nack { status: 413, reason, field, limit, ..Nack::default() } }
}

/// Tells whoever waits. That he may have gone is his affair.
fn answer(asker: Option<Asker>, what: Result<Ack, Error>) {
    if let Some(asker) = asker {
        let _ = asker.try_send(what);
    }
}

/// Whether a read has only taken its time.
pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl Link {
    const fn has_room(&self) -> bool {
        self.broken || self.out.len() < CLIENT_UNSENT_BYTES_MAX
    }

    /// Whether all that was to be sent is.
    fn is_written(&self) -> bool {
        self.broken || (!self.writing && self.out.is_empty() && !self.conversation.wants_transmit())
    }

    /// The thread that reads finds the end, and the one that writes does.
    fn broken(&mut self) {
        self.broken = true;
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
