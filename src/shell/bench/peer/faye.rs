//! Bayeux as Faye speaks it over WebSockets: arrays of messages, and `/meta/connect` again and again, which keeps the client alive.

use std::sync::LazyLock;

use memchr::memmem::{self, Finder};

use super::super::door::{Item, Publish};
use super::socket::{Step, say};
use super::{Content, answered, append, denied, markers, ready};
use crate::wire::ws::Opcode;

/// What a client begins with.
pub(super) const HANDSHAKE: &str =
    "[{\"channel\":\"/meta/handshake\",\"version\":\"1.0\",\"supportedConnectionTypes\":[\"websocket\"],\"id\":\"h\"}]";

static CONNECT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"/meta/connect\""));

/// What one connection says.
#[derive(Debug)]
pub(super) struct Faye {
    subject: Option<Box<str>>,
    /// What the server calls it; empty before it does.
    client: Box<str>,
}

impl Faye {
    /// A connection for this subject, or for none.
    pub(super) fn new(subject: Option<&str>) -> Self {
        Self { subject: subject.map(Into::into), client: "".into() }
    }

    /// Takes one message in, which may hold several of Bayeux.
    pub(super) fn message(&mut self, text: &[u8], is_ready: bool, posts: bool, sink: &mut dyn FnMut(Item<'_>)) -> Step {
        if !text.starts_with(b"[") {
            return Step::Broken("a message that is not of Bayeux");
        }
        if !is_ready {
            return self.opening(text, posts, sink);
        }
        if CONNECT.find(text).is_some() {
            self.connect(sink);
        } else if posts {
            for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b's') {
                if let Some(rest) = text[at..].strip_prefix(b"successful\":") {
                    answered(rest.starts_with(b"true"), sink);
                }
            }
        }
        markers(text, sink);
        Step::On
    }

    fn opening(&mut self, text: &[u8], posts: bool, sink: &mut dyn FnMut(Item<'_>)) -> Step {
        if memmem::find(text, b"\"successful\":true").is_none() {
            denied(text, sink);
            return Step::Over;
        }
        if self.client.is_empty() {
            let Some(client) = client_id(text) else { return Step::Broken("a Bayeux handshake without a client id") };
            self.client = client.into();
            if let Some(subject) = &self.subject {
                let client = &self.client;
                let wanted = format!(
                    "[{{\"channel\":\"/meta/subscribe\",\"clientId\":\"{client}\",\"subscription\":\"/{subject}\",\"id\":\"s\"}}]"
                );
                say(Opcode::Text, wanted.as_bytes(), sink);
                return Step::On;
            }
        }
        ready(&self.client, posts, sink);
        self.connect(sink);
        Step::Ready
    }

    /// The server holds this for some time, and wants another one then.
    fn connect(&self, sink: &mut dyn FnMut(Item<'_>)) {
        let client = &self.client;
        let text = format!(
            "[{{\"channel\":\"/meta/connect\",\"clientId\":\"{client}\",\"connectionType\":\"websocket\",\"id\":\"c\"}}]"
        );
        say(Opcode::Text, text.as_bytes(), sink);
    }
}

fn client_id(text: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"clientId\":\"";
    let rest = &text[memmem::find(text, NAME)? + NAME.len()..];
    std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok().filter(|id| !id.is_empty())
}

/// Appends the message that publishes.
pub(super) fn publish(publish: &Publish<'_>, content: &Content, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let id = digits.format(publish.marker.sequence);
    append(
        &["[{\"channel\":\"/", publish.subject, "\",\"clientId\":\"", publish.id, "\",\"id\":\"", id, "\",\"data\":"],
        out,
    );
    content.write(publish.marker, out);
    append(&["}]"], out);
}
