//! Events for the same many subscribers that wait one behind the other go to them together: each session is visited once for all of them.

use super::*;
use crate::limits::EVENTS_TOGETHER_MAX;
use crate::session::Bounds;

/// Sessions of core 0 that pull `/s`.
const MANY: usize = 5;

/// A node whose core 0 delivers to one session at a time, with what is published while the first event is under way there. The first event,
/// and the sessions, are told.
fn busy() -> (Node, Vec<SessionId>, ReplyToken) {
    let mut node = Node::new(64);
    node.hubs[0].broker.set_slice(1);
    let ids: Vec<_> = (0..MANY).map(|_| node.join(0, Mode::Pull)).collect();
    node.settle();
    let first = node.publish(0, ids[0], "first", None);
    assert!(node.hubs[0].broker.is_delivering());
    (node, ids, first)
}

impl Node {
    /// How many deliveries core 0 has made, each for one event or for several together.
    fn deliveries(&self) -> u64 {
        self.hubs[0].broker().next_delivery() - 1
    }

    /// What a session has got, in order.
    fn texts(&mut self, id: SessionId) -> Vec<String> {
        let token = self.request(0, Command::Refresh { id: ClaimedId::WellFormed(id) });
        let text = answer(&self.settle(), token);
        text.split(r#""text":""#).skip(1).filter_map(|rest| rest.split('"').next()).map(String::from).collect()
    }
}

/// A8, P-19: everybody gets all of them in their order, and every publisher its ack.
#[test]
fn what_waits_for_the_same_subscribers_goes_together() {
    let (mut node, ids, first) = busy();
    let tokens: Vec<_> = (1..=6).map(|number| node.publish(0, ids[1], &number.to_string(), None)).collect();
    let effects = node.settle();
    for token in [first].into_iter().chain(tokens) {
        assert!(answer(&effects, token).contains("publish-ack"));
    }
    assert_eq!(node.deliveries(), 2, "one for the first, one for all others");
    assert_eq!(node.queued(0), 7 * MANY as u64);
    for id in ids {
        assert_eq!(node.texts(id), ["first", "1", "2", "3", "4", "5", "6"]);
    }
}

/// Whoever subscribes while they wait gets all that were accepted behind that, and nothing of what was before.
#[test]
fn who_comes_while_they_wait_gets_what_comes_behind() {
    let (mut node, ids, _) = busy();
    node.publish(0, ids[1], "1", None);
    let late = node.join(0, Mode::Pull);
    node.publish(0, ids[1], "2", None);
    node.settle();
    assert_eq!(node.texts(late), ["1", "2"], "they are accepted when their turn comes");
    assert_eq!(node.texts(ids[4]), ["first", "1", "2"]);
}

/// What stands between them and is for others parts them: order is worth more.
#[test]
fn what_is_for_others_parts_them() {
    let (mut node, ids, _) = busy();
    let to = ids[3].to_string();
    node.publish(0, ids[1], "1", None);
    node.publish(0, ids[1], "2", None);
    node.publish(0, ids[1], "alone", Some(&to));
    node.publish(0, ids[1], "3", None);
    node.hubs[0].handle_event(node.now, event("everyone"), Audience::Everyone);
    node.hubs[0].handle_event(node.now, event("4"), Audience::Subscribers);
    let elsewhere = Event { subject: crate::topic::Subject::new("/s/t").unwrap(), ..event("5") };
    node.hubs[0].handle_event(node.now, elsewhere, Audience::Subscribers);
    while node.hubs[0].has_work() {
        node.turn(0);
    }
    assert_eq!(node.texts(ids[3]), ["first", "1", "2", "alone", "3", "everyone", "4", "5"]);
    assert_eq!(node.texts(ids[2]), ["first", "1", "2", "3", "everyone", "4", "5"]);
    assert_eq!(node.deliveries(), 7);
}

/// P-30: so many that a queue which was half empty is full are never put into it at once.
#[test]
fn they_leave_room_in_the_queues() {
    for (events_max, together) in [(1000, EVENTS_TOGETHER_MAX), (8, 4), (1, 1)] {
        let (mut node, ids, _) = busy();
        let bounds = Bounds { events_max, bytes_max: 1 << 20 };
        let settings = Settings { bounds, ..node.hubs[0].broker().settings.clone() };
        node.hubs[0].handle_settings(settings);
        while node.hubs[0].broker.is_delivering() {
            node.turn(0);
        }
        let hub = &mut node.hubs[0];
        hub.broker.handle_event(node.now, &Arc::new(event("first")), &Audience::Subscribers);
        let mut taken = 1;
        while hub.broker.may_join("/s", event("more").bytes()) {
            hub.broker.handle_event(node.now, &Arc::new(event("more")), &Audience::Subscribers);
            taken += 1;
        }
        assert_eq!(taken, together, "of {events_max}");
        assert_eq!(ids.len(), MANY);
    }
    let (mut node, _, _) = busy();
    let broker = &mut node.hubs[0].broker;
    broker.finish_delivery(node.now);
    broker.handle_event(node.now, &Arc::new(event("first")), &Audience::Subscribers);
    assert!(broker.may_join("/s", 50_000) && !broker.may_join("/s", 100_000), "of a megabyte");
}

/// The events of a request without a session go together as well, and what access rules refuse of them is nobody's.
#[test]
fn the_events_of_a_batch_go_together() {
    let (mut node, ids, _) = busy();
    let items = serde_json::json!([
        {"subject": "/s", "data": {"text": "1"}},
        {"subject": "$own", "data": {"text": "refused"}},
        {"subject": "/s", "data": {"text": "2"}},
        {"subject": "/s", "data": {"text": "3"}},
        {"subject": "/s", "to": "nobody", "data": {"text": "refused"}},
        {"subject": "/s", "data": {"text": "4"}},
    ]);
    let query = crate::wire::v1::Query::default();
    let body = items.to_string();
    let (items, list) = crate::wire::v1::read(crate::wire::v1::Body::Json, &query, None, body.as_bytes()).unwrap();
    let post = crate::protocol::Post { items, list, key: None, publisher: None };
    let token = node.request(0, Command::Post(Box::new(post)));
    let behind = node.publish(0, ids[1], "5", None);
    let effects = node.settle();
    assert_eq!(answer(&effects, token), "accepted 4 refused 2");
    assert!(answer(&effects, behind).contains("publish-ack"));
    assert_eq!(node.texts(ids[0]), ["first", "1", "2", "3", "4", "5"]);
    assert!(node.deliveries() <= 4, "{}: refused ones may part them", node.deliveries());
}

/// What comes from another core for the same subscribers goes together too.
#[test]
fn what_another_core_sends_goes_together() {
    let (mut node, ids, _) = busy();
    let far = node.join(1, Mode::Pull);
    node.turn(1);
    for number in 1..=4 {
        node.publish(1, far, &number.to_string(), None);
    }
    node.settle();
    assert_eq!(node.hubs[0].broker().counters().relayed, 4);
    assert_eq!(node.texts(ids[2]), ["first", "1", "2", "3", "4"]);
    assert_eq!(node.deliveries(), 2);
}

/// A8: what was acked on another core before, and waits here as well, comes before a publish that has to wait.
#[test]
fn a_publish_that_waits_comes_behind_older_letters() {
    let (mut node, ids, _) = busy();
    let far = node.join(1, Mode::Pull);
    node.turn(1);
    let acked = node.publish(1, far, "1", None);
    let effects = node.turn(1);
    assert!(answer(&effects, acked).contains("publish-ack"));
    node.publish(0, ids[0], "2", None);
    node.settle();
    assert_eq!(node.texts(ids[0]), ["first", "1", "2"]);
}

/// The bytes of an event are bounded before it is made, from what its request holds.
#[test]
fn a_name_counts() {
    let name = crate::protocol::EventName::new("price").ok();
    assert_eq!(Event { name, ..event("x") }.bytes(), event("x").bytes() + 5);
}
