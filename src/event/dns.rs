//! Carries what the engine of names says: its messages to name servers, its reports to whoever asked.
//!
//! Each worker has sockets of its own, which are opened when the first question goes out: one of datagrams for each
//! name server, connected, so that nobody else is heard; or [`streams`].

mod streams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::ErrorKind;

use super::core::{Core, Readiness};
use crate::dns::{Outgoing, Report, Requester, Tallied, Verdict};
use crate::proxy::Config;
use crate::proxy::resolvers::{NameServer, ResolversId, Transport};
use crate::session::Services;
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use crate::transport::datagram::Datagram;
use streams::Streams;

/// Datagrams that are read of one name server in a turn.
const DATAGRAMS_MAX: usize = 256;

/// Messages that go out at once, and each millisecond after that. Name servers lose what comes faster than they read, and
/// the names of thousands of servers would come all together, again each time.
const BURST: u32 = 200;
const MESSAGES_PER_MS: u32 = 20;
/// Messages that wait for their turn; more are as good as lost, for clients may ask for any number of names.
const WAITING_MAX: usize = 1 << 16;

/// Where a name server stands: its section, and its place there.
type Seat = (ResolversId, usize);

/// What leads to the name servers.
#[derive(Default)]
pub struct NameServers {
    /// By number, over all sections.
    sockets: Vec<Option<Datagram>>,
    streams: Streams,
    /// Sockets that have more to read, by number.
    unread: Vec<usize>,
    room: Vec<u8>,
    /// Messages that wait for their turn, and how many more may go in this millisecond.
    waiting: VecDeque<Outgoing>,
    left: u32,
    filled: Tick,
}

impl NameServers {
    /// When time matters next.
    fn deadline(&self) -> Tick {
        match (self.unread.is_empty(), self.waiting.is_empty()) {
            (false, _) => Tick(0),
            (true, false) => self.filled + Millis(1),
            (true, true) => self.streams.deadline(),
        }
    }

    /// Sends what may be sent by now.
    fn flush(&mut self, services: &mut Services) {
        let now = services.now.tick();
        let passed = u32::try_from(now.since(self.filled)).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(passed.saturating_mul(MESSAGES_PER_MS)).min(BURST);
        self.filled = now;
        while let Some(message) = services.names.outgoing() {
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(message);
            } else {
                services.names.sent(&message, false, now);
            }
        }
        while self.left > 0
            && let Some(message) = self.waiting.pop_front()
        {
            // What clients ask for and give up at once takes nobody's turn, and no memory for long.
            if !services.names.is_wanted(&message) {
                continue;
            }
            self.left -= 1;
            let well = self.send(&message, services);
            services.names.sent(&message, well, now);
        }
    }

    /// Nobody of a section answers: other sockets, from other ports, may have more luck after a change of the network.
    fn renew(&mut self, config: &Config, section: ResolversId) {
        let first = number(config, (section, 0));
        let sockets = self.sockets.iter_mut().skip(first).take(config[section].nameservers.len());
        sockets.for_each(|socket| *socket = None);
    }

    /// Sends a message. Whether it could be.
    fn send(&mut self, message: &Outgoing, services: &mut Services) -> bool {
        let seat = (message.section, message.nameserver);
        let nameserver = nameserver(services.config, seat);
        match &nameserver.transport {
            Transport::Udp => self.send_datagram(number(services.config, seat), nameserver, &message.bytes, services),
            Transport::Tcp(_) => self.streams.send(seat, &message.bytes, services),
        }
    }

    fn send_datagram(&mut self, number: usize, to: &NameServer, bytes: &[u8], services: &mut Services) -> bool {
        if self.sockets.len() <= number {
            self.sockets.resize_with(number + 1, || None);
        }
        let socket = &mut self.sockets[number];
        if socket.is_none() {
            let token = Token::new(Kind::NameServer, number, 0);
            *socket = Datagram::open(&services.net, to.address, token).ok();
        }
        let sent = socket.as_ref().is_some_and(|socket| match socket.send(bytes) {
            Ok(()) => true,
            // It is lost as it may be anywhere on its way.
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        if !sent {
            *socket = None;
        }
        sent
    }

    /// Receives what there is on a socket.
    fn receive(&mut self, number: usize, services: &mut Services) {
        let Some(seat) = seat(services.config, number) else { return };
        // One octet more tells an answer that is too long.
        let room_bytes = usize::from(services.config[seat.0].payload_bytes_max) + 1;
        if self.room.len() < room_bytes {
            self.room.resize(room_bytes, 0);
        }
        let now = services.now.tick();
        for _ in 0..DATAGRAMS_MAX {
            let Some(Some(socket)) = self.sockets.get(number) else { return };
            match socket.recv(&mut self.room[..room_bytes]) {
                Ok(bytes) => services.names.received(seat.0, seat.1, &self.room[..bytes], now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Nobody listens there: the question is repeated at its time.
                Err(_) => {}
            }
        }
        // An event and what was left of the turn before may both come here.
        if !self.unread.contains(&number) {
            self.unread.push(number);
        }
    }
}

impl Core {
    /// A socket of datagrams is ready.
    pub fn name_server_event(&mut self, token: Token) {
        self.name_servers.receive(token.slot(), &mut self.services);
    }

    /// A connection to a name server is ready.
    pub fn name_stream_event(&mut self, token: Token, ready: Readiness) {
        self.name_servers.streams.ready(token, ready, &mut self.services);
    }

    /// When [`Core::resolve_names`] has something to do.
    pub(super) fn names_deadline(&self) -> Tick {
        self.services.names.deadline().min(self.name_servers.deadline())
    }

    /// Lets the engine do what is due, sends what it says and hands out its reports.
    pub fn resolve_names(&mut self) {
        let now = self.services.now.tick();
        if self.names_deadline() > now {
            return;
        }
        for number in std::mem::take(&mut self.name_servers.unread) {
            self.name_servers.receive(number, &mut self.services);
        }
        self.services.names.expire(now);
        self.name_servers.streams.sweep(&mut self.services);
        while let Some(report) = self.services.names.report() {
            if report.verdict == Verdict::Timeout {
                self.name_servers.renew(self.services.config, report.section);
            }
            self.resolved(&report);
        }
        self.name_servers.flush(&mut self.services);
        let counters = &self.services.counters;
        self.services.names.take_tallies(|section, nameserver, tally| {
            for what in Tallied::ALL.into_iter().filter(|what| tally.get(*what) > 0) {
                counters.name_server(section, nameserver).add(what, tally.get(what));
            }
        });
    }

    /// Somebody's question has been answered, or will not be.
    fn resolved(&mut self, report: &Report) {
        match report.who {
            Requester::Server(_) | Requester::Service(_) => self.services.named(report),
            Requester::Session(token) => self.session_resolved(token, report),
        }
    }
}

fn nameserver(config: &'static Config, (section, place): Seat) -> &'static NameServer {
    &config[section].nameservers[place]
}

/// The number of a name server over all sections.
fn number(config: &Config, (section, place): Seat) -> usize {
    let before = &config.resolvers[..section.0 as usize];
    before.iter().map(|section| section.nameservers.len()).sum::<usize>() + place
}

fn seat(config: &Config, number: usize) -> Option<Seat> {
    let mut place = number;
    for (id, section) in (0..).zip(&config.resolvers) {
        if place < section.nameservers.len() {
            return Some((ResolversId(id), place));
        }
        place -= section.nameservers.len();
    }
    None
}
