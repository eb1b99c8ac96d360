//! The modern doors at the broker: sessions from their beginning to their end, who may do what, and what is published once.
//!
//! Requests are read by `wire` as they are on a socket, and what comes is read by readers of its own, written from the descriptions.

mod access;
mod amend;
mod keyed;
mod patterns;
mod poll;
mod present;
mod runs;
mod socket;
mod sse;

use std::collections::HashMap;

use serde_json::Value;

use super::*;
use crate::protocol::{Door, Opening, Post, Posted, Problem};
use crate::wire::v1::{self, Query};

/// What has come of the answer to one request.
#[derive(Clone, Debug, Default)]
struct Reply {
    /// Its body as far as it has come.
    text: String,
    /// Whether it is complete.
    over: bool,
    /// The refusal that it is.
    problem: Option<Problem>,
    /// What a publisher was told.
    posted: Option<Posted>,
    /// P-30: how many events it carries that stand in no queue any more, and whose.
    carried: u32,
}

/// A world of clients that take everything at once and keep what they got.
struct Doors {
    world: World,
    replies: HashMap<ReplyToken, Reply>,
}

impl Doors {
    fn new(settings: Settings) -> Self {
        let mut world = World::new(settings);
        world.chunked = false;
        Self { world, replies: HashMap::new() }
    }

    fn ask(&mut self, command: Command) -> ReplyToken {
        self.ask_as(Identity::NOBODY, command)
    }

    fn ask_as(&mut self, identity: Identity, command: Command) -> ReplyToken {
        let token = self.world.request_of(identity, command);
        self.settle();
        token
    }

    /// Flushes, and gives everybody what is theirs.
    fn settle(&mut self) {
        loop {
            let written = self.world.flush();
            let outputs = self.world.outputs();
            if written.is_empty() && outputs.is_empty() {
                return;
            }
            // What was written belongs to answers that had begun before; what begins or ends one comes behind.
            for (token, text) in written {
                let reply = self.replies.get_mut(&token).expect("an answer that has begun");
                assert!(!reply.over, "bytes behind the end of {reply:?}");
                reply.text.push_str(&text);
            }
            outputs.into_iter().for_each(|output| self.take(output));
        }
    }

    fn take(&mut self, output: Output) {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let token = output.token().expect("there is one core");
        let reply = self.replies.entry(token).or_default();
        assert!(!reply.over, "two answers: {reply:?} and {output:?}");
        match output {
            Output::Open { lead, .. } => reply.text.push_str(&text(lead)),
            Output::Finish { tail, .. } => (reply.text, reply.over) = (reply.text.clone() + &text(tail), true),
            Output::Carries { events, .. } => reply.carried += events,
            Output::Answer { answer, .. } => {
                reply.over = true;
                match answer {
                    Answer::Events { body, .. } => reply.text = text(body),
                    Answer::Problem(problem) => reply.problem = Some(*problem),
                    Answer::Posted(posted) => reply.posted = Some((*posted).clone()),
                    Answer::Error { status, reason, .. } => reply.text = format!("{status} {reason}"),
                    Answer::Done => reply.text = String::from("done"),
                }
            }
            Output::Summon { .. } | Output::Relay { .. } => panic!("there is one core: {output:?}"),
        }
    }

    fn reply(&self, token: ReplyToken) -> &Reply {
        &self.replies[&token]
    }

    /// Time passes, tick by tick, and everybody takes what comes.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / crate::limits::TICK_MS {
            self.world.now.instant = self.world.now.instant + crate::limits::TICK_MS;
            self.world.broker.handle_timeout(self.world.now);
            self.settle();
        }
    }

    /// `GET /v1/sse?QUERY` of somebody with a key.
    fn sse_as(&mut self, identity: Identity, query: &str) -> (SessionId, ReplyToken) {
        let token = self.ask_as(identity, open(Door::EventStream, query));
        (self.world.newest(), token)
    }

    /// `GET /v1/sse?QUERY`.
    fn sse(&mut self, query: &str) -> (SessionId, ReplyToken) {
        self.sse_as(Identity::NOBODY, query)
    }

    /// `GET /v1/poll?QUERY` of somebody with a key: the answer.
    fn poll_as(&mut self, identity: Identity, query: &str) -> (SessionId, ReplyToken) {
        let command = v1::poll(&Query::read(query.as_bytes()).expect("a query")).expect("a request");
        let token = self.ask_as(identity, command);
        (self.world.newest(), token)
    }

    /// `GET /v1/poll?QUERY`.
    fn poll(&mut self, query: &str) -> (SessionId, ReplyToken) {
        self.poll_as(Identity::NOBODY, query)
    }

    /// The session's next poll.
    fn next(&mut self, id: SessionId, more: &str) -> ReplyToken {
        self.poll(&format!("session={id}{more}")).1
    }

    /// `POST /v1/publish` with a JSON body: the whole answer.
    fn publish_as(&mut self, identity: Identity, body: &str) -> Reply {
        let token = self.ask_as(identity, post(body, None));
        self.reply(token).clone()
    }

    /// The same without a key, of what must be accepted.
    fn publish(&mut self, body: &str) {
        let reply = self.publish_as(Identity::NOBODY, body);
        let posted = reply.posted.unwrap_or_else(|| panic!("{body}: {:?}", reply.problem));
        assert_eq!(posted.refused(), 0, "{body}: {posted:?}");
    }

    /// Publishes a number, which nobody is written yet.
    fn put(&mut self, subject: &str, number: u32) {
        let payload = Payload::Json(number.to_string().into());
        let event = Event { payload, ..(*event(subject, &[])).clone() };
        self.world.broker.handle_event(self.world.now, &Arc::new(event), &Audience::Subscribers);
    }

    /// A request of the Pushlet door, and its answer as events of names and values.
    fn pushlet_as(&mut self, identity: Identity, command: Command) -> Vec<Value> {
        let token = self.ask_as(identity, command);
        serde_json::from_str(&self.reply(token).text).unwrap_or_else(|error| panic!("{error}: {:?}", self.reply(token)))
    }

    fn pushlet(&mut self, command: Command) -> Vec<Value> {
        self.pushlet_as(Identity::NOBODY, command)
    }

    /// The events that a stream has brought, after the one that says what the session is.
    fn told(&self, stream: ReplyToken) -> Vec<(String, Value)> {
        let mut events = stream_events(&self.reply(stream).text);
        assert_eq!(events.remove(0).0, "session");
        events
    }

    /// The data of the published events among them.
    fn data(&self, stream: ReplyToken) -> Vec<Value> {
        let published = self.told(stream).into_iter().filter(|(_, object)| object.get("subject").is_some());
        published.map(|(_, object)| object["data"].clone()).collect()
    }

    /// The answer to a poll, which must be complete.
    fn polled(&self, token: ReplyToken) -> Value {
        let reply = self.reply(token);
        assert!(reply.over, "{reply:?}");
        serde_json::from_str(&reply.text).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
    }

    fn ended(&self, reason: EndReason) -> u64 {
        self.world.broker.counters.ended[usize::from(reason.number()) - 1]
    }

    /// Nothing is left of any session, at the latest when the longest time is over.
    fn assert_nothing_left(&mut self) {
        let broker = &self.world.broker;
        assert_eq!((broker.session_count(), broker.subscription_count(), broker.listening_count()), (0, 0, 0));
        self.pass(600_000);
        assert_eq!(self.world.broker.deadline_count(), 0);
        assert!(!self.world.broker.has_dirty());
    }
}

fn open(door: Door, query: &str) -> Command {
    Command::Open(Box::new(opening(door, query)))
}

fn opening(door: Door, query: &str) -> Opening {
    v1::opening(door, &Query::read(query.as_bytes()).expect("a query"), None).expect("a request")
}

fn post(body: &str, key: Option<crate::protocol::IdempotencyKey>) -> Command {
    let (items, list) =
        v1::read(v1::Body::Json, &Query::default(), Some("application/json"), body.as_bytes()).expect("a body");
    Command::Post(Box::new(Post { items, list, key, publisher: None }))
}

/// Reads an event stream by the rules of WHATWG HTML section 9.2.6: names and data, which must be JSON.
fn stream_events(text: &str) -> Vec<(String, Value)> {
    let (mut events, mut data, mut name) = (Vec::new(), Vec::<&str>::new(), "message");
    assert!(text.ends_with("\n\n"), "an event without its end: {text:?}");
    for line in text.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                if !data.is_empty() {
                    let json = data.join("\n");
                    let object = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
                    events.push((name.to_owned(), object));
                }
                (data, name) = (Vec::new(), "message");
            }
            "" | "retry" | "id" => {}
            "data" => data.push(value),
            "event" => name = value,
            other => panic!("field {other:?} in {text:?}"),
        }
    }
    events
}

/// The comments of an event stream.
fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix(':')).map(str::trim_start).collect()
}
