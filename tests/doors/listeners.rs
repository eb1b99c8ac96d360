//! Every way to listen, and what must be heard there.

use std::collections::BTreeMap;

use base64::Engine as _;
use pushletd::protocol::{Agent, Command, Door, Framing};
use pushletd::wire::v1::{self, Query};
use serde_json::{Map, Value};

use super::decoders::decode;
use super::publishers::SUBJECT;
use super::world::{Begun, UNIX_S, World};
use super::{Heard, Payload};

/// The formats of the Pushlet door as streams: what is asked for, with which User-Agent, and what comes.
const STREAMS: [(&str, Option<&str>, Framing); 6] = [
    ("js", None, Framing::Js),
    ("xml", None, Framing::Xml),
    ("xml-strict", None, Framing::XmlStrict),
    ("xml", Some("Java/1.8.0"), Framing::XmlJava),
    ("ser", None, Framing::Ser),
    ("json", None, Framing::JsonLines),
];

/// One session at each door.
pub(crate) struct Listeners {
    streams: Vec<(Framing, Begun)>,
    /// Pulls JSON arrays.
    pull: Begun,
    sse: Begun,
    poll: Begun,
}

impl Listeners {
    pub(crate) fn join(world: &mut World) -> Self {
        let mut join = |mode: &str, format: &str, agent: Option<&str>| {
            let query = format!("p_event=join-listen&p_mode={mode}&p_format={format}&p_subject={SUBJECT}");
            world.pushlet(false, &query, agent)
        };
        let streams = STREAMS.map(|(format, agent, framing)| (framing, join("stream", format, agent))).to_vec();
        let pull = join("pull", "json", None);
        let query = Query::read(b"subject=/s").expect("a query");
        let mut open = |door| {
            let opening = v1::opening(door, &query, None).expect("a request");
            world.ask(Command::Open(Box::new(opening)), Agent::default())
        };
        let (sse, poll) = (open(Door::EventStream), open(Door::LongPoll));
        Self { streams, pull, sse, poll }
    }

    /// The objects that came by Server-Sent Events.
    pub(crate) fn objects(&self, world: &World) -> Vec<Value> {
        stream_objects(world.body(self.sse.request)).into_iter().map(|(_, object)| object).collect()
    }

    /// Everybody has heard `due`, and nothing else.
    pub(crate) fn check(&self, world: &mut World, due: &[Heard]) {
        let array = world.pushlet(false, &format!("p_event=refresh&p_id={}", self.pull.id), None);
        let query = Query::read(format!("session={}", self.poll.id).as_bytes()).expect("a query");
        let polled = world.ask(v1::poll(&query).expect("a request"), Agent::default());
        let mut pushlet = vec![(Framing::JsonArray, world.body(array.request).to_vec())];
        let objects: Value = serde_json::from_slice(world.body(polled.request)).expect("JSON");
        let sse = stream_objects(world.body(self.sse.request));
        world.shut_down();
        pushlet.extend(self.streams.iter().map(|(framing, begun)| (*framing, world.body(begun.request).to_vec())));
        for (framing, body) in pushlet {
            let events = decode(framing, &body).into_iter();
            let heard: Vec<BTreeMap<String, String>> = events
                .map(|pairs| {
                    let many = pairs.len();
                    let fields: BTreeMap<String, String> = pairs.into_iter().collect();
                    assert_eq!(fields.len(), many, "{framing:?}: a name twice in {fields:?}");
                    fields
                })
                .filter(|fields| fields["p_event"] == "data")
                .map(without_personal)
                .map(|fields| sayable(framing, fields))
                .collect();
            let due: Vec<_> = due.iter().map(|event| as_fields(framing, event)).collect();
            assert_eq!(heard, due, "{framing:?}");
        }
        let due: Vec<_> = due.iter().map(as_object).collect();
        assert_eq!(objects["events"], Value::from(due.clone()));
        let names: Vec<String> = sse.iter().map(|(name, _)| name.clone()).collect();
        let named = |object: &Value| object.get("event").and_then(Value::as_str).unwrap_or("message").to_owned();
        assert_eq!(names, due.iter().map(named).collect::<Vec<_>>());
        assert_eq!(sse.into_iter().map(|(_, object)| object).collect::<Vec<_>>(), due);
    }
}

fn without_personal(mut fields: BTreeMap<String, String>) -> BTreeMap<String, String> {
    assert_eq!(fields.remove("p_subject").as_deref(), Some(SUBJECT));
    for name in ["p_event", "p_seq", "p_sid"] {
        assert!(fields.remove(name).is_some(), "{name} is missing: {fields:?}");
    }
    fields
}

/// The payload table, the columns of the Pushlet door.
fn as_fields(framing: Framing, event: &Heard) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = match &event.payload {
        Payload::Fields(fields) => fields.iter().cloned().collect(),
        Payload::Json(text) => [("data".to_owned(), text.clone())].into(),
        Payload::Bytes(kind, bytes) => {
            let data = base64::engine::general_purpose::STANDARD.encode(bytes);
            [("content_type".to_owned(), kind.clone()), ("data".to_owned(), data)].into()
        }
    };
    if let Some(name) = &event.name {
        fields.entry("event".to_owned()).or_insert_with(|| name.clone());
    }
    fields.entry("p_time".to_owned()).or_insert_with(|| UNIX_S.to_string());
    if let Some(from) = &event.from {
        fields.insert("p_from".to_owned(), from.clone());
    }
    sayable(framing, fields.into_iter().map(|(name, value)| (name, seen(framing, &value))).collect())
}

/// The fields whose names can surely be said: XML has no word for some, which are left out there. Which those are is in the tests of XML.
fn sayable(framing: Framing, mut fields: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if matches!(framing, Framing::Xml | Framing::XmlStrict | Framing::XmlJava) {
        let plain = |name: &str| {
            name.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        fields.retain(|name, _| plain(name) || name == "\u{4e2d}\u{6587}");
    }
    fields
}

/// What a reader of `framing` can see of a value: XML 1.0 has no word for some characters, and the old Java client's parser knows no entities.
fn seen(framing: Framing, value: &str) -> String {
    let allowed = |letter: char| match letter {
        '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => letter,
    };
    match framing {
        Framing::Xml | Framing::XmlStrict => value.chars().map(allowed).collect(),
        Framing::XmlJava => value.chars().map(allowed).collect::<String>().replace('>', "&gt;"),
        _ => value.to_owned(),
    }
}

/// The payload table, the column of the modern doors.
fn as_object(event: &Heard) -> Value {
    let mut object = Map::new();
    object.insert("subject".to_owned(), Value::from(SUBJECT));
    if let Some(name) = &event.name {
        object.insert("event".to_owned(), Value::from(name.as_str()));
    }
    match &event.payload {
        Payload::Fields(fields) => {
            let members = fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
            object.insert("data".to_owned(), Value::Object(members.collect()));
        }
        Payload::Json(text) => {
            object.insert("data".to_owned(), serde_json::from_str(text).expect("JSON"));
        }
        Payload::Bytes(kind, bytes) => {
            object.insert("content_type".to_owned(), Value::from(kind.as_str()));
            let text = std::str::from_utf8(bytes).ok().filter(|_| kind.to_ascii_lowercase().starts_with("text/"));
            let base64 = || base64::engine::general_purpose::STANDARD.encode(bytes);
            match text {
                Some(text) => object.insert("data".to_owned(), Value::from(text)),
                None => object.insert("base64".to_owned(), Value::from(base64())),
            };
        }
    }
    object.insert("time".to_owned(), Value::from(UNIX_S));
    if let Some(from) = &event.from {
        object.insert("from".to_owned(), Value::from(from.as_str()));
    }
    Value::Object(object)
}

/// Reads an event stream as WHATWG HTML section 9.2.6 says: names and objects of the published events.
fn stream_objects(body: &[u8]) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(body).expect("UTF-8").replace("\r\n", "\n").replace('\r', "\n");
    assert!(text.ends_with("\n\n"), "an event without its end");
    let (mut events, mut data, mut name) = (Vec::new(), Vec::<&str>::new(), "");
    for line in text.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.push(value),
            "event" => name = value,
            "" if line.is_empty() => {
                if !data.is_empty() {
                    let object: Value = serde_json::from_str(&data.join("\n")).expect("JSON");
                    events.push((if name.is_empty() { "message" } else { name }.to_owned(), object));
                }
                (data, name) = (Vec::new(), "");
            }
            _ => assert_eq!(field, "retry", "{line:?}"),
        }
    }
    assert_eq!(events.remove(0).0, "session");
    events
}
