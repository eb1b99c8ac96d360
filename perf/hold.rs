//! Holds many streams against a running pushletd and checks that each gets every event once and in order.
//!
//! ```text
//! cargo run --release -- --listen 127.0.0.1:18080 --admin off &
//! cargo run --release --example hold -- 127.0.0.1:18080 --sessions 15000 --events 20 --server-pid $!
//! cargo run --release --example hold -- 127.0.0.1:18080 --sessions 1000 --stalled 50 --events 20
//! cargo run --release --example hold -- 127.0.0.1:18080 --transport sse --sessions 15000 --events 20 --server-pid $!
//! ```
//!
//! `--transport sse` holds Server-Sent Events instead of Pushlet streams, `--transport ws` WebSockets.
//!
//! With `--stalled N`, each round measures `--events` publishes, then opens N more sessions that never read, fills their queues, and measures
//! again. The exit code is 1 if a healthy session lost an event or got one twice or out of order.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pushletd::client::{Conversation, Incoming, Offer};
use pushletd::time::Instant as Moment;
use rustix::event::epoll::{self, EventData, EventFlags};

/// No event at all for this long means that some are lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Silence is looked at by [`SILENCE`], not by the conversations: their clock stands still.
const START: Moment = Moment::ZERO;

/// What fills the queue and the kernel buffers of a session that never reads: 4.8 MB.
const SATURATION_EVENTS: u32 = 60;
const SATURATION_BYTES: usize = 80_000;

struct Options {
    address: String,
    sessions: usize,
    stalled: usize,
    rounds: u32,
    events: u32,
    payload: usize,
    server: Option<u32>,
    request: &'static str,
}

/// What opens a stream, by the name of its transport.
const TRANSPORTS: [(&str, &str); 3] = [
    ("stream", "/pushlet.srv?p_event=join-listen&p_subject=/hold&p_format=json"),
    ("sse", "/v1/sse?subject=/hold"),
    ("ws", WEB_SOCKET),
];
const WEB_SOCKET: &str = "/v1/ws?subject=/hold";

impl Options {
    fn read() -> Result<Self, String> {
        let mut args = std::env::args().skip(1);
        let address = args.next().ok_or(
            "usage: hold ADDRESS [--transport stream|sse|ws] [--sessions N] [--stalled N] [--rounds N] [--events N] [--payload BYTES] [--server-pid PID]",
        )?;
        let request = TRANSPORTS[0].1;
        let mut options =
            Self { address, sessions: 1000, stalled: 0, rounds: 5, events: 20, payload: 16, server: None, request };
        while let Some(name) = args.next() {
            let text = args.next().ok_or_else(|| format!("{name} wants a value"))?;
            if name == "--transport" {
                let known = TRANSPORTS.into_iter().find(|(name, _)| *name == text);
                options.request = known.ok_or_else(|| format!("{name} is stream, sse or ws, not {text:?}"))?.1;
                continue;
            }
            let number: u32 = text.parse().map_err(|_| format!("{name}: {text:?} is no number"))?;
            match name.as_str() {
                "--sessions" => options.sessions = number as usize,
                "--stalled" => options.stalled = number as usize,
                "--rounds" => options.rounds = number,
                "--events" => options.events = number,
                "--payload" => options.payload = number as usize,
                "--server-pid" => options.server = Some(number),
                other => return Err(format!("unknown option {other}")),
            }
        }
        Ok(options)
    }
}

/// One healthy listener.
struct Listener {
    id: String,
    socket: OwnedFd,
    line: Vec<u8>,
    web: Option<Conversation>,
    next: u32,
    faults: u32,
}

/// A publisher on one keep-alive connection.
struct Publisher {
    stream: TcpStream,
    id: String,
}

impl Publisher {
    fn join(address: &str) -> io::Result<Self> {
        let mut publisher = Self { stream: TcpStream::connect(address)?, id: String::new() };
        publisher.stream.set_nodelay(true)?;
        let answer = publisher.ask("p_event=join&p_format=json")?;
        publisher.id =
            field(&answer, "p_id").ok_or_else(|| io::Error::other(format!("no p_id in {answer}")))?.to_owned();
        Ok(publisher)
    }

    fn ask(&mut self, form: &str) -> io::Result<String> {
        let length = form.len();
        let head = format!("POST /pushlet.srv HTTP/1.1\r\nHost: perf\r\nContent-Length: {length}\r\n\r\n");
        self.stream.write_all(&[head.as_bytes(), form.as_bytes()].concat())?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let came = self.stream.read(&mut buffer)?;
            answer.extend_from_slice(&buffer[..came]);
            let text = String::from_utf8_lossy(&answer);
            if came == 0 || text.ends_with("]\n") || text.ends_with(']') {
                return Ok(text.into_owned());
            }
        }
    }

    fn publish(&mut self, number: u32, payload: &str) -> io::Result<()> {
        let query = format!("p_event=publish&p_id={}&p_subject=/hold&n={number}&pad={payload}", self.id);
        let answer = self.ask(&query)?;
        if answer.contains("publish-ack") { Ok(()) } else { Err(io::Error::other(answer)) }
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("\"{name}\":\""))? + name.len() + 4;
    text[start..].split('"').next()
}

/// Opens a stream. One that will never read gets a small buffer, so that it stalls after some hundred kilobytes instead of some megabytes.
fn open(address: &str, request: &str, stalled: bool) -> io::Result<TcpStream> {
    let address: std::net::SocketAddr = address.parse().map_err(io::Error::other)?;
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if stalled {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    let head = match request {
        WEB_SOCKET => converse()?.1,
        _ => format!("GET {request} HTTP/1.1\r\nHost: perf\r\n\r\n").into_bytes(),
    };
    stream.write_all(&head)?;
    Ok(stream)
}

/// A conversation over a WebSocket, and what begins it. All have the same key: there is nobody in between who could be misled.
fn converse() -> io::Result<(Conversation, Vec<u8>)> {
    let offer = Offer { host: "perf", target: WEB_SOCKET, bearer: None, deflate: false, nonce: [7; 16] };
    let mut request = Vec::new();
    let conversation = Conversation::new(&offer, START, &mut request).map_err(io::Error::other)?;
    Ok((conversation, request))
}

/// Resident memory of a process in bytes, and CPU seconds it has used, all tasks together.
fn usage(pid: u32) -> Option<(u64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((kib * 1024, ticks as f64 / 100.0))
}

impl Listener {
    /// Takes what has arrived over a WebSocket, and answers pings. Says how many data events were in it.
    fn converse(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let (mut told, mut out) = (Vec::new(), Vec::new());
        if let Some(web) = &mut self.web {
            web.handle(bytes, START);
            while web.transmit([1, 2, 3, 4], &mut out) {}
            told.extend(std::iter::from_fn(|| web.poll()));
        }
        if !out.is_empty() {
            rustix::io::write(&self.socket, &out)?;
        }
        let mut events = 0;
        for told in told {
            match told {
                Incoming::Session(session) => self.id = session.id,
                Incoming::Event(event) => events += self.take(format!("{}\n", event.text()).as_bytes()),
                other => return Err(io::Error::other(format!("{other:?}"))),
            }
        }
        Ok(events)
    }

    /// Takes what has arrived. Says how many data events were in it.
    fn take(&mut self, bytes: &[u8]) -> u64 {
        let mut events = 0;
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let text = String::from_utf8_lossy(&line);
            let id = field(&text, "p_id").or_else(|| field(&text, "session"));
            if let (true, Some(id)) = (self.id.is_empty(), id) {
                self.id = id.to_owned();
            }
            // Pushlet's word for an event that was published, and that of the modern doors.
            if !text.contains("\"p_event\":\"data\"") && !text.contains("\"data\":{") {
                continue;
            }
            events += 1;
            let number: Option<u32> = field(&text, "n").and_then(|number| number.parse().ok());
            if number != Some(self.next) || text.contains("p_lost") || text.contains("\"lost\":") {
                self.faults += 1;
            }
            self.next = number.map_or(self.next, |number| number + 1);
        }
        events
    }
}

/// Reads once from whoever has something. Says how many events came, and whether anything did.
fn read(epoll: &OwnedFd, listeners: &mut [Listener], buffer: &mut [u8]) -> io::Result<(u64, bool)> {
    let (mut ready, mut came) = (Vec::with_capacity(1024), 0);
    let timeout = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
    epoll::wait(epoll, rustix::buffer::spare_capacity(&mut ready), Some(&timeout))?;
    for event in &ready {
        let listener = &mut listeners[event.data.u64() as usize];
        let read = rustix::io::read(&listener.socket, &mut *buffer)?;
        if read == 0 {
            return Err(io::Error::other("the server closed a stream"));
        }
        came += match listener.web {
            Some(_) => listener.converse(&buffer[..read])?,
            None => listener.take(&buffer[..read]),
        };
    }
    Ok((came, !ready.is_empty()))
}

/// Reads until `wanted` events have come. Says how many came.
fn collect(epoll: &OwnedFd, listeners: &mut [Listener], wanted: u64) -> io::Result<u64> {
    let (mut came, mut last, mut buffer) = (0, Instant::now(), vec![0; 65536]);
    while came < wanted && last.elapsed() < SILENCE {
        let (more, any) = read(epoll, listeners, &mut buffer)?;
        came += more;
        if any {
            last = Instant::now();
        }
    }
    Ok(came)
}

/// Reads until everybody has a session: who joins behind an event rightly does not get it.
fn join(epoll: &OwnedFd, listeners: &mut [Listener]) -> io::Result<()> {
    let (mut last, mut buffer) = (Instant::now(), vec![0; 65536]);
    while listeners.iter().any(|listener| listener.id.is_empty()) {
        if read(epoll, listeners, &mut buffer)?.1 {
            last = Instant::now();
        } else if last.elapsed() >= SILENCE {
            return Err(io::Error::other("not everybody could join"));
        }
    }
    Ok(())
}

/// The healthy listeners, their publisher, and what has come.
struct Run {
    address: String,
    request: &'static str,
    epoll: OwnedFd,
    listeners: Vec<Listener>,
    publisher: Publisher,
    published: u32,
    came: u64,
}

impl Run {
    fn open(options: &Options) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut listeners = Vec::with_capacity(options.sessions);
        for number in 0..options.sessions {
            let socket = OwnedFd::from(open(&options.address, options.request, false)?);
            epoll::add(&epoll, socket.as_fd(), EventData::new_u64(number as u64), EventFlags::IN)?;
            let web = (options.request == WEB_SOCKET).then(|| converse().map(|(web, _)| web)).transpose()?;
            listeners.push(Listener { id: String::new(), socket, line: Vec::new(), web, next: 1, faults: 0 });
        }
        join(&epoll, &mut listeners)?;
        let publisher = Publisher::join(&options.address)?;
        Ok(Self {
            address: options.address.clone(),
            request: options.request,
            epoll,
            listeners,
            publisher,
            published: 0,
            came: 0,
        })
    }

    /// Publishes one event and waits until every healthy listener has it. Says how many milliseconds that took.
    fn publish(&mut self, payload: usize) -> io::Result<f64> {
        self.published += 1;
        let start = Instant::now();
        self.publisher.publish(self.published, &"x".repeat(payload))?;
        let wanted = self.listeners.len() as u64;
        self.came += collect(&self.epoll, &mut self.listeners, wanted)?;
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    }

    /// The median time of `events` publishes, in milliseconds.
    fn median(&mut self, events: u32, payload: usize) -> io::Result<f64> {
        let mut times = hdrhistogram::Histogram::<u64>::new(3).map_err(io::Error::other)?;
        for _ in 0..events {
            let us = self.publish(payload)? * 1000.0;
            times.record(us as u64).map_err(io::Error::other)?;
        }
        Ok(times.value_at_quantile(0.5) as f64 / 1000.0)
    }

    /// Opens `count` sessions that never read and publishes until their queues are full.
    fn stall(&mut self, count: usize) -> io::Result<Vec<TcpStream>> {
        let stalled = (0..count).map(|_| open(&self.address, self.request, true)).collect::<io::Result<Vec<_>>>()?;
        for _ in 0..SATURATION_EVENTS {
            self.publish(SATURATION_BYTES)?;
        }
        Ok(stalled)
    }

    /// Ends the sessions, so that a next run does not meet them, and tells whether all came as it should.
    fn finish(mut self) -> io::Result<bool> {
        let faults: u32 = self.listeners.iter().map(|listener| listener.faults).sum();
        let wanted = u64::from(self.published) * self.listeners.len() as u64;
        println!(
            "{} sessions, {} events: {} of {wanted} deliveries, {faults} repeated or out of order",
            self.listeners.len(),
            self.published,
            self.came
        );
        for listener in &self.listeners {
            self.publisher.ask(&format!("p_event=leave&p_id={}", listener.id))?;
        }
        Ok(self.came == wanted && faults == 0)
    }
}

fn run(options: &Options) -> io::Result<bool> {
    let idle = options.server.and_then(usage);
    let mut run = Run::open(options)?;
    // The first event tells that all have joined: it must come out of the way of the measurement.
    run.publish(options.payload)?;
    if let (Some((before, _)), Some((now, _))) = (idle, options.server.and_then(usage)) {
        let each = (now.saturating_sub(before)) / options.sessions.max(1) as u64;
        println!(
            "server memory: {} KiB, {} KiB with {} sessions: {each} bytes each",
            before / 1024,
            now / 1024,
            options.sessions
        );
    }
    if options.stalled > 0 {
        for round in 1..=options.rounds {
            let without = run.median(options.events, options.payload)?;
            let stalled = run.stall(options.stalled)?;
            let with = run.median(options.events, options.payload)?;
            println!(
                "round {round}: {without:.2} ms without, {with:.2} ms with {} stalled: {:.3}",
                stalled.len(),
                with / without
            );
        }
        return run.finish();
    }
    let busy = options.server.and_then(usage);
    let events = options.events.saturating_sub(1);
    let median = run.median(events, options.payload)?;
    if let (Some((_, before)), Some((_, now))) = (busy, options.server.and_then(usage)) {
        let deliveries = u64::from(events) * options.sessions as u64;
        println!("server CPU: {:.2} us for each delivery", (now - before) * 1e6 / deliveries.max(1) as f64);
    }
    println!("publish to last delivery: median {median:.2} ms");
    run.finish()
}

fn main() -> ExitCode {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("hold: the limit of open files stays as it is: {error}");
    }
    match Options::read().map_err(io::Error::other).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hold: {error}");
            ExitCode::FAILURE
        }
    }
}
