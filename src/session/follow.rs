//! States that are one for all workers: how a worker takes them over at its start, follows what others change
//! and changes them itself.
//!
//! The order of a change is: lock, follow, apply, post, unlock; then what follows from it here. Logging and
//! counting is for the one who changed something; the others follow in silence.

use super::Services;
use super::admission::Rates;
use super::boards::{Thing, limit_word};
use super::states::{BackendState, FrontendState};
use crate::check::ServerState;
use crate::check::board::ServerBoard;
use crate::check::carry::{Carried, Configured, carry};
use crate::check::place::Place;
use crate::check::saved::restore;
use crate::proxy::{AdminAtStart, BackendId, FrontendId, Server, ServerAddress, ServerId};
use crate::shm::{Board, Generation, Guard, fnv};
use crate::stats::Count;

/// Numbers on a backend's board.
#[derive(Clone, Copy)]
enum OfBackend {
    Up,
    ChangedAt,
    Downtime,
}

/// Numbers on a frontend's board.
#[derive(Clone, Copy)]
enum OfFrontend {
    /// The generation that all of it is for.
    Generation,
    /// The limit plus one; 0 for none.
    Maxconn,
    Paused,
    Stopped,
    /// The limit that is configured, likewise.
    ConfiguredMaxconn,
}

impl Services {
    /// Takes over the states that the boards tell. The first worker of a generation brings in what is
    /// configured.
    pub(super) fn adopt_boards(&mut self) {
        let guard = self.boards.lock();
        self.boards.changes();
        let first = !self.boards.is_merged();
        let written = self.config.servers.ids();
        written.for_each(|id| self.adopt_server(id, first));
        self.follow_list(first);
        if first {
            self.config.servers.ids().for_each(|id| self.settle(id));
        }
        (0..self.config.backends.len() as u32).for_each(|id| self.adopt_backend(BackendId(id), first));
        (0..self.config.frontends.len() as u32).for_each(|id| self.adopt_frontend(FrontendId(id), first));
        self.follow_rates();
        if first {
            let configured = self.config.global.maxconn;
            if let Some(maxconn) = self.boards.inherited_maxconn(configured) {
                self.boards.order_maxconn(Some(maxconn), configured);
            }
            self.boards.set_merged();
        }
        drop(guard);
        self.boards.tell_seen();
    }

    pub(super) fn adopt_server(&mut self, id: ServerId, first: bool) {
        let thing = Thing::Server(id);
        let board = ServerBoard::new(self.boards.board(thing));
        let server = &self.config[id];
        let (fresh, now) = (self.servers[id.0 as usize].clone(), configured(server));
        let generation = self.boards.generation();
        let blank = self.boards.is_blank(thing);
        // One that the last configuration did not have is new, even if an older process still uses it.
        let was_away = board.configured_in() < self.boards.merged();
        let as_configured = Carried { state: fresh.clone(), maxconn: now.maxconn, place: Place::configured(server) };
        let mut restored = None;
        let carried = match () {
            () if blank || first && was_away => match &server.saved {
                Some(saved) => {
                    let (carried, change) = restore(as_configured, server, saved, self.now.wall_s());
                    restored = change;
                    carried
                }
                None => as_configured,
            },
            () if first => {
                let old = board.read(fresh.health, &as_configured.place);
                carry(&old, &board.configured(), as_configured, &now)
            }
            () => self.read_server(id),
        };
        if first || blank {
            self.boards.post(thing, |board| ServerBoard::new(board).publish_configured(&carried, &now, generation));
        }
        if first && blank && begins_down(server, &carried.state) {
            self.counters.server(id).add(Count::CheckDowns, 1);
        }
        let differs = carried.state != fresh;
        self.follow_place(id, carried.place);
        self.live[id.0 as usize].maxconn = carried.maxconn;
        self.servers[id.0 as usize] = carried.state;
        if differs {
            self.tell_balancer(id);
        }
        if let Some(change) = restored {
            self.tell_restored(id, change);
        }
    }

    fn adopt_backend(&mut self, id: BackendId, first: bool) {
        let thing = Thing::Backend(id);
        let blank = self.boards.is_blank(thing);
        let known = (!blank).then(|| backend_on(self.boards.board(thing)));
        let up = self.has_server(id);
        let state = &mut self.states.backends[id.0 as usize];
        state.up = up;
        match known {
            Some(known) if !first || known.up == up => *state = known,
            Some(known) => state.downtime = known.downtime,
            None => {}
        }
        if first || blank {
            self.post_backend(id);
        }
        let went_down = |(of, server): (ServerId, &Server)| begins_down(server, &self.servers[of.0 as usize]);
        if first && blank && !up && self.config.servers_of(id).any(went_down) {
            self.counters.backend(id).add(Count::CheckDowns, 1);
        }
    }

    fn adopt_frontend(&mut self, id: FrontendId, first: bool) {
        if first {
            self.inherit_frontend(id);
            return self.post_frontend(id);
        }
        self.follow_frontend(id);
    }

    /// What the operator ordered under the last configuration goes on: the limit unless another one is configured now,
    /// and the pause; one that was shut down begins again.
    fn inherit_frontend(&mut self, id: FrontendId) {
        let (board, last) = (self.boards.board(Thing::Frontend(id)), self.boards.merged());
        let Some(old) = frontend_on(board, last).filter(|_| last.0 > 0) else { return };
        let configured = self.config[id].maxconn;
        let state = &mut self.states.frontends[id.0 as usize];
        if board.get(OfFrontend::ConfiguredMaxconn as usize) == limit_word(configured) {
            state.maxconn = old.maxconn;
        }
        if old.paused {
            state.paused = true;
            self.states.moved.push(id);
        }
    }

    /// Follows what others have changed; one load if they have not.
    pub fn follow(&mut self) {
        if self.boards.is_behind() {
            let _guard = self.lock_state();
        }
    }

    /// Locks the states, with nothing left to follow.
    pub(super) fn lock_state(&mut self) -> Guard {
        let guard = self.boards.lock();
        for thing in self.boards.changes() {
            match thing {
                Thing::Whole => {
                    self.follow_list(false);
                    self.follow_maxconn();
                    self.follow_rates();
                }
                Thing::Frontend(id) => self.follow_frontend(id),
                Thing::Backend(id) => self.states.backends[id.0 as usize] = backend_on(self.boards.board(thing)),
                Thing::Server(id) => self.follow_server(id),
            }
        }
        guard
    }

    pub(super) fn follow_maxconn(&mut self) {
        let most = self.maxconn_at_start();
        self.maxconn = self.boards.ordered_maxconn().map_or(most, |ordered| ordered.min(most));
    }

    fn follow_rates(&mut self) {
        self.rates = self.boards.ordered_rates().unwrap_or(Rates::of(self.config));
    }

    fn follow_frontend(&mut self, id: FrontendId) {
        let Some(state) = frontend_on(self.boards.board(Thing::Frontend(id)), self.boards.generation()) else { return };
        let before = std::mem::replace(&mut self.states.frontends[id.0 as usize], state);
        if (before.paused, before.stopped) != (state.paused, state.stopped) {
            self.states.moved.push(id);
        }
    }

    fn follow_server(&mut self, id: ServerId) {
        if self.config[self.config[id].backend].servers.is_gone(id) {
            // Its board may be another one's by now.
            return;
        }
        let Carried { state, maxconn, place } = self.read_server(id);
        let is_renamed = place.name != self.places[id.0 as usize].name;
        self.follow_place(id, place);
        let before = std::mem::replace(&mut self.servers[id.0 as usize], state);
        self.react(id, &before);
        let had = std::mem::replace(&mut self.live[id.0 as usize].maxconn, maxconn);
        self.tell_balancer(id);
        let state = &self.servers[id.0 as usize];
        let (up, maintained) = (state.is_up(), state.admin.is_maintenance());
        if before.is_up() && !up {
            self.leave_server(id);
        } else if moves_traffic(&before, state) || had != maxconn {
            self.serve_queues(id);
        }
        if maintained && !before.admin.is_maintenance() {
            self.upstreams.close_idle(id, &self.counters, &mut self.buffers);
        }
        if is_renamed {
            self.follow_name(id);
        }
    }

    /// Connections to where the server was are of no use any more, nor is a cookie made of its address.
    fn follow_place(&mut self, id: ServerId, place: Place) {
        let before = std::mem::replace(&mut self.places[id.0 as usize], place);
        if before.address != self.places[id.0 as usize].address {
            self.upstreams.close_idle(id, &self.counters, &mut self.buffers);
            self.cookies.make_of(self.config, &self.places, id);
        }
    }

    fn read_server(&self, id: ServerId) -> Carried {
        let health = self.servers[id.0 as usize].health;
        let board = ServerBoard::new(self.boards.board(Thing::Server(id)));
        let mut carried = board.read(health, &Place::configured(&self.config[id]));
        // It may have been written under another configuration.
        carried.state.is_checked = self.config[id].check.is_some();
        carried.state.tracks = self.config[id].track.is_some();
        carried.state.slowstart_s = self.config[id].slowstart_s;
        carried.state.agent.is_configured = self.config[id].agent.is_some();
        carried.state.agent.enabled &= carried.state.agent.is_configured;
        carried
    }

    pub(super) fn post_server(&mut self, id: ServerId) {
        if self.config[self.config[id].backend].servers.is_gone(id) {
            // Another one may have its name by now.
            return;
        }
        let (state, maxconn) = (&self.servers[id.0 as usize], self.live[id.0 as usize].maxconn);
        let place = &self.places[id.0 as usize];
        self.boards.post(Thing::Server(id), |board| ServerBoard::new(board).publish(state, maxconn, place));
    }

    /// The same for a server that is new, with what is configured.
    pub(super) fn post_configured(&mut self, id: ServerId) {
        let server = &self.config[id];
        let (state, place) = (self.servers[id.0 as usize].clone(), self.places[id.0 as usize].clone());
        let (carried, now) = (Carried { state, maxconn: server.maxconn, place }, configured(server));
        let generation = self.boards.generation();
        let thing = Thing::Server(id);
        self.boards.post(thing, |board| ServerBoard::new(board).publish_configured(&carried, &now, generation));
    }

    pub(super) fn post_backend(&mut self, id: BackendId) {
        let state = self.states.backends[id.0 as usize];
        self.boards.post(Thing::Backend(id), |board| {
            board.change(|page| {
                page.set(OfBackend::Up as usize, u64::from(state.up));
                page.set(OfBackend::ChangedAt as usize, state.changed_at);
                page.set(OfBackend::Downtime as usize, state.downtime);
            });
        });
    }

    fn post_frontend(&mut self, id: FrontendId) {
        let thing = Thing::Frontend(id);
        let (state, generation) = (self.states.frontends[id.0 as usize], self.boards.generation());
        let configured = self.config[id].maxconn;
        if self.boards.board(thing).get(OfFrontend::Generation as usize) > generation.0 {
            // A newer one has it now: what an old one does there is its own.
            return;
        }
        self.boards.post(thing, |board| {
            board.change(|page| {
                page.set(OfFrontend::Generation as usize, generation.0);
                page.set(OfFrontend::Maxconn as usize, limit_word(state.maxconn));
                page.set(OfFrontend::ConfiguredMaxconn as usize, limit_word(configured));
                page.set(OfFrontend::Paused as usize, u64::from(state.paused));
                page.set(OfFrontend::Stopped as usize, u64::from(state.stopped));
            });
        });
    }

    /// Sets a server's limit of connections (`set maxconn server`).
    pub fn set_server_maxconn(&mut self, id: ServerId, maxconn: Option<u32>) {
        let guard = self.lock_state();
        self.live[id.0 as usize].maxconn = maxconn;
        self.post_server(id);
        drop(guard);
        self.serve_queues(id);
    }

    /// Lets an order change where a server or its checks are reached (`set server … addr`); gives what it says.
    pub fn change_place<T>(&mut self, id: ServerId, order: impl FnOnce(&mut Place) -> T) -> T {
        let _guard = self.lock_state();
        let mut place = self.places[id.0 as usize].clone();
        let said = order(&mut place);
        if place != self.places[id.0 as usize] {
            self.follow_place(id, place);
            self.post_server(id);
        }
        said
    }

    /// Lets an order change a frontend's state, unless it refuses.
    ///
    /// # Errors
    /// What the order says; nothing has changed then.
    pub fn change_frontend<E>(
        &mut self,
        id: FrontendId,
        order: impl FnOnce(&mut FrontendState) -> Result<(), E>,
    ) -> Result<(), E> {
        let _guard = self.lock_state();
        order(&mut self.states.frontends[id.0 as usize])?;
        self.post_frontend(id);
        Ok(())
    }

    /// Sets the limit of connections of the whole; `None` goes back to what the start computed.
    pub fn set_maxconn(&mut self, maxconn: Option<u32>) {
        let _guard = self.lock_state();
        self.boards.order_maxconn(maxconn, self.config.global.maxconn);
        self.follow_maxconn();
    }

    /// Lets an order change the limits of connections and sessions a second, of the whole.
    pub fn change_rates(&mut self, order: impl FnOnce(&mut Rates)) {
        let _guard = self.lock_state();
        order(&mut self.rates);
        self.boards.order_rates(self.rates);
    }

    /// Forgets how long servers and backends have been down.
    pub(super) fn clear_downtime(&mut self) {
        let _guard = self.lock_state();
        for id in self.config.servers.ids() {
            if std::mem::take(&mut self.servers[id.0 as usize].downtime) > 0 {
                self.post_server(id);
            }
        }
        for id in (0..self.config.backends.len() as u32).map(BackendId) {
            if std::mem::take(&mut self.states.backends[id.0 as usize].downtime) > 0 {
                self.post_backend(id);
            }
        }
    }

    /// Before the first check: those that a worker had under way when it left the checks will not end.
    pub fn forget_checks(&mut self) {
        let _guard = self.lock_state();
        for id in self.config.servers.ids() {
            self.boards.check(id).end();
            self.boards.agent_check(id).end();
            // Whoever died with a change half told left those behind that track the server.
            self.settle(id);
        }
    }
}

/// Whether a change is one that requests feel, or that tells what was ordered.
pub(super) fn moves_traffic(before: &ServerState, after: &ServerState) -> bool {
    let of = |state: &ServerState| (state.is_up(), state.is_usable(), state.weight, state.admin);
    of(before) != of(after)
}

/// Whether a server went down at the start for want of an address, which counts as any other time.
fn begins_down(server: &Server, state: &ServerState) -> bool {
    server.admin == AdminAtStart::Ready && state.lacks_address()
}

fn configured(server: &Server) -> Configured {
    // A name may lead to another address each time it is looked up, and still it is the same server.
    let is_asked_for = if server.naming.is_some() { "?" } else { "" };
    let address = match (server.fqdn.as_ref().or(server.service.as_ref()), &server.address) {
        (Some(name), ServerAddress::Ip(address)) => format!("{name}:{}{is_asked_for}", address.port()),
        (Some(name), _) => format!("{name}{is_asked_for}"),
        (None, address) => format!("{address:?}"),
    };
    let check = server.check.as_ref().map(|check| (check.addr, check.port));
    Configured {
        weight: server.weight,
        maxconn: server.maxconn,
        address: fnv(address.bytes()) as u64,
        check: fnv(format!("{check:?}").bytes()) as u64,
    }
}

fn backend_on(board: Board) -> BackendState {
    board.read(|page| BackendState {
        up: page.get(OfBackend::Up as usize) != 0,
        changed_at: page.get(OfBackend::ChangedAt as usize),
        downtime: page.get(OfBackend::Downtime as usize),
    })
}

/// `None` if it is for another generation.
fn frontend_on(board: Board, generation: Generation) -> Option<FrontendState> {
    board.read(|page| {
        let number = |number: OfFrontend| page.get(number as usize);
        (number(OfFrontend::Generation) == generation.0).then(|| FrontendState {
            maxconn: number(OfFrontend::Maxconn).checked_sub(1).map(|max| max as u32),
            paused: number(OfFrontend::Paused) != 0,
            stopped: number(OfFrontend::Stopped) != 0,
        })
    })
}
