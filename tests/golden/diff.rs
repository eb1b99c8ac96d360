//! What changed between two texts, line by line.

use std::fmt::Write as _;

/// Unchanged lines that are shown around a change.
const CONTEXT: usize = 2;

/// `old` and `new` as one list: `-` for lines of the old only, `+` for lines of the new only, unchanged ones near a change.
pub(crate) fn lines(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let marked = mark(&old, &new);
    let changed: Vec<usize> = (0..marked.len()).filter(|at| marked[*at].0 != ' ').collect();
    let mut text = String::new();
    let mut shown_to = 0;
    for (at, (sign, line)) in marked.iter().enumerate() {
        if changed.iter().any(|change| change.abs_diff(at) <= CONTEXT) {
            if at > shown_to {
                text.push_str("  ...\n");
            }
            let _ = writeln!(text, "{sign} {line}");
            shown_to = at + 1;
        }
    }
    text
}

/// The longest common subsequence by the table of lengths: transcripts are short.
fn mark<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for at in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            common[at][to] = if old[at] == new[to] {
                common[at + 1][to + 1] + 1
            } else {
                common[at + 1][to].max(common[at][to + 1])
            };
        }
    }
    let (mut at, mut to) = (0, 0);
    let mut marked = Vec::new();
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at] == new[to] {
            marked.push((' ', old[at]));
            (at, to) = (at + 1, to + 1);
        } else if to == new.len() || (at < old.len() && common[at + 1][to] >= common[at][to + 1]) {
            marked.push(('-', old[at]));
            at += 1;
        } else {
            marked.push(('+', new[to]));
            to += 1;
        }
    }
    marked
}
