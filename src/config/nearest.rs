//! Which known name did the operator mean?

/// The one of `known` that is fewest edits away from `name`; the first of equals. Empty if nothing is known.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = String>) -> String {
    known.min_by_key(|candidate| distance(name, candidate)).unwrap_or_default()
}

/// How many characters must be inserted, removed or replaced to make `one` of `other`.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // Invariant: `row[n]` is the distance between what was read of `one` and the first `n` characters of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (at, other_letter) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other_letter);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word: slow, and plainly right.
    fn distance_by_definition(one: &[char], other: &[char]) -> usize {
        match (one, other) {
            ([], rest) | (rest, []) => rest.len(),
            ([a, one_rest @ ..], [b, other_rest @ ..]) if a == b => distance_by_definition(one_rest, other_rest),
            ([_, one_rest @ ..], [_, other_rest @ ..]) => {
                1 + distance_by_definition(one_rest, other_rest)
                    .min(distance_by_definition(one_rest, other))
                    .min(distance_by_definition(one, other_rest))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(one in "[ab_]{0,6}", other in "[ab_]{0,6}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(distance(&one, &other), distance_by_definition(&letters(&one), &letters(&other)));
        }
    }

    #[test]
    fn finds_the_key_that_was_meant() {
        let known = || ["queue_size", "queue_bytes", "heartbeat"].into_iter().map(str::to_owned);
        assert_eq!(nearest("queue-size", known()), "queue_size");
        assert_eq!(nearest("queuebytes", known()), "queue_bytes");
        assert_eq!(nearest("hartbeat", known()), "heartbeat");
        assert_eq!(nearest("x", std::iter::empty()), "");
    }
}
