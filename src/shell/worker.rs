//! The life of one core: a thread with a file table, a runtime, a listener and a [`Core`] of its own.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::boot::Host;
use super::clock::Clock;
use super::core::{Core, NodeCount, Parts, Patience};
use super::embed::{Booth, Hall};
use super::listener::{self, Door};
use super::readiness::{Driver, Fair, Readiness};
use super::router::Routes;
use super::wiring::{self, Wiring};
use super::{net, sys};
use crate::broker::{Broker, Hub, Letter, Settings};
use crate::config::{Config, IoDriver};
use crate::limits::TICK_MS;
use crate::mesh::Port;
use crate::metrics::Board;

/// How often a taken port is tried again, and after which pause.
const TAKEN_PORT_TRIES: u32 = 20;
const TAKEN_PORT_PAUSE: Duration = Duration::from_millis(50);

/// What a core is given at its start.
pub(super) struct Seat {
    pub(super) number: u16,
    pub(super) cores: u16,
    pub(super) listen: SocketAddr,
    pub(super) config: Config,
    pub(super) tuning: Tuning,
    pub(super) clock: Clock,
    pub(super) port: Port<Letter>,
    pub(super) boards: Arc<[Board]>,
    pub(super) count: Arc<NodeCount>,
    pub(super) wiring: Arc<Wiring>,
    pub(super) hall: Arc<Hall>,
    pub(super) booth: Booth,
    pub(super) host: Host,
    pub(super) connections_max: usize,
    /// What signal handlers write to.
    pub(super) written: Vec<RawFd>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) news: mpsc::Sender<News>,
}

/// What can change while a core runs.
#[derive(Clone, Debug)]
pub(super) struct Tuning {
    pub(super) settings: Settings,
    pub(super) routes: Routes,
    pub(super) patience: Patience,
    pub(super) batch_delay_us: u64,
}

/// What the main thread wants.
#[derive(Debug)]
pub(super) enum Order {
    /// Give to all cores what the program's own threads have published. Nothing more comes from them.
    Settle,
    /// P-32: no new connections, end all sessions.
    Drain,
    /// Take new settings.
    Tune(Box<Tuning>),
    /// End.
    Stop,
}

/// What a core tells the main thread.
#[derive(Debug)]
pub(super) struct News {
    pub(super) core: u16,
    pub(super) came: Came,
}

/// What has come to pass on a core.
#[derive(Debug)]
pub(super) enum Came {
    /// It has nothing left of what the program's own threads have published.
    Settled,
    /// It serves.
    Started(Started),
    /// It could not start.
    Failed(io::Error),
    /// It has taken the new settings.
    Tuned,
    /// It drains and has no client any more.
    Drained,
    /// It has ended, with so many connections open.
    Ended { connections: usize },
}

/// A core that serves.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) address: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) driver: Driver,
    pub(super) why: String,
    /// Why it has no file table of its own.
    pub(super) table_refused: Option<String>,
}

/// Tells the main thread, whatever happens: a core that panics has ended as well.
struct Teller {
    core: u16,
    news: mpsc::Sender<News>,
    wiring: Arc<Wiring>,
    hall: Arc<Hall>,
    /// Open connections, for the last word.
    connections: Rc<Cell<usize>>,
}

impl Teller {
    fn tell(&self, came: Came) {
        // The main thread outlives every core.
        let _ = self.news.send(News { core: self.core, came });
        wiring::ring(self.wiring.main_bell());
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The other cores cannot go on alone: from now on whoever publishes is told.
            self.hall.close();
        }
        self.tell(Came::Ended { connections: self.connections.get() });
    }
}

/// Whether threads may have file tables of their own here (invariant A4). Sandboxes refuse it.
pub(super) fn may_unshare() -> bool {
    std::thread::Builder::new()
        .name(String::from("probe"))
        .spawn(|| sys::unshare_files().is_ok())
        .is_ok_and(|probe| probe.join().unwrap_or(false))
}

/// Starts a core on a thread of its own.
///
/// # Errors
///
/// What the kernel says if there can be no more threads. What goes wrong later comes as [`News`].
pub(super) fn spawn(seat: Seat) -> io::Result<JoinHandle<()>> {
    let name = format!("core {}", seat.number);
    std::thread::Builder::new().name(name).spawn(move || {
        // First of all, before anything here owns a descriptor.
        let table_refused = part_files(&seat).err();
        let connections = Rc::new(Cell::new(0));
        let (wiring, hall) = (Arc::clone(&seat.wiring), Arc::clone(&seat.hall));
        let teller = Teller { core: seat.number, news: seat.news.clone(), wiring, hall, connections };
        if let Err(error) = run(seat, &teller, table_refused) {
            teller.tell(Came::Failed(error));
        }
    })
}

/// Gives the calling thread a file table of its own, or says why it has none.
///
/// Not inside a program: its signal handlers may write to pipes of theirs on whichever thread a signal comes to, and in another table such a
/// number would be some client's socket.
fn part_files(seat: &Seat) -> Result<(), String> {
    if seat.host == Host::Program {
        return Err(String::from("the program has one"));
    }
    sys::unshare_files().map_err(|error| error.to_string())?;
    if let Err(error) = sys::close_inherited(&seat.wiring.all(), &seat.written) {
        tracing::warn!(%error, "a core's file table keeps what it has inherited");
    }
    Ok(())
}

fn run(seat: Seat, teller: &Teller, table_refused: Option<String>) -> io::Result<()> {
    if seat.config.pin.value {
        pin(seat.number);
    }
    let entries = seat.config.ring_entries.value;
    let ring = || RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).enable_timer().build();
    let epoll = || RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
    let told = |driver, why: &str| (driver, String::from(why), table_refused);
    let host = seat.host;
    match seat.config.io_driver.value {
        IoDriver::IoUring => {
            let mut runtime = ring().map_err(|error| said("io_uring was asked for and cannot be had", &error))?;
            let lived = runtime.block_on(live(seat, teller, told(Driver::IoUring, "asked for")));
            leave(runtime, host, lived)
        }
        IoDriver::Epoll => {
            let mut runtime = epoll()?;
            let lived = runtime.block_on(live(seat, teller, told(Driver::Epoll, "asked for")));
            leave(runtime, host, lived)
        }
        IoDriver::Auto => match ring() {
            Ok(mut runtime) => {
                let lived = runtime.block_on(live(seat, teller, told(Driver::IoUring, "available")));
                leave(runtime, host, lived)
            }
            Err(error) => {
                let mut runtime = epoll()?;
                let why = format!("io_uring cannot be had: {error}");
                let lived = runtime.block_on(live(seat, teller, told(Driver::Epoll, &why)));
                leave(runtime, host, lived)
            }
        },
    }
}

/// Gives the runtime back if nothing is in flight on it: with operations in flight it must not be dropped.
fn leave<R>(runtime: R, host: Host, lived: io::Result<()>) -> io::Result<()> {
    match host {
        Host::Program if lived.is_ok() => drop(runtime),
        // The process ends soon, or the start has failed halfway.
        Host::Program | Host::Pushletd => std::mem::forget(runtime),
    }
    lived
}

/// From the listener to the end.
async fn live(seat: Seat, teller: &Teller, told: (Driver, String, Option<String>)) -> io::Result<()> {
    let (driver, why, table_refused) = told;
    let (listener, address) = listen(&seat).await?;
    let admin = match seat.config.admin.value.filter(|_| seat.number == 0) {
        Some(wanted) => Some(open(wanted, &seat.config.admin.origin.to_string()).await?),
        None => None,
    };
    let admin_address = admin.as_ref().map(|(_, address)| *address);
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let Seat { number, tuning, clock, port, boards, count, wiring, hall, booth, host, connections_max, orders, .. } =
        seat;
    let settings = Settings { core: number, ..tuning.settings };
    let hub = Hub::new(Broker::new(settings, clock.now(), u64::from_ne_bytes(seed)), port);
    let parts = Parts {
        number,
        clock,
        routes: tuning.routes,
        patience: tuning.patience,
        connections_max,
        node: count,
        wiring,
        boards,
        sources: hall.sources(),
        driver,
        batch_delay_us: tuning.batch_delay_us,
        own_table: table_refused.is_none(),
    };
    let (core, waiter) = Core::new(parts, hub, booth)?;
    let core = Rc::new(RefCell::new(core));
    let fair = Rc::new(Fair::new(driver)?);
    let mut doors = vec![(Rc::new(listener), false)];
    doors.extend(admin.map(|(listener, _)| (Rc::new(listener), true)));

    let epoll = Readiness::new(waiter)?;
    let mut tasks = vec![monoio::spawn(take_turns(Rc::clone(&core), epoll, Rc::clone(&fair), driver))];
    for (listener, admin) in &doors {
        let ready = Readiness::new(listener.try_clone()?)?;
        let door = Door { ready, listener: Rc::clone(listener), admin: *admin };
        tasks.push(monoio::spawn(listener::accept_all(Rc::clone(&core), door, Rc::clone(&fair))));
    }
    teller.tell(Came::Started(Started { address, admin: admin_address, driver, why, table_refused }));
    obey(&core, &fair, &orders, &doors[0].0, teller).await;
    teller.connections.set(core.borrow().connections.len());
    if host == Host::Program {
        // The program goes on: nothing may be left in flight, and no descriptor open.
        core.borrow_mut().end();
        doors.iter().for_each(|(listener, _)| net::stop_listening(listener));
        for task in tasks {
            task.await;
        }
    }
    Ok(())
}

/// Takes turns as long as something is ready.
async fn take_turns(core: Rc<RefCell<Core>>, epoll: Readiness, fair: Rc<Fair>, driver: Driver) {
    loop {
        if let Err(error) = epoll.readable().await {
            tracing::error!(%error, "the connections cannot be waited for");
            return;
        }
        while !core.borrow().has_ended() && core.borrow_mut().turn() {
            fair.yield_now().await;
        }
        if core.borrow().has_ended() {
            return;
        }
        if driver == Driver::Epoll {
            // There, waiting for a ready descriptor returns at once: without this, timers and accepts would starve under steady load.
            fair.yield_now().await;
        }
    }
}

/// Moves the deadlines on and does what the main thread orders, until it orders the end.
async fn obey(core: &RefCell<Core>, fair: &Fair, orders: &mpsc::Receiver<Order>, listener: &OwnedFd, teller: &Teller) {
    let mut next = monoio::time::Instant::now();
    let (mut told_drained, mut settling) = (false, false);
    loop {
        next += Duration::from_millis(TICK_MS);
        monoio::time::sleep_until(next).await;
        next = next.max(monoio::time::Instant::now());
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Settle => settling = true,
                Order::Drain => {
                    net::stop_listening(listener);
                    core.borrow_mut().drain();
                }
                Order::Tune(tuning) => {
                    core.borrow_mut().tune(*tuning);
                    teller.tell(Came::Tuned);
                }
                Order::Stop => return,
            }
        }
        core.borrow_mut().tick();
        let mut more = core.borrow_mut().turn();
        // What the tick has begun goes on here, but a busy core is never out of work: the next tick comes all the same.
        while more && monoio::time::Instant::now() < next + Duration::from_millis(TICK_MS) {
            fair.yield_now().await;
            more = core.borrow_mut().turn();
        }
        if settling && core.borrow().is_settled() {
            settling = false;
            teller.tell(Came::Settled);
        }
        if !told_drained && core.borrow().is_drained() {
            told_drained = true;
            teller.tell(Came::Drained);
        }
    }
}

/// Binds the calling thread to one of the CPUs that the process may use.
fn pin(number: u16) {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let cpu = cpus.get(usize::from(number) % cpus.len().max(1)).copied();
    if usize::from(number) == cpus.len() {
        tracing::warn!(cpus = cpus.len(), "there are more cores than CPUs to bind them to: some share one");
    }
    if !cpu.is_some_and(core_affinity::set_for_current) {
        tracing::warn!(core = number, "an event loop could not be bound to a CPU");
    }
}

/// The core's own listener. The first one has the address for itself before it shares it: another pushletd that is running there, which the
/// kernel would let us share with, is an error.
async fn listen(seat: &Seat) -> io::Result<(OwnedFd, SocketAddr)> {
    let origin = seat.config.listen.origin.to_string();
    if seat.number > 0 {
        let listener = net::listen_beside(seat.listen).map_err(|error| {
            said(&format!("core {} cannot listen on {} ({origin})", seat.number, seat.listen), &error)
        })?;
        return Ok((listener, seat.listen));
    }
    let (listener, address) = open(seat.listen, &origin).await?;
    if seat.cores > 1 {
        net::share(&listener)?;
    }
    Ok((listener, address))
}

/// Opens a listening socket. A port that is taken is tried again for a second: the ring of a process that was killed holds its listener for
/// some milliseconds after the process is gone.
async fn open(address: SocketAddr, origin: &str) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut opened = net::listen(address);
    for _ in 0..TAKEN_PORT_TRIES {
        if !matches!(&opened, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
            break;
        }
        monoio::time::sleep(TAKEN_PORT_PAUSE).await;
        opened = net::listen(address);
    }
    opened.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; another program, perhaps another pushletd, serves there",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ => "",
        };
        said(&format!("cannot listen on {address} ({origin}){hint}"), &error)
    })
}

fn said(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
