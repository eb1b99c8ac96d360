//! Looking at a server from outside: its metrics, and what the kernel says about its process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::http::{Answer, Connection, get};
use super::pushlet::SOON;
use super::server::{Server, wait_for};

/// One GET to the admin port on a connection of its own.
pub(crate) fn admin_get(admin: SocketAddr, path: &str) -> Answer {
    let mut connection = Connection::open(admin);
    connection.request(&get(path));
    connection.wait_answer(SOON)
}

/// The metrics of a server that are whole numbers, by name, labels included, without the common prefix.
pub(crate) fn metrics(server: &Server) -> BTreeMap<String, u64> {
    let answer = admin_get(server.admin(), "/metrics");
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    // Sums of durations are the only ones with a fraction.
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_seconds_sum"));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let name = name.strip_prefix("pushletd_").expect("the prefix");
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("a number, not {value:?}")))
        })
        .collect()
}

/// One of the metrics.
pub(crate) fn metric(server: &Server, name: &str) -> u64 {
    let all = metrics(server);
    *all.get(name).unwrap_or_else(|| panic!("no {name} in {all:#?}"))
}

/// The metrics after every core has shown its figures anew: all that had come to pass before is in them.
pub(crate) fn settled_metrics(server: &Server) -> BTreeMap<String, u64> {
    // Every tick is a turn, and figures are shown together with their count of turns.
    let turns = |all: &BTreeMap<String, u64>| -> Vec<u64> {
        let counts = all.iter().filter(|(name, _)| name.starts_with("core_turn_seconds_count"));
        counts.map(|(_, count)| *count).collect()
    };
    let before = turns(&metrics(server));
    let mut now = BTreeMap::new();
    let shown = wait_for(SOON, || {
        now = metrics(server);
        turns(&now).iter().zip(&before).all(|(now, before)| *now >= before + 2)
    });
    assert!(shown, "a core shows nothing: {before:?} turns, then {now:#?}");
    now
}

/// One of them.
pub(crate) fn settled_metric(server: &Server, name: &str) -> u64 {
    let all = settled_metrics(server);
    *all.get(name).unwrap_or_else(|| panic!("no {name} in {all:#?}"))
}

/// Waits until the metric has this value.
pub(crate) fn wait_metric(server: &Server, name: &str, expected: u64, max: Duration) {
    let mut last = 0;
    let held = wait_for(max, || {
        last = metric(server, name);
        last == expected
    });
    assert!(held, "{name} is {last}, not {expected}, after {max:?}\n{:#?}", metrics(server));
}

/// A thread of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    /// Its number.
    pub(crate) number: u32,
    /// Its name: `core 0` and so on for the event loops.
    pub(crate) name: String,
}

/// The threads of the server, the event loops first and in order.
pub(crate) fn threads(server: &Server) -> Vec<Thread> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("our own child has threads");
    let mut threads: Vec<Thread> = tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            // One that has just ended has no name any more.
            let name = std::fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
            Some(Thread { number: path.file_name()?.to_str()?.parse().ok()?, name })
        })
        .collect();
    threads.sort_by_key(|thread| (!thread.name.starts_with("core "), thread.name.clone(), thread.number));
    threads
}

/// The threads that run an event loop.
pub(crate) fn core_threads(server: &Server) -> Vec<Thread> {
    threads(server).into_iter().filter(|thread| thread.name.starts_with("core ")).collect()
}

/// What the descriptors of a thread are, by number.
pub(crate) fn descriptors_of(server: &Server, thread: u32) -> BTreeMap<u32, String> {
    let folder = format!("/proc/{}/task/{thread}/fd", server.pid());
    let entries = std::fs::read_dir(folder).expect("our own child has descriptors");
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((number, std::fs::read_link(path).ok()?.to_string_lossy().into_owned()))
        })
        .collect()
}

/// Open descriptors of the server: of the main thread's table, and of each event loop's.
pub(crate) fn descriptors(server: &Server) -> usize {
    let cores = core_threads(server);
    let all = cores.iter().map(|thread| thread.number).chain([server.pid()]);
    all.map(|thread| descriptors_of(server, thread).len()).sum()
}

/// Processor time that the server has taken, user and system.
pub(crate) fn processor_time(server: &Server) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("our own child has a state");
    // The second field is the name in brackets; the fields behind it begin with the third.
    let behind = stat.rsplit_once(')').expect("a name in brackets").1;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let ticks: u64 = fields[11..=12].iter().map(|field| field.parse::<u64>().expect("a number of ticks")).sum();
    // The unit of these fields is 1/100 s on every Linux of today.
    Duration::from_millis(ticks * 10)
}

/// Memory of the server that is in RAM, in KiB.
pub(crate) fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("our own child has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}
