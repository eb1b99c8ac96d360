//! From a configuration to a running server, and back to an exit code.

use std::cell::{Cell, RefCell};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::clock::Clock;
use super::core::{Core, Parts, Patience};
use super::listener::{self, Door};
use super::readiness::{Driver, Fair, Readiness};
use super::router::Routes;
use super::signals::{self, Signals};
use super::{logging, net};
use crate::broker::{Broker, Settings};
use crate::config::{Config, ConfigError, Inputs, IoDriver, Origin};
use crate::limits::TICK_MS;
use crate::protocol::ShardTable;
use crate::session::Bounds;

/// Descriptors that are not for clients: log, rings, epoll sets, listeners, pipes, and what the admin port needs.
const RESERVED_DESCRIPTORS: u64 = 64;
/// Sessions for each connection that may be open: joined ones and pull clients between two requests hold none.
const SESSIONS_PER_CONNECTION: usize = 4;

/// How often a taken port is tried again, and after which pause.
const TAKEN_PORT_TRIES: u32 = 20;
const TAKEN_PORT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until a signal ends it, then returns the process's exit code. Errors are told on standard error. `inputs` are what `config` was
/// made of: they are read again on HUP.
#[must_use]
pub fn serve(config: &Config, inputs: &Inputs) -> ExitCode {
    let log = logging::start(config.log_format.value, config.log_level.value);
    let code = match Boot::prepare(config).and_then(|boot| boot.run(config, inputs)) {
        Ok(Stopped::Drained) => ExitCode::SUCCESS,
        Ok(Stopped::Forced) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pushletd: {error}");
            ExitCode::FAILURE
        }
    };
    drop(log);
    code
}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// Every connection had its last bytes, or the drain time was over.
    Drained,
    /// A second signal came.
    Forced,
}

/// Everything that can fail before the first connection.
struct Boot {
    listener: OwnedFd,
    address: SocketAddr,
    admin: Option<(OwnedFd, SocketAddr)>,
    signals: Signals,
    connections_max: usize,
    descriptors: u64,
}

impl Boot {
    fn prepare(config: &Config) -> io::Result<Self> {
        let descriptors = rlimit::increase_nofile_limit(u64::MAX)?;
        let free = usize::try_from(descriptors.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(usize::MAX);
        if free == 0 {
            return Err(io::Error::other(format!(
                "the limit of open files is {descriptors}, which leaves none for clients; more than {RESERVED_DESCRIPTORS} are needed \
                 (ulimit -n, or LimitNOFILE in a unit file)"
            )));
        }
        let connections_max = config.connections_max.value.map_or(free, |wanted| (wanted as usize).min(free));
        let (listener, address) = open(config.listen.value, &config.listen.origin.to_string())?;
        let admin = match config.admin.value {
            Some(wanted) => Some(open(wanted, &config.admin.origin.to_string())?),
            None => None,
        };
        let signals = Signals::catch()?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        if config.pin.value {
            pin();
        }
        if config.connections_max.value.is_some_and(|wanted| wanted as usize > free) {
            tracing::warn!(
                connections_max,
                descriptors,
                "the limit of open files allows fewer connections than configured"
            );
        }
        Ok(Self { listener, address, admin, signals, connections_max, descriptors })
    }

    fn run(self, config: &Config, inputs: &Inputs) -> io::Result<Stopped> {
        let entries = config.ring_entries.value;
        let ring = || RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).enable_timer().build();
        let epoll = || RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        match config.io_driver.value {
            IoDriver::IoUring => {
                let mut runtime = ring().map_err(|error| told("io_uring was asked for and cannot be had", &error))?;
                runtime.block_on(self.live(config, inputs, Driver::IoUring, "asked for"))
            }
            IoDriver::Epoll => epoll()?.block_on(self.live(config, inputs, Driver::Epoll, "asked for")),
            IoDriver::Auto => match ring() {
                Ok(mut runtime) => runtime.block_on(self.live(config, inputs, Driver::IoUring, "available")),
                Err(error) => {
                    let why = format!("io_uring cannot be had: {error}");
                    epoll()?.block_on(self.live(config, inputs, Driver::Epoll, &why))
                }
            },
        }
    }

    /// The life of the only core. When it is over the process ends: the runtime is not dropped with operations in flight by anyone who waits
    /// for what they would do.
    async fn live(self, config: &Config, inputs: &Inputs, driver: Driver, why: &str) -> io::Result<Stopped> {
        let clock = Clock::start();
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let broker = Broker::new(broker_settings(config, self.connections_max), clock.now(), u64::from_ne_bytes(seed));
        let (core, waiter) = Core::new(parts(config, clock, self.connections_max, driver), broker)?;
        let core = Rc::new(RefCell::new(core));
        let fair = Rc::new(Fair::new(driver)?);
        let stopped = Rc::new(Cell::new(None));
        let listener = Rc::new(self.listener);

        let epoll = Readiness::new(waiter)?;
        monoio::spawn(take_turns(Rc::clone(&core), epoll, Rc::clone(&fair), driver));
        let door = Door { ready: Readiness::new(listener.try_clone()?)?, listener: Rc::clone(&listener), admin: false };
        monoio::spawn(listener::accept_all(Rc::clone(&core), door, Rc::clone(&fair)));
        let admin_address = self.admin.as_ref().map(|(_, address)| *address);
        if let Some((listener, _)) = self.admin {
            let door = Door { ready: Readiness::new(listener.try_clone()?)?, listener: Rc::new(listener), admin: true };
            monoio::spawn(listener::accept_all(Rc::clone(&core), door, Rc::clone(&fair)));
        }
        monoio::spawn(await_stop(Rc::clone(&core), self.signals.stop, Rc::clone(&listener), Rc::clone(&stopped)));
        monoio::spawn(await_reload(Rc::clone(&core), self.signals.reload, config.clone(), inputs.clone()));

        announce(config, self.address, admin_address, driver, why, self.connections_max, self.descriptors)?;
        // Not every system has a supervisor that wants to know.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        Ok(tick(&core, &fair, &stopped, Duration::from_millis(config.drain_ms.value)).await)
    }
}

/// Takes turns as long as something is ready.
async fn take_turns(core: Rc<RefCell<Core>>, epoll: Readiness, fair: Rc<Fair>, driver: Driver) {
    loop {
        if let Err(error) = epoll.readable().await {
            tracing::error!(%error, "the connections cannot be waited for");
            return;
        }
        while core.borrow_mut().turn() {
            fair.yield_now().await;
        }
        if driver == Driver::Epoll {
            // There, waiting for a ready descriptor returns at once: without this, timers and accepts would starve under steady load.
            fair.yield_now().await;
        }
    }
}

/// Moves the deadlines on, and ends when the server has drained.
async fn tick(core: &RefCell<Core>, fair: &Fair, stopped: &Cell<Option<Stopped>>, drain: Duration) -> Stopped {
    let mut drain_until = None;
    let mut next = monoio::time::Instant::now();
    loop {
        next += Duration::from_millis(TICK_MS);
        monoio::time::sleep_until(next).await;
        next = next.max(monoio::time::Instant::now());
        let mut more = core.borrow_mut().tick();
        // What the tick has begun goes on here, but a busy core is never out of work: the next tick comes all the same.
        while more && monoio::time::Instant::now() < next + Duration::from_millis(TICK_MS) {
            fair.yield_now().await;
            more = core.borrow_mut().turn();
        }
        if stopped.get() == Some(Stopped::Forced) {
            return Stopped::Forced;
        }
        if core.borrow().draining {
            let until = *drain_until.get_or_insert_with(|| monoio::time::Instant::now() + drain);
            if core.borrow().is_drained() || monoio::time::Instant::now() >= until {
                let left = core.borrow().connections.len();
                tracing::info!(connections_cut = left, "stopped");
                return Stopped::Drained;
            }
        }
    }
}

/// P-32: the first TERM or INT drains, the second one ends the process now.
async fn await_stop(
    core: Rc<RefCell<Core>>,
    signal: OwnedFd,
    listener: Rc<OwnedFd>,
    stopped: Rc<Cell<Option<Stopped>>>,
) {
    let Ok(ready) = signal.try_clone().and_then(Readiness::new) else { return };
    let mut seen = 0;
    while ready.readable().await.is_ok() {
        seen += signals::count(&signal);
        if seen >= 2 {
            tracing::warn!("stopping now");
            stopped.set(Some(Stopped::Forced));
            return;
        }
        if seen == 1 {
            tracing::info!("draining; a second signal stops at once");
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
            net::stop_listening(&listener);
            core.borrow_mut().drain();
        }
    }
}

/// Reads the configuration on a thread of its own: a slow disk must not stop the core. The thread tells its end by closing a socket.
async fn load_beside(inputs: &Inputs) -> Result<Config, Vec<ConfigError>> {
    let failed = |error: io::Error| {
        let problem = format!("the configuration cannot be read: {error}");
        vec![ConfigError { origin: Origin::Default, key: String::new(), problem }]
    };
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    let ready = Readiness::new(ours.into()).map_err(failed)?;
    let inputs = inputs.clone();
    let reader = std::thread::spawn(move || {
        let loaded = super::args::load(&inputs);
        drop(theirs);
        loaded
    });
    ready.readable().await.map_err(failed)?;
    reader.join().unwrap_or_else(|_| Err(failed(io::Error::other("the reader failed"))))
}

/// HUP: reads the configuration again and takes what can change while serving.
async fn await_reload(core: Rc<RefCell<Core>>, signal: OwnedFd, mut running: Config, inputs: Inputs) {
    let Ok(ready) = signal.try_clone().and_then(Readiness::new) else { return };
    while ready.readable().await.is_ok() {
        if signals::count(&signal) == 0 {
            continue;
        }
        match load_beside(&inputs).await {
            Err(errors) => {
                for error in errors {
                    tracing::error!(%error, "the configuration was not reloaded; nothing has changed");
                }
            }
            Ok(wanted) => {
                for name in fixed_changes(&running, &wanted) {
                    tracing::warn!(setting = name, "this setting takes effect with the next start");
                }
                let mut core = core.borrow_mut();
                let connections_max = core.parts.connections_max;
                core.broker.handle_settings(broker_settings(&wanted, connections_max));
                core.parts.routes = routes(&wanted);
                core.parts.patience = patience(&wanted);
                running = wanted;
                tracing::info!("the configuration was reloaded");
            }
        }
    }
}

/// Binds the event loop, which is this thread, to the first CPU that the process may use.
fn pin() {
    let bound = core_affinity::get_core_ids()
        .and_then(|cpus| cpus.first().copied())
        .is_some_and(core_affinity::set_for_current);
    if !bound {
        tracing::warn!("the event loop could not be bound to a CPU");
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

/// Opens a listening socket. A port that is taken is tried again for a second: the ring of a process that was killed holds its listener for
/// some milliseconds after the process is gone. No core runs yet, so the pause stops nobody.
fn open(address: SocketAddr, origin: &str) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut opened = net::listen(address);
    for _ in 0..TAKEN_PORT_TRIES {
        if !matches!(&opened, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
        std::thread::sleep(TAKEN_PORT_PAUSE);
        opened = net::listen(address);
    }
    opened.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; another program, perhaps another pushletd, serves there",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ => "",
        };
        told(&format!("cannot listen on {address} ({origin}){hint}"), &error)
    })
}

fn told(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn routes(config: &Config) -> Routes {
    Routes {
        allow_origins: config.http.allow_origins.value.clone(),
        force_pull_agents: config.pushlet.force_pull_agents.value.clone(),
    }
}

fn patience(config: &Config) -> Patience {
    Patience {
        head_ms: config.http.head_timeout_ms.value,
        body_ms: config.http.body_timeout_ms.value,
        idle_ms: config.http.idle_timeout_ms.value,
    }
}

fn parts(config: &Config, clock: Clock, connections_max: usize, driver: Driver) -> Parts {
    Parts { driver, number: 0, clock, routes: routes(config), patience: patience(config), connections_max }
}

fn broker_settings(config: &Config, connections_max: usize) -> Settings {
    let pushlet = &config.pushlet;
    let wait = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    Settings {
        core: 0,
        shards: ShardTable::new(1),
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
        expose_session_ids: pushlet.expose_session_ids.value,
    }
}

/// One line each: listening where, how many cores, which driver and why, limits in force; then what to try.
fn announce(
    config: &Config,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    driver: Driver,
    why: &str,
    connections_max: usize,
    descriptors: u64,
) -> io::Result<()> {
    let driver = driver.name();
    let admin = admin.map_or_else(|| String::from("off"), |address| format!("http://{address}/"));
    let (events, bytes) = (config.queue_events.value, config.queue_bytes.value);
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{address}/")?;
    writeln!(out, "admin on {admin}")?;
    writeln!(out, "cores: {}, I/O driver: {driver} ({why})", config.cores.value)?;
    writeln!(
        out,
        "limits: {connections_max} connections ({descriptors} descriptors), queue of {events} events and {bytes} bytes a session"
    )?;
    writeln!(out, "try:  curl -N 'http://{address}/pushlet.srv?p_event=join-listen&p_subject=/hello&p_format=json'")?;
    writeln!(out, "then: pushletd pub http://{address}/ /hello text=world   (in a second terminal)")?;
    out.flush()
}
