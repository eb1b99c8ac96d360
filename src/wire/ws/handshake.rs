//! The opening handshake, the server's side (RFC 6455 section 4.2).

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use super::extensions;
use crate::protocol::Problem;
use crate::wire::http::{Body, ReplyTo, RequestHead, ResponseHead, Version};
use crate::wire::v1::Extra;

/// The subprotocol: JSON messages of the modern doors.
pub const PROTOCOL: &str = "pushlet.v1.json";
/// The only version of the protocol that there is (RFC 6455 section 4.1).
const VERSION: &str = "13";
/// What every accept key is made with (RFC 6455 section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bits of the last letter of a key that stand for nothing are of no interest.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
/// A nonce has so many bytes (RFC 6455 section 4.1).
const NONCE_BYTES: usize = 16;

/// What was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The subprotocol, if the client offered it.
    pub protocol: Option<&'static str>,
    /// Messages may be compressed (RFC 7692), without context takeover in either direction.
    pub deflate: bool,
    /// The offer that was taken names the server's window, of the largest size, and the answer has to name it as well (RFC 7692 section
    /// 7.1.2.1).
    pub names_window: bool,
}

/// Judges the handshake that `head` is (RFC 6455 section 4.2.1). The method is the router's business. Compression is agreed on if `offer_deflate`
/// and the client offers it in a form that fits.
///
/// # Errors
///
/// A [`Problem`] with 426 if no WebSocket of version 13 is asked for, else with 400. It names the header field at fault.
pub fn upgrade(head: &RequestHead, offer_deflate: bool) -> Result<Upgrade, Problem> {
    if head.version == Version::Http10 {
        let text =
            "A WebSocket needs HTTP/1.1, and this request is HTTP/1.0: is there a proxy that passes no upgrade on?";
        return Err(Problem::new(426, text));
    }
    if !head.upgrade_websocket {
        let text = "This URL is a WebSocket: ask for it with `Upgrade: websocket` and `Connection: Upgrade`.";
        return Err(Problem::field("Upgrade", text).status(426));
    }
    let none = Default::default();
    let fields = head.ws.as_deref().unwrap_or(&none);
    // Section 4.4: a version that is not known is answered with the one that is.
    if fields.version.as_deref().map(str::trim) != Some(VERSION) {
        return Err(Problem::field("Sec-WebSocket-Version", "Sec-WebSocket-Version must be 13.").status(426));
    }
    let key = fields.key.as_deref().unwrap_or_default().trim();
    if !BASE64.decode(key).is_ok_and(|nonce| nonce.len() == NONCE_BYTES) {
        return Err(Problem::field("Sec-WebSocket-Key", "Sec-WebSocket-Key must be 16 bytes in Base64."));
    }
    let protocol = fields.protocols.as_deref().map(choose_protocol).transpose()?;
    let offer = fields.extensions.as_deref().map(extensions::offer).transpose()?.flatten();
    let offer = offer.filter(|_| offer_deflate);
    Ok(Upgrade {
        accept: accept_key(key),
        protocol,
        deflate: offer.is_some(),
        names_window: offer.is_some_and(|offer| offer.names_window),
    })
}

/// RFC 6455 section 4.2.2 number 5: one of those that the client offers. Whoever offers others only would not understand a word.
fn choose_protocol(offered: &str) -> Result<&'static str, Problem> {
    if offered.split(',').any(|protocol| protocol.trim() == PROTOCOL) {
        return Ok(PROTOCOL);
    }
    let text = "Sec-WebSocket-Protocol must offer pushlet.v1.json, which is the only one spoken here, or be left out.";
    Err(Problem::field("Sec-WebSocket-Protocol", text))
}

/// The value of `Sec-WebSocket-Accept` for one of `Sec-WebSocket-Key` (RFC 6455 section 4.2.2 number 5): that the server speaks WebSocket, and
/// that no cache answers for it.
#[must_use]
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID.as_bytes()).finalize();
    BASE64.encode(digest)
}

/// Appends the answer after which the connection is a WebSocket (RFC 6455 section 4.2.2). `extra` are further fields of its head.
pub fn switching_protocols(upgrade: &Upgrade, date: &str, extra: &[Extra<'_>], out: &mut Vec<u8>) {
    let to = ReplyTo { version: Version::Http11, keep_alive: true, to_head: false };
    let mut head =
        ResponseHead::new(out, to, 101, date).upgrade("websocket").header("Sec-WebSocket-Accept", &upgrade.accept);
    if let Some(protocol) = upgrade.protocol {
        head = head.header("Sec-WebSocket-Protocol", protocol);
    }
    if upgrade.deflate {
        head = head.header("Sec-WebSocket-Extensions", extensions::answer(upgrade.names_window));
    }
    for (name, value) in extra {
        head = head.header(name, value);
    }
    // A 101 has neither content nor framing, whatever is said here.
    let _ = head.finish(Body::Length(0));
}
