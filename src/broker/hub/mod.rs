//! One core among several: its broker, the letters between it and the others, and the publishes that wait for room.
//!
//! The hub is as pure as the broker: one input in, effects out. What arrives on this core for a session of another one is forwarded there,
//! and the answer comes back by its reply token (invariant A3). A publish goes to its session's core, and from there to all others, all or
//! nothing (invariant A8).
//!
//! Use: one `handle_*`, then [`Hub::poll_effect`] until `None`, then [`Hub::take_wakes`]; [`Hub::begin_turn`] once a turn, before
//! anything else.

mod letter;

#[cfg(test)]
mod tests;

pub use letter::{Arrival, Letter};

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Answer, Asked, Batch, Broker, Output, PresenceChange, Settings};
use crate::limits::{
    DELIVERIES_PER_TURN_MAX, LETTERS_PER_TURN_MAX, NODES_PER_TURN_MAX, OVERLOAD_MS, POST_STEPS_PER_TURN_MAX,
    PRESENCE_PER_TICK_MAX, RETRY_AFTER_S, SLICES_PER_TURN_MAX,
};
use crate::mesh::Port;
use crate::metrics::Counters;
use crate::protocol::{Audience, Command, EndReason, Event, Problem, ReplyToken, Request};
use crate::session::{Gather, SessionKey};
use crate::time::{Instant, Now};

/// A session, and the core that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The core.
    pub core: u16,
    /// The session's key there.
    pub session: SessionKey,
}

/// Something for the shell to do to a connection of this core.
#[derive(Debug)]
pub enum Effect {
    /// What a broker wants done.
    Do {
        /// The core whose broker it was: it holds the session that the output names.
        core: u16,
        /// What.
        output: Output,
    },
    /// Take a connection in, or say that it cannot be taken ([`Hub::handle_arrived`]).
    Arrive {
        /// Who sent it.
        from: u16,
        /// What came with it.
        arrival: Box<Arrival>,
    },
    /// A connection that was handed over has a new core, or has not.
    Arrived {
        /// Which.
        ticket: u32,
        /// Whether it has.
        taken: bool,
    },
}

/// Why a publish that found no room is refused.
const OVERLOADED: &str = "overloaded: the server cannot take the event at the moment; nobody got it";

/// Something that waits for room.
struct Held<T> {
    until: Instant,
    what: T,
}

/// Something to publish.
enum Publish {
    /// A client asks for it.
    Request(Request),
    /// The server's own program does.
    Event(Arc<Event>, Audience),
    /// A client asks for it without a session: for one event, or for many.
    Batch(Box<Batch>),
}

impl Publish {
    /// Weight of the letter that it becomes, at most.
    fn weight(&self) -> usize {
        match self {
            Self::Request(request) => letter::publish_weight(request),
            Self::Event(event, audience) => letter::event_weight(event, audience),
            Self::Batch(batch) => letter::weight_of(batch.next_bytes()),
        }
    }

    /// The subject of an event for its subscribers, and its bytes; `None` for what is for others, or no event.
    fn multicast(&self) -> Option<(&str, usize)> {
        match self {
            Self::Request(request) => match &request.command {
                Command::Publish { subject: Some(subject), to: None, fields, .. } => {
                    Some((subject, subject.len() + fields.bytes()))
                }
                _ => None,
            },
            Self::Event(event, Audience::Subscribers) => Some((event.subject.as_str(), event.bytes())),
            Self::Event(..) => None,
            Self::Batch(batch) => batch.next_subject().map(|subject| (subject, batch.next_bytes())),
        }
    }
}

/// One core's brain, and its part in the node.
pub struct Hub {
    broker: Broker,
    port: Port<Letter>,
    effects: VecDeque<Effect>,
    /// Publishes that came in here, in the order in which they came.
    held: VecDeque<Held<Publish>>,
    /// Requests for sessions of other cores whose inbox is full, by core.
    forwards: Vec<VecDeque<Held<Request>>>,
    /// What had been queued when this turn began.
    queued_before: u64,
    /// How many nodes of the trie events had visited then.
    walked_before: u64,
    /// How many letters may still be taken in in this turn.
    letters_left: usize,
    /// Publishes that were held had their turn: the letters of other cores come next.
    letters_first: bool,
    /// How many slices of a large publish may still be delivered in this turn.
    slices_left: u32,
    /// How many steps of publish requests without a session may still be made in this turn.
    steps_left: u32,
}

impl Hub {
    /// A core with its broker and its port to the others.
    #[must_use]
    pub fn new(broker: Broker, port: Port<Letter>) -> Self {
        debug_assert_eq!(broker.settings.core, port.core(), "the port of another core");
        debug_assert_eq!(broker.settings.shards.cores(), port.cores(), "a port of another node");
        let forwards = (0..port.cores()).map(|_| VecDeque::new()).collect();
        Self {
            broker,
            port,
            effects: VecDeque::new(),
            held: VecDeque::new(),
            forwards,
            queued_before: 0,
            walked_before: 0,
            slices_left: 0,
            steps_left: POST_STEPS_PER_TURN_MAX,
            letters_left: LETTERS_PER_TURN_MAX,
            letters_first: false,
        }
    }

    /// The broker, to look at.
    #[must_use]
    pub const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What is counted, for the shell's own counts.
    pub const fn counters_mut(&mut self) -> &mut Counters {
        self.broker.counters_mut()
    }

    /// See [`Broker::set_close_from`].
    pub const fn set_close_from(&mut self, delivery: u64) {
        self.broker.set_close_from(delivery);
    }

    /// See [`Broker::handle_settings`].
    pub fn handle_settings(&mut self, settings: Settings) {
        self.broker.handle_settings(settings);
    }

    /// The time in nanoseconds, on a clock that all cores share, read after the request has arrived that comes next. It keeps the order
    /// of what clients do over several connections; without it only the order within each connection is kept.
    pub fn set_time(&mut self, now_ns: u64) {
        self.port.set_time(now_ns);
    }

    /// Begins a turn: goes on with what waited, and takes in what the other cores have sent.
    pub fn begin_turn(&mut self, now: Now) {
        self.queued_before = self.queued();
        self.walked_before = self.broker.walked();
        self.slices_left = SLICES_PER_TURN_MAX;
        self.steps_left = POST_STEPS_PER_TURN_MAX;
        self.letters_left = LETTERS_PER_TURN_MAX;
        self.port.wake_up();
        self.port.flush();
        for core in 0..self.port.cores() {
            self.go_on_forwarding(core);
        }
        self.settle();
        self.go_on_delivering(now);
        // Publishes of this core and events of the others take turns: each alone could use up every turn.
        if self.letters_first {
            self.receive(now);
            self.go_on_publishing(now);
        } else {
            self.go_on_publishing(now);
            self.receive(now);
        }
    }

    /// Goes on with publishes that waited for time or room, as far as this turn's share allows.
    ///
    /// Those that stand one behind the other and are for the same many subscribers go to them together.
    fn go_on_publishing(&mut self, now: Now) {
        while let Some(held) = self.held.front() {
            if !self.joins(&held.what) {
                self.go_on_delivering(now);
            }
            let Some(held) = self.held.front() else { break };
            if self.is_out_of_steps(&held.what) || (!self.joins(&held.what) && self.must_wait(held.what.weight())) {
                break;
            }
            let Some(held) = self.held.pop_front() else { break };
            self.letters_first = true;
            self.begin_publishing(now, held.what);
        }
        self.go_on_delivering(now);
    }

    /// Publishes some events of a request without a session. What is left of it goes to the end of the line if others should have their turn,
    /// and stays where it is if it has to wait itself.
    fn go_on_posting(&mut self, now: Now, mut batch: Box<Batch>) {
        self.steps_left = self.steps_left.saturating_sub(1);
        let until = now.instant + OVERLOAD_MS;
        while !batch.is_done() && batch.has_share() {
            let what = Publish::Batch(batch);
            if !self.joins(&what) {
                self.go_on_delivering(now);
                if self.must_wait(what.weight()) {
                    return self.held.push_front(Held { until, what });
                }
            }
            let Publish::Batch(same) = what else { return };
            batch = same;
            self.broker.post_next(now, &mut batch);
            self.settle();
        }
        if batch.is_done() {
            self.broker.end_post(*batch);
            self.settle();
        } else {
            batch.renew_share();
            self.held.push_back(Held { until, what: Publish::Batch(batch) });
        }
    }

    fn go_on_forwarding(&mut self, core: u16) {
        let waiting = &mut self.forwards[usize::from(core)];
        while let Some(held) = waiting.pop_front() {
            let Held { until, what } = held;
            if let Err(Letter::Request(request)) = self.port.try_send(core, Letter::Request(Box::new(what))) {
                return waiting.push_front(Held { until, what: *request });
            }
            self.broker.counters_mut().forwarded += 1;
        }
    }

    fn go_on_delivering(&mut self, now: Now) {
        self.broker.seal_delivery();
        while self.broker.is_delivering() && self.slices_left > 0 && !self.must_write_first() {
            self.slices_left -= 1;
            self.broker.deliver_slice(now);
            self.settle();
        }
    }

    /// Takes in what other cores have sent, at most [`LETTERS_PER_TURN_MAX`]. It is done once in a turn, and before each request of a client:
    /// whoever has the ack of a publish and then asks finds the event delivered, whichever core it asks. While there is too much to write it
    /// takes nothing: then the inboxes fill, and the publishers behind them wait.
    pub fn receive(&mut self, now: Now) {
        while self.letters_left > 0 {
            if self.broker.is_delivering() {
                let broker = &self.broker;
                let joins = |letter: &Letter| matches!(letter, Letter::Event(event) if broker.may_join(event.subject.as_str(), event.bytes()));
                if let Some((from, letter)) = self.port.receive_if(joins) {
                    self.letters_left -= 1;
                    self.handle_letter(now, from, letter);
                    continue;
                }
                self.go_on_delivering(now);
            }
            if self.must_write_first() || self.broker.is_delivering() {
                return;
            }
            self.letters_first = false;
            let Some((from, letter)) = self.port.receive() else { return };
            self.letters_left -= 1;
            self.handle_letter(now, from, letter);
        }
        self.go_on_delivering(now);
    }

    fn handle_letter(&mut self, now: Now, from: u16, letter: Letter) {
        match letter {
            Letter::Event(event) => {
                self.broker.counters_mut().relayed += 1;
                self.broker.handle_relayed(now, &event);
            }
            Letter::Unicast(sealed) => {
                self.broker.counters_mut().relayed += 1;
                self.broker.handle_unicast(now, &sealed.0, &sealed.1);
            }
            Letter::Broadcast(event) => {
                self.broker.counters_mut().relayed += 1;
                self.broker.handle_broadcast(now, &event);
            }
            Letter::Presence(told) => return self.count_presence(now, &told),
            Letter::Request(request) => return self.act(now, *request),
            Letter::Output(output) => self.effects.push_back(Effect::Do { core: from, output: *output }),
            Letter::Disconnect(sealed) => self.broker.handle_disconnect(now, sealed.0, sealed.1),
            Letter::Undelivered { session, events } => self.broker.handle_undelivered(session, events),
            Letter::Arrival(arrival) => self.effects.push_back(Effect::Arrive { from, arrival }),
            Letter::Arrived { ticket, taken } => self.effects.push_back(Effect::Arrived { ticket, taken }),
        }
        self.settle();
    }

    /// A request has arrived on a connection of this core.
    pub fn handle_request(&mut self, now: Now, request: Request) {
        let home = request.command.shard().map_or(self.port.core(), |shard| self.broker.settings.shards.core_of(shard));
        if home == self.port.core() {
            return self.act(now, request);
        }
        let waiting = &mut self.forwards[usize::from(home)];
        waiting.push_back(Held { until: now.instant + OVERLOAD_MS, what: request });
        self.go_on_forwarding(home);
    }

    /// The server's own program publishes. It waits as a client's publish does, in one line with those, so events that come in here keep
    /// their order; after [`OVERLOAD_MS`] it is dropped and counted as overloaded, and nobody has got it. The event is accepted now, whatever
    /// its `accepted_at` says.
    pub fn handle_event(&mut self, now: Now, event: Event, audience: Audience) {
        let event = Event { accepted_at: now.unix_s, ..event };
        self.publish_or_hold(now, Publish::Event(Arc::new(event), audience));
    }

    /// Whether publishes wait here, for time or for room. While they do, more events of the server's own program are better left where they
    /// are: then the one who makes them learns of it.
    #[must_use]
    pub fn holds_publishes(&self) -> bool {
        !self.held.is_empty()
    }

    /// Acts on a request for a session of this core. A publish may have to wait, and so may only the connection that it came on.
    fn act(&mut self, now: Now, request: Request) {
        if matches!(request.command, Command::Publish { .. }) {
            return self.publish_or_hold(now, Publish::Request(request));
        }
        if matches!(request.command, Command::Post(_)) {
            let (asked, command) = Asked::new(now, request);
            let Command::Post(post) = command else { return };
            let batch = self.broker.begin_post(&asked, *post);
            self.settle();
            return batch.into_iter().for_each(|batch| self.publish_or_hold(now, Publish::Batch(Box::new(batch))));
        }
        self.broker.handle_request(now, request);
        self.settle();
        self.go_on_delivering(now);
    }

    fn publish_or_hold(&mut self, now: Now, what: Publish) {
        if !self.held.is_empty() || self.must_hold(&what) {
            // What had come from other cores by now, and waits as well, is older. The first one that waits has that seen to: if each did, nothing
            // would ever be published here beside cores that never stop.
            self.letters_first |= self.held.is_empty();
            return self.held.push_back(Held { until: now.instant + OVERLOAD_MS, what });
        }
        self.publish(now, what);
    }

    /// Publishes what need not wait.
    fn publish(&mut self, now: Now, what: Publish) {
        self.begin_publishing(now, what);
        self.go_on_delivering(now);
    }

    /// Publishes what need not wait, and leaves to the caller to go on with delivering it.
    fn begin_publishing(&mut self, now: Now, what: Publish) {
        match what {
            Publish::Request(request) => self.broker.handle_request(now, request),
            Publish::Event(event, audience) => self.broker.handle_event(now, &event, &audience),
            Publish::Batch(batch) => return self.go_on_posting(now, batch),
        }
        self.settle();
    }

    /// Copies of events that were put into outboxes, or found no room there.
    fn queued(&self) -> u64 {
        let counters = self.broker.counters();
        counters.delivered.wrapping_add(counters.lost)
    }

    /// Whether publishing has to wait for the flusher. A quick publisher must neither make quick readers look slow (P-30) nor take a whole
    /// turn for itself because it has many readers.
    fn must_write_first(&self) -> bool {
        self.queued().wrapping_sub(self.queued_before) >= DELIVERIES_PER_TURN_MAX
            || self.broker.walked().wrapping_sub(self.walked_before) >= NODES_PER_TURN_MAX
            || (self.broker.has_dirty() && self.broker.is_pressed())
    }

    fn must_hold(&self, publish: &Publish) -> bool {
        self.is_out_of_steps(publish) || self.must_wait(publish.weight())
    }

    fn is_out_of_steps(&self, publish: &Publish) -> bool {
        self.steps_left == 0 && matches!(publish, Publish::Batch(_))
    }

    /// Whether this can go together with what was published just before it ([`Broker::may_join`]).
    fn joins(&self, publish: &Publish) -> bool {
        let may_join = |(subject, bytes)| self.broker.may_join(subject, bytes);
        publish.multicast().is_some_and(may_join) && self.port.has_room_for_all(publish.weight())
    }

    /// Whether an event of this weight has to wait, for time or for room.
    fn must_wait(&self, weight: usize) -> bool {
        self.broker.is_delivering() || self.must_write_first() || !self.port.has_room_for_all(weight)
    }

    /// Sends what the broker has put out to where it belongs.
    fn settle(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            let core = self.port.core();
            match output {
                Output::Relay { event, audience } => self.relay(&event, &audience),
                output if output.token().is_some_and(|token| token.core != core) => {
                    let to = output.token().map_or(core, |token| token.core);
                    self.port.send(to, Letter::Output(Box::new(output)));
                }
                output => self.effects.push_back(Effect::Do { core, output }),
            }
        }
    }

    /// Gives an event to the other cores, or to the one core whom it concerns.
    fn relay(&mut self, event: &Arc<Event>, audience: &Audience) {
        let home = self.home_of(audience);
        let sent = match (audience, home) {
            (Audience::One(_), None) => false,
            (_, Some(home)) => self.port.try_send(home, Letter::about(Arc::clone(event), audience)).is_ok(),
            (_, None) => {
                let weight = letter::event_weight(event, audience);
                self.port.send_all(weight, || Letter::about(Arc::clone(event), audience))
            }
        };
        debug_assert!(sent, "a publish began without room for it");
        if !sent {
            // It is acked and delivered here: rather a lane that is fuller than it should be than cores that do not get it.
            self.relay_at_any_rate(event, audience);
        }
    }

    /// The core of the one session that an event is for (P-23).
    fn home_of(&self, audience: &Audience) -> Option<u16> {
        let Audience::One(to) = audience else { return None };
        super::unicast_shard(to).map(|shard| self.broker.settings.shards.core_of(shard))
    }

    /// Gives an event to those cores that have not got it, whether they have room or not.
    fn relay_at_any_rate(&mut self, event: &Arc<Event>, audience: &Audience) {
        let home = self.home_of(audience);
        let (own, cores) = (self.port.core(), self.port.cores());
        for core in (0..cores).filter(|core| *core != own && home.is_none_or(|home| home == *core)) {
            self.port.send(core, Letter::about(Arc::clone(event), audience));
        }
    }

    /// The next effect to apply.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() {
            super::give_back(&mut self.effects);
        }
        effect
    }

    /// Cores that wait in the kernel and have to be woken.
    pub fn take_wakes(&mut self, wake: impl FnMut(u16)) {
        self.port.take_wakes(wake);
    }

    /// Whether there is something to do at once besides writing ([`Broker::has_dirty`]). What waits for room at another core is not: that
    /// core tells when there is some.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.broker.is_delivering()
            || self.held.front().is_some_and(|held| {
                // A share that is used up is renewed with the next turn; a full inbox is not.
                self.port.has_room_for_all(held.what.weight())
            })
    }

    /// This core is about to wait in the kernel. `false` if it must not: something has arrived meanwhile.
    pub fn prepare_sleep(&mut self) -> bool {
        self.port.prepare_sleep()
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.broker.handle_timeout(now);
        self.settle();
        self.tell_presence(now);
        self.refuse_overdue(now);
    }

    /// Tells the cores that count who has come and gone since the last tick.
    fn tell_presence(&mut self, now: Now) {
        for told in self.broker.take_presence_changes(PRESENCE_PER_TICK_MAX) {
            let home = self.broker.settings.shards.core_of(told.shard());
            if home == self.port.core() {
                self.count_presence(now, &told);
            } else if let Err(Letter::Presence(told)) = self.port.try_send(home, Letter::Presence(Box::new(told))) {
                // Later, together with what changes until then.
                self.broker.put_presence_change_back(&told);
            }
        }
    }

    fn count_presence(&mut self, now: Now, told: &PresenceChange) {
        if let Some(event) = self.broker.count_presence(now, told) {
            self.publish_or_hold(now, Publish::Event(Arc::new(event), Audience::Subscribers));
        }
    }

    /// The inbox of another core stayed full for too long: the publishers are told, and nobody got the event.
    fn refuse_overdue(&mut self, now: Now) {
        while let Some(held) = self.held.front() {
            let full = !self.port.has_room_for_all(held.what.weight());
            if held.until > now.instant || !full {
                break;
            }
            let Some(held) = self.held.pop_front() else { break };
            self.broker.counters_mut().overloaded += 1;
            match held.what {
                Publish::Request(request) => self.broker.refuse_publish(now, request, OVERLOADED),
                Publish::Event(..) => {}
                Publish::Batch(batch) => self.refuse_batch(*batch, OVERLOADED),
            }
            self.settle();
        }
        for core in 0..self.forwards.len() {
            while let Some(held) = self.forwards[core].pop_front_if(|held| held.until <= now.instant) {
                self.broker.counters_mut().overloaded += 1;
                let reason =
                    String::from("overloaded: another core of the server takes no more requests at the moment");
                let answer = Answer::refusal(&held.what.command, 503, reason, Some(RETRY_AFTER_S));
                let output = Output::Answer { token: held.what.token, answer };
                self.effects.push_back(Effect::Do { core: self.port.core(), output });
            }
        }
    }

    /// Answers a request whose remaining events found no room.
    fn refuse_batch(&mut self, mut batch: Batch, reason: &'static str) {
        batch.refuse_rest(&Problem::new(503, reason).retry_after(RETRY_AFTER_S));
        self.broker.end_post(batch);
    }

    /// See [`Broker::handle_disconnect`].
    pub fn handle_disconnect(&mut self, now: Now, home: Home, token: ReplyToken) {
        if home.core == self.port.core() {
            self.broker.handle_disconnect(now, home.session, token);
            self.settle();
        } else {
            self.port.send(home.core, Letter::Disconnect(Box::new((home.session, token))));
        }
    }

    /// See [`Broker::handle_silence`]. A WebSocket is on the core of its session.
    pub fn handle_silence(&mut self, now: Now, home: Home, token: ReplyToken) {
        debug_assert_eq!(home.core, self.port.core(), "a WebSocket of another core");
        self.broker.handle_silence(now, home.session, token);
        self.settle();
    }

    /// See [`Broker::handle_interjection`].
    pub fn handle_interjection(&mut self, home: Home, token: ReplyToken) -> Option<(Vec<u8>, u32)> {
        debug_assert_eq!(home.core, self.port.core(), "a WebSocket of another core");
        self.broker.handle_interjection(home.session, token)
    }

    /// See [`Broker::handle_undelivered`].
    pub fn handle_undelivered(&mut self, home: Home, events: u32) {
        if home.core == self.port.core() {
            self.broker.handle_undelivered(home.session, events);
        } else {
            self.port.send(home.core, Letter::Undelivered { session: home.session, events });
        }
    }

    /// See [`Broker::handle_writable`]. Streams are written by their session's own core only.
    pub fn handle_writable(&mut self, home: Home, token: ReplyToken, writable: bool) {
        if home.core == self.port.core() {
            self.broker.handle_writable(home.session, token, writable);
        }
    }

    /// Gives an event that is under way to all whom it concerns, at once: the server is about to shut down (P-32).
    pub fn finish_delivery(&mut self, now: Now) {
        self.broker.finish_delivery(now);
        self.settle();
    }

    /// See [`Broker::handle_shutdown`]. Publishes that wait are refused first: nobody got the event.
    pub fn handle_shutdown(&mut self, now: Now) {
        while let Some(held) = self.held.pop_front() {
            match held.what {
                Publish::Request(request) => self.broker.refuse_publish(now, request, EndReason::Shutdown.text()),
                Publish::Event(..) => self.broker.counters_mut().overloaded += 1,
                Publish::Batch(batch) => self.refuse_batch(*batch, EndReason::Shutdown.text()),
            }
        }
        self.settle();
        self.broker.handle_shutdown(now);
        self.settle();
    }

    /// See [`Broker::poll_transmit`].
    pub fn poll_transmit(&mut self, now: Now, gather: &mut Gather) -> Option<(SessionKey, ReplyToken)> {
        let next = self.broker.poll_transmit(now, gather);
        // Waiting pull answers were completed on the way. Nothing may take the room of a publish that has been seen to have some.
        self.settle();
        next
    }

    /// See [`Broker::handle_sent`].
    pub fn handle_sent(&mut self, now: Now, key: SessionKey, gather: &Gather, sent: usize, blocked: bool) {
        self.broker.handle_sent(now, key, gather, sent, blocked);
    }

    /// The descriptor of a connection was sent to core `to`; this tells what it is.
    pub fn hand_over(&mut self, to: u16, arrival: Box<Arrival>) {
        self.port.send(to, Letter::Arrival(arrival));
    }

    /// Tells the core that handed a connection over what became of it. Only behind this may the connection's request be handled here.
    pub fn handle_arrived(&mut self, from: u16, ticket: u32, taken: bool) {
        self.port.send(from, Letter::Arrived { ticket, taken });
    }

    /// Letters from other cores that wait to be taken in.
    #[must_use]
    pub fn inbox_depth(&self) -> usize {
        self.port.inbox_depth()
    }

    /// What waits here for room at other cores: letters, and requests.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.port.waiting() + self.held.len() + self.forwards.iter().map(VecDeque::len).sum::<usize>()
    }
}
