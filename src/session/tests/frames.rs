//! The outbox of a WebSocket: frames that come whole however little the socket takes, also where something is said between two of them.
//!
//! What was written is read by a reader of its own, after RFC 6455 section 5.2 and RFC 7692 section 7.2.2.

use std::io::Read;
use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::{Value, json};

use super::super::item::{Frame, Item};
use super::super::outbox::*;
use super::super::{Envelope, Gather};
use crate::protocol::{Framing, Overflow};
use crate::topic::Subject;
use crate::wire::v1;
use crate::wire::ws::{Deflater, Opcode, TAIL, write};

const PLENTY: Bounds = Bounds { events_max: 1_000, bytes_max: 1 << 30 };
const SUBJECTS: [&str; 3] = ["/a", "/b", "/c"];

/// What a frame is.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    Object(Value),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// Reads frames of a server: whole, not masked, each with its length in the shortest form, and nothing behind the last.
fn frames(mut bytes: &[u8]) -> Vec<Got> {
    let mut found = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(first & 0xb0, 0x80, "the last frame of its message, without reserved bits");
        assert_eq!(second & 0x80, 0, "masked");
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk::<2>().expect("a length");
                let length = usize::from(u16::from_be_bytes(*length));
                assert!(length > 125, "a length in a longer form");
                (length, rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk::<8>().expect("a length");
                let length = u64::from_be_bytes(*length) as usize;
                assert!(length > 0xffff, "a length in a longer form");
                (length, rest)
            }
            short => (usize::from(short), rest),
        };
        assert!(rest.len() >= length, "{length} bytes are announced, {} come", rest.len());
        let (payload, rest) = rest.split_at(length);
        let compressed = first & 0x40 != 0;
        found.push(match first & 0x0f {
            1 => Got::Object(object(payload, compressed)),
            9 if !compressed => Got::Ping(payload.to_vec()),
            10 if !compressed => Got::Pong(payload.to_vec()),
            other => panic!("opcode {other}, compressed: {compressed}"),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a head");
    found
}

fn object(payload: &[u8], compressed: bool) -> Value {
    let mut text = payload.to_vec();
    if compressed {
        text.clear();
        let stream = [payload, &[0, 0, 0xff, 0xff], &[1, 0, 0, 0xff, 0xff]].concat();
        flate2::read::DeflateDecoder::new(&stream[..]).read_to_end(&mut text).expect("DEFLATE");
    }
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
}

fn text_of(number: u64, size: usize) -> String {
    (0..size as u64).map(|at| char::from(b'a' + (number.wrapping_mul(31).wrapping_add(at * at) % 26) as u8)).collect()
}

/// An event as it is shared, and the object that it stands for.
fn event(number: u64, subject: usize, size: usize, deflater: Option<&mut Deflater>) -> (Rc<Frame>, Value) {
    let (subject, text) = (SUBJECTS[subject], text_of(number, size));
    let shared = format!(r#""subject":"{subject}","n":{number},"x":"{text}"}}"#).into_bytes();
    let object = json!({"subject": subject, "n": number, "x": text});
    let subject = Some(Subject::new(subject).expect("a subject"));
    let frame = match deflater {
        None => Frame::new(shared, 1, subject),
        Some(deflater) => {
            let mut deflated = Vec::new();
            deflater.deflate(&shared, &mut deflated);
            deflated.truncate(deflated.len() - TAIL.len());
            Frame::new(deflated, 1, subject).compressed()
        }
    };
    (Rc::new(frame), object)
}

fn heartbeat(visible: bool) -> Rc<Frame> {
    let mut bytes = Vec::new();
    v1::heartbeat(Framing::Message, visible, &mut bytes);
    Rc::new(Frame::new(bytes, 0, None))
}

/// An outbox and what its socket has taken.
struct Socket {
    outbox: Outbox,
    gather: Gather,
    taken: Vec<u8>,
}

impl Socket {
    fn new() -> Self {
        Self { outbox: Outbox::new(), gather: Gather::new(), taken: Vec::new() }
    }

    /// The socket takes at most `bytes` of the next write. Says how many there were.
    fn write(&mut self, bytes: usize) -> usize {
        self.outbox.gather(Framing::MessageDeflate, Envelope::Frames, 1, &mut self.gather);
        let all: Vec<u8> = self.gather.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect());
        assert_eq!(all.len(), self.gather.len());
        let sent = bytes.min(all.len());
        self.taken.extend_from_slice(&all[..sent]);
        let (whole, partial) = self.gather.progress(sent);
        self.outbox.advance(whole, partial);
        all.len()
    }

    fn drain(&mut self) {
        while !self.outbox.is_empty() {
            self.write(usize::MAX);
        }
    }

    /// Something is said between two events.
    fn interject(&mut self, frame: &[u8]) -> Option<Item> {
        let in_part = self.outbox.is_sent_in_part();
        let item = in_part.then(|| {
            let item = self.outbox.take_remainder(Framing::MessageDeflate, Envelope::Frames, 1, &mut self.taken);
            item.expect("an event that was sent in part")
        });
        self.taken.extend_from_slice(frame);
        item
    }

    fn push(&mut self, frame: &Rc<Frame>) {
        let pushed = self.outbox.push(Rc::clone(frame), None, PLENTY, Overflow::Disconnect);
        assert!(matches!(pushed, Pushed::Queued { .. }));
    }
}

fn pong(number: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    write(Opcode::Pong, &[number], &mut frame);
    frame
}

fn with_lost(object: &Value, lost: u64) -> Got {
    let mut object = object.clone();
    if lost > 0 {
        object["lost"] = json!(lost);
    }
    Got::Object(object)
}

/// Writes events of these sizes, compressed or not, with a first write that ends at each of `cuts`, counted from the end: the frames are the
/// same, and what is said then stands between two of them.
fn cut_everywhere(sizes: &[(usize, bool)], cuts: impl Iterator<Item = usize>) {
    let mut deflater = Deflater::new();
    let numbered = (0..).zip(sizes);
    let events: Vec<_> = numbered
        .map(|(number, (size, compressed))| event(number, 0, *size, compressed.then_some(&mut deflater)))
        .collect();
    let filled = || {
        let mut socket = Socket::new();
        events.iter().for_each(|(frame, _)| socket.push(frame));
        socket.outbox.miss(7);
        socket
    };
    let mut whole = filled();
    whole.drain();
    let expected: Vec<Got> =
        events.iter().enumerate().map(|(at, (_, object))| with_lost(object, if at == 0 { 7 } else { 0 })).collect();
    assert_eq!(frames(&whole.taken), expected);
    for cut in cuts {
        let cut = whole.taken.len().saturating_sub(cut);
        let mut socket = filled();
        socket.write(cut);
        socket.drain();
        assert_eq!(socket.taken, whole.taken, "cut at {cut}");

        let mut socket = filled();
        socket.write(cut);
        let (before, in_part) = frames_complete(&whole.taken, cut);
        let item = socket.interject(&pong(9));
        assert_eq!(item.is_some(), in_part, "cut at {cut}");
        assert_eq!(item.map(|item| item.missed()), in_part.then_some(if before == 0 { 8 } else { 1 }));
        assert!(!socket.outbox.is_sent_in_part());
        socket.drain();
        let mut with_pong = expected.clone();
        with_pong.insert(before + usize::from(in_part), Got::Pong(vec![9]));
        assert_eq!(frames(&socket.taken), with_pong, "cut at {cut}");
    }
}

/// Heads of two and of four bytes, with `lost` and without, compressed and not.
#[test]
fn a_short_write_at_every_byte_gives_the_same_frames() {
    cut_everywhere(&[(3, false), (60, false), (110, true), (400, true), (130, false), (300, true)], 0..1_200);
    // One that is not copied but sent from where all share it.
    cut_everywhere(&[(10, false), (2_500, false), (20, true)], (0..120).chain(2_540..2_700));
}

/// Heads of ten bytes. Nothing new is seen within a long payload.
#[test]
fn a_long_event_may_be_cut_as_well() {
    cut_everywhere(&[(10, false), (66_000, false), (20, true)], (0..90).chain(66_060..66_200));
}

/// A run is the same bytes as its events, wherever it is cut: one alone, which is sent from where all share it, and two.
#[test]
fn a_run_may_be_cut_like_its_events() {
    let (sizes, mut deflater) = ([3, 130, 60, 2_500, 300], Deflater::new());
    let numbered = (0_u64..).zip(sizes);
    let events: Vec<_> =
        numbered.map(|(number, size)| event(number, 0, size, (number % 2 == 1).then_some(&mut deflater)).0).collect();
    let run = |events: &[Rc<Frame>]| {
        let run = Frame::run(events.to_vec(), Framing::MessageDeflate, Envelope::Frames);
        Rc::new(run.expect("a run"))
    };
    let mut whole = Socket::new();
    events.iter().for_each(|frame| whole.push(frame));
    whole.drain();
    let expected = frames(&whole.taken);
    for runs in [vec![run(&events)], vec![run(&events[..2]), run(&events[2..])]] {
        for cut in 0..=whole.taken.len() {
            let filled = || {
                let mut socket = Socket::new();
                for run in &runs {
                    assert!(socket.outbox.push_run(run, None, PLENTY));
                }
                assert_eq!(socket.write(cut), whole.taken.len());
                socket
            };
            let mut socket = filled();
            socket.drain();
            assert!(socket.taken == whole.taken, "cut at {cut}");
            let mut socket = filled();
            let (before, in_part) = frames_complete(&whole.taken, cut);
            let item = socket.interject(&pong(1));
            assert_eq!(item.map(|item| item.missed()), in_part.then_some(1), "cut at {cut}");
            assert_eq!(socket.outbox.len(), sizes.len() - before - usize::from(in_part), "cut at {cut}");
            socket.drain();
            let mut with_pong = expected.clone();
            with_pong.insert(before + usize::from(in_part), Got::Pong(vec![1]));
            assert!(frames(&socket.taken) == with_pong, "cut at {cut}");
        }
    }
}

/// More than one write may carry is no run, and neither is what has numbers.
#[test]
fn not_everything_is_a_run() {
    let large = || (0..4).map(|number| event(number, 0, 60_000, None).0).collect::<Vec<_>>();
    assert!(Frame::run(large(), Framing::Message, Envelope::Frames).is_none());
    assert!(Frame::run(large()[..2].to_vec(), Framing::Message, Envelope::Frames).is_some());
    assert!(Frame::run(Vec::new(), Framing::Message, Envelope::Frames).is_none());
    for framing in Framing::PUSHLET.into_iter().chain([Framing::Object]) {
        assert!(Frame::run(vec![event(1, 0, 10, None).0], framing, Envelope::Chunked).is_none(), "{framing:?}");
    }
}

/// How many frames are whole within the first `cut` bytes, and whether another one has begun.
fn frames_complete(mut bytes: &[u8], cut: usize) -> (usize, bool) {
    let (mut whole, mut at) = (0, 0);
    while at < cut {
        let (head, length) = match bytes[1] & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            127 => (10, u64::from_be_bytes(bytes[2..10].try_into().expect("eight")) as usize),
            short => (2, usize::from(short)),
        };
        at += head + length;
        bytes = &bytes[head + length..];
        whole += usize::from(at <= cut);
    }
    (whole, at > cut)
}

/// A ping is as good as any event at being cut, and says nothing of what is lost.
#[test]
fn a_sign_of_life_may_be_cut_as_well() {
    for visible in [false, true] {
        let message = Got::Object(json!({"type": "heartbeat"}));
        let expected = if visible { vec![Got::Ping(vec![]), message] } else { vec![Got::Ping(vec![])] };
        let length = if visible { 2 + 2 + 20 } else { 2 };
        for cut in 0..=length {
            let mut socket = Socket::new();
            socket.outbox.push_heartbeat(heartbeat(visible));
            socket.outbox.push_heartbeat(heartbeat(visible));
            assert_eq!(socket.write(cut), length);
            let item = socket.interject(&pong(1));
            assert_eq!(item.map(|item| item.missed()), (1..length).contains(&cut).then_some(0));
            let (next, object) = event(1, 0, 5, None);
            socket.push(&next);
            socket.drain();
            let mut expected = expected.clone();
            // One that had not begun waits behind what was said.
            expected.insert(if cut == 0 { 0 } else { expected.len() }, Got::Pong(vec![1]));
            expected.push(with_lost(&object, 0));
            assert_eq!(frames(&socket.taken), expected, "{visible} cut at {cut}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { subject: usize, size: usize, compressed: bool },
    Run { subject: usize, sizes: Vec<usize> },
    Heartbeat { visible: bool },
    Write { bytes: usize },
    Interject,
    Miss,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![3 => 0..300_usize, 1 => 2_000..3_000_usize, 1 => Just(66_000)];
    let sizes = prop::collection::vec(prop_oneof![5 => 0..300_usize, 1 => 2_000..3_000_usize], 1..6);
    prop_oneof![
        3 => (0..SUBJECTS.len(), sizes).prop_map(|(subject, sizes)| Step::Run { subject, sizes }),
        6 => (0..SUBJECTS.len(), size, any::<bool>())
            .prop_map(|(subject, size, compressed)| Step::Push { subject, size, compressed }),
        1 => any::<bool>().prop_map(|visible| Step::Heartbeat { visible }),
        5 => prop_oneof![0..12_usize, 0..400_usize, 0..100_000_usize].prop_map(|bytes| Step::Write { bytes }),
        2 => Just(Step::Interject),
        1 => Just(Step::Miss),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 192, rng_seed: RngSeed::Fixed(6455), failure_persistence: None, ..Config::default() })]

    /// P-26, P-30: whatever is queued, dropped, cut and said in between: frames come whole and in order, each loss is told once, by the next
    /// event, and what is said comes as soon as the event that is out in part.
    #[test]
    fn what_is_written_is_frames(
        steps in prop::collection::vec(step(), 1..80),
        events_max in 1..12_u32,
        bytes_max in prop_oneof![500..8_000_u32, Just(1 << 24)],
        policy in prop::sample::select(vec![Overflow::DropOldest, Overflow::Conflate]),
    ) {
        let (mut socket, mut deflater) = (Socket::new(), Deflater::new());
        let bounds = Bounds { events_max, bytes_max };
        let (mut objects, mut missed, mut dropped_all, mut said, mut pings) = (Vec::new(), 0, 0, 0, 0);
        for step in steps {
            match step {
                Step::Push { subject, size, compressed } => {
                    let (frame, object) = event(objects.len() as u64, subject, size, compressed.then_some(&mut deflater));
                    objects.push(object);
                    match socket.outbox.push(frame, None, bounds, policy) {
                        Pushed::Queued { dropped, .. } => dropped_all += dropped,
                        Pushed::Refused => dropped_all += 1,
                        Pushed::Full => prop_assert!(false, "nobody is ended"),
                    }
                }
                Step::Run { subject, sizes } => {
                    let first = objects.len() as u64;
                    let (frames, new): (Vec<_>, Vec<_>) =
                        (first..).zip(&sizes).map(|(number, size)| event(number, subject, *size, None)).unzip();
                    objects.extend(new);
                    let run = Frame::run(frames.clone(), Framing::MessageDeflate, Envelope::Frames);
                    if !socket.outbox.push_run(&Rc::new(run.expect("a run")), None, bounds) {
                        for frame in frames {
                            match socket.outbox.push(frame, None, bounds, policy) {
                                Pushed::Queued { dropped, .. } => dropped_all += dropped,
                                Pushed::Refused => dropped_all += 1,
                                Pushed::Full => prop_assert!(false, "nobody is ended"),
                            }
                        }
                    }
                }
                Step::Heartbeat { visible } => {
                    pings += usize::from(socket.outbox.is_empty());
                    socket.outbox.push_heartbeat(heartbeat(visible));
                }
                Step::Write { bytes } => drop(socket.write(bytes)),
                Step::Interject => {
                    let due = socket.outbox.is_sent_in_part();
                    let before = socket.outbox.len();
                    let item = socket.interject(&pong(said));
                    said += 1;
                    prop_assert_eq!(item.is_some(), due);
                    let was_event = item.is_some_and(|item| item.missed() > 0);
                    prop_assert_eq!(socket.outbox.len(), before - usize::from(was_event));
                }
                Step::Miss => {
                    missed += 3;
                    socket.outbox.miss(3);
                }
            }
        }
        socket.drain();
        // One more, so that the last losses are told.
        let (frame, object) = event(objects.len() as u64, 0, 1, None);
        objects.push(object);
        socket.push(&frame);
        socket.drain();
        let (mut told, mut next, mut pongs, mut got_pings, mut heard) = (0_u64, 0, 0, 0, 0_u64);
        for got in frames(&socket.taken) {
            match got {
                Got::Object(object) if object.get("type").is_some() => {
                    prop_assert_eq!(object, json!({"type": "heartbeat"}));
                }
                Got::Object(mut object) => {
                    told += object.as_object_mut().expect("an object").remove("lost").map_or(0, |lost| lost.as_u64().expect("a number"));
                    let number = object["n"].as_u64().expect("a number") as usize;
                    prop_assert!(number >= next, "event {} behind {}", number, next);
                    prop_assert_eq!(&object, &objects[number]);
                    (next, heard) = (number + 1, heard + 1);
                }
                Got::Pong(payload) => {
                    prop_assert_eq!(payload, vec![pongs]);
                    pongs += 1;
                }
                Got::Ping(payload) => {
                    prop_assert!(payload.is_empty());
                    got_pings += 1;
                }
            }
        }
        prop_assert_eq!((pongs, got_pings), (said, pings));
        prop_assert_eq!(told, missed + dropped_all, "every loss is told");
        prop_assert_eq!(heard + dropped_all, objects.len() as u64, "events are heard or lost");
    }
}
