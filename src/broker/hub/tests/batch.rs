//! Publish requests without a session on several cores: they wait for room, leave others their turn, and are carried out where their key says.

use serde_json::json;

use super::*;
use crate::broker::PresenceChange;
use crate::limits::{
    DELIVERIES_PER_TURN_MAX, NODES_PER_TURN_MAX, POST_EVENTS_PER_STEP_MAX, POST_ITEMS_MAX, POST_STEPS_PER_TURN_MAX,
};
use crate::protocol::{Door, IdempotencyKey, Opening, Post, Posted, SubscriptionWish, WantedSubscription};
use crate::topic::Pattern;
use crate::wire::v1::{self, Query};

fn post(body: &serde_json::Value, key: Option<IdempotencyKey>) -> Command {
    let (items, list) = v1::read(v1::Body::Json, &Query::default(), None, body.to_string().as_bytes()).expect("a body");
    Command::Post(Box::new(Post { items, list, key, publisher: None }))
}

/// So many events with numbers from `first` on.
fn numbered(first: usize, many: usize) -> serde_json::Value {
    (first..first + many).map(|number| json!({"subject": "/s", "data": number})).collect()
}

/// A key that the core `core` decides about.
fn key_of(core: u16, text: &str) -> IdempotencyKey {
    let table = ShardTable::new(CORES);
    let key = |hash| IdempotencyKey { text: Arc::from(text), fingerprint: 1, hash, is_known: true };
    (0..).map(key).find(|key| table.core_of(key.shard()) == core).expect("every core has shards")
}

fn found(effects: &[Effect], token: ReplyToken) -> Option<&Answer> {
    let mut found = effects.iter().filter_map(|effect| match effect {
        Effect::Do { output: Output::Answer { token: to, answer }, .. } if *to == token => Some(answer),
        _ => None,
    });
    let first = found.next();
    assert!(found.next().is_none(), "two answers");
    first
}

fn posted(effects: &[Effect], token: ReplyToken) -> Posted {
    match found(effects, token) {
        Some(Answer::Posted(posted)) => (**posted).clone(),
        other => panic!("{other:?}"),
    }
}

impl Node {
    /// A long poll on core `core`.
    fn open(&mut self, core: u16, pattern: &str) -> SessionId {
        let wanted = WantedSubscription { list: Box::from(pattern), wish: SubscriptionWish::default() };
        let opening = Opening {
            door: Door::LongPoll,
            subscriptions: vec![wanted],
            last_event_id: None,
            pad: 0,
            heartbeats: false,
            names_in_data: false,
        };
        self.request(core, Command::Open(Box::new(opening)));
        SessionId::new(ShardTable::new(CORES).pick(core, 0), u128::from(self.connections))
    }

    /// What waits for a session, asked for over core `core`.
    fn heard(&mut self, core: u16, id: SessionId) -> Vec<serde_json::Value> {
        let token = self.request(core, Command::PollNext { id: ClaimedId::WellFormed(id), wait_ms: Some(0) });
        let text = answer(&self.settle(), token);
        let mut answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        serde_json::from_value(answer["events"].take()).expect("events")
    }

    fn data(&mut self, core: u16, id: SessionId) -> Vec<serde_json::Value> {
        self.heard(core, id).into_iter().map(|mut event| event["data"].take()).collect()
    }

    fn counters(&self, core: u16) -> &Counters {
        self.hubs[usize::from(core)].broker().counters()
    }
}

/// A8: each event of a batch waits until all cores have room for it, and then all get it; the batch goes on where it stopped.
#[test]
fn a_batch_waits_until_all_have_room() {
    let mut node = Node::new(4);
    let ids = [0, 1, 2].map(|core| node.open(core, "/s"));
    node.settle();
    let token = node.request(0, post(&numbered(0, 10), None));
    assert!(found(&node.turn(0), token).is_none());
    assert_eq!([0, 1, 2].map(|core| node.queued(core)), [4, 0, 0]);
    node.turn(1);
    node.turn(0);
    assert_eq!([0, 1, 2].map(|core| node.queued(core)), [4, 4, 0], "core 2 has no room for a fifth");
    assert!(!node.hubs[0].has_work(), "a full inbox of another core is no work");
    // Core 1 has made room, and it costs one more turn to see that it is not for this.
    assert!(!node.hubs[0].prepare_sleep());
    node.turn(0);
    assert!(node.hubs[0].prepare_sleep(), "there is nothing to do but wait");
    node.turn(2);
    node.turn(0);
    assert_eq!([0, 1, 2].map(|core| node.queued(core)), [8, 4, 4]);
    let effects = node.settle();
    let posted = posted(&effects, token);
    assert_eq!((posted.accepted(), posted.refused(), posted.list), (10, 0, true));
    for (core, id) in (0..).zip(ids) {
        assert_eq!(node.data(core, id), (0..10).map(|number| json!(number)).collect::<Vec<_>>());
    }
    assert_eq!((node.counters(0).published, node.hubs[0].waiting()), (10, 0));
}

/// A large batch takes no more than its share of a turn, and everybody else's publishes come between its steps.
#[test]
fn a_batch_leaves_others_their_turn() {
    let mut node = Node::new(1 << 14);
    let id = node.join(0, Mode::Poll);
    node.settle();
    let per_turn = u64::from(POST_EVENTS_PER_STEP_MAX * POST_STEPS_PER_TURN_MAX);
    let batches: Vec<_> = (0..3).map(|_| node.request(0, post(&numbered(0, POST_ITEMS_MAX), None))).collect();
    let small = node.publish(0, id, "x", None);
    let before = node.counters(0).published;
    assert!(before <= u64::from(POST_EVENTS_PER_STEP_MAX), "{before} events in one go");
    let effects = node.turn(0);
    assert!(answer(&effects, small).contains("publish-ack"), "behind one step of each");
    assert!(batches.iter().all(|token| found(&effects, *token).is_none()));
    let after = node.counters(0).published;
    assert!(after - before <= per_turn + 1, "{} events in a turn", after - before);
    let mut turns = 1;
    let mut left = batches;
    while !left.is_empty() {
        let effects = node.turn(0);
        left.retain(|token| found(&effects, *token).is_none());
        turns += 1;
        assert!(turns <= 4, "it goes on at once");
    }
    assert_eq!(node.counters(0).published, 3 * POST_ITEMS_MAX as u64 + 1);
}

/// A8: what found no room for too long is refused, and what was accepted before is told; nobody got any of the rest.
#[test]
fn a_batch_that_waits_too_long_tells_how_far_it_came() {
    let mut node = Node::new(4);
    let ids = [0, 1].map(|core| node.open(core, "/s"));
    node.settle();
    let mut body = numbered(0, 7);
    body[6] = json!({"subject": "", "data": 1});
    let key = key_of(0, "0 once");
    let token = node.request(0, post(&body, Some(key.clone())));
    let one = node.request(0, post(&json!({"subjects": ["/s", "/t"], "data": 9}), None));
    node.turn(0);
    node.now.instant = node.now.instant + OVERLOAD_MS;
    node.hubs[0].handle_timeout(node.now);
    let effects = node.turn(0);
    let told = posted(&effects, token);
    assert_eq!((told.accepted(), told.refused()), (4, 3));
    let statuses: Vec<_> = told.outcomes.iter().map(|it| it.problem.as_ref().map(|problem| problem.status)).collect();
    assert_eq!(statuses, [None, None, None, None, Some(503), Some(503), Some(400)]);
    let problem = told.outcomes[4].problem.as_ref().expect("a reason");
    assert!(problem.detail.contains("overloaded") && problem.retry_after_s.is_some(), "{problem:?}");
    let whole = posted(&effects, one);
    assert_eq!((whole.accepted(), whole.refused()), (0, 1));
    assert_eq!(node.counters(0).overloaded, 2);
    node.settle();
    for (core, id) in (0..).zip(ids) {
        assert_eq!(node.data(core, id), [0, 1, 2, 3]);
    }
    // The key remembers what was told: the client has to publish the rest under another one.
    let again = node.request(1, post(&body, Some(key)));
    let effects = node.settle();
    assert_eq!(posted(&effects, again), Posted { replayed: true, ..told });
}

/// P-32: a batch that waits when the server ends is told how far it came.
#[test]
fn a_batch_at_shutdown_is_told_how_far_it_came() {
    let mut node = Node::new(4);
    node.settle();
    let token = node.request(0, post(&numbered(0, 6), None));
    node.turn(0);
    node.hubs[0].handle_shutdown(node.now);
    let effects = node.turn(0);
    let told = posted(&effects, token);
    assert_eq!((told.accepted(), told.refused()), (4, 2));
    let problem = told.outcomes[5].problem.as_ref().expect("a reason");
    assert_eq!((problem.status, &*problem.detail), (503, EndReason::Shutdown.text()));
    // What comes later is refused as a whole.
    let late = node.request(0, post(&numbered(0, 1), None));
    assert!(answer(&node.turn(0), late).starts_with("503"));
}

/// A3: the core of a key decides, and the answer goes to where the request came; the same key publishes once, on whichever core it comes.
#[test]
fn a_key_is_decided_by_its_core() {
    let mut node = Node::new(64);
    let id = node.open(1, "/s");
    node.settle();
    let key = || Some(key_of(2, "0 k"));
    let tokens = [0, 1, 2].map(|core| {
        let token = node.request(core, post(&numbered(0, 3), key()));
        (token, node.settle())
    });
    let told: Vec<Posted> = tokens.iter().map(|(token, effects)| posted(effects, *token)).collect();
    assert_eq!(told.iter().map(|posted| posted.replayed).collect::<Vec<_>>(), [false, true, true]);
    assert!(told.iter().all(|posted| posted.accepted() == 3));
    assert_eq!([0, 1, 2].map(|core| node.counters(core).published), [0, 0, 3]);
    assert_eq!(node.data(1, id).len(), 3);
}

/// A3: what is refused is refused where it is asked: no connection moves for a stream that there will not be.
#[test]
fn no_connection_moves_for_a_session_of_another_door() {
    let mut node = Node::new(64);
    let id = node.open(1, "/s");
    node.settle();
    for command in [
        Command::Listen { id: ClaimedId::WellFormed(id), listen: Listen::default() },
        Command::Refresh { id: ClaimedId::WellFormed(id) },
    ] {
        let token = node.request(0, command);
        let text = answer(&node.settle(), token);
        assert!(text.contains("nack") && text.contains("/v1/sse or /v1/poll"), "{text}");
    }
}

/// While a key's request waits for room, another one with the same key is told so, on whichever core it comes.
#[test]
fn a_key_in_flight_is_told_on_every_core() {
    let mut node = Node::new(4);
    node.settle();
    let key = || Some(key_of(2, "0 k"));
    let first = node.request(0, post(&numbered(0, 6), key()));
    node.turn(2);
    assert_eq!(node.counters(2).published, 4, "cores 0 and 1 have no room for a fifth");
    let second = node.request(1, post(&numbered(0, 6), key()));
    node.turn(2);
    // The answer waits behind four events; the first request goes on when those are taken in.
    let effects = node.settle();
    assert!(answer(&effects, second).starts_with("409"), "{effects:?}");
    assert_eq!(posted(&effects, first).accepted(), 6);
}

/// A8: an item that is none takes no room, and the one behind it waits for its own.
#[test]
fn a_bad_item_does_not_hide_the_weight_of_the_next() {
    let bounds = LaneBounds { messages_max: 64, bytes_max: 4_000 };
    let mut node = Node::with(bounds);
    node.settle();
    let large = |number: u32| json!({"subject": "/s", "data": format!("{number}{}", "x".repeat(2_500))});
    let token = node.request(0, post(&json!([large(0), 7, {"subject": ""}, large(1)]), None));
    assert_eq!(node.counters(0).published, 1, "there is room for one of them");
    assert_eq!(node.hubs[0].waiting(), 1);
    let effects = node.settle();
    let told = posted(&effects, token);
    assert_eq!((told.accepted(), told.refused(), told.outcomes.len()), (2, 2, 4));
    assert!(told.outcomes[1].problem.is_some() && told.outcomes[2].problem.is_some());
}

/// Publishes again and again, each time behind the answer to the time before, with keys of any core or without; says how many events.
fn publish_in_turn(
    node: &mut Node,
    chance: &mut fastrand::Rng,
    mut home: impl FnMut(&mut Node, &mut fastrand::Rng) -> u16,
) -> usize {
    let mut next = 0;
    while next < 80 {
        let many = chance.usize(1..4);
        let key = chance.bool().then(|| key_of(chance.u16(..CORES), &format!("0 {next}")));
        let home = home(node, chance);
        let token = node.request(home, post(&numbered(next, many), key));
        next += many;
        let answered = (0..2_000).any(|_| {
            let core = chance.u16(..CORES);
            found(&node.turn(core), token).is_some()
        });
        assert!(answered, "no answer to event {next}");
    }
    node.settle();
    next
}

/// Requests of one connection that are decided by different cores: who publishes, gets the answer and publishes again is heard in that order
/// by everybody, whatever the cores do meanwhile.
#[test]
fn answers_keep_the_order_of_what_they_answer() {
    for seed in 0..60 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut node = Node::new([2, 8, 64][chance.usize(..3)]);
        let ids = [0, 1, 2].map(|core| node.open(core, "/s"));
        node.settle();
        let many = if seed % 2 == 0 {
            publish_in_turn(&mut node, &mut chance, |_, _| (seed % 3) as u16)
        } else {
            // A connection for each request, on any core: the clock of the machine keeps the order, and that letters come first.
            let mut ns = 0;
            publish_in_turn(&mut node, &mut chance, |node, chance| {
                let core = chance.u16(..CORES);
                let now = node.now;
                let hub = &mut node.hubs[usize::from(core)];
                ns += 1_000;
                hub.set_time(ns);
                hub.receive(now);
                core
            })
        };
        for (core, id) in (0..).zip(ids) {
            let order: Vec<_> = (0..many).map(|number| json!(number)).collect();
            assert_eq!(node.data(core, id), order, "seed {seed} core {core}");
        }
    }
}

/// Presence is counted for the whole node: a crowd is one event for each core and tick, and everybody hears the same counts in the same order.
#[test]
fn presence_is_counted_over_all_cores() {
    let mut node = Node::new(64);
    let told = |patterns: &[&str]| {
        let presence = patterns.iter().map(|text| Pattern::new(text).expect("a pattern")).collect();
        Settings { presence, shards: ShardTable::new(CORES), ..Settings::default() }
    };
    let reload = |node: &mut Node, patterns: &[&str]| {
        for hub in &mut node.hubs {
            hub.handle_settings(told(patterns));
        }
        node.tick();
    };
    reload(&mut node, &["/rooms/*"]);
    let ears = [0, 1, 2].map(|core| node.open(core, "$presence/**"));
    let mut rooms = Vec::new();
    for core in 0..CORES {
        rooms.extend((0..5).map(|_| node.open(core, "/rooms/1,/rooms/2").to_string()));
    }
    node.tick();
    let heard = node.heard(0, ears[0]);
    assert_eq!(heard.len(), 6, "one for each core and room: {heard:?}");
    for room in ["/rooms/1", "/rooms/2"] {
        let of_room: Vec<_> = heard.iter().filter(|event| event["data"]["subject"] == room).collect();
        assert!(of_room.iter().all(|event| event["event"] == "joined" && event["data"]["change"] == 5));
        let counts: Vec<_> = of_room.iter().map(|event| event["data"]["count"].clone()).collect();
        assert_eq!(counts, [5, 10, 15]);
        assert!(of_room.iter().all(|event| event["subject"] == format!("$presence{room}")));
    }
    let text = serde_json::Value::from(heard).to_string();
    assert!(rooms.iter().all(|id| !text.contains(id)), "no ids in it");
    // The other ears heard the same; what is about one room is in one order.
    for core in [1, 2] {
        assert_eq!(node.heard(core, ears[usize::from(core)]).len(), 6);
    }
    let leave = |id: &str| Command::Leave { id: ClaimedId::from_field(Some(id)) };
    rooms.iter().take(5).for_each(|id| _ = node.request(1, leave(id)));
    node.tick();
    let heard = node.heard(2, ears[2]);
    let left: Vec<_> = heard.iter().map(|event| (event["event"].clone(), event["data"]["count"].clone())).collect();
    assert_eq!(left, vec![(json!("left"), json!(10)); 2]);
    // HUP: nobody is told of any more, so everybody goes; and comes again.
    reload(&mut node, &[]);
    let heard = node.heard(0, ears[0]);
    assert_eq!(heard.iter().filter(|event| event["event"] == "left" && event["data"]["count"] == 0).count(), 2);
    reload(&mut node, &["/rooms/1"]);
    let heard = node.heard(0, ears[0]);
    assert_eq!(heard.last().map(|event| event["data"]["count"].clone()), Some(json!(10)));
    node.hubs.iter_mut().for_each(|hub| hub.handle_shutdown(node.now));
    node.tick();
    assert!(node.hubs.iter().all(|hub| hub.broker().session_count() == 0 && hub.waiting() == 0));
}

impl Node {
    /// A tick on every core, and what follows from it.
    fn tick(&mut self) {
        self.settle();
        self.hubs.iter_mut().for_each(|hub| hub.handle_timeout(self.now));
        self.settle();
    }
}

/// The counts of a subject are one core's, the same whoever tells.
#[test]
fn every_core_knows_who_counts() {
    let shard = |subject: &str| PresenceChange { subject: Box::from(subject), change: 1 }.shard();
    assert_eq!(shard("/rooms/1"), shard("/rooms/1"));
    let spread: std::collections::BTreeSet<u16> =
        (0..200).map(|room| ShardTable::new(8).core_of(shard(&format!("/rooms/{room}")))).collect();
    assert_eq!(spread.len(), 8, "no core counts for all");
}

/// Patterns that agree with a subject up to its last segment cost a match much and give the event to nobody. What a turn takes in is bounded by
/// that as well, and requests are served between the turns.
#[test]
fn what_a_match_costs_counts_against_a_turn() {
    let mut node = Node::new(1 << 14);
    let depth = 24;
    // Each session has eight patterns of its own: three stars in other places, and a last segment that nothing has.
    let mut places = (1..depth).flat_map(|a| (a + 1..depth).flat_map(move |b| (b + 1..depth).map(move |c| [a, b, c])));
    for _ in 0..100 {
        let pattern = |stars: [usize; 3]| -> String {
            let segment = |at| if stars.contains(&at) { "*" } else { "a" };
            format!("/{}/z", (1..depth).map(segment).collect::<Vec<_>>().join("/"))
        };
        let list: Vec<String> = places.by_ref().take(8).map(pattern).collect();
        node.open(0, &list.join(","));
    }
    node.settle();
    let subject = format!("/{}/a", vec!["a"; depth - 1].join("/"));
    let items: serde_json::Value = (0..400).map(|number| json!({"subject": subject, "data": number})).collect();
    let token = node.request(0, post(&items, None));
    let (mut turns, mut longest) = (0, 0);
    let effects = loop {
        let before = node.hubs[0].broker().walked();
        let effects = node.turn(0);
        longest = longest.max(node.hubs[0].broker().walked() - before);
        turns += 1;
        assert!(turns < 10_000, "the batch does not end");
        if found(&effects, token).is_some() {
            break effects;
        }
        assert!(node.hubs[0].has_work(), "nobody would wake the core");
    };
    assert_eq!(posted(&effects, token).accepted(), 400);
    let one = node.hubs[0].broker().walked() / 400;
    assert!(one > 500, "the patterns cost nothing: {one} nodes");
    assert!(longest <= NODES_PER_TURN_MAX + one, "{longest} nodes in a turn");
}

/// A batch that is interrupted again and again, because its events have many readers, still gives others their turn.
#[test]
fn an_interrupted_batch_leaves_others_their_turn() {
    let mut node = Node::new(1 << 14);
    for _ in 0..600 {
        node.open(0, "/s");
    }
    let id = node.join(0, Mode::Poll);
    node.settle();
    let token = node.request(0, post(&numbered(0, POST_ITEMS_MAX), None));
    let small = node.publish(0, id, "x", None);
    for _ in 0..(u64::from(POST_EVENTS_PER_STEP_MAX) * 600).div_ceil(DELIVERIES_PER_TURN_MAX) + 1 {
        let effects = node.turn(0);
        assert!(found(&effects, token).is_none(), "the batch was done first");
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Do { output: Output::Answer { token, .. }, .. } if *token == small))
        {
            return;
        }
    }
    panic!("the small publish still waits behind the batch");
}
