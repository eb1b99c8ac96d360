//! Every way to publish.

use base64::Engine as _;
use form_urlencoded::byte_serialize;
use pushletd::protocol::{Agent, Command, Event, Item, Origin, Payload as Protocol, Post};
use pushletd::topic::Subject;
use pushletd::wire::v1::{self, Query};
use serde_json::{Value, json};

use super::world::{UNIX_S, World};
use super::{Heard, Payload, RESERVED, What};

/// A way to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    PushletGet,
    PushletTag,
    PushletJson,
    PushletForm,
    /// `POST /v1/publish` with one item.
    Item,
    /// With an array, pretty-printed.
    Array,
    /// With lines, behind a bad one.
    Lines,
    /// With the subject in the query: the body is the data.
    Data,
    /// The same as a form.
    Form,
    /// Bytes as the text that they are.
    Text,
    /// A program that embeds the server.
    Program,
}

impl Door {
    pub(crate) const ALL: [Self; 11] = [
        Self::PushletGet,
        Self::PushletTag,
        Self::PushletJson,
        Self::PushletForm,
        Self::Item,
        Self::Array,
        Self::Lines,
        Self::Data,
        Self::Form,
        Self::Text,
        Self::Program,
    ];
}

/// What all publish to.
pub(crate) const SUBJECT: &str = "/s";

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

fn form(fields: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Publishes `what` if the door can say it, and says what must be heard of it.
pub(crate) fn publish(world: &mut World, door: Door, what: &What, name: Option<&str>) -> Option<Heard> {
    match door {
        Door::PushletGet | Door::PushletTag | Door::PushletJson | Door::PushletForm => match what {
            What::Fields(fields) => Some(by_pushlet(world, door, fields)),
            _ => None,
        },
        Door::Program => by_program(world, what),
        _ => {
            let (payload, kind, query, content_type, body) = request(door, what, name)?;
            post(world, kind, &query, content_type.as_deref(), &body);
            Some(Heard { payload, name: name.map(str::to_owned), from: None })
        }
    }
}

fn by_pushlet(world: &mut World, door: Door, fields: &[(String, String)]) -> Heard {
    let publisher = world.pushlet(false, "p_event=join&p_format=json", None);
    let own = [("p_event", "publish"), ("p_id", &publisher.id), ("p_subject", SUBJECT)];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let all: Vec<(String, String)> = own.iter().chain(fields).cloned().collect();
    let attribute = |(name, value): &(String, String)| {
        format!(" {name}=\"{}\"", value.replace('\\', "\\\\").replace('&', "&amp;").replace('"', "&quot;"))
    };
    let (posted, text) = match door {
        Door::PushletTag => (true, format!("<event{} />", all.iter().map(attribute).collect::<String>())),
        Door::PushletJson => {
            let members = all.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
            (true, Value::Object(members.collect()).to_string())
        }
        Door::PushletForm => (true, form(&all)),
        _ => (false, form(&all)),
    };
    let ack = world.pushlet(posted, &text, None);
    let told = String::from_utf8_lossy(world.body(ack.request)).into_owned();
    assert!(told.contains("publish-ack"), "{text}: {told}");
    // P-21: what is the server's is left out.
    let heard = fields.iter().filter(|(name, _)| !is_reserved(name)).cloned().collect();
    Heard { payload: Payload::Fields(heard), name: None, from: Some(publisher.address) }
}

fn by_program(world: &mut World, what: &What) -> Option<Heard> {
    let (payload, heard) = match what {
        What::Fields(fields) if !fields.iter().any(|(name, _)| is_reserved(name)) => {
            let pairs = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            (Protocol::Fields(pairs), Payload::Fields(fields.clone()))
        }
        What::Json(value) => {
            // A program's JSON stays JSON, with the line ends between its tokens; they are no part of what it says.
            let text = serde_json::to_string_pretty(value).expect("JSON").replace('\n', "\r\n");
            (Protocol::Json(text.as_str().into()), Payload::Json(text))
        }
        _ => return None,
    };
    let subject = Subject::new(SUBJECT).expect("a subject");
    world.program(Event {
        subject,
        name: None,
        payload,
        origin: Origin::default(),
        position: None,
        accepted_at: UNIX_S,
    });
    Some(Heard { payload: heard, name: None, from: None })
}

type Sent = (Payload, v1::Body, String, Option<String>, Vec<u8>);

/// The request to `/v1/publish` that says it, and what must be heard.
fn request(door: Door, what: &What, name: Option<&str>) -> Option<Sent> {
    let mut query = String::new();
    let by_query = matches!(door, Door::Data | Door::Form);
    if by_query {
        query = format!("subject={}", encoded(SUBJECT));
        name.into_iter().for_each(|name| query += &format!("&event={}", encoded(name)));
    }
    let (payload, item, content_type, body) = match (door, what) {
        (Door::Form, What::Fields(fields)) if !fields.iter().any(|(name, _)| is_reserved(name)) => {
            let kind = "application/x-www-form-urlencoded";
            (Payload::Fields(fields.clone()), json!({}), Some(kind.to_owned()), form(fields).into_bytes())
        }
        (Door::Form, _) => return None,
        (Door::Text, What::Bytes(kind, bytes)) => {
            let text = std::str::from_utf8(bytes).ok()?;
            (Payload::Bytes(kind.clone(), bytes.clone()), json!({"content_type": kind, "data": text}), None, Vec::new())
        }
        (Door::Text, _) => return None,
        (_, What::Bytes(kind, bytes)) => {
            let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
            let item = json!({"content_type": kind, "base64": base64});
            (Payload::Bytes(kind.clone(), bytes.clone()), item, Some(kind.clone()), bytes.clone())
        }
        (_, What::Fields(fields)) => {
            let members = fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
            let value = Value::Object(members.collect());
            let body = serde_json::to_vec_pretty(&value).expect("JSON");
            (typed(&value), json!({"data": value}), Some("application/json".to_owned()), body)
        }
        (_, What::Json(value)) => {
            let body = serde_json::to_vec_pretty(value).expect("JSON");
            (typed(value), json!({"data": value}), Some("application/json".to_owned()), body)
        }
    };
    if by_query {
        return Some((payload, v1::Body::Data, query, content_type, body));
    }
    let mut item = item;
    item["subject"] = Value::from(SUBJECT);
    if let Some(name) = name {
        item["event"] = Value::from(name);
    }
    let (kind, body) = match door {
        Door::Array => (v1::Body::Json, serde_json::to_vec_pretty(&json!([7, item])).expect("JSON")),
        Door::Lines => (v1::Body::Lines, format!("{{\n\n{item}\r\n").into_bytes()),
        _ => (v1::Body::Json, item.to_string().into_bytes()),
    };
    Some((payload, kind, query, None, body))
}

/// An object of strings only, with names that are nobody's, is fields; everything else is what it is.
fn typed(value: &Value) -> Payload {
    let members = value.as_object().and_then(|members| {
        let fields = members.iter().map(|(name, value)| {
            let text = value.as_str().filter(|_| !name.is_empty() && !is_reserved(name))?;
            Some((name.clone(), text.to_owned()))
        });
        fields.collect::<Option<Vec<_>>>()
    });
    members.map_or_else(|| Payload::Json(value.to_string()), Payload::Fields)
}

fn post(world: &mut World, kind: v1::Body, query: &str, content_type: Option<&str>, body: &[u8]) {
    let query = Query::read(query.as_bytes()).expect("a query");
    let shown = String::from_utf8_lossy(body);
    let (items, list): (Vec<Item>, bool) =
        v1::read(kind, &query, content_type, body).unwrap_or_else(|problem| panic!("{}: {shown}", problem.detail));
    let asked = world.ask(Command::Post(Box::new(Post { items, list, key: None, publisher: None })), Agent::default());
    let posted = world.posted(asked.request);
    assert_eq!(posted.accepted(), 1, "{shown}: {posted:?}");
}

/// Publishes what a listener of the modern doors was told, and says what must be heard: the same as the first time. What a program published
/// as an object of strings becomes fields.
pub(crate) fn again(world: &mut World, object: &Value, first: Heard) -> Heard {
    let mut item = object.clone();
    let members = item.as_object_mut().expect("an object");
    members.remove("time");
    members.remove("from");
    post(world, v1::Body::Json, "", None, item.to_string().as_bytes());
    let payload = match first.payload {
        Payload::Json(text) => typed(&serde_json::from_str(&text).expect("JSON")),
        same => same,
    };
    Heard { payload, from: None, ..first }
}
