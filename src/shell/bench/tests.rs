//! The Pushlet decoder, fed in pieces of every size, in every format.

use super::door::{Decoder, Door as _, Item, Publish};
use super::marker::Marker;
use super::pushlet::PushletDoor;
use crate::protocol::{Format, Mode};

fn door(format: Format, mode: Mode) -> PushletDoor {
    PushletDoor::new("h:1".to_owned(), "/p/pushlet.srv".to_owned(), format, mode, 3)
}

const MARKER: Marker = Marker { lane: 1, sequence: 2, intended_ns: 3 };

fn marker() -> String {
    let mut text = Vec::new();
    MARKER.write(&mut text);
    String::from_utf8(text).expect("it is ASCII")
}

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
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
fn understood(mut decoder: Decoder, bytes: &[u8], step: usize) -> Vec<String> {
    let mut said = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.feed(piece, &mut |item| {
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
                Item::Broken(why) => why.to_owned(),
            });
        });
    }
    said
}

fn in_any_pieces(format: Format, bytes: &[u8], expected: &[&str]) {
    for step in 1..=bytes.len() {
        assert_eq!(
            understood(door(format, Mode::Stream).decoder(), bytes, step),
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
