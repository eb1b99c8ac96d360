//! Puts a recorded exchange and a replayed one into the same words, and says where they differ.
//!
//! What is *not* compared, because it is no promise of the protocol: attribute order (rule P-13), chunk boundaries,
//! `Date`, `Server`, `Connection`, the case and spacing of the charset, and the HTML that a container puts around an
//! error. What is compared by rule and not by value:
//!
//! * ids: each recorded id stands for exactly one of ours, learned from the acks;
//! * `p_from` and `p_id` of data events (rule P-22): to others ours must show the publisher's address and no `p_id`, to
//!   the publisher
//!   itself both must be its own session id; a join's ack must carry an address that is not the session id;
//! * `p_seq` must count 1, 2, 3... within an answer (rule P-14);
//! * `p_time` must be the time of the exchange, unless the publisher had sent one;
//! * `p_wait` must lie in the range of the session's mode (rule P-17).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::replay::{Live, Names, answers, closed_by_the_client, events, is_over, session_of};
use super::support::http::{AnswerReader, Head};
use super::support::pushlet::{Dialect, Event};
use super::transcript::{End, Exchange, Transcript};

/// Whether the server shows addresses (as pushletd does) or session ids (as the original did, and pushletd with
/// `expose_session_ids`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publishers {
    /// Rule P-22.
    Addresses,
    /// The original's way.
    SessionIds,
}

/// One answer in comparable words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The status code.
    pub(crate) status: u16,
    /// The media type and charset of a 200 answer, in lower case.
    pub(crate) content_type: String,
    /// Whether a 200 answer forbids caching as the original does (rule P-33).
    pub(crate) no_cache: bool,
    /// The text of an error answer.
    pub(crate) text: String,
    /// The events, or why they cannot be read.
    pub(crate) events: Vec<BTreeMap<String, String>>,
    /// Why the body cannot be read.
    pub(crate) unreadable: Option<String>,
    /// Whether the answer has ended; `None` if that says nothing.
    pub(crate) ended: Option<bool>,
}

/// What is needed to put one recording into words.
#[derive(Debug)]
pub(crate) struct Comparer<'a> {
    /// The recording.
    pub(crate) transcript: &'a Transcript,
    /// Who is who.
    pub(crate) names: &'a Names,
    /// What the server shows of publishers.
    pub(crate) publishers: Publishers,
    /// When the replay ran, in seconds since 1970.
    pub(crate) wall_s: RangeInclusive<u64>,
    /// The session's mode, by recorded id.
    pub(crate) modes: BTreeMap<String, String>,
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

/// Which side of the comparison an event is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Recorded,
    Live,
}

impl<'a> Comparer<'a> {
    /// For a replay that ran in `wall_s`.
    pub(crate) fn new(
        transcript: &'a Transcript,
        names: &'a Names,
        publishers: Publishers,
        wall_s: RangeInclusive<u64>,
    ) -> Self {
        let mut modes = BTreeMap::new();
        for exchange in &transcript.exchanges {
            for answer in answers(exchange, &exchange.response) {
                for event in events(&answer, Dialect::Original, true).unwrap_or_default() {
                    if let (true, Some(id), Some(mode)) =
                        (event.kind().ends_with("listen-ack"), event.get("p_id"), event.get("p_mode"))
                    {
                        modes.insert(id.to_owned(), mode.to_owned());
                    }
                }
            }
        }
        Self { transcript, names, publishers, wall_s, modes }
    }

    /// Where a replayed exchange differs from the recorded one. No two lines are the same.
    pub(crate) fn differences(&self, exchange: &Exchange, live: &Live) -> Vec<String> {
        let recorded = self.recorded(exchange);
        let ours = self.live(exchange, live);
        let mut lines = Vec::new();
        if recorded.len() != ours.len() {
            lines.push(format!("answers: recorded {}, ours {}", recorded.len(), ours.len()));
        }
        for (at, (recorded, ours)) in recorded.iter().zip(&ours).enumerate() {
            let mark = if recorded == ours || at == 0 { String::new() } else { format!("answer {}: ", at + 1) };
            lines.extend(compare(recorded, ours).into_iter().map(|line| format!("{mark}{line}")));
        }
        let mut known = BTreeMap::new();
        for line in &mut lines {
            let count = known.entry(line.clone()).or_insert(0);
            *count += 1;
            if *count > 1 {
                line.push_str(&format!(" ({count})"));
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
        let answers = answers(exchange, &exchange.response);
        answers.iter().map(|answer| self.seen(exchange, answer, Side::Recorded, ended)).collect()
    }

    /// The replayed answers in comparable words.
    pub(crate) fn live(&self, exchange: &Exchange, live: &Live) -> Vec<Seen> {
        let whole = is_over(exchange, &live.bytes, live.eof);
        let ended = match exchange.end {
            _ if exchange.request.starts_with(b"HEAD ") || live.closed_by_us => None,
            _ => Some(whole),
        };
        answers(exchange, &live.bytes).iter().map(|answer| self.seen(exchange, answer, Side::Live, ended)).collect()
    }

    fn seen(&self, exchange: &Exchange, answer: &AnswerReader, side: Side, ended: Option<bool>) -> Seen {
        let Some(head) = &answer.head else { return Seen { ended, ..Seen::default() } };
        let mut seen = Seen { status: head.status, ended, ..Seen::default() };
        if head.status != 200 {
            seen.text = unescape(&String::from_utf8_lossy(&answer.body));
            if side == Side::Live {
                seen.text = self.names.recorded(&seen.text);
            }
            return seen;
        }
        seen.content_type = head.get("content-type").unwrap_or("none").to_ascii_lowercase().replace(' ', "");
        seen.no_cache = forbids_caching(head);
        let dialect = match (side, self.publishers) {
            (Side::Live, Publishers::Addresses) => Dialect::Pushletd,
            _ => Dialect::Original,
        };
        match events(answer, dialect, ended != Some(true)) {
            Ok(events) => seen.events = self.canonical(exchange, &events, side),
            Err(what) => seen.unreadable = Some(what),
        }
        seen
    }

    fn canonical(&self, exchange: &Exchange, events: &[Event], side: Side) -> Vec<BTreeMap<String, String>> {
        let receiver = session_of(exchange);
        let mut seq = 0;
        let mut canonical = Vec::new();
        for event in events {
            let mut fields: BTreeMap<String, String> = BTreeMap::new();
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
                self.to_recorded_names(&mut fields, event, receiver.as_deref());
            }
            self.by_rule(exchange, &mut fields, side, &mut seq);
            canonical.push(fields);
        }
        canonical
    }

    /// Says our ids in the recording's names; P-22 is checked here.
    fn to_recorded_names(&self, fields: &mut BTreeMap<String, String>, event: &Event, receiver: Option<&str>) {
        let kind = event.kind();
        if self.publishers == Publishers::Addresses {
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
        if let (Some(sid), Some(receiver)) = (fields.get_mut("p_sid"), receiver) {
            let mut known = self.names.subscriptions.iter();
            let found = known.find(|((session, _), new)| session == receiver && *new == sid);
            if let Some(((_, recorded), _)) = found {
                recorded.clone_into(sid);
            }
        }
        for name in ["p_id", "p_from", "p_to", "p_url", "p_reason"] {
            if let Some(value) = fields.get_mut(name) {
                *value = self.names.recorded(value);
            }
        }
    }

    /// The recorded id of a data event's publisher, if `p_from` and `p_id` are what rule P-22 says for this receiver.
    fn publisher(&self, from: &str, id: Option<&str>, receiver: Option<&str>) -> Option<String> {
        let (known, (session, address)) =
            self.names.sessions.iter().find(|(_, (session, address))| session == from || address == from)?;
        let right = if receiver == Some(known.as_str()) {
            from == session && id == Some(session.as_str())
        } else {
            from == address && id.is_none()
        };
        right.then(|| known.clone())
    }

    /// Replaces what is compared by rule: sequence numbers, times and waits.
    fn by_rule(&self, exchange: &Exchange, fields: &mut BTreeMap<String, String>, side: Side, seq: &mut u64) {
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
        let mode = fields.get("p_url").and_then(|url| self.mode_of(url));
        let range = match (side, mode, self.publishers) {
            (Side::Recorded, ..) | (.., Publishers::SessionIds) if self.transcript.short_timeouts => WAIT_SHORT_MS,
            (_, Some("poll"), _) => WAIT_POLL_MS,
            _ => WAIT_PULL_MS,
        };
        if let Some(value) = fields.get_mut("p_wait")
            && value.parse().is_ok_and(|wait| range.contains(&wait))
        {
            "<wait>".clone_into(value);
        }
    }

    fn mode_of(&self, url: &str) -> Option<&str> {
        let id = url.split_once("p_id=")?.1.split('&').next()?;
        self.modes.get(id).map(String::as_str)
    }
}

fn forbids_caching(head: &Head) -> bool {
    NO_CACHE.iter().all(|(name, value)| head.all(name).any(|known| known == *value))
}

/// Entities that error pages use.
fn unescape(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#039;", "'"), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}

/// The message that Pushlet itself put into a container's error page; `None` if there is none.
pub(crate) fn pushlet_message(page: &str) -> Option<&str> {
    let message = page.split_once("<title>Error 400 ")?.1.split_once("</title>")?.0;
    let starts = ["No eventType specified", "No id specified", "Invalid or expired id: "];
    starts.iter().any(|start| message.starts_with(start)).then(|| message.trim_end())
}

/// Where two answers differ.
pub(crate) fn compare(recorded: &Seen, ours: &Seen) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differ = |what: &str, recorded: String, ours: String| {
        if recorded != ours {
            lines.push(format!("{what}: recorded {recorded}, ours {ours}"));
        }
    };
    differ("status", recorded.status.to_string(), ours.status.to_string());
    if recorded.status == 200 && ours.status == 200 {
        differ("content type", recorded.content_type.clone(), ours.content_type.clone());
        differ("caching forbidden", recorded.no_cache.to_string(), ours.no_cache.to_string());
        differ("readable", format!("{:?}", recorded.unreadable), format!("{:?}", ours.unreadable));
    }
    if let (Some(recorded), Some(ours)) = (recorded.ended, ours.ended) {
        differ("ended", recorded.to_string(), ours.to_string());
    }
    if let Some(message) = pushlet_message(&recorded.text)
        && ours.status == recorded.status
        && !ours.text.contains(message)
    {
        differ("message", format!("{message:?}"), format!("{:?}", ours.text));
    }
    lines.extend(compare_events(&recorded.events, &ours.events));
    lines
}

/// A step of the cheapest way to turn one list of events into the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Both,
    OnlyRecorded,
    OnlyOurs,
}

/// An event that is there on one side only costs as much as so many differing fields.
const ALONE: usize = 4;

fn field<'a>(event: &'a BTreeMap<String, String>, name: &str) -> &'a str {
    event.get(name).map_or("", String::as_str)
}

/// How unlike two events are; `None` if one is not to be taken for the other.
fn distance(recorded: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> Option<usize> {
    let names: BTreeSet<_> = recorded.keys().chain(ours.keys()).collect();
    let unlike = names.into_iter().filter(|name| recorded.get(*name) != ours.get(*name)).count();
    (field(recorded, "p_event") == field(ours, "p_event")).then_some(unlike)
}

fn compare_events(recorded: &[BTreeMap<String, String>], ours: &[BTreeMap<String, String>]) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut at_recorded, mut at_ours) = (0, 0);
    for step in alignment(recorded, ours) {
        match step {
            Step::Both => {
                lines.extend(compare_fields(at_recorded + 1, &recorded[at_recorded], &ours[at_ours]));
                (at_recorded, at_ours) = (at_recorded + 1, at_ours + 1);
            }
            Step::OnlyRecorded => {
                lines.push(format!("event {} is missing: {}", at_recorded + 1, words(&recorded[at_recorded])));
                at_recorded += 1;
            }
            Step::OnlyOurs => {
                lines.push(format!("an extra event behind event {at_recorded}: {}", words(&ours[at_ours])));
                at_ours += 1;
            }
        }
    }
    lines
}

/// The cheapest way from one list to the other.
fn alignment(recorded: &[BTreeMap<String, String>], ours: &[BTreeMap<String, String>]) -> Vec<Step> {
    let width = ours.len() + 1;
    let mut costs = vec![0_usize; (recorded.len() + 1) * width];
    let mut steps = vec![Step::Both; costs.len()];
    for row in 0..=recorded.len() {
        for column in 0..width {
            let here = row * width + column;
            let mut ways = Vec::new();
            if let (1.., 1..) = (row, column)
                && let Some(unlike) = distance(&recorded[row - 1], &ours[column - 1])
            {
                ways.push((costs[here - width - 1] + unlike, Step::Both));
            }
            if row > 0 {
                ways.push((costs[here - width] + ALONE, Step::OnlyRecorded));
            }
            if column > 0 {
                ways.push((costs[here - 1] + ALONE, Step::OnlyOurs));
            }
            if let Some((cost, step)) = ways.into_iter().min_by_key(|(cost, _)| *cost) {
                (costs[here], steps[here]) = (cost, step);
            }
        }
    }
    let (mut row, mut column) = (recorded.len(), ours.len());
    let mut way = Vec::new();
    while row > 0 || column > 0 {
        let step = steps[row * width + column];
        row -= usize::from(step != Step::OnlyOurs);
        column -= usize::from(step != Step::OnlyRecorded);
        way.push(step);
    }
    way.reverse();
    way
}

fn compare_fields(number: usize, recorded: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<_> = recorded.keys().chain(ours.keys()).collect();
    let kind = field(recorded, "p_event");
    let said = |value: Option<&String>| value.map_or("nothing".to_owned(), |value| format!("{value:?}"));
    let unlike = names.into_iter().filter(|name| recorded.get(*name) != ours.get(*name));
    let line = |name: &String| {
        format!("event {number} ({kind}) {name}: recorded {}, ours {}", said(recorded.get(name)), said(ours.get(name)))
    };
    unlike.map(line).collect()
}

fn words(event: &BTreeMap<String, String>) -> String {
    let field = |(name, value): (&String, &String)| format!("{name}={value:?}");
    event
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "p_time" | "p_seq"))
        .map(field)
        .collect::<Vec<_>>()
        .join(" ")
}
