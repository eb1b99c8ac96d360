//! Keys and rules as their operator meets them: what the start says, and what a reload takes.

use rustix::process::Signal;

use crate::support::pushlet::SOON;
use crate::support::server::{Driver, Server, on_both_drivers_at_once, wait_for};

const OPEN: &str =
    "access rules: 0, keys: 0, secrets: 0; where no rule decides, anyone may subscribe, and publishing needs a key";

/// A server that more than this machine can reach says at its start that publishing needs a key, and how to change that.
#[test]
fn an_open_listener_says_that_publishing_needs_a_key() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start_at("0.0.0.0:0", driver, &[]);
        let told = wait_for(SOON, || server.stdout().contains("then: "));
        let lines = server.stdout();
        let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("access")).collect();
        assert!(told && lines.len() == 2 && lines[0] == OPEN, "{lines:?}");
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
    assert!(
        wait_for(SOON, || server.stdout().contains("access rules: 1, keys: 1, secrets: 1; ")),
        "{}",
        server.stdout()
    );
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
