//! A WebSocket server that sends back what it gets, made of the parts that the server is made of: what other people's test suites and clients
//! are held against. One thread a connection, no end of connections, no deadlines: for tests only.
//!
//!     cargo run --example ws_echo -- [--listen 127.0.0.1:0] [--deflate]
//!
//! It says where it listens on its first line of output. With `--deflate` it agrees on permessage-deflate with whoever offers it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use pushletd::wire::http::{self, HttpRequest, Progress, ReplyTo, RequestReader};
use pushletd::wire::v1;
use pushletd::wire::ws::{self, Bounds, Deflater, Fault, Inbound, Incoming, Opcode, Role, TAIL, Upgrade};

/// What the test suites send at most, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
const BOUNDS: Bounds = Bounds { frame: MESSAGE_BYTES_MAX, message: MESSAGE_BYTES_MAX };
/// So long a peer has to close its side, after a Close frame was sent.
const LINGER: Duration = Duration::from_secs(5);
/// No test looks at the clock of an answer.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn main() -> ExitCode {
    let (mut listen, mut deflate) = ("127.0.0.1:0".to_owned(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.len()) {
            ("--deflate", _) => deflate = true,
            ("--listen", 1..) => listen = arguments.next().unwrap_or_default(),
            _ => {
                eprintln!("usage: ws_echo [--listen ADDRESS] [--deflate]");
                return ExitCode::from(2);
            }
        }
    }
    match serve(&listen, deflate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ws_echo: {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: &str, deflate: bool) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    for stream in listener.incoming() {
        let stream = stream?;
        // A peer that is gone in the middle is nothing to speak of.
        std::thread::spawn(move || drop(converse(&stream, deflate)));
    }
    Ok(())
}

/// One connection from its first byte to its last.
fn converse(mut stream: &TcpStream, deflate: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    let Some(upgrade) = shake_hands(stream, deflate, &mut input)? else { return stream.shutdown(Shutdown::Write) };
    let mut peer = Peer::new(&upgrade);
    let (mut output, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let open = peer.take(&mut input, &mut output);
        stream.write_all(&output)?;
        output.clear();
        if !open {
            break;
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => input.extend_from_slice(&buffer[..bytes]),
        }
    }
    // RFC 6455 section 7.1.1: the server closes first. What still comes is read, so that its Close frame is not lost to a reset.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(LINGER))?;
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Reads the request and answers it. What came behind it stays in `input`. `None` if there will be no conversation.
fn shake_hands(mut stream: &TcpStream, deflate: bool, input: &mut Vec<u8>) -> io::Result<Option<Upgrade>> {
    let (mut reader, mut buffer, mut output) = (RequestReader::new(), vec![0; 16 * 1024], Vec::new());
    let agreed = loop {
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(None);
        }
        match reader.push(&buffer[..bytes]) {
            Ok((taken, Progress::Complete(request))) => {
                input.extend_from_slice(&buffer[taken..bytes]);
                break answer(&request, deflate, &mut output);
            }
            Ok(_) => {}
            Err(error) => {
                let _ = http::write_error(&mut output, &error, DATE);
                break None;
            }
        }
    };
    stream.write_all(&output)?;
    Ok(agreed)
}

fn answer(request: &HttpRequest, deflate: bool, output: &mut Vec<u8>) -> Option<Upgrade> {
    match ws::upgrade(&request.head, deflate) {
        Ok(upgrade) => {
            ws::switching_protocols(&upgrade, DATE, &[], output);
            Some(upgrade)
        }
        Err(problem) => {
            let to = ReplyTo { keep_alive: false, ..ReplyTo::from(&request.head) };
            let _ = v1::problem(output, to, &problem, DATE, &[]);
            None
        }
    }
}

/// The other end of a conversation.
struct Peer {
    deflate: bool,
    deflater: Option<Deflater>,
    /// There only while something is under way, as in the server.
    inbound: Option<Box<Inbound>>,
}

impl Peer {
    fn new(upgrade: &Upgrade) -> Self {
        Self { deflate: upgrade.deflate, deflater: upgrade.deflate.then(Deflater::new), inbound: None }
    }

    /// Takes what there is and appends what is to be said to it. Says whether the conversation goes on.
    fn take(&mut self, input: &mut Vec<u8>, output: &mut Vec<u8>) -> bool {
        let (mut taken, mut open) = (0, true);
        while open {
            match self.push(&input[taken..]) {
                Ok((bytes, incoming)) => {
                    taken += bytes;
                    match incoming {
                        Some(incoming) => open = self.answer(incoming, output),
                        None => break,
                    }
                }
                Err(fault) => {
                    ws::close(fault.code, fault.reason, output);
                    open = false;
                }
            }
        }
        input.drain(..taken);
        open
    }

    fn push(&mut self, input: &[u8]) -> Result<(usize, Option<Incoming>), Fault> {
        let deflate = self.deflate;
        let mut inbound = self.inbound.take().unwrap_or_else(|| Box::new(Inbound::new(Role::Server, deflate)));
        let came = inbound.push(input, BOUNDS)?;
        self.inbound = (!inbound.is_idle()).then_some(inbound);
        Ok(came)
    }

    fn answer(&mut self, incoming: Incoming, output: &mut Vec<u8>) -> bool {
        match incoming {
            Incoming::Text(text) => self.echo(Opcode::Text, text.as_bytes(), output),
            Incoming::Binary(bytes) => self.echo(Opcode::Binary, &bytes, output),
            Incoming::Ping(payload) => ws::write(Opcode::Pong, &payload, output),
            Incoming::Pong(_) => {}
            Incoming::Close(closing) => {
                match ws::answer_code(closing.as_ref()) {
                    Some(code) => ws::close(code, "", output),
                    None => ws::write(Opcode::Close, &[], output),
                }
                return false;
            }
        }
        true
    }

    /// Compressed, a message is made as one of the server's to many: a first part of its own, stored, and shared blocks behind it.
    fn echo(&mut self, opcode: Opcode, payload: &[u8], output: &mut Vec<u8>) {
        let Some(deflater) = &mut self.deflater else { return ws::write(opcode, payload, output) };
        let (own, shared) = payload.split_at(payload.len().min(1));
        let mut blocks = Vec::new();
        ws::stored_block(own, &mut blocks);
        deflater.deflate(shared, &mut blocks);
        blocks.truncate(blocks.len() - TAIL.len());
        ws::head(opcode, true, blocks.len(), output);
        output.extend_from_slice(&blocks);
    }
}
