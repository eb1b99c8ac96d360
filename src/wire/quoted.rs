//! JSON strings.

use super::blocks::all;

/// Appends `text` as a JSON string (RFC 8259 section 7). What needs no escapes, and most does not, is copied.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    if all(text.as_bytes(), |byte| (byte >= b' ') & (byte != b'"') & (byte != b'\\')) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    serde_json::to_writer(out, text).expect("a vector takes every byte and a string is always JSON");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Letters that need an escape, those next to them, and all others.
    fn letter() -> impl Strategy<Value = char> {
        prop_oneof![
            prop::char::range('\0', '#'),
            Just('\\'),
            prop::char::range('[', '\u{a0}'),
            any::<char>(),
            Just('x')
        ]
    }

    proptest! {
        /// RFC 8259 section 7: whatever the text, a reader of JSON gets it back, and it is written as the library writes it.
        #[test]
        fn every_text_comes_back(letters in prop::collection::vec(letter(), 0..50), plain in 0..40_usize) {
            let text = "x".repeat(plain) + &String::from_iter(letters);
            let mut out = Vec::new();
            string(&text, &mut out);
            prop_assert_eq!(&serde_json::from_slice::<String>(&out).expect("JSON"), &text);
            prop_assert_eq!(out, serde_json::to_vec(&text).expect("a string"));
        }
    }
}
