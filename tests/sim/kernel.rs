//! The kernel of the simulated world: sockets as two pipes, readiness that is told once at each change, sockets that carry descriptors.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// A connection, for both of its ends.
pub(crate) type SocketId = usize;

/// Names a connection of a core while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// What a core is told of a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) finished: bool,
}

/// What became of a read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Bytes(usize),
    Blocked,
    Closed,
}

/// Events that a broken connection has not taken (P-30), for the oracle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) socket: SocketId,
    /// Which request of the connection they answered.
    pub(crate) request: usize,
    pub(crate) events: u32,
    /// Bytes that had gone into the socket before their answer.
    pub(crate) base: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Socket {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// Bytes that `to_client` takes.
    pub(crate) window: usize,
    /// A write was refused or cut short since the core was told that it may write.
    refused: bool,
    client_finished: bool,
    client_gone: bool,
    server_finished: bool,
    reset_on_close: bool,
    /// Descriptors of the server's end, those on their way included.
    descriptors: u32,
    watcher: Option<(u16, Key)>,
    queued: bool,
    /// Bytes that the server's end has ever taken.
    pub(crate) sent: u64,
    /// Requests that the server has read from it.
    pub(crate) requests: usize,
    /// What was on its way to the client and can not be read any more.
    lost: Vec<u8>,
}

pub(crate) struct Kernel {
    pub(crate) rng: fastrand::Rng,
    pub(crate) sockets: Vec<Socket>,
    ready: Vec<VecDeque<SocketId>>,
    /// By core: sender, ticket, socket.
    doors: Vec<VecDeque<(u16, u32, SocketId)>>,
    /// Descriptors that wait in one socket at most.
    pub(crate) door_max: usize,
    /// How often a table is too full to take a descriptor, in thousandths.
    pub(crate) table_full: u32,
    /// So many writes are made together at most.
    pub(crate) batch_max: usize,
    /// Cores that are to be woken.
    pub(crate) bells: Vec<u16>,
    /// Cores that have a ready socket.
    pub(crate) roused: Vec<u16>,
    /// Sockets whose client may have something to read.
    pub(crate) touched: Vec<SocketId>,
    pub(crate) cuts: Vec<Cut>,
    /// What has happened how often.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) now_us: u64,
    /// The last steps, if they are to be told.
    pub(crate) trace: Option<VecDeque<String>>,
    trace_lines: usize,
}

impl Kernel {
    pub(crate) fn new(mut rng: fastrand::Rng, cores: u16, door_max: usize, table_full: u32) -> Self {
        let lists = usize::from(cores);
        let batch_max = [1, 2, 3, 5, pushletd::limits::WRITES_PER_CALL_MAX][rng.usize(..5)];
        Self {
            rng,
            sockets: Vec::new(),
            ready: vec![VecDeque::new(); lists],
            doors: vec![VecDeque::new(); lists],
            door_max,
            table_full,
            batch_max,
            bells: Vec::new(),
            roused: Vec::new(),
            touched: Vec::new(),
            cuts: Vec::new(),
            counts: BTreeMap::new(),
            now_us: 0,
            trace: None,
            trace_lines: std::env::var("PUSHLETD_SIM_LINES")
                .map_or(40, |lines| lines.parse().expect("a number of lines")),
        }
    }

    pub(crate) fn note(&mut self, what: fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == self.trace_lines {
                trace.pop_front();
            }
            trace.push_back(format!("{:>10.3} ms  {what}", self.now_us as f64 / 1000.0));
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    pub(crate) fn count_many(&mut self, what: &'static str, many: u64) {
        *self.counts.entry(what).or_insert(0) += many;
    }

    /// A connection that waits to be accepted: the listener's descriptor is the one it will have.
    pub(crate) fn connect(&mut self, window: usize) -> SocketId {
        self.sockets.push(Socket { window, descriptors: 1, ..Socket::default() });
        self.sockets.len() - 1
    }

    // The client's end.

    pub(crate) fn client_send(&mut self, id: SocketId, bytes: &[u8]) {
        let socket = &mut self.sockets[id];
        if socket.descriptors > 0 && !socket.client_finished {
            socket.to_server.extend(bytes);
            self.change(id);
        }
    }

    /// Half-close.
    pub(crate) fn client_finish(&mut self, id: SocketId) {
        self.sockets[id].client_finished = true;
        self.change(id);
    }

    /// Closes, and gives back what was on its way.
    pub(crate) fn client_close(&mut self, id: SocketId) -> Vec<u8> {
        let socket = &mut self.sockets[id];
        (socket.client_finished, socket.client_gone) = (true, true);
        let mut rest: Vec<u8> = std::mem::take(&mut socket.to_client).into();
        rest.append(&mut socket.lost);
        self.change(id);
        rest
    }

    /// Takes at most `max` bytes; the flag says that no more will come.
    pub(crate) fn client_read(&mut self, id: SocketId, max: usize) -> (Vec<u8>, bool) {
        let socket = &mut self.sockets[id];
        let take = max.min(socket.to_client.len());
        let bytes: Vec<u8> = socket.to_client.drain(..take).collect();
        let room_again = socket.refused && socket.to_client.len() <= socket.window * 2 / 3;
        let ended = socket.to_client.is_empty() && (socket.server_finished || socket.descriptors == 0);
        if room_again {
            socket.refused = false;
            self.change(id);
        }
        (bytes, ended)
    }

    pub(crate) fn client_may_read(&self, id: SocketId) -> bool {
        let socket = &self.sockets[id];
        !socket.to_client.is_empty() || socket.server_finished || socket.descriptors == 0
    }

    // The server's end.

    pub(crate) fn receive(&mut self, id: SocketId, into: &mut Vec<u8>, max: usize) -> Transfer {
        let socket = &mut self.sockets[id];
        let take = max.min(socket.to_server.len());
        into.extend(socket.to_server.drain(..take));
        match take {
            0 if socket.client_finished => Transfer::Closed,
            0 => Transfer::Blocked,
            bytes => Transfer::Bytes(bytes),
        }
    }

    pub(crate) fn send(&mut self, id: SocketId, bytes: &[u8]) -> Transfer {
        let socket = &mut self.sockets[id];
        if socket.client_gone || socket.server_finished {
            return Transfer::Closed;
        }
        let take = bytes.len().min(socket.window.saturating_sub(socket.to_client.len()));
        socket.to_client.extend(&bytes[..take]);
        socket.sent += take as u64;
        socket.refused |= take < bytes.len();
        self.touched.push(id);
        match take {
            0 => {
                self.count("write refused");
                Transfer::Blocked
            }
            _ => {
                if take < bytes.len() {
                    self.count("write cut short");
                }
                Transfer::Bytes(take)
            }
        }
    }

    pub(crate) fn shutdown_write(&mut self, id: SocketId) {
        self.sockets[id].server_finished = true;
        self.touched.push(id);
    }

    pub(crate) fn reset_on_close(&mut self, id: SocketId) {
        self.sockets[id].reset_on_close = true;
    }

    /// Closes one descriptor of the server's end.
    pub(crate) fn drop_descriptor(&mut self, id: SocketId) {
        let socket = &mut self.sockets[id];
        assert!(socket.descriptors > 0, "socket {id} is closed once too often");
        socket.descriptors -= 1;
        if socket.descriptors == 0 {
            socket.watcher = None;
            if socket.reset_on_close || !socket.to_server.is_empty() {
                socket.lost.extend(socket.to_client.drain(..));
            }
            self.touched.push(id);
        }
    }

    pub(crate) fn is_closed_by_server(&self, id: SocketId) -> bool {
        self.sockets[id].descriptors == 0
    }

    pub(crate) fn watch(&mut self, core: u16, id: SocketId, key: Key) {
        assert!(self.sockets[id].watcher.is_none(), "socket {id} is watched twice");
        self.sockets[id].watcher = Some((core, key));
        self.change(id);
    }

    pub(crate) fn unwatch(&mut self, id: SocketId) {
        assert!(self.sockets[id].watcher.take().is_some(), "socket {id} was not watched");
    }

    /// Something about a socket has changed: its watcher is told, once.
    fn change(&mut self, id: SocketId) {
        let socket = &mut self.sockets[id];
        if let Some((core, _)) = socket.watcher
            && !std::mem::replace(&mut socket.queued, true)
        {
            self.ready[usize::from(core)].push_back(id);
            self.roused.push(core);
        }
    }

    pub(crate) fn has_ready(&self, core: u16) -> bool {
        !self.ready[usize::from(core)].is_empty()
    }

    /// What has changed for a core, at most `max` sockets. As with the real thing, all that is true is told, not only what has changed.
    pub(crate) fn harvest(&mut self, core: u16, max: usize) -> Vec<(Key, Flags)> {
        let mut found = Vec::new();
        while found.len() < max {
            let Some(id) = self.ready[usize::from(core)].pop_front() else { break };
            let socket = &mut self.sockets[id];
            socket.queued = false;
            match socket.watcher {
                Some((watcher, key)) if watcher == core => {
                    let writable = socket.client_gone || socket.to_client.len() < socket.window;
                    let finished = socket.client_finished;
                    let readable = !socket.to_server.is_empty() || finished;
                    found.push((key, Flags { readable, writable, finished }));
                }
                // It went to another core, which is told in its own right.
                Some(_) => self.change(id),
                None => {}
            }
        }
        found
    }

    /// Sends a descriptor; false if the receiver's socket is full.
    pub(crate) fn send_descriptor(&mut self, to: u16, from: u16, ticket: u32, id: SocketId) -> bool {
        let door = &mut self.doors[usize::from(to)];
        if door.len() >= self.door_max {
            self.count("descriptor socket full");
            return false;
        }
        door.push_back((from, ticket, id));
        self.sockets[id].descriptors += 1;
        true
    }

    pub(crate) fn receive_descriptor(&mut self, core: u16) -> Option<(u16, u32, Option<SocketId>)> {
        let (from, ticket, id) = self.doors[usize::from(core)].pop_front()?;
        if self.rng.u32(..1000) < self.table_full {
            self.count("descriptor dropped");
            self.drop_descriptor(id);
            return Some((from, ticket, None));
        }
        Some((from, ticket, Some(id)))
    }

    pub(crate) fn doors_are_empty(&self) -> bool {
        self.doors.iter().all(VecDeque::is_empty)
    }
}
