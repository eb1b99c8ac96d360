//! The decoders of other servers, fed in pieces of every size, and cut at every byte.

use super::super::dialect::Dialect;
use super::super::door::{Decoder, Publish};
use super::super::tests::{MARKER, chunked, marker, message, understood};
use super::*;
use crate::shell::client::target::Target;
use crate::wire::ws::{self, Bounds, Inbound, Incoming, Opcode, Role};

/// What every connection of WebSockets asks with.
const NONCE: [u8; 16] = [9; 16];

fn of(dialect: Dialect) -> Doors {
    let target = Target::parse("h:1/p").expect("a URL");
    doors(dialect, &Targets { listen: target.clone(), post: target }, 3, NONCE).expect("a dialect of others")
}

/// What is understood of these bytes, which is the same in whatever pieces they come. Answers are told by their first byte and length, and what
/// they say.
fn said(new: impl Fn() -> Decoder, bytes: &[u8]) -> Vec<String> {
    let whole = understood(new(), bytes, bytes.len());
    for step in 1..bytes.len() {
        assert_eq!(understood(new(), bytes, step), whole, "in pieces of {step}");
    }
    for cut in 1..bytes.len() {
        let mut decoder = new();
        let mut all = super::super::tests::said(&mut decoder, &bytes[..cut]);
        all.extend(super::super::tests::said(&mut decoder, &bytes[cut..]));
        assert_eq!(all, whole, "cut at {cut}");
    }
    whole
}

fn heard(dialect: Dialect, bytes: &[u8]) -> Vec<String> {
    let listen = of(dialect).0;
    said(|| listen.decoder(Some("s_1")), bytes)
}

fn answered_with(dialect: Dialect, bytes: &[u8]) -> Vec<String> {
    let post = of(dialect).1;
    said(|| post.decoder(), bytes)
}

/// The answer to the handshake, and frames behind it.
fn socket(frames: &[Vec<u8>]) -> Vec<u8> {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(NONCE);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        ws::accept_key(&key)
    );
    [head.into_bytes(), frames.concat()].concat()
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::write(opcode, payload, &mut frame);
    frame
}

/// `{"m":"MARKER","pad":"xxx"}`.
fn content() -> String {
    format!("{{\"m\":\"{}\",\"pad\":\"xxx\"}}", marker())
}

fn quoted() -> String {
    content().replace('"', "\\\"")
}

/// What a frame of a client says; it must be masked.
fn unmasked(bytes: &[u8]) -> String {
    match Inbound::new(Role::Server, false).push(bytes, Bounds { frame: 1 << 16, message: 1 << 16 }) {
        Ok((length, Some(Incoming::Text(text)))) if length == bytes.len() => text.to_string(),
        Ok((length, Some(Incoming::Binary(bytes_in)))) if length == bytes.len() => {
            String::from_utf8(bytes_in.to_vec()).expect("it is text")
        }
        other => panic!("{other:?}"),
    }
}

/// What a reader wants to be sent.
fn replies(decoder: &mut Decoder, bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    decoder.feed(bytes, &mut |item| {
        if let Item::Reply(reply) = item {
            all.push(unmasked(reply));
        }
    });
    all
}

fn publish(dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::new();
    of(dialect).1.publish(&Publish { id: "ID", subject: "s_1", to: None, marker: MARKER }, &mut out);
    out
}

fn subscription(dialect: Dialect) -> String {
    let mut out = Vec::new();
    of(dialect).0.subscribe(Some("s_1"), &mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn requests_over_http_are_what_they_say() {
    let get = |path: &str, field: &str| format!("GET /p/{path}/s_1 HTTP/1.1\r\nHost: h:1\r\n{field}\r\n\r\n");
    assert_eq!(subscription(Dialect::NchanSse), get("sse", "Accept: text/event-stream"));
    assert_eq!(subscription(Dialect::NchanStream), get("stream", "TE: chunked"));
    assert_eq!(subscription(Dialect::Pushpin), get("stream", "TE: chunked"));
    let plain = content();
    for dialect in [Dialect::NchanSse, Dialect::NchanStream, Dialect::NchanWs] {
        let expected =
            format!("POST /p/pub/s_1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: {}\r\n\r\n{plain}", plain.len());
        assert_eq!(String::from_utf8_lossy(&publish(dialect)), expected);
    }
    let text = String::from_utf8(publish(Dialect::Pushpin)).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("POST /p/publish/ HTTP/1.1\r\n"), "{head}");
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["items"][0]["channel"], "s_1");
    assert_eq!(body["items"][0]["formats"]["http-stream"]["content"], format!("{plain}\n"));
}

#[test]
fn an_empty_pad_is_left_out() {
    let mut out = Vec::new();
    Content::plain(0).write(MARKER, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("{{\"m\":\"{}\"}}", marker()));
    assert_eq!(out.len(), Content::plain(0).len());
    out.clear();
    Content::quoted(0).write(MARKER, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("{{\\\"m\\\":\\\"{}\\\"}}", marker()));
}

/// Nchan's Server-Sent Events have neither a length nor chunks.
#[test]
fn event_streams_of_nchan_are_understood_in_any_pieces() {
    let (event, head) = (content(), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n");
    let text = format!("{head}: hi\n\nid: 1:0\ndata: {event}\n\nid: 1:1\ndata: {event}\n\nid: 1:2\ndata: {event}\n");
    // The last one is not whole.
    assert_eq!(heard(Dialect::NchanSse, text.as_bytes()), ["200", "ready  ", "event true", "event true"]);
}

#[test]
fn chunks_of_nchan_are_understood_in_any_pieces() {
    let event = content();
    let all = ["200", "ready  ", "event true", "event true", "done"];
    assert_eq!(heard(Dialect::NchanStream, &chunked(&[event.as_bytes(), event.as_bytes()])), all);
    assert_eq!(heard(Dialect::NchanStream, &chunked(&[event.repeat(2).as_bytes()])), all);
    // An event that comes in two chunks, cut anywhere.
    for cut in 1..event.len() {
        let (one, two) = event.split_at(cut);
        let bytes = chunked(&[one.as_bytes(), format!("{two}{event}").as_bytes()]);
        let listen = of(Dialect::NchanStream).0;
        assert_eq!(understood(listen.decoder(None), &bytes, bytes.len()), all, "{cut}");
    }
    // What looks like a beginning and is none is not kept for ever.
    let noise = chunked(&[b"~000001:", "~".repeat(100).as_bytes(), event.as_bytes()]);
    assert_eq!(heard(Dialect::NchanStream, &noise), ["200", "ready  ", "event true", "done"]);
}

#[test]
fn lines_of_pushpin_are_understood_in_any_pieces() {
    let event = content();
    let (one, two) = event.split_at(20);
    let bytes = chunked(&[
        b"ready\n",
        one.as_bytes(),
        format!("{two}\n{event}\n{one}").as_bytes(),
        format!("{two}\n").as_bytes(),
    ]);
    let all = ["200", "ready  ", "event true", "event true", "event true", "done"];
    assert_eq!(heard(Dialect::Pushpin, &bytes), all);
}

#[test]
fn answers_that_are_no_streams_are_told() {
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n";
    for dialect in [Dialect::NchanSse, Dialect::NchanStream, Dialect::Pushpin] {
        let heard_sized = heard(dialect, sized);
        assert_eq!(heard_sized[1], "an answer with a length where a stream was asked for", "{dialect:?}");
        assert_eq!(heard(dialect, missing), ["404", "done"]);
        assert_eq!(heard(dialect, b"SSH-2.0\r\n\r\n"), ["no head of an HTTP answer"]);
    }
}

#[test]
fn publishes_over_http_are_answered() {
    let answer = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n{body}", body.len())
    };
    let all = [
        answer("202 Accepted", "queued messages: 0\r\n"),
        answer("201 Created", "queued messages: 1\r\n"),
        answer("403 Forbidden", ""),
        answer("202 Accepted", ""),
    ];
    let expected =
        ["202", "ready  ", "done", "201", "accepted", "done", "403", "refused", "done", "202", "accepted", "done"];
    assert_eq!(answered_with(Dialect::NchanSse, all.concat().as_bytes()), expected);
    let all = [answer("200 OK", "Published\n"), answer("200 OK", "Published\n"), answer("400 Bad Request", "no\n")];
    let expected = ["200", "ready  ", "done", "200", "accepted", "done", "400", "refused", "done"];
    assert_eq!(answered_with(Dialect::Pushpin, all.concat().as_bytes()), expected);
    // Another server that says yes to everything.
    let yes = answer("200 OK", "ok\n");
    for dialect in [Dialect::NchanWs, Dialect::Pushpin] {
        assert_eq!(answered_with(dialect, yes.as_bytes()), ["200", "refused", "done"], "{dialect:?}");
    }
}

#[test]
fn handshakes_ask_for_what_they_should() {
    for (dialect, path) in [
        (Dialect::NchanWs, "/p/ws/s_1"),
        (Dialect::Uws, "/p/ws?subject=s_1"),
        (Dialect::SocketIo, "/p/socket.io/?EIO=4&transport=websocket"),
        (Dialect::Faye, "/p/faye"),
        (Dialect::NatsWs, "/p/"),
    ] {
        let text = subscription(dialect);
        assert!(text.starts_with(&format!("GET {path} HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\n")), "{text}");
        assert!(text.ends_with("\r\nSec-WebSocket-Version: 13\r\n\r\n"), "{text}");
    }
    let mut join = Vec::new();
    of(Dialect::Uws).1.join(&mut join);
    assert!(join.starts_with(b"GET /p/ws HTTP/1.1\r\n"));
}

#[test]
fn handshakes_that_fail_are_told() {
    let refused = b"HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\nno";
    let foreign = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: other\r\n\r\n";
    for dialect in [Dialect::NchanWs, Dialect::Uws, Dialect::SocketIo, Dialect::Faye, Dialect::NatsWs] {
        assert_eq!(heard(dialect, refused), ["503", "done"]);
        assert_eq!(heard(dialect, foreign), ["no handshake of a WebSocket"]);
        assert_eq!(heard(dialect, b"-ERR 'no'\r\n"), ["no handshake of a WebSocket"]);
        let masked = socket(&[vec![0x81, 0x80, 0, 0, 0, 0]]);
        assert_eq!(heard(dialect, &masked).last().expect("items"), "a frame of a server that is masked");
    }
    assert_eq!(heard(Dialect::Uws, &socket(&[vec![0x01, 0]]))[1], "a frame of a kind that was not asked for");
    assert_eq!(
        heard(Dialect::Uws, &socket(&[message("0{}")]))[1],
        "a WebSocket that does not begin with the text `ready`"
    );
}

#[test]
fn events_in_bare_messages_are_understood_in_any_pieces() {
    let event = content();
    let mut close = Vec::new();
    ws::close(1001, "bye", &mut close);
    let frames =
        [message(&event), frame(Opcode::Binary, event.as_bytes()), frame(Opcode::Ping, b"abc"), message(&event)];
    let behind = ["event true", "event true", "reply 8a 9", "event true", "reply 88 8", "aborted", "done"];
    let all = [frames.concat(), close.clone(), message(&event)];
    let expected = [&["101", "ready  "], behind.as_slice()].concat();
    assert_eq!(heard(Dialect::NchanWs, &socket(&all)), expected);
    let greeted = [vec![message("ready")], all.to_vec()].concat();
    assert_eq!(heard(Dialect::Uws, &socket(&greeted)), expected);
    assert_eq!(
        heard(Dialect::Uws, &socket(&[close])),
        ["101", "reply 88 8", "a WebSocket that is closed before it was ready"]
    );
    // Events of all lengths of a header.
    for pad in [200, 70_000] {
        let long = message(&format!("{event}{}", "x".repeat(pad)));
        let listen = of(Dialect::NchanWs).0;
        assert_eq!(understood(listen.decoder(None), &socket(&[long]), 16_384), expected[..3]);
    }
}

#[test]
fn the_small_protocol_is_answered() {
    assert_eq!(unmasked(&publish(Dialect::Uws)), format!("s_1\n{}", content()));
    let frames = [message("ready"), message("ok"), message("no subject"), message("ok")];
    let expected = ["101", "ready  ", "done", "accepted", "done", "refused", "done", "accepted", "done"];
    assert_eq!(answered_with(Dialect::Uws, &socket(&frames)), expected);
}

#[test]
fn socket_io_is_understood_in_any_pieces() {
    let event = message(&format!("42[\"e\",\"{}\"]", quoted()));
    let open =
        message("0{\"sid\":\"x\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}");
    let namespace = message("40{\"sid\":\"y\"}");
    let frames = [open.clone(), namespace.clone(), message("430[]"), event.clone(), message("2"), event, message("41")];
    let expected =
        ["101", "reply 81 8", "reply 81 28", "ready  ", "event true", "reply 81 7", "event true", "aborted", "done"];
    assert_eq!(heard(Dialect::SocketIo, &socket(&frames)), expected);
    let mut decoder = of(Dialect::SocketIo).0.decoder(Some("s_1"));
    assert_eq!(replies(&mut decoder, &socket(&frames)), ["40", "420[\"subscribe\",\"s_1\"]", "3"]);
    assert_eq!(unmasked(&publish(Dialect::SocketIo)), format!("422[\"publish\",\"s_1\",\"{}\"]", quoted()));
    let frames = [open, namespace, message("431[]"), message("2"), message("432[]")];
    let expected = ["101", "reply 81 8", "ready  ", "done", "accepted", "done", "reply 81 7", "accepted", "done"];
    assert_eq!(answered_with(Dialect::SocketIo, &socket(&frames)), expected);
    for (text, why) in [
        ("44{\"message\":\"no\"}", "Socket.IO refuses the connection"),
        ("hello", "a message that is not of Socket.IO"),
    ] {
        assert_eq!(heard(Dialect::SocketIo, &socket(&[message(text)])), ["101", why]);
    }
}

#[test]
fn bayeux_is_understood_in_any_pieces() {
    let event = message(&format!("[{{\"channel\":\"/s_1\",\"data\":{},\"id\":\"2\"}}]", content()));
    let hands = message(
        "[{\"id\":\"h\",\"channel\":\"/meta/handshake\",\"successful\":true,\"version\":\"1.0\",\"clientId\":\"CLIENT\"}]",
    );
    let subscribed =
        message("[{\"id\":\"s\",\"clientId\":\"CLIENT\",\"channel\":\"/meta/subscribe\",\"successful\":true}]");
    let held = "{\"id\":\"c\",\"clientId\":\"CLIENT\",\"channel\":\"/meta/connect\",\"successful\":true}";
    let bundle = message(&format!("[{held},{{\"channel\":\"/s_1\",\"data\":{}}}]", content()));
    let frames = [hands.clone(), subscribed, event, message(&format!("[{held}]")), bundle];
    let mut decoder = of(Dialect::Faye).0.decoder(Some("s_1"));
    let connect =
        "[{\"channel\":\"/meta/connect\",\"clientId\":\"CLIENT\",\"connectionType\":\"websocket\",\"id\":\"c\"}]";
    let subscribe =
        "[{\"channel\":\"/meta/subscribe\",\"clientId\":\"CLIENT\",\"subscription\":\"/s_1\",\"id\":\"s\"}]";
    assert_eq!(replies(&mut decoder, &socket(&frames)), [faye::HANDSHAKE, subscribe, connect, connect, connect]);
    let mut items = heard(Dialect::Faye, &socket(&frames));
    items.retain(|item| !item.starts_with("reply"));
    assert_eq!(items, ["101", "ready CLIENT ", "event true", "event true"]);

    let text = unmasked(&publish(Dialect::Faye));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let data: serde_json::Value = serde_json::from_str(&content()).expect("JSON");
    assert_eq!((&json[0]["channel"], &json[0]["clientId"], &json[0]["data"]), (&"/s_1".into(), &"ID".into(), &data));
    let ack = |yes: bool| message(&format!("[{{\"id\":\"1\",\"channel\":\"/s_1\",\"successful\":{yes}}}]"));
    let frames = [hands, ack(true), message(&format!("[{held}]")), ack(false), ack(true)];
    let mut items = answered_with(Dialect::Faye, &socket(&frames));
    items.retain(|item| !item.starts_with("reply"));
    assert_eq!(items, ["101", "ready CLIENT ", "done", "accepted", "done", "refused", "done", "accepted", "done"]);
    for (text, why) in [
        ("[{\"channel\":\"/meta/handshake\",\"successful\":false}]", "Bayeux refuses the client"),
        ("[{\"channel\":\"/meta/handshake\",\"successful\":true}]", "a Bayeux handshake without a client id"),
        ("ready", "a message that is not of Bayeux"),
    ] {
        assert_eq!(heard(Dialect::Faye, &socket(&[message(text)])).last().expect("items"), why);
    }
}

#[test]
fn nats_is_understood_in_any_pieces() {
    let event = content();
    let info = "INFO {\"server_id\":\"x\",\"version\":\"2.9.10\",\"max_payload\":1048576} \r\n";
    let text = format!(
        "{info}+OK\r\nPING\r\n+OK\r\nMSG s_1 1 {0}\r\n{event}\r\nMSG s_1 1 reply.to {0}\r\n{event}\r\nPONG\r\n\
         MSG s_1 1 5\r\n+OK\r\n\r\nMSG s_1 1 {0}\r\n{event}\r\n-ERR 'Slow Consumer'\r\n",
        event.len()
    );
    let expected = [
        "101",
        "reply 82 GREETING",
        "reply 82 12",
        "ready  ",
        "event true",
        "event true",
        "event true",
        "aborted",
        "done",
    ];
    let greet = |mut items: Vec<String>| {
        // How long the greeting is depends on the version.
        if let Some(item) = items.iter_mut().find(|item| item.starts_with("reply 82 ") && item.len() > 11) {
            *item = "reply 82 GREETING".to_owned();
        }
        items
    };
    assert_eq!(greet(heard(Dialect::NatsWs, &socket(&[frame(Opcode::Binary, text.as_bytes())]))), expected);
    // Messages of the WebSocket, and their fragments, end anywhere.
    let listen = of(Dialect::NatsWs).0;
    for step in 1..text.len() {
        let mut frames: Vec<Vec<u8>> = text.as_bytes().chunks(step).map(|piece| frame(Opcode::Binary, piece)).collect();
        let whole = understood(listen.decoder(Some("s_1")), &socket(&frames), 4096);
        assert_eq!(greet(whole), expected, "{step}");
        let last = frames.len() - 1;
        for (at, frame) in frames.iter_mut().enumerate() {
            frame[0] = if at == 0 { 2 } else { 0 } | if at == last { 0x80 } else { 0 };
        }
        assert_eq!(greet(understood(listen.decoder(Some("s_1")), &socket(&frames), 4096)), expected, "{step}");
    }
    let asked = replies(&mut listen.decoder(Some("s_1")), &socket(&[frame(Opcode::Binary, text.as_bytes())]));
    assert!(
        asked[0].starts_with("CONNECT {\"verbose\":true,") && asked[0].ends_with("}\r\nSUB s_1 1\r\n"),
        "{asked:?}"
    );
    assert_eq!(asked[1..], ["PONG\r\n"]);
}

#[test]
fn nats_answers_who_publishes() {
    let event = content();
    assert_eq!(unmasked(&publish(Dialect::NatsWs)), format!("PUB s_1 {}\r\n{event}\r\n", event.len()));
    let text = "INFO {}\r\n+OK\r\n+OK\r\nPING\r\n-ERR 'Permissions Violation'\r\n+OK\r\n";
    let mut items = answered_with(Dialect::NatsWs, &socket(&[frame(Opcode::Binary, text.as_bytes())]));
    items.retain(|item| !item.starts_with("reply"));
    assert_eq!(items, ["101", "ready  ", "done", "accepted", "done", "refused", "done", "accepted", "done"]);
    for (text, why) in [
        ("INFO {}\r\n-ERR 'Authorization Violation'\r\n", "NATS refuses the client"),
        ("ready\n", "a line that is not of NATS"),
        ("MSG s 1 99999999999999999999\r\n", "what is not of NATS"),
        ("MSG s 1\r\nabc", "what is not of NATS"),
    ] {
        let items = heard(Dialect::NatsWs, &socket(&[frame(Opcode::Binary, text.as_bytes())]));
        assert_eq!(items.last().expect("items"), why, "{text:?}");
    }
}

#[test]
fn redis_is_understood_in_any_pieces() {
    let event = content();
    assert_eq!(subscription(Dialect::Redis), "*2\r\n$9\r\nSUBSCRIBE\r\n$3\r\ns_1\r\n");
    let push = format!("*3\r\n$7\r\nmessage\r\n$3\r\ns_1\r\n${}\r\n{event}\r\n", event.len());
    let text = format!("*3\r\n$9\r\nsubscribe\r\n$3\r\ns_1\r\n:1\r\n{push}{push}-ERR slow\r\n");
    assert_eq!(heard(Dialect::Redis, text.as_bytes()), ["ready  ", "event true", "event true", "aborted", "done"]);
    let length = event.len();
    assert_eq!(
        String::from_utf8_lossy(&publish(Dialect::Redis)),
        format!("*3\r\n$7\r\nPUBLISH\r\n$3\r\ns_1\r\n${length}\r\n{event}\r\n")
    );
    let mut join = Vec::new();
    of(Dialect::Redis).1.join(&mut join);
    assert_eq!(join, b"*1\r\n$4\r\nPING\r\n");
    let items = answered_with(Dialect::Redis, b"+PONG\r\n:3\r\n-OOM no\r\n:0\r\n");
    assert_eq!(items, ["ready  ", "done", "accepted", "done", "refused", "done", "accepted", "done"]);
    for (text, why) in [
        ("-NOAUTH Authentication required.\r\n", "an error of Redis"),
        ("HTTP/1.1 400 Bad Request\r\n", "what is not of Redis"),
        ("$-5\r\n", "a length of Redis that makes no sense"),
        ("$99999999999\r\n", "a length of Redis that makes no sense"),
        (":1\n", "what is not of Redis"),
        ("$1\r\nabc", "what is not of Redis"),
    ] {
        assert_eq!(heard(Dialect::Redis, text.as_bytes()), [why], "{text:?}");
        assert_eq!(answered_with(Dialect::Redis, text.as_bytes()), [why], "{text:?}");
    }
}

/// What does not end is not kept for ever.
#[test]
fn what_has_no_end_is_told() {
    let endless = "x".repeat(70_000);
    let listen = of(Dialect::Redis).0;
    assert_eq!(understood(listen.decoder(None), format!("+{endless}").as_bytes(), 4096), ["a line without an end"]);
    let frames: Vec<Vec<u8>> = endless.as_bytes().chunks(1000).map(|piece| frame(Opcode::Binary, piece)).collect();
    let listen = of(Dialect::NatsWs).0;
    assert_eq!(understood(listen.decoder(None), &socket(&frames), 4096), ["101", "what is not of NATS"]);
    let listen = of(Dialect::NchanWs).0;
    let head = format!("HTTP/1.1 101 Yes\r\nX: {endless}");
    assert_eq!(understood(listen.decoder(None), head.as_bytes(), 4096)[0], "no handshake of a WebSocket");
}
