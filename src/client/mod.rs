//! The WebSocket client of `/v1/ws`: what a program in Rust listens and publishes with.
//!
//! [`Conversation`] is one connection without a socket: the handshake, the messages of both directions, pings, closing, and the times at which
//! a silence means something. Bytes, instants and random masks come in; bytes, deadlines and [`Incoming`] values go out. Whoever has an event
//! loop of his own drives it there. [`Client`] does that on a socket of the standard library, with a thread: it connects again when a
//! connection is lost, with the pauses that the server asks for, and subscribes to what it was subscribed to.
//!
//! Not here: TLS. A `wss://` address is answered by a proxy that stands before the server; give the client the server's own address, or run
//! the conversation over a stream of your own. Messages that the client sends are not compressed.
//!
//! ```no_run
//! use pushletd::client::{Client, Options, Told};
//!
//! let client = Client::connect("ws://127.0.0.1:8080/", Options::new().subject("/chat/*"))?;
//! client.publish("/chat/lobby", &"hello")?.wait()?;
//! for told in &client {
//!     match told {
//!         Told::Event(event) => println!("{}: {}", event.subject(), event.data().unwrap_or("bytes")),
//!         Told::Lost(events) => println!("{events} events were lost: we read too slowly"),
//!         Told::Reset { reason } => println!("events may be missing: {reason}"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok::<(), pushletd::client::Error>(())
//! ```

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "the terminal tools read whole answers with it"))]
pub(crate) mod answer;
mod backoff;
mod blocking;
mod closing;
mod conversation;
mod event;
mod handshake;
mod message;
mod request;
#[cfg(test)]
mod tests;
pub(crate) mod url;

pub use backoff::Backoff;
#[cfg(feature = "server")]
pub(crate) use blocking::Masks;
#[cfg(all(test, feature = "server"))]
pub(crate) use blocking::fake;
pub use blocking::{Ack, Client, Error, Events, Handle, Options, Pending, Told};
pub use closing::{Advice, Closed, advice_for};
pub use conversation::Conversation;
pub use event::Event;
pub use handshake::{Agreed, Handshake, Offer, Refusal};
pub use message::{End, Incoming, Nack, Session};
pub use request::{Publication, Request, Subscription, Unsent};
pub use url::Url;
