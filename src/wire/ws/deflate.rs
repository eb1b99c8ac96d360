//! Compression of messages without context takeover (RFC 7692 section 7.2).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::Fault;

/// What a sync flush ends with, and what the payload of a compressed message goes without (RFC 7692 section 7.2.1).
pub const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The tail that a message goes without, and behind it a last block with nothing in it: a stream that does not end here was cut.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];
/// Longest stored block, in bytes (RFC 1951 section 3.2.4).
const STORED_BYTES_MAX: usize = 0xffff;
/// So often a message may begin anew behind a block that says it is the last: each time the inflater is cleared, for two bytes of its sender.
const STREAMS_MAX: u32 = 1024;
/// Room for a piece of output.
const PIECE_BYTES: usize = 8 * 1024;

const BROKEN: Fault = Fault::payload("A compressed message cannot be inflated.");
const LONG: Fault = Fault::size("The message is larger than messages may be here, once it is inflated.");

/// Compresses. It holds some 300 KiB, so there is one for many connections.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
}

impl Default for Deflater {
    fn default() -> Self {
        Self { compress: Compress::new(Compression::default(), false) }
    }
}

impl Deflater {
    /// One that can be used again and again.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes` as DEFLATE blocks that refer to nothing before themselves and end at the boundary of a byte: they can follow any other
    /// blocks. They end with [`TAIL`], which is still there; whoever ends a message with them takes it away (RFC 7692 section 7.2.1).
    pub fn deflate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.compress.reset();
        let mut rest = bytes;
        loop {
            out.reserve(rest.len() / 2 + 64);
            let (taken, room) = (self.compress.total_in(), out.capacity() - out.len());
            let made = self.compress.total_out();
            let result = self.compress.compress_vec(rest, out, FlushCompress::Sync);
            debug_assert!(result.is_ok(), "a compressor without a dictionary cannot fail");
            let taken = usize::try_from(self.compress.total_in() - taken).unwrap_or(rest.len());
            let made = usize::try_from(self.compress.total_out() - made).unwrap_or(0);
            rest = &rest[taken.min(rest.len())..];
            // zlib has flushed everything when it leaves room. No step at all: nothing is left that could be done.
            if (rest.is_empty() && made < room) || (taken == 0 && made == 0) {
                return;
            }
        }
    }
}

/// Appends `bytes` as they are, as stored blocks (RFC 1951 section 3.2.4), which any other blocks can follow. Nothing for nothing.
pub fn stored_block(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(STORED_BYTES_MAX) {
        // No longer than 65,535.
        let length = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
}

/// What the payload of a compressed message stands for (RFC 7692 section 7.2.2). It never takes more memory than `max`, twice over for its
/// growth, and the window of 32 KiB.
///
/// # Errors
///
/// [`Fault`] with 1009 if there are more than `max` bytes, with 1007 if it is no DEFLATE or is cut.
pub fn inflate(bytes: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut decompress = Decompress::new(false);
    let (mut ended, mut streams) = (false, 0);
    let mut piece = [0; PIECE_BYTES];
    for (mut rest, is_end) in [(bytes, false), (&END[..], true)] {
        // Section 7.2.3.4: a block may say that it is the last, and others follow. If none does, nothing need be added either.
        if ended && is_end {
            return Ok(out);
        }
        loop {
            if ended {
                if rest.is_empty() {
                    break;
                }
                streams += 1;
                if streams > STREAMS_MAX {
                    return Err(BROKEN);
                }
                decompress.reset(false);
            }
            let (taken, made) = (decompress.total_in(), decompress.total_out());
            let status = decompress.decompress(rest, &mut piece, FlushDecompress::None).map_err(|_| BROKEN)?;
            let taken = usize::try_from(decompress.total_in() - taken).map_err(|_| BROKEN)?;
            let made = usize::try_from(decompress.total_out() - made).map_err(|_| BROKEN)?;
            rest = rest.get(taken..).ok_or(BROKEN)?;
            let piece = piece.get(..made).ok_or(BROKEN)?;
            if piece.len() > max - out.len() {
                return Err(LONG);
            }
            out.extend_from_slice(piece);
            ended = status == Status::StreamEnd;
            if !ended && taken == 0 && made == 0 {
                break;
            }
        }
    }
    if ended { Ok(out) } else { Err(BROKEN) }
}
