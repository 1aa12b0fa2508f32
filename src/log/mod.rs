//! Logging: formats, targets and the lines themselves.

/// One `log` line: where messages go and which of them (manual 3.1 and 4.2, `log`).
#[derive(Clone, Debug, Default)]
pub struct LogTarget {}

/// Logging settings of one proxy.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    /// Where to; `log global` copies the global section's.
    pub targets: Vec<LogTarget>,
    /// `option dontlognull`.
    pub dontlognull: bool,
    /// `option dontlog-normal`.
    pub dontlog_normal: bool,
    /// `option logasap`.
    pub logasap: bool,
}
