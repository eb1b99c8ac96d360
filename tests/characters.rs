//! Characters that break formats, sent through a running server as subject, label and value, in every format and mode, and read back by
//! readers that are not ours: a script engine, an XML parser, Java's deserialization, a JSON parser.

mod support;
#[allow(dead_code, reason = "the tests of the formats use the rest")]
#[path = "formats/tools.rs"]
mod tools;

use std::time::Duration;

use pushletd::protocol::Format;
use support::http::{Connection, post};
use support::pushlet::{Session, target};
use support::server::{Server, on_both_drivers};

/// Chinese, emoji, quotes, backslash, markup, an end of script, line ends, a tab, U+2028 and NUL. No comma: in a subject list that is syntax.
const HARD: &str = "中文😀\"'\\&amp;<b>]]></script>\n\r\n\u{2028}\t\0end";
/// Long enough for a start of a virtual machine beside other tests.
const PATIENCE: Duration = Duration::from_secs(30);

type Pairs = Vec<(String, String)>;

fn pairs(flat: &[String]) -> Pairs {
    flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// The events of a whole answer, told by a reader of its format that is not ours.
fn read(format: Format, lines: bool, java: &tools::Java, body: &[u8]) -> Vec<Pairs> {
    match format {
        Format::Js => {
            let page: serde_json::Value = serde_json::from_str(&tools::node("run_page.js", "", body)).expect("JSON");
            let pushed: Vec<Vec<String>> = serde_json::from_value(page["pushed"].clone()).expect("lists of texts");
            pushed.iter().map(|flat| pairs(flat)).collect()
        }
        Format::Xml | Format::XmlStrict => {
            serde_json::from_str(&tools::python("read_xml.py", format.name(), body)).expect("JSON")
        }
        Format::Json => {
            let kind = if lines { "lines" } else { "array" };
            serde_json::from_str(&tools::node("read_json.js", kind, body)).expect("JSON")
        }
        Format::Ser => {
            let line = |line: &str| pairs(&serde_json::from_str::<Vec<String>>(line).expect("JSON"));
            java.read(body).lines().map(line).collect()
        }
        _ => panic!("no p_format names the modern doors"),
    }
}

/// What a reader of the format must see of [`HARD`]: XML cannot say NUL.
fn seen(format: Format) -> String {
    match format {
        Format::Xml | Format::XmlStrict => HARD.replace('\0', "\u{fffd}"),
        _ => HARD.to_owned(),
    }
}

fn field<'a>(event: &'a Pairs, name: &str) -> &'a str {
    event.iter().find(|(known, _)| known == name).map_or("(none)", |(_, value)| value)
}

fn of_kind<'a>(events: &'a [Pairs], kind: &str) -> &'a Pairs {
    events.iter().find(|event| field(event, "p_event") == kind).unwrap_or_else(|| panic!("no {kind} in {events:?}"))
}

/// One session from listen to the event: the bodies of its answers, and whether they are lines of JSON.
fn receive(server: &Server, publisher: &Session, format: Format, mode: &str) -> Vec<Vec<u8>> {
    let session = Session::join(server.addr(), format);
    let subject = format!("/{HARD}");
    let query =
        [("p_event", "listen"), ("p_id", &session.id), ("p_mode", mode), ("p_subject", &subject), ("p_label", HARD)];
    let mut listen = Connection::open(server.addr());
    listen.request(&support::http::get(&target(&query)));
    let mut bodies = Vec::new();
    if mode == "stream" {
        // The ack and the first heartbeat tell that the session listens.
        assert!(listen.wait_until(PATIENCE, |connection| !connection.chunks().is_empty()));
    } else {
        bodies.push(listen.wait_answer(PATIENCE).body);
    }
    let event = serde_json::json!({"p_event": "publish", "p_id": publisher.id, "p_subject": subject, "value": HARD, "name 中": HARD});
    let mut connection = Connection::open(server.addr());
    connection.request(&post("/pushlet.srv", "application/json", event.to_string().as_bytes()));
    assert!(connection.wait_answer(PATIENCE).text().contains("publish-ack"));
    if mode == "stream" {
        session.leave();
        bodies.push(listen.wait_answer(PATIENCE).body);
    } else {
        let mut refresh = Connection::open(server.addr());
        refresh.request(&support::http::get(&target(&[("p_event", "refresh"), ("p_id", &session.id)])));
        bodies.push(refresh.wait_answer(PATIENCE).body);
        session.leave();
    }
    bodies
}

/// P-2, P-3, P-9 to P-12, P-20: nothing a publisher or a subscriber says is changed, and nothing of it becomes markup or code.
#[test]
fn hard_characters_come_through_every_format_and_mode() {
    let java = tools::Java::compile();
    on_both_drivers(|driver| {
        let server = Server::start(driver, &[], "");
        let publisher = Session::join(server.addr(), Format::Json);
        for format in Format::ALL {
            for mode in ["stream", "pull", "poll"] {
                let bodies = receive(&server, &publisher, format, mode);
                let events: Vec<Pairs> =
                    bodies.iter().flat_map(|body| read(format, mode == "stream", &java, body)).collect();
                let hard = seen(format);
                let ack = of_kind(&events, "listen-ack");
                assert_eq!(field(ack, "p_label"), hard, "{format:?} {mode}");
                let data = of_kind(&events, "data");
                for (name, wanted) in
                    [("p_subject", format!("/{hard}")), ("p_label", hard.clone()), ("value", hard.clone())]
                {
                    assert_eq!(field(data, name), wanted, "{format:?} {mode} {name}");
                }
                // A blank is no part of an XML name: that field is left out there, and only there.
                let odd = if matches!(format, Format::Xml | Format::XmlStrict) { "(none)" } else { &hard };
                assert_eq!(field(data, "name 中"), odd, "{format:?} {mode}");
            }
        }
    });
}
