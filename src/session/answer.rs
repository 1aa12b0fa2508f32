//! The response's head: received, checked, edited by rules and queued for the client.

use super::errands::Paused;
use super::judge::{self, Judged};
use super::{After, Exchange, Phase, Services, Session, Step, Turn, capture, names, relay, retry};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::{self, Body, Parsed, framing, persistence};
use crate::http::{Known, Method};
use crate::proxy::backend::RetryOn;
use crate::proxy::{ConnectionMode, Seen};
use crate::session::reply;
use crate::stats::Count;
use crate::time::Tick;

/// What became of an attempt to receive a head.
pub enum Progress {
    /// The final head was received.
    Head,
    /// A 1xx was passed on; more follows.
    Interim,
    /// More must come first.
    Nothing,
}

/// Receives the head of an answer. A 1xx is passed on at once, the final one ends in
/// [`super::Exchange::answered`].
///
/// # Errors
/// The step that ends the exchange: the server left or sent nonsense, or a rule refused the answer.
pub fn receive(turn: &mut Turn<'_>) -> Result<Progress, Step> {
    if let Some(Paused::Response { octets, .. }) = turn.exchange.paused {
        return held(turn, octets);
    }
    let Some(key) = turn.exchange.upstream else { return Err(Step::Over(After::Close)) };
    let lenient = turn.exchange.backend.is_some_and(|id| turn.services.config[id].accept_invalid);
    let limits = turn.services.limits(lenient);
    let services = &mut *turn.services;
    let server = &mut services.upstreams.get_mut(key).connection;
    server.receive(&mut services.buffers);
    if server.received().is_empty() && !server.is_over() {
        return Ok(Progress::Nothing);
    }
    match h1::parse_response(server.received(), &mut turn.exchange.response, &limits) {
        Ok(Parsed::Complete { head_bytes }) => {
            server.consume(head_bytes, &mut services.buffers);
            head(turn)
        }
        Ok(Parsed::Partial) if server.is_over() => Err(server_closed(turn)),
        Ok(Parsed::Partial) => Ok(Progress::Nothing),
        Err(error) => {
            turn.services.capture_bad_response(turn.session, turn.exchange, &error);
            Err(invalid(turn))
        }
    }
}

fn server_closed(turn: &mut Turn<'_>) -> Step {
    turn.exchange.server_keeps = false;
    let (silent, broken) = turn.exchange.upstream.map_or((false, false), |key| {
        let connection = &turn.services.upstreams.get(key).connection;
        (connection.received().is_empty(), connection.broken.is_some())
    });
    if retry::is_reason(turn, RetryOn::EMPTY) {
        if broken {
            turn.count_response_error();
        }
        if let Some(step) = retry::again(turn, RetryOn::EMPTY) {
            return step;
        }
    } else if silent && may_repeat(turn) {
        let stale = turn.exchange.upstream.take();
        turn.services.close_upstream(stale);
        turn.exchange.repeated = true;
        turn.exchange.server_keeps = true;
        turn.exchange.facts.connected = None;
        // It waits for no answer while it has no connection.
        (turn.exchange.server_deadline, turn.exchange.client_deadline) = (Tick::NEVER, Tick::NEVER);
        return Step::Go(Phase::Connect);
    }
    if turn.session.requests > 1 {
        return close_silently(turn, broken);
    }
    turn.count_response_error();
    turn.release_server();
    turn.observe(if broken { Seen::Broken } else { Seen::Closed });
    reply::error(turn, 502, Cause::ServerAbort, Doing::Headers)
}

/// Lets a client that was kept alive see its connection close without an answer, so that it repeats the request
/// if it safely can (RFC 9112 9.3.1). As in HAProxy, nothing is logged: for the client, this request never was.
fn close_silently(turn: &mut Turn<'_>, broken: bool) -> Step {
    if broken {
        turn.count_response_error();
        turn.count_everywhere(Count::ServerAborts);
    }
    turn.exchange.facts.status = None;
    turn.exchange.unseen = true;
    turn.abandon(Cause::ServerAbort, Doing::Headers)
}

/// Whether the request may go out once more, on a new connection: the server closed an idle one just as it
/// was used, and a request of a safe method without a body does no harm when it is repeated (RFC 9110 9.2.2;
/// HAProxy leaves the repetition to the client, which not every client does). Not to a server that is down by now.
fn may_repeat(turn: &Turn<'_>) -> bool {
    let exchange = &turn.exchange;
    let safe = matches!(exchange.request.method(), Method::Get | Method::Head | Method::Options | Method::Trace);
    let is_up = exchange.server.is_none_or(|server| turn.services.servers[server.0 as usize].is_up());
    safe && exchange.reused && !exchange.repeated && exchange.request_has_no_body && !exchange.upgrade && is_up
}

fn invalid(turn: &mut Turn<'_>) -> Step {
    turn.exchange.server_keeps = false;
    turn.count_response_error();
    turn.observe(Seen::Invalid);
    if let Some(step) = retry::again(turn, RetryOn::JUNK) {
        return step;
    }
    reply::error(turn, 502, Cause::Proxy, Doing::Headers)
}

fn head(turn: &mut Turn<'_>) -> Result<Progress, Step> {
    if turn.exchange.kept.is_some() {
        let reason = RetryOn::status(turn.exchange.response.status());
        if let Some(step) = retry::again(turn, reason) {
            return Err(step);
        }
    }
    let exchange = &mut *turn.exchange;
    let asked = framing::Asked { method: exchange.request.method(), upgrade: exchange.upgrade };
    let status = exchange.response.status();
    let Ok(framing) = framing::response(&mut exchange.response, &asked) else {
        if status == 101 {
            exchange.facts.bytes_out += exchange.response.counted_bytes();
        }
        return Err(invalid(turn));
    };
    if status < 200 && status != 101 {
        interim(turn);
        return Ok(Progress::Interim);
    }
    // From here on the answer is the client's.
    exchange.kept = None;
    let server_asked = persistence::take(&mut exchange.response);
    let mut framing = framing;
    if tunnels(turn.services, turn.session, exchange) {
        let keeps = server_asked.keeps(exchange.response.version()) && exchange.client_keeps;
        persistence::to_client(&mut exchange.response, keeps, exchange.request.version());
        framing.body = Body::Tunnel;
    }
    exchange.server_keeps &= server_asked.keeps(exchange.response.version()) && !framing.must_close;
    exchange.download.begin(framing.body);
    exchange.facts.bytes_out += exchange.response.counted_bytes();
    exchange.client_keeps &= !framing.next_must_close;
    exchange.response_body = framing.body;
    exchange.facts.server_status = Some(status);
    exchange.facts.response_received = Some(turn.services.now);
    relay::mark_served(turn);
    count_body_ahead(turn);
    turn.count_server_status(status);
    turn.observe(Seen::status(status));
    capture::response(turn);
    super::debug::response(turn);
    judge_head(turn)
}

/// Lets the rules look at the head, and queues it when they are done.
fn judge_head(turn: &mut Turn<'_>) -> Result<Progress, Step> {
    match judge::response(turn) {
        Judged::Passes => {}
        Judged::Waits(octets) => return held(turn, octets),
        Judged::Ends(step) => return Err(step),
    }
    capture::response_cookie(turn);
    let risky = super::caching::is_risky(turn);
    super::persistence::response(turn);
    if risky && let Some(step) = super::caching::block(turn) {
        return Err(step);
    }
    if judge::has_after_rules(turn)
        && let Some(step) = judge::forwarded(turn)
    {
        return Err(step);
    }
    if let Some(step) = judge::without_body(turn) {
        return Err(step);
    }
    finish_head(turn);
    Ok(Progress::Head)
}

/// The rules wait for the body: they go on when it is here, or so many octets of it unless that is 0, or as much as
/// there is room for.
fn held(turn: &mut Turn<'_>, octets: u64) -> Result<Progress, Step> {
    let Some(key) = turn.exchange.upstream else { return Err(Step::Over(After::Close)) };
    let services = &mut *turn.services;
    let server = &mut services.upstreams.get_mut(key).connection;
    server.receive(&mut services.buffers);
    let over = server.is_over();
    let Ok((body, all_here)) = h1::arrived(turn.exchange.response_body, server.received()) else {
        return Err(invalid(turn));
    };
    let enough = octets > 0 && body.len() as u64 >= octets;
    let head_bytes = turn.exchange.response.counted_bytes() as usize;
    let full = server.received().len() >= services.config.global.tune.bufsize.saturating_sub(head_bytes);
    if all_here || enough || full || over {
        turn.exchange.phase_deadline = Tick::NEVER;
        count_body_ahead(turn);
        return judge_head(turn);
    }
    if turn.services.now.tick() < turn.exchange.phase_deadline {
        return Ok(Progress::Nothing);
    }
    turn.exchange.paused = None;
    turn.exchange.facts.response_received = None;
    Err(reply::error(turn, 504, Cause::ServerTimeout, Doing::Request))
}

/// Whether bytes pass unseen from here on (`option http-tunnel`).
fn tunnels(services: &Services, session: &Session, exchange: &Exchange) -> bool {
    let backend = exchange.backend.map_or(ConnectionMode::KeepAlive, |id| services.config[id].connection_mode);
    backend.max(services.config[session.frontend].connection_mode) == ConnectionMode::Tunnel
}

/// Passes a 1xx on, unless the client is too old to know them (RFC 9110 15.2).
fn interim(turn: &mut Turn<'_>) {
    if !relay::client_is_old(turn) {
        if turn.services.config[turn.session.frontend].respells {
            names::respell(&mut turn.exchange.response, &turn.services.config.global.spellings);
        }
        let output = turn.services.buffers.attach(&mut turn.session.client.output);
        turn.exchange.response.write_response_to(output.compact());
        turn.exchange.facts.bytes_out += turn.exchange.response.counted_bytes();
    }
    turn.services.budget = turn.services.budget.saturating_sub(turn.exchange.response.counted_bytes());
    turn.exchange.response.clear();
}

/// Decides about the client's connection and queues the head.
fn finish_head(turn: &mut Turn<'_>) {
    let stops = turn.services.ends_after_answer(turn.session);
    let exchange = &mut *turn.exchange;
    let body = exchange.response_body;
    let endless = matches!(body, Body::UntilClose | Body::Tunnel);
    exchange.client_keeps &= !endless && !stops;
    let version = exchange.request.version();
    if body != Body::Tunnel {
        if exchange.response.has(Known::Connection) {
            // A rule wrote it; the server's own was taken.
            exchange.client_keeps &= !persistence::take(&mut exchange.response).close;
        }
        persistence::to_client(&mut exchange.response, exchange.client_keeps, version);
    }
    exchange.facts.status = Some(exchange.response.status());
    exchange.answered = true;
    if turn.services.config[turn.session.frontend].respells {
        names::respell(&mut exchange.response, &turn.services.config.global.spellings);
    }
    let output = turn.services.buffers.attach(&mut turn.session.client.output);
    exchange.response.write_response_to(output.compact());
    super::finish::log_at(turn, crate::log::format::Moment::Answer);
}

/// Counts what has come of the body with the head, as HAProxy does: a line that is logged now shows it.
fn count_body_ahead(turn: &mut Turn<'_>) {
    let Some(key) = turn.exchange.upstream else { return };
    if turn.exchange.response_body == Body::Tunnel {
        return;
    }
    let mut bytes = turn.services.upstreams.get(key).connection.received();
    let mut decoder = turn.exchange.download.decoder;
    let (mut ahead, mut consumed) = (0, 0);
    while !bytes.is_empty()
        && !decoder.is_done()
        && let Ok(piece) = decoder.next(bytes)
        && piece.consumed() > 0
    {
        ahead += piece.payload as u64 + u64::from(piece.done && turn.exchange.download.chunked);
        consumed += piece.consumed();
        bytes = &bytes[piece.consumed()..];
    }
    // Rules that waited for the body have it counted again.
    turn.exchange.facts.bytes_out -= turn.exchange.download.counted_ahead;
    turn.exchange.download.counted_ahead = ahead;
    turn.exchange.facts.bytes_out += ahead;
    turn.exchange.whole_answer_bytes = decoder.is_done().then_some(consumed);
}
