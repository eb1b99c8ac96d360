//! What the server says of a session itself.

use crate::protocol::EndReason;
use crate::wire::quoted::string;

/// Appends what an event stream begins with: the time after which its client may come again, the padding, and the event that says what the
/// session is. A client that names the end of an earlier stream is told that nothing can be replayed.
pub fn session_event(
    (id, address): (&str, &str),
    heartbeat_ms: u64,
    retry_ms: u32,
    pad: u16,
    last_event_id: Option<&str>,
    out: &mut Vec<u8>,
) {
    if pad > 0 {
        out.extend_from_slice(b": ");
        out.resize(out.len() + usize::from(pad), b' ');
        out.push(b'\n');
    }
    out.extend_from_slice(b"retry: ");
    out.extend_from_slice(itoa::Buffer::new().format(retry_ms).as_bytes());
    out.extend_from_slice(b"\nevent: session\ndata: {");
    names(id, address, out);
    out.extend_from_slice(b",\"heartbeat_ms\":");
    out.extend_from_slice(itoa::Buffer::new().format(heartbeat_ms).as_bytes());
    if last_event_id.is_some() {
        out.extend_from_slice(b",\"reset\":true");
    }
    out.extend_from_slice(b"}\n\n");
    if let Some(last) = last_event_id {
        out.extend_from_slice(b"event: reset\ndata: {\"reason\":\"no-history\",\"last_event_id\":");
        // A JSON string holds no line end.
        string(last, out);
        out.extend_from_slice(b"}\n\n");
    }
}

pub(super) fn names(id: &str, address: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"session\":");
    string(id, out);
    out.extend_from_slice(b",\"address\":");
    string(address, out);
}

/// Appends the event that an event stream ends with: why, by the stable word and for a person.
pub fn end_event(reason: EndReason, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: end\ndata: ");
    end_object(reason, out);
    out.extend_from_slice(b"\n\n");
}

fn end_object(reason: EndReason, out: &mut Vec<u8>) {
    out.push(b'{');
    end_members(reason, out);
    out.push(b'}');
}

/// Appends why a session ends, and what its client should do about it, as a message.
pub(super) fn end_members(reason: EndReason, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"reason\":");
    string(reason.word(), out);
    out.extend_from_slice(b",\"text\":");
    string(reason.text(), out);
}

/// Appends the answer to the first request of a long poll, whole.
pub fn session_answer((id, address): (&str, &str), wait_ms: u64, out: &mut Vec<u8>) {
    out.push(b'{');
    names(id, address, out);
    out.extend_from_slice(b",\"events\":[],\"wait_ms\":");
    out.extend_from_slice(itoa::Buffer::new().format(wait_ms).as_bytes());
    out.extend_from_slice(b"}\n");
}

/// Appends what stands before the events of a long poll's answer.
pub fn poll_prologue(id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"session\":");
    string(id, out);
    out.extend_from_slice(b",\"events\":[");
}

/// Appends what stands behind them: the end of the session, if this is it.
pub fn poll_end(end: Option<EndReason>, out: &mut Vec<u8>) {
    out.push(b']');
    if let Some(reason) = end {
        out.extend_from_slice(b",\"end\":");
        end_object(reason, out);
    }
    out.extend_from_slice(b"}\n");
}
