//! What a server answers to a GET, every so often.

use std::time::Duration;

use serde_json::value::RawValue;

use super::SourceError;
use super::job::Pull;
use super::line;
use super::pieces::{Lines, Piece};
use super::seat::Seat;
use crate::config::LineFormat;
use crate::limits::{
    SOURCE_FETCH_BYTES_MAX, SOURCE_FETCH_EVENTS_MAX, SOURCE_FETCH_MS, SOURCE_FETCH_REDIRECTS_MAX, SOURCE_LINE_BYTES_MAX,
};
use crate::shell::embed::Interest;

/// A URL that is fetched again and again.
pub(super) struct Fetch {
    url: String,
    every: Duration,
    agent: ureq::Agent,
}

impl Fetch {
    pub(super) fn new(url: &str, every: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(SOURCE_FETCH_MS)))
            .max_redirects(SOURCE_FETCH_REDIRECTS_MAX)
            .max_redirects_will_error(true)
            // What the environment of the server says about proxies is for other programs.
            .proxy(None)
            .user_agent(concat!("pushletd/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { url: url.to_owned(), every, agent }
    }

    fn fetch(&self) -> Result<Vec<u8>, ureq::Error> {
        let mut response = self.agent.get(&self.url).call()?;
        response.body_mut().with_config().limit(SOURCE_FETCH_BYTES_MAX as u64).read_to_vec()
    }
}

impl Pull for Fetch {
    fn every(&self) -> Duration {
        self.every
    }

    fn pull(&mut self, seat: &mut Seat, _: &Interest) -> Result<(), SourceError> {
        let body =
            self.fetch().map_err(|error| SourceError::new(format_args!("the URL cannot be fetched: {error}")))?;
        publish(&body, seat)
    }
}

/// The events of a body: an array of objects, one object however it is laid out, or lines.
fn publish(body: &[u8], seat: &mut Seat) -> Result<(), SourceError> {
    let text = std::str::from_utf8(body).map_err(|error| SourceError::new(format_args!("the answer is {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_json = matches!(seat.format, LineFormat::Auto | LineFormat::Json);
    match text.trim_ascii().as_bytes().first() {
        Some(b'[') if is_json => return publish_array(text, seat),
        Some(b'{') if is_json => {
            if let Ok(letter) = line::object(text.trim_ascii()) {
                let _ = seat.take(letter);
                return Ok(());
            }
        }
        _ => {}
    }
    let (mut taken, mut left_out) = (0, 0_usize);
    let mut tell = |piece: Piece<'_>| {
        if taken == SOURCE_FETCH_EVENTS_MAX {
            left_out += 1;
            return std::ops::ControlFlow::Continue(());
        }
        taken += 1;
        seat.take_piece(piece)
    };
    let mut lines = Lines::new(SOURCE_LINE_BYTES_MAX);
    if lines.feed(text.as_bytes(), &mut tell).is_continue() {
        let _ = lines.finish(&mut tell);
    }
    beyond(left_out)
}

fn publish_array(text: &str, seat: &mut Seat) -> Result<(), SourceError> {
    let elements: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| SourceError::new(format_args!("the answer is no JSON array: {error}")))?;
    for element in elements.iter().take(SOURCE_FETCH_EVENTS_MAX) {
        let flow = match line::object(element.get()) {
            Ok(letter) => seat.take(letter),
            Err(problem) => {
                seat.fail(&format!("an element of the answer cannot be read: {problem}"));
                std::ops::ControlFlow::Continue(())
            }
        };
        if flow.is_break() {
            return Ok(());
        }
    }
    beyond(elements.len().saturating_sub(SOURCE_FETCH_EVENTS_MAX))
}

/// What was left out is a failure.
fn beyond(left_out: usize) -> Result<(), SourceError> {
    if left_out == 0 {
        return Ok(());
    }
    Err(SourceError::new(format_args!(
        "the answer holds more than {SOURCE_FETCH_EVENTS_MAX} events; the others were left out"
    )))
}
