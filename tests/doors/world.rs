//! A broker whose clients send bytes and keep the bytes that come.

use std::collections::BTreeMap;
use std::sync::Arc;

use pushletd::broker::{Answer, Broker, Output, Settings};
use pushletd::protocol::{
    Address, Agent, Audience, Command, Event, Posted, ReplyToken, Request, SessionId, ShardTable,
};
use pushletd::session::Gather;
use pushletd::time::{Instant, Now};
use pushletd::wire::pushlet::{Incoming, read};

/// The wall clock, in seconds since 1970.
pub(crate) const UNIX_S: u64 = 1_000_000;

/// The session that a request began.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) id: String,
    pub(crate) address: String,
    /// The request, whose answer may go on.
    pub(crate) request: u32,
}

/// See the module.
pub(crate) struct World {
    broker: Broker,
    requests: u32,
    bodies: BTreeMap<u32, Vec<u8>>,
    posted: BTreeMap<u32, Posted>,
    gather: Gather,
}

const NOW: Now = Now { instant: Instant::ZERO, unix_s: UNIX_S };

impl World {
    pub(crate) fn new() -> Self {
        let broker = Broker::new(Settings::default(), NOW, 1);
        Self { broker, requests: 0, bodies: BTreeMap::new(), posted: BTreeMap::new(), gather: Gather::new() }
    }

    /// Sends a request that `wire` has read.
    pub(crate) fn ask(&mut self, command: Command, agent: Agent) -> Begun {
        self.requests += 1;
        let token = ReplyToken { core: 0, connection: self.requests, serial: 1 };
        let draw = [u128::from(self.requests), u128::from(self.requests) << 64];
        let shard = ShardTable::new(1).pick(0, (draw[1] >> 64) as u64);
        let request = Request { token, command, path: Arc::from("/x"), chunked: false, agent, draw };
        self.broker.handle_request(NOW, request);
        self.settle();
        let (id, address) = (SessionId::new(shard, draw[0]).to_string(), Address::new(shard, draw[1]).to_string());
        Begun { id, address, request: token.connection }
    }

    /// A request of the Pushlet door: a query, or the body of a POST.
    pub(crate) fn pushlet(&mut self, post: bool, text: &str, user_agent: Option<&str>) -> Begun {
        let (query, body) = if post { ("", text) } else { (text, "") };
        let (query, body) = (query.as_bytes(), body.as_bytes());
        let incoming = Incoming { post, path: "/pushlet.srv", query, body, user_agent, force_pull_agents: &[] };
        let (command, agent) = read(&incoming).unwrap_or_else(|error| panic!("{error}: {text}"));
        self.ask(command, agent)
    }

    /// An event of the server's own program.
    pub(crate) fn program(&mut self, event: Event) {
        self.broker.handle_event(NOW, &Arc::new(event), &Audience::Subscribers);
        self.settle();
    }

    /// Everything ends orderly.
    pub(crate) fn shut_down(&mut self) {
        self.broker.handle_shutdown(NOW);
        self.settle();
    }

    /// What has come of the answer to a request.
    pub(crate) fn body(&self, request: u32) -> &[u8] {
        self.bodies.get(&request).map_or(&[], Vec::as_slice)
    }

    /// What a publisher was told.
    pub(crate) fn posted(&self, request: u32) -> &Posted {
        self.posted.get(&request).expect("an answer to a publish request")
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some((key, token)) = self.broker.poll_transmit(NOW, &mut self.gather) {
                let body = self.bodies.entry(token.connection).or_default();
                self.gather.with_slices(|slices| slices.iter().for_each(|slice| body.extend_from_slice(slice)));
                self.broker.handle_sent(NOW, key, &self.gather, self.gather.len(), false);
                quiet = false;
            }
            while let Some(output) = self.broker.poll_output() {
                let request = output.token().expect("there is one core").connection;
                let mut put = |bytes: Vec<u8>| self.bodies.entry(request).or_default().extend(bytes);
                match output {
                    Output::Open { lead, .. } => put(lead),
                    Output::Finish { tail, .. } => put(tail),
                    Output::Answer { answer: Answer::Events { body, .. }, .. } => put(body),
                    Output::Answer { answer: Answer::Posted(posted), .. } => {
                        self.posted.insert(request, (*posted).clone());
                    }
                    Output::Carries { .. } => {}
                    other => panic!("{other:?}"),
                }
                quiet = false;
            }
            if quiet {
                return;
            }
        }
    }
}
