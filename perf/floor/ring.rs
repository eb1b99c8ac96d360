//! Sends in batches: one `io_uring_enter` for many connections instead of one `send` for each.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use io_uring::squeue::SubmissionQueue;
use io_uring::{IoUring, opcode, types};

/// A ring that is used by the thread that made it, and by nothing but [`Ring::send`].
pub(crate) struct Ring {
    ring: IoUring,
    batch: usize,
}

/// What is sent without waiting, and without a signal when the peer is gone.
const FLAGS: i32 = (rustix::net::SendFlags::DONTWAIT.bits() | rustix::net::SendFlags::NOSIGNAL.bits()) as i32;

impl Ring {
    /// A ring for so many sends at once.
    ///
    /// # Errors
    ///
    /// There is no io_uring here, or it may not be used.
    pub(crate) fn new(batch: u32) -> io::Result<Self> {
        let entries = batch.max(1).checked_next_power_of_two().unwrap_or(u32::MAX);
        // Nobody else submits, and completions are taken when we ask for them: the kernel need not interrupt us. Kernels before 6.1 do not
        // know all of it.
        let best = IoUring::builder().setup_single_issuer().setup_coop_taskrun().setup_defer_taskrun().build(entries);
        let ring = best.or_else(|_| IoUring::new(entries));
        let ring = ring.map_err(|error| io::Error::other(format!("io_uring cannot be used: {error}")))?;
        Ok(Self { ring, batch: batch.max(1) as usize })
    }

    /// Sends the bytes to all of these peers, which read. Returns the places of those that did not take all of it.
    pub(crate) fn send(&mut self, sockets: &[BorrowedFd<'_>], bytes: &[u8]) -> Vec<usize> {
        let mut left = Vec::new();
        for (number, batch) in sockets.chunks(self.batch).enumerate() {
            let mut pushed = 0;
            let mut queue = self.ring.submission();
            for (socket, place) in batch.iter().zip(number * self.batch..) {
                if push(&mut queue, *socket, bytes, place) {
                    pushed += 1;
                } else {
                    left.push(place);
                }
            }
            drop(queue);
            self.complete(pushed, bytes.len(), &mut left);
        }
        left
    }

    /// Submits what was pushed and waits until all of it is complete. What did not go whole is added to those that left.
    fn complete(&mut self, pushed: usize, length: usize, left: &mut Vec<usize>) {
        let mut completed = 0;
        while completed < pushed {
            match self.ring.submit_and_wait(pushed - completed) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The kernel may still be sending, so what it sends must stay where it is.
                    eprintln!("floor: the ring has failed: {error}");
                    std::process::abort();
                }
            }
            for entry in self.ring.completion() {
                completed += 1;
                if usize::try_from(entry.result()) != Ok(length) {
                    left.push(entry.user_data() as usize);
                }
            }
        }
    }
}

/// Puts one send into the queue. Says whether there was room.
#[allow(
    unsafe_code,
    reason = "the kernel reads the bytes without the compiler's knowledge; the comment says why they are there"
)]
fn push(queue: &mut SubmissionQueue<'_>, socket: BorrowedFd<'_>, bytes: &[u8], place: usize) -> bool {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(FLAGS).build();
    let entry = entry.user_data(place as u64);
    // SAFETY: the bytes must be there until the send is complete. Only `Ring::send` pushes. It has borrowed them, and it does not return,
    // nor can it unwind, before `Ring::complete` has seen the completion of everything that was pushed: a ring that fails ends the process.
    unsafe { queue.push(&entry) }.is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsFd as _, OwnedFd};

    use super::*;

    fn sockets(connections: &[(OwnedFd, TcpStream)]) -> Vec<BorrowedFd<'_>> {
        connections.iter().map(|(socket, _)| socket.as_fd()).collect()
    }

    fn connections(count: usize) -> Vec<(OwnedFd, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let pair = |_| {
            let client = TcpStream::connect(address).expect("it listens");
            (OwnedFd::from(listener.accept().expect("the client is there").0), client)
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn everyone_gets_the_same_in_one_batch_or_many() {
        for batch in [1, 3, 16, 256] {
            let mut ring = Ring::new(batch).expect("there is io_uring");
            let mut connections = connections(20);
            for text in ["first", "second"] {
                let left = ring.send(&sockets(&connections), text.as_bytes());
                assert_eq!(left, Vec::<usize>::new());
            }
            for (socket, client) in &mut connections {
                rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both).expect("it is connected");
                let mut text = String::new();
                client.read_to_string(&mut text).expect("what was sent is text");
                assert_eq!(text, "firstsecond");
            }
        }
    }

    /// One that is gone, and one that reads nothing and has no room for all of it.
    #[test]
    fn who_does_not_take_all_of_it_is_told() {
        let mut ring = Ring::new(4).expect("there is io_uring");
        let connections = connections(9);
        rustix::net::shutdown(&connections[2].0, rustix::net::Shutdown::Write).expect("it is connected");
        let left = ring.send(&sockets(&connections), b"small");
        assert_eq!(left, [2]);
        let large = vec![b'x'; 64 * 1024 * 1024];
        let left = ring.send(&sockets(&connections[7..]), &large);
        assert_eq!(left, [0, 1]);
        assert_eq!(ring.send(&[], b"nothing"), Vec::<usize>::new());
    }
}
