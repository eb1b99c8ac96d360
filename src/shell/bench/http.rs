//! HTTP answers taken apart as they come: the body in whole pieces, framing checked, without copying what arrives whole.

/// Longest head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest piece of a body (a chunk, or a body of declared length) that is read, in bytes.
const PIECE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest line that says how long a chunk is, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// What the answer says before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The status code.
    pub(super) status: u16,
    /// When to come again, in seconds.
    pub(super) retry_after_s: Option<u64>,
    /// The connection ends with this answer.
    pub(super) close: bool,
    /// It says how long it is: it is no stream.
    pub(super) sized: bool,
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// The head.
    Head(Head),
    /// A whole chunk, or the whole body; of a stream without a length, what has come.
    Body(&'a [u8]),
    /// The answer is complete. What follows is the next one.
    End,
    /// This is no HTTP; nothing more is read.
    Broken(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Chunks,
    Trailer,
    Counted(usize),
    UntilEnd,
    Broken,
}

/// Reads the answers of one connection, one behind the other.
#[derive(Debug)]
pub(super) struct AnswerReader {
    state: State,
    /// A body without a length is handed on as it comes.
    streams: bool,
    /// What has come of a part that is not whole. Empty, and without memory, most of the time.
    rest: Vec<u8>,
}

/// How far a step came.
enum Step {
    /// So many bytes are done with.
    Took(usize),
    /// The part is not whole.
    Wait,
}

impl AnswerReader {
    /// A reader at the beginning of an answer.
    pub(super) const fn new() -> Self {
        Self { state: State::Head, streams: false, rest: Vec::new() }
    }

    /// The same. A body that neither has a length nor comes in chunks is handed on in pieces as they come, because its end is far.
    pub(super) const fn streaming() -> Self {
        Self { state: State::Head, streams: true, rest: Vec::new() }
    }

    /// Takes in what came and hands on what is whole.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Part<'_>)) {
        if self.rest.is_empty() {
            let done = self.steps(bytes, sink);
            if done < bytes.len() && self.state != State::Broken {
                self.rest.extend_from_slice(&bytes[done..]);
            }
            return;
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let done = self.steps(&all, sink);
        if done < all.len() && self.state != State::Broken {
            all.drain(..done);
            self.rest = all;
        }
    }

    /// The connection has ended. Says whether that was between two answers.
    pub(super) fn finish(&mut self, sink: &mut dyn FnMut(Part<'_>)) -> bool {
        if self.state == State::UntilEnd {
            let body = std::mem::take(&mut self.rest);
            sink(Part::Body(&body));
            sink(Part::End);
            self.state = State::Head;
            return true;
        }
        self.state == State::Head && self.rest.is_empty()
    }

    fn steps(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Part<'_>)) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            match self.step(&bytes[at..], sink) {
                Ok(Step::Took(taken)) => at += taken,
                Ok(Step::Wait) => break,
                Err(why) => {
                    self.state = State::Broken;
                    sink(Part::Broken(why));
                    break;
                }
            }
        }
        at
    }

    fn step(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Part<'_>)) -> Result<Step, &'static str> {
        match self.state {
            State::Head => self.head(bytes, sink),
            State::Chunks => self.chunk(bytes, sink),
            State::Trailer => self.trailer(bytes, sink),
            State::Counted(length) => {
                let Some(body) = bytes.get(..length) else { return Ok(Step::Wait) };
                self.state = State::Head;
                sink(Part::Body(body));
                sink(Part::End);
                Ok(Step::Took(length))
            }
            State::UntilEnd if self.streams => {
                sink(Part::Body(bytes));
                Ok(Step::Took(bytes.len()))
            }
            State::UntilEnd if bytes.len() > PIECE_BYTES_MAX => Err("a body without an end"),
            State::UntilEnd => Ok(Step::Wait),
            State::Broken => Ok(Step::Took(bytes.len())),
        }
    }

    fn head(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Part<'_>)) -> Result<Step, &'static str> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX { Err("a head without an end") } else { Ok(Step::Wait) };
        };
        let (head, framing) = read_head(&bytes[..end + 4])?;
        if head.status / 100 == 1 {
            return Ok(Step::Took(end + 4));
        }
        sink(Part::Head(head));
        self.state = framing;
        if framing == State::Counted(0) {
            self.state = State::Head;
            sink(Part::End);
        }
        Ok(Step::Took(end + 4))
    }

    fn chunk(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Part<'_>)) -> Result<Step, &'static str> {
        let (mut size, mut at) = (0_usize, 0);
        while let Some(digit) = bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16)) {
            size = size << 4 | digit as usize;
            at += 1;
            if at > 15 || size > PIECE_BYTES_MAX {
                return Err("a chunk that is too long");
            }
        }
        if at == bytes.len() {
            return Ok(Step::Wait);
        }
        if at == 0 {
            return Err("a chunk without a size");
        }
        // Extensions are allowed, and skipped.
        let line = match bytes.get(at..at + 2) {
            Some(b"\r\n") => at + 2,
            _ => match memchr::memmem::find(&bytes[at..], b"\r\n") {
                Some(more) => at + more + 2,
                None if bytes.len() - at > CHUNK_LINE_BYTES_MAX => return Err("a chunk line without an end"),
                None => return Ok(Step::Wait),
            },
        };
        if size == 0 {
            self.state = State::Trailer;
            return Ok(Step::Took(line));
        }
        let Some(whole) = bytes.get(line..line + size + 2) else { return Ok(Step::Wait) };
        let (piece, end) = whole.split_at(size);
        if end != b"\r\n" {
            return Err("a chunk that is not as long as it says");
        }
        sink(Part::Body(piece));
        Ok(Step::Took(line + size + 2))
    }

    fn trailer(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Part<'_>)) -> Result<Step, &'static str> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX { Err("a trailer without an end") } else { Ok(Step::Wait) };
        };
        if end == 0 {
            self.state = State::Head;
            sink(Part::End);
        }
        Ok(Step::Took(end + 2))
    }
}

fn read_head(bytes: &[u8]) -> Result<(Head, State), &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err("no head of an HTTP answer"),
    }
    let status = response.code.unwrap_or_default();
    let field = |name: &str| {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let close =
        field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) || response.version == Some(0);
    let retry_after_s = field("retry-after").and_then(|value| value.parse().ok());
    let framing = if field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        State::Chunks
    } else if status == 204 || status == 304 {
        State::Counted(0)
    } else {
        match field("content-length") {
            None => State::UntilEnd,
            Some(length) => State::Counted(length.parse().map_err(|_| "a length that is no number")?),
        }
    };
    match framing {
        State::Counted(length) if length > PIECE_BYTES_MAX => Err("a body that is too long"),
        _ => Ok((Head { status, retry_after_s, close, sized: matches!(framing, State::Counted(_)) }, framing)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> (Vec<String>, bool) {
        let mut reader = AnswerReader::new();
        let mut said = Vec::new();
        let mut sink = |part: Part<'_>| {
            said.push(match part {
                Part::Head(head) => format!("{} {:?} {}", head.status, head.retry_after_s, head.close),
                Part::Body(body) => String::from_utf8_lossy(body).into_owned(),
                Part::End => "end".to_owned(),
                Part::Broken(why) => why.to_owned(),
            });
        };
        for piece in bytes.chunks(step) {
            reader.feed(piece, &mut sink);
        }
        let orderly = reader.finish(&mut sink);
        (said, orderly)
    }

    #[test]
    fn answers_are_read_in_any_pieces() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\nT: 1\r\n\r\n\
            HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 2\r\nRetry-After: 7\r\nConnection: close\r\n\r\nno\
            HTTP/1.1 204 Nothing\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end";
        let expected = [
            "200 None false",
            "hello",
            " world",
            "end",
            "503 Some(7) true",
            "no",
            "end",
            "204 None false",
            "end",
            "200 None true",
            "to the end",
            "end",
        ];
        for step in 1..text.len() {
            let (said, orderly) = read(text, step);
            assert_eq!(said, expected, "in pieces of {step}");
            assert!(orderly);
        }
    }

    #[test]
    fn a_chunk_must_be_as_long_as_it_says() {
        for (body, why) in [
            ("4\r\nhello\r\n", "a chunk that is not as long as it says"),
            ("\r\nhello", "a chunk without a size"),
            ("fffffffffffffffff\r\n", "a chunk that is too long"),
            ("7fffffff\r\n", "a chunk that is too long"),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            for step in [1, 3, 1000] {
                let (said, orderly) = read(text.as_bytes(), step);
                assert_eq!(said, ["200 None false", why], "{body:?}");
                assert!(!orderly);
            }
        }
    }

    #[test]
    fn an_end_within_an_answer_is_told() {
        for text in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"] {
            assert!(!read(text.as_bytes(), 1000).1, "{text:?}");
        }
    }
}
