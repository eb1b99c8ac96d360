//! Golden transcripts: requests into the pure core and everything that comes out, with an invented clock.
//!
//! The texts below `tests/golden` hold both sides. A line that begins with `>` was written by the core, every other line is a comment, or
//! something that happens (`golden/world.rs` has the list). After a change that is meant, `GOLDEN=write cargo test --test golden` writes
//! the answers anew; the difference is then read by a person before it is committed.

mod support;

#[path = "golden/body.rs"]
mod body;
#[path = "golden/diff.rs"]
mod diff;
#[path = "golden/simulation.rs"]
mod simulation;
#[path = "golden/world.rs"]
mod world;

use std::fs;
use std::path::PathBuf;

use world::World;

/// Plays a transcript and returns it with the answers that came.
fn play(text: &str) -> String {
    let mut world = World::new();
    let mut played = String::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('>')) {
        played.push_str(line);
        played.push('\n');
        let happens = line.trim();
        if happens.is_empty() || happens.starts_with('#') {
            continue;
        }
        world.happens(happens).unwrap_or_else(|error| panic!("line {}: `{line}`: {error}", at + 1));
        for answer in world.take_log() {
            played.push_str("> ");
            played.push_str(&answer);
            played.push('\n');
        }
    }
    world.check_answered();
    played
}

fn check(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
    let text = fs::read_to_string(&path).expect("a transcript");
    let played = play(&text);
    if played == text {
        return;
    }
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        fs::write(&path, played).expect("a transcript can be written");
        return;
    }
    let diff = diff::lines(&text, &played);
    panic!("{name}.txt: - was recorded, + came\n{diff}\nIf this is meant: GOLDEN=write cargo test --test golden");
}

macro_rules! transcripts {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $($(#[$doc])* #[test] fn $name() { check(stringify!($name)); })+

        /// A transcript that nobody plays proves nothing.
        #[test]
        fn every_transcript_is_played() {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
            let names = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
            let mut found: Vec<String> =
                names.filter_map(|name| name.to_str()?.strip_suffix(".txt").map(str::to_owned)).collect();
            found.sort();
            let mut played = [$(stringify!($name)),+];
            played.sort_unstable();
            assert_eq!(found, played);
        }
    };
}

transcripts! {
    /// P-5, P-6, P-9: every request and its ack, in each format.
    requests;
    /// P-5, P-7, P-8: every nack and every HTTP error; a join that is nacked leaves no session.
    refusals;
    /// P-14: ack and first heartbeat at once, events as they come, heartbeats after silence, the epilogue at the end.
    stream;
    /// P-15, P-17: the answer to a listen, the wait, its end by events or by a heartbeat, p_wait and p_url.
    pull;
    /// P-16, P-17: every answer at once.
    poll;
    /// P-9, P-14, P-15: streams and pulls in all five formats, over HTTP/1.1 and 1.0.
    formats;
    /// P-18: who is made to pull.
    forced_pull;
    /// P-19, P-20, P-24, P-25: who gets which event, with which p_sid and p_label.
    matching;
    /// P-21, P-22: what an event carries, and how its publisher is named.
    fields;
    /// P-23: events for one session.
    unicast;
    /// P-26, P-27: the newest data request wins; who leaves is not kept waiting.
    supersede;
    /// P-28: the lease, exact to a tick.
    lease;
    /// P-29: who does not come back.
    not_alive;
    /// P-30: full queues under each policy.
    queue_full;
    /// P-31: connections that are cut off.
    disconnect;
    /// P-32: the end of everything.
    shutdown;
}

/// The harness notices what it is there for.
#[test]
fn a_difference_is_noticed_and_shown() {
    let recorded = "A: join p_format=xml\n> A1 200 xml\n> A1 | <event p_event=\"join-ack\"/>\n";
    let played = play(recorded);
    assert_ne!(played, recorded);
    let shown = diff::lines(recorded, &played);
    assert!(
        shown.contains("\n- > A1 | <event p_event=\"join-ack\"/>\n+ > A1 | <event p_event=\"join-ack\" p_id"),
        "{shown}"
    );
    assert!(shown.contains("  A: join p_format=xml\n"), "{shown}");
    assert_eq!(play(&played), played, "playing is repeatable");
}

#[test]
#[should_panic(expected = "line 2: `A hang`")]
fn a_line_that_means_nothing_is_an_error() {
    play("# P-5\nA hang\n");
}
