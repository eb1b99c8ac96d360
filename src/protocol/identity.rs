//! Who asks, as far as access rules tell people apart.

/// Which of the configured keys a request presented. It names the key, not its holder, and is no secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity(u16);

impl Identity {
    /// Nobody in particular: no key was presented.
    pub const NOBODY: Self = Self(0);

    /// The holder of the key with this number, from 0.
    #[must_use]
    pub const fn of_key(number: u16) -> Self {
        Self(number.saturating_add(1))
    }

    /// The number of the key; `None` for nobody.
    #[must_use]
    pub const fn key(self) -> Option<u16> {
        self.0.checked_sub(1)
    }
}
