//! The recordings of the original server are replayed against pushletd, and every difference must stand in a committed
//! table.
#![cfg(feature = "server")]

#[path = "recordings/compare.rs"]
mod compare;
#[path = "recordings/fake.rs"]
mod fake;
#[path = "recordings/replay.rs"]
mod replay;
mod support;
#[path = "recordings/table.rs"]
mod table;
#[path = "recordings/transcript.rs"]
mod transcript;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use compare::{Comparer, Publishers, compare};
use replay::{Live, Names, Pace, answers, events, replay};
use support::pushlet::Dialect;
use support::server::{Server, on_both_drivers};
use table::Difference;
use transcript::{Transcript, all};

/// So many recordings are replayed at the same time: they mostly wait.
const PARALLEL: usize = 8;

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// Does `work` for every recording, some at a time, and puts what it finds together.
fn for_each_recording(work: impl Fn(&Transcript) -> Vec<Difference> + Sync) -> BTreeSet<Difference> {
    // The slow ones first, so that none of them is the last.
    let mut todo = all();
    todo.sort_by_key(|transcript| transcript.short_timeouts);
    let todo = Mutex::new(todo);
    let found = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().expect("no worker panics").pop();
                    let Some(transcript) = next else { return };
                    let rows = work(&transcript);
                    found.lock().expect("no worker panics").extend(rows);
                }
            });
        }
    });
    found.into_inner().expect("no worker panics")
}

/// Replays one recording and says where it differs.
fn differences(transcript: &Transcript, addr: SocketAddr, pace: Pace, publishers: Publishers) -> Vec<Difference> {
    let began_s = unix_s();
    let replayed = replay(transcript, addr, pace);
    let wall_s = match publishers {
        Publishers::Addresses => began_s - 2..=unix_s() + 2,
        // The recording's own clock.
        Publishers::SessionIds => transcript.wall_s(),
    };
    let comparer = Comparer::new(transcript, &replayed.names, publishers, wall_s);
    let mut rows = Vec::new();
    for (exchange, live) in transcript.exchanges.iter().zip(&replayed.lives) {
        for what in comparer.differences(exchange, live) {
            rows.push(Difference { file: transcript.name.clone(), exchange: exchange.number, what });
        }
    }
    rows
}

/// The settings under which a recording was made, as pushletd says them, and how fast it may be replayed.
fn settings(transcript: &Transcript) -> (&'static [&'static str], &'static str, Pace) {
    let pace = |gap_ms, patience_ms| Pace {
        gap_max: Duration::from_millis(gap_ms),
        patience: Duration::from_millis(patience_ms),
    };
    if transcript.name == "G-lease-expiry" {
        // The original took one minute, looked once a minute, and was asked again after two.
        return (&["--session-timeout", "2s"], "", pace(4_000, 1_500));
    }
    if transcript.short_timeouts {
        let toml = "[pushlet]\npull_wait = \"2s\"\npull_refresh_timeout = \"4s\"\npoll_refresh_timeout = \"4s\"\n";
        return (&["--heartbeat", "2s"], toml, pace(60_000, 1_500));
    }
    (&[], "", pace(100, 1_500))
}

/// P-6, P-9, P-14, P-15, P-24, P-25: everything the original was recorded to do, pushletd does, but for what the table
/// names.
#[test]
fn pushletd_answers_as_recorded() {
    let table = table::committed();
    on_both_drivers(|driver| {
        let found = for_each_recording(|transcript| {
            let (args, toml, pace) = settings(transcript);
            let server = Server::start(driver, args, toml);
            differences(transcript, server.addr(), pace, Publishers::Addresses)
        });
        let wrong = table::judge(&table, &found);
        assert!(wrong.is_empty(), "{wrong}");
    });
}

/// Replaying against the original's own bytes finds nothing: the replayer and the comparer do not invent differences.
#[test]
fn a_server_that_plays_the_recording_differs_nowhere() {
    let found = for_each_recording(|transcript| {
        let pace = Pace { gap_max: Duration::from_millis(2), patience: Duration::from_millis(500) };
        differences(transcript, fake::serve(transcript), pace, Publishers::SessionIds)
    });
    let wrong = table::judge(&table::parse(""), &found);
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_recording_can_be_read() {
    let transcripts = all();
    assert_eq!(transcripts.len(), 47);
    assert_eq!(transcripts.iter().map(|transcript| transcript.exchanges.len()).sum::<usize>(), 579);
    let mut kinds = BTreeSet::new();
    for transcript in &transcripts {
        for exchange in &transcript.exchanges {
            let recorded = answers(exchange, &exchange.response);
            for answer in &recorded {
                assert!(answer.head.is_some(), "{} {}", transcript.name, exchange.number);
                let events = events(answer, Dialect::Original, true);
                let events = events.unwrap_or_else(|what| panic!("{} {}: {what}", transcript.name, exchange.number));
                assert!(
                    events.iter().all(|event| event.get("p_event").is_some()),
                    "{} {}",
                    transcript.name,
                    exchange.number
                );
                kinds.extend(events.iter().map(|event| event.kind().to_owned()));
            }
        }
    }
    let kinds: Vec<_> = kinds.iter().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "data",
            "hb",
            "hb-ack",
            "join-ack",
            "join-listen-ack",
            "leave-ack",
            "listen-ack",
            "nack",
            "publish-ack",
            "refresh",
            "refresh-ack",
            "subscribe-ack",
            "unsubscribe-ack"
        ]
    );
}

/// The values that the original does not escape are read as they were published.
#[test]
fn unescaped_values_are_read() {
    for (name, format) in [("js", "/script"), ("xml", "/quote"), ("xml-strict", "/backslash"), ("ser", "/emoji")] {
        let transcript =
            all().into_iter().find(|transcript| transcript.name == format!("E-escape-{name}")).expect("a file");
        let listen = &transcript.exchanges[2];
        let events = events(&answers(listen, &listen.response)[0], Dialect::Original, true).expect("readable");
        let value = |subject: &str, field: &str| {
            let event = events.iter().find(|event| event.get("p_subject") == Some(subject)).expect("an event");
            event.get(field).map(str::to_owned)
        };
        assert_eq!(value("/quote", "v").as_deref(), Some("a\"b"), "{name} {format}");
        assert_eq!(value("/script", "v").as_deref(), Some("</script><script>alert(1)</script>"), "{name}");
        assert_eq!(value("/backslash", "v").as_deref(), Some("a\\b\\nc"), "{name}");
        assert_eq!(value("/newline", "v").as_deref(), Some("a\nb\r\nc\td"), "{name}");
        assert_eq!(value("/emoji", "v").as_deref(), Some("\u{1f600}"), "{name}");
        assert_eq!(value("/name", "a b\"=").as_deref(), Some("1"), "{name}");
        assert_eq!(value("/empty", "v").as_deref(), Some(""), "{name}");
    }
}

fn load(name: &str) -> Transcript {
    all().into_iter().find(|transcript| transcript.name == name).expect("a file")
}

/// What the comparer finds between a recorded exchange and its own bytes, changed by `change`.
fn found_after(transcript: &Transcript, exchange: usize, change: impl Fn(&str) -> String) -> Vec<String> {
    let exchange = &transcript.exchanges[exchange - 1];
    let names = Names::default();
    let comparer = Comparer::new(transcript, &names, Publishers::SessionIds, 1_795_292_000..=1_795_294_000);
    let changed = change(&String::from_utf8(exchange.response.clone()).expect("a text answer"));
    let live = Live::played(changed.into_bytes(), true);
    comparer.differences(exchange, &live)
}

/// Makes an answer whose body may be changed: no chunks, ended by the connection.
fn unchunked(text: &str) -> String {
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut out = head.replace("Transfer-Encoding: chunked\r\n", "") + "\r\n\r\n";
    let mut rest = body;
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        out.push_str(&behind[..size]);
        rest = behind.get(size + 2..).unwrap_or_default();
    }
    out
}

#[test]
fn the_comparer_finds_every_change() {
    let pull = load("B-listen-xml-pull");
    let refresh = pull.exchanges.iter().find(|exchange| exchange.request.windows(7).any(|part| part == b"refresh"));
    let refresh = refresh.expect("a refresh").number;
    let change = |from: &'static str, to: &'static str| {
        found_after(&pull, refresh, move |text| {
            let text = unchunked(text);
            assert!(text.contains(from), "{from:?} is not in {text}");
            text.replacen(from, to, 1)
        })
    };
    assert_eq!(change("name=", "name="), Vec::<String>::new(), "framing is not compared");
    for (from, to) in [
        ("HTTP/1.1 200", "HTTP/1.1 404"),
        ("text/plain", "text/html"),
        ("utf-8", "latin-1"),
        ("Pragma: no-cache", "Pragma: cache"),
        ("name=\"one\"", "name=\"two\""),
        (" name=\"one\"", ""),
        (" name=\"one\"", " name=\"one\" more=\"1\""),
        (" name=\"one\"", " name=\"one\" name=\"one\""),
        ("p_seq=\"2\"", "p_seq=\"3\""),
        ("p_event=\"data\"", "p_event=\"date\""),
        ("p_time=\"179529", "p_time=\"129529"),
        ("p_wait=\"", "p_wait=\"9"),
        ("p_event=refresh\" />", "p_event=listen\" />"),
        ("p_sid=\"", "p_sid=\"x"),
        ("/pushlet/pushlet.srv?p_id=", "/pushlet.srv?p_id="),
    ] {
        assert_ne!(change(from, to), Vec::<String>::new(), "{from:?} to {to:?}");
    }
}

#[test]
fn the_comparer_finds_missing_extra_and_swapped_events() {
    let pull = load("B-listen-xml-pull");
    let number = pull.exchanges.iter().find(|exchange| exchange.request.windows(7).any(|part| part == b"refresh"));
    let exchange = number.expect("a refresh");
    let names = Names::default();
    let comparer = Comparer::new(&pull, &names, Publishers::SessionIds, 0..=0);
    let recorded = comparer.recorded(exchange).remove(0);
    assert_eq!(recorded.events.len(), 4, "{:?}", recorded.events);
    assert_eq!(compare(&recorded, &recorded), Vec::<String>::new());
    let mut missing = recorded.clone();
    missing.events.remove(1);
    assert_eq!(compare(&recorded, &missing).len(), 1, "{:?}", compare(&recorded, &missing));
    assert!(compare(&recorded, &missing)[0].starts_with("event 2 is missing: "));
    assert!(compare(&missing, &recorded)[0].starts_with("an extra event behind event 1: "));
    let mut swapped = recorded.clone();
    swapped.events.swap(1, 2);
    assert_ne!(compare(&recorded, &swapped), Vec::<String>::new());
    let mut open = recorded.clone();
    open.ended = Some(false);
    assert_eq!(compare(&recorded, &open), ["ended: recorded true, ours false"]);
}

/// P-22: the comparer takes exactly what the rule says for what the original showed.
#[test]
fn the_comparer_checks_what_is_shown_of_publishers() {
    let own = load("F-self-publish");
    let stream = load("B-listen-xml-stream");
    for (transcript, listens, publishes) in [(&own, 1, 1), (&stream, 1, 2)] {
        let exchange = transcript
            .exchanges
            .iter()
            .find(|exchange| exchange.request.windows(8).any(|part| part == b"listen&p"))
            .expect("a listen");
        let recorded_id = |at: usize| replay::session_of(&transcript.exchanges[at - 1]).expect("a join");
        let (listener, publisher) = (recorded_id(listens), recorded_id(publishes));
        let mut names = Names::default();
        let (listener_id, publisher_id) =
            ("L".repeat(24), if listens == publishes { "L".repeat(24) } else { "P".repeat(24) });
        names.sessions.insert(listener.clone(), (listener_id.clone(), "a".repeat(24)));
        names.sessions.insert(
            publisher.clone(),
            (publisher_id.clone(), if listens == publishes { "a".repeat(24) } else { "b".repeat(24) }),
        );
        let comparer = Comparer::new(transcript, &names, Publishers::Addresses, 0..=u64::MAX);
        let answer = |from: &str, id: &str| {
            let text = unchunked(&String::from_utf8(exchange.response.clone()).expect("text"));
            let (text, data) = (text.replace(&listener, &listener_id), format!(" p_id=\"{publisher}\""));
            let text = text.replace(&format!(" p_id=\"{publisher_id}\" />"), id).replace(&data, id);
            let text = text
                .replace(&format!("p_from=\"{publisher}\""), from)
                .replace(&format!("p_from=\"{publisher_id}\""), from);
            let live = Live::played(text.into_bytes(), transcript.name.starts_with('B'));
            comparer.differences(exchange, &live)
        };
        let (own_id, own_from) = (format!(" p_id=\"{publisher_id}\" />"), format!("p_from=\"{publisher_id}\""));
        if listens == publishes {
            assert_eq!(answer(&own_from, &own_id), Vec::<String>::new(), "its own copy shows its own session id");
        } else {
            let address = format!("p_from=\"{}\"", "b".repeat(24));
            assert_eq!(answer(&address, ""), Vec::<String>::new(), "to others the address and no p_id");
            assert_ne!(
                answer(&address, &format!(" p_id=\"{publisher_id}\"")),
                Vec::<String>::new(),
                "the secret leaks"
            );
            assert_ne!(answer(&own_from, ""), Vec::<String>::new(), "the secret is shown as p_from");
            assert_ne!(
                answer(&format!("p_from=\"{}\"", "a".repeat(24)), ""),
                Vec::<String>::new(),
                "another's address"
            );
        }
    }
}

#[test]
fn the_table_is_judged_both_ways() {
    let table = table::parse("# words\n\nA | 3 | P-7 | status: recorded 200, ours 400\n");
    let row =
        |exchange| Difference { file: "A".to_owned(), exchange, what: "status: recorded 200, ours 400".to_owned() };
    assert_eq!(table::judge(&table, &BTreeSet::from([row(3)])), "");
    assert!(table::judge(&table, &BTreeSet::new()).contains("that nothing needs"));
    assert!(table::judge(&table, &BTreeSet::from([row(3), row(4)])).contains("A | 4 | P-? | status"));
    for bad in ["A | 3 | P-99 | x", "A | x | P-1 | x", "A | 3 | P-1", "A | 1 | P-1 | x\nA | 1 | P-2 | x"] {
        assert!(std::panic::catch_unwind(|| table::parse(bad)).is_err(), "{bad}");
    }
}
