//! States that change while the worker runs, beside those of servers (see [`super::servers`]): backends with
//! and without servers, frontends paused, limits set by the operator; and how the statistics see all states.

use super::Services;
use super::boards::Thing;
use crate::balance::{Balancer, Weight};
use crate::check::agent::Agent;
use crate::check::{Admin, Outcome, Progress, Status, Verdict};
use crate::proxy::{BackendId, Config, FrontendId, ServerAddress, ServerId};
use crate::stats::Count;
use crate::stats::view::{BackendView, CheckView, FrontendView, ServerView, States as Views};
use crate::time::Now;

/// All of a worker's.
pub struct States {
    /// Backends by id.
    pub backends: Vec<BackendState>,
    /// Frontends by id.
    pub frontends: Vec<FrontendState>,
    /// Frontends that another worker paused, resumed or stopped: their sockets are still to follow.
    pub moved: Vec<FrontendId>,
}

/// Whether a backend has a server.
#[derive(Clone, Copy, Debug)]
pub struct BackendState {
    /// It has, or it has none configured.
    pub up: bool,
    /// Wall-clock second of the last change.
    pub changed_at: u64,
    /// Seconds without one before the last change.
    pub downtime: u64,
}

/// What the operator did to a frontend.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrontendState {
    /// `maxconn`, as configured or set since; the process's when absent.
    pub maxconn: Option<u32>,
    /// `disable frontend`.
    pub paused: bool,
    /// `shutdown frontend`.
    pub stopped: bool,
}

impl States {
    /// States as configured.
    pub fn new(config: &Config, balancers: &[Balancer], now: Now) -> States {
        let now_s = now.wall_s();
        let backend = |(backend, balancer): (&crate::proxy::Backend, &Balancer)| BackendState {
            up: backend.servers.is_empty() || is_served(balancer),
            changed_at: now_s,
            downtime: 0,
        };
        let frontend =
            |frontend: &crate::proxy::Frontend| FrontendState { maxconn: frontend.maxconn, ..FrontendState::default() };
        States {
            backends: config.backends.iter().zip(balancers).map(backend).collect(),
            frontends: config.frontends.iter().map(frontend).collect(),
            moved: Vec::new(),
        }
    }
}

fn is_served(balancer: &Balancer) -> bool {
    balancer.usable_counts() != (0, 0)
}

impl Services {
    /// Whether a backend has a server, or needs none.
    pub(super) fn has_server(&self, id: BackendId) -> bool {
        self.config[id].servers.is_empty() || is_served(&self.balancers[id.0 as usize])
    }

    /// Under the lock: notes that a backend got its first or lost its last server; says whether it lost it.
    pub(super) fn follow_backend(&mut self, id: BackendId) -> bool {
        let up = self.has_server(id);
        let now_s = self.now.wall_s();
        let state = &mut self.states.backends[id.0 as usize];
        if state.up == up {
            return false;
        }
        if up {
            state.downtime += now_s.saturating_sub(state.changed_at);
        }
        (state.up, state.changed_at) = (up, now_s);
        self.post_backend(id);
        !up
    }

    /// A server's state in a word, as the statistics show it.
    pub fn status_word(&self, id: ServerId) -> String {
        let state = &self.servers[id.0 as usize];
        let track = self.config[id].track;
        if let Some(of) = track.filter(|_| state.admin.contains(Admin::INHERITED_MAINT)) {
            let (backend, server) = self.config.server_names(of);
            return format!("MAINT (via {backend}/{server})");
        }
        let checked = std::iter::successors(Some(id), |id| self.config[*id].track).last().unwrap_or(id);
        state.status_word_by(&self.servers[checked.0 as usize])
    }

    /// A server's limit of sessions.
    pub fn server_maxconn(&self, id: ServerId) -> Option<u32> {
        self.live[id.0 as usize].maxconn
    }

    /// A frontend's limit of sessions.
    pub fn frontend_maxconn(&self, id: FrontendId) -> u32 {
        self.states.frontends[id.0 as usize].maxconn.unwrap_or(self.maxconn)
    }

    /// Sets counters back: maxima only, or `all`.
    pub fn clear_counters(&mut self, all: bool) {
        self.counters.clear_everything(all);
        if all {
            self.clear_downtime();
        }
    }
}

/// What the statistics show of an agent.
fn agent_view(agent: &Agent, progress: Progress, generation: u64) -> CheckView {
    let status = agent.last.status;
    CheckView {
        duration_ms: (status != Status::Initializing).then(|| progress.duration(generation, &agent.last).0),
        rise: 1,
        fall: 1,
        health: u32::from(!agent.is_down),
        ..check_view(&agent.last, progress)
    }
}

/// What they show of a result, and of the check that may be under way: then it is its status alone.
fn check_view(last: &Outcome, progress: Progress) -> CheckView {
    let running = progress.is_under_way();
    CheckView {
        word: last.status.word(),
        description: last.status.description(),
        // That of a program stays until there is another.
        code: last.status.has_code().then_some(if running && !last.status.is_programs() { 0 } else { last.code }),
        info: if running { Vec::new() } else { last.info.clone() },
        duration_ms: None,
        running,
        rise: 0,
        fall: 0,
        health: 0,
    }
}

impl Views for Services {
    fn server(&self, id: ServerId) -> ServerView {
        let state = &self.servers[id.0 as usize];
        let server = &self.config[id];
        let now_s = self.now.wall_s();
        let active = state.is_checked && state.checks_enabled;
        let check = active && !(state.admin.is_maintenance() && state.checks_paused);
        let generation = self.boards.followed(Thing::Server(id));
        let duration = || self.boards.check(id).duration(generation, &state.last).0;
        ServerView {
            status: self.status_word(id),
            maintained: state.admin.is_maintenance(),
            down: !state.is_up(),
            weight: self.live[id.0 as usize].effective,
            throttle: state.throttle(self.balancers[server.backend.0 as usize].is_dynamic(), now_s),
            user_weight: state.weight,
            changed_s: now_s.saturating_sub(state.changed_at),
            downtime_s: state.downtime_s(now_s),
            checked: active,
            check: check.then(|| CheckView {
                duration_ms: (state.last.status.verdict() != Verdict::Unknown).then(duration),
                rise: state.health.rise(),
                fall: state.health.fall(),
                health: state.health.value(),
                ..check_view(&state.last, self.boards.check(id))
            }),
            agent: state.agent.enabled.then(|| agent_view(&state.agent, self.boards.agent_check(id), generation)),
            address: match state.admin.contains(Admin::RESOLUTION_MAINT) {
                true => String::new(),
                false => address_text(&self.places[id.0 as usize].address),
            },
            cookie: self.cookies.of(id).map(str::to_owned),
            maxconn: self.server_maxconn(id),
            idle_max: server.pool_max_conn,
        }
    }

    fn backend(&self, id: BackendId) -> BackendView {
        let state = self.states.backends[id.0 as usize];
        let balancer = &self.balancers[id.0 as usize];
        let now_s = self.now.wall_s();
        let since = now_s.saturating_sub(state.changed_at);
        let (active, backup) = balancer.usable_counts();
        let servers = self.config.servers_of(id);
        let in_charge = servers.filter(|(_, server)| balancer.is_in_charge(server.seat));
        let user_weight = in_charge.map(|(server, _)| self.servers[server.0 as usize].weight).sum();
        BackendView {
            up: state.up,
            weight: balancer.total_weight().0.div_ceil(Weight::SCALE),
            user_weight,
            active,
            backup,
            downs: self.counters.backend(id).get(Count::CheckDowns),
            changed_s: since,
            downtime_s: state.downtime + if state.up { 0 } else { since },
        }
    }

    fn frontend(&self, id: FrontendId) -> FrontendView {
        let state = self.states.frontends[id.0 as usize];
        let stopped = state.stopped || self.stopping;
        FrontendView { maxconn: self.frontend_maxconn(id), paused: state.paused, stopped }
    }
}

/// A server's address as the statistics show it: an offset stands as the port.
pub fn address_text(address: &crate::proxy::ServerAddress) -> String {
    use crate::proxy::ServerAddress;
    match address {
        ServerAddress::Ip(address) => address.to_string(),
        ServerAddress::IpRelative(ip, offset) => std::net::SocketAddr::new(*ip, *offset as u16).to_string(),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => "unix".to_owned(),
    }
}

impl Services {
    /// How a server is seen, as `http-check send-state` tells it (manual 4.2).
    pub fn server_state_line(&self, id: ServerId) -> String {
        let (server, backend) = (&self.config[id], self.config[id].backend);
        let (address, port) = match &self.places[id.0 as usize].address {
            ServerAddress::Ip(address) => (address.ip().to_string(), address.port().to_string()),
            ServerAddress::IpRelative(ip, offset) => (ip.to_string(), (*offset as u16).to_string()),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => ("unix".to_owned(), "unix".to_owned()),
        };
        let count = |of: ServerId| self.counters.server(of).get(Count::SessionsCurrent);
        let all = || self.config.servers_of(backend).map(|(of, _)| of);
        let weight = |of: ServerId| self.live[of.0 as usize].weight;
        let usable = all().filter(|of| self.live[of.0 as usize].usable).map(weight).sum::<u32>();
        format!(
            "{}; address={address}; port={port}; name={}/{}; node={}; weight={}/{usable}; scur={}/{}; qcur={}",
            self.status_word(id),
            self.config[backend].name,
            server.name,
            self.config.global.node.as_deref().unwrap_or_else(crate::log::host_name),
            weight(id),
            count(id),
            all().map(count).sum::<u64>(),
            self.counters.server(id).get(Count::QueueCurrent),
        )
    }
}
