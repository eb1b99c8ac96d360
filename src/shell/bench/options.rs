//! The words behind `pushletd bench`, and what they come to.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::dialect::Dialect;
use super::marker::LANES_MAX;
use crate::protocol::{Format, Mode};
use crate::shell::client::key::{KEY_VARIABLE, Key};
use crate::shell::client::target::Target;
use crate::shell::client::transport::Transport;

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Many subscribers, each event for all that are on its subject.
    FanOut,
    /// Each event for one session, by its address (rule P-23).
    Unicast,
    /// Sessions come, get a few events and go.
    Churn,
    /// Sessions are opened and held.
    Idle,
    /// As fan-out, at a low rate, to see the times.
    Latency,
    /// All of it at the same time.
    Mixed,
}

impl Scenario {
    const ALL: [Self; 6] = [Self::FanOut, Self::Unicast, Self::Churn, Self::Idle, Self::Latency, Self::Mixed];

    /// Its name on the command line and in what is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FanOut => "fan-out",
            Self::Unicast => "unicast",
            Self::Churn => "churn",
            Self::Idle => "idle",
            Self::Latency => "latency",
            Self::Mixed => "mixed",
        }
    }
}

/// When a publish of the closed loop is over, and the next one may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The server has answered.
    Acked,
    /// Everyone has the event.
    Delivered,
}

/// By which door events are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posting {
    /// The Pushlet door, each publisher with a session.
    Pushlet,
    /// `/v1/publish`, without one.
    Http,
    /// `/v1/ws`, each publisher with a connection and session of its own.
    WebSocket,
}

impl Posting {
    /// All of them, the usual one first.
    pub const ALL: [Self; 3] = [Self::Pushlet, Self::Http, Self::WebSocket];

    /// Its name on the command line and in what is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pushlet => "pushlet",
            Self::Http => "http",
            Self::WebSocket => "ws",
        }
    }
}

/// Everything that can be said to `pushletd bench`.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchArgs {
    /// Where the server is, as for `sub`.
    pub url: String,
    /// Where events are published, if that is another address.
    pub publish_url: Option<String>,
    /// How the server is spoken to. The next four are of [`Dialect::Pushlet`] only.
    pub dialect: Dialect,
    /// What is done.
    pub scenario: Scenario,
    /// How events travel.
    pub transport: Transport,
    /// How the Pushlet door writes them.
    pub format: Format,
    /// How they are published.
    pub posting: Posting,
    /// The file with the secret to present; without it the environment is looked at.
    pub key: Option<String>,
    /// Subscribers.
    pub sessions: u32,
    /// Publishers. 0 publishes nothing.
    pub publishers: u32,
    /// Subjects that subscribers and publishers are spread over.
    pub subjects: u32,
    /// Bytes of padding in each event.
    pub payload_bytes: usize,
    /// Events a second, all publishers together; 0 is the closed loop.
    pub rate: f64,
    /// Publishes under way in the closed loop, all publishers together.
    pub in_flight: u32,
    /// When one of those is over.
    pub completion: Completion,
    /// Publishes that one publisher connection may have without an answer.
    pub pipeline: u32,
    /// Threads.
    pub threads: u32,
    /// Time before the measurement.
    pub warmup: Duration,
    /// Time of the measurement, if `events` does not end it.
    pub duration: Duration,
    /// Events to be published in the measurement.
    pub events: Option<u64>,
    /// How long nothing may arrive before what is missing counts as lost.
    pub drain: Duration,
    /// Local addresses to connect from; 0 is as many as are needed.
    pub source_addresses: u32,
    /// Subscribers that may be opening at the same time.
    pub connecting: u32,
    /// Subscribers opened a second at most; 0 is no bound.
    pub open_rate: f64,
    /// How often opening one is tried again.
    pub retries: u32,
    /// Events that a session of the churn waits for.
    pub churn_events: u32,
    /// How long it waits for them.
    pub churn_dwell: Duration,
    /// Shares of the sessions in the mixed scenario: fan-out, unicast, churn, idle.
    pub shares: [u32; 4],
    /// The server's processes, to be watched: what they use is added up.
    pub server_pids: Vec<u32>,
    /// Print JSON instead of a table.
    pub json: bool,
    /// No progress on standard error.
    pub quiet: bool,
    /// End the sessions at the end.
    pub leave: bool,
    /// Words about our own doors that were said, and are not just usual.
    pub(super) door_words: Vec<&'static str>,
}

/// Words that only [`Dialect::Pushlet`] has.
const DOOR_WORDS: [&str; 5] = ["transport", "mode", "publish", "format", "key"];

/// Where a run connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Targets {
    /// Subscribers.
    pub(super) listen: Target,
    /// Publishers.
    pub(super) post: Target,
}

/// Words on the command line: name, value name, default, help.
const NUMBERS: [(&str, &str, &str); 8] = [
    ("sessions", "1000", "Subscribers"),
    ("subjects", "1", "Subjects that subscribers and publishers are spread over"),
    ("payload", "64", "Bytes of padding in each event"),
    ("pipeline", "1", "Publishes without an answer on one publisher's connection"),
    ("threads", "1", "Threads, each with its own connections and its own descriptors"),
    ("connecting", "64", "Subscribers that may be opening at the same time"),
    ("retries", "5", "How often opening a connection is tried again"),
    ("churn-events", "3", "Events that a session of the churn waits for before it goes"),
];

const AFTER: &str = "\
Exit code: 0 all went well; 1 an event was lost, repeated, out of order, or refused and delivered all the same, a stream broke, or somebody
could not be opened; 2 the command line makes no sense, or descriptors are too few. docs/bench.md explains every option and every figure.";

/// The command.
pub(in crate::shell) fn command() -> Command {
    let words = |names: Vec<&'static str>| PossibleValuesParser::new(names);
    let command = Command::new("bench")
        .about("Load a server, account for every delivery, and measure")
        .after_help(AFTER)
        .arg(
            Arg::new("url")
                .value_name("URL")
                .required(true)
                .help("The server, such as http://127.0.0.1:8080/pushlet.srv"),
        )
        .arg(
            Arg::new("scenario")
                .value_name("SCENARIO")
                .default_value("fan-out")
                .value_parser(words(Scenario::ALL.map(Scenario::name).to_vec()))
                .help("What is done"),
        );
    let command = NUMBERS.into_iter().fold(door_flags(command), |command, (name, default, help)| {
        command.arg(long(name, "N", default).value_parser(value_parser!(u32)).help(help))
    });
    loop_flags(command)
        .arg(long("warmup", "SECONDS", "0").value_parser(seconds).help("Time before the measurement begins"))
        .arg(long("duration", "SECONDS", "10").value_parser(seconds).help("Time of the measurement"))
        .arg(plain("events", "N").value_parser(value_parser!(u64).range(1..)).help("End after so many events instead"))
        .arg(
            long("drain", "SECONDS", "15")
                .value_parser(seconds)
                .help("What is missing counts as lost when nothing has arrived for so long"),
        )
        .arg(
            long("source-addresses", "auto|N", "auto")
                .value_parser(addresses)
                .help("Local addresses to connect from, for more than 28,000 connections; auto: as many as are needed, on 127.0.0.0/8"),
        )
        .arg(long("open-rate", "PER_SECOND", "0").value_parser(rate).help("Subscribers opened a second at most; 0: no bound"))
        .arg(
            long("churn-dwell", "SECONDS", "1")
                .value_parser(seconds)
                .help("How long a session of the churn waits for its events"),
        )
        .arg(
            long("shares", "LIST", "fan-out=50,unicast=20,churn=10,idle=20")
                .value_parser(shares)
                .help("Shares of the sessions in the mixed scenario"),
        )
        .arg(
            plain("server-pid", "PID,...")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(value_parser!(u32))
                .help("The server's processes: their CPU time and memory are read, and added up"),
        )
        .arg(flag("json").help("Print one JSON object instead of a table"))
        .arg(flag("quiet").short('q').help("Show no progress on standard error"))
        .arg(flag("no-leave").help("Do not end the sessions at the end; the server finds out"))
}

fn door_flags(command: Command) -> Command {
    let words = |names: Vec<&'static str>| PossibleValuesParser::new(names);
    command
        .arg(
            long("dialect", "WORD", "pushlet")
                .value_parser(words(Dialect::ALL.map(Dialect::name).to_vec()))
                .help("How the server is spoken to: pushlet is ours, the others are those of other servers, to compare"),
        )
        .arg(plain("publish-url", "URL").help("Where to publish, if that is another address [default: URL]"))
        .arg(
            long("transport", "WORD", "stream")
                .value_parser(words(Transport::ALL.map(Transport::name).to_vec()))
                .help("How events travel: stream, pull and pushlet-poll by the Pushlet door, sse, poll and ws by /v1/sse, /v1/poll and /v1/ws"),
        )
        .arg(
            // The word of version 0.1.0.
            plain("mode", "WORD")
                .hide(true)
                .conflicts_with("transport")
                .value_parser(words([Mode::Stream, Mode::Pull, Mode::Poll].map(Mode::name).to_vec())),
        )
        .arg(
            long("format", "WORD", "json")
                .value_parser(words(Format::ALL.map(Format::name).to_vec()))
                .help("How the Pushlet door writes them"),
        )
        .arg(
            long("publish", "WORD", "pushlet")
                .value_parser(words(Posting::ALL.map(Posting::name).to_vec()))
                .help("By which door events are published: pushlet, http for /v1/publish, or ws for /v1/ws"),
        )
        .arg(plain("key", "FILE").help(format!("File with the secret to present; without it the variable {KEY_VARIABLE} is looked for")))
}

fn loop_flags(command: Command) -> Command {
    command
        .arg(plain("publishers", "N").value_parser(value_parser!(u32)).help("Publishers [default: by scenario]"))
        .arg(
            plain("rate", "PER_SECOND")
                .value_parser(rate)
                .help("Events a second, all publishers together; 0 or closed: the closed loop [default: by scenario]"),
        )
        .arg(
            plain("in-flight", "N")
                .value_parser(value_parser!(u32).range(1..))
                .help("Publishes under way in the closed loop, all publishers together [default: one each]"),
        )
        .arg(
            plain("complete", "WORD")
                .value_parser(PossibleValuesParser::new(["acked", "delivered"]))
                .help("When a publish of the closed loop is over [default: delivered; acked in churn and mixed]"),
        )
}

fn plain(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value)
}

fn long(name: &'static str, value: &'static str, default: &'static str) -> Arg {
    plain(name, value).default_value(default)
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.trim_end_matches('s').parse().map_err(|_| "seconds, such as 10 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(number)
        .ok()
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| "0 to 86,400 seconds".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    if text == "closed" {
        return Ok(0.0);
    }
    let number: f64 = text.parse().map_err(|_| "a number a second, such as 100 or 0.5".to_owned())?;
    if (0.0..=1e8).contains(&number) { Ok(number) } else { Err("0 to 100,000,000 a second".to_owned()) }
}

fn addresses(text: &str) -> Result<u32, String> {
    match text {
        "auto" => Ok(0),
        _ => text.parse().ok().filter(|count| (1..=250).contains(count)).ok_or_else(|| "auto, or 1 to 250".to_owned()),
    }
}

fn shares(text: &str) -> Result<[u32; 4], String> {
    let mut shares = [0; 4];
    for item in text.split(',') {
        let (name, share) = item.split_once('=').ok_or_else(|| format!("{item:?} is not NAME=SHARE"))?;
        let names = [Scenario::FanOut, Scenario::Unicast, Scenario::Churn, Scenario::Idle].map(Scenario::name);
        let at = names.iter().position(|known| *known == name).ok_or_else(|| format!("no share is called {name:?}"))?;
        shares[at] =
            share.parse().ok().filter(|share| *share <= 1_000_000).ok_or_else(|| format!("{share:?} is no share"))?;
    }
    if shares.iter().all(|share| *share == 0) { Err("all shares are 0".to_owned()) } else { Ok(shares) }
}

/// What the command line says.
pub(in crate::shell) fn read(matches: &ArgMatches) -> BenchArgs {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let number = |name: &str| matches.get_one::<u32>(name).copied().unwrap_or_default();
    let time = |name: &str| matches.get_one::<Duration>(name).copied().unwrap_or_default();
    let scenario_name = text("scenario");
    let scenario = Scenario::ALL.into_iter().find(|known| known.name() == scenario_name).unwrap_or(Scenario::FanOut);
    let (publishers, usual_rate, completion) = match scenario {
        Scenario::FanOut => (1, 0.0, Completion::Delivered),
        Scenario::Unicast => (4, 0.0, Completion::Delivered),
        Scenario::Churn => (1, 100.0, Completion::Acked),
        Scenario::Idle => (0, 0.0, Completion::Acked),
        Scenario::Latency => (4, 100.0, Completion::Delivered),
        Scenario::Mixed => (4, 100.0, Completion::Acked),
    };
    let publishers = matches.get_one("publishers").copied().unwrap_or(publishers);
    BenchArgs {
        url: text("url"),
        publish_url: matches.get_one("publish-url").cloned(),
        dialect: Dialect::from_name(&text("dialect")).unwrap_or_default(),
        scenario,
        transport: match Mode::from_name(&text("mode")) {
            Some(mode) => Transport::Pushlet(mode),
            None => Transport::from_name(&text("transport")).unwrap_or_default(),
        },
        format: Format::from_name(&text("format")).unwrap_or_default(),
        posting: posting(&text("publish")),
        key: matches.get_one("key").cloned(),
        sessions: number("sessions"),
        publishers,
        subjects: number("subjects"),
        payload_bytes: number("payload") as usize,
        rate: matches.get_one("rate").copied().unwrap_or(usual_rate),
        in_flight: matches.get_one("in-flight").copied().unwrap_or(publishers),
        completion: match text("complete").as_str() {
            "acked" => Completion::Acked,
            "delivered" => Completion::Delivered,
            _ => completion,
        },
        pipeline: number("pipeline"),
        threads: number("threads"),
        warmup: time("warmup"),
        duration: time("duration"),
        events: matches.get_one("events").copied(),
        drain: time("drain"),
        source_addresses: number("source-addresses"),
        connecting: number("connecting"),
        open_rate: matches.get_one("open-rate").copied().unwrap_or_default(),
        retries: number("retries"),
        churn_events: number("churn-events"),
        churn_dwell: time("churn-dwell"),
        shares: matches.get_one("shares").copied().unwrap_or_default(),
        server_pids: pids(matches),
        json: matches.get_flag("json"),
        quiet: matches.get_flag("quiet"),
        leave: !matches.get_flag("no-leave"),
        door_words: DOOR_WORDS
            .into_iter()
            .filter(|word| matches.value_source(word) == Some(ValueSource::CommandLine))
            .collect(),
    }
}

/// The processes to watch, each once.
fn pids(matches: &ArgMatches) -> Vec<u32> {
    let mut all: Vec<u32> = matches.get_many("server-pid").into_iter().flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The door for publishing of this name.
fn posting(name: &str) -> Posting {
    Posting::ALL.into_iter().find(|known| known.name() == name).unwrap_or(Posting::Pushlet)
}

/// Longest padding: the server takes requests of 256 KiB.
const PAYLOAD_BYTES_MAX: usize = 200 * 1024;
/// Most threads.
const THREADS_MAX: u32 = 256;

impl BenchArgs {
    /// What a scenario does when nothing else is said.
    ///
    /// # Errors
    ///
    /// What is wrong with the words, to be printed.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let words = std::iter::once("bench").chain(words);
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        Ok(read(&matches))
    }

    /// Checks what the words mean together.
    ///
    /// # Errors
    ///
    /// What makes no sense, in words for the person who typed it.
    pub(super) fn check(&self) -> Result<Targets, String> {
        let targets = self.targets()?;
        self.check_doors()?;
        if !self.transport.is_pushlet() && self.format != Format::Json {
            return Err(format!("--format is for the Pushlet door; {} is always JSON", self.transport.name()));
        }
        for (name, number, max) in [
            ("sessions", self.sessions, LANES_MAX / 2),
            ("subjects", self.subjects, 1 << 20),
            ("threads", self.threads, THREADS_MAX),
            ("connecting", self.connecting, 1 << 20),
            ("pipeline", self.pipeline, 1 << 16),
        ] {
            if number == 0 || number > max {
                return Err(format!("--{name} is 1 to {max}"));
            }
        }
        if self.publishers > 1 << 16 {
            return Err("--publishers is at most 65536".to_owned());
        }
        if self.payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(format!("--payload is at most {PAYLOAD_BYTES_MAX}"));
        }
        if self.events.is_some() && self.publishers == 0 {
            return Err("--events wants a publisher".to_owned());
        }
        if self.scenario == Scenario::Mixed && self.publishers == 1 && self.shares[1] > 0 {
            return Err("the mixed scenario wants a publisher for fan-out and one for unicast".to_owned());
        }
        Ok(targets)
    }

    /// The addresses. Our key is for our doors only.
    fn targets(&self) -> Result<Targets, String> {
        let key = if self.dialect.is_pushlet() { Key::find(self.key.as_deref())? } else { None };
        let parse = |url: &str| {
            let url = if self.dialect == Dialect::Redis { url.strip_prefix("redis://").unwrap_or(url) } else { url };
            Target::parse(url).map(|target| Target { key: key.clone(), ..target })
        };
        Ok(Targets { listen: parse(&self.url)?, post: parse(self.publish_url.as_deref().unwrap_or(&self.url))? })
    }

    /// Whether what is said of the doors fits the dialect.
    fn check_doors(&self) -> Result<(), String> {
        let dialect = self.dialect.name();
        if self.dialect.is_pushlet() {
            return match &self.publish_url {
                Some(_) if self.posting != Posting::Http => {
                    Err("--publish-url wants --publish http: at the other doors a publisher has a session, which is ended at URL".to_owned())
                }
                _ => Ok(()),
            };
        }
        if let Some(word) = self.door_words.first() {
            return Err(format!(
                "--{word} is of the dialect pushlet; {dialect} has one way to listen and one to publish"
            ));
        }
        if self.dialect == Dialect::Pushpin && self.pipeline > 1 {
            return Err(
                "--pipeline is 1 in the dialect pushpin: its control port takes one request a connection".to_owned()
            );
        }
        let by_address = match self.scenario {
            Scenario::Unicast => true,
            Scenario::Mixed => self.shares[1] > 0,
            _ => false,
        };
        if by_address {
            let instead =
                "fan-out with as many --subjects as --sessions is much the same; mixed wants --shares without unicast";
            return Err(format!("nobody has an address in the dialect {dialect}: {instead}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &str) -> Result<BenchArgs, String> {
        BenchArgs::from_words(words.split(' '))
    }

    #[test]
    fn every_scenario_has_its_own_usual_loop() {
        let usual =
            |words: &str| read_words(words).map(|args| (args.scenario, args.publishers, args.rate, args.completion));
        assert_eq!(usual("h"), Ok((Scenario::FanOut, 1, 0.0, Completion::Delivered)));
        assert_eq!(usual("h latency"), Ok((Scenario::Latency, 4, 100.0, Completion::Delivered)));
        assert_eq!(usual("h latency --rate closed"), Ok((Scenario::Latency, 4, 0.0, Completion::Delivered)));
        assert_eq!(usual("h churn --publishers 2"), Ok((Scenario::Churn, 2, 100.0, Completion::Acked)));
        assert_eq!(usual("h idle"), Ok((Scenario::Idle, 0, 0.0, Completion::Acked)));
        assert_eq!(read_words("h mixed --shares churn=1,idle=3").map(|args| args.shares), Ok([0, 0, 1, 3]));
        let transport = |words: &str| read_words(words).map(|args| (args.transport, args.posting));
        assert_eq!(transport("h"), Ok((Transport::Pushlet(Mode::Stream), Posting::Pushlet)));
        assert_eq!(transport("h --transport poll --publish http"), Ok((Transport::LongPoll, Posting::Http)));
        assert_eq!(transport("h --transport ws --publish ws"), Ok((Transport::WebSocket, Posting::WebSocket)));
        assert_eq!(transport("h --mode poll"), Ok((Transport::Pushlet(Mode::Poll), Posting::Pushlet)));
        let dialect = |words: &str| read_words(words).map(|args| (args.dialect, args.publish_url, args.server_pids));
        assert_eq!(dialect("h"), Ok((Dialect::Pushlet, None, vec![])));
        assert_eq!(
            dialect("h --dialect nats-ws --publish-url h:2 --server-pid 7,5 --server-pid 7"),
            Ok((Dialect::NatsWs, Some("h:2".to_owned()), vec![5, 7]))
        );
        assert_eq!(read_words("h --duration 0.5").map(|args| args.duration), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn other_dialects_have_addresses_of_their_own() {
        let targets = |words: &str| {
            let targets = read_words(words).and_then(|args| args.check())?;
            Ok::<_, String>((targets.listen.to_string(), targets.post.port))
        };
        let here = |port| Ok(("http://h:1/pushlet.srv".to_owned(), port));
        assert_eq!(targets("h:1 --dialect redis"), here(1));
        assert_eq!(targets("redis://h:1 --dialect redis --publish-url redis://h:2"), here(2));
        assert_eq!(targets("h:1 --dialect pushpin --publish-url http://h:2/"), here(2));
        assert_eq!(targets("h:1 --publish http --publish-url http://h:2/"), here(2));
        assert_eq!(targets("h:1 mixed --dialect uws --shares churn=1,idle=3"), here(1));
        assert!(targets("redis://h:1").is_err());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (words, said) in [
            ("h --rate=-1", "rate"),
            ("h --rate many", "rate"),
            ("h --duration 1h", "duration"),
            ("h --shares x=1", "shares"),
            ("h --shares idle=0", "shares"),
            ("h --source-addresses 251", "source-addresses"),
            ("h nothing", "nothing"),
            ("h --mode poll --transport sse", "--transport"),
            ("h --dialect nchan", "nchan-sse"),
            ("h --server-pid 1,x", "server-pid"),
        ] {
            let error = read_words(words).expect_err(words);
            assert!(error.contains(said), "{words}: {error}");
        }
        for (words, said) in [
            ("h --sessions 0", "--sessions"),
            ("h --payload 300000", "--payload"),
            ("h idle --events 5", "publisher"),
            ("h mixed --publishers 1", "publisher"),
            ("https://h/", "TLS"),
            ("h --transport sse --format xml", "--format"),
            ("h --key /nowhere/key", "/nowhere/key"),
            ("h --dialect redis --transport stream", "--transport"),
            ("h --dialect redis --mode stream", "--mode"),
            ("h --dialect redis --publish http", "--publish"),
            ("h --dialect redis --format json", "--format"),
            ("h --dialect redis --key /nowhere/key", "--key"),
            ("h unicast --dialect faye", "--subjects"),
            ("h mixed --dialect faye", "--shares"),
            ("h --dialect pushpin --pipeline 2", "--pipeline"),
            ("h --publish-url h:2", "--publish http"),
            ("h --dialect uws --publish-url https://h/", "TLS"),
        ] {
            let error = read_words(words).and_then(|args| args.check()).expect_err(words);
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
