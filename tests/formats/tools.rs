//! Runs the independent readers: node, python3 and a Java virtual machine. They are needed, not optional: a format that
//! only our own decoders can read is no format.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// Long enough for a virtual machine to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

fn spawn(tool: &str, command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{tool} is needed to check the formats, please install it ({error})"))
}

/// Gives `input` to a program and returns what it prints. Standard error is shown with the test's.
fn run(tool: &str, command: &mut Command, input: &[u8]) -> String {
    let mut child = spawn(tool, command);
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        // From another thread, because the program may print before it has read everything. If it fails early, its
        // status tells.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("its output")
    });
    assert!(output.status.success(), "{tool} cannot read this: {}", String::from_utf8_lossy(input));
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub(crate) fn node(script: &str, argument: &str, input: &[u8]) -> String {
    run("node", Command::new("node").arg(folder().join(script)).arg(argument), input)
}

pub(crate) fn python(script: &str, argument: &str, input: &[u8]) -> String {
    run("python3", Command::new("python3").arg(folder().join(script)).arg(argument), input)
}

/// The Java reader, compiled into a folder that goes with it.
pub(crate) struct Java {
    classes: TempDir,
}

impl Java {
    pub(crate) fn compile() -> Self {
        let classes = tempfile::tempdir().expect("a folder for classes");
        let sources = folder().join("java");
        let mut compiler = Command::new("javac");
        compiler.arg("-encoding").arg("UTF-8").arg("-d").arg(classes.path());
        compiler.arg(sources.join("ReadEvents.java")).arg(sources.join("nl/justobjects/pushlet/core/Event.java"));
        run("javac (a JDK)", &mut compiler, b"");
        Self { classes }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("java");
        command.arg("-cp").arg(self.classes.path()).arg("ReadEvents");
        command
    }

    /// Gives the whole of `input` to the reader and returns the lines it prints.
    pub(crate) fn read(&self, input: &[u8]) -> String {
        run("java", &mut self.command(), input)
    }

    /// Gives the reader one piece after the other and waits for a line after each before it goes on.
    pub(crate) fn read_step_by_step(&self, pieces: &[Vec<u8>]) -> Vec<String> {
        let mut child = spawn("java", &mut self.command());
        let mut stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, receiver) = mpsc::channel();
        let reader =
            std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut lines = Vec::new();
        for piece in pieces {
            stdin.write_all(piece).and_then(|()| stdin.flush()).expect("it reads");
            let Ok(line) = receiver.recv_timeout(PATIENCE) else {
                child.kill().expect("our own child");
                panic!("no event was read from a complete one: {:?}", child.wait());
            };
            lines.push(line);
        }
        drop(stdin);
        assert!(child.wait().expect("our own child").success());
        reader.join().expect("no panic").expect("we still listen");
        lines
    }
}
