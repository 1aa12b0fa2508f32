//! Runs the health checks: connects, moves bytes and tells the time for [`crate::check::Probe`].

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::check::health::Health;
use crate::check::probe::{Attempt, World, error_text};
use crate::check::{Next, Outcome, Place, Probe, Progress, ServerState, Status, schedule};
use crate::preface::Preface;
use crate::proxy::{AgentSettings, CheckSettings, Config, Script, ServerAddress, ServerId};
use crate::session::{Services, origin};
use crate::time::{Millis, Tick};
use crate::token::{Kind, Token};
use crate::transport::net::{ConnectError, ConnectOptions, Opened, Target};

use super::core::Readiness;

/// Octets received at a time.
const RECEIVE_BYTES: usize = 4096;

/// The checks of all servers that have any.
#[derive(Default)]
pub struct Checks {
    slots: Vec<Slot>,
    is_on: bool,
    /// No slot has used this number or one above it, so that timers and events of earlier slots are known.
    generation: u32,
    /// State of the generator for `spread-checks`.
    random: u32,
    /// Where what comes is put.
    room: Vec<u8>,
    /// What runs programs.
    programs: programs::Programs,
}

/// Whom a slot asks.
#[derive(Clone, Copy)]
enum What {
    /// The server.
    Health(&'static CheckSettings),
    /// Its agent.
    Agent(&'static AgentSettings),
}

struct Slot {
    server: ServerId,
    what: What,
    generation: u32,
    run: Run,
}

#[allow(clippy::large_enum_variant, reason = "who rests will probe again, and needs the room then")]
enum Run {
    /// Until the next check begins.
    Resting { until: Tick },
    Probing {
        probe: Probe,
        /// None before the first connection.
        opened: Option<Opened>,
        established: bool,
        /// What comes before the probe may use it.
        preface: Option<Preface>,
        /// Octets of what is to be sent that have gone.
        sent: usize,
    },
    /// A program checks.
    Program(programs::Running),
    /// Never again: its server has gone.
    Gone,
}

impl What {
    /// From the end of a check to the next.
    fn interval(self, health: &Health) -> Millis {
        match self {
            What::Health(settings) => schedule::interval(settings, health),
            What::Agent(settings) => settings.inter,
        }
    }

    /// How long a check may take where no timeout says otherwise.
    fn inter(self) -> Millis {
        match self {
            What::Health(settings) => settings.inter,
            What::Agent(settings) => settings.inter,
        }
    }

    /// Where all workers see when the next one is due.
    fn date(self, server: ServerId, services: &Services) -> &'static AtomicU64 {
        match self {
            What::Health(_) => services.boards.next_check(server),
            What::Agent(_) => services.boards.next_agent_check(server),
        }
    }

    /// Where all workers see how it goes.
    fn progress(self, server: ServerId, services: &Services) -> Progress {
        match self {
            What::Health(_) => services.boards.check(server),
            What::Agent(_) => services.boards.agent_check(server),
        }
    }

    fn is_on(self, state: &ServerState) -> bool {
        match self {
            What::Health(_) => state.runs_checks(),
            What::Agent(_) => state.agent.enabled,
        }
    }
}

impl Slot {
    /// When time matters next.
    fn deadline(&self) -> Tick {
        match &self.run {
            Run::Resting { until } => *until,
            Run::Probing { probe, .. } => probe.deadline(),
            Run::Program(running) => running.deadline,
            Run::Gone => Tick::NEVER,
        }
    }
}

impl Checks {
    /// Plans the first check of every server. States and dates are those of the worker that ran the checks
    /// before, so that servers do not notice the change; what has no date, or is late, is spread as at a start.
    pub fn start(&mut self, services: &mut Services) {
        services.forget_checks();
        let config: &'static Config = services.config;
        let now = services.now.tick();
        let all = config.servers_of_all();
        let mut checked: Vec<(ServerId, What)> = all.flat_map(|(id, _)| asked(config, id)).collect();
        checked.sort_by_key(|(id, _)| *id);
        let first = |(id, what): &(ServerId, What)| what.interval(&services.servers[id.0 as usize].health);
        let intervals: Vec<Millis> = checked.iter().map(first).collect();
        let delays = schedule::first_delays(&intervals, config.global.max_spread_checks);
        (self.is_on, self.random) = (true, now.0 as u32 | 1);
        services.start_naming();
        for (((server, what), delay), interval) in checked.into_iter().zip(delays).zip(intervals) {
            let date = Tick(what.date(server, services).load(Relaxed));
            let until = if date > now && date <= now + Millis(2 * interval.0) { date } else { now + delay };
            self.slots.push(Slot { server, what, generation: self.generation, run: Run::Resting { until } });
            self.arm(self.slots.len() - 1, services);
        }
    }

    /// Plans the checks of a server that has come.
    pub fn add(&mut self, server: ServerId, services: &mut Services) {
        let is_its = |slot: &Slot| slot.server == server && !matches!(slot.run, Run::Gone);
        if !self.is_on || self.slots.iter().any(is_its) {
            return;
        }
        for (server, what) in asked(services.config, server) {
            let pause = what.interval(&services.servers[server.0 as usize].health);
            let run = Run::Resting { until: services.now.tick() + pause };
            let at = self.slots.iter().position(|slot| matches!(slot.run, Run::Gone));
            let generation = at.map_or(self.generation, |at| self.slots[at].generation);
            let slot = Slot { server, what, generation, run };
            match at {
                Some(at) => self.slots[at] = slot,
                None => self.slots.push(slot),
            }
            self.arm(at.unwrap_or(self.slots.len() - 1), services);
        }
    }

    /// Ends the checks of a server that has gone. Its slots stay for others, since timers and events know slots by their
    /// place.
    pub fn forget(&mut self, server: ServerId) {
        for at in 0..self.slots.len() {
            if self.slots[at].server == server {
                self.dismiss(at);
                let slot = &mut self.slots[at];
                (slot.generation, slot.run) = (slot.generation.wrapping_add(1), Run::Gone);
            }
        }
    }

    /// Stops at once: another worker runs the checks from now on.
    pub fn stop(&mut self, services: &mut Services) {
        services.stop_naming();
        (0..self.slots.len()).for_each(|at| self.dismiss(at));
        let newest = self.slots.drain(..).map(|slot| slot.generation).max();
        self.generation = newest.map_or(self.generation, |newest| newest.wrapping_add(1));
        self.is_on = false;
    }

    /// Whether this worker runs the checks.
    pub fn are_on(&self) -> bool {
        self.is_on
    }

    /// Lets the next check of a server come by the date that was noted, if it would come later.
    pub fn hasten(&mut self, server: ServerId, services: &mut Services) {
        let resting = |slot: &Slot| {
            slot.server == server && matches!((&slot.what, &slot.run), (What::Health(_), Run::Resting { .. }))
        };
        let Some(at) = self.slots.iter().position(resting) else { return };
        let (slot, check_by) = (&mut self.slots[at], services.servers[server.0 as usize].check_by);
        if let Run::Resting { until } = &mut slot.run
            && check_by < *until
        {
            *until = check_by;
            slot.generation = slot.generation.wrapping_add(1);
            self.arm(at, services);
        }
    }

    /// A timer came out.
    pub fn expired(&mut self, token: Token, services: &mut Services) {
        let now = services.now.tick();
        let at = token.slot();
        let Some(slot) = self.slots.get_mut(at).filter(|slot| token.is_generation(slot.generation)) else { return };
        if slot.deadline() > now {
            return self.arm(at, services);
        }
        match &mut slot.run {
            Run::Gone => {}
            Run::Resting { .. } => self.begin(at, services),
            Run::Probing { probe, .. } => {
                let next = probe.expired(&world(slot.server, slot.what, services));
                self.follow(at, next, services);
            }
            Run::Program(_) => self.program_late(at, services),
        }
    }

    /// A check's socket is ready.
    pub fn ready(&mut self, token: Token, ready: Readiness, services: &mut Services) {
        let at = token.slot();
        let Some(slot) = self.slots.get_mut(at).filter(|slot| token.is_generation(slot.generation)) else { return };
        let Run::Probing { probe, opened: Some(Opened { stream, .. }), established, preface, .. } = &mut slot.run
        else {
            return;
        };
        if !*established {
            if !ready.writable && !ready.hangup && !probe.is_beginning() {
                return;
            }
            let world = world(slot.server, slot.what, services);
            let next = match preface::advance(probe, preface.as_mut(), stream, &world) {
                Ok(()) => {
                    *established = true;
                    probe.connected(&world)
                }
                Err(next) => next,
            };
            if !self.follow(at, next, services) {
                return;
            }
        }
        if !ready.writable || self.send(at, services) {
            self.receive(at, services);
        }
    }

    /// Begins the next check of a server.
    fn begin(&mut self, at: usize, services: &mut Services) {
        let slot = &mut self.slots[at];
        if !slot.what.is_on(&services.servers[slot.server.0 as usize]) {
            return self.rest(at, services);
        }
        slot.what.progress(slot.server, services).begin();
        if self.runs_program(at, services) {
            return self.begin_program(at, services);
        }
        let slot = &mut self.slots[at];
        let world = world(slot.server, slot.what, services);
        let state = world.script.send_state.then(|| services.server_state_line(slot.server));
        let mut probe = Probe::new(services.now.tick(), slot.what.inter(), state);
        let next = probe.begin(&world);
        slot.run = Run::Probing { probe, opened: None, established: false, preface: None, sent: 0 };
        self.follow(at, next, services);
    }

    /// Opens the connection that the probe wants in place of the one so far. Whether the check goes on.
    fn connect(&mut self, at: usize, attempt: Attempt, services: &mut Services) -> bool {
        let slot = &mut self.slots[at];
        slot.generation = slot.generation.wrapping_add(1);
        let token = Token::new(Kind::Check, at, slot.generation);
        let Run::Probing { probe, opened: current, established, preface, sent } = &mut slot.run else { return false };
        (*current, *established, *preface, *sent) = (None, false, None, 0);
        let server = &services.config[slot.server];
        let config: &'static Config = services.config;
        let options = ConnectOptions {
            acknowledges_late: !attempt.listens,
            user_timeout: server.user_timeout,
            namespace: server.connection.namespace.as_ref(),
            no_linger: false,
            ..ConnectOptions::new(&config[server.backend], false, &config.global.tune)
        };
        let origin = server.source.as_ref().map(|source| origin::own(services, source, Some(slot.server)));
        let place = &services.places[slot.server.0 as usize];
        let usual = match slot.what {
            What::Health(_) => place.check_target(),
            What::Agent(_) => agent_target(place, services.agent_settings(slot.server).unwrap_or_default()),
        };
        let settings = attempt.preface(server.preface, matches!(slot.what, What::Agent(_)));
        let opened = target(place, usual, attempt)
            .and_then(|target| preface::way(target, settings))
            .map_err(ConnectError::from)
            .and_then(|(address, way)| Ok((address, services.net.connect(&way, options, origin.as_ref(), token)?)));
        match opened {
            Ok((address, opened)) => {
                *preface = settings.map(|settings| preface::begin(settings, &opened.stream, address));
                if !attempt.linger {
                    opened.stream.reset_on_close();
                }
                *current = Some(opened);
                self.arm(at, services);
                true
            }
            Err(error) => {
                let says = services.complain(server.backend, &error);
                let text = match error.reason() {
                    Some(reason) => format!("{reason} ({})", error_text(&error.error)),
                    None => error_text(&error.error),
                };
                let world = world(slot.server, slot.what, services);
                let is_ours = !says && is_ours(&error.error);
                let next = if is_ours { probe.impossible(&text, &world) } else { probe.failed(&text, &world) };
                self.follow(at, next, services)
            }
        }
    }

    /// Does what the probe says. Whether there is a check to go on with.
    fn follow(&mut self, at: usize, next: Next, services: &mut Services) -> bool {
        match next {
            Next::End(outcome) => {
                self.end(at, outcome, services);
                false
            }
            Next::Connect(attempt) => self.connect(at, attempt, services),
            Next::Send => {
                self.arm(at, services);
                self.send(at, services)
            }
            Next::Wait => {
                self.arm(at, services);
                true
            }
        }
    }

    /// Sends what is left to be sent. Whether there is a check to go on with.
    fn send(&mut self, at: usize, services: &mut Services) -> bool {
        let slot = &mut self.slots[at];
        let Run::Probing { probe, opened: Some(Opened { stream, .. }), established: true, sent, .. } = &mut slot.run
        else {
            return true;
        };
        if probe.output().is_empty() {
            return true;
        }
        while *sent < probe.output().len() {
            match stream.send(&probe.output()[*sent..], false) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(error) => {
                    let next = probe.failed(&error_text(&error), &world(slot.server, slot.what, services));
                    return self.follow(at, next, services);
                }
            }
        }
        *sent = 0;
        let next = probe.sent(&world(slot.server, slot.what, services));
        self.follow(at, next, services)
    }

    /// Receives until the check is over or nothing is left.
    fn receive(&mut self, at: usize, services: &mut Services) {
        let mut room = std::mem::take(&mut self.room);
        self.receive_in(&mut room, at, services);
        self.room = room;
    }

    fn receive_in(&mut self, room: &mut Vec<u8>, at: usize, services: &mut Services) {
        loop {
            let slot = &mut self.slots[at];
            let Run::Probing { probe, opened: Some(Opened { stream, .. }), established: true, .. } = &mut slot.run
            else {
                return;
            };
            if !probe.is_listening() {
                return;
            }
            room.clear();
            room.reserve_exact(RECEIVE_BYTES);
            let received = stream.recv(room);
            let over = matches!(received, Ok(0));
            let world = world(slot.server, slot.what, services);
            let next = match received {
                Ok(_) => probe.received(room, over, &world),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => probe.failed(&error_text(&error), &world),
            };
            if !self.follow(at, next, services) || over {
                return;
            }
        }
    }

    /// A check is over: the server hears of it, and the next one is planned.
    fn end(&mut self, at: usize, outcome: Outcome, services: &mut Services) {
        let Slot { server, what, run, .. } = &self.slots[at];
        match (what, run) {
            (What::Agent(_), Run::Probing { probe, .. }) => {
                let answer = (outcome.status == Status::L7Passed).then(|| probe.input());
                services.agent_ended(*server, outcome, answer);
            }
            _ => {
                let doubtful = matches!(outcome.status, Status::L4Failed | Status::L4Timeout);
                services.check_ended(*server, outcome);
                if doubtful {
                    services.doubt_address(*server);
                }
            }
        }
        self.rest(at, services);
    }

    fn rest(&mut self, at: usize, services: &mut Services) {
        let slot = &mut self.slots[at];
        let health = &services.servers[slot.server.0 as usize].health;
        let interval = slot.what.interval(health);
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let spread = schedule::spread(interval, services.config.global.spread_checks, self.random >> 8);
        slot.run = Run::Resting { until: services.now.tick() + spread };
        slot.generation = slot.generation.wrapping_add(1);
        self.arm(at, services);
    }

    fn arm(&self, at: usize, services: &mut Services) {
        let slot = &self.slots[at];
        if let Run::Resting { until } = slot.run {
            slot.what.date(slot.server, services).store(until.0, Relaxed);
        }
        let token = Token::new(Kind::Check, at, slot.generation);
        services.timers.insert(slot.deadline().0, token);
    }
}

/// Whom the checks of a server ask.
fn asked(config: &'static Config, id: ServerId) -> impl Iterator<Item = (ServerId, What)> {
    let server = Some(&config[id]).filter(|server| !config[server.backend].disabled);
    let health = server.and_then(|server| server.check.as_ref()).map(What::Health);
    let agent = server.and_then(|server| server.agent.as_ref()).map(What::Agent);
    health.into_iter().chain(agent).map(move |what| (id, what))
}

/// What the probe of a server may look at.
fn world(server: ServerId, what: What, services: &Services) -> World<'_> {
    let backend = services.config[server].backend;
    let (script, agent_send) = match what {
        What::Health(_) => (&services.config[backend].check, ""),
        What::Agent(settings) => {
            let ordered = services.servers[server.0 as usize].agent.orders.send.as_deref();
            (Script::of_agents(), ordered.unwrap_or(&settings.send))
        }
    };
    World {
        now: services.now,
        script,
        agent_send,
        timeouts: &services.config[backend].timeouts,
        config: services.config,
        counters: &services.counters,
        servers: &services.live,
        server,
        backend,
        is_up: services.servers[server.0 as usize].is_up(),
    }
}

/// Where an agent is asked.
fn agent_target(place: &Place, agent: AgentSettings) -> Option<SocketAddr> {
    let own = match &place.address {
        ServerAddress::Ip(own) => Some(own.ip()),
        ServerAddress::IpRelative(ip, _) => Some(*ip),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
    };
    Some(SocketAddr::new(agent.addr.or(own)?, agent.port.unwrap_or(0)))
}

/// Where a check connects.
fn target(place: &Place, usual: Option<SocketAddr>, attempt: Attempt) -> std::io::Result<Target> {
    match attempt.target(usual) {
        Some(target) => Ok(target.into()),
        None => Target::new(&place.address, None),
    }
}

/// Whether an attempt failed for want of something on our side, which says nothing about the server.
fn is_ours(error: &std::io::Error) -> bool {
    const OURS: [i32; 6] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL, libc::EAGAIN];
    error.raw_os_error().is_some_and(|code| OURS.contains(&code))
}

mod preface;
mod programs;

#[cfg(test)]
mod tests;
