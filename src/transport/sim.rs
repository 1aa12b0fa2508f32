//! Simulated sockets and a simulated network, for conversations on virtual time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::token::Token;

/// What one direction holds, and who wants to know.
#[derive(Debug, Default)]
struct Direction {
    bytes: VecDeque<u8>,
    capacity: usize,
    ended: bool,
    reset: bool,
    /// The sender was refused for lack of room and wants to hear of some.
    starved: bool,
}

#[derive(Debug, Default)]
struct Shared {
    directions: [Direction; 2],
    tokens: [Option<Token>; 2],
    established: bool,
    refused: Option<ErrorKind>,
    reset_on_close: [bool; 2],
    closed: [bool; 2],
}

/// Readiness that the simulated kernel reports: token, readable, writable, hangup.
pub type Event = (Token, bool, bool, bool);

/// The readiness events of all simulated sockets.
pub type Events = Rc<RefCell<VecDeque<Event>>>;

/// One end of a simulated connection; dropping it closes it.
#[derive(Debug)]
pub struct End {
    shared: Rc<RefCell<Shared>>,
    side: usize,
    events: Events,
}

/// A connected pair whose directions hold `capacity` bytes each.
pub fn pair(events: &Events, capacity: usize) -> (End, End) {
    let direction = || Direction { capacity, ..Direction::default() };
    let shared = Shared { directions: [direction(), direction()], established: true, ..Shared::default() };
    let shared = Rc::new(RefCell::new(shared));
    let end = |side| End { shared: shared.clone(), side, events: events.clone() };
    (end(0), end(1))
}

impl End {
    /// Events of this end are reported with `token` from now on; what is ready already is reported at once.
    pub fn register(&self, token: Token) {
        let mut shared = self.shared.borrow_mut();
        shared.tokens[self.side] = Some(token);
        let incoming = &shared.directions[1 - self.side];
        let over = incoming.ended || incoming.reset || shared.refused.is_some();
        if shared.established || over {
            self.events.borrow_mut().push_back((token, over || !incoming.bytes.is_empty(), true, over));
        }
    }

    /// Makes the connection one whose handshake has not been answered yet.
    pub fn set_connecting(&self) {
        self.shared.borrow_mut().established = false;
    }

    /// Answers the handshake.
    pub fn establish(&self) {
        self.shared.borrow_mut().established = true;
        self.tell_peer(false, true, false);
    }

    /// Refuses the handshake.
    pub fn refuse(&self, kind: ErrorKind) {
        self.shared.borrow_mut().refused = Some(kind);
        self.tell_peer(true, true, true);
    }

    /// See [`super::Stream::recv`].
    pub fn recv(&self, room: &mut Vec<u8>) -> io::Result<usize> {
        let mut shared = self.shared.borrow_mut();
        let incoming = &mut shared.directions[1 - self.side];
        if incoming.bytes.is_empty() {
            // As with the kernel, what came before a reset can still be read.
            if incoming.reset {
                return Err(ErrorKind::ConnectionReset.into());
            }
            return if incoming.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let n = (room.capacity() - room.len()).min(incoming.bytes.len());
        room.extend(incoming.bytes.drain(..n));
        let starved = std::mem::take(&mut incoming.starved);
        drop(shared);
        if starved {
            self.tell_peer(false, true, false);
        }
        Ok(n)
    }

    /// See [`super::Stream::send`].
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut shared = self.shared.borrow_mut();
        if !shared.established {
            return Err(ErrorKind::WouldBlock.into());
        }
        if shared.directions[1 - self.side].reset || shared.directions[self.side].ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if shared.closed[1 - self.side] {
            // The bytes leave; a reset comes back.
            shared.directions[1 - self.side].reset = true;
            drop(shared);
            self.tell_self();
            return Ok(bytes.len());
        }
        let outgoing = &mut shared.directions[self.side];
        let n = (outgoing.capacity - outgoing.bytes.len()).min(bytes.len());
        if n == 0 && !bytes.is_empty() {
            outgoing.starved = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        outgoing.bytes.extend(&bytes[..n]);
        drop(shared);
        self.tell_peer(true, false, false);
        Ok(n)
    }

    /// See [`super::Stream::shutdown_write`].
    pub fn shutdown_write(&self) {
        self.shared.borrow_mut().directions[self.side].ended = true;
        self.tell_peer(true, false, true);
    }

    /// Breaks the connection for the peer.
    pub fn reset(&self) {
        self.shared.borrow_mut().directions[self.side].reset = true;
        self.tell_peer(true, true, true);
    }

    /// See [`super::Stream::reset_on_close`].
    pub fn reset_on_close(&self) {
        self.shared.borrow_mut().reset_on_close[self.side] = true;
    }

    /// See [`super::Stream::take_error`].
    pub fn take_error(&self) -> Option<io::Error> {
        self.shared.borrow().refused.map(io::Error::from)
    }

    /// Everything that the peer has sent, and whether it ended or broke its direction.
    pub fn drain(&self) -> (Vec<u8>, bool) {
        let mut got = Vec::with_capacity(1 << 20);
        while matches!(self.recv(&mut got), Ok(n) if n > 0) {}
        let shared = self.shared.borrow();
        let incoming = &shared.directions[1 - self.side];
        (got, incoming.ended || incoming.reset)
    }

    fn tell_self(&self) {
        if let Some(token) = self.shared.borrow().tokens[self.side] {
            self.events.borrow_mut().push_back((token, true, true, true));
        }
    }

    fn tell_peer(&self, readable: bool, writable: bool, hangup: bool) {
        if let Some(token) = self.shared.borrow().tokens[1 - self.side] {
            self.events.borrow_mut().push_back((token, readable, writable, hangup));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.closed[self.side] = true;
        shared.tokens[self.side] = None;
        let unread = !shared.directions[1 - self.side].bytes.is_empty();
        // A close with bytes unread is a reset, as with the kernel.
        let reset = shared.reset_on_close[self.side] || unread;
        drop(shared);
        if reset {
            self.reset();
        } else {
            let was_ended = std::mem::replace(&mut self.shared.borrow_mut().directions[self.side].ended, true);
            if !was_ended {
                self.tell_peer(true, false, true);
            }
        }
    }
}
