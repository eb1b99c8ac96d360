//! Bounds of several cores: each has its own file table, and all of them together have one number of connections.

use std::collections::BTreeSet;

use pushletd::protocol::Format;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::cores::{connection_on, core_of, join_on, session_on};
use crate::support::http::{Answer, Connection, get};
use crate::support::look::{Thread, core_threads, descriptors, descriptors_of, metric, settled_metric, wait_metric};
use crate::support::pushlet::{SOON, Session, events_of, target};
use crate::support::server::{Server, on_both_drivers_at_once, wait_for};

/// A connection that was let in, with its session; or the answer of a server that is full.
fn try_to_join(server: &Server) -> Result<(Session, Connection), Answer> {
    let mut connection = Connection::open(server.addr());
    connection.request(&get(&target(&[("p_event", "join"), ("p_format", "json")])));
    let answer = connection.wait_answer(SOON);
    if answer.head.status != 200 {
        return Err(answer);
    }
    let ack = &events_of(&answer)[0];
    let (id, address) = (ack.field("p_id").to_owned(), ack.field("p_from").to_owned());
    Ok((Session { addr: server.addr(), id, address, format: Format::Json }, connection))
}

#[track_caller]
fn is_told_to_come_again(answer: &Answer) {
    assert_eq!((answer.head.status, answer.head.get("connection")), (503, Some("close")), "{}", answer.text());
    let seconds: u32 = answer.head.get("retry-after").expect("when to come again").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
}

/// The connections that a core lets in, by core, until nobody is let in any more.
fn fill(server: &Server, cores: u16, room: usize) -> Vec<Vec<(Session, Connection)>> {
    let mut inside: Vec<Vec<(Session, Connection)>> = (0..cores).map(|_| Vec::new()).collect();
    let mut refused = 0;
    while inside.iter().map(Vec::len).sum::<usize>() < room * usize::from(cores) {
        match try_to_join(server) {
            Ok((session, connection)) => inside[usize::from(core_of(&session.id, cores))].push((session, connection)),
            Err(answer) => {
                is_told_to_come_again(&answer);
                assert!(inside.iter().any(|here| here.len() == room), "nobody is full, and one is turned away");
                refused += 1;
                assert!(
                    refused < 2000,
                    "a core with room lets nobody in: {:?}",
                    inside.iter().map(Vec::len).collect::<Vec<_>>()
                );
            }
        }
        assert!(inside.iter().all(|here| here.len() <= room), "more than a table holds");
    }
    inside
}

/// The limit of open files counts for each core: a full one turns away, the others serve on, and all together hold the sum.
#[test]
fn every_core_is_filled_by_itself() {
    on_both_drivers_at_once(|driver| {
        for cores in [2_u16, 3] {
            let server = Server::start_with_descriptors(driver, 100, &["--cores", &cores.to_string()]);
            // What is kept back: 64, and the descriptors between the cores.
            let room = 100 - 64 - (3 * usize::from(cores) + 1);
            let told = format!("limits: {} connections (100 descriptors for each core)", room * usize::from(cores));
            assert!(server.stdout().contains(&told), "no {told:?} in {}", server.stdout());
            let mut inside = fill(&server, cores, room);
            for _ in 0..10 {
                is_told_to_come_again(&try_to_join(&server).expect_err("all cores are full"));
            }
            for (session, connection) in inside.iter_mut().flatten() {
                assert_eq!(events_of(&connection.ask(&session.request("hb", &[]), SOON))[0].kind(), "hb-ack");
            }
            // Those inside reach everybody, also on another core.
            let other = inside[1][0].0.clone();
            let (_, connection) = &mut inside[0][0];
            assert_eq!(events_of(&connection.ask(&other.request("hb", &[]), SOON))[0].kind(), "hb-ack");
            // A place on a given core is taken by the next one that comes to that core.
            for core in 0..cores {
                inside[usize::from(core)].pop();
                let mut back = None;
                let came = wait_for(SOON, || {
                    back = try_to_join(&server).ok();
                    back.is_some()
                });
                assert!(came, "core {core} has room again and nobody is let in");
                let (session, connection) = back.expect("it came in");
                assert_eq!(core_of(&session.id, cores), core);
                inside[usize::from(core)].push((session, connection));
            }
            assert!(
                !server.stderr().contains("cannot be accepted"),
                "the reserve is large enough: {}",
                server.stderr()
            );
        }
    });
}

/// A session whose stream finds no room on its core is told so, is not harmed, and gets its stream when there is room.
#[test]
fn a_stream_that_finds_its_core_full_is_told_so() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_descriptors(driver, 100, &["--cores", "2"]);
        let room = 100 - 64 - 7;
        let mut inside = fill(&server, 2, room);
        let session = inside[0][0].0.clone();
        for turn in 1..4 {
            let (_, mut connection) = inside[1].pop().expect("as many as there is room");
            connection.request(&session.request("listen", &[("p_subject", "/full")]));
            is_told_to_come_again(&connection.wait_answer(SOON));
            connection.wait_closed(SOON);
            wait_metric(&server, "handovers_failed_total", turn, SOON);
        }
        assert_eq!((settled_metric(&server, "handovers_in_total"), metric(&server, "sessions_listening")), (0, 0));
        let (_, mut connection) = inside[0].pop().expect("as many as there is room");
        assert_eq!(
            events_of(&connection.ask(&session.request("hb", &[]), SOON))[0].kind(),
            "hb-ack",
            "it is not harmed"
        );
        drop(connection);
        wait_metric(&server, "core_connections{core=\"0\"}", room as u64, SOON);
        let (_, connection) = inside[1].pop().expect("as many as there is room");
        let mut stream = session.data_on(connection, "listen", &[("p_subject", "/full")]);
        stream.wait_count(2);
        session_publishes(&session, &mut inside[1][0].1);
        assert_eq!(stream.wait_data(1)[0].field("text"), "there is room");
        // The place that it left on the other core is free.
        let came = wait_for(SOON, || try_to_join(&server).is_ok_and(|(session, _)| core_of(&session.id, 2) == 1));
        assert!(came, "the core that the connection has left lets nobody in");
    });
}

fn session_publishes(session: &Session, connection: &mut Connection) {
    let request = session.request("publish", &[("p_subject", "/full"), ("text", "there is room")]);
    assert_eq!(events_of(&connection.ask(&request, SOON))[0].kind(), "publish-ack");
}

/// The kernel drops a descriptor on its way into a full table: the client is told, and no core keeps anything of it.
#[test]
fn a_move_into_a_full_file_table_is_told() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--cores", "2"], "");
        let session = session_on(&server, 0, 2, Format::Json);
        // The receiving core's table is so much fuller that the crowd below finds room in the other one.
        let mut inside: Vec<Connection> = (0..40).map(|_| connection_on(&server, 0, 2)).collect();
        let mut movers: Vec<Connection> = (0..3).map(|_| connection_on(&server, 1, 2)).collect();
        wait_metric(&server, "connections", 44, SOON);
        let before = descriptors(&server);
        let table = descriptors_of(&server, core_threads(&server)[0].number);
        let last = table.keys().max().map_or(0, |last| u64::from(*last));
        let pid = Pid::from_raw(i32::try_from(server.pid()).expect("a small number")).expect("a process id");
        let maximum = rlimit::Resource::NOFILE.get_hard().ok();
        let limit = Rlimit { current: Some(last + 1), maximum };
        let old = prlimit(Some(pid), Resource::Nofile, limit).expect("our own child's limit");
        // What is free below that is taken by some more, and the rest of them wait at the door.
        // They are so many that one waits for every descriptor that may still become free.
        let crowd: Vec<Connection> = (0..50).map(|_| Connection::open(server.addr())).collect();
        server.wait_stderr("cannot be accepted", SOON);
        let mut refused = 0;
        for mover in &mut movers {
            mover.request(&session.request("listen", &[]));
            mover.wait_until(SOON, |mover| !mover.chunks().is_empty() || mover.is_closed());
            // One may find a descriptor that has just become free, and then it has it.
            if mover.chunks().is_empty() {
                is_told_to_come_again(&mover.wait_answer(SOON));
                refused += 1;
            }
        }
        assert!(refused > 0, "every move found room in a full table");
        prlimit(Some(pid), Resource::Nofile, old).expect("our own child's limit");
        drop(crowd);
        drop(movers);
        wait_metric(&server, "handovers_failed_total", refused, SOON);
        wait_metric(&server, "sessions_listening", 0, SOON);
        let back = wait_for(SOON, || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
        let mut stream = session.data_on(connection_on(&server, 1, 2), "listen", &[]);
        stream.wait_count(2);
        for connection in &mut inside {
            assert_eq!(connection.ask(&get("/"), SOON).head.status, 200, "those inside notice nothing");
        }
    });
}

/// The number of connections is of the whole server, to the last one, however many cores it has and wherever they are.
#[test]
fn max_connections_counts_over_all_cores() {
    const MAX: usize = 9;
    on_both_drivers_at_once(|driver| {
        for cores in ["1", "2", "4"] {
            let server = Server::start_with_admin(driver, &["--cores", cores, "--max-connections", "9"], "");
            let mut inside: Vec<(Session, Connection)> =
                (0..MAX).map(|_| try_to_join(&server).unwrap_or_else(|answer| panic!("{}", answer.text()))).collect();
            for _ in 0..8 {
                is_told_to_come_again(&try_to_join(&server).expect_err("one too many"));
            }
            for _ in 0..5 {
                inside.remove(3);
                let mut back = None;
                let came = wait_for(SOON, || {
                    back = try_to_join(&server).ok();
                    back.is_some()
                });
                assert!(came, "one has gone and nobody is let in");
                inside.extend(back);
                is_told_to_come_again(&try_to_join(&server).expect_err("one too many"));
            }
            // A full server still moves connections between its cores: nobody comes in by that.
            let sessions: Vec<Session> = inside.iter().map(|(session, _)| session.clone()).collect();
            for (at, (_, connection)) in inside.iter_mut().enumerate() {
                connection.request(&sessions[(at + 1) % MAX].request("listen", &[]));
                let begun = connection
                    .wait_until(SOON, |connection| connection.body().windows(4).any(|some| some == b"\"hb\""));
                assert!(begun, "{}", String::from_utf8_lossy(connection.body()));
            }
            is_told_to_come_again(&try_to_join(&server).expect_err("one too many"));
            wait_metric(&server, "connections", MAX as u64 + 1, SOON);
            assert_eq!(settled_metric(&server, "handovers_failed_total"), 0);
        }
    });
}

/// A4: a client's socket is in the table of its core and in no other one, before and after it has moved.
#[test]
fn every_core_has_a_table_of_its_own() {
    on_both_drivers_at_once(|driver| {
        let cores = 3_u16;
        let server = Server::start_with_admin(driver, &["--cores", "3"], "");
        let threads: Vec<Thread> = core_threads(&server);
        assert_eq!(
            threads.iter().map(|thread| thread.name.as_str()).collect::<Vec<_>>(),
            ["core 0", "core 1", "core 2"]
        );
        wait_metric(&server, "connections", 1, SOON);
        let sockets = || -> Vec<BTreeSet<String>> {
            let tables = threads.iter().map(|thread| descriptors_of(&server, thread.number));
            tables.map(|table| table.into_values().filter(|what| what.starts_with("socket:")).collect()).collect()
        };
        let before = sockets();
        let mut crowd: Vec<Connection> = (0..9).map(|number| connection_on(&server, number % cores, cores)).collect();
        let sessions: Vec<Session> =
            (0..3).map(|core| join_on(server.addr(), &mut crowd[core], Format::Json)).collect();
        wait_metric(&server, "connections", 10, SOON);
        let new = |now: Vec<BTreeSet<String>>| -> Vec<BTreeSet<String>> {
            now.iter().zip(&before).map(|(now, before)| now.difference(before).cloned().collect()).collect()
        };
        // Connections that were closed by us just now may still be in the tables.
        let settled = wait_for(SOON, || new(sockets()).iter().all(|new| new.len() == 3));
        assert!(settled, "{:#?}", new(sockets()));
        let there = new(sockets());
        assert_eq!(there.iter().flatten().collect::<BTreeSet<_>>().len(), 9, "a socket is in two tables: {there:#?}");
        // Two of the first core go to the other ones, and back again.
        let mut streams = Vec::new();
        for at in [3, 6] {
            let connection = crowd.remove(at - streams.len());
            let session = &sessions[at / 3];
            let mut stream = session.data_on(connection, "listen", &[]);
            stream.wait_count(2);
            streams.push(stream);
        }
        let moved = wait_for(SOON, || new(sockets()).iter().map(BTreeSet::len).eq([1, 4, 4]));
        assert!(moved, "{:#?}", new(sockets()));
        let now = new(sockets());
        assert_eq!(now.iter().flatten().collect::<BTreeSet<_>>(), there.iter().flatten().collect::<BTreeSet<_>>());
        for core in 0..3 {
            wait_metric(&server, &format!("core_file_table_own{{core=\"{core}\"}}"), 1, SOON);
        }
    });
}
