//! Bodies of POST requests: one event as a tag, as a JSON object or as a form (rule P-3).

use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::protocol::Fields;

use super::request::{Collector, RequestError, error_text, query_fields};
use super::tag;

/// P-3: the fields of a POST body. What it is tells its first byte that is no white space, not its Content-Type: `<`
/// begins a tag, `{` a flat JSON object, anything else a form. A byte order mark before it is skipped.
///
/// * **Tag**: `<event a="1" b='2' />` or `<event ...></event>` of any name, after an optional XML declaration and
///   comments. In values, `\"`, `\'` and `\\` are the character behind the backslash, before any other character a
///   backslash is a backslash; the five named entities and numbers of characters that XML allows are decoded, every
///   other `&` stays. `<`, `>` and line ends may stand in a value as they are. What follows the tag is ignored.
/// * **JSON**: strings as they are; numbers, `true` and `false` by their JSON text; a member that is `null` counts as
///   absent.
/// * **Form**: as a query ([`query_fields`]).
///
/// # Errors
///
/// [`RequestError`] with the reason if the body is not UTF-8, if it cannot be read, or if it has too many fields.
pub fn post_fields(body: &[u8]) -> Result<Fields, RequestError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        RequestError::new(format!("Unreadable POST body: not UTF-8 at byte {}", error.valid_up_to()))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    match text.as_bytes().first() {
        Some(b'<') => tag::fields(text),
        Some(b'{') => json_fields(text),
        _ => query_fields(text.as_bytes()),
    }
}

fn json_fields(text: &str) -> Result<Fields, RequestError> {
    let mut object = FlatObject::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let outcome = reader.deserialize_map(&mut object).and_then(|()| reader.end());
    match (object.refusal, outcome) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err(RequestError::new(error_text("Unreadable JSON body: ", &error.to_string()))),
        (None, Ok(())) => Ok(object.collector.into_fields()),
    }
}

/// Collects members one by one, so that an object with too many of them is left early.
#[derive(Default)]
struct FlatObject {
    collector: Collector,
    /// Why the object was left, if it was: the reader's own error would lose it.
    refusal: Option<RequestError>,
}

impl<'de> Visitor<'de> for &mut FlatObject {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value::<&'de RawValue>()?.get();
            if let Err(refusal) = self.add(&name, value) {
                self.refusal = Some(refusal);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

impl FlatObject {
    fn add(&mut self, name: &str, json: &str) -> Result<(), RequestError> {
        match json.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(json)
                    .map_err(|_| RequestError::new(error_text("Unreadable JSON body: no text in field ", name)))?;
                self.collector.add(name, &text)
            }
            Some(b'{' | b'[') => {
                Err(RequestError::new(error_text("Unreadable JSON body: an object or array in field ", name)))
            }
            Some(b'n') => Ok(()),
            _ => self.collector.add(name, json),
        }
    }
}

#[cfg(test)]
mod tests;
