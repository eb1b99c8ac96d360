//! Kinds of values: how each is read, checked and printed.

use core::net::SocketAddr;
use std::fmt;

use super::cors;
use super::units;

/// A value as it was given, before anybody asked what it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// Text of a flag or variable: it may turn out to be anything.
    Word(String),
    /// A text in quotes, in the file.
    Text(String),
    /// A whole number, in the file.
    Number(i128),
    /// `true` or `false`, in the file.
    Switch(bool),
    /// A list, in the file.
    List(Vec<Raw>),
    /// Something that no setting can be, in the file: what it is.
    Other(&'static str),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(switch) => write!(f, "{switch}"),
            Self::List(_) => f.write_str("a list"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl Raw {
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Word(text) | Self::Text(text) => Ok(text),
            other => Err(format!("{other} is not a text in quotes")),
        }
    }

    fn number(&self) -> Result<i128, String> {
        let no_number = || format!("{self} is not a whole number");
        match self {
            Self::Word(text) => text.parse().map_err(|_| no_number()),
            Self::Number(number) => Ok(*number),
            Self::Text(text) if text.parse::<i128>().is_ok() => Err(format!("{self} is a text, write {text}")),
            _ => Err(no_number()),
        }
    }

    /// A list of texts: an array of the file, or a word with commas.
    pub(super) fn texts(&self) -> Result<Vec<&str>, String> {
        match self {
            Self::Word(text) => Ok(text.split(',').collect()),
            Self::List(items) => items.iter().map(Self::text).collect(),
            other => Err(format!("{other} is not a list of texts")),
        }
    }
}

/// How one kind of value is read, checked and printed.
pub(super) trait Kind {
    /// What it is inside the program.
    type Value;
    /// Reads and checks. The error says what is wrong; the caller adds [`Kind::allowed`].
    fn read(&self, raw: &Raw) -> Result<Self::Value, String>;
    /// Writes the value as TOML that reads back as the same value.
    fn print(&self, value: &Self::Value) -> String;
    /// What may be given, for people.
    fn allowed(&self) -> String;
    /// What stands for the value in a usage line.
    fn placeholder(&self) -> &'static str;
}

/// An address with its port; port 0 lets the kernel choose.
pub(super) struct Address;

impl Kind for Address {
    type Value = SocketAddr;
    fn read(&self, raw: &Raw) -> Result<SocketAddr, String> {
        raw.text()?.parse().map_err(|_| format!("{raw} is not an IP address with a port"))
    }
    fn print(&self, value: &SocketAddr) -> String {
        quote(&value.to_string())
    }
    fn allowed(&self) -> String {
        "IP:PORT such as 127.0.0.1:8080 or [::]:8080".to_owned()
    }
    fn placeholder(&self) -> &'static str {
        "IP:PORT"
    }
}

/// An address, or `off`.
pub(super) struct AddressOrOff;

impl Kind for AddressOrOff {
    type Value = Option<SocketAddr>;
    fn read(&self, raw: &Raw) -> Result<Option<SocketAddr>, String> {
        if raw.text()? == "off" { Ok(None) } else { Address.read(raw).map(Some) }
    }
    fn print(&self, value: &Option<SocketAddr>) -> String {
        value.map_or_else(|| quote("off"), |address| Address.print(&address))
    }
    fn allowed(&self) -> String {
        format!("{}, or off", Address.allowed())
    }
    fn placeholder(&self) -> &'static str {
        "IP:PORT|off"
    }
}

/// A whole number.
pub(super) struct Count {
    /// Lowest and highest.
    pub(super) range: (u32, u32),
    /// Only powers of two.
    pub(super) power_of_two: bool,
    /// Why the range is what it is, if that surprises.
    pub(super) note: &'static str,
}

/// Any whole number of `range`.
pub(super) const fn count(range: (u32, u32)) -> Count {
    Count { range, power_of_two: false, note: "" }
}

impl Kind for Count {
    type Value = u32;
    fn read(&self, raw: &Raw) -> Result<u32, String> {
        let number = raw.number()?;
        let (low, high) = self.range;
        match u32::try_from(number) {
            Ok(count) if count < low => Err(format!("{raw} is too small")),
            Ok(count) if count <= high && self.power_of_two && !count.is_power_of_two() => {
                Err(format!("{raw} is not a power of two"))
            }
            Ok(count) if count <= high => Ok(count),
            _ if number < 0 => Err(format!("{raw} is too small")),
            _ => Err(format!("{raw} is too large")),
        }
    }
    fn print(&self, value: &u32) -> String {
        value.to_string()
    }
    fn allowed(&self) -> String {
        let (low, high) = self.range;
        let range = if low == high { low.to_string() } else { format!("{low} to {high}") };
        let powers = if self.power_of_two { ", a power of two" } else { "" };
        format!("{range}{powers}{}", self.note)
    }
    fn placeholder(&self) -> &'static str {
        "N"
    }
}

/// A whole number, or `auto`.
pub(super) struct CountOrAuto(pub(super) Count);

impl Kind for CountOrAuto {
    type Value = Option<u32>;
    fn read(&self, raw: &Raw) -> Result<Option<u32>, String> {
        match raw {
            Raw::Word(text) | Raw::Text(text) if text == "auto" => Ok(None),
            other => self.0.read(other).map(Some),
        }
    }
    fn print(&self, value: &Option<u32>) -> String {
        value.map_or_else(|| quote("auto"), |count| self.0.print(&count))
    }
    fn allowed(&self) -> String {
        format!("{}, or auto", self.0.allowed())
    }
    fn placeholder(&self) -> &'static str {
        "N|auto"
    }
}

/// `true` or `false`.
pub(super) struct Switch;

impl Kind for Switch {
    type Value = bool;
    fn read(&self, raw: &Raw) -> Result<bool, String> {
        match raw {
            Raw::Switch(switch) => Ok(*switch),
            Raw::Word(text) if text == "true" => Ok(true),
            Raw::Word(text) if text == "false" => Ok(false),
            other => Err(format!("{other} is neither true nor false")),
        }
    }
    fn print(&self, value: &bool) -> String {
        value.to_string()
    }
    fn allowed(&self) -> String {
        "true or false".to_owned()
    }
    fn placeholder(&self) -> &'static str {
        "true|false"
    }
}

/// A duration in milliseconds, with its lowest and highest value.
pub(super) struct Millis(pub(super) (u64, u64));

impl Kind for Millis {
    type Value = u64;
    fn read(&self, raw: &Raw) -> Result<u64, String> {
        if let Raw::Number(number) = raw {
            return Err(format!("{number} has no unit, write for example \"{}s\"", number.unsigned_abs()));
        }
        let ms = units::read_duration_ms(raw.text()?).map_err(|problem| format!("{raw} {problem}"))?;
        in_range(raw, ms, self.0)
    }
    fn print(&self, value: &u64) -> String {
        quote(&units::print_duration(*value))
    }
    fn allowed(&self) -> String {
        let (low, high) = self.0;
        format!("{} to {} (units: ms, s, m, h)", units::print_duration(low), units::print_duration(high))
    }
    fn placeholder(&self) -> &'static str {
        "TIME"
    }
}

/// A size in bytes, with its lowest and highest value.
pub(super) struct Bytes(pub(super) (u32, u32));

impl Kind for Bytes {
    type Value = u32;
    fn read(&self, raw: &Raw) -> Result<u32, String> {
        if let Raw::Number(number) = raw {
            return Err(format!("{number} has no unit, write for example \"{}KiB\"", number.unsigned_abs()));
        }
        let bytes = units::read_size_bytes(raw.text()?).map_err(|problem| format!("{raw} {problem}"))?;
        let bytes = in_range(raw, bytes, (u64::from(self.0.0), u64::from(self.0.1)))?;
        u32::try_from(bytes).map_err(|_| format!("{raw} is too large"))
    }
    fn print(&self, value: &u32) -> String {
        quote(&units::print_size(u64::from(*value)))
    }
    fn allowed(&self) -> String {
        let print = |bytes: u32| units::print_size(u64::from(bytes));
        format!("{} to {} (units: B, KiB, MiB, GiB, KB, MB, GB)", print(self.0.0), print(self.0.1))
    }
    fn placeholder(&self) -> &'static str {
        "SIZE"
    }
}

/// One of a few words and what each means. Invariant: every meaning that is ever printed is in the table.
pub(super) struct Choice<T: 'static> {
    /// The words, the recommended one first.
    pub(super) words: &'static [(&'static str, T)],
    /// The words in a usage line.
    pub(super) placeholder: &'static str,
}

impl<T: Copy + PartialEq> Kind for Choice<T> {
    type Value = T;
    fn read(&self, raw: &Raw) -> Result<T, String> {
        let text = raw.text()?;
        let known = self.words.iter().find(|(word, _)| *word == text);
        known.map(|(_, meaning)| *meaning).ok_or_else(|| format!("{raw} is not known here"))
    }
    fn print(&self, value: &T) -> String {
        let known = self.words.iter().find(|(_, meaning)| meaning == value);
        quote(known.map_or("", |(word, _)| *word))
    }
    fn allowed(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|(word, _)| *word).collect();
        words.join(", ")
    }
    fn placeholder(&self) -> &'static str {
        self.placeholder
    }
}

/// P-18: parts of User-Agent texts, trimmed and in lower case. Empty entries are ignored: an empty text is part of every other.
pub(super) struct AgentParts;

impl Kind for AgentParts {
    type Value = Vec<String>;
    fn read(&self, raw: &Raw) -> Result<Vec<String>, String> {
        let entries = raw.texts()?.into_iter().map(|entry| entry.trim().to_lowercase());
        Ok(entries.filter(|entry| !entry.is_empty()).collect())
    }
    fn print(&self, value: &Vec<String>) -> String {
        quote_list(value)
    }
    fn allowed(&self) -> String {
        "a list of texts (a variable has them with commas between)".to_owned()
    }
    fn placeholder(&self) -> &'static str {
        "LIST"
    }
}

/// P-33: the CORS allow-list.
pub(super) struct WebOrigins;

impl Kind for WebOrigins {
    type Value = Vec<String>;
    fn read(&self, raw: &Raw) -> Result<Vec<String>, String> {
        let entries = raw.texts()?;
        if matches!(raw, Raw::Word(text) if text.trim().is_empty()) {
            return Ok(Vec::new());
        }
        let read = |entry: &str| cors::read_origin(entry).map_err(|problem| format!("{entry:?} {problem}"));
        entries.into_iter().map(read).collect()
    }
    fn print(&self, value: &Vec<String>) -> String {
        quote_list(value)
    }
    fn allowed(&self) -> String {
        "a list of origins such as https://example.org or http://localhost:3000, or *".to_owned()
    }
    fn placeholder(&self) -> &'static str {
        "LIST"
    }
}

/// The path of the file itself, which the file cannot say.
pub(super) struct FilePath;

impl Kind for FilePath {
    type Value = Option<String>;
    fn read(&self, raw: &Raw) -> Result<Option<String>, String> {
        match raw {
            Raw::Word(path) if path.is_empty() => Err("the path is empty".to_owned()),
            Raw::Word(path) => Ok(Some(path.clone())),
            _ => Err("a file cannot name the file to read".to_owned()),
        }
    }
    fn print(&self, value: &Option<String>) -> String {
        quote(value.as_deref().unwrap_or("none"))
    }
    fn allowed(&self) -> String {
        "a path, by flag or environment only".to_owned()
    }
    fn placeholder(&self) -> &'static str {
        "FILE"
    }
}

fn in_range(raw: &Raw, value: u64, (low, high): (u64, u64)) -> Result<u64, String> {
    match value {
        _ if value < low => Err(format!("{raw} is too small")),
        _ if value > high => Err(format!("{raw} is too large")),
        _ => Ok(value),
    }
}

/// The text as a TOML string, on one line.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

pub(super) fn quote_list(entries: &[String]) -> String {
    let quoted: Vec<String> = entries.iter().map(|entry| quote(entry)).collect();
    format!("[{}]", quoted.join(", "))
}
