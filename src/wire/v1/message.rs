//! What is said over a WebSocket: JSON objects, one a message or several in an array (subprotocol `pushlet.v1.json`).
//!
//! An event is the object that the other modern doors tell it by. Everything else has a `type`.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU16;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::{end_members, names};
use super::opening::singly;
use super::publish::{Written, present, publication_of, unreadable_as};
use crate::limits::{ECHO_CHARS_MAX, POST_ITEMS_MAX, SUBSCRIPTIONS_MAX, WS_REQUEST_ID_BYTES_MAX};
use crate::protocol::{EndReason, Posted, Problem, Publication, SubscriptionWish, WantedSubscription};
use crate::wire::quoted::string;

/// The subprotocol that a client may ask for (RFC 6455 section 1.9).
pub const SUBPROTOCOL: &str = "pushlet.v1.json";

/// The `id` of a request, as it came: its answer repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// The text of an `id`: a whole number from 0 to 2^53-1, which every reader of JSON tells exactly, or a string of 1 to
    /// [`WS_REQUEST_ID_BYTES_MAX`] bytes.
    fn new(raw: &RawValue) -> Result<Self, Problem> {
        let text = raw.get();
        let is_number = || text.parse::<u64>().is_ok_and(|number| number < 1 << 53 && !text.starts_with('+'));
        let is_string = || {
            serde_json::from_str::<Cow<'_, str>>(text).is_ok_and(|id| (1..=WS_REQUEST_ID_BYTES_MAX).contains(&id.len()))
        };
        if is_number() || is_string() {
            return Ok(Self(Box::from(text)));
        }
        let detail = format!(
            "id is a whole number from 0 to 9007199254740991 or a string of 1 to {WS_REQUEST_ID_BYTES_MAX} bytes."
        );
        Err(Problem::field("id", detail).limit(WS_REQUEST_ID_BYTES_MAX))
    }
}

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// More events: each pattern is a subscription of its own.
    Subscribe(Vec<WantedSubscription>),
    /// Fewer.
    Unsubscribe(Vec<Box<str>>),
    /// An event for others.
    Publish(Publication),
    /// A sign of life.
    Ping,
}

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsRequest {
    /// What its answer is to repeat. Without it there is none, unless it is a refusal.
    pub id: Option<RequestId>,
    /// What it wants, or why it is refused.
    pub wanted: Result<Wanted, Problem>,
}

/// Where the requests of a message stand in it: it is one, or an array of them. Each is read when it is its turn ([`request`]), so that what waits
/// is no larger than the message.
///
/// # Errors
///
/// A 400 if it is no JSON or of neither kind, a 413 if it holds more than [`POST_ITEMS_MAX`] requests. A bad request among others is a request
/// that is refused.
pub fn requests(text: &str) -> Result<Vec<Range<usize>>, Problem> {
    if !text.trim_ascii_start().starts_with('[') {
        return Ok(std::iter::once(0..text.len()).collect());
    }
    let list: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| unreadable_message(text, &error))?;
    match list.len() {
        0 => Err(Problem::new(400, "The array is empty: it holds no request.")),
        len if len > POST_ITEMS_MAX => {
            let detail = format!("A message may hold {POST_ITEMS_MAX} requests, this one holds {len}.");
            Err(Problem::new(413, detail).limit(POST_ITEMS_MAX))
        }
        _ => Ok(list.into_iter().map(|raw| place_in(text, raw.get())).collect()),
    }
}

/// Where a part of `text` stands.
fn place_in(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

/// A request as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    queue: Option<u64>,
    conflate: Option<bool>,
    subjects: Option<Vec<String>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    base64: Option<String>,
    content_type: Option<String>,
    event: Option<String>,
    to: Option<String>,
}

/// What is left of a request that cannot be read: perhaps the id, so that its client learns which one it was.
#[derive(Deserialize)]
struct Rest<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Reads one request.
#[must_use]
pub fn request(text: &str) -> WsRequest {
    if !text.trim_ascii_start().starts_with('{') {
        let problem = match serde_json::from_str::<IgnoredAny>(text) {
            Err(error) => unreadable_message(text, &error),
            Ok(_) => Problem::new(400, "A request is an object with a type: subscribe, unsubscribe, publish or ping."),
        };
        return WsRequest { id: None, wanted: Err(problem) };
    }
    let frame: Frame<'_> = match serde_json::from_str(text) {
        Ok(frame) => frame,
        Err(error) => {
            let rest = serde_json::from_str::<Rest<'_>>(text).ok().and_then(|rest| rest.id);
            let id = rest.and_then(|raw| RequestId::new(raw).ok());
            return WsRequest { id, wanted: Err(unreadable_message(text, &error)) };
        }
    };
    match frame.id.map(RequestId::new).transpose() {
        Err(problem) => WsRequest { id: None, wanted: Err(problem) },
        Ok(id) => WsRequest { id, wanted: wanted(frame) },
    }
}

/// A message is no field of something larger.
fn unreadable_message(text: &str, error: &serde_json::Error) -> Problem {
    Problem { field: None, ..unreadable_as("request", text, error) }
}

fn wanted(frame: Frame<'_>) -> Result<Wanted, Problem> {
    let Some(kind) = frame.kind.as_deref() else {
        return Err(Problem::field("type", "A request has a type: subscribe, unsubscribe, publish or ping."));
    };
    let told = [
        ("queue", frame.queue.is_some(), &["subscribe"][..]),
        ("conflate", frame.conflate.is_some(), &["subscribe"]),
        ("subject", frame.subject.is_some(), &["subscribe", "unsubscribe", "publish"]),
        ("subjects", frame.subjects.is_some(), &["publish"]),
        ("data", frame.data.is_some(), &["publish"]),
        ("base64", frame.base64.is_some(), &["publish"]),
        ("content_type", frame.content_type.is_some(), &["publish"]),
        ("event", frame.event.is_some(), &["publish"]),
        ("to", frame.to.is_some(), &["publish"]),
    ];
    let known = ["subscribe", "unsubscribe", "publish", "ping"];
    if known.contains(&kind)
        && let Some((name, ..)) = told.iter().find(|(_, is_there, kinds)| *is_there && !kinds.contains(&kind))
    {
        return Err(Problem::field(name, format!("A request of type {kind} has no {name}.")));
    }
    match kind {
        "subscribe" => {
            let queue = frame.queue.map(queue).transpose()?;
            let wish = SubscriptionWish { queue, conflate: frame.conflate.unwrap_or_default() };
            let lists = lists(frame.subject)?;
            Ok(Wanted::Subscribe(lists.iter().flat_map(|list| singly(list, wish)).collect()))
        }
        "unsubscribe" => {
            Ok(Wanted::Unsubscribe(lists(frame.subject)?.into_iter().map(String::into_boxed_str).collect()))
        }
        "publish" => publication(frame).map(Wanted::Publish),
        "ping" => Ok(Wanted::Ping),
        _ => {
            let shown: String = kind.chars().take(ECHO_CHARS_MAX).collect();
            let detail = format!("There is no type {shown}: it is subscribe, unsubscribe, publish or ping.");
            Err(Problem::field("type", detail))
        }
    }
}

fn queue(events: u64) -> Result<NonZeroU16, Problem> {
    // What is more than any bound is no wish.
    let events = u16::try_from(events).unwrap_or(u16::MAX);
    NonZeroU16::new(events).ok_or_else(|| Problem::field("queue", "queue is a number of events, at least 1."))
}

/// One subject or several.
fn lists(subject: Option<&RawValue>) -> Result<Vec<String>, Problem> {
    let Some(raw) = subject else {
        return Err(Problem::field("subject", "No subject is named: subject is a text, or an array of texts."));
    };
    let found = match serde_json::from_str::<String>(raw.get()) {
        Ok(one) => Ok(vec![one]),
        Err(_) => serde_json::from_str::<Few>(raw.get()).map(|few| few.0),
    };
    match found {
        Ok(lists) if lists.iter().flat_map(|list| list.split(',')).count() > SUBSCRIPTIONS_MAX => {
            let detail = format!("A request may name {SUBSCRIPTIONS_MAX} subjects: a session can have no more.");
            Err(Problem::field("subject", detail).limit(SUBSCRIPTIONS_MAX))
        }
        Ok(lists) if !lists.is_empty() => Ok(lists),
        _ => Err(Problem::field("subject", "subject is a text, or an array of texts that is not empty.")),
    }
}

/// The first of many texts: one more than may be named, so that it is seen that there are too many.
struct Few(Vec<String>);

impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Few;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of texts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Few, A::Error> {
                let mut found = Vec::new();
                while found.len() <= SUBSCRIPTIONS_MAX
                    && let Some(item) = items.next_element()?
                {
                    found.push(item);
                }
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Few(found))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

fn publication(frame: Frame<'_>) -> Result<Publication, Problem> {
    let one = frame.subject.map(|raw| serde_json::from_str::<Cow<'_, str>>(raw.get()));
    let subject = one.transpose().map_err(|_| {
        Problem::field("subject", "subject is a text; for several there is subjects, an array of texts.")
    })?;
    let Frame { subjects, data, base64, content_type, event, to, .. } = frame;
    publication_of(&Written { subject, subjects, data, base64, content_type, event, to })
}

/// Appends the first message of a WebSocket: what the session is. A client that names the end of an earlier stream is told in a second one that
/// nothing can be replayed; `message` gets each as it is.
pub fn session_messages(
    (id, address): (&str, &str),
    heartbeat_ms: u64,
    message_max: u32,
    last_event_id: Option<&str>,
    mut message: impl FnMut(&[u8]),
) {
    let mut text = Vec::with_capacity(192);
    text.extend_from_slice(b"{\"type\":\"session\",");
    names(id, address, &mut text);
    text.extend_from_slice(b",\"heartbeat_ms\":");
    text.extend_from_slice(itoa::Buffer::new().format(heartbeat_ms).as_bytes());
    text.extend_from_slice(b",\"message_max\":");
    text.extend_from_slice(itoa::Buffer::new().format(message_max).as_bytes());
    if last_event_id.is_some() {
        text.extend_from_slice(b",\"reset\":true");
    }
    text.push(b'}');
    message(&text);
    if let Some(last) = last_event_id {
        text.clear();
        text.extend_from_slice(b"{\"type\":\"reset\",\"reason\":\"no-history\",\"last_event_id\":");
        string(last, &mut text);
        text.push(b'}');
        message(&text);
    }
}

/// The last message: why the session ends, what its client should do, and after how many milliseconds.
#[must_use]
pub fn end_message(reason: EndReason, retry_ms: u32) -> Vec<u8> {
    let mut text = Vec::with_capacity(192);
    text.extend_from_slice(b"{\"type\":\"end\",");
    end_members(reason, &mut text);
    text.extend_from_slice(b",\"action\":");
    string(reason.client_action().name(), &mut text);
    text.extend_from_slice(b",\"retry_ms\":");
    text.extend_from_slice(itoa::Buffer::new().format(retry_ms).as_bytes());
    text.push(b'}');
    text
}

fn begin(kind: &str, id: Option<&RequestId>) -> Vec<u8> {
    let mut text = Vec::with_capacity(96);
    text.extend_from_slice(b"{\"type\":");
    string(kind, &mut text);
    if let Some(RequestId(id)) = id {
        text.extend_from_slice(b",\"id\":");
        text.extend_from_slice(id.as_bytes());
    }
    text
}

fn number(name: &str, value: u64, text: &mut Vec<u8>) {
    text.push(b',');
    string(name, text);
    text.push(b':');
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Says that a request was carried out.
#[must_use]
pub fn ack(id: &RequestId) -> Vec<u8> {
    let mut text = begin("ack", Some(id));
    text.push(b'}');
    text
}

/// Answers a ping.
#[must_use]
pub fn pong(id: Option<&RequestId>, unix_s: u64) -> Vec<u8> {
    let mut text = begin("pong", id);
    number("time", unix_s, &mut text);
    text.push(b'}');
    text
}

/// Says what became of a publish request: how many of its events were accepted, and why others were not. `None` if all were and nobody asked.
#[must_use]
pub fn posted(id: Option<&RequestId>, posted: &Posted) -> Option<Vec<u8>> {
    let problem = posted.outcomes.iter().find_map(|outcome| outcome.problem.as_ref());
    let (accepted, refused) = (posted.accepted(), posted.refused());
    match (problem, id) {
        (None, None) => None,
        (Some(problem), id) => Some(refusal(id, problem, Some((accepted, refused)))),
        (None, Some(id)) => {
            let mut text = begin("ack", Some(id));
            number("accepted", accepted, &mut text);
            number("refused", refused, &mut text);
            text.push(b'}');
            Some(text)
        }
    }
}

/// Says no to a request, with the reason.
#[must_use]
pub fn nack(id: Option<&RequestId>, problem: &Problem) -> Vec<u8> {
    refusal(id, problem, None)
}

/// With `counts` some of several events may have been accepted.
fn refusal(id: Option<&RequestId>, problem: &Problem, counts: Option<(u64, u64)>) -> Vec<u8> {
    let mut text = begin("nack", id);
    number("status", u64::from(problem.status), &mut text);
    text.extend_from_slice(b",\"reason\":");
    string(&problem.detail, &mut text);
    if let Some(field) = problem.field {
        text.extend_from_slice(b",\"field\":");
        string(field, &mut text);
    }
    if let Some(limit) = problem.limit {
        number("limit", limit, &mut text);
    }
    if let Some(seconds) = problem.retry_after_s {
        number("retry_after_s", u64::from(seconds), &mut text);
    }
    if let Some((accepted, refused)) = counts {
        number("accepted", accepted, &mut text);
        number("refused", refused, &mut text);
    }
    text.push(b'}');
    text
}
