//! One node of the trie: its label, its edges, its entries. None of them allocates for a leaf with a short label and one entry, which is
//! what most nodes are.

use super::{ANY, END, REST};

/// Longest label that lies in the node itself, in bytes.
const INLINE_BYTES_MAX: usize = 22;

/// The bytes between a node and its parent. Empty for the root only.
#[derive(Clone, Debug)]
pub(super) enum Label {
    Short { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Long(Box<[u8]>),
}

impl Label {
    pub(super) fn new(text: &[u8]) -> Self {
        Self::joined(text, &[])
    }

    /// `head` and `tail` in one label.
    pub(super) fn joined(head: &[u8], tail: &[u8]) -> Self {
        let total = head.len() + tail.len();
        match u8::try_from(total) {
            Ok(len) if total <= INLINE_BYTES_MAX => {
                let mut bytes = [0; INLINE_BYTES_MAX];
                bytes[..head.len()].copy_from_slice(head);
                bytes[head.len()..total].copy_from_slice(tail);
                Self::Short { len, bytes }
            }
            _ => Self::Long([head, tail].concat().into_boxed_slice()),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }

    /// The byte by which the parent finds the node.
    pub(super) fn first(&self) -> u8 {
        *self.bytes().first().expect("only the root has no label, and nobody is above it")
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(bytes) => bytes.len(),
        }
    }
}

/// The way down to a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// The first byte of the child's label.
    pub(super) first: u8,
    /// The child.
    pub(super) node: u32,
}

/// The entries of one node.
#[derive(Clone, Debug)]
pub(super) enum Entries<T> {
    None,
    One(T, u32),
    Many(Box<Crowd<T>>),
}

/// Two entries or more: the values in one row for the fan-out, the slots that name them in another.
///
/// Invariant: both rows are equally long.
#[derive(Clone, Debug)]
pub(super) struct Crowd<T> {
    values: Vec<T>,
    slots: Vec<u32>,
}

impl<T: Copy> Entries<T> {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn values(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(value, _) => std::slice::from_ref(value),
            Self::Many(crowd) => &crowd.values,
        }
    }

    pub(super) fn slots(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(_, slot) => std::slice::from_ref(slot),
            Self::Many(crowd) => &crowd.slots,
        }
    }

    /// Adds an entry and returns its position.
    pub(super) fn push(&mut self, value: T, slot: u32) -> u32 {
        match self {
            Self::None => {
                *self = Self::One(value, slot);
                0
            }
            Self::One(first, first_slot) => {
                *self = Self::Many(Box::new(Crowd { values: vec![*first, value], slots: vec![*first_slot, slot] }));
                1
            }
            Self::Many(crowd) => {
                let position = super::index_of(crowd.values.len());
                crowd.values.push(value);
                crowd.slots.push(slot);
                position
            }
        }
    }

    /// Takes out the entry at `position` and puts the last one into its place. Returns its value, and the slot of the one that moved.
    pub(super) fn swap_remove(&mut self, position: u32) -> (T, Option<u32>) {
        let position = position as usize;
        let taken = (self.values()[position], position);
        match self {
            Self::None | Self::One(..) => *self = Self::None,
            Self::Many(crowd) => {
                crowd.values.swap_remove(position);
                crowd.slots.swap_remove(position);
                let moved = crowd.slots.get(position).copied();
                if let ([last], [slot]) = (&*crowd.values, &*crowd.slots) {
                    *self = Self::One(*last, *slot);
                } else if crowd.values.len() * 4 <= crowd.values.capacity() {
                    // Halved at a quarter: neither a growing nor a shrinking crowd copies an entry more than a few times.
                    crowd.values.shrink_to(crowd.values.len() * 2);
                    crowd.slots.shrink_to(crowd.slots.len() * 2);
                }
                return (taken.0, moved);
            }
        }
        (taken.0, None)
    }

    pub(super) fn set(&mut self, position: u32, new: T) {
        match self {
            Self::None => unreachable!("a slot names an entry of a node that has none"),
            Self::One(value, _) => *value = new,
            Self::Many(crowd) => crowd.values[position as usize] = new,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(..) => 0,
            Self::Many(crowd) => {
                size_of::<Crowd<T>>()
                    + crowd.values.capacity() * size_of::<T>()
                    + crowd.slots.capacity() * size_of::<u32>()
            }
        }
    }
}

/// One prefix: its way from the parent, its ways on, and what is filed under it.
///
/// Invariant: `edges` is sorted by first byte, and no two are alike: they are 256 at most, found by bisection in eight steps.
#[derive(Clone, Debug)]
pub(super) struct Node<T> {
    pub(super) label: Label,
    /// Exactly as long as needed: the list is short and most nodes never change it.
    pub(super) edges: Box<[Edge]>,
    pub(super) entries: Entries<T>,
    /// The node above, no node for the root; the next free node if this one is free.
    pub(super) parent: u32,
}

impl<T: Copy> Node<T> {
    /// A node below `parent` without edges or entries.
    pub(super) fn new(parent: u32, label: &[u8]) -> Self {
        Self { label: Label::new(label), edges: Box::default(), entries: Entries::None, parent }
    }

    /// The child whose label begins with `first`.
    pub(super) fn child(&self, first: u8) -> Option<u32> {
        self.find(first).ok().map(|at| self.edges[at].node)
    }

    fn find(&self, first: u8) -> Result<usize, usize> {
        self.edges.binary_search_by_key(&first, |edge| edge.first)
    }

    /// The ways on that begin with a sign, three at most.
    pub(super) fn signs(&self) -> impl Iterator<Item = Edge> {
        self.edges.iter().rev().copied().take_while(|edge| edge.first >= END)
    }

    /// Whether what is filed here are patterns.
    pub(super) fn is_pattern(&self) -> bool {
        self.label.bytes().last().is_some_and(|last| matches!(*last, END | REST))
    }

    /// Adds the way to a new child.
    pub(super) fn link(&mut self, first: u8, node: u32) {
        let at = self.find(first).expect_err("no two children begin alike");
        let mut edges = std::mem::take(&mut self.edges).into_vec();
        edges.reserve_exact(1);
        edges.insert(at, Edge { first, node });
        self.edges = edges.into_boxed_slice();
    }

    /// Leads the way that begins with `first` to another child.
    pub(super) fn relink(&mut self, first: u8, node: u32) {
        let at = self.find(first).expect("a child is known to its parent");
        self.edges[at].node = node;
    }

    /// Takes away the way that begins with `first`.
    pub(super) fn unlink(&mut self, first: u8) {
        let at = self.find(first).expect("a child is known to its parent");
        let mut edges = std::mem::take(&mut self.edges).into_vec();
        edges.remove(at);
        self.edges = edges.into_boxed_slice();
    }

    /// What the node holds outside the slab, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.label.heap_bytes() + size_of_val(&*self.edges) + self.entries.heap_bytes()
    }

    /// Checks what can be checked without the other nodes.
    pub(super) fn check(&self, is_root: bool) {
        assert_eq!(is_root, self.label.bytes().is_empty(), "exactly the root has no label");
        assert!(is_root || !self.entries.is_empty() || self.edges.len() >= 2, "a node that nobody needs");
        let label = self.label.bytes();
        let sign_at = |signs: [u8; 2]| label.iter().position(|byte| signs.contains(byte));
        assert!(sign_at([END, REST]).is_none_or(|at| at + 1 == label.len() && self.edges.is_empty()), "below the end");
        assert!(
            self.is_pattern() || !label.contains(&ANY) || self.entries.is_empty(),
            "filed in the midst of a pattern"
        );
        assert!(self.edges.is_sorted_by(|a, b| a.first < b.first), "edges out of order");
        assert_eq!(self.entries.values().len(), self.entries.slots().len(), "rows of different lengths");
        assert_eq!(self.entries.is_empty(), self.entries.values().is_empty(), "an empty crowd");
    }
}
