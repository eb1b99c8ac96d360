//! Subjects, prefixes and the trie that answers: who is interested?

mod subject;
mod trie;

pub use subject::{Subject, SubjectError, prefixes};
pub use trie::{EntryId, Trie};
