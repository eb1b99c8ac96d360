//! Events for many sessions are written once for all of them, and nobody can tell: what comes is what comes where they are few.

use serde_json::json;

use super::socket::Sockets;
use super::*;
use crate::limits::EVENT_OVERHEAD_BYTES;

/// So many others make what is published a run.
const MANY: usize = 9;

/// What all kinds of WebSockets hear of three events that go together, with so many others beside them; how many events were delivered to
/// them, and in how many items they stood in the queue of one who is like the others.
fn heard_by_websockets(others: usize) -> (Vec<Vec<Value>>, u64, usize) {
    let mut sockets = Sockets::new(Settings::default());
    let crowd: Vec<_> = (0..others).map(|_| sockets.open("subject=/a")).collect();
    let plain = sockets.open("subject=/a");
    let wishing = sockets.open("");
    sockets.request(wishing, r#"{"type":"subscribe","id":1,"subject":"/a","queue":2}"#);
    let owed = sockets.open("subject=/a");
    let key = sockets.key(owed.0);
    sockets.world.broker.sessions.get_mut(key).expect("it lives").outbox.miss(5);
    let deflating = sockets.open_as(Identity::NOBODY, true, "subject=/a");
    // One has something else queued, the other something that its socket has taken in part.
    let (queueing, blocked) = (sockets.open("subject=/a&subject=/b"), sockets.open("subject=/a&subject=/c"));
    sockets.put("/c", 70);
    assert_eq!(sockets.write(9), Some(blocked.1));
    sockets.put("/b", 80);

    let before = sockets.world.broker.counters().delivered;
    sockets.world.broker.set_slice(1);
    (1..=3).for_each(|number| sockets.put("/a", number));
    while sockets.world.broker.is_delivering() {
        sockets.world.broker.deliver_slice(sockets.world.now);
    }
    let delivered = sockets.world.broker.counters().delivered - before;
    let items = sockets.world.session(plain.0).outbox.items().len();
    let kinds = [plain, wishing, owed, deflating, queueing, blocked];
    let lengths = kinds.map(|(id, _)| sockets.world.session(id).outbox.len());
    assert_eq!(lengths, [3, 2, 3, 3, 4, 4]);
    for (id, _) in [plain, queueing, blocked] {
        let outbox = &sockets.world.session(id).outbox;
        let lengths: Vec<u32> = outbox.items().iter().map(|item| item.frame.charge()).collect();
        assert_eq!(outbox.bytes(), lengths.iter().sum::<u32>());
        assert!(outbox.bytes() > outbox.len() as u32 * EVENT_OVERHEAD_BYTES);
    }
    sockets.settle();
    let key = sockets.key(blocked.0);
    sockets.world.broker.handle_writable(key, blocked.1, true);
    sockets.settle();
    for (_, token) in crowd {
        assert_eq!(sockets.objects(token), sockets.objects(plain.1));
    }
    assert_eq!(sockets.data(blocked.1), [json!(70), json!(1), json!(2), json!(3)]);
    (kinds.map(|(_, token)| sockets.objects(token)).into(), delivered - 3 * others as u64, items)
}

/// P-19, P-30: whoever is behind, owes word of a loss or has a wish gets what is theirs, and all are counted.
#[test]
fn websockets_cannot_tell_runs_from_their_events() {
    let (few, delivered, items) = heard_by_websockets(0);
    assert_eq!((delivered, items), (18, 3), "for few there are none");
    assert_eq!(few[1].iter().map(|object| &object["lost"]).collect::<Vec<_>>(), [&json!(1), &Value::Null]);
    assert_eq!(few[2][0]["lost"], json!(5));
    assert_eq!(heard_by_websockets(MANY), (few, 18, 1));
}

/// What is written to Server-Sent Events of HTTP/1.1 and of HTTP/1.0, with so many others beside them.
fn written_to_event_streams(others: usize) -> [String; 2] {
    let mut doors = Doors::new(Settings::default());
    doors.world.chunked = true;
    for _ in 0..others {
        doors.sse_as(Identity::NOBODY, "subject=/a");
    }
    let [chunked, bare] = [true, false].map(|chunked| {
        doors.world.chunked = chunked;
        let (_, token) = doors.sse_as(Identity::NOBODY, "subject=/a");
        // What comes first names the session.
        doors.replies.get_mut(&token).expect("begun").text.clear();
        token
    });
    doors.world.broker.set_slice(4);
    for text in ["one", "two\nlines", "three"] {
        let payload = Payload::Json(json!(text).to_string().into());
        let event = Event { payload, ..(*event("/a", &[])).clone() };
        doors.world.broker.handle_event(doors.world.now, &Arc::new(event), &Audience::Subscribers);
    }
    while doors.world.broker.is_delivering() {
        doors.world.broker.deliver_slice(doors.world.now);
    }
    doors.settle();
    [chunked, bare].map(|token| doors.reply(token).text.clone())
}

#[test]
fn event_streams_cannot_tell_runs_from_their_events() {
    let [chunked, bare] = written_to_event_streams(0);
    assert_eq!(chunked.matches("data: {").count(), 3);
    assert!(chunked.len() > bare.len() && bare.starts_with("data: {"), "{bare}");
    assert_eq!(written_to_event_streams(MANY), [chunked, bare]);
}
