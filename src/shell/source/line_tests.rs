//! Lines and what they become.

use super::*;
use proptest::prelude::*;

fn letter(fields: &[(&str, &str)]) -> Letter {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Letter { fields, ..Letter::default() }
}

#[track_caller]
fn assert_read(format: LineFormat, line: &str, fields: &[(&str, &str)]) {
    assert_eq!(parse(format, line.as_bytes()), Ok(Some(letter(fields))), "{line}");
}

#[track_caller]
fn assert_refused(format: LineFormat, line: &str, words: &str) {
    let error = parse(format, line.as_bytes()).expect_err(line);
    assert!(error.contains(words), "{line}: {error}");
}

/// P-35: words are read as a shell reads them.
#[test]
fn words_are_fields() {
    for (line, fields) in [
        ("a=1", &[("a", "1")][..]),
        ("  a=1\t b=  c=3 \r", &[("a", "1"), ("b", ""), ("c", "3")]),
        ("a=\"x y\" b='p \"q\" \\n'", &[("a", "x y"), ("b", "p \"q\" \\n")]),
        ("a=\"x\"'y'z", &[("a", "xyz")]),
        ("a=x\\ y\\\\", &[("a", "x y\\")]),
        (r#"a="\"\\\$\`\n\r\t\u{1F600}\q""#, &[("a", "\"\\$`\n\r\t\u{1F600}\\q")]),
        ("a=b=c", &[("a", "b=c")]),
        ("größe=5 中=文 a.b-c:d=1", &[("größe", "5"), ("中", "文"), ("a.b-c:d", "1")]),
        ("a=\"\" b=''", &[("a", ""), ("b", "")]),
        ("a=\u{a0}x", &[("a", "\u{a0}x")]),
    ] {
        assert_read(LineFormat::Fields, line, fields);
        assert_read(LineFormat::Auto, line, fields);
    }
}

/// P-2: the first of a repeated name is kept, in every form.
#[test]
fn the_first_of_a_repeated_name_is_kept() {
    assert_read(LineFormat::Auto, "a=1 b=2 a=3", &[("a", "1"), ("b", "2")]);
    assert_read(LineFormat::Auto, r#"{"a":1,"b":2,"a":3}"#, &[("a", "1"), ("b", "2")]);
    let twice = parse(LineFormat::Auto, b"subject=/x subject=/y p_to=a p_to=b").expect("good").expect("something");
    assert_eq!((twice.subject.as_deref(), twice.to.as_deref()), (Some("/x"), Some("a")));
}

/// P-35: what is not all words and no object is the field `line`, as it came.
#[test]
fn other_lines_are_the_field_line() {
    for line in
        ["hello", " load is a=1", "http://x/?a=b", "1=2", "a=1 b", "a=\"open", "a = 1", "=1", "\u{1b}[31m", "[1]"]
    {
        assert_read(LineFormat::Auto, line, &[("line", line)]);
    }
    for line in ["a=1", "{\"a\":1}", " indented "] {
        assert_read(LineFormat::Line, line, &[("line", line)]);
    }
    for format in [LineFormat::Auto, LineFormat::Fields, LineFormat::Json, LineFormat::Line] {
        for line in ["", " ", "\t \r", "\r"] {
            assert_eq!(parse(format, line.as_bytes()), Ok(None), "{line:?}");
        }
    }
}

#[test]
fn objects_are_fields() {
    assert_read(
        LineFormat::Auto,
        r#"{"s":"a\n\"中\u0041","n":-1.50,"t":true,"z":null,"o":{"a":[1, 2]},"l":[],"e":""}"#,
        &[("s", "a\n\"中A"), ("n", "-1.50"), ("t", "true"), ("o", r#"{"a":[1, 2]}"#), ("l", "[]"), ("e", "")],
    );
    assert_read(LineFormat::Json, " {} ", &[]);
    let told = parse(LineFormat::Json, br#"{"subject":"/a/b","p_to":"x","v":1}"#).expect("good").expect("something");
    let due = Letter { subject: Some("/a/b".to_owned()), to: Some("x".to_owned()), ..letter(&[("v", "1")]) };
    assert_eq!(told, due);
}

#[test]
fn wrong_lines_are_refused() {
    assert_refused(LineFormat::Fields, "hello", "\"hello\" is not name=value");
    assert_refused(LineFormat::Fields, "a=1 b", "\"b\" is not name=value");
    assert_refused(LineFormat::Fields, "a=\"x", "not closed");
    assert_refused(LineFormat::Fields, "a='x", "not closed");
    assert_refused(LineFormat::Fields, "a=\\", "a backslash at the end");
    assert_refused(LineFormat::Fields, "a=\"\\u{110000}\"", "not a character");
    for line in ["{", "{\"a\":}", "{\"a\":1} x", "{\"a\":1}{\"b\":2}", "{\"a\":\"\\ud800\"}"] {
        assert_refused(LineFormat::Auto, line, "no JSON object");
    }
    for line in ["5", "[1]", "a=1", "\"text\"", "null"] {
        assert_refused(LineFormat::Json, line, "no JSON object");
    }
    assert_refused(LineFormat::Json, r#"{"":1}"#, "a field without a name");
    assert_eq!(parse(LineFormat::Line, b"ab\xff"), Err("not UTF-8 at byte 2".to_owned()));
    let many: String = (0..=FIELDS_MAX).map(|number| format!("f{number}=1 ")).collect();
    assert_refused(LineFormat::Fields, &many, "more than 256 fields");
    let many: Vec<String> = (0..=FIELDS_MAX).map(|number| format!("\"f{number}\":1")).collect();
    assert_refused(LineFormat::Auto, &format!("{{{}}}", many.join(",")), "more than 256 fields");
    // As many as may be, and each of them again.
    let most: String = (0..FIELDS_MAX).map(|number| format!("f{number}=1 ")).collect();
    let read = parse(LineFormat::Fields, most.repeat(2).as_bytes()).expect("good").expect("something");
    assert_eq!(read.fields.len(), FIELDS_MAX);
}

/// P-35: a line stays below the subject of its source.
#[test]
fn a_subject_must_begin_with_the_sources() {
    let message = |line: &str| {
        let letter = parse(LineFormat::Auto, line.as_bytes()).expect("good").expect("something");
        letter.into_message("/a").map(|(message, to)| (message.subject().to_owned(), to))
    };
    assert_eq!(message("x=1"), Ok(("/a".to_owned(), None)));
    assert_eq!(message("x=1 subject=/a/b p_to=me"), Ok(("/a/b".to_owned(), Some("me".to_owned()))));
    for bad in ["subject=/b", "subject=/", "subject=", "subject=a", "subject=$server/figures"] {
        assert!(message(bad).expect_err(bad).contains("does not begin with the source's, \"/a\""), "{bad}");
    }
    let long = format!("subject=/a{}", "x".repeat(256));
    assert!(message(&long).expect_err("too long").contains("at most 256"), "{long}");
    assert!(message("p_event=abort").expect_err("reserved").contains("p_event"));
}

proptest! {
    #[test]
    fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..60), text in "[a-c={}\"'\\\\\\[\\]:, u\\pL]{0,30}") {
        for format in [LineFormat::Auto, LineFormat::Fields, LineFormat::Json, LineFormat::Line] {
            let _ = parse(format, &line);
            let _ = parse(format, text.as_bytes());
        }
    }

    #[test]
    fn any_value_survives_its_quotes(text in any::<String>()) {
        let single = format!("a='{}'", text.replace('\'', "'\\''"));
        prop_assume!(!text.contains('\r'));
        prop_assert_eq!(parse(LineFormat::Fields, single.as_bytes()), Ok(Some(letter(&[("a", &text)]))));
        let json = format!("{{\"a\":{}}}", serde_json::to_string(&text).expect("JSON"));
        prop_assert_eq!(parse(LineFormat::Auto, json.as_bytes()), Ok(Some(letter(&[("a", &text)]))));
    }
}

#[test]
fn codes_have_no_sign_and_subjects_no_commas() {
    assert!(parse(LineFormat::Fields, br#"a="\u{+41}""#).is_err());
    for subject in ["/s/a,b", "/s/a\tb", "/s/a "] {
        let letter = Letter { subject: Some(subject.to_owned()), ..Letter::default() };
        assert!(letter.into_message("/s").is_err(), "{subject:?}");
    }
}
