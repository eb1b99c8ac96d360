//! RFC 6455 section 8.1: what is no UTF-8 is refused, and no later than its first wrong byte.

use super::super::{Inbound, Incoming, Role};
use super::{WIDE, code, feed, frame, masked, serve, text};

/// Sequences that are no UTF-8, and how many of their bytes could begin a text.
const WRONG: [(&[u8], usize); 22] = [
    (b"\x80", 0),
    (b"\xbf", 0),
    (b"\xc0\x80", 0),
    (b"\xc1\xbf", 0),
    (b"\xc2\x00", 1),
    (b"\xc2\xc2", 1),
    (b"\xe0\x80\x80", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xe1\x80\x00", 2),
    // Halves of pairs of UTF-16.
    (b"\xed\xa0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xef\xbf\xc0", 2),
    (b"\xf0\x80\x80\x80", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf0\x90\x80\x00", 3),
    // Beyond U+10FFFF.
    (b"\xf4\x90\x80\x80", 1),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xf8\x88\x80\x80\x80", 0),
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    (b"\xfe", 0),
    (b"\xff", 0),
    (b"\xf4\x8f\xbf\x00", 3),
];

/// The smallest and largest of every length, and what only looks strange.
const RIGHT: [&str; 11] = [
    "",
    "\0",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{ffff}",
    "\u{10000}",
    "\u{10ffff}",
    "\u{d7ff}\u{e000}",
    "\u{fffe}\u{feff}",
];

/// Byte by byte in one frame, and each byte in a frame of its own: refused with the byte that is wrong.
#[test]
fn a_text_is_refused_with_its_first_wrong_byte() {
    for (wrong, good) in WRONG {
        let payload = ["κόσμε".as_bytes(), wrong, b"edited, and much more to come"].concat();
        let at = "κόσμε".len() + good;
        let mask = Some([1, 2, 3, 4]);
        let bytes = frame(0x81, mask, &payload);
        let mut inbound = Inbound::new(Role::Server, false);
        assert_eq!(inbound.push(&bytes[..6 + at], WIDE), Ok((6 + at, None)), "{wrong:x?}");
        assert_eq!(inbound.push(&bytes[6 + at..7 + at], WIDE).map_err(|fault| fault.code), Err(1007), "{wrong:x?}");
        let mut inbound = Inbound::new(Role::Server, false);
        for (index, byte) in payload[..=at].iter().enumerate() {
            let result = inbound.push(&frame(u8::from(index == 0), mask, &[*byte]), WIDE);
            assert_eq!(result.is_err(), index == at, "{wrong:x?} at {index}");
        }
        assert_eq!(code(&bytes), Err(1007));
        // Bytes may be what they like.
        let bytes = frame(0x82, mask, &payload);
        assert_eq!(serve(&bytes).incoming, [Incoming::Binary(payload)]);
    }
}

/// What ends in the middle of a character is no text either.
#[test]
fn a_text_ends_at_the_end_of_a_character() {
    for right in RIGHT {
        for end in (0..right.len()).filter(|end| !right.is_char_boundary(*end)) {
            let cut = &right.as_bytes()[..end];
            assert_eq!(code(&masked(0x81, cut)), Err(1007));
            assert_eq!(code(&[masked(0x01, cut), masked(0x80, b"")].concat()), Err(1007));
            assert_eq!(code(&masked(0x01, cut)), Ok(false), "it may go on");
        }
    }
}

/// Fragments end anywhere, in the middle of characters as well.
#[test]
fn a_text_may_be_cut_anywhere() {
    for right in RIGHT {
        assert_eq!(serve(&masked(0x81, right.as_bytes())).incoming, [text(right)]);
        let whole = format!("a{right}é{right}z");
        for end in 0..=whole.len() {
            let (one, other) = whole.as_bytes().split_at(end);
            let bytes = [masked(0x01, one), masked(0x89, b"\xff"), masked(0x80, other)].concat();
            assert_eq!(serve(&bytes).incoming[1..], [text(&whole)], "{end}");
        }
    }
}

/// RFC 6455 sections 5.5.1 and 8.1: so is the reason of a Close frame.
#[test]
fn the_reason_of_a_close_frame_is_a_text() {
    for (wrong, _) in WRONG {
        let payload = [b"\x03\xe8bye", wrong].concat();
        assert_eq!(code(&masked(0x88, &payload)), Err(1007), "{wrong:x?}");
    }
    for right in RIGHT {
        let incoming = serve(&masked(0x88, &[b"\x0f\xa1", right.as_bytes()].concat())).incoming;
        assert!(matches!(&incoming[..], [Incoming::Close(Some(closing))] if closing.reason == *right));
    }
    // Payloads of pings are bytes.
    assert!(serve(&masked(0x89, b"\xff")).end.is_ok());
}

/// A compressed text is one when it is inflated.
#[test]
fn a_compressed_text_is_a_text() {
    let mut blocks = Vec::new();
    super::super::stored_block(b"\xff", &mut blocks);
    blocks.push(0);
    let outcome = |first: u8| feed(Role::Server, true, WIDE, [&*masked(first, &blocks)]);
    assert_eq!(outcome(0xc1).end.map_err(|fault| fault.code), Err(1007));
    assert_eq!(outcome(0xc2).incoming, [Incoming::Binary(vec![0xff])]);
}
