//! What the fuzz targets do: one plain function per target, that panics if the input shows a fault.
//!
//! A new target is a module here, a row in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` in `Cargo.toml` and a directory of seeds in
//! `corpus/`.

mod http;

pub use http::{http_body, http_head};

/// What runs one input; it panics if the input shows a fault.
pub type Target = fn(&[u8]);

/// Every target by name: the name of its directory in `corpus/` and what runs a file of it.
pub const TARGETS: [(&str, Target); 2] = [("http_head", http_head), ("http_body", http_body)];
