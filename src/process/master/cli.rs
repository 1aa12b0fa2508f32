//! The master's own runtime socket (`-S`; management manual 9.4): its connections. A command goes to the master,
//! or by a prefix to one worker, which is asked at its door (`mesh`) with the rights of the client.
//!
//! Nothing here waits: every turn of the master moves all conversations as far as their sockets allow.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::command::{self, Modes, Reply, Target, View};
use crate::cli::line;
use crate::mesh;
use crate::proxy::CliLevel;
use crate::shm::Slot;
use crate::sys::socket;

/// Clients at a time; others wait in the queue of the socket.
const CLIENTS_MAX: usize = 64;
/// Octets that there is room for at each reading.
const READ_BYTES: usize = 4096;
/// Octets of a command that has not ended yet.
const INPUT_BYTES_MAX: usize = 16 * 1024;
/// Octets that a client has not taken yet, before nothing more is done for it.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Events taken at a time. They only wake: every conversation is looked at anyway.
const EVENTS_MAX: usize = 16;

/// Ends of a worker's answer: done, refused.
const ANSWER_ENDS: [u8; 2] = [0x06, 0x15];

/// All of the master's sockets and connections.
pub struct MasterCli {
    epoll: Epoll,
    sockets: Vec<(OwnedFd, CliLevel)>,
    conversations: Vec<Conversation>,
}

/// One client.
struct Conversation {
    socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    level: CliLevel,
    target: Target,
    modes: Modes,
    asked: Option<Asked>,
    /// It sends nothing more.
    ended: bool,
    /// It ends when it has taken what there is.
    over: bool,
    /// It waits for a reload.
    reloads: bool,
}

/// A question to a worker.
struct Asked {
    socket: OwnedFd,
    question: Vec<u8>,
    answer: Vec<u8>,
}

impl MasterCli {
    /// Listens on `sockets`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(sockets: Vec<(OwnedFd, CliLevel)>) -> io::Result<MasterCli> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (socket, _) in &sockets {
            epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        }
        Ok(MasterCli { epoll, sockets, conversations: Vec::new() })
    }

    /// Readable when [`MasterCli::go_on`] has something to do.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Its listening sockets.
    pub fn sockets(&self) -> impl Iterator<Item = (BorrowedFd<'_>, CliLevel)> {
        self.sockets.iter().map(|(socket, level)| (socket.as_fd(), *level))
    }

    /// Moves all conversations; true if one asks for a reload.
    pub fn go_on(&mut self, view: &View<'_>) -> bool {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        while self.epoll.wait(&mut events, EpollTimeout::ZERO).is_ok_and(|count| count > 0) {}
        self.accept();
        let mut reload = false;
        for one in &mut self.conversations {
            reload |= one.go_on(view, &self.epoll);
        }
        let before = self.conversations.len();
        self.conversations.retain(|one| !one.is_done());
        if before >= CLIENTS_MAX && self.conversations.len() < before {
            self.accept();
        }
        reload
    }

    /// Makes [`MasterCli::poll_fd`] readable whenever something new can be read from `other`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wake_for(&self, other: &impl AsFd) -> io::Result<()> {
        Ok(self.epoll.add(other, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?)
    }

    /// Ends the conversations that asked for a reload, which has failed, and tells them `why`. HAProxy says nothing
    /// of either outcome; these are the words of its later versions.
    pub fn reload_failed(&mut self, why: &str) {
        for one in self.conversations.iter_mut().filter(|one| one.reloads) {
            if !one.over {
                one.output.extend_from_slice(format!("Success=0\n--\n{why}\n").as_bytes());
            }
            one.over = true;
            one.flush();
        }
        self.conversations.retain(|one| !one.reloads || !one.is_done());
    }

    fn accept(&mut self) {
        for (listener, level) in &self.sockets {
            while self.conversations.len() < CLIENTS_MAX {
                // Whatever is wrong is wrong with that client, or passes.
                let Ok((socket, _)) = socket::accept(listener) else { break };
                let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
                if self.epoll.add(&socket, EpollEvent::new(flags, 0)).is_err() {
                    continue;
                }
                self.conversations.push(Conversation {
                    socket,
                    input: Vec::new(),
                    output: Vec::new(),
                    level: *level,
                    target: Target::Master,
                    modes: Modes::default(),
                    asked: None,
                    ended: false,
                    over: false,
                    reloads: false,
                });
            }
        }
    }
}

impl Conversation {
    fn is_done(&self) -> bool {
        let idle = self.output.is_empty() && self.asked.is_none();
        idle && (self.over || (self.ended && !self.reloads && line::command_end(&self.input).is_none()))
    }

    /// True if it asks for a reload.
    fn go_on(&mut self, view: &View<'_>, epoll: &Epoll) -> bool {
        let mut reload = false;
        loop {
            self.receive();
            self.hear(view);
            self.flush();
            if self.asked.is_some() || self.over || self.reloads || self.output.len() >= OUTPUT_BYTES_MAX {
                return reload;
            }
            let Some(end) = line::command_end(&self.input) else {
                // A command without an end.
                self.over |= self.input.len() >= INPUT_BYTES_MAX;
                return reload;
            };
            let rest = self.input.split_off(end + 1);
            let mut words = std::mem::replace(&mut self.input, rest);
            words.truncate(end);
            reload |= self.run(&line::words(&words), view, epoll);
            self.flush();
        }
    }

    /// Carries out a command; true for a reload.
    fn run(&mut self, words: &[String], view: &View<'_>, epoll: &Epoll) -> bool {
        match command::run(words, self.target, &mut self.level, &mut self.modes, view) {
            Reply::Text(text) => self.output.extend_from_slice(format!("{text}\n").as_bytes()),
            Reply::Nothing => {}
            Reply::Turn(target) => self.target = target,
            Reply::End(text) => {
                self.output.extend_from_slice(text.as_bytes());
                self.over = true;
                return false;
            }
            Reply::Reload => {
                self.reloads = true;
                return true;
            }
            Reply::Ask(slot, question) => match Asked::new(view.segment, slot, question, epoll) {
                Ok(asked) => {
                    self.asked = Some(asked);
                    return false;
                }
                Err(error) => {
                    let reason = crate::notice::reason(&error);
                    self.output.extend_from_slice(format!("Cannot reach the worker: {reason}.\n\n").as_bytes());
                }
            },
        }
        self.prompt(view);
        false
    }

    fn prompt(&mut self, view: &View<'_>) {
        if self.modes.prompt {
            self.output.extend_from_slice(command::prompt(self.target, self.modes, view).as_bytes());
        }
    }

    fn receive(&mut self) {
        while !self.ended && self.input.len() < INPUT_BYTES_MAX {
            self.input.reserve(READ_BYTES);
            match socket::recv_append(&self.socket, &mut self.input) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.give_up(),
            }
        }
    }

    /// Takes what the worker says.
    fn hear(&mut self, view: &View<'_>) {
        let Some(asked) = &mut self.asked else { return };
        if !asked.go_on() {
            return;
        }
        let mut answer = std::mem::take(&mut asked.answer);
        if answer.last().is_some_and(|end| ANSWER_ENDS.contains(end)) {
            answer.pop();
        }
        self.asked = None;
        self.output.append(&mut answer);
        self.output.push(b'\n');
        self.prompt(view);
    }

    fn flush(&mut self) {
        while !self.output.is_empty() {
            match socket::send(&self.socket, &self.output, false) {
                Ok(sent) => drop(self.output.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.give_up(),
            }
        }
    }

    /// The client is gone.
    fn give_up(&mut self) {
        (self.ended, self.over, self.asked) = (true, true, None);
        self.output.clear();
    }
}

impl Asked {
    fn new(segment: Option<u64>, slot: Slot, question: String, epoll: &Epoll) -> io::Result<Asked> {
        let socket = mesh::call(segment.ok_or(io::ErrorKind::NotFound)?, slot)?;
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        epoll.add(&socket, EpollEvent::new(flags, 0))?;
        let mut asked = Asked { socket, question: question.into_bytes(), answer: Vec::new() };
        asked.speak();
        Ok(asked)
    }

    fn speak(&mut self) {
        while let Ok(sent) = socket::send(&self.socket, &self.question, false) {
            self.question.drain(..sent);
            if self.question.is_empty() {
                return;
            }
        }
    }

    /// True when the worker has said all.
    fn go_on(&mut self) -> bool {
        if !self.question.is_empty() {
            self.speak();
        }
        loop {
            self.answer.reserve(READ_BYTES);
            match socket::recv_append(&self.socket, &mut self.answer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}
