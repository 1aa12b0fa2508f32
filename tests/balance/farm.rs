//! A program that balances, its nodes, and what they are told and asked.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::keys::Keys;
use super::support::node::{Mood, Node, Programs, Step};
use super::support::place::{TempDir, loopback_address, wait_listening};
use super::support::process::Running;
use super::{KEYS, Way};

/// Servers of a backend: parameters beside the address, in the order written. Ids are not in that order.
const SERVERS: &[&str] =
    &["id 7 weight 3", "weight 10", "id 40 weight 1", "weight 4", "id 3 weight 6", "backup weight 2", "backup"];

/// Port of the frontend.
const FRONT: u16 = 21_000;

/// Port of the first node; the others follow.
const NODES: u16 = 22_000;

/// Requests sent before their answers are awaited.
const PIPELINED: usize = 50;

/// Something that happens to a backend's servers.
#[derive(Debug)]
pub enum Order {
    /// Nothing: as configured.
    Nothing,
    /// A runtime command.
    Say(&'static str),
    /// All of these go into maintenance.
    Down(&'static [&'static str]),
}

/// A program that runs, with its nodes.
pub struct Farm {
    front: SocketAddr,
    keys: Keys,
    _nodes: Vec<Node>,
    _program: Running,
    directory: TempDir,
}

impl Farm {
    /// Starts `program` with a backend that balances in this way.
    pub fn start(program: &Path, (lines, keys): Way) -> Farm {
        let address = loopback_address();
        let directory = TempDir::new("balance").expect("a directory");
        let node = |n: usize| {
            let greeting = format!("HTTP/1.1 200 OK\r\nX-Node: {n}\r\n\r\n").into_bytes();
            let default = if keys.is_tcp() { vec![Step::Send(greeting), Step::ReadEof] } else { Vec::new() };
            let programs = Programs { default, ..Programs::default() };
            let address = SocketAddr::from((address, NODES + n as u16));
            Node::start(&n.to_string(), address, Mood::Listens, programs).expect("a node")
        };
        let nodes = (0..SERVERS.len()).map(node).collect();
        let file = directory.path().join("cfg");
        fs::write(&file, configuration(address, directory.path(), lines, keys)).expect("the configuration");
        let args = ["-db", "-f", &file.display().to_string()].map(str::to_owned);
        let running = Running::start(program, "haproxy", &args, directory.path()).expect("the program");
        let front = SocketAddr::from((address, FRONT));
        let listens = wait_listening(front, Duration::from_secs(10));
        assert!(listens, "{program:?} does not listen: {}", running.stderr());
        Farm { front, keys, _nodes: nodes, _program: running, directory }
    }

    /// The choices after each order: a letter a key.
    pub fn play(&self, orders: &[Order]) -> Vec<String> {
        let round = |order: &Order| {
            match order {
                Order::Nothing => {}
                Order::Say(command) => self.say(command),
                Order::Down(servers) => {
                    servers.iter().for_each(|server| self.say(&format!("disable server be/{server}")))
                }
            }
            if self.keys.is_per_connection() {
                one_by_one(self.front, self.keys)
            } else {
                pipelined(self.front, self.keys)
            }
        };
        orders.iter().map(round).collect()
    }

    fn say(&self, command: &str) {
        let mut socket = UnixStream::connect(self.directory.path().join("sock")).expect("the runtime socket");
        socket.write_all(format!("{command}\n").as_bytes()).expect("a command");
        // A static algorithm refuses weights; what then follows shows that it kept the old ones.
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("its answer");
    }
}

fn configuration(address: Ipv4Addr, directory: &Path, lines: &str, keys: Keys) -> String {
    // So the program sees connections with their first bytes, without rules for the content.
    let (mode, bind) = if keys.is_tcp() { ("tcp", "defer-accept") } else { ("http", "") };
    let sock = directory.join("sock");
    let mut text = format!(
        "global\n nbthread 1\n stats socket {} level admin\ndefaults\n mode {mode}\n timeout connect 5s\n \
         timeout client 20s\n timeout server 20s\n timeout queue 5s\n http-reuse always\n\
         frontend fe\n bind {address}:{FRONT} {bind}\n default_backend be\nbackend be\n {lines}\n",
        sock.display()
    );
    for (n, parameters) in SERVERS.iter().enumerate() {
        text += &format!(" server s{} {address}:{} {parameters}\n", n + 1, NODES + n as u16);
    }
    text
}

/// All keys over one connection.
fn pipelined(front: SocketAddr, keys: Keys) -> String {
    let mut stream = TcpStream::connect(front).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut answers = BufReader::new(stream.try_clone().expect("a copy"));
    let mut choices = String::new();
    for first in (0..KEYS).step_by(PIPELINED) {
        for n in first..(first + PIPELINED).min(KEYS) {
            stream.write_all(&keys.request(n)).expect("a request");
            if keys == Keys::Forms {
                choices.push(answer(&mut answers));
            }
        }
        while keys != Keys::Forms && choices.len() < (first + PIPELINED).min(KEYS) {
            choices.push(answer(&mut answers));
        }
    }
    choices
}

/// A connection for each key.
fn one_by_one(front: SocketAddr, keys: Keys) -> String {
    let choice = |n: usize| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if let Some(source) = keys.source(n) {
            socket.set_reuse_address(true).expect("an option");
            socket.bind(&SocketAddr::from((source, 0)).into()).expect("a source address");
        }
        socket.connect(&front.into()).expect("a connection");
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(&keys.request(n)).expect("a request");
        answer(&mut BufReader::new(stream))
    };
    (0..KEYS).map(choice).collect()
}

/// The name of the node that answered; `.` where the program did.
fn answer(from: &mut impl BufRead) -> char {
    let (mut length, mut name, mut line) = (0, '.', String::new());
    loop {
        line.clear();
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return '!';
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if let Some(value) = lower.strip_prefix("x-node:") {
            name = value.trim().chars().next().unwrap_or('?');
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).expect("a body");
    name
}
