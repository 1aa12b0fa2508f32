//! What signals do to a worker: stop, pause, resume, and tell (management manual, section 4).

use super::worker::Worker;
use crate::log::{Level, LogSettings};
use crate::notice;
use crate::process::{self, Request};
use crate::proxy::{BackendId, Config, FrontendId, ListenAddress};
use crate::shm::SlotState;
use crate::stats::Count;
use crate::time::{Millis, Tick};

/// How long connections may outlive a hard stop before the process leaves without them.
const HARD_STOP_WAIT: Millis = Millis::from_secs(1);

/// How far a stop has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stop {
    /// None was asked for.
    #[default]
    Not,
    /// Nothing changes before then (`grace`).
    Grace(Tick),
    /// What is under way may finish, but not longer than until then (`hard-stop-after`).
    Soft(Tick),
    /// What was under way has been ended; what has not gone by then is left alone.
    Hard(Tick),
}

/// A proxy as messages name it. The two sides of a `listen` are one.
struct Named {
    ordinal: u32,
    kind: &'static str,
    frontend: Option<FrontendId>,
    backend: Option<BackendId>,
    name: &'static str,
    log: &'static LogSettings,
    disabled: bool,
    /// `None` where it listens nowhere, otherwise whether a UNIX socket is among its addresses: those are
    /// closed last, so that the last of the proxy's sockets is closed later.
    unix: Option<bool>,
}

/// All proxies in the order of their sections.
fn proxies(config: &'static Config) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    for (index, proxy) in (0..).zip(&config.frontends) {
        let is_unix = |address: &ListenAddress| matches!(address, ListenAddress::Unix(_) | ListenAddress::Abstract(_));
        all.push(Named {
            ordinal: proxy.ordinal,
            kind: if proxy.is_listen { "proxy" } else { "frontend" },
            frontend: Some(FrontendId(index)),
            backend: None,
            name: &proxy.name,
            log: &proxy.log,
            disabled: proxy.disabled,
            unix: (!proxy.binds.is_empty()).then(|| proxy.binds.iter().any(|bind| is_unix(&bind.address))),
        });
    }
    for (index, proxy) in (0..).zip(&config.backends) {
        let backend = Some(BackendId(index));
        if let Some(same) = all.iter_mut().find(|named| named.ordinal == proxy.ordinal) {
            same.backend = backend;
            continue;
        }
        let (name, log) = (&*proxy.name, &proxy.log);
        let disabled = proxy.disabled;
        all.push(Named {
            ordinal: proxy.ordinal,
            kind: "backend",
            frontend: None,
            backend,
            name,
            log,
            disabled,
            unix: None,
        });
    }
    all.sort_by_key(|named| named.ordinal);
    all
}

impl Worker {
    /// Does what the signals ask for.
    pub(super) fn signalled(&mut self) {
        while let Ok(Some(request)) = self.signals.next_request() {
            match request {
                Request::SoftStop => self.ask_to_stop(),
                Request::HardStop(signal) => self.ended = Some(process::stop_now(signal)),
                Request::Pause if self.listeners.pause(self.core.services.config) => {
                    self.cli.pause(self.core.services.config);
                    self.tell_listening("Paused");
                }
                Request::Resume if self.listeners.resume() => {
                    self.cli.resume();
                    self.tell_listening("Resumed");
                }
                Request::Pause | Request::Resume => {}
                Request::DumpServers => self.dump_servers(),
                Request::DumpMemory => self.dump_memory(),
            }
        }
    }

    /// Stops at once, or when `grace` is over. Who has a successor need not wait: nobody in front has to notice, and
    /// what asks for `stopping` must not take the old process's word for the service's.
    fn ask_to_stop(&mut self) {
        match self.core.services.config.global.grace {
            _ if self.stop != Stop::Not => {}
            None => self.soft_stop(),
            Some(_) if self.has_successor() => self.soft_stop(),
            Some(grace) => {
                let text = format!("Scheduling a soft-stop in {} ms.", grace.0);
                notice::notice(&text);
                self.log_globally(Level::Warning, &text);
                // Whoever asks whether this process may get work learns it now, so that it can leave in time.
                self.core.services.asked_to_stop = true;
                self.stop = Stop::Grace(self.core.services.now.tick() + grace);
            }
        }
    }

    /// Whether workers of a newer generation are here.
    fn has_successor(&self) -> bool {
        let counters = &self.core.services.counters;
        let segment = counters.segment();
        let own = segment.generation(counters.slot());
        segment.slots().living().any(|slot| {
            segment.generation(slot) > own && matches!(segment.state(slot), SlotState::Starting | SlotState::Serving)
        })
    }

    /// Stops listening and lets what is under way finish.
    fn soft_stop(&mut self) {
        let services = &self.core.services;
        services.counters.segment().set_state(services.counters.slot(), SlotState::Finishing);
        let after = services.config.global.hard_stop_after;
        self.stop = Stop::Soft(after.map_or(Tick::NEVER, |after| services.now.tick() + after));
        self.listeners.drain(&mut self.core);
        self.linger();
        self.cli.stop();
        for proxy in self.in_closing_order() {
            let frontend = proxy.as_ref().and_then(|proxy| proxy.frontend);
            // It was said of those that were shut down when they were.
            let is_stopped = frontend.is_some_and(|id| self.core.services.states.frontends[id.0 as usize].stopped);
            if !is_stopped && !self.lingering.iter().any(|(_, id)| Some(*id) == frontend) {
                self.tell_stopped(proxy.as_ref());
            }
        }
        self.core.soft_stop();
    }

    /// Closes what listens, but for proxies with a `grace` of their own: they go on until it is over, unless the
    /// service has a successor.
    fn linger(&mut self) {
        let now = self.core.services.now.tick();
        let frontends = (0..).map(FrontendId).zip(&self.core.services.config.frontends);
        let graces = frontends.filter(|(_, frontend)| !frontend.disabled && !frontend.binds.is_empty());
        self.lingering = graces.filter_map(|(id, frontend)| Some((now + frontend.grace?, id))).collect();
        if self.lingering.is_empty() || self.has_successor() {
            self.lingering.clear();
            self.listeners.close();
            return;
        }
        let staying: Vec<FrontendId> = self.lingering.iter().map(|(_, id)| *id).collect();
        self.listeners.close_all_but(&staying);
    }

    /// Closes the frontends whose grace is over at `now`.
    fn end_graces(&mut self, now: Tick) {
        if self.lingering.is_empty() {
            return;
        }
        let due = |(until, _): &(Tick, FrontendId)| *until <= now;
        let over: Vec<FrontendId> = self.lingering.iter().filter(|one| due(one)).map(|(_, id)| *id).collect();
        self.lingering.retain(|one| !due(one));
        for id in over {
            self.listeners.close_frontend(id);
            let named = proxies(self.core.services.config).into_iter().find(|proxy| proxy.frontend == Some(id));
            if named.is_some() {
                self.tell_stopped(named.as_ref());
            }
        }
    }

    /// What a stop does next. Whether the process is to leave.
    pub(super) fn stop_goes_on(&mut self) -> bool {
        let now = self.core.services.now.tick();
        self.end_graces(now);
        match self.stop {
            Stop::Not => false,
            Stop::Grace(until) if now >= until => {
                let text = "Grace period expired, proceeding with soft-stop now.";
                notice::notice(text);
                self.log_globally(Level::Notice, text);
                self.soft_stop();
                false
            }
            Stop::Grace(_) => false,
            _ if self.core.sessions.is_empty() && self.cli.is_idle() && self.lingering.is_empty() => true,
            Stop::Soft(until) if now >= until => {
                self.hard_stop();
                false
            }
            Stop::Hard(until) if now >= until => {
                self.announce("Some tasks resisted to hard-stop, exiting now.");
                true
            }
            Stop::Soft(_) | Stop::Hard(_) => false,
        }
    }

    /// When [`Worker::stop_goes_on`] has something to do.
    pub(super) fn stop_deadline(&self) -> Tick {
        let graces = self.lingering.iter().map(|(until, _)| *until).min().unwrap_or(Tick::NEVER);
        match self.stop {
            Stop::Not => Tick::NEVER,
            Stop::Grace(until) | Stop::Soft(until) | Stop::Hard(until) => until.min(graces),
        }
    }

    /// Ends what is under way (`hard-stop-after`).
    fn hard_stop(&mut self) {
        self.end_graces(Tick::NEVER);
        self.stop = Stop::Hard(self.core.services.now.tick() + HARD_STOP_WAIT);
        self.announce("soft-stop running for too long, performing a hard-stop.");
        for proxy in proxies(self.core.services.config) {
            let Some(frontend) = proxy.frontend else { continue };
            let open = self.core.session_count(frontend);
            if open > 0 {
                let name = proxy.name;
                self.warn(proxy.log, format!("Proxy {name} hard-stopped ({open} remaining conns will be closed)."));
            }
        }
        self.core.kill_sessions();
    }

    /// The proxies in the order in which their last socket closes; `None` stands for the runtime sockets.
    fn in_closing_order(&self) -> Vec<Option<Named>> {
        let config = self.core.services.config;
        let (mut inet, mut unix, mut deaf) = (Vec::new(), Vec::new(), Vec::new());
        if !config.global.cli_binds.is_empty() {
            unix.push(None);
        }
        for proxy in proxies(config).into_iter().filter(|proxy| !proxy.disabled) {
            match proxy.unix {
                Some(false) => inet.push(Some(proxy)),
                Some(true) => unix.push(Some(proxy)),
                None => deaf.push(Some(proxy)),
            }
        }
        inet.into_iter().chain(unix).chain(deaf).collect()
    }

    /// Says what became of whoever listens.
    fn tell_listening(&mut self, what: &str) {
        for proxy in self.in_closing_order() {
            match proxy {
                None => notice::running(false, format_args!("{what} frontend GLOBAL.")),
                Some(proxy) if proxy.unix.is_some() => {
                    self.warn(proxy.log, format!("{what} {} {}.", proxy.kind, proxy.name));
                }
                Some(_) => {}
            }
        }
    }

    fn tell_stopped(&mut self, proxy: Option<&Named>) {
        let Some(proxy) = proxy else {
            let count = self.core.services.counters.process().get(Count::CliConnections);
            let text = format_args!("Proxy GLOBAL stopped (cumulated conns: FE: {count}, BE: {count}).");
            return notice::running(false, text);
        };
        let [front, back] = self.figures(proxy, Count::ConnectionsTotal, Count::SessionsTotal);
        let name = proxy.name;
        self.warn(proxy.log, format!("Proxy {name} stopped (cumulated conns: FE: {front}, BE: {back})."));
    }

    /// A column of both sides of a proxy.
    fn figures(&self, proxy: &Named, front: Count, back: Count) -> [u64; 2] {
        let counters = &self.core.services.counters;
        let front = proxy.frontend.map_or(0, |id| counters.frontend(id).get(front));
        [front, proxy.backend.map_or(0, |id| counters.backend(id).get(back))]
    }

    /// SIGHUP: tells the state of every server and proxy, once for all workers.
    fn dump_servers(&mut self) {
        if !self.core.services.boards.is_spokesman() {
            return;
        }
        notice::running(false, "SIGHUP received, dumping servers states.");
        let config = self.core.services.config;
        if !config.global.cli_binds.is_empty() {
            let total = self.core.services.counters.process().get(Count::CliConnections);
            let conns = format!("act(FE+BE): 0+0, 0 pend (0 unass), tot(FE+BE): {total}+{total}");
            notice::running(false, format_args!("SIGHUP: Proxy GLOBAL has no servers. Conn: {conns}."));
        }
        for proxy in proxies(config) {
            let heading = format!("SIGHUP received, dumping servers states for proxy {}.", proxy.name);
            self.log(Level::Notice, proxy.log, &heading);
            for text in self.server_lines(&proxy) {
                notice::running(false, &text);
                self.log(Level::Notice, proxy.log, &text);
            }
        }
    }

    fn server_lines(&self, proxy: &Named) -> Vec<String> {
        let services = &self.core.services;
        let mut lines = Vec::new();
        for (id, server) in proxy.backend.into_iter().flat_map(|id| services.config.servers_of(id)) {
            let state = if services.servers[id.0 as usize].is_up() { "UP" } else { "DOWN" };
            let row = services.counters.server(id);
            let (active, total) = (row.get(Count::SessionsCurrent), row.get(Count::SessionsTotal));
            let (name, queued) = (&server.name, row.get(Count::QueueCurrent));
            lines.push(format!(
                "SIGHUP: Server {}/{name} is {state}. Conn: {active} act, {queued} pend, {total} tot.",
                proxy.name
            ));
        }
        let servers = lines.len();
        let usable = proxy.backend.map_or((0, 0), |id| services.balancers[id.0 as usize].usable_counts());
        let state = match usable {
            _ if servers == 0 => "has no servers.".to_owned(),
            (0, 0) => "has no server available !".to_owned(),
            (0, _) => "is running on backup servers !".to_owned(),
            (active, backup) => format!("has {active} active servers and {backup} backup servers available."),
        };
        let [front, back] = self.figures(proxy, Count::SessionsCurrent, Count::SessionsCurrent);
        let [front_total, back_total] = self.figures(proxy, Count::ConnectionsTotal, Count::SessionsTotal);
        let queued = proxy.backend.into_iter().flat_map(|id| services.config.servers_of(id));
        let queued: u64 = queued.map(|(id, _)| services.counters.server(id).get(Count::QueueCurrent)).sum();
        let unassigned = proxy.backend.map_or(0, |id| services.counters.backend(id).get(Count::QueueCurrent));
        let pending = queued + unassigned;
        lines.push(format!(
            "SIGHUP: Proxy {} {state} Conn: act(FE+BE): {front}+{back}, {pending} pend ({unassigned} unass), \
             tot(FE+BE): {front_total}+{back_total}.",
            proxy.name
        ));
        lines
    }

    /// SIGQUIT: tells what the pools hold, and gives back what nobody uses.
    fn dump_memory(&mut self) {
        let core = &mut self.core;
        let (buffers, size) = (&core.services.buffers, core.services.buffers.size());
        let (pipes_used, pipes_free) = core.services.pipes.counts();
        let [session, exchange] = [size_of::<crate::session::Session>(), size_of::<crate::session::Exchange>()];
        let (sessions, exchanges) = (core.sessions.len(), core.exchanges.len());
        let upstreams = core.services.upstreams.len();
        let pools = [
            ("buffer", size, buffers.lent() + buffers.free(), buffers.lent()),
            ("session", session, core.sessions.capacity(), sessions),
            ("exchange", exchange, exchanges + core.spare_exchanges(), exchanges),
            ("upstream", size_of::<crate::upstream::Upstream>(), upstreams, upstreams),
            ("pipe", 0, pipes_used + pipes_free, pipes_used),
        ];
        let mut page = "Dumping pools usage. Use SIGQUIT to flush them.\n".to_owned();
        let (mut all, mut in_use) = (0, 0);
        for (name, bytes, allocated, used) in pools {
            let (held, busy) = (allocated * bytes, used * bytes);
            (all, in_use) = (all + held, in_use + busy);
            page += &format!("  - Pool {name} ({bytes} bytes) : {allocated} allocated ({held} bytes), {used} used\n");
        }
        page += &format!("Total: {} pools, {all} bytes allocated, {in_use} used.\n", pools.len());
        notice::page(&page);
        core.services.buffers.flush();
        core.flush_spare();
    }

    /// Warns on standard error and in a proxy's log.
    fn warn(&mut self, settings: &LogSettings, text: String) {
        notice::running(false, &text);
        self.log(Level::Warning, settings, &text);
    }

    fn log(&mut self, level: Level, settings: &LogSettings, text: &str) {
        let services = &mut self.core.services;
        services.log.message(services.now, level, settings, format_args!("{text}"));
    }

    /// Warns of something that concerns no single proxy.
    fn announce(&mut self, text: &str) {
        notice::running(false, text);
        self.log_globally(Level::Warning, text);
    }

    fn log_globally(&mut self, level: Level, text: &str) {
        let services = &mut self.core.services;
        services.log.global(services.now, level, format_args!("{text}"));
    }
}
