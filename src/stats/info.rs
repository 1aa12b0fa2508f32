//! What is known of the process: `show info` (management manual 9.3) and the head of the statistics page.

use std::fmt::Write;

use super::column::Type;
use super::record::{Value, write_json_value};
use super::{Count, Counters};
use crate::time::Now;
use crate::version::{RELEASE_DATE, VERSION};

/// The process at one moment.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its number among the workers, from 1.
    pub number: u64,
    /// Workers that share the service.
    pub workers: u64,
    /// They stand for the threads of one process (`nbthread`).
    pub are_threads: bool,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Second of the start since the epoch.
    pub started_s: u64,
    /// Limit of descriptors.
    pub descriptors_max: u64,
    /// Descriptors that so many connections need.
    pub sockets_max: u64,
    /// Most connections now, and at the start.
    pub maxconn: u64,
    /// See [`Process::maxconn`].
    pub maxconn_at_start: u64,
    /// Connections.
    pub connections: u64,
    /// Connections accepted so far, to the runtime sockets, too.
    pub connections_total: u64,
    /// Requests so far.
    pub requests_total: u64,
    /// Accepted in the last second, and most in any.
    pub connection_rate: u64,
    /// See [`Process::connection_rate`].
    pub connection_rate_max: u64,
    /// Pipes: most, in use, spare.
    pub pipes_max: u64,
    /// See [`Process::pipes_max`].
    pub pipes_used: u64,
    /// See [`Process::pipes_max`].
    pub pipes_free: u64,
    /// Bytes of buffers lent.
    pub buffers_bytes: u64,
    /// Sessions, checks and connections to servers.
    pub tasks: u64,
    /// Share of the time that the process did not compute, in percent.
    pub idle_pct: u64,
    /// `node`, or the host's name.
    pub node: String,
    /// `description`.
    pub description: Option<String>,
    /// A soft stop is under way.
    pub stopping: bool,
    /// Sockets that listen.
    pub listeners: u64,
    /// Limit of new connections a second, 0 if there is none.
    pub connection_rate_limit: u64,
    /// Limit of new sessions a second, 0 if there is none.
    pub session_rate_limit: u64,
    /// Log lines lost.
    pub dropped_logs: u64,
    /// Bytes sent to clients.
    pub bytes_out: u64,
}

/// How the lines of `show info` look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `Name: value`
    #[default]
    Plain,
    /// `0.Name.1:POS:str:value`
    Typed,
    /// One array.
    Json,
}

/// One line of `show info`.
struct Entry(usize, &'static str, &'static str, Type, Value, &'static str);

impl Process {
    /// Takes what counters know.
    pub fn count(&mut self, counters: &Counters, now: Now) {
        let row = counters.process();
        self.connections = row.get(Count::SessionsCurrent);
        self.connections_total += row.get(Count::ConnectionsTotal);
        self.requests_total += row.get(Count::RequestsTotal);
        self.connection_rate = row.rate(Count::ConnectionRate, now);
        self.connection_rate_max = row.max(Count::ConnectionRateMax);
    }

    /// What `nbproc` asked for.
    pub fn processes(&self) -> u64 {
        if self.are_threads { 1 } else { self.workers }
    }

    /// What `nbthread` asked for, where it asked for workers.
    pub fn threads(&self) -> u64 {
        if self.are_threads { self.workers } else { 1 }
    }

    /// `0d 0h02m18s`
    pub fn uptime(&self) -> String {
        let s = self.uptime_ms / 1000;
        format!("{}d {}h{:02}m{:02}s", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60)
    }

    /// Appends `show info`; `float` shows more of the numbers that have more, `describe` explains each.
    pub fn write(&self, form: Form, float: bool, describe: bool, out: &mut Vec<u8>) {
        let mut text = String::new();
        if form == Form::Json {
            return self.write_json(out);
        }
        for Entry(position, name, tag, kind, value, description) in self.entries(float) {
            // Writes into strings do not fail.
            let _ = match form {
                Form::Typed => write!(text, "{position}.{name}.1:{tag}:{}:", kind.name()),
                _ => write!(text, "{name}: "),
            };
            let _ = match value {
                Value::Number(number) => write!(text, "{number}"),
                Value::Text(value) => write!(text, "{value}"),
                Value::Octets(value) => write!(text, "{}", String::from_utf8_lossy(&value)),
                Value::Empty => Ok(()),
            };
            if describe {
                let _ = write!(text, ":\"{description}\"");
            }
            text.push('\n');
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, Entry(position, name, tag, kind, value, _)) in self.entries(false).into_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(format!("{{\"field\":{{\"pos\":{position},\"name\":\"{name}\"}},").as_bytes());
            write_json_value(tag, kind, &value, out);
        }
        out.extend_from_slice(b"]\n");
    }

    fn entries(&self, _float: bool) -> Vec<Entry> {
        use Type::{Str, U32};
        let number = |n: u64| Value::Number(n as i64);
        let text = |t: &str| Value::Text(t.to_owned());
        let mut all = vec![
            Entry(0, "Name", "POS", Str, text("HAProxy"), "Product"),
            Entry(1, "Version", "POS", Str, text(VERSION), "Version of the product"),
            Entry(2, "Release_date", "POS", Str, text(RELEASE_DATE), "Day of that version"),
            Entry(3, "Nbthread", "CGS", U32, number(self.threads()), "Workers, by nbthread"),
            Entry(4, "Nbproc", "CGS", U32, number(self.processes()), "Workers, by nbproc"),
            Entry(5, "Process_num", "KGP", U32, number(self.number), "This worker's number"),
            Entry(6, "Pid", "SGP", U32, number(u64::from(self.pid)), "This worker's process id"),
            Entry(7, "Uptime", "MDP", Str, text(&self.uptime()), "Time since the start"),
            Entry(8, "Uptime_sec", "MDP", U32, number(self.uptime_ms / 1000), "The same in seconds"),
            Entry(9, "Memmax_MB", "CLP", U32, number(0), "Limit of memory in MB (-m)"),
            Entry(10, "PoolAlloc_MB", "MGP", U32, number(self.buffers_bytes >> 20), "MB of buffers held"),
            Entry(11, "PoolUsed_MB", "MGP", U32, number(self.buffers_bytes >> 20), "MB of buffers in use"),
            Entry(12, "PoolFailed", "MCP", U32, number(0), "Buffers that could not be had"),
            Entry(13, "Ulimit-n", "CLP", U32, number(self.descriptors_max), "Limit of descriptors"),
            Entry(14, "Maxsock", "CLP", U32, number(self.sockets_max), "Limit of sockets"),
            Entry(15, "Maxconn", "CLP", U32, number(self.maxconn), "Limit of connections"),
            Entry(16, "Hard_maxconn", "CLP", U32, number(self.maxconn_at_start), "Limit of connections at the start"),
        ];
        all.extend(self.traffic());
        all.extend(self.condition());
        all
    }

    fn traffic(&self) -> Vec<Entry> {
        use Type::U32;
        let none = |position, name, tag| Entry(position, name, tag, U32, Value::Number(0), "Not used here");
        let number = |n: u64| Value::Number(n as i64);
        let rate = self.connection_rate;
        vec![
            Entry(17, "CurrConns", "MGP", U32, number(self.connections), "Connections of clients now"),
            Entry(18, "CumConns", "MCP", U32, number(self.connections_total), "Connections since the start"),
            Entry(19, "CumReq", "MCP", U32, number(self.requests_total), "Requests since the start"),
            none(20, "MaxSslConns", "MMP"),
            none(21, "CurrSslConns", "MGP"),
            none(22, "CumSslConns", "MCP"),
            Entry(23, "Maxpipes", "CLP", U32, number(self.pipes_max), "Limit of pipes for splicing"),
            Entry(24, "PipesUsed", "MGP", U32, number(self.pipes_used), "Pipes in use"),
            Entry(25, "PipesFree", "MGP", U32, number(self.pipes_free), "Spare pipes"),
            Entry(26, "ConnRate", "MRP", U32, number(rate), "Connections in the last second"),
            Entry(
                27,
                "ConnRateLimit",
                "CLP",
                U32,
                number(self.connection_rate_limit),
                "Limit of new connections a second",
            ),
            Entry(28, "MaxConnRate", "MMP", U32, number(self.connection_rate_max), "Most connections in a second"),
            Entry(29, "SessRate", "MRP", U32, number(rate), "Sessions in the last second"),
            Entry(30, "SessRateLimit", "CLP", U32, number(self.session_rate_limit), "Limit of new sessions a second"),
            Entry(31, "MaxSessRate", "MRP", U32, number(self.connection_rate_max), "Most sessions in a second"),
            none(32, "SslRate", "MRP"),
            none(33, "SslRateLimit", "CLP"),
            none(34, "MaxSslRate", "MMP"),
            none(35, "SslFrontendKeyRate", "MGP"),
            none(36, "SslFrontendMaxKeyRate", "MMP"),
            none(37, "SslFrontendSessionReuse_pct", "MGP"),
            none(38, "SslBackendKeyRate", "MRP"),
            none(39, "SslBackendMaxKeyRate", "MMP"),
            none(40, "SslCacheLookups", "MCP"),
            none(41, "SslCacheMisses", "MCP"),
            none(42, "CompressBpsIn", "MRP"),
            none(43, "CompressBpsOut", "MRP"),
            none(44, "CompressBpsRateLim", "CLP"),
        ]
    }

    fn condition(&self) -> Vec<Entry> {
        use Type::{Str, U32, U64};
        let none = |position, name, tag, kind| Entry(position, name, tag, kind, Value::Number(0), "Not used here");
        let number = |n: u64| Value::Number(n as i64);
        let text = |t: &str| Value::Text(t.to_owned());
        let jobs = self.connections + self.listeners + 1;
        let mut all = vec![
            Entry(47, "Tasks", "MGP", U32, number(self.tasks), "Sessions and other work under way"),
            none(48, "Run_queue", "MGP", U32),
            Entry(49, "Idle_pct", "MaP", U32, number(self.idle_pct), "Percent of the time spent waiting"),
            Entry(50, "node", "COS", Str, text(&self.node), "Name of this node"),
        ];
        // HAProxy 2.6 leaves the line out where there is none; 1.6 does not, and some look for it by its name.
        let description = self.description.as_deref().unwrap_or_default();
        all.push(Entry(51, "description", "COS", Str, text(description), "Description of this node"));
        all.extend([
            Entry(52, "Stopping", "MGP", U32, number(u64::from(self.stopping)), "1 while it stops"),
            Entry(53, "Jobs", "MGP", U32, number(jobs), "Connections and listening sockets"),
            none(54, "Unstoppable Jobs", "MGP", U32),
            Entry(55, "Listeners", "MGP", U32, number(self.listeners), "Listening sockets"),
            none(56, "ActivePeers", "MGP", U32),
            none(57, "ConnectedPeers", "MGP", U32),
            Entry(58, "DroppedLogs", "MGP", U32, number(self.dropped_logs), "Log lines that could not be sent"),
            none(59, "BusyPolling", "MGP", U32),
            none(60, "FailedResolutions", "MGP", U32),
            Entry(61, "TotalBytesOut", "MGP", U64, number(self.bytes_out), "Bytes sent to clients"),
            none(62, "TotalSplicdedBytesOut", "MGP", U64),
            none(63, "BytesOutRate", "MRP", U64),
            none(64, "DebugCommandsIssued", "MGP", U32),
            none(65, "CumRecvLogs", "MCP", U32),
            Entry(66, "Build info", "POS", Str, text(VERSION), "What was built"),
            none(67, "Memmax_bytes", "CLP", U32),
            Entry(68, "PoolAlloc_bytes", "MGP", U64, number(self.buffers_bytes), "Bytes of buffers held"),
            Entry(69, "PoolUsed_bytes", "MGP", U64, number(self.buffers_bytes), "Bytes of buffers in use"),
            Entry(70, "Start_time_sec", "MDP", U32, number(self.started_s), "Second of the start since 1970"),
            Entry(71, "Tainted", "SGP", Str, text("0"), "Debugging that was done to the process"),
        ]);
        all
    }
}
