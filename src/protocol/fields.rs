//! The flat list of names and values that every Pushlet event is.

use std::fmt;

/// P-21: names that are the server's; a publisher's fields of these names are left out. (`p_subject` is told from the event itself.)
/// `p_key` is a secret of its publisher.
pub const RESERVED_NAMES: [&str; 9] =
    ["p_event", "p_id", "p_sid", "p_seq", "p_from", "p_label", "p_lost", "p_subject", "p_key"];

/// P-21: whether a field's name is the server's, so that no publisher can set it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED_NAMES.contains(&name)
}

/// Names and values in the order they came. A name may repeat; the first one counts (rule P-2).
///
/// All text stands in one row: a request of many fields costs two pieces of memory, as one of few does.
#[derive(Clone, Default)]
pub struct Fields {
    text: String,
    spans: Vec<Span>,
}

/// Where a field stands: its name, and directly behind it its value.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    value: u32,
    end: u32,
}

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: String::new(), spans: Vec::new() }
    }

    /// No fields, and room for so many bytes of names and values.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), spans: Vec::new() }
    }

    /// The value of the first field called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Adds a field unless one of that name is there already (P-2: the first wins). Says whether it was added.
    pub fn add_first(&mut self, name: &str, value: &str) -> bool {
        let new = self.get(name).is_none();
        if new {
            self.push(name, value);
        }
        new
    }

    /// Adds a field without looking at the others.
    ///
    /// # Panics
    ///
    /// If there are more than 4 GiB of them: no request is a thousandth of that.
    pub fn push(&mut self, name: &str, value: &str) {
        let place = |text: &String| u32::try_from(text.len()).expect("requests have a bound far below this");
        let start = place(&self.text);
        self.text.push_str(name);
        let middle = place(&self.text);
        self.text.push_str(value);
        self.spans.push(Span { start, value: middle, end: place(&self.text) });
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|span| {
            let (name, value) = (span.start as usize..span.value as usize, span.value as usize..span.end as usize);
            (&self.text[name], &self.text[value])
        })
    }

    /// Keeps the fields whose names `keep` wants. Nothing goes with them of the others, which may be secret, and no room either.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        if self.iter().all(|(name, _)| keep(name)) {
            return;
        }
        let wanted = self.iter().filter(|(name, _)| keep(name)).map(|(name, value)| name.len() + value.len());
        let mut kept = Self::with_room(wanted.sum());
        self.iter().filter(|(name, _)| keep(name)).for_each(|(name, value)| kept.push(name, value));
        *self = kept;
    }

    /// Bytes of their text that are held, room for more included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.capacity()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut fields = Self::new();
        pairs.into_iter().for_each(|(name, value)| fields.push(name, value));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P-2: the first of a repeated name wins.
    #[test]
    fn the_first_of_a_repeated_name_wins() {
        let mut fields = Fields::new();
        assert!(fields.add_first("a", "1"));
        assert!(!fields.add_first("a", "2"));
        assert_eq!((fields.get("a"), fields.len()), (Some("1"), 1));
    }

    #[test]
    fn of_those_that_are_not_kept_nothing_is_left() {
        let mut fields: Fields = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        fields.retain(|name| name != "a");
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("b", "2")]);
        assert_eq!((fields.text.as_str(), fields.text.capacity()), ("b2", 2));
        fields.retain(|_| true);
        assert_eq!(fields.len(), 1);
    }

    /// Where the text stands in memory is nobody's business.
    #[test]
    fn equal_fields_are_equal_however_they_came() {
        let one: Fields = [("ab", "c"), ("", "d")].into_iter().collect();
        let mut other = Fields::with_room(100);
        assert!(other.is_empty());
        other.push("ab", "c");
        assert_ne!(one, other);
        other.push("", "d");
        assert_eq!(one, other);
        assert_ne!(one, [("a", "bc"), ("", "d")].into_iter().collect(), "the same text, parted elsewhere");
        assert_eq!(one.iter().collect::<Vec<_>>(), [("ab", "c"), ("", "d")]);
        assert_eq!(format!("{one:?}"), r#"[("ab", "c"), ("", "d")]"#);
    }
}
