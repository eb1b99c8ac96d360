//! JSON texts of publishers: checked, and written as short as they can be.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::limits::{FIELDS_MAX, JSON_DEPTH_MAX};
use crate::protocol::{Fields, Payload, is_reserved};
use crate::wire::quoted::string;

/// Appends names and values as an object of strings. The first of a repeated name counts (rule P-2).
pub(super) fn object_of_fields(fields: &Fields, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut names: Vec<&str> = Vec::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        let Err(place) = names.binary_search(&name) else { continue };
        if !names.is_empty() {
            out.push(b',');
        }
        names.insert(place, name);
        string(name, out);
        out.push(b':');
        string(value, out);
    }
    out.push(b'}');
}

/// Why a JSON text is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JsonProblem {
    /// It is not JSON.
    NotJson(String),
    /// Its arrays and objects stand in each other too deeply.
    TooDeep,
    /// A string holds one half of a character.
    HalfCharacter,
}

/// What a JSON text says as a payload: an object of strings is a list of fields, so that doors that know nothing else tell it as well as it can
/// be told; anything else stays JSON.
pub(super) fn payload(text: &str) -> Result<Payload, JsonProblem> {
    // Deeper ones are told first: what reads them here goes as deep as they do.
    let compact = compact(text)?;
    if compact.starts_with('{')
        && let Ok(Strings(fields)) = serde_json::from_str(&compact)
    {
        return Ok(Payload::Fields(fields));
    }
    serde_json::from_str::<IgnoredAny>(&compact).map_err(|error| JsonProblem::NotJson(error.to_string()))?;
    if has_half_character(&compact) {
        return Err(JsonProblem::HalfCharacter);
    }
    Ok(Payload::Json(compact.into()))
}

/// The text without the white space between its tokens. Numbers and strings stay as they were written.
fn compact(text: &str) -> Result<String, JsonProblem> {
    let mut out = Vec::with_capacity(text.len());
    let (mut depth, mut within, mut escaped, mut gap) = (0_usize, false, false, false);
    for byte in text.bytes() {
        if within {
            within = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            out.push(byte);
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                gap = true;
                continue;
            }
            b'"' => within = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(JsonProblem::TooDeep);
        }
        if std::mem::take(&mut gap) && sticks(byte) && out.last().copied().is_some_and(sticks) {
            // Two tokens that only white space parts are an error, and must not become one token.
            out.push(b' ');
        }
        out.push(byte);
    }
    // Only whole ASCII bytes were left out.
    String::from_utf8(out).map_err(|error| JsonProblem::NotJson(error.to_string()))
}

/// Whether a JSON text escapes a surrogate without its other half (RFC 8259 section 8.2): most readers in other languages stop at it.
fn has_half_character(json: &str) -> bool {
    let unit = |at: usize| -> Option<u16> {
        let digits = json.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    // A backslash stands in strings only.
    while let Some(found) = json.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => return true,
            (Some(_), _) => 6,
            (None, _) => 2,
        };
    }
    false
}

/// Whether two such bytes side by side would read as one number or word.
const fn sticks(byte: u8) -> bool {
    !matches!(byte, b'[' | b']' | b'{' | b'}' | b',' | b':')
}

/// Room for most objects, in bytes of their text.
const OBJECT_BYTES: usize = 128;

/// An object whose members are all strings with names that a publisher may use, each once.
struct Strings(Fields);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Strings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strings, A::Error> {
                let no_fields = <A::Error as serde::de::Error>::custom;
                let mut fields = Fields::with_room(OBJECT_BYTES);
                while let Some((name, value)) = members.next_entry::<Cow<'de, str>, Text<'de>>()? {
                    if name.is_empty() || is_reserved(&name) || fields.len() == FIELDS_MAX {
                        return Err(no_fields("not a field"));
                    }
                    if !fields.add_first(&name, &value.0) {
                        return Err(no_fields("a name twice"));
                    }
                }
                Ok(Strings(fields))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A text, borrowed where it can be.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            ".{0,12}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
                proptest::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever white space a publisher likes: the value stays, and no line end is left.
        #[test]
        fn the_value_survives_compaction(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).expect("JSON");
            let compact = compact(&pretty.replace('\n', "\r\n")).expect("shallow");
            prop_assert_eq!(&compact, &serde_json::to_string(&value).expect("JSON"));
        }

        /// White space never makes JSON of what is none.
        #[test]
        fn compaction_neither_mends_nor_breaks(text in "[0-9a-z\\[\\]{},:\" \t\r\n.-]{0,24}") {
            let before = serde_json::from_str::<serde_json::Value>(&text);
            let after = serde_json::from_str::<serde_json::Value>(&compact(&text).expect("shallow"));
            prop_assert_eq!(before.ok(), after.ok());
        }
    }

    #[test]
    fn objects_of_strings_are_fields() {
        let fields = |text| match payload(text) {
            Ok(Payload::Fields(fields)) => Some(fields.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>()),
            _ => None,
        };
        assert_eq!(fields(r#"{"a":"1","b":"\u4e2d"}"#), Some(vec!["a=1".to_owned(), "b=\u{4e2d}".to_owned()]));
        assert_eq!(fields("{ }"), Some(Vec::new()));
        for other in [
            r#"{"a":1}"#,
            r#"{"a":"1","a":"2"}"#,
            r#"{"":"1"}"#,
            r#"{"p_from":"me"}"#,
            r#"{"a":null}"#,
            r#"["a"]"#,
            r#""a""#,
        ] {
            assert_eq!(payload(other), Ok(Payload::Json(other.into())), "{other}");
        }
    }

    #[test]
    fn half_characters_are_refused() {
        for bad in [r#"["\ud800"]"#, r#"["\udc00"]"#, r#"["\ud800\u0041"]"#, r#"{"\ud83d":1}"#, r#"["\ud83dx"]"#] {
            assert_eq!(payload(bad), Err(JsonProblem::HalfCharacter), "{bad}");
        }
        for good in [r#"["\ud83d\ude00"]"#, r#"["\\ud800"]"#, r#"["\u0041\"\\"]"#] {
            assert_eq!(payload(good), Ok(Payload::Json(good.into())), "{good}");
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let number = "[1.0, 1e400, 123456789012345678901234567890]";
        assert_eq!(payload(number), Ok(Payload::Json("[1.0,1e400,123456789012345678901234567890]".into())));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        for text in ["", "{", "1 2", "tru e", "[1,]", "{\"a\" 1}", "nul", "\u{feff}1", "'a'", "1 \n 2"] {
            assert!(matches!(payload(text), Err(JsonProblem::NotJson(_))), "{text:?}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(payload(&nested(JSON_DEPTH_MAX)).is_ok());
        assert_eq!(payload(&nested(JSON_DEPTH_MAX + 1)), Err(JsonProblem::TooDeep));
    }
}
