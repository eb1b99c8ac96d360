//! `[[access]]`: who may publish and subscribe, and `[[presence]]`: whose comings and goings are told.

use super::kinds::{Raw, quote, quote_list};
use super::layers::Layers;
use super::nearest::nearest;
use super::origin::{ConfigError, Origin};
use super::secrets::RESERVED;
use super::tables::{self, Found, Lines, RawTable, key_error, unknown_key};
use crate::limits::{ACCESS_RULES_MAX, PRESENCE_MAX};
use crate::topic::Pattern;

/// The name of the table of a rule in its header.
pub(super) const RULES: &str = "access";
/// The same for presence.
pub(super) const PRESENCE: &str = "presence";
const RULE_KEYS: [&str; 3] = ["subject", "publish", "subscribe"];

/// Who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everybody, with a key or without.
    Anyone,
    /// Nobody, whatever their key is.
    Nobody,
    /// The holders of these keys: names of `[[key]]` tables, at least one.
    Keys(Vec<String>),
}

impl Permission {
    fn print(&self) -> String {
        match self {
            Self::Anyone => quote(RESERVED[0]),
            Self::Nobody => quote(RESERVED[1]),
            Self::Keys(names) => quote_list(names),
        }
    }
}

/// One `[[access]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// The subjects that it decides, unless an earlier one does.
    pub subject: Pattern,
    /// Who may publish to them.
    pub publish: Permission,
    /// Who may subscribe to them.
    pub subscribe: Permission,
    /// Where its table begins.
    pub origin: Origin,
    /// Its lines as they are printed.
    pub(super) lines: Lines,
}

/// One `[[presence]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceConfig {
    /// The subjects whose listeners are counted. It begins with a slash.
    pub subject: Pattern,
    /// Where its table begins.
    pub origin: Origin,
    /// Its lines as they are printed.
    pub(super) lines: Lines,
}

/// Takes every `[[access]]` out of `layers`, behind the keys; what is wrong is noted there, and such a rule is left out.
pub(super) fn take(layers: &mut Layers) -> Vec<AccessConfig> {
    let mut errors = Vec::new();
    let raw = tables::take(layers, RULES, ACCESS_RULES_MAX, "rules", &mut errors);
    let rules: Vec<AccessConfig> =
        raw.into_iter().filter_map(|table| read_rule(table, &layers.key_names, &mut errors)).collect();
    for (at, rule) in rules.iter().enumerate() {
        if let Some(first) = rules[..at].iter().find(|other| other.subject == rule.subject) {
            let problem = format!("\"{}\" is decided at {} already: the first rule counts", rule.subject, first.origin);
            errors.push(key_error(RULES, &rule.origin, "subject", problem));
        }
    }
    layers.note(errors);
    rules
}

/// What is allowed and probably not meant: rules that never decide.
pub(super) fn warnings(rules: &[AccessConfig]) -> Vec<String> {
    let hidden = rules.iter().enumerate().filter_map(|(at, rule)| {
        let before = rules[..at].iter().find(|other| other.subject.covers(&rule.subject))?;
        let (subject, cover) = (&rule.subject, &before.subject);
        Some(format!(
            "the rule for \"{subject}\" at {} decides nothing: \"{cover}\" at {} is before it and covers it",
            rule.origin, before.origin
        ))
    });
    hidden.collect()
}

fn read_rule(raw: RawTable, key_names: &[String], errors: &mut Vec<ConfigError>) -> Option<AccessConfig> {
    let mut subject: Found<Pattern> = None;
    let (mut publish, mut subscribe): (Found<Permission>, Found<Permission>) = (None, None);
    let mut given = Vec::new();
    for (origin, key, raw) in raw.entries {
        let at = origin.clone();
        let read = match key.as_str() {
            "subject" => read_pattern(&raw).map(|read| subject = Some((read, at))),
            "publish" => read_permission(&raw, key_names).map(|read| publish = Some((read, at))),
            "subscribe" => read_permission(&raw, key_names).map(|read| subscribe = Some((read, at))),
            _ => {
                errors.push(unknown_key(RULES, RULE_KEYS.into_iter(), origin, &key));
                continue;
            }
        };
        if let Err(problem) = read {
            errors.push(key_error(RULES, &origin, &key, problem));
        }
        given.push(key);
    }
    for key in RULE_KEYS.into_iter().filter(|key| !given.iter().any(|given| given == key)) {
        // What a rule leaves open would be decided elsewhere, and by whom is a matter of guessing.
        let allowed = if key == "subject" { SUBJECTS } else { PERMISSIONS };
        errors.push(key_error(RULES, &raw.origin, key, format!("is missing; every rule needs it; {allowed}")));
    }
    let ((subject, subject_at), (publish, publish_at), (subscribe, subscribe_at)) = (subject?, publish?, subscribe?);
    let lines = vec![
        ("subject", quote(subject.as_str()), subject_at),
        ("publish", publish.print(), publish_at),
        ("subscribe", subscribe.print(), subscribe_at),
    ];
    Some(AccessConfig { subject, publish, subscribe, origin: raw.origin, lines })
}

/// Takes every `[[presence]]` out of `layers`; what is wrong is noted there, and such a table is left out.
pub(super) fn take_presence(layers: &mut Layers) -> Vec<PresenceConfig> {
    let mut errors = Vec::new();
    let raw = tables::take(layers, PRESENCE, PRESENCE_MAX, "tables of presence", &mut errors);
    let tables = raw.into_iter().filter_map(|table| read_presence(table, &mut errors)).collect();
    layers.note(errors);
    tables
}

fn read_presence(raw: RawTable, errors: &mut Vec<ConfigError>) -> Option<PresenceConfig> {
    let (mut subject, mut given): (Found<Pattern>, bool) = (None, false);
    for (origin, key, raw) in raw.entries {
        if key != "subject" {
            errors.push(unknown_key(PRESENCE, ["subject"].into_iter(), origin, &key));
            continue;
        }
        given = true;
        match read_pattern(&raw).and_then(told_of) {
            Ok(read) => subject = Some((read, origin)),
            Err(problem) => errors.push(key_error(PRESENCE, &origin, &key, problem)),
        }
    }
    if !given {
        errors.push(key_error(PRESENCE, &raw.origin, "subject", format!("is missing; {SUBJECTS}")));
    }
    let (subject, at) = subject?;
    let lines = vec![("subject", quote(subject.as_str()), at)];
    Some(PresenceConfig { subject, origin: raw.origin, lines })
}

/// What is told of `/a` is told to `$presence/a`, so there must be a slash.
fn told_of(subject: Pattern) -> Result<Pattern, String> {
    if subject.as_str().starts_with('/') {
        return Ok(subject);
    }
    Err(format!("\"{subject}\" does not begin with a slash; {SUBJECTS}"))
}

const SUBJECTS: &str = "allowed: a subject such as /news, or a pattern such as /news/* or /news/**";
const PERMISSIONS: &str = "allowed: \"anyone\", \"nobody\", or a list of names of keys";

fn read_pattern(raw: &Raw) -> Result<Pattern, String> {
    let text = raw.text().map_err(|problem| format!("{problem}; {SUBJECTS}"))?;
    if text.trim() != text || text.contains(|letter: char| letter == ',' || letter.is_control()) {
        return Err(format!("{raw} holds blanks around it, commas or control characters; {SUBJECTS}"));
    }
    Pattern::new(text).map_err(|error| format!("{raw}: {error}; {SUBJECTS}"))
}

fn read_permission(raw: &Raw, key_names: &[String]) -> Result<Permission, String> {
    let Raw::List(_) = raw else {
        return match raw.text().map_err(|problem| format!("{problem}; {PERMISSIONS}"))? {
            word if word == RESERVED[0] => Ok(Permission::Anyone),
            word if word == RESERVED[1] => Ok(Permission::Nobody),
            word if key_names.iter().any(|name| name == word) => {
                Err(format!("{raw} is the name of a key; write it as a list: [{raw}]"))
            }
            _ => Err(format!("{raw} is not known here; {PERMISSIONS}")),
        };
    };
    let names = raw.texts().map_err(|problem| format!("{problem}; {PERMISSIONS}"))?;
    if names.is_empty() {
        return Err(format!("is an empty list; write \"{}\"", RESERVED[1]));
    }
    for name in &names {
        if RESERVED.contains(name) {
            return Err(format!("\"{name}\" is no name of a key; write it without a list"));
        }
        if !key_names.iter().any(|known| known == name) {
            return Err(unknown_name(name, key_names));
        }
    }
    Ok(Permission::Keys(names.into_iter().map(str::to_owned).collect()))
}

fn unknown_name(name: &str, key_names: &[String]) -> String {
    let near = nearest(name, key_names.iter().cloned());
    if near.is_empty() {
        return format!("{name:?} is no key: there is no [[key]] table");
    }
    format!("{name:?} is no key; the nearest known one is \"{near}\"; known: {}", key_names.join(", "))
}
