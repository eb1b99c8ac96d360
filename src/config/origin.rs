//! Where a value came from, and what was wrong with it.

use super::layers::printable;
use std::fmt;
use std::sync::Arc;

/// Where a value came from. The order is the order in which errors are printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A flag of the command line, named without its dashes.
    Flag(String),
    /// A variable of the environment.
    Environment(String),
    /// A line of the file.
    File {
        /// The path as the operator gave it.
        path: Arc<str>,
        /// The line of the key, from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force; it is within the allowed range of its setting.
    pub value: T,
    /// Who said so.
    pub origin: Origin,
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the wrong thing stands.
    pub origin: Origin,
    /// The key it is about, as a file spells it with its table (`http.idle_timeout`); empty if it is about no key.
    pub key: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// One line: place, key, problem. A flag or variable names its key itself.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Flag(name) => write!(f, "--{name}: ")?,
            Origin::Environment(name) => write!(f, "{name}: ")?,
            Origin::File { path, line } => write!(f, "{path}:{line}: ")?,
            Origin::Default => {}
        }
        if !self.key.is_empty() && matches!(self.origin, Origin::File { .. } | Origin::Default) {
            write!(f, "{}: ", printable(&self.key))?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConfigError {}
