//! The sources of the room `mesh` once more, over a machine that a scheduler drives: only `sync` is another.
#![allow(unreachable_pub, dead_code, reason = "the room is public in its crate, and not all of it is used here")]

#[path = "../../src/mesh/handover.rs"]
mod handover;
#[path = "../../src/mesh/intake.rs"]
mod intake;
#[path = "../../src/mesh/lane.rs"]
mod lane;
#[path = "../../src/mesh/port.rs"]
mod port;

pub use handover::{Arrivals, Departures};
pub use intake::{Intake, intake};
pub use lane::{LaneBounds, Weigh};
pub use port::{Port, ports};

/// In place of `src/mesh/sync.rs`: every operation is a point at which another thread may run.
///
/// The scheduler knows one order of all operations: whatever ordering they ask for, they are sequentially consistent, and fences do
/// nothing. So these tests find a step that is missing or in the wrong place, and cannot find a fence or an ordering that is too weak. For
/// those there is only the argument at the top of `src/mesh/port.rs`.
mod sync {
    use std::collections::VecDeque;

    use shuttle::sync::Mutex;
    pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
    pub(super) use std::sync::Arc;

    /// What the room uses of `crossbeam_queue::ArrayQueue`. How that one works inside is not tried here.
    pub(super) struct ArrayQueue<T> {
        items: Mutex<VecDeque<T>>,
        capacity: usize,
    }

    impl<T> ArrayQueue<T> {
        pub(super) fn new(capacity: usize) -> Self {
            Self { items: Mutex::new(VecDeque::new()), capacity }
        }

        pub(super) fn push(&self, item: T) -> Result<(), T> {
            let mut items = self.items.lock().unwrap();
            if items.len() == self.capacity {
                return Err(item);
            }
            items.push_back(item);
            Ok(())
        }

        pub(super) fn pop(&self) -> Option<T> {
            self.items.lock().unwrap().pop_front()
        }

        pub(super) fn len(&self) -> usize {
            self.items.lock().unwrap().len()
        }

        pub(super) fn is_empty(&self) -> bool {
            self.len() == 0
        }
    }
}
