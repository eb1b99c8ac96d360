//! Heads of the answers of the modern doors, and whole answers to what cannot be served.

use super::posted::{PostedText, problem_text};
use crate::protocol::{Framing, Problem};
use crate::wire::http::{Body, ReplyTo, ResponseHead, Sent};

/// How a client that presents no key, or one that nobody knows, is asked for one (RFC 6750 section 3).
const CHALLENGE: &str = "Bearer realm=\"pushletd\"";

/// A further field of a head.
pub type Extra<'a> = (&'static str, &'a str);

fn add<'a>(head: ResponseHead<'a>, extra: &[Extra<'_>]) -> ResponseHead<'a> {
    extra.iter().fold(head, |head, (name, value)| head.header(name, value))
}

/// The media type in a `Content-Type` or a media range, without parameters and in lower case.
#[must_use]
pub fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// RFC 9110 section 12.5.1: whether a client that says `accept` takes `media_type`. One that says nothing takes everything. The most specific
/// range decides.
#[must_use]
pub fn accepts(accept: Option<&str>, media_type: &str) -> bool {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return true };
    let kind = media_type.split('/').next().unwrap_or_default();
    let mut best: Option<(u8, bool)> = None;
    for range in accept.split(',') {
        let name = self::media_type(range);
        let specific = match name.as_str() {
            "*/*" => 1,
            name if name.strip_suffix("/*") == Some(kind) => 2,
            name if name == media_type => 3,
            _ => continue,
        };
        if best.is_none_or(|(known, _)| known < specific) {
            best = Some((specific, !is_refused(range)));
        }
    }
    best.is_some_and(|(_, wanted)| wanted)
}

/// Whether a media range says `q=0`.
fn is_refused(range: &str) -> bool {
    range.split(';').skip(1).any(|parameter| {
        let quality = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        quality.is_some_and(|(_, value)| value.trim().parse::<f32>().is_ok_and(|quality| quality <= 0.0))
    })
}

/// Begins the answer to an accepted request: its media type, that it is never stored, and that no proxy may gather it.
pub fn answer_head<'a>(framing: Framing, out: &'a mut Vec<u8>, to: ReplyTo, date: &str) -> ResponseHead<'a> {
    let head = ResponseHead::new(out, to, 200, date);
    match framing {
        Framing::EventStream | Framing::UnnamedStream => head
            .header("Content-Type", "text/event-stream")
            // `no-transform`: a proxy that compresses would gather events first.
            .header("Cache-Control", "no-store, no-transform")
            .header("X-Accel-Buffering", "no"),
        _ => head.header("Content-Type", "application/json").header("Cache-Control", "no-store"),
    }
}

/// Begins a problem document.
fn problem_head<'a>(
    out: &'a mut Vec<u8>,
    to: ReplyTo,
    status: u16,
    retry: Option<u32>,
    date: &str,
) -> ResponseHead<'a> {
    let head = ResponseHead::new(out, to, status, date)
        .header("Content-Type", "application/problem+json")
        .header("Cache-Control", "no-store");
    let head = match status {
        401 => head.header("WWW-Authenticate", CHALLENGE),
        // RFC 9110 section 15.5.22 and RFC 6455 section 4.4: what is to be spoken, and which version of it.
        426 => head.upgrade("websocket").header("Sec-WebSocket-Version", "13"),
        _ => head,
    };
    match retry {
        Some(seconds) => head.header("Retry-After", itoa::Buffer::new().format(seconds)),
        None => head,
    }
}

/// Appends a whole answer: `problem` as a document of RFC 9457. `extra` are further fields of its head.
pub fn problem(out: &mut Vec<u8>, to: ReplyTo, problem: &Problem, date: &str, extra: &[Extra<'_>]) -> Sent {
    let body = problem_text(problem);
    let head = problem_head(out, to, problem.status, problem.retry_after_s, date);
    let sent = add(head, extra).finish(Body::Length(body.len() as u64));
    if sent.content {
        out.extend_from_slice(&body);
    }
    sent
}

/// Appends the whole answer to a method that a door does not take, such as `GET, HEAD` (RFC 9110 section 15.5.6).
pub fn problem_405(out: &mut Vec<u8>, to: ReplyTo, methods: &'static str, date: &str, extra: &[Extra<'_>]) -> Sent {
    let refusal = Problem::new(405, format!("This URL takes {methods}."));
    let allow = ("Allow", methods);
    problem(out, to, &refusal, date, &[&[allow], extra].concat())
}

/// Appends the whole answer to a publish request.
pub fn write_posted(
    out: &mut Vec<u8>,
    to: ReplyTo,
    text: &PostedText,
    replayed: bool,
    date: &str,
    extra: &[Extra<'_>],
) -> Sent {
    let head = if text.status == 202 {
        ResponseHead::new(out, to, 202, date)
            .header("Content-Type", "application/json")
            .header("Cache-Control", "no-store")
    } else {
        problem_head(out, to, text.status, text.retry_after_s, date)
    };
    let head = if replayed { head.header("Idempotent-Replayed", "true") } else { head };
    let sent = add(head, extra).finish(Body::Length(text.body.len() as u64));
    if sent.content {
        out.extend_from_slice(&text.body);
    }
    sent
}
