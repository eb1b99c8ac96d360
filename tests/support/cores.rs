//! Finding connections and sessions on a core of one's choice: the kernel spreads connections over the cores as it likes, so a test opens as
//! many as it takes.

use std::net::SocketAddr;

use pushletd::protocol::{Address, Format, SessionId, ShardTable};

use super::http::{Connection, get};
use super::pushlet::{SOON, Session, events_of, target};
use super::server::Server;

/// Connections that are opened for one on a given core, at most: with four cores it is missed every time once in 10^49.
const ATTEMPTS: usize = 400;

/// The core of a session by its id, on a server with so many cores.
pub(crate) fn core_of(id: &str, cores: u16) -> u16 {
    let shard = SessionId::parse(id).map(SessionId::shard).or_else(|| Address::parse(id).map(Address::shard));
    ShardTable::new(cores).core_of(shard.unwrap_or_else(|| panic!("{id:?} is no id")))
}

/// Joins on a connection that is there already. A session begins on the core of its connection.
pub(crate) fn join_on(addr: SocketAddr, connection: &mut Connection, format: Format) -> Session {
    let answer = connection.ask(&get(&target(&[("p_event", "join"), ("p_format", format.name())])), SOON);
    let ack = &events_of(&answer)[0];
    assert_eq!(ack.kind(), "join-ack", "{ack:?}");
    Session { addr, id: ack.field("p_id").to_owned(), address: ack.field("p_from").to_owned(), format }
}

/// Which core a connection is on.
pub(crate) fn core_under(addr: SocketAddr, connection: &mut Connection, cores: u16) -> u16 {
    let session = join_on(addr, connection, Format::Json);
    let left = events_of(&connection.ask(&session.request("leave", &[]), SOON));
    assert_eq!(left[0].kind(), "leave-ack");
    core_of(&session.id, cores)
}

/// A connection on the core `wanted`, opened by `open`.
pub(crate) fn opened_on(wanted: u16, cores: u16, open: impl Fn() -> Connection, addr: SocketAddr) -> Connection {
    for _ in 0..ATTEMPTS {
        let mut connection = open();
        if core_under(addr, &mut connection, cores) == wanted {
            return connection;
        }
    }
    panic!("{ATTEMPTS} connections and none on core {wanted} of {cores}");
}

/// A connection on the core `wanted`.
pub(crate) fn connection_on(server: &Server, wanted: u16, cores: u16) -> Connection {
    opened_on(wanted, cores, || Connection::open(server.addr()), server.addr())
}

/// A connection on each core, in order.
pub(crate) fn connections_on_each(server: &Server, cores: u16) -> Vec<Connection> {
    (0..cores).map(|core| connection_on(server, core, cores)).collect()
}

/// A session on the core `wanted`.
pub(crate) fn session_on(server: &Server, wanted: u16, cores: u16, format: Format) -> Session {
    join_on(server.addr(), &mut connection_on(server, wanted, cores), format)
}
