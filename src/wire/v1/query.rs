//! Parameters of a query or a form, in the order in which they come, each decoded strictly.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::limits::FIELDS_MAX;
use crate::protocol::Problem;

/// `name=value` pairs between `&`: `+` is a blank, `%xx` a byte of UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query (without its `?`) or a form. A pair without `=` has an empty value; an empty one is skipped.
    ///
    /// # Errors
    ///
    /// A 400 if there are more than [`FIELDS_MAX`] pairs or if one is not UTF-8.
    pub fn read(text: &[u8]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == FIELDS_MAX {
                let detail = format!("There are more than {FIELDS_MAX} parameters.");
                return Err(Problem::new(400, detail).limit(FIELDS_MAX));
            }
            let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of the first pair of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The values of all pairs of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// The value of the first parameter of this name in a query, decoded; nothing is said of the others.
#[must_use]
pub fn first(query: &[u8], name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query);
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn decode(text: &[u8]) -> Result<String, Problem> {
    let plus: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<u8>>().into()
    } else {
        text.into()
    };
    match percent_decode(&plus).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Problem::new(400, "A parameter is not UTF-8.")),
    }
}
