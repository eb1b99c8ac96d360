//! The counts as text, for the admin port.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Counters;
use crate::protocol::EndReason;

/// What one core has and has counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// What it has counted.
    pub counters: Counters,
    /// Open connections.
    pub connections: u64,
    /// Living sessions.
    pub sessions: u64,
    /// Sessions with an open data answer.
    pub listening: u64,
    /// Subscriptions in the trie.
    pub subscriptions: u64,
}

/// The figures of one core as an `OpenMetrics` text (what Prometheus reads).
#[must_use]
pub fn render(figures: &Figures) -> String {
    let mut registry = prometheus_client::registry::Registry::with_prefix("pushletd");
    registry.register_collector(Box::new(Snapshot(figures.clone())));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        Err(_) => String::from("# EOF\n"),
    }
}

#[derive(Debug)]
struct Snapshot(Figures);

impl prometheus_client::collector::Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Figures { counters, .. } = &self.0;
        for (name, help, value) in self.gauges() {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in totals(counters) {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut ended = encoder.encode_descriptor("sessions_ended", "Sessions ended, by reason", None, kind)?;
        for (reason, count) in EndReason::ALL.into_iter().zip(counters.ended) {
            let labels = [("reason", reason.word())];
            ConstCounter::new(count).encode(ended.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Snapshot {
    fn gauges(&self) -> [(&'static str, &'static str, u64); 4] {
        let Figures { connections, sessions, listening, subscriptions, .. } = &self.0;
        [
            ("connections", "Open connections", *connections),
            ("sessions", "Living sessions", *sessions),
            ("sessions_listening", "Sessions with an open data answer", *listening),
            ("subscriptions", "Subscriptions in the trie", *subscriptions),
        ]
    }
}

fn totals(counters: &Counters) -> [(&'static str, &'static str, u64); 16] {
    [
        ("connections_accepted", "Connections accepted", counters.connections_accepted),
        ("connections_refused", "Connections refused because the server is full", counters.connections_refused),
        ("connections_timed_out", "Connections that ran into a deadline", counters.connections_timed_out),
        ("requests", "HTTP requests read whole", counters.requests),
        ("requests_refused", "HTTP requests refused for their form", counters.requests_refused),
        ("joins", "Sessions begun", counters.joins),
        ("joins_refused", "Joins refused because the server is full or shuts down", counters.joins_refused),
        ("nacks", "Requests answered with a nack", counters.nacks),
        ("ids_unknown", "Requests for a session that does not exist", counters.ids_unknown),
        ("published", "Events accepted from publishers", counters.published),
        ("delivered", "Copies of events queued for sessions", counters.delivered),
        ("unicast_dropped", "Unicast events without a listening target", counters.unicast_dropped),
        ("lost", "Queued copies that were not delivered", counters.lost),
        ("names_dropped", "Field names that a format cannot express", counters.names_dropped),
        ("writes", "Writes to data channels", counters.writes),
        ("bytes_written", "Bytes written to data channels", counters.bytes_written),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_printed_once() {
        let mut figures = Figures { connections: 3, ..Figures::default() };
        figures.counters.published = 41;
        figures.counters.count_end(EndReason::NotAlive);
        let text = render(&figures);
        for line in [
            "pushletd_connections 3",
            "pushletd_published_total 41",
            "pushletd_sessions_ended_total{reason=\"not-alive\"} 1",
            "pushletd_sessions_ended_total{reason=\"shutdown\"} 0",
        ] {
            assert_eq!(text.lines().filter(|known| *known == line).count(), 1, "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
