//! Reads the files of `tests/transcripts/`: what was sent to the original server, and what it answered when.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// How a recorded answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its framing says that it is whole.
    Complete,
    /// The connection ended: the server closed it, or the recorder did.
    Eof,
    /// It was still going on when the recorder stopped.
    Open,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// Its number in the file, from 1.
    pub(crate) number: usize,
    /// When its connection was opened, in seconds since 1970.
    pub(crate) opened_s: f64,
    /// What was sent, byte for byte; several requests if they were pipelined.
    pub(crate) request: Vec<u8>,
    /// What came back, byte for byte.
    pub(crate) response: Vec<u8>,
    /// When it came: seconds after the opening, and how many bytes.
    pub(crate) reads: Vec<(f64, usize)>,
    /// How it ended.
    pub(crate) end: End,
}

/// Recorded times may be wrong by so much.
const CLOCK_S: f64 = 0.0015;
/// An answer that was whole so soon waited for nothing.
const PROMPT_S: f64 = 0.1;

impl Exchange {
    /// When the last bytes came, in seconds since 1970.
    pub(crate) fn last_read_s(&self) -> f64 {
        self.opened_s + self.reads.last().map_or(0.0, |(after_s, _)| *after_s)
    }

    /// The exchange as far as it had gone for sure at `now_s`, in seconds since 1970, when the next one began. Clocks
    /// were written in milliseconds. What a request was answered at once with was there before the recorder went on.
    /// What came later of an answer that goes on may be the next request's doing, unless it is clearly older.
    pub(crate) fn until(&self, now_s: f64) -> Self {
        let last_s = self.reads.last().map_or(0.0, |(after_s, _)| *after_s);
        let prompt = self.end == End::Complete && last_s < PROMPT_S;
        let sure_s = |at: usize| if prompt || at == 0 { now_s + CLOCK_S } else { now_s - CLOCK_S };
        let come = self.reads.iter().enumerate();
        let come = come.take_while(|(at, (after_s, _))| self.opened_s + after_s <= sure_s(*at));
        let bytes = come.map(|(_, (_, bytes))| bytes).sum();
        let end = if bytes == self.response.len() { self.end } else { End::Open };
        Self { response: self.response[..bytes].to_vec(), end, ..self.clone() }
    }
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct Transcript {
    /// The file's name without `.txt`.
    pub(crate) name: String,
    /// Whether the server had been given short timeouts.
    pub(crate) short_timeouts: bool,
    /// The exchanges in the order in which their connections were opened.
    pub(crate) exchanges: Vec<Exchange>,
}

impl Transcript {
    /// When it was recorded, in seconds since 1970, with some seconds before and after.
    pub(crate) fn wall_s(&self) -> RangeInclusive<u64> {
        let first = self.exchanges.first().map_or(0.0, |exchange| exchange.opened_s);
        let last = self.exchanges.iter().map(Exchange::last_read_s).fold(first, f64::max);
        first as u64 - 2..=last as u64 + 2
    }
}

/// Where the recordings are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

/// Every recording of requests and answers, by name.
pub(crate) fn all() -> Vec<Transcript> {
    let mut files: Vec<_> = fs::read_dir(directory())
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    files.sort();
    files.iter().filter_map(|path| load(path)).collect()
}

/// Reads a file; `None` if it has no requests (`I-default-sources...` is one bare body).
fn load(path: &Path) -> Option<Transcript> {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let bytes = fs::read(path).expect("the file can be read");
    bytes.starts_with(b"# ").then(|| parse(&name, &bytes))
}

/// Reads the text of a file.
pub(crate) fn parse(name: &str, bytes: &[u8]) -> Transcript {
    let mut reader = Reader { name, bytes, at: 0 };
    let mut short_timeouts = false;
    let mut exchanges = Vec::new();
    while let Some(line) = reader.line() {
        if let Some(rest) = line.strip_prefix("### [") {
            let (number, rest) = rest.split_once("] REQUEST (connection opened t=").expect("a request's line");
            let number = number.parse().expect("a number");
            let opened_s = rest.trim_end_matches(')').parse().expect("a time");
            exchanges.push(reader.exchange(number, opened_s));
        } else if line.starts_with("# server port") {
            short_timeouts = line.starts_with("# server port 8182");
        } else {
            assert!(
                line.is_empty() || line.starts_with("### NOTE") || line.starts_with("# "),
                "{name}: what is {line:?}?"
            );
        }
    }
    Transcript { name: name.to_owned(), short_timeouts, exchanges }
}

struct Reader<'a> {
    name: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn line(&mut self) -> Option<String> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        self.at = (self.at + end + 1).min(self.bytes.len());
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    fn exchange(&mut self, number: usize, opened_s: f64) -> Exchange {
        let mark = format!("\n### [{number}] RESPONSE raw bytes; reads: ");
        let rest = &self.bytes[self.at..];
        let length = rest.windows(mark.len()).position(|window| window == mark.as_bytes());
        let length = length.unwrap_or_else(|| panic!("{}: request {number} has no answer", self.name));
        let request = rest[..length].to_vec();
        self.at += length + 1;
        let line = self.line().expect("it was just seen");
        let (reads, end) = line[mark.len() - 1..].split_once("; end: ").expect("an end");
        let reads: Vec<(f64, usize)> = reads.split(", ").map(read_of).collect();
        let end = match end {
            "complete" => End::Complete,
            "EOF without terminator" => End::Eof,
            "still open when transcript ended" => End::Open,
            other => panic!("{}: what is the end {other:?}?", self.name),
        };
        let response = self.response(reads.iter().map(|(_, bytes)| bytes).sum());
        Exchange { number, opened_s, request, response, reads, end }
    }

    /// Takes so many recorded bytes; a binary body is written as a hexdump.
    fn response(&mut self, bytes: usize) -> Vec<u8> {
        let rest = &self.bytes[self.at..];
        let head = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        if !rest[head..].starts_with(b"000000  ") {
            let (response, behind) = rest.split_at(bytes);
            assert!(behind.is_empty() || behind[0] == b'\n', "{}: the lengths of the reads do not fit", self.name);
            self.at += bytes;
            return response.to_vec();
        }
        let mut response = rest[..head].to_vec();
        self.at += head;
        while response.len() < bytes {
            let line = self.line().expect("the hexdump goes on");
            let digits = line.get(8..8 + 48).unwrap_or(&line[8..]);
            response
                .extend(digits.split_ascii_whitespace().map(|two| u8::from_str_radix(two, 16).expect("two digits")));
        }
        assert_eq!(response.len(), bytes, "{}: the hexdump does not fit", self.name);
        response
    }
}

/// `+0.001s:701B`
fn read_of(text: &str) -> (f64, usize) {
    let (after, bytes) = text.trim_start_matches('+').split_once("s:").expect("a read");
    (after.parse().expect("seconds"), bytes.trim_end_matches('B').parse().expect("bytes"))
}
