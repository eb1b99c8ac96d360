//! Connections that move between cores over a socket that loses descriptors and is full at times, with their letters through the ports.

use std::collections::{BTreeSet, VecDeque};

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

use super::mesh::{Arrivals, Departures, LaneBounds, Port, Weigh, ports};
use super::{Wakes, explore};

/// Connections that each core has to give away.
const CONNECTIONS: u32 = 3;
/// Datagrams that a socket holds.
const SOCKET_MAX: usize = 3;

/// An open descriptor of a connection. It must not stay open anywhere when all is over.
struct Descriptor {
    connection: u32,
    _open: Arc<()>,
}

type Datagram = (u16, u32, Option<Descriptor>);

/// The socket of each core.
#[derive(Clone)]
struct Sockets(Arc<Vec<Mutex<VecDeque<Datagram>>>>);

impl Sockets {
    fn new(cores: u16) -> Self {
        Self(Arc::new((0..cores).map(|_| Mutex::default()).collect()))
    }

    /// False if the socket is full.
    fn send(&self, to: u16, (from, ticket, descriptor): Datagram) -> bool {
        let mut socket = self.0[usize::from(to)].lock().unwrap();
        if socket.len() == SOCKET_MAX {
            return false;
        }
        // The receiver's table is full: the datagram comes without its descriptor.
        let descriptor = descriptor.filter(|_| !thread_rng().gen_bool(0.2));
        socket.push_back((from, ticket, descriptor));
        true
    }

    fn receive(&self, core: u16) -> Option<Datagram> {
        self.0[usize::from(core)].lock().unwrap().pop_front()
    }
}

enum Letter {
    Move {
        ticket: u32,
        connection: u32,
    },
    Answer {
        ticket: u32,
        taken: bool,
    },
    /// The sender's last.
    Done,
}

impl Weigh for Letter {
    fn weight(&self) -> usize {
        1
    }
}

/// What the sender keeps of a connection until it is answered.
struct Kept {
    to: u16,
    connection: u32,
}

struct Core {
    port: Port<Letter>,
    sockets: Sockets,
    wakes: Wakes,
    open: Arc<()>,
    arrivals: Arrivals<Descriptor>,
    departures: Departures<Kept>,
    /// Other cores that may still send.
    talking: u16,
    said_done: bool,
    /// Connections that this core serves now.
    adopted: Vec<u32>,
    /// Connections that this core has answered with 503.
    refused: Vec<u32>,
}

impl Core {
    fn handle_letter(&mut self, from: u16, letter: Letter) {
        match letter {
            Letter::Done => self.talking -= 1,
            Letter::Answer { ticket, taken } => {
                let kept = self.departures.answered(ticket).expect("only what was sent is answered, and once");
                if !taken {
                    self.refused.push(kept.connection);
                }
            }
            Letter::Move { ticket, connection } => {
                let core = self.port.core();
                let taken = if thread_rng().gen_bool(0.1) {
                    self.arrivals.forget(from, ticket);
                    false
                } else {
                    let claimed = self.arrivals.claim(from, ticket, || self.sockets.receive(core));
                    let descriptor = claimed.as_ref().map(|descriptor| descriptor.connection);
                    assert!(descriptor.is_none_or(|number| number == connection), "another's descriptor");
                    self.adopted.extend(descriptor);
                    descriptor.is_some()
                };
                self.port.send(from, Letter::Answer { ticket, taken });
            }
        }
    }

    /// Sends what waits. True if it must try again without being woken for it.
    fn depart(&mut self) -> bool {
        let waiting: Vec<(u32, u16, u32)> =
            self.departures.waiting().map(|(ticket, kept)| (ticket, kept.to, kept.connection)).collect();
        for (ticket, to, connection) in waiting {
            if thread_rng().gen_bool(0.1) {
                let kept = self.departures.cancel(ticket).expect("it waits");
                self.refused.push(kept.connection);
                continue;
            }
            if !self.departures.may_send() {
                // An answer will come.
                return false;
            }
            let descriptor = Descriptor { connection, _open: Arc::clone(&self.open) };
            let datagram = (self.port.core(), ticket, Some(descriptor));
            if thread_rng().gen_bool(0.1) || !self.sockets.send(to, datagram) {
                return true;
            }
            self.departures.sent(ticket);
            assert!(self.departures.cancel(ticket).is_none(), "it is the receiver's now");
            self.port.send(to, Letter::Move { ticket, connection });
        }
        false
    }

    fn run(mut self) -> (Vec<u32>, Vec<u32>) {
        let others: Vec<u16> = (0..self.port.cores()).filter(|core| *core != self.port.core()).collect();
        for (number, to) in (0..CONNECTIONS).zip(others.iter().cycle()) {
            let connection = u32::from(self.port.core()) * CONNECTIONS + number;
            self.departures.begin(Kept { to: *to, connection });
        }
        loop {
            while let Some((from, letter)) = self.port.receive() {
                self.handle_letter(from, letter);
            }
            let again = self.depart();
            if self.departures.is_empty() && !self.said_done {
                self.said_done = true;
                others.iter().for_each(|other| self.port.send(*other, Letter::Done));
            }
            let waits = self.port.flush();
            if self.said_done && self.talking == 0 && !waits {
                self.port.take_wakes(|core| self.wakes.write(core));
                assert!(self.arrivals.is_empty() && self.departures.is_empty());
                return (self.adopted, self.refused);
            }
            if again {
                self.port.take_wakes(|core| self.wakes.write(core));
                thread::yield_now();
            } else {
                self.wakes.end_turn(&mut self.port);
            }
        }
    }
}

fn hand_over(cores: u16) {
    let (sockets, wakes, open) = (Sockets::new(cores), Wakes::new(cores), Arc::new(()));
    let threads: Vec<_> = ports(cores, LaneBounds { messages_max: 2, bytes_max: 2 })
        .into_iter()
        .map(|port| {
            let core = Core {
                port,
                sockets: sockets.clone(),
                wakes: wakes.clone(),
                open: Arc::clone(&open),
                arrivals: Arrivals::new(),
                departures: Departures::new(),
                talking: cores - 1,
                said_done: false,
                adopted: Vec::new(),
                refused: Vec::new(),
            };
            thread::spawn(move || core.run())
        })
        .collect();
    let ends: Vec<u32> = threads
        .into_iter()
        .flat_map(|thread| {
            let (adopted, refused) = thread.join().unwrap();
            adopted.into_iter().chain(refused)
        })
        .collect();
    let distinct: BTreeSet<u32> = ends.iter().copied().collect();
    assert_eq!(ends.len(), distinct.len(), "a connection ends once: {ends:?}");
    assert_eq!(distinct, (0..u32::from(cores) * CONNECTIONS).collect(), "every connection ends");
    // What was forgotten and never read is closed with its socket.
    drop(sockets);
    assert_eq!(Arc::strong_count(&open), 1, "a descriptor stays open");
}

#[test]
fn two_cores_swap_connections() {
    explore(1000, || hand_over(2));
}

#[test]
fn three_cores_swap_connections() {
    explore(500, || hand_over(3));
}
