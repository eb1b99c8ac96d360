//! Load, memory and CPU of the machine, from `/proc`.

use std::fs;
use std::time::Duration;

use super::{PullSource, SourceError};
use crate::shell::embed::Message;

/// The machine.
#[derive(Debug)]
pub(super) struct System {
    subject: String,
    every: Duration,
    /// CPU time as of the last event: busy, and all of it.
    before: (u64, u64),
}

impl System {
    pub(super) fn new(subject: &str, every: Duration) -> Self {
        Self { subject: subject.to_owned(), every, before: (0, 0) }
    }
}

impl PullSource for System {
    fn subject(&self) -> &str {
        &self.subject
    }

    fn interval(&self) -> Duration {
        self.every
    }

    fn pull(&mut self) -> Result<Vec<Message>, SourceError> {
        let read = |path: &str| {
            fs::read_to_string(path).map_err(|error| SourceError::new(format_args!("{path} cannot be read: {error}")))
        };
        let loads = read("/proc/loadavg")?;
        let mut loads = loads.split_ascii_whitespace();
        let mut load = || loads.next().unwrap_or("0");
        let (load1, load5, load15) = (load(), load(), load());
        let stat = read("/proc/stat")?;
        let (busy, all) = cpu_times(&stat);
        let percent = percent(busy.saturating_sub(self.before.0), all.saturating_sub(self.before.1));
        self.before = (busy, all);
        let memory = read("/proc/meminfo")?;
        let (total, available) = (kib(&memory, "MemTotal:"), kib(&memory, "MemAvailable:"));
        let uptime = read("/proc/uptime")?;
        let message = Message::new(&self.subject)?
            .field("load1", load1)?
            .field("load5", load5)?
            .field("load15", load15)?
            .field("cpu_percent", percent)?
            .field("cpus", cpus(&stat))?
            .field("mem_total_kib", total)?
            .field("mem_available_kib", available)?
            .field("mem_used_percent", self::percent(total.saturating_sub(available), total))?
            .field("uptime_s", uptime.split('.').next().unwrap_or("0"))?;
        Ok(vec![message])
    }
}

/// One decimal; nothing of nothing is `0.0`.
fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1_000 / u128::from(whole.max(1));
    let tenths = tenths.min(1_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Busy time and all time of all CPUs: the line `cpu user nice system idle iowait irq softirq steal ...`. What comes behind is counted in user
/// and nice already.
fn cpu_times(stat: &str) -> (u64, u64) {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let times: Vec<u64> = line.split_ascii_whitespace().take(8).map(|time| time.parse().unwrap_or(0)).collect();
    let all = times.iter().fold(0_u64, |sum, time| sum.saturating_add(*time));
    let idle = times.iter().skip(3).take(2).fold(0_u64, |sum, time| sum.saturating_add(*time));
    (all.saturating_sub(idle), all)
}

fn cpus(stat: &str) -> usize {
    stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count()
}

fn kib(memory: &str, name: &str) -> u64 {
    let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let stat =
            "cpu  100 10 40 800 50 0 0 0 7 7\ncpu0 50 5 20 400 25 0 0 0 0 0\ncpu1 50 5 20 400 25 0 0 0 0 0\nintr 5\n";
        assert_eq!((cpu_times(stat), cpus(stat)), ((150, 1_000), 2));
        assert_eq!(cpu_times("nothing"), (0, 0));
        let memory = "MemTotal:       16000 kB\nMemFree: 5 kB\nMemAvailable:    4000 kB\n";
        assert_eq!((kib(memory, "MemTotal:"), kib(memory, "MemAvailable:"), kib(memory, "Nope:")), (16_000, 4_000, 0));
        assert_eq!([percent(0, 0), percent(1, 3), percent(5, 5), percent(9, 5)], ["0.0", "33.3", "100.0", "100.0"]);
    }

    #[test]
    fn this_machine_has_all_fields() {
        let mut system = System::new("/s", Duration::from_secs(1));
        for _ in 0..2 {
            let messages = system.pull().expect("Linux has /proc");
            assert_eq!((messages.len(), messages[0].subject()), (1, "/s"));
        }
        assert!(system.before.1 > 0, "there was CPU time");
    }
}
