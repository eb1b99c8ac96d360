//! Peers over HTTP: streams without end to listen to (Nchan, Pushpin), and requests to publish.

use super::super::door::{Decoder, Item, Listen, Post, Publish};
use super::super::http::{AnswerReader, Part};
use super::super::marker::{MARKER_BYTES, Marker, may_begin};
use super::super::modern::{ENDLESS, PublishDecoder, Wanted, whole_events};
use super::{Content, append, markers};
use crate::shell::client::target::Target;

/// When an event of a stream is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// At an empty line, as Server-Sent Events are.
    Block,
    /// At the end of a line.
    Line,
    /// At the end of a chunk: nothing else parts two events.
    Chunk,
}

/// A subscription that is a GET with a long answer.
#[derive(Debug)]
pub(super) struct HttpStream {
    /// Path up to the subject.
    path: String,
    host: String,
    whole: Whole,
}

impl HttpStream {
    /// The streams below `door` of this server.
    pub(super) fn new(target: &Target, door: &str, whole: Whole) -> Self {
        Self { path: target.door(door), host: target.host_header(), whole }
    }
}

impl Listen for HttpStream {
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>) {
        // Nchan sends chunks to who says that they are understood.
        let accept = if self.whole == Whole::Block { "Accept: text/event-stream" } else { "TE: chunked" };
        let subject = subject.unwrap_or_default();
        append(&["GET ", &self.path, "/", subject, " HTTP/1.1\r\nHost: ", &self.host, "\r\n", accept, "\r\n\r\n"], out);
    }

    fn decoder(&self, _: Option<&str>) -> Decoder {
        let (http, whole) = (AnswerReader::streaming(), self.whole);
        Decoder::PeerStream(StreamDecoder { http, body: Body { whole, status: 0, rest: Vec::new() } })
    }
}

/// Reads one stream.
#[derive(Debug)]
pub(in super::super) struct StreamDecoder {
    http: AnswerReader,
    body: Body,
}

#[derive(Debug)]
struct Body {
    whole: Whole,
    status: u16,
    /// What has come of an event that is not whole. Empty, and without memory, most of the time.
    rest: Vec<u8>,
}

impl StreamDecoder {
    /// Takes in what came, in whatever pieces.
    pub(in super::super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { http, body } = self;
        http.feed(bytes, &mut |part| body.take(part, sink));
    }

    /// The connection has ended. Says whether no answer was cut by that.
    pub(in super::super) fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        let Self { http, body } = self;
        http.finish(&mut |part| body.take(part, sink))
    }
}

impl Body {
    fn take(&mut self, part: Part<'_>, sink: &mut dyn FnMut(Item<'_>)) {
        match part {
            Part::Head(head) => {
                self.status = head.status;
                sink(Item::Answer { status: head.status, retry_after_s: head.retry_after_s, close: head.close });
                match head.status {
                    200 if head.sized => sink(Item::Broken("an answer with a length where a stream was asked for")),
                    200 => sink(Item::Ready { id: "", address: "" }),
                    _ => {}
                }
            }
            Part::Body(bytes) if self.status == 200 => self.events(bytes, sink),
            Part::Body(_) => {}
            Part::End => sink(Item::Done),
            Part::Broken(why) => sink(Item::Broken(why)),
        }
    }

    fn events(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let end: &[u8] = match self.whole {
            Whole::Block => b"\n\n",
            Whole::Line => b"\n",
            Whole::Chunk => return self.chunk(bytes, sink),
        };
        let mut each = |events: &[u8]| {
            markers(events, sink);
        };
        if !whole_events(end, &mut self.rest, bytes, &mut each) {
            sink(Item::Broken(ENDLESS));
        }
    }

    /// A server may still cut an event into two chunks: what may be the beginning of a marker is kept.
    fn chunk(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let joined;
        let bytes = if self.rest.is_empty() {
            bytes
        } else {
            joined = [&std::mem::take(&mut self.rest), bytes].concat();
            &joined
        };
        let behind = &bytes[markers(bytes, sink)..];
        let tail = &behind[behind.len().saturating_sub(MARKER_BYTES - 1)..];
        if let Some(at) = may_begin(tail) {
            self.rest.extend_from_slice(&tail[at..]);
        }
    }
}

/// Publishing by POST.
#[derive(Debug)]
pub(super) struct HttpPost {
    /// Up to the subject, if it stands in the path; else the whole path.
    path: String,
    /// Behind the path, up to the length of the body.
    fields: String,
    /// Around the subject and the content in the body; `None`: the body is the content, and the subject stands in the path.
    around: Option<[&'static str; 3]>,
    content: Content,
    wanted: Wanted,
}

/// A subject where nobody listens.
const NOWHERE: &str = "bench_join";

impl HttpPost {
    /// Nchan: the subject stands in the path, and the body is the event.
    pub(super) fn nchan(target: &Target, payload_bytes: usize) -> Self {
        let path = format!("{}/", target.door("pub"));
        Self {
            path,
            fields: fields(target, ""),
            around: None,
            content: Content::plain(payload_bytes),
            // 201 where somebody listens, 202 where nobody does; other servers have 200 for everything.
            wanted: Wanted { joined: 201..=202, greeting: "", accepted: 200..=202 },
        }
    }

    /// The control port of Pushpin.
    pub(super) fn pushpin(target: &Target, payload_bytes: usize) -> Self {
        Self {
            path: target.door("publish/"),
            fields: fields(target, "Content-Type: application/json\r\n"),
            around: Some([
                "{\"items\":[{\"channel\":\"",
                "\",\"formats\":{\"http-stream\":{\"content\":\"",
                "\\n\"}}}]}",
            ]),
            content: Content::quoted(payload_bytes),
            wanted: Wanted { joined: 200..=200, greeting: "Published", accepted: 200..=200 },
        }
    }

    fn post(&self, subject: &str, marker: Marker, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        match self.around {
            None => {
                append(
                    &["POST ", &self.path, subject, &self.fields, digits.format(self.content.len()), "\r\n\r\n"],
                    out,
                );
                self.content.write(marker, out);
            }
            Some([before, between, behind]) => {
                let length = before.len() + subject.len() + between.len() + self.content.len() + behind.len();
                append(&["POST ", &self.path, &self.fields, digits.format(length), "\r\n\r\n"], out);
                append(&[before, subject, between], out);
                self.content.write(marker, out);
                append(&[behind], out);
            }
        }
    }
}

fn fields(target: &Target, more: &str) -> String {
    format!(" HTTP/1.1\r\nHost: {}\r\n{more}Content-Length: ", target.host_header())
}

impl Post for HttpPost {
    /// Whether there is such a door says its answer to a publish that nobody gets.
    fn join(&self, out: &mut Vec<u8>) {
        self.post(NOWHERE, Marker { lane: 0, sequence: 0, intended_ns: 0 }, out);
    }

    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>) {
        self.post(publish.subject, publish.marker, out);
    }

    fn decoder(&self) -> Decoder {
        Decoder::Publish(PublishDecoder::new(self.wanted.clone()))
    }
}
