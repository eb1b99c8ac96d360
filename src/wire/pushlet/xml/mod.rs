//! Formats `xml` and `xml-strict`, and the dialect of `xml` for the old Java parser.

mod names;

use super::escape::escape;

pub(super) use names::is_attribute_name;

pub(super) fn prologue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<pushlet>");
}

pub(super) fn epilogue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</pushlet>");
}

pub(super) fn open(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<event ");
}

/// One attribute and the blank behind it. The name must have passed [`is_attribute_name`].
pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    attribute(name, value, out, is_special, entity);
}

/// One attribute in the dialect of the old Java parser (rule P-11).
pub(super) fn field_java(name: &str, value: &str, out: &mut Vec<u8>) {
    attribute(name, value, out, is_special_java, backslash);
}

pub(super) fn close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"/>");
}

fn attribute(name: &str, value: &str, out: &mut Vec<u8>, special: fn(char) -> bool, replace: fn(char, &mut Vec<u8>)) {
    debug_assert!(is_attribute_name(name), "an attribute called {name:?}");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape(value, out, special, replace);
    out.extend_from_slice(b"\" ");
}

/// P-11: the five with entities, white space that a parser would turn into blanks, and what XML 1.0 forbids.
fn is_special(letter: char) -> bool {
    matches!(letter, '&' | '<' | '>' | '"' | '\'' | '\t' | '\n' | '\r') || is_forbidden(letter)
}

/// Characters that an XML 1.0 document cannot contain, not even as a number. (Surrogates do not occur in a `str`.)
pub(super) fn is_forbidden(letter: char) -> bool {
    matches!(letter, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

fn entity(letter: char, out: &mut Vec<u8>) {
    out.extend_from_slice(match letter {
        '&' => b"&amp;",
        '<' => b"&lt;",
        '>' => b"&gt;",
        '"' => b"&quot;",
        '\'' => b"&apos;",
        '\t' => b"&#9;",
        '\n' => b"&#10;",
        '\r' => b"&#13;",
        _ => "\u{fffd}".as_bytes(),
    });
}

/// P-11: the old Java parser reads an element character by character up to the first `>`, whatever stands around it,
/// and knows a backslash but no entity. So `>` cannot be said to it; `&lt;` and `&amp;` would be shown as such, and a
/// raw `<`, tab or line end is safe. What XML forbids is replaced here as well: U+FFFF is the end-of-input mark to
/// programs that keep characters in 16 bits.
fn is_special_java(letter: char) -> bool {
    matches!(letter, '"' | '\\' | '>') || is_forbidden(letter)
}

fn backslash(letter: char, out: &mut Vec<u8>) {
    out.extend_from_slice(match letter {
        '"' => b"\\\"",
        '\\' => b"\\\\",
        '>' => b"&gt;",
        _ => "\u{fffd}".as_bytes(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str, field: fn(&str, &str, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        field("v", value, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    /// P-11, P-12: values in well-formed XML.
    #[test]
    fn values_become_attributes() {
        let table = [
            ("a b+c\\d", "a b+c\\d"),
            ("<b>x</b>&amp;'\"", "&lt;b&gt;x&lt;/b&gt;&amp;amp;&apos;&quot;"),
            ("\t\n\r", "&#9;&#10;&#13;"),
            ("a\0\x01\x0b\x1fb\u{fffe}\u{ffff}", "a\u{fffd}\u{fffd}\u{fffd}\u{fffd}b\u{fffd}\u{fffd}"),
            ("\u{4e2d}\u{1f600}\x7f\u{85}\u{2028}\u{fffd}", "\u{4e2d}\u{1f600}\x7f\u{85}\u{2028}\u{fffd}"),
        ];
        for (value, escaped) in table {
            assert_eq!(written(value, field), format!("v=\"{escaped}\" "));
        }
    }

    /// P-11: values for the old Java parser.
    #[test]
    fn values_in_the_java_dialect() {
        let table = [
            ("a b'c&d&lt;<e", "a b'c&d&lt;<e"),
            ("say \"hi\" c:\\dir\\", "say \\\"hi\\\" c:\\\\dir\\\\"),
            ("a>b/>", "a&gt;b/&gt;"),
            ("\t\n\r\0\u{ffff}\u{4e2d}", "\t\n\r\u{fffd}\u{fffd}\u{4e2d}"),
        ];
        for (value, escaped) in table {
            assert_eq!(written(value, field_java), format!("v=\"{escaped}\" "));
        }
    }
}
