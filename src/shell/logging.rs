//! The log: lines on standard error, written by a thread of their own so that a slow terminal stops nobody.

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::fmt;

use crate::config::{LogFormat, LogLevel};

/// Starts logging. The guard writes what is left when it is dropped.
pub(super) fn start(format: LogFormat, level: LogLevel) -> WorkerGuard {
    let (writer, guard) = NonBlocking::new(std::io::stderr());
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let lines = fmt().with_max_level(level).with_writer(writer).with_target(false);
    // A program that embeds the library may have its own subscriber: then that one stays.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    guard
}
