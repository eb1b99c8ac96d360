//! What a client reads: HTTP answers and the JSON events in them, by a reader that shares nothing with the program.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::Value;

/// One event's fields.
pub(crate) type Event = BTreeMap<String, String>;

/// Something whole that has come.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An answer begins.
    Head {
        status: u16,
    },
    /// An event of it, and how many bytes of the connection had come when it was whole.
    Event {
        event: Event,
        end: u64,
    },
    /// A message that answers a request.
    Answer(Value),
    Ping(Vec<u8>),
    Pong,
    /// The frame behind which nothing comes, with its code.
    Close(Option<u16>),
    /// The answer is whole. `text` is what it said if it was an error.
    End {
        text: String,
    },
}

#[derive(Debug)]
enum State {
    Head,
    Length(usize),
    ChunkHead,
    ChunkData(usize),
    ChunkEnd,
    LastChunkEnd,
    /// Nobody can tell whether such an answer is whole or was cut off.
    UntilClose,
    /// It is a WebSocket; messages may be compressed.
    Frames {
        deflate: bool,
    },
    /// Nothing more may come.
    Closed,
}

/// The answers of one connection, from the first byte to the last.
#[derive(Debug)]
pub(crate) struct Reader {
    state: State,
    /// The head, or chunk head, that is arriving.
    line: Vec<u8>,
    status: u16,
    /// Bytes that have come in all.
    taken: u64,
    json: Json,
    /// The event that is arriving, where the answer is an event stream.
    stream: Option<Vec<u8>>,
    /// Events of a chunk that is not whole yet. Who acts on half a chunk may hear its event twice.
    held: Vec<(Event, u64)>,
    text: Vec<u8>,
    /// The session of a WebSocket was told why it ends.
    ended: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            status: 0,
            taken: 0,
            json: Json::default(),
            stream: None,
            held: Vec::new(),
            text: Vec::new(),
            ended: false,
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) {
        for byte in bytes {
            self.taken += 1;
            self.byte(*byte, heard);
        }
    }

    fn byte(&mut self, byte: u8, heard: &mut Vec<Heard>) {
        match self.state {
            State::Head => {
                self.line.push(byte);
                if self.line.ends_with(b"\r\n\r\n") {
                    self.head(heard);
                }
            }
            State::Length(left) => {
                self.content(byte, heard);
                self.state = State::Length(left - 1);
                if left == 1 {
                    self.end(heard);
                }
            }
            State::ChunkHead => {
                self.line.push(byte);
                if self.line.ends_with(b"\r\n") {
                    let digits = std::str::from_utf8(&self.line[..self.line.len() - 2]).expect("a chunk head is text");
                    let length = usize::from_str_radix(digits, 16).expect("a chunk length is a number");
                    self.line.clear();
                    self.state = if length == 0 { State::LastChunkEnd } else { State::ChunkData(length) };
                }
            }
            State::ChunkData(left) => {
                self.content(byte, heard);
                self.state = if left == 1 { State::ChunkEnd } else { State::ChunkData(left - 1) };
            }
            State::ChunkEnd | State::LastChunkEnd => {
                self.line.push(byte);
                if self.line.len() == 2 {
                    assert_eq!(self.line, b"\r\n", "the end of a chunk");
                    self.line.clear();
                    let taken = self.taken;
                    heard.extend(self.held.drain(..).map(|(event, _)| Heard::Event { event, end: taken }));
                    if matches!(self.state, State::LastChunkEnd) {
                        self.end(heard);
                    } else {
                        self.state = State::ChunkHead;
                    }
                }
            }
            State::UntilClose => self.content(byte, heard),
            State::Frames { deflate } => {
                self.line.push(byte);
                if frame_length(&self.line) == Some(self.line.len()) {
                    let frame = std::mem::take(&mut self.line);
                    self.frame(&frame, deflate, heard);
                }
            }
            State::Closed => panic!("{byte:#x} behind a Close frame"),
        }
    }

    /// Whether a message has come in part, and no more may come.
    pub(crate) fn is_in_message(&self) -> bool {
        matches!(self.state, State::Frames { .. }) && self.line.first().is_some_and(|first| first & 0x0f == 1)
    }

    /// A whole frame of a server (RFC 6455 section 5.2).
    fn frame(&mut self, frame: &[u8], deflate: bool, heard: &mut Vec<Heard>) {
        let (first, head) = (frame[0], [2, 4, 10][usize::from(frame[1] > 125) + usize::from(frame[1] == 127)]);
        let payload = &frame[head..];
        assert_eq!(first & 0xb0, 0x80, "each message is one frame");
        let compressed = first & 0x40 != 0;
        assert!(!compressed || (deflate && first & 0x0f == 1), "compressed, and nobody asked for it");
        assert!(!std::mem::take(&mut self.ended) || first & 0x0f == 8, "behind its end comes a Close frame");
        heard.push(match first & 0x0f {
            1 => {
                let mut text = payload.to_vec();
                if compressed {
                    let stream = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
                    text.clear();
                    flate2::read::DeflateDecoder::new(&stream[..]).read_to_end(&mut text).expect("DEFLATE");
                }
                let text = String::from_utf8(text).expect("a message is text");
                let object: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                match object["type"].as_str() {
                    Some("ack" | "nack" | "pong") => Heard::Answer(object),
                    kind => {
                        self.ended = kind == Some("end");
                        let name = kind.unwrap_or("message");
                        Heard::Event { event: told(name, &object), end: self.taken }
                    }
                }
            }
            8 => {
                self.state = State::Closed;
                Heard::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code)))
            }
            9 => Heard::Ping(payload.to_vec()),
            10 => {
                assert_eq!(payload, b"between");
                Heard::Pong
            }
            other => panic!("opcode {other}"),
        });
    }

    fn head(&mut self, heard: &mut Vec<Heard>) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8(line).expect("an answer's head is text");
        self.status = text.get(9..12).and_then(|code| code.parse().ok()).expect("a status");
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        self.json = Json::default();
        self.stream = field("Content-Type: text/event-stream").map(|_| Vec::new());
        heard.push(Heard::Head { status: self.status });
        if self.status == 101 {
            let deflate = field("Sec-WebSocket-Extensions: ").is_some();
            assert_eq!(field("Upgrade: "), Some("websocket"), "{text}");
            self.state = State::Frames { deflate };
        } else if self.status == 204 {
            self.end(heard);
        } else if field("Transfer-Encoding: chunked").is_some() {
            self.state = State::ChunkHead;
        } else if let Some(length) = field("Content-Length: ") {
            self.state = State::Length(length.parse().expect("a length"));
            if matches!(self.state, State::Length(0)) {
                self.end(heard);
            }
        } else {
            self.state = State::UntilClose;
        }
    }

    fn content(&mut self, byte: u8, heard: &mut Vec<Heard>) {
        if self.status != 200 {
            self.text.push(byte);
            return;
        }
        let whole = match &mut self.stream {
            Some(block) => stream_byte(block, byte),
            None => self.json.byte(byte),
        };
        if let Some(event) = whole {
            if matches!(self.state, State::ChunkData(_)) {
                self.held.push((event, self.taken));
            } else {
                heard.push(Heard::Event { event, end: self.taken });
            }
        }
    }

    fn end(&mut self, heard: &mut Vec<Heard>) {
        if self.status == 200 {
            self.json.check_whole();
            assert!(self.stream.as_ref().is_none_or(Vec::is_empty), "an event stream that ends within an event");
        }
        self.state = State::Head;
        let text = String::from_utf8(std::mem::take(&mut self.text)).expect("an error is text");
        heard.push(Heard::End { text });
    }
}

/// Takes a byte of an event stream. An event is whole with the empty line behind it, and is told in the words of the Pushlet door.
fn stream_byte(block: &mut Vec<u8>, byte: u8) -> Option<Event> {
    block.push(byte);
    if !block.ends_with(b"\n\n") {
        return None;
    }
    let text = String::from_utf8(std::mem::take(block)).expect("an event stream is text");
    let (mut name, mut data) = ("message", "");
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}")) {
            ("event", value) => name = value,
            ("data", value) => data = value,
            ("" | "retry", _) => {}
            other => panic!("{other:?} in an event stream"),
        }
    }
    if data.is_empty() {
        assert_eq!(text, ": hb\n\n");
        return Some(told("heartbeat", &Value::Null));
    }
    let object: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
    Some(told(name, &object))
}

/// How long the frame is that begins so, once that is known. Lengths are in their shortest form, and nothing is masked.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (second, rest) = (*bytes.get(1)?, &bytes[2..]);
    assert!(second < 128, "a server's frame is not masked");
    Some(match second {
        126 => {
            let length = u16::from_be_bytes(*rest.first_chunk()?);
            assert!(length > 125, "a length in a longer form");
            4 + usize::from(length)
        }
        127 => {
            let length = u64::from_be_bytes(*rest.first_chunk()?);
            assert!((0x1_0000..1 << 24).contains(&length), "a length of {length}");
            10 + length as usize
        }
        short => 2 + usize::from(short),
    })
}

/// What a modern door says, in the words of the Pushlet door.
fn told(name: &str, object: &Value) -> Event {
    let word = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let member = |name: &str| object[name].as_str().unwrap_or_else(|| panic!("no {name} in {object}"));
    match name {
        "heartbeat" => [word("p_event", "hb")].into(),
        "session" => {
            [word("p_event", "session"), word("p_id", member("session")), word("p_from", member("address"))].into()
        }
        "end" => [word("p_event", "abort"), word("p_reason", member("text"))].into(),
        "message" => {
            let fields = object["data"].as_object().unwrap_or_else(|| panic!("no fields: {object}"));
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let mut event: Event = fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            event.extend([word("p_event", "data"), word("p_subject", member("subject"))]);
            event.extend(object.get("from").map(|from| ("p_from".to_owned(), text(from))));
            event.extend(object.get("lost").map(|lost| ("p_lost".to_owned(), lost.to_string())));
            event
        }
        other => panic!("{other:?} of a modern door"),
    }
}

/// Flat JSON objects, one a line, alone or as the elements of an array.
#[derive(Debug, Default)]
struct Json {
    object: Vec<u8>,
    in_object: bool,
    in_string: bool,
    escaped: bool,
    opened: bool,
    closed: bool,
    events: usize,
    commas: usize,
}

impl Json {
    /// Takes a byte. An event is whole with its line.
    fn byte(&mut self, byte: u8) -> Option<Event> {
        if self.in_object {
            self.object.push(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'}' if !self.in_string => self.in_object = false,
                _ => {}
            }
            return None;
        }
        match byte {
            b'{' => {
                assert!(self.object.is_empty() && !self.closed, "an object behind something that is not whole");
                self.in_object = true;
                self.object.push(byte);
            }
            b'[' => assert!(!std::mem::replace(&mut self.opened, true) && self.events == 0, "an array in the middle"),
            b']' => assert!(!std::mem::replace(&mut self.closed, true) && self.opened, "an array that never began"),
            b',' => self.commas += 1,
            b'\n' => {
                let object = std::mem::take(&mut self.object);
                self.events += 1;
                return Some(serde_json::from_slice(&object).unwrap_or_else(|error| {
                    panic!("{error}: {}", String::from_utf8_lossy(&object));
                }));
            }
            other => panic!("{other:#x} between two events"),
        }
        None
    }

    fn check_whole(&self) {
        assert!(!self.in_object && self.object.is_empty(), "an answer that ends within an event");
        assert_eq!(self.opened, self.closed, "an array without an end");
        let between = if self.opened { self.events.saturating_sub(1) } else { 0 };
        assert_eq!(self.commas, between, "commas between {} events", self.events);
    }
}
