//! `[[key]]`: who there is, and the secrets by which they are known. The shell reads the files of secrets; what stands in them is judged here.

use std::fmt;
use std::path::Path;

use super::kinds::quote;
use super::layers::{Layers, printable};
use super::origin::{ConfigError, Origin};
use super::tables::{self, Found, Lines, RawTable, key_error, read_name, read_text, unknown_key};
use super::{FileText, Inputs};
use crate::limits::{KEY_FILE_BYTES_MAX, KEY_NAME_BYTES_MAX, KEYS_MAX, SECRET_BYTES_RANGE, SECRETS_PER_KEY_MAX};

/// The name of the table in its header.
pub(super) const TABLE: &str = "key";
/// What a list of keys in a rule would be confused with.
pub(super) const RESERVED: [&str; 2] = ["anyone", "nobody"];
const KEYS: [&str; 2] = ["name", "file"];
/// Bits of a file's mode by which others than its owner may use it.
const OTHERS: u32 = 0o077;

/// A file of secrets as the shell found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Its path, one of [`key_paths`].
    pub path: String,
    /// What stands in it, or why it could not be read.
    pub content: Result<KeyText, String>,
}

/// What stands in a file of secrets. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    /// Its bytes, up to one more than [`KEY_FILE_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyText").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// What the holder of a key presents. Nothing prints it: neither `Debug` nor an error nor the printed configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The secret itself, for the one who compares: visible ASCII.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One `[[key]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// What rules call its holder, no two alike: 1 to [`KEY_NAME_BYTES_MAX`] letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The file of its secrets, with the folder of the configuration file in front if it is relative.
    pub path: String,
    /// Its secrets: 1 to [`SECRETS_PER_KEY_MAX`].
    pub secrets: Vec<Secret>,
    /// The mode of its file.
    pub mode: u32,
    /// Where its table begins.
    pub origin: Origin,
    /// Its lines as they are printed.
    pub(super) lines: Lines,
}

impl KeyConfig {
    /// What is allowed and probably not meant.
    pub(super) fn warning(&self) -> Option<String> {
        (self.mode & OTHERS != 0).then(|| {
            format!(
                "the secrets of key {} are open to others than their owner: {} has the mode {:04o}, better is 0600",
                self.name,
                printable(&self.path),
                self.mode & 0o7777
            )
        })
    }
}

/// Which files of secrets `file` names, each once: the shell reads them, and [`super::load`] judges what it found.
#[must_use]
pub fn key_paths(file: &FileText) -> Vec<String> {
    let mut layers = Layers::new(&Inputs { file: Some(file.clone()), ..Inputs::default() });
    let mut paths: Vec<String> = Vec::new();
    for (_, key, raw) in layers.take_tables(TABLE).into_iter().take(KEYS_MAX).flat_map(|table| table.entries) {
        if key == KEYS[1]
            && let Ok(given) = read_path(&raw)
        {
            let path = beside(&file.path, &given);
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

fn read_path(raw: &super::kinds::Raw) -> Result<String, String> {
    read_text(raw, "the path of a file with one secret a line")
}

/// `path` as it is seen from the folder of the configuration file.
fn beside(config: &str, path: &str) -> String {
    let folder = Path::new(config).parent().unwrap_or(Path::new(""));
    folder.join(path).display().to_string()
}

/// Takes every `[[key]]` out of `layers`; what is wrong is noted there, and such a key is left out. All names stay known to the rules.
pub(super) fn take(layers: &mut Layers) -> Vec<KeyConfig> {
    let mut errors = Vec::new();
    let raw = tables::take(layers, TABLE, KEYS_MAX, "keys", &mut errors);
    let drafts: Vec<Draft> = raw.into_iter().map(|table| Draft::read(table, &mut errors)).collect();
    check_names(&drafts, &mut errors);
    layers.key_names = drafts.iter().filter_map(|draft| draft.name.as_ref()).map(|(name, _)| name.clone()).collect();
    let keys: Vec<KeyConfig> = drafts.into_iter().filter_map(|draft| draft.finish(layers, &mut errors)).collect();
    check_secrets(&keys, &mut errors);
    layers.note(errors);
    keys
}

struct Draft {
    origin: Origin,
    name: Found<String>,
    file: Found<String>,
}

impl Draft {
    fn read(raw: RawTable, errors: &mut Vec<ConfigError>) -> Self {
        let mut draft = Self { origin: raw.origin, name: None, file: None };
        let mut given = Vec::new();
        for (origin, key, raw) in raw.entries {
            let read = match key.as_str() {
                "name" => read_key_name(&raw).map(|name| draft.name = Some((name, origin.clone()))),
                "file" => read_path(&raw).map(|path| draft.file = Some((path, origin.clone()))),
                _ => {
                    errors.push(unknown_key(TABLE, KEYS.into_iter(), origin, &key));
                    continue;
                }
            };
            if let Err(problem) = read {
                errors.push(key_error(TABLE, &origin, &key, problem));
            }
            given.push(key);
        }
        for key in KEYS.into_iter().filter(|key| !given.iter().any(|given| given == key)) {
            errors.push(key_error(TABLE, &draft.origin, key, "is missing; every key needs it".to_owned()));
        }
        draft
    }

    /// The key, if it is whole. What its file holds is judged now.
    fn finish(self, layers: &Layers, errors: &mut Vec<ConfigError>) -> Option<KeyConfig> {
        let (file, file_origin) = self.file?;
        let path = beside(&layers.file_path, &file);
        let found = layers.key_files.iter().find(|known| known.path == path);
        let read = match found.map(|known| &known.content) {
            None => Err("was not read".to_owned()),
            Some(Err(problem)) => Err(format!("cannot be read: {problem}")),
            Some(Ok(text)) => read_secrets(&text.bytes).map(|secrets| (secrets, text.mode)),
        };
        let (secrets, mode) = match read {
            Ok(read) => read,
            Err(problem) => {
                errors.push(key_error(TABLE, &file_origin, "file", format!("{:?} {problem}", printable(&path))));
                return None;
            }
        };
        let (name, name_origin) = self.name?;
        let lines = vec![("name", quote(&name), name_origin), ("file", quote(&file), file_origin)];
        Some(KeyConfig { name, path, secrets, mode, origin: self.origin, lines })
    }
}

fn read_key_name(raw: &super::kinds::Raw) -> Result<String, String> {
    let name = read_name(raw, KEY_NAME_BYTES_MAX)?;
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("\"{name}\" is a word of [[access]] and names no key; take another"));
    }
    Ok(name)
}

/// One secret a line; blanks around it, empty lines and lines that begin with `#` are nothing. The error says everything but the secret.
fn read_secrets(bytes: &[u8]) -> Result<Vec<Secret>, String> {
    if bytes.len() > KEY_FILE_BYTES_MAX {
        return Err(format!("is too large; allowed: {KEY_FILE_BYTES_MAX} bytes"));
    }
    let (low, high) = SECRET_BYTES_RANGE;
    let allowed = format!("allowed: {low} to {high} visible ASCII characters");
    let mut secrets: Vec<Secret> = Vec::new();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let secret = text.trim_ascii();
        if secret.is_empty() || secret.starts_with(b"#") {
            continue;
        }
        if !secret.iter().all(u8::is_ascii_graphic) {
            return Err(format!("line {line}: a secret holds other characters than visible ASCII; {allowed}"));
        }
        if !(low..=high).contains(&secret.len()) {
            return Err(format!("line {line}: a secret of {} characters; {allowed}", secret.len()));
        }
        if secrets.len() == SECRETS_PER_KEY_MAX {
            return Err(format!("line {line}: too many secrets; allowed: at most {SECRETS_PER_KEY_MAX}"));
        }
        secrets.push(Secret(Box::from(secret)));
    }
    if secrets.is_empty() { Err(format!("holds no secret; {allowed}, one a line")) } else { Ok(secrets) }
}

fn check_names(drafts: &[Draft], errors: &mut Vec<ConfigError>) {
    for (at, (name, origin)) in drafts.iter().enumerate().filter_map(|(at, draft)| Some((at, draft.name.as_ref()?))) {
        let earlier = drafts[..at].iter().filter_map(|other| other.name.as_ref()).find(|(other, _)| other == name);
        if let Some((_, first)) = earlier {
            let problem = format!("\"{name}\" is taken at {first}; names must differ");
            errors.push(key_error(TABLE, origin, "name", problem));
        }
    }
}

/// Whose a secret is must be certain.
fn check_secrets(keys: &[KeyConfig], errors: &mut Vec<ConfigError>) {
    for (at, key) in keys.iter().enumerate() {
        let shares = |other: &&KeyConfig| other.secrets.iter().any(|secret| key.secrets.contains(secret));
        if let Some(other) = keys[..at].iter().find(shares) {
            let problem = format!(
                "{:?} holds a secret that the key at {} has too; a secret is of one key",
                key.path, other.origin
            );
            errors.push(key_error(TABLE, &key.origin, "file", problem));
        }
    }
}
