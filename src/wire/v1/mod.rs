//! The bytes of the modern doors, below `/v1/`: requests to commands, events to JSON objects, by themselves or in Server-Sent Events.
//!
//! An event is a JSON object. Like everywhere its bytes are shared by all sessions ([`shared_part`]), and what is personal, here only how many
//! events were lost before it, stands in front ([`personal_part`], invariant A9). Every answer to a request that cannot be served is a problem
//! document (RFC 9457) that names the field at fault and the bound.

mod answer;
mod event;
mod head;
mod json;
mod lines;
mod message;
mod opening;
mod posted;
mod publish;
mod query;

#[cfg(test)]
mod tests;

pub use answer::{end_event, poll_end, poll_prologue, session_answer, session_event};
pub use event::{HEARTBEAT, heartbeat, personal_part, shared_part};
pub use head::{Extra, accepts, answer_head, media_type, problem, problem_405, write_posted};
pub use lines::{Lines, Summary};
pub use message::{
    RequestId, SUBPROTOCOL, Wanted, WsRequest, ack, end_message, nack, pong, posted, request, requests,
    session_messages,
};
pub use opening::{amendment, opening, poll};
pub use posted::{PostedText, posted_text};
pub use publish::{Body, is_lines, line, read};
pub use query::{Query, first};
