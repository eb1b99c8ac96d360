//! The trie: who subscribed to a beginning of this subject (P-19), to just this subject, or to a pattern that it matches?
//!
//! A radix tree over bytes with compressed paths: a node stands for a key at which something is filed or at which paths part, and its
//! label holds the bytes between its parent and itself. A match walks down along the subject, one node per prefix at most, and climbs
//! back, so it costs what the subject's length costs; how many others have subscribed to something else does not matter.
//!
//! Nodes lie in one slab and name each other by index, entries are named through a slot table. So an entry is found in two steps and
//! taken out by a swap with the last of its node, be there one or 100,000 of them, and a fan-out reads one contiguous slice. A node is
//! 64 bytes, label up to 22 bytes included; an entry takes 12 bytes in the slot table and lies in its node, or, from the second one on,
//! in the node's crowd with 4 bytes beside its value.
//!
//! # Patterns
//!
//! They lie in the same tree. UTF-8 has no bytes from 0xFD on, so three of those are signs: a `*` is [`ANY`], a last `**` is [`REST`], and
//! behind every other pattern, exact subjects included, stands [`END`]. A prefix has none of them, so a prefix and an exact subject of the
//! same text are two nodes. Signs sort behind all letters: whether ways of patterns leave a node shows at the last of its edges.
//!
//! A match leaves the subject's own path where such a way does. How much of the subject lies behind a node is settled by the way to that
//! node, for a `*` is exactly one segment; so a match compares no node's label twice, and only those of nodes whose way matches the
//! subject's beginning, and their children on the subject's path or behind a sign. It visits `subject.len() + 1` nodes at most, and beside
//! them no more than there are nodes behind wildcards. Where patterns part by letters it is far less: a level has two ways on at most, the
//! subject's own segment and the wildcard, and a pattern has [`PATTERN_STARS_MAX`] of those. At worst many clients subscribe to patterns that
//! agree with a subject up to its last segment, each in another choice of wildcards, and match it nowhere: 126,000 of them, that is a
//! thousand sessions with all they may have, cost a match of that subject 40 ms, most of it waiting for memory.
//!
//! [`PATTERN_STARS_MAX`]: crate::limits::PATTERN_STARS_MAX

mod node;
mod walk;

#[cfg(test)]
mod pattern_tests;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::ops::ControlFlow::{self, Break, Continue};

use super::pattern::{Syntax, Want};
use crate::limits::SUBJECT_BYTES_MAX;
use node::{Entries, Label, Node};

/// The index of the root in the slab of nodes.
const ROOT: u32 = 0;
/// Names no node and no slot. A slab never grows this long: its nodes alone would be 256 GiB.
const NIL: u32 = u32::MAX;

/// The sign of the end of a pattern. Nothing lies below it.
const END: u8 = 0xFD;
/// The sign of `**`. Nothing lies below it.
const REST: u8 = 0xFE;
/// The sign of `*`.
const ANY: u8 = 0xFF;

/// Names one entry of a [`Trie`] until it is removed. It carries a generation, so that one used too late is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId {
    slot: u32,
    /// Not 0, so that no entry takes no more room than an entry.
    generation: NonZeroU32,
}

/// Where the entry of an [`EntryId`] lies.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Its node, or [`NIL`] if the slot is free.
    node: u32,
    /// Its position in the node, or the next free slot.
    position: u32,
    /// The generation of the entry that lies here now, or lay here last.
    generation: NonZeroU32,
}

/// Values filed under prefixes and patterns. Owned by one core.
///
/// What was removed is used again by what is inserted later, so the two slabs are as large as the largest number of nodes and of entries
/// there has been at one time; all of it is given back when the trie becomes empty. Labels, edges and crowds shrink at once.
///
/// Invariant: every node but the root holds an entry or has two edges at least.
/// Invariant: the slot of every entry names its node and its position.
/// Invariant: signs stand where a segment of a pattern begins or where a pattern ends; below `END` and `REST` there is nothing, and
/// below any sign entries lie there only.
#[derive(Debug)]
pub struct Trie<T> {
    nodes: Vec<Node<T>>,
    free_node: u32,
    nodes_live: usize,
    slots: Vec<Slot>,
    free_slot: u32,
    entries_live: usize,
    /// How many of the entries are patterns: where there are none, nobody looks for them.
    patterns_live: usize,
    /// The generation of the next entry. Counted over the whole trie, so that slots may be given back without being mistaken later.
    generation: NonZeroU32,
}

impl<T: Copy> Trie<T> {
    /// An empty trie.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::new(NIL, &[])],
            free_node: NIL,
            nodes_live: 1,
            slots: Vec::new(),
            free_slot: NIL,
            entries_live: 0,
            patterns_live: 0,
            generation: NonZeroU32::MIN,
        }
    }

    /// Files `value` under `prefix` (1 to [`SUBJECT_BYTES_MAX`] bytes). The same prefix may hold any number of values.
    ///
    /// Bytes that UTF-8 does not have may not occur in it: they are signs here.
    pub fn insert(&mut self, prefix: &[u8], value: T) -> EntryId {
        debug_assert!(!prefix.is_empty(), "an empty prefix would mean everything");
        debug_assert!(prefix.len() <= SUBJECT_BYTES_MAX, "a prefix longer than any subject");
        debug_assert!(prefix.iter().all(|byte| *byte < END), "a prefix that is no text");
        self.file(prefix, value)
    }

    /// Files `value` under what `want` asks for: a prefix, or a pattern. The same may hold any number of values. A pattern must be a good
    /// one ([`super::patterns`], [`super::Pattern`]); a `*` beside other letters would be filed as a letter.
    pub fn insert_want(&mut self, want: Want<'_>, value: T) -> EntryId {
        match want.syntax {
            Syntax::Prefix => self.insert(want.text.as_bytes(), value),
            Syntax::Pattern => {
                debug_assert!(super::Pattern::new(want.text).is_ok(), "no pattern: {}", want.text);
                self.patterns_live += 1;
                self.file(&key_of(want.text), value)
            }
        }
    }

    fn file(&mut self, key: &[u8], value: T) -> EntryId {
        let node = self.node_of(key);
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let slot = self.take_slot();
        let position = self.nodes[node as usize].entries.push(value, slot);
        self.slots[slot as usize] = Slot { node, position, generation };
        self.entries_live += 1;
        self.sweep();
        EntryId { slot, generation }
    }

    /// Takes an entry out and returns its value, at a cost that does not depend on how many others are filed under its prefix. The order
    /// among those changes.
    ///
    /// # Panics
    ///
    /// If `id` has been removed before: our own fault, and to go on would take out somebody else's entry.
    pub fn remove(&mut self, id: EntryId) -> T {
        let Slot { node, position, .. } = self.slot(id);
        let (value, moved) = self.nodes[node as usize].entries.swap_remove(position);
        if let Some(moved) = moved {
            self.slots[moved as usize].position = position;
        }
        self.slots[id.slot as usize] = Slot { node: NIL, position: self.free_slot, generation: id.generation };
        self.free_slot = id.slot;
        self.entries_live -= 1;
        self.patterns_live -= usize::from(self.nodes[node as usize].is_pattern());
        if self.entries_live == 0 {
            let generation = self.generation;
            *self = Self { generation, ..Self::new() };
        } else if self.nodes[node as usize].entries.is_empty() {
            self.prune(node);
        }
        self.sweep();
        value
    }

    /// Replaces the value of an entry.
    ///
    /// # Panics
    ///
    /// If `id` has been removed: our own fault.
    pub fn set(&mut self, id: EntryId, value: T) {
        let Slot { node, position, .. } = self.slot(id);
        self.nodes[node as usize].entries.set(position, value);
    }

    /// P-19: visits the values of every prefix and every pattern that `subject` matches, longest head first, those of one head in no
    /// particular order. The head of a pattern is what stands before its first wildcard; that of a prefix or an exact subject is all of it.
    ///
    /// Returns the number of nodes visited, the root included: `subject.len() + 1` at most, and those behind wildcards on ways that the
    /// subject matches.
    pub fn for_each_match(&self, subject: &[u8], mut visit: impl FnMut(T)) -> usize {
        let mut visited = 0;
        let all: ControlFlow<()> = self.walk(subject, &mut |node| {
            node.entries.values().iter().copied().for_each(&mut visit);
            visited += 1;
            Continue(())
        });
        debug_assert!(all.is_continue(), "nobody stops this walk");
        visited
    }

    /// Whether `wanted` holds for a value that [`Trie::for_each_match`] visits, in that order, asking no further than that and no more than
    /// `looks_max` values. `None` if none of so many was, and there are more; or if it visited so many nodes beside the subject's own.
    pub fn any_match(&self, subject: &[u8], looks_max: usize, mut wanted: impl FnMut(T) -> bool) -> Option<bool> {
        let (mut looks_left, mut nodes_left) = (looks_max, looks_max.saturating_add(subject.len() + 1));
        let end = self.walk(subject, &mut |node| {
            if nodes_left == 0 {
                return Break(None);
            }
            nodes_left -= 1;
            for value in node.entries.values() {
                if looks_left == 0 {
                    return Break(None);
                }
                looks_left -= 1;
                if wanted(*value) {
                    return Break(Some(true));
                }
            }
            Continue(())
        });
        end.break_value().unwrap_or(Some(false))
    }

    /// How many values [`Trie::for_each_match`] visits, and how many nodes, at the cost of the way there: no value is looked at.
    #[must_use]
    pub fn match_count(&self, subject: &[u8]) -> (usize, usize) {
        let (mut count, mut nodes) = (0, 0);
        let all: ControlFlow<()> = self.walk(subject, &mut |node| {
            count += node.entries.values().len();
            nodes += 1;
            Continue(())
        });
        debug_assert!(all.is_continue(), "nobody stops this walk");
        (count, nodes)
    }

    /// P-19: appends to `found` what [`Trie::for_each_match`] visits, longest head first. Of each prefix or pattern with so many values
    /// `first` says which one begins; the others follow in turn. Whole rows are copied: 100,000 values are a matter of some ten microseconds.
    pub fn collect_matches(&self, subject: &[u8], mut first: impl FnMut(usize) -> usize, found: &mut Vec<T>) {
        let all: ControlFlow<()> = self.walk(subject, &mut |node| {
            let values = node.entries.values();
            if !values.is_empty() {
                let (later, sooner) = values.split_at(first(values.len()) % values.len());
                found.extend_from_slice(sooner);
                found.extend_from_slice(later);
            }
            Continue(())
        });
        debug_assert!(all.is_continue(), "nobody stops this walk");
    }

    /// How many values are filed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries_live
    }

    /// Whether nothing is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries_live == 0
    }

    /// How many nodes there are. An empty trie has one, its root.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes_live
    }

    /// Memory held, in bytes, free slots included and the allocator's own overhead not. It looks at every node: for a look at the server,
    /// not for every turn.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let nodes = self.nodes.capacity() * size_of::<Node<T>>();
        let slots = self.slots.capacity() * size_of::<Slot>();
        nodes + slots + self.nodes.iter().map(Node::heap_bytes).sum::<usize>()
    }

    /// Checks every invariant. It reads the whole trie: for tests.
    ///
    /// # Panics
    ///
    /// If one is broken.
    pub fn check_invariants(&self) {
        let (mut nodes, mut entries, mut patterns) = (0, 0, 0);
        let mut open = vec![ROOT];
        while let Some(index) = open.pop() {
            let node = &self.nodes[index as usize];
            nodes += 1;
            node.check(index == ROOT);
            patterns += node.entries.values().len() * usize::from(node.is_pattern());
            for (position, slot) in node.entries.slots().iter().enumerate() {
                let Slot { node, position: known, .. } = self.slots[*slot as usize];
                assert_eq!((node, known as usize), (index, position), "slot {slot} does not name its entry");
                entries += 1;
            }
            for edge in &node.edges {
                let child = &self.nodes[edge.node as usize];
                assert_eq!(child.parent, index, "a child of node {index} names another parent");
                assert_eq!(
                    child.label.bytes().first(),
                    Some(&edge.first),
                    "an edge of node {index} names another label"
                );
                open.push(edge.node);
            }
        }
        let live = (self.nodes_live, self.entries_live, self.patterns_live);
        assert_eq!((nodes, entries, patterns), live, "nodes and entries that can be reached");
        assert_eq!(self.nodes.len() - nodes, free_count(self.free_node, |at| self.nodes[at as usize].parent));
        let free_slots = free_count(self.free_slot, |at| {
            assert_eq!(self.slots[at as usize].node, NIL, "a free slot names a node");
            self.slots[at as usize].position
        });
        assert_eq!(self.slots.len() - entries, free_slots, "slots that are neither free nor used");
    }

    /// The slot of `id`.
    fn slot(&self, id: EntryId) -> Slot {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.node != NIL && slot.generation == id.generation);
        *slot.expect("an entry id is used once, by the owner of the entry")
    }

    fn take_slot(&mut self) -> u32 {
        if self.free_slot == NIL {
            self.slots.push(Slot { node: NIL, position: NIL, generation: NonZeroU32::MIN });
            return index_of(self.slots.len() - 1);
        }
        let slot = self.free_slot;
        self.free_slot = self.slots[slot as usize].position;
        slot
    }

    /// The node that stands for `prefix`, made if there is none.
    fn node_of(&mut self, prefix: &[u8]) -> u32 {
        let (mut at, mut rest) = (ROOT, prefix);
        while let Some(first) = rest.first() {
            let Some(child) = self.nodes[at as usize].child(*first) else {
                let leaf = self.add_node(Node::new(at, rest));
                self.nodes[at as usize].link(*first, leaf);
                return leaf;
            };
            let label = self.nodes[child as usize].label.bytes();
            let common = common_len(label, rest);
            at = if common == label.len() { child } else { self.split(child, common) };
            rest = &rest[common..];
        }
        at
    }

    /// Puts a node into the edge above `child`, behind the first `common` bytes of its label. `child` keeps its index, because its
    /// entries' slots name it.
    fn split(&mut self, child: u32, common: usize) -> u32 {
        let Node { parent, label, .. } = &self.nodes[child as usize];
        let (parent, upper, lower) =
            (*parent, Label::new(&label.bytes()[..common]), Label::new(&label.bytes()[common..]));
        let (upper_first, lower_first) = (upper.first(), lower.first());
        let mut middle = Node::new(parent, upper.bytes());
        middle.link(lower_first, child);
        let middle = self.add_node(middle);
        let below = &mut self.nodes[child as usize];
        (below.label, below.parent) = (lower, middle);
        self.nodes[parent as usize].relink(upper_first, middle);
        middle
    }

    /// Takes out a node that has become empty, and its parent with it if that is no longer needed.
    fn prune(&mut self, node: u32) {
        match self.nodes[node as usize].edges.len() {
            _ if node == ROOT => {}
            0 => {
                let Node { parent, label, .. } = &self.nodes[node as usize];
                let (parent, first) = (*parent, label.first());
                self.nodes[parent as usize].unlink(first);
                self.free(node);
                let above = &self.nodes[parent as usize];
                if parent != ROOT && above.entries.is_empty() && above.edges.len() == 1 {
                    self.merge(parent);
                }
            }
            1 => self.merge(node),
            _ => {}
        }
    }

    /// Takes out an empty node with one child, which takes over its label and its place.
    fn merge(&mut self, node: u32) {
        let upper = &self.nodes[node as usize];
        let (parent, first, child) = (upper.parent, upper.label.first(), upper.edges[0].node);
        let label = Label::joined(upper.label.bytes(), self.nodes[child as usize].label.bytes());
        let lower = &mut self.nodes[child as usize];
        (lower.label, lower.parent) = (label, parent);
        self.nodes[parent as usize].relink(first, child);
        self.free(node);
    }

    fn add_node(&mut self, node: Node<T>) -> u32 {
        self.nodes_live += 1;
        if self.free_node == NIL {
            self.nodes.push(node);
            return index_of(self.nodes.len() - 1);
        }
        let index = self.free_node;
        self.free_node = self.nodes[index as usize].parent;
        self.nodes[index as usize] = node;
        index
    }

    fn free(&mut self, node: u32) {
        self.nodes[node as usize] = Node::new(self.free_node, &[]);
        self.free_node = node;
        self.nodes_live -= 1;
    }

    /// Sweeps the invariants after a mutation, in tests and while the trie is small: sweeping a million entries a million times would
    /// take days.
    fn sweep(&self) {
        #[cfg(test)]
        if self.nodes.len() + self.slots.len() <= 256 {
            self.check_invariants();
        }
    }
}

impl<T: Copy> Default for Trie<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a pattern is filed under.
fn key_of(pattern: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(pattern.len() + 1);
    for (at, part) in pattern.split('/').enumerate() {
        if at > 0 {
            key.push(b'/');
        }
        match part {
            "*" => key.push(ANY),
            "**" => key.push(REST),
            part => key.extend_from_slice(part.as_bytes()),
        }
    }
    if key.last() != Some(&REST) {
        key.push(END);
    }
    key
}

/// A length as an index of a slab.
fn index_of(index: usize) -> u32 {
    let index = u32::try_from(index).ok().filter(|index| *index != NIL);
    index.expect("memory ends long before 2^32 subscriptions")
}

/// How many bytes `a` and `b` have in common at their beginning.
fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The length of a free list.
fn free_count(first: u32, next: impl Fn(u32) -> u32) -> usize {
    let some = |at: u32| (at != NIL).then_some(at);
    std::iter::successors(some(first), |at| some(next(*at))).count()
}

// Keeps the sentence about memory above true.
const _: () = assert!(size_of::<Node<u64>>() == 64 && size_of::<Slot>() == 12 && size_of::<Entries<u64>>() == 16);
