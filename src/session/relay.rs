//! Phase relay: the request goes to the server and its answer comes back, both bodies at the same time.

use super::exchange::Flow;
use super::forward::{Forward, Moved, Trouble};
use super::{After, Phase, Step, Turn, answer, names, retry};
use crate::facts::{Cause, Phase as Doing, Responder};
use crate::h1::{Body, BodyDecoder, persistence};
use crate::http::{Known, Version};
use crate::proxy::backend::RetryOn;
use crate::proxy::{ConnectionMode, Seen, Splice};
use crate::session::reply;
use crate::stats::Count;
use crate::time::{Millis, Tick};
use crate::transport::Connection;
use crate::transport::splice::SPLICE_BYTES_MIN;

impl Flow {
    /// A message whose body is framed so.
    pub fn begin(&mut self, body: Body) {
        *self = Flow { decoder: BodyDecoder::new(body), chunked: body == Body::Chunked, ..Flow::default() };
        self.complete = self.decoder.is_done();
    }

    /// Whether all of the message has left for the connection `to`.
    pub fn has_left(&self, to: &Connection) -> bool {
        self.complete && to.output.is_none()
    }
}

/// Queues the request's head for the server.
pub fn begin(turn: &mut Turn<'_>) {
    let (Some(key), Some(backend)) = (turn.exchange.upstream, turn.exchange.backend) else { return };
    if turn.services.config[backend].retry_on.intersects(RetryOn::AFTER_SENDING) {
        retry::keep(turn);
    }
    let services = &mut *turn.services;
    let mode = services.config[backend].connection_mode.max(services.config[turn.session.frontend].connection_mode);
    let keep = match mode {
        // The server hears what the client has said.
        ConnectionMode::Tunnel => turn.exchange.client_keeps,
        mode => mode == ConnectionMode::KeepAlive && turn.exchange.server_keeps && !services.stopping,
    };
    turn.exchange.server_keeps = keep;
    if turn.exchange.repeated {
        turn.exchange.request.remove_known(Known::Connection);
    }
    if let Some(header) = &services.config[backend].name_header {
        names::announce(turn, header);
    }
    let services = &mut *turn.services;
    let pretends = services.config[backend].pretend_keepalive && mode != ConnectionMode::Tunnel;
    persistence::to_server(&mut turn.exchange.request, keep || pretends);
    if services.config[backend].respells {
        names::respell(&mut turn.exchange.request, &services.config.global.spellings);
    }
    let connection = &mut services.upstreams.get_mut(key).connection;
    let output = services.buffers.attach(&mut connection.output);
    turn.exchange.request.write_request_to(output.compact());
    turn.exchange.answered = false;
    turn.exchange.response.clear();
}

/// Moves what can be moved.
pub fn run(turn: &mut Turn<'_>) -> Step {
    if turn.exchange.upstream.is_none() {
        return Step::Over(After::Close);
    }
    if turn.exchange.falsified {
        turn.count_response_error();
        return reply::error(turn, 500, Cause::Internal, Doing::Headers);
    }
    loop {
        let up = match upload(turn) {
            Ok(moved) => moved,
            Err(step) => return step,
        };
        let was_answered = turn.exchange.answered;
        let down = match download(turn) {
            Ok(moved) => moved,
            Err(step) => return step,
        };
        if turn.session.client.unwritable.is_some() {
            return client_left(turn);
        }
        refresh(turn, &up, &down);
        if turn.exchange.download.complete && turn.exchange.answered && turn.session.client.pending() == 0 {
            // An early answer does not end the request: its body still has a reader.
            if !turn.exchange.upload.complete && server_is_gone(turn) {
                return turn.abandon(Cause::ServerAbort, Doing::Data);
            }
            if turn.exchange.upload.complete || !turn.exchange.client_keeps {
                return Step::Over(if turn.exchange.client_keeps { After::KeepAlive } else { After::Close });
            }
        }
        if was_answered == turn.exchange.answered {
            break;
        }
    }
    expired(turn)
}

/// Whether nobody reads the rest of the request any more.
fn server_is_gone(turn: &mut Turn<'_>) -> bool {
    let Some(key) = turn.exchange.upstream else { return true };
    let server = &mut turn.services.upstreams.get_mut(key).connection;
    server.receive(&mut turn.services.buffers);
    // One that only ended its own direction may still read.
    server.broken.is_some() || server.unwritable.is_some()
}

/// The request's direction.
fn upload(turn: &mut Turn<'_>) -> Result<Moved, Step> {
    let moved = forward(turn, true);
    let moved = match moved {
        Ok(moved) => moved,
        Err(Trouble::Cut) => return Err(client_left(turn)),
        Err(Trouble::Invalid(_)) => return Err(bad_request_body(turn)),
    };
    turn.exchange.facts.bytes_in += moved.counted;
    if !turn.exchange.answered && turn.client_gave_up(Doing::Headers) == Some(Doing::Headers) {
        turn.count_everywhere(Count::ClientAborts);
        return Err(reply::error(turn, 400, Cause::ClientAbort, Doing::Headers));
    }
    if turn.session.client.unwritable.is_some() || turn.session.client.broken.is_some() {
        return Err(client_left(turn));
    }
    Ok(moved)
}

/// The response's direction.
fn download(turn: &mut Turn<'_>) -> Result<Moved, Step> {
    let (mut received, mut sent) = (0, 0);
    while !turn.exchange.answered {
        if turn.session.client.pending() > 0 {
            // An interim answer goes out before the next one is looked at: a server may send any number.
            sent += turn.session.client.flush(&mut turn.services.buffers) as u64;
        }
        if turn.session.client.pending() > 0 || turn.services.budget == 0 {
            return Ok(Moved { sent, received, ..Moved::default() });
        }
        if turn.exchange.holds_answer {
            super::content::answer(turn)?;
            if turn.exchange.holds_answer {
                return Ok(Moved { sent, received, ..Moved::default() });
            }
        }
        match answer::receive(turn)? {
            answer::Progress::Interim => {}
            answer::Progress::Head => received += 1,
            answer::Progress::Nothing => {
                sent += turn.session.client.flush(&mut turn.services.buffers) as u64;
                return Ok(Moved { sent, received, ..Moved::default() });
            }
        }
    }
    if matches!(turn.exchange.response_body, Body::Tunnel) {
        super::tunnel::begin(turn);
        return Err(Step::Go(Phase::Tunnel));
    }
    match forward(turn, false) {
        Ok(mut moved) => {
            turn.exchange.facts.bytes_out += moved.counted;
            moved.received += received;
            Ok(moved)
        }
        Err(trouble) => Err(server_left(turn, trouble)),
    }
}

fn forward(turn: &mut Turn<'_>, up: bool) -> Result<Moved, Trouble> {
    let Some(key) = turn.exchange.upstream else { return Ok(Moved::default()) };
    let (flow, to) = match up {
        true => (&turn.exchange.upload, &turn.services.upstreams.get(key).connection),
        false => (&turn.exchange.download, &turn.session.client),
    };
    if flow.has_left(to) {
        return Ok(Moved::default());
    }
    // What is short stays short, and only after chunks there are trailers.
    let (chunked, long) = (flow.chunked, flow.decoder.run_remaining() >= SPLICE_BYTES_MIN);
    let splice = if chunked || long { turn.splice_allowed() } else { Splice::default() };
    let limits = turn.services.limits(false);
    let config = turn.services.config;
    let respells = chunked
        && if up {
            turn.exchange.backend.is_some_and(|id| config[id].respells)
        } else {
            config[turn.session.frontend].respells
        };
    let spellings = respells.then_some(&config.global.spellings);
    let services = &mut *turn.services;
    let client = &mut turn.session.client;
    let server = &mut services.upstreams.get_mut(key).connection;
    let (buffers, pipes, budget) = (&mut services.buffers, &mut services.pipes, &mut services.budget);
    if up {
        let flow = &mut turn.exchange.upload;
        Forward { from: client, to: server, flow, splice: splice.request, limits, spellings, buffers, pipes, budget }
            .run()
    } else {
        let flow = &mut turn.exchange.download;
        Forward { from: server, to: client, flow, splice: splice.response, limits, spellings, buffers, pipes, budget }
            .run()
    }
}

/// The client broke the connection or ended it within its request.
fn client_left(turn: &mut Turn<'_>) -> Step {
    turn.count_everywhere(Count::ClientAborts);
    turn.abandon(Cause::ClientAbort, Doing::Data)
}

fn bad_request_body(turn: &mut Turn<'_>) -> Step {
    turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
    if turn.exchange.answered {
        return turn.abandon(Cause::Proxy, Doing::Data);
    }
    reply::error(turn, 400, Cause::Proxy, Doing::Headers)
}

/// The server ended, broke or garbled its answer's body: the client sees that it is cut.
fn server_left(turn: &mut Turn<'_>, trouble: Trouble) -> Step {
    if trouble == Trouble::Cut {
        turn.count_everywhere(Count::ServerAborts);
    } else {
        turn.count_response_error();
    }
    turn.exchange.server_keeps = false;
    turn.abandon(Cause::ServerAbort, Doing::Data)
}

/// Sets the deadlines of both sides after what moved.
fn refresh(turn: &mut Turn<'_>, up: &Moved, down: &Moved) {
    let (Some(key), Some(backend)) = (turn.exchange.upstream, turn.exchange.backend) else { return };
    let now = turn.services.now.tick();
    let server_pending = turn.services.upstreams.get(key).connection.pending() > 0;
    let client_pending = turn.session.client.pending() > 0 || turn.exchange.download.pipe.is_some();
    let exchange = &mut *turn.exchange;
    let after = |timeout: Option<Millis>| timeout.map_or(Tick::NEVER, |timeout| now + timeout);

    let answered = exchange.answered && exchange.download.complete;
    let body_awaited = !exchange.upload.complete && !server_pending && (answered || !exchange.client_late);
    let client_owes = body_awaited || client_pending;
    // Where directions are independent, what a side is sent says nothing of what it owes.
    let (front, back) = (&turn.services.config[turn.session.frontend], &turn.services.config[backend]);
    let client_acted = up.received > 0 || (down.sent > 0 && !(front.independent_streams && body_awaited));
    if !client_owes {
        exchange.client_deadline = Tick::NEVER;
    } else if client_acted || exchange.client_deadline == Tick::NEVER {
        exchange.client_deadline = after(front.timeouts.client);
    }
    let answer_awaited = !exchange.download.complete && !client_pending;
    let server_owes = server_pending || answer_awaited;
    let server_acted = down.received > 0 || (up.sent > 0 && !(back.independent_streams && answer_awaited));
    if !server_owes {
        exchange.server_deadline = Tick::NEVER;
    } else if server_acted || exchange.server_deadline == Tick::NEVER {
        exchange.server_deadline = after(back.timeouts.server);
    }
}

fn expired(turn: &mut Turn<'_>) -> Step {
    let now = turn.services.now.tick();
    if now >= turn.exchange.server_deadline {
        turn.exchange.server_keeps = false;
        if turn.exchange.answered {
            return turn.abandon(Cause::ServerTimeout, Doing::Data);
        }
        if let Some(step) = retry::again(turn, RetryOn::TIMEOUT) {
            return step;
        }
        turn.count_response_error();
        turn.release_server();
        turn.observe(Seen::Late);
        return reply::error(turn, 504, Cause::ServerTimeout, Doing::Headers);
    }
    if now >= turn.exchange.client_deadline {
        let takes_nothing = turn.session.client.pending() > 0 || turn.exchange.download.pipe.is_some();
        if takes_nothing || turn.exchange.download.complete && turn.exchange.answered {
            turn.exchange.server_keeps = false;
            return turn.abandon(Cause::ClientTimeout, Doing::Data);
        }
        // The request's body does not come. The server may still answer what it has seen of it, and it is
        // the server's timeout that ends the wait, as in HAProxy.
        turn.exchange.client_late = true;
        turn.exchange.client_deadline = Tick::NEVER;
    }
    Step::Wait
}

/// Whether the client speaks a version that knows no chunks.
pub fn client_is_old(turn: &Turn<'_>) -> bool {
    turn.exchange.request.version() == Version::Http10
}

/// The answer came from a server, not from the proxy.
pub fn mark_served(turn: &mut Turn<'_>) {
    turn.exchange.facts.responder = Responder::Server;
}
