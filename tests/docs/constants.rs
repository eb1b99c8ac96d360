//! The bounds of `limits.rs` as the document names them.

use pushletd::limits;

/// A value as people write it.
trait Shown {
    fn shown(&self) -> String;
}

/// `262,144`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

macro_rules! shown_numbers {
    ($($kind:ty),*) => { $(
        impl Shown for $kind {
            fn shown(&self) -> String {
                grouped(*self as u64)
            }
        }
        impl Shown for ($kind, $kind) {
            fn shown(&self) -> String {
                format!("{} to {}", grouped(self.0 as u64), grouped(self.1 as u64))
            }
        }
    )* };
}

shown_numbers!(u8, u16, u32, u64, usize);

macro_rules! constants {
    ($($name:ident)*) => {
        /// Every bound with its value.
        pub(crate) fn all() -> Vec<(&'static str, String)> {
            vec![$((stringify!($name), limits::$name.shown())),*]
        }
    };
}

constants! {
    REQUEST_LINE_BYTES_MAX HEAD_BYTES_MAX HEADERS_MAX BODY_BYTES_MAX CHUNK_LINE_BYTES_MAX TRAILER_BYTES_MAX
    CHUNK_PADDING_BYTES_MAX EMPTY_LINES_MAX FIELDS_MAX SUBJECT_BYTES_MAX LABEL_BYTES_MAX SUBSCRIPTIONS_MAX
    ECHO_CHARS_MAX SHARDS HEAD_DEADLINE_MS BODY_DEADLINE_MS KEEP_ALIVE_IDLE_MS LINGER_MS DETACHED_MS
    EVENTS_PER_TURN_MAX WRITES_PER_TURN_MAX SLICES_PER_WRITE_MAX WRITE_BYTES_MAX READ_BYTES_PER_TURN_MAX
    ACCEPTS_PER_TURN_MAX ACCEPT_BACKOFF_MS REQUESTS_PER_TURN_MAX DELIVERIES_PER_TURN_MAX DELIVERIES_PER_SLICE_MAX
    SLICES_PER_TURN_MAX ROUND_IN_ORDER_MAX LETTERS_PER_TURN_MAX DEPARTURES_PER_TURN_MAX HANDOVERS_MAX OVERLOAD_MS RETRY_AFTER_S INBOX_BYTES_MAX INBOX_PLACE_BYTES INBOXES_BYTES_MAX
    INTAKE_EVENTS_MAX INTAKE_BYTES_MAX INTAKE_PER_TURN_MAX WATCHED_SUBJECTS_MAX INTEREST_LOOKS_MAX ADMIN_CONNECTIONS_MAX
    TURNED_AWAY_MAX TURNED_AWAY_LINGER_MS STALE_DEADLINES_MAX TICK_MS QUEUE_EVENTS_DEFAULT QUEUE_EVENTS_RANGE QUEUE_BYTES_DEFAULT
    QUEUE_BYTES_RANGE CORES_RANGE RING_ENTRIES_DEFAULT RING_ENTRIES_RANGE INBOX_EVENTS_DEFAULT INBOX_EVENTS_RANGE
    CONNECTIONS_RANGE SESSION_TIMEOUT_MS_DEFAULT SESSION_TIMEOUT_MS_RANGE HEARTBEAT_MS_DEFAULT HEARTBEAT_MS_RANGE
    BATCH_DELAY_MS_DEFAULT BATCH_DELAY_MS_RANGE DRAIN_MS_DEFAULT DRAIN_MS_RANGE PULL_WAIT_MS_DEFAULT
    PULL_WAIT_MS_RANGE PULL_REFRESH_TIMEOUT_MS_DEFAULT POLL_REFRESH_TIMEOUT_MS_DEFAULT REFRESH_TIMEOUT_MS_RANGE
    PULL_REFRESH_WAIT_MS_DEFAULT POLL_REFRESH_WAIT_MS_DEFAULT REFRESH_WAIT_MS_RANGE DETACHED_MS_RANGE
    HTTP_DEADLINE_MS_RANGE ENCODING_GROWTH_MAX EVENT_OVERHEAD_BYTES CLIENT_CONNECT_MS CLIENT_ANSWER_MS
    CLIENT_SILENCE_MS CLIENT_TICK_MS CLIENT_BACKOFF_MS CLIENT_BACKOFF_MAX_MS CLIENT_LEAVE_MS CLIENT_IDLE_MS
    CLIENT_HEAD_BYTES_MAX CLIENT_EVENT_BYTES_MAX CLIENT_TARGET_BYTES_MAX
}

#[test]
fn numbers_are_grouped() {
    assert_eq!(grouped(262_144), "262,144");
    assert_eq!(grouped(12), "12");
    assert_eq!((1_u32, 65_536_u32).shown(), "1 to 65,536");
}
