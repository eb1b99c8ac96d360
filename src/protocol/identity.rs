//! Who asks, as far as access rules tell people apart.

/// Who sent a request, or whose session it is: the holder of a named key, or nobody in particular. It is a number and no secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u32);

impl Identity {
    /// Who presented no key.
    pub const NOBODY: Self = Self(0);
    /// Who presented a key that is nobody's.
    pub const UNKNOWN: Self = Self(u32::MAX);

    /// The holder of the key with this number, from 1.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number, for the arithmetic of constant time.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether no key was presented.
    #[must_use]
    pub const fn is_nobody(self) -> bool {
        self.0 == 0
    }

    /// Whether it is the holder of a key that there is.
    #[must_use]
    pub const fn is_known(self) -> bool {
        !self.is_nobody() && self.0 != Self::UNKNOWN.0
    }
}
