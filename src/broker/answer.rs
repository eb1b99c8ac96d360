//! What the broker tells the shell to do.

use std::sync::Arc;

use super::{Asked, Broker};
use crate::protocol::{Audience, Command, Event, Framing, Posted, Problem, ReplyToken, Request};
use crate::session::SessionKey;
use crate::wire::pushlet;

/// The whole answer of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with events.
    Events {
        /// Their layout, which names the content type.
        framing: Framing,
        /// The body.
        body: Vec<u8>,
    },
    /// An HTTP error (rule P-8).
    Error {
        /// 400 for the client's fault, 503 for our load.
        status: u16,
        /// What a person reads.
        reason: String,
        /// After how many seconds trying again makes sense.
        retry_after_s: Option<u32>,
    },
    /// An HTTP error of a modern door.
    Problem(Box<Problem>),
    /// What became of a publish request.
    Posted(Arc<Posted>),
    /// It is done, and there is nothing to say about it.
    Done,
}

impl Answer {
    /// A refusal for load, in the words of the door that the command came through.
    pub(super) fn refusal(command: &Command, status: u16, reason: String, retry_after_s: Option<u32>) -> Self {
        if command.is_modern() {
            Self::Problem(Box::new(Problem { retry_after_s, ..Problem::new(status, reason) }))
        } else {
            Self::Error { status, reason, retry_after_s }
        }
    }
}

/// An effect, applied after the step (invariant A6).
#[derive(Debug)]
pub enum Output {
    /// Answer a request.
    Answer {
        /// Which.
        token: ReplyToken,
        /// With what.
        answer: Answer,
    },
    /// Begin the answer of a data request and leave it open.
    Open {
        /// Which request.
        token: ReplyToken,
        /// Whose: what is sent later comes from [`Broker::poll_transmit`], or as [`Output::Finish`].
        session: SessionKey,
        /// The layout, which names the content type.
        framing: Framing,
        /// The first bytes of the body, in their envelope.
        lead: Vec<u8>,
    },
    /// The next answer or end with this token carries events that stand in no queue any more; a client that does not get them misses so many. If the connection breaks before it has
    /// taken them, [`Broker::handle_undelivered`] is to be told, so that they are missed aloud (rule P-30).
    Carries {
        /// Which request.
        token: ReplyToken,
        /// Whose events.
        session: SessionKey,
        /// How many: those, and the ones that they tell of in `p_lost`.
        events: u32,
    },
    /// End an open answer: these are its last bytes, in their envelope. Nothing more of the session comes to this connection.
    Finish {
        /// Which request.
        token: ReplyToken,
        /// The bytes.
        tail: Vec<u8>,
    },
    /// Hand the connection of a request over to this core: the answer is a stream of one of its sessions. The request comes back with it.
    Summon {
        /// Which request.
        token: ReplyToken,
        /// The request itself.
        request: Box<Request>,
    },
    /// Give an event to the other cores: to all of them, or to the one that holds the session it is for (P-23). The caller has seen that
    /// they have room (invariant A8).
    Relay {
        /// What was published.
        event: Arc<Event>,
        /// For whom it is.
        audience: Audience,
    },
}

impl Output {
    /// The request that is answered, wherever its connection is.
    #[must_use]
    pub const fn token(&self) -> Option<ReplyToken> {
        match self {
            Self::Answer { token, .. }
            | Self::Open { token, .. }
            | Self::Carries { token, .. }
            | Self::Finish { token, .. }
            | Self::Summon { token, .. } => Some(*token),
            Self::Relay { .. } => None,
        }
    }

    /// Bytes of clients that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Answer { answer: Answer::Events { body, .. }, .. } => body.len(),
            Self::Answer { answer: Answer::Error { reason, .. }, .. } => reason.len(),
            Self::Answer { answer: Answer::Problem(problem), .. } => problem.bytes(),
            Self::Answer { answer: Answer::Posted(posted), .. } => posted.bytes(),
            Self::Open { lead, .. } => lead.len(),
            Self::Finish { tail, .. } => tail.len(),
            Self::Answer { answer: Answer::Done, .. } => 0,
            Self::Carries { .. } | Self::Summon { .. } | Self::Relay { .. } => 0,
        }
    }
}

impl Broker {
    /// Answers with one event, in a control answer of its own.
    pub(super) fn answer_event(&mut self, asked: &Asked, framing: Framing, fields: &[(&str, &str)]) {
        let mut body = Vec::with_capacity(256);
        pushlet::prologue(framing, &mut body);
        pushlet::event(framing, true, fields.iter().copied(), &mut body);
        pushlet::control_epilogue(framing, &mut body);
        self.answer(asked, Answer::Events { framing, body });
    }

    /// P-7: says no, with a reason.
    pub(super) fn nack(&mut self, asked: &Asked, framing: Framing, id: Option<&str>, reason: &str) {
        self.counters.nacks += 1;
        let mut text = itoa::Buffer::new();
        let time = ("p_time", text.format(asked.now.unix_s));
        let (event, reason) = (("p_event", "nack"), ("p_reason", reason));
        match id {
            Some(id) => self.answer_event(asked, framing, &[event, ("p_id", id), reason, time]),
            None => self.answer_event(asked, framing, &[event, reason, time]),
        }
    }

    pub(super) fn answer_error(&mut self, asked: &Asked, status: u16, reason: String, retry_after_s: Option<u32>) {
        self.answer(asked, Answer::Error { status, reason, retry_after_s });
    }

    pub(super) fn answer_problem(&mut self, token: ReplyToken, problem: Problem) {
        self.counters.denied += u64::from(matches!(problem.status, 401 | 403));
        self.outputs.push_back(Output::Answer { token, answer: Answer::Problem(Box::new(problem)) });
    }

    pub(super) fn answer(&mut self, asked: &Asked, answer: Answer) {
        self.outputs.push_back(Output::Answer { token: asked.token, answer });
    }
}
