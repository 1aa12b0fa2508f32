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

mod answer;
mod connect;
mod deadline;
mod exchange;
mod finish;
mod inspect;
mod pick;
mod receive;
mod relay;
mod reply;
mod route;
pub mod services;
mod tunnel;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use exchange::{Exchange, Phase};
pub use services::Services;

use crate::proxy::{Frontend, FrontendId, Mode};
use crate::sample::Client;
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
    /// The client's address; `None` on a UNIX socket.
    pub source: Option<SocketAddr>,
    /// The address that it connected to.
    pub destination: Option<SocketAddr>,
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
    /// When an idle session is given up.
    pub idle_deadline: Tick,
    /// The earliest tick that a timer is armed for.
    pub armed: Tick,
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
            accepted: now,
            idle_since: now,
            requests: 0,
            exchange: None,
            private: None,
            idle_deadline: Tick::NEVER,
            armed: Tick::NEVER,
        }
    }

    /// What expressions may know of the connection.
    pub fn view(&self) -> Client {
        Client {
            frontend: self.frontend,
            bind: self.bind,
            source: self.source,
            destination: self.destination,
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

    /// Runs phases until one waits or the exchange is over.
    pub fn drive(&mut self) -> Option<After> {
        loop {
            let step = match self.exchange.phase {
                Phase::Receive => receive::run(self),
                Phase::Inspect => inspect::frontend(self),
                Phase::Route => route::run(self),
                Phase::InspectBackend => inspect::backend(self),
                Phase::Pick => pick::run(self),
                Phase::Queued { .. } => pick::queued(self),
                Phase::TurnAround { until } => connect::turn_around(self, until),
                Phase::Connect => connect::start(self),
                Phase::Connecting { .. } => connect::run(self),
                Phase::Relay => relay::run(self),
                Phase::Tunnel => tunnel::run(self),
                Phase::Tarpit { until } => reply::tarpit(self, until),
                Phase::Reply => reply::run(self),
            };
            match step {
                Step::Go(phase) => self.exchange.phase = phase,
                Step::Wait => return None,
                Step::Over(after) => return Some(finish::run(self, after)),
            }
        }
    }
}
