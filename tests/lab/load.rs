//! A client that counts: a bounded number of connections, one request after another on each, and for
//! every request when it began and how it ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::support::message::{Kind, Progress, header, progress, status};

/// The pause after each answer: it bounds the load.
const PAUSE: Duration = Duration::from_millis(4);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: lb-node1.com\r\n\r\n";

/// Where clients go.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub address: SocketAddrV4,
    /// How long they wait for bytes of an answer.
    pub patience: Duration,
}

/// How one request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A complete answer, with its body.
    Answer { status: u16, body: String },
    /// The connection was closed or reset before the first byte of an answer.
    Closed,
    /// Anything else: a refused connection, half an answer, no answer in time.
    Broken(String),
}

impl End {
    /// Whether this is the answer that a healthy node gives.
    pub fn is_good(&self) -> bool {
        matches!(self, End::Answer { status: 200, .. })
    }

    /// Whether it came from the node of this name.
    pub fn is_from(&self, node: &str) -> bool {
        matches!(self, End::Answer { status: 200, body } if body.trim() == node)
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Record {
    pub began: Instant,
    pub end: End,
}

/// Running clients.
pub struct Load {
    stop: Arc<AtomicBool>,
    leave: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Record>>>,
}

impl Load {
    /// Starts `clients` connections from `host`.
    pub fn start(host: &Host, target: Target, clients: usize) -> Load {
        let (stop, leave) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let threads = (0..clients)
            .map(|_| {
                let (stop, leave) = (Arc::clone(&stop), Arc::clone(&leave));
                host.thread(move || run(target, &stop, &leave))
            })
            .collect();
        Load { stop, leave, threads }
    }

    /// No new connections from now on, as when a balancer in front sends clients elsewhere: each client ends with
    /// the connection that it has.
    pub fn leave(&self) {
        self.leave.store(true, Ordering::Relaxed);
    }

    /// Whether all clients have ended.
    pub fn has_left(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends the load and gives all requests.
    pub fn finish(mut self) -> Vec<Record> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(target: Target, stop: &AtomicBool, leave: &AtomicBool) -> Vec<Record> {
    let mut records = Vec::new();
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) && (connection.is_some() || !leave.load(Ordering::Relaxed)) {
        let began = Instant::now();
        let end = request(target, &mut connection);
        if !end.is_good() {
            connection = None;
        }
        records.push(Record { began, end });
        sleep(PAUSE);
    }
    records
}

/// One request on a connection of its own.
pub fn request_alone(target: Target) -> End {
    request(target, &mut None)
}

fn request(target: Target, connection: &mut Option<TcpStream>) -> End {
    if connection.is_none() {
        match connect(target) {
            Ok(stream) => *connection = Some(stream),
            Err(error) => return End::Broken(format!("connect: {error}")),
        }
    }
    let Some(stream) = connection else { return End::Broken("no connection".into()) };
    if stream.write_all(REQUEST).is_err() {
        return End::Closed;
    }
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let whole = match progress(&bytes, Kind::Response) {
            Progress::Complete(count) => Some(count),
            Progress::Nonsense => return End::Broken(String::from_utf8_lossy(&bytes).into()),
            Progress::Partial | Progress::UntilClose => None,
        };
        if whole.is_some() {
            if header(&bytes, "connection").any(|value| value.eq_ignore_ascii_case("close")) {
                *connection = None;
            }
            return answer(&bytes);
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            // An answer without a length ends here; HAProxy's own error answers are such.
            Ok(0) if progress(&bytes, Kind::Response) == Progress::UntilClose => {
                return answer(&bytes);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return End::Broken("no answer in time".into());
            }
            _ if bytes.is_empty() => return End::Closed,
            Ok(_) => return End::Broken("the answer ends early".into()),
            Err(error) => return End::Broken(format!("in the answer: {error}")),
        }
    }
}

fn connect(target: Target) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(target.address)?;
    stream.set_read_timeout(Some(target.patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn answer(bytes: &[u8]) -> End {
    let text = String::from_utf8_lossy(bytes);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_string();
    End::Answer { status: status(bytes).unwrap_or(0), body }
}
