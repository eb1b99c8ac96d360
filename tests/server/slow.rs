//! Readers that are slow, that stop, and that take events in bits (rule P-30), and quick ones beside them.

use std::time::Duration;

use pushletd::protocol::Format;

use crate::support::http::Connection;
use crate::support::look::{metric, settled_metric, wait_metric};
use crate::support::pushlet::{Channel, Event, SOON, Session, events_of};
use crate::support::server::{Driver, Server, on_both_drivers_at_once, wait_for};

const FULL: &str = "sessions_ended_total{reason=\"queue-full\"}";

/// A stream whose reader does not read: its connection takes little and then nothing.
fn stalled(server: &Server, format: Format, subject: &str) -> (Session, Channel) {
    let session = Session::join(server.addr(), format);
    let mut channel = session.data_on(Connection::open_narrow(server.addr()), "listen", &[("p_subject", subject)]);
    // From here on it listens, whichever core its connection had to go to.
    channel.wait_count(2);
    (session, channel)
}

fn data(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.kind() == "data").collect()
}

fn number(event: &Event) -> u64 {
    event.field("number").parse().expect("a number")
}

/// Pseudo-random numbers that are the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    /// The sequence of `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }
}

/// P-30: `disconnect`: what fitted arrives in order, then the reason, and the answer is whole.
#[test]
fn a_reader_that_stops_gets_what_fitted_and_then_an_abort() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-size", "8"], "");
        for (turn, format) in [(1, Format::XmlStrict), (2, Format::Json), (3, Format::Js)] {
            let (_, mut stream) = stalled(&server, format, "/full");
            let publisher = Session::join(server.addr(), Format::Json);
            let value = "v".repeat(10_000);
            let mut published = 0_u64;
            let ended = wait_for(SOON, || {
                publisher.publish("/full", &[("number", &published.to_string()), ("value", &value)]);
                published += 1;
                metric(&server, FULL) == turn
            });
            assert!(ended, "{published} events and no end");
            let events = stream.wait_end(SOON);
            assert!(stream.connection.is_whole(), "{format:?}: the last chunk is there");
            let (last, before) = events.split_last().expect("events");
            assert_eq!(
                (last.kind(), last.field("p_reason")),
                ("abort", "the client reads too slowly and its queue is full")
            );
            let data = data(before);
            assert!(!data.is_empty() && (data.len() as u64) < published, "{} of {published}", data.len());
            for (expected, event) in (0..).zip(&data) {
                assert_eq!((number(event), event.field("value") == value), (expected, true));
            }
            let seqs: Vec<u64> =
                events.iter().filter_map(|event| event.get("p_seq")).map(|seq| seq.parse().unwrap()).collect();
            assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "no gap in p_seq");
        }
    });
}

/// Publishes until the server has dropped at least `lost` events, then some more. Returns how many it were.
fn publish_until_lost(server: &Server, lost: u64, subject: impl Fn(u64) -> String) -> u64 {
    let publisher = Session::join(server.addr(), Format::Json);
    let value = "v".repeat(5_000);
    let mut published = 0;
    let dropped = wait_for(Duration::from_secs(20), || {
        for _ in 0..20 {
            publisher.publish(&subject(published), &[("number", &published.to_string()), ("value", &value)]);
            published += 1;
        }
        metric(server, "lost_total") >= lost
    });
    assert!(dropped, "{published} events and nothing was dropped");
    published
}

/// P-30: `drop-oldest`: every gap is announced, with the exact number, on the event behind it.
#[test]
fn what_is_dropped_is_told_exactly() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-size", "7", "--overflow", "drop-oldest"], "");
        let (session, mut stream) = stalled(&server, Format::Json, "/lossy");
        let mut published = publish_until_lost(&server, 30, |_| "/lossy".to_owned());
        // The reader wakes up, reads all, and stops once more.
        let last = |published: u64| {
            move |events: &[Event]| data(events).last().is_some_and(|event| number(event) == published - 1)
        };
        stream.wait_for(SOON, last(published));
        let publisher = Session::join(server.addr(), Format::Json);
        for _ in 0..5 {
            publisher.publish("/lossy", &[("number", &published.to_string())]);
            published += 1;
        }
        let events = stream.wait_for(SOON, last(published));
        let (mut next, mut lost) = (0, 0);
        for event in data(&events) {
            let missing: u64 = event.get("p_lost").map_or(0, |lost| lost.parse().expect("a number"));
            assert_eq!(number(event), next + missing, "p_lost stands for what is missing before this event");
            next = number(event) + 1;
            lost += missing;
        }
        assert_eq!((next, lost), (published, settled_metric(&server, "lost_total")));
        assert!(lost >= 30);
        assert_eq!(settled_metric(&server, FULL), 0);
        session.leave();
        stream.wait_end(SOON);
    });
}

/// P-30: `conflate`: of each subject the newest arrives, and the losses add up.
#[test]
fn what_is_conflated_leaves_the_newest_of_each_subject() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-size", "6", "--overflow", "conflate"], "");
        let (_, mut stream) = stalled(&server, Format::XmlStrict, "/rates/");
        let published = publish_until_lost(&server, 30, |number| format!("/rates/{}", number % 5));
        let events =
            stream.wait_for(SOON, |events| data(events).last().is_some_and(|event| number(event) == published - 1));
        let data = data(&events);
        let lost: u64 = data
            .iter()
            .filter_map(|event| event.get("p_lost"))
            .map(|lost| lost.parse::<u64>().expect("a number"))
            .sum();
        assert_eq!(data.len() as u64 + lost, published);
        assert_eq!(lost, settled_metric(&server, "lost_total"));
        assert!(data.windows(2).all(|two| number(two[0]) < number(two[1])), "in order");
        for rate in 0..5 {
            let subject = format!("/rates/{rate}");
            let newest =
                data.iter().rfind(|event| event.field("p_subject") == subject).expect("an event of each subject");
            assert!(number(newest) >= published - 5, "{subject}: {} of {published}", number(newest));
        }
    });
}

/// Writes end anywhere within an event, and not a byte is lost, doubled or moved.
#[test]
fn large_events_arrive_byte_for_byte_through_short_writes() {
    const EVENTS: usize = 24;
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789<>&'\"\\ ";
    let value = |event: usize| -> String {
        let mut dice = Dice::new(event as u64 + 1);
        let length = 100 * 1024 + dice.below(4096);
        (0..length).map(|_| char::from(ALPHABET[dice.below(ALPHABET.len())])).collect()
    };
    let values: Vec<String> = (0..EVENTS).map(value).collect();
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-bytes", "64MiB"], "");
        let mut delivered = 0;
        for format in [Format::Json, Format::XmlStrict] {
            let (session, mut stream) = stalled(&server, format, "/large");
            stream.wait_count(2);
            let publisher = Session::join(server.addr(), Format::Json);
            let mut connection = Connection::open(server.addr());
            for value in &values {
                let request = publisher.request("publish", &[("p_subject", "/large"), ("value", value)]);
                assert_eq!(events_of(&connection.ask(&request, SOON))[0].kind(), "publish-ack");
            }
            // A publish is acked before other cores have it; leaving would overtake it there.
            delivered += EVENTS as u64;
            wait_metric(&server, "delivered_total", delivered, SOON);
            session.leave();
            let mut dice = Dice::new(7);
            let whole = wait_for(Duration::from_secs(30), || {
                while stream.connection.sip(1 + dice.below(9000)) > 0 {}
                stream.connection.is_over()
            });
            assert!(whole, "{} bytes and no end", stream.connection.body().len());
            let events = stream.wait_end(SOON);
            // P-27: leaving ends the answer at once, behind the event that was under way.
            let data = data(&events);
            assert!(stream.connection.is_whole(), "cut behind {}: {}", data.len(), stream.connection.is_reset());
            assert!(!data.is_empty(), "leaving has overtaken everything");
            for (event, value) in data.iter().zip(&values) {
                assert!(event.field("value") == value, "{format:?}: a value has changed on the way");
            }
            arrive_whole(&server, format, &values);
            delivered += EVENTS as u64 + 1;
        }
    });
}

/// The same with a reader that takes all of it.
fn arrive_whole(server: &Server, format: Format, values: &[String]) {
    let (session, mut stream) = stalled(server, format, "/whole");
    let publisher = Session::join(server.addr(), Format::Json);
    for value in values {
        publisher.publish("/whole", &[("value", value)]);
    }
    publisher.publish("/whole", &[("value", "the end")]);
    let mut dice = Dice::new(11);
    let arrived = wait_for(Duration::from_secs(30), || {
        while stream.connection.sip(1 + dice.below(9000)) > 0 {}
        stream.connection.body().windows(7).rev().take(400).any(|some| some == b"the end")
    });
    assert!(arrived, "{} bytes and no end", stream.connection.body().len());
    session.leave();
    let events = stream.wait_end(SOON);
    let data = data(&events);
    assert_eq!(data.len(), values.len() + 1);
    for (event, value) in data.iter().zip(values) {
        assert!(event.field("value") == value, "{format:?}: a value has changed on the way");
        assert_eq!(event.get("p_lost"), None);
    }
}

const READERS: usize = 200;
const EVENTS: usize = 500;

/// The text of an event of `many_readers_...`: mostly short, sometimes long.
fn text_of(number: usize) -> String {
    let mut dice = Dice::new(number as u64 + 77);
    let length = if dice.below(20) == 0 { dice.below(5000) } else { dice.below(200) };
    format!("{number}:{}", char::from(b'a' + (number % 26) as u8).to_string().repeat(length))
}

/// Publishes all events as fast as the server takes them, pipelined, and reads the acks.
fn publish_all(server: &Server) {
    let publisher = Session::join(server.addr(), Format::Json);
    let requests: Vec<u8> = (0..EVENTS)
        .flat_map(|number| publisher.request("publish", &[("p_subject", "/many"), ("text", &text_of(number))]))
        .collect();
    let mut connection = Connection::open(server.addr());
    let mut sent = 0;
    for number in 0..EVENTS {
        connection.begin(false);
        let acked = wait_for(Duration::from_secs(20), || {
            sent += connection.send_some(&requests[sent..]).expect("the server stays");
            connection.pump();
            connection.is_over()
        });
        assert!(acked && connection.is_whole(), "{number}");
        assert_eq!(connection.head().map(|head| head.status), Some(200), "{number}");
    }
}

/// P-30: however fast a publisher is and however many readers have stopped, those who read miss nothing.
#[test]
fn many_readers_miss_nothing_while_others_stall() {
    on_both_drivers_at_once(|driver: Driver| {
        let server = Server::start_with_admin(driver, &["--queue-size", "64"], "");
        let mut readers: Vec<(Session, Channel)> = (0..READERS)
            .map(|_| {
                let session = Session::join(server.addr(), Format::Json);
                let channel = session.listen("stream", Some("/many"));
                (session, channel)
            })
            .collect();
        let _stalled: Vec<(Session, Channel)> = (0..20).map(|_| stalled(&server, Format::Json, "/many")).collect();
        wait_metric(&server, "sessions_listening", READERS as u64 + 20, SOON);
        let last = format!("\"text\":\"{}\"", text_of(EVENTS - 1));
        std::thread::scope(|scope| {
            let publisher = scope.spawn(|| publish_all(&server));
            let arrived = wait_for(Duration::from_secs(40), || {
                let mut waiting = 0;
                for (_, reader) in &mut readers {
                    reader.connection.pump();
                    let body = reader.connection.body();
                    let tail = &body[body.len().saturating_sub(last.len() + 100)..];
                    waiting += usize::from(!tail.windows(last.len()).any(|some| some == last.as_bytes()));
                    assert!(!reader.connection.is_over(), "a reader was cut off: {}", String::from_utf8_lossy(tail));
                }
                waiting == 0
            });
            assert!(arrived, "not everything arrives");
            publisher.join().expect("the publisher is done");
        });
        let expected: Vec<String> = (0..EVENTS).map(text_of).collect();
        for (_, reader) in &readers {
            let body = std::str::from_utf8(reader.connection.body()).expect("UTF-8");
            assert!(!body.contains("p_lost"));
            let texts: Vec<&str> =
                body.split("\"text\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
            assert!(texts == expected, "{} events, not all in order", texts.len());
        }
        wait_metric(&server, FULL, 20, SOON);
    });
}

/// P-30: a pull answer takes its events out of the queue. If its connection breaks over it, the next answer says how many are missing.
#[test]
fn a_pull_answer_that_is_cut_off_is_missed_aloud() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--queue-bytes", "32MiB"], "");
        let session = Session::join(server.addr(), Format::Json);
        session.data("listen", &[("p_mode", "pull"), ("p_subject", "/cut")]).wait_end(SOON);
        let publisher = Session::join(server.addr(), Format::Json);
        let value = "v".repeat(200_000);
        for number in 0..60 {
            publisher.publish("/cut", &[("number", &number.to_string()), ("value", &value)]);
        }
        let mut cut = session.data_on(Connection::open_narrow(server.addr()), "refresh", &[]);
        cut.connection.wait_head(SOON);
        cut.connection.reset();
        wait_metric(&server, "lost_total", 60, SOON);
        publisher.publish("/cut", &[("number", "60")]);
        let events = session.refresh().wait_end(SOON);
        let events = data(&events);
        assert_eq!((events.len(), number(events[0]), events[0].get("p_lost")), (1, 60, Some("60")));
    });
}

/// P-30: the same for two sessions whose requests are pipelined on one connection, as proxies mix them.
#[test]
fn pipelined_answers_that_are_cut_off_are_all_missed_aloud() {
    on_both_drivers_at_once(|driver| {
        // On one core both are answered before anything is written.
        let server = Server::start_with_admin(driver, &["--queue-bytes", "32MiB", "--cores", "1"], "");
        let sessions = ["/one", "/two"].map(|subject| {
            let session = Session::join(server.addr(), Format::Json);
            session.data("listen", &[("p_mode", "poll"), ("p_subject", subject)]).wait_end(SOON);
            session
        });
        let publisher = Session::join(server.addr(), Format::Json);
        let value = "v".repeat(200_000);
        for number in 0..60 {
            publisher.publish(["/one", "/two"][number % 2], &[("number", &number.to_string()), ("value", &value)]);
        }
        let mut cut = Connection::open_narrow(server.addr());
        cut.request(&sessions.each_ref().map(|session| session.request("refresh", &[])).concat());
        cut.wait_head(SOON);
        cut.reset();
        wait_metric(&server, "lost_total", 60, SOON);
        for (session, subject) in sessions.iter().zip(["/one", "/two"]) {
            publisher.publish(subject, &[("number", "60")]);
            let events = session.refresh().wait_end(SOON);
            let events = data(&events);
            assert_eq!((events.len(), number(events[0]), events[0].get("p_lost")), (1, 60, Some("30")), "{subject}");
        }
    });
}
