//! The ways through the trie: to what a subject matches, and to what may match something that begins with a text.

use std::ops::ControlFlow::{self, Continue};

use super::node::Node;
use super::{ANY, END, NIL, REST, ROOT, Trie};

impl<T: Copy> Trie<T> {
    /// P-19: shows the nodes of everything that `subject` matches, and of the ways there, longest head first.
    ///
    /// All of them but those behind wildcards lie on one path. It ends at the node that is furthest down, or within the label of a child of
    /// that one: there only patterns may match, by a sign in the label. From there it climbs, and looks at the ways of patterns at each node.
    pub(super) fn walk<'a, B>(
        &'a self,
        subject: &[u8],
        see: &mut impl FnMut(&'a Node<T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut node = self.node(ROOT);
        let mut rest = subject;
        while let Some(child) = rest.first().and_then(|first| node.child(*first)) {
            let child = self.node(child);
            let Some(behind) = rest.strip_prefix(child.label.bytes()) else { break };
            (node, rest) = (child, behind);
        }
        if self.patterns_live > 0 {
            return self.climb_among_patterns(node, subject, subject.len() - rest.len(), see);
        }
        loop {
            see(node)?;
            if node.parent == NIL {
                return Continue(());
            }
            node = self.node(node.parent);
        }
    }

    /// The way up from `node`, the last one that the subject leads to, by its first `at` bytes; the patterns at each node of it; and before
    /// that those that begin within the label below it.
    fn climb_among_patterns<'a, B>(
        &'a self,
        mut node: &'a Node<T>,
        subject: &[u8],
        mut at: usize,
        see: &mut impl FnMut(&'a Node<T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(child) = subject.get(at).and_then(|first| node.child(*first)) {
            self.walk_pattern(self.node(child), subject, at, see)?;
        }
        loop {
            self.walk_signs(node, subject, at, see)?;
            see(node)?;
            if node.parent == NIL {
                return Continue(());
            }
            at -= node.label.bytes().len();
            node = self.node(node.parent);
        }
    }

    /// The patterns that leave the subject's own path at `node`, which the first `at` bytes of it lead to.
    fn walk_signs<'a, B>(
        &'a self,
        node: &'a Node<T>,
        subject: &[u8],
        at: usize,
        see: &mut impl FnMut(&'a Node<T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if at == 0 && is_reserved(subject) {
            return Continue(());
        }
        for edge in node.signs() {
            self.walk_pattern(self.node(edge.node), subject, at, see)?;
        }
        Continue(())
    }

    /// `node` and what lies below it, so far as the rest of the subject, from `at` on, matches. One call for each node on the way down: a
    /// key is 257 bytes long at most, so that is how deep it goes.
    fn walk_pattern<'a, B>(
        &'a self,
        node: &'a Node<T>,
        subject: &[u8],
        at: usize,
        see: &mut impl FnMut(&'a Node<T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(at) = behind(node.label.bytes(), subject, at) else { return Continue(()) };
        see(node)?;
        if let Some(child) = subject.get(at).and_then(|first| node.child(*first)) {
            self.walk_pattern(self.node(child), subject, at, see)?;
        }
        for edge in node.signs() {
            self.walk_pattern(self.node(edge.node), subject, at, see)?;
        }
        Continue(())
    }

    /// Whether `wanted` holds for a value that is filed under `prefix` or under anything that begins with it, or under a pattern that may
    /// match a subject that begins with it. It looks at no more than `looks_max` values and nodes; `None` if none of so many was, and there
    /// are more.
    pub fn any_below(&self, prefix: &[u8], looks_max: usize, mut wanted: impl FnMut(T) -> bool) -> Option<bool> {
        let (mut open, mut looks_left) = (vec![(self.node(ROOT), 0)], looks_max);
        while let Some((node, at)) = open.pop() {
            let values = if at == prefix.len() { node.entries.values() } else { &[] };
            for value in std::iter::once(None).chain(values.iter().copied().map(Some)) {
                if looks_left == 0 {
                    return None;
                }
                looks_left -= 1;
                if value.is_some_and(&mut wanted) {
                    return Some(true);
                }
            }
            let Some(first) = prefix.get(at) else {
                open.extend(node.edges.iter().map(|edge| (self.node(edge.node), at)));
                continue;
            };
            let wild = node.signs().map(|edge| edge.node).filter(|_| at > 0 || !is_reserved(prefix));
            for child in wild.chain(node.child(*first)).map(|child| self.node(child)) {
                open.extend(reached(child.label.bytes(), prefix, at).map(|at| (child, at)));
            }
        }
        Some(false)
    }

    fn node(&self, index: u32) -> &Node<T> {
        &self.nodes[index as usize]
    }
}

/// Whether no pattern that begins with a wildcard matches this subject.
fn is_reserved(subject: &[u8]) -> bool {
    subject.first() == Some(&b'$')
}

/// How many bytes of `subject` lie behind one that matches `label` from `at` on. `None` if it does not.
fn behind(label: &[u8], subject: &[u8], mut at: usize) -> Option<usize> {
    for byte in label {
        match *byte {
            END if at < subject.len() => return None,
            END => {}
            REST => at = subject.len(),
            ANY => at = end_of_segment(subject, at)?,
            letter if subject.get(at) == Some(&letter) => at += 1,
            _ => return None,
        }
    }
    Some(at)
}

/// The same for a subject of which no more than its beginning is known, `prefix`: all of it may be behind before the label is.
fn reached(label: &[u8], prefix: &[u8], mut at: usize) -> Option<usize> {
    for byte in label {
        match *byte {
            _ if at == prefix.len() => break,
            END => return None,
            REST => at = prefix.len(),
            ANY => at = end_of_segment(prefix, at)?,
            letter if prefix.get(at) == Some(&letter) => at += 1,
            _ => return None,
        }
    }
    Some(at)
}

/// Where the segment ends that begins at `at`. `None` if it is empty.
fn end_of_segment(subject: &[u8], at: usize) -> Option<usize> {
    let rest = &subject[at..];
    let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    (len > 0).then_some(at + len)
}
