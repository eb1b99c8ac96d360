//! P-35: sources of events as their listeners and the operator see them, over real sockets, with real programs, files and pages.
//!
//! Nothing here sleeps to let something happen. That a source does nothing is proved by what another one does meanwhile.
#![cfg(feature = "server")]

#[path = "sources/commands.rs"]
mod commands;
#[path = "docs/document.rs"]
mod document;
#[path = "sources/embedded.rs"]
mod embedded;
#[path = "sources/feeds.rs"]
mod feeds;
#[path = "sources/node.rs"]
mod node;
#[path = "sources/page.rs"]
mod page;
mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pushletd::protocol::Format;

use support::look::metrics;
use support::pushlet::{Channel, Session};
use support::server::{Driver, Server, wait_for};

/// How long something may take that a pause of a failing source or the grace of a program stands before.
const LATER: Duration = Duration::from_secs(40);

/// A server with these sources and no demo.
fn start(toml: &str) -> Server {
    Server::start_with_admin(Driver::IoUring, &["--cores", "2", "--log-level", "debug"], toml)
}

/// A session that listens to the subject from now on.
fn listen(server: &Server, subject: &str) -> (Session, Channel) {
    let session = Session::join(server.addr(), Format::Json);
    let mut channel = session.listen("stream", Some(subject));
    channel.wait_count(1);
    (session, channel)
}

/// A figure of a source.
fn figure(server: &Server, name: &str, source: &str) -> u64 {
    let suffix = if name == "active" { "" } else { "_total" };
    let key = format!("source_{name}{suffix}{{source=\"{source}\"}}");
    let all = metrics(server);
    *all.get(&key).unwrap_or_else(|| panic!("no {key} in {all:#?}"))
}

/// Waits until the figure of a source is as it should be.
#[track_caller]
fn wait_figure(server: &Server, name: &str, source: &str, holds: impl Fn(u64) -> bool) -> u64 {
    let mut last = 0;
    let held = wait_for(LATER, || {
        last = figure(server, name, source);
        holds(last)
    });
    assert!(held, "{name} of {source} is {last}");
    last
}

/// A word that no other process has in its command line.
fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("mark-{}-{}-", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The processes with the word in their command line, but for the server itself and what starts it.
fn processes(word: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let has = |number: &u32| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    numbers.filter(has).collect()
}

/// Those of them that lead a process group. A shell that is about to start something else is two processes of one command line for a moment.
fn leaders(word: &str) -> Vec<u32> {
    let leads = |number: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // Behind the name: state, parent, group.
        let group = stat.rsplit_once(')').and_then(|(_, behind)| behind.split_whitespace().nth(2));
        group == Some(number.to_string().as_str())
    };
    processes(word).into_iter().filter(leads).collect()
}

/// How often the words stand in the server's log.
fn told(server: &Server, words: &str) -> usize {
    server.stderr().matches(words).count()
}
