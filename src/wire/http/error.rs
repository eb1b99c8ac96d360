//! Why a request is refused: a status and a sentence that a person understands.

/// A request that cannot be served. The driver answers it ([`super::write_error`]) and closes: where a refused request ends is not known.
///
/// The reason is our own text and repeats nothing the client sent, so it can be written anywhere without escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// The status code of the answer, 4xx or 5xx.
    pub status: u16,
    /// One sentence: what is wrong.
    pub reason: &'static str,
    /// Whether the request is known to be a HEAD: its answer has no content (RFC 9110 section 9.3.2).
    pub to_head: bool,
    /// Whether the request is known to be for a modern door, which answers with a problem document.
    pub to_v1: bool,
    /// The bound that was exceeded, in bytes or in number; 0 if none was.
    pub limit: u32,
}

impl HttpError {
    /// The head did not arrive within [`crate::limits::HEAD_DEADLINE_MS`].
    pub const HEAD_TOO_SLOW: Self = Self::new(408, "The request head took too long to arrive.");
    /// The body did not arrive within [`crate::limits::BODY_DEADLINE_MS`].
    pub const BODY_TOO_SLOW: Self = Self::new(408, "The request body took too long to arrive.");

    /// The peer has ended its side of the connection in the middle of a body.
    pub const BODY_CUT: Self = Self::new(400, "The request body ended before it was complete.");

    /// A refusal with `status` because of `reason`.
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, to_head: false, to_v1: false, limit: 0 }
    }

    /// The same, naming the bound.
    pub(super) const fn limit(mut self, limit: usize) -> Self {
        // Bounds of ours, all far below.
        self.limit = limit as u32;
        self
    }

    /// The request breaks the grammar or a rule of framing: 400.
    pub(super) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.reason)
    }
}

impl std::error::Error for HttpError {}
