//! Phase pick: a server is chosen, or the request waits for one.

use super::services::Pick;
use super::{Phase, Step, Turn};
use crate::facts::{Cause, Phase as Doing};
use crate::proxy::{Algorithm, BackendId, ServerId};
use crate::session::reply;
use crate::stats::Count;
use crate::time::Tick;

/// Asks the backend's algorithm.
pub fn run(turn: &mut Turn<'_>) -> Step {
    let Some(backend) = turn.exchange.backend else {
        return reply::error(turn, 503, Cause::ServerAbort, Doing::Connect);
    };
    if let Some(server) = last_server(turn, backend) {
        assign(turn, server);
        return Step::Go(Phase::Connect);
    }
    let source = turn.session.source.map(|source| source.ip());
    match turn.services.choose(backend, source, turn.exchange.avoid) {
        Pick::Server(server) => {
            turn.services.counters.server(server).add(Count::Chosen, 1);
            turn.services.counters.backend(backend).add(Count::Chosen, 1);
            assign(turn, server);
            Step::Go(Phase::Connect)
        }
        Pick::Full(server) => queue(turn, server),
        Pick::Nobody => {
            turn.services.counters.backend(backend).add(Count::ConnectErrors, 1);
            reply::error(turn, 503, Cause::ServerAbort, Doing::Connect)
        }
    }
}

/// The server of the session's own connection, where `option prefer-last-server` wants it and it has a place.
fn last_server(turn: &Turn<'_>, backend: BackendId) -> Option<ServerId> {
    let services = &*turn.services;
    let settings = &services.config[backend];
    if !settings.prefer_last_server || settings.algorithm == Algorithm::Source {
        return None;
    }
    let server = services.upstreams.get(turn.session.private?).server;
    let usable = services.live[server.0 as usize].takes_part() && turn.exchange.avoid != Some(server);
    (settings.servers.contains(&server.0) && usable && services.has_room(server)).then_some(server)
}

/// Takes a place on a server.
pub fn assign(turn: &mut Turn<'_>, server: ServerId) {
    let changed = turn.exchange.server.is_some_and(|before| before != server);
    if changed {
        turn.exchange.facts.redispatched = true;
    }
    turn.exchange.server = Some(server);
    turn.exchange.counted_on = Some(server);
    turn.services.occupy(server);
}

fn queue(turn: &mut Turn<'_>, server: Option<ServerId>) -> Step {
    let Some(backend) = turn.exchange.backend else { return Step::Go(Phase::Pick) };
    let services = &mut *turn.services;
    if let Some(server) = server {
        let length = services.queues.server_len(server);
        if services.config[server].maxqueue.is_some_and(|max| length >= max as usize) {
            services.counters.backend(backend).add(Count::ConnectErrors, 1);
            return reply::error(turn, 503, Cause::ServerAbort, Doing::Queue);
        }
        turn.exchange.facts.server_queue = length as u32 + 1;
        turn.exchange.server = Some(server);
        services.counters.server(server).enter(Count::QueueCurrent, Count::QueueMax);
    } else {
        turn.exchange.facts.backend_queue = services.queues.backend_len(backend) as u32 + 1;
        services.counters.backend(backend).enter(Count::QueueCurrent, Count::QueueMax);
    }
    let now = services.now.tick();
    let ticket = services.queues.join(backend, server, turn.slot, now);
    if let Some(server) = server {
        services.tell_load(server);
    }
    let timeouts = &services.config[backend].timeouts;
    let timeout = timeouts.queue.or(timeouts.connect);
    turn.exchange.phase_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    Step::Go(Phase::Queued { ticket, server })
}

/// Waits for its turn; the release of a place moves it on (see [`super::services`]).
pub fn queued(turn: &mut Turn<'_>) -> Step {
    if let Some(doing) = turn.client_gave_up(Doing::Queue) {
        leave(turn);
        return turn.abandon(Cause::ClientAbort, doing);
    }
    if turn.services.now.tick() < turn.exchange.phase_deadline {
        return Step::Wait;
    }
    leave(turn);
    if let Some(backend) = turn.exchange.backend {
        turn.services.counters.backend(backend).add(Count::ConnectErrors, 1);
    }
    reply::error(turn, 503, Cause::ServerTimeout, Doing::Queue)
}

/// Leaves the queue before its turn.
pub fn leave(turn: &mut Turn<'_>) {
    let Phase::Queued { ticket, server } = turn.exchange.phase else { return };
    let Some(backend) = turn.exchange.backend else { return };
    turn.services.queues.leave(backend, server, ticket);
    turn.services.count_dequeued(backend, server);
    turn.exchange.facts.queue_left = Some(turn.services.now);
    turn.exchange.phase_deadline = Tick::NEVER;
    turn.exchange.phase = Phase::Pick;
}
