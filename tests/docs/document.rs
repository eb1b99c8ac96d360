//! A Markdown page taken apart: its headings, tables and fenced blocks, each with its line.

use std::path::PathBuf;

/// A page of the repository.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its path below the root.
    pub(crate) path: &'static str,
    text: String,
}

/// A table: the cells of its head, then those of each row with its line.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The heading it stands under.
    pub(crate) section: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<(usize, Vec<String>)>,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The heading it stands under.
    pub(crate) section: String,
    /// What stands behind the fence.
    pub(crate) language: String,
    /// Its lines with their numbers.
    pub(crate) lines: Vec<(usize, String)>,
}

impl Document {
    pub(crate) fn read(path: &'static str) -> Self {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path, text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Every heading's text, in order.
    pub(crate) fn headings(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(|_, section, _, _| {
            if found.last() != Some(section) {
                found.push(section.clone());
            }
        });
        found
    }

    /// Calls `visit` with each line's number, the heading above it, whether it is in a fenced block (and of what language), and its text.
    fn walk(&self, mut visit: impl FnMut(usize, &String, Option<&str>, &str)) {
        let mut section = String::new();
        let mut fence: Option<String> = None;
        for (line, number) in self.text.lines().zip(1..) {
            if let Some(language) = line.strip_prefix("```") {
                fence = if fence.is_some() { None } else { Some(language.trim().to_owned()) };
            } else {
                if fence.is_none() && line.starts_with('#') {
                    section = line.trim_start_matches('#').trim().to_owned();
                }
                visit(number, &section, fence.as_deref(), line);
            }
        }
        assert!(fence.is_none(), "{}: the last fence has no end", self.path);
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = Vec::new();
        let mut last = 0;
        self.walk(|number, section, fence, line| {
            if fence.is_some() || !line.starts_with('|') {
                return;
            }
            if last + 1 != number {
                tables.push(Table { section: section.clone(), head: cells(line), rows: Vec::new() });
            } else if !line.starts_with("|-")
                && let Some(table) = tables.last_mut()
            {
                table.rows.push((number, cells(line)));
            }
            last = number;
        });
        tables
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut last = 0;
        self.walk(|number, section, fence, line| {
            let Some(language) = fence else { return };
            if last + 1 != number {
                let (section, language) = (section.clone(), language.to_owned());
                blocks.push(Block { section, language, lines: Vec::new() });
            }
            if let Some(block) = blocks.last_mut() {
                block.lines.push((number, line.to_owned()));
            }
            last = number;
        });
        blocks
    }

    /// The rows of the only table whose head begins with these cells.
    pub(crate) fn table(&self, head: &[&str]) -> Table {
        let mut found = self.tables();
        found.retain(|table| table.head.len() >= head.len() && table.head.iter().zip(head).all(|(is, due)| is == due));
        assert_eq!(found.len(), 1, "{}: there must be one table with the head {head:?}", self.path);
        found.remove(0)
    }
}

/// The cells of a row, without the backticks around a cell that is all code.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split(" | ").map(|cell| code(cell.trim()).to_owned()).collect()
}

fn code(cell: &str) -> &str {
    let inner = cell.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    inner.filter(|inner| !inner.contains('`')).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let text = "# A\n\n| x | y |\n|---|---|\n| `a b` | c `d` |\n\n## B\n```sh\n# no heading\n| no | table |\n```\n";
        let page = Document { path: "sample", text: text.to_owned() };
        assert_eq!(page.headings(), ["A", "B"]);
        let table = page.table(&["x"]);
        assert_eq!((table.section.as_str(), table.rows), ("A", vec![(5, vec!["a b".to_owned(), "c `d`".to_owned()])]));
        let blocks = page.blocks();
        assert_eq!((blocks.len(), blocks[0].section.as_str(), blocks[0].language.as_str()), (1, "B", "sh"));
        assert_eq!(blocks[0].lines[1], (10, "| no | table |".to_owned()));
    }
}
