//! A server that is full: it says so, stays calm and is well again as soon as somebody leaves.

use std::time::{Duration, Instant};

use pushletd::protocol::Format;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::http::{Connection, get, post};
use crate::support::look::{admin_get, core_threads, descriptors, descriptors_of, metric, processor_time, wait_metric};
use crate::support::pushlet::{PATH, SOON, Session};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

/// A connection that has been served once and stays.
fn served(server: &Server) -> Connection {
    let mut connection = Connection::open(server.addr());
    let answer = connection.ask(&get("/"), SOON);
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    connection
}

/// Expects to be turned away with a 503 that can be read whole, also by a client that has sent much already.
fn turned_away(server: &Server, request: &[u8]) {
    let mut connection = Connection::open(server.addr());
    // Without time to read it, the rest of this would meet a reset, which can take the answer with it.
    connection.request(request);
    let answer = connection.wait_answer(SOON);
    assert_eq!((answer.head.status, answer.head.get("connection")), (503, Some("close")));
    let seconds: u32 = answer.head.get("retry-after").expect("when to come again").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
    connection.wait_closed(SOON);
    assert!(connection.stream().take_error().expect("our own socket").is_none(), "a reset behind the answer");
}

/// Somebody has left, and the server notices when it comes to it: the first connection that is served since then.
fn join_until_served(server: &Server) -> Connection {
    let mut served = None;
    let came_in = wait_for(SOON, || {
        let mut connection = Connection::open(server.addr());
        connection.request(&get("/"));
        let status = connection.wait_answer(SOON).head.status;
        served = (status == 200).then_some(connection);
        served.is_some()
    });
    assert!(came_in, "there is room again and nobody is let in");
    served.expect("it came in")
}

#[test]
fn one_connection_too_many_is_turned_away() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--max-connections", "5"], "");
        // Whoever watches the server takes no place from its clients.
        let mut watcher = Connection::open(server.admin());
        assert_eq!(watcher.ask(&get("/healthz"), SOON).head.status, 200);
        let mut connections: Vec<Connection> = (0..5).map(|_| served(&server)).collect();
        for _ in 0..3 {
            turned_away(&server, &get("/"));
            turned_away(&server, &post(PATH, "text/plain", &vec![b'x'; 200_000]));
        }
        wait_metric(&server, "connections_refused_total", 6, SOON);
        assert_eq!(watcher.ask(&get("/healthz"), SOON).head.status, 200);
        for connection in &mut connections {
            assert_eq!(connection.ask(&get("/"), SOON).head.status, 200, "those inside notice nothing");
        }
        for _ in 0..3 {
            connections.pop();
            connections.push(join_until_served(&server));
            turned_away(&server, &get("/"));
        }
    });
}

/// Neither port can be filled from the other one, and each has its bound.
#[test]
fn the_admin_port_has_a_bound_of_its_own() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--max-connections", "5"], "");
        let mut watchers = Vec::new();
        let statuses: Vec<u16> = (0..40)
            .map(|_| {
                let mut watcher = Connection::open(server.admin());
                let status = watcher.ask(&get("/healthz"), SOON).head.status;
                watchers.push(watcher);
                status
            })
            .collect();
        let served_there = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(served_there, pushletd::limits::ADMIN_CONNECTIONS_MAX, "{statuses:?}");
        assert!(statuses[served_there..].iter().all(|status| *status == 503), "{statuses:?}");
        let _inside: Vec<Connection> = (0..5).map(|_| served(&server)).collect();
        drop(watchers);
        // The server notices when it comes to it that they have gone.
        assert!(wait_for(SOON, || admin_get(server.admin(), "/healthz").head.status == 200), "there is room again");
        wait_metric(&server, "connections", 6, SOON);
    });
}

/// A crowd at the door of a full server takes a bounded part of it.
#[test]
fn a_crowd_that_is_turned_away_takes_no_descriptors() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--max-connections", "2"], "");
        let _inside = [served(&server), served(&server)];
        let before = descriptors(&server);
        let crowd: Vec<Connection> = (0..400).map(|_| Connection::open(server.addr())).collect();
        let refused = wait_for(SOON, || metric(&server, "connections_refused_total") == crowd.len() as u64);
        assert!(refused, "{} of {}", metric(&server, "connections_refused_total"), crowd.len());
        assert!(descriptors(&server) <= before + 40, "{before} descriptors became {}", descriptors(&server));
        drop(crowd);
        let calm = wait_for(SOON, || descriptors(&server) <= before);
        assert!(calm, "{before} descriptors became {}", descriptors(&server));
    });
}

#[test]
fn a_small_limit_of_descriptors_makes_a_small_server() {
    on_both_drivers_at_once(|driver| {
        // One core: which one is full is not told, and of several the others go on.
        let server = Server::start_with_descriptors(driver, 80, &["--cores", "1"]);
        let mut inside = Vec::new();
        loop {
            let mut connection = Connection::open(server.addr());
            connection.request(&get("/"));
            match connection.wait_answer(SOON).head.status {
                200 => inside.push(connection),
                503 => break,
                status => panic!("{status}"),
            }
        }
        assert!((8..80).contains(&inside.len()), "{} connections with 80 descriptors", inside.len());
        let (began, before) = (Instant::now(), processor_time(&server));
        turned_away(&server, &get("/"));
        for connection in &mut inside {
            assert_eq!(connection.ask(&get("/"), SOON).head.status, 200);
        }
        assert!(processor_time(&server) - before <= began.elapsed() / 2 + Duration::from_millis(50));
        inside.clear();
        join_until_served(&server);
        assert!(!server.stderr().contains("cannot be accepted"), "the reserve is large enough: {}", server.stderr());
    });
}

/// The descriptor table is full although the server thought that it has room: it waits without spinning, and goes on when it can.
#[test]
fn a_full_descriptor_table_is_waited_out() {
    on_both_drivers_at_once(|driver| {
        // One core, because the limit that is set here holds for the tables of all of them.
        let server = Server::start_with_admin(driver, &["--cores", "1"], "");
        let session = Session::join(server.addr(), Format::Json);
        let mut first: Vec<Connection> = (0..3).map(|_| served(&server)).collect();
        // Connections of the questions so far may still be open.
        wait_metric(&server, "connections", 4, SOON);
        let table = descriptors_of(&server, core_threads(&server)[0].number);
        let limit = table.keys().max().map_or(0, |last| u64::from(*last)) + 1;
        let pid = Pid::from_raw(i32::try_from(server.pid()).expect("a small number")).expect("a process id");
        let rlimit = Rlimit { current: Some(limit), maximum: None };
        let old = prlimit(
            Some(pid),
            Resource::Nofile,
            Rlimit { maximum: rlimit::Resource::NOFILE.get_hard().ok(), ..rlimit },
        )
        .expect("our own child's limit");
        let mut waiting: Vec<Connection> = (0..10).map(|_| Connection::open(server.addr())).collect();
        for connection in &mut waiting {
            connection.request(&get("/"));
        }
        server.wait_stderr("cannot be accepted", SOON);
        let (began, before) = (Instant::now(), processor_time(&server));
        let answer = first[0].ask(&session.request("hb", &[]), SOON);
        assert_eq!(answer.head.status, 200, "those inside notice nothing");
        // A second of silence outside, told by the answers of somebody inside.
        wait_for(Duration::from_secs(1), || {
            first[0].ask(&get("/"), SOON);
            waiting.iter().any(|connection| connection.head().is_some())
        });
        let spent = processor_time(&server) - before;
        assert!(spent < began.elapsed() * 2 / 3, "{spent:?} of {:?}: it spins", began.elapsed());
        assert_eq!(server.stderr().matches("cannot be accepted").count(), 1, "told once, not fifty times a second");

        first.pop();
        let one =
            wait_for(SOON, || waiting.iter_mut().any(|connection| connection.pump() || connection.head().is_some()));
        assert!(one, "a place is free and nobody is let in");
        prlimit(Some(pid), Resource::Nofile, old).expect("our own child's limit");
        for mut connection in waiting {
            assert_eq!(connection.wait_answer(SOON).head.status, 200);
        }
        served(&server);
    });
}
