//! Messages coming in, out of frames in any pieces (RFC 6455 sections 5 and 8.1, RFC 7692 section 6).

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::deflate::inflate;
use super::frame::{CONTROL_BYTES_MAX, Closing, Fault, HEAD_BYTES_MAX, apply_mask, may_be_sent};

const RESERVED_BIT: Fault = Fault::protocol("A frame has a reserved bit set.");
const COMPRESSED_UNASKED: Fault = Fault::protocol("A message is compressed, and no compression was agreed on.");
const COMPRESSED_LATER: Fault = Fault::protocol("Only the first frame of a message may say that it is compressed.");
const OPCODE: Fault = Fault::protocol("A frame has a reserved opcode.");
const UNMASKED: Fault = Fault::protocol("A frame of a client must be masked.");
const MASKED: Fault = Fault::protocol("A frame of a server must not be masked.");
const CONTROL_CUT: Fault = Fault::protocol("A control frame is fragmented.");
const CONTROL_LONG: Fault = Fault::protocol("A control frame has more than 125 bytes.");
const LENGTH_LONG_FORM: Fault = Fault::protocol("The length of a frame is not in its shortest form.");
const LENGTH_NEGATIVE: Fault = Fault::protocol("The length of a frame has its highest bit set.");
const CONTINUES_NOTHING: Fault = Fault::protocol("A continuation frame continues no message.");
const NOT_ENDED: Fault = Fault::protocol("A message began before the one before it was complete.");
const CLOSE_SHORT: Fault = Fault::protocol("The payload of a Close frame is a single byte.");
const CLOSE_CODE: Fault = Fault::protocol("A Close frame has a code that may not be sent.");
const CLOSE_TEXT: Fault = Fault::payload("The reason of a Close frame is not UTF-8.");
const TEXT: Fault = Fault::payload("A text message is not UTF-8.");
const FRAME_LONG: Fault = Fault::size("The frame is larger than frames may be here.");
const MESSAGE_LONG: Fault = Fault::size("The message is larger than messages may be here.");

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server: what it gets must be masked (RFC 6455 section 5.1).
    Server,
    /// A client: what it gets must not be masked.
    Client,
}

/// How large what comes in may be, in bytes of payload. A compressed message may be so large when it is inflated, and on its way hardly
/// larger: what cannot be compressed grows a little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// One frame.
    pub frame: usize,
    /// One message, be it in one frame or in several.
    pub message: usize,
}

/// What has come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A message of text.
    Text(String),
    /// A message of bytes.
    Binary(Vec<u8>),
    /// To be answered with a Pong that has the same payload, at most 125 bytes (RFC 6455 section 5.5.2).
    Ping(Vec<u8>),
    /// A sign of life, at most 125 bytes (RFC 6455 section 5.5.3).
    Pong(Vec<u8>),
    /// The last of the peer; with what it says, if it says something. To be answered with [`super::answer_code`] unless a Close frame was sent.
    Close(Option<Closing>),
}

/// A frame whose header has come.
#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    is_final: bool,
    /// The mask, turned so that its first byte is the one for the next byte of the payload.
    mask: Option<[u8; 4]>,
    /// Bytes of payload that have not come.
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Part of the message that is under way.
    Data,
    Close,
    Ping,
    Pong,
}

/// A message that has begun.
#[derive(Debug)]
struct Message {
    is_text: bool,
    compressed: bool,
    bytes: Vec<u8>,
    /// So many of them are known to be UTF-8. Only of a text that is not compressed.
    judged: usize,
}

#[derive(Debug)]
enum End {
    /// A Close frame has come: whatever follows is not looked at (RFC 6455 section 5.5.1).
    Closed,
    /// The peer broke a rule.
    Failed(Fault),
}

/// What has come of a message that is not complete.
///
/// It takes bytes in any pieces, and what it makes of them does not depend on the pieces. Between messages it knows nothing that is worth
/// keeping, so its owner makes one when bytes come and drops it when [`Inbound::is_idle`]. It holds at most a message of
/// [`Bounds::message`] and a control frame; while a compressed message is inflated, that a second time, and the window of the inflater.
#[derive(Debug)]
pub struct Inbound {
    role: Role,
    deflate: bool,
    frame: Option<Frame>,
    message: Option<Message>,
    /// The payload so far of a control frame, which may come between the frames of a message (RFC 6455 section 5.4).
    control: Vec<u8>,
    end: Option<End>,
}

impl Inbound {
    /// One that reads as `role`, at a place where a frame begins and no message is under way. `deflate` says that permessage-deflate was
    /// agreed on, without context takeover by the peer.
    #[must_use]
    pub const fn new(role: Role, deflate: bool) -> Self {
        Self { role, deflate, frame: None, message: None, control: Vec::new(), end: None }
    }

    /// Whether no frame and no message is under way: a new one would do as well. Never after a Close frame or a fault.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.frame.is_none() && self.message.is_none() && self.end.is_none()
    }

    /// Bytes of memory that its buffers take at the moment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.control.capacity() + self.message.as_ref().map_or(0, |message| message.bytes.capacity())
    }

    /// Takes bytes from the front of `input` and says how many, at most to the end of one message or control frame. Nothing coming out means
    /// that more input is needed: all was taken but at most 13 bytes of a frame header that is not complete, which the caller keeps and
    /// gives again with what follows them.
    ///
    /// The payload is judged while it comes: a text is refused with the byte that makes it no UTF-8 (RFC 6455 section 8.1), a frame or
    /// message that is too large with the header that announces it.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the peer breaks a rule or a bound. Every further push then gives the same: the connection is to be failed.
    pub fn push(&mut self, input: &[u8], bounds: Bounds) -> Result<(usize, Option<Incoming>), Fault> {
        match self.end {
            Some(End::Closed) => return Ok((input.len(), None)),
            Some(End::Failed(fault)) => return Err(fault),
            None => {}
        }
        let result = self.take(input, bounds);
        match &result {
            Ok((_, Some(Incoming::Close(_)))) => self.finish(End::Closed),
            Ok(_) => {}
            Err(fault) => self.finish(End::Failed(*fault)),
        }
        result
    }

    /// Holds nothing any more.
    fn finish(&mut self, end: End) {
        *self = Self { end: Some(end), ..Self::new(self.role, self.deflate) };
    }

    fn take(&mut self, input: &[u8], bounds: Bounds) -> Result<(usize, Option<Incoming>), Fault> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let mut frame = match self.frame {
                Some(frame) => frame,
                None => {
                    let Some((header, length, bytes)) = parse(rest)? else { return Ok((taken, None)) };
                    let frame = self.begin(&header, length, bounds)?;
                    self.frame = Some(frame);
                    taken += bytes;
                    frame
                }
            };
            let rest = &input[taken..];
            let piece = &rest[..rest.len().min(frame.left)];
            taken += piece.len();
            frame.left -= piece.len();
            self.keep(frame, piece)?;
            if let Some(mask) = &mut frame.mask {
                mask.rotate_left(piece.len() % 4);
            }
            self.frame = (frame.left > 0).then_some(frame);
            if frame.left > 0 {
                return Ok((taken, None));
            }
            if let Some(incoming) = self.complete(frame, bounds)? {
                return Ok((taken, Some(incoming)));
            }
        }
    }

    /// Judges a header (RFC 6455 sections 5.1, 5.2, 5.4 and 5.5; RFC 7692 section 6.1). Nothing of the payload was looked at.
    fn begin(&mut self, header: &FrameHeader, length: u64, bounds: Bounds) -> Result<Frame, Fault> {
        if header.rsv2 || header.rsv3 {
            return Err(RESERVED_BIT);
        }
        // Section 5.1: both ends, and it is the same rule.
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(UNMASKED),
            (Role::Client, Some(_)) => return Err(MASKED),
            _ => {}
        }
        let kind = match header.opcode {
            OpCode::Control(control) => {
                // RFC 7692 section 6.1: a control frame is never compressed.
                if header.rsv1 {
                    return Err(RESERVED_BIT);
                }
                control_kind(control, header.is_final, length)?
            }
            OpCode::Data(data) => {
                self.begin_data(data, header.rsv1, length, bounds)?;
                Kind::Data
            }
        };
        let left = usize::try_from(length).map_err(|_| FRAME_LONG)?;
        Ok(Frame { kind, is_final: header.is_final, mask: header.mask, left })
    }

    /// RFC 6455 section 5.4: a message begins when none is under way and goes on with continuations. The bounds are held here, before
    /// any memory is taken.
    fn begin_data(&mut self, data: Data, rsv1: bool, length: u64, bounds: Bounds) -> Result<(), Fault> {
        let is_text = match (data, &self.message) {
            (Data::Continue, None) => return Err(CONTINUES_NOTHING),
            // RFC 7692 section 6.1: the bit is on the first frame of a message and on no other.
            (Data::Continue, Some(_)) if rsv1 => return Err(COMPRESSED_LATER),
            (Data::Continue, Some(_)) => None,
            (Data::Text | Data::Binary, Some(_)) => return Err(NOT_ENDED),
            (Data::Text | Data::Binary, None) if rsv1 && !self.deflate => return Err(COMPRESSED_UNASKED),
            (Data::Text, None) => Some(true),
            (Data::Binary, None) => Some(false),
            (Data::Reserved(_), _) => return Err(OPCODE),
        };
        if let Some(is_text) = is_text {
            self.message = Some(Message { is_text, compressed: rsv1, bytes: Vec::new(), judged: 0 });
        }
        let (held, compressed) = self.message.as_ref().map_or((0, false), |it| (it.bytes.len() as u64, it.compressed));
        if length > on_the_way(bounds.frame, compressed) {
            return Err(FRAME_LONG);
        }
        if held.saturating_add(length) > on_the_way(bounds.message, compressed) {
            return Err(MESSAGE_LONG);
        }
        Ok(())
    }

    /// Keeps a piece of the payload of `frame`, without its mask.
    fn keep(&mut self, frame: Frame, piece: &[u8]) -> Result<(), Fault> {
        let mut none = Vec::new();
        let buffer = match (frame.kind, &mut self.message) {
            (Kind::Data, Some(message)) => &mut message.bytes,
            // A data frame without a message was refused with its header.
            (Kind::Data, None) => &mut none,
            _ => &mut self.control,
        };
        let start = buffer.len();
        buffer.extend_from_slice(piece);
        if let Some(mask) = frame.mask {
            apply_mask(&mut buffer[start..], mask);
        }
        match &mut self.message {
            // The whole of a message is judged when it is complete.
            Some(message) if frame.kind == Kind::Data && !(frame.is_final && frame.left == 0) => message.judge(),
            _ => Ok(()),
        }
    }

    /// What the last byte of `frame` completes.
    fn complete(&mut self, frame: Frame, bounds: Bounds) -> Result<Option<Incoming>, Fault> {
        Ok(Some(match frame.kind {
            Kind::Data if !frame.is_final => return Ok(None),
            Kind::Data => {
                let Some(message) = self.message.take() else { return Ok(None) };
                return message.complete(bounds).map(Some);
            }
            Kind::Ping => Incoming::Ping(std::mem::take(&mut self.control)),
            Kind::Pong => Incoming::Pong(std::mem::take(&mut self.control)),
            Kind::Close => Incoming::Close(parse_closing(&std::mem::take(&mut self.control))?),
        }))
    }
}

impl Message {
    /// RFC 6455 section 8.1: finds the first byte that cannot be in a text, as soon as it has come. A character whose last bytes have not
    /// come is left for later.
    fn judge(&mut self) -> Result<(), Fault> {
        if !self.is_text || self.compressed {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.judged..]) {
            Ok(_) => self.judged = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.judged += error.valid_up_to(),
            Err(_) => return Err(TEXT),
        }
        Ok(())
    }

    fn complete(self, bounds: Bounds) -> Result<Incoming, Fault> {
        // RFC 7692 section 6.2: the payloads of all frames together are what is inflated.
        let bytes = if self.compressed { inflate(&self.bytes, bounds.message)? } else { self.bytes };
        if self.is_text {
            String::from_utf8(bytes).map(Incoming::Text).map_err(|_| TEXT)
        } else {
            Ok(Incoming::Binary(bytes))
        }
    }
}

/// The header that `input` begins with, the length of its payload and its own. `None` if it is not complete.
fn parse(input: &[u8]) -> Result<Option<(FrameHeader, u64, usize)>, Fault> {
    let mut cursor = Cursor::new(&input[..input.len().min(HEAD_BYTES_MAX)]);
    // A reserved opcode is the only thing that it refuses: it is no stream that could fail.
    let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|_| OPCODE)? else { return Ok(None) };
    // RFC 6455 section 5.2: the length is in the shortest form, and the highest bit of the longest form is 0.
    let minimal = match input.get(1).map_or(0, |second| second & 0x7f) {
        126 => length > 125,
        127 => length > 0xffff,
        _ => true,
    };
    if length > i64::MAX as u64 {
        return Err(LENGTH_NEGATIVE);
    }
    if !minimal {
        return Err(LENGTH_LONG_FORM);
    }
    Ok(Some((header, length, usize::try_from(cursor.position()).unwrap_or(HEAD_BYTES_MAX))))
}

/// RFC 6455 section 5.5: a control frame has at most 125 bytes and is whole.
fn control_kind(control: Control, is_final: bool, length: u64) -> Result<Kind, Fault> {
    let kind = match control {
        Control::Close => Kind::Close,
        Control::Ping => Kind::Ping,
        Control::Pong => Kind::Pong,
        Control::Reserved(_) => return Err(OPCODE),
    };
    if !is_final {
        return Err(CONTROL_CUT);
    }
    if length > CONTROL_BYTES_MAX as u64 {
        return Err(CONTROL_LONG);
    }
    Ok(kind)
}

/// What a bound is before inflation: bytes that cannot be compressed take five more for every block of at least 512.
fn on_the_way(bound: usize, compressed: bool) -> u64 {
    let bound = bound as u64;
    if compressed { bound.saturating_add(bound / 64).saturating_add(64) } else { bound }
}

/// RFC 6455 section 5.5.1: nothing, or a code that may be sent (section 7.4) and a reason in UTF-8.
fn parse_closing(payload: &[u8]) -> Result<Option<Closing>, Fault> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(CLOSE_SHORT),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !may_be_sent(code) {
        return Err(CLOSE_CODE);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| CLOSE_TEXT)?.to_owned();
    Ok(Some(Closing { code, reason }))
}
