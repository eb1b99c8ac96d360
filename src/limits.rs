//! How much of everything there may be: one name, one unit and one reason per bound.
//!
//! A bound that an operator may move is a setting ([`crate::config`]) whose default and allowed range stand here. The relations that the
//! rest of the code relies on are asserted at compile time at the end of the file.

/// Longest request line, method to version, without its line end, in bytes. Longer: 414.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// Longest request head, request line to the empty line, in bytes. Longer: 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header fields of one request. More: 431.
pub const HEADERS_MAX: usize = 64;
/// Longest request body after decoding, in bytes. Longer: 413.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest chunk-size line of a chunked request body, extensions included, in bytes. Longer: 400.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Most bytes of the trailer section behind a chunked body. Longer: 431.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;
/// Most bytes of all chunk-size lines of one body beyond eight per line: extensions and padding zeros. More: 400.
pub const CHUNK_PADDING_BYTES_MAX: usize = 4 * 1024;
/// Most empty lines that are skipped before a request line (RFC 9112 section 2.2). More: 400.
pub const EMPTY_LINES_MAX: u8 = 4;
/// Most fields (query parameters, form fields, attributes) of one request. More: 400.
pub const FIELDS_MAX: usize = 256;
/// Longest subject, in bytes of UTF-8. Longer: nack.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Most `*` segments of a pattern; `**` is none of them. More: refused.
pub const PATTERN_STARS_MAX: usize = 8;
/// Most `*` segments of a pattern of which a session may have any number; of others it may have [`WIDE_PATTERNS_MAX`].
pub const NARROW_STARS_MAX: usize = 2;
/// Most patterns with more than [`NARROW_STARS_MAX`] stars in one session. A subject may agree with each of them up to its end and match none, so
/// they are what a match costs most for. More: refused.
pub const WIDE_PATTERNS_MAX: usize = 8;
/// Longest label of a subscription, in bytes of UTF-8. Longer: nack.
pub const LABEL_BYTES_MAX: usize = 256;
/// Most subscriptions of one session; every item of a comma list counts. More: nack.
pub const SUBSCRIPTIONS_MAX: usize = 128;
/// Most arrays and objects that stand in each other in a published JSON text. Deeper: 400.
pub const JSON_DEPTH_MAX: usize = 64;
/// Longest media type of published bytes, in bytes. Longer: 400.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Longest name of an event, in bytes of UTF-8. Longer: 400.
pub const EVENT_NAME_BYTES_MAX: usize = 64;
/// Most items of one publish request. More: 413.
pub const POST_ITEMS_MAX: usize = 1024;
/// Longest message of a WebSocket by default, in bytes; a frame and a message have the same bound. Longer: close 1009.
pub const WS_MESSAGE_BYTES_DEFAULT: u32 = BODY_BYTES_MAX as u32;
/// The bounds of that setting.
pub const WS_MESSAGE_BYTES_RANGE: (u32, u32) = (1024, 4 * BODY_BYTES_MAX as u32);
/// A WebSocket on which nothing has come for the time of a heartbeat and this is sent a ping, in milliseconds; half a heartbeat if that is less.
pub const WS_SILENCE_SLACK_MS: u64 = 5_000;
/// So long later without a byte its client is taken for gone, in milliseconds; a heartbeat if that is less.
pub const WS_PONG_MS: u64 = 10_000;
/// Longest `id` of a request in a message, a string, in bytes of UTF-8. Longer: nack.
pub const WS_REQUEST_ID_BYTES_MAX: usize = 64;
/// Events whose JSON is shorter are not compressed, in bytes: it would save nothing.
pub const WS_DEFLATE_BYTES_MIN: usize = 128;
/// Most subjects of one item of a publish request. More: 400.
pub const POST_SUBJECTS_MAX: usize = 128;
/// Longest `Idempotency-Key`, in bytes. Longer: 400.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// A request with the same `Idempotency-Key` publishes once within this time, in milliseconds.
pub const IDEMPOTENCY_MS: u64 = 300_000;
/// Most idempotency keys that a core remembers. More: 429 until the oldest are over.
pub const IDEMPOTENCY_KEYS_MAX: usize = 65_536;
/// Most bytes of keys and remembered answers on a core. More: 429 until the oldest are over.
pub const IDEMPOTENCY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// An answer of so many items is remembered for its key one by one; of a longer one, or of one over 16 KiB, the counts are.
pub const IDEMPOTENCY_OUTCOMES_MAX: usize = 64;
/// One step publishes at most this many events of one request; what others publish comes between the steps.
pub const POST_EVENTS_PER_STEP_MAX: u32 = 64;
/// One turn makes at most so many of these steps.
pub const POST_STEPS_PER_TURN_MAX: u32 = 16;
/// Most refused lines that the answer to a body of lines tells of one by one.
pub const POST_ERRORS_TOLD_MAX: usize = 64;
/// A body of lines may pause this long, in milliseconds; it may be as long as it likes. Then: 408, and what came before is published.
pub const POST_LINES_PAUSE_MS: u64 = 60_000;
/// Longest comment that an event stream begins with, in bytes. More: 400.
pub const PAD_BYTES_MAX: u16 = 16_384;
/// After how many milliseconds a browser comes again whose event stream ended, lowest and highest: at random, so that not all come at once.
pub const SSE_RETRY_MS: (u32, u32) = (1_000, 5_000);
/// Longest `Last-Event-ID` that is repeated to its client, in bytes. Longer ones are taken and not repeated.
pub const LAST_EVENT_ID_BYTES_MAX: usize = 256;
/// Longest part of a client's own text that is repeated in an error message, in characters.
pub const ECHO_CHARS_MAX: usize = 64;

/// Shards that session ids are spread over. A table made at start maps shards to cores.
pub const SHARDS: u16 = 1024;

/// A client must have sent its whole request head within this time, in milliseconds. Later: 408, close.
pub const HEAD_DEADLINE_MS: u64 = 10_000;
/// A client must have sent its whole request body within this time after the head, in milliseconds. Later: 408, close.
pub const BODY_DEADLINE_MS: u64 = 30_000;
/// A connection on which no request begins is closed after this time, in milliseconds.
pub const KEEP_ALIVE_IDLE_MS: u64 = 60_000;
/// A client must have taken the last bytes of an answer within this time, in milliseconds. Later: the connection is reset.
pub const LINGER_MS: u64 = 10_000;

/// Most connections to the admin port at the same time. More are turned away.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;
/// Most connections that are turned away and still given time to read why. Whoever comes beyond may see a reset.
pub const TURNED_AWAY_MAX: usize = 16;
/// A connection that is turned away is given this long to read why, in milliseconds.
pub const TURNED_AWAY_LINGER_MS: u64 = 1_000;

/// How long a stream session is kept without its data connection (rule P-31), in milliseconds.
pub const DETACHED_MS: u64 = 45_000;

/// One turn of a core takes at most this many readiness events before timers and accepts run: 256 short reads are about 1 ms.
pub const EVENTS_PER_TURN_MAX: usize = 256;
/// One turn of a core makes at most this many writes to data channels: about 1 ms at 4 us each.
pub const WRITES_PER_TURN_MAX: usize = 256;
/// One call of the kernel makes at most this many writes, where there is io_uring. Each is gathered before the first is made.
pub const WRITES_PER_CALL_MAX: usize = 64;
/// One write carries at most this many slices (well under the kernel's 1,024).
pub const SLICES_PER_WRITE_MAX: usize = 64;
/// One write gathers at most about this many bytes: more would only wait in the kernel.
pub const WRITE_BYTES_MAX: usize = 128 * 1024;
/// One connection is read at most this many bytes in one turn, so that a flood on one socket delays nobody else.
pub const READ_BYTES_PER_TURN_MAX: usize = 64 * 1024;
/// One connection has at most this many requests served in one turn: about 0.3 ms of small ones.
pub const REQUESTS_PER_TURN_MAX: u32 = 64;
/// One turn queues at most about this many copies of published events, then it is time to write: about 0.5 ms.
pub const DELIVERIES_PER_TURN_MAX: u64 = 8192;
/// One turn takes in no more events once they have visited this many nodes of the trie: about 5 ms. Patterns can make one match visit many.
pub const NODES_PER_TURN_MAX: u64 = 32_768;
/// One tick tells of the presence at no more than this many subjects; the others are told with the next one.
pub const PRESENCE_PER_TICK_MAX: usize = 256;
/// An event is given to at most this many matching subscriptions in one step; other requests are served between the steps: about 0.5 ms.
pub const DELIVERIES_PER_SLICE_MAX: usize = 2048;
/// So many events of one subject that wait for the same many subscribers, or half of what a session's queue may hold, go to them together at
/// most. A busy queue keeps room for as many.
pub const EVENTS_TOGETHER_MAX: usize = 32;
/// Events go together only as far as that makes no more deliveries: letters of other cores wait meanwhile, about 60 turns.
pub const DELIVERIES_TOGETHER_MAX: usize = 262_144;
/// A round of writes to more sessions than this begins at a random one, so that nobody is always last: eight writes are about 0.03 ms.
pub const ROUND_IN_ORDER_MAX: usize = 8;
/// One turn delivers at most this many slices of a large publish. Sessions that were idle for long are slow to reach, so this is 1 to 2 ms.
pub const SLICES_PER_TURN_MAX: u32 = 2;
/// One turn accepts at most this many connections.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;
/// Pause of the accept loop after the descriptor table was found full, in milliseconds.
pub const ACCEPT_BACKOFF_MS: u64 = 20;

/// One turn takes in at most this many letters from other cores.
pub const LETTERS_PER_TURN_MAX: usize = 1024;
/// One turn sends off at most this many connections that are to go to another core.
pub const DEPARTURES_PER_TURN_MAX: usize = 64;
/// A publish waits at most this long for room in the inboxes of all cores, in milliseconds; a request for a session of another core waits as
/// long for room in that one's. Then it is refused as `overloaded`. A connection waits as long to be handed over, then it gets 503.
pub const OVERLOAD_MS: u64 = 5_000;
/// Seconds after which a client that was refused for load should try again.
pub const RETRY_AFTER_S: u32 = 5;
/// Most events of the server's own program that wait at one core to be taken in. More: the publisher is told `overloaded` at once.
pub const INTAKE_EVENTS_MAX: usize = 1024;
/// Bound of the same in bytes.
pub const INTAKE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// One turn takes in at most this many events of the server's own program.
pub const INTAKE_PER_TURN_MAX: usize = 256;
/// Most subjects whose subscribers the server's own program asks for at one time (rule P-35). Each core looks for all of them at every tick.
pub const WATCHED_SUBJECTS_MAX: usize = 128;
/// A core looks at no more than this many subscriptions to say whether anybody listens to a subject. If so many sessions have subscribed and
/// never listened, it says yes: a source that runs for nobody is better than one that sleeps while somebody waits.
pub const INTEREST_LOOKS_MAX: usize = 256;
/// Bound of the inbox between each ordered pair of cores in bytes: events are shared, so this is reached with large ones only.
pub const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What an empty place of an inbox takes, in bytes.
pub const INBOX_PLACE_BYTES: u64 = 32;
/// The inboxes between all cores may take at most this much memory while they are empty, in bytes. More: an error at start.
pub const INBOXES_BYTES_MAX: u64 = 4 << 30;

/// The wheel of deadlines may hold so many keys of owners that are gone beside as many as there are living ones; then it is swept.
pub const STALE_DEADLINES_MAX: usize = 4096;

/// Resolution of all deadlines, in milliseconds: one tick of the wheel.
pub const TICK_MS: u64 = 100;

/// Default bound of a session's queue, in events (rule P-30).
pub const QUEUE_EVENTS_DEFAULT: u32 = 256;
/// Allowed range of the queue bound, in events.
pub const QUEUE_EVENTS_RANGE: (u32, u32) = (1, 65_536);
/// Default bound of a session's queue, in bytes.
pub const QUEUE_BYTES_DEFAULT: u32 = 1024 * 1024;
/// Allowed range of the queue bound, in bytes.
pub const QUEUE_BYTES_RANGE: (u32, u32) = (64 * 1024, 256 * 1024 * 1024);

/// Allowed range of the number of cores. The inboxes between them take `cores x cores x inbox_size x 32` bytes.
pub const CORES_RANGE: (u32, u32) = (1, 128);
/// Default size of the io_uring submission queue of a core, in entries.
pub const RING_ENTRIES_DEFAULT: u32 = 4096;
/// Allowed range of the submission queue, in entries; only powers of two. The kernel's own bound is 32,768.
pub const RING_ENTRIES_RANGE: (u32, u32) = (64, 32_768);
/// Default bound of the inbox between each ordered pair of cores, in events.
pub const INBOX_EVENTS_DEFAULT: u32 = 4096;
/// Allowed range of the inbox bound, in events.
pub const INBOX_EVENTS_RANGE: (u32, u32) = (16, 1_048_576);
/// Most connections that a core has sent to other cores and that are not answered yet. Each holds a datagram in the receiver's socket, and
/// the kernel's default lets about 280 of them queue there.
pub const HANDOVERS_MAX: usize = 64;
/// Allowed range of `max_connections`, where it is not derived from the descriptor limit.
pub const CONNECTIONS_RANGE: (u32, u32) = (1, 10_000_000);
/// Default lease of a session (rule P-28), in milliseconds.
pub const SESSION_TIMEOUT_MS_DEFAULT: u64 = 300_000;
/// Allowed range of the lease, in milliseconds.
pub const SESSION_TIMEOUT_MS_RANGE: (u64, u64) = (1_000, 86_400_000);
/// Default silence after which a stream carries `hb` (rule P-14), in milliseconds: below the 30 s of careless proxies.
pub const HEARTBEAT_MS_DEFAULT: u64 = 20_000;
/// Allowed range of that silence, in milliseconds.
pub const HEARTBEAT_MS_RANGE: (u64, u64) = (100, 600_000);
/// Default bound of the time that a busy core gathers events before it writes, in milliseconds.
pub const BATCH_DELAY_MS_DEFAULT: u64 = 2;
/// Allowed range of that bound, in milliseconds.
pub const BATCH_DELAY_MS_RANGE: (u64, u64) = (0, 1_000);
/// Default time that a stopping server gives its connections (rule P-32), in milliseconds.
pub const DRAIN_MS_DEFAULT: u64 = 20_000;
/// Allowed range of that time, in milliseconds.
pub const DRAIN_MS_RANGE: (u64, u64) = (0, 600_000);
/// Default time that a pull refresh waits for events (rule P-15), in milliseconds.
pub const PULL_WAIT_MS_DEFAULT: u64 = 20_000;
/// Allowed range of that wait, in milliseconds.
pub const PULL_WAIT_MS_RANGE: (u64, u64) = (100, 300_000);
/// Default time within which a pull client must come back (rule P-29), in milliseconds.
pub const PULL_REFRESH_TIMEOUT_MS_DEFAULT: u64 = 45_000;
/// Default time within which a poll client must come back (rule P-29), in milliseconds.
pub const POLL_REFRESH_TIMEOUT_MS_DEFAULT: u64 = 60_000;
/// Allowed range of both, in milliseconds.
pub const REFRESH_TIMEOUT_MS_RANGE: (u64, u64) = (100, 3_600_000);
/// Default `p_wait` of a pull client, lowest and highest (rule P-17), in milliseconds.
pub const PULL_REFRESH_WAIT_MS_DEFAULT: (u64, u64) = (2_000, 6_000);
/// Default `p_wait` of a poll client, lowest and highest (rule P-17), in milliseconds.
pub const POLL_REFRESH_WAIT_MS_DEFAULT: (u64, u64) = (6_000, 10_000);
/// Allowed range of every `p_wait`, in milliseconds.
pub const REFRESH_WAIT_MS_RANGE: (u64, u64) = (0, 600_000);
/// Allowed range of the time that a stream session is kept without its data connection (rule P-31), in milliseconds.
pub const DETACHED_MS_RANGE: (u64, u64) = (0, 3_600_000);
/// Allowed range of the deadlines for a head, a body and the next request, in milliseconds.
pub const HTTP_DEADLINE_MS_RANGE: (u64, u64) = (100, 600_000);

/// Longest encoding of one event over its request: a NUL becomes `\u0000` in `js` and `json`, six bytes for one; names and punctuation
/// at most double a short field. Used for the memory formula, not for refusing.
pub const ENCODING_GROWTH_MAX: usize = 8;

/// Bytes by which one queued event is charged beyond its encoded length: queue slot, personal attributes, chunk framing.
pub const EVENT_OVERHEAD_BYTES: u32 = 96;

/// Memory of one session at most, in bytes: its queue, a copy of it (one answer being sent, of a session that pulls; what events that were
/// written together hold besides, of one that is pushed to), and its subscriptions.
/// Beside it stands [`connection_bytes_max`]; the node is bounded by so many sessions and connections as it may have (invariant A11).
#[must_use]
pub const fn session_bytes_max(queue_bytes: u32) -> u64 {
    2 * queue_bytes as u64 + (SUBSCRIPTIONS_MAX * (SUBJECT_BYTES_MAX + LABEL_BYTES_MAX + 128)) as u64 + 1024
}

/// Most `[[key]]` tables. More: an error at start.
pub const KEYS_MAX: usize = 256;
/// Longest name of a key, in bytes.
pub const KEY_NAME_BYTES_MAX: usize = 64;
/// Most secrets of one key: the old ones and the new ones while they are changed. Every presented secret is compared with all of all keys.
pub const SECRETS_PER_KEY_MAX: usize = 8;
/// Allowed length of a secret, in bytes: what nobody guesses, and what a request line has room for.
pub const SECRET_BYTES_RANGE: (usize, usize) = (16, 512);
/// Longest file of secrets, in bytes, comments included.
pub const KEY_FILE_BYTES_MAX: usize = 64 * 1024;
/// Most `[[access]]` tables. A publish looks at each of them at most once for its subject. More: an error at start.
pub const ACCESS_RULES_MAX: usize = 256;
/// Most `[[presence]]` tables. More: an error at start.
pub const PRESENCE_MAX: usize = 64;

/// Most `[[source]]` tables. More: an error at start.
pub const SOURCES_MAX: usize = 64;
/// Longest name of a source, in bytes.
pub const SOURCE_NAME_BYTES_MAX: usize = 64;
/// Default time from one event of a source to the next (rule P-35), in milliseconds.
pub const SOURCE_EVERY_MS_DEFAULT: u64 = 5_000;
/// Allowed range of that time, in milliseconds.
pub const SOURCE_EVERY_MS_RANGE: (u64, u64) = (10, 86_400_000);
/// Longest line that a source reads, in bytes. A longer one is skipped to its end and counted as a failure.
pub const SOURCE_LINE_BYTES_MAX: usize = 64 * 1024;
/// A program that is run again and again must end within this time, in milliseconds. Then it is ended, which counts as a failure.
pub const SOURCE_RUN_MS: u64 = 60_000;
/// A source's URL must have answered whole within this time, in milliseconds.
pub const SOURCE_FETCH_MS: u64 = 10_000;
/// Longest answer that is taken from a source's URL, in bytes.
pub const SOURCE_FETCH_BYTES_MAX: usize = 1024 * 1024;
/// Most redirects that are followed from a source's URL.
pub const SOURCE_FETCH_REDIRECTS_MAX: u32 = 5;
/// Most events that are made of one answer of a source's URL. What is beyond counts as a failure.
pub const SOURCE_FETCH_EVENTS_MAX: usize = 1024;
/// A program that goes on by itself is ended this long after its last listener has gone (rule P-35), in milliseconds.
pub const SOURCE_GRACE_MS: u64 = 10_000;
/// A source that lost its last listener and has a new one begins at once, but not sooner than this after it began last, in milliseconds:
/// otherwise a client could start programs as fast as it can subscribe.
pub const SOURCE_AGAIN_MS: u64 = 1_000;
/// The pause of a source after its first failure, in milliseconds. It doubles from failure to failure, and up to half of it is added at random.
pub const SOURCE_BACKOFF_MS: u64 = 500;
/// The longest pause of a source after a failure, in milliseconds.
pub const SOURCE_BACKOFF_MAX_MS: u64 = 30_000;
/// A program that ran this long was well: the pause before its next start is the first one again, in milliseconds.
pub const SOURCE_WELL_MS: u64 = 60_000;
/// A source's program that is to end has this long between TERM and KILL, in milliseconds.
pub const SOURCE_TERM_MS: u64 = 2_000;
/// A source looks this often at a file that it follows, in milliseconds.
pub const SOURCE_LOOK_MS: u64 = 200;
/// A source with a running program looks this often whether somebody listens, in milliseconds.
pub const SOURCE_TICK_MS: u64 = 250;
/// A source that found the cores without room tries again after this, in milliseconds.
pub const SOURCE_RETRY_MS: u64 = 20;
/// Most lines that one source may write to the log within a minute: troubles, and what its program says on standard error.
pub const SOURCE_LOG_LINES_MAX: u32 = 20;
/// Longest text of a program that is repeated in one line of the log, in characters.
pub const SOURCE_LOG_CHARS_MAX: usize = 400;
/// A trouble of a source that goes on is told once, and again after this time with its count, in milliseconds.
pub const SOURCE_TROUBLE_MS: u64 = 600_000;

/// `pushletd sub` and `pub` give a server this long to accept a connection, in milliseconds.
pub const CLIENT_CONNECT_MS: u64 = 10_000;
/// They give it this long for the whole answer to a control request, in milliseconds.
pub const CLIENT_ANSWER_MS: u64 = 30_000;
/// A data channel on which nothing came for this long is dead, in milliseconds: three heartbeats of a server with the usual 20 s.
pub const CLIENT_SILENCE_MS: u64 = 60_000;
/// They look for signals and draw their progress this often, in milliseconds.
pub const CLIENT_TICK_MS: u64 = 250;
/// The first pause before a new attempt is at most this, in milliseconds. It doubles from attempt to attempt.
pub const CLIENT_BACKOFF_MS: u64 = 500;
/// A pause before a new attempt is at most this, in milliseconds; a server's `Retry-After` or `p_wait` may ask for three times that.
pub const CLIENT_BACKOFF_MAX_MS: u64 = 20_000;
/// A connection that held this long was well: the pause behind it is a first one again, in milliseconds.
pub const CLIENT_STABLE_MS: u64 = 60_000;
/// Most requests of one client that are not answered. More are refused.
pub const CLIENT_UNANSWERED_MAX: usize = 16_384;
/// Most events that a client keeps for a program that does not take them. More: it reads no further, and the server's bounds hold.
pub const CLIENT_KEPT_EVENTS_MAX: usize = 1024;
/// Bound of the same in bytes.
pub const CLIENT_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A client holds this many bytes of requests that are not sent yet, and one request more; who asks for another one waits.
pub const CLIENT_UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// When they end, they give the server this long to hear of it, in milliseconds.
pub const CLIENT_LEAVE_MS: u64 = 2_000;
/// They send nothing more on a connection that was idle for this long, in milliseconds: the server may be closing it just now.
pub const CLIENT_IDLE_MS: u64 = 5_000;
/// Longest response head that they read, in bytes.
pub const CLIENT_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest event that they read, in bytes: any event that the server accepts, however it is escaped.
pub const CLIENT_EVENT_BYTES_MAX: usize = BODY_BYTES_MAX * ENCODING_GROWTH_MAX;
/// A request longer than this is sent as POST, in bytes: servers refuse longer request lines.
pub const CLIENT_TARGET_BYTES_MAX: usize = REQUEST_LINE_BYTES_MAX - 512;

/// Memory of one connection at most, in bytes: one read that waits to be parsed, a request in a buffer that grows by doubling, what is being
/// published of it, and answers that its client does not take. Nobody is read who does not take answers, so those are the answers of one turn; the worst are pull answers
/// for as many sessions, each with a full queue and the longest label at every event.
#[must_use]
pub const fn connection_bytes_max(queue_bytes: u32, queue_events: u32) -> u64 {
    let labels = queue_events as u64 * (ENCODING_GROWTH_MAX * LABEL_BYTES_MAX) as u64;
    let answer = queue_bytes as u64 + labels + 4096;
    (READ_BYTES_PER_TURN_MAX + 4 * BODY_BYTES_MAX) as u64 + REQUESTS_PER_TURN_MAX as u64 * answer
}

const _: () = assert!(connection_bytes_max(QUEUE_BYTES_DEFAULT, QUEUE_EVENTS_DEFAULT) < 128 * 1024 * 1024);
const _: () = assert!(CORES_RANGE.1 <= SHARDS as u32, "every core holds a shard");
const _: () = assert!(BODY_BYTES_MAX * 16 < INBOX_BYTES_MAX);
const _: () = assert!(BODY_BYTES_MAX * 16 <= INTAKE_BYTES_MAX);
const _: () = assert!(SECRET_BYTES_RANGE.1 * 4 < REQUEST_LINE_BYTES_MAX, "a secret fits into a query, percent-encoded");
const _: () = assert!(SECRETS_PER_KEY_MAX * (SECRET_BYTES_RANGE.1 + 2) < KEY_FILE_BYTES_MAX);
const _: () = assert!(NARROW_STARS_MAX < PATTERN_STARS_MAX);
const _: () = assert!(REQUEST_LINE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(CLIENT_BACKOFF_MS < CLIENT_BACKOFF_MAX_MS);
const _: () = assert!(CLIENT_TICK_MS < CLIENT_BACKOFF_MS);
const _: () = assert!(CLIENT_IDLE_MS < KEEP_ALIVE_IDLE_MS);
const _: () = assert!(SOURCE_LINE_BYTES_MAX < BODY_BYTES_MAX, "the event of a line is no longer than one by POST");
const _: () = assert!(SOURCES_MAX * 3 / 2 <= WATCHED_SUBJECTS_MAX, "there is room for sources that the program adds");
const _: () = assert!(SOURCE_BACKOFF_MS < SOURCE_BACKOFF_MAX_MS);
const _: () = assert!(HEAD_BYTES_MAX < BODY_BYTES_MAX);
const _: () = assert!(WRITES_PER_CALL_MAX.is_power_of_two() && WRITES_PER_TURN_MAX.is_multiple_of(WRITES_PER_CALL_MAX));
const _: () = assert!(SLICES_PER_WRITE_MAX < 1024, "the kernel takes at most 1,024 slices");
const _: () = assert!(HEAD_DEADLINE_MS < KEEP_ALIVE_IDLE_MS);
const _: () = assert!(TICK_MS * 10 <= HEAD_DEADLINE_MS, "deadlines are kept to a tenth or better");
const _: () = assert!(SHARDS.is_power_of_two());
const _: () = assert!(DELIVERIES_PER_SLICE_MAX > 0, "a delivery comes to an end");
const _: () = assert!(SUBJECT_BYTES_MAX * SUBSCRIPTIONS_MAX < BODY_BYTES_MAX);
const _: () = assert!(RING_ENTRIES_DEFAULT.is_power_of_two());
const _: () = assert!(HEARTBEAT_MS_DEFAULT < SESSION_TIMEOUT_MS_DEFAULT, "a heartbeat keeps an idle stream's lease");
const _: () = assert!(PULL_WAIT_MS_DEFAULT < SESSION_TIMEOUT_MS_DEFAULT, "a waiting pull must not outlive its lease");
const _: () = assert!(PULL_REFRESH_WAIT_MS_DEFAULT.1 < PULL_REFRESH_TIMEOUT_MS_DEFAULT, "who obeys p_wait is alive");
const _: () = assert!(POLL_REFRESH_WAIT_MS_DEFAULT.1 < POLL_REFRESH_TIMEOUT_MS_DEFAULT, "who obeys p_wait is alive");
