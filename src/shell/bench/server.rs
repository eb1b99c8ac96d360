//! The server seen from outside: where it is, and what its process uses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::ops::AddAssign;

use super::super::client::target::Target;
use super::options::Targets;

/// Connections from one local address: the kernel's usual range has 28,232 ports, and it looks for a free one by trying, so a range that is half
/// full costs milliseconds for each connection.
const CONNECTIONS_PER_ADDRESS: u32 = 4_000;

/// Where to connect to, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The server of the subscribers.
    listen: SocketAddr,
    /// That of the publishers.
    post: SocketAddr,
    /// Local addresses to take in turn. Empty: the kernel chooses.
    sources: Vec<IpAddr>,
}

impl Addresses {
    /// Looks up the servers. `sources` 0 is as many as so many connections need, if the server is on the loopback.
    ///
    /// # Errors
    ///
    /// The name is not known.
    pub(super) fn find(targets: &Targets, sources: u32, connections: u32) -> io::Result<Self> {
        let (listen, post) = (look_up(&targets.listen)?, look_up(&targets.post)?);
        let wanted = if sources == 0 { connections.div_ceil(CONNECTIONS_PER_ADDRESS) } else { sources };
        let sources = match wanted > 1 {
            true => (1..=wanted.min(250)).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last as u8))).collect(),
            false => Vec::new(),
        };
        Ok(Self { listen, post, sources })
    }

    /// Where the `turn`-th connection goes to, and where it comes from if the kernel does not choose. From the loopback one gets to the loopback only.
    pub(super) fn route(&self, publishes: bool, turn: usize) -> (SocketAddr, Option<IpAddr>) {
        let server = if publishes { self.post } else { self.listen };
        let loopback = matches!(server.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let source = self.sources.get(turn % self.sources.len().max(1)).copied();
        (server, source.filter(|_| loopback))
    }
}

fn look_up(target: &Target) -> io::Result<SocketAddr> {
    let mut found = (target.host.as_str(), target.port)
        .to_socket_addrs()
        .map_err(|error| io::Error::other(format!("the host {} is not found: {error}", target.host)))?;
    found.next().ok_or_else(|| io::Error::other(format!("{} has no address", target.host)))
}

/// What a process has used so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Seconds on a processor, user and system, of all its threads.
    pub(super) cpu_s: f64,
    /// The same in user mode; to 10 ms.
    pub(super) user_s: f64,
    /// The same in the kernel; to 10 ms.
    pub(super) system_s: f64,
    /// Seconds of each thread that lives, by number.
    pub(super) threads: Vec<(u32, f64)>,
    /// Resident memory, in bytes.
    pub(super) resident_bytes: u64,
}

/// Ticks a second of the times in `/proc/PID/stat`: a constant of the kernel's interface on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

impl Usage {
    /// Reads what a process has used.
    ///
    /// # Errors
    ///
    /// There is no such process, it has ended and only its parent has not asked for its end, or it may not be looked at.
    pub(super) fn read(pid: u32) -> io::Result<Self> {
        let (user_s, system_s) = stat_seconds(&format!("/proc/{pid}/stat"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = resident.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let mut usage = Self { user_s, system_s, resident_bytes: kib * 1024, ..Self::default() };
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            let Some(number) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end while we look.
            if let Ok(seconds) = thread_seconds(pid, number) {
                usage.threads.push((number, seconds));
            }
        }
        usage.threads.sort_unstable_by_key(|(number, _)| *number);
        // The sum over living threads is exact to a nanosecond; what ended threads used is only in ticks.
        let living: f64 = usage.threads.iter().map(|(_, seconds)| seconds).sum();
        usage.cpu_s = if living > 0.0 { living } else { user_s + system_s };
        Ok(usage)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu_s += other.cpu_s;
        self.user_s += other.user_s;
        self.system_s += other.system_s;
        self.threads.extend(other.threads);
        self.resident_bytes += other.resident_bytes;
    }
}

/// What these processes have used together; `None` if there are none.
///
/// # Errors
///
/// One of them cannot be read; which one.
pub(super) fn used(pids: &[u32]) -> io::Result<Option<Usage>> {
    let mut sum: Option<Usage> = None;
    for pid in pids {
        let usage = Usage::read(*pid)
            .map_err(|error| io::Error::other(format!("process {pid} cannot be looked at: {error}")))?;
        match &mut sum {
            Some(sum) => *sum += usage,
            None => sum = Some(usage),
        }
    }
    Ok(sum)
}

fn stat_seconds(path: &str) -> io::Result<(f64, f64)> {
    let stat = std::fs::read_to_string(path)?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return Err(io::Error::other("it has ended"));
    }
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok((user as f64 / TICKS_PER_SECOND, system as f64 / TICKS_PER_SECOND)),
        _ => Err(io::Error::other(format!("{path} is not understood"))),
    }
}

/// To a nanosecond where the kernel counts that, to a tick elsewhere.
fn thread_seconds(pid: u32, thread: u32) -> io::Result<f64> {
    let exact = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok();
    let nanoseconds = exact.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    match nanoseconds {
        Some(nanoseconds) => Ok(nanoseconds as f64 / 1e9),
        None => stat_seconds(&format!("/proc/{pid}/task/{thread}/stat")).map(|(user, system)| user + system),
    }
}

/// Open descriptors of a process. Each of its threads may have a table of its own; one that is shared counts once.
///
/// # Errors
///
/// There is no such process, or it may not be looked at.
pub(super) fn descriptors(pid: u32) -> io::Result<u64> {
    let mut tables: Vec<Table> = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while we look.
        let Ok(table) = Table::read(&task?.path().join("fd")) else { continue };
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    Ok(tables.iter().map(|table| table.count).sum())
}

/// Open descriptors of these processes together; `None` if there are none, or one of them cannot be read.
pub(super) fn descriptors_of(pids: &[u32]) -> Option<u64> {
    let each: Option<Vec<u64>> = pids.iter().map(|pid| descriptors(*pid).ok()).collect();
    each.filter(|each| !each.is_empty()).map(|each| each.iter().sum())
}

/// By what a descriptor table is known again: how many there are, and what the highest ones are. Sockets have numbers that nothing else has.
#[derive(Debug, PartialEq)]
struct Table {
    count: u64,
    highest: Vec<(u32, std::path::PathBuf)>,
}

impl Table {
    fn read(folder: &std::path::Path) -> io::Result<Self> {
        let names =
            std::fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let mut numbers: Vec<u32> = names.collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        let link = |number: &u32| Some((*number, std::fs::read_link(folder.join(number.to_string())).ok()?));
        Ok(Self { count: numbers.len() as u64, highest: numbers.iter().take(16).filter_map(link).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_read() {
        let usage = Usage::read(std::process::id()).expect("we are there");
        assert!(usage.resident_bytes > 100_000 && !usage.threads.is_empty(), "{usage:?}");
        assert!(usage.cpu_s > 0.0);
        assert!(descriptors(std::process::id()).expect("we are there") >= 3);
        assert!(Usage::read(u32::MAX).is_err() && descriptors(u32::MAX).is_err());
    }

    #[test]
    fn processes_are_added_up() {
        assert_eq!(used(&[]).expect("nothing is read"), None);
        let own = std::process::id();
        let one = used(&[own]).expect("we are there").expect("one process");
        let both = used(&[own, own]).expect("we are there").expect("two processes");
        assert!(both.threads.len() >= 2 && both.cpu_s >= one.cpu_s, "{both:?}");
        assert!(both.resident_bytes > one.resident_bytes * 3 / 2, "{one:?} {both:?}");
        let error = used(&[own, u32::MAX]).expect_err("there is no such process").to_string();
        assert!(error.contains(&u32::MAX.to_string()), "{error}");
    }

    fn find(listen: &str, post: &str, sources: u32, connections: u32) -> Addresses {
        let target = |url| Target::parse(url).expect("an address");
        let targets = Targets { listen: target(listen), post: target(post) };
        Addresses::find(&targets, sources, connections).expect("it is numbers")
    }

    #[test]
    fn more_connections_than_ports_come_from_several_addresses() {
        let sources = |url, sources, connections| {
            let addresses = find(url, url, sources, connections);
            let used: std::collections::BTreeSet<_> = (0..500).map(|turn| addresses.route(false, turn).1).collect();
            if used.contains(&None) { 0 } else { used.len() }
        };
        assert_eq!(sources("127.0.0.1:80", 0, 4_000), 0);
        assert_eq!(sources("127.0.0.1:80", 0, 4_001), 2);
        assert_eq!(sources("127.0.0.1:80", 5, 10), 5);
        assert_eq!(sources("[::1]:80", 5, 10), 0);
    }

    #[test]
    fn publishers_may_go_elsewhere() {
        let addresses = find("127.0.0.1:80", "[::1]:81", 5, 10);
        assert_eq!(
            addresses.route(false, 7),
            ("127.0.0.1:80".parse().expect("one"), Some("127.0.0.3".parse().expect("one")))
        );
        assert_eq!(addresses.route(true, 7), ("[::1]:81".parse().expect("one"), None));
    }
}
