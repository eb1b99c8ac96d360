//! pushletd's own figures, summed over its cores: no ids, no addresses.

use std::time::{Duration, Instant};

use super::{PullSource, SourceError};
use crate::metrics::Figures;
use crate::shell::embed::{Message, Publisher};

/// The server that this source belongs to.
#[derive(Debug)]
pub(super) struct ServerFigures {
    subject: String,
    every: Duration,
    publisher: Publisher,
    started: Instant,
    /// When it was asked last, and what was published and delivered by then.
    before: Option<(Instant, u64, u64)>,
}

impl ServerFigures {
    /// `started` is when the server started.
    pub(super) fn new(subject: &str, every: Duration, publisher: Publisher, started: Instant) -> Self {
        Self { subject: subject.to_owned(), every, publisher, started, before: None }
    }
}

impl PullSource for ServerFigures {
    fn subject(&self) -> &str {
        &self.subject
    }

    fn interval(&self) -> Duration {
        self.every
    }

    fn pull(&mut self) -> Result<Vec<Message>, SourceError> {
        let (cores, now) = (self.publisher.figures(), Instant::now());
        let sum = |figure: fn(&Figures) -> u64| cores.iter().map(figure).fold(0, u64::saturating_add);
        let (published, delivered) = (sum(|core| core.counters.published), sum(|core| core.counters.delivered));
        let (then, published_then, delivered_then) = self.before.unwrap_or((self.started, 0, 0));
        let past = now.saturating_duration_since(then);
        let message = Message::new(&self.subject)?
            .field("sessions", sum(|core| core.sessions))?
            .field("listening", sum(|core| core.listening))?
            .field("subscriptions", sum(|core| core.subscriptions))?
            .field("connections", sum(|core| core.connections))?
            .field("published", published)?
            .field("delivered", delivered)?
            .field("lost", sum(|core| core.counters.lost))?
            .field("requests", sum(|core| core.counters.requests))?
            .field("published_per_s", rate(published.saturating_sub(published_then), past))?
            .field("delivered_per_s", rate(delivered.saturating_sub(delivered_then), past))?
            .field("cores", cores.len())?
            .field("uptime_s", now.saturating_duration_since(self.started).as_secs())?
            .field("version", env!("CARGO_PKG_VERSION"))?;
        self.before = Some((now, published, delivered));
        Ok(vec![message])
    }
}

/// So many in a second, one decimal.
fn rate(count: u64, past: Duration) -> String {
    let tenths = u128::from(count) * 10_000 / past.as_millis().max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_for_a_second() {
        assert_eq!(rate(0, Duration::ZERO), "0.0");
        assert_eq!(rate(3, Duration::from_secs(2)), "1.5");
        assert_eq!(rate(1, Duration::from_millis(100)), "10.0");
        assert_eq!(rate(u64::MAX, Duration::ZERO), "18446744073709551615000.0");
    }
}
