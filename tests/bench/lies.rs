//! A server that does one thing wrong is found out, and the right count tells what it was.

use std::process::Stdio;

use super::liar::{Liar, Lie};
use super::support::server::wait_for;
use super::{Outcome, RUN_MAX, bench, command};

/// Three subscribers, ten events.
fn run(lie: Lie, doors: &str) -> Outcome {
    let liar = Liar::start(lie);
    bench(liar.address, &format!("--sessions 3 --events 10 --rate 500 --drain 0.5 --no-leave {doors}"))
}

/// Exit code, deliveries that arrived, and every count of a fault that is not zero.
type Verdict = (Option<i32>, u64, Vec<(&'static str, u64)>);

/// The verdict, which is the same at all doors.
fn verdict(lie: Lie) -> Verdict {
    let pushlet = judge(lie, "");
    for doors in ["--transport sse --publish http", "--transport sse", "--publish http"] {
        assert_eq!(judge(lie, doors), pushlet, "{lie:?} {doors}");
    }
    pushlet
}

fn judge(lie: Lie, doors: &str) -> Verdict {
    const FAULTS: [&str; 11] = [
        "lost",
        "repeated",
        "out_of_order",
        "refused_but_delivered",
        "foreign",
        "told_missing",
        "connections_broken",
        "answers_garbled",
        "sessions_aborted",
        "events_refused",
        "events_unanswered",
    ];
    let outcome = run(lie, doors);
    let faults = FAULTS.into_iter().map(|name| (name, outcome.count(name))).filter(|(_, count)| *count > 0);
    (outcome.code, outcome.count("deliveries"), faults.collect())
}

#[test]
fn the_truth_is_believed() {
    assert_eq!(verdict(Lie::None), (Some(0), 30, vec![]));
}

#[test]
fn a_lost_event_is_found() {
    assert_eq!(verdict(Lie::Drop(1)), (Some(1), 29, vec![("lost", 1)]));
    assert_eq!(verdict(Lie::Drop(5)), (Some(1), 29, vec![("lost", 1)]));
    assert_eq!(verdict(Lie::Drop(10)), (Some(1), 29, vec![("lost", 1)]), "the last one");
}

#[test]
fn a_repeated_event_is_found() {
    assert_eq!(verdict(Lie::Repeat(5)), (Some(1), 30, vec![("repeated", 1)]));
    assert_eq!(verdict(Lie::Repeat(10)), (Some(1), 30, vec![("repeated", 1)]));
}

#[test]
fn a_swapped_event_is_found() {
    assert_eq!(verdict(Lie::Swap(5)), (Some(1), 30, vec![("out_of_order", 1)]));
}

#[test]
fn a_refused_event_that_arrives_is_found() {
    let (code, _, faults) = verdict(Lie::DeliverRefused(5));
    assert_eq!((code, faults), (Some(1), vec![("refused_but_delivered", 1), ("events_refused", 1)]));
}

#[test]
fn a_refused_event_is_not_expected() {
    assert_eq!(verdict(Lie::Refuse(5)), (Some(0), 27, vec![("events_refused", 1)]));
    assert_eq!(verdict(Lie::Overload(5)), (Some(0), 27, vec![("events_refused", 1)]));
}

/// P-30: what the server says that it dropped is no silent loss.
#[test]
fn a_told_loss_is_counted_apart() {
    assert_eq!(verdict(Lie::Tell(5)), (Some(0), 29, vec![("told_missing", 1)]));
}

#[test]
fn an_abort_is_counted_apart() {
    let (code, deliveries, faults) = verdict(Lie::Abort(5));
    assert_eq!((code, faults), (Some(0), vec![("sessions_aborted", 1)]));
    assert_eq!(deliveries, 24, "four of ten, and twice ten");
}

#[test]
fn a_cut_stream_is_found() {
    let (code, deliveries, faults) = verdict(Lie::Cut(5));
    assert_eq!((code, deliveries), (Some(1), 24));
    assert!(faults.contains(&("connections_broken", 1)), "{faults:?}");
}

#[test]
fn an_invented_event_is_found() {
    assert_eq!(verdict(Lie::Invent(5)), (Some(1), 30, vec![("foreign", 1)]));
}

#[test]
fn a_broken_chunk_is_found() {
    let (code, _, faults) = verdict(Lie::Garble(5));
    assert_eq!(code, Some(1));
    assert!(faults.contains(&("answers_garbled", 1)), "{faults:?}");
}

/// A server that stands still delays everything that was due meanwhile, and all of it is measured: about 60 of 120 events are late by up to
/// 600 ms. A generator that waits for the answer before it looks at its watch would see one.
#[test]
fn a_stall_counts_from_when_events_were_due() {
    let liar = Liar::start(Lie::Stall(600));
    let outcome = bench(liar.address, "latency --sessions 3 --publishers 1 --rate 100 --events 120 --no-leave");
    outcome.assert_good();
    assert!(outcome.number("send_late_us_p99") > 100_000.0, "{:?}", outcome.figures);
    assert!(outcome.stderr.contains("the generator is the bottleneck"), "{}", outcome.stderr);
    assert_eq!(outcome.count("deliveries"), 360);
    for name in ["delivery_us_p90", "ack_us_p90"] {
        let p90 = outcome.number(name);
        assert!(p90 >= 200_000.0, "{name} is {p90}");
    }
    assert!(outcome.number("delivery_us_max") >= 580_000.0, "{:?}", outcome.figures);
}

/// The closed loop of delivered events does not wait for ever for one that is lost.
#[test]
fn the_closed_loop_goes_on_behind_a_loss() {
    let liar = Liar::start(Lie::Drop(2));
    let outcome = bench(liar.address, "--sessions 3 --events 4 --drain 0.5 --no-leave");
    assert_eq!(
        (outcome.code, outcome.count("lost"), outcome.count("deliveries")),
        (Some(1), 1, 11),
        "{:?}",
        outcome.figures
    );
}

/// SIGINT ends a run with what there is.
#[test]
fn an_interrupted_run_tells_what_there_is() {
    let liar = Liar::start(Lie::None);
    let mut bench = command(liar.address, "--sessions 3 --rate 100 --duration 600 --no-leave");
    let child =
        bench.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    assert!(wait_for(RUN_MAX, || liar.events() >= 5), "it publishes");
    let pid =
        i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process has a positive id");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("our own child");
    let output = child.wait_with_output().expect("it ends");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints its figures");
    assert_eq!(output.status.code(), Some(0), "{figures}");
    assert_eq!(figures["stopped_early"], true);
    assert!(figures["deliveries"].as_u64() >= Some(15), "{figures}");
}
