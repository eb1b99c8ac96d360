//! Bytes to words and back, incrementally and within limits. Nothing here decides what a word means.

pub mod http;
pub mod pushlet;
pub mod v1;
pub mod ws;
