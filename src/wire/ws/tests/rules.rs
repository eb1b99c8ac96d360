//! What RFC 6455 demands of frames, rule by rule.

use super::super::{Incoming, Opcode, Role, write, write_masked};
use super::{Outcome, WIDE, feed, serve};

/// RFC 6455 section 5.7: the examples.
#[test]
fn the_examples_are_read_and_written() {
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let hello = Outcome { incoming: vec![Incoming::Text("Hello".to_owned())], end: Ok(true) };
    assert_eq!(serve(masked), hello);
    let mut out = Vec::new();
    write_masked(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d], &mut out);
    assert_eq!(out, masked);
    let bare = b"\x81\x05Hello";
    assert_eq!(feed(Role::Client, false, WIDE, [&bare[..]]), hello);
    out.clear();
    write(Opcode::Text, b"Hello", &mut out);
    assert_eq!(out, bare);
}
