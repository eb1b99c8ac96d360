//! Both clocks, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::{Instant, Now};

/// The process's clocks. All instants count from its making.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// Nanoseconds since the start, to order what happens on different cores.
    pub(super) fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Microseconds since the start, for what is shorter than a deadline.
    pub(super) fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// What the clocks say.
    pub(super) fn now(&self) -> Now {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Now { instant: Instant::from_ms(ms), unix_s }
    }
}
