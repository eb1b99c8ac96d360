//! Every setting: its name, kind, default and meaning, each said once. Struct, reading, printing and help come from this table.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::access::{self, AccessConfig, PresenceConfig};
use super::kinds::{
    Address, AddressOrOff, AgentParts, Bytes, Choice, Count, CountOrAuto, FilePath, Kind, Millis, Switch, WebOrigins,
    count,
};
use super::layers::Layers;
use super::origin::Setting;
use super::secrets::{self, KeyConfig};
use super::sources::{self, SourceConfig};
use super::{Key, SettingLine, Table};
use crate::limits;
use crate::protocol::Overflow;

/// Which of the kernel's interfaces carries sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoDriver {
    /// io_uring where the kernel allows it, otherwise epoll.
    Auto,
    /// io_uring or no start.
    IoUring,
    /// epoll.
    Epoll,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least important kind of log line that is still written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What needs a person.
    Error,
    /// What may need one.
    Warn,
    /// Starts, stops and changes.
    Info,
    /// One line a session.
    Debug,
    /// One line a request.
    Trace,
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const RING_ENTRIES: Count = Count { range: limits::RING_ENTRIES_RANGE, power_of_two: true, note: "" };
const IO_DRIVERS: Choice<IoDriver> = Choice {
    words: &[("auto", IoDriver::Auto), ("io_uring", IoDriver::IoUring), ("epoll", IoDriver::Epoll)],
    placeholder: "auto|io_uring|epoll",
};
const OVERFLOWS: Choice<Option<Overflow>> = Choice {
    words: &[
        ("auto", None),
        (Overflow::Disconnect.name(), Some(Overflow::Disconnect)),
        (Overflow::DropOldest.name(), Some(Overflow::DropOldest)),
        (Overflow::Conflate.name(), Some(Overflow::Conflate)),
    ],
    placeholder: "auto|disconnect|drop-oldest|conflate",
};
const LOG_FORMATS: Choice<LogFormat> =
    Choice { words: &[("text", LogFormat::Text), ("json", LogFormat::Json)], placeholder: "text|json" };
const LOG_LEVELS: Choice<LogLevel> = Choice {
    words: &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ],
    placeholder: "error|warn|info|debug|trace",
};
const DEMOS: Choice<Option<bool>> =
    Choice { words: &[("auto", None), ("on", Some(true)), ("off", Some(false))], placeholder: "auto|on|off" };
const REFRESH_WAIT: Millis = Millis(limits::REFRESH_WAIT_MS_RANGE);
const REFRESH_TIMEOUT: Millis = Millis(limits::REFRESH_TIMEOUT_MS_RANGE);
const HTTP_DEADLINE: Millis = Millis(limits::HTTP_DEADLINE_MS_RANGE);

/// `"name" field: type, kind, default, "meaning";` for each setting, then the sub-tables.
macro_rules! settings {
    (
        $(#[$about:meta])*
        struct $struct:ident in $table:expr;
        $( $name:literal $field:ident: $type:ty, $kind:expr, $default:expr, $help:literal; )*
        $( sub $sub:ident: $sub_struct:ident, $sub_help:literal; )*
        $( list $list:ident: $list_type:ty, $take:path, $list_help:literal; )*
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $struct {
            $( #[doc = $help] pub $field: Setting<$type>, )*
            $( #[doc = $sub_help] pub $sub: $sub_struct, )*
            $( #[doc = $list_help] pub $list: Vec<$list_type>, )*
        }

        impl $struct {
            /// Takes every setting of the table out of `layers`; what is wrong is noted there.
            pub(super) fn take(layers: &mut Layers) -> Self {
                Self {
                    $( $field: layers.take(Key { table: $table, name: $name }, &$kind, $default), )*
                    $( $sub: $sub_struct::take(layers), )*
                    $( $list: $take(layers), )*
                }
            }

            /// Adds a line for every setting, in the order of the table.
            pub(super) fn describe(&self, lines: &mut Vec<SettingLine>) {
                $( lines.push(SettingLine {
                    key: Key { table: $table, name: $name },
                    value: $kind.print(&self.$field.value),
                    origin: self.$field.origin.clone(),
                    help: $help,
                    allowed: $kind.allowed(),
                    placeholder: $kind.placeholder(),
                }); )*
                $( self.$sub.describe(lines); )*
            }
        }
    };
}

settings! {
    /// Everything that an operator may decide, with the origin of each value.
    struct Config in Table::Top;
    "listen" listen: SocketAddr, Address, loopback(8080),
        "Where clients connect. Port 0 lets the kernel choose a free one";
    "admin" admin: Option<SocketAddr>, AddressOrOff, Some(loopback(8081)),
        "Where operations connect: /healthz, /readyz, /metrics. It asks for no password: keep it on loopback, or off";
    "cores" cores: Option<u32>, CountOrAuto(count(limits::CORES_RANGE)), None,
        "Event loops, one thread each; auto is as many as the machine or its control group offers";
    "pin" pin: bool, Switch, false,
        "Bind each event loop to one CPU";
    "io-driver" io_driver: IoDriver, IO_DRIVERS, IoDriver::Auto,
        "Kernel interface for sockets; auto takes io_uring where it is allowed, otherwise epoll";
    "ring-entries" ring_entries: u32, RING_ENTRIES, limits::RING_ENTRIES_DEFAULT,
        "Entries of a core's io_uring submission queue; without effect on epoll";
    "queue-size" queue_events: u32, count(limits::QUEUE_EVENTS_RANGE), limits::QUEUE_EVENTS_DEFAULT,
        "Events that may wait for one session (rule P-30)";
    "queue-bytes" queue_bytes: u32, Bytes(limits::QUEUE_BYTES_RANGE), limits::QUEUE_BYTES_DEFAULT,
        "Bytes that may wait for one session (rule P-30)";
    "overflow" overflow: Option<Overflow>, OVERFLOWS, None,
        "What happens to a session whose queue is full (rule P-30); auto is disconnect for stream, drop-oldest for pull and poll";
    "inbox-size" inbox_events: u32, count(limits::INBOX_EVENTS_RANGE), limits::INBOX_EVENTS_DEFAULT,
        "Events and requests that may wait in the inbox between each two cores; without effect on one core";
    "max-connections" connections_max: Option<u32>, CountOrAuto(count(limits::CONNECTIONS_RANGE)), None,
        "Connections of clients at most; auto derives it from the limit of open files";
    "session-timeout" session_timeout_ms: u64, Millis(limits::SESSION_TIMEOUT_MS_RANGE),
        limits::SESSION_TIMEOUT_MS_DEFAULT,
        "A session ends this long after its last request or write (rule P-28)";
    "heartbeat" heartbeat_ms: u64, Millis(limits::HEARTBEAT_MS_RANGE), limits::HEARTBEAT_MS_DEFAULT,
        "A stream carries hb after this much silence (rule P-14)";
    "batch-delay" batch_delay_ms: u64, Millis(limits::BATCH_DELAY_MS_RANGE), limits::BATCH_DELAY_MS_DEFAULT,
        "A busy core gathers events for at most this long before it writes; an idle one writes at once";
    "drain-time" drain_ms: u64, Millis(limits::DRAIN_MS_RANGE), limits::DRAIN_MS_DEFAULT,
        "A stopping server gives its connections this long to take their last bytes (rule P-32)";
    "demo" demo: Option<bool>, DEMOS, None,
        "Demo pages, and the sources that feed them (rule P-35); auto is on if listen is an address of this machine alone";
    "log-format" log_format: LogFormat, LOG_FORMATS, LogFormat::Text,
        "How log lines on standard error are written";
    "log-level" log_level: LogLevel, LOG_LEVELS, LogLevel::Info,
        "The least important log lines that are written";
    "config" config: Option<String>, FilePath, None,
        "File of settings in TOML. Without it no file is read";
    sub pushlet: PushletConfig, "The Pushlet protocol.";
    sub http: HttpConfig, "HTTP, for all doors.";
    list keys: KeyConfig, secrets::take, "`[[key]]`: who there is for the rules of access, in the order of the file.";
    list access: AccessConfig, access::take, "`[[access]]`: who may publish and subscribe; the first that matches a subject decides.";
    list presence: PresenceConfig, access::take_presence, "`[[presence]]`: whose comings and goings are told.";
    list sources: SourceConfig, sources::take, "`[[source]]`: what publishes by itself (rule P-35), in the order of the file.";
}

settings! {
    /// `[pushlet]`: what the Pushlet protocol leaves to the operator.
    struct PushletConfig in Table::Pushlet;
    "force-pull-all" force_pull_all: bool, Switch, false,
        "Every client gets pull, whatever mode it asks for (rule P-18)";
    "force-pull-agents" force_pull_agents: Vec<String>, AgentParts, Vec::new(),
        "Clients whose User-Agent contains one of these, in any letter case, get pull (rule P-18)";
    "expose-session-ids" expose_session_ids: bool, Switch, false,
        "p_from carries the publisher's secret session id, as the original did (rule P-22)";
    "pull-wait" pull_wait_ms: u64, Millis(limits::PULL_WAIT_MS_RANGE), limits::PULL_WAIT_MS_DEFAULT,
        "A pull refresh waits this long for events (rule P-15)";
    "pull-refresh-timeout" pull_refresh_timeout_ms: u64, REFRESH_TIMEOUT, limits::PULL_REFRESH_TIMEOUT_MS_DEFAULT,
        "A pull client with events waiting must come back within this time (rule P-29)";
    "poll-refresh-timeout" poll_refresh_timeout_ms: u64, REFRESH_TIMEOUT, limits::POLL_REFRESH_TIMEOUT_MS_DEFAULT,
        "A poll client with events waiting must come back within this time (rule P-29)";
    "pull-refresh-wait-min" pull_refresh_wait_min_ms: u64, REFRESH_WAIT, limits::PULL_REFRESH_WAIT_MS_DEFAULT.0,
        "Lowest p_wait of a pull client (rule P-17)";
    "pull-refresh-wait-max" pull_refresh_wait_max_ms: u64, REFRESH_WAIT, limits::PULL_REFRESH_WAIT_MS_DEFAULT.1,
        "Highest p_wait of a pull client (rule P-17)";
    "poll-refresh-wait-min" poll_refresh_wait_min_ms: u64, REFRESH_WAIT, limits::POLL_REFRESH_WAIT_MS_DEFAULT.0,
        "Lowest p_wait of a poll client (rule P-17)";
    "poll-refresh-wait-max" poll_refresh_wait_max_ms: u64, REFRESH_WAIT, limits::POLL_REFRESH_WAIT_MS_DEFAULT.1,
        "Highest p_wait of a poll client (rule P-17)";
    "detached-timeout" detached_timeout_ms: u64, Millis(limits::DETACHED_MS_RANGE), limits::DETACHED_MS,
        "A stream session is kept this long without its data connection (rule P-31)";
}

settings! {
    /// `[http]`: how patient the server is, and with which pages it speaks.
    struct HttpConfig in Table::Http;
    "allow-origins" allow_origins: Vec<String>, WebOrigins, Vec::new(),
        "Pages of these origins may use the server (CORS, rule P-33); * is every page";
    "head-timeout" head_timeout_ms: u64, HTTP_DEADLINE, limits::HEAD_DEADLINE_MS,
        "A request head must be complete within this time";
    "body-timeout" body_timeout_ms: u64, HTTP_DEADLINE, limits::BODY_DEADLINE_MS,
        "A request body must be complete within this time after its head";
    "idle-timeout" idle_timeout_ms: u64, HTTP_DEADLINE, limits::KEEP_ALIVE_IDLE_MS,
        "A connection on which no request begins is closed after this time";
    "ws-message-max" ws_message_max: u32, Bytes(limits::WS_MESSAGE_BYTES_RANGE), limits::WS_MESSAGE_BYTES_DEFAULT,
        "Longest message that a WebSocket takes, and longest frame; a longer one closes it with 1009";
    "ws-deflate" ws_deflate: bool, Switch, false,
        "WebSockets may carry compressed messages (RFC 7692): less to send, more to compute";
}
