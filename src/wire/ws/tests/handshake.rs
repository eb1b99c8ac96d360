//! The opening handshake: RFC 6455 section 4.2.

use super::super::{PROTOCOL, Upgrade, accept_key, switching_protocols, upgrade};
use crate::protocol::Problem;
use crate::wire::http::{Progress, ReplyTo, RequestHead, RequestReader};
use crate::wire::v1;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const ASKED: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

fn head(version: &str, fields: &[&str]) -> RequestHead {
    let request = format!("GET /v1/ws HTTP/{version}\r\nHost: a\r\n{}\r\n", fields.concat());
    match RequestReader::new().push(request.as_bytes()).unwrap() {
        (_, Progress::Complete(request)) => request.head,
        (_, other) => panic!("{other:?}"),
    }
}

fn judge(fields: &[&str]) -> Result<Upgrade, Problem> {
    upgrade(&head("1.1", fields), true)
}

/// RFC 6455 section 1.3: the example.
#[test]
fn the_accept_key_is_that_of_the_example() {
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/// RFC 6455 section 4.2.2.
#[test]
fn an_answer_says_what_was_agreed_on() {
    let extensions = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let protocol = "Sec-WebSocket-Protocol: other, pushlet.v1.json\r\n";
    let agreed = judge(&[ASKED, KEY, VERSION, extensions, protocol]).unwrap();
    assert_eq!((agreed.protocol, agreed.deflate, agreed.names_window), (Some(PROTOCOL), true, false));
    let mut out = Vec::new();
    switching_protocols(&agreed, "Sun, 06 Nov 1994 08:49:37 GMT", &[("X-A", "b")], &mut out);
    let expected = "HTTP/1.1 101 Switching Protocols\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Content-Type-Options: nosniff\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: pushlet.v1.json\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\nX-A: b\r\n\
        Connection: Upgrade\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// RFC 6455 section 4.2.1: what the words are, and that their letters may be of any size; RFC 9110 section 7.8: lists of them.
#[test]
fn an_upgrade_is_asked_for_in_many_ways() {
    let asked = [
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "UPGRADE: WebSocket\r\nCONNECTION: upgrade\r\n",
        "Upgrade: h2c, websocket\r\nConnection: keep-alive, Upgrade\r\n",
        "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: UPGRADE\r\n",
    ];
    for fields in asked {
        let agreed = judge(&[fields, KEY, VERSION]).unwrap();
        assert_eq!(
            (agreed.accept.as_str(), agreed.protocol, agreed.deflate),
            ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None, false)
        );
    }
}

/// Fields of a request, and the status and the field at fault of its refusal.
type Row<'a> = (&'a [&'a str], (u16, Option<&'a str>));

/// What is not a handshake of RFC 6455 section 4.2.1, and the field that says so.
#[test]
fn what_is_no_handshake_is_refused_with_the_field_at_fault() {
    let upgrade = (426, Some("Upgrade"));
    let version = (426, Some("Sec-WebSocket-Version"));
    let key = (400, Some("Sec-WebSocket-Key"));
    let protocol = (400, Some("Sec-WebSocket-Protocol"));
    let extensions = (400, Some("Sec-WebSocket-Extensions"));
    let table: [Row<'_>; 23] = [
        (&[], upgrade),
        (&[KEY, VERSION], upgrade),
        (&["Upgrade: websocket\r\n", KEY, VERSION], upgrade),
        (&["Connection: Upgrade\r\n", KEY, VERSION], upgrade),
        (&["Upgrade: websockets\r\nConnection: Upgrade\r\n", KEY, VERSION], upgrade),
        (&["Upgrade: h2c\r\nConnection: Upgrade\r\n", KEY, VERSION], upgrade),
        (&["Upgrade: websocket\r\nConnection: close\r\n", KEY, VERSION], upgrade),
        (&[ASKED, KEY], version),
        (&[ASKED], version),
        (&[ASKED, KEY, "Sec-WebSocket-Version: 8\r\n"], version),
        (&[ASKED, KEY, "Sec-WebSocket-Version: 013\r\n"], version),
        (&[ASKED, KEY, "Sec-WebSocket-Version: 13, 8\r\n"], version),
        (&[ASKED, VERSION], key),
        (&[ASKED, VERSION, "Sec-WebSocket-Key:\r\n"], key),
        (&[ASKED, VERSION, "Sec-WebSocket-Key: not base64\r\n"], key),
        (&[ASKED, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"], key),
        (&[ASKED, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"], key),
        (&[ASKED, VERSION, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n"], key),
        (&[ASKED, KEY, VERSION, "Sec-WebSocket-Protocol: other\r\n"], protocol),
        (&[ASKED, KEY, VERSION, "Sec-WebSocket-Protocol: Pushlet.V1.Json\r\n"], protocol),
        (&[ASKED, KEY, VERSION, "Sec-WebSocket-Protocol:\r\n"], protocol),
        (&[ASKED, KEY, VERSION, "Sec-WebSocket-Extensions: a b\r\n"], extensions),
        (&[ASKED, KEY, VERSION, "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: ;\r\n"], extensions),
    ];
    for (fields, (status, field)) in table {
        for offer_deflate in [false, true] {
            let problem = super::super::upgrade(&head("1.1", fields), offer_deflate).unwrap_err();
            assert_eq!((problem.status, problem.field), (status, field), "{fields:?}");
            assert!(field.is_none_or(|field| problem.detail.contains(field)), "{} does not name it", problem.detail);
        }
    }
}

/// RFC 6455 section 4.2.1 number 1, RFC 9110 section 7.8: HTTP/1.0 has no upgrade.
#[test]
fn http_1_0_has_no_upgrade() {
    let head = head("1.0", &[ASKED, KEY, VERSION]);
    assert!(!head.upgrade_websocket);
    let problem = upgrade(&head, true).unwrap_err();
    assert_eq!(problem.status, 426);
    assert!(problem.detail.contains("HTTP/1.1"));
}

/// RFC 6455 sections 11.3.1 and 11.3.5: the reader does not let a second one through.
#[test]
fn key_and_version_are_there_once() {
    for field in [KEY, VERSION] {
        let request = format!("GET /v1/ws HTTP/1.1\r\nHost: a\r\n{field}{field}\r\n");
        let error = RequestReader::new().push(request.as_bytes()).unwrap_err();
        assert!(error.status == 400 && error.reason.contains("more than once"));
    }
}

/// RFC 6455 section 4.1 number 7: 16 bytes. The bits behind them are nobody's business.
#[test]
fn a_key_is_sixteen_bytes() {
    let agreed = judge(&[ASKED, VERSION, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==\r\n"]).unwrap();
    assert_eq!(agreed.accept, accept_key("AAAAAAAAAAAAAAAAAAAAAB=="));
}

/// Without the setting nothing is agreed on, whatever is offered; with it what RFC 7692 section 7.1 asks for is answered.
#[test]
fn compression_is_agreed_on_if_both_want_it() {
    let offer =
        "Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n";
    let head = head("1.1", &[ASKED, KEY, VERSION, offer]);
    let extensions = |agreed: &Upgrade| {
        let mut out = Vec::new();
        switching_protocols(agreed, "", &[], &mut out);
        let text = String::from_utf8(out).unwrap();
        text.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: ").map(str::to_owned))
    };
    let off = upgrade(&head, false).unwrap();
    assert_eq!((off.deflate, off.names_window, extensions(&off)), (false, false, None));
    let on = upgrade(&head, true).unwrap();
    let answer =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";
    assert_eq!((on.deflate, extensions(&on).as_deref()), (true, Some(answer)));
}

/// RFC 9110 section 15.5.22: a 426 says what is to be spoken; RFC 6455 section 4.4: in which version.
#[test]
fn a_426_says_what_is_spoken() {
    for (version, keep_alive, connection) in [
        ("1.1", true, "Upgrade"),
        ("1.1", false, "Upgrade, close"),
        ("1.0", true, "Upgrade, keep-alive"),
        ("1.0", false, "Upgrade, close"),
    ] {
        let head = head(version, &[]);
        let problem = upgrade(&head, false).unwrap_err();
        let mut out = Vec::new();
        let to = ReplyTo { keep_alive, ..ReplyTo::from(&head) };
        let sent = v1::problem(&mut out, to, &problem, "Sun, 06 Nov 1994 08:49:37 GMT", &[]);
        assert_eq!(sent.keep_alive, keep_alive);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
        for field in ["Upgrade: websocket", "Sec-WebSocket-Version: 13", &format!("Connection: {connection}")] {
            assert_eq!(text.matches(&format!("\r\n{field}\r\n")).count(), 1, "{field} in {text}");
        }
        assert_eq!(text.matches("\r\nConnection: ").count(), 1);
    }
}

/// Of fields that the handshake does not know nothing is kept.
#[test]
fn the_head_keeps_what_the_handshake_says() {
    assert_eq!(head("1.1", &[]).ws, None);
    let offered = "Sec-WebSocket-Protocol: a\r\nsec-websocket-protocol: b\r\nSec-WebSocket-Accept: c\r\n";
    let fields = head("1.1", &[offered, KEY, VERSION]).ws.unwrap();
    assert_eq!(fields.protocols.as_deref(), Some("a, b"));
    assert_eq!(fields.key.as_deref(), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!((fields.version.as_deref(), fields.extensions), (Some("13"), None));
}
