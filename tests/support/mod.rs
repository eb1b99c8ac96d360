//! What the socket tests share: the real program as a child process, a raw HTTP client, and readers of every Pushlet
//! format.
//!
//! A test crate says `mod support;` and takes what it needs, so some of this is unused in each of them.
#![allow(dead_code, reason = "every test crate compiles this module and uses a part of it")]

pub(crate) mod cores;
pub(crate) mod http;
pub(crate) mod java;
pub(crate) mod look;
pub(crate) mod pushlet;
pub(crate) mod server;
mod wait;
pub(crate) mod websocket;
