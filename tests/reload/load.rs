//! Clients that count: every connection they try to open and every request they send comes to an end that is
//! written down.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::message::{self, Kind, Progress};

/// What the clients got.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Connections tried.
    pub connects: u64,
    /// Requests answered with 200.
    pub answered: u64,
    /// Requests sent again on a new connection, because the kept-alive one was closed before a single byte of
    /// the answer (RFC 9112 9.3.1).
    pub retried: u64,
    /// Kept-alive connections that were found closed before a request was sent on them.
    pub closed_idle: u64,
    /// Answers that announced the end of the connection.
    pub closed_by_answer: u64,
    /// Connections that could not be opened.
    pub failed_connects: u64,
    /// Requests that got no complete 200.
    pub failed_requests: u64,
    /// The longest time of a request.
    pub longest: Duration,
    /// What failed, in words, and how often.
    pub reasons: BTreeMap<String, u64>,
    /// The processes, by header `X-Worker` of earlier answers, on which requests failed or had to be sent again.
    pub lost_on: BTreeMap<Option<u32>, u64>,
}

impl Count {
    fn add(&mut self, other: &Count) {
        self.connects += other.connects;
        self.answered += other.answered;
        self.retried += other.retried;
        self.closed_idle += other.closed_idle;
        self.closed_by_answer += other.closed_by_answer;
        self.failed_connects += other.failed_connects;
        self.failed_requests += other.failed_requests;
        self.longest = self.longest.max(other.longest);
        for (reason, times) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += times;
        }
        for (worker, times) in &other.lost_on {
            *self.lost_on.entry(*worker).or_default() += times;
        }
    }

    /// Every connection was opened and every request answered.
    pub fn assert_nothing_lost(&self) {
        eprintln!("{self:?}");
        assert_eq!((self.failed_connects, self.failed_requests), (0, 0), "{:?}", self.reasons);
        assert!(self.answered > 100, "there was load: {self:?}");
    }

    fn blame(&mut self, reason: String) {
        *self.reasons.entry(reason).or_default() += 1;
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// What it asks for.
    pub path: &'static str,
    /// Requests on a connection before it opens another one.
    pub requests: u32,
    /// Longest pause between two requests; each is different.
    pub pause: Duration,
}

/// 30 clients: some never pause, some do, some open a connection for each request, some wait for long.
pub fn crowd() -> Vec<Habit> {
    let habit = |path, requests, pause_ms| Habit { path, requests, pause: Duration::from_millis(pause_ms) };
    let kinds = [
        (4, habit("/", u32::MAX, 0)),
        (10, habit("/", u32::MAX, 20)),
        (4, habit("/", 10, 5)),
        (8, habit("/", 1, 2)),
        (4, habit("/slow", u32::MAX, 5)),
    ];
    kinds.iter().flat_map(|(times, habit)| vec![*habit; *times]).collect()
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    total: Arc<Mutex<Count>>,
    threads: Vec<JoinHandle<()>>,
}

/// No request takes that long unless it is lost.
const PATIENCE: Duration = Duration::from_secs(5);

impl Load {
    /// Starts a client for each of `habits`.
    pub fn start(address: SocketAddrV4, habits: &[Habit]) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let total = Arc::new(Mutex::new(Count::default()));
        let spawn = |(index, habit): (usize, &Habit)| {
            let (stop, total, habit) = (Arc::clone(&stop), Arc::clone(&total), *habit);
            thread::spawn(move || {
                let mut client = Client::new(address, habit, index as u64);
                while !stop.load(Ordering::Relaxed) {
                    client.turn();
                }
                total.lock().unwrap().add(&client.count);
            })
        };
        let threads = habits.iter().enumerate().map(spawn).collect();
        Load { stop, total, threads }
    }

    /// Lets every client finish its request, and tells what all of them got.
    pub fn finish(self) -> Count {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client");
        }
        self.total.lock().unwrap().clone()
    }
}

struct Client {
    address: SocketAddrV4,
    habit: Habit,
    kept: Option<TcpStream>,
    used: u32,
    /// Who answered last on the connection.
    worker: Option<u32>,
    random: u64,
    count: Count,
}

/// How a request ended without an answer.
enum Lost {
    /// Before a byte of the answer came.
    Untouched(io::Error),
    /// Later.
    Cut(String),
}

impl Client {
    fn new(address: SocketAddrV4, habit: Habit, index: u64) -> Client {
        let random = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Client { address, habit, kept: None, used: 0, worker: None, random, count: Count::default() }
    }

    fn turn(&mut self) {
        let started = Instant::now();
        self.request();
        self.count.longest = self.count.longest.max(started.elapsed());
        let pause_us = self.habit.pause.as_micros() as u64;
        if pause_us > 0 {
            // xorshift: any spread will do.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            thread::sleep(Duration::from_micros(self.random % pause_us));
        }
    }

    fn request(&mut self) {
        if let Some(stream) = self.kept.take() {
            if is_closed(&stream) {
                self.count.closed_idle += 1;
            } else {
                match self.exchange(stream) {
                    Ok(()) => return,
                    Err(Lost::Untouched(_)) => {
                        self.count.retried += 1;
                        *self.count.lost_on.entry(self.worker).or_default() += 1;
                    }
                    Err(Lost::Cut(reason)) => return self.fail(reason),
                }
            }
        }
        (self.used, self.worker) = (0, None);
        self.count.connects += 1;
        let stream = match TcpStream::connect_timeout(&self.address.into(), PATIENCE) {
            Ok(stream) => stream,
            Err(error) => {
                self.count.failed_connects += 1;
                self.count.blame(format!("connect: {error}"));
                // Not a storm of refused connections.
                return thread::sleep(Duration::from_millis(5));
            }
        };
        match self.exchange(stream) {
            Ok(()) => {}
            Err(Lost::Untouched(error)) => self.fail(format!("on a new connection: {error}")),
            Err(Lost::Cut(reason)) => self.fail(reason),
        }
    }

    fn fail(&mut self, reason: String) {
        self.count.failed_requests += 1;
        *self.count.lost_on.entry(self.worker).or_default() += 1;
        self.count.blame(reason);
    }

    /// One request and its answer; keeps the connection if both sides want that.
    fn exchange(&mut self, mut stream: TcpStream) -> Result<(), Lost> {
        self.used += 1;
        let last = self.used >= self.habit.requests;
        let close = if last { "Connection: close\r\n" } else { "" };
        let request = format!("GET {} HTTP/1.1\r\nHost: reload\r\n{close}\r\n", self.habit.path);
        stream.set_read_timeout(Some(PATIENCE)).map_err(Lost::Untouched)?;
        stream.write_all(request.as_bytes()).map_err(Lost::Untouched)?;
        let mut answer = Vec::new();
        let mut room = [0; 4096];
        let len = loop {
            match message::progress(&answer, Kind::Response) {
                Progress::Complete(len) => break len,
                Progress::Partial => {}
                other => return Err(Lost::Cut(format!("answer: {other:?}"))),
            }
            match stream.read(&mut room) {
                Ok(0) if answer.is_empty() => return Err(Lost::Untouched(io::ErrorKind::UnexpectedEof.into())),
                Ok(0) => return Err(Lost::Cut("closed within the answer".to_owned())),
                Ok(got) => answer.extend_from_slice(&room[..got]),
                Err(error) if answer.is_empty() && !is_timeout(&error) => return Err(Lost::Untouched(error)),
                Err(error) => return Err(Lost::Cut(format!("within the answer: {error}"))),
            }
        };
        if len != answer.len() || !answer.starts_with(b"HTTP/1.1 200 ") {
            let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(Lost::Cut(String::from_utf8_lossy(line).into_owned()));
        }
        self.count.answered += 1;
        self.worker = message::header(&answer, "x-worker").next().and_then(|pid| pid.parse().ok());
        let mut connection = message::header(&answer, "connection");
        let closes = connection.any(|value| value.eq_ignore_ascii_case("close"));
        if closes && !last {
            self.count.closed_by_answer += 1;
        }
        self.kept = (!closes && !last).then_some(stream);
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether the peer has closed a connection that nothing is expected on.
fn is_closed(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let open = peeked.is_err_and(|error| is_timeout(&error));
    stream.set_nonblocking(false).is_err() || !open
}
