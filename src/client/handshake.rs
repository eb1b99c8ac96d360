//! The opening handshake, the client's side (RFC 6455 section 4.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::answer::AnswerReader;
use super::closing::Advice;
use crate::limits::{CLIENT_HEAD_BYTES_MAX, HEADERS_MAX};
use crate::wire::ws::{PROTOCOL, accept_key};

/// Longest body of a refusal that is read, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Longest text of a refusal that is kept, in characters.
const DETAIL_CHARS_MAX: usize = 400;
const EXTENSIONS: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What a handshake asks for.
#[derive(Clone, Copy)]
pub struct Offer<'a> {
    /// The value of `Host`.
    pub host: &'a str,
    /// What is asked for: path and query, percent-encoded.
    pub target: &'a str,
    /// A secret, presented as RFC 6750 section 2.1 says.
    pub bearer: Option<&'a str>,
    /// The server may compress its messages (RFC 7692).
    pub deflate: bool,
    /// Random bytes, fresh for every connection (RFC 6455 section 4.1 number 7).
    pub nonce: [u8; 16],
}

impl fmt::Debug for Offer<'_> {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").field("host", &self.host).field("deflate", &self.deflate).finish_non_exhaustive()
    }
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The server may compress its messages.
    pub deflate: bool,
    /// What came behind the answer: the first frames.
    pub rest: Vec<u8>,
}

/// There is no WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the server's answer; 0 if there was none that is HTTP.
    pub status: u16,
    /// What is wrong, in words: the detail of its problem document, or what is not as it should be.
    pub detail: String,
    /// Which part of the request is at fault, if a problem document says so.
    pub field: Option<String>,
    /// Come again after so many seconds.
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    fn of(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::default() }
    }

    /// What a client should do. Without an answer, and where the server has too much to do or is out of order, a later attempt may fare better.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        match self.status {
            0 | 408 | 425 | 429 | 500..=599 => Advice::Rejoin,
            _ => Advice::Stop,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.detail.as_str()) {
            (0, detail) => return f.write_str(detail),
            (status, "") => write!(f, "the server answered {status}")?,
            (status, detail) => write!(f, "the server answered {status}: {detail}")?,
        }
        self.field.as_ref().map_or(Ok(()), |field| write!(f, " ({field})"))
    }
}

impl std::error::Error for Refusal {}

/// A problem document (RFC 9457), as far as it is of use.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    detail: String,
    field: Option<String>,
}

/// A handshake that waits for its answer.
///
/// Invariant: `input` is shorter than [`CLIENT_HEAD_BYTES_MAX`] and a piece.
#[derive(Debug)]
pub struct Handshake {
    accept: String,
    deflate: bool,
    input: Vec<u8>,
    /// The answer, since it is known to be a refusal.
    refusal: Option<Box<AnswerReader>>,
}

impl Handshake {
    /// Appends the request to `out`.
    ///
    /// # Errors
    ///
    /// A part of `offer` would break the head of the request; which one.
    pub fn new(offer: &Offer<'_>, out: &mut Vec<u8>) -> Result<Self, &'static str> {
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(offer.host) {
            return Err("the host holds more than visible ASCII characters");
        }
        if !visible(offer.target) || !offer.target.starts_with('/') {
            return Err("the path holds more than visible ASCII characters");
        }
        if !offer.bearer.is_none_or(visible) {
            return Err("the key holds more than visible ASCII characters");
        }
        let (key, version) = (STANDARD.encode(offer.nonce), env!("CARGO_PKG_VERSION"));
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: pushletd/{version}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n",
            offer.target, offer.host
        );
        if offer.deflate {
            text.push_str(&format!("Sec-WebSocket-Extensions: {EXTENSIONS}\r\n"));
        }
        if let Some(secret) = offer.bearer {
            text.push_str(&format!("Authorization: Bearer {secret}\r\n"));
        }
        text.push_str("\r\n");
        out.extend_from_slice(text.as_bytes());
        Ok(Self { accept: accept_key(&key), deflate: offer.deflate, input: Vec::new(), refusal: None })
    }

    /// Takes in what came. `None`: more is needed.
    ///
    /// # Errors
    ///
    /// There is no WebSocket. The connection is of no use any more.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Agreed>, Refusal> {
        if self.refusal.is_some() {
            return self.take_refusal(bytes);
        }
        self.input.extend_from_slice(bytes);
        loop {
            let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut response = httparse::Response::new(&mut fields);
            let length = match response.parse(&self.input) {
                Ok(httparse::Status::Complete(length)) => length,
                Ok(httparse::Status::Partial) if self.input.len() < CLIENT_HEAD_BYTES_MAX => return Ok(None),
                Ok(httparse::Status::Partial) => return Err(Refusal::of("the server's response head has no end")),
                Err(error) => return Err(Refusal::of(format!("the answer is not HTTP: {error}"))),
            };
            match response.code.unwrap_or_default() {
                101 => {
                    let deflate = judge(&response, &self.accept, self.deflate).map_err(|what| Refusal {
                        status: 101,
                        ..Refusal::of(format!("its handshake is wrong: {what}"))
                    })?;
                    let rest = self.input.split_off(length);
                    return Ok(Some(Agreed { deflate, rest }));
                }
                // Others of this kind come before the answer (RFC 9110 section 15.2).
                100..=199 => drop(self.input.drain(..length)),
                _ => {
                    self.refusal = Some(Box::new(AnswerReader::new()));
                    let input = std::mem::take(&mut self.input);
                    return self.take_refusal(&input);
                }
            }
        }
    }

    /// The connection has ended before there was an agreement.
    #[must_use]
    pub fn finish(&mut self) -> Refusal {
        match &mut self.refusal {
            Some(answer) => refusal(answer),
            None => Refusal::of("the server closed the connection without an answer"),
        }
    }

    fn take_refusal(&mut self, bytes: &[u8]) -> Result<Option<Agreed>, Refusal> {
        let Some(answer) = &mut self.refusal else { return Ok(None) };
        answer.feed(bytes).map_err(Refusal::of)?;
        // What it says may be cut; that it refuses is said.
        if answer.is_complete() || answer.body_len() > REFUSAL_BYTES_MAX { Err(refusal(answer)) } else { Ok(None) }
    }
}

fn refusal(answer: &mut AnswerReader) -> Refusal {
    let body = answer.take_body();
    let Some(head) = answer.head() else { return Refusal::of("the server's answer is cut") };
    let (status, retry_after_s) = (head.status, head.retry_after_s);
    let cut = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(DETAIL_CHARS_MAX).collect();
    if head.media_type == "application/problem+json"
        && let Ok(Document { detail, field }) = serde_json::from_slice(&body)
    {
        return Refusal { status, detail: cut(&detail), field: field.map(|field| cut(&field)), retry_after_s };
    }
    let detail = match (status, &head.location) {
        (200..=299, _) => format!("{}: it is an answer, and no WebSocket", head.reason),
        (300..=399, Some(location)) => format!("{}: it sends us to {location}", head.reason),
        _ => head.reason.clone(),
    };
    Refusal { status, detail: cut(&detail), field: None, retry_after_s }
}

/// RFC 6455 section 4.1, from "once the client's opening handshake has been sent": all that must be there is, and nothing that was not
/// asked for. Says whether compression was agreed on.
fn judge(response: &httparse::Response<'_, '_>, accept: &str, offered: bool) -> Result<bool, String> {
    let all = |name: &str| -> Vec<String> {
        let fields = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| String::from_utf8_lossy(field.value).trim().to_owned()).collect()
    };
    let one = |name: &str| match all(name).as_slice() {
        [] => Err(format!("there is no {name}")),
        [value] => Ok(value.clone()),
        _ => Err(format!("there is more than one {name}")),
    };
    if response.version != Some(1) {
        return Err("it is not HTTP/1.1".to_owned());
    }
    if !one("Upgrade")?.eq_ignore_ascii_case("websocket") {
        return Err("Upgrade is not websocket".to_owned());
    }
    let connection = all("Connection").join(",");
    if !connection.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")) {
        return Err("Connection is not Upgrade".to_owned());
    }
    if one("Sec-WebSocket-Accept")? != accept {
        return Err("Sec-WebSocket-Accept does not belong to our key".to_owned());
    }
    if one("Sec-WebSocket-Protocol")? != PROTOCOL {
        return Err(format!("the subprotocol is not {PROTOCOL}"));
    }
    let extensions = all("Sec-WebSocket-Extensions").join(",");
    if extensions.is_empty() {
        return Ok(false);
    }
    if !offered {
        return Err("an extension was not asked for".to_owned());
    }
    judge_extension(&extensions).map(|()| true)
}

/// RFC 7692 section 7.1: the one extension that was offered, with parameters that we can live with.
fn judge_extension(value: &str) -> Result<(), String> {
    let mut parts = value.split(';').map(str::trim);
    if parts.next().is_none_or(|name| !name.eq_ignore_ascii_case("permessage-deflate")) {
        return Err("an extension was not asked for".to_owned());
    }
    let mut keeps_nothing = false;
    for part in parts {
        let (name, value) =
            part.split_once('=').map_or((part, None), |(name, value)| (name.trim(), Some(value.trim())));
        match (name.to_ascii_lowercase().as_str(), value) {
            ("server_no_context_takeover", None) => keeps_nothing = true,
            ("client_no_context_takeover", None) => {}
            // Inflation takes every window there is.
            ("server_max_window_bits", Some(_)) => {}
            _ => return Err(format!("the parameter {part} of permessage-deflate was not asked for")),
        }
    }
    if keeps_nothing { Ok(()) } else { Err("the server wants to keep its context between messages".to_owned()) }
}
