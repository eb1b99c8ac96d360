//! One connection of the load generator: a socket, what is still to be written to it, and what reads it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::door::{Decoder, Item};
use crate::shell::net::{self, Transfer};

/// A socket that connects or is connected.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    connected: bool,
    out: Vec<u8>,
    written: usize,
    /// What reads it.
    pub(super) decoder: Decoder,
}

impl Connection {
    /// Begins to connect. Readiness is told to `epoll` with `token`, at every change.
    ///
    /// # Errors
    ///
    /// What the kernel says at once, such as that no port or descriptor is left.
    pub(super) fn open(
        server: SocketAddr,
        source: Option<std::net::IpAddr>,
        epoll: &OwnedFd,
        token: u64,
        decoder: Decoder,
    ) -> io::Result<Self> {
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
        if let Some(source) = source {
            rustix::net::bind(&socket, &SocketAddr::new(source, 0))?;
        }
        let connected = match rustix::net::connect(&socket, &server) {
            Ok(()) => true,
            Err(Errno::INPROGRESS) => false,
            Err(error) => return Err(error.into()),
        };
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, socket.as_fd(), EventData::new_u64(token), interest)?;
        Ok(Self { socket, connected, out: Vec::new(), written: 0, decoder })
    }

    /// Bytes to be written are appended to this.
    pub(super) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The socket is writable, or has failed. Says whether it is connected.
    ///
    /// # Errors
    ///
    /// Why it could not be connected.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        if !self.connected {
            rustix::net::sockopt::socket_error(&self.socket)??;
            self.connected = true;
        }
        Ok(())
    }

    /// Writes what the kernel takes. Says whether the connection still takes anything.
    pub(super) fn flush(&mut self) -> bool {
        while self.connected && self.written < self.out.len() {
            match net::send(&self.socket, &self.out[self.written..]) {
                Transfer::Bytes(bytes) => self.written += bytes,
                Transfer::Blocked => return true,
                Transfer::Closed => return false,
            }
        }
        if self.connected {
            self.written = 0;
            self.out.clear();
            // A big request leaves no memory behind; thousands of subscribers send one each.
            self.out.shrink_to(4096);
        }
        true
    }

    /// Gives the memory of an empty buffer back.
    pub(super) fn trim(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Gives what came to the decoder, which hands on to `sink` what it understands. What the server wants back at once it gets.
    pub(super) fn take(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Item<'_>)) {
        let Self { decoder, out, .. } = self;
        let before = out.len();
        decoder.feed(bytes, &mut |item| match item {
            Item::Reply(reply) => out.extend_from_slice(reply),
            item => sink(item),
        });
        if out.len() > before {
            // If nothing can be written the end is found when it is read.
            self.flush();
            self.trim();
        }
    }

    /// Reads what has arrived, at most a buffer.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Transfer {
        net::receive(&self.socket, buffer)
    }
}
