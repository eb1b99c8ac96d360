//! A configuration as TOML, each line with the origin of its value.

use super::layers::printable;
use super::{Config, Origin, Table};

/// The configuration as TOML that reads back as the same values. A comment behind each value says where it came from.
#[must_use]
pub fn print_config(config: &Config) -> String {
    let lines = config.lines();
    let mut text = String::new();
    if let Some(path) = &config.config.value {
        text.push_str(&format!("# file: {} ({})\n", printable(path), origin(&config.config.origin)));
    }
    let assignment = |key: String, value: &str| format!("{key} = {value}");
    let width =
        lines.iter().map(|line| assignment(line.key.file_name(), &line.value).chars().count()).max().unwrap_or(0);
    let mut table = Table::Top;
    for line in lines.iter().filter(|line| line.key.in_file()) {
        if line.key.table != table {
            table = line.key.table;
            text.push_str(&format!("\n[{}]\n", table.name()));
        }
        let assignment = assignment(line.key.file_name(), &line.value);
        text.push_str(&format!("{assignment:<width$}  # {}\n", origin(&line.origin), width = width.min(48)));
    }
    for (table, lines) in config.tables() {
        text.push_str(&format!("\n[[{table}]]\n"));
        for (key, value, from) in lines {
            let assignment = format!("{key} = {value}");
            text.push_str(&format!("{assignment:<width$}  # {}\n", origin(from), width = width.min(48)));
        }
    }
    text
}

fn origin(origin: &Origin) -> String {
    printable(&origin.to_string())
}
