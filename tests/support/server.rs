//! The program itself as a child process on a free port, killed when the test is over.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::wait::wait_ready;

/// Which way the program talks to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Completion queues.
    IoUring,
    /// Readiness, for places that forbid the other.
    Epoll,
}

impl Driver {
    /// Both: some traps show on one only.
    pub(crate) const ALL: [Self; 2] = [Self::IoUring, Self::Epoll];

    /// Its name for `--io-driver`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// Runs `body` once on each driver and says which one it was when the body fails.
pub(crate) fn on_both_drivers(body: impl Fn(Driver)) {
    for driver in Driver::ALL {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(driver)));
        if let Err(cause) = outcome {
            eprintln!("the test failed with --io-driver {}", driver.name());
            std::panic::resume_unwind(cause);
        }
    }
}

/// Runs `body` on both drivers at the same time, for tests that mostly wait. Says which driver it was when a body fails.
pub(crate) fn on_both_drivers_at_once(body: impl Fn(Driver) + Sync) {
    thread::scope(|scope| {
        let body = &body;
        let runs = Driver::ALL.map(|driver| (driver, scope.spawn(move || body(driver))));
        for (driver, run) in runs {
            if let Err(cause) = run.join() {
                eprintln!("the test failed with --io-driver {}", driver.name());
                std::panic::resume_unwind(cause);
            }
        }
    });
}

/// How long the program may take to say where it listens.
const START_MAX: Duration = Duration::from_secs(20);
/// How the last of the lines at start begins.
const LAST_LINE: &str = "then: ";
/// How long the program may take to end after SIGTERM before it is killed.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Holds threads.
const HOLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/hold.py");

/// A running pushletd. Dropping it ends the process; if the test is failing, what the program said is shown.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
    admin: Option<SocketAddr>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    config: Option<tempfile::NamedTempFile>,
}

impl Server {
    /// Starts the program on a free port of the loopback, without the admin port. `args` come after those; `toml` is
    /// the text of a configuration file, none if it is empty.
    pub(crate) fn start(driver: Driver, args: &[&str], toml: &str) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_pushletd"));
        Self::launch(command, "127.0.0.1:0", "off", driver.name(), args, toml)
    }

    /// The same with an admin port.
    pub(crate) fn start_with_admin(driver: Driver, args: &[&str], toml: &str) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_pushletd"));
        Self::launch(command, "127.0.0.1:0", "127.0.0.1:0", driver.name(), args, toml)
    }

    /// The same under a limit of open files.
    pub(crate) fn start_with_descriptors(driver: Driver, descriptors: u32, args: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &descriptors.to_string()]);
        command.arg(env!("CARGO_BIN_EXE_pushletd"));
        Self::launch(command, "127.0.0.1:0", "127.0.0.1:0", driver.name(), args, "")
    }

    /// The same with its standard input from a file.
    pub(crate) fn start_fed(input: &std::path::Path, args: &[&str], toml: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"input="$0" && exec "$@" < "$input""#]).arg(input).arg(env!("CARGO_BIN_EXE_pushletd"));
        Self::launch(command, "127.0.0.1:0", "127.0.0.1:0", "auto", args, toml)
    }

    /// The same where whoever started it ignores SIGCHLD, so that nobody gets the status of a child.
    pub(crate) fn start_ignoring_children(args: &[&str], toml: &str) -> Self {
        // Some shells keep this signal for themselves.
        let ignore = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
        let mut command = Command::new("python3");
        command.args(["-c", ignore, env!("CARGO_BIN_EXE_pushletd")]);
        Self::launch(command, "127.0.0.1:0", "127.0.0.1:0", "auto", args, toml)
    }

    /// The same in a sandbox that forbids file tables of threads and io_uring, as containers do. It looks for a driver by itself.
    pub(crate) fn start_in_a_sandbox(args: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/sandbox.py"), env!("CARGO_BIN_EXE_pushletd")]);
        Self::launch(command, "127.0.0.1:0", "127.0.0.1:0", "auto", args, "")
    }

    /// The same with threads that can be held.
    pub(crate) fn start_holdable(driver: Driver, args: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command.args([HOLD, env!("CARGO_BIN_EXE_pushletd")]);
        Self::launch(command, "127.0.0.1:0", "127.0.0.1:0", driver.name(), args, "")
    }

    /// Stops one of its threads until what is returned is dropped. All others go on.
    pub(crate) fn hold(&self, thread: u32) -> Held {
        let mut command = Command::new("python3");
        command.args([HOLD, &thread.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("python3 is there");
        let (_, lines) = lines_of(holder.stdout.take().expect("stdout is a pipe"));
        let held = lines.recv_timeout(START_MAX);
        assert_eq!(held.as_deref(), Ok("held\n"), "the thread cannot be held");
        Held { holder }
    }

    /// Starts the program on an address of the caller's choice, without the admin port.
    pub(crate) fn start_at(listen: &str, driver: Driver, args: &[&str]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_pushletd")), listen, "off", driver.name(), args, "")
    }

    fn launch(mut command: Command, listen: &str, admin: &str, driver: &str, args: &[&str], toml: &str) -> Self {
        command.args(["--listen", listen, "--admin", admin, "--io-driver", driver]).args(args);
        let config = (!toml.is_empty()).then(|| {
            let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a temporary file");
            file.write_all(toml.as_bytes()).expect("the configuration is written");
            command.arg("--config").arg(file.path());
            file
        });
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
        let (stdout, lines) = lines_of(child.stdout.take().expect("stdout is a pipe"));
        let addresses = addresses(&lines);
        let Some((addr, admin)) = addresses else {
            let _ = child.kill();
            let status = child.wait();
            panic!(
                "the program did not say where it listens; it ended with {status:?}\nstdout:\n{}\nstderr:\n{}",
                text(&stdout),
                text(&stderr)
            );
        };
        Self { child, addr, admin, stdout, stderr, config }
    }

    /// Where its admin port is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("it was started with an admin port")
    }

    /// Writes another text into the configuration file that it was started with.
    pub(crate) fn rewrite_config(&self, toml: &str) {
        let config = self.config.as_ref().expect("it was started with a configuration");
        std::fs::write(config.path(), toml).expect("the configuration is written");
    }

    /// Waits until standard error holds `words`.
    pub(crate) fn wait_stderr(&self, words: &str, max: Duration) {
        let held = wait_for(max, || self.stderr().contains(words));
        assert!(held, "no {words:?} on standard error within {max:?}:\n{}", self.stderr());
    }

    /// Where it listens.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process, for `/proc` and signals.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("our own child can be signalled");
    }

    fn process(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has a positive id")
    }

    /// Waits at most `max` for the program to end by itself.
    pub(crate) fn wait(&mut self, max: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + max;
        let mut ended = None;
        loop {
            let status = self.child.try_wait().expect("our own child can be waited for");
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            // The descriptor of a process is readable when the process has ended. One that was waited for has none, but then the status is
            // known.
            let ended = ended.get_or_insert_with(|| {
                pidfd_open(self.process(), PidfdFlags::empty()).expect("our own child has a descriptor")
            });
            wait_ready(ended, PollFlags::IN, deadline);
        }
    }
}

/// A thread that stands still.
#[derive(Debug)]
pub(crate) struct Held {
    holder: Child,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The end of its input tells it to let go. It waits for nothing else.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            // A server with open streams drains first; a second signal means now.
            if self.wait(Duration::from_millis(200)).is_none() {
                self.signal(Signal::TERM);
            }
            if self.wait(STOP_MAX).is_none() {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if thread::panicking() {
            eprintln!(
                "---- stdout of pushletd ----\n{}\n---- stderr of pushletd ----\n{}",
                self.stdout(),
                self.stderr()
            );
        }
    }
}

/// Looks again and again until `holds`, at most for `max`. Says whether it did. For what no descriptor tells, such as a figure of the server;
/// the pause only spares the processor, nothing is taken to have happened because it is over.
pub(crate) fn wait_for(max: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + max;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs the program with these arguments to its end, which must come within `max`: exit status, standard output, standard error.
pub(crate) fn run_to_end(mut command: Command, max: Duration) -> (ExitStatus, String, String) {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let (stdout, out_end) = collect_to_end(child.stdout.take().expect("stdout is a pipe"));
    let (stderr, err_end) = collect_to_end(child.stderr.take().expect("stderr is a pipe"));
    let ended = wait_for(max, || child.try_wait().is_ok_and(|status| status.is_some()));
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().expect("our own child can be waited for");
    let _ = (out_end.join(), err_end.join());
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert!(ended, "the program did not end within {max:?}\nstdout:\n{stdout}\nstderr:\n{stderr}");
    (status, stdout, stderr)
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().expect("no reader panics")).into_owned()
}

/// Reads a pipe to its end on a thread of its own, so that the child never waits for us.
fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    collect_to_end(pipe).0
}

/// The same, with the thread, which ends with the pipe.
fn collect_to_end(mut pipe: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, thread::JoinHandle<()>) {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&bytes);
    let reader = thread::spawn(move || {
        let mut piece = [0_u8; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            shared.lock().expect("no reader panics").extend_from_slice(&piece[..read]);
        }
    });
    (bytes, reader)
}

/// The same, and each line is sent to the test as well.
fn lines_of(pipe: impl Read + Send + 'static) -> (Arc<Mutex<Vec<u8>>>, mpsc::Receiver<String>) {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&bytes);
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = String::new();
        while let Ok(1..) = pipe.read_line(&mut line) {
            shared.lock().expect("no reader panics").extend_from_slice(line.as_bytes());
            let _ = sender.send(std::mem::take(&mut line));
        }
    });
    (bytes, lines)
}

/// Waits for all the lines at start and returns the addresses that they tell: of `listening on http://ADDRESS/` and of
/// `admin on http://ADDRESS/` or `admin on off`. Tests may look at any of the lines after it.
fn addresses(lines: &mpsc::Receiver<String>) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let deadline = Instant::now() + START_MAX;
    let (mut listening, mut admin) = (None, None);
    loop {
        let line = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        listening = listening.or_else(|| address_in(&line, "listening on "));
        admin = admin.or_else(|| address_in(&line, "admin on "));
        if line.starts_with(LAST_LINE) {
            return Some((listening?, admin));
        }
    }
}

/// The address in a line like `listening on http://127.0.0.1:8080/`.
fn address_in(line: &str, before: &str) -> Option<SocketAddr> {
    line.split_once(before)?.1.strip_prefix("http://")?.trim_end().split('/').next()?.parse().ok()
}

#[test]
fn the_address_is_read_from_the_line() {
    assert_eq!(
        address_in("listening on http://127.0.0.1:4711/\n", "listening on "),
        Some(SocketAddr::from(([127, 0, 0, 1], 4711)))
    );
    assert_eq!(address_in("2 cores\n", "listening on "), None);
}
