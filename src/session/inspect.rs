//! Phase inspect: the rules of the frontend, then of the backend, look at the request. What looks at the response is in
//! [`super::judge`].

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::errands::{self, Paused};
use super::{After, Phase, Step, Turn, body, capture, lookup, names, persistence, reply, statistics};
use crate::facts::{Cause, Phase as Doing};
use crate::h1::framing;
use crate::http::{Head, uri};
use crate::proxy::AddressHeader;
use crate::rules::filter::Outcome;
use crate::rules::{Errand, Reply, Rules, Verdict};
use crate::stats::Count;
use crate::time::{Millis, Tick};

/// The frontend's rules and its statistics page.
pub fn frontend(turn: &mut Turn<'_>) -> Step {
    let rules = &turn.frontend().rules;
    // Rules that go on after a pause may have changed the target.
    if turn.exchange.paused.is_none()
        && let Some(step) = monitor(turn, rules)
    {
        return step;
    }
    let refused = request_rules(turn, rules, false).or_else(|| names::restrict(turn, turn.frontend().header_names));
    if let Some(step) = refused.or_else(|| request_filters(turn, rules)) {
        return step;
    }
    if let Some(step) = statistics::serve(turn, None) {
        return step;
    }
    redirects(turn, rules).unwrap_or(Step::Go(Phase::Route))
}

/// The backend's rules and its statistics page; then the request is ready for a server.
pub fn backend(turn: &mut Turn<'_>) -> Step {
    let Some(id) = turn.exchange.backend else { return Step::Go(Phase::Route) };
    let backend = &turn.services.config[id];
    // A `listen` shares its rules: they were run already.
    if !Arc::ptr_eq(&backend.rules, &turn.frontend().rules) {
        let rules = &backend.rules;
        let refused = request_rules(turn, rules, false).or_else(|| names::restrict(turn, backend.header_names));
        if let Some(step) = refused.or_else(|| request_filters(turn, rules)) {
            return step;
        }
        if let Some(step) = statistics::serve(turn, Some(id)) {
            return step;
        }
        if let Some(step) = redirects(turn, &backend.rules) {
            return step;
        }
    } else if let Some(step) = statistics::serve(turn, Some(id)) {
        return step;
    }
    capture::request_cookie(turn);
    persistence::request(turn);
    add_identifier(turn);
    add_addresses(turn);
    if body::is_awaited(turn, id) { body::begin(turn) } else { Step::Go(Phase::Pick) }
}

/// Runs the `http-request` rules, or those that guard the statistics; a step if one of them ends the exchange or waits.
pub fn request_rules(turn: &mut Turn<'_>, rules: &Rules, stats: bool) -> Option<Step> {
    if (if stats { &rules.stats } else { &rules.request }).is_empty() {
        return None;
    }
    let mut run = errands::take_request_run(turn);
    loop {
        let mut head = std::mem::take(&mut turn.exchange.request);
        let mut scratch = std::mem::take(&mut turn.services.scratch);
        let context = turn.services.context(turn.session, turn.exchange);
        let verdict = match stats {
            true => rules.on_stats(&mut run, &context, &mut head, &mut scratch),
            false => rules.on_request(&mut run, &context, &mut head, &mut scratch),
        };
        turn.exchange.request = head;
        turn.services.scratch = scratch;
        errands::count_failed(turn, &mut run);
        match verdict {
            Verdict::Errand(Errand::WaitForBody(time, octets)) => {
                turn.exchange.paused = Some(Paused::Request(run));
                return Some(body::begin_for_rules(turn, time, octets));
            }
            Verdict::Errand(Errand::Resolve(question)) => {
                if lookup::ask(turn, *question) {
                    turn.exchange.paused = Some(Paused::Request(run));
                    return Some(lookup::wait(turn));
                }
            }
            Verdict::Errand(errand) => errands::run_errand(turn, errand),
            verdict => {
                turn.exchange.falsified |= framing::is_falsified(&turn.exchange.request, turn.exchange.request_body);
                framing::restore(&mut turn.exchange.request, turn.exchange.request_body);
                return request_judged(turn, verdict, stats);
            }
        }
    }
}

/// What a verdict on the request comes to.
fn request_judged(turn: &mut Turn<'_>, verdict: Verdict, stats: bool) -> Option<Step> {
    match verdict {
        Verdict::Continue | Verdict::Errand(_) => None,
        Verdict::Deny(answer) => {
            refused(turn);
            if stats {
                return Some(statistics::refused(turn, &answer, Cause::Proxy));
            }
            Some(reply::rendered(turn, &answer, Cause::Proxy, Doing::Request))
        }
        Verdict::Auth(answer) if stats => Some(statistics::refused(turn, &answer, Cause::Local)),
        Verdict::Auth(answer) => {
            count_intercepted(turn);
            Some(reply::rendered(turn, &answer, Cause::Local, Doing::Request))
        }
        Verdict::Answer(answer) => {
            count_intercepted(turn);
            Some(reply::rendered(turn, &answer, Cause::Local, Doing::Request))
        }
        Verdict::Tarpit(answer) => {
            refused(turn);
            Some(tarpit(turn, Some(answer)))
        }
        Verdict::Reject => {
            count_denied(turn);
            turn.exchange.facts.termination.set_once(Cause::Proxy, Doing::Request);
            Some(Step::Over(After::Close))
        }
        Verdict::SilentDrop => {
            turn.exchange.facts.request_received = None;
            Some(silent_drop(turn))
        }
        Verdict::Failed => {
            turn.exchange.facts.request_received = None;
            errands::count(turn, Count::InternalErrors, 1);
            Some(reply::error(turn, 500, Cause::Proxy, Doing::Request))
        }
    }
}

/// Forgets the client's connection.
pub(super) fn silent_drop(turn: &mut Turn<'_>) -> Step {
    count_denied(turn);
    turn.session.client.vanish();
    turn.exchange.facts.termination.set_once(Cause::Proxy, Doing::Request);
    Step::Over(After::Close)
}

/// `monitor-uri`: answered before any rule, and never logged.
fn monitor(turn: &mut Turn<'_>, rules: &Rules) -> Option<Step> {
    let uri = turn.frontend().monitor_uri.as_deref()?;
    let asked = turn.exchange.request.uri();
    if asked != uri && uri::path_and_query(asked) != uri {
        return None;
    }
    count_intercepted(turn);
    turn.exchange.logged = true;
    let fails = rules.monitor_fails(&turn.services.context(turn.session, turn.exchange));
    Some(reply::error(turn, if fails { 503 } else { 200 }, Cause::Local, Doing::Request))
}

/// The filters of older versions (`reqrep` and its kin).
fn request_filters(turn: &mut Turn<'_>, rules: &Rules) -> Option<Step> {
    if rules.request_filters.is_empty() && rules.request_additions.is_empty() {
        return None;
    }
    let mut head = std::mem::take(&mut turn.exchange.request);
    let mut scratch = std::mem::take(&mut turn.services.scratch);
    let context = turn.services.context(turn.session, turn.exchange);
    let outcome = rules.filter_request(&context, &mut head, &mut scratch);
    framing::restore(&mut head, turn.exchange.request_body);
    turn.exchange.request = head;
    turn.services.scratch = scratch;
    match outcome {
        Outcome::Continue(backend) => {
            turn.exchange.switched = backend;
            None
        }
        Outcome::Deny => {
            refused(turn);
            Some(reply::error(turn, 403, Cause::Proxy, Doing::Request))
        }
        Outcome::Tarpit => {
            refused(turn);
            Some(tarpit(turn, None))
        }
        Outcome::Invalid => {
            turn.services.counters.frontend(turn.session.frontend).add(Count::RequestErrors, 1);
            Some(reply::error(turn, 400, Cause::Proxy, Doing::Request))
        }
    }
}

fn redirects(turn: &mut Turn<'_>, rules: &Rules) -> Option<Step> {
    if rules.redirects.is_empty() {
        return None;
    }
    let context = turn.services.context(turn.session, turn.exchange);
    let answer = rules.redirect(&context)?;
    count_intercepted(turn);
    Some(reply::rendered(turn, &answer, Cause::Local, Doing::Request))
}

/// Holds the answer back, 500 if there is none, for `timeout tarpit`, or `timeout connect` where that is not set.
fn tarpit(turn: &mut Turn<'_>, answer: Option<Box<Reply>>) -> Step {
    let backend = turn.exchange.backend.map(|id| &turn.services.config[id].timeouts);
    let backend = backend.and_then(|timeouts| timeouts.tarpit.or(timeouts.connect));
    let timeout: Option<Millis> = turn.frontend().timeouts.tarpit.or(backend);
    let until = timeout.map_or(turn.services.now.tick(), |timeout| turn.services.now.tick() + timeout);
    turn.exchange.held = answer;
    turn.exchange.phase_deadline = until;
    debug_assert!(until != Tick::NEVER);
    Step::Go(Phase::Tarpit { until })
}

/// Notes that a rule refused the request. The log shows the cookies of such a request all the same.
fn refused(turn: &mut Turn<'_>) {
    capture::request_cookie(turn);
    persistence::refused(turn);
    count_denied(turn);
}

pub(super) fn count_denied(turn: &mut Turn<'_>) {
    let counters = &turn.services.counters;
    counters.frontend(turn.session.frontend).add(Count::DeniedRequests, 1);
    counters.listener(turn.session.frontend, turn.session.bind).add(Count::DeniedRequests, 1);
    if let Some(backend) = turn.exchange.backend {
        counters.backend(backend).add(Count::DeniedRequests, 1);
    }
}

/// What a backend answers does not count, unless it is a `listen`.
fn count_intercepted(turn: &mut Turn<'_>) {
    let frontend = turn.frontend();
    if turn.exchange.backend.is_some_and(|id| turn.services.config[id].uuid != frontend.uuid) {
        return;
    }
    turn.services.counters.frontend(turn.session.frontend).add(Count::Intercepted, 1);
}

/// `unique-id-header`
fn add_identifier(turn: &mut Turn<'_>) {
    let frontend = turn.frontend();
    let Some(name) = &frontend.unique_id_header else { return };
    let id = frontend.unique_id(&turn.services.context(turn.session, turn.exchange));
    if !id.is_empty() {
        let id = id.to_vec();
        turn.exchange.request.add(name, &id);
    }
}

/// `option forwardfor` and `option originalto` (manual 4): the backend's settings win over the frontend's.
fn add_addresses(turn: &mut Turn<'_>) {
    let Some(backend) = turn.exchange.backend.map(|id| &turn.services.config[id]) else { return };
    let frontend = turn.frontend();
    let request = &mut turn.exchange.request;
    let both = [frontend.forwarded_for.as_ref(), backend.forwarded_for.as_ref()];
    add_address(request, both, turn.session.source.map(|address| address.ip()));
    let both = [frontend.original_to.as_ref(), backend.original_to.as_ref()];
    add_address(request, both, turn.session.destination.map(|address| address.ip()));
}

fn add_address(request: &mut Head, settings: [Option<&AddressHeader>; 2], address: Option<IpAddr>) {
    let (Some(chosen), Some(address)) = (settings[1].or(settings[0]), address) else { return };
    let excepted = |header: &AddressHeader| header.except.is_some_and(|(net, bits)| in_network(address, net, bits));
    if settings.into_iter().flatten().any(excepted) {
        return;
    }
    let only_if_none = settings.into_iter().flatten().all(|header| header.if_none);
    if only_if_none && request.get(chosen.name.as_bytes()).is_some() {
        return;
    }
    let mut room = [0; ADDRESS_BYTES_MAX];
    request.add(chosen.name.as_bytes(), address_text(&mut room, address));
}

fn in_network(address: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            bits == 0 || (a.to_bits() ^ n.to_bits()) >> (32 - u32::from(bits.min(32))) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            bits == 0 || (a.to_bits() ^ n.to_bits()) >> (128 - u32::from(bits.min(128))) == 0
        }
        _ => false,
    }
}

/// The longest text of an IPv6 address is 45 bytes (RFC 4291 2.2, an embedded IPv4 address included).
const ADDRESS_BYTES_MAX: usize = 46;

/// Writes an address into `room` and gives the text.
fn address_text(room: &mut [u8; ADDRESS_BYTES_MAX], address: IpAddr) -> &[u8] {
    let mut rest = &mut room[..];
    let _always_fits = match address {
        IpAddr::V4(address) => write_v4(&mut rest, address),
        IpAddr::V6(address) => write!(rest, "{address}"),
    };
    let left = rest.len();
    &room[..ADDRESS_BYTES_MAX - left]
}

/// The same text as that of the standard library, which takes ten times as long: nearly every request has one.
fn write_v4(out: &mut &mut [u8], address: Ipv4Addr) -> std::io::Result<()> {
    let mut number = itoa::Buffer::new();
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.write_all(b".")?;
        }
        out.write_all(number.format(octet).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        let texts =
            ["0.0.0.0", "127.0.0.1", "9.10.99.100", "255.255.255.255", "::", "2001:db8::1", "::ffff:192.0.2.128"];
        for address in texts.map(|text| text.parse::<IpAddr>().expect("an address")) {
            let mut room = [0; ADDRESS_BYTES_MAX];
            assert_eq!(address_text(&mut room, address), address.to_string().as_bytes());
        }
    }
}
