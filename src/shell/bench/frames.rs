//! Frames of a WebSocket as a server sends them: walked over by their headers, in whatever pieces they come.

use super::modern::EVENT_BYTES_MAX;
use crate::wire::ws::{Opcode, write_masked};

/// A mask that anybody could guess: it protects what is between client and server (RFC 6455 section 10.3), and there is nothing.
pub(super) const fn mask(number: u32) -> [u8; 4] {
    number.wrapping_mul(0x9E37_79B1).to_le_bytes()
}

/// A frame of a client that answers one of the server's, such as a Pong.
pub(super) fn answer(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    write_masked(opcode, payload, mask(payload.len() as u32), &mut frame);
    frame
}

/// Cuts what comes into frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What has come of a frame that is not whole. Empty, and without memory, most of the time.
    rest: Vec<u8>,
}

impl Frames {
    /// Takes in what came. `each` gets the first byte of a whole frame and its payload, or what is wrong, and says whether to go on; if not,
    /// what is behind it is not looked at.
    pub(super) fn feed(&mut self, bytes: &[u8], each: impl FnMut(Result<(u8, &[u8]), &'static str>) -> bool) {
        if self.rest.is_empty() {
            let done = walk(bytes, each);
            self.rest.extend_from_slice(&bytes[done..]);
            return;
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let done = walk(&all, each);
        if done < all.len() {
            all.drain(..done);
            self.rest = all;
        }
    }
}

/// Hands on whole frames. Says how many bytes they were, or all if nothing more is read.
fn walk(bytes: &[u8], mut each: impl FnMut(Result<(u8, &[u8]), &'static str>) -> bool) -> usize {
    let mut at = 0;
    loop {
        match frame(&bytes[at..]) {
            Ok(None) => return at,
            Ok(Some((first, start, end))) => {
                if !each(Ok((first, &bytes[at + start..at + end]))) {
                    return bytes.len();
                }
                at += end;
            }
            Err(why) => {
                each(Err(why));
                return bytes.len();
            }
        }
    }
}

/// A whole frame: its first byte, where its payload begins, and where it ends.
type Frame = (u8, usize, usize);

/// The frame that `bytes` begin with; `None` if it is not whole (RFC 6455 section 5.2).
fn frame(bytes: &[u8]) -> Result<Option<Frame>, &'static str> {
    let [first, second, behind @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("a frame of a server that is masked");
    }
    let (start, length) = match second {
        126 => match behind.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match behind.first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX)),
            None => return Ok(None),
        },
        length => (2, usize::from(*length)),
    };
    if length > EVENT_BYTES_MAX {
        return Err("a frame that is too long");
    }
    Ok((bytes.len() >= start + length).then_some((*first, start, start + length)))
}
