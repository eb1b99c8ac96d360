//! The world: virtual time, what is to happen at which moment, cores that run and sleep.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;

use pushletd::broker::{Broker, Hub, Settings};
use pushletd::limits::{TICK_MS, connection_bytes_max};
use pushletd::mesh::{Inlet, intake, ports};
use pushletd::time::{Instant, Now};

use super::client::{Client, Line};
use super::core::{Core, Next, Spoken};
use super::kernel::{Kernel, SocketId};
use super::oracle::Oracle;
use super::plan::{DOOR_MAX, Plan};

/// A turn that is due begins after this long at most, in microseconds.
const WAKE_US: u64 = 200;
/// A turn takes this long at most, in microseconds, unless its core pauses.
const TURN_US: u64 = 6_000;
/// The wall clock at the beginning, in seconds since 1970.
const UNIX_START_S: u64 = 1_000_000;

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    /// The parts of a turn.
    Begin(u16),
    GoOn(u16),
    End(u16),
    Tick(u16),
    Bell(u16),
    Accept(u16, SocketId),
    /// A core is not scheduled for a while.
    Pause(u16),
    ClockJump,
    /// A client does something.
    Act(usize),
    /// A client reads from a connection.
    Read(usize),
    /// A client sends the rest of a frame.
    SendRest(usize),
    /// A session of a client is to come again.
    Refresh(usize, usize),
    Drain(u16),
    /// The server's own program publishes by one of its handles.
    Speak(usize),
}

/// How a core is doing.
#[derive(Debug)]
struct Life {
    asleep: bool,
    /// When the next turn begins, if that is known.
    turn_at: Option<u64>,
    in_turn: bool,
    paused_until: u64,
    bell: bool,
    /// Since when letters wait, and nothing has been done about them.
    letters_since: Option<u64>,
    /// Since when it sleeps over letters that everybody has room for.
    room_since: Option<u64>,
    /// Since when it sleeps over an event of the program that it could take.
    spoken_since: Option<u64>,
}

pub(crate) struct World {
    pub(super) plan: Plan,
    pub(super) kernel: Kernel,
    pub(super) cores: Vec<Core>,
    lives: Vec<Life>,
    /// The ways of the program to the cores.
    pub(super) inlets: Vec<Inlet<Spoken>>,
    pub(super) oracle: Oracle,
    pub(super) clients: Vec<Client>,
    pub(super) lines: Vec<Line>,
    heap: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    order: u64,
    pub(super) now_us: u64,
    /// How far the monotonic clock has jumped ahead, in milliseconds.
    ahead_ms: u64,
    unix_offset_s: i64,
    /// Clients do what they like.
    pub(super) wild: bool,
    /// Cores and clocks do what they like.
    pub(super) rough: bool,
    /// Queues have become as long as they like.
    rested: bool,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let plan = Plan::new(&mut rng);
        let mut kernel = Kernel::new(rng, plan.cores, plan.door_max, plan.table_full);
        kernel.trace = traced.then(VecDeque::new);
        let ends = ports(plan.cores, plan.lanes);
        let (inlets, intakes): (Vec<_>, Vec<_>) = ends.iter().map(|_| intake(plan.intake)).unzip();
        let cores = (0..plan.cores).zip(ends).zip(intakes).map(|((number, port), intake)| {
            let settings = Settings { core: number, ..plan.settings.clone() };
            let mut broker = Broker::new(settings, Now::default(), seed.wrapping_add(u64::from(number)));
            broker.set_slice(plan.slice);
            Core::new(number, Hub::new(broker, port), intake, plan.patience, plan.connections_max)
        });
        let cores: Vec<Core> = cores.collect();
        let life = || Life {
            asleep: true,
            turn_at: None,
            in_turn: false,
            paused_until: 0,
            bell: false,
            letters_since: None,
            room_since: None,
            spoken_since: None,
        };
        let mut world = Self {
            lives: cores.iter().map(|_| life()).collect(),
            inlets,
            oracle: Oracle::new(plan.cores, plan.roomy),
            clients: (0..plan.clients).map(|_| Client::default()).collect(),
            lines: Vec::new(),
            kernel,
            cores,
            heap: BinaryHeap::new(),
            order: 0,
            now_us: 0,
            ahead_ms: 0,
            unix_offset_s: 0,
            wild: true,
            rough: true,
            rested: false,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for core in 0..self.plan.cores {
            self.wake(core);
            let tick = self.kernel.rng.u64(1..TICK_MS * 1000);
            self.at(tick, Happening::Tick(core));
            let pause = self.kernel.rng.u64(1..2_000_000);
            self.at(pause, Happening::Pause(core));
        }
        for client in 0..self.plan.clients {
            let act = self.kernel.rng.u64(1..2_000_000);
            self.at(act, Happening::Act(client));
        }
        self.begin_to_speak();
        if self.plan.clocks_jump {
            self.at(3_000_000, Happening::ClockJump);
        }
    }

    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.kernel.note(what);
    }

    /// What has happened how often.
    pub(crate) fn counts(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.kernel.counts)
    }

    pub(crate) fn trace(&self) -> impl Iterator<Item = &String> {
        self.kernel.trace.iter().flatten()
    }

    pub(super) fn now(&self) -> Now {
        let ms = self.now_us / 1000 + self.ahead_ms;
        let unix_s = (UNIX_START_S + self.now_us / 1_000_000).saturating_add_signed(self.unix_offset_s);
        Now { instant: Instant::from_ms(ms), unix_s }
    }

    pub(super) fn at(&mut self, at_us: u64, what: Happening) {
        self.order += 1;
        self.heap.push(Reverse((at_us.max(self.now_us), self.order, what)));
    }

    pub(super) fn after(&mut self, wait_us: u64, what: Happening) {
        self.at(self.now_us + wait_us, what);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, ms: u64) {
        let until = self.now_us + ms * 1000;
        while let Some(Reverse((at, _, what))) = self.heap.peek().copied() {
            if at > until {
                break;
            }
            self.heap.pop();
            self.now_us = at;
            self.kernel.now_us = at;
            self.happens(what);
            self.follow();
        }
        self.now_us = until;
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Begin(core) | Happening::GoOn(core) | Happening::End(core) => self.turn(core, what),
            Happening::Tick(core) | Happening::Drain(core) | Happening::Accept(core, _) => {
                let life = &self.lives[usize::from(core)];
                if life.in_turn || life.paused_until > self.now_us {
                    let later = life.paused_until.max(self.now_us + 20);
                    return self.at(later, what);
                }
                self.aside(core, what);
            }
            Happening::Bell(core) => {
                self.lives[usize::from(core)].bell = true;
                if self.lives[usize::from(core)].asleep {
                    self.wake(core);
                }
            }
            Happening::Pause(core) => self.pause(core),
            Happening::ClockJump => self.clock_jump(),
            Happening::Act(client) => self.act(client),
            Happening::Speak(handle) => self.speak(handle),
            Happening::Read(line) => self.read(line),
            Happening::SendRest(line) => self.send_rest(line, usize::MAX),
            Happening::Refresh(client, session) => self.come_again(client, session),
        }
    }

    /// What is done on a core between its turns.
    fn aside(&mut self, core: u16, what: Happening) {
        let (at, now) = (usize::from(core), self.now());
        match what {
            Happening::Tick(_) => {
                self.check_awake(core);
                self.cores[at].tick(&mut self.kernel, now);
                self.wake(core);
                self.check_bounds(core);
                self.after(TICK_MS * 1000, what);
            }
            Happening::Drain(_) => {
                self.note(format_args!("core {core} drains"));
                self.cores[at].drain(&mut self.kernel, now);
                self.note_accepted(at);
                self.wake(core);
            }
            Happening::Accept(_, socket) => self.cores[at].welcome(&mut self.kernel, now, socket),
            _ => {}
        }
    }

    fn wake(&mut self, core: u16) {
        let wait = self.kernel.rng.u64(1..WAKE_US);
        self.turn_in(core, wait);
    }

    fn turn_in(&mut self, core: u16, wait_us: u64) {
        let at = self.now_us + wait_us;
        let life = &mut self.lives[usize::from(core)];
        if !life.in_turn && life.turn_at.is_none_or(|known| known > at) {
            life.turn_at = Some(at);
            self.at(at, Happening::Begin(core));
        }
    }

    fn turn(&mut self, core: u16, part: Happening) {
        let at = usize::from(core);
        let life = &mut self.lives[at];
        if matches!(part, Happening::Begin(_)) && (life.in_turn || life.turn_at != Some(self.now_us)) {
            return;
        }
        if life.paused_until > self.now_us {
            let later = life.paused_until;
            if matches!(part, Happening::Begin(_)) {
                life.turn_at = Some(later);
            }
            return self.at(later, part);
        }
        match part {
            Happening::Begin(_) => {
                (life.in_turn, life.turn_at, life.asleep, life.bell) = (true, None, false, false);
                let now = self.now();
                self.check_letters(core);
                self.kernel.count("turn");
                self.cores[at].begin_turn(&mut self.kernel, now);
                self.note_accepted(at);
                let hub = &self.cores[at].hub;
                if hub.inbox_depth() == 0 && !hub.broker().is_delivering() {
                    self.oracle.core_delivered(core);
                }
                let wait = self.between_parts();
                self.after(wait, Happening::GoOn(core));
            }
            Happening::GoOn(_) => match self.cores[at].go_on_turn(&mut self.kernel) {
                Next::Turn => self.turn_ends(core, Some(1)),
                Next::Flush(wait_us) => self.turn_ends(core, Some(wait_us)),
                Next::Sleep => {
                    let wait = self.between_parts();
                    self.after(wait, Happening::End(core));
                }
            },
            _ => {
                if self.cores[at].may_sleep() {
                    self.turn_ends(core, None);
                } else {
                    self.kernel.count("sleep refused");
                    self.turn_ends(core, Some(1));
                }
            }
        }
    }

    /// Time between two parts of a turn. Now and then the kernel takes the processor away.
    fn between_parts(&mut self) -> u64 {
        let most = if self.kernel.rng.u32(..8) == 0 { TURN_US / 2 } else { 50 };
        self.kernel.rng.u64(1..most)
    }

    fn turn_ends(&mut self, core: u16, again_us: Option<u64>) {
        let life = &mut self.lives[usize::from(core)];
        life.in_turn = false;
        let something_came = life.bell || self.kernel.has_ready(core);
        match again_us {
            Some(wait_us) => self.turn_in(core, wait_us),
            None if something_came => self.turn_in(core, 1),
            None => life.asleep = true,
        }
    }

    /// What a step has left for others.
    fn follow(&mut self) {
        while let Some(core) = self.kernel.bells.pop() {
            let wait = self.kernel.rng.u64(1..self.plan.bell_us);
            self.kernel.count("bell");
            self.after(wait, Happening::Bell(core));
        }
        while let Some(core) = self.kernel.roused.pop() {
            if self.lives[usize::from(core)].asleep {
                self.wake(core);
            }
        }
        while let Some(socket) = self.kernel.touched.pop() {
            self.arouse(socket);
        }
        for core in 0..self.cores.len() {
            let waits = self.cores[core].hub.inbox_depth() > 0;
            let since = &mut self.lives[core].letters_since;
            *since = waits.then(|| since.unwrap_or(self.now_us));
            let waits = self.lives[core].asleep && self.cores[core].hub.waiting() > 0;
            let has_room = waits && self.cores.iter().all(|other| other.hub.inbox_depth() == 0);
            let since = &mut self.lives[core].room_since;
            *since = has_room.then(|| since.unwrap_or(self.now_us));
            let waits = self.lives[core].asleep && self.cores[core].takes_more();
            let since = &mut self.lives[core].spoken_since;
            *since = waits.then(|| since.unwrap_or(self.now_us));
        }
    }

    /// A turn begins: letters have not waited for longer than bells and pauses take.
    fn check_letters(&mut self, core: u16) {
        let (at, now_us) = (usize::from(core), self.now_us);
        let (bell_us, life) = (self.plan.bell_us, &mut self.lives[at]);
        if let Some(since) = life.letters_since.take() {
            let waited = now_us - since.max(life.paused_until.min(now_us));
            // A flush that is put off holds a core for two milliseconds at most.
            assert!(
                waited <= bell_us + 3_000 + TURN_US + WAKE_US,
                "a letter waited {waited} us for a turn of core {core}"
            );
        }
    }

    /// A core that sleeps has nothing to take in, and nothing to send that others have room for.
    fn check_awake(&self, core: u16) {
        let at = usize::from(core);
        let waited = |since: u64| self.now_us - since.max(self.lives[at].paused_until.min(self.now_us));
        if let Some(since) = self.lives[at].room_since {
            let late = waited(since);
            let told = late <= self.plan.bell_us + TURN_US + WAKE_US;
            assert!(told, "core {core} sleeps since {late} us over letters that everybody has room for");
        }
        if let Some(since) = self.lives[at].spoken_since {
            let late = waited(since);
            let told = late <= self.plan.bell_us + TURN_US + WAKE_US;
            assert!(told, "core {core} sleeps since {late} us over an event of the program");
        }
        if let Some(since) = self.lives[at].letters_since.filter(|_| self.lives[at].asleep) {
            let late = waited(since);
            assert!(late <= self.plan.bell_us + TURN_US + WAKE_US, "core {core} sleeps since {late} us over a letter");
        }
    }

    /// A5, A11: every queue has a bound.
    fn check_bounds(&mut self, core: u16) {
        let at = &self.cores[usize::from(core)];
        let bounds = self.plan.settings.bounds;
        let (events, bytes) = at.hub.broker().fullest_outbox();
        if !self.rested {
            assert!(
                events <= bounds.events_max as usize && bytes <= bounds.bytes_max,
                "an outbox of {events}, {bytes}"
            );
        }
        let connection_max = connection_bytes_max(bounds.bytes_max, bounds.events_max);
        for bytes in at.connection_bytes() {
            assert!(bytes as u64 <= connection_max, "a connection holds {bytes} bytes");
        }
        // A request or an answer of each connection, and what is to be told of one that is gone.
        let connections: usize = self.cores.iter().map(|core| core.connections_peak).sum();
        let waiting = at.hub.waiting();
        assert!(waiting <= 4 * connections + 64, "{waiting} letters wait on core {core}, of {connections} connections");
        self.kernel.count_many("letters that waited at a tick", waiting as u64);
    }

    fn pause(&mut self, core: u16) {
        if !self.rough {
            return;
        }
        let long = self.kernel.rng.u32(..100) < self.plan.long_pauses;
        let ms = if long { self.kernel.rng.u64(500..8_000) } else { self.kernel.rng.u64(1..60) };
        self.kernel.count(if long { "long pause" } else { "pause" });
        self.note(format_args!("core {core} pauses for {ms} ms"));
        self.lives[usize::from(core)].paused_until = self.now_us + ms * 1000;
        let wait = ms * 1000 + self.kernel.rng.u64(10_000..3_000_000);
        self.after(wait, Happening::Pause(core));
    }

    fn clock_jump(&mut self) {
        if !self.rough {
            return;
        }
        self.kernel.count("clock jump");
        if self.kernel.rng.u32(..4) == 0 {
            self.ahead_ms += self.kernel.rng.u64(200..30_000);
        } else {
            self.unix_offset_s += self.kernel.rng.i64(-500_000..500_000);
        }
        self.note(format_args!("the clocks jump"));
        let wait = self.kernel.rng.u64(500_000..6_000_000);
        self.after(wait, Happening::ClockJump);
    }

    /// Cores, clocks and clients calm down; nothing is given up any more.
    pub(super) fn calm_down(&mut self) {
        (self.wild, self.rough, self.rested) = (false, false, true);
        (self.kernel.table_full, self.kernel.door_max) = (0, DOOR_MAX);
        for core in &mut self.cores {
            core.calm_down(self.plan.at_rest());
        }
    }

    /// Everything begins to move again.
    pub(super) fn stir_up(&mut self) {
        (self.wild, self.rough) = (true, true);
        (self.kernel.table_full, self.kernel.door_max) = (self.plan.table_full, self.plan.door_max);
        for client in 0..self.plan.clients {
            let act = self.kernel.rng.u64(1..1_000_000);
            self.after(act, Happening::Act(client));
        }
        self.begin_to_speak();
        for core in 0..self.plan.cores {
            let pause = self.kernel.rng.u64(1..2_000_000);
            self.after(pause, Happening::Pause(core));
        }
    }
}
