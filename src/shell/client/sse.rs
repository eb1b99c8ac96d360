//! Server-Sent Events as they come (WHATWG HTML, section 9.2.6), in any pieces.

use crate::limits::CLIENT_EVENT_BYTES_MAX;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Its name; empty if it has none.
    pub(super) name: String,
    /// Its data, lines parted by line feeds.
    pub(super) data: String,
}

/// Takes one stream apart.
///
/// Invariant: `line` holds no line end.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed now belongs to the same line end.
    behind_return: bool,
    /// The first line has been read: from there on a byte order mark is a letter like others.
    begun: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    id: Option<String>,
    retry_ms: Option<u64>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl SseReader {
    /// Takes bytes in and hands on every event that is whole. The first error of `sink` ends it.
    ///
    /// # Errors
    ///
    /// What `sink` says; or, by `endless`, that an event is longer than any that a server sends.
    pub(super) fn feed<E>(
        &mut self,
        bytes: &[u8],
        endless: impl Fn() -> E,
        sink: &mut dyn FnMut(&Self, Message) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        if std::mem::take(&mut self.behind_return) && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
            self.line.extend_from_slice(&rest[..end]);
            let is_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_return {
                self.behind_return = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            if let Some(message) = self.take_line() {
                sink(self, message)?;
            }
        }
        self.line.extend_from_slice(rest);
        if self.line.len().saturating_add(self.data.len()) > CLIENT_EVENT_BYTES_MAX { Err(endless()) } else { Ok(()) }
    }

    /// The position of the last event that had one.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How long the server wants its clients to wait before they come again, in milliseconds.
    pub(super) const fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn take_line(&mut self) -> Option<Message> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        let message = if line.is_empty() {
            self.dispatch()
        } else {
            self.field(&line);
            None
        };
        // The memory is kept for the next line.
        line.clear();
        self.line = line;
        message
    }

    fn field(&mut self, line: &[u8]) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => value.clone_into(&mut self.name),
            b"id" if !value.contains(&0) => self.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let digits = String::from_utf8_lossy(value).parse().ok();
                self.retry_ms = digits.or(self.retry_ms);
            }
            // A comment has no name; other fields are of a later time.
            _ => {}
        }
    }

    /// An empty line ends an event. One without data is none.
    fn dispatch(&mut self) -> Option<Message> {
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        data.pop()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Some(Message { name: text(name), data: text(data) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names and data in pieces of `step`, and what is remembered behind them.
    fn read(bytes: &[u8], step: usize) -> (Vec<(String, String)>, Option<String>, Option<u64>) {
        let mut reader = SseReader::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            let taken = reader.feed(piece, || "endless", &mut |_, message| {
                found.push((message.name, message.data));
                Ok(())
            });
            assert_eq!(taken, Ok(()));
        }
        (found, reader.last_id().map(str::to_owned), reader.retry_ms())
    }

    #[test]
    fn streams_are_read_in_any_pieces() {
        let text = "\u{feff}: hb\r\n\r\nretry: 3127\revent: session\rdata: {}\r\rid: 7\ndata\ndata:  two \u{4e2d}\n\n\
            event: nothing\n\nretry: 1x\nother: x\nid: a\0b\ndata:x:y\r\n\r\ndata: not whole";
        let pairs = [("session", "{}"), ("", "\n two \u{4e2d}"), ("", "x:y")];
        let expected: Vec<_> = pairs.map(|(name, data)| (name.to_owned(), data.to_owned())).into();
        for step in 1..=text.len() {
            let (found, id, retry) = read(text.as_bytes(), step);
            assert_eq!((found, id.as_deref(), retry), (expected.clone(), Some("7"), Some(3127)), "{step}");
        }
    }

    /// The bytes that the server itself writes, whatever line ends a publisher has put into his data.
    #[test]
    fn what_the_server_writes_is_read() {
        use crate::wire::v1;
        let mut bytes = Vec::new();
        v1::session_event(("ID", "ADDRESS"), 20_000, 4_000, 3, Some("x\ny"), &mut bytes);
        bytes.extend_from_slice(v1::HEARTBEAT);
        v1::end_event(crate::protocol::EndReason::QueueFull, &mut bytes);
        for step in 1..=bytes.len() {
            let (found, _, retry) = read(&bytes, step);
            let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!((names, retry), (vec!["session", "reset", "end"], Some(4_000)));
            assert!(found[2].1.contains("\"reason\":\"queue-full\""), "{found:?}");
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut reader = SseReader::default();
        let mut fed = Ok(());
        let piece = [b"data: ".as_slice(), &[b'x'; 64 * 1024], b"\n"].concat();
        for _ in 0..=CLIENT_EVENT_BYTES_MAX / piece.len() {
            fed = fed.and_then(|()| reader.feed(&piece, || "endless", &mut |_, _| Ok(())));
        }
        assert_eq!(fed, Err("endless"));
    }

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'd'), any::<u8>()]
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_pieces_do_not_matter(
            mut bytes in proptest::collection::vec(byte(), 0..120), step in 1..9_usize,
        ) {
            bytes.extend_from_slice(b"\n\ndata: a\r\ndata: b\n\n");
            let whole = read(&bytes, bytes.len());
            prop_assert_eq!(read(&bytes, step), whole.clone());
            prop_assert_eq!(whole.0.last().map(|(_, data)| data.as_str()), Some("a\nb"));
        }
    }
}
