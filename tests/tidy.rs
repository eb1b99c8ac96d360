//! Style as a test: what the compiler and clippy cannot see of the house rules. Every message says the remedy.
//!
//! The checks are functions over texts, proved on small samples in `samples`; the tests at the end run them over the repository.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/lexer.rs"]
mod lexer;

use lexer::Source;

/// Which rooms a room may name: the house, bottom to top. A room that does not exist yet has its place kept.
const ROOMS: [(&str, &[&str]); 16] = [
    ("limits", &[]),
    ("time", &["limits"]),
    ("topic", &["limits"]),
    ("protocol", &["limits", "time", "topic"]),
    ("wire", &["limits", "time", "topic", "protocol"]),
    ("auth", &["limits", "time", "topic", "protocol"]),
    ("session", &["limits", "time", "topic", "protocol", "wire", "auth"]),
    ("history", &["limits", "time", "topic", "protocol", "wire"]),
    ("cluster", &["limits", "time", "topic", "protocol", "wire"]),
    ("metrics", &["limits", "time", "topic", "protocol"]),
    ("mesh", &["limits"]),
    (
        "broker",
        &["limits", "time", "topic", "protocol", "wire", "auth", "session", "history", "cluster", "metrics", "mesh"],
    ),
    ("config", &["limits", "topic", "protocol"]),
    ("client", &["limits", "time", "topic", "protocol", "wire"]),
    (
        "shell",
        &[
            "limits", "time", "topic", "protocol", "wire", "auth", "session", "history", "cluster", "metrics", "mesh",
            "broker", "config", "client",
        ],
    ),
    ("main", &["config", "shell"]),
];

/// Rooms that may touch the kernel.
const KERNEL_ROOMS: [&str; 2] = ["shell", "main"];
/// Folders of pure rooms that may touch the kernel all the same: the client that programs install has to open its own sockets.
const KERNEL_FOLDERS: [&str; 1] = ["src/client/blocking/"];
/// What only those may name, outside of tests. `core::net` is fine elsewhere: addresses are data.
const KERNEL_WORDS: [&str; 15] = [
    "std::net",
    "std::fs",
    "std::io::stdin",
    "std::os",
    "std::thread",
    "std::process",
    "std::env",
    "Instant::now",
    "SystemTime",
    "monoio",
    "rustix",
    "socket2",
    "getrandom",
    "async",
    "await",
];

/// Files that may hold `unsafe`, each block with the reason why it is sound (invariant A12): the program has one, and so has a tool that measures.
const UNSAFE_FILES: [&str; 3] = ["src/shell/sys.rs", "src/shell/ring.rs", "perf/floor/ring.rs"];
/// Where tests may sleep: the one place that knows how to wait for a process or a socket with a deadline.
const SLEEP_FOLDER: &str = "tests/support/";
/// Lines of a file below `src`, all included.
const FILE_LINES_MAX: usize = 800;
/// Lines of a function's body that hold code.
const FUNCTION_LINES_MAX: usize = 70;
/// The same for test functions, which may hold tables.
const TEST_FUNCTION_LINES_MAX: usize = 120;
/// The contract: rules P-1 to this one must be obeyed and tested.
const RULES_DONE: usize = 35;
/// The last rule of the contract that exists at all.
const RULES_KNOWN: usize = 35;

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.problem)
    }
}

fn finding(source: &Source, line: usize, problem: impl Into<String>) -> Finding {
    Finding { path: source.path.clone(), line, problem: problem.into() }
}

/// The room that a file below `src` belongs to: `src/wire/http/mod.rs` and `src/wire.rs` belong to `wire`.
fn room(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    let first = below.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

fn check_rooms(source: &Source) -> Vec<Finding> {
    let Some(room) = room(&source.path).filter(|room| *room != "lib") else { return Vec::new() };
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        let problem =
            format!("`{room}` is no room of the house; put the file into one, or give the room its line in ROOMS");
        return vec![finding(source, 1, problem)];
    };
    let edges = lexer::crate_paths(source);
    let wrong = edges.into_iter().filter(|(_, named)| named != room && !allowed.contains(&named.as_str()));
    let problem = |named: &str| {
        format!(
            "`{room}` names `{named}`, which is not below it; move the code to the room that may know both, or pass a value \
             (allowed here: {})",
            allowed.join(", ")
        )
    };
    wrong.map(|(line, named)| finding(source, line, problem(&named))).collect()
}

fn check_kernel(source: &Source) -> Vec<Finding> {
    let in_folder = KERNEL_FOLDERS.iter().any(|folder| source.path.starts_with(folder));
    if in_folder || room(&source.path).is_none_or(|room| KERNEL_ROOMS.contains(&room)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let grouped = lexer::group_heads(source, "std").into_iter().map(|(line, head)| (line, format!("std::{head}")));
    let named =
        KERNEL_WORDS.iter().flat_map(|word| source.lines_with_word(word).map(|line| (line, (*word).to_owned())));
    for (line, word) in grouped.chain(named) {
        if KERNEL_WORDS.contains(&word.as_str()) && !source.is_test(line) {
            let remedy = "only `shell` touches the kernel: take the value as an argument (A1)";
            findings.push(finding(source, line, format!("`{word}` in a pure room; {remedy}")));
        }
    }
    findings
}

fn check_lengths(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let lines = source.line_count();
    if lines > FILE_LINES_MAX {
        let problem =
            format!("{lines} lines, at most {FILE_LINES_MAX} are allowed; split the file by duty, tests apart");
        findings.push(finding(source, 1, problem));
    }
    for function in lexer::functions(source) {
        let max = if source.is_test(function.line) { TEST_FUNCTION_LINES_MAX } else { FUNCTION_LINES_MAX };
        if function.code_lines > max {
            let (name, lines) = (&function.name, function.code_lines);
            let problem =
                format!("`{name}` has {lines} lines of code, at most {max} are allowed; give its parts names");
            findings.push(finding(source, function.line, problem));
        }
    }
    findings
}

fn check_words(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut forbid = |word: &str, applies: &dyn Fn(usize) -> bool, remedy: &str| {
        let lines = source.lines_with_word(word).filter(|line| applies(*line));
        findings.extend(lines.map(|line| finding(source, line, format!("`{word}`; {remedy}"))));
    };
    let everywhere = |_: usize| true;
    for word in ["dbg!", "todo!", "unimplemented!"] {
        forbid(word, &everywhere, "finish it or take it out");
    }
    forbid("#[ignore", &everywhere, "a test that does not run proves nothing: make it run or delete it");
    let in_src = source.path.starts_with("src/");
    let speaks = room(&source.path).is_some_and(|room| KERNEL_ROOMS.contains(&room));
    for word in ["println!", "eprintln!", "print!", "eprint!"] {
        forbid(word, &|_| in_src && !speaks, "only `shell` and `main` speak: return the text");
    }
    let may_sleep = source.path.starts_with(SLEEP_FOLDER);
    let sleeps = |line| !may_sleep && source.is_test(line);
    forbid(
        "thread::sleep",
        &sleeps,
        "tests own time: move the virtual clock, or wait with a deadline by tests/support",
    );
    let may_unsafe = UNSAFE_FILES.contains(&source.path.as_str());
    forbid("unsafe", &|_| !may_unsafe, "find a safe wrapper (rustix, socket2), or use a file of UNSAFE_FILES (A12)");
    findings
}

/// Words that mark unfinished work. Written in halves, so that this file does not name itself.
fn leftovers() -> [String; 3] {
    ["FIX\u{4d}E", "XX\u{58}", "TO\u{44}O"].map(str::to_owned)
}

fn check_leftovers(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in leftovers() {
        let lines = source.comment_lines_with_word(&word);
        findings.extend(lines.map(|line| finding(source, line, format!("`{word}`; do it now or open an issue"))));
    }
    findings
}

/// Numbers n of all `P-n` in a text.
fn rules_cited(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices("P-").filter_map(|(at, _)| {
        let joined = text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '-');
        let rest = &text[at + 2..];
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok().filter(|_| !joined)
    })
}

/// Every rule is cited above code that obeys it and above a test that proves it. Bounds alone obey nothing, so `limits` does not count.
fn check_rules(sources: &[Source]) -> Vec<Finding> {
    let (mut obeyed, mut proved) = (BTreeSet::new(), BTreeSet::new());
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/tidy/")) {
        for line in 1..=source.line_count() {
            for rule in rules_cited(source.comment(line)) {
                if rule == 0 || rule > RULES_KNOWN {
                    findings.push(finding(source, line, format!("there is no rule P-{rule}; see docs/protocol.md")));
                }
                match room(&source.path) {
                    _ if source.is_test(line) => proved.insert(rule),
                    Some("limits") | None => false,
                    Some(_) => obeyed.insert(rule),
                };
            }
        }
    }
    for rule in 1..=RULES_DONE {
        let mut missing = |what: &str| {
            let problem = format!("rule P-{rule} is not cited {what}; write `P-{rule}` into the comment there");
            findings.push(Finding { path: "docs/protocol.md".to_owned(), line: 1, problem });
        };
        if !obeyed.contains(&rule) {
            missing("above the code that obeys it (in src, outside of tests)");
        }
        if !proved.contains(&rule) {
            missing("above a test that proves it");
        }
    }
    findings
}

/// Words that belong to somebody's desk, not to the project. In halves, as above.
fn private_words() -> [String; 3] {
    [["/wo", "rk/"], ["far", "m-"], ["../sha", "red"]].map(|halves| halves.concat())
}

fn check_private(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for word in private_words().iter().filter(|word| line.contains(word.as_str())) {
            let problem = format!("`{word}` means nothing outside of one machine; name a path of the repository");
            findings.push(Finding { path: path.to_owned(), line: at + 1, problem });
        }
    }
    findings
}

/// Targets of the links of a Markdown text, with their lines; code is left out, and so is what a link to the same page or the web names.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for (start, _) in prose.match_indices("](") {
            let target = prose[start + 2..].split([')', ' ']).next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.contains("://") || file.starts_with("mailto:");
            if !file.is_empty() && !elsewhere {
                found.push((at + 1, file.to_owned()));
            }
        }
    }
    found
}

fn check_links(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let broken = links(text).into_iter().filter(|(_, target)| !exists(&folder.join(target)));
    let problem = |target: &str| format!("the link to `{target}` leads nowhere; correct it or write the file");
    broken.map(|(line, target)| Finding { path: path.to_owned(), line, problem: problem(&target) }).collect()
}

/// The version that the changelog must have a heading for.
fn package_version(manifest: &str) -> Option<&str> {
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \""))?;
    version.strip_suffix('"')
}

fn check_changelog(manifest: &str, changelog: &str) -> Vec<Finding> {
    let version = package_version(manifest).unwrap_or("?");
    let heading = format!("## [{version}]");
    if changelog.lines().any(|line| line.starts_with(&heading)) {
        return Vec::new();
    }
    let problem = format!("no heading `{heading}` for the version in Cargo.toml; write what changed");
    vec![Finding { path: "CHANGELOG.md".to_owned(), line: 1, problem }]
}

#[path = "tidy/samples.rs"]
mod samples;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository with its path below the root, sorted; what is built or fetched is left out.
fn files() -> Vec<(String, PathBuf)> {
    const NOT_OURS: [&str; 5] = [".git", "target", "node_modules", "artifacts", "corpus"];
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if NOT_OURS.contains(&name.as_str()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let shown = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.push((shown, path));
            }
        }
    }
    found.sort();
    found
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("a file of the repository")).into_owned()
}

fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|(shown, _)| {
        shown.ends_with(".rs")
            && ["src/", "tests/", "benches/", "perf/", "examples/"].iter().any(|folder| shown.starts_with(folder))
    });
    rust.map(|(shown, path)| Source::new(&shown, &text(&path))).collect()
}

fn report(findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} to tidy:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn the_walk_finds_the_repository() {
    let found: Vec<String> = files().into_iter().map(|(shown, _)| shown).collect();
    for expected in ["Cargo.toml", "src/lib.rs", "src/limits.rs", "tests/tidy.rs", ".gitignore"] {
        assert!(found.iter().any(|path| path == expected), "{expected} was not walked over");
    }
}

#[test]
fn rooms_name_only_rooms_below_them() {
    report(sources().iter().flat_map(check_rooms).collect());
}

#[test]
fn only_the_shell_touches_the_kernel() {
    report(sources().iter().flat_map(check_kernel).collect());
}

#[test]
fn files_and_functions_are_short() {
    report(sources().iter().flat_map(check_lengths).collect());
}

#[test]
fn forbidden_words_are_absent() {
    report(sources().iter().flat_map(check_words).collect());
}

#[test]
fn nothing_is_left_over() {
    report(sources().iter().flat_map(check_leftovers).collect());
}

#[test]
fn every_rule_is_obeyed_and_proved() {
    report(check_rules(&sources()));
}

#[test]
fn no_file_names_a_private_place() {
    report(files().iter().flat_map(|(shown, path)| check_private(shown, &text(path))).collect());
}

#[test]
fn links_lead_somewhere() {
    let pages = files().into_iter().filter(|(shown, _)| shown.ends_with(".md"));
    report(
        pages
            .flat_map(|(shown, path)| check_links(&shown, &text(&path), |target| root().join(target).exists()))
            .collect(),
    );
}

#[test]
fn the_changelog_knows_the_version() {
    report(check_changelog(&text(&root().join("Cargo.toml")), &text(&root().join("CHANGELOG.md"))));
}
