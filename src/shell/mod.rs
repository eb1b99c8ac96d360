//! The only door to the kernel (placeholder of the skeleton)

pub mod client;
