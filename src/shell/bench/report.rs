//! What a run came to, as a table for people and as one JSON object for machines.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::run::{Outcome, Sample};
use super::shared::Count;
use super::times::Times;

/// The percentiles that are printed.
const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

/// One figure: its name in JSON, how the table calls it, and the value.
type Figure = (String, &'static str, Value);

impl Outcome {
    /// Whether everything that had to arrive did, once and in order, and nothing broke.
    pub(super) fn is_good(&self) -> bool {
        let faults = [
            Count::Lost,
            Count::Repeated,
            Count::OutOfOrder,
            Count::RefusedButDelivered,
            Count::Foreign,
            Count::Broken,
            Count::Garbled,
        ];
        faults.into_iter().all(|count| self.sums.get(count) == 0)
    }

    /// Every figure, in the order of the table. A heading is a figure without a value.
    fn figures(&self) -> Vec<Figure> {
        let mut all = vec![
            ("scenario".to_owned(), "scenario", json!(self.args.scenario.name())),
            ("mode".to_owned(), "mode", json!(self.args.mode.name())),
            ("format".to_owned(), "format", json!(self.args.format.name())),
            ("threads".to_owned(), "threads", json!(self.args.threads)),
            ("payload_bytes".to_owned(), "payload, bytes", json!(self.args.payload_bytes)),
            ("stopped_early".to_owned(), "stopped early", json!(self.stopped)),
        ];
        self.sessions(&mut all);
        self.events(&mut all);
        times(&self.deliveries, "delivery", "delivery", &mut all);
        times(&self.answers, "ack", "ack", &mut all);
        self.machine(&mut all);
        all.push(("good".to_owned(), "good", json!(self.is_good())));
        all
    }

    fn counted(&self, counts: &[(&'static str, &'static str, Count)], all: &mut Vec<Figure>) {
        all.extend(
            counts.iter().map(|(name, title, count)| ((*name).to_owned(), *title, json!(self.sums.get(*count)))),
        );
    }

    fn sessions(&self, all: &mut Vec<Figure>) {
        heading("sessions", all);
        all.push(("sessions_wanted".to_owned(), "wanted", json!(self.args.sessions)));
        all.push(("sessions_open".to_owned(), "open at the beginning", json!(self.open.sums.get(Count::Opened))));
        all.push(("publishers_open".to_owned(), "publishers", json!(self.open.sums.get(Count::Joined))));
        let opened = self.open.sums.get(Count::Opened) as f64;
        all.push(("open_seconds".to_owned(), "opening, seconds", number(self.opening_ns as f64 / 1e9)));
        all.push(("opens_per_second".to_owned(), "opened a second", number(per(opened, self.opening_ns as f64 / 1e9))));
        self.counted(
            &[
                ("opens_total", "opened in all", Count::Opened),
                ("opens_failed", "could not be opened", Count::OpenFailed),
                ("opens_retried", "tried again", Count::Retried),
                ("opens_turned_away", "answered 503", Count::TurnedAway),
                ("sessions_churned", "came and went", Count::Churned),
                ("refresh_cycles", "refresh cycles", Count::Cycles),
                ("sessions_aborted", "ended by abort", Count::Aborted),
                ("connections_broken", "broken", Count::Broken),
                ("answers_garbled", "answers not understood", Count::Garbled),
            ],
            all,
        );
        let (churned, seconds) = (self.measured(Count::Churned), self.seconds());
        all.push(("churn_per_second".to_owned(), "came and went a second", number(per(churned, seconds))));
    }

    fn events(&self, all: &mut Vec<Figure>) {
        heading("events", all);
        all.push(("measured_seconds".to_owned(), "measured, seconds", number(self.seconds())));
        self.counted(
            &[
                ("events_sent", "published", Count::Sent),
                ("events_accepted", "accepted", Count::Accepted),
                ("events_refused", "refused", Count::Refused),
                ("events_unanswered", "without an answer", Count::Unanswered),
                ("events_unsent", "due and not published", Count::Unsent),
            ],
            all,
        );
        let lost = self.sums.get(Count::Lost) + self.sums.get(Count::ToldMissing) + self.sums.get(Count::MissedByAbort);
        heading("deliveries", all);
        let expected = self.sums.get(Count::Delivered) + lost;
        all.push(("deliveries_expected".to_owned(), "expected", json!(expected)));
        self.counted(
            &[
                ("deliveries", "arrived", Count::Delivered),
                ("lost", "lost in silence", Count::Lost),
                ("repeated", "repeated", Count::Repeated),
                ("out_of_order", "out of order", Count::OutOfOrder),
                ("refused_but_delivered", "refused but delivered", Count::RefusedButDelivered),
                ("foreign", "not ours", Count::Foreign),
                ("told_missing", "told missing (p_lost)", Count::ToldMissing),
                ("missed_by_abort", "missed after abort", Count::MissedByAbort),
                ("received_bytes", "bytes received", Count::Received),
            ],
            all,
        );
        let seconds = self.seconds();
        let rates = [
            ("events_per_second", "events a second", Count::Accepted),
            ("deliveries_per_second", "deliveries a second", Count::Delivered),
        ];
        all.extend(
            rates.map(|(name, title, count)| (name.to_owned(), title, number(per(self.measured(count), seconds)))),
        );
        let (bytes, deliveries) = (self.measured(Count::Received), self.measured(Count::Delivered));
        all.push(("bytes_per_delivery".to_owned(), "bytes a delivery", number(per(bytes, deliveries))));
    }

    fn machine(&self, all: &mut Vec<Figure>) {
        let millions = self.measured(Count::Delivered) / 1e6;
        heading("generator", all);
        let cpu = self.end.own.cpu_s - self.begin.own.cpu_s;
        all.push(("generator_cpu_seconds".to_owned(), "CPU, seconds", number(cpu)));
        all.push(("generator_cpu_us_per_delivery".to_owned(), "CPU, us a delivery", number(per(cpu, millions))));
        let server = |sample: &Sample| sample.server.clone();
        let (Some(before), Some(open), Some(begin), Some(end)) =
            (server(&self.before), server(&self.open), server(&self.begin), server(&self.end))
        else {
            return;
        };
        heading("server", all);
        let cpu = end.cpu_s - begin.cpu_s;
        all.push(("server_cpu_seconds".to_owned(), "CPU, seconds", number(cpu)));
        all.push(("server_user_seconds".to_owned(), "of it user", number(end.user_s - begin.user_s)));
        all.push(("server_system_seconds".to_owned(), "of it system", number(end.system_s - begin.system_s)));
        all.push(("server_cpu_us_per_delivery".to_owned(), "CPU, us a delivery", number(per(cpu, millions))));
        let threads: Vec<Value> = end
            .threads
            .iter()
            .map(|(thread, seconds)| {
                let earlier =
                    begin.threads.iter().find(|(known, _)| known == thread).map_or(0.0, |(_, earlier)| *earlier);
                number(seconds - earlier)
            })
            .collect();
        all.push(("server_thread_cpu_seconds".to_owned(), "CPU of each thread, seconds", Value::Array(threads)));
        let opened = (self.open.sums.get(Count::Opened) + self.open.sums.get(Count::Joined)) as f64;
        let grown = open.resident_bytes as f64 - before.resident_bytes as f64;
        all.push(("server_resident_bytes".to_owned(), "memory with all open, bytes", json!(open.resident_bytes)));
        all.push(("server_bytes_per_connection".to_owned(), "memory, bytes a connection", number(per(grown, opened))));
        all.push(("server_end_resident_bytes".to_owned(), "memory at the end, bytes", json!(end.resident_bytes)));
        all.push(("server_descriptors".to_owned(), "descriptors with all open", json!(self.server_descriptors)));
    }

    /// How long was measured, in seconds.
    fn seconds(&self) -> f64 {
        self.end.ns.saturating_sub(self.begin.ns) as f64 / 1e9
    }

    /// How much a count has grown during the measurement.
    fn measured(&self, count: Count) -> f64 {
        self.end.sums.get(count).saturating_sub(self.begin.sums.get(count)) as f64
    }

    /// One JSON object on one line.
    pub(super) fn json(&self) -> String {
        let figures = self.figures().into_iter().filter(|(name, _, _)| !name.is_empty());
        Value::Object(figures.map(|(name, _, value)| (name, value)).collect::<Map<_, _>>()).to_string()
    }

    /// A table.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        for (name, title, value) in self.figures() {
            let shown = match value {
                Value::String(text) => text,
                Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
                Value::Bool(yes) => if yes { "yes" } else { "no" }.to_owned(),
                value => value.to_string(),
            };
            // Writing to a string cannot fail.
            let _ =
                if name.is_empty() { writeln!(text, "\n{title}") } else { writeln!(text, "  {title:<28} {shown:>14}") };
        }
        text
    }
}

fn heading(title: &'static str, all: &mut Vec<Figure>) {
    all.push((String::new(), title, Value::Null));
}

fn times(times: &Times, name: &str, title: &'static str, all: &mut Vec<Figure>) {
    const TITLES: [&str; 4] = ["50 %", "90 %", "99 %", "99.9 %"];
    heading(if title == "delivery" { "time from due to delivered, us" } else { "time from due to acked, us" }, all);
    all.push((format!("{name}_count"), "measured", json!(times.count())));
    all.push((format!("{name}_us_mean"), "mean", number(times.mean_us())));
    all.extend(
        SHARES
            .iter()
            .zip(TITLES)
            .map(|((word, share), title)| (format!("{name}_us_{word}"), title, number(times.us(*share)))),
    );
    all.push((format!("{name}_us_max"), "longest", number(times.max_us())));
}

fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

/// A number with three decimals.
fn number(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}
