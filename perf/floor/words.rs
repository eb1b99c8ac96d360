//! The words of the command line.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::sending::Way;

/// How the sessions of a side listen and how it is published to, in the words of `pushletd bench`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Door {
    pub(crate) dialect: Option<String>,
    pub(crate) publish_url: Option<String>,
    pub(crate) transport: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) publish: Option<String>,
}

impl Door {
    /// The words that `pushletd bench` understands.
    pub(crate) fn words(&self) -> Vec<&str> {
        let all = [
            ("--dialect", &self.dialect),
            ("--publish-url", &self.publish_url),
            ("--transport", &self.transport),
            ("--format", &self.format),
            ("--publish", &self.publish),
        ];
        all.into_iter().filter_map(|(name, word)| Some([name, word.as_deref()?])).flatten().collect()
    }

    /// What tells it from others.
    fn name(&self) -> String {
        let word = [&self.dialect, &self.transport].into_iter().flatten().find(|word| *word != "pushlet");
        word.map_or_else(|| "stream".to_owned(), Clone::clone)
    }
}

/// Who is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The floor, which is started for it.
    Floor(Way),
    /// A server that runs.
    Server { url: String, pids: Vec<u32>, door: Door },
}

/// One of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SideWords {
    pub(crate) name: String,
    pub(crate) who: Who,
}

/// A pair, and what is done to both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PairWords {
    pub(crate) one: SideWords,
    pub(crate) other: SideWords,
    /// What `pushletd bench` is told for both.
    pub(crate) load: Vec<String>,
    pub(crate) sessions: u32,
    pub(crate) subjects: u32,
    pub(crate) events: u32,
    pub(crate) rounds: u32,
    /// Bytes of a delivery of the floor, if that does not follow from a server.
    pub(crate) bytes: usize,
    pub(crate) batch: u32,
    /// The processors that the floor is bound to; none: it is not bound.
    pub(crate) cpus: Vec<u32>,
    pub(crate) json: bool,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Be the floor.
    Listen { address: String, bytes: usize, way: Way, batch: u32, cpus: Vec<u32>, parent: Option<u32> },
    /// Compare two.
    Pair(Box<PairWords>),
}

/// One above the highest processor that the kernel takes from us.
const CPUS_MAX: u32 = 1024;

/// Heading of the words that are for both sides and those for one.
const ONE: &str = "One side";
const OTHER: &str = "The other side";
const BOTH: &str = "Both";

/// Name, value, help. A default in the words of `pushletd bench` is not repeated here.
const ONE_WORDS: [(&str, &str, &str); 6] = [
    ("dialect", "WORD", "What the server speaks, as for `pushletd bench` [default: pushlet]"),
    ("publish-url", "URL", "Where it is published to, if that is another address"),
    ("transport", "WORD", "How sessions of pushletd listen: stream, sse or ws [default: stream]"),
    ("format", "WORD", "How the Pushlet door writes events [default: json]"),
    ("publish", "WORD", "By which door pushletd is published to: pushlet, http or ws [default: pushlet]"),
    ("name", "TEXT", "What it is called in what is printed"),
];
const OTHER_WORDS: [(&str, &str, &str); 7] = [
    ("against", "WORD", "Sessions of the same server that listen so, or of the one at --against-url"),
    ("against-url", "URL", "Another server"),
    ("against-dialect", "WORD", "What that one speaks [default: pushlet]"),
    ("against-publish-url", "URL", "Where it is published to, if that is another address"),
    ("against-format", "WORD", "How the Pushlet door writes their events [default: json]"),
    ("against-publish", "WORD", "By which door pushletd is published to there [default: as --publish]"),
    ("against-name", "TEXT", "What it is called in what is printed"),
];
const NUMBERS: [(&str, &str, &str); 9] = [
    ("sessions", "1000", "Sessions at each"),
    ("subjects", "1", "Subjects that the sessions are spread over; --sessions is a multiple"),
    ("publishers", "1", "Publishers at each"),
    ("in-flight", "1", "Events under way at each"),
    ("events", "5", "Events a round"),
    ("rounds", "15", "Rounds, of which the median is taken"),
    ("payload", "64", "Bytes of padding in each event"),
    ("threads", "1", "Threads of the load generator at each"),
    ("batch", "256", "Sends that the floor hands to io_uring at once"),
];
/// Those of them that `pushletd bench` knows.
const LOAD: [&str; 6] = ["sessions", "subjects", "publishers", "in-flight", "payload", "threads"];

const ABOUT: &str = "What a delivery costs a server, as a multiple of what a bare program needs that only sends the same bytes, or of what another server needs";

fn word(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    word(name, value, help).value_parser(value_parser!(u32).range(1..))
}

fn command() -> Command {
    let pids = |name, help| number(name, "PID,...", help).value_delimiter(',');
    let cpus =
        word("floor-cpus", "N,...", "Processors that the floor is bound to, as the server should be [default: any]")
            .value_parser(value_parser!(u32).range(..i64::from(CPUS_MAX)))
            .value_delimiter(',');
    let parent =
        number("parent", "PID", "End with this process, which has started it").hide(true).conflicts_with("pair");
    let words = |command: Command, heading, list: &[(&'static str, &'static str, &'static str)]| {
        let args = list.iter().map(|(name, value, help)| word(name, value, help).help_heading(heading));
        command.args(args)
    };
    let command = Command::new("floor")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .arg(
            word("pair", "URL|floor:WAY", "The server at this URL; or floor:send, floor:uring: the floor")
                .help_heading(ONE)
                .required_unless_present("listen"),
        )
        .arg(
            pids("server-pid", "The server's process, whose processor time is read; several: their sum")
                .help_heading(ONE),
        );
    let command = words(command, ONE, &ONE_WORDS)
        .arg(
            word("floor", "WAY", "The floor: send, one call for each connection; uring, in batches by io_uring")
                .help_heading(OTHER)
                .default_value("send")
                .value_parser(PossibleValuesParser::new(Way::ALL.map(Way::name))),
        )
        .arg(pids("against-pid", "Its process, or several").help_heading(OTHER).requires("against-url"));
    let command = words(command, OTHER, &OTHER_WORDS)
        .mut_arg("against-url", |arg| arg.requires("against-pid"))
        .mut_arg("against-dialect", |arg| arg.requires("against-url"))
        .mut_arg("against-publish-url", |arg| arg.requires("against-url"));
    NUMBERS
        .into_iter()
        .fold(command, |command, (name, default, help)| {
            command.arg(number(name, "N", help).help_heading(BOTH).default_value(default))
        })
        .args([cpus.help_heading(BOTH), parent])
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help_heading(BOTH)
                .help("Print one JSON object instead of lines"),
        )
        .arg(
            word("listen", "ADDRESS", "Only be the floor, at this address; --pair starts one by itself")
                .conflicts_with_all(["pair", "json"]),
        )
        .arg(
            number(
                "bytes",
                "N",
                "Bytes of a delivery of the floor, framing included; in a pair with a server, as many as that sends",
            )
            .default_value("190"),
        )
}

/// Reads the words.
///
/// # Errors
///
/// What makes no sense, or the help that was asked for; to be printed.
pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Words, clap::Error> {
    let matches = command().try_get_matches_from(std::iter::once("floor".to_owned()).chain(words))?;
    let number = |name: &str| matches.get_one::<u32>(name).copied().unwrap_or(1);
    let way = Way::from_name(&text(&matches, "floor").unwrap_or_default()).unwrap_or_default();
    let (bytes, batch) = (number("bytes") as usize, number("batch"));
    let cpus = numbers(&matches, "floor-cpus");
    if let Some(address) = text(&matches, "listen") {
        let parent = matches.get_one("parent").copied();
        return Ok(Words::Listen { address, bytes, way, batch, cpus, parent });
    }
    let (one, other) = (one(&matches)?, other(&matches, way)?);
    Ok(Words::Pair(Box::new(PairWords {
        one,
        other,
        load: LOAD.into_iter().flat_map(|name| [format!("--{name}"), number(name).to_string()]).collect(),
        sessions: number("sessions"),
        subjects: number("subjects"),
        events: number("events"),
        rounds: number("rounds"),
        bytes,
        batch,
        cpus,
        json: matches.get_flag("json"),
    })))
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

fn numbers(matches: &ArgMatches, name: &str) -> Vec<u32> {
    matches.get_many(name).into_iter().flatten().copied().collect()
}

fn wrong(what: &str) -> clap::Error {
    command().error(clap::error::ErrorKind::MissingRequiredArgument, what)
}

fn one(matches: &ArgMatches) -> Result<SideWords, clap::Error> {
    let url = text(matches, "pair").unwrap_or_default();
    let (who, usual) = match url.strip_prefix("floor:") {
        Some(way) => {
            let way = Way::from_name(way).ok_or_else(|| wrong("--pair floor:WAY: the ways are send and uring"))?;
            (Who::Floor(way), way.title())
        }
        None => {
            let text = |name| text(matches, name);
            let door = Door {
                dialect: text("dialect"),
                publish_url: text("publish-url"),
                transport: text("transport"),
                format: text("format"),
                publish: text("publish"),
            };
            let pids = numbers(matches, "server-pid");
            if pids.is_empty() {
                return Err(wrong("--pair URL wants --server-pid"));
            }
            let name = door.name();
            (Who::Server { url, pids, door }, name)
        }
    };
    Ok(SideWords { name: text(matches, "name").unwrap_or(usual), who })
}

fn other(matches: &ArgMatches, way: Way) -> Result<SideWords, clap::Error> {
    let given = |name| text(matches, name);
    let (transport, url) = (given("against"), given("against-url"));
    let (who, usual) = if transport.is_none() && url.is_none() {
        (Who::Floor(way), way.title())
    } else {
        let dialect = given("against-dialect");
        // Another dialect has one way to be published to.
        let publish = given("against-publish")
            .or_else(|| given("publish").filter(|_| dialect.as_deref().is_none_or(|word| word == "pushlet")));
        let door = Door {
            dialect,
            publish_url: given("against-publish-url"),
            transport,
            format: given("against-format"),
            publish,
        };
        let name = door.name();
        let (url, pids) = match url {
            Some(url) => (url, numbers(matches, "against-pid")),
            None => (given("pair").unwrap_or_default(), numbers(matches, "server-pid")),
        };
        if pids.is_empty() {
            return Err(wrong("--against wants a server: --pair URL or --against-url URL"));
        }
        (Who::Server { url, pids, door }, name)
    };
    Ok(SideWords { name: given("against-name").unwrap_or(usual), who })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &str) -> Result<Words, String> {
        read(words.split(' ').map(str::to_owned)).map_err(|error| error.to_string())
    }

    fn pair(words: &str) -> PairWords {
        match read_words(words) {
            Ok(Words::Pair(pair)) => *pair,
            other => panic!("{words}: {other:?}"),
        }
    }

    fn server(side: &SideWords) -> (&str, &[u32], Vec<&str>) {
        match &side.who {
            Who::Server { url, pids, door } => (url, pids, door.words()),
            Who::Floor(way) => panic!("{way:?}"),
        }
    }

    #[test]
    fn a_server_is_compared_with_the_floor() {
        let words = pair("--pair http://h/ --server-pid 1,2 --transport sse --publish http");
        let door = vec!["--transport", "sse", "--publish", "http"];
        assert_eq!(server(&words.one), ("http://h/", [1, 2].as_slice(), door));
        assert_eq!((words.one.name.as_str(), words.other.name.as_str()), ("sse", "floor send"));
        assert_eq!(words.other.who, Who::Floor(Way::Send));
        assert_eq!((words.sessions, words.subjects, words.events, words.rounds), (1000, 1, 5, 15));
        let words = pair("--pair floor:uring --floor send --name one --against-name two");
        assert_eq!((&words.one.who, &words.other.who), (&Who::Floor(Way::Uring), &Who::Floor(Way::Send)));
        assert_eq!((words.one.name.as_str(), words.other.name.as_str()), ("one", "two"));
        assert!(words.cpus.is_empty());
        assert_eq!(pair("--pair floor:send --floor-cpus 1,3").cpus, [1, 3]);
    }

    #[test]
    fn two_ways_to_listen_are_of_one_server() {
        let words = pair("--pair h --server-pid 1 --publish ws --transport ws --against stream --against-format xml");
        let door = vec!["--transport", "stream", "--format", "xml", "--publish", "ws"];
        assert_eq!(server(&words.other), ("h", [1].as_slice(), door));
        assert_eq!(words.other.name, "stream");
    }

    #[test]
    fn another_server_has_its_own_words() {
        let words = pair(
            "--pair h --server-pid 1 --publish http --against-url g --against-pid 2,3 --against-dialect pushpin --against-publish-url f",
        );
        let door = vec!["--dialect", "pushpin", "--publish-url", "f"];
        assert_eq!(server(&words.other), ("g", [2, 3].as_slice(), door));
        assert_eq!(words.other.name, "pushpin");
        let words = pair("--pair h --server-pid 1 --publish http --against-url g --against-pid 2 --against sse");
        assert_eq!(server(&words.other), ("g", [2].as_slice(), vec!["--transport", "sse", "--publish", "http"]));
        let words = pair("--pair h --server-pid 1 --dialect uws --floor uring");
        assert_eq!(server(&words.one).2, ["--dialect", "uws"]);
        assert_eq!((words.one.name.as_str(), words.other.name.as_str()), ("uws", "floor uring"));
    }

    #[test]
    fn one_may_only_be_the_floor() {
        let listen = |words| read_words(words).expect("they make sense");
        let (address, way) = ("127.0.0.1:0".to_owned(), Way::Uring);
        assert_eq!(
            listen("--listen 127.0.0.1:0 --floor uring --bytes 100 --batch 32 --floor-cpus 0,2 --parent 7"),
            Words::Listen { address: address.clone(), bytes: 100, way, batch: 32, cpus: vec![0, 2], parent: Some(7) }
        );
        let (way, cpus) = (Way::Send, Vec::new());
        let usual = Words::Listen { address, bytes: 190, way, batch: 256, cpus, parent: None };
        assert_eq!(listen("--listen 127.0.0.1:0"), usual);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (words, said) in [
            ("--json", "--pair"),
            ("--pair h", "--server-pid"),
            ("--pair h --server-pid 0", "--server-pid"),
            ("--pair h --server-pid 1,x", "--server-pid"),
            ("--pair floor:sendfile", "uring"),
            ("--pair floor:send --against sse", "--against-url"),
            ("--pair h --server-pid 1 --floor x", "uring"),
            ("--pair h --server-pid 1 --against-url g", "--against-pid"),
            ("--pair h --server-pid 1 --against-pid 2", "--against-url"),
            ("--pair h --server-pid 1 --against-dialect uws", "--against-url"),
            ("--pair h --server-pid 1 --rounds 0", "--rounds"),
            ("--listen a --pair h", "--pair"),
            ("--pair floor:send --floor-cpus x", "--floor-cpus"),
            ("--pair floor:send --floor-cpus 1024", "--floor-cpus"),
            ("--pair floor:send --parent 1", "--parent"),
        ] {
            let error = read_words(words).expect_err(words);
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
