//! The body of a message on its way from one connection to the other.

use super::exchange::Flow;
use super::names;
use crate::buffer::Pool;
use crate::h1::{Limits, ParseError, parse_trailers};
use crate::http::Head;
use crate::proxy::Spellings;
use crate::transport::Connection;
use crate::transport::splice::{Pipes, SPLICE_BYTES_MIN};

/// From where to where a body passes.
pub struct Forward<'a> {
    /// Who sends it.
    pub from: &'a mut Connection,
    /// Who receives it.
    pub to: &'a mut Connection,
    /// How far it is.
    pub flow: &'a mut Flow,
    /// May large runs be spliced?
    pub splice: bool,
    /// Limits of trailers.
    pub limits: Limits,
    /// How the receiver wants header names written.
    pub spellings: Option<&'a Spellings>,
    /// Where buffers come from.
    pub buffers: &'a mut Pool,
    /// Where pipes come from.
    pub pipes: &'a mut Pipes,
    /// Bytes that may still be received before others have their turn.
    pub budget: &'a mut u64,
}

/// What one round moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    /// Bytes received from the sender.
    pub received: u64,
    /// Bytes of the body dealt with, framing included.
    pub taken: u64,
    /// Bytes of the body as HAProxy counts them: without framing, but for an end mark after chunks.
    pub counted: u64,
    /// Bytes queued or sent to the receiver.
    pub passed: u64,
    /// Bytes that left for the receiver.
    pub sent: u64,
}

/// Why a body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The sender ended or broke the connection before the end of the body.
    Cut,
    /// The bytes are no valid body.
    Invalid(ParseError),
}

impl Forward<'_> {
    /// Moves what can be moved.
    ///
    /// # Errors
    /// A body that ends early or is malformed; what was valid before has been passed on.
    pub fn run(&mut self) -> Result<Moved, Trouble> {
        let mut moved = Moved::default();
        while !self.flow.has_left(self.to) {
            let before = moved;
            self.fetch(&mut moved);
            let outcome = self.pass(&mut moved);
            moved.sent += self.to.flush(self.buffers) as u64;
            outcome?;
            self.conclude()?;
            let progress = moved.received + moved.sent + moved.taken + moved.passed;
            if progress == before.received + before.sent + before.taken + before.passed {
                break;
            }
        }
        Ok(moved)
    }

    /// Receives more when everything received was passed on.
    fn fetch(&mut self, moved: &mut Moved) {
        if (self.flow.decoder.is_done() || *self.budget == 0) && self.held() == 0 {
            return;
        }
        let received_before = moved.received;
        let run = self.flow.decoder.run_remaining();
        if run == 0
            && self.held() == 0
            && let Some(pipe) = self.flow.pipe.take()
        {
            // Framing comes next, which must be looked at.
            self.pipes.give(pipe);
        }
        let idle = self.from.received().is_empty() && self.to.pending() == 0;
        let worthwhile = run.saturating_add(self.held()) >= SPLICE_BYTES_MIN || self.held() > 0;
        if self.splice && idle && worthwhile && self.flow.pipe.is_none() && self.from.readable {
            self.flow.pipe = self.pipes.lend();
        }
        match &mut self.flow.pipe {
            Some(pipe) if idle => {
                let through = pipe.run(self.from, self.to, run.min(*self.budget));
                self.flow.decoder.skip(through.taken as u64);
                moved.received += through.taken as u64;
                moved.taken += through.taken as u64;
                moved.counted += through.taken as u64;
                moved.passed += through.given as u64;
                moved.sent += through.given as u64;
            }
            _ if self.from.received().is_empty() => moved.received += self.from.receive(self.buffers) as u64,
            _ => {}
        }
        *self.budget = self.budget.saturating_sub(moved.received - received_before);
    }

    /// Passes on what was received, by copy while something is queued before it, straight otherwise.
    fn pass(&mut self, moved: &mut Moved) -> Result<(), Trouble> {
        while !self.flow.decoder.is_done() && !self.from.received().is_empty() && self.held() == 0 {
            let room = self.to.output.as_ref().map_or(self.buffers.size(), |output| output.room());
            let input = self.from.received();
            // Between chunks, two octets are kept for a line end that the scan may want to insert.
            let is_plain = self.flow.decoder.run_remaining() >= input.len() as u64;
            let room = if is_plain { room } else { room.saturating_sub(2) };
            let input = &input[..input.len().min(room)];
            if input.is_empty() {
                break;
            }
            let taken = self.pass_run(input.len(), moved)?;
            if taken == 0 {
                // An incomplete block of trailers: more must come, unless the buffer holds no more.
                let full = self.from.input.as_ref().is_some_and(|input| input.room() == 0);
                if full && self.to.pending() == 0 {
                    return Err(Trouble::Invalid(ParseError::too_large(0)));
                }
                if self.from.readable && !full {
                    moved.received += self.from.receive(self.buffers) as u64;
                }
                break;
            }
        }
        Ok(())
    }

    fn pass_run(&mut self, bytes: usize, moved: &mut Moved) -> Result<usize, Trouble> {
        let scan = self.flow.decoder.scan(&self.from.received()[..bytes]).map_err(Trouble::Invalid)?;
        moved.passed += send_or_queue(self.to, &self.from.received()[..scan.forward], self.buffers, &mut moved.sent);
        let inserted = self.to.queue(scan.insert, self.buffers);
        debug_assert_eq!(inserted, scan.insert.len());
        moved.passed += inserted as u64;
        if scan.trailers > 0 {
            let at = scan.forward + scan.dropped;
            let mut trailers = Head::default();
            let block = &self.from.received()[at..at + scan.trailers];
            parse_trailers(block, &mut trailers, &self.limits).map_err(Trouble::Invalid)?;
            if let Some(spellings) = self.spellings {
                names::respell(&mut trailers, spellings);
            }
            let output = self.buffers.attach(&mut self.to.output).compact();
            let before = output.len();
            trailers.write_fields_to(output);
            moved.passed += (output.len() - before) as u64;
            moved.counted += trailers.fields().map(|field| (field.name.len() + field.value.len()) as u64).sum::<u64>();
        }
        let counted = scan.payload as u64 + u64::from(scan.done && self.flow.chunked);
        let ahead = counted.min(self.flow.counted_ahead);
        self.flow.counted_ahead -= ahead;
        moved.counted += counted - ahead;
        let taken = scan.consumed();
        moved.taken += taken as u64;
        self.from.consume(taken, self.buffers);
        Ok(taken)
    }

    /// Sees whether the body is complete, or can never be.
    fn conclude(&mut self) -> Result<(), Trouble> {
        if self.flow.complete || self.held() > 0 {
            return Ok(());
        }
        let drained = self.from.received().is_empty();
        if self.from.is_over() && !self.flow.decoder.is_done() {
            let closed = self.from.broken.is_none() && drained && self.flow.decoder.close();
            if !closed && (drained || self.to.pending() == 0) {
                return Err(Trouble::Cut);
            }
        }
        if self.flow.decoder.is_done() {
            self.flow.complete = true;
            if let Some(pipe) = self.flow.pipe.take() {
                self.pipes.give(pipe);
            }
        }
        Ok(())
    }

    fn held(&self) -> u64 {
        self.flow.pipe.as_ref().map_or(0, |pipe| pipe.held as u64)
    }
}

/// Bytes from which on sending straight from the input buffer beats copying them behind what is queued.
const DIRECT_BYTES_MIN: usize = 4096;

/// Sends `bytes` straight when nothing is queued and there are many; queues the rest, for which there is room.
fn send_or_queue(to: &mut Connection, bytes: &[u8], buffers: &mut Pool, sent: &mut u64) -> u64 {
    let mut direct = 0;
    if to.pending() == 0 && bytes.len() >= DIRECT_BYTES_MIN {
        direct = to.send_through(bytes, false);
        *sent += direct as u64;
    }
    let queued = to.queue(&bytes[direct..], buffers);
    debug_assert_eq!(direct + queued, bytes.len());
    bytes.len() as u64
}
