//! Socket.IO 5 over Engine.IO 4: each message begins with a digit of each of them.

use super::super::door::{Item, Publish};
use super::socket::{Step, say};
use super::{Content, answered, append, denied, markers, ready};
use crate::wire::ws::Opcode;

/// What one connection says.
#[derive(Debug)]
pub(super) struct SocketIo {
    /// The request for its subject; without one it is ready as soon as it is connected.
    subscribe: Option<Box<str>>,
}

impl SocketIo {
    /// A connection for this subject, or for none.
    pub(super) fn new(subject: Option<&str>) -> Self {
        Self { subscribe: subject.map(|subject| format!("420[\"subscribe\",\"{subject}\"]").into()) }
    }

    /// Takes one message in.
    pub(super) fn message(&mut self, text: &[u8], is_ready: bool, posts: bool, sink: &mut dyn FnMut(Item<'_>)) -> Step {
        match text {
            [b'4', b'2', ..] => {
                markers(text, sink);
            }
            // The ping of Engine.IO.
            [b'2', ..] => say(Opcode::Text, b"3", sink),
            [b'4', b'3', ..] if posts => answered(true, sink),
            [b'4', b'3', b'0', b'[', ..] if !is_ready => {
                self.subscribe = None;
                ready("", posts, sink);
                return Step::Ready;
            }
            [b'0', b'{', ..] if !is_ready => say(Opcode::Text, b"40", sink),
            [b'4', b'0', ..] if !is_ready => match &self.subscribe {
                Some(subscribe) => say(Opcode::Text, subscribe.as_bytes(), sink),
                None => {
                    ready("", posts, sink);
                    return Step::Ready;
                }
            },
            [b'6', ..] => {}
            [b'1', ..] | [b'4', b'1', ..] if is_ready => {
                sink(Item::Aborted);
                sink(Item::Done);
            }
            [b'4', b'4', ..] if !is_ready => {
                denied(text, sink);
                return Step::Over;
            }
            _ => return Step::Broken("a message that is not of Socket.IO"),
        }
        Step::On
    }
}

/// Appends the message that publishes.
pub(super) fn publish(publish: &Publish<'_>, content: &Content, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    append(&["42", digits.format(publish.marker.sequence), "[\"publish\",\"", publish.subject, "\",\""], out);
    content.write(publish.marker, out);
    append(&["\"]"], out);
}
