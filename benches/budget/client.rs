//! Clients that time each of their requests: some keep their connection, some open one for each request.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::origin::SMALL_BODY;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two requests, so that the clients do not take the CPU from the proxy.
const PAUSE: Duration = Duration::from_millis(2);

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How long each request took.
    pub times: Vec<Duration>,
    /// Requests that got no answer, and connections that could not be opened.
    pub failed: u64,
}

impl Seen {
    /// Adds what others saw.
    pub fn add(&mut self, other: Seen) {
        self.times.extend(other.times);
        self.failed += other.failed;
    }

    /// The time, in milliseconds, that this share of the requests did not exceed; to be asked once they are sorted.
    pub fn within_ms(&self, share: f64) -> f64 {
        let index = (self.times.len() as f64 * share) as usize;
        let time = self.times.get(index.min(self.times.len().saturating_sub(1))).copied();
        time.unwrap_or_default().as_secs_f64() * 1000.0
    }
}

/// Clients at work.
pub struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Clients {
    /// Starts `count` clients; every second one keeps its connection.
    pub fn start(port: u16, count: usize) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .map(|index| {
                let stop = Arc::clone(&stop);
                spawn(move || run(port, index % 2 == 0, &stop))
            })
            .collect();
        Clients { stop, threads }
    }

    /// Lets each finish its request.
    pub fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Seen::default();
        for seen in self.threads.into_iter().filter_map(|thread| thread.join().ok()) {
            sum.add(seen);
        }
        sum
    }
}

fn run(port: u16, keeps: bool, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut kept: Option<TcpStream> = None;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        // A kept connection may be closed just now: as every client, this one tries once more.
        let answer = kept.take().and_then(|stream| exchange(stream, keeps)).or_else(|| {
            let stream = TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()?;
            exchange(stream, keeps)
        });
        match answer {
            Some(answer) => {
                seen.times.push(begun.elapsed());
                kept = answer.stream;
            }
            None => seen.failed += 1,
        }
        sleep(PAUSE);
    }
    seen
}

/// One request on a connection of its own; the head of the answer, if there is one.
pub fn ask(port: u16) -> Option<Vec<u8>> {
    let stream = TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()?;
    exchange(stream, false).map(|answer| answer.bytes)
}

struct Answer {
    bytes: Vec<u8>,
    /// The connection, if both sides keep it.
    stream: Option<TcpStream>,
}

fn exchange(mut stream: TcpStream, keeps: bool) -> Option<Answer> {
    let request: &[u8] = if keeps {
        b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
    } else {
        b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
    };
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request).ok()?;
    let mut bytes = Vec::new();
    let mut room = [0; 2048];
    while !bytes.ends_with(SMALL_BODY) {
        match stream.read(&mut room) {
            Ok(0) => return None,
            Ok(count) => bytes.extend_from_slice(&room[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    if !bytes.starts_with(b"HTTP/1.1 200 ") {
        return None;
    }
    let closes = !keeps || memmem::find(&bytes, b"onnection: close").is_some();
    Some(Answer { bytes, stream: (!closes).then_some(stream) })
}
