//! Many writes by one call: a ring of io_uring that is used like a system call.
//!
//! Nothing is in flight when [`SendRing::send_all`] returns (invariant A7): the sends do not wait, so each is complete when the call that submits
//! them is, with what the socket has taken or with `EAGAIN`. So a batch is what the same number of `send` calls would be, without the way into the
//! kernel and back for each, and without making room for somebody whom a write has woken in the middle of the work.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use io_uring::squeue::SubmissionQueue;
use io_uring::{IoUring, opcode, types};

use super::net::Transfer;

/// What is sent without waiting, and without a signal when the peer is gone.
const FLAGS: i32 = (rustix::net::SendFlags::DONTWAIT.bits() | rustix::net::SendFlags::NOSIGNAL.bits()) as i32;

/// A ring that belongs to the thread that made it.
pub(super) struct SendRing {
    ring: IoUring,
    size: usize,
}

impl SendRing {
    /// A ring for so many writes at once, a power of two.
    ///
    /// # Errors
    ///
    /// There is no io_uring, or it may not be used, or no descriptor is left.
    pub(super) fn new(size: u32) -> io::Result<Self> {
        // Nobody else submits, and completions are taken when we ask for them: the kernel need not interrupt us. Kernels before 6.1 do not
        // know all of it.
        let best = IoUring::builder().setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun().build(size);
        let ring = best.or_else(|_| IoUring::new(size))?;
        Ok(Self { ring, size: size as usize })
    }

    /// Sends each of these bytes to its socket, and puts what came of it to its place in `outcomes`. Where that stays `None` the write has not
    /// been made: there were no bytes, the ring has no room for more writes, or the kernel was interrupted.
    ///
    /// Says whether the ring is of use any more. If not, drop it: what it was given is not sent.
    #[must_use]
    pub(super) fn send_all(&mut self, writes: &[(&OwnedFd, &[u8])], outcomes: &mut [Option<Transfer>]) -> bool {
        let mut pushed = 0;
        let mut queue = self.ring.submission();
        for (place, (socket, bytes)) in writes.iter().enumerate() {
            pushed += usize::from(!bytes.is_empty() && push(&mut queue, socket, bytes, place));
        }
        drop(queue);
        self.complete(pushed, outcomes)
    }

    /// Submits what was pushed and waits until all of it is complete.
    fn complete(&mut self, pushed: usize, outcomes: &mut [Option<Transfer>]) -> bool {
        let mut completed = 0;
        while completed < pushed {
            if let Err(error) = self.ring.submit_and_wait(pushed - completed)
                && !is_passing(&error)
            {
                if self.ring.submission().len() == pushed {
                    // The kernel has taken none of them.
                    return false;
                }
                // The kernel may still be reading the bytes, so they must stay where they are, whatever that costs.
                let _end = End;
                tracing::error!(%error, "the ring for writes has failed");
            }
            for entry in self.ring.completion() {
                completed += 1;
                if let Some(outcome) = outcomes.get_mut(entry.user_data() as usize) {
                    *outcome = transfer(entry.result());
                }
            }
        }
        true
    }
}

/// Ends the process when it goes, also if somebody panics meanwhile.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl std::fmt::Debug for SendRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SendRing({})", self.size)
    }
}

/// The kernel has no time or memory for it at the moment, and what is submitted is so all the same.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy)
}

/// What a completed send says.
fn transfer(result: i32) -> Option<Transfer> {
    const AGAIN: i32 = -rustix::io::Errno::AGAIN.raw_os_error();
    const INTERRUPTED: i32 = -rustix::io::Errno::INTR.raw_os_error();
    match usize::try_from(result) {
        Ok(bytes) => Some(Transfer::Bytes(bytes)),
        Err(_) if result == AGAIN => Some(Transfer::Blocked),
        Err(_) if result == INTERRUPTED => None,
        Err(_) => Some(Transfer::Closed),
    }
}

/// Puts one send into the queue. Says whether there was room.
#[allow(
    unsafe_code,
    reason = "the kernel reads the bytes without the compiler's knowledge; the comment says why they are there"
)]
fn push(queue: &mut SubmissionQueue<'_>, socket: &OwnedFd, bytes: &[u8], place: usize) -> bool {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(FLAGS).build();
    // SAFETY: the bytes and the descriptor must be there until the send is complete. Only `send_all` pushes. It has borrowed both, and from the
    // first push on it calls nothing that could panic and does not return before `complete` has seen the completion of everything that was
    // pushed: a ring that fails ends the process.
    unsafe { queue.push(&entry.user_data(place as u64)) }.is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connections(count: usize) -> Vec<(OwnedFd, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let pair = |_| {
            let client = TcpStream::connect(address).expect("it listens");
            (OwnedFd::from(listener.accept().expect("the client is there").0), client)
        };
        (0..count).map(pair).collect()
    }

    fn send_all(ring: &mut SendRing, writes: &[(&OwnedFd, &[u8])]) -> Vec<Option<Transfer>> {
        let mut outcomes = vec![None; writes.len()];
        assert!(ring.send_all(writes, &mut outcomes));
        outcomes
    }

    #[test]
    fn each_gets_its_own_bytes() {
        let mut ring = SendRing::new(8).expect("there is io_uring here");
        let mut connections = connections(8);
        for round in 0..3 {
            let texts: Vec<String> = (0..8).map(|place| format!("{round} for {place};")).collect();
            let bytes = texts.iter().map(String::as_bytes);
            let writes: Vec<_> = connections.iter().map(|(socket, _)| socket).zip(bytes).collect();
            let outcomes = send_all(&mut ring, &writes);
            assert!(outcomes.iter().all(|outcome| *outcome == Some(Transfer::Bytes(8))), "{outcomes:?}");
        }
        for (place, (socket, client)) in connections.iter_mut().enumerate() {
            rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both).expect("it is connected");
            let mut text = String::new();
            client.read_to_string(&mut text).expect("what was sent is text");
            assert_eq!(text, format!("0 for {place};1 for {place};2 for {place};"));
        }
    }

    /// A7: nothing waits, whatever the peers do.
    #[test]
    fn what_became_of_each_is_told() {
        let mut ring = SendRing::new(4).expect("there is io_uring here");
        let connections = connections(4);
        rustix::net::shutdown(&connections[1].0, rustix::net::Shutdown::Write).expect("it is connected");
        let large = vec![b'x'; 64 * 1024 * 1024];
        let bytes: [&[u8]; 4] = [b"small", b"small", &large, b""];
        let writes: Vec<_> = connections.iter().map(|(socket, _)| socket).zip(bytes).collect();
        let outcomes = send_all(&mut ring, &writes);
        assert_eq!(outcomes[..2], [Some(Transfer::Bytes(5)), Some(Transfer::Closed)]);
        assert!(matches!(outcomes[2], Some(Transfer::Bytes(taken)) if taken < large.len()), "{:?}", outcomes[2]);
        assert_eq!(outcomes[3], None, "no bytes are no write");
        assert_eq!(send_all(&mut ring, &writes[2..3]), [Some(Transfer::Blocked)]);
        assert_eq!(send_all(&mut ring, &[]), []);
    }

    #[test]
    fn what_a_ring_has_no_room_for_is_left() {
        let mut ring = SendRing::new(2).expect("there is io_uring here");
        let connections = connections(3);
        let writes: Vec<_> = connections.iter().map(|(socket, _)| (socket, &b"abc"[..])).collect();
        let sent = Some(Transfer::Bytes(3));
        assert_eq!(send_all(&mut ring, &writes), [sent, sent, None]);
        assert_eq!(send_all(&mut ring, &writes[2..]), [sent]);
    }
}
