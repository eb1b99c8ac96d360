//! Programs: run again and again, or for as long as somebody listens.

use std::collections::BTreeMap;

use crate::support::look::resident_kib;
use crate::support::pushlet::SOON;
use crate::support::server::{Server, wait_for};
use crate::{LATER, figure, leaders, listen, mark, processes, start, told, wait_figure};

/// The descriptors of a process, by number.
fn descriptors(process: &str) -> BTreeMap<u32, String> {
    let entries = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        Some((number, std::fs::read_link(path).ok()?.to_string_lossy().into_owned()))
    });
    named.collect()
}

/// P-35: nothing runs while nobody listens; the first subscriber starts it at once; when the last one has gone, it sleeps again.
#[test]
fn a_repeated_command_runs_while_somebody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = folder.path().join("runs");
    let toml = format!(
        "[[source]]\nname = \"one\"\nsubject = \"/one\"\nevery = \"20ms\"\ncommand = \"echo >> {0}; echo a=1 b='\\\"x y\\\"' subject=/one/below\"\n\
         [[source]]\nname = \"slow\"\nsubject = \"/slow\"\nevery = \"1h\"\ncommand = [\"echo\", \"{{\\\"c\\\":{{\\\"d\\\":1}}}}\"]\n\
         [[source]]\nname = \"other\"\nsubject = \"/other\"\nevery = \"20ms\"\ncommand = [\"echo\", \"plain text\"]\n",
        runs.display()
    );
    let server = start(&toml);
    let count = || std::fs::read(&runs).map_or(0, |bytes| bytes.len());
    let (_other, mut others) = listen(&server, "/other");
    assert_eq!(others.wait_data(5)[0].field("line"), "plain text");
    assert_eq!((count(), figure(&server, "active", "one"), figure(&server, "active", "other")), (0, 0, 1));

    let (session, mut channel) = listen(&server, "/one,/slow");
    let events = channel.wait_for(SOON, |events| {
        let about = |subject| events.iter().filter(|event| event.get("p_subject") == Some(subject)).count();
        about("/one/below") >= 3 && about("/slow") == 1
    });
    let slow = events.iter().find(|event| event.get("p_subject") == Some("/slow")).expect("one of them");
    assert_eq!(slow.field("c"), "{\"d\":1}");
    let one = events.iter().find(|event| event.get("p_subject") == Some("/one/below")).expect("one of them");
    assert_eq!((one.field("a"), one.field("b"), one.get("subject")), ("1", "x y", None));
    assert!(one.get("p_from").is_none(), "it has no publisher: {one:?}");

    session.leave();
    wait_figure(&server, "active", "one", |active| active == 0);
    let (before, others_before) = (count(), others.data().len());
    assert!(before >= 3, "{before} runs");
    others.wait_data(others_before + 5);
    assert_eq!(count(), before, "it goes on while nobody listens");
    assert_eq!((figure(&server, "failures", "one"), figure(&server, "restarts", "one")), (0, 0));

    // Somebody new need not wait until the hour is over.
    let (_again, mut channel) = listen(&server, "/slow");
    channel.wait_data(1);
}

/// P-35: a program that goes on by itself: one process, in a group of its own, without any descriptor of ours, ended some time after its last
/// listener has gone.
#[test]
fn a_long_running_command_lives_as_long_as_it_has_listeners() {
    let word = mark();
    let server = start(&format!(
        "[[source]]\nname = \"long\"\nsubject = \"/long\"\ncommand = [\"sh\", \"-c\", \"i=0; while :; do i=$((i+1)); echo n=$i; sleep 0.05; done\", \"{word}\"]\n"
    ));
    assert_eq!(processes(&word), Vec::<u32>::new());
    let (session, mut channel) = listen(&server, "/long");
    let events = channel.wait_data(3);
    assert_eq!([0, 1, 2].map(|at: usize| events[at].field("n").to_owned()), ["1", "2", "3"]);
    let running = leaders(&word);
    assert_eq!(running.len(), 1, "{running:?}");
    let process = running[0];
    // What the server itself was given by whoever started it may be handed on; nothing that it has opened may.
    let theirs = descriptors("self");
    for (number, what) in descriptors(&process.to_string()) {
        match number {
            0 => assert_eq!(what, "/dev/null"),
            1 | 2 => assert!(what.starts_with("pipe:"), "{number} is {what}"),
            _ => assert!(theirs.values().any(|known| *known == what), "{number} is {what}"),
        }
    }

    session.leave();
    // Within the grace it goes on: somebody who comes back finds the same process.
    let (session, mut channel) = listen(&server, "/long");
    channel.wait_data(1);
    assert_eq!(leaders(&word), [process]);
    session.leave();
    assert!(wait_for(LATER, || processes(&word).is_empty()), "it runs for nobody");
    wait_figure(&server, "active", "long", |active| active == 0);
    assert_eq!(figure(&server, "restarts", "long"), 0);
    let (_session, mut channel) = listen(&server, "/long");
    assert_eq!(channel.wait_data(1)[0].field("n"), "1");
}

/// What fails is told once, with its status and its last words, counted, and tried again; the others go on.
#[test]
fn commands_that_fail_are_told_counted_and_tried_again() {
    let server = start(
        "[[source]]\nname = \"three\"\nsubject = \"/a\"\nevery = \"10ms\"\ncommand = \"echo oh no >&2; exit 3\"\n\
         [[source]]\nname = \"long\"\nsubject = \"/a\"\ncommand = \"echo before=1; printf 'bad \\\\033[31mend' >&2; exit 4\"\n\
         [[source]]\nname = \"nothing\"\nsubject = \"/a\"\ncommand = [\"/nonexistent/program\", \"x\"]\n\
         [[source]]\nname = \"killed\"\nsubject = \"/a\"\ncommand = \"kill -9 $$\"\n\
         [[source]]\nname = \"words\"\nsubject = \"/a\"\nformat = \"fields\"\nevery = \"1h\"\ncommand = \"echo no words; echo subject=/b; echo p_id=x; echo good=1\"\n\
         [[source]]\nname = \"fine\"\nsubject = \"/a\"\nevery = \"10ms\"\ncommand = \"echo fine=1\"\n",
    );
    let (_session, mut channel) = listen(&server, "/a");
    let is = |name: &'static str| {
        move |events: &[_]| {
            events.iter().filter(|event: &&crate::support::pushlet::Event| event.get(name) == Some("1")).count() >= 2
        }
    };
    channel.wait_for(LATER, is("before"));
    channel.wait_for(LATER, is("fine"));
    for source in ["three", "long", "nothing", "killed"] {
        wait_figure(&server, "failures", source, |failures| failures >= 3);
    }
    wait_figure(&server, "failures", "words", |failures| failures == 3);
    for words in [
        "the program ended with exit status: 3; its last words: oh no",
        "the program ended with exit status: 4; its last words: bad \u{fffd}[31mend",
        "the program \"/nonexistent/program\" cannot be started: No such file or directory",
        "the program ended with signal: 9 (SIGKILL)",
        "a line cannot be read: \"no\" is not name=value",
        "the subject \"/b\" does not begin with the source's, \"/a\"",
        "the field p_id is the server's own",
    ] {
        assert_eq!(told(&server, words), 1, "{words:?} in {}", server.stderr());
    }
    assert_eq!(figure(&server, "failures", "fine"), 0);
    assert!(figure(&server, "restarts", "long") >= 2 && figure(&server, "restarts", "three") == 0);
    assert!(told(&server, "its program says: oh no") <= 20);
}

/// A program that says more than anybody can take waits for the server; the server does not gather what it says.
#[test]
fn a_flood_meets_back_pressure() {
    let server = start(
        "[[source]]\nname = \"flood\"\nsubject = \"/flood\"\n\
         command = \"line=$(head -c 980 /dev/zero | tr '\\\\0' x); yes \\\"p_to=nobody x=$line\\\" | head -c 100000000; echo; echo done=1; exec sleep 1000\"\n",
    );
    let before = resident_kib(&server);
    let (_session, mut channel) = listen(&server, "/flood");
    let last = channel.wait_for(4 * LATER, |events| events.iter().any(|event| event.get("done").is_some()));
    assert_eq!(last.iter().filter(|event| event.kind() == "data").count(), 1);
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 80 * 1024, "{grown} KiB more than before");
    wait_figure(&server, "events", "flood", |events| events > 99_000);
    assert_eq!((figure(&server, "restarts", "flood"), figure(&server, "active", "flood")), (0, 1));
}

/// A line without end is skipped and counted, and what comes after it is read.
#[test]
fn a_line_without_end_is_not_gathered() {
    let server = start(
        "[[source]]\nname = \"endless\"\nsubject = \"/e\"\n\
         command = \"head -c 60000000 /dev/zero | tr '\\\\0' x; echo; head -c 65534 /dev/zero | tr '\\\\0' y; echo; echo ok=1; exec sleep 1000\"\n",
    );
    let before = resident_kib(&server);
    let (_session, mut channel) = listen(&server, "/e");
    let events = channel.wait_data(2);
    assert_eq!((events[0].field("line").len(), events[1].field("ok")), (65_534, "1"));
    assert_eq!(figure(&server, "failures", "endless"), 1);
    assert_eq!(told(&server, "a line is longer than 65536 bytes and was skipped"), 1);
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 40 * 1024, "{grown} KiB more than before");
}

/// Where SIGCHLD is ignored nobody learns how a program ended: that is told and counted, and the sources go on.
#[test]
fn programs_without_a_status_are_failures() {
    let toml = "[[source]]\nname = \"long\"\nsubject = \"/c\"\ncommand = [\"echo\", \"a=1\"]\n\
                [[source]]\nname = \"again\"\nsubject = \"/c\"\nevery = \"10ms\"\ncommand = [\"echo\", \"b=1\"]\n";
    let server = Server::start_ignoring_children(&["--log-level", "debug"], toml);
    let (_session, mut channel) = listen(&server, "/c");
    channel.wait_for(LATER, |events| {
        ["a", "b"].iter().all(|name| events.iter().filter(|event| event.get(name).is_some()).count() >= 2)
    });
    for name in ["long", "again"] {
        wait_figure(&server, "failures", name, |failures| failures >= 2);
    }
    assert_eq!(told(&server, "its exit status cannot be had"), 2, "{}", server.stderr());
}
