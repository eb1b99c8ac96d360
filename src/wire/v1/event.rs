//! Events as JSON objects, alone or as the data of Server-Sent Events.

use std::fmt::Write as _;

use base64::Engine as _;

use super::json::object_of_fields;
use crate::protocol::{Event, Framing, Payload};
use crate::wire::quoted::string;
use crate::wire::ws;

/// What an idle event stream carries: a comment, which readers skip.
pub const HEARTBEAT: &[u8] = b": hb\n\n";

/// The same for a client that wants to see it: programs in browsers see neither comments nor pings.
const HEARTBEAT_EVENT: &[u8] = b"event: heartbeat\ndata: {}\n\n";
/// The same as a message.
const HEARTBEAT_MESSAGE: &[u8] = br#"{"type":"heartbeat"}"#;

/// Appends a sign of life, `visible` to programs or only to what carries them. A WebSocket's client answers the ping that it is, or begins
/// with (RFC 6455 section 5.5.2).
pub fn heartbeat(framing: Framing, visible: bool, out: &mut Vec<u8>) {
    if framing.is_message() {
        ws::write(ws::Opcode::Ping, &[], out);
        if visible {
            ws::write(ws::Opcode::Text, HEARTBEAT_MESSAGE, out);
        }
    } else {
        out.extend_from_slice(if visible { HEARTBEAT_EVENT } else { HEARTBEAT });
    }
}

/// Appends what all receivers of an event share, to be sent behind a [`personal_part`] of the same framing: the members of its object and its
/// end; in an event stream the fields behind the data and the empty line, too. `from` is the address that its publisher is known by.
///
/// In an event stream every line that the data has is a `data` line of its own (WHATWG HTML, section 9.2.6), so nothing that a publisher
/// sends can begin a field or end the event.
pub fn shared_part(framing: Framing, event: &Event, from: Option<&str>, out: &mut Vec<u8>) {
    let mut text = Vec::with_capacity(64 + event.payload.bytes());
    write_members(event, from, &mut text);
    text.push(b'}');
    if !framing.is_event_stream() {
        return out.append(&mut text);
    }
    data_lines(&text, out);
    out.push(b'\n');
    if let Some(name) = event.name.as_ref().filter(|_| framing == Framing::EventStream) {
        // Without control characters: it cannot end its line.
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(b'\n');
    }
    if let Some(position) = event.position {
        let mut id = String::with_capacity(32);
        // A string takes everything.
        let _ = writeln!(id, "id: {}-{}-{}", position.stream, position.epoch, position.offset);
        out.extend_from_slice(id.as_bytes());
    }
    out.push(b'\n');
}

/// Appends what stands in front of the shared part. `first` is the first of an array; `lost` events before this one were dropped for its
/// receiver (rule P-30).
pub fn personal_part(framing: Framing, first: bool, lost: u64, out: &mut Vec<u8>) {
    match framing {
        Framing::EventStream | Framing::UnnamedStream => out.extend_from_slice(b"data: {"),
        // Each message is an object.
        Framing::Message | Framing::MessageDeflate => out.push(b'{'),
        _ if first => out.push(b'{'),
        _ => out.extend_from_slice(b",{"),
    }
    if lost > 0 {
        out.extend_from_slice(b"\"lost\":");
        out.extend_from_slice(itoa::Buffer::new().format(lost).as_bytes());
        out.push(b',');
    }
}

/// Appends `text` so that it stays the data of one event: behind every line end, CR, LF or both, another `data` line begins.
fn data_lines(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        out.extend_from_slice(&rest[..end]);
        out.extend_from_slice(b"\ndata: ");
        let both = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(both)..];
    }
    out.extend_from_slice(rest);
}

fn write_members(event: &Event, from: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"subject\":");
    string(event.subject.as_str(), out);
    if let Some(name) = &event.name {
        out.extend_from_slice(b",\"event\":");
        string(name.as_str(), out);
    }
    write_payload(&event.payload, out);
    out.extend_from_slice(b",\"time\":");
    out.extend_from_slice(itoa::Buffer::new().format(event.accepted_at).as_bytes());
    if let Some(from) = from {
        out.extend_from_slice(b",\"from\":");
        string(from, out);
    }
}

/// The payload table of docs/protocol.md, the column of the modern doors.
fn write_payload(payload: &Payload, out: &mut Vec<u8>) {
    match payload {
        Payload::Fields(fields) => {
            out.extend_from_slice(b",\"data\":");
            object_of_fields(fields, out);
        }
        Payload::Json(text) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(text.as_bytes());
        }
        Payload::Bytes { content_type, bytes } => {
            out.extend_from_slice(b",\"content_type\":");
            string(content_type, out);
            match std::str::from_utf8(bytes) {
                Ok(text) if is_text(content_type) => {
                    out.extend_from_slice(b",\"data\":");
                    string(text, out);
                }
                _ => {
                    out.extend_from_slice(b",\"base64\":\"");
                    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
                    out.extend_from_slice(encoded.as_bytes());
                    out.push(b'"');
                }
            }
        }
    }
}

/// Whether bytes of this type are told as a text if they are one.
fn is_text(content_type: &str) -> bool {
    content_type.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"))
}
