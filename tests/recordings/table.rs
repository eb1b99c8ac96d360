//! The committed table of differences: `file | exchange | rule | difference`, one a line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where something differs, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    /// The recording's name.
    pub(crate) file: String,
    /// The number of the exchange in it.
    pub(crate) exchange: usize,
    /// What differs, as the comparer says it.
    pub(crate) what: String,
}

/// Reads the committed table: each difference and the rule that wants it.
pub(crate) fn committed() -> BTreeMap<Difference, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/differences.txt");
    parse(&std::fs::read_to_string(path).expect("the table can be read"))
}

/// Reads a table. Lines that begin with `#` say nothing.
pub(crate) fn parse(text: &str) -> BTreeMap<Difference, String> {
    let mut table = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut columns = line.splitn(4, " | ");
        let mut column = || columns.next().unwrap_or_else(|| panic!("four columns are due in {line:?}")).trim();
        let (file, exchange, rule, what) = (column(), column(), column(), column());
        assert!(is_rule(rule), "{rule:?} is no rule, in {line:?}");
        let exchange = exchange.parse().unwrap_or_else(|_| panic!("{exchange:?} is no number, in {line:?}"));
        let row = Difference { file: file.to_owned(), exchange, what: what.to_owned() };
        assert!(table.insert(row, rule.to_owned()).is_none(), "twice: {line:?}");
    }
    table
}

/// A rule of the contract, or `container` for what the original's servlet container did by itself.
fn is_rule(rule: &str) -> bool {
    let number = rule.strip_prefix("P-").and_then(|number| number.parse::<u32>().ok());
    rule == "container" || number.is_some_and(|number| (1..=35).contains(&number))
}

/// The differences that the table names in one file: the exchange's number and what differs.
pub(crate) fn of_file(table: &BTreeMap<Difference, String>, file: &str) -> BTreeSet<(usize, String)> {
    table.keys().filter(|row| row.file == file).map(|row| (row.exchange, row.what.clone())).collect()
}

/// What is wrong between the table and what was found; empty if they agree.
pub(crate) fn judge(table: &BTreeMap<Difference, String>, found: &BTreeSet<Difference>) -> String {
    let mut wrong = String::new();
    let unexplained: Vec<_> = found.iter().filter(|row| !table.contains_key(row)).collect();
    if !unexplained.is_empty() {
        wrong.push_str("differences that are not in tests/recordings/differences.txt:\n");
    }
    for row in unexplained {
        wrong.push_str(&format!("{} | {} | P-? | {}\n", row.file, row.exchange, row.what));
    }
    let unneeded: Vec<_> = table.iter().filter(|(row, _)| !found.contains(row)).collect();
    if !unneeded.is_empty() {
        wrong.push_str("rows of tests/recordings/differences.txt that nothing needs:\n");
    }
    for (row, rule) in unneeded {
        wrong.push_str(&format!("{} | {} | {rule} | {}\n", row.file, row.exchange, row.what));
    }
    wrong
}
