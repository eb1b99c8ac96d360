//! A broker with many sessions that listen, all in one framing, and sockets that take everything.

use std::hint::black_box;
use std::sync::Arc;

use pushletd::broker::{Broker, Output, Settings};
use pushletd::protocol::{
    Address, Agent, ClaimedId, Command, Door, Fields, Format, FormatName, Framing, Listen, Mode, ModeName, Opening,
    ReplyToken, Request, SessionId, ShardTable, SubscriptionWish, WantedSubscription,
};
use pushletd::session::{Bounds, Gather};
use pushletd::time::{Instant, Now};

/// The connection of the publisher, who is not in the way of the others.
const PUBLISHER: u32 = u32::MAX;

pub(crate) struct Fleet {
    broker: Broker,
    gather: Gather,
    now: Now,
    serial: u32,
    framing: Framing,
    sessions: u32,
    /// Connections of pull sessions whose answer is complete: their clients come again.
    back: Vec<u32>,
}

/// The two names of the session that began over this connection (rule P-34).
pub(crate) fn names(connection: u32) -> (SessionId, Address) {
    let [id, address] = draw(connection);
    let shard = ShardTable::new(1).pick(0, (address >> 64) as u64);
    (SessionId::new(shard, id), Address::new(shard, address))
}

/// Bits that are spread like random ones and are the same in every run.
fn draw(connection: u32) -> [u128; 2] {
    let spread = |seed: u64| {
        let mut random = fastrand::Rng::with_seed(seed);
        random.u128(..)
    };
    let seed = u64::from(connection) * 2;
    [spread(seed), spread(seed + 1)]
}

/// Begins a session that listens to `/chat` in this framing.
pub(crate) fn begin(framing: Framing) -> Command {
    let door = match framing {
        Framing::EventStream | Framing::UnnamedStream => Door::EventStream,
        Framing::Object => Door::LongPoll,
        Framing::Message => Door::WebSocket { deflate: false },
        Framing::MessageDeflate => Door::WebSocket { deflate: true },
        Framing::Js => return join_listen(Format::Js, Mode::Stream),
        Framing::Xml | Framing::XmlJava => return join_listen(Format::Xml, Mode::Stream),
        Framing::XmlStrict => return join_listen(Format::XmlStrict, Mode::Stream),
        Framing::Ser => return join_listen(Format::Ser, Mode::Stream),
        Framing::JsonLines => return join_listen(Format::Json, Mode::Stream),
        Framing::JsonArray => return join_listen(Format::Json, Mode::Pull),
    };
    let wanted = WantedSubscription { list: Box::from("/chat/*"), wish: SubscriptionWish::default() };
    Command::Open(Box::new(Opening {
        door,
        subscriptions: vec![wanted],
        last_event_id: None,
        pad: 0,
        heartbeats: false,
        names_in_data: framing == Framing::UnnamedStream,
    }))
}

fn join_listen(format: Format, mode: Mode) -> Command {
    let listen = Listen { mode: ModeName::Known(mode), subject: Some(Box::from("/chat")), ..Listen::default() };
    Command::JoinListen { format: FormatName::Known(format), listen }
}

/// Publishes to all who listen to the subject, or to one session. The sessions of a fleet listen to `/chat` and what is below.
pub(crate) fn publish(subject: &str, fields: Fields, to: Option<Box<str>>) -> Command {
    let id = ClaimedId::WellFormed(names(PUBLISHER).0);
    Command::Publish { id, subject: Some(Box::from(subject)), to, fields }
}

impl Fleet {
    /// So many sessions, and one that publishes.
    pub(crate) fn new(framing: Framing, sessions: u32) -> Self {
        let bounds = Bounds { events_max: 65_536, bytes_max: 1 << 28 };
        let now = Now { instant: Instant::ZERO, unix_s: 1_753_000_000 };
        let broker = Broker::new(Settings { bounds, ..Settings::default() }, now, 1);
        let gather = Gather::new();
        let mut fleet = Self { broker, gather, now, serial: 0, framing, sessions, back: Vec::new() };
        for connection in 0..sessions {
            fleet.ask(connection, begin(framing));
        }
        fleet.ask(PUBLISHER, Command::Join { format: FormatName::Known(Format::Json) });
        fleet.come_back();
        assert_eq!(fleet.broker.listening_count(), sessions as usize, "sessions of {framing:?} that listen");
        fleet
    }

    /// Hands a request in and takes what comes out. Answers are dropped.
    pub(crate) fn ask(&mut self, connection: u32, command: Command) {
        self.serial += 1;
        let request = Request {
            token: ReplyToken { core: 0, connection, serial: self.serial },
            command,
            path: Arc::from("/pushlet.srv"),
            chunked: true,
            agent: Agent { java: self.framing == Framing::XmlJava, ..Agent::default() },
            draw: draw(connection),
        };
        self.broker.handle_request(self.now, request);
        self.drain();
    }

    /// The publisher asks for something.
    pub(crate) fn ask_as_publisher(&mut self, command: Command) {
        self.ask(PUBLISHER, command);
    }

    fn drain(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            if let Output::Answer { token, .. } | Output::Finish { token, .. } = black_box(output)
                && matches!(self.framing, Framing::JsonArray | Framing::Object)
                && token.connection < self.sessions
            {
                self.back.push(token.connection);
            }
        }
    }

    /// Clients of answers that end come again.
    fn come_back(&mut self) {
        while let Some(connection) = self.back.pop() {
            let id = ClaimedId::WellFormed(names(connection).0);
            let again = match self.framing {
                Framing::Object => Command::PollNext { id, wait_ms: None },
                _ => Command::Refresh { id },
            };
            self.ask(connection, again);
        }
    }

    /// Writes out what is queued. Says how many bytes the streams took.
    pub(crate) fn flush(&mut self) -> usize {
        let mut bytes = 0;
        while self.broker.has_dirty() {
            while let Some((session, _)) = self.broker.poll_transmit(self.now, &mut self.gather) {
                let len = self.gather.with_slices(|slices| black_box(slices).iter().map(|slice| slice.len()).sum());
                self.broker.handle_sent(self.now, session, &self.gather, len, false);
                bytes += len;
            }
            self.drain();
        }
        self.come_back();
        bytes
    }

    /// Lets so much time pass that every stream is due for a sign of life (rule P-14), and writes those out.
    pub(crate) fn beat(&mut self) -> usize {
        let heartbeat_ms = Settings::default().heartbeat_ms;
        self.now = Now { instant: self.now.instant + heartbeat_ms, unix_s: self.now.unix_s + heartbeat_ms / 1000 };
        self.broker.handle_timeout(self.now);
        self.drain();
        self.flush()
    }

    /// How many events outboxes have taken since the beginning.
    pub(crate) fn delivered(&self) -> u64 {
        self.broker.counters().delivered
    }
}
