//! Bytes to words.

use std::hint::black_box;

use pushletd::wire::http::{Progress, RequestReader};
use pushletd::wire::pushlet::{self, Incoming};
use pushletd::wire::v1::{self, Body, Query};
use pushletd::wire::ws::{self, Bounds, Inbound, Opcode, Role};

use crate::heads::HEADS;
use crate::messages::{BODIES, ITEM, MESSAGE, QUERY};
use crate::{HotPath, Step};

const STEPS: u64 = 200;
const BOUNDS: Bounds = Bounds { frame: 1 << 20, message: 1 << 20 };

pub(crate) fn paths() -> Vec<HotPath> {
    let heads = HEADS.into_iter().flat_map(|(name, bytes)| {
        [("whole", usize::MAX), ("bytewise", 1)]
            .map(|(way, piece)| HotPath::new(format!("http-{name}-{way}"), 1, STEPS, move |_| read(bytes, piece)))
    });
    let bodies = BODIES
        .into_iter()
        .map(|(name, body)| HotPath::new(format!("pushlet-{name}"), 1, STEPS, move |_| pushlet_door(true, &[], body)));
    let rest = [
        HotPath::new("http-handshake-answer", 1, STEPS, |_| handshake()),
        HotPath::new("pushlet-query", 1, STEPS, |_| pushlet_door(false, QUERY, &[])),
        HotPath::new("v1-publish", 1, STEPS, |_| v1_publish(ITEM.to_vec(), Body::Json)),
        HotPath::new("v1-publish-64-lines", 64, 10, |_| v1_publish(vec![ITEM; 64].join(&b'\n'), Body::Lines)),
        HotPath::new("ws-publish-and-ack", 1, STEPS, |_| message(false)),
        HotPath::new("ws-publish-and-ack-deflated", 1, STEPS, |_| message(true)),
    ];
    heads.chain(bodies).chain(rest).collect()
}

/// One request in pieces of so many bytes.
fn read(bytes: &'static [u8], piece: usize) -> Step {
    let mut reader = RequestReader::new();
    Box::new(move || {
        let mut complete = None;
        for piece in black_box(bytes).chunks(piece) {
            if let Ok((_, Progress::Complete(request))) = reader.push(piece) {
                complete = Some(request);
            }
        }
        black_box(complete.expect("a request is complete with its last byte"));
    })
}

/// The handshake of a WebSocket, judged and answered.
fn handshake() -> Step {
    let (_, bytes) = HEADS.into_iter().find(|(name, _)| *name == "handshake").expect("one of them");
    let Ok((_, Progress::Complete(request))) = RequestReader::new().push(bytes) else { panic!("a good request") };
    let mut out = Vec::new();
    Box::new(move || {
        let upgrade = ws::upgrade(black_box(&request.head), true).expect("a good handshake");
        out.clear();
        ws::switching_protocols(&upgrade, "Sun, 20 Jul 2025 08:26:40 GMT", &[], &mut out);
        black_box(&out);
    })
}

fn pushlet_door(post: bool, query: &'static [u8], body: &'static [u8]) -> Step {
    Box::new(move || {
        let incoming = Incoming {
            post,
            path: "/pushlet.srv",
            query: black_box(query),
            body: black_box(body),
            user_agent: Some("curl/8.5.0"),
            force_pull_agents: &[],
        };
        black_box(pushlet::read(&incoming).expect("a good request"));
    })
}

fn v1_publish(body: Vec<u8>, kind: Body) -> Step {
    let query = Query::default();
    Box::new(move || {
        let (items, _) = v1::read(kind, &query, Some("application/json"), black_box(&body)).expect("a good body");
        assert!(items.iter().all(Result::is_ok));
        black_box(items);
    })
}

/// A message of a client from its frame to the frame that acknowledges it.
fn message(deflate: bool) -> Step {
    let mut payload = MESSAGE.as_bytes().to_vec();
    if deflate {
        payload.clear();
        ws::Deflater::new().deflate(MESSAGE.as_bytes(), &mut payload);
        payload.truncate(payload.len() - ws::TAIL.len());
    }
    let mut frame = Vec::new();
    ws::write_masked(Opcode::Text, &payload, [0x12, 0x34, 0x56, 0x78], &mut frame);
    if deflate {
        // RSV1 (RFC 7692 section 6).
        frame[0] |= 0x40;
    }
    let mut out = Vec::new();
    Box::new(move || {
        let mut inbound = Inbound::new(Role::Server, deflate);
        let Ok((_, Some(ws::Incoming::Text(text)))) = inbound.push(black_box(&frame), BOUNDS) else {
            panic!("a good frame")
        };
        out.clear();
        for place in v1::requests(&text).expect("a good message") {
            let request = v1::request(&text[place]);
            black_box(request.wanted.expect("a good request"));
            ws::write(Opcode::Text, &v1::ack(&request.id.expect("it has an id")), &mut out);
        }
        black_box(&out);
    })
}
