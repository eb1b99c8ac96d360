//! Clients of the modern doors: listeners by Server-Sent Events, and publishers of many events in one request.

use super::client::{Want, subject};
use super::oracle::To;
use super::world::World;

/// What a client of a modern door listens to.
pub(super) fn patterns(rng: &mut fastrand::Rng) -> String {
    let one = |rng: &mut fastrand::Rng| match rng.u32(..8) {
        0 => String::from("/*"),
        1 => String::from("/**"),
        2 => String::from("**"),
        _ => subject(rng),
    };
    let items: Vec<String> = (0..rng.usize(1..=2)).map(|_| one(rng)).collect();
    items.join(",")
}

impl World {
    /// A session of `/v1/sse`, on a connection of its own as browsers have it.
    pub(super) fn listen_to_stream(&mut self, client: usize) {
        if self.clients[client].sessions.len() >= 3 {
            return;
        }
        let line = self.open(client);
        let list = patterns(&mut self.kernel.rng);
        let version = if self.lines[line].old { "HTTP/1.0" } else { "HTTP/1.1" };
        let query = format!("/v1/sse?subject={list}");
        let request = format!("GET {query} {version}\r\nHost: h\r\n\r\n");
        self.put(line, &query, &request, Want::Stream(list), None, None);
    }

    /// Several events in one request, some of them under a key, so that the core of the key publishes them.
    pub(super) fn publish_batch(&mut self, client: usize) {
        let line = self.line_for(client);
        let (mut items, mut numbers) = (Vec::new(), Vec::new());
        for _ in 0..self.kernel.rng.usize(1..=8) {
            let subject = subject(&mut self.kernel.rng);
            let padding = self.kernel.rng.usize(..200);
            let number = self.oracle.publishes(None, self.lines[line].socket, &subject, To::Subscribers, padding);
            let text = "x".repeat(padding);
            items.push(format!(r#"{{"subject":"{subject}","data":{{"n":"{number}","x":"{text}"}}}}"#));
            numbers.push(number);
        }
        let key = if self.kernel.rng.bool() { format!("Idempotency-Key: k{}\r\n", numbers[0]) } else { String::new() };
        let (version, body) =
            (if self.lines[line].old { "HTTP/1.0" } else { "HTTP/1.1" }, format!("[{}]", items.join(",")));
        let request =
            format!("POST /v1/publish {version}\r\nHost: h\r\n{key}Content-Length: {}\r\n\r\n{body}", body.len());
        self.put(line, &format!("/v1/publish {numbers:?}"), &request, Want::Batch(numbers), None, None);
    }

    /// What became of the events of a batch: each by itself, or all of them.
    pub(super) fn hear_posted(&mut self, numbers: &[usize], text: &str) {
        let told: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let status = |at: usize| {
            let result = told.get("results").map_or(&told["status"], |results| &results[at]["status"]);
            result.as_u64().unwrap_or_else(|| panic!("no status: {text}"))
        };
        for (at, number) in numbers.iter().enumerate() {
            let accepted = match status(at) {
                202 => true,
                503 => false,
                other => panic!("{other} for publish {number}: {text}"),
            };
            self.kernel.count(if accepted { "event of a batch published" } else { "event of a batch refused" });
            self.oracle.published(*number, accepted);
        }
    }
}
