//! Reads what a Java `ObjectOutputStream` writes for Pushlet events, so that the `ser` format can be checked without
//! Java.
//!
//! Written from the grammar of the Java Object Serialization Specification, chapter 6, as far as events need it: class
//! descriptors with primitive and object fields, `HashMap` with its block data, strings (modified UTF-8),
//! back-references, `TC_RESET` and `TC_NULL`.

use std::rc::Rc;

use super::pushlet::Event;

const TC_NULL: u8 = 0x70;
const TC_REFERENCE: u8 = 0x71;
const TC_CLASSDESC: u8 = 0x72;
const TC_OBJECT: u8 = 0x73;
const TC_STRING: u8 = 0x74;
const TC_BLOCKDATA: u8 = 0x77;
const TC_ENDBLOCKDATA: u8 = 0x78;
const TC_RESET: u8 = 0x79;
const TC_LONGSTRING: u8 = 0x7c;
const BASE_HANDLE: u32 = 0x7e_0000;
const SC_WRITE_METHOD: u8 = 0x01;

/// The class name of an event.
pub(crate) const EVENT_CLASS: &str = "nl.justobjects.pushlet.core.Event";
/// The `serialVersionUID` of an event.
pub(crate) const EVENT_SERIAL: u64 = 0x7f3b_1d4a_3204_f8cd;
const MAP_CLASS: &str = "java.util.HashMap";
const MAP_SERIAL: u64 = 0x0507_dac1_c316_60d1;

/// One class as the stream describes it.
#[derive(Debug)]
struct Class {
    name: String,
    serial: u64,
    flags: u8,
    fields: Vec<(u8, String)>,
    parent: Option<Rc<Class>>,
}

/// What a handle stands for.
#[derive(Clone, Debug)]
enum Known {
    Class(Rc<Class>),
    Text(Rc<str>),
    Object,
}

/// A value in the stream.
#[derive(Clone, Debug)]
enum Value {
    Null,
    Text(Rc<str>),
    Map(Vec<(String, String)>),
    Event(Vec<(String, String)>),
}

/// Why a stream cannot be read: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It ends inside something; a stream that goes on may bring the rest.
    Cut,
    /// It is not what Java would read.
    Wrong(String),
}

type Read<T> = Result<T, Trouble>;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    handles: Vec<Known>,
}

/// Reads every whole event of a response body. A `null` (the original's answer to an unknown event) counts as no event.
/// With `goes_on` a cut tail is fine.
pub(crate) fn parse(body: &[u8], goes_on: bool) -> Result<Vec<Event>, String> {
    let mut reader = Reader { bytes: body, at: 0, handles: Vec::new() };
    let mut events = Vec::new();
    let outcome = reader.stream(&mut events);
    match outcome {
        Ok(()) => Ok(events),
        Err(Trouble::Cut) if goes_on => Ok(events),
        Err(Trouble::Cut) => Err(format!("the stream is cut at byte {}", reader.at)),
        Err(Trouble::Wrong(what)) => Err(format!("at byte {}: {what}", reader.at)),
    }
}

fn wrong<T>(what: impl Into<String>) -> Read<T> {
    Err(Trouble::Wrong(what.into()))
}

impl Reader<'_> {
    fn stream(&mut self, events: &mut Vec<Event>) -> Read<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        if self.take(4)? != [0xac, 0xed, 0, 5] {
            return wrong("no stream header");
        }
        while self.at < self.bytes.len() {
            if self.bytes[self.at] == TC_RESET {
                self.at += 1;
                self.handles.clear();
                continue;
            }
            match self.value()? {
                Value::Null => {}
                Value::Event(fields) => events.push(Event::new(fields)),
                other => return wrong(format!("not an event: {other:?}")),
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Read<&[u8]> {
        let piece = self.bytes.get(self.at..self.at + count).ok_or(Trouble::Cut)?;
        self.at += count;
        Ok(piece)
    }

    fn number(&mut self, bytes: usize) -> Read<u64> {
        Ok(self.take(bytes)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn size(&mut self, bytes: usize) -> Read<usize> {
        usize::try_from(self.number(bytes)?).map_err(|_| Trouble::Wrong("a size".to_owned()))
    }

    fn text(&mut self, length_bytes: usize) -> Read<String> {
        let length = self.size(length_bytes)?;
        let bytes = self.take(length)?.to_vec();
        modified_utf8(&bytes).ok_or_else(|| Trouble::Wrong(format!("not modified UTF-8: {bytes:?}")))
    }

    fn reference(&mut self) -> Read<Known> {
        let handle = u32::try_from(self.number(4)?).unwrap_or(u32::MAX);
        let at = handle.checked_sub(BASE_HANDLE).and_then(|at| self.handles.get(at as usize));
        at.cloned().ok_or_else(|| Trouble::Wrong(format!("a reference to the unknown handle {handle:#x}")))
    }

    fn value(&mut self) -> Read<Value> {
        match self.number(1)? as u8 {
            TC_NULL => Ok(Value::Null),
            TC_REFERENCE => match self.reference()? {
                Known::Text(text) => Ok(Value::Text(text)),
                other => wrong(format!("a reference to {other:?} where a value is due")),
            },
            TC_STRING => self.new_text(2),
            TC_LONGSTRING => self.new_text(8),
            TC_OBJECT => self.object(),
            other => wrong(format!("unknown type code {other:#x}")),
        }
    }

    fn new_text(&mut self, length_bytes: usize) -> Read<Value> {
        let text: Rc<str> = Rc::from(self.text(length_bytes)?);
        self.handles.push(Known::Text(Rc::clone(&text)));
        Ok(Value::Text(text))
    }

    fn class(&mut self) -> Read<Option<Rc<Class>>> {
        match self.number(1)? as u8 {
            TC_NULL => Ok(None),
            TC_REFERENCE => match self.reference()? {
                Known::Class(class) => Ok(Some(class)),
                other => wrong(format!("a reference to {other:?} where a class is due")),
            },
            TC_CLASSDESC => {
                let name = self.text(2)?;
                let serial = self.number(8)?;
                // The handle of a class is given before its fields are read; nothing in an event refers to it that
                // early.
                let handle = self.handles.len();
                self.handles.push(Known::Object);
                let flags = self.number(1)? as u8;
                let count = self.size(2)?;
                let mut fields = Vec::new();
                for _ in 0..count {
                    let code = self.number(1)? as u8;
                    fields.push((code, self.text(2)?));
                    if matches!(code, b'L' | b'[') {
                        let Value::Text(_) = self.value()? else { return wrong("a field's type is no text") };
                    }
                }
                if self.number(1)? as u8 != TC_ENDBLOCKDATA {
                    return wrong("annotations of a class");
                }
                let parent = self.class()?;
                let class = Rc::new(Class { name, serial, flags, fields, parent });
                self.handles[handle] = Known::Class(Rc::clone(&class));
                Ok(Some(class))
            }
            other => wrong(format!("type code {other:#x} where a class is due")),
        }
    }

    fn object(&mut self) -> Read<Value> {
        let Some(class) = self.class()? else { return wrong("an object without a class") };
        self.handles.push(Known::Object);
        if class.parent.is_some() {
            return wrong(format!("{} has a parent", class.name));
        }
        match (class.name.as_str(), class.serial) {
            (EVENT_CLASS, EVENT_SERIAL) => {
                if class.fields != [(b'L', "attributes".to_owned())] || class.flags != 0x02 {
                    return wrong(format!("another event class: {class:?}"));
                }
                match self.value()? {
                    Value::Map(fields) => Ok(Value::Event(fields)),
                    other => wrong(format!("an event of {other:?}")),
                }
            }
            (MAP_CLASS, MAP_SERIAL) => self.map(&class).map(Value::Map),
            other => wrong(format!("an unknown class {other:?}")),
        }
    }

    fn map(&mut self, class: &Class) -> Read<Vec<(String, String)>> {
        let fields: Vec<_> = class.fields.iter().map(|(code, name)| (*code, name.as_str())).collect();
        if fields != [(b'F', "loadFactor"), (b'I', "threshold")] || class.flags & SC_WRITE_METHOD == 0 {
            return wrong(format!("another HashMap: {class:?}"));
        }
        let load_factor = f32::from_bits(self.number(4)? as u32);
        if !(load_factor > 0.0 && load_factor.is_finite()) {
            return wrong(format!("Java refuses the load factor {load_factor}"));
        }
        self.number(4)?;
        if self.take(2)? != [TC_BLOCKDATA, 8] {
            return wrong("no block data in a HashMap");
        }
        self.number(4)?;
        let count = self.size(4)?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let (Value::Text(name), Value::Text(value)) = (self.value()?, self.value()?) else {
                return wrong("a name or value is no text");
            };
            pairs.push((name.to_string(), value.to_string()));
        }
        if self.number(1)? as u8 != TC_ENDBLOCKDATA {
            return wrong("something behind a HashMap's entries");
        }
        Ok(pairs)
    }
}

/// Java's own UTF-8: NUL in two bytes, characters beyond the basic plane as two surrogates of three bytes each.
fn modified_utf8(bytes: &[u8]) -> Option<String> {
    let mut units = Vec::new();
    let mut rest = bytes;
    while let Some((first, _)) = rest.split_first() {
        let tail = |at: usize| rest.get(at).filter(|byte| **byte & 0xc0 == 0x80).map(|byte| u16::from(byte & 0x3f));
        let (unit, used) = match first {
            0x01..=0x7f => (u16::from(*first), 1),
            0xc0..=0xdf => (u16::from(first & 0x1f) << 6 | tail(1)?, 2),
            0xe0..=0xef => (u16::from(first & 0x0f) << 12 | tail(1)? << 6 | tail(2)?, 3),
            _ => return None,
        };
        units.push(unit);
        rest = &rest[used..];
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modified_utf8_is_read() {
        assert_eq!(modified_utf8(b"a\xc0\x80\xc3\xa9").as_deref(), Some("a\0\u{e9}"));
        assert_eq!(modified_utf8(&[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]).as_deref(), Some("\u{1f600}"));
        assert_eq!(modified_utf8(&[0]), None, "Java never writes a bare NUL");
        assert_eq!(modified_utf8("\u{1f600}".as_bytes()), None, "nor four bytes");
    }

    #[test]
    fn other_streams_are_refused() {
        assert!(parse(b"\xac\xed\x00\x04", false).is_err());
        assert!(parse(b"\xac\xed", false).is_err());
        assert_eq!(parse(b"\xac\xed", true), Ok(Vec::new()));
        assert_eq!(parse(b"\xac\xed\x00\x05p", false), Ok(Vec::new()), "a null is no event");
        assert!(parse(b"\xac\xed\x00\x05q\x00\x7e\x00\x00", false).is_err(), "a reference to nothing");
    }
}
