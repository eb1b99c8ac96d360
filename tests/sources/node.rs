//! Sources and the life of the server: the demo, HUP, TERM.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::pushlet::SOON;
use crate::support::server::{Driver, Server, on_both_drivers_at_once, wait_for};
use crate::{LATER, figure, leaders, listen, mark, processes, start};

fn names(event: &crate::support::pushlet::Event) -> BTreeSet<&str> {
    event.fields().map(|(name, _)| name).filter(|name| !name.starts_with("p_")).collect()
}

/// P-35, P-34: on a loopback address the demo sources are there without a word of configuration, on both drivers; they tell no ids and no
/// addresses.
#[test]
fn the_demo_sources_are_there_by_default() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_with_admin(driver, &["--demo", "auto", "--cores", "2"], "");
        let (session, mut figures) = listen(&server, "$server/figures");
        for name in ["system", "stocks"] {
            assert_eq!(figure(&server, "active", &format!("demo/{name}")), 0);
        }
        let event = &figures.wait_data(2)[1];
        let due = [
            "sessions",
            "listening",
            "subscriptions",
            "connections",
            "published",
            "delivered",
            "lost",
            "requests",
            "published_per_s",
            "delivered_per_s",
            "cores",
            "uptime_s",
            "version",
        ];
        assert_eq!(names(event), BTreeSet::from(due));
        assert_eq!((event.field("sessions"), event.field("cores")), ("1", "2"));
        assert_eq!((event.field("listening"), event.field("version")), ("1", env!("CARGO_PKG_VERSION")));
        for (name, value) in event.fields() {
            assert!(!value.contains(&session.id) && !value.contains(&session.address), "{name}={value}");
            assert!(!value.contains("127.0.0.1"), "{name}={value}");
        }
        let (_session, mut system) = listen(&server, "$server/system");
        let event = &system.wait_data(1)[0];
        let due = [
            "load1",
            "load5",
            "load15",
            "cpu_percent",
            "cpus",
            "mem_total_kib",
            "mem_available_kib",
            "mem_used_percent",
            "uptime_s",
        ];
        assert_eq!(names(event), BTreeSet::from(due));
        assert!(event.field("mem_total_kib").parse::<u64>().is_ok_and(|kib| kib > 1_000), "{event:?}");
        assert!(event.field("load1").parse::<f64>().is_ok() && event.field("cpu_percent").parse::<f64>().is_ok());
        let (_session, mut stocks) = listen(&server, "$demo/stocks");
        for event in stocks.wait_data(5) {
            assert_eq!(names(&event), BTreeSet::from(["symbol", "name", "price", "change"]));
            assert_eq!(event.field("p_subject"), format!("$demo/stocks/{}", event.field("symbol")));
            assert!(event.field("price").parse::<f64>().is_ok_and(|price| price > 0.0), "{event:?}");
        }
    });
}

/// Elsewhere, and where they are switched off, there are none.
#[test]
fn without_the_demo_there_are_no_demo_sources() {
    let server = Server::start_with_admin(Driver::Epoll, &["--demo", "off"], "");
    assert!(crate::support::look::metrics(&server).keys().all(|name| !name.starts_with("source_")));
}

fn forever(name: &str, word: &str, field: &str) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\nsubject = \"/r\"\n\
         command = [\"sh\", \"-c\", \"while :; do echo {field}=1; sleep 0.05; done\", \"{word}\"]\n"
    )
}

/// HUP: sources that changed are restarted, those that are gone are ended, those that are as before go on.
#[test]
fn hup_changes_sources() {
    let (kept, changed, removed, added) = (mark(), mark(), mark(), mark());
    let server = start(
        &(forever("kept", &kept, "kept")
            + &forever("changed", &changed, "before")
            + &forever("removed", &removed, "removed")),
    );
    let (_session, mut channel) = listen(&server, "/r");
    let saw = |name: &'static str| {
        move |events: &[crate::support::pushlet::Event]| events.iter().any(|event| event.get(name).is_some())
    };
    for name in ["kept", "before", "removed"] {
        channel.wait_for(SOON, saw(name));
    }
    let (process, counted) = (leaders(&kept), figure(&server, "events", "changed"));
    assert_eq!(process.len(), 1);
    server.rewrite_config(
        &(forever("kept", &kept, "kept") + &forever("changed", &changed, "after") + &forever("added", &added, "added")),
    );
    server.signal(Signal::HUP);
    for name in ["after", "added"] {
        channel.wait_for(LATER, saw(name));
    }
    assert!(wait_for(SOON, || processes(&removed).is_empty()), "{:?}", processes(&removed));
    assert_eq!((leaders(&kept), leaders(&changed).len()), (process, 1));
    assert!(figure(&server, "events", "changed") > counted, "a counter went back");
    let gone = crate::support::look::metrics(&server).keys().all(|name| !name.contains("\"removed\""));
    assert!(gone, "a source that is gone has figures");
    // A wrong file changes nothing.
    server.rewrite_config("[[source]]\nkind = \"nothing\"\nsubject = \"/r\"\n");
    server.signal(Signal::HUP);
    server.wait_stderr("the configuration was not reloaded", SOON);
    assert_eq!((leaders(&added).len(), figure(&server, "active", "added")), (1, 1));
}

/// No program of a source outlives the server, however it resists and whatever it has started, and whether the server ends in order or at once.
#[test]
fn no_program_is_left_behind() {
    for signals in [1, 2] {
        let word = mark();
        let stubborn = format!(
            "[[source]]\nname = \"stubborn\"\nsubject = \"/s\"\n\
             command = [\"sh\", \"-c\", \"trap '' TERM; sh -c 'while :; do sleep 1; done' {word} & echo up=1; while :; do sleep 1; done\", \"{word}\"]\n\
             [[source]]\nname = \"polite\"\nsubject = \"/s\"\n\
             command = [\"sh\", \"-c\", \"trap 'exit 0' TERM; echo ready=1; while :; do sleep 0.1; done\", \"{word}\"]\n"
        );
        let mut server = start(&stubborn);
        let (session, mut channel) = listen(&server, "/s");
        channel.wait_data(2);
        assert!(wait_for(SOON, || processes(&word).len() >= 3), "{:?}", processes(&word));
        session.leave();
        for _ in 0..signals {
            server.signal(Signal::TERM);
            server.wait_stderr("draining", SOON);
        }
        let status = server.wait(Duration::from_secs(20)).expect("it ends");
        // Between TERM and KILL the program has two seconds, in which the server waits and hears the second signal.
        assert_eq!(status.success(), signals == 1, "{status:?}: {}", server.stderr());
        assert!(processes(&word).is_empty(), "{:?}", processes(&word));
    }
}
