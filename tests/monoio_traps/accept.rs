//! Traps 2, 4 and 6: accepts that are given up, that fail, and what they return.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::time::{Duration, Instant};

use monoio::net::TcpListener as MonoioListener;
use pushletd::limits::ACCEPT_BACKOFF_MS;
use pushletd::shell::readiness::{Driver, Fair, Readiness};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{
    Said, accepted_inode, holds_socket, is_alone, is_blocking, is_table_full, listener, on_both_drivers, poll_once,
    read, run, until,
};

/// How the server accepts: a direct call on a listener that is said to be ready.
fn accept(listener: &TcpListener) -> Result<TcpStream, Errno> {
    accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).map(TcpStream::from)
}

/// A watch of `listener`, which can still be accepted from.
fn watch(listener: &TcpListener) -> Readiness {
    Readiness::new(listener.try_clone().expect("a duplicate").into()).expect("a watch")
}

/// Trap 2, the trap: an accept that is dropped on io_uring leaves the accepted descriptor open, and nobody knows it.
///
/// It may not be deleted: this is why no accept is ever a runtime operation. Each leak is a descriptor for the life of the process, and a
/// client that waits for an answer for ever.
#[test]
fn a_dropped_accept_leaks_the_descriptor_on_io_uring() {
    run(Driver::IoUring, async |driver| {
        let fair = Fair::new(driver).expect("a yield");
        let (listener, server) = listener();
        let listener = MonoioListener::from_std(listener).expect("a listener");
        let client;
        let inode;
        {
            let mut accepting = pin!(listener.accept());
            assert!(poll_once(accepting.as_mut()).await.is_none());
            fair.yield_now().await;
            let stream = TcpStream::connect(server).expect("a listener");
            client = stream.local_addr().expect("connected");
            // Accepted as soon as it is there, whether the future is polled or not.
            until(&fair, || accepted_inode(server, client).is_some_and(|inode| inode != 0)).await;
            inode = accepted_inode(server, client).expect("accepted");
            fair.yield_now().await;
            drop(stream);
        }
        drop(listener);
        fair.yield_now().await;
        assert!(holds_socket(inode), "nobody has it, and it is open");
    });
}

/// Trap 2, our way: whoever gives up waiting has not accepted anything, and the next one does.
///
/// It may not be deleted: see the trap above.
async fn a_dropped_wait_accepts_nothing(driver: Driver) {
    let fair = Fair::new(driver).expect("a yield");
    let (listener, server) = listener();
    let watch = watch(&listener);
    for _ in 0..20 {
        let mut client;
        {
            let mut waiting = pin!(watch.readable());
            assert!(poll_once(waiting.as_mut()).await.is_none());
            fair.yield_now().await;
            client = TcpStream::connect(server).expect("a listener");
            fair.yield_now().await;
        }
        let address = client.local_addr().expect("connected");
        assert_eq!(accepted_inode(server, address), Some(0), "it waits in the backlog");
        watch.readable().await.expect("readable");
        let accepted = accept(&listener).expect("it was said to be there");
        assert_eq!(accepted.peer_addr().ok(), Some(address));
        client.write_all(b"hello").expect("room");
        assert_eq!(read(&accepted), Said::Bytes(b"hello".to_vec()));
        assert_eq!(accept(&listener).err(), Some(Errno::AGAIN), "once");
    }
}

on_both_drivers!(
    /// Trap 2, our way: whoever gives up waiting for a connection has not accepted anything.
    a_dropped_wait_accepts_nothing
);

/// Trap 4: with a full descriptor table every accept fails at once, as often as one tries, and the listener stays ready.
///
/// It may not be deleted: without the pause this is a core at 100 %, 700,000 errors a second. With it, there are as few attempts as there
/// are pauses, the rest of the core goes on, and the waiting client is served when a descriptor is free again.
async fn a_full_descriptor_table_needs_a_pause(driver: Driver) {
    let fair = Fair::new(driver).expect("a yield");
    let (listener, server) = listener();
    let watch = watch(&listener);
    let theirs = MonoioListener::from_std(listener.try_clone().expect("a duplicate")).expect("a listener");
    let client = TcpStream::connect(server).expect("a listener");
    let mut filling = fill_descriptors();

    // The runtime's accept: a thousand errors, none of which waited for anything but its own completion.
    for _ in 0..1_000 {
        assert!(theirs.accept().await.is_err_and(|error| is_table_full(&error)));
    }
    // Ours: as many errors as pauses, and the pauses are real.
    let begin = Instant::now();
    for _ in 0..10_u32 {
        watch.readable().await.expect("a client still waits");
        assert_eq!(accept(&listener).err(), Some(Errno::MFILE));
        monoio::time::sleep(Duration::from_millis(ACCEPT_BACKOFF_MS)).await;
        fair.yield_now().await;
    }
    assert!(begin.elapsed() >= Duration::from_millis(10 * ACCEPT_BACKOFF_MS));
    drop(filling.pop());
    watch.readable().await.expect("a client still waits");
    let accepted = accept(&listener).expect("there is a descriptor again");
    assert_eq!(accepted.peer_addr().ok(), client.local_addr().ok());
}

/// Takes every descriptor that this process may have.
fn fill_descriptors() -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(128), ..limit }).expect("less is always allowed");
    let mut filling = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => filling.push(file),
            Err(error) => {
                assert!(is_table_full(&error), "{error}");
                return filling;
            }
        }
    }
}

/// Trap 4 on io_uring, in a process of its own, because a descriptor table belongs to all threads.
#[test]
fn a_full_table_needs_a_pause_on_io_uring() {
    if is_alone("accept::a_full_table_needs_a_pause_on_io_uring") {
        run(Driver::IoUring, a_full_descriptor_table_needs_a_pause);
    }
}

/// Trap 4 on epoll, in a process of its own, because a descriptor table belongs to all threads.
#[test]
fn a_full_table_needs_a_pause_on_epoll() {
    if is_alone("accept::a_full_table_needs_a_pause_on_epoll") {
        run(Driver::Epoll, a_full_descriptor_table_needs_a_pause);
    }
}

/// Trap 6: what the runtime accepts is blocking on io_uring and nonblocking on epoll; what we accept is nonblocking on both.
///
/// It may not be deleted: one direct call on a blocking socket whose client reads slowly stops a whole core.
async fn accepted_descriptors(driver: Driver) {
    let (listener, server) = listener();
    let watch = watch(&listener);
    let theirs = MonoioListener::from_std(listener.try_clone().expect("a duplicate")).expect("a listener");

    let _first = TcpStream::connect(server).expect("a listener");
    let (accepted, _) = theirs.accept().await.expect("a client waits");
    assert_eq!(is_blocking(accepted.as_raw_fd()), driver == Driver::IoUring);

    let _second = TcpStream::connect(server).expect("a listener");
    watch.readable().await.expect("a client waits");
    let accepted = accept(&listener).expect("a client waits");
    assert!(!is_blocking(accepted.as_raw_fd()));
    assert_eq!(read(&accepted), Said::Nothing);
}

on_both_drivers!(
    /// Trap 6: what the runtime accepts may block, what we accept does not.
    accepted_descriptors
);
