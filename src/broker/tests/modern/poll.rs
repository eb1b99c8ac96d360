//! Sessions of `/v1/poll`.

use serde_json::json;

use super::*;

fn numbers(answer: &Value) -> Vec<Value> {
    answer["events"].as_array().expect("events").iter().map(|event| event["data"].clone()).collect()
}

fn problem(doors: &Doors, token: ReplyToken) -> (u16, Option<&'static str>) {
    let problem = doors.reply(token).problem.as_ref().expect("a problem");
    (problem.status, problem.field)
}

/// P-15: the first answer comes at once, the next one waits for events, and what comes between two is kept.
#[test]
fn a_long_poll_goes_on() {
    let mut doors = Doors::new(Settings::default());
    let (id, first) = doors.poll("subject=/a/*");
    let address = doors.world.session(id).address.to_string();
    let names = json!({"session": id.to_string(), "address": address, "events": [], "wait_ms": 20_000});
    assert_eq!(doors.polled(first), names);
    assert_eq!(doors.world.broker.listening_count(), 0);

    let waiting = doors.next(id, "");
    assert!(!doors.reply(waiting).over && doors.reply(waiting).text.starts_with("{\"session\":"));
    assert_eq!(doors.world.broker.listening_count(), 1);
    (1..=2).for_each(|number| doors.put("/a/b", number));
    doors.settle();
    let answer = doors.polled(waiting);
    assert_eq!(numbers(&answer), [json!(1), json!(2)], "what was published together comes together");
    assert_eq!(answer["events"][0], json!({"subject": "/a/b", "data": 1, "time": 1_000}));
    assert_eq!((&answer["session"], answer.get("end")), (&json!(id.to_string()), None));
    assert_eq!(doors.reply(waiting).carried, 2);

    doors.publish(r#"[{"subject":"/a/c","data":3},{"subject":"/a","data":4},{"subject":"/a/c","data":5}]"#);
    let kept = doors.next(id, "");
    assert_eq!(numbers(&doors.polled(kept)), [json!(3), json!(5)]);
    assert_eq!(doors.reply(kept).carried, 2);
}

/// P-15: a wait ends with no events when its time is over: the server's, or a shorter one that the client wants.
#[test]
fn a_wait_ends() {
    let settings = Settings { pull_wait_ms: 5_000, ..Settings::default() };
    for (wait, ms) in [("", 5_000), ("&wait=2", 2_000), ("&wait=300", 5_000)] {
        let mut doors = Doors::new(settings.clone());
        let (id, _) = doors.poll("subject=/a");
        let waiting = doors.next(id, wait);
        doors.pass(ms - 100);
        assert!(!doors.reply(waiting).over, "{wait}");
        doors.pass(200);
        assert_eq!(doors.polled(waiting), json!({"session": id.to_string(), "events": []}));
    }
    let mut doors = Doors::new(settings);
    let (id, _) = doors.poll("subject=/a");
    let now = doors.next(id, "&wait=0");
    assert_eq!(doors.polled(now), json!({"session": id.to_string(), "events": []}));
}

/// P-26: the newest request wins; the older one ends with what it has, and nothing is lost.
#[test]
fn the_newest_request_wins() {
    let mut doors = Doors::new(Settings::default());
    let (id, _) = doors.poll("subject=/a");
    let older = doors.next(id, "");
    // The event waits to be written when the newer request comes.
    doors.put("/a", 1);
    let newer = doors.next(id, "");
    assert_eq!(doors.polled(older), json!({"session": id.to_string(), "events": []}));
    assert_eq!(numbers(&doors.polled(newer)), [json!(1)]);
    assert_eq!(doors.world.broker.session_count(), 1);
}

/// P-29: who does not come back for its events is given up; where none wait, the lease decides (P-28).
#[test]
fn who_does_not_come_back_is_given_up() {
    let mut doors = Doors::new(Settings::default());
    let (id, _) = doors.poll("subject=/a");
    doors.publish(r#"{"subject":"/a","data":1}"#);
    doors.pass(44_000);
    assert_eq!(doors.world.broker.session_count(), 1);
    doors.pass(2_000);
    assert_eq!((doors.ended(EndReason::NotAlive), doors.world.broker.counters.lost), (1, 1));
    let gone = doors.next(id, "");
    assert_eq!(problem(&doors, gone), (404, Some("session")));
    doors.assert_nothing_left();

    let mut doors = Doors::new(Settings::default());
    doors.poll("subject=/a");
    doors.pass(299_000);
    assert_eq!(doors.world.broker.session_count(), 1);
    doors.pass(2_000);
    assert_eq!(doors.ended(EndReason::LeaseExpired), 1);
    doors.assert_nothing_left();
}

/// P-31: a connection that breaks while it waits leaves the session for a while; its client may come again.
#[test]
fn a_broken_wait_is_gone_on_with() {
    let mut doors = Doors::new(Settings::default());
    let (id, _) = doors.poll("subject=/a");
    let key = doors.world.broker.sessions.by_id(id).expect("it lives");
    let broken = doors.next(id, "");
    doors.world.broker.handle_disconnect(doors.world.now, key, broken);
    doors.publish(r#"{"subject":"/a","data":1}"#);
    let again = doors.next(id, "");
    assert_eq!(numbers(&doors.polled(again)), [json!(1)]);
    let broken = doors.next(id, "");
    doors.world.broker.handle_disconnect(doors.world.now, key, broken);
    doors.pass(46_000);
    assert_eq!(doors.ended(EndReason::Disconnected), 1);
    doors.assert_nothing_left();
}

/// P-30: events that went down with a broken answer are told as lost by the next one.
#[test]
fn what_a_broken_answer_carried_is_told_as_lost() {
    let mut doors = Doors::new(Settings::default());
    let (id, _) = doors.poll("subject=/a");
    (0..3).for_each(|number| doors.put("/a", number));
    let broken = doors.next(id, "");
    let key = doors.world.broker.sessions.by_id(id).expect("it lives");
    let carried = doors.reply(broken).carried;
    assert_eq!(carried, 3);
    doors.world.broker.handle_undelivered(key, carried);
    let waiting = doors.next(id, "");
    assert!(!doors.reply(waiting).over, "there is nothing new");
    doors.publish(r#"{"subject":"/a","data":3}"#);
    let answer = doors.polled(waiting);
    assert_eq!(answer["events"], json!([{"lost": 3, "subject": "/a", "data": 3, "time": 1_000}]));
    assert_eq!(doors.reply(waiting).carried, 4, "and what it tells of goes down with it");
}

/// A session that there is not, and one that gets its events elsewhere.
#[test]
fn only_a_session_of_this_door_goes_on_here() {
    let mut doors = Doors::new(Settings::default());
    let (stream, _) = doors.sse("subject=/a");
    let (pull, _) = doors.world.listen(Mode::Pull);
    doors.settle();
    for id in [stream, pull] {
        let refused = doors.next(id, "");
        assert_eq!(problem(&doors, refused), (400, Some("session")));
    }
    for name in ["nonsense", "", &SessionId::new(crate::protocol::Shard::new(3), 99).to_string()] {
        let refused = doors.poll(&format!("session={name}")).1;
        assert_eq!(problem(&doors, refused), (404, Some("session")), "{name:?}");
    }
    assert_eq!(doors.world.broker.counters.ids_unknown, 3);
}

/// P-27, P-32: a session that ends while its client waits says so.
#[test]
fn an_end_is_told_to_who_waits() {
    for reason in [EndReason::Leave, EndReason::Shutdown] {
        let mut doors = Doors::new(Settings::default());
        let (id, _) = doors.poll("subject=/a");
        let waiting = doors.next(id, "");
        if reason == EndReason::Leave {
            let ack = doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(id) });
            assert_eq!(ack[0]["p_event"], "leave-ack");
        } else {
            doors.world.broker.handle_shutdown(doors.world.now);
            doors.settle();
        }
        let end = json!({"reason": reason.word(), "text": reason.text()});
        assert_eq!(doors.polled(waiting), json!({"session": id.to_string(), "events": [], "end": end}));
        let late = doors.next(id, "");
        let due = if reason == EndReason::Leave { (404, Some("session")) } else { (503, None) };
        assert_eq!(problem(&doors, late), due);
        doors.assert_nothing_left();
    }
}

/// P-7: a session of a long poll has its events there and nowhere else.
#[test]
fn the_pushlet_door_does_not_take_its_events() {
    let mut doors = Doors::new(Settings::default());
    let (id, _) = doors.poll("subject=/a");
    let waiting = doors.next(id, "");
    let nack = doors.pushlet(Command::Refresh { id: ClaimedId::WellFormed(id) });
    assert_eq!(nack[0]["p_event"], "nack");
    let listen = Command::Listen { id: ClaimedId::WellFormed(id), listen: Listen::default() };
    assert_eq!(doors.pushlet(listen)[0]["p_event"], "nack");
    assert!(!doors.reply(waiting).over);
    doors.publish(r#"{"subject":"/a","data":1}"#);
    assert_eq!(numbers(&doors.polled(waiting)), [json!(1)]);
}

/// P-30: a queue that is full drops the oldest and tells of them, in whatever way the client asks for a short one.
#[test]
fn a_full_queue_is_told() {
    let bounds = Bounds { events_max: 4, ..Settings::default().bounds };
    let mut doors = Doors::new(Settings { bounds, ..Settings::default() });
    let (id, _) = doors.poll("subject=/a");
    (0..10).for_each(|number| doors.put("/a", number));
    let answer = doors.next(id, "");
    let answer = doors.polled(answer);
    assert_eq!(numbers(&answer), [json!(6), json!(7), json!(8), json!(9)]);
    assert_eq!((&answer["events"][0]["lost"], answer["events"][1].get("lost")), (&json!(6), None));
    let (id, _) = doors.poll("subject=/b&queue=2");
    (0..10).for_each(|number| doors.put("/b", number));
    let answer = doors.next(id, "");
    let answer = doors.polled(answer);
    assert_eq!((numbers(&answer), &answer["events"][0]["lost"]), (vec![json!(8), json!(9)], &json!(8)));
}
