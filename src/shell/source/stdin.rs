//! The lines of pushletd's own standard input.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::job::Job;
use super::pieces::Lines;
use super::seat::{Seat, wait_ready};
use crate::limits::SOURCE_LINE_BYTES_MAX;

const READ_BYTES: usize = 64 * 1024;

/// Reads to the end, whoever listens: what comes while nobody does goes to nobody.
pub(super) struct Stdin;

impl Job for Stdin {
    fn run(&mut self, seat: &mut Seat) {
        let input = std::io::stdin();
        let mut lines = Lines::new(SOURCE_LINE_BYTES_MAX);
        let mut bytes = vec![0; READ_BYTES];
        seat.set_active(true);
        while !seat.is_stopping() {
            // Not through the library's buffer: what it held would be lost to the source that comes after this one.
            let mut watched =
                [PollFd::new(&input, PollFlags::IN), PollFd::from_borrowed_fd(seat.stop.bell(), PollFlags::IN)];
            wait_ready(&mut watched, Duration::MAX);
            let (ready, stops) = (!watched[0].revents().is_empty(), seat.is_stopping());
            if stops || !ready {
                continue;
            }
            match rustix::io::read(&input, &mut bytes) {
                Ok(count @ 1..) => {
                    if lines.feed(&bytes[..count], &mut |piece| seat.take_piece(piece)).is_break() {
                        break;
                    }
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Ok(_) => {
                    let _ = lines.finish(&mut |piece| seat.take_piece(piece));
                    tracing::info!(source = seat.name(), "standard input has ended, and with it this source");
                    break;
                }
                Err(error) => {
                    seat.fail(&format!("standard input cannot be read, and this source ends: {error}"));
                    break;
                }
            }
        }
        seat.set_active(false);
    }
}
