//! Phase content: `tcp-request content` rules look at what comes from the client, in the frontend and then in the
//! backend, and `tcp-response content` rules at what comes from the server (manual 4.2). They are asked again as more
//! comes, until they decide, or nothing more will come, or `inspect-delay` is over: then what is here is all.
//!
//! In HTTP mode a head is here before they are asked. Rules of connections and sessions are asked at the accept.

use std::sync::Arc;

use super::inspect::silent_drop;
use super::{Exchange, Phase, Services, Session, Step, Turn, body, errands, lookup, receive, route};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::{self, Body, Parsed};
use crate::http::Head;
use crate::rules::tcp::{self, Verdict};
use crate::rules::{Errand, Rules};
use crate::sample::{Ctx, Inspection};
use crate::stats::Count;
use crate::time::{Millis, Tick};

/// Who refused a connection before it became a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `tcp-request connection`
    Connection,
    /// `tcp-request session`
    Session,
    /// Either of them, by `silent-drop`.
    Silent,
}

/// Asks the rules that guard a frontend about a connection just accepted; `exchange` is an empty one.
///
/// # Errors
/// The kind of rules that refused it.
pub fn admit(session: &mut Session, exchange: &Exchange, services: &mut Services) -> Result<(), Guard> {
    let mut scratch = std::mem::take(&mut services.scratch);
    let outcome = guard(session, exchange, services, &mut scratch);
    services.scratch = scratch;
    outcome
}

fn guard(session: &mut Session, exchange: &Exchange, services: &Services, scratch: &mut Vec<u8>) -> Result<(), Guard> {
    let rules = &services.config[session.frontend].rules;
    for (guard, list) in [(Guard::Connection, &rules.tcp.connection), (Guard::Session, &rules.tcp.session)] {
        let mut next = 0;
        loop {
            let mut ctx = services.context(session, exchange);
            let verdict = tcp::run(list, &rules.acls, &mut next, &mut ctx, scratch);
            let client = ctx.client;
            (session.source, session.destination) = (client.source, client.destination);
            if guard == Guard::Connection {
                session.outside = [client.source, client.destination];
            }
            match verdict {
                Verdict::Accept => break,
                Verdict::Errand(Errand::Tos(tos)) => session.client.stream.set_tos(tos),
                Verdict::Errand(Errand::Mark(mark)) => session.client.stream.set_mark(mark),
                Verdict::Errand(_) => debug_assert!(false, "others are of exchanges"),
                Verdict::SilentDrop => return Err(Guard::Silent),
                Verdict::Reject | Verdict::Close | Verdict::Wait => return Err(guard),
            }
        }
    }
    Ok(())
}

/// The frontend's rules.
pub fn frontend(turn: &mut Turn<'_>) -> Step {
    let frontend = turn.frontend();
    match request(turn, &frontend.rules, frontend.inspect_delay) {
        Ok(()) if turn.is_http() => receive::accepted(turn),
        Ok(()) => Step::Go(Phase::Route),
        Err(step) => step,
    }
}

/// Whether the request has to go by [`backend`].
pub fn concerns_backend(turn: &Turn<'_>) -> bool {
    let rules = &turn.frontend().rules;
    let inspected = !turn.is_http() && !rules.tcp.content.is_empty();
    inspected || own_rules(turn, rules).is_some_and(|rules| !rules.tcp.content.is_empty())
}

/// The rules that the backend does not share with the frontend.
fn own_rules(turn: &Turn<'_>, frontend: &Arc<Rules>) -> Option<&'static Arc<Rules>> {
    let rules = &turn.services.config[turn.exchange.backend?].rules;
    (!Arc::ptr_eq(rules, frontend)).then_some(rules)
}

/// The backend's rules. A client that was lost while the frontend looked is given up here, as HAProxy does.
pub fn backend(turn: &mut Turn<'_>) -> Step {
    let delay = turn.exchange.backend.and_then(|id| turn.services.config[id].inspect_delays.request);
    if let Some(rules) = own_rules(turn, &turn.frontend().rules)
        && let Err(step) = request(turn, rules, delay)
    {
        return step;
    }
    let late = turn.services.now.tick() >= turn.exchange.client_deadline;
    (turn.exchange.client_deadline, turn.exchange.phase_deadline) = (Tick::NEVER, Tick::NEVER);
    if turn.is_http() {
        // The wait counts as the request's.
        turn.exchange.facts.request_received = Some(turn.services.now);
        return route::to_rules(turn);
    }
    if turn.session.client.broken.is_some() {
        return lost(turn, Cause::ClientAbort);
    }
    if late {
        return lost(turn, Cause::ClientTimeout);
    }
    route::to_server(turn)
}

fn lost(turn: &mut Turn<'_>, cause: Cause) -> Step {
    turn.exchange.facts.bytes_in += turn.session.client.received().len() as u64;
    turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
    turn.count_everywhere(Count::ClientAborts);
    turn.abandon(cause, Doing::Request)
}

/// Asks `rules` about what has come from the client.
///
/// # Errors
/// To wait for more, or the end of the exchange.
fn request(turn: &mut Turn<'_>, rules: &'static Rules, delay: Option<Millis>) -> Result<(), Step> {
    if rules.tcp.content.is_empty() {
        return Ok(());
    }
    let now = turn.services.now.tick();
    let received = turn.session.client.receive(&mut turn.services.buffers);
    if turn.exchange.phase_deadline == Tick::NEVER {
        turn.exchange.phase_deadline = delay.map_or(Tick::NEVER, |delay| now + delay);
    }
    if received > 0 || turn.exchange.client_deadline == Tick::NEVER {
        let timeout = turn.frontend().timeouts.client;
        turn.exchange.client_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    }
    let client = &turn.session.client;
    let ends = client.is_over() || now >= turn.exchange.phase_deadline.min(turn.exchange.client_deadline);
    let is_final = delay.is_none() || ends || is_full(turn, client.received()) || turn.is_http() && body::is_here(turn);
    let client = &turn.session.client;
    let waits = delay.is_some() && now < turn.exchange.phase_deadline.min(turn.exchange.client_deadline);
    let verdict = ask(turn, rules, is_final, waits && client.broken.is_none());
    if matches!(verdict, Verdict::Wait) {
        return Err(Step::Wait);
    }
    turn.exchange.phase_deadline = Tick::NEVER;
    match verdict {
        Verdict::Accept => Ok(()),
        Verdict::SilentDrop => {
            forget_request(turn);
            Err(silent_drop(turn))
        }
        _ => Err(refuse(turn)),
    }
}

/// Whether no more can be received before something is passed on.
fn is_full(turn: &Turn<'_>, bytes: &[u8]) -> bool {
    bytes.len() >= turn.services.config.global.tune.received_bytes_max()
}

/// Whether names are waited for is another question than whether what is here `is_final`.
fn ask(turn: &mut Turn<'_>, rules: &'static Rules, is_final: bool, waits_for_names: bool) -> Verdict {
    if waits_for_names && !lookup::is_answered(turn) {
        return Verdict::Wait;
    }
    let mut awaits_head = false;
    if !turn.is_http() {
        let limits = turn.services.request_limits(turn.session.frontend);
        let parsed = h1::parse_request(turn.session.client.received(), &mut turn.exchange.request, &limits);
        awaits_head = is_partial(parsed, &mut turn.exchange.request);
    }
    let inspection = Inspection::new(awaits_head);
    let mut next = lookup::conclude(turn);
    loop {
        let mut scratch = std::mem::take(&mut turn.services.scratch);
        let base = turn.services.context(turn.session, turn.exchange);
        let mut ctx = Ctx { inspection: (!is_final).then_some(&inspection), ..base };
        let verdict = tcp::run(&rules.tcp.content, &rules.acls, &mut next, &mut ctx, &mut scratch);
        let addresses = [ctx.client.source, ctx.client.destination];
        turn.services.scratch = scratch;
        turn.readdress(addresses);
        match verdict {
            Verdict::Errand(Errand::Resolve(question)) => {
                if lookup::ask(turn, *question) {
                    if waits_for_names {
                        turn.exchange.lookup.iter_mut().for_each(|pending| pending.next = next);
                        return Verdict::Wait;
                    }
                    lookup::conclude(turn);
                }
            }
            Verdict::Errand(errand) => errands::run_errand(turn, errand),
            verdict => return verdict,
        }
    }
}

/// Whether the rest of a head may yet come; leaves whole heads only.
fn is_partial(parsed: Result<Parsed, h1::ParseError>, head: &mut Head) -> bool {
    if !matches!(parsed, Ok(Parsed::Complete { .. })) {
        head.clear();
    }
    matches!(parsed, Ok(Parsed::Partial))
}

fn refuse(turn: &mut Turn<'_>) -> Step {
    let counters = &turn.services.counters;
    counters.frontend(turn.session.frontend).add(Count::DeniedRequests, 1);
    counters.listener(turn.session.frontend, turn.session.bind).add(Count::DeniedRequests, 1);
    forget_request(turn);
    turn.abandon(Cause::Proxy, Doing::Request)
}

/// What is left of a refused request in the eyes of the log.
fn forget_request(turn: &mut Turn<'_>) {
    turn.exchange.facts.request_received = None;
    if !turn.is_http() {
        turn.exchange.facts.bytes_in += turn.session.client.received().len() as u64;
    } else if turn.exchange.backend.is_none() {
        // The frontend's rules are asked before there is a request in the eyes of the log, but for its number.
        turn.exchange.facts.request_line.clear();
        turn.exchange.facts.request_counter = turn.services.number();
    }
}

/// Asks the backend's rules about what has come from the server, while they hold it back.
///
/// # Errors
/// The end of the exchange.
pub fn answer(turn: &mut Turn<'_>) -> Result<(), Step> {
    let (Some(key), Some(id)) = (turn.exchange.upstream, turn.exchange.backend) else { return Ok(()) };
    let backend = &turn.services.config[id];
    let now = turn.services.now.tick();
    let server = &mut turn.services.upstreams.get_mut(key).connection;
    let received = server.receive(&mut turn.services.buffers);
    if !turn.is_http() {
        turn.exchange.facts.bytes_out += received as u64;
    }
    if turn.exchange.phase_deadline == Tick::NEVER {
        let delay = backend.inspect_delays.response;
        turn.exchange.phase_deadline = delay.map_or(Tick::NEVER, |delay| now + delay);
    }
    // HAProxy recognises no answers in TCP mode.
    let awaits_head = turn.is_http() && look(turn, key);
    let server = &turn.services.upstreams.get(key).connection;
    let ends = server.is_over() || now >= turn.exchange.phase_deadline || backend.inspect_delays.response.is_none();
    let is_final = ends || is_full(turn, server.received()) || turn.is_http() && answer_is_here(turn, key);
    let inspection = Inspection::new(awaits_head);
    let (rules, mut next) = (&backend.rules, 0);
    loop {
        let mut scratch = std::mem::take(&mut turn.services.scratch);
        let base = turn.services.context(turn.session, turn.exchange);
        let response_bytes = turn.services.upstreams.get(key).connection.received();
        let mut ctx = Ctx { inspection: (!is_final).then_some(&inspection), response_bytes, ..base };
        let verdict = tcp::run(&rules.tcp.response, &rules.acls, &mut next, &mut ctx, &mut scratch);
        turn.services.scratch = scratch;
        match verdict {
            Verdict::Errand(errand) => errands::run_errand(turn, errand),
            verdict => return decide(turn, key, verdict),
        }
    }
}

fn decide(turn: &mut Turn<'_>, key: usize, verdict: Verdict) -> Result<(), Step> {
    if matches!(verdict, Verdict::Wait) {
        turn.exchange.response.clear();
        return Ok(());
    }
    turn.exchange.holds_answer = false;
    turn.exchange.phase_deadline = Tick::NEVER;
    match verdict {
        Verdict::Accept | Verdict::Wait | Verdict::Errand(_) => {}
        Verdict::Close => close_server(turn, key),
        Verdict::SilentDrop => {
            note_refused_answer(turn, key);
            return Err(silent_drop(turn));
        }
        Verdict::Reject => {
            note_refused_answer(turn, key);
            turn.count_everywhere(Count::DeniedResponses);
            return Err(turn.abandon(Cause::Proxy, Doing::Data));
        }
    }
    turn.exchange.response.clear();
    Ok(())
}

/// Parses the head of an answer without taking it; whether it may yet come.
fn look(turn: &mut Turn<'_>, key: usize) -> bool {
    let limits = turn.services.limits(false);
    let bytes = turn.services.upstreams.get(key).connection.received();
    let parsed = h1::parse_response(bytes, &mut turn.exchange.response, &limits);
    is_partial(parsed, &mut turn.exchange.response)
}

/// Whether the whole answer has come, as far as its length is known.
fn answer_is_here(turn: &Turn<'_>, key: usize) -> bool {
    let response = &turn.exchange.response;
    if response.is_empty() {
        return false;
    }
    let asked = h1::framing::Asked { method: turn.exchange.request.method(), upgrade: turn.exchange.upgrade };
    let mut head = response.clone();
    let Ok(framing) = h1::framing::response(&mut head, &asked) else { return true };
    let bytes = turn.services.upstreams.get(key).connection.received();
    let head_bytes = head_bytes(bytes);
    !matches!(framing.body, Body::UntilClose | Body::Tunnel) && body::is_whole(framing.body, &bytes[head_bytes..])
}

/// Octets of the head that `bytes` begin with.
fn head_bytes(bytes: &[u8]) -> usize {
    let end = |mark: &[u8]| memchr::memmem::find(bytes, mark).map(|at| at + mark.len());
    end(b"\r\n\r\n").or(end(b"\n\n")).unwrap_or(bytes.len())
}

/// `close`: what the server has said still goes to the client, and nothing more in either direction.
fn close_server(turn: &mut Turn<'_>, key: usize) {
    let server = &mut turn.services.upstreams.get_mut(key).connection;
    server.shutdown_write();
    (server.ended, server.readable) = (true, false);
    turn.exchange.server_keeps = false;
    turn.exchange.upload.complete = true;
}

/// The log tells of an answer that never reached the client.
fn note_refused_answer(turn: &mut Turn<'_>, key: usize) {
    turn.exchange.server_keeps = false;
    if turn.is_http() && !turn.exchange.response.is_empty() {
        let bytes = turn.services.upstreams.get(key).connection.received();
        let body = bytes.len() - head_bytes(bytes);
        let facts = &mut turn.exchange.facts;
        facts.bytes_out += turn.exchange.response.counted_bytes() + body as u64;
        facts.status = Some(turn.exchange.response.status());
    }
}
