//! From a presented secret to an identity.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::limits::SECRET_BYTES_RANGE;
use crate::protocol::Identity;

/// A secret as it is kept: nothing can be read from it, and all have the same length. Words, for they are compared eight times as fast as
/// bytes.
type SecretDigest = [u64; 4];

/// The secrets of all keys. A key may have several, so that a new one can be handed out before the old one goes.
///
/// Only digests are kept. Looking for a presented secret takes the same time whatever is found: every digest is compared to its end.
#[derive(Clone, Default)]
pub struct Keyring {
    entries: Vec<(SecretDigest, Identity)>,
}

/// A key was presented, and it is none of ours: 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownKey;

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key that was presented is not known here")
    }
}

impl std::error::Error for UnknownKey {}

impl Keyring {
    /// A ring of these secrets, each with the identity of its key's name.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = (Identity, &'a [u8])>) -> Self {
        let entries = secrets.into_iter().map(|(identity, secret)| (digest(secret), identity));
        Self { entries: entries.collect() }
    }

    /// How many secrets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whose secret it is.
    ///
    /// # Errors
    ///
    /// [`UnknownKey`] if it is nobody's.
    pub fn find(&self, secret: &[u8]) -> Result<Identity, UnknownKey> {
        // How long a presented text is, only its sender can be told.
        if secret.len() > SECRET_BYTES_RANGE.1 {
            return Err(UnknownKey);
        }
        let presented = digest(secret);
        let mut found = Identity::NOBODY.number();
        for (known, identity) in &self.entries {
            found.conditional_assign(&identity.number(), known.as_slice().ct_eq(&presented));
        }
        match Identity::from_number(found) {
            Identity::NOBODY => Err(UnknownKey),
            identity => Ok(identity),
        }
    }

    /// Who a request is from. `authorization` is the value of its `Authorization` field, `parameter` its query parameter for the key.
    ///
    /// A Bearer token goes before the parameter; other schemes are somebody else's (a proxy's, as a rule) and say nothing here. Without any
    /// key in the configuration nothing is looked at: what is called `key` may mean anything then.
    ///
    /// # Errors
    ///
    /// [`UnknownKey`] if a key was presented that is nobody's.
    pub fn identify(&self, authorization: Option<&str>, parameter: Option<&str>) -> Result<Identity, UnknownKey> {
        if self.is_empty() {
            return Ok(Identity::NOBODY);
        }
        match authorization.and_then(bearer).or(parameter) {
            Some(secret) => self.find(secret.as_bytes()),
            None => Ok(Identity::NOBODY),
        }
    }
}

/// Says how many there are and nothing about them.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("secrets", &self.len()).finish_non_exhaustive()
    }
}

fn digest(secret: &[u8]) -> SecretDigest {
    let digest = Sha256::digest(secret);
    let mut words = SecretDigest::default();
    for (word, bytes) in words.iter_mut().zip(digest.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// The token of `Bearer TOKEN` (RFC 6750 section 2.1; the scheme in any letter case, RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}
