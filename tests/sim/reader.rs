//! What a client reads: HTTP answers and the JSON events in them, by a reader that shares nothing with the program.

use std::collections::BTreeMap;

/// One event's fields.
pub(crate) type Event = BTreeMap<String, String>;

/// Something whole that has come.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An answer begins.
    Head { status: u16 },
    /// An event of it, and how many bytes of the connection had come when it was whole.
    Event { event: Event, end: u64 },
    /// The answer is whole. `text` is what it said if it was an error.
    End { text: String },
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
        }
    }

    fn head(&mut self, heard: &mut Vec<Heard>) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8(line).expect("an answer's head is text");
        self.status = text.get(9..12).and_then(|code| code.parse().ok()).expect("a status");
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        self.json = Json::default();
        self.stream = field("Content-Type: text/event-stream").map(|_| Vec::new());
        heard.push(Heard::Head { status: self.status });
        if field("Transfer-Encoding: chunked").is_some() {
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
    let word = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    if data.is_empty() {
        assert_eq!(text, ": hb\n\n");
        return Some([word("p_event", "hb")].into());
    }
    let object: serde_json::Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
    let member = |name: &str| object[name].as_str().unwrap_or_else(|| panic!("no {name} in {data}"));
    Some(match name {
        "session" => {
            [word("p_event", "session"), word("p_id", member("session")), word("p_from", member("address"))].into()
        }
        "end" => [word("p_event", "abort"), word("p_reason", member("text"))].into(),
        "message" => {
            let fields = object["data"].as_object().unwrap_or_else(|| panic!("no fields: {data}"));
            let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
            let mut event: Event = fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
            event.extend([word("p_event", "data"), word("p_subject", member("subject"))]);
            event.extend(object.get("from").map(|from| ("p_from".to_owned(), text(from))));
            event.extend(object.get("lost").map(|lost| ("p_lost".to_owned(), lost.to_string())));
            event
        }
        other => panic!("{other:?} in an event stream"),
    })
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
