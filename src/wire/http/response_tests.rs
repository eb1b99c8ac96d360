use super::*;

const DATE: &str = "Sat, 06 May 1995 12:00:00 GMT";

fn to(version: Version, keep_alive: bool) -> ReplyTo {
    ReplyTo { version, keep_alive, to_head: false }
}

fn head(to: ReplyTo, status: u16, body: Body) -> (String, Sent) {
    let mut out = Vec::new();
    let sent = ResponseHead::new(&mut out, to, status, DATE).finish(body);
    (String::from_utf8(out).unwrap(), sent)
}

/// P-33: every answer forbids the browser to guess what it is.
#[test]
fn a_head_is_written_byte_for_byte() {
    let (text, sent) = head(to(Version::Http11, true), 200, Body::Length(5));
    assert_eq!(
        text,
        "HTTP/1.1 200 OK\r\nDate: Sat, 06 May 1995 12:00:00 GMT\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 5\r\n\r\n"
    );
    assert_eq!(sent, Sent { content: true, chunked: false, keep_alive: true });
}

/// RFC 9112 sections 6 and 9.3: framing and persistence for each version, wish and body.
#[test]
fn framing_and_persistence_follow_the_version() {
    use Version::{Http10, Http11};
    let length = Body::Length(5);
    for (version, wish, body, framing, connection, chunked, keep_alive) in [
        (Http11, true, length, "Content-Length: 5\r\n", "", false, true),
        (Http11, false, length, "Content-Length: 5\r\n", "Connection: close\r\n", false, false),
        (Http11, true, Body::Stream, "Transfer-Encoding: chunked\r\n", "", true, true),
        (Http11, false, Body::Stream, "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", true, false),
        (Http10, true, length, "Content-Length: 5\r\n", "Connection: keep-alive\r\n", false, true),
        (Http10, false, length, "Content-Length: 5\r\n", "Connection: close\r\n", false, false),
        (Http10, true, Body::Stream, "", "Connection: close\r\n", false, false),
        (Http10, false, Body::Stream, "", "Connection: close\r\n", false, false),
    ] {
        let (text, sent) = head(to(version, wish), 200, body);
        assert!(text.ends_with(&format!("nosniff\r\n{framing}{connection}\r\n")), "{text}");
        assert_eq!(sent, Sent { content: true, chunked, keep_alive }, "{text}");
    }
}

/// RFC 9110 sections 8.6 and 15.4.5: no framing where there can be no content.
#[test]
fn a_status_without_content_has_no_framing() {
    for status in [204, 304] {
        for body in [Body::Length(0), Body::Stream] {
            let (text, sent) = head(to(Version::Http11, true), status, body);
            assert!(text.ends_with("nosniff\r\n\r\n"), "{text}");
            assert_eq!(sent, Sent { content: false, chunked: false, keep_alive: true });
        }
    }
}

/// P-4: the answer to HEAD has the head of the answer and no content, and the connection lives on even without framing.
#[test]
fn an_answer_to_head_says_that_no_content_follows() {
    for version in [Version::Http10, Version::Http11] {
        for body in [Body::Length(9), Body::Stream] {
            let (_, sent) = head(ReplyTo { to_head: true, ..to(version, true) }, 200, body);
            assert_eq!(sent, Sent { content: false, chunked: false, keep_alive: true });
        }
    }
}

/// P-33: the block is the original's, four lines.
#[test]
fn the_no_cache_block_is_the_originals() {
    let mut out = Vec::new();
    let _ = ResponseHead::new(&mut out, to(Version::Http11, true), 200, DATE).no_cache().finish(Body::Length(0));
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines[3..7],
        [
            "Expires: Sat, 6 May 1995 12:00:00 GMT",
            "Cache-Control: no-store, no-cache, must-revalidate",
            "Cache-Control: post-check=0, pre-check=0",
            "Pragma: no-cache"
        ]
    );
}

/// A value cannot split the head, whatever is in it.
#[test]
fn a_value_with_a_control_byte_is_left_out() {
    for value in ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b", "\u{7f}", "\u{1b}[2J"] {
        let mut out = Vec::new();
        let _ = ResponseHead::new(&mut out, to(Version::Http11, true), 200, DATE)
            .header("Location", value)
            .finish(Body::Length(0));
        assert!(!String::from_utf8(out).unwrap().contains("Location"), "{value:?}");
    }
    let mut out = Vec::new();
    let _ = ResponseHead::new(&mut out, to(Version::Http11, true), 200, DATE)
        .header("X-Name", "é\t中")
        .finish(Body::Length(0));
    assert!(String::from_utf8(out).unwrap().contains("\r\nX-Name: é\t中\r\n"));
}

#[test]
fn a_refusal_is_a_sentence_in_plain_text_that_closes() {
    let mut out = Vec::new();
    let sent = write_error(&mut out, &HttpError::new(400, "Host is missing."), DATE);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 400 Bad Request\r\nDate: Sat, 06 May 1995 12:00:00 GMT\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Type: text/plain;charset=UTF-8\r\nCache-Control: no-store\r\nContent-Length: 17\r\nConnection: close\r\n\r\n\
         Host is missing.\n"
    );
    assert!(!sent.keep_alive);
}

/// P-4: 405 names the methods. A refused HEAD gets no content.
#[test]
fn a_405_allows_and_a_refused_head_has_no_content() {
    let mut out = Vec::new();
    let _ = write_error(&mut out, &HttpError { to_head: true, ..HttpError::new(405, "No.") }, DATE);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\r\nAllow: GET, HEAD, POST, OPTIONS\r\n") && text.contains("Content-Length: 4\r\n"));
    assert!(text.ends_with("\r\n\r\n"));
}

#[test]
fn chunk_sizes_are_hexadecimal_without_padding() {
    for len in [1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65_536, usize::MAX] {
        let mut out = Vec::new();
        chunk_head(len, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{len:x}\r\n"));
    }
    let mut out = Vec::new();
    chunk(b"", &mut out);
    chunk(b"hello", &mut out);
    out.extend_from_slice(LAST_CHUNK);
    assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn dates_are_those_of_the_rfc_and_never_panic() {
    assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
}
