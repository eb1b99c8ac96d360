//! What transcripts cannot show: deadlines and memory that must not grow, writes that come too late, chance.
//! The protocol itself is in `tests/golden`.

use super::*;
use crate::protocol::{
    Audience, ClaimedId, EndReason, Event, Fields, FormatName, Identity, Listen, ModeName, Origin, Payload, SessionId,
};
use crate::session::Gather;
use crate::topic::Subject;
use std::sync::Arc;

mod audience;
mod delivery;
mod modern;
mod relay;
mod rounds;

/// A broker, a clock, and sockets that take everything unless told otherwise.
struct World {
    broker: Broker,
    now: Now,
    connections: u32,
    gather: Gather,
    /// Whether clients take chunks.
    chunked: bool,
}

impl World {
    fn new(settings: Settings) -> Self {
        let now = Now { instant: Instant::ZERO, unix_s: 1_000 };
        Self { broker: Broker::new(settings, now, 3), now, connections: 0, gather: Gather::new(), chunked: true }
    }

    fn request(&mut self, command: Command) -> ReplyToken {
        self.request_of(Identity::NOBODY, command)
    }

    /// The same of somebody who presents a key.
    fn request_of(&mut self, identity: Identity, command: Command) -> ReplyToken {
        self.connections += 1;
        let token = ReplyToken { core: 0, connection: self.connections, serial: 1 };
        let draw = [u128::from(self.connections), u128::from(self.connections)];
        let path = Arc::from("/pushlet.srv");
        let (chunked, agent) = (self.chunked, Agent { identity, ..Agent::default() });
        self.broker.handle_request(self.now, Request { token, command, path, chunked, agent, draw });
        token
    }

    /// Joins and listens to `/s`; returns the session's name and the token of its answer.
    fn listen(&mut self, mode: Mode) -> (SessionId, ReplyToken) {
        let listen =
            Listen { mode: ModeName::Known(mode), subject: Some(Box::from("/s")), label: None, ..Listen::default() };
        let token = self.request(Command::JoinListen { format: FormatName::Known(Format::Json), listen });
        (self.newest(), token)
    }

    /// The name of the session that the last request began.
    fn newest(&self) -> SessionId {
        let (bits, settings) = (u128::from(self.connections), &self.broker.settings);
        SessionId::new(settings.shards.pick(settings.core, (bits >> 64) as u64), bits)
    }

    fn refresh(&mut self, id: SessionId) -> ReplyToken {
        self.request(Command::Refresh { id: ClaimedId::WellFormed(id) })
    }

    /// Publishes to `/s`, and every slice of it.
    fn publish(&mut self, text: &str) {
        self.begin_to_publish(text);
        while self.broker.is_delivering() {
            self.broker.deliver_slice(self.now);
        }
    }

    fn begin_to_publish(&mut self, text: &str) {
        self.broker.handle_event(self.now, &event("/s", &[("text", text)]), &Audience::Subscribers);
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.broker.poll_output()).collect()
    }

    /// Flushes as the shell does and returns what was written, by answer.
    fn flush(&mut self) -> Vec<(ReplyToken, String)> {
        let mut written = Vec::new();
        while let Some((key, token)) = self.broker.poll_transmit(self.now, &mut self.gather) {
            written.push((token, text(&self.gather)));
            self.broker.handle_sent(self.now, key, &self.gather, self.gather.len(), false);
        }
        written
    }

    /// Time passes in steps of a tick; whatever is due happens and is flushed. Returns how many outputs there were.
    fn pass(&mut self, ms: u64) -> usize {
        let mut outputs = 0;
        for _ in 0..ms / crate::limits::TICK_MS {
            self.now.instant = self.now.instant + crate::limits::TICK_MS;
            self.now.unix_s = 1_000 + self.now.instant.as_ms() / 1_000;
            self.broker.handle_timeout(self.now);
            self.flush();
            outputs += self.outputs().len();
        }
        outputs
    }

    fn session(&self, id: SessionId) -> &Session {
        self.broker.sessions.get(self.broker.sessions.by_id(id).unwrap()).unwrap()
    }
}

fn event(subject: &str, fields: &[(&str, &str)]) -> Arc<Event> {
    Arc::new(Event {
        name: None,
        subject: Subject::new(subject).unwrap(),
        payload: Payload::Fields(fields.iter().copied().collect::<Fields>()),
        origin: Origin::default(),
        position: None,
        accepted_at: 1_000,
    })
}

fn text(gather: &Gather) -> String {
    let bytes: Vec<u8> = gather.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect());
    String::from_utf8(bytes).unwrap()
}

/// P-26, P-31: what is told of a write too late, when its session has another answer, is not credited to that answer.
#[test]
fn a_write_belongs_to_its_answer() {
    let mut world = World::new(Settings::default());
    let (id, first) = world.listen(Mode::Stream);
    world.publish("one");
    let (key, token) = world.broker.poll_transmit(world.now, &mut world.gather).unwrap();
    assert_eq!(token, first);
    let late = std::mem::take(&mut world.gather);
    world.broker.handle_disconnect(world.now, key, first);
    let second = world.refresh(id);
    world.broker.handle_sent(world.now, key, &late, late.len(), true);
    assert_eq!((world.session(id).outbox.len(), world.session(id).blocked), (1, false));
    let written = world.flush();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].0, second);
    assert!(written[0].1.contains(r#"{"p_seq":"2","p_sid":"s1""#), "{}", written[0].1);

    // Disconnects and readiness of an earlier answer are not its business either.
    world.broker.handle_writable(key, first, false);
    assert!(!world.session(id).blocked);
    world.broker.handle_disconnect(world.now, key, first);
    assert_eq!(world.session(id).channel.token(), Some(second));
}

/// P-26: that the older answer's socket was full says nothing of the newer's.
#[test]
fn a_new_answer_is_not_blocked() {
    let mut world = World::new(Settings::default());
    let (id, first) = world.listen(Mode::Stream);
    world.publish("one");
    let (key, _) = world.broker.poll_transmit(world.now, &mut world.gather).unwrap();
    world.broker.handle_sent(world.now, key, &world.gather, 5, true);
    world.publish("two");
    assert!(!world.broker.has_dirty(), "a blocked socket is left alone");
    let second = world.refresh(id);
    let written = world.flush();
    assert_eq!(written.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [second]);
    assert!(written[0].1.contains("two") && !written[0].1.contains("one"), "{}", written[0].1);
    assert!(first != second);
}

/// Overtaken deadlines die out: whatever the sessions do, the wheel holds a few entries for each, and none once they are gone.
#[test]
fn deadlines_do_not_multiply() {
    let mut world = World::new(Settings { session_timeout_ms: 60_000, ..Settings::default() });
    let mut chance = fastrand::Rng::with_seed(28);
    let mut ids: Vec<SessionId> =
        (0..12).map(|at| world.listen([Mode::Stream, Mode::Pull, Mode::Poll][at % 3]).0).collect();
    for _ in 0..1_500 {
        let at = chance.usize(..ids.len());
        match chance.u8(..8) {
            0..4 => {
                world.refresh(ids[at]);
            }
            4 => {
                let mode = ModeName::Known([Mode::Stream, Mode::Pull, Mode::Poll][chance.usize(..3)]);
                let listen = Listen { mode, subject: None, label: None, ..Listen::default() };
                world.request(Command::Listen { id: ClaimedId::WellFormed(ids[at]), listen });
            }
            5 => world.publish("something"),
            6 => {
                let found = world
                    .broker
                    .sessions
                    .by_id(ids[at])
                    .and_then(|key| Some((key, world.session(ids[at]).channel.token()?)));
                if let Some((key, token)) = found {
                    world.broker.handle_disconnect(world.now, key, token);
                }
            }
            _ => {
                world.pass(chance.u64(..8_000));
            }
        }
        world.flush();
        world.outputs();
        for id in &mut ids {
            if world.broker.sessions.by_id(*id).is_none() {
                *id = world.listen(Mode::Pull).0;
            }
        }
        let (filed, sessions) = (world.broker.wheel.len(), world.broker.session_count());
        assert!(filed <= 5 * sessions, "{filed} deadlines of {sessions} sessions");
    }
    world.broker.handle_shutdown(world.now);
    world.pass(120_000);
    assert!(world.broker.wheel.is_empty());
}

/// P-28: an open stream lives on its heartbeats for ever and costs one entry in the wheel, for hours.
#[test]
fn an_idle_stream_lives_for_hours() {
    let mut world = World::new(Settings::default());
    let (id, token) = world.listen(Mode::Stream);
    world.outputs();
    assert_eq!(world.pass(3 * 3_600_000), 0);
    assert_eq!(world.session(id).channel.token(), Some(token));
    assert!(world.broker.wheel.len() <= 3);
    assert_eq!(world.broker.counters.writes, 3 * 180);
}

/// Lists that grew in a burst do not keep its memory.
#[test]
fn a_burst_leaves_nothing_behind() {
    let mut world = World::new(Settings::default());
    for _ in 0..3_000 {
        world.listen(Mode::Stream);
    }
    world.publish("for all");
    assert!(world.broker.dirty.capacity() >= 3_000 && world.broker.outputs.capacity() >= 3_000);
    assert_eq!(world.outputs().len(), 3_000);
    assert_eq!(world.flush().len(), 3_000);
    world.pass(20_000);
    let kept = [world.broker.dirty.capacity(), world.broker.outputs.capacity(), world.broker.fired.capacity()];
    assert!(kept.iter().all(|slots| *slots <= KEPT_SLOTS_MAX), "{kept:?}");
}

/// P-30: a client that wants a queue of one event makes nobody else wait: its full queue is no pressure on the core.
#[test]
fn a_short_queue_of_ones_own_presses_nobody() {
    let mut world = World::new(Settings::default());
    for overflow in ["conflate", "drop-oldest"] {
        let listen = Listen {
            subject: Some(Box::from("/s")),
            queue: Some(Box::from("1")),
            overflow: Some(Box::from(overflow)),
            ..Listen::default()
        };
        world.request(Command::JoinListen { format: FormatName::Known(Format::Json), listen });
    }
    world.outputs();
    for number in 0..50 {
        world.publish(&number.to_string());
        assert!(!world.broker.is_pressed());
    }
    assert_eq!(world.broker.fullest_outbox().0, 1);
    assert_eq!(world.broker.counters.lost, 2 * 49);
}

/// P-30: whoever listens again with a shorter queue than what waits gets the newest, and is told of the rest.
#[test]
fn a_shorter_queue_holds_from_the_next_event_on() {
    let mut world = World::new(Settings::default());
    let (id, _) = world.listen(Mode::Pull);
    for number in 0..10 {
        world.publish(&number.to_string());
    }
    let listen = Listen { mode: ModeName::Known(Mode::Pull), queue: Some(Box::from("3")), ..Listen::default() };
    world.request(Command::Listen { id: ClaimedId::WellFormed(id), listen });
    world.publish("10");
    assert_eq!((world.session(id).outbox.len(), world.broker.counters.lost), (3, 8));
    // The server's own bound stays above every wish.
    let listen = Listen { mode: ModeName::Known(Mode::Pull), queue: Some(Box::from("99999")), ..Listen::default() };
    world.request(Command::Listen { id: ClaimedId::WellFormed(id), listen });
    for number in 0..300 {
        world.publish(&number.to_string());
    }
    assert_eq!(world.session(id).outbox.len(), 256);
}

/// The same when a socket takes bytes again: what is published next should find room.
#[test]
fn a_full_queue_presses_when_its_socket_takes_bytes_again() {
    let bounds = Bounds { events_max: 8, ..Settings::default().bounds };
    let mut world = World::new(Settings { bounds, ..Settings::default() });
    let (_, token) = world.listen(Mode::Stream);
    world.publish("0");
    let (key, _) = world.broker.poll_transmit(world.now, &mut world.gather).unwrap();
    world.broker.handle_sent(world.now, key, &world.gather, 1, true);
    (1..8).for_each(|number| world.publish(&number.to_string()));
    world.broker.handle_writable(key, token, false);
    assert!(!world.broker.is_pressed());
    world.broker.handle_writable(key, token, true);
    assert!(world.broker.is_pressed());
}

/// P-30: a queue that fills because nobody flushes is told apart from one whose reader is slow.
#[test]
fn pressure_is_told_before_a_queue_is_full() {
    let bounds = Bounds { events_max: 8, ..Settings::default().bounds };
    let mut world = World::new(Settings { bounds, ..Settings::default() });
    let (slow, _) = world.listen(Mode::Stream);
    world.publish("0");
    let (key, _) = world.broker.poll_transmit(world.now, &mut world.gather).unwrap();
    world.broker.handle_sent(world.now, key, &world.gather, 1, true);
    for number in 1..8 {
        world.publish(&number.to_string());
    }
    assert!(!world.broker.is_pressed(), "a blocked socket is no reason to flush");
    let (quick, _) = world.listen(Mode::Stream);
    for number in 8..12 {
        world.publish(&number.to_string());
        assert!(!world.broker.is_pressed());
    }
    world.publish("12");
    assert!(world.broker.is_pressed());
    assert_eq!(world.flush().len(), 1);
    assert!(!world.broker.is_pressed());
    assert!(world.broker.sessions.by_id(slow).is_none(), "it had room for eight");
    assert!(world.session(quick).outbox.is_empty());
    assert_eq!(world.broker.counters.ended[usize::from(EndReason::QueueFull.number()) - 1], 1);
}

/// P-17: `p_wait` takes every value of its range, both ends included, and no other.
#[test]
fn the_wait_is_spread_over_its_range() {
    let settings = Settings { pull_refresh_wait_ms: (3, 6), poll_refresh_wait_ms: (9, 9), ..Settings::default() };
    let mut world = World::new(settings);
    let mut seen = std::collections::BTreeSet::new();
    for turn in 0..200 {
        world.listen(if turn % 2 == 0 { Mode::Pull } else { Mode::Poll });
        for output in world.outputs() {
            let Output::Answer { answer: Answer::Events { body, .. }, .. } = output else { panic!("{output:?}") };
            let body = String::from_utf8(body).unwrap();
            let (_, wait) = body.split_once(r#""p_wait":""#).unwrap();
            seen.insert((turn % 2, wait.split('"').next().unwrap().to_owned()));
        }
    }
    let seen: Vec<(i32, &str)> = seen.iter().map(|(mode, wait)| (*mode, wait.as_str())).collect();
    assert_eq!(seen, [(0, "3"), (0, "4"), (0, "5"), (0, "6"), (1, "9")]);
}

/// P-14: the sessions take turns: who was flushed comes behind those who wait.
#[test]
fn nobody_is_always_last() {
    let mut world = World::new(Settings::default());
    let tokens: Vec<ReplyToken> = (0..3).map(|_| world.listen(Mode::Stream).1).collect();
    world.publish("one");
    let (key, first) = world.broker.poll_transmit(world.now, &mut world.gather).unwrap();
    world.broker.handle_sent(world.now, key, &world.gather, 10, false);
    let order: Vec<ReplyToken> = world.flush().into_iter().map(|(token, _)| token).collect();
    assert_eq!(order, [tokens[1], tokens[2], first]);
}

/// P-34: two sessions with one name are never made, whatever the random bits are.
#[test]
fn a_name_in_use_is_not_given_again() {
    let mut world = World::new(Settings::default());
    world.listen(Mode::Poll);
    world.connections = 0;
    world.outputs();
    world.listen(Mode::Poll);
    let outputs = world.outputs();
    assert!(matches!(&outputs[..], [Output::Answer { answer: Answer::Error { status: 503, .. }, .. }]), "{outputs:?}");
    assert_eq!((world.broker.session_count(), world.broker.counters.joins), (1, 1));
}

/// P-30, A11: bounds that are lowered while serving hold from the next event on.
#[test]
fn lowered_bounds_hold_from_the_next_event_on() {
    let mut world = World::new(Settings::default());
    let (id, _) = world.listen(Mode::Pull);
    for number in 0..10 {
        world.publish(&number.to_string());
    }
    let bounds = Bounds { events_max: 3, ..Settings::default().bounds };
    world.broker.handle_settings(Settings { bounds, ..Settings::default() });
    assert_eq!(world.session(id).outbox.len(), 10);
    world.publish("10");
    assert_eq!(world.session(id).outbox.len(), 3);
    assert_eq!(world.broker.counters.lost, 8);
}

/// P-19: a client that listens with the same subject for ever, as the old Java client does after lost connections, is never refused.
#[test]
fn listening_again_is_never_too_much() {
    let mut world = World::new(Settings::default());
    let (id, _) = world.listen(Mode::Stream);
    world.outputs();
    for _ in 0..2 * crate::limits::SUBSCRIPTIONS_MAX {
        let listen = Listen {
            mode: ModeName::Known(Mode::Stream),
            subject: Some(Box::from("/s")),
            label: None,
            ..Listen::default()
        };
        world.request(Command::Listen { id: ClaimedId::WellFormed(id), listen });
        let opened = world.outputs().iter().filter(|output| matches!(output, Output::Open { .. })).count();
        assert_eq!(opened, 1, "a stream for each listen");
    }
    assert_eq!(world.broker.counters().nacks, 0);
    assert_eq!(world.session(id).subscriptions.prefix_count(), crate::limits::SUBSCRIPTIONS_MAX);
}

/// P-28: clients that come and go leave nothing in the wheel for the length of a lease.
#[test]
fn sessions_that_are_gone_do_not_fill_the_wheel() {
    let mut world = World::new(Settings::default());
    for _ in 0..20_000 {
        let (id, _) = world.listen(Mode::Pull);
        world.request(Command::Leave { id: ClaimedId::WellFormed(id) });
        world.outputs();
    }
    assert!(world.broker.wheel.len() <= crate::limits::STALE_DEADLINES_MAX + 8, "{}", world.broker.wheel.len());
}

/// P-15: a publish to many waiting pull clients is worked off in shares, so that others are served between them.
#[test]
fn waits_are_completed_in_shares() {
    let mut world = World::new(Settings::default());
    let many = crate::limits::WRITES_PER_TURN_MAX + 10;
    for _ in 0..many {
        let (id, _) = world.listen(Mode::Pull);
        world.refresh(id);
    }
    world.outputs();
    world.publish("x");
    assert!(world.flush().is_empty() && world.broker.has_dirty());
    let ends = |outputs: Vec<Output>| outputs.iter().filter(|output| matches!(output, Output::Finish { .. })).count();
    assert_eq!(ends(world.outputs()), crate::limits::WRITES_PER_TURN_MAX);
    assert!(world.flush().is_empty() && !world.broker.has_dirty());
    assert_eq!(ends(world.outputs()), 10);
}

/// What the answers that are on their way carry.
fn carried(outputs: &[Output]) -> Vec<u32> {
    let events = outputs.iter().filter_map(|output| match output {
        Output::Carries { events, .. } => Some(*events),
        _ => None,
    });
    events.collect()
}

/// P-26, P-30: an event that was sent in part ends the answer that is superseded, and is in no queue any more: if the connection breaks over
/// it, the client misses it aloud. A heartbeat is no event.
#[test]
fn the_rest_of_an_event_is_carried() {
    for sent in [0, 10] {
        let mut world = World::new(Settings::default());
        let (id, _) = world.listen(Mode::Stream);
        world.publish("one");
        world.publish("two");
        let (key, _) = world.broker.poll_transmit(world.now, &mut world.gather).unwrap();
        world.broker.handle_sent(world.now, key, &world.gather, sent, true);
        world.outputs();
        world.refresh(id);
        assert_eq!(carried(&world.outputs()), if sent > 0 { vec![1] } else { vec![] });
    }
    let mut world = World::new(Settings::default());
    let (id, _) = world.listen(Mode::Stream);
    world.now.instant = world.now.instant + Settings::default().heartbeat_ms;
    world.broker.handle_timeout(world.now);
    let (key, _) = world.broker.poll_transmit(world.now, &mut world.gather).unwrap();
    world.broker.handle_sent(world.now, key, &world.gather, 10, true);
    world.outputs();
    world.refresh(id);
    assert!(carried(&world.outputs()).is_empty());
}

/// P-30: who does not get an answer misses what its events would have told to be missing, too.
#[test]
fn what_an_event_tells_of_is_carried_with_it() {
    let bounds = Bounds { events_max: 3, ..Settings::default().bounds };
    let mut world = World::new(Settings { bounds, ..Settings::default() });
    let (id, _) = world.listen(Mode::Pull);
    for number in 0..10 {
        world.publish(&number.to_string());
    }
    world.outputs();
    world.refresh(id);
    assert_eq!(carried(&world.outputs()), [10], "three, and seven that were dropped before them");
    let key = world.broker.sessions.by_id(id).unwrap();
    world.broker.handle_undelivered(key, 10);
    world.publish("next");
    assert_eq!(world.session(id).outbox.len(), 1);
    world.refresh(id);
    let outputs = world.outputs();
    assert_eq!(carried(&outputs), [11]);
    let told = outputs.iter().any(|output| {
        matches!(output, Output::Answer { answer: Answer::Events { body, .. }, .. }
            if String::from_utf8_lossy(body).contains(r#""p_lost":"10""#))
    });
    assert!(told, "{outputs:?}");
}
