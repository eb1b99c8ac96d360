//! What is sent: RFC 6455 sections 5.2, 5.3, 5.5.1 and 7.

use super::super::{Closing, Incoming, Opcode, Role, answer_code, close, closing, head, write, write_masked};
use super::{WIDE, feed, frame, masked, serve};

const FIRST: [(Opcode, u8); 5] =
    [(Opcode::Text, 0x81), (Opcode::Binary, 0x82), (Opcode::Close, 0x88), (Opcode::Ping, 0x89), (Opcode::Pong, 0x8a)];

/// RFC 6455 section 5.2: the shortest form of every length.
#[test]
fn frames_are_written_as_they_are_read() {
    for (opcode, first) in FIRST {
        let control = matches!(first, 0x88..);
        for length in
            [0, 1, 2, 3, 4, 5, 125, 126, 127, 0xffff, 0x1_0000].into_iter().filter(|it| !control || *it <= 125)
        {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut out = b"before".to_vec();
            write(opcode, &payload, &mut out);
            assert_eq!(out[6..], frame(first, None, &payload));
            out.clear();
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            write_masked(opcode, &payload, mask, &mut out);
            assert_eq!(out, frame(first, Some(mask), &payload));
            out.clear();
            head(opcode, false, length, &mut out);
            out.extend(&payload);
            assert_eq!(out, frame(first, None, &payload));
        }
    }
}

/// RFC 7692 section 6.1: the first reserved bit.
#[test]
fn a_compressed_message_says_so() {
    let mut out = Vec::new();
    head(Opcode::Text, true, 300, &mut out);
    assert_eq!(out, [0xc1, 126, 1, 44]);
    out.clear();
    head(Opcode::Binary, true, 1, &mut out);
    assert_eq!(out, [0xc2, 1]);
}

/// RFC 6455 section 5.5: the payload has at most 125 bytes; section 8.1: what is cut is still UTF-8.
#[test]
fn a_reason_is_cut_at_the_end_of_a_character() {
    for (reason, length) in [
        (String::new(), 0),
        ("x".repeat(123), 123),
        ("x".repeat(124), 123),
        ("é".repeat(70), 122),
        ("🎈".repeat(31), 120),
    ] {
        let mut out = Vec::new();
        close(1011, &reason, &mut out);
        let incoming = feed(Role::Client, false, WIDE, [&*out]).incoming;
        let closing = Closing { code: 1011, reason: reason[..length].to_owned() };
        assert_eq!(incoming, [Incoming::Close(Some(closing))]);
    }
    let mut out = Vec::new();
    write_masked(Opcode::Close, &closing(4001, "enough"), [9, 8, 7, 6], &mut out);
    let closing = Closing { code: 4001, reason: "enough".to_owned() };
    assert_eq!(serve(&out).incoming, [Incoming::Close(Some(closing))]);
}

/// RFC 6455 section 5.5.1: the code that was received.
#[test]
fn the_answer_to_a_close_frame_has_its_code() {
    assert_eq!(answer_code(None), None);
    assert_eq!(answer_code(Some(&Closing { code: 4999, reason: String::new() })), Some(4999));
}

/// RFC 6455 section 7.1.7: what the Close frame of a failed connection says, for people and in room for it.
#[test]
fn every_fault_fits_into_a_close_frame() {
    let wrong: [&[u8]; 8] = [
        &frame(0x81, None, b""),
        &masked(0xf1, b""),
        &masked(0x83, b""),
        &masked(0x09, b""),
        &masked(0x80, b""),
        &masked(0x88, b"\0\0"),
        &masked(0x81, b"\xff"),
        b"\x81\xff\x70\0\0\0\0\0\0\0\0\0\0\0",
    ];
    for bytes in wrong {
        let fault = serve(bytes).end.unwrap_err();
        let mut out = Vec::new();
        close(fault.code, fault.reason, &mut out);
        let closing = Closing { code: fault.code, reason: fault.reason.to_owned() };
        assert_eq!(feed(Role::Client, false, WIDE, [&*out]).incoming, [Incoming::Close(Some(closing))]);
        assert!(fault.reason.ends_with('.') && fault.reason.starts_with(char::is_uppercase));
        assert_eq!(fault.to_string(), format!("{} {}", fault.code, fault.reason));
    }
}
