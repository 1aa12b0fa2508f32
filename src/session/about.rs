//! What the worker can say of its process: for `show info` and the head of the statistics page.

use super::Services;
use crate::stats::Count;
use crate::stats::info::Process;
use crate::sys::process::cpu_time;

/// What else is counted for [`Process`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    /// Sockets that listen, the runtime sockets included.
    pub listening: u64,
    /// Connections to runtime sockets so far.
    pub cli_connections: u64,
    /// Commands there so far.
    pub cli_commands: u64,
}

impl Services {
    /// Most connections of the service, as the start computed it.
    pub fn maxconn_at_start(&self) -> u32 {
        self.limits_at_start.as_ref().map_or(self.maxconn, |limits| limits.maxconn)
    }

    /// The process at this moment.
    pub fn process(&self) -> Process {
        let limits = self.limits_at_start.as_ref();
        let uptime_ms = self.now.ms_since(self.started);
        let (pipes_used, pipes_free) = self.pipes.counts();
        let global = &self.config.global;
        let frontends = (0..self.config.frontends.len() as u32).map(crate::proxy::FrontendId);
        let bytes_out = frontends.map(|id| self.counters.frontend(id).get(Count::BytesOut)).sum();
        let mut process = Process {
            pid: std::process::id(),
            workers: 1,
            uptime_ms,
            started_s: self.started.wall_s(),
            descriptors_max: limits.map_or(0, |limits| limits.descriptors.max(limits.maxsock)),
            sockets_max: limits.map_or(0, |limits| limits.maxsock),
            maxconn: u64::from(self.maxconn),
            maxconn_at_start: u64::from(self.maxconn_at_start()),
            connections_total: self.ledger.cli_connections,
            requests_total: self.ledger.cli_commands,
            pipes_max: limits.map_or(0, |limits| u64::from(limits.maxpipes)),
            pipes_used: pipes_used as u64,
            pipes_free: pipes_free as u64,
            buffers_bytes: (self.buffers.lent() * self.buffers.size()) as u64,
            idle_pct: idle_pct(uptime_ms),
            node: global.node.clone().unwrap_or_else(|| crate::log::host_name().to_owned()),
            description: global.description.clone(),
            stopping: self.asked_to_stop,
            listeners: self.ledger.listening,
            dropped_logs: self.log.dropped(),
            bytes_out,
            ..Process::default()
        };
        process.count(&self.counters, self.now);
        let checked = self.config.servers.iter().filter(|server| server.check.is_some()).count();
        process.tasks = process.connections + (self.upstreams.len() + checked) as u64;
        process
    }
}

/// Share of the time since the start that the process did not compute.
fn idle_pct(uptime_ms: u64) -> u64 {
    let busy = cpu_time().as_millis() as u64 * 100 / uptime_ms.max(1);
    100 - busy.min(100)
}
