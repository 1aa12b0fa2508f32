//! Whole conversations without a kernel: clients and servers on simulated sockets around one
//! [`Core`], and a clock that jumps from deadline to deadline.
//!
//! A test reads like a conversation: the client sends this, 31 seconds pass, the client got 504, the log
//! has ` sH-- `. When a [`Sim`] is dropped everyone leaves, and it looks that nothing stayed behind.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use crate::config;
use crate::event::core::{Core, Peer, Readiness};
use crate::proxy::{Config, FrontendId};
use crate::session::Services;
use crate::shm::{Segment, Slot};
use crate::stats::{Count, Counters};
use crate::time::{Now, Tick};
use crate::token::Kind;
use crate::transport::Stream;
use crate::transport::net::{Net, SimConnect, SimNet};
use crate::transport::sim::{End, pair};

/// 2026-11-21 02:00:00 UTC.
const WALL_START_US: u64 = 1_795_226_400_000_000;

/// Turns without rest after which a conversation is taken for an endless loop.
const TURNS_MAX: usize = 200_000;

/// Names the far end of a connection: a client, or a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Far(usize);

/// A far end and what it has seen.
struct FarEnd {
    end: Option<End>,
    got: Vec<u8>,
    /// Not sent yet, for lack of room.
    outbox: Vec<u8>,
    /// The proxy ended its direction.
    ended: bool,
    /// The proxy broke the connection.
    reset: bool,
    /// It leaves what arrives in the socket.
    deaf: bool,
}

/// A proxy with its clients, its servers and its clock.
pub struct Sim {
    /// The proxy.
    pub core: Core,
    net: SimNet,
    now: Now,
    ends: Vec<FarEnd>,
    log_pipe: io::PipeReader,
    lines: Vec<String>,
    /// How often a session stopped for the sake of others.
    pub pauses: usize,
}

impl Sim {
    /// HTTP mode, timeouts of 5 s (connect), 30 s (client) and 50 s (server), no retries. What stands
    /// before the first section of `config` extends the defaults.
    pub fn http(config: &str) -> Sim {
        Sim::new("mode http\n option httplog\n", config)
    }

    /// The same in TCP mode.
    pub fn tcp(config: &str) -> Sim {
        Sim::new("mode tcp\n option tcplog\n", config)
    }

    /// One frontend, one backend, one server; `settings` extends the defaults.
    pub fn simple(settings: &str) -> Sim {
        Sim::http(&format!("{settings}\n{SIMPLE}"))
    }

    /// The same in TCP mode.
    pub fn simple_tcp(settings: &str) -> Sim {
        Sim::tcp(&format!("{settings}\n{SIMPLE}"))
    }

    /// Several workers of one service, in HTTP mode.
    pub fn workers(count: usize, text: &str) -> Vec<Sim> {
        let (log_pipe, log_end) = io::pipe().expect("pipe");
        let config = Sim::config("mode http\n option httplog\n", text, log_end.as_raw_fd());
        let segment = Segment::private(2 * Counters::objects_needed(config), count + 2).expect("memory");
        let generation = segment.begin_generation();
        let slots: Vec<_> = (1..=count).filter_map(|number| segment.slots().take(generation, number)).collect();
        let worker = |slot: &Slot| {
            let counters = Counters::new(config, segment, *slot, slots.clone()).expect("room");
            Sim::over(config, counters, log_pipe.try_clone().expect("pipe"))
        };
        slots.iter().map(worker).collect()
    }

    /// A worker of the generation that follows this one, in the same memory.
    pub fn successor(&self, text: &str) -> Sim {
        let (log_pipe, log_end) = io::pipe().expect("pipe");
        let config = Sim::config("mode http\n option httplog\n", text, log_end.as_raw_fd());
        let segment = self.core.services.counters.segment();
        let slot = segment.slots().take(segment.begin_generation(), 1).expect("a slot");
        let counters = Counters::new(config, segment, slot, vec![slot]).expect("room");
        Sim::over(config, counters, log_pipe)
    }

    fn new(mode: &str, text: &str) -> Sim {
        let (log_pipe, log_end) = io::pipe().expect("pipe");
        let config = Sim::config(mode, text, log_end.as_raw_fd());
        Sim::over(config, Counters::private(config), log_pipe)
    }

    fn config(mode: &str, text: &str, fd: i32) -> &'static Config {
        let text =
            format!("global\n log fd@{fd} len 8192 format raw local0\n nosplice\ndefaults\n{mode}{DEFAULTS}{text}\n");
        let loaded = config::load_text("sim.cfg", &text);
        let Some(config) = loaded.config else { panic!("{text}\n{:?}", loaded.findings) };
        Box::leak(Box::new(config))
    }

    fn over(config: &'static Config, counters: Counters, log_pipe: io::PipeReader) -> Sim {
        let now = Now { mono_us: 1_000_000, wall_us: WALL_START_US };
        let net = SimNet::default();
        let services = Services::new(config, counters, now, Net::Sim(net.clone()), "epoxy");
        let core = Core::new(services);
        Sim { core, net, now, ends: Vec::new(), log_pipe, lines: Vec::new(), pauses: 0 }
    }

    // What happens.

    /// A client connects to the first frontend.
    pub fn client(&mut self) -> Far {
        self.client_of(0)
    }

    /// A client connects to the `frontend`-th frontend.
    pub fn client_of(&mut self, frontend: u32) -> Far {
        let (ours, theirs) = pair(&self.net.events, self.net.capacity());
        let far = self.adopt(theirs);
        let source = SocketAddr::from(([127, 0, 0, 1], 40_000 + far.0 as u16));
        let destination = SocketAddr::from(([127, 0, 0, 1], 8001));
        let peer = Peer { source: Some(source), destination: Some(destination) };
        let admission = self.core.services.admit(FrontendId(frontend), 0);
        assert_eq!(admission, crate::session::Admission::Reserved);
        self.core.open(Stream::Sim(ours), FrontendId(frontend), 0, peer);
        self.settle();
        far
    }

    /// A client that connects and sends something at once.
    pub fn client_sends(&mut self, bytes: &str) -> Far {
        let client = self.client();
        self.send(client, bytes);
        client
    }

    /// The server's end of the oldest connection attempt that was not taken yet.
    pub fn server(&mut self) -> Far {
        self.try_server().expect("a connection to a server")
    }

    /// The same, if there is one.
    pub fn try_server(&mut self) -> Option<Far> {
        let next = self.net.accepted.borrow_mut().pop_front();
        let far = next.map(|(_, end)| self.adopt(end));
        self.settle();
        far
    }

    /// Where the oldest connection attempt leads that was not taken yet.
    pub fn leads_to(&self) -> Option<SocketAddr> {
        self.net.accepted.borrow().front().and_then(|(target, _)| *target)
    }

    /// The datagrams that were sent since this was last asked.
    pub fn datagrams(&mut self) -> Vec<Vec<u8>> {
        self.net.datagrams.borrow_mut().drain(..).map(|(_, bytes)| bytes).collect()
    }

    /// What the network does with connection attempts from now on.
    pub fn network(&mut self, behaviour: SimConnect) {
        self.net.behaviour.set(behaviour);
    }

    /// Bytes that a direction of a new connection holds.
    pub fn capacity(&mut self, bytes: usize) {
        self.net.capacity.set(bytes);
    }

    /// A connection attempt that met silence succeeds.
    pub fn establish(&mut self, far: Far) {
        self.end(far).establish();
        self.settle();
    }

    /// A connection attempt that met silence is refused.
    pub fn refuse(&mut self, far: Far) {
        self.end(far).refuse(io::ErrorKind::ConnectionRefused);
        self.settle();
    }

    /// A far end sends.
    pub fn send(&mut self, far: Far, bytes: impl AsRef<[u8]>) {
        self.ends[far.0].outbox.extend_from_slice(bytes.as_ref());
        self.settle();
    }

    /// A far end sends no more.
    pub fn fin(&mut self, far: Far) {
        self.end(far).shutdown_write();
        self.settle();
    }

    /// A far end breaks the connection.
    pub fn reset(&mut self, far: Far) {
        self.end(far).reset();
        self.close(far);
    }

    /// A far end closes: it neither sends nor receives any more.
    pub fn close(&mut self, far: Far) {
        let far = &mut self.ends[far.0];
        far.outbox.clear();
        far.end = None;
        self.settle();
    }

    /// A far end reads no more.
    pub fn stop_reading(&mut self, far: Far) {
        self.ends[far.0].deaf = true;
    }

    /// A far end reads again.
    pub fn read_again(&mut self, far: Far) {
        self.ends[far.0].deaf = false;
        self.settle();
    }

    /// A soft stop begins.
    pub fn soft_stop(&mut self) {
        self.core.soft_stop();
        self.settle();
    }

    /// Time passes, and what is due happens when it is due.
    pub fn pass(&mut self, ms: u64) {
        let until = Tick(self.now.tick().0 + ms);
        for _ in 0..TURNS_MAX {
            let next = self.core.next_deadline();
            if next > until {
                self.set_time(until);
                self.settle();
                return;
            }
            self.set_time(next.max(self.now.tick()));
            self.core.expire();
            self.settle();
        }
        panic!("deadlines never come to rest");
    }

    /// Time passes during which `far` sees nothing, not until the last millisecond; gives what it got then.
    pub fn after_exactly(&mut self, ms: u64, far: Far) -> String {
        self.pass(ms - 1);
        let early = self.got(far);
        assert!(early.is_empty() && !self.is_closed(far), "too early: {early:?}, closed: {}", self.is_closed(far));
        self.pass(1);
        let got = self.got(far);
        assert!(!got.is_empty() || self.is_closed(far), "nothing happened");
        got
    }

    // What was seen.

    /// What a far end received since it was last asked.
    pub fn got(&mut self, far: Far) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.ends[far.0].got)).into_owned()
    }

    /// Whether the proxy ended or broke the connection.
    pub fn is_closed(&self, far: Far) -> bool {
        self.ends[far.0].ended || self.ends[far.0].reset
    }

    /// Whether the proxy broke the connection.
    pub fn is_reset(&self, far: Far) -> bool {
        self.ends[far.0].reset
    }

    /// The log lines since they were last asked for, from the frontend's name on.
    pub fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// The only log line since the log was last asked for.
    pub fn line(&mut self) -> String {
        let mut lines = self.log();
        assert_eq!(lines.len(), 1, "one line expected: {lines:?}");
        lines.pop().unwrap_or_default()
    }

    /// The status and the first two characters of the termination state of the only log line.
    pub fn outcome(&mut self) -> String {
        outcome(&self.line())
    }

    /// The gauges that must return to zero, and have not.
    pub fn gauges(&self) -> Vec<(String, u64)> {
        gauges(&self.core)
    }

    // How it runs.

    fn adopt(&mut self, end: End) -> Far {
        let far = FarEnd { end: Some(end), got: vec![], outbox: vec![], ended: false, reset: false, deaf: false };
        self.ends.push(far);
        Far(self.ends.len() - 1)
    }

    fn end(&self, far: Far) -> &End {
        self.ends[far.0].end.as_ref().expect("it has not closed")
    }

    fn set_time(&mut self, tick: Tick) {
        let ms = tick.0 - self.now.tick().0;
        self.now = Now { mono_us: self.now.mono_us + ms * 1000, wall_us: self.now.wall_us + ms * 1000 };
        self.core.set_now(self.now);
    }

    /// Delivers events and moves bytes until nothing moves any more.
    pub fn settle(&mut self) {
        self.core.follow();
        for _ in 0..TURNS_MAX {
            let event = self.net.events.borrow_mut().pop_front();
            if let Some(event) = event {
                self.deliver(event);
                continue;
            }
            let again = self.core.run_again();
            self.pauses += usize::from(again);
            if !self.move_bytes() && !again && self.net.events.borrow().is_empty() {
                return self.read_log();
            }
        }
        panic!("the conversation never comes to rest");
    }

    fn deliver(&mut self, (token, readable, writable, hangup): crate::transport::sim::Event) {
        let ready = Readiness { readable, writable, hangup };
        match token.kind() {
            Some(Kind::Session) => self.core.session_event(token, ready),
            Some(Kind::Upstream) => self.core.upstream_event(token, ready),
            Some(Kind::Check) => self.core.check_event(token, ready),
            other => panic!("an event for {other:?}"),
        }
    }

    /// Far ends send what is left and read what came; says whether anything happened.
    fn move_bytes(&mut self) -> bool {
        self.ends.iter_mut().fold(false, |moved, far| far.move_bytes() | moved)
    }

    fn read_log(&mut self) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let mut text = Vec::new();
        loop {
            let mut asked = [PollFd::new(self.log_pipe.as_fd(), PollFlags::POLLIN)];
            if poll(&mut asked, PollTimeout::ZERO).unwrap_or(0) == 0 {
                break;
            }
            let mut room = [0; 16 * 1024];
            match self.log_pipe.read(&mut room) {
                Ok(n) if n > 0 => text.extend_from_slice(&room[..n]),
                _ => break,
            }
        }
        let text = String::from_utf8_lossy(&text);
        self.lines.extend(text.lines().map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest).to_owned()));
    }
}

impl FarEnd {
    fn move_bytes(&mut self) -> bool {
        let Some(end) = &self.end else { return false };
        let mut moved = false;
        while !self.outbox.is_empty() {
            match end.send(&self.outbox) {
                Ok(n) => {
                    self.outbox.drain(..n);
                    moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.outbox.clear(),
            }
        }
        while !self.deaf && !self.ended && !self.reset {
            self.got.reserve(4096);
            match end.recv(&mut self.got) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.reset = true,
            }
            moved = true;
        }
        moved
    }
}

/// The gauges that must return to zero: sessions, queued requests, connections to servers in use.
fn gauges(core: &Core) -> Vec<(String, u64)> {
    let services = &core.services;
    let (config, counters) = (services.config, &services.counters);
    let mut rows = vec![("process".to_owned(), counters.process())];
    for (id, frontend) in config.frontends.iter().enumerate() {
        rows.push((frontend.name.clone(), counters.frontend(FrontendId(id as u32))));
    }
    for (id, backend) in config.backends.iter().enumerate() {
        rows.push((backend.name.clone(), counters.backend(crate::proxy::BackendId(id as u32))));
    }
    for (id, server) in config.servers_of_all() {
        rows.push((server.name.clone(), counters.server(id)));
    }
    let gauges = [Count::SessionsCurrent, Count::QueueCurrent, Count::UsedCurrent];
    let all = rows.iter().flat_map(|(name, row)| gauges.map(|gauge| (format!("{name} {gauge:?}"), row.here(gauge))));
    all.filter(|(_, value)| *value > 0).collect()
}

/// Looks that nothing is under way: no session, no exchange, no buffer, no connection to a server but
/// idle ones, and gauges that say so.
pub fn assert_at_rest(core: &Core) {
    assert_eq!(gauges(core), []);
    assert_eq!((core.sessions.len(), core.exchanges.len()), (0, 0), "sessions and exchanges");
    let idle_gauge = |id| core.services.counters.server(id).here(Count::IdleCurrent);
    let idle: u64 = core.services.config.servers.ids().map(idle_gauge).sum();
    assert_eq!(core.services.upstreams.len() as u64, idle, "connections to servers that nobody has");
    assert_eq!(core.services.buffers.lent(), 0, "buffers lent");
    assert_eq!(core.services.pipes.counts().0, 0, "pipes in use");
    assert!(core.services.promoted.is_empty());
}

/// Status and termination of a log line: `200 --`; of a TCP line only the termination.
pub fn outcome(line: &str) -> String {
    let mut words = line.split(' ').skip(2).skip_while(|word| !word.contains('/'));
    let (_, status, rest): (_, _, Vec<&str>) = (words.next(), words.next().unwrap_or_default(), words.collect());
    match rest.get(3).filter(|word| word.len() == 4 && !word.contains('/')) {
        Some(flags) => format!("{status} {}", &flags[..2]),
        None => rest[0].to_owned(),
    }
}

/// Everyone leaves, everything expires: then nothing may be left.
impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for far in 0..self.ends.len() {
            self.close(Far(far));
        }
        while let Some(far) = self.try_server() {
            self.close(far);
        }
        self.pass(3_600_000);
        assert_at_rest(&self.core);
    }
}

const DEFAULTS: &str = " log global
 timeout connect 5s
 timeout client 30s
 timeout server 50s
 retries 0
";

const SIMPLE: &str = "frontend fe
 bind 127.0.0.1:8001
 default_backend be
backend be
 server s1 127.0.0.1:9001
";
