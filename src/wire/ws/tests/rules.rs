//! What RFC 6455 demands of frames, rule by rule.

use super::super::{Bounds, Closing, Inbound, Incoming, Role};
use super::{Outcome, WIDE, code, feed, frame, masked, serve, text};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// What is not the last frame of its message, and what goes on with it.
const FIRST_TEXT: u8 = 0x01;
const FIRST_BINARY: u8 = 0x02;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

fn all(incoming: Vec<Incoming>) -> Outcome {
    Outcome { incoming, end: Ok(true) }
}

/// RFC 6455 section 5.7: the examples.
#[test]
fn the_examples_are_read() {
    let client = |bytes: &[u8]| feed(Role::Client, false, WIDE, [bytes]);
    let hello = || text("Hello");
    assert_eq!(client(b"\x81\x05Hello"), all(vec![hello()]));
    assert_eq!(serve(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), all(vec![hello()]));
    assert_eq!(client(b"\x01\x03Hel\x80\x02lo"), all(vec![hello()]));
    assert_eq!(client(b"\x89\x05Hello"), all(vec![Incoming::Ping(b"Hello".to_vec())]));
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(serve(pong), all(vec![Incoming::Pong(b"Hello".to_vec())]));
    let kib64 = vec![7; 65536];
    let whole = [&b"\x82\x7e\x01\x00"[..], &kib64[..256], b"\x82\x7f\0\0\0\0\0\x01\0\0", &kib64].concat();
    assert_eq!(client(&whole), all(vec![Incoming::Binary(kib64[..256].to_vec()), Incoming::Binary(kib64)]));
}

/// RFC 6455 section 5.1: a server takes nothing that is not masked, a client nothing that is.
#[test]
fn who_masks_depends_on_who_sends() {
    for first in [TEXT, BINARY, CLOSE, PING, PONG] {
        // The last is a code and a text.
        for payload in [&b""[..], b"\x0c\x40"] {
            assert_eq!(code(&frame(first, None, payload)), Err(1002));
            let end = feed(Role::Client, false, WIDE, [&*masked(first, payload)]).end;
            assert_eq!(end.map_err(|fault| fault.code), Err(1002));
            // A mask of zeros is a mask.
            assert!(feed(Role::Client, false, WIDE, [&*frame(first, Some([0; 4]), payload)]).end.is_err());
            assert!(serve(&frame(first, Some([0; 4]), payload)).end.is_ok());
        }
    }
}

/// RFC 6455 section 5.2: a bit without an extension that gives it a meaning. RFC 7692 section 6.1: the first of them has one in the first frame of
/// a message, if that was agreed on, and in no other.
#[test]
fn a_reserved_bit_is_refused() {
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG, FIRST_TEXT, MORE, LAST] {
        for bits in 1..8_u8 {
            // Nothing, compressed; a Close frame has more.
            let bytes = masked(opcode | bits << 4, if opcode == CLOSE { b"\x03\xe8" } else { b"\0" });
            assert_eq!(code(&bytes), Err(1002), "{opcode:x} {bits:b}");
            let meant = bits == 4 && matches!(opcode, TEXT | BINARY | FIRST_TEXT);
            let end = feed(Role::Server, true, WIDE, [&*bytes]).end;
            assert_eq!(end.map(|_| ()).map_err(|fault| fault.code), if meant { Ok(()) } else { Err(1002) });
        }
    }
    for last in [MORE, LAST] {
        let bytes = [masked(FIRST_TEXT | 0x40, b"\xf2\x48"), masked(last | 0x40, b"\xcd")].concat();
        assert_eq!(feed(Role::Server, true, WIDE, [&*bytes]).end.map_err(|fault| fault.code), Err(1002));
    }
}

/// RFC 6455 section 5.2: opcodes that mean nothing, before, in and behind a message.
#[test]
fn a_reserved_opcode_is_refused() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for fin in [0, 0x80] {
            let wrong = masked(fin | opcode, b"x");
            assert_eq!(code(&wrong), Err(1002), "{opcode}");
            assert_eq!(code(&[masked(FIRST_TEXT, b"a"), wrong.clone()].concat()), Err(1002), "{opcode}");
            let behind = serve(&[masked(TEXT, b"a"), wrong].concat());
            assert_eq!((behind.incoming, behind.end.map_err(|fault| fault.code)), (vec![text("a")], Err(1002)));
        }
    }
}

/// RFC 6455 section 5.2: "the minimal number of bytes MUST be used to encode the length", "the most significant bit MUST be 0".
#[test]
fn a_length_has_one_form() {
    let medium = |length: u16| [&[BINARY, 0x80 | 126][..], &length.to_be_bytes(), &[0; 4]].concat();
    let long = |length: u64| [&[BINARY, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat();
    for wrong in
        [medium(0), medium(1), medium(125), long(0), long(125), long(126), long(0xffff), long(1 << 63), long(!0)]
    {
        assert_eq!(code(&wrong), Err(1002), "{wrong:x?}");
    }
    // The shortest that need the form: they wait for their payload.
    for right in [medium(126), medium(0xffff), long(0x1_0000)] {
        assert_eq!(code(&right), Ok(false), "{right:x?}");
    }
}

/// What is announced takes no memory, and is refused with its header if it is too much.
#[test]
fn bounds_are_held_before_memory_is_taken() {
    let bounds = Bounds { frame: 1000, message: 2000 };
    let header = |first: u8, length: u64| match length {
        0..126 => [&[first, 0x80 | length as u8][..], &[0; 4]].concat(),
        126..0x1_0000 => [&[first, 0x80 | 126][..], &(length as u16).to_be_bytes(), &[0; 4]].concat(),
        _ => [&[first, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat(),
    };
    for length in [1001, 0xffff, 0x1_0000, 1 << 32, 1 << 62, i64::MAX as u64] {
        let mut inbound = Inbound::new(Role::Server, true);
        let fault = inbound.push(&header(BINARY, length), bounds).unwrap_err();
        assert_eq!((fault.code, inbound.held_bytes()), (1009, 0), "{length}");
    }
    let mut inbound = Inbound::new(Role::Server, false);
    assert_eq!(inbound.push(&header(BINARY, 1000), bounds), Ok((8, None)));
    assert_eq!(inbound.held_bytes(), 0);
    // As much as has come, and what a growing buffer takes beside it.
    assert_eq!(inbound.push(&[0; 300], bounds), Ok((300, None)));
    assert!((300..700).contains(&inbound.held_bytes()));
    let (taken, incoming) = inbound.push(&[0; 900], bounds).unwrap();
    assert_eq!((taken, incoming, inbound.held_bytes()), (700, Some(Incoming::Binary(vec![0; 1000])), 0));
    // The third frame is what makes the message too long, by one byte.
    let first = [header(FIRST_BINARY, 1000), vec![0; 1000], header(MORE, 999), vec![0; 999]].concat();
    let exact = [&*first, &header(LAST, 1), b"x"].concat();
    assert_eq!(feed(Role::Server, false, bounds, [&*exact]).incoming.len(), 1);
    let over = [first, header(LAST, 2)].concat();
    assert_eq!(feed(Role::Server, false, bounds, [&*over]).end.map_err(|fault| fault.code), Err(1009));
    // Bounds as large as numbers are.
    let bounds = Bounds { frame: usize::MAX, message: usize::MAX };
    let huge = [header(FIRST_BINARY, 1), vec![0], header(LAST, i64::MAX as u64)].concat();
    for deflate in [false, true] {
        assert_eq!(feed(Role::Server, deflate, bounds, [&*huge]).end, Ok(false));
    }
}

/// RFC 6455 section 5.4: fragments make a message, in order, and it is of the first one's kind.
#[test]
fn fragments_make_a_message() {
    let message = [masked(FIRST_TEXT, b"a"), masked(MORE, b""), masked(MORE, b"b"), masked(LAST, b"")].concat();
    assert_eq!(serve(&message), all(vec![text("ab")]));
    let message = [masked(FIRST_BINARY, b""), masked(LAST, b"\xff")].concat();
    assert_eq!(serve(&message), all(vec![Incoming::Binary(vec![0xff])]));
    assert_eq!(serve(&[masked(FIRST_TEXT, b""), masked(LAST, b"")].concat()), all(vec![text("")]));
    // Not complete.
    assert_eq!(serve(&masked(FIRST_TEXT, b"")), Outcome { incoming: vec![], end: Ok(false) });
}

/// RFC 6455 section 5.4: "a message MUST NOT be interleaved with another", and what continues needs what it continues.
#[test]
fn messages_are_not_interleaved() {
    for first in [TEXT, BINARY, FIRST_TEXT, FIRST_BINARY] {
        assert_eq!(code(&[masked(FIRST_TEXT, b"a"), masked(first, b"b")].concat()), Err(1002));
    }
    for first in [MORE, LAST] {
        assert_eq!(code(&masked(first, b"a")), Err(1002));
        assert_eq!(code(&[masked(TEXT, b"a"), masked(first, b"b")].concat()), Err(1002));
    }
}

/// RFC 6455 section 5.4: "control frames MAY be injected in the middle of a fragmented message".
#[test]
fn control_frames_come_in_the_middle_of_a_message() {
    let bytes =
        [masked(FIRST_TEXT, b"a"), masked(PING, b"1"), masked(MORE, b"b"), masked(PONG, b""), masked(LAST, b"c")];
    let incoming = vec![Incoming::Ping(b"1".to_vec()), Incoming::Pong(vec![]), text("abc")];
    assert_eq!(serve(&bytes.concat()), all(incoming));
    let bytes = [masked(FIRST_TEXT, b"a"), masked(CLOSE, b"\x03\xe8bye"), masked(LAST, b"c")];
    let closing = Closing { code: 1000, reason: "bye".to_owned() };
    // Closed is never idle, and what follows is nothing.
    assert_eq!(serve(&bytes.concat()), Outcome { incoming: vec![Incoming::Close(Some(closing))], end: Ok(false) });
}

/// RFC 6455 section 5.5: control frames "MUST have a payload length of 125 bytes or less and MUST NOT be fragmented".
#[test]
fn a_control_frame_is_short_and_whole() {
    for first in [PING, PONG] {
        let longest = vec![b'x'; 125];
        assert_eq!(serve(&masked(first, &longest)).incoming.len(), 1);
        assert_eq!(code(&masked(first, &[b'x'; 126])), Err(1002));
        assert_eq!(code(&masked(first & 0x0f, b"a")), Err(1002));
        // Not even a byte of the payload is waited for.
        assert_eq!(code(&masked(first, &[b'x'; 126])[..8]), Err(1002));
    }
    assert_eq!(code(&masked(CLOSE, &[b"\x03\xe8", &[b'x'; 124][..]].concat())), Err(1002));
    assert_eq!(code(&masked(CLOSE & 0x0f, b"\x03\xe8")), Err(1002));
    // Bounds of messages are not theirs.
    let none = Bounds { frame: 0, message: 0 };
    assert_eq!(feed(Role::Server, false, none, [&*masked(PING, b"abc")]).incoming.len(), 1);
    assert_eq!(feed(Role::Server, false, none, [&*masked(TEXT, b"")]).incoming.len(), 1);
}

/// RFC 6455 sections 5.5.1 and 7.4: nothing, or a code that may be sent and a reason.
#[test]
fn a_close_frame_has_a_code_that_may_be_sent() {
    assert_eq!(serve(&masked(CLOSE, b"")).incoming, [Incoming::Close(None)]);
    assert_eq!(code(&masked(CLOSE, b"\x03")), Err(1002));
    for number in 0..=u16::MAX {
        let outcome = serve(&masked(CLOSE, &number.to_be_bytes()));
        // Section 7.4.2 and the registry of IANA; 1004, 1005, 1006 and 1015 are reserved for what is no Close frame.
        if matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            let closing = Closing { code: number, reason: String::new() };
            assert_eq!(outcome, Outcome { incoming: vec![Incoming::Close(Some(closing))], end: Ok(false) });
        } else {
            assert_eq!(outcome.end.map_err(|fault| fault.code), Err(1002), "{number}");
        }
    }
}

/// RFC 6455 section 5.5.1: after a Close frame nothing counts, be it ever so wrong.
#[test]
fn nothing_counts_after_a_close_frame() {
    let mut inbound = Inbound::new(Role::Server, false);
    let bytes = [masked(CLOSE, b""), masked(TEXT, b"a"), vec![0xff; 100]].concat();
    assert_eq!(inbound.push(&bytes, WIDE), Ok((6, Some(Incoming::Close(None)))));
    assert_eq!(inbound.push(&bytes[6..], WIDE), Ok((bytes.len() - 6, None)));
    assert!(!inbound.is_idle());
}
