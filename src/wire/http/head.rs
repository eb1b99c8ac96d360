//! The head of a request: what its fields say, and how its body is framed (RFC 9112 section 6, RFC 9110).

use std::sync::Arc;

use super::error::HttpError;
use super::host;
use super::line::{Method, RequestLine, Version, is_token};
use crate::limits::HEADERS_MAX;

/// The head of one request.
///
/// Text fields are as the client sent them, bytes that are not UTF-8 replaced by U+FFFD. `Debug` leaves the query out: it may hold a
/// session id, which is never logged (P-34).
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// What is to be done.
    pub method: Method,
    /// The path of the target, not decoded and without the query. It begins with `/`, or is `*` for `OPTIONS *`. Two paths are not
    /// made equal here: `//a`, `/./a` and `/%61` stay what they are.
    pub path: Arc<str>,
    /// The query of the target, not decoded and without the `?`. Empty if there is none.
    pub query: Vec<u8>,
    /// Whether the target holds bytes above 0x7f; they are valid UTF-8. Whether the URL takes them is for the router (P-2).
    pub raw_target: bool,
    /// What the client speaks.
    pub version: Version,
    /// Whether the connection may carry another request after this one (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client said that it waits for `100 Continue` (RFC 9110 section 10.1.1). The reader already acts on it.
    pub expect_continue: bool,
    /// The host with the port that the client named: of the target if that is a whole URL, else of `Host`. `None` only for HTTP/1.0.
    pub host: Option<String>,
    /// `User-Agent`, the first of several.
    pub user_agent: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Origin`.
    pub origin: Option<String>,
    /// `Access-Control-Request-Method` of a CORS preflight.
    pub access_control_request_method: Option<String>,
    /// `Access-Control-Request-Headers` of a CORS preflight, several lines joined by commas.
    pub access_control_request_headers: Option<String>,
    /// `Accept`, several lines joined by commas.
    pub accept: Option<String>,
    /// `If-None-Match`, several lines joined by commas.
    pub if_none_match: Option<String>,
    /// `Authorization`. A secret: `Debug` leaves it out.
    pub authorization: Option<String>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `Last-Event-ID` of a browser that comes again, the first of several.
    pub last_event_id: Option<String>,
    /// `Content-Encoding`, several lines joined by commas.
    pub content_encoding: Option<String>,
    /// `Sec-Fetch-Site`, by which browsers tell whose page made them ask.
    pub fetch_site: Option<String>,
    /// Whether the request says how long its body is, be it nothing: by `Content-Length` or `Transfer-Encoding`.
    pub says_length: bool,
    /// Whether the client asks for a WebSocket: `Connection` has `upgrade` and `Upgrade` has `websocket` (RFC 6455 section 4.2.1). Never in
    /// HTTP/1.0, which has no upgrade (RFC 9110 section 7.8).
    pub upgrade_websocket: bool,
    /// What the handshake of RFC 6455 says; `None` if no such field is there.
    pub ws: Option<Box<WebSocketFields>>,
}

/// The fields of the opening handshake of RFC 6455, not yet judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocketFields {
    /// `Sec-WebSocket-Key`.
    pub key: Option<String>,
    /// `Sec-WebSocket-Version`.
    pub version: Option<String>,
    /// `Sec-WebSocket-Protocol`, several lines joined by commas.
    pub protocols: Option<String>,
    /// `Sec-WebSocket-Extensions`, several lines joined by commas.
    pub extensions: Option<String>,
}

impl std::fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query_bytes", &self.query.len())
            .field("version", &self.version)
            .field("keep_alive", &self.keep_alive)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// How the body behind a head ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many bytes; 0 without a body.
    Length(usize),
    /// With the last chunk and its trailers.
    Chunked,
}

/// Parses the header section behind `line`: field lines and the empty line, as the scanner cut it out.
pub(super) fn parse(line: RequestLine, section: &[u8]) -> Result<(RequestHead, Framing), HttpError> {
    let mut storage = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let fields = match httparse::parse_headers(section, &mut storage) {
        Ok(httparse::Status::Complete((taken, fields))) if taken == section.len() => fields,
        Ok(_) => return Err(HttpError::bad("The header section is malformed.")),
        Err(httparse::Error::HeaderName) => {
            return Err(HttpError::bad("A header line is not a name, a colon directly behind it and a value."));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(HttpError::new(431, "There are too many header fields.").limit(HEADERS_MAX));
        }
        Err(_) => return Err(HttpError::bad("A header field holds a byte that may not be there.")),
    };
    let mut facts = Facts::default();
    for field in fields {
        facts.take(field.name, field.value)?;
    }
    facts.into_head(line)
}

/// What the fields say, collected in the order in which they come.
#[derive(Default)]
struct Facts {
    host: Option<String>,
    content_length: Option<u64>,
    transfer_encoding: Option<Vec<u8>>,
    close: bool,
    keep_alive: bool,
    expect_continue: bool,
    user_agent: Option<String>,
    content_type: Option<String>,
    origin: Option<String>,
    access_control_request_method: Option<String>,
    access_control_request_headers: Option<String>,
    accept: Option<String>,
    if_none_match: Option<String>,
    authorization: Option<String>,
    idempotency_key: Option<String>,
    last_event_id: Option<String>,
    content_encoding: Option<String>,
    fetch_site: Option<String>,
    /// `Connection` has the option `upgrade`.
    upgrade: bool,
    /// `Upgrade` has the protocol `websocket`.
    websocket: bool,
    ws: Option<Box<WebSocketFields>>,
}

impl Facts {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("Host") {
            self.take_host(value)?;
        } else if is("Content-Length") {
            self.take_length(value)?;
        } else if is("Transfer-Encoding") {
            join(&mut self.transfer_encoding, value);
        } else if is("Connection") {
            for option in list(value) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        } else if is("Upgrade") {
            self.websocket |= list(value).any(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        } else if is("Expect") {
            self.take_expect(value)?;
        } else if is("User-Agent") {
            self.user_agent.get_or_insert_with(|| text(value));
        } else if is("Accept") {
            join_text(&mut self.accept, value);
        } else if is("If-None-Match") {
            join_text(&mut self.if_none_match, value);
        } else if is("Content-Encoding") {
            join_text(&mut self.content_encoding, value);
        } else if is("Sec-Fetch-Site") {
            self.fetch_site.get_or_insert_with(|| text(value));
        } else if is("Authorization") {
            once(&mut self.authorization, value, HttpError::bad("Authorization is there more than once."))?;
        } else if is("Idempotency-Key") {
            once(&mut self.idempotency_key, value, HttpError::bad("Idempotency-Key is there more than once."))?;
        } else if is("Last-Event-ID") {
            self.last_event_id.get_or_insert_with(|| text(value));
        } else if is("Content-Type") {
            once(&mut self.content_type, value, HttpError::bad("Content-Type is there more than once."))?;
        } else if is("Origin") {
            once(&mut self.origin, value, HttpError::bad("Origin is there more than once."))?;
        } else if is("Access-Control-Request-Method") {
            let twice = HttpError::bad("Access-Control-Request-Method is there more than once.");
            once(&mut self.access_control_request_method, value, twice)?;
        } else if is("Access-Control-Request-Headers") {
            join_text(&mut self.access_control_request_headers, value);
        } else if name.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("Sec-WebSocket-")) {
            self.take_websocket(name, value)?;
        }
        Ok(())
    }

    /// RFC 6455 sections 11.3.1 and 11.3.5: key and version are there once; 11.3.2 and 11.3.4: extensions and protocols are lists.
    fn take_websocket(&mut self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let fields = self.ws.get_or_insert_default();
        if is("Sec-WebSocket-Key") {
            once(&mut fields.key, value, HttpError::bad("Sec-WebSocket-Key is there more than once."))?;
        } else if is("Sec-WebSocket-Version") {
            once(&mut fields.version, value, HttpError::bad("Sec-WebSocket-Version is there more than once."))?;
        } else if is("Sec-WebSocket-Protocol") {
            join_text(&mut fields.protocols, value);
        } else if is("Sec-WebSocket-Extensions") {
            join_text(&mut fields.extensions, value);
        }
        Ok(())
    }

    /// RFC 9112 section 3.2: more than one Host, or an invalid one, is answered with 400.
    fn take_host(&mut self, value: &[u8]) -> Result<(), HttpError> {
        if !host::is_valid(value) {
            return Err(HttpError::bad("Host is not a host with an optional port."));
        }
        once(&mut self.host, value, HttpError::bad("Host is there more than once."))
    }

    /// RFC 9112 section 6.3 lets a recipient take equal lengths twice; we do not, for somebody between may take another one.
    fn take_length(&mut self, value: &[u8]) -> Result<(), HttpError> {
        if self.content_length.is_some() {
            return Err(HttpError::bad("Content-Length is there more than once."));
        }
        // Only digits: `parse` alone would take a plus sign.
        let digits = std::str::from_utf8(value).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(length) = digits.and_then(|digits| digits.parse().ok()) else {
            return Err(HttpError::bad("Content-Length is not one decimal number of reasonable size."));
        };
        self.content_length = Some(length);
        Ok(())
    }

    /// RFC 9110 section 10.1.1: 100-continue is the only expectation there is.
    fn take_expect(&mut self, value: &[u8]) -> Result<(), HttpError> {
        for expectation in list(value) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                return Err(HttpError::new(417, "The only expectation that can be met is 100-continue."));
            }
            self.expect_continue = true;
        }
        Ok(())
    }

    fn into_head(self, line: RequestLine) -> Result<(RequestHead, Framing), HttpError> {
        if line.version == Version::Http11 && self.host.is_none() {
            return Err(HttpError::bad("Host is missing."));
        }
        let framing = self.framing(line.version)?;
        let head = RequestHead {
            method: line.method,
            path: line.path,
            query: line.query,
            raw_target: line.raw_target,
            version: line.version,
            // RFC 9112 section 9.3: close wins over keep-alive.
            keep_alive: !self.close && (line.version == Version::Http11 || self.keep_alive),
            // RFC 9110 section 10.1.1: the expectation of an HTTP/1.0 client is ignored.
            expect_continue: self.expect_continue && line.version == Version::Http11,
            host: line.authority.or(self.host),
            user_agent: self.user_agent,
            content_type: self.content_type,
            origin: self.origin,
            access_control_request_method: self.access_control_request_method,
            access_control_request_headers: self.access_control_request_headers,
            accept: self.accept,
            if_none_match: self.if_none_match,
            says_length: self.content_length.is_some() || self.transfer_encoding.is_some(),
            authorization: self.authorization,
            idempotency_key: self.idempotency_key,
            last_event_id: self.last_event_id,
            content_encoding: self.content_encoding,
            fetch_site: self.fetch_site,
            upgrade_websocket: self.upgrade && self.websocket && line.version == Version::Http11,
            ws: self.ws,
        };
        Ok((head, framing))
    }

    /// RFC 9112 sections 6.1 and 6.3.
    fn framing(&self, version: Version) -> Result<Framing, HttpError> {
        let Some(codings) = &self.transfer_encoding else {
            let length = self.content_length.unwrap_or(0);
            // Whether it may be so long the reader decides: it depends on who is asked.
            return Ok(Framing::Length(usize::try_from(length).unwrap_or(usize::MAX)));
        };
        if version == Version::Http10 {
            return Err(HttpError::bad("HTTP/1.0 has no Transfer-Encoding."));
        }
        if self.content_length.is_some() {
            return Err(HttpError::bad("Content-Length and Transfer-Encoding exclude each other."));
        }
        if codings.eq_ignore_ascii_case(b"chunked") {
            return Ok(Framing::Chunked);
        }
        // A parameter or an empty element makes a coding that is not `chunked`: the word must stand alone.
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let codings: Vec<&[u8]> = codings.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
        let chunked_at = codings.iter().position(|coding| is_chunked(coding));
        let all_are_tokens =
            codings.iter().all(|coding| !coding.is_empty() && coding.iter().all(|&byte| is_token(byte)));
        if chunked_at == Some(codings.len() - 1) && all_are_tokens {
            return Err(HttpError::new(501, "The only transfer coding understood is chunked."));
        }
        Err(HttpError::bad("Transfer-Encoding must end in chunked, once; the end of this body cannot be known."))
    }
}

/// The elements of a comma list (RFC 9110 section 5.6.1), empty ones left out.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(value).into_owned(),
    }
}

/// Keeps the value of a field that may be there once.
fn once(slot: &mut Option<String>, value: &[u8], twice: HttpError) -> Result<(), HttpError> {
    if slot.is_some() {
        return Err(twice);
    }
    *slot = Some(text(value));
    Ok(())
}

/// Joins the lines of a list field (RFC 9110 section 5.3). A line without a value becomes an empty element, so that it is not lost.
fn join(slot: &mut Option<Vec<u8>>, value: &[u8]) {
    match slot {
        Some(joined) => {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value);
        }
        None => *slot = Some(value.to_vec()),
    }
}

fn join_text(slot: &mut Option<String>, value: &[u8]) {
    match slot {
        Some(joined) => {
            joined.push_str(", ");
            joined.push_str(&String::from_utf8_lossy(value));
        }
        None => *slot = Some(text(value)),
    }
}
