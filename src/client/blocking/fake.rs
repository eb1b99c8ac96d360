//! A server for tests: it says over real sockets what it is told to.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::wire::ws::{self, Bounds, Inbound, Incoming, Opcode, Role};

/// Nothing of this takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The server's end of one connection.
pub(crate) struct Peer {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// The request of the handshake.
    pub(crate) head: String,
    inbound: Inbound,
    rest: Vec<u8>,
}

pub(crate) const SESSION: &str =
    r#"{"type":"session","session":"ID","address":"ADDR","heartbeat_ms":20000,"message_max":262144}"#;

impl Peer {
    /// The next connection, with its request.
    pub(crate) fn next(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a socket");
        let mut peer =
            Self { stream, head: String::new(), inbound: Inbound::new(Role::Server, false), rest: Vec::new() };
        while !peer.head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            peer.stream.read_exact(&mut byte).expect("a request");
            peer.head.push(char::from(byte[0]));
        }
        peer
    }

    /// The next connection, with a session.
    pub(crate) fn join(listener: &TcpListener) -> Self {
        let mut peer = Self::upgrade(listener);
        peer.say(SESSION);
        peer
    }

    /// The next connection, before its session is there.
    pub(crate) fn upgrade(listener: &TcpListener) -> Self {
        let mut peer = Self::next(listener);
        let key = peer.head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
             Sec-WebSocket-Protocol: pushlet.v1.json\r\n\r\n",
            ws::accept_key(key)
        );
        peer.stream.write_all(head.as_bytes()).expect("a connection");
        peer
    }

    /// Sends a message.
    pub(crate) fn say(&mut self, text: &str) {
        let mut frame = Vec::new();
        ws::write(Opcode::Text, text.as_bytes(), &mut frame);
        self.stream.write_all(&frame).expect("a connection");
    }

    /// Sends a Close frame.
    pub(crate) fn close(&mut self, code: u16) {
        let mut frame = Vec::new();
        ws::close(code, "", &mut frame);
        self.stream.write_all(&frame).expect("a connection");
    }

    /// What the client says next.
    pub(crate) fn hear(&mut self) -> Incoming {
        let mut piece = [0; 4096];
        loop {
            let rest = std::mem::take(&mut self.rest);
            let bounds = Bounds { frame: 1 << 20, message: 1 << 20 };
            let (taken, incoming) = self.inbound.push(&rest, bounds).expect("frames of a client");
            self.rest = rest[taken..].to_vec();
            if let Some(incoming) = incoming {
                return incoming;
            }
            let count = self.stream.read(&mut piece).expect("something comes");
            assert!(count > 0, "the connection has ended");
            self.rest.extend_from_slice(&piece[..count]);
        }
    }

    /// The next request, which must hold all of `words`; its number comes out.
    pub(crate) fn asked(&mut self, words: &[&str]) -> u64 {
        let Incoming::Text(text) = self.hear() else { panic!("no request with {words:?}") };
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not in {text}");
        let request: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        request["id"].as_u64().expect("a number")
    }

    /// Hears a request and acks it.
    pub(crate) fn acks(&mut self, words: &[&str]) {
        let id = self.asked(words);
        self.say(&format!(r#"{{"type":"ack","id":{id},"accepted":1,"refused":0}}"#));
    }
}
