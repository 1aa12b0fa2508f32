//! Logging: formats, targets and the lines themselves (manual, chapter 8).
//!
//! A [`Logger`] is what a worker calls: [`Logger::exchange`] for traffic, [`Logger::message`] for what happens
//! to proxies and servers. It is told what to do by [`LogSettings`], whose [`Format`] and [`LogTarget`]s were
//! parsed from the configuration. Nothing here waits, and nothing fails visibly: a message that a target does
//! not take is counted and forgotten.

pub mod date;
pub mod format;
pub mod line;
pub mod logger;
mod settings;
pub mod syslog;
pub mod target;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

pub use format::{Format, Moment, Purpose};
pub use line::LogLine;
pub use logger::Logger;
pub use settings::LogSettings;
pub use syslog::Level;
pub use target::{Destination, LogTarget};

/// The machine's name, read at the first call.
pub fn host_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default())
}
