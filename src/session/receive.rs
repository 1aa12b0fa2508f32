//! Phase receive: the request's head arrives.

use super::{After, Phase, Step, Turn, body, capture, debug};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::{self, Body, BodyDecoder, Framing, ParseError, Parsed, framing, persistence};
use crate::http::Head;
use crate::log::format::Moment;
use crate::proxy::{ConnectionMode, frontend::ClientTimeouts};
use crate::session::{finish, reply};
use crate::stats::Count;
use crate::time::{Millis, Tick};

/// What an HTTP/2 client begins with (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a new session may wait for the first byte of its first request. HAProxy lets `timeout client`
/// hold beside the more special timeouts, so that the shorter one counts.
pub fn first_request_timeout(timeouts: &ClientTimeouts) -> Option<Millis> {
    [timeouts.http_request, timeouts.client].into_iter().flatten().min()
}

/// How long a kept-alive session may wait for the first byte of its next request.
pub fn keep_alive_timeout(timeouts: &ClientTimeouts) -> Option<Millis> {
    [timeouts.http_keep_alive.or(timeouts.http_request), timeouts.client].into_iter().flatten().min()
}

/// Parses what has arrived so far.
pub fn run(turn: &mut Turn<'_>) -> Step {
    let received = turn.session.client.receive(&mut turn.services.buffers);
    if received > 0 {
        turn.exchange.client_deadline = Tick::NEVER;
    }
    let limits = turn.services.request_limits(turn.session.frontend);
    match h1::parse_request(turn.session.client.received(), &mut turn.exchange.request, &limits) {
        Ok(Parsed::Complete { head_bytes }) => complete(turn, head_bytes),
        Err(error) => refuse(turn, error),
        Ok(Parsed::Partial) if turn.session.client.is_over() => aborted(turn),
        Ok(Parsed::Partial) => wait(turn),
    }
}

/// Waits for the rest: until `timeout http-request` counted from the first byte, and no longer than
/// `timeout client` for each byte.
fn wait(turn: &mut Turn<'_>) -> Step {
    let timeouts = &turn.frontend().timeouts;
    let now = turn.services.now.tick();
    let after = |since: Tick, timeout: Option<Millis>| timeout.map_or(Tick::NEVER, |timeout| since + timeout);
    let exchange = &mut *turn.exchange;
    let idle_since = exchange.facts.idle_since.tick();
    exchange.phase_deadline =
        after(exchange.facts.first_byte.map_or(idle_since, |first| first.tick()), timeouts.http_request);
    if exchange.client_deadline == Tick::NEVER {
        let since = if exchange.facts.first_byte.is_some() { now } else { idle_since };
        exchange.client_deadline = after(since, timeouts.client);
    }
    if now < exchange.phase_deadline.min(exchange.client_deadline) {
        return Step::Wait;
    }
    turn.exchange.facts.bad_request = true;
    turn.services.count_request(turn.session.frontend);
    turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
    reply::error(turn, 408, Cause::ClientTimeout, Doing::Request)
}

/// The client went away in the middle of the head.
fn aborted(turn: &mut Turn<'_>) -> Step {
    turn.exchange.facts.bad_request = true;
    turn.services.count_request(turn.session.frontend);
    turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
    if turn.session.client.broken.is_some() {
        turn.exchange.facts.termination.set_once(Cause::ClientAbort, Doing::Request);
        turn.exchange.facts.status = Some(400);
        return Step::Over(After::Close);
    }
    reply::error(turn, 400, Cause::ClientAbort, Doing::Request)
}

fn refuse(turn: &mut Turn<'_>, error: ParseError) -> Step {
    let frontend = turn.session.frontend;
    turn.services.capture_bad_request(turn.session, &error);
    turn.exchange.facts.bad_request = true;
    turn.exchange.request.clear();
    turn.services.count_request(frontend);
    turn.services.counters.frontend(frontend).add(Count::RequestErrors, 1);
    if turn.frontend().no_upgrade && turn.session.client.received().starts_with(PREFACE) {
        // It has a head, and gets the page that rules give.
        turn.exchange.client_keeps = false;
        turn.exchange.phase = Phase::Inspect;
    }
    reply::error(turn, error.request_status(), Cause::Proxy, Doing::Request)
}

fn complete(turn: &mut Turn<'_>, head_bytes: usize) -> Step {
    let exchange = &mut *turn.exchange;
    (exchange.phase_deadline, exchange.client_deadline) = (Tick::NEVER, Tick::NEVER);
    let received = turn.session.client.received();
    exchange.facts.uri = request_line(&exchange.request, &received[..head_bytes], &mut exchange.facts.request_line);
    let framing = framing::request(&mut exchange.request);
    let framing = framing.and_then(|framing| check_body_start(framing, &received[head_bytes..]));
    let framing = match framing {
        Ok(framing) => framing,
        Err(error) => return refuse(turn, error),
    };
    turn.session.client.consume(head_bytes, &mut turn.services.buffers);
    let asked = persistence::take(&mut exchange.request);
    exchange.facts.bytes_in += exchange.request.counted_bytes();
    exchange.upgrade = asked.upgrade;
    exchange.server_keeps = !framing.next_must_close;
    exchange.client_keeps = asked.keeps(exchange.request.version())
        && !framing.must_close
        && turn.services.config[turn.session.frontend].connection_mode != ConnectionMode::Close;
    exchange.request_body = framing.body;
    exchange.upload.begin(framing.body);
    exchange.request_has_no_body = exchange.upload.complete;
    if !turn.services.config[turn.session.frontend].rules.tcp.content.is_empty() {
        return Step::Go(Phase::Content { backend: false });
    }
    accepted(turn)
}

/// The head is here, and rules of contents let it pass.
pub fn accepted(turn: &mut Turn<'_>) -> Step {
    let exchange = &mut *turn.exchange;
    (exchange.phase_deadline, exchange.client_deadline) = (Tick::NEVER, Tick::NEVER);
    exchange.facts.request_received = Some(turn.services.now);
    turn.services.count_request(turn.session.frontend);
    exchange.facts.request_counter = turn.services.number();
    capture::request(turn);
    debug::request(turn);
    finish::log_at(turn, Moment::Request);
    if turn.frontend().buffers_request { body::buffer(turn) } else { Step::Go(Phase::Inspect) }
}

/// Looks at what has come of the body with the head: a request that is invalid from the start reaches no server.
fn check_body_start(framing: Framing, mut bytes: &[u8]) -> Result<Framing, ParseError> {
    if framing.body == Body::Chunked {
        let mut decoder = BodyDecoder::new(framing.body);
        while !bytes.is_empty() && !decoder.is_done() {
            let scan = decoder.scan(bytes)?;
            if scan.consumed() == 0 {
                break;
            }
            bytes = &bytes[scan.consumed()..];
        }
    }
    Ok(framing)
}

/// Writes the request line as logs show it, its version as it was received; gives the place of the URI.
fn request_line(head: &Head, raw: &[u8], out: &mut Vec<u8>) -> (usize, usize) {
    out.extend_from_slice(head.method_token());
    out.push(b' ');
    let start = out.len();
    out.extend_from_slice(head.uri());
    let end = out.len();
    out.push(b' ');
    let line = raw.trim_ascii_start();
    let line = &line[..memchr::memchr2(b'\r', b'\n', line).unwrap_or(line.len())];
    let version = memchr::memrchr(b' ', line).map_or(&b""[..], |at| &line[at + 1..]);
    out.extend_from_slice(version);
    (start, end)
}
