//! What a publish request brings: JSON, a form, lines of JSON, or bytes of any kind.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::{self, JsonProblem};
use super::query::Query;
use crate::limits::{
    CONTENT_TYPE_BYTES_MAX, ECHO_CHARS_MAX, EVENT_NAME_BYTES_MAX, FIELDS_MAX, JSON_DEPTH_MAX, POST_ITEMS_MAX,
    POST_SUBJECTS_MAX,
};
use crate::protocol::{EventName, EventNameError, Fields, Item, Payload, Problem, Publication, is_reserved};
use crate::topic::Subject;
use crate::wire::quoted;

/// How a body is to be read, by its media type and by whether the query names the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// One JSON text: an item, or an array of items.
    Json,
    /// A form.
    Form,
    /// One item a line.
    Lines,
    /// The data itself; subject, name and receiver stand in the query.
    Data,
}

impl Body {
    /// How a body of this type is read.
    ///
    /// # Errors
    ///
    /// A 415 if it can only be the data itself and the query names no subject, a 400 if the query holds something that belongs to one.
    pub fn of(content_type: Option<&str>, query: &Query) -> Result<Self, Problem> {
        if query.get("subject").is_some() {
            return Ok(Self::Data);
        }
        if let Some(field) = ["to", "event"].into_iter().find(|name| query.get(name).is_some()) {
            // To leave it out would give to everybody what is meant for one.
            let detail =
                format!("{field} stands in the query only where subject does; otherwise it is a member of the item.");
            return Err(Problem::field(field, detail));
        }
        match super::media_type(content_type.unwrap_or_default()).as_str() {
            "application/json" => Ok(Self::Json),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            _ if is_lines(content_type, &[]) => Ok(Self::Lines),
            _ => {
                let detail = "The body is read as application/json, application/x-www-form-urlencoded or \
                    application/x-ndjson; a body of any other type needs its subject in the query: ?subject=/news.";
                Err(Problem::field("Content-Type", detail).status(415))
            }
        }
    }
}

/// Reads a whole body. Says its items, and whether they came as a list.
///
/// # Errors
///
/// A 400 if the body as a whole cannot be read, a 413 if it has more than [`POST_ITEMS_MAX`] items. A bad item of a list is an item.
pub fn read(kind: Body, query: &Query, content_type: Option<&str>, body: &[u8]) -> Result<(Vec<Item>, bool), Problem> {
    match kind {
        Body::Json => list(body),
        Body::Form => form(&Query::read(body)?).map(|publication| (vec![Ok(publication)], false)),
        Body::Data => data(query, content_type, body).map(|publication| (vec![Ok(publication)], false)),
        Body::Lines => Ok((body.split(|byte| *byte == b'\n').filter_map(line).collect(), true)),
    }
}

/// Whether a publish request with this type and query brings lines, which are published as they come.
#[must_use]
pub fn is_lines(content_type: Option<&str>, query: &[u8]) -> bool {
    let is_of = matches!(
        super::media_type(content_type.unwrap_or_default()).as_str(),
        "application/x-ndjson" | "application/jsonl"
    );
    is_of && super::first(query, "subject").is_none()
}

/// Reads one line of a body of lines; `None` for one that holds nothing.
#[must_use]
pub fn line(text: &[u8]) -> Option<Item> {
    let text = text.trim_ascii();
    (!text.is_empty()).then(|| utf8(text).and_then(item))
}

fn utf8(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|_| Problem::field("body", "JSON is UTF-8, and this is not."))
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::field("body", format!("This is not JSON: {error}."))
}

fn list(body: &[u8]) -> Result<(Vec<Item>, bool), Problem> {
    let text = utf8(body)?;
    if !text.trim_ascii_start().starts_with('[') {
        return Ok((vec![item(text)], false));
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    match items.len() {
        0 => Err(Problem::field("body", "The list is empty: there is nothing to publish.")),
        len if len > POST_ITEMS_MAX => {
            let detail = format!("A request may hold {POST_ITEMS_MAX} items, this one holds {len}.");
            Err(Problem::field("body", detail).status(413).limit(POST_ITEMS_MAX))
        }
        _ => Ok((items.into_iter().map(|raw| item(raw.get())).collect(), true)),
    }
}

/// An item as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written<'a> {
    #[serde(borrow)]
    pub(super) subject: Option<Cow<'a, str>>,
    pub(super) subjects: Option<Vec<String>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) data: Option<&'a RawValue>,
    pub(super) base64: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) event: Option<String>,
    pub(super) to: Option<String>,
}

/// `null` is data like any other.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn item(text: &str) -> Item {
    if !text.trim_ascii_start().starts_with('{') {
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| not_json(&error))?;
        return Err(Problem::field("body", "An item is an object with subject and data."));
    }
    publication_of(&serde_json::from_str(text).map_err(|error| unreadable(text, &error))?)
}

/// Judges an item that could be read.
pub(super) fn publication_of(written: &Written<'_>) -> Item {
    let named = match (&written.subject, &written.subjects) {
        (Some(_), Some(_)) => return Err(Problem::field("subjects", "There is subject or subjects, not both.")),
        (Some(one), None) => subjects(std::iter::once(&**one)),
        (None, Some(many)) if many.len() > POST_SUBJECTS_MAX => Err(too_many_subjects()),
        (None, Some(many)) => subjects(many.iter().map(String::as_str)),
        (None, None) => return Err(Problem::field("subject", "An item needs a subject.")),
    }?;
    let payload = payload(written)?;
    publication(named, written.event.as_deref(), written.to.as_deref(), payload)
}

/// What is wrong with an item: no JSON, or a member that nobody knows or that is of the wrong kind.
fn unreadable(text: &str, error: &serde_json::Error) -> Problem {
    unreadable_as("item", text, error)
}

/// The same of something that is called `what`.
pub(super) fn unreadable_as(what: &str, text: &str, error: &serde_json::Error) -> Problem {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(error) => not_json(&error),
        Ok(_) => {
            let told = error.to_string();
            // What else there could have been is in the documentation.
            let told = told.split(", expected one of").next().unwrap_or_default();
            let shown: String = told.chars().take(4 * ECHO_CHARS_MAX).collect();
            Problem::field("body", format!("The {what} cannot be read: {shown}."))
        }
    }
}

fn payload(written: &Written<'_>) -> Result<Payload, Problem> {
    let encoded = written.base64.as_deref();
    match (written.content_type.as_deref(), written.data, encoded) {
        (_, Some(_), Some(_)) => Err(Problem::field("base64", "There is data or base64, not both.")),
        (_, None, None) => Err(Problem::field("data", "An item needs data: any JSON value.")),
        (None, Some(data), None) => json_payload(data.get(), "data"),
        (None, None, Some(_)) => Err(Problem::field("content_type", "base64 needs a content_type.")),
        (Some(content_type), None, Some(encoded)) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
            let bytes = decoded.map_err(|error| Problem::field("base64", format!("This is not base64: {error}.")))?;
            bytes_payload(content_type, &bytes)
        }
        (Some(content_type), Some(data), None) => match serde_json::from_str::<String>(data.get()) {
            Ok(text) => bytes_payload(content_type, text.as_bytes()),
            Err(_) => Err(Problem::field("data", "With a content_type, data is a string.")),
        },
    }
}

fn json_payload(text: &str, field: &'static str) -> Result<Payload, Problem> {
    json::payload(text).map_err(|problem| match problem {
        JsonProblem::NotJson(error) => Problem::field(field, format!("This is not JSON: {error}.")),
        JsonProblem::HalfCharacter => {
            let detail = "A string holds half of a character, a \\u escape of a surrogate without the other: readers stop at it.";
            Problem::field(field, detail)
        }
        JsonProblem::TooDeep => {
            let detail = format!("Arrays and objects stand in each other more than {JSON_DEPTH_MAX} deep.");
            Problem::field(field, detail).limit(JSON_DEPTH_MAX)
        }
    })
}

fn bytes_payload(content_type: &str, bytes: &[u8]) -> Result<Payload, Problem> {
    let named = content_type.len() <= CONTENT_TYPE_BYTES_MAX
        && content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && super::media_type(content_type)
            .split_once('/')
            .is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty());
    if !named {
        let detail = "A content type is like image/png, visible ASCII of no more than 255 bytes.";
        return Err(Problem::field("content_type", detail).limit(CONTENT_TYPE_BYTES_MAX));
    }
    Ok(Payload::Bytes { content_type: Box::from(content_type), bytes: Arc::from(bytes) })
}

/// The data itself, with everything else in the query.
fn data(query: &Query, content_type: Option<&str>, body: &[u8]) -> Result<Publication, Problem> {
    let named = subjects(query.all("subject"))?;
    let content_type = content_type.unwrap_or("application/octet-stream");
    let payload = match super::media_type(content_type).as_str() {
        "application/json" => json_payload(utf8(body)?, "body")?,
        "application/x-www-form-urlencoded" => {
            let form = Query::read(body)?;
            check_form(&form)?;
            fields_payload(form.iter())?
        }
        _ => bytes_payload(content_type, body)?,
    };
    publication(named, query.get("event"), query.get("to"), payload)
}

/// A form: subject, name and receiver, and the data as one text or as fields.
fn form(form: &Query) -> Result<Publication, Problem> {
    check_form(form)?;
    let named = subjects(form.all("subject")).map_err(|problem| match form.get("subject") {
        Some(_) => problem,
        None => {
            Problem::field("subject", "The body is read as a form, as its Content-Type says, and has no field subject.")
        }
    })?;
    let own = |name: &str| matches!(name, "subject" | "event" | "to");
    let others = || form.iter().filter(|(name, _)| !own(name));
    let payload = match (form.get("data"), others().count()) {
        (Some(text), 1) => {
            let mut string = Vec::with_capacity(text.len() + 2);
            quoted::string(text, &mut string);
            // A string that serde has written is JSON, and so UTF-8.
            Payload::Json(String::from_utf8_lossy(&string).into())
        }
        _ => fields_payload(others())?,
    };
    publication(named, form.get("event"), form.get("to"), payload)
}

/// What tools send as a form because nobody told them what it is.
fn check_form(form: &Query) -> Result<(), Problem> {
    match form.iter().next() {
        Some((name, _)) if name.trim_start().starts_with(['{', '[']) => {
            let detail = "The Content-Type says that this is a form, but it looks like JSON: send Content-Type: application/json.";
            Err(Problem::field("Content-Type", detail))
        }
        _ => Ok(()),
    }
}

/// P-2, P-21: names and values. The first of a name counts; the server's own names are nobody else's.
fn fields_payload<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Payload, Problem> {
    let mut fields = Fields::new();
    for (name, value) in pairs.filter(|(name, _)| !name.is_empty()) {
        if is_reserved(name) {
            return Err(Problem::field("body", format!("The field {name} is the server's own.")));
        }
        fields.add_first(name, value);
    }
    debug_assert!(fields.len() <= FIELDS_MAX, "more fields than were read");
    Ok(Payload::Fields(fields))
}

/// The subjects that are named, each once.
fn subjects<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Subject>, Problem> {
    let mut found: Vec<Subject> = Vec::new();
    for name in names {
        let subject = Subject::new(name).map_err(|error| {
            Problem::field("subject", format!("This cannot be a subject: {error}."))
                .limit(crate::limits::SUBJECT_BYTES_MAX)
        })?;
        if found.contains(&subject) {
            continue;
        }
        if found.len() == POST_SUBJECTS_MAX {
            return Err(too_many_subjects());
        }
        found.push(subject);
    }
    if found.is_empty() { Err(Problem::field("subject", "There is no subject.")) } else { Ok(found) }
}

fn too_many_subjects() -> Problem {
    let detail = format!("An item may have {POST_SUBJECTS_MAX} subjects.");
    Problem::field("subjects", detail).limit(POST_SUBJECTS_MAX)
}

fn publication(subjects: Vec<Subject>, name: Option<&str>, to: Option<&str>, payload: Payload) -> Item {
    let name = name.map(EventName::new).transpose();
    let name = name.map_err(|error| {
        let problem = Problem::field("event", format!("This cannot name an event: {error}."));
        if matches!(error, EventNameError::Length(1..)) { problem.limit(EVENT_NAME_BYTES_MAX) } else { problem }
    })?;
    Ok(Publication { subjects, name, payload, to: to.map(Box::from) })
}
