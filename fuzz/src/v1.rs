//! Requests of the modern doors from any bytes: what is read can be told, and what is told can be read again.

use pushletd::limits::{FIELDS_MAX, POST_ITEMS_MAX};
use pushletd::protocol::{Door, Event, Framing, Item, Origin};
use pushletd::wire::v1::{self, Body, Lines, Query};

/// The input is a query, of each door.
pub fn v1_query(bytes: &[u8]) {
    let Ok(query) = Query::read(bytes) else { return };
    assert!(query.iter().count() <= FIELDS_MAX);
    for door in [Door::EventStream, Door::LongPoll] {
        match v1::opening(door, &query, None) {
            Ok(opening) => assert!(!opening.subscriptions.is_empty(), "a session without a subscription"),
            Err(problem) => assert_eq!(problem.status, 400),
        }
    }
    let _ = v1::poll(&query);
}

/// The first byte chooses how the rest is read: as JSON, as a form, as data, as lines in pieces.
pub fn v1_publish(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    match first % 4 {
        0 => whole(Body::Json, "application/json", b"", body),
        1 => whole(Body::Form, "application/x-www-form-urlencoded", b"", body),
        2 => whole(Body::Data, "text/plain", b"subject=/a&event=e", body),
        _ => lines(body, usize::from(first / 4) + 1),
    }
}

fn whole(kind: Body, content_type: &str, query: &[u8], body: &[u8]) {
    let query = Query::read(query).expect("our own");
    match v1::read(kind, &query, Some(content_type), body) {
        Ok((items, list)) => {
            assert!(list || items.len() == 1, "many items and no list");
            assert!(items.len() <= POST_ITEMS_MAX);
            items.iter().for_each(survives);
        }
        Err(problem) => assert!((400..500).contains(&problem.status)),
    }
}

/// Pieces of any length make the same items as the whole.
fn lines(body: &[u8], piece: usize) {
    let all: Vec<Item> = body.split(|byte| *byte == b'\n').filter_map(v1::line).collect();
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for piece in body.chunks(piece) {
        lines.feed(piece);
        found.extend(lines.take(usize::MAX).0);
    }
    lines.finish();
    found.extend(lines.take(usize::MAX).0);
    assert!(lines.is_done());
    assert_eq!(found, all);
    found.iter().for_each(survives);
}

/// What was read is told as one object, in one event of a stream, and says the same when it is published again.
fn survives(item: &Item) {
    let Ok(publication) = item else { return };
    for subject in &publication.subjects {
        let event = Event {
            subject: subject.clone(),
            name: publication.name.clone(),
            payload: publication.payload.clone(),
            origin: Origin::default(),
            position: None,
            accepted_at: 7,
        };
        let object = told(Framing::Object, &event);
        let stream = told(Framing::EventStream, &event);
        let data: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.join("\n"), object, "the data of the event is the object");
        assert_eq!(stream.matches("\n\n").count(), 1, "one event: {stream:?}");
        serde_json::from_str::<&serde_json::value::RawValue>(&object).expect("what we tell is JSON");
        let item = object.strip_suffix(",\"time\":7}").expect("the time comes last");
        let again = v1::line(format!("{item}}}").as_bytes()).expect("a line").expect("what we tell can be published");
        assert_eq!(told(Framing::Object, &Event { payload: again.payload, ..event }), object);
    }
}

fn told(framing: Framing, event: &Event) -> String {
    let mut bytes = Vec::new();
    v1::personal_part(framing, true, 0, &mut bytes);
    v1::shared_part(framing, event, None, &mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}
