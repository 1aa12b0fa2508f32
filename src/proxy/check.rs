//! Health check settings: what a backend's checks say and expect, and when its servers are checked (manual 5.2
//! `check`; 4.2 `option httpchk`, `http-check`, `option tcp-check`, `tcp-check`).

use std::net::IpAddr;

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::status::Status;
use crate::log::Format;
use crate::rules::variable::Assignment;
use crate::sample::Expr;
use crate::time::Millis;

/// What a check does with a server, step by step. Without steps it connects, nothing more.
#[derive(Clone, Debug)]
pub struct Script {
    /// What stands between connecting and the result, in order.
    pub steps: Vec<Step>,
    /// What the steps speak.
    pub speech: Speech,
    /// What runs in place of steps.
    pub program: Option<Program>,
    /// `http-check disable-on-404`: 404 takes a server that is up out softly, whatever is expected.
    pub disable_on_404: bool,
    /// `http-check send-state`: requests tell the server how it is seen.
    pub send_state: bool,
    /// Most octets of an answer that are looked at (`tune.chksize`, `tune.bufsize`); one that goes on is judged
    /// by its beginning.
    pub answer_bytes_max: usize,
}

/// The language of a check, which decides how its messages name what failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speech {
    /// None: there is no `option` about checks.
    #[default]
    Nothing,
    /// `option tcp-check`
    Tcp,
    /// `option httpchk`
    Http,
    /// That of a protocol whose steps nobody writes: `option mysql-check` and its like.
    Fixed,
    /// None: a program does it all (`option external-check`).
    Program,
}

/// A program that checks servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// `external-check command`
    pub command: Box<[u8]>,
    /// `external-check path`: the program's `PATH`, where the command is looked for.
    pub path: Box<[u8]>,
}

/// One line of a script.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number as messages give it, from 1; 0 for a step that nobody wrote.
    pub number: u32,
    /// `comment`
    pub comment: Option<Box<[u8]>>,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `connect`: leaves the connection so far for another one.
    Connect(Connect),
    /// `send` and its kin.
    Send(Data),
    /// `http-check send`
    Request(Box<Request>),
    /// `expect`
    Expect(Box<Expect>),
    /// `set-var`, `set-var-fmt`, `unset-var`
    Assign(Box<Assignment>),
}

/// Where and how a step connects.
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// `port`; the check's or the server's own if absent.
    pub port: Option<Port>,
    /// `addr`, its port where it has one.
    pub address: Option<(IpAddr, Option<u16>)>,
    /// `linger`: the connection ends in order, not by a reset.
    pub linger: bool,
    /// What the server's line says of how connections begin does not hold: it does where nobody wrote this step, or where
    /// it says `default`.
    pub is_bare: bool,
    /// `send-proxy`
    pub tells: bool,
    /// `via-socks4`
    pub tunnels: bool,
}

/// `port` of a `connect`.
#[derive(Clone, Debug)]
pub enum Port {
    /// A number.
    Fixed(u16),
    /// Computed when the step begins.
    Computed(Box<Expr>),
}

/// Bytes that are sent or looked for.
#[derive(Clone, Debug)]
pub enum Data {
    /// As written.
    Bytes(Box<[u8]>),
    /// A log format.
    Format(Box<Format>),
    /// A log format whose text is hexadecimal digits.
    Hex(Box<Format>),
    /// What the agent of the server is sent.
    ToAgent,
}

/// The request of an HTTP check.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: Box<[u8]>,
    /// URI.
    pub uri: Data,
    /// Version.
    pub version: Box<[u8]>,
    /// Names and values of the header fields.
    pub fields: Vec<(Box<[u8]>, Data)>,
    /// Body; empty for none.
    pub body: Data,
}

/// What an answer must be.
#[derive(Clone, Debug)]
pub struct Expect {
    /// `!`: the step passes when the rest does not match.
    pub negate: bool,
    /// `min-recv`, unless negative.
    pub bytes_min: Option<usize>,
    /// What to look for.
    pub pattern: Pattern,
    /// `ok-status`: of the check, if this is its last step.
    pub passed: Option<Status>,
    /// `error-status`
    pub failed: Option<Status>,
    /// `tout-status`
    pub late: Option<Status>,
    /// `on-success`
    pub on_success: Option<Box<Format>>,
    /// `on-error`
    pub on_error: Option<Box<Format>>,
    /// `status-code`
    pub code: Option<Box<Expr>>,
}

/// What `expect` looks for: in the body of an HTTP answer, in all that came otherwise.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `string`, `string-lf`
    Text(Data),
    /// `rstring`
    Regex(Regex),
    /// `binary`, `binary-lf`
    Binary(Data),
    /// `rbinary`: on hexadecimal digits.
    BinaryRegex(Regex),
    /// `status`: inclusive ranges.
    Status(Vec<(u16, u16)>),
    /// `rstatus`
    StatusRegex(Regex),
    /// `hdr`, `fhdr`
    Field(Box<FieldPattern>),
    /// A line, or all that comes: of agents.
    Line,
    /// A message of a protocol that has a judge of its own.
    Message(Message),
}

/// What a server says in a protocol of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first packet of MySQL.
    MysqlGreeting,
    /// The second one, which answers the login.
    MysqlResult,
    /// What LDAP answers to a bind.
    LdapBind,
    /// The hello of an agent of the stream processing protocol.
    SpopHello,
}

/// A header field that an answer must have.
#[derive(Clone, Debug)]
pub struct FieldPattern {
    /// Its name, in any case.
    pub name: Match,
    /// Its value; any if absent.
    pub value: Option<Match>,
    /// `fhdr`: commas do not divide values.
    pub full: bool,
}

/// How a text is compared.
#[derive(Clone, Debug)]
pub enum Match {
    /// `str`
    Exact(Data),
    /// `beg`
    Begin(Data),
    /// `end`
    End(Data),
    /// `sub`
    Sub(Data),
    /// `reg`
    Regex(Regex),
}

/// Octets of an answer that are looked at where no setting says otherwise: a buffer (`tune.bufsize`).
const ANSWER_BYTES_MAX: usize = 16384;

impl Default for Script {
    fn default() -> Self {
        Script {
            steps: Vec::new(),
            speech: Speech::Nothing,
            program: None,
            disable_on_404: false,
            send_state: false,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }
}

impl Script {
    /// What is done with an agent: it is sent what is written for it, if anything, and answers by a line.
    pub fn of_agents() -> &'static Script {
        static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
            let actions = [
                Action::Connect(Connect::default()),
                Action::Send(Data::ToAgent),
                Action::Expect(Box::new(Expect::new(Pattern::Line))),
            ];
            let step = |(number, action)| Step { number, comment: None, action };
            Script { steps: (0..).zip(actions).map(step).collect(), ..Script::default() }
        });
        &SCRIPT
    }

    /// Whether what a server that is well says of itself is logged but not remembered: HAProxy forgets it where it
    /// judges a message by a function of its own.
    pub fn forgets_words(&self) -> bool {
        let last = self.steps.last().map(|step| &step.action);
        matches!(last, Some(Action::Expect(expect)) if matches!(expect.pattern, Pattern::Message(_)))
    }

    /// Whether the script begins by connecting somewhere that it names itself.
    pub fn names_port(&self) -> bool {
        let first = self.steps.iter().find_map(|step| match &step.action {
            Action::Connect(connect) => Some(connect),
            _ => None,
        });
        first.is_some_and(|connect| connect.port.is_some() || connect.address.is_some_and(|(_, port)| port.is_some()))
    }
}

impl Expect {
    /// A step that looks for `pattern`, nothing more.
    pub fn new(pattern: Pattern) -> Expect {
        Expect {
            negate: false,
            bytes_min: None,
            pattern,
            passed: None,
            failed: None,
            late: None,
            on_success: None,
            on_error: None,
            code: None,
        }
    }
}

impl Data {
    /// Nothing.
    pub fn empty() -> Data {
        Data::Bytes(Box::new([]))
    }
}

/// `check` and its companions on a server line.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// `inter`: from the end of a check to the next while the state is settled.
    pub inter: Millis,
    /// `fastinter`: while going up or down; `inter` when absent.
    pub fastinter: Option<Millis>,
    /// `downinter`: while fully down; `inter` when absent.
    pub downinter: Option<Millis>,
    /// `rise`: successes in a row that bring it up.
    pub rise: u32,
    /// `fall`: failures in a row that take it down.
    pub fall: u32,
    /// `port`.
    pub port: Option<u16>,
    /// `addr`.
    pub addr: Option<IpAddr>,
}

/// `agent-check` and its companions on a server line.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// `agent-inter`
    pub inter: Millis,
    /// `agent-port`
    pub port: Option<u16>,
    /// `agent-addr`; the server's own if absent.
    pub addr: Option<IpAddr>,
    /// `agent-send`
    pub send: Box<str>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        AgentSettings { inter: Millis(2000), port: None, addr: None, send: "".into() }
    }
}

impl AgentSettings {
    /// A number that differs where what can be changed at run time does.
    pub fn number(&self) -> u64 {
        crate::shm::fnv(format!("{:?} {:?} {}", self.port, self.addr, self.send).bytes()) as u64
    }
}

impl Default for CheckSettings {
    fn default() -> Self {
        CheckSettings {
            inter: Millis(2000),
            fastinter: None,
            downinter: None,
            rise: 2,
            fall: 3,
            port: None,
            addr: None,
        }
    }
}
