//! Prices that are invented, of companies that are invented: something that moves, for the demo pages.

use std::time::Duration;

use super::{PullSource, SourceError};
use crate::shell::embed::Message;

/// Symbol, name, first price in cents, and how often it is traded compared with the others.
const COMPANIES: [(&str, &str, u64, u64); 10] = [
    ("ALDR", "Alder & Finch Timber", 4_210, 60),
    ("BRIK", "Brikworks Toys", 18_990, 120),
    ("CUMU", "Cumulus Kites", 730, 90),
    ("DORY", "Dory Deep Fisheries", 2_655, 60),
    ("EMBR", "Ember Lamp Company", 9_120, 100),
    ("GLYF", "Glyf Typefoundry", 6_475, 80),
    ("HUMM", "Hummingbird Couriers", 31_050, 150),
    ("MOSS", "Moss Garden Robots", 12_340, 140),
    ("PUFF", "Puffin Bakeries", 1_580, 110),
    // Whoever shows prices must cope with one that hardly ever moves.
    ("RARE", "Rare Clocks of Umbria", 88_800, 3),
];

/// See the page. Each pull is one trade; its subject is that of the source, a slash and the symbol.
#[derive(Debug)]
pub(super) struct Stocks {
    subject: String,
    every: Duration,
    random: fastrand::Rng,
    /// The price of each company now, in cents.
    prices: [u64; COMPANIES.len()],
}

impl Stocks {
    pub(super) fn new(subject: &str, every: Duration, seed: u64) -> Self {
        let prices = COMPANIES.map(|(_, _, first, _)| first);
        Self { subject: subject.to_owned(), every, random: fastrand::Rng::with_seed(seed), prices }
    }

    /// Which company is traded next.
    fn choose(&mut self) -> usize {
        let all: u64 = COMPANIES.iter().map(|(.., weight)| weight).sum();
        let mut at = self.random.u64(0..all);
        let found = COMPANIES.iter().position(|(.., weight)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        found.unwrap_or(0)
    }

    /// One step of a random walk: up to 1 % of the price, at least a cent, never out of a fifth to five times the first price.
    fn step(&mut self, company: usize) -> u64 {
        let first = COMPANIES[company].2;
        let now = self.prices[company];
        let most = (now / 100).max(1);
        let step = self.random.u64(0..=most);
        let next = if self.random.bool() { now.saturating_add(step) } else { now.saturating_sub(step) };
        self.prices[company] = next.clamp(first / 5, first * 5);
        self.prices[company]
    }
}

impl PullSource for Stocks {
    fn subject(&self) -> &str {
        &self.subject
    }

    fn interval(&self) -> Duration {
        self.every
    }

    fn pull(&mut self) -> Result<Vec<Message>, SourceError> {
        let company = self.choose();
        let (symbol, name, first, _) = COMPANIES[company];
        let price = self.step(company);
        let message = Message::new(&format!("{}/{symbol}", self.subject))?
            .field("symbol", symbol)?
            .field("name", name)?
            .field("price", format_args!("{}.{:02}", price / 100, price % 100))?
            .field("change", change(first, price))?;
        Ok(vec![message])
    }
}

/// Percent since the first price, with its sign.
fn change(first: u64, now: u64) -> String {
    let (sign, apart) = if now < first { ('-', first - now) } else { ('+', now - first) };
    let hundredths = apart * 10_000 / first.max(1);
    format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_walk_within_their_bounds_and_one_hardly_ever() {
        let mut stocks = Stocks::new("/s", Duration::from_millis(100), 7);
        let mut trades = [0_u32; COMPANIES.len()];
        for _ in 0..20_000 {
            let company = stocks.choose();
            trades[company] += 1;
            let (before, now) = (stocks.prices[company], stocks.step(company));
            let first = COMPANIES[company].2;
            assert!((first / 5..=first * 5).contains(&now));
            assert!(before.abs_diff(now) <= (before / 100).max(1));
        }
        assert!(trades.iter().all(|count| *count > 0), "{trades:?}");
        assert!(trades[9] * 10 < *trades.iter().take(9).min().expect("nine"), "{trades:?}");
    }

    #[test]
    fn changes_are_told_in_percent() {
        assert_eq!([change(100, 100), change(100, 99), change(100, 250)], ["+0.00", "-1.00", "+150.00"]);
        let messages = Stocks::new("/s", Duration::ZERO, 1).pull().expect("a trade");
        assert!(messages[0].subject().starts_with("/s/"));
    }
}
