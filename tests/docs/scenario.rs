//! The examples of docs/protocol.md as they are run: requests, what is expected of their answers, and the server they need.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::document::{Block, Document};
use super::pattern::{Names, Pattern, expand, fill, shown};
use super::support::http::Connection;
use super::support::server::Server;

/// How long an answer may take that is due at once, on a machine busy with other tests.
const SOON: Duration = Duration::from_secs(10);
/// The path that is meant where an example names none.
const PATH: &str = "/pushlet.srv";

/// What a line begins with that continues the one above.
const INDENT: &str = "   ";

/// One example: steps that are taken one after the other, on connections of their own.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The heading it stands under.
    pub(crate) section: String,
    /// The server's configuration file, empty for the defaults.
    pub(crate) config: String,
    /// Whether it does something to the server that others would notice.
    pub(crate) alone: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    /// The line of the page; 0 if it stands in none.
    line: usize,
    /// The connection.
    who: String,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    /// Sends a request so many times, each after the answer to the one before.
    Send { times: usize, request: String },
    /// The answer, or what follows in it, looks like this.
    Expect { status: Option<u16>, pattern: String },
    /// The answer has this header field; or none of this name.
    Header { name: String, value: Option<String> },
    /// The answer is over and nothing more of it came.
    End,
    /// The server has closed the connection.
    Closed,
    /// Our side says that it sends no more.
    HalfClose,
    /// The server gets a signal.
    Signal,
}

/// The examples of a page: rows of `request | answer` tables and `pushlet` blocks.
pub(crate) fn examples(page: &Document) -> Vec<Scenario> {
    let mut found = Vec::new();
    for table in page.tables() {
        if table.head.len() >= 2 && table.head[..2] == ["request", "answer"] {
            found.extend(table.rows.iter().map(|(line, cells)| from_row(&table.section, *line, cells)));
        }
    }
    found.extend(page.blocks().iter().filter(|block| block.language == "pushlet").map(from_block));
    found
}

/// A row of a table: one request, its whole answer, and before it a join where `ID` is spoken of.
fn from_row(section: &str, line: usize, cells: &[String]) -> Scenario {
    let step = |who: &str, act| Step { line, who: who.to_owned(), act };
    let mut steps = Vec::new();
    if fill(&cells[0], &Names::new()).is_err() {
        let request = "GET ?p_event=join&p_format=xml".to_owned();
        let pattern = "<event p_event=\"join-ack\" p_id=\"ID\" p_format=\"xml\" p_from=\"ADDRESS\" p_time=\"TIME\" />";
        steps.push(step("J", Act::Send { times: 1, request }));
        steps.push(step("J", Act::Expect { status: Some(200), pattern: pattern.to_owned() }));
    }
    steps.push(step("A", Act::Send { times: 1, request: cells[0].clone() }));
    steps.push(step("A", expectation(&cells[1])));
    Scenario { section: section.to_owned(), config: String::new(), alone: false, steps }
}

fn from_block(block: &Block) -> Scenario {
    let mut scenario =
        Scenario { section: block.section.clone(), config: String::new(), alone: false, steps: Vec::new() };
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in &block.lines {
        match lines.last_mut() {
            // What is indented belongs to the line above.
            Some((_, above)) if line.starts_with(INDENT) => above.push_str(&line[INDENT.len()..]),
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => lines.push((*number, line.clone())),
        }
    }
    for (number, line) in lines {
        if let Some(setting) = line.strip_prefix("config ") {
            scenario.config.push_str(setting);
            scenario.config.push('\n');
        } else {
            let step = read_step(number, &line).unwrap_or_else(|| panic!("line {number} is no step: {line}"));
            scenario.alone |= matches!(step.act, Act::Signal);
            scenario.steps.push(step);
        }
    }
    scenario
}

fn read_step(line: usize, text: &str) -> Option<Step> {
    let (times, text) = match text.split_once(" times ") {
        Some((count, rest)) => (count.parse().ok()?, rest),
        None => (1, text),
    };
    let (head, rest) = text.split_once(' ')?;
    let who = head.get(..1)?.to_owned();
    let act = match head.get(1..)? {
        ">" => Act::Send { times, request: rest.to_owned() },
        "<" if rest == "(end)" => Act::End,
        "<" if rest == "(closed)" => Act::Closed,
        "<" => expectation(rest),
        "=" => match rest.strip_prefix("no ") {
            Some(name) => Act::Header { name: name.to_owned(), value: None },
            None => {
                let (name, value) = rest.split_once(": ")?;
                Act::Header { name: name.to_owned(), value: Some(value.to_owned()) }
            }
        },
        "!" if rest == "half-close" => Act::HalfClose,
        "!" if rest == "TERM" => Act::Signal,
        _ => return None,
    };
    Some(Step { line, who, act })
}

/// `200 TEXT`, `200 (empty)`, or text that follows.
fn expectation(text: &str) -> Act {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let status = first.parse().ok().filter(|status| (100..600).contains(status));
    let pattern = if status.is_some() { rest } else { text };
    Act::Expect { status, pattern: pattern.to_owned() }
}

/// One of our ends.
struct Client {
    connection: Connection,
    /// How much of the body, as it is shown, was expected already.
    matched: usize,
}

/// What is going on while a scenario runs.
struct Run<'a> {
    server: &'a Server,
    clients: BTreeMap<String, Client>,
    names: Names,
}

impl Scenario {
    /// Takes all steps.
    ///
    /// # Errors
    ///
    /// The line of the step that went otherwise, and how.
    pub(crate) fn run(&self, page: &str, server: &Server) -> Result<(), String> {
        let mut run = Run { server, clients: BTreeMap::new(), names: Names::new() };
        for step in &self.steps {
            run.take(step).map_err(|what| format!("{page}:{}: {}: {what}", step.line, step.who))?;
        }
        let last = self.steps.last().map_or(0, |step| step.line);
        for (who, client) in &run.clients {
            client.nothing_left().map_err(|what| format!("{page}:{last}: {who}: {what}"))?;
        }
        Ok(())
    }
}

impl Run<'_> {
    fn take(&mut self, step: &Step) -> Result<(), String> {
        let Act::Send { times, request } = &step.act else {
            if matches!(step.act, Act::Signal) {
                self.server.signal(Signal::TERM);
                return Ok(());
            }
            let client = self.clients.get_mut(&step.who).ok_or("no such connection")?;
            return client.take(&step.act, &mut self.names);
        };
        let bytes = request_bytes(&fill(request, &self.names)?)?;
        for turn in 1..=*times {
            self.send(&step.who, &bytes)?;
            if *times > 1 {
                let client = self.clients.get_mut(&step.who).ok_or("no such connection")?;
                let everything = Act::Expect { status: Some(200), pattern: "...".to_owned() };
                client.take(&everything, &mut self.names).map_err(|what| format!("time {turn}: {what}"))?;
            }
        }
        Ok(())
    }

    /// Sends on the connection of that name: the old one if the server keeps it, else a new one.
    fn send(&mut self, who: &str, bytes: &[u8]) -> Result<(), String> {
        if let Some(client) = self.clients.get_mut(who) {
            client.nothing_left()?;
            client.connection.pump();
            if !client.connection.is_over() {
                return Err("the answer before this request is not over".to_owned());
            }
            let closes = client.connection.head().is_some_and(|head| head.get("connection") == Some("close"));
            if !closes && !client.connection.is_closed() {
                client.matched = 0;
                client.connection.request(bytes);
                return Ok(());
            }
        }
        let mut connection = Connection::open(self.server.addr());
        connection.request(bytes);
        self.clients.insert(who.to_owned(), Client { connection, matched: 0 });
        Ok(())
    }
}

impl Client {
    fn take(&mut self, act: &Act, names: &mut Names) -> Result<(), String> {
        match act {
            Act::Expect { status, pattern } => {
                if let Some(status) = status {
                    self.expect_status(*status)?;
                }
                self.expect(pattern, names)
            }
            Act::Header { name, value } => self.expect_header(name, value.as_deref()),
            Act::End => {
                self.connection.wait_until(SOON, Connection::is_whole);
                self.nothing_left()?;
                if self.connection.is_whole() { Ok(()) } else { Err("the answer does not end orderly".to_owned()) }
            }
            Act::Closed => {
                self.connection.wait_until(SOON, Connection::is_closed);
                self.nothing_left()?;
                if self.connection.is_closed() { Ok(()) } else { Err("the connection is not closed".to_owned()) }
            }
            Act::HalfClose => {
                self.connection.half_close();
                Ok(())
            }
            Act::Send { .. } | Act::Signal => Err("not a step of a connection".to_owned()),
        }
    }

    fn expect_status(&mut self, status: u16) -> Result<(), String> {
        self.connection.wait_until(SOON, |connection| connection.head().is_some());
        let Some(head) = self.connection.head() else { return Err("no answer".to_owned()) };
        if head.status == status {
            return Ok(());
        }
        let got = head.status;
        self.connection.wait_until(Duration::from_millis(200), Connection::is_over);
        Err(format!("expected {status}, got {got} {}", shown(self.connection.body(), false)))
    }

    fn expect_header(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        self.connection.wait_until(SOON, |connection| connection.head().is_some());
        let Some(head) = self.connection.head() else { return Err("no answer".to_owned()) };
        let values: Vec<&str> = head.all(name).collect();
        match value {
            Some(value) if values.contains(&value) => Ok(()),
            None if values.is_empty() => Ok(()),
            Some(value) => Err(format!("expected {name}: {value}, got {values:?}")),
            None => Err(format!("expected no {name}, got {values:?}")),
        }
    }

    /// What is new in the body. An error text ends with a line feed, which examples leave out.
    fn text(connection: &Connection, matched: usize) -> String {
        let mut text = shown(connection.body(), !connection.is_over()).split_off(matched);
        let is_error = connection.head().is_some_and(|head| head.status >= 400);
        if is_error && connection.is_over() {
            text.truncate(text.strip_suffix("\\n").map_or(text.len(), str::len));
        }
        text
    }

    fn expect(&mut self, pattern: &str, names: &mut Names) -> Result<(), String> {
        let read = Pattern::new(if pattern == "(empty)" { "" } else { pattern });
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (matched, all) = (self.matched, read.takes_the_rest());
        let due = |connection: &Connection| {
            let found = read.matches(&Self::text(connection, matched), names, now_s);
            found.filter(|_| connection.is_over() || !all)
        };
        self.connection.wait_until(SOON, |connection| connection.is_over() || due(connection).is_some());
        let Some((length, found)) = due(&self.connection) else {
            let got = Self::text(&self.connection, matched);
            return Err(format!("\n   expected {}\n        got {got}", expand(pattern)));
        };
        self.matched += length;
        *names = found;
        Ok(())
    }

    /// Nothing came that no step has expected, as far as the answer is over.
    fn nothing_left(&self) -> Result<(), String> {
        let left = Self::text(&self.connection, self.matched);
        if self.connection.is_over() && !left.is_empty() { Err(format!("nobody expected {left}")) } else { Ok(()) }
    }
}

/// The bytes of a request as examples write it: `METHOD [TARGET] [HEADER: VALUE]... [BODY]`, or `RAW` and everything.
fn request_bytes(text: &str) -> Result<Vec<u8>, String> {
    let (method, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    if method == "RAW" {
        return unescaped(rest);
    }
    let mut target = PATH.to_owned();
    if rest.starts_with(['?', '/', '*']) || rest.starts_with("http://") {
        let (named, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        target = if named.starts_with('?') { format!("{PATH}{named}") } else { named.to_owned() };
        rest = behind;
    }
    let (mut version, mut fields) = ("HTTP/1.1", "Host: localhost\r\n".to_owned());
    while let Some((field, behind)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        match field {
            "HTTP/1.0" => version = field,
            _ => fields += &format!("{field}\r\n"),
        }
        rest = behind.trim_start();
    }
    if method == "POST" {
        fields += &format!("Content-Length: {}\r\n", rest.len());
    } else if !rest.is_empty() {
        return Err(format!("{rest:?} is no part of a request"));
    }
    Ok(format!("{method} {target} {version}\r\n{fields}\r\n{rest}").into_bytes())
}

/// The bytes that a text with `\r`, `\n`, `\t` and `\xNN` stands for.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (byte, taken) = match part.as_bytes().first() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'x') => (u8::from_str_radix(part.get(1..3).unwrap_or_default(), 16).map_err(|e| e.to_string())?, 3),
            _ => return Err(format!("\\{part} is no escape")),
        };
        bytes.push(byte);
        bytes.extend_from_slice(&part.as_bytes()[taken..]);
    }
    Ok(bytes)
}

/// Runs all examples, those of one server one after the other, different servers side by side, and returns what went otherwise.
pub(crate) fn run_all(page: &str, scenarios: &[Scenario], start: impl Fn(&str) -> Server + Sync) -> Vec<String> {
    let mut groups: Vec<Vec<&Scenario>> = Vec::new();
    for scenario in scenarios {
        let shared = groups.iter_mut().find(|group| {
            let first = group[0];
            !scenario.alone && !first.alone && first.config == scenario.config
        });
        match shared {
            Some(group) => group.push(scenario),
            None => groups.push(vec![scenario]),
        }
    }
    let run_group = |group: &Vec<&Scenario>| {
        let server = start(&group[0].config);
        group.iter().filter_map(|scenario| scenario.run(page, &server).err()).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = groups.iter().map(|group| scope.spawn(move || run_group(group))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a group of examples panicked")).collect()
    })
}
