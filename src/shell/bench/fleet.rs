//! A run in the hands of another program: `perf/floor.rs` sends rounds of events to two servers in turn and compares what they cost.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::options::BenchArgs;
use super::run::{Run, Watch};
use super::server::Usage;
use super::shared::{Count, Phase, Shared};

/// Nothing arrives for so long: something is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Open subscribers and a publisher that publishes when it is told to, one event behind the other.
#[doc(hidden)]
#[derive(Debug)]
pub struct Fleet {
    run: Run,
    published: u64,
}

/// What one round of events came to.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Arrivals.
    pub deliveries: u64,
    /// Bytes that the subscribers received.
    pub bytes: u64,
    /// From the first publish to the last arrival.
    pub elapsed: Duration,
}

/// Shows nothing, and is never stopped.
struct Blind;

impl Watch for Blind {
    fn show(&mut self, _: &Shared) {}

    fn stopped(&self) -> bool {
        false
    }

    fn warn(&mut self, what: &str) {
        eprintln!("{what}");
    }
}

impl Fleet {
    /// Opens everyone.
    ///
    /// # Errors
    ///
    /// The words make no sense, or somebody could not be opened.
    pub fn open(args: &BenchArgs) -> io::Result<Self> {
        let target = args.check().map_err(io::Error::other)?;
        let run = Run::start(args, &target, &mut Blind)?;
        while !run.is_open() {
            if run.is_dead() {
                return Err(run.finish().err().unwrap_or_else(|| io::Error::other("a thread has ended")));
            }
            run.wait(Duration::from_millis(10));
        }
        let failed = run.shared.sum(Count::OpenFailed);
        if failed > 0 {
            run.finish()?;
            return Err(io::Error::other(format!("{failed} could not be opened")));
        }
        run.shared.enter(Phase::Run);
        Ok(Self { run, published: 0 })
    }

    /// Publishes so many events, each when the one before has arrived everywhere, and waits for the last arrival.
    ///
    /// # Errors
    ///
    /// Something did not arrive.
    pub fn round(&mut self, events: u64) -> io::Result<Round> {
        let shared = &self.run.shared;
        let counts = || (shared.sum(Count::Delivered), shared.sum(Count::Received));
        let (delivered, received) = counts();
        let begin = shared.now();
        let wanted = shared.settled() + events * u64::from(shared.args.sessions);
        self.published += events;
        shared.budget.store(self.published, Ordering::Release);
        shared.wait_for(wanted, shared.counts.len());
        shared.wake(0);
        let mut last = (shared.settled(), shared.now());
        while shared.settled() < wanted {
            self.run.wait(Duration::from_secs(1));
            let (settled, now) = (shared.settled(), shared.now());
            if settled > last.0 {
                last = (settled, now);
            } else if now - last.1 > PATIENCE.as_secs() * 1_000_000_000 {
                return Err(io::Error::other(format!("{} deliveries are missing", wanted - settled)));
            }
        }
        let elapsed = Duration::from_nanos(shared.last_ns.load(Ordering::Acquire).saturating_sub(begin));
        let now = counts();
        Ok(Round { deliveries: now.0 - delivered, bytes: now.1 - received, elapsed })
    }

    /// Ends it all. Says whether every event came to everyone, once and in order.
    ///
    /// # Errors
    ///
    /// A thread has failed.
    pub fn finish(self) -> io::Result<bool> {
        let (sums, _) = self.run.finish()?;
        let faults = [
            Count::Lost,
            Count::Repeated,
            Count::OutOfOrder,
            Count::Broken,
            Count::Garbled,
            Count::Foreign,
            Count::Refused,
        ];
        Ok(faults.into_iter().all(|count| sums.get(count) == 0))
    }
}

/// Seconds on a processor that a process has used, all its threads together.
///
/// # Errors
///
/// There is no such process, or it may not be looked at.
#[doc(hidden)]
pub fn process_cpu_seconds(pid: u32) -> io::Result<f64> {
    Usage::read(pid).map(|usage| usage.cpu_s)
}

/// Gives the calling thread a descriptor table of its own. To be called when the thread has just begun and owns no descriptor.
///
/// # Errors
///
/// What the kernel says; the thread then goes on with the shared table.
#[doc(hidden)]
pub fn own_file_table() -> io::Result<()> {
    crate::shell::sys::unshare_files()
}
