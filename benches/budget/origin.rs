//! The node behind every proxy: the least that speaks HTTP, so that it is never what is measured.
//!
//! It answers GET requests without bodies: `/large` with 1 MiB, everything else with 14 bytes. It
//! closes after a request that says `Connection: close`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
/// The small answer of the budget: 14 bytes.
pub const SMALL_BODY: &[u8] = b"Hello, world!\n";
/// Bytes of the large answer.
pub const LARGE_BYTES: usize = 1 << 20;

/// The answers, by their place in the list.
const SMALL: usize = 0;
const CLOSE: usize = 1;
const LARGE: usize = 2;

/// Serves `127.0.0.1:port` until the process ends.
pub fn serve(port: u16) -> io::Result<()> {
    let answers =
        [answer("keep-alive", SMALL_BODY), answer("close", SMALL_BODY), answer("keep-alive", &vec![b'x'; LARGE_BYTES])];
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection> = Slab::new();
    loop {
        match poll.poll(&mut events, None) {
            // A debugger that attaches interrupts the wait.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let Some(connection) = connections.get_mut(event.token().0) else {
                continue;
            };
            if !connection.work(&answers) {
                connections.remove(event.token().0);
            }
        }
    }
}

fn answer(connection: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nConnection: {connection}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Slab<Connection>) -> io::Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        let _ = stream.set_nodelay(true);
        let entry = connections.vacant_entry();
        poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE | Interest::WRITABLE)?;
        entry.insert(Connection { stream, heads: Vec::new(), sending: None });
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    /// Received and not yet answered.
    heads: Vec<u8>,
    sending: Option<Sending>,
}

#[derive(Clone, Copy)]
struct Sending {
    answer: usize,
    sent: usize,
}

impl Connection {
    /// Answers all that can be answered now; false when the connection is over.
    fn work(&mut self, answers: &[Vec<u8>; 3]) -> bool {
        loop {
            if let Some(mut sending) = self.sending {
                let bytes = &answers[sending.answer];
                match self.stream.write(&bytes[sending.sent..]) {
                    Ok(written) => sending.sent += written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                    Err(_) => return false,
                }
                self.sending = Some(sending);
                if sending.sent < bytes.len() {
                    continue;
                }
                if sending.answer == CLOSE {
                    return false;
                }
                self.sending = None;
            }
            if let Some(end) = memmem::find(&self.heads, b"\r\n\r\n") {
                let head = &self.heads[..end];
                let answer = if head.starts_with(b"GET /large ") {
                    LARGE
                } else if memmem::find(head, b"onnection: close").is_some() {
                    CLOSE
                } else {
                    SMALL
                };
                self.sending = Some(Sending { answer, sent: 0 });
                self.heads.drain(..end + 4);
                continue;
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.heads.extend_from_slice(&buffer[..count]);
                    if memmem::find(&self.heads, b"\r\n\r\n").is_none() && count < buffer.len() {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }
}
