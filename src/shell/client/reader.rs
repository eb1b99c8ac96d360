//! Finds events in the bytes of a body as they come.

use quick_xml::escape::unescape;
use quick_xml::events::Event as Xml;

use super::event::{Event, shown};
use crate::limits::CLIENT_EVENT_BYTES_MAX;
use crate::protocol::Format;

/// Reads the events of one answer.
///
/// The XML formats are cut into elements at the first `>`: pushletd and, in `xml-strict`, the original never write one
/// inside a value. So one element that is not well-formed (the original escapes values in `xml-strict` but not names,
/// and nothing in `xml`) is skipped and cannot swallow those behind it. No byte is looked at twice while an element
/// grows.
#[derive(Debug)]
pub(super) struct EventReader {
    json: bool,
    buffer: Vec<u8>,
    /// Everything before this has been looked at.
    scanned: usize,
    /// Where the element under way begins.
    start: Option<usize>,
    /// JSON only: how deep, and whether in a string or behind a backslash in it.
    depth: u32,
    in_string: bool,
    escaped: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An event.
    Event(Event),
    /// Something that should have been one; it is skipped.
    Malformed(String),
    /// So much without an end that it was thrown away; the connection is to be given up.
    Endless,
}

impl EventReader {
    /// A reader for an answer in `format`; `None` if this tool does not read the format.
    pub(super) const fn new(format: Format) -> Option<Self> {
        let json = match format {
            Format::Json => true,
            Format::Xml | Format::XmlStrict => false,
            Format::Js | Format::Ser | Format::V1 | Format::V1Unnamed | Format::Message | Format::MessageDeflate => {
                return None;
            }
        };
        Some(Self { json, buffer: Vec::new(), scanned: 0, start: None, depth: 0, in_string: false, escaped: false })
    }

    /// Takes bytes in.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next thing in the bytes so far.
    pub(super) fn next(&mut self) -> Option<Found> {
        loop {
            let found = if self.json { self.scan_json() } else { self.scan_xml() };
            let Some((start, end)) = found else {
                self.forget(self.start.unwrap_or(self.scanned));
                let endless = self.buffer.len() > CLIENT_EVENT_BYTES_MAX;
                if endless {
                    (self.scanned, self.start) = (0, None);
                    self.buffer = Vec::new();
                }
                return endless.then_some(Found::Endless);
            };
            let element = self.buffer.get(start..end).unwrap_or_default();
            let found = if self.json { json_event(element) } else { xml_event(element) };
            self.start = None;
            self.forget(end);
            if found.is_some() {
                return found;
            }
        }
    }

    /// Drops the bytes before `end`, if they are many: moving a little rest after every event would cost more.
    fn forget(&mut self, end: usize) {
        if end == self.buffer.len() || end > 64 * 1024 {
            self.buffer.drain(..end);
            self.scanned -= end;
            self.start = self.start.map(|start| start - end);
        }
    }

    /// The bounds of the next whole tag.
    fn scan_xml(&mut self) -> Option<(usize, usize)> {
        while let Some(byte) = self.buffer.get(self.scanned) {
            match (byte, self.start) {
                (b'<', None) => self.start = Some(self.scanned),
                (b'>', Some(start)) => {
                    self.scanned += 1;
                    return Some((start, self.scanned));
                }
                _ => {}
            }
            self.scanned += 1;
        }
        None
    }

    /// The bounds of the next whole object, whether it stands in an array or on a line.
    fn scan_json(&mut self) -> Option<(usize, usize)> {
        while let Some(byte) = self.buffer.get(self.scanned) {
            self.scanned += 1;
            match (byte, self.start) {
                (b'{', None) => (self.start, self.depth) = (Some(self.scanned - 1), 1),
                (_, None) => {}
                _ if self.escaped => self.escaped = false,
                (b'\\', _) if self.in_string => self.escaped = true,
                (b'"', _) => self.in_string = !self.in_string,
                _ if self.in_string => {}
                (b'{', _) => self.depth = self.depth.saturating_add(1),
                (b'}', Some(start)) => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some((start, self.scanned));
                    }
                }
                _ => {}
            }
        }
        None
    }
}

fn malformed(what: impl std::fmt::Display, element: &str) -> Found {
    Found::Malformed(format!("{what} in {}", shown(element, 120)))
}

/// UTF-8, or else Latin-1: that is what the original writes on Tomcat.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The event in a tag; `None` if the tag is another one.
fn xml_event(element: &[u8]) -> Option<Found> {
    let text = decode(element);
    let is_event = text.strip_prefix("<event").is_some_and(|rest| rest.starts_with([' ', '\n', '\r', '\t', '/', '>']));
    if !is_event {
        return None;
    }
    let mut reader = quick_xml::Reader::from_str(&text);
    let tag = match reader.read_event() {
        Ok(Xml::Empty(tag) | Xml::Start(tag)) => tag,
        Ok(_) => return Some(malformed("no element", &text)),
        Err(error) => return Some(malformed(error, &text)),
    };
    let mut fields = Vec::new();
    for attribute in tag.attributes() {
        match attribute {
            Ok(attribute) => {
                let raw: &str = attribute.value.as_ref();
                // The original's `xml` has bare ampersands: what is no entity stays as it is.
                let value = unescape(raw).map_or_else(|_| raw.to_owned(), std::borrow::Cow::into_owned);
                let name: &str = attribute.key.as_ref();
                fields.push((name.to_owned(), value));
            }
            Err(error) => return Some(malformed(error, &text)),
        }
    }
    Some(Found::Event(Event::new(fields)))
}

fn json_event(element: &[u8]) -> Option<Found> {
    use serde_json::Value;
    let object: serde_json::Map<String, Value> = match serde_json::from_slice(element) {
        Ok(object) => object,
        Err(error) => return Some(malformed(error, &decode(element))),
    };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Some(Found::Event(Event::new(object.into_iter().map(|(name, value)| (name, text(value))).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(format: Format, text: &[u8], step: usize) -> Vec<Found> {
        let mut reader = EventReader::new(format).expect("a format that is read");
        let mut found = Vec::new();
        for piece in text.chunks(step.max(1)) {
            reader.feed(piece);
            found.extend(std::iter::from_fn(|| reader.next()));
        }
        found
    }

    fn lines(found: &[Found]) -> Vec<String> {
        let line = |found: &Found| match found {
            Found::Event(event) => event.to_json(),
            other => format!("{other:?}"),
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn xml_is_read_in_any_pieces() {
        let text = "<?xml version=\"1.0\"?><pushlet>\
            <event p_event=\"data\" v=\"&lt;&#039;&#10;\u{e9}\" />\n<event v='2'></event>\
            <eventful x=\"1\" /></pushlet>";
        for step in 1..text.len() {
            let found = read(Format::XmlStrict, text.as_bytes(), step);
            assert_eq!(lines(&found), ["{\"p_event\":\"data\",\"v\":\"<'\\n\u{e9}\"}", r#"{"v":"2"}"#], "{step}");
        }
    }

    /// The original escapes no names; such an event is lost, those around it are not.
    #[test]
    fn a_malformed_event_is_skipped_alone() {
        let text =
            br#"<pushlet><event a="1" /><event a b"=="1" c="2" /><event a="3" /><event a="a"b" /><event a="&x" />"#;
        let found = read(Format::XmlStrict, text, 7);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(matches!(found[1], Found::Malformed(_)) && matches!(found[3], Found::Malformed(_)), "{found:?}");
        assert_eq!(lines(&found)[2], r#"{"a":"3"}"#);
        assert_eq!(lines(&found)[4], r#"{"a":"&x"}"#);
    }

    #[test]
    fn latin_1_of_tomcat_is_read() {
        assert_eq!(lines(&read(Format::Xml, b"<event v=\"caf\xe9\" />", 3)), ["{\"v\":\"caf\u{e9}\"}"]);
    }

    #[test]
    fn json_is_read_as_array_and_as_lines() {
        let text = br#"[{"a":"}\"{","b":1},{"c":{"d":"x"}}]"#;
        for step in 1..text.len() {
            let found = lines(&read(Format::Json, text, step));
            assert_eq!(found, [r#"{"a":"}\"{","b":"1"}"#, r#"{"c":"{\"d\":\"x\"}"}"#], "{step}");
        }
        assert_eq!(read(Format::Json, b"{\"a\":\"1\"}\n{\"a\":\"2\"}\n{\"a\"", 4).len(), 2);
        assert!(matches!(read(Format::Json, b"{a}", 9)[..], [Found::Malformed(_)]));
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let text = [b"<event a=\"".as_slice(), &vec![b'x'; CLIENT_EVENT_BYTES_MAX]].concat();
        assert_eq!(read(Format::Xml, &text, 64 * 1024).last(), Some(&Found::Endless));
    }

    #[test]
    fn other_formats_are_not_read() {
        assert!(EventReader::new(Format::Js).is_none() && EventReader::new(Format::Ser).is_none());
    }

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![Just(b'<'), Just(b'>'), Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), any::<u8>()]
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_do_not_matter(bytes in proptest::collection::vec(byte(), 0..200), step in 1..20_usize) {
            for format in [Format::Xml, Format::XmlStrict, Format::Json] {
                prop_assert_eq!(read(format, &bytes, step), read(format, &bytes, 1000));
            }
        }
    }
}
