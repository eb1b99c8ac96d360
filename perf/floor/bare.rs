//! The floor: a bare program that sends the same bytes to many connections, and understands as much of the Pushlet protocol as it takes to be
//! driven by the load generator.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketFlags};
use slab::Slab;

use super::sending::{Sending, send};

const LISTENER: u64 = u64::MAX;
/// Longest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 512 * 1024;
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A connection, and the beginning of a request on it.
struct Client {
    socket: OwnedFd,
    request: Vec<u8>,
    /// What it listens to.
    subject: Option<String>,
}

pub(crate) struct Floor {
    epoll: OwnedFd,
    listener: OwnedFd,
    clients: Slab<Client>,
    /// Who listens to a subject. Invariant: the clients that have it as theirs.
    listeners: HashMap<String, Vec<usize>>,
    sending: Sending,
    bytes: usize,
    events: u64,
    ids: u64,
}

/// A chunk with one line of exactly `bytes` bytes in all, as far as it can be that short.
fn chunk(line: &str, bytes: usize) -> Vec<u8> {
    let framing = |line: usize| format!("{line:x}").len() + 4;
    let mut length = bytes.saturating_sub(framing(bytes)).max(line.len() + 1);
    while length + framing(length) < bytes {
        length += 1;
    }
    let padding = " ".repeat(length - line.len() - 1);
    format!("{length:x}\r\n{line}{padding}\n\r\n").into_bytes()
}

impl Floor {
    /// One that listens, and where.
    ///
    /// # Errors
    ///
    /// What the kernel says of the address.
    pub(crate) fn bind(address: &str, bytes: usize, sending: Sending) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        let listener = OwnedFd::from(listener);
        // The backlog of the standard library is short for thousands that come at once.
        rustix::net::listen(&listener, 4096)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, listener.as_fd(), EventData::new_u64(LISTENER), EventFlags::IN)?;
        let (clients, listeners) = (Slab::new(), HashMap::new());
        Ok((Self { epoll, listener, clients, listeners, sending, bytes, events: 0, ids: 0 }, local))
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    ///
    /// What the kernel says of the listener or the epoll descriptor.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::with_capacity(1024);
        loop {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in ready.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    key => self.read(key as usize),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match rustix::net::accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
                    let entry = self.clients.vacant_entry();
                    epoll::add(&self.epoll, socket.as_fd(), EventData::new_u64(entry.key() as u64), EventFlags::IN)?;
                    entry.insert(Client { socket, request: Vec::new(), subject: None });
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&mut self, key: usize) {
        let mut buffer = [0; 16 * 1024];
        let Some(client) = self.clients.get_mut(key) else { return };
        match rustix::net::recv(&client.socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((_, length)) if length > 0 && client.request.len() < REQUEST_BYTES_MAX => {
                client.request.extend_from_slice(&buffer[..length]);
                while let Some(request) = self.clients.get_mut(key).and_then(take_request) {
                    self.answer(key, &request);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => {
                self.stop_listening(key);
                drop(self.clients.remove(key));
            }
        }
    }

    fn answer(&mut self, key: usize, request: &str) {
        self.ids += 1;
        let id = self.ids;
        let ack = |word: &str| format!("{{\"p_event\":\"{word}\",\"p_id\":\"{id}\",\"p_from\":\"{id}\"}}");
        if request.contains("p_event=join-listen") {
            let bytes = [STREAM_HEAD, &chunk(&ack("join-listen-ack"), 0)].concat();
            if send(self.clients[key].socket.as_fd(), &bytes) {
                self.listen(key, subject(request));
            }
            return;
        }
        let word = if request.contains("p_event=publish") {
            self.publish(request);
            "publish-ack"
        } else if request.contains("p_event=leave") {
            "leave-ack"
        } else {
            "join-ack"
        };
        let body = format!("[{}]", ack(word));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        send(self.clients[key].socket.as_fd(), answer.as_bytes());
    }

    fn listen(&mut self, key: usize, subject: &str) {
        self.stop_listening(key);
        self.clients[key].subject = Some(subject.to_owned());
        self.listeners.entry(subject.to_owned()).or_default().push(key);
    }

    fn stop_listening(&mut self, key: usize) {
        let Some(subject) = self.clients[key].subject.take() else { return };
        if let Some(keys) = self.listeners.get_mut(&subject) {
            keys.retain(|known| *known != key);
        }
    }

    /// What is measured.
    fn publish(&mut self, request: &str) {
        self.events += 1;
        let marker = request.split('~').nth(1).unwrap_or_default();
        let line = format!("{{\"p_seq\":\"{}\",\"p_event\":\"data\",\"m\":\"~{marker}~\"}}", self.events);
        let bytes = chunk(&line, self.bytes);
        let Some(keys) = self.listeners.get(subject(request)) else { return };
        let sockets: Vec<BorrowedFd<'_>> = keys.iter().map(|key| self.clients[*key].socket.as_fd()).collect();
        let left = self.sending.send_all(&sockets, &bytes);
        let left: Vec<usize> = left.into_iter().map(|place| keys[place]).collect();
        left.into_iter().for_each(|key| self.stop_listening(key));
    }
}

/// What a request is about.
fn subject(request: &str) -> &str {
    let value = request.split_once("p_subject=").map(|(_, rest)| rest);
    value.and_then(|rest| rest.split(['&', ' ']).next()).unwrap_or_default()
}

/// The first whole request that has come.
fn take_request(client: &mut Client) -> Option<String> {
    let text = String::from_utf8_lossy(&client.request);
    let head = text.find("\r\n\r\n")? + 4;
    let length = text[..head].lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
    let whole = head.saturating_add(length.unwrap_or(0));
    let request = text.get(..whole)?.to_owned();
    client.request.drain(..whole);
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_as_long_as_is_wanted() {
        for bytes in 60..5000 {
            let chunk = chunk("{\"a\":\"b\"}", bytes);
            // A length whose framing is a digit longer than that of one byte less cannot be met.
            assert!(chunk.len() == bytes || chunk.len() == bytes + 1, "{bytes}: {}", chunk.len());
            let text = String::from_utf8(chunk).expect("it is text");
            let (length, rest) = text.split_once("\r\n").expect("a length comes first");
            let length = usize::from_str_radix(length, 16).expect("a length");
            assert!(rest.len() == length + 2 && rest.ends_with(" \n\r\n"), "{text:?}");
        }
        assert_eq!(chunk("abc", 0), b"4\r\nabc\n\r\n");
    }

    #[test]
    fn a_subject_ends_where_its_field_does() {
        assert_eq!(subject("GET /?p_event=join-listen&p_subject=/a/b HTTP/1.1\r\n\r\n"), "/a/b");
        assert_eq!(subject("POST / HTTP/1.1\r\n\r\np_event=publish&p_subject=/a&m=~x~"), "/a");
        assert_eq!(subject("GET /"), "");
    }
}
