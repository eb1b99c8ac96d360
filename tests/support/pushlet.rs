//! Pushlet for tests: sessions over real sockets, and readers of every format.
//!
//! There are two dialects. pushletd's is read strictly: whatever a browser, an XML parser or a script engine would
//! choke on fails the test. The original's is read leniently, because it writes values without escaping them.

use std::net::SocketAddr;
use std::time::Duration;

use pushletd::protocol::Format;

use super::http::{Answer, Connection, get, post};
use super::java;

/// One Pushlet event: names and values in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event(Vec<(String, String)>);

impl Event {
    /// An event of these fields.
    pub(crate) const fn new(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// The field's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The field's value, which must be there.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The `p_event`.
    pub(crate) fn kind(&self) -> &str {
        self.get("p_event").unwrap_or_default()
    }

    /// The fields in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Changes or adds a field.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// Whose bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Pushlet 2.0.4's.
    Original,
    /// Ours.
    Pushletd,
    /// Ours in format `xml` for the old Java client (rule P-11).
    PushletdForJava,
}

/// The format that a Content-Type stands for; `None` if it is none of Pushlet's.
pub(crate) fn format_of(content_type: &str) -> Option<Format> {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "text/html" => Some(Format::Js),
        "text/plain" => Some(Format::Xml),
        "text/xml" => Some(Format::XmlStrict),
        "application/x-java-serialized-object" => Some(Format::Ser),
        "application/json" | "application/x-ndjson" => Some(Format::Json),
        _ => None,
    }
}

/// Reads the events of a body. With `goes_on` a tail that is not whole yet is left alone.
pub(crate) fn parse(format: Format, dialect: Dialect, body: &[u8], goes_on: bool) -> Result<Vec<Event>, String> {
    if format == Format::Ser {
        return java::parse(body, goes_on);
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) if goes_on && error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).map_err(|error| error.to_string())?
        }
        Err(error) => return Err(format!("not UTF-8: {error}")),
    };
    match (format, dialect) {
        (Format::Json, _) => parse_json(text, goes_on),
        (Format::Js, _) => parse_js(text, dialect, goes_on),
        (_, Dialect::Pushletd) => parse_xml(text, format == Format::XmlStrict, goes_on),
        (_, Dialect::PushletdForJava) => parse_attributes(text, &java_value, goes_on),
        (Format::Xml, Dialect::Original) => parse_attributes(text, &raw_value, goes_on),
        (_, Dialect::Original) => parse_attributes(text, &escaped_value, goes_on),
    }
}

const SCRIPT: &str = r#"<script language="JavaScript">"#;

/// Ends a reader: whole, or cut in a place where more may come.
enum Stop {
    Cut,
    Wrong(String),
}

fn finish(outcome: Result<Vec<Event>, (Vec<Event>, Stop)>, goes_on: bool) -> Result<Vec<Event>, String> {
    match outcome {
        Ok(events) => Ok(events),
        Err((events, Stop::Cut)) if goes_on => Ok(events),
        Err((events, Stop::Cut)) => Err(format!("cut behind {} events", events.len())),
        Err((events, Stop::Wrong(what))) => Err(format!("behind {} events: {what}", events.len())),
    }
}

/// `text` behind the next `mark`, and what stands before it.
fn until<'a>(text: &'a str, mark: &str) -> Result<(&'a str, &'a str), Stop> {
    text.split_once(mark).ok_or(Stop::Cut)
}

/// `text` behind `mark`, with which it must begin.
fn expect<'a>(text: &'a str, mark: &str) -> Result<&'a str, Stop> {
    match text.strip_prefix(mark) {
        Some(rest) => Ok(rest),
        None if mark.starts_with(text) => Err(Stop::Cut),
        None => Err(Stop::Wrong(format!("{mark:?} is due at {:?}", text.chars().take(60).collect::<String>()))),
    }
}

fn parse_js(text: &str, dialect: Dialect, goes_on: bool) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let outcome = js_events(text, dialect, &mut events);
    finish(outcome.map_or_else(|stop| Err((events.clone(), stop)), |()| Ok(events.clone())), goes_on)
}

fn js_events(text: &str, dialect: Dialect, events: &mut Vec<Event>) -> Result<(), Stop> {
    if text.is_empty() {
        return Ok(());
    }
    let mut rest = expect(text, "<html><head>")?;
    rest = until(rest, "</head><body>")?.1;
    rest = expect(rest.trim_start_matches('\n'), SCRIPT)?;
    let (prologue, behind) = until(rest, "</script>")?;
    if !prologue.contains("function refresh() { document.location.href=url; }") {
        return Err(Stop::Wrong(format!("no refresh function in {prologue:?}")));
    }
    rest = behind;
    loop {
        rest = rest.trim_start_matches('\n');
        if rest.is_empty() {
            return Ok(());
        }
        if let Some(behind) = rest.strip_prefix("</body></html>") {
            return if behind.is_empty() { Ok(()) } else { Err(Stop::Wrong(format!("{behind:?} behind the page"))) };
        }
        if "</body></html>".starts_with(rest) {
            return Err(Stop::Cut);
        }
        rest = expect(rest, SCRIPT)?;
        let (event, behind) = if "parent.push(".starts_with(rest) || rest.starts_with("parent.push(") {
            js_push(rest, dialect)?
        } else {
            js_refresh(rest, dialect)?
        };
        events.push(event);
        rest = behind;
    }
}

fn js_push(text: &str, dialect: Dialect) -> Result<(Event, &str), Stop> {
    let mut rest = expect(text, "parent.push(")?;
    let mut fields = Vec::new();
    loop {
        let (name, behind) = js_string(rest, '\'', dialect, &["', \""])?;
        let behind = expect(behind, ", ")?;
        let (value, behind) = js_string(behind, '"', dialect, &["\",'", "\");</script>"])?;
        fields.push((name, value));
        if let Some(behind) = behind.strip_prefix(");</script>") {
            return Ok((Event(fields), behind));
        }
        if ");</script>".starts_with(behind) {
            return Err(Stop::Cut);
        }
        rest = expect(behind, ",")?;
    }
}

/// The script that the refresh event becomes; it carries no p_event and no p_time, so those that it stands for are put
/// in or left out.
fn js_refresh(text: &str, dialect: Dialect) -> Result<(Event, &str), Stop> {
    let rest = expect(text, "url=")?;
    let (url, rest) = js_string(rest, '\'', dialect, &["';"])?;
    let rest = expect(rest, ";")?.trim_start_matches(['\n', ' ']);
    let rest = expect(rest, "setTimeout(\"refresh()\", ")?;
    let (wait, rest) = until(rest, ");")?;
    let rest = expect(rest.trim_start_matches('\n'), "</script>")?;
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Ok((Event(vec![field("p_event", "refresh"), field("p_url", &url), field("p_wait", wait)]), rest))
}

/// A quoted string and what is behind its closing quote. The original's ends where one of `ends` follows; ours is a
/// proper string.
fn js_string<'a>(text: &'a str, quote: char, dialect: Dialect, ends: &[&str]) -> Result<(String, &'a str), Stop> {
    let rest = expect(text, quote.encode_utf8(&mut [0; 4]))?;
    if dialect == Dialect::Original {
        let end = ends.iter().filter_map(|end| rest.find(end)).min().ok_or(Stop::Cut)?;
        return Ok((rest[..end].to_owned(), &rest[end + 1..]));
    }
    let mut value = String::new();
    let mut units: Vec<u16> = Vec::new();
    let mut tail = rest;
    while let Some(letter) = tail.chars().next() {
        if letter == '\\' {
            let code = tail.get(..6).ok_or(Stop::Cut)?;
            let unit = code.strip_prefix("\\u").and_then(|code| u16::from_str_radix(code, 16).ok());
            units.push(unit.ok_or_else(|| Stop::Wrong(format!("{code:?} is not an escape of P-10")))?);
            tail = &tail[6..];
            continue;
        }
        value.push_str(&String::from_utf16(&units).map_err(|_| Stop::Wrong("half a surrogate pair".to_owned()))?);
        units.clear();
        tail = &tail[letter.len_utf8()..];
        match letter {
            letter if letter == quote => return Ok((value, tail)),
            '<' | '\'' | '"' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                return Err(Stop::Wrong(format!("{letter:?} is not escaped (P-10)")));
            }
            letter => value.push(letter),
        }
    }
    Err(Stop::Cut)
}

fn parse_json(text: &str, goes_on: bool) -> Result<Vec<Event>, String> {
    let event = |value: &serde_json::Value| -> Result<Event, String> {
        let object = value.as_object().ok_or_else(|| format!("not an object: {value}"))?;
        let fields = object.iter().map(|(name, value)| {
            let value = value.as_str().ok_or_else(|| format!("{name} is no string: {value}"))?;
            Ok((name.clone(), value.to_owned()))
        });
        fields.collect::<Result<_, String>>().map(Event)
    };
    if text.starts_with('[') {
        if goes_on && !text.trim_end().ends_with(']') {
            return Ok(Vec::new());
        }
        let values: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return values.iter().map(event).collect();
    }
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if !goes_on && whole < text.len() {
        return Err(format!("the last line has no end: {:?}", &text[whole..]));
    }
    let lines = text[..whole].lines();
    lines.map(|line| event(&serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?)).collect()
}

/// Whether XML 1.0 allows the character in a document.
const fn xml_allows(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

fn parse_xml(text: &str, strict: bool, goes_on: bool) -> Result<Vec<Event>, String> {
    use quick_xml::events::Event as Xml;
    let text = if goes_on { &text[..text.rfind('>').map_or(0, |end| end + 1)] } else { text };
    if let Some(letter) = text.chars().find(|letter| !xml_allows(*letter)) {
        return Err(format!("{letter:?} may not stand in XML"));
    }
    let mut reader = quick_xml::Reader::from_str(text);
    let mut events = Vec::new();
    let mut open = 0_i32;
    loop {
        match reader.read_event().map_err(|error| format!("behind {} events: {error}", events.len()))? {
            Xml::Start(element) if strict && open == 0 && events.is_empty() && element.name().as_ref() == "pushlet" => {
                open = 1
            }
            Xml::End(_) if open == 1 => open = 2,
            Xml::Empty(element) if element.name().as_ref() == "event" && open == i32::from(strict) => {
                events.push(xml_event(&element)?);
            }
            Xml::Eof if !strict || goes_on || open == 2 => return Ok(events),
            Xml::Eof if text.is_empty() => return Ok(events),
            other => return Err(format!("behind {} events: {other:?}", events.len())),
        }
    }
}

fn xml_event(element: &quick_xml::events::BytesStart<'_>) -> Result<Event, String> {
    let fields = element.attributes().map(|attribute| {
        let attribute = attribute.map_err(|error| format!("{error} in {element:?}"))?;
        let raw: &str = attribute.value.as_ref();
        if raw.contains(['<', '\n', '\r', '\t']) {
            return Err(format!("{raw:?} is not escaped (P-11)"));
        }
        let value = quick_xml::escape::unescape(raw).map_err(|error| format!("{error} in {raw:?}"))?;
        Ok((attribute.key.as_ref().to_owned(), value.into_owned()))
    });
    fields.collect::<Result<_, String>>().map(Event)
}

/// Finds where an attribute's value ends and what it says: `(bytes of the value, its text)`; `None` if the end is not
/// there yet.
type ValueEnd<'a> = &'a dyn Fn(&str, &str) -> Option<(usize, String)>;

/// Reads `<event name="value" ... />` elements whose values end where `value` says.
fn parse_attributes(text: &str, value: ValueEnd<'_>, goes_on: bool) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let outcome = attribute_events(text, value, &mut events);
    finish(outcome.map_or_else(|stop| Err((events.clone(), stop)), |()| Ok(events.clone())), goes_on)
}

fn attribute_events(text: &str, value: ValueEnd<'_>, events: &mut Vec<Event>) -> Result<(), Stop> {
    let mut rest = text.strip_prefix("<pushlet>").unwrap_or(text);
    while !rest.is_empty() && rest != "</pushlet>" {
        rest = expect(rest, "<event ")?;
        let mut fields = Vec::new();
        loop {
            if let Some(behind) = rest.strip_prefix("/>") {
                rest = behind;
                break;
            }
            let (name, behind) = until(rest, "=\"")?;
            let (length, said) = value(name, behind).ok_or(Stop::Cut)?;
            fields.push((name.to_owned(), said));
            rest = expect(&behind[length..], "\" ")?;
        }
        events.push(Event(fields));
    }
    Ok(())
}

/// The original's `xml`: nothing is escaped, so a value ends at a quote behind which an attribute or the end of the
/// element follows.
fn raw_value(name: &str, text: &str) -> Option<(usize, String)> {
    let numeric = matches!(name, "p_seq" | "p_time");
    let mut quotes = text.match_indices('"').map(|(at, _)| at);
    let end = quotes.find(|at| numeric || attribute_or_end(&text[at + 1..]))?;
    Some((end, text[..end].to_owned()))
}

fn attribute_or_end(text: &str) -> bool {
    let Some(text) = text.strip_prefix(' ') else { return false };
    let name = text.find("=\"").map(|end| &text[..end]);
    text.starts_with("/>")
        || name.is_some_and(|name| !name.is_empty() && !name.contains([' ', '"', '<', '>', '=', '\n']))
}

/// The original's `xml-strict`: values are escaped, names are not.
fn escaped_value(_: &str, text: &str) -> Option<(usize, String)> {
    let end = text.find('"')?;
    let mut value = text[..end].to_owned();
    for (entity, letter) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#039;", "'"), ("&#092;", "\\"), ("&amp;", "&")]
    {
        value = value.replace(entity, letter);
    }
    Some((end, value))
}

/// What the old Java parser understands: a backslash takes the next character as it is. Entities stay as they are (rule
/// P-11).
fn java_value(_: &str, text: &str) -> Option<(usize, String)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((at, value)),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// The path that the classic clients use.
pub(crate) const PATH: &str = "/pushlet/pushlet.srv";

/// How long an answer that is due at once may take on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The target of a request, its fields encoded.
pub(crate) fn target(fields: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{PATH}?{query}")
}

/// Sends one control request on a connection of its own.
pub(crate) fn control(addr: SocketAddr, fields: &[(&str, &str)]) -> Answer {
    let mut connection = Connection::open(addr);
    connection.request(&request(fields));
    connection.wait_answer(SOON)
}

/// The bytes of a request: a GET, or a POST if it would be too long for that.
pub(crate) fn request(fields: &[(&str, &str)]) -> Vec<u8> {
    let target = target(fields);
    if target.len() < 6000 {
        return get(&target);
    }
    let body = target.split_once('?').unwrap_or_default().1;
    post(PATH, "application/x-www-form-urlencoded", body.as_bytes())
}

/// The events of a whole 200 answer of pushletd.
pub(crate) fn events_of(answer: &Answer) -> Vec<Event> {
    assert_eq!(answer.head.status, 200, "{}", answer.text());
    let format = answer.head.get("content-type").and_then(format_of).expect("a Pushlet content type");
    parse(format, Dialect::Pushletd, &answer.body, false).unwrap_or_else(|what| panic!("{what}\n{}", answer.text()))
}

/// A joined session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Where its server listens.
    pub(crate) addr: SocketAddr,
    /// Its secret name.
    pub(crate) id: String,
    /// Its public name (rule P-22).
    pub(crate) address: String,
    /// Its format.
    pub(crate) format: Format,
}

impl Session {
    /// Joins.
    pub(crate) fn join(addr: SocketAddr, format: Format) -> Self {
        let answer = control(addr, &[("p_event", "join"), ("p_format", format.name())]);
        let events = events_of(&answer);
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].kind(), "join-ack", "{events:?}");
        let (id, address) = (events[0].field("p_id").to_owned(), events[0].field("p_from").to_owned());
        Self { addr, id, address, format }
    }

    /// Sends a control request of this session and returns the one event of its answer.
    pub(crate) fn control(&self, event: &str, fields: &[(&str, &str)]) -> Event {
        let answer = self.raw_control(event, fields);
        let mut events = events_of(&answer);
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// The same, whatever the answer is.
    pub(crate) fn raw_control(&self, event: &str, fields: &[(&str, &str)]) -> Answer {
        control(self.addr, &[&[("p_event", event), ("p_id", &self.id)], fields].concat())
    }

    /// Publishes and expects the ack.
    pub(crate) fn publish(&self, subject: &str, fields: &[(&str, &str)]) {
        let ack = self.control("publish", &[&[("p_subject", subject)], fields].concat());
        assert_eq!(ack.kind(), "publish-ack", "{ack:?}");
    }

    /// Subscribes and returns the subscription's id.
    pub(crate) fn subscribe(&self, subject: &str, label: Option<&str>) -> String {
        let mut fields = vec![("p_subject", subject)];
        fields.extend(label.map(|label| ("p_label", label)));
        let ack = self.control("subscribe", &fields);
        assert_eq!(ack.kind(), "subscribe-ack", "{ack:?}");
        ack.field("p_sid").to_owned()
    }

    /// Leaves.
    pub(crate) fn leave(&self) {
        assert_eq!(self.control("leave", &[]).kind(), "leave-ack");
    }

    /// Opens the data channel.
    pub(crate) fn listen(&self, mode: &str, subject: Option<&str>) -> Channel {
        let mut fields = vec![("p_mode", mode)];
        fields.extend(subject.map(|subject| ("p_subject", subject)));
        self.data("listen", &fields)
    }

    /// Continues the data channel.
    pub(crate) fn refresh(&self) -> Channel {
        self.data("refresh", &[])
    }

    /// Sends a data request on a connection of its own.
    pub(crate) fn data(&self, event: &str, fields: &[(&str, &str)]) -> Channel {
        self.data_on(Connection::open(self.addr), event, fields)
    }

    /// The same on a connection that is there already.
    pub(crate) fn data_on(&self, mut connection: Connection, event: &str, fields: &[(&str, &str)]) -> Channel {
        let target = target(&[&[("p_event", event), ("p_id", &self.id)], fields].concat());
        connection.request(&get(&target));
        Channel { connection, format: self.format }
    }

    /// The bytes of a control request of this session.
    pub(crate) fn request(&self, event: &str, fields: &[(&str, &str)]) -> Vec<u8> {
        request(&[&[("p_event", event), ("p_id", &self.id)], fields].concat())
    }
}

/// One answer of the data channel.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Its connection.
    pub(crate) connection: Connection,
    format: Format,
}

impl Channel {
    /// The events that have arrived.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.connection.pump();
        self.arrived()
    }

    fn arrived(&self) -> Vec<Event> {
        let goes_on = !self.connection.is_over();
        parse(self.format, Dialect::Pushletd, self.connection.body(), goes_on)
            .unwrap_or_else(|what| panic!("{what}\n{}", String::from_utf8_lossy(self.connection.body())))
    }

    /// The data events that have arrived.
    pub(crate) fn data(&mut self) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.kind() == "data").collect()
    }

    /// Waits until `enough` holds of the events; they are returned.
    pub(crate) fn wait_for(&mut self, max: Duration, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let format = self.format;
        let held = self.connection.wait_until(max, |connection| {
            let goes_on = !connection.is_over();
            let events = parse(format, Dialect::Pushletd, connection.body(), goes_on);
            events.is_ok_and(|events| enough(&events))
        });
        let events = self.arrived();
        assert!(held, "not within {max:?}: {events:#?}");
        events
    }

    /// Waits for so many events of any kind.
    pub(crate) fn wait_count(&mut self, count: usize) -> Vec<Event> {
        self.wait_for(SOON, |events| events.len() >= count)
    }

    /// Waits for so many data events and returns them.
    pub(crate) fn wait_data(&mut self, count: usize) -> Vec<Event> {
        let is_data = |event: &&Event| event.kind() == "data";
        let events = self.wait_for(SOON, |events| events.iter().filter(is_data).count() >= count);
        events.into_iter().filter(|event| event.kind() == "data").collect()
    }

    /// Waits for the end of the answer and returns its events.
    pub(crate) fn wait_end(&mut self, max: Duration) -> Vec<Event> {
        let answer = self.connection.wait_answer(max);
        assert_eq!(answer.head.status, 200, "{}", answer.text());
        self.arrived()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(events: &[Event]) -> Vec<Vec<(&str, &str)>> {
        events.iter().map(|event| event.fields().collect()).collect()
    }

    const PAGE: &str = "<html><head></head><body>\n<script language=\"JavaScript\"> var url=\" \"; \n\
        function refresh() { document.location.href=url; }</script>";

    #[test]
    fn our_js_is_read_strictly() {
        let read =
            |script: &str, goes_on| parse(Format::Js, Dialect::Pushletd, format!("{PAGE}{script}").as_bytes(), goes_on);
        let push = r#"<script language="JavaScript">parent.push('a', "x\u0022\ud83d\ude00y",'b', "");</script>"#;
        assert_eq!(pairs(&read(push, false).expect("a page")), [[("a", "x\"\u{1f600}y"), ("b", "")]]);
        for bad in [r"\x41", r"\n", "<", "\n", r"\ud83d", r"\u00zz"] {
            assert!(read(&push.replace(r"\u0022", bad), false).is_err(), "{bad}");
        }
        for cut in 1..push.len() {
            assert!(read(&push[..cut], false).is_err(), "{cut}");
            assert_eq!(read(&push[..cut], true), Ok(Vec::new()), "{cut}");
        }
    }

    #[test]
    fn our_xml_is_read_strictly() {
        let read = |text: &str, strict: bool, goes_on| {
            parse(if strict { Format::XmlStrict } else { Format::Xml }, Dialect::Pushletd, text.as_bytes(), goes_on)
        };
        let event = r#"<event a="&lt;&#10;&quot;" b="1" />"#;
        assert_eq!(pairs(&read(event, false, false).expect("an event")), [[("a", "<\n\""), ("b", "1")]]);
        assert_eq!(read(&format!("<pushlet>{event}{event}</pushlet>"), true, false).expect("two").len(), 2);
        assert_eq!(read(&format!("<pushlet>{event}<event a="), true, true).expect("one").len(), 1);
        assert!(read(&format!("<pushlet>{event}"), true, false).is_err(), "no end");
        assert!(read(event, true, false).is_err(), "no document");
        for bad in [
            "<event a=\"\u{1}\" />",
            "<event a=\"\n\" />",
            "<event a=\"1\" a=\"2\" />",
            "<event a=\"&x;\" />",
            "<other />",
        ] {
            assert!(read(bad, false, false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_java_dialect_is_read() {
        let events = parse(Format::Xml, Dialect::PushletdForJava, br#"<event a="x\"\\&gt;&y" b="1" />"#, false);
        assert_eq!(pairs(&events.expect("an event")), [[("a", "x\"\\&gt;&y"), ("b", "1")]]);
    }

    #[test]
    fn json_is_read() {
        let read = |text: &str, goes_on| parse(Format::Json, Dialect::Pushletd, text.as_bytes(), goes_on);
        assert_eq!(read("[{\"a\":\"1\"},{\"a\":\"2\"}]", false).expect("an array").len(), 2);
        assert_eq!(read("{\"a\":\"1\"}\n{\"a\":", true).expect("lines").len(), 1);
        assert!(read("{\"a\":\"1\"}\n{\"a\":", false).is_err());
        assert!(read("[{\"a\":1}]", false).is_err(), "every value is a string");
    }
}
