//! Formats (how events look), modes (how they travel) and framings (the byte layouts that they come to).

/// How a session's events are written; chosen at join (rule P-9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Script elements that call `parent.push(...)`, for hidden frames. The default.
    #[default]
    Js,
    /// Bare `<event ... />` elements, one after the other.
    Xml,
    /// The same inside one `<pushlet>` element: a well-formed document.
    XmlStrict,
    /// Java object serialization.
    Ser,
    /// JSON objects (an array, or one a line in a stream).
    Json,
    /// What `/v1/sse` and `/v1/poll` write; no `p_format` names it.
    V1,
    /// The same where an event's name stands in its data only.
    V1Unnamed,
    /// What `/v1/ws` writes.
    Message,
    /// The same for a client that takes compressed messages (RFC 7692).
    MessageDeflate,
}

impl Format {
    /// Every format that a `p_format` can name.
    pub const ALL: [Self; 5] = [Self::Js, Self::Xml, Self::XmlStrict, Self::Ser, Self::Json];

    /// The format of this name; letter case counts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Js => "js",
            Self::Xml => "xml",
            Self::XmlStrict => "xml-strict",
            Self::Ser => "ser",
            Self::Json => "json",
            Self::V1 | Self::V1Unnamed => "v1",
            Self::Message | Self::MessageDeflate => "message",
        }
    }

    /// Whether it is one of the modern doors', which no `p_format` names.
    #[must_use]
    pub const fn is_modern(self) -> bool {
        matches!(self, Self::V1 | Self::V1Unnamed | Self::Message | Self::MessageDeflate)
    }
}

/// How a session's events travel; chosen at each listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One answer that never ends (rule P-14). The default.
    #[default]
    Stream,
    /// An answer ends with the first events; the client comes again (rule P-15).
    Pull,
    /// An answer ends at once; the client comes again after a while (rule P-16).
    Poll,
}

impl Mode {
    /// The mode of this name; letter case counts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Stream, Self::Pull, Self::Poll].into_iter().find(|mode| mode.name() == name)
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Pull => "pull",
            Self::Poll => "poll",
        }
    }
}

/// A byte layout of events. An event is encoded at most once for each of these on each core (invariant A9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Framing {
    /// Format `js`.
    Js,
    /// Format `xml`, well-formed attributes.
    Xml,
    /// Format `xml` in the dialect of the old Java parser (rule P-11).
    XmlJava,
    /// Format `xml-strict`.
    XmlStrict,
    /// Format `ser`.
    Ser,
    /// Format `json`, the events of one answer as an array.
    JsonArray,
    /// Format `json`, one object a line.
    JsonLines,
    /// Server-Sent Events, each with a JSON object.
    EventStream,
    /// The same without the names of events, which stand in the objects, too: an `EventSource` hears only the names that it knows beforehand.
    UnnamedStream,
    /// The same JSON objects by themselves.
    Object,
    /// The same, each a message of a WebSocket.
    Message,
    /// The same, compressed where that makes them shorter.
    MessageDeflate,
}

impl Framing {
    /// How many there are: tables by framing have this length.
    pub const COUNT: usize = 12;

    /// Every framing.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Js,
        Self::Xml,
        Self::XmlJava,
        Self::XmlStrict,
        Self::Ser,
        Self::JsonArray,
        Self::JsonLines,
        Self::EventStream,
        Self::UnnamedStream,
        Self::Object,
        Self::Message,
        Self::MessageDeflate,
    ];

    /// Those of the Pushlet door.
    pub const PUSHLET: [Self; 7] =
        [Self::Js, Self::Xml, Self::XmlJava, Self::XmlStrict, Self::Ser, Self::JsonArray, Self::JsonLines];

    /// Whether it is one of the modern doors'.
    #[must_use]
    pub const fn is_modern(self) -> bool {
        self.is_event_stream() || self.is_message() || matches!(self, Self::Object)
    }

    /// Whether events are Server-Sent Events.
    #[must_use]
    pub const fn is_event_stream(self) -> bool {
        matches!(self, Self::EventStream | Self::UnnamedStream)
    }

    /// Whether events are messages of a WebSocket.
    #[must_use]
    pub const fn is_message(self) -> bool {
        matches!(self, Self::Message | Self::MessageDeflate)
    }

    /// Whether an event is the same bytes for every session that misses none: it has no number in its answer and names no subscription.
    #[must_use]
    pub const fn is_impersonal(self) -> bool {
        self.is_message() || self.is_event_stream()
    }

    /// Whether a session in this layout ends with its connection, because nothing could name it again.
    #[must_use]
    pub const fn ends_with_connection(self) -> bool {
        self.is_message() || self.is_event_stream()
    }

    /// The layout for a session of `format`; `old_java` if its join came from the old Java client, `stream` for an answer that goes on.
    #[must_use]
    pub const fn of(format: Format, old_java: bool, stream: bool) -> Self {
        match (format, old_java, stream) {
            (Format::Js, ..) => Self::Js,
            (Format::Xml, false, _) => Self::Xml,
            (Format::Xml, true, _) => Self::XmlJava,
            (Format::XmlStrict, ..) => Self::XmlStrict,
            (Format::Ser, ..) => Self::Ser,
            (Format::Json, _, false) => Self::JsonArray,
            (Format::Json, _, true) => Self::JsonLines,
            (Format::V1Unnamed, ..) => Self::UnnamedStream,
            (Format::V1, _, false) => Self::Object,
            (Format::V1, _, true) => Self::EventStream,
            (Format::Message, ..) => Self::Message,
            (Format::MessageDeflate, ..) => Self::MessageDeflate,
        }
    }
}
