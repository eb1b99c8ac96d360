//! Socket calls: direct, non-blocking, never abandoned in flight (invariant A7).

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// A peer that acknowledges nothing for so long is gone, in milliseconds. Inherited by every accepted socket.
const UNACKNOWLEDGED_MS: u64 = 120_000;
/// An idle connection is probed after so much silence, in seconds, so that a vanished peer is noticed.
const PROBE_AFTER_S: u64 = 60;
/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What a transfer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing at the moment.
    Blocked,
    /// The peer sends no more, or takes no more.
    Closed,
}

/// Reads what has arrived, at most `buffer`.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Transfer {
    loop {
        return match rustix::net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => Transfer::Closed,
            Ok((_, bytes)) => Transfer::Bytes(bytes),
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::AGAIN) => Transfer::Blocked,
            Err(_) => Transfer::Closed,
        };
    }
}

/// Writes as much of `bytes` as the kernel takes.
pub(super) fn send(socket: &OwnedFd, bytes: &[u8]) -> Transfer {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sent(|| rustix::net::send(socket, bytes, flags))
}

/// Writes as much of `slices` as the kernel takes.
pub(super) fn send_slices(socket: &OwnedFd, slices: &[IoSlice<'_>]) -> Transfer {
    if let [only] = slices {
        return send(socket, only);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sent(|| rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags))
}

fn sent(mut call: impl FnMut() -> rustix::io::Result<usize>) -> Transfer {
    loop {
        return match call() {
            Ok(bytes) => Transfer::Bytes(bytes),
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::AGAIN) => Transfer::Blocked,
            Err(_) => Transfer::Closed,
        };
    }
}

/// Takes the next waiting connection; `None` if none waits. The descriptor is non-blocking from the start.
///
/// # Errors
///
/// `EMFILE` and `ENFILE` when no descriptor is free. Errors of the connection itself (it went before we came) are passed over.
pub(super) fn accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    use rustix::io::Errno;
    loop {
        return match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => Ok(Some(socket)),
            Err(Errno::AGAIN) => Ok(None),
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH,
            ) => {
                continue;
            }
            Err(error) => Err(error.into()),
        };
    }
}

/// Says that nothing more will be written. The peer's last bytes may still come.
pub(super) fn shutdown_write(socket: &OwnedFd) {
    // A peer that is gone already is what we want.
    let _ = rustix::net::shutdown(socket, Shutdown::Write);
}

/// Stops a listening socket: waiting connections are reset, new ones refused, and whoever waits for it is woken.
pub(super) fn stop_listening(listener: &OwnedFd) {
    // It can only fail for a socket that does not listen any more.
    let _ = rustix::net::shutdown(listener, Shutdown::Both);
}

/// Makes closing the socket a reset, so that a peer that takes nothing holds no kernel memory of ours.
pub(super) fn reset_on_close(socket: &OwnedFd) {
    // The connection may be gone: then there is nothing to reset.
    let _ = rustix::net::sockopt::set_socket_linger(socket.as_fd(), Some(std::time::Duration::ZERO));
}

/// A timer that can be waited for like a socket.
///
/// # Errors
///
/// What the kernel says when no descriptor is left.
pub(super) fn timer() -> io::Result<OwnedFd> {
    Ok(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?)
}

/// Sets the timer to go off once, in `wait_us` microseconds, at least one.
pub(super) fn set_timer(timer: &OwnedFd, wait_us: u64) {
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let (seconds, micros) = ((wait_us / 1_000_000).min(3600), wait_us % 1_000_000);
    let wait = Timespec { tv_sec: seconds as i64, tv_nsec: (micros.max(1) * 1000) as i64 };
    // It cannot fail with a time in range.
    let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: never, it_value: wait });
}

/// Takes note that the timer went off.
pub(super) fn silence_timer(timer: &OwnedFd) {
    // Not to have gone off is no error.
    let _ = rustix::io::read(timer, &mut [0_u8; 8]);
}

/// Opens a listening socket that nobody else has. The options are inherited by what it accepts.
///
/// # Errors
///
/// What the kernel says, such as `EADDRINUSE`, also if a program holds the address that would share it.
pub(super) fn listen(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = bound(address, false)?;
    let local = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket.into(), local))
}

/// Lets [`listen_beside`] open more sockets on the address of this one. Until now nobody could.
///
/// # Errors
///
/// What the kernel says.
pub(super) fn share(listener: &OwnedFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_reuseport(listener, true)?)
}

/// Opens another socket on the address of one that is shared; the kernel spreads connections over them.
///
/// # Errors
///
/// What the kernel says.
pub(super) fn listen_beside(address: SocketAddr) -> io::Result<OwnedFd> {
    Ok(bound(address, true)?.into())
}

fn bound(address: SocketAddr, beside: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(beside)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(std::time::Duration::from_millis(UNACKNOWLEDGED_MS)))?;
    let probe = std::time::Duration::from_secs(PROBE_AFTER_S);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(probe).with_interval(probe / 4))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}
