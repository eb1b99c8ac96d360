//! `pushletd pub` over a WebSocket: each event is a request with a number, and many are under way at the same time.
//!
//! The server carries requests out in order and answers each by itself, so a line is published as soon as it comes, and what became of it is
//! told by its own number. When the connection breaks, nobody knows what became of the lines that have no answer: they are told and not
//! sent again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backoff::Backoff;
use super::event::shown;
use super::lines::{Lines, Next};
use super::post::{Source, Wanted, refused};
use super::trouble::Trouble;
use super::watch::Watch;
use super::web::{self, Web};
use crate::client::{Advice, Incoming, Publication, Request, Unsent};
use crate::limits::CLIENT_TICK_MS;

/// So many events may be without an answer.
const UNANSWERED_MAX: usize = 1024;
/// So many bytes of requests are written at once, about.
const WRITE_BYTES: usize = 64 * 1024;
/// A connection that broke, or could not be had, is tried for again so often.
const ATTEMPTS: u32 = 6;

/// The number of a line; `None` for the only event.
type Number = Option<u64>;

struct Speaker<'a> {
    wanted: &'a Wanted,
    watch: &'a Watch,
    backoff: Backoff,
    web: Option<Web>,
    /// There is a session.
    open: bool,
    /// There was one in this run: there is such a door at this address, and it opens.
    opened_once: bool,
    unanswered: BTreeMap<u64, Number>,
}

/// Publishes everything, and counts what the server refused. `lines` is asked for only if the events come from there.
///
/// # Errors
///
/// What makes it senseless to go on; the events before were published. [`Trouble::Stopped`] is not an error.
pub(super) fn run(wanted: &Wanted, watch: &Watch, seed: u64, lines: impl FnOnce() -> Lines) -> Result<(), Trouble> {
    let mut speaker = Speaker {
        wanted,
        watch,
        backoff: Backoff::new(seed),
        web: None,
        open: false,
        opened_once: false,
        unanswered: BTreeMap::new(),
    };
    let outcome = match &wanted.source {
        Source::Once(json) => speaker.once(json),
        Source::Lines | Source::JsonLines => speaker.lines(&lines()),
    };
    watch.begin_leaving();
    if let Some(web) = &mut speaker.web {
        web.leave();
    }
    match outcome {
        Err(Trouble::Stopped) | Ok(()) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

impl Speaker<'_> {
    fn once(&mut self, json: &str) -> Result<(), Trouble> {
        self.connect()?;
        let mut out = Vec::new();
        self.ask(None, json, &mut out)?;
        self.send(&out)?;
        self.finish()
    }

    fn publication(&self, json: &str) -> Result<Publication, String> {
        let wanted = self.wanted;
        let publication = Publication::json_text(wanted.subject.as_str(), json)
            .map_err(|error| format!("this is not JSON: {error}"))?;
        let publication = match &wanted.event {
            Some(name) => publication.named(name.as_str()),
            None => publication,
        };
        Ok(match &wanted.to {
            Some(address) => publication.to(address.as_str()),
            None => publication,
        })
    }

    /// Puts a request for one event into `out`; one that cannot be sent is counted and said.
    fn ask(&mut self, number: Number, json: &str, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let publication = match self.publication(json) {
            Ok(publication) => publication,
            Err(what) => {
                refused(self.watch, number, &shown(&what, 200));
                return Ok(());
            }
        };
        let Some(web) = &mut self.web else { return Err(Trouble::Link("there is no connection".to_owned())) };
        match web.request(&Request::Publish(&publication), out)? {
            Ok(id) => drop(self.unanswered.insert(id, number)),
            Err(unsent @ Unsent::TooLong { .. }) => refused(self.watch, number, &unsent.to_string()),
            Err(unsent @ Unsent::NotOpen) => {
                // What was to go with it is not sent either.
                out.clear();
                refused(self.watch, number, &unsent.to_string());
                self.lost(&unsent.to_string());
            }
        }
        Ok(())
    }

    fn lines(&mut self, lines: &Lines) -> Result<(), Trouble> {
        self.connect()?;
        loop {
            // While answers are on their way they are what is waited for.
            let patience = if self.unanswered.is_empty() { CLIENT_TICK_MS } else { 0 };
            let mut next = match self.unanswered.len() < UNANSWERED_MAX {
                true => lines.within(Duration::from_millis(patience))?,
                false => Next::NotYet,
            };
            let mut out = Vec::new();
            while let Next::Line((number, line)) = next {
                self.watch.tick()?;
                match self.wanted.data(&line) {
                    Ok(None) => {}
                    Ok(Some(json)) => {
                        if self.web.is_none() {
                            self.connect()?;
                        }
                        self.ask(Some(number), &json, &mut out)?;
                    }
                    Err(what) => refused(self.watch, Some(number), &shown(&what, 200)),
                }
                let full = self.unanswered.len() >= UNANSWERED_MAX || out.len() >= WRITE_BYTES;
                next = if full { Next::NotYet } else { lines.within(Duration::ZERO)? };
            }
            self.send(&out)?;
            if matches!(next, Next::End) {
                return self.finish();
            }
            self.hear(true)?;
        }
    }

    fn send(&mut self, out: &[u8]) -> Result<(), Trouble> {
        match &mut self.web {
            Some(web) if !out.is_empty() => match web.send(out) {
                Err(Trouble::Link(what)) => {
                    self.lost(&what);
                    Ok(())
                }
                sent => sent,
            },
            _ => Ok(()),
        }
    }

    /// Waits for the answers that are missing.
    fn finish(&mut self) -> Result<(), Trouble> {
        while !self.unanswered.is_empty() && self.web.is_some() {
            self.hear(false)?;
        }
        Ok(())
    }

    /// Connects, and waits until there is a session.
    fn connect(&mut self) -> Result<(), Trouble> {
        let mut attempt = 1;
        loop {
            let outcome = self.open();
            let trouble = match outcome {
                Ok(()) => return Ok(()),
                Err(trouble @ Trouble::Link(_)) if self.opened_once => trouble,
                Err(trouble) if trouble.may_pass() => trouble,
                Err(trouble) => return Err(trouble),
            };
            if attempt == ATTEMPTS {
                return Err(trouble);
            }
            attempt += 1;
            let pause = self.backoff.pause(&trouble);
            self.watch.say(&format!("{trouble}; trying again in {:.1} s", pause.as_secs_f64()));
            self.watch.sleep(pause)?;
        }
    }

    fn open(&mut self) -> Result<(), Trouble> {
        self.open = false;
        self.web = Some(Web::open(&self.wanted.target, self.watch, &[])?);
        while !self.open {
            self.hear(false)?;
            if self.web.is_none() {
                return Err(Trouble::Link("the server ended the connection".to_owned()));
            }
        }
        Ok(())
    }

    /// Takes what comes within a tick, or what has come.
    fn hear(&mut self, at_once: bool) -> Result<(), Trouble> {
        let Some(web) = &mut self.web else { return Ok(()) };
        if at_once {
            web.read_at_once(self.watch)?
        } else {
            web.read(self.watch)?
        }
        while let Some(incoming) = self.web.as_mut().and_then(Web::poll) {
            match incoming {
                Incoming::Session(_) => {
                    (self.open, self.opened_once) = (true, true);
                    self.backoff.reset();
                }
                Incoming::Ack { id, .. } if self.unanswered.remove(&id).is_some() => self.watch.count_done(),
                Incoming::Nack(nack) => {
                    let number = nack.id.and_then(|id| self.unanswered.remove(&id));
                    refused(self.watch, number.flatten(), &shown(&nack.to_string(), 200));
                }
                Incoming::Refused(refusal) => {
                    self.web = None;
                    return Err(web::refused(&refusal));
                }
                Incoming::Closed(closed) => {
                    let why = shown(&closed.to_string(), 200);
                    self.lost(&why);
                    if matches!(closed.advice, Advice::Stop | Advice::Nothing) {
                        return Err(Trouble::Nack(why));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The connection is gone.
    fn lost(&mut self, why: &str) {
        self.web = None;
        let unanswered: Vec<Number> = std::mem::take(&mut self.unanswered).into_values().collect();
        match unanswered.as_slice() {
            [] => {}
            [number] => refused(self.watch, *number, &format!("{why}; nobody knows whether it was")),
            [first, .., last] => {
                unanswered.iter().for_each(|_| self.watch.count_refused());
                let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
                let count = unanswered.len();
                self.watch.say(&format!(
                    "{count} of the lines {first} to {last} have no answer: {why}; nobody knows whether they were published"
                ));
            }
        }
    }
}
