//! Sessions of `/v1/ws`: what comes first and last, what comes in between, and that nothing is torn.
//!
//! Requests are read by `wire` and asked as the shell asks them. What comes is read by a reader of its own, after RFC 6455 section 5.2.

use std::io::Read;

use serde_json::json;

use super::*;
use crate::auth::{Rule, Who};
use crate::limits::{QUEUE_EVENTS_DEFAULT, SSE_RETRY_MS};
use crate::wire::v1::{RequestId, Wanted};
use crate::wire::ws;

/// What a frame is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Got {
    Object(Value),
    Ping,
    Pong(Vec<u8>),
    Close(u16, String),
}

/// Reads frames of a server: whole, not masked, with nothing behind the last.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<Got> {
    let mut found = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert!(!matches!(found.last(), Some(Got::Close(..))), "something behind the Close frame");
        assert_eq!((first & 0xb0, second & 0x80), (0x80, 0), "whole, and not masked");
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().expect("eight")) as usize, &rest[8..]),
            short => (usize::from(*short), rest),
        };
        let (payload, rest) = rest.split_at(length);
        let object = |text: &[u8]| serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        found.push(match first & 0x4f {
            0x01 => Got::Object(object(payload)),
            0x41 => {
                let stream = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
                let mut text = Vec::new();
                flate2::read::DeflateDecoder::new(&stream[..]).read_to_end(&mut text).expect("DEFLATE");
                Got::Object(object(&text))
            }
            8 => {
                let reason = std::str::from_utf8(&payload[2..]).expect("UTF-8").to_owned();
                Got::Close(u16::from_be_bytes([payload[0], payload[1]]), reason)
            }
            9 if payload.is_empty() => Got::Ping,
            10 => Got::Pong(payload.to_vec()),
            other => panic!("opcode {other}"),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    found
}

/// What has come of one WebSocket.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    over: bool,
    carried: u32,
}

/// A world of WebSockets whose sockets take what they are told to.
pub(super) struct Sockets {
    pub(super) world: World,
    lines: HashMap<ReplyToken, Line>,
    answers: Vec<(ReplyToken, Answer)>,
}

impl Sockets {
    pub(super) fn new(settings: Settings) -> Self {
        Self { world: World::new(settings), lines: HashMap::new(), answers: Vec::new() }
    }

    pub(super) fn open_as(&mut self, identity: Identity, deflate: bool, query: &str) -> (SessionId, ReplyToken) {
        let token = self.world.request_of(identity, open(Door::WebSocket { deflate }, query));
        self.take_outputs();
        (self.world.newest(), token)
    }

    /// `GET /v1/ws?QUERY`.
    pub(super) fn open(&mut self, query: &str) -> (SessionId, ReplyToken) {
        self.open_as(Identity::NOBODY, false, query)
    }

    fn take_outputs(&mut self) {
        for output in self.world.outputs() {
            let token = output.token().expect("there is one core");
            match output {
                Output::Open { lead, .. } => {
                    let before = self.lines.insert(token, Line { bytes: lead, ..Line::default() });
                    assert!(before.is_none(), "begun twice");
                }
                Output::Finish { tail, .. } => {
                    let line = self.lines.get_mut(&token).expect("it has begun");
                    assert!(!std::mem::replace(&mut line.over, true), "two ends");
                    line.bytes.extend_from_slice(&tail);
                }
                Output::Carries { events, .. } => self.lines.get_mut(&token).expect("begun").carried += events,
                Output::Answer { answer, .. } => self.answers.push((token, answer)),
                other => panic!("there is one core: {other:?}"),
            }
        }
    }

    /// The next write, of which the socket takes at most so many bytes.
    pub(super) fn write(&mut self, bytes: usize) -> Option<ReplyToken> {
        let World { broker, gather, now, .. } = &mut self.world;
        let (key, token) = broker.poll_transmit(*now, gather)?;
        let all: Vec<u8> = gather.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect());
        let sent = bytes.min(all.len());
        let line = self.lines.get_mut(&token).expect("begun");
        assert!(!line.over, "events behind the end");
        line.bytes.extend_from_slice(&all[..sent]);
        broker.handle_sent(*now, key, gather, sent, sent < all.len());
        Some(token)
    }

    /// Everybody takes everything.
    pub(super) fn settle(&mut self) {
        self.take_outputs();
        while self.write(usize::MAX).is_some() {}
        self.take_outputs();
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / crate::limits::TICK_MS {
            self.world.now.instant = self.world.now.instant + crate::limits::TICK_MS;
            self.world.broker.handle_timeout(self.world.now);
            self.settle();
        }
    }

    /// Everything that has come.
    fn told(&self, token: ReplyToken) -> Vec<Got> {
        frames(&self.lines[&token].bytes)
    }

    /// The objects behind the one that says what the session is.
    pub(super) fn objects(&self, token: ReplyToken) -> Vec<Value> {
        let objects = self.told(token).into_iter().filter_map(|got| match got {
            Got::Object(object) => Some(object),
            _ => None,
        });
        let mut objects: Vec<Value> = objects.collect();
        assert_eq!(objects.remove(0)["type"], "session");
        objects
    }

    /// The data of the events.
    pub(super) fn data(&self, token: ReplyToken) -> Vec<Value> {
        let events = self.objects(token).into_iter().filter(|object| object.get("type").is_none());
        events.map(|object| object["data"].clone()).collect()
    }

    pub(super) fn key(&self, id: SessionId) -> SessionKey {
        self.world.broker.sessions.by_id(id).expect("it lives")
    }

    /// A request on the connection of a session, and its answer as a message, as the shell asks and answers.
    pub(super) fn request(&mut self, (id, token): (SessionId, ReplyToken), text: &str) -> Value {
        let found = v1::requests(text).expect("a message");
        let request = v1::request(&text[found[0].clone()]);
        let claimed = ClaimedId::WellFormed(id);
        let (_, identity) = self.world.broker.identify(self.key(id)).expect("it lives");
        let command = match request.wanted.expect("a request") {
            Wanted::Subscribe(wanted) => Command::Add { id: claimed, wanted },
            Wanted::Unsubscribe(lists) => Command::Remove { id: claimed, lists },
            Wanted::Publish(item) => {
                let post = Post { items: vec![Ok(item)], list: false, key: None, publisher: Some(id) };
                Command::Post(Box::new(post))
            }
            Wanted::Ping => panic!("that is answered by the shell"),
        };
        let agent = Agent { identity, ..Agent::default() };
        let request_id = request.id;
        let path = Arc::from("/v1/ws");
        let request = Request { token, command, path, chunked: true, agent, draw: [0; 2] };
        self.world.broker.handle_request(self.world.now, request);
        self.settle();
        self.answer_of(token, request_id.as_ref())
    }

    fn answer_of(&mut self, token: ReplyToken, id: Option<&RequestId>) -> Value {
        let (to, answer) = self.answers.pop().expect("an answer");
        assert_eq!((to, self.answers.len()), (token, 0), "one answer, to who asked");
        let message = match answer {
            Answer::Done => v1::ack(id.expect("somebody wants to know")),
            Answer::Problem(problem) => v1::nack(id, &problem),
            Answer::Posted(posted) => v1::posted(id, &posted).expect("somebody wants to know"),
            other => panic!("{other:?}"),
        };
        serde_json::from_slice(&message).expect("JSON")
    }

    /// A request without a session.
    fn publish(&mut self, body: &str) {
        self.world.request(post(body, None));
        self.settle();
        self.answers.clear();
    }

    pub(super) fn put(&mut self, subject: &str, number: u32) {
        let payload = Payload::Json(number.to_string().into());
        let event = Event { payload, ..(*event(subject, &[])).clone() };
        self.world.broker.handle_event(self.world.now, &Arc::new(event), &Audience::Subscribers);
    }

    fn refused(&mut self, identity: Identity, query: &str) -> (u16, Option<&'static str>) {
        let before = self.world.broker.counters().joins;
        let (_, token) = self.open_as(identity, false, query);
        let broker = &self.world.broker;
        assert_eq!((broker.counters().joins, broker.subscription_count(), self.lines.len()), (before, 0, 0));
        match self.answers.pop() {
            Some((to, Answer::Problem(problem))) if to == token => (problem.status, problem.field),
            other => panic!("{query}: {other:?}"),
        }
    }

    fn assert_nothing_left(&mut self) {
        let broker = &self.world.broker;
        assert_eq!((broker.session_count(), broker.subscription_count(), broker.listening_count()), (0, 0, 0));
        self.pass(600_000);
        assert_eq!((self.world.broker.deadline_count(), self.world.broker.has_dirty()), (0, false));
    }
}

/// What is said between two events, as the shell says it: the rest of one that is out in part goes in front.
fn interject(sockets: &mut Sockets, (id, token): (SessionId, ReplyToken), frame: &[u8]) -> (usize, u32) {
    let key = sockets.key(id);
    let (rest, missed) = sockets.world.broker.handle_interjection(key, token).expect("it is open");
    let line = sockets.lines.get_mut(&token).expect("begun");
    line.bytes.extend_from_slice(&rest);
    line.bytes.extend_from_slice(frame);
    (rest.len(), missed)
}

#[test]
fn a_session_from_its_beginning_to_its_end() {
    let mut sockets = Sockets::new(Settings { ws_message_max: 4_096, ..Settings::default() });
    let (id, token) = sockets.open("");
    let address = sockets.world.session(id).address.to_string();
    let session = json!({"type": "session", "session": id.to_string(), "address": address, "heartbeat_ms": 20_000,
        "message_max": 4_096});
    assert_eq!(sockets.told(token), [Got::Object(session)]);
    assert_eq!((sockets.world.broker.listening_count(), sockets.world.broker.subscription_count()), (1, 0));
    sockets.publish(r#"{"subject":"/a","data":1}"#);
    assert!(sockets.objects(token).is_empty(), "it has subscribed to nothing");
    // P-23: but it can be spoken to.
    sockets.publish(&format!(r#"{{"subject":"/x","data":2,"to":"{address}"}}"#));
    assert_eq!(sockets.objects(token), [json!({"subject": "/x", "data": 2, "time": 1_000})]);

    let ack = sockets.request((id, token), r#"{"type":"subscribe","id":"s","subject":["/a","/b/*, /c"]}"#);
    assert_eq!(ack, json!({"type": "ack", "id": "s"}));
    assert_eq!(sockets.world.broker.subscription_count(), 3);
    sockets.publish(
        r#"[{"subject":"/a","data":3},{"subject":"/b/x","data":{"y":[]},"event":"n"},{"subject":"/d","data":4}]"#,
    );
    let expected = [
        json!({"subject": "/a", "data": 3, "time": 1_000}),
        json!({"subject": "/b/x", "event": "n", "data": {"y": []}, "time": 1_000}),
    ];
    assert_eq!(sockets.objects(token)[1..], expected);
    let ack = sockets.request((id, token), r#"{"type":"unsubscribe","id":2,"subject":"/a,/c"}"#);
    assert_eq!(ack, json!({"type": "ack", "id": 2}));
    sockets.publish(r#"[{"subject":"/a","data":5},{"subject":"/c","data":6},{"subject":"/b/y","data":7}]"#);
    assert_eq!(sockets.data(token).last(), Some(&json!(7)));
    assert_eq!(sockets.objects(token).len(), 4);

    // P-31: it ends with its connection, at once.
    let key = sockets.key(id);
    sockets.put("/b/z", 8);
    sockets.world.broker.handle_disconnect(sockets.world.now, key, ReplyToken { serial: 7, ..token });
    assert_eq!(sockets.world.broker.session_count(), 1, "another connection is not its business");
    sockets.world.broker.handle_disconnect(sockets.world.now, key, token);
    assert!(sockets.world.outputs().is_empty(), "there is nobody to tell");
    assert_eq!(sockets.world.broker.counters().lost, 1);
    sockets.assert_nothing_left();
}

/// Each item of a comma list is a subscription of its own here, with the wishes of its parameter.
#[test]
fn it_may_begin_with_subjects() {
    let mut sockets = Sockets::new(Settings::default());
    let (id, token) = sockets.open("queue=2&subject=/a,/b&subject=/c&conflate=true");
    assert_eq!(sockets.world.broker.subscription_count(), 3);
    (0..4).for_each(|number| sockets.put(["/a", "/b"][number as usize % 2], number));
    (4..7).for_each(|number| sockets.put("/a", number));
    (7..9).for_each(|number| sockets.put("/c", number));
    sockets.settle();
    assert_eq!(
        sockets.data(token),
        [1, 3, 5, 6, 8].map(|number| json!(number)),
        "two of /a, two of /b, the newest of /c"
    );
    for subject in ["/a", "/b", "/c"] {
        let request = format!(r#"{{"type":"unsubscribe","id":1,"subject":"{subject}"}}"#);
        assert_eq!(sockets.request((id, token), &request)["type"], "ack", "{subject}");
    }
    assert_eq!(sockets.world.broker.subscription_count(), 0);
}

/// A11, P-7: who is refused gets a problem before there is a WebSocket, and leaves nothing.
#[test]
fn a_refused_session_leaves_nothing() {
    let rule = |subject, subscribe| Rule {
        subject: Pattern::new(subject).expect("a pattern"),
        publish: Who::nobody(),
        subscribe,
    };
    let (staff, other) = (Identity::from_number(1), Identity::from_number(2));
    let access = Access::new(vec![rule("/staff/**", Who::holders([staff]))], [staff, other], false);
    let mut sockets = Sockets::new(Settings { access: Arc::new(access), sessions_max: 1, ..Settings::default() });
    let many: Vec<String> = (0..=crate::limits::SUBSCRIPTIONS_MAX).map(|number| format!("/{number}")).collect();
    let nobody = Identity::NOBODY;
    for query in ["subject=/a*", "subject=", "subject=/a,/b/**/c", &format!("subject={}", many.join(","))] {
        assert_eq!(sockets.refused(nobody, query), (400, Some("subject")), "{query}");
    }
    assert_eq!(sockets.refused(nobody, "subject=/a,/staff/x"), (401, Some("Authorization")));
    assert_eq!(sockets.refused(other, "subject=/a&subject=/staff/x"), (403, Some("subject")));
    sockets.open_as(staff, false, "subject=/staff/x");
    let (_, token) = sockets.open("");
    let Some((to, Answer::Problem(problem))) = sockets.answers.pop() else { panic!("no problem") };
    assert_eq!((to, problem.status, problem.retry_after_s), (token, 503, Some(crate::limits::RETRY_AFTER_S)));
    sockets.world.broker.handle_shutdown(sockets.world.now);
    sockets.settle();
    sockets.open("");
    let Some((_, Answer::Problem(problem))) = sockets.answers.pop() else { panic!("no problem") };
    assert_eq!((problem.status, problem.retry_after_s.is_some()), (503, true));
    sockets.assert_nothing_left();
}

#[test]
fn a_client_that_comes_again_is_told_that_it_starts_anew() {
    let mut sockets = Sockets::new(Settings::default());
    let (_, token) = sockets.open("last_event_id=1%222");
    let told = sockets.told(token);
    let Got::Object(session) = &told[0] else { panic!("{told:?}") };
    assert_eq!((&session["type"], &session["reset"]), (&json!("session"), &json!(true)));
    assert_eq!(told[1..], [Got::Object(json!({"type": "reset", "reason": "no-history", "last_event_id": "1\"2"}))]);
    let (_, token) = sockets.open("last_event_id=");
    assert_eq!(sockets.objects(token).len(), 0);
}

/// P-22: what is published over a WebSocket tells the address of who published it, to everybody and to itself.
#[test]
fn events_tell_their_publishers_address() {
    let mut sockets = Sockets::new(Settings::default());
    let one = sockets.open("subject=/a");
    let other = sockets.open_as(Identity::NOBODY, true, "subject=/a");
    let address = sockets.world.session(one.0).address.to_string();
    let other_address = sockets.world.session(other.0).address.to_string();
    let ack = sockets.request(one, r#"{"type":"publish","id":1,"subjects":["/a","/b"],"data":"x"}"#);
    assert_eq!(ack, json!({"type": "ack", "id": 1, "accepted": 2, "refused": 0}));
    let event = json!({"subject": "/a", "data": "x", "time": 1_000, "from": address});
    for token in [one.1, other.1] {
        assert_eq!(sockets.objects(token), std::slice::from_ref(&event));
    }
    let to = format!(r#"{{"type":"publish","id":2,"subject":"/z","data":null,"to":"{address}"}}"#);
    assert_eq!(sockets.request(other, &to)["accepted"], 1);
    let event = json!({"subject": "/z", "data": null, "time": 1_000, "from": other_address});
    assert_eq!(sockets.objects(one.1).last(), Some(&event));
    assert_eq!(sockets.objects(other.1).len(), 1);
    let nack = sockets.request(one, r#"{"type":"publish","id":3,"subject":"/a","data":1,"to":"somebody"}"#);
    assert_eq!(
        (&nack["type"], &nack["id"], &nack["status"], &nack["field"]),
        (&json!("nack"), &json!(3), &json!(400), &json!("to"))
    );
}

/// P-14: a ping after silence in any case, and a message with it for who wants to see it.
#[test]
fn silence_is_broken() {
    let mut sockets = Sockets::new(Settings { heartbeat_ms: 1_000, ..Settings::default() });
    let (_, quiet) = sockets.open("subject=/a");
    let (_, seen) = sockets.open("subject=/a&heartbeat=event");
    sockets.pass(900);
    assert_eq!((sockets.told(quiet).len(), sockets.told(seen).len()), (1, 1));
    sockets.pass(100);
    let heartbeat = Got::Object(json!({"type": "heartbeat"}));
    assert_eq!(sockets.told(quiet)[1..], [Got::Ping]);
    assert_eq!(sockets.told(seen)[1..], [Got::Ping, heartbeat]);
    sockets.pass(900);
    sockets.publish(r#"{"subject":"/a","data":1}"#);
    sockets.pass(900);
    assert_eq!((sockets.told(quiet).len(), sockets.told(seen).len()), (3, 4), "an event is a sign of life as well");
    // P-28: it lives on its heartbeats.
    sockets.pass(700_000);
    assert_eq!(sockets.world.broker.session_count(), 2);
}

/// Wherever an event was cut: what is said comes behind the whole of it and before the next one, and a client whose connection breaks then
/// misses what was taken from its queue (P-30).
#[test]
fn what_is_said_comes_between_two_events() {
    let mut pong = Vec::new();
    ws::write(ws::Opcode::Pong, b"!", &mut pong);
    for cut in 0..200 {
        let overflow = Some(Overflow::DropOldest);
        let bounds = Bounds { events_max: 3, ..Settings::default().bounds };
        let mut sockets = Sockets::new(Settings { bounds, overflow, ..Settings::default() });
        let (id, token) = sockets.open("subject=/a");
        (0..5).for_each(|number| sockets.put("/a", number));
        sockets.write(cut);
        let stale = ReplyToken { serial: 9, ..token };
        let key = sockets.key(id);
        assert_eq!(sockets.world.broker.handle_interjection(key, stale), None, "another answer's");
        let (rest, missed) = interject(&mut sockets, (id, token), &pong);
        let (again, none) = interject(&mut sockets, (id, token), &pong);
        assert_eq!((again, none), (0, 0), "it is whole already");
        // Events queue on behind it, and are written when the socket takes more.
        sockets.put("/a", 5);
        sockets.world.broker.handle_writable(key, token, true);
        sockets.settle();
        let told = sockets.told(token);
        let numbers: Vec<_> = told
            .iter()
            .filter_map(|got| match got {
                Got::Object(object) => object["data"].as_u64(),
                _ => None,
            })
            .collect();
        let place = told.iter().position(|got| *got == Got::Pong(b"!".to_vec())).expect("a pong");
        let whole_before = if cut == 0 { 0 } else { place - 1 };
        // Two were lost before the cut, and perhaps one more when the last one came.
        let lost: u64 = told
            .iter()
            .map(|got| match got {
                Got::Object(object) => object["lost"].as_u64().unwrap_or(0),
                _ => 0,
            })
            .sum();
        assert_eq!(lost, sockets.world.broker.counters().lost, "cut at {cut}");
        assert_eq!(numbers.len() as u64 + lost, 6, "cut at {cut}: {told:?}");
        assert!(numbers.is_sorted() && numbers.last() == Some(&5), "cut at {cut}: {numbers:?}");
        match rest {
            0 => assert_eq!(missed, 0),
            // The first of them tells of two others, which are missed with it.
            _ => assert_eq!(missed, if whole_before == 1 { 3 } else { 1 }, "cut at {cut}"),
        }
    }
}

/// What an interjection takes out of the queue is told as missing if the connection breaks; a sign of life is not missed.
#[test]
fn what_was_taken_out_is_counted() {
    let mut sockets = Sockets::new(Settings { heartbeat_ms: 1_000, ..Settings::default() });
    let (id, token) = sockets.open("subject=/a");
    sockets.world.now.instant = sockets.world.now.instant + 1_000;
    sockets.world.broker.handle_timeout(sockets.world.now);
    assert_eq!(sockets.write(1), Some(token));
    assert_eq!(interject(&mut sockets, (id, token), &[]), (1, 0), "half a ping");
    sockets.put("/a", 1);
    sockets.put("/a", 2);
    let key = sockets.key(id);
    sockets.world.broker.handle_writable(key, token, true);
    sockets.write(3);
    let (rest, missed) = interject(&mut sockets, (id, token), &[]);
    assert!(rest > 0 && missed == 1);
    // The shell says that this did not get out, and then that the connection is gone.
    sockets.world.broker.handle_undelivered(key, missed);
    sockets.world.broker.handle_disconnect(sockets.world.now, key, token);
    assert_eq!(sockets.world.broker.counters().lost, 2);
    sockets.assert_nothing_left();
}

/// How each end is told: behind an event that has begun, with the code and the words of the public table; and the times to come again differ.
#[test]
fn every_end_is_told() {
    for reason in EndReason::ALL {
        for cut in [0, 1, 9] {
            let settings = Settings { session_timeout_ms: 5_000, ..Settings::default() };
            let mut sockets = Sockets::new(settings);
            let (id, token) = sockets.open("subject=/a");
            let key = sockets.key(id);
            sockets.put("/a", 0);
            sockets.write(cut);
            match reason {
                EndReason::Leave => drop(sockets.world.request(Command::Leave { id: ClaimedId::WellFormed(id) })),
                EndReason::LeaseExpired => {
                    // P-28: a socket that takes nothing is no use.
                    sockets.world.now.instant = sockets.world.now.instant + 5_100;
                    sockets.world.broker.handle_timeout(sockets.world.now);
                }
                EndReason::NotAlive => {
                    let now = sockets.world.now;
                    sockets.world.broker.handle_silence(now, key, ReplyToken { serial: 2, ..token });
                    assert_eq!(sockets.world.broker.session_count(), 1, "another connection's silence");
                    sockets.world.broker.handle_silence(now, key, token);
                }
                EndReason::QueueFull => (0..=QUEUE_EVENTS_DEFAULT).for_each(|number| sockets.put("/a", number)),
                EndReason::Disconnected => sockets.world.broker.handle_disconnect(sockets.world.now, key, token),
                EndReason::Shutdown => sockets.world.broker.handle_shutdown(sockets.world.now),
            }
            // What would be said from here on would stand within the event, whose rest is in the end.
            assert_eq!(sockets.world.broker.handle_interjection(key, token), None);
            sockets.take_outputs();
            assert_eq!(sockets.world.broker.session_count(), 0, "{reason:?}");
            assert_eq!(sockets.world.broker.counters().ended[usize::from(reason.number()) - 1], 1, "{reason:?}");
            let line = &sockets.lines[&token];
            assert_eq!(line.over, reason != EndReason::Disconnected);
            if reason != EndReason::Disconnected {
                assert_eq!(line.carried, u32::from(cut > 0));
                let mut told = sockets.told(token);
                assert_eq!(told.pop(), Some(Got::Close(reason.close_code(), reason.text().to_owned())));
                let Some(Got::Object(mut end)) = told.pop() else { panic!("{told:?}") };
                let retry = end["retry_ms"].take().as_u64().expect("a time") as u32;
                assert!((SSE_RETRY_MS.0..=SSE_RETRY_MS.1).contains(&retry));
                let action = reason.client_action().name();
                let expected = json!({"type": "end", "reason": reason.word(), "text": reason.text(), "action": action,
                    "retry_ms": null});
                assert_eq!(end, expected);
                assert_eq!(told.len(), 1 + usize::from(cut > 0), "the rest of an event that had begun, and no other");
            }
            sockets.assert_nothing_left();
        }
    }
    let mut sockets = Sockets::new(Settings::default());
    let tokens: Vec<_> = (0..20).map(|_| sockets.open("").1).collect();
    sockets.world.broker.handle_shutdown(sockets.world.now);
    sockets.settle();
    let times: std::collections::BTreeSet<u64> =
        tokens.iter().map(|token| sockets.objects(*token)[0]["retry_ms"].as_u64().expect("a time")).collect();
    assert!(times.len() > 10, "they would all come at once: {times:?}");
}

/// RFC 7692: long events are compressed once, short ones are sent as they are; what is lost stands in front of either.
#[test]
fn compressed_events_are_the_same_events() {
    let bounds = Bounds { events_max: 2, ..Settings::default().bounds };
    let overflow = Some(Overflow::DropOldest);
    let mut sockets = Sockets::new(Settings { bounds, overflow, ..Settings::default() });
    let (_, plain) = sockets.open("subject=/a");
    let (_, deflated) = sockets.open_as(Identity::NOBODY, true, "subject=/a");
    let publish = |sockets: &mut Sockets, text: &str| {
        let payload = Payload::Json(json!(text).to_string().into());
        let event = Event { payload, ..(*event("/a", &[])).clone() };
        sockets.world.broker.handle_event(sockets.world.now, &Arc::new(event), &Audience::Subscribers);
    };
    let noise: String =
        (0..300_u32).map(|at| char::from(b'!' + (at.wrapping_mul(2_654_435_761) >> 24) as u8 % 90)).collect();
    for text in ["short", &"long ".repeat(100), &noise, &"\u{4e2d}\"\\".repeat(9_000), "", &"end".repeat(50)] {
        publish(&mut sockets, text);
        publish(&mut sockets, text);
        publish(&mut sockets, text);
        sockets.settle();
        assert_eq!(sockets.told(plain).len(), sockets.told(deflated).len());
        assert_eq!(sockets.objects(plain), sockets.objects(deflated));
        let lost: Vec<_> =
            sockets.objects(deflated).iter().rev().take(2).map(|object| object["lost"].clone()).collect();
        assert_eq!(lost, [json!(null), json!(1)]);
    }
    let bytes = |token| sockets.lines[&token].bytes.len();
    assert!(bytes(deflated) * 4 < bytes(plain), "{} of {}", bytes(deflated), bytes(plain));
}

/// The doors of other sessions refuse this one, and say where its events are.
#[test]
fn its_events_go_nowhere_else() {
    let mut sockets = Sockets::new(Settings::default());
    let (id, token) = sockets.open("subject=/a");
    let claimed = || ClaimedId::WellFormed(id);
    for command in [
        Command::Listen { id: claimed(), listen: Listen::default() },
        Command::Listen { id: claimed(), listen: Listen { mode: ModeName::Known(Mode::Pull), ..Listen::default() } },
        Command::Refresh { id: claimed() },
    ] {
        sockets.world.request(command);
        sockets.take_outputs();
        let Some((_, Answer::Events { body, .. })) = sockets.answers.pop() else { panic!("no nack") };
        let told: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(told[0]["p_event"], "nack");
        assert_eq!(told[0]["p_reason"], "the session gets its events at its WebSocket, /v1/ws");
    }
    sockets.world.request(Command::PollNext { id: claimed(), wait_ms: None });
    sockets.take_outputs();
    let Some((_, Answer::Problem(problem))) = sockets.answers.pop() else { panic!("no problem") };
    assert_eq!((problem.status, problem.field), (400, Some("session")));
    sockets.put("/a", 1);
    sockets.settle();
    assert_eq!(sockets.data(token), [json!(1)], "its WebSocket goes on");
}

/// P-19, P-25: a subscription is told of what is accepted behind its ack, whatever is under way then; another wish makes no gap.
#[test]
fn nothing_is_missed_behind_an_ack() {
    let mut sockets = Sockets::new(Settings::default());
    sockets.world.broker.set_slice(1);
    let one = sockets.open("subject=/a");
    let late = sockets.open("");
    let crowd: Vec<_> = (0..6).map(|_| sockets.open("subject=/a").1).collect();
    // A large delivery has begun, and its slices are between the requests.
    sockets.put("/a", 0);
    assert!(sockets.world.broker.is_delivering());
    assert_eq!(sockets.request(late, r#"{"type":"subscribe","id":1,"subject":"/a"}"#)["type"], "ack");
    assert_eq!(sockets.request(one, r#"{"type":"subscribe","id":1,"subject":"/a","queue":9}"#)["type"], "ack");
    while sockets.world.broker.is_delivering() {
        sockets.world.broker.deliver_slice(sockets.world.now);
    }
    sockets.settle();
    assert_eq!(sockets.data(one.1), [json!(0)], "it was subscribed all the time");
    assert_eq!(sockets.data(late.1), [] as [Value; 0], "that was before");
    sockets.put("/a", 1);
    while sockets.world.broker.is_delivering() {
        sockets.world.broker.deliver_slice(sockets.world.now);
    }
    sockets.settle();
    assert_eq!((sockets.data(one.1), sockets.data(late.1)), (vec![json!(0), json!(1)], vec![json!(1)]));
    assert!(crowd.iter().all(|token| sockets.data(*token).len() == 2));
    // Who unsubscribes hears no more of it.
    assert_eq!(sockets.request(late, r#"{"type":"unsubscribe","id":2,"subject":"/a"}"#)["type"], "ack");
    sockets.put("/a", 2);
    while sockets.world.broker.is_delivering() {
        sockets.world.broker.deliver_slice(sockets.world.now);
    }
    sockets.settle();
    assert_eq!(sockets.data(late.1).len(), 1);
}
