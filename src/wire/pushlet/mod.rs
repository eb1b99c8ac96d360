//! The Pushlet door's bytes: requests to commands ([`read`]), events to the five formats of rule P-9.
//!
//! The framings of the modern doors are JSON like the others and are written as such here; nobody asks for it, for [`super::v1`] writes them.
//!
//! An event is encoded once per framing into bytes that all sessions share ([`shared_part`]). What differs per session
//! (`p_seq`, `p_sid`, `p_label`, `p_lost`) is a few bytes in front of them ([`personal_part`], invariant A9). Attribute
//! order is ours (P-13): the personal fields first, then the event's own in the order of its publisher.
//!
//! An answer is [`prologue`], events, perhaps [`refresh`], then [`epilogue`] (data answers that end orderly) or
//! [`control_epilogue`].
//!
//! Encoding takes time linear in the event's bytes, apart from looking each name up among those before it (at most
//! [`FIELDS_MAX`](crate::limits::FIELDS_MAX) of them in a request). One byte of a value becomes at most six: `\u0000`
//! in `js` and `json`, `&quot;` in `xml`. Around each field stand at most seven bytes (`'', "",` in `js`), of which the
//! request already had one or more. So the fields take at most
//! [`ENCODING_GROWTH_MAX`](crate::limits::ENCODING_GROWTH_MAX) times the request's bytes, and each event at most
//! [`EVENT_FIXED_BYTES_MAX`] on top.

mod escape;
mod head;
mod js;
mod json;
mod post;
mod request;
mod ser;
mod tag;
mod xml;

#[cfg(test)]
mod tests;

pub use head::answer_head;
pub use post::post_fields;
pub use request::{Incoming, RequestError, error_text, is_pushlet_path, query_fields, read};

use crate::protocol::Framing;

/// What an encoded event takes besides its fields at most, in bytes: the class descriptions of `ser` are the longest.
pub const EVENT_FIXED_BYTES_MAX: usize = 160;

/// What [`shared_part`] did with the fields it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedInfo {
    /// How many were written.
    pub fields: u32,
    /// How many were left out: their name cannot be said in this framing (P-11), or came before.
    pub dropped: u32,
}

/// Appends the part of an event that all its receivers share, to be sent behind a [`personal_part`] of the same
/// framing.
///
/// The first field of a repeated name is written. In the XML framings a field whose name is no attribute name is left
/// out (P-11). Names that a personal part brings must not be among `fields`: the caller removes the reserved names
/// (P-21).
pub fn shared_part<'a>(
    framing: Framing,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
    out: &mut Vec<u8>,
) -> SharedInfo {
    let mut info = SharedInfo::default();
    let mut names = Names(Vec::with_capacity(USUAL_FIELDS));
    for (name, value) in fields {
        if can_say(framing, name) && names.insert(name) {
            separate(framing, info.fields == 0, out);
            field(framing, name, value, out);
            info.fields = info.fields.saturating_add(1);
        } else {
            info.dropped = info.dropped.saturating_add(1);
        }
    }
    match framing {
        Framing::Js => js::close(out),
        Framing::Xml | Framing::XmlJava | Framing::XmlStrict => xml::close(out),
        Framing::Ser => ser::close(out),
        Framing::JsonArray
        | Framing::JsonLines
        | Framing::EventStream
        | Framing::UnnamedStream
        | Framing::Object
        | Framing::Message
        | Framing::MessageDeflate => json::close(out),
    }
    info
}

/// Appends what stands before the shared part: the beginning of the event and the fields that only this session gets.
///
/// `first` says that no event was written to this answer before; `shared_fields` is [`SharedInfo::fields`] of the
/// shared part. The names in `personal` are the server's own: XML names, each once.
pub fn personal_part(framing: Framing, first: bool, shared_fields: u32, personal: &[(&str, &str)], out: &mut Vec<u8>) {
    match framing {
        Framing::Js => js::open(out),
        Framing::Xml | Framing::XmlJava | Framing::XmlStrict => xml::open(out),
        Framing::Ser => {
            let own = u32::try_from(personal.len()).unwrap_or(u32::MAX);
            ser::open(first, shared_fields.saturating_add(own), out);
        }
        Framing::JsonArray => {
            if !first {
                out.push(b',');
            }
            json::open(out);
        }
        Framing::JsonLines
        | Framing::EventStream
        | Framing::UnnamedStream
        | Framing::Object
        | Framing::Message
        | Framing::MessageDeflate => json::open(out),
    }
    for (at, (name, value)) in personal.iter().enumerate() {
        separate(framing, at == 0, out);
        match framing {
            Framing::JsonArray | Framing::JsonLines => json::own_field(name, value, out),
            _ => field(framing, name, value, out),
        }
    }
    if shared_fields > 0 {
        separate(framing, personal.is_empty(), out);
    }
}

/// What one session alone gets of an event on a stream or in a list.
#[derive(Clone, Copy, Debug)]
pub struct Numbered<'a> {
    /// `p_seq` (P-14).
    pub seq: u64,
    /// `p_sid`: the subscription that it matched (P-20).
    pub sid: Option<&'a str>,
    /// `p_label`: what the subscriber called that.
    pub label: Option<&'a str>,
    /// `p_lost`, unless it is 0 (P-30).
    pub lost: u64,
}

/// What stands around the number and the id of the subscription, neither of which needs an escape.
struct Around {
    seq: &'static [u8],
    sid: &'static [u8],
    end: &'static [u8],
}

const AROUND_JS: Around =
    Around { seq: br#"<script language="JavaScript">parent.push('p_seq', ""#, sid: br#"",'p_sid', ""#, end: br#"""# };
const AROUND_XML: Around = Around { seq: br#"<event p_seq=""#, sid: br#"" p_sid=""#, end: br#"" "# };
const AROUND_JSON: Around = Around { seq: br#"{"p_seq":""#, sid: br#"","p_sid":""#, end: br#"""# };

/// The same as [`personal_part`] with these fields in their order. Every delivery writes one, so it is quicker.
pub fn numbered_part(framing: Framing, first: bool, shared_fields: u32, personal: &Numbered<'_>, out: &mut Vec<u8>) {
    let (mut seq, mut lost) = (itoa::Buffer::new(), itoa::Buffer::new());
    let seq = seq.format(personal.seq);
    let rest = [("p_label", personal.label), ("p_lost", (personal.lost > 0).then(|| lost.format(personal.lost)))];
    let rest = rest.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let around = match framing {
        Framing::Js => AROUND_JS,
        Framing::Xml | Framing::XmlJava | Framing::XmlStrict => AROUND_XML,
        Framing::JsonArray | Framing::JsonLines => AROUND_JSON,
        _ => {
            let (mut all, mut used) = ([("p_seq", seq); 4], 1);
            for field in personal.sid.map(|sid| ("p_sid", sid)).into_iter().chain(rest) {
                all[used] = field;
                used += 1;
            }
            return personal_part(framing, first, shared_fields, &all[..used], out);
        }
    };
    if framing == Framing::JsonArray && !first {
        out.push(b',');
    }
    out.extend_from_slice(around.seq);
    out.extend_from_slice(seq.as_bytes());
    if let Some(sid) = personal.sid {
        out.extend_from_slice(around.sid);
        out.extend_from_slice(sid.as_bytes());
    }
    out.extend_from_slice(around.end);
    for (name, value) in rest {
        separate(framing, false, out);
        field(framing, name, value, out);
    }
    if shared_fields > 0 {
        separate(framing, false, out);
    }
}

/// Appends a whole event that is for one session only: an ack, a nack, a heartbeat, an abort. See [`shared_part`] for
/// what is dropped.
pub fn event<'a>(
    framing: Framing,
    first: bool,
    fields: impl Iterator<Item = (&'a str, &'a str)>,
    out: &mut Vec<u8>,
) -> SharedInfo {
    let mut shared = Vec::with_capacity(256);
    let info = shared_part(framing, fields, &mut shared);
    personal_part(framing, first, info.fields, &[], out);
    out.append(&mut shared);
    info
}

/// Appends the order to come again after `wait_ms` milliseconds at `url` (P-15 to P-17). `p_time` is in seconds since
/// 1970.
///
/// In `js` it is a script that reloads the frame; its page is ended by [`epilogue`], which every answer with a refresh
/// needs behind it. In all other framings it is an event.
pub fn refresh(framing: Framing, first: bool, url: &str, wait_ms: u32, p_time: u64, out: &mut Vec<u8>) {
    if framing == Framing::Js {
        js::refresh(url, wait_ms, out);
        return;
    }
    let (mut wait, mut time) = (itoa::Buffer::new(), itoa::Buffer::new());
    let fields =
        [("p_event", "refresh"), ("p_time", time.format(p_time)), ("p_wait", wait.format(wait_ms)), ("p_url", url)];
    event(framing, first, fields.into_iter(), out);
}

/// Appends what an answer begins with.
pub fn prologue(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Js => js::prologue(out),
        Framing::XmlStrict => xml::prologue(out),
        Framing::Ser => ser::prologue(out),
        Framing::JsonArray => out.push(b'['),
        Framing::Xml
        | Framing::XmlJava
        | Framing::JsonLines
        | Framing::EventStream
        | Framing::UnnamedStream
        | Framing::Object
        | Framing::Message
        | Framing::MessageDeflate => {}
    }
}

/// Appends what a data answer ends with when it ends orderly (P-14).
pub fn epilogue(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::Js => js::epilogue(out),
        _ => control_epilogue(framing, out),
    }
}

/// Appends what a control answer ends with. In `js` that is nothing: the original's end after their script (P-14).
pub fn control_epilogue(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::XmlStrict => xml::epilogue(out),
        Framing::JsonArray => out.push(b']'),
        Framing::Js
        | Framing::Xml
        | Framing::XmlJava
        | Framing::Ser
        | Framing::JsonLines
        | Framing::EventStream
        | Framing::UnnamedStream
        | Framing::Object
        | Framing::Message
        | Framing::MessageDeflate => {}
    }
}

/// The media type of an answer (P-9, P-12, P-33). JSON is UTF-8 by its own standard and has no such parameter.
#[must_use]
pub const fn content_type(framing: Framing) -> &'static str {
    match framing {
        Framing::Js => "text/html;charset=UTF-8",
        Framing::Xml | Framing::XmlJava => "text/plain;charset=UTF-8",
        Framing::XmlStrict => "text/xml;charset=UTF-8",
        Framing::Ser => "application/x-java-serialized-object",
        Framing::JsonArray | Framing::Object | Framing::Message | Framing::MessageDeflate => "application/json",
        Framing::EventStream | Framing::UnnamedStream => "text/event-stream",
        Framing::JsonLines => "application/x-ndjson",
    }
}

/// P-11: XML has no way to say most names.
fn can_say(framing: Framing, name: &str) -> bool {
    match framing {
        Framing::Xml | Framing::XmlJava | Framing::XmlStrict => xml::is_attribute_name(name),
        _ => true,
    }
}

fn separate(framing: Framing, first: bool, out: &mut Vec<u8>) {
    if !first && !matches!(framing, Framing::Xml | Framing::XmlJava | Framing::XmlStrict | Framing::Ser) {
        out.push(b',');
    }
}

fn field(framing: Framing, name: &str, value: &str, out: &mut Vec<u8>) {
    match framing {
        Framing::Js => js::field(name, value, out),
        Framing::Xml | Framing::XmlStrict => xml::field(name, value, out),
        Framing::XmlJava => xml::field_java(name, value, out),
        Framing::Ser => ser::field(name, value, out),
        Framing::JsonArray
        | Framing::JsonLines
        | Framing::EventStream
        | Framing::UnnamedStream
        | Framing::Object
        | Framing::Message
        | Framing::MessageDeflate => {
            json::field(name, value, out);
        }
    }
}

/// Few events have more fields than this.
const USUAL_FIELDS: usize = 16;

/// The names written so far. A name that repeats would make XML malformed and let the last one win elsewhere.
///
/// Invariant: ascending, so that a lookup takes few steps whatever the publisher thought of.
struct Names<'a>(Vec<&'a str>);

impl<'a> Names<'a> {
    /// Notes `name` and says whether it is new.
    fn insert(&mut self, name: &'a str) -> bool {
        let place = self.0.binary_search(&name);
        if let Err(at) = place {
            self.0.insert(at, name);
        }
        place.is_err()
    }
}
