//! Redis publish/subscribe: RESP over TCP.

use super::super::door::{Decoder, Item, Listen, Post, Publish};
use super::super::modern::EVENT_BYTES_MAX;
use super::{Content, answered, append, markers, ready};

/// Longest line that is waited for, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A Redis server.
#[derive(Debug)]
pub(super) struct RedisPeer {
    content: Content,
}

impl RedisPeer {
    /// For events with `payload_bytes` of padding.
    pub(super) fn new(payload_bytes: usize) -> Self {
        Self { content: Content::plain(payload_bytes) }
    }
}

/// Appends an argument of a command.
fn bulk(text: &str, out: &mut Vec<u8>) {
    append(&["$", itoa::Buffer::new().format(text.len()), "\r\n", text, "\r\n"], out);
}

fn decoder(posts: bool) -> Decoder {
    Decoder::Redis(RedisDecoder { rest: Vec::new(), resp: Resp { posts, ready: false, broken: false } })
}

impl Listen for RedisPeer {
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>) {
        append(&["*2\r\n"], out);
        bulk("SUBSCRIBE", out);
        bulk(subject.unwrap_or_default(), out);
    }

    fn decoder(&self, _: Option<&str>) -> Decoder {
        decoder(false)
    }
}

impl Post for RedisPeer {
    fn join(&self, out: &mut Vec<u8>) {
        append(&["*1\r\n"], out);
        bulk("PING", out);
    }

    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>) {
        append(&["*3\r\n"], out);
        bulk("PUBLISH", out);
        bulk(publish.subject, out);
        append(&["$", itoa::Buffer::new().format(self.content.len()), "\r\n"], out);
        self.content.write(publish.marker, out);
        append(&["\r\n"], out);
    }

    fn decoder(&self) -> Decoder {
        decoder(true)
    }
}

/// Reads one connection.
#[derive(Debug)]
pub(in super::super) struct RedisDecoder {
    /// What has come of an element that is not whole. Empty, and without memory, most of the time.
    rest: Vec<u8>,
    resp: Resp,
}

/// What is known of one connection.
#[derive(Debug)]
struct Resp {
    /// It is a publisher's.
    posts: bool,
    ready: bool,
    broken: bool,
}

impl RedisDecoder {
    /// Takes in what came, in whatever pieces.
    pub(in super::super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { rest, resp } = self;
        if rest.is_empty() {
            let done = resp.walk(bytes, sink);
            rest.extend_from_slice(&bytes[done..]);
            return;
        }
        let mut all = std::mem::take(rest);
        all.extend_from_slice(bytes);
        let done = resp.walk(&all, sink);
        if done < all.len() {
            all.drain(..done);
            *rest = all;
        }
    }
}

impl Resp {
    /// Takes whole elements; an array is its elements one behind the other. Says how many bytes they were, or all if nothing more is read.
    fn walk(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) -> usize {
        let mut at = 0;
        while !self.broken {
            match self.element(&bytes[at..], sink) {
                Ok(0) => return at,
                Ok(length) => at += length,
                Err(why) => {
                    self.broken = true;
                    sink(Item::Broken(why));
                }
            }
        }
        bytes.len()
    }

    /// Takes one element. Says how long it was; 0: it is not whole.
    fn element(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) -> Result<usize, &'static str> {
        let Some(kind) = bytes.first() else { return Ok(0) };
        if !b"*$:+-".contains(kind) {
            return Err("what is not of Redis");
        }
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            return if bytes.len() > LINE_BYTES_MAX { Err("a line without an end") } else { Ok(0) };
        };
        let Some(line) = bytes[1..end].strip_suffix(b"\r") else { return Err("what is not of Redis") };
        match (kind, self.ready, self.posts) {
            (b'$', ..) => return bulk_string(line, end + 1, bytes, sink),
            (b'-', false, _) => return Err("an error of Redis"),
            (b'-', true, true) => answered(false, sink),
            // What a subscriber is told so is why it is to go.
            (b'-', true, false) => {
                sink(Item::Aborted);
                sink(Item::Done);
            }
            (b':', true, true) => answered(true, sink),
            // The last of the three elements that answer SUBSCRIBE, or the one that answers PING.
            (b':', false, false) | (b'+', false, true) => {
                self.ready = true;
                ready("", self.posts, sink);
            }
            _ => {}
        }
        Ok(end + 1)
    }
}

/// A string of a length that is told: only in these are events.
fn bulk_string(
    length: &[u8],
    start: usize,
    bytes: &[u8],
    sink: &mut dyn FnMut(Item<'_>),
) -> Result<usize, &'static str> {
    let length = std::str::from_utf8(length).ok().and_then(|digits| digits.parse::<usize>().ok());
    let Some(length) = length.filter(|length| *length <= EVENT_BYTES_MAX) else {
        return Err("a length of Redis that makes no sense");
    };
    let Some(text) = bytes.get(start..start + length + 2) else { return Ok(0) };
    let Some(text) = text.strip_suffix(b"\r\n") else { return Err("what is not of Redis") };
    markers(text, sink);
    Ok(start + length + 2)
}
