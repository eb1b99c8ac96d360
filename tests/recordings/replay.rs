//! Sends the requests of a recording to a running server, in the recorded order, and keeps what comes back.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::support::http::AnswerReader;
use super::support::pushlet::{Dialect, Event, format_of, parse};
use super::transcript::{End, Exchange, Transcript};

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// A pause between two requests is never longer than this. Where only the order matters it may be short.
    pub(crate) gap_max: Duration,
    /// How long to wait at the end for what the original sent and the server has not sent yet.
    pub(crate) patience: Duration,
}

/// What the recording calls something, and what the server calls it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Recorded session id to the server's session id and its address (rule P-22); the address is empty if none was
    /// told.
    pub(crate) sessions: BTreeMap<String, (String, String)>,
    /// Recorded session id and recorded subscription id to the server's subscription id.
    pub(crate) subscriptions: BTreeMap<(String, String), String>,
}

/// One exchange as it went this time.
#[derive(Debug)]
pub(crate) struct Live {
    stream: Option<TcpStream>,
    /// Every byte that came.
    pub(crate) bytes: Vec<u8>,
    /// The connection ended, by the server's doing.
    pub(crate) eof: bool,
    /// We closed it, as the recorder had done.
    pub(crate) closed_by_us: bool,
}

/// A replayed recording.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// One for each recorded exchange.
    pub(crate) lives: Vec<Live>,
    /// Who is who.
    pub(crate) names: Names,
}

/// Splits what came on one connection into the answers to its requests.
pub(crate) fn answers(exchange: &Exchange, bytes: &[u8]) -> Vec<AnswerReader> {
    let count = exchange.request.windows(8).filter(|window| *window == b" HTTP/1.").count().max(1);
    let mut rest = bytes.to_vec();
    let mut answers = Vec::new();
    for _ in 0..count {
        let mut reader = AnswerReader::new(exchange.request.starts_with(b"HEAD "));
        reader.feed(&rest);
        rest = reader.take_rest();
        let go_on = reader.is_complete();
        answers.push(reader);
        if !go_on {
            break;
        }
    }
    answers
}

/// Whether every answer of an exchange is there.
pub(crate) fn is_over(exchange: &Exchange, bytes: &[u8], eof: bool) -> bool {
    eof || answers(exchange, bytes).iter().all(AnswerReader::is_complete)
}

/// Whether the recorder closed this connection while the answer went on.
pub(crate) fn closed_by_the_client(exchange: &Exchange) -> bool {
    exchange.end == End::Eof
        && answers(exchange, &exchange.response).iter().any(|answer| !answer.ends_with_the_connection())
}

/// The events of an answer as far as they have come.
pub(crate) fn events(answer: &AnswerReader, dialect: Dialect, goes_on: bool) -> Result<Vec<Event>, String> {
    let Some(head) = &answer.head else { return Ok(Vec::new()) };
    let format = head.get("content-type").and_then(format_of);
    match format {
        Some(format) if head.status == 200 => parse(format, dialect, &answer.body, goes_on),
        _ => Ok(Vec::new()),
    }
}

/// The session that a recorded exchange belongs to: the `p_id` it sends, or the one that its join is given.
pub(crate) fn session_of(exchange: &Exchange) -> Option<String> {
    let request = String::from_utf8_lossy(&exchange.request);
    let joins = request.contains("p_event=join") || request.contains("p_event=\"join");
    if joins {
        let answer = answers(exchange, &exchange.response).into_iter().next()?;
        let events = events(&answer, Dialect::Original, true).ok()?;
        return events.first().and_then(|event| event.get("p_id")).map(str::to_owned);
    }
    let behind = request.split_once("p_id=")?.1.trim_start_matches(['"', '\'']);
    Some(behind.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned())
}

/// Replays a recording.
pub(crate) fn replay(transcript: &Transcript, addr: SocketAddr, pace: Pace) -> Replayed {
    let mut replayer = Replayer { transcript, pace, lives: Vec::new(), names: Names::default() };
    let mut started = Instant::now();
    let mut before_s = transcript.exchanges.first().map_or(0.0, |exchange| exchange.opened_s);
    for (at, exchange) in transcript.exchanges.iter().enumerate() {
        let gap = Duration::from_secs_f64((exchange.opened_s - before_s).max(0.0));
        let due = started + gap.min(pace.gap_max);
        replayer.settle(exchange.opened_s, gap);
        while Instant::now() < due {
            replayer.pump_for(Duration::from_millis(5));
        }
        replayer.close_what_the_recorder_closed(at);
        replayer.learn();
        before_s = exchange.opened_s;
        started = Instant::now();
        replayer.start(addr, exchange);
    }
    replayer.finish(started);
    Replayed { lives: replayer.lives, names: replayer.names }
}

struct Replayer<'a> {
    transcript: &'a Transcript,
    pace: Pace,
    lives: Vec<Live>,
    names: Names,
}

impl Replayer<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&Exchange, &Live)> {
        self.transcript.exchanges.iter().zip(&self.lives)
    }

    fn start(&mut self, addr: SocketAddr, exchange: &Exchange) {
        let request = self.names.rewrite(exchange);
        let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10)).expect("the server accepts");
        stream.set_nodelay(true).expect("an option of a socket");
        stream.write_all(&request).expect("the server takes a request");
        stream.set_nonblocking(true).expect("an option of a socket");
        self.lives.push(Live { stream: Some(stream), bytes: Vec::new(), eof: false, closed_by_us: false });
    }

    fn pump(&mut self) -> bool {
        self.lives.iter_mut().fold(false, |any, live| live.pump() | any)
    }

    fn pump_for(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            self.pump();
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until `enough` holds or `max` is over.
    fn pump_until(&mut self, max: Duration, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + max;
        loop {
            self.pump();
            if enough(self) || Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until what had been answered before `now_s` in the recording has been answered here too: that is the order
    /// to keep.
    fn settle(&mut self, now_s: f64, gap: Duration) {
        self.pump_until(Duration::from_secs(1), |replayer| {
            replayer.pairs().all(|(exchange, live)| {
                let due = exchange.last_read_s() <= now_s && !closed_by_the_client(exchange);
                match exchange.end {
                    End::Complete | End::Eof if due => live.closed_by_us || is_over(exchange, &live.bytes, live.eof),
                    _ => exchange.reads.is_empty() || !live.bytes.is_empty() || live.eof,
                }
            })
        });
        if gap >= Duration::from_millis(50) {
            self.pump_until_quiet(Duration::from_millis(30), Duration::from_millis(300));
        }
    }

    fn pump_until_quiet(&mut self, quiet: Duration, max: Duration) {
        let deadline = Instant::now() + max;
        let mut last = Instant::now();
        while last.elapsed() < quiet && Instant::now() < deadline {
            if self.pump() {
                last = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn close_what_the_recorder_closed(&mut self, next: usize) {
        let now_s = self.transcript.exchanges[next].opened_s;
        for (exchange, live) in self.transcript.exchanges.iter().zip(&mut self.lives) {
            if closed_by_the_client(exchange) && exchange.last_read_s() < now_s && live.stream.is_some() {
                live.stream = None;
                live.closed_by_us = true;
            }
        }
    }

    /// Waits for the rest, at most as long as the original took for it (within the pace) and then some.
    fn finish(&mut self, started: Instant) {
        let last_opened_s = self.transcript.exchanges.last().map_or(0.0, |exchange| exchange.opened_s);
        let last_read_s = self.transcript.exchanges.iter().map(Exchange::last_read_s).fold(last_opened_s, f64::max);
        let tail = Duration::from_secs_f64(last_read_s - last_opened_s).min(self.pace.gap_max);
        self.pump_until((started + tail + self.pace.patience).saturating_duration_since(Instant::now()), |replayer| {
            replayer.pairs().all(|(exchange, live)| {
                live.closed_by_us || {
                    let over = is_over(exchange, &live.bytes, live.eof);
                    let open = exchange.end == End::Open;
                    over || (open && event_count(exchange, &live.bytes) >= event_count(exchange, &exchange.response))
                }
            })
        });
        self.pump_until_quiet(Duration::from_millis(100), Duration::from_millis(500));
        self.learn();
    }

    /// Learns from the acks who is who.
    fn learn(&mut self) {
        let mut names = std::mem::take(&mut self.names);
        for (exchange, live) in self.pairs() {
            let (recorded, ours) = (answers(exchange, &exchange.response), answers(exchange, &live.bytes));
            for (recorded, ours) in recorded.iter().zip(&ours) {
                let (recorded, ours) =
                    (events(recorded, Dialect::Original, true), events(ours, Dialect::Pushletd, true));
                if let (Ok(recorded), Ok(ours)) = (recorded, ours) {
                    names.learn(session_of(exchange).as_deref(), &recorded, &ours);
                }
            }
        }
        self.names = names;
    }
}

/// How many events there are, for waiting only: unreadable counts as none.
fn event_count(exchange: &Exchange, bytes: &[u8]) -> usize {
    let count = |answer: &AnswerReader| {
        [Dialect::Pushletd, Dialect::Original]
            .map(|dialect| events(answer, dialect, true).map_or(0, |events| events.len()))
    };
    answers(exchange, bytes).iter().map(|answer| count(answer).into_iter().max().unwrap_or(0)).sum()
}

impl Live {
    /// An exchange that has been played already.
    pub(crate) fn played(bytes: Vec<u8>, eof: bool) -> Self {
        Self { stream: None, bytes, eof, closed_by_us: false }
    }

    fn pump(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut piece = [0_u8; 16 * 1024];
        let mut any = false;
        while !self.eof {
            match stream.read(&mut piece) {
                Ok(0) => self.eof = true,
                Ok(read) => {
                    any = true;
                    self.bytes.extend_from_slice(&piece[..read]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.eof = true,
            }
        }
        any
    }
}

impl Names {
    /// Takes the ids out of the acks that both sides gave.
    fn learn(&mut self, session: Option<&str>, recorded: &[Event], ours: &[Event]) {
        let acks = ["join-ack", "join-listen-ack", "listen-ack", "subscribe-ack"];
        let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) else { return };
        if recorded.kind() != ours.kind() || !acks.contains(&recorded.kind()) {
            return;
        }
        if let (true, Some(known), Some(new)) =
            (recorded.kind().starts_with("join"), recorded.get("p_id"), ours.get("p_id"))
        {
            let address = ours.get("p_from").unwrap_or_default().to_owned();
            self.sessions.entry(known.to_owned()).or_insert_with(|| (new.to_owned(), address));
        }
        if let (Some(session), Some(known), Some(new)) = (session, recorded.get("p_sid"), ours.get("p_sid")) {
            self.subscriptions.entry((session.to_owned(), known.to_owned())).or_insert_with(|| new.to_owned());
        }
    }

    /// The recorded request with the server's own ids in it.
    fn rewrite(&self, exchange: &Exchange) -> Vec<u8> {
        let mut request = exchange.request.clone();
        for ((session, known), new) in &self.subscriptions {
            if session_of(exchange).as_deref() == Some(session) {
                request = replace(&request, format!("p_sid={known}").as_bytes(), format!("p_sid={new}").as_bytes());
            }
        }
        for (known, (new, _)) in &self.sessions {
            request = replace(&request, known.as_bytes(), new.as_bytes());
        }
        let body = request.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |end| request.len() - end - 4);
        let old = exchange
            .request
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map_or(0, |end| exchange.request.len() - end - 4);
        let length = |count: usize| format!("Content-Length: {count}\r\n").into_bytes();
        replace(&request, &length(old), &length(body))
    }

    /// The recording's name for one of the server's session ids, wherever it stands in the text.
    pub(crate) fn recorded(&self, text: &str) -> String {
        self.sessions.iter().fold(text.to_owned(), |text, (known, (new, _))| text.replace(new.as_str(), known))
    }
}

fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[test]
fn ids_are_put_into_requests() {
    let mut names = Names::default();
    names.sessions.insert("wezudomyhu".to_owned(), ("LIVE".to_owned(), String::new()));
    names.subscriptions.insert(("wezudomyhu".to_owned(), "abcde".to_owned()), "7".to_owned());
    let exchange = |request: &[u8]| Exchange {
        number: 1,
        opened_s: 0.0,
        request: request.to_vec(),
        response: Vec::new(),
        reads: Vec::new(),
        end: End::Complete,
    };
    let get = exchange(b"GET /p?p_event=unsubscribe&p_id=wezudomyhu&p_sid=abcde&x=abcde HTTP/1.1\r\n\r\n");
    assert_eq!(names.rewrite(&get), b"GET /p?p_event=unsubscribe&p_id=LIVE&p_sid=7&x=abcde HTTP/1.1\r\n\r\n");
    let post = exchange(b"POST /p HTTP/1.1\r\nContent-Length: 26\r\n\r\n<event p_id=\"wezudomyhu\"/>");
    assert_eq!(names.rewrite(&post), b"POST /p HTTP/1.1\r\nContent-Length: 20\r\n\r\n<event p_id=\"LIVE\"/>");
}
