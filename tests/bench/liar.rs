//! A server that speaks as much of the protocol as it takes to be believed, and does one thing wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// What is done wrong. Numbers are those of events; the first subscriber suffers it, or all do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Nothing.
    None,
    /// An event never comes.
    Drop(u64),
    /// An event comes twice.
    Repeat(u64),
    /// An event comes behind its successor.
    Swap(u64),
    /// A publish is refused and delivered all the same.
    DeliverRefused(u64),
    /// A publish is refused: no lie.
    Refuse(u64),
    /// A publish is refused with 503: no lie.
    Overload(u64),
    /// An event is dropped and the next one says so: no lie.
    Tell(u64),
    /// The session is ended and told why: no lie.
    Abort(u64),
    /// The stream ends without a word.
    Cut(u64),
    /// An event comes that nobody published.
    Invent(u64),
    /// A chunk is not as long as it says.
    Garble(u64),
    /// The server does nothing for so many milliseconds before the twentieth event.
    Stall(u64),
}

/// A running liar. It lives as long as the test.
pub(crate) struct Liar {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    events: Arc<AtomicU64>,
}

struct Hall {
    lie: Lie,
    events: Arc<AtomicU64>,
    sessions: AtomicU64,
    /// The subscribers, and what is kept back for the first one.
    audience: Mutex<(Vec<Subscriber>, String)>,
}

/// Somebody who listens, and at which door.
struct Subscriber {
    stream: TcpStream,
    door: Door,
}

/// How a subscriber is spoken to.
#[derive(Clone, Copy)]
enum Door {
    Pushlet,
    EventStream,
}

impl Door {
    /// Where this request leads, if it is one to listen.
    fn of(request: &str) -> Option<Self> {
        let listens = [("p_event=join-listen", Self::Pushlet), ("GET /v1/sse?", Self::EventStream)];
        listens.into_iter().find(|(words, _)| request.contains(words)).map(|(_, door)| door)
    }

    fn ready(self, id: u64) -> String {
        chunk(&match self {
            Self::Pushlet => format!("{{\"p_event\":\"join-listen-ack\",\"p_id\":\"i{id}\",\"p_from\":\"a{id}\"}}"),
            Self::EventStream => {
                format!("retry: 1\nevent: session\ndata: {{\"session\":\"i{id}\",\"address\":\"a{id}\"}}\n")
            }
        })
    }

    /// An event with this mark; `lost` were dropped before it.
    fn event(self, number: u64, lost: u64, mark: &str) -> String {
        let told = |text: String| if lost > 0 { text } else { String::new() };
        chunk(&match self {
            Self::Pushlet => {
                let told = told(format!("\"p_lost\":\"{lost}\","));
                format!("{{\"p_seq\":\"{number}\",{told}\"p_event\":\"data\",\"m\":\"~{mark}~\"}}")
            }
            Self::EventStream => {
                let told = told(format!("\"lost\":{lost},"));
                format!("data: {{{told}\"subject\":\"/s\",\"data\":{{\"m\":\"~{mark}~\"}},\"time\":1}}\n")
            }
        })
    }

    /// The server ends the session and says so.
    fn abort(self) -> String {
        let text = match self {
            Self::Pushlet => "{\"p_seq\":\"1\",\"p_event\":\"abort\"}",
            Self::EventStream => "event: end\ndata: {\"reason\":\"queue-full\",\"text\":\"too slow\"}\n",
        };
        chunk(text) + "0\r\n\r\n"
    }
}

fn chunk(line: &str) -> String {
    format!("{:x}\r\n{line}\n\r\n", line.len() + 1)
}

impl Liar {
    /// Begins to serve.
    pub(crate) fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        let events = Arc::new(AtomicU64::new(0));
        let hall = Hall { lie, events: Arc::clone(&events), sessions: AtomicU64::new(0), audience: Mutex::default() };
        let hall = Arc::new(hall);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let hall = Arc::clone(&hall);
                thread::spawn(move || hall.serve(stream));
            }
        });
        Self { address, events }
    }

    /// How many events were published.
    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::SeqCst)
    }
}

impl Hall {
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        while let Some(request) = read_request(&mut reader) {
            let id = self.sessions.fetch_add(1, Ordering::SeqCst);
            let answer = if let Some(door) = Door::of(&request) {
                let mut audience = self.audience.lock().expect("nobody panics");
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
                let _ = (&stream).write_all((head + &door.ready(id)).as_bytes());
                audience.0.push(Subscriber { stream: stream.try_clone().expect("a second handle"), door });
                continue;
            } else if request.starts_with("OPTIONS /v1/publish ") {
                "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
            } else if request.starts_with("POST /v1/publish ") {
                match self.publish(&request) {
                    Answer::Accepted => plain("202 Accepted", "{\"accepted\":1,\"refused\":0}"),
                    Answer::Refused => plain("400 Bad Request", "{\"status\":400}"),
                    Answer::Overloaded => plain("503 Service Unavailable", "{\"status\":503}"),
                }
            } else if request.contains("p_event=publish") {
                match self.publish(&request) {
                    Answer::Accepted => plain("200 OK", "[{\"p_event\":\"publish-ack\"}]"),
                    Answer::Refused => plain("200 OK", "[{\"p_event\":\"nack\",\"p_reason\":\"overloaded\"}]"),
                    Answer::Overloaded => plain("503 Service Unavailable", "overloaded"),
                }
            } else {
                plain("200 OK", &format!("[{{\"p_event\":\"join-ack\",\"p_id\":\"i{id}\",\"p_from\":\"a{id}\"}}]"))
            };
            if (&stream).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Delivers, as far as the lie goes, and then says what the answer is.
    fn publish(&self, request: &str) -> Answer {
        let number = self.events.fetch_add(1, Ordering::SeqCst) + 1;
        let mark = request.split('~').nth(1).expect("an event has a marker");
        if let (Lie::Stall(ms), 20) = (self.lie, number) {
            pause(ms);
        }
        let mut audience = self.audience.lock().expect("nobody panics");
        let (subscribers, kept) = &mut *audience;
        let refused = matches!(self.lie, Lie::DeliverRefused(n) | Lie::Refuse(n) | Lie::Overload(n) if n == number);
        let silent = refused && !matches!(self.lie, Lie::DeliverRefused(_));
        for (at, subscriber) in subscribers.iter_mut().enumerate().filter(|_| !silent) {
            let usual = subscriber.door.event(number, 0, mark);
            let text = if at == 0 { self.for_first(subscriber.door, number, mark, usual, kept) } else { usual };
            // Who has been cut off takes nothing more.
            let _ = subscriber.stream.write_all(text.as_bytes());
        }
        self.end_first(number, subscribers);
        match refused {
            true if matches!(self.lie, Lie::Overload(_)) => Answer::Overloaded,
            true => Answer::Refused,
            false => Answer::Accepted,
        }
    }

    /// What the first subscriber is told instead of the `usual` event.
    fn for_first(&self, door: Door, number: u64, mark: &str, usual: String, kept: &mut String) -> String {
        match self.lie {
            Lie::Drop(n) | Lie::Tell(n) | Lie::Abort(n) | Lie::Cut(n) if n == number => String::new(),
            Lie::Repeat(n) if n == number => usual.repeat(2),
            Lie::Swap(n) if n == number => {
                kept.clone_from(&usual);
                String::new()
            }
            Lie::Swap(_) => usual + &std::mem::take(kept),
            Lie::Tell(n) if n + 1 == number => door.event(number, 1, mark),
            Lie::Invent(n) if n == number => usual + &door.event(number, 0, "000000:00ffffff:000000000001"),
            Lie::Garble(n) if n == number => usual.replacen("\n\r\n", "\n..", 1),
            _ => usual,
        }
    }

    fn end_first(&self, number: u64, subscribers: &mut [Subscriber]) {
        let Some(first) = subscribers.first_mut() else { return };
        match self.lie {
            Lie::Abort(n) if n == number => {
                let _ = first.stream.write_all(first.door.abort().as_bytes());
            }
            Lie::Cut(n) if n == number => {
                let _ = first.stream.shutdown(std::net::Shutdown::Both);
            }
            _ => {}
        }
    }
}

/// What a publisher is told.
enum Answer {
    Accepted,
    Refused,
    Overloaded,
}

/// Does nothing for a while: the pause is what the test is about.
fn pause(ms: u64) {
    let (_sender, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(ms));
}

fn plain(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// The next request, head and body.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().ok()?;
        }
        text.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(text + &String::from_utf8_lossy(&body))
}
