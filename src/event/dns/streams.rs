//! Connections to name servers that are asked over TCP: questions and answers have their lengths in front (RFC 7766).
//!
//! As in HAProxy, a connection has four questions under way at most, and one that was not needed for some seconds is closed.

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use super::Seat;
use crate::dns::{Tallied, message};
use crate::event::core::Readiness;
use crate::proxy::resolvers::{NameServer, TcpTransport};
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
    slots: Slab<Line>,
    generation: u32,
    backlog: VecDeque<(Seat, Rc<[u8]>)>,
    /// When connections are looked at; never while there are none.
    sweep_at: Option<Tick>,
}

/// One connection.
struct Line {
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

impl Line {
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
    pub fn send(
        &mut self,
        seat: Seat,
        to: &'static NameServer,
        how: &'static TcpTransport,
        bytes: &Rc<[u8]>,
        services: &mut Services,
    ) -> bool {
        let own = |line: &&mut Line| line.seat == seat;
        let mut lines = self.slots.iter_mut().map(|(_, line)| line).filter(own);
        if let Some(line) = lines.find(|line| line.asked.len() < PIPELINE_MAX) {
            line.ask(bytes, services.now.tick());
            if !line.flush() {
                let slot = line.token.slot();
                self.close(slot, services);
            }
            return true;
        }
        let open = self.slots.iter().filter(|(_, line)| line.seat == seat).count();
        let max = how.maxconn.filter(|max| *max > 0).unwrap_or(CONNECTIONS_MAX);
        if open < max as usize {
            return self.open(seat, to, how, bytes, services);
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
        to: &'static NameServer,
        how: &'static TcpTransport,
        bytes: &Rc<[u8]>,
        services: &mut Services,
    ) -> bool {
        self.generation = self.generation.wrapping_add(1);
        let token = Token::new(Kind::NameStream, self.slots.vacant_key(), self.generation);
        let origin = how.source.as_ref().map(|source| origin::own(services, source, None));
        let options = ConnectOptions { user_timeout: how.user_timeout, ..ConnectOptions::default() };
        let opened = services.net.connect(&Target::from(to.address), options, origin.as_ref(), token);
        let Ok(opened) = opened else { return false };
        let now = services.now.tick();
        let mut line = Line {
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
        line.ask(bytes, now);
        self.slots.insert(line);
        self.sweep_at.get_or_insert(now + IDLE);
        true
    }

    /// A connection is ready.
    pub fn ready(&mut self, token: Token, ready: Readiness, services: &mut Services) {
        let slot = token.slot();
        let Some(line) = self.slots.get_mut(slot).filter(|line| line.token == token) else { return };
        if !line.is_established {
            if !ready.writable && !ready.hangup {
                return;
            }
            if line.opened.stream.take_error().is_some() {
                return self.close(slot, services);
            }
            line.is_established = true;
        }
        if !line.flush() || !receive(line, services) {
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
        let stale: Vec<usize> =
            self.slots.iter().filter(|(_, line)| line.since + IDLE <= now).map(|(slot, _)| slot).collect();
        for slot in stale {
            // What it was asked has been asked again elsewhere by now.
            self.slots[slot].asked.clear();
            self.close(slot, services);
        }
        self.sweep_at = (!self.slots.is_empty()).then_some(now + IDLE);
    }

    /// Closes a connection. One that had been in use may have been closed while questions were on their way: they are
    /// sent again at once; others when they are repeated.
    fn close(&mut self, slot: usize, services: &mut Services) {
        let line = self.slots.remove(slot);
        if line.has_answered {
            for question in line.asked {
                services.names.count(line.seat.0, line.seat.1, Tallied::Sent);
                self.backlog.push_back((line.seat, question));
            }
        }
        self.serve_backlog(services);
    }

    /// Whether questions wait to be sent.
    #[cfg(test)]
    pub fn has_output(&self) -> bool {
        self.slots.iter().any(|(_, line)| !line.output.is_empty())
    }

    /// Sends what waits for a connection, as far as there are any.
    fn serve_backlog(&mut self, services: &mut Services) {
        for (seat, question) in std::mem::take(&mut self.backlog) {
            let to = super::nameserver(services.config, seat);
            if let crate::proxy::resolvers::Transport::Tcp(how) = &to.transport {
                self.send(seat, to, how, &question, services);
            }
        }
    }
}

/// Receives what there is. Whether the connection is still good.
fn receive(line: &mut Line, services: &mut Services) -> bool {
    let now = services.now.tick();
    for _ in 0..RECEIVES_MAX {
        line.input.reserve(RECEIVE_BYTES);
        match line.opened.stream.recv(&mut line.input) {
            Ok(0) => return false,
            Ok(_) => line.since = now,
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
        while let Some(answer) = line.answer() {
            services.names.received(line.seat.0, line.seat.1, &answer, now);
        }
    }
    // Nobody was asked for so much.
    false
}
