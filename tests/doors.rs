//! One event model under all doors: whatever is published at one of them is heard at all others as docs/protocol.md says, and what was heard can
//! be published again.
//!
//! Requests are bytes and answers are bytes; between them is the pure core, no socket. Answers are read by decoders that were written from the
//! formats' descriptions and not from the encoders.

#[path = "formats/decoders.rs"]
mod decoders;
#[path = "doors/listeners.rs"]
mod listeners;
#[path = "doors/publishers.rs"]
mod publishers;
#[path = "doors/world.rs"]
mod world;

use proptest::prelude::*;
use serde_json::Value;

use listeners::Listeners;
use publishers::{Door, publish};
use world::World;

/// What somebody wants to say.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Names and values, each name once.
    Fields(Vec<(String, String)>),
    /// Any JSON.
    Json(Value),
    /// Bytes of a type.
    Bytes(String, Vec<u8>),
}

/// What everybody hears of it: the payload, in one of the three kinds that there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) payload: Payload,
    /// What the event is called.
    pub(crate) name: Option<String>,
    /// The address of the session that published it.
    pub(crate) from: Option<String>,
}

/// See [`Heard`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Payload {
    Fields(Vec<(String, String)>),
    /// The text, without white space between its tokens.
    Json(String),
    Bytes(String, Vec<u8>),
}

/// Names that only the server sets (rule P-21), written down again.
pub(crate) const RESERVED: [&str; 9] =
    ["p_event", "p_id", "p_sid", "p_seq", "p_from", "p_label", "p_lost", "p_subject", "p_key"];

fn any_text() -> impl Strategy<Value = String> {
    "[\\PC\r\n\t\u{0}\u{1}\u{7f}\u{85}\u{2028}\u{fffe}<>&'\"\\\\:;%+= /]{0,14}"
}

fn any_name() -> impl Strategy<Value = String> {
    // Names that every format can say; what becomes of others is in the tests of the formats.
    let names = [
        "a",
        "b_1",
        "x-y.z",
        "\u{4e2d}\u{6587}",
        "data",
        "event",
        "content_type",
        "base64",
        "time",
        "p_time",
        "p_from",
        "p_seq",
    ];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn any_fields() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::btree_map(any_name(), any_text(), 0..5)
        .prop_map(|fields| fields.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(prop_oneof![any_name(), any_text()], inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_bytes() -> impl Strategy<Value = What> {
    let kinds = ["text/plain", "text/html; charset=utf-8", "TEXT/csv", "image/png", "application/octet-stream", "a/b"];
    let body = prop_oneof![prop::collection::vec(any::<u8>(), 0..40), any_text().prop_map(String::into_bytes)];
    (prop::sample::select(kinds.to_vec()), body).prop_map(|(kind, body)| What::Bytes(kind.to_owned(), body))
}

fn any_what() -> impl Strategy<Value = What> {
    prop_oneof![any_fields().prop_map(What::Fields), any_json().prop_map(What::Json), any_bytes()]
}

fn any_event_name() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec!["price", "a b", "\u{4e2d}", "x:y", " n "]).prop_map(str::to_owned))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn an_event_is_the_same_at_all_doors(what in any_what(), name in any_event_name()) {
        let mut world = World::new();
        let listeners = Listeners::join(&mut world);
        let mut due = Vec::new();
        for door in Door::ALL {
            due.extend(publish(&mut world, door, &what, name.as_deref()));
        }
        prop_assert!(!due.is_empty(), "some door takes everything");
        // What was heard by Server-Sent Events is published again, event by event.
        let objects = listeners.objects(&world);
        prop_assert_eq!(objects.len(), due.len());
        for (object, first) in objects.iter().zip(due.clone()) {
            due.push(publishers::again(&mut world, object, first));
        }
        listeners.check(&mut world, &due);
    }
}

/// The table of docs/protocol.md, each row at each door.
#[test]
fn the_table_of_payloads() {
    let fields = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    for what in [
        What::Fields(fields(&[("a", "1"), ("b", "<2>")])),
        What::Json(serde_json::json!({"a": 1})),
        What::Bytes("image/png".to_owned(), vec![0, 255]),
    ] {
        let mut world = World::new();
        let listeners = Listeners::join(&mut world);
        let due: Vec<Heard> = Door::ALL.into_iter().filter_map(|door| publish(&mut world, door, &what, None)).collect();
        assert!(due.len() >= 3);
        listeners.check(&mut world, &due);
    }
}
