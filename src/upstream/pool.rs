//! The connections to servers of one worker, and which of them are idle.
//!
//! A server's idle connections stand in two lines, because of what `http-reuse` promises: *proven* ones,
//! which have carried more than one request, and *fresh* ones. The one that waited longest is taken first.

use std::net::SocketAddr;

use slab::Slab;

use crate::buffer::Pool as Buffers;
use crate::preface::Preface;
use crate::proxy::backend::Reuse;
use crate::proxy::servers::put;
use crate::proxy::{Config, ServerId};
use crate::shm::Lease;
use crate::stats::{Count, Counters};
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use crate::transport::Connection;
use crate::transport::net::{ConnectError, Opened, Origin};

/// A connection to a server.
#[derive(Debug)]
pub struct Upstream {
    /// The socket and its buffers.
    pub connection: Connection,
    /// Where it leads.
    pub peer: Peer,
    /// The IP address that it was made to.
    pub target: Option<SocketAddr>,
    /// Its name in readiness events.
    pub token: Token,
    /// Who has it.
    pub user: User,
    /// Exchanges that it has been lent to.
    pub exchanges: u32,
    /// The address that `usesrc` asked for.
    pub shown: Option<SocketAddr>,
    /// What it began with, if that was a header of the PROXY protocol.
    pub header: Option<Box<[u8]>>,
    /// What comes before its user may have it.
    pub preface: Option<Box<Preface>>,
    /// How often the server had been left for good when it was made.
    leave: u32,
    /// Its port, if that is one of a range. It goes after the socket.
    _lease: Option<Lease>,
    before: Option<usize>,
    behind: Option<usize>,
}

/// Where a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// To a server.
    Server(ServerId),
    /// To an address that is no server's (`dispatch`, `option http_proxy`): only the session that made the
    /// connection uses it.
    Address(SocketAddr),
}

impl Peer {
    fn server(self) -> Option<ServerId> {
        match self {
            Peer::Server(server) => Some(server),
            Peer::Address(_) => None,
        }
    }
}

/// Who has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The exchange of the session in this slot.
    Session(usize),
    /// Nobody.
    Idle {
        /// Which line it stands in: that of the proven ones or of the fresh ones.
        proven: bool,
    },
}

/// The connections of one server, and how many of them it is likely to need.
#[derive(Debug, Default)]
struct Share {
    proven: Line,
    fresh: Line,
    /// Lent at the moment.
    used: usize,
    /// Most that were lent at a time since the last purge.
    used_max: usize,
    /// Estimate of how many are needed: rises at once with use, and falls with each purge.
    needed: usize,
    next_purge: Option<Tick>,
    /// How often all that was idle has been closed: what was lent meanwhile leads where nobody is to go any more.
    leaves: u32,
}

impl Share {
    fn idle(&self) -> usize {
        self.proven.len + self.fresh.len
    }

    fn take(&mut self) {
        self.used += 1;
        self.used_max = self.used_max.max(self.used);
        self.needed = self.needed.max(self.used);
    }

    /// Connections beyond what is likely to be needed.
    fn excess(&self) -> usize {
        (self.used + self.idle()).saturating_sub(self.used.max(self.needed))
    }

    fn line(&mut self, proven: bool) -> &mut Line {
        if proven { &mut self.proven } else { &mut self.fresh }
    }
}

/// Idle connections in the order in which they became idle: a list through [`Upstream`], since a connection
/// may leave from any place.
#[derive(Debug, Default)]
struct Line {
    first: Option<usize>,
    last: Option<usize>,
    len: usize,
}

/// All connections to servers.
#[derive(Debug)]
pub struct Upstreams {
    slab: Slab<Upstream>,
    shares: Vec<Share>,
    generation: u32,
    next_purge: Tick,
    /// While the process has this many connections, clients' included, none is kept idle.
    connections_high: u64,
}

impl Upstreams {
    /// None yet, for so many servers.
    pub fn new(servers: usize) -> Upstreams {
        let shares = std::iter::repeat_with(Share::default).take(servers).collect();
        Upstreams { slab: Slab::new(), shares, generation: 0, next_purge: Tick::NEVER, connections_high: u64::MAX }
    }

    /// Makes room for a server: one more, or in place of one that has no connection.
    pub fn seat(&mut self, server: ServerId) {
        put(&mut self.shares, server.0, Share::default());
    }

    /// Whether there is no connection to a server.
    pub fn has_none_to(&self, server: ServerId) -> bool {
        let share = &self.shares[server.0 as usize];
        share.used == 0 && share.idle() == 0
    }

    /// Keeps no idle connection while more than a quarter of `descriptors` are in use: the figure of
    /// `tune.pool-high-fd-ratio` (manual 3.2). A burst must not leave clients without descriptors.
    pub fn limit_to(&mut self, descriptors: u64) {
        self.connections_high = (descriptors / 4).max(1);
    }

    /// Connections open or being made.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// The connection in a slot.
    pub fn get_mut(&mut self, key: usize) -> &mut Upstream {
        &mut self.slab[key]
    }

    /// The connection in a slot.
    pub fn get(&self, key: usize) -> &Upstream {
        &self.slab[key]
    }

    /// The slot that a token names, if the connection it was made for is still there.
    pub fn resolve(&self, token: Token) -> Option<usize> {
        self.slab.get(token.slot()).filter(|upstream| upstream.token == token).map(|_| token.slot())
    }

    /// Starts a connection for the session in slot `session`; `connect` makes it under the token that it is given, and
    /// `origin` says where it comes from.
    pub fn open(
        &mut self,
        (peer, target): (Peer, Option<SocketAddr>),
        origin: Option<&Origin>,
        session: usize,
        counters: &Counters,
        connect: impl FnOnce(Token) -> Result<Opened, ConnectError>,
    ) -> Result<usize, ConnectError> {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slab.vacant_entry();
        let key = entry.key();
        let token = Token::new(Kind::Upstream, key, self.generation);
        let opened = connect(token)?;
        let connection = Connection::new(opened.stream);
        let leave = peer.server().map_or(0, |server| self.shares[server.0 as usize].leaves);
        entry.insert(Upstream {
            connection,
            peer,
            target,
            token,
            user: User::Session(session),
            exchanges: 1,
            shown: origin.and_then(|origin| origin.shown),
            header: None,
            preface: None,
            leave,
            _lease: opened.lease,
            before: None,
            behind: None,
        });
        if let Some(server) = peer.server() {
            self.shares[server.0 as usize].take();
            self.publish(server, counters);
        }
        Ok(key)
    }

    /// Lends an idle connection to the session in slot `session`, as far as `reuse` allows;
    /// `first` tells that this is the session's first request (manual 4, `http-reuse`). Where the address of the server
    /// depends on the client, only a connection `to` that of this client will do.
    pub fn lend(
        &mut self,
        (server, to): (ServerId, Option<SocketAddr>),
        reuse: Reuse,
        first: bool,
        session: usize,
        counters: &Counters,
    ) -> Option<usize> {
        let share = &mut self.shares[server.0 as usize];
        let (proven, fresh) = match reuse {
            Reuse::Never => (false, false),
            Reuse::Safe => (!first, !first),
            Reuse::Aggressive => (true, !first),
            Reuse::Always => (true, true),
        };
        let lines = [(proven, share.proven.first), (fresh, share.fresh.first)];
        let mut firsts = lines.into_iter().filter(|(allowed, _)| *allowed);
        let key = firsts.find_map(|(_, first)| self.leading_to(first, to))?;
        self.leave_line(key);
        let share = &mut self.shares[server.0 as usize];
        share.take();
        let upstream = &mut self.slab[key];
        upstream.user = User::Session(session);
        upstream.exchanges += 1;
        self.publish(server, counters);
        Some(key)
    }

    /// Takes a connection back as idle. It is closed instead when the server has as many as it is likely to
    /// need (`pool-low-conn` more, `pool-max-conn` at most), when the peer has ended it or has sent
    /// something that nobody asked for, or when the server was left while it was lent.
    pub fn give_back(&mut self, key: usize, config: &Config, counters: &Counters, buffers: &mut Buffers, now: Tick) {
        let scarce = self.slab.len() as u64 + counters.process().here(Count::SessionsCurrent) > self.connections_high;
        let current = self.is_current(key);
        let upstream = &mut self.slab[key];
        let reusable = upstream.connection.is_reusable(buffers);
        let Some(server) = upstream.peer.server() else { return self.close(key, counters, buffers) };
        let settings = &config[server];
        let share = &mut self.shares[server.0 as usize];
        let (used, idle) = (share.used - 1, share.idle());
        let needed = used + idle < used.max(share.needed) + settings.pool_low_conn as usize;
        let allowed =
            settings.pool_purge_delay > Millis(0) && settings.pool_max_conn.is_none_or(|max| idle < max as usize);
        if scarce || !current || !reusable || !needed || !allowed {
            return self.close(key, counters, buffers);
        }
        share.used = used;
        let proven = upstream.exchanges > 1;
        upstream.user = User::Idle { proven };
        let purge = *share.next_purge.get_or_insert(now + settings.pool_purge_delay);
        self.next_purge = self.next_purge.min(purge);
        self.join_line(key, proven);
        self.publish(server, counters);
    }

    /// Closes a connection, idle or lent.
    pub fn close(&mut self, key: usize, counters: &Counters, buffers: &mut Buffers) {
        let server = self.slab[key].peer.server();
        match (self.slab[key].user, server) {
            (User::Idle { .. }, _) => self.leave_line(key),
            (User::Session(_), Some(server)) => self.shares[server.0 as usize].used -= 1,
            (User::Session(_), None) => {}
        }
        let mut upstream = self.slab.remove(key);
        if let Some(server) = server {
            self.publish(server, counters);
        }
        upstream.connection.release(buffers);
        if !upstream.connection.ended {
            // We are the first to close: an ordinary close would leave a TIME_WAIT behind, and with many of
            // them the local ports towards this server run out.
            upstream.connection.stream.reset_on_close();
        }
    }

    /// Whether a connection leads where new ones would: its server has not moved or gone into maintenance since.
    pub fn is_current(&self, key: usize) -> bool {
        let upstream = &self.slab[key];
        upstream.peer.server().is_none_or(|server| self.shares[server.0 as usize].leaves == upstream.leave)
    }

    /// Leaves a server, for it moved or went into maintenance: closes its idle connections, and lent ones are not
    /// kept when they come back.
    pub fn close_idle(&mut self, server: ServerId, counters: &Counters, buffers: &mut Buffers) {
        let leaves = &mut self.shares[server.0 as usize].leaves;
        *leaves = leaves.wrapping_add(1);
        while let Some(key) = self.oldest_idle(server) {
            self.close(key, counters, buffers);
        }
    }

    /// Lowers the estimate of what each server needs and closes half of what it has beyond that
    /// (`pool-purge-delay`).
    pub fn purge(&mut self, config: &Config, counters: &Counters, buffers: &mut Buffers, now: Tick) {
        let mut next = Tick::NEVER;
        for index in 0..self.shares.len() {
            let server = ServerId(index as u32);
            if self.shares[index].next_purge.is_some_and(|at| at <= now) {
                let share = &mut self.shares[index];
                share.needed = (share.needed + share.used_max) / 2;
                share.used_max = share.used;
                self.publish(server, counters);
                let share = &self.shares[index];
                for _ in 0..share.excess().div_ceil(2) {
                    let Some(key) = self.oldest_idle(server) else { break };
                    self.close(key, counters, buffers);
                }
                let share = &mut self.shares[index];
                share.next_purge = (share.idle() > 0).then(|| now + config[server].pool_purge_delay);
            }
            next = next.min(self.shares[index].next_purge.unwrap_or(Tick::NEVER));
        }
        self.next_purge = next;
    }

    /// When [`Upstreams::purge`] has something to do.
    pub fn next_purge(&self) -> Tick {
        self.next_purge
    }

    /// Lets everybody see what a server has and is likely to need.
    fn publish(&self, server: ServerId, counters: &Counters) {
        let share = &self.shares[server.0 as usize];
        let row = counters.server(server);
        for (column, n) in [
            (Count::IdleCurrent, share.idle()),
            (Count::IdleProven, share.proven.len),
            (Count::UsedCurrent, share.used),
            (Count::NeededCurrent, share.needed),
        ] {
            row.set(column, n as u64);
        }
    }

    /// Puts a connection at the end of a line.
    fn join_line(&mut self, key: usize, proven: bool) {
        let Some(server) = self.slab[key].peer.server() else { return };
        let line = self.shares[server.0 as usize].line(proven);
        let before = line.last.replace(key);
        line.len += 1;
        match before {
            Some(last) => self.slab[last].behind = Some(key),
            None => line.first = Some(key),
        }
        (self.slab[key].before, self.slab[key].behind) = (before, None);
    }

    /// Takes an idle connection out of its line.
    fn leave_line(&mut self, key: usize) {
        let upstream = &self.slab[key];
        let (User::Idle { proven }, Some(server)) = (upstream.user, upstream.peer.server()) else { return };
        let (before, behind) = (upstream.before, upstream.behind);
        if let Some(before) = before {
            self.slab[before].behind = behind;
        }
        if let Some(behind) = behind {
            self.slab[behind].before = before;
        }
        let line = self.shares[server.0 as usize].line(proven);
        line.len -= 1;
        if line.first == Some(key) {
            line.first = behind;
        }
        if line.last == Some(key) {
            line.last = before;
        }
    }

    /// The first connection of a line that leads to this address; to any without one.
    fn leading_to(&self, first: Option<usize>, to: Option<SocketAddr>) -> Option<usize> {
        let mut line = std::iter::successors(first, |key| self.slab[*key].behind);
        line.find(|key| to.is_none() || self.slab[*key].target == to)
    }

    fn oldest_idle(&self, server: ServerId) -> Option<usize> {
        let share = &self.shares[server.0 as usize];
        share.fresh.first.or(share.proven.first)
    }
}
