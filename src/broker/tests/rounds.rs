//! In which order sessions are flushed: in rounds, each of which begins somewhere else.

use super::*;
use crate::protocol::Address;

const SESSIONS: usize = 100;

/// A world with so many streams, and their answers.
fn streams(seed: u64, sessions: usize) -> (World, Vec<ReplyToken>) {
    let mut world = World::new(Settings::default());
    world.broker.jitter = fastrand::Rng::with_seed(seed);
    let tokens = (0..sessions).map(|_| world.listen(Mode::Stream).1).collect();
    world.outputs();
    (world, tokens)
}

/// The order in which an event for all is written, slice by slice.
fn order(world: &mut World) -> Vec<ReplyToken> {
    world.begin_to_publish("x");
    let mut written = world.flush();
    while world.broker.is_delivering() {
        world.broker.deliver_slice(world.now);
        written.extend(world.flush());
    }
    written.into_iter().map(|(token, _)| token).collect()
}

/// P-14: over many events everybody is served as early as anybody else.
#[test]
fn the_mean_place_of_everybody_is_the_middle() {
    everybody_is_served_alike(usize::MAX);
}

/// The same for events so large that they are delivered in slices: those begin with somebody else each time as well.
#[test]
fn the_first_slice_is_not_always_for_the_same() {
    everybody_is_served_alike(10);
}

fn everybody_is_served_alike(slice: usize) {
    let (mut world, tokens) = streams(5, SESSIONS);
    world.broker.slice = slice;
    let (mut sums, rounds) = ([0_usize; SESSIONS], 2_000);
    for _ in 0..rounds {
        let order = order(&mut world);
        assert_eq!(order.len(), SESSIONS);
        for (place, token) in order.iter().enumerate() {
            sums[tokens.iter().position(|known| known == token).unwrap()] += place;
        }
    }
    // A uniform place among 100 deviates by 29; the mean of 2,000 of them by 0.65.
    for (session, sum) in sums.iter().enumerate() {
        let mean = *sum as f64 / f64::from(rounds);
        assert!((mean - 49.5).abs() < 4.0, "session {session} is number {mean} in the mean");
    }
}

/// One seed is one run; and a few sessions are served as they came.
#[test]
fn chance_comes_from_the_seed_alone() {
    let runs: Vec<Vec<ReplyToken>> = [5, 5, 6].map(|seed| order(&mut streams(seed, SESSIONS).0)).into();
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let few = crate::limits::ROUND_IN_ORDER_MAX;
    for seed in 0..20 {
        let (mut world, tokens) = streams(seed, few);
        assert_eq!(order(&mut world), tokens);
    }
}

/// P-14: whoever waits is served before anybody is served a third time: once in the round that was under way, and once in its own.
#[test]
fn nobody_is_passed_over() {
    let (mut world, tokens) = streams(7, 40);
    let mut chance = fastrand::Rng::with_seed(40);
    // For everybody who waits: how often each of the others was served since.
    let mut waiting: Vec<Option<Vec<u8>>> = vec![None; tokens.len()];
    let (mut served, mut longest) = (0, 0);
    for _ in 0..20_000 {
        if chance.bool() {
            let at = chance.usize(..tokens.len());
            let bits = u128::from(tokens[at].connection);
            let name = Address::new(world.broker.settings.shards.pick(0, 0), bits).to_string();
            world.broker.handle_unicast(world.now, &event("/s", &[("text", "x")]), &name);
            waiting[at].get_or_insert_with(|| vec![0; tokens.len()]);
        }
        // Half of the time the flusher is nearly as quick as the events are.
        if chance.u8(..100) < 47
            && let Some((key, token)) = world.broker.poll_transmit(world.now, &mut world.gather)
        {
            let at = tokens.iter().position(|known| *known == token).unwrap();
            let counts = waiting[at].take().expect("who is served has waited");
            longest = longest.max(counts.into_iter().max().unwrap());
            waiting.iter_mut().flatten().for_each(|counts| counts[at] += 1);
            served += 1;
            // Now and then a socket takes a part only, and the session waits again at once.
            let part = chance.u8(..4) == 0;
            let sent = if part { 3 } else { world.gather.len() };
            world.broker.handle_sent(world.now, key, &world.gather, sent, false);
            if part {
                waiting[at] = Some(vec![0; tokens.len()]);
            }
        }
    }
    assert!(served > 5_000 && longest == 2, "{served} writes, somebody was served {longest} times before another");
    world.flush();
    assert_eq!((world.broker.round, world.broker.has_dirty()), (0, false));
}
