//! Coming and going, many times: nothing is left behind.

use std::net::TcpStream;
use std::time::Duration;

use pushletd::protocol::Format;

use crate::support::http::{Connection, get};
use crate::support::look::{descriptors, metric, settled_metric, wait_metric};
use crate::support::pushlet::{Channel, SOON, Session, events_of, target};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

#[test]
fn ten_thousand_connections_leave_nothing() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let session = Session::join(server.addr(), Format::Json);
        wait_metric(&server, "connections", 1, SOON);
        let before = descriptors(&server);
        let accepted = settled_metric(&server, "connections_accepted_total");
        let hb = session.request("hb", &[]);
        let mut admin = 1;
        for turn in 0..10_000_u64 {
            match turn % 4 {
                // Opened and closed.
                0 | 1 => drop(TcpStream::connect(server.addr()).expect("the server accepts")),
                // Closed in the middle of a request.
                2 => Connection::open(server.addr()).send(&hb[..hb.len() / 2]),
                // Reset, with a request under way.
                _ => {
                    let mut connection = Connection::open(server.addr());
                    connection.send(&hb);
                    connection.reset();
                }
            }
        }
        let all = wait_for(SOON, || {
            admin += 1;
            metric(&server, "connections_accepted_total") + 1 >= accepted + 10_000 + admin
        });
        assert!(all, "{} of 10000 were accepted", metric(&server, "connections_accepted_total") - accepted);
        wait_metric(&server, "connections", 1, SOON);
        let back = wait_for(SOON, || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
        wait_metric(&server, "sessions", 1, SOON);
    });
}

#[test]
fn two_thousand_sessions_leave_nothing() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        // It has begun to serve, so it has opened everything that it needs for itself.
        wait_metric(&server, "connections", 1, SOON);
        let before = descriptors(&server);
        let mut control = Connection::open(server.addr());
        for _ in 0..10 {
            let sessions: Vec<Session> = (0..200).map(|_| join(&server, &mut control)).collect();
            let mut streams: Vec<Channel> =
                sessions.iter().map(|session| session.listen("stream", Some("/churn"))).collect();
            wait_metric(&server, "sessions_listening", 200, SOON);
            sessions[0].publish("/churn", &[("text", "hello")]);
            for (session, stream) in sessions.iter().zip(&mut streams) {
                // A publish is acked before the other cores have it: who leaves now might miss it.
                stream.wait_data(1);
                let events = events_of(&control.ask(&session.request("leave", &[]), SOON));
                assert_eq!(events[0].kind(), "leave-ack");
                let kinds: Vec<String> = stream.wait_end(SOON).iter().map(|event| event.kind().to_owned()).collect();
                assert_eq!(kinds, ["listen-ack", "hb", "data"]);
            }
        }
        drop(control);
        for name in ["sessions", "sessions_listening", "subscriptions"] {
            wait_metric(&server, name, 0, SOON);
        }
        let back = wait_for(Duration::from_secs(5), || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
        wait_metric(&server, "joins_total", 2000, SOON);
    });
}

/// Joins on a connection that stays.
fn join(server: &Server, control: &mut Connection) -> Session {
    let join = get(&target(&[("p_event", "join"), ("p_format", "json")]));
    let ack = &events_of(&control.ask(&join, SOON))[0];
    let (id, address) = (ack.field("p_id").to_owned(), ack.field("p_from").to_owned());
    Session { addr: server.addr(), id, address, format: Format::Json }
}
