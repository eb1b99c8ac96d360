//! Pairs: rounds of events to two sides in turn, and what each costs.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use pushletd::shell::bench::{BenchArgs, Fleet, Meter, Round};

use super::report::{Figures, Outcome, Turn};
use super::sending::Way;
use super::words::{PairWords, SideWords, Who};

/// Events before anything is measured: they warm up, and bring the sequence numbers to two digits, so that it can be seen how long a delivery
/// is.
const WARMUP_EVENTS: u32 = 10;

/// The floor as a process of its own, as the server is one.
struct Bare(Child);

impl Bare {
    fn start(way: Way, bytes: usize, words: &PairWords) -> io::Result<(Self, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--listen", "127.0.0.1:0", "--floor", way.name()]);
        command.args(["--bytes", &bytes.to_string(), "--batch", &words.batch.to_string()]);
        command.args(["--parent", &std::process::id().to_string()]);
        if !words.cpus.is_empty() {
            let cpus: Vec<String> = words.cpus.iter().map(u32::to_string).collect();
            command.args(["--floor-cpus", &cpus.join(",")]);
        }
        let mut child = Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let stdout = child.0.stdout.take().ok_or_else(|| io::Error::other("there is no pipe to the floor"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok());
        Ok((child, address.ok_or_else(|| io::Error::other(format!("the floor says {line:?}")))?))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who is sent to, and whose time is taken.
struct Side {
    fleet: Fleet,
    meter: Meter,
    /// The floor's process, until the pair is done.
    _bare: Option<Bare>,
}

impl Side {
    /// Opens everyone and warms up. A floor sends deliveries of so many bytes.
    fn open(side: &SideWords, bytes: usize, words: &PairWords) -> io::Result<Self> {
        let (url, door, pids, bare) = match &side.who {
            Who::Floor(way) => {
                let (bare, address) = Bare::start(*way, bytes, words)?;
                (format!("http://{address}/"), Vec::new(), vec![bare.0.id()], Some(bare))
            }
            Who::Server { url, pids, door } => (url.clone(), door.words(), pids.clone(), None),
        };
        let said = |what: &dyn std::fmt::Display| io::Error::other(format!("{}: {what}", side.name));
        let meter = Meter::new(&pids).map_err(|error| said(&error))?;
        let line = [url.as_str(), "fan-out"].into_iter().chain(words.load.iter().map(String::as_str)).chain(door);
        let args = BenchArgs::from_words(line).map_err(|error| said(&error))?;
        let fleet = Fleet::open(&args).map_err(|error| said(&error))?;
        let mut side = Self { fleet, meter, _bare: bare };
        // Everyone gets something.
        side.fleet.round(u64::from(WARMUP_EVENTS.max(words.subjects)))?;
        Ok(side)
    }

    fn round(&mut self, events: u32) -> io::Result<Figures> {
        self.meter.lap()?;
        let round = self.fleet.round(u64::from(events))?;
        let used = self.meter.lap()?;
        let deliveries = round.deliveries.max(1) as f64;
        if used <= 0.0 {
            return Err(io::Error::other(
                "no processor time was seen in a round; is it the right --server-pid? Where the kernel has no /proc/PID/schedstat \
                 time is told in ticks of 10 ms, and a round wants more --events or --sessions",
            ));
        }
        Ok(Figures {
            cpu_us: used * 1e6 / deliveries,
            bytes: round.bytes as f64 / deliveries,
            elapsed_ms: round.elapsed.as_secs_f64() * 1000.0,
        })
    }
}

/// Bytes of a delivery, rounded up.
fn delivery_bytes(round: Round) -> io::Result<usize> {
    usize::try_from(round.bytes.div_ceil(round.deliveries.max(1))).map_err(io::Error::other)
}

/// Compares two. Each turn is shown when it is over.
///
/// # Errors
///
/// One of the two could not be opened, has ended, or something did not arrive.
pub(crate) fn run(words: &PairWords, mut show: impl FnMut(&Turn)) -> io::Result<Outcome> {
    let is_floor = |side: &SideWords| matches!(side.who, Who::Floor(_));
    // Deliveries of the floor are as long as those of the server.
    let mut one = Side::open(&words.one, words.bytes, words)?;
    let bytes = match is_floor(&words.one) {
        true => words.bytes,
        false => delivery_bytes(one.fleet.round(u64::from(words.events))?)?,
    };
    let mut other = Side::open(&words.other, bytes, words)?;
    let mut turns = Vec::new();
    for number in 1..=words.rounds {
        // Who is first changes, so that a drift of the machine favours nobody.
        let (one, other) = if number % 2 == 0 {
            let other = other.round(words.events)?;
            (one.round(words.events)?, other)
        } else {
            (one.round(words.events)?, other.round(words.events)?)
        };
        let turn = Turn { number, one, other };
        show(&turn);
        turns.push(turn);
    }
    let (one, other) = (one.fleet.finish()?, other.fleet.finish()?);
    Ok(Outcome { turns, good: one && other })
}
