//! A raw HTTP/1.1 client for tests: it sends any bytes, and shows what has arrived of an answer while the answer goes
//! on.

use std::io::{ErrorKind, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::wait::wait_ready;

/// What stands before a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// The words behind it.
    pub(crate) reason: String,
    /// The fields in order, names as they came.
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    /// Every value of the field, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of the field.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let mut status_line = lines.next().unwrap_or_default().splitn(3, ' ');
        assert_eq!(status_line.next().map(|version| version.starts_with("HTTP/1.")), Some(true), "not HTTP: {text:?}");
        let status = status_line.next().and_then(|code| code.parse().ok()).expect("a status code");
        let reason = status_line.next().unwrap_or_default().to_owned();
        let fields = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header field has a colon");
                (name.to_owned(), value.trim().to_owned())
            })
            .collect();
        Self { status, reason, fields }
    }
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Counted(usize),
    ChunkLine,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    UntilEof,
    Complete,
}

/// Reads one answer from whatever pieces it comes in.
#[derive(Clone, Debug)]
pub(crate) struct AnswerReader {
    stage: Stage,
    without_body: bool,
    pending: Vec<u8>,
    /// The head once it is there.
    pub(crate) head: Option<Head>,
    /// What there is of the body, framing removed.
    pub(crate) body: Vec<u8>,
    /// The length of every chunk, if it is sent in chunks.
    pub(crate) chunks: Vec<usize>,
}

impl AnswerReader {
    /// A reader for the answer to a request; `head_only` if that was a HEAD.
    pub(crate) fn new(head_only: bool) -> Self {
        Self {
            stage: Stage::Head,
            without_body: head_only,
            pending: Vec::new(),
            head: None,
            body: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Takes bytes in, as far as they belong to this answer.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while self.step() {}
    }

    /// Whether the framing says that this is all.
    pub(crate) fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    /// Whether only the end of the connection ends it.
    pub(crate) fn ends_with_the_connection(&self) -> bool {
        self.stage == Stage::UntilEof
    }

    /// The bytes behind a complete answer.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    fn line(&mut self) -> Option<String> {
        let end = self.pending.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8_lossy(&self.pending[..end]).into_owned();
        self.pending.drain(..end + 2);
        Some(line)
    }

    /// One step; false if it needs more bytes.
    fn step(&mut self) -> bool {
        match self.stage {
            Stage::Head => {
                let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
                let head = Head::parse(&self.pending[..end]);
                self.pending.drain(..end + 4);
                self.stage = self.stage_after(&head);
                self.head = Some(head);
            }
            Stage::Counted(0) => self.stage = Stage::Complete,
            Stage::Counted(left) => {
                let taken = self.take_body(left);
                self.stage = Stage::Counted(left - taken);
                return taken > 0;
            }
            Stage::ChunkLine => {
                let Some(line) = self.line() else { return false };
                let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
                let size = size.unwrap_or_else(|_| panic!("a chunk size, not {line:?}"));
                self.chunks.push(size);
                self.stage = if size == 0 { Stage::Trailer } else { Stage::Chunk(size) };
            }
            Stage::Chunk(0) => self.stage = Stage::ChunkEnd,
            Stage::Chunk(left) => {
                let taken = self.take_body(left);
                self.stage = Stage::Chunk(left - taken);
                return taken > 0;
            }
            Stage::ChunkEnd => {
                let Some(line) = self.line() else { return false };
                assert_eq!(line, "", "a chunk is longer than it says");
                self.stage = Stage::ChunkLine;
            }
            Stage::Trailer => {
                let Some(line) = self.line() else { return false };
                if line.is_empty() {
                    self.stage = Stage::Complete;
                }
            }
            Stage::UntilEof => return self.take_body(usize::MAX) > 0,
            Stage::Complete => return false,
        }
        true
    }

    fn take_body(&mut self, most: usize) -> usize {
        let taken = most.min(self.pending.len());
        self.body.extend(self.pending.drain(..taken));
        taken
    }

    fn stage_after(&self, head: &Head) -> Stage {
        if self.without_body || head.status / 100 == 1 || head.status == 204 || head.status == 304 {
            Stage::Complete
        } else if head.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            Stage::ChunkLine
        } else if let Some(length) = head.get("content-length") {
            Stage::Counted(length.parse().expect("a content length"))
        } else {
            Stage::UntilEof
        }
    }
}

/// A connection with at most one answer under way.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    answer: AnswerReader,
    eof: bool,
    reset: bool,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its head.
    pub(crate) head: Head,
    /// Its body, framing removed.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    /// Connects.
    pub(crate) fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10)).expect("the server accepts");
        stream.set_nodelay(true).expect("an option of a socket");
        stream.set_nonblocking(true).expect("an option of a socket");
        Self { stream, answer: AnswerReader::new(false), eof: false, reset: false }
    }

    /// Connects with a receive buffer and segments so small that the server's writes soon find no room.
    pub(crate) fn open_narrow(addr: SocketAddr) -> Self {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        socket.set_recv_buffer_size(2048).expect("an option of a socket");
        socket.set_tcp_mss(536).expect("an option of a socket");
        socket.connect_timeout(&addr.into(), Duration::from_secs(10)).expect("the server accepts");
        socket.set_tcp_nodelay(true).expect("an option of a socket");
        socket.set_nonblocking(true).expect("an option of a socket");
        Self { stream: socket.into(), answer: AnswerReader::new(false), eof: false, reset: false }
    }

    /// Closes so that the peer sees a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("an option of a socket");
    }

    /// Takes in at most `most` bytes of what has arrived, without waiting. Says how many there were.
    pub(crate) fn sip(&mut self, most: usize) -> usize {
        let mut piece = vec![0_u8; most];
        match self.stream.read(&mut piece) {
            Ok(0) => self.eof = true,
            Ok(read) => {
                self.answer.feed(&piece[..read]);
                return read;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => (self.eof, self.reset) = (true, true),
        }
        0
    }

    /// Writes what the kernel takes of `bytes` at the moment, perhaps nothing.
    pub(crate) fn send_some(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            outcome => outcome,
        }
    }

    /// Sends a request and waits for its answer, which must be whole.
    pub(crate) fn ask(&mut self, bytes: &[u8], max: Duration) -> Answer {
        self.request(bytes);
        self.whole_answer(max)
    }

    /// Waits for the next answer on the connection, whose request was sent earlier. It must be whole.
    pub(crate) fn next_answer(&mut self, max: Duration) -> Answer {
        self.begin(false);
        self.whole_answer(max)
    }

    fn whole_answer(&mut self, max: Duration) -> Answer {
        let answer = self.wait_answer(max);
        assert!(self.is_whole(), "the answer is cut: {:?}", self.answer);
        answer
    }

    /// Waits until the server has closed the connection, orderly and without another byte.
    pub(crate) fn wait_closed(&mut self, max: Duration) {
        self.begin(false);
        assert!(self.wait_until(max, Self::is_closed) || self.is_closed(), "still open after {max:?}");
        assert!(!self.reset, "the connection was reset");
        assert!(self.head().is_none() && self.answer.pending.is_empty(), "bytes behind the last answer: {self:?}");
    }

    /// The socket, for tests that do odd things with it.
    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends raw bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server takes the bytes");
    }

    /// Sends raw bytes to a server that may have gone.
    pub(crate) fn try_send(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                    wait_ready(&self.stream, PollFlags::OUT, deadline);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a request and begins to wait for its answer.
    pub(crate) fn request(&mut self, bytes: &[u8]) {
        self.begin(bytes.starts_with(b"HEAD "));
        self.send(bytes);
    }

    /// Begins to wait for the next answer; bytes that came behind the last one are its beginning.
    pub(crate) fn begin(&mut self, head_only: bool) {
        let rest = self.answer.take_rest();
        self.answer = AnswerReader::new(head_only);
        self.answer.feed(&rest);
    }

    /// Takes in what has arrived, without waiting. Says whether there was anything.
    pub(crate) fn pump(&mut self) -> bool {
        let mut piece = [0_u8; 16 * 1024];
        let mut any = false;
        while !self.eof {
            match self.stream.read(&mut piece) {
                Ok(0) => self.eof = true,
                Ok(read) => {
                    any = true;
                    self.answer.feed(&piece[..read]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => (self.eof, self.reset) = (true, true),
            }
        }
        any
    }

    /// Takes in what arrives until `enough` holds, the connection ends or `max` is over. Says whether it holds.
    pub(crate) fn wait_until(&mut self, max: Duration, mut enough: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + max;
        loop {
            self.pump();
            if enough(self) {
                return true;
            }
            if self.eof || Instant::now() >= deadline {
                return false;
            }
            wait_ready(&self.stream, PollFlags::IN, deadline);
        }
    }

    /// What has arrived of the body within `time`: waits all of it.
    pub(crate) fn arrived_within(&mut self, time: Duration) -> &[u8] {
        self.wait_until(time, |_| false);
        self.body()
    }

    /// Waits for the head.
    pub(crate) fn wait_head(&mut self, max: Duration) -> &Head {
        assert!(self.wait_until(max, |c| c.head().is_some()), "no answer within {max:?}");
        self.head().expect("it was waited for")
    }

    /// Waits for the whole answer.
    pub(crate) fn wait_answer(&mut self, max: Duration) -> Answer {
        self.wait_until(max, |connection| connection.is_over());
        assert!(self.is_over(), "no complete answer within {max:?}: {:?}", self.answer);
        Answer { head: self.head().expect("a head").clone(), body: self.body().to_vec() }
    }

    /// Whether the answer is over: by its framing, or because the connection ended.
    pub(crate) fn is_over(&self) -> bool {
        self.answer.is_complete() || self.eof
    }

    /// Whether the answer is whole: by its framing, or because the connection ended where that is its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.answer.is_complete() || (self.eof && !self.reset && self.answer.ends_with_the_connection())
    }

    /// Whether the server has closed or reset the connection.
    pub(crate) const fn is_closed(&self) -> bool {
        self.eof
    }

    /// Whether the connection was reset.
    pub(crate) const fn is_reset(&self) -> bool {
        self.reset
    }

    /// The head, if it is there.
    pub(crate) const fn head(&self) -> Option<&Head> {
        self.answer.head.as_ref()
    }

    /// What there is of the body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.answer.body
    }

    /// How many bytes have come behind the answer.
    pub(crate) const fn behind(&self) -> usize {
        self.answer.pending.len()
    }

    /// Takes the bytes that have come behind the answer: what a protocol that was changed to says.
    pub(crate) fn take_behind(&mut self) -> Vec<u8> {
        self.answer.take_rest()
    }

    /// The chunk sizes so far.
    pub(crate) fn chunks(&self) -> &[usize] {
        &self.answer.chunks
    }

    /// Says that we send nothing more.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("our own socket");
    }
}

/// The text of a GET request.
pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The text of a POST request.
pub(crate) fn post(target: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> AnswerReader {
        let mut reader = AnswerReader::new(false);
        bytes.chunks(step).for_each(|piece| reader.feed(piece));
        reader
    }

    #[test]
    fn answers_are_read_in_any_pieces() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: 1\r\na: 2\r\n\r\n\
            3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\nNEXT";
        for step in 1..chunked.len() {
            let mut reader = read(chunked, step);
            assert!(reader.is_complete());
            assert_eq!((reader.body.as_slice(), reader.chunks.as_slice()), (b"abcde".as_slice(), [3, 2, 0].as_slice()));
            assert_eq!(reader.take_rest(), b"NEXT");
            assert_eq!(reader.head.expect("a head").all("A").collect::<Vec<_>>(), ["1", "2"]);
        }
        assert!(!read(&chunked[..chunked.len() - 6], 7).is_complete());
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", 1).body, b"ab");
        let open = read(b"HTTP/1.0 200 OK\r\n\r\nabc", 1);
        assert!(!open.is_complete() && open.ends_with_the_connection() && open.body == b"abc");
    }
}
