//! What events look like, what requests are read as, and that nothing a publisher sends ends a line.

mod messages;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::protocol::{
    Command, Door, Event, EventName, Fields, Framing, Item, Origin, Payload, Position, Problem, SubscriptionWish,
};
use crate::topic::Subject;

fn event(name: Option<&str>, payload: Payload) -> Event {
    Event {
        subject: Subject::new("/a").expect("a subject"),
        name: name.map(|name| EventName::new(name).expect("a name")),
        payload,
        origin: Origin::default(),
        position: None,
        accepted_at: 7,
    }
}

fn written(framing: Framing, first: bool, lost: u64, event: &Event) -> String {
    let mut out = Vec::new();
    personal_part(framing, first, lost, &mut out);
    shared_part(framing, event, None, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn bytes(content_type: &str, bytes: &[u8]) -> Payload {
    Payload::Bytes { content_type: Box::from(content_type), bytes: Arc::from(bytes) }
}

#[test]
fn an_event_is_an_object() {
    let fields: Fields = [("a", "1"), ("b", "\u{4e2d}\n")].into_iter().collect();
    for (payload, object) in [
        (Payload::Fields(fields), "{\"subject\":\"/a\",\"data\":{\"a\":\"1\",\"b\":\"\u{4e2d}\\n\"},\"time\":7}"),
        (Payload::Json("[1,null]".into()), r#"{"subject":"/a","data":[1,null],"time":7}"#),
        (bytes("text/plain", b"hi"), r#"{"subject":"/a","content_type":"text/plain","data":"hi","time":7}"#),
        (bytes("text/plain", b"\xff"), r#"{"subject":"/a","content_type":"text/plain","base64":"/w==","time":7}"#),
        (bytes("image/png", b"\x00\xff"), r#"{"subject":"/a","content_type":"image/png","base64":"AP8=","time":7}"#),
    ] {
        let event = event(None, payload);
        assert_eq!(written(Framing::Object, true, 0, &event), object);
        assert_eq!(written(Framing::Object, false, 0, &event), format!(",{object}"));
        assert_eq!(written(Framing::EventStream, true, 0, &event), format!("data: {object}\n\n"));
        let missing = format!("{{\"lost\":3,{}", &object[1..]);
        assert_eq!(written(Framing::Object, true, 3, &event), missing);
    }
}

#[test]
fn names_and_positions_are_fields_of_an_event_stream() {
    let named = event(Some("price"), Payload::Json("1".into()));
    assert_eq!(
        written(Framing::EventStream, true, 0, &named),
        "data: {\"subject\":\"/a\",\"event\":\"price\",\"data\":1,\"time\":7}\nevent: price\n\n"
    );
    let placed = Event { position: Some(Position { stream: 1, epoch: 2, offset: 3 }), ..named };
    assert!(written(Framing::EventStream, true, 0, &placed).ends_with("\nevent: price\nid: 1-2-3\n\n"));
}

/// A JSON text with line ends between its tokens comes from programs only; its lines are lines of data.
#[test]
fn every_line_of_the_data_is_a_data_line() {
    let event = event(None, Payload::Json("[1,\r2,\n3,\r\n4]".into()));
    assert_eq!(
        written(Framing::EventStream, true, 0, &event),
        "data: {\"subject\":\"/a\",\"data\":[1,\ndata: 2,\ndata: 3,\ndata: 4],\"time\":7}\n\n"
    );
}

/// The rules of WHATWG HTML section 9.2.6, written down again.
fn parse_stream(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut events, mut data, mut name) = (Vec::new(), Vec::new(), String::from("message"));
    for line in text.split('\n') {
        match line.split_once(':') {
            _ if line.is_empty() => {
                if !data.is_empty() {
                    events.push((std::mem::replace(&mut name, String::from("message")), data.join("\n")));
                }
                data.clear();
            }
            Some(("data", value)) => data.push(value.strip_prefix(' ').unwrap_or(value).to_owned()),
            Some(("event", value)) => name = value.strip_prefix(' ').unwrap_or(value).to_owned(),
            _ => {}
        }
    }
    events
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let texts = proptest::collection::vec((".{0,5}", "[\\PC\r\n\u{0}\u{85}\u{2028}:]{0,12}"), 0..5);
    prop_oneof![
        texts.prop_map(|pairs| Payload::Fields(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect())),
        "[\\PC\r\n\u{2028}:]{0,20}".prop_map(|text| Payload::Json(
            format!("[{},\r\n 1]", serde_json::to_string(&text).expect("a string")).into()
        )),
        ("(text/plain|image/png|a/b)", proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(kind, body)| bytes(&kind, &body)),
    ]
}

proptest! {
    /// Nothing that a publisher sends adds an event or a field, and the data is one JSON object.
    #[test]
    fn one_event_stays_one_event(payload in any_payload(), name in proptest::option::of("[a-z\u{4e2d}]{1,8}")) {
        let name = name.filter(|name| EventName::new(name).is_ok());
        let text = written(Framing::EventStream, true, 2, &event(name.as_deref(), payload.clone()));
        let events = parse_stream(&text);
        prop_assert_eq!(events.len(), 1, "{:?}", text);
        prop_assert_eq!(&events[0].0, name.as_deref().unwrap_or("message"));
        let object: serde_json::Value = serde_json::from_str(&events[0].1).expect("JSON");
        prop_assert_eq!(&object["lost"], 2);
        let alone: serde_json::Value =
            serde_json::from_str(&written(Framing::Object, true, 2, &event(name.as_deref(), payload))).expect("JSON");
        prop_assert_eq!(object, alone);
    }

    /// What a listener was told can be published again, and says the same.
    #[test]
    fn an_object_reads_back_as_its_payload(payload in any_payload()) {
        let told = written(Framing::Object, true, 0, &event(Some("n"), payload.clone()));
        let mut object: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        object.as_object_mut().expect("an object").remove("time");
        let again = line(object.to_string().as_bytes()).expect("a line").expect("an item");
        prop_assert_eq!(again.name.as_ref().map(EventName::as_str), Some("n"));
        let told_again = written(Framing::Object, true, 0, &event(Some("n"), again.payload.clone()));
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        prop_assert_eq!(value(&told), value(&told_again));
        if let Payload::Bytes { .. } = payload {
            prop_assert_eq!(again.payload, payload);
        }
    }

    #[test]
    fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..64), kind in 0..4) {
        let kind = [Body::Json, Body::Form, Body::Lines, Body::Data][kind as usize];
        let query = Query::read(b"subject=/a").expect("a query");
        let _ = read(kind, &query, Some("text/plain"), &body);
    }
}

fn opened(query: &str) -> Result<Vec<(String, SubscriptionWish)>, Problem> {
    let opening = opening(Door::EventStream, &Query::read(query.as_bytes())?, None)?;
    Ok(opening.subscriptions.into_iter().map(|wanted| (wanted.list.into_string(), wanted.wish)).collect())
}

#[test]
fn wishes_belong_to_the_subject_before_them() {
    let wish = |queue: u16, conflate| SubscriptionWish { queue: core::num::NonZeroU16::new(queue), conflate };
    let list = |items: &[(&str, SubscriptionWish)]| {
        Ok(items.iter().map(|(text, wish)| ((*text).to_owned(), *wish)).collect::<Vec<_>>())
    };
    // Each by itself, so that each can be taken back, unless they share a queue.
    let three = list(&[("/a", wish(0, false)), ("/b", wish(0, false)), ("/c d", wish(0, false))]);
    assert_eq!(opened("subject=/a,/b&subject=%2Fc+d"), three);
    assert_eq!(
        opened("subject=/a,/b&conflate=1&subject=/c,/d&queue=2"),
        list(&[("/a", wish(0, true)), ("/b", wish(0, true)), ("/c,/d", wish(2, false))])
    );
    assert_eq!(
        opened("queue=9&subject=/a&conflate=true&subject=/b&queue=3&_=1"),
        list(&[("/a", wish(9, true)), ("/b", wish(3, false))])
    );
}

#[test]
fn what_cannot_be_opened_names_the_parameter() {
    for (query, field) in [
        ("", "subject"),
        ("queue=1", "subject"),
        ("subject=/a&queue=0", "queue"),
        ("subject=/a&queue=x", "queue"),
        ("subject=/a&conflate=maybe", "conflate"),
        ("subject=/a&pad=16385", "pad"),
        ("subject=/a&pad=-1", "pad"),
        ("subject=/a&pad=99999999999", "pad"),
    ] {
        let problem = opened(query).expect_err(query);
        assert_eq!((problem.status, problem.field), (400, Some(field)), "{query}");
    }
    assert_eq!(opened("subject=%ff").map_err(|problem| problem.status), Err(400));
    for (query, field) in
        [("session=x&subject=/a", "subject"), ("session=x&wait=301", "wait"), ("session=x&wait=", "wait")]
    {
        let problem = poll(&Query::read(query.as_bytes()).expect("a query")).expect_err(query);
        assert_eq!((problem.status, problem.field), (400, Some(field)), "{query}");
    }
    assert!(matches!(
        poll(&Query::read(b"session=x&wait=0").expect("a query")),
        Ok(Command::PollNext { wait_ms: Some(0), .. })
    ));
}

#[test]
fn the_most_specific_media_range_decides() {
    for (accept, yes) in [
        (None, true),
        (Some(""), true),
        (Some("*/*"), true),
        (Some("text/*"), true),
        (Some("text/event-stream"), true),
        (Some("TEXT/Event-Stream; charset=utf-8"), true),
        (Some("text/html, */*;q=0.1"), true),
        (Some("text/event-stream;q=0, */*"), false),
        (Some("*/*;q=0"), false),
        (Some("text/html"), false),
        (Some("application/*"), false),
        (Some("nonsense"), false),
    ] {
        assert_eq!(accepts(accept, "text/event-stream"), yes, "{accept:?}");
    }
}

fn one(text: &str) -> Item {
    line(text.as_bytes()).expect("a line")
}

#[test]
fn items_are_read() {
    let publication = one(r#"{"subject":"/a","data":{"x": [1, 2]},"event":"e","to":"t"}"#).expect("an item");
    assert_eq!(publication.subjects, [Subject::new("/a").expect("a subject")]);
    assert_eq!(publication.payload, Payload::Json(r#"{"x":[1,2]}"#.into()));
    assert_eq!((publication.name.as_ref().map(EventName::as_str), publication.to.as_deref()), (Some("e"), Some("t")));
    let many = one(r#"{"subjects":["/a","/b","/a"],"data":null}"#).expect("an item");
    assert_eq!(many.subjects.len(), 2);
    let text = one(r#"{"subject":"/a","data":"hi","content_type":"text/plain"}"#).expect("an item");
    assert_eq!(text.payload, bytes("text/plain", b"hi"));
    assert!(line(b" \r").is_none());
}

#[test]
fn bad_items_name_the_field() {
    for (text, field) in [
        ("{", "body"),
        ("1", "body"),
        (r#""x""#, "body"),
        ("\u{7f}", "body"),
        (r#"{"data":1}"#, "subject"),
        (r#"{"subject":"","data":1}"#, "subject"),
        (r#"{"subject":"/a","subjects":["/b"],"data":1}"#, "subjects"),
        (r#"{"subjects":[],"data":1}"#, "subject"),
        (r#"{"subject":7,"data":1}"#, "body"),
        (r#"{"subject":"/a"}"#, "data"),
        (r#"{"subject":"/a","data":1,"dta":2}"#, "body"),
        (r#"{"subject":"/a","data":1,"event":""}"#, "event"),
        (r#"{"subject":"/a","data":1,"event":"a\nb"}"#, "event"),
        (r#"{"subject":"/a","base64":"AA=="}"#, "content_type"),
        (r#"{"subject":"/a","base64":"AA=","content_type":"a/b"}"#, "base64"),
        (r#"{"subject":"/a","data":1,"content_type":"a/b"}"#, "data"),
        (r#"{"subject":"/a","data":"x","content_type":"ab"}"#, "content_type"),
        (r#"{"subject":"/a","data":1,"base64":"AA=="}"#, "base64"),
    ] {
        let problem = one(text).expect_err(text);
        assert_eq!((problem.status, problem.field), (400, Some(field)), "{text}: {}", problem.detail);
    }
    let deep = format!(r#"{{"subject":"/a","data":{}1{}}}"#, "[".repeat(65), "]".repeat(65));
    assert_eq!(one(&deep).expect_err("too deep").limit, Some(64));
}

fn read_as(kind: Body, query: &str, content_type: &str, body: &[u8]) -> Result<(Vec<Item>, bool), Problem> {
    read(kind, &Query::read(query.as_bytes())?, Some(content_type), body)
}

#[test]
fn a_bad_item_spoils_no_other() {
    let body = br#" [{"subject":"/a","data":1}, 7, {"subject":"/b","data":2}]"#;
    let (items, list) = read_as(Body::Json, "", "application/json", body).expect("a list");
    assert!(list);
    assert_eq!(items.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let many = format!("[{}1]", "1,".repeat(crate::limits::POST_ITEMS_MAX));
    assert_eq!(read_as(Body::Json, "", "", many.as_bytes()).map_err(|problem| problem.status), Err(413));
    assert_eq!(read_as(Body::Json, "", "", b"[]").map_err(|problem| problem.status), Err(400));
    assert_eq!(read_as(Body::Json, "", "", b"\xff").map_err(|problem| problem.status), Err(400));
}

#[test]
fn bodies_of_other_types_are_data_if_the_query_names_a_subject() {
    let payload = |query: &str, content_type: &str, body: &[u8]| {
        let query = Query::read(query.as_bytes()).expect("a query");
        let kind = Body::of(Some(content_type), &query).expect("a kind");
        let (items, _) = read(kind, &query, Some(content_type), body).expect("a body");
        items.into_iter().next().expect("an item").expect("a publication").payload
    };
    assert_eq!(payload("subject=/a", "image/png", b"\x01"), bytes("image/png", b"\x01"));
    assert_eq!(payload("subject=/a", "application/json; charset=utf-8", b" [1] "), Payload::Json("[1]".into()));
    let fields: Fields = [("x", "1 2")].into_iter().collect();
    assert_eq!(payload("subject=/a", "application/x-www-form-urlencoded", b"x=1+2"), Payload::Fields(fields.clone()));
    assert_eq!(payload("", "application/x-www-form-urlencoded", b"subject=/a&x=1+2"), Payload::Fields(fields));
    assert_eq!(
        payload("", "application/x-www-form-urlencoded", b"subject=/a&data=%22hi%22"),
        Payload::Json(r#""\"hi\"""#.into())
    );
    let refused = Body::of(Some("image/png"), &Query::default()).expect_err("no subject");
    assert_eq!((refused.status, refused.field), (415, Some("Content-Type")));
    assert_eq!(Body::of(None, &Query::default()).map_err(|problem| problem.status), Err(415));
}

#[test]
fn what_was_published_is_told() {
    use crate::protocol::{ItemOutcome, Posted};
    let good = |accepted| ItemOutcome { accepted, ..ItemOutcome::default() };
    let bad = |status| ItemOutcome {
        accepted: 0,
        refused: 1,
        problem: Some(Problem::field("subject", "No.").status(status)),
    };
    let told = |list, outcomes, lines: Option<&[u64]>| {
        let text = posted_text(&Posted { outcomes, list, replayed: false }, lines, None);
        (text.status, String::from_utf8(text.body).expect("UTF-8"))
    };
    assert_eq!(told(false, vec![good(1)], None), (202, "{\"accepted\":1,\"refused\":0}\n".to_owned()));
    let problem =
        "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\"detail\":\"No.\",\"field\":\"subject\"";
    assert_eq!(told(false, vec![bad(403)], None), (403, format!("{problem}}}\n")));
    let each = "{\"status\":403,\"detail\":\"No.\",\"field\":\"subject\"}";
    assert_eq!(
        told(true, vec![good(2), bad(403)], None),
        (202, format!("{{\"accepted\":2,\"refused\":1,\"results\":[{{\"status\":202}},{each}]}}\n"))
    );
    assert_eq!(
        told(true, vec![bad(403), bad(403)], None),
        (403, format!("{problem},\"accepted\":0,\"refused\":2,\"results\":[{each},{each}]}}\n"))
    );
    assert_eq!(told(true, vec![bad(403), bad(400)], None).0, 400);
    assert_eq!(
        told(true, vec![bad(403)], Some(&[7])).1,
        format!("{problem},\"accepted\":0,\"refused\":1,\"errors\":[{{\"line\":7,{}]}}\n", &each[1..])
    );
}
