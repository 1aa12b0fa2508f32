//! What rules have the session do before they go on.

use super::{Turn, capture, names};
use crate::h1::Body;
use crate::rules::{Errand, Run};
use crate::stats::Count;

/// Where the rules of an exchange wait.
#[derive(Debug)]
pub enum Paused {
    /// At a request; the phase that waits knows for what.
    Request(Run),
    /// At a response.
    Response {
        /// How far they have come.
        run: Run,
        /// They are the frontend's.
        frontend: bool,
        /// Octets of the body that they wait for; 0 is all.
        octets: u64,
    },
}

impl Paused {
    fn into_run(self) -> Run {
        match self {
            Paused::Request(run) | Paused::Response { run, .. } => run,
        }
    }
}

/// The run of rules over the request: the one that waits, or a new one.
pub fn take_request_run(turn: &mut Turn<'_>) -> Run {
    turn.exchange.paused.take().map_or_else(|| request_run(turn), Paused::into_run)
}

/// Likewise over the response.
pub fn take_response_run(turn: &mut Turn<'_>) -> Run {
    turn.exchange.paused.take().map_or_else(|| response_run(turn), Paused::into_run)
}

fn request_run(turn: &Turn<'_>) -> Run {
    run(turn, turn.exchange.request_body, turn.session.client.received().len())
}

/// A new run of rules over the response.
pub fn response_run(turn: &Turn<'_>) -> Run {
    let received = turn.exchange.upstream.map(|key| turn.services.upstreams.get(key).connection.received().len());
    run(turn, turn.exchange.response_body, received.unwrap_or(0))
}

/// A run over a message with so much behind its head.
fn run(turn: &Turn<'_>, body: Body, received: usize) -> Run {
    let body_bytes = match body {
        Body::None | Body::Tunnel => 0,
        Body::Length(length) => received.min(usize::try_from(length).unwrap_or(usize::MAX)),
        Body::Chunked | Body::UntilClose => received,
    };
    Run::new(turn.services.config.global.tune.bufsize, body_bytes)
}

/// Does what needs no waiting.
pub fn run_errand(turn: &mut Turn<'_>, errand: Errand) {
    match errand {
        Errand::Nice(nice) => {
            turn.exchange.nice = nice;
            turn.services.orders_sessions |= nice != 0;
        }
        Errand::Tos(tos) => turn.session.client.stream.set_tos(tos),
        Errand::Mark(mark) => turn.session.client.stream.set_mark(mark),
        Errand::Capture(side, slot, text) => capture::keep(turn, side, slot, text),
        Errand::Hint(mut head) => {
            if turn.frontend().respells {
                names::respell(&mut head, &turn.services.config.global.spellings);
            }
            let output = turn.services.buffers.attach(&mut turn.session.client.output);
            head.write_response_to(output.compact());
            turn.exchange.facts.bytes_out += head.counted_bytes();
            turn.session.client.flush(&mut turn.services.buffers);
        }
        Errand::Readdress(addresses) => turn.readdress(addresses),
        Errand::WaitForBody(..) | Errand::Resolve(_) => debug_assert!(false, "the phase waits"),
    }
}

/// Counts rewrites for which there was no room.
pub fn count_failed(turn: &mut Turn<'_>, run: &mut Run) {
    let failed = run.take_failed();
    if failed > 0 {
        count(turn, Count::FailedRewrites, failed);
    }
}

/// Counts something for the frontend, its listener, and the backend and the server that are known by now.
pub fn count(turn: &mut Turn<'_>, column: Count, number: u64) {
    let counters = &turn.services.counters;
    counters.frontend(turn.session.frontend).add(column, number);
    counters.listener(turn.session.frontend, turn.session.bind).add(column, number);
    if let Some(backend) = turn.exchange.backend {
        counters.backend(backend).add(column, number);
    }
    if let Some(server) = turn.exchange.server {
        counters.server(server).add(column, number);
    }
}
