//! Finds the ends of lines and of the head, byte by byte, so that no byte is looked at twice and every bound holds while bytes arrive.
//!
//! The scanner is an automaton: what it says depends only on the bytes so far, never on the pieces they came in.

use super::error::HttpError;
use crate::limits::{EMPTY_LINES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX};
use crate::wire::blocks::leading;

const BARE_CR: HttpError = HttpError::bad("A carriage return is not followed by a line feed.");
const BARE_LF: HttpError = HttpError::bad("A line ends in a bare line feed; lines end in CR LF.");

/// The empty lines before a request line (RFC 9112 section 2.2 asks to skip at least one).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EmptyLines {
    /// Complete empty lines so far.
    count: u8,
    /// A carriage return waits for its line feed.
    cr: bool,
}

impl EmptyLines {
    /// Takes empty lines from the front of `input` and says how many bytes they are. The rest, if any, begins a request.
    pub(super) fn skip(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        for (at, &byte) in input.iter().enumerate() {
            match (self.cr, byte) {
                (false, b'\r') if self.count >= EMPTY_LINES_MAX => {
                    return Err(HttpError::bad("There are too many empty lines before the request."));
                }
                (false, b'\r') => self.cr = true,
                (false, _) => return Ok(at),
                (true, b'\n') => *self = Self { count: self.count + 1, cr: false },
                (true, _) => return Err(BARE_CR),
            }
        }
        Ok(input.len())
    }
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Inside a line.
    Text,
    /// Behind the carriage return that ends a line with text.
    TextCr,
    /// At the beginning of a line after the request line.
    Start,
    /// Behind the carriage return of the empty line.
    StartCr,
}

/// What the scanner came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The end of the input.
    More,
    /// The end of the request line, its line end taken.
    Line,
    /// The end of the head, the empty line taken.
    Head,
}

/// The scan of one request head, which begins with a byte that is not a carriage return.
#[derive(Clone, Debug)]
pub(super) struct HeadScan {
    /// Bytes of the head so far.
    bytes: usize,
    /// Header fields begun so far.
    fields: usize,
    /// The request line has ended.
    line_done: bool,
    place: Place,
}

impl HeadScan {
    pub(super) const fn new() -> Self {
        Self { bytes: 0, fields: 0, line_done: false, place: Place::Text }
    }

    /// Takes bytes from the front of `input` to the next end that matters. Says how many and which end.
    pub(super) fn scan(&mut self, input: &[u8]) -> Result<(usize, Seen), HttpError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if matches!(self.place, Place::Text) {
                let text = self.text_len(&input[at..]);
                if text > 0 {
                    at += text;
                    self.bytes += text;
                    continue;
                }
            }
            match self.step(byte)? {
                Seen::More if matches!(self.place, Place::Text) => {}
                Seen::More => at += 1,
                end => return Ok((at + 1, end)),
            }
        }
        Ok((at, Seen::More))
    }

    /// How many bytes at the front of `input` are ordinary text within the bounds.
    fn text_len(&self, input: &[u8]) -> usize {
        let max = if self.line_done { HEAD_BYTES_MAX } else { REQUEST_LINE_BYTES_MAX };
        let room = max.saturating_sub(self.bytes).min(input.len());
        let tab_is_text = self.line_done;
        let is_text = |byte: u8| ((byte >= b' ') & (byte != 0x7f)) | ((byte == b'\t') & tab_is_text);
        leading(&input[..room], is_text)
    }

    /// One byte that is not text within the bounds. [`Seen::More`] with the place [`Place::Text`] means that the byte is not taken:
    /// it is the first of a field and text.
    fn step(&mut self, byte: u8) -> Result<Seen, HttpError> {
        if self.line_done && self.bytes >= HEAD_BYTES_MAX {
            return Err(HttpError::new(431, "The request head is too long.").limit(HEAD_BYTES_MAX));
        }
        let (place, seen) = match (self.place, byte) {
            (Place::Text, b'\r') => (Place::TextCr, Seen::More),
            (Place::Text, _) => return Err(self.refuse_text(byte)),
            (Place::TextCr, b'\n') if self.line_done => (Place::Start, Seen::More),
            (Place::TextCr, b'\n') => (Place::Start, Seen::Line),
            (Place::Start, b'\r') => (Place::StartCr, Seen::More),
            (Place::Start, _) => return self.begin_field(byte),
            (Place::StartCr, b'\n') => (Place::StartCr, Seen::Head),
            (Place::TextCr | Place::StartCr, _) => return Err(BARE_CR),
        };
        self.line_done |= seen == Seen::Line;
        self.place = place;
        self.bytes += 1;
        Ok(seen)
    }

    fn begin_field(&mut self, byte: u8) -> Result<Seen, HttpError> {
        match byte {
            // RFC 9112 sections 2.2 and 5.2: white space before the first field, or a folded line.
            b' ' | b'\t' => return Err(HttpError::bad("A header line begins with white space.")),
            b'\n' => return Err(BARE_LF),
            _ if self.fields >= HEADERS_MAX => {
                return Err(HttpError::new(431, "There are too many header fields.").limit(HEADERS_MAX));
            }
            _ => {}
        }
        self.fields += 1;
        self.place = Place::Text;
        Ok(Seen::More)
    }

    /// Why a byte that is neither text nor a carriage return, or has no room any more, is refused.
    fn refuse_text(&self, byte: u8) -> HttpError {
        match byte {
            b'\n' => BARE_LF,
            0..b' ' | 0x7f if self.line_done => HttpError::bad("A header field holds a control byte."),
            0..b' ' | 0x7f => HttpError::bad("The request line holds a control byte; is this plain HTTP?"),
            _ => HttpError::new(414, "The request line is too long.").limit(REQUEST_LINE_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_are_skipped_up_to_the_bound() {
        let lines = "\r\n".repeat(usize::from(EMPTY_LINES_MAX));
        assert_eq!(EmptyLines::default().skip(format!("{lines}GET").as_bytes()), Ok(lines.len()));
        assert!(EmptyLines::default().skip(format!("{lines}\r").as_bytes()).is_err());
        assert_eq!(EmptyLines::default().skip(b"\rG"), Err(BARE_CR));
    }

    #[test]
    fn the_scan_stops_behind_the_line_and_behind_the_head() {
        let input = b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
        let mut scan = HeadScan::new();
        assert_eq!(scan.scan(input), Ok((16, Seen::Line)));
        assert_eq!(scan.scan(&input[16..]), Ok((8, Seen::Head)));
    }

    /// RFC 9112 section 3: the bound holds while the line arrives, not when its end is there.
    #[test]
    fn a_request_line_one_byte_too_long_is_refused_at_that_byte() {
        let mut scan = HeadScan::new();
        assert_eq!(scan.scan(&[b'a'; REQUEST_LINE_BYTES_MAX]), Ok((REQUEST_LINE_BYTES_MAX, Seen::More)));
        assert_eq!(scan.clone().scan(b"\r\n"), Ok((2, Seen::Line)));
        assert_eq!(scan.scan(b"a").map_err(|error| error.status), Err(414));
    }

    #[test]
    fn a_head_of_exactly_the_bound_passes_and_one_byte_more_does_not() {
        for (extra, expected) in [(0, Ok(Seen::Head)), (1, Err(431))] {
            let line = b"GET / HTTP/1.1\r\n";
            let value = "v".repeat(HEAD_BYTES_MAX + extra - line.len() - 3 - 4);
            let mut scan = HeadScan::new();
            assert_eq!(scan.scan(line), Ok((line.len(), Seen::Line)));
            let seen = scan.scan(format!("N: {value}\r\n\r\n").as_bytes());
            assert_eq!(seen.map(|(_, seen)| seen).map_err(|error| error.status), expected);
        }
    }
}
