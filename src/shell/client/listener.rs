//! `pushletd sub` at the modern doors: Server-Sent Events, long poll and WebSocket. It listens, prints, and begins again when the connection is lost.

use std::io::Write;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::event::shown;
use super::link::{Body, Line, Reply, door_get, leave_request};
use super::object::{self, End, Polled, Reset, Session};
use super::printer::{Output, Printer};
use super::sse::{Message, SseReader};
use super::target::Target;
use super::trouble::Trouble;
use super::watch::Watch;
use super::web::{self, Web};
use crate::client::answer::Head;
use crate::client::{Advice, Incoming};
use crate::limits::{
    CLIENT_ANSWER_MS, CLIENT_BACKOFF_MAX_MS, CLIENT_BACKOFF_MS, CLIENT_LEAVE_MS, CLIENT_TARGET_BYTES_MAX,
};

/// A way in which events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `/v1/sse`: one answer without end.
    EventStream,
    /// `/v1/poll`: answers that wait for events.
    LongPoll,
    /// `/v1/ws`.
    WebSocket,
}

/// What is wanted, checked.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Where.
    pub(super) target: Target,
    /// Which subjects or patterns, each of which may be a comma list.
    pub(super) subjects: Vec<String>,
    /// By which of them.
    pub(super) door: Door,
    /// How events are printed.
    pub(super) output: Output,
    /// How many, if not for ever.
    pub(super) count: Option<u64>,
    /// An answer in which nothing comes for this long is given up, unless the server says that it is silent for longer.
    pub(super) silence: Duration,
}

impl Wanted {
    /// Checks that the subjects fit into the line of a request.
    ///
    /// # Errors
    ///
    /// They do not; in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let bytes = door_get(&self.target, "v1/poll", &self.query(), "", None).len();
        let max = CLIENT_TARGET_BYTES_MAX;
        if bytes > max {
            Err(format!("the subjects make a request of {bytes} bytes, at most {max} are sent"))
        } else {
            Ok(())
        }
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.subjects.iter().map(|subject| ("subject", subject.as_str())).collect()
    }
}

/// One run.
struct Listener<'a> {
    wanted: &'a Wanted,
    watch: &'a Watch,
    out: Printer<'a>,
    line: Line<'a>,
    /// The session of a long poll, if there is one. That of a stream ends with its connection.
    session: Option<String>,
    /// The longest that the server holds a poll.
    wait: Duration,
    /// Some session was begun in this run: so there is such a server at this address.
    listened_once: bool,
    /// How long nothing may come in a stream.
    silence: Duration,
    /// What the server wants its clients to wait before they come again, in milliseconds.
    retry_ms: Option<u64>,
    /// The position of the last event that had one.
    last_id: Option<String>,
    backoff: Backoff,
}

/// Writes events to `out` until there are enough or the run is stopped.
///
/// # Errors
///
/// What makes further attempts senseless. [`Trouble::Stopped`] is not an error: it is how most runs end.
pub(super) fn run(wanted: &Wanted, watch: &Watch, seed: u64, out: &mut dyn Write) -> Result<(), Trouble> {
    let mut listener = Listener {
        wanted,
        watch,
        out: Printer::new(wanted.output, wanted.count, watch, out),
        line: Line::new(&wanted.target, watch),
        session: None,
        wait: Duration::ZERO,
        listened_once: false,
        silence: wanted.silence,
        retry_ms: None,
        last_id: None,
        backoff: Backoff::new(seed),
    };
    let outcome = listener.go_on();
    // Whether anybody still reads makes no difference any more.
    let _ = listener.out.flush();
    listener.leave();
    match outcome {
        Err(Trouble::Stopped) | Ok(()) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

impl Listener<'_> {
    fn go_on(&mut self) -> Result<(), Trouble> {
        loop {
            let attempt = match self.wanted.door {
                Door::EventStream => self.stream(),
                Door::LongPoll => self.poll(),
                Door::WebSocket => self.web(),
            };
            let Err(trouble) = attempt else { continue };
            match &trouble {
                Trouble::Link(_) => {}
                // The server does not know the session (any more), or has ended it.
                Trouble::Refused { status: 404, .. } if self.session.is_some() => self.session = None,
                Trouble::Aborted(_) => self.session = None,
                refused if refused.may_pass() => {}
                Trouble::Nonsense(_) if self.listened_once => {}
                _ => return Err(trouble),
            }
            let pause = self.pause(&trouble);
            let next = match (&self.session, self.listened_once) {
                (Some(_), _) => "asking again",
                (None, true) => "what is published until we listen again is missed; listening again",
                (None, false) => "trying again",
            };
            self.watch.say(&format!("{trouble}; {next} in {:.1} s", pause.as_secs_f64()));
            self.watch.sleep(pause)?;
        }
    }

    /// How long to stay away: what the server asks for, and a random time more.
    fn pause(&mut self, trouble: &Trouble) -> Duration {
        let pause = self.backoff.pause(trouble);
        match trouble {
            Trouble::Refused { retry_after_s: Some(_), .. } => pause,
            _ => pause + Duration::from_millis(self.retry_ms.unwrap_or(0).min(3 * CLIENT_BACKOFF_MAX_MS)),
        }
    }

    /// One stream, from its beginning to its end.
    fn stream(&mut self) -> Result<(), Trouble> {
        let (target, watch, silence) = (&self.wanted.target, self.watch, self.silence);
        let last_id = self.last_id.as_deref();
        let request = door_get(target, "v1/sse", &self.wanted.query(), "text/event-stream", last_id);
        let mut body = Stream { reader: SseReader::default(), listener: self };
        let outcome = Line::new(target, watch).stream(&request, silence, &mut body);
        self.out.flush()?;
        outcome?;
        Err(Trouble::Link("the server ended the stream".to_owned()))
    }

    /// One WebSocket, from its beginning to its end.
    fn web(&mut self) -> Result<(), Trouble> {
        let mut web = Web::open(&self.wanted.target, self.watch, &self.wanted.query())?;
        let outcome = loop {
            let step = web.read(self.watch).and_then(|()| self.tell(&mut web)).and_then(|()| self.out.flush());
            if let Err(trouble) = step {
                break trouble;
            }
        };
        if outcome == Trouble::Stopped {
            self.watch.begin_leaving();
            web.leave();
        }
        // Whether anybody still reads makes no difference any more.
        let _ = self.out.flush();
        Err(outcome)
    }

    /// All that a WebSocket tells at the moment.
    fn tell(&mut self, web: &mut Web) -> Result<(), Trouble> {
        while let Some(incoming) = web.poll() {
            match incoming {
                Incoming::Session(_) => {
                    self.retry_ms = None;
                    self.listened();
                }
                Incoming::Event(event) => self.event(event.text())?,
                Incoming::Skipped(what) => self.watch.say(&format!("a message was skipped: {}", shown(&what, 120))),
                Incoming::Reset { reason } => self.reset(&reason),
                Incoming::Refused(refusal) => return Err(web::refused(&refusal)),
                Incoming::Closed(closed) => {
                    let pause =
                        closed.pause_ms().map(|(least, more)| self.backoff.up_to(more).as_millis() as u64 + least);
                    self.retry_ms = pause;
                    let why = shown(&closed.to_string(), 200);
                    return Err(match closed.advice {
                        Advice::Nothing => {
                            self.watch.say(&why);
                            Trouble::Stopped
                        }
                        Advice::Stop => Trouble::Nack(why),
                        Advice::Rejoin | Advice::RejoinLater => Trouble::Link(why),
                    });
                }
                Incoming::Nack(nack) => return Err(Trouble::Nack(shown(&nack.to_string(), 200))),
                Incoming::Ack { .. } | Incoming::Pong { .. } | Incoming::Heartbeat | Incoming::End(_) => {}
            }
        }
        Ok(())
    }

    fn reset(&self, reason: &str) {
        let why = shown(reason, 80);
        self.watch.say(&format!("events may be missing: the stream does not go on where the last one ended ({why})"));
    }

    /// One event of a stream.
    fn message(&mut self, message: &Message) -> Result<(), Trouble> {
        match message.name.as_str() {
            "session" => {
                let session: Session = serde_json::from_str(&message.data)
                    .map_err(|error| Trouble::Nonsense(format!("its first event is not understood: {error}")))?;
                let heartbeat_ms = session.heartbeat_ms.unwrap_or(0).min(SILENCE_MS_MAX / 3);
                self.silence = self.wanted.silence.max(Duration::from_millis(3 * heartbeat_ms));
                self.listened();
                Ok(())
            }
            "reset" => {
                let reset: Reset = serde_json::from_str(&message.data).unwrap_or_default();
                self.reset(&reset.reason);
                Ok(())
            }
            "end" => Err(ended(&serde_json::from_str(&message.data).unwrap_or_default())),
            _ => self.event(&message.data),
        }
    }

    fn listened(&mut self) {
        self.listened_once = true;
        self.backoff.reset();
    }

    fn event(&mut self, text: &str) -> Result<(), Trouble> {
        match object::event(text) {
            Ok(event) => {
                self.out.tell_loss(&event);
                self.out.print(&event)
            }
            Err(what) => {
                self.watch.say(&format!("an event was skipped: {} in {}", shown(&what, 120), shown(text, 120)));
                Ok(())
            }
        }
    }

    /// One request of a long poll, with the one that must come before it.
    fn poll(&mut self) -> Result<(), Trouble> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.begin()?,
        };
        let began = Instant::now();
        let patience = self.wait.saturating_mul(2).max(self.wanted.silence);
        let reply = self.get(&[("session", &session)], patience)?;
        let polled: Polled<'_> = serde_json::from_slice(&reply.body).map_err(|error| not_understood(&error))?;
        self.backoff.reset();
        for event in &polled.events {
            self.event(event.get())?;
        }
        self.out.flush()?;
        if let Some(end) = &polled.end {
            return Err(ended(end));
        }
        if polled.events.is_empty() && began.elapsed() < self.wait / 2 {
            // Somebody else asks for the same session, or something between us and the server is in a hurry: we are not.
            self.watch.sleep(Duration::from_millis(CLIENT_BACKOFF_MS))?;
        }
        Ok(())
    }

    /// Begins the session of a long poll.
    fn begin(&mut self) -> Result<String, Trouble> {
        let reply = self.get(&self.wanted.query(), Duration::from_millis(CLIENT_ANSWER_MS))?;
        let session: Session = serde_json::from_slice(&reply.body).map_err(|error| not_understood(&error))?;
        self.wait = Duration::from_millis(session.wait_ms.unwrap_or(0).min(SILENCE_MS_MAX));
        self.session = Some(session.session.clone());
        self.listened();
        Ok(session.session)
    }

    fn get(&mut self, query: &[(&str, &str)], patience: Duration) -> Result<Reply, Trouble> {
        let request = door_get(&self.wanted.target, "v1/poll", query, "application/json", None);
        let reply = self.line.ask(&request, patience)?;
        if reply.head.status == 200 { Ok(reply) } else { Err(reply.refusal()) }
    }

    /// Ends the session of a long poll, so that the server need not wait for it to expire. If that does not work, it will.
    fn leave(&mut self) {
        self.watch.begin_leaving();
        if let Some(session) = self.session.take() {
            let request = leave_request(&self.wanted.target, &session);
            let _ = self.line.ask(&request, Duration::from_millis(CLIENT_LEAVE_MS));
        }
    }
}

/// A server may be silent for this long at most, in milliseconds, whatever it says: an hour.
const SILENCE_MS_MAX: u64 = 3_600_000;

fn ended(end: &End) -> Trouble {
    Trouble::Aborted(shown(&end.to_string(), 200))
}

fn not_understood(error: &serde_json::Error) -> Trouble {
    Trouble::Nonsense(format!("its answer is not understood: {error}"))
}

/// The body of a stream.
struct Stream<'a, 'b> {
    reader: SseReader,
    listener: &'a mut Listener<'b>,
}

impl Body for Stream<'_, '_> {
    fn head(&mut self, head: &Head) -> Result<(), Trouble> {
        match head.media_type.as_str() {
            "text/event-stream" => Ok(()),
            other => Err(Trouble::Nonsense(format!(
                "it answers with {}",
                shown(if other.is_empty() { "no type" } else { other }, 80)
            ))),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let Self { reader, listener } = self;
        let endless = || Trouble::Nonsense("an event has no end".to_owned());
        let outcome = reader.feed(bytes, endless, &mut |reader, message| {
            if let Some(id) = reader.last_id() {
                listener.last_id = Some(id.to_owned());
            }
            listener.retry_ms = reader.retry_ms().or(listener.retry_ms);
            listener.message(&message)
        });
        outcome?;
        listener.out.flush()
    }

    fn silence(&self) -> Option<Duration> {
        Some(self.listener.silence)
    }
}
