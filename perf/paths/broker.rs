//! What a core does for requests and events, from the command to the gathered write.

use std::hint::black_box;
use std::rc::Rc;

use pushletd::broker::{Answer, Broker, Output, Settings};
use pushletd::protocol::{
    Agent, ClaimedId, Command, Format, FormatName, Framing, Overflow, ReplyToken, Request, SessionId, ShardTable,
};
use pushletd::session::{Bounds, Envelope, Gather, Outbox, Subscriptions};
use pushletd::time::{Instant, Now};
use pushletd::topic::Trie;
use pushletd::wire::http::{Body, Progress, ReplyTo, RequestReader};
use pushletd::wire::pushlet::{self, Incoming};

use crate::event::{Encoder, fields};
use crate::fleet::{Fleet, begin, names, publish};
use crate::{HotPath, Step};

const SESSIONS: u32 = 1_000;
/// A session has so many requests in a row, or so many begin.
const REQUESTS: u64 = 1_000;
/// A write has so many events where it has many.
const QUEUED: u64 = 16;

pub(crate) fn paths() -> Vec<HotPath> {
    let mut paths: Vec<_> = Framing::ALL.into_iter().flat_map(|framing| [encode(framing), deliver(framing)]).collect();
    let of_16 = [(Framing::JsonLines, Envelope::Chunked), (Framing::MessageDeflate, Envelope::Frames)];
    paths.extend(of_16.map(|(framing, envelope)| {
        HotPath::new(format!("gather-16-{}", kebab(framing)), QUEUED, 20, move |_| gather(framing, envelope))
    }));
    paths.extend([
        HotPath::new("publish-to-one-of-1000", 1, REQUESTS, to_one),
        HotPath::new("publish-to-nobody", 1, REQUESTS, to_nobody),
        HotPath::new("heartbeat-of-stream", u64::from(SESSIONS), 5, |_| {
            let mut fleet = Fleet::new(Framing::JsonLines, SESSIONS);
            Box::new(move || assert!(fleet.beat() > 0, "heartbeats were written"))
        }),
        request("join", |_| Command::Join { format: FormatName::Known(Format::Json) }),
        request("join-listen", |_| begin(Framing::JsonLines)),
        request("open-sse", |_| begin(Framing::EventStream)),
        request("open-websocket", |_| begin(Framing::Message)),
        of_session("subscribe", |id, number| Command::Subscribe {
            id,
            subject: Some(format!("/news/{number}").into()),
            label: None,
        }),
        of_session("unsubscribe", |id, _| Command::Unsubscribe { id, sid: None }),
        of_session("leave", |id, _| Command::Leave { id }),
        of_session("hb", |id, _| Command::Heartbeat { id }),
        HotPath::new("hb-whole", 1, REQUESTS, |_| heartbeat_whole()),
    ]);
    paths
}

/// `EventStream` is `event-stream`.
fn kebab(framing: Framing) -> String {
    let mut name = String::new();
    for letter in format!("{framing:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn encode(framing: Framing) -> HotPath {
    HotPath::new(format!("encode-{}", kebab(framing)), 1, 200, move |_| {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        Box::new(move || {
            out.clear();
            black_box(encoder.encode(black_box(framing), &mut out));
        })
    })
}

/// A write of many events.
fn gather(framing: Framing, envelope: Envelope) -> Step {
    let bounds = Bounds { events_max: 64, bytes_max: 1 << 20 };
    let label = Subscriptions::new().add(0, "/chat", None, 0, &mut Trie::new()).expect("a subscription");
    let frame = Rc::new(Encoder::new().frame(framing));
    let mut outbox = Outbox::new();
    for _ in 0..QUEUED {
        outbox.push(Rc::clone(&frame), Some(label.clone()), bounds, Overflow::Disconnect);
    }
    let mut gather = Gather::new();
    Box::new(move || {
        outbox.gather(framing, envelope, black_box(1_000), &mut gather);
        assert!(gather.with_slices(|slices| black_box(slices).len()) > 0, "there is something to write");
    })
}

/// For each delivery: its share of a publish to 1,000 sessions, its write, and where answers end the request of the client that comes again.
fn deliver(framing: Framing) -> HotPath {
    HotPath::new(format!("deliver-{}", kebab(framing)), u64::from(SESSIONS), 5, move |_| {
        let mut fleet = Fleet::new(framing, SESSIONS);
        let said = fields();
        Box::new(move || {
            let before = fleet.delivered();
            fleet.ask_as_publisher(publish("/chat/lobby", said.clone(), None));
            fleet.flush();
            assert_eq!(fleet.delivered() - before, u64::from(SESSIONS), "{framing:?} reaches everybody");
        })
    })
}

fn to_one(_: u64) -> Step {
    let mut fleet = Fleet::new(Framing::JsonLines, SESSIONS);
    let said = fields();
    let addresses: Vec<Box<str>> =
        (0..SESSIONS).map(|connection| names(connection).1.to_string().into_boxed_str()).collect();
    let mut number = 0;
    Box::new(move || {
        number = (number + 1) % addresses.len();
        fleet.ask_as_publisher(publish("/chat/lobby", said.clone(), Some(addresses[number].clone())));
        assert!(fleet.flush() > 0, "it reached the one");
    })
}

/// 1,000 sessions that listen to something else.
fn to_nobody(_: u64) -> Step {
    let mut fleet = Fleet::new(Framing::JsonLines, SESSIONS);
    let said = fields();
    Box::new(move || {
        let before = fleet.delivered();
        fleet.ask_as_publisher(publish("/chart/lobby", said.clone(), None));
        assert_eq!(fleet.delivered(), before, "nobody listens to it");
    })
}

/// Something that comes over a connection of its own each time, beside 1,000 sessions.
fn request(name: &str, command: impl Fn(u32) -> Command + 'static) -> HotPath {
    HotPath::new(name, 1, REQUESTS, move |steps| {
        let mut fleet = Fleet::new(Framing::JsonLines, SESSIONS);
        let last = SESSIONS + steps as u32;
        let mut commands: Vec<_> = (SESSIONS..last).rev().map(|connection| (connection, command(connection))).collect();
        Box::new(move || {
            let (connection, command) = commands.pop().expect("as many as there are steps");
            fleet.ask(connection, command);
        })
    })
}

/// Something that each of many sessions asks for once.
fn of_session(name: &str, command: impl Fn(ClaimedId, u32) -> Command + 'static) -> HotPath {
    HotPath::new(name, 1, REQUESTS, move |steps| {
        let sessions = steps as u32;
        let mut fleet = Fleet::new(Framing::JsonLines, sessions);
        let of = |connection| command(ClaimedId::WellFormed(names(connection).0), connection);
        let mut commands: Vec<_> = (0..sessions).rev().map(|connection| (connection, of(connection))).collect();
        Box::new(move || {
            let (connection, command) = commands.pop().expect("as many as there are steps");
            fleet.ask(connection, command);
        })
    })
}

/// A control request from the bytes that come to the bytes that go: what the server does for it but the kernel, its keys and its turn.
fn heartbeat_whole() -> Step {
    const DATE: &str = "Sun, 20 Jul 2025 08:26:40 GMT";
    let now = Now { instant: Instant::ZERO, unix_s: 1_753_000_000 };
    let mut broker = Broker::new(Settings::default(), now, 1);
    let mut serial = 0;
    let mut ask = move |command, agent, path: &str| {
        serial += 1;
        let token = ReplyToken { core: 0, connection: 0, serial };
        broker.handle_request(now, Request { token, command, path: path.into(), chunked: true, agent, draw: [7, 8] });
        match broker.poll_output() {
            Some(Output::Answer { answer: Answer::Events { framing, body }, .. }) => (framing, body),
            other => panic!("an answer with events, not {other:?}"),
        }
    };
    ask(Command::Join { format: FormatName::Known(Format::Json) }, Agent::default(), "/pushlet.srv");
    let id = SessionId::new(ShardTable::new(1).pick(0, 0), 7);
    let bytes =
        format!("GET /pushlet.srv?p_event=hb&p_id={id} HTTP/1.1\r\nHost: push.example.org\r\n\r\n").into_bytes();
    let (mut reader, mut out) = (RequestReader::new(), Vec::new());
    Box::new(move || {
        let Ok((_, Progress::Complete(request))) = reader.push(black_box(&bytes)) else { panic!("a good request") };
        let head = &request.head;
        assert!(pushlet::is_pushlet_path(&head.path));
        let incoming = Incoming {
            post: false,
            path: &head.path,
            query: &head.query,
            body: &request.body,
            user_agent: head.user_agent.as_deref(),
            force_pull_agents: &[],
        };
        let (command, agent) = pushlet::read(&incoming).expect("a good command");
        let (framing, body) = ask(command, agent, &head.path);
        out.clear();
        let answer = pushlet::answer_head(framing, &mut out, ReplyTo::from(head), DATE);
        assert!(answer.finish(Body::Length(body.len() as u64)).content);
        out.extend_from_slice(&body);
        black_box(&out);
    })
}
