//! The layers of given values: what each says about a key, and what nobody asked for.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kinds::{Kind, Raw};
use super::nearest::nearest;
use super::origin::{ConfigError, Origin, Setting};
use super::secrets::KeyFile;
use super::tables::{self, RawTable};
use super::{Inputs, Key, Table};

/// One value as somebody gave it.
struct Given {
    origin: Origin,
    /// The table of the file; empty at its top and for flags and variables.
    table: String,
    /// The key of the file; flags and variables have their names in the origin.
    name: String,
    raw: Raw,
}

impl Given {
    fn is(&self, key: Key) -> bool {
        match &self.origin {
            Origin::Flag(name) => key.flag_name() == Some(name.as_str()),
            Origin::Environment(name) => *name == key.env_name(),
            Origin::File { .. } => self.table == key.table.name() && self.name == key.file_name(),
            Origin::Default => false,
        }
    }
}

/// Everything that was given, and what is wrong with it.
pub(super) struct Layers {
    /// Lowest layer first: a later one overrules an earlier one. What has been taken is gone.
    given: Vec<Given>,
    /// The tables that may stand more than once, in order.
    tables: Vec<RawTable>,
    /// The path of the file as it was given; empty if there is none.
    pub(super) file_path: String,
    /// The files of secrets that were read.
    pub(super) key_files: Vec<KeyFile>,
    /// The names that `[[key]]` tables give, those of wrong ones too: rules are judged by them.
    pub(super) key_names: Vec<String>,
    errors: Vec<ConfigError>,
}

impl Layers {
    /// Sorts the inputs into layers. Variables without the prefix of ours are somebody else's.
    pub(super) fn new(inputs: &Inputs) -> Self {
        let mut layers = Self {
            given: Vec::new(),
            tables: Vec::new(),
            file_path: inputs.file.as_ref().map(|file| file.path.clone()).unwrap_or_default(),
            key_files: inputs.key_files.clone(),
            key_names: Vec::new(),
            errors: Vec::new(),
        };
        if let Some(file) = &inputs.file {
            layers.add_file(&Arc::from(printable(&file.path)), &file.text);
        }
        let from_text = |origin, text: &str| Given {
            origin,
            table: String::new(),
            name: String::new(),
            raw: Raw::Word(text.to_owned()),
        };
        let ours = inputs.environment.iter().filter(|(name, _)| name.starts_with(super::ENV_PREFIX));
        layers.given.extend(ours.map(|(name, text)| from_text(Origin::Environment(name.clone()), text)));
        layers.given.extend(inputs.flags.iter().map(|(name, text)| from_text(Origin::Flag(name.clone()), text)));
        layers
    }

    fn add_file(&mut self, path: &Arc<str>, text: &str) {
        let line_of = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let origin = |at: usize| Origin::File { path: Arc::clone(path), line: line_of(at) };
        let (document, syntax_errors) = DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            // What stands behind a syntax error may be read wrongly, so nothing else is said about the file.
            self.errors.extend(syntax_errors.iter().map(|error| ConfigError {
                origin: origin(error.span().map_or(0, |span| span.start)),
                key: String::new(),
                problem: format!("not TOML: {}", error.message()),
            }));
            return;
        }
        for (name, value) in document.get_ref() {
            let (at, name) = (name.span().start, name.get_ref().to_string());
            let repeated = tables::NAMES.into_iter().find(|known| *known == name);
            let names_a_table = Table::SUB_TABLES.iter().any(|table| table.name() == name);
            let problem = match (value.get_ref(), repeated) {
                (DeValue::Array(tables), Some(known)) => {
                    self.add_repeated(known, tables, &origin);
                    continue;
                }
                (_, Some(known)) => must_be_tables(known),
                (DeValue::Table(entries), _) if names_a_table => {
                    self.add_table(&name, entries, &origin);
                    continue;
                }
                _ if names_a_table => format!("must be a table that begins with the line [{name}]"),
                (DeValue::Table(_), _) if !is_top_key(&name) => unknown_table(&name),
                (DeValue::Array(items), _) if !is_top_key(&name) && holds_tables(items) => unknown_table(&name),
                (other, _) => {
                    self.given.push(Given { origin: origin(at), table: String::new(), name, raw: raw(other) });
                    continue;
                }
            };
            self.errors.push(ConfigError { origin: origin(at), key: name, problem });
        }
    }

    fn add_table(&mut self, table: &str, entries: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) {
        self.given.extend(entries.iter().map(|(name, value)| Given {
            origin: origin(name.span().start),
            table: table.to_owned(),
            name: name.get_ref().to_string(),
            raw: raw(value.get_ref()),
        }));
    }

    fn add_repeated(&mut self, name: &'static str, tables: &[Spanned<DeValue<'_>>], origin: &dyn Fn(usize) -> Origin) {
        for table in tables {
            let at = origin(table.span().start);
            let DeValue::Table(entries) = table.get_ref() else {
                self.errors.push(ConfigError { origin: at, key: name.to_owned(), problem: must_be_tables(name) });
                continue;
            };
            let entries = entries
                .iter()
                .map(|(name, value)| (origin(name.span().start), name.get_ref().to_string(), raw(value.get_ref())));
            self.tables.push(RawTable { name, origin: at, entries: entries.collect() });
        }
    }

    /// Takes out the tables `name`.
    pub(super) fn take_tables(&mut self, name: &str) -> Vec<RawTable> {
        self.tables.extract_if(.., |table| table.name == name).collect()
    }

    /// Adds to what is wrong.
    pub(super) fn note(&mut self, errors: Vec<ConfigError>) {
        self.errors.extend(errors);
    }

    /// Takes out what all layers say about `key`. Each of them is checked, also where a higher one overrules it: a wrong value that
    /// waits for the day when a flag is removed is still wrong. The highest good one wins.
    pub(super) fn take<K: Kind>(&mut self, key: Key, kind: &K, default: K::Value) -> Setting<K::Value> {
        let default_text = kind.print(&default);
        let mut setting = Setting { value: default, origin: Origin::Default };
        for given in self.given.extract_if(.., |given| given.is(key)) {
            match kind.read(&given.raw) {
                Ok(value) => setting = Setting { value, origin: given.origin },
                Err(problem) => self.errors.push(ConfigError {
                    origin: given.origin,
                    key: key.path(),
                    problem: format!("{problem}; allowed: {}; default: {default_text}", kind.allowed()),
                }),
            }
        }
        setting
    }

    /// Ends the taking: what is left is unknown. `keys` are all that are known.
    pub(super) fn finish(mut self, keys: &[Key]) -> Vec<ConfigError> {
        let unknown = self.given.into_iter().map(|given| ConfigError {
            problem: unknown_key(&given, keys),
            key: String::new(),
            origin: given.origin,
        });
        self.errors.extend(unknown);
        self.errors.sort_by(|one, other| one.origin.cmp(&other.origin));
        self.errors
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number of very many digits"), Raw::Number),
        DeValue::Boolean(switch) => Raw::Switch(*switch),
        DeValue::Array(items) => Raw::List(items.iter().map(Spanned::get_ref).map(raw).collect()),
        DeValue::Float(_) => Raw::Other("a number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date or time"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

fn must_be_tables(name: &str) -> String {
    format!("must be tables that each begin with the line [[{name}]]")
}

fn is_top_key(name: &str) -> bool {
    super::keys().iter().any(|key| key.table == Table::Top && key.file_name() == name)
}

fn holds_tables(items: &[Spanned<DeValue<'_>>]) -> bool {
    items.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_)))
}

fn unknown_table(name: &str) -> String {
    let known = Table::SUB_TABLES.iter().map(|table| format!("[{}]", table.name()));
    let known: Vec<String> = known.chain(tables::NAMES.iter().map(|name| format!("[[{name}]]"))).collect();
    // Brackets would count as letters.
    let bare = |shown: &String| shown.trim_matches(['[', ']']).to_owned();
    let near = nearest(name, known.iter().map(bare));
    let shown = known.iter().find(|shown| bare(shown) == near).cloned().unwrap_or_default();
    format!("unknown table; the nearest known one is {shown}")
}

fn unknown_key(given: &Given, keys: &[Key]) -> String {
    match &given.origin {
        Origin::Flag(name) => {
            let flags = keys.iter().filter_map(|key| key.flag_name()).map(str::to_owned);
            format!("unknown flag; the nearest known one is --{}", nearest(name, flags))
        }
        Origin::Environment(name) => {
            format!(
                "unknown variable; the nearest known one is {}",
                nearest(name, keys.iter().map(|key| key.env_name()))
            )
        }
        Origin::File { .. } | Origin::Default => unknown_file_key(given, keys),
    }
}

fn unknown_file_key(given: &Given, keys: &[Key]) -> String {
    let place =
        |table: &str| if table.is_empty() { "at the top of the file".to_owned() } else { format!("in [{table}]") };
    let name = printable(&given.name);
    let here = place(&given.table);
    // A line that slipped below the wrong table header is the commonest mistake in TOML.
    if let Some(key) = keys.iter().find(|key| key.file_name() == given.name) {
        return format!("key `{name}` is not known {here}; it belongs {}", place(key.table.name()));
    }
    let siblings = keys.iter().filter(|key| key.table.name() == given.table).map(|key| key.file_name());
    format!("unknown key `{name}` {here}; the nearest known one is `{}`", nearest(&given.name, siblings))
}

/// The text without characters that could break a line of an error message or of printed TOML.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}
