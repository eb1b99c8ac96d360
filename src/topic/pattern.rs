//! Patterns: exact subjects and wildcards, which the modern doors subscribe with. The Pushlet door keeps byte prefixes (P-19).
//!
//! A subject is segments with `/` between them; `/a/b` has the segments ``, `a` and `b`. In a pattern `*` as a whole segment stands for
//! exactly one segment that is not empty, and `**` as the whole last segment for the rest: one segment or more, whatever they are. A
//! pattern without them is an exact subject. A pattern that begins with a wildcard matches no subject that begins with `$`: what the
//! server says of itself is heard by those who name it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::SubjectError;
use super::subject::{check, items};
use crate::limits::PATTERN_STARS_MAX;

/// Stands for one segment that is not empty.
const ONE: &str = "*";
/// Stands for the rest.
const REST: &str = "**";

/// Why a text is no pattern. Segments are counted from 1, as people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It is longer than a subject can be, or there is none.
    Subject(SubjectError),
    /// A `*` stands beside other characters in its segment.
    StarInSegment {
        /// Which segment.
        segment: usize,
    },
    /// A `**` that something follows.
    RestBeforeEnd {
        /// Which segment.
        segment: usize,
    },
    /// More than [`PATTERN_STARS_MAX`] segments are `*`.
    TooManyStars {
        /// How many are.
        stars: usize,
    },
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(error) => error.fmt(f),
            Self::StarInSegment { segment } => {
                write!(
                    f,
                    "segment {segment}: a wildcard stands alone between slashes, * for one segment or ** for the rest"
                )
            }
            Self::RestBeforeEnd { segment } => {
                write!(f, "segment {segment}: ** stands for the rest, so nothing may follow it; use * for one segment")
            }
            Self::TooManyStars { stars } => {
                write!(f, "{stars} segments are *, at most {PATTERN_STARS_MAX} are allowed")
            }
        }
    }
}

impl std::error::Error for PatternError {}

impl From<SubjectError> for PatternError {
    fn from(error: SubjectError) -> Self {
        Self::Subject(error)
    }
}

/// What a subject is to look like: 1 to [`SUBJECT_BYTES_MAX`] bytes of UTF-8. Shared, so that it can be kept in more than one table.
///
/// [`SUBJECT_BYTES_MAX`]: crate::limits::SUBJECT_BYTES_MAX
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Takes `text` as a pattern.
    ///
    /// # Errors
    ///
    /// [`PatternError`] if it is none.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        check_pattern(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// The pattern's text, as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one subject and no other: it has no wildcard.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        is_exact(&self.0)
    }

    /// Whether every subject that `other` matches is matched by this one as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (own, others) = (self.as_str(), other.as_str());
        if own.starts_with('*') && others.starts_with('$') {
            return false;
        }
        let (mut own, mut others) = (own.split('/'), others.split('/'));
        loop {
            match (own.next(), others.next()) {
                (Some("**"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(segment)) if segment != "**" && !segment.is_empty() => {}
                (Some(literal), Some(segment)) if literal == segment && literal != "*" => {}
                _ => return false,
            }
        }
    }

    /// Whether `subject` is what it is to look like. One pass over both, and nothing is allocated. An empty text is no subject; it is
    /// matched by nothing.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        pattern_matches(&self.0, subject)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// In which of the two ways a text is compared with subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// P-19: the subject begins with it, byte for byte. What the Pushlet door takes.
    Prefix,
    /// A [`Pattern`]. What the modern doors take.
    Pattern,
}

/// One thing to listen for: a text that is good in its syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Want<'a> {
    /// How it is compared.
    pub syntax: Syntax,
    /// The prefix or the pattern.
    pub text: &'a str,
}

impl<'a> Want<'a> {
    /// The bytes that every subject it matches begins with: all of it, or what stands before the first wildcard of a pattern.
    #[must_use]
    pub fn head(&self) -> &'a str {
        match self.syntax {
            Syntax::Prefix => self.text,
            // A good pattern has no other `*` than its wildcards.
            Syntax::Pattern => self.text.find('*').map_or(self.text, |at| &self.text[..at]),
        }
    }

    /// Whether it is a pattern without wildcards.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.syntax == Syntax::Pattern && is_exact(self.text)
    }

    /// Whether it matches `subject`.
    #[must_use]
    pub fn matches(&self, subject: &str) -> bool {
        match self.syntax {
            Syntax::Prefix => subject.as_bytes().starts_with(self.text.as_bytes()),
            Syntax::Pattern => pattern_matches(self.text, subject),
        }
    }
}

fn is_exact(pattern: &str) -> bool {
    !pattern.contains('*')
}

/// Whether `text` is a pattern.
fn check_pattern(text: &str) -> Result<(), PatternError> {
    check(text)?;
    let (mut stars, mut rest_at) = (0, None);
    for (segment, part) in (1..).zip(text.split('/')) {
        if let Some(segment) = rest_at {
            return Err(PatternError::RestBeforeEnd { segment });
        }
        match part {
            ONE => stars += 1,
            REST => rest_at = Some(segment),
            part if part.contains('*') => return Err(PatternError::StarInSegment { segment }),
            _ => {}
        }
    }
    if stars > PATTERN_STARS_MAX { Err(PatternError::TooManyStars { stars }) } else { Ok(()) }
}

/// Where in a comma list its patterns stand: as [`super::prefixes`] does for prefixes (P-19).
///
/// # Errors
///
/// [`PatternError`] of the first item that is none, and what [`super::prefixes`] says of lists.
pub fn patterns(list: &str) -> Result<Vec<Range<usize>>, PatternError> {
    items(list, check_pattern)
}

/// Whether a good `pattern` matches `subject`, said as plainly as can be: what the trie is compared with.
fn pattern_matches(pattern: &str, subject: &str) -> bool {
    if pattern.starts_with('*') && subject.starts_with('$') || subject.is_empty() {
        return false;
    }
    let mut segments = subject.split('/');
    for part in pattern.split('/') {
        match (part, segments.next()) {
            (REST, found) => return found.is_some(),
            (ONE, Some(found)) if !found.is_empty() => {}
            (part, Some(found)) if part != ONE && part == found => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SUBJECT_BYTES_MAX;

    /// The table of the document: *valid, and what it matches* / *valid, but this does not match*.
    const VALID: [(&str, &[&str], &[&str]); 22] = [
        ("/a", &["/a"], &["/a/", "/a/b", "/ab", "a", "/", "/A"]),
        ("a", &["a"], &["/a", "a/", "aa"]),
        ("/", &["/"], &["", "//", "/a"]),
        ("/a/", &["/a/"], &["/a", "/a/b"]),
        ("$server/figures", &["$server/figures"], &["$server", "$server/figures/x"]),
        ("*", &["a", "中文", "*", "a b"], &["/a", "a/b", "a/", "/", "$a", "$"]),
        ("/*", &["/a", "/*", "/$a"], &["/", "/a/b", "/a/", "a", "//a"]),
        ("/a/*", &["/a/b", "/a/*", "/a/**", "/a/b c"], &["/a", "/a/", "/a/b/c", "/a/b/", "/b/b", "/a//"]),
        ("/*/b", &["/a/b", "/b/b"], &["//b", "/a/c", "/b", "/a/b/b", "/a/b/"]),
        ("/a/*/c", &["/a/b/c"], &["/a//c", "/a/c", "/a/b/b/c", "/a/b", "/a/b/"]),
        ("/*/*", &["/a/b"], &["/a", "/a/", "//b", "/a/b/c"]),
        ("*/b", &["a/b"], &["/b", "$a/b", "b"]),
        ("*/", &["a/"], &["a", "a/b", "/", "$a/"]),
        ("**", &["a", "/a", "/a/b", "/", "a/", "*"], &["", "$", "$server", "$server/figures"]),
        ("*/**", &["a/b", "a/", "a/b/c"], &["a", "/a", "$server/figures"]),
        ("/**", &["/a", "/a/b", "/", "//", "/$a"], &["a", "a/b", "$a"]),
        ("/a/**", &["/a/b", "/a/b/c", "/a/", "/a//", "/a/**"], &["/a", "/ab", "/ab/c", "/b/a"]),
        ("/a/*/**", &["/a/b/c", "/a/b/", "/a/b/c/d"], &["/a/b", "/a//c", "/a/"]),
        ("//**", &["//", "//a"], &["/", "/a/b"]),
        ("$server/*", &["$server/figures"], &["$server", "$server/", "$server/a/b", "server/a"]),
        ("$server/**", &["$server/a", "$server/a/b", "$server/"], &["$server", "$serverx/a"]),
        ("/中/*", &["/中/文"], &["/丮/文", "/中"]),
    ];

    /// The table of the document: *invalid*.
    const INVALID: [(&str, PatternError); 12] = [
        ("", PatternError::Subject(SubjectError::Empty)),
        ("/a*", PatternError::StarInSegment { segment: 2 }),
        ("*a", PatternError::StarInSegment { segment: 1 }),
        ("/a/*b*/c", PatternError::StarInSegment { segment: 3 }),
        ("/***", PatternError::StarInSegment { segment: 2 }),
        ("/**x", PatternError::StarInSegment { segment: 2 }),
        ("/x**", PatternError::StarInSegment { segment: 2 }),
        ("/* ", PatternError::StarInSegment { segment: 2 }),
        ("**/a", PatternError::RestBeforeEnd { segment: 1 }),
        ("/a/**/", PatternError::RestBeforeEnd { segment: 3 }),
        ("/**/**", PatternError::RestBeforeEnd { segment: 2 }),
        ("*/*/*/*/*/*/*/*/*/**", PatternError::TooManyStars { stars: 9 }),
    ];

    #[test]
    fn patterns_match_as_the_table_says() {
        for (text, matching, others) in VALID {
            let pattern = Pattern::new(text).expect(text);
            assert_eq!((pattern.as_str(), pattern.to_string().as_str()), (text, text));
            assert_eq!(pattern.is_exact(), !text.contains('*'), "{text}");
            for (subject, wanted) in
                matching.iter().map(|subject| (subject, true)).chain(others.iter().map(|other| (other, false)))
            {
                assert_eq!(pattern.matches(subject), wanted, "{text} and {subject}");
                let want = Want { syntax: Syntax::Pattern, text };
                assert_eq!(want.matches(subject), wanted, "{text} and {subject}");
                assert!(!wanted || subject.starts_with(want.head()), "{text} and {subject}");
            }
        }
    }

    #[test]
    fn a_pattern_covers_what_it_matches_at_least() {
        let covers =
            |wide: &str, narrow: &str| Pattern::new(wide).expect(wide).covers(&Pattern::new(narrow).expect(narrow));
        for (wide, narrow) in [
            ("/a", "/a"),
            ("**", "/a/*"),
            ("**", "*/b"),
            ("/a/**", "/a/b"),
            ("/a/**", "/a/*"),
            ("/a/**", "/a/*/**"),
            ("/a/*", "/a/b"),
            ("/*/b", "/a/b"),
            ("$server/*", "$server/figures"),
        ] {
            assert!(covers(wide, narrow), "{wide} covers {narrow}");
            assert!(wide == narrow || !covers(narrow, wide), "{narrow} covers {wide}");
        }
        for (one, other) in
            [("/a/*", "/a/**"), ("/a/**", "/a"), ("/a/*", "/a/"), ("**", "$a"), ("*/b", "$a/b"), ("/a/b", "/a/*")]
        {
            assert!(!covers(one, other), "{one} does not cover {other}");
        }
        // What is covered is matched, whatever it is.
        for (text, matching, _) in VALID {
            for (wide, ..) in VALID.iter().filter(|(wide, ..)| covers(wide, text)) {
                assert!(
                    matching.iter().all(|subject| Pattern::new(wide).expect(wide).matches(subject)),
                    "{wide} and {text}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        for (text, error) in INVALID {
            assert_eq!(Pattern::new(text), Err(error), "{text}");
        }
        let long = format!("/{}", "x".repeat(SUBJECT_BYTES_MAX));
        let error = PatternError::Subject(SubjectError::TooLong { bytes: SUBJECT_BYTES_MAX + 1 });
        assert_eq!(Pattern::new(&long), Err(error));
        assert_eq!(error.to_string(), "subject of 257 bytes, at most 256 are allowed");
        let texts = [("/a*", "segment 2: a wildcard stands alone"), ("**/a", "segment 1: ** stands for the rest")];
        for (text, told) in texts {
            let error = Pattern::new(text).expect_err(text).to_string();
            assert!(error.starts_with(told), "{error}");
        }
        assert_eq!(
            Pattern::new(&["*"; 9].join("/")).expect_err("nine").to_string(),
            "9 segments are *, at most 8 are allowed"
        );
        assert!(Pattern::new(&["*"; 8].join("/")).is_ok(), "the bound itself");
        assert!(Pattern::new(&format!("{}/**", ["*"; 8].join("/"))).is_ok(), "the rest is none of them");
    }

    /// P-19: lists of patterns are read like lists of prefixes.
    #[test]
    fn lists_of_patterns_are_trimmed_and_empty_items_ignored() {
        let names = |list: &str| -> Vec<String> {
            patterns(list).expect("a good list").into_iter().map(|at| list[at].to_owned()).collect()
        };
        assert_eq!(names("/a/*, /b ,,/a/*,**"), ["/a/*", "/b", "**"]);
        assert_eq!(patterns(" , "), Err(PatternError::Subject(SubjectError::Empty)));
        assert_eq!(patterns("/a,/b*"), Err(PatternError::StarInSegment { segment: 2 }));
    }

    #[test]
    fn heads_are_what_every_match_begins_with() {
        let head = |syntax, text| Want { syntax, text }.head();
        assert_eq!(head(Syntax::Prefix, "/a/*/b"), "/a/*/b", "a letter there");
        for (text, found) in [("/a/*/b", "/a/"), ("/a/**", "/a/"), ("**", ""), ("/a", "/a")] {
            assert_eq!(head(Syntax::Pattern, text), found);
        }
        assert!(Want { syntax: Syntax::Prefix, text: "/a/*" }.matches("/a/*b"));
        assert!(Want { syntax: Syntax::Pattern, text: "/a" }.is_exact());
        assert!(!Want { syntax: Syntax::Prefix, text: "/a" }.is_exact());
    }
}
