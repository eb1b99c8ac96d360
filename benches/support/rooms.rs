//! Subscriptions that a subject shares its beginning with and does not match.

/// A subject that shares its first 14 bytes with a subscription and matches none.
pub(crate) const SUBJECT: &[u8] = b"/room/0500000/news/today";

/// So many of them, around the room of the subject, so that the paths part as late as they can.
pub(crate) fn prefixes(count: u32) -> impl Iterator<Item = String> {
    let first = 500_000 - count / 2;
    (first..first + count).map(|room| format!("/room/{room:07}/chat"))
}
