//! What all sessions of a worker share.

use std::hash::{BuildHasher, RandomState};

use super::added::Added;
use super::admission::Rates;
use super::boards::Boards;
use super::naming::Asked;
use super::persistence::ServerCookies;
use super::places::{Promotion, Shares};
use super::reactions::Reaction;
use super::states::States;
use super::{Exchange, Session};
use crate::balance::{Balancer, Member, Weight};
use crate::buffer::Pool;
use crate::check::{Place, ServerState};
use crate::dns::Engine;
use crate::h1::{Limits, ParseError};
use crate::log::Logger;
use crate::mesh::Mesh;
use crate::proxy::{Algorithm, BackendId, Config, FrontendId, ServerId};
use crate::sample::{Ctx, LiveServer};
use crate::shm::Slot;
use crate::stats::errors::{Capture, Captures};
use crate::stats::{Count, Counters};
use crate::time::wheel::Wheel;
use crate::time::{Now, Tick};
use crate::token::Token;
use crate::transport::Net;
use crate::transport::splice::Pipes;
use crate::upstream::{Queues, Upstreams};

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
    /// Servers that came and went since the start.
    pub(super) added: Added,
    /// Requests that wait for a server.
    pub queues: Queues,
    /// One a backend.
    pub balancers: Vec<Balancer>,
    /// The state of every server; changed by [`Services::change_server`] only.
    pub servers: Vec<ServerState>,
    /// What expressions may know of the servers; follows [`Services::servers`].
    pub live: Vec<LiveServer>,
    /// Where every server is reached; changed by [`Services::change_place`] only.
    pub places: Vec<Place>,
    /// The values by which cookies name servers.
    pub cookies: ServerCookies,
    /// Whoever got a place on a server and does not know it yet.
    pub promoted: Vec<Promotion>,
    /// Servers that lost a session and may serve someone who waits.
    pub freed: Vec<ServerId>,
    /// What changes of servers ask for, once no session has its turn.
    pub reactions: Vec<Reaction>,
    /// What is between this worker's waiters and those of others.
    pub shares: Shares,
    /// Workers to be told that there is something for them.
    pub to_ring: Vec<Slot>,
    /// Bytes that the session whose turn it is may still receive before others have theirs.
    pub budget: u64,
    /// Where log lines go.
    pub log: Logger,
    /// Space for texts that rules make.
    pub scratch: Vec<u8>,
    /// The last invalid messages (`show errors`).
    pub captures: Captures,
    /// The number that the next exchange of this worker gets, and how far the next but one is from it.
    next_number: u64,
    number_step: u64,
    /// Sessions have places among those that are ready at the same time (`set-nice`, `nice`).
    pub orders_sessions: bool,
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
    /// Most connections and sessions a second.
    pub rates: Rates,
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
    /// The last random number.
    pub random: u64,
    /// Names that are asked of name servers; [`crate::event::dns`] carries its messages and reports.
    pub names: Engine,
    /// What this worker asks of them for servers.
    pub(super) asked: Asked,
    /// When servers that start slowly are given more.
    pub(super) grow_at: Tick,
    /// By backend, the sessions at which its servers get to their maxconn.
    pub(super) full: Vec<u32>,
    /// Lost log lines that the counters have.
    pub dropped_published: u64,
}

impl Services {
    /// Services of a worker that begins at `now`.
    /// `program` is the name that it was started under, without directories.
    pub fn new(config: &'static Config, counters: Counters, now: Now, net: Net, program: &str) -> Services {
        let tune = &config.global.tune;
        let pipes = config.global.maxpipes.unwrap_or(config.global.maxconn.unwrap_or(2000) / 4) as usize;
        let balancers: Vec<Balancer> =
            (0..config.backends.len() as u32).map(|id| balancer(config, BackendId(id))).collect();
        let worker = counters.segment().number(counters.slot());
        let places: Vec<Place> = config.servers.written().iter().map(Place::configured).collect();
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
            added: Added::default(),
            queues: Queues::new(config.backends.len(), config.servers.len()),
            states: States::new(config, &balancers, now),
            balancers,
            servers: super::servers::at_start(config, now.wall_s()),
            live: LiveServer::all(config),
            cookies: ServerCookies::new(config, &places),
            places,
            promoted: Vec::new(),
            freed: Vec::new(),
            reactions: Vec::new(),
            shares: Shares::new(config),
            to_ring: Vec::new(),
            rates: Rates::of(config),
            budget: 0,
            log: Logger::new(config, program),
            scratch: Vec::new(),
            captures: Captures::default(),
            next_number: worker.saturating_sub(1) as u64,
            number_step: config.global.crew().count.max(1).into(),
            orders_sessions: config
                .frontends
                .iter()
                .flat_map(|frontend| &frontend.binds)
                .any(|bind| bind.options.nice != 0),
            asked_to_stop: false,
            stopping: false,
            stopping_since: Tick::NEVER,
            no_splice: config.global.nosplice,
            maxconn: config.global.maxconn.unwrap_or(u32::MAX),
            limits_at_start: None,
            started: now,
            random: RandomState::new().hash_one(now.mono_us),
            asked: Asked::default(),
            names: Engine::new(&config.resolvers, RandomState::new().hash_one(now.wall_us)),
            dropped_published: 0,
            grow_at: Tick::NEVER,
            full: Vec::new(),
        };
        services.full = services.full_at();
        services.adopt_boards();
        services.inherit_ports();
        services
    }

    /// Takes over what the start found out about descriptors.
    pub fn adopt_limits(&mut self, limits: &crate::process::Limits) {
        self.upstreams.limit_to(limits.maxsock);
        self.limits_at_start = Some(*limits);
        self.follow_maxconn();
        self.full = self.full_at();
        let tune = &self.config.global.tune;
        self.pipes = Pipes::new(limits.maxpipes as usize, (tune.pipesize > 0).then_some(tune.pipesize));
    }

    /// The place of a session until a rule gives it another (`nice` of its listening address).
    pub fn nice_at_first(&self, session: &Session) -> i16 {
        self.config[session.frontend].binds.get(session.bind).map_or(0, |bind| bind.options.nice)
    }

    /// Limits of a message's head.
    pub fn limits(&self, lenient: bool) -> Limits {
        let tune = &self.config.global.tune;
        Limits {
            head_bytes_max: tune.received_bytes_max(),
            fields_max: tune.http_maxhdr.saturating_sub(1),
            lenient,
            target_is_host: false,
        }
    }

    /// Limits of a request's head.
    pub fn request_limits(&self, frontend: FrontendId) -> Limits {
        let frontend = &self.config[frontend];
        Limits { target_is_host: frontend.forward_proxy, ..self.limits(frontend.accept_invalid) }
    }

    /// The number of an exchange (%rt): from 0 on, and no two workers of a crew give the same one.
    pub fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += self.number_step;
        number
    }

    /// Counts a request.
    pub fn count_request(&mut self, frontend: FrontendId) {
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
    pub fn context<'a>(&'a self, session: &'a Session, exchange: &'a Exchange) -> Ctx<'a> {
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

fn context<'a>(
    config: &'static Config,
    counters: &'a Counters,
    now: Now,
    session: &'a Session,
    exchange: &'a Exchange,
    servers: &'a [LiveServer],
    stopping: bool,
) -> Ctx<'a> {
    let request = (!exchange.request.is_empty()).then_some(&exchange.request);
    Ctx {
        now,
        config,
        counters,
        client: session.view(),
        request,
        kept_request: request,
        response: (!exchange.response.is_empty()).then_some(&exchange.response),
        request_bytes: session.client.received(),
        response_bytes: &[],
        request_framing: exchange.request_body,
        response_framing: exchange.response_body,
        upstream: None,
        inspection: None,
        backend: exchange.backend,
        server: exchange.server,
        servers,
        stopping,
        vars: &exchange.vars,
        session_vars: &session.vars,
        facts: &exchange.facts,
        raw: None,
    }
}

/// The algorithm of a backend with its servers as configured.
fn balancer(config: &Config, id: BackendId) -> Balancer {
    let members = config.servers_of(id).map(|(_, server)| Member {
        id: server.uuid,
        weight: Weight::configured(server.weight),
        usable: server.starts_up(),
        backup: server.backup,
    });
    let (members, all_backups) = (members.collect(), config[id].all_backups);
    let factor = config[id].hash_balance_factor;
    match config[id].algorithm {
        Algorithm::RoundRobin => Balancer::round_robin(members, all_backups),
        Algorithm::StaticRr => Balancer::static_rr(members, all_backups),
        Algorithm::LeastConn => Balancer::least_conn(members, all_backups),
        Algorithm::First => Balancer::first(members, all_backups),
        Algorithm::Random { draws } => Balancer::random(members, all_backups, draws, factor),
        Algorithm::Hash(_) if config[id].hash_type.consistent => Balancer::ring(members, all_backups, factor),
        Algorithm::Hash(_) => Balancer::map(members, all_backups),
    }
}
