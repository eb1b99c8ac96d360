//! Requests of the Pushlet door: bytes to a command. Nothing is judged here but whether it can be read.

use std::fmt;

use crate::limits::{ECHO_CHARS_MAX, FIELDS_MAX};
use crate::protocol::{Agent, ClaimedId, Command, Fields, Format, FormatName, Listen, Mode, ModeName};

use super::post::post_fields;
use crate::wire::blocks::all;

/// What a GET or POST brought, as far as the Pushlet door reads it.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Whether it is a POST; its query string is then ignored, as the original does.
    pub post: bool,
    /// The path, undecoded and without the query. It names the door and nothing else.
    pub path: &'a str,
    /// What stands behind the `?`, undecoded; empty if nothing does.
    pub query: &'a [u8],
    /// The body, transfer coding removed; at most [`BODY_BYTES_MAX`](crate::limits::BODY_BYTES_MAX) bytes.
    pub body: &'a [u8],
    /// The User-Agent header.
    pub user_agent: Option<&'a str>,
    /// Parts of agents that must pull (rule P-18), in lower case.
    pub force_pull_agents: &'a [String],
}

/// A request that cannot be read. The client is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The HTTP status to answer with: 400.
    pub status: u16,
    /// What a person may be told. Parts that came from the client are cut and escaped for HTML.
    pub reason: String,
}

impl RequestError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { status: 400, reason: reason.into() }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for RequestError {}

/// P-1: whether `path` (undecoded, without the query) is an address of the Pushlet door: the last segment, without its
/// `;parameters`, is `pushlet.srv`. Letter case counts; what stands before it does not matter.
#[must_use]
pub fn is_pushlet_path(path: &str) -> bool {
    let segment = path.rsplit('/').next().unwrap_or(path);
    segment.split(';').next() == Some("pushlet.srv")
}

/// Reads a request sent to a path of the Pushlet door.
///
/// # Errors
///
/// [`RequestError`] with status 400 if there is no `p_event` (P-8), if there are more than [`FIELDS_MAX`] fields, or if
/// a POST body cannot be read (P-3).
pub fn read(incoming: &Incoming<'_>) -> Result<(Command, Agent), RequestError> {
    let fields = if incoming.post { post_fields(incoming.body)? } else { query_fields(incoming.query)? };
    let command = command(fields)?;
    Ok((command, agent(incoming.user_agent, incoming.force_pull_agents)))
}

/// P-2: reads `name=value` pairs between `&`, as in a query or a form. `+` is a blank, `%xx` a byte of UTF-8; raw UTF-8
/// is accepted. Bytes that are no UTF-8 become U+FFFD. A `%` without two hexadecimal digits stays a `%`, as in
/// browsers: the old page client encodes nothing and is dead for good after an answer of 400, so a chat line with
/// `100%` had better pass. A pair without `=` has an empty value, one without a name is ignored, and the first of a
/// repeated name wins.
///
/// # Errors
///
/// [`RequestError`] if more than [`FIELDS_MAX`] pairs come, repeated ones included.
pub fn query_fields(query: &[u8]) -> Result<Fields, RequestError> {
    // Decoded, it is no longer than it came, but for bytes that are no UTF-8.
    let mut collector = Collector { fields: Fields::with_room(query.len()), seen: 0 };
    for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if let Some((name, value)) = plain_pair(pair) {
            collector.add(name, value)?;
            continue;
        }
        for (name, value) in form_urlencoded::parse(pair) {
            collector.add(&name, &value)?;
        }
    }
    Ok(collector.into_fields())
}

/// A pair that decoding would leave as it is, and most are that.
fn plain_pair(pair: &[u8]) -> Option<(&str, &str)> {
    if !all(pair, |byte| (byte != b'%') & (byte != b'+') & byte.is_ascii()) {
        return None;
    }
    let pair = std::str::from_utf8(pair).ok()?;
    Some(pair.split_once('=').unwrap_or((pair, "")))
}

/// P-8: `prefix` and behind it what the client sent, cut at [`ECHO_CHARS_MAX`] characters and then escaped for HTML:
/// `error_text("Invalid or expired id: ", id)`.
#[must_use]
pub fn error_text(prefix: &str, echoed: &str) -> String {
    let mut text = String::with_capacity(prefix.len() + ECHO_CHARS_MAX);
    text.push_str(prefix);
    for letter in echoed.chars().take(ECHO_CHARS_MAX) {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            _ => text.push(letter),
        }
    }
    text
}

/// Fields on their way in: the first of a name wins (P-2), nameless ones are ignored, and their number is bounded.
#[derive(Default)]
pub(super) struct Collector {
    fields: Fields,
    seen: usize,
}

impl Collector {
    /// Takes a field that came.
    pub(super) fn add(&mut self, name: &str, value: &str) -> Result<(), RequestError> {
        if self.seen == FIELDS_MAX {
            return Err(RequestError::new(format!("Too many fields, at most {FIELDS_MAX} are allowed")));
        }
        self.seen += 1;
        if !name.is_empty() {
            self.fields.add_first(name, value);
        }
        Ok(())
    }

    pub(super) fn into_fields(self) -> Fields {
        self.fields
    }
}

/// P-5: what the fields ask for. A missing or empty `p_event` is an error however they came (P-8).
fn command(fields: Fields) -> Result<Command, RequestError> {
    let Some(name) = fields.get("p_event").filter(|name| !name.is_empty()) else {
        return Err(RequestError::new("No eventType specified"));
    };
    let id = ClaimedId::from_field(fields.get("p_id"));
    let boxed = |name| fields.get(name).map(Box::from);
    Ok(match name {
        "join" => Command::Join { format: format_name(&fields) },
        "join-listen" => Command::JoinListen { format: format_name(&fields), listen: listen(&fields) },
        "listen" => Command::Listen { id, listen: listen(&fields) },
        "refresh" => Command::Refresh { id },
        "subscribe" => Command::Subscribe { id, subject: boxed("p_subject"), label: boxed("p_label") },
        "unsubscribe" => Command::Unsubscribe { id, sid: boxed("p_sid") },
        "publish" => {
            let (subject, to) = (boxed("p_subject"), boxed("p_to"));
            Command::Publish { id, subject, to, fields }
        }
        "hb" => Command::Heartbeat { id },
        "leave" => Command::Leave { id },
        _ => {
            let format = fields.get("p_format").and_then(Format::from_name);
            Command::Unknown { id, name: Box::from(name), format }
        }
    })
}

/// P-9: `js` if none is named.
fn format_name(fields: &Fields) -> FormatName {
    fields.get("p_format").map_or(FormatName::Known(Format::default()), |name| {
        Format::from_name(name).map_or_else(|| FormatName::Unknown(Box::from(name)), FormatName::Known)
    })
}

fn listen(fields: &Fields) -> Listen {
    let mode = fields.get("p_mode").map_or(ModeName::Known(Mode::default()), |name| {
        Mode::from_name(name).map_or_else(|| ModeName::Unknown(Box::from(name)), ModeName::Known)
    });
    let boxed = |name| fields.get(name).map(Box::from);
    Listen {
        mode,
        subject: boxed("p_subject"),
        label: boxed("p_label"),
        queue: boxed("p_queue"),
        overflow: boxed("p_overflow"),
    }
}

fn agent(user_agent: Option<&str>, force_pull_agents: &[String]) -> Agent {
    let Some(text) = user_agent else { return Agent::default() };
    // P-18: an empty entry would be part of every agent.
    let entries = || force_pull_agents.iter().filter(|entry| !entry.is_empty());
    let lower = if entries().next().is_some() { text.to_lowercase() } else { String::new() };
    Agent {
        java: text.contains("Java/"),
        force_pull: entries().any(|entry| lower.contains(entry.as_str())),
        ..Agent::default()
    }
}

#[cfg(test)]
mod tests;
