//! One core's end of all lanes, and the wake-up protocol.
//!
//! # Why no wake-up is lost
//!
//! Two things can end a sleep: a message for the sleeper, and room in a lane for what the sleeper has to send. Both follow one scheme, in
//! which each side first writes, then fences, then reads what the other side writes:
//!
//! ```text
//! sleeper (prepare_sleep)                     other core (push or pop, then take_wakes)
//! armed = true; wanted = true where it waits  queue.push(..)  or  queue.pop(), taken = ..
//! fence(SeqCst)                               fence(SeqCst)
//! look: incoming lanes, room in lanes         look: armed  or  wanted, then armed
//! ```
//!
//! The two fences are in one total order. If the sleeper's is first, the other core sees `armed` (and `wanted`) and names the sleeper in
//! [`Port::take_wakes`]; if the other core's is first, the sleeper sees the message (or the room) and does not sleep. Without either fence
//! both looks may see the old values, and the sleeper sleeps on.
//!
//! * The fence of the other core stands in `take_wakes`, not behind each push: one for a turn, however much was sent in it. Between push
//!   and fence the message has no wake-up yet, so `prepare_sleep` refuses to sleep on wake-ups that nobody has taken.
//! * Whoever takes `armed` down by a swap must wake the sleeper, and only one can. Who finds it down may go on: the one who took it down
//!   wakes the sleeper, and the sleeper looks again behind a fence before it sleeps again.
//! * `wanted` is set behind `armed`, and the consumer takes it down by a swap that acquires: who sees `wanted` sees `armed`.
//! * `wanted` is answered when the lane is half empty, not at the first free slot. The consumer does not sleep while the lane holds
//!   anything, so it comes to that point; and an empty lane takes any message, so the producer is not asked back in vain for ever.
//! * Only sleepers need to be told of room. A core that is awake learns of it by trying: everyone whom `has_room` refused must try again in
//!   every turn, before `prepare_sleep`.
//!
//! # In which order messages are received
//!
//! From one core, in the order in which they were sent. From several, so that what was sent because of something else comes after it: a
//! client publishes through one core, gets its ack, publishes through another core over the same connection, and a third core receives both
//! events in that order. Each message has a stamp of a clock that every core moves past the stamps it receives; a core receives the smallest
//! stamp first. It looks at empty lanes once more when it has found something in another one: whatever that was sent because of is in its
//! lane by then.
//!
//! The clock also follows the machine's ([`Port::set_time`]), which is read before something is sent and after a request has arrived. So the
//! order holds as well where the reason is known to clients only: who publishes, gets its ack and then leaves over any other connection, does
//! not leave before the event. And the messages of a core that has heard of many events do not wait behind all those of one that has heard
//! of none.

use super::lane::{LaneBounds, Padded, Receiver, Sender, Stamp, Weigh, lane};
use super::sync::{Arc, AtomicBool, Ordering, fence};

/// Makes the ports of `cores` cores, the port of core i at index i, with one lane for each ordered pair of different cores.
///
/// # Panics
///
/// If there are no cores, or a lane could not hold a message.
#[must_use]
pub fn ports<T: Weigh>(cores: u16, bounds: LaneBounds) -> Vec<Port<T>> {
    assert!(cores > 0, "a server has at least one core");
    let armed: Arc<Vec<Padded<AtomicBool>>> = Arc::new((0..cores).map(|_| Padded(AtomicBool::new(false))).collect());
    let mut ports: Vec<Port<T>> = (0..cores).map(|core| Port::unconnected(core, Arc::clone(&armed))).collect();
    for from in 0..usize::from(cores) {
        for to in 0..usize::from(cores) {
            let ends = (from != to).then(|| lane(bounds));
            let (sender, receiver) = ends.unzip();
            ports[from].outgoing.push(sender);
            ports[to].incoming.push(receiver);
        }
    }
    ports
}

/// One core's end of the lanes to and from all other cores.
///
/// A turn of its core: [`Port::wake_up`], [`Port::receive`] and whatever follows from it, [`Port::flush`], another attempt for everyone
/// who was refused room, [`Port::take_wakes`], and before the core waits in the kernel [`Port::prepare_sleep`].
pub struct Port<T> {
    core: u16,
    /// For each core, whether it sleeps and nobody has taken it upon himself to wake it.
    armed: Arc<Vec<Padded<AtomicBool>>>,
    /// By receiving core; none at this core's own place.
    outgoing: Vec<Option<Sender<T>>>,
    /// By sending core; none at this core's own place.
    incoming: Vec<Option<Receiver<T>>>,
    /// Not earlier than the stamp of anything that was sent or received here.
    clock: Stamp,
    /// Cores whose `armed` this core took down and that it has not named yet.
    wakes: Vec<u16>,
}

impl<T: Weigh> Port<T> {
    fn unconnected(core: u16, armed: Arc<Vec<Padded<AtomicBool>>>) -> Self {
        let cores = armed.len();
        Self {
            core,
            armed,
            outgoing: Vec::with_capacity(cores),
            incoming: Vec::with_capacity(cores),
            clock: 0,
            wakes: Vec::with_capacity(cores),
        }
    }

    /// The core that owns this port.
    #[must_use]
    pub fn core(&self) -> u16 {
        self.core
    }

    /// Cores of the server, this one included.
    #[must_use]
    pub fn cores(&self) -> u16 {
        u16::try_from(self.armed.len()).expect("made from a u16")
    }

    /// Whether the lanes of all other cores have room for a message of this weight, and nothing older waits for room in any of them.
    /// After a refusal the core is not let sleep through the room that comes; the refused must then try again.
    #[must_use]
    pub fn has_room_for_all(&self, weight: usize) -> bool {
        self.outgoing.iter().flatten().all(|sender| sender.has_room(weight))
    }

    /// The same for the lane to one core.
    #[must_use]
    pub fn has_room(&self, to: u16, weight: usize) -> bool {
        self.outgoing[usize::from(to)].as_ref().is_none_or(|sender| sender.has_room(weight))
    }

    /// Sends one message of this weight to every other core, or none to any (A8): false if [`Port::has_room_for_all`] is. `make` is called
    /// once for each other core.
    #[must_use]
    pub fn send_all(&mut self, weight: usize, mut make: impl FnMut() -> T) -> bool {
        // This core is the only one that fills its lanes, so the room that all of them have now stays until the last is sent.
        if !self.has_room_for_all(weight) {
            return false;
        }
        self.clock += 1;
        for sender in self.outgoing.iter_mut().flatten() {
            let message = make();
            debug_assert_eq!(message.weight(), weight, "room was asked for another weight");
            sender.push(self.clock, message);
        }
        true
    }

    /// Sends a message to another core.
    ///
    /// # Errors
    ///
    /// Gives the message back if the lane has no room for it, or something older waits for room there.
    pub fn try_send(&mut self, to: u16, message: T) -> Result<(), T> {
        if self.has_room(to, message.weight()) {
            self.send(to, message);
            return Ok(());
        }
        Err(message)
    }

    /// Sends a message that cannot be refused: an answer. Where there is no room, it waits here, in front of everything that is sent to
    /// that core later. Its sender has to bound how many there can be.
    pub fn send(&mut self, to: u16, message: T) {
        debug_assert_ne!(to, self.core, "a core sends nothing to itself");
        if let Some(sender) = &mut self.outgoing[usize::from(to)] {
            self.clock += 1;
            sender.push_or_keep(self.clock, message);
        }
    }

    /// Sends what waits as far as there is room again. True if something still waits.
    pub fn flush(&mut self) -> bool {
        self.outgoing.iter_mut().flatten().for_each(Sender::flush);
        self.waiting() > 0
    }

    /// Messages that wait for room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outgoing.iter().flatten().map(Sender::waiting).sum()
    }

    /// The next message with the core that sent it: in order from each core, and never before one that it was sent because of.
    pub fn receive(&mut self) -> Option<(u16, T)> {
        self.receive_if(|_| true)
    }

    /// The same, if it is one that is wanted.
    pub fn receive_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<(u16, T)> {
        let look = |found, receiver: &mut Receiver<T>| receiver.look() | found;
        while self.incoming.iter_mut().flatten().fold(false, look) {}
        let heads = (0_u16..).zip(&self.incoming).filter_map(|(core, lane)| Some((lane.as_ref()?.stamp()?, core)));
        let (stamp, from) = heads.min()?;
        let lane = self.incoming[usize::from(from)].as_mut()?;
        if !lane.head().is_some_and(wanted) {
            return None;
        }
        self.clock = self.clock.max(stamp);
        let message = lane.take()?;
        Some((from, message))
    }

    /// The time in nanoseconds, on a clock that all cores share; it may stand still and jump. See the top of this file.
    pub fn set_time(&mut self, now_ns: u64) {
        // A message takes longer than a nanosecond, so the clock does not run ahead of the time.
        self.clock = self.clock.max(now_ns);
    }

    /// Messages that wait to be received now.
    #[must_use]
    pub fn inbox_depth(&self) -> usize {
        self.incoming.iter().flatten().map(Receiver::depth).sum()
    }

    /// Messages from one core that wait to be received now.
    #[must_use]
    pub fn inbox_depth_from(&self, from: u16) -> usize {
        self.incoming[usize::from(from)].as_ref().map_or(0, Receiver::depth)
    }

    /// Names the cores that sleep and must be woken for what was sent to them, or for the room that was made for them, since the last
    /// call. Whoever is named is no longer counted as asleep, so it must really be woken.
    pub fn take_wakes(&mut self, mut wake: impl FnMut(u16)) {
        self.collect_wakes();
        for core in self.wakes.drain(..) {
            wake(core);
        }
    }

    /// The other core's half of the protocol above.
    fn collect_wakes(&mut self) {
        let pushed = self.outgoing.iter().flatten().any(|sender| sender.news);
        let popped = self.incoming.iter().flatten().any(|receiver| receiver.popped);
        if !pushed && !popped {
            return;
        }
        fence(Ordering::SeqCst);
        for core in 0..self.cores() {
            let at = usize::from(core);
            let message = self.outgoing[at].as_mut().is_some_and(Sender::take_news);
            let room = self.incoming[at].as_mut().is_some_and(Receiver::answer_wanted);
            let armed = &self.armed[at].0;
            let asleep = (message || room) && armed.load(Ordering::SeqCst) && armed.swap(false, Ordering::SeqCst);
            if asleep && !self.wakes.contains(&core) {
                self.wakes.push(core);
            }
        }
    }

    /// Announces that this core is about to wait in the kernel. False if it must not, because a message has arrived, because something
    /// that was kept or refused has room now, or because there are wake-ups to take: then it takes another turn.
    #[must_use]
    pub fn prepare_sleep(&mut self) -> bool {
        self.collect_wakes();
        if !self.wakes.is_empty() {
            return false;
        }
        self.armed[usize::from(self.core)].0.store(true, Ordering::SeqCst);
        self.outgoing.iter_mut().flatten().for_each(Sender::ask_for_room);
        fence(Ordering::SeqCst);
        let arrived = self.incoming.iter().flatten().any(|receiver| !receiver.is_empty());
        // All of them, so that one more turn is enough for everyone who was refused.
        let room = self.outgoing.iter().flatten().filter(|sender| sender.room_again()).count() > 0;
        if arrived || room {
            self.wake_up();
            return false;
        }
        true
    }

    /// This core runs again: nobody needs to wake it.
    pub fn wake_up(&mut self) {
        // Whoever still sees the old value writes one needless wake-up.
        self.armed[usize::from(self.core)].0.store(false, Ordering::Relaxed);
        self.outgoing.iter_mut().flatten().for_each(Sender::stop_asking);
    }
}
