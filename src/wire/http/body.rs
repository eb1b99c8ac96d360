//! Request bodies: counted or chunked (RFC 9112 sections 6 and 7.1), in whatever pieces they come.

use super::error::HttpError;
use super::line::is_token;
use crate::limits::{BODY_BYTES_MAX, CHUNK_LINE_BYTES_MAX, CHUNK_PADDING_BYTES_MAX, TRAILER_BYTES_MAX};

pub(super) const TOO_LONG: HttpError = HttpError::new(413, "The request body is too long.").limit(BODY_BYTES_MAX);
const BAD_SIZE: HttpError = HttpError::bad("A chunk does not begin with its size in hexadecimal digits.");
const BAD_EXTENSION: HttpError = HttpError::bad("A chunk extension holds a byte that may not be there.");
const BAD_LINE_END: HttpError = HttpError::bad("A line of a chunked body does not end in CR LF.");
const BAD_CHUNK_END: HttpError = HttpError::bad("A chunk is not followed by CR LF: its size is wrong.");
const BAD_TRAILER: HttpError = HttpError::bad("A trailer line is malformed.");
const TRAILERS_TOO_LONG: HttpError = HttpError::new(431, "The trailers are too long.").limit(TRAILER_BYTES_MAX);

/// Chunk-size digits and extensions up to this length are not charged as padding: fixed-width sizes have eight digits.
const FREE_LINE_BYTES: usize = 8;

/// The bytes of a body so far; or only their number, where nobody asks for them.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    bytes: Vec<u8>,
    len: usize,
    keep: bool,
}

impl Sink {
    pub(super) const fn new(keep: bool) -> Self {
        Self { bytes: Vec::new(), len: 0, keep }
    }

    fn write(&mut self, piece: &[u8]) {
        self.len += piece.len();
        if self.keep {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// Makes room for `more` bytes that are at hand or near; never for what a client only announces.
    fn reserve(&mut self, more: usize) {
        if self.keep {
            self.bytes.reserve_exact(more);
        }
    }

    /// Bytes of memory taken.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// What has come since the last time; only the number of bytes is remembered.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes the body off the front of the connection's bytes.
#[derive(Clone, Debug)]
pub(super) enum Decoder {
    /// This many bytes are still to come.
    Length(usize),
    /// Chunks.
    Chunked(Chunks),
}

impl Decoder {
    /// Takes bytes from the front of `input`, at most to the end of the body. Says how many and whether the body is complete.
    pub(super) fn push(&mut self, input: &[u8], sink: &mut Sink) -> Result<(usize, bool), HttpError> {
        match self {
            Self::Length(left) => {
                let taken = input.len().min(*left);
                if taken == *left {
                    sink.reserve(taken);
                }
                sink.write(&input[..taken]);
                *left -= taken;
                Ok((taken, *left == 0))
            }
            Self::Chunked(chunks) => chunks.push(input, sink),
        }
    }
}

/// What the next byte of a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first digit of a size.
    SizeStart,
    /// A further digit, or what ends the size.
    Size,
    /// White space between the size and an extension (RFC 9112 section 7.1.1: bad, but to be taken).
    SizeSpace,
    /// Part of an extension.
    Extension,
    /// The line feed behind a size line.
    SizeLf,
    /// Data of the chunk.
    Data,
    /// The carriage return behind the data.
    DataCr,
    /// The line feed behind the data.
    DataLf,
    /// The first byte of a trailer line, or the empty line.
    TrailerStart,
    /// Part of a trailer's name.
    TrailerName,
    /// Part of a trailer's value.
    TrailerValue,
    /// The line feed behind a trailer.
    TrailerLf,
    /// The line feed of the empty line, the last byte of the body.
    EndLf,
    /// Not of this body any more.
    End,
}

/// The decoder of a chunked body: an automaton over bytes, except that data goes in one piece.
///
/// Invariant: what is decoded and what is left of the chunk are together at most `bytes_max`.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    place: Place,
    /// The size read so far, or the data bytes left; 0 where a size begins.
    left: usize,
    /// Bytes of this size line.
    line_bytes: usize,
    /// Bytes of all size lines beyond [`FREE_LINE_BYTES`] each.
    padding_bytes: usize,
    trailer_bytes: usize,
    bytes_max: usize,
}

impl Chunks {
    /// A body of at most so many bytes.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { place: Place::SizeStart, left: 0, line_bytes: 0, padding_bytes: 0, trailer_bytes: 0, bytes_max }
    }

    fn push(&mut self, input: &[u8], sink: &mut Sink) -> Result<(usize, bool), HttpError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.place == Place::Data {
                let taken = self.left.min(input.len() - at);
                sink.write(&input[at..at + taken]);
                self.left -= taken;
                at += taken;
                if self.left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            at += 1;
            self.place = self.step(byte, sink.len)?;
            if self.place == Place::End {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// The place behind `byte`, which is not data, when `decoded` bytes of data are through.
    fn step(&mut self, byte: u8, decoded: usize) -> Result<Place, HttpError> {
        match self.place {
            Place::SizeStart | Place::Size | Place::SizeSpace | Place::Extension => self.size_line(byte, decoded),
            Place::SizeLf if byte != b'\n' => Err(BAD_LINE_END),
            Place::SizeLf if self.left == 0 => Ok(Place::TrailerStart),
            Place::SizeLf | Place::Data => Ok(Place::Data),
            Place::DataCr if byte == b'\r' => Ok(Place::DataLf),
            Place::DataLf if byte == b'\n' => {
                self.line_bytes = 0;
                Ok(Place::SizeStart)
            }
            Place::DataCr | Place::DataLf => Err(BAD_CHUNK_END),
            Place::TrailerStart
            | Place::TrailerName
            | Place::TrailerValue
            | Place::TrailerLf
            | Place::EndLf
            | Place::End => self.trailer(byte),
        }
    }

    /// RFC 9112 section 7.1: hexadecimal digits, then extensions, which are dropped.
    fn size_line(&mut self, byte: u8, decoded: usize) -> Result<Place, HttpError> {
        if byte == b'\r' && self.place != Place::SizeStart && self.place != Place::SizeSpace {
            return Ok(Place::SizeLf);
        }
        self.charge_line()?;
        match (self.place, byte) {
            (Place::SizeStart | Place::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte, decoded),
            (Place::Size | Place::SizeSpace, b' ' | b'\t') => Ok(Place::SizeSpace),
            (Place::Size | Place::SizeSpace, b';') => Ok(Place::Extension),
            (Place::Extension, b'\n') => Err(BAD_LINE_END),
            (Place::Extension, 0..=8 | 10..=31 | 127) => Err(BAD_EXTENSION),
            (Place::Extension, _) => Ok(Place::Extension),
            (Place::Size, b'\n') => Err(BAD_LINE_END),
            _ => Err(BAD_SIZE),
        }
    }

    /// Adds a digit. A size that cannot fit is refused at once, so that it cannot overflow.
    fn digit(&mut self, byte: u8, decoded: usize) -> Result<Place, HttpError> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.left = self.left * 16 + usize::from(value);
        if self.left > self.bytes_max.saturating_sub(decoded) {
            return Err(TOO_LONG);
        }
        Ok(Place::Size)
    }

    fn charge_line(&mut self) -> Result<(), HttpError> {
        self.line_bytes += 1;
        if self.line_bytes > CHUNK_LINE_BYTES_MAX {
            return Err(HttpError::bad("A chunk-size line is too long."));
        }
        if self.line_bytes > FREE_LINE_BYTES {
            self.padding_bytes += 1;
        }
        if self.padding_bytes > CHUNK_PADDING_BYTES_MAX {
            return Err(HttpError::bad("The chunk extensions are too long."));
        }
        Ok(())
    }

    /// RFC 9112 section 7.1.2: trailers may be dropped, and are. They must still look like fields, for what follows is a request.
    fn trailer(&mut self, byte: u8) -> Result<Place, HttpError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(TRAILERS_TOO_LONG);
        }
        match (self.place, byte) {
            (Place::TrailerStart, b'\r') => Ok(Place::EndLf),
            (Place::TrailerStart | Place::TrailerName, _) if is_token(byte) => Ok(Place::TrailerName),
            (Place::TrailerName, b':') => Ok(Place::TrailerValue),
            (Place::TrailerValue, b'\r') => Ok(Place::TrailerLf),
            (Place::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(Place::TrailerValue),
            (Place::TrailerLf, b'\n') => Ok(Place::TrailerStart),
            (Place::EndLf, b'\n') => Ok(Place::End),
            (Place::TrailerLf | Place::EndLf, _) => Err(BAD_LINE_END),
            _ => Err(BAD_TRAILER),
        }
    }
}

/// A body that is handed on piece by piece may be as long as it likes: this much is years.
pub(super) const STREAMED_BYTES_MAX: usize = usize::MAX / 32;

const _: () =
    assert!(BODY_BYTES_MAX <= STREAMED_BYTES_MAX, "a size within the bound takes one more digit without overflow");
