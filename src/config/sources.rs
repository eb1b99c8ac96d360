//! `[[source]]`: what publishes by itself (rule P-35). Each table of the file is read, checked and printed here.

use super::kinds::{Choice, Kind, Millis, Raw, quote, quote_list};
use super::layers::Layers;
use super::nearest::nearest;
use super::origin::{ConfigError, Origin};
use super::tables::{self, Found, Lines, RawTable, read_name, read_text, unknown_key};
use crate::limits::{SOURCE_EVERY_MS_DEFAULT, SOURCE_EVERY_MS_RANGE, SOURCE_NAME_BYTES_MAX, SOURCES_MAX};
use crate::topic::Subject;

/// The name of the table in its header.
pub(super) const TABLE: &str = "source";

/// How the lines of a program, a file or a page become events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// A line that begins with `{` is a JSON object, one of `name=value` words alone is fields, any other one is the field `line`.
    Auto,
    /// Every line is `name=value` words.
    Fields,
    /// Every line is a JSON object.
    Json,
    /// Every line is the field `line`.
    Line,
}

const FORMATS: Choice<LineFormat> = Choice {
    words: &[
        ("auto", LineFormat::Auto),
        ("fields", LineFormat::Fields),
        ("json", LineFormat::Json),
        ("line", LineFormat::Line),
    ],
    placeholder: "auto|fields|json|line",
};

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A line for `sh -c`.
    Shell(String),
    /// A program and its arguments; never empty.
    Direct(Vec<String>),
}

/// What a source does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceWork {
    /// The lines that a program prints: one run every so often, or one that goes on for as long as somebody listens.
    Command(Program),
    /// The lines of pushletd's own standard input.
    Stdin,
    /// The lines that are added to a file: its path.
    File(String),
    /// What a server answers to a GET: its URL.
    Http(String),
    /// Load, memory and CPU of the machine.
    System,
    /// pushletd's own figures.
    Server,
    /// Invented prices of invented companies.
    Stocks,
}

impl SourceWork {
    /// The word for `kind`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Command(_) => "command",
            Self::Stdin => "stdin",
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::System => "system",
            Self::Server => "server",
            Self::Stocks => "stocks",
        }
    }
}

/// One `[[source]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Its name in the log and in metrics, no two alike: 1 to [`SOURCE_NAME_BYTES_MAX`] letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The subject of its events, or what the subjects of its events begin with.
    pub subject: Subject,
    /// What it does.
    pub work: SourceWork,
    /// The time from one event to the next, in milliseconds; `None` for what publishes when it likes.
    pub every_ms: Option<u64>,
    /// How its lines are read.
    pub format: LineFormat,
    /// Where its table begins.
    pub origin: Origin,
    /// Its lines as they are printed: key, value as TOML, origin.
    pub(super) lines: Lines,
}

impl SourceConfig {
    /// Whether the other one does the same under the same name, wherever it was written.
    #[must_use]
    pub fn does_the_same(&self, other: &Self) -> bool {
        let parts = |one: &Self| (one.name.clone(), one.subject.clone(), one.work.clone(), one.every_ms, one.format);
        parts(self) == parts(other)
    }

    /// A source that no file names: the server's own.
    #[must_use]
    pub fn built_in(name: &str, subject: Subject, work: SourceWork, every_ms: u64) -> Self {
        Self {
            name: name.to_owned(),
            subject,
            work,
            every_ms: Some(every_ms),
            format: LineFormat::Auto,
            origin: Origin::Default,
            lines: Vec::new(),
        }
    }
}

/// Every key, and the kinds that it is for; none named: for all.
const KEYS: [(&str, &[&str]); 8] = [
    ("name", &[]),
    ("kind", &[]),
    ("subject", &[]),
    ("every", &["command", "http", "system", "server", "stocks"]),
    ("command", &["command"]),
    ("path", &["file"]),
    ("url", &["http"]),
    ("format", &["command", "stdin", "file", "http"]),
];

/// Takes every `[[source]]` out of `layers`; what is wrong is noted there, and such a source is left out.
pub(super) fn take(layers: &mut Layers) -> Vec<SourceConfig> {
    let mut errors = Vec::new();
    let raw = tables::take(layers, TABLE, SOURCES_MAX, "sources", &mut errors);
    let mut drafts: Vec<Draft> = raw.into_iter().map(|source| Draft::read(source, &mut errors)).collect();
    check_together(&drafts, &mut errors);
    name_the_nameless(&mut drafts);
    let sources = drafts.into_iter().filter_map(Draft::finish).collect();
    layers.note(errors);
    sources
}

/// A source while it is read.
struct Draft {
    origin: Origin,
    name: Found<String>,
    /// The kind that was given, or what the keys say it must be.
    kind: Found<&'static str>,
    subject: Found<Subject>,
    every_ms: Found<u64>,
    format: Found<LineFormat>,
    command: Found<Program>,
    path: Found<String>,
    url: Found<String>,
}

fn key_error(origin: &Origin, key: &str, problem: String) -> ConfigError {
    tables::key_error(TABLE, origin, key, problem)
}

impl Draft {
    fn read(raw: RawTable, errors: &mut Vec<ConfigError>) -> Self {
        let mut draft = Self {
            origin: raw.origin,
            name: None,
            kind: None,
            subject: None,
            every_ms: None,
            format: None,
            command: None,
            path: None,
            url: None,
        };
        let mut given: Vec<(Origin, &'static str)> = Vec::new();
        let before = errors.len();
        for (origin, name, raw) in raw.entries {
            let Some((key, _)) = KEYS.iter().find(|(key, _)| *key == name) else {
                errors.push(unknown_key(TABLE, KEYS.iter().map(|(key, _)| *key), origin, &name));
                continue;
            };
            given.push((origin.clone(), key));
            if let Err(problem) = draft.set(key, &raw, &origin) {
                errors.push(key_error(&origin, key, problem));
            }
        }
        let names = |key: &str| given.iter().any(|(_, known)| *known == key);
        if draft.kind.is_none() && names("command") {
            draft.kind = Some(("command", Origin::Default));
        }
        let Some((kind, _)) = draft.kind else {
            if !names("kind") {
                let problem = format!("is missing; allowed: {}", kinds());
                errors.push(key_error(&draft.origin, "kind", problem));
            }
            return draft;
        };
        draft.check_keys(kind, &given, errors);
        if errors.len() > before {
            // It is wrong already: `finish` must not make a source of what is left.
            draft.subject = None;
        }
        draft
    }

    /// Reads the value of one key. The error says what is wrong and what is allowed.
    fn set(&mut self, key: &str, raw: &Raw, origin: &Origin) -> Result<(), String> {
        let at = || origin.clone();
        match key {
            "name" => self.name = Some((read_name(raw, SOURCE_NAME_BYTES_MAX)?, at())),
            "kind" => self.kind = Some((read_kind(raw)?, at())),
            "subject" => self.subject = Some((read_subject(raw)?, at())),
            "every" => {
                let every = Millis(SOURCE_EVERY_MS_RANGE);
                let read = every.read(raw).map_err(|problem| format!("{problem}; allowed: {}", every.allowed()))?;
                self.every_ms = Some((read, at()));
            }
            "format" => {
                let read = FORMATS.read(raw).map_err(|problem| format!("{problem}; allowed: {}", FORMATS.allowed()))?;
                self.format = Some((read, at()));
            }
            "command" => self.command = Some((read_program(raw)?, at())),
            "path" => self.path = Some((read_text(raw, "a path")?, at())),
            "url" => self.url = Some((read_url(raw)?, at())),
            _ => {}
        }
        Ok(())
    }

    /// Whether the keys fit the kind, and all that it needs are there.
    fn check_keys(&self, kind: &str, given: &[(Origin, &'static str)], errors: &mut Vec<ConfigError>) {
        for (key, fits) in KEYS {
            let unfit = !fits.is_empty() && !fits.contains(&kind);
            for (origin, _) in given.iter().filter(|(_, known)| *known == key && unfit) {
                let problem = format!("does not fit kind = \"{kind}\"; allowed for {}", fits.join(", "));
                errors.push(key_error(origin, key, problem));
            }
        }
        let needed = match kind {
            "command" => "command",
            "file" => "path",
            "http" => "url",
            _ => "subject",
        };
        let needed = if needed == "subject" { vec!["subject"] } else { vec!["subject", needed] };
        for key in needed {
            if !given.iter().any(|(_, known)| *known == key) {
                errors.push(key_error(&self.origin, key, format!("is missing; kind = \"{kind}\" needs it")));
            }
        }
    }

    /// The source, if nothing is missing; what is missing was told already.
    fn finish(self) -> Option<SourceConfig> {
        let (kind, kind_origin) = self.kind?;
        let (name, name_origin) = self.name?;
        let (subject, subject_origin) = self.subject?;
        let mut lines = vec![
            ("name", quote(&name), name_origin),
            ("kind", quote(kind), kind_origin),
            ("subject", quote(subject.as_str()), subject_origin),
        ];
        let work = match kind {
            "command" => {
                let (program, origin) = self.command?;
                lines.push(("command", print_program(&program), origin));
                SourceWork::Command(program)
            }
            "stdin" => SourceWork::Stdin,
            "file" => {
                let (path, origin) = self.path?;
                lines.push(("path", quote(&path), origin));
                SourceWork::File(path)
            }
            "http" => {
                let (url, origin) = self.url?;
                lines.push(("url", quote(&url), origin));
                SourceWork::Http(url)
            }
            "system" => SourceWork::System,
            "server" => SourceWork::Server,
            _ => SourceWork::Stocks,
        };
        let pulls = matches!(kind, "http" | "system" | "server" | "stocks");
        let every = self.every_ms.or_else(|| pulls.then_some((SOURCE_EVERY_MS_DEFAULT, Origin::Default)));
        if let Some((ms, origin)) = &every {
            lines.push(("every", Millis(SOURCE_EVERY_MS_RANGE).print(ms), origin.clone()));
        }
        let (format, format_origin) = self.format.unwrap_or((LineFormat::Auto, Origin::Default));
        if !matches!(kind, "system" | "server" | "stocks") {
            lines.push(("format", FORMATS.print(&format), format_origin));
        }
        Some(SourceConfig {
            name,
            subject,
            work,
            every_ms: every.map(|(ms, _)| ms),
            format,
            origin: self.origin,
            lines,
        })
    }
}

/// What must be true of all of them together: names differ, and one reads standard input.
fn check_together(drafts: &[Draft], errors: &mut Vec<ConfigError>) {
    let mut first_stdin: Option<&Origin> = None;
    for (at, draft) in drafts.iter().enumerate() {
        if let Some((name, origin)) = &draft.name {
            let earlier = drafts[..at].iter().filter_map(|other| other.name.as_ref()).find(|(other, _)| other == name);
            if let Some((_, first)) = earlier {
                errors.push(key_error(origin, "name", format!("\"{name}\" is taken at {first}; names must differ")));
            }
        }
        if let Some(("stdin", origin)) = &draft.kind {
            match first_stdin {
                None => first_stdin = Some(origin),
                Some(first) => {
                    let problem = format!("standard input is read by the source at {first} already");
                    errors.push(key_error(origin, "kind", problem));
                }
            }
        }
    }
}

/// Gives each source without a name its kind and the lowest number that is free: `command-1`.
fn name_the_nameless(drafts: &mut [Draft]) {
    for at in 0..drafts.len() {
        let (None, Some((kind, _))) = (&drafts[at].name, &drafts[at].kind) else { continue };
        let taken =
            |name: &String| drafts.iter().any(|draft| draft.name.as_ref().is_some_and(|(other, _)| other == name));
        let free = (1..=2 * SOURCES_MAX).map(|number| format!("{kind}-{number}")).find(|name| !taken(name));
        drafts[at].name = free.map(|name| (name, Origin::Default));
    }
}

fn kinds() -> &'static str {
    "command, stdin, file, http, system, server, stocks"
}

fn read_kind(raw: &Raw) -> Result<&'static str, String> {
    let text = raw.text().map_err(|problem| format!("{problem}; allowed: {}", kinds()))?;
    let known = kinds().split(", ").find(|kind| *kind == text);
    known.ok_or_else(|| {
        let near = nearest(text, kinds().split(", ").map(str::to_owned));
        format!("{raw} is not known here; the nearest known one is \"{near}\"; allowed: {}", kinds())
    })
}

fn read_subject(raw: &Raw) -> Result<Subject, String> {
    const ALLOWED: &str = "allowed: a subject such as /weather, without commas and control characters";
    let text = raw.text().map_err(|problem| format!("{problem}; {ALLOWED}"))?;
    // With a comma in it nobody could subscribe to it: a comma parts the items of a list (rule P-19).
    if text.trim() != text || text.contains(|letter: char| letter == ',' || letter.is_control()) {
        return Err(format!("{raw} is no subject; {ALLOWED}"));
    }
    Subject::new(text).map_err(|error| format!("{error}; {ALLOWED}"))
}

fn read_program(raw: &Raw) -> Result<Program, String> {
    const ALLOWED: &str = "a line for sh -c, or a list of a program and its arguments";
    let Raw::List(_) = raw else { return read_text(raw, ALLOWED).map(Program::Shell) };
    let parts = raw.texts().map_err(|problem| format!("{problem}; allowed: {ALLOWED}"))?;
    if parts.first().is_none_or(|program| program.is_empty()) {
        return Err(format!("names no program; allowed: {ALLOWED}"));
    }
    if parts.iter().any(|part| part.contains('\0')) {
        return Err(format!("holds a NUL; allowed: {ALLOWED}"));
    }
    Ok(Program::Direct(parts.into_iter().map(str::to_owned).collect()))
}

fn read_url(raw: &Raw) -> Result<String, String> {
    const ALLOWED: &str = "allowed: a URL such as https://example.org/data.json, without user and password";
    let text = raw.text().map_err(|problem| format!("{problem}; {ALLOWED}"))?;
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    // Who writes a password here would find it in print-config.
    let good = host.is_some_and(is_authority);
    if !good || text.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
        return Err(format!("{raw} is no such URL; {ALLOWED}"));
    }
    Ok(text.to_owned())
}

/// Whether it is a host, perhaps with a port: a name, an IPv4 address, or an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address.parse::<core::net::Ipv6Addr>().is_ok(), port),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_host_name(name), port)
        }
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0);
    host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Whether the name service could know it.
fn is_host_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(is_label)
}

fn print_program(program: &Program) -> String {
    match program {
        Program::Shell(line) => quote(line),
        Program::Direct(parts) => quote_list(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_hosts_and_ports_are_refused() {
        for good in ["a", "example.org.", "a-b_c:1", "127.0.0.1:65535", "[::1]", "[::1]:80"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in
            ["", ":80", "a:", "a:0", "a:65536", "a:+1", "a:b", "a..b", "[::1", "[x]", "[::1]80", "::1", "ä", "u@a"]
        {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
