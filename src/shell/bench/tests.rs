//! Decoders in any pieces.
