//! The name of what an event is about, and the comma lists that clients subscribe with.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::limits::{SUBJECT_BYTES_MAX, SUBSCRIPTIONS_MAX};

/// What an event is about: 1 to [`SUBJECT_BYTES_MAX`] bytes of UTF-8, any characters. Shared, so that queues can hold it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(Arc<str>);

/// Why a text is no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectError {
    /// Nothing is named.
    Empty,
    /// Longer than [`SUBJECT_BYTES_MAX`] bytes.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty subject"),
            Self::TooLong { bytes } => write!(f, "subject of {bytes} bytes, at most {SUBJECT_BYTES_MAX} are allowed"),
        }
    }
}

impl std::error::Error for SubjectError {}

impl Subject {
    /// Takes `text` as a subject.
    ///
    /// # Errors
    ///
    /// [`SubjectError`] if it is empty or too long.
    pub fn new(text: &str) -> Result<Self, SubjectError> {
        check(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The subject's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject's bytes, which prefixes are compared with.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn check(text: &str) -> Result<(), SubjectError> {
    match text.len() {
        0 => Err(SubjectError::Empty),
        bytes if bytes > SUBJECT_BYTES_MAX => Err(SubjectError::TooLong { bytes }),
        _ => Ok(()),
    }
}

/// P-19: where in a comma list its prefixes stand: items trimmed of white space, empty items ignored, repeated items once. Of a list with
/// more than [`SUBSCRIPTIONS_MAX`] items it tells one more than that and looks no further.
///
/// # Errors
///
/// [`SubjectError::Empty`] if no item is left, [`SubjectError::TooLong`] if one is longer than a subject can be, or if the list is longer
/// than that many subjects could make it (it is kept as it came, so blanks cost memory).
pub fn prefixes(list: &str) -> Result<Vec<Range<usize>>, SubjectError> {
    items(list, check)
}

/// P-19: the same for items of which `check` says what is wrong with them.
pub(super) fn items<E: From<SubjectError>>(
    list: &str,
    check: impl Fn(&str) -> Result<(), E>,
) -> Result<Vec<Range<usize>>, E> {
    // Longer than the most that a session may have: not worth a look, and looking costs more than the list's length.
    if list.len() > SUBSCRIPTIONS_MAX * (SUBJECT_BYTES_MAX + 2) {
        return Err(SubjectError::TooLong { bytes: list.len() }.into());
    }
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for piece in list.split(',') {
        let item = piece.trim();
        if !item.is_empty() {
            check(item)?;
            let at = start + (piece.len() - piece.trim_start().len());
            if !found.iter().any(|known| &list[known.clone()] == item) {
                found.push(at..at + item.len());
            }
            if found.len() > SUBSCRIPTIONS_MAX {
                // Too many, however many more there are: whoever files them says so.
                break;
            }
        }
        start += piece.len() + 1;
    }
    match found.len() {
        0 => Err(SubjectError::Empty.into()),
        items if list.len() > items * (SUBJECT_BYTES_MAX + 2) => {
            Err(SubjectError::TooLong { bytes: list.len() }.into())
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        prefixes(list).expect("a good list").into_iter().map(|at| list[at].to_owned()).collect()
    }

    /// P-19: the table of comma lists.
    #[test]
    fn comma_lists_are_trimmed_and_empty_items_ignored() {
        assert_eq!(names("/a"), ["/a"]);
        assert_eq!(names("/m/x,/m/y, /m/z"), ["/m/x", "/m/y", "/m/z"]);
        assert_eq!(names(",/q"), ["/q"]);
        assert_eq!(names("/a,,/b,"), ["/a", "/b"]);
        assert_eq!(names("/a,/a"), ["/a"]);
        assert_eq!(names(" x "), ["x"]);
    }

    /// P-19: a list with no item left is refused, so it can never come to mean *everything*.
    #[test]
    fn a_list_without_items_is_refused() {
        for list in ["", ",", " , ,", "\t"] {
            assert_eq!(prefixes(list), Err(SubjectError::Empty), "{list:?}");
        }
    }

    /// The work is bounded by what a session may have, not by what a request can hold.
    #[test]
    fn a_list_that_is_too_much_is_not_read_to_its_end() {
        let many: String = (0..20_000).map(|item| format!("{item},")).collect();
        assert_eq!(prefixes(&many), Err(SubjectError::TooLong { bytes: many.len() }));
        let more: String = (0..2_000).map(|item| format!("{item},")).collect();
        assert_eq!(prefixes(&more).expect("items").len(), SUBSCRIPTIONS_MAX + 1);
    }

    #[test]
    fn the_bound_on_length_is_in_bytes() {
        let fits = "中".repeat(85);
        assert_eq!(Subject::new(&fits).expect("255 bytes").as_bytes().len(), 255);
        assert_eq!(Subject::new(&"中".repeat(86)), Err(SubjectError::TooLong { bytes: 258 }));
        assert_eq!(Subject::new(""), Err(SubjectError::Empty));
        assert!(prefixes(&format!("/a,{}", "b".repeat(257))).is_err());
        assert_eq!(prefixes(&format!("/a{}", ",".repeat(300))), Err(SubjectError::TooLong { bytes: 302 }));
    }
}
