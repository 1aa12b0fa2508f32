//! One side of a conversation: starts a proxy with the script's nodes and log servers around it, lets
//! the script happen, and returns what everybody saw.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::Utf8Chunk;
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::client::Client;
use super::normal::{self, Transcript};
use super::render;
use super::script::{Action, NodePlan, Order, Script, Values, Verb};
use super::sockets;
use super::support::dns::NameServer;
use super::support::message::Kind;
use super::support::node::Mood;
use super::support::node::Node;
use super::support::place::{self, TempDir};
use super::support::process::Running;
use super::support::receiver::Receiver;

/// Ports of a script's address: `fe`, `fe2`, ...; then `node1`, `node2`, ...; then name servers and log servers.
const FRONTEND_PORTS: [(&str, u16); 4] = [("fe", 8001), ("fe2", 8002), ("fe3", 8003), ("fe4", 8004)];
const NODE_PORTS: [(&str, u16); 14] = [
    ("node1", 9001),
    ("node2", 9002),
    ("node3", 9003),
    ("node4", 9004),
    ("node5", 9005),
    ("node6", 9006),
    ("node7", 9007),
    ("node8", 9008),
    ("node9", 9009),
    ("node10", 9010),
    ("node11", 9011),
    ("node12", 9012),
    ("node13", 9013),
    ("node14", 9014),
];
const NAME_PORTS: [(&str, u16); 3] = [("dns1", 5301), ("dns2", 5302), ("dns3", 5303)];
const LOG_PORTS: [(&str, u16); 2] = [("log", 5140), ("log2", 5141)];

/// Where one script runs, both sides one after the other.
pub struct Place {
    address: Ipv4Addr,
    dir: TempDir,
    /// The placeholders of scripts.
    pub values: Values,
}

impl Place {
    /// A place that nobody else uses.
    pub fn new() -> Result<Self, String> {
        let address = place::loopback_address();
        let dir = TempDir::new("oracle").map_err(|error| error.to_string())?;
        let mut values = Values::new();
        let ports = FRONTEND_PORTS.iter().chain(&NODE_PORTS).chain(&NAME_PORTS).chain(&LOG_PORTS);
        for (name, port) in ports {
            values.insert(name, format!("{address}:{port}"));
        }
        values.insert("ip", address.to_string());
        values.insert("fixtures", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures").to_owned());
        let paths = [("tmp", ""), ("cfg", "test.cfg"), ("sock", "sock"), ("logsock", "log.sock")];
        for (name, file) in paths {
            let path = if file.is_empty() { dir.path().to_owned() } else { dir.path().join(file) };
            values.insert(name, path.display().to_string());
        }
        Ok(Self { address, dir, values })
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn socket(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }

    fn address_of(&self, name: &str) -> Result<SocketAddr, String> {
        let name = if name.is_empty() { "fe" } else { name };
        let value = self.values.get(name).map_or(name, String::as_str);
        value.parse().map_err(|_| format!("no such place: {name}"))
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The proxy is believed to be at rest when nothing happened for so long.
    pub settle: Duration,
    /// Longest wait for anything a script waits for.
    pub limit: Duration,
}

/// How a side is run.
pub struct Manner<'a> {
    /// The proxy's executable.
    pub program: &'a Path,
    /// How long it may take.
    pub patience: Patience,
    /// Log lines that are waited for (those the other side wrote).
    pub log_lines: usize,
    /// The proxy serves locked into its sandbox.
    pub sandbox: bool,
}

/// Runs a script and returns the normalised transcript.
pub fn run(script: &Script, place: &Place, manner: &Manner<'_>) -> Result<Transcript, String> {
    for (name, content) in &script.files {
        fs::write(place.path(name), content).map_err(|error| error.to_string())?;
    }
    fs::write(place.path("test.cfg"), &script.config).map_err(|error| error.to_string())?;
    let (pid, mut transcript) = match &script.verdict {
        Some(args) => verdict(args, place, manner)?,
        None => {
            let mut stage = Stage::set(script, place, manner)?;
            stage.play(&script.talk)?;
            (stage.process.pid(), stage.finish())
        }
    };
    let _ = fs::remove_file(place.path("sock"));
    let _ = fs::remove_file(place.path("log.sock"));
    let replace = [
        (place.address.to_string(), "{ip}"),
        (place.dir.path().display().to_string(), "{tmp}"),
        (place.values["fixtures"].clone(), "{fixtures}"),
        (format!("[{pid}]"), "[PID]"),
        (format!("({pid})"), "(PID)"),
        (format!(" {pid} "), " PID "),
    ];
    normal::normalise(&mut transcript, &replace, &script.allow);
    Ok(transcript)
}

fn verdict(args: &[String], place: &Place, manner: &Manner<'_>) -> Result<(u32, Transcript), String> {
    let mut process =
        Running::start(manner.program, "haproxy", args, place.dir.path()).map_err(|error| error.to_string())?;
    let status = process.wait(manner.patience.limit);
    process.kill();
    let exit = match status {
        Some(status) => status.to_string(),
        None => "still running".to_owned(),
    };
    let transcript = vec![
        ("exit".to_owned(), vec![exit]),
        ("stderr".to_owned(), lines(&process.stderr())),
        ("stdout".to_owned(), lines(&process.stdout())),
    ];
    Ok((process.pid(), transcript))
}

/// A running proxy and everybody around it.
struct Stage<'a> {
    script: &'a Script,
    place: &'a Place,
    manner: &'a Manner<'a>,
    logs: Vec<(String, Receiver)>,
    nodes: Vec<Node>,
    name_servers: Vec<NameServer>,
    process: Running,
    clients: Vec<(String, Client)>,
    /// Outputs of the runtime socket and the end of the process.
    notes: Vec<(String, Vec<String>)>,
}

impl<'a> Stage<'a> {
    fn set(script: &'a Script, place: &'a Place, manner: &'a Manner<'a>) -> Result<Self, String> {
        let fail = |error: std::io::Error| format!("setting the stage: {error}");
        let uses = |name: &str| script.config.contains(&place.values[name]);
        let mut logs = Vec::new();
        for (name, port) in LOG_PORTS {
            // `log` is a prefix of no other value: addresses differ in their last digit.
            if uses(name) {
                let receiver = Receiver::udp(place.socket(port)).map_err(fail)?;
                logs.push((name.to_owned(), receiver));
            }
        }
        if uses("logsock") {
            let receiver = Receiver::unix(&place.path("log.sock")).map_err(fail)?;
            logs.push(("logsock".to_owned(), receiver));
        }
        let mut nodes = Vec::new();
        for (name, port) in NODE_PORTS {
            if uses(name) || script.nodes.contains_key(name) {
                let plan = script.nodes.get(name).cloned().unwrap_or_default();
                let node = Node::start(name, place.socket(port), plan.mood, plan.programs);
                nodes.push(node.map_err(fail)?);
            }
        }
        let mut name_servers = Vec::new();
        for (name, port) in NAME_PORTS {
            if let Some(plan) = script.name_servers.get(name) {
                name_servers.push(NameServer::start(name, place.socket(port), plan.lines.clone()).map_err(fail)?);
            }
        }
        let mut args = vec!["-db".to_owned(), "-f".to_owned(), place.values["cfg"].clone()];
        args.extend(script.args.iter().cloned());
        if manner.sandbox {
            let path = place.path("sandbox.cfg");
            fs::write(&path, "global\n    sandbox landlock seccomp\n").map_err(fail)?;
            args.extend(["-f".to_owned(), path.display().to_string()]);
        }
        let process = Running::start(manner.program, "haproxy", &args, place.dir.path());
        let mut stage = Self {
            script,
            place,
            manner,
            logs,
            nodes,
            name_servers,
            process: process.map_err(fail)?,
            clients: Vec::new(),
            notes: Vec::new(),
        };
        stage.wait_ready()?;
        Ok(stage)
    }

    /// Waits until every frontend and the runtime socket of the configuration listen.
    fn wait_ready(&mut self) -> Result<(), String> {
        let limit = Instant::now() + self.manner.patience.limit;
        let place = self.place;
        let config = &self.script.config;
        let ports: Vec<u16> = FRONTEND_PORTS
            .iter()
            .filter(|(name, _)| config.contains(&place.values[name]))
            .map(|(_, port)| *port)
            .collect();
        let socket = config.contains(&place.values["sock"]);
        loop {
            let listening = ports.iter().all(|port| place::listens(std::net::SocketAddrV4::new(place.address, *port)));
            if listening && (!socket || place.path("sock").exists()) {
                return Ok(());
            }
            if let Some(status) = self.process.ended() {
                self.process.kill();
                let stderr = self.process.stderr();
                return Err(format!("the proxy ended at its start, {status}:\n{stderr}"));
            }
            if Instant::now() > limit {
                return Err("the proxy does not listen".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn play(&mut self, talk: &[Action]) -> Result<(), String> {
        for action in talk {
            match action {
                Action::Client(name, verb) => self.client(name, verb)?,
                Action::Node(name, order) => self.order(name, order)?,
                Action::Pause(duration) => thread::sleep(*duration),
                Action::WaitLog(count) => self.wait(format!("{count} log lines"), || self.log_lines() >= *count)?,
                Action::WaitFor(text) => self.wait(format!("\"{text}\""), || self.has_said(text))?,
                Action::WaitNode(name, count) => {
                    self.wait(format!("{count} of {name}"), || self.node_bytes(name) >= *count)?;
                }
                Action::WaitCli(command, text) => {
                    self.wait(format!("\"{text}\" of {command}"), || self.cli(command).contains(text))?;
                }
                Action::Cli(command) => {
                    let output = lines(&self.cli(command));
                    self.note("cli", format!("> {command}"));
                    output.into_iter().for_each(|line| self.note("cli", line));
                }
                Action::Stat(columns) => {
                    let csv = self.cli("show stat");
                    for line in pick_columns(&csv, columns) {
                        self.note("stat", line);
                    }
                }
                Action::Sockets => {
                    let names = FRONTEND_PORTS.iter().chain(&NODE_PORTS);
                    let name = |port| names.clone().find(|(_, other)| *other == port).map(|(name, _)| *name);
                    for line in sockets::describe(self.process.pid(), name)? {
                        self.note("sockets", line);
                    }
                }
                Action::Signal(signal) => self.process.signal(*signal),
                Action::Exit => {
                    let status = self.process.wait(self.manner.patience.limit);
                    let text = status.map_or("still running".to_owned(), |s| s.to_string());
                    self.note("exit", text);
                }
            }
        }
        Ok(())
    }

    /// Waits for what a script waits for; what does not come is a fault, of the script if it is haproxy that ran.
    fn wait(&self, what: String, done: impl FnMut() -> bool) -> Result<(), String> {
        match place::wait_until(self.manner.patience.limit, done) {
            true => Ok(()),
            false => Err(format!("waited in vain for {what}")),
        }
    }

    fn client(&mut self, name: &str, verb: &Verb) -> Result<(), String> {
        if let Verb::Connect { to, from } = verb {
            let to = self.place.address_of(to)?;
            let from = match from {
                Some(ip) => Some(SocketAddr::new(ip.parse().map_err(|_| format!("no address: {ip}"))?, 0)),
                None => None,
            };
            self.clients.push((name.to_owned(), Client::connect(to, from, self.manner.patience.limit)));
            return Ok(());
        }
        if !self.clients.iter().any(|(other, _)| other == name) {
            let to = self.place.address_of("fe")?;
            self.clients.push((name.to_owned(), Client::connect(to, None, self.manner.patience.limit)));
        }
        // A name that connects again stands for its latest connection.
        let found = self.clients.iter_mut().rfind(|(other, _)| other == name);
        let Some((_, client)) = found else {
            return Err(format!("no client {name}"));
        };
        match verb {
            Verb::Connect { .. } => {}
            Verb::Send(bytes) => client.send(bytes),
            Verb::Response => client.response(Kind::Response),
            Verb::HeadResponse => client.response(Kind::HeadResponse),
            Verb::Head => client.head(),
            Verb::Recv(count) => client.receive(*count),
            Verb::Until(text) => client.until(text),
            Verb::Closed => client.closed(false),
            Verb::Eof => client.closed(true),
            Verb::Quiet(duration) => client.quiet(*duration),
            Verb::Fin => client.fin(),
            Verb::Close => client.close(false),
            Verb::Reset => client.close(true),
        }
        Ok(())
    }

    fn order(&mut self, name: &str, order: &Order) -> Result<(), String> {
        if let Some(server) = self.name_servers.iter_mut().find(|server| server.name() == name) {
            return match order {
                Order::Mood(Mood::Listens) => server.listen().map_err(|error| error.to_string()),
                Order::Mood(_) => {
                    server.refuse();
                    Ok(())
                }
                Order::Play(called) => {
                    let named = self.script.name_servers.get(name).and_then(|plan| {
                        plan.named.iter().find(|(other, _)| other == called).map(|(_, lines)| lines.clone())
                    });
                    server.play(named.ok_or_else(|| format!("{name} has no {called}"))?);
                    Ok(())
                }
            };
        }
        let node = self.nodes.iter_mut().find(|node| node.name() == name);
        let node = node.ok_or_else(|| format!("no node {name}"))?;
        match order {
            Order::Mood(mood) => node.set_mood(*mood).map_err(|error| error.to_string()),
            Order::Play(program) => {
                let plan = self.script.nodes.get(name);
                let named = plan.and_then(|plan| plan.named.iter().find(|(n, _)| n == program));
                let (_, steps) = named.ok_or_else(|| format!("{name} has no {program}"))?;
                node.play(steps.clone());
                Ok(())
            }
        }
    }

    /// One command on the runtime socket, and all that comes until it is closed.
    fn cli(&self, command: &str) -> String {
        let mut output = Vec::new();
        let exchange = UnixStream::connect(self.place.path("sock")).and_then(|mut stream| {
            stream.set_read_timeout(Some(self.manner.patience.limit))?;
            stream.write_all(format!("{command}\n").as_bytes())?;
            stream.read_to_end(&mut output)
        });
        match exchange {
            // What is no UTF-8 shows which octets it was.
            Ok(_) => {
                let text = |part: Utf8Chunk<'_>| format!("{}{}", part.valid(), part.invalid().escape_ascii());
                output.utf8_chunks().map(text).collect()
            }
            Err(error) => format!("[runtime socket: {}]", error.kind()),
        }
    }

    /// Takes down what everybody has, first while the clients are there, then the logs after they left.
    fn finish(mut self) -> Transcript {
        self.settle();
        let mut transcript = Transcript::new();
        for (name, client) in &mut self.clients {
            let notes = client.notes();
            let section = format!("client {name}");
            match transcript.iter_mut().find(|(other, _)| *other == section) {
                Some((_, lines)) => {
                    lines.push("[connected again]".to_owned());
                    lines.extend(notes);
                }
                None => transcript.push((section, notes)),
            }
        }
        for node in &self.nodes {
            let plan = self.script.nodes.get(node.name()).cloned().unwrap_or_default();
            transcript.extend(node_sections(node, &plan));
        }
        for server in &self.name_servers {
            let distinct = self.script.name_servers.get(server.name()).is_some_and(|plan| plan.distinct);
            transcript.push((server.name().to_owned(), questions(server, distinct)));
        }
        for (_, client) in self.clients.drain(..) {
            drop(client);
            // So that those who leave are logged in this order.
            thread::sleep(self.manner.patience.settle / 16);
        }
        place::wait_until(self.manner.patience.limit / 4, || self.log_lines() >= self.manner.log_lines);
        self.settle();
        for (name, receiver) in &self.logs {
            let received = receiver.lines();
            let escaped = received.iter().map(|line| render::readable(line.as_bytes()));
            transcript.push((log_section(name), escaped.collect()));
        }
        transcript.append(&mut self.notes);
        if let Some(status) = self.process.ended() {
            let expected = transcript.iter().any(|(name, _)| name == "exit");
            if !expected {
                transcript.push(("exit".to_owned(), vec![format!("unexpected: {status}")]));
            }
        }
        self.process.kill();
        transcript.push(("stderr".to_owned(), lines(&self.process.stderr())));
        transcript.push(("stdout".to_owned(), lines(&self.process.stdout())));
        transcript
    }

    /// Waits until nothing has happened anywhere for the settling time.
    fn settle(&mut self) {
        let limit = Instant::now() + self.manner.patience.limit / 2;
        let mut quiet_since = Instant::now();
        let mut before = self.activity();
        while quiet_since.elapsed() < self.manner.patience.settle && Instant::now() < limit {
            for (_, client) in &mut self.clients {
                client.take_for(Duration::from_millis(2));
            }
            thread::sleep(Duration::from_millis(5));
            let now = self.activity();
            if now != before {
                before = now;
                quiet_since = Instant::now();
            }
        }
    }

    /// A figure that changes when anything happens.
    fn activity(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(|node| self.seen_by(node)).sum();
        let asked = self.name_servers.iter().map(|server| {
            let distinct = self.script.name_servers.get(server.name()).is_some_and(|plan| plan.distinct);
            questions(server, distinct).len()
        });
        let asked: usize = asked.sum();
        nodes + asked + self.log_lines() + self.process.stderr().len() + self.process.stdout().len()
    }

    /// A figure for what a node has seen; where its equal connections are compared as one, they are no news.
    fn seen_by(&self, node: &Node) -> usize {
        let mut connections = node.connections();
        if self.script.nodes.get(node.name()).is_some_and(|plan| plan.distinct) {
            connections.retain(|connection| connection.closed_by_node || connection.closed_by_peer);
            connections.sort_by(|a, b| a.bytes.cmp(&b.bytes));
            connections.dedup_by(|a, b| a.bytes == b.bytes);
        }
        connections.iter().map(|c| 1 + c.bytes.len() + usize::from(c.closed_by_peer)).sum()
    }

    fn log_lines(&self) -> usize {
        self.logs.iter().map(|(_, log)| log.lines().len()).sum()
    }

    /// Octets that a node has received, or questions that a name server has.
    fn node_bytes(&self, name: &str) -> usize {
        if let Some(server) = self.name_servers.iter().find(|server| server.name() == name) {
            return server.asked().len();
        }
        let nodes = self.nodes.iter().filter(|node| node.name() == name);
        nodes.flat_map(Node::connections).map(|connection| connection.bytes.len()).sum()
    }

    fn has_said(&self, text: &str) -> bool {
        let logged = self.logs.iter().flat_map(|(_, log)| log.lines());
        logged.into_iter().any(|line| line.contains(text)) || self.process.stderr().contains(text)
    }

    fn note(&mut self, section: &str, line: String) {
        match self.notes.iter_mut().find(|(name, _)| name == section) {
            Some((_, lines)) => lines.push(line),
            None => self.notes.push((section.to_owned(), vec![line])),
        }
    }
}

/// The number of log lines in a transcript.
pub fn log_lines(transcript: &Transcript) -> usize {
    let logs = LOG_PORTS.iter().map(|(name, _)| *name).chain(["logsock"]);
    let logs: Vec<String> = logs.map(log_section).collect();
    let sections = transcript.iter().filter(|(name, _)| logs.contains(name));
    sections.map(|(_, lines)| lines.len()).sum()
}

fn log_section(name: &str) -> String {
    match name {
        "log" => "log".to_owned(),
        name => format!("log at {name}"),
    }
}

fn node_sections(node: &Node, plan: &NodePlan) -> Transcript {
    let mut seen: Vec<Vec<String>> = Vec::new();
    for connection in node.connections() {
        if plan.distinct && !connection.closed_by_node && !connection.closed_by_peer {
            // Whether a check is under way just now depends on time.
            continue;
        }
        let mut lines =
            if plan.raw { render::text(&connection.bytes) } else { render::stream(&connection.bytes, Kind::Request) };
        lines.push(match (connection.closed_by_node, connection.closed_by_peer) {
            (true, _) => "[closed by the node]".to_owned(),
            (false, true) => "[closed]".to_owned(),
            (false, false) => "[open]".to_owned(),
        });
        if !plan.distinct || !seen.contains(&lines) {
            seen.push(lines);
        }
    }
    let mut sections = Transcript::new();
    for (index, lines) in seen.into_iter().enumerate() {
        sections.push((format!("{} connection {}", node.name(), index + 1), lines));
    }
    if sections.is_empty() {
        sections.push((node.name().to_owned(), vec!["[no connection]".to_owned()]));
    }
    sections
}

/// What a name server was asked; sorted and each once where only different questions count.
fn questions(server: &NameServer, distinct: bool) -> Vec<String> {
    let mut asked = server.asked();
    if distinct {
        asked.sort();
        asked.dedup();
    }
    if asked.is_empty() { vec!["[no question]".to_owned()] } else { asked }
}

/// The wanted columns of every line of `show stat`.
fn pick_columns(csv: &str, columns: &[String]) -> Vec<String> {
    let mut rows = csv.lines().filter(|line| !line.is_empty());
    let header = rows.next().unwrap_or_default().trim_start_matches("# ");
    let names: Vec<&str> = header.split(',').collect();
    let places: Vec<Option<usize>> =
        columns.iter().map(|column| names.iter().position(|name| name == column)).collect();
    let pick = |row: &str| {
        let cells: Vec<&str> = row.split(',').collect();
        let picked = places.iter().zip(columns).map(|(place, column)| {
            let cell = place.and_then(|place| cells.get(place)).copied();
            format!("{column}={}", cell.unwrap_or("[no such column]"))
        });
        picked.collect::<Vec<_>>().join(" ")
    };
    rows.map(pick).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}
