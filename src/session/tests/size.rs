//! What an idle listening session costs in the pure core. The connection beside it is the shell's, and the socket the kernel's.

use super::super::table::SLOT_BYTES;
use super::super::{Interest, Label, SessionKey, Subscriptions};

/// Bytes that the allocator of the C library takes for a block: 8 of its own, in steps of 16, 32 at least.
const fn block(bytes: usize) -> usize {
    let taken = (bytes + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}

/// 0.6 KiB for everything is the aim; the rest of it is for the connection (128 bytes) and for half-used slabs. Whoever makes a session larger
/// finds out here.
#[test]
fn an_idle_session_with_one_subscription_is_small() {
    // Two tables that find a session by its names: five bytes for each place, and at least seven sixteenths of the places are used.
    let names = 2 * (5 * 16_usize).div_ceil(7);
    // The comma list. The first subscription is part of the session, one prefix and a label without words are part of that.
    let subscription = block("/chat/room/1234".len());
    // A node of its own in the trie and the way to it, its slot, its value; an entry in the wheel, and one that was overtaken.
    let trie = 64 + 8 + 12 + size_of::<Interest>();
    let wheel = 2 * (4 + size_of::<SessionKey>());
    let total = SLOT_BYTES + names + subscription + trie + wheel;
    const { assert!(SLOT_BYTES <= 256, "a session has grown") };
    const { assert!(size_of::<Option<Label>>() == 16, "a label has grown") };
    const { assert!(size_of::<Subscriptions>() <= 72, "subscriptions have grown") };
    assert!(total <= 430, "an idle session takes {total} bytes");
}
