//! What comes of bytes does not depend on the pieces they come in.

use proptest::prelude::*;

use super::super::{Bounds, Closing, Deflater, Incoming, Role, TAIL};
use super::{Outcome, WIDE, feed, frame, masked};

/// Cuts `bytes` at `cuts`, which are taken modulo the length.
fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut blocks = Vec::new();
    Deflater::new().deflate(payload, &mut blocks);
    blocks.truncate(blocks.len() - TAIL.len());
    blocks
}

/// One of everything there is, of a client.
fn everything() -> Vec<u8> {
    let long = "long ".repeat(30);
    let blocks = compressed(long.as_bytes());
    [
        masked(0x81, b""),
        masked(0x81, "héllo, 世界 🎈".as_bytes()),
        masked(0x82, &[0xff; 200]),
        masked(0x89, b"ping"),
        masked(0x01, b"\xe4"),
        masked(0x8a, b""),
        masked(0x00, b"\xb8\x96"),
        masked(0x80, "界".as_bytes()),
        masked(0xc1, &blocks),
        masked(0x41, &blocks[..3]),
        masked(0x89, &[7; 125]),
        masked(0x80, &blocks[3..]),
        masked(0x88, b"\x0f\xa0bye"),
        b"whatever".to_vec(),
    ]
    .concat()
}

/// Every message in two pieces, cut at every byte, and in pieces of one byte.
#[test]
fn messages_may_be_cut_at_every_byte() {
    let bytes = everything();
    let whole = feed(Role::Server, true, WIDE, [&*bytes]);
    assert_eq!((whole.incoming.len(), whole.end), (10, Ok(false)));
    for at in 0..=bytes.len() {
        let (one, other) = bytes.split_at(at);
        assert_eq!(feed(Role::Server, true, WIDE, [one, other]), whole, "cut at {at}");
    }
    assert_eq!(feed(Role::Server, true, WIDE, bytes.chunks(1)), whole);
}

/// A message to be sent: what it is, where it is cut into frames, and what comes between those.
#[derive(Clone, Debug)]
struct Sent {
    incoming: Incoming,
    cuts: Vec<usize>,
    between: Vec<Vec<u8>>,
    compress: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let incoming = prop_oneof![
        any::<String>().prop_map(Incoming::Text),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(Incoming::Binary),
        "[a-c]{0,2000}".prop_map(Incoming::Text),
    ];
    let pings = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..126), 0..3);
    (incoming, prop::collection::vec(any::<usize>(), 0..5), pings, any::<bool>())
        .prop_map(|(incoming, cuts, between, compress)| Sent { incoming, cuts, between, compress })
}

/// The frames of `sent`, and what comes of them, in order.
fn frames(sent: &Sent, mask: Option<[u8; 4]>, deflate: bool, bytes: &mut Vec<u8>, expected: &mut Vec<Incoming>) {
    let (opcode, payload) = match &sent.incoming {
        Incoming::Text(text) => (1, text.as_bytes()),
        Incoming::Binary(bytes) => (2, &bytes[..]),
        other => panic!("{other:?} is no message"),
    };
    let compress = deflate && sent.compress;
    let payload = if compress { compressed(payload) } else { payload.to_vec() };
    let pieces = cut(&payload, &sent.cuts);
    for (index, piece) in pieces.iter().enumerate() {
        let fin = if index + 1 == pieces.len() { 0x80 } else { 0 };
        let first = if index == 0 { opcode | u8::from(compress) << 6 } else { 0 };
        if let Some(ping) = sent.between.get(index) {
            bytes.extend(frame(0x89, mask, ping));
            expected.push(Incoming::Ping(ping.clone()));
        }
        bytes.extend(frame(fin | first, mask, piece));
    }
    expected.push(sent.incoming.clone());
}

/// Frames that are good, bad and in between, so that a random sequence of them is often nearly a conversation.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let parts = vec![
        masked(0x81, b"text"),
        masked(0x81, b"\xc3"),
        masked(0x01, b"\xc3"),
        masked(0x80, b"\xa9"),
        masked(0x00, b"\xa9"),
        masked(0x00, b""),
        masked(0x80, b""),
        masked(0x82, &[0; 130]),
        masked(0x02, b"\0\xff"),
        masked(0x89, b"ping"),
        masked(0x8a, b""),
        masked(0xc1, &compressed(b"compressed")),
        masked(0x41, &compressed(b"compressed")[..5]),
        masked(0x80, &compressed(b"compressed")[5..]),
        masked(0xc2, &compressed(&[0; 3000])),
        masked(0x88, b""),
        masked(0x88, b"\x03\xed"),
        masked(0x83, b""),
        masked(0x09, b""),
        frame(0x81, None, b"bare"),
        b"\x82\xff\0\0\0\0\0\0\x40\0".to_vec(),
        b"\x82\xfe\0\x04".to_vec(),
    ];
    prop_oneof![20 => prop::sample::select(parts), 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Any messages in any frames in any pieces are those messages.
    #[test]
    fn messages_come_out_as_they_went_in(
        all in prop::collection::vec(sent(), 0..6),
        mask in any::<Option<[u8; 4]>>(),
        deflate in any::<bool>(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        let (mut bytes, mut incoming) = (Vec::new(), Vec::new());
        for sent in &all {
            frames(sent, mask, deflate, &mut bytes, &mut incoming);
        }
        prop_assert_eq!(feed(role, deflate, WIDE, cut(&bytes, &cuts)), Outcome { incoming: incoming.clone(), end: Ok(true) });
        bytes.extend(frame(0x88, mask, b"\x10\x67\xf0\x9f\x8e\x88"));
        incoming.push(Incoming::Close(Some(Closing { code: 4199, reason: "🎈".to_owned() })));
        prop_assert_eq!(feed(role, deflate, WIDE, bytes.chunks(7)), Outcome { incoming, end: Ok(false) });
    }

    /// Messages and faults are the same whole, byte by byte and in random pieces, with bounds that are reached.
    #[test]
    fn pieces_do_not_matter(
        parts in prop::collection::vec(part(), 0..10),
        deflate in any::<bool>(),
        bounds in (0..300_usize, 0..300_usize),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let bytes = parts.concat();
        let bounds = Bounds { frame: bounds.0, message: bounds.1 };
        let whole = feed(Role::Server, deflate, bounds, [&*bytes]);
        prop_assert_eq!(&whole, &feed(Role::Server, deflate, bounds, bytes.chunks(1)));
        prop_assert_eq!(&whole, &feed(Role::Server, deflate, bounds, cut(&bytes, &cuts)));
    }

    /// No bytes at all make it panic or spin.
    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), deflate in any::<bool>()) {
        for role in [Role::Server, Role::Client] {
            feed(role, deflate, WIDE, [&*bytes]);
        }
    }
}
