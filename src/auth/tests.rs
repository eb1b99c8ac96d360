//! Rules by identities by actions, and the ring of keys.

use proptest::prelude::*;

use super::{Access, Action, Denied, Identity, Keyring, Names, Rule, UnknownKey, Who};
use crate::limits::{ECHO_CHARS_MAX, SECRET_BYTES_RANGE};
use crate::topic::Pattern;

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("a good pattern")
}

fn rule(subject: &str, publish: Who, subscribe: Who) -> Rule {
    Rule { subject: pattern(subject), publish, subscribe }
}

fn two() -> (Identity, Identity) {
    let mut names = Names::default();
    (names.identity("backend"), names.identity("staff"))
}

/// News are for all and made by one key, staff is for itself, nobody may do anything below `/closed`, and the rest is left to the default.
fn some_rules(loopback: bool) -> Access {
    let (backend, staff) = two();
    let rules = vec![
        rule("/news/secret", Who::holders([backend]), Who::holders([staff])),
        rule("/news/**", Who::holders([backend]), Who::Anyone),
        rule("/staff/*", Who::holders([staff, backend]), Who::holders([staff])),
        rule("/closed/**", Who::nobody(), Who::nobody()),
        rule("$server/**", Who::nobody(), Who::holders([backend])),
    ];
    Access::new(rules, [backend, staff], loopback)
}

const YES: u16 = 200;

fn status(access: &Access, identity: Identity, action: Action, subject: &str) -> u16 {
    access.may(identity, action, subject).map_or_else(|denied| denied.status, |()| YES)
}

/// Subject, then publish and subscribe, each for nobody in particular, backend, and staff.
const TABLE: [(&str, [u16; 3], [u16; 3]); 13] = [
    ("/news/a", [401, YES, 403], [YES, YES, YES]),
    ("/news/a/b", [401, YES, 403], [YES, YES, YES]),
    ("/news/secret", [401, YES, 403], [401, 403, YES]),
    ("/news", [401, YES, YES], [YES, YES, YES]),
    ("/staff/1", [401, YES, YES], [401, 403, YES]),
    ("/staff/1/2", [401, YES, YES], [YES, YES, YES]),
    ("/closed/x", [403, 403, 403], [403, 403, 403]),
    ("/else", [401, YES, YES], [YES, YES, YES]),
    // Patterns and prefixes are looked up as if they were subjects.
    ("/staff/*", [401, YES, YES], [401, 403, YES]),
    ("/staff/", [401, YES, YES], [YES, YES, YES]),
    ("$server/figures", [403, 403, 403], [401, YES, 403]),
    // What is known of a room is for those who may be in it.
    ("$presence/staff/1", [401, YES, YES], [401, 403, YES]),
    ("$presence/news/a", [401, YES, YES], [YES, YES, YES]),
];

#[test]
fn rules_by_identities_by_actions() {
    let access = some_rules(false);
    let (backend, staff) = two();
    let who = [Identity::NOBODY, backend, staff];
    for (subject, publish, subscribe) in TABLE {
        assert_eq!(who.map(|one| status(&access, one, Action::Publish, subject)), publish, "publish {subject}");
        assert_eq!(who.map(|one| status(&access, one, Action::Subscribe, subject)), subscribe, "subscribe {subject}");
    }
}

#[test]
fn the_first_rule_decides() {
    let (backend, _) = two();
    let open = rule("/a/*", Who::Anyone, Who::Anyone);
    let shut = rule("/a/**", Who::nobody(), Who::nobody());
    let access = |rules: &[&Rule]| Access::new(rules.iter().copied().cloned().collect(), [backend], true);
    let may = |access: &Access, subject: &str| status(access, backend, Action::Subscribe, subject);
    let (narrow_first, wide_first) = (access(&[&open, &shut]), access(&[&shut, &open]));
    assert_eq!([may(&narrow_first, "/a/b"), may(&narrow_first, "/a/b/c")], [YES, 403]);
    assert_eq!([may(&wide_first, "/a/b"), may(&wide_first, "/a/b/c")], [403, 403]);
}

/// Where no rule decides, publishing is for who holds a key, unless only this machine can come.
#[test]
fn the_default_depends_on_who_can_reach_the_server() {
    let (backend, staff) = two();
    let gone = Names::default().identity("x");
    assert_eq!(gone, backend, "identities are numbers of one process");
    let mut names = Names::default();
    let all: Vec<Identity> = ["a", "b", "c"].map(|name| names.identity(name)).to_vec();
    let keyed = Access::new(Vec::new(), [backend, staff], false);
    let publish = |access: &Access, who| status(access, who, Action::Publish, "/a");
    assert_eq!([publish(&keyed, Identity::NOBODY), publish(&keyed, backend), publish(&keyed, staff)], [401, YES, YES]);
    // A session that joined by a key which is no longer there holds none.
    assert_eq!(publish(&keyed, all[2]), 403);
    let unkeyed = Access::new(Vec::new(), [], false);
    let denied = unkeyed.may(Identity::NOBODY, Action::Publish, "/a").expect_err("nobody holds a key");
    assert_eq!(
        (denied.status, denied.to_string().as_str()),
        (403, "publishing to /a needs a key, and this server has none yet")
    );
    let local = Access::new(Vec::new(), [backend], true);
    for access in [&local, &Access::default()] {
        assert_eq!(publish(access, Identity::NOBODY), YES);
        assert!(access.is_open_by_default());
    }
    for access in [&keyed, &unkeyed, &local] {
        assert_eq!(status(access, Identity::NOBODY, Action::Subscribe, "/a"), YES);
        assert!(access.is_open_to_read() && access.readers("/a").is_anyone());
    }
}

#[test]
fn a_refusal_says_what_is_missing_and_nothing_else() {
    let access = some_rules(false);
    let (backend, staff) = two();
    let told = |who, action, subject: &str| access.may(who, action, subject).expect_err("denied").to_string();
    assert_eq!(
        told(Identity::NOBODY, Action::Publish, "/news/a"),
        "publishing to /news/a needs a key: Authorization: Bearer KEY, or the query parameter key (p_key at the Pushlet door)"
    );
    assert_eq!(
        told(Identity::NOBODY, Action::Subscribe, "/staff/1"),
        "subscribing to /staff/1 needs a key: Authorization: Bearer KEY, or the query parameter key (p_key at the Pushlet door)"
    );
    assert_eq!(told(staff, Action::Publish, "/news/a"), "the key that was presented may not publish to /news/a");
    assert_eq!(told(backend, Action::Subscribe, "/closed/a"), "nobody may subscribe to /closed/a");
    // It is the room that may not be known, so it is the room that is named.
    assert_eq!(
        told(backend, Action::Subscribe, "$presence/staff/1"),
        "the key that was presented may not subscribe to /staff/1"
    );
    let long = format!("/closed/\n{}", "ä".repeat(200));
    let reason = told(backend, Action::Publish, &long);
    assert!(reason.contains("/closed/\u{fffd}ä") && !reason.contains('\n'), "{reason}");
    assert_eq!(reason.chars().count(), "nobody may publish to ".len() + ECHO_CHARS_MAX);
}

#[test]
fn an_unknown_key_is_told_to_come_with_another() {
    let denied = Denied::from(UnknownKey);
    assert_eq!((denied.status, denied.reason.as_str()), (401, "the key that was presented is not known here"));
}

/// Old and new secrets of a key stand for the same holder, and one that was taken out for nobody.
#[test]
fn secrets_are_changed_one_behind_the_other() {
    let (backend, staff) = two();
    let ring = |secrets: &[(Identity, &'static str)]| {
        Keyring::new(secrets.iter().map(|(identity, secret)| (*identity, secret.as_bytes())))
    };
    let (old, new, other) = ("old-secret-of-backend", "new-secret-of-backend", "a-secret-of-the-staff");
    let before = ring(&[(backend, old), (staff, other)]);
    let between = ring(&[(backend, old), (backend, new), (staff, other)]);
    let after = ring(&[(backend, new), (staff, other)]);
    let find = |ring: &Keyring, secret: &str| ring.find(secret.as_bytes()).ok();
    assert_eq!([old, new, other].map(|secret| find(&before, secret)), [Some(backend), None, Some(staff)]);
    assert_eq!([old, new, other].map(|secret| find(&between, secret)), [Some(backend), Some(backend), Some(staff)]);
    assert_eq!([old, new, other].map(|secret| find(&after, secret)), [None, Some(backend), Some(staff)]);
    for wrong in
        ["", "old-secret-of-backen", "old-secret-of-backend ", "OLD-SECRET-OF-BACKEND", "old-secret-of-backend\0"]
    {
        assert_eq!(find(&between, wrong), None, "{wrong:?}");
    }
    let long = vec![b'x'; SECRET_BYTES_RANGE.1 + 1];
    let longest = &long[1..];
    let ring = Keyring::new([(backend, longest), (staff, long.as_slice())]);
    assert_eq!((ring.find(longest), ring.find(&long)), (Ok(backend), Err(UnknownKey)));
}

#[test]
fn a_request_presents_its_key_in_one_of_two_places() {
    let (backend, staff) = two();
    let ring = Keyring::new([(backend, b"secret-of-backend".as_slice()), (staff, b"secret-of-the-staff")]);
    for (authorization, parameter, due) in [
        (None, None, Ok(Identity::NOBODY)),
        (Some("Bearer secret-of-backend"), None, Ok(backend)),
        (Some("bEARER  secret-of-backend "), None, Ok(backend)),
        (None, Some("secret-of-the-staff"), Ok(staff)),
        (Some("Bearer secret-of-backend"), Some("secret-of-the-staff"), Ok(backend)),
        (Some("Bearer nothing-of-the-kind"), Some("secret-of-the-staff"), Err(UnknownKey)),
        (Some("Basic dXNlcjpwYXNz"), Some("secret-of-the-staff"), Ok(staff)),
        (Some("Basic dXNlcjpwYXNz"), None, Ok(Identity::NOBODY)),
        (Some("Bearer"), None, Ok(Identity::NOBODY)),
        (Some("Bearer "), Some("secret-of-backend"), Ok(backend)),
        (Some(""), None, Ok(Identity::NOBODY)),
        (None, Some(""), Err(UnknownKey)),
        (None, Some("nothing-of-the-kind"), Err(UnknownKey)),
    ] {
        assert_eq!(ring.identify(authorization, parameter), due, "{authorization:?} {parameter:?}");
    }
    // Where there are no keys, `key` is a word like any other.
    assert_eq!(Keyring::default().identify(Some("Bearer x"), Some("value")), Ok(Identity::NOBODY));
}

#[test]
fn no_secret_is_printed() {
    let (backend, _) = two();
    let ring = Keyring::new([(backend, b"secret-of-backend".as_slice())]);
    assert_eq!(format!("{ring:?}"), "Keyring { secrets: 1, .. }");
}

/// A reload changes the order of keys, takes some away and brings others, and a session must stay who it is.
#[test]
fn a_name_keeps_its_identity() {
    let mut names = Names::default();
    let first = ["a", "b"].map(|name| names.identity(name));
    let second = ["c", "b", "a"].map(|name| names.identity(name));
    assert_eq!([second[2], second[1]], first);
    assert!(!first.contains(&second[0]) && !second.contains(&Identity::NOBODY));
    assert_eq!(second.map(|identity| names.name(identity)), [Some("c"), Some("b"), Some("a")]);
    assert_eq!(names.name(Identity::NOBODY), None);
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        Just(Who::Anyone),
        Just(Who::nobody()),
        prop::collection::vec(0_u32..6, 1..4)
            .prop_map(|numbers| Who::holders(numbers.into_iter().map(Identity::from_number))),
    ]
}

fn subject() -> impl Strategy<Value = String> {
    let root = prop_oneof![Just(""), Just("$presence"), Just("$server"), Just("x")];
    (root, prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just(""), Just("*")], 0..4))
        .prop_map(|(root, segments)| [root].into_iter().chain(segments).collect::<Vec<_>>().join("/"))
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let patterns =
        ["/a", "/*", "/a/*", "/**", "**", "*", "$presence/**", "$presence/a/*", "$server/**", "*/a", "/a/**"];
    prop::sample::select(patterns.to_vec()).prop_map(pattern)
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (any_pattern(), who(), who());
    prop::collection::vec(rule.prop_map(|(subject, publish, subscribe)| Rule { subject, publish, subscribe }), 0..6)
}

/// What the specification says, without any short way: `None` where nobody may ever.
fn reference(rules: &[Rule], identity: Identity, subject: &str) -> bool {
    let one = |subject: &str| match rules.iter().find(|rule| rule.subject.matches(subject)).map(|rule| &rule.subscribe)
    {
        None | Some(Who::Anyone) => true,
        Some(Who::Holders(holders)) => holders.contains(&identity),
    };
    one(subject) && subject.strip_prefix("$presence/").is_none_or(|rest| one(&format!("/{rest}")))
}

proptest! {
    /// What may be subscribed to is what is delivered, whoever asks and whatever the rules are.
    #[test]
    fn readers_are_those_who_may_subscribe(rules in rules(), subject in subject(), number in 0_u32..7, loopback: bool) {
        let identity = Identity::from_number(number);
        let access = Access::new(rules.clone(), (1..6).map(Identity::from_number), loopback);
        let readers = access.readers(&subject);
        let may = access.may(identity, Action::Subscribe, &subject);
        prop_assert_eq!(readers.has(identity), may.is_ok());
        prop_assert_eq!(may.is_ok(), reference(&rules, identity, &subject));
        prop_assert!(!readers.is_anyone() || readers.has(identity));
        prop_assert!(!access.is_open_to_read() || readers.is_anyone());
        if let Err(denied) = may {
            prop_assert!(denied.status == 403 || (denied.status == 401 && identity.is_nobody()));
        }
    }

    /// Exactly the secrets on the ring are found, each for its own.
    #[test]
    fn a_ring_finds_what_is_on_it(secrets in prop::collection::btree_map("[!-~]{1,20}", 1_u32..9, 0..9), other in "[!-~]{0,20}") {
        let ring = Keyring::new(secrets.iter().map(|(secret, number)| (Identity::from_number(*number), secret.as_bytes())));
        for (secret, number) in &secrets {
            prop_assert_eq!(ring.find(secret.as_bytes()), Ok(Identity::from_number(*number)));
        }
        prop_assert_eq!(ring.find(other.as_bytes()).is_ok(), secrets.contains_key(&other));
    }
}
