//! Trap 6: what lives on behind a descriptor.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;

use monoio::buf::VecBuf;
use monoio::io::AsyncWriteRent;
use monoio::net::UnixStream as MonoioStream;
use pushletd::limits::SLICES_PER_WRITE_MAX;
use pushletd::shell::readiness::{Driver, Fair, Readiness};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::support::{Said, many_turns, on_both_drivers, pair, poll_once, read};

/// Trap 6: while a task waits for a descriptor, the runtime holds it, so dropping our handle does not end the connection. `shutdown` does.
///
/// It may not be deleted: a connection that we took out of our tables and merely dropped would stay open, and its client would wait.
async fn a_parked_wait_holds_the_descriptor(driver: Driver) {
    let fair = Fair::new(driver).expect("a yield");
    for with_shutdown in [true, false] {
        let (ours, mut peer) = pair();
        let watch = Rc::new(Readiness::new(ours.try_clone().expect("a duplicate").into()).expect("a watch"));
        let parked = Rc::clone(&watch);
        let waiting = monoio::spawn(async move { parked.readable().await });
        many_turns(&fair).await;
        if with_shutdown {
            ours.shutdown(Shutdown::Both).expect("open");
        }
        drop((watch, ours));
        many_turns(&fair).await;
        assert_eq!(read(&peer), if with_shutdown { Said::End } else { Said::Nothing });
        if !with_shutdown {
            // Never leave a wait behind: the runtime is dropped after this.
            peer.write_all(b"x").expect("still open");
        }
        waiting.await.expect("readable");
        many_turns(&fair).await;
        assert_eq!(read_to_end(&peer), Ok(()), "the last holder is gone");
    }
}

on_both_drivers!(
    /// Trap 6: a parked wait holds the descriptor; only `shutdown` ends the connection.
    a_parked_wait_holds_the_descriptor
);

/// Whether the other side has closed. Its unread bytes turn the end into a reset.
fn read_to_end(peer: &UnixStream) -> Result<(), ErrorKind> {
    use std::io::Read;
    let mut peer = peer;
    match peer.read(&mut [0; 16]) {
        Ok(0) => Ok(()),
        Ok(_) => panic!("bytes from nowhere"),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error.kind()),
    }
}

/// Sends `count` slices of eight bytes in one call, as the server does: what the call says, what arrives, and what should have.
fn send_slices(count: usize) -> (Result<usize, Errno>, Said, Vec<u8>) {
    let (ours, peer) = pair();
    let numbers: Vec<_> = (0..count).map(|number| number.to_be_bytes()).collect();
    let slices: Vec<_> = numbers.iter().map(|number| IoSlice::new(number)).collect();
    let sent = sendmsg(&ours, &slices, &mut SendAncillaryBuffer::default(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    (sent, read(&peer), numbers.concat())
}

/// Trap 6: as many slices as we ever write at once arrive, all of them and in order. More than 1,024 never do: `sendmsg` and the runtime
/// refuse them whole, and the vectored writes of the libraries cut them off and report a short write of what is not even full.
///
/// It may not be deleted: who writes the slices of a long queue in one call, and takes its success for the success of all, loses the rest.
async fn slices_beyond_1024_do_not_arrive(driver: Driver) {
    let (sent, arrived, whole) = send_slices(SLICES_PER_WRITE_MAX);
    assert_eq!((sent, arrived), (Ok(8 * SLICES_PER_WRITE_MAX), Said::Bytes(whole)), "on {driver:?}");
    let (sent, arrived, _) = send_slices(1_025);
    assert_eq!((sent, arrived), (Err(Errno::MSGSIZE), Said::Nothing));

    let (mut ours, peer) = pair();
    let slices = [IoSlice::new(b"x"); 1_025];
    assert_eq!(rustix::io::writev(&ours, &slices), Ok(1_024));
    assert_eq!(read(&peer), Said::Bytes(vec![b'x'; 1_024]));
    assert_eq!(ours.write_vectored(&slices).ok(), Some(1_024));
    assert_eq!(read(&peer), Said::Bytes(vec![b'x'; 1_024]));

    let mut stream = MonoioStream::from_std(ours).expect("a stream");
    let (result, _) = stream.writev(VecBuf::from(vec![vec![b'x']; 1_025])).await;
    assert_eq!(result.err().map(|error| error.kind()), Some(ErrorKind::InvalidInput));
    assert_eq!(read(&peer), Said::Nothing);
}

on_both_drivers!(
    /// Trap 6: 64 slices arrive, more than 1,024 do not.
    slices_beyond_1024_do_not_arrive
);

/// Hands `socket` to another core as the server does: through a socket, and closed here.
fn hand_over(socket: UnixStream) -> UnixStream {
    let (here, there) = pair();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [socket.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&here, &[IoSlice::new(b"t")], &mut control, SendFlags::NOSIGNAL).expect("room");

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&there, &mut [IoSliceMut::new(&mut [0; 1])], &mut control, RecvFlags::CMSG_CLOEXEC).expect("a message");
    let mut received = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<OwnedFd>>(),
        _ => Vec::new(),
    });
    let moved = received.next().expect("a descriptor").into();
    // Closed last, so that the one received has another number, as it has in another core's table.
    drop(socket);
    moved
}

/// An epoll set with `socket` in it, watched by the runtime.
fn set_with(socket: &UnixStream) -> (OwnedFd, Readiness) {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll set");
    epoll::add(&set, socket, epoll::EventData::new_u64(7), epoll::EventFlags::IN).expect("registered");
    let watch = Readiness::new(set.try_clone().expect("a duplicate")).expect("a watch");
    (set, watch)
}

/// Trap 6: an epoll registration belongs to the open socket, not to the descriptor. After a hand-over the old core's set goes on firing,
/// and nobody can take the registration out any more, because the descriptor that names it is closed. Taken out before, it is silent.
///
/// It may not be deleted: the old core would wake for each byte of a connection that it does not have, or take it for the one that has
/// got the same number since. So a hand-over deregisters first.
async fn a_registration_survives_a_hand_over(driver: Driver) {
    let fair = Fair::new(driver).expect("a yield");

    let (ours, mut peer) = pair();
    let (set, watch) = set_with(&ours);
    let moved = hand_over(ours);
    peer.write_all(b"x").expect("room");
    watch.readable().await.expect("the old core is woken");
    assert_eq!(epoll::delete(&set, &moved), Err(Errno::NOENT), "the descriptor it was registered by is gone");
    assert_eq!(read(&moved), Said::Bytes(b"x".to_vec()));

    let (ours, mut peer) = pair();
    let (set, watch) = set_with(&ours);
    epoll::delete(&set, &ours).expect("registered");
    let moved = hand_over(ours);
    peer.write_all(b"x").expect("room");
    let mut waiting = pin!(watch.readable());
    for _ in 0..100 {
        assert!(poll_once(waiting.as_mut()).await.is_none(), "the old core hears nothing");
        fair.yield_now().await;
    }
    assert_eq!(read(&moved), Said::Bytes(b"x".to_vec()));
}

on_both_drivers!(
    /// Trap 6: an epoll registration survives a hand-over unless it is taken out first.
    a_registration_survives_a_hand_over
);
