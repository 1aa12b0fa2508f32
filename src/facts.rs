//! The facts of one exchange: what its log line and its statistics are made of.
//!
//! The session's phases write them as they happen; log variables and fetches read them. All points in
//! time are `None` until reached, which logs as -1 (configuration manual, 8.4).

use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;

use crate::time::Now;

/// What a rule said about the log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOrder {
    /// There is to be none.
    Silent,
    /// Its level, by syslog's number (RFC 5424 6.2.1).
    Level(u8),
}

/// Timers, volumes and outcome of one exchange (in TCP mode: of the connection).
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What a rule said about its log line (`set-log-level`), while it looked on.
    pub log_order: Cell<Option<LogOrder>>,
    /// A rule said that it must not be sent to a server twice (`disable-l7-retry`).
    pub never_again: Cell<bool>,
    /// When the connection was accepted.
    pub accepted: Now,
    /// When this exchange could begin: the accept, or the end of the previous response (%Ti starts here).
    pub idle_since: Now,
    /// First byte of the request seen.
    pub first_byte: Option<Now>,
    /// Request head complete and valid.
    pub request_received: Option<Now>,
    /// Left the queue (at once when it never queued); start of the last connection attempt.
    pub queue_left: Option<Now>,
    /// Connection to the server established (or reused).
    pub connected: Option<Now>,
    /// Response head complete.
    pub response_received: Option<Now>,
    /// The moment of logging or of the end.
    pub ended: Option<Now>,

    /// Payload and head bytes received from the client (%U).
    pub bytes_in: u64,
    /// Bytes sent to the client, heads included (%B).
    pub bytes_out: u64,
    /// Status sent to the client; `None` logs as -1.
    pub status: Option<u16>,
    /// Status that the server sent, where one did.
    pub server_status: Option<u16>,
    /// How and when the exchange ended.
    pub termination: Termination,
    /// Connection retries made (%rc).
    pub retries: u32,
    /// The last retry went to another server: logged as `+` before the count.
    pub redispatched: bool,
    /// Position in the server's queue when entered (%sq).
    pub server_queue: u32,
    /// Position in the backend's queue when entered (%bq).
    pub backend_queue: u32,
    /// Concurrent connections at the moment of logging, this one included: process, frontend, backend, server.
    pub concurrent: Concurrent,
    /// Address that the connection to the server was made from (%bi, %bp).
    pub upstream_local: Option<SocketAddr>,
    /// The server's address (%si, %sp).
    pub upstream_peer: Option<SocketAddr>,
    /// The number of the exchange, for %rt.
    pub request_counter: u64,
    /// The stats page, a redirect, a deny or `return` answered: logged as `<STATS>`, `<NOSRV>` and so on.
    pub responder: Responder,
    /// Logged before the end (`option logasap`): times and volumes get a `+`.
    pub logged_early: bool,
    /// The request never parsed: logged as `<BADREQ>`.
    pub bad_request: bool,
    /// Start line as received, before rules changed it; empty when none was.
    pub request_line: Vec<u8>,
    /// The byte range of the URI inside [`Facts::request_line`].
    pub uri: (usize, usize),
    /// Captured request headers, one entry a `capture request header` line even when nothing was caught:
    /// an empty list means that none is configured, and the log then has no braces (%hr).
    pub request_captures: Vec<Vec<u8>>,
    /// As [`Facts::request_captures`], of the response (%hs).
    pub response_captures: Vec<Vec<u8>>,
    /// The captured cookie of the request as `name=value`; empty logs as `-` (%CC).
    pub request_cookie: Vec<u8>,
    /// The captured cookie of the response (%CS).
    pub response_cookie: Vec<u8>,
    /// What `unique-id-format` made (%ID), once somebody asked for it.
    pub unique_id: OnceCell<Vec<u8>>,
    /// It is being made: what it is made of cannot have it.
    pub naming: Cell<bool>,
    /// Lines that the frontend logged before this one (%lc).
    pub log_counter: u64,
}

/// How long the parts of an exchange took, in milliseconds; 0 for what did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// In the queue.
    pub queue_ms: u64,
    /// Until there was a connection to the server.
    pub connect_ms: u64,
    /// Until the head of the answer was there.
    pub response_ms: u64,
    /// All of it.
    pub total_ms: u64,
}

/// Live connections at the moment of logging (%ac %fc %bc %sc).
#[derive(Clone, Copy, Debug, Default)]
pub struct Concurrent {
    /// Of the whole service.
    pub process: u64,
    /// Of the frontend.
    pub frontend: u64,
    /// Of the backend.
    pub backend: u64,
    /// Of the server.
    pub server: u64,
}

/// Who answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Responder {
    /// Nobody yet, or the proxy itself (error, deny, redirect): `<NOSRV>`.
    #[default]
    Nobody,
    /// A server.
    Server,
    /// The statistics page: `<STATS>`.
    Stats,
}

/// First character of the termination state: what ended the session (manual 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// `-` normal completion.
    #[default]
    Normal,
    /// `C` the client aborted.
    ClientAbort,
    /// `S` the server aborted or refused.
    ServerAbort,
    /// `P` the proxy refused or blocked.
    Proxy,
    /// `L` handled locally.
    Local,
    /// `R` a resource was exhausted.
    Resource,
    /// `I` an internal error.
    Internal,
    /// `D` killed because the server went down.
    Down,
    /// `U` killed on a backup server because a primary came up.
    Up,
    /// `K` killed by an administrator.
    Killed,
    /// `c` client-side timeout.
    ClientTimeout,
    /// `s` server-side timeout.
    ServerTimeout,
}

/// Second character: what the session was doing (manual 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// `-` normal completion, data over.
    #[default]
    Done,
    /// `R` waiting for a complete request.
    Request,
    /// `Q` waiting in the queue.
    Queue,
    /// `C` connecting to the server.
    Connect,
    /// `H` waiting for response headers.
    Headers,
    /// `D` transferring data.
    Data,
    /// `L` sending the last data to the client.
    Last,
    /// `T` tarpitted.
    Tarpit,
}

/// The four characters of %ts / %tsc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termination {
    /// What ended it.
    pub cause: Cause,
    /// When it did.
    pub phase: Phase,
    /// Third: persistence cookie sent by the client.
    pub client_cookie: u8,
    /// Fourth: what was done with the persistence cookie.
    pub server_cookie: u8,
}

impl Default for Termination {
    fn default() -> Self {
        Termination { cause: Cause::Normal, phase: Phase::Done, client_cookie: b'-', server_cookie: b'-' }
    }
}

impl Cause {
    /// The character in the log.
    pub fn letter(self) -> u8 {
        match self {
            Cause::Normal => b'-',
            Cause::ClientAbort => b'C',
            Cause::ServerAbort => b'S',
            Cause::Proxy => b'P',
            Cause::Local => b'L',
            Cause::Resource => b'R',
            Cause::Internal => b'I',
            Cause::Down => b'D',
            Cause::Up => b'U',
            Cause::Killed => b'K',
            Cause::ClientTimeout => b'c',
            Cause::ServerTimeout => b's',
        }
    }
}

impl Phase {
    /// The character in the log.
    pub fn letter(self) -> u8 {
        match self {
            Phase::Done => b'-',
            Phase::Request => b'R',
            Phase::Queue => b'Q',
            Phase::Connect => b'C',
            Phase::Headers => b'H',
            Phase::Data => b'D',
            Phase::Last => b'L',
            Phase::Tarpit => b'T',
        }
    }
}

impl Facts {
    /// How long the parts took, for the sliding averages.
    pub fn times(&self) -> Times {
        let span = |from: Option<Now>, to: Option<Now>| from.zip(to).map_or(0, |(from, to)| to.ms_since(from));
        let start = self.request_received.or(Some(self.accepted));
        Times {
            queue_ms: span(start, self.queue_left),
            connect_ms: span(self.queue_left, self.connected),
            response_ms: span(self.connected, self.response_received),
            total_ms: span(start, self.ended),
        }
    }
}

impl Termination {
    /// Records the first cause only: what ended an exchange is decided once.
    pub fn set_once(&mut self, cause: Cause, phase: Phase) {
        if self.cause == Cause::Normal {
            self.cause = cause;
            self.phase = phase;
        }
    }
}
