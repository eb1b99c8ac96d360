//! Reads one HTTP/1.1 answer from whatever pieces it comes in: the head by `httparse`, the body out of its framing. The terminal tools of
//! `shell` read with it, too.

use crate::limits::{CLIENT_HEAD_BYTES_MAX, HEADERS_MAX};
use crate::wire::v1::media_type;

/// What a client needs of a response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// The words behind it.
    pub(crate) reason: String,
    /// Seconds to wait, if the server names them.
    pub(crate) retry_after_s: Option<u64>,
    /// Where the server sends us.
    pub(crate) location: Option<String>,
    /// The type of the body, without parameters and in lower case; empty if it is not named.
    pub(crate) media_type: String,
    /// A publish request with the same key has been carried out before.
    pub(crate) replayed: bool,
    /// Whether the connection may carry another request.
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Counted(u64),
    ChunkLine,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
    Complete,
}

/// One answer under way.
///
/// Invariant: `input` holds only bytes that the current stage cannot use yet, so it is short but for a head.
#[derive(Debug)]
pub(crate) struct AnswerReader {
    stage: Stage,
    input: Vec<u8>,
    head: Option<Head>,
    body: Vec<u8>,
}

/// Longest line of a chunk's size or of a trailer, in bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;

impl AnswerReader {
    /// A reader that waits for a head.
    pub(crate) const fn new() -> Self {
        Self { stage: Stage::Head, input: Vec::new(), head: None, body: Vec::new() }
    }

    /// Takes bytes in.
    ///
    /// # Errors
    ///
    /// What is wrong with them; the connection is then of no use.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.input.extend_from_slice(bytes);
        while self.step()? {}
        Ok(())
    }

    /// The connection has ended.
    ///
    /// # Errors
    ///
    /// If the answer is not whole.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        match self.stage {
            Stage::UntilClose | Stage::Complete => {
                self.stage = Stage::Complete;
                Ok(())
            }
            Stage::Head if self.input.is_empty() => {
                Err("the server closed the connection without an answer".to_owned())
            }
            _ => Err("the server closed the connection in the middle of an answer".to_owned()),
        }
    }

    /// The head, once it is there.
    pub(crate) const fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Whether the answer is whole.
    pub(crate) fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    /// Whether the connection may carry another request after this answer.
    pub(crate) fn leaves_connection_usable(&self) -> bool {
        self.is_complete() && self.input.is_empty() && self.head.as_ref().is_some_and(|head| head.keep_alive)
    }

    /// What has come of the body since the last time.
    pub(crate) fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// How much of the body waits to be taken, in bytes.
    pub(crate) const fn body_len(&self) -> usize {
        self.body.len()
    }

    /// One step; false if it needs more bytes.
    fn step(&mut self) -> Result<bool, String> {
        match self.stage {
            Stage::Head => return self.step_head(),
            Stage::Counted(0) => self.stage = Stage::Complete,
            Stage::Counted(left) => {
                let taken = self.take_input(left);
                self.stage = Stage::Counted(left - taken);
                return Ok(taken > 0);
            }
            Stage::ChunkLine => {
                let Some(line) = self.line()? else { return Ok(false) };
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                let size =
                    std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
                let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                let size = size.ok_or("the server sent a chunk without a size")?;
                self.stage = if size == 0 { Stage::Trailer } else { Stage::Chunk(size) };
            }
            Stage::Chunk(0) => self.stage = Stage::ChunkEnd,
            Stage::Chunk(left) => {
                let taken = self.take_input(left);
                self.stage = Stage::Chunk(left - taken);
                return Ok(taken > 0);
            }
            Stage::ChunkEnd => {
                let Some(line) = self.line()? else { return Ok(false) };
                if !line.is_empty() {
                    return Err("the server sent a chunk that is longer than its size".to_owned());
                }
                self.stage = Stage::ChunkLine;
            }
            Stage::Trailer => {
                let Some(line) = self.line()? else { return Ok(false) };
                if line.is_empty() {
                    self.stage = Stage::Complete;
                }
            }
            Stage::UntilClose => return Ok(self.take_input(u64::MAX) > 0),
            Stage::Complete => return Ok(false),
        }
        Ok(true)
    }

    fn step_head(&mut self) -> Result<bool, String> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&self.input) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.input.len() < CLIENT_HEAD_BYTES_MAX => return Ok(false),
            Ok(httparse::Status::Partial) => return Err("the server's response head has no end".to_owned()),
            Err(error) => return Err(format!("the answer is not HTTP: {error}")),
        };
        let status = response.code.unwrap_or_default();
        if status / 100 != 1 {
            let (head, stage) = judge_head(&response)?;
            (self.head, self.stage) = (Some(head), stage);
        }
        self.input.drain(..length);
        Ok(true)
    }

    /// The next line without its end, if it is there.
    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            let fits = self.input.len() < LINE_BYTES_MAX;
            return if fits { Ok(None) } else { Err("the server sent a line without an end".to_owned()) };
        };
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    /// Moves at most `most` bytes of input to the body.
    fn take_input(&mut self, most: u64) -> u64 {
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(self.input.len());
        self.body.extend(self.input.drain(..count));
        count as u64
    }
}

/// What a head means: for us, and for the body behind it (RFC 9112, section 6.3).
fn judge_head(response: &httparse::Response<'_, '_>) -> Result<(Head, Stage), String> {
    let field = |name: &str| {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).trim().to_owned())
    };
    let status = response.code.unwrap_or_default();
    let chunked = match field("transfer-encoding") {
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => true,
        Some(coding) => {
            return Err(format!("the server uses the transfer coding {coding:?}, which is not known here"));
        }
        None => false,
    };
    let length = match field("content-length") {
        Some(text) => Some(text.parse::<u64>().map_err(|_| format!("the server sent the length {text:?}"))?),
        None => None,
    };
    let stage = match length {
        _ if matches!(status, 204 | 304) => Stage::Complete,
        _ if chunked => Stage::ChunkLine,
        Some(length) => Stage::Counted(length),
        None => Stage::UntilClose,
    };
    let connection = field("connection").unwrap_or_default().to_ascii_lowercase();
    let keep_alive = match response.version {
        Some(0) => connection.contains("keep-alive"),
        _ => !connection.contains("close"),
    };
    let head = Head {
        status,
        reason: response.reason.unwrap_or_default().to_owned(),
        retry_after_s: field("retry-after").and_then(|text| text.parse().ok()),
        location: field("location"),
        media_type: media_type(field("content-type").as_deref().unwrap_or_default()),
        replayed: field("idempotent-replayed").is_some_and(|text| text.eq_ignore_ascii_case("true")),
        keep_alive,
    };
    Ok((head, stage))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Result<AnswerReader, String> {
        let mut reader = AnswerReader::new();
        for piece in bytes.chunks(step) {
            reader.feed(piece)?;
        }
        Ok(reader)
    }

    #[test]
    fn answers_are_read_in_any_pieces() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n\
            2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n";
        for step in 1..=text.len() {
            let mut reader = read(text, step).expect("an answer");
            assert!(reader.leaves_connection_usable(), "{step}");
            assert_eq!(reader.take_body(), b"abcde");
            assert_eq!(reader.take_body(), b"");
        }
        for cut in 1..text.len() {
            let mut reader = read(&text[..cut], 5).expect("the beginning of one");
            assert!(!reader.is_complete() && reader.finish().is_err(), "{cut}");
        }
    }

    #[test]
    fn framing_decides_where_an_answer_ends() {
        let mut counted =
            read(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok", 3).expect("an answer");
        assert_eq!(counted.take_body(), b"ok");
        let head = counted.head().expect("a head");
        assert_eq!((head.status, head.reason.as_str(), head.retry_after_s), (503, "Busy", Some(7)));
        let mut open = read(b"HTTP/1.0 200 OK\r\n\r\nabc", 4).expect("an answer");
        assert!(!open.is_complete());
        assert_eq!(open.finish(), Ok(()));
        assert!(open.is_complete() && !open.leaves_connection_usable());
        let close = read(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 9).expect("an answer");
        assert!(close.is_complete() && !close.leaves_connection_usable());
        let more = read(b"HTTP/1.1 204 No\r\n\r\nrest", 99).expect("an answer");
        assert!(more.is_complete() && !more.leaves_connection_usable(), "bytes that nobody asked for");
    }

    #[test]
    fn what_is_not_http_is_said_to_be_so() {
        for bad in [
            b"SSH-2.0-x\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        ] {
            assert!(read(bad, 1).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        let endless = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &[b'a'; CLIENT_HEAD_BYTES_MAX]].concat();
        assert!(read(&endless, 4096).is_err());
        let endless =
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &[b'1'; LINE_BYTES_MAX]].concat();
        assert!(read(&endless, 4096).is_err());
    }
}
