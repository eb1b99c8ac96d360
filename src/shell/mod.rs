//! The only door to the kernel: sockets, clocks, randomness, signals, files, threads (invariant A1). What is decided is decided elsewhere;
//! here bytes are moved.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the bans keep the kernel out of the other rooms; this room is where it is let in"
)]

mod admin;
pub mod args;
pub mod bench;
mod boot;
pub mod client;
mod clock;
mod connection;
mod core;
mod effects;
pub mod embed;
mod entropy;
mod exchange;
mod flusher;
mod gate;
mod handover;
mod listener;
mod logging;
mod net;
mod pacer;
mod pages;
pub mod readiness;
mod ring;
mod router;
mod signals;
pub mod source;
mod sys;
mod upload;
mod v1;
mod web;
mod wiring;
mod worker;

pub use boot::serve;
