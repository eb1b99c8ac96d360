//! From the tables of the configuration to what judges requests: rules, keys, and whose presence is told.

use std::sync::Arc;

use crate::auth::{Access, Identity, Keyring, Names, Rule, Who};
use crate::config::{Config, Permission};
use crate::topic::Pattern;

/// What stands between a request and what it asks for.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) access: Arc<Access>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) presence: Arc<[Pattern]>,
}

impl Gate {
    /// `names` are those of all configurations that this process has had: whoever holds a key keeps the identity.
    pub(super) fn new(config: &Config, names: &mut Names) -> Self {
        let holders: Vec<Identity> = config.keys.iter().map(|key| names.identity(&key.name)).collect();
        let mut rules = Vec::with_capacity(config.access.len());
        for rule in &config.access {
            let (publish, subscribe) = (who(&rule.publish, names), who(&rule.subscribe, names));
            rules.push(Rule { subject: rule.subject.clone(), publish, subscribe });
        }
        let secrets = config.keys.iter().zip(&holders);
        let secrets = secrets.flat_map(|(key, holder)| key.secrets.iter().map(|secret| (*holder, secret.expose())));
        let keyring = Arc::new(Keyring::new(secrets));
        let access = Arc::new(Access::new(rules, holders.iter().copied(), config.is_for_this_machine()));
        Self { access, keyring, presence: config.presence.iter().map(|table| table.subject.clone()).collect() }
    }
}

fn who(permission: &Permission, names: &mut Names) -> Who {
    match permission {
        Permission::Anyone => Who::Anyone,
        Permission::Nobody => Who::nobody(),
        Permission::Keys(keys) => Who::holders(keys.iter().map(|name| names.identity(name))),
    }
}

/// What is in force, for the line at the start and the log of a reload.
pub(super) fn told(config: &Config) -> String {
    let secrets: usize = config.keys.iter().map(|key| key.secrets.len()).sum();
    let default = if config.is_for_this_machine() {
        "anyone may publish and subscribe"
    } else {
        "anyone may subscribe, and publishing needs a key"
    };
    let (keys, rules) = (config.keys.len(), config.access.len());
    format!("rules: {rules}, keys: {keys}, secrets: {secrets}; where no rule decides, {default}")
}

/// What an operator should hear who has opened the server and not said who may publish.
pub(super) fn advice(config: &Config) -> Option<&'static str> {
    let unsaid = !config.is_for_this_machine() && config.access.is_empty();
    unsaid.then_some(
        "publishing needs a key, because more than this machine can connect: give keys by [[key]] tables, or say by an [[access]] table who \
         may publish without",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Action;
    use crate::config::{FileText, Inputs, KeyFile, KeyText, load};

    /// A configuration with keys `NAME=SECRET`, and what else stands in its file.
    fn config(keys: &[(&str, &str)], rest: &str) -> Config {
        let table = |(name, _): &(&str, &str)| format!("[[key]]\nname = \"{name}\"\nfile = \"{name}\"\n");
        let text = format!("{rest}\n{}", keys.iter().map(table).collect::<String>());
        let file = |(name, secret): &(&str, &str)| {
            let content = Ok(KeyText { bytes: secret.replace(' ', "\n").into_bytes(), mode: 0o600 });
            KeyFile { path: (*name).to_owned(), content }
        };
        let file_text = FileText { path: "x.toml".to_owned(), text };
        load(&Inputs { file: Some(file_text), key_files: keys.iter().map(file).collect(), ..Inputs::default() })
            .expect("good")
    }

    const OLD: &str = "the-old-secret-of-it";
    const NEW: &str = "the-new-secret-of-it";
    const OTHER: &str = "the-secret-of-others";

    #[test]
    fn tables_become_rules_and_keys() {
        let rules = "access = [{ subject = \"/news/**\", publish = [\"backend\"], subscribe = \"anyone\" }, \
                     { subject = \"/staff\", publish = \"nobody\", subscribe = [\"staff\", \"backend\"] }]\n\
                     presence = [{ subject = \"/rooms/*\" }, { subject = \"/lobby\" }]\n";
        let keys = [("backend", &*format!("{OLD} {NEW}")), ("staff", OTHER)];
        let gate = Gate::new(&config(&keys, rules), &mut Names::default());
        let find = |secret: &str| gate.keyring.find(secret.as_bytes()).expect("a key");
        let (backend, staff) = (find(OLD), find(OTHER));
        assert!(find(NEW) == backend && staff != backend);
        let may = |identity, action, subject| gate.access.may(identity, action, subject).is_ok();
        for (action, subject, due) in [
            (Action::Publish, "/news/a", [false, true, false]),
            (Action::Subscribe, "/news/a", [true, true, true]),
            (Action::Publish, "/staff", [false, false, false]),
            (Action::Subscribe, "/staff", [false, true, true]),
            (Action::Publish, "/else", [true, true, true]),
        ] {
            let told = [Identity::NOBODY, backend, staff].map(|identity| may(identity, action, subject));
            assert_eq!(told, due, "{action:?} {subject}");
        }
        let presence: Vec<&str> = gate.presence.iter().map(Pattern::as_str).collect();
        assert_eq!(presence, ["/rooms/*", "/lobby"]);
    }

    /// A session remembers an identity. Behind a reload it is still that of its key, wherever the key stands by now, and a key that is gone
    /// gives no right.
    #[test]
    fn holders_stay_who_they_are_over_reloads() {
        let listen = "listen = \"192.0.2.1:80\"";
        let mut names = Names::default();
        let before = Gate::new(&config(&[("gone", OLD), ("stays", OTHER)], listen), &mut names);
        let (gone, stays) = (before.keyring.find(OLD.as_bytes()), before.keyring.find(OTHER.as_bytes()));
        let (gone, stays) = (gone.expect("a key"), stays.expect("a key"));
        let after = Gate::new(&config(&[("stays", OTHER), ("comes", NEW)], listen), &mut names);
        assert_eq!(after.keyring.find(OTHER.as_bytes()), Ok(stays));
        let comes = after.keyring.find(NEW.as_bytes()).expect("a key");
        assert!(comes != gone && comes != stays && after.keyring.find(OLD.as_bytes()).is_err());
        let publish =
            |gate: &Gate| [gone, stays, comes].map(|identity| gate.access.may(identity, Action::Publish, "/a").is_ok());
        assert_eq!((publish(&before), publish(&after)), ([true, true, false], [false, true, true]));
    }

    #[test]
    fn the_operator_hears_what_is_in_force() {
        let told = |rest: &str| {
            let config = config(&[("a", &format!("{OLD} {NEW}"))], rest);
            (told(&config), advice(&config).is_some())
        };
        let open = "access = [{ subject = \"**\", publish = \"anyone\", subscribe = \"anyone\" }]";
        for (rest, line, advised) in [
            ("", "rules: 0, keys: 1, secrets: 2; where no rule decides, anyone may publish and subscribe", false),
            (
                "listen = \"[::]:80\"",
                "rules: 0, keys: 1, secrets: 2; where no rule decides, anyone may subscribe, and publishing needs a key",
                true,
            ),
            (
                &*format!("listen = \"0.0.0.0:80\"\n{open}"),
                "rules: 1, keys: 1, secrets: 2; where no rule decides, anyone may subscribe, and publishing needs a key",
                false,
            ),
        ] {
            assert_eq!(told(rest), (line.to_owned(), advised), "{rest}");
        }
    }
}
