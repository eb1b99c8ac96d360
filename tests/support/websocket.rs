//! A WebSocket client for tests: it sends any frames, and reads what comes strictly, after RFC 6455 and RFC 7692.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Connection, Head};
use super::pushlet::SOON;

/// A key, and what it must be accepted with (RFC 6455 section 1.3 has both).
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame that has come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    /// A message.
    Object(Value),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code and reason, if there is one.
    Close(Option<(u16, String)>),
}

/// The handshake, with further fields.
pub(crate) fn handshake(query: &str, fields: &str) -> Vec<u8> {
    format!(
        "GET /v1/ws?{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// A frame of a client: `first` is its first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        long @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A message of text, whole.
pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// The same, compressed.
pub(crate) fn deflated(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("a vector takes all");
    encoder.flush().expect("a vector takes all");
    let mut bytes = encoder.get_ref().clone();
    assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
    bytes.truncate(bytes.len() - 4);
    frame(0xc1, &bytes)
}

/// One WebSocket.
pub(crate) struct WebSocket {
    pub(crate) connection: Connection,
    /// Answers pings.
    pub(crate) is_alive: bool,
    raw: Vec<u8>,
    deflate: bool,
    got: Vec<Got>,
    /// How many messages came compressed.
    pub(crate) inflated: usize,
    next_id: u64,
}

impl WebSocket {
    pub(crate) fn open(addr: SocketAddr, query: &str) -> Self {
        Self::open_on(Connection::open(addr), query, "")
    }

    /// The same on this connection and with these fields in the handshake; waits for the first message.
    pub(crate) fn open_on(mut connection: Connection, query: &str, fields: &str) -> Self {
        connection.request(&handshake(query, fields));
        Self::begun(connection)
    }

    /// One whose handshake has been sent.
    pub(crate) fn begun(mut connection: Connection) -> Self {
        let head = connection.wait_head(SOON).clone();
        assert_eq!((head.status, head.get("sec-websocket-accept")), (101, Some(ACCEPT)), "{head:?}");
        let token = |name: &str| head.get(name).map(str::to_ascii_lowercase);
        assert_eq!((token("upgrade").as_deref(), token("connection").as_deref()), (Some("websocket"), Some("upgrade")));
        assert_eq!((head.get("content-length"), head.get("transfer-encoding")), (None, None));
        let deflate = head.get("sec-websocket-extensions").is_some();
        let (raw, got) = (Vec::new(), Vec::new());
        let mut socket = Self { connection, is_alive: true, raw, deflate, got, inflated: 0, next_id: 0 };
        socket.wait(SOON, |got| !got.is_empty());
        assert_eq!(socket.first()["type"], "session");
        socket
    }

    pub(crate) fn head(&self) -> &Head {
        self.connection.head().expect("it was waited for")
    }

    /// The message that says what the session is.
    pub(crate) fn first(&self) -> &Value {
        match &self.got[0] {
            Got::Object(object) => object,
            other => panic!("{other:?} before the session"),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.first()["session"].as_str().expect("a name").to_owned()
    }

    /// Everything that has come.
    pub(crate) fn got(&self) -> &[Got] {
        &self.got
    }

    /// The objects among it.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Value> {
        self.got.iter().filter_map(|got| match got {
            Got::Object(object) => Some(object),
            _ => None,
        })
    }

    /// The published events among those.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.objects().filter(|object| object.get("type").is_none()).cloned().collect()
    }

    /// Their data.
    pub(crate) fn data(&self) -> Vec<Value> {
        self.events().into_iter().map(|mut event| event["data"].take()).collect()
    }

    /// The frame that ended it.
    pub(crate) fn closed(&self) -> Option<&Option<(u16, String)>> {
        match self.got.last() {
            Some(Got::Close(why)) => Some(why),
            _ => None,
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.connection.send(bytes);
    }

    /// Sends a request with an id of its own; says which.
    pub(crate) fn request(&mut self, mut object: Value) -> u64 {
        self.next_id += 1;
        object["id"] = json!(self.next_id);
        self.send(&text(&object.to_string()));
        self.next_id
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, object: Value) -> Value {
        let id = self.request(object);
        self.wait_answer(id)
    }

    /// Waits for the answer of a request.
    pub(crate) fn wait_answer(&mut self, id: u64) -> Value {
        let is_it = |got: &Got| matches!(got, Got::Object(object) if object.get("id") == Some(&json!(id)));
        self.wait(SOON, |got| got.iter().any(is_it));
        self.objects().find(|object| object.get("id") == Some(&json!(id))).expect("it was waited for").clone()
    }

    /// Takes in at most so much of what has arrived, without waiting. Says whether there was something.
    pub(crate) fn sip(&mut self, most: usize) -> bool {
        let came = self.connection.sip(most) > 0;
        self.parse();
        came
    }

    /// Waits until what has come is enough. Says whether it is; not, if the connection ends before.
    pub(crate) fn wait_until(&mut self, max: Duration, enough: impl Fn(&[Got]) -> bool) -> bool {
        let deadline = Instant::now() + max;
        let mut seen = usize::MAX;
        loop {
            self.parse();
            if std::mem::replace(&mut seen, self.got.len()) != self.got.len() && enough(&self.got) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.connection.wait_until(left, |connection| connection.behind() > 0) {
                self.parse();
                return enough(&self.got);
            }
        }
    }

    /// The same of what must come.
    pub(crate) fn wait(&mut self, max: Duration, enough: impl Fn(&[Got]) -> bool) {
        let held = self.wait_until(max, enough);
        let last = self.got.len().saturating_sub(12);
        assert!(held, "not within {max:?}; the last of {}: {:?}", self.got.len(), &self.got[last..]);
    }

    /// Waits for so many events.
    pub(crate) fn wait_data(&mut self, many: usize) -> Vec<Value> {
        let is_event = |got: &&Got| matches!(got, Got::Object(object) if object.get("type").is_none());
        self.wait(SOON, |got| got.iter().filter(is_event).count() >= many);
        self.data()
    }

    /// Waits for the Close frame, which must say this, and then for the end of the connection.
    pub(crate) fn wait_close(&mut self, code: u16) -> String {
        self.wait(SOON, |got| matches!(got.last(), Some(Got::Close(_))));
        let reason = match self.closed() {
            Some(Some((told, reason))) if *told == code => reason.clone(),
            other => panic!("{other:?} instead of {code}"),
        };
        self.wait_end();
        reason
    }

    /// Waits for the end of what the server sends; nothing may be cut.
    pub(crate) fn wait_end(&mut self) {
        assert!(self.connection.wait_until(SOON, Connection::is_closed) || self.connection.is_closed(), "still open");
        self.parse();
        assert!(self.raw.is_empty(), "a frame is cut: {:?}", self.raw);
    }

    /// The message before the Close frame.
    pub(crate) fn end(&self) -> &Value {
        let end = self.objects().last().expect("there is the first");
        assert_eq!(end["type"], "end");
        end
    }

    fn parse(&mut self) {
        self.connection.pump();
        self.raw.extend_from_slice(&self.connection.take_behind());
        let raw = std::mem::take(&mut self.raw);
        let mut rest = &raw[..];
        while let Some((first, payload, behind)) = split(rest) {
            assert!(self.closed().is_none(), "something behind the Close frame: {payload:?}");
            let got = self.read(first, payload);
            if let (Got::Ping(payload), true) = (&got, self.is_alive) {
                let pong = frame(0x8a, payload);
                let _ = self.connection.try_send(&pong);
            }
            self.got.push(got);
            rest = behind;
        }
        self.raw = rest.to_vec();
    }

    fn read(&mut self, first: u8, payload: &[u8]) -> Got {
        assert_eq!(first & 0xb0, 0x80, "each frame is whole and has no other reserved bit: {first:#x}");
        let compressed = first & 0x40 != 0;
        assert!(!compressed || (self.deflate && first & 0x0f == 1), "compressed without being asked");
        if first & 0x08 != 0 {
            assert!(payload.len() <= 125, "a control frame is short");
        }
        match first & 0x0f {
            1 => {
                let mut text = payload.to_vec();
                if compressed {
                    self.inflated += 1;
                    let stream = [payload, &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
                    text.clear();
                    flate2::read::DeflateDecoder::new(&stream[..]).read_to_end(&mut text).expect("DEFLATE");
                }
                let object: Value = serde_json::from_slice(&text)
                    .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
                assert!(object.is_object(), "{object}");
                Got::Object(object)
            }
            8 if payload.is_empty() => Got::Close(None),
            8 => {
                let reason = std::str::from_utf8(&payload[2..]).expect("UTF-8").to_owned();
                Got::Close(Some((u16::from_be_bytes([payload[0], payload[1]]), reason)))
            }
            9 => Got::Ping(payload.to_vec()),
            10 => Got::Pong(payload.to_vec()),
            other => panic!("opcode {other}"),
        }
    }
}

/// The first whole frame: its first byte, its payload, and what is behind it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [first, second, rest @ ..] = bytes else { return None };
    assert_eq!(second & 0x80, 0, "a server's frame is not masked");
    let (length, rest) = match second {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(*short), rest),
    };
    let shortest = match second {
        126 => length > 125,
        127 => length > 0xffff,
        _ => true,
    };
    assert!(shortest && length < 1 << 30, "a length of {length} in {second}");
    let length = length as usize;
    (rest.len() >= length).then(|| (*first, &rest[..length], &rest[length..]))
}
