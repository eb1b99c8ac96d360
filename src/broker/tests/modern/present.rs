//! Presence on one core: who counts, and what a tick tells. Several cores are in `broker/hub/tests`.

use super::*;
use crate::broker::PresenceChange;

fn told_of(patterns: &[&str]) -> Settings {
    let presence = patterns.iter().map(|text| Pattern::new(text).expect("a pattern")).collect();
    Settings { presence, ..Settings::default() }
}

fn changes(doors: &mut Doors) -> Vec<(String, i64)> {
    let mut told = doors.world.broker.take_presence_changes(usize::MAX);
    // Which of them comes first is nobody's promise.
    told.sort_by(|one, other| one.subject.cmp(&other.subject));
    told.into_iter().map(|PresenceChange { subject, change }| (subject.into_string(), change)).collect()
}

fn change(subject: &str, change: i64) -> (String, i64) {
    (subject.to_owned(), change)
}

fn subscribe(doors: &mut Doors, id: SessionId, list: &str) {
    let command = Command::Subscribe { id: ClaimedId::WellFormed(id), subject: Some(Box::from(list)), label: None };
    assert_eq!(doors.pushlet(command)[0]["p_event"], "subscribe-ack");
}

/// Who subscribes to a subject by name and listens is there, once, whatever doors and syntaxes it does it by; who leaves is not.
#[test]
fn sessions_are_counted_once() {
    let mut doors = Doors::new(told_of(&["/rooms/*"]));
    let (id, stream) = doors.sse("subject=/rooms/1,/rooms/2&subject=/rooms/1");
    subscribe(&mut doors, id, "/rooms/1");
    assert_eq!(changes(&mut doors), [change("/rooms/1", 1), change("/rooms/2", 1)]);
    let (poll, _) = doors.poll("subject=/rooms/1");
    let (pull, _) = doors.world.listen(Mode::Pull);
    doors.settle();
    subscribe(&mut doors, pull, "/rooms/1");
    assert_eq!(changes(&mut doors), [change("/rooms/1", 2)]);
    // Wildcards, broader prefixes and other subjects are nobody's presence.
    doors.sse("subject=/rooms/*,/rooms/**,**,/halls/1");
    subscribe(&mut doors, pull, "/rooms/,/rooms/1/2,/rooms");
    assert!(changes(&mut doors).is_empty());
    // One of two subscriptions goes, and the other one is still there.
    let gone = Command::Unsubscribe { id: ClaimedId::WellFormed(id), sid: Some(Box::from("s3")) };
    assert_eq!(doors.pushlet(gone)[0]["p_event"], "unsubscribe-ack");
    assert!(changes(&mut doors).is_empty());
    let key = doors.world.broker.sessions.by_id(id).expect("it lives");
    doors.world.broker.handle_disconnect(doors.world.now, key, stream);
    doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(poll) });
    doors.pushlet(Command::Unsubscribe { id: ClaimedId::WellFormed(pull), sid: None });
    assert_eq!(changes(&mut doors), [change("/rooms/1", -3), change("/rooms/2", -1)]);
}

/// P-25: who has never listened is not there yet.
#[test]
fn a_session_is_there_from_its_listen_on() {
    let mut doors = Doors::new(told_of(&["/rooms/*"]));
    doors.pushlet(Command::Join { format: FormatName::Known(Format::Json) });
    let id = doors.world.newest();
    subscribe(&mut doors, id, "/rooms/1");
    assert!(changes(&mut doors).is_empty());
    for _ in 0..2 {
        let listen = Listen { mode: ModeName::Known(Mode::Poll), ..Listen::default() };
        doors.pushlet(Command::Listen { id: ClaimedId::WellFormed(id), listen });
    }
    assert_eq!(changes(&mut doors), [change("/rooms/1", 1)]);
    // P-28: its lease ends, and it is gone.
    doors.pass(301_000);
    assert_eq!(changes(&mut doors), [change("/rooms/1", -1)]);
}

/// A crowd that comes between two ticks is one change, and who comes and goes at once is none.
#[test]
fn a_crowd_is_one_change() {
    let mut doors = Doors::new(told_of(&["/rooms/*"]));
    let ids: Vec<SessionId> = (0..20).map(|_| doors.sse("subject=/rooms/1").0).collect();
    let (gone, _) = doors.sse("subject=/rooms/2");
    doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(gone) });
    assert_eq!(changes(&mut doors), [change("/rooms/1", 20)]);
    ids.iter().take(5).for_each(|id| drop(doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(*id) })));
    assert_eq!(changes(&mut doors), [change("/rooms/1", -5)]);
    // P-32
    doors.world.broker.handle_shutdown(doors.world.now);
    assert_eq!(changes(&mut doors), [change("/rooms/1", -15)]);
}

/// A session that is refused has never been there.
#[test]
fn who_is_refused_was_never_there() {
    let mut doors = Doors::new(told_of(&["/rooms/*"]));
    let (_, refused) = doors.sse("subject=/rooms/1&subject=/a*");
    assert!(doors.reply(refused).problem.is_some());
    let listen = Listen { subject: Some(Box::from("/rooms/1")), queue: Some(Box::from("0")), ..Listen::default() };
    doors.pushlet(Command::JoinListen { format: FormatName::Known(Format::Json), listen });
    assert!(changes(&mut doors).is_empty());
}

/// HUP: who is at a subject that is told of from now on comes, and who is at one that is told of no longer goes.
#[test]
fn other_subjects_may_be_told_of() {
    let mut doors = Doors::new(told_of(&["/rooms/*"]));
    let (id, _) = doors.sse("subject=/rooms/1,/halls/1");
    doors.sse("subject=/halls/1");
    changes(&mut doors);
    doors.world.broker.handle_settings(told_of(&["/halls/*", "/halls/1"]));
    assert_eq!(changes(&mut doors), [change("/halls/1", 2), change("/rooms/1", -1)]);
    doors.world.broker.handle_settings(told_of(&["/**"]));
    assert_eq!(changes(&mut doors), [change("/rooms/1", 1)]);
    doors.pushlet(Command::Leave { id: ClaimedId::WellFormed(id) });
    doors.world.broker.handle_settings(Settings::default());
    assert_eq!(changes(&mut doors), [change("/halls/1", -2), change("/rooms/1", -1)]);
    doors.sse("subject=/halls/1");
    assert!(changes(&mut doors).is_empty());
}
