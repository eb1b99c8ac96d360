//! Who may publish and who may subscribe: rules, keys, and the identity that a presented key stands for.
//!
//! A [`Keyring`] makes an [`Identity`] of what a request presents, [`Access`] says what that identity may do, and its [`Readers`] say for one
//! event which sessions may see it. Secrets come in once and are kept as digests: none can be printed from here.

mod access;
mod identity;
mod keyring;

pub use crate::protocol::Identity;
pub use access::{Access, Action, Denied, Readers, Rule, Who};
pub use identity::Names;
pub use keyring::{Keyring, UnknownKey};

#[cfg(test)]
mod tests;
