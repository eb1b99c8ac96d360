//! Golden exchanges and timing through the pure core.
