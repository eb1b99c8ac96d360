//! The terminal tools `pushletd sub` and `pushletd pub`: clients of any Pushlet server, over the wire.
//!
//! They run in a process of their own and wait for one thing at a time, so they use blocking sockets and no runtime.
//! Everything that reads bytes is separate from what moves them: `answer` takes an HTTP answer apart, `reader`
//! finds the events in a body.
//!
//! Formats: `xml-strict` (the default: pushletd and the original both write it so that it can be read), `json`
//! (pushletd only) and `xml` (the original escapes nothing in it: events with quotes or angle brackets in a value are
//! skipped, and said to be). `js` is meant for browsers and `ser` for Java; neither is read here.
//!
//! Standard output has the events and nothing else. Standard error has counts, rates and what goes wrong. Exit codes: 0
//! all was well (a run that was stopped by a signal or by its reader too); 1 something was refused, or there is no use
//! in going on; 2 the command line makes no sense.

mod answer;
mod backoff;
mod event;
mod link;
mod publisher;
mod reader;
mod subscriber;
pub(super) mod target;
#[cfg(test)]
mod tests;
mod trouble;
mod watch;

use std::io::{BufReader, stdin};
use std::process::ExitCode;
use std::time::Duration;

use self::event::{checked_fields, parse_field, quoted};
use self::publisher::Source;
use self::subscriber::Output;
use self::target::Target;
use self::trouble::Trouble;
use self::watch::Watch;
use crate::limits::CLIENT_SILENCE_MS;
use crate::protocol::{Format, Mode};

/// The words behind `pushletd sub`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubArgs {
    /// Where the server is: `http://host:port/`, `host:port`, or the whole URL of its `pushlet.srv`.
    pub url: String,
    /// Subjects to subscribe to, at least one; each may be a comma list.
    pub subjects: Vec<String>,
    /// `xml-strict`, `xml` or `json`; empty means `xml-strict`.
    pub format: String,
    /// `stream`, `pull` or `poll`; empty means `stream`.
    pub transport: String,
    /// `text` (`SUBJECT name=value ...`) or `json` (an object a line); empty means `text`.
    pub output: String,
    /// End after so many events; `None` means never.
    pub count: Option<u64>,
    /// Show no counts on standard error.
    pub quiet: bool,
    /// Label of the subscriptions; it comes back in their events (rule P-20).
    pub label: Option<String>,
}

/// The words behind `pushletd pub`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PubArgs {
    /// Where the server is, as for `sub`.
    pub url: String,
    /// The subject of every event.
    pub subject: String,
    /// `name=value` words for one event, or a single `-`: each line of standard input is one event, either such words
    /// (quoted as `sub` prints them) or a JSON object.
    pub fields: Vec<String>,
    /// Only for the session with this address (rule P-23).
    pub to: Option<String>,
    /// Show no counts on standard error.
    pub quiet: bool,
}

/// The command line makes no sense.
const USAGE: u8 = 2;

/// Runs `pushletd sub` to its end.
#[must_use]
pub fn run_sub(args: SubArgs) -> ExitCode {
    let watch = Watch::new("received", args.quiet);
    match checked_sub(args) {
        Err(what) => usage(&watch, &what),
        Ok(wanted) => finish(&watch, |watch| {
            let seed = getrandom::u64().map_err(|error| Trouble::Link(format!("there is no randomness: {error}")))?;
            subscriber::run(&wanted, watch, seed, &mut std::io::stdout())
        }),
    }
}

/// Runs `pushletd pub` to its end.
#[must_use]
pub fn run_pub(args: PubArgs) -> ExitCode {
    let watch = Watch::new("published", args.quiet);
    match checked_pub(args) {
        Err(what) => usage(&watch, &what),
        Ok(wanted) => finish(&watch, |watch| publisher::run(&wanted, watch, Box::new(BufReader::new(stdin())))),
    }
}

fn usage(watch: &Watch, what: &str) -> ExitCode {
    watch.say(what);
    ExitCode::from(USAGE)
}

fn finish(watch: &Watch, run: impl FnOnce(&Watch) -> Result<(), Trouble>) -> ExitCode {
    if let Err(error) = watch.catch_signals() {
        watch.say(&format!("signals cannot be caught: {error}"));
    }
    let outcome = run(watch);
    if let Err(trouble) = &outcome {
        watch.say(&trouble.to_string());
    }
    watch.sum_up();
    if outcome.is_err() || watch.refused() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn checked_sub(args: SubArgs) -> Result<subscriber::Wanted, String> {
    let target = Target::parse(&args.url)?;
    if args.subjects.iter().all(|subject| subject.trim().is_empty()) {
        return Err("there is no subject to subscribe to".to_owned());
    }
    let format = match args.format.as_str() {
        "" => Format::XmlStrict,
        name => Format::from_name(name)
            .filter(|format| reader::EventReader::new(*format).is_some())
            .ok_or_else(|| format!("the format is xml-strict, xml or json, not {}", quoted(name)))?,
    };
    let mode = match args.transport.as_str() {
        "" => Mode::Stream,
        name => Mode::from_name(name)
            .ok_or_else(|| format!("the transport is stream, pull or poll, not {}", quoted(name)))?,
    };
    let output = match args.output.as_str() {
        "" | "text" => Output::Text,
        "json" => Output::Json,
        name => return Err(format!("the output is text or json, not {}", quoted(name))),
    };
    if args.count == Some(0) {
        return Err("the count is at least 1".to_owned());
    }
    let (subjects, count, label) = (args.subjects, args.count, args.label);
    let silence = Duration::from_millis(CLIENT_SILENCE_MS);
    Ok(subscriber::Wanted { target, subjects, format, mode, output, count, label, silence })
}

fn checked_pub(args: PubArgs) -> Result<publisher::Wanted, String> {
    let target = Target::parse(&args.url)?;
    if args.subject.is_empty() {
        return Err("the subject is empty".to_owned());
    }
    let source = match args.fields.as_slice() {
        [only] if only == "-" => Source::Lines,
        fields => {
            Source::Once(checked_fields(fields.iter().map(|field| parse_field(field)).collect::<Result<_, _>>()?)?)
        }
    };
    Ok(publisher::Wanted { target, subject: args.subject, source, to: args.to })
}
