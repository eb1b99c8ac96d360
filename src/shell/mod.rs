//! The only door to the kernel: sockets, clocks, randomness, signals, files, threads (invariant A1). What is decided is decided elsewhere;
//! here bytes are moved.

mod boot;
mod clock;
mod connection;
mod core;
mod entropy;
mod flusher;
mod listener;
mod logging;
mod net;
mod reload;
mod router;
mod signals;

pub use boot::{Stopped, serve};
