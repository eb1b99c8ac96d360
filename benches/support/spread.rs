//! Subjects that are looked for in turn. What comes next at a server is seldom what was just there: one subject again and again shows a walk whose
//! nodes are all in the nearest cache.

/// How many there are: the nodes on the paths of so many rooms are more than the caches of a core hold.
const SPREAD: usize = 65_536;

/// Subjects of rooms at random among the `count` that are subscribed to around room 500,000. Each shares its first 14 bytes with a subscription and
/// matches none.
pub(crate) fn spread(count: u32) -> Vec<Vec<u8>> {
    let first = 500_000 - count / 2;
    let mut random = fastrand::Rng::with_seed(7);
    let mut subject = || format!("/room/{:07}/news/today", first + random.u32(..count)).into_bytes();
    (0..SPREAD).map(|_| subject()).collect()
}
