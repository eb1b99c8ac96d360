//! The way in for threads that are no cores, one step after the other. Many interleavings are in `tests/shuttle.rs`.

use super::super::{LaneBounds, Weigh, intake};

#[derive(Debug, PartialEq, Eq)]
struct Bytes(usize);

impl Weigh for Bytes {
    fn weight(&self) -> usize {
        self.0
    }
}

/// A5: bounded in messages and in bytes; what is refused comes back whole, and is counted.
#[test]
fn there_is_room_for_so_much() {
    let (inlet, mut core) = intake(LaneBounds { messages_max: 3, bytes_max: 10 });
    assert!((0..3).all(|_| inlet.push(Bytes(1)).is_ok()));
    assert_eq!(inlet.push(Bytes(1)), Err(Bytes(1)));
    assert_eq!((core.take_refused(), core.take_refused()), (1, 0));
    while core.take().is_some() {}
    assert!(inlet.push(Bytes(6)).is_ok());
    assert_eq!(inlet.push(Bytes(5)), Err(Bytes(5)));
    assert!(inlet.push(Bytes(4)).is_ok());
    assert_eq!([core.take(), core.take(), core.take()], [Some(Bytes(6)), Some(Bytes(4)), None]);
    // One that is heavier than all the room passes alone.
    assert!(inlet.push(Bytes(100)).is_ok());
    assert_eq!(inlet.push(Bytes(0)), Err(Bytes(0)));
    assert_eq!(core.take(), Some(Bytes(100)));
    assert!(inlet.push(Bytes(10)).is_ok(), "a refusal leaves nothing behind");
    assert_eq!(core.take_refused(), 2);
}

/// A sleeper is rung for once; a core that is awake, or does not want anything, never.
#[test]
fn only_a_sleeper_is_rung_for() {
    let (inlet, mut core) = intake(LaneBounds { messages_max: 8, bytes_max: 100 });
    assert_eq!(inlet.push(Bytes(1)), Ok(false));
    assert!(!core.prepare_sleep(), "there is something to take");
    assert_eq!(inlet.push(Bytes(1)), Ok(false), "and it did not fall asleep");
    while core.take().is_some() {}
    assert!(core.prepare_sleep());
    assert_eq!([inlet.push(Bytes(1)), inlet.push(Bytes(1))], [Ok(true), Ok(false)]);
    core.wake_up();
    while core.take().is_some() {}
    assert!(core.prepare_sleep());
    core.wake_up();
    assert_eq!(inlet.push(Bytes(1)), Ok(false));
}
