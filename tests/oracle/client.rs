//! A client of a conversation: it sends literal bytes and notes down what it gets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::render;
use super::support::message::{self, Kind, Progress};

/// One client connection, or what is left of it.
pub struct Client {
    stream: Option<TcpStream>,
    /// Received, and not yet claimed by a step of the script.
    pending: Vec<u8>,
    ended: Option<End>,
    notes: Vec<String>,
    /// Nothing in a script lasts longer.
    limit: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Eof,
    Reset,
}

impl Client {
    /// Connects; a refusal is noted down. Nothing that it waits for later takes longer than `limit`.
    pub fn connect(to: SocketAddr, from: Option<SocketAddr>, limit: Duration) -> Self {
        let mut client = Self { stream: None, pending: Vec::new(), ended: None, notes: Vec::new(), limit };
        match open(to, from, limit) {
            Ok(stream) => client.stream = Some(stream),
            Err(error) => client.notes.push(format!("[connect: {}]", error.kind())),
        }
        client
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream
            && let Err(error) = stream.write_all(bytes)
        {
            // How much the peer took before it closed depends on timing, that it closed does not.
            self.notes.push(format!("[send failed: {}]", kind(&error)));
        }
    }

    /// Receives a final response and all interim ones before it.
    pub fn response(&mut self, expected: Kind) {
        loop {
            let len = match message::progress(&self.pending, expected) {
                Progress::Complete(len) => len,
                Progress::UntilClose | Progress::Partial if self.more(self.limit) => continue,
                _ => {
                    let lines = render::stream(&self.pending, expected);
                    self.notes.extend(lines);
                    self.pending.clear();
                    self.note_end();
                    return;
                }
            };
            let bytes: Vec<u8> = self.pending.drain(..len).collect();
            self.notes.extend(render::message(&bytes, expected));
            if !matches!(message::status(&bytes), Some(100 | 102..=199)) {
                return;
            }
        }
    }

    /// Receives one head, of whatever status.
    pub fn head(&mut self) {
        while message::head_len(&self.pending).is_none() && self.more(self.limit) {}
        let len = message::head_len(&self.pending).unwrap_or(self.pending.len());
        let bytes: Vec<u8> = self.pending.drain(..len).collect();
        self.notes.extend(render::message(&bytes, Kind::HeadResponse));
        if len == 0 {
            self.note_end();
        }
    }

    /// Receives `count` bytes.
    pub fn receive(&mut self, count: usize) {
        while self.pending.len() < count && self.more(self.limit) {}
        let len = count.min(self.pending.len());
        let bytes: Vec<u8> = self.pending.drain(..len).collect();
        self.notes.extend(render::text(&bytes));
        if len < count {
            self.note_end();
        }
    }

    /// Receives until `text` has come, and up to its end.
    pub fn until(&mut self, text: &[u8]) {
        loop {
            let found = self.pending.windows(text.len()).position(|w| w == text);
            let len = match found {
                Some(at) => at + text.len(),
                None if self.more(self.limit) => continue,
                None => self.pending.len(),
            };
            let bytes: Vec<u8> = self.pending.drain(..len).collect();
            self.notes.extend(render::text(&bytes));
            if found.is_none() {
                self.note_end();
            }
            return;
        }
    }

    /// Receives until the peer ends the connection. `strict` tells an end from a reset.
    pub fn closed(&mut self, strict: bool) {
        while self.more(self.limit) {}
        self.note_pending();
        self.notes.push(match (self.ended, strict) {
            (None, _) => "[still open]".to_owned(),
            (Some(End::Reset), true) => "[reset]".to_owned(),
            (Some(End::Eof), true) => "[end]".to_owned(),
            (Some(_), false) => "[closed]".to_owned(),
        });
    }

    /// Takes what comes during `duration`; says whether the connection is still open then.
    pub fn quiet(&mut self, duration: Duration) {
        self.take_for(duration);
        self.note_pending();
        self.note_end();
    }

    /// Takes what comes during `duration` without a note.
    pub fn take_for(&mut self, duration: Duration) {
        let deadline = Instant::now() + duration;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.more(left) {
                return;
            }
        }
    }

    /// Half-closes.
    pub fn fin(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Closes; a reset instead of an end when `reset`.
    pub fn close(&mut self, reset: bool) {
        if let Some(stream) = self.stream.take() {
            if reset {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            // What it has not asked for it did not want to see.
            self.pending.clear();
            self.notes.push("[closed by the client]".to_owned());
        }
    }

    /// All notes; the last one tells how the connection was left.
    pub fn notes(&mut self) -> Vec<String> {
        self.note_pending();
        if self.stream.is_some() && !self.notes.last().is_some_and(|note| is_end(note)) {
            self.note_end();
        }
        self.notes.clone()
    }

    fn note_pending(&mut self) {
        let lines = render::stream(&self.pending, Kind::Response);
        self.notes.extend(lines);
        self.pending.clear();
    }

    fn note_end(&mut self) {
        self.notes.push(match self.ended {
            Some(_) => "[closed]".to_owned(),
            None => "[open]".to_owned(),
        });
    }

    /// Receives once; false at the end, or when nothing came for `limit`.
    fn more(&mut self, limit: Duration) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        if self.ended.is_some() {
            return false;
        }
        let _ = stream.set_read_timeout(Some(limit.max(Duration::from_millis(1))));
        let mut buffer = [0; 65536];
        match stream.read(&mut buffer) {
            Ok(0) => self.ended = Some(End::Eof),
            Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => self.ended = Some(End::Reset),
        }
        self.ended.is_none()
    }
}

fn is_end(note: &str) -> bool {
    matches!(note, "[open]" | "[closed]" | "[end]" | "[reset]" | "[still open]")
}

fn kind(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => "closed by the peer",
        _ => "error",
    }
}

fn open(to: SocketAddr, from: Option<SocketAddr>, limit: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(from) = from {
        socket.bind(&SockAddr::from(from))?;
    }
    socket.connect_timeout(&SockAddr::from(to), limit)?;
    socket.set_tcp_nodelay(true)?;
    let stream: TcpStream = socket.into();
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}
