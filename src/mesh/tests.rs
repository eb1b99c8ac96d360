//! The room without interleavings; those are tried by `tests/shuttle.rs`.
