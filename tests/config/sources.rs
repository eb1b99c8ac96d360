//! `[[source]]` tables: what is read, what is refused and with which words, and that the printed form reads back.

use pushletd::config::{LineFormat, Program, SourceWork, load, print_config};

use super::{file, flags, texts};

const GOOD: &str = r#"
demo = "off"
[[source]]
subject = "/a"
command = ["prog", "an arg"]
every = "1m"

[[source]]
name = "tail.me"
subject = "/b"
kind = "file"
path = "/var/log/x \"y\""
format = "line"

[[source]]
subject = "/c"
command = "while read x; do echo $x; done"

[[source]]
kind = "http"
subject = "/d"
url = "https://example.org/a?b=c"
format = "json"

[[source]]
kind = "stdin"
subject = "/e"

[[source]]
kind = "system"
subject = "/f"
"#;

/// P-35: every kind, its defaults, its name, and that what is printed reads back.
#[test]
fn sources_are_read_and_printed() {
    let config = load(&file(GOOD)).expect("good sources");
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["command-1", "tail.me", "command-2", "http-1", "stdin-1", "system-1"]);
    let every: Vec<Option<u64>> = config.sources.iter().map(|source| source.every_ms).collect();
    assert_eq!(every, [Some(60_000), None, None, Some(5_000), None, Some(5_000)]);
    let program = Program::Direct(vec!["prog".to_owned(), "an arg".to_owned()]);
    assert_eq!(config.sources[0].work, SourceWork::Command(program));
    assert_eq!(config.sources[1].work, SourceWork::File("/var/log/x \"y\"".to_owned()));
    assert_eq!((config.sources[1].format, config.sources[3].format), (LineFormat::Line, LineFormat::Json));
    assert!(matches!(&config.sources[2].work, SourceWork::Command(Program::Shell(line)) if line.starts_with("while")));
    let printed = print_config(&config);
    for line in
        ["command = [\"prog\", \"an arg\"]", "every = \"1m\"", "path = \"/var/log/x \\\"y\\\"\"", "name = \"http-1\""]
    {
        assert!(printed.contains(line), "no {line} in {printed}");
    }
    let at = |line: &str| {
        let found = printed.lines().find(|known| known.starts_with(line)).unwrap_or_else(|| panic!("no {line}"));
        found.split_once("  # ").map(|(_, origin)| origin.to_owned())
    };
    assert_eq!(at("every = \"1m\"").as_deref(), Some("pushletd.toml:6"));
    assert_eq!(at("name = \"command-1\"").as_deref(), Some("default"));
    assert_eq!(at("every = \"5s\"").as_deref(), Some("default"));
    let again = load(&file(&printed)).expect("the printed form is good");
    assert_eq!(again.sources.len(), config.sources.len());
    for (one, other) in again.sources.iter().zip(&config.sources) {
        assert!(one.does_the_same(other), "{one:?}\n{other:?}");
    }
}

/// Each wrong table, and the words that it is refused with.
const BAD: [(&str, &str); 28] = [
    ("subject = \"/a\"", "pushletd.toml:1: source.kind: is missing; allowed: command, stdin, file, http, system"),
    ("kind = \"system\"", "pushletd.toml:1: source.subject: is missing; kind = \"system\" needs it"),
    (
        "kind = \"comand\"\nsubject = \"/a\"",
        "pushletd.toml:2: source.kind: \"comand\" is not known here; the nearest known one is \"command\"",
    ),
    ("kind = 5\nsubject = \"/a\"", "pushletd.toml:2: source.kind: 5 is not a text in quotes; allowed: command, "),
    ("kind = \"command\"\nsubject = \"/a\"", "source.command: is missing; kind = \"command\" needs it"),
    ("kind = \"file\"\nsubject = \"/a\"", "source.path: is missing"),
    ("kind = \"http\"\nsubject = \"/a\"", "source.url: is missing"),
    (
        "command = \"x\"\nsubject = \"/a\"\nevry = \"1s\"",
        "pushletd.toml:4: unknown key `evry` in [[source]]; the nearest known one is `every`",
    ),
    (
        "command = \"x\"\nsubject = \"/a\"\nheartbeat = \"1s\"",
        "pushletd.toml:4: key `heartbeat` is not known in [[source]]; it belongs at the top",
    ),
    ("command = \"x\"\nsubject = \"/a\"\npull_wait = \"1s\"", "it belongs in [pushlet]"),
    ("command = \"x\"\nsubject = \"\"", "source.subject: empty subject; allowed: "),
    ("command = \"x\"\nsubject = \"/a,/b\"", "source.subject: \"/a,/b\" is no subject; allowed: "),
    ("command = \"x\"\nsubject = \" /a\"", "is no subject"),
    ("command = \"\"\nsubject = \"/a\"", "source.command: is empty; allowed: a line for sh -c, or a list"),
    ("command = []\nsubject = \"/a\"", "source.command: names no program; allowed: "),
    ("command = [\"\", \"x\"]\nsubject = \"/a\"", "names no program"),
    ("command = [\"x\", 5]\nsubject = \"/a\"", "source.command: 5 is not a text in quotes; allowed: "),
    ("command = \"x\\u0000\"\nsubject = \"/a\"", "holds a NUL"),
    ("command = \"x\"\nsubject = \"/a\"\nevery = \"9ms\"", "source.every: \"9ms\" is too small; allowed: 10ms to 24h"),
    (
        "command = \"x\"\nsubject = \"/a\"\nevery = 5",
        "source.every: 5 has no unit, write for example \"5s\"; allowed: ",
    ),
    (
        "command = \"x\"\nsubject = \"/a\"\nformat = \"yaml\"",
        "source.format: \"yaml\" is not known here; allowed: auto, fields, json, line",
    ),
    (
        "command = \"x\"\nsubject = \"/a\"\nurl = \"http://a/\"",
        "source.url: does not fit kind = \"command\"; allowed for http",
    ),
    (
        "kind = \"stdin\"\nsubject = \"/a\"\nevery = \"1s\"",
        "source.every: does not fit kind = \"stdin\"; allowed for command, http,",
    ),
    ("kind = \"server\"\nsubject = \"/a\"\nformat = \"json\"", "source.format: does not fit kind = \"server\""),
    ("kind = \"http\"\nsubject = \"/a\"\nurl = \"ftp://a/\"", "source.url: \"ftp://a/\" is no such URL; allowed: "),
    ("kind = \"http\"\nsubject = \"/a\"\nurl = \"http://me:word@a/\"", "is no such URL"),
    (
        "kind = \"system\"\nsubject = \"/a\"\nname = \"a b\"",
        "source.name: \"a b\" is no name; allowed: 1 to 64 letters",
    ),
    (
        "kind = \"file\"\nsubject = \"/a\"\npath = [\"x\"]",
        "source.path: a list is not a text in quotes; allowed: a path",
    ),
];

#[test]
fn a_wrong_source_is_refused_with_its_line_and_what_is_allowed() {
    for (table, words) in BAD {
        let errors = texts(load(&file(&format!("[[source]]\n{table}\n"))));
        assert_eq!(errors.len(), 1, "{table}: {errors:#?}");
        assert!(errors[0].starts_with("pushletd.toml:") && errors[0].contains(words), "{table}: {errors:#?}");
    }
}

#[test]
fn sources_that_cannot_be_together_are_refused() {
    let two = |one: &str, other: &str| {
        texts(load(&file(&format!("[[source]]\nsubject = \"/a\"\n{one}\n[[source]]\nsubject = \"/a\"\n{other}\n"))))
    };
    assert_eq!(
        two("kind = \"system\"\nname = \"x\"", "kind = \"server\"\nname = \"x\""),
        ["pushletd.toml:8: source.name: \"x\" is taken at pushletd.toml:4; names must differ"]
    );
    assert_eq!(
        two("kind = \"stdin\"", "kind = \"stdin\""),
        ["pushletd.toml:6: source.kind: standard input is read by the source at pushletd.toml:3 already"]
    );
    // A name that is given goes before one that is made.
    let text = "[[source]]\nkind = \"system\"\nsubject = \"/a\"\n[[source]]\nkind = \"server\"\nsubject = \"/a\"\nname = \"system-1\"\n";
    let names: Vec<String> = load(&file(text)).expect("good").sources.into_iter().map(|source| source.name).collect();
    assert_eq!(names, ["system-2", "system-1"]);
}

#[test]
fn there_is_a_bound_on_sources() {
    let table = "[[source]]\nkind = \"system\"\nsubject = \"/a\"\n";
    assert_eq!(load(&file(&table.repeat(64))).map(|config| config.sources.len()), Ok(64));
    let errors = texts(load(&file(&table.repeat(65))));
    assert_eq!(errors, ["pushletd.toml:193: source: too many sources; allowed: at most 64"]);
}

#[test]
fn a_source_is_a_table_of_its_own() {
    for text in ["[source]\nkind = \"system\"\n", "source = 5\n", "source = [5]\n"] {
        let errors = texts(load(&file(text)));
        assert!(errors[0].contains("must be tables that each begin with the line [[source]]"), "{errors:?}");
    }
    assert_eq!(
        texts(load(&file("[[sources]]\nkind = \"system\"\n"))),
        ["pushletd.toml:1: sources: unknown table; the nearest known one is [[source]]"]
    );
}

/// P-35: the demo sources are there by default where only this machine can reach them.
#[test]
fn the_demo_is_for_this_machine_alone() {
    for (listen, demo, on) in [
        ("127.0.0.1:0", "auto", true),
        ("[::1]:0", "auto", true),
        ("[::ffff:127.0.0.1]:0", "auto", true),
        ("0.0.0.0:0", "auto", false),
        ("192.0.2.1:80", "auto", false),
        ("0.0.0.0:0", "on", true),
        ("127.0.0.1:0", "off", false),
    ] {
        let config = load(&flags(&[("listen", listen), ("demo", demo), ("admin", "off")])).expect("good");
        assert_eq!(config.demo_is_on(), on, "{listen} {demo}");
    }
}
