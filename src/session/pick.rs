//! Phase pick: a server is chosen, or the request waits for one.

use std::net::SocketAddr;

use super::places::Pick;
use super::{Phase, Step, Turn, body};
use crate::balance::{key, key_hash, source_hash};
use crate::facts::{Cause, Phase as Doing};
use crate::http::uri;
use crate::proxy::backend::Beyond;
use crate::proxy::{Algorithm, BackendId, Key, ServerId};
use crate::sample::{Ctx, Type, Value};
use crate::session::{persistence, reply};
use crate::stats::Count;
use crate::time::Tick;
use crate::upstream::Peer;

/// Asks the backend's algorithm.
pub fn run(turn: &mut Turn<'_>) -> Step {
    let Some(backend) = turn.exchange.backend else {
        return reply::error(turn, 503, Cause::ServerAbort, Doing::Connect);
    };
    if let Some(server) = turn.exchange.hold.wanted {
        return own_server(turn, server);
    }
    if let Some(step) = last_server(turn, backend) {
        return step;
    }
    let beyond_servers = turn.services.config[backend].beyond;
    if beyond_servers != Beyond::Nowhere {
        return beyond(turn, beyond_servers);
    }
    let hash = hash(turn, backend);
    let pick = turn.services.choose(backend, hash, turn.exchange.avoid);
    let chosen = match pick {
        Pick::Server(server) => Some(server),
        Pick::Full(server) => server,
        Pick::Nobody => None,
    };
    count_retry(turn, backend, chosen);
    match pick {
        Pick::Server(server) => {
            // Who came back to the same one did not choose.
            let chosen = u64::from(turn.exchange.server != Some(server));
            turn.services.counters.server(server).add(Count::Chosen, chosen);
            turn.services.counters.backend(backend).add(Count::Chosen, chosen);
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

/// Counts the retry after a failed attempt, once it is known whether it goes to the same server.
fn count_retry(turn: &mut Turn<'_>, backend: BackendId, chosen: Option<ServerId>) {
    let Some(failed) = turn.exchange.avoid.take() else { return };
    let column = if chosen == Some(failed) { Count::Retries } else { Count::Redispatches };
    turn.services.counters.server(failed).add(column, 1);
    turn.services.counters.backend(backend).add(column, 1);
}

/// The hash of what the backend's algorithm looks at, if it looks at anything and finds it.
fn hash(turn: &mut Turn<'_>, backend: BackendId) -> Option<u32> {
    let settings = &turn.services.config[backend];
    let Algorithm::Hash(key) = &settings.algorithm else { return None };
    let hash_type = settings.hash_type;
    let hash_of = |bytes: &[u8]| key_hash(bytes, hash_type);
    if matches!(key, Key::RdpCookie(_)) {
        // The cookie may have come with the connection, and nobody has looked.
        turn.session.client.receive(&mut turn.services.buffers);
    }
    let request = &turn.exchange.request;
    match key {
        Key::Source => turn.session.source.map(|source| source_hash(source.ip(), hash_type)),
        Key::Uri(key) => key::uri(request.uri(), *key).map(hash_of),
        Key::Param(key) => {
            let name = key.name.as_bytes();
            match key::uri_param(request.uri(), name) {
                Some(value) => Some(hash_of(value)),
                None if body::is_wanted(turn, backend) => key::body_param(&body::received(turn), name).map(hash_of),
                None => None,
            }
        }
        Key::Header(key) => {
            let value = request.values(key.name.as_bytes()).next().filter(|value| !value.is_empty())?;
            Some(hash_of(if key.domain_only { key::domain(value) } else { value }))
        }
        Key::RdpCookie(name) => {
            let cookie = key::whole_rdp_cookie(turn.session.client.received(), name.as_bytes());
            cookie.filter(|cookie| !cookie.is_empty()).map(hash_of)
        }
        Key::Expr(expr) => {
            // Raw octets are on their way to a server by then, in HAProxy's eyes: expressions find none.
            let ctx = Ctx { request_bytes: b"", ..turn.services.context(turn.session, turn.exchange) };
            let value = expr.eval(&ctx)?;
            let Value::Bin(bytes) = value.cast(Type::Bin)? else { return None };
            Some(hash_of(&bytes))
        }
    }
}

/// Finds the address of a backend that chooses no server.
fn beyond(turn: &mut Turn<'_>, beyond: Beyond) -> Step {
    if turn.exchange.address.is_none() {
        turn.exchange.address = match beyond {
            Beyond::Nowhere => None,
            Beyond::Dispatch(address) => Some(address),
            Beyond::Uri => named_address(turn),
            Beyond::Destination => turn.session.destination,
        };
    }
    if turn.exchange.address.is_some() {
        return Step::Go(Phase::Connect);
    }
    if let Some(backend) = turn.exchange.backend {
        turn.services.counters.backend(backend).add(Count::ConnectErrors, 1);
    }
    reply::error(turn, 503, Cause::ServerAbort, Doing::Connect)
}

/// The address that an absolute target names, from which the target becomes a path, as servers want it
/// (RFC 9112 3.2.1). Names are those of the hosts file; a proxy that asks a name server would wait for it.
fn named_address(turn: &mut Turn<'_>) -> Option<SocketAddr> {
    let target = turn.exchange.request.uri();
    uri::scheme(target).filter(|scheme| scheme.eq_ignore_ascii_case(b"http"))?;
    let (host, port) = uri::host_and_port(uri::authority(target)?);
    let port = match port {
        None | Some(b"") => 80,
        Some(digits) => std::str::from_utf8(digits).ok()?.parse().ok().filter(|port| *port > 0)?,
    };
    let host = std::str::from_utf8(host).ok()?;
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let known = || turn.services.config.hosts.get(&host.to_ascii_lowercase()).copied();
    let ip = literal.parse().ok().or_else(known)?;
    let path = uri::path_and_query(target);
    let path = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
    turn.exchange.request.set_uri(&path);
    Some(SocketAddr::new(ip, port))
}

/// The server that the client belongs to, or its queue.
fn own_server(turn: &mut Turn<'_>, server: ServerId) -> Step {
    if turn.services.has_room(server) {
        if turn.services.occupy(server) {
            assign(turn, server);
            return Step::Go(Phase::Connect);
        }
        turn.services.freed.push(server);
    }
    queue(turn, Some(server))
}

/// To the server of the session's own connection, or into its queue, where `option prefer-last-server` wants it
/// and not too many wait for it (`max-keep-alive-queue`).
fn last_server(turn: &mut Turn<'_>, backend: BackendId) -> Option<Step> {
    let services = &*turn.services;
    let settings = &services.config[backend];
    if !settings.prefer_last_server || settings.algorithm.is_hash() {
        return None;
    }
    let Peer::Server(server) = services.upstreams.get(turn.session.private?).peer else { return None };
    let usable = services.live[server.0 as usize].takes_part() && turn.exchange.avoid != Some(server);
    if services.config[server].backend != backend || !usable {
        return None;
    }
    if services.has_room(server) {
        if turn.services.occupy(server) {
            count_retry(turn, backend, Some(server));
            assign(turn, server);
            return Some(Step::Go(Phase::Connect));
        }
        turn.services.freed.push(server);
    }
    let waiting = turn.services.queue_length(backend, Some(server));
    if settings.keep_alive_queue_max.is_some_and(|max| waiting >= u64::from(max)) {
        return None;
    }
    count_retry(turn, backend, Some(server));
    Some(queue(turn, Some(server)))
}

/// Notes the server on which a place was reserved.
fn assign(turn: &mut Turn<'_>, server: ServerId) {
    let changed = turn.exchange.server.is_some_and(|before| before != server);
    if changed {
        turn.exchange.facts.redispatched = true;
        persistence::changed_server(turn);
    }
    turn.exchange.server = Some(server);
    turn.exchange.counted_on = Some(server);
}

fn queue(turn: &mut Turn<'_>, server: Option<ServerId>) -> Step {
    let Some(backend) = turn.exchange.backend else { return Step::Go(Phase::Pick) };
    let services = &mut *turn.services;
    let position = services.queue_length(backend, server) as u32 + 1;
    let Some(ticket) = services.join_queue(backend, server, turn.slot) else {
        services.counters.backend(backend).add(Count::ConnectErrors, 1);
        if let Some(server) = server {
            services.counters.server(server).add(Count::ConnectErrors, 1);
        }
        turn.exchange.server = server.or(turn.exchange.hold.wanted).or(turn.exchange.server);
        return reply::error(turn, 503, Cause::ServerAbort, Doing::Queue);
    };
    match server {
        Some(server) => {
            turn.exchange.facts.server_queue = position;
            turn.exchange.server = Some(server);
        }
        None => turn.exchange.facts.backend_queue = position,
    }
    let now = services.now.tick();
    let timeouts = &services.config[backend].timeouts;
    let timeout = timeouts.queue.or(timeouts.connect);
    turn.exchange.phase_deadline = timeout.map_or(Tick::NEVER, |timeout| now + timeout);
    Step::Go(Phase::Queued { ticket, server })
}

/// Waits for its turn; the release of a place moves it on (see [`super::services`]).
pub fn queued(turn: &mut Turn<'_>) -> Step {
    if let Some(doing) = turn.client_stopped_waiting(Doing::Queue) {
        leave(turn);
        return turn.abandon(Cause::ClientAbort, doing);
    }
    if turn.services.now.tick() < turn.exchange.phase_deadline {
        return Step::Wait;
    }
    if let Phase::Queued { server: Some(server), .. } = turn.exchange.phase {
        turn.services.counters.server(server).add(Count::ConnectErrors, 1);
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
    if turn.services.queues.leave(backend, server, ticket) {
        // Otherwise its turn has come already, and it was counted then.
        turn.services.count_dequeued(backend, server);
    }
    turn.exchange.facts.queue_left = Some(turn.services.now);
    turn.exchange.phase_deadline = Tick::NEVER;
    turn.exchange.phase = Phase::Pick;
}
