//! The connections to servers of one worker, and which of them are idle.
//!
//! A server keeps two stacks of idle connections, because of what `http-reuse` promises: *proven* ones,
//! which have carried more than one request, and *fresh* ones. The most recently used is taken first.

use std::io;

use slab::Slab;

use crate::buffer::Pool as Buffers;
use crate::proxy::backend::Reuse;
use crate::proxy::{Config, ServerId};
use crate::stats::{Count, Counters};
use crate::time::Tick;
use crate::token::{Kind, Token};
use crate::transport::net::{ConnectOptions, Target};
use crate::transport::{Connection, Net};

/// A connection to a server.
#[derive(Debug)]
pub struct Upstream {
    /// The socket and its buffers.
    pub connection: Connection,
    /// Whose it is.
    pub server: ServerId,
    /// Its name in readiness events.
    pub token: Token,
    /// Who has it.
    pub user: User,
    /// Exchanges that it has been lent to.
    pub exchanges: u32,
}

/// Who has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The exchange of the session in this slot.
    Session(usize),
    /// Nobody; `at` is its place in the server's stack.
    Idle {
        /// Which stack: proven or fresh.
        proven: bool,
        /// Place in the stack.
        at: usize,
    },
}

/// Idle connections of one server.
#[derive(Debug, Default)]
struct Idle {
    proven: Vec<usize>,
    fresh: Vec<usize>,
    /// Fewest idle connections since the last purge: so many were not needed in that time.
    unneeded: usize,
    next_purge: Option<Tick>,
}

/// All connections to servers.
#[derive(Debug)]
pub struct Upstreams {
    slab: Slab<Upstream>,
    idle: Vec<Idle>,
    generation: u32,
    next_purge: Tick,
}

impl Upstreams {
    /// None yet, for so many servers.
    pub fn new(servers: usize) -> Upstreams {
        let idle = std::iter::repeat_with(Idle::default).take(servers).collect();
        Upstreams { slab: Slab::new(), idle, generation: 0, next_purge: Tick::NEVER }
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

    /// Starts a connection for the session in slot `session`.
    pub fn open(
        &mut self,
        net: &Net,
        server: ServerId,
        target: &Target,
        options: ConnectOptions,
        session: usize,
    ) -> io::Result<usize> {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slab.vacant_entry();
        let key = entry.key();
        let token = Token::new(Kind::Upstream, key, self.generation);
        let stream = net.connect(target, options, token)?;
        let connection = Connection::new(stream);
        entry.insert(Upstream { connection, server, token, user: User::Session(session), exchanges: 1 });
        Ok(key)
    }

    /// Lends an idle connection to the session in slot `session`, as far as `reuse` allows;
    /// `first` tells that this is the session's first request (manual 4, `http-reuse`).
    pub fn lend(
        &mut self,
        server: ServerId,
        reuse: Reuse,
        first: bool,
        session: usize,
        counters: &Counters,
    ) -> Option<usize> {
        let idle = &mut self.idle[server.0 as usize];
        let (proven, fresh) = match reuse {
            Reuse::Never => (false, false),
            Reuse::Safe => (!first, !first),
            Reuse::Aggressive => (true, !first),
            Reuse::Always => (true, true),
        };
        let key = match idle.proven.pop_if(|_| proven) {
            Some(key) => key,
            None => idle.fresh.pop_if(|_| fresh)?,
        };
        idle.unneeded = idle.unneeded.min(idle.proven.len() + idle.fresh.len());
        let upstream = &mut self.slab[key];
        upstream.user = User::Session(session);
        upstream.exchanges += 1;
        counters.server(server).sub(Count::IdleCurrent, 1);
        Some(key)
    }

    /// Takes a connection back as idle. It is closed instead when the server keeps enough of them
    /// (`pool-max-conn`) or when the peer has ended it or has sent something that nobody asked for.
    pub fn give_back(&mut self, key: usize, config: &Config, counters: &Counters, buffers: &mut Buffers, now: Tick) {
        let upstream = &mut self.slab[key];
        let connection = &upstream.connection;
        let settings = &config[upstream.server];
        let idle = &mut self.idle[upstream.server.0 as usize];
        let count = idle.proven.len() + idle.fresh.len();
        let sound = !connection.is_over() && !connection.shut && connection.unwritable.is_none();
        let silent = connection.received().is_empty() && connection.pending() == 0 && !connection.readable;
        if !sound || !silent || settings.pool_max_conn.is_some_and(|max| count >= max as usize) {
            return self.close(key, counters, buffers);
        }
        let proven = upstream.exchanges > 1;
        let stack = if proven { &mut idle.proven } else { &mut idle.fresh };
        upstream.user = User::Idle { proven, at: stack.len() };
        stack.push(key);
        let purge = *idle.next_purge.get_or_insert(now + settings.pool_purge_delay);
        self.next_purge = self.next_purge.min(purge);
        counters.server(upstream.server).add(Count::IdleCurrent, 1);
    }

    /// Closes a connection, idle or lent.
    pub fn close(&mut self, key: usize, counters: &Counters, buffers: &mut Buffers) {
        let mut upstream = self.slab.remove(key);
        upstream.connection.release(buffers);
        if let User::Idle { proven, at } = upstream.user {
            let idle = &mut self.idle[upstream.server.0 as usize];
            let stack = if proven { &mut idle.proven } else { &mut idle.fresh };
            stack.swap_remove(at);
            if let Some(&moved) = stack.get(at) {
                self.slab[moved].user = User::Idle { proven, at };
            }
            idle.unneeded = idle.unneeded.min(idle.proven.len() + idle.fresh.len());
            counters.server(upstream.server).sub(Count::IdleCurrent, 1);
        }
    }

    /// Closes all idle connections of a server (it went down, or the worker stops).
    pub fn close_idle(&mut self, server: ServerId, counters: &Counters, buffers: &mut Buffers) {
        while let Some(key) = self.oldest_idle(server) {
            self.close(key, counters, buffers);
        }
    }

    /// Closes half of what each server did not need since its last purge (`pool-purge-delay`).
    pub fn purge(&mut self, config: &Config, counters: &Counters, buffers: &mut Buffers, now: Tick) {
        let mut next = Tick::NEVER;
        for index in 0..self.idle.len() {
            let server = ServerId(index as u32);
            if self.idle[index].next_purge.is_some_and(|at| at <= now) {
                for _ in 0..self.idle[index].unneeded.div_ceil(2) {
                    let Some(key) = self.oldest_idle(server) else { break };
                    self.close(key, counters, buffers);
                }
                let idle = &mut self.idle[index];
                idle.unneeded = idle.proven.len() + idle.fresh.len();
                idle.next_purge = (idle.unneeded > 0).then(|| now + config[server].pool_purge_delay);
            }
            next = next.min(self.idle[index].next_purge.unwrap_or(Tick::NEVER));
        }
        self.next_purge = next;
    }

    /// When [`Upstreams::purge`] has something to do.
    pub fn next_purge(&self) -> Tick {
        self.next_purge
    }

    /// Idle connections of a server: proven and fresh.
    pub fn idle_counts(&self, server: ServerId) -> (usize, usize) {
        let idle = &self.idle[server.0 as usize];
        (idle.proven.len(), idle.fresh.len())
    }

    fn oldest_idle(&self, server: ServerId) -> Option<usize> {
        let idle = &self.idle[server.0 as usize];
        idle.fresh.first().or(idle.proven.first()).copied()
    }
}
