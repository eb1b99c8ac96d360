//! The command line of design and README, word for word, and what is read around it.

use std::os::unix::ffi::OsStringExt;

use clap::error::ErrorKind;

use super::*;

fn parsed(words: &[&str]) -> Action {
    parse(std::iter::once("pushletd").chain(words.iter().copied())).expect("a good command line")
}

fn refused(words: &[&str]) -> clap::Error {
    parse(std::iter::once("pushletd").chain(words.iter().copied())).expect_err("a bad command line")
}

fn flags(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, text)| (OsString::from(name), OsString::from(text))).collect()
}

#[test]
fn clap_finds_no_fault_with_the_definition() {
    command().debug_assert();
}

#[test]
fn serve_needs_no_word() {
    assert_eq!(parsed(&[]), Action::Serve(Inputs::default()));
    assert_eq!(parsed(&["serve"]), Action::Serve(Inputs::default()));
    let inputs = Inputs { flags: flags(&[("listen", "[::]:80"), ("queue-size", "7")]), ..Inputs::default() };
    let words = ["--queue-size", "7", "--listen=[::]:80"];
    assert_eq!(parsed(&words), Action::Serve(inputs.clone()));
    assert_eq!(parsed(&["serve", words[0], words[1], words[2]]), Action::Serve(inputs.clone()));
    assert_eq!(parsed(&["print-config", words[0], words[1], words[2]]), Action::PrintConfig(inputs));
}

/// Every flag that scripts may depend on, with a text that the configuration accepts.
#[test]
fn every_flag_is_taken_and_understood() {
    let given = [
        ("listen", "127.0.0.1:9000"),
        ("admin", "off"),
        ("cores", "1"),
        ("pin", "true"),
        ("io-driver", "epoll"),
        ("ring-entries", "64"),
        ("queue-size", "1"),
        ("queue-bytes", "64KiB"),
        ("overflow", "conflate"),
        ("inbox-size", "16"),
        ("max-connections", "10"),
        ("session-timeout", "1m30s"),
        ("heartbeat", "1s"),
        ("batch-delay", "0ms"),
        ("drain-time", "0s"),
        ("log-format", "json"),
        ("log-level", "trace"),
    ];
    let words: Vec<String> = given.iter().map(|(name, text)| format!("--{name}={text}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Action::Serve(inputs) = parsed(&words) else { panic!("not serve") };
    assert_eq!(inputs.flags, flags(&given));
    let config = load_from(&inputs.flags, std::iter::empty()).expect("good values");
    for (name, _) in given {
        let line = config.lines().into_iter().find(|line| line.key.name == name).expect("a known key");
        assert_eq!(line.origin, Origin::Flag(name.to_owned()));
    }
}

#[test]
fn a_switch_needs_no_text() {
    for (words, text) in [(["--pin"], "true"), (["--pin=true"], "true"), (["--pin=false"], "false")] {
        let inputs = Inputs { flags: flags(&[("pin", text)]), ..Inputs::default() };
        assert_eq!(parsed(&words), Action::Serve(inputs));
    }
}

/// Wrong values are not the parser's business: they come back with the origin `--flag`, together with all others.
#[test]
fn texts_of_flags_are_handed_on_untouched() {
    let Action::Serve(inputs) = parsed(&["--heartbeat", "5", "--cores", " 1"]) else { panic!("not serve") };
    assert_eq!(inputs.flags, flags(&[("cores", " 1"), ("heartbeat", "5")]));
    let errors = load_from(&inputs.flags, std::iter::empty()).expect_err("both are wrong");
    let places: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert!(places[0].starts_with("--cores: \" 1\" is not a whole number"), "{places:?}");
    assert!(places[1].starts_with("--heartbeat: \"5\" has no unit, write for example 5s"), "{places:?}");
    assert_eq!(places.len(), 2);
}

#[test]
fn sub_has_subjects_format_and_transport() {
    let url = "http://127.0.0.1:8080/pushlet.srv".to_owned();
    let wanted = SubArgs {
        url: url.clone(),
        subjects: vec!["/a".to_owned(), "/b,/c".to_owned()],
        transport: "stream".to_owned(),
        output: "text".to_owned(),
        ..SubArgs::default()
    };
    assert_eq!(parsed(&["sub", &url, "/a", "/b,/c"]), Action::Sub(wanted.clone()));
    let words = [
        "sub",
        &url,
        "/a",
        "/b,/c",
        "--format",
        "json",
        "--transport",
        "pushlet-poll",
        "--count",
        "3",
        "--quiet",
        "--label",
        "L",
        "--key",
        "FILE",
    ];
    let all = SubArgs {
        format: "json".to_owned(),
        transport: "pushlet-poll".to_owned(),
        count: Some(3),
        quiet: true,
        label: Some("L".to_owned()),
        key: Some("FILE".to_owned()),
        ..wanted
    };
    assert_eq!(parsed(&words), Action::Sub(all));
}

#[test]
fn pub_has_fields_or_standard_input() {
    let url = "http://[::1]:8080".to_owned();
    let wanted = |fields: &[&str]| PubArgs {
        url: url.clone(),
        subject: "/a".to_owned(),
        fields: fields.iter().map(ToString::to_string).collect(),
        ..PubArgs::default()
    };
    assert_eq!(parsed(&["pub", &url, "/a", "x=1", "y=a=b", "z="]), Action::Pub(wanted(&["x=1", "y=a=b", "z="])));
    assert_eq!(parsed(&["pub", &url, "/a", "-"]), Action::Pub(wanted(&["-"])));
    let unicast = PubArgs { to: Some("ADDRESS".to_owned()), ..wanted(&["x=1"]) };
    assert_eq!(parsed(&["pub", &url, "/a", "x=1", "--to", "ADDRESS"]), Action::Pub(unicast));
    let json = PubArgs {
        json: Some("-1".to_owned()),
        transport: "http".to_owned(),
        event: Some("tick".to_owned()),
        idempotency_key: Some("K".to_owned()),
        key: Some("FILE".to_owned()),
        ..wanted(&[])
    };
    let words = ["--json", "-1", "--event", "tick", "--idempotency-key", "K", "--transport", "http", "--key", "FILE"];
    assert_eq!(parsed(&[&["pub", &url, "/a"][..], &words].concat()), Action::Pub(json));
}

/// The terminal tools' own variable is no setting of the server.
#[test]
fn the_key_of_the_tools_is_no_setting() {
    let variables = variables(&[("PUSHLETD_KEY", "s3cret")]);
    assert_eq!(load_from(&[], variables.into_iter()), Ok(Config::default()));
}

#[test]
fn check_config_takes_one_file() {
    assert_eq!(parsed(&["check-config", "x.toml"]), Action::CheckConfig(PathBuf::from("x.toml")));
}

#[test]
fn bad_lines_are_refused() {
    let url = "http://h/";
    for (words, kind) in [
        (&["--queue-siz", "1"][..], ErrorKind::UnknownArgument),
        (&["bogus"][..], ErrorKind::InvalidSubcommand),
        (&["--cores", "1", "--cores", "1"][..], ErrorKind::ArgumentConflict),
        (&["check-config"][..], ErrorKind::MissingRequiredArgument),
        (&["sub", url][..], ErrorKind::MissingRequiredArgument),
        (&["sub", url, "/a", "--format", "yaml"][..], ErrorKind::InvalidValue),
        (&["sub", url, "/a", "--count", "0"][..], ErrorKind::ValueValidation),
        (&["pub", url, "/a"][..], ErrorKind::MissingRequiredArgument),
        (&["pub", url, "/a", "x=1", "--json", "1"][..], ErrorKind::ArgumentConflict),
        (&["pub", url, "/a", "x=1", "--transport", "smoke"][..], ErrorKind::InvalidValue),
    ] {
        let error = refused(words);
        assert_eq!(error.kind(), kind, "{words:?}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn help_and_version_end_well() {
    let help = refused(&["--help"]);
    assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
    let version = refused(&["--version"]);
    assert_eq!((version.kind(), version.exit_code()), (ErrorKind::DisplayVersion, 0));
    assert_eq!(version.to_string().trim(), concat!("pushletd ", env!("CARGO_PKG_VERSION")));
}

/// The help says of every flag what it means, what is allowed and what it is by default.
#[test]
fn help_tells_meaning_range_and_default() {
    let help = refused(&["--help"]).to_string();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = words(&help);
    for line in Config::default().lines() {
        let Some(flag) = line.key.flag_name() else { continue };
        assert!(help.contains(&format!("--{flag}")), "no --{flag}");
        assert!(help.contains(&words(line.help)), "{flag} has no meaning");
        assert!(help.contains(&words(&format!("Allowed: {}", line.allowed))), "{flag} has no range");
    }
    assert!(help.contains("Default: 20s") && help.contains("Try:"), "{help}");
}

/// Flag over variable over file over default.
#[test]
fn layers_are_read_and_ranked() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pushletd.toml");
    std::fs::write(&path, "queue_size = 1\nheartbeat = \"1s\"\ncores = 1\n").expect("a file");
    let path = path.to_str().expect("UTF-8");
    let environment = variables(&[
        ("PATH", "/bin"),
        ("PUSHLETD_CONFIG", path),
        ("PUSHLETD_QUEUE_SIZE", "2"),
        ("PUSHLETD_HEARTBEAT", "2s"),
    ]);
    let config = load_from(&flags(&[("queue-size", "3")]), environment.into_iter()).expect("good layers");
    assert_eq!((config.queue_events.value, config.queue_events.origin), (3, Origin::Flag("queue-size".to_owned())));
    let origin = Origin::Environment("PUSHLETD_HEARTBEAT".to_owned());
    assert_eq!((config.heartbeat_ms.value, config.heartbeat_ms.origin), (2_000, origin));
    assert_eq!(config.cores.origin, Origin::File { path: path.into(), line: 3 });
    assert_eq!(config.pin.origin, Origin::Default);
    assert_eq!(config.config.value.as_deref(), Some(path));
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_all_other_errors() {
    let given = flags(&[("config", "/nowhere/x.toml"), ("cores", "999")]);
    let errors = load_from(&given, std::iter::empty()).expect_err("no such file");
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("--config: cannot read \"/nowhere/x.toml\": No such file"), "{texts:?}");
    assert!(texts[1].starts_with("--cores: \"999\" is too large"), "{texts:?}");
}

#[test]
fn variables_of_others_may_be_anything() {
    let broken = || OsString::from_vec(vec![0xff, 0xfe]);
    let others = [(broken(), OsString::from("x")), (OsString::from("LANG"), broken())];
    assert_eq!(load_from(&[], others.into_iter()), Ok(Config::default()));
    let ours = [(OsString::from("PUSHLETD_LISTEN"), broken())];
    let errors = load_from(&[], ours.into_iter()).expect_err("not UTF-8");
    assert_eq!(errors[0].to_string(), "PUSHLETD_LISTEN: the value is not UTF-8");
}

#[test]
fn check_config_reads_only_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = directory.path().join("good.toml");
    std::fs::write(&good, "cores = 1\n").expect("a file");
    assert_eq!(check_config(&good).map(|config| config.cores.value), Ok(Some(1)));
    let bad = directory.path().join("bad.toml");
    std::fs::write(&bad, "cores = 0\nbogus = 1\n").expect("a file");
    assert_eq!(check_config(&bad).map_err(|errors| errors.len()), Err(2));
    let missing = check_config(&directory.path().join("missing.toml")).expect_err("no file");
    assert!(missing[0].to_string().starts_with("cannot read "), "{missing:?}");
}

/// Files of secrets are found beside the file that names them, and what is no file is not waited for.
#[test]
fn files_of_secrets_are_read_with_the_file_that_names_them() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let secret = "a-secret-for-this-test";
    std::fs::write(at("a.key"), format!("{secret}\n")).expect("a file");
    std::fs::set_permissions(at("a.key"), std::fs::Permissions::from_mode(0o640)).expect("our own file");
    std::fs::create_dir(at("folder")).expect("a directory");
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).expect("a pipe");
    std::fs::write(at("large"), vec![b'#'; KEY_FILE_BYTES_MAX + 1]).expect("a file");
    let path = at("x.toml");
    let judge = |file: &str| {
        std::fs::write(&path, format!("[[key]]\nname = \"a\"\nfile = \"{file}\"\n")).expect("a file");
        let named = flags(&[("config", path.to_str().expect("UTF-8"))]);
        let loaded = load_from(&named, std::iter::empty());
        assert_eq!(loaded.is_ok(), check_config(&path).is_ok(), "{file}");
        loaded
    };
    let config = judge("a.key").expect("a good key");
    assert_eq!(config.keys[0].secrets[0].expose(), secret.as_bytes());
    assert!(config.warnings().iter().any(|warning| warning.contains("0640")), "{:?}", config.warnings());
    for (file, words) in [
        ("none.key", "cannot be read: No such file"),
        ("folder", "cannot be read: it is no regular file"),
        ("pipe", "cannot be read: it is no regular file"),
        ("large", "is too large; allowed: 65536 bytes"),
        ("x.toml", "line 1: a secret"),
    ] {
        let errors = judge(file).expect_err(file);
        let told = errors[0].to_string();
        assert!(told.starts_with(&format!("{}:3: key.file: ", path.display())) && told.contains(words), "{told}");
    }
}
