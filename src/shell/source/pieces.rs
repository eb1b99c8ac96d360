//! Bytes as they come, cut into lines of bounded length.

use std::ops::ControlFlow;

/// The beginning of a line whose end has not come.
///
/// Invariant: `held` is no longer than `bytes_max`.
#[derive(Debug)]
pub(super) struct Lines {
    held: Vec<u8>,
    bytes_max: usize,
    /// The line is too long already; what comes of it is skipped.
    skips: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A line without its end.
    Line(&'a [u8]),
    /// A line that is longer than allowed: its beginning. The rest is skipped.
    TooLong(&'a [u8]),
}

impl Lines {
    /// No bytes yet.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { held: Vec::new(), bytes_max, skips: false }
    }

    /// Takes bytes in and tells every line that they end. It stops early if the receiver of a line says so; what is left is lost then.
    pub(super) fn feed(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            rest = behind;
            if std::mem::take(&mut self.skips) {
                continue;
            }
            if self.held.is_empty() && line.len() <= self.bytes_max {
                tell(Piece::Line(line))?;
            } else {
                self.hold(line, tell)?;
                if !std::mem::take(&mut self.skips) {
                    let held = std::mem::take(&mut self.held);
                    tell(Piece::Line(&held))?;
                }
            }
        }
        if self.skips { ControlFlow::Continue(()) } else { self.hold(rest, tell) }
    }

    fn hold(&mut self, bytes: &[u8], tell: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let room = self.bytes_max - self.held.len();
        if bytes.len() <= room {
            self.held.extend_from_slice(bytes);
            return ControlFlow::Continue(());
        }
        self.held.extend_from_slice(&bytes[..room]);
        self.skips = true;
        let held = std::mem::take(&mut self.held);
        tell(Piece::TooLong(&held))
    }

    /// The end of the bytes: the last line may have no end.
    pub(super) fn finish(&mut self, tell: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let held = std::mem::take(&mut self.held);
        let skipped = std::mem::take(&mut self.skips);
        if held.is_empty() || skipped { ControlFlow::Continue(()) } else { tell(Piece::Line(&held)) }
    }

    /// Forgets the beginning of a line.
    pub(super) fn forget(&mut self) {
        self.held.clear();
        self.skips = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `5` bytes at most; a line that is too long has a `!` in front.
    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut tell = |piece: Piece<'_>| {
            found.push(match piece {
                Piece::Line(line) => String::from_utf8_lossy(line).into_owned(),
                Piece::TooLong(start) => format!("!{}", String::from_utf8_lossy(start)),
            });
            ControlFlow::Continue(())
        };
        let mut lines = Lines::new(5);
        for piece in pieces {
            assert!(lines.feed(piece, &mut tell).is_continue());
            assert!(lines.held.len() <= 5);
        }
        assert!(lines.finish(&mut tell).is_continue());
        found
    }

    #[test]
    fn lines_are_cut_and_bounded() {
        assert_eq!(cut(&[b"a\n\nb"]), ["a", "", "b"]);
        assert_eq!(cut(&[b"12", b"345", b"\n6"]), ["12345", "6"]);
        assert_eq!(cut(&[b"123456\n7\n"]), ["!12345", "7"]);
        assert_eq!(cut(&[b"12", b"3456", b"789", b"\nx\n"]), ["!12345", "x"]);
        assert_eq!(cut(&[b"123456789"]), ["!12345"]);
    }

    #[test]
    fn who_receives_may_stop() {
        let mut count = 0;
        let mut tell = |_: Piece<'_>| {
            count += 1;
            if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(Lines::new(5).feed(b"a\nb\nc\n", &mut tell).is_break());
        assert_eq!(count, 2);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,40}", step in 1..9_usize) {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
            let whole: Vec<String> = cut(&[text.as_bytes()]);
            prop_assert_eq!(cut(&pieces), whole.clone());
            let due: Vec<String> = text.split('\n').map(|line| if line.len() > 5 { format!("!{}", &line[..5]) } else { line.to_owned() }).collect();
            let due = if text.ends_with('\n') || text.is_empty() { &due[..due.len() - 1] } else { &due[..] };
            prop_assert_eq!(whole, due);
        }
    }
}
