//! Who may publish and subscribe, at every door, and what reaches a session that has subscribed to more than it may see.

use serde_json::json;

use super::*;
use crate::auth::{Rule, Who};

const NOBODY: Identity = Identity::NOBODY;
const BACKEND: Identity = Identity::from_number(1);
const STAFF: Identity = Identity::from_number(2);

fn rule(subject: &str, publish: Who, subscribe: Who) -> Rule {
    Rule { subject: Pattern::new(subject).expect("a pattern"), publish, subscribe }
}

/// News are for all and made by one key, staff is for itself, `/closed` is for nobody; elsewhere who publishes needs any key.
fn ruled(rules: Vec<Rule>) -> Settings {
    Settings { access: Arc::new(Access::new(rules, [BACKEND, STAFF], false)), ..Settings::default() }
}

fn rules() -> Vec<Rule> {
    vec![
        rule("/news/**", Who::holders([BACKEND]), Who::Anyone),
        rule("/staff/**", Who::holders([BACKEND, STAFF]), Who::holders([STAFF])),
        rule("/closed/**", Who::nobody(), Who::nobody()),
    ]
}

/// Subject, and for nobody in particular, backend and staff whether they may publish (or why not), then the same for subscribing.
const TABLE: [(&str, [u16; 3], [u16; 3]); 5] = [
    ("/news/a", [401, 202, 403], [200, 200, 200]),
    ("/staff/a", [401, 202, 202], [401, 403, 200]),
    ("/closed/a", [403, 403, 403], [403, 403, 403]),
    ("/else", [401, 202, 202], [200, 200, 200]),
    ("$presence/staff/a", [403, 403, 403], [401, 403, 200]),
];

/// A session of the Pushlet door that has joined with a key.
fn join(doors: &mut Doors, identity: Identity) -> SessionId {
    let ack = doors.pushlet_as(identity, Command::Join { format: FormatName::Known(Format::Json) });
    assert_eq!(ack[0]["p_event"], "join-ack");
    doors.world.newest()
}

fn listening_to(list: &str) -> Listen {
    Listen { mode: ModeName::Known(Mode::Poll), subject: Some(Box::from(list)), ..Listen::default() }
}

fn publishing(id: SessionId, subject: &str) -> Command {
    let (id, fields) = (ClaimedId::WellFormed(id), [("x", "1")].into_iter().collect());
    Command::Publish { id, subject: Some(Box::from(subject)), to: None, fields }
}

/// What the Pushlet door answers: an ack, or a nack whose reason says which kind of refusal it is.
fn answered(events: &[Value]) -> u16 {
    let (event, reason) = (&events[0]["p_event"], events[0]["p_reason"].as_str().unwrap_or_default());
    match reason {
        "" if event.as_str().is_some_and(|event| event.ends_with("-ack")) => 200,
        _ if reason.contains("needs a key") => 401,
        _ if reason.contains("may not") || reason.contains("nobody may") || reason.contains("server's own") => 403,
        _ => panic!("{events:?}"),
    }
}

/// P-7: every rule at every door: the same decision, as a nack or as a problem.
#[test]
fn rules_hold_at_all_doors() {
    for (subject, publish, subscribe) in TABLE {
        for (at, identity) in [NOBODY, BACKEND, STAFF].into_iter().enumerate() {
            let mut doors = Doors::new(ruled(rules()));
            let shown = format!("{subject} {identity:?}");
            let id = join(&mut doors, identity);
            // The Pushlet door: the key came with the join, and no later request has one.
            let due = if publish[at] == 202 { 200 } else { publish[at] };
            assert_eq!(answered(&doors.pushlet(publishing(id, subject))), due, "publish {shown}");
            let claimed = || ClaimedId::WellFormed(id);
            let denied_before = doors.world.broker.counters().denied;
            let command = Command::Subscribe { id: claimed(), subject: Some(Box::from(subject)), label: None };
            assert_eq!(answered(&doors.pushlet(command)), subscribe[at], "subscribe {shown}");
            let listed = format!("/else,{subject}");
            let command = Command::Listen { id: claimed(), listen: listening_to(&listed) };
            assert_eq!(answered(&doors.pushlet(command)), subscribe[at], "listen {shown}");
            let sessions = doors.world.broker.session_count();
            let format = FormatName::Known(Format::Json);
            let command = Command::JoinListen { format, listen: listening_to(subject) };
            assert_eq!(answered(&doors.pushlet_as(identity, command)), subscribe[at], "join-listen {shown}");
            let joined = usize::from(subscribe[at] == 200);
            assert_eq!(doors.world.broker.session_count(), sessions + joined, "a refused join leaves no session");
            let denied = doors.world.broker.counters().denied - denied_before;
            assert_eq!(denied, if subscribe[at] == 200 { 0 } else { 3 }, "counted, {shown}");

            for door in [Door::EventStream, Door::LongPoll] {
                let before = (doors.world.broker.session_count(), doors.world.broker.subscription_count());
                let token = doors.ask_as(identity, open(door, &format!("subject=/else&subject=/else,{subject}")));
                let problem = doors.reply(token).problem.clone();
                assert_eq!(problem.as_ref().map_or(200, |problem| problem.status), subscribe[at], "{door:?} {shown}");
                if let Some(problem) = problem {
                    let field = if problem.status == 401 { "Authorization" } else { "subject" };
                    assert_eq!(problem.field, Some(field), "{shown}");
                    let after = (doors.world.broker.session_count(), doors.world.broker.subscription_count());
                    assert_eq!(after, before, "a refused session leaves nothing");
                }
            }
            let one = format!(r#"{{"subject":"{subject}","data":1}}"#);
            let posted = doors.publish_as(identity, &one).posted.expect("an answer");
            let problem = posted.outcomes[0].problem.as_ref();
            assert_eq!(problem.map_or(202, |problem| problem.status), publish[at], "post {shown}");
        }
    }
}

/// A batch tells of each item, and what may be published is.
#[test]
fn a_refused_item_stops_no_other() {
    let mut doors = Doors::new(ruled(rules()));
    let (_, stream) = doors.sse("subject=/news/**,/else");
    let body = r#"[{"subject":"/news/a","data":1},{"subject":"/closed/a","data":2},7,{"subjects":["/closed/b","/else"],"data":3},{"subject":"$x","data":4}]"#;
    let posted = doors.publish_as(BACKEND, body).posted.expect("an answer");
    assert_eq!((posted.accepted(), posted.refused()), (2, 4));
    let statuses: Vec<Option<u16>> =
        posted.outcomes.iter().map(|outcome| outcome.problem.as_ref().map(|problem| problem.status)).collect();
    assert_eq!(statuses, [None, Some(403), Some(400), Some(403), Some(403)]);
    assert_eq!((posted.outcomes[3].accepted, posted.outcomes[3].refused), (1, 1));
    assert_eq!(doors.data(stream), [json!(1), json!(3)]);
    assert_eq!(doors.world.broker.counters.items_refused, 4);
}

/// Whatever prefix or wildcard covers a subject: its events reach who may subscribe to it, and nobody else, by any way.
#[test]
fn a_broad_subscription_brings_only_what_may_be_seen() {
    let mut doors = Doors::new(ruled(rules()));
    let mut polls: Vec<[SessionId; 3]> = Vec::new();
    for identity in [NOBODY, BACKEND, STAFF] {
        let pull = join(&mut doors, identity);
        let listen = Command::Listen { id: ClaimedId::WellFormed(pull), listen: listening_to("/,$presence/") };
        assert_eq!(answered(&doors.pushlet(listen)), 200);
        let (star, _) = doors.poll_as(identity, "subject=**,$presence/**");
        let (stars, _) = doors.poll_as(identity, "subject=/*/*,$presence/*/*&subject=/else");
        polls.push([pull, star, stars]);
    }
    for (subject, seen) in [
        ("/news/a", [1, 1, 1]),
        ("/staff/a", [0, 0, 1]),
        ("/closed/a", [0, 0, 0]),
        ("/else", [1, 1, 1]),
        ("$presence/staff/a", [0, 0, 1]),
        ("$presence/news/a", [1, 1, 1]),
    ] {
        // The server's own program may publish everywhere: what it says is not for everybody either.
        let before = queued(&doors, &polls);
        doors.put(subject, 1);
        let after = queued(&doors, &polls);
        for (at, due) in seen.into_iter().enumerate() {
            let came: Vec<usize> = after[at].iter().zip(&before[at]).map(|(after, before)| after - before).collect();
            assert_eq!(came, [due; 3], "{subject}, who number {at}");
        }
        // P-23: the same for an event that is for one session.
        for (at, due) in seen.into_iter().enumerate() {
            let (to, before) = (polls[at][1], doors.world.session(polls[at][1]).outbox.len());
            let address = Audience::One(Box::from(doors.world.session(to).address.to_string()));
            doors.world.broker.handle_event(doors.world.now, &event(subject, &[]), &address);
            assert_eq!(doors.world.session(to).outbox.len() - before, due, "{subject} for one, who number {at}");
        }
    }
}

fn queued(doors: &Doors, sessions: &[[SessionId; 3]]) -> Vec<[usize; 3]> {
    sessions.iter().map(|ids| ids.map(|id| doors.world.session(id).outbox.len())).collect()
}

/// A session is who its latest known key says: old clients present it with their join only, others later, and one that nobody knows takes
/// nothing away.
#[test]
fn a_key_may_come_later() {
    let mut doors = Doors::new(ruled(rules()));
    let id = join(&mut doors, NOBODY);
    let claimed = || ClaimedId::WellFormed(id);
    doors.pushlet(Command::Listen { id: claimed(), listen: listening_to("/") });
    doors.put("/staff/a", 1);
    assert_eq!(doors.world.session(id).outbox.len(), 0);
    assert_eq!(answered(&doors.pushlet(publishing(id, "/else"))), 401);
    doors.pushlet_as(STAFF, Command::Heartbeat { id: claimed() });
    doors.put("/staff/a", 2);
    assert_eq!(doors.world.session(id).outbox.len(), 1);
    assert_eq!(answered(&doors.pushlet(publishing(id, "/else"))), 200);
    for presented in [NOBODY, Identity::UNKNOWN] {
        doors.pushlet_as(presented, Command::Heartbeat { id: claimed() });
        assert_eq!(doors.world.session(id).identity, STAFF);
    }
    doors.pushlet_as(BACKEND, Command::Heartbeat { id: claimed() });
    doors.put("/staff/a", 3);
    assert_eq!(doors.world.session(id).identity, BACKEND);

    // The same at /v1/poll.
    let (id, _) = doors.poll("subject=**");
    doors.put("/staff/a", 4);
    let nothing = doors.next(id, "&wait=0");
    assert_eq!(doors.polled(nothing)["events"], json!([]));
    let keyed = doors.poll_as(STAFF, &format!("session={id}&wait=0")).1;
    assert_eq!(doors.polled(keyed)["events"], json!([]));
    doors.put("/staff/a", 5);
    let seen = doors.next(id, "&wait=0");
    assert_eq!(doors.polled(seen)["events"][0]["data"], 5);
}

/// HUP: other rules hold from the next event and the next request on, for sessions that are there already, too.
#[test]
fn other_rules_hold_for_living_sessions() {
    let mut doors = Doors::new(ruled(rules()));
    let (_, stream) = doors.sse_as(STAFF, "subject=/staff/a,/news/a");
    let (_, broad) = doors.sse("subject=**");
    doors.publish_as(BACKEND, r#"[{"subject":"/staff/a","data":1},{"subject":"/news/a","data":2}]"#);
    doors.world.broker.handle_settings(ruled(vec![
        rule("/news/**", Who::Anyone, Who::holders([BACKEND])),
        rule("/staff/**", Who::nobody(), Who::Anyone),
    ]));
    assert_eq!(doors.publish_as(BACKEND, r#"{"subject":"/staff/a","data":3}"#).posted.map(|p| p.accepted()), Some(0));
    doors.put("/staff/a", 4);
    doors.publish(r#"{"subject":"/news/a","data":5}"#);
    doors.settle();
    assert_eq!(doors.data(stream), [json!(1), json!(2), json!(4)]);
    assert_eq!(doors.data(broad), [json!(2), json!(4)]);
    doors.world.broker.handle_settings(Settings::default());
    doors.publish(r#"[{"subject":"/staff/a","data":6},{"subject":"/news/a","data":7}]"#);
    assert_eq!(doors.data(stream).len(), 5);
    assert_eq!(doors.data(broad).len(), 4);
}
