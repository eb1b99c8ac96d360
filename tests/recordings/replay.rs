//! Sends the requests of a recording to a running server, in the recorded order, and keeps what comes back.
//!
//! The order is kept by what arrives and not by waiting for some time: a request is sent when everything that the
//! original had answered before it has been answered here too, but for what the table says will never come. Whatever
//! does not come within the patience is a difference of its own, so a server that is too slow fails the test and does
//! not make it pass. Pauses are kept only where time itself is what was recorded (leases, heartbeats, waits).

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::compare::{Comparer, closed_by_the_client, is_over};
use super::support::pushlet::control;
use super::transcript::{Exchange, Transcript};

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A recorded pause between two requests is kept, but never longer than this.
    pub(crate) pause_max: Duration,
    /// How long to wait for what the original had sent and the server has not sent yet.
    pub(crate) patience: Duration,
}

/// When all that is due has come, nothing more may come for so long.
const QUIET: Duration = Duration::from_millis(50);

/// One exchange as it goes this time.
#[derive(Debug)]
pub(crate) struct Live {
    stream: Option<TcpStream>,
    opened: Instant,
    /// Every byte that came.
    pub(crate) bytes: Vec<u8>,
    /// When it came: seconds after the request, and how many bytes.
    pub(crate) reads: Vec<(f64, usize)>,
    /// The connection ended, by the server's doing.
    pub(crate) eof: bool,
    /// We closed it, as the recorder had done.
    pub(crate) closed_by_us: bool,
}

impl Live {
    /// An exchange that has been played already.
    pub(crate) fn played(bytes: Vec<u8>, eof: bool) -> Self {
        Self { stream: None, opened: Instant::now(), reads: vec![(0.0, bytes.len())], bytes, eof, closed_by_us: false }
    }

    /// Ends our side of it, and the thread that reads it.
    fn close(&mut self) {
        if let Some(stream) = self.stream.take() {
            // The server may have gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// What a reading thread tells.
struct Came {
    /// The place of the exchange in the recording.
    at: usize,
    when: Instant,
    /// Empty at the end of the connection.
    bytes: Vec<u8>,
}

/// Replays a recording and says where each exchange differs, by the exchange's number. `expected` are the differences
/// that the table names: what they say will not come is not waited for, and what they say comes on top is.
pub(crate) fn replay(
    comparer: Comparer<'_>,
    transcript: &Transcript,
    addr: SocketAddr,
    pace: Pace,
    expected: &BTreeSet<(usize, String)>,
) -> BTreeSet<(usize, String)> {
    let (sender, came) = mpsc::channel();
    let mut replayer =
        Replayer { comparer, transcript, addr, pace, expected, lives: Vec::new(), sender, came, late: BTreeSet::new() };
    let mut started = Instant::now();
    let mut before_s = transcript.exchanges.first().map_or(0.0, |exchange| exchange.opened_s);
    for exchange in &transcript.exchanges {
        let pause = Duration::from_secs_f64((exchange.opened_s - before_s).max(0.0)).min(pace.pause_max);
        replayer.settle(exchange.opened_s, exchange.number);
        replayer.take_until(started + pause);
        replayer.close_what_the_recorder_closed(exchange.opened_s);
        before_s = exchange.opened_s;
        started = Instant::now();
        replayer.start(exchange);
    }
    replayer.finish(started)
}

struct Replayer<'a> {
    comparer: Comparer<'a>,
    transcript: &'a Transcript,
    addr: SocketAddr,
    pace: Pace,
    expected: &'a BTreeSet<(usize, String)>,
    lives: Vec<Live>,
    sender: mpsc::Sender<Came>,
    came: mpsc::Receiver<Came>,
    /// What was not there in time.
    late: BTreeSet<(usize, String)>,
}

impl Replayer<'_> {
    fn start(&mut self, exchange: &Exchange) {
        let request = self.comparer.names.rewrite(&exchange.request, self.comparer.session(exchange));
        let mut stream = TcpStream::connect_timeout(&self.addr, Duration::from_secs(10)).expect("the server accepts");
        stream.set_nodelay(true).expect("an option of a socket");
        let reader = stream.try_clone().expect("a second handle of a socket");
        let (at, sender) = (self.lives.len(), self.sender.clone());
        let opened = Instant::now();
        thread::spawn(move || read_all(at, reader, &sender));
        stream.write_all(&request).expect("the server takes a request");
        let (bytes, reads) = (Vec::new(), Vec::new());
        self.lives.push(Live { stream: Some(stream), opened, bytes, reads, eof: false, closed_by_us: false });
    }

    /// Takes what a reading thread has told.
    fn put(&mut self, came: Came) {
        let live = &mut self.lives[came.at];
        if live.closed_by_us {
            return;
        }
        if came.bytes.is_empty() {
            live.eof = true;
        } else {
            live.reads.push((came.when.duration_since(live.opened).as_secs_f64(), came.bytes.len()));
            live.bytes.extend(came.bytes);
        }
        self.comparer.learn(&self.transcript.exchanges[came.at], &self.lives[came.at]);
    }

    /// Takes in the next piece that comes before `deadline` and says of which exchange it is.
    fn take_one(&mut self, deadline: Instant) -> Option<usize> {
        let came = self.came.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        let at = came.at;
        self.put(came);
        Some(at)
    }

    fn take_until(&mut self, moment: Instant) {
        while self.take_one(moment).is_some() {}
    }

    /// Whether `line` is what the table says of the exchange at this place.
    fn is_expected(&self, at: usize, line: &str) -> bool {
        self.expected.contains(&(at + 1, line.to_owned()))
    }

    /// Whether something that had come before `now_s` in the recording has not come here.
    fn owes(&self, at: usize, now_s: f64) -> bool {
        let (exchange, live) = (&self.transcript.exchanges[at], &self.lives[at]);
        let mut lines = self.comparer.differences(&exchange.until(now_s), live).into_iter();
        !live.closed_by_us && lines.any(|line| line.owed && !self.is_expected(at, &line.text))
    }

    /// Waits until what had come before `now_s` in the recording has come here too: that is the order to keep.
    fn settle(&mut self, now_s: f64, next: usize) {
        let deadline = Instant::now() + self.pace.patience;
        let known_late: BTreeSet<usize> = self.late.iter().map(|(number, _)| number - 1).collect();
        let mut owing: BTreeSet<usize> = (0..self.lives.len()).filter(|at| !known_late.contains(at)).collect();
        owing.retain(|at| self.owes(*at, now_s));
        while !owing.is_empty() {
            let Some(at) = self.take_one(deadline) else { break };
            if owing.contains(&at) && !self.owes(at, now_s) {
                owing.remove(&at);
            }
        }
        let line = |at: usize| (at + 1, format!("what had come before exchange {next} does not come"));
        self.late.extend(owing.into_iter().map(line));
    }

    fn close_what_the_recorder_closed(&mut self, now_s: f64) {
        for (exchange, live) in self.transcript.exchanges.iter().zip(&mut self.lives) {
            let closed = closed_by_the_client(exchange) && exchange.last_read_s() < now_s;
            if closed && !is_over(exchange, &live.bytes, live.eof) {
                live.close();
                live.closed_by_us = true;
            }
        }
    }

    /// The differences of one exchange.
    fn found(&self, at: usize) -> BTreeSet<(usize, String)> {
        let lines = self.comparer.differences(&self.transcript.exchanges[at], &self.lives[at]);
        lines.into_iter().map(|line| (at + 1, line.text)).collect()
    }

    /// Whether the differences of one exchange are those of the table.
    fn as_expected(&self, at: usize) -> bool {
        self.found(at).iter().eq(self.expected.iter().filter(|(number, _)| *number == at + 1))
    }

    /// Waits for the rest, at least as long as the original took for it (within the pace), and says what differs.
    fn finish(mut self, started: Instant) -> BTreeSet<(usize, String)> {
        let last_opened_s = self.transcript.exchanges.last().map_or(0.0, |exchange| exchange.opened_s);
        let last_read_s = self.transcript.exchanges.iter().map(Exchange::last_read_s).fold(last_opened_s, f64::max);
        self.take_until(started + Duration::from_secs_f64(last_read_s - last_opened_s).min(self.pace.pause_max));
        let deadline = Instant::now() + self.pace.patience;
        let mut unlike: BTreeSet<usize> = (0..self.lives.len()).collect();
        unlike.retain(|at| !self.as_expected(*at));
        while !unlike.is_empty() {
            let Some(at) = self.take_one(deadline) else { break };
            if self.as_expected(at) {
                unlike.remove(&at);
            } else {
                unlike.insert(at);
            }
        }
        // The server answers in the order in which it is asked: behind this answer nothing of before is under way.
        control(self.addr, &[("p_event", "hb")]);
        let mut quiet = Instant::now() + QUIET;
        while self.take_one(quiet).is_some() {
            quiet = Instant::now() + QUIET;
        }
        self.lives.iter_mut().for_each(Live::close);
        self.comparer.ends_now();
        let mut found: BTreeSet<_> = (0..self.lives.len()).flat_map(|at| self.found(at)).collect();
        found.append(&mut self.late);
        found
    }
}

/// Reads a connection to its end.
fn read_all(at: usize, mut stream: TcpStream, sender: &mpsc::Sender<Came>) {
    let mut piece = vec![0_u8; 16 * 1024];
    loop {
        let read = stream.read(&mut piece).unwrap_or(0);
        let came = Came { at, when: Instant::now(), bytes: piece[..read].to_vec() };
        if sender.send(came).is_err() || read == 0 {
            return;
        }
    }
}
