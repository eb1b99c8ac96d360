//! The JSON objects of the modern doors: events, and what the server says of a session.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::event::Event;
use crate::protocol::is_reserved;

/// An event as it comes. Members that are not known are of a later time.
#[derive(Deserialize)]
struct Written<'a> {
    lost: Option<u64>,
    #[serde(default)]
    subject: String,
    event: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    content_type: Option<String>,
    base64: Option<String>,
    time: Option<u64>,
    from: Option<String>,
}

/// `null` is data like any other.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The event that `text` tells of, with the names that the Pushlet door has for the same things: printed for people, an event looks the same
/// whichever way it came. As JSON it is printed as it came.
///
/// # Errors
///
/// `text` is no such object; in words.
pub(super) fn event(text: &str) -> Result<Event, String> {
    let written: Written<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut fields = vec![("p_event".to_owned(), "data".to_owned()), ("p_subject".to_owned(), written.subject)];
    let mut add = |name: &str, value: Option<String>| fields.extend(value.map(|value| (name.to_owned(), value)));
    add("p_lost", written.lost.map(|lost| lost.to_string()));
    add("event", written.event);
    let of_bytes = written.content_type.is_some();
    add("content_type", written.content_type);
    if let Some(data) = written.data {
        match (of_bytes, serde_json::from_str::<Strings>(data.get()), serde_json::from_str::<String>(data.get())) {
            (true, _, Ok(text)) => add("data", Some(text)),
            (false, Ok(Strings(members)), _) => members.into_iter().for_each(|(name, value)| add(&name, Some(value))),
            _ => add("data", Some(data.get().to_owned())),
        }
    }
    add("base64", written.base64);
    add("p_from", written.from);
    add("p_time", written.time.map(|time| time.to_string()));
    Ok(Event::as_it_came(fields, text))
}

/// An object whose members are all strings, as a publisher's fields are, in order.
struct Strings(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Strings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strings, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = members.next_entry::<String, String>()? {
                    if is_reserved(&name) {
                        return Err(serde::de::Error::custom("a name of the server"));
                    }
                    fields.push((name, value));
                }
                Ok(Strings(fields))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The first event of a stream, and the answer to the first request of a long poll.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Session {
    /// The session's secret id.
    pub(super) session: String,
    /// After so much silence a stream's server sends something, in milliseconds.
    pub(super) heartbeat_ms: Option<u64>,
    /// The longest that the server holds a poll, in milliseconds.
    pub(super) wait_ms: Option<u64>,
}

/// Why a session ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct End {
    reason: String,
    text: String,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = if self.text.is_empty() { &self.reason } else { &self.text };
        f.write_str(if words.is_empty() { "no reason given" } else { words })
    }
}

/// Why a stream does not go on where an earlier one ended.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reset {
    /// The word for it.
    pub(super) reason: String,
}

/// The answer to a further request of a long poll.
#[derive(Deserialize)]
pub(super) struct Polled<'a> {
    /// Events, each an object.
    #[serde(borrow, default)]
    pub(super) events: Vec<&'a RawValue>,
    /// The session has ended.
    pub(super) end: Option<End>,
}

/// What became of a publish request: the answer to it, or a problem document (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Posted {
    /// Of each item of a list.
    pub(super) results: Vec<Outcome>,
    /// What is wrong with the whole request.
    pub(super) detail: String,
    /// Which part of it.
    pub(super) field: Option<String>,
}

/// What became of one item.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    /// 202, or why not.
    pub(super) status: u16,
    /// The same in words.
    pub(super) detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Framing, Payload};
    use crate::wire::v1;

    fn line(text: &str) -> String {
        event(text).expect("an event").to_line()
    }

    /// For people an event looks as it does at the Pushlet door; bytes that are text are told as text.
    #[test]
    fn objects_are_lines() {
        for (text, shown) in [
            (r#"{"subject":"/a","data":{"x":"1","b":"two words"},"time":7}"#, r#"/a x=1 b="two words""#),
            (r#"{"subject":"/a","data":{},"time":7}"#, "/a"),
            (r#"{"subject":"/a b","data":5}"#, r#""/a b" data=5"#),
            (r#"{"subject":"/a","data":null,"from":"F"}"#, "/a data=null p_from=F"),
            (r#"{"subject":"/a","data":"hi"}"#, r#"/a data="\"hi\"""#),
            (r#"{"subject":"/a","data":{"x":1}}"#, r#"/a data="{\"x\":1}""#),
            (r#"{"subject":"/a","data":{"p_from":"1"}}"#, r#"/a data="{\"p_from\":\"1\"}""#),
            (r#"{"lost":3,"subject":"/a","event":"tick","data":[1]}"#, "/a event=tick data=[1] p_lost=3"),
            (
                r#"{"subject":"/a","content_type":"text/plain","data":"a\nb"}"#,
                r#"/a content_type=text/plain data="a\nb""#,
            ),
            (
                r#"{"subject":"/a","content_type":"image/png","base64":"AP8="}"#,
                r#"/a content_type=image/png base64="AP8=""#,
            ),
            (r#"{"subject":"/a","data":1,"later":[{}]}"#, "/a data=1"),
        ] {
            assert_eq!(line(text), shown, "{text}");
        }
        for bad in ["", "[]", "{\"lost\":-1}", "{\"subject\":1}", "{"] {
            assert!(event(bad).is_err(), "{bad}");
        }
    }

    /// As JSON an event is what came, but nothing in it can command a terminal or end the line.
    #[test]
    fn json_is_printed_as_it_came() {
        let text = "{\"subject\":\"/a\",\n\"data\":{\"x\":\"\u{202e}\u{7f}\",\"n\":1.0}}";
        let json = event(text).expect("an event").to_json();
        assert_eq!(json, r#"{"subject":"/a", "data":{"x":"\u202e\u007f","n":1.0}}"#);
        let (came, printed): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(text).expect("JSON"), serde_json::from_str(&json).expect("JSON"));
        assert_eq!(came, printed);
    }

    /// What the server itself writes for each kind of payload.
    #[test]
    fn what_the_server_writes_is_read() {
        let mut answer = Vec::new();
        v1::session_answer(("ID", "ADDRESS"), 20_000, &mut answer);
        let session: Session = serde_json::from_slice(&answer).expect("a session");
        assert_eq!((session.session.as_str(), session.wait_ms), ("ID", Some(20_000)));
        let mut answer = Vec::new();
        v1::poll_prologue("ID", &mut answer);
        for (first, lost, payload) in [(true, 0, "[1,2]"), (false, 9, "\"x\"")] {
            v1::personal_part(Framing::Object, first, lost, &mut answer);
            let event = crate::protocol::Event {
                subject: crate::topic::Subject::new("/a").expect("a subject"),
                name: None,
                payload: Payload::Json(payload.into()),
                origin: crate::protocol::Origin::default(),
                position: None,
                accepted_at: 7,
            };
            v1::shared_part(Framing::Object, &event, Some("F"), &mut answer);
        }
        v1::poll_end(Some(crate::protocol::EndReason::Shutdown), &mut answer);
        let polled: Polled<'_> = serde_json::from_slice(&answer).expect("an answer");
        let lines: Vec<_> = polled.events.iter().map(|text| line(text.get())).collect();
        assert_eq!(lines, ["/a data=[1,2] p_from=F", r#"/a data="\"x\"" p_lost=9 p_from=F"#]);
        assert_eq!(polled.end.expect("an end").to_string(), "the server is shutting down");
    }
}
