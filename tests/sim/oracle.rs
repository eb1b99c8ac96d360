//! What everybody is to hear. It knows what the clients have asked and what they were told, and nothing of the program's insides.
//!
//! Requests overlap, so what is certain is said by *stamps*, the numbers of the steps in which things were sent and heard: an event is
//! *due* to a session that listened and was subscribed, both acknowledged, before the publish was sent, and did not ask for an end of it
//! before the event was there. It is *possible* where that is not certain, and wrong everywhere else.

use std::collections::{BTreeMap, BTreeSet};

use super::kernel::SocketId;
use super::reader::Event;

/// The number of a step.
pub(crate) type Stamp = u64;

/// A subscription as its client knows it.
#[derive(Debug)]
pub(crate) struct Sub {
    items: Vec<String>,
    /// Its items are subjects and wildcards of a modern door, not prefixes.
    patterns: bool,
    label: Option<String>,
    /// `None` until the ack has come; also for ever, if the connection broke.
    sid: Option<String>,
    acked: Option<Stamp>,
    refused: bool,
    /// When its end was asked for, and what had reached everybody by then.
    end_sent: Option<(Stamp, Stamp)>,
    end_acked: Option<Stamp>,
}

impl Sub {
    fn longest(&self, subject: &str) -> Option<usize> {
        let matches = |item: &&String| {
            if self.patterns { pattern_matches(item, subject) } else { subject.starts_with(item.as_str()) }
        };
        self.items.iter().filter(matches).map(String::len).max()
    }
}

/// What the patterns of the simulator's clients mean, in its subjects, which have one slash.
fn pattern_matches(pattern: &str, subject: &str) -> bool {
    match pattern {
        "/*" => subject.len() > 1,
        "/**" | "**" => true,
        exact => {
            assert!(!exact.contains('*'), "a pattern that nobody explains");
            exact == subject
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No answer yet; also for ever, if the connection broke.
    Open,
    Acked(Stamp),
    /// Nobody may hear it.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Published {
    /// `None` for the server's own program.
    publisher: Option<usize>,
    /// The connection that it came by, or one of [`handle`].
    socket: SocketId,
    subject: String,
    to: To,
    padding: usize,
    sent: Stamp,
    pub(crate) outcome: Outcome,
}

/// For whom something is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Subscribers,
    One(usize),
    Everyone,
}

/// A handle of the server's own program, as if it were a connection.
pub(crate) const fn handle(number: usize) -> SocketId {
    SocketId::MAX - number
}

/// An event that a session heard.
#[derive(Clone, Copy, Debug)]
struct Heard {
    number: usize,
    answer: usize,
    socket: SocketId,
    /// Bytes of the connection that had come when it was whole.
    end: u64,
    /// Its `p_lost`.
    lost: u64,
}

/// One session as its client and a perfect observer see it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) home: u16,
    /// It came through a modern door: it lives as long as its stream, and its events tell no subscription.
    pub(crate) modern: bool,
    /// Its stream is a WebSocket.
    pub(crate) by_socket: bool,
    /// The end of all its subscriptions was asked for once.
    pub(crate) cleared: bool,
    listens: Option<Stamp>,
    /// It was told that it has ended, or asked for it.
    pub(crate) ended: bool,
    /// It has asked for its end.
    pub(crate) left: bool,
    pub(crate) subs: Vec<Sub>,
    /// When something about its subscriptions was sent or heard for the last time.
    changed: Stamp,
    /// The end of all its subscriptions was asked for, and may come at any moment: so often.
    ending_all: usize,
    heard: Vec<Heard>,
    numbers: BTreeSet<usize>,
    /// Sum of all `p_lost`.
    lost: u64,
    /// Its data requests.
    data: Vec<usize>,
    /// Events of answers that were cut off, and where.
    undelivered: u64,
    cuts: Vec<(SocketId, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    asked: Stamp,
    ended: Option<Stamp>,
    /// Its client has gone; the request may still be acted upon.
    abandoned: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    stamp: Stamp,
    pub(crate) sessions: Vec<Known>,
    by_id: BTreeMap<String, usize>,
    pub(crate) published: Vec<Published>,
    answers: Vec<Answer>,
    /// By core: whatever was acked before this has been delivered there.
    delivered: Vec<Stamp>,
    /// Events for connections that had gone before they came; nobody knows whose they were.
    pub(crate) undeliverable: u64,
    /// No queue of a session can be full in this run.
    pub(crate) roomy: bool,
}

/// How certain it is that a session hears of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Due,
    Possible,
    Wrong,
}

impl Oracle {
    pub(crate) fn new(cores: u16, roomy: bool) -> Self {
        Self { delivered: vec![0; usize::from(cores)], roomy, ..Self::default() }
    }

    pub(crate) fn step(&mut self) -> Stamp {
        self.stamp += 1;
        self.stamp
    }

    /// The inbox of a core was empty, and nothing was under way there.
    pub(crate) fn core_delivered(&mut self, core: u16) {
        self.delivered[usize::from(core)] = self.stamp;
    }

    pub(crate) fn begins(&mut self, id: &str, address: &str, home: u16) -> usize {
        let stamp = self.step();
        self.sessions.push(Known {
            id: id.to_owned(),
            address: address.to_owned(),
            home,
            modern: false,
            by_socket: false,
            cleared: false,
            listens: None,
            ended: false,
            left: false,
            subs: Vec::new(),
            changed: stamp,
            ending_all: 0,
            heard: Vec::new(),
            numbers: BTreeSet::new(),
            lost: 0,
            data: Vec::new(),
            undelivered: 0,
            cuts: Vec::new(),
        });
        let before = self.by_id.insert(id.to_owned(), self.sessions.len() - 1);
        assert_eq!(before, None, "two sessions of one name");
        self.sessions.len() - 1
    }

    pub(crate) fn listens(&mut self, session: usize) {
        let stamp = self.step();
        self.sessions[session].listens.get_or_insert(stamp);
    }

    pub(crate) fn has_listened(&self, session: usize) -> bool {
        self.sessions[session].listens.is_some()
    }

    /// A subscription is asked for.
    pub(crate) fn subscribes(&mut self, session: usize, list: &str, label: Option<&str>) -> usize {
        let stamp = self.step();
        let known = &mut self.sessions[session];
        known.changed = stamp;
        known.subs.push(Sub {
            items: list.split(',').map(str::to_owned).collect(),
            patterns: false,
            label: label.map(str::to_owned),
            sid: None,
            acked: None,
            refused: false,
            end_sent: (known.ending_all > 0).then_some((stamp, 0)),
            end_acked: None,
        });
        known.subs.len() - 1
    }

    /// A session of a modern door has begun: it has listened and subscribed with its first request.
    pub(crate) fn begins_modern(&mut self, session: usize, list: &str) {
        self.listens(session);
        let subs = self.subscribes_by_patterns(session, list);
        self.sessions[session].modern = true;
        subs.into_iter().for_each(|sub| self.subscribed_by_pattern(session, sub));
    }

    /// Subscriptions of a modern door are asked for: each pattern is one of its own.
    pub(crate) fn subscribes_by_patterns(&mut self, session: usize, list: &str) -> Vec<usize> {
        let patterns = list.split(',').filter(|pattern| !pattern.is_empty());
        let subs = patterns.map(|pattern| {
            let sub = self.subscribes(session, pattern, None);
            self.sessions[session].subs[sub].patterns = true;
            sub
        });
        subs.collect()
    }

    /// One of those was acked.
    pub(crate) fn subscribed_by_pattern(&mut self, session: usize, sub: usize) {
        let stamp = self.step();
        let known = &mut self.sessions[session];
        known.changed = stamp;
        known.subs[sub].acked.get_or_insert(stamp);
    }

    /// A pattern that can be taken back.
    pub(crate) fn some_pattern(&self, session: usize, pick: usize) -> Option<String> {
        let subs =
            self.sessions[session].subs.iter().filter(|sub| sub.patterns && sub.end_sent.is_none() && !sub.refused);
        let patterns: Vec<&String> = subs.map(|sub| &sub.items[0]).collect();
        patterns.get(pick % patterns.len().max(1)).map(|pattern| (*pattern).clone())
    }

    /// The end of all subscriptions to this pattern is asked for, on the connection on which they were asked for.
    pub(crate) fn unsubscribes_pattern(&mut self, session: usize, pattern: &str) -> Vec<usize> {
        let stamp = self.step();
        let horizon = self.delivered[usize::from(self.sessions[session].home)];
        let known = &mut self.sessions[session];
        known.changed = stamp;
        let mut ending = Vec::new();
        for (at, sub) in known.subs.iter_mut().enumerate() {
            if sub.patterns && sub.items[0] == pattern && sub.end_sent.is_none() {
                sub.end_sent = Some((stamp, horizon));
                ending.push(at);
            }
        }
        ending
    }

    pub(crate) fn subscribed(&mut self, session: usize, sub: usize, sid: Option<&str>) {
        let stamp = self.step();
        let known = &mut self.sessions[session];
        known.changed = stamp;
        match sid {
            Some(sid) => {
                let used = known.subs.iter().any(|other| other.sid.as_deref() == Some(sid));
                assert!(!used, "{sid} is given out twice");
                known.subs[sub].sid = Some(sid.to_owned());
                known.subs[sub].acked = Some(stamp);
            }
            None => known.subs[sub].refused = true,
        }
    }

    /// A sid that can be unsubscribed.
    pub(crate) fn some_sid(&self, session: usize, pick: usize) -> Option<String> {
        let subs = self.sessions[session].subs.iter().filter(|sub| sub.end_sent.is_none());
        let sids: Vec<&String> = subs.filter_map(|sub| sub.sid.as_ref()).collect();
        sids.get(pick % sids.len().max(1)).map(|sid| (*sid).clone())
    }

    /// The end of a subscription, or of all, is asked for.
    pub(crate) fn unsubscribes(&mut self, session: usize, sid: Option<&str>) -> Vec<usize> {
        let stamp = self.step();
        let horizon = self.delivered[usize::from(self.sessions[session].home)];
        let known = &mut self.sessions[session];
        known.changed = stamp;
        known.ending_all += usize::from(sid.is_none());
        known.cleared |= sid.is_none();
        let mut ending = Vec::new();
        for (at, sub) in known.subs.iter_mut().enumerate() {
            if sid.is_none() || sub.sid.as_deref() == sid {
                sub.end_sent.get_or_insert((stamp, horizon));
                // One that is asked for at the same time may begin behind the end of all.
                if sub.acked.is_some() {
                    ending.push(at);
                }
            }
        }
        ending
    }

    /// The end of these subscriptions was acked; of `all`, or of one.
    pub(crate) fn unsubscribed(&mut self, session: usize, ended: &[usize], all: bool) {
        let stamp = self.step();
        self.sessions[session].changed = stamp;
        self.sessions[session].ending_all -= usize::from(all);
        for at in ended {
            self.sessions[session].subs[*at].end_acked.get_or_insert(stamp);
        }
    }

    pub(crate) fn publishes(
        &mut self,
        publisher: Option<usize>,
        socket: SocketId,
        subject: &str,
        to: To,
        padding: usize,
    ) -> usize {
        let sent = self.step();
        let subject = subject.to_owned();
        self.published.push(Published { publisher, socket, subject, to, padding, sent, outcome: Outcome::Open });
        self.published.len() - 1
    }

    pub(crate) fn published(&mut self, number: usize, accepted: bool) {
        let stamp = self.step();
        assert_eq!(self.published[number].outcome, Outcome::Open, "a publish is answered twice");
        self.published[number].outcome = if accepted { Outcome::Acked(stamp) } else { Outcome::Refused };
        if !accepted {
            let heard = self.sessions.iter().position(|known| known.numbers.contains(&number));
            assert_eq!(heard, None, "publish {number} was refused, and somebody has it");
        }
    }

    pub(crate) fn answer_asked(&mut self) -> usize {
        let asked = self.step();
        self.answers.push(Answer { asked, ended: None, abandoned: false });
        self.answers.len() - 1
    }

    pub(crate) fn data_asked(&mut self, session: usize, answer: usize) {
        self.sessions[session].data.push(answer);
    }

    /// P-26, P-27, P-30: a data answer may end without a word if another data request came, or the client left.
    pub(crate) fn ends_in_silence(&self, session: usize, answer: usize) {
        let known = &self.sessions[session];
        let asked = self.answers[answer].asked;
        let overlaps = |other: &usize| {
            let Answer { ended, abandoned, .. } = self.answers[*other];
            *other != answer && (abandoned || ended.is_none_or(|stamp| stamp > asked))
        };
        let superseded = known.data.iter().any(overlaps);
        assert!(superseded || known.left, "an answer of session {session} ends, and nobody says why");
    }

    pub(crate) fn answer_ended(&mut self, answer: usize) {
        let stamp = self.step();
        self.answers[answer].ended.get_or_insert(stamp);
    }

    pub(crate) fn answer_abandoned(&mut self, answer: usize) {
        self.answer_ended(answer);
        self.answers[answer].abandoned = true;
    }

    pub(crate) fn is_cut(&mut self, session: usize, events: u32, socket: SocketId, base: u64) {
        let known = &mut self.sessions[session];
        known.undelivered += u64::from(events);
        known.cuts.push((socket, base));
    }

    /// P-19 to P-24: an event came. It is for this session, was not refused, did not come before, and says what it has to.
    pub(crate) fn hears(&mut self, session: usize, answer: usize, socket: SocketId, end: u64, event: &Event) {
        self.step();
        let field = |name: &str| event.get(name).map(String::as_str);
        let number: usize = field("n").and_then(|text| text.parse().ok()).expect("a number");
        let published = &self.published[number];
        let claim = self.claim(session, number);
        let known = &self.sessions[session];
        assert_ne!(
            claim,
            Claim::Wrong,
            "publish {number} is not for session {session}: {event:?}, {published:?}, {known:?}"
        );
        assert_eq!(field("p_subject"), Some(published.subject.as_str()), "{event:?}");
        assert_eq!(field("x").map(str::len), Some(published.padding), "publish {number} came with another text");
        let own = published.publisher == Some(session) && !known.modern;
        let publisher = published.publisher.map(|at| &self.sessions[at]);
        let from = publisher.map(|publisher| if own { &*publisher.id } else { &*publisher.address });
        assert_eq!(field("p_from"), from, "P-22: {event:?}");
        assert_eq!(field("p_id"), from.filter(|_| own), "P-22: {event:?}");
        if !known.modern {
            self.check_label(session, number, field("p_sid"), field("p_label"));
        }
        let lost: u64 = field("p_lost").map_or(0, |text| text.parse().expect("a number"));
        let known = &mut self.sessions[session];
        assert!(known.numbers.insert(number), "session {session} hears publish {number} twice");
        known.lost += lost;
        known.heard.push(Heard { number, answer, socket, end, lost });
    }

    /// P-19, P-20: which subscription it came by.
    fn check_label(&self, session: usize, number: usize, sid: Option<&str>, label: Option<&str>) {
        let (known, published) = (&self.sessions[session], &self.published[number]);
        if published.to != To::Subscribers {
            assert_eq!((sid, label), (None, None), "P-23: publish {number} is not by a subscription");
            return;
        }
        let sid = sid.expect("an event has a p_sid");
        let Some(sub) = known.subs.iter().find(|sub| sub.sid.as_deref() == Some(sid)) else {
            let unknown = known.subs.iter().any(|sub| {
                sub.sid.is_none() && sub.label.as_deref() == label && sub.longest(&published.subject).is_some()
            });
            assert!(unknown, "session {session} has no subscription {sid}, by which publish {number} came");
            return;
        };
        assert_eq!(label, sub.label.as_deref(), "P-20: the label of {sid}");
        let longest = sub.longest(&published.subject);
        assert!(longest.is_some(), "{sid} does not match publish {number}");
        let unsure =
            |sub: &Sub| !sub.refused && (sub.sid.is_none() || sub.end_sent.is_some() != sub.end_acked.is_some());
        if known.changed > published.sent || known.subs.iter().any(unsure) {
            return;
        }
        // Nothing has changed since it was sent, so there is only one right answer.
        let lives = known.subs.iter().filter(|sub| sub.acked.is_some() && sub.end_acked.is_none());
        let ids = |sub: &Sub| sub.sid.as_deref().and_then(|sid| sid[1..].parse::<u32>().ok());
        let best = lives.filter_map(|sub| Some((sub.longest(&published.subject)?, std::cmp::Reverse(ids(sub)?))));
        let best = best.max().map(|(len, number)| (Some(len), number.0));
        assert_eq!(best, ids(sub).map(|number| (longest, number)), "P-19: the longest match, of several the oldest");
    }

    fn claim(&self, session: usize, number: usize) -> Claim {
        let (known, published) = (&self.sessions[session], &self.published[number]);
        let acked = match published.outcome {
            Outcome::Refused => return Claim::Wrong,
            Outcome::Open => None,
            Outcome::Acked(stamp) => Some(stamp),
        };
        let listened = known.listens.is_some_and(|stamp| stamp < published.sent);
        let certain = acked.is_some() && listened;
        match published.to {
            To::One(to) if to != session => return Claim::Wrong,
            To::One(_) | To::Everyone => return if certain { Claim::Due } else { Claim::Possible },
            To::Subscribers => {}
        }
        let mut claim = Claim::Wrong;
        for sub in known.subs.iter().filter(|sub| !sub.refused && sub.longest(&published.subject).is_some()) {
            if sub.end_acked.is_some_and(|stamp| stamp < published.sent) {
                continue;
            }
            let in_time = sub.end_sent.is_none_or(|(_, horizon)| acked.is_some_and(|stamp| stamp < horizon));
            if certain && in_time && sub.acked.is_some_and(|stamp| stamp < published.sent) {
                return Claim::Due;
            }
            claim = Claim::Possible;
        }
        claim
    }

    pub(crate) fn has_heard(&self, session: usize, number: usize) -> bool {
        self.sessions[session].numbers.contains(&number)
    }

    /// Everybody has read everything, and `session` lives: what it did not hear it was told of (P-30).
    pub(crate) fn check_complete(&self, session: usize) {
        let known = &self.sessions[session];
        let (mut missed, mut unsure) = (Vec::new(), 0);
        for number in (0..self.published.len()).filter(|number| !known.numbers.contains(number)) {
            match self.claim(session, number) {
                Claim::Due => missed.push(number),
                Claim::Possible => unsure += 1,
                Claim::Wrong => {}
            }
        }
        // What a broken connection had taken of an answer counts as lost, with what it told; and may have come all the same.
        let in_cut =
            |heard: &&Heard| known.cuts.iter().any(|(socket, base)| heard.socket == *socket && heard.end > *base);
        let twice = known.heard.iter().filter(in_cut).map(|heard| heard.lost + 1).sum::<u64>();
        let least = missed.len() as u64 + twice;
        assert!(
            (least..=least + unsure).contains(&known.lost),
            "session {session} was told that {} events are lost; it misses {missed:?}, perhaps {unsure} more, and {twice} \
             came although they count as lost; {} were in answers that were cut off; it heard {:?}; subscriptions {:#?}",
            known.lost,
            known.undelivered,
            known.numbers,
            known.subs,
        );
        assert!(
            !self.roomy || known.lost <= known.undelivered + self.undeliverable,
            "session {session} has room for everything and lost {} events, only {} with a connection",
            known.lost,
            known.undelivered
        );
    }

    /// A8: what one publisher, one connection for several, or one handle of the program has sent in an order is heard in that order.
    pub(crate) fn check_order(&self) {
        for (session, known) in self.sessions.iter().enumerate() {
            let mut groups: BTreeMap<(bool, usize), Vec<Heard>> = BTreeMap::new();
            for heard in &known.heard {
                let Published { publisher, socket, .. } = self.published[heard.number];
                if let Some(publisher) = publisher {
                    groups.entry((false, publisher)).or_default().push(*heard);
                }
                groups.entry((true, socket)).or_default().push(*heard);
            }
            for heard in groups.values() {
                for (place, sooner) in heard.iter().enumerate() {
                    heard[place + 1..].iter().for_each(|later| self.check_pair(session, sooner, later));
                }
            }
        }
    }

    /// `later` came to the client behind `sooner`. It may only have been sent before it if they came in different answers that overlap.
    fn check_pair(&self, session: usize, sooner: &Heard, later: &Heard) {
        let (a, b) = (&self.published[sooner.number], &self.published[later.number]);
        let acked_before = matches!(b.outcome, Outcome::Acked(stamp) if stamp < a.sent);
        let one_publisher = a.publisher.is_some() && a.publisher == b.publisher;
        let one_line = a.socket == b.socket;
        if !(one_publisher && acked_before || one_line && b.sent < a.sent) {
            return;
        }
        let (one, other) = (self.answers[sooner.answer], self.answers[later.answer]);
        let in_order = sooner.answer == later.answer || one.ended.is_some_and(|stamp| stamp < other.asked);
        assert!(
            !in_order,
            "session {session} hears publish {} before {}, which was accepted before",
            sooner.number, later.number
        );
    }

    /// How many events were heard.
    pub(crate) fn heard_count(&self) -> usize {
        self.sessions.iter().map(|known| known.heard.len()).sum()
    }
}
