//! What a delivery costs at least on this machine, and how much more it costs with a real server.
//!
//! ```text
//! floor --listen 127.0.0.1:18090 --bytes 190
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --sessions 10000 --events 5 --rounds 15
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --transport sse --sessions 10000
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --transport ws --sessions 10000
//! floor --pair http://127.0.0.1:18080/ --server-pid PID --transport sse --against stream --against-format xml --sessions 5000
//! ```
//!
//! The floor is a bare program: it accepts connections and sends the same bytes to each by `send`, one call a connection. It has no sessions,
//! subscriptions or queues, and understands as much of the Pushlet protocol as it takes to be driven by the same load generator. `--pair`
//! starts one, and sends rounds of events to the server and to the floor in turn; of each round it takes the processor time of the server
//! and of the floor for each delivery, and prints the median of their ratios with a 95 % interval. With `--against` the other side is not the
//! floor but the same server, whose sessions listen in another way.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};

use pushletd::shell::bench::{BenchArgs, Fleet, Round, process_cpu_seconds};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use slab::Slab;

const USAGE: &str = "usage: floor --listen ADDRESS --bytes N
       floor --pair URL --server-pid PID [--transport WORD] [--format WORD] [--against WORD [--against-format WORD]]
             [--publish WORD] [--sessions N] [--events N] [--rounds N] [--payload BYTES] [--threads N]";

const HELP: &str =
    "What a delivery costs a server, as a multiple of what a bare program needs that only sends the same bytes.

  --pair URL        compare the server at this URL with the floor, in turn
  --server-pid PID  the server's process, whose processor time is read
  --transport WORD  how the server's sessions listen, as for `pushletd bench`: stream, sse or ws [default: stream]
  --format WORD     how the Pushlet door writes events [default: json]
  --against WORD    compare with sessions of the same server that listen so, not with the floor
  --against-format WORD  how the Pushlet door writes theirs [default: json]
  --publish WORD    by which door the server is published to: pushlet, http or ws [default: pushlet]
  --sessions N      streams at each of both [default: 1000]
  --events N        events a round [default: 5]
  --rounds N        rounds, of which the median is taken [default: 15]
  --payload BYTES   padding in each event [default: 64]
  --threads N       threads of the load generator [default: 1]
  --listen ADDRESS  only be the floor, at this address; --pair starts one by itself
  --bytes N         bytes of a delivery of the floor, framing included [default: 190]";

/// The words of the command line, `--name value` each.
struct Words(Vec<(String, String)>);

impl Words {
    fn read() -> Result<Self, String> {
        let mut words = Vec::new();
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            const KNOWN: [&str; 14] = [
                "listen",
                "bytes",
                "pair",
                "server-pid",
                "sessions",
                "events",
                "rounds",
                "payload",
                "threads",
                "transport",
                "format",
                "against",
                "against-format",
                "publish",
            ];
            let known = name.strip_prefix("--").filter(|name| KNOWN.contains(name)).ok_or(USAGE)?.to_owned();
            words.push((known, args.next().ok_or(USAGE)?));
        }
        Ok(Self(words))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, default: u32) -> Result<u32, String> {
        self.text(name).map_or(Ok(default), |text| text.parse().map_err(|_| format!("--{name}: {text:?} is no number")))
    }
}

// The floor.

const LISTENER: u64 = u64::MAX;
/// Longest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 512 * 1024;
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A connection, and the beginning of a request on it.
struct Client {
    socket: OwnedFd,
    request: Vec<u8>,
    listens: bool,
}

struct Floor {
    epoll: OwnedFd,
    listener: OwnedFd,
    clients: Slab<Client>,
    bytes: usize,
    events: u64,
    ids: u64,
}

/// A chunk with one line of exactly `bytes` bytes in all, as far as it can be that short.
fn chunk(line: &str, bytes: usize) -> Vec<u8> {
    let framing = |line: usize| format!("{line:x}").len() + 4;
    let mut length = bytes.saturating_sub(framing(bytes)).max(line.len() + 1);
    while length + framing(length) < bytes {
        length += 1;
    }
    let padding = " ".repeat(length - line.len() - 1);
    format!("{length:x}\r\n{line}{padding}\n\r\n").into_bytes()
}

/// Sends all of it to a peer that reads. One that does not take what it is sent has left the measurement.
fn send(socket: &OwnedFd, bytes: &[u8]) -> bool {
    matches!(rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL), Ok(sent) if sent == bytes.len())
}

impl Floor {
    fn bind(address: &str, bytes: usize) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        let listener = OwnedFd::from(listener);
        // The backlog of the standard library is short for thousands that come at once.
        rustix::net::listen(&listener, 4096)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, listener.as_fd(), EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok((Self { epoll, listener, clients: Slab::new(), bytes, events: 0, ids: 0 }, local))
    }

    fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::with_capacity(1024);
        loop {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in ready.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    key => self.read(key as usize),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match rustix::net::accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
                    let entry = self.clients.vacant_entry();
                    epoll::add(&self.epoll, socket.as_fd(), EventData::new_u64(entry.key() as u64), EventFlags::IN)?;
                    entry.insert(Client { socket, request: Vec::new(), listens: false });
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, key: usize) {
        let mut buffer = [0; 16 * 1024];
        let Some(client) = self.clients.get_mut(key) else { return };
        match rustix::net::recv(&client.socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((_, length)) if length > 0 && client.request.len() < REQUEST_BYTES_MAX => {
                client.request.extend_from_slice(&buffer[..length]);
                while let Some(request) = self.clients.get_mut(key).and_then(take_request) {
                    self.answer(key, &request);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => drop(self.clients.remove(key)),
        }
    }

    fn answer(&mut self, key: usize, request: &str) {
        self.ids += 1;
        let id = self.ids;
        let ack = |word: &str| format!("{{\"p_event\":\"{word}\",\"p_id\":\"{id}\",\"p_from\":\"{id}\"}}");
        if request.contains("p_event=join-listen") {
            let bytes = [STREAM_HEAD, &chunk(&ack("join-listen-ack"), 0)].concat();
            self.clients[key].listens = send(&self.clients[key].socket, &bytes);
            return;
        }
        let word = if request.contains("p_event=publish") {
            self.publish(request);
            "publish-ack"
        } else if request.contains("p_event=leave") {
            "leave-ack"
        } else {
            "join-ack"
        };
        let body = format!("[{}]", ack(word));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        send(&self.clients[key].socket, answer.as_bytes());
    }

    /// What is measured.
    fn publish(&mut self, request: &str) {
        self.events += 1;
        let marker = request.split('~').nth(1).unwrap_or_default();
        let line = format!("{{\"p_seq\":\"{}\",\"p_event\":\"data\",\"m\":\"~{marker}~\"}}", self.events);
        let bytes = chunk(&line, self.bytes);
        for (_, client) in &mut self.clients {
            if client.listens {
                client.listens = send(&client.socket, &bytes);
            }
        }
    }
}

/// The first whole request that has come.
fn take_request(client: &mut Client) -> Option<String> {
    let text = String::from_utf8_lossy(&client.request);
    let head = text.find("\r\n\r\n")? + 4;
    let length = text[..head].lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
    let whole = head + length.unwrap_or(0);
    let request = text.get(..whole)?.to_owned();
    client.request.drain(..whole);
    Some(request)
}

// Pairs.

/// Events before anything is measured.
const WARMUP_EVENTS: u32 = 10;

/// The floor as a process of its own, as the server is one.
struct Bare(Child);

impl Bare {
    fn start(bytes: usize) -> io::Result<(Self, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--listen", "127.0.0.1:0", "--bytes", &bytes.to_string()]);
        let mut child = Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let stdout = child.0.stdout.take().ok_or_else(|| io::Error::other("there is no pipe to the floor"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok());
        Ok((child, address.ok_or_else(|| io::Error::other(format!("the floor says {line:?}")))?))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who is sent to, and whose time is taken.
struct Side {
    fleet: Fleet,
    pid: u32,
}

impl Side {
    /// One round: processor time of the server in us for each delivery, and the round itself.
    fn round(&mut self, events: u32) -> io::Result<(f64, Round)> {
        let before = process_cpu_seconds(self.pid)?;
        let round = self.fleet.round(u64::from(events))?;
        let used = process_cpu_seconds(self.pid)? - before;
        Ok((used * 1e6 / round.deliveries.max(1) as f64, round))
    }
}

/// The median, and the bounds between which the true one is in 95 % of all cases or more: order statistics, which assume nothing about how
/// the values are distributed. With fewer than six values the bounds are the extremes.
fn median_interval(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
    // The chance that at most `rank` of the values are below the true median.
    let (mut chance, mut sum, mut rank) = (0.5_f64.powi(count as i32), 0.0, 0);
    while sum + chance <= 0.025 && rank < count / 2 {
        sum += chance;
        chance *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
    }
    let low = rank.saturating_sub(1);
    (median, sorted[low], sorted[count - 1 - low])
}

/// How the sessions of a side listen, and how it is published to.
struct Way<'a> {
    transport: &'a str,
    format: &'a str,
    publish: &'a str,
}

/// The floor knows this only.
const BARE: Way<'static> = Way { transport: "stream", format: "json", publish: "pushlet" };

fn fleet(url: &str, way: &Way<'_>, words: &Words) -> io::Result<Fleet> {
    let word = |name, default| words.number(name, default).map(|number| number.to_string()).map_err(io::Error::other);
    let (sessions, payload, threads) = (word("sessions", 1000)?, word("payload", 64)?, word("threads", 1)?);
    let line = [url, "fan-out", "--sessions", &sessions, "--payload", &payload, "--threads", &threads];
    let way = ["--transport", way.transport, "--format", way.format, "--publish", way.publish];
    let args = BenchArgs::from_words(line.into_iter().chain(way)).map_err(io::Error::other)?;
    Fleet::open(&args)
}

/// The other side of a pair.
struct Other {
    name: &'static str,
    side: Side,
    /// The floor's process, until the pair is done.
    _bare: Option<Bare>,
}

impl Other {
    /// Sessions of the same server if that is wanted, else the floor with deliveries as long as those of `round`.
    fn open(url: &str, pid: u32, round: Round, words: &Words) -> io::Result<Self> {
        if let Some(transport) = words.text("against") {
            let (format, publish) = (words.text("against-format"), words.text("publish"));
            let way = Way { transport, format: format.unwrap_or("json"), publish: publish.unwrap_or("pushlet") };
            return Ok(Self { name: "other", side: Side { fleet: fleet(url, &way, words)?, pid }, _bare: None });
        }
        let bytes = round.bytes.div_ceil(round.deliveries.max(1));
        let (bare, address) = Bare::start(usize::try_from(bytes).map_err(io::Error::other)?)?;
        let side = Side { fleet: fleet(&format!("http://{address}/"), &BARE, words)?, pid: bare.0.id() };
        Ok(Self { name: "floor", side, _bare: Some(bare) })
    }
}

fn pair(url: &str, words: &Words) -> io::Result<bool> {
    let number = |name, default| words.number(name, default).map_err(io::Error::other);
    let (pid, events, rounds) = (number("server-pid", 0)?, number("events", 5)?, number("rounds", 15)?.max(1));
    if pid == 0 {
        return Err(io::Error::other("--pair wants --server-pid"));
    }
    let word = |name, default| words.text(name).unwrap_or(default);
    let way = Way {
        transport: word("transport", BARE.transport),
        format: word("format", BARE.format),
        publish: word("publish", BARE.publish),
    };
    let mut server = Side { fleet: fleet(url, &way, words)?, pid };
    // The first rounds warm up, and bring the sequence numbers to two digits: then it can be seen how long a delivery is.
    server.round(WARMUP_EVENTS)?;
    let (_, first) = server.round(events)?;
    let Other { name, side: mut other, _bare } = Other::open(url, pid, first, words)?;
    other.round(WARMUP_EVENTS)?;
    let mut ratios = Vec::new();
    let (mut above, mut below) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        // Who is first changes, so that a drift of the machine favours nobody.
        let (ours, theirs) = if number % 2 == 0 {
            let theirs = other.round(events)?;
            (server.round(events)?, theirs)
        } else {
            (server.round(events)?, other.round(events)?)
        };
        let per = |round: Round| round.bytes as f64 / round.deliveries.max(1) as f64;
        let ratio = ours.0 / theirs.0;
        println!(
            "round {number}: server {:.3} us, {name} {:.3} us a delivery, ratio {ratio:.3}; {:.1} and {:.1} bytes; {:.1} and {:.1} ms",
            ours.0,
            theirs.0,
            per(ours.1),
            per(theirs.1),
            ours.1.elapsed.as_secs_f64() * 1000.0,
            theirs.1.elapsed.as_secs_f64() * 1000.0,
        );
        ratios.push(ratio);
        above.push(ours.0);
        below.push(theirs.0);
    }
    let (ratio, low, high) = median_interval(&ratios);
    println!(
        "median: server {:.3} us, {name} {:.3} us CPU a delivery; ratio {ratio:.3}, 95 % interval {low:.3} to {high:.3}",
        median_interval(&above).0,
        median_interval(&below).0
    );
    let (one, two) = (server.fleet.finish()?, other.fleet.finish()?);
    Ok(one && two)
}

fn run() -> io::Result<bool> {
    let words = Words::read().map_err(io::Error::other)?;
    if let Some(address) = words.text("listen") {
        let bytes = words.number("bytes", 190).map_err(io::Error::other)?;
        let (floor, local) = Floor::bind(address, bytes as usize)?;
        println!("listening on {local}");
        io::stdout().flush()?;
        return floor.run().map(|()| true);
    }
    let url = words.text("pair").ok_or_else(|| io::Error::other(USAGE))?;
    pair(url, &words)
}

fn main() -> ExitCode {
    if std::env::args().skip(1).any(|word| word == "--help" || word == "-h") {
        println!("{HELP}\n\n{USAGE}");
        return ExitCode::SUCCESS;
    }
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("floor: the limit of open files stays as it is: {error}");
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("floor: an event was lost, repeated or out of order");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}
