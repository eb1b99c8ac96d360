//! `pushletd pub` at the modern door: one request for one event, or for as many lines of input as have come.
//!
//! Lines go in arrays, not in one body without end: each answer says of every line of its request what became of it, a line is published as
//! soon as it comes while lines are few, many go together while they are many, and a connection that breaks leaves one request in doubt.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::value::RawValue;

use super::backoff::Backoff;
use super::event::{Event, parse_line, shown};
use super::lines::Lines;
use super::link::{Line, Reply, door_post};
use super::object::Posted;
use super::target::Target;
use super::trouble::Trouble;
use super::watch::Watch;
use crate::limits::{BODY_BYTES_MAX, CLIENT_ANSWER_MS, POST_ITEMS_MAX};

/// What is published.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// One event with this data: JSON.
    Once(String),
    /// One event for each line of standard input: words or a JSON object.
    Lines,
    /// The same, and every line is JSON of any kind.
    JsonLines,
}

/// What is wanted, checked.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Where.
    pub(super) target: Target,
    /// The subject of every event.
    pub(super) subject: String,
    /// What to publish.
    pub(super) source: Source,
    /// What every event is called.
    pub(super) event: Option<String>,
    /// For one session only (rule P-23).
    pub(super) to: Option<String>,
    /// A request that is sent again with this key publishes once. For one event only.
    pub(super) idempotency_key: Option<String>,
}

/// A request that the server has no room for, or whose connection broke and which has a key, is sent so often.
const ATTEMPTS: u32 = 6;

/// One item of a request.
#[derive(Serialize)]
struct Item<'a> {
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    data: &'a RawValue,
}

/// An item that waits for its request, and the number of its line.
struct Waiting {
    number: u64,
    item: String,
}

struct Poster<'a> {
    wanted: &'a Wanted,
    watch: &'a Watch,
    line: Line<'a>,
    backoff: Backoff,
    /// The server has taken a request: there is such a door at this address, and it opens.
    taken_once: bool,
}

/// Publishes everything, and counts what the server refused. `lines` is asked for only if the events come from there.
///
/// # Errors
///
/// What makes it senseless to go on; the events before were published. [`Trouble::Stopped`] is not an error.
pub(super) fn run(wanted: &Wanted, watch: &Watch, seed: u64, lines: impl FnOnce() -> Lines) -> Result<(), Trouble> {
    let line = Line::new(&wanted.target, watch);
    let mut poster = Poster { wanted, watch, line, backoff: Backoff::new(seed), taken_once: false };
    let outcome = match &wanted.source {
        Source::Once(json) => poster.once(json),
        Source::Lines | Source::JsonLines => poster.lines(&lines()),
    };
    match outcome {
        Err(Trouble::Stopped) | Ok(()) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

impl Poster<'_> {
    fn once(&mut self, json: &str) -> Result<(), Trouble> {
        let item = self.item(json).map_err(Trouble::Nack)?;
        let reply = self.send(&item)?;
        if reply.head.status != 202 {
            self.refused(None, &reply.refusal().to_string());
            return Ok(());
        }
        if reply.head.replayed {
            self.watch.say("a request with this key was published before; nothing was published now");
        }
        self.watch.count_done();
        Ok(())
    }

    fn item(&self, json: &str) -> Result<String, String> {
        let data: &RawValue = serde_json::from_str(json).map_err(|error| format!("this is not JSON: {error}"))?;
        let (subject, event, to) = (&self.wanted.subject, self.wanted.event.as_deref(), self.wanted.to.as_deref());
        serde_json::to_string(&Item { subject, event, to, data }).map_err(|error| error.to_string())
    }

    fn lines(&mut self, lines: &Lines) -> Result<(), Trouble> {
        let mut waiting = VecDeque::new();
        loop {
            // The first line is waited for; those that have come meanwhile go with it.
            let first = match waiting.is_empty() {
                true => lines.next(self.watch)?,
                false => lines.next_at_once()?,
            };
            if let Some((number, line)) = first {
                self.take(number, &line, &mut waiting);
                if has_room(&waiting) {
                    continue;
                }
            } else if waiting.is_empty() {
                return Ok(());
            }
            self.publish(&mut waiting)?;
            self.watch.tick()?;
        }
    }

    /// Makes an item of a line; one that cannot be published is counted and said.
    fn take(&self, number: u64, line: &[u8], waiting: &mut VecDeque<Waiting>) {
        match self.read(line) {
            Ok(None) => {}
            Ok(Some(item)) => waiting.push_back(Waiting { number, item }),
            Err(what) => self.refused(Some(number), &shown(&what, 200)),
        }
    }

    fn read(&self, line: &[u8]) -> Result<Option<String>, String> {
        let Some(data) = self.wanted.data(line)? else { return Ok(None) };
        let item = self.item(&data)?;
        // The array around it.
        if item.len() + 2 > BODY_BYTES_MAX {
            return Err(format!("{} bytes are more than a server takes", item.len()));
        }
        Ok(Some(item))
    }

    fn refused(&self, number: Option<u64>, reason: &str) {
        refused(self.watch, number, reason);
    }
}

/// Counts and says what was not published.
pub(super) fn refused(watch: &Watch, number: Option<u64>, reason: &str) {
    watch.count_refused();
    match number {
        Some(number) => watch.say(&format!("line {number} was not published: {reason}")),
        None => watch.say(&format!("the event was not published: {reason}")),
    }
}

impl Wanted {
    /// The data of a line's event, as JSON; `None` for an empty line.
    ///
    /// # Errors
    ///
    /// It is neither words nor JSON; in words.
    pub(super) fn data(&self, line: &[u8]) -> Result<Option<String>, String> {
        if line.len() > BODY_BYTES_MAX {
            return Err(format!("it has more than the {BODY_BYTES_MAX} bytes that a server takes"));
        }
        let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?.trim();
        if line.is_empty() {
            return Ok(None);
        }
        let is_json = matches!(self.source, Source::JsonLines) || line.starts_with('{');
        Ok(Some(if is_json { line.to_owned() } else { Event::new(parse_line(line)?).to_json() }))
    }
}

impl Poster<'_> {
    /// Publishes as many of those that wait as one request takes, and tells what became of each.
    fn publish(&mut self, waiting: &mut VecDeque<Waiting>) -> Result<(), Trouble> {
        let mut body = String::from("[");
        let mut sent = Vec::new();
        while let Some(next) = waiting.front() {
            if !sent.is_empty() && (body.len() + next.item.len() + 2 > BODY_BYTES_MAX || sent.len() == POST_ITEMS_MAX) {
                break;
            }
            if !sent.is_empty() {
                body.push(',');
            }
            body.push_str(&next.item);
            sent.push(next.number);
            waiting.pop_front();
        }
        body.push(']');
        match self.send(&body) {
            Ok(reply) => self.tell(&sent, &reply),
            Err(Trouble::Link(what)) if self.taken_once => {
                sent.iter()
                    .for_each(|number| self.refused(Some(*number), &format!("{what}; nobody knows whether it was")));
                // The next request needs a connection; if there is none, that ends the run.
                self.taken_once = false;
                Ok(())
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Counts and says what became of each line of a request.
    fn tell(&mut self, sent: &[u64], reply: &Reply) -> Result<(), Trouble> {
        let posted: Posted = serde_json::from_slice(&reply.body).unwrap_or_default();
        if posted.results.len() == sent.len() {
            self.taken_once = true;
            for (number, outcome) in sent.iter().zip(&posted.results) {
                match outcome.status {
                    202 => self.watch.count_done(),
                    status => self.refused(Some(*number), &format!("{status} {}", shown(&outcome.detail, 200))),
                }
            }
            return Ok(());
        }
        match reply.head.status {
            202 => Err(Trouble::Nonsense("it does not say what became of each event".to_owned())),
            // Nothing was taken; it is the request as a whole that is refused, and the next one may fare better.
            400 | 413 | 422 | 429 | 503 if self.taken_once => {
                let reason = reply.refusal().to_string();
                sent.iter().for_each(|number| self.refused(Some(*number), &reason));
                Ok(())
            }
            _ => Err(reply.refusal()),
        }
    }

    /// Sends a request; again, when the server asks for that. A connection that broke is another matter: without a key nobody knows whether
    /// the request was carried out.
    fn send(&mut self, body: &str) -> Result<Reply, Trouble> {
        let key = self.wanted.idempotency_key.as_deref();
        let request = door_post(&self.wanted.target, body, key);
        for attempt in 1..=ATTEMPTS {
            let outcome = self.line.ask(&request, self.watch.patience(CLIENT_ANSWER_MS));
            let trouble = match &outcome {
                Ok(reply) if matches!(reply.head.status, 429 | 503) => reply.refusal(),
                Ok(reply) if reply.head.status == 409 && key.is_some() => reply.refusal(),
                Err(Trouble::Link(what)) if key.is_some() => Trouble::Link(what.clone()),
                _ => {
                    self.backoff.reset();
                    return outcome;
                }
            };
            if attempt == ATTEMPTS {
                return outcome;
            }
            let pause = self.backoff.pause(&trouble);
            self.watch.say(&format!("{trouble}; trying again in {:.1} s", pause.as_secs_f64()));
            self.watch.sleep(pause)?;
        }
        Err(Trouble::Link("no attempt was made".to_owned()))
    }
}

/// Whether another line may go with those that wait.
fn has_room(waiting: &VecDeque<Waiting>) -> bool {
    let bytes: usize = waiting.iter().map(|waiting| waiting.item.len() + 1).sum();
    waiting.len() < POST_ITEMS_MAX && bytes + 2 < BODY_BYTES_MAX
}
