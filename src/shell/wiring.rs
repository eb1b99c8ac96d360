//! The descriptors between cores, made before the cores part: each has the same number in every file table and is not closed while a core
//! runs (invariant A4; an eventfd of a later table would be some client's socket in another one).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// Bells to wake sleeping cores and sockets to hand connections over.
#[derive(Debug)]
pub(super) struct Wiring {
    /// One for each core, and the last one for the main thread.
    bells: Vec<OwnedFd>,
    /// For each core the socket that all others write to, and the one that it reads.
    doors: Vec<(OwnedFd, OwnedFd)>,
}

/// A datagram from core to core: who sent it, its ticket, and the descriptor unless the receiver's table was full.
pub(super) type Delivered = (u16, u32, Option<OwnedFd>);

impl Wiring {
    /// Makes it for `cores` cores.
    ///
    /// # Errors
    ///
    /// What the kernel says when no descriptor is left.
    pub(super) fn lay(cores: u16) -> io::Result<Arc<Self>> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bells = (0..=cores).map(|_| eventfd(0, flags)).collect::<Result<_, _>>()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Whole datagrams, in order, and a sender that has sent too many is told so.
        let pair = || rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let doors = (0..cores).map(|_| pair()).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { bells, doors }))
    }

    /// All descriptors.
    pub(super) fn all(&self) -> Vec<BorrowedFd<'_>> {
        let doors = self.doors.iter().flat_map(|(outside, inside)| [outside.as_fd(), inside.as_fd()]);
        self.bells.iter().map(AsFd::as_fd).chain(doors).collect()
    }

    /// How many descriptors that is for `cores` cores.
    pub(super) const fn count(cores: u16) -> u64 {
        3 * cores as u64 + 1
    }

    /// The bell of a core.
    pub(super) fn bell(&self, core: u16) -> &OwnedFd {
        &self.bells[usize::from(core)]
    }

    /// The bell of the main thread.
    pub(super) fn main_bell(&self) -> &OwnedFd {
        &self.bells[self.doors.len()]
    }

    /// Sends a descriptor to core `to`. The sender keeps its own. `false` if the socket is full at the moment.
    ///
    /// # Errors
    ///
    /// What the kernel says otherwise.
    pub(super) fn send(&self, to: u16, from: u16, ticket: u32, descriptor: &OwnedFd) -> io::Result<bool> {
        let mut text = [0; 6];
        text[..2].copy_from_slice(&from.to_ne_bytes());
        text[2..].copy_from_slice(&ticket.to_ne_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let descriptors = [descriptor.as_fd()];
        let fits = rights.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "there is space for one descriptor");
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            return match rustix::net::sendmsg(
                &self.doors[usize::from(to)].0,
                &[IoSlice::new(&text)],
                &mut rights,
                flags,
            ) {
                Ok(_) => Ok(true),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::TOOMANYREFS | Errno::NOMEM) => Ok(false),
                Err(error) => Err(error.into()),
            };
        }
    }

    /// What has been sent to core `core`, if anything.
    pub(super) fn receive(&self, core: u16) -> Option<Delivered> {
        let mut text = [0; 6];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let inside = &self.doors[usize::from(core)].1;
        let mut into = [IoSliceMut::new(&mut text)];
        let came = loop {
            match rustix::net::recvmsg(inside, &mut into, &mut rights, flags) {
                Err(Errno::INTR) => {}
                other => break other.ok()?,
            }
        };
        let mut descriptor = None;
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                // Cut off (MSG_CTRUNC): the table was full, and what came is not ours to guess.
                descriptor = descriptors.last().filter(|_| !came.flags.contains(ReturnFlags::CTRUNC));
            }
        }
        let [a, b, ticket @ ..] = text;
        Some((u16::from_ne_bytes([a, b]), u32::from_ne_bytes(ticket), descriptor))
    }
}

/// Rings a bell. It may ring already.
pub(super) fn ring(bell: &OwnedFd) {
    // It can only fail if it has been rung 2^64 times.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

/// Silences a bell.
pub(super) fn silence(bell: &OwnedFd) {
    // Not to have rung is no error.
    let _ = rustix::io::read(bell, &mut [0_u8; 8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_come_with_their_tickets_in_order() {
        let wiring = Wiring::lay(2).expect("descriptors");
        let (near, far) = rustix::pipe::pipe().expect("a pipe");
        assert!(wiring.receive(1).is_none());
        assert!(wiring.send(1, 0, 7, &near).expect("sent") && wiring.send(1, 0, 8, &far).expect("sent"));
        let (from, ticket, read_end) = wiring.receive(1).expect("there");
        assert_eq!((from, ticket), (0, 7));
        let (_, ticket, write_end) = wiring.receive(1).expect("there");
        assert_eq!(ticket, 8);
        drop((near, far));
        rustix::io::write(write_end.expect("it came along"), b"x").expect("it is a pipe");
        assert_eq!(rustix::io::read(read_end.expect("it came along"), &mut [0_u8; 2]), Ok(1));
    }

    /// A3: the sender is told when it has sent too many.
    #[test]
    fn a_full_socket_is_no_error() {
        let wiring = Wiring::lay(1).expect("descriptors");
        let (near, _far) = rustix::pipe::pipe().expect("a pipe");
        let sent = (0..10_000).take_while(|ticket| wiring.send(0, 0, *ticket, &near).expect("no error")).count();
        assert!((16..10_000).contains(&sent), "{sent} were taken");
        for ticket in 0..sent {
            let (_, told, descriptor) = wiring.receive(0).expect("there");
            assert_eq!(told as usize, ticket);
            assert!(descriptor.is_some());
        }
        assert!(wiring.receive(0).is_none());
    }
}
