//! The holder of a named key, as a number.

/// Who sent a request, or whose session it is: the holder of a named key, or nobody in particular.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u32);

impl Identity {
    /// Who presented no key.
    pub const NOBODY: Self = Self(0);

    /// Whether no key was presented.
    #[must_use]
    pub const fn is_nobody(self) -> bool {
        self.0 == 0
    }

    /// The number, for the arithmetic of constant time.
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

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
        Identity(u32::try_from(at + 1).expect("names are bounded by reloads"))
    }

    /// The name behind `identity`, for the log of the operator. `None` for [`Identity::NOBODY`].
    #[must_use]
    pub fn name(&self, identity: Identity) -> Option<&str> {
        let at = usize::try_from(identity.0).ok()?.checked_sub(1)?;
        self.0.get(at).map(AsRef::as_ref)
    }
}
