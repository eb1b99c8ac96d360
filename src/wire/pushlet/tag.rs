//! The one-tag XML that Pushlet clients post (rule P-3): more lenient than XML, and without any of its dangers (no
//! document type, no entity of anybody's own, no nesting).
//!
//! Every byte is looked at a fixed number of times.

use std::borrow::Cow;

use crate::protocol::Fields;

use super::request::{Collector, RequestError, error_text};
use super::xml::is_forbidden;

/// The longest number of a character, from behind `&` to `;`, in bytes. What is longer is no entity.
const ENTITY_BYTES_MAX: usize = 12;

/// Reads the fields of `text`, whose first byte is `<`.
pub(super) fn fields(text: &str) -> Result<Fields, RequestError> {
    let mut reader = Reader { rest: text };
    reader.skip_declaration_and_comments()?;
    let element = reader.element_name()?;
    let mut collector = Collector::default();
    loop {
        reader.skip_blanks();
        if reader.skip("/>") {
            return Ok(collector.into_fields());
        }
        if reader.skip(">") {
            reader.end_tag(element)?;
            return Ok(collector.into_fields());
        }
        let (name, value) = reader.attribute()?;
        collector.add(name, &value)?;
    }
}

fn unreadable(what: &str) -> RequestError {
    RequestError::new(format!("Unreadable XML body: {what}"))
}

fn unreadable_attribute(what: &str, name: &str) -> RequestError {
    RequestError::new(error_text(&format!("Unreadable XML body: {what} attribute "), name))
}

/// What is still to be read.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Takes `token` if it comes next.
    fn skip(&mut self, token: &str) -> bool {
        let behind = self.rest.strip_prefix(token);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Takes everything through `token`.
    fn skip_through(&mut self, token: &str, what: &str) -> Result<(), RequestError> {
        let (_, behind) = self.rest.split_once(token).ok_or_else(|| unreadable(what))?;
        self.rest = behind;
        Ok(())
    }

    /// Takes what comes before the first of `ends`, perhaps nothing.
    fn take_until(&mut self, ends: &[char]) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn skip_declaration_and_comments(&mut self) -> Result<(), RequestError> {
        loop {
            self.skip_blanks();
            if self.skip("<?") {
                self.skip_through("?>", "a declaration does not end")?;
            } else if self.skip("<!--") {
                self.skip_through("-->", "a comment does not end")?;
            } else if self.rest.starts_with("<!") {
                return Err(unreadable("only a declaration and comments may stand before the element"));
            } else {
                return Ok(());
            }
        }
    }

    fn element_name(&mut self) -> Result<&'a str, RequestError> {
        let name = if self.skip("<") { self.take_until(&['/', '>', '<', ' ', '\t', '\r', '\n']) } else { "" };
        if name.is_empty() { Err(unreadable("no element")) } else { Ok(name) }
    }

    /// P-3: `name="value"` or `name='value'`.
    fn attribute(&mut self) -> Result<(&'a str, Cow<'a, str>), RequestError> {
        let name = self.take_until(&['=', '>', '<', '"', '\'', ' ', '\t', '\r', '\n']);
        if name.is_empty() {
            return Err(unreadable(if self.rest.is_empty() {
                "the element does not end"
            } else {
                "no attribute name"
            }));
        }
        self.skip_blanks();
        if !self.skip("=") {
            return Err(unreadable_attribute("no value for", name));
        }
        self.skip_blanks();
        let quote = match self.rest.as_bytes().first() {
            Some(b'"') => '"',
            Some(b'\'') => '\'',
            _ => return Err(unreadable_attribute("no quotes around the value of", name)),
        };
        self.rest = &self.rest[1..];
        let value = self.value(quote).ok_or_else(|| unreadable_attribute("no end of the value of", name))?;
        Ok((name, value))
    }

    /// Takes a value and the quote behind it; `None` if there is no such quote.
    fn value(&mut self, quote: char) -> Option<Cow<'a, str>> {
        let mut value = Cow::Borrowed("");
        loop {
            let at = self.rest.find([quote, '\\', '&'])?;
            value += &self.rest[..at];
            let special = self.rest.as_bytes()[at];
            self.rest = &self.rest[at + 1..];
            match special {
                b'\\' => value.to_mut().push(self.escaped()),
                b'&' => value.to_mut().push(self.entity()),
                _ => return Some(value),
            }
        }
    }

    /// What a backslash and the next character mean: that character if it is a quote or a backslash, else the backslash
    /// itself. (The original swallows every backslash. Here a Windows path written by somebody who knows XML survives.)
    fn escaped(&mut self) -> char {
        let next = self.rest.chars().next().filter(|next| matches!(next, '"' | '\'' | '\\'));
        self.rest = &self.rest[usize::from(next.is_some())..];
        next.unwrap_or('\\')
    }

    /// What `&` and what follows mean: a character, or the `&` itself.
    fn entity(&mut self) -> char {
        let bytes = self.rest.as_bytes();
        let end = bytes.iter().take(ENTITY_BYTES_MAX).position(|byte| *byte == b';');
        let Some((end, letter)) = end.and_then(|end| Some((end, entity(&self.rest[..end])?))) else { return '&' };
        self.rest = &self.rest[end + 1..];
        letter
    }

    /// The end tag of an element that must be empty.
    fn end_tag(&mut self, element: &str) -> Result<(), RequestError> {
        loop {
            self.skip_blanks();
            if !self.skip("<!--") {
                break;
            }
            self.skip_through("-->", "a comment does not end")?;
        }
        let ends = self.skip("</") && self.skip(element) && {
            self.skip_blanks();
            self.skip(">")
        };
        if ends { Ok(()) } else { Err(unreadable("the element is not empty or has no end tag")) }
    }
}

/// The character that an entity of this name stands for.
fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
            // The standard reader would take a sign.
            let code =
                digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, radix));
            char::from_u32(code?.ok()?).filter(|letter| !is_forbidden(*letter))
        }
    }
}
