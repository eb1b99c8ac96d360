//! What marks an event of ours among the bytes that a server sends: lane, sequence number and time, of fixed width.
//!
//! `~LLLLLL:SSSSSSSS:TTTTTTTTTTTT~` in hexadecimal digits. No format escapes any of these characters, so that the mark is found in the raw
//! bytes of all of them by looking for its first one.

use memchr::memchr;

/// What one event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// The lane that it belongs to: one publisher on one subject, or to one address. At most [`LANES_MAX`].
    pub(super) lane: u32,
    /// Its number within the lane, from 1.
    pub(super) sequence: u32,
    /// When it should have been published, in nanoseconds since the run began.
    pub(super) intended_ns: u64,
}

/// Bytes of a marker.
pub(super) const MARKER_BYTES: usize = 30;
/// What it begins and ends with.
const FENCE: u8 = b'~';
/// Most lanes of one run: six digits.
pub(super) const LANES_MAX: u32 = 1 << 24;
/// Times are cut to twelve digits: three days.
const TIME_MASK: u64 = (1 << 48) - 1;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const NO_DIGIT: u8 = 0xFF;
/// The value of each byte that is a digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

impl Marker {
    /// Appends its text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(FENCE);
        digits(u64::from(self.lane), 6, out);
        out.push(b':');
        digits(u64::from(self.sequence), 8, out);
        out.push(b':');
        digits(self.intended_ns & TIME_MASK, 12, out);
        out.push(FENCE);
    }

    /// Reads one that begins with `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text: &[u8; MARKER_BYTES] = bytes.first_chunk()?;
        let fences = text[0] == FENCE && text[29] == FENCE && text[7] == b':' && text[16] == b':';
        if !fences {
            return None;
        }
        let lane = value(&text[1..7])?;
        let sequence = value(&text[8..16])?;
        let intended_ns = value(&text[17..29])?;
        Some(Self { lane: u32::try_from(lane).ok()?, sequence: u32::try_from(sequence).ok()?, intended_ns })
    }

    /// The first one in `bytes`, and where it begins.
    pub(super) fn find(bytes: &[u8]) -> Option<(usize, Self)> {
        let mut at = 0;
        loop {
            at += memchr(FENCE, &bytes[at..])?;
            if let Some(marker) = Self::read(&bytes[at..]) {
                return Some((at, marker));
            }
            at += 1;
        }
    }
}

/// Where a marker may begin of which not all has come.
pub(super) fn may_begin(tail: &[u8]) -> Option<usize> {
    memchr(FENCE, tail)
}

fn digits(value: u64, count: u32, out: &mut Vec<u8>) {
    for place in (0..count).rev() {
        out.push(DIGITS[((value >> (4 * place)) & 15) as usize]);
    }
}

fn value(text: &[u8]) -> Option<u64> {
    let (mut value, mut wrong) = (0, 0);
    for byte in text {
        let digit = VALUES[*byte as usize];
        wrong |= digit & 0xF0;
        value = value << 4 | u64::from(digit & 15);
    }
    (wrong == 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_as_it_was_written() {
        let marker = Marker { lane: 0xAB_CDEF, sequence: 0x1234_5678, intended_ns: 0x9876_5432_10FE };
        let mut text = b"~~ not yet ~000000:~".to_vec();
        let start = text.len();
        marker.write(&mut text);
        assert_eq!(text.len() - start, MARKER_BYTES);
        assert_eq!(&text[start..], b"~abcdef:12345678:9876543210fe~");
        text.extend_from_slice(b"~ behind");
        assert_eq!(Marker::find(&text), Some((start, marker)));
    }

    #[test]
    fn what_is_none_is_not_found() {
        for text in [
            "",
            "~",
            "~000001:00000001:00000000000g~",
            "~000001:00000001:000000000001",
            "~000001-00000001:000000000001~",
        ] {
            assert_eq!(Marker::find(text.as_bytes()), None, "{text}");
        }
    }
}
