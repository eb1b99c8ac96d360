//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), both ends: bytes to messages, messages to bytes. No socket, no clock, no randomness.
//!
//! tungstenite reads and writes the headers of frames and knows the close codes. The messages above them are ours: its own refuse the bit by
//! which a compressed message is known, and hold memory while nothing is under way. Here an [`Inbound`] exists only from the first byte of a
//! message to its last, and what it holds grows with what has come, never with what a header announces.
//!
//! Not here: what a message means, when to send which close code, pings by the clock. The masks of a client come from outside.

mod deflate;
mod extensions;
mod frame;
mod handshake;
mod inbound;

#[cfg(test)]
mod tests;

pub use deflate::{Deflater, TAIL, inflate, stored_block};
pub use frame::{Closing, Fault, HEAD_BYTES_MAX, Opcode, answer_code, close, closing, head, write, write_masked};
pub use handshake::{PROTOCOL, Upgrade, accept_key, switching_protocols, upgrade};
pub use inbound::{Bounds, Inbound, Incoming, Role};
