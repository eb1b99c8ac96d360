//! What crosses between cores: a publish goes to the others before it is delivered here, and is counted once.

use super::*;
use crate::protocol::{Address, Audience};

/// The worlds of two cores; one stream that listens to `/s` lives on each.
fn two() -> [(World, SessionId, Address); 2] {
    [0, 1].map(|core| {
        let mut world = World::new(Settings { core, shards: ShardTable::new(2), ..Settings::default() });
        // Names differ from core to core by their shard.
        let (id, _) = world.listen(Mode::Stream);
        world.outputs();
        let address = world.session(id).address;
        assert_eq!(unicast_shard(&address.to_string()).map(|shard| shard.number() % 2), Some(core));
        (world, id, address)
    })
}

fn publish(world: &mut World, id: SessionId, to: Option<&str>) -> Vec<Output> {
    let fields = [("text", "x")].into_iter().collect::<Fields>();
    let (subject, to) = (Some(Box::from("/s")), to.map(Box::from));
    world.request(Command::Publish { id: ClaimedId::WellFormed(id), subject, to, fields });
    world.outputs()
}

/// Published, delivered, dropped.
fn counts(world: &World) -> (u64, u64, u64) {
    let counters = world.broker.counters();
    (counters.published, counters.delivered, counters.unicast_dropped)
}

/// A8, P-19: the relay comes before the ack, so that who is acked has been relayed; the other core delivers and does not relay again.
#[test]
fn a_publish_goes_to_the_other_cores() {
    let [(mut here, id, _), (mut there, ..)] = two();
    let outputs = publish(&mut here, id, None);
    let [Output::Relay { event, audience: Audience::Subscribers }, Output::Answer { .. }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(counts(&here), (1, 1, 0));
    there.broker.handle_relayed(there.now, event);
    assert!(there.outputs().is_empty());
    assert_eq!(counts(&there), (0, 1, 0));
    let [(_, mine)] = &here.flush()[..] else { panic!("one stream") };
    let [(_, theirs)] = &there.flush()[..] else { panic!("one stream") };
    // P-22: its publisher's copy alone tells the secret name.
    assert!(mine.contains("p_id") && !theirs.contains("p_id"), "{mine}{theirs}");

    here.broker.handle_event(here.now, &event.clone(), &Audience::Subscribers);
    let outputs = here.outputs();
    assert!(matches!(&outputs[..], [Output::Relay { audience: Audience::Subscribers, .. }]), "{outputs:?}");
    assert_eq!(counts(&here), (2, 2, 0));
}

/// A8: a large publish is relayed and acked when it begins, not when its last slice is delivered.
#[test]
fn a_sliced_publish_is_relayed_at_once() {
    let [(mut here, id, _), _] = two();
    here.listen(Mode::Stream);
    here.outputs();
    here.broker.slice = 1;
    let outputs = publish(&mut here, id, None);
    assert!(
        matches!(&outputs[..], [Output::Relay { audience: Audience::Subscribers, .. }, Output::Answer { .. }]),
        "{outputs:?}"
    );
    assert_eq!((here.broker.is_delivering(), counts(&here)), (true, (1, 0, 0)));
    here.broker.finish_delivery(here.now);
    assert!(here.outputs().is_empty());
    assert_eq!(counts(&here), (1, 2, 0));
}

/// P-23: the core that holds the shard of the name delivers, or drops and counts; by address as by id.
#[test]
fn a_unicast_goes_to_the_core_of_its_name() {
    for by_id in [false, true] {
        let [(mut here, id, _), (mut there, other_id, address)] = two();
        let name = if by_id { other_id.to_string() } else { address.to_string() };
        let outputs = publish(&mut here, id, Some(&name));
        let [Output::Relay { event, audience: Audience::One(to) }, Output::Answer { .. }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(**to, *name);
        assert_eq!(counts(&here), (1, 0, 0), "nothing is delivered or dropped here");
        there.broker.handle_unicast(there.now, event, to);
        assert_eq!(counts(&there), (0, 1, 0));
        assert_eq!(there.session(other_id).outbox.len(), 1);
        assert!(there.outputs().is_empty());

        // P-23: gone meanwhile.
        there.request(Command::Leave { id: ClaimedId::WellFormed(other_id) });
        there.outputs();
        there.broker.handle_unicast(there.now, event, to);
        assert_eq!(counts(&there), (0, 1, 1));
    }
}

/// P-23: what is for a session of this core is nobody else's business, and what no core can hold is dropped where it came in.
#[test]
fn a_unicast_that_stays_is_not_relayed() {
    let [(mut here, id, address), _] = two();
    let outputs = publish(&mut here, id, Some(&address.to_string()));
    assert!(matches!(&outputs[..], [Output::Answer { .. }]), "{outputs:?}");
    assert_eq!(counts(&here), (1, 1, 0));
    for name in ["", "nobody", "AAAAAAAAAAAAAAAAAAAAAAA\u{e9}"] {
        assert_eq!(unicast_shard(name), None);
        let outputs = publish(&mut here, id, Some(name));
        assert!(matches!(&outputs[..], [Output::Answer { .. }]), "{outputs:?}");
    }
    assert_eq!(counts(&here), (4, 1, 3));
    let stranger = Address::new(here.broker.settings.shards.pick(0, 9), 77).to_string();
    let outputs = publish(&mut here, id, Some(&stranger));
    assert!(matches!(&outputs[..], [Output::Answer { .. }]), "{outputs:?}");
    assert_eq!(counts(&here), (5, 1, 4), "of this core, and unknown to it");
}

/// A publish that is refused reached nobody (A8), and one core has nobody to relay to.
#[test]
fn nothing_else_is_relayed() {
    let [(mut here, id, _), _] = two();
    let fields = Fields::default();
    here.request(Command::Publish { id: ClaimedId::WellFormed(id), subject: None, to: None, fields });
    let outputs = here.outputs();
    assert!(matches!(&outputs[..], [Output::Answer { .. }]), "{outputs:?}");
    let mut alone = World::new(Settings::default());
    let (id, _) = alone.listen(Mode::Stream);
    alone.outputs();
    let name = alone.session(id).address.to_string();
    for to in [None, Some(&*name), Some("nobody")] {
        let outputs = publish(&mut alone, id, to);
        assert!(matches!(&outputs[..], [Output::Answer { .. }]), "{outputs:?}");
    }
    assert_eq!(counts(&alone), (3, 2, 1));
}
