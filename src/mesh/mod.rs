//! Messages between cores: a bounded lock-free lane for each ordered pair of cores, the protocol by which a sleeping core is woken, and
//! the books of a connection that moves from one core to another; and the way in for threads that are no cores.
//!
//! The room has no kernel. [`Port`] says *which* cores must be woken, the shell wakes them; [`Arrivals`] and [`Departures`] say what
//! becomes of a descriptor, the shell moves it. Every lane has a bound in messages and in bytes (A5), and what crosses it owns its memory
//! (A4). Why no wake-up is lost is told in `port.rs`, above the code that has to see to it.

mod handover;
mod intake;
mod lane;
mod port;
mod sync;

pub use handover::{Arrivals, Departures};
pub use intake::{Inlet, Intake, intake};
pub use lane::{LaneBounds, Weigh};
pub use port::{Port, ports};

#[cfg(test)]
mod tests;
