//! Phase tunnel: bytes pass both ways, each direction closing by itself.
//!
//! This is TCP mode, and what follows a 101 or the answer to a CONNECT.

use super::exchange::Flow;
use super::{After, Step, Turn};
use crate::buffer::Pool;
use crate::facts::{Cause, Phase as Doing};
use crate::time::{Millis, Tick};
use crate::transport::Connection;
use crate::transport::splice::{Pipes, SPLICE_BYTES_MIN};

/// Prepares both directions.
pub fn begin(turn: &mut Turn<'_>) {
    turn.exchange.upload = Flow::default();
    turn.exchange.download = Flow::default();
    turn.exchange.client_keeps = false;
    turn.exchange.server_keeps = false;
    if let Some(key) = turn.exchange.upstream {
        // What came together with the heads belongs to the tunnel.
        turn.exchange.facts.bytes_in += turn.session.client.received().len() as u64;
        turn.exchange.facts.bytes_out += turn.services.upstreams.get(key).connection.received().len() as u64;
    }
    refresh(turn, true, true);
}

/// Moves what can be moved.
pub fn run(turn: &mut Turn<'_>) -> Step {
    let Some(key) = turn.exchange.upstream else { return Step::Over(After::Close) };
    let splice = turn.splice_allowed();
    let services = &mut *turn.services;
    let exchange = &mut *turn.exchange;
    let client = &mut turn.session.client;
    let server = &mut services.upstreams.get_mut(key).connection;
    let (buffers, pipes, budget) = (&mut services.buffers, &mut services.pipes, &mut services.budget);
    let mut moved_up = Direction { from: client, to: server, flow: &mut exchange.upload, splice: splice.request };
    let up = moved_up.run(buffers, pipes, budget);
    let mut moved_down = Direction { from: server, to: client, flow: &mut exchange.download, splice: splice.response };
    let down = moved_down.run(buffers, pipes, budget);
    exchange.facts.bytes_in += up.received;
    exchange.facts.bytes_out += down.received;
    if up.received + up.sent + down.received + down.sent > 0 {
        refresh(turn, true, true);
    }
    if let Some(over) = ended(turn, key) {
        return over;
    }
    expired(turn)
}

fn ended(turn: &mut Turn<'_>, key: usize) -> Option<Step> {
    let client = &turn.session.client;
    let server = &turn.services.upstreams.get(key).connection;
    if client.broken.is_some() || client.unwritable.is_some() {
        turn.exchange.facts.termination.set_once(Cause::ClientAbort, Doing::Data);
        return Some(Step::Over(After::Close));
    }
    if server.broken.is_some() || server.unwritable.is_some() {
        turn.exchange.facts.termination.set_once(Cause::ServerAbort, Doing::Data);
        return Some(Step::Over(After::Close));
    }
    (turn.exchange.upload.complete && turn.exchange.download.complete).then_some(Step::Over(After::Close))
}

fn expired(turn: &mut Turn<'_>) -> Step {
    let now = turn.services.now.tick();
    let (client, server) = (turn.exchange.client_deadline, turn.exchange.server_deadline);
    if now < client && now < server {
        return Step::Wait;
    }
    let cause = if now >= client && client <= server { Cause::ClientTimeout } else { Cause::ServerTimeout };
    turn.exchange.facts.termination.set_once(cause, Doing::Data);
    Step::Over(After::Close)
}

/// Sets both sides' deadlines after activity.
pub fn refresh(turn: &mut Turn<'_>, client: bool, server: bool) {
    let services = &turn.services;
    let frontend = &services.config[turn.session.frontend];
    let Some(backend) = turn.exchange.backend.map(|id| &services.config[id]) else { return };
    let now = services.now.tick();
    let after = |timeout: Option<Millis>| timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    let half_closed = turn.exchange.upload.complete || turn.exchange.download.complete;
    let tunnel = backend.timeouts.tunnel;
    let fin = |fin: Option<Millis>| fin.filter(|_| half_closed);
    if client {
        let timeout = fin(frontend.timeouts.client_fin).or(tunnel).or(frontend.timeouts.client);
        turn.exchange.client_deadline = after(timeout);
    }
    if server {
        let timeout = fin(backend.timeouts.server_fin).or(tunnel).or(backend.timeouts.server);
        turn.exchange.server_deadline = after(timeout);
    }
}

/// One direction of a tunnel.
struct Direction<'a> {
    from: &'a mut Connection,
    to: &'a mut Connection,
    flow: &'a mut Flow,
    splice: bool,
}

/// Bytes that one round moved.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    received: u64,
    sent: u64,
}

impl Direction<'_> {
    fn run(&mut self, buffers: &mut Pool, pipes: &mut Pipes, budget: &mut u64) -> Moved {
        let mut moved = Moved::default();
        loop {
            let before = moved.received + moved.sent;
            moved.sent += self.to.flush(buffers) as u64;
            if self.to.pending() == 0 {
                self.pass_buffered(buffers, &mut moved);
            }
            if self.from.received().is_empty() && self.to.pending() == 0 {
                self.fetch(buffers, pipes, budget, &mut moved);
            }
            if moved.received + moved.sent == before {
                break;
            }
        }
        let held = self.flow.pipe.as_ref().map_or(0, |pipe| pipe.held);
        let empty = self.from.received().is_empty() && self.to.pending() == 0 && held == 0;
        if empty {
            self.flow.streak = if self.from.readable { self.flow.streak } else { 0 };
            if let Some(pipe) = self.flow.pipe.take() {
                pipes.give(pipe);
            }
        }
        if empty && self.from.ended && !self.flow.complete {
            self.to.shutdown_write();
            self.flow.complete = true;
        }
        moved
    }

    /// Sends received bytes straight from where they were received.
    fn pass_buffered(&mut self, buffers: &mut Pool, moved: &mut Moved) {
        let sent = self.to.send_through(self.from.received(), false);
        self.from.consume(sent, buffers);
        moved.sent += sent as u64;
    }

    /// Receives more, through a pipe once enough came in a row.
    fn fetch(&mut self, buffers: &mut Pool, pipes: &mut Pipes, budget: &mut u64, moved: &mut Moved) {
        let received_before = moved.received;
        if self.splice && self.flow.pipe.is_none() && self.flow.streak >= SPLICE_BYTES_MIN {
            self.flow.pipe = pipes.lend();
        }
        if let Some(pipe) = &mut self.flow.pipe {
            let through = pipe.run(self.from, self.to, *budget);
            moved.received += through.taken as u64;
            moved.sent += through.given as u64;
        } else if *budget > 0 {
            let received = self.from.receive(buffers);
            self.flow.streak += received as u64;
            moved.received += received as u64;
        }
        *budget = budget.saturating_sub(moved.received - received_before);
    }
}
