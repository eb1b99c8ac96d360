//! The holder of a named key, as a number.

use crate::protocol::Identity;

/// The names of keys and the identities that they stand for.
///
/// A session remembers its identity while the configuration is read again. So a name keeps its identity for the life of the process, also
/// while no key has the name, and no identity is ever given to a second name.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<Box<str>>);

impl Names {
    /// The identity of the holder of the key `name`: the same at every call.
    pub fn identity(&mut self, name: &str) -> Identity {
        let known = self.0.iter().position(|known| **known == *name);
        let at = known.unwrap_or_else(|| {
            self.0.push(Box::from(name));
            self.0.len() - 1
        });
        // A reload brings KEYS_MAX new names at most: nobody has the time for 2^26 of them.
        Identity::from_number(u32::try_from(at + 1).expect("names are bounded by reloads"))
    }

    /// The name behind `identity`, for the log of the operator. `None` for [`Identity::NOBODY`].
    #[must_use]
    pub fn name(&self, identity: Identity) -> Option<&str> {
        let at = usize::try_from(identity.number()).ok()?.checked_sub(1)?;
        self.0.get(at).map(AsRef::as_ref)
    }
}
