//! What a worker can say of the service, or of a worker: for `show info` and the head of the statistics page.

use super::Services;
use crate::proxy::FrontendId;
use crate::shm::{Slot, SlotWord};
use crate::stats::info::Process;
use crate::stats::{Count, Counters};
use crate::sys::process::cpu_time_of;
use std::sync::atomic::Ordering::Relaxed;

impl Services {
    /// Most connections of the service, as the start computed it.
    pub fn maxconn_at_start(&self) -> u32 {
        self.limits_at_start.as_ref().map_or(self.maxconn, |limits| limits.maxconn)
    }

    /// By backend, the sessions at which its servers get to their maxconn.
    pub(super) fn full_at(&self) -> Vec<u32> {
        let backends = (0..self.config.backends.len() as u32).map(crate::proxy::BackendId);
        backends.map(|id| self.config.full_at(id, self.maxconn_at_start())).collect()
    }

    /// Lets other workers see what is counted here alone.
    pub fn publish(&mut self) {
        let row = self.counters.process();
        let (pipes_used, pipes_free) = self.pipes.counts();
        for (column, n) in [
            (Count::PipesUsed, pipes_used),
            (Count::PipesFree, pipes_free),
            (Count::BuffersBytes, self.buffers.lent() * self.buffers.size()),
            (Count::UpstreamsCurrent, self.upstreams.len()),
        ] {
            row.set(column, n as u64);
        }
        let dropped = self.log.dropped();
        row.add(Count::DroppedLogs, dropped - self.dropped_published);
        self.dropped_published = dropped;
    }

    /// Notes when the service started: the first of its workers knows, and those that replace others ask them.
    pub fn note_start(&self) {
        let row = self.counters.process();
        let started = row.cells_of_generation(Count::ServiceStartUs).map(|cell| cell.load(Relaxed));
        let others = started.filter(|started| *started > 0);
        row.set(Count::ServiceStartUs, others.min().unwrap_or(self.started.wall_us));
    }

    /// The service at this moment, or the worker whose counters these are.
    pub fn process(&self, counters: &Counters) -> Process {
        let limits = self.limits_at_start.as_ref();
        let segment = counters.segment();
        let row = counters.process();
        let slot = counters.shown().unwrap_or(counters.slot());
        let started_us = match counters.shown() {
            Some(slot) => segment.word(slot, SlotWord::StartedUs).load(Relaxed),
            None => row.here(Count::ServiceStartUs),
        };
        let started_us = if started_us == 0 { self.started.wall_us } else { started_us };
        let global = &self.config.global;
        let frontends = (0..self.config.frontends.len() as u32).map(FrontendId);
        let mut process = Process {
            pid: segment.pid(slot) as u32,
            number: segment.number(slot) as u64,
            workers: counters.among().len() as u64,
            are_threads: !global.crew().are_processes,
            uptime_ms: self.now.wall_us.saturating_sub(started_us) / 1000,
            started_s: started_us / 1_000_000,
            descriptors_max: limits.map_or(0, |limits| limits.descriptors.max(limits.maxsock)),
            sockets_max: limits.map_or(0, |limits| limits.maxsock),
            maxconn: u64::from(self.maxconn),
            maxconn_at_start: u64::from(self.maxconn_at_start()),
            connection_rate_limit: self.rates.connections.map_or(0, u64::from),
            session_rate_limit: self.rates.sessions.map_or(0, u64::from),
            connections_total: row.get(Count::CliConnections),
            requests_total: row.get(Count::CliCommands),
            pipes_max: limits.map_or(0, |limits| u64::from(limits.maxpipes)),
            pipes_used: row.get(Count::PipesUsed),
            pipes_free: row.get(Count::PipesFree),
            buffers_bytes: row.get(Count::BuffersBytes),
            idle_pct: self.idle_pct(counters),
            node: global.node.clone().unwrap_or_else(|| crate::log::host_name().to_owned()),
            description: global.description.clone(),
            stopping: self.asked_to_stop,
            listeners: self.listening(),
            dropped_logs: row.get(Count::DroppedLogs),
            bytes_out: frontends.map(|id| counters.frontend(id).get(Count::BytesOut)).sum(),
            ..Process::default()
        };
        process.count(counters, self.now);
        let checked = self.config.servers_of_all().filter(|(_, server)| server.check.is_some()).count();
        process.tasks = process.connections + row.get(Count::UpstreamsCurrent) + checked as u64;
        process
    }

    /// Addresses that the service listens on, those of the runtime sockets included.
    fn listening(&self) -> u64 {
        if self.stopping {
            return 0;
        }
        let frontends = self.config.frontends.iter().zip(&self.states.frontends);
        let open = frontends.filter(|(frontend, state)| !frontend.disabled && !state.stopped);
        let addresses: usize = open.map(|(frontend, _)| frontend.binds.len()).sum();
        (addresses + self.config.global.cli_binds.len()) as u64
    }

    /// Share of the time since their start that the workers shown did not compute, on average.
    fn idle_pct(&self, counters: &Counters) -> u64 {
        let own = [counters.slot()];
        let slots: &[Slot] = match &counters.shown() {
            Some(slot) => &[*slot],
            None if counters.among().is_empty() => &own,
            None => counters.among(),
        };
        let idle = |slot: &Slot| {
            let segment = counters.segment();
            let started_us = segment.word(*slot, SlotWord::StartedUs).load(Relaxed);
            let age_ms = self.now.wall_us.saturating_sub(started_us) / 1000;
            // Who has just gone has done nothing.
            let busy_ms = cpu_time_of(segment.pid(*slot)).map_or(0, |busy| busy.as_millis() as u64);
            100 - (busy_ms * 100 / age_ms.max(1)).min(100)
        };
        slots.iter().map(idle).sum::<u64>() / slots.len() as u64
    }
}
