//! Events of the server's own program: for whom they are, and whether anybody listens (P-23, P-25, P-35).

use super::*;
use crate::limits::INTEREST_LOOKS_MAX;

/// A session that has joined and no more.
fn join(world: &mut World) -> SessionId {
    world.request(Command::Join { format: FormatName::Known(Format::Json) });
    world.newest()
}

fn subscribe(world: &mut World, id: SessionId, list: &str, label: Option<&str>) {
    let (id, subject, label) = (ClaimedId::WellFormed(id), Some(Box::from(list)), label.map(Box::from));
    world.request(Command::Subscribe { id, subject, label });
}

fn unsubscribe(world: &mut World, id: SessionId, sid: &str) {
    world.request(Command::Unsubscribe { id: ClaimedId::WellFormed(id), sid: Some(Box::from(sid)) });
}

fn listen(world: &mut World, id: SessionId, mode: Mode) {
    let listen = Listen { mode: ModeName::Known(mode), subject: None, label: None };
    world.request(Command::Listen { id: ClaimedId::WellFormed(id), listen });
}

fn leave(world: &mut World, id: SessionId) {
    world.request(Command::Leave { id: ClaimedId::WellFormed(id) });
}

fn queued(world: &World, ids: &[SessionId]) -> Vec<usize> {
    ids.iter().map(|id| world.session(*id).outbox.len()).collect()
}

fn broadcast(world: &mut World) {
    world.broker.handle_event(world.now, &event("$all", &[("text", "x")]), &Audience::Everyone);
}

/// P-25: everyone who has listened gets it once, subscribed or not and in whatever mode; who has only joined does not.
#[test]
fn a_broadcast_reaches_everyone_who_has_listened() {
    let mut world = World::new(Settings::default());
    let (stream, _) = world.listen(Mode::Stream);
    subscribe(&mut world, stream, "$all,$", Some("mine"));
    let (pull, poll) = (world.listen(Mode::Pull).0, world.listen(Mode::Poll).0);
    let (unsubscribed, joined) = (join(&mut world), join(&mut world));
    listen(&mut world, unsubscribed, Mode::Stream);
    world.flush();
    broadcast(&mut world);
    assert!(!world.broker.is_delivering());
    assert_eq!(queued(&world, &[stream, pull, poll, unsubscribed, joined]), [1, 1, 1, 1, 0]);
    let written = world.flush();
    assert_eq!(written.len(), 2, "the streams");
    for (_, text) in written {
        assert!(text.contains(r#""p_event":"data","p_subject":"$all","text":"x""#), "{text}");
        assert!(!text.contains("p_sid") && !text.contains("p_label") && !text.contains("p_from"), "{text}");
    }
    assert_eq!(world.broker.counters().published, 1);
    assert_eq!(world.broker.counters().delivered, 4);
}

/// A broadcast to many goes out in slices. Who leaves before their turn gets nothing; who comes or listens meanwhile was not there; nobody gets
/// it twice, and a slice is no longer than allowed, however many slots are empty.
#[test]
fn a_broadcast_is_delivered_in_slices() {
    let mut world = World::new(Settings::default());
    let mut ids: Vec<SessionId> = (0..200).map(|_| world.listen(Mode::Pull).0).collect();
    let silent = join(&mut world);
    for id in ids.split_off(60) {
        leave(&mut world, id);
    }
    world.outputs();
    world.broker.slice = 8;
    broadcast(&mut world);
    assert!(world.broker.is_delivering());
    assert_eq!(world.broker.counters().delivered, 0);
    world.broker.deliver_slice(world.now);
    // Two that have not had their turn go, one in their slots comes, and one listens that did not.
    let left: Vec<SessionId> = ids.iter().copied().filter(|id| world.session(*id).outbox.is_empty()).take(2).collect();
    left.iter().for_each(|id| leave(&mut world, *id));
    let late = world.listen(Mode::Pull).0;
    listen(&mut world, silent, Mode::Pull);
    let mut slices = 1;
    while world.broker.is_delivering() {
        let before = world.broker.counters().delivered;
        world.broker.deliver_slice(world.now);
        assert!(world.broker.counters().delivered - before <= 8);
        slices += 1;
    }
    assert!(slices >= 8, "{slices} slices for 58 sessions");
    ids.retain(|id| !left.contains(id));
    assert!(queued(&world, &ids).iter().all(|events| *events == 1));
    assert_eq!(queued(&world, &[late, silent]), [0, 0]);
}

/// P-30: a full queue is the same for a broadcast: a stream that does not read ends, the others get the event.
#[test]
fn a_broadcast_ends_who_does_not_read() {
    let bounds = Bounds { events_max: 2, ..Settings::default().bounds };
    let mut world = World::new(Settings { bounds, ..Settings::default() });
    let (slow, _) = world.listen(Mode::Stream);
    let (pull, _) = world.listen(Mode::Pull);
    (0..3).for_each(|_| broadcast(&mut world));
    assert!(world.broker.sessions.by_id(slow).is_none());
    assert_eq!(queued(&world, &[pull]), [2]);
}

/// P-23: by address and by id; whoever has not listened, or is nobody, is counted.
#[test]
fn an_event_for_one_session_needs_no_publisher() {
    let mut world = World::new(Settings::default());
    let (id, _) = world.listen(Mode::Pull);
    let joined = join(&mut world);
    let address = world.session(id).address.to_string();
    for to in [address, id.to_string(), joined.to_string(), String::from("nobody")] {
        world.broker.handle_event(world.now, &event("/you", &[]), &Audience::One(Box::from(to)));
    }
    assert_eq!(queued(&world, &[id, joined]), [2, 0]);
    let counters = world.broker.counters();
    assert_eq!((counters.published, counters.delivered, counters.unicast_dropped), (4, 2, 2));
}

/// The audience goes to the other cores with the event.
#[test]
fn everyone_is_on_other_cores_too() {
    let worlds = [0, 1].map(|core| {
        let mut world = World::new(Settings { core, shards: ShardTable::new(2), ..Settings::default() });
        let (id, _) = world.listen(Mode::Pull);
        world.outputs();
        (world, id)
    });
    let [(mut here, mine), (mut there, theirs)] = worlds;
    broadcast(&mut here);
    let outputs = here.outputs();
    let [Output::Relay { event, audience: Audience::Everyone }] = &outputs[..] else { panic!("{outputs:?}") };
    there.broker.handle_broadcast(there.now, event);
    assert!(there.outputs().is_empty());
    assert_eq!((queued(&here, &[mine]), queued(&there, &[theirs])), (vec![1], vec![1]));
}

/// Clients may listen to the server's own subjects, and not publish to them.
#[test]
fn no_client_publishes_to_the_servers_subjects() {
    let mut world = World::new(Settings::default());
    let (id, _) = world.listen(Mode::Pull);
    subscribe(&mut world, id, "$", None);
    world.outputs();
    for (subject, to) in [("$", None), ("$x", None), ("$x", Some(Box::from(id.to_string())))] {
        let (id, subject) = (ClaimedId::WellFormed(id), Some(Box::from(subject)));
        world.request(Command::Publish { id, subject, to, fields: Fields::default() });
        let outputs = world.outputs();
        let [Output::Answer { answer: Answer::Events { body, .. }, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        let text = String::from_utf8_lossy(body);
        assert!(text.contains("subjects that begin with $ are the server's own"), "{text}");
    }
    assert_eq!((world.broker.counters().published, world.broker.counters().nacks), (0, 3));
    world.broker.handle_event(world.now, &event("$x", &[]), &Audience::Subscribers);
    assert_eq!(queued(&world, &[id]), [1]);
}

/// P-35: somebody listens who has a subscription that matches, has listened, and is still kept, whatever became of their connection.
#[test]
fn interest_is_that_of_who_would_get_the_event() {
    let mut world = World::new(Settings::default());
    let subject = Subject::new("/news/today").unwrap();
    let listened = |world: &World| world.broker.is_listened_to(&subject);
    assert!(!listened(&world));
    // P-25: not before the first listen.
    let id = join(&mut world);
    subscribe(&mut world, id, "/other,/news", Some("label"));
    assert!(!listened(&world));
    listen(&mut world, id, Mode::Stream);
    assert!(listened(&world));
    // Several subscriptions: each of them is enough.
    subscribe(&mut world, id, "/news/today", None);
    unsubscribe(&mut world, id, "s1");
    assert!(listened(&world));
    unsubscribe(&mut world, id, "s2");
    assert!(!listened(&world));
    subscribe(&mut world, id, "/news/today/more", None);
    subscribe(&mut world, id, "/new", None);
    assert!(listened(&world));
    // P-31: detached, and then given up.
    let key = world.broker.sessions.by_id(id).unwrap();
    let token = world.session(id).channel.token().unwrap();
    world.broker.handle_disconnect(world.now, key, token);
    assert!(listened(&world));
    world.pass(Settings::default().detached_timeout_ms + 1_000);
    assert!(!listened(&world));
    // One of two leaves.
    let (first, second) = (world.listen(Mode::Pull).0, world.listen(Mode::Poll).0);
    let subject = Subject::new("/s").unwrap();
    leave(&mut world, first);
    assert!(world.broker.is_listened_to(&subject));
    leave(&mut world, second);
    assert!(!world.broker.is_listened_to(&subject));
}

/// P-35: the look is bounded. Where so many have subscribed and never listened, the answer is yes.
#[test]
fn interest_looks_at_so_many_and_no_more() {
    let mut world = World::new(Settings::default());
    let subject = Subject::new("/s/x").unwrap();
    for subscribed in 1..=INTEREST_LOOKS_MAX + 1 {
        let id = join(&mut world);
        subscribe(&mut world, id, "/s", None);
        assert_eq!(world.broker.is_listened_to(&subject), subscribed > INTEREST_LOOKS_MAX, "{subscribed}");
    }
}
