//! Subjects, prefixes, patterns, and the trie that answers: who is interested?

mod pattern;
mod subject;
mod trie;

pub use pattern::{Pattern, PatternError, Syntax, Want, patterns};
pub use subject::{Subject, SubjectError, prefixes};
pub use trie::{EntryId, Trie};
