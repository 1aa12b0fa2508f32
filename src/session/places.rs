//! Places on servers: who gets one, and who waits for one, over all workers of the service.
//!
//! A place is reserved by [`Row::try_enter`](crate::stats::Row::try_enter), so that no server ever has more
//! sessions than its maxconn. Each worker queues its own requests and tells the others since when its first
//! one waits (column `QueueFront`). A place goes to the worker whose request has waited longest: this one
//! serves its own, and rings another. Nobody who comes later overtakes, in whatever worker. As a neighbour may
//! hang or die, every worker with requests that wait looks again after a while, and takes then what another
//! one left.

use super::Services;
use crate::balance::{Load, Wish};
use crate::check::ServerState;
use crate::proxy::{BackendId, Config, ServerId};
use crate::sample::LiveServer;
use crate::shm::Slot;
use crate::stats::{Among, Count, Counters};
use crate::time::{Millis, Tick};
use crate::upstream::{Queues, Waiting};

/// A worker with requests that wait looks for places this often without being told of any.
const SECOND_LOOK: Millis = Millis(50);

/// Multiplier of the generator behind `balance random` (D. E. Knuth, MMIX).
const RANDOM_STEP: u64 = 6_364_136_223_846_793_005;

/// Choices that may lose their place to another worker's before the request is queued.
const CHOICES_MAX: usize = 8;

/// A place on a server for someone who waited.
#[derive(Clone, Copy, Debug)]
pub struct Promotion {
    /// Who.
    pub waiting: Waiting,
    /// Where; `None` lets it choose again (its server went away).
    pub server: Option<ServerId>,
}

/// The outcome of choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one, and a place on it is reserved.
    Server(ServerId),
    /// This one and no other, but it is full; or all are (`None`).
    Full(Option<ServerId>),
    /// No server is usable.
    Nobody,
}

/// What a worker has to remember of the others.
#[derive(Debug)]
pub struct Shares {
    /// Servers with a place that was left to another worker although someone waits here, and since when.
    left: Vec<(ServerId, Tick)>,
    /// When to look again.
    look_at: Tick,
    /// By backend, the turn (monotonic microseconds) at which the loads of its servers were read.
    loads_read: Vec<u64>,
}

impl Shares {
    pub(super) fn new(config: &Config) -> Shares {
        Shares { left: Vec::new(), look_at: Tick::NEVER, loads_read: vec![0; config.backends.len()] }
    }
}

impl Services {
    /// Lets the backend's algorithm choose among the servers that are up and have room, and reserves a place
    /// on the one chosen; `hash` is that of the request's key, `avoid` failed before.
    pub fn choose(&mut self, backend: BackendId, hash: Option<u32>, avoid: Option<ServerId>) -> Pick {
        self.read_loads(backend);
        let mut lost = None;
        for _ in 0..CHOICES_MAX {
            match self.propose(backend, hash, avoid) {
                Pick::Server(server) if !self.occupy(server) => {
                    // Another worker was faster, or was turned away by this attempt.
                    self.freed.push(server);
                    lost = hash.and(Some(server));
                }
                pick => return pick,
            }
        }
        Pick::Full(lost)
    }

    /// The algorithm's choice, with nothing reserved yet.
    fn propose(&mut self, backend: BackendId, hash: Option<u32>, avoid: Option<ServerId>) -> Pick {
        let members = &self.config[backend].servers;
        // Nobody overtakes those who wait for any server; a hash leads to one server only.
        let hashed = hash.is_some();
        let overtakes = !hashed && self.queues.backend_len(backend) > 0;
        let (counters, queues, live, servers) = (&self.counters, &self.queues, &self.live, &self.servers);
        let (config, full, now_s) = (self.config, &self.full, self.now.wall_s());
        let room = Room { config, counters, queues, live, servers, full, now_s };
        let has_room = |seat: u32| {
            let server = members.at(seat);
            !overtakes && room.is_at(server) && (hashed || !room.is_wanted_elsewhere(backend, server))
        };
        let balancer = &mut self.balancers[backend.0 as usize];
        self.random = self.random.wrapping_mul(RANDOM_STEP).wrapping_add(1);
        let wish = Wish { hash, random: self.random, avoid: avoid.map(|server| config[server].seat) };
        match balancer.pick(wish, has_room) {
            Some(seat) if has_room(seat) => Pick::Server(members.at(seat)),
            Some(seat) => Pick::Full(Some(members.at(seat))),
            None if balancer.usable_counts() != (0, 0) => Pick::Full(None),
            None => Pick::Nobody,
        }
    }

    /// Whether a server has a place and nobody waits for it alone.
    pub fn has_room(&self, server: ServerId) -> bool {
        self.room().is_at(server)
    }

    fn room(&self) -> Room<'_> {
        let (counters, queues, live, servers) = (&self.counters, &self.queues, &self.live, &self.servers);
        Room { config: self.config, counters, queues, live, servers, full: &self.full, now_s: self.now.wall_s() }
    }

    /// Reserves a place on a server, if there is one.
    #[must_use]
    pub fn occupy(&mut self, server: ServerId) -> bool {
        let row = self.counters.server(server);
        let (gauge, max) = (Count::SessionsCurrent, Count::SessionsMax);
        let entered = match self.room().limit(server) {
            Some(limit) => row.try_enter(gauge, max, u64::from(limit), Among::All),
            None => {
                row.enter(gauge, max);
                true
            }
        };
        if entered {
            self.tell_load(server);
        }
        entered
    }

    /// Gives a place back. Whoever waits for it gets it at the end of the session's turn.
    pub fn vacate(&mut self, server: ServerId) {
        let row = self.counters.server(server);
        match self.server_maxconn(server) {
            Some(_) => row.leave(Count::SessionsCurrent),
            None => row.sub(Count::SessionsCurrent, 1),
        }
        self.tell_load(server);
        self.freed.push(server);
    }

    /// Tells the algorithm how many connections a server has and how many wait for it.
    pub fn tell_load(&mut self, server: ServerId) {
        let backend = self.config[server].backend;
        let balancer = &mut self.balancers[backend.0 as usize];
        let current = |gauge| self.counters.server(server).get(gauge);
        let load = match balancer.by_load() {
            Load::Ignored => return,
            Load::Served => current(Count::SessionsCurrent),
            Load::ServedAndWaiting => current(Count::SessionsCurrent) + current(Count::QueueCurrent),
        };
        balancer.set_load(self.config[server].seat, load as u32);
    }

    /// Takes the other workers' loads of a backend's servers into account, once a turn.
    fn read_loads(&mut self, backend: BackendId) {
        let at = &mut self.shares.loads_read[backend.0 as usize];
        if self.balancers[backend.0 as usize].by_load() == Load::Ignored || *at == self.now.mono_us {
            return;
        }
        *at = self.now.mono_us;
        if self.counters.backend(backend).has_others() {
            self.config[backend].servers.ids().for_each(|id| self.tell_load(id));
        }
    }

    /// Joins the queue of a server or of the backend; gives the ticket. `None` if the server's is full
    /// (`maxqueue`).
    pub fn join_queue(&mut self, backend: BackendId, server: Option<ServerId>, session: usize) -> Option<u64> {
        let (gauge, max) = (Count::QueueCurrent, Count::QueueMax);
        let row = self.queue_row(backend, server);
        match server.and_then(|server| self.config[server].maxqueue) {
            Some(limit) if !row.try_enter(gauge, max, u64::from(limit), Among::All) => return None,
            Some(_) => {}
            None => row.enter(gauge, max),
        }
        let others = row.has_others();
        let ticket = self.queues.join(backend, server, session, self.now.mono_us.max(1));
        self.publish_front(backend, server);
        if let Some(server) = server {
            self.tell_load(server);
        }
        if others {
            // A place that became free before the others knew of this one is found now.
            match server {
                Some(server) => self.freed.push(server),
                None => self.freed.extend(self.config[backend].servers.ids()),
            }
            self.shares.look_at = self.shares.look_at.min(self.now.tick() + SECOND_LOOK);
        }
        Some(ticket)
    }

    /// Requests of the whole service in a queue.
    pub fn queue_length(&self, backend: BackendId, server: Option<ServerId>) -> u64 {
        self.queue_row(backend, server).get(Count::QueueCurrent)
    }

    /// Notes that someone left a queue.
    pub fn count_dequeued(&mut self, backend: BackendId, server: Option<ServerId>) {
        // As in HAProxy, a backend's figure leaves out those who wait for one of its servers.
        self.queue_row(backend, server).sub(Count::QueueCurrent, 1);
        self.publish_front(backend, server);
        if let Some(server) = server {
            self.tell_load(server);
        }
    }

    fn queue_row(&self, backend: BackendId, server: Option<ServerId>) -> crate::stats::Row<'_> {
        server.map_or_else(|| self.counters.backend(backend), |server| self.counters.server(server))
    }

    /// Lets the others know since when the first one of a queue waits.
    fn publish_front(&self, backend: BackendId, server: Option<ServerId>) {
        let front = self.queues.front(backend, server).map_or(0, |waiting| waiting.since_us);
        self.queue_row(backend, server).publish(Count::QueueFront, front);
    }

    /// Gives a server's free places to whoever waits for them.
    pub fn serve_queues(&mut self, server: ServerId) {
        self.serve(server, false);
    }

    /// The same; `alone` without regard to other workers.
    fn serve(&mut self, server: ServerId, alone: bool) {
        let backend = self.config[server].backend;
        let row = self.counters.server(server);
        let limit = self.room().limit(server).map_or(u64::MAX, u64::from);
        let nobody = !self.queues.is_busy(backend) && (!row.has_others() || limit == u64::MAX);
        if nobody || !self.servers[server.0 as usize].is_up() {
            return;
        }
        // In one order with what others publish, see `stats::limit`.
        while self.counters.server(server).sum(Count::SessionsCurrent, Among::All) < limit {
            let seat = self.config[server].seat;
            // One that drains, has no weight or is an unneeded backup still serves those who wait for it alone.
            let in_charge = self.balancers[backend.0 as usize].is_in_charge(seat);
            let own = self.first_here(backend, server, in_charge);
            if let Some(slot) = self.first_elsewhere(backend, server, in_charge, own).filter(|_| !alone) {
                self.ring(slot);
                if own.is_some() && !self.shares.left.iter().any(|(left, _)| *left == server) {
                    self.shares.left.push((server, self.now.tick()));
                }
                return;
            }
            if own.is_none() || !self.occupy(server) {
                return;
            }
            let next =
                if in_charge { self.queues.next_for(backend, server) } else { self.queues.next_own(backend, server) };
            let Some((waiting, own)) = next else { return };
            self.count_dequeued(backend, own.then_some(server));
            self.promoted.push(Promotion { waiting, server: Some(server) });
        }
    }

    /// Since when the first one waits here that a place on `server` is for.
    fn first_here(&self, backend: BackendId, server: ServerId, in_charge: bool) -> Option<u64> {
        let own = self.queues.front(backend, Some(server));
        let shared = self.queues.front(backend, None).filter(|_| in_charge);
        own.into_iter().chain(shared).min_by_key(|waiting| waiting.ticket).map(|waiting| waiting.since_us)
    }

    /// The other worker that has such a one who has waited longer than the first one here.
    fn first_elsewhere(&self, backend: BackendId, server: ServerId, in_charge: bool, own: Option<u64>) -> Option<Slot> {
        let waits = |server| self.queue_row(backend, server).first_of_others(Count::QueueFront);
        let shared = if in_charge { waits(None) } else { None };
        let first = waits(Some(server)).into_iter().chain(shared).min()?;
        let here = own.map(|since| (since, self.counters.slot()));
        here.is_none_or(|here| first < here).then_some(first.1)
    }

    /// Tells another worker to look for what it waits for.
    pub fn ring(&mut self, slot: Slot) {
        if !self.to_ring.contains(&slot) {
            self.to_ring.push(slot);
        }
    }

    /// Rings those that there is something for, at the end of a turn.
    pub fn ring_others(&mut self) {
        if self.boards.take_urgent() {
            self.to_ring.clear();
            self.mesh.ring_all();
        }
        for slot in self.to_ring.drain(..) {
            self.mesh.ring(slot);
        }
    }

    /// Looks for places for all who wait here: another worker rang, or left (see [`Services::look_at`]).
    pub fn look_again(&mut self) {
        for backend in self.queues.busy() {
            self.config[backend].servers.ids().for_each(|id| self.serve_queues(id));
        }
    }

    /// When [`Services::second_look`] is due.
    pub fn look_at(&self) -> Tick {
        self.shares.look_at
    }

    /// Takes the places that others left unused, and looks for more, if it is time.
    pub fn second_look(&mut self) {
        if self.now.tick() < self.shares.look_at {
            return;
        }
        let now = self.now.tick();
        let (long, left) =
            std::mem::take(&mut self.shares.left).into_iter().partition(|(_, at)| *at + SECOND_LOOK <= now);
        self.shares.left = left;
        let long: Vec<(ServerId, Tick)> = long;
        for (server, _) in long {
            self.serve(server, true);
        }
        self.look_again();
        let waits = !self.queues.busy().is_empty();
        self.shares.look_at = if waits { self.now.tick() + SECOND_LOOK } else { Tick::NEVER };
    }
}

/// Where there is room, as far as this moment tells.
struct Room<'a> {
    config: &'a Config,
    counters: &'a Counters,
    queues: &'a Queues,
    live: &'a [LiveServer],
    servers: &'a [ServerState],
    full: &'a [u32],
    now_s: u64,
}

impl Room<'_> {
    fn is_at(&self, server: ServerId) -> bool {
        if self.queues.server_len(server) > 0 {
            return false;
        }
        // Nobody waits for a server without a limit.
        let Some(limit) = self.limit(server) else { return true };
        let row = self.counters.server(server);
        row.get(Count::SessionsCurrent) < u64::from(limit) && row.first_of_others(Count::QueueFront).is_none()
    }

    /// How many sessions a server may have now: its maxconn, or between minconn and that, as the backend's load is to
    /// its fullconn (manual 5.2, `minconn`); less while it starts slowly.
    #[inline]
    fn limit(&self, server: ServerId) -> Option<u32> {
        let live = &self.live[server.0 as usize];
        if live.bends { live.maxconn.map(|max| self.bent(server, max)) } else { live.maxconn }
    }

    fn bent(&self, id: ServerId, max: u32) -> u32 {
        let server = &self.config[id];
        let full = u64::from(self.full[server.backend.0 as usize]);
        let limit = match server.minconn {
            Some(min) if min != max => {
                let sessions = self.counters.backend(server.backend).get(Count::SessionsCurrent).min(full);
                if sessions == full { max } else { ((sessions * u64::from(max) / full) as u32).max(min) }
            }
            _ => max,
        };
        self.servers[id.0 as usize].spared(limit, self.now_s)
    }

    /// Whether another worker has requests that wait for any server of the backend, this limited one included.
    fn is_wanted_elsewhere(&self, backend: BackendId, server: ServerId) -> bool {
        let row = self.counters.backend(backend);
        self.live[server.0 as usize].maxconn.is_some() && row.first_of_others(Count::QueueFront).is_some()
    }
}
