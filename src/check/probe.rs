//! One check of one server, from the first connection attempt to its result. Pure: the driver connects, moves
//! bytes, tells the time, and does what it is told.
//!
//! ```text
//!              ┌────────────── next step ◀─────────────┐
//!              ▼                                       │
//!   connecting ──connected──▶ sending ──sent──▶ expecting ──▶ ended
//!        └───────failure, deadline──┴───────────────┴──────────▲
//! ```

use std::net::SocketAddr;

use super::expect::{self, Judgement, Texts, Why};
use super::http::{self, Answer};
use super::result::{Outcome, Status};
use crate::facts::Facts;
use crate::h1::Body;
use crate::proxy::check::{Action, Connect, Data, Expect, Pattern, Port, Speech, Step};
use crate::proxy::preface::{PrefaceSettings, ProxyHeader};
use crate::proxy::{BackendId, Config, FrontendId, Script, ServerId, ServerTimeouts};
use crate::sample::Client;
use crate::sample::LiveServer;
use crate::sample::Vars;
use crate::sample::{Ctx, Type, Value};
use crate::stats::Counters;
use crate::time::{Millis, Now, Tick};

/// A check under way.
#[derive(Debug)]
pub struct Probe {
    started: Tick,
    deadline: Tick,
    inter: Millis,
    phase: Phase,
    /// Index of the step under way.
    at: usize,
    output: Vec<u8>,
    input: Vec<u8>,
    answer: Answer,
    /// The server closed.
    over: bool,
    own: Box<Own>,
}

/// What the formats of a check look at.
#[derive(Debug, Default)]
struct Own {
    vars: Vars,
    session_vars: Vars,
    facts: Facts,
    state: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Beginning,
    Sending,
    Expecting,
}

/// The world around a check, as it is at the moment.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The current time.
    pub now: Now,
    /// What the check does.
    pub script: &'a Script,
    /// What an agent is sent.
    pub agent_send: &'a str,
    /// The backend's timeouts.
    pub timeouts: &'a ServerTimeouts,
    /// The configuration.
    pub config: &'a Config,
    /// Live counters.
    pub counters: &'a Counters,
    /// The present state of every server.
    pub servers: &'a [LiveServer],
    /// The server that is checked.
    pub server: ServerId,
    /// Its backend.
    pub backend: BackendId,
    /// What the server has been so far.
    pub is_up: bool,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Close the connection, if there is one, and open this one.
    Connect(Attempt),
    /// Send [`Probe::output`], then say that it was sent.
    Send,
    /// Wait for bytes until [`Probe::deadline`].
    Wait,
    /// Close the connection: the check is over.
    End(Outcome),
}

/// A connection to be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Where, if not at the server's or the check's address.
    pub ip: Option<std::net::IpAddr>,
    /// The port, if not the server's or the check's.
    pub port: Option<u16>,
    /// End it in order, not by a reset.
    pub linger: bool,
    /// The server speaks first.
    pub listens: bool,
    /// See [`Connect`].
    pub is_bare: bool,
    /// It tells the server of itself.
    pub tells: bool,
    /// It goes through the server's SOCKS4 proxy.
    pub tunnels: bool,
}

impl Attempt {
    /// What it begins with, to a server with these settings; `of_agent` says that an agent is asked.
    pub fn preface(&self, settings: PrefaceSettings, of_agent: bool) -> Option<PrefaceSettings> {
        let tells = self.tells || settings.checks_tell && !self.is_bare && !of_agent;
        let socks4 = settings.socks4.filter(|_| self.tunnels || settings.checks_tunnel && !self.is_bare);
        let header = if tells { settings.header | ProxyHeader::V1 } else { ProxyHeader::empty() };
        (tells || socks4.is_some()).then_some(PrefaceSettings { header, socks4, ..settings })
    }

    /// Where it connects, given where checks of this server do.
    pub fn target(&self, usual: Option<SocketAddr>) -> Option<SocketAddr> {
        let ip = self.ip.or(usual.map(|usual| usual.ip()))?;
        Some(SocketAddr::new(ip, self.port.or(usual.map(|usual| usual.port()))?))
    }
}

impl Probe {
    /// A check that starts at `now`; `inter` is the server's, `state` what `http-check send-state` tells it.
    /// It has `inter` for all it does; with `timeout check` it has `timeout connect` (but not more than `inter`)
    /// to connect, then that long.
    pub fn new(now: Tick, inter: Millis, state: Option<String>) -> Probe {
        Probe {
            started: now,
            deadline: now + inter,
            inter,
            phase: Phase::Connecting,
            at: 0,
            output: Vec::new(),
            input: Vec::new(),
            answer: Answer::default(),
            over: false,
            own: Box::new(Own { state, ..Own::default() }),
        }
    }

    /// When [`Probe::expired`] is to be called.
    pub fn deadline(&self) -> Tick {
        self.deadline
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// What came since something was sent last, unless the check speaks HTTP.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Whether it looks at bytes now. While it has something to send they stay with the kernel, so that a server
    /// that speaks without listening cannot keep the caller reading.
    pub fn is_listening(&self) -> bool {
        self.phase == Phase::Expecting
    }

    /// Does the first step.
    pub fn begin(&mut self, world: &World<'_>) -> Next {
        self.advance(world)
    }

    /// There is a connection, but it is not established yet.
    pub fn reached(&mut self) {
        self.phase = Phase::Beginning;
    }

    /// Whether there is such a connection.
    pub fn is_beginning(&self) -> bool {
        self.phase == Phase::Beginning
    }

    /// The connection is established.
    pub fn connected(&mut self, world: &World<'_>) -> Next {
        self.phase = Phase::Connecting;
        if let Some(check) = world.timeouts.check {
            self.deadline = world.now.tick() + check;
        }
        self.next(world)
    }

    /// All of [`Probe::output`] was sent.
    pub fn sent(&mut self, world: &World<'_>) -> Next {
        if self.phase != Phase::Sending {
            return Next::Wait;
        }
        self.output.clear();
        self.next(world)
    }

    /// Connecting failed, or the connection broke: `info` is the error in the system's words.
    pub fn failed(&mut self, info: &str, world: &World<'_>) -> Next {
        // What came before is judged first, by the text of it at least; a line that has no end says nothing.
        let expects_line =
            matches!(self.action(world), Some(Action::Expect(expect)) if matches!(expect.pattern, Pattern::Line));
        let has_text = world.script.speech != Speech::Http && !self.input.is_empty();
        if self.phase == Phase::Expecting && has_text && !expects_line {
            self.over = true;
            return self.advance(world);
        }
        let status = match self.phase {
            Phase::Connecting => Status::L4Failed,
            Phase::Beginning | Phase::Sending | Phase::Expecting => Status::SocketError,
        };
        self.end(status, 0, [info.as_bytes(), &self.place(world)].concat(), world)
    }

    /// There is no way to connect at all: no descriptor, no route of our own.
    pub fn impossible(&mut self, info: &str, world: &World<'_>) -> Next {
        self.end(Status::SocketError, 0, [info.as_bytes(), &self.place(world)].concat(), world)
    }

    /// Bytes came; `over` when the server closed after them.
    pub fn received(&mut self, bytes: &[u8], over: bool, world: &World<'_>) -> Next {
        self.over |= over;
        if world.script.speech == Speech::Http {
            self.answer.receive(bytes);
        } else {
            let room = world.script.answer_bytes_max.saturating_sub(self.input.len());
            self.input.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        match self.phase {
            Phase::Expecting => self.advance(world),
            Phase::Connecting | Phase::Beginning | Phase::Sending => Next::Wait,
        }
    }

    /// The deadline is reached.
    pub fn expired(&mut self, world: &World<'_>) -> Next {
        let late = match self.action(world) {
            Some(Action::Expect(expect)) => expect.late,
            _ => None,
        };
        let status = match self.phase {
            Phase::Connecting => Status::L4Timeout,
            Phase::Beginning | Phase::Sending | Phase::Expecting => late.unwrap_or(Status::L7Timeout),
        };
        self.end(status, 0, self.place(world), world)
    }

    /// What is being done.
    fn action<'a>(&self, world: &World<'a>) -> Option<&'a Action> {
        world.script.steps.get(self.at).map(|step| &step.action)
    }

    fn next(&mut self, world: &World<'_>) -> Next {
        self.at += 1;
        self.advance(world)
    }

    /// Does the step at hand and all that follow it without waiting.
    fn advance(&mut self, world: &World<'_>) -> Next {
        while let Some(step) = world.script.steps.get(self.at) {
            match &step.action {
                Action::Connect(connect) => return self.connect(connect, world),
                Action::Send(data) => {
                    let Some(bytes) = self.text(data, world) else {
                        let text =
                            format!("tcp-check send : failed to build log-format string at step {}", step.number);
                        return self.end(Status::L7Invalid, 0, text.into_bytes(), world);
                    };
                    self.input.clear();
                    if !bytes.is_empty() {
                        (self.output, self.phase) = (bytes, Phase::Sending);
                        return Next::Send;
                    }
                }
                Action::Request(request) => {
                    let text = |data: &Data| self.text(data, world).unwrap_or_default();
                    self.output = http::request(request, self.own.state.as_deref(), text);
                    (self.answer, self.phase) =
                        (Answer::to(&request.method, world.script.answer_bytes_max), Phase::Sending);
                    return Next::Send;
                }
                Action::Expect(expect) => {
                    self.phase = Phase::Expecting;
                    if let Some(next) = self.judge(step, expect, world) {
                        return next;
                    }
                }
                Action::Assign(assignment) => assignment.apply(&self.ctx(world), &mut Vec::new()),
            }
            self.at += 1;
        }
        self.passed(world)
    }

    fn connect(&mut self, connect: &Connect, world: &World<'_>) -> Next {
        let port = match &connect.port {
            Some(Port::Fixed(port)) => Some(*port),
            Some(Port::Computed(expr)) => match expr.eval(&self.ctx(world)).and_then(|value| value.cast(Type::Int)) {
                Some(Value::Int(port)) => u16::try_from(port & 0xffff).ok(),
                _ => None,
            },
            None => None,
        };
        let is_first = self.phase == Phase::Connecting;
        if let (Some(limit), Some(_)) = (world.timeouts.connect, world.timeouts.check) {
            let limit = if is_first { limit.min(self.inter) } else { limit };
            self.deadline = world.now.tick() + limit;
        }
        self.phase = Phase::Connecting;
        self.input.clear();
        self.over = false;
        let (ip, own_port) = connect.address.map_or((None, None), |(ip, port)| (Some(ip), port));
        let mut rest = world.script.steps.iter().skip(self.at + 1);
        let is_silent = |action: &Action| match action {
            Action::Assign(_) => true,
            Action::Send(Data::ToAgent) => world.agent_send.is_empty(),
            _ => false,
        };
        let next = rest.find(|step| !is_silent(&step.action));
        let listens = next.is_some_and(|step| matches!(step.action, Action::Expect(_)));
        Next::Connect(Attempt {
            ip,
            port: port.or(own_port),
            linger: connect.linger,
            listens,
            is_bare: connect.is_bare,
            tells: connect.tells,
            tunnels: connect.tunnels,
        })
    }

    /// What an answer makes of the check; `None` if it goes on.
    fn judge(&self, step: &Step, expect: &Expect, world: &World<'_>) -> Option<Next> {
        let texts = Formats { probe: self, world };
        let judgement = if world.script.speech == Speech::Http {
            let is_missing = self.answer.head().is_some_and(|head| head.status() == 404);
            if is_missing && world.is_up && world.script.disable_on_404 {
                return Some(self.end(Status::L7Conditional, 404, Vec::new(), world));
            }
            expect::judge_http(expect, &self.answer, self.over, &texts)
        } else {
            let over = self.over || self.input.len() >= world.script.answer_bytes_max;
            expect::judge_bytes(expect, &self.input, over, &texts, step.number)
        };
        let (status, why) = match judgement {
            Judgement::Open => return Some(Next::Wait),
            Judgement::Passed => return None,
            Judgement::Failed(status, why) => (status, why),
        };
        let mut code = self.status();
        let mut info = match why {
            Why::Unasked(words) => return Some(self.end(status, code, words.into(), world)),
            Why::Unreadable("") => Vec::new(),
            Why::Unreadable(words) => {
                let text = format!("{words} at step {}", step.number);
                return Some(self.end(status, code, [text.as_bytes(), &quoted_comment(step)].concat(), world));
            }
            Why::Told(told, words) => {
                code = told as i16;
                words
            }
            Why::Described(words) => match &expect.on_error {
                Some(format) => self.formatted(format, world),
                None if world.script.speech == Speech::Fixed => Vec::new(),
                None => words,
            },
        };
        if let Some(comment) = &step.comment {
            info.extend_from_slice(b" comment: ");
            info.extend_from_slice(comment);
        }
        if let Some(own) = self.own_code(expect, world) {
            code = own;
        }
        Some(self.end(status, code, info, world))
    }

    /// All steps are done.
    fn passed(&self, world: &World<'_>) -> Next {
        let steps = &world.script.steps;
        let usual = if world.script.speech == Speech::Nothing { "" } else { "(tcp-check)" };
        let is_tcp = world.script.speech == Speech::Tcp;
        let telling = |step: &&Step| !matches!(step.action, Action::Assign(_));
        let Some(last) = steps.iter().rev().find(telling) else {
            return self.end(Status::L4Passed, 0, Vec::new(), world);
        };
        match &last.action {
            Action::Connect(_) if last.number == 0 => self.end(Status::L4Passed, 0, Vec::new(), world),
            Action::Connect(_) => self.end(Status::L4Passed, 0, usual.into(), world),
            Action::Expect(expect) => {
                let info = match &expect.on_success {
                    Some(format) => self.formatted(format, world),
                    None if is_tcp => usual.into(),
                    None => Vec::new(),
                };
                // HAProxy forgets the status of the answer where other steps follow.
                let is_last = steps.last().is_some_and(|step| matches!(step.action, Action::Expect(_)));
                let status = if is_last { self.status() } else { 0 };
                let code = self.own_code(expect, world).unwrap_or(status);
                self.end(expect.passed.unwrap_or(Status::L7Passed), code, info, world)
            }
            _ => self.end(Status::L7Passed, 0, usual.into(), world),
        }
    }

    /// `status-code`
    fn own_code(&self, expect: &Expect, world: &World<'_>) -> Option<i16> {
        let value = match expect.code.as_ref()?.eval(&self.ctx(world))? {
            // Nowhere else are octets the digits of a number.
            Value::Bin(octets) => Value::Str(octets),
            other => other,
        };
        match value.cast(Type::Int)? {
            Value::Int(code) => Some(code as i16),
            _ => None,
        }
    }

    /// Status of an HTTP answer; 0 where there is none.
    fn status(&self) -> i16 {
        self.answer.head().map_or(0, |head| head.status() as i16)
    }

    /// Where in the script something went wrong, as HAProxy tells of connections.
    fn place(&self, world: &World<'_>) -> Vec<u8> {
        let step = world.script.steps.get(self.at).filter(|step| step.number > 0);
        match (world.script.speech, step) {
            (Speech::Nothing | Speech::Http | Speech::Fixed | Speech::Program, _) => Vec::new(),
            (Speech::Tcp, None) => " at initial connection step of tcp-check".into(),
            (Speech::Tcp, Some(step)) => {
                let action = match &step.action {
                    Action::Connect(Connect { port: Some(Port::Fixed(port)), .. }) => {
                        format!("connect port {port}").into_bytes()
                    }
                    Action::Connect(_) => "connect".into(),
                    Action::Expect(expect) => expect::description(&expect.pattern),
                    _ => "send".into(),
                };
                let start = format!(" at step {} of tcp-check (", step.number);
                [start.as_bytes(), &action, b")", &quoted_comment(step)].concat()
            }
        }
    }

    fn text(&self, data: &Data, world: &World<'_>) -> Option<Vec<u8>> {
        Formats { probe: self, world }.text(data)
    }

    fn formatted(&self, format: &crate::log::Format, world: &World<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        format.write(&self.ctx(world), &mut out);
        out
    }

    fn ctx<'a>(&'a self, world: &World<'a>) -> Ctx<'a> {
        Ctx {
            now: world.now,
            config: world.config,
            counters: world.counters,
            // There is no client; expressions of checks cannot ask for one.
            client: Client {
                frontend: FrontendId(0),
                bind: 0,
                source: None,
                destination: None,
                outside: [None; 2],
                requests: 0,
            },
            request: None,
            kept_request: None,
            response: self.answer.head(),
            request_bytes: &[],
            response_bytes: if world.script.speech == Speech::Http { self.answer.body() } else { &self.input },
            request_framing: Body::None,
            // The body is without its framing here.
            response_framing: Body::UntilClose,
            upstream: None,
            inspection: None,
            backend: Some(world.backend),
            server: Some(world.server),
            servers: world.servers,
            stopping: false,
            vars: &self.own.vars,
            session_vars: &self.own.session_vars,
            facts: &self.own.facts,
            raw: Some(world.script.speech != Speech::Http),
        }
    }

    fn end(&self, status: Status, code: i16, info: Vec<u8>, world: &World<'_>) -> Next {
        let code = if status.has_code() { code } else { 0 };
        let duration = Millis(world.now.tick().since(self.started));
        Next::End(Outcome { status, code, info, duration }.cut())
    }
}

/// A step's `comment`, as it stands behind where the step is.
fn quoted_comment(step: &Step) -> Vec<u8> {
    step.comment.as_ref().map_or(Vec::new(), |comment| [b" comment: '", &comment[..], b"'"].concat())
}

/// The formats of a step, evaluated in its check.
struct Formats<'a> {
    probe: &'a Probe,
    world: &'a World<'a>,
}

impl Texts for Formats<'_> {
    fn text(&self, data: &Data) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match data {
            Data::Bytes(bytes) => return Some(bytes.to_vec()),
            Data::ToAgent => return Some(self.world.agent_send.as_bytes().to_vec()),
            Data::Format(format) => format.write(&self.probe.ctx(self.world), &mut out),
            Data::Hex(format) => {
                format.write(&self.probe.ctx(self.world), &mut out);
                return crate::text::regex::hex_bytes(&out).ok();
            }
        }
        Some(out)
    }
}

pub use crate::text::unit::reason as error_text;

#[cfg(test)]
mod tests;
