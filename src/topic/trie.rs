//! The prefix trie (placeholder of the skeleton).

/// Names one entry of a [`Trie`] until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId(u32);

/// The prefix trie.
#[derive(Debug)]
pub struct Trie<T> {
    entries: Vec<T>,
}

impl<T: Copy> Trie<T> {
    /// An empty trie.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Files `value` under `prefix` (1 to `SUBJECT_BYTES_MAX` bytes).
    pub fn insert(&mut self, _prefix: &[u8], value: T) -> EntryId {
        self.entries.push(value);
        EntryId(0)
    }

    /// Takes an entry out and returns its value. An id is used once: a removed one panics (our own fault).
    pub fn remove(&mut self, _id: EntryId) -> T {
        self.entries[0]
    }

    /// Replaces the value of an entry.
    pub fn set(&mut self, _id: EntryId, _value: T) {}

    /// Visits the values filed under every prefix of `subject`, longest prefix first. Returns the number of nodes visited.
    pub fn for_each_match(&self, _subject: &[u8], mut visit: impl FnMut(T)) -> usize {
        self.entries.iter().for_each(|value| visit(*value));
        0
    }
}

impl<T: Copy> Default for Trie<T> {
    fn default() -> Self {
        Self::new()
    }
}
