//! Logging: formats, targets and the lines themselves (manual, chapter 8).

pub mod date;
pub mod format;

use std::sync::OnceLock;

pub use format::{Format, Moment};

/// One `log` line: where messages go and which of them (manual 3.1 and 4.2, `log`).
#[derive(Clone, Debug, Default)]
pub struct LogTarget {}

/// Logging settings of one proxy.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// Where to; `log global` copies the global section's.
    pub targets: Vec<LogTarget>,
    /// `log-format`, `option httplog`, `option tcplog`; the default format when none is written.
    pub format: Format,
    /// `log-format-sd`: the structured data of RFC 5424 lines.
    pub structured_data: Option<Format>,
    /// `log-tag`; the global one when absent.
    pub tag: Option<String>,
    /// `option dontlognull`.
    pub dontlognull: bool,
    /// `option dontlog-normal`.
    pub dontlog_normal: bool,
    /// `option log-separate-errors`.
    pub separate_errors: bool,
    /// `option logasap`.
    pub logasap: bool,
}

/// The machine's name, read at the first call.
pub fn host_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default())
}
