//! What a pair came to, for people and for programs.

use serde_json::{Value, json};

use super::statistics::{Interval, median_interval};
use super::words::{Door, PairWords, SideWords, Who};

/// One round at one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// Processor time for each delivery, in microseconds.
    pub(crate) cpu_us: f64,
    /// Bytes of a delivery, framing included.
    pub(crate) bytes: f64,
    /// From the first publish to the last arrival, in milliseconds.
    pub(crate) elapsed_ms: f64,
}

/// One round at both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) number: u32,
    pub(crate) one: Figures,
    pub(crate) other: Figures,
}

impl Turn {
    fn ratio(&self) -> f64 {
        self.one.cpu_us / self.other.cpu_us
    }

    /// A line about it.
    pub(crate) fn line(&self, words: &PairWords) -> String {
        let Self { number, one, other } = self;
        format!(
            "round {number}: {} {:.3} us, {} {:.3} us a delivery, ratio {:.3}; {:.1} and {:.1} bytes; {:.1} and {:.1} ms",
            words.one.name,
            one.cpu_us,
            words.other.name,
            other.cpu_us,
            self.ratio(),
            one.bytes,
            other.bytes,
            one.elapsed_ms,
            other.elapsed_ms,
        )
    }
}

/// All rounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) turns: Vec<Turn>,
    /// Every event came to everyone, once and in order.
    pub(crate) good: bool,
}

impl Outcome {
    fn interval(&self, value: impl FnMut(&Turn) -> f64) -> Option<Interval> {
        median_interval(&self.turns.iter().map(value).collect::<Vec<f64>>())
    }

    /// The last line.
    pub(crate) fn line(&self, words: &PairWords) -> String {
        let intervals = [
            self.interval(|turn| turn.one.cpu_us),
            self.interval(|turn| turn.other.cpu_us),
            self.interval(Turn::ratio),
        ];
        let [Some(one), Some(other), Some(ratio)] = intervals else { return "no rounds".to_owned() };
        format!(
            "median: {} {:.3} us, {} {:.3} us CPU a delivery; ratio {:.3}, 95 % interval {:.3} to {:.3}",
            words.one.name, one.median, words.other.name, other.median, ratio.median, ratio.low, ratio.high
        )
    }

    /// All of it.
    pub(crate) fn json(&self, words: &PairWords) -> Value {
        let interval = |interval: Option<Interval>| {
            interval.map(|Interval { median, low, high }| json!({ "median": median, "low": low, "high": high }))
        };
        let side = |words: &SideWords, figures: fn(&Turn) -> Figures| {
            let mut side = described(words);
            side["cpu_us_per_delivery"] = json!(interval(self.interval(|turn| figures(turn).cpu_us)));
            side["bytes_per_delivery"] = json!(self.interval(|turn| figures(turn).bytes).map(|bytes| bytes.median));
            side["round_ms"] = json!(interval(self.interval(|turn| figures(turn).elapsed_ms)));
            side
        };
        let figures = |figures: Figures| json!({ "cpu_us_per_delivery": figures.cpu_us, "bytes_per_delivery": figures.bytes, "round_ms": figures.elapsed_ms });
        let round =
            |turn: &Turn| json!({ "one": figures(turn.one), "other": figures(turn.other), "ratio": turn.ratio() });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
            "load": words.load.join(" "),
            "sessions": words.sessions,
            "subjects": words.subjects,
            "events": words.events,
            "one": side(&words.one, |turn| turn.one),
            "other": side(&words.other, |turn| turn.other),
            "ratio": interval(self.interval(Turn::ratio)),
            "rounds": self.turns.iter().map(round).collect::<Vec<Value>>(),
            "good": self.good,
        })
    }
}

/// Who a side is.
fn described(side: &SideWords) -> Value {
    match &side.who {
        Who::Floor(way) => json!({ "name": side.name, "floor": way.name() }),
        Who::Server { url, pids, door } => {
            let Door { dialect, publish_url, transport, format, publish } = door;
            let programs =
                pids.iter().map(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default());
            let programs: Vec<String> = programs.map(|name| name.trim().to_owned()).collect();
            json!({
                "name": side.name,
                "url": url,
                "pids": pids,
                "programs": programs,
                "dialect": dialect.as_deref().unwrap_or("pushlet"),
                "publish_url": publish_url,
                "transport": transport,
                "format": format,
                "publish": publish,
            })
        }
    }
}
