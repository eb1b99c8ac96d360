//! What a run came to, as a table for people and as one JSON object for machines.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::options::{Completion, Scenario};
use super::run::{Outcome, Sample};
use super::server::Usage;
use super::shared::Count;
use super::times::Times;

/// The percentiles that are printed.
const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

/// The title of a figure that the table leaves out, because it means nothing in this run.
const UNSHOWN: &str = "";

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
        faults.into_iter().all(|count| self.sums.get(count) == 0) && !self.gone && self.unopened() == 0
    }

    /// Openings that failed and should not have. In the churn a server may turn somebody away; the mixed scenario has a churn behind the
    /// beginning.
    fn unopened(&self) -> u64 {
        match self.args.scenario {
            Scenario::Churn => 0,
            Scenario::Mixed => self.open.sums.get(Count::OpenFailed),
            _ => self.sums.get(Count::OpenFailed),
        }
    }

    /// What the user should know beside the figures.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut all = Vec::new();
        let unopened = self.unopened();
        if unopened > 0 {
            let cause = self.opening_fault.as_deref().unwrap_or("the cause is not known");
            all.push(format!("{unopened} of those wanted could not be opened; the first one: {cause}"));
        }
        let (late, delivery) = (self.sends.us(0.99), self.deliveries.us(0.99));
        if self.args.rate > 0.0 && self.deliveries.count() > 0 && late > delivery / 2.0 {
            all.push(format!(
                "the generator is the bottleneck: events went out {late:.0} us after they were due (99 %), of {delivery:.0} us to their \
                 delivery; take more --publishers, --pipeline or --threads, or a lower --rate"
            ));
        }
        all
    }

    /// Every figure, in the order of the table. A heading is a figure without a value.
    fn figures(&self) -> Vec<Figure> {
        let complete = match self.args.completion {
            Completion::Acked => "acked",
            Completion::Delivered => "delivered",
        };
        let is_ours = self.args.dialect.is_pushlet();
        let ours = |word: &str| if is_ours { json!(word) } else { Value::Null };
        let door = |title| if is_ours { title } else { UNSHOWN };
        let mut all = vec![
            ("version".to_owned(), "version", json!(env!("CARGO_PKG_VERSION"))),
            ("url".to_owned(), "url", json!(self.args.url)),
            ("scenario".to_owned(), "scenario", json!(self.args.scenario.name())),
            (
                "publish_url".to_owned(),
                if self.args.publish_url.is_some() { "published at" } else { UNSHOWN },
                json!(self.args.publish_url),
            ),
            ("dialect".to_owned(), "dialect", json!(self.args.dialect.name())),
            ("transport".to_owned(), door("transport"), ours(self.args.transport.name())),
            ("publish".to_owned(), door("published by"), ours(self.args.posting.name())),
            ("format".to_owned(), door("format"), ours(self.args.format.name())),
            ("threads".to_owned(), "threads", json!(self.args.threads)),
            ("payload_bytes".to_owned(), "payload, bytes", json!(self.args.payload_bytes)),
            ("subjects".to_owned(), "subjects", json!(self.args.subjects)),
            ("rate".to_owned(), "events a second wanted", json!(self.args.rate)),
            ("pipeline".to_owned(), "pipeline", json!(self.args.pipeline)),
            ("in_flight".to_owned(), "in flight", json!(self.args.in_flight)),
            ("complete".to_owned(), "a publish is over when", json!(complete)),
            ("warmup".to_owned(), "warm-up, seconds", number(self.args.warmup.as_secs_f64())),
            ("duration".to_owned(), "duration, seconds", number(self.args.duration.as_secs_f64())),
            ("stopped_early".to_owned(), "stopped early", json!(self.stopped)),
            ("server_gone".to_owned(), "the server went away", json!(self.gone)),
        ];
        self.sessions(&mut all);
        self.events(&mut all);
        times(&self.deliveries, "delivery", "delivery", &mut all);
        times(&self.answers, "ack", "ack", &mut all);
        heading("time from due to sent, us", &mut all);
        all.push(("send_late_us_p50".to_owned(), "50 %", number(self.sends.us(0.5))));
        all.push(("send_late_us_p99".to_owned(), "99 %", number(self.sends.us(0.99))));
        all.push(("send_late_us_max".to_owned(), "longest", number(self.sends.max_us())));
        self.machine(&mut all);
        self.server(&mut all);
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
            ],
            all,
        );
        all.push(("events_unsent".to_owned(), "due and not published", json!(self.unsent)));
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
                ("told_missing", "told missing", Count::ToldMissing),
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
    }

    /// What the server used; what is not known, because it ended, is null.
    fn server(&self, all: &mut Vec<Figure>) {
        if self.args.server_pids.is_empty() {
            return;
        }
        heading("server", all);
        let millions = self.measured(Count::Delivered) / 1e6;
        let (begin, end) = (self.begin.server.as_ref(), self.end.server.as_ref());
        let spent = |of: fn(&Usage) -> f64| begin.zip(end).map(|(begin, end)| of(end) - of(begin));
        let cpu = spent(|usage| usage.cpu_s);
        let known = |value: Option<f64>| value.map_or(Value::Null, number);
        let threads = begin.zip(end).map(|(begin, end)| {
            let earlier =
                |thread| begin.threads.iter().find(|(known, _)| *known == thread).map_or(0.0, |(_, cpu)| *cpu);
            end.threads.iter().map(|(thread, seconds)| number(seconds - earlier(*thread))).collect::<Vec<_>>()
        });
        let resident = |sample: &Sample| sample.server.as_ref().map(|usage| usage.resident_bytes);
        let opened = (self.open.sums.get(Count::Opened) + self.open.sums.get(Count::Joined)) as f64;
        let grown = resident(&self.before).zip(resident(&self.open)).map(|(before, open)| open as f64 - before as f64);
        // A server that has worked before takes from what it had.
        let meant = grown.filter(|grown| *grown > 0.0 && opened > 0.0);
        let figures = [
            ("server_cpu_seconds", "CPU, seconds", known(cpu)),
            ("server_user_seconds", "of it user", known(spent(|usage| usage.user_s))),
            ("server_system_seconds", "of it system", known(spent(|usage| usage.system_s))),
            ("server_cpu_us_per_delivery", "CPU, us a delivery", known(cpu.map(|cpu| per(cpu, millions)))),
            ("server_thread_cpu_seconds", "CPU of each thread, seconds", json!(threads)),
            ("server_resident_bytes", "memory with all open, bytes", json!(resident(&self.open))),
            ("server_bytes_per_connection", "memory, bytes a connection", known(meant.map(|grown| per(grown, opened)))),
            ("server_end_resident_bytes", "memory at the end, bytes", json!(resident(&self.end))),
            ("server_descriptors", "descriptors with all open", json!(self.server_descriptors)),
        ];
        all.extend(figures.map(|(name, title, value)| (name.to_owned(), title, value)));
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
        for (name, title, value) in self.figures().into_iter().filter(|(_, title, _)| *title != UNSHOWN) {
            let shown = match value {
                Value::String(text) => text,
                Value::Array(items) => items.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
                Value::Bool(yes) => if yes { "yes" } else { "no" }.to_owned(),
                Value::Null => "unknown".to_owned(),
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
