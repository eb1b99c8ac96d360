//! What tables that may stand more than once have in common: `[[key]]`, `[[access]]`, `[[presence]]`, `[[source]]`.

use super::kinds::Raw;
use super::layers::{Layers, printable};
use super::nearest::nearest;
use super::origin::{ConfigError, Origin};
use super::{keys, sources};

/// The names of all such tables.
pub(super) const NAMES: [&str; 4] =
    [super::secrets::TABLE, super::access::RULES, super::access::PRESENCE, sources::TABLE];

/// One of them as it stands in the file.
pub(super) struct RawTable {
    pub(super) name: &'static str,
    pub(super) origin: Origin,
    pub(super) entries: Vec<(Origin, String, Raw)>,
}

/// A value and where it stood.
pub(super) type Found<T> = Option<(T, Origin)>;

/// A table's lines as they are printed: key, value as TOML, origin.
pub(super) type Lines = Vec<(&'static str, String, Origin)>;

/// Takes all tables `name` out of `layers`. Those beyond `max` are an error, of `what`.
pub(super) fn take(
    layers: &mut Layers,
    name: &str,
    max: usize,
    what: &str,
    errors: &mut Vec<ConfigError>,
) -> Vec<RawTable> {
    let mut tables = layers.take_tables(name);
    if let Some(beyond) = tables.get(max) {
        let problem = format!("too many {what}; allowed: at most {max}");
        errors.push(ConfigError { origin: beyond.origin.clone(), key: name.to_owned(), problem });
    }
    tables.truncate(max);
    tables
}

pub(super) fn key_error(table: &str, origin: &Origin, key: &str, problem: String) -> ConfigError {
    ConfigError { origin: origin.clone(), key: format!("{table}.{key}"), problem }
}

/// `known` are the keys of the table.
pub(super) fn unknown_key<'a>(
    table: &str,
    known: impl Iterator<Item = &'a str>,
    origin: Origin,
    name: &str,
) -> ConfigError {
    let shown = printable(name);
    // A line that slipped below the wrong table header is the commonest mistake in TOML.
    let problem = match keys().into_iter().find(|key| key.file_name() == name) {
        Some(key) if key.table.name().is_empty() => {
            format!("key `{shown}` is not known in [[{table}]]; it belongs at the top of the file")
        }
        Some(key) => format!("key `{shown}` is not known in [[{table}]]; it belongs in [{}]", key.table.name()),
        None => {
            let near = nearest(name, known.map(str::to_owned));
            format!("unknown key `{shown}` in [[{table}]]; the nearest known one is `{near}`")
        }
    };
    ConfigError { origin, key: String::new(), problem }
}

/// What people call a source or a key: 1 to `bytes_max` letters, digits, `-`, `_` and `.`.
pub(super) fn read_name(raw: &Raw, bytes_max: usize) -> Result<String, String> {
    let allowed = format!("allowed: 1 to {bytes_max} letters, digits, -, _ and .");
    let text = raw.text().map_err(|problem| format!("{problem}; {allowed}"))?;
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if text.is_empty() || text.len() > bytes_max || !plain {
        return Err(format!("{raw} is no name; {allowed}"));
    }
    Ok(text.to_owned())
}

pub(super) fn read_text(raw: &Raw, what: &str) -> Result<String, String> {
    match raw.text() {
        Ok("") => Err(format!("is empty; allowed: {what}")),
        Ok(text) if text.contains('\0') => Err(format!("{raw} holds a NUL; allowed: {what}")),
        Ok(text) => Ok(text.to_owned()),
        Err(problem) => Err(format!("{problem}; allowed: {what}")),
    }
}
