//! The variables of a log format: one row each (manual 8.2.6, the table of variables).

use super::Moment;

/// What a variable stands for. The names follow the manual's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Var {
    /// `%o`: prints nothing; its flags become those of all that follow.
    Global,
    /// `%B`
    BytesOut,
    /// `%CC`
    RequestCookie,
    /// `%CS`
    ResponseCookie,
    /// `%H`
    Hostname,
    /// `%HM`
    Method,
    /// `%HP`
    UriPath,
    /// `%HPO`
    PathOnly,
    /// `%HQ`
    Query,
    /// `%HU`
    Uri,
    /// `%HV`
    Version,
    /// `%ID`
    UniqueId,
    /// `%ST`
    Status,
    /// `%T`
    GmtDate,
    /// `%Ta`
    ActiveTime,
    /// `%Tc`
    ConnectTime,
    /// `%Td`
    DataTime,
    /// `%Tl`
    LocalDate,
    /// `%Th`
    HandshakeTime,
    /// `%Ti`
    IdleTime,
    /// `%Tq`
    QueryTime,
    /// `%TR`
    RequestTime,
    /// `%Tr`
    ResponseTime,
    /// `%Ts`
    Timestamp,
    /// `%Tt`
    TotalTime,
    /// `%Tu`
    UserTime,
    /// `%Tw`
    WaitTime,
    /// `%U`
    BytesIn,
    /// `%ac`
    ProcessConnections,
    /// `%b`
    BackendName,
    /// `%bc`
    BackendConnections,
    /// `%bi`
    UpstreamSourceIp,
    /// `%bp`
    UpstreamSourcePort,
    /// `%bq`
    BackendQueue,
    /// `%ci`
    ClientIp,
    /// `%cp`
    ClientPort,
    /// `%f`
    FrontendName,
    /// `%fc`
    FrontendConnections,
    /// `%fi`
    FrontendIp,
    /// `%fp`
    FrontendPort,
    /// `%ft`
    FrontendTransport,
    /// `%lc`
    LogCounter,
    /// `%hr`
    RequestCaptures,
    /// `%hrl`
    RequestCapturesClf,
    /// `%hs`
    ResponseCaptures,
    /// `%hsl`
    ResponseCapturesClf,
    /// `%ms`
    AcceptMs,
    /// `%pid`
    Pid,
    /// `%r`
    RequestLine,
    /// `%rc`
    Retries,
    /// `%rt`
    RequestCounter,
    /// `%s`
    ServerName,
    /// `%sc`
    ServerConnections,
    /// `%si`
    ServerIp,
    /// `%sp`
    ServerPort,
    /// `%sq`
    ServerQueue,
    /// `%sslc`
    SslCipher,
    /// `%sslv`
    SslVersion,
    /// `%t`
    AcceptDate,
    /// `%tr`
    RequestDate,
    /// `%trg`
    RequestDateGmt,
    /// `%trl`
    RequestDateLocal,
    /// `%ts`
    Termination,
    /// `%tsc`
    TerminationCookie,
    /// `Connect from` and the client's address, or just `Connect` for a UNIX socket; only in the default format.
    ConnectFrom,
    /// The mode of the frontend, in capitals; only in the default format.
    FrontendMode,
}

/// One variable.
pub struct Row {
    /// Name behind the `%`.
    pub name: &'static str,
    /// What it prints.
    pub var: Var,
    /// Refused in TCP proxies (`H` in the manual's table).
    pub http: bool,
    /// When its value is final, which decides when the line is sent.
    pub moment: Moment,
}

const fn any(name: &'static str, var: Var) -> Row {
    Row { name, var, http: false, moment: Moment::Answer }
}

const fn end(name: &'static str, var: Var) -> Row {
    Row { name, var, http: false, moment: Moment::End }
}

const fn http(name: &'static str, var: Var) -> Row {
    Row { name, var, http: true, moment: Moment::Answer }
}

const fn http_end(name: &'static str, var: Var) -> Row {
    Row { name, var, http: true, moment: Moment::End }
}

/// All variables.
pub static ROWS: &[Row] = &[
    any("o", Var::Global),
    end("B", Var::BytesOut),
    http("CC", Var::RequestCookie),
    http("CS", Var::ResponseCookie),
    any("H", Var::Hostname),
    http("HM", Var::Method),
    http("HP", Var::UriPath),
    http("HPO", Var::PathOnly),
    http("HQ", Var::Query),
    http("HU", Var::Uri),
    http("HV", Var::Version),
    end("ID", Var::UniqueId),
    any("ST", Var::Status),
    any("T", Var::GmtDate),
    http_end("Ta", Var::ActiveTime),
    end("Tc", Var::ConnectTime),
    end("Td", Var::DataTime),
    any("Tl", Var::LocalDate),
    end("Th", Var::HandshakeTime),
    http_end("Ti", Var::IdleTime),
    http_end("Tq", Var::QueryTime),
    http_end("TR", Var::RequestTime),
    http_end("Tr", Var::ResponseTime),
    any("Ts", Var::Timestamp),
    end("Tt", Var::TotalTime),
    end("Tu", Var::UserTime),
    end("Tw", Var::WaitTime),
    end("U", Var::BytesIn),
    end("ac", Var::ProcessConnections),
    any("b", Var::BackendName),
    end("bc", Var::BackendConnections),
    any("bi", Var::UpstreamSourceIp),
    any("bp", Var::UpstreamSourcePort),
    end("bq", Var::BackendQueue),
    any("ci", Var::ClientIp),
    any("cp", Var::ClientPort),
    any("f", Var::FrontendName),
    end("fc", Var::FrontendConnections),
    any("fi", Var::FrontendIp),
    any("fp", Var::FrontendPort),
    any("ft", Var::FrontendTransport),
    any("lc", Var::LogCounter),
    any("hr", Var::RequestCaptures),
    any("hrl", Var::RequestCapturesClf),
    any("hs", Var::ResponseCaptures),
    any("hsl", Var::ResponseCapturesClf),
    any("ms", Var::AcceptMs),
    any("pid", Var::Pid),
    http("r", Var::RequestLine),
    end("rc", Var::Retries),
    any("rt", Var::RequestCounter),
    any("s", Var::ServerName),
    end("sc", Var::ServerConnections),
    any("si", Var::ServerIp),
    any("sp", Var::ServerPort),
    end("sq", Var::ServerQueue),
    any("sslc", Var::SslCipher),
    any("sslv", Var::SslVersion),
    any("t", Var::AcceptDate),
    http("tr", Var::RequestDate),
    http("trg", Var::RequestDateGmt),
    http("trl", Var::RequestDateLocal),
    end("ts", Var::Termination),
    http("tsc", Var::TerminationCookie),
];

/// The row of a name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
