//! The configuration as an operator meets it: layers, ranges, messages, and the printed form that reads back.

use proptest::prelude::*;
use pushletd::config::{
    Config, ConfigError, FileText, Inputs, IoDriver, LogFormat, LogLevel, Origin, Table, file_path, load, print_config,
};
use pushletd::protocol::Overflow;

#[path = "config/access.rs"]
mod access;
#[path = "config/sources.rs"]
mod sources;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn file(text: &str) -> Inputs {
    let file = FileText { path: "pushletd.toml".to_owned(), text: text.to_owned() };
    Inputs { file: Some(file), ..Inputs::default() }
}

fn flags(given: &[(&str, &str)]) -> Inputs {
    Inputs { flags: pairs(given), ..Inputs::default() }
}

fn environment(given: &[(&str, &str)]) -> Inputs {
    Inputs { environment: pairs(given), ..Inputs::default() }
}

fn texts(result: Result<Config, Vec<ConfigError>>) -> Vec<String> {
    result.expect_err("something is wrong").iter().map(ToString::to_string).collect()
}

/// Key and value of every setting that a file may hold.
fn values(config: &Config) -> Vec<(String, String)> {
    config.lines().into_iter().filter(|line| line.key.in_file()).map(|line| (line.key.path(), line.value)).collect()
}

/// The defaults are a promise to whoever starts the server without a word.
#[test]
fn defaults() {
    let config = load(&Inputs::default()).expect("defaults are good");
    assert_eq!(config, Config::default());
    assert_eq!(config.listen.value.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin.value.map(|admin| admin.to_string()).as_deref(), Some("127.0.0.1:8081"));
    assert_eq!((config.cores.value, config.pin.value, config.io_driver.value), (None, false, IoDriver::Auto));
    assert_eq!((config.ring_entries.value, config.inbox_events.value), (4096, 4096));
    assert_eq!((config.queue_events.value, config.queue_bytes.value), (256, 1 << 20));
    assert_eq!((config.overflow.value, config.connections_max.value), (None, None));
    assert_eq!((config.session_timeout_ms.value, config.heartbeat_ms.value), (300_000, 20_000));
    assert_eq!((config.batch_delay_ms.value, config.drain_ms.value), (2, 20_000));
    assert_eq!((config.log_format.value, config.log_level.value), (LogFormat::Text, LogLevel::Info));
    assert_eq!(config.config.value, None);
    assert!(config.lines().iter().all(|line| line.origin == Origin::Default));
    assert_eq!(config.warnings(), Vec::<String>::new());
}

/// The defaults that the contract names: the protocol's own tests prove that they are obeyed.
#[test]
fn defaults_of_the_tables() {
    let Config { pushlet, http, .. } = Config::default();
    assert!(!pushlet.force_pull_all.value && pushlet.force_pull_agents.value.is_empty());
    assert!(!pushlet.expose_session_ids.value);
    assert_eq!(pushlet.pull_wait_ms.value, 20_000);
    assert_eq!((pushlet.pull_refresh_timeout_ms.value, pushlet.poll_refresh_timeout_ms.value), (45_000, 60_000));
    assert_eq!((pushlet.pull_refresh_wait_min_ms.value, pushlet.pull_refresh_wait_max_ms.value), (2_000, 6_000));
    assert_eq!((pushlet.poll_refresh_wait_min_ms.value, pushlet.poll_refresh_wait_max_ms.value), (6_000, 10_000));
    assert_eq!(pushlet.detached_timeout_ms.value, 45_000);
    assert!(http.allow_origins.value.is_empty());
    let deadlines = [http.head_timeout_ms.value, http.body_timeout_ms.value, http.idle_timeout_ms.value];
    assert_eq!(deadlines, [10_000, 30_000, 60_000]);
    assert!(http.ws_message_max.value == 256 * 1024 && !http.ws_deflate.value);
}

/// For every setting, by its variable: texts at the edges of its range, and texts just outside.
const RANGES: [(&str, &[&str], &[&str]); 36] = [
    ("LISTEN", &["127.0.0.1:0", "[::]:9", "0.0.0.0:65535"], &["", "8080", "localhost:80", "1.2.3.4", "1.2.3.4:65536"]),
    ("ADMIN", &["off", "127.0.0.1:0"], &["none", "OFF", ""]),
    ("CORES", &["1", "2", "128", "auto"], &["0", "129", "-1", "1.0", "", "one"]),
    ("PIN", &["true", "false"], &["yes", "1", ""]),
    ("IO_DRIVER", &["auto", "io_uring", "epoll"], &["uring", "EPOLL", ""]),
    ("RING_ENTRIES", &["64", "32768"], &["32", "63", "65", "65536", "99999999999999999999"]),
    ("QUEUE_SIZE", &["1", "65536"], &["0", "65537", "1KiB"]),
    ("QUEUE_BYTES", &["64KiB", "256MiB", "65536B", "1MB"], &["65535B", "268435457B", "1MiBs", "1048576", "4GiB"]),
    ("OVERFLOW", &["auto", "disconnect", "drop-oldest", "conflate"], &["drop_oldest", ""]),
    ("INBOX_SIZE", &["16", "1048576"], &["15", "1048577"]),
    ("MAX_CONNECTIONS", &["auto", "1", "10000000"], &["0", "10000001", "Auto"]),
    ("SESSION_TIMEOUT", &["1s", "24h", "1m30s"], &["999ms", "24h1ms", "5", "-5s", "5min"]),
    ("HEARTBEAT", &["100ms", "10m"], &["99ms", "601s", "0s"]),
    ("BATCH_DELAY", &["0s", "1s"], &["1001ms", "0"]),
    ("DRAIN_TIME", &["0s", "10m"], &["11m"]),
    ("LOG_FORMAT", &["text", "json"], &["xml"]),
    ("LOG_LEVEL", &["error", "warn", "info", "debug", "trace"], &["warning"]),
    ("PUSHLET_FORCE_PULL_ALL", &["true", "false"], &["on"]),
    ("PUSHLET_FORCE_PULL_AGENTS", &["", "msie, Safari"], &[]),
    ("PUSHLET_EXPOSE_SESSION_IDS", &["true"], &["TRUE"]),
    ("PUSHLET_PULL_WAIT", &["100ms", "5m"], &["99ms", "301s"]),
    ("PUSHLET_PULL_REFRESH_TIMEOUT", &["100ms", "1h"], &["99ms", "61m"]),
    ("PUSHLET_POLL_REFRESH_TIMEOUT", &["100ms", "1h"], &["99ms", "61m"]),
    ("PUSHLET_PULL_REFRESH_WAIT_MIN", &["0s", "6s"], &["7s", "11m"]),
    ("PUSHLET_PULL_REFRESH_WAIT_MAX", &["2s", "10m"], &["1s", "11m"]),
    ("PUSHLET_POLL_REFRESH_WAIT_MIN", &["0s", "10s"], &["11s", "11m"]),
    ("PUSHLET_POLL_REFRESH_WAIT_MAX", &["6s", "10m"], &["5s", "11m"]),
    ("PUSHLET_DETACHED_TIMEOUT", &["0s", "1h"], &["61m"]),
    (
        "HTTP_ALLOW_ORIGINS",
        &["", "*", "https://a.example,http://b:81"],
        &["a.example", "https://a/", "null", "https://a,"],
    ),
    ("HTTP_HEAD_TIMEOUT", &["100ms", "10m"], &["99ms", "11m"]),
    ("HTTP_BODY_TIMEOUT", &["100ms", "10m"], &["99ms", "11m"]),
    ("HTTP_IDLE_TIMEOUT", &["100ms", "10m"], &["99ms", "11m"]),
    ("HTTP_WS_MESSAGE_MAX", &["1KiB", "1MiB"], &["1023B", "1048577B", "1024"]),
    ("HTTP_WS_DEFLATE", &["true", "false"], &["on", ""]),
    ("DEMO", &["auto", "on", "off"], &["true", "", "AUTO"]),
    ("CONFIG", &["x.toml"], &[""]),
];

/// The edges of every range, just inside and just outside, by environment: the only layer that reaches every key.
#[test]
fn ranges() {
    for (name, good, bad) in RANGES {
        let name = format!("PUSHLETD_{name}");
        for text in good {
            let config =
                load(&environment(&[(&name, text)])).unwrap_or_else(|errors| panic!("{name}={text}: {errors:?}"));
            let line = config.lines().into_iter().find(|line| line.key.env_name() == name).expect("a known key");
            assert_eq!(line.origin, Origin::Environment(name.clone()), "{name}={text}");
        }
        for text in bad {
            let errors = texts(load(&environment(&[(&name, text)])));
            assert_eq!(errors.len(), 1, "{name}={text}: {errors:?}");
            assert!(errors[0].contains(&name) || errors[0].contains("_wait_m"), "{name}={text}: {errors:?}");
        }
    }
}

/// The table of ranges has a row for every setting.
#[test]
fn every_setting_has_its_ranges_tested() {
    for line in Config::default().lines() {
        let name = line.key.env_name();
        let tested = RANGES.iter().any(|(row, ..)| name == format!("PUSHLETD_{row}"));
        assert!(tested, "`RANGES` has no row for {name}");
    }
}

/// A message names the place, the fault, the range and the default.
#[test]
fn messages() {
    let wrong = "\ncores = 129\nqueue_size = \"256\"\nqueue_bytes = 1048576\nheartbeat = 20\nlisten = 8080\npin = 1\n\
                 overflow = \"drop\"\n[http]\nidle_timeout = \"1h\"\nallow_origins = [\"null\"]\n";
    assert_eq!(
        texts(load(&file(wrong))),
        [
            "pushletd.toml:2: cores: 129 is too large; allowed: 1 to 128, or auto; default: \"auto\"",
            "pushletd.toml:3: queue_size: \"256\" is a text, write 256; allowed: 1 to 65536; default: 256",
            "pushletd.toml:4: queue_bytes: 1048576 has no unit, write for example \"1048576KiB\"; \
             allowed: 64KiB to 256MiB (units: B, KiB, MiB, GiB, KB, MB, GB); default: \"1MiB\"",
            "pushletd.toml:5: heartbeat: 20 has no unit, write for example \"20s\"; allowed: 100ms to 10m (units: ms, s, m, h); \
             default: \"20s\"",
            "pushletd.toml:6: listen: 8080 is not a text in quotes; allowed: IP:PORT such as 127.0.0.1:8080 or [::]:8080; \
             default: \"127.0.0.1:8080\"",
            "pushletd.toml:7: pin: 1 is neither true nor false; allowed: true or false; default: false",
            "pushletd.toml:8: overflow: \"drop\" is not known here; allowed: auto, disconnect, drop-oldest, conflate; \
             default: \"auto\"",
            "pushletd.toml:10: http.idle_timeout: \"1h\" is too large; allowed: 100ms to 10m (units: ms, s, m, h); default: \"1m\"",
            "pushletd.toml:11: http.allow_origins: \"null\" is not * and has no scheme://; \
             allowed: a list of origins such as https://example.org or http://localhost:3000, or *; default: []",
        ]
    );
    assert_eq!(
        texts(load(&flags(&[("batch-delay", "2")]))),
        [
            "--batch-delay: \"2\" has no unit, write for example 2s; allowed: 0s to 1s (units: ms, s, m, h); default: \"2ms\""
        ]
    );
}

#[test]
fn unknown_names_are_errors_with_the_nearest() {
    let text =
        "quue_size = 5\nsession-timeout = \"5m\"\n[pushlet]\nheartbeat = \"1s\"\npul_wait = \"1s\"\n[htp]\nx = 1\n";
    assert_eq!(
        texts(load(&file(text))),
        [
            "pushletd.toml:1: unknown key `quue_size` at the top of the file; the nearest known one is `queue_size`",
            "pushletd.toml:2: unknown key `session-timeout` at the top of the file; the nearest known one is `session_timeout`",
            "pushletd.toml:4: key `heartbeat` is not known in [pushlet]; it belongs at the top of the file",
            "pushletd.toml:5: unknown key `pul_wait` in [pushlet]; the nearest known one is `pull_wait`",
            "pushletd.toml:6: htp: unknown table; the nearest known one is [http]",
        ]
    );
    assert_eq!(
        texts(load(&environment(&[("PUSHLETD_QUEUESIZE", "1"), ("PUSHLET_QUEUE_SIZE", "x"), ("pushletd_x", "y")]))),
        ["PUSHLETD_QUEUESIZE: unknown variable; the nearest known one is PUSHLETD_QUEUE_SIZE"]
    );
    assert_eq!(
        texts(load(&flags(&[("queue-sise", "1")]))),
        ["--queue-sise: unknown flag; the nearest known one is --queue-size"]
    );
}

#[test]
fn a_table_is_no_value_and_a_value_no_table() {
    assert_eq!(
        texts(load(&file("http = 5\n"))),
        ["pushletd.toml:1: http: must be a table that begins with the line [http]"]
    );
    let errors = texts(load(&file("[listen]\nport = 5\n")));
    assert!(errors[0].starts_with("pushletd.toml:1: listen: a table is not a text in quotes"), "{errors:?}");
    let errors = texts(load(&file("[[pushlet]]\npull_wait = \"1s\"\n")));
    assert!(errors[0].contains("must be a table"), "{errors:?}");
    let errors = texts(load(&file(
        "cores = 1.0\nlisten = 1979-05-27\nqueue_size = 999999999999999999999999999999999999999999\n",
    )));
    assert_eq!(errors.len(), 3);
    assert!(errors[0].contains("a number with a fraction") && errors[1].contains("a date or time"), "{errors:?}");
}

/// TOML has more than one way to say the same.
#[test]
fn dotted_keys_hexadecimal_and_many_line_lists_are_understood() {
    let text = "pushlet.pull_wait = '5s'\nqueue_size = 0x10\n[http]\nallow_origins = [\n  \"http://a\", # one\n  'http://b',\n]\n";
    let config = load(&file(text)).expect("good TOML");
    assert_eq!((config.pushlet.pull_wait_ms.value, config.queue_events.value), (5_000, 16));
    assert_eq!(config.http.allow_origins.value, ["http://a", "http://b"]);
    assert_eq!(config.http.allow_origins.origin, Origin::File { path: "pushletd.toml".into(), line: 4 });
}

#[test]
fn broken_toml_is_told_with_its_line_and_nothing_else_is_guessed() {
    for (text, line) in
        [("cores = 1\nlisten = \n", 2), ("cores = 1\ncores = 1\n", 2), ("\n\n[http\n", 3), ("pin = ture\n", 1)]
    {
        let errors = texts(load(&file(text)));
        assert!(errors[0].starts_with(&format!("pushletd.toml:{line}: not TOML: ")), "{text:?}: {errors:?}");
    }
    let mut inputs = file("bogus = 1\n[http\n");
    inputs.flags = pairs(&[("cores", "129")]);
    let errors = texts(load(&inputs));
    assert!(
        errors[0].starts_with("--cores: ") && errors[1..].iter().all(|error| error.contains("not TOML")),
        "{errors:?}"
    );
}

/// All that is wrong is said at once: flags, then environment, then the file from top to bottom.
#[test]
fn all_errors_come_together() {
    let mut inputs = file("zzz = 1\nheartbeat = \"1ms\"\n");
    inputs.environment = pairs(&[("PUSHLETD_PIN", "maybe"), ("PUSHLETD_NOPE", "1")]);
    inputs.flags = pairs(&[("heartbeat", "2ms"), ("cores", "x")]);
    let errors = load(&inputs).expect_err("all wrong");
    let origins: Vec<String> = errors.iter().map(|error| error.origin.to_string()).collect();
    assert_eq!(
        origins,
        [
            "flag --cores",
            "flag --heartbeat",
            "environment PUSHLETD_NOPE",
            "environment PUSHLETD_PIN",
            "pushletd.toml:1",
            "pushletd.toml:2",
        ]
    );
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let mut inputs = file("queue_size = 1\ninbox_size = 16\nring_entries = 64\n[pushlet]\npull_wait = \"1s\"\n");
    inputs.environment =
        pairs(&[("PUSHLETD_QUEUE_SIZE", "2"), ("PUSHLETD_INBOX_SIZE", "17"), ("PUSHLETD_PUSHLET_PULL_WAIT", "2s")]);
    inputs.flags = pairs(&[("queue-size", "3")]);
    let config = load(&inputs).expect("good values");
    assert_eq!(config.queue_events.value, 3);
    assert_eq!((config.inbox_events.value, config.pushlet.pull_wait_ms.value), (17, 2_000));
    assert_eq!((config.ring_entries.value, config.cores.value), (64, None));
    let origin = |name: &str| {
        let found = config.lines().into_iter().find(|line| line.key.name == name).expect("a known key");
        found.origin.to_string()
    };
    assert_eq!(origin("queue-size"), "flag --queue-size");
    assert_eq!(origin("pull-wait"), "environment PUSHLETD_PUSHLET_PULL_WAIT");
    assert_eq!(origin("ring-entries"), "pushletd.toml:3");
    assert_eq!(origin("cores"), "default");
}

/// A wrong value below a right one is still an error: it waits for the day when the flag goes.
#[test]
fn overruled_values_are_checked_too() {
    let mut inputs = file("cores = 0\n");
    inputs.flags = pairs(&[("cores", "1")]);
    assert_eq!(load(&inputs).map_err(|errors| errors.len()), Err(1));
}

/// P-30: a word for each policy, and `auto` where the mode decides.
#[test]
fn overflow_policies() {
    for (text, policy) in [
        ("auto", None),
        ("disconnect", Some(Overflow::Disconnect)),
        ("drop-oldest", Some(Overflow::DropOldest)),
        ("conflate", Some(Overflow::Conflate)),
    ] {
        assert_eq!(load(&flags(&[("overflow", text)])).map(|config| config.overflow.value), Ok(policy));
    }
}

/// P-18: entries are trimmed and lower-cased; an empty entry is no entry, because every User-Agent contains the empty text.
#[test]
fn empty_entries_force_nobody() {
    let config = load(&file("[pushlet]\nforce_pull_agents = [\" MSIE \", \"\", \"  \", \"Safari/\"]\n")).expect("good");
    assert_eq!(config.pushlet.force_pull_agents.value, ["msie", "safari/"]);
    for text in ["", " , ,", ","] {
        let config = load(&environment(&[("PUSHLETD_PUSHLET_FORCE_PULL_AGENTS", text)])).expect("good");
        assert!(config.pushlet.force_pull_agents.value.is_empty(), "{text:?}");
    }
}

#[test]
fn what_cannot_be_true_together_is_an_error() {
    for (listen, admin, good) in [
        ("127.0.0.1:8081", "127.0.0.1:8081", false),
        ("0.0.0.0:8081", "127.0.0.1:8081", false),
        ("127.0.0.1:8081", "0.0.0.0:8081", false),
        ("[::]:8081", "127.0.0.1:8081", false),
        ("[::ffff:127.0.0.1]:8081", "127.0.0.1:8081", false),
        ("0.0.0.0:8081", "[::1]:8081", true),
        ("127.0.0.2:8081", "127.0.0.1:8081", true),
        ("127.0.0.1:8080", "127.0.0.1:8081", true),
        ("127.0.0.1:0", "127.0.0.1:0", true),
        ("127.0.0.1:8081", "off", true),
    ] {
        assert_eq!(load(&flags(&[("listen", listen), ("admin", admin)])).is_ok(), good, "{listen} {admin}");
    }
    assert_eq!(
        texts(load(&flags(&[("listen", "127.0.0.1:8081")]))),
        ["admin: 127.0.0.1:8081 is taken by listen = 127.0.0.1:8081 (flag --listen)"]
    );
    assert_eq!(
        texts(load(&file("[pushlet]\npoll_refresh_wait_min = \"11s\"\n"))),
        ["pushletd.toml:2: pushlet.poll_refresh_wait_min: 11s is more than poll_refresh_wait_max = 10s (default)"]
    );
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    for (given, word) in [
        (&[("session-timeout", "6s")][..], "pull_refresh_wait_max is not shorter than session_timeout"),
        (&[("session-timeout", "10s")], "poll_refresh_wait_max is not shorter than session_timeout"),
        (&[("admin", "0.0.0.0:9")], "no password"),
    ] {
        let warnings = load(&flags(given)).expect("allowed").warnings();
        assert!(warnings.iter().any(|warning| warning.contains(word)), "{given:?}: {warnings:?}");
    }
    let text = "[pushlet]\npull_refresh_timeout = \"6s\"\npoll_refresh_timeout = \"10s\"\n";
    assert_eq!(load(&file(text)).expect("allowed").warnings().len(), 2);
}

#[test]
fn the_path_of_the_file_comes_from_flag_or_environment() {
    let variables = pairs(&[("PUSHLETD_CONFIG", "b")]);
    let found = file_path(&pairs(&[("config", "a")]), &variables).expect("named");
    assert_eq!((found.value.as_str(), found.origin.to_string().as_str()), ("a", "flag --config"));
    let found = file_path(&[], &variables).expect("named");
    assert_eq!((found.value.as_str(), found.origin.to_string().as_str()), ("b", "environment PUSHLETD_CONFIG"));
    assert_eq!(file_path(&[], &[]), None);
    let errors = texts(load(&file("config = \"other.toml\"\n")));
    assert!(errors[0].starts_with("pushletd.toml:1: config: a file cannot name the file to read"), "{errors:?}");
}

#[test]
fn printed_lines_tell_their_origin() {
    let mut inputs = file("cores = 1\n[pushlet]\nforce_pull_agents = [\"a\\\"b\\\\\\u0007#\"]\n");
    inputs.environment = pairs(&[("PUSHLETD_HTTP_HEAD_TIMEOUT", "90s"), ("PUSHLETD_CONFIG", "dir/\nadmin = 1")]);
    inputs.flags = pairs(&[("overflow", "conflate"), ("admin", "off"), ("max-connections", "5")]);
    let config = load(&inputs).expect("good values");
    let text = print_config(&config);
    let has = |assignment: &str, origin: &str| {
        text.lines().any(|line| {
            line.split_once("  # ").is_some_and(|(left, right)| left.trim() == assignment && right == origin)
        })
    };
    assert!(has("listen = \"127.0.0.1:8080\"", "default"), "{text}");
    assert!(has("admin = \"off\"", "flag --admin"), "{text}");
    assert!(has("overflow = \"conflate\"", "flag --overflow"), "{text}");
    assert!(has("max_connections = 5", "flag --max-connections"), "{text}");
    assert!(has("cores = 1", "pushletd.toml:1"), "{text}");
    assert!(has("head_timeout = \"1m30s\"", "environment PUSHLETD_HTTP_HEAD_TIMEOUT"), "{text}");
    assert!(text.starts_with("# file: dir/\u{fffd}admin = 1 (environment PUSHLETD_CONFIG)\n"), "{text}");
    let again = load(&file(&text)).expect("printed form is good TOML");
    assert_eq!(values(&again), values(&config));
    assert_eq!(again.pushlet.force_pull_agents.value, ["a\"b\\\u{7}#"]);
}

/// The example file shows every setting with its default, so reading it changes nothing.
#[test]
fn the_example_file_is_complete_and_changes_nothing() {
    let example = include_str!("../packaging/pushletd.toml");
    let config = load(&file(example)).expect("the example is good");
    assert_eq!(values(&config), values(&Config::default()));
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|letter: char| letter.is_ascii_lowercase()))
                .unwrap_or(line)
        })
        .collect();
    let uncommented = uncommented.join("\n");
    let config = load(&file(&uncommented)).expect("the example without its marks is good");
    assert_eq!(values(&config), values(&Config::default()));
    for line in config.lines().iter().filter(|line| line.key.in_file()) {
        assert!(
            matches!(line.origin, Origin::File { .. }),
            "packaging/pushletd.toml does not show {}",
            line.key.path()
        );
    }
}

#[test]
fn names_are_spelled_for_each_layer() {
    let lines = Config::default().lines();
    let key = |name: &str| lines.iter().find(|line| line.key.name == name).expect("a known key").key;
    let (top, sub) = (key("queue-size"), key("pull-wait"));
    assert_eq!((top.flag_name(), sub.flag_name()), (Some("queue-size"), None));
    assert_eq!(
        (top.env_name().as_str(), sub.env_name().as_str()),
        ("PUSHLETD_QUEUE_SIZE", "PUSHLETD_PUSHLET_PULL_WAIT")
    );
    assert_eq!((top.path().as_str(), sub.path().as_str()), ("queue_size", "pushlet.pull_wait"));
    assert_eq!((top.table, sub.table), (Table::Top, Table::Pushlet));
}

fn duration() -> impl Strategy<Value = String> {
    (1_u64..=86_400_000).prop_map(|ms| format!("{ms}ms"))
}

proptest! {
    /// Whatever is accepted prints to a file that reads back as the same values.
    #[test]
    fn printed_configurations_read_back(
        timeout in duration(),
        heartbeat in duration(),
        delay in duration(),
        size in "[1-9][0-9]{0,5}(B|KiB|MiB|KB|MB)",
        queue in 0_u32..70_000,
        agents in "\\PC{0,20}",
        origins in "(https?://[a-z]{1,8}(:[1-9][0-9]{0,3})?,?){0,3}",
    ) {
        let inputs = environment(&[
            ("PUSHLETD_SESSION_TIMEOUT", &timeout),
            ("PUSHLETD_HEARTBEAT", &heartbeat),
            ("PUSHLETD_BATCH_DELAY", &delay),
            ("PUSHLETD_QUEUE_BYTES", &size),
            ("PUSHLETD_QUEUE_SIZE", &queue.to_string()),
            ("PUSHLETD_PUSHLET_FORCE_PULL_AGENTS", &agents),
            ("PUSHLETD_HTTP_ALLOW_ORIGINS", &origins),
        ]);
        // Each of the variables that is refused is left out, so that most cases have something to print.
        let good: Vec<(String, String)> = inputs.environment.into_iter()
            .filter(|one| load(&Inputs { environment: vec![one.clone()], ..Inputs::default() }).is_ok())
            .collect();
        let config = load(&Inputs { environment: good, ..Inputs::default() }).expect("each is good alone");
        let again = load(&file(&print_config(&config))).expect("the printed form is good");
        prop_assert_eq!(values(&again), values(&config));
    }

    /// No file makes the reader panic, and what is refused is refused with a reason.
    #[test]
    fn any_file_is_read_or_refused(text in "\\PC*|([a-z_.]{1,9} ?= ?[0-9\"'\\[\\]{}a-z]{0,9}\n|\\[[a-z]{1,8}\\]\n){0,9}") {
        if let Err(errors) = load(&file(&text)) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| !error.problem.is_empty() && !error.to_string().contains('\n')));
        }
    }
}
