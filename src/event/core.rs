//! What events and deadlines act on: sessions, exchanges and the services that they share.

use slab::Slab;

use super::checks::Checks;
use super::dns::NameServers;
use crate::dns::Report;
use crate::facts::Cause;
use crate::proxy::{FrontendId, Mode};
use crate::session::places::Promotion;
use crate::session::reactions::Reaction;
use crate::session::{self, After, Exchange, Guard, Phase, Services, Session, Turn, deadline, idle, lookup};
use crate::stats::Count;
use crate::time::{Now, Tick};
use crate::token::{Kind, Token};
use crate::transport::{Connection, Stream};

/// Exchanges kept for reuse of their memory.
const SPARE_EXCHANGES_MAX: usize = 1024;

/// Bytes that a session may receive in one turn: sockets that are never empty must not keep others waiting.
const TURN_BYTES_MAX: u64 = 256 * 1024;

/// Requests that a session may have answered in one turn.
const TURN_EXCHANGES_MAX: usize = 32;

/// One worker's state.
pub struct Core {
    /// Client connections.
    pub sessions: Slab<Session>,
    /// Exchanges under way.
    pub exchanges: Slab<Box<Exchange>>,
    /// Everything that they share.
    pub services: Services,
    /// Health checks; on in the one worker that [`Core::follow`] finds to run them.
    pub checks: Checks,
    /// What leads to name servers.
    pub(super) name_servers: NameServers,
    // Boxed as they are in the slab: an exchange is large, and moves between the two.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Exchange>>,
    generation: u32,
    due: Vec<Token>,
    /// Sessions that stopped for the sake of others and go on in the next turn.
    again: Vec<Token>,
}

/// Readiness of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// Receiving may yield something.
    pub readable: bool,
    /// Sending may succeed.
    pub writable: bool,
    /// The peer closed its direction, or the connection broke.
    pub hangup: bool,
}

impl Core {
    /// A worker without sessions.
    pub fn new(services: Services) -> Core {
        Core {
            sessions: Slab::new(),
            exchanges: Slab::new(),
            services,
            checks: Checks::default(),
            name_servers: NameServers::default(),
            spare: Vec::new(),
            generation: 0,
            due: Vec::new(),
            again: Vec::new(),
        }
    }

    /// Takes over a connection just accepted, which [`Services::admit`] has admitted.
    pub fn open(&mut self, stream: Stream, frontend: FrontendId, bind: usize, peer: Peer) {
        self.generation = self.generation.wrapping_add(1);
        let now = self.services.now;
        let rules = &self.services.config[frontend].rules;
        let slot = self.sessions.vacant_key();
        let token = Token::new(Kind::Session, slot, self.generation);
        let mut session = Session::new(Connection::new(stream), token, frontend, bind, now);
        (session.source, session.destination) = (peer.source, peer.destination);
        session.outside = [peer.source, peer.destination];
        if rules.tcp.guard() && !self.admits(&mut session) {
            return;
        }
        if self.services.net.register(&session.client.stream, token).is_err() {
            return self.services.withdraw(frontend, bind);
        }
        // A connection that is accepted often has its first bytes waiting: it is worth a look at once.
        session.client.ready(true, true, false);
        let inserted = self.sessions.insert(session);
        debug_assert_eq!(inserted, slot);
        self.services.count_opened(frontend, bind);
        if self.services.config[frontend].mode == Mode::Tcp {
            let inspects = !rules.tcp.content.is_empty();
            self.begin_exchange(slot, if inspects { Phase::Content { backend: false } } else { Phase::Route });
            let number = self.services.number();
            if let Some(at) = self.sessions[slot].exchange {
                self.exchanges[at].facts.request_counter = number;
            }
        }
        self.run(slot);
    }

    /// Asks the rules that guard the frontend; counts and closes what they refuse.
    fn admits(&mut self, session: &mut Session) -> bool {
        let exchange = self.spare.pop().unwrap_or_default();
        let outcome = session::admit(session, &exchange, &mut self.services);
        self.spare.push(exchange);
        let Err(guard) = outcome else { return true };
        match guard {
            Guard::Connection => session.client.stream.reset_on_close(),
            Guard::Session => {}
            Guard::Silent => session.client.vanish(),
        }
        self.services.count_refused(session.frontend, session.bind, guard);
        false
    }

    /// An event of a client's socket.
    pub fn session_event(&mut self, token: Token, ready: Readiness) {
        let slot = token.slot();
        let Some(session) = self.sessions.get_mut(slot).filter(|session| session.token == token) else { return };
        session.client.ready(ready.readable, ready.writable, ready.hangup);
        self.run(slot);
    }

    /// What came of the name that a session waits for.
    pub fn session_resolved(&mut self, token: Token, report: &Report) {
        let slot = token.slot();
        let Some(session) = self.sessions.get(slot).filter(|session| session.token == token) else { return };
        let pending = session.exchange.and_then(|at| self.exchanges[at].lookup.as_mut());
        if let Some(pending) = pending {
            lookup::answered(pending, report);
            self.run(slot);
        }
    }

    /// An event of a server's socket.
    pub fn upstream_event(&mut self, token: Token, ready: Readiness) {
        let Some(key) = self.services.upstreams.resolve(token) else { return };
        let upstream = self.services.upstreams.get_mut(key);
        upstream.connection.ready(ready.readable, ready.writable, ready.hangup);
        let user = upstream.user;
        match user {
            crate::upstream::User::Session(slot) if self.owns(slot, key) => self.run(slot),
            _ if ready.readable || ready.hangup => self.drop_idle(key),
            _ => {}
        }
    }

    /// Something came on a server's socket: if the connection is idle, it is closed.
    pub fn idle_event(&mut self, token: Token) {
        let Some(key) = self.services.upstreams.resolve(token) else { return };
        match self.services.upstreams.get(key).user {
            crate::upstream::User::Session(slot) if self.owns(slot, key) => {}
            _ => self.drop_idle(key),
        }
    }

    /// The place of an event among those that come at the same time; the least is first.
    pub fn place(&self, token: Token) -> i16 {
        let slot = match token.kind() {
            Some(Kind::Session) => Some(token.slot()),
            Some(Kind::Upstream) => self.services.upstreams.resolve(token).and_then(|key| {
                let crate::upstream::User::Session(slot) = self.services.upstreams.get(key).user else { return None };
                Some(slot)
            }),
            _ => None,
        };
        let Some(session) = slot.and_then(|slot| self.sessions.get(slot)) else { return i16::MIN };
        match session.exchange {
            Some(at) => self.exchanges[at].nice,
            None => self.services.nice_at_first(session),
        }
    }

    /// Whether the session's exchange works with this connection at the moment.
    fn owns(&self, slot: usize, key: usize) -> bool {
        let exchange = self.sessions.get(slot).and_then(|session| session.exchange);
        exchange.is_some_and(|at| self.exchanges[at].upstream == Some(key))
    }

    /// A server ended an idle connection, or sent something that nobody had asked for.
    fn drop_idle(&mut self, key: usize) {
        if let crate::upstream::User::Session(slot) = self.services.upstreams.get(key).user
            && let Some(session) = self.sessions.get_mut(slot)
            && session.private == Some(key)
        {
            session.private = None;
        }
        self.services.close_upstream(Some(key));
    }

    /// Another worker has changed something that both share: boards, places in queues, limits.
    pub fn rung(&mut self) {
        self.services.look_again();
        self.run_promoted();
    }

    /// Follows what other workers have changed: states of servers and the like, and who runs the checks.
    /// Two loads if nothing was.
    pub fn follow(&mut self) {
        if self.services.boards.is_behind() {
            self.services.follow();
            self.run_promoted();
        }
        match (self.services.boards.is_checker(), self.checks.are_on()) {
            (true, false) => self.checks.start(&mut self.services),
            (false, true) => self.checks.stop(&mut self.services),
            _ => {}
        }
    }

    /// Takes the checks over if they are this worker's.
    pub fn claim_checks(&mut self) {
        self.services.boards.claim_checks();
        self.follow();
    }

    /// An event of a health check's socket.
    pub fn check_event(&mut self, token: Token, ready: Readiness) {
        self.checks.ready(token, ready, &mut self.services);
        self.run_promoted();
    }

    /// There are reports of the programs that check servers.
    pub fn programs_reported(&mut self) {
        self.checks.reported(&mut self.services);
        self.run_promoted();
    }

    /// Lets everything happen whose time has come; `now` is [`Services::now`].
    pub fn expire(&mut self) {
        let now = self.services.now.tick();
        let mut due = std::mem::take(&mut self.due);
        self.services.timers.advance(now.0, &mut due);
        for token in due.drain(..) {
            if token.kind() == Some(Kind::Check) {
                self.checks.expired(token, &mut self.services);
                self.run_promoted();
                continue;
            }
            let slot = token.slot();
            // One that comes before the session's earliest is left over from a deadline that was moved
            // since: it is dropped, or each of them would live for ever.
            let due = |session: &&mut Session| session.token == token && session.armed <= now;
            if let Some(session) = self.sessions.get_mut(slot).filter(due) {
                session.armed = Tick::NEVER;
                self.run(slot);
            }
        }
        self.due = due;
        let services = &mut self.services;
        if now >= services.upstreams.next_purge() {
            services.upstreams.purge(services.config, &services.counters, &mut services.buffers, now);
        }
        if now >= services.look_at() {
            services.second_look();
            self.run_promoted();
        }
        if now >= self.services.grow_at() {
            self.services.grow();
            self.run_promoted();
        }
        self.resolve_names();
    }

    /// The next tick at which [`Core::expire`] has something to do; may be early.
    pub fn next_deadline(&mut self) -> Tick {
        let timer = self.services.timers.next_deadline().map_or(Tick::NEVER, Tick);
        let services = timer.min(self.services.upstreams.next_purge()).min(self.services.look_at());
        services.min(self.services.grow_at()).min(self.names_deadline())
    }

    /// Sets the time of the turn.
    pub fn set_now(&mut self, now: Now) {
        self.services.now = now;
    }

    /// Runs a session until it waits, then whoever got a place by that.
    pub fn run(&mut self, slot: usize) {
        self.run_one(slot);
        self.run_promoted();
    }

    /// Lets sessions go on that stopped for the sake of others; says whether there are such again.
    pub fn run_again(&mut self) -> bool {
        let mut again = std::mem::take(&mut self.again);
        if self.services.orders_sessions {
            again.sort_by_key(|token| self.place(*token));
        }
        for token in again {
            if let Some(session) = self.sessions.get_mut(token.slot()).filter(|session| session.token == token) {
                session.runs_again = false;
                self.run(token.slot());
            }
        }
        !self.again.is_empty()
    }

    /// Gives free places to those who wait for them, and runs whoever got one or has to look for another.
    pub fn run_promoted(&mut self) {
        loop {
            self.serve_freed();
            for reaction in std::mem::take(&mut self.services.reactions) {
                match reaction {
                    Reaction::End(server, why) => {
                        self.kill_those(why.cause(), |_, exchange| exchange.is_on(server));
                    }
                    Reaction::Check(server) => self.checks.hasten(server, &mut self.services),
                    Reaction::Added(server) => self.checks.add(server, &mut self.services),
                    Reaction::Removed(server) => {
                        self.checks.forget(server);
                        let exchanges = &self.exchanges;
                        self.services.vacate_ids(|id| exchanges.iter().any(|(_, exchange)| exchange.mentions(id)));
                    }
                }
            }
            if self.services.promoted.is_empty() {
                return;
            }
            for promotion in std::mem::take(&mut self.services.promoted) {
                self.promote(promotion);
            }
        }
    }

    /// Hands the places that became free to those who wait.
    fn serve_freed(&mut self) {
        while let Some(server) = self.services.freed.pop() {
            self.services.serve_queues(server);
        }
    }

    fn promote(&mut self, promotion: Promotion) {
        let slot = promotion.waiting.session;
        let waits = |exchange: &Exchange| matches!(exchange.phase, Phase::Queued { ticket, .. } if ticket == promotion.waiting.ticket);
        let at = self.sessions.get(slot).and_then(|session| session.exchange).filter(|&at| waits(&self.exchanges[at]));
        let Some(at) = at else {
            // Whoever waited is gone: the place goes to the next.
            if let Some(server) = promotion.server {
                self.services.vacate(server);
            }
            return;
        };
        let exchange = &mut self.exchanges[at];
        exchange.facts.queue_left = Some(self.services.now);
        exchange.phase_deadline = Tick::NEVER;
        exchange.phase = Phase::Pick;
        if let Some(server) = promotion.server {
            exchange.server = Some(server);
            exchange.counted_on = Some(server);
            exchange.phase = Phase::Connect;
        } else if !exchange.hold.forced {
            // The server that it belonged to has gone.
            exchange.hold.wanted = None;
        }
        self.run_one(slot);
    }

    fn run_one(&mut self, slot: usize) {
        self.services.budget = TURN_BYTES_MAX;
        for _ in 0..TURN_EXCHANGES_MAX {
            let Some(session) = self.sessions.get_mut(slot) else { return };
            let Some(at) = session.exchange else {
                match idle::wait(session, &mut self.services) {
                    idle::Idle::Request | idle::Idle::Refuse => self.begin_exchange(slot, Phase::Receive),
                    idle::Idle::Wait(deadline) => return deadline::arm(session, &mut self.services, deadline),
                    idle::Idle::Close(cause) => return self.close_idle(slot, cause),
                }
                continue;
            };
            let exchange = &mut self.exchanges[at];
            let mut turn = Turn { slot, session, exchange, services: &mut self.services };
            let outcome = turn.drive();
            if !self.settle(slot, at, outcome) {
                return;
            }
        }
        self.run_later(slot);
    }

    /// Lets a session go on in the next turn.
    fn run_later(&mut self, slot: usize) {
        if let Some(session) = self.sessions.get_mut(slot)
            && !std::mem::replace(&mut session.runs_again, true)
        {
            self.again.push(session.token);
        }
    }

    /// Does what a turn came to. Whether the session goes on at once.
    fn settle(&mut self, slot: usize, at: usize, outcome: Option<After>) -> bool {
        match outcome {
            None => {
                let deadline = self.exchanges[at].deadline();
                if self.services.budget == 0 {
                    self.run_later(slot);
                }
                deadline::arm(&mut self.sessions[slot], &mut self.services, deadline);
                false
            }
            Some(After::KeepAlive) => {
                self.end_exchange(slot, at);
                // Those who wait come before this session's next request.
                self.serve_freed();
                true
            }
            Some(After::Close) => {
                self.end_exchange(slot, at);
                self.close(slot);
                false
            }
        }
    }

    /// Ends every exchange that has a request (`hard-stop-after`).
    pub fn kill_sessions(&mut self) {
        self.kill_those(Cause::Killed, |_, _| true);
    }

    /// Ends the exchanges that `which` chooses by their session's slot and themselves, where they have a
    /// request (`shutdown session`), for a `cause` that is logged.
    pub fn kill_those(&mut self, cause: Cause, which: impl Fn(usize, &Exchange) -> bool) {
        let busy = |(slot, session): (usize, &Session)| session.exchange.map(|at| (slot, at));
        let chosen = |&(slot, at): &(usize, usize)| which(slot, &self.exchanges[at]);
        let all: Vec<_> = self.sessions.iter().filter_map(busy).filter(chosen).collect();
        for (slot, at) in all {
            // The end of another one may have changed this one.
            let Some(session) = self.sessions.get_mut(slot).filter(|session| session.exchange == Some(at)) else {
                continue;
            };
            let exchange = &mut self.exchanges[at];
            let outcome = Turn { slot, session, exchange, services: &mut self.services }.kill(cause);
            if self.settle(slot, at, outcome) {
                self.run_one(slot);
            }
        }
        self.run_promoted();
    }

    /// Exchanges kept for reuse.
    pub fn spare_exchanges(&self) -> usize {
        self.spare.len()
    }

    /// Gives back what is kept for reuse.
    pub fn flush_spare(&mut self) {
        self.spare = Vec::new();
    }

    fn begin_exchange(&mut self, slot: usize, phase: Phase) {
        let now = self.services.now;
        let session = &mut self.sessions[slot];
        let mut exchange = self.spare.pop().unwrap_or_default();
        session.requests += 1;
        exchange.phase = phase;
        if self.services.orders_sessions {
            exchange.nice = self.services.nice_at_first(session);
        }
        exchange.facts.accepted = session.accepted;
        exchange.facts.idle_since = session.idle_since;
        if !session.client.received().is_empty() {
            exchange.facts.first_byte = Some(now);
        }
        session.exchange = Some(self.exchanges.insert(exchange));
    }

    fn end_exchange(&mut self, slot: usize, at: usize) {
        let mut exchange = self.exchanges.remove(at);
        let session = &mut self.sessions[slot];
        session.exchange = None;
        if let Some(before) = exchange.addresses_before {
            [session.source, session.destination] = before;
        }
        session.idle_since = self.services.now;
        if self.spare.len() < SPARE_EXCHANGES_MAX {
            exchange.renew();
            self.spare.push(exchange);
        }
    }

    /// Ends a session that waited for a request.
    fn close_idle(&mut self, slot: usize, cause: Option<Cause>) {
        let Some(cause) = cause else { return self.close(slot) };
        self.begin_exchange(slot, Phase::Receive);
        let Some(at) = self.sessions[slot].exchange else { return };
        let (session, exchange) = (&mut self.sessions[slot], &mut self.exchanges[at]);
        let mut turn = Turn { slot, session, exchange, services: &mut self.services };
        idle::log_nothing(&mut turn, cause);
        self.end_exchange(slot, at);
        self.close(slot);
    }

    fn close(&mut self, slot: usize) {
        let mut session = self.sessions.remove(slot);
        if self.services.config[session.frontend].nolinger {
            // The reset that the close becomes should not overtake the end.
            session.client.shutdown_write();
        }
        session.client.close_politely(&mut self.services.buffers);
        self.services.close_upstream(session.private.take());
        self.services.count_closed(session.frontend, session.bind);
    }

    /// Begins a soft stop: sessions that wait for a request are closed, now or later.
    pub fn soft_stop(&mut self) {
        self.services.begin_soft_stop();
        let idle = |(slot, session): (usize, &Session)| session.exchange.is_none().then_some(slot);
        let slots: Vec<usize> = self.sessions.iter().filter_map(idle).collect();
        for slot in slots {
            self.run(slot);
        }
    }

    /// Sessions open on a frontend's account.
    pub fn session_count(&self, frontend: FrontendId) -> u64 {
        self.services.counters.frontend(frontend).get(Count::SessionsCurrent)
    }
}

/// Both addresses of an accepted connection, where they are IP addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    /// The client's.
    pub source: Option<std::net::SocketAddr>,
    /// Ours.
    pub destination: Option<std::net::SocketAddr>,
}
