//! Servers change: what a check or an order does to a server reaches the algorithm, the queues, the
//! counters, the log and standard error, in that order.

use super::Services;
use super::follow::moves_traffic;
use super::places::Promotion;
use crate::balance::Weight;
use crate::check::agent::Agent;
use crate::check::notice::{self, Names};
use crate::check::server::{CheckEffect, Ending};
use crate::check::{Admin, Change, Notice, Operation, ServerState, Tally};
use crate::log::Level;
use crate::notice as stderr;
use crate::proxy::{AdminAtStart, BackendId, Config, Server, ServerId};
use crate::stats::Count;
use crate::time::{Millis, Tick};

/// How often a server that starts slowly is given more.
const GROWS_EVERY: Millis = Millis(1000);

/// The servers as configured, at the wall-clock second `now_s`.
pub(super) fn at_start(config: &Config, now_s: u64) -> Vec<ServerState> {
    config.servers.written().iter().map(|server| configured(server, now_s)).collect()
}

/// One server as configured.
pub(super) fn configured(server: &Server, now_s: u64) -> ServerState {
    let checked = server.check.as_ref().map(|check| (check.rise, check.fall));
    let disabled = matches!(server.admin, AdminAtStart::Maintenance | AdminAtStart::Added);
    let state = ServerState::new(checked, server.weight, disabled, now_s);
    let agent = server.agent.as_ref().map_or_else(Agent::default, |agent| Agent::new(agent.number()));
    let mut state = ServerState { tracks: server.track.is_some(), slowstart_s: server.slowstart_s, agent, ..state };
    if server.lacks_address {
        state.lack_address();
    }
    if server.admin == AdminAtStart::Added {
        state.admin.remove(Admin::CONFIGURED_MAINT);
        state.checks_paused = false;
    }
    if server.written.is_none() {
        // The operator has them begin (`enable health`, `enable agent`).
        state.checks_enabled = false;
        state.agent.enabled = false;
        state.agent.is_down = server.agent.is_some();
    }
    state
}

impl Services {
    /// Lets `event` happen to a server (it is given the wall-clock second) and does all that follows.
    pub fn change_server(&mut self, id: ServerId, event: impl FnOnce(&mut ServerState, u64) -> CheckEffect) {
        self.change(id, |state, tracked, now_s| {
            let effect = event(state, now_s);
            let is_back = matches!(effect.change, Some(Change::Ready { .. } | Change::Resolves { maintained: false }));
            if let Some(tracked) = tracked.filter(|_| is_back) {
                state.stay_down(tracked);
            }
            effect
        });
    }

    /// Lets the servers that track `id` go the way it went, and those that track them; the log says `why` it did.
    fn hand_down(&mut self, id: ServerId, why: Option<&'static str>) {
        let config = self.config;
        let is_there = |tracker: &ServerId| !config[config[*tracker].backend].servers.is_gone(*tracker);
        for tracker in config[id].trackers().filter(is_there) {
            let mut again = true;
            while again {
                again = false;
                self.change(tracker, |state, tracked, now_s| {
                    let step = tracked.and_then(|tracked| state.follow(tracked, now_s));
                    again = step.is_some();
                    let change = step.flatten();
                    why.map_or(change, |why| change.map(|change| change.because(why))).into()
                });
            }
        }
    }

    /// Under the lock: a server takes over the state of the one that it tracks, in silence.
    pub(super) fn settle(&mut self, id: ServerId) {
        let Some(of) = self.config[id].track else { return };
        self.settle(of);
        let (tracked, now_s) = (self.servers[of.0 as usize].clone(), self.now.wall_s());
        let state = &mut self.servers[id.0 as usize];
        let mut moved = false;
        while state.follow(&tracked, now_s).is_some() {
            moved = true;
        }
        if moved {
            self.tell_balancer(id);
            self.post_server(id);
        }
    }

    /// The same, where `event` is given the state of the server that this one tracks as well.
    fn change(&mut self, id: ServerId, event: impl FnOnce(&mut ServerState, Option<&ServerState>, u64) -> CheckEffect) {
        let backend = self.config[id].backend;
        let guard = self.lock_state();
        let before = self.servers[id.0 as usize].clone();
        let tracked = self.config[id].track.map(|of| self.servers[of.0 as usize].clone());
        let effect = event(&mut self.servers[id.0 as usize], tracked.as_ref(), self.now.wall_s());
        let went_down = effect.change.is_some_and(Change::is_down);
        if went_down && self.config[id].ends_sessions_when_down {
            self.servers[id.0 as usize].end_sessions(Ending::Down);
        }
        let mut backend_lost = false;
        if self.servers[id.0 as usize] != before {
            self.tell_balancer(id);
            self.post_server(id);
            backend_lost = self.follow_backend(backend);
            if self.react(id, &before) || moves_traffic(&before, &self.servers[id.0 as usize]) {
                self.boards.hurry();
            }
        }
        drop(guard);
        let requeued = effect.change.map_or(0, |change| self.requeue(id, change));
        if matches!(effect.change, Some(Change::Maintenance { .. })) {
            self.upstreams.close_idle(id, &self.counters, &mut self.buffers);
        }
        let row = self.counters.server(id);
        row.add(Count::CheckFailures, u64::from(effect.failed));
        row.add(Count::CheckDowns, u64::from(went_down));
        for notice in self.notices(id, &effect, requeued) {
            self.say(backend, &notice);
        }
        if let Some(change) = effect.change {
            self.relieve_backups(id, change);
        }
        if backend_lost {
            self.counters.backend(backend).add(Count::CheckDowns, 1);
            self.say(backend, &notice::no_server(&self.config[backend].name, self.config[backend].is_listen));
        }
        self.hand_down(id, effect.change.and_then(Change::why));
    }

    /// Ends a server's sessions, in all workers.
    pub fn end_sessions(&mut self, id: ServerId, why: Ending) {
        self.change_server(id, |state, _| {
            state.end_sessions(why);
            CheckEffect::default()
        });
    }

    /// Sets a server's weight, 0 to 256 (`set weight`).
    pub fn set_server_weight(&mut self, id: ServerId, weight: u32) {
        self.change_server(id, |state, _| {
            state.weight = weight;
            let drains = state.admin.is_draining() && !state.admin.is_maintenance();
            drains.then_some(Change::StaysDraining).into()
        });
    }

    pub(super) fn tell_balancer(&mut self, id: ServerId) {
        let backend = self.config[id].backend;
        let state = &self.servers[id.0 as usize];
        let seat = self.config[id].seat;
        let balancer = &mut self.balancers[backend.0 as usize];
        let weight = state.effective_weight(balancer.is_dynamic(), self.now.wall_s());
        balancer.update(seat, weight, state.is_usable());
        let live = &mut self.live[id.0 as usize];
        (live.up, live.usable, live.weight) = (state.is_up(), state.is_usable(), state.weight);
        live.effective = weight.0.div_ceil(Weight::SCALE);
        if state.operation == Operation::Starting {
            self.grow_at = self.grow_at.min(self.now.tick() + GROWS_EVERY);
        }
    }

    /// When [`Services::grow`] is due.
    pub fn grow_at(&self) -> Tick {
        self.grow_at
    }

    /// Weights and limits of servers that came up lately grow (`slowstart`), in each worker by the same clock.
    pub fn grow(&mut self) {
        self.grow_at = Tick::NEVER;
        for id in self.config.servers.ids() {
            if self.servers[id.0 as usize].operation != Operation::Starting {
                continue;
            }
            if self.servers[id.0 as usize].clone().end_slowstart(self.now.wall_s()).is_some() {
                self.change_server(id, |state, now_s| state.end_slowstart(now_s).into());
            }
            self.tell_balancer(id);
            self.serve_queues(id);
        }
    }

    /// Requests that wait for a server that is gone choose again; one that came up serves those that wait.
    /// Says how many moved, of all workers in the first case.
    fn requeue(&mut self, id: ServerId, change: Change) -> u64 {
        if change.is_down() {
            let waiting = self.counters.server(id).get(Count::QueueCurrent);
            return if self.leave_server(id) { waiting } else { 0 };
        }
        let before = self.promoted.len();
        self.serve_queues(id);
        (self.promoted.len() - before) as u64
    }

    /// Requests that wait for a server that is gone choose again where `option redispatch` lets them; says
    /// whether it does.
    pub(super) fn leave_server(&mut self, id: ServerId) -> bool {
        let backend = self.config[id].backend;
        if !self.lets_go(backend) {
            return false;
        }
        for waiting in self.queues.drain_server(backend, id) {
            self.count_dequeued(backend, Some(id));
            self.promoted.push(Promotion { waiting, server: None });
        }
        true
    }

    /// Says what a state file did to a server, on standard error only: it was so before.
    pub(super) fn tell_restored(&self, id: ServerId, change: Change) {
        for notice in self.notices(id, &Some(change).into(), 0) {
            stderr::warning(format_args!("config : {}", notice.stderr));
        }
    }

    fn notices(&self, id: ServerId, effect: &CheckEffect, requeued: u64) -> Vec<Notice> {
        if !effect.reported && effect.change.is_none() {
            return Vec::new();
        }
        let (server, names) = (&self.config[id], self.names_of(id));
        let backend = &self.config[server.backend];
        let state = &self.servers[id.0 as usize];
        let mut notices = Vec::new();
        if effect.reported && backend.log_health_checks {
            notices.push(notice::health_check(names, state, effect));
        }
        if let Some(change) = effect.change {
            let (active, backup) = self.balancers[server.backend.0 as usize].usable_counts();
            let sessions = self.counters.server(id).get(Count::SessionsCurrent);
            // Those of other workers that choose again may not have left yet.
            let all_left = change.is_down() && requeued > 0;
            let queued = if all_left { 0 } else { self.counters.server(id).get(Count::QueueCurrent) };
            let tally = Tally { active, backup, sessions, requeued, queued };
            notices.extend(notice::announce(names, state, change, &tally, backend.log_health_checks));
        }
        notices
    }

    /// How messages name a server.
    pub(super) fn names_of(&self, id: ServerId) -> Names<'_> {
        let server = &self.config[id];
        Names {
            backend: &self.config[server.backend].name,
            server: &server.name,
            is_backup: server.backup,
            host: self.places[id.0 as usize].name.as_deref(),
            tracked: server.track.map(|of| self.config.server_names(of)),
        }
    }

    /// Raises an alarm about a backend, on standard error and in its log.
    pub(super) fn alert(&mut self, backend: BackendId, text: &str) {
        stderr::running(true, text);
        self.log.message(self.now, Level::Alert, &self.config[backend].log, format_args!("{text}"));
    }

    pub(super) fn say(&mut self, backend: BackendId, notice: &Notice) {
        stderr::running(notice.is_alert(), &notice.stderr);
        self.log.message(self.now, notice.level, &self.config[backend].log, format_args!("{}", notice.log));
    }
}
