//! The HTTP request reader, compared with itself in other pieces and with slow, obvious readings of the same bytes.

use pushletd::limits::{BODY_BYTES_MAX, CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};
use pushletd::wire::http::{HttpError, HttpRequest, Phase, Progress, RequestReader, Version};

/// What a connection's bytes come to.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The requests, each with the position behind its last byte.
    requests: Vec<(HttpRequest, usize)>,
    /// Why reading stopped, or where it stands.
    end: Result<Phase, HttpError>,
}

fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = RequestReader::new();
    let mut requests = Vec::new();
    let mut at = 0;
    for mut piece in pieces {
        while !piece.is_empty() {
            match reader.push(piece) {
                Ok((taken, progress)) => {
                    assert!(taken > 0, "nothing is taken: the driver would spin");
                    at += taken;
                    piece = &piece[taken..];
                    match progress {
                        Progress::Complete(request) => {
                            assert_eq!((reader.phase(), reader.held_bytes()), (Phase::Idle, 0));
                            requests.push((*request, at));
                        }
                        _ => assert!(piece.is_empty(), "input is left over"),
                    }
                }
                Err(error) => {
                    assert!((400..=599).contains(&error.status));
                    assert_eq!(reader.push(piece), Err(error), "an error is final");
                    return Outcome { requests, end: Err(error) };
                }
            }
        }
    }
    Outcome { requests, end: Ok(reader.phase()) }
}

/// Feeds `bytes` whole, byte by byte and in pieces whose lengths the bytes themselves decide. All must come to the same.
fn feed_every_way(bytes: &[u8]) -> Outcome {
    let whole = feed(std::iter::once(bytes));
    assert_eq!(whole, feed(bytes.chunks(1)), "byte by byte differs");
    let mut rest = bytes;
    let uneven = std::iter::from_fn(|| {
        let len = rest.len().min(1 + rest.first().map_or(0, |byte| usize::from(byte % 29)));
        let (piece, behind) = rest.split_at(len);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(whole, feed(uneven), "uneven pieces differ");
    whole
}

/// The input is what a connection sends.
pub fn http_head(data: &[u8]) {
    let outcome = feed_every_way(data);
    let mut begin = 0;
    for (request, end) in &outcome.requests {
        check_head(request, &data[begin..*end]);
        begin = *end;
    }
}

/// What must hold for the bytes of every accepted request, read in the most naive way.
fn check_head(request: &HttpRequest, bytes: &[u8]) {
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an accepted head has an end");
    let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n', '\0'])), "a line end of another kind was accepted");
    let count = |name: &str| lines[1..].iter().filter(|line| line.split(':').next() == Some(name)).count();
    let head = &request.head;
    assert!(count("host") <= 1 && (count("host") == 1 || head.version == Version::Http10), "Host");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "two framings");
    assert!(head.path.starts_with('/') || *head.path == *"*", "path {}", head.path);
    assert!(!head.path.contains(['?', '#', ' ']) && !head.query.contains(&b'#'), "target");
    assert_eq!(head.raw_target, !(head.path.is_ascii() && head.query.is_ascii()), "raw target");
    assert!(lines[1..].iter().all(|line| line.contains(':') && !line.starts_with([' ', '\t', ':'])), "field line");
}

/// The first byte decides the framing: odd (`c`) is chunked, even (`l`) a Content-Length, whose value is the second byte. The rest is the
/// body and what may follow it.
pub fn http_body(data: &[u8]) {
    match data {
        [kind, body @ ..] if kind % 2 == 1 => chunked(body),
        [_, length, body @ ..] => counted(usize::from(*length), body),
        _ => {}
    }
}

fn request(framing: &str, body: &[u8]) -> (usize, Vec<u8>) {
    let head = format!("POST /x HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n");
    (head.len(), [head.as_bytes(), body].concat())
}

fn counted(length: usize, body: &[u8]) {
    let (head_len, bytes) = request(&format!("Content-Length: {length}"), body);
    let outcome = feed_every_way(&bytes);
    match outcome.requests.first() {
        Some((request, end)) => assert_eq!((&*request.body, *end), (&body[..length], head_len + length)),
        None => assert!(body.len() < length && outcome.end == Ok(Phase::Body)),
    }
}

fn chunked(body: &[u8]) {
    let (head_len, bytes) = request("Transfer-Encoding: chunked", body);
    let outcome = feed_every_way(&bytes);
    match (decode(body), outcome.requests.first()) {
        (Model::Done(decoded, len), Some((request, end))) => {
            assert_eq!((&request.body, *end), (&decoded, head_len + len))
        }
        (Model::Done(..), None) => {
            // The bound on padding is the reader's own; the model does not know it.
            assert!(outcome.end.is_err_and(|error| error.reason.contains("extensions")), "a good body was refused");
        }
        (Model::Refused, None) => assert!(outcome.end.is_err(), "a bad body was not refused"),
        (Model::More, None) => {}
        (Model::Refused | Model::More, Some(_)) => panic!("a bad or unfinished body was accepted"),
    }
}

/// What the obvious decoder says. It sees a fault only when the line is whole, so it may say `More` where the reader has refused already.
enum Model {
    Done(Vec<u8>, usize),
    Refused,
    More,
}

/// Decodes a chunked body as RFC 9112 section 7.1 writes it down, with whole lines and no state.
fn decode(body: &[u8]) -> Model {
    let mut decoded = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line_at(body, at) else { return Model::More };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let extension = line[digits..].trim_ascii_start();
        let size = std::str::from_utf8(&line[..digits]).ok().and_then(|digits| u128::from_str_radix(digits, 16).ok());
        let extension_is_good = line.len() == digits
            || (extension.starts_with(b";")
                && extension.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 127)));
        let spaces_are_good =
            !line[digits..line.len() - extension.len()].iter().any(|byte| !matches!(byte, b' ' | b'\t'));
        let size = match size {
            _ if !extension_is_good || !spaces_are_good || line.len() > CHUNK_LINE_BYTES_MAX => return Model::Refused,
            Some(size) if size <= (BODY_BYTES_MAX - decoded.len()) as u128 => size as usize,
            // A size of more than 32 digits, zeros before it included: the reader decides.
            None if digits > 32 => return Model::More,
            _ => return Model::Refused,
        };
        at += line.len() + 2;
        if size == 0 {
            return trailers(body, at, decoded);
        }
        let Some(data) = body.get(at..at + size + 2) else { return Model::More };
        if !data.ends_with(b"\r\n") {
            return Model::Refused;
        }
        decoded.extend_from_slice(&data[..size]);
        at += size + 2;
    }
}

fn trailers(body: &[u8], begin: usize, decoded: Vec<u8>) -> Model {
    let mut at = begin;
    loop {
        let Some(line) = line_at(body, at) else { return Model::More };
        at += line.len() + 2;
        if at - begin > TRAILER_BYTES_MAX {
            return Model::Refused;
        }
        if line.is_empty() {
            return Model::Done(decoded, at);
        }
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_value = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 127);
        if name.is_empty()
            || name.len() == line.len()
            || !name.iter().all(is_token)
            || !line[name.len()..].iter().all(is_value)
        {
            return Model::Refused;
        }
    }
}

/// The line that begins at `at`, without its CR LF; `None` if it does not end.
fn line_at(body: &[u8], at: usize) -> Option<&[u8]> {
    let rest = body.get(at..)?;
    let end = rest.windows(2).position(|window| window == b"\r\n")?;
    Some(&rest[..end])
}
