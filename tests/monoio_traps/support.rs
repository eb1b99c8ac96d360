//! Runtimes of both kinds, a watchdog, and looks at descriptors from outside.

use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use pushletd::shell::readiness::{Driver, Fair};

/// A test that takes longer has lost a wake.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// Runs `test` in a runtime of `driver` with timers, on a thread of its own. A wait without end becomes a failure.
pub(crate) fn run<F: Future<Output = ()>>(driver: Driver, test: impl FnOnce(Driver) -> F + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let runner = thread::spawn(move || {
        match driver {
            Driver::IoUring => {
                let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().enable_timer();
                builder.build().expect("io_uring is allowed here").block_on(test(driver));
            }
            Driver::Epoll => {
                let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer();
                builder.build().expect("epoll").block_on(test(driver));
            }
        }
        // If nobody listens any more, the watchdog has spoken.
        let _ = done.send(());
    });
    match is_done.recv_timeout(HANGS_AFTER) {
        Err(RecvTimeoutError::Timeout) => panic!("hangs on {driver:?}: a wake was lost"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(panic) = runner.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Makes two tests of one async function: `on_io_uring` and `on_epoll`.
macro_rules! on_both_drivers {
    ($(#[$doc:meta])* $name:ident) => {
        mod $name {
            use pushletd::shell::readiness::Driver;

            $(#[$doc])*
            #[test]
            fn on_io_uring() {
                crate::support::run(Driver::IoUring, super::$name);
            }

            $(#[$doc])*
            #[test]
            fn on_epoll() {
                crate::support::run(Driver::Epoll, super::$name);
            }
        }
    };
}
pub(crate) use on_both_drivers;

/// Polls `future` once: whatever operation it has is then under way.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Yields until `condition` holds. The watchdog ends it if that never happens.
pub(crate) async fn until(fair: &Fair, mut condition: impl FnMut() -> bool) {
    while !condition() {
        fair.yield_now().await;
    }
}

/// More turns of the driver than anything here needs: for what must *not* happen.
pub(crate) async fn many_turns(fair: &Fair) {
    for _ in 0..100 {
        fair.yield_now().await;
    }
}

/// A pair of connected sockets that never block.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (ours, peer) = UnixStream::pair().expect("a socket pair");
    ours.set_nonblocking(true).expect("nonblocking");
    peer.set_nonblocking(true).expect("nonblocking");
    (ours, peer)
}

/// A listener on a free port that never blocks.
pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.set_nonblocking(true).expect("nonblocking");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// What a nonblocking read says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Bytes(Vec<u8>),
    End,
    Nothing,
}

/// Reads once from a nonblocking socket.
pub(crate) fn read(mut from: impl Read) -> Said {
    let mut buffer = [0; 4_096];
    match from.read(&mut buffer) {
        Ok(0) => Said::End,
        Ok(len) => Said::Bytes(buffer[..len].to_vec()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Said::Nothing,
        Err(error) => panic!("read: {error}"),
    }
}

/// The accepted side of the connection from `client` to `server`: its inode, 0 while nobody has accepted it, `None` if there is none.
pub(crate) fn accepted_inode(server: SocketAddr, client: SocketAddr) -> Option<u64> {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("/proc");
    let port = |text: &str| text.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = port(fields[1]) == Some(server.port()) && port(fields[2]) == Some(client.port());
        is_it.then(|| fields[9].parse().expect("an inode"))
    })
}

/// Whether this process has a descriptor of the socket with `inode`.
pub(crate) fn holds_socket(inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let descriptors = fs::read_dir("/proc/self/fd").expect("/proc");
    descriptors.filter_map(Result::ok).filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| *link == *wanted)
}

/// Whether calls on `fd` block.
pub(crate) fn is_blocking(fd: RawFd) -> bool {
    const O_NONBLOCK: u32 = 0o4000;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("/proc");
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim();
    u32::from_str_radix(flags, 8).expect("octal") & O_NONBLOCK == 0
}

/// Runs the test `name` of this binary alone in a process of its own, for tests that change the whole process.
///
/// Returns true in that process, which has to run the test, and false in the first one, when the other one has passed.
pub(crate) fn is_alone(name: &str) -> bool {
    const ALONE: &str = "PUSHLETD_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    let output = command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(ALONE, "1").output();
    let output = output.expect("a process");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{name} alone:\n{said}\n{complained}");
    false
}

/// Whether `error` says that the descriptor table is full.
pub(crate) fn is_table_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}
