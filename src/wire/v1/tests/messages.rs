//! What is said over a WebSocket: which requests are taken as what, which are refused and how, and that every answer is JSON.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::limits::{POST_ITEMS_MAX, SUBSCRIPTIONS_MAX};
use crate::protocol::{ClientAction, EndReason, ItemOutcome, Posted, Problem, Publication, SubscriptionWish};
use crate::wire::v1::{
    Wanted, WsRequest, ack, end_message, nack, pong, posted, request, requests as places,
    session_messages as write_session,
};

/// Every request of a message.
fn requests(text: &str) -> Result<Vec<WsRequest>, Problem> {
    Ok(places(text)?.into_iter().map(|at| request(&text[at])).collect())
}

fn one(text: &str) -> WsRequest {
    let mut found = requests(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
    assert_eq!(found.len(), 1, "{text}");
    found.remove(0)
}

fn wanted(text: &str) -> Wanted {
    one(text).wanted.unwrap_or_else(|problem| panic!("{text}: {problem:?}"))
}

/// Status, field and limit of a refusal, and the `id` in its nack.
fn refused(text: &str) -> (u16, Option<&'static str>, Option<u64>, Option<Value>) {
    let WsRequest { id, wanted } = one(text);
    let problem = wanted.expect_err(text);
    let told = read(&nack(id.as_ref(), &problem));
    assert_eq!(told["type"], "nack", "{text}");
    assert_eq!(told["status"], problem.status, "{text}");
    assert_eq!(told["reason"], *problem.detail, "{text}");
    assert!(problem.detail.ends_with('.') && problem.detail.len() < 600, "one sentence: {}", problem.detail);
    (problem.status, problem.field, problem.limit, told.get("id").cloned())
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// The lists and wishes of a subscribe request.
fn subscribed(text: &str) -> Vec<(String, SubscriptionWish)> {
    match wanted(text) {
        Wanted::Subscribe(all) => all.into_iter().map(|one| (one.list.into_string(), one.wish)).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

fn lists(text: &str) -> Vec<String> {
    match wanted(text) {
        Wanted::Subscribe(all) => all.into_iter().map(|one| one.list.into_string()).collect(),
        Wanted::Unsubscribe(lists) => lists.into_iter().map(String::from).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

fn published(text: &str) -> Publication {
    match wanted(text) {
        Wanted::Publish(publication) => publication,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn subjects_are_named_by_a_text_or_an_array() {
    for (subject, expected) in [
        (r#""/a""#, &["/a"][..]),
        (r#""/a,/b""#, &["/a", "/b"]),
        (r#"" /a , ,/b/*,""#, &["/a", "/b/*"]),
        (r#"["/a"]"#, &["/a"]),
        (r#"["/a","/b,/c"]"#, &["/a", "/b", "/c"]),
        (r#"["/a","/a"]"#, &["/a", "/a"]),
        ("\"\\/a\\u002f\u{4e2d}\"", &["/a/\u{4e2d}"]),
        // Of nothing: it is refused where subjects are judged.
        (r#""""#, &[""]),
        (r#"",""#, &[","]),
    ] {
        assert_eq!(lists(&format!(r#"{{"type":"subscribe","subject":{subject}}}"#)), expected, "{subject}");
    }
    // Of what is unsubscribed a comma list may be one subscription: it is looked for as it came.
    assert_eq!(lists(r#"{"type":"unsubscribe","subject":["/a,/b","/c"]}"#), ["/a,/b", "/c"]);
    for subject in ["1", "true", "{}", "[]", "[1]", r#"["/a",null]"#, r#"[["/a"]]"#, "null", r#""\ud800""#] {
        for kind in ["subscribe", "unsubscribe"] {
            let text = format!(r#"{{"type":"{kind}","id":1,"subject":{subject}}}"#);
            assert_eq!(refused(&text), (400, Some("subject"), None, Some(json!(1))), "{text}");
        }
    }
    let many = vec!["/a"; SUBSCRIPTIONS_MAX].join(",");
    for kind in ["subscribe", "unsubscribe"] {
        assert_eq!(refused(&format!(r#"{{"type":"{kind}"}}"#)), (400, Some("subject"), None, None));
        assert!(one(&format!(r#"{{"type":"{kind}","subject":"{many}"}}"#)).wanted.is_ok());
        let limit = Some(SUBSCRIPTIONS_MAX as u64);
        let text = format!(r#"{{"type":"{kind}","subject":["{many}","/b"]}}"#);
        assert_eq!(refused(&text), (400, Some("subject"), limit, None));
    }
}

#[test]
fn wishes_are_a_number_and_a_switch() {
    let wish = |members: &str| subscribed(&format!(r#"{{"type":"subscribe","subject":"/a,/b"{members}}}"#));
    for (members, queue, conflate) in [
        ("", None, false),
        (r#","queue":1"#, Some(1), false),
        (r#","queue":65535,"conflate":true"#, Some(u16::MAX), true),
        (r#","queue":65536"#, Some(u16::MAX), false),
        (r#","queue":18446744073709551615,"conflate":false"#, Some(u16::MAX), false),
        (r#","queue":null,"conflate":null"#, None, false),
    ] {
        let expected = SubscriptionWish { queue: queue.and_then(std::num::NonZeroU16::new), conflate };
        assert_eq!(wish(members), [("/a".to_owned(), expected), ("/b".to_owned(), expected)], "{members}");
    }
    let refused = |members: &str| refused(&format!(r#"{{"id":"x","type":"subscribe","subject":"/a",{members}}}"#));
    assert_eq!(refused(r#""queue":0"#), (400, Some("queue"), None, Some(json!("x"))));
    for members in [
        r#""queue":-1"#,
        r#""queue":1.5"#,
        r#""queue":"1""#,
        r#""queue":18446744073709551616"#,
        r#""conflate":1"#,
        r#""conflate":"true""#,
        r#""queue":1,"queue":2"#,
        r#""Queue":1"#,
        r#""label":"x""#,
    ] {
        assert_eq!(refused(members), (400, None, None, Some(json!("x"))), "{members}");
    }
}

/// What a number or a text in JavaScript tells exactly, and nothing else; it comes back byte for byte.
#[test]
fn ids_come_back_as_they_came() {
    let longest = "x".repeat(64);
    let wide = "\u{4e2d}".repeat(21);
    for id in [
        "0",
        "1",
        "9007199254740991",
        r#""a""#,
        r#"" ""#,
        r#""\u0041\/\"\n""#,
        "\"\u{4e2d}\u{1f600}\u{2028}\"",
        "\"\\ud83d\\ude00\"",
        &format!("\"{longest}\""),
        &format!("\"{wide}\""),
        &format!("\"{}\"", "\\u0041".repeat(64)),
    ] {
        let request = one(&format!("{{ \"id\" :\n {id} , \"type\":\"ping\" }}"));
        assert_eq!(request.wanted, Ok(Wanted::Ping));
        let id_of = request.id.as_ref().expect(id);
        assert_eq!(text(ack(id_of)), format!(r#"{{"type":"ack","id":{id}}}"#));
        assert_eq!(text(pong(Some(id_of), 7)), format!(r#"{{"type":"pong","id":{id},"time":7}}"#));
        let no = nack(Some(id_of), &Problem::new(400, "No."));
        assert_eq!(text(no), format!(r#"{{"type":"nack","id":{id},"status":400,"reason":"No."}}"#));
        read(&ack(id_of));
    }
    assert_eq!(one(r#"{"type":"ping"}"#).id, None);
    assert_eq!(one(r#"{"type":"ping","id":null}"#).id, None, "as in other members, null is nothing");
    for id in [
        "-1",
        "-0",
        "1.0",
        "1e3",
        "0.5",
        "9007199254740992",
        "18446744073709551616",
        r#""""#,
        &format!("\"{longest}x\""),
        &format!("\"{wide}xx\""),
        r#""\ud800""#,
        "true",
        "[]",
        "{}",
    ] {
        assert_eq!(refused(&format!(r#"{{"type":"ping","id":{id}}}"#)), (400, Some("id"), Some(64), None), "{id}");
        // One that cannot be read stands in no answer, whatever else is wrong.
        assert_eq!(refused(&format!(r#"{{"type":"ping","id":{id},"zzz":1}}"#)), (400, None, None, None), "{id}");
    }
}

#[test]
fn a_publish_request_is_an_item_of_the_publish_door() {
    let text = r#"{"type":"publish","id":3,"subject":"/a","data":{"x":1},"event":"n","to":"addr"}"#;
    let publication = published(text);
    let item = r#"{"subject":"/a","data":{"x":1},"event":"n","to":"addr"}"#;
    let (mut items, _) =
        crate::wire::v1::read(crate::wire::v1::Body::Json, &crate::wire::v1::Query::default(), None, item.as_bytes())
            .expect("a body");
    assert_eq!(Ok(publication), items.remove(0));
    for members in [
        r#""subject":"/a","data":null"#,
        r#""subjects":["/a","/b"],"data":1"#,
        r#""subject":"/a","base64":"AAEC","content_type":"image/png""#,
        r#""subject":"/a","data":"text","content_type":"text/plain""#,
    ] {
        published(&format!(r#"{{"type":"publish",{members}}}"#));
    }
    for (members, field) in [
        (r#""data":1"#, Some("subject")),
        (r#""subject":"/a""#, Some("data")),
        (r#""subject":["/a"],"data":1"#, Some("subject")),
        (r#""subject":7,"data":1"#, Some("subject")),
        (r#""subject":"/a","subjects":["/b"],"data":1"#, Some("subjects")),
        (r#""subject":"","data":1"#, Some("subject")),
        (r#""subject":"/a","data":1,"base64":"AA==""#, Some("base64")),
        (r#""subject":"/a","base64":"AA==""#, Some("content_type")),
        (r#""subject":"/a","base64":"!","content_type":"image/png""#, Some("base64")),
        (r#""subject":"/a","data":1,"event":"session""#, Some("event")),
        (r#""subject":"/a","data":1,"event":"a\nb""#, Some("event")),
        (r#""subject":"/a","data":1,"queue":1"#, Some("queue")),
        (r#""subject":"/a","data":1,"conflate":true"#, Some("conflate")),
        (r#""subject":"/a","data":1,"from":"x""#, None),
        (r#""subject":"/a","data":1,"time":1"#, None),
        (r#""subject":"/a","data":1,"data":2"#, None),
        (r#""subject":"/a","data":1,"to":7"#, None),
    ] {
        let (status, told, _, id) = refused(&format!(r#"{{"type":"publish","id":9,{members}}}"#));
        assert_eq!((status, told, id), (400, field, Some(json!(9))), "{members}");
    }
}

/// A member of another type of request is no member of this one.
#[test]
fn members_belong_to_their_types() {
    let members = [
        (r#""subject":"/a""#, "subject", &["subscribe", "unsubscribe", "publish"][..]),
        (r#""subjects":["/a"]"#, "subjects", &["publish"]),
        (r#""data":null"#, "data", &["publish"]),
        (r#""base64":"""#, "base64", &["publish"]),
        (r#""content_type":"a/b""#, "content_type", &["publish"]),
        (r#""event":"n""#, "event", &["publish"]),
        (r#""to":"x""#, "to", &["publish"]),
        (r#""queue":1"#, "queue", &["subscribe"]),
        (r#""conflate":false"#, "conflate", &["subscribe"]),
    ];
    for kind in ["subscribe", "unsubscribe", "publish", "ping"] {
        for (member, name, kinds) in members {
            let subject = if name == "subject" || kind == "ping" { "" } else { r#""subject":"/s","# };
            let text = format!(r#"{{"type":"{kind}",{subject}{member}}}"#);
            let problem = one(&text).wanted.err().map(|problem| (problem.field, problem.detail));
            let stranger = format!("A request of type {kind} has no {name}.");
            let is_refused = problem == Some((Some(name), stranger.clone().into()));
            assert_eq!(is_refused, !kinds.contains(&kind), "{text}: {problem:?}");
        }
    }
}

#[test]
fn what_is_no_request_is_refused() {
    for text in
        ["", " ", "{", "nope", "{\"type\":\"ping\"} x", "{\"type\":\"ping\"}{}", "{'type':'ping'}", "\u{feff}{}"]
    {
        assert_eq!(refused(text), (400, None, None, None), "{text:?}");
    }
    for text in ["1", "null", "true", "\"ping\""] {
        assert_eq!(refused(text), (400, None, None, None), "{text:?}");
    }
    for (text, field) in [
        ("{}", Some("type")),
        (r#"{"type":null}"#, Some("type")),
        (r#"{"type":"dance"}"#, Some("type")),
        (r#"{"type":"Ping"}"#, Some("type")),
        (r#"{"type":""}"#, Some("type")),
        (r#"{"type":"session"}"#, Some("type")),
        (r#"{"type":1}"#, None),
        (r#"{"type":["ping"]}"#, None),
        (r#"{"type":"ping","type":"ping"}"#, None),
        (r#"{"type":"ping","x":1}"#, None),
    ] {
        assert_eq!(refused(text), (400, field, None, None), "{text}");
    }
    let deep = format!(
        "{{\"type\":\"publish\",\"id\":1,\"subject\":\"/a\",\"data\":{}1{}}}",
        "[".repeat(300),
        "]".repeat(300)
    );
    assert_eq!(refused(&deep).0, 400);
    let long = format!("{{\"type\":\"{}\",\"id\":1}}", "\u{4e2d}\\u0000".repeat(10_000));
    assert_eq!(refused(&long), (400, Some("type"), None, Some(json!(1))));
    let long = format!("{{\"type\":\"ping\",\"{}\":1}}", "x\\n".repeat(10_000));
    assert_eq!(refused(&long), (400, None, None, None));
}

/// Each request of an array stands for itself: a bad one is refused and the others are carried out.
#[test]
fn an_array_holds_several_requests() {
    let found = requests(" [{\"type\":\"ping\",\"id\":1}, 7 ,{\"type\":\"dance\",\"id\":2},[],{\"type\":\"ping\"}]")
        .expect("a list");
    let told: Vec<_> = found.iter().map(|request| (request.id.is_some(), request.wanted.is_ok())).collect();
    assert_eq!(told, [(true, true), (false, false), (true, false), (false, false), (false, true)]);
    for (text, status, limit) in [
        ("[]", 400, None),
        ("[", 400, None),
        ("[{\"type\":\"ping\"},]", 400, None),
        ("[{\"type\":\"ping\"}] 1", 400, None),
    ] {
        let problem = requests(text).expect_err(text);
        assert_eq!((problem.status, problem.limit), (status, limit), "{text}");
        read(&nack(None, &problem));
    }
    let many = |count: usize| format!("[{}]", vec![r#"{"type":"ping"}"#; count].join(","));
    assert_eq!(requests(&many(POST_ITEMS_MAX)).map(|found| found.len()), Ok(POST_ITEMS_MAX));
    let problem = requests(&many(POST_ITEMS_MAX + 1)).expect_err("too many");
    assert_eq!((problem.status, problem.limit), (413, Some(POST_ITEMS_MAX as u64)));
}

#[test]
fn answers_are_what_the_description_says() {
    let id = |text: &str| one(&format!(r#"{{"type":"ping","id":{text}}}"#)).id;
    let accepted = ItemOutcome { accepted: 2, refused: 0, problem: None };
    let no = || Problem::field("subject", "No.").status(403);
    let refused = ItemOutcome { accepted: 0, refused: 1, problem: Some(no()) };
    let of = |outcomes: Vec<ItemOutcome>| Posted { outcomes, ..Posted::default() };
    let told = |id: Option<&_>, what: Posted| posted(id, &what).map(text);
    assert_eq!(told(None, of(vec![accepted.clone()])), None, "nobody asked");
    let one = id("1");
    assert_eq!(
        told(one.as_ref(), of(vec![accepted.clone()])).as_deref(),
        Some(r#"{"type":"ack","id":1,"accepted":2,"refused":0}"#)
    );
    let nacked = r#""status":403,"reason":"No.","field":"subject","accepted":0,"refused":1}"#;
    assert_eq!(told(one.as_ref(), of(vec![refused.clone()])), Some(format!(r#"{{"type":"nack","id":1,{nacked}"#)));
    assert_eq!(told(None, of(vec![refused])), Some(format!(r#"{{"type":"nack",{nacked}"#)));
    let problem = Problem { retry_after_s: Some(3), ..Problem::field("to", "Later.").status(503).limit(9) };
    assert_eq!(
        text(nack(id("\"q\"").as_ref(), &problem)),
        r#"{"type":"nack","id":"q","status":503,"reason":"Later.","field":"to","limit":9,"retry_after_s":3}"#
    );
    assert_eq!(text(pong(None, 1_700_000_000)), r#"{"type":"pong","time":1700000000}"#);
}

#[test]
fn the_first_messages_say_what_the_session_is() {
    let told = |last| {
        let mut told = Vec::new();
        write_session(("p", "f"), 20_000, 262_144, last, |message| told.push(text(message.to_vec())));
        told
    };
    let first = r#"{"type":"session","session":"p","address":"f","heartbeat_ms":20000,"message_max":262144"#;
    assert_eq!(told(None), [format!("{first}}}")]);
    let reset = r#"{"type":"reset","reason":"no-history","last_event_id":"1\"-\u0001"}"#;
    assert_eq!(told(Some("1\"-\u{1}")), [format!("{first},\"reset\":true}}"), reset.to_owned()]);
}

/// The last message agrees with the public table of reasons, and with the Close frame behind it.
#[test]
fn the_last_message_says_what_to_do() {
    let expected = [
        (4001, "leave", "nothing"),
        (4002, "lease-expired", "rejoin"),
        (4003, "not-alive", "rejoin"),
        (4004, "queue-full", "rejoin"),
        (4005, "disconnected", "rejoin"),
        (1012, "shutdown", "rejoin-later"),
    ];
    for (reason, (code, word, action)) in EndReason::ALL.into_iter().zip(expected) {
        let told = read(&end_message(reason, 2_345));
        let object = json!({"type": "end", "reason": word, "text": reason.text(), "action": action, "retry_ms": 2_345});
        assert_eq!((told, reason.close_code()), (object, code));
    }
    let names = [ClientAction::Nothing, ClientAction::Rejoin, ClientAction::RejoinLater].map(ClientAction::name);
    assert_eq!(names, ["nothing", "rejoin", "rejoin-later"]);
}

/// Text with what breaks parsers: quotes, escapes, control characters, halves of escapes, line separators.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\\u00".to_owned()),
        Just("</script>".to_owned()),
        Just("\u{2028}\u{0}\u{1f}\u{7f}\r\n".to_owned()),
        Just("},{".to_owned()),
        Just("null".to_owned()),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        hostile().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::collection::vec(hostile().prop_map(Value::from), 0..3).prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: proptest::test_runner::RngSeed::Fixed(6), ..ProptestConfig::default() })]

    /// Whatever comes, what is said about it is one JSON object, and repeats the `id` where it is one.
    #[test]
    fn every_refusal_is_json(
        kind in prop_oneof![Just("subscribe".to_owned()), Just("publish".to_owned()), Just("ping".to_owned()), hostile()],
        id in value(),
        members in prop::collection::vec((prop_oneof![
            Just("subject".to_owned()), Just("queue".to_owned()), Just("data".to_owned()), Just("event".to_owned()), hostile(),
        ], value()), 0..4),
    ) {
        let mut object = json!({"type": kind, "id": id});
        for (name, value) in members {
            object[name] = value;
        }
        let request = one(&object.to_string());
        let valid = match &id {
            Value::Number(number) => number.as_u64().is_some_and(|number| number < 1 << 53),
            Value::String(text) => (1..=64).contains(&text.len()),
            _ => false,
        };
        // A member may be called `id` or `type`, too.
        prop_assert!(valid || request.id.is_none() || object["id"] != id);
        if let Err(problem) = &request.wanted {
            let told = read(&nack(request.id.as_ref(), problem));
            prop_assert_eq!(&told["reason"], &json!(*problem.detail));
            if let (true, Some(back)) = (valid, told.get("id")) {
                prop_assert_eq!(back, &object["id"]);
            }
        }
        if let Some(id) = &request.id {
            prop_assert_eq!(read(&ack(id)), json!({"type": "ack", "id": object["id"]}));
        }
    }

    /// No text makes a message what it is not.
    #[test]
    fn every_text_is_read_or_refused(text in hostile()) {
        match requests(&text) {
            Ok(found) => for request in found {
                if let Err(problem) = &request.wanted {
                    read(&nack(request.id.as_ref(), problem));
                }
            },
            Err(problem) => drop(read(&nack(None, &problem))),
        }
        let problem = Problem::new(400, text.clone());
        prop_assert_eq!(&read(&nack(None, &problem))["reason"], &json!(text));
        let mut told = Vec::new();
        write_session((&text, &text), 1, 2, Some(&text), |message| told.push(read(message)));
        prop_assert_eq!(&told[0]["session"], &json!(text));
        prop_assert_eq!(&told[1]["last_event_id"], &json!(text));
    }
}
