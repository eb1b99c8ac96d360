//! What a source of events has counted.

/// One source at one moment (rule P-35).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFigures {
    /// Its name, no two alike.
    pub name: String,
    /// Events that it has published.
    pub events: u64,
    /// What failed: a program, a URL, a file, a line that could not be read, an event that could not be published.
    pub failures: u64,
    /// How often something of it that had ended by itself was started again.
    pub restarts: u64,
    /// Whether it works; otherwise it sleeps.
    pub active: bool,
}
