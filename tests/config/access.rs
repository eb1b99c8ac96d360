//! `[[key]]`, `[[access]]` and `[[presence]]`: what is read, what is refused and with which words, and that no secret is ever told.

use pushletd::auth::{Access, Action, Denied, Identity, Names, Rule, UnknownKey, Who};
use pushletd::config::{
    AccessConfig, Config, FileText, Inputs, KeyConfig, KeyFile, KeyText, Permission, key_paths, load, print_config,
};
use pushletd::limits;
use pushletd::topic::Pattern;

use super::texts;

const OLD: &str = "the-old-secret-of-the-backend";
const NEW: &str = "the-new-secret-of-the-backend";
const STAFF: &str = "0123456789abcdef";

/// `text` as a file in the folder `etc`, with files of secrets as they stand below it: path, content, mode.
fn with_files(text: &str, files: &[(&str, &[u8], u32)]) -> Inputs {
    let found = |(path, bytes, mode): &(&str, &[u8], u32)| KeyFile {
        path: (*path).to_owned(),
        content: Ok(KeyText { bytes: bytes.to_vec(), mode: *mode }),
    };
    let file = FileText { path: "etc/pushletd.toml".to_owned(), text: text.to_owned() };
    Inputs { file: Some(file), key_files: files.iter().map(found).collect(), ..Inputs::default() }
}

/// The same with good files of two keys.
fn keyed(text: &str) -> Inputs {
    let backend = format!("# of the backend\n\n{OLD}\r\n  {NEW}\t\n");
    with_files(
        text,
        &[("etc/backend.key", backend.as_bytes(), 0o100_600), ("/secrets/staff", STAFF.as_bytes(), 0o100_400)],
    )
}

const KEYS: &str = r#"
[[key]]
name = "backend"
file = "backend.key"

[[key]]
name = "staff.1"
file = "/secrets/staff"
"#;

const RULES: &str = r#"
[[access]]
subject = "/news/**"
publish = ["backend"]
subscribe = "anyone"

[[access]]
subject = "**"
subscribe = ["staff.1", "backend"]
publish = "nobody"

[[access]]
subject = "$server/*"
publish = "nobody"
subscribe = ["staff.1"]

[[presence]]
subject = "/rooms/*"

[[presence]]
subject = "/lobby"
"#;

fn same(one: &Config, other: &Config) -> bool {
    let keys = |config: &Config| -> Vec<KeyConfig> { config.keys.clone() };
    let parts = |config: &Config| -> (Vec<_>, Vec<_>, Vec<_>) {
        let keys = keys(config).into_iter().map(|key| (key.name, key.path, key.secrets)).collect();
        let rule = |rule: &AccessConfig| (rule.subject.clone(), rule.publish.clone(), rule.subscribe.clone());
        let presence = config.presence.iter().map(|table| table.subject.clone()).collect();
        (keys, config.access.iter().map(rule).collect(), presence)
    };
    parts(one) == parts(other)
}

#[test]
fn keys_and_rules_are_read_and_printed() {
    let config = load(&keyed(&format!("{KEYS}{RULES}"))).expect("good tables");
    let secrets = |at: usize| -> Vec<&[u8]> { config.keys[at].secrets.iter().map(|secret| secret.expose()).collect() };
    assert_eq!((config.keys[0].name.as_str(), secrets(0)), ("backend", vec![OLD.as_bytes(), NEW.as_bytes()]));
    assert_eq!((config.keys[1].name.as_str(), secrets(1)), ("staff.1", vec![STAFF.as_bytes()]));
    assert_eq!((config.keys[0].path.as_str(), config.keys[1].path.as_str()), ("etc/backend.key", "/secrets/staff"));
    let keys = |names: &[&str]| Permission::Keys(names.iter().map(|name| (*name).to_owned()).collect());
    let rules: Vec<(&str, &Permission, &Permission)> =
        config.access.iter().map(|rule| (rule.subject.as_str(), &rule.publish, &rule.subscribe)).collect();
    assert_eq!(
        rules,
        [
            ("/news/**", &keys(&["backend"]), &Permission::Anyone),
            ("**", &Permission::Nobody, &keys(&["staff.1", "backend"])),
            ("$server/*", &Permission::Nobody, &keys(&["staff.1"])),
        ]
    );
    let presence: Vec<&str> = config.presence.iter().map(|table| table.subject.as_str()).collect();
    assert_eq!(presence, ["/rooms/*", "/lobby"]);
    assert_eq!(config.warnings(), Vec::<String>::new());
    let printed = print_config(&config);
    let has = |assignment: &str, origin: &str| {
        let split =
            |line: &str| line.split_once("  # ").map(|(left, right)| (left.trim().to_owned(), right.to_owned()));
        printed.lines().filter_map(split).any(|(left, right)| left == assignment && right == origin)
    };
    assert!(has("file = \"backend.key\"", "etc/pushletd.toml:4"), "{printed}");
    assert!(has("publish = [\"backend\"]", "etc/pushletd.toml:12"), "{printed}");
    assert!(has("subscribe = \"anyone\"", "etc/pushletd.toml:13"), "{printed}");
    assert!(has("subject = \"/rooms/*\"", "etc/pushletd.toml:26"), "{printed}");
    let again = load(&keyed(&printed)).expect("the printed form is good");
    assert!(same(&again, &config), "{printed}");
}

/// Whatever is printed, no secret is in it.
#[test]
fn no_secret_is_told() {
    let inputs = keyed(&format!("{KEYS}{RULES}"));
    let config = load(&inputs).expect("good tables");
    for text in [format!("{inputs:?}"), format!("{config:?}"), format!("{config:#?}"), print_config(&config)] {
        for secret in [OLD, NEW, STAFF] {
            assert!(!text.contains(secret), "{text}");
            // Nor as a list of bytes.
            let bytes: Vec<String> = secret.bytes().take(6).map(|byte| byte.to_string()).collect();
            assert!(!text.contains(&bytes.join(", ")), "{text}");
        }
    }
}

/// The shell reads what the tables name, relative to the file that names it, and each file once.
#[test]
fn the_files_to_read_are_known_before_the_rest_is_judged() {
    let paths = |path: &str, text: &str| key_paths(&FileText { path: path.to_owned(), text: text.to_owned() });
    assert_eq!(paths("/etc/pushletd/x.toml", KEYS), ["/etc/pushletd/backend.key", "/secrets/staff"]);
    assert_eq!(paths("x.toml", KEYS), ["backend.key", "/secrets/staff"]);
    assert_eq!(
        paths("a/x.toml", "[[key]]\nfile = \"b\"\n[[key]]\nfile = \"b\"\nname = 5\n[[key]]\nfile = 5\n"),
        ["a/b"]
    );
    for none in ["", "cores = 1\n", "[[key]]\nfile = \n", "[key]\nfile = \"a\"\n", "key = [5]\n"] {
        assert_eq!(paths("x.toml", none), Vec::<String>::new(), "{none:?}");
    }
}

fn key_errors(content: &[u8]) -> Vec<String> {
    texts(load(&with_files("[[key]]\nname = \"a\"\nfile = \"k\"\n", &[("etc/k", content, 0o600)])))
}

/// Each file of secrets that is refused, and the words for it.
#[test]
fn a_wrong_file_of_secrets_is_told_with_its_line_and_without_its_secret() {
    let long = [b"x".repeat(513).as_slice(), b"\n"].concat();
    let many: String = (0..9).map(|number| format!("secret-number-000{number}\n")).collect();
    let allowed = "allowed: 16 to 512 visible ASCII characters";
    for (content, words) in [
        (&b""[..], format!("\"etc/k\" holds no secret; {allowed}, one a line")),
        (b"\n \n# 0123456789abcdef\n", format!("\"etc/k\" holds no secret; {allowed}, one a line")),
        (
            b"# a comment\nshort-and-secret\nhunter2-hunter2",
            format!("\"etc/k\" line 3: a secret of 15 characters; {allowed}"),
        ),
        (&long, format!("\"etc/k\" line 1: a secret of 513 characters; {allowed}")),
        (
            b"0123456789 abcdefg\n",
            format!("\"etc/k\" line 1: a secret holds other characters than visible ASCII; {allowed}"),
        ),
        (
            "0123456789abcdef\u{fc}\n".as_bytes(),
            format!("\"etc/k\" line 1: a secret holds other characters than visible ASCII; {allowed}"),
        ),
        (
            b"\xef\xbb\xbf0123456789abcdef\n",
            format!("\"etc/k\" line 1: a secret holds other characters than visible ASCII; {allowed}"),
        ),
        (
            b"0123456789abcdef\0\n",
            format!("\"etc/k\" line 1: a secret holds other characters than visible ASCII; {allowed}"),
        ),
        (many.as_bytes(), "\"etc/k\" line 9: too many secrets; allowed: at most 8".to_owned()),
        (&b"#".repeat(65_537), "\"etc/k\" is too large; allowed: 65536 bytes".to_owned()),
    ] {
        assert_eq!(key_errors(content), [format!("etc/pushletd.toml:3: key.file: {words}")]);
    }
    for good in
        [&b"x".repeat(16)[..], &b"x".repeat(512), b"#!\n!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", &many.as_bytes()[..8 * 19]]
    {
        let config = load(&with_files("[[key]]\nname = \"a\"\nfile = \"k\"\n", &[("etc/k", good, 0o600)]));
        assert!(config.is_ok(), "{config:?}");
    }
    // A file that nobody has read, and one that could not be.
    let mut inputs = with_files("[[key]]\nname = \"a\"\nfile = \"k\"\n", &[]);
    assert_eq!(texts(load(&inputs)), ["etc/pushletd.toml:3: key.file: \"etc/k\" was not read"]);
    inputs.key_files = vec![KeyFile { path: "etc/k".to_owned(), content: Err("it is no regular file".to_owned()) }];
    assert_eq!(
        texts(load(&inputs)),
        ["etc/pushletd.toml:3: key.file: \"etc/k\" cannot be read: it is no regular file"]
    );
}

/// Each wrong text behind the two good keys, which take eight lines, and the words that it is refused with.
const BAD: [(&str, &str); 30] = [
    ("[[key]]\nname = \"x\"", ":9: key.file: is missing; every key needs it"),
    ("[[key]]\nfile = \"/secrets/x\"", ":9: key.name: is missing; every key needs it"),
    (
        "[[key]]\nname = \"anyone\"\nfile = \"/secrets/x\"",
        ":10: key.name: \"anyone\" is a word of [[access]] and names no key",
    ),
    ("[[key]]\nname = \"nobody\"\nfile = \"/secrets/x\"", ":10: key.name: \"nobody\" is a word of [[access]]"),
    (
        "[[key]]\nname = \"a b\"\nfile = \"/secrets/x\"",
        ":10: key.name: \"a b\" is no name; allowed: 1 to 64 letters, digits, -, _ and .",
    ),
    ("[[key]]\nname = \"\"\nfile = \"/secrets/x\"", ":10: key.name: \"\" is no name"),
    ("[[key]]\nname = 5\nfile = \"/secrets/x\"", ":10: key.name: 5 is not a text in quotes; allowed: 1 to 64"),
    (
        "[[key]]\nname = \"backend\"\nfile = \"/secrets/x\"",
        ":10: key.name: \"backend\" is taken at etc/pushletd.toml:3; names must differ",
    ),
    ("[[key]]\nname = \"x\"\nfile = \"\"", ":11: key.file: is empty; allowed: the path of a file"),
    ("[[key]]\nname = \"x\"\nfile = [\"/secrets/x\"]", ":11: key.file: a list is not a text in quotes"),
    (
        "[[key]]\nname = \"x\"\nfile = \"/secrets/x\"\nfiel = 1",
        ":12: unknown key `fiel` in [[key]]; the nearest known one is `file`",
    ),
    (
        "[[key]]\nname = \"x\"\nfile = \"/secrets/x\"\ncores = 1",
        ":12: key `cores` is not known in [[key]]; it belongs at the top",
    ),
    (
        "[[key]]\nname = \"x\"\nfile = \"/secrets/staff\"",
        ":9: key.file: \"/secrets/staff\" holds a secret that the key at etc/pushletd.toml:6 has too",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = \"anyone\"",
        ":9: access.subscribe: is missing; every rule needs it; allowed: \"anyone\", \"nobody\", or a list",
    ),
    ("[[access]]\nsubject = \"/a\"\nsubscribe = \"anyone\"", ":9: access.publish: is missing; every rule needs it"),
    (
        "[[access]]\npublish = \"anyone\"\nsubscribe = \"anyone\"",
        ":9: access.subject: is missing; every rule needs it; allowed: a subject such as",
    ),
    (
        "[[access]]\nsubject = \"/a*\"\npublish = \"anyone\"\nsubscribe = \"anyone\"",
        ":10: access.subject: \"/a*\": segment 2: a wildcard stands alone",
    ),
    (
        "[[access]]\nsubject = \"/**/a\"\npublish = \"anyone\"\nsubscribe = \"anyone\"",
        ":10: access.subject: \"/**/a\": segment ",
    ),
    (
        "[[access]]\nsubject = \"/a, /b\"\npublish = \"anyone\"\nsubscribe = \"anyone\"",
        ":10: access.subject: \"/a, /b\" holds blanks around it, commas or control",
    ),
    (
        "[[access]]\nsubject = \"\"\npublish = \"anyone\"\nsubscribe = \"anyone\"",
        ":10: access.subject: \"\": empty subject; allowed: ",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = \"any\"\nsubscribe = \"anyone\"",
        ":11: access.publish: \"any\" is not known here; allowed: \"anyone\", \"nobody\", or a list of names of keys",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = \"backend\"\nsubscribe = \"anyone\"",
        ":11: access.publish: \"backend\" is the name of a key; write it as a list: [\"backend\"]",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = []\nsubscribe = \"anyone\"",
        ":11: access.publish: is an empty list; write \"nobody\"",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = [\"backend\", \"anyone\"]\nsubscribe = \"anyone\"",
        ":11: access.publish: \"anyone\" is no name of a key; write it without a list",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = \"anyone\"\nsubscribe = [\"bakend\"]",
        ":12: access.subscribe: \"bakend\" is no key; the nearest known one is \"backend\"; known: backend, staff.1",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = true\nsubscribe = \"anyone\"",
        ":11: access.publish: true is not a text in quotes; allowed: \"anyone\"",
    ),
    (
        "[[access]]\nsubject = \"/a\"\npublish = \"anyone\"\nsubscribe = \"anyone\"\nread = 1",
        ":13: unknown key `read` in [[access]]; the nearest known one is `",
    ),
    (
        "[[presence]]\nsubject = \"rooms/*\"",
        ":10: presence.subject: \"rooms/*\" does not begin with a slash; allowed: ",
    ),
    (
        "[[presence]]\nsubject = \"/rooms/*\"\nsubjekt = 1",
        ":11: unknown key `subjekt` in [[presence]]; the nearest known one is `subject`",
    ),
    ("[[acess]]\nsubject = \"/a\"", ":9: acess: unknown table; the nearest known one is [[access]]"),
];

#[test]
fn wrong_tables_are_refused_with_their_line_and_what_is_allowed() {
    for (table, words) in BAD {
        let mut inputs = keyed(&format!("{KEYS}{table}\n"));
        let other = KeyText { bytes: b"another-secret-of-16".to_vec(), mode: 0o600 };
        inputs.key_files.push(KeyFile { path: "/secrets/x".to_owned(), content: Ok(other) });
        let errors = texts(load(&inputs));
        assert_eq!(errors.len(), 1, "{table}: {errors:#?}");
        assert!(errors[0].starts_with(&format!("etc/pushletd.toml{words}")), "{table}:\n{words}\n{errors:#?}");
    }
    for text in ["key = 5\n", "[access]\nsubject = \"/a\"\n", "presence = [5]\n"] {
        let errors = texts(load(&keyed(text)));
        assert!(errors[0].contains("must be tables that each begin with the line [["), "{errors:?}");
    }
}

/// A rule that names a key whose own table is wrong is not blamed for it.
#[test]
fn what_is_wrong_with_a_key_is_told_once() {
    let text = "[[key]]\nname = \"a\"\nfile = \"none\"\n[[access]]\nsubject = \"/a\"\npublish = [\"a\"]\nsubscribe = [\"b\"]\n";
    assert_eq!(
        texts(load(&keyed(text))),
        [
            "etc/pushletd.toml:3: key.file: \"etc/none\" was not read",
            "etc/pushletd.toml:7: access.subscribe: \"b\" is no key; the nearest known one is \"a\"; known: a",
        ]
    );
    let text = "[[access]]\nsubject = \"/a\"\npublish = [\"a\"]\nsubscribe = \"anyone\"\n";
    assert_eq!(
        texts(load(&keyed(text))),
        ["etc/pushletd.toml:3: access.publish: \"a\" is no key: there is no [[key]] table"]
    );
}

#[test]
fn a_subject_has_one_rule_and_a_rule_decides_something() {
    let rule =
        |subject: &str| format!("[[access]]\nsubject = \"{subject}\"\npublish = \"anyone\"\nsubscribe = \"anyone\"\n");
    let twice = format!("{}{}{}", rule("/a/*"), rule("/b"), rule("/a/*"));
    assert_eq!(
        texts(load(&keyed(&twice))),
        [
            "etc/pushletd.toml:9: access.subject: \"/a/*\" is decided at etc/pushletd.toml:1 already: the first rule counts"
        ]
    );
    let hidden = format!("{}{}{}{}", rule("/a"), rule("**"), rule("/b"), rule("$server/*"));
    assert_eq!(
        load(&keyed(&hidden)).expect("allowed").warnings(),
        [
            "the rule for \"/b\" at etc/pushletd.toml:9 decides nothing: \"**\" at etc/pushletd.toml:5 is before it and covers it"
        ]
    );
}

#[test]
fn secrets_that_others_may_read_are_a_warning() {
    for (mode, shown) in [
        (0o100_644, Some("0644")),
        (0o100_640, Some("0640")),
        (0o100_604, Some("0604")),
        (0o100_600, None),
        (0o400, None),
    ] {
        let inputs = with_files("[[key]]\nname = \"a\"\nfile = \"k\"\n", &[("etc/k", STAFF.as_bytes(), mode)]);
        let told = |mode| {
            format!(
                "the secrets of key a are open to others than their owner: etc/k has the mode {mode}, better is 0600"
            )
        };
        let due: Vec<String> = shown.map(told).into_iter().collect();
        assert_eq!(load(&inputs).expect("allowed").warnings(), due, "{mode:o}");
    }
}

#[test]
fn there_are_bounds_on_tables() {
    let rules = |count: usize| -> String {
        let rule = |at| format!("[[access]]\nsubject = \"/{at}\"\npublish = \"anyone\"\nsubscribe = \"anyone\"\n");
        (0..count).map(rule).collect()
    };
    let presence = |count: usize| "[[presence]]\nsubject = \"/a\"\n".repeat(count);
    let key = |at: usize| format!("[[key]]\nname = \"k{at}\"\nfile = \"{at}\"\n");
    let with_keys = |count: usize| {
        let files: Vec<(String, String)> =
            (0..count).map(|at| (format!("etc/{at}"), format!("a-secret-of-the-key-{at}"))).collect();
        let files: Vec<(&str, &[u8], u32)> =
            files.iter().map(|(path, secret)| (path.as_str(), secret.as_bytes(), 0o600)).collect();
        with_files(&(0..count).map(key).collect::<String>(), &files)
    };
    assert_eq!(load(&keyed(&rules(256))).map(|config| config.access.len()), Ok(256));
    assert_eq!(
        texts(load(&keyed(&rules(257)))),
        ["etc/pushletd.toml:1025: access: too many rules; allowed: at most 256"]
    );
    assert_eq!(load(&keyed(&presence(64))).map(|config| config.presence.len()), Ok(64));
    assert_eq!(
        texts(load(&keyed(&presence(65)))),
        ["etc/pushletd.toml:129: presence: too many tables of presence; allowed: at most 64"]
    );
    assert_eq!(load(&with_keys(256)).map(|config| config.keys.len()), Ok(256));
    assert_eq!(texts(load(&with_keys(257))), ["etc/pushletd.toml:769: key: too many keys; allowed: at most 256"]);
}

/// The tables of the example file are what the reader reads, with the comment signs taken away.
#[test]
fn the_tables_of_the_example_file_can_be_used() {
    let example = include_str!("../../packaging/pushletd.toml");
    let from = example.find("# [[key]]").expect("the example shows keys");
    let to = example.find("# What publishes by itself").expect("the sources come behind");
    let wanted = |line: &str| -> Option<String> {
        let rest = line.strip_prefix("# ")?;
        (rest.starts_with("[[") || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')))
            .then(|| rest.to_owned())
    };
    let tables: Vec<String> = example[from..to].lines().filter_map(wanted).collect();
    let config = load(&with_files(&tables.join("\n"), &[("/etc/pushletd/backend.key", OLD.as_bytes(), 0o600)]));
    let config = config.expect("the tables are good");
    assert_eq!((config.keys.len(), config.access.len(), config.presence.len()), (1, 1, 1));
    let shown: Vec<&str> = ["name", "file", "subject", "publish", "subscribe"].to_vec();
    for key in shown {
        assert!(tables.iter().any(|line| line.starts_with(&format!("{key} = "))), "{key} is not shown");
    }
}

const PAGE: &str = include_str!("../../docs/access.md");

/// The tables that the page shows can be typed as they stand there.
#[test]
fn what_the_page_shows_is_good() {
    let blocks: Vec<&str> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    for block in blocks {
        let operator = "[[key]]\nname = \"operator\"\nfile = \"/secrets/staff\"\n";
        let keys = if block.contains("\"operator\"") { operator } else { "" };
        let config = load(&keyed(&format!("{block}{keys}")));
        assert!(config.is_ok(), "{block}\n{config:?}");
    }
}

/// The reasons on the page are those that are given, each with its status.
#[test]
fn the_refusals_on_the_page_are_those_of_the_code() {
    let mut names = Names::default();
    let (backend, staff) = (names.identity("backend"), names.identity("staff"));
    let rule = |subject: &str, publish| Rule {
        subject: Pattern::new(subject).expect("a good pattern"),
        publish,
        subscribe: Who::Anyone,
    };
    let access = |who| Access::new(vec![rule("/news/*", who)], [backend, staff], false);
    let (keyed, shut) = (access(Who::holders([backend])), access(Who::nobody()));
    let unkeyed = Access::new(Vec::new(), [], false);
    let denied = |access: &Access, who, subject| access.may(who, Action::Publish, subject).expect_err("denied");
    let told = [
        denied(&keyed, Identity::NOBODY, "/news/a"),
        Denied::from(UnknownKey),
        denied(&keyed, staff, "/news/a"),
        denied(&shut, backend, "/news/a"),
        denied(&unkeyed, Identity::NOBODY, "/a"),
    ];
    let rows = PAGE.lines().filter(|line| line.starts_with("| 401 | ") || line.starts_with("| 403 | "));
    let rows: Vec<(&str, &str)> = rows.filter_map(|row| Some((&row[2..5], row.split('`').nth(1)?))).collect();
    assert_eq!(rows.len(), told.len());
    for ((status, shown), denied) in rows.into_iter().zip(told) {
        assert_eq!(status, denied.status.to_string());
        let same = shown.strip_suffix("...").map_or(denied.reason == shown, |head| denied.reason.starts_with(head));
        assert!(same, "{shown}: {denied}");
    }
}

/// The bounds on the page are those of the code.
#[test]
fn the_bounds_on_the_page_are_those_of_the_code() {
    let file = format!("{} KiB", limits::KEY_FILE_BYTES_MAX / 1024);
    for (what, most) in [
        ("`[[key]]`", limits::KEYS_MAX.to_string()),
        ("secrets of a key", limits::SECRETS_PER_KEY_MAX.to_string()),
        ("a file of secrets", file),
        ("`[[access]]`", limits::ACCESS_RULES_MAX.to_string()),
        ("`[[presence]]`", limits::PRESENCE_MAX.to_string()),
    ] {
        assert!(PAGE.contains(&format!("\n| {what} | {most} |\n")), "{what} is {most}");
    }
    let (low, high) = limits::SECRET_BYTES_RANGE;
    assert!(PAGE.contains(&format!("A secret is {low} to {high} visible")), "{low} to {high}");
}
