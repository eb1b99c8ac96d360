//! The terminal tools `pushletd sub` and `pushletd pub`: clients of any Pushlet server, and of the modern doors of pushletd, over the wire.
//!
//! They run in a process of their own and wait for one thing at a time, so they use blocking sockets and no runtime.
//! Everything that reads bytes is separate from what moves them: [`crate::client`] takes HTTP answers apart, `reader`
//! finds the events in a Pushlet body, `sse` those of a stream of Server-Sent Events, `object` reads the JSON of the modern doors. A WebSocket (`web`) is a
//! [`crate::client::Conversation`].
//!
//! `pub` speaks to the Pushlet door unless it is told otherwise, because every server has that one; what only the modern door can do
//! (JSON, a name, an idempotency key) leads there by itself.
//!
//! Formats of the Pushlet door: `xml-strict` (the default: pushletd and the original both write it so that it can be read), `json`
//! (pushletd only) and `xml` (the original escapes nothing in it: events with quotes or angle brackets in a value are
//! skipped, and said to be). `js` is meant for browsers and `ser` for Java; neither is read here.
//!
//! Standard output has the events and nothing else. Standard error has counts, rates and what goes wrong. Exit codes: 0
//! all was well (a run that was stopped by a signal or by its reader too); 1 something was refused, or there is no use
//! in going on; 2 the command line makes no sense.

mod backoff;
mod event;
pub(super) mod key;
mod lines;
mod link;
mod listener;
mod object;
mod post;
mod printer;
mod publisher;
mod reader;
mod speaker;
mod sse;
mod subscriber;
pub(super) mod target;
#[cfg(test)]
mod tests;
pub(super) mod transport;
mod trouble;
mod watch;
mod web;

use std::io::{BufReader, stdin};
use std::process::ExitCode;
use std::time::Duration;

use self::event::{Event, checked_fields, parse_field, quoted};
use self::key::Key;
use self::lines::Lines;
use self::listener::Door;
use self::printer::Output;
use self::target::Target;
use self::transport::Transport;
use self::trouble::Trouble;
use self::watch::Watch;
use crate::limits::{CLIENT_SILENCE_MS, IDEMPOTENCY_KEY_BYTES_MAX};
use crate::protocol::{EventName, Format};

/// The words behind `pushletd sub`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubArgs {
    /// Where the server is: `http://host:port/`, `host:port`, or the whole URL of its `pushlet.srv`.
    pub url: String,
    /// Subjects to subscribe to, at least one; each may be a comma list. At the Pushlet door they are beginnings, at the modern doors exact
    /// or patterns with `*` and `**`.
    pub subjects: Vec<String>,
    /// `xml-strict`, `xml` or `json`; empty means `xml-strict`. For the Pushlet door.
    pub format: String,
    /// `stream`, `pull` or `pushlet-poll` for the Pushlet door, `sse`, `poll` or `ws` for the modern ones; empty means `stream`.
    pub transport: String,
    /// `text` (`SUBJECT name=value ...`) or `json` (an object a line); empty means `text`.
    pub output: String,
    /// End after so many events; `None` means never.
    pub count: Option<u64>,
    /// Show no counts on standard error.
    pub quiet: bool,
    /// Label of the subscriptions; it comes back in their events (rule P-20). For the Pushlet door.
    pub label: Option<String>,
    /// The file with the secret to present; without it `PUSHLETD_KEY` is looked for.
    pub key: Option<String>,
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
    /// JSON that is the event's data, instead of fields; `-`: each line of standard input is that. At the modern doors only.
    pub json: Option<String>,
    /// `pushlet`, `http` or `ws`; empty means `pushlet`, or `http` where only the modern doors can do what is wanted.
    pub transport: String,
    /// What the events are called. At the modern doors only.
    pub event: Option<String>,
    /// A key with which the same request publishes once. For one event, by `http` only.
    pub idempotency_key: Option<String>,
    /// Only for the session with this address (rule P-23).
    pub to: Option<String>,
    /// The file with the secret to present; without it `PUSHLETD_KEY` is looked for.
    pub key: Option<String>,
    /// Show no counts on standard error.
    pub quiet: bool,
}

/// The command line makes no sense.
const USAGE: u8 = 2;

/// What `pushletd sub` is to do, checked.
#[derive(Debug)]
enum Sub {
    /// At the Pushlet door.
    Pushlet(subscriber::Wanted),
    /// At a modern door.
    Modern(listener::Wanted),
}

/// What `pushletd pub` is to do, checked.
#[derive(Debug)]
enum Pub {
    /// At the Pushlet door.
    Pushlet(publisher::Wanted),
    /// At the modern door.
    Http(post::Wanted),
    /// Over a WebSocket.
    Web(post::Wanted),
}

/// Runs `pushletd sub` to its end.
#[must_use]
pub fn run_sub(args: SubArgs) -> ExitCode {
    let watch = Watch::new("received", args.quiet);
    match checked_sub(args) {
        Err(what) => usage(&watch, &what),
        Ok(wanted) => finish(&watch, |watch| match wanted {
            Sub::Pushlet(wanted) => subscriber::run(&wanted, watch, seed()?, &mut std::io::stdout()),
            Sub::Modern(wanted) => listener::run(&wanted, watch, seed()?, &mut std::io::stdout()),
        }),
    }
}

/// Runs `pushletd pub` to its end.
#[must_use]
pub fn run_pub(args: PubArgs) -> ExitCode {
    let watch = Watch::new("published", args.quiet);
    let input = || Box::new(BufReader::new(stdin()));
    match checked_pub(args) {
        Err(what) => usage(&watch, &what),
        Ok(wanted) => finish(&watch, |watch| match wanted {
            Pub::Pushlet(wanted) => publisher::run(&wanted, watch, input()),
            Pub::Http(wanted) => post::run(&wanted, watch, seed()?, || Lines::read(input())),
            Pub::Web(wanted) => speaker::run(&wanted, watch, seed()?, || Lines::read(input())),
        }),
    }
}

fn seed() -> Result<u64, Trouble> {
    getrandom::u64().map_err(|error| Trouble::Link(format!("there is no randomness: {error}")))
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

fn target(url: &str, key: Option<&str>) -> Result<Target, String> {
    Ok(Target { key: Key::find(key)?, ..Target::parse(url)? })
}

fn checked_sub(args: SubArgs) -> Result<Sub, String> {
    let target = target(&args.url, args.key.as_deref())?;
    if args.subjects.iter().all(|subject| subject.trim().is_empty()) {
        return Err("there is no subject to subscribe to".to_owned());
    }
    let transport = match args.transport.as_str() {
        "" => Transport::default(),
        name => Transport::from_name(name).ok_or_else(|| {
            let names = Transport::ALL.map(Transport::name).join(", ");
            format!("the transport is one of {names}, not {}", quoted(name))
        })?,
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
    let Transport::Pushlet(mode) = transport else {
        let name = transport.name();
        match args.format.as_str() {
            "" | "json" => {}
            other => return Err(format!("the format of {name} is json, not {}", quoted(other))),
        }
        if label.is_some() {
            return Err(format!("--label is for the Pushlet door; {name} has none"));
        }
        let door = match transport {
            Transport::EventStream => Door::EventStream,
            Transport::WebSocket => Door::WebSocket,
            _ => Door::LongPoll,
        };
        let wanted = listener::Wanted { target, subjects, door, output, count, silence };
        wanted.check()?;
        return Ok(Sub::Modern(wanted));
    };
    let format = match args.format.as_str() {
        "" => Format::XmlStrict,
        name => Format::from_name(name)
            .filter(|format| reader::EventReader::new(*format).is_some())
            .ok_or_else(|| format!("the format is xml-strict, xml or json, not {}", quoted(name)))?,
    };
    Ok(Sub::Pushlet(subscriber::Wanted { target, subjects, format, mode, output, count, label, silence }))
}

fn checked_pub(args: PubArgs) -> Result<Pub, String> {
    let target = target(&args.url, args.key.as_deref())?;
    if args.subject.is_empty() {
        return Err("the subject is empty".to_owned());
    }
    if args.json.is_some() && !args.fields.is_empty() {
        return Err("there are fields or --json, not both".to_owned());
    }
    let only_http = [
        ("--json", args.json.is_some()),
        ("--event", args.event.is_some()),
        ("--idempotency-key", args.idempotency_key.is_some()),
    ];
    // What fewest doors can do is looked for first.
    let only_http = only_http.into_iter().rev().find(|(_, given)| *given).map(|(name, _)| name);
    match (args.transport.as_str(), only_http) {
        ("", None) | ("pushlet", None) => checked_pushlet_pub(target, args).map(Pub::Pushlet),
        ("http", _) | ("", Some(_)) => checked_http_pub(target, args).map(Pub::Http),
        ("ws", Some(name @ "--idempotency-key")) | ("pushlet", Some(name)) => {
            Err(format!("{name} is for the transport http"))
        }
        ("ws", _) => checked_http_pub(target, args).map(Pub::Web),
        (name, _) => Err(format!("the transport is pushlet, http or ws, not {}", quoted(name))),
    }
}

fn read_fields(fields: &[String]) -> Result<Vec<(String, String)>, String> {
    checked_fields(fields.iter().map(|field| parse_field(field)).collect::<Result<_, _>>()?)
}

fn checked_pushlet_pub(target: Target, args: PubArgs) -> Result<publisher::Wanted, String> {
    let source = match args.fields.as_slice() {
        [only] if only == "-" => publisher::Source::Lines,
        fields => publisher::Source::Once(read_fields(fields)?),
    };
    Ok(publisher::Wanted { target, subject: args.subject, source, to: args.to })
}

fn checked_http_pub(target: Target, args: PubArgs) -> Result<post::Wanted, String> {
    let source = match (args.json.as_deref(), args.fields.as_slice()) {
        (Some("-"), _) => post::Source::JsonLines,
        (Some(text), _) => {
            serde_json::from_str::<serde::de::IgnoredAny>(text)
                .map_err(|error| format!("--json is not JSON: {error}"))?;
            post::Source::Once(text.to_owned())
        }
        (None, [only]) if only == "-" => post::Source::Lines,
        (None, fields) => post::Source::Once(Event::new(read_fields(fields)?).to_json()),
    };
    if let Some(name) = &args.event {
        EventName::new(name).map_err(|error| format!("--event: {error}"))?;
    }
    if let Some(key) = &args.idempotency_key {
        let fits =
            (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(format!("--idempotency-key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"));
        }
        if !matches!(source, post::Source::Once(_)) {
            return Err("--idempotency-key is for one event, not for lines".to_owned());
        }
    }
    let (subject, event, to, idempotency_key) = (args.subject, args.event, args.to, args.idempotency_key);
    Ok(post::Wanted { target, subject, source, event, to, idempotency_key })
}
