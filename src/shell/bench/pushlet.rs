//! The Pushlet protocol as the load generator speaks it, in every format and mode.
//!
//! An event is not parsed: its marker is found in the raw bytes. Only the few events that are not ours (acks, `refresh`, `abort`) are looked
//! at, and only for the names that matter.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::door::{Decoder, Item, Listen, Post, Publish};
use super::http::{AnswerReader, Part};
use super::marker::{MARKER_BYTES, Marker};
use crate::protocol::{Format, Mode};
use crate::shell::client::target::Target;

/// The Pushlet door of one server.
#[derive(Debug)]
pub(super) struct PushletDoor {
    path: String,
    /// Behind the path: version, host, and what opens the door.
    fields: String,
    format: Format,
    mode: Mode,
    pad: String,
    words: Arc<Words>,
}

impl PushletDoor {
    /// The door of `target`, for events with `payload_bytes` of padding.
    pub(super) fn new(target: &Target, format: Format, mode: Mode, payload_bytes: usize) -> Self {
        let fields = format!(" HTTP/1.1\r\nHost: {}\r\n{}", target.host_header(), target.key_header());
        let path = target.path.clone();
        Self { path, fields, format, mode, pad: "x".repeat(payload_bytes), words: Arc::new(Words::new(format)) }
    }

    fn get(&self, target: &str, out: &mut Vec<u8>) {
        for piece in ["GET ", target, &self.fields, "\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }

    fn post(&self, length: usize, out: &mut Vec<u8>) {
        for piece in ["POST ", &self.path, &self.fields, "Content-Length: "] {
            out.extend_from_slice(piece.as_bytes());
        }
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
}

impl PushletDoor {
    fn new_decoder(&self) -> Decoder {
        Decoder::Pushlet(PushletDecoder { http: AnswerReader::new(), status: 0, words: Arc::clone(&self.words) })
    }

    /// Ends a session. It is answered as a publish is.
    pub(super) fn leave(&self, id: &str, out: &mut Vec<u8>) {
        self.get(&format!("{}?p_event=leave&p_id={id}", self.path), out);
    }
}

impl Listen for PushletDoor {
    fn subscribe(&self, subject: Option<&str>, out: &mut Vec<u8>) {
        let (path, mode, format) = (&self.path, self.mode.name(), self.format.name());
        let subject = subject.map_or_else(String::new, |subject| format!("&p_subject={subject}"));
        self.get(&format!("{path}?p_event=join-listen&p_mode={mode}&p_format={format}{subject}"), out);
    }

    fn again(&self, target: &str, out: &mut Vec<u8>) {
        self.get(target, out);
    }

    fn decoder(&self, _: Option<&str>) -> Decoder {
        self.new_decoder()
    }

    fn streams(&self) -> bool {
        self.mode == Mode::Stream
    }
}

impl Post for PushletDoor {
    fn join(&self, out: &mut Vec<u8>) {
        self.get(&format!("{}?p_event=join&p_format={}", self.path, self.format.name()), out);
    }

    fn publish(&self, publish: &Publish<'_>, out: &mut Vec<u8>) {
        let to = publish.to.map_or([""; 2], |to| ["&p_to=", to]);
        let head = ["p_event=publish&p_id=", publish.id, "&p_subject=", publish.subject, to[0], to[1], "&m="];
        let pad = if self.pad.is_empty() { [""; 2] } else { ["&pad=", &self.pad] };
        let length = head.iter().chain(&pad).map(|piece| piece.len()).sum::<usize>() + MARKER_BYTES;
        self.post(length, out);
        head.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
        publish.marker.write(out);
        pad.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    }

    fn decoder(&self) -> Decoder {
        self.new_decoder()
    }
}

/// How a format writes the names that are looked for.
#[derive(Debug)]
struct Words {
    format: Format,
    event: Finder<'static>,
    lost: Finder<'static>,
}

impl Words {
    fn new(format: Format) -> Self {
        let finder = |name| Finder::new(&key(format, name)).into_owned();
        Self { format, event: finder("p_event"), lost: finder("p_lost") }
    }

    /// The value that begins at `at`, behind its name.
    fn value<'a>(&self, bytes: &'a [u8], at: usize) -> Option<&'a str> {
        let (start, end) = match self.format {
            Format::Ser => {
                let length = u16::from_be_bytes(*bytes.get(at..at + 2)?.first_chunk()?);
                (at + 2, at + 2 + usize::from(length))
            }
            _ => (at, at + memchr::memchr(b'"', bytes.get(at..)?)?),
        };
        std::str::from_utf8(bytes.get(start..end)?).ok()
    }

    /// The value of the first field of this name.
    fn field<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a str> {
        let key = key(self.format, name);
        let at = memchr::memmem::find(bytes, &key)?;
        self.value(bytes, at + key.len())
    }

    /// Looks at the events of a piece that are not ours. An event of ours may be the last, cut where its marker begins.
    fn others(&self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let mut rest = bytes;
        while let Some(at) = self.event.find(rest) {
            let Some(word) = self.value(rest, at + self.event.needle().len()) else { break };
            let behind = &rest[at + self.event.needle().len()..];
            let end = self.event.find(behind).unwrap_or(behind.len());
            self.other(word, &behind[..end], sink);
            rest = behind;
        }
        if self.format == Format::Js {
            page_refresh(bytes, sink);
        }
    }

    fn other(&self, word: &str, fields: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        match word {
            "data" | "hb" => {}
            "publish-ack" | "leave-ack" => sink(Item::Accepted),
            "nack" => sink(Item::Refused),
            "abort" => sink(Item::Aborted),
            "join-ack" | "join-listen-ack" => {
                let (id, address) = (self.field(fields, "p_id"), self.field(fields, "p_from"));
                match id {
                    Some(id) => sink(Item::Ready { id, address: address.unwrap_or_default() }),
                    None => sink(Item::Broken("an ack without an id")),
                }
            }
            "refresh" => {
                let wait = self.field(fields, "p_wait").and_then(|wait| wait.parse().ok());
                match (wait, self.field(fields, "p_url")) {
                    (Some(wait_ms), Some(url)) => sink(Item::Again { wait_ms, target: url.replace("&amp;", "&") }),
                    _ => sink(Item::Broken("a refresh without a time and a place")),
                }
            }
            _ => {}
        }
    }
}

/// In the `js` format `refresh` is not an event but a piece of script.
fn page_refresh(bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
    const CALL: &[u8] = b"setTimeout(\"refresh()\", ";
    const PLACE: &[u8] = b"url='";
    let Some(at) = memchr::memmem::find(bytes, CALL) else { return };
    let digits = bytes[at + CALL.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let wait_ms = digits.fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    let place = memchr::memmem::rfind(&bytes[..at], PLACE).map(|found| &bytes[found + PLACE.len()..at]);
    let target = place.and_then(|place| std::str::from_utf8(place.split(|byte| *byte == b'\'').next()?).ok());
    match target {
        Some(target) => sink(Item::Again { wait_ms, target: target.to_owned() }),
        None => sink(Item::Broken("a refresh without a place")),
    }
}

/// What stands before the value of a field.
fn key(format: Format, name: &str) -> Vec<u8> {
    match format {
        Format::Js => format!("'{name}', \"").into_bytes(),
        Format::Json | Format::V1 | Format::V1Unnamed | Format::Message | Format::MessageDeflate => {
            format!("\"{name}\":\"").into_bytes()
        }
        Format::Xml | Format::XmlStrict => format!(" {name}=\"").into_bytes(),
        // A string begins with its type, here `t`, and its length in two bytes.
        Format::Ser => [&[0, u8::try_from(name.len()).unwrap_or(u8::MAX)], name.as_bytes(), b"t"].concat(),
    }
}

/// Reads one connection to a Pushlet server.
#[derive(Debug)]
pub(super) struct PushletDecoder {
    http: AnswerReader,
    status: u16,
    words: Arc<Words>,
}

impl PushletDecoder {
    /// Takes in what came. A server writes an event into one chunk: a marker that is cut is not found, and its event counts as lost.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { http, status, words } = self;
        http.feed(bytes, &mut |part| take(words, status, part, sink));
    }

    /// The connection has ended. Says whether no answer was cut by that.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Item<'_>)) -> bool {
        let Self { http, status, words } = self;
        http.finish(&mut |part| take(words, status, part, sink))
    }
}

fn take(words: &Words, status: &mut u16, part: Part<'_>, sink: &mut dyn FnMut(Item<'_>)) {
    match part {
        Part::Head(head) => {
            *status = head.status;
            sink(Item::Answer { status: head.status, retry_after_s: head.retry_after_s, close: head.close });
            if head.status != 200 {
                sink(Item::Refused);
            }
        }
        Part::Body(body) if *status == 200 => scan(words, body, sink),
        Part::Body(_) => {}
        Part::End => sink(Item::Done),
        Part::Broken(why) => sink(Item::Broken(why)),
    }
}

/// Finds the markers of a piece, and looks at what is between them.
fn scan(words: &Words, mut bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
    while let Some((at, marker)) = Marker::find(bytes) {
        let before = &bytes[..at];
        words.others(before, sink);
        // The server's own fields stand before the publisher's.
        if let Some(lost) = words.lost.find(before) {
            let told = words.value(before, lost + words.lost.needle().len()).and_then(|text| text.parse().ok());
            sink(told.map_or(Item::Broken("p_lost that is no number"), Item::Told));
        }
        sink(Item::Event(marker));
        bytes = &bytes[at + MARKER_BYTES..];
    }
    words.others(bytes, sink);
}
