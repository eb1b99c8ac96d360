//! One event on its way to a socket: the bytes that all sessions of its framing share, what is personal in front of them, and how both become
//! part of a write.

use std::rc::Rc;

use super::channel::Envelope;
use super::gather::Gather;
use super::subscriptions::{Label, Sid};
use crate::limits::{EVENT_OVERHEAD_BYTES, WRITE_BYTES_MAX};
use crate::protocol::Framing;
use crate::topic::Subject;
use crate::wire::{http, pushlet, v1, ws};

/// An event in the bytes of one framing, shared by all sessions of that framing on this core (invariant A9). Behind the event's own bytes
/// stands the line end that closes its chunk, so that a chunk is two pieces: its head with what is personal, and this.
///
/// Or a **run**: events of one subject, one behind the other as a write brings them to a session that misses none, for framings in which
/// nothing else is personal ([`Frame::run`]).
#[derive(Debug)]
pub struct Frame {
    bytes: Box<[u8]>,
    fields: u32,
    charge: u32,
    is_compressed: bool,
    subject: Option<Subject>,
    run: Option<Box<Run>>,
}

/// What a run is made of.
#[derive(Debug)]
struct Run {
    envelope: Envelope,
    events: Box<[Rc<Frame>]>,
    /// Where each of them ends in the bytes of the run.
    ends: Box<[usize]>,
}

impl Frame {
    /// Takes an event's shared bytes. `subject` is `None` for what the server says of itself (heartbeats, aborts).
    #[must_use]
    pub fn new(mut encoded: Vec<u8>, fields: u32, subject: Option<Subject>) -> Self {
        let charge = u32::try_from(encoded.len()).unwrap_or(u32::MAX).saturating_add(EVENT_OVERHEAD_BYTES);
        encoded.extend_from_slice(b"\r\n");
        Self { bytes: encoded.into_boxed_slice(), fields, charge, is_compressed: false, subject, run: None }
    }

    /// Events of one subject as one write of answers that have this framing and envelope. `None` where they are not the same for
    /// all sessions ([`Framing::is_impersonal`]), and for more than one write may carry.
    #[must_use]
    pub fn run(events: Vec<Rc<Self>>, framing: Framing, envelope: Envelope) -> Option<Self> {
        if !framing.is_impersonal() {
            return None;
        }
        let subject = events.first()?.subject.clone()?;
        let (mut gather, mut charge) = (Gather::new(), 0_u32);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(events.len()));
        for frame in &events {
            debug_assert!(frame.subject.as_ref() == Some(&subject) && !frame.is_run(), "events of one subject");
            if bytes.len() >= WRITE_BYTES_MAX {
                return None;
            }
            charge = charge.checked_add(frame.charge)?;
            gather.begin(0);
            Item { frame: Rc::clone(frame), label: None, lost: 0 }.gather(framing, envelope, 0, &mut gather);
            gather.with_slices(|slices| slices.iter().for_each(|slice| bytes.extend_from_slice(slice)));
            ends.push(bytes.len());
        }
        let run = Run { envelope, events: events.into_boxed_slice(), ends: ends.into() };
        Some(Self {
            bytes: bytes.into_boxed_slice(),
            fields: 0,
            charge,
            is_compressed: false,
            subject: Some(subject),
            run: Some(Box::new(run)),
        })
    }

    /// The events of a run; none if it is no run.
    pub(super) fn events(&self) -> &[Rc<Self>] {
        self.run.as_ref().map_or(&[], |run| &run.events)
    }

    /// Where the events of a run end in its bytes.
    pub(super) fn ends(&self) -> &[usize] {
        self.run.as_ref().map_or(&[], |run| &run.ends)
    }

    /// Whether it is a run.
    pub(super) const fn is_run(&self) -> bool {
        self.run.is_some()
    }

    /// The envelope that a run was written for.
    pub(super) fn run_envelope(&self) -> Option<Envelope> {
        self.run.as_ref().map(|run| run.envelope)
    }

    /// What it is about; `None` for what the server says of itself.
    pub(super) const fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// The same of bytes that are compressed (RFC 7692 section 7.2.1): what stands in front of them has to be.
    #[must_use]
    pub const fn compressed(mut self) -> Self {
        self.is_compressed = true;
        self
    }

    /// The shared bytes and the line end behind them; of a run, the write.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many events it brings: one, if it is no run.
    pub(super) fn count(&self) -> usize {
        self.run.as_ref().map_or(1, |run| run.events.len())
    }

    /// How many bytes of the event itself there are.
    #[must_use]
    pub fn event_len(&self) -> usize {
        debug_assert!(!self.is_run(), "a run has several");
        self.bytes.len() - 2
    }

    /// What it counts against the bound in bytes: its length and [`EVENT_OVERHEAD_BYTES`], of a run those of its events.
    #[must_use]
    pub const fn charge(&self) -> u32 {
        self.charge
    }
}

/// One queued event, or a run of them: shared bytes and what is personal about it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The bytes that all share.
    pub frame: Rc<Frame>,
    /// The subscription that it matched; `None` for unicast and for the server's own events.
    pub label: Option<Label>,
    /// How many events before it were dropped (rule P-30).
    pub lost: u64,
}

impl Item {
    /// A heartbeat is of no subject and may be left out at any time.
    pub(super) fn is_heartbeat(&self) -> bool {
        self.frame.subject.is_none()
    }

    /// P-30: how many events a client misses that does not get this one: it, and those that it tells of.
    #[must_use]
    pub fn missed(&self) -> u64 {
        if self.is_heartbeat() { 0 } else { self.lost.saturating_add(self.frame.count() as u64) }
    }

    /// A heartbeat takes no room from events.
    pub(super) fn charge(&self) -> u32 {
        if self.is_heartbeat() { 0 } else { self.frame.charge() }
    }

    /// Writes what stands in front of the shared bytes.
    fn write_personal(&self, framing: Framing, first: bool, seq: u64, out: &mut Vec<u8>) {
        if framing.is_modern() {
            // A sign of life there is no object.
            if !self.is_heartbeat() {
                self.write_modern_part(framing, first, out);
            }
            return;
        }
        let sid = self.label.as_ref().map(Label::sid);
        let personal = pushlet::Numbered {
            seq,
            sid: sid.as_ref().map(Sid::as_str),
            label: self.label.as_ref().and_then(Label::text),
            lost: self.lost,
        };
        pushlet::numbered_part(framing, first, self.frame.fields, &personal, out);
    }

    fn write_modern_part(&self, framing: Framing, first: bool, out: &mut Vec<u8>) {
        let start = out.len();
        v1::personal_part(framing, first, self.lost, out);
        if self.frame.is_compressed {
            let plain = out.split_off(start);
            ws::stored_block(&plain, out);
        }
    }

    /// Writes the whole event, without an envelope. Not of a run.
    pub fn write(&self, framing: Framing, first: bool, seq: u64, out: &mut Vec<u8>) {
        self.write_personal(framing, first, seq, out);
        out.extend_from_slice(&self.frame.bytes()[..self.frame.event_len()]);
    }

    /// The events of a run, each by itself; none if it is no run.
    pub(super) fn unfolded(&self) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        self.frame.events().iter().map(|frame| Self { frame: Rc::clone(frame), label: self.label.clone(), lost: 0 })
    }

    /// How many events there are besides the first.
    pub(super) fn folded(&self) -> u16 {
        u16::try_from(self.frame.count() - 1).unwrap_or(u16::MAX)
    }

    /// Adds the event, in its envelope, to a write.
    pub(super) fn gather(&self, framing: Framing, envelope: Envelope, seq: u64, gather: &mut Gather) {
        let Self { frame, .. } = self;
        match envelope {
            Envelope::Chunked => {
                gather.copied(|scratch| chunk_start(self, framing, seq, scratch));
                gather.shared(frame, frame.bytes().len());
            }
            Envelope::Bare => {
                gather.copied(|scratch| self.write_personal(framing, false, seq, scratch));
                gather.shared(frame, frame.event_len());
            }
            // A ping is a frame already.
            Envelope::Frames if self.is_heartbeat() => gather.shared(frame, frame.event_len()),
            Envelope::Frames => {
                gather.copied(|scratch| frame_start(self, framing, seq, scratch));
                gather.shared(frame, frame.event_len());
            }
        }
        gather.end_event();
    }
}

/// Writes the head of a frame (RFC 6455 section 5.2) and the personal part, which is counted in the head.
fn frame_start(item: &Item, framing: Framing, seq: u64, scratch: &mut Vec<u8>) {
    let start = scratch.len();
    item.write_personal(framing, true, seq, scratch);
    let personal = scratch.len() - start;
    ws::head(ws::Opcode::Text, item.frame.is_compressed, personal + item.frame.event_len(), scratch);
    scratch[start..].rotate_left(personal);
}

/// Writes the chunk head and the personal part. The head needs the length of what follows it, so it is put in front afterwards: it is at
/// most eight digits long, and the personal part is short.
fn chunk_start(item: &Item, framing: Framing, seq: u64, scratch: &mut Vec<u8>) {
    let start = scratch.len();
    item.write_personal(framing, false, seq, scratch);
    let personal = scratch.len() - start;
    http::chunk_head(personal + item.frame.event_len(), scratch);
    scratch[start..].rotate_left(personal);
}
