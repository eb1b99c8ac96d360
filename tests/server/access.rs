//! Keys and rules as their operator meets them: what the start says, and what a reload takes.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::pushlet::SOON;
use crate::support::server::{Driver, Server, on_both_drivers_at_once, wait_for};

const OPEN: &str =
    "access rules: 0, keys: 0, secrets: 0; where no rule decides, anyone may subscribe, and publishing needs a key";

/// A server that more than this machine can reach says at its start that publishing needs a key, and how to change that.
#[test]
fn an_open_listener_says_that_publishing_needs_a_key() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_at("0.0.0.0:0", driver, &[]);
        let lines = server.stdout();
        let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("access")).collect();
        assert!(lines.len() == 2 && lines[0] == OPEN, "{lines:?}");
        assert!(lines[1].contains("publishing needs a key") && lines[1].contains("[[access]]"), "{lines:?}");
    });
}

/// HUP: files of secrets are read again, and a wrong one changes nothing and is not repeated in the log.
#[test]
fn hup_reads_the_files_of_secrets_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("backend.key");
    let write = |text: &str| std::fs::write(&path, text).expect("the secrets are written");
    write("the-first-secret-of-all\n");
    let config = format!(
        "[[key]]\nname = \"backend\"\nfile = {path:?}\n[[access]]\nsubject = \"/a\"\npublish = [\"backend\"]\nsubscribe = \"anyone\"\n"
    );
    let server = Server::start(Driver::Epoll, &[], &config);
    assert!(server.stdout().contains("access rules: 1, keys: 1, secrets: 1; "), "{}", server.stdout());
    write("the-first-secret-of-all\nthe-second-secret-of-all\n");
    server.signal(Signal::HUP);
    server.wait_stderr("access rules: 1, keys: 1, secrets: 2; ", SOON);
    server.wait_stderr("the configuration was reloaded", SOON);
    write("the-second-secret-of-all\nhunter2\n");
    server.signal(Signal::HUP);
    server.wait_stderr("nothing has changed", SOON);
    server.wait_stderr("line 2: a secret of 7 characters", SOON);
    server.rewrite_config("");
    server.signal(Signal::HUP);
    server.wait_stderr("access rules: 0, keys: 0, secrets: 0; ", SOON);
    let said = server.stderr() + &server.stdout();
    for secret in ["the-first-secret", "the-second-secret", "hunter2"] {
        assert!(!said.contains(secret), "{said}");
    }
}

/// Ended with the test, however that goes.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// HUP: what the file says about `listen` by now does not change who can reach the server, so it does not open it either, however often it is
/// read.
#[test]
fn hup_does_not_take_an_open_listener_for_one_of_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let [config, out, log] = ["x.toml", "out", "log"].map(|name| folder.path().join(name));
    let write = |text: &str| std::fs::write(&config, text).expect("the configuration is written");
    let holds = |path: &std::path::Path, words: &str, times: usize| {
        let said = || std::fs::read_to_string(path).unwrap_or_default();
        assert!(wait_for(SOON, || said().matches(words).count() >= times), "{words} x {times}: {}", said());
    };
    let pipe = |path| Stdio::from(std::fs::File::create(path).expect("a file"));
    write("listen = \"0.0.0.0:0\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushletd"));
    command.args(["--admin", "off", "--cores", "1", "--config"]).arg(&config).stdout(pipe(&out)).stderr(pipe(&log));
    let server = Ended(command.spawn().expect("the program starts"));
    holds(&out, "then: ", 1);
    write("listen = \"127.0.0.1:0\"\n");
    let pid = i32::try_from(server.0.id()).ok().and_then(Pid::from_raw).expect("a process has a positive id");
    for times in 1..=3 {
        kill_process(pid, Signal::HUP).expect("our own child can be signalled");
        holds(&log, "the configuration was reloaded", times);
        holds(&log, "anyone may subscribe, and publishing needs a key", times);
    }
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(!said.contains("anyone may publish"), "{said}");
}
