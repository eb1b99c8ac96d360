//! Trap 3: tasks that do not let the others run.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use monoio::task::JoinHandle;
use pushletd::shell::readiness::{Driver, Fair, Readiness};
use rustix::net::{SocketFlags, accept_with};

use crate::support::{Said, listener, on_both_drivers, pair, poll_once, read, run};

/// What went on beside a busy task.
#[derive(Debug, Default)]
struct Progress {
    ticks: Cell<u32>,
    accepts: Cell<u32>,
    reads: Cell<u32>,
    /// Set when no more is wanted, so that nothing waits in the runtime when it is dropped.
    is_over: Cell<bool>,
}

impl Progress {
    fn is_everywhere(&self, least: u32) -> bool {
        [&self.ticks, &self.accepts, &self.reads].iter().all(|count| count.get() >= least)
    }
}

fn add_one(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

/// A timer that counts as fast as timers go.
fn spawn_ticker(progress: &Rc<Progress>) -> JoinHandle<()> {
    let progress = Rc::clone(progress);
    monoio::spawn(async move {
        while !progress.is_over.get() {
            monoio::time::sleep(Duration::from_millis(1)).await;
            add_one(&progress.ticks);
        }
    })
}

/// Works for `time` without giving way, as a fan-out does.
fn work(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Gives way as a task does that knows no better: it wakes itself.
async fn wake_oneself() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Trap 3, the trap: while a task wakes itself, no timer fires, on neither driver.
///
/// It may not be deleted: this is why there is [`Fair`], and why nothing else may be used to give way.
async fn a_task_that_wakes_itself_starves_timers(_: Driver) {
    let progress = Rc::new(Progress::default());
    let ticker = spawn_ticker(&progress);
    let seen = Rc::clone(&progress);
    let ticks = monoio::spawn(async move {
        let before = seen.ticks.get();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(100) {
            wake_oneself().await;
        }
        seen.ticks.get() - before
    });
    assert_eq!(ticks.await, 0, "100 ms without one of about 100 ticks");
    progress.is_over.set(true);
    ticker.await;
}

on_both_drivers!(
    /// Trap 3, the trap: while a task wakes itself, no timer fires.
    a_task_that_wakes_itself_starves_timers
);

/// Trap 3: the yield that is right for io_uring does nothing on epoll, where what is ready is found so without asking the kernel.
///
/// It may not be deleted: it is why [`Fair`] must be told which driver there is.
#[test]
fn the_yield_of_io_uring_yields_nothing_on_epoll() {
    run(Driver::Epoll, async |_| {
        let progress = Rc::new(Progress::default());
        let ticker = spawn_ticker(&progress);
        let fair = Fair::new(Driver::IoUring).expect("a yield");
        fair.yield_now().await;
        let before = progress.ticks.get();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(100) {
            fair.yield_now().await;
        }
        assert_eq!(progress.ticks.get() - before, 0);
        progress.is_over.set(true);
        ticker.await;
    });
}

/// Where to connect and write to, and the tasks that accept and read: they end when somebody connects after the end, and when the peer
/// is closed.
struct Server {
    address: SocketAddr,
    peer: UnixStream,
    tasks: [JoinHandle<()>; 2],
}

/// Accepts and answers, each in a task of its own that waits as the server's tasks wait.
fn spawn_server(progress: &Rc<Progress>) -> Server {
    let (listener, address) = listener();
    let (ours, peer) = pair();
    peer.set_nonblocking(false).expect("blocking");
    let accepting = Rc::clone(progress);
    let acceptor = monoio::spawn(async move {
        let watch = Readiness::new(listener.try_clone().expect("a duplicate").into()).expect("a watch");
        while !accepting.is_over.get() {
            watch.readable().await.expect("a listener");
            if accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).is_ok() {
                add_one(&accepting.accepts);
            }
        }
    });
    let reading = Rc::clone(progress);
    let reader = monoio::spawn(async move {
        let watch = Readiness::new(ours.try_clone().expect("a duplicate").into()).expect("a watch");
        loop {
            watch.readable().await.expect("a socket");
            let said = read(&ours);
            if said == Said::End {
                return;
            }
            assert!(matches!(said, Said::Bytes(_)));
            add_one(&reading.reads);
            (&ours).write_all(b"x").expect("room");
        }
    });
    Server { address, peer, tasks: [acceptor, reader] }
}

/// Trap 3, our way: during a fan-out of many milliseconds, done by two tasks that give way by [`Fair`], timers tick, connections are
/// accepted and sockets are read.
///
/// It may not be deleted: without it a large fan-out is a time in which the core is dead, and on epoll nobody would notice before the
/// heartbeats stop.
async fn a_fair_yield_lets_everything_run(driver: Driver) {
    let progress = Rc::new(Progress::default());
    let ticker = spawn_ticker(&progress);
    let Server { address, mut peer, tasks } = spawn_server(&progress);
    let is_over = Arc::new(AtomicBool::new(false));
    let client_is_over = Arc::clone(&is_over);
    let clients = thread::spawn(move || {
        while !client_is_over.load(Ordering::Relaxed) {
            drop(TcpStream::connect(address).expect("a listener"));
            peer.write_all(b"x").expect("a reader");
            assert!(matches!(read(&peer), Said::Bytes(_)));
        }
    });
    let fair = Rc::new(Fair::new(driver).expect("a yield"));
    let busy = |turns_max: u32| {
        let (fair, progress) = (Rc::clone(&fair), Rc::clone(&progress));
        monoio::spawn(async move {
            let mut turns = 0;
            // Each turn works for half a millisecond, as 128 writes do.
            while turns < turns_max && !progress.is_everywhere(20) {
                work(Duration::from_micros(500));
                fair.yield_now().await;
                turns += 1;
            }
        })
    };
    let (first, second) = (busy(10_000), busy(10_000));
    first.await;
    second.await;
    is_over.store(true, Ordering::Relaxed);
    // The client may be waiting for its last answer.
    while !clients.is_finished() {
        fair.yield_now().await;
    }
    clients.join().expect("no panic");
    assert!(progress.is_everywhere(20), "{progress:?}");
    progress.is_over.set(true);
    drop(TcpStream::connect(address).expect("a listener"));
    for task in tasks.into_iter().chain([ticker]) {
        task.await;
    }
}

on_both_drivers!(
    /// Trap 3, our way: timers, accepts and reads go on while two tasks are busy and give way by `Fair`.
    a_fair_yield_lets_everything_run
);

/// Any number of tasks may yield at the same time by the same [`Fair`], and none waits for another that has given up.
///
/// It may not be deleted: the epoll driver remembers one waiter per descriptor and forgets the others without a word.
async fn many_tasks_yield_at_the_same_time(driver: Driver) {
    let progress = Rc::new(Progress::default());
    let ticker = spawn_ticker(&progress);
    let fair = Rc::new(Fair::new(driver).expect("a yield"));
    let tasks: Vec<_> = (0..20_u32)
        .map(|task| {
            let fair = Rc::clone(&fair);
            monoio::spawn(async move {
                for turn in 0..200_u32 {
                    if (turn + task).is_multiple_of(7) {
                        let mut given_up = pin!(fair.yield_now());
                        assert!(poll_once(given_up.as_mut()).await.is_none(), "a yield waits for the kernel");
                    }
                    fair.yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    // And the main task itself.
    let before = progress.ticks.get();
    while progress.ticks.get() < before + 3 {
        fair.yield_now().await;
    }
    progress.is_over.set(true);
    ticker.await;
}

on_both_drivers!(
    /// Any number of tasks may yield at the same time, and none waits for another that has given up.
    many_tasks_yield_at_the_same_time
);
