//! A scripted name server on loopback, by UDP and by TCP, that notes what it is asked and lies where it is told to.
//!
//! What it answers is a list of lines; the first one that applies to a question counts:
//!
//! ```text
//! [first N|past N|every N] NAME TYPE FAULT… REPLY
//! ```
//!
//! `first`, `past` and `every` count the questions that a line is about (`every 4`: the fourth, the eighth, ...). NAME and
//! TYPE may be `*`. Faults are those of [`message::Fault::parse`], and `after=MS` (late), `twice`, `elsewhere` (from
//! another port), `piecewise` (by TCP: octet by octet). The reply is one of
//!
//! - `is DATA, DATA… [with NAME DATA, …]`: records, where DATA is an address, `cname NAME` (what follows is about that
//!   name), or `PRIORITY WEIGHT PORT TARGET`; behind `with` stands the additional section;
//! - `many N`: so many addresses, 10.0.0.1 and on;
//! - `nx`, `refused`, `servfail`, `formerr`, `notimp`: such codes; `empty`: no error and no record;
//! - `silent`: nothing; `closes`: by TCP, the connection is closed.
//!
//! What no line is about does not exist (`nx`).

pub mod message;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::message::{Data, Fault, Question};
use super::place::bind_patiently;

/// How long a thread sleeps before it looks whether it shall stop.
const POLL: Duration = Duration::from_millis(20);

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    when: When,
    name: Option<String>,
    kind: Option<u16>,
    faults: Vec<Fault>,
    manner: Manner,
    reply: Reply,
    asked: usize,
}

#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    First(usize),
    Past(usize),
    Every(usize),
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    after: Duration,
    twice: bool,
    elsewhere: bool,
    piecewise: bool,
}

#[derive(Clone, Debug)]
enum Reply {
    Records { answers: Vec<Data>, additional: Vec<(String, Data)> },
    Code(u8),
    Silence,
    Close,
}

/// The server; dropped, it closes its sockets.
pub struct NameServer {
    name: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<Serving>,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<Vec<Line>>,
    /// Questions in words.
    asked: Mutex<Vec<String>>,
}

struct Serving {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What to send, and how.
struct Answer {
    bytes: Vec<u8>,
    manner: Manner,
    closes: bool,
}

/// Parses lines; empty ones and comments are skipped.
///
/// # Errors
/// What is wrong with which line.
pub fn parse_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Line>, String> {
    let lines = lines.into_iter().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.parse().map_err(|why| format!("{why} in `{line}`"))).collect()
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Line, String> {
        let mut words = text.split_whitespace().peekable();
        let mut when = When::Always;
        if let Some(of) = words.next_if(|word| matches!(*word, "first" | "past" | "every")) {
            let n = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).ok_or("a count is missing")?;
            when = match of {
                "first" => When::First(n),
                "past" => When::Past(n),
                _ => When::Every(n),
            };
        }
        let name = words.next().filter(|name| *name != "*").map(str::to_ascii_lowercase);
        let kind = match words.next().ok_or("a type is missing")? {
            "*" => None,
            kind => Some(message::type_number(kind).ok_or("there is no such type")?),
        };
        let (mut faults, mut manner) = (Vec::new(), Manner::default());
        while let Some(word) = words.peek().copied() {
            if let Some(ms) = word.strip_prefix("after=") {
                manner.after = Duration::from_millis(ms.parse().map_err(|_| "no number of milliseconds")?);
            } else if let Some(fault) = Fault::parse(word) {
                faults.push(fault);
            } else {
                match word {
                    "twice" => manner.twice = true,
                    "elsewhere" => manner.elsewhere = true,
                    "piecewise" => manner.piecewise = true,
                    _ => break,
                }
            }
            words.next();
        }
        let verb = words.next().ok_or("a reply is missing")?;
        let rest = words.collect::<Vec<_>>().join(" ");
        let reply = parse_reply(verb, &rest)?;
        Ok(Line { when, name, kind, faults, manner, reply, asked: 0 })
    }
}

fn parse_reply(verb: &str, rest: &str) -> Result<Reply, String> {
    Ok(match verb {
        "is" => {
            let (answers, additional) = rest.split_once(" with ").unwrap_or((rest, ""));
            let answers = pieces(answers).map(parse_data).collect::<Result<_, _>>()?;
            let additional = pieces(additional).map(|piece| {
                let (name, data) = piece.split_once(' ').ok_or("a name and its record are wanted")?;
                Ok((name.to_owned(), parse_data(data)?))
            });
            Reply::Records { answers, additional: additional.collect::<Result<_, String>>()? }
        }
        "many" => {
            let count: u32 = rest.parse().map_err(|_| "a count is missing")?;
            let address = |n| Data::Address(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
            Reply::Records { answers: (1..=count).map(address).collect(), additional: Vec::new() }
        }
        "empty" => Reply::Code(0),
        "formerr" => Reply::Code(1),
        "servfail" => Reply::Code(2),
        "nx" => Reply::Code(3),
        "notimp" => Reply::Code(4),
        "refused" => Reply::Code(5),
        "silent" => Reply::Silence,
        "closes" => Reply::Close,
        _ => return Err(format!("`{verb}` is no reply")),
    })
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty())
}

fn parse_data(text: &str) -> Result<Data, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    match words[..] {
        ["cname", name] => Ok(Data::Cname(name.to_owned())),
        [address] => address.parse().map(Data::Address).map_err(|_| format!("`{address}` is no address")),
        [priority, weight, port, target] => Ok(Data::Srv {
            priority: number(priority)?,
            weight: number(weight)?,
            port: number(port)?,
            target: target.to_owned(),
        }),
        _ => Err(format!("`{text}` is no record")),
    }
}

impl Line {
    /// Whether it is about this question and its turn has come.
    fn applies(&mut self, question: &Question) -> bool {
        let about = self.name.as_ref().is_none_or(|name| question.name.eq_ignore_ascii_case(name))
            && self.kind.is_none_or(|kind| kind == question.kind);
        if !about {
            return false;
        }
        self.asked += 1;
        match self.when {
            When::Always => true,
            When::First(n) => self.asked <= n,
            When::Past(n) => self.asked > n,
            When::Every(n) => self.asked.is_multiple_of(n),
        }
    }

    fn answer(&self, question: &Question) -> Option<Answer> {
        let (code, answers, additional) = match &self.reply {
            Reply::Records { answers, additional } => (0, &answers[..], &additional[..]),
            Reply::Code(code) => (*code, &[][..], &[][..]),
            Reply::Silence => return None,
            Reply::Close => return Some(Answer { bytes: Vec::new(), manner: self.manner, closes: true }),
        };
        let bytes = message::answer(question, code, answers, additional, &self.faults);
        Some(Answer { bytes, manner: self.manner, closes: false })
    }
}

impl NameServer {
    /// Starts it on `address`.
    pub fn start(name: &str, address: SocketAddr, lines: Vec<Line>) -> io::Result<NameServer> {
        let shared = Arc::new(Shared { lines: Mutex::new(lines), ..Shared::default() });
        let mut server = NameServer { name: name.to_owned(), address, shared, serving: None };
        server.listen()?;
        Ok(server)
    }

    /// Opens its sockets if they are closed.
    pub fn listen(&mut self) -> io::Result<()> {
        if self.serving.is_some() {
            return Ok(());
        }
        let udp = bind_patiently(|| UdpSocket::bind(self.address))?;
        let tcp = bind_patiently(|| TcpListener::bind(self.address))?;
        udp.set_read_timeout(Some(POLL))?;
        tcp.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&self.shared), Arc::clone(&stop));
        let datagrams = thread::spawn(move || shared.serve_udp(&udp, &stopped));
        let (shared, stopped) = (Arc::clone(&self.shared), Arc::clone(&stop));
        let connections = thread::spawn(move || shared.serve_tcp(&tcp, &stopped));
        self.serving = Some(Serving { stop, threads: vec![datagrams, connections] });
        Ok(())
    }

    /// Closes its sockets.
    pub fn refuse(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop.store(true, Ordering::Relaxed);
            for thread in serving.threads {
                let _ = thread.join();
            }
        }
    }

    /// Changes what it answers from now on.
    pub fn play(&self, lines: Vec<Line>) {
        *self.shared.lines.lock().unwrap() = lines;
    }

    /// The questions so far, in words.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The server's name in scripts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Shared {
    /// Notes a question and looks up what it gets.
    fn reply(&self, bytes: &[u8], way: &str) -> Option<Answer> {
        let Some(question) = Question::parse(bytes) else {
            self.asked.lock().unwrap().push(format!("{way}: no question: {}", bytes.escape_ascii()));
            return None;
        };
        self.asked.lock().unwrap().push(format!("{way}: {}", question.describe()));
        let mut lines = self.lines.lock().unwrap();
        match lines.iter_mut().find_map(|line| line.applies(&question).then(|| line.clone())) {
            Some(line) => line.answer(&question),
            None => {
                let bytes = message::answer(&question, 3, &[], &[], &[]);
                Some(Answer { bytes, manner: Manner::default(), closes: false })
            }
        }
    }

    fn serve_udp(&self, socket: &UdpSocket, stop: &AtomicBool) {
        let mut buffer = [0; 65536];
        while !stop.load(Ordering::Relaxed) {
            let Ok((count, peer)) = socket.recv_from(&mut buffer) else { continue };
            let Some(answer) = self.reply(&buffer[..count], "udp") else { continue };
            let Ok(socket) = socket.try_clone() else { continue };
            if answer.manner.after.is_zero() {
                send(&socket, peer, &answer);
            } else {
                thread::spawn(move || {
                    thread::sleep(answer.manner.after);
                    send(&socket, peer, &answer);
                });
            }
        }
    }

    fn serve_tcp(self: &Arc<Self>, listener: &TcpListener, stop: &Arc<AtomicBool>) {
        let mut threads = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => {
                    let (shared, stop) = (Arc::clone(self), Arc::clone(stop));
                    threads.push(thread::spawn(move || drop(shared.converse(stream, &stop))));
                }
                Err(_) => thread::sleep(POLL / 4),
            }
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn converse(&self, mut stream: TcpStream, stop: &AtomicBool) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(POLL))?;
        let mut pending = Vec::new();
        let mut buffer = [0; 4096];
        while !stop.load(Ordering::Relaxed) {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => pending.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            while let Some(length) = pending.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))) {
                if pending.len() < 2 + length {
                    break;
                }
                let message: Vec<u8> = pending.drain(..2 + length).skip(2).collect();
                let Some(answer) = self.reply(&message, "tcp") else { continue };
                thread::sleep(answer.manner.after);
                if answer.closes {
                    return Ok(());
                }
                write(&mut stream, &answer)?;
            }
        }
        Ok(())
    }
}

fn send(socket: &UdpSocket, peer: SocketAddr, answer: &Answer) {
    if answer.closes {
        return;
    }
    let other = socket.local_addr().ok().filter(|_| answer.manner.elsewhere);
    let other = other.and_then(|address| UdpSocket::bind((address.ip(), 0)).ok());
    for _ in 0..if answer.manner.twice { 2 } else { 1 } {
        // A client that has left is not the server's concern.
        let _ = other.as_ref().unwrap_or(socket).send_to(&answer.bytes, peer);
    }
}

fn write(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let length = u16::try_from(answer.bytes.len()).unwrap_or(u16::MAX);
    let framed = [&length.to_be_bytes()[..], &answer.bytes].concat();
    for _ in 0..if answer.manner.twice { 2 } else { 1 } {
        if answer.manner.piecewise {
            for octet in &framed {
                stream.write_all(&[*octet])?;
                thread::sleep(Duration::from_millis(1));
            }
        } else {
            stream.write_all(&framed)?;
        }
    }
    Ok(())
}
