//! All sources of a server: started, replaced when the configuration changes, stopped.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{LongRunning, Repeated};
use super::fetch::Fetch;
use super::figures::ServerFigures;
use super::follow::Follow;
use super::job::{Asked, Job, Pulling};
use super::seat::{Counts, Seat, Stop};
use super::stdin::Stdin;
use super::stocks::Stocks;
use super::system::System;
use crate::config::{Config, LineFormat, SourceConfig, SourceWork};
use crate::limits::{SOURCE_EVERY_MS_DEFAULT, SOURCE_TERM_MS};
use crate::metrics::SourceFigures;
use crate::shell::embed::{Hall, Publisher};
use crate::shell::entropy::Entropy;
use crate::topic::Subject;

/// The sources that feed the demo pages: name, subject, work, time from one event to the next in milliseconds. No name of an operator's source
/// may hold a slash, so none is taken.
const DEMO: [(&str, &str, SourceWork, u64); 3] = [
    ("demo/figures", "$server/figures", SourceWork::Server, 1_000),
    ("demo/system", "$server/system", SourceWork::System, 2_000),
    ("demo/stocks", "$demo/stocks", SourceWork::Stocks, 100),
];

/// How long sources are waited for: a program has its time between TERM and KILL, and as long again to be gone.
pub(in crate::shell) const SOURCES_STOP_MAX: Duration = Duration::from_millis(2 * SOURCE_TERM_MS);
/// The same when everything must end at once.
const KILL_MAX: Duration = Duration::from_millis(500);

/// Where the counts of all sources stand, for whoever prints them. The lock is held for as long as it takes to copy a pointer.
#[derive(Debug, Default)]
pub(in crate::shell) struct SourceBoard(Mutex<Arc<[Arc<Counts>]>>);

impl SourceBoard {
    /// What the sources have counted, in order of their names.
    pub(in crate::shell) fn read(&self) -> Vec<SourceFigures> {
        let counts = Arc::clone(&self.lock());
        counts.iter().map(|counts| counts.read()).collect()
    }

    fn show(&self, mut counts: Vec<Arc<Counts>>) {
        counts.sort_by(|one, other| one.name().cmp(other.name()));
        *self.lock() = counts.into();
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[Arc<Counts>]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source with its thread.
struct Post {
    counts: Arc<Counts>,
    stop: Arc<Stop>,
    /// Disconnected once the thread has ended.
    ended: mpsc::Receiver<()>,
    /// It may leave something behind: a program, or work of the program that embeds the server. Nobody waits for a page that does not come.
    is_waited_for: bool,
    /// What it was made of; `None` for one of the program that embeds the server.
    config: Option<SourceConfig>,
}

/// The sources of one server.
pub(in crate::shell) struct Roster {
    hall: Arc<Hall>,
    board: Arc<SourceBoard>,
    started: Instant,
    posts: Mutex<Posts>,
}

#[derive(Default)]
struct Posts {
    all: Vec<Post>,
    /// Those that were told to stop and may not have ended yet.
    leaving: Vec<Post>,
    /// What the configuration asks for; who is not among `all` starts when nobody of its name is leaving any more.
    wanted: Vec<SourceConfig>,
    /// Sources that the program added so far.
    added: u64,
    /// No more sources: the server stops.
    closed: bool,
}

impl Roster {
    /// No sources yet.
    pub(in crate::shell) fn new(hall: Arc<Hall>, board: Arc<SourceBoard>) -> Self {
        Self { hall, board, started: Instant::now(), posts: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the sources that `config` does not want and starts those that it does. Whoever is unchanged goes on. Nobody is waited for: a
    /// source whose predecessor of the same name has not ended yet starts with a later [`Roster::tend`].
    pub(in crate::shell) fn adjust(&self, config: &Config) {
        let wanted = wanted(config);
        let mut posts = self.lock();
        let is_wanted =
            |post: &Post| post.config.as_ref().is_none_or(|has| wanted.iter().any(|source| source.does_the_same(has)));
        let (kept, leaving): (Vec<Post>, Vec<Post>) = posts.all.drain(..).partition(is_wanted);
        leaving.iter().for_each(|post| post.stop.order(false));
        posts.all = kept;
        posts.leaving.extend(leaving);
        posts.wanted = wanted;
        self.start_wanted(&mut posts);
    }

    /// Starts who waited for a predecessor to end. The main thread's bell is rung whenever a source has ended.
    pub(in crate::shell) fn tend(&self) {
        let mut posts = self.lock();
        if !posts.leaving.is_empty() {
            self.start_wanted(&mut posts);
        }
    }

    fn start_wanted(&self, posts: &mut Posts) {
        if posts.closed {
            return;
        }
        let Posts { all, leaving, wanted, .. } = &mut *posts;
        wanted.retain(|source| {
            if all.iter().any(|post| post.config.as_ref().is_some_and(|has| has.does_the_same(source))) {
                return false;
            }
            let before = leaving.iter().find(|post| **post.counts.name() == *source.name);
            if before.is_some_and(|post| !post.has_ended()) {
                return true;
            }
            // A counter never goes back: the same name goes on counting.
            let counts = before.map_or_else(|| Arc::new(Counts::new(&source.name)), |post| Arc::clone(&post.counts));
            match self.begin(source, counts) {
                Ok(post) => all.push(post),
                Err(error) => tracing::error!(source = source.name, %error, "the source cannot be started"),
            }
            false
        });
        let waits = |post: &Post| wanted.iter().any(|source| *source.name == **post.counts.name());
        leaving.retain(|post| !post.has_ended() || waits(post));
        self.show(posts);
    }

    fn begin(&self, source: &SourceConfig, counts: Arc<Counts>) -> io::Result<Post> {
        let publisher = Publisher::new(&self.hall);
        let job = self.job(source, &publisher);
        let (subject, format) = (source.subject.as_str(), source.format);
        let mut post = self.post(counts, subject, format, publisher, job)?;
        post.is_waited_for = matches!(source.work, SourceWork::Command(_));
        post.config = Some(source.clone());
        Ok(post)
    }

    /// Adds a source of the program that embeds the server.
    ///
    /// # Errors
    ///
    /// If `subject` is none, if the kernel has no thread, or if the server stops.
    pub(super) fn add(&self, kind: &str, subject: &str, job: Box<dyn Job>) -> io::Result<()> {
        Subject::new(subject).map_err(io::Error::other)?;
        let mut posts = self.lock();
        if posts.closed {
            return Err(io::Error::other("the server stops"));
        }
        posts.added += 1;
        // As the names of the demo sources: no operator's source is called so.
        let counts = Arc::new(Counts::new(&format!("program/{kind}-{}", posts.added)));
        let publisher = Publisher::new(&self.hall);
        let post = self.post(counts, subject, LineFormat::Auto, publisher, job)?;
        posts.all.push(post);
        self.show(&posts);
        Ok(())
    }

    fn show(&self, posts: &Posts) {
        let mut counts: Vec<Arc<Counts>> = posts.all.iter().map(|post| Arc::clone(&post.counts)).collect();
        let ended = posts.wanted.iter().filter_map(|source| {
            posts.leaving.iter().find(|post| **post.counts.name() == *source.name).map(|post| Arc::clone(&post.counts))
        });
        counts.extend(ended);
        self.board.show(counts);
    }

    /// Tells all sources to stop, and takes no more. Nobody is waited for.
    pub(in crate::shell) fn order_stop(&self) {
        let mut posts = self.lock();
        posts.closed = true;
        posts.all.iter().for_each(|post| post.stop.order(false));
    }

    /// Whether everything has ended that is waited for: no program of a source is left.
    pub(in crate::shell) fn is_gone(&self) -> bool {
        let posts = self.lock();
        posts.all.iter().chain(&posts.leaving).all(|post| !post.is_waited_for || post.has_ended())
    }

    /// Waits for that, at most for [`SOURCES_STOP_MAX`].
    pub(in crate::shell) fn await_stop(&self) {
        let posts = self.lock();
        let until = Instant::now() + SOURCES_STOP_MAX;
        for post in posts.all.iter().chain(&posts.leaving).filter(|post| post.is_waited_for) {
            let _ = await_end(post, until);
        }
    }

    /// Starts the thread of a source.
    fn post(
        &self,
        counts: Arc<Counts>,
        subject: &str,
        format: LineFormat,
        publisher: Publisher,
        job: Box<dyn Job>,
    ) -> io::Result<Post> {
        let stop = Arc::new(Stop::new()?);
        let seat = Seat::new(subject, format, publisher, Arc::clone(&counts), Arc::clone(&stop));
        let (tell, ended) = mpsc::channel();
        let name = format!("source {}", counts.name());
        let hall = Arc::clone(&self.hall);
        thread::Builder::new().name(name).spawn(move || {
            live(seat, job);
            drop::<mpsc::Sender<()>>(tell);
            hall.ring_main();
        })?;
        Ok(Post { counts, stop, ended, is_waited_for: true, config: None })
    }

    fn job(&self, source: &SourceConfig, publisher: &Publisher) -> Box<dyn Job> {
        let every = Duration::from_millis(source.every_ms.unwrap_or(SOURCE_EVERY_MS_DEFAULT));
        let subject = source.subject.as_str();
        match &source.work {
            SourceWork::Command(program) if source.every_ms.is_some() => {
                Box::new(Pulling(Repeated { program: program.clone(), every }))
            }
            SourceWork::Command(program) => Box::new(LongRunning { program: program.clone() }),
            SourceWork::Stdin => Box::new(Stdin),
            SourceWork::File(path) => Box::new(Follow { path: path.clone() }),
            SourceWork::Http(url) => Box::new(Pulling(Fetch::new(url, every))),
            SourceWork::System => Box::new(Pulling(Asked(Box::new(System::new(subject, every))))),
            SourceWork::Server => {
                let figures = ServerFigures::new(subject, every, publisher.clone(), self.started);
                Box::new(Pulling(Asked(Box::new(figures))))
            }
            SourceWork::Stocks => {
                // Prices that are invented need no secret.
                let seed = Entropy::new().draw().map_or(1, |bits| bits as u64);
                Box::new(Pulling(Asked(Box::new(Stocks::new(subject, every, seed)))))
            }
        }
    }
}

/// A server that ends at once takes its sources' programs along.
impl Drop for Roster {
    fn drop(&mut self) {
        let posts = self.posts.get_mut().unwrap_or_else(PoisonError::into_inner);
        let all = || posts.all.iter().chain(&posts.leaving);
        all().for_each(|post| post.stop.order(true));
        let until = Instant::now() + KILL_MAX;
        for post in all() {
            let _ = await_end(post, until);
        }
    }
}

/// The sources of the configuration, and those of the demo pages if they are on.
fn wanted(config: &Config) -> Vec<SourceConfig> {
    let mut wanted = config.sources.clone();
    if config.demo_is_on() {
        let demo = DEMO.into_iter().filter_map(|(name, subject, work, every_ms)| {
            Some(SourceConfig::built_in(name, Subject::new(subject).ok()?, work, every_ms))
        });
        wanted.extend(demo);
    }
    wanted
}

impl Post {
    fn has_ended(&self) -> bool {
        matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Disconnected))
    }
}

/// Whether the thread has ended, at the latest at `until`.
fn await_end(post: &Post, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    matches!(post.ended.recv_timeout(left), Err(mpsc::RecvTimeoutError::Disconnected))
}

/// The life of a source. A panic of it is its fault alone.
fn live(mut seat: Seat, mut job: Box<dyn Job>) {
    tracing::debug!(source = seat.name(), subject = seat.subject, "the source was started");
    while !seat.is_stopping() {
        match catch_unwind(AssertUnwindSafe(|| job.run(&mut seat))) {
            Ok(()) => break,
            Err(cause) => {
                seat.set_active(false);
                seat.fail(&format!("the source has panicked: {}", words(&*cause)));
                seat.pause();
                seat.count_restart();
            }
        }
    }
    tracing::debug!(source = seat.name(), "the source has ended");
}

/// What a panic says.
fn words(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<&str>().copied();
    text.or_else(|| cause.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason")
}
