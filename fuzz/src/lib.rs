//! What the fuzz targets do: one plain function per target, that panics if the input shows a fault.
//!
//! A new target is a module here, a row in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` in `Cargo.toml` and a directory of seeds in
//! `corpus/`.

mod http;
mod pushlet;
mod v1;
mod ws;

pub use http::{http_body, http_head};
pub use pushlet::{connection, post_event, query_form};
pub use v1::{v1_publish, v1_query};
pub use ws::ws_inbound;

/// What runs one input; it panics if the input shows a fault.
pub type Target = fn(&[u8]);

/// Every target by name: the name of its directory in `corpus/` and what runs a file of it.
pub const TARGETS: [(&str, Target); 8] = [
    ("http_head", http_head),
    ("http_body", http_body),
    ("query_form", query_form),
    ("post_event", post_event),
    ("connection", connection),
    ("v1_query", v1_query),
    ("v1_publish", v1_publish),
    ("ws_inbound", ws_inbound),
];
