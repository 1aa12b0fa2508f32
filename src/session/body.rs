//! Phase body: the request's body arrives before a server is chosen or before rules go on, as far as it fits into a
//! buffer (manual 4, `balance url_param … check_post`, `http-request wait-for-body` and `option http-buffer-request`).

use std::borrow::Cow;

use super::exchange::BodyReader;
use super::{Phase, Step, Turn, reply, route};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::{self, Body};
use crate::http::{Method, Version};
use crate::proxy::{Algorithm, BackendId, Key};
use crate::stats::Count;
use crate::time::{Millis, Tick};

/// What a client waits for that sent `Expect: 100-continue`.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How HAProxy counts it: the start line's 20 octets and its parts, and the end of the head.
const CONTINUE_COUNTED_BYTES: u64 = 40;

/// Whether the choice of a server has to wait for the body: rules that waited let one pass whose client has left.
pub fn is_awaited(turn: &Turn<'_>, backend: BackendId) -> bool {
    let waited = turn.frontend().buffers_request || turn.services.config[backend].buffers_request;
    is_wanted(turn, backend) || (waited && turn.session.client.is_over() && !turn.exchange.upload.complete)
}

/// Whether the algorithm looks into the body of this request.
pub fn is_wanted(turn: &Turn<'_>, backend: BackendId) -> bool {
    let checks = match &turn.services.config[backend].algorithm {
        Algorithm::Hash(Key::Param(key)) => key.check_post,
        _ => false,
    };
    checks && turn.exchange.request.method() == Method::Post && turn.exchange.request_body != Body::None
}

/// Waits before the rules if there is a body (`option http-buffer-request`), or goes on with them.
pub fn buffer(turn: &mut Turn<'_>) -> Step {
    let reader = BodyReader::Buffer;
    if turn.exchange.upload.complete {
        return Step::Go(next(turn, reader));
    }
    begin(turn);
    Step::Go(Phase::Body { since: turn.services.now.tick(), reader })
}

/// Begins to wait, from the client's first octet on for no longer than for a head.
pub fn begin(turn: &mut Turn<'_>) -> Step {
    invite(turn);
    let now = turn.services.now;
    let timeouts = &turn.frontend().timeouts;
    let since = turn.exchange.facts.first_byte.unwrap_or(now).tick();
    turn.exchange.phase_deadline = timeouts.http_request.map_or(Tick::NEVER, |timeout| since + timeout);
    turn.exchange.client_deadline = timeouts.client.map_or(Tick::NEVER, |timeout| now.tick() + timeout);
    Step::Go(Phase::Body { since: now.tick(), reader: BodyReader::Balance })
}

/// Begins to wait for so long, or until `octets` are here, because a rule says so.
pub fn begin_for_rules(turn: &mut Turn<'_>, time: Millis, octets: u64) -> Step {
    begin(turn);
    let since = turn.services.now.tick();
    turn.exchange.phase_deadline = since + time;
    Step::Go(Phase::Body { since, reader: BodyReader::Rules(octets) })
}

/// Receives until the body, or what is wanted of it, is here or the buffer is full.
pub fn run(turn: &mut Turn<'_>, since: Tick, reader: BodyReader) -> Step {
    let received = turn.session.client.receive(&mut turn.services.buffers);
    turn.session.client.flush(&mut turn.services.buffers);
    let now = turn.services.now.tick();
    if received > 0 {
        let timeout = turn.frontend().timeouts.client;
        turn.exchange.client_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    }
    let all_here = match h1::arrived(turn.exchange.request_body, turn.session.client.received()) {
        Ok((body, all_here)) => all_here || reader.has_enough(body.len()),
        Err(_) => return refuse(turn, reader),
    };
    if all_here || fills_the_buffer(turn) {
        (turn.exchange.phase_deadline, turn.exchange.client_deadline) = (Tick::NEVER, Tick::NEVER);
        if since != now {
            turn.exchange.facts.request_received = Some(turn.services.now);
        }
        return Step::Go(next(turn, reader));
    }
    if turn.session.client.is_over() && reader == BodyReader::Buffer {
        // The rules have their say first, as in HAProxy: then it is seen again.
        return Step::Go(next(turn, reader));
    }
    if turn.session.client.is_over() {
        if turn.exchange.backend.is_none() {
            // As in HAProxy, whoever would have got the request counts that its client has left.
            route::assign(turn);
        }
        turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
        turn.count_everywhere(Count::ClientAborts);
        return turn.abandon(Cause::ClientAbort, Doing::Request);
    }
    if now < turn.exchange.phase_deadline.min(turn.exchange.client_deadline) {
        return Step::Wait;
    }
    turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
    give_up(turn, reader);
    reply::error(turn, 408, Cause::ClientTimeout, Doing::Request)
}

impl BodyReader {
    fn has_enough(self, here: usize) -> bool {
        matches!(self, BodyReader::Rules(octets) if octets > 0 && here as u64 >= octets)
    }
}

/// Who goes on.
fn next(turn: &Turn<'_>, reader: BodyReader) -> Phase {
    match (reader, turn.exchange.backend) {
        (BodyReader::Balance, _) => Phase::Pick,
        (BodyReader::Rules(_) | BodyReader::Buffer, None) => Phase::Inspect,
        (BodyReader::Rules(_) | BodyReader::Buffer, Some(_)) => Phase::InspectBackend,
    }
}

/// The body will not come; where rules wanted it, the request does not count as received, as in HAProxy.
fn give_up(turn: &mut Turn<'_>, reader: BodyReader) {
    turn.exchange.client_keeps = false;
    turn.exchange.paused = None;
    if reader != BodyReader::Balance {
        turn.exchange.facts.request_received = None;
    }
}

/// What is here of the body, without its framing.
pub fn received<'a>(turn: &'a Turn<'_>) -> Cow<'a, [u8]> {
    h1::arrived(turn.exchange.request_body, turn.session.client.received()).map_or(Cow::Borrowed(&[]), |(body, _)| body)
}

/// Whether all of the request's body is here, or what is here can be none.
pub fn is_here(turn: &Turn<'_>) -> bool {
    turn.exchange.upload.complete || is_whole(turn.exchange.request_body, turn.session.client.received())
}

/// Whether no more of the body can be received before something is passed on.
pub fn fills_the_buffer(turn: &Turn<'_>) -> bool {
    let head_bytes = turn.exchange.request.counted_bytes() as usize;
    let room = turn.services.limits(false).head_bytes_max.saturating_sub(head_bytes);
    turn.session.client.received().len() >= room
}

/// Whether `bytes` hold all of a body, or can be none.
pub fn is_whole(framing: Body, bytes: &[u8]) -> bool {
    framing == Body::None || h1::arrived(framing, bytes).map_or(true, |(_, is_whole)| is_whole)
}

/// Answers `Expect: 100-continue`, and the server is not asked again (RFC 9110 10.1.1).
fn invite(turn: &mut Turn<'_>) {
    let request = &mut turn.exchange.request;
    let expects = request.get(b"expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
    if expects && request.version() == Version::Http11 {
        request.remove(b"expect");
        turn.session.client.queue(CONTINUE, &mut turn.services.buffers);
        turn.exchange.facts.bytes_out += CONTINUE_COUNTED_BYTES;
    }
}

fn refuse(turn: &mut Turn<'_>, reader: BodyReader) -> Step {
    turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
    give_up(turn, reader);
    reply::error(turn, 400, Cause::Proxy, Doing::Request)
}
