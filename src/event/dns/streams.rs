//! Connections to name servers that are asked over TCP: questions and answers have their lengths in front (RFC 7766).
//!
//! As in HAProxy, a connection has four questions under way at most, and one that was not needed for some seconds is closed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use slab::Slab;

use super::Seat;
use crate::dns::{Tallied, message};
use crate::event::core::Readiness;
use crate::proxy::resolvers::{NameServer, TcpTransport, Transport};
use crate::session::{Services, origin};
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use crate::transport::net::{ConnectOptions, Opened, Target};

/// Questions under way on a connection.
const PIPELINE_MAX: usize = 4;
/// Connections to a name server whose line sets no `maxconn`.
const CONNECTIONS_MAX: u32 = 256;
/// Questions of a name server that wait for a connection; more are as good as lost.
const BACKLOG_MAX: usize = 4096;
/// How long a connection may be of no use, or silent though it was asked something.
const IDLE: Millis = Millis::from_secs(5);
/// Octets received at a time.
const RECEIVE_BYTES: usize = 4096;
/// Times that something is received in a turn: all answers to a pipeline of questions, and more.
const RECEIVES_MAX: usize = PIPELINE_MAX * 65537 / RECEIVE_BYTES + 8;
/// Octets of a length.
const LENGTH_BYTES: usize = 2;

/// All connections to name servers.
#[derive(Default)]
pub struct Streams {
    slots: Slab<Connection>,
    generation: u32,
    backlog: VecDeque<(Seat, Rc<[u8]>)>,
    /// When connections are looked at; never while there are none.
    sweep_at: Option<Tick>,
}

/// One connection.
struct Connection {
    seat: Seat,
    token: Token,
    opened: Opened,
    is_established: bool,
    output: Vec<u8>,
    input: Vec<u8>,
    /// Questions that were sent and not answered.
    asked: Vec<Rc<[u8]>>,
    /// There was an answer: when it closes now, that may be because it was idle.
    has_answered: bool,
    /// Since when it has nothing to do, or is silent though it was asked something.
    since: Tick,
}

impl Connection {
    fn ask(&mut self, bytes: &Rc<[u8]>, now: Tick) {
        if self.asked.is_empty() {
            self.since = now;
        }
        // Questions are short: a name and a few octets.
        self.output.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        self.output.extend_from_slice(bytes);
        self.asked.push(Rc::clone(bytes));
    }

    /// Sends what is there. Whether the connection is still good.
    fn flush(&mut self) -> bool {
        while self.is_established && !self.output.is_empty() {
            match self.opened.stream.send(&self.output, false) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// The next whole answer that was received to a question that was asked here; others are dropped.
    fn answer(&mut self) -> Option<Vec<u8>> {
        loop {
            let answer = self.message()?;
            let id = message::id(&answer);
            if let Some(at) = self.asked.iter().position(|question| message::id(question) == id) {
                self.asked.swap_remove(at);
                self.has_answered = true;
                return Some(answer);
            }
        }
    }

    /// The next whole message that was received.
    fn message(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes(*self.input.first_chunk::<LENGTH_BYTES>()?));
        if self.input.len() < LENGTH_BYTES + length {
            return None;
        }
        let message = self.input[LENGTH_BYTES..LENGTH_BYTES + length].to_vec();
        self.input.drain(..LENGTH_BYTES + length);
        Some(message)
    }
}

impl Streams {
    /// When [`Streams::sweep`] has something to do.
    pub fn deadline(&self) -> Tick {
        self.sweep_at.unwrap_or(Tick::NEVER)
    }

    /// Sends a question, or keeps it until there is a connection for it. Whether it could.
    pub fn send(&mut self, seat: Seat, bytes: &Rc<[u8]>, services: &mut Services) -> bool {
        let NameServer { address, transport: Transport::Tcp(how), .. } = super::nameserver(services.config, seat)
        else {
            return false;
        };
        let own = |connection: &&mut Connection| connection.seat == seat;
        let mut connections = self.slots.iter_mut().map(|(_, connection)| connection).filter(own);
        if let Some(connection) = connections.find(|connection| connection.asked.len() < PIPELINE_MAX) {
            connection.ask(bytes, services.now.tick());
            if !connection.flush() {
                let slot = connection.token.slot();
                self.close(slot, services);
            }
            return true;
        }
        let open = self.slots.iter().filter(|(_, connection)| connection.seat == seat).count();
        let max = how.maxconn.filter(|max| *max > 0).unwrap_or(CONNECTIONS_MAX);
        if open < max as usize {
            return self.open(seat, *address, how, bytes, services);
        }
        let has_room = self.backlog.len() < BACKLOG_MAX;
        if has_room {
            self.backlog.push_back((seat, Rc::clone(bytes)));
        }
        has_room
    }

    fn open(
        &mut self,
        seat: Seat,
        address: SocketAddr,
        how: &'static TcpTransport,
        bytes: &Rc<[u8]>,
        services: &mut Services,
    ) -> bool {
        self.generation = self.generation.wrapping_add(1);
        let token = Token::new(Kind::NameStream, self.slots.vacant_key(), self.generation);
        let origin = how.source.as_ref().map(|source| origin::own(services, source, None));
        let options = ConnectOptions { user_timeout: how.user_timeout, ..ConnectOptions::default() };
        let opened = services.net.connect(&Target::from(address), options, origin.as_ref(), token);
        let Ok(opened) = opened else { return false };
        let now = services.now.tick();
        let mut connection = Connection {
            seat,
            token,
            opened,
            is_established: false,
            output: Vec::new(),
            input: Vec::new(),
            asked: Vec::new(),
            has_answered: false,
            since: now,
        };
        connection.ask(bytes, now);
        self.slots.insert(connection);
        self.sweep_at.get_or_insert(now + IDLE);
        true
    }

    /// A connection is ready.
    pub fn ready(&mut self, token: Token, ready: Readiness, services: &mut Services) {
        let slot = token.slot();
        let Some(connection) = self.slots.get_mut(slot).filter(|connection| connection.token == token) else { return };
        if !connection.is_established {
            if !ready.writable && !ready.hangup {
                return;
            }
            if connection.opened.stream.take_error().is_some() {
                return self.close(slot, services);
            }
            connection.is_established = true;
        }
        if !connection.flush() || !receive(connection, services) {
            return self.close(slot, services);
        }
        self.serve_backlog(services);
    }

    /// Closes connections that are of no use.
    pub fn sweep(&mut self, services: &mut Services) {
        let now = services.now.tick();
        if self.deadline() > now {
            return;
        }
        // What they were asked has been asked again elsewhere by now.
        self.slots.retain(|_, connection| connection.since + IDLE > now);
        self.serve_backlog(services);
        self.sweep_at = (!self.slots.is_empty()).then_some(now + IDLE);
    }

    /// Closes a connection. One that had been in use may have been closed while questions were on their way: they are
    /// sent again at once; others when they are repeated.
    fn close(&mut self, slot: usize, services: &mut Services) {
        let connection = self.slots.remove(slot);
        if connection.has_answered {
            for question in connection.asked {
                services.names.count(connection.seat.0, connection.seat.1, Tallied::Sent);
                self.backlog.push_back((connection.seat, question));
            }
        }
        self.serve_backlog(services);
    }

    /// Whether questions wait to be sent.
    #[cfg(test)]
    pub fn has_output(&self) -> bool {
        self.slots.iter().any(|(_, connection)| !connection.output.is_empty())
    }

    /// Sends what waits for a connection, as far as there are any.
    fn serve_backlog(&mut self, services: &mut Services) {
        for (seat, question) in std::mem::take(&mut self.backlog) {
            self.send(seat, &question, services);
        }
    }
}

/// Receives what there is. Whether the connection is still good.
fn receive(connection: &mut Connection, services: &mut Services) -> bool {
    let now = services.now.tick();
    for _ in 0..RECEIVES_MAX {
        connection.input.reserve(RECEIVE_BYTES);
        match connection.opened.stream.recv(&mut connection.input) {
            Ok(0) => return false,
            Ok(_) => connection.since = now,
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
        while let Some(answer) = connection.answer() {
            services.names.received(connection.seat.0, connection.seat.1, &answer, now);
        }
    }
    // Nobody was asked for so much.
    false
}
