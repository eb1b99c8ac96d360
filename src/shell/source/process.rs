//! A program that a source runs: in a process group of its own, with pipes for what it says, and ended whole.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid};

use super::pieces::{Lines, Piece};
use super::seat::{Seat, Stop, wait_ready};
use super::trouble::shown;
use crate::config::Program;
use crate::limits::{SOURCE_LINE_BYTES_MAX, SOURCE_LOG_CHARS_MAX, SOURCE_TERM_MS, SOURCE_TICK_MS};

/// Bytes read at once from a program.
const READ_BYTES: usize = 64 * 1024;
/// What is read at most from the pipes of a program that has ended: more than a pipe holds unless somebody made it larger.
const LAST_BYTES_MAX: usize = 1024 * 1024;
/// A line of standard error is cut here: four bytes for each character that the log shows.
const ERROR_LINE_BYTES_MAX: usize = 4 * SOURCE_LOG_CHARS_MAX;

/// How often a program that is ending is looked at.
const URGENT_LOOK: Duration = Duration::from_millis(50);

/// How a run came to its end.
#[derive(Debug)]
pub(super) enum RunEnd {
    /// The program ended by itself.
    Exited(ExitStatus),
    /// It ended by itself, and somebody else took its status: nobody knows how it went.
    Unknown,
    /// We ended it, because whoever was asked said so.
    Ended,
    /// The source is to stop; the program was ended.
    Stopped,
}

/// A running program. Dropping it ends whatever is left of it.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Readable once the program has ended.
    ended: OwnedFd,
    group: Pid,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    status: Option<ExitStatus>,
    errors: Lines,
    /// The last line of standard error, for whoever tells how it ended.
    last_words: Option<String>,
}

/// Runs the program to its end and publishes its lines as they come. `over` is asked at every piece of output and several times a second
/// whether to end it.
///
/// # Errors
///
/// What the kernel says if it cannot be started.
pub(super) fn run(
    program: &Program,
    seat: &mut Seat,
    over: &mut dyn FnMut() -> bool,
) -> io::Result<(RunEnd, Option<String>)> {
    let mut running = Running::start(program)?;
    tracing::debug!(source = seat.name(), process = running.child.id(), "the program was started");
    let mut lines = Lines::new(SOURCE_LINE_BYTES_MAX);
    let mut bytes = vec![0; READ_BYTES];
    let end = loop {
        if seat.is_stopping() {
            break RunEnd::Stopped;
        }
        if over() {
            break RunEnd::Ended;
        }
        let ready = running.wait(Some(&seat.stop), Duration::from_millis(SOURCE_TICK_MS));
        if ready.stderr {
            running.read_errors(seat, &mut bytes);
        }
        if ready.stdout && running.read_lines(seat, &mut lines, &mut bytes).is_break() {
            break RunEnd::Stopped;
        }
        if ready.ended {
            break running.last_bytes(seat, &mut lines, &mut bytes);
        }
    };
    running.end(seat, &mut bytes);
    tracing::debug!(source = seat.name(), process = running.child.id(), ?end, "the program has ended");
    Ok((end, running.last_words.take()))
}

/// What there is to do.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    ended: bool,
    stdout: bool,
    stderr: bool,
}

impl Running {
    fn start(program: &Program) -> io::Result<Self> {
        let mut command = match program {
            Program::Shell(line) => {
                let mut command = Command::new("sh");
                command.args(["-c", line]);
                command
            }
            Program::Direct(parts) => {
                let (name, arguments) = parts.split_first().ok_or(io::ErrorKind::InvalidInput)?;
                let mut command = Command::new(name);
                command.args(arguments);
                command
            }
        };
        // A group of its own, so that it can be ended with all that it starts. Every other descriptor of ours closes by itself (CLOEXEC).
        // systemd's socket is for pushletd alone.
        command.env_remove("NOTIFY_SOCKET");
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let group = Pid::from_child(&child);
        let ended = match pidfd_open(group, PidfdFlags::empty()) {
            Ok(ended) => ended,
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                return Err(error.into());
            }
        };
        let (stdout, stderr) = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
        let errors = Lines::new(ERROR_LINE_BYTES_MAX);
        Ok(Self { child, ended, group, stdout, stderr, status: None, errors, last_words: None })
    }

    /// Waits until there is something to do, at most for `left`. With `stop` an order to stop ends the wait as well.
    fn wait(&self, stop: Option<&Stop>, left: Duration) -> Ready {
        let of = |fd: &Option<OwnedFd>| fd.is_some();
        let mut watched: Vec<PollFd<'_>> = vec![PollFd::new(&self.ended, PollFlags::IN)];
        let bell: Option<BorrowedFd<'_>> = stop.map(Stop::bell);
        watched.extend(self.stdout.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        watched.extend(self.stderr.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        watched.extend(bell.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        wait_ready(&mut watched, left);
        let is_ready = |at: usize| watched.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let stdout = of(&self.stdout);
        Ready {
            ended: is_ready(0),
            stdout: stdout && is_ready(1),
            stderr: of(&self.stderr) && is_ready(1 + usize::from(stdout)),
        }
    }

    /// Reads once what stands in the pipe. It breaks if the source is to stop.
    fn read_lines(&mut self, seat: &mut Seat, lines: &mut Lines, bytes: &mut [u8]) -> ControlFlow<()> {
        match read(&mut self.stdout, bytes) {
            0 => ControlFlow::Continue(()),
            count => lines.feed(&bytes[..count], &mut |piece| seat.take_piece(piece)),
        }
    }

    fn read_errors(&mut self, seat: &mut Seat, bytes: &mut [u8]) {
        let count = read(&mut self.stderr, bytes);
        let Self { errors, last_words, .. } = self;
        let mut tell = |piece: Piece<'_>| {
            let (Piece::Line(line) | Piece::TooLong(line)) = piece;
            if !line.trim_ascii().is_empty() {
                seat.troubles.said(line);
                *last_words = Some(shown(line));
            }
            ControlFlow::Continue(())
        };
        let _ = errors.feed(&bytes[..count], &mut tell);
        if self.stderr.is_none() {
            let _ = errors.finish(&mut tell);
        }
    }

    /// The program has ended: takes what still stands in its pipes, and its status.
    fn last_bytes(&mut self, seat: &mut Seat, lines: &mut Lines, bytes: &mut [u8]) -> RunEnd {
        // What it has started ends with it, so that nobody else keeps its pipes open.
        self.signal(Signal::KILL);
        for fd in [&self.stdout, &self.stderr].into_iter().flatten() {
            // Somebody who left the group may hold the other end: nobody waits for that one.
            if let Ok(flags) = fcntl_getfl(fd) {
                let _ = fcntl_setfl(fd, flags | OFlags::NONBLOCK);
            }
        }
        let mut left = LAST_BYTES_MAX;
        while self.stderr.is_some() && left > 0 && self.wait_pipe(false, Instant::now()) {
            self.read_errors(seat, bytes);
            left = left.saturating_sub(READ_BYTES);
        }
        let mut left = LAST_BYTES_MAX;
        while self.stdout.is_some() && left > 0 && self.wait_pipe(true, Instant::now()) {
            if self.read_lines(seat, lines, bytes).is_break() {
                return RunEnd::Stopped;
            }
            left = left.saturating_sub(READ_BYTES);
        }
        if lines.finish(&mut |piece| seat.take_piece(piece)).is_break() {
            return RunEnd::Stopped;
        }
        self.reap(Instant::now() + Duration::from_millis(SOURCE_TERM_MS));
        self.status.map_or(RunEnd::Unknown, RunEnd::Exited)
    }

    /// Whether the pipe has something to read, or its end, until `until`.
    fn wait_pipe(&self, stdout: bool, until: Instant) -> bool {
        let Some(fd) = (if stdout { &self.stdout } else { &self.stderr }) else { return false };
        let mut watched = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
        wait_ready(&mut watched, until.saturating_duration_since(Instant::now()));
        !watched[0].revents().is_empty()
    }

    /// Ends the program and all that it has started: TERM, and KILL after [`SOURCE_TERM_MS`].
    fn end(&mut self, seat: &mut Seat, bytes: &mut [u8]) {
        if self.status.is_some() || !self.is_ours() {
            return;
        }
        self.signal(Signal::TERM);
        let until = Instant::now() + Duration::from_millis(SOURCE_TERM_MS);
        // Whoever writes last words must not wait for a reader. When both pipes have ended, nobody of the group is left.
        loop {
            // A short while at a time: an order to end at once must be heard.
            let left = until.saturating_duration_since(Instant::now()).min(URGENT_LOOK);
            let gone = self.stdout.is_none() && self.stderr.is_none();
            if left.is_zero() || seat.stop.is_urgent() || (gone && self.has_ended(left)) {
                break;
            }
            if gone {
                continue;
            }
            let mut watched: Vec<PollFd<'_>> = Vec::new();
            watched.extend(self.stdout.iter().chain(&self.stderr).map(|fd| PollFd::new(fd, PollFlags::IN)));
            wait_ready(&mut watched, left);
            drop(watched);
            if self.wait_pipe(true, Instant::now()) {
                read(&mut self.stdout, bytes);
            }
            if self.wait_pipe(false, Instant::now()) {
                self.read_errors(seat, bytes);
            }
        }
        self.signal(Signal::KILL);
        self.reap(Instant::now() + Duration::from_millis(SOURCE_TERM_MS));
    }

    fn has_ended(&self, left: Duration) -> bool {
        let mut watched = [PollFd::new(&self.ended, PollFlags::IN)];
        wait_ready(&mut watched, left);
        !watched[0].revents().is_empty()
    }

    /// Takes the status of a program that has ended, or does so until `until`.
    fn reap(&mut self, until: Instant) {
        if self.status.is_none() && self.has_ended(until.saturating_duration_since(Instant::now())) {
            // Asked for by its descriptor first: its number may be somebody else's by now.
            self.status = if self.is_ours() { self.child.try_wait().ok().flatten() } else { None };
        }
    }

    /// Whether the program runs, or has ended and nobody has taken its status: as long as that is so its group is its own. Somebody else takes
    /// it where SIGCHLD is ignored, or where a program that embeds the server waits for all its children.
    fn is_ours(&self) -> bool {
        let asked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.status.is_none() && waitid(WaitId::PidFd(self.ended.as_fd()), asked).is_ok()
    }

    /// Signals the group, unless its number may have become that of another one.
    fn signal(&self, signal: Signal) {
        if self.is_ours() {
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_ours() {
            // Only a panic, or a process that the kernel does not let go, comes here.
            self.signal(Signal::KILL);
            let _ = self.child.try_wait();
        }
    }
}

/// Reads once. At the end of the pipe it is closed. Says how many bytes there were.
fn read(pipe: &mut Option<OwnedFd>, bytes: &mut [u8]) -> usize {
    let Some(fd) = pipe else { return 0 };
    match rustix::io::read(&*fd, &mut *bytes) {
        Ok(count @ 1..) => count,
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => 0,
        Ok(_) | Err(_) => {
            *pipe = None;
            0
        }
    }
}
