//! Flags, environment and file to one [`Config`], each value with its origin.
//!
//! Texts in, values out: the shell reads arguments, variables and files. A flag overrules a `PUSHLETD_*` variable, which overrules a line
//! of the file, which overrules the default. Everything that was given is checked, and all that is wrong is said at once.

mod access;
mod cors;
mod kinds;
mod layers;
mod nearest;
mod origin;
mod print;
mod secrets;
mod settings;
mod sources;
mod tables;
mod units;

pub use access::{AccessConfig, Permission, PresenceConfig};
pub use origin::{ConfigError, Origin, Setting};
pub use print::print_config;
pub use secrets::{KeyConfig, KeyFile, KeyText, Secret, key_paths};
pub use settings::{Config, HttpConfig, IoDriver, LogFormat, LogLevel, PushletConfig};
pub use sources::{LineFormat, Program, SourceConfig, SourceWork};

use core::net::{IpAddr, SocketAddr};

use layers::Layers;

/// What the names of our environment variables begin with.
pub const ENV_PREFIX: &str = "PUSHLETD_";

/// What the shell has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Flags without their dashes (`queue-size`) and their texts; a switch has the text `true`.
    pub flags: Vec<(String, String)>,
    /// Variables of the environment; those of other programs may be among them.
    pub environment: Vec<(String, String)>,
    /// The file, if there is one.
    pub file: Option<FileText>,
    /// The files of secrets that it names ([`key_paths`]).
    pub key_files: Vec<KeyFile>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Its path as the operator gave it, for messages.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What stands before the first table header. Only these settings have flags.
    Top,
    /// `[pushlet]`
    Pushlet,
    /// `[http]`
    Http,
}

impl Table {
    /// The tables that have a header.
    pub const SUB_TABLES: [Self; 2] = [Self::Pushlet, Self::Http];

    /// The name in its header; empty for the top.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Pushlet => "pushlet",
            Self::Http => "http",
        }
    }
}

/// The name of a setting, spelled in each layer's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its table in the file.
    pub table: Table,
    /// Its name with dashes.
    pub name: &'static str,
}

impl Key {
    /// Its flag without the two dashes in front, if it has one.
    #[must_use]
    pub fn flag_name(self) -> Option<&'static str> {
        (self.table == Table::Top).then_some(self.name)
    }

    /// Its variable, such as `PUSHLETD_PUSHLET_PULL_WAIT`.
    #[must_use]
    pub fn env_name(self) -> String {
        format!("{ENV_PREFIX}{}", self.path().replace('.', "_").to_ascii_uppercase())
    }

    /// Its key within its table of the file.
    #[must_use]
    pub fn file_name(self) -> String {
        self.name.replace('-', "_")
    }

    /// Its key with the table, such as `pushlet.pull_wait`.
    #[must_use]
    pub fn path(self) -> String {
        match self.table {
            Table::Top => self.file_name(),
            table => format!("{}.{}", table.name(), self.file_name()),
        }
    }

    /// Whether the file may set it: all but the path of the file itself.
    #[must_use]
    pub fn in_file(self) -> bool {
        self != CONFIG_KEY
    }
}

const CONFIG_KEY: Key = Key { table: Table::Top, name: "config" };

/// One setting for people: what `print-config` and `--help` show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingLine {
    /// Its name.
    pub key: Key,
    /// Its value as TOML, on one line.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// What it means, one sentence without its full stop.
    pub help: &'static str,
    /// What may be given.
    pub allowed: String,
    /// What stands for the value in a usage line.
    pub placeholder: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Self::take(&mut Layers::new(&Inputs::default()))
    }
}

impl Config {
    /// Every setting, in the order of the documentation.
    #[must_use]
    pub fn lines(&self) -> Vec<SettingLine> {
        let mut lines = Vec::new();
        self.describe(&mut lines);
        lines
    }

    /// Every table that may stand more than once: its name and its lines. Keys come before the rules that name them.
    fn tables(&self) -> impl Iterator<Item = (&'static str, &tables::Lines)> {
        let keys = self.keys.iter().map(|key| (secrets::TABLE, &key.lines));
        let rules = self.access.iter().map(|rule| (access::RULES, &rule.lines));
        let presence = self.presence.iter().map(|table| (access::PRESENCE, &table.lines));
        let sources = self.sources.iter().map(|source| (sources::TABLE, &source.lines));
        keys.chain(rules).chain(presence).chain(sources)
    }

    /// Whether only this machine can connect: `listen` is one of its loopback addresses.
    #[must_use]
    pub fn is_for_this_machine(&self) -> bool {
        self.listen.value.ip().to_canonical().is_loopback()
    }

    /// Whether the demo pages and the demo sources are there: `auto` is yes if and only if `listen` is an address of this machine alone.
    #[must_use]
    pub fn demo_is_on(&self) -> bool {
        self.demo.value.unwrap_or_else(|| self.is_for_this_machine())
    }

    /// What is allowed and probably not meant, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let pushlet = &self.pushlet;
        let pairs = [
            (CONFLICT_PULL_REFRESH, pushlet.pull_refresh_wait_max_ms.value, pushlet.pull_refresh_timeout_ms.value),
            (CONFLICT_POLL_REFRESH, pushlet.poll_refresh_wait_max_ms.value, pushlet.poll_refresh_timeout_ms.value),
            (CONFLICT_PULL_LEASE, pushlet.pull_refresh_wait_max_ms.value, self.session_timeout_ms.value),
            (CONFLICT_POLL_LEASE, pushlet.poll_refresh_wait_max_ms.value, self.session_timeout_ms.value),
        ];
        let mut warnings: Vec<String> = pairs
            .iter()
            .filter(|(_, shorter, longer)| shorter >= longer)
            .map(|(text, ..)| (*text).to_owned())
            .collect();
        if let Some(admin) = self.admin.value.filter(|admin| !admin.ip().to_canonical().is_loopback()) {
            warnings.push(format!("admin is open on {admin} to more than this machine, and it asks for no password"));
        }
        warnings.extend(self.keys.iter().filter_map(KeyConfig::warning));
        warnings.extend(access::warnings(&self.access));
        warnings
    }

    /// What cannot be true together.
    fn conflicts(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if let Some(admin) = self.admin.value.filter(|admin| overlap(*admin, self.listen.value)) {
            let problem = format!("{admin} is taken by listen = {} ({})", self.listen.value, self.listen.origin);
            errors.push(ConfigError { origin: self.admin.origin.clone(), key: "admin".to_owned(), problem });
        }
        let pushlet = &self.pushlet;
        for (mode, min, max) in [
            ("pull", &pushlet.pull_refresh_wait_min_ms, &pushlet.pull_refresh_wait_max_ms),
            ("poll", &pushlet.poll_refresh_wait_min_ms, &pushlet.poll_refresh_wait_max_ms),
        ] {
            if min.value > max.value {
                let (low, high) = (units::print_duration(min.value), units::print_duration(max.value));
                let problem = format!("{low} is more than {mode}_refresh_wait_max = {high} ({})", max.origin);
                let key = format!("pushlet.{mode}_refresh_wait_min");
                errors.push(ConfigError { origin: min.origin.clone(), key, problem });
            }
        }
        errors
    }
}

const CONFLICT_PULL_REFRESH: &str = "pushlet.pull_refresh_wait_max is not shorter than pushlet.pull_refresh_timeout: \
     clients that wait as they are told are ended";
const CONFLICT_POLL_REFRESH: &str = "pushlet.poll_refresh_wait_max is not shorter than pushlet.poll_refresh_timeout: \
     clients that wait as they are told are ended";
const CONFLICT_PULL_LEASE: &str =
    "pushlet.pull_refresh_wait_max is not shorter than session_timeout: pull clients may expire between two requests";
const CONFLICT_POLL_LEASE: &str =
    "pushlet.poll_refresh_wait_max is not shorter than session_timeout: poll clients may expire between two requests";

/// Whether two listeners would want the same port of the same address.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    if one.port() != other.port() || one.port() == 0 {
        return false;
    }
    // `[::]` takes the IPv4 addresses too; `0.0.0.0` takes no IPv6 address.
    let covers = |wide: IpAddr, ip: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || ip.is_ipv4());
    let (one, other) = (one.ip().to_canonical(), other.ip().to_canonical());
    one == other || covers(one, other) || covers(other, one)
}

/// The path of the file to read, before there is a [`Config`]; `None` if nobody named one. [`load`] judges it, as every other value.
#[must_use]
pub fn file_path(flags: &[(String, String)], environment: &[(String, String)]) -> Option<Setting<String>> {
    let find = |pairs: &[(String, String)], name: &str| {
        pairs.iter().rev().find(|(given, text)| given == name && !text.is_empty()).map(|(_, text)| text.clone())
    };
    let (flag, variable) = (CONFIG_KEY.name, CONFIG_KEY.env_name());
    let by_flag = find(flags, flag).map(|value| Setting { value, origin: Origin::Flag(flag.to_owned()) });
    by_flag.or_else(|| {
        let value = find(environment, &variable)?;
        Some(Setting { value, origin: Origin::Environment(variable) })
    })
}

/// Makes one configuration of everything that was given.
///
/// # Errors
///
/// All that is wrong: unreadable values, values out of range, unknown keys, and values that cannot be true together. Never empty.
pub fn load(inputs: &Inputs) -> Result<Config, Vec<ConfigError>> {
    let mut layers = Layers::new(inputs);
    let config = Config::take(&mut layers);
    let errors = layers.finish(&keys());
    // A default that stands in for a wrong value may contradict another value, which is then not the operator's fault.
    let errors = if errors.is_empty() { config.conflicts() } else { errors };
    if errors.is_empty() { Ok(config) } else { Err(errors) }
}

/// The names of all settings.
fn keys() -> Vec<Key> {
    Config::default().lines().into_iter().map(|line| line.key).collect()
}
