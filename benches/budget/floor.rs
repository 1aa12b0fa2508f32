//! The floor: a relay that only receives and sends, each way, and looks at nothing.
//!
//! What it costs is what the kernel asks of any proxy for the same conversation; the table gives
//! every peer's distance from it. One server connection per client connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const BUFFER_BYTES: usize = 64 * 1024;

/// Relays `127.0.0.1:port` to `127.0.0.1:origin` until the process ends.
pub fn relay(port: u16, origin: u16) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let origin = SocketAddr::from(([127, 0, 0, 1], origin));
    let mut pairs: Slab<Pair> = Slab::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            // A debugger that attaches interrupts the wait.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, origin, &poll, &mut pairs)?;
                continue;
            }
            // Two tokens a pair: even for the client's socket, odd for the server's.
            let (key, side) = (event.token().0 / 2, event.token().0 % 2);
            let Some(pair) = pairs.get_mut(key) else {
                continue;
            };
            let mut alive = true;
            if event.is_readable() {
                alive &= pair.pump(side, &mut buffer);
            }
            if alive && event.is_writable() && pair.is_stuck(1 - side) {
                alive &= pair.pump(1 - side, &mut buffer);
            }
            if !alive {
                pairs.remove(key);
            }
        }
    }
}

fn accept(listener: &TcpListener, origin: SocketAddr, poll: &Poll, pairs: &mut Slab<Pair>) -> io::Result<()> {
    while let Ok((mut client, _)) = listener.accept() {
        let mut server = TcpStream::connect(origin)?;
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let entry = pairs.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut client, Token(2 * entry.key()), both)?;
        poll.registry().register(&mut server, Token(2 * entry.key() + 1), both)?;
        entry.insert(Pair { sockets: [client, server], pending: Default::default(), ended: [false; 2] });
    }
    Ok(())
}

struct Pair {
    sockets: [TcpStream; 2],
    /// What the other side has not taken yet, by the side that it was received from.
    pending: [Vec<u8>; 2],
    /// Whether a side has said all that it will say.
    ended: [bool; 2],
}

impl Pair {
    fn is_stuck(&self, side: usize) -> bool {
        !self.pending[side].is_empty()
    }

    /// Moves what came from `side` to the other; false when the pair is over.
    fn pump(&mut self, side: usize, buffer: &mut [u8]) -> bool {
        loop {
            if self.is_stuck(side) {
                match self.sockets[1 - side].write(&self.pending[side]) {
                    Ok(count) => drop(self.pending[side].drain(..count)),
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
                continue;
            }
            match self.sockets[side].read(buffer) {
                Ok(0) => {
                    self.ended[side] = true;
                    let _ = self.sockets[1 - side].shutdown(Shutdown::Write);
                    return !self.ended[1 - side];
                }
                Ok(count) => {
                    let sent = match self.sockets[1 - side].write(&buffer[..count]) {
                        Ok(sent) => sent,
                        // Nothing was taken: the socket is full, or still connecting.
                        Err(error) if wait(&error) => 0,
                        Err(_) => return false,
                    };
                    self.pending[side].extend_from_slice(&buffer[sent..count]);
                    // A short read has drained the socket; a short write waits for its event.
                    if sent < count || count < buffer.len() {
                        return true;
                    }
                }
                Err(error) => return wait(&error),
            }
        }
    }
}

fn wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
