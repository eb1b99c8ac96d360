//! What running sessions hear is changed: `/v1/subscribe` and `/v1/unsubscribe`, for which a WebSocket has messages.

use serde_json::json;

use super::*;
use crate::auth::{Rule, Who};
use crate::broker::PresenceChange;
use crate::limits::{SUBSCRIPTIONS_MAX, WIDE_PATTERNS_MAX};

const STAFF: Identity = Identity::from_number(1);
const OTHER: Identity = Identity::from_number(2);

fn amendment(query: &str, add: bool) -> Command {
    v1::amendment(&Query::read(query.as_bytes()).expect("a query"), add).expect("a request")
}

impl Doors {
    fn amend_as(&mut self, identity: Identity, query: &str, add: bool) -> Result<(), (u16, Option<&'static str>)> {
        let token = self.ask_as(identity, amendment(query, add));
        let reply = self.reply(token);
        assert!(reply.over, "answered at once");
        match &reply.problem {
            Some(problem) => Err((problem.status, problem.field)),
            None => {
                assert_eq!(reply.text, "done");
                Ok(())
            }
        }
    }

    /// `POST /v1/subscribe?session=ID&QUERY`
    fn add(&mut self, id: SessionId, query: &str) -> Result<(), (u16, Option<&'static str>)> {
        self.amend_as(Identity::NOBODY, &format!("session={id}&{query}"), true)
    }

    /// `POST /v1/unsubscribe?session=ID&QUERY`
    fn remove(&mut self, id: SessionId, query: &str) -> Result<(), (u16, Option<&'static str>)> {
        self.amend_as(Identity::NOBODY, &format!("session={id}&{query}"), false)
    }

    fn subscriptions(&self) -> usize {
        self.world.broker.subscription_count()
    }

    /// One number to each of these subjects, and what a stream hears of them.
    fn heard(&mut self, stream: ReplyToken, subjects: &[&str]) -> Vec<usize> {
        let before = self.data(stream).len();
        for (number, subject) in subjects.iter().enumerate() {
            self.put(subject, number as u32);
        }
        self.settle();
        let heard = self.data(stream).split_off(before);
        heard.iter().map(|number| number.as_u64().expect("a number") as usize).collect()
    }
}

fn presence_at(doors: &mut Doors) -> Vec<(String, i64)> {
    let mut told = doors.world.broker.take_presence_changes(usize::MAX);
    told.sort_by(|one, other| one.subject.cmp(&other.subject));
    told.into_iter().map(|PresenceChange { subject, change }| (subject.into_string(), change)).collect()
}

#[test]
fn a_session_hears_more_and_less() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a,/b");
    let subjects = ["/a", "/b", "/c", "/d/x", "/e"];
    assert_eq!(doors.heard(stream, &subjects), [0, 1]);
    assert_eq!(doors.add(id, "subject=/c,/d/*&subject=/a"), Ok(()));
    assert_eq!(doors.subscriptions(), 4, "/a was there");
    assert_eq!(doors.heard(stream, &subjects), [0, 1, 2, 3]);
    assert_eq!(doors.remove(id, "subject=/a,/d/*"), Ok(()));
    assert_eq!(doors.heard(stream, &subjects), [1, 2]);
    assert_eq!(doors.remove(id, "subject=/b&subject=/c"), Ok(()));
    assert_eq!((doors.heard(stream, &subjects), doors.subscriptions()), (vec![], 0));
    assert!(!doors.reply(stream).over, "a session may hear nothing");
    assert_eq!(doors.add(id, "subject=/a"), Ok(()));
    assert_eq!(doors.heard(stream, &subjects), [0]);
}

/// A long poll as well, also while it waits.
#[test]
fn a_poll_hears_more() {
    let mut doors = Doors::new(Settings::default());
    let (id, _) = doors.poll("subject=/a");
    let waiting = doors.next(id, "");
    assert_eq!(doors.add(id, "subject=/b"), Ok(()));
    doors.put("/b", 1);
    doors.settle();
    assert_eq!(doors.polled(waiting)["events"][0]["subject"], "/b");
    assert_eq!(doors.remove(id, "subject=/a"), Ok(()));
    doors.put("/a", 2);
    doors.put("/b", 3);
    let next = doors.next(id, "");
    assert_eq!(doors.polled(next)["events"].as_array().map(Vec::len), Some(1));
}

/// One that is refused changes nothing: neither what is heard, nor who is told to be there.
#[test]
fn all_or_nothing() {
    let rule = |subject, subscribe| Rule {
        subject: Pattern::new(subject).expect("a pattern"),
        publish: Who::Anyone,
        subscribe,
    };
    let access = Arc::new(Access::new(vec![rule("/staff/**", Who::holders([STAFF]))], [STAFF, OTHER], false));
    let presence = Arc::from([Pattern::new("/**").expect("a pattern")]);
    let mut doors = Doors::new(Settings { access, presence, ..Settings::default() });
    let (id, stream) = doors.sse("subject=/a&subject=/b&queue=3");
    presence_at(&mut doors);
    let many = |count: usize| (0..count).map(|number| format!("/n/{number}")).collect::<Vec<_>>().join(",");
    let wide = (0..=WIDE_PATTERNS_MAX).map(|number| format!("/*/*/*/{number}")).collect::<Vec<_>>().join(",");
    for (query, refusal) in [
        ("subject=/c,/a*", (400, Some("subject"))),
        ("subject=/c&subject=", (400, Some("subject"))),
        ("subject=/c,/staff/x", (401, Some("Authorization"))),
        ("subject=/b&subject=/c,/d/**/e", (400, Some("subject"))),
        (&format!("subject={}", many(SUBSCRIPTIONS_MAX - 1)), (400, Some("subject"))),
        (&format!("subject={wide}"), (400, Some("subject"))),
    ] {
        assert_eq!(doors.add(id, query), Err(refusal), "{query}");
        assert_eq!((doors.subscriptions(), presence_at(&mut doors)), (2, vec![]), "{query}");
        assert_eq!(doors.heard(stream, &["/a", "/b", "/c", "/n/0", "/1/2/3/0"]), [0, 1], "{query}");
        // P-30: the wish of `/b` is what it was, though the request had another.
        assert_eq!(doors.heard(stream, &["/b"; 6]), [3, 4, 5], "{query}");
    }
    for (query, refusal) in [
        ("subject=/a,/c", (404, Some("subject"))),
        ("subject=/a&subject=/c", (404, Some("subject"))),
        ("subject=", (400, Some("subject"))),
        ("subject=,", (400, Some("subject"))),
        ("subject=/a/", (404, Some("subject"))),
        ("subject=/*", (404, Some("subject"))),
    ] {
        assert_eq!(doors.remove(id, query), Err(refusal), "{query}");
        assert_eq!((doors.subscriptions(), presence_at(&mut doors)), (2, vec![]), "{query}");
        assert_eq!(doors.heard(stream, &["/a", "/b", "/c"]), [0, 1], "{query}");
    }
    assert_eq!(doors.add(id, &format!("subject={}", many(SUBSCRIPTIONS_MAX - 2))), Ok(()), "just so many");
    let one_more = doors.ask(amendment(&format!("session={id}&subject=/more"), true));
    let problem = doors.reply(one_more).problem.clone().expect("a problem");
    assert_eq!((problem.status, problem.limit), (400, Some(SUBSCRIPTIONS_MAX as u64)));
}

/// P-30: asked for again, a subscription has another wish, also where there is room for no other; it keeps its place.
#[test]
fn a_wish_is_changed() {
    let mut doors = Doors::new(Settings::default());
    let rest: Vec<String> = (2..SUBSCRIPTIONS_MAX).map(|number| format!("/n/{number}")).collect();
    let (id, stream) = doors.sse(&format!("subject=/a&subject=/*/*/*/x&subject={}", rest.join(",")));
    assert_eq!(doors.subscriptions(), SUBSCRIPTIONS_MAX);
    assert_eq!(doors.heard(stream, &["/a"; 4]), [0, 1, 2, 3]);
    for (wish, heard) in [
        ("queue=2", &[2, 3][..]),
        ("queue=1&conflate=true", &[3]),
        ("queue=3&conflate=false", &[1, 2, 3]),
        ("", &[0, 1, 2, 3]),
    ] {
        assert_eq!(doors.add(id, &format!("{wish}&subject=/a")), Ok(()), "{wish}");
        assert_eq!((doors.heard(stream, &["/a"; 4]), doors.subscriptions()), (heard.to_vec(), SUBSCRIPTIONS_MAX));
    }
    assert_eq!(doors.world.session(id).subscriptions.get("s1").map(|first| first.list().to_owned()), Some("/a".into()));
    // Of several wishes in one request the last counts, also for what it adds.
    assert_eq!(doors.remove(id, "subject=/n/2"), Ok(()));
    assert_eq!(doors.add(id, "subject=/b&queue=1&subject=/b&queue=2&subject=/a&queue=1&subject=/a&queue=2"), Ok(()));
    assert_eq!(doors.subscriptions(), SUBSCRIPTIONS_MAX);
    assert_eq!(doors.heard(stream, &["/b", "/b", "/b", "/a", "/a", "/a"]), [1, 2, 4, 5]);
    // What waits already waits on, and counts for nobody's wish.
    doors.put("/b", 70);
    assert_eq!(doors.world.session(id).outbox.len(), 1);
    assert_eq!(doors.add(id, "subject=/b&queue=1"), Ok(()));
    assert_eq!(doors.heard(stream, &["/b", "/b"]), [1]);
}

/// What was asked for twice, or in a list that shares a queue, goes as it came.
#[test]
fn what_was_asked_for_is_taken_back() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a&subject=/a&subject=/b,/c&queue=5");
    assert_eq!(doors.remove(id, "subject=/b"), Err((404, Some("subject"))), "it shares its queue");
    assert_eq!(doors.remove(id, "subject=/a&subject=/b,/c"), Ok(()));
    assert_eq!((doors.subscriptions(), doors.heard(stream, &["/a", "/b", "/c"])), (0, vec![]));
    let (id, _) = doors.sse("subject=/a&subject=/b&subject=/b");
    assert_eq!(doors.remove(id, "subject=/b,/a,/b&subject=/a"), Ok(()));
    assert_eq!(doors.subscriptions(), 0);
}

/// Whoever begins to be interested in a subject joins there, and whoever has no interest in it any more leaves.
#[test]
fn presence_follows() {
    let presence = Arc::from([Pattern::new("/rooms/*").expect("a pattern")]);
    let mut doors = Doors::new(Settings { presence, ..Settings::default() });
    let (id, _) = doors.sse("subject=/rooms/1");
    assert_eq!(presence_at(&mut doors), [("/rooms/1".to_owned(), 1)]);
    assert_eq!(doors.add(id, "subject=/rooms/2,/rooms/1,/halls/1,/rooms/*"), Ok(()));
    assert_eq!(presence_at(&mut doors), [("/rooms/2".to_owned(), 1)]);
    assert_eq!(doors.add(id, "subject=/rooms/2&queue=1"), Ok(()), "a wish");
    assert!(presence_at(&mut doors).is_empty());
    assert_eq!(doors.remove(id, "subject=/rooms/1,/rooms/*"), Ok(()));
    assert_eq!(presence_at(&mut doors), [("/rooms/1".to_owned(), -1)]);
    doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(id) });
    assert_eq!(presence_at(&mut doors), [("/rooms/2".to_owned(), -1)]);
}

/// P-7: what a session may hear is what its key may, or the key of the request, which it has from then on.
#[test]
fn access_is_the_sessions_or_the_requests() {
    let rule = |subject, subscribe| Rule {
        subject: Pattern::new(subject).expect("a pattern"),
        publish: Who::Anyone,
        subscribe,
    };
    let rules = vec![rule("/staff/**", Who::holders([STAFF])), rule("/closed/**", Who::nobody())];
    let access = Arc::new(Access::new(rules, [STAFF, OTHER], false));
    let mut doors = Doors::new(Settings { access, ..Settings::default() });
    let (own, _) = doors.sse_as(STAFF, "subject=/a");
    assert_eq!(doors.add(own, "subject=/staff/x"), Ok(()), "it has shown its key");
    assert_eq!(doors.add(own, "subject=/closed/x"), Err((403, Some("subject"))));
    let (id, stream) = doors.sse("subject=/a");
    let query = format!("session={id}&subject=/staff/x");
    assert_eq!(doors.amend_as(OTHER, &query, true), Err((403, Some("subject"))));
    assert_eq!(doors.amend_as(STAFF, &query, true), Ok(()));
    assert_eq!(doors.heard(stream, &["/staff/x", "/staff/y"]), [0]);
    // It may take back what it has, whoever asks.
    assert_eq!(doors.remove(id, "subject=/staff/x"), Ok(()));
}

#[test]
fn the_session_is_one_of_these_doors() {
    let mut doors = Doors::new(Settings::default());
    let (id, stream) = doors.sse("subject=/a");
    for (query, refusal) in [
        ("subject=/a&session=nobody", (404, Some("session"))),
        ("subject=/a&session=", (404, Some("session"))),
        (&format!("subject=/a&session={}", SessionId::new(id.shard(), 77)), (404, Some("session"))),
    ] {
        for add in [true, false] {
            assert_eq!(doors.amend_as(Identity::NOBODY, query, add), Err(refusal), "{query}");
        }
    }
    assert!(doors.world.broker.counters().ids_unknown >= 2);
    for (query, field) in [
        ("subject=/a", "session"),
        ("session=x", "subject"),
        ("session=x&subject=/a&queue=0", "queue"),
        ("session=x&subject=/a&conflate=7", "conflate"),
    ] {
        let problem = v1::amendment(&Query::read(query.as_bytes()).expect("a query"), true).expect_err(query);
        assert_eq!((problem.status, problem.field), (400, Some(field)), "{query}");
    }
    let (pull, _) = doors.world.listen(Mode::Pull);
    doors.settle();
    let before = doors.subscriptions();
    assert_eq!(doors.add(pull, "subject=/a"), Err((400, Some("session"))));
    assert_eq!(doors.remove(pull, "subject=/s"), Err((400, Some("session"))));
    assert_eq!(doors.subscriptions(), before);

    // P-19: what a session of these doors has by the Pushlet door are prefixes, and no business of this one.
    let prefix = Command::Subscribe { id: ClaimedId::WellFormed(id), subject: Some(Box::from("/p")), label: None };
    assert_eq!(doors.pushlet(prefix)[0]["p_event"], "subscribe-ack");
    assert_eq!(doors.remove(id, "subject=/p"), Err((404, Some("subject"))));
    assert_eq!(doors.add(id, "subject=/p"), Ok(()));
    assert_eq!(doors.remove(id, "subject=/p"), Ok(()));
    assert_eq!(doors.heard(stream, &["/p", "/pq"]), [0, 1]);

    doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(id) });
    assert_eq!(doors.add(id, "subject=/a"), Err((404, Some("session"))));
    let (id, _) = doors.sse("subject=/a");
    doors.world.broker.handle_shutdown(doors.world.now);
    doors.settle();
    assert_eq!(doors.add(id, "subject=/b"), Err((503, None)));
}

/// P-28: to change what it hears is use of a session.
#[test]
fn it_renews_the_lease() {
    let mut doors = Doors::new(Settings { session_timeout_ms: 5_000, ..Settings::default() });
    let (id, _) = doors.poll("subject=/a");
    for round in 0..4 {
        doors.pass(4_000);
        let query = format!("subject=/r/{round}");
        assert_eq!(doors.add(id, &query), Ok(()));
    }
    doors.pass(5_200);
    assert_eq!(doors.add(id, "subject=/b"), Err((404, Some("session"))));
    doors.assert_nothing_left();
}

/// A heartbeat that programs see, for an event stream as well; its name is nobody else's.
#[test]
fn an_event_stream_may_see_its_heartbeats() {
    let mut doors = Doors::new(Settings { heartbeat_ms: 1_000, ..Settings::default() });
    let (_, seen) = doors.sse("subject=/a&heartbeat=event");
    let (_, quiet) = doors.sse("subject=/a&heartbeat=comment");
    doors.pass(1_000);
    assert_eq!(doors.told(seen), [("heartbeat".to_owned(), json!({}))]);
    assert!(comments(&doors.reply(seen).text).is_empty());
    assert_eq!((doors.told(quiet).len(), comments(&doors.reply(quiet).text)), (0, vec!["hb"]));
    let name = v1::read(v1::Body::Json, &Query::default(), None, br#"{"subject":"/a","data":1,"event":"heartbeat"}"#);
    let (items, _) = name.expect("a body");
    assert_eq!(items[0].as_ref().map_err(|problem| problem.field), Err(Some("event")));
}
