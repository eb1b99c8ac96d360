//! Session ids and public addresses: 128 random bits each, and the shard that says which core holds the session (rule P-34).

use std::fmt;

use crate::limits::SHARDS;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// In [`VALUES`], what is no letter of the alphabet.
const NO_LETTER: u8 = 0xFF;
/// The place of each byte in the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [NO_LETTER; 256];
    let mut place = 0;
    while place < ALPHABET.len() {
        values[ALPHABET[place] as usize] = place as u8;
        place += 1;
    }
    values
};
/// Two letters of shard, twenty-two of secret.
const TEXT_BYTES: usize = 24;

/// One of [`SHARDS`] groups of sessions. A table made at start maps shards to cores, so the number of cores may change with a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u16);

impl Shard {
    /// The shard of this number, taken modulo [`SHARDS`].
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number % SHARDS)
    }

    /// Its number, below [`SHARDS`].
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Which core holds which shard: made once at start, the same on every core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardTable {
    cores: u16,
}

impl ShardTable {
    /// Spreads the shards evenly over `cores` cores, 1 to [`SHARDS`].
    #[must_use]
    pub fn new(cores: u16) -> Self {
        Self { cores: cores.clamp(1, SHARDS) }
    }

    /// How many cores there are.
    #[must_use]
    pub const fn cores(&self) -> u16 {
        self.cores
    }

    /// The core that holds `shard`.
    #[must_use]
    pub const fn core_of(&self, shard: Shard) -> u16 {
        shard.0 % self.cores
    }

    /// One of the shards of `core`, chosen by random bits.
    #[must_use]
    pub const fn pick(&self, core: u16, bits: u64) -> Shard {
        let turns = (SHARDS / self.cores) as u64;
        Shard(core % self.cores + self.cores * (bits % turns) as u16)
    }
}

/// What both kinds of id are made of. Packed to 24 bytes: a `u128` would make it 32, twice in every session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(Rust, packed(8))]
struct Token {
    shard: Shard,
    bits: u128,
}

impl Token {
    /// URL-safe text: 6 bits a letter, the shard first. The ten bits of the shard leave two spare ones, and 128 bits leave four: all zero.
    fn to_text(self) -> [u8; TEXT_BYTES] {
        let mut text = [0; TEXT_BYTES];
        let letter = |value: u128| ALPHABET[(value & 63) as usize];
        text[0] = letter(u128::from(self.shard.0 >> 6));
        text[1] = letter(u128::from(self.shard.0));
        for (place, slot) in text[2..].iter_mut().enumerate() {
            let shift = 122_u32.saturating_sub(6 * place as u32);
            *slot = if place == 21 { letter(self.bits << 4) } else { letter(self.bits >> shift) };
        }
        text
    }

    fn from_text(text: &str) -> Option<Self> {
        let letters: &[u8; TEXT_BYTES] = text.as_bytes().try_into().ok()?;
        let value = |letter: u8| {
            let six = VALUES[usize::from(letter)];
            (six != NO_LETTER).then_some(u128::from(six))
        };
        let shard = (value(letters[0])? << 6 | value(letters[1])?) as u16;
        let mut bits: u128 = 0;
        for (place, letter) in letters[2..].iter().enumerate() {
            let six = value(*letter)?;
            bits = if place == 21 { bits << 2 | six >> 4 } else { bits << 6 | six };
        }
        let token = Self { shard: Shard(shard), bits };
        (shard < SHARDS && token.to_text() == *letters).then_some(token)
    }
}

/// A session's secret name, its `p_id`. Whoever knows it acts as the session, so it is never logged: `Debug` shows the shard only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(Token);

/// A session's public name, the `p_from` of its events. It is no secret and gives no right but to send to the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(Token);

macro_rules! token_text {
    ($name:ident) => {
        impl $name {
            /// Makes one from 128 random bits of the kernel.
            #[must_use]
            pub const fn new(shard: Shard, bits: u128) -> Self {
                Self(Token { shard, bits })
            }

            /// Reads its text; only the text that [`fmt::Display`] writes is accepted.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Token::from_text(text).map(Self)
            }

            /// Bits to find it by in a table: its own, which are random.
            #[must_use]
            pub const fn hash(self) -> u64 {
                self.0.bits as u64
            }

            /// Which shard holds the session.
            #[must_use]
            pub const fn shard(self) -> Shard {
                self.0.shard
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // The alphabet is ASCII.
                f.write_str(std::str::from_utf8(&self.0.to_text()).unwrap_or_default())
            }
        }
    };
}

token_text!(SessionId);
token_text!(Address);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId(shard {}, secret)", self.0.shard.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// P-34: the text of an id is URL-safe and reads back as the same id, shard included.
        #[test]
        fn ids_survive_their_text(shard in 0..SHARDS, bits: u128) {
            let id = SessionId::new(Shard::new(shard), bits);
            let text = id.to_string();
            prop_assert_eq!(text.len(), TEXT_BYTES);
            prop_assert!(text.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_'));
            prop_assert_eq!(SessionId::parse(&text), Some(id));
            prop_assert_eq!(id.shard().number(), shard);
        }

        #[test]
        fn any_text_that_parses_is_the_canonical_one(text in "[A-Za-z0-9_-]{24}") {
            if let Some(id) = SessionId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn a_picked_shard_belongs_to_its_core() {
        for cores in [1, 2, 3, 7, 64, SHARDS] {
            let table = ShardTable::new(cores);
            for core in 0..cores {
                for bits in [0, 1, 77, 1023, u64::MAX] {
                    let shard = table.pick(core, bits);
                    assert_eq!(table.core_of(shard), core);
                    assert!(shard.number() < SHARDS);
                }
            }
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "x",
            "wezudomyhu",
            "________________________",
            "AAAAAAAAAAAAAAAAAAAAAAA\u{e9}",
            "AAAAAAAAAAAAAAAAAAAAAAAB",
        ] {
            assert_eq!(SessionId::parse(text), None, "{text:?}");
        }
    }

    /// P-34: the secret is never logged.
    #[test]
    fn debug_keeps_the_secret() {
        let id = SessionId::new(Shard::new(7), 0x1234_5678_9abc_def0);
        assert_eq!(format!("{id:?}"), "SessionId(shard 7, secret)");
    }
}
