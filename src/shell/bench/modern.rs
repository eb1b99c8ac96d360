//! The modern doors as the load generator speaks them: Server-Sent Events, long poll, and publishing.
//!
//! As at the Pushlet door an event is not parsed: its marker is found in the raw bytes. Framing is checked as far as it parts events: HTTP, the
//! empty line behind an event of a stream, the end of a polled answer.

use std::ops::RangeInclusive;
use std::sync::Arc;

use memchr::memmem::{self, Finder};

use super::door::{Decoder, Item, Listen, Post, Publish};
use super::http::{AnswerReader, Part};
use super::marker::{MARKER_BYTES, Marker};
use crate::shell::client::target::Target;

/// Who is only sent to by his address listens here, where nothing is published.
pub(super) const NOWHERE: &str = "/bench/nowhere";

/// What every request to a door says.
#[derive(Debug)]
struct Head {
    path: String,
    /// Behind the path: version, host, and what opens the door; without the empty line.
    fields: String,
}

impl Head {
    fn new(target: &Target, door: &str) -> Self {
        let fields = format!(" HTTP/1.1\r\nHost: {}\r\n{}", target.host_header(), target.key_header());
        Self { path: target.door(door), fields }
    }

    fn get(&self, query: &[&str], out: &mut Vec<u8>) {
        let pieces = ["GET ", &self.path, "?"].into_iter().chain(query.iter().copied()).chain([&*self.fields, "\r\n"]);
        pieces.for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    }
}

/// What reads the bytes that are no markers.
pub(super) type Others = fn(&Words, &[u8], &mut dyn FnMut(Item<'_>));

/// Words that are looked for among the bytes of events.
#[derive(Debug)]
pub(super) struct Words {
    event: Finder<'static>,
    lost: Finder<'static>,
}

impl Words {
    /// All of them.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { event: Finder::new("event: "), lost: Finder::new("{\"lost\":") })
    }

    /// Hands on the markers of whole events, and what `others` makes of the bytes before, between and behind them.
    pub(super) fn scan(&self, mut bytes: &[u8], sink: &mut dyn FnMut(Item<'_>), others: Others) {
        while let Some((at, marker)) = Marker::find(bytes) {
            let before = &bytes[..at];
            others(self, before, sink);
            // The server's own members stand before the publisher's.
            if let Some(lost) = self.lost.find(before) {
                sink(
                    number(&before[lost + self.lost.needle().len()..])
                        .map_or(Item::Broken("a loss that is no number"), Item::Told),
                );
            }
            sink(Item::Event(marker));
            bytes = &bytes[at + MARKER_BYTES..];
        }
        others(self, bytes, sink);
    }

    /// What the server says of itself in a stream: events with a name at the beginning of a line.
    fn of_stream(&self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        for at in self.event.find_iter(bytes) {
            if at > 0 && bytes[at - 1] != b'\n' {
                continue;
            }
            let rest = &bytes[at + self.event.needle().len()..];
            if rest.starts_with(b"session\n") {
                sink(ready(rest).unwrap_or(Item::Broken("a session without an id")));
            } else if rest.starts_with(b"end\n") {
                end(rest, sink);
            }
        }
    }
}

/// A decimal number at the beginning.
fn number(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()
}

/// The text behind the first `name`, up to the next quotation mark.
fn text<'a>(bytes: &'a [u8], name: &str) -> Option<&'a str> {
    let rest = &bytes[memmem::find(bytes, name.as_bytes())? + name.len()..];
    std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok()
}

/// The session that the server tells of.
pub(super) fn ready(bytes: &[u8]) -> Option<Item<'_>> {
    let id = text(bytes, "\"session\":\"").filter(|id| !id.is_empty())?;
    Some(Item::Ready { id, address: text(bytes, "\"address\":\"").unwrap_or_default() })
}

/// The session is over. That it has left is what we asked for.
pub(super) fn end(bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
    match text(bytes, "\"reason\":\"") {
        Some("leave") => {}
        Some(_) => sink(Item::Aborted),
        None => sink(Item::Broken("an end without a reason")),
    }
}

/// `/v1/sse`.
#[derive(Debug)]
pub(super) struct SseDoor {
    head: Head,
    words: Arc<Words>,
}

impl SseDoor {
    /// The door of this server.
    pub(super) fn new(target: &Target) -> Self {
        Self { head: Head::new(target, "v1/sse"), words: Words::new() }
    }
}

impl Listen for SseDoor {
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>) {
        self.head.get(&["subject=", subject.unwrap_or(NOWHERE)], out);
    }

    fn decoder(&self, _: Option<&str>) -> Decoder {
        Decoder::Sse(SseDecoder {
            http: AnswerReader::new(),
            status: 0,
            rest: Vec::new(),
            words: Arc::clone(&self.words),
        })
    }
}

/// Longest event that is waited for, in bytes.
pub(super) const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads one stream.
#[derive(Debug)]
pub(super) struct SseDecoder {
    http: AnswerReader,
    status: u16,
    /// What has come of an event that is not whole. Empty, and without memory, most of the time.
    rest: Vec<u8>,
    words: Arc<Words>,
}

impl SseDecoder {
    /// Takes in what came, in whatever pieces the server cuts its stream.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { http, status, rest, words } = self;
        http.feed(bytes, &mut |part| take_stream(words, status, rest, part, sink));
    }

    /// The connection has ended. Says whether no answer was cut by that.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        let Self { http, status, rest, words } = self;
        http.finish(&mut |part| take_stream(words, status, rest, part, sink))
    }
}

/// What is said of an event that does not end.
pub(super) const ENDLESS: &str = "an event without an end";

/// Hands on the events that are whole, up to the last `end`, and keeps what is behind it in `rest`. Says whether that is not too much.
pub(super) fn whole_events(end: &[u8], rest: &mut Vec<u8>, body: &[u8], mut each: impl FnMut(&[u8])) -> bool {
    if rest.is_empty() && body.ends_with(end) {
        each(body);
        return true;
    }
    rest.extend_from_slice(body);
    if let Some(at) = memmem::rfind(rest, end) {
        each(&rest[..at + end.len()]);
        *rest = rest.split_off(at + end.len());
    }
    rest.len() <= EVENT_BYTES_MAX
}

fn take_stream(words: &Words, status: &mut u16, rest: &mut Vec<u8>, part: Part<'_>, sink: &mut dyn FnMut(Item<'_>)) {
    match part {
        Part::Head(head) => {
            *status = head.status;
            sink(Item::Answer { status: head.status, retry_after_s: head.retry_after_s, close: head.close });
        }
        Part::Body(body) if *status == 200 => {
            if !whole_events(b"\n\n", rest, body, |events| words.scan(events, sink, Words::of_stream)) {
                sink(Item::Broken(ENDLESS));
            }
        }
        Part::Body(_) => {}
        Part::End if !rest.is_empty() => sink(Item::Broken("a stream that ends within an event")),
        Part::End => sink(Item::Done),
        Part::Broken(why) => sink(Item::Broken(why)),
    }
}

/// `/v1/poll`.
#[derive(Debug)]
pub(super) struct PollDoor {
    head: Arc<Head>,
    words: Arc<Words>,
}

impl PollDoor {
    /// The door of this server.
    pub(super) fn new(target: &Target) -> Self {
        Self { head: Arc::new(Head::new(target, "v1/poll")), words: Words::new() }
    }
}

impl Listen for PollDoor {
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>) {
        self.head.get(&["subject=", subject.unwrap_or(NOWHERE)], out);
    }

    fn again(&self, target: &str, out: &mut Vec<u8>) {
        self.head.get(&["session=", target], out);
    }

    fn decoder(&self, _: Option<&str>) -> Decoder {
        let (http, words) = (AnswerReader::new(), Arc::clone(&self.words));
        Decoder::Poll(PollDecoder { http, status: 0, body: Vec::new(), words })
    }

    fn streams(&self) -> bool {
        false
    }
}

/// Reads the answers of a long poll.
#[derive(Debug)]
pub(super) struct PollDecoder {
    http: AnswerReader,
    status: u16,
    /// What has come of the answer.
    body: Vec<u8>,
    words: Arc<Words>,
}

impl PollDecoder {
    /// Takes in what came.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { http, status, body, words } = self;
        http.feed(bytes, &mut |part| take_polled(words, status, body, part, sink));
    }

    /// The connection has ended. Says whether no answer was cut by that.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        let Self { http, status, body, words } = self;
        http.finish(&mut |part| take_polled(words, status, body, part, sink))
    }
}

fn take_polled(words: &Words, status: &mut u16, body: &mut Vec<u8>, part: Part<'_>, sink: &mut dyn FnMut(Item<'_>)) {
    match part {
        Part::Head(head) => {
            *status = head.status;
            body.clear();
            sink(Item::Answer { status: head.status, retry_after_s: head.retry_after_s, close: head.close });
        }
        Part::Body(piece) if body.len() + piece.len() > EVENT_BYTES_MAX => {
            body.clear();
            sink(Item::Broken("an answer without an end"));
        }
        Part::Body(piece) => body.extend_from_slice(piece),
        Part::End => {
            if *status == 200 {
                polled(words, body, sink);
            }
            // Thousands of sessions wait most of their time, and hold nothing meanwhile.
            *body = Vec::new();
            sink(Item::Done);
        }
        Part::Broken(why) => sink(Item::Broken(why)),
    }
}

/// A whole answer: the first one of a session says its address, the others hold its events.
fn polled(words: &Words, body: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
    const EVENTS: &[u8] = b"\"events\":[";
    const END: &[u8] = b"],\"end\":{";
    let Some(events) = memmem::find(body, EVENTS) else { return sink(Item::Broken("an answer without events")) };
    let (opening, events) = body.split_at(events);
    let Some(Item::Ready { id, address }) = ready(opening) else {
        return sink(Item::Broken("an answer without a session"));
    };
    if !address.is_empty() {
        sink(Item::Ready { id, address });
    }
    words.scan(events, sink, |_, _, _| {});
    match memmem::rfind(events, END) {
        Some(at) => end(&events[at..], sink),
        None if !body.trim_ascii_end().ends_with(b"}") => sink(Item::Broken("an answer that is cut")),
        None => sink(Item::Again { wait_ms: 0, target: id.to_owned() }),
    }
}

/// `/v1/publish`.
#[derive(Debug)]
pub(super) struct PublishDoor {
    head: Head,
    pad: String,
}

impl PublishDoor {
    /// The door of this server, for events with `payload_bytes` of padding.
    pub(super) fn new(target: &Target, payload_bytes: usize) -> Self {
        Self { head: Head::new(target, "v1/publish"), pad: "x".repeat(payload_bytes) }
    }
}

impl Post for PublishDoor {
    /// Publishing needs no session. Whether there is such a door says its answer to OPTIONS.
    fn join(&self, out: &mut Vec<u8>) {
        let pieces = ["OPTIONS ", &self.head.path, &self.head.fields, "\r\n"];
        pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    }

    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>) {
        let to = publish.to.map_or([""; 2], |to| ["\",\"to\":\"", to]);
        let before = ["{\"subject\":\"", publish.subject, to[0], to[1], "\",\"data\":{\"m\":\""];
        let pad = if self.pad.is_empty() { [""; 2] } else { ["\",\"pad\":\"", &self.pad] };
        let behind = [pad[0], pad[1], "\"}}"];
        let length = before.iter().chain(&behind).map(|piece| piece.len()).sum::<usize>() + MARKER_BYTES;
        let mut digits = itoa::Buffer::new();
        let head = ["POST ", &self.head.path, &self.head.fields, "Content-Type: application/json\r\nContent-Length: "];
        let head = head.into_iter().chain([digits.format(length), "\r\n\r\n"]);
        head.chain(before).for_each(|piece| out.extend_from_slice(piece.as_bytes()));
        publish.marker.write(out);
        behind.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    }

    fn decoder(&self) -> Decoder {
        Decoder::Publish(PublishDecoder::new(Wanted { joined: 200..=299, greeting: "", accepted: 202..=202 }))
    }
}

/// Reads the answers to publishes.
#[derive(Debug)]
pub(super) struct PublishDecoder {
    http: AnswerReader,
    said: Said,
}

/// What the answers have said so far.
#[derive(Debug)]
struct Said {
    status: u16,
    joined: bool,
    /// The answer to the first request begins as it should.
    greeted: bool,
    wanted: Wanted,
}

/// How a server answers who publishes.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The statuses of an answer to the first request.
    pub(super) joined: RangeInclusive<u16>,
    /// How its body begins.
    pub(super) greeting: &'static str,
    /// The statuses that say that a publish was accepted.
    pub(super) accepted: RangeInclusive<u16>,
}

impl PublishDecoder {
    /// One for a new connection.
    pub(super) const fn new(wanted: Wanted) -> Self {
        let greeted = wanted.greeting.is_empty();
        Self { http: AnswerReader::new(), said: Said { status: 0, joined: false, greeted, wanted } }
    }

    /// Takes in what came.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { http, said } = self;
        http.feed(bytes, &mut |part| said.take(part, sink));
    }

    /// The connection has ended. Says whether no answer was cut by that.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        let Self { http, said } = self;
        http.finish(&mut |part| said.take(part, sink))
    }
}

impl Said {
    fn take(&mut self, part: Part<'_>, sink: &mut dyn FnMut(Item<'_>)) {
        match part {
            Part::Head(head) => {
                self.status = head.status;
                sink(Item::Answer { status: head.status, retry_after_s: head.retry_after_s, close: head.close });
            }
            Part::Body(body) if !self.joined => self.greeted = body.starts_with(self.wanted.greeting.as_bytes()),
            Part::Body(_) => {}
            Part::End => {
                match (self.joined, self.status) {
                    (false, status) if self.greeted && self.wanted.joined.contains(&status) => {
                        self.joined = true;
                        sink(Item::Ready { id: "", address: "" });
                    }
                    (true, status) if self.wanted.accepted.contains(&status) => sink(Item::Accepted),
                    _ => sink(Item::Refused),
                }
                sink(Item::Done);
            }
            Part::Broken(why) => sink(Item::Broken(why)),
        }
    }
}
