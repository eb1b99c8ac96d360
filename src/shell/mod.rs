//! The only door to the kernel (placeholder of the skeleton)
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the shell is where clocks and locks live")]

pub mod args;
