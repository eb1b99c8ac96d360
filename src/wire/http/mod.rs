//! HTTP/1.1, the server's side: bytes to requests, answers to bytes. No socket, no clock.
//!
//! `httparse` reads the syntax of header fields. Above it stand the rules that keep two readers of one byte stream from seeing different
//! requests (RFC 9112): exactly one way to end a line, to name the host and to frame a body, and every bound of [`crate::limits`] held
//! while bytes arrive. Where RFC 9112 lets a recipient be lenient, this one refuses, for leniency is what request smuggling is made of.
//!
//! Not here: what a path or a query means (`wire::pushlet` and the router), deadlines (the driver sets them by [`RequestReader::phase`]),
//! HTTP/2, what a connection becomes by an upgrade ([`super::ws`]), trailers (dropped), request content coding.

mod body;
mod error;
mod head;
mod host;
mod line;
mod reader;
mod response;
mod scan;

#[cfg(test)]
mod tests;

pub use error::HttpError;
pub use head::{RequestHead, WebSocketFields};
pub(in crate::wire) use line::is_token;
pub use line::{Method, Version};
pub use reader::{HttpRequest, Phase, Progress, RequestReader, Streams};
pub use response::{
    Body, CHUNK_END, CONTINUE, LAST_CHUNK, NO_CACHE, ReplyTo, ResponseHead, Sent, chunk, chunk_head, http_date,
    reason_phrase, write_error, write_refusal, write_text,
};
