//! One client connection and its exchanges.
//!
//! An exchange is one request and its response (in TCP mode: the whole connection). Its phases, a file
//! each, in the order in which they run:
//!
//! ```text
//!  receive ─► inspect ─► route ─► inspect ─► pick ─► connect ─► relay ─► finish ─► (keep-alive) receive
//!              (frontend)         (backend)   │  ▲      │ ▲      │ ▲
//!                 │                   │     queue │   retry      tunnel
//!                 └────── reply ◄─────┴───────────┴──────┘        (upgrade, CONNECT, TCP)
//! ```
//!
//! Any phase may end in `reply` (the proxy answers itself) or in `finish`. A phase takes the session, the
//! exchange and the services, and returns a [`Step`]; no phase calls another.

pub mod about;
pub mod added;
mod admission;
mod agents;
mod answer;
pub mod boards;
mod body;
mod caching;
mod capture;
mod connect;
mod content;
pub mod deadline;
mod debug;
mod errands;
mod exchange;
mod finish;
mod follow;
mod forward;
pub mod idle;
mod inspect;
mod judge;
pub mod lookup;
mod names;
mod naming;
mod orders;
pub mod origin;
pub mod persistence;
mod pick;
pub mod places;
mod preface;
pub mod reactions;
mod receive;
mod relay;
mod reply;
mod retry;
mod route;
mod servers;
pub mod services;
#[cfg(test)]
mod sim;
mod soft_stop;
pub mod states;
mod statistics;
#[cfg(test)]
mod tests;
mod tunnel;

use std::net::SocketAddr;

pub use admission::{Admission, Rates};
pub use content::{Guard, admit};
pub use exchange::{Exchange, Phase};
pub use services::Services;

use crate::facts::{Cause, Phase as Doing};
use crate::proxy::{Frontend, FrontendId, Mode, Splice};
use crate::sample::{Client, Vars};
use crate::stats::Count;
use crate::time::{Now, Tick};
use crate::token::Token;
use crate::transport::Connection;

/// One client connection.
#[derive(Debug)]
pub struct Session {
    /// The client's socket and its buffers.
    pub client: Connection,
    /// Its name in readiness events and timers.
    pub token: Token,
    /// Who accepted it.
    pub frontend: FrontendId,
    /// Index of the listening address in the frontend.
    pub bind: usize,
    /// The client's address, or the one that a rule put in its place; `None` on a UNIX socket.
    pub source: Option<SocketAddr>,
    /// The address that it connected to, or that of a rule.
    pub destination: Option<SocketAddr>,
    /// Both as they were before rules of the session or of an exchange.
    pub outside: [Option<SocketAddr>; 2],
    /// When it was accepted.
    pub accepted: Now,
    /// Since when it has waited for the next request: the accept, or the end of the last response.
    pub idle_since: Now,
    /// Exchanges begun on it.
    pub requests: u32,
    /// The exchange under way.
    pub exchange: Option<usize>,
    /// The connection to a server that only this session may use again (`http-reuse never`).
    pub private: Option<usize>,
    /// It stopped for the sake of others and has its next turn already.
    pub runs_again: bool,
    /// The earliest tick that a timer is armed for.
    pub armed: Tick,
    /// Variables that rules have set (`sess`).
    pub vars: Vars,
}

/// What a phase asks for.
#[derive(Debug)]
pub enum Step {
    /// The exchange goes on in this phase.
    Go(Phase),
    /// Nothing can be done before an event or one of the exchange's deadlines.
    Wait,
    /// The exchange is over.
    Over(After),
}

/// What becomes of the client's connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    KeepAlive,
    /// It is closed.
    Close,
}

/// What a phase works on.
pub struct Turn<'a> {
    /// The session's slot.
    pub slot: usize,
    /// The client's connection.
    pub session: &'a mut Session,
    /// The exchange.
    pub exchange: &'a mut Exchange,
    /// Everything else.
    pub services: &'a mut Services,
}

impl Session {
    /// A session of a connection just accepted.
    pub fn new(client: Connection, token: Token, frontend: FrontendId, bind: usize, now: Now) -> Session {
        Session {
            client,
            token,
            frontend,
            bind,
            source: None,
            destination: None,
            outside: [None; 2],
            accepted: now,
            idle_since: now,
            requests: 0,
            exchange: None,
            private: None,
            runs_again: false,
            armed: Tick::NEVER,
            vars: Vars::default(),
        }
    }

    /// What expressions may know of the connection.
    pub fn view(&self) -> Client {
        Client {
            frontend: self.frontend,
            bind: self.bind,
            source: self.source,
            destination: self.destination,
            outside: self.outside,
            requests: self.requests,
        }
    }
}

impl Turn<'_> {
    /// The frontend that accepted the session.
    pub fn frontend(&self) -> &'static Frontend {
        &self.services.config[self.session.frontend]
    }

    /// Whether HTTP messages are exchanged.
    pub fn is_http(&self) -> bool {
        self.frontend().mode == Mode::Http
    }

    /// Splicing allowed for this exchange, both ways.
    pub fn splice_allowed(&self) -> Splice {
        let off = Splice::default();
        if self.services.no_splice {
            return off;
        }
        let (front, back) =
            (self.frontend().splice, self.exchange.backend.map_or(off, |id| self.services.config[id].splice));
        let auto = front.auto || back.auto;
        Splice {
            auto,
            request: auto || front.request || back.request,
            response: auto || front.response || back.response,
        }
    }

    /// Looks whether the client broke its connection, or ended it where that counts: under
    /// `option abortonclose`, and in TCP mode when it has not sent a byte. Says what the exchange was `doing`
    /// then in the eyes of the log.
    pub fn client_gave_up(&mut self, doing: Doing) -> Option<Doing> {
        let http = self.is_http();
        let backend = self.exchange.backend.map(|id| self.services.config[id].abort_on_close);
        let abort = backend.unwrap_or(self.frontend().abort_on_close);
        let client = &mut self.session.client;
        if !http || (abort && self.exchange.upload.complete) {
            client.receive(&mut self.services.buffers);
        }
        if client.broken.is_some() {
            return Some(Doing::Data);
        }
        (client.ended && (abort || (!http && client.received().is_empty()))).then_some(doing)
    }

    /// The same for one that waits for a server. A broken connection of HTTP counts there as an end does.
    pub fn client_stopped_waiting(&mut self, doing: Doing) -> Option<Doing> {
        let seen = self.client_gave_up(doing)?;
        if seen == doing || !self.is_http() {
            return Some(seen);
        }
        self.count_everywhere(Count::ClientAborts);
        Some(doing)
    }

    /// Ends the exchange with nothing more for the client.
    pub fn abandon(&mut self, cause: Cause, doing: Doing) -> Step {
        self.exchange.facts.termination.set_once(cause, doing);
        self.exchange.server_keeps = false;
        Step::Over(After::Close)
    }

    /// Takes over what rules made of the client's addresses, until the end of the exchange.
    pub fn readdress(&mut self, addresses: [Option<SocketAddr>; 2]) {
        let session = &mut *self.session;
        let before = [session.source, session.destination];
        if addresses != before {
            self.exchange.addresses_before.get_or_insert(before);
            [session.source, session.destination] = addresses;
        }
    }

    /// Gives the place on the server back.
    pub fn release_server(&mut self) {
        if let Some(server) = self.exchange.counted_on.take() {
            self.services.vacate(server);
        }
    }

    /// Leaves the server in the middle of an exchange that the proxy answers itself.
    pub fn give_up_server(&mut self) {
        pick::leave(self);
        let upstream = self.exchange.upstream.take();
        self.services.close_upstream(upstream);
        self.release_server();
    }

    /// Counts something for the frontend, the backend and the server.
    pub fn count_everywhere(&mut self, column: Count) {
        let counters = &self.services.counters;
        counters.frontend(self.session.frontend).add(column, 1);
        if let Some(backend) = self.exchange.backend {
            counters.backend(backend).add(column, 1);
        }
        if let Some(server) = self.exchange.server {
            counters.server(server).add(column, 1);
        }
    }

    /// Counts an answer that was missing, late or invalid.
    pub fn count_response_error(&mut self) {
        let counters = &self.services.counters;
        if let Some(backend) = self.exchange.backend {
            counters.backend(backend).add(Count::ResponseErrors, 1);
        }
        if let Some(server) = self.exchange.server {
            counters.server(server).add(Count::ResponseErrors, 1);
        }
    }

    /// Counts a status that a server sent.
    pub fn count_server_status(&mut self, status: u16) {
        if let Some(server) = self.exchange.server {
            let row = self.services.counters.server(server);
            row.add(finish::status_class(Some(status)), 1);
            row.add(Count::RequestsTotal, 1);
        }
    }

    /// Ends the exchange from outside, for a `cause` that is logged; a client that waits for an answer gets an error. One
    /// that is still sending its request is left alone: there is nothing to answer yet.
    pub fn kill(&mut self, cause: Cause) -> Option<After> {
        let step = match self.exchange.phase {
            Phase::Receive | Phase::Orders { .. } | Phase::Reply => return None,
            Phase::Content { .. } => self.abandon(cause, Doing::Request),
            Phase::Tunnel => self.abandon(cause, Doing::Done),
            Phase::Relay if self.exchange.answered => self.abandon(cause, Doing::Data),
            Phase::Relay => reply::error(self, 502, cause, Doing::Headers),
            Phase::Queued { .. } => {
                pick::leave(self);
                reply::error(self, 503, cause, Doing::Queue)
            }
            _ => reply::error(self, 503, cause, Doing::Connect),
        };
        match step {
            Step::Go(phase) => {
                self.exchange.phase = phase;
                self.drive()
            }
            Step::Wait => None,
            Step::Over(after) => Some(finish::run(self, after)),
        }
    }

    /// Runs phases until one waits or the exchange is over.
    pub fn drive(&mut self) -> Option<After> {
        loop {
            let step = match self.exchange.phase {
                Phase::Receive => receive::run(self),
                Phase::Content { backend: false } => content::frontend(self),
                Phase::Content { backend: true } => content::backend(self),
                Phase::Inspect => inspect::frontend(self),
                Phase::Route => route::run(self),
                Phase::InspectBackend => inspect::backend(self),
                Phase::Body { since, reader } => body::run(self, since, reader),
                Phase::Lookup { since } => lookup::run(self, since),
                Phase::Pick => pick::run(self),
                Phase::Queued { .. } => pick::queued(self),
                Phase::TurnAround { until } => connect::turn_around(self, until),
                Phase::Connect => connect::start(self),
                Phase::Connecting { .. } => connect::run(self),
                Phase::Relay => relay::run(self),
                Phase::Tunnel => tunnel::run(self),
                Phase::Tarpit { until } => reply::tarpit(self, until),
                Phase::Orders { backend } => orders::run(self, backend),
                Phase::Reply => reply::run(self),
            };
            match step {
                Step::Go(phase) => self.exchange.phase = phase,
                Step::Wait => {
                    // Only where servers' rows get their share, too: the frontend's alone would not add up.
                    if self.exchange.facts.connected.is_some() && self.frontend().continuous_stats {
                        finish::count_bytes(self);
                    }
                    return None;
                }
                Step::Over(after) => return Some(finish::run(self, after)),
            }
        }
    }
}
