//! Several hubs side by side: what crosses, what waits, and what is refused. Chance and faults are in `tests/sim`.

use std::sync::Arc;

use super::*;
use crate::mesh::{LaneBounds, ports};
use crate::protocol::{Agent, ClaimedId, Fields, Format, FormatName, Listen, Mode, ModeName, SessionId, ShardTable};

mod batch;
mod together;

const CORES: u16 = 3;

struct Node {
    hubs: Vec<Hub>,
    now: Now,
    connections: u32,
}

impl Node {
    fn new(messages_max: usize) -> Self {
        Self::with(LaneBounds { messages_max, bytes_max: 1 << 20 })
    }

    fn with(bounds: LaneBounds) -> Self {
        let now = Now { instant: Instant::ZERO, unix_s: 1_000 };
        let hub = |port: Port<Letter>| {
            let settings = Settings { core: port.core(), shards: ShardTable::new(CORES), ..Settings::default() };
            Hub::new(Broker::new(settings, now, 7), port)
        };
        Self { hubs: ports(CORES, bounds).into_iter().map(hub).collect(), now, connections: 0 }
    }

    /// A request on a new connection of core `core`.
    fn request(&mut self, core: u16, command: Command) -> ReplyToken {
        self.connections += 1;
        let token = ReplyToken { core, connection: self.connections, serial: 1 };
        let draw = [u128::from(self.connections); 2];
        let path = Arc::from("/pushlet.srv");
        let request = Request { token, command, path, chunked: true, agent: Agent::default(), draw };
        self.hubs[usize::from(core)].handle_request(self.now, request);
        token
    }

    /// A session of core `core` that pulls `/s`.
    fn join(&mut self, core: u16, mode: Mode) -> SessionId {
        let listen =
            Listen { mode: ModeName::Known(mode), subject: Some(Box::from("/s")), label: None, ..Listen::default() };
        self.request(core, Command::JoinListen { format: FormatName::Known(Format::Json), listen });
        SessionId::new(ShardTable::new(CORES).pick(core, 0), u128::from(self.connections))
    }

    fn publish(&mut self, core: u16, id: SessionId, text: &str, to: Option<&str>) -> ReplyToken {
        let fields = [("text", text)].into_iter().collect::<Fields>();
        let subject = Some(Box::from("/s"));
        let id = ClaimedId::WellFormed(id);
        self.request(core, Command::Publish { id, subject, to: to.map(Box::from), fields })
    }

    /// Turns of one core; what it does to connections.
    fn turn(&mut self, core: u16) -> Vec<Effect> {
        let hub = &mut self.hubs[usize::from(core)];
        hub.begin_turn(self.now);
        std::iter::from_fn(|| hub.poll_effect()).collect()
    }

    /// Turns of all cores until nothing is under way.
    fn settle(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for _ in 0..8 {
            for core in 0..CORES {
                effects.extend(self.turn(core));
            }
        }
        effects
    }

    fn queued(&self, core: u16) -> u64 {
        self.hubs[usize::from(core)].broker().counters().delivered
    }
}

/// The text of the answer to `token`.
fn answer(effects: &[Effect], token: ReplyToken) -> String {
    let mut found = effects.iter().filter_map(|effect| match effect {
        Effect::Do { output: Output::Answer { token: to, answer }, .. } if *to == token => Some(answer),
        _ => None,
    });
    let first = found.next().expect("an answer");
    assert!(found.next().is_none(), "two answers");
    match first {
        Answer::Events { body, .. } => String::from_utf8_lossy(body).into_owned(),
        Answer::Error { status, reason, .. } => format!("{status} {reason}"),
        Answer::Problem(problem) => format!("{} {}", problem.status, problem.detail),
        Answer::Posted(posted) => format!("accepted {} refused {}", posted.accepted(), posted.refused()),
        Answer::Done => String::from("done"),
    }
}

/// A3: a request is answered on the connection that it came on, whichever core has the session.
#[test]
fn a_request_for_another_core_is_answered_where_it_came() {
    let mut node = Node::new(16);
    let id = node.join(2, Mode::Pull);
    node.settle();
    let token = node.request(0, Command::Heartbeat { id: ClaimedId::WellFormed(id) });
    let effects = node.settle();
    assert!(answer(&effects, token).contains("hb-ack"));
    assert_eq!(node.hubs[0].broker().counters().forwarded, 1);
}

/// A3: a stream is asked for on another core: its connection is summoned, and the request comes back with it, unanswered.
#[test]
fn a_stream_of_another_core_summons_the_connection() {
    let mut node = Node::new(16);
    let id = node.join(1, Mode::Stream);
    node.settle();
    let token = node.request(0, Command::Refresh { id: ClaimedId::WellFormed(id) });
    let effects = node.settle();
    let [Effect::Do { core: 1, output: Output::Summon { token: to, request } }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((*to, &request.command), (token, &Command::Refresh { id: ClaimedId::WellFormed(id) }));
    // A pull of the same session does not have to move.
    let listen = Listen { mode: ModeName::Known(Mode::Pull), subject: None, label: None, ..Listen::default() };
    let token = node.request(0, Command::Listen { id: ClaimedId::WellFormed(id), listen });
    assert!(answer(&node.settle(), token).contains("listen-ack"));
}

/// A8: everyone gets it, from whichever core; and one session may be meant alone (P-23).
#[test]
fn events_reach_all_cores() {
    let mut node = Node::new(16);
    let ids: Vec<_> = (0..CORES).map(|core| node.join(core, Mode::Pull)).collect();
    node.settle();
    for (core, id) in (0..CORES).zip(&ids) {
        let token = node.publish((core + 1) % CORES, *id, "x", None);
        assert!(answer(&node.settle(), token).contains("publish-ack"));
    }
    for core in 0..CORES {
        assert_eq!(node.queued(core), 3, "core {core}");
    }
    let token = node.publish(0, ids[0], "you", Some(&ids[2].to_string()));
    assert!(answer(&node.settle(), token).contains("publish-ack"));
    assert_eq!([0, 1, 2].map(|core| node.queued(core)), [3, 3, 4]);
}

/// A8: while one inbox is full a publish reaches nobody; it waits, and then it reaches everybody.
#[test]
fn a_publish_waits_until_all_have_room() {
    let mut node = Node::new(4);
    let id = node.join(0, Mode::Pull);
    node.join(1, Mode::Pull);
    node.join(2, Mode::Pull);
    node.settle();
    let tokens: Vec<_> = (0..6).map(|_| node.publish(0, id, "x", None)).collect();
    // Only core 1 takes in what has come.
    node.turn(1);
    let mut effects = node.turn(0);
    assert_eq!((node.queued(0), node.queued(1)), (4, 4), "core 2 has no room for a fifth");
    assert!(tokens[..4].iter().all(|token| answer(&effects, *token).contains("publish-ack")));
    effects.extend(node.settle());
    assert!(tokens.iter().all(|token| answer(&effects, *token).contains("publish-ack")));
    assert_eq!([0, 1, 2].map(|core| node.queued(core)), [6, 6, 6]);
}

/// A8: a core that takes nothing for too long makes publishers hear `overloaded`, and nobody gets the event. P-7: with a reason.
#[test]
fn a_publish_that_waits_too_long_is_refused() {
    let mut node = Node::new(4);
    let id = node.join(0, Mode::Pull);
    node.join(1, Mode::Pull);
    node.settle();
    let tokens: Vec<_> = (0..5).map(|_| node.publish(0, id, "x", None)).collect();
    let forwarded: Vec<_> = (0..6).map(|_| node.request(0, heartbeat(2))).collect();
    node.now.instant = node.now.instant + OVERLOAD_MS;
    node.hubs[0].handle_timeout(node.now);
    let effects = node.turn(0);
    assert!(answer(&effects, tokens[4]).contains("overloaded"), "{effects:?}");
    assert!(answer(&effects, tokens[4]).contains("nack"));
    assert!(answer(&effects, forwarded[5]).starts_with("503 overloaded"));
    assert_eq!(node.hubs[0].broker().counters().overloaded, 1 + 6);
    let effects = node.settle();
    assert!(effects.is_empty(), "{effects:?}");
    assert_eq!((node.queued(0), node.queued(1)), (4, 4), "the fifth reached nobody");
    assert_eq!(node.hubs[0].waiting(), 0);
}

fn heartbeat(core: u16) -> Command {
    Command::Heartbeat { id: ClaimedId::WellFormed(SessionId::new(ShardTable::new(CORES).pick(core, 0), 99)) }
}

/// A full inbox of another core is no work: the core may sleep, and is woken when there is room.
#[test]
fn a_core_that_waits_for_room_sleeps() {
    let mut node = Node::new(4);
    let id = node.join(0, Mode::Pull);
    node.settle();
    for _ in 0..5 {
        node.publish(0, id, "x", None);
    }
    assert!(!node.hubs[0].has_work() && node.hubs[0].prepare_sleep(), "there is nothing to do but wait");
    let mut woken = Vec::new();
    for core in [1, 2] {
        node.turn(core);
        node.hubs[usize::from(core)].take_wakes(|other| woken.push(other));
    }
    assert_eq!(woken, [0], "once, by whoever made room");
    node.turn(0);
    assert_eq!(node.hubs[0].waiting(), 0);
}

/// What waits for the lanes is small.
#[test]
fn a_letter_is_small() {
    assert!(size_of::<Letter>() <= 16, "{} bytes", size_of::<Letter>());
}

/// Publishers of one core whose events keep it busy do not shut out what the other cores send, nor the requests that are forwarded.
#[test]
fn busy_publishers_leave_room_for_letters() {
    let mut node = Node::new(64);
    let id = node.join(0, Mode::Pull);
    for _ in 0..3000 {
        node.join(0, Mode::Pull);
    }
    let other = node.join(1, Mode::Pull);
    node.settle();
    for _ in 0..4 {
        node.publish(0, id, "x", None);
    }
    node.publish(1, other, "y", None);
    let asked = node.request(1, Command::Heartbeat { id: ClaimedId::WellFormed(id) });
    for _ in 0..40 {
        let effects = node.turn(0);
        let acked = |effect: &&Effect| matches!(effect, Effect::Do { output: Output::Answer { .. }, .. });
        for _ in effects.iter().filter(acked) {
            // The closed loop: whoever has its ack publishes again.
            node.publish(0, id, "x", None);
        }
        let effects = node.turn(1);
        let is_asked = |effect: &Effect| matches!(effect, Effect::Do { output: Output::Answer { token, .. }, .. } if *token == asked);
        if effects.iter().any(is_asked) {
            assert_eq!(node.hubs[0].broker().counters().relayed, 1, "the event came before the request");
            return;
        }
        node.turn(2);
    }
    panic!("no letter was taken in; {} wait", node.hubs[0].inbox_depth());
}

/// A tick may send more than a lane holds. The turn behind it says where the core waits for room.
#[test]
fn what_a_tick_sends_is_not_left_behind() {
    let mut node = Node::new(4);
    let ids: Vec<_> = (0..7).map(|_| node.join(0, Mode::Pull)).collect();
    node.settle();
    for id in &ids {
        node.request(1, Command::Refresh { id: ClaimedId::WellFormed(*id) });
        node.settle();
    }
    assert!(node.hubs[0].prepare_sleep() && node.hubs[1].prepare_sleep());
    node.now.instant = node.now.instant + Settings::default().pull_wait_ms;
    node.hubs[0].handle_timeout(node.now);
    node.turn(0);
    let mut woken = Vec::new();
    node.hubs[0].take_wakes(|core| woken.push(core));
    assert_eq!(woken, [1]);
    assert!(node.hubs[0].waiting() > 0 && node.hubs[0].prepare_sleep(), "the lane is full");
    node.turn(1);
    let mut woken = Vec::new();
    node.hubs[1].take_wakes(|core| woken.push(core));
    assert_eq!(woken, [0], "there is room again");
}

/// A8: pull answers for other cores that a flush has completed take no room that a publish was promised.
#[test]
fn a_flush_leaves_nothing_to_be_sent_later() {
    let mut node = Node::new(6);
    let id = node.join(0, Mode::Poll);
    let pulls: Vec<_> = (0..4).map(|_| node.join(0, Mode::Pull)).collect();
    node.settle();
    for pull in &pulls {
        node.request(1, Command::Refresh { id: ClaimedId::WellFormed(*pull) });
        node.settle();
    }
    for _ in 0..crate::limits::WRITES_PER_TURN_MAX + 50 {
        node.join(0, Mode::Stream);
    }
    node.settle();
    node.publish(0, id, "x", None);
    let mut gather = Gather::new();
    for _ in 0..crate::limits::WRITES_PER_TURN_MAX {
        let hub = &mut node.hubs[0];
        let Some((key, _)) = hub.poll_transmit(node.now, &mut gather) else { break };
        hub.handle_sent(node.now, key, &gather, gather.len(), false);
        assert!(hub.broker.outputs.is_empty());
    }
    // Its relay would find no room behind them.
    node.publish(0, id, "y", None);
    node.settle();
    assert_eq!(node.hubs[2].broker().counters().relayed, 2);
}

fn event(text: &str) -> Event {
    Event {
        name: None,
        subject: crate::topic::Subject::new("/s").unwrap(),
        payload: crate::protocol::Payload::Fields([("text", text)].into_iter().collect::<Fields>()),
        origin: crate::protocol::Origin::default(),
        position: None,
        accepted_at: 0,
    }
}

/// An event of the server's own program goes to whom it concerns on every core: to subscribers, to everyone, to one (P-23).
#[test]
fn an_audience_is_found_on_all_cores() {
    let mut node = Node::new(16);
    let ids: Vec<_> = (0..CORES).map(|core| node.join(core, Mode::Pull)).collect();
    node.settle();
    for (audience, expected) in [
        (Audience::Subscribers, [1, 1, 1]),
        (Audience::Everyone, [2, 2, 2]),
        (Audience::One(Box::from(ids[1].to_string())), [2, 3, 2]),
        (Audience::One(Box::from(ids[0].to_string())), [3, 3, 2]),
    ] {
        node.hubs[0].handle_event(node.now, event("x"), audience);
        assert!(node.settle().is_empty());
        assert_eq!([0, 1, 2].map(|core| node.queued(core)), expected);
    }
    let counters = |core: usize| node.hubs[core].broker().counters();
    assert_eq!([0, 1, 2].map(|core| counters(core).published), [4, 0, 0]);
    assert_eq!([0, 1, 2].map(|core| counters(core).relayed), [0, 3, 2]);
}

/// A8: where one inbox is full an event waits, in one line with clients' publishes; then it reaches everybody, in order. P-21: accepted when
/// it was handed in.
#[test]
fn an_event_waits_in_one_line_with_publishes() {
    let mut node = Node::new(4);
    let id = node.join(0, Mode::Pull);
    node.join(2, Mode::Pull);
    node.settle();
    for number in 0..5 {
        assert_eq!(node.hubs[0].holds_publishes(), number > 4);
        node.hubs[0].handle_event(node.now, event(&number.to_string()), Audience::Subscribers);
    }
    assert!(node.hubs[0].holds_publishes(), "core 2 has no room for a fifth");
    let token = node.publish(0, id, "5", None);
    node.hubs[0].handle_event(node.now, event("6"), Audience::Everyone);
    assert_eq!(node.queued(0), 4);
    assert!(answer(&node.settle(), token).contains("publish-ack"));
    assert!(!node.hubs[0].holds_publishes());
    let token = node.request(2, Command::Refresh { id: ClaimedId::WellFormed(id) });
    let text = answer(&node.settle(), token);
    let order: Vec<&str> = text.split(r#""text":""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(order, ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(text.matches(r#""p_time":"1000""#).count(), 7 + 2, "with what is around them: {text}");
}

/// A8: an event that finds no room for too long reaches nobody, and is counted as a client's publish is.
#[test]
fn an_event_that_waits_too_long_is_dropped() {
    let mut node = Node::new(4);
    node.join(0, Mode::Pull);
    node.settle();
    for _ in 0..6 {
        node.hubs[0].handle_event(node.now, event("x"), Audience::Everyone);
    }
    assert!(!node.hubs[0].has_work() && node.hubs[0].prepare_sleep(), "there is nothing to do but wait");
    node.now.instant = node.now.instant + OVERLOAD_MS;
    node.hubs[0].handle_timeout(node.now);
    node.settle();
    assert_eq!(node.hubs[0].broker().counters().overloaded, 2);
    assert_eq!((node.queued(0), node.hubs[0].waiting()), (4, 0));
    // P-32: what waits when the server ends is dropped and counted as well.
    for _ in 0..5 {
        node.hubs[0].handle_event(node.now, event("x"), Audience::Everyone);
    }
    node.hubs[0].handle_shutdown(node.now);
    assert_eq!(node.hubs[0].broker().counters().overloaded, 3);
}
