//! A program with pushletd inside and a source of events: prices that walk at random, for as long as anyone listens.
//!
//! Run it by `cargo run --example ticker`, and listen by `pushletd sub http://127.0.0.1:8080/ /ticker`. Whenever it is asked for prices it says
//! so, so that one sees it sleep. It ends on Enter or at the end of its input.

use std::error::Error;
use std::io::{BufRead, stdin};
use std::time::Duration;

use pushletd::config::{self, Inputs};
use pushletd::{Message, PullSource, Server, SourceError};

/// Invented prices of invented things, in cents.
struct Ticker {
    prices: [(&'static str, u64); 3],
    random: u64,
    asked: u64,
}

impl Ticker {
    /// xorshift: numbers that look random, and nothing more.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl PullSource for Ticker {
    fn subject(&self) -> &str {
        "/ticker"
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn pull(&mut self) -> Result<Vec<Message>, SourceError> {
        self.asked += 1;
        println!("asked {}", self.asked);
        let mut messages = Vec::new();
        for at in 0..self.prices.len() {
            let step = self.random() % 201;
            let (name, price) = &mut self.prices[at];
            *price = (*price + step).saturating_sub(100).clamp(100, 99_999);
            let shown = format!("{}.{:02}", *price / 100, *price % 100);
            messages.push(Message::new(&format!("/ticker/{name}"))?.field("name", *name)?.field("price", shown)?);
        }
        Ok(messages)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| String::from("127.0.0.1:8080"));
    let flags = [("listen", address.as_str()), ("admin", "off"), ("demo", "off")];
    let flags = flags.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let config =
        config::load(&Inputs { flags: flags.into(), ..Inputs::default() }).map_err(|errors| errors[0].clone())?;
    let server = Server::start(&config)?;
    let prices = [("apples", 250), ("bread", 420), ("candles", 1_999)];
    server.add_pull_source(Ticker { prices, random: 0x9e37_79b9_7f4a_7c15, asked: 0 })?;
    println!("listening on http://{}/", server.address());
    stdin().lock().read_line(&mut String::new())?;
    server.stop()?;
    Ok(())
}
