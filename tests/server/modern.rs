//! Clients of the modern doors over real sockets: what the tests of sse, poll and publish share.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::support::http::{Answer, Connection, get, post};
use crate::support::pushlet::SOON;

/// An event stream that is read as it comes.
pub(crate) struct Stream {
    pub(crate) connection: Connection,
}

impl Stream {
    /// Asks on a connection of its own, and waits for the event that says what the session is.
    pub(crate) fn open(addr: SocketAddr, query: &str) -> Self {
        Self::open_on(Connection::open(addr), query)
    }

    /// The same on this connection.
    pub(crate) fn open_on(mut connection: Connection, query: &str) -> Self {
        connection.request(&get(&format!("/v1/sse?{query}")));
        Self::begun(connection)
    }

    /// A stream that has been asked for.
    pub(crate) fn begun(mut connection: Connection) -> Self {
        let head = connection.wait_head(SOON).clone();
        assert_eq!((head.status, head.get("content-type")), (200, Some("text/event-stream")), "{head:?}");
        let mut stream = Self { connection };
        stream.wait(SOON, |events| !events.is_empty());
        assert_eq!(stream.events()[0].0, "session");
        stream
    }

    /// What has come: the names and objects of whole events, the first one included.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        events_in(self.connection.body())
    }

    /// Waits until what has come is enough.
    pub(crate) fn wait(&mut self, max: Duration, enough: impl Fn(&[(String, Value)]) -> bool) -> Vec<(String, Value)> {
        let mut seen = 0;
        let held = self.connection.wait_until(max, |connection| {
            let came = std::mem::replace(&mut seen, connection.body().len()) < connection.body().len();
            came && enough(&events_in(connection.body()))
        });
        assert!(held || enough(&self.events()), "not within {max:?}: {:?}", self.events());
        self.events()
    }

    /// The data of the published events.
    pub(crate) fn data(&self) -> Vec<Value> {
        let published = self.events().into_iter().filter(|(_, object)| object.get("subject").is_some());
        published.map(|(_, mut object)| object["data"].take()).collect()
    }

    /// Waits for so many published events.
    pub(crate) fn wait_data(&mut self, many: usize) -> Vec<Value> {
        self.wait(SOON, |events| events.iter().filter(|(_, object)| object.get("subject").is_some()).count() >= many);
        self.data()
    }

    /// Waits for the end of the answer, which must be whole and tell this reason.
    pub(crate) fn wait_end(&mut self, reason: &str) {
        self.connection.wait_answer(SOON);
        assert!(self.connection.is_whole(), "the answer is cut");
        let (name, object) = self.events().pop().expect("an event");
        assert_eq!((name.as_str(), object["reason"].as_str()), ("end", Some(reason)), "{object}");
    }

    /// The session's secret name.
    pub(crate) fn id(&self) -> String {
        self.events()[0].1["session"].as_str().expect("a name").to_owned()
    }
}

/// Reads whole events by the rules of WHATWG HTML section 9.2.6, as far as the server's streams use them.
fn events_in(body: &[u8]) -> Vec<(String, Value)> {
    let whole = body.windows(2).rposition(|two| two == b"\n\n").map_or(0, |end| end + 2);
    let text = std::str::from_utf8(&body[..whole]).expect("UTF-8");
    let mut events = Vec::new();
    for block in text.split_terminator("\n\n") {
        let field =
            |name: &'static str| block.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "));
        let data = field("data").collect::<Vec<_>>().join("\n");
        if !data.is_empty() {
            let object = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
            events.push((field("event").next().unwrap_or("message").to_owned(), object));
        }
    }
    events
}

/// The bytes of a publish request with a JSON body.
pub(crate) fn publishing(body: &Value) -> Vec<u8> {
    post("/v1/publish", "application/json", body.to_string().as_bytes())
}

/// Publishes on a connection of its own.
pub(crate) fn publish(addr: SocketAddr, body: &Value) -> Answer {
    Connection::open(addr).ask(&publishing(body), SOON)
}

/// Publishes what must be accepted.
pub(crate) fn publish_well(addr: SocketAddr, body: &Value) {
    let answer = publish(addr, body);
    assert_eq!(answer.head.status, 202, "{}", answer.text());
}

/// The JSON of an answer.
pub(crate) fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// The problem document of an answer: it says its own status.
pub(crate) fn problem_of(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.head.status, status, "{}", answer.text());
    assert_eq!(answer.head.get("content-type"), Some("application/problem+json"), "{:?}", answer.head);
    let problem = json_of(answer);
    assert_eq!((problem["status"].as_u64(), &problem["type"]), (Some(status.into()), &Value::from("about:blank")));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    problem
}
