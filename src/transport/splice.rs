//! Large amounts of data moved between two sockets through a pipe, without passing through user space.

use std::collections::VecDeque;

use super::Connection;
use crate::sys::pipe::{Pipe, splice};

/// Bytes that must be expected before a pipe is worth its two extra system calls: below this, one receive
/// into a buffer and one send cost less.
pub const SPLICE_BYTES_MIN: u64 = 32 * 1024;

/// Idle pipes, kept for the next transfer (`maxpipes` bounds those in use).
#[derive(Debug)]
pub struct Pipes {
    idle: VecDeque<Pipe>,
    in_use: usize,
    limit: usize,
    size_bytes: Option<usize>,
}

/// A pipe lent to one direction of one exchange, with the bytes that are inside.
#[derive(Debug)]
pub struct Lent {
    pipe: Pipe,
    /// Bytes inside.
    pub held: usize,
    full: bool,
}

/// What a round of splicing moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that left the source.
    pub taken: usize,
    /// Bytes that reached the destination.
    pub given: usize,
}

impl Pipes {
    /// At most `limit` pipes in use at a time, of `size_bytes` capacity where the kernel grants it.
    pub fn new(limit: usize, size_bytes: Option<usize>) -> Pipes {
        Pipes { idle: VecDeque::new(), in_use: 0, limit, size_bytes }
    }

    /// Pipes in use and idle ones (`show info`: PipesUsed, PipesFree).
    pub fn counts(&self) -> (usize, usize) {
        (self.in_use, self.idle.len())
    }

    /// A pipe, unless the limit or the kernel forbids.
    pub fn lend(&mut self) -> Option<Lent> {
        if self.in_use >= self.limit {
            return None;
        }
        let pipe = match self.idle.pop_back() {
            Some(pipe) => pipe,
            None => Pipe::new(self.size_bytes).ok()?,
        };
        self.in_use += 1;
        Some(Lent { pipe, held: 0, full: false })
    }

    /// Takes a pipe back; one with bytes inside is closed, for they belong to nobody any more.
    pub fn give(&mut self, lent: Lent) {
        self.in_use -= 1;
        if lent.held == 0 {
            self.idle.push_back(lent.pipe);
        }
    }
}

impl Lent {
    /// Moves up to `budget` bytes from `from` into the pipe and on to `to`, until one side would block.
    pub fn run(&mut self, from: &mut Connection, to: &mut Connection, budget: u64) -> Moved {
        let mut moved = Moved::default();
        loop {
            let taken = self.take(from, budget - moved.taken as u64);
            let given = self.give(to);
            moved.taken += taken;
            moved.given += given;
            if taken + given == 0 {
                return moved;
            }
        }
    }

    fn take(&mut self, from: &mut Connection, budget: u64) -> usize {
        let room = self.pipe.capacity_bytes.saturating_sub(self.held);
        let want = room.min(usize::try_from(budget).unwrap_or(usize::MAX));
        if want == 0 || self.full || !from.readable || from.is_over() {
            return 0;
        }
        let Some(source) = from.stream.descriptor() else { return 0 };
        match splice(source, &self.pipe.write, want) {
            Ok(0) => {
                from.ended = true;
                from.readable = false;
                0
            }
            Ok(n) => {
                self.held += n;
                n
            }
            // Small segments fill a pipe's slots long before its bytes: only an empty pipe tells for sure
            // that it was the socket which had nothing.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && self.held > 0 => {
                self.full = true;
                0
            }
            Err(error) => {
                from.receive_failed(&error);
                0
            }
        }
    }

    fn give(&mut self, to: &mut Connection) -> usize {
        if self.held == 0 || !to.writable || to.unwritable.is_some() || to.pending() > 0 {
            return 0;
        }
        let Some(sink) = to.stream.descriptor() else { return 0 };
        // Nothing is held back for more to come: the source may pause here and the peer wait for what it has.
        match splice(&self.pipe.read, sink, self.held) {
            Ok(n) => {
                self.held -= n;
                self.full = false;
                n
            }
            Err(error) => {
                to.send_failed(&error);
                0
            }
        }
    }
}
