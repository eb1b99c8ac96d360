//! The bucket wheel of deadlines (placeholder of the skeleton).

/// The bucket wheel.
#[derive(Debug)]
pub struct Wheel;
