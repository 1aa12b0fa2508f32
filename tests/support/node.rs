//! A recording node: a server on loopback that behaves as it is told and remembers every byte it got.
//!
//! A node listens on one address. Each connection follows a program, a list of [`Step`]s; without one
//! it answers every request with 200 and the node's name. All connections are kept in the order in
//! which they were accepted, see [`Node::connections`].

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::message::{self, Kind, Progress};
use super::place::bind_patiently;

/// Between two bytes of [`Step::Trickle`].
const TRICKLE: Duration = Duration::from_millis(1);

/// One thing a node does on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads until a whole request has arrived (or the peer has closed).
    ReadRequest,
    /// Reads until a whole head has arrived.
    ReadHead,
    /// Reads this many bytes.
    Read(usize),
    /// Reads whatever comes next.
    ReadAny,
    /// Reads until the peer closes its side.
    ReadEof,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes, each in a segment of its own.
    Trickle(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Answers requests with 200 and the node's name until the peer closes or asks to close.
    Serve,
    /// Closes its side and goes on reading.
    Fin,
    /// Closes both sides.
    Close,
    /// Resets the connection.
    Reset,
    /// Starts the program again.
    Loop,
}

/// How a node's address behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mood {
    /// Accepts and follows the program.
    #[default]
    Listens,
    /// Refuses connections.
    Refuses,
    /// Leaves connections unanswered: its backlog is full.
    Deaf,
}

/// Programs of a node: the one named after the connection's number, else the current default.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// For connections without a program of their own.
    pub default: Vec<Step>,
    /// For the n-th accepted connection, counted from 1.
    pub numbered: Vec<(usize, Vec<Step>)>,
}

/// What a node knows of one connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// All bytes received.
    pub bytes: Vec<u8>,
    /// True when the peer closed or reset the connection before the node ended it.
    pub closed_by_peer: bool,
    /// True when the node closed or reset the connection.
    pub closed_by_node: bool,
}

/// A node; dropped, it closes all its sockets and joins its threads.
pub struct Node {
    name: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<Accepting>,
}

struct Accepting {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Connections of its own that fill the backlog of a deaf node.
    _fillers: Vec<Socket>,
    _socket: Option<Socket>,
}

#[derive(Default)]
struct Shared {
    programs: Mutex<Programs>,
    connections: Mutex<Vec<Connection>>,
    sockets: Mutex<Vec<TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    /// Starts a node on `address`.
    pub fn start(name: &str, address: SocketAddr, mood: Mood, programs: Programs) -> io::Result<Self> {
        let shared = Arc::new(Shared { programs: Mutex::new(programs), ..Shared::default() });
        let mut node = Self { name: name.to_owned(), address, shared, accepting: None };
        node.set_mood(mood)?;
        Ok(node)
    }

    /// Makes the address listen, refuse or stay silent from now on; connections go on.
    pub fn set_mood(&mut self, mood: Mood) -> io::Result<()> {
        self.stop_accepting();
        self.accepting = match mood {
            Mood::Refuses => None,
            Mood::Listens => Some(self.listen()?),
            Mood::Deaf => Some(self.be_deaf()?),
        };
        Ok(())
    }

    /// Changes the program of later connections.
    pub fn play(&self, program: Vec<Step>) {
        *self.shared.programs.lock().unwrap() = Programs { default: program, numbered: Vec::new() };
    }

    /// Every connection so far, in the order of acceptance.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.connections.lock().unwrap().clone()
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn listen(&self) -> io::Result<Accepting> {
        let listener: TcpListener = self.bind(128)?.into();
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped, name) = (Arc::clone(&self.shared), Arc::clone(&stop), self.name.clone());
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                shared.serve(stream, &name);
            }
        });
        Ok(Accepting { stop, thread: Some(thread), _fillers: Vec::new(), _socket: None })
    }

    fn be_deaf(&self) -> io::Result<Accepting> {
        let socket = self.bind(0)?;
        let mut fillers = Vec::new();
        for _ in 0..3 {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            filler.set_nonblocking(true)?;
            // In progress, or refused because the backlog is full already: both are what we want.
            let _ = filler.connect(&SockAddr::from(self.address));
            fillers.push(filler);
        }
        Ok(Accepting { stop: Arc::default(), thread: None, _fillers: fillers, _socket: Some(socket) })
    }

    fn bind(&self, backlog: i32) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        bind_patiently(|| socket.bind(&SockAddr::from(self.address)))?;
        bind_patiently(|| socket.listen(backlog))?;
        Ok(socket)
    }

    fn stop_accepting(&mut self) {
        let Some(mut accepting) = self.accepting.take() else {
            return;
        };
        accepting.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = accepting.thread.take() {
            // Wakes the thread up, which then sees that it shall stop.
            let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop_accepting();
        for socket in self.shared.sockets.lock().unwrap().iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let threads = std::mem::take(&mut *self.shared.threads.lock().unwrap());
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, stream: TcpStream, name: &str) {
        let index = {
            let mut connections = self.connections.lock().unwrap();
            connections.push(Connection::default());
            connections.len() - 1
        };
        if let Ok(socket) = stream.try_clone() {
            self.sockets.lock().unwrap().push(socket);
        }
        let _ = stream.set_nodelay(true);
        let program = {
            let programs = self.programs.lock().unwrap();
            let numbered = programs.numbered.iter().find(|(n, _)| *n == index + 1);
            numbered.map_or_else(|| programs.default.clone(), |(_, program)| program.clone())
        };
        let mut player =
            Player { shared: Arc::clone(self), index, stream, name: name.to_owned(), pending: Vec::new(), open: true };
        let thread = thread::spawn(move || player.play(&program));
        let mut threads = self.threads.lock().unwrap();
        // Those that have ended keep their stacks until they are joined or let go.
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }
}

/// One connection and the bytes of it that the program has not looked at.
struct Player {
    shared: Arc<Shared>,
    index: usize,
    stream: TcpStream,
    name: String,
    pending: Vec<u8>,
    open: bool,
}

impl Player {
    fn play(&mut self, program: &[Step]) {
        let program = if program.is_empty() { &[Step::Serve][..] } else { program };
        let mut at = 0;
        while let Some(step) = program.get(at) {
            at += 1;
            match step {
                Step::Loop if self.open => at = 0,
                Step::Close | Step::Reset => {
                    if *step == Step::Reset {
                        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                    }
                    return self.end();
                }
                step => {
                    // Only a connection that the peer has ended refuses bytes.
                    if self.open && self.step(step).is_err() {
                        self.open = false;
                        self.with(|connection| connection.closed_by_peer = true);
                    }
                }
            }
        }
        while self.open && self.more() {}
        self.forget();
    }

    fn end(&mut self) {
        self.with(|connection| connection.closed_by_node = true);
        self.forget();
    }

    /// Drops the other copy of the socket, so that it is closed with the player.
    fn forget(&mut self) {
        let me = self.stream.peer_addr().ok();
        let mut sockets = self.shared.sockets.lock().unwrap();
        sockets.retain(|socket| socket.peer_addr().ok() != me);
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::ReadRequest => {
                self.read_message();
            }
            Step::ReadHead => {
                while message::head_len(&self.pending).is_none() && self.more() {}
                let len = message::head_len(&self.pending).unwrap_or(self.pending.len());
                self.pending.drain(..len);
            }
            Step::Read(count) => {
                while self.pending.len() < *count && self.more() {}
                let len = self.pending.len().min(*count);
                self.pending.drain(..len);
            }
            Step::ReadAny => {
                if self.pending.is_empty() {
                    self.more();
                }
                self.pending.clear();
            }
            Step::ReadEof => while self.more() {},
            Step::Send(bytes) => self.stream.write_all(bytes)?,
            Step::Trickle(bytes) => {
                for byte in bytes {
                    self.stream.write_all(&[*byte])?;
                    thread::sleep(TRICKLE);
                }
            }
            Step::Pause(duration) => thread::sleep(*duration),
            Step::Serve => self.answer_all()?,
            Step::Fin => self.stream.shutdown(Shutdown::Write)?,
            Step::Close | Step::Reset | Step::Loop => {}
        }
        Ok(())
    }

    fn answer_all(&mut self) -> io::Result<()> {
        while let Some(request) = self.read_message() {
            let is_head = request.starts_with(b"HEAD ");
            let body = if is_head { "" } else { self.name.as_str() };
            let head = format!(
                "HTTP/1.1 200 OK\r\nX-Node: {}\r\nContent-Length: {}\r\n\r\n{body}",
                self.name,
                self.name.len()
            );
            self.stream.write_all(head.as_bytes())?;
            let len = message::head_len(&request).unwrap_or(request.len());
            let close = message::header(&request[..len], "connection").any(|value| value.eq_ignore_ascii_case("close"));
            if close {
                self.stream.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }

    /// The next request; `None` when the peer closed first or sent something else.
    fn read_message(&mut self) -> Option<Vec<u8>> {
        loop {
            match message::progress(&self.pending, Kind::Request) {
                Progress::Complete(len) => return Some(self.pending.drain(..len).collect()),
                Progress::Partial => {
                    if !self.more() {
                        return None;
                    }
                }
                Progress::UntilClose | Progress::Nonsense => return None,
            }
        }
    }

    /// Receives once; false when nothing will come any more.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.pending.extend_from_slice(&buffer[..count]);
                self.with(|connection| connection.bytes.extend_from_slice(&buffer[..count]));
                true
            }
            Ok(0) | Err(_) => {
                self.open = false;
                self.with(|connection| connection.closed_by_peer = true);
                false
            }
        }
    }

    fn with(&self, change: impl FnOnce(&mut Connection)) {
        change(&mut self.shared.connections.lock().unwrap()[self.index]);
    }
}
