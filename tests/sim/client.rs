//! The clients: what they ask for, how they read, when they go and come back.

use pushletd::protocol::{SessionId, ShardTable};

use super::kernel::{Cut, SocketId};
use super::oracle::Outcome;
use super::oracle::To;
use super::reader::{Event, Heard, Reader};
use super::socket::WebLine;
use super::world::{Happening, World};

const MODES: [&str; 4] = ["stream", "pull", "poll", "other"];
/// Bytes of requests that wait to be read by the server; a client does not put more on a connection.
const PIPELINE_MAX: usize = 12;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Join,
    /// With its subscription, which the oracle hears of when there is a session.
    JoinListen(Option<String>),
    Listen,
    Refresh,
    Subscribe,
    Unsubscribe(Vec<usize>),
    Publish(usize),
    /// To hear by Server-Sent Events of these patterns.
    Stream(String),
    /// A WebSocket that hears of these patterns.
    Socket(String),
    /// More patterns for a session of an event stream.
    Amend(Vec<usize>),
    /// A list of publishes, without a session.
    Batch(Vec<usize>),
    Heartbeat,
    Leave,
    /// For a session that never was.
    Garbage,
    Nonsense,
}

#[derive(Debug)]
pub(super) struct Ask {
    want: Want,
    session: Option<usize>,
    sub: Option<usize>,
    answer: usize,
    /// The `p_seq` that came last.
    seq: u64,
    status: u16,
    /// It has said why it ends, or it is no data answer.
    said_why: bool,
}

impl Want {
    fn is_data(&self) -> bool {
        matches!(self, Self::JoinListen(_) | Self::Listen | Self::Refresh | Self::Stream(_) | Self::Socket(_))
    }
}

/// A connection, from the client's side.
#[derive(Debug)]
pub(super) struct Line {
    client: usize,
    pub(super) socket: SocketId,
    asks: Vec<Ask>,
    /// Which of them is being answered.
    next: usize,
    reader: Reader,
    closed: bool,
    half_closed: bool,
    pub(super) old: bool,
    stalled_until: u64,
    reading: bool,
    /// Bytes that it reads at once.
    gulp: usize,
    /// It is a WebSocket, or is about to be.
    pub(super) web: Option<WebLine>,
}

impl Line {
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) const fn is_half_closed(&self) -> bool {
        self.half_closed
    }
}

#[derive(Debug, Default)]
pub(super) struct Client {
    /// Sessions that it believes in.
    pub(super) sessions: Vec<usize>,
    /// Its connections, as places among all.
    lines: Vec<usize>,
}

pub(super) fn subject(rng: &mut fastrand::Rng) -> String {
    let letters = (0..rng.usize(0..=3)).map(|_| if rng.bool() { 'a' } else { 'b' });
    std::iter::once('/').chain(letters).collect()
}

fn list(rng: &mut fastrand::Rng) -> String {
    let items: Vec<String> = (0..rng.usize(1..=2)).map(|_| subject(rng)).collect();
    items.join(",")
}

impl World {
    /// A client does one thing, and will do another.
    pub(super) fn act(&mut self, client: usize) {
        if !self.wild {
            return;
        }
        let pace_us = self.plan.pace_ms * 1000;
        let wait = self.kernel.rng.u64(pace_us / 10..pace_us * 2);
        self.after(wait, Happening::Act(client));
        match self.kernel.rng.u32(..100) {
            0..6 => self.hang_up(client),
            6..12 => self.stall(client),
            12..15 => self.half_line(client),
            15..25 => self.pipeline(client),
            25..29 => self.listen_to_stream(client),
            29..31 => self.amend(client),
            31..36 => self.publish_batch(client),
            36..40 => self.listen_to_socket(client),
            40..56 => self.speak_on_socket(client),
            _ => {
                let session = self.some_session(client);
                let line = self.line_for(client);
                self.ask_anything(line, session);
            }
        }
    }

    fn some_session(&mut self, client: usize) -> Option<usize> {
        let sessions = &self.clients[client].sessions;
        (!sessions.is_empty()).then(|| sessions[self.kernel.rng.usize(..sessions.len())])
    }

    /// Several requests at once, for any of the client's sessions.
    fn pipeline(&mut self, client: usize) {
        let line = self.line_for(client);
        if self.kernel.rng.bool() {
            // A burst of a publisher.
            if let Some(session) = self.some_session(client) {
                for _ in 0..self.kernel.rng.usize(2..=PIPELINE_MAX) {
                    self.publish(line, session);
                }
            }
            return;
        }
        if self.kernel.rng.u32(..3) == 0 {
            // As a proxy that mixes the polls of several users.
            for session in self.clients[client].sessions.clone() {
                if !self.oracle.sessions[session].modern {
                    self.refresh(line, session);
                }
            }
            return;
        }
        for _ in 0..self.kernel.rng.usize(2..6) {
            let session = self.some_session(client);
            self.ask_anything(line, session);
        }
    }

    /// A connection for a request: an idle one, or a new one.
    pub(super) fn line_for(&mut self, client: usize) -> usize {
        let lines = &self.lines;
        let open = |line: &usize| {
            let line = &lines[*line];
            !line.closed && !line.half_closed && !line.old && line.web.is_none()
        };
        let idle = |line: &usize| open(line) && lines[*line].next == lines[*line].asks.len();
        let rng = &mut self.kernel.rng;
        let known = &self.clients[client].lines;
        let any = known.iter().copied().rfind(open);
        let found = known.iter().copied().find(idle).filter(|_| rng.u32(..100) < 85);
        match found.or(any.filter(|_| rng.u32(..100) < 10)) {
            Some(line) => line,
            None => self.open(client),
        }
    }

    pub(super) fn open(&mut self, client: usize) -> usize {
        let rng = &mut self.kernel.rng;
        let window = if rng.u32(..3) == 0 { rng.usize(60..700) } else { rng.usize(1_000..9_000) };
        let gulp = if rng.u32(..3) == 0 { rng.usize(10..300) } else { 65_536 };
        let old = rng.u32(..12) == 0;
        let core = rng.u16(..self.plan.cores);
        let socket = self.kernel.connect(window);
        self.lines.push(Line {
            client,
            socket,
            asks: Vec::new(),
            next: 0,
            reader: Reader::new(),
            closed: false,
            half_closed: false,
            old,
            stalled_until: 0,
            reading: false,
            gulp,
            web: None,
        });
        assert_eq!(self.lines.len(), socket + 1, "a line for each socket");
        self.clients[client].lines.push(socket);
        let wait = self.kernel.rng.u64(10..2_000);
        self.after(wait, Happening::Accept(core, socket));
        socket
    }

    /// A connection that takes more than one request.
    pub(super) fn open_modern(&mut self, client: usize) -> usize {
        let line = self.open(client);
        self.lines[line].old = false;
        line
    }

    fn ask_anything(&mut self, line: usize, session: Option<usize>) {
        let client = self.lines[line].client;
        let room = self.clients[client].sessions.len() < 3;
        let Some(session) = session else { return self.join(line) };
        let modern = self.oracle.sessions[session].modern;
        let listens = self.oracle.has_listened(session);
        if self.oracle.sessions[session].modern && self.kernel.rng.bool() {
            // Its stream is where it is, so it is not asked for: one time in a while it is, and refused.
            let refused = self.kernel.rng.u32(..10) == 0;
            return if refused { self.refresh(line, session) } else { self.publish(line, session) };
        }
        match self.kernel.rng.u32(..100) {
            0..4 if room => self.join(line),
            0..40 if !listens => self.listen(line, session),
            0..10 if !modern => self.listen(line, session),
            10..18 if !modern => self.refresh(line, session),
            18..28 => self.subscribe(line, session),
            28..32 => self.unsubscribe(line, session),
            32..36 => self.send(line, "p_event=hb", Want::Heartbeat, Some(session), None),
            36..38 => {
                self.send(line, "p_event=leave", Want::Leave, Some(session), None);
                self.clients[client].sessions.retain(|known| *known != session);
                let known = &mut self.oracle.sessions[session];
                (known.ended, known.left) = (true, true);
            }
            38..40 => self.send(line, "p_event=hb&p_id=AAAAAAAAAAAAAAAAAAAAAAAA", Want::Garbage, None, None),
            40..42 => self.send(line, "p_event=nonsense&p_format=json", Want::Nonsense, Some(session), None),
            _ => self.publish(line, session),
        }
    }

    fn join(&mut self, line: usize) {
        if self.kernel.rng.u32(..3) == 0 {
            return self.send(line, "p_event=join&p_format=json", Want::Join, None, None);
        }
        let rng = &mut self.kernel.rng;
        let mode = rng.choice(MODES).unwrap_or(MODES[0]);
        let wish = (rng.u32(..4) > 0).then(|| list(rng));
        let told = wish.as_ref().map_or(String::new(), |wish| format!("&p_subject={wish}"));
        let query = format!("p_event=join-listen&p_format=json&p_mode={mode}{told}");
        self.send(line, &query, Want::JoinListen(wish), None, None);
    }

    fn listen(&mut self, line: usize, session: usize) {
        let rng = &mut self.kernel.rng;
        let mode = rng.choice(MODES).unwrap_or(MODES[0]);
        // Not too many, or a session has no room for more.
        let few = self.oracle.sessions[session].subs.len() < 40;
        let wish = (few && rng.u32(..4) == 0).then(|| list(rng));
        let told = wish.as_ref().map_or(String::new(), |wish| format!("&p_subject={wish}"));
        let sub = wish.map(|wish| self.oracle.subscribes(session, &wish, None));
        self.send(line, &format!("p_event=listen&p_mode={mode}{told}"), Want::Listen, Some(session), sub);
    }

    pub(super) fn refresh(&mut self, line: usize, session: usize) {
        self.send(line, "p_event=refresh", Want::Refresh, Some(session), None);
    }

    fn subscribe(&mut self, line: usize, session: usize) {
        if self.oracle.sessions[session].subs.len() >= 50 {
            return;
        }
        let rng = &mut self.kernel.rng;
        let (list, label) = (list(rng), rng.bool().then(|| format!("l{}", rng.u32(..9))));
        let told = label.as_ref().map_or(String::new(), |label| format!("&p_label={label}"));
        let sub = self.oracle.subscribes(session, &list, label.as_deref());
        self.send(
            line,
            &format!("p_event=subscribe&p_subject={list}{told}"),
            Want::Subscribe,
            Some(session),
            Some(sub),
        );
    }

    fn unsubscribe(&mut self, line: usize, session: usize) {
        let pick = self.kernel.rng.usize(..8);
        let sid = if self.kernel.rng.u32(..5) == 0 { None } else { self.oracle.some_sid(session, pick) };
        let ending = self.oracle.unsubscribes(session, sid.as_deref());
        let told = sid.map_or(String::new(), |sid| format!("&p_sid={sid}"));
        self.send(line, &format!("p_event=unsubscribe{told}"), Want::Unsubscribe(ending), Some(session), None);
    }

    fn publish(&mut self, line: usize, session: usize) {
        let to = if self.kernel.rng.u32(..8) == 0 {
            let client = self.kernel.rng.usize(..self.clients.len());
            self.some_session(client)
        } else {
            None
        };
        self.publish_to(line, session, to);
    }

    /// Publishes, for one session or for all. Says which number it has.
    pub(super) fn publish_to(&mut self, line: usize, session: usize, to: Option<usize>) -> usize {
        let rng = &mut self.kernel.rng;
        let subject = subject(rng);
        let padding = if rng.u32(..6) == 0 { rng.usize(..2_000) } else { rng.usize(..100) };
        let by_address = rng.bool();
        let told = to.map(|to| &self.oracle.sessions[to]);
        let told = told
            .map_or(String::new(), |known| format!("&p_to={}", if by_address { &known.address } else { &known.id }));
        let whom = to.map_or(To::Subscribers, To::One);
        let number = self.oracle.publishes(Some(session), self.lines[line].socket, &subject, whom, padding);
        let query = format!("p_event=publish&p_subject={subject}&n={number}&x={}{told}", "x".repeat(padding));
        self.send(line, &query, Want::Publish(number), Some(session), None);
        number
    }

    fn send(&mut self, line: usize, query: &str, want: Want, session: Option<usize>, sub: Option<usize>) {
        let id = session.map_or(String::new(), |at| format!("&p_id={}", self.oracle.sessions[at].id));
        let version = if self.lines[line].old { "HTTP/1.0" } else { "HTTP/1.1" };
        let request = if self.kernel.rng.u32(..10) == 0 {
            let body = format!("{query}{id}");
            let length = body.len();
            format!("POST /pushlet.srv {version}\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")
        } else {
            format!("GET /pushlet.srv?{query}{id} {version}\r\nHost: h\r\n\r\n")
        };
        self.put(line, query, &request, want, session, sub);
    }

    /// Sends a request, which is called `short`.
    pub(super) fn put(
        &mut self,
        line: usize,
        short: &str,
        request: &str,
        want: Want,
        session: Option<usize>,
        sub: Option<usize>,
    ) {
        let short: String = short.chars().take(70).collect();
        self.note(format_args!("line {line} asks {short} for session {session:?}"));
        self.kernel.count("request");
        let answer = self.oracle.answer_asked();
        if let Some(session) = session.filter(|_| want.is_data()) {
            self.oracle.data_asked(session, answer);
        }
        let said_why = !want.is_data();
        self.lines[line].asks.push(Ask { want, session, sub, answer, seq: 0, status: 0, said_why });
        self.kernel.client_send(self.lines[line].socket, request.as_bytes());
        if self.lines[line].old {
            // Nothing may follow it.
            self.lines[line].half_closed |= self.kernel.rng.u32(..20) == 0;
            if self.lines[line].half_closed {
                self.kernel.client_finish(self.lines[line].socket);
            }
        }
    }

    /// The client's open connections.
    pub(super) fn lines_of(&self, client: usize) -> Vec<usize> {
        let usable = |line: &usize| !self.lines[*line].closed && !self.lines[*line].half_closed;
        self.clients[client].lines.iter().copied().filter(usable).collect()
    }

    /// One of the client's connections, if it has any.
    fn some_line(&mut self, client: usize) -> Option<usize> {
        let lines = &self.lines;
        let open = self.clients[client].lines.iter().copied().filter(|line| !lines[*line].closed);
        let open: Vec<usize> = open.collect();
        (!open.is_empty()).then(|| open[self.kernel.rng.usize(..open.len())])
    }

    fn hang_up(&mut self, client: usize) {
        let Some(line) = self.some_line(client) else { return };
        if self.kernel.rng.u32(..4) == 0 {
            self.kernel.count("half-close");
            self.note(format_args!("line {line} half-closes"));
            self.lines[line].half_closed = true;
            return self.kernel.client_finish(self.lines[line].socket);
        }
        self.note(format_args!("line {line} closes"));
        self.kernel.count("client hung up");
        self.close(line);
    }

    /// Half a request, and perhaps never the rest.
    fn half_line(&mut self, client: usize) {
        let line = self.line_for(client);
        self.kernel.client_send(self.lines[line].socket, b"GET /pushlet.srv?p_ev");
        self.lines[line].half_closed = true;
    }

    fn stall(&mut self, client: usize) {
        let Some(line) = self.some_line(client) else { return };
        let ms = if self.kernel.rng.u32(..4) == 0 { 15_000 } else { self.kernel.rng.u64(50..3_000) };
        self.kernel.count("client stalls");
        self.note(format_args!("line {line} reads nothing for {ms} ms"));
        self.lines[line].stalled_until = self.now_us + ms * 1000;
        self.after(ms * 1000, Happening::Read(line));
        self.lines[line].reading = true;
    }

    /// Something has come for a client.
    pub(super) fn arouse(&mut self, socket: SocketId) {
        let line = &mut self.lines[socket];
        if !line.closed && !std::mem::replace(&mut line.reading, true) {
            let wait = self.kernel.rng.u64(10..1_500);
            self.after(wait, Happening::Read(socket));
        }
    }

    /// A client reads what has come, and acts on it.
    pub(super) fn read(&mut self, at: usize) {
        let line = &mut self.lines[at];
        line.reading = false;
        if line.closed {
            return;
        }
        if self.rough && line.stalled_until > self.now_us {
            line.reading = true;
            let until = line.stalled_until;
            return self.at(until, Happening::Read(at));
        }
        let gulp = if self.rough { line.gulp } else { 65_536 };
        let (bytes, ended) = self.kernel.client_read(line.socket, gulp);
        let mut heard = Vec::new();
        line.reader.feed(&bytes, &mut heard);
        self.hear(at, heard, false);
        if ended {
            self.kernel.count("connection ended by the server");
            self.close(at);
        } else if self.kernel.client_may_read(at) {
            self.arouse(at);
        }
    }

    /// A client closes a connection, or hears that it is closed. What was on its way is accounted for, but no longer acted upon.
    pub(super) fn close(&mut self, at: usize) {
        if std::mem::replace(&mut self.lines[at].closed, true) {
            return;
        }
        let rest = self.kernel.client_close(at);
        let mut heard = Vec::new();
        self.lines[at].reader.feed(&rest, &mut heard);
        self.hear(at, heard, true);
        if self.lines[at].reader.is_in_message() {
            self.kernel.count("WebSocket cut within a message");
        }
        let rest = self.lines[at].next;
        let client = self.lines[at].client;
        for ask in rest..self.lines[at].asks.len() {
            let Ask { answer, session, .. } = self.lines[at].asks[ask];
            self.oracle.answer_abandoned(answer);
            if let (Some(session), Want::Stream(_) | Want::Socket(_)) = (session, &self.lines[at].asks[ask].want) {
                // It ends with its connection.
                self.ends(session);
            }
            // Most come back for what they miss.
            if let Some(session) = session.filter(|_| self.kernel.rng.u32(..3) > 0) {
                let wait = self.kernel.rng.u64(1_000..3_000_000);
                self.after(wait, Happening::Refresh(client, session));
            }
        }
        self.clients[client].lines.retain(|known| *known != at);
    }

    /// Events that broken connections had not taken: whose were they?
    pub(super) fn note_cuts(&mut self) {
        self.oracle.undeliverable =
            self.kernel.counts.get("events for a connection that is gone").map_or(0, |many| *many);
        for Cut { socket, request, events, base } in std::mem::take(&mut self.kernel.cuts) {
            if let Some(session) = self.lines[socket].asks.get(request).and_then(|ask| ask.session) {
                self.oracle.is_cut(session, events, socket, base);
            }
        }
    }

    /// Everybody reads what has come.
    pub(super) fn read_all(&mut self) {
        for line in 0..self.lines.len() {
            self.lines[line].reading = false;
            self.arouse(line);
        }
    }

    /// All sessions that listen, and that their clients believe in, come for what they do not have.
    pub(super) fn refresh_all(&mut self, wanted: impl Fn(&Self, usize) -> bool) {
        for client in 0..self.clients.len() {
            for session in self.clients[client].sessions.clone() {
                let comes = self.oracle.has_listened(session) && !self.oracle.sessions[session].modern;
                if comes && wanted(self, session) {
                    let line = self.open(client);
                    self.refresh(line, session);
                }
            }
        }
    }

    /// Sessions that listen and that their clients believe in.
    pub(super) fn listening(&self) -> Vec<usize> {
        let all = self.clients.iter().flat_map(|client| client.sessions.iter().copied());
        all.filter(|session| self.oracle.has_listened(*session)).collect()
    }

    /// A client who does nothing by itself joins.
    pub(super) fn add_client(&mut self) -> usize {
        self.clients.push(Client::default());
        let client = self.clients.len() - 1;
        let line = self.open(client);
        self.send(line, "p_event=join&p_format=json", Want::Join, None, None);
        client
    }

    pub(super) fn sessions_of(&self, client: usize) -> &[usize] {
        &self.clients[client].sessions
    }

    /// Everybody goes.
    pub(super) fn close_all(&mut self) {
        for line in 0..self.lines.len() {
            self.close(line);
        }
    }

    /// A session is to come again.
    pub(super) fn come_again(&mut self, client: usize, session: usize) {
        if !self.wild || !self.clients[client].sessions.contains(&session) || self.oracle.sessions[session].modern {
            return;
        }
        let line = self.line_for(client);
        if !self.oracle.has_listened(session) || self.kernel.rng.u32(..5) == 0 {
            self.listen(line, session);
        } else {
            self.refresh(line, session);
        }
    }

    /// Takes what has come on a connection. A ghost is a client that has closed: it does nothing any more.
    fn hear(&mut self, at: usize, heard: Vec<Heard>, ghost: bool) {
        for heard in heard {
            let next = self.lines[at].next;
            let Some(ask) = self.lines[at].asks.get_mut(next) else {
                // A request that did not come in time is told so.
                assert!(self.lines[at].half_closed, "line {at} hears {heard:?}, and has asked for nothing");
                continue;
            };
            match heard {
                Heard::Head { status } => ask.status = status,
                Heard::Event { event, end } => self.hear_event(at, next, &event, end, ghost),
                Heard::Answer(object) => {
                    self.note_order(at, false);
                    self.hear_answer(at, &object);
                }
                Heard::Ping(payload) => self.hear_ping(at, &payload, ghost),
                Heard::Pong => self.note_order(at, false),
                Heard::Close(code) => self.hear_close(at, code),
                Heard::End { text } => {
                    self.lines[at].next += 1;
                    self.answered(at, next, &text);
                }
            }
        }
    }

    fn answered(&mut self, at: usize, ask: usize, text: &str) {
        let Ask { ref want, session, sub, answer, status, said_why, .. } = self.lines[at].asks[ask];
        let want = want.clone();
        self.oracle.answer_ended(answer);
        if let Some(session) = session.filter(|_| status == 200 && !said_why) {
            self.oracle.ends_in_silence(session, answer);
        }
        if status == 200 {
            if let Want::Publish(number) = want {
                let outcome = self.oracle.published[number].outcome;
                assert_ne!(outcome, Outcome::Open, "publish {number} has an answer that says nothing");
            }
            return;
        }
        self.note(format_args!("line {at} hears {status} {text}"));
        if let Want::Batch(numbers) = &want {
            self.hear_posted(numbers, text);
        }
        if let (Want::Amend(subs), Some(session)) = (&want, session) {
            self.amended(session, subs, status);
        }
        self.kernel.count(match status {
            204 => "answer without words",
            202 => "batch answered",
            400 => "answer 400",
            503 => "answer 503",
            _ => "answer of another error",
        });
        if text.contains("overloaded") {
            self.kernel.count("forward refused as overloaded");
        }
        if let Want::Publish(number) = want {
            self.oracle.published(number, false);
        }
        if let (Some(session), Some(sub)) = (session, sub) {
            self.oracle.subscribed(session, sub, None);
        }
        if let Some(session) = session.filter(|_| text.starts_with("Invalid or expired id")) {
            self.ends(session);
        }
    }

    fn ends(&mut self, session: usize) {
        self.oracle.sessions[session].ended = true;
        for client in &mut self.clients {
            client.sessions.retain(|known| *known != session);
        }
    }

    fn hear_event(&mut self, at: usize, place: usize, event: &Event, end: u64, ghost: bool) {
        let field = |name: &str| event.get(name).map(String::as_str);
        let kind = field("p_event").expect("an event has a name");
        let ask = &mut self.lines[at].asks[place];
        if let Some(seq) = field("p_seq") {
            ask.seq += 1;
            assert_eq!(seq, ask.seq.to_string(), "P-14: numbers of one answer, without a gap: {event:?}");
        }
        ask.said_why |= matches!(kind, "abort" | "refresh" | "nack");
        let (want, session, sub, answer) = (ask.want.clone(), ask.session, ask.sub, ask.answer);
        if matches!(kind, "join-ack" | "join-listen-ack" | "session") {
            return self.hear_join(at, place, event, ghost);
        }
        let Some(session) = session else {
            assert_eq!(want, Want::Garbage, "nobody's {event:?}");
            return;
        };
        match kind {
            "data" => {
                self.note_order(at, true);
                self.kernel.count("event heard");
                let lost: u64 = field("p_lost").map_or(0, |text| text.parse().expect("a number"));
                self.kernel.count_many("events told to be lost", lost);
                self.note(format_args!("line {at}: session {session} hears {:?}, lost {lost}", field("n")));
                self.oracle.hears(session, answer, self.lines[at].socket, end, event);
            }
            "hb" => self.kernel.count("heartbeat"),
            "abort" => {
                self.note(format_args!("line {at}: session {session} is ended: {:?}", field("p_reason")));
                if self.lines[at].web.is_some() {
                    self.hear_end(at);
                }
                self.hear_abort(session, field("p_reason").unwrap_or_default());
            }
            "refresh" => {
                let wait_ms: u64 = field("p_wait").and_then(|text| text.parse().ok()).expect("a time to wait");
                if !ghost && self.wild && self.kernel.rng.u32(..10) > 0 {
                    let client = self.lines[at].client;
                    self.after(wait_ms * 1000, Happening::Refresh(client, session));
                }
            }
            "listen-ack" | "subscribe-ack" => {
                if kind == "listen-ack" {
                    assert_eq!(want, Want::Listen);
                    self.oracle.listens(session);
                }
                if let Some(sub) = sub {
                    self.oracle.subscribed(session, sub, Some(field("p_sid").expect("the id of a subscription")));
                }
            }
            "unsubscribe-ack" => {
                let Want::Unsubscribe(ended) = want else { panic!("{event:?} to {want:?}") };
                self.oracle.unsubscribed(session, &ended, !event.contains_key("p_sid"));
            }
            "publish-ack" => {
                let Want::Publish(number) = want else { panic!("{event:?} to {want:?}") };
                self.oracle.published(number, true);
            }
            "nack" => self.hear_nack(session, &want, event),
            "leave-ack" => assert_eq!(want, Want::Leave),
            "hb-ack" => assert_eq!(want, Want::Heartbeat),
            "refresh-ack" => assert_eq!(want, Want::Refresh),
            _ => panic!("{event:?} to {want:?}"),
        }
    }

    fn hear_nack(&mut self, session: usize, want: &Want, event: &Event) {
        let reason = event.get("p_reason").map_or("", String::as_str);
        match want {
            Want::Publish(number) => {
                // One that waits while the server is told to stop is refused as well (P-32).
                let stopping = reason == "the server is shutting down";
                assert!(reason.starts_with("overloaded") || stopping, "{event:?}");
                if !stopping {
                    self.kernel.count("publish refused as overloaded");
                }
                self.oracle.published(*number, false);
            }
            Want::Nonsense | Want::Refresh | Want::Unsubscribe(_) => {}
            _ => panic!("{event:?} to {want:?} of session {session}"),
        }
    }

    fn hear_abort(&mut self, session: usize, reason: &str) {
        self.kernel.count(match reason {
            "the client reads too slowly and its queue is full" => {
                assert!(!self.oracle.roomy, "session {session} has room for everything, and its queue is full");
                "abort: queue full"
            }
            "the server is shutting down" => "abort: shutdown",
            "the session was not used and has expired" => "abort: lease",
            _ => "abort: other",
        });
        self.ends(session);
    }

    fn hear_join(&mut self, at: usize, place: usize, event: &Event, ghost: bool) {
        let field = |name: &str| event.get(name).unwrap_or_else(|| panic!("no {name} in {event:?}"));
        let (kind, id, address) = (field("p_event"), field("p_id"), field("p_from"));
        let shard = SessionId::parse(id).expect("a name of a session").shard();
        let home = ShardTable::new(self.plan.cores).core_of(shard);
        let session = self.oracle.begins(id, address, home);
        self.lines[at].asks[place].session = Some(session);
        if kind != "join-ack" {
            self.oracle.data_asked(session, self.lines[at].asks[place].answer);
        }
        match &self.lines[at].asks[place].want {
            Want::Stream(list) => {
                self.kernel.count("event stream begun");
                self.oracle.begins_modern(session, list);
            }
            Want::Socket(list) => {
                self.oracle.begins_modern(session, list);
                self.oracle.sessions[session].by_socket = true;
                self.socket_begins(at, session);
            }
            _ => {}
        }
        if let Want::JoinListen(wish) = &self.lines[at].asks[place].want {
            let wish = wish.clone();
            self.oracle.listens(session);
            if let Some(list) = wish {
                let sub = self.oracle.subscribes(session, &list, None);
                self.oracle.subscribed(session, sub, Some(field("p_sid")));
            }
        }
        if !ghost {
            self.kernel.count("session begun");
            let client = self.lines[at].client;
            self.clients[client].sessions.push(session);
        }
    }
}
