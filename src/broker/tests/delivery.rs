//! Large publishes, which are delivered in slices while other requests are served.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;
use crate::limits::{DELIVERIES_PER_SLICE_MAX, DELIVERIES_TOGETHER_MAX};
use crate::protocol::{Address, Audience, Overflow};

impl World {
    /// A world whose slices are as small as that.
    fn sliced(slice: usize) -> Self {
        let mut world = Self::new(Settings::default());
        world.broker.slice = slice;
        world
    }

    fn ask(&mut self, id: SessionId, command: impl FnOnce(ClaimedId) -> Command) {
        self.request(command(ClaimedId::WellFormed(id)));
        self.outputs();
    }

    /// A session that polls `/s`, put in its place at once: in tests the wheel is swept for each request.
    fn polls(&mut self, number: u128) -> SessionId {
        let shard = self.broker.settings.shards.pick(0, 0);
        let (id, address) = (SessionId::new(shard, number), Address::new(shard, number));
        let key = self.broker.sessions.insert(Session::new(id, address, Format::Json, false)).unwrap();
        let session = self.broker.sessions.get_mut(key).unwrap();
        session.mode = Some(Mode::Poll);
        session.channel = Channel::Away { until: Instant::NEVER, detached: false };
        session.subscriptions.add(key.slot, "/s", None, 0, &mut self.broker.trie).unwrap();
        id
    }

    fn subscribe(&mut self, id: SessionId, list: &str) {
        self.ask(id, |id| Command::Subscribe { id, subject: Some(Box::from(list)), label: None });
    }

    fn unsubscribe(&mut self, id: SessionId, sid: Option<&str>) {
        self.ask(id, |id| Command::Unsubscribe { id, sid: sid.map(Box::from) });
    }

    fn listen_again(&mut self, id: SessionId, mode: Mode, subject: Option<&str>) {
        let listen =
            Listen { mode: ModeName::Known(mode), subject: subject.map(Box::from), label: None, ..Listen::default() };
        self.ask(id, |id| Command::Listen { id, listen });
    }

    fn join(&mut self) -> SessionId {
        self.request(Command::Join { format: FormatName::Known(Format::Json) });
        self.outputs();
        self.newest()
    }

    fn leave(&mut self, id: SessionId) {
        self.ask(id, |id| Command::Leave { id });
    }

    /// The ids of the subscriptions that queued events tell, if the session lives.
    fn sids(&self, id: SessionId) -> Option<Vec<String>> {
        let session = self.broker.sessions.get(self.broker.sessions.by_id(id)?)?;
        let sid = |item: &crate::session::Item| {
            item.label.as_ref().map_or(String::new(), |label| label.sid().as_str().to_owned())
        };
        Some(session.outbox.items().iter().map(sid).collect())
    }

    fn finish(&mut self) {
        self.broker.finish_delivery(self.now);
    }
}

/// A9, A11: a publish to 100,000 sessions never does more than its share in one step, serves a request between any two of them, encodes once,
/// and leaves nothing behind.
#[test]
fn no_step_does_more_than_its_share() {
    let mut world = World::new(Settings::default());
    let ids: Vec<SessionId> = (0..100_000).map(|number| world.polls(number)).collect();
    world.begin_to_publish("for all");
    assert_eq!(world.broker.counters.delivered, 0);
    let mut steps = 0;
    while world.broker.is_delivering() {
        let before = world.broker.counters.delivered;
        world.broker.deliver_slice(world.now);
        let done = world.broker.counters.delivered - before;
        assert!((1..=DELIVERIES_PER_SLICE_MAX as u64).contains(&done), "{done} in one step");
        steps += 1;
        world.request(Command::Heartbeat { id: ClaimedId::WellFormed(ids[steps]) });
        assert!(matches!(&world.outputs()[..], [Output::Answer { .. }]));
    }
    assert_eq!((steps, world.broker.counters.delivered), (100_000_usize.div_ceil(DELIVERIES_PER_SLICE_MAX), 100_000));
    let frame = |id: &SessionId| Rc::as_ptr(&world.session(*id).outbox.items()[0].frame);
    assert!(ids.iter().all(|id| frame(id) == frame(&ids[0])), "all share the bytes");
    // The frame belongs to the sessions alone.
    assert_eq!(Rc::strong_count(&world.session(ids[0]).outbox.items()[0].frame), 100_000);
    assert!(world.broker.delivery.is_none());
    world.broker.deliver_slice(world.now);
    assert_eq!(world.broker.counters.delivered, 100_000);
    // Of events that go together only as many as others may wait for.
    let event = event("/s", &[]);
    let mut together = 0;
    while together == 0 || world.broker.may_join("/s", event.bytes()) {
        world.broker.handle_event(world.now, &event, &Audience::Subscribers);
        together += 1;
    }
    assert_eq!(together, DELIVERIES_TOGETHER_MAX / 100_000);
    world.finish();
    assert_eq!(world.broker.counters.delivered, (1 + together as u64) * 100_000);
}

/// P-30: a client that wants a short queue is not ended as a slow reader because events come in a burst; one whose socket takes nothing is. Whoever
/// would rather lose the oldest, or wants the latest only, gets that of a burst.
#[test]
fn a_short_queue_takes_a_burst() {
    let table = [
        (Mode::Stream, false, None, Some(10)),
        (Mode::Stream, true, None, None),
        (Mode::Stream, false, Some(Overflow::DropOldest), Some(2)),
        (Mode::Stream, true, Some(Overflow::DropOldest), Some(2)),
        (Mode::Stream, false, Some(Overflow::Conflate), Some(1)),
        (Mode::Pull, false, Some(Overflow::Disconnect), Some(10)),
        (Mode::Pull, false, None, Some(2)),
        (Mode::Poll, false, None, Some(2)),
    ];
    for (mode, blocked, policy, left) in table {
        let mut world = World::sliced(1);
        let (id, _) = world.listen(mode);
        world.listen(Mode::Poll);
        if mode == Mode::Pull {
            world.refresh(id);
        }
        let key = world.broker.sessions.by_id(id).unwrap();
        let session = world.broker.sessions.get_mut(key).unwrap();
        session.events_wanted = core::num::NonZeroU16::new(if policy == Some(Overflow::Conflate) { 1 } else { 2 });
        (session.overflow_wanted, session.blocked) = (policy, blocked);
        for _ in 0..2 {
            for number in 0..5 {
                assert!(number == 0 || !world.broker.is_delivering() || world.broker.may_join("/s", 100));
                world.broker.handle_event(world.now, &event("/s", &[]), &Audience::Subscribers);
            }
            world.finish();
        }
        let queued = world.broker.sessions.get(key).map(|session| session.outbox.len());
        assert_eq!(queued, left, "{mode:?} {policy:?} blocked: {blocked}");
    }
}

/// What could travel together if it waited: what goes to a session that is written to, close behind what it got in an earlier turn.
#[test]
fn what_is_close_behind_is_counted() {
    let mut world = World::new(Settings::default());
    world.listen(Mode::Stream);
    world.listen(Mode::Poll);
    let publish = |world: &mut World| {
        world.broker.handle_event(world.now, &event("/s", &[]), &Audience::Subscribers);
    };
    let turn = |world: &mut World, back: u64, events: u32| {
        world.broker.set_close_from(world.broker.next_delivery().saturating_sub(back));
        (0..events).for_each(|_| publish(world));
        world.flush();
        world.broker.spacing()
    };
    assert_eq!(turn(&mut world, 0, 1), (1, 0), "nobody is written to but the stream");
    assert_eq!(turn(&mut world, 0, 1), (2, 0), "long ago");
    assert_eq!(turn(&mut world, 1, 1), (3, 1), "close");
    assert_eq!(turn(&mut world, 0, 5), (4, 1), "what comes in one turn goes together anyway");
    assert_eq!(turn(&mut world, 5, 5), (5, 2));
}

/// The step that begins a delivery and each that goes on with it end in time whoever matches how often: the bound is on what is looked at.
#[test]
fn the_bound_holds_for_matches_too() {
    let mut world = World::sliced(10);
    let (id, _) = world.listen(Mode::Poll);
    for number in 0..25 {
        world.subscribe(id, &"/sxxxxxxxxxxxxxxxxxxxxxxxxx"[..=number + 1]);
    }
    let last = world.listen(Mode::Poll).0;
    world.broker.handle_event(world.now, &event("/sxxxxxxxxxxxxxxxxxxxxxxxxx", &[]), &Audience::Subscribers);
    let mut delivered = Vec::new();
    while world.broker.is_delivering() {
        world.broker.deliver_slice(world.now);
        delivered.push(world.broker.counters.delivered);
    }
    assert_eq!(delivered.len(), 3, "26 matches of two sessions");
    assert_eq!((delivered[0], delivered[2]), (1, 2), "P-19: one copy each");
    assert_eq!(world.sids(id).unwrap(), ["s26"]);
    assert_eq!(world.sids(last).unwrap(), ["s1"]);
}

/// P-19, P-25: whoever joins, subscribes or begins to listen behind a publish does not get it, though slots and places are used again.
#[test]
fn who_comes_after_a_publish_does_not_get_it() {
    let mut world = World::sliced(1);
    let [leaves, changes, stays] = [0; 3].map(|_| world.listen(Mode::Poll).0);
    let late = world.join();
    world.subscribe(late, "/s");
    world.begin_to_publish("x");
    let slot = world.broker.sessions.by_id(leaves).unwrap().slot;
    world.leave(leaves);
    let (new, _) = world.listen(Mode::Poll);
    assert_eq!(world.broker.sessions.by_id(new).unwrap().slot, slot, "the slot is used again");
    world.unsubscribe(changes, Some("s1"));
    world.subscribe(changes, "/s");
    assert_eq!(
        world.session(changes).subscriptions.at(0).unwrap().label().sid().as_str(),
        "s2",
        "the place is used again"
    );
    world.listen_again(late, Mode::Poll, None);
    world.finish();
    let got = [new, changes, stays, late].map(|id| world.sids(id).unwrap());
    assert_eq!(got, [vec![], vec![], vec!["s1".to_owned()], vec![]]);
    world.publish("y");
    let got = [new, changes, stays, late].map(|id| world.sids(id).unwrap().pop().unwrap());
    assert_eq!(got, ["s1", "s2", "s1", "s1"]);
}

/// P-19: who unsubscribes and has another subscription of before that matches still gets the event, by that one; an unsubscribed one is never
/// told. Of several equal ones only the oldest stood in the trie.
#[test]
fn another_subscription_steps_in() {
    let mut world = World::sliced(1);
    let ids = [0; 4].map(|_| world.listen(Mode::Poll).0);
    for id in ids {
        world.subscribe(id, "/,/s");
        world.subscribe(id, "/");
    }
    world.begin_to_publish("x");
    world.unsubscribe(ids[0], Some("s1"));
    world.unsubscribe(ids[1], Some("s1"));
    world.unsubscribe(ids[1], Some("s2"));
    world.unsubscribe(ids[2], None);
    for id in ids {
        world.subscribe(id, "/s");
    }
    world.finish();
    let got = ids.map(|id| world.sids(id).unwrap());
    assert_eq!(got, [vec!["s2".to_owned()], vec!["s3".to_owned()], vec![], vec!["s1".to_owned()]]);
}

/// P-30: a session whose queue is full ends at the end of its slice, a slice has fewer of those, and bounds may change between slices.
#[test]
fn full_queues_end_sessions_slice_by_slice() {
    let bounds = Bounds { events_max: 1, ..Settings::default().bounds };
    let mut world = World::new(Settings { bounds, ..Settings::default() });
    for _ in 0..40 {
        world.listen(Mode::Stream);
    }
    world.publish("first");
    world.outputs();
    world.broker.slice = 16;
    world.begin_to_publish("second");
    let mut ended = Vec::new();
    for _ in 0..3 {
        world.broker.deliver_slice(world.now);
        ended.push(40 - world.broker.session_count());
        assert_eq!(world.outputs().len() * ended.len(), *ended.last().unwrap(), "each end is an output of its slice");
    }
    assert_eq!(ended, [2, 4, 6], "an end is as much work as eight deliveries");
    world.broker.handle_settings(Settings::default());
    world.finish();
    assert_eq!((world.broker.session_count(), world.broker.counters.delivered), (34, 40 + 34));
    assert_eq!(world.broker.counters.ended[usize::from(EndReason::QueueFull.number()) - 1], 6);
}

/// P-30: where long queues are gone through for room, a step has fewer of them.
#[test]
fn dropping_is_work() {
    let bounds = Bounds { events_max: 64, ..Settings::default().bounds };
    let overflow = Some(Overflow::Conflate);
    let mut world = World::new(Settings { bounds, overflow, ..Settings::default() });
    for _ in 0..20 {
        world.listen(Mode::Poll);
    }
    for number in 0..64 {
        world.broker.handle_event(world.now, &event(&format!("/s/{number}"), &[]), &Audience::Subscribers);
    }
    world.broker.slice = 10;
    world.begin_to_publish("x");
    let before = world.broker.counters.delivered;
    world.broker.deliver_slice(world.now);
    assert_eq!((world.broker.counters.delivered - before, world.broker.counters.lost), (2, 2));
    world.finish();
    assert_eq!(world.broker.counters.lost, 20);
}

/// P-32: what was published before the end comes before it.
#[test]
fn a_shutdown_delivers_first() {
    let mut world = World::sliced(2);
    for _ in 0..7 {
        world.listen(Mode::Stream);
    }
    world.begin_to_publish("x");
    world.broker.deliver_slice(world.now);
    world.broker.handle_shutdown(world.now);
    assert_eq!((world.broker.counters.delivered, world.broker.is_delivering()), (7, false));
    assert_eq!(world.broker.session_count(), 0);
}

#[test]
#[should_panic(expected = "while another is under way")]
fn a_caller_that_does_not_wait_is_found_out() {
    let mut world = World::sliced(1);
    world.listen(Mode::Poll);
    world.listen(Mode::Poll);
    world.begin_to_publish("x");
    world.broker.seal_delivery();
    world.begin_to_publish("y");
}

const MODES: [Mode; 3] = [Mode::Stream, Mode::Pull, Mode::Poll];

#[derive(Clone, Debug)]
enum Step {
    Publish { subject: String, together: usize },
    Slice,
    Join { mode: Option<usize>, list: String },
    Listen { peer: prop::sample::Index, mode: usize, list: Option<String> },
    Subscribe { peer: prop::sample::Index, list: String },
    Unsubscribe { peer: prop::sample::Index, which: Option<prop::sample::Index> },
    Leave { peer: prop::sample::Index },
    Refresh { peer: prop::sample::Index },
    Break { peer: prop::sample::Index },
    Flush,
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let word = || "/[ab]{0,2}";
    let list = || prop::collection::vec(word(), 1..3).prop_map(|items| items.join(","));
    let (peer, mode) = (any::<prop::sample::Index>, 0..MODES.len());
    prop_oneof![
        4 => (word(), 1..4_usize).prop_map(|(subject, together)| Step::Publish { subject, together }),
        8 => Just(Step::Slice),
        3 => (prop::option::weighted(0.7, mode.clone()), list()).prop_map(|(mode, list)| Step::Join { mode, list }),
        2 => (peer(), mode, prop::option::of(list())).prop_map(|(peer, mode, list)| Step::Listen { peer, mode, list }),
        5 => (peer(), list()).prop_map(|(peer, list)| Step::Subscribe { peer, list }),
        4 => (peer(), prop::option::weighted(0.8, peer())).prop_map(|(peer, which)| Step::Unsubscribe { peer, which }),
        1 => peer().prop_map(|peer| Step::Leave { peer }),
        2 => peer().prop_map(|peer| Step::Refresh { peer }),
        1 => peer().prop_map(|peer| Step::Break { peer }),
        2 => Just(Step::Flush),
        1 => Just(Step::Pass),
    ]
}

/// A session as the model knows it.
#[derive(Clone, Debug)]
struct Peer {
    id: SessionId,
    listens: bool,
    made: u32,
    subscribed: Vec<(String, String)>,
    /// What it had of what matches, when the event under way was published, and has not given up.
    due: Vec<(String, String)>,
}

impl Peer {
    fn add(&mut self, list: &str) {
        self.made += 1;
        self.subscribed.push((format!("s{}", self.made), list.to_owned()));
    }

    /// P-19: the longest item that the subject begins with, of several the oldest.
    fn best(&self, subject: &str) -> Option<&str> {
        let longest = |list: &str| list.split(',').filter(|item| subject.starts_with(item)).map(str::len).max();
        let mut best = None;
        for (sid, list) in &self.due {
            if let Some(len) = longest(list).filter(|len| best.is_none_or(|(known, _)| *len > known)) {
                best = Some((len, sid.as_str()));
            }
        }
        best.map(|(_, sid)| sid)
    }
}

struct Model {
    world: World,
    peers: Vec<Peer>,
    subject: String,
    /// So many events of it are under way.
    together: usize,
}

impl Model {
    /// Lets the broker act, and compares what has come into the outboxes with what was due.
    fn deliver(&mut self, act: impl FnOnce(&mut World)) {
        let before: Vec<usize> = self.peers.iter().map(|peer| self.world.sids(peer.id).unwrap().len()).collect();
        act(&mut self.world);
        for (peer, before) in self.peers.iter_mut().zip(before) {
            let sids = self.world.sids(peer.id).unwrap();
            let came = &sids[before..];
            if !came.is_empty() {
                let best = peer.best(&self.subject).expect("it was due");
                assert_eq!(came, vec![best; self.together], "{peer:?}");
                peer.due.clear();
            }
        }
        if !self.world.broker.is_delivering() {
            let left: Vec<&Peer> = self.peers.iter().filter(|peer| !peer.due.is_empty()).collect();
            assert!(left.is_empty(), "{} did not come to {left:?}", self.subject);
        }
    }

    fn slice(&mut self) {
        let (before, share) = (self.world.broker.counters.delivered, self.world.broker.slice as u64);
        self.deliver(|world| world.broker.deliver_slice(world.now));
        assert!(self.world.broker.counters.delivered - before < share.saturating_add(self.together as u64));
    }

    /// Publishes an event, and more of them together with it if it takes several slices.
    fn publish(&mut self, subject: &str, together: usize) {
        while self.world.broker.is_delivering() {
            self.slice();
        }
        subject.clone_into(&mut self.subject);
        for peer in &mut self.peers {
            let matches = |list: &str| list.split(',').any(|item| subject.starts_with(item));
            let due = peer.subscribed.iter().filter(|(_, list)| peer.listens && matches(list));
            peer.due = due.cloned().collect();
        }
        let event = event(subject, &[]);
        self.together = 1;
        self.deliver(|world| world.broker.handle_event(world.now, &event, &Audience::Subscribers));
        while self.together < together && self.world.broker.may_join(subject, event.bytes()) {
            self.together += 1;
            self.world.broker.handle_event(self.world.now, &event, &Audience::Subscribers);
        }
        self.world.broker.seal_delivery();
        assert!(!self.world.broker.may_join(subject, event.bytes()));
    }

    fn step(&mut self, step: Step) {
        let world = &mut self.world;
        let peers = self.peers.len();
        let at = |index: prop::sample::Index| index.index(peers);
        match step {
            Step::Publish { subject, together } => self.publish(&subject, together),
            Step::Slice => self.slice(),
            Step::Join { mode, list } => {
                let id = world.join();
                let mut peer = Peer { id, listens: mode.is_some(), made: 0, subscribed: Vec::new(), due: Vec::new() };
                world.subscribe(id, &list);
                peer.add(&list);
                if let Some(mode) = mode {
                    world.listen_again(id, MODES[mode], None);
                }
                self.peers.push(peer);
            }
            _ if self.peers.is_empty() => {}
            Step::Listen { peer, mode, list } => {
                let peer = &mut self.peers[at(peer)];
                world.listen_again(peer.id, MODES[mode], list.as_deref());
                list.iter().for_each(|list| peer.add(list));
                peer.listens = true;
            }
            Step::Subscribe { peer, list } => {
                let peer = &mut self.peers[at(peer)];
                world.subscribe(peer.id, &list);
                peer.add(&list);
            }
            Step::Unsubscribe { peer, which } => {
                let peer = &mut self.peers[at(peer)];
                let known = which.filter(|_| !peer.subscribed.is_empty());
                let sid = known.map(|which| peer.subscribed[which.index(peer.subscribed.len())].0.clone());
                world.unsubscribe(peer.id, sid.as_deref());
                for list in [&mut peer.subscribed, &mut peer.due] {
                    list.retain(|(known, _)| sid.as_ref().is_some_and(|sid| sid != known));
                }
            }
            Step::Leave { peer } => {
                let gone = self.peers.swap_remove(at(peer));
                world.leave(gone.id);
            }
            Step::Refresh { peer } => {
                let id = self.peers[at(peer)].id;
                world.ask(id, |id| Command::Refresh { id });
            }
            Step::Break { peer } => {
                let key = world.broker.sessions.by_id(self.peers[at(peer)].id).unwrap();
                let token = world.broker.sessions.get(key).and_then(|session| session.channel.token());
                token.into_iter().for_each(|token| world.broker.handle_disconnect(world.now, key, token));
            }
            Step::Flush => {
                world.flush();
                world.outputs();
            }
            Step::Pass => {
                world.pass(1_000);
                // P-29: some do not come back.
                self.peers.retain(|peer| world.broker.sessions.by_id(peer.id).is_some());
            }
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 512, rng_seed: RngSeed::Fixed(47), failure_persistence: None, ..Config::default() })]

    /// P-19, P-25: in slices of any size and at once, whatever is asked between them, each session that was there gets the event once, by the
    /// best of the subscriptions that it had then and has still, and nobody else gets it.
    #[test]
    fn slices_deliver_what_one_step_delivers(
        slice in prop_oneof![4 => 1..6_usize, 1 => Just(usize::MAX)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut model = Model { world: World::sliced(slice), peers: Vec::new(), subject: String::new(), together: 0 };
        for step in steps {
            model.step(step);
        }
        while model.world.broker.is_delivering() {
            model.slice();
        }
    }
}
