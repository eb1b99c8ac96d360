//! pushletd inside a program: a running server, and handles that publish from any thread.
//!
//! What crosses between those threads and the cores stands in one shared hall: a bounded queue into each core, a list of watched subjects
//! for each core, the boards with the figures. There is no lock, so no thread of the program can hold a core up.

mod interest;
mod message;
mod publisher;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

pub use interest::{Interest, Waker};
pub use message::{FieldProblem, Message};
pub use publisher::{PublishError, Publisher};
pub use server::{Server, Stopped};

pub(super) use interest::Watches;

use super::source::SourceBoard;
use super::wiring::{self, Wiring};
use crate::limits::{INTAKE_BYTES_MAX, INTAKE_EVENTS_MAX, WATCHED_SUBJECTS_MAX};
use crate::mesh::{self, Inlet, Intake, LaneBounds, Weigh};
use crate::metrics::Board;
use crate::protocol::{Audience, Event};
use interest::Watched;

/// An event on its way from a thread of the program to a core.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) event: Event,
    pub(super) audience: Audience,
}

/// Memory of an event beside its bytes.
const EVENT_BYTES: usize = 128;

impl Weigh for Published {
    fn weight(&self) -> usize {
        let to = if let Audience::One(to) = &self.audience { to.len() } else { 0 };
        EVENT_BYTES + self.event.subject.as_str().len() + self.event.payload.bytes() + to
    }
}

/// What the program's threads and the cores share.
pub(super) struct Hall {
    inlets: Vec<Inlet<Published>>,
    /// For each core, the subjects that it has not begun to watch.
    ///
    /// Invariant: never more than [`WATCHED_SUBJECTS_MAX`], because `watched` counts a subject until every core has let go of it.
    lists: Vec<Arc<ArrayQueue<Arc<Watched>>>>,
    boards: Arc<[Board]>,
    wiring: Arc<Wiring>,
    /// Handles made so far: they are spread over the cores.
    handles: AtomicUsize,
    watched: Arc<AtomicUsize>,
    /// What the sources of events count, for the admin port.
    sources: Arc<SourceBoard>,
    /// The server takes nothing any more.
    closed: AtomicBool,
}

/// A core's part of the hall.
pub(super) struct Booth {
    pub(super) intake: Intake<Published>,
    pub(super) watches: Watches,
}

impl Hall {
    /// A hall for as many cores as there are boards, and each core's part of it.
    pub(super) fn new(boards: Arc<[Board]>, wiring: Arc<Wiring>) -> (Arc<Self>, Vec<Booth>) {
        let bounds = LaneBounds { messages_max: INTAKE_EVENTS_MAX, bytes_max: INTAKE_BYTES_MAX };
        let (inlets, intakes): (Vec<_>, Vec<_>) = boards.iter().map(|_| mesh::intake(bounds)).unzip();
        let lists: Vec<_> = boards.iter().map(|_| Arc::new(ArrayQueue::new(WATCHED_SUBJECTS_MAX))).collect();
        let booths = intakes.into_iter().zip(&lists);
        let booths = booths.map(|(intake, list)| Booth { intake, watches: Watches::new(Arc::clone(list)) }).collect();
        let hall = Self {
            inlets,
            lists,
            boards,
            wiring,
            handles: AtomicUsize::new(0),
            watched: Arc::default(),
            sources: Arc::default(),
            closed: AtomicBool::new(false),
        };
        (Arc::new(hall), booths)
    }

    /// What the sources of events count.
    pub(super) fn sources(&self) -> Arc<SourceBoard> {
        Arc::clone(&self.sources)
    }

    /// From now on every handle is refused: the server is about to stop, or has.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Wakes the main thread.
    pub(super) fn ring_main(&self) {
        wiring::ring(self.wiring.main_bell());
    }

    /// Whether anybody has ever had a handle.
    pub(super) fn has_publishers(&self) -> bool {
        self.handles.load(Ordering::Relaxed) > 0
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}
