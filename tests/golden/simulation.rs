//! A small world run by chance: clients that ask for anything at any time, sockets that take little, connections that break, time that
//! jumps. Beside it stands a plain list of who is to hear what, and everything that comes is compared with it.
//!
//! One seed is one run: the seed is fixed, and a failure prints the steps that lead to it.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use pushletd::broker::{Answer, Broker, Output, Settings};
use pushletd::protocol::{Address, Format, Overflow, ReplyToken, Request, SessionId, ShardTable};
use pushletd::session::{Bounds, Gather, SessionKey};
use pushletd::time::{Instant, Now};
use pushletd::wire::pushlet::{Incoming, read};

use super::body::Body;
use crate::support::pushlet::Event;

const CLIENTS: usize = 4;
/// A bound in bytes that no run comes near.
const BYTES_PLENTY: u32 = 1 << 20;

#[derive(Clone, Debug)]
enum Ask {
    Join {
        format: usize,
    },
    JoinListen {
        format: usize,
        mode: usize,
        subject: Option<String>,
    },
    Listen {
        mode: usize,
        subject: Option<String>,
    },
    Refresh,
    Subscribe {
        list: String,
        label: Option<String>,
    },
    /// The subscription that was made so manieth before, or all.
    Unsubscribe {
        back: Option<usize>,
    },
    Publish {
        subject: String,
        to: Option<usize>,
        padding: usize,
    },
    Heartbeat,
    Leave,
    Nonsense,
}

#[derive(Clone, Debug)]
enum Step {
    Ask {
        client: usize,
        chunked: bool,
        ask: Ask,
    },
    /// The data connection that was opened so manieth before breaks.
    Break {
        back: usize,
    },
    /// Its socket takes so much more, or all.
    Room {
        back: usize,
        bytes: Option<usize>,
    },
    Pass {
        ms: u64,
    },
    Flush,
}

fn subject() -> impl Strategy<Value = String> {
    "/[ab]{0,3}"
}

fn ask() -> impl Strategy<Value = Ask> {
    let list = prop::collection::vec(subject(), 1..3).prop_map(|items| items.join(","));
    let (formats, modes) = (0..Format::ALL.len(), 0..MODES.len());
    let wish = || prop::option::of(subject());
    prop_oneof![
        1 => formats.clone().prop_map(|format| Ask::Join { format }),
        2 => (formats, modes.clone(), wish()).prop_map(|(format, mode, subject)| Ask::JoinListen { format, mode, subject }),
        3 => (modes, wish()).prop_map(|(mode, subject)| Ask::Listen { mode, subject }),
        6 => Just(Ask::Refresh),
        3 => (list, prop::option::of("[x-z]{1,3}")).prop_map(|(list, label)| Ask::Subscribe { list, label }),
        2 => prop::option::of(0..4_usize).prop_map(|back| Ask::Unsubscribe { back }),
        24 => (subject(), prop::option::weighted(0.15, 0..CLIENTS), 0..200_usize)
            .prop_map(|(subject, to, padding)| Ask::Publish { subject, to, padding }),
        1 => Just(Ask::Heartbeat),
        1 => Just(Ask::Leave),
        1 => Just(Ask::Nonsense),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ms = prop_oneof![10 => 0..3_000_u64, 6 => 10_000..50_000_u64, 1 => 200_000..400_000_u64];
    prop_oneof![
        24 => (0..CLIENTS, any::<bool>(), ask()).prop_map(|(client, chunked, ask)| Step::Ask { client, chunked, ask }),
        2 => (0..4_usize).prop_map(|back| Step::Break { back }),
        6 => (0..4_usize, prop::option::of(0..300_usize)).prop_map(|(back, bytes)| Step::Room { back, bytes }),
        3 => ms.prop_map(|ms| Step::Pass { ms }),
        16 => Just(Step::Flush),
    ]
}

const MODES: [&str; 4] = ["stream", "pull", "poll", "other"];

/// What a session is to be told of one event.
#[derive(Clone, Debug)]
struct Due {
    number: usize,
    sid: Option<String>,
    label: Option<String>,
    from: String,
}

#[derive(Clone, Debug)]
struct Subscribed {
    sid: String,
    label: Option<String>,
    items: Vec<String>,
}

/// One session as its client and a perfect observer see it.
#[derive(Debug)]
struct Known {
    id: String,
    address: String,
    listens: bool,
    dead: bool,
    subscribed: Vec<Subscribed>,
    /// Everything published for it since it listens.
    due: Vec<Due>,
    /// How many of those have come or were told to be lost.
    told: usize,
}

impl Known {
    /// P-19, P-20: the longest item that the subject begins with, of several the oldest.
    fn interest(&self, subject: &str) -> Option<&Subscribed> {
        let mut best: Option<(usize, &Subscribed)> = None;
        for subscribed in &self.subscribed {
            let longest =
                subscribed.items.iter().filter(|item| subject.starts_with(item.as_str())).map(String::len).max();
            if let Some(len) = longest.filter(|len| best.is_none_or(|(known, _)| *len > known)) {
                best = Some((len, subscribed));
            }
        }
        best.map(|(_, subscribed)| subscribed)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Asked,
    Open(SessionKey),
    Done,
}

#[derive(Debug)]
struct Connection {
    state: State,
    chunked: bool,
    body: Option<Body>,
    /// The session that it asked for, as a place in `known`.
    session: Option<usize>,
    room: Option<usize>,
    /// Bytes of the answer's beginning that the socket has not taken yet.
    waiting_lead: bool,
    seq: u64,
    data: bool,
    status: u16,
    /// Its events other than data, for the step that asked.
    said: Vec<Event>,
}

struct Simulation {
    broker: Broker,
    settings: Settings,
    now_ms: u64,
    known: Vec<Known>,
    clients: [Option<usize>; CLIENTS],
    connections: Vec<Connection>,
    /// Data answers in the order in which they were opened.
    opened: Vec<usize>,
    published: usize,
    gather: Gather,
}

impl Simulation {
    fn new(settings: &Settings) -> Self {
        Self {
            broker: Broker::new(settings.clone(), Now::default(), 7),
            settings: settings.clone(),
            now_ms: 0,
            known: Vec::new(),
            clients: [None; CLIENTS],
            connections: Vec::new(),
            opened: Vec::new(),
            published: 0,
            gather: Gather::new(),
        }
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_ms(self.now_ms), unix_s: self.now_ms / 1000 }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Ask { client, chunked, ask } => self.ask(*client, *chunked, ask),
            Step::Break { back } => {
                if let Some((at, session)) = self.open(*back) {
                    self.connections[at].state = State::Done;
                    self.broker.handle_disconnect(self.now(), session, token(at));
                }
            }
            Step::Room { back, bytes } => {
                if let Some((at, session)) = self.open(*back) {
                    self.connections[at].room = *bytes;
                    self.connections[at].waiting_lead = *bytes == Some(0);
                    self.broker.handle_writable(session, token(at), *bytes != Some(0));
                }
            }
            Step::Pass { ms } => self.pass(*ms),
            Step::Flush => self.flush(),
        }
        self.outputs();
        assert!(self.broker.poll_output().is_none());
    }

    fn open(&self, back: usize) -> Option<(usize, SessionKey)> {
        let mut open = self.opened.iter().rev().filter_map(|at| match self.connections[*at].state {
            State::Open(session) => Some((*at, session)),
            State::Asked | State::Done => None,
        });
        open.nth(back)
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some(due) = self.broker.poll_timeout().filter(|due| due.as_ms() <= until) {
            self.now_ms = self.now_ms.max(due.as_ms());
            self.broker.handle_timeout(self.now());
            self.outputs();
            self.flush();
        }
        self.now_ms = until;
    }

    /// What a client of this session asks with.
    fn query(&self, client: usize, ask: &Ask) -> String {
        let current = self.clients[client].map(|at| &self.known[at]);
        let id = current.map_or(String::new(), |known| format!("&p_id={}", known.id));
        let wish =
            |subject: &Option<String>| subject.as_ref().map_or(String::new(), |text| format!("&p_subject={text}"));
        match ask {
            Ask::Join { format } => format!("p_event=join&p_format={}", Format::ALL[*format].name()),
            Ask::JoinListen { format, mode, subject } => {
                let (format, mode) = (Format::ALL[*format].name(), MODES[*mode]);
                format!("p_event=join-listen&p_format={format}&p_mode={mode}{}", wish(subject))
            }
            Ask::Listen { mode, subject } => format!("p_event=listen&p_mode={}{}{id}", MODES[*mode], wish(subject)),
            Ask::Refresh => format!("p_event=refresh{id}"),
            Ask::Subscribe { list, label } => {
                let label = label.as_ref().map_or(String::new(), |text| format!("&p_label={text}"));
                format!("p_event=subscribe&p_subject={list}{label}{id}")
            }
            Ask::Unsubscribe { back } => {
                let sids = current.map(|known| &known.subscribed);
                let sid = back.map(|back| sids.and_then(|all| all.iter().nth_back(back)).map_or("s0", |one| &one.sid));
                format!("p_event=unsubscribe{}{id}", sid.map_or(String::new(), |sid| format!("&p_sid={sid}")))
            }
            Ask::Publish { subject, to, padding } => {
                let target = to.and_then(|to| self.clients[to]).map(|at| &self.known[at]);
                // P-23: by address as by id.
                let to = target.map(|known| if padding % 2 == 0 { &known.address } else { &known.id });
                let to = to.map_or(String::new(), |to| format!("&p_to={to}"));
                format!(
                    "p_event=publish&p_subject={subject}&n={}&text={}{to}{id}",
                    self.published,
                    "x".repeat(*padding)
                )
            }
            Ask::Heartbeat => format!("p_event=hb{id}"),
            Ask::Leave => format!("p_event=leave{id}"),
            Ask::Nonsense => format!("p_event=nonsense{id}"),
        }
    }

    fn ask(&mut self, client: usize, chunked: bool, ask: &Ask) {
        let at = self.connections.len();
        let joins = matches!(ask, Ask::Join { .. } | Ask::JoinListen { .. });
        let draw = [(at as u128 + 1) << 70 | 1, (at as u128 + 1) << 70 | 2];
        let session = if joins { Some(self.begins(draw)) } else { self.clients[client] };
        self.connections.push(Connection {
            state: State::Asked,
            chunked,
            body: None,
            session,
            room: None,
            waiting_lead: false,
            seq: 0,
            data: false,
            status: 0,
            said: Vec::new(),
        });
        let query = self.query(client, ask);
        if let Ask::Publish { subject, to, .. } = ask {
            // Whoever ends for a full queue ends at this event: it is due before, and never missed afterwards.
            self.publishes(client, subject, to.and_then(|to| self.clients[to]));
        }
        let incoming = Incoming {
            post: false,
            path: "/",
            query: query.as_bytes(),
            body: b"",
            user_agent: None,
            force_pull_agents: &[],
        };
        let (command, agent) = read(&incoming).expect("a readable request");
        let request =
            Request { token: token(at), command, path: std::sync::Arc::from("/pushlet.srv"), chunked, agent, draw };
        self.broker.handle_request(self.now(), request);
        self.outputs();
        self.answered(client, at, ask);
    }

    fn begins(&mut self, draw: [u128; 2]) -> usize {
        let shard = ShardTable::new(1).pick(0, (draw[1] >> 64) as u64);
        self.known.push(Known {
            id: SessionId::new(shard, draw[0]).to_string(),
            address: Address::new(shard, draw[1]).to_string(),
            listens: false,
            dead: false,
            subscribed: Vec::new(),
            due: Vec::new(),
            told: 0,
        });
        self.known.len() - 1
    }

    /// Notes for whom an event is that is about to be published. If its publisher turns out to be dead, nobody is to have it.
    fn publishes(&mut self, client: usize, subject: &str, to: Option<usize>) {
        let number = self.published;
        self.published += 1;
        let Some(publisher) = self.clients[client] else { return };
        let (id, address) = (self.known[publisher].id.clone(), self.known[publisher].address.clone());
        for (at, known) in self.known.iter_mut().enumerate().filter(|(_, known)| known.listens && !known.dead) {
            let interest = match to {
                Some(to) => (to == at).then_some((None, None)),
                None => known.interest(subject).map(|one| (Some(one.sid.clone()), one.label.clone())),
            };
            if let Some((sid, label)) = interest {
                let from = if at == publisher { id.clone() } else { address.clone() };
                known.due.push(Due { number, sid, label, from });
            }
        }
    }

    /// A request was answered at once, as all are: looks what it was and what follows from it.
    fn answered(&mut self, client: usize, at: usize, ask: &Ask) {
        let connection = &mut self.connections[at];
        assert!(connection.state != State::Asked, "no answer to {ask:?}");
        let said = std::mem::take(&mut connection.said);
        let (status, session) = (connection.status, connection.session);
        if status == 400 {
            assert!(!matches!(ask, Ask::Join { .. } | Ask::JoinListen { .. }));
            let gone = self.clients[client].take();
            if let Some(gone) = gone {
                self.known[gone].dead = true;
            }
            if matches!(ask, Ask::Publish { .. }) {
                self.never_published(self.published - 1);
            }
            return;
        }
        assert_eq!(status, 200);
        let first = said.first().unwrap_or_else(|| panic!("an empty answer to {ask:?}"));
        if let Ask::Nonsense = ask {
            assert_eq!(first.kind(), "nack");
            return;
        }
        if first.kind() == "nack" {
            assert!(matches!(ask, Ask::Refresh | Ask::Unsubscribe { .. }), "{first:?} to {ask:?}");
            return;
        }
        let known = &mut self.known[session.expect("who is acked has a session")];
        match ask {
            Ask::Join { .. } => self.clients[client] = session,
            Ask::JoinListen { subject, .. } | Ask::Listen { subject, .. } => {
                known.listens = true;
                if let Some(list) = subject {
                    known.subscribed.push(subscribed(first, list, None));
                }
                if matches!(ask, Ask::JoinListen { .. }) {
                    self.clients[client] = session;
                }
            }
            Ask::Subscribe { list, label } => known.subscribed.push(subscribed(first, list, label.clone())),
            Ask::Unsubscribe { back } => match back {
                None => known.subscribed.clear(),
                Some(_) => known.subscribed.retain(|one| one.sid != first.field("p_sid")),
            },
            Ask::Leave => {
                known.dead = true;
                self.clients[client] = None;
            }
            Ask::Refresh | Ask::Publish { .. } | Ask::Heartbeat | Ask::Nonsense => {}
        }
    }

    fn never_published(&mut self, number: usize) {
        for known in &mut self.known {
            if known.due.last().is_some_and(|due| due.number == number) {
                known.due.pop();
            }
        }
    }

    fn outputs(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Answer { token, answer } => {
                    let connection = &mut self.connections[token.connection as usize];
                    assert_eq!(connection.state, State::Asked, "answered twice");
                    connection.state = State::Done;
                    connection.status = 200;
                    match answer {
                        Answer::Error { status, .. } => connection.status = status,
                        Answer::Events { framing, body: bytes } => {
                            let mut body = Body::new(framing, false);
                            body.arrive(&bytes);
                            body.check_whole();
                            connection.body = Some(body);
                        }
                        other => panic!("an answer of another door: {other:?}"),
                    }
                    self.arrived(token.connection as usize);
                }
                Output::Open { token, session, framing, lead } => {
                    let connection = &mut self.connections[token.connection as usize];
                    assert_eq!(connection.state, State::Asked, "opened and answered");
                    (connection.state, connection.status, connection.data) = (State::Open(session), 200, true);
                    let mut body = Body::new(framing, connection.chunked);
                    body.arrive(&lead);
                    connection.body = Some(body);
                    self.opened.push(token.connection as usize);
                    self.arrived(token.connection as usize);
                }
                Output::Relay { .. } | Output::Summon { .. } => panic!("there is one core"),
                Output::Carries { events, .. } => assert!(events > 0, "an answer that carries nothing"),
                Output::Finish { token, tail } => {
                    let connection = &mut self.connections[token.connection as usize];
                    assert!(matches!(connection.state, State::Open(_)), "finished and not open");
                    connection.state = State::Done;
                    let body = connection.body.as_mut().expect("an open answer has a body");
                    body.arrive(&tail);
                    body.check_whole();
                    self.arrived(token.connection as usize);
                }
            }
        }
    }

    fn flush(&mut self) {
        let mut gather = std::mem::take(&mut self.gather);
        while let Some((session, token)) = self.broker.poll_transmit(self.now(), &mut gather) {
            let at = token.connection as usize;
            let connection = &mut self.connections[at];
            assert_eq!(connection.state, State::Open(session), "a write without an open answer");
            let mut bytes =
                gather.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>());
            if connection.waiting_lead {
                bytes.clear();
            } else if let Some(room) = &mut connection.room {
                bytes.truncate(*room);
                *room -= bytes.len();
            }
            connection.body.as_mut().expect("an open answer has a body").arrive(&bytes);
            self.broker.handle_sent(self.now(), session, &gather, bytes.len(), bytes.len() < gather.len());
            self.arrived(at);
        }
        assert!(!self.broker.has_dirty() && !self.broker.is_pressed());
        self.gather = gather;
        self.outputs();
        self.check_complete();
    }

    /// Compares what has arrived with what was due.
    fn arrived(&mut self, at: usize) {
        let connection = &mut self.connections[at];
        let Some(body) = &mut connection.body else { return };
        for event in body.events() {
            if let Some(seq) = event.get("p_seq") {
                connection.seq += 1;
                assert_eq!(seq, connection.seq.to_string(), "P-14: numbers of one answer, without a gap: {event:?}");
            }
            match event.kind() {
                "data" => {
                    let known = &mut self.known[connection.session.expect("data is somebody's")];
                    heard(known, &event);
                }
                "abort" => {
                    let known = &mut self.known[connection.session.expect("an abort is somebody's")];
                    known.dead = true;
                }
                "hb" => {}
                _ => connection.said.push(event),
            }
        }
    }

    /// Where nothing may be dropped, a stream whose socket takes everything has everything.
    fn check_complete(&self) {
        let may_drop = !matches!(self.settings.overflow, None | Some(Overflow::Disconnect));
        if may_drop || self.settings.bounds.bytes_max < BYTES_PLENTY {
            return;
        }
        for connection in &self.connections {
            let open = matches!(connection.state, State::Open(_)) && connection.room.is_none();
            if open && !connection.waiting_lead {
                let known = &self.known[connection.session.expect("an open answer is somebody's")];
                assert_eq!(known.told, known.due.len(), "something was not delivered: {known:?}");
            }
        }
    }

    /// P-32: the end leaves nothing behind.
    fn end(&mut self) {
        self.broker.handle_shutdown(self.now());
        self.outputs();
        self.flush();
        for connection in &self.connections {
            assert_eq!(connection.state, State::Done, "an answer without an end");
        }
        let counts = (self.broker.session_count(), self.broker.subscription_count(), self.broker.listening_count());
        assert_eq!(counts, (0, 0, 0));
        self.now_ms += 1_000_000;
        self.broker.handle_timeout(self.now());
        assert_eq!(self.broker.poll_timeout(), None, "a deadline of nobody");
        assert!(self.broker.poll_output().is_none());
    }
}

fn token(at: usize) -> ReplyToken {
    ReplyToken { core: 0, connection: at as u32, serial: 9 }
}

fn subscribed(ack: &Event, list: &str, label: Option<String>) -> Subscribed {
    assert_eq!(ack.get("p_label"), label.as_deref());
    Subscribed { sid: ack.field("p_sid").to_owned(), label, items: list.split(',').map(str::to_owned).collect() }
}

/// P-19, P-20, P-22, P-30: an event came. It was due, in this order, not yet, and what was skipped before it is told.
fn heard(known: &mut Known, event: &Event) {
    let number: usize = event.field("n").parse().expect("a number");
    let skipped = known.due[known.told..].iter().position(|due| due.number == number);
    let skipped = skipped.unwrap_or_else(|| panic!("{event:?} was not due to {known:?}"));
    let due = known.due[known.told + skipped].clone();
    let lost = event.get("p_lost").map_or(0, |lost| lost.parse().expect("a number"));
    assert_eq!(skipped, lost, "what is missing is told: {event:?} of {known:?}");
    assert_eq!((event.get("p_sid"), event.get("p_label")), (due.sid.as_deref(), due.label.as_deref()), "{event:?}");
    assert_eq!(event.field("p_from"), due.from);
    known.told += skipped + 1;
}

fn settings() -> impl Strategy<Value = Settings> {
    let overflow = prop::option::of(prop::sample::select(Overflow::ALL.to_vec()));
    let bytes_max = prop_oneof![3 => Just(BYTES_PLENTY), 1 => 300..3_000_u32];
    (1..8_u32, bytes_max, overflow).prop_map(|(events_max, bytes_max, overflow)| Settings {
        bounds: Bounds { events_max, bytes_max },
        overflow,
        ..Settings::default()
    })
}

proptest! {
    #![proptest_config(Config { cases: 512, rng_seed: RngSeed::Fixed(31), failure_persistence: None, ..Config::default() })]

    /// P-14, P-19, P-20, P-22 to P-32: whatever happens, each request has one answer, nobody hears what is not theirs, nothing comes twice or
    /// out of order, what is missing is told, and nothing is left behind.
    #[test]
    fn everybody_hears_exactly_what_is_theirs(settings in settings(), steps in prop::collection::vec(step(), 1..160)) {
        let mut simulation = Simulation::new(&settings);
        for step in &steps {
            simulation.step(step);
        }
        simulation.end();
    }
}
