//! Phase finish: the exchange is counted and logged, and both connections are kept or closed.

use super::{After, Phase, Turn, capture, connect, debug, lookup, pick};
use crate::facts::{Cause, Concurrent, Phase as Doing, Termination};
use crate::log::format::Moment;
use crate::proxy::Mode;
use crate::stats::Count;

/// Ends the exchange. What becomes of the client's connection is handed through.
pub fn run(turn: &mut Turn<'_>, after: After) -> After {
    if matches!(turn.exchange.phase, Phase::Queued { .. }) {
        pick::leave(turn);
    }
    lookup::conclude(turn);
    turn.exchange.facts.ended = Some(turn.services.now);
    debug::ends(turn);
    let clean = turn.exchange.answered && turn.exchange.upload.complete && turn.exchange.download.complete;
    return_upstream(turn, clean, after);
    turn.release_server();
    release(turn);
    count(turn);
    // The line shows the connections that remain, as HAProxy's does.
    log(turn);
    after
}

/// Gives the exchange's pipes back and leaves its backend.
fn release(turn: &mut Turn<'_>) {
    for flow in [&mut turn.exchange.upload, &mut turn.exchange.download] {
        if let Some(pipe) = flow.pipe.take() {
            turn.services.pipes.give(pipe);
        }
    }
    if let Some(backend) = turn.exchange.backend {
        turn.services.counters.backend(backend).sub(Count::SessionsCurrent, 1);
    }
}

/// Keeps the server's connection for another exchange, or closes it; `clean` tells that both messages ended.
pub fn return_upstream(turn: &mut Turn<'_>, clean: bool, after: After) {
    let Some(key) = turn.exchange.upstream.take() else { return };
    let (true, true, Some(backend)) = (turn.exchange.server_keeps, clean, turn.exchange.backend) else {
        return turn.services.close_upstream(Some(key));
    };
    let serverless = turn.exchange.server.is_none();
    let config = turn.services.config;
    let server = turn.exchange.server.map(|server| &config[server]);
    let limit = server.and_then(|server| server.connection.max_reuse);
    if limit.is_some_and(|limit| turn.services.upstreams.get(key).exchanges > limit) {
        return turn.services.close_upstream(Some(key));
    }
    let private = serverless || connect::stays_private(config[backend].reuse, server);
    if !private {
        turn.services.keep_upstream(key);
    } else if after == After::KeepAlive && turn.session.private.is_none() && turn.services.is_reusable(key) {
        turn.session.private = Some(key);
    } else {
        turn.services.close_upstream(Some(key));
    }
}

fn note_concurrency(turn: &mut Turn<'_>) {
    let counters = &turn.services.counters;
    let current = |row: crate::stats::Row<'_>| row.get(Count::SessionsCurrent);
    turn.exchange.facts.concurrent = Concurrent {
        process: current(counters.process()),
        frontend: current(counters.frontend(turn.session.frontend)),
        backend: turn.exchange.backend.map_or(0, |id| current(counters.backend(id))),
        server: turn.exchange.server.map_or(0, |id| current(counters.server(id))),
    };
}

/// Counts the bytes that passed since the last call.
pub fn count_bytes(turn: &mut Turn<'_>) {
    let facts = &turn.exchange.facts;
    let counters = &turn.services.counters;
    let frontend = counters.frontend(turn.session.frontend);
    let listener = counters.listener(turn.session.frontend, turn.session.bind);
    let backend = turn.exchange.backend.map(|id| counters.backend(id));
    let server = turn.exchange.server.filter(|_| facts.connected.is_some()).map(|id| counters.server(id));
    let [bytes_in, bytes_out] = turn.exchange.counted_bytes;
    for row in [Some(frontend), Some(listener), backend, server].into_iter().flatten() {
        row.add(Count::BytesIn, facts.bytes_in.saturating_sub(bytes_in));
        row.add(Count::BytesOut, facts.bytes_out.saturating_sub(bytes_out));
    }
    // A request that begins anew has counted more than it has by then.
    turn.exchange.counted_bytes = [bytes_in.max(facts.bytes_in), bytes_out.max(facts.bytes_out)];
}

fn count(turn: &mut Turn<'_>) {
    count_bytes(turn);
    let facts = &turn.exchange.facts;
    let counters = &turn.services.counters;
    let frontend = counters.frontend(turn.session.frontend);
    let backend = turn.exchange.backend.map(|id| counters.backend(id));
    let server = turn.exchange.server.filter(|_| facts.connected.is_some()).map(|id| counters.server(id));
    // The server's own statuses were counted as they came.
    if turn.services.config[turn.session.frontend].mode == Mode::Http && !turn.exchange.unseen {
        for row in [Some(frontend), backend].into_iter().flatten() {
            row.add(status_class(facts.status), 1);
        }
        if let Some(row) = backend {
            row.add(Count::RequestsTotal, 1);
        }
    }
    let times = facts.times();
    for row in [backend, server].into_iter().flatten() {
        row.times(&times);
    }
}

/// The column of a status.
pub fn status_class(status: Option<u16>) -> Count {
    match status.unwrap_or(0) / 100 {
        1 => Count::Http1xx,
        2 => Count::Http2xx,
        3 => Count::Http3xx,
        4 => Count::Http4xx,
        5 => Count::Http5xx,
        _ => Count::HttpOther,
    }
}

/// Writes the log line if all that it shows is known at this moment, or `option logasap` does not wait for more.
pub fn log_at(turn: &mut Turn<'_>, moment: Moment) {
    let settings = &turn.frontend().log;
    if settings.targets.is_empty() || settings.moment() > moment || turn.exchange.logged {
        return;
    }
    turn.exchange.facts.ended = Some(turn.services.now);
    log(turn);
}

fn log(turn: &mut Turn<'_>) {
    let was_logged = std::mem::replace(&mut turn.exchange.logged, true);
    if was_logged || turn.exchange.unseen || turn.frontend().log.targets.is_empty() {
        return;
    }
    let settings = &turn.frontend().log;
    // The default format tells of requests, and HAProxy writes nothing of one that never was.
    if turn.exchange.facts.bad_request && settings.format.is_default() {
        return;
    }
    // Errors, too, show that more may follow.
    let logged_early = settings.logasap;
    note_concurrency(turn);
    super::persistence::note(turn);
    capture::fill(turn);
    let lines = turn.services.counters.frontend(turn.session.frontend);
    turn.exchange.facts.log_counter = lines.get(Count::LogLines);
    lines.add(Count::LogLines, 1);
    turn.exchange.facts.logged_early = logged_early;
    turn.services.log_exchange(turn.session, turn.exchange);
    turn.exchange.facts.logged_early = false;
}

/// A connection that ended without a request: closed, reset or timed out by the client.
pub fn log_nothing(turn: &mut Turn<'_>, cause: Cause) {
    turn.exchange.facts.bad_request = true;
    turn.exchange.facts.status = Some(400);
    turn.exchange.facts.termination = Termination { cause, phase: Doing::Request, ..Termination::default() };
    turn.exchange.facts.ended = Some(turn.services.now);
    log(turn);
}
