//! Phase route: which backend serves the request.

use super::{Phase, Step, Turn, body};
use crate::facts::{Cause, Phase as Doing};
use crate::log::format::Moment;
use crate::session::{content, debug, finish, persistence, reply};
use crate::stats::Count;

/// Evaluates `use_backend`, then `default_backend`.
pub fn run(turn: &mut Turn<'_>) -> Step {
    if !turn.is_http() {
        finish::log_at(turn, Moment::Request);
        debug::begins(turn);
    }
    if !assign(turn) {
        // HAProxy has not yet taken the time of the request when it finds no backend.
        turn.exchange.facts.request_received = None;
        return reply::error(turn, 503, Cause::ServerAbort, Doing::Connect);
    }
    if turn.is_http() {
        persistence::rules(turn);
    }
    if content::concerns_backend(turn) {
        return Step::Go(Phase::Content { backend: true });
    }
    if turn.is_http() { to_rules(turn) } else { to_server(turn) }
}

/// Gives the exchange its backend, which counts it from now on; false if there is none.
pub fn assign(turn: &mut Turn<'_>) -> bool {
    let frontend = turn.frontend();
    let rules = &frontend.rules;
    let chosen = match (turn.exchange.switched, rules.switching.is_empty()) {
        (Some(backend), _) => Some(backend),
        (None, true) => None,
        (None, false) => rules.backend(&turn.services.context(turn.session, turn.exchange)),
    };
    let Some(backend_id) = chosen.or(frontend.default_backend) else { return false };
    turn.exchange.backend = Some(backend_id);
    let backend = &turn.services.config[backend_id];
    turn.exchange.retries_left = backend.retries;
    let row = turn.services.counters.backend(backend_id);
    row.enter(Count::SessionsCurrent, Count::SessionsMax);
    row.add(Count::SessionsTotal, 1);
    row.set(Count::LastSession, turn.services.now.wall_s());
    row.tick_rate(Count::SessionRate, Count::SessionRateMax, turn.services.now);
    true
}

/// What a request goes on with in its backend.
pub fn to_rules(turn: &mut Turn<'_>) -> Step {
    let waits = turn.exchange.backend.is_some_and(|id| turn.services.config[id].buffers_request);
    if waits { body::buffer(turn) } else { Step::Go(Phase::InspectBackend) }
}

/// What a connection in TCP mode goes on with in its backend.
pub fn to_server(turn: &mut Turn<'_>) -> Step {
    persistence::rules(turn);
    persistence::rdp(turn);
    Step::Go(Phase::Pick)
}
