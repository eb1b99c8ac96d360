//! Which subjects a rule is for, until `topic` has patterns of its own.

/// A pattern of subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let segments: Vec<&str> = text.split('/').collect();
        let inside = |segment: &&str| segment.contains('*') && !matches!(*segment, "*" | "**");
        if text.is_empty() || segments.iter().any(|segment| inside(segment)) {
            return Err("a * within a segment");
        }
        if segments.split_last().is_some_and(|(_, before)| before.contains(&"**")) {
            return Err("** before the end");
        }
        Ok(Self(Box::from(text)))
    }

    /// The pattern's text, as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `subject` is one of them.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        if self.0.starts_with('*') && subject.starts_with('$') {
            return false;
        }
        let mut segments = subject.split('/');
        for wanted in self.0.split('/') {
            match (wanted, segments.next()) {
                (_, None) | ("*", Some("")) => return false,
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}
