use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::limits::FIELDS_MAX;

fn told(body: &str) -> Vec<(String, String)> {
    let fields = post_fields(body.as_bytes()).unwrap_or_else(|refused| panic!("{body}: {refused}"));
    fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn refusal(body: impl AsRef<[u8]>) -> String {
    let refused = post_fields(body.as_ref()).expect_err("it cannot be read");
    assert_eq!(refused.status, 400);
    refused.reason
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// P-3: shapes of the tag, among them every one that the original was seen to take.
#[test]
fn tags_of_every_accepted_shape() {
    let bodies = [
        r#"<event p_event="hb" x="1"/>"#,
        r#"<event p_event="hb" x="1" />trailing <junk"#,
        "\r\n\t <anything\n p_event=\"hb\"\n x=\"1\"\n/>",
        r#"<event p_event='hb' x='1'/>"#,
        r#"<event p_event = "hb" x= '1' ></event>"#,
        "<event p_event=\"hb\" x=\"1\">\n <!-- nothing -->\n</event >",
        r#"<?xml version="1.0" encoding="UTF-8"?><!-- a > b --><event p_event="hb" x="1" />"#,
        "\u{feff}<event p_event=\"hb\" x=\"1\"/>",
        r#"<event p_event="hb"x="1" x="2"/>"#,
        "<\u{4e8b}\u{4ef6} p_event=\"hb\" x=\"1\"></\u{4e8b}\u{4ef6}>",
    ];
    for body in bodies {
        assert_eq!(told(body), owned(&[("p_event", "hb"), ("x", "1")]), "{body}");
    }
    assert_eq!(told("<event/>"), []);
    assert_eq!(told("<event />"), []);
}

/// P-3, P-12: what stands for what in a value.
#[test]
fn backslashes_and_entities_in_values() {
    let table = [
        (r#"say \"hi\" c:\\dir"#, r#"say "hi" c:\dir"#),
        (r"it\'s", "it's"),
        (r"C:\temp\new", r"C:\temp\new"),
        (r#"end\\"#, r"end\"),
        ("a&amp;b &lt;&gt;&quot;&apos;", "a&b <>\"'"),
        ("&#65;&#x4e2D;&#039;&#092;&#128512;&#10;", "A\u{4e2d}'\\\u{1f600}\n"),
        ("&amp;lt;", "&lt;"),
        ("&#92;&quot;", "\\\""),
        ("a & b &unknown; &amp &#; &#x; &#xD800; &#0; &#1; &#+65; &#1114112; &#99999999999;", "="),
        ("&;&&amp;&", "&;&&&"),
        ("a>b</event><b/>c", "a>b</event><b/>c"),
        ("line\nbreak\r\n\ttab", "line\nbreak\r\n\ttab"),
        ("\u{4e2d}\u{6587}\u{1f600}\u{2028}\0", "\u{4e2d}\u{6587}\u{1f600}\u{2028}\0"),
        ("", ""),
        ("it's", "it's"),
    ];
    for (raw, meant) in table {
        let meant = if meant == "=" { raw } else { meant };
        assert_eq!(told(&format!("<event v=\"{raw}\" />")), owned(&[("v", meant)]));
    }
    assert_eq!(told(r#"<e v='say "hi"' />"#), owned(&[("v", "say \"hi\"")]));
}

/// P-3: a tag that cannot be read is refused with a reason that shows nothing of the client's text unescaped.
#[test]
fn tags_that_cannot_be_read() {
    let table = [
        ("<", "no element"),
        ("< event a=\"1\"/>", "no element"),
        ("<event", "does not end"),
        ("<event ", "does not end"),
        ("<event a", "no value for attribute a"),
        ("<event a b=\"1\"/>", "no value for attribute a"),
        ("<event a=1 />", "no quotes around the value of attribute a"),
        ("<event a=", "no quotes around the value of attribute a"),
        ("<event a=\"1", "no end of the value of attribute a"),
        ("<event a=\"1\\\" />", "no end of the value of attribute a"),
        ("<event a&'=\"1\" />", "no value for attribute a&amp;"),
        ("<event =\"1\" />", "no attribute name"),
        ("<event a=\"1\">", "not empty or has no end tag"),
        ("<event a=\"1\"><b/></event>", "not empty or has no end tag"),
        ("<event a=\"1\">text</event>", "not empty or has no end tag"),
        ("<event a=\"1\"></other>", "not empty or has no end tag"),
        ("<event a=\"1\"></event x>", "not empty or has no end tag"),
        ("<event a=\"1\"><!-- ", "a comment does not end"),
        ("<!-- <event a=\"1\"/>", "a comment does not end"),
        ("<?xml <event a=\"1\"/>", "a declaration does not end"),
        ("<!DOCTYPE event [<!ENTITY x \"y\">]><event a=\"1\"/>", "only a declaration and comments"),
        ("<?xml?>text", "no element"),
    ];
    for (body, expected) in table {
        let reason = refusal(body);
        assert!(reason.starts_with("Unreadable XML body: ") && reason.contains(expected), "{body}: {reason}");
    }
    let long = refusal(format!("<event {}/>", "<&".repeat(9)).as_str());
    assert!(!long.contains('<'), "{long}");
}

/// P-3: a flat JSON object.
#[test]
fn json_objects_are_told_as_text() {
    let body = r#" {"p_event":"publish","n":1.10,"e":-1e5,"big":12345678901234567890123,"t":true,"f":false,"z":null,
                   "s":"\u4e2d\ud83d\ude00\"\\\/\n\u0000","s":"again","":"nameless","k\u0065y":""} "#;
    let expected = [
        ("p_event", "publish"),
        ("n", "1.10"),
        ("e", "-1e5"),
        ("big", "12345678901234567890123"),
        ("t", "true"),
        ("f", "false"),
        ("s", "\u{4e2d}\u{1f600}\"\\/\n\0"),
        ("key", ""),
    ];
    assert_eq!(told(body), owned(&expected));
    assert_eq!(told("{}"), []);
    assert_eq!(told("\u{feff}{\"a\":null,\"a\":\"1\"}"), owned(&[("a", "1")]));
}

/// P-3: JSON that cannot be taken, and why.
#[test]
fn json_that_cannot_be_taken() {
    assert_eq!(refusal(r#"{"a":1,"b<":{}}"#), "Unreadable JSON body: an object or array in field b&lt;");
    assert_eq!(refusal(r#"{"list":[1]}"#), "Unreadable JSON body: an object or array in field list");
    for body in
        ["{", "{\"a\"", "{\"a\":}", "{\"a\":1,}", "{\"a\":1}x", "{\"a\":1}{\"b\":2}", "{a:1}", "{\"a\":01}", "{'a':1}"]
    {
        let reason = refusal(body);
        assert!(reason.starts_with("Unreadable JSON body: ") && reason.contains("line 1"), "{body}: {reason}");
    }
    assert!(refusal(r#"{"a":"\ud800"}"#).starts_with("Unreadable JSON body: "));
    assert!(refusal(format!("{{\"a\":{}", "[".repeat(200_000))).starts_with("Unreadable JSON body: "));
}

/// P-3: everything else is a form, also what a Content-Type would have called something else.
#[test]
fn other_bodies_are_forms() {
    assert_eq!(told("p_event=hb&v=a+b%20%E4%B8%AD\r\n"), owned(&[("p_event", "hb"), ("v", "a b \u{4e2d}")]));
    assert_eq!(told("v=\u{4e2d}&v=2"), owned(&[("v", "\u{4e2d}")]));
    assert_eq!(told(""), []);
    assert_eq!(told("junk <event p_event=\"hb\"/>"), owned(&[("junk <event p_event", "\"hb\"/>")]));
    assert_eq!(told("[1]"), owned(&[("[1]", "")]));
}

/// P-3, P-12: bodies are UTF-8.
#[test]
fn other_charsets_are_refused() {
    for body in [&b"p_event=hb&v=\xe9"[..], b"<e v=\"caf\xe9\"/>", b"{\"v\":\"\xed\xa0\x80\"}"] {
        assert!(refusal(body).starts_with("Unreadable POST body: not UTF-8 at byte "));
    }
}

/// P-3: the bound on fields holds for every kind of body.
#[test]
fn too_many_fields_are_refused() {
    for count in [FIELDS_MAX, FIELDS_MAX + 1] {
        let (mut tag, mut json, mut form) = ("<e".to_owned(), "{".to_owned(), String::new());
        for at in 0..count {
            write!(tag, " f{at}='1'").expect("a string takes everything");
            write!(json, "{}\"f{at}\":1", if at == 0 { "" } else { "," }).expect("a string takes everything");
            write!(form, "f{at}=1&").expect("a string takes everything");
        }
        for body in [tag + "/>", json + "}", form] {
            let read = post_fields(body.as_bytes());
            assert_eq!(read.is_ok(), count == FIELDS_MAX, "{read:?}");
            assert!(
                read.is_ok_and(|fields| fields.len() == FIELDS_MAX) || refusal(&body).starts_with("Too many fields")
            );
        }
    }
}

/// P-3: large values made of what costs most to read. Anything but linear time would be felt here.
#[test]
fn large_values_of_special_characters() {
    for part in ["&", "&#", "&#99999999999", "&amp", "\u{4e2d}", "\\n", "'"] {
        let value = part.repeat(200_000 / part.len());
        assert_eq!(told(&format!("<e v=\"{value}\"/>")), owned(&[("v", &value)]));
        assert!(refusal(format!("<e v=\"{value}")).contains("no end of the value"));
    }
    let comments = "<!-- - -->".repeat(20_000);
    assert_eq!(told(&format!("{comments}<e v='1'>{comments}</e>")), owned(&[("v", "1")]));
}

fn tag_value(value: &str) -> String {
    value.replace('&', "&amp;").replace('\\', "\\\\").replace('"', "\\\"")
}

proptest! {
    /// P-3: any text survives all three kinds of body.
    #[test]
    fn values_survive_every_kind_of_body(first: String, second: String) {
        let expected = owned(&[("v", &first), ("w", &second)]);
        let tag = format!("<event v=\"{}\" w=\"{}\" />", tag_value(&first), tag_value(&second));
        prop_assert_eq!(&told(&tag), &expected);
        let json = |text: &str| serde_json::to_string(text).expect("text is JSON");
        prop_assert_eq!(&told(&format!("{{\"v\":{},\"w\":{}}}", json(&first), json(&second))), &expected);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("v", &first).append_pair("w", &second);
        prop_assert_eq!(&told(&form.finish()), &expected);
    }

    /// P-3: nothing that begins like a tag or an object makes the reader panic.
    #[test]
    fn any_body_is_read_or_refused(
        text in "(<(e|!--|\\?)?|\\{|)([ =\"'<>/&#;x0-9a\\\\:,\\[\\]{}\u{4e2d}]{0,40})(/>|\\}|)"
    ) {
        if let Err(refused) = post_fields(text.as_bytes()) {
            prop_assert!(!refused.reason.contains(['<', '>']), "{}", refused.reason);
        }
    }
}
