//! One event, a chat line, and its bytes in every framing.

use std::sync::Arc;

use pushletd::protocol::{Event, Fields, Framing, Origin, Payload};
use pushletd::session::Frame;
use pushletd::topic::Subject;
use pushletd::wire::{pushlet, v1, ws};

/// 150 bytes or so in every format.
const FIELDS: [(&str, &str); 6] = [
    ("p_event", "data"),
    ("p_subject", "/chat/lobby"),
    ("p_from", "AAZvKX1nq0-cPz3uTqGxwE9g"),
    ("name", "somebody"),
    ("text", "it's quiet in here, isn't it?"),
    ("p_time", "1753000000"),
];

/// What its publisher sends.
pub(crate) fn fields() -> Fields {
    FIELDS.into_iter().skip(3).collect()
}

/// What it is about.
pub(crate) fn subject() -> Subject {
    Subject::new("/chat/lobby").expect("a subject")
}

/// Encodes the event as a broker does.
pub(crate) struct Encoder {
    event: Arc<Event>,
    deflater: ws::Deflater,
    plain: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        let event = Event {
            name: None,
            subject: subject(),
            payload: Payload::Fields(fields()),
            origin: Origin::default(),
            position: None,
            accepted_at: 1_753_000_000,
        };
        Self { event: Arc::new(event), deflater: ws::Deflater::new(), plain: Vec::new() }
    }

    /// Appends the bytes that all sessions share. Says how many fields they hold.
    pub(crate) fn encode(&mut self, framing: Framing, out: &mut Vec<u8>) -> u32 {
        let from = Some(FIELDS[2].1);
        match framing {
            Framing::MessageDeflate => {
                self.plain.clear();
                v1::shared_part(framing, &self.event, from, &mut self.plain);
                self.deflater.deflate(&self.plain, out);
                out.truncate(out.len() - ws::TAIL.len());
                1
            }
            framing if framing.is_modern() => {
                v1::shared_part(framing, &self.event, from, out);
                1
            }
            framing => pushlet::shared_part(framing, FIELDS.into_iter(), out).fields,
        }
    }

    /// The event as it is queued.
    pub(crate) fn frame(&mut self, framing: Framing) -> Frame {
        let mut bytes = Vec::new();
        let fields = self.encode(framing, &mut bytes);
        let frame = Frame::new(bytes, fields, Some(subject()));
        if framing == Framing::MessageDeflate { frame.compressed() } else { frame }
    }
}
