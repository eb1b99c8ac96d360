//! The outbox and the gathered write against a plain list: what the socket sees is exactly the encodings of what was delivered.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::super::item::{Frame, Item};
use super::super::outbox::*;
use super::super::{Envelope, Gather, Label, Subscriptions};
use crate::limits::{EVENT_OVERHEAD_BYTES, SLICES_PER_WRITE_MAX};
use crate::protocol::{Framing, Overflow, SubscriptionWish};
use crate::topic::{Subject, Trie};
use crate::wire::pushlet;
use std::num::NonZeroU16;
use std::rc::Rc;

const SUBJECTS: [&str; 4] = ["/a", "/b", "/c", "/d"];

/// An event as it was pushed; number 0 is a heartbeat.
#[derive(Clone, Debug)]
struct Plain {
    number: u64,
    subject: usize,
    frame: Rc<Frame>,
    label: Option<Label>,
    lost: u64,
}

impl Plain {
    fn charge(&self) -> u64 {
        if self.number == 0 { 0 } else { self.frame.event_len() as u64 + u64::from(EVENT_OVERHEAD_BYTES) }
    }

    fn encoded(&self, framing: Framing, envelope: Envelope, seq: u64) -> Vec<u8> {
        let (mut event, mut bytes) = (Vec::new(), Vec::new());
        let item = Item { frame: Rc::clone(&self.frame), label: self.label.clone(), lost: self.lost };
        item.write(framing, false, seq, &mut event);
        envelope.wrap(&event, &mut bytes);
        bytes
    }
}

/// What an outbox and its answer are to be, said as simply as possible.
#[derive(Debug, Default)]
struct Model {
    queue: Vec<Plain>,
    front_sent: usize,
    lost: u64,
    dropped: u64,
    next_number: u64,
    /// The present answer: its `p_seq`, and the bytes it is due to have had.
    seq: u64,
    answer: Vec<u8>,
    /// Numbers and `p_lost` of the events that were delivered whole, over all answers.
    delivered: Vec<(u64, u64)>,
}

impl Model {
    fn fixed(&self) -> usize {
        usize::from(self.front_sent > 0 || self.queue.first().is_some_and(|item| item.number == 0))
    }

    fn fits(items: &[Plain], charge: u64, bounds: Bounds) -> bool {
        let events = items.iter().filter(|item| item.number > 0).count() as u64;
        let bytes: u64 = items.iter().map(Plain::charge).sum();
        events < u64::from(bounds.events_max) && bytes + charge <= u64::from(bounds.bytes_max)
    }

    fn drop_at(&mut self, at: usize) {
        let missing = self.queue.remove(at).lost + 1;
        self.dropped += 1;
        match self.queue.get_mut(at) {
            Some(next) => next.lost += missing,
            None => self.lost += missing,
        }
    }

    /// P-30: the places of what the wish of the item's subscription does not let wait beside it.
    fn outdated(&self, item: &Plain) -> Vec<usize> {
        let Some(label) = &item.label else { return Vec::new() };
        let same = |at: &usize| self.queue[*at].label.as_ref().is_some_and(|known| known.is(label));
        let of_it: Vec<usize> = (self.fixed()..self.queue.len()).filter(same).collect();
        let replaced = |at: &usize| label.wish().conflate && self.queue[*at].subject == item.subject;
        let (mut out, stay): (Vec<usize>, Vec<usize>) = of_it.into_iter().partition(replaced);
        let kept = label.wish().queue.map_or(usize::MAX, |events| usize::from(events.get()) - 1);
        out.extend(&stay[..stay.len().saturating_sub(kept)]);
        out.sort_unstable();
        out
    }

    fn push(&mut self, mut item: Plain, bounds: Bounds, policy: Overflow) -> Pushed {
        let before = self.dropped;
        let charge = item.charge();
        let outdated = self.outdated(&item);
        let has_wish = item.label.as_ref().is_some_and(|label| label.wish().is_some());
        let mut looked_at = if has_wish { self.queue.len() - self.fixed() } else { 0 };
        let numbered = self.queue.iter().enumerate();
        let left: Vec<Plain> =
            numbered.filter(|(at, _)| !outdated.contains(at)).map(|(_, plain)| plain.clone()).collect();
        let has_room = Self::fits(&left, charge, bounds);
        if !has_room {
            let hopeless = !Self::fits(&[], charge, bounds);
            if policy == Overflow::Disconnect && !hopeless {
                return Pushed::Full;
            }
            if hopeless || !Self::fits(&self.queue[..self.fixed()], charge, bounds) {
                self.lost += 1;
                self.dropped += 1;
                return Pushed::Refused;
            }
        }
        outdated.into_iter().rev().for_each(|at| self.drop_at(at));
        if !has_room && policy == Overflow::Conflate {
            looked_at += self.queue.iter().filter(|item| item.number > 0).count();
            let mut at = self.fixed();
            while at < self.queue.len() {
                let subject = self.queue[at].subject;
                let newer = self.queue[at + 1..].iter().any(|later| later.subject == subject);
                if newer || subject == item.subject {
                    self.drop_at(at);
                } else {
                    at += 1;
                }
            }
        }
        while !Self::fits(&self.queue, charge, bounds) {
            self.drop_at(self.fixed());
        }
        item.lost = std::mem::take(&mut self.lost);
        self.queue.push(item);
        Pushed::Queued { dropped: self.dropped - before, looked_at }
    }

    /// The socket takes one byte after the other.
    fn write(&mut self, framing: Framing, envelope: Envelope, mut bytes: usize) {
        while bytes > 0 {
            let encoded = self.queue[0].encoded(framing, envelope, self.seq);
            let taken = bytes.min(encoded.len() - self.front_sent);
            self.answer.extend_from_slice(&encoded[self.front_sent..self.front_sent + taken]);
            self.front_sent += taken;
            bytes -= taken;
            if self.front_sent == encoded.len() {
                self.front_is_out();
            }
        }
    }

    fn front_is_out(&mut self) {
        let gone = self.queue.remove(0);
        self.front_sent = 0;
        self.seq += 1;
        if gone.number > 0 {
            self.delivered.push((gone.number, gone.lost));
        }
    }

    fn begin_answer(&mut self) {
        (self.seq, self.answer) = (1, Vec::new());
        self.front_sent = 0;
        self.queue.retain(|item| item.number > 0);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        subject: usize,
        size: usize,
        policy: Overflow,
        /// By which of the subscriptions it comes.
        label: Option<usize>,
    },
    /// Events that come together, written for an answer in chunks or not.
    Run {
        subject: usize,
        sizes: Vec<usize>,
        policy: Overflow,
        label: Option<usize>,
        chunked: bool,
    },
    Heartbeat,
    /// One write of which the socket takes this share, in thousandths.
    Write {
        share: usize,
    },
    /// The answer ends orderly and another one begins.
    End,
    /// The connection is gone.
    Cut,
    /// A pull answer takes everything.
    TakeAll,
}

fn step() -> impl Strategy<Value = Step> {
    let policy = prop::sample::select(Overflow::ALL.to_vec());
    let size = prop_oneof![8 => 0..120_usize, 1 => 2_000..2_200_usize, 1 => 0..9_000_usize];
    let sizes = prop::collection::vec(size.clone(), 1..6);
    let label = prop::option::of(0..LABELS);
    let chunked = prop::bool::weighted(0.7);
    prop_oneof![
        4 => (0..SUBJECTS.len(), sizes, prop::sample::select(Overflow::ALL.to_vec()), label, chunked)
            .prop_map(|(subject, sizes, policy, label, chunked)| Step::Run { subject, sizes, policy, label, chunked }),
        12 => (0..SUBJECTS.len(), size, policy, prop::option::of(0..LABELS))
            .prop_map(|(subject, size, policy, label)| Step::Push { subject, size, policy, label }),
        1 => Just(Step::Heartbeat),
        5 => prop_oneof![Just(1_000_usize), 0..1_000_usize, 0..30_usize].prop_map(|share| Step::Write { share }),
        1 => Just(Step::End),
        1 => Just(Step::Cut),
        1 => Just(Step::TakeAll),
    ]
}

struct Pair {
    outbox: Outbox,
    model: Model,
    /// What the socket of the present answer has taken.
    taken: Vec<u8>,
    gather: Gather,
    framing: Framing,
    envelope: Envelope,
    bounds: Bounds,
    labels: [Label; LABELS],
}

/// Subscriptions without a wish, and with each kind of wish.
const LABELS: usize = 5;

fn labels() -> [Label; LABELS] {
    let (mut trie, mut subscriptions) = (Trie::new(), Subscriptions::new());
    let mut wishing = |queue, conflate| {
        let wish = SubscriptionWish { queue: NonZeroU16::new(queue), conflate };
        subscriptions.add_patterns(0, &["/x"], wish, 0, &mut trie).expect("a subscription")
    };
    let [conflate, one, three, both] = [wishing(0, true), wishing(1, false), wishing(3, false), wishing(2, true)];
    [subscriptions.add(0, "/x", Some("the label"), 0, &mut trie).expect("a subscription"), conflate, one, three, both]
}

impl Pair {
    fn new(framing: Framing, chunked: bool, bounds: Bounds) -> Self {
        Self {
            outbox: Outbox::new(),
            model: Model { seq: 1, ..Model::default() },
            taken: Vec::new(),
            gather: Gather::new(),
            framing,
            envelope: Envelope::new(chunked),
            bounds,
            labels: labels(),
        }
    }

    fn frame(&self, number: u64, subject: Option<usize>, size: usize) -> Rc<Frame> {
        let (mut bytes, text) = (Vec::new(), "x".repeat(size));
        let fields = [("n", number.to_string()), ("text", text)];
        let info =
            pushlet::shared_part(self.framing, fields.iter().map(|(name, value)| (*name, value.as_str())), &mut bytes);
        let subject = subject.map(|at| Subject::new(SUBJECTS[at]).expect("a subject"));
        Rc::new(Frame::new(bytes, info.fields, subject))
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Push { subject, size, policy, label } => {
                self.model.next_number += 1;
                let number = self.model.next_number;
                let frame = self.frame(number, Some(subject), size);
                let label = label.map(|at| self.labels[at].clone());
                let plain = Plain { number, subject, frame: Rc::clone(&frame), label: label.clone(), lost: 0 };
                let expected = self.model.push(plain, self.bounds, policy);
                prop_assert_eq!(self.outbox.push(frame, label.clone(), self.bounds, policy), expected);
                if let (Pushed::Queued { .. }, Some(label)) = (expected, label) {
                    self.check_wish(&label, subject)?;
                }
            }
            Step::Run { subject, ref sizes, policy, label, chunked } => {
                self.push_run(subject, sizes, policy, label, chunked)?;
            }
            Step::Heartbeat => {
                let frame = self.frame(0, None, 0);
                if self.model.queue.is_empty() {
                    let frame = Rc::clone(&frame);
                    self.model.queue.push(Plain { number: 0, subject: usize::MAX, frame, label: None, lost: 0 });
                }
                self.outbox.push_heartbeat(frame);
            }
            Step::Write { share } => self.write(share)?,
            Step::End => {
                self.end();
            }
            Step::Cut => {
                self.outbox.rewind();
                self.begin_answer();
            }
            Step::TakeAll => {
                self.end();
                for (item, plain) in self.outbox.take_all().iter().zip(self.model.queue.drain(..)) {
                    prop_assert!(Rc::ptr_eq(&item.frame, &plain.frame));
                    prop_assert_eq!(item.lost, plain.lost);
                    self.model.delivered.push((plain.number, plain.lost));
                }
            }
        }
        self.check()
    }

    fn push_run(
        &mut self,
        subject: usize,
        sizes: &[usize],
        policy: Overflow,
        label: Option<usize>,
        chunked: bool,
    ) -> Result<(), TestCaseError> {
        let label = label.map(|at| self.labels[at].clone());
        let first = self.model.next_number + 1;
        let frames: Vec<_> =
            (first..).zip(sizes).map(|(number, size)| self.frame(number, Some(subject), *size)).collect();
        let run = Frame::run(frames.clone(), self.framing, Envelope::new(chunked)).map(Rc::new);
        prop_assert_eq!(run.is_some(), self.framing.is_impersonal());
        let goes = run.is_some_and(|run| self.outbox.push_run(&run, label.as_ref(), self.bounds));
        for frame in frames {
            self.model.next_number += 1;
            let number = self.model.next_number;
            let plain = Plain { number, subject, frame: Rc::clone(&frame), label: label.clone(), lost: 0 };
            let expected = self.model.push(plain, self.bounds, policy);
            if goes {
                prop_assert_eq!(expected, Pushed::Queued { dropped: 0, looked_at: 0 });
            } else {
                prop_assert_eq!(self.outbox.push(frame, label.clone(), self.bounds, policy), expected);
            }
        }
        Ok(())
    }

    /// P-30: what a wish promises of what waits directly after an event of its subscription came.
    fn check_wish(&self, label: &Label, subject: usize) -> Result<(), TestCaseError> {
        let items = self.outbox.items().iter().flat_map(|item| std::iter::repeat_n(item, item.frame.count()));
        let waiting = items.zip(&self.model.queue).skip(self.model.fixed());
        let of_it: Vec<usize> = waiting
            .filter(|(item, _)| item.label.as_ref().is_some_and(|known| known.is(label)))
            .map(|(_, plain)| plain.subject)
            .collect();
        if let Some(events) = label.wish().queue {
            prop_assert!(of_it.len() <= usize::from(events.get()), "{} wait", of_it.len());
        }
        if label.wish().conflate {
            prop_assert_eq!(of_it.iter().filter(|known| **known == subject).count(), 1, "only the newest waits");
        }
        Ok(())
    }

    fn write(&mut self, share: usize) -> Result<(), TestCaseError> {
        self.outbox.gather(self.framing, self.envelope, self.model.seq, &mut self.gather);
        let bytes = self.gather.with_slices(|slices| {
            assert!(slices.len() <= SLICES_PER_WRITE_MAX, "more slices than one call takes");
            slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>()
        });
        prop_assert_eq!(bytes.len(), self.gather.len());
        prop_assert_eq!(bytes.is_empty(), self.outbox.is_empty(), "a write always gets somewhere");
        let sent = bytes.len() * share / 1_000;
        let (whole, partial) = self.gather.progress(sent);
        self.outbox.advance(whole, partial);
        self.taken.extend_from_slice(&bytes[..sent]);
        let seq = self.model.seq;
        self.model.write(self.framing, self.envelope, sent);
        prop_assert_eq!(self.model.seq - seq, whole as u64);
        Ok(())
    }

    /// P-26: the rest of what was sent in part is the end of the answer.
    fn end(&mut self) {
        let in_part = self.outbox.is_sent_in_part();
        let taken = self.outbox.take_remainder(self.framing, self.envelope, self.model.seq, &mut self.taken);
        assert_eq!(taken.is_some(), in_part);
        if in_part {
            let encoded = self.model.queue[0].encoded(self.framing, self.envelope, self.model.seq);
            let rest = encoded[self.model.front_sent..].to_vec();
            self.model.answer.extend_from_slice(&rest);
            self.model.front_is_out();
        }
        assert_eq!(self.taken, self.model.answer);
        self.begin_answer();
    }

    fn begin_answer(&mut self) {
        self.model.begin_answer();
        self.taken.clear();
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(&self.taken, &self.model.answer);
        let events: Vec<&Plain> = self.model.queue.iter().filter(|item| item.number > 0).collect();
        prop_assert_eq!(self.outbox.len(), events.len());
        prop_assert_eq!(self.outbox.is_empty(), self.model.queue.is_empty());
        prop_assert_eq!(self.outbox.is_sent_in_part(), self.model.front_sent > 0);
        prop_assert_eq!(u64::from(self.outbox.bytes()), self.model.queue.iter().map(Plain::charge).sum::<u64>());
        prop_assert!(self.outbox.bytes() <= self.bounds.bytes_max && events.len() <= self.bounds.events_max as usize);
        // Nothing twice, nothing out of order, and every loss is told once.
        prop_assert!(self.model.delivered.is_sorted_by(|a, b| a.0 < b.0));
        let told: u64 = self.model.delivered.iter().map(|(_, lost)| lost).sum();
        let to_tell: u64 = events.iter().map(|item| item.lost).sum();
        prop_assert_eq!(told + to_tell + self.model.lost, self.model.dropped);
        Ok(())
    }
}

proptest! {
    #![proptest_config(Config { cases: 128, rng_seed: RngSeed::Fixed(14), failure_persistence: None, ..Config::default() })]

    /// P-14, P-26, P-30, P-31: the outbox is its model, whatever is pushed and however little the socket takes.
    #[test]
    fn an_outbox_is_its_model(
        framing in prop::sample::select(Framing::ALL.to_vec()),
        chunked: bool,
        events_max in 1..24_u32,
        bytes_max in prop_oneof![300..12_000_u32, Just(1 << 20)],
        // One policy throughout, or another one for each event.
        always in prop::option::weighted(0.7, prop::sample::select(Overflow::ALL.to_vec())),
        mut steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut pair = Pair::new(framing, chunked, Bounds { events_max, bytes_max });
        for step in &mut steps {
            if let (Step::Push { policy, .. } | Step::Run { policy, .. }, Some(always)) = (&mut *step, always) {
                *policy = always;
            }
            pair.step(step)?;
        }
        pair.step(&Step::End)?;
    }

    /// The same where no bound is reached: writes of many pieces, more than one call takes.
    #[test]
    fn large_writes_are_cut_at_the_end_of_an_event(
        sizes in prop::collection::vec(prop_oneof![0..100_usize, 2_000..2_100_usize, 0..40_000_usize], 1..120),
        shares in prop::collection::vec(0..1_000_usize, 0..12),
    ) {
        let mut pair = Pair::new(Framing::Xml, true, Bounds { events_max: 1_000, bytes_max: 1 << 30 });
        for size in sizes {
            pair.step(&Step::Push { subject: 0, size, policy: Overflow::Disconnect, label: Some(0) })?;
        }
        for share in shares {
            pair.step(&Step::Write { share })?;
        }
        while !pair.outbox.is_empty() {
            pair.step(&Step::Write { share: 1_000 })?;
        }
    }
}

fn queue_of(outbox: &mut Outbox, pair: &Pair, events: u64, bounds: Bounds, policy: Overflow) {
    for number in 0..events {
        let frame = pair.frame(number + 1, Some(0), 10);
        outbox.push(frame, None, bounds, policy);
    }
}

/// P-30, P-31: an event that was sent in part takes no part in conflation, and does again when its connection is gone.
#[test]
fn a_cut_connection_makes_its_event_like_the_others() {
    let mut pair = Pair::new(Framing::Xml, true, Bounds { events_max: 3, bytes_max: 1 << 20 });
    let push = |subject| Step::Push { subject, size: 10, policy: Overflow::Conflate, label: None };
    let steps = [push(0), Step::Write { share: 500 }, push(1), push(0), push(2), Step::Cut, push(2)];
    for step in &steps {
        pair.step(step).unwrap();
    }
    let numbers: Vec<u64> = pair.model.queue.iter().map(|plain| plain.number).collect();
    assert_eq!(numbers, [3, 5], "the newest of each subject");
}

/// What a burst has left behind is given back when the queue is empty again.
#[test]
fn an_empty_outbox_holds_little_memory() {
    let pair = Pair::new(Framing::Js, true, Bounds { events_max: 1_000, bytes_max: 1 << 20 });
    let mut outbox = Outbox::new();
    queue_of(&mut outbox, &pair, 1_000, pair.bounds, Overflow::Disconnect);
    assert_eq!(outbox.len(), 1_000);
    outbox.advance(1_000, 0);
    assert!(outbox.slots() <= 16, "{} slots are kept", outbox.slots());
    queue_of(&mut outbox, &pair, 1, pair.bounds, Overflow::Disconnect);
    outbox.advance(1, 0);
    assert!((1..=16).contains(&outbox.slots()), "a busy session keeps some");
    outbox.push_heartbeat(pair.frame(0, None, 0));
    outbox.advance(1, 0);
    assert_eq!(outbox.slots(), 0, "an idle one keeps none");
}

/// P-30: what a full queue drops is the oldest events, one by one, whether they came in runs or not; the others of a run stay one item.
#[test]
fn a_full_queue_drops_of_runs_what_it_must() {
    let mut pair = Pair::new(Framing::Message, true, Bounds { events_max: 9, bytes_max: 1 << 20 });
    let run = |sizes: usize| Step::Run {
        subject: 0,
        sizes: vec![10; sizes],
        policy: Overflow::DropOldest,
        label: None,
        chunked: true,
    };
    let push = Step::Push { subject: 0, size: 10, policy: Overflow::DropOldest, label: None };
    let items = |pair: &Pair| -> Vec<usize> { pair.outbox.items().iter().map(|item| item.frame.count()).collect() };
    for _ in 0..3 {
        pair.step(&run(3)).unwrap();
    }
    assert_eq!(items(&pair), [3, 3, 3]);
    for expected in [&[1, 1, 3, 3, 1][..], &[1, 3, 3, 1, 1], &[1, 1, 1, 3, 1, 1, 1]] {
        pair.step(&push).unwrap();
        assert_eq!(items(&pair), expected);
    }
    // One event may be a run as well.
    let mut pair = Pair::new(Framing::EventStream, true, Bounds { events_max: 2, bytes_max: 1 << 20 });
    for step in [&run(1), &run(1), &Step::Write { share: 300 }, &push, &push, &Step::Write { share: 900 }, &run(1)] {
        pair.step(step).unwrap();
    }
}

/// Runs count as what they bring, and give their memory back like others.
#[test]
fn runs_count_as_their_events() {
    let mut pair = Pair::new(Framing::EventStream, true, Bounds { events_max: 8, bytes_max: 1 << 20 });
    let frames = |first: u64, pair: &Pair| (first..first + 3).map(|number| pair.frame(number, Some(0), 10)).collect();
    let run = |frames: Vec<_>| Rc::new(Frame::run(frames, Framing::EventStream, Envelope::Chunked).expect("a run"));
    let run = |first: u64, pair: &Pair| run(frames(first, pair));
    let mut outbox = Outbox::new();
    assert!(outbox.push_run(&run(1, &pair), None, pair.bounds) && outbox.push_run(&run(4, &pair), None, pair.bounds));
    assert_eq!((outbox.len(), outbox.items().len()), (6, 2));
    assert!(!outbox.push_run(&run(7, &pair), None, pair.bounds), "only two find room");
    let third = run(7, &pair);
    let bytes_max = outbox.bytes() + third.charge() - 1;
    assert!(!outbox.push_run(&third, None, Bounds { events_max: 100, bytes_max }), "a byte too many");
    assert!(!outbox.push_run(&third, Some(&pair.labels[1]), Bounds { events_max: 100, ..pair.bounds }), "a wish");
    // Both are one row of bytes, which is the events' own.
    outbox.gather(Framing::EventStream, Envelope::Chunked, 1, &mut pair.gather);
    let plain = |number| Item { frame: pair.frame(number, Some(0), 10), label: None, lost: 0 };
    let mut expected = Vec::new();
    for number in 1..=6 {
        let mut event = Vec::new();
        plain(number).write(Framing::EventStream, false, 0, &mut event);
        Envelope::Chunked.wrap(&event, &mut expected);
    }
    assert_eq!(pair.gather.only_slice(), Some(&expected[..]));
    outbox.advance(4, 1);
    assert_eq!((outbox.len(), outbox.items().len()), (2, 2), "the second is unfolded, for it was sent in part");
    assert!(outbox.push_run(&third, None, Bounds { bytes_max: outbox.bytes() + third.charge(), ..pair.bounds }));
    outbox.rewind();
    outbox.advance(5, 0);
    assert!(outbox.is_empty() && outbox.bytes() == 0);
    assert!(outbox.slots() <= 16, "{} slots are kept", outbox.slots());
    // What waits for events that were lost is not told by a run.
    outbox.miss(1);
    assert!(!outbox.push_run(&run(7, &pair), None, pair.bounds));
}

/// P-30: more than half of either bound.
#[test]
fn half_full_is_said_of_both_bounds() {
    let pair = Pair::new(Framing::Js, true, Bounds { events_max: 4, bytes_max: 1 << 20 });
    let mut outbox = Outbox::new();
    queue_of(&mut outbox, &pair, 2, pair.bounds, Overflow::Disconnect);
    assert!(!outbox.is_half_full(pair.bounds));
    assert!(outbox.is_half_full(Bounds { bytes_max: outbox.bytes() * 2 - 1, ..pair.bounds }));
    assert!(!outbox.is_half_full(Bounds { bytes_max: outbox.bytes() * 2, ..pair.bounds }));
    queue_of(&mut outbox, &pair, 1, pair.bounds, Overflow::Disconnect);
    assert!(outbox.is_half_full(pair.bounds));
}

/// P-30: wishes hold at all times, among a subscription's own events only, and what they drop is told by the event behind it.
#[test]
fn a_wish_concerns_its_own_subscription() {
    let mut pair = Pair::new(Framing::Xml, true, Bounds { events_max: 100, bytes_max: 1 << 20 });
    let push = |subject, label| Step::Push { subject, size: 10, policy: Overflow::Disconnect, label };
    let queue =
        |pair: &Pair| -> Vec<(u64, u64)> { pair.model.queue.iter().map(|plain| (plain.number, plain.lost)).collect() };
    for step in [push(0, None), push(0, Some(0)), push(0, Some(1)), push(1, Some(1)), push(0, Some(1))] {
        pair.step(&step).unwrap();
    }
    assert_eq!(queue(&pair), [(1, 0), (2, 0), (4, 1), (5, 0)], "the third is replaced, the fourth tells of it");
    for step in [push(2, Some(2)), push(3, Some(2)), push(1, None)] {
        pair.step(&step).unwrap();
    }
    assert_eq!(queue(&pair), [(1, 0), (2, 0), (4, 1), (5, 0), (7, 1), (8, 0)], "one at most, the newest");
}

/// P-30, P-31: an event that the socket has begun to take is not taken back; once its connection is gone it is one of those that wait.
#[test]
fn a_wish_finds_what_was_sent_in_part() {
    let mut pair = Pair::new(Framing::Xml, true, Bounds { events_max: 100, bytes_max: 1 << 20 });
    let push = |label| Step::Push { subject: 0, size: 10, policy: Overflow::Disconnect, label: Some(label) };
    let waiting = |pair: &Pair| pair.model.queue.iter().map(|plain| plain.number).collect::<Vec<_>>();
    for label in [1, 2] {
        for step in [push(label), Step::Write { share: 500 }, push(label), push(label), Step::Cut] {
            pair.step(&step).unwrap();
        }
        let numbers = waiting(&pair);
        assert_eq!(numbers.len(), 2, "{numbers:?}");
        pair.step(&push(label)).unwrap();
        assert_eq!(waiting(&pair), [numbers[1] + 1]);
        pair.step(&Step::Write { share: 1_000 }).unwrap();
    }
}
