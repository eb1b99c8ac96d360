//! Answers: status line, header fields and the framing of what follows, appended to a buffer.

use std::time::{Duration, UNIX_EPOCH};

use super::error::HttpError;
use super::head::RequestHead;
use super::line::{Method, Version};
use crate::wire::blocks::all;

/// The interim answer to [`super::Progress::SendContinue`] (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// What ends a chunked body: the last chunk and no trailers (RFC 9112 section 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// P-33: the fields that every Pushlet answer of the control and data type carries, as the original sends them.
pub const NO_CACHE: &[u8] = b"Expires: Sat, 6 May 1995 12:00:00 GMT\r\n\
    Cache-Control: no-store, no-cache, must-revalidate\r\n\
    Cache-Control: post-check=0, pre-check=0\r\n\
    Pragma: no-cache\r\n";

/// The last second that an HTTP date can name: the end of the year 9999.
const DATE_MAX: u64 = 253_402_300_799;

/// What of a request decides how its answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// What the client speaks: an HTTP/1.0 client gets no chunks.
    pub version: Version,
    /// Whether the connection may live on. A driver that wants to close clears it.
    pub keep_alive: bool,
    /// The request was a HEAD: the answer has no content.
    pub to_head: bool,
}

impl From<&RequestHead> for ReplyTo {
    fn from(head: &RequestHead) -> Self {
        Self { version: head.version, keep_alive: head.keep_alive, to_head: head.method == Method::Head }
    }
}

/// The connection closes after the answer.
impl From<&HttpError> for ReplyTo {
    fn from(error: &HttpError) -> Self {
        Self { version: Version::Http11, keep_alive: false, to_head: error.to_head }
    }
}

/// What follows a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// This many bytes.
    Length(u64),
    /// An unknown number: chunks for HTTP/1.1; for HTTP/1.0 bare bytes to the end of the connection.
    Stream,
}

/// What the writer of the body has to do behind a finished head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Sent {
    /// Whether content follows at all. Not after HEAD and not with 204 or 304.
    pub content: bool,
    /// Content goes in chunks and ends with [`LAST_CHUNK`].
    pub chunked: bool,
    /// The connection lives on afterwards. If not, close it behind the last byte.
    pub keep_alive: bool,
}

/// A response head being appended to a buffer. It is complete when [`ResponseHead::finish`] returns.
#[derive(Debug)]
#[must_use = "a head is complete only when it is finished"]
pub struct ResponseHead<'a> {
    out: &'a mut Vec<u8>,
    to: ReplyTo,
    status: u16,
    upgrade: bool,
}

impl<'a> ResponseHead<'a> {
    /// Begins an answer with `status` and the `date` of [`http_date`]. P-33: `X-Content-Type-Options: nosniff` is on every answer.
    pub fn new(out: &'a mut Vec<u8>, to: ReplyTo, status: u16, date: &str) -> Self {
        // RFC 9112 section 2.3: the version is the server's own, also for an HTTP/1.0 client.
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason_phrase(status).as_bytes());
        out.extend_from_slice(b"\r\n");
        Self { out, to, status, upgrade: false }.header("Date", date).header("X-Content-Type-Options", "nosniff")
    }

    /// Adds a field. A value with a control byte cannot be written, and the field is left out: a value never becomes a second field.
    /// Framing and `Connection` are [`ResponseHead::finish`]'s business.
    pub fn header(self, name: &'static str, value: &str) -> Self {
        debug_assert!(
            !["Content-Length", "Transfer-Encoding", "Connection"].iter().any(|own| own.eq_ignore_ascii_case(name)),
            "{name} is written by finish()"
        );
        if all(value.as_bytes(), |byte| ((byte >= b' ') & (byte != 0x7f)) | (byte == b'\t')) {
            self.field(name, value)
        } else {
            self
        }
    }

    /// Adds `Upgrade` with `protocol`, and `upgrade` to what `Connection` will say (RFC 9110 section 7.8).
    pub fn upgrade(mut self, protocol: &str) -> Self {
        self.upgrade = true;
        self.field("Upgrade", protocol)
    }

    /// Adds the fields of [`NO_CACHE`].
    pub fn no_cache(self) -> Self {
        self.out.extend_from_slice(NO_CACHE);
        self
    }

    /// Adds the framing and the empty line (RFC 9112 sections 6 and 9).
    pub fn finish(self, body: Body) -> Sent {
        let ReplyTo { version, to_head, keep_alive } = self.to;
        // RFC 9110 sections 8.6 and 15.4.5, RFC 9112 section 6.1: these have neither content nor framing.
        let bare = matches!(self.status, 100..=199 | 204 | 304);
        let content = !bare && !to_head;
        let chunked = body == Body::Stream && version == Version::Http11 && !bare;
        let until_close = content && body == Body::Stream && !chunked;
        let keep_alive = keep_alive && !until_close;
        let framed = match body {
            Body::Length(bytes) if !bare => self.field("Content-Length", itoa::Buffer::new().format(bytes)),
            Body::Stream if chunked => self.field("Transfer-Encoding", "chunked"),
            _ => self,
        };
        let upgrade = framed.upgrade;
        let complete = match (keep_alive, version) {
            (false, _) if upgrade => framed.field("Connection", "Upgrade, close"),
            (true, Version::Http10) if upgrade => framed.field("Connection", "Upgrade, keep-alive"),
            (true, Version::Http11) if upgrade => framed.field("Connection", "Upgrade"),
            (false, _) => framed.field("Connection", "close"),
            (true, Version::Http10) => framed.field("Connection", "keep-alive"),
            (true, Version::Http11) => framed,
        };
        complete.out.extend_from_slice(b"\r\n");
        Sent { content, chunked: chunked && content, keep_alive }
    }

    fn field(self, name: &str, value: &str) -> Self {
        self.out.reserve(name.len() + value.len() + 4);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self
    }
}

/// Appends the head of a chunk of `len` bytes; the data and [`CHUNK_END`] follow. `len` is not 0: that would end the body.
pub fn chunk_head(len: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    debug_assert!(len > 0, "a chunk of no bytes ends the body");
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|digit| DIGITS[(len >> (4 * digit)) & 15]));
    out.extend_from_slice(b"\r\n");
}

/// Appends `data` as one chunk; nothing if there is no data.
pub fn chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        chunk_head(data.len(), out);
        out.extend_from_slice(data);
        out.extend_from_slice(CHUNK_END);
    }
}

/// Appends a whole answer whose content is `reason` and a line feed, as plain text. It is never stored by a cache.
pub fn write_text(out: &mut Vec<u8>, to: ReplyTo, status: u16, reason: &str, date: &str) -> Sent {
    debug_assert_ne!(status, 405, "a 405 names the methods: write_refusal()");
    text(out, to, status, None, reason, date)
}

/// Appends a whole answer to a method that is not served: a 405 that names those that are, such as `GET, HEAD` (RFC 9110 section 15.5.6).
pub fn write_refusal(out: &mut Vec<u8>, to: ReplyTo, methods: &str, reason: &str, date: &str) -> Sent {
    text(out, to, 405, Some(methods), reason, date)
}

fn text(out: &mut Vec<u8>, to: ReplyTo, status: u16, methods: Option<&str>, reason: &str, date: &str) -> Sent {
    let head = ResponseHead::new(out, to, status, date)
        .header("Content-Type", "text/plain;charset=UTF-8")
        .header("Cache-Control", "no-store");
    let head = match methods {
        Some(methods) => head.header("Allow", methods),
        None => head,
    };
    let sent = head.finish(Body::Length(reason.len() as u64 + 1));
    if sent.content {
        out.extend_from_slice(reason.as_bytes());
        out.push(b'\n');
    }
    sent
}

/// Appends the whole answer to a refused request. The connection is to be closed behind it.
pub fn write_error(out: &mut Vec<u8>, error: &HttpError, date: &str) -> Sent {
    // P-4: CONNECT is refused before anybody knows what the URL takes.
    let methods = (error.status == 405).then_some("GET, HEAD, POST, OPTIONS");
    text(out, ReplyTo::from(error), error.status, methods, error.reason, date)
}

/// The value of `Date` for a wall clock in seconds since 1970 (RFC 9110 section 5.6.7), at most the end of the year 9999.
#[must_use]
pub fn http_date(unix_seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_seconds.min(DATE_MAX)))
}

/// The standard phrase of a status (RFC 9110 section 15); empty for a status that is not used here.
#[must_use]
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
