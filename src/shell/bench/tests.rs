//! The decoders, fed in pieces of every size: the Pushlet door in every format, and the modern doors.

use super::door::{Decoder, Item, Listen, Post, Publish};
use super::marker::Marker;
use super::modern::{PollDoor, PublishDoor, SseDoor};
use super::pushlet::PushletDoor;
use super::web::WebDoor;
use crate::protocol::{Format, Mode};
use crate::shell::client::target::Target;
use crate::wire::ws::{self, Bounds, Inbound, Incoming, Opcode, Role};

fn target() -> Target {
    Target::parse("h:1/p").expect("a URL")
}

fn door(format: Format, mode: Mode) -> PushletDoor {
    PushletDoor::new(&target(), format, mode, 3)
}

pub(super) const MARKER: Marker = Marker { lane: 1, sequence: 2, intended_ns: 3 };

pub(super) fn marker() -> String {
    let mut text = Vec::new();
    MARKER.write(&mut text);
    String::from_utf8(text).expect("it is ASCII")
}

pub(super) fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in pieces {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// What is understood of these bytes in pieces of `step`.
pub(super) fn understood(mut decoder: Decoder, bytes: &[u8], step: usize) -> Vec<String> {
    bytes.chunks(step).flat_map(|piece| said(&mut decoder, piece)).collect()
}

/// What is understood of these bytes.
pub(super) fn said(decoder: &mut Decoder, bytes: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    decoder.feed(bytes, &mut |item| {
        said.push(match item {
            Item::Answer { status, .. } => status.to_string(),
            Item::Ready { id, address } => format!("ready {id} {address}"),
            Item::Event(found) => format!("event {}", found == MARKER),
            Item::Told(count) => format!("told {count}"),
            Item::Aborted => "aborted".to_owned(),
            Item::Again { wait_ms, target } => format!("again {wait_ms} {target}"),
            Item::Accepted => "accepted".to_owned(),
            Item::Refused => "refused".to_owned(),
            Item::Done => "done".to_owned(),
            Item::Reply(reply) => format!("reply {:x} {}", reply[0], reply.len()),
            Item::Broken(why) => why.to_owned(),
        });
    });
    said
}

fn in_any_pieces(format: Format, bytes: &[u8], expected: &[&str]) {
    for step in 1..=bytes.len() {
        assert_eq!(
            understood(Listen::decoder(&door(format, Mode::Stream), None), bytes, step),
            expected,
            "{format:?} in pieces of {step}"
        );
    }
}

const TOLD: [&str; 8] = [
    "200",
    "ready ID ADDR",
    "event true",
    "told 17",
    "event true",
    "again 20 /p?p_id=ID&p_event=refresh",
    "aborted",
    "done",
];

#[test]
fn json_is_understood_in_any_pieces() {
    let mark = marker();
    let pieces = [
        "{\"p_event\":\"join-listen-ack\",\"p_id\":\"ID\",\"p_mode\":\"stream\",\"p_from\":\"ADDR\"}\n".to_owned(),
        "{\"p_seq\":\"1\",\"p_event\":\"hb\"}\n".to_owned(),
        format!(
            "{{\"p_seq\":\"2\",\"p_sid\":\"s1\",\"p_event\":\"data\",\"p_from\":\"~A\",\"m\":\"{mark}\",\"pad\":\"xxx\"}}\n"
        ),
        format!(
            "{{\"p_seq\":\"3\",\"p_sid\":\"s1\",\"p_lost\":\"17\",\"p_event\":\"data\",\"m\":\"{mark}\",\"pad\":\"xxx\"}}\n"
        ),
        "{\"p_event\":\"refresh\",\"p_wait\":\"20\",\"p_url\":\"/p?p_id=ID&p_event=refresh\"}\n".to_owned(),
        "{\"p_seq\":\"4\",\"p_event\":\"abort\",\"p_reason\":\"full\"}\n".to_owned(),
    ];
    let apart: Vec<&[u8]> = pieces.iter().map(String::as_bytes).collect();
    in_any_pieces(Format::Json, &chunked(&apart), &TOLD);
    // The same in one chunk: nothing depends on how a server cuts.
    in_any_pieces(Format::Json, &chunked(&[pieces.concat().as_bytes()]), &TOLD);
}

#[test]
fn xml_is_understood_in_any_pieces() {
    let mark = marker();
    let text = format!(
        "<pushlet><event p_event=\"join-listen-ack\" p_id=\"ID\" p_from=\"ADDR\" /><event p_seq=\"2\" p_event=\"data\" m=\"{mark}\" />\
         <event p_seq=\"3\" p_lost=\"17\" p_event=\"data\" m=\"{mark}\" pad=\"xxx\" />\
         <event p_event=\"refresh\" p_wait=\"20\" p_url=\"/p?p_id=ID&amp;p_event=refresh\" /><event p_event=\"abort\" /></pushlet>"
    );
    in_any_pieces(Format::XmlStrict, &chunked(&[text.as_bytes()]), &TOLD);
    in_any_pieces(Format::Xml, &chunked(&[text.as_bytes()]), &TOLD);
}

#[test]
fn scripts_are_understood_in_any_pieces() {
    let mark = marker();
    let push = |fields: &str| format!("<script language=\"JavaScript\">parent.push({fields});</script>");
    let text = [
        push("'p_event', \"join-listen-ack\",'p_id', \"ID\",'p_from', \"ADDR\""),
        push(&format!("'p_seq', \"2\",'p_event', \"data\",'m', \"{mark}\"")),
        push(&format!("'p_seq', \"3\",'p_lost', \"17\",'p_event', \"data\",'m', \"{mark}\",'pad', \"xxx\"")),
        push("'p_event', \"abort\""),
        "\n<script language=\"JavaScript\">url='/p?p_id=ID&p_event=refresh';\n setTimeout(\"refresh()\", 20);\n</script>".to_owned(),
    ];
    let mut told = TOLD;
    told.swap(5, 6);
    in_any_pieces(Format::Js, &chunked(&[text.concat().as_bytes()]), &told);
}

/// A string of a Java object stream.
fn java(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    [b"t".as_slice(), &length.to_be_bytes(), text.as_bytes()].concat()
}

#[test]
fn java_objects_are_understood_in_any_pieces() {
    let event = |fields: &[(&str, &str)]| {
        fields.iter().flat_map(|(name, value)| [java(name), java(value)].concat()).collect::<Vec<u8>>()
    };
    let mark = marker();
    let bytes = [
        event(&[("p_event", "join-listen-ack"), ("p_id", "ID"), ("p_from", "ADDR")]),
        event(&[("p_event", "data"), ("m", &mark)]),
        event(&[("p_lost", "17"), ("p_event", "data"), ("m", &mark), ("pad", "xxx")]),
        event(&[("p_event", "refresh"), ("p_wait", "20"), ("p_url", "/p?p_id=ID&p_event=refresh")]),
        event(&[("p_event", "abort")]),
    ];
    in_any_pieces(Format::Ser, &chunked(&[&bytes.concat()]), &TOLD);
}

#[test]
fn answers_to_publishes_are_understood() {
    let answer =
        |status: &str, body: &str| format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let bytes = [
        answer("200 OK", "[{\"p_event\":\"publish-ack\",\"p_time\":\"1\"}]"),
        answer("200 OK", "[{\"p_event\":\"nack\",\"p_reason\":\"overloaded\"}]"),
        answer("503 Busy", "no \"p_event\":\"publish-ack\""),
        answer("200 OK", "[{\"p_event\":\"leave-ack\"}]"),
    ]
    .concat();
    let said =
        ["200", "accepted", "done", "200", "refused", "done", "503", "refused", "done", "200", "accepted", "done"];
    in_any_pieces(Format::Json, bytes.as_bytes(), &said);
}

#[test]
fn requests_are_what_they_say() {
    let door = door(Format::Json, Mode::Pull);
    let mut out = Vec::new();
    door.subscribe(Some("/s/"), &mut out);
    door.publish(&Publish { id: "ID", subject: "/s/", to: Some("ADDR"), marker: MARKER }, &mut out);
    let body = format!("p_event=publish&p_id=ID&p_subject=/s/&p_to=ADDR&m={}&pad=xxx", marker());
    let expected = format!(
        "GET /p/pushlet.srv?p_event=join-listen&p_mode=pull&p_format=json&p_subject=/s/ HTTP/1.1\r\nHost: h:1\r\n\r\n\
         POST /p/pushlet.srv HTTP/1.1\r\nHost: h:1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

const MODERN: [&str; 6] = ["200", "ready ID ADDR", "event true", "told 17", "event true", "aborted"];

#[test]
fn event_streams_are_understood_in_any_pieces() {
    let mark = marker();
    let text = format!(
        "retry: 3000\nevent: session\ndata: {{\"session\":\"ID\",\"address\":\"ADDR\",\"heartbeat_ms\":20000}}\n\n: hb\n\n\
         data: {{\"subject\":\"/event: end\",\"data\":{{\"m\":\"{mark}\",\"pad\":\"xxx\"}},\"time\":1,\"from\":\"~A\"}}\n\n\
         data: {{\"lost\":17,\"subject\":\"/s/\",\"data\":{{\"m\":\"{mark}\"}},\"time\":1}}\nevent: tick\n\n\
         event: end\ndata: {{\"reason\":\"queue-full\",\"text\":\"too slow\"}}\n\n"
    );
    let said = [MODERN.as_slice(), &["done"]].concat();
    // However the server cuts its chunks, and however the network cuts the bytes.
    for cut in [1, 7, 40, text.len()] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
        let bytes = chunked(&pieces);
        for step in 1..=bytes.len() {
            assert_eq!(understood(SseDoor::new(&target()).decoder(None), &bytes, step), said, "{cut} {step}");
        }
    }
    // Who leaves is told so; that is no abort. A stream that ends within an event is none.
    let left = chunked(&[b"event: end\ndata: {\"reason\":\"leave\",\"text\":\"\"}\n\n"]);
    assert_eq!(understood(SseDoor::new(&target()).decoder(None), &left, 9), ["200", "done"]);
    let cut = chunked(&[b"data: {\"subject\":"]);
    assert_eq!(understood(SseDoor::new(&target()).decoder(None), &cut, 9)[1], "a stream that ends within an event");
}

/// The bytes of the server's own encoder.
#[test]
fn what_the_server_writes_is_understood() {
    use crate::protocol::{Event, EventName, Fields, Framing, Origin, Payload};
    let fields: Fields = [("m", marker().as_str()), ("pad", "xxx")].into_iter().collect();
    let event = Event {
        subject: crate::topic::Subject::new("/s/").expect("a subject"),
        name: Some(EventName::new("tick").expect("a name")),
        payload: Payload::Fields(fields),
        origin: Origin::default(),
        position: None,
        accepted_at: 1,
    };
    use crate::wire::v1;
    let full = crate::protocol::EndReason::QueueFull;
    let (mut stream, mut answer) = (Vec::new(), Vec::new());
    v1::session_event(("ID", "ADDR"), 20_000, 3_000, 16, Some("x"), &mut stream);
    v1::poll_prologue("ID", &mut answer);
    for (first, lost) in [(true, 0), (false, 17)] {
        v1::personal_part(Framing::EventStream, first, lost, &mut stream);
        v1::shared_part(Framing::EventStream, &event, Some("F"), &mut stream);
        v1::personal_part(Framing::Object, first, lost, &mut answer);
        v1::shared_part(Framing::Object, &event, Some("F"), &mut answer);
    }
    v1::end_event(full, &mut stream);
    v1::poll_end(Some(full), &mut answer);
    let said = understood(SseDoor::new(&target()).decoder(None), &chunked(&[&stream]), 11);
    assert_eq!(said, [MODERN.as_slice(), &["done"]].concat());
    let said = understood(PollDoor::new(&target()).decoder(None), &chunked(&[&answer]), 11);
    assert_eq!(said, ["200", "event true", "told 17", "event true", "aborted", "done"]);
}

#[test]
fn long_polls_are_understood_in_any_pieces() {
    let (mark, answer) = (marker(), |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let events = format!(
        "{{\"session\":\"ID\",\"events\":[{{\"subject\":\"/s/\",\"data\":{{\"m\":\"{mark}\"}}}},\
         {{\"lost\":17,\"subject\":\"/s/\",\"data\":{{\"m\":\"{mark}\"}}}}"
    );
    let bytes = [
        answer("200 OK", "{\"session\":\"ID\",\"address\":\"ADDR\",\"events\":[],\"wait_ms\":20000}\n"),
        chunked(&[events.as_bytes(), b"]}\n"]),
        answer("200 OK", "{\"session\":\"ID\",\"events\":[],\"end\":{\"reason\":\"shutdown\",\"text\":\"\"}}\n"),
        answer("200 OK", "{\"session\":\"ID\",\"events\":[],\"end\":{\"reason\":\"leave\",\"text\":\"\"}}\n"),
        answer("404 Not Found", "{\"status\":404}"),
        answer("200 OK", "<html>"),
    ]
    .concat();
    let said = "200;ready ID ADDR;again 0 ID;done;200;event true;told 17;event true;again 0 ID;done;200;aborted;done;200;done;404;done;\
        200;an answer without events;done";
    for step in 1..=bytes.len() {
        assert_eq!(understood(PollDoor::new(&target()).decoder(None), &bytes, step).join(";"), said, "{step}");
    }
}

#[test]
fn publishing_by_http_is_understood_in_any_pieces() {
    let bytes = b"HTTP/1.1 204 No Content\r\nAllow: POST\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}\
        HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let door = PublishDoor::new(&target(), 3);
    for step in 1..=bytes.len() {
        let said = understood(door.decoder(), bytes, step);
        assert_eq!(said, ["204", "ready  ", "done", "202", "accepted", "done", "503", "refused", "done"]);
    }
    let none = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(understood(door.decoder(), none, 5), ["404", "refused", "done"]);
}

#[test]
fn requests_of_the_modern_doors_are_what_they_say() {
    let text = |out: &mut Vec<u8>| String::from_utf8(std::mem::take(out)).expect("text");
    let mut out = Vec::new();
    SseDoor::new(&target()).subscribe(Some("/s/"), &mut out);
    assert_eq!(text(&mut out), "GET /p/v1/sse?subject=/s/ HTTP/1.1\r\nHost: h:1\r\n\r\n");
    PollDoor::new(&target()).subscribe(None, &mut out);
    assert_eq!(text(&mut out), "GET /p/v1/poll?subject=/bench/nowhere HTTP/1.1\r\nHost: h:1\r\n\r\n");
    PollDoor::new(&target()).again("ID", &mut out);
    assert_eq!(text(&mut out), "GET /p/v1/poll?session=ID HTTP/1.1\r\nHost: h:1\r\n\r\n");
    for (to, pad, item) in [
        (None, 0, format!("{{\"subject\":\"/s/\",\"data\":{{\"m\":\"{}\"}}}}", marker())),
        (
            Some("A"),
            2,
            format!("{{\"subject\":\"/s/\",\"to\":\"A\",\"data\":{{\"m\":\"{}\",\"pad\":\"xx\"}}}}", marker()),
        ),
    ] {
        PublishDoor::new(&target(), pad).publish(&Publish { id: "", subject: "/s/", to, marker: MARKER }, &mut out);
        let written = text(&mut out);
        let (head, body) = written.split_once("\r\n\r\n").expect("a head");
        assert_eq!(body, item);
        let length = format!("Content-Length: {}", item.len());
        assert_eq!(
            head,
            format!("POST /p/v1/publish HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\n{length}")
        );
    }
}

fn web_door() -> WebDoor {
    WebDoor::new(&target(), 3, [9; 16])
}

/// The answer to the handshake of every WebSocket of a run, and frames behind it.
fn web(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    Listen::subscribe(&web_door(), Some("/a"), &mut request);
    let request = String::from_utf8(request).expect("it is ASCII");
    assert!(request.starts_with("GET /p/v1/ws?subject=/a HTTP/1.1\r\nHost: h:1\r\n"), "{request}");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
         Sec-WebSocket-Protocol: pushlet.v1.json\r\n\r\n",
        ws::accept_key(key)
    );
    [head.into_bytes(), frames.concat()].concat()
}

pub(super) fn message(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::write(Opcode::Text, text.as_bytes(), &mut frame);
    frame
}

fn closing(code: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    ws::close(code, "why", &mut frame);
    frame
}

const WEB_SESSION: &str = "{\"type\":\"session\",\"session\":\"ID\",\"address\":\"ADDR\",\"heartbeat_ms\":20000}";

/// Events of all lengths of a header, losses, pings, and the end.
#[test]
fn a_web_socket_is_understood_in_any_pieces() {
    let mark = marker();
    let event = |lost: &str, pad: usize| {
        message(&format!("{{{lost}\"subject\":\"/a\",\"data\":{{\"m\":\"{mark}\",\"pad\":\"{}\"}}}}", "x".repeat(pad)))
    };
    let mut ping = Vec::new();
    ws::write(Opcode::Ping, b"abc", &mut ping);
    let frames = [
        message(WEB_SESSION),
        event("", 3),
        event("\"lost\":17,", 300),
        ping,
        message("{\"type\":\"heartbeat\"}"),
        message(&format!(
            "[{{\"subject\":\"/a\",\"data\":\"{mark}\"}},{{\"lost\":2,\"subject\":\"/a\",\"data\":\"{mark}\"}}]"
        )),
        message("{\"type\":\"end\",\"reason\":\"leave\",\"text\":\"\",\"action\":\"nothing\",\"retry_ms\":0}"),
        closing(4001),
        message("not looked at"),
    ];
    let bytes = web(&frames);
    let expected = [
        "101",
        "ready ID ADDR",
        "event true",
        "told 17",
        "event true",
        "reply 8a 9",
        "event true",
        "told 2",
        "event true",
        "reply 88 8",
        "done",
    ];
    for step in 1..=bytes.len() {
        assert_eq!(understood(Listen::decoder(&web_door(), None), &bytes, step), expected, "in pieces of {step}");
    }
    // The longest form of a length.
    let bytes = web(&[message(WEB_SESSION), event("", 70_000)]);
    assert_eq!(understood(Listen::decoder(&web_door(), None), &bytes, 16_384), expected[..3]);
}

#[test]
fn an_end_of_a_web_socket_is_what_it_says() {
    let end = "{\"type\":\"end\",\"reason\":\"queue-full\",\"action\":\"rejoin\",\"retry_ms\":500}";
    for (frames, expected) in [
        (vec![message(WEB_SESSION), message(end), closing(4004)], vec!["aborted", "reply 88 8", "aborted", "done"]),
        (vec![message(WEB_SESSION), closing(1000)], vec!["reply 88 8", "done"]),
        (vec![closing(1012)], vec!["reply 88 8", "a WebSocket that is closed before its session"]),
        (vec![vec![0x81, 0x80, 0, 0, 0, 0]], vec!["a frame of a server that is masked"]),
        (vec![vec![0x01, 0]], vec!["a frame of a kind that was not asked for"]),
        (vec![vec![0xC1, 0]], vec!["a frame of a kind that was not asked for"]),
        (vec![vec![0x81, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0]], vec!["a frame that is too long"]),
        (vec![message("{\"type\":\"session\"}")], vec!["a session without an id"]),
    ] {
        let bytes = web(&frames);
        for step in 1..=bytes.len() {
            let said = understood(Listen::decoder(&web_door(), None), &bytes, step);
            let behind: Vec<&str> =
                said.iter().map(String::as_str).filter(|said| !["101", "ready ID ADDR"].contains(said)).collect();
            assert_eq!(behind, expected, "in pieces of {step}");
        }
    }
    let refused = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 2\r\n\r\n";
    assert_eq!(understood(Listen::decoder(&web_door(), None), refused, 5), ["503", "done"]);
    assert_eq!(understood(Listen::decoder(&web_door(), None), b"SSH-2.0\r\n\r\n", 5), ["no handshake of a WebSocket"]);
}

/// A publisher's requests are what the server reads, and its answers are told.
#[test]
fn publishes_over_a_web_socket_are_answered() {
    let mut request = Vec::new();
    let publish = Publish { id: "ID", subject: "/a", to: Some("ADDR"), marker: MARKER };
    Post::publish(&web_door(), &publish, &mut request);
    let bounds = Bounds { frame: 1 << 16, message: 1 << 16 };
    let heard = Inbound::new(Role::Server, false).push(&request, bounds);
    let Ok((_, Some(Incoming::Text(text)))) = heard else { panic!("{heard:?}") };
    let mark = marker();
    assert_eq!(
        text,
        format!(
            "{{\"type\":\"publish\",\"id\":2,\"subject\":\"/a\",\"to\":\"ADDR\",\"data\":{{\"m\":\"{mark}\",\"pad\":\"xxx\"}}}}"
        )
    );
    let read = crate::wire::v1::request(&text);
    assert!(read.wanted.is_ok(), "{read:?}");
    let bytes = web(&[
        message(WEB_SESSION),
        message("{\"type\":\"ack\",\"id\":1,\"accepted\":1,\"refused\":0}"),
        message("{\"type\":\"nack\",\"id\":2,\"status\":503,\"reason\":\"Busy.\"}"),
        closing(1012),
    ]);
    let expected = ["101", "ready ID ADDR", "accepted", "done", "refused", "done", "reply 88 8"];
    for step in 1..=bytes.len() {
        assert_eq!(understood(Post::decoder(&web_door()), &bytes, step), expected, "in pieces of {step}");
    }
}
