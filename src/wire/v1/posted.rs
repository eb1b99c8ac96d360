//! What a publisher is told of its items.

use serde::Serialize;

use crate::limits::POST_ERRORS_TOLD_MAX;
use crate::protocol::{ItemOutcome, Posted, Problem};
use crate::wire::http::reason_phrase;

/// A problem document (RFC 9457), and with it what became of the items of a list.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(flatten)]
    counts: Option<Counts<'a>>,
}

#[derive(Serialize)]
struct Counts<'a> {
    accepted: u64,
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<Told<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Told<'a>>>,
}

/// What is told of one item.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

impl<'a> Told<'a> {
    fn new(outcome: &'a ItemOutcome, line: Option<u64>) -> Self {
        let problem = outcome.problem.as_ref();
        Self {
            line,
            status: problem.map_or(202, |problem| problem.status),
            detail: problem.map(|problem| &*problem.detail),
            field: problem.and_then(|problem| problem.field),
            limit: problem.and_then(|problem| problem.limit),
        }
    }
}

/// The text of an answer, and what its head has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedText {
    /// 202, or the status of the problem.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// After how many seconds trying again makes sense.
    pub retry_after_s: Option<u32>,
}

/// What a publisher is told. Where nothing was accepted that is a problem: of the one item, or what all have in common.
///
/// `lines` are the numbers of the refused lines of a body of lines; only so many are told one by one. `cut_off` is why the rest of such a body
/// was not read.
#[must_use]
pub fn posted_text(posted: &Posted, lines: Option<&[u64]>, cut_off: Option<&Problem>) -> PostedText {
    let problem = match (cut_off, posted.accepted(), posted.refused()) {
        (Some(problem), ..) => Some(problem.clone()),
        (None, 0, 1..) => Some(common_problem(posted)),
        _ => None,
    };
    let told = match lines {
        Some(lines) => {
            let errors = posted.outcomes.iter().zip(lines).take(POST_ERRORS_TOLD_MAX);
            (None, Some(errors.map(|(outcome, line)| Told::new(outcome, Some(*line))).collect::<Vec<_>>()))
        }
        None if posted.list
            || posted.outcomes.iter().any(|outcome| outcome.problem.is_some() && outcome.accepted > 0) =>
        {
            (Some(posted.outcomes.iter().map(|outcome| Told::new(outcome, None)).collect()), None)
        }
        None => (None, None),
    };
    let (results, errors) = (told.0, told.1.filter(|errors: &Vec<_>| !errors.is_empty()));
    let counts = Counts { accepted: posted.accepted(), refused: posted.refused(), results, errors };
    match problem {
        None => PostedText { status: 202, body: text(&counts), retry_after_s: None },
        Some(problem) => {
            let counts = (posted.list || lines.is_some()).then_some(counts);
            PostedText {
                status: problem.status,
                body: text(&document(&problem, counts)),
                retry_after_s: problem.retry_after_s,
            }
        }
    }
}

/// The problem of all items, if they share one; otherwise that nothing was accepted.
fn common_problem(posted: &Posted) -> Problem {
    let mut problems = posted.outcomes.iter().filter_map(|outcome| outcome.problem.as_ref());
    let Some(first) = problems.next() else { return Problem::new(400, "Nothing was published.") };
    if posted.outcomes.len() == 1 || problems.clone().all(|other| other == first) {
        return first.clone();
    }
    let status = if problems.all(|other| other.status == first.status) { first.status } else { 400 };
    Problem::new(status, "No item was accepted; each has its own reason.")
}

/// The text of a problem document.
pub(super) fn problem_text(problem: &Problem) -> Vec<u8> {
    text(&document(problem, None))
}

fn document<'a>(problem: &'a Problem, counts: Option<Counts<'a>>) -> Document<'a> {
    Document {
        kind: "about:blank",
        title: reason_phrase(problem.status),
        status: problem.status,
        detail: &problem.detail,
        field: problem.field,
        limit: problem.limit,
        counts,
    }
}

fn text(value: &impl Serialize) -> Vec<u8> {
    let mut out = serde_json::to_vec(value).expect("a vector takes every byte, and the names are texts");
    out.push(b'\n');
    out
}
