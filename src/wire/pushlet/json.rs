//! Format `json`: objects whose members are all strings.

use crate::wire::quoted::string;

pub(super) fn open(out: &mut Vec<u8>) {
    out.push(b'{');
}

pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    string(name, out);
    out.push(b':');
    string(value, out);
}

/// The same for a name that is known to need no escapes.
pub(super) fn own_field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 5);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    string(value, out);
}

/// The end of an object and of its line.
pub(super) fn close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}\n");
}
