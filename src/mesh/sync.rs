//! What the room takes from the machine: atomics, fences, a bounded queue. Everything here comes from this one place, so that
//! `tests/shuttle.rs` can put a scheduler that tries many interleavings under the very same sources.

pub(super) use crossbeam_queue::ArrayQueue;
pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
