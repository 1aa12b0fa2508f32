//! What to measure: rows, peers, rounds and seconds, from the command line.

use std::fmt;
use std::time::Duration;

/// One line of work that every peer is put through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// HTTP, 14-byte answers, keep-alive on both sides: the budget that ARCHITECTURE.md states.
    KeepAlive,
    /// HTTP, a client connection for each request.
    Close,
    /// HTTP, bodies of 1 MiB.
    Large,
    /// TCP mode under the small answers.
    Tcp,
    /// TCP mode under the bodies of 1 MiB.
    TcpLarge,
    /// The small answers again, by one worker; it shares all CPUs with load and origin.
    Workers1,
    /// The same by two workers.
    Workers2,
    /// From `-sf` to the first answer of the new process.
    Reload,
    /// The longest request while the process is replaced again and again.
    Longest,
    /// Requests beside 2,000 health checks a second, and what a check costs.
    Checks,
}

/// How a peer runs for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Worker processes or threads; None without any supervisor, as little as the peer can do with.
    pub workers: Option<u32>,
    /// CPUs of the peer.
    pub cpus: &'static str,
    /// CPUs of wrk and the origin node.
    pub load_cpus: &'static str,
}

/// wrk and the origin node have the first CPU, the proxy the second.
const APART: Shape = Shape { workers: None, cpus: "1", load_cpus: "0" };

impl Row {
    const ALL: [Row; 10] = [
        Row::KeepAlive,
        Row::Close,
        Row::Large,
        Row::Tcp,
        Row::TcpLarge,
        Row::Workers1,
        Row::Workers2,
        Row::Reload,
        Row::Longest,
        Row::Checks,
    ];

    fn from_name(name: &str) -> Option<Row> {
        Row::ALL.into_iter().find(|row| row.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Row::KeepAlive => "keepalive",
            Row::Close => "close",
            Row::Large => "large",
            Row::Tcp => "tcp",
            Row::TcpLarge => "tcplarge",
            Row::Workers1 => "workers1",
            Row::Workers2 => "workers2",
            Row::Reload => "reload",
            Row::Longest => "longest",
            Row::Checks => "checks",
        }
    }

    /// Heading of the row's table.
    pub fn title(self) -> &'static str {
        match self {
            Row::KeepAlive => "HTTP, keep-alive on both sides, 14-byte answers, 64 connections",
            Row::Close => "HTTP, one client connection per request, 14-byte answers, 64 at a time",
            Row::Large => "HTTP, bodies of 1 MiB, 16 connections",
            Row::Tcp => "TCP mode, 14-byte answers, 64 connections",
            Row::TcpLarge => "TCP mode, bodies of 1 MiB, 16 connections",
            Row::Workers1 => "HTTP, keep-alive, one worker or thread, both CPUs shared with the load",
            Row::Workers2 => "HTTP, keep-alive, two workers or threads, both CPUs shared with the load",
            Row::Reload => "From `-sf` to the first answer of the new process",
            Row::Longest => "The longest request, without and with reloads",
            Row::Checks => {
                "Requests without and with 2,000 servers that are checked every second, by one worker or thread"
            }
        }
    }

    /// Whether the row is about bytes rather than requests.
    pub fn is_bulk(self) -> bool {
        matches!(self, Row::Large | Row::TcpLarge)
    }

    /// Whether the proxy under test runs its TCP mode.
    pub fn is_tcp(self) -> bool {
        matches!(self, Row::Tcp | Row::TcpLarge)
    }

    /// How the peers run for this row.
    pub fn shape(self) -> Shape {
        let workers = match self {
            Row::Workers1 => 1,
            Row::Workers2 => 2,
            _ => return APART,
        };
        Shape { workers: Some(workers), cpus: "0,1", load_cpus: "0,1" }
    }

    /// What wrk is told to do.
    pub fn load(self, duration: Duration) -> Load {
        Load {
            connections: if self.is_bulk() { 16 } else { 64 },
            path: if self.is_bulk() { "/large" } else { "/" },
            close: self == Row::Close,
            cpus: self.shape().load_cpus,
            duration,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One bounded run of wrk.
#[derive(Clone, Debug)]
pub struct Load {
    pub connections: u32,
    pub path: &'static str,
    /// Ask for the connection to be closed after each answer.
    pub close: bool,
    /// Where wrk runs.
    pub cpus: &'static str,
    pub duration: Duration,
}

/// The command line, parsed.
#[derive(Debug)]
pub struct Options {
    pub rows: Vec<Row>,
    /// Names of the peers wanted, in the order of the table.
    pub peers: Vec<&'static str>,
    pub rounds: usize,
    pub seconds: u64,
    pub save: bool,
}

const PEERS: [&str; 4] = ["floor", "nginx", "haproxy", "epoxy"];

impl Options {
    /// Reads `--rows a,b --peers a,b --rounds N --seconds N --save`; an empty list means all.
    pub fn parse(arguments: &[String]) -> Result<Options, String> {
        let mut options =
            Options { rows: Row::ALL.to_vec(), peers: PEERS.to_vec(), rounds: 5, seconds: 4, save: false };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rows" => {
                    let named = list(value()?, Row::from_name)?;
                    options.rows = if named.is_empty() { Row::ALL.to_vec() } else { named };
                }
                "--peers" => {
                    let named = list(value()?, |name| PEERS.into_iter().find(|peer| *peer == name))?;
                    options.peers = if named.is_empty() { PEERS.to_vec() } else { named };
                }
                "--rounds" => options.rounds = positive(value()?)? as usize,
                "--seconds" => options.seconds = positive(value()?)?,
                "--save" => options.save = true,
                other => return Err(format!("unknown option {other}")),
            }
        }
        Ok(options)
    }
}

fn list<T>(text: &str, find: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(|name| find(name).ok_or(format!("unknown name {name}")))
        .collect()
}

fn positive(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("'{text}' is no positive number")),
    }
}
