//! A session between exchanges: it waits for the first byte of a request.

use super::{Services, Session, Turn, finish, receive};
use crate::facts::Cause;
use crate::stats::Count;
use crate::time::Tick;

/// What becomes of a waiting session.
pub enum Idle {
    /// Bytes have come.
    Request,
    /// Nothing yet; until then.
    Wait(Tick),
    /// The first request did not come in time: that is answered.
    Refuse,
    /// It is closed; with a line in the log when no request ever came.
    Close(Option<Cause>),
}

/// Looks whether a request begins.
pub fn wait(session: &mut Session, services: &mut Services) -> Idle {
    if services.stopping {
        // Whatever has come by now is answered: no event may be waiting in the queue.
        session.client.ready(true, false, false);
    }
    session.client.receive(&mut services.buffers);
    if !session.client.received().is_empty() {
        return Idle::Request;
    }
    let first = session.requests == 0;
    let frontend = &services.config[session.frontend];
    if session.client.is_over() {
        return match (first && !frontend.ignore_probes, session.client.broken) {
            // Who only ended its own direction still gets the answer.
            (true, None) => Idle::Refuse,
            (true, Some(_)) => Idle::Close(Some(Cause::ClientAbort)),
            (false, _) => Idle::Close(None),
        };
    }
    let stop = services.idle_end(session);
    if services.now.tick() >= stop {
        return Idle::Close(None);
    }
    let timeout = if first {
        receive::first_request_timeout(&frontend.timeouts)
    } else {
        receive::keep_alive_timeout(&frontend.timeouts)
    };
    let deadline = timeout.map_or(Tick::NEVER, |timeout| session.idle_since.tick() + timeout);
    if services.now.tick() < deadline {
        return Idle::Wait(deadline.min(stop));
    }
    if first && !frontend.ignore_probes { Idle::Refuse } else { Idle::Close(None) }
}

/// Counts and logs a connection that ended without a request.
pub fn log_nothing(turn: &mut Turn<'_>, cause: Cause) {
    // A request that never came is one all the same, and a bad one.
    turn.services.count_request(turn.session.frontend);
    let row = turn.services.counters.frontend(turn.session.frontend);
    row.add(Count::RequestErrors, 1);
    row.add(Count::Http4xx, 1);
    finish::log_nothing(turn, cause);
}
