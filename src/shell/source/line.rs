//! One line of a program, a file or a page, and the event that it becomes.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::LineFormat;
use crate::limits::FIELDS_MAX;
use crate::shell::embed::Message;

/// The field that names a subject below the source's.
const SUBJECT: &str = "subject";
/// The field that names the one session an event is for (rule P-23).
const TO: &str = "p_to";
/// The field of a line that is neither words nor an object.
const LINE: &str = "line";

/// What a line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    /// The subject, if it is not the source's own.
    pub(super) subject: Option<String>,
    /// The one session it is for.
    pub(super) to: Option<String>,
    /// Names and values; of a repeated name the first is kept (rule P-2).
    pub(super) fields: Vec<(String, String)>,
}

impl Letter {
    fn add(&mut self, name: String, value: String) -> Result<(), String> {
        match name.as_str() {
            SUBJECT if self.subject.is_none() => self.subject = Some(value),
            TO if self.to.is_none() => self.to = Some(value),
            SUBJECT | TO => {}
            "" => return Err("a field without a name".to_owned()),
            _ if self.fields.iter().any(|(known, _)| *known == name) => {}
            _ if self.fields.len() == FIELDS_MAX => return Err(format!("more than {FIELDS_MAX} fields")),
            _ => self.fields.push((name, value)),
        }
        Ok(())
    }

    /// The message of a source with this subject, and the one session it is for.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub(super) fn into_message(self, own: &str) -> Result<(Message, Option<String>), String> {
        let subject = self.subject.as_deref().unwrap_or(own);
        if !subject.starts_with(own) {
            return Err(format!("the subject {subject:?} does not begin with the source's, {own:?}"));
        }
        // As a configured one: nobody could subscribe to it (rule P-19).
        if self.subject.is_some() && (subject.trim() != subject || subject.contains(is_foreign)) {
            return Err(format!("the subject {subject:?} has commas, control characters or blanks at its ends"));
        }
        let mut message = Message::new(subject).map_err(|error| error.to_string())?;
        for (name, value) in &self.fields {
            message = message.field(name, value).map_err(|error| error.to_string())?;
        }
        Ok((message, self.to))
    }
}

/// Reads a line, without its line end. An empty one says nothing.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn parse(format: LineFormat, line: &[u8]) -> Result<Option<Letter>, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to()))?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    let inner = text.trim_matches(is_blank);
    if inner.is_empty() {
        return Ok(None);
    }
    let letter = match format {
        LineFormat::Json => object(inner)?,
        LineFormat::Auto if inner.starts_with('{') => object(inner)?,
        LineFormat::Fields => words(inner)?,
        LineFormat::Auto if begins_like_words(inner) => words(inner).or_else(|_| plain(text))?,
        LineFormat::Auto | LineFormat::Line => plain(text)?,
    };
    Ok(Some(letter))
}

fn is_foreign(letter: char) -> bool {
    letter == ',' || letter.is_control()
}

const fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

fn plain(text: &str) -> Result<Letter, String> {
    let mut letter = Letter::default();
    letter.add(LINE.to_owned(), text.to_owned())?;
    Ok(letter)
}

/// Whether the first word has a name in front of a `=`: letters, digits, `_`, `-`, `.` and `:`, the first of them no digit. A sentence or a
/// URL has not.
fn begins_like_words(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| is_plain_name(name))
}

fn is_plain_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|letter| letter.is_alphabetic() || letter == '_');
    first && name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ':'))
}

/// `name=value` words as a shell reads them.
fn words(text: &str) -> Result<Letter, String> {
    let mut letter = Letter::default();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter| is_blank(letter) || letter == '=').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let Some(behind) = behind.strip_prefix('=').filter(|_| is_plain_name(name)) else {
            return Err(format!("{:?} is not name=value", name.chars().take(40).collect::<String>()));
        };
        let (value, behind) = value(behind)?;
        letter.add(name.to_owned(), value)?;
        rest = behind.trim_start_matches(is_blank);
    }
    Ok(letter)
}

/// A value to the next blank that is not quoted, and what is behind it.
///
/// In single quotes everything stands for itself. In double quotes `\n`, `\r`, `\t` and `\u{...}` are characters, and a backslash takes the
/// next `"`, `\`, `$` or backtick as it is; before any other character it is a backslash. Outside of quotes it takes any character as it is.
fn value(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            blank if is_blank(blank) => break,
            '\'' => {
                let (inner, behind) = rest[1..].split_once('\'').ok_or("a quote is not closed")?;
                value.push_str(inner);
                behind
            }
            '"' => double_quoted(&rest[1..], &mut value)?,
            '\\' => {
                let next = rest[1..].chars().next().ok_or("a backslash at the end")?;
                value.push(next);
                &rest[1 + next.len_utf8()..]
            }
            other => {
                value.push(other);
                &rest[other.len_utf8()..]
            }
        };
    }
    Ok((value, rest))
}

/// Reads to the closing quote and returns what is behind it.
fn double_quoted<'a>(text: &'a str, value: &mut String) -> Result<&'a str, String> {
    const OPEN: &str = "a quote is not closed";
    let mut rest = text;
    loop {
        let first = rest.chars().next().ok_or(OPEN)?;
        rest = &rest[first.len_utf8()..];
        if first == '"' {
            return Ok(rest);
        }
        if first != '\\' {
            value.push(first);
            continue;
        }
        let escape = rest.chars().next().ok_or(OPEN)?;
        let behind = &rest[escape.len_utf8()..];
        match escape {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            '"' | '\\' | '$' | '`' => value.push(escape),
            'u' => {
                let code = behind.strip_prefix('{').and_then(|behind| behind.split_once('}'));
                // `from_str_radix` takes a sign.
                let code = code.filter(|(code, _)| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let (letter, behind) = code
                    .and_then(|(code, behind)| Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, behind)))
                    .ok_or("\\u{...} is not a character")?;
                value.push(letter);
                rest = behind;
                continue;
            }
            other => value.extend(['\\', other]),
        }
        rest = behind;
    }
}

/// The members of a JSON object: texts as they are, everything else as its JSON text; a member that is `null` counts as absent (as in rule P-3).
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn object(text: &str) -> Result<Letter, String> {
    let mut members = Members::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    match reader.deserialize_map(&mut members).and_then(|()| reader.end()) {
        Ok(()) => Ok(members.letter),
        Err(error) => Err(members.refusal.unwrap_or_else(|| format!("no JSON object: {error}"))),
    }
}

/// Collects members one by one, so that an object with too many of them is left early.
#[derive(Default)]
struct Members {
    letter: Letter,
    /// Why the object was left, if it was.
    refusal: Option<String>,
}

impl<'de> Visitor<'de> for &mut Members {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let json = members.next_value::<&'de RawValue>()?.get();
            let value = match json.as_bytes().first() {
                Some(b'n') => continue,
                Some(b'"') => serde_json::from_str(json).map_err(A::Error::custom)?,
                _ => json.to_owned(),
            };
            if let Err(refusal) = self.letter.add(name, value) {
                self.refusal = Some(refusal);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
