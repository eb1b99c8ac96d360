//! From a configuration to a running server, and back: with signals and an exit code for `pushletd`, by calls for a program that embeds it
//! ([`super::embed`]). This is the main thread's work; the cores' is in [`super::worker`].

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::clock::Clock;
use super::core::{NodeCount, Patience};
use super::embed::{self, Hall, Publisher};
use super::gate::{self, Gate};
use super::pages::Pages;
use super::router::Routes;
use super::signals::{self, Signals};
use super::source::{Roster, SOURCES_STOP_MAX};
use super::wiring::{self, Wiring};
use super::worker::{Came, News, Order, Seat, Started, Tuning};
use super::{logging, worker};
use crate::auth::Names;
use crate::broker::{Letter, Settings};
use crate::config::{Config, Inputs, Setting};
use crate::limits::{INBOX_BYTES_MAX, INBOX_PLACE_BYTES, INBOXES_BYTES_MAX, SHARDS, WS_PONG_MS, WS_SILENCE_SLACK_MS};
use crate::mesh::{self, LaneBounds};
use crate::metrics::Board;
use crate::protocol::ShardTable;
use crate::session::Bounds;

/// Descriptors of a core that are not for clients: log, ring, epoll set, listeners, timer, what the admin port and connections that are
/// turned away need, and some for connections that other cores hand over.
const RESERVED_DESCRIPTORS: u64 = 64;
/// Sessions for each connection that may be open: joined ones and pull clients between two requests hold none.
const SESSIONS_PER_CONNECTION: usize = 4;
/// How long a core may take to start.
const START_MAX: Duration = Duration::from_secs(30);
/// How long the cores may take to give each other what the program's own threads have published before the end.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// How long the cores may take to end when they are told to.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Serves until a signal ends it, then returns the process's exit code. Errors are told on standard error. `inputs` are what `config` was
/// made of: they are read again on HUP.
#[must_use]
pub fn serve(config: &Config, inputs: &Inputs) -> ExitCode {
    let log = logging::start(config.log_format.value, config.log_level.value);
    let code = match serve_until_signal(config, inputs) {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Forced) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pushletd: {error}");
            ExitCode::FAILURE
        }
    };
    drop(log);
    code
}

fn serve_until_signal(config: &Config, inputs: &Inputs) -> io::Result<Ended> {
    let limits = NodeLimits::find(config, Host::Pushletd)?;
    let signals = Signals::catch()?;
    let node = Node::start(config, limits, Host::Pushletd, &signals.written)?;
    announce(config, &node.started, limits)?;
    // Not every system has a supervisor that wants to know.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    node.supervise(&signals, config, inputs)
}

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// `pushletd` itself: the process ends with the server.
    Pushletd,
    /// A program that embeds the server and goes on behind it: its file table is left whole, and everything is given back at the end.
    Program,
}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Every connection had its last bytes, or the drain time was over.
    Drained,
    /// A second signal came.
    Forced,
}

/// The running cores, as the thread sees them that started them.
pub(super) struct Node {
    host: Host,
    wiring: Arc<Wiring>,
    hall: Arc<Hall>,
    roster: Roster,
    news: mpsc::Receiver<News>,
    orders: Vec<mpsc::Sender<Order>>,
    threads: Vec<JoinHandle<()>>,
    started: Vec<Started>,
    limits: NodeLimits,
    /// What `listen` said at the start.
    listen: Setting<SocketAddr>,
    names: Names,
    drain: Duration,
    end: End,
}

/// How far the end of a server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is not in sight.
    Far,
    /// The cores take in what the program's own threads have published, until then at most; so many have done so.
    Settling { until: Instant, settled: usize },
    /// The cores were told to drain.
    Draining,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeLimits {
    cores: u16,
    descriptors: u64,
    /// Of one core, if it has a file table of its own.
    core_max: usize,
    node_max: usize,
}

/// The inboxes are made whole at the start, and the kernel would rather end the process later than refuse them now.
fn check_inboxes(config: &Config, cores: u16) -> io::Result<()> {
    let bytes = u64::from(cores) * u64::from(cores) * u64::from(config.inbox_events.value) * INBOX_PLACE_BYTES;
    if bytes > INBOXES_BYTES_MAX {
        return Err(io::Error::other(format!(
            "{cores} cores with an inbox_size of {} ({}) would take {} MiB for the inboxes between them; at most {} MiB are allowed: \
             choose fewer cores or a smaller inbox_size",
            config.inbox_events.value,
            config.inbox_events.origin,
            bytes >> 20,
            INBOXES_BYTES_MAX >> 20
        )));
    }
    Ok(())
}

/// What the machine offers, or the control group, or the affinity mask: whatever is least.
fn cores_offered() -> u32 {
    let offered = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(offered).unwrap_or(1).clamp(crate::limits::CORES_RANGE.0, crate::limits::CORES_RANGE.1)
}

impl NodeLimits {
    /// Raises the process's limit of open files as far as it may and says how many connections that allows.
    ///
    /// # Errors
    ///
    /// If none are left for clients.
    pub(super) fn find(config: &Config, host: Host) -> io::Result<Self> {
        let cores = u16::try_from(config.cores.value.unwrap_or_else(cores_offered)).unwrap_or(SHARDS);
        let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
        let reserved = RESERVED_DESCRIPTORS + Wiring::count(cores);
        let free = usize::try_from(descriptors.saturating_sub(reserved)).unwrap_or(usize::MAX);
        if free == 0 {
            return Err(io::Error::other(format!(
                "the limit of open files is {descriptors}, which leaves none for clients; more than {reserved} are needed \
                 (ulimit -n, or LimitNOFILE in a unit file)"
            )));
        }
        // Without tables of their own the cores share one.
        let tables = if host == Host::Pushletd && worker::may_unshare() { usize::from(cores) } else { 1 };
        let all = free.saturating_mul(tables);
        let node_max = config.connections_max.value.map_or(all, |wanted| (wanted as usize).min(all));
        if config.connections_max.value.is_some_and(|wanted| wanted as usize > all) {
            tracing::warn!(
                "max_connections is more than the limit of open files allows: there will be {node_max}, with {descriptors} open files for \
                 each file table; raise it by LimitNOFILE in a unit file, or ulimit -n"
            );
        }
        Ok(Self { cores, descriptors, core_max: free.min(node_max), node_max })
    }
}

impl Node {
    /// Starts the cores and returns when all of them serve. `written` are descriptors that signal handlers of `pushletd` write to.
    ///
    /// # Errors
    ///
    /// What a core says that cannot start. Inside a program those that have started have ended then.
    pub(super) fn start(config: &Config, limits: NodeLimits, host: Host, written: &[RawFd]) -> io::Result<Self> {
        let cores = limits.cores;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        check_inboxes(config, cores)?;
        let wiring = Wiring::lay(cores)?;
        let (tell, news) = mpsc::channel();
        let bounds = LaneBounds { messages_max: config.inbox_events.value as usize, bytes_max: INBOX_BYTES_MAX };
        let boards: Arc<[Board]> = (0..cores).map(|_| Board::default()).collect();
        let count = Arc::new(NodeCount { max: limits.node_max, now: AtomicUsize::new(0) });
        let clock = Clock::start();
        let (hall, booths) = Hall::new(Arc::clone(&boards), Arc::clone(&wiring));
        let drain = Duration::from_millis(config.drain_ms.value);
        let (orders, threads, started) = (Vec::new(), Vec::new(), Vec::new());
        let (roster, end) = (Roster::new(Arc::clone(&hall), hall.sources()), End::Far);
        let (listen, names) = (config.listen.clone(), Names::default());
        let mut node =
            Self { host, wiring, hall, roster, news, orders, threads, started, limits, listen, names, drain, end };
        for ((number, port), booth) in (0..cores).zip(mesh::ports::<Letter>(cores, bounds)).zip(booths) {
            let (order, orders) = mpsc::channel();
            let seat = Seat {
                number,
                cores,
                // The first core opens the address alone, so that no other pushletd can have it; the others open it beside the first.
                listen: node.started.first().map_or(config.listen.value, |first| first.address),
                config: config.clone(),
                tuning: Tuning::new(config, cores, limits.core_max, &mut node.names),
                clock,
                port,
                boards: Arc::clone(&boards),
                count: Arc::clone(&count),
                wiring: Arc::clone(&node.wiring),
                hall: Arc::clone(&node.hall),
                booth,
                host,
                connections_max: limits.core_max,
                written: written.to_vec(),
                orders,
                news: tell.clone(),
            };
            if let Err(error) = node.seat(seat, order) {
                node.give_up();
                return Err(error);
            }
        }
        // P-35: every core serves, and nobody has been told so yet.
        node.roster.adjust(config);
        Ok(node)
    }

    /// Starts a core and waits until it serves.
    fn seat(&mut self, seat: Seat, order: mpsc::Sender<Order>) -> io::Result<()> {
        self.threads.push(worker::spawn(seat)?);
        self.orders.push(order);
        let started = self.await_start()?;
        self.started.push(started);
        Ok(())
    }

    fn await_start(&self) -> io::Result<Started> {
        match self.news.recv_timeout(START_MAX) {
            Ok(News { came: Came::Started(started), .. }) => Ok(started),
            Ok(News { came: Came::Failed(error), .. }) => Err(error),
            Ok(News { core, .. }) => Err(io::Error::other(format!("core {core} ended before it had started"))),
            Err(_) => Err(io::Error::other("a core did not start in time")),
        }
    }

    /// The start has failed: in a program that goes on, the cores that serve already must not.
    fn give_up(mut self) {
        if self.host == Host::Program {
            self.hall.close();
            self.stop(0);
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.started.first().expect("a node has a core, and all of them have started").address
    }

    /// Where its admin port is.
    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.started.first().and_then(|first| first.admin)
    }

    /// The sources of events.
    pub(super) fn roster(&self) -> &Roster {
        &self.roster
    }

    /// A handle to publish with.
    pub(super) fn publisher(&self) -> Publisher {
        Publisher::new(&self.hall)
    }

    /// P-32: begins the end. Nothing of the program's own threads is taken any more, and the cores are told to drain once what was taken has
    /// come to all of them.
    fn begin_end(&mut self) {
        // Sources of events stop before the handles that they publish with are refused. Nobody waits for them here.
        self.roster.order_stop();
        self.hall.close();
        if self.hall.has_publishers() {
            self.order_all(|| Order::Settle);
            self.end = End::Settling { until: Instant::now() + SETTLE_MAX, settled: 0 };
        } else {
            self.begin_drain();
        }
    }

    fn begin_drain(&mut self) {
        self.order_all(|| Order::Drain);
        self.end = End::Draining;
    }

    /// A core has settled, or time has passed.
    fn go_on_settling(&mut self, more: usize) {
        let cores = self.orders.len();
        if let End::Settling { until, settled } = &mut self.end {
            *settled += more;
            if *settled == cores || Instant::now() >= *until {
                self.begin_drain();
            }
        }
    }

    /// When there is something to do although nothing comes: the end of the drain time, or of settling.
    fn next_look(&self, drain_until: Option<Instant>) -> Option<Instant> {
        match self.end {
            End::Settling { until, .. } => Some(drain_until.map_or(until, |drain| drain.min(until))),
            End::Far | End::Draining => drain_until,
        }
    }

    /// Drains and stops, as `pushletd` does on a signal.
    ///
    /// # Errors
    ///
    /// If a core has ended by a fault of ours.
    pub(super) fn drain_and_stop(mut self) -> io::Result<embed::Stopped> {
        let until = Instant::now() + self.drain;
        self.begin_end();
        let (mut drained, mut ended, mut fault) = (0, 0, None);
        while drained + ended < self.orders.len() && Instant::now() < until {
            let next = self.next_look(Some(until)).unwrap_or(until);
            match self.news.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(News { came: Came::Drained, .. }) => drained += 1,
                Ok(News { came: Came::Settled, .. }) => self.go_on_settling(1),
                Ok(News { came: Came::Started(_) | Came::Tuned, .. }) => {}
                Ok(News { came: Came::Failed(error), .. }) => fault = Some(error),
                Ok(News { core, came: Came::Ended { .. } }) => {
                    ended += 1;
                    fault.get_or_insert_with(|| io::Error::other(format!("core {core} had ended before the server")));
                    self.go_on_settling(1);
                }
                Err(_) => self.go_on_settling(0),
            }
        }
        self.roster.await_stop();
        let connections_cut = self.stop(ended);
        fault.map_or(Ok(embed::Stopped { connections_cut }), Err)
    }

    /// Waits for signals and for what the cores tell, until the end.
    fn supervise(mut self, signals: &Signals, config: &Config, inputs: &Inputs) -> io::Result<Ended> {
        let mut running = config.clone();
        let (mut signals_seen, mut drain_until, mut drained, mut untuned) = (0, None, 0, 0);
        let mut gone_until = None;
        loop {
            self.wait(signals, gone_until.or_else(|| self.next_look(drain_until)))?;
            self.roster.tend();
            signals_seen += signals::count(&signals.stop);
            if signals_seen >= 2 {
                tracing::warn!("stopping now");
                return Ok(Ended::Forced);
            }
            if signals_seen == 1 && drain_until.is_none() {
                tracing::info!("draining; a second signal stops at once");
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                drain_until = Some(Instant::now() + self.drain);
                self.begin_end();
            }
            if signals::count(&signals.reload) > 0 && drain_until.is_none() {
                untuned += self.reload(&mut running, inputs);
            }
            while let Ok(News { core, came }) = self.news.try_recv() {
                match came {
                    Came::Drained => drained += 1,
                    Came::Settled => self.go_on_settling(1),
                    Came::Tuned => {
                        untuned -= 1;
                        if untuned == 0 {
                            tracing::info!("the configuration was reloaded");
                        }
                    }
                    Came::Started(_) => {}
                    Came::Failed(error) => return Err(error),
                    Came::Ended { .. } => {
                        return Err(io::Error::other(format!(
                            "core {core} has ended; the other cores cannot go on alone"
                        )));
                    }
                }
            }
            self.go_on_settling(0);
            let over = drain_until.is_some_and(|until| Instant::now() >= until);
            if drained == self.orders.len() || over {
                // The drain time was the sources' as well. No program of theirs is left behind, and a second signal is heard meanwhile.
                let until = *gone_until.get_or_insert_with(|| Instant::now() + SOURCES_STOP_MAX);
                if self.roster.is_gone() || Instant::now() >= until {
                    self.stop(0);
                    return Ok(Ended::Drained);
                }
            }
        }
    }

    /// Ends the cores, of which so many have ended before. Says how many connections that has cut off.
    fn stop(&mut self, ended: usize) -> usize {
        self.order_all(|| Order::Stop);
        let until = Instant::now() + STOP_MAX;
        let (mut left, mut cut) = (self.threads.len().saturating_sub(ended), 0);
        while left > 0 {
            match self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(News { came: Came::Ended { connections }, .. }) => {
                    left -= 1;
                    cut += connections;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        if left == 0 && self.host == Host::Program {
            // Each has said its last word, so nobody is waited for. One that hangs is left alone.
            for thread in self.threads.drain(..) {
                // A core that has panicked has been told of.
                let _ = thread.join();
            }
        }
        tracing::info!(connections_cut = cut, "stopped");
        cut
    }

    /// Waits for a signal or for news, or until `until`.
    fn wait(&self, signals: &Signals, until: Option<Instant>) -> io::Result<()> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| rustix::event::Timespec::try_from(left).ok());
        let bell = self.wiring.main_bell();
        let watched: [BorrowedFd<'_>; 3] = [signals.stop.as_fd(), signals.reload.as_fd(), bell.as_fd()];
        let mut watched = watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut watched, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        wiring::silence(bell);
        Ok(())
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        for orders in &self.orders {
            // The cores look for orders at every tick. One that is gone has told so.
            let _ = orders.send(order());
        }
    }

    /// HUP: reads the configuration again; the cores take what can change while serving. Says how many of them will tell that they have.
    fn reload(&mut self, running: &mut Config, inputs: &Inputs) -> usize {
        match super::args::load(inputs) {
            Err(errors) => {
                for error in errors {
                    tracing::error!(%error, "the configuration was not reloaded; nothing has changed");
                }
                0
            }
            Ok(wanted) => {
                for name in fixed_changes(running, &wanted) {
                    tracing::warn!(setting = name, "this setting takes effect with the next start");
                }
                let cores = u16::try_from(self.orders.len()).unwrap_or(SHARDS);
                for warning in wanted.warnings() {
                    tracing::warn!("{warning}");
                }
                // Who can reach a running server does not change, whatever `listen` says by now.
                let in_force = Config { listen: self.listen.clone(), ..wanted.clone() };
                tracing::info!("access {}", gate::told(&in_force));
                let tuning = Tuning::new(&in_force, cores, self.limits.core_max, &mut self.names);
                self.order_all(|| Order::Tune(Box::new(tuning.apart())));
                self.roster.adjust(&in_force);
                *running = wanted;
                self.orders.len()
            }
        }
    }
}

impl Tuning {
    fn new(config: &Config, cores: u16, connections_max: usize, names: &mut Names) -> Self {
        let gate = Gate::new(config, names);
        Self {
            settings: broker_settings(config, cores, connections_max, &gate),
            routes: routes(config, &gate),
            patience: patience(config),
            batch_delay_us: config.batch_delay_ms.value.saturating_mul(1000),
        }
    }

    /// A copy for one core: it counts nothing together with others.
    fn apart(&self) -> Self {
        let settings = Settings { access: Arc::new(self.settings.access.apart()), ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }
}

/// Settings that a running server cannot change.
fn fixed_changes(running: &Config, wanted: &Config) -> Vec<&'static str> {
    [
        ("listen", running.listen.value != wanted.listen.value),
        ("admin", running.admin.value != wanted.admin.value),
        ("cores", running.cores.value != wanted.cores.value),
        ("pin", running.pin.value != wanted.pin.value),
        ("io_driver", running.io_driver.value != wanted.io_driver.value),
        ("inbox_size", running.inbox_events.value != wanted.inbox_events.value),
        ("ring_entries", running.ring_entries.value != wanted.ring_entries.value),
        ("max_connections", running.connections_max.value != wanted.connections_max.value),
        ("log_format", running.log_format.value != wanted.log_format.value),
        ("log_level", running.log_level.value != wanted.log_level.value),
        ("drain_time", running.drain_ms.value != wanted.drain_ms.value),
    ]
    .into_iter()
    .filter_map(|(name, changed)| changed.then_some(name))
    .collect()
}

fn routes(config: &Config, gate: &Gate) -> Routes {
    Routes {
        allow_origins: config.http.allow_origins.value.clone(),
        force_pull_agents: config.pushlet.force_pull_agents.value.clone(),
        keyring: Arc::clone(&gate.keyring),
        pages: Arc::new(Pages::load()),
        demo: config.demo_is_on(),
        ws_deflate: config.http.ws_deflate.value,
        ws_message_max: config.http.ws_message_max.value,
    }
}

fn patience(config: &Config) -> Patience {
    let heartbeat_ms = config.heartbeat_ms.value;
    Patience {
        head_ms: config.http.head_timeout_ms.value,
        body_ms: config.http.body_timeout_ms.value,
        idle_ms: config.http.idle_timeout_ms.value,
        silence_ms: heartbeat_ms + WS_SILENCE_SLACK_MS.min(heartbeat_ms / 2),
        pong_ms: WS_PONG_MS.min(heartbeat_ms),
    }
}

fn broker_settings(config: &Config, cores: u16, connections_max: usize, gate: &Gate) -> Settings {
    let pushlet = &config.pushlet;
    let wait = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    Settings {
        core: 0,
        shards: ShardTable::new(cores),
        sessions_max: connections_max.saturating_mul(SESSIONS_PER_CONNECTION),
        bounds: Bounds { events_max: config.queue_events.value, bytes_max: config.queue_bytes.value },
        overflow: config.overflow.value,
        session_timeout_ms: config.session_timeout_ms.value,
        heartbeat_ms: config.heartbeat_ms.value,
        pull_wait_ms: pushlet.pull_wait_ms.value,
        pull_refresh_timeout_ms: pushlet.pull_refresh_timeout_ms.value,
        poll_refresh_timeout_ms: pushlet.poll_refresh_timeout_ms.value,
        pull_refresh_wait_ms: (
            wait(pushlet.pull_refresh_wait_min_ms.value),
            wait(pushlet.pull_refresh_wait_max_ms.value),
        ),
        poll_refresh_wait_ms: (
            wait(pushlet.poll_refresh_wait_min_ms.value),
            wait(pushlet.poll_refresh_wait_max_ms.value),
        ),
        detached_timeout_ms: pushlet.detached_timeout_ms.value,
        force_pull_all: pushlet.force_pull_all.value,
        ws_message_max: config.http.ws_message_max.value,
        expose_session_ids: pushlet.expose_session_ids.value,
        access: Arc::clone(&gate.access),
        presence: Arc::clone(&gate.presence),
    }
}

/// One line each: listening where, how many cores, which driver and why, limits in force; then what to try.
fn announce(config: &Config, started: &[Started], limits: NodeLimits) -> io::Result<()> {
    let Some(first) = started.first() else { return Ok(()) };
    let address = first.address;
    let admin = first.admin.map_or_else(|| String::from("off"), |address| format!("http://{address}/"));
    let (events, bytes) = (config.queue_events.value, config.queue_bytes.value);
    let NodeLimits { descriptors, node_max, .. } = limits;
    let mut drivers = format!("{} ({})", first.driver.name(), first.why);
    for (core, other) in started.iter().enumerate().filter(|(_, other)| other.driver != first.driver) {
        drivers += &format!(", core {core}: {} ({})", other.driver.name(), other.why);
    }
    let shared = started.iter().find_map(|core| core.table_refused.as_ref());
    let tables = match shared {
        None => String::from("for each core"),
        Some(error) => format!("shared by all cores: {error}"),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}/")?;
    writeln!(out, "admin on {admin}")?;
    writeln!(out, "cores: {}, I/O driver: {drivers}", started.len())?;
    writeln!(
        out,
        "limits: {node_max} connections ({descriptors} descriptors {tables}), queue of {events} events and {bytes} bytes a session"
    )?;
    writeln!(out, "access {}", gate::told(config))?;
    if let Some(advice) = gate::advice(config) {
        writeln!(out, "access: {advice}")?;
    }
    if config.demo_is_on() {
        writeln!(out, "open: http://{address}/ in a browser")?;
    }
    writeln!(out, "try:  curl -N 'http://{address}/pushlet.srv?p_event=join-listen&p_subject=/hello&p_format=json'")?;
    writeln!(out, "then: pushletd pub http://{address}/ /hello text=world   (in a second terminal)")?;
    out.flush()
}
