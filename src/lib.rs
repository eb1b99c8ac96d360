//! pushletd: a server-push server for Linux that speaks the Pushlet protocol.
//!
//! The rooms stand in dependency order; a room names only rooms above it (`tests/tidy.rs` holds the table, `ARCHITECTURE.md` the why).
//! All of them but `shell`, and the blocking half of `client`, are pure: bytes, instants and commands in, bytes, deadlines and outputs out.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod limits;
pub mod time;

pub mod topic;

pub mod protocol;

pub mod wire;

pub mod auth;

pub mod session;

pub mod metrics;

pub mod mesh;

pub mod broker;

pub mod config;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "server")]
pub mod shell;

#[cfg(feature = "server")]
pub use shell::embed::{FieldProblem, Interest, Message, PublishError, Publisher, Server, Stopped, Waker};
#[cfg(feature = "server")]
pub use shell::source::{PullSource, PushSource, SourceError};
