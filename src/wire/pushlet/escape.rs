//! The loop that all text formats share: plain runs are copied as they are, special characters are replaced.

/// Appends `text` to `out`; each character that `special` picks is written by `replace` instead.
pub(super) fn escape(text: &str, out: &mut Vec<u8>, special: fn(char) -> bool, replace: fn(char, &mut Vec<u8>)) {
    out.reserve(text.len());
    let mut plain = 0;
    for (at, letter) in text.char_indices() {
        if special(letter) {
            out.extend_from_slice(&text.as_bytes()[plain..at]);
            replace(letter, out);
            plain = at + letter.len_utf8();
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
}
