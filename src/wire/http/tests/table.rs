//! One row per rule: bytes in, a status out, or 200 for a request that is accepted.

use super::super::{HttpError, Method, Progress, RequestHead, RequestReader};
use super::feed;
use crate::limits::{
    BODY_BYTES_MAX, CHUNK_LINE_BYTES_MAX, CHUNK_PADDING_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX,
    TRAILER_BYTES_MAX,
};

/// What a row expects: the status of the refusal, [`OK`], or [`MORE`].
const OK: u16 = 200;
const MORE: u16 = 0;

/// Runs a row whole and byte by byte; both must come to the same.
fn status(bytes: &[u8]) -> u16 {
    let outcome = feed([bytes]);
    assert_eq!(outcome, feed(bytes.chunks(1)), "the pieces matter: {}", bytes.escape_ascii());
    match outcome.end {
        Err(error) => {
            assert!(error.reason.ends_with(['.', '?']) && error.reason.len() > 10, "not a sentence: {}", error.reason);
            error.status
        }
        Ok(_) if outcome.requests.is_empty() => MORE,
        Ok(_) => OK,
    }
}

fn check(rows: &[(&str, &[u8], u16)]) {
    for (name, bytes, expected) in rows {
        assert_eq!(status(bytes), *expected, "{name}: {}", bytes.escape_ascii());
    }
}

#[test]
fn request_lines() {
    check(&[
        ("9112 3: the plain case", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 2.2: one empty line before", b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 2.2: four empty lines before", b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 2.2: five empty lines before", b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.2: empty line of a bare LF", b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.2: CR alone before", b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.2: bare LF behind the request line", b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
        ("9112 2.2: bare CR in the request line", b"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.2: bare CR behind the request line", b"GET / HTTP/1.1\rHost: h\r\n\r\n", 400),
        ("9112 2.2: CR CR LF", b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", 400),
        ("9112 2.2: space before the method", b" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3: two spaces behind the method", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3: two spaces before the version", b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3: space behind the version", b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        ("9112 3: tab instead of space", b"GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3: tab in the target", b"GET /\ta HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3: space in the target", b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3: one word", b"GET\r\n\r\n", 400),
        ("9112 3: only a space", b" \r\n\r\n", 400),
        ("9110 5.5: NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 5.5: control byte in the target", b"GET /\x1b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 5.5: DEL in the target", b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("a TLS greeting, refused at its first byte", b"\x16\x03\x01\x02", 400),
        ("9110 9.1: lower-case method", b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 9.1: mixed-case method", b"Post / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 9.1: lower-case unserved method", b"delete / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 9.1: unknown token", b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9110 9.1: unknown lower-case token", b"brew / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9110 9.1: every token character", b"!#$%&'*+-.^_`|~09az / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9110 9.1: no token", b"G(ET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 9.1: method of bytes above 0x7f", b"G\xc3\x89T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.3: HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n", OK),
        ("9110 2.5: HTTP/1.2 is read as 1.1", b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", OK),
        ("9110 15.6.6: HTTP/2.0", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("9113 3.4: the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("9110 15.6.6: HTTP/0.9 by name", b"GET / HTTP/0.9\r\n\r\n", 505),
        ("9110 15.6.6: no version", b"GET /\r\n", 505),
        ("9112 2.3: lower-case http", b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.3: two digits", b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
        ("9112 2.3: no minor", b"GET / HTTP/1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.3: leading zero", b"GET / HTTP/01.1\r\nHost: h\r\n\r\n", 400),
        ("9112 2.3: other protocol", b"GET / RTSP/1.0\r\n\r\n", 400),
        ("the request line alone is not a request", b"GET / HTTP/1.1\r\n", MORE),
    ]);
}

#[test]
fn request_targets() {
    check(&[
        ("9112 3.2.1: path and query", b"GET /a/b?c=d&e HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 3.2.1: two slashes", b"GET //a HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 3.2: a relative path", b"GET a/b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3.2: a query alone", b"GET ?a=b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3.2: a fragment", b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3.2: a fragment in the query", b"GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("P-2: UTF-8", b"GET /?a=\xe4\xb8\xad HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("P-2: Latin-1 is not UTF-8", b"GET /?a=\xe9 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("P-2: an overlong form is not UTF-8", b"GET /\xc0\xaf HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3.2.2: absolute form", b"GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 3.2.2: absolute form without path", b"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9110 4.2.3: scheme in capitals", b"GET HTTP://h/ HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 3.2.2: https behind a proxy", b"GET https://h:8443/ HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 3.2.2: absolute form still needs Host", b"GET http://h/ HTTP/1.1\r\n\r\n", 400),
        ("9112 3.2.2: other scheme", b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 4.2.1: no host", b"GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 4.2.1: only a port", b"GET http://:80/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9110 4.2.4: user information", b"GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3.2.2: UTF-8 in the host", b"GET http://\xc3\xa9/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3.2.3: CONNECT", b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 405),
        ("9112 3.2.3: authority form for GET", b"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("9112 3.2.4: OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 3.2.4: GET *", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ]);
}

#[test]
fn header_fields() {
    check(&[
        ("9112 3.2: no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
        ("9112 3.2: no Host in 1.2", b"GET / HTTP/1.2\r\n\r\n", 400),
        ("9112 3.2: two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("9112 3.2: the same Host twice", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
        ("9112 3.2: two Hosts in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("9112 3.2: two Hosts in one line", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("9112 3.2: a path in Host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("9112 3.2: user information in Host", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("9112 3.2: port out of range", b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
        ("9112 3.2: UTF-8 in Host", b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", 400),
        ("9112 3.2: an empty Host is one", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", OK),
        ("9110 7.2: IPv6 with port", b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", OK),
        ("9112 5: no space behind the colon", b"GET / HTTP/1.1\r\nHost:h\r\n\r\n", OK),
        ("9112 5: white space around the value", b"GET / HTTP/1.1\r\nHost: \t h \t \r\n\r\n", OK),
        ("9112 5.1: space before the colon", b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("9112 5.1: tab before the colon", b"GET / HTTP/1.1\r\nHost\t: h\r\n\r\n", 400),
        ("9112 5.2: a folded line", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400),
        ("9112 5.2: a line folded with a tab", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\tc\r\n\r\n", 400),
        ("9112 2.2: space before the first field", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
        ("9112 5: no colon", b"GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400),
        ("9112 5: no name", b"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400),
        ("9112 5: the name is no token", b"GET / HTTP/1.1\r\nHost: h\r\nA(b): x\r\n\r\n", 400),
        ("9112 5: UTF-8 in the name", b"GET / HTTP/1.1\r\nHost: h\r\nA\xc3\xa9: x\r\n\r\n", 400),
        ("9112 2.2: bare LF behind a field", b"GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
        ("9112 2.2: bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
        ("9112 2.2: bare CR in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400),
        ("9112 2.2: CR without LF at the end", b"GET / HTTP/1.1\r\nHost: h\r\n\rX", 400),
        ("9110 5.5: NUL in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n", 400),
        ("9110 5.5: control byte in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: \x08\r\n\r\n", 400),
        ("9110 5.5: DEL in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: \x7f\r\n\r\n", 400),
        ("9110 5.5: control byte in a name", b"GET / HTTP/1.1\r\nHost: h\r\n\x01: x\r\n\r\n", 400),
        ("9110 5.5: any byte above 0x7f in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: \xe9\xff\x80\r\n\r\n", OK),
        ("9110 5.5: tab in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: a\tb\r\n\r\n", OK),
        (
            "9110 5.3: two Content-Types",
            b"GET / HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n",
            400,
        ),
        ("6454 7.3: two Origins", b"GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\nOrigin: http://b\r\n\r\n", 400),
    ]);
}

#[test]
fn lengths() {
    check(&[
        ("9112 6.3: no framing, no body", b"POST / HTTP/1.1\r\nHost: h\r\n\r\n", OK),
        ("9112 6.2: a length", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", OK),
        ("9112 6.2: a length not yet met", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab", MORE),
        ("9110 8.6: leading zeros are digits", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 003\r\n\r\nabc", OK),
        ("9112 6.2: a GET with a body", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", OK),
        (
            "9112 6.3: different lengths",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            400,
        ),
        (
            "9112 6.3: equal lengths",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            400,
        ),
        ("9112 6.3: a list of lengths", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        ("9110 8.6: plus", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("9110 8.6: minus", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc", 400),
        ("9110 8.6: empty", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400),
        ("9110 8.6: hexadecimal", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc", 400),
        ("9110 8.6: a fraction", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3.0\r\n\r\nabc", 400),
        ("9110 8.6: a space inside", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3 3\r\n\r\nabc", 400),
        ("9110 8.6: overflow", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
        (
            "9110 15.5.14: too long, told early",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n",
            413,
        ),
    ]);
}

#[test]
fn codings() {
    check(&[
        (
            "9112 6.3: length and coding",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "9112 6.3: coding and length",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            400,
        ),
        (
            "9112 7: chunked in other letters",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: ChunKed\r\n\r\n0\r\n\r\n",
            OK,
        ),
        ("9112 6.1: coding in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (
            "9112 6.1: unknown coding before chunked",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
        (
            "9112 6.1: the same in two lines",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            501,
        ),
        ("9112 6.3: not chunked at all", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("9112 6.3: chunked not last", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        ("9112 6.1: chunked twice", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (
            "9112 6.1: chunked in two lines",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "9112 7: chunked with a parameter",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;a=b\r\n\r\n",
            400,
        ),
        ("strict: an empty element", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked,\r\n\r\n", 400),
        (
            "strict: an empty line before",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("9112 6.1: an empty coding", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", 400),
        ("9112 6.1: identity", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        ("smuggling: a coding in quotes", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 400),
        ("smuggling: a word like chunked", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        (
            "smuggling: vertical tab before chunked",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            400,
        ),
        (
            "smuggling: no-break space before chunked",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \xa0chunked\r\n\r\n",
            400,
        ),
        ("9110 10.1.1: another expectation", b"POST / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
        ("9110 10.1.1: one more expectation", b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, x\r\n\r\n", 417),
        ("9110 10.1.1: 100-continue without a body", b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n", OK),
    ]);
}

#[test]
fn chunks() {
    let rows: [(&str, &[u8], u16); 37] = [
        ("9112 7.1: one chunk", b"3\r\nabc\r\n0\r\n\r\n", OK),
        ("9112 7.1: capital digits and zeros before", b"00A\r\n0123456789\r\n000\r\n\r\n", OK),
        ("9112 7.1: no end yet", b"3\r\nabc\r\n0\r\n", MORE),
        ("9112 7.1: no size", b"\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: a sign", b"+3\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: minus", b"-3\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: 0x", b"0x3\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: an underscore", b"1_0\r\n", 400),
        ("9112 7.1: space before", b" 3\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: space behind", b"3 \r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: not a digit", b"g\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: byte above 0x7f", b"3\xff\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: overflow of 64 bits", b"10000000000000003\r\nabc\r\n0\r\n\r\n", 413),
        ("9112 7.1: all ones", b"ffffffffffffffff\r\nabc", 413),
        ("9112 7.1: bare LF behind the size", b"3\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: bare CR behind the size", b"3\rabc\r\n0\r\n\r\n", 400),
        ("9112 7.1: bare LF behind the data", b"3\r\nabc\n0\r\n\r\n", 400),
        ("9112 7.1: bare CR behind the data", b"3\r\nabc\r0\r\n\r\n", 400),
        ("9112 7.1: more data than the size", b"3\r\nabcd\r\n0\r\n\r\n", 400),
        ("9112 7.1: less data than the size", b"3\r\nab\r\n0\r\n\r\n", 400),
        ("9112 7.1.1: an extension", b"3;a=b\r\nabc\r\n0;c\r\n\r\n", OK),
        ("9112 7.1.1: a quoted extension", b"3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n", OK),
        ("9112 7.1.1: bad white space before an extension", b"3 \t;a\r\nabc\r\n0\r\n\r\n", OK),
        ("9112 7.1.1: bare LF in an extension", b"3;a\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1.1: bare CR in an extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1.1: NUL in an extension", b"3;\0\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1.1: a comma instead of a semicolon", b"3,a\r\nabc\r\n0\r\n\r\n", 400),
        ("9112 7.1.2: a trailer", b"0\r\nA: b\r\n\r\n", OK),
        ("9112 7.1.2: trailers, one without a value", b"0\r\nA:\r\nB: \xe9\t\r\n\r\n", OK),
        ("9112 7.1.2: a forbidden trailer is dropped", b"0\r\nContent-Length: 7\r\n\r\n", OK),
        ("9112 7.1.2: a trailer without a colon", b"0\r\nabc\r\n\r\n", 400),
        ("9112 7.1.2: a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", 400),
        ("9112 7.1.2: a trailer without a name", b"0\r\n: b\r\n\r\n", 400),
        ("9112 7.1.2: space before the colon", b"0\r\nA : b\r\n\r\n", 400),
        ("9112 7.1.2: bare LF behind a trailer", b"0\r\nA: b\n\r\n", 400),
        ("9112 7.1.2: bare LF at the end", b"0\r\n\n", 400),
        ("9112 7.1.2: bare CR at the end", b"0\r\n\rX", 400),
    ];
    for (name, body, expected) in rows {
        let bytes = [b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", body].concat();
        assert_eq!(status(&bytes), expected, "{name}: {}", body.escape_ascii());
    }
}

/// A request with this head behind the request line and this body.
fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}").into_bytes()
}

/// Every bound: at the bound accepted, one beyond refused.
#[test]
fn bounds() {
    let line = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(len - 14)).into_bytes();
    assert_eq!(status(&line(REQUEST_LINE_BYTES_MAX)), OK);
    assert_eq!(status(&line(REQUEST_LINE_BYTES_MAX + 1)), 414);
    assert_eq!(status(&vec![b'G'; REQUEST_LINE_BYTES_MAX]), MORE);
    assert_eq!(status(&vec![b'G'; REQUEST_LINE_BYTES_MAX + 1]), 414, "told before the line ends");

    let head = |len: usize| post(&format!("A: {}\r\n", "a".repeat(len - 33)), "");
    assert_eq!(head(HEAD_BYTES_MAX).len(), HEAD_BYTES_MAX);
    assert_eq!(status(&head(HEAD_BYTES_MAX)), OK);
    assert_eq!(status(&head(HEAD_BYTES_MAX + 1)), 431);

    let fields = |count: usize| post(&"A: b\r\n".repeat(count - 1), "");
    assert_eq!(status(&fields(HEADERS_MAX)), OK);
    assert_eq!(status(&fields(HEADERS_MAX + 1)), 431);
    let mut begun = fields(HEADERS_MAX);
    begun.splice(begun.len() - 2.., *b"A");
    assert_eq!(status(&begun), 431, "told at the first byte of the field too many");

    let counted = |len: usize| post(&format!("Content-Length: {len}\r\n"), &"x".repeat(len));
    assert_eq!(status(&counted(BODY_BYTES_MAX)), OK);
    assert_eq!(status(&counted(BODY_BYTES_MAX + 1)), 413);
    let told_early = post(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", BODY_BYTES_MAX + 1), "");
    assert_eq!(status(&told_early), 413, "told instead of 100 Continue");

    let chunked = |body: &str| status(&post("Transfer-Encoding: chunked\r\n", body));
    let halves = |more: usize| {
        let half = BODY_BYTES_MAX / 2;
        format!("{half:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(half), half + more, "x".repeat(half + more))
    };
    assert_eq!(chunked(&halves(0)), OK);
    assert_eq!(chunked(&halves(1)), 413);
    assert_eq!(chunked(&format!("{}0\r\n\r\n", "0".repeat(CHUNK_LINE_BYTES_MAX - 1))), OK);
    assert_eq!(chunked(&format!("{}0\r\n\r\n", "0".repeat(CHUNK_LINE_BYTES_MAX))), 400);
    let padded = |chunks: usize| format!("{}0\r\n\r\n", "1;2345678abcdefgh\r\nx\r\n".repeat(chunks));
    assert_eq!(chunked(&padded(CHUNK_PADDING_BYTES_MAX / 9)), OK);
    assert_eq!(chunked(&padded(CHUNK_PADDING_BYTES_MAX / 9 + 1)), 400);
    let trailers = |len: usize| format!("0\r\nA:{}\r\n\r\n", "a".repeat(len - 6));
    assert_eq!(chunked(&trailers(TRAILER_BYTES_MAX)), OK);
    assert_eq!(chunked(&trailers(TRAILER_BYTES_MAX + 1)), 431);
}

fn head_of(bytes: &[u8]) -> RequestHead {
    let outcome = feed([bytes]);
    assert_eq!(outcome.requests.len(), 1, "{:?}", outcome.end);
    outcome.requests[0].head.clone()
}

/// P-2: the target is handed on undecoded; bytes above 0x7f are told.
#[test]
fn a_target_is_split_and_not_decoded() {
    for (target, path, query, host, raw) in [
        ("/a%20b?c=%31&d", "/a%20b", "c=%31&d", "h", false),
        ("/a?", "/a", "", "h", false),
        ("/a?b?c", "/a", "b?c", "h", false),
        ("//e/pushlet.srv", "//e/pushlet.srv", "", "h", false),
        ("/中?x=é", "/中", "x=é", "h", true),
        ("http://Other:81/p?q", "/p", "q", "Other:81", false),
        ("http://o", "/", "", "o", false),
        ("http://o?q=/", "/", "q=/", "o", false),
    ] {
        let head = head_of(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!((&*head.path, &*head.query, head.raw_target), (path, query.as_bytes(), raw), "{target}");
        assert_eq!(head.host.as_deref(), Some(host), "RFC 9112 section 3.2.2: {target}");
    }
    assert_eq!(&*head_of(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").path, "*");
    assert_eq!(&*head_of(b"OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n").path, "*");
    assert_eq!(&*head_of(b"OPTIONS http://h?q HTTP/1.1\r\nHost: h\r\n\r\n").path, "/");
    assert_eq!(&*head_of(b"OPTIONS http://h/ HTTP/1.1\r\nHost: h\r\n\r\n").path, "/");
}

#[test]
fn the_fields_that_the_server_needs_are_kept() {
    let head = head_of(
        b"OPTIONS /a HTTP/1.1\r\nhost: h:1\r\nuser-agent: J\xe9 \r\nUser-Agent: second\r\nCONTENT-TYPE: text/xml\r\n\
          Origin: http://o\r\nAccept: a/b\r\nAccept: c/d\r\nAccess-Control-Request-Method: POST\r\n\
          Access-Control-Request-Headers: X-A\r\nAccess-Control-Request-Headers: X-B\r\n\r\n",
    );
    assert_eq!(head.method, Method::Options);
    assert_eq!(head.host.as_deref(), Some("h:1"));
    assert_eq!(head.user_agent.as_deref(), Some("J\u{fffd}"));
    assert_eq!(head.content_type.as_deref(), Some("text/xml"));
    assert_eq!(head.origin.as_deref(), Some("http://o"));
    assert_eq!(head.accept.as_deref(), Some("a/b, c/d"));
    assert_eq!(head.access_control_request_method.as_deref(), Some("POST"));
    assert_eq!(head.access_control_request_headers.as_deref(), Some("X-A, X-B"));
    assert_eq!(head_of(b"GET / HTTP/1.0\r\n\r\n").host, None);
}

/// P-4: the methods that are told apart.
#[test]
fn methods_are_told_apart() {
    for (word, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("OPTIONS", Method::Options),
        ("PUT", Method::Other),
        ("GETS", Method::Other),
    ] {
        assert_eq!(head_of(format!("{word} / HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).method, method);
    }
}

/// P-34: a session id in the query does not reach a log by way of `Debug`.
#[test]
fn debug_leaves_the_query_out() {
    let text = format!("{:?}", head_of(b"GET /pushlet.srv?p_id=secret HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert!(text.contains("/pushlet.srv") && !text.contains("secret"), "{text}");
}

/// The answer to a refused HEAD has no content, whether the head or the body was at fault.
#[test]
fn a_refused_head_is_known_as_one() {
    let refused = |bytes: &[u8]| feed([bytes]).end.map_err(|HttpError { status, to_head, .. }| (status, to_head));
    assert_eq!(refused(b"HEAD / HTTP/1.1\r\n\r\n"), Err((400, true)));
    assert_eq!(refused(b"HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx"), Err((400, true)));
    assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n"), Err((400, false)));
}

/// RFC 9110 section 10.1.1: 100 Continue only if the body is still to come and the client speaks 1.1.
#[test]
fn continue_is_asked_for_only_while_the_client_waits() {
    let expect = |version: &str, framing: &str, body: &str| {
        let bytes = format!("POST / HTTP/{version}\r\nHost: h\r\n{framing}Expect: 100-continue\r\n\r\n{body}");
        RequestReader::new().push(bytes.as_bytes()).unwrap()
    };
    let (length, chunked) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    assert_eq!(expect("1.1", length, "").1, Progress::SendContinue);
    assert_eq!(expect("1.1", chunked, "").1, Progress::SendContinue);
    assert_eq!(expect("1.1", length, "a").1, Progress::NeedMore);
    assert_eq!(expect("1.0", length, "").1, Progress::NeedMore);
    for whole in [expect("1.1", length, "abc"), expect("1.1", "", ""), expect("1.1", "Content-Length: 0\r\n", "")] {
        assert!(matches!(whole.1, Progress::Complete(_)), "{whole:?}");
    }
    let mut reader = RequestReader::new();
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(reader.push(head), Ok((head.len(), Progress::SendContinue)));
    assert_eq!(reader.push(b"ab"), Ok((2, Progress::NeedMore)), "asked for once");
    assert!(matches!(reader.push(b"cd"), Ok((1, Progress::Complete(_)))));
}
