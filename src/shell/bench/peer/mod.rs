//! Other servers, each spoken to as its own clients do: the dialects of `--dialect`.
//!
//! Over HTTP (`http`), over WebSockets (`socket`, and what each server speaks within: `faye`, `nats`, `socket_io`), and over TCP (`redis`).
//! A delivery is found by its marker in the raw bytes, as at our own doors; frames, lines, chunks and lengths are followed as far as they part
//! events, and may come in any pieces.

mod faye;
mod http;
mod nats;
mod redis;
mod socket;
mod socket_io;
#[cfg(test)]
mod tests;

pub(super) use self::http::StreamDecoder;
pub(super) use self::redis::RedisDecoder;
pub(super) use self::socket::SocketDecoder;

use self::http::{HttpPost, HttpStream, Whole};
use self::redis::RedisPeer;
use self::socket::{Kind, SocketPeer};
use super::dialect::Dialect;
use super::door::{Item, Listen, Post};
use super::marker::{MARKER_BYTES, Marker};
use super::options::Targets;

/// Where subscribers are, and where publishers are.
type Doors = (Box<dyn Listen>, Box<dyn Post>);

/// The doors of a dialect; `None` for our own. With `nonce` all WebSockets of the run begin.
pub(super) fn doors(dialect: Dialect, targets: &Targets, payload_bytes: usize, nonce: [u8; 16]) -> Option<Doors> {
    let Targets { listen, post } = targets;
    let stream = |door, whole| Box::new(HttpStream::new(listen, door, whole));
    let nchan = || Box::new(HttpPost::nchan(post, payload_bytes));
    let socket = |target, kind| Box::new(SocketPeer::new(target, kind, payload_bytes, nonce));
    let both = |kind| Some((socket(listen, kind) as Box<dyn Listen>, socket(post, kind) as Box<dyn Post>));
    match dialect {
        Dialect::Pushlet => None,
        Dialect::NchanSse => Some((stream("sse", Whole::Block), nchan())),
        Dialect::NchanStream => Some((stream("stream", Whole::Chunk), nchan())),
        Dialect::NchanWs => Some((socket(listen, Kind::Nchan), nchan())),
        Dialect::Pushpin => Some((stream("stream", Whole::Line), Box::new(HttpPost::pushpin(post, payload_bytes)))),
        Dialect::Uws => both(Kind::Uws),
        Dialect::SocketIo => both(Kind::SocketIo),
        Dialect::Faye => both(Kind::Faye),
        Dialect::NatsWs => both(Kind::Nats),
        Dialect::Redis => Some((Box::new(RedisPeer::new(payload_bytes)), Box::new(RedisPeer::new(payload_bytes)))),
    }
}

/// What an event holds: `{"m":"MARKER","pad":"xxx"}`, without the pad if that is empty.
#[derive(Debug)]
struct Content {
    before: &'static str,
    behind: String,
}

impl Content {
    /// As it is.
    fn plain(payload_bytes: usize) -> Self {
        let pad =
            if payload_bytes == 0 { String::new() } else { format!("\",\"pad\":\"{}", "x".repeat(payload_bytes)) };
        Self { before: "{\"m\":\"", behind: format!("{pad}\"}}") }
    }

    /// As it stands in a string of JSON.
    fn quoted(payload_bytes: usize) -> Self {
        let Self { behind, .. } = Self::plain(payload_bytes);
        Self { before: "{\\\"m\\\":\\\"", behind: behind.replace('"', "\\\"") }
    }

    fn len(&self) -> usize {
        self.before.len() + MARKER_BYTES + self.behind.len()
    }

    fn write(&self, marker: Marker, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        marker.write(out);
        out.extend_from_slice(self.behind.as_bytes());
    }
}

/// Appends texts, one behind the other.
fn append(texts: &[&str], out: &mut Vec<u8>) {
    texts.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
}

/// Hands on all markers, and says where the last one ends.
fn markers(bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) -> usize {
    let mut end = 0;
    while let Some((at, marker)) = Marker::find(&bytes[end..]) {
        sink(Item::Event(marker));
        end += at + MARKER_BYTES;
    }
    end
}

/// Somebody is ready: who publishes is told so by an answer that is over.
fn ready(id: &str, posts: bool, sink: &mut dyn FnMut(Item<'_>)) {
    sink(Item::Ready { id, address: "" });
    if posts {
        sink(Item::Done);
    }
}

/// Somebody who opens is refused in words.
fn denied(words: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
    sink(Item::Denied(words));
    sink(Item::Done);
}

/// The answer to a publish.
fn answered(accepted: bool, sink: &mut dyn FnMut(Item<'_>)) {
    sink(if accepted { Item::Accepted } else { Item::Refused });
    sink(Item::Done);
}
