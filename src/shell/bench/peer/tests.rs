//! The decoders of other servers, fed in pieces of every size.
