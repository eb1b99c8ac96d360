//! The figures as text, for the admin port.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::turns::TURN_CLASSES;
use super::{Figures, SourceFigures, TURN_BOUNDS_US, TurnTimes};
use crate::protocol::EndReason;

/// The whole process at one moment: what it runs on, and the figures of each core, by number from 0.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    /// Name of the I/O driver.
    pub driver: &'a str,
    /// What each core has and has counted.
    pub cores: Vec<Figures>,
    /// What each source of events has counted, in order of their names.
    pub sources: Vec<SourceFigures>,
}

/// The figures of a node as an `OpenMetrics` text (what Prometheus reads): sums over all cores, and some figures of each core with the label
/// `core`.
#[must_use]
pub fn render(node: &Node<'_>) -> String {
    let mut registry = Registry::with_prefix("pushletd");
    registry.register_collector(Box::new(Snapshot {
        driver: node.driver.to_owned(),
        cores: node.cores.clone(),
        sources: node.sources.clone(),
    }));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        Err(_) => String::from("# EOF\n"),
    }
}

/// A name, what it means, and the figure of one core.
type Metric = (&'static str, &'static str, fn(&Figures) -> u64);

const GAUGES: [Metric; 4] = [
    ("connections", "Open connections, those of the admin port included", |core| core.connections),
    ("sessions", "Living sessions", |core| core.sessions),
    ("sessions_listening", "Sessions with an open data answer", |core| core.listening),
    ("subscriptions", "Subscriptions in the trie", |core| core.subscriptions),
];

const COUNTERS: [Metric; 24] = [
    ("connections_accepted", "Connections accepted", |core| core.counters.connections_accepted),
    ("connections_refused", "Connections refused because the server is full or stops", |core| {
        core.counters.connections_refused
    }),
    ("connections_timed_out", "Connections that ran into a deadline", |core| core.counters.connections_timed_out),
    ("requests", "HTTP requests read whole", |core| core.counters.requests),
    ("requests_refused", "HTTP requests answered with 4xx or 5xx", |core| core.counters.requests_refused),
    ("joins", "Sessions begun", |core| core.counters.joins),
    ("joins_refused", "Joins refused because the server is full or shuts down", |core| core.counters.joins_refused),
    ("nacks", "Requests answered with a nack", |core| core.counters.nacks),
    ("ids_unknown", "Requests for a session that does not exist", |core| core.counters.ids_unknown),
    ("published", "Events accepted from publishers", |core| core.counters.published),
    ("items_refused", "Events of publish requests that were refused", |core| core.counters.items_refused),
    ("denied", "What access rules refused, and requests with unknown keys", |core| core.counters.denied),
    ("delivered", "Copies of events queued for sessions", |core| core.counters.delivered),
    ("unicast_dropped", "Unicast events without a listening target", |core| core.counters.unicast_dropped),
    ("lost", "Queued copies that were not delivered", |core| core.counters.lost),
    ("names_dropped", "Field names that a format cannot express", |core| core.counters.names_dropped),
    ("writes", "Writes to data channels", |core| core.counters.writes),
    ("bytes_written", "Bytes written to data channels", |core| core.counters.bytes_written),
    ("handovers_out", "Connections handed over to another core", |core| core.counters.handovers_out),
    ("handovers_in", "Connections taken over from another core", |core| core.counters.handovers_in),
    ("handovers_failed", "Hand-overs of connections that failed", |core| core.counters.handovers_failed),
    ("forwarded", "Requests forwarded to the core of their session", |core| core.counters.forwarded),
    ("overloaded", "Publishes refused because another core had no room", |core| core.counters.overloaded),
    ("relayed", "Events taken over from other cores", |core| core.counters.relayed),
];

const CORE_GAUGES: [Metric; 6] = [
    ("core_connections", "Open connections of a core", |core| core.connections),
    ("core_sessions", "Living sessions of a core", |core| core.sessions),
    ("core_sessions_listening", "Sessions of a core with an open data answer", |core| core.listening),
    ("core_inbox_depth", "Letters from other cores that wait to be read", |core| core.inbox_depth),
    ("core_letters_waiting", "Letters of a core that wait for room at others", |core| core.letters_waiting),
    ("core_file_table_own", "Whether a core has a file table of its own", |core| core.file_table_own),
];

const CORE_COUNTERS: [Metric; 2] = [
    ("core_published", "Events that a core accepted from publishers", |core| core.counters.published),
    ("core_delivered", "Copies of events that a core queued for its sessions", |core| core.counters.delivered),
];

/// A name, what it means, and the figure of one source.
type SourceMetric = (&'static str, &'static str, fn(&SourceFigures) -> u64);

const SOURCE_COUNTERS: [SourceMetric; 3] = [
    ("source_events", "Events that a source has published", |source| source.events),
    ("source_failures", "What has failed at a source", |source| source.failures),
    ("source_restarts", "How often something of a source was started again", |source| source.restarts),
];

#[derive(Debug)]
struct Snapshot {
    driver: String,
    cores: Vec<Figures>,
    sources: Vec<SourceFigures>,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encoder
            .encode_descriptor("io_driver", "What the event loops wait with", None, MetricType::Info)?
            .encode_info(&[("driver", self.driver.as_str())])?;
        encoder
            .encode_descriptor("cores", "Event loops", None, MetricType::Gauge)?
            .encode_gauge(&(self.cores.len() as u64))?;
        for (name, help, figure) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            family.encode_gauge(&self.sum(figure))?;
        }
        for (name, help, figure) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            count(&mut family, self.sum(figure))?;
        }
        self.encode_ended(&mut encoder)?;
        self.encode_cores(&mut encoder)?;
        self.encode_sources(&mut encoder)
    }
}

impl Snapshot {
    fn sum(&self, figure: impl Fn(&Figures) -> u64) -> u64 {
        self.cores.iter().map(figure).fold(0, u64::saturating_add)
    }

    fn encode_ended(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Sessions ended, by reason";
        let mut family = encoder.encode_descriptor("sessions_ended", help, None, MetricType::Counter)?;
        for (at, reason) in EndReason::ALL.into_iter().enumerate() {
            let labels = [("reason", reason.word())];
            count(&mut family.encode_family(&labels)?, self.sum(|core| core.counters.ended[at]))?;
        }
        Ok(())
    }

    fn encode_sources(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "source_active",
            "Whether a source of events works or sleeps",
            None,
            MetricType::Gauge,
        )?;
        for source in &self.sources {
            family.encode_family(&[("source", source.name.as_str())])?.encode_gauge(&u64::from(source.active))?;
        }
        for (name, help, figure) in SOURCE_COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for source in &self.sources {
                count(&mut family.encode_family(&[("source", source.name.as_str())])?, figure(source))?;
            }
        }
        Ok(())
    }

    fn encode_cores(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, figure) in CORE_GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (number, core) in self.cores.iter().enumerate() {
                family.encode_family(&[("core", number)])?.encode_gauge(&figure(core))?;
            }
        }
        for (name, help, figure) in CORE_COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (number, core) in self.cores.iter().enumerate() {
                count(&mut family.encode_family(&[("core", number)])?, figure(core))?;
            }
        }
        let (help, unit) = ("How long the turns of a core took", Some(&Unit::Seconds));
        let mut family = encoder.encode_descriptor("core_turn", help, unit, MetricType::Histogram)?;
        for (number, core) in self.cores.iter().enumerate() {
            histogram(&mut family.encode_family(&[("core", number)])?, &core.turns)?;
        }
        Ok(())
    }
}

fn count(series: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    series.encode_counter(&value, None::<&Exemplar<NoLabelSet, u64>>)
}

fn histogram(series: &mut MetricEncoder<'_>, turns: &TurnTimes) -> fmt::Result {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let bounds = TURN_BOUNDS_US.into_iter().map(seconds).chain([f64::INFINITY]);
    let mut buckets = [(0.0, 0); TURN_CLASSES];
    for (bucket, class) in buckets.iter_mut().zip(bounds.zip(turns.counts)) {
        *bucket = class;
    }
    series.encode_histogram::<NoLabelSet>(seconds(turns.sum_us()), turns.count(), &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::super::board::{FIGURES, with_one};
    use super::*;

    fn node(cores: Vec<Figures>) -> String {
        render(&Node { driver: "epoll", cores, sources: Vec::new() })
    }

    #[test]
    fn sources_are_told_apart_by_name() {
        let source = |name: &str, first: u64, active| SourceFigures {
            name: name.to_owned(),
            events: first,
            failures: first + 1,
            restarts: first + 2,
            active,
        };
        let sources = vec![source("demo/a", 5, true), source("b", 50, false)];
        let text = render(&Node { driver: "epoll", cores: Vec::new(), sources });
        assert_lines(
            &text,
            &[
                "pushletd_source_active{source=\"demo/a\"} 1",
                "pushletd_source_active{source=\"b\"} 0",
                "pushletd_source_events_total{source=\"demo/a\"} 5",
                "pushletd_source_failures_total{source=\"demo/a\"} 6",
                "pushletd_source_restarts_total{source=\"b\"} 52",
            ],
        );
    }

    #[track_caller]
    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            assert_eq!(text.lines().filter(|known| known == line).count(), 1, "{line}\n{text}");
        }
    }

    #[test]
    fn every_count_is_printed_once() {
        let mut figures = Figures { connections: 3, ..Figures::default() };
        figures.counters.published = 41;
        figures.counters.count_end(EndReason::NotAlive);
        let text = node(vec![figures]);
        assert_lines(
            &text,
            &[
                "pushletd_io_driver_info{driver=\"epoll\"} 1",
                "pushletd_cores 1",
                "pushletd_connections 3",
                "pushletd_published_total 41",
                "pushletd_sessions_ended_total{reason=\"not-alive\"} 1",
                "pushletd_sessions_ended_total{reason=\"shutdown\"} 0",
            ],
        );
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn no_figure_is_forgotten() {
        let zero = node(vec![Figures::default()]);
        for number in 0..FIGURES {
            let figures = with_one(number, 77);
            assert_ne!(node(vec![figures.clone()]), zero, "this figure is not printed: {figures:?}");
        }
    }

    #[test]
    fn cores_are_added_up_and_told_apart() {
        let core = |connections, delivered, depth| {
            let mut figures = Figures { connections, inbox_depth: depth, ..Figures::default() };
            figures.counters.delivered = delivered;
            figures.counters.count_end(EndReason::Leave);
            figures
        };
        let text = node(vec![core(1, 10, 0), core(2, 20, 7), core(4, u64::MAX - 5, 0)]);
        assert_lines(
            &text,
            &[
                "pushletd_cores 3",
                "pushletd_connections 7",
                "pushletd_core_connections{core=\"0\"} 1",
                "pushletd_core_connections{core=\"2\"} 4",
                "pushletd_delivered_total 18446744073709551615",
                "pushletd_core_delivered_total{core=\"1\"} 20",
                "pushletd_core_inbox_depth{core=\"1\"} 7",
                "pushletd_sessions_ended_total{reason=\"leave\"} 3",
            ],
        );
    }

    #[test]
    fn turns_are_a_histogram_of_each_core() {
        let (idle, mut busy) = (Figures::default(), Figures::default());
        for micros in [10, 50, 51, 3_000, 200_000] {
            busy.turns.record(micros);
        }
        assert_lines(
            &node(vec![idle, busy]),
            &[
                "# TYPE pushletd_core_turn_seconds histogram",
                "# UNIT pushletd_core_turn_seconds seconds",
                "pushletd_core_turn_seconds_count{core=\"0\"} 0",
                "pushletd_core_turn_seconds_count{core=\"1\"} 5",
                "pushletd_core_turn_seconds_sum{core=\"1\"} 0.203111",
                "pushletd_core_turn_seconds_bucket{le=\"0.0001\",core=\"1\"} 3",
                "pushletd_core_turn_seconds_bucket{le=\"0.005\",core=\"1\"} 4",
                "pushletd_core_turn_seconds_bucket{le=\"0.1\",core=\"1\"} 4",
                "pushletd_core_turn_seconds_bucket{le=\"+Inf\",core=\"1\"} 5",
            ],
        );
    }
}
