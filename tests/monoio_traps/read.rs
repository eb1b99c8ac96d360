//! Trap 1: reads that are given up.

use std::io::Write;
use std::pin::pin;
use std::thread;

use monoio::io::AsyncReadRent;
use monoio::net::UnixStream as MonoioStream;
use pushletd::shell::readiness::{Driver, Fair, Readiness};
use rustix::event::epoll;

use crate::support::{Said, on_both_drivers, pair, poll_once, read, run, until};

/// Trap 1, the trap: a read that is dropped on io_uring takes the bytes with it that the kernel had already put into its buffer.
///
/// It may not be deleted: this is why no read is ever a runtime operation, least of all in a `select!` or under a timeout.
#[test]
fn a_dropped_read_loses_bytes_on_io_uring() {
    run(Driver::IoUring, async |driver| {
        let fair = Fair::new(driver).expect("a yield");
        let (ours, mut peer) = pair();
        let outside = ours.try_clone().expect("a duplicate");
        let mut stream = MonoioStream::from_std(ours).expect("a stream");
        {
            let mut reading = pin!(stream.read(vec![0_u8; 16]));
            assert!(poll_once(reading.as_mut()).await.is_none());
            fair.yield_now().await;
            peer.write_all(b"lost").expect("room");
            // The kernel reads as soon as there is something, whether the future is polled or not.
            until(&fair, || rustix::io::ioctl_fionread(&outside) == Ok(0)).await;
        }
        peer.write_all(b"kept").expect("room");
        let (result, buffer) = stream.read(vec![0_u8; 16]).await;
        assert_eq!(&buffer[..result.expect("bytes")], b"kept", "the first four bytes are gone");
    });
}

/// Trap 1, our way: a wait that is dropped at any moment loses nothing, because waiting takes nothing.
///
/// It may not be deleted: the server's whole way of reading stands on it, on both drivers.
async fn a_dropped_wait_loses_nothing(driver: Driver) {
    let fair = Fair::new(driver).expect("a yield");
    let (ours, mut peer) = pair();
    let watch = Readiness::new(ours.try_clone().expect("a duplicate").into()).expect("a watch");
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    for round in 0..600_u32 {
        let word = round.to_be_bytes();
        sent.extend_from_slice(&word);
        {
            let mut waiting = pin!(watch.readable());
            // Given up before the bytes come, after they came, or after the driver has heard of them.
            let is_early = poll_once(waiting.as_mut()).await.is_none();
            peer.write_all(&word).expect("room");
            if round % 3 == 1 {
                fair.yield_now().await;
            }
            if round % 3 == 2 && is_early {
                waiting.await.expect("readable");
            }
        }
        if round % 5 == 0 {
            watch.readable().await.expect("readable");
            let Said::Bytes(bytes) = read(&ours) else { panic!("said to be readable") };
            got.extend(bytes);
        }
    }
    drop(peer);
    loop {
        watch.readable().await.expect("readable");
        match read(&ours) {
            Said::Bytes(bytes) => got.extend(bytes),
            Said::End => break,
            Said::Nothing => panic!("said to be readable"),
        }
    }
    assert_eq!(got, sent);
}

on_both_drivers!(
    /// Trap 1, our way: a wait that is dropped at any moment loses nothing.
    a_dropped_wait_loses_nothing
);

/// A core waits for one epoll descriptor of its own, so an epoll set is watched by the driver's ring, or by the driver's own epoll set.
/// No wake is lost in 2,000 rounds with a peer on another thread, and what a turn has left in the set counts again.
///
/// It may not be deleted: a wake that is lost between the two sets would freeze every connection of a core.
async fn an_epoll_set_is_watched_without_losing_a_wake(_: Driver) {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll set");
    let watch = Readiness::new(set.try_clone().expect("a duplicate")).expect("a watch");
    let (ours, peer) = pair();
    let (other, mut its_peer) = pair();
    for (data, socket) in [(1, &ours), (2, &other)] {
        epoll::add(&set, socket, epoll::EventData::new_u64(data), epoll::EventFlags::IN).expect("registered");
    }
    peer.set_nonblocking(false).expect("blocking");
    let echo = thread::spawn(move || std::io::copy(&mut &peer, &mut &peer));
    for round in 0..2_000_u32 {
        (&ours).write_all(&round.to_be_bytes()).expect("room");
        watch.readable().await.expect("readable");
        assert_eq!(ready(&set), [1], "round {round}");
        assert_eq!(read(&ours), Said::Bytes(round.to_be_bytes().to_vec()));
    }
    // A turn that takes one event of two finds the set ready again.
    its_peer.write_all(b"x").expect("room");
    (&ours).write_all(b"y").expect("room");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        watch.readable().await.expect("readable");
        for which in ready(&set).into_iter().take(1) {
            assert!(matches!(read(if which == 1 { &ours } else { &other }), Said::Bytes(_)));
            seen.push(which);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
    ours.shutdown(std::net::Shutdown::Write).expect("open");
    echo.join().expect("no panic").expect("echo");
}

on_both_drivers!(
    /// One epoll descriptor per core: no wake is lost between the server's epoll set and the driver.
    an_epoll_set_is_watched_without_losing_a_wake
);

/// What is ready in `set`, without waiting; one at most, so that something is left behind.
fn ready(set: &impl std::os::fd::AsFd) -> Vec<u64> {
    let mut events = Vec::with_capacity(1);
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    epoll::wait(set, rustix::buffer::spare_capacity(&mut events), Some(&now)).expect("an epoll set");
    events.iter().map(|event| event.data.u64()).collect()
}
