//! The hazards of monoio 0.2.4 and of the kernel beneath it, each pinned by a test that says why it may not be deleted.
//!
//! A test of this file has up to two halves. One shows the trap: if it fails after an update of the runtime, the trap is gone, and the
//! rule that keeps us out of it may be thought over. The other shows that our way does not fall into it: if that one fails, clients lose
//! bytes, connections or time. Nothing here waits by the clock for something to have happened; a wait that never ends fails the test.

#![cfg(feature = "server")]

#[path = "monoio_traps/accept.rs"]
mod accept;
#[path = "monoio_traps/build.rs"]
mod build;
#[path = "monoio_traps/descriptors.rs"]
mod descriptors;
#[path = "monoio_traps/read.rs"]
mod read;
#[path = "monoio_traps/starve.rs"]
mod starve;
#[path = "monoio_traps/support.rs"]
mod support;
