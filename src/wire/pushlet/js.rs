//! Format `js`: script elements that call `parent.push(...)` in the page around a hidden frame.

use super::escape::escape;

/// The frame's head and its reload function, byte for byte what the original sends.
const PROLOGUE: &str = concat!(
    r#"<html><head><meta http-equiv="Pragma" content="no-cache">"#,
    r#"<meta http-equiv="Expires" content="Tue, 31 Dec 1997 23:59:59 GMT"></head><body>"#,
    "\n",
    r#"<script language="JavaScript"> var url=" "; "#,
    "\n",
    "function refresh() { document.location.href=url; }</script>"
);

pub(super) fn prologue(out: &mut Vec<u8>) {
    out.extend_from_slice(PROLOGUE.as_bytes());
}

pub(super) fn epilogue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</body></html>");
}

pub(super) fn open(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"<script language="JavaScript">parent.push("#);
}

pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b'\'');
    escape(name, out, is_special, unicode_escape);
    out.extend_from_slice(b"', \"");
    escape(value, out, is_special, unicode_escape);
    out.push(b'"');
}

pub(super) fn close(out: &mut Vec<u8>) {
    out.extend_from_slice(b");</script>");
}

/// The script that makes the frame load `url` after `wait_ms` milliseconds. It is no event: nothing is pushed.
pub(super) fn refresh(url: &str, wait_ms: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n<script language=\"JavaScript\">url='");
    escape(url, out, |letter| letter != '&' && is_special(letter), unicode_escape);
    out.extend_from_slice(b"';\n setTimeout(\"refresh()\", ");
    out.extend_from_slice(itoa::Buffer::new().format(wait_ms).as_bytes());
    out.extend_from_slice(b");\n</script>");
}

/// P-10: whatever could end the string, the script element or the line. Without `<` there is neither `</script` nor
/// `<!--`, without `>` no `-->`; U+2028 and U+2029 end a line in older engines; a page parser replaces NUL and turns CR
/// into LF.
///
/// `&` is inert inside a script of an HTML page and matters only where somebody serves the bytes as XHTML. The reload
/// address keeps it, because it always has one and those who read the page by hand look for it.
fn is_special(letter: char) -> bool {
    matches!(
        letter,
        '\'' | '"' | '\\' | '<' | '>' | '&' | '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}'
    )
}

/// Six bytes for one character. Every special one is below U+10000, so that four digits say it.
fn unicode_escape(letter: char, out: &mut Vec<u8>) {
    let code = u32::from(letter);
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| b"0123456789abcdef"[(code >> shift & 15) as usize]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(name: &str, value: &str) -> String {
        let mut out = Vec::new();
        field(name, value, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    /// P-9: the prologue has the original's length.
    #[test]
    fn the_prologue_is_the_originals() {
        assert_eq!(PROLOGUE.len(), 242);
    }

    /// P-10, P-12: what is escaped in names and values, and what stays.
    #[test]
    fn special_characters_are_written_as_escapes() {
        let table = [
            ("plain 1+2/3", "plain 1+2/3"),
            ("\u{4e2d}\u{1f600}\u{e9}", "\u{4e2d}\u{1f600}\u{e9}"),
            ("a'b\"c\\d", r"a\u0027b\u0022c\u005cd"),
            ("</script><!-- -->&amp;", r"\u003c/script\u003e\u003c!-- --\u003e\u0026amp;"),
            ("\0\t\r\n\x1b\x7f\u{85}", r"\u0000\u0009\u000d\u000a\u001b\u007f\u0085"),
            ("\u{2028}\u{2029}", r"\u2028\u2029"),
            ("", ""),
        ];
        for (text, escaped) in table {
            assert_eq!(pushed(text, text), format!("'{escaped}', \"{escaped}\""));
        }
    }

    /// P-10, P-17: the reload script has the original's bytes, and an address cannot leave its string.
    #[test]
    fn the_reload_address_stays_in_its_string() {
        let mut out = Vec::new();
        refresh("/a/pushlet.srv?p_id=x&p_event=refresh", 3713, &mut out);
        epilogue(&mut out);
        let page = String::from_utf8(out).expect("UTF-8");
        let expected = "\n<script language=\"JavaScript\">url='/a/pushlet.srv?p_id=x&p_event=refresh';\n \
                        setTimeout(\"refresh()\", 3713);\n</script></body></html>";
        assert_eq!(page, expected);
        let mut out = Vec::new();
        refresh("/';alert(1)//</script>\\", 0, &mut out);
        let page = String::from_utf8(out).expect("UTF-8");
        assert!(page.contains(r"url='/\u0027;alert(1)//\u003c/script\u003e\u005c';"), "{page}");
    }
}
