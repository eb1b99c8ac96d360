//! A WebSocket of the terminal tools: a blocking socket, and [`crate::client`]'s conversation over it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant as Clock};

use super::event::shown;
use super::link::dial;
use super::target::Target;
use super::trouble::Trouble;
use super::watch::Watch;
use crate::client::{Conversation, Incoming, Masks, Offer, Refusal, Request, Unsent};
use crate::limits::{CLIENT_LEAVE_MS, CLIENT_TICK_MS};
use crate::time::Instant;

/// One connection.
#[derive(Debug)]
pub(super) struct Web {
    stream: TcpStream,
    conversation: Conversation,
    masks: Masks,
    began: Clock,
    piece: Vec<u8>,
}

/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;

fn link(what: impl std::fmt::Display) -> Trouble {
    Trouble::Link(what.to_string())
}

/// What a refused handshake comes to.
pub(super) fn refused(refusal: &Refusal) -> Trouble {
    let Refusal { status, detail, field, retry_after_s } = refusal;
    match status {
        0 => Trouble::Link(shown(detail, 200)),
        101 => Trouble::Nonsense(shown(detail, 200)),
        _ => {
            let field = field.as_ref().map_or_else(String::new, |field| format!(" ({field})"));
            let text = shown(&format!("{detail}{field}"), 200);
            Trouble::Refused { status: *status, text, retry_after_s: *retry_after_s }
        }
    }
}

impl Web {
    /// Connects, and sends the handshake; its answer is the first thing that is told.
    ///
    /// # Errors
    ///
    /// There is no connection; see [`Trouble`].
    pub(super) fn open(target: &Target, watch: &Watch, query: &[(&str, &str)]) -> Result<Self, Trouble> {
        let stream = dial(target, watch)?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(link)?;
        let (host, mut path) = (target.host_header(), target.door("v1/ws"));
        if !query.is_empty() {
            path.push('?');
            path = form_urlencoded::Serializer::for_suffix(path.clone(), path.len()).extend_pairs(query).finish();
        }
        let bearer = target.key.as_ref().map(|key| key.secret());
        let offer = Offer { host: &host, target: &path, bearer, deflate: false, nonce };
        let mut request = Vec::new();
        let conversation = Conversation::new(&offer, Instant::ZERO, &mut request).map_err(link)?;
        let (masks, began, piece) = (Masks::new(), Clock::now(), vec![0; READ_BYTES]);
        let mut web = Self { stream, conversation, masks, began, piece };
        web.write(&request)?;
        Ok(web)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.stream.write_all(bytes).map_err(|error| Trouble::Link(format!("the request could not be sent: {error}")))
    }

    fn now(&self) -> Instant {
        Instant::from_ms(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads what comes within a tick, and answers what has to be answered.
    ///
    /// # Errors
    ///
    /// The run is to end. That the connection has ended is told by [`Web::poll`].
    pub(super) fn read(&mut self, watch: &Watch) -> Result<(), Trouble> {
        watch.tick()?;
        self.take();
        Ok(())
    }

    /// The same for what has come already.
    ///
    /// # Errors
    ///
    /// The socket is of no use.
    pub(super) fn read_at_once(&mut self, watch: &Watch) -> Result<(), Trouble> {
        self.wait_at_most(Duration::from_millis(1))?;
        self.read(watch)?;
        self.wait_at_most(Duration::from_millis(CLIENT_TICK_MS))
    }

    fn wait_at_most(&self, time: Duration) -> Result<(), Trouble> {
        self.stream.set_read_timeout(Some(time)).map_err(link)
    }

    fn take(&mut self) {
        use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        let came = self.stream.read(&mut self.piece);
        let now = self.now();
        match came {
            Ok(0) => self.conversation.handle_end("the server ended the connection"),
            Ok(length) => self.conversation.handle(self.piece.get(..length).unwrap_or_default(), now),
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
            Err(error) => self.conversation.handle_end(&format!("the connection broke: {error}")),
        }
        self.conversation.handle_timeout(now);
        // If that cannot be sent, the next read tells why.
        let _ = self.flush();
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        let mut out = Vec::new();
        while self.conversation.wants_transmit() {
            self.conversation.transmit(self.masks.next().map_err(link)?, &mut out);
        }
        if out.is_empty() { Ok(()) } else { self.write(&out) }
    }

    /// The next thing that it tells.
    pub(super) fn poll(&mut self) -> Option<Incoming> {
        self.conversation.poll()
    }

    /// Appends a request to `out`, to be sent by [`Web::send`], and says its number.
    ///
    /// # Errors
    ///
    /// [`Unsent`], or there is no randomness.
    pub(super) fn request(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<Result<u64, Unsent>, Trouble> {
        let mask = self.masks.next().map_err(link)?;
        Ok(self.conversation.request(request, mask, out))
    }

    /// Sends requests.
    ///
    /// # Errors
    ///
    /// The connection is of no use any more.
    pub(super) fn send(&mut self, requests: &[u8]) -> Result<(), Trouble> {
        self.write(requests)
    }

    /// Says that we go, and gives the server a little time to hear it.
    pub(super) fn leave(&mut self) {
        let now = self.now();
        self.conversation.close(now);
        let deadline = now + CLIENT_LEAVE_MS;
        if self.flush().is_ok() {
            while !self.conversation.is_over() && self.now() < deadline {
                self.take();
            }
        }
    }
}
