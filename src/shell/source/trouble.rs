//! What a source says to the log: each trouble once, and never more than a few lines a minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{SOURCE_LOG_CHARS_MAX, SOURCE_LOG_LINES_MAX, SOURCE_TROUBLE_MS};

/// Different troubles that are remembered. Beyond, the one that was told first is forgotten.
const KNOWN_MAX: usize = 8;
const MINUTE: Duration = Duration::from_secs(60);

/// The log lines of one source.
#[derive(Debug)]
pub(super) struct Troubles {
    name: Arc<str>,
    judge: Judge,
}

/// Decides what is told.
///
/// Invariant: `known` holds no text twice and at most [`KNOWN_MAX`] of them, the one that was told first in front.
#[derive(Debug, Default)]
struct Judge {
    known: Vec<Known>,
    /// When the minute began in which lines are counted, and how many there were in it.
    minute: Option<(Instant, u32)>,
    /// Lines left out since the last one that was written.
    left_out: u64,
}

#[derive(Debug)]
struct Known {
    text: String,
    told: Instant,
    /// How often it came since then.
    again: u64,
}

impl Judge {
    /// A trouble: how often it came since it was told last, if it is to be told now.
    fn trouble(&mut self, text: &str, now: Instant) -> Option<u64> {
        let at = self.known.iter().position(|known| known.text == text);
        if let Some(known) = at.and_then(|at| self.known.get_mut(at))
            && now.saturating_duration_since(known.told) < Duration::from_millis(SOURCE_TROUBLE_MS)
        {
            known.again += 1;
            return None;
        }
        let again = at.map_or(0, |at| self.known.remove(at).again);
        if !self.line(now) {
            return None;
        }
        if self.known.len() == KNOWN_MAX {
            self.known.remove(0);
        }
        self.known.push(Known { text: text.to_owned(), told: now, again: 0 });
        Some(again)
    }

    /// Whether one more line may be written in this minute.
    fn line(&mut self, now: Instant) -> bool {
        let lines = match self.minute {
            Some((began, lines)) if now.saturating_duration_since(began) < MINUTE => {
                self.minute = Some((began, lines.saturating_add(1)));
                lines
            }
            _ => {
                self.minute = Some((now, 1));
                0
            }
        };
        if lines >= SOURCE_LOG_LINES_MAX {
            self.left_out += 1;
        }
        lines < SOURCE_LOG_LINES_MAX
    }
}

impl Troubles {
    /// Nothing was said yet.
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, judge: Judge::default() }
    }

    /// Something failed.
    pub(super) fn tell(&mut self, what: &str) {
        let what = shown(what.as_bytes());
        if let Some(again) = self.judge.trouble(&what, Instant::now()) {
            let left_out = std::mem::take(&mut self.judge.left_out);
            if again == 0 {
                tracing::warn!(source = &*self.name, left_out, "{what}");
            } else {
                tracing::warn!(source = &*self.name, left_out, "{what} ({again} more times since this was said last)");
            }
        }
    }

    /// A program said something on its standard error.
    pub(super) fn said(&mut self, line: &[u8]) {
        if self.judge.line(Instant::now()) {
            let left_out = std::mem::take(&mut self.judge.left_out);
            tracing::warn!(source = &*self.name, left_out, "its program says: {}", shown(line));
        }
    }
}

/// Somebody else's text for the log: without control characters, and cut.
pub(super) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut letters = text.trim_end().chars();
    let clean = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    let mut shown: String = letters.by_ref().take(SOURCE_LOG_CHARS_MAX).map(clean).collect();
    if letters.next().is_some() {
        shown.push('\u{2026}');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_and_then_with_its_count() {
        let (mut judge, start) = (Judge::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(judge.trouble("a", at(0)), Some(0));
        for second in 1..600 {
            assert_eq!(judge.trouble("a", at(second)), None, "{second}");
        }
        assert_eq!(judge.trouble("b", at(599)), Some(0));
        assert_eq!(judge.trouble("a", at(600)), Some(599));
        assert_eq!(judge.trouble("a", at(601)), None);
        assert_eq!(judge.trouble("a", at(1_200)), Some(1));
    }

    #[test]
    fn a_minute_has_a_bound_of_lines_whatever_they_say() {
        let (mut judge, start) = (Judge::default(), Instant::now());
        let told = (0..1_000).filter(|number| judge.trouble(&number.to_string(), start).is_some()).count();
        assert_eq!((told, judge.left_out), (20, 980));
        assert!(!judge.line(start + Duration::from_millis(59_999)));
        assert!(judge.line(start + MINUTE));
        assert!(judge.known.len() <= KNOWN_MAX);
    }

    #[test]
    fn foreign_text_is_cut_and_cleaned() {
        assert_eq!(shown(b"a\x1b[31m\tb\xff\n"), "a\u{fffd}[31m\u{fffd}b\u{fffd}");
        let long = shown(&[b'x'; 1_000]);
        assert_eq!((long.chars().count(), long.ends_with('\u{2026}')), (401, true));
    }
}
