//! The lines that are added to a file, through truncation and rotation.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::job::Job;
use super::pieces::Lines;
use super::seat::Seat;
use crate::limits::{SOURCE_LINE_BYTES_MAX, SOURCE_LOOK_MS};

const READ_BYTES: usize = 64 * 1024;

/// Follows a file, whoever listens: what comes while nobody does goes to nobody.
pub(super) struct Follow {
    pub(super) path: String,
}

/// A file that is open, and how far it was read.
struct Open {
    file: File,
    /// Device and inode: the same name may come to mean another file.
    identity: (u64, u64),
    position: u64,
}

/// What is known of the file when it is opened.
#[derive(Clone, Copy)]
enum Since {
    /// No look has succeeded yet.
    Never,
    /// The last look succeeded: what is opened now came later.
    Looked,
    /// The last look failed; so far the file that it had was read.
    Lost { identity: (u64, u64), position: u64 },
}

impl Open {
    /// Opens without waiting, and takes regular files only: the others have no end that grows.
    fn at(path: &str) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self { file, identity: (about.dev(), about.ino()), position: 0 })
    }

    fn go_to(&mut self, to: SeekFrom) -> io::Result<()> {
        self.position = self.file.seek(to)?;
        Ok(())
    }
}

impl Job for Follow {
    fn run(&mut self, seat: &mut Seat) {
        let mut lines = Lines::new(SOURCE_LINE_BYTES_MAX);
        let mut bytes = vec![0; READ_BYTES];
        let mut open: Option<Open> = None;
        let mut since = Since::Never;
        seat.set_active(true);
        while !seat.is_stopping() {
            let outcome = self.look(seat, &mut open, since, &mut lines, &mut bytes);
            let stops = match outcome {
                Ok(ControlFlow::Break(())) => true,
                Ok(ControlFlow::Continue(())) => {
                    since = Since::Looked;
                    seat.backoff.reset();
                    seat.stop.wait(Instant::now() + Duration::from_millis(SOURCE_LOOK_MS))
                }
                Err(error) => {
                    // What was read is nobody's news again, and before the first good look nothing is.
                    if let Some(lost) = open.take() {
                        since = Since::Lost { identity: lost.identity, position: lost.position };
                    }
                    seat.fail(&format!("the file {:?} cannot be read: {error}", self.path));
                    seat.pause()
                }
            };
            if stops {
                break;
            }
        }
        seat.set_active(false);
    }
}

impl Follow {
    /// Reads what was added since the last look. A file that is not there is waited for.
    fn look(
        &self,
        seat: &mut Seat,
        open: &mut Option<Open>,
        since: Since,
        lines: &mut Lines,
        bytes: &mut [u8],
    ) -> io::Result<ControlFlow<()>> {
        if open.is_none() {
            *open = match Open::at(&self.path) {
                Ok(mut found) => {
                    // What stood there before us is nobody's news; a file that comes later is news from its first line.
                    match since {
                        Since::Never => found.go_to(SeekFrom::End(0))?,
                        Since::Lost { identity, position } if identity == found.identity => {
                            found.go_to(SeekFrom::Start(position))?;
                        }
                        // The end of the line that was begun stood in another file.
                        Since::Lost { .. } => lines.forget(),
                        Since::Looked => {}
                    }
                    tracing::debug!(source = seat.name(), from = found.position, "the file is followed");
                    Some(found)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if matches!(since, Since::Never) {
                        tracing::info!(
                            source = seat.name(),
                            path = self.path,
                            "the file is not there yet; it is waited for"
                        );
                    }
                    None
                }
                Err(error) => return Err(error),
            };
        }
        let Some(now) = open else { return Ok(ControlFlow::Continue(())) };
        // Asked before the rest is read: whoever moved the file away may still have written to it until then.
        let named = std::fs::metadata(&self.path).ok().map(|about| (about.dev(), about.ino()));
        let flow = read_rest(now, seat, lines, bytes)?;
        if flow.is_continue() && named.is_some_and(|named| named != now.identity) {
            tracing::debug!(source = seat.name(), "another file has the name now");
            let flow = lines.finish(&mut |piece| seat.take_piece(piece));
            *open = None;
            return Ok(flow);
        }
        Ok(flow)
    }
}

/// Reads to the end of the file.
fn read_rest(open: &mut Open, seat: &mut Seat, lines: &mut Lines, bytes: &mut [u8]) -> io::Result<ControlFlow<()>> {
    if open.file.metadata()?.len() < open.position {
        tracing::debug!(source = seat.name(), "the file was truncated");
        lines.forget();
        open.go_to(SeekFrom::Start(0))?;
    }
    loop {
        if seat.is_stopping() {
            return Ok(ControlFlow::Break(()));
        }
        match open.file.read(bytes) {
            Ok(0) => return Ok(ControlFlow::Continue(())),
            Ok(count) => {
                open.position += count as u64;
                if lines.feed(&bytes[..count], &mut |piece| seat.take_piece(piece)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
