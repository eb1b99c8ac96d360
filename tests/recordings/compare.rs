//! Puts a recorded exchange and a replayed one into the same words, so that they can be compared.
//!
//! What is *not* compared, because it is no promise of the protocol: attribute order (rule P-13), chunk boundaries,
//! `Date`, `Server`, `Connection`, `Content-Length`, the case and spacing of the charset, and the HTML that a container
//! puts around an error. What is compared by rule and not by value:
//!
//! * ids: each recorded id stands for exactly one of ours, learned from the acks;
//! * `p_from` and `p_id` of data events (rule P-22): to others ours must show the publisher's address and no `p_id`, to
//!   the publisher itself both must be its own session id; with `expose_session_ids` both are the publisher's session
//!   id for everybody; a join's ack must carry an address that is not the session id;
//! * `p_seq` must count 1, 2, 3... within an answer (rule P-14);
//! * `p_time` must be the time of the exchange, unless the publisher had sent one;
//! * `p_wait` must lie in the range of the session's mode (rule P-17).
//!
//! Ours is read strictly, in the dialect that the session is promised: well-formed XML, proper scripts, and for a Java
//! client what its parser understands (rules P-10 and P-11).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use super::differ::{Fields, Line, Seen, compare};
use super::names::Names;
use super::replay::Live;
use super::support::http::{AnswerReader, Head};
use super::support::pushlet::{Dialect, Event, format_of, parse};
use super::transcript::{End, Exchange, Transcript};
use pushletd::protocol::Format;

/// Whose answers are compared with the recorded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Server {
    /// pushletd as it is by default: it shows publishers by their addresses (rule P-22).
    Pushletd,
    /// pushletd with `expose_session_ids`: it shows publishers by their session ids, as the original did.
    Exposing,
    /// The original's own bytes.
    Original,
}

/// What is needed to put one recording into words.
#[derive(Debug)]
pub(crate) struct Comparer<'a> {
    transcript: &'a Transcript,
    server: Server,
    /// When the replay runs, in seconds since 1970.
    wall_s: RangeInclusive<u64>,
    /// Who is who.
    pub(crate) names: Names,
    /// The recorded id of each exchange's session, in order.
    sessions: Vec<Option<String>>,
    /// In which exchange a session was told its mode.
    modes: Vec<(usize, String, String)>,
    /// Sessions that a Java client joined (rule P-11).
    java: BTreeSet<String>,
    /// Whether it is compared when events come.
    real_time: bool,
}

const WAIT_PULL_MS: RangeInclusive<u64> = 2_000..=6_000;
const WAIT_POLL_MS: RangeInclusive<u64> = 6_000..=10_000;
/// The range of the server that had been given short timeouts.
const WAIT_SHORT_MS: RangeInclusive<u64> = 100..=400;

/// The headers by which the original forbids caching.
const NO_CACHE: [(&str, &str); 4] = [
    ("expires", "Sat, 6 May 1995 12:00:00 GMT"),
    ("cache-control", "no-store, no-cache, must-revalidate"),
    ("cache-control", "post-check=0, pre-check=0"),
    ("pragma", "no-cache"),
];

/// Which side of the comparison an answer is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What was recorded.
    Recorded,
    /// What has come this time.
    Live,
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

/// The format of a 200 answer.
fn format_in(answer: &AnswerReader) -> Option<Format> {
    let head = answer.head.as_ref().filter(|head| head.status == 200)?;
    head.get("content-type").and_then(format_of)
}

/// The events of an answer as far as they have come.
pub(crate) fn events(answer: &AnswerReader, dialect: Dialect, goes_on: bool) -> Result<Vec<Event>, String> {
    format_in(answer).map_or(Ok(Vec::new()), |format| parse(format, dialect, &answer.body, goes_on))
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

impl<'a> Comparer<'a> {
    /// For a replay that begins now; in `real_time` events may not come earlier than in the recording.
    pub(crate) fn new(transcript: &'a Transcript, server: Server, real_time: bool) -> Self {
        let sessions: Vec<_> = transcript.exchanges.iter().map(session_of).collect();
        let (mut modes, mut java) = (Vec::new(), BTreeSet::new());
        for (exchange, session) in transcript.exchanges.iter().zip(&sessions) {
            let request = String::from_utf8_lossy(&exchange.request);
            let joins = request.contains("p_event=join");
            if joins && request.split_once("User-Agent: ").is_some_and(|(_, agent)| agent.contains("Java/")) {
                java.extend(session.clone());
            }
            for answer in answers(exchange, &exchange.response) {
                let events = events(&answer, Dialect::Original, true).unwrap_or_default();
                let told = events.iter().filter(|event| event.kind().ends_with("listen-ack"));
                for (id, mode) in told.filter_map(|event| Some((event.get("p_id")?, event.get("p_mode")?))) {
                    modes.push((exchange.number, id.to_owned(), mode.to_owned()));
                }
            }
        }
        let wall_s = match server {
            // The recording's own clock.
            Server::Original => transcript.wall_s(),
            Server::Pushletd | Server::Exposing => unix_s() - 2..=u64::MAX,
        };
        Self { transcript, server, wall_s, names: Names::default(), sessions, modes, java, real_time }
    }

    /// The replay is over: what comes later is not the time of its exchanges.
    pub(crate) fn ends_now(&mut self) {
        if self.server != Server::Original {
            self.wall_s = *self.wall_s.start()..=unix_s() + 2;
        }
    }

    /// The recorded id of the exchange's session.
    pub(crate) fn session(&self, exchange: &Exchange) -> Option<&str> {
        self.sessions[exchange.number - 1].as_deref()
    }

    /// Takes out of an exchange what it tells of who is who.
    pub(crate) fn learn(&mut self, exchange: &Exchange, live: &Live) {
        let (recorded, ours) = (answers(exchange, &exchange.response), answers(exchange, &live.bytes));
        for (recorded, ours) in recorded.iter().zip(&ours) {
            let recorded = self.events(exchange, recorded, Side::Recorded, true);
            let ours = self.events(exchange, ours, Side::Live, true);
            if let (Ok(recorded), Ok(ours)) = (recorded, ours) {
                self.names.learn(self.sessions[exchange.number - 1].as_deref(), &recorded, &ours);
            }
        }
    }

    /// Where a replayed exchange differs from a recorded one, or from the beginning of one. No two lines are the same.
    pub(crate) fn differences(&self, exchange: &Exchange, live: &Live) -> Vec<Line> {
        let (recorded, ours) = (self.recorded(exchange), self.live(exchange, live));
        let mut lines = Vec::new();
        if recorded.len() != ours.len() {
            let text = format!("answers: recorded {}, ours {}", recorded.len(), ours.len());
            lines.push(Line { text, owed: recorded.len() > ours.len() });
        }
        for (at, (recorded, ours)) in recorded.iter().zip(&ours).enumerate() {
            for line in compare(recorded, ours) {
                let text = if at == 0 { line.text } else { format!("answer {}: {}", at + 1, line.text) };
                lines.push(Line { text, owed: line.owed });
            }
        }
        let mut known = BTreeMap::new();
        for line in &mut lines {
            let count = known.entry(line.text.clone()).or_insert(0);
            *count += 1;
            if *count > 1 {
                line.text.push_str(&format!(" ({count})"));
            }
        }
        lines
    }

    /// The recorded answers in comparable words.
    pub(crate) fn recorded(&self, exchange: &Exchange) -> Vec<Seen> {
        let ended = match exchange.end {
            _ if exchange.request.starts_with(b"HEAD ") || closed_by_the_client(exchange) => None,
            End::Complete | End::Eof => Some(true),
            End::Open => Some(false),
        };
        let mut seen = self.all_seen(exchange, &exchange.response, Side::Recorded, ended);
        if let ([seen], true) = (seen.as_mut_slice(), self.real_time) {
            seen.came_s = self.came_s(exchange, Side::Recorded, &exchange.response, &exchange.reads);
        }
        seen
    }

    /// The replayed answers in comparable words.
    pub(crate) fn live(&self, exchange: &Exchange, live: &Live) -> Vec<Seen> {
        let whole = is_over(exchange, &live.bytes, live.eof);
        let says_nothing = exchange.request.starts_with(b"HEAD ") || live.closed_by_us;
        let mut seen = self.all_seen(exchange, &live.bytes, Side::Live, (!says_nothing).then_some(whole));
        if let ([seen], true) = (seen.as_mut_slice(), self.real_time) {
            seen.came_s = self.came_s(exchange, Side::Live, &live.bytes, &live.reads);
        }
        seen
    }

    fn all_seen(&self, exchange: &Exchange, bytes: &[u8], side: Side, ended: Option<bool>) -> Vec<Seen> {
        answers(exchange, bytes).iter().map(|answer| self.seen(exchange, answer, side, ended)).collect()
    }

    /// When each event of a lone answer had come, in seconds after the request.
    fn came_s(&self, exchange: &Exchange, side: Side, bytes: &[u8], reads: &[(f64, usize)]) -> Vec<f64> {
        let (mut end, mut came_s) = (0, Vec::new());
        for (after_s, length) in reads {
            end += length;
            let Some(answer) = answers(exchange, &bytes[..end.min(bytes.len())]).pop() else { break };
            let count = self.events(exchange, &answer, side, true).map_or(0, |events| events.len());
            came_s.resize(count.max(came_s.len()), *after_s);
        }
        came_s
    }

    /// The dialect that an answer is to be read in.
    fn dialect(&self, exchange: &Exchange, answer: &AnswerReader, side: Side) -> Dialect {
        match (side, self.server) {
            (Side::Recorded, _) | (_, Server::Original) => Dialect::Original,
            _ if format_in(answer) == Some(Format::Xml)
                && self.session(exchange).is_some_and(|session| self.java.contains(session)) =>
            {
                Dialect::PushletdForJava
            }
            _ => Dialect::Pushletd,
        }
    }

    fn events(
        &self,
        exchange: &Exchange,
        answer: &AnswerReader,
        side: Side,
        goes_on: bool,
    ) -> Result<Vec<Event>, String> {
        events(answer, self.dialect(exchange, answer, side), goes_on)
    }

    fn seen(&self, exchange: &Exchange, answer: &AnswerReader, side: Side, ended: Option<bool>) -> Seen {
        let Some(head) = &answer.head else { return Seen { ended, ..Seen::default() } };
        let mut seen = Seen { status: head.status, ended, ..Seen::default() };
        if head.status != 200 {
            seen.text = String::from_utf8_lossy(&answer.body).into_owned();
            if side == Side::Live {
                seen.text = self.names.recorded(&seen.text);
            }
            return seen;
        }
        seen.content_type = head.get("content-type").unwrap_or("none").to_ascii_lowercase().replace(' ', "");
        seen.no_cache = forbids_caching(head);
        match self.events(exchange, answer, side, ended != Some(true)) {
            Ok(events) => {
                seen.frame = format_in(answer).filter(|_| !events.is_empty()).and_then(|format| {
                    let body = String::from_utf8_lossy(&answer.body);
                    frame(format, &body)
                });
                seen.events = self.canonical(exchange, &events, side);
            }
            Err(what) => seen.unreadable = Some(what),
        }
        seen
    }

    fn canonical(&self, exchange: &Exchange, events: &[Event], side: Side) -> Vec<Fields> {
        let mut seq = 0;
        let told = events.iter().filter(|event| event.kind().ends_with("listen-ack"));
        let mode = told.filter_map(|event| event.get("p_mode")).next_back();
        let mode = mode.or_else(|| self.mode_before(exchange)).unwrap_or_default();
        let mut canonical = Vec::new();
        for event in events {
            let mut fields = Fields::new();
            let mut twice = BTreeSet::new();
            for (name, value) in event.fields() {
                if fields.insert(name.to_owned(), value.to_owned()).is_some() {
                    twice.insert(name.to_owned());
                }
            }
            for name in twice {
                fields.insert(format!("{name} (twice)"), String::new());
            }
            if side == Side::Live {
                self.to_recorded_names(&mut fields, event, self.session(exchange));
            }
            self.by_rule(exchange, &mut fields, side, mode, &mut seq);
            canonical.push(fields);
        }
        canonical
    }

    /// The mode that the exchange's session had been told before it.
    fn mode_before(&self, exchange: &Exchange) -> Option<&str> {
        let session = self.session(exchange)?;
        let before = |(number, id, _): &&(usize, String, String)| *number < exchange.number && id == session;
        self.modes.iter().rfind(before).map(|(_, _, mode)| mode.as_str())
    }

    /// Says our ids in the recording's names; P-22 is checked here.
    fn to_recorded_names(&self, fields: &mut Fields, event: &Event, receiver: Option<&str>) {
        let kind = event.kind();
        if self.server != Server::Original {
            if kind == "join-ack" || kind == "join-listen-ack" {
                let own = |address: &String| address.len() >= 22 && Some(address.as_str()) != event.get("p_id");
                if fields.get("p_from").is_some_and(own) {
                    fields.remove("p_from");
                } else {
                    fields.insert("p_from".to_owned(), "not an address of its own (P-22)".to_owned());
                }
            } else if let Some(from) = event.get("p_from") {
                match self.publisher(from, event.get("p_id"), receiver) {
                    Some(known) => {
                        fields.insert("p_from".to_owned(), known.clone());
                        fields.insert("p_id".to_owned(), known);
                    }
                    None => {
                        fields.insert("p_from".to_owned(), "not as P-22 says".to_owned());
                    }
                }
            }
        }
        if let (Some(sid), Some(receiver)) = (fields.get_mut("p_sid"), receiver)
            && let Some(recorded) = self.names.recorded_sid(receiver, sid)
        {
            recorded.clone_into(sid);
        }
        for name in ["p_id", "p_from", "p_to", "p_url", "p_reason"] {
            if let Some(value) = fields.get_mut(name) {
                *value = self.names.recorded(value);
            }
        }
    }

    /// The recorded id of a data event's publisher, if `p_from` and `p_id` are what rule P-22 says for this receiver.
    fn publisher(&self, from: &str, id: Option<&str>, receiver: Option<&str>) -> Option<String> {
        let mut sessions = self.names.sessions.iter();
        let (known, (session, address)) =
            sessions.find(|(_, (session, address))| session == from || address == from)?;
        let right = if self.server == Server::Exposing || receiver == Some(known.as_str()) {
            from == session && id == Some(session.as_str())
        } else {
            from == address && id.is_none()
        };
        right.then(|| known.clone())
    }

    /// Replaces what is compared by rule: sequence numbers, times and waits.
    fn by_rule(&self, exchange: &Exchange, fields: &mut Fields, side: Side, mode: &str, seq: &mut u64) {
        if let Some(value) = fields.get_mut("p_seq") {
            *seq += 1;
            if *value == seq.to_string() {
                "<next>".clone_into(value);
            }
        }
        let wall_s = match side {
            Side::Recorded => exchange.opened_s as u64 - 2..=exchange.last_read_s() as u64 + 2,
            Side::Live => self.wall_s.clone(),
        };
        if let Some(value) = fields.get_mut("p_time")
            && value.parse().is_ok_and(|time| wall_s.contains(&time))
        {
            "<now>".clone_into(value);
        }
        let range = match mode {
            _ if self.transcript.short_timeouts => WAIT_SHORT_MS,
            "poll" => WAIT_POLL_MS,
            _ => WAIT_PULL_MS,
        };
        if let Some(value) = fields.get_mut("p_wait")
            && value.parse().is_ok_and(|wait| range.contains(&wait))
        {
            "<wait>".clone_into(value);
        }
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

fn forbids_caching(head: &Head) -> bool {
    NO_CACHE.iter().all(|(name, value)| head.all(name).any(|known| known == *value))
}

/// What a text format puts before its first event and behind its last.
fn frame(format: Format, body: &str) -> Option<(String, String)> {
    let (begin, end) = match format {
        Format::Js => {
            let script = "<script language=\"JavaScript\">";
            let push = body.find(&format!("{script}parent.push("));
            let url = body.find(&format!("{script}url="));
            let first = push.into_iter().chain(url).min()?;
            (first, body.rfind("</script>")? + "</script>".len())
        }
        Format::Xml | Format::XmlStrict => (body.find("<event ")?, body.rfind("/>")? + "/>".len()),
        Format::Ser | Format::Json | Format::V1 | Format::V1Unnamed | Format::Message | Format::MessageDeflate => {
            return None;
        }
    };
    Some((body.get(..begin)?.to_owned(), body.get(end..)?.to_owned()))
}
