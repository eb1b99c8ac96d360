//! The bytes of an answer: out of their envelope, checked by independent readers, and in lines that a person can read.

use pushletd::protocol::{Format, Framing};

use crate::support::{java, pushlet};

/// What every answer in `js` begins with; in transcripts it is one word.
const JS_PROLOGUE: &str = "<html><head><meta http-equiv=\"Pragma\" content=\"no-cache\">\
    <meta http-equiv=\"Expires\" content=\"Tue, 31 Dec 1997 23:59:59 GMT\"></head><body>\n\
    <script language=\"JavaScript\"> var url=\" \"; \nfunction refresh() { document.location.href=url; }</script>";

/// One answer's body as it arrives.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    /// Bytes of the envelope that are not decoded yet; `None` if there is no envelope.
    chunks: Option<Vec<u8>>,
    /// Whether the chunk that ends the body has come.
    ended: bool,
    /// Where the data of the chunk that is arriving ends.
    data_left: usize,
    content: Vec<u8>,
    /// Bytes, or events in `ser`, that have been shown.
    shown: usize,
}

impl Body {
    pub(crate) fn new(framing: Framing, chunked: bool) -> Self {
        let chunks = chunked.then(Vec::new);
        Self { framing, chunks, ended: false, data_left: 0, content: Vec::new(), shown: 0 }
    }

    /// The name of its format; the dialect of the old Java client has one of its own.
    pub(crate) fn format_name(&self) -> &'static str {
        match self.framing {
            Framing::XmlJava => "xml for java",
            Framing::JsonLines => "json lines",
            _ => self.format().name(),
        }
    }

    fn format(&self) -> Format {
        match self.framing {
            Framing::Js => Format::Js,
            Framing::Xml | Framing::XmlJava => Format::Xml,
            Framing::XmlStrict => Format::XmlStrict,
            Framing::Ser => Format::Ser,
            Framing::JsonArray | Framing::JsonLines => Format::Json,
            _ => Format::V1,
        }
    }

    /// Takes bytes as they came from the core.
    pub(crate) fn arrive(&mut self, bytes: &[u8]) {
        assert!(!self.ended || bytes.is_empty(), "bytes behind the end of an answer");
        let Some(chunks) = &mut self.chunks else {
            self.content.extend_from_slice(bytes);
            return;
        };
        chunks.extend_from_slice(bytes);
        self.decode();
    }

    /// Decodes what can be: data is shown as soon as it is there, not only when its chunk is whole.
    fn decode(&mut self) {
        let Some(chunks) = &mut self.chunks else { return };
        loop {
            if self.data_left > 2 {
                let take = (self.data_left - 2).min(chunks.len());
                self.content.extend(chunks.drain(..take));
                self.data_left -= take;
                if self.data_left > 2 {
                    return;
                }
            }
            if self.data_left > 0 {
                if chunks.len() < 2 {
                    return;
                }
                assert_eq!(chunks.drain(..2).collect::<Vec<u8>>(), b"\r\n", "the end of a chunk");
                self.data_left = 0;
            }
            let Some(end) = chunks.windows(2).position(|pair| pair == b"\r\n") else { return };
            let head = std::str::from_utf8(&chunks[..end]).expect("a chunk head");
            let len = usize::from_str_radix(head, 16).expect("a chunk length");
            if len == 0 {
                assert_eq!(chunks[end..], *b"\r\n\r\n", "the last chunk");
                chunks.clear();
                self.ended = true;
                return;
            }
            chunks.drain(..end + 2);
            self.data_left = len + 2;
        }
    }

    /// The answer is complete. Its events must be readable by an independent reader.
    pub(crate) fn check_whole(&self) {
        if let Some(chunks) = &self.chunks {
            assert!(self.ended && chunks.is_empty(), "an answer that ends in the middle of a chunk");
        }
        self.parse(self.framing == Framing::JsonLines).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The events that have come whole since the last time.
    pub(crate) fn events(&mut self) -> Vec<pushlet::Event> {
        let events = self.parse(true).unwrap_or_else(|error| panic!("{error}"));
        let fresh = events[self.shown..].to_vec();
        self.shown = events.len();
        fresh
    }

    fn parse(&self, goes_on: bool) -> Result<Vec<pushlet::Event>, String> {
        let dialect = match self.framing {
            Framing::XmlJava => pushlet::Dialect::PushletdForJava,
            _ => pushlet::Dialect::Pushletd,
        };
        let mut content = self.content.clone();
        if goes_on && self.framing == Framing::JsonArray && !content.ends_with(b"]") {
            // A pull that waits: what has come of the array is whole elements.
            content.push(b']');
        }
        pushlet::parse(self.format(), dialect, &content, goes_on)
            .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(&self.content)))
    }

    /// What has come since the last time, one event a line where it can be said so.
    pub(crate) fn news(&mut self) -> Vec<String> {
        if self.framing == Framing::Ser {
            let events = java::parse(&self.content, true).expect("a readable stream of objects");
            let lines = events[self.shown..].iter().map(|event| {
                let fields: Vec<String> = event.fields().map(|(name, value)| format!("{name}={value:?}")).collect();
                fields.join(" ")
            });
            let lines = lines.collect();
            self.shown = events.len();
            return lines;
        }
        let fresh = String::from_utf8_lossy(&self.content[self.shown..]).replace(JS_PROLOGUE, "(prologue)");
        self.shown = self.content.len();
        let end = match self.framing {
            Framing::Js => "</script>",
            Framing::JsonArray | Framing::JsonLines => "}\n",
            _ => ">",
        };
        fresh.split_inclusive(end).map(|line| line.replace("(prologue)", "(prologue) ").replace('\n', "\\n")).collect()
    }
}
