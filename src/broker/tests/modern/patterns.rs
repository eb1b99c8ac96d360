//! Wildcards, and what is wished for one subscription's events.

use serde_json::json;

use super::*;

/// What a pattern hears at `/v1/sse`, beside what the same text hears as a prefix at the Pushlet door (P-19).
#[test]
fn wildcards_hear_what_they_say() {
    let subjects =
        ["/a", "/a/", "/a/b", "/a/b/c", "/a/*", "/ab", "a", "a/b", "/x/b", "$server/figures", "$presence/a/b", "//b"];
    for (pattern, heard) in [
        ("/a", vec!["/a"]),
        ("/a/b", vec!["/a/b"]),
        ("/a/*", vec!["/a/b", "/a/*"]),
        ("/a/**", vec!["/a/", "/a/b", "/a/b/c", "/a/*"]),
        ("/*", vec!["/a", "/ab"]),
        ("/*/b", vec!["/a/b", "/x/b"]),
        ("/**", vec!["/a", "/a/", "/a/b", "/a/b/c", "/a/*", "/ab", "/x/b", "//b"]),
        ("*/b", vec!["a/b"]),
        ("*", vec!["a"]),
        ("**", vec!["/a", "/a/", "/a/b", "/a/b/c", "/a/*", "/ab", "a", "a/b", "/x/b", "//b"]),
        ("$server/*", vec!["$server/figures"]),
        ("$presence/**", vec!["$presence/a/b"]),
    ] {
        let mut doors = Doors::new(Settings::default());
        let (_, stream) = doors.sse(&format!("subject={pattern}"));
        for subject in subjects {
            doors.put(subject, 1);
        }
        doors.settle();
        let told: Vec<Value> = doors.told(stream).into_iter().map(|(_, object)| object["subject"].clone()).collect();
        assert_eq!(told, heard, "{pattern}");
    }
    // P-19: a star is a letter there.
    let mut doors = Doors::new(Settings::default());
    let (id, _) = doors.world.listen(Mode::Poll);
    let subscribe = Command::Subscribe { id: ClaimedId::WellFormed(id), subject: Some(Box::from("/a/*")), label: None };
    doors.pushlet(subscribe);
    subjects.iter().for_each(|subject| doors.put(subject, 1));
    assert_eq!(doors.world.session(id).outbox.len(), 1);
}

/// P-19: however many patterns match, an event comes once.
#[test]
fn an_event_comes_once() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a/b,/a/*&subject=/**&subject=**,/*/b");
    let subscribe = Command::Subscribe { id: ClaimedId::WellFormed(id), subject: Some(Box::from("/")), label: None };
    doors.pushlet(subscribe);
    doors.publish(r#"{"subjects":["/a/b","/a/b","/a/c"],"data":1}"#);
    assert_eq!(doors.data(stream).len(), 2);
}

/// P-30: a wish holds for the events of its own subscription, whatever else waits.
#[test]
fn a_wish_is_one_subscriptions_own() {
    let mut doors = Doors::new(Settings::default());
    let (_, stream) = doors.sse("subject=/all/*&subject=/two/*&queue=2&subject=/newest/*&conflate=true");
    for number in 0..5 {
        for subject in ["/all/a", "/two/a", "/two/b", "/newest/a", "/newest/b"] {
            doors.put(subject, number);
        }
    }
    doors.settle();
    let told: Vec<Value> = doors.told(stream).into_iter().map(|(_, object)| object).collect();
    let heard = |subject: &str| -> Vec<&Value> {
        told.iter().filter(|object| object["subject"] == subject).map(|object| &object["data"]).collect()
    };
    assert_eq!(heard("/all/a"), [0, 1, 2, 3, 4]);
    assert_eq!((heard("/two/a"), heard("/two/b")), (vec![&json!(4)], vec![&json!(4)]), "two of the subscription");
    assert_eq!((heard("/newest/a"), heard("/newest/b")), (vec![&json!(4)], vec![&json!(4)]), "one of each subject");
    let lost: u64 = told.iter().filter_map(|object| object.get("lost")?.as_u64()).sum();
    assert_eq!((lost, doors.world.broker.counters.lost), (8 + 8, 16));
}

/// P-30: a wish above the server's bound gets the bound, and one before the first subject is for all.
#[test]
fn wishes_stay_within_bounds() {
    let bounds = Bounds { events_max: 4, ..Settings::default().bounds };
    let mut doors = Doors::new(Settings { bounds, ..Settings::default() });
    let (id, _) = doors.poll("queue=60000&subject=/a&subject=/b&queue=1");
    for number in 0..10 {
        doors.put("/a", number);
        doors.put("/b", number);
    }
    let answer = doors.next(id, "&wait=0");
    let answer = doors.polled(answer);
    let events = answer["events"].as_array().expect("events");
    assert_eq!(events.len(), 4);
    assert_eq!(events.iter().filter(|event| event["subject"] == "/b").count(), 1);
    let lost: u64 = events.iter().filter_map(|event| event.get("lost")?.as_u64()).sum();
    assert_eq!(lost, 16);
}
