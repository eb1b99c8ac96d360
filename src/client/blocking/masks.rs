//! Randomness for frames.

use std::io;

/// Masks of frames: they must be such as nobody can guess (RFC 6455 section 5.3), so they come from the kernel, many at a time.
pub(crate) struct Masks {
    bytes: [u8; 256],
    used: usize,
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masks(...)")
    }
}

impl Masks {
    /// None are there yet.
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; 256], used: 256 }
    }

    /// The next one.
    ///
    /// # Errors
    ///
    /// The kernel has no randomness.
    pub(crate) fn next(&mut self) -> io::Result<[u8; 4]> {
        if self.used >= self.bytes.len() {
            getrandom::fill(&mut self.bytes).map_err(io::Error::other)?;
            self.used = 0;
        }
        let mask = self.bytes.get(self.used..).and_then(|rest| rest.first_chunk()).copied();
        self.used += 4;
        mask.ok_or_else(|| io::Error::other("there is no mask"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_differ() {
        let mut masks = Masks::new();
        let mut seen: Vec<_> = (0..200).map(|_| masks.next().expect("randomness")).collect();
        seen.sort_unstable();
        seen.dedup();
        // Of 200 values out of four billion two are the same once in 200,000 runs.
        assert!(seen.len() >= 199);
    }
}
