//! Format `json`: objects whose members are all strings.

pub(super) fn open(out: &mut Vec<u8>) {
    out.push(b'{');
}

pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    string(name, out);
    out.push(b':');
    string(value, out);
}

/// The end of an object and of its line.
pub(super) fn close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}\n");
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a vector takes every byte and a string is always JSON");
}
