use proptest::prelude::*;

use super::*;
use crate::protocol::{SessionId, Shard};

fn incoming(query: &[u8]) -> Incoming<'_> {
    Incoming { post: false, path: "/pushlet.srv", query, body: b"", user_agent: None, force_pull_agents: &[] }
}

fn get(query: &str) -> Result<Command, RequestError> {
    read(&incoming(query.as_bytes())).map(|(command, _)| command)
}

fn good(query: &str) -> Command {
    get(query).expect("a readable request")
}

fn pairs(query: &[u8]) -> Vec<(String, String)> {
    let fields = query_fields(query).expect("few fields");
    fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn boxed(text: &str) -> Option<Box<str>> {
    Some(Box::from(text))
}

/// P-1: which paths are the door.
#[test]
fn the_door_is_known_by_its_last_segment() {
    for path in [
        "/pushlet.srv",
        "/pushlet/pushlet.srv",
        "/a/b/c/pushlet.srv",
        "//pushlet.srv",
        "/pushlet.srv;jsessionid=1A2B",
        "/app;v=1/pushlet.srv;a;b=c",
    ] {
        assert!(is_pushlet_path(path), "{path}");
    }
    for path in [
        "",
        "/",
        "/pushlet.srv/",
        "/pushlet.srv/extra",
        "/Pushlet.srv",
        "/pushlet.SRV",
        "/xpushlet.srv",
        "/pushlet.srvx",
        "/;pushlet.srv",
        "/pushlet%2esrv",
        "/pushlet.srv;x=/y",
    ] {
        assert!(!is_pushlet_path(path), "{path}");
    }
}

/// P-2, P-12: how a query is decoded.
#[test]
fn queries_are_decoded() {
    type Row<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);
    let table: &[Row<'_>] = &[
        (b"", &[]),
        (b"a=1&b=2", &[("a", "1"), ("b", "2")]),
        (b"v=1&v=2", &[("v", "1")]),
        (b"v=&v=2", &[("v", "")]),
        (b"a+b%3D=c+d%2Be", &[("a b=", "c d+e")]),
        (b"v=%E4%B8%AD%f0%9f%98%80", &[("v", "\u{4e2d}\u{1f600}")]),
        ("v=中文".as_bytes(), &[("v", "\u{4e2d}\u{6587}")]),
        (b"v=%ff%fe-\xff", &[("v", "\u{fffd}\u{fffd}-\u{fffd}")]),
        (b"v=100%&w=%zz%4&x=%%41", &[("v", "100%"), ("w", "%zz%4"), ("x", "%A")]),
        (b"a&b&=c&&d==e=", &[("a", ""), ("b", ""), ("d", "=e=")]),
        (b"v=%00%0a", &[("v", "\0\n")]),
        (b"a;b=1;c", &[("a;b", "1;c")]),
    ];
    for (query, expected) in table {
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(pairs(query), expected, "{}", String::from_utf8_lossy(query));
    }
}

/// P-2: there is a bound on the number of fields.
#[test]
fn too_many_fields_are_refused() {
    let query = |count: usize| (0..count).map(|at| format!("f{at}=1&")).collect::<String>();
    assert_eq!(query_fields(query(FIELDS_MAX).as_bytes()).map(|fields| fields.len()), Ok(FIELDS_MAX));
    let refused = query_fields(query(FIELDS_MAX + 1).as_bytes()).expect_err("too many");
    assert_eq!((refused.status, refused.reason.as_str()), (400, "Too many fields, at most 256 are allowed"));
    assert!(query_fields("v&".repeat(FIELDS_MAX + 1).as_bytes()).is_err(), "repeated names cost time too");
}

/// P-8: without an event name there is nothing to do, by GET as by POST.
#[test]
fn an_event_name_is_needed() {
    for query in ["", "p_id=x", "p_event", "p_event=", "P_EVENT=join", "p_event=&p_event=join"] {
        let refused = get(query).expect_err(query);
        assert_eq!((refused.status, refused.to_string().as_str()), (400, "No eventType specified"));
    }
    for body in ["", "  ", "<event p_id=\"x\" />", "<event/>", "{}", "{\"p_event\":null}", "<event p_event=\"\" />"] {
        let refused =
            read(&Incoming { post: true, body: body.as_bytes(), ..incoming(b"p_event=join") }).expect_err(body);
        assert_eq!(refused.reason, "No eventType specified");
    }
}

/// P-8: what is echoed is cut first, so that the cut never falls into an entity.
#[test]
fn echoed_text_is_cut_and_escaped() {
    assert_eq!(error_text("Invalid or expired id: ", "abc"), "Invalid or expired id: abc");
    assert_eq!(error_text("", "<b>&\"'"), "&lt;b&gt;&amp;&quot;&#39;");
    assert_eq!(error_text("x ", &"<".repeat(1000)), format!("x {}", "&lt;".repeat(64)));
    assert_eq!(error_text("", &"\u{4e2d}".repeat(65)), "\u{4e2d}".repeat(64));
}

/// P-5, P-9: each event name becomes its command, with what it needs.
#[test]
fn event_names_become_commands() {
    let js = FormatName::Known(Format::Js);
    let plain = Listen { mode: ModeName::Known(Mode::Stream), subject: None, label: None, ..Listen::default() };
    assert_eq!(good("p_event=join"), Command::Join { format: js.clone() });
    assert_eq!(
        good("p_event=join&p_format=xml-strict"),
        Command::Join { format: FormatName::Known(Format::XmlStrict) }
    );
    assert_eq!(good("p_event=join-listen"), Command::JoinListen { format: js, listen: plain.clone() });
    for name in ["", "XML", "html"] {
        let format = FormatName::Unknown(Box::from(name));
        assert_eq!(good(&format!("p_event=join&p_format={name}")), Command::Join { format });
    }
    let id = ClaimedId::Missing;
    assert_eq!(good("p_event=listen"), Command::Listen { id: id.clone(), listen: plain });
    assert_eq!(
        good("p_event=listen&p_mode=pull&p_subject=/a&p_label=l"),
        Command::Listen {
            id: id.clone(),
            listen: Listen {
                mode: ModeName::Known(Mode::Pull),
                subject: boxed("/a"),
                label: boxed("l"),
                ..Listen::default()
            }
        }
    );
    assert_eq!(
        good("p_event=listen&p_mode=&p_subject="),
        Command::Listen {
            id: id.clone(),
            listen: Listen {
                mode: ModeName::Unknown(Box::from("")),
                subject: boxed(""),
                label: None,
                ..Listen::default()
            }
        }
    );
    assert_eq!(good("p_event=refresh"), Command::Refresh { id: id.clone() });
    assert_eq!(good("p_event=hb"), Command::Heartbeat { id: id.clone() });
    assert_eq!(good("p_event=leave"), Command::Leave { id: id.clone() });
    assert_eq!(
        good("p_event=subscribe&p_subject=/a,/b&p_label=x"),
        Command::Subscribe { id: id.clone(), subject: boxed("/a,/b"), label: boxed("x") }
    );
    assert_eq!(good("p_event=subscribe"), Command::Subscribe { id: id.clone(), subject: None, label: None });
    assert_eq!(good("p_event=unsubscribe"), Command::Unsubscribe { id: id.clone(), sid: None });
    assert_eq!(good("p_event=unsubscribe&p_sid="), Command::Unsubscribe { id, sid: boxed("") });
}

/// P-5: any other name is kept, with the format to answer a stranger in.
#[test]
fn other_names_are_unknown() {
    for name in ["Join", "join-", "joinlisten", "heartbeat", "join_ack", "data", "\u{4e2d}"] {
        for (format, known) in [("", None), ("&p_format=xml", Some(Format::Xml)), ("&p_format=x", None)] {
            let unknown = Command::Unknown { id: ClaimedId::Missing, name: Box::from(name), format: known };
            assert_eq!(good(&format!("p_event={name}{format}")), unknown);
        }
    }
}

/// P-34: an id that we never give is told from one that may exist.
#[test]
fn claimed_ids_are_judged_by_form() {
    let id = SessionId::new(Shard::new(3), 77);
    assert_eq!(good(&format!("p_event=hb&p_id={id}")), Command::Heartbeat { id: ClaimedId::WellFormed(id) });
    for text in ["", "wezudomyhu"] {
        let malformed = ClaimedId::Malformed(Box::from(text));
        assert_eq!(good(&format!("p_event=hb&p_id={text}")), Command::Heartbeat { id: malformed });
    }
}

/// P-21, P-3: a publish keeps its fields in their order, by GET as by POST. Its time is given when it is accepted.
#[test]
fn a_publish_keeps_its_fields() {
    let fields = |request: &Incoming<'_>| match read(request) {
        Ok((Command::Publish { subject, to, fields, .. }, _)) => {
            assert_eq!((subject, to), (boxed("/a"), boxed("you")));
            fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    };
    let all = "p_event=publish x=1 p_subject=/a p_to=you";
    let query = b"p_event=publish&x=1&p_subject=/a&p_to=you";
    assert_eq!(fields(&incoming(query)), all);
    let bodies: [&[u8]; 3] = [
        query,
        br#"<event p_event="publish" x="1" p_subject="/a" p_to="you" />"#,
        br#"{"p_event":"publish","x":1,"p_subject":"/a","p_to":"you"}"#,
    ];
    for body in bodies {
        assert_eq!(fields(&Incoming { post: true, body, ..incoming(b"") }), all);
    }
    let own = b"p_time=42&p_event=publish&p_subject=/a&p_to=you&p_seq=9";
    assert_eq!(fields(&incoming(own)), "p_time=42 p_event=publish p_subject=/a p_to=you p_seq=9");
}

/// P-3: the query string of a POST is ignored, as the body of a GET.
#[test]
fn only_one_source_of_fields_counts() {
    let both = Incoming { post: true, body: b"p_event=hb", ..incoming(b"p_event=join&p_id=x") };
    assert_eq!(read(&both).map(|read| read.0), Ok(Command::Heartbeat { id: ClaimedId::Missing }));
    let get = Incoming { post: false, ..both };
    assert!(matches!(read(&get), Ok((Command::Join { .. }, _))));
}

/// P-11, P-18: what the User-Agent tells.
#[test]
fn agents_are_told_apart() {
    let forced = ["safari".to_owned(), String::new(), "msie 6".to_owned()];
    let only_empty = [String::new()];
    let told = |text: Option<&str>, entries: &[String]| {
        let agent = agent(text, entries);
        (agent.java, agent.force_pull)
    };
    assert_eq!(told(None, &forced), (false, false));
    assert_eq!(told(Some("Java/17.0.15"), &forced), (true, false));
    assert_eq!(told(Some("Mozilla/4.0 (Windows) Java/1.4.2"), &[]), (true, false));
    assert_eq!(told(Some("java/17 JavaScript"), &[]), (false, false));
    assert_eq!(told(Some("Mozilla/5.0 Chrome/130 Safari/537.36"), &forced), (false, true));
    assert_eq!(told(Some("Mozilla/4.0 (compatible; MSIE 6.0)"), &forced), (false, true));
    assert_eq!(told(Some("anything"), &only_empty), (false, false), "an empty entry forces nobody");
    assert_eq!(told(Some("Safari"), &[]), (false, false));
}

proptest! {
    /// P-8: no bytes make the reader panic, and every refusal is a 400 with a reason.
    #[test]
    fn any_bytes_are_read_or_refused(post: bool, bytes: Vec<u8>) {
        if let Err(refused) = read(&Incoming { post, body: &bytes, ..incoming(&bytes) }) {
            prop_assert_eq!(refused.status, 400);
            prop_assert!(!refused.reason.is_empty());
        }
    }

    /// P-2: what is percent-encoded comes back, whatever it is.
    #[test]
    fn encoded_fields_come_back(name in "\\PC+|[\0-\x7f]+", value: String) {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
        prop_assert_eq!(pairs(query.as_bytes()), [(name, value)]);
    }
}
