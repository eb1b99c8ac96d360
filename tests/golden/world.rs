//! A world around the core: clients, connections, a clock, all of them invented.
//!
//! | line | what happens |
//! |---|---|
//! | `A: EVENT name=value ...` | client A asks by GET; its p_id is added unless the line has one (`p_id=-` for none) |
//! | `A: GET QUERY` / `A: POST BODY` | client A asks with exactly this |
//! | `A (http/1.0, agent=TEXT, path=TEXT): ...` | the same with what stands in the parentheses |
//! | `at 20s` / `at 20100ms` | time passes; what becomes due on the way happens at its moment |
//! | `A2 takes 10` / `takes all` | the socket of A's second request takes this many more bytes of events |
//! | `A2 closes` | that connection is gone |
//! | `hold` / `flush` | outboxes are left alone until the flush |
//! | `server publishes SUBJECT name=value ...` | an event without a publisher |
//! | `settings name=value ...` | the operator changes them |
//! | `shutdown` | the server ends |
//! | `counts name ...` | how many there are: sessions, subscriptions, listening, and counters |
//!
//! In lines, `{A}` is client A's p_id and `{A.from}` its address; the second session of A is `{A#2}`. Answers are written the same way.

use std::collections::BTreeMap;
use std::sync::Arc;

use pushletd::broker::{Answer, Broker, Output, Settings};
use pushletd::protocol::{
    Address, Audience, Event, Fields, Origin, Overflow, Payload, ReplyToken, Request, SessionId, ShardTable,
};
use pushletd::session::{Gather, SessionKey};
use pushletd::time::{Instant, Now};
use pushletd::topic::Subject;
use pushletd::wire::pushlet::{Incoming, read};

use super::body::Body;

/// Where the wall clock stands at the beginning, in seconds since 1970.
const UNIX_START_S: u64 = 1_000_000;

type Outcome = Result<(), String>;

#[derive(Debug, Default)]
struct Client {
    requests: u32,
    joins: u32,
    id: Option<String>,
}

#[derive(Debug)]
enum State {
    Asked,
    Open(SessionKey),
    Done,
}

#[derive(Debug)]
struct Connection {
    name: String,
    chunked: bool,
    state: State,
    body: Option<Body>,
    /// How many more bytes of events its socket takes; all if `None`.
    room: Option<usize>,
}

/// How a request is sent.
struct Manner<'a> {
    chunked: bool,
    agent: Option<&'a str>,
    path: &'a str,
}

pub(crate) struct World {
    broker: Broker,
    settings: Settings,
    force_pull_agents: Vec<String>,
    now_ms: u64,
    clients: BTreeMap<String, Client>,
    connections: Vec<Connection>,
    /// Ids and addresses with what they are called in transcripts.
    names: Vec<(String, String)>,
    gather: Gather,
    held: bool,
    log: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let settings = Settings::default();
        let now = Now { instant: Instant::ZERO, unix_s: UNIX_START_S };
        Self {
            broker: Broker::new(settings.clone(), now, 1),
            settings,
            force_pull_agents: Vec::new(),
            now_ms: 0,
            clients: BTreeMap::new(),
            connections: Vec::new(),
            names: Vec::new(),
            gather: Gather::new(),
            held: false,
            log: Vec::new(),
        }
    }

    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// Every request has had its answer.
    pub(crate) fn check_answered(&self) {
        for connection in &self.connections {
            assert!(!matches!(connection.state, State::Asked), "{} was never answered", connection.name);
        }
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_ms(self.now_ms), unix_s: UNIX_START_S + self.now_ms / 1000 }
    }

    /// Makes one line happen.
    pub(crate) fn happens(&mut self, line: &str) -> Outcome {
        let line = self.with_ids(line);
        if let Some((who, what)) = line.split_once(": ") {
            self.asks(who, what)?;
        } else {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match word {
                "at" => self.passes(rest)?,
                "hold" => self.held = true,
                "flush" => self.held = false,
                "shutdown" => self.broker.handle_shutdown(self.now()),
                "settings" => self.settings(rest)?,
                "server" => self.server_publishes(rest)?,
                "counts" => self.counts(rest)?,
                _ => self.socket(word, rest)?,
            }
        }
        self.settle();
        Ok(())
    }

    fn with_ids(&self, line: &str) -> String {
        self.names.iter().fold(line.to_owned(), |text, (id, name)| text.replace(name, id))
    }

    fn say(&mut self, line: &str) {
        let named = self.names.iter().fold(line.to_owned(), |text, (id, name)| text.replace(id, name));
        self.log.push(self.without_chance(&named).trim_end().to_owned());
    }

    /// P-17: `p_wait` is drawn by chance: the transcript tells the range that it keeps to.
    fn without_chance(&self, line: &str) -> String {
        let ranges = [self.settings.pull_refresh_wait_ms, self.settings.poll_refresh_wait_ms];
        let mut text = line.to_owned();
        for mark in ["p_wait=\"", "\"p_wait\":\"", "\"refresh()\", "] {
            let Some(start) = text.find(mark).map(|at| at + mark.len()) else { continue };
            let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
            let Ok(wait) = text[start..start + digits].parse::<u32>() else { continue };
            if let Some((min, max)) = ranges.into_iter().find(|(min, max)| min < max && (*min..=*max).contains(&wait)) {
                text.replace_range(start..start + digits, &format!("({min} to {max})"));
            }
        }
        text
    }

    fn asks(&mut self, who: &str, what: &str) -> Outcome {
        let (who, manner) = match who.split_once(" (") {
            Some((who, manner)) => (who, manner.strip_suffix(')').ok_or("no end of the parentheses")?),
            None => (who, ""),
        };
        let mut how = Manner { chunked: true, agent: None, path: "/pushlet/pushlet.srv" };
        for word in manner.split(", ").filter(|word| !word.is_empty()) {
            match word.split_once('=').unwrap_or((word, "")) {
                ("http/1.0", _) => how.chunked = false,
                ("agent", agent) => how.agent = Some(agent),
                ("path", path) => how.path = path,
                _ => return Err(format!("no such manner: {word}")),
            }
        }
        let client = self.clients.entry(who.to_owned()).or_default();
        client.requests += 1;
        let name = format!("{who}{}", client.requests);
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let (post, text) = match verb {
            "GET" => (false, rest.to_owned()),
            "POST" => (true, rest.to_owned()),
            event => (false, query(event, rest, client.id.as_deref())),
        };
        self.request(who, &name, &how, post, &text);
        Ok(())
    }

    fn request(&mut self, who: &str, name: &str, how: &Manner<'_>, post: bool, text: &str) {
        let (query, body) = if post { ("", text) } else { (text, "") };
        let token = ReplyToken { core: 0, connection: self.connections.len() as u32, serial: 1 };
        let connection =
            Connection { name: name.to_owned(), chunked: how.chunked, state: State::Asked, body: None, room: None };
        self.connections.push(connection);
        let incoming = Incoming {
            post,
            path: how.path,
            query: query.as_bytes(),
            body: body.as_bytes(),
            user_agent: how.agent,
            force_pull_agents: &self.force_pull_agents,
        };
        match read(&incoming) {
            Err(error) => {
                self.connections[token.connection as usize].state = State::Done;
                self.say(&format!("{name} {} {}", error.status, error.reason));
            }
            Ok((command, agent)) => {
                let draw = self.draw(who);
                let sessions = self.broker.session_count();
                let path = Arc::from(how.path);
                let request = Request { token, command, path, chunked: how.chunked, agent, draw };
                self.broker.handle_request(self.now(), request);
                if self.broker.session_count() > sessions {
                    self.joined(who, draw);
                }
            }
        }
    }

    /// Bits that differ from session to session and not from run to run.
    fn draw(&self, who: &str) -> [u128; 2] {
        let joins = self.clients.get(who).map_or(0, |client| client.joins);
        let seed = who.bytes().fold(u128::from(joins) + 1, |bits, letter| bits << 8 | u128::from(letter));
        [seed << 64 | 1, seed << 64 | 2]
    }

    fn joined(&mut self, who: &str, draw: [u128; 2]) {
        let shard = ShardTable::new(1).pick(0, (draw[1] >> 64) as u64);
        let (id, address) = (SessionId::new(shard, draw[0]).to_string(), Address::new(shard, draw[1]).to_string());
        let client = self.clients.entry(who.to_owned()).or_default();
        client.joins += 1;
        let name = if client.joins == 1 { who.to_owned() } else { format!("{who}#{}", client.joins) };
        client.id = Some(id.clone());
        self.names.push((id, format!("{{{name}}}")));
        self.names.push((address, format!("{{{name}.from}}")));
    }

    fn passes(&mut self, until: &str) -> Outcome {
        let ms = match (until.strip_suffix("ms"), until.strip_suffix('s')) {
            (Some(ms), _) => ms.parse::<u64>().ok(),
            (None, Some(s)) => s.parse::<u64>().ok().map(|s| s * 1000),
            _ => None,
        };
        let until = ms.filter(|ms| *ms >= self.now_ms).ok_or("no later moment")?;
        while let Some(due) = self.broker.poll_timeout().filter(|due| due.as_ms() <= until) {
            self.now_ms = self.now_ms.max(due.as_ms());
            let said = self.log.len();
            self.broker.handle_timeout(self.now());
            self.settle();
            if self.log.len() > said {
                self.log.insert(said, format!("-- at {} ms", self.now_ms));
            }
        }
        self.now_ms = until;
        Ok(())
    }

    fn settings(&mut self, rest: &str) -> Outcome {
        for pair in rest.split(' ') {
            let (name, value) = pair.split_once('=').ok_or("name=value")?;
            let number = || value.parse::<u64>().map_err(|error| format!("{pair}: {error}"));
            let settings = &mut self.settings;
            match name {
                "overflow" => settings.overflow = Overflow::from_name(value),
                "events_max" => settings.bounds.events_max = number()? as u32,
                "bytes_max" => settings.bounds.bytes_max = number()? as u32,
                "sessions_max" => settings.sessions_max = number()? as usize,
                "session_timeout_ms" => settings.session_timeout_ms = number()?,
                "heartbeat_ms" => settings.heartbeat_ms = number()?,
                "detached_timeout_ms" => settings.detached_timeout_ms = number()?,
                "force_pull_all" => settings.force_pull_all = value == "true",
                "force_pull_agents" => self.force_pull_agents = value.split(',').map(str::to_owned).collect(),
                "expose_session_ids" => settings.expose_session_ids = value == "true",
                _ => return Err(format!("no such setting: {name}")),
            }
        }
        self.broker.handle_settings(self.settings.clone());
        Ok(())
    }

    fn server_publishes(&mut self, rest: &str) -> Outcome {
        let mut words = rest.split(' ');
        let (Some("publishes"), Some(subject)) = (words.next(), words.next()) else {
            return Err("server publishes SUBJECT name=value ...".to_owned());
        };
        let fields: Fields = words.filter_map(|pair| pair.split_once('=')).collect();
        let event = Event {
            name: None,
            subject: Subject::new(subject).map_err(|error| error.to_string())?,
            payload: Payload::Fields(fields),
            origin: Origin::default(),
            position: None,
            accepted_at: self.now().unix_s,
        };
        self.broker.handle_event(self.now(), &Arc::new(event), &Audience::Subscribers);
        Ok(())
    }

    fn counts(&mut self, rest: &str) -> Outcome {
        let mut line = Vec::new();
        for name in rest.split(' ') {
            let counters = self.broker.counters();
            let count = match name {
                "sessions" => self.broker.session_count() as u64,
                "subscriptions" => self.broker.subscription_count() as u64,
                "listening" => self.broker.listening_count() as u64,
                "joins" => counters.joins,
                "joins_refused" => counters.joins_refused,
                "nacks" => counters.nacks,
                "ids_unknown" => counters.ids_unknown,
                "published" => counters.published,
                "delivered" => counters.delivered,
                "lost" => counters.lost,
                "unicast_dropped" => counters.unicast_dropped,
                "names_dropped" => counters.names_dropped,
                "ended" => counters.ended.iter().sum(),
                _ => return Err(format!("no such count: {name}")),
            };
            line.push(format!("{name} {count}"));
        }
        self.say(&line.join(", "));
        Ok(())
    }

    fn socket(&mut self, name: &str, rest: &str) -> Outcome {
        let at = self.connections.iter().position(|connection| connection.name == name);
        let at = at.ok_or_else(|| format!("nothing of this name: {name}"))?;
        let token = ReplyToken { core: 0, connection: at as u32, serial: 1 };
        let now = self.now();
        let connection = &mut self.connections[at];
        let State::Open(session) = connection.state else { return Err(format!("{name} is not open")) };
        match rest.split_once(' ').unwrap_or((rest, "")) {
            ("closes", _) => {
                connection.state = State::Done;
                self.broker.handle_disconnect(now, session, token);
            }
            ("takes", much) => {
                connection.room = if much == "all" { None } else { Some(much.parse().map_err(|_| "a number")?) };
                self.broker.handle_writable(session, token, true);
            }
            _ => return Err(format!("a connection does not: {rest}")),
        }
        Ok(())
    }

    /// What the shell does at the end of a turn.
    fn settle(&mut self) {
        self.apply_outputs();
        if self.held {
            return;
        }
        let mut gather = std::mem::take(&mut self.gather);
        while let Some((session, token)) = self.broker.poll_transmit(self.now(), &mut gather) {
            let connection = &mut self.connections[token.connection as usize];
            assert!(matches!(connection.state, State::Open(open) if open == session), "a write without an answer");
            let mut bytes =
                gather.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>());
            assert_eq!(bytes.len(), gather.len());
            if let Some(room) = &mut connection.room {
                bytes.truncate(*room);
                *room -= bytes.len();
            }
            let body = connection.body.as_mut().expect("an open answer has a body");
            body.arrive(&bytes);
            self.news(token);
            self.broker.handle_sent(self.now(), session, &gather, bytes.len(), bytes.len() < gather.len());
        }
        self.gather = gather;
        self.apply_outputs();
    }

    fn apply_outputs(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Answer { token, answer } => self.answered(token, answer),
                Output::Open { token, session, framing, lead } => {
                    let connection = &mut self.connections[token.connection as usize];
                    assert!(matches!(connection.state, State::Asked), "{} is answered twice", connection.name);
                    connection.state = State::Open(session);
                    let mut body = Body::new(framing, connection.chunked);
                    body.arrive(&lead);
                    let line = format!("{} 200 {}, open", connection.name, body.format_name());
                    connection.body = Some(body);
                    self.say(&line);
                    self.news(token);
                }
                // What the shell does with it is tested over sockets.
                Output::Carries { .. } => {}
                Output::Relay { .. } | Output::Summon { .. } => panic!("there is one core"),
                Output::Finish { token, tail } => self.finished(token, &tail),
            }
        }
    }

    fn answered(&mut self, token: ReplyToken, answer: Answer) {
        let connection = &mut self.connections[token.connection as usize];
        assert!(matches!(connection.state, State::Asked), "{} is answered twice", connection.name);
        connection.state = State::Done;
        let name = connection.name.clone();
        match answer {
            Answer::Events { framing, body: bytes } => {
                let mut body = Body::new(framing, false);
                body.arrive(&bytes);
                body.check_whole();
                let line = format!("{name} 200 {}", body.format_name());
                connection.body = Some(body);
                self.say(&line);
                self.news(token);
            }
            Answer::Error { status, reason, retry_after_s } => {
                let again = retry_after_s.map_or(String::new(), |s| format!(", again after {s} s"));
                self.say(&format!("{name} {status} {reason}{again}"));
            }
            other => panic!("an answer of another door: {other:?}"),
        }
    }

    fn finished(&mut self, token: ReplyToken, tail: &[u8]) {
        let connection = &mut self.connections[token.connection as usize];
        assert!(matches!(connection.state, State::Open(_)), "{} ends and was not open", connection.name);
        connection.state = State::Done;
        let line = format!("{} end", connection.name);
        let body = connection.body.as_mut().expect("an open answer has a body");
        body.arrive(tail);
        body.check_whole();
        self.news(token);
        self.say(&line);
    }

    /// Writes down what has arrived of an answer.
    fn news(&mut self, token: ReplyToken) {
        let connection = &mut self.connections[token.connection as usize];
        let Some(body) = &mut connection.body else { return };
        let (name, lines) = (connection.name.clone(), body.news());
        for line in lines {
            self.say(&format!("{name} | {line}"));
        }
    }
}

/// The query of a request, with the session's id unless the words bring one.
fn query(event: &str, words: &str, id: Option<&str>) -> String {
    let mut pairs = vec![format!("p_event={event}")];
    let words = || words.split(' ').filter(|word| !word.is_empty());
    if let Some(id) = id.filter(|_| !event.starts_with("join") && !words().any(|word| word.starts_with("p_id="))) {
        pairs.push(format!("p_id={id}"));
    }
    pairs.extend(words().filter(|word| *word != "p_id=-").map(str::to_owned));
    pairs.join("&")
}
