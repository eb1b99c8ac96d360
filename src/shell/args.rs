//! The command line, and the reading of what configuration is made of.
//!
//! Texts of flags go to [`crate::config`] as they are, so that a wrong value is reported the same way wherever it came from.
//! The flags themselves are made from the table of settings there: a setting, its flag and its help cannot drift apart.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::bench::{self, BenchArgs};
use super::client::key::KEY_VARIABLE;
use super::client::transport::Transport;
use super::client::{PubArgs, SubArgs};
use crate::config::{self, Config, ConfigError, ENV_PREFIX, FileText, Inputs, KeyFile, KeyText, Origin};
use crate::limits::KEY_FILE_BYTES_MAX;
use crate::protocol::Format;

/// Longest file of settings, in bytes: thousands of tables.
const CONFIG_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run the server. The inputs hold the flags only; [`load`] adds the rest.
    Serve(Inputs),
    /// Print every setting with its origin. The inputs hold the flags only; [`load`] adds the rest.
    PrintConfig(Inputs),
    /// Check one file and nothing else.
    CheckConfig(PathBuf),
    /// Print events as they come.
    Sub(SubArgs),
    /// Publish events.
    Pub(PubArgs),
    /// Load a server and measure.
    Bench(Box<BenchArgs>),
}

/// Reads the command line. `args` begins with the name of the program.
///
/// # Errors
///
/// Also `--help` and `--version` are errors to `clap`: [`clap::Error::exit`] prints all of them where they belong and ends with the right code.
pub fn parse<I>(args: I) -> Result<Action, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let mut command = command();
    let matches = command.try_get_matches_from_mut(args)?;
    match matches.subcommand() {
        None => Ok(Action::Serve(inputs(&matches))),
        Some(("serve", matches)) => Ok(Action::Serve(inputs(matches))),
        Some(("print-config", matches)) => Ok(Action::PrintConfig(inputs(matches))),
        Some(("check-config", matches)) => {
            Ok(Action::CheckConfig(matches.get_one::<PathBuf>("file").cloned().unwrap_or_default()))
        }
        Some(("sub", matches)) => Ok(Action::Sub(sub_args(matches))),
        Some(("pub", matches)) => Ok(Action::Pub(pub_args(matches))),
        Some(("bench", matches)) => Ok(Action::Bench(Box::new(bench::options::read(matches)))),
        Some((other, _)) => {
            Err(command.error(clap::error::ErrorKind::InvalidSubcommand, format!("no command {other}")))
        }
    }
}

/// Makes the configuration of `inputs`' flags, this process's environment and the file that they name.
///
/// # Errors
///
/// All that is wrong with any of them; never empty.
pub fn load(inputs: &Inputs) -> Result<Config, Vec<ConfigError>> {
    load_from(&inputs.flags, std::env::vars_os())
}

/// Checks one file by itself: no flags, no environment.
///
/// # Errors
///
/// All that is wrong with it; never empty.
pub fn check_config(path: &Path) -> Result<Config, Vec<ConfigError>> {
    let shown = path.display().to_string();
    let file = read(path, &shown, Origin::Default).map_err(|error| vec![error])?;
    let key_files = read_key_files(Some(&file));
    config::load(&Inputs { file: Some(file), key_files, ..Inputs::default() })
}

fn load_from(
    flags: &[(String, String)],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut environment = Vec::new();
    for (name, text) in variables {
        // Names and texts of other programs' variables may be anything; the terminal tools have one of their own.
        let ours = |name: &&str| name.starts_with(ENV_PREFIX) && *name != KEY_VARIABLE;
        let Some(name) = name.to_str().filter(ours) else { continue };
        match text.into_string() {
            Ok(text) => environment.push((name.to_owned(), text)),
            Err(_) => errors.push(ConfigError {
                origin: Origin::Environment(name.to_owned()),
                key: String::new(),
                problem: "the value is not UTF-8".to_owned(),
            }),
        }
    }
    let file = match config::file_path(flags, &environment) {
        Some(path) => read(Path::new(&path.value), &path.value, path.origin).map_err(|error| errors.push(error)).ok(),
        None => None,
    };
    let key_files = read_key_files(file.as_ref());
    match config::load(&Inputs { flags: flags.to_vec(), environment, file, key_files }) {
        Ok(config) if errors.is_empty() => Ok(config),
        Ok(_) => Err(errors),
        Err(others) => {
            errors.extend(others);
            Err(errors)
        }
    }
}

fn read(path: &Path, shown: &str, origin: Origin) -> Result<FileText, ConfigError> {
    let mut text = String::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(CONFIG_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > CONFIG_FILE_BYTES_MAX => {
            let problem = format!("{shown:?} has more than {CONFIG_FILE_BYTES_MAX} bytes");
            Err(ConfigError { origin, key: String::new(), problem })
        }
        Ok(_) => Ok(FileText { path: shown.to_owned(), text }),
        Err(error) => {
            Err(ConfigError { origin, key: String::new(), problem: format!("cannot read {shown:?}: {error}") })
        }
    }
}

/// Reads the files of secrets that `file` names. What is wrong with one is told with the key that names it.
fn read_key_files(file: Option<&FileText>) -> Vec<KeyFile> {
    let paths = file.map(config::key_paths).unwrap_or_default();
    let read = |path: String| {
        let content = read_key_file(Path::new(&path)).map_err(|error| error.to_string());
        KeyFile { path, content }
    };
    paths.into_iter().map(read).collect()
}

fn read_key_file(path: &Path) -> io::Result<KeyText> {
    // A pipe would make the start, or the next reload, wait for whoever writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let file = std::fs::File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(KEY_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(KeyText { bytes, mode })
}

fn command() -> Command {
    let serve = || {
        settings_flags(Command::new("serve"))
            .about("Run the server (what happens without a command)")
            .after_help(LAYERS)
    };
    settings_flags(Command::new("pushletd"))
        .bin_name("pushletd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A server-push server that speaks the Pushlet protocol")
        .args_conflicts_with_subcommands(true)
        .after_help(format!("{LAYERS}\n\n{TRY}"))
        .subcommand(serve())
        .subcommand(sub_command())
        .subcommand(pub_command())
        .subcommand(bench::options::command())
        .subcommand(
            Command::new("check-config")
                .about("Check a file of settings and say everything that is wrong with it")
                .arg(
                    Arg::new("file")
                        .value_name("FILE")
                        .required(true)
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("The file; flags and environment are left aside"),
                ),
        )
        .subcommand(
            settings_flags(Command::new("print-config"))
                .about("Print every setting, its value and where the value came from, as a file of settings")
                .after_help(LAYERS),
        )
}

const LAYERS: &str = "\
Each flag can be given as an environment variable (--queue-size as PUSHLETD_QUEUE_SIZE) or as a line of the
file that --config names (queue_size = 256). A flag overrules a variable, a variable overrules the file.
The tables of the file ([pushlet], [http], [[key]], [[access]] and so on) have no flags; `pushletd print-config`
shows them all.";

const TRY: &str = "\
Try:
  pushletd                                                      serve on 127.0.0.1:8080
  pushletd sub http://127.0.0.1:8080/pushlet.srv /chat          print what is said about /chat
  pushletd pub http://127.0.0.1:8080/pushlet.srv /chat hi=you   say something there
  pushletd sub --transport sse http://127.0.0.1:8080/ '/chat/*' the same by Server-Sent Events, with patterns
  pushletd sub --transport ws ws://127.0.0.1:8080/ '/chat/**'    the same by WebSocket
  pushletd pub http://127.0.0.1:8080/ /chat --json '[1]'          publish JSON
  pushletd print-config > pushletd.toml                         begin a file of settings";

/// One flag for every setting at the top of the file.
fn settings_flags(command: Command) -> Command {
    let lines = Config::default().lines();
    lines.into_iter().fold(command, |command, line| {
        let Some(name) = line.key.flag_name() else { return command };
        let mut help = format!("{}.\nAllowed: {}", line.help, line.allowed);
        if line.key.in_file() {
            help.push_str(&format!("\nDefault: {}", line.value.trim_matches('"')));
        }
        let flag = Arg::new(name).long(name).value_name(line.placeholder).help(help);
        command.arg(if line.value == "false" || line.value == "true" {
            flag.num_args(0..=1).require_equals(true).default_missing_value("true")
        } else {
            flag
        })
    })
}

fn inputs(matches: &ArgMatches) -> Inputs {
    let lines = Config::default().lines();
    let names = lines.iter().filter_map(|line| line.key.flag_name());
    let given = names.filter_map(|name| Some((name.to_owned(), matches.get_one::<String>(name)?.clone())));
    Inputs { flags: given.collect(), ..Inputs::default() }
}

fn url_arg() -> Arg {
    Arg::new("url").value_name("URL").required(true).help("The server, such as http://127.0.0.1:8080/pushlet.srv")
}

fn quiet_arg() -> Arg {
    Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("Show no counts on standard error")
}

fn key_arg() -> Arg {
    let help = format!("File with the secret to present; without it the variable {KEY_VARIABLE} is looked for");
    Arg::new("key").long("key").value_name("FILE").help(help)
}

fn sub_command() -> Command {
    let choice = |name: &'static str, values: Vec<&'static str>, default: &'static str, help: &'static str| {
        let values = PossibleValuesParser::new(values);
        Arg::new(name).long(name).value_name("WORD").default_value(default).value_parser(values).help(help)
    };
    let transports = Transport::ALL.map(Transport::name).to_vec();
    let formats = [Format::XmlStrict, Format::Xml, Format::Json].map(Format::name).to_vec();
    Command::new("sub")
        .about("Print events as they come; progress and counts go to standard error")
        .arg(url_arg())
        .arg(
            Arg::new("subject")
                .value_name("SUBJECT")
                .required(true)
                .action(ArgAction::Append)
                .num_args(1..)
                .help(
                    "Beginnings of the subjects to listen to (/ is all that begin with a slash); with sse, poll and ws whole subjects, \
                     or patterns with * for one segment and ** for the rest",
                ),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("WORD")
                .value_parser(PossibleValuesParser::new(formats))
                .help("How the Pushlet door writes events; json is understood by pushletd only [default: xml-strict]"),
        )
        .arg(choice(
            "transport",
            transports,
            "stream",
            "How events travel: by the Pushlet door in one answer without end, in answers that wait for events, or (pushlet-poll) in \
             answers at once; by /v1/sse as Server-Sent Events; by /v1/poll; by /v1/ws as WebSocket",
        ))
        .arg(choice(
            "output",
            vec!["text", "json"],
            "text",
            "How events are printed: SUBJECT NAME=VALUE ..., or an object a line",
        ))
        .arg(
            Arg::new("count")
                .long("count")
                .short('n')
                .value_name("N")
                .value_parser(clap::value_parser!(u64).range(1..))
                .help("End after so many events"),
        )
        .arg(
            Arg::new("label")
                .long("label")
                .value_name("TEXT")
                .help("Label of the subscriptions; it comes back in their events (Pushlet door only)"),
        )
        .arg(key_arg())
        .arg(quiet_arg())
}

fn pub_command() -> Command {
    Command::new("pub")
        .about("Publish one event, or one for each line of standard input")
        .arg(url_arg())
        .arg(Arg::new("subject").value_name("SUBJECT").required(true).help("What the event is about, such as /chat"))
        .arg(
            Arg::new("field")
                .value_name("NAME=VALUE")
                .required_unless_present("json")
                .conflicts_with("json")
                .num_args(1..)
                .help("The fields of one event, or - alone to read lines"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .value_name("TEXT")
                .allow_hyphen_values(true)
                .help("JSON of any kind as the data of one event, or - to read a line for each (http and ws only)"),
        )
        .arg(
            Arg::new("transport")
                .long("transport")
                .value_name("WORD")
                .value_parser(PossibleValuesParser::new(["pushlet", "http", "ws"]))
                .help("By the Pushlet door, which every Pushlet server has, by /v1/publish, or by /v1/ws [default: pushlet; http where that cannot do it]"),
        )
        .arg(Arg::new("event").long("event").value_name("NAME").help("What the events are called (http and ws only)"))
        .arg(
            Arg::new("idempotency-key")
                .long("idempotency-key")
                .value_name("KEY")
                .help("The same event with the same key is published once within 5 minutes, however often it is sent (http only)"),
        )
        .arg(Arg::new("to").long("to").value_name("ADDRESS").help("Only for the session with this address (p_from of its events)"))
        .arg(key_arg())
        .arg(quiet_arg())
        .after_help(
            "With - each line of standard input is one event: NAME=VALUE words, quoted as `sub` prints them, or a JSON object.\n\
             Empty lines are skipped. What an object holds stays as it is by http and ws, and becomes texts by the Pushlet door.",
        )
}

fn texts(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).unwrap_or_default().cloned().collect()
}

fn text(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
}

fn sub_args(matches: &ArgMatches) -> SubArgs {
    SubArgs {
        url: text(matches, "url"),
        subjects: texts(matches, "subject"),
        format: text(matches, "format"),
        transport: text(matches, "transport"),
        output: text(matches, "output"),
        count: matches.get_one("count").copied(),
        quiet: matches.get_flag("quiet"),
        label: matches.get_one("label").cloned(),
        key: matches.get_one("key").cloned(),
    }
}

fn pub_args(matches: &ArgMatches) -> PubArgs {
    PubArgs {
        url: text(matches, "url"),
        subject: text(matches, "subject"),
        fields: texts(matches, "field"),
        json: matches.get_one("json").cloned(),
        transport: text(matches, "transport"),
        event: matches.get_one("event").cloned(),
        idempotency_key: matches.get_one("idempotency-key").cloned(),
        to: matches.get_one("to").cloned(),
        key: matches.get_one("key").cloned(),
        quiet: matches.get_flag("quiet"),
    }
}

#[cfg(test)]
mod tests;
