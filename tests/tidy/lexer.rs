//! As much of Rust's grammar as the checks need: code apart from comments and literals, test code apart from the rest, bodies, paths.

/// One Rust file, taken apart. Lines count from 1.
pub(super) struct Source {
    /// Its path below the root of the repository.
    pub(super) path: String,
    /// The text without comments; every byte of a literal is a double quote. Line ends stand where they stood.
    code: String,
    /// Per line: the code, the comment, and whether it belongs to a test.
    lines: Vec<Line>,
}

struct Line {
    code: String,
    comment: String,
    test: bool,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line of its `fn`.
    pub(super) line: usize,
    /// Lines between the braces of its body that hold code.
    pub(super) code_lines: usize,
}

impl Source {
    /// Takes a text apart.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = mask(text);
        let whole_file = !path.starts_with("src/") || is_test_file(path);
        let mut lines: Vec<Line> = code
            .lines()
            .zip(comments.lines())
            .map(|(code, comment)| Line { code: code.to_owned(), comment: comment.to_owned(), test: whole_file })
            .collect();
        for (first, last) in test_items(&code) {
            for line in lines.iter_mut().take(last).skip(first - 1) {
                line.test = true;
            }
        }
        Self { path: path.to_owned(), code, lines }
    }

    /// How many lines it has.
    pub(super) fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Whether the line belongs to a test: a test file, or an item under `#[cfg(test)]`.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.lines[line - 1].test
    }

    /// The comment on the line; empty if there is none.
    pub(super) fn comment(&self, line: usize) -> &str {
        self.lines[line - 1].comment.trim()
    }

    /// The lines whose code has `word` as whole words.
    pub(super) fn lines_with_word(&self, word: &str) -> impl Iterator<Item = usize> {
        lines_with(self.lines.iter().map(|line| &line.code), word)
    }

    /// The lines whose comment has `word` as whole words.
    pub(super) fn comment_lines_with_word(&self, word: &str) -> impl Iterator<Item = usize> {
        lines_with(self.lines.iter().map(|line| &line.comment), word)
    }
}

fn lines_with<'a>(lines: impl Iterator<Item = &'a String>, word: &str) -> impl Iterator<Item = usize> {
    lines.enumerate().filter(move |(_, line)| has_word(line, word)).map(|(at, _)| at + 1)
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

fn in_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether `word` stands in `line` with no letter joined to either end.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let joined_left = word.starts_with(in_word) && line[..at].ends_with(in_word);
        let joined_right = word.ends_with(in_word) && line[at + word.len()..].starts_with(in_word);
        !joined_left && !joined_right
    })
}

/// What a stretch of the text is.
#[derive(Clone, Copy, PartialEq)]
enum Stretch {
    Code,
    Comment,
    Literal,
}

/// The code with blanks for comments and quotes for literals, and the comments with blanks for everything else. Lines stay lines.
fn mask(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    let mut previous = ' ';
    while let Some(first) = rest.chars().next() {
        let (stretch, length) = next_stretch(rest, previous);
        let (piece, after) = rest.split_at(length.max(first.len_utf8()).min(rest.len()));
        for letter in piece.chars() {
            let shown = |kind: Stretch, instead: char| match letter {
                '\n' => '\n',
                _ if kind == stretch => letter,
                _ => instead,
            };
            code.push(shown(Stretch::Code, if stretch == Stretch::Literal { '"' } else { ' ' }));
            comments.push(shown(Stretch::Comment, ' '));
            previous = letter;
        }
        rest = after;
    }
    (code, comments)
}

/// What `rest` begins with and how many bytes of it belong together. `previous` is the character before.
fn next_stretch(rest: &str, previous: char) -> (Stretch, usize) {
    if rest.starts_with("//") {
        return (Stretch::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Stretch::Comment, block_comment(rest));
    }
    if let Some(inner) = rest.strip_prefix('"') {
        return (Stretch::Literal, 1 + quoted(inner, '"'));
    }
    if !in_word(previous) {
        for prefix in ["b\"", "c\""] {
            if let Some(inner) = rest.strip_prefix(prefix) {
                return (Stretch::Literal, 2 + quoted(inner, '"'));
            }
        }
        if let Some(inner) = rest.strip_prefix("b'") {
            return (Stretch::Literal, 2 + quoted(inner, '\''));
        }
        for prefix in ["r", "br", "cr"] {
            if let Some(length) = rest.strip_prefix(prefix).and_then(raw_string) {
                return (Stretch::Literal, prefix.len() + length);
            }
        }
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        let mut letters = inner.chars();
        let (one, two) = (letters.next(), letters.next());
        // A quote, one character, a quote; otherwise it is a lifetime or a label.
        if one == Some('\\') || (one.is_some() && two == Some('\'')) {
            return (Stretch::Literal, 1 + quoted(inner, '\''));
        }
    }
    (Stretch::Code, 1)
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Bytes up to and with the closing quote; `inner` begins behind the opening one.
fn quoted(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in inner.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    inner.len()
}

/// Bytes of a raw string from its first `#` or quote on; `None` if it is something else, such as `r#type`.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.bytes().take_while(|byte| *byte == b'#').count();
    let inner = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

fn line_of(code: &str, at: usize) -> usize {
    1 + code.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Where the group that opens at `open` closes; the end of the text if it does not.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// First and last line of each item under `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let marks = ["#[cfg(test)]", "#[cfg(all(test"].into_iter().flat_map(|mark| code.match_indices(mark));
    let item = |(at, _): (usize, &str)| {
        let behind = closing(code, at + 1);
        let end = item_end(code, behind);
        (line_of(code, at), line_of(code, end.min(code.len())))
    };
    marks.map(item).collect()
}

/// The end of the item that begins behind `start`: its semicolon, or the brace that closes its body. Further attributes are skipped.
fn item_end(code: &str, start: usize) -> usize {
    let mut at = start + 1;
    while at < code.len() {
        match code.as_bytes()[at] {
            b';' => return at,
            b'{' => return closing(code, at),
            b'(' | b'[' => at = closing(code, at) + 1,
            _ => at += 1,
        }
    }
    code.len()
}

/// The word that begins at `at`; empty if none does.
fn word_at(code: &str, at: usize) -> &str {
    let rest = &code[at..];
    &rest[..rest.find(|letter: char| !in_word(letter)).unwrap_or(rest.len())]
}

/// Every word of the code with its place.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let starts = code.char_indices().filter(|(at, letter)| in_word(*letter) && !code[..*at].ends_with(in_word));
    starts.map(|(at, _)| (at, word_at(code, at)))
}

/// Every function that has a body.
pub(super) fn functions(source: &Source) -> Vec<Function> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in words(code).filter(|(_, word)| *word == "fn") {
        let behind = at + 2 + code[at + 2..].len() - code[at + 2..].trim_start().len();
        let name = word_at(code, behind);
        // `fn(u8)` is a type; a function that ends with a semicolon has no body.
        let Some(open) = body_start(code, behind).filter(|_| !name.is_empty()) else { continue };
        let body = &code[open + 1..closing(code, open)];
        // The line of the opening brace belongs to the head.
        let code_lines = body.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
        found.push(Function { name: name.to_owned(), line: line_of(code, at), code_lines });
    }
    found
}

fn body_start(code: &str, from: usize) -> Option<usize> {
    let mut at = from;
    while at < code.len() {
        match code.as_bytes()[at] {
            b'{' => return Some(at),
            b';' => return None,
            b'(' | b'[' => at = closing(code, at) + 1,
            _ => at += 1,
        }
    }
    None
}

/// First names behind the `::` at `at`: one for a plain path, one an entry for a group in braces.
fn heads(code: &str, at: usize) -> Vec<String> {
    let rest = code[at..].trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        let word = word_at(rest, 0);
        return vec![if word.is_empty() { rest.chars().take(1).collect() } else { word.to_owned() }];
    };
    let group = &group[..closing(rest, 0).saturating_sub(1).min(group.len())];
    let mut depth = 0_usize;
    let mut entries = vec![String::new()];
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => entries.push(String::new()),
            _ => {}
        }
        if letter != ',' || depth > 0 {
            entries.last_mut().expect("there is a first entry").push(letter);
        }
    }
    let trimmed = entries.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
    trimmed.map(|entry| if word_at(entry, 0).is_empty() { entry } else { word_at(entry, 0) }.to_owned()).collect()
}

/// The line and first name of every entry of `base::{...}`.
pub(super) fn group_heads(source: &Source, base: &str) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in words(code).filter(|(_, word)| *word == base) {
        let behind = &code[at + base.len()..];
        if behind.starts_with("::{") {
            let entries = heads(code, at + base.len() + 2);
            found.extend(entries.into_iter().map(|entry| (line_of(code, at), entry)));
        }
    }
    found
}

/// The line and the first name below the root of the crate of every path that begins there: by `crate::`, by the name of the crate (in
/// the program), or by more `super::` than the file is deep.
pub(super) fn crate_paths(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let depth_of_file = file_depth(&source.path);
    let mut found = Vec::new();
    // The braces that are open, each with whether it is that of an inline module.
    let mut open: Vec<bool> = Vec::new();
    let mut skip_until = 0;
    for (at, letter) in code.char_indices() {
        match letter {
            '{' => open.push(opens_module(&code[..at])),
            '}' => drop(open.pop()),
            _ => {}
        }
        if at < skip_until || !in_word(letter) || code[..at].ends_with(in_word) {
            continue;
        }
        let word = word_at(code, at);
        let depth = depth_of_file + open.iter().filter(|module| **module).count();
        let behind = match word {
            "crate" => at + word.len(),
            "pushletd" if source.path == "src/main.rs" => at + word.len(),
            "super" => {
                let supers = code[at..].split("::").take_while(|part| *part == "super").count();
                skip_until = at + supers * "super::".len();
                if supers < depth {
                    continue;
                }
                skip_until - "::".len()
            }
            _ => continue,
        };
        if code[behind..].starts_with("::") {
            found.extend(heads(code, behind + 2).into_iter().map(|head| (line_of(code, at), head)));
        }
    }
    found
}

/// How many modules deep the top of a file is: 0 for `src/lib.rs`, 1 for `src/wire/mod.rs`, 2 for `src/wire/ws.rs`.
fn file_depth(path: &str) -> usize {
    let below = path.strip_prefix("src/").unwrap_or(path);
    let folders = below.matches('/').count();
    match below.rsplit('/').next() {
        Some("mod.rs" | "lib.rs" | "main.rs") => folders,
        _ => folders + 1,
    }
}

/// Whether a brace behind `before` opens an inline module: `mod name {`.
fn opens_module(before: &str) -> bool {
    let mut words = before.split_whitespace().rev();
    let name = words.next().unwrap_or_default();
    name.chars().all(in_word) && words.next() == Some("mod")
}
