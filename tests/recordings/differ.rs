//! Says where two answers differ, in words that can stand in the table.

use std::collections::{BTreeMap, BTreeSet};

/// An event in comparable words: its fields by name.
pub(crate) type Fields = BTreeMap<String, String>;

/// One answer in comparable words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// The status code; 0 if no head has come.
    pub(crate) status: u16,
    /// The media type and charset of a 200 answer, in lower case.
    pub(crate) content_type: String,
    /// Whether a 200 answer forbids caching as the original does (rule P-33).
    pub(crate) no_cache: bool,
    /// The text of an error answer.
    pub(crate) text: String,
    /// The events.
    pub(crate) events: Vec<Fields>,
    /// When each event came, in seconds after the request; empty where that is not compared.
    pub(crate) came_s: Vec<f64>,
    /// What a text format puts before its first event and behind its last, if there are events.
    pub(crate) frame: Option<(String, String)>,
    /// Why the body cannot be read.
    pub(crate) unreadable: Option<String>,
    /// Whether the answer has ended; `None` if that says nothing.
    pub(crate) ended: Option<bool>,
}

/// A difference in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The words.
    pub(crate) text: String,
    /// Whether we owe something that the recording has: it may still come.
    pub(crate) owed: bool,
}

/// An event may come so much earlier than in the recording, in seconds: the original's clocks were not exact either.
const EARLY_S: f64 = 0.5;

/// The message that Pushlet itself put into a container's error page; `None` if there is none.
pub(crate) fn pushlet_message(page: &str) -> Option<&str> {
    let message = page.split_once("<title>Error 400 ")?.1.split_once("</title>")?.0;
    let starts = ["No eventType specified", "No id specified", "Invalid or expired id: "];
    starts.iter().any(|start| message.starts_with(start)).then(|| message.trim_end())
}

/// Where two answers differ.
pub(crate) fn compare(recorded: &Seen, ours: &Seen) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut differ = |what: &str, recorded: String, ours: String, owed: bool| {
        if recorded != ours {
            lines.push(Line { text: format!("{what}: recorded {recorded}, ours {ours}"), owed });
        }
    };
    differ("status", recorded.status.to_string(), ours.status.to_string(), ours.status == 0);
    if recorded.status == 200 && ours.status == 200 {
        differ("content type", recorded.content_type.clone(), ours.content_type.clone(), false);
        differ("caching forbidden", recorded.no_cache.to_string(), ours.no_cache.to_string(), false);
        differ("readable", format!("{:?}", recorded.unreadable), format!("{:?}", ours.unreadable), false);
    }
    if let (Some(recorded), Some(ours)) = (recorded.ended, ours.ended) {
        differ("ended", recorded.to_string(), ours.to_string(), recorded);
    }
    if let Some(message) = pushlet_message(&recorded.text)
        && ours.status == recorded.status
        && !ours.text.contains(message)
    {
        differ("message", format!("{message:?}"), format!("{:?}", ours.text), false);
    }
    if let (Some(recorded), Some(ours)) = (&recorded.frame, &ours.frame) {
        differ("before the first event", format!("{:?}", recorded.0), format!("{:?}", ours.0), false);
        differ("behind the last event", format!("{:?}", recorded.1), format!("{:?}", ours.1), false);
    }
    lines.extend(compare_events(recorded, ours));
    lines
}

/// A step of the cheapest way to turn one list of events into the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Both,
    OnlyRecorded,
    OnlyOurs,
}

/// An event that is there on one side only costs as much as so many differing fields of the server,
const ALONE: usize = 4;
/// and a differing field of the publisher as many.
const PUBLISHED: usize = 4;

fn field<'a>(event: &'a Fields, name: &str) -> &'a str {
    event.get(name).map_or("", String::as_str)
}

/// How unlike two events are; `None` if one is not to be taken for the other: then they are of another kind, about
/// something else, or their publishers did not send the same fields.
fn distance(recorded: &Fields, ours: &Fields) -> Option<usize> {
    let of_publisher = |event: &Fields| event.keys().filter(|name| !name.starts_with("p_")).cloned().collect();
    let (recorded_names, our_names): (Vec<_>, Vec<_>) = (of_publisher(recorded), of_publisher(ours));
    let alike = ["p_event", "p_subject"].iter().all(|name| field(recorded, name) == field(ours, name));
    let names: BTreeSet<_> = recorded.keys().chain(ours.keys()).collect();
    let unlike = names.into_iter().filter(|name| recorded.get(*name) != ours.get(*name));
    let unlike = unlike.map(|name| if name.starts_with("p_") { 1 } else { PUBLISHED }).sum();
    (alike && recorded_names == our_names).then_some(unlike)
}

fn compare_events(recorded: &Seen, ours: &Seen) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut at_recorded, mut at_ours) = (0, 0);
    for step in alignment(&recorded.events, &ours.events) {
        match step {
            Step::Both => {
                let (number, event) = (at_recorded + 1, &recorded.events[at_recorded]);
                lines.extend(compare_fields(number, event, &ours.events[at_ours]));
                if let (Some(recorded_s), Some(ours_s)) = (recorded.came_s.get(at_recorded), ours.came_s.get(at_ours))
                    && *ours_s < *recorded_s - EARLY_S
                {
                    let text = format!("event {number} ({}) comes earlier than recorded", field(event, "p_event"));
                    lines.push(Line { text, owed: false });
                }
                (at_recorded, at_ours) = (at_recorded + 1, at_ours + 1);
            }
            Step::OnlyRecorded => {
                let text = format!("event {} is missing: {}", at_recorded + 1, words(&recorded.events[at_recorded]));
                lines.push(Line { text, owed: true });
                at_recorded += 1;
            }
            Step::OnlyOurs => {
                let (number, words) = (at_ours + 1, words(&ours.events[at_ours]));
                let text = format!("our event {number}, behind event {at_recorded}, is extra: {words}");
                lines.push(Line { text, owed: false });
                at_ours += 1;
            }
        }
    }
    lines
}

/// The cheapest way from one list to the other. Of equal ways it takes the one that pairs events early, so that what is
/// said of the beginning stays true when more comes.
fn alignment(recorded: &[Fields], ours: &[Fields]) -> Vec<Step> {
    let width = ours.len() + 1;
    let mut costs = vec![0_usize; (recorded.len() + 1) * width];
    let mut steps = vec![Step::Both; costs.len()];
    for row in 0..=recorded.len() {
        for column in 0..width {
            let here = row * width + column;
            let mut ways = Vec::new();
            if column > 0 {
                ways.push((costs[here - 1] + ALONE, Step::OnlyOurs));
            }
            if row > 0 {
                ways.push((costs[here - width] + ALONE, Step::OnlyRecorded));
            }
            if let (1.., 1..) = (row, column)
                && let Some(unlike) = distance(&recorded[row - 1], &ours[column - 1])
            {
                ways.push((costs[here - width - 1] + unlike, Step::Both));
            }
            if let Some((cost, step)) = ways.into_iter().min_by_key(|(cost, _)| *cost) {
                (costs[here], steps[here]) = (cost, step);
            }
        }
    }
    let (mut row, mut column) = (recorded.len(), ours.len());
    let mut way = Vec::new();
    while row > 0 || column > 0 {
        let step = steps[row * width + column];
        row -= usize::from(step != Step::OnlyOurs);
        column -= usize::from(step != Step::OnlyRecorded);
        way.push(step);
    }
    way.reverse();
    way
}

fn compare_fields(number: usize, recorded: &Fields, ours: &Fields) -> Vec<Line> {
    let names: BTreeSet<_> = recorded.keys().chain(ours.keys()).collect();
    let kind = field(recorded, "p_event");
    let said = |value: Option<&String>| value.map_or("nothing".to_owned(), |value| format!("{value:?}"));
    let unlike = names.into_iter().filter(|name| recorded.get(*name) != ours.get(*name));
    let line = |name: &String| {
        let (recorded, ours) = (said(recorded.get(name)), said(ours.get(name)));
        Line { text: format!("event {number} ({kind}) {name}: recorded {recorded}, ours {ours}"), owed: false }
    };
    unlike.map(line).collect()
}

fn words(event: &Fields) -> String {
    event.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" ")
}
