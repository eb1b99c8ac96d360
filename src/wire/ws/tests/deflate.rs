//! Compression: RFC 7692 section 7.2.

use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

use super::super::{Bounds, Deflater, Incoming, Role, TAIL, inflate, stored_block};
use super::{WIDE, feed, frame, masked};

const HELLO: &[u8] = b"Hello";

/// The payload of a message of which nothing is stored.
fn message(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new().deflate(text, &mut out);
    assert!(out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

/// RFC 7692 section 7.2.3: the examples that share nothing from message to message.
#[test]
fn the_examples_are_inflated() {
    let one_block = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let no_compression = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    let last_block = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    let two_blocks = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    for payload in [&one_block[..], no_compression, last_block, two_blocks] {
        assert_eq!(inflate(payload, 5).as_deref(), Ok(HELLO), "{payload:x?}");
    }
    // Section 7.2.3.4, twice over: what says that it is the last is not.
    let twice = [&last_block[..7], last_block].concat();
    assert_eq!(inflate(&twice, 10).as_deref(), Ok(&b"HelloHello"[..]));
    // Section 7.2.1: what ends with an empty block goes without its tail, also if that block says that it is the last.
    let empty_last_block = [&one_block[..6], b"\x00\x00\x00\xff\xff\x01"].concat();
    assert_eq!(inflate(&empty_last_block, 5).as_deref(), Ok(HELLO));
    // And without the byte that should follow it.
    assert_eq!(inflate(&last_block[..7], 5).as_deref(), Ok(HELLO));
    let hello = [Incoming::Text("Hello".to_owned())];
    let client = |bytes: &[u8]| feed(Role::Client, true, WIDE, [bytes]).incoming;
    assert_eq!(client(b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), hello);
    assert_eq!(client(b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"), hello);
    // Section 6.1: what is agreed on need not be done.
    assert_eq!(client(b"\x81\x05Hello"), hello);
    // Section 7.2.3.6: nothing.
    assert_eq!(inflate(b"\x00", 0).as_deref(), Ok(&b""[..]));
    assert_eq!(message(b""), b"\x00");
}

/// RFC 7692 sections 7.2.1 and 7.2.2.
#[test]
fn what_was_deflated_is_inflated() {
    for text in [&b""[..], b"a", b"{}", b"{\"subject\":\"/a\"}", &[b'x'; 300_000]] {
        assert_eq!(inflate(&message(text), 300_000).as_deref(), Ok(text));
    }
}

/// A frame to one of many: what is personal as it is, what all share compressed once, several of them in one message.
#[test]
fn shared_blocks_follow_whatever_they_like() {
    let mut deflater = Deflater::new();
    let shared: Vec<Vec<u8>> = [&b"\"subject\":\"/a\",\"data\":\"subject\"}"[..], b"", &[b'z'; 70_000]]
        .iter()
        .map(|text| {
            let (mut once, mut again) = (Vec::new(), Vec::new());
            deflater.deflate(text, &mut once);
            deflater.deflate(text, &mut again);
            assert_eq!(once, again, "something was left from the time before");
            once
        })
        .collect();
    let mut out = Vec::new();
    stored_block(b"[{\"lost\":3,", &mut out);
    out.extend(&shared[0]);
    out.extend(&shared[1]);
    stored_block(b",{", &mut out);
    out.extend(&shared[0]);
    out.extend(&shared[2]);
    let stored = vec![b's'; 65_536];
    stored_block(&stored, &mut out);
    stored_block(b"", &mut out);
    out.extend(&shared[0]);
    out.truncate(out.len() - TAIL.len());
    let one = "\"subject\":\"/a\",\"data\":\"subject\"}";
    let expected = format!("[{{\"lost\":3,{one},{{{one}{}{}{one}", "z".repeat(70_000), "s".repeat(65_536));
    assert_eq!(inflate(&out, expected.len()).unwrap(), expected.as_bytes());
}

/// What is larger than it may be is not inflated any further: 1009.
#[test]
fn a_zip_bomb_is_capped() {
    let bomb = message(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let max = 256 * 1024;
    assert_eq!(inflate(&bomb, max).unwrap_err().code, 1009);
    assert_eq!(inflate(&bomb, 0).unwrap_err().code, 1009);
    let bounds = Bounds { frame: max, message: max };
    let outcome = feed(Role::Server, true, bounds, [&*masked(0xc2, &bomb)]);
    assert_eq!(outcome.end.map_err(|fault| fault.code), Err(1009));
    // To the byte.
    let exact = message(&vec![b'x'; max]);
    assert_eq!(inflate(&exact, max).map(|out| out.len()), Ok(max));
    assert_eq!(inflate(&exact, max - 1).unwrap_err().code, 1009);
    assert_eq!(feed(Role::Server, true, bounds, [&*masked(0xc2, &exact)]).incoming.len(), 1);
    let over = message(&vec![b'x'; max + 1]);
    let outcome = feed(Role::Server, true, bounds, [&*masked(0xc2, &over)]);
    assert_eq!(outcome.end.map_err(|fault| fault.code), Err(1009));
}

/// What cannot be compressed grows on its way; a message of the largest size has room for that.
#[test]
fn a_message_that_grows_by_compression_still_fits() {
    let max = 256 * 1024;
    // Numbers that follow no rule that DEFLATE knows.
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(max)
    .collect();
    let blocks = message(&noise);
    assert!(blocks.len() > max);
    let bounds = Bounds { frame: max, message: max };
    assert_eq!(feed(Role::Server, true, bounds, [&*masked(0xc2, &blocks)]).incoming, [Incoming::Binary(noise)]);
    // As much as that, and no more: refused with its header.
    let most = max + max / 64 + 64;
    for (length, end) in [(most, Ok(false)), (most + 1, Err(1009))] {
        let header = &masked(0xc2, &vec![0; length])[..14];
        assert_eq!(feed(Role::Server, true, bounds, [header]).end.map_err(|fault| fault.code), end);
        let bare = &masked(0x82, &vec![0; max + 1])[..14];
        assert_eq!(feed(Role::Server, true, bounds, [bare]).end.map_err(|fault| fault.code), Err(1009));
    }
}

/// What is no DEFLATE, or not all of it: 1007.
#[test]
fn what_cannot_be_inflated_is_refused() {
    let whole = message(b"{\"subject\":\"/a\",\"data\":\"some words, and some words again\"}");
    for end in 1..whole.len() {
        assert_eq!(inflate(&whole[..end], 1000).map_err(|fault| fault.code), Err(1007), "cut at {end}");
    }
    // A stored block that wants more than comes, what stands for the tail of the message included.
    assert_eq!(inflate(b"\x00\x20\x00\xdf\xffHello", 1000).map_err(|fault| fault.code), Err(1007));
    // A reserved kind of block; a distance into nothing; a stored block whose length is not repeated.
    for wrong in [&b"\x06"[..], b"\x4b\x04\x22\x00", b"\x00\x05\x00\x05\x00Hello\x00"] {
        assert_eq!(inflate(wrong, 1000).map_err(|fault| fault.code), Err(1007), "{wrong:x?}");
        let end = feed(Role::Server, true, WIDE, [&*frame(0xc1, Some([1, 2, 3, 4]), wrong)]).end;
        assert_eq!(end.map_err(|fault| fault.code), Err(1007));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any bytes, stored and deflated in turns, come out as they went in, by our inflater and by flate2's as it is.
    #[test]
    fn parts_make_the_whole(parts in prop::collection::vec((any::<bool>(), any::<Vec<u8>>(), 1..200_usize), 0..6)) {
        let (mut out, mut expected) = (Vec::new(), Vec::<u8>::new());
        let mut deflater = Deflater::new();
        for (stored, bytes, times) in parts {
            let bytes = bytes.repeat(times);
            expected.extend(&bytes);
            if stored {
                stored_block(&bytes, &mut out);
            } else {
                deflater.deflate(&bytes, &mut out);
            }
        }
        deflater.deflate(b"end", &mut out);
        expected.extend(b"end");
        let mut theirs = Vec::with_capacity(expected.len() + 1);
        Decompress::new(false).decompress_vec(&out, &mut theirs, FlushDecompress::Sync).unwrap();
        prop_assert!(theirs == expected);
        out.truncate(out.len() - TAIL.len());
        prop_assert!(inflate(&out, expected.len()).unwrap() == expected);
        prop_assert_eq!(inflate(&out, expected.len() - 1).unwrap_err().code, 1009);
    }

    /// No bytes make more than they may, or a panic.
    #[test]
    fn noise_is_survived(bytes in any::<Vec<u8>>(), max in 0..1000_usize) {
        if let Ok(out) = inflate(&bytes, max) {
            prop_assert!(out.len() <= max);
        }
    }
}

/// Each of these blocks says that it is the last and costs its sender two bytes.
#[test]
fn few_streams_stand_in_one_message() {
    assert_eq!(inflate(&[3, 0].repeat(1000), 100), Ok(Vec::new()));
    assert_eq!(inflate(&[3, 0].repeat(100_000), 100).map_err(|fault| fault.code), Err(1007));
}
