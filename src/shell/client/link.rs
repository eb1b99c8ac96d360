//! One connection to the server, and the requests that go over it one after the other.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::event::{Event, shown};
use super::object::Posted;
use super::reader::{EventReader, Found};
use super::target::Target;
use super::trouble::Trouble;
use super::watch::Watch;
use crate::client::answer::{AnswerReader, Head};
use crate::limits::{CLIENT_ANSWER_MS, CLIENT_CONNECT_MS, CLIENT_IDLE_MS, CLIENT_TARGET_BYTES_MAX, CLIENT_TICK_MS};
use crate::protocol::Format;

/// How much of an error page is read and how much of it is shown.
const ERROR_BYTES_MAX: usize = 64 * 1024;
const ERROR_LETTERS_MAX: usize = 200;
/// Longest answer that is read as a whole, in bytes: all events that the largest queue of a session holds.
const WHOLE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A way to send requests to one server: at most one connection, made when it is needed and kept while it is of use.
#[derive(Debug)]
pub(super) struct Line<'a> {
    target: &'a Target,
    watch: &'a Watch,
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    stream: TcpStream,
    answer: AnswerReader,
    used_at: Instant,
}

/// Who wants the events of an answer.
pub(super) trait Take {
    /// One event. An error ends the answer.
    fn take(&mut self, event: Event) -> Result<(), Trouble>;

    /// There is nothing more for now.
    fn pause(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}

impl Take for Vec<Event> {
    fn take(&mut self, event: Event) -> Result<(), Trouble> {
        self.push(event);
        Ok(())
    }
}

/// Who reads the body of an answer that is no refusal.
pub(super) trait Body {
    /// The answer begins.
    fn head(&mut self, _: &Head) -> Result<(), Trouble> {
        Ok(())
    }

    /// What has come. An error ends the answer.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Trouble>;

    /// How long nothing may come, where the server has said how often something does.
    fn silence(&self) -> Option<Duration> {
        None
    }
}

/// The events of a Pushlet answer.
struct Events<'a> {
    reader: EventReader,
    to: &'a mut dyn Take,
    watch: &'a Watch,
}

impl Body for Events<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.reader.feed(bytes);
        while let Some(found) = self.reader.next() {
            match found {
                Found::Event(event) => self.to.take(event)?,
                Found::Malformed(what) => self.watch.say(&format!("an event was skipped: {what}")),
                Found::Endless => return Err(Trouble::Nonsense("an event has no end".to_owned())),
            }
        }
        self.to.pause()
    }
}

/// A whole answer, whatever it says.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its head.
    pub(super) head: Head,
    /// Its body.
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// What a reply that is no success comes to.
    pub(super) fn refusal(&self) -> Trouble {
        let Head { status, reason, retry_after_s, location, .. } = &self.head;
        let mut text = reason.clone();
        if let Some(location) = location.as_ref().filter(|_| status / 100 == 3) {
            text.push_str(&format!(" and sends us to {location}"));
        }
        let said = self.problem().unwrap_or_else(|| page_text(&String::from_utf8_lossy(&self.body)));
        if !said.is_empty() && !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        Trouble::Refused { status: *status, text: shown(&text, ERROR_LETTERS_MAX), retry_after_s: *retry_after_s }
    }

    /// What a problem document (RFC 9457) says, and of which part of the request.
    fn problem(&self) -> Option<String> {
        if self.head.media_type != "application/problem+json" {
            return None;
        }
        let Posted { detail, field, .. } = serde_json::from_slice(&self.body).ok()?;
        Some(detail + &field.map_or_else(String::new, |field| format!(" ({field})")))
    }
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The whole answer must be there by then.
    Until(Instant),
    /// It may go on for ever as long as something comes this often.
    Silence(Duration),
}

impl<'a> Line<'a> {
    /// A line that is not connected yet.
    pub(super) const fn new(target: &'a Target, watch: &'a Watch) -> Self {
        Self { target, watch, link: None }
    }

    /// Sends a control request and reads the events of its answer. A nack is an error here.
    ///
    /// # Errors
    ///
    /// See [`Trouble`].
    pub(super) fn control(&mut self, format: Format, fields: &[(&str, &str)]) -> Result<Vec<Event>, Trouble> {
        let patience = Patience::Until(Instant::now() + self.watch.patience(CLIENT_ANSWER_MS));
        let mut events = Vec::new();
        self.exchange(format, fields, patience, &mut events)?;
        match events.iter().find(|event| event.kind() == "nack") {
            Some(nack) => Err(Trouble::Nack(reason_of(nack))),
            None => Ok(events),
        }
    }

    /// Sends a data request and gives every event to `to` as it comes, until the answer ends, `to` says
    /// no, or nothing comes for `silence`.
    ///
    /// # Errors
    ///
    /// See [`Trouble`]; whatever `to` returns ends it too.
    pub(super) fn data(
        &mut self,
        format: Format,
        fields: &[(&str, &str)],
        silence: Duration,
        to: &mut dyn Take,
    ) -> Result<(), Trouble> {
        self.exchange(format, fields, Patience::Silence(silence), to)
    }

    fn exchange(
        &mut self,
        format: Format,
        fields: &[(&str, &str)],
        patience: Patience,
        to: &mut dyn Take,
    ) -> Result<(), Trouble> {
        let request = request_text(self.target, fields);
        let reader = EventReader::new(format)
            .ok_or_else(|| Trouble::Nonsense("this tool does not read the format".to_owned()))?;
        let mut events = Events { reader, to, watch: self.watch };
        let watch = self.watch;
        self.converse(&request, |link| link.read_body(watch, patience, &mut events))
    }

    /// Sends a request whose answer has no end, and gives its body to `body` until the answer ends all the same, `body` says no, or nothing
    /// comes for `silence`.
    ///
    /// # Errors
    ///
    /// See [`Trouble`]; whatever `body` returns ends it too.
    pub(super) fn stream(&mut self, request: &[u8], silence: Duration, body: &mut dyn Body) -> Result<(), Trouble> {
        let watch = self.watch;
        self.converse(request, |link| link.read_body(watch, Patience::Silence(silence), body))
    }

    /// Sends a request and reads its whole answer, whatever it says, for at most `patience`.
    ///
    /// # Errors
    ///
    /// There is no whole answer; see [`Trouble`].
    pub(super) fn ask(&mut self, request: &[u8], patience: Duration) -> Result<Reply, Trouble> {
        let (watch, patience) = (self.watch, Patience::Until(Instant::now() + patience));
        self.converse(request, |link| link.read_whole(watch, patience))
    }

    fn converse<T>(
        &mut self,
        request: &[u8],
        read: impl FnOnce(&mut Link) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut link = match self.link.take().filter(Link::is_usable) {
            Some(link) => link,
            None => connect(self.target, self.watch)?,
        };
        link.send(request)?;
        let outcome = read(&mut link);
        link.used_at = Instant::now();
        if link.answer.leaves_connection_usable() {
            self.link = Some(link);
        }
        outcome
    }
}

/// The `p_reason` of a nack or an abort, fit for a terminal.
pub(super) fn reason_of(event: &Event) -> String {
    shown(event.get("p_reason").unwrap_or("no reason given"), ERROR_LETTERS_MAX)
}

/// A GET, as every Pushlet server understands it; a POST if that would be too long (pushletd only, rule P-3).
fn request_text(target: &Target, fields: &[(&str, &str)]) -> Vec<u8> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let common = common_head(target, "*/*");
    if target.path.len() + query.len() < CLIENT_TARGET_BYTES_MAX {
        return format!("GET {}?{query} {common}\r\n", target.path).into_bytes();
    }
    let content = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", query.len());
    format!("POST {} {common}{content}\r\n{query}", target.path).into_bytes()
}

/// What every request says, behind its method and path.
fn common_head(target: &Target, accept: &str) -> String {
    let (host, version, key) = (target.host_header(), env!("CARGO_PKG_VERSION"), target.key_header());
    format!("HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pushletd/{version}\r\nAccept: {accept}\r\n{key}")
}

/// A GET of the modern door `door`, whose answer is to be of the type `accept`; with the position that an earlier stream has come to.
pub(super) fn door_get(
    target: &Target,
    door: &str,
    query: &[(&str, &str)],
    accept: &str,
    last_id: Option<&str>,
) -> Vec<u8> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let head = common_head(target, accept);
    // What would end the line is no position of any server that we know.
    let last = last_id.filter(|id| !id.is_empty() && !id.contains(char::is_control));
    let last = last.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
    format!("GET {}?{query} {head}Cache-Control: no-store\r\n{last}\r\n", target.door(door)).into_bytes()
}

/// A POST of JSON to the modern door for publishing.
pub(super) fn door_post(target: &Target, json: &str, idempotency_key: Option<&str>) -> Vec<u8> {
    let head = common_head(target, "*/*");
    let key = idempotency_key.map_or_else(String::new, |key| format!("Idempotency-Key: {key}\r\n"));
    let content = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
    format!("POST {} {head}{key}{content}\r\n{json}", target.door("v1/publish")).into_bytes()
}

/// A request that ends a session, at whichever door it began (rule P-27).
pub(super) fn leave_request(target: &Target, session: &str) -> Vec<u8> {
    request_text(target, &[("p_event", "leave"), ("p_id", session)])
}

fn connect(target: &Target, watch: &Watch) -> Result<Link, Trouble> {
    dial(target, watch).map(|stream| Link { stream, answer: AnswerReader::new(), used_at: Instant::now() })
}

/// A connection on which reads take a tick at most.
///
/// # Errors
///
/// There is none; see [`Trouble`].
pub(super) fn dial(target: &Target, watch: &Watch) -> Result<TcpStream, Trouble> {
    let whole = |what: String| Trouble::Link(format!("cannot connect to {}:{}: {what}", target.host, target.port));
    let addresses = (target.host.as_str(), target.port).to_socket_addrs().map_err(|error| whole(error.to_string()))?;
    let mut last = whole("the name has no address".to_owned());
    for address in addresses {
        watch.tick()?;
        match TcpStream::connect_timeout(&address, watch.patience(CLIENT_CONNECT_MS)) {
            Ok(stream) => {
                let settings = stream
                    .set_nodelay(true)
                    .and_then(|()| stream.set_read_timeout(Some(Duration::from_millis(CLIENT_TICK_MS))))
                    .and_then(|()| stream.set_write_timeout(Some(Duration::from_millis(CLIENT_CONNECT_MS))));
                settings.map_err(|error| whole(error.to_string()))?;
                return Ok(stream);
            }
            Err(error) => last = whole(error.to_string()),
        }
    }
    Err(last)
}

impl Link {
    /// Whether another request may be sent: not if the server may be closing the connection, for then nobody knows
    /// whether it was read.
    fn is_usable(&self) -> bool {
        let fresh = self.used_at.elapsed() < Duration::from_millis(CLIENT_IDLE_MS);
        let silent = || {
            self.stream.set_nonblocking(true).is_ok()
                && self.stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
                && self.stream.set_nonblocking(false).is_ok()
        };
        fresh && silent()
    }

    fn send(&mut self, request: &[u8]) -> Result<(), Trouble> {
        self.answer = AnswerReader::new();
        self.stream.write_all(request).map_err(|error| Trouble::Link(format!("the request could not be sent: {error}")))
    }

    /// Reads until something comes. Returns whether the answer goes on.
    fn read_some(&mut self, watch: &Watch, patience: Patience) -> Result<bool, Trouble> {
        let began = Instant::now();
        let mut piece = [0_u8; 32 * 1024];
        loop {
            watch.tick()?;
            let late = match patience {
                Patience::Until(deadline) => Instant::now() >= deadline,
                Patience::Silence(max) => began.elapsed() >= max,
            };
            if late {
                let what = if self.answer.head().is_some() {
                    "the server has gone silent"
                } else {
                    "the server does not answer"
                };
                return Err(Trouble::Link(what.to_owned()));
            }
            match self.stream.read(&mut piece) {
                Ok(0) => return self.answer.finish().map(|()| false).map_err(Trouble::Link),
                Ok(count) => {
                    self.answer.feed(piece.get(..count).unwrap_or_default()).map_err(Trouble::Nonsense)?;
                    return Ok(!self.answer.is_complete());
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                }
                Err(error) => return Err(Trouble::Link(format!("the connection broke: {error}"))),
            }
        }
    }

    fn read_body(&mut self, watch: &Watch, patience: Patience, body: &mut dyn Body) -> Result<(), Trouble> {
        let (mut goes_on, mut begun) = (true, false);
        while goes_on {
            let patience = match (patience, body.silence()) {
                (Patience::Silence(_), Some(silence)) => Patience::Silence(silence),
                (patience, _) => patience,
            };
            goes_on = self.read_some(watch, patience)?;
            match self.answer.head() {
                None => continue,
                Some(head) if head.status != 200 => return Err(self.read_refusal(watch, patience)),
                Some(head) if !begun => body.head(head)?,
                Some(_) => {}
            }
            begun = true;
            body.take(&self.answer.take_body())?;
        }
        Ok(())
    }

    fn read_whole(&mut self, watch: &Watch, patience: Patience) -> Result<Reply, Trouble> {
        let mut goes_on = true;
        while goes_on {
            goes_on = self.read_some(watch, patience)?;
            if self.answer.body_len() > WHOLE_BYTES_MAX {
                return Err(Trouble::Nonsense("an answer has no end".to_owned()));
            }
        }
        self.reply().ok_or_else(|| Trouble::Link("the server does not answer".to_owned()))
    }

    /// The answer, as far as it has come.
    fn reply(&mut self) -> Option<Reply> {
        let body = self.answer.take_body();
        self.answer.head().map(|head| Reply { head: head.clone(), body })
    }

    /// Reads the rest of an error answer, as far as it is worth showing.
    fn read_refusal(&mut self, watch: &Watch, patience: Patience) -> Trouble {
        while !self.answer.is_complete() && self.answer.body_len() < ERROR_BYTES_MAX {
            match self.read_some(watch, patience) {
                Ok(_) => {}
                Err(Trouble::Stopped) => return Trouble::Stopped,
                Err(_) => break,
            }
        }
        match self.reply() {
            Some(reply) => reply.refusal(),
            None => Trouble::Link("the server does not answer".to_owned()),
        }
    }
}

/// What an error page says: its title if it is HTML, else its text.
fn page_text(page: &str) -> String {
    let titled = page.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>")).map(|(title, _)| title);
    let mut text = String::new();
    let mut in_tag = false;
    for letter in titled.unwrap_or(page).chars() {
        match letter {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            _ if in_tag => {}
            letter => text.push(letter),
        }
    }
    let text = text.trim();
    quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_get_and_long_ones_post() {
        let target = Target::parse("h:81/x").expect("a URL");
        let text = |fields: &[(&str, &str)]| String::from_utf8(request_text(&target, fields)).expect("text");
        let get = text(&[("p_event", "publish"), ("a b", "\u{e9}&=+")]);
        assert!(
            get.starts_with("GET /x/pushlet.srv?p_event=publish&a+b=%C3%A9%26%3D%2B HTTP/1.1\r\nHost: h:81\r\n"),
            "{get}"
        );
        assert!(get.ends_with("\r\n\r\n"));
        let long = "x".repeat(CLIENT_TARGET_BYTES_MAX);
        let post = text(&[("v", &long)]);
        assert!(post.starts_with("POST /x/pushlet.srv HTTP/1.1\r\n"), "{post}");
        assert!(post.contains(&format!("\r\nContent-Length: {}\r\n\r\nv=xxx", long.len() + 2)), "{post}");
    }

    #[test]
    fn requests_of_the_modern_doors_are_what_they_say() {
        let target = Target::parse("h:81/x").expect("a URL");
        let query = [("subject", "/a/**"), ("subject", "b,c")];
        let get =
            |last| String::from_utf8(door_get(&target, "v1/sse", &query, "text/event-stream", last)).expect("text");
        let whole = get(Some("7-1-9"));
        assert!(
            whole.starts_with("GET /x/v1/sse?subject=%2Fa%2F**&subject=b%2Cc HTTP/1.1\r\nHost: h:81\r\n"),
            "{whole}"
        );
        assert!(whole.contains("\r\nAccept: text/event-stream\r\n"), "{whole}");
        assert!(whole.ends_with("\r\nLast-Event-ID: 7-1-9\r\n\r\n"), "{whole}");
        assert!(!get(Some("a\nb")).contains("Last-Event-ID") && !get(None).contains("Last-Event-ID"));
        let post = String::from_utf8(door_post(&target, "[\"\u{e9}\"]", Some("K"))).expect("text");
        assert!(post.starts_with("POST /x/v1/publish HTTP/1.1\r\n"), "{post}");
        assert!(post.contains("\r\nIdempotency-Key: K\r\nContent-Type: application/json\r\n"), "{post}");
        assert!(post.ends_with("\r\nContent-Length: 6\r\n\r\n[\"\u{e9}\"]"), "{post}");
    }

    #[test]
    fn error_pages_are_boiled_down() {
        let page = "<html><head><title>Error 400 Invalid or expired id: &lt;b&gt;</title></head><body>x</body></html>";
        assert_eq!(page_text(page), "Error 400 Invalid or expired id: <b>");
        assert_eq!(page_text("Invalid or expired id: x\n"), "Invalid or expired id: x");
        assert_eq!(page_text("<h1>Bad</h1> <i>thing</i>"), "Bad thing");
        assert_eq!(page_text("a & b"), "a & b");
    }
}
