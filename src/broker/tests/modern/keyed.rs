//! Publishing once: idempotency keys through the broker.

use serde_json::json;

use super::*;
use crate::limits::{IDEMPOTENCY_MS, RETRY_AFTER_S};
use crate::protocol::IdempotencyKey;

fn key(text: &str, fingerprint: u64) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { text: Arc::from(text), fingerprint, hash: 1, is_known: true })
}

const TWO: &str = r#"[{"subject":"/a","data":1},{"subject":"$own","data":2},{"subjects":["/a","/b"],"data":3}]"#;

/// The second request with a key is told what the first one was, and publishes nothing; another request with it is refused; when the time is
/// over it is a new one.
#[test]
fn a_key_publishes_once() {
    let mut doors = Doors::new(Settings::default());
    let (_, stream) = doors.sse("subject=/a,/b");
    let ask = |doors: &mut Doors, fingerprint| {
        let token = doors.ask(post(TWO, key("0 k", fingerprint)));
        doors.reply(token).clone()
    };
    let first = ask(&mut doors, 7).posted.expect("accepted");
    assert_eq!((first.accepted(), first.refused(), first.replayed), (3, 1, false));
    assert_eq!(first.outcomes[1].problem.as_ref().map(|problem| problem.status), Some(403));
    let again = ask(&mut doors, 7).posted.expect("accepted");
    assert_eq!(again, Posted { replayed: true, ..first });
    assert_eq!(doors.data(stream), [json!(1), json!(3), json!(3)]);
    assert_eq!(doors.world.broker.counters.published, 3);
    let other = ask(&mut doors, 8).problem.expect("refused");
    assert_eq!((other.status, other.field), (422, Some("Idempotency-Key")));
    doors.pass(IDEMPOTENCY_MS - 100);
    assert!(ask(&mut doors, 7).posted.is_some_and(|posted| posted.replayed));
    doors.pass(100);
    assert!(ask(&mut doors, 8).posted.is_some_and(|posted| !posted.replayed));
    assert_eq!(doors.world.broker.counters.published, 6);
}

/// While a request is carried out, another one with its key is told to wait for it.
#[test]
fn a_request_under_way_is_not_begun_twice() {
    let mut doors = Doors::new(Settings::default());
    let asked = |connection| {
        let token = ReplyToken { core: 0, connection, serial: 1 };
        let (agent, draw) = (Agent::default(), [0; 2]);
        let command = post(r#"[{"subject":"/a","data":1},{"subject":"/a","data":2}]"#, key("0 k", 7));
        let path = Arc::from("/v1/publish");
        let (asked, command) = Asked::new(
            Now { instant: Instant::ZERO, unix_s: 1_000 },
            Request { token, command, path, chunked: true, agent, draw },
        );
        let Command::Post(post) = command else { unreachable!("it was made a moment ago") };
        (asked, *post)
    };
    let (first, body) = asked(901);
    let mut batch = doors.world.broker.begin_post(&first, body).expect("a fresh key");
    doors.world.broker.post_next(first.now, &mut batch);
    let (second, body) = asked(902);
    assert!(doors.world.broker.begin_post(&second, body).is_none());
    doors.settle();
    let conflict = doors.reply(second.token).problem.clone().expect("refused");
    assert_eq!((conflict.status, conflict.retry_after_s), (409, Some(1)));
    // What found no room is told, and the key remembers both.
    batch.refuse_rest(&Problem::new(503, "no room").retry_after(RETRY_AFTER_S));
    doors.world.broker.end_post(batch);
    doors.settle();
    let posted = doors.reply(first.token).posted.clone().expect("an answer");
    assert_eq!((posted.accepted(), posted.refused()), (1, 1));
    let (third, body) = asked(903);
    assert!(doors.world.broker.begin_post(&third, body).is_none());
    doors.settle();
    assert_eq!(doors.reply(third.token).posted, Some(Posted { replayed: true, ..posted }));
}

/// What published nothing may be tried again under its key: its client has mended it.
#[test]
fn what_published_nothing_is_forgotten() {
    let mut doors = Doors::new(Settings::default());
    let refused = doors.ask(post(r#"{"subject":"$own","data":1}"#, key("0 k", 1)));
    assert_eq!(doors.reply(refused).posted.as_ref().map(Posted::accepted), Some(0));
    let mended = doors.ask(post(r#"{"subject":"/own","data":1}"#, key("0 k", 2)));
    let posted = doors.reply(mended).posted.clone().expect("accepted");
    assert_eq!((posted.accepted(), posted.replayed), (1, false));
}
