//! The command line, and the reading of what configuration is made of.
//!
//! Texts of flags go to [`crate::config`] as they are, so that a wrong value is reported the same way wherever it came from.
//! The flags themselves are made from the table of settings there: a setting, its flag and its help cannot drift apart.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{self, Config, ConfigError, ENV_PREFIX, FileText, Inputs, Origin};
use crate::protocol::{Format, Mode};

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// What to listen to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubArgs {
    /// The server's `http://` address, with or without a path.
    pub url: String,
    /// Subject prefixes; at least one, each may be a comma list.
    pub subjects: Vec<String>,
    /// How the server shall write events.
    pub format: Format,
    /// How events shall travel.
    pub transport: Mode,
}

/// What to publish, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubArgs {
    /// The server's `http://` address, with or without a path.
    pub url: String,
    /// The subject of every event.
    pub subject: String,
    /// Where the events' fields come from.
    pub source: PubSource,
}

/// Where the fields of published events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PubSource {
    /// One event with these fields, in this order; at least one, no name is empty.
    Fields(Vec<(String, String)>),
    /// One event for each line of standard input.
    StandardInput,
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
        Some(("pub", matches)) => pub_args(matches)
            .map(Action::Pub)
            .map_err(|problem| command.error(clap::error::ErrorKind::ValueValidation, problem)),
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
    config::load(&Inputs { file: Some(file), ..Inputs::default() })
}

fn load_from(
    flags: &[(String, String)],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut environment = Vec::new();
    for (name, text) in variables {
        // Names and texts of other programs' variables may be anything.
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { continue };
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
    match config::load(&Inputs { flags: flags.to_vec(), environment, file }) {
        Ok(config) if errors.is_empty() => Ok(config),
        Ok(_) => Err(errors),
        Err(others) => {
            errors.extend(others);
            Err(errors)
        }
    }
}

fn read(path: &Path, shown: &str, origin: Origin) -> Result<FileText, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(FileText { path: shown.to_owned(), text }),
        Err(error) => {
            Err(ConfigError { origin, key: String::new(), problem: format!("cannot read {shown:?}: {error}") })
        }
    }
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
The tables [pushlet] and [http] of the file have no flags; `pushletd print-config` shows them all.";

const TRY: &str = "\
Try:
  pushletd                                                      serve on 127.0.0.1:8080
  pushletd sub http://127.0.0.1:8080/pushlet.srv /chat          print what is said about /chat
  pushletd pub http://127.0.0.1:8080/pushlet.srv /chat hi=you   say something there
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
    Arg::new("url")
        .value_name("URL")
        .required(true)
        .value_parser(read_url)
        .help("The server, such as http://127.0.0.1:8080/pushlet.srv")
}

fn read_url(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix("http://") {
        Some(rest) if !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']) => Ok(text.to_owned()),
        Some(_) => Err("no host behind http://"),
        None if text.starts_with("https://") => Err("https is not supported; write http://HOST:PORT/..."),
        None => Err("an address begins with http://"),
    }
}

fn sub_command() -> Command {
    let format = PossibleValuesParser::new(Format::ALL.map(Format::name))
        .try_map(|name| Format::from_name(&name).ok_or("no such format"));
    let modes = [Mode::Stream, Mode::Pull, Mode::Poll].map(Mode::name);
    let mode = PossibleValuesParser::new(modes).try_map(|name| Mode::from_name(&name).ok_or("no such transport"));
    Command::new("sub")
        .about("Print events as they come; progress and counts go to standard error")
        .arg(url_arg())
        .arg(
            Arg::new("subject")
                .value_name("SUBJECT")
                .required(true)
                .action(ArgAction::Append)
                .num_args(1..)
                .help("Beginnings of the subjects to listen to; / is all that begin with a slash"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .default_value("json")
                .value_parser(format)
                .help("How the server writes events"),
        )
        .arg(
            Arg::new("transport")
                .long("transport")
                .value_name("MODE")
                .default_value("stream")
                .value_parser(mode)
                .help("How events travel: one answer without end, answers that wait for events, or answers at once"),
        )
}

fn pub_command() -> Command {
    Command::new("pub")
        .about("Publish one event, or one for each line of standard input")
        .arg(url_arg())
        .arg(Arg::new("subject").value_name("SUBJECT").required(true).help("What the event is about, such as /chat"))
        .arg(
            Arg::new("field")
                .value_name("NAME=VALUE")
                .required(true)
                .num_args(1..)
                .help("The fields of one event, or - alone to read lines"),
        )
        .after_help(
            "With - each line of standard input is one event: NAME=VALUE fields with tabs between them, or with blanks if\n\
             the line has no tab. Empty lines are skipped.",
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
        format: matches.get_one("format").copied().unwrap_or(Format::Json),
        transport: matches.get_one("transport").copied().unwrap_or_default(),
    }
}

fn pub_args(matches: &ArgMatches) -> Result<PubArgs, String> {
    let fields = texts(matches, "field");
    let source = if fields == ["-"] {
        PubSource::StandardInput
    } else {
        PubSource::Fields(fields.iter().map(|field| read_field(field)).collect::<Result<_, _>>()?)
    };
    Ok(PubArgs { url: text(matches, "url"), subject: text(matches, "subject"), source })
}

/// The fields of one line of standard input: separated by tabs, so that values may hold blanks, or by blanks if there is no tab.
/// An empty line has none.
///
/// # Errors
///
/// Which part of the line is not `NAME=VALUE`.
pub fn line_fields(line: &str) -> Result<Vec<(String, String)>, String> {
    let separator = |letter: char| if line.contains('\t') { letter == '\t' } else { letter.is_whitespace() };
    let line = line.trim_end_matches(['\r', '\n']);
    line.split(separator).filter(|field| !field.trim().is_empty()).map(read_field).collect()
}

fn read_field(field: &str) -> Result<(String, String), String> {
    match field.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ if field == "-" => Err("- stands alone: fields come from the command line or from standard input".to_owned()),
        _ => Err(format!("{field:?} is not NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests;
