//! The conversation against bytes that a server sends, in all pieces, and a clock that is told.

use proptest::prelude::*;

use super::*;
use crate::limits::{CLIENT_ANSWER_MS, CLIENT_EVENT_BYTES_MAX, CLIENT_LEAVE_MS};
use crate::time::Instant;
use crate::wire::ws::{self, Bounds, Deflater, Inbound, Opcode, Role, TAIL, accept_key};

const OFFER: Offer<'static> =
    Offer { host: "h:81", target: "/v1/ws?subject=/a", bearer: None, deflate: false, nonce: [7; 16] };
const MASK: [u8; 4] = [1, 2, 3, 4];

fn open(offer: &Offer<'_>) -> (Conversation, String) {
    let mut request = Vec::new();
    let conversation = Conversation::new(offer, Instant::ZERO, &mut request).expect("an offer");
    (conversation, String::from_utf8(request).expect("a request is ASCII"))
}

fn key_of(request: &str) -> &str {
    request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key")
}

/// The answer that agrees to `request`.
fn agreement(request: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: pushlet.v1.json\r\n\r\n",
        accept_key(key_of(request))
    )
}

fn text(message: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::write(Opcode::Text, message.as_bytes(), &mut frame);
    frame
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::write(opcode, payload, &mut frame);
    frame
}

fn closing(code: u16, reason: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::close(code, reason, &mut frame);
    frame
}

const SESSION: &str = r#"{"type":"session","session":"ID","address":"ADDR","heartbeat_ms":20000,"message_max":1000}"#;

/// All that is told and sent when these bytes come in pieces of `step`.
fn exchange(conversation: &mut Conversation, bytes: &[u8], step: usize, now: Instant) -> (Vec<Incoming>, Vec<u8>) {
    let (mut told, mut sent) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(step) {
        conversation.handle(piece, now);
        told.extend(std::iter::from_fn(|| conversation.poll()));
        while conversation.wants_transmit() {
            assert!(conversation.transmit(MASK, &mut sent));
        }
        assert!(!conversation.transmit(MASK, &mut sent));
    }
    (told, sent)
}

/// What a server makes of what was sent.
fn heard(bytes: &[u8]) -> Vec<ws::Incoming> {
    let mut inbound = Inbound::new(Role::Server, false);
    let (mut at, mut heard) = (0, Vec::new());
    while at < bytes.len() {
        let (taken, incoming) =
            inbound.push(&bytes[at..], Bounds { frame: 1 << 20, message: 1 << 20 }).expect("frames of a client");
        at += taken;
        heard.extend(incoming);
    }
    heard
}

/// A conversation with a session.
fn joined() -> Conversation {
    let (mut conversation, request) = open(&OFFER);
    let bytes = [agreement(&request).into_bytes(), text(SESSION)].concat();
    let (told, sent) = exchange(&mut conversation, &bytes, bytes.len(), Instant::ZERO);
    assert!(matches!(told.as_slice(), [Incoming::Session(_)]), "{told:?}");
    assert!(sent.is_empty());
    conversation
}

/// RFC 6455 section 4.1.
#[test]
fn the_request_is_a_handshake() {
    let (_, request) = open(&Offer { bearer: Some("s3cret"), deflate: true, ..OFFER });
    let mut lines = request.lines();
    assert_eq!(lines.next(), Some("GET /v1/ws?subject=/a HTTP/1.1"));
    for line in [
        "Host: h:81",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: BwcHBwcHBwcHBwcHBwcHBw==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: pushlet.v1.json",
        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "Authorization: Bearer s3cret",
    ] {
        assert!(request.lines().any(|known| known == line), "{line} is not in {request}");
    }
    assert!(request.ends_with("\r\n\r\n"));
    let plain = open(&OFFER).1;
    assert!(!plain.contains("Extensions") && !plain.contains("Authorization") && !plain.contains("Origin"), "{plain}");
    for broken in [
        Offer { host: "h\r\nX: y", ..OFFER },
        Offer { host: "", ..OFFER },
        Offer { target: "/a b", ..OFFER },
        Offer { target: "a", ..OFFER },
        Offer { bearer: Some("a\nb"), ..OFFER },
    ] {
        let mut out = Vec::new();
        assert!(Conversation::new(&broken, Instant::ZERO, &mut out).is_err() && out.is_empty(), "{broken:?}");
    }
    assert!(!format!("{:?}", Offer { bearer: Some("s3cret"), ..OFFER }).contains("s3cret"));
}

/// The server reads what the client writes, and the other way round.
#[test]
fn both_ends_agree() {
    use crate::wire::http::{Progress, RequestReader};
    for deflate in [false, true] {
        let (mut conversation, request) = open(&Offer { deflate, ..OFFER });
        let head = match RequestReader::new().push(request.as_bytes()) {
            Ok((_, Progress::Complete(request))) => request.head,
            other => panic!("{other:?}"),
        };
        let upgrade = ws::upgrade(&head, true).expect("a handshake");
        assert_eq!((upgrade.deflate, upgrade.protocol), (deflate, Some(ws::PROTOCOL)));
        let mut answer = Vec::new();
        ws::switching_protocols(&upgrade, "Sun, 06 Nov 1994 08:49:37 GMT", &[], &mut answer);
        conversation.handle(&answer, Instant::ZERO);
        assert!(conversation.is_open() && conversation.poll().is_none());
        if deflate {
            let event = format!(r#"{{"subject":"/a","data":"{}"}}"#, "x".repeat(500));
            let mut blocks = Vec::new();
            Deflater::new().deflate(event.as_bytes(), &mut blocks);
            let payload = blocks.strip_suffix(&TAIL).expect("it is there");
            let mut frame = Vec::new();
            ws::head(Opcode::Text, true, payload.len(), &mut frame);
            frame.extend_from_slice(payload);
            conversation.handle(&frame, Instant::ZERO);
            assert!(matches!(conversation.poll(), Some(Incoming::Event(told)) if told.text() == event));
        }
    }
}

#[test]
fn a_wrong_agreement_is_none() {
    let good = agreement(&open(&OFFER).1);
    for (from, to, said) in [
        ("HTTP/1.1", "HTTP/1.0", "HTTP/1.1"),
        ("Upgrade: WebSocket\r\n", "", "no Upgrade"),
        ("Upgrade: WebSocket", "Upgrade: h2c", "not websocket"),
        ("Upgrade: WebSocket", "Upgrade: websocket\r\nUpgrade: websocket", "more than one"),
        ("Connection: keep-alive, upgrade\r\n", "", "Connection"),
        ("keep-alive, upgrade", "keep-alive", "Connection"),
        ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x", "our key"),
        ("Sec-WebSocket-Accept", "X", "no Sec-WebSocket-Accept"),
        ("pushlet.v1.json", "chat", "subprotocol"),
        ("Sec-WebSocket-Protocol: pushlet.v1.json\r\n", "", "Sec-WebSocket-Protocol"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "extension"),
    ] {
        let (mut conversation, _) = open(&OFFER);
        let answer = good.replacen(from, to, 1);
        assert_ne!(answer, good, "{from}");
        let (told, sent) = exchange(&mut conversation, answer.as_bytes(), 7, Instant::ZERO);
        let [Incoming::Refused(refusal)] = told.as_slice() else { panic!("{from}: {told:?}") };
        assert!(refusal.detail.contains(said) && refusal.status == 101, "{from}: {refusal}");
        assert_eq!((refusal.advice(), sent.len(), conversation.is_over()), (Advice::Stop, 0, true));
    }
    let offer = Offer { deflate: true, ..OFFER };
    for (value, fits) in [
        ("permessage-deflate; server_no_context_takeover", true),
        ("permessage-deflate; client_no_context_takeover; SERVER_no_context_takeover; server_max_window_bits=12", true),
        ("permessage-deflate", false),
        ("permessage-deflate; server_no_context_takeover; x=1", false),
        ("permessage-deflate; server_no_context_takeover, other", false),
        ("other", false),
    ] {
        let (mut conversation, request) = open(&offer);
        let field = format!("\r\nSec-WebSocket-Extensions: {value}\r\n\r\n");
        conversation.handle(agreement(&request).replacen("\r\n\r\n", &field, 1).as_bytes(), Instant::ZERO);
        assert_eq!(conversation.is_open(), fits, "{value}");
    }
}

/// What a server says instead is kept: its status, its problem document, when to come again.
#[test]
fn a_refusal_is_told_with_its_reason() {
    let body = r#"{"status":403,"detail":"You may not.","field":"subject"}"#;
    let counted = format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunked = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for answer in [counted, chunked] {
        for step in 1..answer.len() {
            let (told, _) = exchange(&mut open(&OFFER).0, answer.as_bytes(), step, Instant::ZERO);
            let [Incoming::Refused(refusal)] = told.as_slice() else { panic!("{told:?}") };
            assert_eq!((refusal.status, refusal.advice()), (403, Advice::Stop));
            assert_eq!(refusal.to_string(), "the server answered 403: You may not. (subject)");
        }
    }
    for (answer, said, advice) in [
        ("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", "503: Busy", Advice::Rejoin),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "no WebSocket", Advice::Stop),
        ("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "sends us to /x", Advice::Stop),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nab", "404: Not Found", Advice::Stop),
        ("HTTP/1.1 40", "without an answer", Advice::Rejoin),
        ("SSH-2.0-x\r\n\r\n", "not HTTP", Advice::Rejoin),
    ] {
        let (mut conversation, _) = open(&OFFER);
        conversation.handle(answer.as_bytes(), Instant::ZERO);
        conversation.handle_end("gone");
        let Some(Incoming::Refused(refusal)) = conversation.poll() else { panic!("{answer}") };
        assert!(refusal.to_string().contains(said), "{refusal}");
        assert_eq!(refusal.advice(), advice, "{answer}");
        assert_eq!(conversation.poll(), None);
    }
    let endless = format!("HTTP/1.1 101 X\r\nA: {}", "a".repeat(crate::limits::CLIENT_HEAD_BYTES_MAX));
    let (told, _) = exchange(&mut open(&OFFER).0, endless.as_bytes(), 5000, Instant::ZERO);
    assert!(matches!(told.as_slice(), [Incoming::Refused(refusal)] if refusal.detail.contains("no end")), "{told:?}");
}

/// Everything that a server says, cut at every byte; pings and the Close frame are answered.
#[test]
fn messages_are_told_in_any_pieces() {
    let (_, request) = open(&OFFER);
    let bytes = [
        agreement(&request).into_bytes(),
        text(SESSION),
        text(r#"{"type":"reset","reason":"no-history"}"#),
        text(r#"[{"lost":2,"subject":"/a","data":1},{"type":"later","subject":5},{"type":"ack","id":1,"accepted":3,"refused":0}]"#),
        frame(Opcode::Ping, b"are you there"),
        text(r#"{"type":"nack","id":2,"status":403,"reason":"No.","field":"subject","limit":9}"#),
        text(r#"{"type":"nack","status":400,"reason":"Bad."}"#),
        text(r#"{"type":"pong","id":3,"time":7}"#),
        text(r#"{"type":"heartbeat"}"#),
        text("{no json"),
        text(r#"{"nothing":1}"#),
        text(r#"{"type":"ack","id":"not ours"}"#),
        text(r#"{"type":"end","reason":"queue-full","text":"Too slow.","action":"rejoin","retry_ms":700}"#),
        closing(4004, "queue-full"),
    ]
    .concat();
    for step in 1..=bytes.len() {
        let (mut conversation, _) = open(&OFFER);
        let (told, sent) = exchange(&mut conversation, &bytes, step, Instant::ZERO);
        let closed =
            Closed { code: Some(4004), reason: "Too slow.".to_owned(), advice: Advice::Rejoin, retry_ms: Some(700) };
        let [session, reset, event, ack, nack, bad, pong, heartbeat, skipped, end, last] = told.as_slice() else {
            panic!("in pieces of {step}: {told:?}")
        };
        let Incoming::Session(session) = session else { panic!("{session:?}") };
        assert_eq!((session.id.as_str(), session.address.as_str(), session.message_max), ("ID", "ADDR", Some(1000)));
        assert_eq!(*reset, Incoming::Reset { reason: "no-history".to_owned() });
        assert!(matches!(event, Incoming::Event(event) if event.lost() == 2 && event.data() == Some("1")), "{event:?}");
        assert_eq!(*ack, Incoming::Ack { id: 1, accepted: Some(3) });
        let Incoming::Nack(nack) = nack else { panic!("{nack:?}") };
        assert_eq!((nack.id, nack.limit, nack.to_string().as_str()), (Some(2), Some(9), "403 No. (subject)"));
        assert!(matches!(bad, Incoming::Nack(Nack { id: None, status: 400, .. })), "{bad:?}");
        assert_eq!((pong, heartbeat), (&Incoming::Pong { id: Some(3), time: Some(7) }, &Incoming::Heartbeat));
        assert!(matches!(skipped, Incoming::Skipped(_)) && matches!(end, Incoming::End(_)));
        assert_eq!((last, conversation.is_over()), (&Incoming::Closed(closed), true));
        let answers = [
            ws::Incoming::Pong(b"are you there".to_vec()),
            ws::Incoming::Close(Some(ws::Closing { code: 4004, reason: String::new() })),
        ];
        assert_eq!(heard(&sent), answers, "in pieces of {step}");
        conversation.handle(&text(SESSION), Instant::ZERO);
        assert_eq!(conversation.poll(), None, "nothing comes behind the end");
    }
}

/// What each end asks for; docs/ws.md has the table.
#[test]
fn every_end_says_what_to_do() {
    for (codes, advice) in [
        (vec![1000, 4001], Advice::Nothing),
        (vec![1002, 1003, 1007, 1009, 1010, 3000, 3003, 4100, 4999], Advice::Stop),
        (vec![1012, 1013], Advice::RejoinLater),
        (vec![1001, 1008, 1011, 1014, 3001, 4000, 4002, 4003, 4004, 4005, 4099], Advice::Rejoin),
    ] {
        for code in codes {
            assert_eq!(advice_for(code), advice, "{code}");
            let mut conversation = joined();
            let (told, _) = exchange(&mut conversation, &closing(code, "why"), 3, Instant::ZERO);
            let [Incoming::Closed(closed)] = told.as_slice() else { panic!("{told:?}") };
            assert_eq!((closed.code, closed.reason.as_str(), closed.advice), (Some(code), "why", advice));
        }
    }
    let end = |action: &str| {
        let mut conversation = joined();
        let message = format!(r#"{{"type":"end","reason":"shutdown","action":"{action}","retry_ms":2500}}"#);
        conversation.handle(&text(&message), Instant::ZERO);
        // Without a Close frame, too.
        conversation.handle_end("the connection broke");
        let told: Vec<_> = std::iter::from_fn(|| conversation.poll()).collect();
        let [Incoming::End(_), Incoming::Closed(closed)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((closed.retry_ms, closed.code, closed.reason.as_str()), (Some(2500), None, "shutdown"));
        closed.clone()
    };
    assert_eq!(end("nothing").pause_ms(), None);
    assert_eq!((end("rejoin").advice, end("rejoin").pause_ms()), (Advice::Rejoin, Some((2500, 500))));
    assert_eq!(end("rejoin-later").advice, Advice::RejoinLater);
    assert_eq!(end("something new").advice, Advice::Rejoin);
    let closed =
        |code, retry_ms| Closed { code: Some(code), reason: String::new(), advice: advice_for(code), retry_ms };
    assert_eq!(closed(1012, None).pause_ms(), Some((1_000, 4_000)));
    assert_eq!(closed(1012, Some(u64::MAX)).pause_ms(), Some((60_000, 500)));
    assert_eq!(closed(4004, None).pause_ms(), Some((0, 0)));
    assert_eq!(closed(1009, Some(1)).pause_ms(), None);
}

/// A server that is silent is asked once, and then given up; every byte is a sign of life.
#[test]
fn silence_is_noticed() {
    let (mut conversation, _) = open(&OFFER);
    assert_eq!(conversation.deadline(), Instant::from_ms(CLIENT_ANSWER_MS));
    conversation.handle_timeout(Instant::from_ms(CLIENT_ANSWER_MS));
    assert!(matches!(conversation.poll(), Some(Incoming::Refused(refusal)) if refusal.advice() == Advice::Rejoin));

    let mut conversation = joined();
    assert_eq!(conversation.deadline(), Instant::from_ms(25_000));
    conversation.handle_timeout(Instant::from_ms(24_999));
    assert!(!conversation.wants_transmit());
    conversation.handle_timeout(Instant::from_ms(25_000));
    let mut sent = Vec::new();
    assert!(conversation.transmit(MASK, &mut sent) && !conversation.wants_transmit());
    assert_eq!(heard(&sent), [ws::Incoming::Ping(Vec::new())]);
    assert_eq!(conversation.deadline(), Instant::from_ms(35_000));
    conversation.handle(&frame(Opcode::Pong, b""), Instant::from_ms(30_000));
    assert_eq!(conversation.deadline(), Instant::from_ms(55_000));
    conversation.handle_timeout(Instant::from_ms(55_000));
    conversation.handle_timeout(Instant::from_ms(65_000));
    let Some(Incoming::Closed(closed)) = conversation.poll() else { panic!("it is not given up") };
    assert_eq!((closed.code, closed.advice, conversation.deadline()), (None, Advice::Rejoin, Instant::NEVER));
}

#[test]
fn who_goes_says_so_and_waits_a_little() {
    for answered in [true, false] {
        let mut conversation = joined();
        let now = Instant::from_ms(100);
        conversation.close(now);
        let mut sent = Vec::new();
        assert!(conversation.transmit(MASK, &mut sent));
        assert_eq!(heard(&sent), [ws::Incoming::Close(Some(ws::Closing { code: 1000, reason: String::new() }))]);
        assert_eq!(conversation.request(&Request::Ping, MASK, &mut sent), Err(Unsent::NotOpen));
        // What was under way comes all the same.
        conversation.handle(&text(r#"{"subject":"/a","data":1}"#), now + 1);
        assert!(matches!(conversation.poll(), Some(Incoming::Event(_))));
        if answered {
            conversation.handle(&closing(1000, ""), now + 2);
        } else {
            assert_eq!(conversation.deadline(), now + CLIENT_LEAVE_MS);
            conversation.handle_timeout(now + CLIENT_LEAVE_MS);
        }
        assert!(matches!(conversation.poll(), Some(Incoming::Closed(closed)) if closed.advice == Advice::Nothing));
        assert!(conversation.is_over() && !conversation.wants_transmit());
    }
}

#[test]
fn requests_are_numbered_and_bounded() {
    let (mut conversation, request) = open(&OFFER);
    let mut out = Vec::new();
    assert_eq!(conversation.request(&Request::Ping, MASK, &mut out), Err(Unsent::NotOpen));
    conversation.handle(&[agreement(&request).into_bytes(), text(SESSION)].concat(), Instant::ZERO);
    assert_eq!(conversation.request(&Request::Ping, MASK, &mut out), Ok(1));
    assert_eq!(conversation.request(&Request::Unsubscribe("/a"), MASK, &mut out), Ok(2));
    let long = Publication::json("/a", &"x".repeat(1000)).expect("JSON");
    let before = out.len();
    let refused = conversation.request(&Request::Publish(&long), MASK, &mut out);
    assert!(matches!(refused, Err(Unsent::TooLong { max: 1000, .. })), "{refused:?}");
    assert_eq!(out.len(), before);
    assert_eq!(conversation.request(&Request::Ping, MASK, &mut out), Ok(3));
    let texts: Vec<String> = heard(&out)
        .into_iter()
        .map(|incoming| match incoming {
            ws::Incoming::Text(text) => text,
            other => panic!("{other:?}"),
        })
        .collect();
    let unsubscribe = r#"{"type":"unsubscribe","id":2,"subject":"/a"}"#;
    assert_eq!(texts, [r#"{"type":"ping","id":1}"#, unsubscribe, r#"{"type":"ping","id":3}"#]);
}

/// A server that breaks the rules is told so, and left (RFC 6455 section 7.1.7).
#[test]
fn a_broken_server_is_left() {
    let mut huge = Vec::new();
    ws::head(Opcode::Text, false, CLIENT_EVENT_BYTES_MAX + 1, &mut huge);
    let mut masked = Vec::new();
    ws::write_masked(Opcode::Text, b"{}", MASK, &mut masked);
    let mut compressed = Vec::new();
    ws::head(Opcode::Text, true, 0, &mut compressed);
    for (bytes, code) in [
        (huge, 1009),
        (masked, 1002),
        (compressed, 1002),
        (frame(Opcode::Binary, b"x"), 1003),
        (frame(Opcode::Text, b"\xff"), 1007),
        (frame(Opcode::Close, b"x"), 1002),
    ] {
        let mut conversation = joined();
        let (told, sent) = exchange(&mut conversation, &bytes, bytes.len(), Instant::ZERO);
        let [Incoming::Closed(closed)] = told.as_slice() else { panic!("{code}: {told:?}") };
        assert_eq!((closed.code, closed.advice), (None, Advice::Rejoin));
        assert!(closed.reason.starts_with("the server breaks the protocol"), "{closed}");
        assert!(
            matches!(heard(&sent).as_slice(), [ws::Incoming::Close(Some(closing))] if closing.code == code),
            "{code}: {:?}",
            heard(&sent)
        );
    }
}

/// RFC 6455 section 5.5.3: of several pings the last one is answered; nothing is gathered for a server that only pings.
#[test]
fn pings_take_no_memory() {
    let mut conversation = joined();
    for number in 0..1000_u32 {
        conversation.handle(&frame(Opcode::Ping, &number.to_be_bytes()), Instant::ZERO);
    }
    conversation.live_sign();
    let mut sent = Vec::new();
    assert!(conversation.transmit(MASK, &mut sent) && !conversation.transmit(MASK, &mut sent));
    assert_eq!(heard(&sent), [ws::Incoming::Pong(999_u32.to_be_bytes().to_vec())]);
    conversation.live_sign();
    assert!(conversation.transmit(MASK, &mut sent));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_pieces_do_not_matter(
        bytes in proptest::collection::vec(prop_oneof![Just(0x81_u8), Just(0x89), Just(2), Just(b'{'), Just(b'}'), any::<u8>()], 0..200),
        step in 1..20_usize,
    ) {
        let run = |step| {
            let mut conversation = joined();
            exchange(&mut conversation, &bytes, step, Instant::ZERO).0
        };
        prop_assert_eq!(run(step), run(bytes.len().max(1)));
        let mut conversation = open(&OFFER).0;
        conversation.handle(&bytes, Instant::ZERO);
        prop_assert!(!conversation.is_open());
    }
}
