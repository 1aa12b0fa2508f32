//! A stream with its buffers and what is known of its readiness.
//!
//! Sockets are registered once, edge-triggered, for both directions. So readiness is remembered here: a
//! direction stays ready until a call would have blocked, or received less than there was room for.

use std::io::{self, ErrorKind};

use super::Stream;
use crate::buffer::{Buffer, Pool};

/// One end of a proxied conversation.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: Stream,
    /// Received and not yet consumed.
    pub input: Option<Buffer>,
    /// To be sent.
    pub output: Option<Buffer>,
    /// Receiving may yield something.
    pub readable: bool,
    /// Sending may succeed.
    pub writable: bool,
    /// The peer will send no more; set when the end of the stream was read.
    pub ended: bool,
    /// This side sends no more.
    pub shut: bool,
    /// Receiving failed: reset, timed out and the like.
    pub broken: Option<ErrorKind>,
    /// Sending failed; what the peer sent before may still be received.
    pub unwritable: Option<ErrorKind>,
    /// The kernel said that the peer closed its direction; the end itself may still be unread.
    hangup: bool,
}

impl Connection {
    /// A connection whose readiness is not known yet.
    pub fn new(stream: Stream) -> Connection {
        Connection {
            stream,
            input: None,
            output: None,
            readable: false,
            writable: false,
            ended: false,
            shut: false,
            broken: None,
            unwritable: None,
            hangup: false,
        }
    }

    /// Whether another message may be sent on it: both directions are open, and nothing came that nobody asked
    /// for. Asks the kernel where the last message was taken to its end and no further.
    pub fn is_reusable(&mut self, pool: &mut Pool) -> bool {
        if self.readable {
            self.receive(pool);
        }
        let sound = !self.is_over() && !self.shut && self.unwritable.is_none();
        sound && self.received().is_empty() && self.pending() == 0 && !self.readable
    }

    /// Takes note of a readiness event.
    pub fn ready(&mut self, readable: bool, writable: bool, hangup: bool) {
        self.readable |= readable | hangup;
        self.writable |= writable;
        self.hangup |= hangup;
    }

    /// The bytes received and not consumed.
    pub fn received(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], Buffer::bytes)
    }

    /// Bytes waiting to be sent.
    pub fn pending(&self) -> usize {
        self.output.as_ref().map_or(0, Buffer::len)
    }

    /// Whether nothing more will come: ended or broken.
    pub fn is_over(&self) -> bool {
        self.ended || self.broken.is_some()
    }

    /// Drops `n` received bytes, and the buffer when it is empty.
    pub fn consume(&mut self, n: usize, pool: &mut Pool) {
        if let Some(input) = &mut self.input {
            input.consume(n);
            pool.release_if_empty(&mut self.input);
        }
    }

    /// Puts bytes that were consumed back before those that were not.
    pub fn put_back(&mut self, bytes: &[u8], pool: &mut Pool) {
        if !bytes.is_empty() {
            pool.attach(&mut self.input).put_back(bytes);
        }
    }

    /// Receives what there is, up to a full buffer. Says how many bytes came; [`Connection::ended`] and
    /// [`Connection::broken`] tell the rest.
    pub fn receive(&mut self, pool: &mut Pool) -> usize {
        let mut total = 0;
        while self.readable && !self.is_over() {
            let buffer = pool.attach(&mut self.input);
            let room = buffer.room();
            if room == 0 {
                break;
            }
            match self.stream.recv(buffer.compact()) {
                Ok(0) => {
                    self.ended = true;
                    self.readable = false;
                }
                Ok(n) => {
                    total += n;
                    if n < room {
                        // Drained, unless an end of stream follows that no further edge will announce.
                        self.readable = self.hangup;
                    }
                }
                Err(error) => self.receive_failed(&error),
            }
        }
        pool.release_if_empty(&mut self.input);
        total
    }

    /// Sends what waits in the output buffer, and says how many bytes went.
    pub fn flush(&mut self, pool: &mut Pool) -> usize {
        let mut total = 0;
        while let Some(output) = &mut self.output {
            if output.is_empty() {
                pool.release(&mut self.output);
                break;
            }
            if !self.writable || self.unwritable.is_some() {
                break;
            }
            match self.stream.send(output.bytes(), false) {
                Ok(n) => {
                    output.consume(n);
                    total += n;
                }
                Err(error) => self.send_failed(&error),
            }
        }
        total
    }

    /// Sends `bytes` past the output buffer, which must be empty; says how many were taken.
    pub fn send_through(&mut self, bytes: &[u8], more: bool) -> usize {
        debug_assert_eq!(self.pending(), 0);
        let mut sent = 0;
        while self.writable && self.unwritable.is_none() && sent < bytes.len() {
            match self.stream.send(&bytes[sent..], more) {
                Ok(n) => sent += n,
                Err(error) => self.send_failed(&error),
            }
        }
        sent
    }

    /// Queues `bytes` for sending; says how many fitted.
    pub fn queue(&mut self, bytes: &[u8], pool: &mut Pool) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        pool.attach(&mut self.output).fill(bytes)
    }

    /// Ends the sending direction once.
    pub fn shutdown_write(&mut self) {
        if !self.shut {
            self.shut = true;
            self.stream.shutdown_write();
        }
    }

    /// Closes so that the peer still gets what was sent: a close with unread bytes waiting would be a
    /// reset, which throws away what the peer has not read yet (RFC 9112 9.6).
    pub fn close_politely(mut self, pool: &mut Pool) {
        if self.readable && !self.is_over() && self.unwritable.is_none() {
            self.shutdown_write();
            self.release(pool);
            self.receive(pool);
        }
        self.release(pool);
    }

    /// Has the coming close send nothing, so that the peer goes on to think that it is connected. Without the privilege
    /// for that (CAP_NET_ADMIN) it sends a reset that no router passes on.
    pub fn vanish(&mut self) {
        self.stream.vanish();
        self.shut = true;
        self.broken = Some(ErrorKind::ConnectionAborted);
        self.unwritable = Some(ErrorKind::ConnectionAborted);
    }

    /// Gives both buffers back.
    pub fn release(&mut self, pool: &mut Pool) {
        pool.release(&mut self.input);
        pool.release(&mut self.output);
    }

    /// Takes note of an error of a receiving call made elsewhere (splice).
    pub fn receive_failed(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.readable = false,
            ErrorKind::Interrupted => {}
            kind => self.broken = Some(kind),
        }
    }

    /// Takes note of an error of a sending call made elsewhere (splice).
    pub fn send_failed(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.writable = false,
            ErrorKind::Interrupted => {}
            kind => self.unwritable = Some(kind),
        }
    }
}
