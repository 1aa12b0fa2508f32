//! Scripts: the text of a `.conv` file turned into what the runner does. `README.md` beside this file
//! is the manual of the format.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use regex::Regex;

use super::literal;
use super::support::dns;
use super::support::node::{Mood, Programs, Step};

/// One conversation.
#[derive(Default)]
pub struct Script {
    /// Declared differences.
    pub allow: Vec<Allow>,
    /// The configuration, prologue included.
    pub config: String,
    /// Other files to write: name and content.
    pub files: Vec<(String, String)>,
    /// The nodes that have a section; others behave normally.
    pub nodes: BTreeMap<String, NodePlan>,
    /// Name servers.
    pub name_servers: BTreeMap<String, NamePlan>,
    /// Arguments of a run that only says something and ends.
    pub verdict: Option<Vec<String>>,
    /// Arguments added to those of a run that stays.
    pub args: Vec<String>,
    /// What epoxy has to learn before this script can pass.
    pub waits_for: Option<String>,
    /// What happens, in order.
    pub talk: Vec<Action>,
}

/// A difference that is accepted, with the reason in the script.
pub enum Allow {
    /// A whole section is not compared.
    Skip(String),
    /// Lines that match are not compared.
    Ignore(Regex),
    /// The lines of a section are compared sorted.
    Sort(String),
    /// Matches are replaced on both sides.
    Replace(Regex, String),
}

/// How a node behaves and what of it is compared.
#[derive(Default, Clone)]
pub struct NodePlan {
    pub mood: Mood,
    pub programs: Programs,
    pub named: Vec<(String, Vec<Step>)>,
    /// Only different connections are compared, in the order of their first appearance.
    pub distinct: bool,
    /// Connections are compared byte by byte, without taking chunks apart.
    pub raw: bool,
}

/// What a name server answers and what of it is compared.
#[derive(Default, Clone)]
pub struct NamePlan {
    pub lines: Vec<dns::Line>,
    pub named: Vec<(String, Vec<dns::Line>)>,
    /// Only different questions are compared.
    pub distinct: bool,
}

/// One line of the talk.
pub enum Action {
    Client(String, Verb),
    Node(String, Order),
    Pause(Duration),
    WaitLog(usize),
    WaitFor(String),
    WaitNode(String, usize),
    /// Until the runtime socket's answer to a command has a text in it.
    WaitCli(String, String),
    Cli(String),
    Stat(Vec<String>),
    Sockets,
    Signal(Signal),
    Exit,
}

/// What a client does.
pub enum Verb {
    Connect { to: String, from: Option<String> },
    Send(Vec<u8>),
    Response,
    HeadResponse,
    Head,
    Recv(usize),
    Until(Vec<u8>),
    Closed,
    Eof,
    Quiet(Duration),
    Fin,
    Close,
    Reset,
}

/// What a node is told to do during the talk.
pub enum Order {
    Mood(Mood),
    Play(String),
}

/// Values of the placeholders: `{name}` is replaced by the value.
pub type Values = BTreeMap<&'static str, String>;

const PROLOGUE: &str = "global
    nbthread 1
    log {log} local0
    stats socket {sock} mode 600 level admin
    stats timeout 5s

defaults
    mode MODE
    log global
    option OPTION
    timeout connect 1s
    timeout client 2s
    timeout server 2s
    retries 1
";

const DEFAULT_CONFIG: &str = "
frontend fe
    bind {fe}
    default_backend be

backend be
    server s1 {node1}
";

/// A directive with the indented lines below it.
struct Block<'a> {
    number: usize,
    head: &'a str,
    lines: Vec<&'a str>,
}

impl Script {
    /// Parses a script after replacing the placeholders.
    pub fn parse(text: &str, values: &Values) -> Result<Self, String> {
        let text = substitute(text, values);
        let mut script = Self::default();
        let (mut prologue, mut config) = ("http", None);
        let blocks = blocks(&text)?;
        for block in &blocks {
            let fail = |why: String| format!("line {}: {why}", block.number);
            let (word, rest) = split_word(block.head);
            match word {
                "waits" => script.waits_for = Some(rest.trim_start_matches("for ").to_owned()),
                "allow" => script.allow.push(parse_allow(rest).map_err(fail)?),
                "prologue" => prologue = rest,
                "config" => config = Some(dedent(&block.lines)),
                "args" => script.args = words(rest),
                "file" => {
                    let content = dedent(&block.lines);
                    script.files.push((rest.to_owned(), content));
                }
                "node" => script.parse_node(rest, &block.lines).map_err(fail)?,
                "dns" => script.parse_dns(rest, &block.lines).map_err(fail)?,
                "verdict" => {
                    let args = words(rest);
                    script.verdict =
                        Some(if args.is_empty() { words(&format!("-c -f {}", values["cfg"])) } else { args });
                }
                "talk" => script.parse_talk(&block.lines).map_err(fail)?,
                _ => return Err(fail(format!("unknown directive `{word}`"))),
            }
        }
        if script.verdict.is_some() {
            script.config = config.unwrap_or_default();
            return Ok(script);
        }
        let mode_option = match prologue {
            "http" => [("MODE", "http"), ("OPTION", "httplog")],
            "tcp" => [("MODE", "tcp"), ("OPTION", "tcplog")],
            "none" => {
                script.config = config.unwrap_or_default();
                return Ok(script);
            }
            _ => return Err(format!("unknown prologue `{prologue}`")),
        };
        let mut whole = PROLOGUE.to_owned();
        for (name, value) in mode_option {
            whole = whole.replace(name, value);
        }
        whole.push_str(config.as_deref().unwrap_or(DEFAULT_CONFIG));
        script.config = substitute(&whole, values);
        Ok(script)
    }

    fn parse_node(&mut self, head: &str, lines: &[&str]) -> Result<(), String> {
        let (name, how) = split_word(head);
        let plan = self.nodes.entry(name.to_owned()).or_default();
        let mut program = Vec::new();
        for line in meaningful(lines) {
            program.push(parse_step(line).map_err(|why| format!("{why} in `{line}`"))?);
        }
        let (kind, rest) = split_word(how);
        match kind {
            "" => plan.programs.default = program,
            "refuses" => plan.mood = Mood::Refuses,
            "deaf" => plan.mood = Mood::Deaf,
            "distinct" => {
                plan.distinct = true;
                plan.programs.default = program;
            }
            "raw" => {
                plan.raw = true;
                plan.programs.default = program;
            }
            "connection" => plan.programs.numbered.push((number(rest)?, program)),
            "called" => plan.named.push((rest.to_owned(), program)),
            _ => return Err(format!("unknown node kind `{how}`")),
        }
        Ok(())
    }

    fn parse_dns(&mut self, head: &str, lines: &[&str]) -> Result<(), String> {
        let (name, how) = split_word(head);
        let plan = self.name_servers.entry(name.to_owned()).or_default();
        let lines = dns::parse_lines(lines.iter().copied())?;
        let (kind, rest) = split_word(how);
        match kind {
            "" => plan.lines = lines,
            "distinct" => (plan.lines, plan.distinct) = (lines, true),
            "called" => plan.named.push((rest.to_owned(), lines)),
            _ => return Err(format!("unknown kind of name server `{how}`")),
        }
        Ok(())
    }

    fn parse_talk(&mut self, lines: &[&str]) -> Result<(), String> {
        let base = lines.iter().find(|line| !line.trim().is_empty()).map_or(0, |line| indent(line));
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at].trim();
            at += 1;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let start = at;
            while at < lines.len() && indent(lines[at]) > base && !lines[at].trim().is_empty() {
                at += 1;
            }
            let action = parse_action(line, &lines[start..at]).map_err(|why| format!("{why} in `{line}`"))?;
            self.talk.push(action);
        }
        Ok(())
    }
}

fn parse_action(line: &str, block: &[&str]) -> Result<Action, String> {
    let (who, what) = split_word(line);
    let (verb, rest) = split_word(what);
    Ok(match (who, verb) {
        ("pause", _) => Action::Pause(millis(what)?),
        ("wait", "log") => Action::WaitLog(number(rest)?),
        ("wait", "for") => Action::WaitFor(String::from_utf8_lossy(&literal::parse(rest)?).into_owned()),
        ("wait", "cli") => {
            let (command, text) = rest.split_once(" for ").ok_or("what is waited for is missing")?;
            let [command, text] = [literal::parse(command)?, literal::parse(text)?];
            let text = String::from_utf8_lossy(&text).into_owned();
            Action::WaitCli(String::from_utf8_lossy(&command).into_owned(), text)
        }
        ("wait", node) => Action::WaitNode(node.to_owned(), number(rest)?),
        ("cli", _) => Action::Cli(String::from_utf8_lossy(&literal::parse(what)?).into_owned()),
        ("stat", _) => Action::Stat(words(what)),
        ("sockets", "") => Action::Sockets,
        ("signal", name) => {
            let name = format!("SIG{}", name.to_uppercase());
            Action::Signal(name.parse().map_err(|_| "unknown signal".to_owned())?)
        }
        ("exit", "") => Action::Exit,
        (node, "listens") => Action::Node(node.to_owned(), Order::Mood(Mood::Listens)),
        (node, "refuses") => Action::Node(node.to_owned(), Order::Mood(Mood::Refuses)),
        (node, "deaf") => Action::Node(node.to_owned(), Order::Mood(Mood::Deaf)),
        (node, "plays") => Action::Node(node.to_owned(), Order::Play(rest.to_owned())),
        (client, verb) => Action::Client(client.to_owned(), parse_verb(verb, rest, block)?),
    })
}

fn parse_verb(verb: &str, rest: &str, block: &[&str]) -> Result<Verb, String> {
    Ok(match verb {
        "connects" => {
            let (to, from) = rest.split_once(" from ").unwrap_or((rest, ""));
            Verb::Connect {
                to: to.trim().to_owned(),
                from: Some(from.trim().to_owned()).filter(|from| !from.is_empty()),
            }
        }
        "sends" => Verb::Send(literal::parse(rest)?),
        "gets" => Verb::Send(format!("GET {rest} HTTP/1.1\r\nHost: t\r\n\r\n").into_bytes()),
        "requests" => {
            let mut bytes = Vec::new();
            for line in block {
                bytes.extend(literal::unescape(line.trim())?);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"\r\n");
            if let Some(body) = rest.strip_prefix("with ") {
                bytes.extend(literal::parse(body)?);
            }
            Verb::Send(bytes)
        }
        "response" => Verb::Response,
        "head-response" => Verb::HeadResponse,
        "head" => Verb::Head,
        "receives" => Verb::Recv(number(rest)?),
        "until" => Verb::Until(literal::parse(rest)?),
        "closed" => Verb::Closed,
        "eof" => Verb::Eof,
        "quiet" => Verb::Quiet(millis(rest)?),
        "fin" => Verb::Fin,
        "closes" => Verb::Close,
        "resets" => Verb::Reset,
        _ => return Err(format!("unknown verb `{verb}`")),
    })
}

fn parse_step(line: &str) -> Result<Step, String> {
    let (word, rest) = split_word(line);
    Ok(match (word, rest) {
        ("reads", "request") => Step::ReadRequest,
        ("reads", "head") => Step::ReadHead,
        ("reads", "any") => Step::ReadAny,
        ("reads", "eof") => Step::ReadEof,
        ("reads", count) => Step::Read(number(count)?),
        ("sends", text) => Step::Send(literal::parse(text)?),
        ("trickles", text) => Step::Trickle(literal::parse(text)?),
        ("pauses", time) => Step::Pause(millis(time)?),
        ("serves", "") => Step::Serve,
        ("fin", "") => Step::Fin,
        ("closes", "") => Step::Close,
        ("resets", "") => Step::Reset,
        ("loop", "") => Step::Loop,
        _ => return Err("unknown step".to_owned()),
    })
}

/// `skip SECTION: reason`, `sort SECTION: reason`, `ignore "regex": reason`, `replace "regex" "with": reason`.
fn parse_allow(text: &str) -> Result<Allow, String> {
    let (what, reason) = text.rsplit_once(": ").ok_or("an allowance needs a reason")?;
    if reason.trim().is_empty() {
        return Err("an allowance needs a reason".to_owned());
    }
    let (kind, rest) = split_word(what);
    let regex = |pattern: &str| Regex::new(pattern).map_err(|why| why.to_string());
    let quoted: Vec<&str> = rest.split('"').skip(1).step_by(2).collect();
    match (kind, quoted.as_slice()) {
        ("skip", []) => Ok(Allow::Skip(rest.to_owned())),
        ("sort", []) => Ok(Allow::Sort(rest.to_owned())),
        ("ignore", [pattern]) => Ok(Allow::Ignore(regex(pattern)?)),
        ("replace", [pattern, with]) => Ok(Allow::Replace(regex(pattern)?, (*with).to_owned())),
        _ => Err(format!("unknown allowance `{text}`")),
    }
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>, String> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with([' ', '\t']) || line.is_empty() {
            match blocks.last_mut() {
                Some(block) => block.lines.push(line),
                None if line.is_empty() => {}
                None => return Err(format!("line {}: indented under nothing", index + 1)),
            }
        } else if !line.starts_with('#') {
            blocks.push(Block { number: index + 1, head: line, lines: Vec::new() });
        }
    }
    for block in &mut blocks {
        while block.lines.last().is_some_and(|line| line.trim().is_empty()) {
            block.lines.pop();
        }
    }
    Ok(blocks)
}

/// The lines of a block without their first four spaces.
fn dedent(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.strip_prefix("    ").unwrap_or(line));
        text.push('\n');
    }
    text
}

fn substitute(text: &str, values: &Values) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

fn meaningful<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let lines = lines.iter().map(|line| line.trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("a number was expected, not `{text}`"))
}

fn millis(text: &str) -> Result<Duration, String> {
    number(text).map(|number| Duration::from_millis(number as u64))
}
