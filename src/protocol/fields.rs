//! The flat list of names and values that every Pushlet event is.

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(Box<str>, Box<str>)>);

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of the first field called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
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
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((Box::from(name), Box::from(value)));
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the fields called `name` out and returns the first one's value.
    pub fn take(&mut self, name: &str) -> Option<Box<str>> {
        let mut taken = None;
        self.0.retain_mut(|(known, value)| {
            let keep = &**known != name;
            if !keep && taken.is_none() {
                taken = Some(std::mem::take(value));
            }
            keep
        });
        taken
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
    fn take_removes_every_field_of_the_name() {
        let mut fields: Fields = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        assert_eq!(fields.take("a").as_deref(), Some("1"));
        assert_eq!(fields.iter().collect::<Vec<_>>(), [("b", "2")]);
        assert_eq!(fields.take("a"), None);
    }
}
