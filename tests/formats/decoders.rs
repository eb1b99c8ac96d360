//! Small decoders of our own for each framing, written from the formats' descriptions and not from the encoders. They
//! take nothing that is not exactly as described.

use pushletd::protocol::Framing;

/// The fields of one event, in order.
pub(crate) type Pairs = Vec<(String, String)>;

/// Reads the events of a whole answer.
pub(crate) fn decode(framing: Framing, answer: &[u8]) -> Vec<Pairs> {
    if framing == Framing::Ser {
        return ser(answer);
    }
    let text = std::str::from_utf8(answer).expect("UTF-8");
    match framing {
        Framing::Js => js(text),
        Framing::Xml => xml(text),
        Framing::XmlStrict => xml(text
            .strip_prefix("<pushlet>")
            .and_then(|text| text.strip_suffix("</pushlet>"))
            .expect("a root element")),
        Framing::XmlJava => java_dialect(text),
        Framing::JsonArray => json(text),
        Framing::JsonLines => json(&format!("[{}]", text.trim_end_matches('\n').replace('\n', ","))),
        Framing::Ser => unreachable!("handled above"),
        _ => unreachable!("not of the Pushlet door"),
    }
}

/// Takes `token`, which must come next.
fn expect<'a>(text: &'a str, token: &str) -> &'a str {
    text.strip_prefix(token)
        .unwrap_or_else(|| panic!("{token:?} expected: {:?}", text.chars().take(40).collect::<String>()))
}

fn js(page: &str) -> Vec<Pairs> {
    let mut rest = page.split_once("document.location.href=url; }</script>").expect("a prologue").1;
    let mut events = Vec::new();
    while rest != "</body></html>" {
        rest = expect(rest, "<script language=\"JavaScript\">parent.push(");
        let (event, behind) = rest.split_once(");</script>").expect("the end of a script");
        rest = behind;
        events.push(js_pairs(event));
    }
    events
}

fn js_pairs(mut rest: &str) -> Pairs {
    let mut pairs = Pairs::new();
    while !rest.is_empty() {
        if !pairs.is_empty() {
            rest = expect(rest, ",");
        }
        let (name, behind) = expect(rest, "'").split_once("', \"").expect("a name");
        let (value, behind) = behind.split_once('"').expect("a value");
        pairs.push((js_text(name), js_text(value)));
        rest = behind;
    }
    pairs
}

fn js_text(literal: &str) -> String {
    let mut units = Vec::new();
    let mut parts = literal.split("\\u");
    units.extend(parts.next().expect("a first part").encode_utf16());
    for part in parts {
        let (digits, plain) = part.split_at(4);
        units.push(u16::from_str_radix(digits, 16).expect("four digits"));
        units.extend(plain.encode_utf16());
    }
    String::from_utf16(&units).expect("no half characters")
}

fn xml(mut rest: &str) -> Vec<Pairs> {
    let mut events = Vec::new();
    while !rest.is_empty() {
        rest = expect(rest, "<event ");
        let mut pairs = Pairs::new();
        while !rest.starts_with("/>") {
            let (name, behind) = rest.split_once("=\"").expect("a name");
            let (value, behind) = behind.split_once('"').expect("a value");
            assert!(!name.contains([' ', '<', '>', '&', '"', '\'']) && !pairs.iter().any(|(known, _)| known == name));
            assert!(!value.contains(['<', '>', '\t', '\r', '\n', '\0']), "{value:?}");
            pairs.push((name.to_owned(), xml_text(value)));
            rest = expect(behind, " ");
        }
        rest = expect(rest, "/>");
        events.push(pairs);
    }
    events
}

fn xml_text(value: &str) -> String {
    let mut parts = value.split('&');
    let mut text = parts.next().expect("a first part").to_owned();
    for part in parts {
        let (entity, plain) = part.split_once(';').expect("the end of an entity");
        text.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let code = expect(number, "#").parse().expect("a number");
                char::from_u32(code).expect("a character")
            }
        });
        text.push_str(plain);
    }
    text
}

/// A model of the old Java client's parser. It finds an element first, from `<` to the next `>` whatever stands
/// between, and cuts it into attributes then; a backslash makes it take the next character as it is, and it knows no
/// entity.
fn java_dialect(text: &str) -> Vec<Pairs> {
    let mut letters = text.chars();
    let mut events = Vec::new();
    while letters.by_ref().any(|letter| letter == '<') {
        let element: String = letters.by_ref().take_while(|letter| *letter != '>').collect();
        let element = element.strip_suffix('/').expect("an element that closes itself");
        let (name, attributes) = element.split_once(char::is_whitespace).expect("a blank behind the name");
        assert_eq!(name, "event");
        events.push(java_attributes(attributes));
    }
    events
}

fn java_attributes(attributes: &str) -> Pairs {
    let mut letters = attributes.chars();
    let mut pairs = Pairs::new();
    loop {
        let name: String = letters.by_ref().take_while(|letter| *letter != '=').collect();
        if name.trim().is_empty() {
            return pairs;
        }
        assert_eq!(letters.next(), Some('"'));
        let mut value = String::new();
        loop {
            match letters.next().expect("the end of a value") {
                '"' => break,
                '\\' => value.push(letters.next().expect("something behind a backslash")),
                letter => value.push(letter),
            }
        }
        pairs.push((name.trim().to_owned(), value));
    }
}

fn json(text: &str) -> Vec<Pairs> {
    let events: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text).expect("JSON");
    let text = |value: serde_json::Value| value.as_str().expect("a string").to_owned();
    events.into_iter().map(|event| event.into_iter().map(|(name, value)| (name, text(value))).collect()).collect()
}

/// A reader of Java's serialization grammar, as far as these streams use it.
struct Java<'a>(&'a [u8]);

impl Java<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("more bytes");
        self.0 = rest;
        *taken
    }

    fn tag(&mut self, tag: u8) {
        assert_eq!(self.take(), [tag]);
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.0 = self.0.strip_prefix(bytes).expect("what the grammar wants");
    }

    /// Modified UTF-8 of this many bytes.
    fn utf(&mut self, bytes: usize) -> String {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest;
        let mut units = Vec::new();
        let mut bytes = taken.iter().map(|byte| u16::from(*byte));
        let mut next = || bytes.next();
        while let Some(first) = next() {
            assert_ne!(first, 0, "NUL has two bytes");
            let mut more = || next().filter(|byte| byte & 0xc0 == 0x80).expect("a continuation") & 0x3f;
            units.push(match first {
                ..0x80 => first,
                0xc0..0xe0 => (first & 0x1f) << 6 | more(),
                0xe0..0xf0 => (first & 0xf) << 12 | more() << 6 | more(),
                _ => panic!("Java knows no longer sequences"),
            });
        }
        String::from_utf16(&units).expect("whole pairs")
    }

    fn short_utf(&mut self) -> String {
        let bytes = u16::from_be_bytes(self.take());
        self.utf(bytes.into())
    }

    fn string(&mut self) -> String {
        match self.take() {
            [0x74] => self.short_utf(),
            [0x7c] => {
                let bytes = usize::try_from(u64::from_be_bytes(self.take())).expect("a length");
                assert!(bytes > 0xffff);
                self.utf(bytes)
            }
            [tag] => panic!("tag {tag:#x} where a string should be"),
        }
    }

    /// TC_OBJECT and its class, named in full.
    fn object(&mut self, class: &str, version: i64, flags: u8, fields: &[(&str, Option<&str>)]) {
        self.tag(0x73);
        self.tag(0x72);
        assert_eq!(
            (self.short_utf().as_str(), i64::from_be_bytes(self.take()), self.take()),
            (class, version, [flags])
        );
        assert_eq!(usize::from(u16::from_be_bytes(self.take())), fields.len());
        for (field, class) in fields {
            assert_eq!(format!("{}{}", char::from(self.take::<1>()[0]), self.short_utf()), *field);
            class.inspect(|class| assert_eq!(self.string(), *class));
        }
        self.skip(b"\x78\x70");
    }

    fn event(&mut self) -> Pairs {
        let attributes = [("Lattributes", Some("Ljava/util/Map;"))];
        self.object("nl.justobjects.pushlet.core.Event", 9_167_953_670_946_748_621, 2, &attributes);
        self.object("java.util.HashMap", 362_498_820_763_181_265, 3, &[("FloadFactor", None), ("Ithreshold", None)]);
        assert_eq!(f32::from_be_bytes(self.take()), 0.75);
        let _threshold: [u8; 4] = self.take();
        self.skip(b"\x77\x08");
        let capacity = u32::from_be_bytes(self.take());
        let size = u32::from_be_bytes(self.take());
        assert!(capacity.is_power_of_two() && capacity / 4 * 3 >= size);
        let pairs = (0..size).map(|_| (self.string(), self.string())).collect();
        self.tag(0x78);
        pairs
    }
}

fn ser(stream: &[u8]) -> Vec<Pairs> {
    let mut java = Java(stream);
    java.skip(b"\xac\xed\x00\x05");
    let mut events = Vec::new();
    while !java.0.is_empty() {
        if !events.is_empty() {
            java.tag(0x79);
        }
        events.push(java.event());
    }
    events
}
