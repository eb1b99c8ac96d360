//! Requests out of a connection's bytes, one after the other.

use super::body::{Chunks, Decoder, STREAMED_BYTES_MAX, Sink, TOO_LONG};
use super::error::HttpError;
use super::head::{self, Framing, RequestHead};
use super::line::{self, Method, RequestLine};
use super::scan::{EmptyLines, HeadScan, Seen};
use crate::limits::BODY_BYTES_MAX;

/// One request, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// Its head.
    pub head: RequestHead,
    /// Its body, decoded, at most [`crate::limits::BODY_BYTES_MAX`] bytes. Only a POST has one here: RFC 9110 gives the content of a
    /// GET, HEAD or OPTIONS no meaning, so it is read and dropped.
    pub body: Vec<u8>,
}

/// What the reader is in the middle of; the driver sets its deadlines by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No request has begun; empty lines before one do not count ([`crate::limits::KEEP_ALIVE_IDLE_MS`]). Also after an error.
    Idle,
    /// A head has begun ([`crate::limits::HEAD_DEADLINE_MS`]).
    Head,
    /// A head is complete and its body is not ([`crate::limits::BODY_DEADLINE_MS`]).
    Body,
}

/// What came of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All input is taken and the request is not complete.
    NeedMore,
    /// Like [`Progress::NeedMore`], and the client waits for [`super::CONTINUE`] before it sends the body: send it.
    SendContinue,
    /// A request. Input behind it is not taken; it belongs to the next one. Of a body that is handed on in pieces it has the last one.
    Complete(Box<HttpRequest>),
}

/// Whether the body of the request with this head is handed on in pieces as it comes ([`RequestReader::take_piece`]). It may be as long as it
/// likes then.
pub type Streams = fn(&RequestHead) -> bool;

/// Reads the requests of one connection. It takes bytes in any pieces, never looks at one twice, and what it makes of them does not
/// depend on the pieces (only [`Progress::SendContinue`] does, which is about what has not arrived).
///
/// Idle, it holds no memory beyond itself. In a head it holds the bytes so far, at most [`crate::limits::HEAD_BYTES_MAX`]; in a body
/// the decoded bytes so far. A request that is wholly in one input is never copied into a buffer.
#[derive(Debug, Default)]
pub struct RequestReader {
    state: State,
}

#[derive(Debug)]
enum State {
    Idle(EmptyLines),
    Head(Box<HeadReader>),
    Body(Box<BodyReader>),
    Failed(Box<HttpError>),
}

impl Default for State {
    fn default() -> Self {
        Self::Idle(EmptyLines::default())
    }
}

/// A head that has begun.
#[derive(Debug)]
struct HeadReader {
    scan: HeadScan,
    /// The request line once it is complete.
    line: Option<RequestLine>,
    /// The request line says HEAD.
    to_head: bool,
    /// The request line names a URL of the modern doors.
    to_v1: bool,
    /// The bytes of the request line, or else of the header section, that earlier inputs brought.
    held: Vec<u8>,
}

/// A head and as much of its body as has come.
#[derive(Debug)]
struct BodyReader {
    head: RequestHead,
    decoder: Decoder,
    sink: Sink,
    streamed: bool,
}

/// The state behind a push, the bytes it took and what came of it.
type Step = (State, usize, Progress);

impl RequestReader {
    /// A reader at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the reader is in the middle of.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Idle(_) | State::Failed(_) => Phase::Idle,
            State::Head(_) => Phase::Head,
            State::Body(_) => Phase::Body,
        }
    }

    /// Bytes of memory that buffers take at the moment: none between requests.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Idle(_) | State::Failed(_) => 0,
            State::Head(reader) => reader.held.capacity(),
            State::Body(reader) => reader.sink.held_bytes(),
        }
    }

    /// The head of a request whose body is being handed on in pieces, and what has come of it since the last time.
    pub fn take_piece(&mut self) -> Option<(&RequestHead, Vec<u8>)> {
        match &mut self.state {
            State::Body(reader) if reader.streamed => Some((&reader.head, reader.sink.take())),
            _ => None,
        }
    }

    /// `error` as an answer to the request that the reader is in the middle of.
    #[must_use]
    pub fn blame(&self, error: HttpError) -> HttpError {
        let (to_head, to_v1) = match &self.state {
            State::Head(reader) => (reader.to_head, reader.to_v1),
            State::Body(reader) => (reader.head.method == Method::Head, is_v1(&reader.head.path)),
            // Then it says itself what it answers.
            State::Idle(_) | State::Failed(_) => return error,
        };
        HttpError { to_head, to_v1, ..error }
    }

    /// Takes bytes from the front of `input`, at most to the end of one request. Says how many it took: all of them unless a request
    /// is complete.
    ///
    /// # Errors
    ///
    /// [`HttpError`] if the client breaks a rule or a bound. The reader then holds nothing and answers every further push with the
    /// same error: what follows on the connection is not to be trusted.
    pub fn push(&mut self, input: &[u8]) -> Result<(usize, Progress), HttpError> {
        self.push_streaming(input, |_| false)
    }

    /// The same where some bodies are handed on in pieces.
    ///
    /// # Errors
    ///
    /// As [`RequestReader::push`].
    pub fn push_streaming(&mut self, input: &[u8], streams: Streams) -> Result<(usize, Progress), HttpError> {
        let step = match std::mem::take(&mut self.state) {
            State::Idle(lines) => begin(lines, input, streams),
            State::Head(reader) => read_head(Held::Boxed(reader), input, streams),
            State::Body(reader) => read_body(Held::Boxed(reader), input),
            State::Failed(error) => Err(*error),
        };
        match step {
            Ok((state, taken, progress)) => {
                debug_assert!(taken == input.len() || matches!(progress, Progress::Complete(_)), "input was left over");
                self.state = state;
                Ok((taken, progress))
            }
            Err(error) => {
                self.state = State::Failed(Box::new(error));
                Err(error)
            }
        }
    }
}

/// A reader on the stack until it is known that it must outlive the push.
enum Held<T> {
    Stacked(T),
    Boxed(Box<T>),
}

impl<T> Held<T> {
    fn get_mut(&mut self) -> &mut T {
        match self {
            Self::Stacked(reader) => reader,
            Self::Boxed(reader) => reader,
        }
    }

    fn into_box(self) -> Box<T> {
        match self {
            Self::Stacked(reader) => Box::new(reader),
            Self::Boxed(reader) => reader,
        }
    }

    fn into_inner(self) -> T {
        match self {
            Self::Stacked(reader) => reader,
            Self::Boxed(reader) => *reader,
        }
    }
}

fn begin(mut lines: EmptyLines, input: &[u8], streams: Streams) -> Result<Step, HttpError> {
    let skipped = lines.skip(input)?;
    if skipped == input.len() {
        return Ok((State::Idle(lines), skipped, Progress::NeedMore));
    }
    let reader = HeadReader { scan: HeadScan::new(), line: None, to_head: false, to_v1: false, held: Vec::new() };
    let (state, taken, progress) = read_head(Held::Stacked(reader), &input[skipped..], streams)?;
    Ok((state, skipped + taken, progress))
}

fn read_head(mut reader: Held<HeadReader>, input: &[u8], streams: Streams) -> Result<Step, HttpError> {
    let parsed = reader.get_mut().push(input);
    let HeadReader { to_head, to_v1, .. } = *reader.get_mut();
    match parsed.map_err(|error| HttpError { to_head, to_v1, ..error })? {
        None => Ok((State::Head(reader.into_box()), input.len(), Progress::NeedMore)),
        Some((taken, head, framing)) => {
            drop(reader);
            let (state, more, progress) = begin_body(head, framing, &input[taken..], streams)?;
            Ok((state, taken + more, progress))
        }
    }
}

impl HeadReader {
    /// Takes `input` to the end of the head, if it is there: how many bytes that are, the head and how its body is framed.
    fn push(&mut self, input: &[u8]) -> Result<Option<(usize, RequestHead, Framing)>, HttpError> {
        let mut taken = 0;
        loop {
            let (len, seen) = self.scan.scan(&input[taken..])?;
            let piece = &input[taken..taken + len];
            taken += len;
            match seen {
                Seen::More => {
                    self.held.extend_from_slice(piece);
                    return Ok(None);
                }
                Seen::Line => {
                    let whole = joined(&mut self.held, piece);
                    let line = line::parse(whole.strip_suffix(b"\r\n").unwrap_or(whole))?;
                    self.to_head = line.method == Method::Head;
                    self.to_v1 = is_v1(&line.path);
                    self.line = Some(line);
                    self.held.clear();
                }
                Seen::Head => {
                    let section = joined(&mut self.held, piece);
                    let line = self.line.take().ok_or(HttpError::bad("The request has no request line."))?;
                    let (head, framing) = head::parse(line, section)?;
                    return Ok(Some((taken, head, framing)));
                }
            }
        }
    }
}

/// `held` and `piece` as one slice; copies only if something is held.
fn joined<'a>(held: &'a mut Vec<u8>, piece: &'a [u8]) -> &'a [u8] {
    if held.is_empty() {
        return piece;
    }
    held.extend_from_slice(piece);
    held
}

/// Whether a path is one of the modern doors.
fn is_v1(path: &str) -> bool {
    path.starts_with("/v1/")
}

fn begin_body(head: RequestHead, framing: Framing, input: &[u8], streams: Streams) -> Result<Step, HttpError> {
    let streamed = streams(&head);
    let bytes_max = if streamed { STREAMED_BYTES_MAX } else { BODY_BYTES_MAX };
    let decoder = match framing {
        Framing::Length(0) => {
            let request = HttpRequest { head, body: Vec::new() };
            return Ok((State::default(), 0, Progress::Complete(Box::new(request))));
        }
        Framing::Length(length) if length > bytes_max => {
            let (to_head, to_v1) = (head.method == Method::Head, is_v1(&head.path));
            return Err(HttpError { to_head, to_v1, ..TOO_LONG });
        }
        Framing::Length(length) => Decoder::Length(length),
        Framing::Chunked => Decoder::Chunked(Chunks::new(bytes_max)),
    };
    let waits = head.expect_continue && input.is_empty();
    let sink = Sink::new(head.method == Method::Post);
    let (state, taken, progress) = read_body(Held::Stacked(BodyReader { head, decoder, sink, streamed }), input)?;
    // RFC 9110 section 10.1.1: no interim answer once some of the body is here.
    Ok((state, taken, if waits { Progress::SendContinue } else { progress }))
}

fn read_body(mut held: Held<BodyReader>, input: &[u8]) -> Result<Step, HttpError> {
    let reader = held.get_mut();
    let (to_head, to_v1) = (reader.head.method == Method::Head, is_v1(&reader.head.path));
    let pushed = reader.decoder.push(input, &mut reader.sink);
    let (taken, complete) = pushed.map_err(|error| HttpError { to_head, to_v1, ..error })?;
    if !complete {
        return Ok((State::Body(held.into_box()), taken, Progress::NeedMore));
    }
    let BodyReader { head, sink, .. } = held.into_inner();
    let request = HttpRequest { head, body: sink.into_bytes() };
    Ok((State::default(), taken, Progress::Complete(Box::new(request))))
}
