//! Checks by programs: what runs them is told what to run, and tells how it went.

use super::{Checks, Run, What};
use crate::check::{Place, external};
use crate::notice;
use crate::process::spawner::{Event, Order, Spawner, Subject};
use crate::proxy::{Mode, ServerAddress, ServerId};
use crate::session::Services;
use crate::stats::Count;
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use std::collections::VecDeque;
use std::io;

/// What runs programs, and what waits for it.
#[derive(Default)]
pub(super) struct Programs {
    spawner: Option<Spawner>,
    /// Orders for which there was no room: there is when reports come.
    waiting: VecDeque<Order>,
}

/// A program under way.
pub(super) struct Running {
    /// What reports on it name: the token of its slot.
    id: Token,
    pid: Option<i32>,
    started: Tick,
    /// When it is late.
    pub(super) deadline: Tick,
}

impl Checks {
    /// Has programs run by `spawner`.
    pub fn employ(&mut self, spawner: Spawner) {
        self.programs.spawner = Some(spawner);
    }

    /// Whether a slot has a program in place of a probe.
    pub(super) fn runs_program(&self, at: usize, services: &Services) -> bool {
        let slot = &self.slots[at];
        let backend = services.config[slot.server].backend;
        matches!(slot.what, What::Health(_)) && services.config[backend].check.program.is_some()
    }

    /// Begins a check by the program of the server's backend.
    pub(super) fn begin_program(&mut self, at: usize, services: &mut Services) {
        let slot = &mut self.slots[at];
        let backend = services.config[slot.server].backend;
        let started = services.now.tick();
        let deadline = external::deadline(started, slot.what.inter(), &services.config[backend].timeouts);
        let id = Token::new(Kind::Check, at, slot.generation);
        slot.run = Run::Program(Running { id, pid: None, started, deadline });
        let order = Order::Run { id: id.0, backend: backend.0, subject: subject(slot.server, services) };
        match self.programs.order(order) {
            Ok(()) => self.arm(at, services),
            Err(error) => self.program_event(at, Event::Refused(error.raw_os_error().unwrap_or(libc::EPIPE)), services),
        }
    }

    /// A program is late: it is told to end, and not waited for.
    pub(super) fn program_late(&mut self, at: usize, services: &mut Services) {
        let Run::Program(running) = &self.slots[at].run else { return };
        if let Some(pid) = running.pid {
            notice::running(false, format!("kill {pid}"));
        }
        let duration = Millis(services.now.tick().since(running.started));
        self.dismiss(at);
        let last = &services.servers[self.slots[at].server.0 as usize].last;
        self.end(at, external::late(last, duration), services);
    }

    /// Has the program of a slot ended, if it has one.
    pub(super) fn dismiss(&mut self, at: usize) {
        let Run::Program(running) = &self.slots[at].run else { return };
        let ended = running.id.0;
        let before = self.programs.waiting.len();
        self.programs.waiting.retain(|order| !matches!(order, Order::Run { id, .. } if *id == ended));
        if self.programs.waiting.len() == before {
            // Who cannot be told runs nothing any more.
            let _ = self.programs.order(Order::End { id: ended });
        }
    }

    /// There are reports of programs.
    pub fn reported(&mut self, services: &mut Services) {
        while let Some(spawner) = &self.programs.spawner {
            match spawner.next_report() {
                Ok(Some(report)) => {
                    let is_its =
                        |slot: &super::Slot| matches!(&slot.run, Run::Program(running) if running.id.0 == report.id);
                    let at = Token(report.id).slot();
                    if self.slots.get(at).is_some_and(is_its) {
                        self.program_event(at, report.event, services);
                    }
                }
                Ok(None) => return self.programs.flush(),
                Err(_) => {
                    self.programs = Programs::default();
                    notice::running(true, "What runs external health checks is gone: they fail from now on.");
                    for at in 0..self.slots.len() {
                        self.program_event(at, Event::Refused(libc::EPIPE), services);
                    }
                }
            }
        }
    }

    fn program_event(&mut self, at: usize, event: Event, services: &mut Services) {
        let Run::Program(running) = &mut self.slots[at].run else { return };
        if let Event::Began(pid) = event {
            running.pid = Some(pid);
        }
        let duration = Millis(services.now.tick().since(running.started));
        if let Some(outcome) = external::outcome(event, duration) {
            self.end(at, outcome, services);
        }
    }
}

impl Programs {
    fn order(&mut self, order: Order) -> io::Result<()> {
        let spawner = self.spawner.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        // In their order, or one might be told to end before it begins.
        let sent = if self.waiting.is_empty() { spawner.order(&order) } else { Err(io::ErrorKind::WouldBlock.into()) };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.waiting.push_back(order);
                Ok(())
            }
            other => other,
        }
    }

    /// Gives the orders that wait, as far as there is room.
    fn flush(&mut self) {
        let Some(spawner) = &self.spawner else { return };
        while let Some(order) = self.waiting.front()
            && spawner.order(order).is_ok()
        {
            self.waiting.pop_front();
        }
    }
}

/// What a program is told of a server.
fn subject(id: ServerId, services: &Services) -> Subject {
    let server = &services.config[id];
    let (addr, port) = address(&services.places[id.0 as usize]);
    let proto = match services.config[server.backend].mode {
        Mode::Http => "h1",
        Mode::Tcp => "tcp",
    };
    Subject {
        name: server.name.clone(),
        id: server.uuid,
        addr,
        port,
        maxconn: services.server_maxconn(id).unwrap_or(0),
        curconn: services.counters.server(id).get(Count::SessionsCurrent),
        proto: proto.to_owned(),
    }
}

/// The server's own address; that of its checks is not for programs, as in HAProxy.
fn address(place: &Place) -> (String, Option<u16>) {
    match &place.address {
        ServerAddress::Ip(address) => (address.ip().to_string(), Some(address.port())),
        ServerAddress::IpRelative(ip, offset) => (ip.to_string(), Some(*offset as u16)),
        ServerAddress::Unix(path) => (path.to_string_lossy().into_owned(), None),
        ServerAddress::Abstract(_) => (String::new(), None),
    }
}
