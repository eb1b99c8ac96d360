//! RFC 9112 section 9.3: whether a connection outlives its request.

use super::super::{ReplyTo, Version};
use super::feed;

fn keeps(version: &str, fields: &str) -> (bool, Version) {
    let bytes = format!("GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
    let outcome = feed([bytes.as_bytes()]);
    let head = &outcome.requests[0].head;
    assert_eq!(ReplyTo::from(head), ReplyTo { version: head.version, keep_alive: head.keep_alive, to_head: false });
    (head.keep_alive, head.version)
}

#[test]
fn the_whole_matrix_of_versions_and_options() {
    let rows = [
        // fields, HTTP/1.0, HTTP/1.1
        ("", false, true),
        ("Connection:\r\n", false, true),
        ("Connection: close\r\n", false, false),
        ("Connection: CLOSE\r\n", false, false),
        ("Connection: keep-alive\r\n", true, true),
        ("Connection: Keep-Alive\r\n", true, true),
        ("Connection: keep-alive, close\r\n", false, false),
        ("Connection: close, keep-alive\r\n", false, false),
        ("Connection: keep-alive\r\nConnection: close\r\n", false, false),
        ("Connection: close\r\nConnection: keep-alive\r\n", false, false),
        ("Connection: upgrade , Keep-Alive\r\n", true, true),
        ("Connection: ,, close ,\r\n", false, false),
        ("Connection: closed\r\n", false, true),
        ("Connection: not-keep-alive\r\n", false, true),
        ("Connection: keep-alive;x\r\n", false, true),
        ("Proxy-Connection: keep-alive\r\n", false, true),
        ("Keep-Alive: timeout=5\r\n", false, true),
        ("connection: close\r\n", false, false),
    ];
    for (fields, http10, http11) in rows {
        assert_eq!(keeps("1.0", fields), (http10, Version::Http10), "1.0 {fields:?}");
        assert_eq!(keeps("1.1", fields), (http11, Version::Http11), "1.1 {fields:?}");
    }
}

/// RFC 9110 section 2.5: a higher minor version is treated as 1.1.
#[test]
fn a_later_minor_version_is_treated_as_1_1() {
    assert_eq!(keeps("1.2", ""), (true, Version::Http11));
    assert_eq!(keeps("1.9", "Connection: close\r\n"), (false, Version::Http11));
}
