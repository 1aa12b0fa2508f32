//! Phase tunnel: bytes pass both ways, each direction closing by itself.
//!
//! This is TCP mode, and what follows a 101 or the answer to a CONNECT.

use super::exchange::Flow;
use super::{After, Phase, Step, Turn, content};
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
    let bytes_before = turn.exchange.facts.bytes_out;
    if turn.exchange.holds_answer
        && let Err(step) = content::answer(turn)
    {
        return step;
    }
    let splice = turn.splice_allowed();
    let resets = turn.exchange.backend.is_some_and(|id| turn.services.config[id].nolinger);
    let services = &mut *turn.services;
    let exchange = &mut *turn.exchange;
    let client = &mut turn.session.client;
    let server = &mut services.upstreams.get_mut(key).connection;
    let (buffers, pipes, budget) = (&mut services.buffers, &mut services.pipes, &mut services.budget);
    let ends = (exchange.upload.complete, exchange.download.complete);
    let (flow, splice_up) = (&mut exchange.upload, splice.request);
    let mut moved_up = Direction { from: client, to: server, flow, splice: splice_up, resets };
    let up = if ends.0 { Moved::default() } else { moved_up.run(buffers, pipes, budget) };
    let (flow, splice_down) = (&mut exchange.download, splice.response);
    let mut moved_down = Direction { from: server, to: client, flow, splice: splice_down, resets: false };
    let mut down = if exchange.holds_answer { Moved::default() } else { moved_down.run(buffers, pipes, budget) };
    exchange.facts.bytes_in += up.received;
    exchange.facts.bytes_out += down.received;
    down.received = exchange.facts.bytes_out - bytes_before;
    let fins = (exchange.upload.complete && !ends.0, exchange.download.complete && !ends.1);
    if fins.0 && resets {
        // The close resets the connection: the server has been told enough.
        return Step::Over(After::Close);
    }
    let client_fin = fins.1 && turn.frontend().timeouts.client_fin.is_some();
    let backend = turn.exchange.backend.map(|id| &turn.services.config[id]);
    let server_fin = fins.0 && backend.is_some_and(|backend| backend.timeouts.server_fin.is_some());
    // Where directions are independent, what a side is sent says nothing of whether it still sends.
    let client_sends = turn.frontend().independent_streams && !turn.session.client.ended;
    let server_sends = backend.is_some_and(|backend| backend.independent_streams)
        && !turn.services.upstreams.get(key).connection.ended;
    let client_acted = up.received > 0 || (down.sent > 0 && !client_sends);
    let server_acted = down.received > 0 || (up.sent > 0 && !server_sends);
    refresh(turn, client_fin || client_acted, server_fin || server_acted);
    if let Some(over) = ended(turn, key) {
        return over;
    }
    expired(turn, key)
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
    // The end of the server's direction is the end of a tunnel that was made over HTTP.
    let (up, down) = (turn.exchange.upload.complete, turn.exchange.download.complete);
    (down && (up || turn.is_http())).then_some(Step::Over(After::Close))
}

/// A side that was silent for too long is taken for one that has ended its direction: the other side is told
/// so and has its own timeout to end the rest. A side that takes nothing ends the whole.
fn expired(turn: &mut Turn<'_>, key: usize) -> Step {
    let now = turn.services.now.tick();
    let exchange = &mut *turn.exchange;
    let client_late = now >= exchange.client_deadline;
    let server_late = now >= exchange.server_deadline;
    if !client_late && !server_late {
        return Step::Wait;
    }
    let cause = if client_late { Cause::ClientTimeout } else { Cause::ServerTimeout };
    exchange.facts.termination.set_once(cause, Doing::Data);
    let (unsent_up, unsent_down) = unsent(turn, key);
    if (client_late && unsent_down) || (server_late && unsent_up) {
        return Step::Over(After::Close);
    }
    turn.session.client.ended |= client_late;
    turn.services.upstreams.get_mut(key).connection.ended |= server_late;
    Step::Go(Phase::Tunnel)
}

/// Whether bytes wait for the server, and for the client.
fn unsent(turn: &Turn<'_>, key: usize) -> (bool, bool) {
    let client = &turn.session.client;
    let server = &turn.services.upstreams.get(key).connection;
    let waits = |from: &Connection, to: &Connection, flow: &Flow| {
        to.pending() > 0 || flow.pipe.is_some() || !from.received().is_empty()
    };
    let down = !turn.exchange.holds_answer && waits(server, client, &turn.exchange.download);
    (waits(client, server, &turn.exchange.upload), down)
}

/// Sets the deadlines of the sides that did something. A side has one while it may still send and what it
/// sent went on, or while something waits for it. Once it was told of the other side's end, it is `timeout
/// client-fin` or `timeout server-fin`.
fn refresh(turn: &mut Turn<'_>, client: bool, server: bool) {
    let Some(key) = turn.exchange.upstream else { return };
    let (unsent_up, unsent_down) = unsent(turn, key);
    let services = &turn.services;
    let frontend = &services.config[turn.session.frontend];
    let Some(backend) = turn.exchange.backend.map(|id| &services.config[id]) else { return };
    let now = services.now.tick();
    let after = |timeout: Option<Millis>| timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    let (up, down) = (turn.exchange.upload.complete, turn.exchange.download.complete);
    let tunnel = backend.timeouts.tunnel;
    if (turn.session.client.ended || unsent_up) && !unsent_down {
        turn.exchange.client_deadline = Tick::NEVER;
    } else if client || turn.exchange.client_deadline == Tick::NEVER {
        let fin = frontend.timeouts.client_fin.filter(|_| down);
        turn.exchange.client_deadline = after(fin.or(tunnel).or(frontend.timeouts.client));
    }
    if (services.upstreams.get(key).connection.ended || unsent_down) && !unsent_up {
        turn.exchange.server_deadline = Tick::NEVER;
    } else if server || turn.exchange.server_deadline == Tick::NEVER {
        let fin = backend.timeouts.server_fin.filter(|_| up);
        turn.exchange.server_deadline = after(fin.or(tunnel).or(backend.timeouts.server));
    }
}

/// One direction of a tunnel.
struct Direction<'a> {
    from: &'a mut Connection,
    to: &'a mut Connection,
    flow: &'a mut Flow,
    splice: bool,
    /// The receiver is not told of the sender's end: its connection will be reset (`option nolinger`).
    resets: bool,
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
            if !self.resets {
                self.to.shutdown_write();
            }
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
