//! The opening handshake: RFC 6455 section 4.2.

use super::super::{PROTOCOL, Upgrade, accept_key, switching_protocols, upgrade};
use crate::protocol::Problem;
use crate::wire::http::{Progress, RequestHead, RequestReader};

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
