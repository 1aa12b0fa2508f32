//! What a fetch, a condition or a log variable may look at: one exchange, seen read-only.

use std::borrow::Cow;
use std::cell::Cell;
use std::net::SocketAddr;

use super::live::LiveServer;
use super::vars::Vars;
use crate::facts::Facts;
use crate::h1::{self, Body};
use crate::http::Head;
use crate::proxy::{BackendId, Config, FrontendId, Mode, ServerId};
use crate::stats::Counters;
use crate::time::Now;
use crate::transport::Connection;

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
    /// The request's head once it has been received; `None` in TCP mode, and again when it is gone.
    pub request: Option<&'a Head>,
    /// The same, also when it is gone: for what is kept of it until the end.
    pub kept_request: Option<&'a Head>,
    /// The response's head once it has been received.
    pub response: Option<&'a Head>,
    /// Octets received from the client and not forwarded yet, without a head that was taken.
    pub request_bytes: &'a [u8],
    /// As [`Ctx::request_bytes`], from the server; empty unless rules look at the response.
    pub response_bytes: &'a [u8],
    /// How the request's body is framed in them.
    pub request_framing: Body,
    /// How the response's body is.
    pub response_framing: Body,
    /// The connection to the server, while rules look at the response's head.
    pub upstream: Option<&'a Connection>,
    /// What content rules are told while more may come; `None` once what is here is all.
    pub inspection: Option<&'a Inspection>,
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
    /// Whether bytes are passed without being understood, where there is no client whose frontend tells: in checks.
    pub raw: Option<bool>,
}

/// An inspection of contents that are not complete (manual 4.2, `tcp-request inspect-delay`).
#[derive(Debug, Default)]
pub struct Inspection {
    /// A head may yet come where there is none.
    pub awaits_head: bool,
    /// Something was looked at that may turn out otherwise once more has come.
    open: Cell<bool>,
}

impl Inspection {
    /// One that has looked at nothing yet.
    pub fn new(awaits_head: bool) -> Inspection {
        Inspection { awaits_head, open: Cell::new(false) }
    }

    /// Whether anything looked at since the last call may turn out otherwise.
    pub fn take_open(&self) -> bool {
        self.open.take()
    }
}

impl<'a> Ctx<'a> {
    /// What has come of the request's body.
    pub fn request_body(&self) -> Cow<'a, [u8]> {
        arrived(self.request_framing, self.request_bytes)
    }

    /// What has come of the response's body.
    pub fn response_body(&self) -> Cow<'a, [u8]> {
        arrived(self.response_framing, self.response_bytes)
    }
}

fn arrived(framing: Body, bytes: &[u8]) -> Cow<'_, [u8]> {
    h1::arrived(framing, bytes).map_or(Cow::Borrowed(&[]), |(body, _)| body)
}

impl Ctx<'_> {
    /// Notes that what was just looked at may turn out otherwise, unless what is here is all.
    pub fn may_change(&self) {
        if let Some(inspection) = self.inspection {
            inspection.open.set(true);
        }
    }

    /// Whether the request is one for a proxy, and is treated so (manual 4.2, `option http-use-proxy-header`).
    pub fn asks_a_proxy(&self) -> bool {
        let named = |request: &Head| !matches!(request.uri().first(), Some(b'/' | b'*'));
        self.config[self.client.frontend].fronts_proxy && self.request.is_some_and(named)
    }

    /// Whether the session's bytes are passed without being understood.
    pub fn is_raw(&self) -> bool {
        self.raw.unwrap_or_else(|| self.config[self.client.frontend].mode == Mode::Tcp)
    }
}

/// What is known of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The frontend that accepted it.
    pub frontend: FrontendId,
    /// Index of the bind address in the frontend's list.
    pub bind: usize,
    /// The peer's address, or the one that a rule put in its place; `None` on UNIX sockets.
    pub source: Option<SocketAddr>,
    /// The local address that it connected to, or that of a rule; `None` on UNIX sockets.
    pub destination: Option<SocketAddr>,
    /// Both as they were before rules of the session or of an exchange (`fc_src`, `fc_dst`).
    pub outside: [Option<SocketAddr>; 2],
    /// Number of requests received on the connection, this one included.
    pub requests: u32,
}
