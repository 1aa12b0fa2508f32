//! What a fetch, a condition or a log variable may look at: one exchange, seen read-only.

use std::net::SocketAddr;

use super::live::LiveServer;
use super::vars::Vars;
use crate::facts::Facts;
use crate::http::Head;
use crate::proxy::{BackendId, Config, FrontendId, ServerId};
use crate::stats::Counters;
use crate::time::Now;

/// The view that the session layer builds when it evaluates an expression. Cheap to make: references only.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    /// The loop's current time.
    pub now: Now,
    /// The whole resolved configuration.
    pub config: &'a Config,
    /// Live counters and gauges of every proxy and server.
    pub counters: &'a Counters,
    /// The client's connection.
    pub client: Client,
    /// The request's head once it has been received; `None` in TCP mode.
    pub request: Option<&'a Head>,
    /// The response's head once it has been received.
    pub response: Option<&'a Head>,
    /// The backend, once one was chosen.
    pub backend: Option<BackendId>,
    /// The server, once one was chosen.
    pub server: Option<ServerId>,
    /// The present state of every server, by id.
    pub servers: &'a [LiveServer],
    /// The process is about to leave.
    pub stopping: bool,
    /// Variables of the exchange.
    pub vars: &'a Vars,
    /// Variables of the client's connection.
    pub session_vars: &'a Vars,
    /// Timers, volumes and outcome so far.
    pub facts: &'a Facts,
}

/// What is known of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The frontend that accepted it.
    pub frontend: FrontendId,
    /// Index of the bind address in the frontend's list.
    pub bind: usize,
    /// The peer's address; `None` on UNIX sockets.
    pub source: Option<SocketAddr>,
    /// The local address that it connected to; `None` on UNIX sockets.
    pub destination: Option<SocketAddr>,
    /// Number of requests received on the connection, this one included.
    pub requests: u32,
}
