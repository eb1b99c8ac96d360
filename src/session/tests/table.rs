//! The table of sessions against a plain list.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::super::{Session, SessionKey, Sessions};
use crate::protocol::{Address, Format, SessionId, Shard};

fn session(id: u8, address: u8) -> Session {
    let shard = Shard::new(5);
    let (id, address) = (SessionId::new(shard, u128::from(id)), Address::new(shard, u128::from(address)));
    Session::new(id, address, Format::Js, false)
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u8),
    /// Removes what the insertion of this number made, alive or not.
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![3 => (0..24_u8, 0..24_u8).prop_map(|(id, address)| Step::Insert(id, address)), 2 => (0..40_usize).prop_map(Step::Remove)]
}

proptest! {
    #![proptest_config(Config { cases: 256, rng_seed: RngSeed::Fixed(34), failure_persistence: None, ..Config::default() })]

    /// P-34: names are found while their session lives, and a key of the past finds nobody.
    #[test]
    fn the_table_is_its_list(steps in prop::collection::vec(step(), 1..120)) {
        let mut sessions = Sessions::new();
        let mut made: Vec<(SessionKey, u8, u8)> = Vec::new();
        let mut alive: Vec<usize> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(id, address) => {
                    let taken = alive.iter().any(|at| made[*at].1 == id || made[*at].2 == address);
                    let key = sessions.insert(session(id, address));
                    prop_assert_eq!(key.is_none(), taken);
                    if let Some(key) = key {
                        alive.push(made.len());
                        made.push((key, id, address));
                    }
                }
                Step::Remove(at) => {
                    let Some((key, id, _)) = made.get(at).copied() else { continue };
                    let gone = sessions.remove(key).map(|gone| gone.id);
                    let expected = alive.contains(&at).then(|| session(id, 0).id);
                    prop_assert_eq!(gone, expected);
                    alive.retain(|living| *living != at);
                }
            }
            prop_assert_eq!((sessions.len(), sessions.is_empty()), (alive.len(), alive.is_empty()));
            prop_assert_eq!((sessions.keys().len(), sessions.iter().count()), (alive.len(), alive.len()));
            for (at, (key, id, address)) in made.iter().enumerate() {
                let living = alive.contains(&at);
                prop_assert_eq!(sessions.get(*key).is_some(), living);
                if living {
                    prop_assert_eq!(sessions.by_id(session(*id, 0).id), Some(*key));
                    prop_assert_eq!(sessions.by_address(session(0, *address).address), Some(*key));
                    prop_assert_eq!(sessions.in_slot_mut(key.slot).map(|(found, _)| found), Some(*key));
                }
            }
            for name in 0..24 {
                let named = alive.iter().find(|at| made[**at].1 == name).map(|at| made[*at].0);
                prop_assert_eq!(sessions.by_id(session(name, 0).id), named);
            }
        }
    }
}
