//! The books of connections that move from one core to another.
//!
//! A connection moves in two pieces, because a descriptor can only cross file tables through a socket and the unread bytes do not fit
//! there: a *datagram* with the descriptor through the receiving core's socket, then a *letter* with everything else through the lane.
//! Both name the sending core and its ticket. The datagram is always sent before its letter, so it is in the socket when the letter comes,
//! with or without its descriptor (the kernel drops it where the receiver's table is full). The receiver answers each letter, taken or not,
//! and until then the sender keeps what it needs to refuse the client itself: a hand-over that fails ends in a 503, never in silence (A3).

use std::collections::{BTreeMap, VecDeque};

use crate::limits::HANDOVERS_MAX;

/// The receiver's book: descriptors that came before their letters were read.
#[derive(Debug)]
pub struct Arrivals<F> {
    /// By sending core and ticket; without the descriptor where the kernel dropped it.
    ///
    /// Invariant: at most [`HANDOVERS_MAX`] of each core, for no core has more under way.
    early: BTreeMap<(u16, u32), Option<F>>,
    /// Whose letters were refused before their datagrams were read, oldest first: their descriptors are dropped when they come.
    unwanted: VecDeque<(u16, u32)>,
}

impl<F> Default for Arrivals<F> {
    fn default() -> Self {
        Self { early: BTreeMap::new(), unwanted: VecDeque::new() }
    }
}

impl<F> Arrivals<F> {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The descriptor that belongs to a letter. `receive` takes the next datagram from the socket: sending core, ticket, and the
    /// descriptor if the kernel did not drop it. Datagrams of other letters are kept for those.
    ///
    /// None if the descriptor was dropped or is not there. Then the letter is answered *not taken*.
    pub fn claim(
        &mut self,
        from: u16,
        ticket: u32,
        mut receive: impl FnMut() -> Option<(u16, u32, Option<F>)>,
    ) -> Option<F> {
        if let Some(early) = self.early.remove(&(from, ticket)) {
            return early;
        }
        while let Some((sender, number, descriptor)) = receive() {
            if (sender, number) == (from, ticket) {
                return descriptor;
            }
            self.keep(sender, number, descriptor);
        }
        // It cannot come later, unless somebody broke the order of datagram and letter; then it must not stay open here for ever.
        self.note_unwanted(from, ticket);
        None
    }

    fn keep(&mut self, from: u16, ticket: u32, descriptor: Option<F>) {
        if let Some(at) = self.unwanted.iter().position(|unwanted| *unwanted == (from, ticket)) {
            self.unwanted.remove(at);
            return;
        }
        let kept = self.early.range((from, 0)..=(from, u32::MAX)).count();
        debug_assert!(kept < HANDOVERS_MAX, "core {from} has more hand-overs under way than it may");
        // Beyond the bound the descriptor is dropped; its letter then finds nothing and its sender answers the client.
        if kept < HANDOVERS_MAX {
            self.early.insert((from, ticket), descriptor);
        }
    }

    /// Nobody will claim this ticket, because its letter is refused for another reason: drops its descriptor, now or when a later claim
    /// comes across it. Until then it is open in the socket, so who can read the socket rather claims it and drops it.
    pub fn forget(&mut self, from: u16, ticket: u32) {
        if self.early.remove(&(from, ticket)).is_none() {
            self.note_unwanted(from, ticket);
        }
    }

    fn note_unwanted(&mut self, from: u16, ticket: u32) {
        if self.unwanted.len() == HANDOVERS_MAX {
            self.unwanted.pop_front();
        }
        self.unwanted.push_back((from, ticket));
    }

    /// Whether no descriptor waits for its letter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.early.is_empty()
    }
}

/// The sender's book: what it keeps of each connection until the receiving core has answered.
///
/// A hand-over *waits* from [`Departures::begin`] until its datagram is in the socket and its letter in the lane ([`Departures::sent`]);
/// the socket may be full, so that can take a while. From then on it is the receiver's, until [`Departures::answered`].
#[derive(Debug)]
pub struct Departures<R> {
    /// Number of the next hand-over. A ticket is its lower half, so tickets wrap and numbers do not.
    pub(super) next: u64,
    /// By number: begun, not sent.
    waiting: BTreeMap<u64, R>,
    /// By number: sent, not answered.
    ///
    /// Invariant: at most [`HANDOVERS_MAX`].
    sent: BTreeMap<u64, R>,
}

/// Numbers that have the same ticket are so far apart.
const TICKETS: u64 = 1 << u32::BITS;

impl<R> Default for Departures<R> {
    fn default() -> Self {
        Self { next: 0, waiting: BTreeMap::new(), sent: BTreeMap::new() }
    }
}

impl<R> Departures<R> {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a hand-over and names its ticket. `rest` is what the client can be answered with if it fails.
    pub fn begin(&mut self, rest: R) -> u32 {
        while self.next.checked_sub(TICKETS).is_some_and(|old| self.is_open(old)) {
            self.next += 1;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, rest);
        ticket(number)
    }

    fn is_open(&self, number: u64) -> bool {
        self.waiting.contains_key(&number) || self.sent.contains_key(&number)
    }

    /// The number with this ticket that was given last.
    fn number(&self, wanted: u32) -> Option<u64> {
        let back = u64::from(ticket(self.next).wrapping_sub(wanted));
        let number = self.next.checked_sub(if back == 0 { TICKETS } else { back })?;
        if self.is_open(number) { Some(number) } else { number.checked_sub(TICKETS).filter(|old| self.is_open(*old)) }
    }

    /// Whether another hand-over may be sent: at most [`HANDOVERS_MAX`] are with their receivers.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.sent.len() < HANDOVERS_MAX
    }

    /// The datagram and the letter of a waiting hand-over are on their way.
    pub fn sent(&mut self, ticket: u32) {
        debug_assert!(self.may_send(), "asked before");
        let number = self.number(ticket);
        let rest = number.and_then(|number| self.waiting.remove(&number));
        debug_assert!(rest.is_some(), "ticket {ticket} does not wait");
        if let (Some(number), Some(rest)) = (number, rest) {
            self.sent.insert(number, rest);
        }
    }

    /// The receiver has answered, taken or not: ends the hand-over and gives back what was kept. None for a ticket that was not sent.
    pub fn answered(&mut self, ticket: u32) -> Option<R> {
        self.number(ticket).and_then(|number| self.sent.remove(&number))
    }

    /// Ends a hand-over that still waits and gives back what was kept. None once it is sent: only the receiver can end it then.
    pub fn cancel(&mut self, ticket: u32) -> Option<R> {
        self.number(ticket).and_then(|number| self.waiting.remove(&number))
    }

    /// What is kept for a hand-over, waiting or sent.
    #[must_use]
    pub fn get(&self, ticket: u32) -> Option<&R> {
        let number = self.number(ticket)?;
        self.waiting.get(&number).or_else(|| self.sent.get(&number))
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, ticket: u32) -> Option<&mut R> {
        let number = self.number(ticket)?;
        self.waiting.get_mut(&number).or_else(|| self.sent.get_mut(&number))
    }

    /// The hand-overs that wait to be sent with what is kept for them, in the order in which they began.
    pub fn waiting(&self) -> impl Iterator<Item = (u32, &R)> {
        self.waiting.iter().map(|(number, rest)| (ticket(*number), rest))
    }

    /// Hand-overs that wait or are sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.sent.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a ticket is the lower half of the number")]
fn ticket(number: u64) -> u32 {
    number as u32
}
