//! Bytes of whole events and answers, against what the original was recorded to send where the layouts are the same.

use proptest::prelude::*;

use super::*;
use crate::limits::ENCODING_GROWTH_MAX;

const JOIN_ACK: [(&str, &str); 4] =
    [("p_time", "1795292251"), ("p_format", "ser"), ("p_id", "gucegipubo"), ("p_event", "join-ack")];

fn whole(framing: Framing, first: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    event(framing, first, fields.iter().copied(), &mut out);
    out
}

fn text(framing: Framing, first: bool, fields: &[(&str, &str)]) -> String {
    String::from_utf8(whole(framing, first, fields)).expect("UTF-8")
}

fn parts(framing: Framing, first: bool, personal: &[(&str, &str)], shared: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut behind) = (Vec::new(), Vec::new());
    let info = shared_part(framing, shared.iter().copied(), &mut behind);
    personal_part(framing, first, info.fields, personal, &mut out);
    out.append(&mut behind);
    out
}

/// P-9: the same fields in the same order give the recorded bytes of the original.
#[test]
fn acks_have_the_originals_bytes() {
    let js = concat!(
        r#"<script language="JavaScript">parent.push('p_time', "1795292251",'p_format', "ser","#,
        r#"'p_id', "gucegipubo",'p_event', "join-ack");</script>"#
    );
    assert_eq!(text(Framing::Js, true, &JOIN_ACK), js);
    let xml = r#"<event p_time="1795292251" p_format="ser" p_id="gucegipubo" p_event="join-ack" />"#;
    for framing in [Framing::Xml, Framing::XmlJava, Framing::XmlStrict] {
        assert_eq!(text(framing, true, &JOIN_ACK), xml);
    }
    let mut ser = Vec::new();
    prologue(Framing::Ser, &mut ser);
    event(Framing::Ser, true, JOIN_ACK.into_iter(), &mut ser);
    let hex: String = ser.iter().map(|byte| format!("{byte:02x}")).collect();
    let recorded = "aced0005737200216e6c2e6a7573746f626a656374732e707573686c65742e636f72652e4576656e747f3b1d4a3204f8\
                    cd0200014c000a6174747269627574657374000f4c6a6176612f7574696c2f4d61703b7870737200116a6176612e7574\
                    696c2e486173684d61700507dac1c31660d103000246000a6c6f6164466163746f724900097468726573686f6c647870\
                    3f4000000000000677080000000800000004740006705f74696d6574000a31373935323932323531740008705f666f72\
                    6d6174740003736572740004705f696474000a6775636567697075626f740007705f6576656e747400086a6f696e2d61\
                    636b78";
    assert_eq!(hex, recorded);
}

/// P-9: JSON objects of strings.
#[test]
fn json_events_are_lines() {
    let fields = [("p_event", "data"), ("a\"b", "\u{4e2d}\n\\\0"), ("", "empty name")];
    let object = concat!(r#"{"p_event":"data","a\"b":"中\n\\\u0000","":"empty name"}"#, "\n");
    assert_eq!(text(Framing::JsonLines, true, &fields), object);
    assert_eq!(text(Framing::JsonLines, false, &fields), object);
    assert_eq!(text(Framing::JsonArray, true, &fields), object);
    assert_eq!(text(Framing::JsonArray, false, &fields), format!(",{object}"));
}

/// The quick way to what is personal writes what the other one does, in all layouts.
#[test]
fn the_quick_way_writes_the_same() {
    for framing in Framing::PUSHLET {
        for shape in 0..32 {
            let [first, has_sid, has_label, has_lost, is_shared] = [1, 2, 4, 8, 16].map(|bit| shape & bit != 0);
            for seq in [1, 10, u64::MAX] {
                let (number, label) = (seq.to_string(), "a\"<b>'&\u{2028}");
                let mut fields = vec![("p_seq", number.as_str())];
                fields.extend(has_sid.then_some(("p_sid", "s12")));
                fields.extend(has_label.then_some(("p_label", label)));
                fields.extend(has_lost.then_some(("p_lost", "3")));
                let (mut slow, mut quick) = (Vec::new(), Vec::new());
                let shared = u32::from(is_shared) * 3;
                personal_part(framing, first, shared, &fields, &mut slow);
                let personal = Numbered {
                    seq,
                    sid: has_sid.then_some("s12"),
                    label: has_label.then_some(label),
                    lost: u64::from(has_lost) * 3,
                };
                numbered_part(framing, first, shared, &personal, &mut quick);
                let [slow, quick] = [slow, quick].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                assert_eq!(quick, slow, "{framing:?} {shape}");
            }
        }
    }
}

/// P-13: a personal part and a shared part make the same bytes as one event of all their fields, whichever of them is
/// empty.
#[test]
fn the_parts_fit_together() {
    let personal = [("p_seq", "7"), ("p_sid", "s1")];
    let shared = [("p_event", "data"), ("v", "1")];
    for framing in Framing::PUSHLET {
        for first in [true, false] {
            for (own, of_all) in [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (1, 1), (2, 2)] {
                let (personal, shared) = (&personal[..own], &shared[..of_all]);
                let all = [personal, shared].concat();
                assert_eq!(
                    parts(framing, first, personal, shared),
                    whole(framing, first, &all),
                    "{framing:?} {own} {of_all}"
                );
            }
        }
    }
    let joined = String::from_utf8(parts(Framing::Xml, true, &personal, &shared)).expect("UTF-8");
    assert_eq!(joined, r#"<event p_seq="7" p_sid="s1" p_event="data" v="1" />"#);
    assert_eq!(text(Framing::Xml, true, &[]), "<event />");
    assert_eq!(text(Framing::Js, true, &[]), r#"<script language="JavaScript">parent.push();</script>"#);
    assert_eq!(text(Framing::JsonLines, true, &[]), "{}\n");
}

/// `ser`: only the first event of an answer comes without the reset mark; nothing else depends on what was sent before.
#[test]
fn ser_events_stand_for_themselves() {
    let first = whole(Framing::Ser, true, &JOIN_ACK);
    assert_eq!(whole(Framing::Ser, false, &JOIN_ACK), [&[0x79], &first[..]].concat());
    assert_eq!(whole(Framing::Ser, false, &[]).len(), EVENT_FIXED_BYTES_MAX);
}

/// P-2, P-11: what cannot be written is dropped and counted, and the first of a repeated name wins.
#[test]
fn names_that_cannot_be_said_are_dropped_and_counted() {
    let fields = [("a b", "1"), ("v", "2"), ("v", "3"), ("x:y", "4"), ("\u{4e2d}", "5"), ("\u{1f600}", "6"), ("", "7")];
    for framing in Framing::PUSHLET {
        let mut out = Vec::new();
        let info = shared_part(framing, fields.into_iter(), &mut out);
        let xml = matches!(framing, Framing::Xml | Framing::XmlJava | Framing::XmlStrict);
        let expected = if xml { SharedInfo { fields: 2, dropped: 5 } } else { SharedInfo { fields: 6, dropped: 1 } };
        assert_eq!(info, expected, "{framing:?}");
        if xml {
            assert_eq!(out, "v=\"2\" \u{4e2d}=\"5\" />".as_bytes());
        }
    }
}

/// P-14, P-9: what answers begin and end with.
#[test]
fn answers_begin_and_end() {
    let table = [
        (Framing::Js, None, "</body></html>", "", "text/html;charset=UTF-8"),
        (Framing::Xml, Some(&b""[..]), "", "", "text/plain;charset=UTF-8"),
        (Framing::XmlJava, Some(b""), "", "", "text/plain;charset=UTF-8"),
        (Framing::XmlStrict, Some(b"<pushlet>"), "</pushlet>", "</pushlet>", "text/xml;charset=UTF-8"),
        (Framing::Ser, Some(b"\xac\xed\x00\x05"), "", "", "application/x-java-serialized-object"),
        (Framing::JsonArray, Some(b"["), "]", "]", "application/json"),
        (Framing::JsonLines, Some(b""), "", "", "application/x-ndjson"),
    ];
    for (framing, begins, ends, control_ends, kind) in table {
        let (mut head, mut tail, mut control) = (Vec::new(), Vec::new(), Vec::new());
        prologue(framing, &mut head);
        epilogue(framing, &mut tail);
        control_epilogue(framing, &mut control);
        assert!(begins.is_none_or(|begins| head == begins), "{framing:?}");
        assert_eq!((tail.as_slice(), control.as_slice()), (ends.as_bytes(), control_ends.as_bytes()), "{framing:?}");
        assert_eq!(content_type(framing), kind);
    }
}

/// P-15, P-17: the order to come again, in each framing.
#[test]
fn refresh_tells_when_and_where() {
    let url = "/pushlet.srv?p_id=x&p_event=refresh";
    let said = |framing, first| {
        let mut out = Vec::new();
        refresh(framing, first, url, 2429, 1_795_292_409, &mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    let xml = concat!(
        r#"<event p_event="refresh" p_time="1795292409" p_wait="2429" "#,
        r#"p_url="/pushlet.srv?p_id=x&amp;p_event=refresh" />"#
    );
    assert_eq!(said(Framing::Xml, false), xml);
    assert_eq!(said(Framing::XmlStrict, false), xml);
    assert_eq!(said(Framing::XmlJava, false), xml.replace("&amp;", "&"));
    let json = concat!(
        r#"{"p_event":"refresh","p_time":"1795292409","p_wait":"2429","p_url":"/pushlet.srv?p_id=x&p_event=refresh"}"#,
        "\n"
    );
    assert_eq!(said(Framing::JsonArray, false), format!(",{json}"));
    assert_eq!(said(Framing::JsonArray, true), json);
    assert_eq!(said(Framing::JsonLines, false), json);
    let js = "\n<script language=\"JavaScript\">url='/pushlet.srv?p_id=x&p_event=refresh';\n \
              setTimeout(\"refresh()\", 2429);\n</script>";
    assert_eq!(said(Framing::Js, true), js);
}

/// A field takes one byte of its request besides name and value at least, the `&` or a quote.
fn fields_and_their_request_bytes() -> impl Strategy<Value = Vec<(String, String)>> {
    let letters =
        prop_oneof![Just("\0"), Just("\""), Just("\\"), Just("\n"), Just("a"), Just("\u{1f600}"), Just("\u{ffff}")];
    let value = proptest::collection::vec(letters, 0..40).prop_map(|letters| letters.concat());
    let name = prop_oneof![value.clone(), "[a-z\0\"]{1,3}"];
    proptest::collection::vec((name, value), 0..20)
}

proptest! {
    /// The memory formula: no framing grows a request's fields by more than the bound.
    #[test]
    fn encoding_grows_within_its_bound(fields in fields_and_their_request_bytes()) {
        let named = fields.iter().filter(|(name, _)| !name.is_empty());
        let fields: Vec<_> = named.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let came: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 1).sum();
        for framing in Framing::PUSHLET {
            let bytes = whole(framing, false, &fields).len();
            prop_assert!(bytes <= ENCODING_GROWTH_MAX * came + EVENT_FIXED_BYTES_MAX, "{framing:?}: {bytes} of {came}");
        }
    }

    /// P-10: whatever is published, a page contains the markup of its own scripts and nothing that could end or begin
    /// any.
    #[test]
    fn nothing_published_leaves_its_script(name: String, value: String) {
        let page = text(Framing::Js, true, &[(&name, &value)]);
        let inner = page.strip_prefix(r#"<script language="JavaScript">parent.push("#).expect("a script element");
        let inner = inner.strip_suffix(");</script>").expect("its end");
        let dangerous = ['<', '>', '&', '\n', '\r', '\0', '\u{2028}', '\u{2029}'];
        prop_assert!(!inner.contains(dangerous));
        prop_assert_eq!(inner.matches('\'').count(), 2);
        prop_assert_eq!(inner.matches('"').count(), 2);
        prop_assert_eq!(inner.matches('\\').count(), inner.matches("\\u").count());
    }
}
