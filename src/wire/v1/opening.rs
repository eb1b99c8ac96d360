//! Requests that begin a session, or go on with one.

use core::num::NonZeroU16;

use super::query::Query;
use crate::limits::{LAST_EVENT_ID_BYTES_MAX, PAD_BYTES_MAX, PULL_WAIT_MS_RANGE};
use crate::protocol::{ClaimedId, Command, Door, Opening, Problem, QueueWish, SubscriptionWish, WantedSubscription};

/// Reads what a session is to begin with: `subject` (repeated, or with commas), and behind a `subject`, for its events, `queue` and `conflate`;
/// what stands before the first `subject` holds for all. `last_event_id` is the header; browsers send it when they come again.
///
/// # Errors
///
/// A 400 that names the parameter.
pub fn opening(door: Door, query: &Query, last_event_id: Option<&str>) -> Result<Opening, Problem> {
    let mut for_all = SubscriptionWish::default();
    let mut subscriptions: Vec<WantedSubscription> = Vec::new();
    let (mut pad, mut last, mut heartbeats) = (0, last_event_id, false);
    let mut names_in_data = false;
    for (name, value) in query.iter() {
        let wish = subscriptions.last_mut().map_or(&mut for_all, |wanted| &mut wanted.wish);
        match name {
            "subject" => subscriptions.push(WantedSubscription { list: Box::from(value), wish: for_all }),
            "queue" => wish.queue = Some(queue(value)?),
            "conflate" => wish.conflate = switch(value)?,
            "heartbeat" if door != Door::LongPoll => heartbeats = visible(value)?,
            "names" if door == Door::EventStream => names_in_data = in_data(value)?,
            "pad" if door == Door::EventStream => pad = padding(value)?,
            // What replacements of EventSource send, which cannot set a header.
            "last_event_id" | "lastEventId" if last.is_none() => last = Some(value),
            _ => {}
        }
    }
    if subscriptions.is_empty() && !matches!(door, Door::WebSocket { .. }) {
        let detail =
            "No subject is named. Say what to listen to: ?subject=/news, more of them with commas or by repeating it.";
        return Err(Problem::field("subject", detail));
    }
    // Each by itself, so that each can be taken back. What shares a queue stays together, but where each is a subscription by the door's rules.
    let is_single = |wanted: &WantedSubscription| matches!(door, Door::WebSocket { .. }) || wanted.wish.queue.is_none();
    let subscriptions = subscriptions.into_iter().flat_map(|wanted| match is_single(&wanted) {
        true => singly(&wanted.list, wanted.wish),
        false => vec![wanted],
    });
    let subscriptions = subscriptions.collect();
    let last_event_id = last.filter(|id| !id.is_empty()).map(|id| {
        let fits = id.len() <= LAST_EVENT_ID_BYTES_MAX;
        Box::from(if fits { id } else { "" })
    });
    Ok(Opening { door, subscriptions, last_event_id, pad, heartbeats, names_in_data })
}

/// Each item of a comma list as a subscription of its own, so that each can be taken back. A list of nothing stays what it is: it is refused.
pub(super) fn singly(list: &str, wish: SubscriptionWish) -> Vec<WantedSubscription> {
    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    let mut found: Vec<_> = items.map(|item| WantedSubscription { list: Box::from(item), wish }).collect();
    if found.is_empty() {
        found.push(WantedSubscription { list: Box::from(list), wish });
    }
    found
}

/// Reads what a session of a modern door is to hear as well, or no more: `session`, and the rest as [`opening`] does.
///
/// # Errors
///
/// A 400 that names the parameter.
pub fn amendment(query: &Query, add: bool) -> Result<Command, Problem> {
    let session = query.get("session");
    let missing = "No session is named: session is what the first event of the session calls itself.";
    let id = ClaimedId::from_field(Some(session.ok_or_else(|| Problem::field("session", missing))?));
    let Opening { subscriptions, .. } = opening(Door::LongPoll, query, None)?;
    if !add {
        // As they came: what shares a queue is one subscription.
        let lists = query.iter().filter(|(name, _)| *name == "subject").map(|(_, list)| Box::from(list)).collect();
        return Ok(Command::Remove { id, lists });
    }
    Ok(Command::Add { id, wanted: subscriptions.iter().flat_map(|wanted| singly(&wanted.list, wanted.wish)).collect() })
}

fn in_data(value: &str) -> Result<bool, Problem> {
    match value {
        "data" => Ok(true),
        "" | "event" => Ok(false),
        _ => Err(Problem::field("names", "names is data, or not there.")),
    }
}

fn visible(value: &str) -> Result<bool, Problem> {
    match value {
        "event" => Ok(true),
        "" | "comment" => Ok(false),
        _ => Err(Problem::field("heartbeat", "heartbeat is event, or not there.")),
    }
}

/// Reads a request for `/v1/poll`: the first of a session names its subjects, the others name the session.
///
/// # Errors
///
/// A 400 that names the parameter.
pub fn poll(query: &Query) -> Result<Command, Problem> {
    let Some(session) = query.get("session") else {
        return opening(Door::LongPoll, query, None).map(|opening| Command::Open(Box::new(opening)));
    };
    if query.get("subject").is_some() {
        let detail = "A session's subjects are named when it begins: leave out either subject or session.";
        return Err(Problem::field("subject", detail));
    }
    let wait_ms = query.get("wait").map(wait).transpose()?;
    Ok(Command::PollNext { id: ClaimedId::from_field(Some(session)), wait_ms })
}

fn wait(value: &str) -> Result<u32, Problem> {
    let seconds = number(value).filter(|seconds| u64::from(*seconds) * 1000 <= PULL_WAIT_MS_RANGE.1);
    let max = PULL_WAIT_MS_RANGE.1 / 1000;
    let wrong = || Problem::field("wait", format!("wait is a number of seconds, 0 to {max}.")).limit(max as usize);
    seconds.map(|seconds| seconds * 1000).ok_or_else(wrong)
}

fn queue(value: &str) -> Result<NonZeroU16, Problem> {
    let wish = QueueWish::read(Some(value), None).ok().and_then(|wish| wish.events_max);
    wish.ok_or_else(|| Problem::field("queue", "queue is a number of events, at least 1."))
}

fn switch(value: &str) -> Result<bool, Problem> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::field("conflate", "conflate is true or false.")),
    }
}

fn padding(value: &str) -> Result<u16, Problem> {
    let bytes = number(value).and_then(|bytes| u16::try_from(bytes).ok()).filter(|bytes| *bytes <= PAD_BYTES_MAX);
    bytes.ok_or_else(|| {
        let detail = format!("pad is a number of bytes, 0 to {PAD_BYTES_MAX}.");
        Problem::field("pad", detail).limit(usize::from(PAD_BYTES_MAX))
    })
}

/// A decimal number without a sign.
fn number(value: &str) -> Option<u32> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten()
}
