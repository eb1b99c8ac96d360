//! The thread of a client: connects, reads, and does it again when the connection is lost.

use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Clock};

use super::link::Shared;
use super::{Ack, Error, Options, Told};
use crate::client::{Advice, Backoff, Closed, Conversation, Incoming, Offer, Refusal, Url};
use crate::limits::{CLIENT_BACKOFF_MAX_MS, CLIENT_CONNECT_MS, CLIENT_STABLE_MS, CLIENT_TICK_MS};

/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;

/// The work of the thread.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) url: Url,
    pub(super) options: Options,
    pub(super) backoff: Backoff,
}

/// How an attempt ended.
#[derive(Debug)]
enum Ended {
    /// There was no connection.
    Link(String),
    /// There was no WebSocket.
    Refused(Refusal),
    /// It was over.
    Closed(Closed),
}

impl Ended {
    fn error(self) -> Error {
        match self {
            Self::Link(what) => Error::Link(what),
            Self::Refused(refusal) => Error::Refused(refusal),
            Self::Closed(closed) => Error::Closed(closed),
        }
    }
}

impl Worker {
    /// Works until the program has had enough or no further attempt makes sense.
    pub(super) fn run(mut self) {
        let (mut sessions, mut last) = (0, None);
        while !self.shared.lock().stopping {
            let began = Clock::now();
            let before = sessions;
            let ended = self.attempt(&mut sessions);
            self.shared.lock().disconnected();
            if sessions == 0 {
                last = Some(ended.error());
                break;
            }
            if sessions > before && began.elapsed() >= Duration::from_millis(CLIENT_STABLE_MS) {
                self.backoff.reset();
            }
            let Some(again_in) = self.pause(&ended) else {
                last = Some(ended.error());
                break;
            };
            self.tell(Told::Disconnected { why: ended.error().to_string(), again_in });
            self.rest(again_in);
        }
        let mut state = self.shared.lock();
        state.over = true;
        state.give_up();
        let stopped = state.stopping;
        let error = last.unwrap_or_else(|| Error::Link("the client was closed".to_owned()));
        if state.first.is_none() {
            state.first = Some(Err(error));
        } else if !stopped {
            drop(state);
            self.tell(Told::Closed(error));
        }
        self.shared.queue.end();
        self.shared.notify();
    }

    /// How long to stay away; `None`: for ever.
    fn pause(&mut self, ended: &Ended) -> Option<Duration> {
        match ended {
            Ended::Link(_) => Some(self.backoff.pause()),
            Ended::Refused(refusal) if refusal.advice() == Advice::Stop => None,
            Ended::Refused(refusal) => {
                let asked = Duration::from_secs(refusal.retry_after_s.unwrap_or(0));
                Some(asked.min(Duration::from_millis(3 * CLIENT_BACKOFF_MAX_MS)) + self.backoff.pause())
            }
            Ended::Closed(closed) => {
                let (least, more) = closed.pause_ms()?;
                let pause = Duration::from_millis(least) + self.backoff.up_to(more);
                // A server that ends every session at once must not be asked as often as it likes.
                Some(pause + self.backoff.pause())
            }
        }
    }

    fn rest(&self, time: Duration) {
        let end = Clock::now() + time;
        let mut state = self.shared.lock();
        while !state.stopping {
            let left = end.saturating_duration_since(Clock::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.wait(state, left);
        }
    }

    /// Hands something to the program, however long that takes; meanwhile the server hears that we live.
    fn tell(&self, told: Told) {
        let mut told = told;
        let mut waited = Duration::ZERO;
        let tick = Duration::from_millis(CLIENT_TICK_MS);
        while let Err(back) = self.shared.queue.push(told, tick) {
            told = *back;
            waited += tick;
            let mut state = self.shared.lock();
            if state.stopping {
                return;
            }
            state.paused();
            if waited >= LIVE_SIGN {
                waited = Duration::ZERO;
                state.live_sign();
                drop(state);
                self.shared.notify();
            }
        }
    }

    /// One connection, from its beginning to its end.
    fn attempt(&self, sessions: &mut u32) -> Ended {
        let socket = match dial(&self.url) {
            Ok(socket) => socket,
            Err(what) => return Ended::Link(what),
        };
        if let Err(what) = self.begin(&socket) {
            return Ended::Link(what);
        }
        thread::scope(|scope| {
            let writer = thread::Builder::new().name("pushlet-writer".to_owned());
            if let Err(error) = writer.spawn_scoped(scope, || self.shared.write(&socket)) {
                return Ended::Link(format!("there is no thread: {error}"));
            }
            let ended = self.read(&socket, sessions);
            self.shared.finish();
            ended
        })
    }

    fn read(&self, mut socket: &TcpStream, sessions: &mut u32) -> Ended {
        let mut piece = vec![0; READ_BYTES];
        loop {
            let came = socket.read(&mut piece);
            let now = self.shared.now();
            let (goes_on, told) = self.shared.step(&came, &piece, now);
            for incoming in told {
                if let Some(ended) = self.take(incoming, sessions) {
                    return ended;
                }
            }
            if !goes_on {
                return Ended::Link("the connection has ended".to_owned());
            }
        }
    }

    fn begin(&self, socket: &TcpStream) -> Result<(), String> {
        let random = |error| format!("there is no randomness: {error}");
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(random)?;
        let host = self.url.authority();
        let (bearer, deflate) = (self.options.key.as_deref(), self.options.deflate);
        let offer = Offer { host: &host, target: self.url.path(), bearer, deflate, nonce };
        let mut request = Vec::new();
        let now = self.shared.now();
        let conversation = Conversation::new(&offer, now, &mut request).map_err(str::to_owned)?;
        let writer = socket.try_clone().map_err(|error| format!("there is no descriptor: {error}"))?;
        self.shared.lock().connected(writer, conversation, request, now);
        Ok(())
    }

    /// One thing that the conversation tells. Something comes out if it was the last.
    fn take(&self, incoming: Incoming, sessions: &mut u32) -> Option<Ended> {
        match incoming {
            Incoming::Session(session) => {
                let mut state = self.shared.lock();
                // Before the program hears of it: an answer to what it asks for then says that these are there as well.
                let refused = state.subscribe_again();
                state.first.get_or_insert(Ok(()));
                drop(state);
                self.shared.notify();
                *sessions = sessions.saturating_add(1);
                self.tell(Told::Joined(session));
                if *sessions > 1 {
                    let reason = "what was published while there was no connection did not come".to_owned();
                    self.tell(Told::Reset { reason });
                }
                refused.into_iter().for_each(|told| self.tell(told));
            }
            Incoming::Event(event) => {
                if event.lost() > 0 {
                    self.tell(Told::Lost(event.lost()));
                }
                self.tell(Told::Event(event));
            }
            Incoming::Ack { id, accepted } => self.shared.lock().acked(id, Ack { accepted }),
            Incoming::Pong { id: Some(id), .. } => self.shared.lock().acked(id, Ack::default()),
            Incoming::Nack(nack) => {
                let told = self.shared.lock().nacked(nack);
                if let Some(told) = told {
                    self.tell(told);
                }
            }
            Incoming::Reset { reason } => self.tell(Told::Reset { reason }),
            Incoming::Pong { .. } | Incoming::Heartbeat | Incoming::End(_) | Incoming::Skipped(_) => {}
            Incoming::Refused(refusal) => return Some(Ended::Refused(refusal)),
            Incoming::Closed(closed) => return Some(Ended::Closed(closed)),
        }
        None
    }
}

/// How often a server hears that we live while the program does not take its events.
const LIVE_SIGN: Duration = Duration::from_secs(5);

fn dial(url: &Url) -> Result<TcpStream, String> {
    let whole = |what: String| format!("cannot connect to {}:{}: {what}", url.host(), url.port());
    let addresses = (url.host(), url.port()).to_socket_addrs().map_err(|error| whole(error.to_string()))?;
    let mut last = whole("the name has no address".to_owned());
    for address in addresses {
        let connected = TcpStream::connect_timeout(&address, Duration::from_millis(CLIENT_CONNECT_MS)).and_then(|it| {
            it.set_nodelay(true)?;
            it.set_read_timeout(Some(Duration::from_millis(CLIENT_TICK_MS)))?;
            it.set_write_timeout(Some(Duration::from_millis(CLIENT_CONNECT_MS)))?;
            Ok(it)
        });
        match connected {
            Ok(socket) => return Ok(socket),
            Err(error) => last = whole(error.to_string()),
        }
    }
    Err(last)
}
