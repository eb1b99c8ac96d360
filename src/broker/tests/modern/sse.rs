//! Sessions of `/v1/sse`.

use serde_json::json;

use super::*;
use crate::limits::{QUEUE_EVENTS_DEFAULT, SSE_RETRY_MS};

/// The first bytes say what the session is; from then on it hears what it asked for; a client of the Pushlet door may end it (P-27).
#[test]
fn a_session_from_its_beginning_to_its_end() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a,/c&subject=/d");
    let begun = doors.reply(stream).clone();
    let retry = begun.text.lines().find_map(|line| line.strip_prefix("retry: ")).expect("a time to come again");
    let retry: u32 = retry.parse().expect("a number");
    assert!((SSE_RETRY_MS.0..=SSE_RETRY_MS.1).contains(&retry) && !begun.over);
    let events = stream_events(&begun.text);
    let address = doors.world.session(id).address.to_string();
    let session = json!({"session": id.to_string(), "address": address, "heartbeat_ms": 20_000});
    assert_eq!(events, [("session".to_owned(), session)]);
    assert_eq!((doors.world.broker.listening_count(), doors.world.broker.subscription_count()), (1, 3));

    doors.publish(
        r#"[{"subject":"/a","data":1},{"subject":"/a/b","data":2},{"subject":"/d","data":[null],"event":"n"}]"#,
    );
    let told = doors.told(stream);
    assert_eq!(told[0], ("message".to_owned(), json!({"subject": "/a", "data": 1, "time": 1_000})));
    assert_eq!(told[1], ("n".to_owned(), json!({"subject": "/d", "event": "n", "data": [null], "time": 1_000})));
    assert_eq!(told.len(), 2, "/a/b was not asked for");

    let ack = doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(id) });
    assert_eq!(ack, [json!({"p_event": "leave-ack", "p_id": id.to_string(), "p_time": "1000"})]);
    let end = json!({"reason": "leave", "text": "the session has left"});
    assert_eq!(doors.told(stream).last(), Some(&("end".to_owned(), end)));
    assert!(doors.reply(stream).over);
    assert_eq!(doors.ended(EndReason::Leave), 1);
    doors.assert_nothing_left();
}

/// Whoever names the end of an earlier stream is told that it starts anew, whatever it names; a name too long is not repeated.
#[test]
fn a_client_that_comes_again_is_told_that_it_starts_anew() {
    for (last, repeated) in [("1-2-3", "1-2-3"), ("\"\n</script>", "\"\n</script>"), (&"x".repeat(257), "")] {
        let mut doors = Doors::new(Settings::default());
        let query = Query::read(b"subject=/a").expect("a query");
        let opening = v1::opening(Door::EventStream, &query, Some(last)).expect("a request");
        let stream = doors.ask(Command::Open(Box::new(opening)));
        let events = stream_events(&doors.reply(stream).text);
        assert_eq!(events[0].1["reset"], true);
        let reset = json!({"reason": "no-history", "last_event_id": repeated});
        assert_eq!(events[1..], [("reset".to_owned(), reset)]);
    }
    // An empty one, as browsers send it, names nothing.
    let mut doors = Doors::new(Settings::default());
    let (_, stream) = doors.sse("subject=/a&last_event_id=");
    assert!(!doors.reply(stream).text.contains("reset"));
}

#[test]
fn padding_comes_first() {
    for bytes in [1, 2048, 16_384] {
        let mut doors = Doors::new(Settings::default());
        let (_, stream) = doors.sse(&format!("subject=/a&pad={bytes}"));
        let text = &doors.reply(stream).text;
        assert!(text.starts_with(": "), "{text:?}");
        assert!(text.find('\n').is_some_and(|end| end >= bytes), "{bytes}");
        assert_eq!(stream_events(text).len(), 1);
    }
}

/// P-14: silence is broken by a comment, which readers skip; an event is a sign of life as well.
#[test]
fn silence_is_broken_by_comments() {
    let mut doors = Doors::new(Settings { heartbeat_ms: 1_000, ..Settings::default() });
    let (_, stream) = doors.sse("subject=/a");
    doors.pass(900);
    assert!(comments(&doors.reply(stream).text).is_empty());
    doors.publish(r#"{"subject":"/a","data":1}"#);
    doors.pass(900);
    assert!(comments(&doors.reply(stream).text).is_empty());
    doors.pass(2_100);
    assert_eq!(comments(&doors.reply(stream).text), ["hb", "hb", "hb"]);
    doors.publish(r#"{"subject":"/a","data":2}"#);
    assert_eq!(doors.data(stream), [json!(1), json!(2)]);
    // P-28: it lives on its heartbeats.
    doors.pass(700_000);
    assert_eq!(doors.world.broker.session_count(), 1);
}

/// P-30: what is dropped is told first thing in the next object.
#[test]
fn what_was_dropped_is_told() {
    let bounds = Bounds { events_max: 3, ..Settings::default().bounds };
    let overflow = Some(Overflow::DropOldest);
    let mut doors = Doors::new(Settings { bounds, overflow, ..Settings::default() });
    let (_, stream) = doors.sse("subject=/a");
    (0..10).for_each(|number| doors.put("/a", number));
    doors.settle();
    let text = &doors.reply(stream).text;
    assert!(text.contains("data: {\"lost\":7,\"subject\":\"/a\",\"data\":7,"), "{text}");
    let told = doors.told(stream);
    let lost: Vec<_> = told.iter().map(|(_, object)| object.get("lost").cloned()).collect();
    assert_eq!(lost, [Some(json!(7)), None, None]);
    assert_eq!(doors.world.broker.counters.lost, 7);
}

/// P-30: without another policy a reader that is too slow is told why its stream ends, behind what it has got a part of.
#[test]
fn a_slow_reader_is_told_why_it_ends() {
    for sent in [0, 20] {
        let mut doors = Doors::new(Settings::default());
        let (_, stream) = doors.sse("subject=/a");
        doors.put("/a", 0);
        let (key, _) = doors.world.broker.poll_transmit(doors.world.now, &mut doors.world.gather).expect("an event");
        let part = text(&doors.world.gather)[..sent].to_owned();
        doors.replies.get_mut(&stream).expect("begun").text.push_str(&part);
        doors.world.broker.handle_sent(doors.world.now, key, &doors.world.gather, sent, true);
        (1..=QUEUE_EVENTS_DEFAULT).for_each(|number| doors.put("/a", number));
        doors.settle();
        assert!(doors.reply(stream).over);
        let told = doors.told(stream);
        let end = json!({"reason": "queue-full", "text": EndReason::QueueFull.text()});
        assert_eq!(told.last(), Some(&("end".to_owned(), end)));
        assert_eq!(told.len(), 1 + usize::from(sent > 0), "the rest of an event that had begun, and no other");
        assert_eq!(doors.reply(stream).carried, u32::from(sent > 0));
        assert_eq!(doors.ended(EndReason::QueueFull), 1);
        doors.assert_nothing_left();
    }
}

/// P-32: everybody is told, behind what was published before.
#[test]
fn a_shutdown_is_told() {
    let mut doors = Doors::new(Settings::default());
    let (_, stream) = doors.sse("subject=/a");
    doors.publish(r#"{"subject":"/a","data":1}"#);
    doors.world.broker.handle_shutdown(doors.world.now);
    doors.settle();
    let end = json!({"reason": "shutdown", "text": EndReason::Shutdown.text()});
    assert_eq!(doors.told(stream)[1], ("end".to_owned(), end));
    assert!(doors.reply(stream).over);
    let (_, refused) = doors.sse("subject=/a");
    let problem = doors.reply(refused).problem.clone().expect("a problem");
    assert_eq!((problem.status, problem.retry_after_s.is_some()), (503, true));
    let refused = doors.publish_as(Identity::NOBODY, r#"{"subject":"/a","data":1}"#);
    assert_eq!(refused.problem.map(|problem| problem.status), Some(503));
    doors.assert_nothing_left();
}

/// P-31: a stream ends with its connection, at once: its client begins anew when it comes again, and nothing could name the old one.
#[test]
fn a_session_ends_with_its_connection() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a");
    let key = doors.world.broker.sessions.by_id(id).expect("it lives");
    let other = ReplyToken { serial: 9, ..stream };
    doors.world.broker.handle_disconnect(doors.world.now, key, other);
    assert_eq!(doors.world.broker.session_count(), 1, "another connection is not its business");
    doors.put("/a", 1);
    doors.world.broker.handle_disconnect(doors.world.now, key, stream);
    assert!(doors.world.outputs().is_empty(), "there is nobody to tell");
    assert_eq!((doors.ended(EndReason::Disconnected), doors.world.broker.counters.lost), (1, 1));
    doors.assert_nothing_left();
}

/// A11: a session beyond the bound gets a problem, and a refused one leaves nothing.
#[test]
fn a_refused_session_leaves_nothing() {
    let mut doors = Doors::new(Settings { sessions_max: 1, ..Settings::default() });
    let many: Vec<String> = (0..=crate::limits::SUBSCRIPTIONS_MAX).map(|number| format!("subject=/{number}")).collect();
    for (query, field) in
        [("subject=/a,/a*", "subject"), ("subject=/a&subject=", "subject"), (&*many.join("&"), "subject")]
    {
        let (_, refused) = doors.sse(query);
        let problem = doors.reply(refused).problem.clone().expect("a problem");
        assert_eq!((problem.status, problem.field), (400, Some(field)), "{}", problem.detail);
        assert_eq!((doors.world.broker.session_count(), doors.world.broker.counters.joins), (0, 0));
        assert_eq!(doors.world.broker.subscription_count(), 0);
    }
    doors.sse("subject=/a");
    let (_, refused) = doors.sse("subject=/a");
    let problem = doors.reply(refused).problem.clone().expect("a problem");
    assert_eq!((problem.status, problem.retry_after_s), (503, Some(crate::limits::RETRY_AFTER_S)));
}

/// A control request of the Pushlet door may name a session of a modern one. It is answered in JSON; what would take the events away is
/// refused (P-7).
#[test]
fn the_pushlet_door_knows_the_session() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a");
    let claimed = || ClaimedId::WellFormed(id);
    let listen = Listen { mode: ModeName::Known(Mode::Pull), ..Listen::default() };
    for command in [
        Command::Listen { id: claimed(), listen },
        Command::Listen { id: claimed(), listen: Listen::default() },
        Command::Refresh { id: claimed() },
    ] {
        let nack = doors.pushlet(command);
        assert_eq!((&nack[0]["p_event"], &nack[0]["p_id"]), (&json!("nack"), &json!(id.to_string())));
        assert_eq!(nack[0]["p_reason"], "the session gets its events at /v1/sse or /v1/poll");
    }
    assert!(!doors.reply(stream).over, "its stream goes on");
    assert_eq!(doors.pushlet(Command::Heartbeat { id: claimed() })[0]["p_event"], "hb-ack");
    let unknown = Command::Unknown { id: claimed(), name: Box::from("dance"), format: None };
    assert_eq!(doors.pushlet(unknown)[0]["p_reason"], "unknown event: dance");

    // P-19: what it subscribes to there is a prefix, as everywhere at that door.
    let subscribe = Command::Subscribe { id: claimed(), subject: Some(Box::from("/b")), label: Some(Box::from("L")) };
    let ack = doors.pushlet(subscribe);
    assert_eq!(ack[0]["p_event"], "subscribe-ack");
    let sid = ack[0]["p_sid"].as_str().expect("a name").to_owned();
    doors.publish(r#"[{"subject":"/bc/d","data":1},{"subject":"/a/x","data":2}]"#);
    assert_eq!(doors.data(stream), [json!(1)]);
    let gone = Command::Unsubscribe { id: claimed(), sid: Some(sid.into()) };
    assert_eq!(doors.pushlet(gone)[0]["p_event"], "unsubscribe-ack");
    doors.publish(r#"{"subject":"/bc","data":3}"#);
    assert_eq!(doors.data(stream), [json!(1)]);

    // P-22: its own event comes back to it by its address; the secret id stands in no event.
    let fields = [("x", "1"), ("p_id", "me"), ("p_subject", "/a")].into_iter().collect();
    let publish = Command::Publish { id: claimed(), subject: Some(Box::from("/a")), to: None, fields };
    assert_eq!(doors.pushlet(publish)[0]["p_event"], "publish-ack");
    let (_, own) = doors.told(stream).pop().expect("an event");
    let address = doors.world.session(id).address.to_string();
    assert_eq!(own, json!({"subject": "/a", "data": {"x": "1"}, "time": 1_000, "from": address}));

    assert_eq!(doors.pushlet(Command::Unsubscribe { id: claimed(), sid: None })[0]["p_event"], "unsubscribe-ack");
    assert_eq!(doors.world.broker.subscription_count(), 0);
}

/// P-23: an event for one session comes to it whatever it listens to; an address that is none names its field.
#[test]
fn an_event_may_be_for_one_session() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a");
    let (_, other) = doors.sse("subject=/x");
    let address = doors.world.session(id).address.to_string();
    doors.publish(&format!(r#"{{"subject":"/x","data":1,"to":"{address}"}}"#));
    assert_eq!((doors.data(stream), doors.data(other)), (vec![json!(1)], vec![]));
    let refused = doors.publish_as(Identity::NOBODY, r#"{"subject":"/x","data":1,"to":"somebody"}"#);
    let posted = refused.posted.expect("an answer");
    let problem = posted.outcomes[0].problem.as_ref().expect("a reason");
    assert_eq!((posted.accepted(), problem.status, problem.field), (0, 400, Some("to")));
}
