//! Why a request of the modern doors is refused: what a problem document says (RFC 9457).

use std::borrow::Cow;

/// A refusal that a person and a program understand. Its text repeats nothing that could be markup: it is sent as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status, 4xx or 5xx.
    pub status: u16,
    /// One sentence: what is wrong, and what would be right.
    pub detail: Cow<'static, str>,
    /// The field, parameter or header at fault.
    pub field: Option<&'static str>,
    /// The bound that was exceeded, in the unit that `detail` names.
    pub limit: Option<u64>,
    /// After how many seconds trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A refusal with `status`, because of `detail`.
    #[must_use]
    pub fn new(status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        debug_assert!((400..600).contains(&status), "a problem is an error");
        Self { status, detail: detail.into(), field: None, limit: None, retry_after_s: None }
    }

    /// A 400 about `field`.
    #[must_use]
    pub fn field(field: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field), ..Self::new(400, detail) }
    }

    /// The same, naming the bound.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit as u64);
        self
    }

    /// The same, with another status.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same, naming when to try again.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Bytes of clients that it may hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.detail.len()
    }
}
