//! The third step of a publish: into the outboxes of this core (rules P-19, P-23 to P-25, P-30), in slices where they are many.

use std::collections::VecDeque;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use super::{Broker, Settings};
use crate::auth::Readers;
use crate::limits::{
    DELIVERIES_PER_SLICE_MAX, DELIVERIES_TOGETHER_MAX, ENCODING_GROWTH_MAX, EVENT_OVERHEAD_BYTES, EVENTS_TOGETHER_MAX,
    WRITES_PER_TURN_MAX, WS_DEFLATE_BYTES_MIN,
};
use crate::metrics::Counters;
use crate::protocol::{Address, EndReason, Event, Fields, Framing, Mode, Overflow, SessionId, Shard};
use crate::session::{Bounds, Channel, Envelope, Frame, Interest, Label, Pushed, Session, SessionKey, Sessions};
use crate::time::Now;
use crate::wire::{pushlet, v1, ws};

/// P-23: which shard holds the session that `p_to` names, by its address or, for old programs, by its id. `None` for a text that is neither.
#[must_use]
pub fn unicast_shard(to: &str) -> Option<Shard> {
    Address::parse(to).map(Address::shard).or_else(|| SessionId::parse(to).map(SessionId::shard))
}

/// To end a session is as much work as so many deliveries: one more write for the shell, of which a turn has a share.
const WORK_OF_AN_END: usize = DELIVERIES_PER_SLICE_MAX / WRITES_PER_TURN_MAX;
/// Room for so many targets is kept for the next delivery: half a megabyte.
const SPARE_TARGETS_MAX: usize = 65_536;
/// For fewer targets an event is not written as a run: that is as much work as two or three of them.
const RUN_TARGETS_MIN: usize = 8;
/// How many sessions are fetched from memory together.
const WARMED_TARGETS: usize = 16;
/// So many queued events that are dropped, or looked at for it, are as much work as a delivery.
const ITEMS_PER_WORK: usize = 16;

/// How close together sessions get what is written to them: whether some would travel together if the flusher waited.
///
/// What comes in one turn travels together in any case, and counts once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spacing {
    /// Visits to sessions that are written to.
    visits: u64,
    /// Those to a session whose last visit was of delivery `from` or a later one.
    close: u64,
    from: u64,
    /// The first delivery of this turn.
    turn: u64,
}

/// An event, or several for the same subscribers, on the way into more outboxes than one step may fill.
///
/// More events are taken in only before the first step, and only while nothing else has happened since it began: then the same sessions take
/// part in all of them. Each is visited once and gets all of them, which is what that costs: mostly it is in no cache.
///
/// Requests are served between its slices. Who takes part was settled when it began: a session that did not listen then is marked as visited
/// by its first listen, a subscription that was made since then has a number that is too high ([`Subscriptions::matched`]), and who is gone
/// or has unsubscribed when their turn comes gets nothing.
///
/// [`Subscriptions::matched`]: crate::session::Subscriptions::matched
pub(super) struct Delivery {
    /// In the order in which they were accepted.
    events: Vec<Encoding>,
    runs: Option<Runs>,
    targets: Targets,
    /// How many of them have had their turn.
    next: usize,
    /// How many more events it may take.
    room: usize,
    /// And how many bytes of them, encoded.
    room_bytes: usize,
}

/// All events of a delivery as one write, for each framing in which that can be, shared by all sessions that miss nothing and have room for it.
#[derive(Default)]
struct Runs {
    by_framing: [Run; Framing::COUNT],
}

/// The run of one framing.
#[derive(Default)]
enum Run {
    /// No session has asked for it.
    #[default]
    Unasked,
    /// One has, and got the events by themselves: it may be the only one.
    AskedOnce,
    /// `None` where there can not be one.
    Made(Option<Rc<Frame>>),
}

/// Whom an event is offered to.
enum Targets {
    /// What matched when it began, longest prefix first.
    Matched(Vec<Interest>),
    /// Every session in so many slots, beginning with slot `first`. A session that has come since does not listen, or is marked as visited.
    Everyone { slots: u32, first: u32 },
}

impl Targets {
    fn len(&self) -> usize {
        match self {
            Self::Matched(found) => found.len(),
            Self::Everyone { slots, .. } => *slots as usize,
        }
    }
}

impl Spacing {
    /// A session is to be written to whose last visit was of delivery `last`.
    fn note(&mut self, last: u64) {
        let counts = u64::from(last < self.turn);
        self.visits += counts;
        self.close += counts & u64::from(last >= self.from);
    }
}

impl Broker {
    /// P-19: one copy for each session with a matching subscription, the longest first. P-24: the publisher's own session is one like any
    /// other. If more match than one step may serve, this only begins.
    pub(super) fn multicast(&mut self, now: Now, event: &Arc<Event>) {
        if self.may_join(event.subject.as_str(), event.bytes())
            && let Some(delivery) = &mut self.delivery
        {
            return delivery.join(Encoding::new(Arc::clone(event), &self.settings));
        }
        self.finish_delivery_before_another(now);
        self.visit += 1;
        let subject = event.subject.as_bytes();
        let (count, nodes) = self.trie.match_count(subject);
        self.walked = self.walked.wrapping_add(nodes as u64);
        if count == 0 {
            return;
        }
        let mut encoding = Encoding::new(Arc::clone(event), &self.settings);
        if count > self.slice {
            let (mut targets, jitter) = (std::mem::take(&mut self.spare_targets), &mut self.jitter);
            targets.clear();
            targets.reserve(count);
            // Somebody has to be last, but not always the same.
            self.trie.collect_matches(subject, |len| jitter.usize(..len), &mut targets);
            self.delivery = Some(Box::new(Delivery::new(Targets::Matched(targets), self.settings.bounds, encoding)));
            return;
        }
        let mut runs = Runs::for_targets(count);
        let (trie, mut outboxes) = self.outboxes();
        trie.for_each_match(subject, |interest| {
            outboxes.offer(interest, slice::from_mut(&mut encoding), runs.as_mut());
        });
        let full = outboxes.writing.full;
        self.end_full(now, encoding.names_dropped, full);
    }

    /// To every session that has listened (P-25), without `p_sid` and label, for no subscription is asked. If there may be more than one step
    /// may serve, this only begins.
    pub(super) fn broadcast(&mut self, now: Now, event: &Arc<Event>) {
        self.finish_delivery_before_another(now);
        self.visit += 1;
        let slots = self.sessions.slots();
        if slots == 0 {
            return;
        }
        let encoding = Encoding::new(Arc::clone(event), &self.settings);
        // Somebody has to be last, but not always the same.
        let targets = Targets::Everyone { slots, first: self.jitter.u32(..slots) };
        self.delivery = Some(Box::new(Delivery::new(targets, self.settings.bounds, encoding)));
        self.seal_delivery();
        if slots as usize <= self.slice {
            self.finish_delivery(now);
        }
    }

    /// P-23: to one session, by its address or, for old programs, by its id.
    pub(super) fn unicast(&mut self, now: Now, event: &Arc<Event>, to: &str) {
        self.finish_delivery_before_another(now);
        let by_address = Address::parse(to).and_then(|address| self.sessions.by_address(address));
        let key = by_address.or_else(|| SessionId::parse(to).and_then(|id| self.sessions.by_id(id)));
        if !key.and_then(|key| self.sessions.get(key)).is_some_and(Session::is_listening) {
            self.counters.unicast_dropped += 1;
            return;
        }
        let mut encoding = Encoding::new(Arc::clone(event), &self.settings);
        let may_see = |session: &Session| encoding.is_for(session);
        if !key.and_then(|key| self.sessions.get(key)).is_some_and(may_see) {
            self.counters.unicast_dropped += 1;
            return;
        }
        self.visit += 1;
        let (_, mut outboxes) = self.outboxes();
        if let Some(key) = key {
            outboxes.offer_to_slot(key.slot, slice::from_mut(&mut encoding), None);
        }
        let full = outboxes.writing.full;
        self.end_full(now, encoding.names_dropped, full);
    }

    /// How many nodes of the trie events have visited since the start. Many patterns can cost a match much and give it nobody to go to, so what a
    /// turn takes in is bounded by this as well.
    #[must_use]
    pub const fn walked(&self) -> u64 {
        self.walked
    }

    /// How many visits deliveries have paid since the start to sessions that are written to, and how many of them close behind another (see
    /// [`Broker::set_close_from`]). More in one turn count once.
    #[must_use]
    pub const fn spacing(&self) -> (u64, u64) {
        (self.spacing.visits, self.spacing.close)
    }

    /// The number of the delivery that comes next.
    #[must_use]
    pub const fn next_delivery(&self) -> u64 {
        self.visit + 1
    }

    /// A turn begins: from now on a visit to a session is close behind its last one if that was of this delivery or a later one.
    pub const fn set_close_from(&mut self, delivery: u64) {
        self.spacing.from = delivery;
        self.spacing.turn = self.visit + 1;
    }

    /// Whether an event is on its way into more outboxes than one step may fill. Until it is there, every request but a publish may be handed
    /// in: publishes, and events of other cores, are held back by the caller unless they [may join](Self::may_join), so that everybody gets all
    /// events in the order in which they were accepted (invariant A8).
    #[must_use]
    pub const fn is_delivering(&self) -> bool {
        self.delivery.is_some()
    }

    /// Whether an event of this subject, with so many bytes of its publisher, may be handed in although a delivery is under way: it goes with
    /// the one that has begun last to the same subscribers, and nobody has got that yet.
    #[must_use]
    pub fn may_join(&self, subject: &str, bytes: usize) -> bool {
        self.delivery.as_ref().is_some_and(|delivery| {
            let same = delivery.events.first().is_some_and(|first| first.event.subject.as_str() == subject);
            same && delivery.room > 0 && delivery.room_bytes >= encoded_max(bytes)
        })
    }

    /// No more events go with the one that is under way: something else comes, and whoever takes part in what is published behind it was
    /// settled before.
    pub fn seal_delivery(&mut self) {
        if let Some(delivery) = &mut self.delivery {
            delivery.room = 0;
        }
    }

    /// Gives what is under way to the next of those whom it concerns: [`DELIVERIES_PER_SLICE_MAX`] of them if it is one event, fewer if it is
    /// several and where queues are full. Does nothing if nothing is under way.
    pub fn deliver_slice(&mut self, now: Now) {
        let Some(mut delivery) = self.delivery.take() else { return };
        delivery.room = 0;
        let dropped_before = delivery.names_dropped();
        let work_max = self.slice;
        let (_, mut outboxes) = self.outboxes();
        delivery.offer_some(&mut outboxes, work_max);
        let full = outboxes.writing.full;
        self.end_full(now, delivery.names_dropped() - dropped_before, full);
        if delivery.next < delivery.targets.len() {
            self.delivery = Some(delivery);
        } else if let Targets::Matched(targets) = delivery.targets
            && targets.capacity() <= SPARE_TARGETS_MAX
        {
            self.spare_targets = targets;
        }
    }

    /// All slices that are left, at once.
    pub(super) fn finish_delivery(&mut self, now: Now) {
        while self.is_delivering() {
            self.deliver_slice(now);
        }
    }

    /// The order of events is worth more than a long step, should a caller not have waited.
    fn finish_delivery_before_another(&mut self, now: Now) {
        debug_assert!(!self.is_delivering(), "an event was handed in while another is under way");
        self.finish_delivery(now);
    }

    fn outboxes(&mut self) -> (&crate::topic::Trie<Interest>, Outboxes<'_>) {
        let Self { trie, sessions, settings, dirty, counters, visit, spacing, pressed, deflater, .. } = self;
        let visit = *visit;
        let full = Vec::new();
        (
            trie,
            Outboxes {
                sessions,
                visit,
                writing: Writing { settings, dirty, counters, spacing, pressed, deflater, full },
            },
        )
    }

    /// P-30: ends the sessions whose outboxes had no room.
    fn end_full(&mut self, now: Now, names_dropped: u64, full: Vec<SessionKey>) {
        self.counters.names_dropped += names_dropped;
        for key in full {
            self.end(now, key, EndReason::QueueFull);
        }
    }
}

impl Delivery {
    /// One that may take more events than its first.
    fn new(targets: Targets, bounds: Bounds, first: Encoding) -> Self {
        // Before it no queue that its socket takes was more than half full, and with it none is full.
        let room =
            EVENTS_TOGETHER_MAX.min(bounds.events_max as usize / 2).min(DELIVERIES_TOGETHER_MAX / targets.len().max(1));
        let room_bytes = bounds.bytes_max as usize / 2;
        let runs = Runs::for_targets(targets.len());
        let mut delivery = Self { events: Vec::new(), runs, targets, next: 0, room, room_bytes };
        delivery.join(first);
        delivery
    }

    fn join(&mut self, encoding: Encoding) {
        self.room = self.room.saturating_sub(1);
        self.room_bytes = self.room_bytes.saturating_sub(encoded_max(encoding.event.bytes()));
        self.events.push(encoding);
    }

    fn names_dropped(&self) -> u64 {
        self.events.iter().map(|encoding| encoding.names_dropped).sum()
    }

    /// Offers the events to those whose turn it is, until that was so much work.
    fn offer_some(&mut self, outboxes: &mut Outboxes<'_>, work_max: usize) {
        let Self { events, runs, targets, next, .. } = self;
        let (mut work, mut empty) = (0, 0);
        while work + empty / ITEMS_PER_WORK < work_max && *next < targets.len() {
            match targets {
                Targets::Matched(found) => {
                    if next.is_multiple_of(WARMED_TARGETS) {
                        std::hint::black_box(outboxes.warm_up(found[*next..].iter().take(WARMED_TARGETS)));
                    }
                    work += outboxes.offer(found[*next], events, runs.as_mut());
                }
                Targets::Everyone { slots, first } => {
                    let at = (*next + *first as usize) % *slots as usize;
                    match outboxes.offer_to_slot(at as u32, events, runs.as_mut()) {
                        Some(done) => work += done,
                        None => empty += 1,
                    }
                }
            }
            *next += 1;
        }
    }
}

/// Where events go: the sessions of this core.
struct Outboxes<'a> {
    sessions: &'a mut Sessions,
    /// The number of the delivery.
    visit: u64,
    writing: Writing<'a>,
}

/// What is needed to put events into an outbox, and what is noted on the way.
struct Writing<'a> {
    settings: &'a Settings,
    dirty: &'a mut VecDeque<SessionKey>,
    counters: &'a mut Counters,
    spacing: &'a mut Spacing,
    pressed: &'a mut bool,
    deflater: &'a mut Option<Box<ws::Deflater>>,
    /// Who is to be ended for it.
    full: Vec<SessionKey>,
}

impl Outboxes<'_> {
    /// Reads what offering to these will read, all of it at once: one after the other would be waited for. The sum says nothing.
    fn warm_up<'a>(&self, coming: impl Iterator<Item = &'a Interest>) -> u64 {
        let sessions = coming.filter_map(|interest| self.sessions.in_slot(interest.session));
        sessions.fold(0, |sum, session| sum ^ session.outbox.touch_end() ^ session.visited)
    }

    /// P-19: the session gets the events unless it has them already or does not want them any more. Says how much work that was, in deliveries.
    /// They are of one subject.
    fn offer(&mut self, interest: Interest, events: &mut [Encoding], runs: Option<&mut Runs>) -> usize {
        let Self { sessions, visit, writing } = self;
        let Some((key, session)) = sessions.in_slot_mut(interest.session) else { return 1 };
        let Some(last) = visited(session, *visit) else { return 1 };
        let Some(first) = events.first().filter(|first| first.is_for(session)) else { return 1 };
        let matched = session.subscriptions.matched(interest.place, first.event.subject.as_str(), *visit);
        let looked_at = matched.looked_at / ITEMS_PER_WORK;
        if matched.label.is_none() {
            return 1 + looked_at;
        }
        looked_at + writing.put((key, session), last, matched.label, events, runs)
    }

    /// The session in this slot gets the events if it has listened by the time they were published (P-25). Says how much work that was, in
    /// deliveries; `None` if there is no session.
    fn offer_to_slot(&mut self, slot: u32, events: &mut [Encoding], runs: Option<&mut Runs>) -> Option<usize> {
        let Self { sessions, visit, writing } = self;
        let (key, session) = sessions.in_slot_mut(slot)?;
        let last = visited(session, *visit);
        Some(last.map_or(1, |last| writing.put((key, session), last, None, events, runs)))
    }
}

impl Writing<'_> {
    /// P-30: puts the events into the session's outbox, or notes that the session is to be ended for one of them. Its last visit was of
    /// delivery `last`.
    fn put(
        &mut self,
        (key, session): (SessionKey, &mut Session),
        last: u64,
        label: Option<Label>,
        events: &mut [Encoding],
        runs: Option<&mut Runs>,
    ) -> usize {
        let policy = policy(session, self.settings);
        let bounds = bounds(session, self.settings, policy);
        let run = runs.filter(|_| session.outbox.may_take_run(label.as_ref()));
        let run = run.and_then(|runs| runs.get(session, events, self.deflater));
        let work = if run.is_some_and(|run| session.outbox.push_run(run, label.as_ref(), bounds)) {
            self.counters.delivered += events.len() as u64;
            events.len()
        } else {
            self.push_each(key, session, (bounds, policy), label.as_ref(), events)
        };
        Broker::mark_dirty(session, key, self.dirty);
        if session.dirty {
            self.spacing.note(last);
        }
        // By the server's bounds: a client that wants a short queue makes nobody else wait for it.
        *self.pressed |= session.dirty && session.outbox.is_half_full(self.settings.bounds);
        work
    }

    #[inline]
    fn push_each(
        &mut self,
        key: SessionKey,
        session: &mut Session,
        (bounds, policy): (Bounds, Overflow),
        label: Option<&Label>,
        events: &mut [Encoding],
    ) -> usize {
        if events.len() > 1 {
            session.outbox.expect(events.len(), bounds);
        }
        let mut work = 0;
        for encoding in events {
            let frame = encoding.frame_for(session, self.deflater);
            let (lost, looked_at) = match session.outbox.push(frame, label.cloned(), bounds, policy) {
                Pushed::Full => {
                    self.full.push(key);
                    work += WORK_OF_AN_END;
                    break;
                }
                Pushed::Refused => (1, 0),
                Pushed::Queued { dropped, looked_at } => {
                    self.counters.delivered += 1;
                    (dropped, looked_at)
                }
            };
            self.counters.lost += lost;
            work += 1 + looked_at.max(usize::try_from(lost).unwrap_or(usize::MAX)) / ITEMS_PER_WORK;
        }
        work
    }
}

impl Runs {
    /// None for few targets.
    fn for_targets(count: usize) -> Option<Self> {
        (count >= RUN_TARGETS_MIN).then(Self::default)
    }

    /// The run for this session, if it reads in a framing and an envelope that have one.
    #[inline]
    fn get(
        &mut self,
        session: &Session,
        events: &mut [Encoding],
        deflater: &mut Option<Box<ws::Deflater>>,
    ) -> Option<&Rc<Frame>> {
        let framing = session.framing();
        if !framing.is_impersonal() {
            return None;
        }
        // Few read by HTTP/1.0, and a run for them would not be one for the others.
        let Channel::Open { envelope: envelope @ (Envelope::Chunked | Envelope::Frames), .. } = session.channel else {
            return None;
        };
        let run = &mut self.by_framing[framing as usize];
        match run {
            Run::Unasked => *run = Run::AskedOnce,
            Run::AskedOnce => {
                let frames = events.iter_mut().map(|event| event.frame_for(session, deflater)).collect();
                *run = Run::Made(Frame::run(frames, framing, envelope).map(Rc::new));
            }
            Run::Made(_) => {}
        }
        if let Run::Made(run) = run { run.as_ref() } else { None }
    }
}

/// What an event with so many bytes of its publisher takes in a queue, at most.
const fn encoded_max(bytes: usize) -> usize {
    ENCODING_GROWTH_MAX * bytes + pushlet::EVENT_FIXED_BYTES_MAX + EVENT_OVERHEAD_BYTES as usize
}

/// Visits a session for a delivery, and says of which one its last visit was. `None` if it does not listen or has been visited already.
fn visited(session: &mut Session, visit: u64) -> Option<u64> {
    let takes_part = session.visited != visit && session.is_listening();
    takes_part.then(|| std::mem::replace(&mut session.visited, visit))
}

/// P-30: the configured bounds, or the tighter one that the client wants. Where that would end a session, it is about readers that are slow: as
/// long as the answer is open and its socket takes what comes, a burst is not too much.
fn bounds(session: &Session, settings: &Settings, policy: Overflow) -> Bounds {
    let Bounds { events_max, bytes_max } = settings.bounds;
    let Some(wanted) = session.events_wanted else { return settings.bounds };
    if policy == Overflow::Disconnect && session.channel.token().is_some() && !session.blocked {
        return settings.bounds;
    }
    Bounds { events_max: events_max.min(u32::from(wanted.get())), bytes_max }
}

/// P-30: the policy that the client wants, or the configured one, or the default of the session's mode. A session that is not connected
/// cannot be told of an end, and P-31 keeps it, so it is never disconnected.
fn policy(session: &Session, settings: &Settings) -> Overflow {
    let by_mode = if session.mode == Some(Mode::Stream) { Overflow::Disconnect } else { Overflow::DropOldest };
    match session.overflow_wanted.or(settings.overflow).unwrap_or(by_mode) {
        Overflow::Disconnect if matches!(session.channel, Channel::Away { .. }) => Overflow::DropOldest,
        policy => policy,
    }
}

/// One event on its way to many sessions: encoded at most once for each framing (invariant A9), and once more for its publisher, whose copy
/// tells its own secret id (rule P-22).
struct Encoding {
    event: Arc<Event>,
    /// The event as fields, once a framing has asked for them.
    fields: Option<Fields>,
    expose: bool,
    /// Who may see it.
    readers: Readers,
    frames: [Option<Rc<Frame>>; Framing::COUNT],
    names_dropped: u64,
}

impl Encoding {
    fn new(event: Arc<Event>, settings: &Settings) -> Self {
        let readers = settings.access.readers(event.subject.as_str());
        Self {
            event,
            fields: None,
            readers,
            expose: settings.expose_session_ids,
            frames: Default::default(),
            names_dropped: 0,
        }
    }

    /// Whether access rules let the session see it, whatever it has subscribed to.
    fn is_for(&self, session: &Session) -> bool {
        self.readers.is_anyone() || self.readers.has(session.identity)
    }

    fn frame_for(&mut self, session: &Session, deflater: &mut Option<Box<ws::Deflater>>) -> Rc<Frame> {
        let framing = session.framing();
        match self.event.origin.publisher {
            Some((id, _)) if id == session.id && !framing.is_modern() => {
                let id = id.to_string();
                Rc::new(self.encode(framing, &[("p_from", &id), ("p_id", &id)]))
            }
            publisher if framing == Framing::MessageDeflate => {
                if let Some(frame) = &self.frames[framing as usize] {
                    return Rc::clone(frame);
                }
                let from = publisher.map(|(_, address)| address.to_string());
                let frame = Rc::new(self.encode_deflated(from.as_deref(), deflater.get_or_insert_default()));
                self.frames[framing as usize] = Some(Rc::clone(&frame));
                frame
            }
            publisher => {
                if let Some(frame) = &self.frames[framing as usize] {
                    return Rc::clone(frame);
                }
                let frame = Rc::new(match publisher {
                    None => self.encode(framing, &[]),
                    Some((id, _)) if self.expose => {
                        let id = id.to_string();
                        self.encode(framing, &[("p_from", &id), ("p_id", &id)])
                    }
                    Some((_, address)) => self.encode(framing, &[("p_from", &address.to_string())]),
                });
                self.frames[framing as usize] = Some(Rc::clone(&frame));
                frame
            }
        }
    }

    /// RFC 7692: compressed once for all, where that makes it shorter.
    fn encode_deflated(&self, from: Option<&str>, deflater: &mut ws::Deflater) -> Frame {
        let subject = Some(self.event.subject.clone());
        let (mut bytes, mut deflated) = (Vec::with_capacity(256), Vec::new());
        v1::shared_part(Framing::MessageDeflate, &self.event, from, &mut bytes);
        if bytes.len() >= WS_DEFLATE_BYTES_MIN {
            deflater.deflate(&bytes, &mut deflated);
            // RFC 7692 section 7.2.1: the end of a message is known without it.
            deflated.truncate(deflated.len() - ws::TAIL.len());
            if deflated.len() < bytes.len() {
                return Frame::new(deflated, 1, subject).compressed();
            }
        }
        Frame::new(bytes, 1, subject)
    }

    fn encode(&mut self, framing: Framing, from: &[(&str, &str)]) -> Frame {
        let mut bytes = Vec::with_capacity(256);
        let subject = Some(self.event.subject.clone());
        if framing.is_modern() {
            // There, the secret id of a session is nobody's business but its own client's.
            let from = self.event.origin.publisher.map(|(_, address)| address.to_string());
            v1::shared_part(framing, &self.event, from.as_deref(), &mut bytes);
            return Frame::new(bytes, 1, subject);
        }
        let fields = self.fields.get_or_insert_with(|| fields_of(&self.event));
        let server = [("p_event", "data"), ("p_subject", self.event.subject.as_str())];
        let fields = server.into_iter().chain(from.iter().copied()).chain(fields.iter());
        let info = pushlet::shared_part(framing, fields, &mut bytes);
        self.names_dropped += u64::from(info.dropped);
        Frame::new(bytes, info.fields, subject)
    }
}

/// An event as the doors tell it that know fields only (docs/protocol.md, payloads).
fn fields_of(event: &Event) -> Fields {
    let mut fields = event.payload.to_fields();
    if let Some(name) = &event.name {
        fields.add_first("event", name.as_str());
    }
    // P-3, P-21: p_time is the server's unless the publisher sent one.
    fields.add_first("p_time", itoa::Buffer::new().format(event.accepted_at));
    fields
}
