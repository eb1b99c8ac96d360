//! Starting: where it listens is the first line, and what is wrong is told with a remedy.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use crate::support::http::{Connection, get};
use crate::support::pushlet::SOON;
use crate::support::server::{Server, on_both_drivers_at_once, run_to_end};

fn pushletd(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushletd"));
    command.args(args);
    command
}

/// Expects the start to fail with all of `words` on standard error and nothing on standard output.
fn refused(command: Command, words: &[&str]) {
    let shown = format!("{command:?}");
    let (status, stdout, stderr) = run_to_end(command, Duration::from_secs(10));
    assert!(!status.success(), "{shown}");
    assert_eq!(stdout, "", "{shown}");
    for word in words {
        assert!(stderr.contains(word), "{shown}: no {word:?} in {stderr:?}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn the_first_line_says_where_it_listens() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        assert_ne!(server.addr().port(), 0, "the port is the real one");
        let first = format!("listening on http://{}/", server.addr());
        assert_eq!(server.stdout().lines().next(), Some(first.as_str()));
        assert_eq!(Connection::open(server.addr()).ask(&get("/"), SOON).head.status, 200);
    });
}

#[test]
fn it_listens_on_ipv6_too() {
    match TcpListener::bind("[::1]:0") {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return,
        bound => drop(bound.expect("a free port")),
    }
    on_both_drivers_at_once(|driver| {
        let server = Server::start_at("[::1]:0", driver, &[]);
        assert!(matches!(server.addr(), SocketAddr::V6(_)) && server.addr().port() != 0);
        assert!(server.stdout().starts_with("listening on http://[::1]:"));
        assert_eq!(Connection::open(server.addr()).ask(&get("/"), SOON).head.status, 200);
    });
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    on_both_drivers_at_once(|driver| {
        let server = Server::start(driver, &[], "");
        let taken = server.addr().to_string();
        let words = [taken.as_str(), "--listen", "another"];
        refused(pushletd(&["--listen", &taken, "--admin", "off", "--io-driver", driver.name()]), &words);
        let words = [taken.as_str(), "--admin", "another"];
        refused(pushletd(&["--listen", "127.0.0.1:0", "--admin", &taken, "--io-driver", driver.name()]), &words);
    });
}

#[test]
fn bad_settings_are_told_with_their_place() {
    refused(pushletd(&["--queue-size", "0"]), &["--queue-size", "1"]);
    refused(pushletd(&["--heartbeat", "soon"]), &["--heartbeat", "soon"]);
    refused(pushletd(&["--listen", "here"]), &["--listen", "here"]);
    refused(pushletd(&["--no-such-flag"]), &["--no-such-flag"]);
    refused(pushletd(&["--config", "/nonexistent/pushletd.toml"]), &["/nonexistent/pushletd.toml"]);
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a temporary file");
    std::fs::write(file.path(), "listen = \"127.0.0.1:0\"\nqueue_sise = 5\n").expect("the file is written");
    let path = file.path().to_str().expect("a plain path");
    refused(pushletd(&["--config", path]), &[path, "2", "queue_sise", "queue_size"]);
    let mut command = pushletd(&[]);
    command.env("PUSHLETD_HEARTBEAT", "never");
    refused(command, &["PUSHLETD_HEARTBEAT", "never"]);
}

/// Where even we may bind a low port, the program is started as nobody.
#[test]
fn a_privileged_port_is_an_error_that_says_so() {
    let low = "127.0.0.1:81";
    let mut command = pushletd(&["--listen", low, "--admin", "off"]);
    if TcpListener::bind(low).is_ok() {
        // A copy, for nobody may not look into our folders.
        let folder = tempfile::Builder::new().permissions(world_readable()).tempdir().expect("a folder");
        let copy = folder.path().join("pushletd");
        std::fs::copy(env!("CARGO_BIN_EXE_pushletd"), &copy).expect("the program is copied");
        command = Command::new(copy);
        command.args(["--listen", low, "--admin", "off"]).uid(65_534).current_dir("/");
        return refused(command, &[low, "privilege"]);
    }
    refused(command, &[low, "privilege"]);
}

fn world_readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

/// A limit of open files that leaves nothing for clients is an error, not a server that refuses everybody.
#[test]
fn too_few_descriptors_are_an_error() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        r#"ulimit -n 60 && exec "$0" --listen 127.0.0.1:0 --admin off"#,
        env!("CARGO_BIN_EXE_pushletd"),
    ]);
    refused(command, &["60", "open files"]);
}
