//! Frames going out, and what both directions know of them (RFC 6455 sections 5.2, 5.5 and 7.4).

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Longest header of a frame, in bytes: two, eight of the length, four of the mask (RFC 6455 section 5.2).
pub const HEAD_BYTES_MAX: usize = 14;
/// Longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub(super) const CONTROL_BYTES_MAX: usize = 125;
/// Longest reason of a Close frame, in bytes: a control frame without the code.
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// What a whole message or a control frame is (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A message of UTF-8.
    Text,
    /// A message of any bytes.
    Binary,
    /// The last frame of its sender.
    Close,
    /// Asks for a Pong with the same payload.
    Ping,
    /// Answers a Ping, or says unasked that its sender lives.
    Pong,
}

impl From<Opcode> for OpCode {
    fn from(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Text => Self::Data(Data::Text),
            Opcode::Binary => Self::Data(Data::Binary),
            Opcode::Close => Self::Control(Control::Close),
            Opcode::Ping => Self::Control(Control::Ping),
            Opcode::Pong => Self::Control(Control::Pong),
        }
    }
}

/// What a Close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The status code, one that may be on the wire (RFC 6455 section 7.4).
    pub code: u16,
    /// Why, for people; at most 123 bytes.
    pub reason: String,
}

/// Why a connection is to be failed (RFC 6455 section 7.1.7): what the Close frame is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The close code: 1002, 1007 or 1009.
    pub code: u16,
    /// One sentence: what is wrong. At most 123 bytes.
    pub reason: &'static str,
}

impl Fault {
    /// The peer breaks the protocol (RFC 6455 section 7.4.1).
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }

    /// A payload is not what its message says that it is.
    pub(super) const fn payload(reason: &'static str) -> Self {
        Self { code: 1007, reason }
    }

    /// A frame or message is larger than its bound.
    pub(super) const fn size(reason: &'static str) -> Self {
        Self { code: 1009, reason }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

impl std::error::Error for Fault {}

/// Whether a Close frame may carry `code`: RFC 6455 section 7.4 with the registered ones since. 1005, 1006 and 1015 never stand on the wire.
pub(super) fn may_be_sent(code: u16) -> bool {
    // 1014, "bad gateway", was registered later than tungstenite's table was made.
    code == 1014 || CloseCode::from(code).is_allowed()
}

/// Appends the header of a frame of a server: final, not masked, with `length` bytes of payload to follow. `compressed` says that they are
/// deflated, which only a message can be (RFC 7692 section 6.1).
pub fn head(opcode: Opcode, compressed: bool, length: usize, out: &mut Vec<u8>) {
    header(opcode, compressed, None, length, out);
}

/// Appends a whole frame of a server.
pub fn write(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    header(opcode, false, None, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends a whole frame of a client. `mask` must be such as nobody can guess, fresh for every frame (RFC 6455 section 5.3).
pub fn write_masked(opcode: Opcode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    header(opcode, false, Some(mask), payload.len(), out);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], mask);
}

/// Appends the Close frame of a server. `reason` is cut to 123 bytes at the end of a character.
pub fn close(code: u16, reason: &str, out: &mut Vec<u8>) {
    write(Opcode::Close, &closing(code, reason), out);
}

/// The payload of a Close frame (RFC 6455 section 5.5.1), such as a client masks. `reason` is cut to 123 bytes at the end of a character.
#[must_use]
pub fn closing(code: u16, reason: &str) -> Vec<u8> {
    debug_assert!(may_be_sent(code), "{code} may not be on the wire");
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// The code to answer a Close frame with: the peer's own (RFC 6455 section 5.5.1). `None`: it gave none, and the answer is a Close frame without
/// payload, `write(Opcode::Close, &[], out)`.
#[must_use]
pub fn answer_code(closing: Option<&Closing>) -> Option<u16> {
    closing.map(|closing| closing.code)
}

fn header(opcode: Opcode, compressed: bool, mask: Option<[u8; 4]>, length: usize, out: &mut Vec<u8>) {
    let is_data = matches!(opcode, Opcode::Text | Opcode::Binary);
    debug_assert!(
        is_data || (!compressed && length <= CONTROL_BYTES_MAX),
        "a control frame is short and not compressed"
    );
    let header =
        FrameHeader { is_final: true, rsv1: compressed, rsv2: false, rsv3: false, opcode: opcode.into(), mask };
    header.format(length as u64, out).expect("a vector takes everything");
}

/// Masks, or takes the mask away (RFC 6455 section 5.3). `mask` begins with the byte for the first of `bytes`.
pub(super) fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = bytes.as_chunks_mut::<4>();
    let key = u32::from_ne_bytes(mask);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}
