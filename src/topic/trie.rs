//! The prefix trie: who subscribed to a beginning of this subject? (P-19)
//!
//! A radix tree over bytes with compressed paths: a node stands for a prefix at which something is filed or at which paths part, and its
//! label holds the bytes between its parent and itself. A match walks down along the subject, one node per prefix at most, and climbs
//! back, so it costs what the subject's length costs; how many others have subscribed to something else does not matter.
//!
//! Nodes lie in one slab and name each other by index, entries are named through a slot table. So an entry is found in two steps and
//! taken out by a swap with the last of its node, be there one or 100,000 of them, and a fan-out reads one contiguous slice. A node is
//! 64 bytes, label up to 22 bytes included; an entry takes 12 bytes in the slot table and lies in its node, or, from the second one on,
//! in the node's crowd with 4 bytes beside its value.
//!
//! # The way to wildcards
//!
//! `*` (one segment) and `**` (any number of them) are not known here yet. They need no other tree: a pattern is filed under its literal
//! head, the bytes before its first wildcard, which every subject it matches begins with; its value names a matcher for the rest, and the
//! visitor asks that matcher. The same holds for exact subjects: the visitor asks whether the subject ends at the node. If many patterns
//! should come to share one short head, the matchers of a node become a second trie over segments that hangs at that head; literal
//! prefixes never pay for it.

mod node;

#[cfg(test)]
mod tests;

use crate::limits::SUBJECT_BYTES_MAX;
use node::{Entries, Label, Node};

/// The index of the root in the slab of nodes.
const ROOT: u32 = 0;
/// Names no node and no slot. A slab never grows this long: its nodes alone would be 256 GiB.
const NIL: u32 = u32::MAX;

/// Names one entry of a [`Trie`] until it is removed. It carries a generation, so that one used too late is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryId {
    slot: u32,
    generation: u32,
}

/// Where the entry of an [`EntryId`] lies.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Its node, or [`NIL`] if the slot is free.
    node: u32,
    /// Its position in the node, or the next free slot.
    position: u32,
    /// The generation of the entry that lies here now, or lay here last.
    generation: u32,
}

/// Values filed under prefixes. Owned by one core.
///
/// What was removed is used again by what is inserted later, so the two slabs are as large as the largest number of nodes and of entries
/// there has been at one time; all of it is given back when the trie becomes empty. Labels, edges and crowds shrink at once.
///
/// Invariant: every node but the root holds an entry or has two edges at least.
/// Invariant: the slot of every entry names its node and its position.
#[derive(Debug)]
pub struct Trie<T> {
    nodes: Vec<Node<T>>,
    free_node: u32,
    nodes_live: usize,
    slots: Vec<Slot>,
    free_slot: u32,
    entries_live: usize,
    /// The generation of the next entry. Counted over the whole trie, so that slots may be given back without being mistaken later.
    generation: u32,
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
            generation: 0,
        }
    }

    /// Files `value` under `prefix` (1 to [`SUBJECT_BYTES_MAX`] bytes). The same prefix may hold any number of values.
    pub fn insert(&mut self, prefix: &[u8], value: T) -> EntryId {
        debug_assert!(!prefix.is_empty(), "an empty prefix would mean everything");
        debug_assert!(prefix.len() <= SUBJECT_BYTES_MAX, "a prefix longer than any subject");
        let node = self.node_of(prefix);
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
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

    /// P-19: visits the values filed under every prefix of `subject`, longest prefix first, those of one prefix in no particular order.
    ///
    /// Returns the number of nodes visited, the root included: `subject.len() + 1` at most.
    pub fn for_each_match(&self, subject: &[u8], mut visit: impl FnMut(T)) -> usize {
        let mut visited = 0;
        for node in self.path(subject) {
            node.entries.values().iter().copied().for_each(&mut visit);
            visited += 1;
        }
        visited
    }

    /// Whether `wanted` holds for a value filed under a prefix of `subject`, longest prefix first, asking no further than that and no more
    /// than `looks_max` values. `None` if none of so many was, and there are more.
    pub fn any_match(&self, subject: &[u8], looks_max: usize, mut wanted: impl FnMut(T) -> bool) -> Option<bool> {
        let mut values = self.path(subject).flat_map(|node| node.entries.values().iter().copied());
        let found = values.by_ref().take(looks_max).any(&mut wanted);
        if !found && values.next().is_some() { None } else { Some(found) }
    }

    /// Whether `wanted` holds for a value filed under `prefix` or under anything that begins with it. It looks at no more than `looks_max`
    /// values and nodes; `None` if none of so many was, and there are more.
    pub fn any_below(&self, prefix: &[u8], looks_max: usize, mut wanted: impl FnMut(T) -> bool) -> Option<bool> {
        let mut node = &self.nodes[ROOT as usize];
        let mut rest = prefix;
        while let Some(first) = rest.first() {
            let Some(child) = node.child(*first).map(|child| &self.nodes[child as usize]) else { return Some(false) };
            let label = child.label.bytes();
            // The prefix may end within a label: what is filed there begins with it all the same.
            if !label.starts_with(rest) && !rest.starts_with(label) {
                return Some(false);
            }
            (node, rest) = (child, &rest[label.len().min(rest.len())..]);
        }
        let (mut open, mut looks_left) = (vec![node], looks_max);
        while let Some(node) = open.pop() {
            for value in std::iter::once(None).chain(node.entries.values().iter().copied().map(Some)) {
                if looks_left == 0 {
                    return None;
                }
                looks_left -= 1;
                if value.is_some_and(&mut wanted) {
                    return Some(true);
                }
            }
            open.extend(node.edges.iter().map(|edge| &self.nodes[edge.node as usize]));
        }
        Some(false)
    }

    /// How many values [`Trie::for_each_match`] visits, at the cost of the way there: none of them is looked at.
    #[must_use]
    pub fn match_count(&self, subject: &[u8]) -> usize {
        self.path(subject).map(|node| node.entries.values().len()).sum()
    }

    /// P-19: appends to `found` what [`Trie::for_each_match`] visits, longest prefix first. Of each prefix with so many values `first` says
    /// which one begins; the others follow in turn. Whole rows are copied: 100,000 values are a matter of some ten microseconds.
    pub fn collect_matches(&self, subject: &[u8], mut first: impl FnMut(usize) -> usize, found: &mut Vec<T>) {
        for values in self.path(subject).map(|node| node.entries.values()).filter(|values| !values.is_empty()) {
            let (later, sooner) = values.split_at(first(values.len()) % values.len());
            found.extend_from_slice(sooner);
            found.extend_from_slice(later);
        }
    }

    /// The nodes whose prefixes `subject` begins with, from the longest up to the root.
    fn path(&self, subject: &[u8]) -> impl Iterator<Item = &Node<T>> {
        let mut node = &self.nodes[ROOT as usize];
        let mut rest = subject;
        while let Some(child) = rest.first().and_then(|first| node.child(*first)) {
            let child = &self.nodes[child as usize];
            let Some(behind) = rest.strip_prefix(child.label.bytes()) else { break };
            (node, rest) = (child, behind);
        }
        std::iter::successors(Some(node), |node| (node.parent != NIL).then(|| &self.nodes[node.parent as usize]))
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
        let (mut nodes, mut entries) = (0, 0);
        let mut open = vec![ROOT];
        while let Some(index) = open.pop() {
            let node = &self.nodes[index as usize];
            nodes += 1;
            node.check(index == ROOT);
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
        assert_eq!((nodes, entries), (self.nodes_live, self.entries_live), "nodes and entries that can be reached");
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
            self.slots.push(Slot { node: NIL, position: NIL, generation: 0 });
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
