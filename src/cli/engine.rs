//! The connections of the runtime sockets: commands in, answers out as the client takes them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mio::Interest;
use mio::unix::SourceFd;
use slab::Slab;

use super::handover::{Gift, Handover};
use super::inquiry::{Inquiry, Line};
use super::{Call, Client, line, table};
use crate::event::Core;
use crate::event::accept::{self, Listeners};
use crate::event::core::Readiness;
use crate::mesh::Post;
use crate::proxy::{CliLevel, Config, Global, ListenAddress};
use crate::stats::Count;
use crate::sys::socket;
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use crate::transport::{Connection, Stream};

/// Inactivity after which a connection is closed, unless `stats timeout` says otherwise (manual 3.1).
const TIMEOUT: Millis = Millis::from_secs(10);

/// No further command is run before the client has taken most of the answers so far.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long an answer waits for workers that do not follow what a command changed, and how often it looks.
const FOLLOWED_WITHIN: Millis = Millis::from_secs(1);
const FOLLOWED_EVERY: Millis = Millis(1);

/// Length of the queue of a socket that was paused.
const RESUME_BACKLOG: i32 = 10;

/// Tokens of this generation are those of listening sockets.
const LISTENING: u32 = 0;

/// All runtime sockets and connections of a worker.
#[derive(Default)]
pub struct Cli {
    sockets: Vec<(OwnedFd, usize)>,
    registry: Option<mio::Registry>,
    connections: Slab<Conversation>,
    /// Connections to workers that were asked something.
    lines: Slab<Line>,
    /// Connections that are clients'.
    clients: usize,
    /// Where connections may wait to be accepted.
    pending: bool,
    /// Questions of other workers may wait.
    asked: bool,
    /// When to look again for what could not be accepted for want of descriptors.
    look_at: Option<Tick>,
    generation: u32,
}

/// One connection.
struct Conversation {
    connection: Connection,
    token: Token,
    client: Client,
    answer: Vec<u8>,
    sent: usize,
    handover: Option<Handover>,
    /// What other workers are asked before the last command is answered.
    inquiry: Option<Inquiry>,
    deadline: Tick,
    /// The answer waits until all workers have followed what a command changed.
    awaited: Option<Awaited>,
}

/// A change of a state that all workers share.
#[derive(Clone, Copy)]
struct Awaited {
    change: u64,
    /// Longer than that nobody is waited for.
    until: Tick,
}

impl Cli {
    /// Starts to listen for events of `stats socket` number `bind`.
    ///
    /// # Errors
    /// What the kernel says when the socket cannot be registered.
    pub fn add(&mut self, registry: &mio::Registry, socket: OwnedFd, bind: usize) -> std::io::Result<()> {
        if self.registry.is_none() {
            self.registry = Some(registry.try_clone()?);
        }
        let token = Token::new(Kind::Cli, self.sockets.len(), LISTENING);
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token.into(), Interest::READABLE)?;
        self.sockets.push((socket, bind));
        self.pending = true;
        Ok(())
    }

    /// An event of a socket.
    pub fn event(&mut self, token: Token, ready: Readiness, core: &mut Core, listeners: &mut Listeners) {
        if token.is_generation(LISTENING) {
            self.pending = true;
            return;
        }
        let slot = token.slot();
        let Some(one) = self.connections.get_mut(slot).filter(|one| one.token == token) else { return };
        one.connection.ready(ready.readable, ready.writable, ready.hangup);
        self.run(slot, core, listeners);
    }

    /// Another worker may have a question.
    pub fn door_event(&mut self) {
        self.asked = true;
    }

    /// An event of a connection to a worker that was asked something.
    pub fn answer_event(&mut self, token: Token, ready: Readiness, core: &mut Core, listeners: &mut Listeners) {
        let at = token.slot();
        let Some(line) = self.lines.get_mut(at).filter(|line| line.is_named(token)) else { return };
        line.ready(ready);
        let slot = line.conversation;
        let Some(inquiry) = self.connections.get_mut(slot).and_then(|one| one.inquiry.as_mut()) else { return };
        inquiry.go_on(at, &mut self.lines, core);
        if inquiry.is_over() {
            self.conclude(slot, core, listeners);
        }
    }

    /// Answers a client once the other workers have, or nobody waits for them any longer.
    fn conclude(&mut self, slot: usize, core: &mut Core, listeners: &mut Listeners) {
        let Some(one) = self.connections.get_mut(slot) else { return };
        let Some(inquiry) = one.inquiry.take() else { return };
        one.answer.extend(inquiry.end(&mut self.lines, core));
        table::frame(&one.client, &mut one.answer);
        self.run(slot, core, listeners);
    }

    /// Accepts what waits: all questions of other workers, and clients as far as `stats maxconn` allows. True
    /// if strangers may have questions left behind them, for the next turn.
    pub fn accept(&mut self, post: Option<&Post>, core: &mut Core, listeners: &mut Listeners) -> bool {
        let mut more = false;
        self.look_at = None;
        if let Some(post) = post.filter(|_| self.asked) {
            let error = loop {
                match post.answer(core.services.counters.segment()) {
                    Ok(fd) => {
                        let client = Client { internal: true, ..client(&core.services.config.global) };
                        self.open(fd, client, core, listeners);
                    }
                    Err(error) => break error,
                }
            };
            self.look_again_after(&error, core);
            self.asked = error.kind() != std::io::ErrorKind::WouldBlock;
            more = error.kind() == std::io::ErrorKind::QuotaExceeded;
        }
        if self.pending {
            self.accept_clients(core, listeners);
        }
        more
    }

    fn accept_clients(&mut self, core: &mut Core, listeners: &mut Listeners) {
        let max = core.services.config.global.cli_connections_max();
        for index in 0..self.sockets.len() {
            loop {
                if self.clients >= max as usize {
                    // The end of a connection comes back to those that wait.
                    return;
                }
                match socket::accept(&self.sockets[index].0) {
                    Ok((fd, _)) => {
                        let global = &core.services.config.global;
                        let bind = global.cli_binds.get(self.sockets[index].1);
                        let level = bind.map(|bind| bind.level).unwrap_or_default();
                        let exposes_listeners = bind.is_some_and(|bind| bind.exposes_listeners);
                        let client = Client { level, exposes_listeners, ..client(global) };
                        self.open(fd, client, core, listeners);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return self.look_again_after(&error, core),
                }
            }
        }
        self.pending = false;
    }

    fn look_again_after(&mut self, error: &std::io::Error, core: &Core) {
        if accept::is_want(error) {
            self.look_at = Some(core.services.now.tick() + accept::SECOND_LOOK);
        }
    }

    fn open(&mut self, fd: OwnedFd, client: Client, core: &mut Core, listeners: &mut Listeners) {
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        self.generation = next_generation(self.generation);
        let token = Token::new(Kind::Cli, slot, self.generation);
        let stream = Stream::Socket(fd);
        if core.services.net.register(&stream, token).is_err() {
            return;
        }
        if !client.internal {
            self.clients += 1;
            core.services.counters.process().add(Count::CliConnections, 1);
        }
        let mut connection = Connection::new(stream);
        connection.ready(true, true, false);
        let deadline = core.services.now.tick() + client.timeout;
        entry.insert(Conversation {
            connection,
            token,
            client,
            answer: Vec::new(),
            sent: 0,
            handover: None,
            inquiry: None,
            deadline,
            awaited: None,
        });
        self.run(slot, core, listeners);
    }

    /// Answers as far as input, output and time allow.
    fn run(&mut self, slot: usize, core: &mut Core, listeners: &mut Listeners) {
        let now = core.services.now.tick();
        let Some(one) = self.connections.get_mut(slot) else { return };
        if one.is_waiting(core) {
            return;
        }
        let received = one.connection.receive(&mut core.services.buffers);
        let mut sent = one.flush();
        while !one.client.quit && one.inquiry.is_none() && one.answer.len() - one.sent < ANSWER_BYTES_MAX {
            let Some(end) = line::command_end(one.connection.received()) else {
                // A line that has come half before the buffer was full is never answered: as in HAProxy,
                // the timeout ends the connection.
                break;
            };
            let words = line::words(&one.connection.received()[..end]);
            one.connection.consume(end + 1, &mut core.services.buffers);
            let before = core.services.boards.posted();
            let (client, out) = (&mut one.client, &mut one.answer);
            let internal = client.internal;
            core.services.counters.process().add(Count::CliCommands, u64::from(!internal));
            let call = Call { core, listeners, words: &words, client, alone: false, out };
            if internal {
                table::run_asked(call);
            } else if let Some(question) = table::run(call) {
                self.generation = next_generation(self.generation);
                let inquiry = Inquiry::begin(question, slot, self.generation, &mut self.lines, core);
                if inquiry.is_over() {
                    one.answer.extend(inquiry.end(&mut self.lines, core));
                    table::frame(&one.client, &mut one.answer);
                } else {
                    one.inquiry = Some(inquiry);
                }
            }
            // A command may have made room for requests that wait.
            core.run_promoted();
            one.await_others(core, before);
            if one.connection.received().is_empty() {
                one.connection.receive(&mut core.services.buffers);
                if !one.client.prompt && one.connection.received().is_empty() {
                    one.client.quit = true;
                }
            }
            if one.is_waiting(core) {
                return;
            }
            sent += one.flush();
        }
        let handed_over = one.hand_over(&self.sockets, core, listeners);
        if received + sent > 0 {
            one.deadline = now + one.client.timeout;
        }
        let answered = one.answer.is_empty() && one.inquiry.is_none();
        let done = answered && handed_over && (one.client.quit || one.connection.is_over());
        if done || one.connection.unwritable.is_some() || now >= one.deadline {
            self.close(slot, core);
        }
    }

    fn close(&mut self, slot: usize, core: &mut Core) {
        let one = self.connections.remove(slot);
        one.connection.close_politely(&mut core.services.buffers);
        if let Some(inquiry) = one.inquiry {
            inquiry.end(&mut self.lines, core);
        }
        self.clients -= usize::from(!one.client.internal);
        self.pending = true;
    }

    /// Goes on where all workers have followed or answered, and closes what has been silent for too long.
    pub fn expire(&mut self, core: &mut Core, listeners: &mut Listeners) {
        // As in nearly every turn.
        if self.connections.is_empty() {
            return;
        }
        let now = core.services.now.tick();
        let mut over = Vec::new();
        for (slot, one) in &mut self.connections {
            let Some(inquiry) = &mut one.inquiry else { continue };
            inquiry.knock(&mut self.lines, core);
            if inquiry.is_over() || now >= inquiry.deadline {
                over.push(slot);
            }
        }
        for slot in over {
            self.conclude(slot, core, listeners);
        }
        let waiting = |(slot, one): (usize, &Conversation)| one.awaited.map(|_| slot);
        let slots: Vec<usize> = self.connections.iter().filter_map(waiting).collect();
        for slot in slots {
            self.run(slot, core, listeners);
        }
        let late = |(slot, one): (usize, &Conversation)| (one.awaited.is_none() && now >= one.deadline).then_some(slot);
        let slots: Vec<usize> = self.connections.iter().filter_map(late).collect();
        for slot in slots {
            self.close(slot, core);
        }
    }

    /// When [`Cli::expire`] or [`Cli::accept`] has something to do.
    pub fn next_deadline(&self, now: Tick) -> Tick {
        self.connections.iter().map(|(_, one)| one.next_deadline(now)).chain(self.look_at).min().unwrap_or(Tick::NEVER)
    }

    /// Stops listening where that lets another process listen on the same address, until [`Cli::resume`].
    pub fn pause(&mut self, config: &Config) {
        let sockets = std::mem::take(&mut self.sockets);
        for (socket, bind) in sockets {
            match config.global.cli_binds.get(bind).map(|bind| &bind.address) {
                // The new process takes the path over by a rename.
                Some(ListenAddress::Unix(_)) => {}
                // A name has one socket: it is lost to the new process, as HAProxy loses it.
                Some(ListenAddress::Abstract(_)) => {
                    self.forget(&socket);
                    continue;
                }
                _ => socket::stop_listening(&socket),
            }
            self.sockets.push((socket, bind));
        }
    }

    /// Listens again.
    pub fn resume(&mut self) {
        for (socket, _) in &self.sockets {
            let _not_listening = socket::listen_again(socket, RESUME_BACKLOG);
        }
        self.pending = true;
    }

    /// Stops listening.
    pub fn stop(&mut self) {
        for (socket, _) in std::mem::take(&mut self.sockets) {
            self.forget(&socket);
        }
    }

    /// Ends the events of a socket that is about to be closed: other processes may have it as well, so that the
    /// kernel would go on to report them.
    fn forget(&self, socket: &OwnedFd) {
        let _ = self.registry.as_ref().map(|registry| registry.deregister(&mut SourceFd(&socket.as_raw_fd())));
    }

    /// Whether no conversation is under way.
    pub fn is_idle(&self) -> bool {
        self.connections.is_empty()
    }
}

impl Conversation {
    /// Notes what a command changed for all workers, if it did: `before` is the change before it.
    fn await_others(&mut self, core: &mut Core, before: u64) {
        let change = core.services.boards.posted();
        if change != before {
            core.services.boards.hurry();
            self.awaited = Some(Awaited { change, until: core.services.now.tick() + FOLLOWED_WITHIN });
        }
    }

    /// Whether the answer is for later, because some worker does not know yet what was changed.
    fn is_waiting(&mut self, core: &Core) -> bool {
        let services = &core.services;
        self.awaited =
            self.awaited.filter(|it| services.now.tick() < it.until && services.boards.is_awaited(it.change));
        self.awaited.is_some()
    }

    /// When it goes on without those that say nothing, or is closed.
    fn next_deadline(&self, now: Tick) -> Tick {
        let own = if self.awaited.is_some() { now + FOLLOWED_EVERY } else { self.deadline };
        self.inquiry.as_ref().map_or(own, |inquiry| own.min(inquiry.next_deadline(now)))
    }

    /// Gives listening sockets away where that was asked for. True when nothing of it is left to do.
    fn hand_over(&mut self, own: &[(OwnedFd, usize)], core: &mut Core, listeners: &Listeners) -> bool {
        let Some(gift) = self.client.hands_over else { return true };
        if !self.answer.is_empty() {
            return false;
        }
        if self.handover.is_none() {
            let own = own.iter().map(|(socket, _)| (socket.as_fd(), ["", ""]));
            let listening = listeners.sockets(core.services.config).map(|(socket, names)| (socket.as_fd(), names));
            self.handover = match gift {
                Gift::Sockets => Handover::new(own.chain(listening)).ok(),
                Gift::Segment => {
                    let file = core.services.counters.segment().fd();
                    Handover::new(file.into_iter().map(|file| (file, ["", ""]))).ok()
                }
            };
        }
        let (connection, pool) = (&mut self.connection, &mut core.services.buffers);
        self.handover.as_mut().is_none_or(|handover| handover.go_on(connection, pool))
    }

    /// Sends what the client takes; says how much.
    fn flush(&mut self) -> usize {
        let sent = self.connection.send_through(&self.answer[self.sent..], false);
        self.sent += sent;
        if self.sent == self.answer.len() {
            self.answer.clear();
            self.answer.shrink_to(ANSWER_BYTES_MAX);
            self.sent = 0;
        }
        sent
    }
}

/// A connection without any rights.
fn client(global: &Global) -> Client {
    Client {
        level: CliLevel::User,
        prompt: false,
        timeout: timeout(global),
        quit: false,
        internal: false,
        exposes_listeners: false,
        is_expert: false,
        is_experimental: false,
        hands_over: None,
    }
}

/// Tells one use of a slot from the next. Zero names listening sockets, after a wrap, too.
fn next_generation(generation: u32) -> u32 {
    generation % ((1 << 24) - 1) + 1
}

/// `stats timeout`.
fn timeout(global: &Global) -> Millis {
    global.cli_timeout.unwrap_or(TIMEOUT)
}
