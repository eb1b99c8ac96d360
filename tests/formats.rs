//! The Pushlet formats as others read them: browsers' script engine, Python's XML parser, Java's own deserialization,
//! and small decoders of our own. No server is involved.

#[path = "formats/decoders.rs"]
mod decoders;
#[path = "formats/tools.rs"]
mod tools;

use proptest::prelude::*;
use pushletd::protocol::Framing;
use pushletd::wire::pushlet;

use decoders::{Pairs, decode};

/// Texts that have broken one format or another.
fn hard_texts() -> Vec<String> {
    let short = [
        "",
        " ",
        "plain",
        "中文测试",
        "😀👩‍👩‍👧",
        "café",
        "a\"b",
        "a'b",
        "back\\slash\\",
        "C:\\new\\u0041",
        "a&b &amp; &#65; &lt;",
        "<b>x</b>",
        "a>b",
        "/>",
        "</script><script>alert(1)</script>",
        "</SCRIPT ><!-- <script>",
        "\");alert(1);//",
        "');alert(1);//",
        "]]></event></pushlet>",
        "two\nlines\r\nand\rmore",
        "a\tb",
        "nul\0and\u{1}\u{8}\u{b}\u{c}\u{1f}\u{7f}",
        "\u{85}\u{a0}\u{ad}\u{200b}\u{2028}\u{2029}\u{feff}",
        "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{d7ff}\u{e000}",
        "{\"a\":[1]},",
        "%41+%zz",
        "trailing blank ",
    ];
    let long = ["x".repeat(70_000), "中".repeat(70_000), "\"😀\0\\<>&'\n".repeat(7_800)];
    short.into_iter().map(str::to_owned).chain(long).collect()
}

/// Names that every format can say, Chinese included.
const PLAIN_NAMES: [&str; 5] = ["v", "_x-1.y", "中文", "été", "p_from"];

/// One event: what only its receiver gets, and what all get.
#[derive(Clone, Debug)]
struct Sample {
    personal: Pairs,
    shared: Pairs,
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Each hard text as label, subject and value; as name too where the format has no rule for names.
fn samples(framing: Framing) -> Vec<Sample> {
    let any_name = matches!(framing, Framing::Js | Framing::Ser | Framing::JsonArray | Framing::JsonLines);
    let mut samples = vec![Sample { personal: vec![], shared: vec![pair("p_event", "hb")] }];
    for (at, text) in hard_texts().iter().enumerate() {
        let personal = vec![pair("p_seq", &(at + 1).to_string()), pair("p_sid", "s"), pair("p_label", text)];
        let mut shared = vec![pair("p_event", "data"), pair("p_subject", text), pair(PLAIN_NAMES[at % 5], text)];
        if any_name {
            shared.push(pair(&format!("{text}!"), "hard name"));
        }
        samples.push(Sample { personal, shared });
    }
    samples
}

fn borrowed(pairs: &Pairs) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The bytes of one event, made as a server makes them: the shared part first.
fn event(framing: Framing, first: bool, sample: &Sample) -> Vec<u8> {
    let (mut shared, mut bytes) = (Vec::new(), Vec::new());
    let info = pushlet::shared_part(framing, borrowed(&sample.shared).into_iter(), &mut shared);
    assert_eq!((info.fields as usize, info.dropped), (sample.shared.len(), 0));
    pushlet::personal_part(framing, first, info.fields, &borrowed(&sample.personal), &mut bytes);
    bytes.append(&mut shared);
    bytes
}

fn answer(framing: Framing, samples: &[Sample]) -> Vec<u8> {
    let mut bytes = Vec::new();
    pushlet::prologue(framing, &mut bytes);
    for (at, sample) in samples.iter().enumerate() {
        bytes.append(&mut event(framing, at == 0, sample));
    }
    pushlet::epilogue(framing, &mut bytes);
    bytes
}

/// What a reader of `framing` must see of a value.
fn seen(framing: Framing, value: &str) -> String {
    let allowed = |letter: char| match letter {
        '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => letter,
    };
    match framing {
        Framing::Xml | Framing::XmlStrict => value.chars().map(allowed).collect(),
        Framing::XmlJava => value.chars().map(allowed).collect::<String>().replace('>', "&gt;"),
        _ => value.to_owned(),
    }
}

fn expected(framing: Framing, samples: &[Sample]) -> Vec<Pairs> {
    let all = |sample: &Sample| -> Pairs {
        let pairs = sample.personal.iter().chain(&sample.shared);
        pairs.map(|(name, value)| (name.clone(), seen(framing, value))).collect()
    };
    samples.iter().map(all).collect()
}

/// For readers that keep no order.
fn sorted(mut events: Vec<Pairs>) -> Vec<Pairs> {
    events.iter_mut().for_each(|event| event.sort());
    events
}

/// Compares event by event, so that a failure shows one and not all.
#[track_caller]
fn assert_same(read: &[Pairs], expected: &[Pairs]) {
    for (at, (read, expected)) in read.iter().zip(expected).enumerate() {
        for (read, expected) in read.iter().zip(expected) {
            let short = |text: &str| text.chars().take(200).collect::<String>();
            assert!(
                read == expected,
                "event {at}: {:?} = {:?}, not {:?}",
                expected.0,
                short(&read.1),
                short(&expected.1)
            );
        }
        assert_eq!(read.len(), expected.len(), "event {at}");
    }
    assert_eq!(read.len(), expected.len());
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("the reader prints JSON")
}

fn in_pairs(flat: Vec<String>) -> Pairs {
    assert_eq!(flat.len() % 2, 0);
    flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// What `run_page.js` saw.
#[derive(serde::Deserialize)]
struct Page {
    pushed: Vec<Vec<String>>,
    outside: String,
    delays: Vec<u32>,
    loaded: Vec<String>,
}

const PAGE_OUTSIDE: &str = concat!(
    r#"<html><head><meta http-equiv="Pragma" content="no-cache">"#,
    r#"<meta http-equiv="Expires" content="Tue, 31 Dec 1997 23:59:59 GMT"></head><body>"#,
    "\n",
    "</body></html>"
);

/// P-10, P-12: a script engine pushes what was published, and nothing published becomes markup or code.
#[test]
fn pages_run_in_a_script_engine() {
    let samples = samples(Framing::Js);
    let page: Page = from_json(&tools::node("run_page.js", "", &answer(Framing::Js, &samples)));
    let read: Vec<Pairs> = page.pushed.into_iter().map(in_pairs).collect();
    assert_same(&read, &expected(Framing::Js, &samples));
    assert_eq!(page.outside, PAGE_OUTSIDE);
    assert!(page.delays.is_empty() && page.loaded.is_empty());
}

/// P-10, P-17: a page with a refresh loads exactly that address after exactly that time.
#[test]
fn pages_reload_themselves() {
    let urls = [
        "/pushlet/pushlet.srv?p_id=x&p_event=refresh",
        "/';alert(1);//\\\"</script><!--\n\r\u{2028}中/pushlet.srv?p_id=x",
    ];
    for url in urls {
        let mut bytes = Vec::new();
        pushlet::prologue(Framing::Js, &mut bytes);
        pushlet::event(Framing::Js, true, [("p_event", "refresh-ack")].into_iter(), &mut bytes);
        pushlet::refresh(Framing::Js, false, url, 2429, 1, &mut bytes);
        pushlet::epilogue(Framing::Js, &mut bytes);
        let page: Page = from_json(&tools::node("run_page.js", "", &bytes));
        assert_eq!(page.pushed, [["p_event", "refresh-ack"]]);
        assert_eq!((page.delays, page.loaded), (vec![2429], vec![url.to_owned()]));
        assert_eq!(page.outside, PAGE_OUTSIDE.replace("</body>", "\n</body>"));
    }
}

/// P-11, P-12: an XML parser reads both XML formats.
#[test]
fn xml_is_read_by_an_xml_parser() {
    for (framing, name) in [(Framing::Xml, "xml"), (Framing::XmlStrict, "xml-strict")] {
        let samples = samples(framing);
        let read: Vec<Pairs> = from_json(&tools::python("read_xml.py", name, &answer(framing, &samples)));
        assert_same(&read, &expected(framing, &samples));
    }
}

/// P-11: whatever names a publisher thinks of, the document stays well-formed, and exactly the names that were not
/// dropped are in it.
#[test]
fn any_names_leave_xml_well_formed() {
    let letters = (0..0x3200_u32).chain(0x4dff..0x4e02).chain(0x9fa0..0x9fb0).chain(0xabff..0xac02);
    let letters = letters.chain(0xd7a0..0xd7b0).chain(0xf8f0..0x1_0010).chain([0x1_f600, 0xe_ffff, 0x10_ffff]);
    let letters = letters.filter_map(char::from_u32).map(String::from);
    let names: Vec<String> = letters.flat_map(|letter| [format!("a{letter}"), letter]).chain(hard_texts()).collect();
    let extra = ["xmlns", "xmlns:a", "a:b", "xml", "x=\"1\" y", "a/", "a", "a"].map(str::to_owned);
    let fields = names.iter().chain(&extra).map(|name| (name.as_str(), "1"));
    let mut bytes = Vec::new();
    pushlet::prologue(Framing::XmlStrict, &mut bytes);
    let info = pushlet::event(Framing::XmlStrict, true, fields, &mut bytes);
    pushlet::epilogue(Framing::XmlStrict, &mut bytes);
    let read: Vec<Pairs> = from_json(&tools::python("read_xml.py", "xml-strict", &bytes));
    assert_eq!(read[0].len(), info.fields as usize);
    assert_eq!((info.fields + info.dropped) as usize, names.len() + extra.len());
    assert!(info.fields > 5000 && info.dropped > 5000, "{info:?}");
}

/// P-9, P-12: Java's own deserialization reads `ser`.
#[test]
fn ser_is_read_by_java() {
    let samples = samples(Framing::Ser);
    let printed = tools::Java::compile().read(&answer(Framing::Ser, &samples));
    let read: Vec<Pairs> = printed.lines().map(|line| in_pairs(from_json(line))).collect();
    assert_same(&sorted(read), &sorted(expected(Framing::Ser, &samples)));
}

/// P-9, P-14: in a stream, Java has each event when its last byte is there, without waiting for the next.
#[test]
fn ser_events_are_read_as_they_come() {
    let samples = &samples(Framing::Ser)[..12];
    let mut pieces: Vec<_> =
        samples.iter().enumerate().map(|(at, sample)| event(Framing::Ser, at == 0, sample)).collect();
    let mut head = Vec::new();
    pushlet::prologue(Framing::Ser, &mut head);
    head.append(&mut pieces[0]);
    pieces[0] = head;
    let read = tools::Java::compile().read_step_by_step(&pieces).iter().map(|line| in_pairs(from_json(line))).collect();
    assert_same(&sorted(read), &sorted(expected(Framing::Ser, samples)));
}

/// P-9, P-12: JavaScript's own reader takes `json`, as an array and line by line.
#[test]
fn json_is_read_by_a_script_engine() {
    for (framing, kind) in [(Framing::JsonArray, "array"), (Framing::JsonLines, "lines")] {
        let samples = samples(framing);
        let read: Vec<Pairs> = from_json(&tools::node("read_json.js", kind, &answer(framing, &samples)));
        assert_same(&sorted(read), &sorted(expected(framing, &samples)));
    }
}

/// P-9: an answer without events is still well-formed.
#[test]
fn empty_answers_are_well_formed() {
    for framing in Framing::PUSHLET {
        assert_eq!(decode(framing, &answer(framing, &[])), Vec::<Pairs>::new(), "{framing:?}");
    }
}

/// P-9 to P-12: the hard texts in every framing, the old Java client's dialect included.
#[test]
fn hard_texts_come_back_in_every_framing() {
    for framing in Framing::PUSHLET {
        let samples = samples(framing);
        assert_same(&sorted(decode(framing, &answer(framing, &samples))), &sorted(expected(framing, &samples)));
    }
}

fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let hard = "\0\t\n\r \"'\\/<>&;=#,{}()u0aZ\u{7f}\u{85}\u{2028}\u{fffe}\u{ffff}中😀";
    let letters = prop_oneof![any::<char>(), prop::sample::select(hard.chars().collect::<Vec<_>>())];
    let text = prop::collection::vec(letters, 0..30).prop_map(|letters| letters.into_iter().collect::<String>());
    let personal = prop::collection::vec(text.clone(), 0..3).prop_map(|values| {
        values.iter().zip(["p_seq", "p_sid", "p_label"]).map(|(value, name)| pair(name, value)).collect()
    });
    let shared =
        prop::collection::btree_map("[a-z_中][a-z0-9.中-]{0,6}", text, 0..5).prop_map(|map| map.into_iter().collect());
    let sample = (personal, shared).prop_map(|(personal, shared)| Sample { personal, shared });
    prop::collection::vec(sample, 0..4)
}

proptest! {
    /// P-10, P-11, P-12: any text comes back from every framing as it went in, apart from what the framing cannot say.
    #[test]
    fn any_text_comes_back(samples in any_samples()) {
        for framing in Framing::PUSHLET {
            let read = sorted(decode(framing, &answer(framing, &samples)));
            prop_assert_eq!(read, sorted(expected(framing, &samples)), "{:?}", framing);
        }
    }
}
