//! Random bits of the kernel, fetched a page at a time.

/// Bytes fetched at once: names for 32 sessions.
const PAGE_BYTES: usize = 1024;

/// Random bits of the kernel. What was handed out is erased here.
pub(super) struct Entropy {
    page: [u8; PAGE_BYTES],
    used: usize,
}

impl Entropy {
    /// Nothing is fetched yet.
    pub(super) fn new() -> Self {
        Self { page: [0; PAGE_BYTES], used: PAGE_BYTES }
    }

    /// 128 random bits.
    ///
    /// # Errors
    ///
    /// What the kernel says. There is no second source: names that can be guessed are worse than none.
    pub(super) fn draw(&mut self) -> Result<u128, getrandom::Error> {
        const WIDTH: usize = size_of::<u128>();
        if self.used + WIDTH > PAGE_BYTES {
            getrandom::fill(&mut self.page)?;
            self.used = 0;
        }
        let mut bits = [0; WIDTH];
        let taken = &mut self.page[self.used..self.used + WIDTH];
        bits.copy_from_slice(taken);
        taken.fill(0);
        self.used += WIDTH;
        Ok(u128::from_ne_bytes(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn draws_differ_across_pages() {
        let mut entropy = Entropy::new();
        let drawn: HashSet<u128> = (0..500).map(|_| entropy.draw().expect("the kernel has random bits")).collect();
        assert_eq!(drawn.len(), 500);
    }
}
