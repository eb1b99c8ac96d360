//! Format `ser`: Java object serialization, one object of the old class `nl.justobjects.pushlet.core.Event` for each
//! event.
//!
//! Each event names its classes in full and repeats every string, so that its bytes do not depend on what was sent
//! before and can be shared. A reader would remember all those strings as long as the stream lasts; the reset mark
//! before each event but the first lets it forget.

/// The magic number and version of a stream.
const PROLOGUE: &[u8] = b"\xac\xed\x00\x05";
/// Forget every class and string so far.
const TC_RESET: u8 = 0x79;
const TC_STRING: u8 = 0x74;
const TC_LONGSTRING: u8 = 0x7c;
const TC_ENDBLOCKDATA: u8 = 0x78;

/// A new object; its class (name, version 9167953670946748621, serializable, one field `attributes` of type
/// `java.util.Map`, no parent).
const EVENT: &[u8] = b"\x73\x72\x00\x21nl.justobjects.pushlet.core.Event\x7f\x3b\x1d\x4a\x32\x04\xf8\xcd\
    \x02\x00\x01L\x00\x0aattributes\x74\x00\x0fLjava/util/Map;\x78\x70";
/// The field's value: a new hash map (it writes its own data, two fields), its load factor 0.75.
const MAP: &[u8] = b"\x73\x72\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\
    \x03\x00\x02F\x00\x0aloadFactorI\x00\x09threshold\x78\x70\x3f\x40\x00\x00";
/// Eight bytes of data of the map's own: capacity and size.
const MAP_DATA: &[u8] = b"\x77\x08";

pub(super) fn prologue(out: &mut Vec<u8>) {
    out.extend_from_slice(PROLOGUE);
}

/// Everything before the first of `size` pairs.
pub(super) fn open(first: bool, size: u32, out: &mut Vec<u8>) {
    if !first {
        out.push(TC_RESET);
    }
    // What a growing Java map of this size would have: Java before 7 makes its table of exactly this capacity, which
    // must be a power of two.
    let size = size.min(1 << 29);
    let needed = (size + size.div_ceil(3)).next_power_of_two().clamp(4, 1 << 30);
    out.extend_from_slice(EVENT);
    out.extend_from_slice(MAP);
    out.extend_from_slice(&(needed / 4 * 3).to_be_bytes());
    out.extend_from_slice(MAP_DATA);
    out.extend_from_slice(&needed.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
}

pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    string(name, out);
    string(value, out);
}

pub(super) fn close(out: &mut Vec<u8>) {
    out.push(TC_ENDBLOCKDATA);
}

fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = modified_len(text);
    match u16::try_from(bytes) {
        Ok(short) => {
            out.push(TC_STRING);
            out.extend_from_slice(&short.to_be_bytes());
        }
        Err(_) => {
            out.push(TC_LONGSTRING);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
    modified_utf8(text, bytes, out);
}

/// Length of `text` in Java's modified UTF-8, in bytes: NUL takes two, a character beyond U+FFFF six (two surrogates of
/// three).
fn modified_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            0 => 2,
            0xf0.. => 3,
            _ => 1,
        })
        .sum()
}

fn modified_utf8(text: &str, bytes: usize, out: &mut Vec<u8>) {
    if bytes == text.len() {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.reserve(bytes);
    let mut plain = [0; 4];
    for letter in text.chars() {
        let mut units = [0; 2];
        match letter {
            '\0' => out.extend_from_slice(&[0xc0, 0x80]),
            '\u{1}'..='\u{ffff}' => out.extend_from_slice(letter.encode_utf8(&mut plain).as_bytes()),
            _ => letter.encode_utf16(&mut units).iter().for_each(|unit| surrogate(*unit, out)),
        }
    }
}

fn surrogate(unit: u16, out: &mut Vec<u8>) {
    let six = |shift: u16| (unit >> shift & 0x3f) as u8 | 0x80;
    out.extend_from_slice(&[0xe0 | (unit >> 12) as u8, six(6), six(0)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        string(text, &mut out);
        out
    }

    /// P-12: modified UTF-8.
    #[test]
    fn strings_in_modified_utf8() {
        assert_eq!(modified(""), b"\x74\x00\x00");
        assert_eq!(modified("a\u{e9}\u{4e2d}"), b"\x74\x00\x06a\xc3\xa9\xe4\xb8\xad");
        assert_eq!(modified("a\0b"), b"\x74\x00\x04a\xc0\x80b");
        assert_eq!(modified("\u{1f600}"), b"\x74\x00\x06\xed\xa0\xbd\xed\xb8\x80");
    }

    #[test]
    fn the_length_field_grows_at_64_kib() {
        assert_eq!(modified(&"x".repeat(65_535))[..4], *b"\x74\xff\xffx");
        assert_eq!(modified(&"x".repeat(65_536))[..10], *b"\x7c\0\0\0\0\0\x01\0\0x");
        let nulls = modified(&"\0".repeat(32_768));
        assert_eq!((nulls[0], nulls.len()), (TC_LONGSTRING, 9 + 65_536));
    }

    /// Capacity and threshold as a Java map of that size has them.
    #[test]
    fn the_map_has_room_for_its_pairs() {
        for (size, capacity) in
            [(0, 4), (3, 4), (4, 8), (6, 8), (7, 16), (12, 16), (13, 32), (256, 512), (u32::MAX, 1 << 30)]
        {
            let mut out = Vec::new();
            open(true, size, &mut out);
            let number = |from_end: usize| {
                let at = out.len() - from_end;
                u32::from_be_bytes(out[at..at + 4].try_into().expect("four bytes"))
            };
            assert_eq!((number(8), number(14)), (capacity, capacity / 4 * 3), "{size}");
            assert!(number(4) <= number(14) && number(4) == size.min(1 << 29));
        }
    }
}
