//! Clients of WebSockets: they listen, and ask for more and less and publish on the same connection.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::client::{Want, subject};
use super::modern::patterns;
use super::oracle::To;
use super::world::{Happening, World};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Requests without an answer on one connection; a client does not send more.
const ASKED_MAX: usize = 24;

/// What a client of a WebSocket remembers of it.
#[derive(Debug, Default)]
pub(super) struct WebLine {
    /// Since the first message has come.
    session: Option<usize>,
    /// Bytes of frames that it has not sent yet.
    rest: Vec<u8>,
    /// Requests without an answer, in the order in which they were sent.
    asked: VecDeque<(u64, Asked)>,
    next_id: u64,
    /// It has sent a Close frame.
    closing: bool,
    /// Its session was told why it ends.
    told: bool,
    /// What came last was an event, and before that.
    events: [bool; 2],
}

#[derive(Debug)]
enum Asked {
    Subscribe(Vec<usize>),
    /// With what it says to end, and whether it has all of it.
    Unsubscribe(Vec<usize>, bool),
    Publish(usize),
    Ping,
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match u16::try_from(payload.len()).expect("a short message") {
        short @ 0..=125 => out.push(0x80 | short as u8),
        long => {
            out.push(0x80 | 126);
            out.extend_from_slice(&long.to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

impl World {
    /// A session of `/v1/ws`.
    pub(super) fn listen_to_socket(&mut self, client: usize) {
        if self.clients[client].sessions.len() >= 3 {
            return;
        }
        let line = self.open_modern(client);
        let rng = &mut self.kernel.rng;
        let list = if rng.u32(..4) == 0 { String::new() } else { patterns(rng) };
        let told = if list.is_empty() { String::new() } else { format!("subject={list}&") };
        let visible = if rng.bool() { "heartbeat=event" } else { "" };
        let deflate = if rng.u32(..3) == 0 { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let query = format!("/v1/ws?{told}{visible}");
        let request = format!(
            "GET {query} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{deflate}\r\n"
        );
        self.lines[line].web = Some(WebLine::default());
        self.put(line, &query, &request, Want::Socket(list), None, None);
    }

    /// What a client does on one of its WebSockets, if it has any.
    pub(super) fn speak_on_socket(&mut self, client: usize) {
        let known = self.lines_of(client);
        let open = known.into_iter().filter(|line| {
            let web = self.lines[*line].web.as_ref();
            web.is_some_and(|web| web.session.is_some() && !web.closing && !web.told)
        });
        let open: Vec<usize> = open.collect();
        if open.is_empty() {
            return self.listen_to_socket(client);
        }
        let line = open[self.kernel.rng.usize(..open.len())];
        if self.kernel.rng.u32(..30) == 0 {
            self.kernel.count("WebSocket closed by its client");
            self.note(format_args!("line {line} says that it closes"));
            self.web(line).closing = true;
            return self.send_frame(line, 0x88, &1000_u16.to_be_bytes());
        }
        let requests: Vec<Value> =
            (0..self.kernel.rng.usize(1..=5)).filter_map(|_| self.web_request(client, line)).collect();
        if requests.len() > 1 && self.kernel.rng.bool() {
            return self.send_frame(line, 0x81, Value::from(requests).to_string().as_bytes());
        }
        for request in requests {
            let text = request.to_string().into_bytes();
            if self.kernel.rng.u32(..6) == 0 {
                // In two frames, with something else in between.
                let (one, other) = text.split_at(self.kernel.rng.usize(..text.len()));
                self.send_frame(line, 0x01, one);
                self.send_frame(line, 0x89, b"between");
                self.send_frame(line, 0x80, other);
            } else {
                self.send_frame(line, 0x81, &text);
            }
        }
    }

    fn web(&mut self, line: usize) -> &mut WebLine {
        self.lines[line].web.as_mut().expect("a WebSocket")
    }

    fn web_request(&mut self, client: usize, line: usize) -> Option<Value> {
        let session = self.web(line).session?;
        if self.web(line).asked.len() >= ASKED_MAX {
            return None;
        }
        self.kernel.count("request of a WebSocket");
        let (asked, mut request) = match self.kernel.rng.u32(..10) {
            0..3 => self.web_subscribe(session),
            3..5 => self.web_unsubscribe(session),
            5..9 => self.web_publish(client, session, line),
            _ => (Asked::Ping, json!({"type": "ping"})),
        };
        let web = self.web(line);
        web.next_id += 1;
        request["id"] = json!(web.next_id);
        web.asked.push_back((web.next_id, asked));
        let id = web.next_id;
        self.note(format_args!("line {line} of session {session} asks {id}: {}", shorten(&request)));
        Some(request)
    }

    fn web_subscribe(&mut self, session: usize) -> (Asked, Value) {
        if self.oracle.sessions[session].subs.len() >= 50 {
            return (Asked::Ping, json!({"type": "ping"}));
        }
        let list = patterns(&mut self.kernel.rng);
        let subs = self.oracle.subscribes_by_patterns(session, &list);
        let mut request = json!({"type": "subscribe", "subject": list});
        if self.kernel.rng.u32(..4) == 0 && self.plan.roomy {
            // So long that it never drops anything, but another wish every time.
            request["queue"] = json!(self.kernel.rng.u32(50_000..60_000));
        }
        (Asked::Subscribe(subs), request)
    }

    fn web_unsubscribe(&mut self, session: usize) -> (Asked, Value) {
        let pick = self.kernel.rng.usize(..8);
        let known = self.oracle.some_pattern(session, pick).filter(|_| self.kernel.rng.u32(..6) > 0);
        let has_it = known.is_some();
        let list = known.unwrap_or_else(|| String::from("/never"));
        let ending = self.oracle.unsubscribes_pattern(session, &list);
        (Asked::Unsubscribe(ending, has_it), json!({"type": "unsubscribe", "subject": [list]}))
    }

    fn web_publish(&mut self, client: usize, session: usize, line: usize) -> (Asked, Value) {
        let rng = &mut self.kernel.rng;
        let subject = subject(rng);
        let padding = if rng.u32(..6) == 0 { rng.usize(..2_000) } else { rng.usize(..200) };
        let to = (rng.u32(..8) == 0).then(|| {
            let sessions = &self.clients[client].sessions;
            sessions.get(rng.usize(..4)).copied().unwrap_or(session)
        });
        let whom = to.map_or(To::Subscribers, To::One);
        let number = self.oracle.publishes(Some(session), self.lines[line].socket, &subject, whom, padding);
        let data = json!({"n": number.to_string(), "x": "x".repeat(padding)});
        let mut request = json!({"type": "publish", "subject": subject, "data": data});
        if let Some(to) = to {
            request["to"] = json!(self.oracle.sessions[to].address);
        }
        (Asked::Publish(number), request)
    }

    /// Sends a frame, or the beginning of it and the rest later.
    fn send_frame(&mut self, line: usize, first: u8, payload: &[u8]) {
        let mask = self.kernel.rng.u32(..).to_be_bytes();
        let frame = frame(first, payload, mask);
        self.web(line).rest.extend_from_slice(&frame);
        let most = self.web(line).rest.len();
        let now = if self.kernel.rng.u32(..4) == 0 { self.kernel.rng.usize(..most) } else { most };
        self.send_rest(line, now);
        if now < most {
            let wait = self.kernel.rng.u64(10..200_000);
            self.after(wait, Happening::SendRest(line));
        }
    }

    /// Sends so much of what is to be sent, or all.
    pub(super) fn send_rest(&mut self, line: usize, most: usize) {
        if self.lines[line].is_closed() {
            return;
        }
        let rest = &mut self.web(line).rest;
        let bytes: Vec<u8> = rest.drain(..most.min(rest.len())).collect();
        self.kernel.client_send(line, &bytes);
    }

    /// The first message: whose WebSocket it is.
    pub(super) fn socket_begins(&mut self, at: usize, session: usize) {
        self.kernel.count("WebSocket begun");
        self.web(at).session = Some(session);
    }

    /// An event has come on a line, or something else.
    pub(super) fn note_order(&mut self, at: usize, is_event: bool) {
        if let Some(web) = &mut self.lines[at].web {
            let before = web.events;
            web.events = [before[1], is_event];
            if before == [true, false] && is_event {
                self.kernel.count("answer between two events");
            }
        }
    }

    /// A ping: whoever lives answers it.
    pub(super) fn hear_ping(&mut self, at: usize, payload: &[u8], ghost: bool) {
        self.kernel.count("ping");
        if !ghost && !self.lines[at].is_half_closed() && !self.web(at).closing {
            self.send_frame(at, 0x8a, payload);
        }
    }

    /// The last frame, and behind which words.
    pub(super) fn hear_close(&mut self, at: usize, code: Option<u16>) {
        let (closing, told) = (self.web(at).closing, self.web(at).told);
        assert!(told || closing, "line {at} is closed with {code:?}, and nobody says why");
        if closing && !told {
            assert_eq!(code, Some(1000), "a Close frame is answered in kind");
            assert!(self.web(at).asked.is_empty(), "closed before all was answered: {:?}", self.web(at).asked);
        }
    }

    /// P-27 to P-32: why the session ends.
    pub(super) fn hear_end(&mut self, at: usize) {
        self.kernel.count("end told to a WebSocket");
        self.web(at).told = true;
    }

    /// The answer to a request: to the oldest that has none.
    pub(super) fn hear_answer(&mut self, at: usize, object: &Value) {
        let web = self.web(at);
        let session = web.session.expect("the first message has come");
        let (id, asked) = web.asked.pop_front().expect("a request that was asked");
        assert_eq!(object["id"], id, "answers come in the order of their requests: {object}, {asked:?}");
        self.note(format_args!("line {at} hears {}", shorten(object)));
        let kind = object["type"].as_str().expect("a type");
        let overloaded = kind == "nack" && object["status"] == 503;
        match (asked, kind) {
            (Asked::Ping, "pong") => assert!(object["time"].is_u64()),
            (Asked::Subscribe(subs), "ack") => {
                subs.into_iter().for_each(|sub| self.oracle.subscribed_by_pattern(session, sub));
            }
            (Asked::Unsubscribe(ended, _), "ack") => {
                self.kernel.count("unsubscribed on a WebSocket");
                self.oracle.unsubscribed(session, &ended, false);
            }
            (Asked::Unsubscribe(ended, has_it), "nack") if object["status"] == 404 => {
                self.kernel.count("nothing to unsubscribe");
                let cleared = self.oracle.sessions[session].cleared;
                assert!(!has_it || cleared, "session {session} has it: {object}");
                assert!(ended.is_empty() || cleared, "session {session} has it: {object}");
            }
            (Asked::Publish(number), "ack") => {
                assert_eq!((&object["accepted"], &object["refused"]), (&json!(1), &json!(0)));
                self.kernel.count("event of a WebSocket published");
                self.oracle.published(number, true);
            }
            (Asked::Publish(number), "nack") if overloaded => {
                self.kernel.count("event of a WebSocket refused");
                self.oracle.published(number, false);
            }
            (asked, _) => panic!("{object} to {asked:?} of session {session}"),
        }
    }

    /// A session of an event stream is to hear more, which is asked for on another connection.
    pub(super) fn amend(&mut self, client: usize) {
        let sessions = self.clients[client].sessions.iter().copied();
        let Some(session) = sessions.filter(|session| self.oracle.sessions[*session].modern).min_by_key(|session| {
            let known = &self.oracle.sessions[*session];
            (known.by_socket, known.subs.len())
        }) else {
            return self.listen_to_stream(client);
        };
        if self.oracle.sessions[session].by_socket || self.oracle.sessions[session].subs.len() >= 50 {
            return self.listen_to_stream(client);
        }
        let line = self.line_for(client);
        let list = patterns(&mut self.kernel.rng);
        let subs = self.oracle.subscribes_by_patterns(session, &list);
        let version = if self.lines[line].old { "HTTP/1.0" } else { "HTTP/1.1" };
        let query = format!("/v1/subscribe?session={}&subject={list}", self.oracle.sessions[session].id);
        let request = format!("POST {query} {version}\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        self.put(line, &query, &request, Want::Amend(subs), Some(session), None);
    }

    /// The answer to that.
    pub(super) fn amended(&mut self, session: usize, subs: &[usize], status: u16) {
        match status {
            204 => {
                self.kernel.count("event stream amended");
                subs.iter().for_each(|sub| self.oracle.subscribed_by_pattern(session, *sub));
            }
            404 | 503 => subs.iter().for_each(|sub| self.oracle.subscribed(session, *sub, None)),
            other => panic!("{other} for more subscriptions of session {session}"),
        }
    }
}

fn shorten(object: &Value) -> String {
    object.to_string().chars().take(90).collect()
}
