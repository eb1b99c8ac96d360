//! The harness is tested like a program: it invents no difference, and it overlooks none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::compare::{Comparer, Server, answers, events, session_of};
use super::differ::{Line, compare};
use super::replay::{Live, Pace, replay};
use super::support::pushlet::{Dialect, format_of, parse};
use super::table::Difference;
use super::transcript::{End, Exchange, Transcript, all, directory};
use super::{fake, in_parallel, table};

/// Fast, and patient enough for a machine that is busy.
const PACE: Pace = Pace { pause_max: Duration::ZERO, patience: Duration::from_secs(20) };
/// For what never comes.
const IMPATIENT: Pace = Pace { pause_max: Duration::ZERO, patience: Duration::from_millis(300) };

fn load(name: &str) -> Transcript {
    all().into_iter().find(|transcript| transcript.name == name).expect("a file")
}

/// The number of the first exchange whose request has `text` in it.
fn number_of(transcript: &Transcript, text: &str) -> usize {
    let has = |exchange: &&Exchange| String::from_utf8_lossy(&exchange.request).contains(text);
    transcript.exchanges.iter().find(has).expect("such a request").number
}

/// What a replay of `asked` finds when the server plays `played`.
fn found_between(asked: &Transcript, played: &Transcript, pace: Pace) -> BTreeSet<(usize, String)> {
    let comparer = Comparer::new(asked, Server::Original, false);
    replay(comparer, asked, fake::serve(played), pace, &BTreeSet::new())
}

/// The recording, one of its answers changed. An answer that is changed is sent without chunks.
fn changed(transcript: &Transcript, number: usize, change: impl Fn(&str) -> String) -> Transcript {
    let mut played = transcript.clone();
    let exchange = &mut played.exchanges[number - 1];
    let text = change(&unchunked(&exchange.response));
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    // Without a length the end of the connection would end the answer.
    let length = if exchange.end == End::Complete { body.len() } else { 100_000 };
    exchange.response = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes();
    played
}

/// The answer without its framing.
fn unchunked(response: &[u8]) -> String {
    let text = String::from_utf8(response.to_vec()).expect("a text answer");
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

/// Replaces what must be there, once.
fn swap(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}

#[test]
fn every_recording_can_be_read() {
    let transcripts = all();
    assert_eq!(transcripts.len(), 47);
    assert_eq!(transcripts.iter().map(|transcript| transcript.exchanges.len()).sum::<usize>(), 579);
    let mut kinds = BTreeSet::new();
    for transcript in &transcripts {
        for (at, exchange) in transcript.exchanges.iter().enumerate() {
            let place = format!("{} {}", transcript.name, exchange.number);
            assert_eq!(exchange.number, at + 1, "{place}");
            for answer in &answers(exchange, &exchange.response) {
                assert!(answer.head.is_some(), "{place}");
                let events = events(answer, Dialect::Original, true).unwrap_or_else(|what| panic!("{place}: {what}"));
                assert!(events.iter().all(|event| event.get("p_event").is_some()), "{place}");
                kinds.extend(events.iter().map(|event| event.kind().to_owned()));
            }
        }
    }
    let acks =
        "hb-ack join-ack join-listen-ack leave-ack listen-ack publish-ack refresh-ack subscribe-ack unsubscribe-ack";
    let kinds: BTreeSet<_> = kinds.iter().map(String::as_str).collect();
    let expected: BTreeSet<_> = acks.split(' ').chain(["data", "hb", "nack", "refresh"]).collect();
    assert_eq!(kinds, expected);
}

/// The one file without a request: the demo sources of the original (rule P-35 waits for its release). It is held
/// against what the original says of events that no session published.
#[test]
fn the_file_without_requests_can_be_read() {
    let files = std::fs::read_dir(directory()).expect("the directory is there");
    let names = files.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned());
    let read: BTreeSet<_> = all().into_iter().map(|transcript| transcript.name + ".txt").collect();
    let others: BTreeSet<_> = names.filter(|name| !read.contains(name)).collect();
    let lone = "I-default-sources-stream-xml.txt";
    assert_eq!(others, BTreeSet::from(["INDEX.md", "README.md", lone].map(str::to_owned)));
    let body = std::fs::read(directory().join(lone)).expect("a file");
    let format = format_of("text/plain").expect("a format");
    let events = parse(format, Dialect::Original, &body, true).expect("readable");
    assert!(events.len() > 10, "{events:?}");
    for (event, seq) in events.iter().skip(1).zip(1..) {
        assert_eq!(event.get("p_seq"), Some(seq.to_string().as_str()), "{event:?}");
        assert!(["p_id", "p_from", "p_to"].iter().all(|name| event.get(name).is_none()), "{event:?}");
    }
}

/// The values that the original does not escape are read as they were published.
#[test]
fn unescaped_values_are_read() {
    for name in ["js", "xml", "xml-strict", "ser"] {
        let transcript = load(&format!("E-escape-{name}"));
        let listen = &transcript.exchanges[2];
        let events = events(&answers(listen, &listen.response)[0], Dialect::Original, true).expect("readable");
        let value = |subject: &str, field: &str| {
            let event = events.iter().find(|event| event.get("p_subject") == Some(subject)).expect("an event");
            event.get(field).map(str::to_owned)
        };
        assert_eq!(value("/quote", "v").as_deref(), Some("a\"b"), "{name}");
        assert_eq!(value("/script", "v").as_deref(), Some("</script><script>alert(1)</script>"), "{name}");
        assert_eq!(value("/backslash", "v").as_deref(), Some("a\\b\\nc"), "{name}");
        assert_eq!(value("/newline", "v").as_deref(), Some("a\nb\r\nc\td"), "{name}");
        assert_eq!(value("/emoji", "v").as_deref(), Some("\u{1f600}"), "{name}");
        assert_eq!(value("/name", "a b\"=").as_deref(), Some("1"), "{name}");
        assert_eq!(value("/empty", "v").as_deref(), Some(""), "{name}");
    }
}

/// Replaying against the original's own bytes finds nothing: the replayer and the comparer do not invent differences.
#[test]
fn a_server_that_plays_the_recording_differs_nowhere() {
    let transcripts = all();
    let found = in_parallel(transcripts.iter().collect(), |transcript| {
        (transcript.name.clone(), found_between(transcript, transcript, PACE))
    });
    for (name, rows) in found {
        assert_eq!(rows, BTreeSet::new(), "{name}");
    }
}

/// The mutation check: each thing that a server can do wrong is found by the whole of the harness, and nothing else is.
#[test]
fn each_change_of_the_server_is_found() {
    let stream = load("B-listen-xml-stream");
    let listen = number_of(&stream, "p_event=listen");
    let data = |text: &str| {
        let begin = text.find("<event p_from").expect("a data event");
        text[begin..begin + text[begin..].find("/>").expect("its end") + 2].to_owned()
    };
    let play = |change: &dyn Fn(&str) -> String| found_between(&stream, &changed(&stream, listen, change), IMPATIENT);
    let texts = |rows: BTreeSet<(usize, String)>| rows.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts(play(&str::to_owned)), Vec::<String>::new(), "as it was");
    assert_eq!(
        play(&|text| swap(text, "name=\"one\"", "name=\"eno\"")),
        BTreeSet::from([(listen, "event 3 (data) name: recorded \"one\", ours \"eno\"".to_owned())]),
        "a changed value"
    );
    let missing = texts(play(&|text| swap(text, &data(text), "")));
    assert!(missing.iter().any(|line| line.starts_with("event 3 is missing: name=\"one\"")), "{missing:?}");
    assert!(missing.iter().any(|line| line.ends_with("does not come")), "{missing:?}");
    let extra = texts(play(&|text| swap(text, &data(text), &data(text).repeat(2))));
    assert!(extra.iter().any(|line| line.contains("is extra: name=\"one\"")), "{extra:?}");
    let status = texts(play(&|text| swap(text, "200 OK", "404 Not Found")));
    assert!(status.contains(&"status: recorded 200, ours 404".to_owned()), "{status:?}");
    let silent = texts(play(&|text| text.split_once("<event p_event=\"hb\"").expect("a heartbeat").0.to_owned()));
    assert!(silent.iter().any(|line| line.starts_with("event 2 is missing: p_event=\"hb\"")), "{silent:?}");

    let leave = number_of(&stream, "p_event=leave");
    let cut = changed(&stream, leave, |text| swap(text, "p_event=\"leave-ack", "p_lost=\"1\" p_event=\"leave-ack"));
    let rows = found_between(&stream, &cut, IMPATIENT);
    assert_eq!(texts(rows), ["event 1 (leave-ack) p_lost: recorded nothing, ours \"1\""]);
}

/// What differs between a recorded exchange and its own bytes, changed by `change`.
fn found_after(transcript: &Transcript, number: usize, change: impl Fn(&str) -> String) -> Vec<String> {
    let exchange = &transcript.exchanges[number - 1];
    let comparer = Comparer::new(transcript, Server::Original, false);
    let text = String::from_utf8(exchange.response.clone()).expect("a text answer");
    let live = Live::played(change(&text).into_bytes(), exchange.end == End::Complete);
    texts(comparer.differences(exchange, &live))
}

fn texts(lines: Vec<Line>) -> Vec<String> {
    lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn the_comparer_finds_every_change() {
    let pull = load("B-listen-xml-pull");
    let refresh = number_of(&pull, "p_event=refresh");
    let change = |from: &'static str, to: &'static str| {
        found_after(&pull, refresh, |text| swap(&unchunked(text.as_bytes()), from, to))
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
        ("p_event=refresh\" />", "p_event=refresh\" />\n"),
        ("<event ", "\n<event "),
        ("p_sid=\"", "p_sid=\"x"),
        ("/pushlet/pushlet.srv?p_id=", "/pushlet.srv?p_id="),
    ] {
        assert_ne!(change(from, to), Vec::<String>::new(), "{from:?} to {to:?}");
    }
}

/// P-8: an echo that is not escaped is found, and so is another message.
#[test]
fn the_comparer_finds_changed_errors() {
    let errors = load("D-errors-http");
    let number = number_of(&errors, "%3Cb%3E");
    assert_eq!(found_after(&errors, number, str::to_owned), Vec::<String>::new());
    let raw = found_after(&errors, number, |text| text.replace("&lt;", "<"));
    assert_eq!(raw.len(), 1, "{raw:?}");
    assert!(raw[0].starts_with("message: recorded \"Invalid or expired id: &lt;b&gt;x&lt;/b&gt;\", ours "), "{raw:?}");
    assert_eq!(found_after(&errors, 1, |text| text.replace("eventType", "event type")).len(), 1);
}

#[test]
fn the_comparer_finds_missing_extra_and_swapped_events() {
    let pull = load("B-listen-xml-pull");
    let exchange = &pull.exchanges[number_of(&pull, "p_event=refresh") - 1];
    let comparer = Comparer::new(&pull, Server::Original, true);
    let recorded = comparer.recorded(exchange).remove(0);
    assert_eq!(recorded.events.len(), 4, "{:?}", recorded.events);
    let differ = |change: &dyn Fn(&mut super::differ::Seen)| {
        let mut ours = recorded.clone();
        change(&mut ours);
        (texts(compare(&recorded, &ours)), texts(compare(&ours, &recorded)))
    };
    assert_eq!(differ(&|_| ()), (Vec::new(), Vec::new()));
    let (missing, extra) = differ(&|ours| drop(ours.events.remove(1)));
    assert_eq!((missing.len(), extra.len()), (1, 1), "{missing:?} {extra:?}");
    assert!(missing[0].starts_with("event 2 is missing: "), "{missing:?}");
    assert!(extra[0].starts_with("our event 2, behind event 1, is extra: "), "{extra:?}");
    assert_ne!(differ(&|ours| ours.events.swap(1, 2)).0, Vec::<String>::new());
    assert_eq!(differ(&|ours| ours.ended = Some(false)).0, ["ended: recorded true, ours false"]);
    let early = differ(&|ours| ours.came_s = vec![-1.0, 0.0, 0.0, 0.0]).0;
    assert_eq!(early, ["event 1 (refresh-ack) comes earlier than recorded"]);
}

/// P-22: the comparer takes exactly what the rule says for what the original showed.
#[test]
fn the_comparer_checks_what_is_shown_of_publishers() {
    let (own, stream) = (load("F-self-publish"), load("B-listen-xml-stream"));
    for (transcript, listens, publishes) in [(&own, 1, 1), (&stream, 1, 2)] {
        let exchange = &transcript.exchanges[number_of(transcript, "p_event=listen") - 1];
        let recorded_id = |number: usize| session_of(&transcript.exchanges[number - 1]).expect("a join");
        let (listener, publisher) = (recorded_id(listens), recorded_id(publishes));
        let (listener_id, listener_address) = ("L".repeat(24), "a".repeat(24));
        let (id, address) = match listens == publishes {
            true => (listener_id.clone(), listener_address.clone()),
            false => ("P".repeat(24), "b".repeat(24)),
        };
        let lines = |server: Server, from: &str, shown: &str| {
            let mut comparer = Comparer::new(transcript, server, false);
            let sessions = [(&listener, (&listener_id, &listener_address)), (&publisher, (&id, &address))];
            for (recorded, (id, address)) in sessions {
                comparer.names.sessions.insert(recorded.clone(), (id.clone(), address.clone()));
            }
            let times = String::from_utf8_lossy(&exchange.response).replace("p_time=\"179", "p_time=\"999");
            let text = unchunked(times.as_bytes())
                .replace(&format!("p_from=\"{publisher}\""), &format!("p_from=\"{from}\""))
                .replace(
                    &format!("p_sid=\"{}\" p_id=\"{publisher}\"", sid_of(&times)),
                    &format!("p_sid=\"{}\"{shown}", sid_of(&times)),
                )
                .replace(&listener, &listener_id);
            let live = Live::played(text.into_bytes(), exchange.end == End::Complete);
            texts(comparer.differences(exchange, &live))
                .into_iter()
                .filter(|line| !line.contains("p_time"))
                .collect::<Vec<_>>()
        };
        let nothing = Vec::<String>::new();
        let own_id = format!(" p_id=\"{id}\"");
        assert_eq!(lines(Server::Exposing, &id, &own_id), nothing, "as the original showed it");
        assert_ne!(lines(Server::Exposing, &address, ""), nothing, "an address in place of an exposed id");
        if listens == publishes {
            assert_eq!(lines(Server::Pushletd, &id, &own_id), nothing, "its own copy shows its own session id");
            assert_ne!(lines(Server::Pushletd, &address, ""), nothing, "old pages do not know themselves");
        } else {
            assert_eq!(lines(Server::Pushletd, &address, ""), nothing, "to others the address and no p_id");
            assert_ne!(lines(Server::Pushletd, &address, &own_id), nothing, "the secret leaks");
            assert_ne!(lines(Server::Pushletd, &id, ""), nothing, "the secret is shown as p_from");
            assert_ne!(lines(Server::Pushletd, &listener_address, ""), nothing, "another's address");
        }
    }
}

/// The first subscription id in an answer.
fn sid_of(text: &str) -> &str {
    text.split_once("p_sid=\"").expect("a subscription").1.split('"').next().expect("its end")
}

#[test]
fn the_table_is_judged_both_ways() {
    let table = table::parse("# words\n\nA | 3 | P-7 | status: recorded 200, ours 400\n");
    let row =
        |exchange| Difference { file: "A".to_owned(), exchange, what: "status: recorded 200, ours 400".to_owned() };
    assert_eq!(table::judge(&table, &BTreeSet::from([row(3)])), "");
    assert!(table::judge(&table, &BTreeSet::new()).contains("that nothing needs"));
    assert!(table::judge(&table, &BTreeSet::from([row(3), row(4)])).contains("A | 4 | P-? | status"));
    assert_eq!(table::judge(&BTreeMap::new(), &BTreeSet::new()), "");
    assert_eq!(table::of_file(&table, "A"), BTreeSet::from([(3, row(3).what)]));
    assert_eq!(table::of_file(&table, "B"), BTreeSet::new());
    for bad in ["A | 3 | P-99 | x", "A | x | P-1 | x", "A | 3 | P-1", "A | 1 | P-1 | x\nA | 1 | P-2 | x"] {
        assert!(std::panic::catch_unwind(|| table::parse(bad)).is_err(), "{bad}");
    }
}
