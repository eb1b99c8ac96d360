//! A run in the hands of another program: `perf/floor.rs` sends rounds of events to two servers in turn and compares what they cost.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::options::BenchArgs;
use super::run::{Run, Watch};
use super::server::used;
use super::shared::{Count, Phase, Shared};

/// Nothing arrives for so long: something is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// So long it is waited for a server to rest. Some never do.
const REST_MAX: Duration = Duration::from_millis(100);
/// How often it is looked whether it does.
const REST_LOOK: Duration = Duration::from_millis(1);

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
        if !args.sessions.is_multiple_of(args.subjects) {
            return Err(io::Error::other(
                "every subject must have as many sessions: --sessions is no multiple of --subjects",
            ));
        }
        let run = Run::start(args, &target, &mut Blind)?;
        while !run.is_open() {
            if run.is_dead() {
                return Err(run.finish().err().unwrap_or_else(|| io::Error::other("a thread has ended")));
            }
            run.wait(Duration::from_millis(10));
        }
        let failed = run.shared.sum(Count::OpenFailed);
        if failed > 0 {
            let cause = run.shared.opening_fault.get().map_or_else(String::new, |cause| format!(": {cause}"));
            run.finish()?;
            return Err(io::Error::other(format!("{failed} could not be opened{cause}")));
        }
        run.shared.enter(Phase::Run);
        Ok(Self { run, published: 0 })
    }

    /// Publishes so many events, each when one before has arrived everywhere, and waits for the last arrival and the last answer.
    ///
    /// # Errors
    ///
    /// Something did not arrive, or was not answered.
    pub fn round(&mut self, events: u64) -> io::Result<Round> {
        let shared = &self.run.shared;
        let counts = || (shared.sum(Count::Delivered), shared.sum(Count::Received));
        let (delivered, received) = counts();
        let begin = shared.now();
        let wanted = shared.settled() + events * u64::from(shared.args.sessions / shared.args.subjects);
        self.published += events;
        shared.budget.store(self.published, Ordering::Release);
        shared.wait_for(wanted, shared.counts.len());
        shared.wake(0);
        self.wait_until(Duration::from_secs(1), wanted, "deliveries", Shared::settled)?;
        // A server may answer behind the last delivery; nobody is woken for that.
        self.wait_until(Duration::from_millis(1), self.published, "answers", |shared| {
            [Count::Accepted, Count::Refused, Count::Unanswered].map(|count| shared.sum(count)).iter().sum()
        })?;
        let elapsed = Duration::from_nanos(shared.last_ns.load(Ordering::Acquire).saturating_sub(begin));
        let now = counts();
        Ok(Round { deliveries: now.0 - delivered, bytes: now.1 - received, elapsed })
    }

    /// Waits until as many are seen as are wanted, looking when it is woken and after each `pause`.
    fn wait_until(&self, pause: Duration, wanted: u64, what: &str, count: impl Fn(&Shared) -> u64) -> io::Result<()> {
        let shared = &self.run.shared;
        let mut last = (count(shared), shared.now());
        while last.0 < wanted {
            self.run.wait(pause);
            let (seen, now) = (count(shared), shared.now());
            if seen > last.0 {
                last = (seen, now);
            } else if now - last.1 > PATIENCE.as_secs() * 1_000_000_000 {
                return Err(io::Error::other(format!("{} {what} are missing", wanted - seen)));
            }
        }
        Ok(())
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
            // What a server tells is a fault here, too: the deliveries that are left are fewer than those that are counted on.
            Count::RefusedButDelivered,
            Count::Unanswered,
            Count::ToldMissing,
            Count::MissedByAbort,
            Count::Aborted,
        ];
        Ok(faults.into_iter().all(|count| sums.get(count) == 0))
    }
}

/// The processor time of some processes: a server may be several, and each of several threads.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Meter {
    pids: Vec<u32>,
    /// Seconds of each thread at the last look. The kernel gives a thread's number to nobody else while it lives.
    threads: BTreeMap<u32, f64>,
}

impl Meter {
    /// Begins to count.
    ///
    /// # Errors
    ///
    /// There is no such process, or it may not be looked at.
    pub fn new(pids: &[u32]) -> io::Result<Self> {
        let mut meter = Self { pids: pids.to_vec(), threads: BTreeMap::new() };
        meter.lap()?;
        Ok(meter)
    }

    /// Seconds on a processor that all of them used since the last look, or since the beginning. The kernel tells what a thread has used when
    /// it sleeps, and while it runs from tick to tick only: so it is waited a little until all of them sleep. Of a thread that ended meanwhile, what it
    /// used since then is not known and is left out.
    ///
    /// # Errors
    ///
    /// A process has ended, or it may not be looked at.
    pub fn lap(&mut self) -> io::Result<f64> {
        let deadline = Instant::now() + REST_MAX;
        while !self.pids.iter().all(|pid| rests(*pid)) && Instant::now() < deadline {
            // No descriptor tells when another process rests; the pause only spares its processor, and what is read behind it is judged anew.
            std::thread::sleep(REST_LOOK);
        }
        let threads = used(&self.pids)?.unwrap_or_default().threads.into_iter().collect();
        let before = std::mem::replace(&mut self.threads, threads);
        let used = self.threads.iter().map(|(thread, now)| now - before.get(thread).copied().unwrap_or(0.0));
        // A number that was given away again belongs to a younger thread.
        Ok(used.map(|used| used.max(0.0)).sum())
    }
}

/// Whether no thread of a process runs or wants to.
fn rests(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    tasks.flatten().all(|task| {
        // One that has ended meanwhile does not run.
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, fields)| !fields.starts_with('R'))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What this process uses between two laps is counted, and who is not there is named.
    #[test]
    fn a_lap_counts_what_was_used_since_the_last_one() {
        let own = std::process::id();
        let mut meter = Meter::new(&[own]).expect("we are there");
        let begin = Instant::now();
        let mut spun = 0_u64;
        while begin.elapsed() < Duration::from_millis(50) {
            spun = spun.wrapping_add(1);
        }
        let used = meter.lap().expect("we are there");
        assert!(used > 0.0, "{spun} turns and no time");
        assert!(Meter::new(&[own, u32::MAX]).is_err_and(|error| error.to_string().contains("4294967295")));
        assert_eq!(Meter::new(&[]).and_then(|mut nobody| nobody.lap()).expect("nobody is there"), 0.0);
    }

    /// Whoever reads its own state runs.
    #[test]
    fn a_process_that_runs_does_not_rest() {
        assert!(!rests(std::process::id()));
        assert!(rests(u32::MAX));
    }
}
