//! What all sessions of a worker share.

use std::net::IpAddr;

use super::boards::Boards;
use super::states::States;
use super::{Exchange, Session};
use crate::balance::{Balancer, HashType, Member, Weight, Wish, source_hash};
use crate::buffer::Pool;
use crate::check::ServerState;
use crate::h1::{Limits, ParseError};
use crate::log::Logger;
use crate::mesh::Mesh;
use crate::proxy::{AdminAtStart, Algorithm, BackendId, Config, FrontendId, ServerId};
use crate::sample::{Ctx, LiveServer};
use crate::stats::errors::{Capture, Captures};
use crate::stats::{Count, Counters};
use crate::time::wheel::Wheel;
use crate::time::{Now, Tick};
use crate::token::Token;
use crate::transport::Net;
use crate::transport::splice::Pipes;
use crate::upstream::{Queues, Upstreams, Waiting};

/// The worker's shared state, as sessions see it.
pub struct Services {
    /// What is configured; lives as long as the process.
    pub config: &'static Config,
    /// Counters of everything.
    pub counters: Counters,
    /// The time of this turn of the loop.
    pub now: Now,
    /// Sockets.
    pub net: Net,
    /// Buffers.
    pub buffers: Pool,
    /// Pipes for splicing.
    pub pipes: Pipes,
    /// Deadlines.
    pub timers: Wheel<Token>,
    /// Connections to servers.
    pub upstreams: Upstreams,
    /// Requests that wait for a server.
    pub queues: Queues,
    /// One a backend.
    pub balancers: Vec<Balancer>,
    /// The state of every server; changed by [`Services::change_server`] only.
    pub servers: Vec<ServerState>,
    /// What expressions may know of the servers; follows [`Services::servers`].
    pub live: Vec<LiveServer>,
    /// Whoever got a place on a server and does not know it yet.
    pub promoted: Vec<Promotion>,
    /// Servers that lost a session and may serve someone who waits.
    pub freed: Vec<ServerId>,
    /// Bytes that the session whose turn it is may still receive before others have theirs.
    pub budget: u64,
    /// Where log lines go.
    pub log: Logger,
    /// Space for texts that rules make.
    pub scratch: Vec<u8>,
    /// The last invalid messages (`show errors`).
    pub captures: Captures,
    /// Requests received since the start, this worker's.
    pub requests: u64,
    /// The process was asked to stop: `stopping` and `show info` say so, also while `grace` delays it.
    pub asked_to_stop: bool,
    /// A soft stop is under way.
    pub stopping: bool,
    /// Since when.
    pub stopping_since: Tick,
    /// Splicing is off (`nosplice`, `-dS`).
    pub no_splice: bool,
    /// Most connections of the service.
    pub maxconn: u32,
    /// What the start found out about descriptors.
    pub limits_at_start: Option<crate::process::Limits>,
    /// Servers up and down, and other states that change.
    pub states: States,
    /// Where all workers see such states.
    pub boards: Boards,
    /// When the worker began.
    pub started: Now,
    /// The other workers.
    pub mesh: Mesh,
    /// Lost log lines that the counters have.
    pub dropped_published: u64,
}

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
    /// This one.
    Server(ServerId),
    /// This one and no other, but it is full; or all are (`None`).
    Full(Option<ServerId>),
    /// No server is usable.
    Nobody,
}

impl Services {
    /// Services of a worker that begins at `now`.
    /// `program` is the name that it was started under, without directories.
    pub fn new(config: &'static Config, counters: Counters, now: Now, net: Net, program: &str) -> Services {
        let tune = &config.global.tune;
        let pipes = config.global.maxpipes.unwrap_or(config.global.maxconn.unwrap_or(2000) / 4) as usize;
        let balancers: Vec<Balancer> =
            (0..config.backends.len() as u32).map(|id| balancer(config, BackendId(id))).collect();
        let mut services = Services {
            boards: Boards::new(config, &counters),
            config,
            mesh: Mesh::new(counters.segment(), counters.slot()),
            counters,
            now,
            net,
            buffers: Pool::new(tune.bufsize).with_poison(config.global.poison_byte),
            pipes: Pipes::new(pipes, (tune.pipesize > 0).then_some(tune.pipesize)),
            timers: Wheel::new(now.tick().0),
            upstreams: Upstreams::new(config.servers.len()),
            queues: Queues::new(config.backends.len(), config.servers.len()),
            states: States::new(config, &balancers, now),
            balancers,
            servers: super::servers::at_start(config, now.wall_s()),
            live: LiveServer::all(config),
            promoted: Vec::new(),
            freed: Vec::new(),
            budget: 0,
            log: Logger::new(config, program),
            scratch: Vec::new(),
            captures: Captures::default(),
            requests: 0,
            asked_to_stop: false,
            stopping: false,
            stopping_since: Tick::NEVER,
            no_splice: config.global.nosplice,
            maxconn: config.global.maxconn.unwrap_or(u32::MAX),
            limits_at_start: None,
            started: now,
            dropped_published: 0,
        };
        services.adopt_boards();
        services
    }

    /// Takes over what the start found out about descriptors.
    pub fn adopt_limits(&mut self, limits: &crate::process::Limits) {
        self.maxconn = self.boards.ordered_maxconn().unwrap_or(limits.maxconn);
        self.upstreams.limit_to(limits.maxsock);
        self.limits_at_start = Some(*limits);
        let tune = &self.config.global.tune;
        self.pipes = Pipes::new(limits.maxpipes as usize, (tune.pipesize > 0).then_some(tune.pipesize));
    }

    /// Limits of a message's head.
    pub fn limits(&self, lenient: bool) -> Limits {
        let tune = &self.config.global.tune;
        Limits {
            head_bytes_max: tune.bufsize - tune.maxrewrite,
            fields_max: tune.http_maxhdr.saturating_sub(1),
            lenient,
        }
    }

    /// Limits of a request's head.
    pub fn request_limits(&self, frontend: FrontendId) -> Limits {
        self.limits(self.config[frontend].accept_invalid)
    }

    /// Lets the backend's algorithm choose among the servers that are up and have room; `avoid` failed before.
    pub fn choose(&mut self, backend: BackendId, source: Option<IpAddr>, avoid: Option<ServerId>) -> Pick {
        let first = self.config[backend].servers.start;
        let (counters, queues, config) = (&self.counters, &self.queues, self.config);
        let live = &self.live;
        // Nobody overtakes those who wait for any server; a hash leads to one server only.
        let overtakes = config[backend].algorithm != Algorithm::Source && queues.backend_len(backend) > 0;
        let has_room = |index: u32| {
            let server = ServerId(first + index);
            let place = has_place(live[server.0 as usize].maxconn, counters, server);
            place && !overtakes && queues.server_len(server) == 0
        };
        let hash = match config[backend].algorithm {
            Algorithm::Source => source.map(|address| source_hash(address, HashType::default())),
            _ => None,
        };
        let wish = Wish { hash, avoid: avoid.map(|server| server.0 - first) };
        let balancer = &mut self.balancers[backend.0 as usize];
        match balancer.pick(wish, has_room) {
            Some(index) if has_room(index) => Pick::Server(ServerId(first + index)),
            Some(index) => Pick::Full(Some(ServerId(first + index))),
            None if balancer.usable_counts() != (0, 0) => Pick::Full(None),
            None => Pick::Nobody,
        }
    }

    /// Whether a server has a place and nobody waits for it.
    pub fn has_room(&self, server: ServerId) -> bool {
        has_place(self.server_maxconn(server), &self.counters, server) && self.queues.server_len(server) == 0
    }

    /// Counts one more session on a server.
    pub fn occupy(&mut self, server: ServerId) {
        self.counters.server(server).enter(Count::SessionsCurrent, Count::SessionsMax);
        self.tell_load(server);
    }

    /// Tells the algorithm how many connections a server has and how many wait for it.
    pub fn tell_load(&mut self, server: ServerId) {
        let backend = self.config[server].backend;
        let current = self.counters.server(server).get(Count::SessionsCurrent) as usize;
        let load = current + self.queues.server_len(server);
        let index = server.0 - self.config[backend].servers.start;
        self.balancers[backend.0 as usize].set_load(index, load as u32);
    }

    /// Counts one less. Whoever waits for the place gets it at the end of the session's turn.
    pub fn vacate(&mut self, server: ServerId) {
        self.counters.server(server).sub(Count::SessionsCurrent, 1);
        self.tell_load(server);
        self.freed.push(server);
    }

    /// Gives a server's free places to whoever waits for them.
    pub fn serve_queues(&mut self, server: ServerId) {
        let backend = self.config[server].backend;
        let state = &self.servers[server.0 as usize];
        if !state.is_up() {
            return;
        }
        let index = server.0 - self.config[backend].servers.start;
        let in_charge = self.balancers[backend.0 as usize].is_in_charge(index);
        while has_place(self.server_maxconn(server), &self.counters, server) {
            // One that drains, has no weight or is an unneeded backup still serves those who wait for it alone.
            let next = if in_charge { self.queues.next_for(backend, server) } else { self.queues.next_own(server) };
            let Some((waiting, own)) = next else { return };
            self.count_dequeued(backend, own.then_some(server));
            self.occupy(server);
            self.promoted.push(Promotion { waiting, server: Some(server) });
        }
    }

    /// Takes one from the gauges of queues.
    pub fn count_dequeued(&mut self, backend: BackendId, server: Option<ServerId>) {
        // As in HAProxy, a backend's figure leaves out those who wait for one of its servers.
        match server {
            Some(server) => {
                self.counters.server(server).sub(Count::QueueCurrent, 1);
                self.tell_load(server);
            }
            None => self.counters.backend(backend).sub(Count::QueueCurrent, 1),
        }
    }

    /// Counts a connection accepted.
    pub fn count_opened(&mut self, frontend: FrontendId, bind: usize) {
        let rows = [self.counters.process(), self.counters.frontend(frontend), self.counters.listener(frontend, bind)];
        for row in rows {
            row.enter(Count::SessionsCurrent, Count::SessionsMax);
            row.add(Count::SessionsTotal, 1);
            row.add(Count::ConnectionsTotal, 1);
            row.tick_rate(Count::SessionRate, Count::SessionRateMax, self.now);
            row.tick_rate(Count::ConnectionRate, Count::ConnectionRateMax, self.now);
        }
    }

    /// Counts a connection closed.
    pub fn count_closed(&mut self, frontend: FrontendId, bind: usize) {
        let rows = [self.counters.process(), self.counters.frontend(frontend), self.counters.listener(frontend, bind)];
        for row in rows {
            row.sub(Count::SessionsCurrent, 1);
        }
    }

    /// Counts a request.
    pub fn count_request(&mut self, frontend: FrontendId) {
        self.requests += 1;
        for row in [self.counters.frontend(frontend), self.counters.process()] {
            row.add(Count::RequestsTotal, 1);
            row.tick_rate(Count::RequestRate, Count::RequestRateMax, self.now);
        }
    }

    /// Counts an attempt to reach a server.
    pub fn count_attempt(&mut self, server: ServerId) {
        let row = self.counters.server(server);
        row.add(Count::SessionsTotal, 1);
        row.set(Count::LastSession, self.now.wall_s());
        row.tick_rate(Count::SessionRate, Count::SessionRateMax, self.now);
    }

    /// Closes a connection to a server.
    pub fn close_upstream(&mut self, key: Option<usize>) {
        if let Some(key) = key {
            self.upstreams.close(key, &self.counters, &mut self.buffers);
        }
    }

    /// Whether another message may be sent on a connection to a server.
    pub fn is_reusable(&mut self, key: usize) -> bool {
        self.upstreams.get_mut(key).connection.is_reusable(&mut self.buffers)
    }

    /// Keeps a connection to a server for other exchanges.
    pub fn keep_upstream(&mut self, key: usize) {
        let now = self.now.tick();
        self.upstreams.give_back(key, self.config, &self.counters, &mut self.buffers, now);
    }

    /// The context in which expressions are evaluated for an exchange.
    pub fn context<'a>(&'a self, session: &Session, exchange: &'a Exchange) -> Ctx<'a> {
        context(self.config, &self.counters, self.now, session, exchange, &self.live, self.asked_to_stop)
    }

    /// Writes an exchange's log line.
    pub fn log_exchange(&mut self, session: &Session, exchange: &Exchange) {
        let settings = &self.config[session.frontend].log;
        let ctx = context(self.config, &self.counters, self.now, session, exchange, &self.live, self.asked_to_stop);
        self.log.exchange(&ctx, settings);
    }

    /// Keeps a request that could not be parsed for `show errors`.
    pub fn capture_bad_request(&mut self, session: &Session, error: &ParseError) {
        let bytes = session.client.received();
        let mut capture = Capture::new(self.now, session.source, session.frontend, error, bytes);
        capture.event = self.count_captured();
        self.captures.put_request(capture);
    }

    /// Counts an invalid message; gives its number.
    fn count_captured(&self) -> u64 {
        let row = self.counters.process();
        let number = row.get(Count::Captured);
        row.add(Count::Captured, 1);
        number
    }

    /// Keeps a response that could not be parsed for `show errors`.
    pub fn capture_bad_response(&mut self, session: &Session, exchange: &Exchange, error: &ParseError) {
        let (Some(backend), Some(key)) = (exchange.backend, exchange.upstream) else { return };
        let bytes = self.upstreams.get(key).connection.received();
        let mut capture = Capture::new(self.now, session.source, session.frontend, error, bytes);
        (capture.backend, capture.server) = (Some(backend), exchange.server);
        capture.event = self.count_captured();
        self.captures.put_response(backend, capture);
    }
}

/// Whether a server has fewer sessions than its maxconn.
fn has_place(maxconn: Option<u32>, counters: &Counters, server: ServerId) -> bool {
    maxconn.is_none_or(|max| counters.server(server).get(Count::SessionsCurrent) < u64::from(max))
}

fn context<'a>(
    config: &'static Config,
    counters: &'a Counters,
    now: Now,
    session: &Session,
    exchange: &'a Exchange,
    servers: &'a [LiveServer],
    stopping: bool,
) -> Ctx<'a> {
    Ctx {
        now,
        config,
        counters,
        client: session.view(),
        request: (!exchange.request.is_empty()).then_some(&exchange.request),
        response: (!exchange.response.is_empty()).then_some(&exchange.response),
        backend: exchange.backend,
        server: exchange.server,
        servers,
        stopping,
        facts: &exchange.facts,
    }
}

/// The algorithm of a backend with its servers as configured.
fn balancer(config: &Config, id: BackendId) -> Balancer {
    let members = config.servers_of(id).map(|(_, server)| Member {
        weight: Weight::configured(server.weight),
        usable: server.admin == AdminAtStart::Ready,
        backup: server.backup,
    });
    let (members, all_backups) = (members.collect(), config[id].all_backups);
    match config[id].algorithm {
        Algorithm::RoundRobin => Balancer::round_robin(members, all_backups),
        Algorithm::StaticRr => Balancer::static_rr(members, all_backups),
        Algorithm::LeastConn => Balancer::least_conn(members, all_backups),
        Algorithm::Source => Balancer::hash(members, all_backups),
    }
}
