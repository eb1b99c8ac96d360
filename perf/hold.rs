//! Holds many streams against a running pushletd and checks that each gets every event once and in order.
//!
//! ```text
//! cargo run --release -- --listen 127.0.0.1:18080 --admin off &
//! cargo run --release --example hold -- 127.0.0.1:18080 --sessions 15000 --events 20 --server-pid $!
//! cargo run --release --example hold -- 127.0.0.1:18080 --sessions 1000 --stalled 50 --events 20
//! ```
//!
//! With `--stalled N`, N more sessions subscribe and never read, and events carry a payload that fills their sockets. The exit code is 1 if
//! an event was lost, repeated or out of order.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

/// No event at all for this long means that some are lost.
const SILENCE: Duration = Duration::from_secs(10);

struct Options {
    address: String,
    sessions: usize,
    stalled: usize,
    events: u32,
    payload: usize,
    server: Option<u32>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut args = std::env::args().skip(1);
        let address = args.next().ok_or(
            "usage: hold ADDRESS [--sessions N] [--stalled N] [--events N] [--payload BYTES] [--server-pid PID]",
        )?;
        let mut options = Self { address, sessions: 1000, stalled: 0, events: 20, payload: 16, server: None };
        while let Some(name) = args.next() {
            let text = args.next().ok_or_else(|| format!("{name} wants a number"))?;
            let number: u32 = text.parse().map_err(|_| format!("{name}: {text:?} is no number"))?;
            match name.as_str() {
                "--sessions" => options.sessions = number as usize,
                "--stalled" => options.stalled = number as usize,
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

    fn ask(&mut self, query: &str) -> io::Result<String> {
        write!(self.stream, "GET /pushlet.srv?{query} HTTP/1.1\r\nHost: perf\r\n\r\n")?;
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

fn open(address: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(
        b"GET /pushlet.srv?p_event=join-listen&p_subject=/hold&p_format=json HTTP/1.1\r\nHost: perf\r\n\r\n",
    )?;
    Ok(stream)
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
            if let (true, Some(id)) = (self.id.is_empty(), field(&text, "p_id")) {
                self.id = id.to_owned();
            }
            if !text.contains("\"p_event\":\"data\"") {
                continue;
            }
            events += 1;
            let number: Option<u32> = field(&text, "n").and_then(|number| number.parse().ok());
            if number != Some(self.next) || text.contains("p_lost") {
                self.faults += 1;
            }
            self.next = number.map_or(self.next, |number| number + 1);
        }
        events
    }
}

/// Reads from whoever has something until `wanted` events have come. Says how many came.
fn collect(epoll: &OwnedFd, listeners: &mut [Listener], wanted: u64) -> io::Result<u64> {
    let (mut ready, mut buffer, mut came) = (Vec::with_capacity(1024), vec![0; 65536], 0);
    let mut last = Instant::now();
    while came < wanted && last.elapsed() < SILENCE {
        ready.clear();
        let timeout = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
        epoll::wait(epoll, rustix::buffer::spare_capacity(&mut ready), Some(&timeout))?;
        for event in ready.drain(..) {
            let listener = &mut listeners[event.data.u64() as usize];
            let read = rustix::io::read(&listener.socket, &mut *buffer)?;
            if read == 0 {
                return Err(io::Error::other("the server closed a stream"));
            }
            came += listener.take(&buffer[..read]);
            last = Instant::now();
        }
    }
    Ok(came)
}

fn run(options: &Options) -> io::Result<bool> {
    let idle = options.server.and_then(usage);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut listeners = Vec::with_capacity(options.sessions);
    for number in 0..options.sessions {
        let socket = OwnedFd::from(open(&options.address)?);
        epoll::add(&epoll, socket.as_fd(), EventData::new_u64(number as u64), EventFlags::IN)?;
        listeners.push(Listener { id: String::new(), socket, line: Vec::new(), next: 1, faults: 0 });
    }
    let stalled: Vec<TcpStream> = (0..options.stalled).map(|_| open(&options.address)).collect::<io::Result<_>>()?;
    let mut publisher = Publisher::join(&options.address)?;
    let payload = "x".repeat(options.payload);
    // The first event tells that all have joined: it must come out of the way of the measurement.
    publisher.publish(1, &payload)?;
    let mut came = collect(&epoll, &mut listeners, options.sessions as u64)?;
    if let (Some((before, _)), Some((now, _))) = (idle, options.server.and_then(usage)) {
        let each = (now.saturating_sub(before)) / options.sessions.max(1) as u64;
        println!(
            "server memory: {} KiB before, {} KiB with {} sessions: {each} bytes each",
            before / 1024,
            now / 1024,
            options.sessions
        );
    }
    let busy = options.server.and_then(usage);
    let mut last_ms = Vec::new();
    for number in 2..=options.events {
        let start = Instant::now();
        publisher.publish(number, &payload)?;
        came += collect(&epoll, &mut listeners, options.sessions as u64)?;
        last_ms.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    let faults: u32 = listeners.iter().map(|listener| listener.faults).sum();
    let wanted = u64::from(options.events) * options.sessions as u64;
    println!(
        "{} sessions, {} events: {came} of {wanted} deliveries, {faults} repeated or out of order",
        options.sessions, options.events
    );
    if let (Some((_, before)), Some((_, now))) = (busy, options.server.and_then(usage)) {
        let deliveries = wanted - options.sessions as u64;
        println!("server CPU: {:.2} us for each delivery", (now - before) * 1e6 / deliveries.max(1) as f64);
    }
    for listener in &listeners {
        publisher.ask(&format!("p_event=leave&p_id={}", listener.id))?;
    }
    last_ms.sort_by(f64::total_cmp);
    if let Some(median) = last_ms.get(last_ms.len() / 2) {
        println!("publish to last healthy delivery, {} stalled: median {median:.2} ms", stalled.len());
    }
    Ok(came == wanted && faults == 0)
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
