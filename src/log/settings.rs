//! Logging settings of one proxy, resolved.

use super::format::{Format, Moment};
use super::target::LogTarget;

/// Logging settings of one proxy.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// Where to; `log global` copies the global section's.
    pub targets: Vec<LogTarget>,
    /// `log-format`, `option httplog`, `option tcplog`; the default format when none is written.
    pub format: Format,
    /// `log-format-sd`: the structured data of RFC 5424 lines.
    pub structured_data: Option<Format>,
    /// `error-log-format`: instead of `format` for connections that never made a request.
    pub error_format: Option<Format>,
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

impl LogSettings {
    /// When the line of an exchange is sent: as soon as all that it prints is known, and with `option logasap`
    /// at the server's answer even when it is not. An exchange that ends earlier is logged at its end.
    pub fn moment(&self) -> Moment {
        let known = self.format.moment();
        if self.logasap { known.min(Moment::Answer) } else { known }
    }
}
