//! The columns of a row and the nature of each.

use crate::shm::ROW_WORDS;

/// What kind of number a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// It only grows; `clear counters all` sets it to zero.
    Total,
    /// Likewise, a sliding sum over samples.
    Average,
    /// Likewise, a point in time of which the latest counts.
    Latest,
    /// A maximum; every `clear counters` sets it to zero.
    Max,
    /// What there is now: it goes with the worker that has it.
    Gauge,
    /// A word of a rate, see `Row::tick_rate`.
    Rate,
    /// It only grows and is never cleared.
    Kept,
}

macro_rules! columns {
    ($($(#[$doc:meta])* $column:ident $nature:ident)*) => {
        /// A column of a row. Rates take three words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        #[allow(missing_docs, reason = "the names are those of HAProxy's statistics, management manual 9.1")]
        pub enum Count {
            $($(#[$doc])* $column,)*
        }

        /// All columns, in the order of a row.
        pub const COUNTS: &[(Count, Nature)] = &[$((Count::$column, Nature::$nature)),*];

        /// Their names, which with their order make up the layout of a row.
        pub const NAMES: &[&str] = &[$(stringify!($column)),*];
    };
}

columns! {
    SessionsCurrent Gauge
    SessionsMax Max
    SessionsTotal Total
    ConnectionsTotal Total
    RequestsTotal Total
    BytesIn Total
    BytesOut Total
    DeniedRequests Total
    DeniedResponses Total
    DeniedConnections Total
    DeniedSessions Total
    RequestErrors Total
    ConnectErrors Total
    ResponseErrors Total
    InternalErrors Total
    Retries Total
    Redispatches Total
    QueueCurrent Gauge
    QueueMax Max
    /// Monotonic microseconds since when the slot's oldest waiter waits; 0 when none does.
    QueueFront Gauge
    Chosen Total
    CheckFailures Total
    CheckDowns Total
    /// Times that `observe` saw too many errors in a row.
    ObservedFailures Total
    ClientAborts Total
    ServerAborts Total
    Intercepted Total
    FailedRewrites Total
    Connects Total
    Reuses Total
    IdleCurrent Gauge
    UsedCurrent Gauge
    Http1xx Total
    Http2xx Total
    Http3xx Total
    Http4xx Total
    Http5xx Total
    HttpOther Total
    /// Wall-clock second of the last session; 0 when there was none.
    LastSession Latest
    /// Log lines of a frontend (%lc).
    LogLines Kept
    /// Sliding sums over the last 1,024 samples (divide by that for the average), milliseconds.
    QueueTimeSum Average
    ConnectTimeSum Average
    ResponseTimeSum Average
    TotalTimeSum Average
    QueueTimeMax Max
    ConnectTimeMax Max
    ResponseTimeMax Max
    TotalTimeMax Max
    ConnectionRate Rate
    ConnectionRateAux1 Rate
    ConnectionRateAux2 Rate
    SessionRate Rate
    SessionRateAux1 Rate
    SessionRateAux2 Rate
    RequestRate Rate
    RequestRateAux1 Rate
    RequestRateAux2 Rate
    ConnectionRateMax Max
    SessionRateMax Max
    RequestRateMax Max
    /// Idle connections to a server that have carried more than one request; the others are not proven.
    IdleProven Gauge
    /// Connections that a server is likely to need.
    NeededCurrent Gauge
    /// Invalid messages seen.
    Captured Kept
    /// Connections to runtime sockets, and commands there.
    CliConnections Kept
    CliCommands Kept
    /// Log lines that could not be sent.
    DroppedLogs Kept
    PipesUsed Gauge
    PipesFree Gauge
    /// Bytes of buffers lent.
    BuffersBytes Gauge
    /// Connections to servers, open or being made.
    UpstreamsCurrent Gauge
    /// Wall-clock microseconds at which the service started that the worker belongs to.
    ServiceStartUs Gauge
}

const _: () = assert!(COUNTS.len() <= ROW_WORDS);
