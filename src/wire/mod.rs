//! Bytes to words and back, incrementally and within limits. Nothing here decides what a word means.

mod blocks;
pub mod http;
pub mod pushlet;
mod quoted;
pub mod v1;
pub mod ws;
