//! The commands of a page, typed into a shell.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::document::{Block, Document};

/// The address that the pages name.
const ADDRESS: &str = "127.0.0.1:8080";
/// How long a stream may take to bring what is due at once.
const SOON: Duration = Duration::from_secs(10);

/// A command that goes on by itself, ended with the test.
struct Running {
    child: Child,
    pieces: mpsc::Receiver<Vec<u8>>,
    text: String,
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Running {
    fn start(script: &str) -> Self {
        // `exec`: the shell becomes the command, so that ending the child ends it.
        let mut child = shell(&format!("exec {script}")).spawn().expect("a shell");
        let mut pipe = child.stdout.take().expect("stdout is a pipe");
        let (sender, pieces) = mpsc::channel();
        std::thread::spawn(move || {
            let mut piece = [0_u8; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut piece) {
                if sender.send(piece[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, pieces, text: String::new() }
    }

    /// Waits until `enough` holds of what it has printed, or time is over.
    fn wait_until(&mut self, enough: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + SOON;
        while !enough(&self.text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(piece) = self.pieces.recv_timeout(left) else { return };
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a command that does not end, and returns what it has printed when `wanted` is there or time is over.
pub(crate) fn stream_until(script: &str, wanted: &str) -> String {
    let mut running = Running::start(script);
    running.wait_until(|text| text.contains(wanted));
    running.text.clone()
}

/// The lines of a shell block without comments, as one script for the server at `addr`.
fn script(block: &Block, addr: SocketAddr) -> String {
    let lines: Vec<String> = block.lines.iter().map(|(_, line)| line.replace(ADDRESS, &addr.to_string())).collect();
    lines.join("\n")
}

/// Runs the blocks with `curl` one after the other, those with `curl -N` beside the others. Returns what the streams and what the others
/// printed.
pub(crate) fn run_curl_blocks(page: &Document, addr: SocketAddr) -> (String, String) {
    let mut streams: Vec<Running> = Vec::new();
    let mut asked = String::new();
    let blocks = page.blocks();
    for block in blocks.iter().filter(|block| block.language == "sh") {
        let text = script(block, addr);
        if text.contains("curl -N") {
            assert_eq!(block.lines.len(), 1, "{}: a stream stands alone: {text}", page.path);
            let mut stream = Running::start(&text);
            stream.wait_until(|text| text.contains("\"p_event\":\"hb\""));
            streams.push(stream);
        } else if text.contains("curl") {
            let output = shell(&format!("set -e\n{text}")).output().expect("a shell");
            let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{}: {text}\n{out}{error}", page.path);
            asked.push_str(&out);
        }
    }
    assert!(!streams.is_empty() && !asked.is_empty(), "{}: there are no commands to try", page.path);
    let mut streamed = String::new();
    for stream in &mut streams {
        stream.wait_until(|text| text.contains("\"p_event\":\"data\"") && text.ends_with('\n'));
        streamed.push_str(&stream.text);
    }
    (streamed, asked)
}
