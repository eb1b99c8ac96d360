//! Compression: RFC 7692 section 7.2.

use super::super::{Deflater, TAIL, inflate, stored_block};

fn message(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new().deflate(text, &mut out);
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

/// RFC 7692 sections 7.2.1 and 7.2.2.
#[test]
fn what_was_deflated_is_inflated() {
    for text in [&b""[..], b"a", b"{}", b"{\"subject\":\"/a\"}", &[b'x'; 300_000]] {
        assert_eq!(inflate(&message(text), 300_000).as_deref(), Ok(text));
    }
}

/// A frame to one of many: what is personal as it is, what all share compressed once.
#[test]
fn shared_blocks_follow_a_stored_one() {
    let mut out = Vec::new();
    stored_block(b"{\"lost\":3,", &mut out);
    out.extend(message(b"\"subject\":\"/a\"}"));
    assert_eq!(inflate(&out, 1000).as_deref(), Ok(&b"{\"lost\":3,\"subject\":\"/a\"}"[..]));
}
