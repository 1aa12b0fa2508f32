//! The state of one exchange.

use std::mem::take;
use std::net::SocketAddr;

use super::errands::Paused;
use super::lookup::Pending;
use super::retry::Kept;
use crate::facts::Facts;
use crate::h1::{Body, BodyDecoder};
use crate::http::Head;
use crate::persist::Hold;
use crate::proxy::{BackendId, ServerId};
use crate::rules::Reply;
use crate::sample::Vars;
use crate::time::Tick;
use crate::transport::splice::Lent;

/// Where an exchange stands; see the diagram in [`super`].
#[derive(Debug)]
pub enum Phase {
    /// The request's head is arriving.
    Receive,
    /// Rules of contents look at what has come.
    Content {
        /// Those of the backend.
        backend: bool,
    },
    /// The frontend's rules look at it.
    Inspect,
    /// A backend is chosen.
    Route,
    /// The backend's rules look at it.
    InspectBackend,
    /// The request's body arrives, for something depends on it.
    Body {
        /// The phase's begin.
        since: Tick,
        /// What depends on it.
        reader: BodyReader,
    },
    /// A rule waits for the address of a name.
    Lookup {
        /// The phase's begin.
        since: Tick,
    },
    /// A server is chosen.
    Pick,
    /// Every server, or the only one that will do, is full.
    Queued {
        /// Place in the queue.
        ticket: u64,
        /// The server whose queue it is; `None` for the backend's.
        server: Option<ServerId>,
    },
    /// A refused connection is tried again on the same server, but not at once.
    TurnAround {
        /// When.
        until: Tick,
    },
    /// A connection to the chosen server is taken or made.
    Connect,
    /// It is being made.
    Connecting {
        /// When the attempt is given up.
        until: Tick,
    },
    /// Request and response pass.
    Relay,
    /// Bytes pass.
    Tunnel,
    /// A refusal is held back.
    Tarpit {
        /// Until then.
        until: Tick,
    },
    /// The form of the statistics page arrives.
    Orders {
        /// The backend whose page it is; the frontend's where there is none.
        backend: Option<BackendId>,
    },
    /// The proxy's own answer is sent.
    Reply,
}

/// What the request's body is awaited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyReader {
    /// The choice of a server.
    Balance,
    /// All rules (`option http-buffer-request`).
    Buffer,
    /// Rules that stopped for it, and go on when so many octets are here; 0 is all.
    Rules(u64),
}

/// One direction's message: what its body is and how much of it passed.
#[derive(Debug, Default)]
pub struct Flow {
    /// Follows the body's framing.
    pub decoder: BodyDecoder,
    /// The body comes in chunks.
    pub chunked: bool,
    /// Octets of the body that were counted when the head was, because they came with it.
    pub counted_ahead: u64,
    /// Head and body have been received and queued for the other side.
    pub complete: bool,
    /// A pipe while the body is spliced.
    pub pipe: Option<Lent>,
    /// Bytes received in a row without a pause: what tells whether splicing pays in a tunnel.
    pub streak: u64,
}

/// One request and its response, or one TCP connection.
#[derive(Debug)]
pub struct Exchange {
    /// Where it stands.
    pub phase: Phase,
    /// The request.
    pub request: Head,
    /// The response, the server's or the proxy's own.
    pub response: Head,
    /// For logs, statistics and expressions.
    pub facts: Facts,
    /// Debug mode has shown that it began.
    pub shown: bool,
    /// The backend chosen.
    pub backend: Option<BackendId>,
    /// The backend that a filter of requests chose (`reqsetbe`).
    pub switched: Option<BackendId>,
    /// Where to connect without a server (`dispatch`, `option http_proxy`).
    pub address: Option<SocketAddr>,
    /// The server chosen.
    pub server: Option<ServerId>,
    /// Its client's bond to a server.
    pub hold: Hold,
    /// The server's count of sessions includes this one.
    pub counted_on: Option<ServerId>,
    /// The connection to it.
    pub upstream: Option<usize>,
    /// The request's body.
    pub upload: Flow,
    /// The response's body.
    pub download: Flow,
    /// The response's head has been received.
    pub answered: bool,
    /// The framing of the request's body.
    pub request_body: Body,
    /// The framing of the response's body.
    pub response_body: Body,
    /// The client's connection may live on.
    pub client_keeps: bool,
    /// The server's connection may be used again.
    pub server_keeps: bool,
    /// An `Upgrade` was asked for: 101 makes a tunnel.
    pub upgrade: bool,
    /// Connection attempts left.
    pub retries_left: u32,
    /// The request, where it may have to be sent again.
    pub kept: Option<Box<Kept>>,
    /// The connection to the server was an idle one, which the server may have closed meanwhile.
    pub reused: bool,
    /// The client is to think that this request never was: it is neither logged nor counted.
    pub unseen: bool,
    /// The request went out once more, after an idle connection proved to be closed.
    pub repeated: bool,
    /// Server that failed the attempt before, not to be chosen again if there is another.
    pub avoid: Option<ServerId>,
    /// Inactivity of the client ends it then.
    pub client_deadline: Tick,
    /// Inactivity of the server ends it then.
    pub server_deadline: Tick,
    /// The phase's own deadline.
    pub phase_deadline: Tick,
    /// What is still to be sent of the proxy's own answer.
    pub reply: Vec<u8>,
    /// Bytes of [`Exchange::reply`] that have been sent.
    pub reply_sent: usize,
    /// Bytes of the response's body, framing included, if all of it had been received with its head.
    pub whole_answer_bytes: Option<usize>,
    /// The request had no body.
    pub request_has_no_body: bool,
    /// The client let its timeout pass in the middle of the request's body.
    pub client_late: bool,
    /// The answer that a tarpitted request gets in the end.
    pub held: Option<Box<Reply>>,
    /// Rules made the request contradict its body.
    pub falsified: bool,
    /// Rules that wait for a body.
    pub paused: Option<Paused>,
    /// The name that rules wait for.
    pub lookup: Option<Box<Pending>>,
    /// Its place among those that are ready at the same time: the least comes first (`set-nice`).
    pub nice: i16,
    /// Bytes of the request and of the response that counters have already (`option contstats`).
    pub counted_bytes: [u64; 2],
    /// The client's addresses as they were before rules of this exchange changed them.
    pub addresses_before: Option<[Option<SocketAddr>; 2]>,
    /// Rules of contents have not let the response pass yet.
    pub holds_answer: bool,
    /// The end was logged already (`option logasap`).
    pub logged: bool,
    /// Variables that rules have set.
    pub vars: Vars,
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange {
            phase: Phase::Receive,
            request: Head::default(),
            response: Head::default(),
            facts: Facts::default(),
            shown: false,
            backend: None,
            switched: None,
            address: None,
            server: None,
            hold: Hold::default(),
            counted_on: None,
            upstream: None,
            upload: Flow::default(),
            download: Flow::default(),
            answered: false,
            request_body: Body::None,
            response_body: Body::None,
            client_keeps: false,
            server_keeps: false,
            upgrade: false,
            retries_left: 0,
            kept: None,
            reused: false,
            unseen: false,
            repeated: false,
            avoid: None,
            client_deadline: Tick::NEVER,
            server_deadline: Tick::NEVER,
            phase_deadline: Tick::NEVER,
            reply: Vec::new(),
            reply_sent: 0,
            whole_answer_bytes: None,
            request_has_no_body: true,
            client_late: false,
            held: None,
            falsified: false,
            paused: None,
            lookup: None,
            nice: 0,
            counted_bytes: [0; 2],
            addresses_before: None,
            holds_answer: false,
            logged: false,
            vars: Vars::default(),
        }
    }
}

impl Exchange {
    /// Whether a server's id is still in use here.
    pub fn mentions(&self, id: ServerId) -> bool {
        let queued = if let Phase::Queued { server, .. } = &self.phase { *server } else { None };
        [self.server, self.counted_on, self.avoid, self.hold.wanted, queued].contains(&Some(id))
    }

    /// Whether it has come to a server, not only into its queue: who waits there may still go elsewhere.
    pub fn is_on(&self, server: ServerId) -> bool {
        self.server == Some(server) && !matches!(self.phase, Phase::Queued { .. })
    }

    /// Makes a used exchange a new one and keeps the memory of its heads.
    pub fn renew(&mut self) {
        let (mut request, mut response) = (take(&mut self.request), take(&mut self.response));
        let (mut request_line, mut vars) = (take(&mut self.facts.request_line), take(&mut self.vars));
        request.clear();
        response.clear();
        request_line.clear();
        vars.clear();
        let facts = Facts { request_line, ..Facts::default() };
        *self = Exchange { request, response, facts, vars, ..Exchange::default() };
    }

    /// The earliest of its deadlines.
    pub fn deadline(&self) -> Tick {
        self.client_deadline.min(self.server_deadline).min(self.phase_deadline)
    }
}
