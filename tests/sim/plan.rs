//! What a seed decides about a run before it begins.

use pushletd::broker::Settings;
use pushletd::mesh::LaneBounds;
use pushletd::protocol::{Overflow, ShardTable};
use pushletd::session::Bounds;

use super::core::Patience;

/// A bound that no run comes near.
const PLENTY: Bounds = Bounds { events_max: 65_536, bytes_max: 64 * 1024 * 1024 };

/// Descriptors that wait in a socket, where that is roomy.
pub(crate) const DOOR_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cores: u16,
    pub(crate) clients: usize,
    /// How long clients do what they like, in milliseconds.
    pub(crate) duration_ms: u64,
    pub(crate) lanes: LaneBounds,
    pub(crate) settings: Settings,
    /// Queues that cannot be full.
    pub(crate) roomy: bool,
    pub(crate) patience: Patience,
    pub(crate) connections_max: usize,
    pub(crate) door_max: usize,
    /// How often a descriptor table is full, in thousandths.
    pub(crate) table_full: u32,
    /// The longest way of a bell, in microseconds.
    pub(crate) bell_us: u64,
    /// Mean time between two actions of a client, in milliseconds.
    pub(crate) pace_ms: u64,
    /// How often a core that is paused is paused for seconds, in percent.
    pub(crate) long_pauses: u32,
    /// Whether the clocks jump.
    pub(crate) clocks_jump: bool,
    /// Handles by which the server's own program publishes.
    pub(crate) handles: usize,
    /// Most of its events that wait at a core.
    pub(crate) intake: LaneBounds,
    /// Most subscriptions that one step of a delivery serves.
    pub(crate) slice: usize,
}

impl Plan {
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        let cores = rng.u16(1..=5);
        let roomy = rng.u32(..100) < 35;
        let bounds = match rng.u32(..100) {
            _ if roomy => PLENTY,
            0..60 => Bounds { events_max: rng.u32(2..16), bytes_max: PLENTY.bytes_max },
            60..85 => Bounds { events_max: PLENTY.events_max, bytes_max: rng.u32(600..4_000) },
            _ => Bounds { events_max: rng.u32(10..60), bytes_max: rng.u32(2_000..20_000) },
        };
        let overflow = rng.choice([None, None, Some(0), Some(1), Some(2)]).flatten().map(|at| Overflow::ALL[at]);
        let settings = Settings {
            core: 0,
            shards: ShardTable::new(cores),
            sessions_max: if rng.u32(..10) == 0 { 8 } else { 1_000 },
            bounds,
            overflow,
            session_timeout_ms: rng.u64(4_000..20_000),
            heartbeat_ms: rng.u64(500..4_000),
            pull_wait_ms: rng.u64(300..3_000),
            pull_refresh_timeout_ms: rng.u64(1_500..6_000),
            poll_refresh_timeout_ms: rng.u64(1_500..6_000),
            pull_refresh_wait_ms: (50, rng.u32(50..800)),
            poll_refresh_wait_ms: (100, rng.u32(100..1_500)),
            detached_timeout_ms: rng.u64(800..6_000),
            force_pull_all: rng.u32(..20) == 0,
            expose_session_ids: false,
            ..Settings::default()
        };
        let heartbeat_ms = settings.heartbeat_ms;
        Self {
            cores,
            clients: rng.usize(10..=36),
            duration_ms: rng.u64(5_500..12_000),
            lanes: LaneBounds {
                messages_max: rng.usize(16..=64),
                bytes_max: if rng.u32(..4) == 0 { rng.usize(1_500..8_000) } else { 1 << 20 },
            },
            settings,
            roomy,
            patience: Patience {
                head_ms: 2_000,
                body_ms: 3_000,
                idle_ms: rng.u64(3_000..20_000),
                silence_ms: heartbeat_ms + heartbeat_ms / 2,
                pong_ms: heartbeat_ms,
            },
            connections_max: if rng.u32(..6) == 0 { rng.usize(4..20) } else { 1_000 },
            door_max: if rng.u32(..4) == 0 { rng.usize(0..3) } else { DOOR_MAX },
            table_full: if rng.u32(..3) == 0 { rng.u32(50..400) } else { 0 },
            bell_us: rng.u64(50..20_000),
            pace_ms: rng.u64(200..1_200),
            long_pauses: rng.u32(..30),
            clocks_jump: rng.u32(..4) == 0,
            handles: rng.usize(0..=3),
            intake: LaneBounds { messages_max: rng.usize(1..6), bytes_max: 4_000 },
            slice: if rng.u32(..3) == 0 { rng.usize(1..6) } else { 2_048 },
        }
    }

    /// What is set when the run is to come to rest: nobody is given up, and no queue gets full.
    pub(crate) fn at_rest(&self) -> Settings {
        Settings {
            sessions_max: 100_000,
            bounds: PLENTY,
            session_timeout_ms: 3_600_000,
            pull_refresh_timeout_ms: 3_600_000,
            poll_refresh_timeout_ms: 3_600_000,
            detached_timeout_ms: 3_600_000,
            ..self.settings.clone()
        }
    }
}
