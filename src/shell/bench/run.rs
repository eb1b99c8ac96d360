//! Driving a run: threads, phases, what is seen of the server at its turns, and progress.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::door::Doors;
use super::options::{BenchArgs, Targets};
use super::server::{self, Addresses, Usage};
use super::shared::{COUNTS, Count, Phase, Shared};
use super::times::Times;
use super::worker::{Measured, Worker};
use crate::shell::sys;

/// How often the run is looked at.
const TICK: Duration = Duration::from_millis(20);
/// A server's memory is looked at when it has had so much time to come to rest.
const REST: Duration = Duration::from_millis(300);
/// Nobody has had a session for so long since connections broke: the server is gone, in nanoseconds.
const GONE_NS: u64 = 1_000_000_000;

/// Sums of all counts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums([u64; COUNTS]);

impl Sums {
    fn take(shared: &Shared) -> Self {
        let mut sums = [0; COUNTS];
        for counts in &shared.counts {
            counts.add_to(&mut sums);
        }
        Self(sums)
    }

    /// One of them.
    pub(super) const fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }
}

/// Counts, the server and ourselves at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Nanoseconds since the run began.
    pub(super) ns: u64,
    /// The counts.
    pub(super) sums: Sums,
    /// The server, if it is watched.
    pub(super) server: Option<Usage>,
    /// This process.
    pub(super) own: Usage,
}

/// All that a run came to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The words.
    pub(super) args: BenchArgs,
    /// Before anything was opened.
    pub(super) before: Sample,
    /// When everything was open.
    pub(super) open: Sample,
    /// How long opening took, in nanoseconds, without the rest behind it.
    pub(super) opening_ns: u64,
    /// When the measurement began.
    pub(super) begin: Sample,
    /// When it ended.
    pub(super) end: Sample,
    /// The counts when the accounts were closed.
    pub(super) sums: Sums,
    /// Descriptors of the server when everything was open, all its tables.
    pub(super) server_descriptors: Option<u64>,
    /// From when an event should have been published to each of its arrivals.
    pub(super) deliveries: Times,
    /// From the same moment to the answer.
    pub(super) answers: Times,
    /// From the same moment to when the event was sent.
    pub(super) sends: Times,
    /// Events that were due at the end of the measurement and not published.
    pub(super) unsent: u64,
    /// It was stopped before its time.
    pub(super) stopped: bool,
    /// All connections broke and the server did not come back.
    pub(super) gone: bool,
    /// Why the first opening that failed did.
    pub(super) opening_fault: Option<String>,
}

/// The threads of a run.
#[derive(Debug)]
pub(super) struct Run {
    /// What they share.
    pub(super) shared: Arc<Shared>,
    threads: Vec<JoinHandle<io::Result<Measured>>>,
    /// Since when nobody has had a session, after connections broke.
    alone_ns: Cell<Option<u64>>,
    gone: Cell<bool>,
    fault_told: Cell<bool>,
}

/// What a run shows and hears while it goes.
pub(super) trait Watch {
    /// Shows how it goes.
    fn show(&mut self, shared: &Shared);
    /// Whether it should end now.
    fn stopped(&self) -> bool;
    /// Something that the user should know.
    fn warn(&mut self, what: &str);
}

impl Run {
    /// Starts the threads; they open publishers and subscribers at once.
    ///
    /// # Errors
    ///
    /// The server's name is not known, or there are no threads or descriptors left.
    pub(super) fn start(args: &BenchArgs, targets: &Targets, watch: &mut dyn Watch) -> io::Result<Self> {
        let connections = args.sessions.saturating_add(args.publishers).saturating_add(args.threads);
        let addresses = Addresses::find(targets, args.source_addresses, connections)?;
        let tag = getrandom::u32().map_err(io::Error::other)?;
        let shared = Arc::new(Shared::new(args.clone(), addresses, format!("{tag:08x}"))?);
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let doors = Arc::new(Doors::new(targets, args, nonce));
        let mut threads = Vec::new();
        let (refused, refusals) = std::sync::mpsc::channel();
        for number in 0..args.threads as usize {
            let (shared, doors, refused) = (Arc::clone(&shared), Arc::clone(&doors), refused.clone());
            let work = move || {
                // Also where there is but one: there may be other runs in this process, each with as many descriptors as a table may hold.
                let unshared =
                    sys::unshare_files().or_else(|error| if shared.counts.len() > 1 { Err(error) } else { Ok(()) });
                // Nobody listens any more if the run could not be started.
                let _ = refused.send(unshared);
                drop(refused);
                Worker::new(number, shared, doors)?.run()
            };
            threads.push(thread::Builder::new().name(format!("bench-{number}")).spawn(work)?);
        }
        drop(refused);
        if let Some(error) = refusals.iter().find_map(Result::err) {
            watch.warn(&format!("the threads share one table of descriptors, which is slower: {error}"));
        }
        Ok(Self { shared, threads, alone_ns: Cell::new(None), gone: Cell::new(false), fault_told: Cell::new(false) })
    }

    /// Whether everyone is open who can be.
    pub(super) fn is_open(&self) -> bool {
        let shared = &self.shared;
        let settled = shared.sum(Count::Opened) + shared.sum(Count::Joined) + shared.sum(Count::OpenFailed);
        settled >= u64::from(shared.plan.sessions()) + u64::from(shared.plan.publishers)
    }

    /// Waits for a wake or for the time to pass.
    pub(super) fn wait(&self, time: Duration) {
        let waker = self.shared.waker(self.shared.counts.len());
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // An interrupted wait is a short one.
        if poll(&mut [PollFd::new(waker, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0) {
            let _ = rustix::io::read(waker, &mut [0; 8]);
        }
    }

    /// Ends the run. The counts are complete behind this.
    ///
    /// # Errors
    ///
    /// What a thread failed of.
    pub(super) fn finish(mut self) -> io::Result<(Sums, Measured)> {
        self.shared.enter(Phase::Close);
        let mut all = Measured::new();
        for thread in self.threads.drain(..) {
            let measured = thread.join().map_err(|_| io::Error::other("a thread of the load generator panicked"))??;
            all.add(&measured);
        }
        Ok((Sums::take(&self.shared), all))
    }

    /// Whether a thread has ended before its time.
    pub(super) fn is_dead(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Counts, the server and ourselves now.
    ///
    /// # Errors
    ///
    /// This process cannot be looked at. A server that has ended meanwhile is no error: its figures are then missing.
    pub(super) fn sample(&self) -> io::Result<Sample> {
        let server = server::used(&self.shared.args.server_pids).ok().flatten();
        let (ns, sums) = (self.shared.now(), Sums::take(&self.shared));
        Ok(Sample { ns, sums, server, own: Usage::read(std::process::id())? })
    }

    /// Waits until `done`, the time is over, or the run is to be stopped; shows how it goes.
    fn until(&self, end_ns: u64, watch: &mut dyn Watch, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) && !watch.stopped() && !self.is_dead() && !self.is_gone(watch) {
            self.tell_fault(watch);
            let now = self.shared.now();
            if now >= end_ns {
                return;
            }
            self.wait(TICK.min(Duration::from_nanos(end_ns - now)));
            watch.show(&self.shared);
        }
    }

    /// Whether all connections broke and nobody has come back for a while. It is told once.
    fn is_gone(&self, watch: &mut dyn Watch) -> bool {
        let shared = &self.shared;
        if self.gone.get() {
            return true;
        }
        if shared.live.load(Ordering::Acquire) > 0 || shared.sum(Count::Broken) == 0 {
            self.alone_ns.set(None);
            return false;
        }
        let now = shared.now();
        let since = self.alone_ns.get().unwrap_or(now);
        self.alone_ns.set(Some(since));
        if now - since >= GONE_NS {
            self.gone.set(true);
            watch.warn("the server is gone: all connections broke and no session could be opened since; the run ends");
        }
        self.gone.get()
    }

    /// Tells once why somebody could not be opened at the first attempt that failed.
    fn tell_fault(&self, watch: &mut dyn Watch) {
        if let Some(cause) = self.shared.opening_fault.get().filter(|_| !self.fault_told.replace(true)) {
            watch.warn(&format!("the first opening that failed: {cause}"));
        }
    }

    /// Events that were due by the schedule of the open loop at this time and have not been published. Each publisher may just be at one.
    fn unsent(&self, end_ns: u64, sent: u64) -> u64 {
        let args = &self.shared.args;
        if args.rate <= 0.0 || args.publishers == 0 || args.events.is_some() {
            return 0;
        }
        let time = end_ns.saturating_sub(self.shared.run_ns.load(Ordering::Acquire));
        let missing = ((time as f64 * args.rate / 1e9) as u64).saturating_sub(sent);
        if missing <= u64::from(args.publishers) { 0 } else { missing }
    }

    fn rest(&self, time: Duration, watch: &mut dyn Watch) {
        self.until(self.shared.now() + ns(time), watch, |_| false);
    }

    /// Lets the publishers publish `args.events`, or for `args.duration`.
    fn publish(&self, watch: &mut dyn Watch) -> io::Result<(Sample, Sample)> {
        let (shared, args) = (&self.shared, &self.shared.args);
        let now = shared.now();
        shared.run_ns.store(now, Ordering::Release);
        let measure_ns = now + ns(args.warmup);
        shared.measure_ns.store(measure_ns, Ordering::Release);
        if args.warmup.is_zero() {
            shared.budget.store(args.events.unwrap_or(u64::MAX), Ordering::Release);
        } else {
            shared.budget.store(u64::MAX, Ordering::Release);
        }
        let at_once = args.warmup.is_zero().then(|| self.sample()).transpose()?;
        shared.enter(Phase::Run);
        let begin = match at_once {
            Some(sample) => sample,
            None => {
                self.until(measure_ns, watch, |_| false);
                if let Some(events) = args.events {
                    shared.budget.store(shared.claimed().saturating_add(events), Ordering::Release);
                }
                self.sample()?
            }
        };
        match args.events {
            Some(_) => {
                self.until(u64::MAX, watch, |run| run.shared.claimed() >= run.shared.budget.load(Ordering::Acquire))
            }
            None => self.until(begin.ns + ns(args.duration), watch, |_| false),
        }
        let end = self.sample()?;
        shared.enter(Phase::Drain);
        let drained = |run: &Self| run.shared.drained.iter().all(|drained| drained.load(Ordering::Acquire));
        self.until(u64::MAX, watch, drained);
        // A run of so many events is over when the last one has come; a run of some time when the time is over.
        Ok((begin, if args.events.is_some() { self.sample()? } else { end }))
    }
}

/// A time in nanoseconds.
fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs it all.
///
/// # Errors
///
/// What made it impossible: an unknown name, no descriptors, nobody who could be opened.
pub(super) fn run(args: &BenchArgs, targets: &Targets, watch: &mut dyn Watch) -> io::Result<Outcome> {
    server::used(&args.server_pids)?;
    let run = Run::start(args, targets, watch)?;
    let before = run.sample()?;
    run.until(u64::MAX, watch, |run| run.is_open() || run.shared.hopeless.get().is_some());
    let opening_ns = run.shared.now() - before.ns;
    let (opened, joined) = (run.shared.sum(Count::Opened), run.shared.sum(Count::Joined));
    if !watch.stopped() && !run.is_dead() && (opened == 0 || joined == 0 && args.publishers > 0) {
        let what = if opened == 0 { "subscriber" } else { "publisher" };
        let cause = run.shared.hopeless.get().or_else(|| run.shared.opening_fault.get());
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        run.finish()?;
        return Err(io::Error::other(format!("not one {what} could be opened{cause}")));
    }
    run.rest(REST, watch);
    let open = run.sample()?;
    let server_descriptors = server::descriptors_of(&args.server_pids);
    let (begin, mut end) = run.publish(watch)?;
    if args.events.is_some() {
        let last = run.shared.last_ns.load(Ordering::Acquire);
        end.ns = if last > begin.ns { last } else { end.ns };
    }
    let stopped = watch.stopped();
    let (gone, run_shared) = (run.gone.get(), Arc::clone(&run.shared));
    let unsent = run.unsent(end.ns, run.shared.sum(Count::Sent));
    let (sums, measured) = run.finish()?;
    Ok(Outcome {
        args: args.clone(),
        before,
        open,
        opening_ns,
        begin,
        end,
        sums,
        server_descriptors,
        deliveries: measured.deliveries,
        answers: measured.answers,
        sends: measured.sends,
        unsent,
        stopped,
        gone,
        opening_fault: run_shared.opening_fault.get().cloned(),
    })
}
