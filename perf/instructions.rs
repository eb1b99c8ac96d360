//! A fixed program whose instructions are counted, one hot path at a time: `perf/instructions` runs it under callgrind.
//!
//! ```text
//! instructions               lists the paths
//! instructions PATH          walks one of them; says how many operations that were
//! ```
//!
//! Nothing here depends on time, on randomness, on the number of cores or on what was measured before: each path is walked in a process of its own,
//! with fixed inputs, and the names of sessions are fixed bits. Maps with random seeds (`std`'s) are on none of the paths. What is prepared is not
//! counted: callgrind collects only within `measured_section`, by that name.

#[path = "../benches/support/event.rs"]
mod event;
#[path = "../benches/support/fleet.rs"]
mod fleet;
#[path = "../benches/support/heads.rs"]
mod heads;
#[path = "../benches/support/messages.rs"]
mod messages;
#[path = "../benches/support/rooms.rs"]
mod rooms;

#[path = "paths/between.rs"]
mod between;
#[path = "paths/broker.rs"]
mod broker;
#[path = "paths/wire.rs"]
mod wire;

use std::process::ExitCode;

/// One step along a path.
type Step = Box<dyn FnMut()>;

/// A hot path.
struct HotPath {
    name: String,
    /// How many operations a step has, such as deliveries.
    operations: u64,
    /// How many steps are counted. A tenth as many go before, so that buffers have grown.
    steps: u64,
    /// Prepares it. It is told how many steps there will be.
    make: Box<dyn FnOnce(u64) -> Step>,
}

impl HotPath {
    fn new(name: impl Into<String>, operations: u64, steps: u64, make: impl FnOnce(u64) -> Step + 'static) -> Self {
        Self { name: name.into(), operations, steps, make: Box::new(make) }
    }
}

/// All that is counted.
fn paths() -> Vec<HotPath> {
    [broker::paths(), wire::paths(), between::paths()].into_iter().flatten().collect()
}

/// callgrind counts what happens in here and nothing else. `perf/instructions` knows the name.
#[inline(never)]
fn measured_section(step: &mut dyn FnMut(), steps: u64) {
    for _ in 0..steps {
        step();
    }
}

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        paths().iter().for_each(|path| println!("{}", path.name));
        return ExitCode::SUCCESS;
    };
    let Some(path) = paths().into_iter().find(|path| path.name == wanted) else {
        eprintln!("there is no path {wanted}");
        return ExitCode::FAILURE;
    };
    let HotPath { operations, steps, make, .. } = path;
    let warm_up = steps / 10 + 1;
    let mut step = make(warm_up + steps);
    (0..warm_up).for_each(|_| step());
    measured_section(&mut step, steps);
    // Taking everything apart is none of the path.
    std::mem::forget(step);
    println!("{}", operations * steps);
    ExitCode::SUCCESS
}
