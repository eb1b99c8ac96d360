//! All sessions of one core: a slab, and the two names by which they are found.

use hashbrown::HashTable;
use slab::Slab;

use super::Session;
use crate::protocol::{Address, SessionId};

/// Names a session while it lives. The slot is used again; the generation tells a later session apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// The slot.
    pub slot: u32,
    /// Which life of the slot.
    pub generation: u32,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    session: Session,
}

/// What a session takes in the table itself, in bytes; what the slab adds is none as long as a session has unused bit patterns.
#[cfg(test)]
pub(super) const SLOT_BYTES: usize = size_of::<Slot>();

/// The sessions of one core.
///
/// Invariant: `by_id` and `by_address` hold exactly the slots of `slots`.
///
/// The tables store slot numbers only and hash a name by its own bits: names are random bits of ours, and a name that a client made up
/// adds nothing to a table, so nobody can build collisions.
#[derive(Debug, Default)]
pub struct Sessions {
    slots: Slab<Slot>,
    by_id: HashTable<u32>,
    by_address: HashTable<u32>,
    generation: u32,
}

impl Sessions {
    /// No sessions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many slots there may be sessions in: every session's slot is below this.
    #[must_use]
    pub fn slots(&self) -> u32 {
        // More than the table's length, which cannot be asked for; a slot is a u32 since `insert`.
        u32::try_from(self.slots.capacity()).unwrap_or(u32::MAX)
    }

    /// Takes a session in. `None` if its id or address is in use: the caller draws again (it never happens with 128 random bits).
    pub fn insert(&mut self, session: Session) -> Option<SessionKey> {
        if self.by_id(session.id).is_some() || self.by_address(session.address).is_some() {
            return None;
        }
        let (id, address) = (session.id, session.address);
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let slot = u32::try_from(self.slots.insert(Slot { generation, session })).ok()?;
        let slots = &self.slots;
        self.by_id.insert_unique(id.hash(), slot, |slot| slots[*slot as usize].session.id.hash());
        self.by_address.insert_unique(address.hash(), slot, |slot| slots[*slot as usize].session.address.hash());
        Some(SessionKey { slot, generation })
    }

    /// Takes a session out.
    pub fn remove(&mut self, key: SessionKey) -> Option<Session> {
        self.get(key)?;
        let session = self.slots.try_remove(key.slot as usize)?.session;
        for (table, hash) in [(&mut self.by_id, session.id.hash()), (&mut self.by_address, session.address.hash())] {
            if let Ok(found) = table.find_entry(hash, |slot| *slot == key.slot) {
                found.remove();
            }
        }
        Some(session)
    }

    /// The session of a key.
    #[must_use]
    pub fn get(&self, key: SessionKey) -> Option<&Session> {
        self.slots.get(key.slot as usize).filter(|slot| slot.generation == key.generation).map(|slot| &slot.session)
    }

    /// The session of a key, to change it.
    pub fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|slot| slot.generation == key.generation)
            .map(|slot| &mut slot.session)
    }

    /// The session in a slot that the trie named.
    #[must_use]
    pub fn in_slot(&self, slot: u32) -> Option<&Session> {
        self.slots.get(slot as usize).map(|held| &held.session)
    }

    /// The session in a slot that the trie named, and its key: the trie forgets a session before its slot is free.
    pub fn in_slot_mut(&mut self, slot: u32) -> Option<(SessionKey, &mut Session)> {
        let found = self.slots.get_mut(slot as usize)?;
        Some((SessionKey { slot, generation: found.generation }, &mut found.session))
    }

    /// Finds a session by its secret name.
    #[must_use]
    pub fn by_id(&self, id: SessionId) -> Option<SessionKey> {
        let slot = *self.by_id.find(id.hash(), |slot| self.slots[*slot as usize].session.id == id)?;
        Some(self.key(slot))
    }

    /// Finds a session by its public name.
    #[must_use]
    pub fn by_address(&self, address: Address) -> Option<SessionKey> {
        let slot =
            *self.by_address.find(address.hash(), |slot| self.slots[*slot as usize].session.address == address)?;
        Some(self.key(slot))
    }

    fn key(&self, slot: u32) -> SessionKey {
        SessionKey { slot, generation: self.slots[slot as usize].generation }
    }

    /// All sessions, in the order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().map(|(_, held)| &held.session)
    }

    /// All keys, in the order of the slots.
    #[must_use]
    pub fn keys(&self) -> Vec<SessionKey> {
        self.slots.iter().map(|(slot, held)| SessionKey { slot: slot as u32, generation: held.generation }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Format, Shard};

    fn session(bits: u128) -> Session {
        let shard = Shard::new(3);
        Session::new(SessionId::new(shard, bits), Address::new(shard, !bits), Format::Xml, false)
    }

    #[test]
    fn a_session_is_found_by_both_names_until_it_is_removed() {
        let mut sessions = Sessions::new();
        let keys: Vec<_> = (0..1000).map(|bits| sessions.insert(session(bits)).expect("a new name")).collect();
        for (bits, key) in (0..).zip(&keys) {
            assert_eq!(sessions.by_id(session(bits).id), Some(*key));
            assert_eq!(sessions.by_address(session(bits).address), Some(*key));
        }
        let gone = sessions.remove(keys[17]).expect("there");
        assert_eq!((sessions.by_id(gone.id), sessions.by_address(gone.address)), (None, None));
        assert!(sessions.get(keys[17]).is_none() && sessions.remove(keys[17]).is_none());
    }

    #[test]
    fn a_key_does_not_outlive_its_session() {
        let mut sessions = Sessions::new();
        let old = sessions.insert(session(1)).expect("a new name");
        sessions.remove(old);
        let new = sessions.insert(session(2)).expect("a new name");
        assert_eq!(old.slot, new.slot, "the slot is used again");
        assert!(sessions.get(old).is_none() && sessions.get(new).is_some());
    }

    #[test]
    fn a_name_in_use_is_refused() {
        let mut sessions = Sessions::new();
        assert!(sessions.insert(session(1)).is_some());
        assert!(sessions.insert(session(1)).is_none());
        assert_eq!(sessions.len(), 1);
    }
}
