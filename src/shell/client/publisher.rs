//! `pushletd pub` at the Pushlet door: joins, publishes one event or one for each line of input, leaves.

use std::io::BufRead;

use super::event::{parse_line, shown};
use super::lines::Lines;
use super::link::Line;
use super::target::Target;
use super::trouble::Trouble;
use super::watch::Watch;
use crate::limits::BODY_BYTES_MAX;
use crate::protocol::Format;

/// Where the events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// One event of these fields.
    Once(Vec<(String, String)>),
    /// One event for each line of standard input.
    Lines,
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
    /// For one session only (rule P-23).
    pub(super) to: Option<String>,
}

/// The tool reads acks only, and every Pushlet server writes this one properly.
const FORMAT: Format = Format::XmlStrict;

struct Publisher<'a> {
    wanted: &'a Wanted,
    watch: &'a Watch,
    line: Line<'a>,
    id: Option<String>,
}

/// Publishes everything, and counts what the server refused. `input` is read only if the events come from lines.
///
/// # Errors
///
/// What makes it senseless to go on; the events before were published. [`Trouble::Stopped`] is not an error.
pub(super) fn run(wanted: &Wanted, watch: &Watch, input: Box<dyn BufRead + Send>) -> Result<(), Trouble> {
    let line = Line::new(&wanted.target, watch);
    let mut publisher = Publisher { wanted, watch, line, id: None };
    let outcome = match &wanted.source {
        Source::Once(fields) => publisher.publish_counted(fields, None),
        Source::Lines => publisher.publish_lines(input),
    };
    watch.begin_leaving();
    if let Some(id) = publisher.id.take() {
        let _ = publisher.line.control(FORMAT, &[("p_event", "leave"), ("p_id", &id)]);
    }
    match outcome {
        Err(Trouble::Stopped) | Ok(()) => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

impl Publisher<'_> {
    fn publish_lines(&mut self, input: Box<dyn BufRead + Send>) -> Result<(), Trouble> {
        self.session()?;
        let lines = Lines::read(input);
        while let Some((number, line)) = lines.next(self.watch)? {
            let read = String::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned());
            match read.and_then(|line| if line.trim().is_empty() { Ok(None) } else { parse_line(&line).map(Some) }) {
                Ok(None) => {}
                Ok(Some(fields)) => self.publish_counted(&fields, Some(number))?,
                Err(what) => self.refused(Some(number), &shown(&what, 200)),
            }
        }
        Ok(())
    }

    fn refused(&self, number: Option<u64>, reason: &str) {
        self.watch.count_refused();
        match number {
            Some(number) => self.watch.say(&format!("line {number} was not published: {reason}")),
            None => self.watch.say(&format!("the event was not published: {reason}")),
        }
    }

    /// Publishes one event. What concerns this event only is counted and said; the rest is an error.
    fn publish_counted(&mut self, fields: &[(String, String)], number: Option<u64>) -> Result<(), Trouble> {
        match self.publish(fields) {
            Ok(()) => self.watch.count_done(),
            Err(trouble @ (Trouble::Nack(_) | Trouble::Refused { .. })) if self.id.is_some() => {
                self.refused(number, &trouble.to_string());
            }
            Err(Trouble::Link(what)) if self.id.is_some() => {
                self.refused(number, &format!("{what}; nobody knows whether it was"));
                // The next one needs a connection; if there is none, that ends the run.
                self.id = None;
            }
            Err(trouble) => return Err(trouble),
        }
        self.watch.tick()
    }

    fn publish(&mut self, fields: &[(String, String)]) -> Result<(), Trouble> {
        match self.publish_once(fields) {
            // The session has expired; the event was not taken, so it may be sent again.
            Err(trouble) if trouble.is_unknown_session() => {
                self.id = None;
                self.publish_once(fields)
            }
            outcome => outcome,
        }
    }

    fn publish_once(&mut self, fields: &[(String, String)]) -> Result<(), Trouble> {
        let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let id = self.session()?;
        if size > BODY_BYTES_MAX {
            return Err(Trouble::Nack(format!("{size} bytes are more than a server takes")));
        }
        let mut all = vec![("p_event", "publish"), ("p_id", id.as_str()), ("p_subject", self.wanted.subject.as_str())];
        all.extend(self.wanted.to.as_ref().map(|to| ("p_to", to.as_str())));
        all.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let acks = self.line.control(FORMAT, &all)?;
        if acks.iter().any(|ack| ack.kind() == "publish-ack") {
            Ok(())
        } else {
            Err(Trouble::Nack("it sent no publish-ack".to_owned()))
        }
    }

    /// The session; joins if there is none.
    fn session(&mut self) -> Result<String, Trouble> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let acks = self.line.control(FORMAT, &[("p_event", "join"), ("p_format", FORMAT.name())])?;
        let id = acks.iter().find(|ack| ack.kind() == "join-ack").and_then(|ack| ack.get("p_id"));
        let id =
            id.ok_or_else(|| Trouble::Nonsense("it does not answer a join with a join-ack".to_owned()))?.to_owned();
        self.id = Some(id.clone());
        Ok(id)
    }
}
