//! The NATS client protocol: lines, and behind `MSG` so many bytes as the line says.

use super::super::door::{Item, Publish};
use super::super::modern::EVENT_BYTES_MAX;
use super::socket::{Step, say};
use super::{Content, answered, append, markers, ready};
use crate::wire::ws::Opcode;

/// Longest line that is waited for, in bytes. `INFO` has one of some hundred.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What one connection says.
#[derive(Debug)]
pub(super) struct Nats {
    /// What is said when the server has told of itself; empty afterwards.
    greeting: Box<str>,
    /// How many `+OK` are missing until it is ready.
    oks: u8,
    /// What has come of a line or a message that is not whole. Empty, and without memory, most of the time.
    rest: Vec<u8>,
}

/// What the bytes begin with.
enum Said<'a> {
    /// It is not whole.
    Part,
    /// A line, and how long it is with its end.
    Line(&'a [u8], usize),
    /// An event, and how long it is with its head and its end.
    Message(&'a [u8], usize),
    /// A length that makes no sense, or a line without an end.
    Broken,
}

impl Nats {
    /// A connection for this subject, or for none.
    pub(super) fn new(subject: Option<&str>) -> Self {
        let connect = format!(
            "CONNECT {{\"verbose\":true,\"pedantic\":false,\"lang\":\"pushletd\",\"version\":\"{}\",\"protocol\":1}}\r\n",
            env!("CARGO_PKG_VERSION")
        );
        let (greeting, oks) = match subject {
            Some(subject) => (format!("{connect}SUB {subject} 1\r\n"), 2),
            None => (connect, 1),
        };
        Self { greeting: greeting.into(), oks, rest: Vec::new() }
    }

    /// Takes in what came, in whatever pieces.
    pub(super) fn bytes(&mut self, bytes: &[u8], is_ready: bool, posts: bool, sink: &mut dyn FnMut(Item<'_>)) -> Step {
        if self.rest.is_empty() {
            let (step, done) = self.walk(bytes, is_ready, posts, sink);
            self.rest.extend_from_slice(&bytes[done..]);
            return step;
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let (step, done) = self.walk(&all, is_ready, posts, sink);
        if done < all.len() {
            all.drain(..done);
            self.rest = all;
        }
        step
    }

    /// Takes whole lines and messages. Says what they came to, and how many bytes they were.
    fn walk(&mut self, bytes: &[u8], mut is_ready: bool, posts: bool, sink: &mut dyn FnMut(Item<'_>)) -> (Step, usize) {
        let (mut at, mut all) = (0, Step::On);
        loop {
            let step = match next(&bytes[at..]) {
                Said::Part => return (all, at),
                Said::Message(payload, length) => {
                    at += length;
                    markers(payload, sink);
                    Step::On
                }
                Said::Line(line, length) => {
                    at += length;
                    self.line(line, is_ready, posts, sink)
                }
                Said::Broken => Step::Broken("what is not of NATS"),
            };
            match step {
                Step::On => {}
                Step::Ready => (all, is_ready) = (step, true),
                Step::Broken(_) => return (step, bytes.len()),
            }
        }
    }

    fn line(&mut self, line: &[u8], is_ready: bool, posts: bool, sink: &mut dyn FnMut(Item<'_>)) -> Step {
        match line {
            b"+OK" if is_ready && posts => answered(true, sink),
            b"+OK" if is_ready => {}
            b"+OK" => {
                self.oks = self.oks.saturating_sub(1);
                if self.oks == 0 {
                    ready("", posts, sink);
                    return Step::Ready;
                }
            }
            b"PING" => say(Opcode::Binary, b"PONG\r\n", sink),
            b"PONG" => {}
            _ if line.starts_with(b"INFO ") => {
                let greeting = std::mem::take(&mut self.greeting);
                if !greeting.is_empty() {
                    say(Opcode::Binary, greeting.as_bytes(), sink);
                }
            }
            _ if line.starts_with(b"-ERR") => match (is_ready, posts) {
                (false, _) => return Step::Broken("NATS refuses the client"),
                (true, true) => answered(false, sink),
                // Such as that it is too slow; the server closes the connection.
                (true, false) => {
                    sink(Item::Aborted);
                    sink(Item::Done);
                }
            },
            _ => return Step::Broken("a line that is not of NATS"),
        }
        Step::On
    }
}

fn next(bytes: &[u8]) -> Said<'_> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() > LINE_BYTES_MAX { Said::Broken } else { Said::Part };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    if !line.starts_with(b"MSG ") {
        return Said::Line(line, end + 1);
    }
    let digits = line.rsplit(|byte| *byte == b' ').next().and_then(|digits| std::str::from_utf8(digits).ok());
    match digits.and_then(|digits| digits.parse::<usize>().ok()) {
        Some(length) if length <= EVENT_BYTES_MAX => {
            let whole = end + 1 + length + 2;
            match bytes.get(end + 1..whole) {
                None => Said::Part,
                Some(text) => text.strip_suffix(b"\r\n").map_or(Said::Broken, |payload| Said::Message(payload, whole)),
            }
        }
        _ => Said::Broken,
    }
}

/// Appends the line that publishes, and the event.
pub(super) fn publish(publish: &Publish<'_>, content: &Content, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    append(&["PUB ", publish.subject, " ", digits.format(content.len()), "\r\n"], out);
    content.write(publish.marker, out);
    append(&["\r\n"], out);
}
