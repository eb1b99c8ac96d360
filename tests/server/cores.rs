//! Requests that arrive on another core than that of their session: it makes no difference to anybody.

use pushletd::protocol::{Format, SessionId, ShardTable};

use crate::support::cores::{connection_on, connections_on_each, core_of, core_under, join_on, session_on};
use crate::support::http::{Answer, Connection, get, post};
use crate::support::look::{metric, settled_metric, settled_metrics, wait_metric};
use crate::support::pushlet::{Dialect, Event, PATH, SOON, Session, events_of, format_of, parse, request, target};
use crate::support::server::{Driver, Server, on_both_drivers_at_once, wait_for};

const FORMATS: [Format; 5] = [Format::Js, Format::Xml, Format::XmlStrict, Format::Ser, Format::Json];

fn server(driver: Driver, cores: u16, args: &[&str]) -> Server {
    Server::start_with_admin(driver, &[&["--cores", &cores.to_string()], args].concat(), "")
}

/// An answer without what differs from session to session and from second to second.
fn told(answer: &Answer, session: &Session) -> String {
    let fields: Vec<_> =
        answer.head.fields.iter().filter(|(name, _)| name != "Date" && name != "Content-Length").collect();
    let mut text = format!("{} {} {fields:?}", answer.head.status, answer.head.reason);
    let format = answer.head.get("content-type").and_then(format_of).filter(|_| answer.head.status == 200);
    let events = format.map(|format| {
        parse(format, Dialect::Pushletd, &answer.body, false).unwrap_or_else(|what| panic!("{what}\n{}", answer.text()))
    });
    for event in events.iter().flatten() {
        let shown = event.fields().map(|(name, value)| match name {
            "p_time" | "p_wait" => (name, "(varies)"),
            _ => (name, value),
        });
        text += &format!("\n{:?}", shown.collect::<Vec<_>>());
    }
    if events.is_none() {
        text += &answer.text();
    }
    text.replace(&session.id, "(id)").replace(&session.address, "(address)")
}

/// Every kind of request with one session, the whole life of it, on one connection: what was answered.
fn life(session: &Session, connection: &mut Connection) -> Vec<String> {
    let xml = format!(r#"<event p_event="publish" p_id="{}" p_subject="/life/xml" text="tag" />"#, session.id);
    let json = format!(r#"{{"p_event":"publish","p_id":"{}","p_subject":"/life/json","text":"object"}}"#, session.id);
    let form = target(&[("p_event", "hb"), ("p_id", &session.id)]);
    let form = form.split_once('?').expect("a query").1;
    let ask = |event: &str, fields: &[(&str, &str)]| session.request(event, fields);
    let requests: Vec<Vec<u8>> = vec![
        ask("hb", &[]),
        ask("refresh", &[]),
        ask("subscribe", &[("p_subject", "/life"), ("p_label", "mine")]),
        ask("subscribe", &[("p_subject", " , ")]),
        ask("subscribe", &[]),
        ask("subscribe", &[("p_subject", "/other,/third")]),
        ask("unsubscribe", &[("p_sid", "no such")]),
        ask("publish", &[]),
        ask("publish", &[("p_subject", "/life/early"), ("text", "before listen")]),
        ask("listen", &[("p_mode", "poll")]),
        ask("publish", &[("p_subject", "/life/get"), ("text", "\u{e9}\u{4e2d}<&\"'")]),
        post(PATH, "text/plain", xml.as_bytes()),
        post(PATH, "text/plain", json.as_bytes()),
        post(PATH, "application/x-www-form-urlencoded", form.as_bytes()),
        ask("refresh", &[]),
        ask("refresh", &[]),
        ask("listen", &[("p_mode", "pull"), ("p_subject", "/pulled")]),
        ask("publish", &[("p_subject", "/pulled"), ("large", &"x".repeat(20_000))]),
        ask("refresh", &[]),
        ask("publish", &[("p_to", &session.address), ("p_subject", "/whatever"), ("text", "to myself")]),
        ask("refresh", &[]),
        ask("unsubscribe", &[]),
        ask("no-such-event", &[]),
        b"HEAD ".iter().copied().chain(ask("leave", &[])[4..].iter().copied()).collect(),
        ask("hb", &[]),
        ask("leave", &[]),
        ask("hb", &[]),
        ask("listen", &[]),
    ];
    requests.iter().map(|bytes| told(&connection.ask(bytes, SOON), session)).collect()
}

/// P-5 to P-9, P-15, P-16: every request, in every format, is answered on a connection of any core as on one of its own.
#[test]
fn every_request_is_answered_on_any_core() {
    on_both_drivers_at_once(|driver| {
        for cores in [2, 4] {
            let server = server(driver, cores, &[]);
            let mut connections = connections_on_each(&server, cores);
            let requests_before = settled_metric(&server, "forwarded_total");
            for format in FORMATS {
                let session = session_on(&server, 0, cores, format);
                let expected = life(&session, &mut connections[0]);
                assert!(
                    expected[0].starts_with("200") && expected[expected.len() - 1].starts_with("400"),
                    "{expected:#?}"
                );
                for (core, connection) in (0..).zip(&mut connections).skip(1) {
                    let session = session_on(&server, 0, cores, format);
                    let answers = life(&session, connection);
                    for (number, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
                        assert_eq!(answer, expected, "{format:?}, request {number} on core {core} of {cores}");
                    }
                }
            }
            // All but HEAD went from core to core.
            let expected = 5 * (u64::from(cores) - 1) * 27;
            let passed = wait_for(SOON, || metric(&server, "forwarded_total") - requests_before >= expected);
            assert!(passed, "{} of {expected} requests were forwarded", metric(&server, "forwarded_total"));
        }
    });
}

/// P-8: an id that names a core and no session of it.
#[test]
fn unknown_ids_are_refused_by_every_core() {
    on_both_drivers_at_once(|driver| {
        let cores = 4;
        let server = server(driver, cores, &[]);
        for connection in &mut connections_on_each(&server, cores) {
            for core in 0..cores {
                for event in ["hb", "listen", "refresh", "publish", "subscribe", "unsubscribe", "leave"] {
                    let id = SessionId::new(ShardTable::new(cores).pick(core, 5), 99).to_string();
                    let answer =
                        connection.ask(&request(&[("p_event", event), ("p_id", &id), ("p_subject", "/x")]), SOON);
                    assert_eq!(answer.head.status, 400, "{event}");
                    assert_eq!(answer.text().trim(), format!("Invalid or expired id: {id}"));
                }
            }
            for id in ["", "x", "________________________"] {
                assert_eq!(
                    connection.ask(&request(&[("p_event", "hb"), ("p_id", id)]), SOON).head.status,
                    400,
                    "{id:?}"
                );
            }
        }
        let expected = u64::from(cores) * u64::from(cores) * 7;
        assert!(wait_for(SOON, || metric(&server, "ids_unknown_total") >= expected));
    });
}

/// P-4: neither asks any core for anything.
#[test]
fn head_and_options_stay_where_they_are() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2, &[]);
        let session = session_on(&server, 0, 2, Format::Json);
        let mut there = connection_on(&server, 1, 2);
        let forwarded = settled_metric(&server, "forwarded_total");
        for event in ["leave", "listen", "publish"] {
            for method in ["HEAD", "OPTIONS"] {
                let bytes = session.request(event, &[("p_subject", "/x")]);
                let bytes = [method.as_bytes(), &bytes[3..]].concat();
                let answer = there.ask(&bytes, SOON);
                assert!(answer.head.status < 300 && answer.body.is_empty(), "{method} {event}: {answer:?}");
            }
        }
        assert_eq!(events_of(&there.ask(&session.request("hb", &[]), SOON))[0].kind(), "hb-ack", "it lives");
        wait_metric(&server, "forwarded_total", forwarded + 1, SOON);
        let all = settled_metrics(&server);
        assert_eq!((all["published_total"], all["sessions_listening"]), (0, 0));
    });
}

/// Requests for sessions of all cores in one piece on one connection are answered in their order.
#[test]
fn pipelined_requests_for_all_cores_are_answered_in_order() {
    on_both_drivers_at_once(|driver| {
        let cores = 4;
        let server = server(driver, cores, &[]);
        let sessions: Vec<Session> = (0..cores).map(|core| session_on(&server, core, cores, Format::Json)).collect();
        let mut connection = Connection::open(server.addr());
        let turn = |number: usize| {
            let session = &sessions[number * 7 % sessions.len()];
            match number % 5 {
                4 => (get("/"), None),
                _ => (session.request("publish", &[("p_subject", "/nobody")]), Some(session)),
            }
        };
        let all: Vec<u8> = (0..400).flat_map(|number| turn(number).0).collect();
        connection.send(&all);
        for number in 0..400 {
            let answer = connection.next_answer(SOON);
            assert_eq!(answer.head.status, 200, "{number}");
            let is_page = answer.text().starts_with("<!doctype html>");
            assert_eq!(is_page, turn(number).1.is_none(), "{number}: {}", answer.text());
        }
        wait_metric(&server, "published_total", 320, SOON);
    });
}

/// A session's text of event `number` of publisher `who`.
fn marked(who: u16, number: usize) -> String {
    format!("{who}:{number}")
}

/// What a subscriber got of each publisher, in order.
fn by_publisher(data: &[Event], cores: u16) -> Vec<Vec<usize>> {
    let mut got = vec![Vec::new(); usize::from(cores)];
    for event in data {
        let (who, number) = event.field("mark").split_once(':').expect("a mark");
        got[who.parse::<usize>().expect("a number")].push(number.parse().expect("a number"));
    }
    got
}

/// A8: whoever publishes, and on whichever core: every subscriber of every core gets all of it, and each publisher's events in order.
#[test]
fn events_reach_every_core_in_their_publishers_order() {
    const EVENTS: usize = 100;
    on_both_drivers_at_once(|driver| {
        for cores in [2, 4] {
            let server = server(driver, cores, &["--queue-size", "65536"]);
            let join = |core| session_on(&server, core, cores, Format::Json);
            let mut subscribers: Vec<_> = (0..cores)
                .flat_map(|core| [join(core), join(core)])
                .map(|session| {
                    let mut stream = session.listen("stream", Some("/all"));
                    stream.wait_count(2);
                    stream
                })
                .collect();
            // A publisher of each core, on a connection of another one.
            let connections = (0..cores).map(|core| connection_on(&server, (core + 1) % cores, cores));
            let mut publishers: Vec<_> = (0..cores).zip(connections).map(|(core, at)| (core, join(core), at)).collect();
            std::thread::scope(|scope| {
                for (who, session, connection) in &mut publishers {
                    scope.spawn(move || {
                        let mark = |number| marked(*who, number);
                        let publish =
                            |number| session.request("publish", &[("p_subject", "/all"), ("mark", &mark(number))]);
                        connection.send(&(0..EVENTS).flat_map(publish).collect::<Vec<u8>>());
                        for _ in 0..EVENTS {
                            assert_eq!(events_of(&connection.next_answer(SOON))[0].kind(), "publish-ack");
                        }
                    });
                }
            });
            for stream in &mut subscribers {
                let data = stream.wait_data(EVENTS * usize::from(cores));
                assert_eq!(by_publisher(&data, cores), vec![(0..EVENTS).collect::<Vec<_>>(); usize::from(cores)]);
                let seqs: Vec<usize> =
                    data.iter().map(|event| event.field("p_seq").parse().expect("a number")).collect();
                assert!(seqs.windows(2).all(|two| two[1] == two[0] + 1), "p_seq has gaps: {seqs:?}");
            }
            let copies = u64::from(cores) * EVENTS as u64;
            wait_metric(&server, "published_total", copies, SOON);
            wait_metric(&server, "relayed_total", copies * (u64::from(cores) - 1), SOON);
            wait_metric(&server, "delivered_total", copies * subscribers.len() as u64, SOON);
        }
    });
}

/// A8: one session that publishes on connections of both cores in turn, each time behind the ack of the last: one order for everybody.
#[test]
fn a_publisher_may_change_its_connection() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2, &[]);
        let mut streams: Vec<_> = (0..2)
            .map(|core| {
                let mut stream = session_on(&server, core, 2, Format::Json).listen("stream", Some("/turns"));
                stream.wait_count(2);
                stream
            })
            .collect();
        let mut connections = connections_on_each(&server, 2);
        let sessions: Vec<Session> = (0..2).map(|core| session_on(&server, core, 2, Format::Json)).collect();
        for number in 0..100 {
            // The first session on either connection, then the second one on the first connection.
            let (who, at) = [(0, 0), (0, 1), (1, 0), (0, 0)][number % 4];
            let mark = marked(who, number);
            let bytes = sessions[usize::from(who)].request("publish", &[("p_subject", "/turns"), ("mark", &mark)]);
            assert_eq!(events_of(&connections[at].ask(&bytes, SOON))[0].kind(), "publish-ack");
        }
        for stream in &mut streams {
            let got = by_publisher(&stream.wait_data(100), 2);
            assert_eq!(got[0], (0..100).filter(|number| number % 4 != 2).collect::<Vec<_>>());
            assert_eq!(got[1], (2..100).step_by(4).collect::<Vec<_>>());
        }
    });
}

/// P-23: from any core to any core, by public address and by id; to nobody else, and a target that is nobody is counted.
#[test]
fn unicast_finds_its_session_on_any_core() {
    on_both_drivers_at_once(|driver| {
        let cores = 4;
        let server = server(driver, cores, &[]);
        let sessions: Vec<Session> = (0..cores).map(|core| session_on(&server, core, cores, Format::Json)).collect();
        let mut streams: Vec<_> = sessions.iter().map(|session| session.listen("stream", None)).collect();
        for stream in &mut streams {
            stream.wait_count(2);
        }
        let mut expected = vec![Vec::new(); sessions.len()];
        for (from, publisher) in sessions.iter().enumerate() {
            for (to, target) in sessions.iter().enumerate() {
                for (kind, name) in [("address", &target.address), ("id", &target.id)] {
                    let mark = format!("{from} to {to} by {kind}");
                    publisher.publish("/one", &[("p_to", name), ("mark", &mark)]);
                    expected[to].push(mark);
                }
            }
            let nobody = SessionId::new(ShardTable::new(cores).pick(2, 9), 1).to_string();
            publisher.publish("/one", &[("p_to", &nobody)]);
        }
        for (stream, mut expected) in streams.iter_mut().zip(expected) {
            let data = stream.wait_data(expected.len());
            let mut got: Vec<&str> = data.iter().map(|event| event.field("mark")).collect();
            got.sort_unstable();
            expected.sort();
            assert_eq!(got, expected);
        }
        wait_metric(&server, "unicast_dropped_total", u64::from(cores), SOON);
        for stream in &mut streams {
            assert_eq!(stream.data().len(), 8, "nobody got what was another's");
        }
    });
}

/// P-22, P-24: the publisher's own copy, and the same event for others.
#[test]
fn a_publisher_on_a_foreign_connection_knows_its_own_events() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2, &[]);
        let (here, there) = (session_on(&server, 0, 2, Format::Json), session_on(&server, 1, 2, Format::Json));
        let (mut mine, mut other) = (here.listen("stream", Some("/own")), there.listen("stream", Some("/own")));
        mine.wait_count(2);
        other.wait_count(2);
        let mut connection = connection_on(&server, 1, 2);
        connection.ask(&here.request("publish", &[("p_subject", "/own")]), SOON);
        assert_eq!(mine.wait_data(1)[0].field("p_from"), here.id);
        assert_eq!(other.wait_data(1)[0].field("p_from"), here.address);
    });
}

/// P-31: the client of a pull that waits at another core goes: its session is kept, and what comes meanwhile is there for it.
#[test]
fn a_forwarded_pull_that_goes_is_noticed() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2, &[]);
        let session = session_on(&server, 0, 2, Format::Json);
        let mut there = connection_on(&server, 1, 2);
        there.ask(&session.request("listen", &[("p_mode", "pull"), ("p_subject", "/pulled")]), SOON);
        for (turn, way) in ["close", "reset", "half-close"].into_iter().enumerate() {
            let connection = connection_on(&server, 1, 2);
            let mut waiting = session.data_on(connection, "refresh", &[]);
            assert_eq!(waiting.wait_count(0).len(), 0);
            wait_metric(&server, "sessions_listening", 1, SOON);
            match way {
                "close" => drop(waiting),
                "reset" => waiting.connection.reset(),
                _ => {
                    waiting.connection.half_close();
                    assert!(waiting.connection.wait_until(SOON, Connection::is_closed));
                }
            }
            wait_metric(&server, "sessions_listening", 0, SOON);
            for number in ["1", "2"] {
                session.publish("/pulled", &[("number", number), ("turn", &turn.to_string())]);
            }
            let events = events_of(&there.ask(&session.request("refresh", &[]), SOON));
            let numbers: Vec<&str> = events.iter().filter_map(|event| event.get("number")).collect();
            assert_eq!(numbers, ["1", "2"], "{way}: {events:?}");
            assert!(events.iter().all(|event| event.get("p_lost").is_none()), "{way}: {events:?}");
        }
        let all = settled_metrics(&server);
        assert_eq!((all["handovers_out_total"], all["lost_total"]), (0, 0));
    });
}

/// P-31: a session whose forwarded pull went and that never comes back ends.
#[test]
fn a_session_whose_forwarded_pull_went_ends_in_time() {
    on_both_drivers_at_once(|driver| {
        let toml = "cores = 2\n[pushlet]\ndetached_timeout = \"300ms\"\n";
        let server = Server::start_with_admin(driver, &[], toml);
        let session = session_on(&server, 0, 2, Format::Json);
        session.listen("pull", Some("/pulled")).wait_end(SOON);
        let waiting = session.data_on(connection_on(&server, 1, 2), "refresh", &[]);
        wait_metric(&server, "sessions_listening", 1, SOON);
        drop(waiting);
        wait_metric(&server, "sessions_ended_total{reason=\"disconnected\"}", 1, SOON);
    });
}

/// P-30: a pull answer that is cut off on another core than its session's is missed aloud as well.
#[test]
fn a_forwarded_pull_answer_that_is_cut_off_is_missed_aloud() {
    on_both_drivers_at_once(|driver| {
        let server = server(driver, 2, &["--queue-bytes", "32MiB"]);
        let session = session_on(&server, 0, 2, Format::Json);
        session.data("listen", &[("p_mode", "pull"), ("p_subject", "/cut")]).wait_end(SOON);
        let value = "v".repeat(200_000);
        for number in 0..60 {
            session.publish("/cut", &[("number", &number.to_string()), ("value", &value)]);
        }
        let narrow = crate::support::cores::opened_on(1, 2, || Connection::open_narrow(server.addr()), server.addr());
        let mut cut = session.data_on(narrow, "refresh", &[]);
        // Small sips: whoever drinks as long as there is something might empty it all.
        assert!(wait_for(SOON, || cut.connection.sip(100) > 0 && cut.connection.head().is_some()), "no answer begins");
        cut.connection.reset();
        wait_metric(&server, "lost_total", 60, SOON);
        session.publish("/cut", &[("number", "60")]);
        let events = events_of(&connection_on(&server, 1, 2).ask(&session.request("refresh", &[]), SOON));
        let data: Vec<&Event> = events.iter().filter(|event| event.kind() == "data").collect();
        assert_eq!((data.len(), data[0].field("number"), data[0].get("p_lost")), (1, "60", Some("60")));
    });
}

/// P-34: a session begins on the core of its connection, and its id and its address say so.
#[test]
fn sessions_begin_where_they_join() {
    on_both_drivers_at_once(|driver| {
        let cores = 4;
        let server = server(driver, cores, &[]);
        for core in 0..cores {
            let mut connection = connection_on(&server, core, cores);
            let session = join_on(server.addr(), &mut connection, Format::Json);
            assert_eq!((core_of(&session.id, cores), core_of(&session.address, cores)), (core, core));
            wait_metric(&server, &format!("core_sessions{{core=\"{core}\"}}"), 1, SOON);
            assert_eq!(core_under(server.addr(), &mut connection, cores), core, "a connection stays on its core");
        }
        wait_metric(&server, "sessions", u64::from(cores), SOON);
        let on_cores: u64 =
            (0..cores).map(|core| metric(&server, &format!("core_connections{{core=\"{core}\"}}"))).sum();
        assert_eq!(on_cores, metric(&server, "connections"));
    });
}

/// A8, P-16, P-25: who has seen the ack of a publish finds the event, whichever core the publisher, the subscriber and the connections are on.
#[test]
fn who_has_seen_the_ack_finds_the_event() {
    const CORES: u16 = 4;
    on_both_drivers_at_once(|driver| {
        let server = server(driver, CORES, &[]);
        let mut connections = connections_on_each(&server, CORES);
        let sessions: Vec<Session> = (0..CORES).map(|core| session_on(&server, core, CORES, Format::Json)).collect();
        for session in &sessions {
            connections[0].ask(&session.request("listen", &[("p_mode", "poll"), ("p_subject", "/now")]), SOON);
        }
        for round in 0..400_usize {
            let at = |step: usize| (round / step) % usize::from(CORES);
            let number = round.to_string();
            let publish = sessions[at(1)].request("publish", &[("p_subject", "/now"), ("n", &number)]);
            assert!(connections[at(4)].ask(&publish, SOON).text().contains("publish-ack"));
            // Every subscriber over another connection than the publisher's.
            for (place, session) in sessions.iter().enumerate() {
                let through = (at(4) + 1 + (place + at(16)) % 3) % usize::from(CORES);
                let answer = connections[through].ask(&session.request("refresh", &[]), SOON);
                let told: Vec<_> =
                    events_of(&answer).iter().filter_map(|event| event.get("n").map(String::from)).collect();
                assert_eq!(told, [number.as_str()], "round {round}, subscriber on core {place} through core {through}");
            }
        }
    });
}
