//! The documents are executed: every example of docs/protocol.md against the real program, its tables against the code, the commands of
//! README.md by a shell, and the lists of docs/operating.md against what the program prints. So they cannot drift.
#![cfg(feature = "server")]

#[path = "docs/constants.rs"]
mod constants;
#[path = "docs/document.rs"]
mod document;
#[path = "docs/openmetrics.rs"]
mod openmetrics;
#[path = "docs/pattern.rs"]
mod pattern;
#[path = "docs/scenario.rs"]
mod scenario;
#[path = "docs/shell.rs"]
mod shell;
mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;

use pushletd::limits;
use pushletd::metrics::{Figures, Node, render};
use pushletd::protocol::{ClientAction, EndReason, Framing, Payload};

use document::Document;
use pattern::{Names, Pattern};
use support::server::{Driver, Server};

const PROTOCOL: &str = "docs/protocol.md";
const OPERATING: &str = "docs/operating.md";
/// The rules that this release obeys: P-1 to this one.
const RULES_DONE: usize = 35;

fn report(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{} {what}:\n{}", findings.len(), findings.join("\n"));
}

/// The rule that a heading is about: `P-5: request events`.
fn rule(heading: &str) -> Option<usize> {
    heading.strip_prefix("P-")?.split(':').next()?.parse().ok()
}

/// P-1 to P-35: every example of the contract is what the program does.
#[test]
fn the_examples_are_what_the_server_does() {
    let examples = scenario::examples(&Document::read(PROTOCOL));
    assert!(examples.len() > RULES_DONE, "{} examples only", examples.len());
    let start = |config: &str| Server::start(Driver::IoUring, &[], config);
    report("examples are not what the server does", &scenario::run_all(PROTOCOL, &examples, start));
}

#[test]
fn every_rule_has_a_section_with_an_example() {
    let page = Document::read(PROTOCOL);
    let named: Vec<usize> = page.headings().iter().filter_map(|heading| rule(heading)).collect();
    assert_eq!(named, (1..=RULES_DONE).collect::<Vec<_>>(), "one section for each rule, in order");
    let shown: BTreeSet<usize> =
        scenario::examples(&page).iter().filter_map(|example| rule(&example.section)).collect();
    let missing: Vec<String> =
        (1..=RULES_DONE).filter(|rule| !shown.contains(rule)).map(|rule| format!("P-{rule}")).collect();
    report("rules have no example that runs", &missing);
}

fn source(path: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of the constants that `limits.rs` makes public.
fn limits_named() -> BTreeSet<String> {
    let text = source("src/limits.rs");
    let names = text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(':'));
    names.map(|(name, _)| name.to_owned()).filter(|name| !name.starts_with("fn ")).collect()
}

#[test]
fn the_bounds_are_those_of_the_code() {
    let page = Document::read(PROTOCOL);
    let rows = page.table(&["constant", "value"]).rows;
    let known = constants::all();
    let mut findings = Vec::new();
    for (line, cells) in &rows {
        match known.iter().find(|(name, _)| *name == cells[0]) {
            None => findings.push(format!("{PROTOCOL}:{line}: {} is not listed in tests/docs/constants.rs", cells[0])),
            Some((_, value)) if *value != cells[1] => {
                findings.push(format!("{PROTOCOL}:{line}: {} is {value}, not {}", cells[0], cells[1]));
            }
            Some(_) => {}
        }
    }
    let told: BTreeSet<String> = rows.iter().map(|(_, cells)| cells[0].clone()).collect();
    findings.extend(limits_named().difference(&told).map(|name| {
        format!("{name} of src/limits.rs has no row in the table of bounds; give it one, and a word in tests/docs/constants.rs")
    }));
    report("bounds are not told right", &findings);
}

#[test]
fn the_memory_of_a_session_is_that_of_the_code() {
    let number = |cell: &str| cell.replace(',', "").parse::<u64>().expect("a number with commas");
    for (line, cells) in Document::read(PROTOCOL).table(&["queue_bytes"]).rows {
        let queue_bytes = u32::try_from(number(&cells[0])).expect("a size of a queue");
        assert_eq!(number(&cells[1]), limits::session_bytes_max(queue_bytes), "{PROTOCOL}:{line}");
    }
}

/// How the three kinds of payload look in every format but `ser`, which independent readers check.
#[test]
fn the_payloads_look_as_told() {
    let payload = |told: &str| match told.split(' ').next() {
        Some("fields") => Payload::Fields([("a", "1"), ("b", "<2>")].into_iter().collect()),
        Some("JSON") => Payload::Json(r#"{"a":1}"#.into()),
        Some("bytes") => Payload::Bytes { content_type: "image/png".into(), bytes: [0_u8, 255].as_slice().into() },
        _ => panic!("no payload: {told}"),
    };
    let framings = |name: &str| match name {
        "js" => vec![Framing::Js],
        "json" => vec![Framing::JsonLines, Framing::JsonArray],
        "xml, xml-strict" => vec![Framing::Xml, Framing::XmlStrict],
        "sse, poll, ws" => vec![Framing::EventStream, Framing::Object, Framing::Message],
        _ => panic!("no format: {name}"),
    };
    let rows = Document::read(PROTOCOL).table(&["payload", "format"]).rows;
    assert_eq!(rows.len(), 12, "three payloads, four rows each");
    for (line, cells) in rows {
        for framing in framings(&cells[1]) {
            if framing.is_modern() {
                let (event, mut bytes) = (event_of(payload(&cells[0])), Vec::new());
                pushletd::wire::v1::shared_part(framing, &event, None, &mut bytes);
                let shown = String::from_utf8_lossy(&bytes).into_owned();
                assert!(shown.contains(&format!(",{},", cells[2])), "{PROTOCOL}:{line}: {framing:?}: {shown}");
                continue;
            }
            let (fields, mut bytes) = (payload(&cells[0]).to_fields(), Vec::new());
            pushletd::wire::pushlet::event(framing, true, fields.iter(), &mut bytes);
            assert_eq!(pattern::shown(&bytes, false), cells[2], "{PROTOCOL}:{line}: {framing:?}");
        }
    }
}

fn event_of(payload: Payload) -> pushletd::protocol::Event {
    let subject = pushletd::topic::Subject::new("/a").expect("a subject");
    let origin = pushletd::protocol::Origin::default();
    pushletd::protocol::Event { subject, name: None, payload, origin, position: None, accepted_at: 7 }
}

/// The tables of patterns are what patterns do.
#[test]
fn the_patterns_do_what_is_told() {
    use pushletd::topic::Pattern;
    let document = Document::read(PROTOCOL);
    let texts = |cell: &str| -> Vec<String> { cell.trim_matches('`').split("` `").map(str::to_owned).collect() };
    let rows = document.table(&["pattern", "matches"]).rows;
    assert!(rows.len() >= 10, "the table of patterns");
    for (line, cells) in rows {
        let pattern = Pattern::new(cells[0].trim_matches('`')).expect("a pattern");
        let wanted = |cell: &str, due: bool| {
            let subjects = texts(cell);
            for subject in subjects {
                assert_eq!(pattern.matches(&subject), due, "{PROTOCOL}:{line}: {pattern} and {subject}");
            }
        };
        wanted(&cells[1], true);
        wanted(&cells[2], false);
    }
    for (line, cells) in document.table(&["no pattern", "why"]).rows {
        let error = Pattern::new(cells[0].trim_matches('`')).expect_err("no pattern").to_string();
        assert!(error.starts_with(&cells[1]), "{PROTOCOL}:{line}: {error}");
    }
}

/// P-9: the head of a `js` page is the one that stands in the document.
#[test]
fn the_prologue_is_told() {
    let blocks = Document::read(PROTOCOL).blocks();
    let told = blocks.iter().find(|block| block.language == "text").expect("a block with the prologue");
    let text: String = told.lines.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(text, pattern::PROLOGUE);
}

#[test]
fn the_end_reasons_are_those_of_the_code() {
    let rows = Document::read(PROTOCOL).table(&["number", "word", "text"]).rows;
    let told: Vec<Vec<String>> = rows.into_iter().map(|(_, cells)| cells).collect();
    let action = |reason: EndReason| match reason.client_action() {
        ClientAction::Nothing => "nothing",
        ClientAction::Rejoin => "join again at once",
        ClientAction::RejoinLater => "join again after a random delay",
    };
    let due: Vec<Vec<String>> = EndReason::ALL
        .into_iter()
        .map(|reason| {
            let (number, code) = (reason.number().to_string(), reason.close_code().to_string());
            [number.as_str(), reason.word(), reason.text(), action(reason), code.as_str()].map(str::to_owned).to_vec()
        })
        .collect();
    assert_eq!(told, due);
}

/// The texts with which the sources refuse a request by HTTP.
fn refusals(text: &str) -> Vec<String> {
    let calls = ["HttpError::bad(", "HttpError::new(", "Self::new(408,", "Self::bad("];
    let found = calls.iter().flat_map(|call| text.match_indices(call).map(|(at, call)| &text[at + call.len()..]));
    let literal = |behind: &str| {
        let (before, rest) = behind.split_once('"')?;
        // A status and white space may stand before the text, nothing else.
        let plain = before.chars().all(|letter| letter.is_ascii_digit() || letter == ',' || letter.is_whitespace());
        plain.then(|| rest.split('"').next().unwrap_or_default().to_owned())
    };
    found.filter_map(literal).collect()
}

#[test]
fn every_refusal_by_http_is_told() {
    let files = ["body", "error", "head", "line", "reader", "scan"].map(|name| format!("src/wire/http/{name}.rs"));
    let found: BTreeSet<String> = files.iter().flat_map(|file| refusals(&source(file))).collect();
    assert!(found.len() > 30, "{} refusals only: they are not found any more", found.len());
    let page = Document::read(PROTOCOL);
    let missing: Vec<String> = found.into_iter().filter(|text| !page.text().contains(text)).collect();
    report("refusals are not in docs/protocol.md", &missing);
}

/// Keys that a page names as `[table] key` exist.
#[test]
fn the_settings_named_exist() {
    let known = source("packaging/pushletd.toml");
    let mut findings = Vec::new();
    for path in [PROTOCOL, OPERATING] {
        let page = Document::read(path);
        for (at, _) in page.text().match_indices("`[") {
            let inner = page.text()[at + 1..].split('`').next().unwrap_or_default();
            let Some((table, key)) = inner.split_once("] ") else { continue };
            let key = key.split(' ').next().unwrap_or_default();
            let behind = known.split(&format!("{table}]\n")).nth(1).unwrap_or_default();
            let keys = behind.split("\n[").next().unwrap_or_default();
            if !keys.contains(&format!("\n#{key} = ")) {
                findings.push(format!("{path}: `{inner}`"));
            }
        }
    }
    report("settings are named that do not exist", &findings);
}

#[test]
fn the_metrics_are_those_that_are_printed() {
    let rows = Document::read(OPERATING).table(&["metric", "kind"]).rows;
    let told: BTreeSet<(String, String)> =
        rows.into_iter().map(|(_, cells)| (cells[0].clone(), cells[1].clone())).collect();
    let text = render(&Node { driver: "epoll", cores: vec![Figures::default()], ..Node::default() });
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let printed = types.filter_map(|rest| {
        let (name, kind) = rest.split_once(' ')?;
        // The samples of some kinds have a suffix that their description has not.
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        Some((format!("{name}{suffix}"), kind.to_owned()))
    });
    assert_eq!(told, printed.collect::<BTreeSet<_>>());
}

/// The page is good at any number of cores and with any figures, and so is what a server says: to whom, on what, and in which form.
#[test]
fn the_page_of_metrics_is_open_metrics() {
    let mut busy = Figures { connections: u64::MAX, inbox_depth: 3, ..Figures::default() };
    busy.counters.delivered = u64::MAX;
    for micros in [0, 50, 51, 7_000, u64::MAX, u64::MAX] {
        busy.turns.record(micros);
    }
    for cores in [vec![], vec![Figures::default()], vec![busy.clone(), Figures::default(), busy]] {
        let count = cores.len();
        let text = render(&Node { driver: "io_uring", cores, ..Node::default() });
        assert_eq!(openmetrics::check(&text), Ok(()), "{count} cores:\n{text}");
    }
    support::server::on_both_drivers(|driver| {
        let server = Server::start_with_admin(driver, &[], "");
        let answer = support::look::admin_get(server.admin(), "/metrics");
        let form = answer.head.get("content-type").map(|value| value.split(';').next().unwrap_or_default());
        assert_eq!(form, Some("application/openmetrics-text"));
        let text = answer.text();
        assert_eq!(openmetrics::check(&text), Ok(()), "{text}");
        let told = format!("pushletd_io_driver_info{{driver=\"{}\"}} 1", driver.name());
        assert!(text.lines().any(|line| line == told), "no {told} in\n{text}");
    });
}

#[test]
fn the_lines_at_start_are_explained() {
    let rows = Document::read(OPERATING).table(&["line", "meaning"]).rows;
    let server = Server::start(Driver::Epoll, &[], "");
    let said = server.stdout();
    assert_eq!(said.lines().count(), rows.len(), "one row for each line:\n{said}");
    for (line, (number, cells)) in said.lines().zip(&rows) {
        let matched = Pattern::new(&cells[0]).matches(line, &Names::new(), 0);
        let whole = matched.is_some_and(|(length, _)| length == line.len());
        assert!(whole, "{OPERATING}:{number}: expected {}, got {line}", cells[0]);
    }
}

/// The commands of README.md work as they stand there.
#[test]
fn the_readme_can_be_typed() {
    let server = Server::start(Driver::IoUring, &[], "");
    let (streamed, asked) = shell::run_curl_blocks(&Document::read("README.md"), server.addr());
    assert!(streamed.contains("\"text\":\"It works\""), "the event did not arrive in the stream:\n{streamed}");
    assert!(asked.contains("publish-ack"), "the publish was not acked:\n{asked}");
}

/// What is at `/` where the demo is off and the lines at start say commands, too.
#[test]
fn the_commands_that_the_server_prints_can_be_typed() {
    let server = Server::start(Driver::Epoll, &["--demo", "off"], "");
    let mut connection = support::http::Connection::open(server.addr());
    connection.request(&support::http::get("/"));
    let page = connection.wait_answer(support::pushlet::SOON).text();
    let printed = server.stdout();
    let said = printed.lines().find_map(|line| line.strip_prefix("try:")).expect("a line that says what to try");
    for line in [said, page.lines().find(|line| line.contains("curl -N")).expect("a command on the page")] {
        let command = line.trim().replace("HOST", &server.addr().to_string());
        let streamed = shell::stream_until(&command, "\"p_event\":\"hb\"");
        assert!(streamed.contains("\"p_event\":\"join-listen-ack\""), "{command}:\n{streamed}");
    }
}
