//! A stream that is asked for on a connection of another core: the connection goes to the core of the session, with everything on it.

use std::time::Duration;

use pushletd::protocol::Format;

use crate::support::cores::{connection_on, connections_on_each, core_of, core_under, join_on, opened_on, session_on};
use crate::support::http::{Connection, get};
use crate::support::look::{descriptors, metric, settled_metric, settled_metrics, wait_metric};
use crate::support::pushlet::{Channel, Event, PATH, SOON, Session, events_of};
use crate::support::server::{Driver, Server, on_both_drivers_at_once, wait_for};

const FORMATS: [Format; 5] = [Format::Js, Format::Xml, Format::XmlStrict, Format::Ser, Format::Json];

fn server(driver: Driver, cores: u16) -> Server {
    Server::start_with_admin(driver, &["--cores", &cores.to_string()], "")
}

fn moved(server: &Server, times: u64) {
    wait_metric(server, "handovers_out_total", times, SOON);
    wait_metric(server, "handovers_in_total", times, SOON);
    assert_eq!(settled_metric(server, "handovers_failed_total"), 0);
}

fn numbers(events: &[Event]) -> Vec<usize> {
    events.iter().filter_map(|event| event.get("number")).map(|number| number.parse().expect("a number")).collect()
}

/// P-14: the stream works as any other, in every format, and its numbers have no gap.
#[test]
fn a_stream_moves_to_the_core_of_its_session() {
    on_both_drivers_at_once(|driver| {
        for cores in [2, 4] {
            let server = server(driver, cores);
            let mut moves = 0;
            for format in FORMATS {
                for from in 1..cores {
                    let session = session_on(&server, 0, cores, format);
                    let mut stream =
                        session.data_on(connection_on(&server, from, cores), "listen", &[("p_subject", "/moved")]);
                    stream.wait_count(2);
                    moves += 1;
                    for number in 0..10 {
                        session.publish("/moved", &[("number", &number.to_string())]);
                    }
                    let data = stream.wait_data(10);
                    assert_eq!(numbers(&data), (0..10).collect::<Vec<_>>());
                    let seqs: Vec<&str> = data.iter().map(|event| event.field("p_seq")).collect();
                    assert_eq!(seqs, ["2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]);
                    let events = stream.events();
                    assert_eq!((events[0].kind(), events[1].kind()), ("listen-ack", "hb"));
                    session.leave();
                    stream.wait_end(SOON);
                    assert!(stream.connection.is_whole());
                    // The connection lives on where it is now, and its next request is for a session there.
                    let here = core_under(server.addr(), &mut stream.connection, cores);
                    assert_eq!(here, 0, "it was on core {from}");
                }
            }
            moved(&server, moves);
        }
    });
}

/// A connection goes to and fro, and serves sessions of every core on its way.
#[test]
fn a_connection_moves_as_often_as_it_is_asked() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2);
        let sessions: Vec<Session> = (0..2).map(|core| session_on(&server, core, 2, Format::Json)).collect();
        let mut connection = connection_on(&server, 0, 2);
        let (mut admin, before) = (connections_on_each(&server, 2), descriptors(&server));
        for turn in 0..40 {
            let to = 1 - turn % 2;
            let session = &sessions[to];
            let subject = format!("/turn/{turn}");
            let mut stream = session.data_on(connection, "listen", &[("p_subject", &subject)]);
            let sid = stream.wait_count(2)[0].field("p_sid").to_owned();
            session.publish(&subject, &[("number", &turn.to_string())]);
            assert_eq!(numbers(&stream.wait_data(1)), [turn]);
            // A poll listen ends the stream and leaves the session.
            let poll = session.request("listen", &[("p_mode", "poll")]);
            assert_eq!(events_of(&admin[turn % 2].ask(&poll, SOON))[0].kind(), "listen-ack");
            stream.wait_end(SOON);
            assert!(stream.connection.is_whole());
            connection = stream.connection;
            for session in &sessions {
                let publish = session.request("publish", &[("p_subject", "/nobody")]);
                assert_eq!(events_of(&connection.ask(&publish, SOON))[0].kind(), "publish-ack");
            }
            let gone = session.request("unsubscribe", &[("p_sid", &sid)]);
            assert_eq!(events_of(&connection.ask(&gone, SOON))[0].kind(), "unsubscribe-ack");
            assert_eq!(core_under(server.addr(), &mut connection, 2) as usize, to);
        }
        moved(&server, 40);
        let back = wait_for(SOON, || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
    });
}

/// What was sent behind the request goes along and is served behind the stream, on the new core.
#[test]
fn pipelined_requests_move_along() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2);
        let (here, there) = (session_on(&server, 0, 2, Format::Json), session_on(&server, 1, 2, Format::Json));
        let large = "x".repeat(50_000);
        for half in [false, true] {
            let connection = connection_on(&server, 1, 2);
            let behind: Vec<u8> = [
                here.request("publish", &[("p_subject", "/behind"), ("large", &large)]),
                there.request("hb", &[]),
                get("/"),
                here.request("hb", &[]),
            ]
            .concat();
            let mut bytes = here.request("listen", &[("p_subject", "/behind")]);
            // Either all of it comes at once, or the last request is cut in the middle.
            let cut = if half { behind.len() - 9 } else { behind.len() };
            bytes.extend_from_slice(&behind[..cut]);
            let mut stream = here.data_on(connection, "hb", &[]);
            stream.wait_end(SOON);
            stream.connection.request(&bytes);
            stream.wait_count(2);
            // The stream stands before the publish, so nothing of that comes yet.
            assert_eq!(here.control("hb", &[]).kind(), "hb-ack");
            assert_eq!(stream.data().len(), 0);
            assert_eq!(here.raw_control("listen", &[("p_mode", "poll")]).head.status, 200);
            stream.wait_end(SOON);
            let mut connection = stream.connection;
            let kinds: Vec<String> = (0..4)
                .map(|number| {
                    if number == 3 {
                        connection.send(&behind[cut..]);
                    }
                    let answer = connection.next_answer(SOON);
                    assert_eq!(answer.head.status, 200);
                    if number == 2 { String::from("page") } else { events_of(&answer)[0].kind().to_owned() }
                })
                .collect();
            assert_eq!(kinds, ["publish-ack", "hb-ack", "page", "hb-ack"], "cut: {half}");
            let events = here.refresh().wait_end(SOON);
            assert_eq!(events.iter().filter(|event| event.get("large") == Some(&large)).count(), 1);
        }
        moved(&server, 2);
    });
}

/// An answer that a slow client has not taken yet comes out before the stream, whole, however long that takes.
#[test]
fn an_earlier_answer_goes_first() {
    on_both_drivers_at_once(|driver| {
        let args = ["--cores", "2", "--queue-bytes", "8MiB"];
        let server = Server::start_with_admin(driver, &args, "");
        let (here, there) = (session_on(&server, 0, 2, Format::Json), session_on(&server, 1, 2, Format::Json));
        there.listen("poll", Some("/earlier")).wait_end(SOON);
        let value = "v".repeat(200_000);
        for number in 0..20 {
            there.publish("/earlier", &[("number", &number.to_string()), ("value", &value)]);
        }
        let mut connection = opened_on(1, 2, || Connection::open_narrow(server.addr()), server.addr());
        let requests = [there.request("refresh", &[]), here.request("listen", &[("p_subject", "/moved")])].concat();
        connection.request(&requests);
        // Small sips: whoever drinks as long as there is something might empty it all.
        let begun = wait_for(SOON, || connection.sip(100) > 0 && connection.head().is_some());
        assert!(begun, "no answer begins");
        // The session does not listen before its connection can go.
        assert_eq!(settled_metric(&server, "sessions_listening"), 0);
        assert_eq!(metric(&server, "handovers_out_total"), 0);
        let answer = connection.wait_answer(SOON);
        assert_eq!(numbers(&events_of(&answer)), (0..20).collect::<Vec<_>>());
        connection.begin(false);
        assert!(connection.wait_until(SOON, |connection| connection.body().windows(6).any(|some| some == b"\"p_seq")));
        assert_eq!(connection.head().map(|head| head.status), Some(200));
        here.publish("/moved", &[("number", "1")]);
        let came = connection
            .wait_until(SOON, |connection| connection.body().windows(12).any(|some| some == b"\"number\":\"1\""));
        assert!(came, "{}", String::from_utf8_lossy(connection.body()));
        moved(&server, 1);
    });
}

/// P-30: as many clients as may be on their way at once that take nothing hold up nobody else's move, and are cut off in time.
#[test]
fn clients_that_take_nothing_hold_up_no_move() {
    const STALLED: usize = 70;
    on_both_drivers_at_once(|driver| {
        let args = ["--cores", "2", "--queue-bytes", "8MiB"];
        let server = Server::start_with_admin(driver, &args, "");
        let value = "v".repeat(200_000);
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            let mut connection = opened_on(1, 2, || Connection::open_narrow(server.addr()), server.addr());
            let local = join_on(server.addr(), &mut connection, Format::Json);
            let listen = local.request("listen", &[("p_mode", "poll"), ("p_subject", "/big")]);
            assert_eq!(connection.ask(&listen, SOON).head.status, 200);
            stalled.push((local, session_on(&server, 0, 2, Format::Json), connection));
        }
        let publisher = session_on(&server, 0, 2, Format::Json);
        for _ in 0..4 {
            publisher.publish("/big", &[("value", &value)]);
        }
        wait_metric(&server, "delivered_total", 4 * STALLED as u64, SOON);
        let forwarded = settled_metric(&server, "forwarded_total");
        for (local, other, connection) in &mut stalled {
            connection.send(&[local.request("refresh", &[]), other.request("listen", &[])].concat());
        }
        // Each of them has been asked for: their requests have gone to the other core.
        wait_metric(&server, "forwarded_total", forwarded + STALLED as u64, SOON);
        for _ in 0..5 {
            let session = session_on(&server, 0, 2, Format::Json);
            let mut stream = session.data_on(connection_on(&server, 1, 2), "listen", &[]);
            stream.wait_for(Duration::from_secs(3), |events| events.len() == 2);
        }
        assert!(settled_metric(&server, "handovers_out_total") >= 5);
        assert_eq!(metric(&server, "handovers_failed_total"), 0);
    });
}

/// HTTP/1.0: the end of the connection is the end of the answer, after a move as well.
#[test]
fn an_old_client_moves_too() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2);
        let session = session_on(&server, 0, 2, Format::XmlStrict);
        let mut connection = Connection::open(server.addr());
        // It may be on either core: there is no second request on such a connection.
        let mut moves = 0;
        for turn in 0..20 {
            if turn > 0 {
                connection = Connection::open(server.addr());
            }
            let target = format!("{PATH}?p_event=listen&p_mode=stream&p_subject=/old/{turn}&p_id={}", session.id);
            connection.request(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
            let begun =
                connection.wait_until(SOON, |connection| connection.body().windows(5).any(|some| some == b"\"hb\" "));
            assert!(begun, "{}", String::from_utf8_lossy(connection.body()));
            session.publish(&format!("/old/{turn}"), &[("number", "1")]);
            assert_eq!(session.raw_control("listen", &[("p_mode", "poll")]).head.status, 200);
            let answer = connection.wait_answer(SOON);
            assert!(connection.is_whole() && answer.head.get("transfer-encoding").is_none());
            let text = answer.text();
            assert!(text.ends_with("</pushlet>") && text.contains("number=\"1\""), "{text}");
            moves = settled_metric(&server, "handovers_in_total");
            if moves >= 2 && turn >= 4 {
                break;
            }
        }
        assert!(moves >= 2, "of 20 connections, {moves} were on the other core");
    });
}

/// P-31: the client has gone, or has said that it sends no more, before its connection has arrived: nothing is left of it on any core.
#[test]
fn who_goes_on_the_way_is_noticed() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2);
        let session = session_on(&server, 0, 2, Format::Json);
        wait_metric(&server, "connections", 1, SOON);
        let before = descriptors(&server);
        for turn in 0..60 {
            let mut connection = connection_on(&server, 1, 2);
            connection.send(&session.request("listen", &[]));
            match turn % 3 {
                0 => {
                    connection.half_close();
                    assert!(connection.wait_until(SOON, Connection::is_closed), "half-closed counts as closed");
                }
                1 => drop(connection),
                _ => connection.reset(),
            }
        }
        let quiet = wait_for(SOON, || {
            let all = settled_metrics(&server);
            all["connections"] == 1 && all["sessions_listening"] == 0
        });
        assert!(quiet, "{:#?}", settled_metrics(&server));
        let (out, taken) = (metric(&server, "handovers_out_total"), metric(&server, "handovers_in_total"));
        assert_eq!(out, taken + metric(&server, "handovers_failed_total"), "every move has an end");
        let back = wait_for(SOON, || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
        // The session is kept and goes on (P-31).
        let mut stream = session.data_on(connection_on(&server, 1, 2), "refresh", &[]);
        assert_eq!(stream.wait_count(2)[0].kind(), "refresh-ack");
    });
}

/// P-26: the newest data request has the session, from whichever core it comes; the older answer ends orderly and its connection goes on.
#[test]
fn the_newest_data_request_wins_from_any_core() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2);
        for format in [Format::XmlStrict, Format::Js, Format::Json] {
            let session = session_on(&server, 0, 2, format);
            let mut older = session.data_on(connection_on(&server, 1, 2), "listen", &[("p_subject", "/won")]);
            older.wait_count(2);
            for (turn, event) in ["refresh", "listen", "refresh", "refresh"].into_iter().enumerate() {
                let from = u16::try_from(turn % 2).expect("a core");
                let mut newer = session.data_on(connection_on(&server, 1 - from, 2), event, &[]);
                let ended = older.wait_end(SOON);
                assert!(older.connection.is_whole());
                assert!(ended.iter().all(|event| event.kind() != "refresh" && event.kind() != "abort"), "{ended:?}");
                newer.wait_count(2);
                session.publish("/won", &[("number", &turn.to_string())]);
                assert_eq!(numbers(&newer.wait_data(1)), [turn]);
                assert_eq!(core_under(server.addr(), &mut older.connection, 2), 0);
                older = newer;
            }
            session.leave();
            older.wait_end(SOON);
        }
        // The first of each, and every other one behind it.
        moved(&server, 3 * 3);
    });
}

/// P-31: a stream that moved and broke is kept, and its client goes on over any core where it was.
#[test]
fn a_stream_that_moved_is_refreshed_from_any_core() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2);
        let session = session_on(&server, 0, 2, Format::Json);
        let publisher = session_on(&server, 1, 2, Format::Json);
        let mut stream = session.data_on(connection_on(&server, 1, 2), "listen", &[("p_subject", "/kept")]);
        stream.wait_count(2);
        let mut published = 0;
        for turn in 0..6 {
            publisher.publish("/kept", &[("number", &published.to_string())]);
            stream.wait_for(SOON, |events| numbers(events).last() == Some(&published));
            published += 1;
            if turn % 2 == 0 {
                drop(stream)
            } else {
                stream.connection.reset()
            }
            wait_metric(&server, "sessions_listening", 0, SOON);
            let expected: Vec<usize> = (published..published + 3).collect();
            for number in &expected {
                publisher.publish("/kept", &[("number", &number.to_string())]);
            }
            published += 3;
            stream = session.data_on(connection_on(&server, turn % 2, 2), "refresh", &[]);
            let data = stream.wait_data(3);
            assert_eq!(numbers(&data), expected, "nothing lost, nothing twice");
            assert!(data.iter().all(|event| event.get("p_lost").is_none()));
            wait_metric(&server, "sessions_listening", 1, SOON);
        }
    });
}

/// P-15, P-16, P-18: who pulls or polls, by wish or by force, stays on its core; its answers go to and fro.
#[test]
fn pulls_never_move() {
    on_both_drivers_at_once(|driver| {
        let toml = "cores = 2\n[pushlet]\nforce_pull_agents = [\"Old\"]\n";
        let server = Server::start_with_admin(driver, &[], toml);
        let mut connection = connection_on(&server, 1, 2);
        for (mode, agent) in [("pull", "New"), ("poll", "New"), ("stream", "Old")] {
            let session = session_on(&server, 0, 2, Format::Json);
            let ask = |event: &str, fields: &[(&str, &str)]| {
                let text = String::from_utf8(session.request(event, fields)).expect("text");
                text.replacen("\r\n", &format!("\r\nUser-Agent: {agent}\r\n"), 1).into_bytes()
            };
            let events =
                events_of(&connection.ask(&ask("listen", &[("p_mode", mode), ("p_subject", "/pulled")]), SOON));
            let shown = if agent == "Old" { "pull" } else { mode };
            assert_eq!((events[0].kind(), events[0].field("p_mode")), ("listen-ack", shown));
            for number in 0..3 {
                connection.begin(false);
                connection.send(&ask("refresh", &[]));
                if shown == "pull" {
                    wait_metric(&server, "sessions_listening", 1, SOON);
                }
                session.publish("/pulled", &[("number", &number.to_string())]);
                let mut events = events_of(&connection.wait_answer(SOON));
                if numbers(&events).is_empty() {
                    // A poll does not wait: it was quicker than the publish.
                    assert_eq!(shown, "poll");
                    events = events_of(&connection.ask(&ask("refresh", &[]), SOON));
                }
                assert_eq!(numbers(&events), [number], "{mode} {agent}");
            }
            session.leave();
        }
        assert_eq!(settled_metric(&server, "handovers_out_total"), 0);
        assert_eq!(core_under(server.addr(), &mut connection, 2), 1);
    });
}

/// A join-listen makes its session where its connection is: nothing has to move.
#[test]
fn join_listen_stays() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 4);
        for core in 0..4 {
            let mut connection = connection_on(&server, core, 4);
            let target = format!("{PATH}?p_event=join-listen&p_format=json&p_subject=/x");
            connection.request(&get(&target));
            assert!(connection.wait_until(SOON, |connection| connection.body().contains(&b'\n')));
            let line = String::from_utf8_lossy(connection.body()).lines().next().unwrap_or_default().to_owned();
            let ack: serde_json::Value = serde_json::from_str(&line).expect("an event");
            assert_eq!(core_of(ack["p_id"].as_str().expect("an id"), 4), core);
        }
        assert_eq!(settled_metric(&server, "handovers_out_total"), 0);
    });
}

/// Many at once: more than may be on their way at the same time, from every core to every core.
#[test]
fn a_crowd_moves() {
    const CROWD: usize = 400;
    on_both_drivers_at_once(|driver| {
        let cores = 4;
        let server = server(driver, cores);
        let mut control = connections_on_each(&server, cores);
        let mut crowd: Vec<(Session, Connection)> = (0..CROWD)
            .map(|number| {
                let session = join_on(server.addr(), &mut control[number % 4], Format::Json);
                (session, Connection::open(server.addr()))
            })
            .collect();
        for (session, connection) in &mut crowd {
            connection.request(&session.request("listen", &[("p_subject", "/crowd")]));
        }
        wait_metric(&server, "sessions_listening", CROWD as u64, SOON);
        crowd[0].0.publish("/crowd", &[("number", "7")]);
        for (session, connection) in &mut crowd {
            let came = connection
                .wait_until(SOON, |connection| connection.body().windows(12).any(|some| some == b"\"number\":\"7\""));
            assert!(came, "{:?}: {}", session, String::from_utf8_lossy(connection.body()));
        }
        let out = settled_metric(&server, "handovers_out_total");
        assert!((200..=400).contains(&out), "{out} of {CROWD} moved");
        moved(&server, out);
    });
}

/// Coming, moving and going, two thousand times: no core keeps a descriptor.
#[test]
fn two_thousand_moves_leave_nothing() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2);
        let mut control = connections_on_each(&server, 2);
        wait_metric(&server, "connections", 3, SOON);
        let before = descriptors(&server);
        for _ in 0..10 {
            let sessions: Vec<Session> =
                (0..200).map(|number| join_on(server.addr(), &mut control[number % 2], Format::Json)).collect();
            let mut streams: Vec<Channel> = sessions.iter().map(|session| session.listen("stream", None)).collect();
            for stream in &mut streams {
                stream.wait_count(2);
            }
            for (number, (session, mut stream)) in sessions.iter().zip(streams).enumerate() {
                if number % 2 == 0 {
                    control[0].ask(&session.request("leave", &[]), SOON);
                    stream.wait_end(SOON);
                } else {
                    drop(stream);
                    control[1].ask(&session.request("leave", &[]), SOON);
                }
            }
        }
        wait_metric(&server, "sessions", 0, SOON);
        let moves = settled_metric(&server, "handovers_in_total");
        assert!((600..=1400).contains(&moves), "{moves} of 2000 moved");
        moved(&server, moves);
        let back = wait_for(SOON, || descriptors(&server) <= before);
        assert!(back, "{before} descriptors became {}", descriptors(&server));
        wait_metric(&server, "connections", 3, SOON);
    });
}
